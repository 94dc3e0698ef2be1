/*
 * rate.c
 *	  How often something happened for one person lately, so that it can be bounded.
 *
 * In memory of the worker, of a fixed size: where a set of places is full, what was
 * counted least goes.  So it forgets rather than grows, and where it forgets, more is
 * allowed; but nobody can have a count of their own forgotten by another of their own:
 * people choose names of connections, so where these lie is a secret of the process, and
 * what was counted once or twice takes no place from what was counted often.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "common/hashfn.h"

#include "worker/rate.h"

#define SETS 512
#define PLACES 8 /* of a set */

typedef struct Rate
{
	uint64 of; /* hash */
	TimestampTz since;
	TimestampTz until;
	int count; /* 0: the place is free */
} Rate;

/* They live as long as the worker does: what it remembers is about more than one call. */
static Rate rates[SETS][PLACES];

static uint64
hash_more(uint64 hash, const char *text)
{
	/* with the zero byte, so that "a", "bc" is not "ab", "c" */
	return hash_bytes_extended((const unsigned char *) text, strlen(text) + 1, hash);
}

static uint64
hash_of(const char *what, const char *app_user, const char *connector_id,
		const char *connection_name)
{
	static uint64 secret = 0; /* of the process; without random bytes it is tried again */

	if (secret == 0 && !pg_strong_random(&secret, sizeof(secret)))
		secret = 0;
	return hash_more(hash_more(hash_more(hash_more(secret, what), app_user), connector_id),
					 connection_name);
}

/* Its place, or NULL; those whose time is over become free. */
static Rate *
find(uint64 of, TimestampTz now)
{
	Rate *set = rates[of % SETS];
	Rate *found = NULL;

	for (int i = 0; i < PLACES; i++)
	{
		/* a clock that went back must not make it last */
		if (now < set[i].since || now >= set[i].until)
			set[i].count = 0;
		else if (set[i].count > 0 && set[i].of == of)
			found = &set[i];
	}
	return found;
}

int
rate_of(const char *what, const char *app_user, const char *connector_id,
		const char *connection_name, int period, TimestampTz now)
{
	const Rate *rate = find(hash_of(what, app_user, connector_id, connection_name), now);

	return rate != NULL ? rate->count : 0;
}

int
rate_count(const char *what, const char *app_user, const char *connector_id,
		   const char *connection_name, int period, TimestampTz now)
{
	uint64 of = hash_of(what, app_user, connector_id, connection_name);
	Rate *set = rates[of % SETS];
	Rate *rate = find(of, now);

	if (rate == NULL)
	{
		rate = &set[0];
		for (int i = 1; i < PLACES; i++)
			if (set[i].count < rate->count)
				rate = &set[i];
		*rate = (Rate){of, now, now + period * INT64CONST(1000), 0};
	}
	return ++rate->count;
}
