/*
 * authorization.h
 *	  A flow under way: begun by connect_app_user(), consumed by the worker.
 */
#ifndef APPUSER_CONNECTORS_AUTHORIZATION_H
#define APPUSER_CONNECTORS_AUTHORIZATION_H

#include "common/sha2.h"
#include "lib/stringinfo.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "connector.h"

#define MAX_AUTHORIZATIONS 5 /* under way, of one app user at one connector */
#define MAX_AUTHORIZATIONS_OF_APP_USER 50

typedef struct Authorization
{
	const char *app_user;
	uint8 state_hash[PG_SHA256_DIGEST_LENGTH];
	char *connector_id;
	char *connection_name;
	char *redirect_uri;
	char *return_to;
	char **scopes;
	int n_scopes;
	Jsonb *connection_config;
	bytea *binding_hash; /* NULL: none was given */
	bytea *sealed_secrets;
	char *party; /* see authorization_party; sealed as well */
	TimestampTz created_at;
	TimestampTz expires_at;
} Authorization;

/*
 * Whom a code of this connector is for: issuer, origins, client.  A connector
 * that has moved since must not take it elsewhere (RFC 9700 §4.4).
 */
extern char *authorization_party(const Connector *connector);

/* The code verifier and nonce (NULL: none), sealed with the flow's whole row */
extern void authorization_seal(Authorization *authorization, const char *code_verifier,
							   const char *nonce);
extern bool authorization_open(Authorization *authorization, char **code_verifier, char **nonce);

/* SHA-256 of a text, as state and browser binding are stored */
extern void authorization_hash(const char *text, uint8 digest[PG_SHA256_DIGEST_LENGTH]);

#endif
