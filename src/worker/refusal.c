/*
 * refusal.c
 *	  Whether a refusal in a provider's own words means that one grant is dead, or that
 *	  the provider has a bad day.
 *
 * RFC 6749 §5.2 has invalid_grant for a dead refresh token, and that is believed at once.
 * Some servers say it by an empty answer, invalid_request or a code of their own; and
 * firewalls, limiters and half-made deploys say the very same things to everybody for
 * minutes.  What tells them apart are the neighbours: a refusal is confirmed when, after it
 * and before the next, another person's grant of the same connector was renewed well at
 * the same endpoint.  Where nobody's is, it is an outage.  A connection that nobody's renewal can vouch for is given up
 * only when it was refused for a day while nobody else's fails.
 *
 * Kept in memory of the worker, of a fixed size: one that has just begun, or has forgotten,
 * doubts.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/timestamp.h"

#include "worker/refusal.h"

#define LASTING (24 * 3600 * 1000) /* ms */
#define PLACES 4096

/* The last renewals of two people at one token endpoint; others take their place. */
typedef struct SiteGrants
{
	uint64 site; /* hashed */
	struct
	{
		uint64 app_user; /* hashed */
		TimestampTz at;  /* 0: none */
	} last[2];
} SiteGrants;

/* When a connection was refused last; one that takes another's place makes that doubtful. */
typedef struct LastRefusal
{
	uint64 connection; /* hashed */
	TimestampTz at;
} LastRefusal;

static SiteGrants grants[PLACES];
static LastRefusal refusals[PLACES];

static uint64
hash_of(const char *text, uint64 seed)
{
	return hash_bytes_extended((const unsigned char *) text, strlen(text), seed);
}

/* Of a connector's connections, those whose tokens go to the same endpoint */
static uint64
site_of(const Connection *connection)
{
	const char *endpoints = connection->endpoints;

	return hash_bytes_extended((const unsigned char *) endpoints, strcspn(endpoints, " "),
							   hash_of(connection->connector_id, 0));
}

void
refusal_note_grant(const Connection *connection)
{
	uint64 site = site_of(connection);
	SiteGrants *entry = &grants[site % PLACES];
	uint64 hash = hash_of(connection->app_user, 0);

	if (entry->site != site)
		memset(entry, 0, sizeof(*entry));
	entry->site = site;
	if (entry->last[0].app_user != hash)
		entry->last[1] = entry->last[0];
	entry->last[0].app_user = hash;
	entry->last[0].at = GetCurrentTimestamp();
}

/* Was anybody else's grant renewed there since then? */
static bool
others_are_well(const Connection *connection, TimestampTz since)
{
	uint64 site = site_of(connection);
	const SiteGrants *entry = &grants[site % PLACES];
	uint64 hash = hash_of(connection->app_user, 0);

	if (entry->site != site)
		return false;
	for (int i = 0; i < 2; i++)
		if (entry->last[i].at > since && entry->last[i].app_user != hash)
			return true;
	return false;
}

RefusalVerdict
refusal_judge(const Connection *connection)
{
	uint64 hash = hash_of(connection->connection_name,
						  hash_of(connection->app_user, hash_of(connection->connector_id, 0)));
	LastRefusal *last = &refusals[hash % PLACES];
	TimestampTz now = GetCurrentTimestamp();
	/* the first of a row of trouble is confirmed by nothing that came before it */
	TimestampTz since = last->connection == hash && connection->failures > 0 ? last->at : DT_NOEND;

	last->connection = hash;
	last->at = now;
	if (others_are_well(connection, since))
		return REFUSAL_CONFIRMED;
	if (connection->failures > 0 &&
		TimestampDifferenceExceeds(connection->failing_since, now, LASTING) &&
		!store_another_is_failing(connection->app_user, connection->connector_id))
		return REFUSAL_LASTING;
	return REFUSAL_DOUBTED;
}
