/*
 * authorization.h
 *	  A flow under way: begun by connect_app_user(), consumed by the worker.  Its row
 *	  and the statements on it.
 */
#ifndef APPUSER_CONNECTORS_STORE_AUTHORIZATION_H
#define APPUSER_CONNECTORS_STORE_AUTHORIZATION_H

#include "common/sha2.h"
#include "lib/stringinfo.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "store/store.h"

#define MAX_AUTHORIZATIONS 5 /* under way, of one app user at one connector */
#define MAX_AUTHORIZATIONS_OF_APP_USER 50

/* How long a callback that is loaded again gets the row of the first time */
#define OUTCOME_PERIOD 60000 /* ms */

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
	bool consumed;
	bytea *sealed_outcome; /* NULL: not ended */
	char *party;           /* see authorization_party; sealed as well */
	TimestampTz created_at;
	TimestampTz expires_at;
} Authorization;

/* Inserts it, and deletes the app user's oldest beyond what is allowed. */
extern void store_insert_authorization(const Authorization *authorization);

/*
 * The flow with this state, used or not, as of the latest snapshot; NULL when there is
 * none.  One indexed read, without a lock.
 */
extern Authorization *store_find_authorization(const char *app_user, const uint8 *state_hash);

/* The same, locked; NULL also when somebody else holds it.  Never waits. */
extern Authorization *store_take_authorization(const char *app_user, const uint8 *state_hash);

/* Marks one that was taken consumed, and wipes its secrets. */
extern void store_consume_authorization(const char *app_user, const uint8 *state_hash);

/*
 * Keeps the outcome of a flow that was consumed, at least until keep_until, and deletes the
 * oldest of those of this app user and connector that have ended, beyond MAX_AUTHORIZATIONS.
 */
extern void store_end_authorization(const Authorization *authorization, TimestampTz keep_until);

/* Locks a consumed flow without waiting: is it still there? */
extern LockResult store_lock_authorization(const char *app_user, const uint8 *state_hash);

/* False when it is gone, or held. */
extern bool store_delete_authorization(const char *app_user, const uint8 *state_hash);

/* Deletes expired flows of all app users, at most limit, but not those in use; true:
 * there are more. */
typedef bool (*AuthorizationInUse)(const char *app_user, const uint8 *state_hash);
extern bool store_sweep_authorizations(TimestampTz now, int limit, AuthorizationInUse in_use);

/* Deletes those that were consumed, waiting for whoever holds one; false when no exchange
 * was under way. */
extern bool store_delete_exchanges(const char *app_user, const char *connector_id,
								   const char *connection_name);

/* Deletes those of an app user, waiting for whoever holds one. */
extern void store_delete_authorizations(const char *app_user);

#endif
