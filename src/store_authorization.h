/*
 * store_authorization.h
 *	  Statements on authorizations.
 */
#ifndef APPUSER_CONNECTORS_STORE_AUTHORIZATION_H
#define APPUSER_CONNECTORS_STORE_AUTHORIZATION_H

#include "authorization.h"

/* Inserts it, and deletes the app user's oldest beyond what is allowed. */
extern void store_insert_authorization(const Authorization *authorization);

/* Deletes and returns the flow; NULL when there is none (left).  Never waits. */
extern Authorization *store_consume_authorization(const char *app_user, const uint8 *state_hash);

/* Deletes expired flows of all app users, at most limit; returns how many. */
extern int store_sweep_authorizations(TimestampTz now, int limit);

extern void store_delete_authorizations(const char *app_user);

#endif
