/*
 * rate.c
 *	  How often something happened for one person lately, so that it can be bounded.
 *
 * In memory of the worker, of a fixed size: where two have the same place, the later
 * takes it.  So it forgets rather than grows, and where it forgets, more is allowed;
 * what must hold at any rate is bounded elsewhere.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/timestamp.h"

#include "worker/rate.h"

#define PLACES 4096

typedef struct Rate
{
	uint64 of; /* hash */
	TimestampTz since;
	int count;
} Rate;

/* They live as long as the worker does: what it remembers is about more than one call. */
static Rate rates[PLACES];

static uint64
hash_more(uint64 hash, const char *text)
{
	/* with the zero byte, so that "a", "bc" is not "ab", "c" */
	return hash_bytes_extended((const unsigned char *) text, strlen(text) + 1, hash);
}

/* Its place, which is another's as long as of differs. */
static Rate *
place(const char *what, const char *app_user, const char *connector_id, const char *connection_name,
	  int period, uint64 *of)
{
	TimestampTz now = GetCurrentTimestamp();
	Rate *rate;

	*of = hash_more(hash_more(hash_more(hash_more(0, what), app_user), connector_id),
					connection_name);
	rate = &rates[*of % PLACES];
	/* a clock that went back must not make it last */
	if (rate->of == *of &&
		(rate->since > now || TimestampDifferenceExceeds(rate->since, now, period)))
		rate->count = 0;
	return rate;
}

int
rate_of(const char *what, const char *app_user, const char *connector_id,
		const char *connection_name, int period)
{
	uint64 of;
	const Rate *rate = place(what, app_user, connector_id, connection_name, period, &of);

	return rate->of == of ? rate->count : 0;
}

int
rate_count(const char *what, const char *app_user, const char *connector_id,
		   const char *connection_name, int period)
{
	uint64 of;
	Rate *rate = place(what, app_user, connector_id, connection_name, period, &of);

	if (rate->of != of || rate->count == 0)
	{
		rate->of = of;
		rate->since = GetCurrentTimestamp();
		rate->count = 0;
	}
	return ++rate->count;
}
