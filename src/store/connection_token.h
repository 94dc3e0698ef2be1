/*
 * connection_token.h
 *	  Sealing and opening a connection's tokens.
 */
#ifndef APPUSER_CONNECTORS_STORE_CONNECTION_TOKEN_H
#define APPUSER_CONNECTORS_STORE_CONNECTION_TOKEN_H

#include "store/connection.h"

/*
 * Seals both tokens (refresh_token may be NULL) for the connection's present key,
 * grant, generation and endpoints.  Raises UC008 without a key.
 */
extern void connection_seal_tokens(Connection *connection, const char *access_token,
								   const char *refresh_token);

/*
 * secret_alloc'ed; NULL when it does not belong to this row or was altered.  Raises
 * UC008 without a key.
 */
extern char *connection_open_access_token(const Connection *connection);
extern char *connection_open_refresh_token(const Connection *connection);

/*
 * The person must connect again: says so in the connection, to be stored by the caller,
 * and seals its tokens anew as those of an ended grant, in the same generation, so that
 * a status that is edited back opens nothing.  Raises UC008 without a key.
 */
extern void connection_end_grant(Connection *connection, const char *reason, TimestampTz now);

/*
 * The other way round: a connection whose grant has ended is connected again, and nothing of
 * it is served before it was renewed, which is due at refresh_at.  False: its tokens do not
 * open, or there is none to renew it with, and nothing was changed.
 */
extern bool connection_restore_grant(Connection *connection, TimestampTz now,
									 TimestampTz refresh_at);

#endif
