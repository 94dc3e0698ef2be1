/*
 * grant_lifetime.c
 *	  Until when a grant can be renewed, and when its person is told.
 *
 * Some refresh tokens live for a fixed time, some from one use to the next, and some
 * grants end a year after the consent whatever was renewed.  What is kept is the first of
 * these ends.  It informs: nothing ends here by it, since what a definition or an answer
 * says may be wrong, and what still works may go on.
 */
#include "postgres.h"

#include "oauth/response.h"
#include "worker/grant_lifetime.h"
#include "worker/token_lifetime.h"

#define NOTICE_PERIOD (7 * USECS_PER_DAY)
#define NOTICE_SHARE 4            /* of a life that is short */
#define TOO_SHORT USECS_PER_DAY   /* to be told of: who is away for a day reads nothing */
#define SAME_END (USECS_PER_HOUR) /* servers count the seconds that are left */

static TimestampTz
remind_at(const Connection *former, TimestampTz reconnect_by, TimestampTz now)
{
	int64 life = reconnect_by - now;
	int64 moved = reconnect_by - former->reconnect_by;

	if (TIMESTAMP_IS_NOEND(reconnect_by))
		return DT_NOEND;
	/* of the same end once, however often an answer names it; and one that moves with each
	 * refresh takes its reminder along */
	if (!TIMESTAMP_IS_NOEND(former->reconnect_by) && moved <= SAME_END && moved >= -SAME_END)
		return TIMESTAMP_IS_NOEND(former->remind_at) ? DT_NOEND : former->remind_at + moved;
	return life < TOO_SHORT ? DT_NOEND : reconnect_by - Min(NOTICE_PERIOD, life / NOTICE_SHARE);
}

void
grant_lifetime_renew(Connection *connection, const OAuthClient *client, bool has_refresh_token,
					 TimestampTz sent_at, int64 refresh_token_expires_in)
{
	TimestampTz reconnect_by = connection->reconnect_by;

	if (!has_refresh_token)
		reconnect_by = connection->expires_at;
	else if (refresh_token_expires_in >= 0)
		reconnect_by = token_expires_at(sent_at, refresh_token_expires_in);
	else if (refresh_token_expires_in == REFRESH_TOKEN_LASTS)
		reconnect_by = DT_NOEND;
	if (client->grant_lifetime > 0)
		reconnect_by =
			Min(reconnect_by, token_expires_at(connection->connected_at, client->grant_lifetime));
	connection->remind_at = remind_at(connection, reconnect_by, GetCurrentTimestamp());
	connection->reconnect_by = reconnect_by;
}

/* One that was renewed since is not: whoever said when it ends was wrong. */
bool
grant_lifetime_is_over(const Connection *connection, TimestampTz now)
{
	return connection->reconnect_by <= now && connection->updated_at <= connection->reconnect_by;
}
