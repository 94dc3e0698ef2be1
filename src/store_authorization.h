/*
 * store_authorization.h
 *	  Statements on authorizations.
 */
#ifndef APPUSER_CONNECTORS_STORE_AUTHORIZATION_H
#define APPUSER_CONNECTORS_STORE_AUTHORIZATION_H

#include "authorization.h"
#include "store.h"

/* Inserts it, and deletes the app user's oldest beyond what is allowed. */
extern void store_insert_authorization(const Authorization *authorization);

/* Marks the flow consumed and returns it; NULL when there is none that was not.  Never
 * waits. */
extern Authorization *store_consume_authorization(const char *app_user, const uint8 *state_hash);

/* Locks a consumed flow without waiting: is it still there? */
extern LockResult store_lock_authorization(const char *app_user, const uint8 *state_hash);

/* False when it is gone, or held. */
extern bool store_delete_authorization(const char *app_user, const uint8 *state_hash);

/* Deletes expired flows of all app users, at most limit, but not those in use; returns
 * how many. */
typedef bool (*AuthorizationInUse)(const char *app_user, const uint8 *state_hash);
extern int store_sweep_authorizations(TimestampTz now, int limit, AuthorizationInUse in_use);

/* Deletes those whose exchange is under way, waiting for whoever holds one; false when
 * there are none. */
extern bool store_delete_exchanges(const char *app_user, const char *connector_id,
								   const char *connection_name);

/* Deletes those of an app user, waiting for whoever holds one. */
extern void store_delete_authorizations(const char *app_user);

#endif
