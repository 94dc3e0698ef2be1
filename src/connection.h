/*
 * connection.h
 *	  A connection: one app user's grant at one connector, under one name.
 */
#ifndef APPUSER_CONNECTORS_CONNECTION_H
#define APPUSER_CONNECTORS_CONNECTION_H

#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#define MAX_CONNECTION_NAME 200           /* bytes */
#define MAX_CONNECTIONS_PER_CONNECTOR 100 /* of one app user */

struct Connector;

typedef struct Connection
{
	const char *app_user;
	const char *connector_id;
	const char *connection_name;
	pg_uuid_t grant_id; /* new with every authorization */
	int64 generation;   /* up by one with every write of tokens */
	bool reconnect_required;
	char *status_reason; /* NULL: nothing to say */
	TimestampTz status_since;
	char *account; /* at the provider; NULL unknown */
	char *token_type;
	ArrayType *scopes;
	ArrayType *requested_scopes;
	Jsonb *connection_config;
	TimestampTz connected_at;
	TimestampTz updated_at;
	TimestampTz expires_at; /* DT_NOEND: unknown */
	TimestampTz refresh_at; /* DT_NOEND: nothing is due */
	int failures;           /* in a row */
	TimestampTz failing_since;
	int refusals; /* the same definite refusal, in a row */
	char *origins;
	bytea *access_token;  /* sealed */
	bytea *refresh_token; /* sealed, or NULL */
} Connection;

/* Seals both tokens (refresh_token may be NULL) for the connection's present key,
 * grant, generation and origins. */
extern void connection_seal_tokens(Connection *connection, const char *access_token,
								   const char *refresh_token);

/* secret_alloc'ed; NULL when it does not belong to this row or was altered */
extern char *connection_open_access_token(const Connection *connection);
extern char *connection_open_refresh_token(const Connection *connection);

/*
 * Deletes every connection of a connector, of every app user, and queues their
 * tokens for revocation; returns how many there were.
 */
extern int64 connection_delete_all_of_connector(struct Connector *connector);

/* Those whose tokens may not be sent to where the connector points now */
extern void connection_require_reconnect_of_connector(const char *connector_id, const char *origins,
													  const char *reason);

/* Raises 22023 unless text can name a connection. */
extern void connection_check_name(const char *connection_name);

#endif
