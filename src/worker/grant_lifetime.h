/*
 * grant_lifetime.h
 *	  Until when a grant can be renewed, and when its person is told.
 */
#ifndef APPUSER_CONNECTORS_WORKER_GRANT_LIFETIME_H
#define APPUSER_CONNECTORS_WORKER_GRANT_LIFETIME_H

#include "oauth/client.h"
#include "store/connection.h"

/*
 * Sets reconnect_by and remind_at of a connection after an answer to a request that was sent
 * at that time; expires_at, connected_at and whether there is a refresh token are known.
 * Before they are what they were, or DT_NOEND of a grant that has just begun.
 * refresh_token_expires_in as of a TokenResponse.
 */
extern void grant_lifetime_renew(Connection *connection, const OAuthClient *client,
								 bool has_refresh_token, TimestampTz sent_at,
								 int64 refresh_token_expires_in);

/* Is it past the time that its grant was to end, and was it not renewed after that? */
extern bool grant_lifetime_is_over(const Connection *connection, TimestampTz now);

#endif
