/*
 * connector.h
 *	  A connector: one OAuth client that the application registered, with its own
 *	  copy of its provider's definition.  Its row and the statements on it, what is
 *	  derived from the row, and its sealed client secret.
 */
#ifndef APPUSER_CONNECTORS_STORE_CONNECTOR_H
#define APPUSER_CONNECTORS_STORE_CONNECTOR_H

#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/json_tree.h"
#include "oauth/client.h"
#include "store/store.h"

#define MAX_CONNECTOR_ID 200 /* bytes */

typedef struct Connector
{
	char *connector_id;
	char *provider;
	char *name;
	bytea *client_secret; /* sealed */
	char **scopes;
	int n_scopes;
	char **redirect_uris;
	int n_redirect_uris;
	Jsonb *connection_config;
	Jsonb *options;
	Jsonb *definition;
	TimestampTz updated_at; /* by an admin */
	TimestampTz stopped_at; /* DT_NOEND: it is not */
	char *stopped_reason;
	TimestampTz probe_at;

	/* see connector_endpoint.h */
	bool built_in;           /* the definition is the extension's own */
	char *allowed_endpoints; /* where a superuser lets it move next; NULL: nowhere */
	char **former_endpoints;
	int n_former_endpoints;

	/* from the above; client.client_secret after connector_open only */
	const JsonValue *definition_json;
	const JsonValue *options_json;
	OAuthClient client;
	char *endpoints;        /* the URLs that secrets and tokens go to; see connector_endpoint.h */
	bool has_own_endpoints; /* each connection, for its tokens: what befalls one is its own */
	int refresh_margin;     /* seconds; -1: the setting's */
	bool revocation_ends_grant;
	bool refuses_other_account; /* of who connects again */
	int refresh_token_grace;    /* seconds that it may be sent again at once; -1: as usual */
} Connector;

/* NULL when there is none */
extern Connector *connector_find(const char *connector_id);

/* Raises UC006 when there is none. */
extern Connector *connector_require(const char *connector_id);

/*
 * Opens the client secret, which proves that nothing that says where secrets go
 * has been edited since.  False when it was.
 */
extern bool connector_open(Connector *connector);

/* The same, raising UC004. */
extern void connector_require_open(Connector *connector);

/* What the provider is sent for a redirect URI: a name that it has for it, or itself */
extern char *connector_redirect_parameter(const Connector *connector, char *redirect_uri);

/* Raises 22023 for one that cannot be a scope. */
extern void connector_check_scopes(char *const *scopes, int n_scopes);

/* Derives client, endpoints … from the stored columns. */
extern void connector_derive(Connector *connector);

/* Seals a client secret (NULL: none) to what the connector says now. */
extern bytea *connector_seal_secret(const Connector *connector, const char *client_secret);

/* The endpoints of a client as they are compared and bound: whole URLs */
extern char *connector_endpoints(const char *token_endpoint, const char *revocation_endpoint,
								 const char *refresh_endpoint, const char *long_token_endpoint);

/* The stored columns only; NULL when there is none. */
extern Connector *store_get_connector(const char *connector_id);

/* False: there is one with that id. */
extern bool store_insert_connector(const Connector *connector, TimestampTz now);

/* Writes every column, and ends a stop. */
extern void store_update_connector(const Connector *connector, TimestampTz now);

/*
 * To be read after: who else changes or deletes it has then finished.  With deletes it
 * also keeps the worker from adding connections until this transaction ends.
 */
extern void store_lock_connector_for_change(const char *connector_id, bool deletes);

/* The same for its allowed_endpoints, with the secret sealed to them; a stop stays. */
extern void store_allow_endpoints(const Connector *connector);

extern bool store_delete_connector(const char *connector_id);

/* The ids of all connectors, for the worker's search of what is due */
extern char **store_connector_ids(int *count);

/* Of connectors of this provider whose copy of its definition is not the given one, sorted. */
extern char **store_connectors_with_another_definition(const char *provider,
													   const Jsonb *definition, int *count);

/* Stops a connector, or (reason NULL) lets it go on. */
extern void store_stop_connector(const char *connector_id, const char *reason, TimestampTz now,
								 TimestampTz probe_at);

#endif
