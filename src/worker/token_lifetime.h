/*
 * token_lifetime.h
 *	  Until when a token is good, and when to renew it.
 */
#ifndef APPUSER_CONNECTORS_WORKER_TOKEN_LIFETIME_H
#define APPUSER_CONNECTORS_WORKER_TOKEN_LIFETIME_H

#include "utils/timestamp.h"

#include "store/connector.h"

/* expires_at of a token response whose request was sent at that time */
extern TimestampTz token_expires_at(TimestampTz sent_at, int64 expires_in);

/* When to refresh a token; DT_NOEND: never by itself */
extern TimestampTz token_refresh_at(const Connector *connector, bool has_refresh_token,
									TimestampTz now, TimestampTz expires_at);

#endif
