/*
 * authorization_secret.h
 *	  What a flow keeps sealed, and for whom its code is.
 */
#ifndef APPUSER_CONNECTORS_STORE_AUTHORIZATION_SECRET_H
#define APPUSER_CONNECTORS_STORE_AUTHORIZATION_SECRET_H

#include "store/authorization.h"
#include "store/connector.h"

/*
 * Whom a code of this connector is for: issuer, endpoints, client.  A connector
 * that has moved since must not take it elsewhere (RFC 9700 §4.4).
 */
extern char *authorization_party(const Connector *connector);

/* The code verifier and nonce (NULL: none), sealed with the flow's whole row */
extern void authorization_seal(Authorization *authorization, const char *code_verifier,
							   const char *nonce);
extern bool authorization_open(Authorization *authorization, char **code_verifier, char **nonce);

/*
 * What became of a flow: failure (NULL: none), ended now, sealed with the flow's whole row
 * into sealed_outcome; and back.  False for an outcome that is not this row's.
 */
extern void authorization_seal_outcome(Authorization *authorization, const char *failure);
extern bool authorization_open_outcome(const Authorization *authorization, char **failure,
									   TimestampTz *ended_at);

/* SHA-256 of a text, as state and browser binding are stored */
extern void authorization_hash(const char *text, uint8 digest[PG_SHA256_DIGEST_LENGTH]);

#endif
