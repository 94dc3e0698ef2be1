/*
 * token_lifetime.c
 *	  Until when a token is good, and when to renew it.
 */
#include "postgres.h"

#include "common/pg_prng.h"

#include "base/settings.h"
#include "worker/token_lifetime.h"

/*
 * Counted from when the request started, and in whole seconds as providers do:
 * never later than the provider's own idea of it.
 */
TimestampTz
token_expires_at(TimestampTz sent_at, int64 expires_in)
{
	return expires_in < 0 ? DT_NOEND
						  : sent_at - sent_at % USECS_PER_SEC + expires_in * USECS_PER_SEC;
}

TimestampTz
token_refresh_at(const Connector *connector, bool has_refresh_token, TimestampTz now,
				 TimestampTz expires_at)
{
	int64 lifetime = expires_at - now;
	int64 margin;

	/* A token that is born expired would be refreshed without end: on demand. */
	if (!has_refresh_token || TIMESTAMP_IS_NOEND(expires_at) || lifetime <= 0)
		return DT_NOEND;
	margin = (connector->refresh_margin >= 0 ? connector->refresh_margin : guc_refresh_margin) *
			 USECS_PER_SEC;
	margin = Min(margin, lifetime / 5);
	/* jitter: those that came together need not be due together */
	return expires_at - (int64) (margin * (0.8 + 0.2 * pg_prng_double(&pg_global_prng_state)));
}
