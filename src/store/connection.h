/*
 * connection.h
 *	  A connection: one app user's grant at one connector, under one name.  Its row,
 *	  the statements on it, and the direct scans.
 */
#ifndef APPUSER_CONNECTORS_STORE_CONNECTION_H
#define APPUSER_CONNECTORS_STORE_CONNECTION_H

#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/snapshot.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "store/due_mark.h"
#include "store/store.h"

#define MAX_CONNECTION_NAME 200           /* bytes */
#define MAX_CONNECTIONS_PER_CONNECTOR 100 /* of one app user */

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
	char *account;        /* at the provider; NULL unknown */
	char *account_issuer; /* which account is of; the same */
	char *account_name;   /* what people know it by; NULL unknown */
	char *token_type;
	ArrayType *scopes;
	ArrayType *requested_scopes;
	bool scopes_assumed; /* no answer has named any: as requested (not sealed, it informs) */
	Jsonb *connection_config;
	TimestampTz connected_at;
	TimestampTz updated_at;
	TimestampTz expires_at;   /* DT_NOEND: unknown */
	TimestampTz refresh_at;   /* DT_NOEND: nothing is due */
	TimestampTz reconnect_by; /* DT_NOEND: the grant is not known to end */
	TimestampTz remind_at;    /* of that; DT_NOEND: nothing is to be said, or it has been */
	int failures;             /* in a row */
	TimestampTz failing_since;
	int refusals; /* the same definite refusal, in a row */
	char *endpoints;
	bytea *access_token;  /* sealed */
	bytea *refresh_token; /* sealed, or NULL */
} Connection;

/* Raises 22023 unless text can name a connection. */
extern void connection_check_name(const char *connection_name);

/*
 * An account's issuer is that of the ID token that named it, or this and the origin of the
 * profile that did.
 */
#define ACCOUNT_OF_PROFILE "profile:"

extern bool account_is_of_profile(const char *account_issuer);

/*
 * Is its account known to be another than this one (NULL: unknown)?  What an ID token names and
 * what a profile names cannot be compared, nor what profiles of two places do.
 */
extern bool connection_is_of_another(const Connection *connection, const char *account,
									 const char *account_issuer);

/* Is its account known to be this one (NULL: unknown)? */
extern bool connection_is_of(const Connection *connection, const char *account,
							 const char *account_issuer);

/* One indexed read; false when there is none.  Copies into the current context. */
extern bool store_read_connection(const char *app_user, const char *connector_id,
								  const char *connection_name, Snapshot snapshot,
								  Connection *connection);

/* Locks, and reads the row as it is then. */
extern LockResult store_lock_connection(const char *app_user, const char *connector_id,
										const char *connection_name, Connection *connection);

/* The same for the connector that new connections refer to */
extern LockResult store_lock_connector(const char *connector_id);

extern void store_insert_connection(const Connection *connection);

/* Writes every column but the key. */
extern void store_update_connection(const Connection *connection);

/* Deletes it, waiting for whoever holds it; false when there is none. */
extern bool store_delete_connection(const char *app_user, const char *connector_id,
									const char *connection_name, Connection *deleted);

/* Locks it, waiting for whoever holds it, and reads it; false when there is none. */
extern bool store_wait_connection(const char *app_user, const char *connector_id,
								  const char *connection_name, Connection *connection);

/* Those of the app user at the connector with other names than this one */
extern int store_count_other_connections(const char *app_user, const char *connector_id,
										 const char *connection_name);

/*
 * Not due before refresh_at, and why.  Neither reads the row, which may be unreadable,
 * nor waits for who holds it: then false.
 */
extern bool store_put_off_connection(const char *app_user, const char *connector_id,
									 const char *connection_name, const char *reason,
									 TimestampTz refresh_at);

/* The rows of app_user_connections(), whose result is described by descriptor */
extern void store_list_connections(const char *app_user, Tuplestorestate *tuples,
								   TupleDesc descriptor);

/* Keys of connections, by the direct scans below */
typedef struct ConnectionKey
{
	char *app_user;
	char *connector_id;
	char *connection_name;
} ConnectionKey;

/* Every connection of a connector or (connector_id NULL) of an app user */
extern ConnectionKey *store_keys_of_connector(const char *connector_id, int *count);
extern ConnectionKey *store_keys_of_app_user(const char *app_user, int *count);

/* The next connector, in order, that has connections to renew ("" to begin with); NULL:
 * no more.  It may be one that is not there. */
extern char *store_connector_with_connections(const char *after);

/*
 * Up to limit connections of a connector that are due now, the longest first, without
 * those that verdict does not take; what the calling process has seen before it need not
 * see again (see due_mark.h).  *next_due is when to look again (DT_NOEND: nothing is due).
 * verdict is called within the scan, and must not touch any table.
 */
typedef DueVerdict (*ConnectionVerdict)(const ConnectionKey *key);
extern ConnectionKey *store_due_connections(const char *connector_id, TimestampTz now, int limit,
											ConnectionVerdict verdict, int *count,
											TimestampTz *next_due);

/* Is a connection of another app user at the connector failing?  Of the thousand that are
 * due next, where those that fail are. */
extern bool store_another_is_failing(const char *app_user, const char *connector_id);

/* How many of a connector are to be renewed some time, counted up to limit */
extern int store_count_renewed(const char *connector_id, int limit);

/* Does a connection (of any app user) hold this account at this connector by another
 * grant? */
extern bool store_account_is_shared(const char *connector_id, const char *account,
									const char *account_issuer, const pg_uuid_t *grant_id);

#endif
