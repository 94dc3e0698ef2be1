/*
 * circuit.c
 *	  Whether a connector's provider is to be called at all, and when again.
 *
 * What a provider answers about one grant is that grant's: one person's failures, of
 * however many connections, close nothing to anybody.  It is left alone when calls of
 * several people failed, one after the other was known to have failed, and none of
 * anybody succeeded; calls that were in the air together count once.  Then it is tried
 * by a few calls at a time, after a second, and twice as long after each further person
 * whose call fails.  Kept in memory of the worker only: a new worker finds out for
 * itself.  That a connector is stopped, because its client was refused, stands in its
 * row, which refresh_failure.c writes.
 */
#include "postgres.h"

#include <math.h>

#include "common/hashfn.h"
#include "common/pg_prng.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "store/connector.h"
#include "worker/circuit.h"

#define BACKOFF_FIRST 1000          /* ms */
#define BACKOFF_MAX (5 * 60 * 1000) /* ms */
#define FAILURES_TO_OPEN 3          /* of different people, one after the other */
#define REFUSALS_TO_STOP 3          /* of the client, to different people */
#define OPEN_FIRST 1000             /* ms */
#define OPEN_MAX (30 * 1000)        /* ms */
#define REMEMBERED 16               /* people */

/* The last of those that something happened to, each once, by hash */
typedef struct People
{
	uint64 hashes[REMEMBERED];
	int count; /* may be more than are remembered */
} People;

/*
 * Those that have trouble, since anybody's call succeeded.  Whose trouble was shown by
 * that to be their own counts no more, until they are well themselves: or a few people
 * could have the same counted against everybody over and over.
 */
typedef struct Trouble
{
	People people;
	People own;
} Trouble;

typedef struct Circuit
{
	char connector_id[MAX_CONNECTOR_ID + 1]; /* hash key */
	Trouble failed;
	TimestampTz failed_at; /* the last of these was known */
	TimestampTz open_until;
	Trouble refused; /* the client was, for them */
} Circuit;

/* Of connectors that have trouble, as long as they have it: the worker's memory of it */
static HTAB *circuits = NULL;

int64
retry_delay(int failures, int retry_after)
{
	double delay = BACKOFF_FIRST * pow(2, Min(failures, 20) - 1);

	delay = Min(delay, BACKOFF_MAX);
	delay *= 0.5 + 0.5 * pg_prng_double(&pg_global_prng_state);
	if (retry_after >= 0)
		delay = Max(delay, retry_after * 1000.0);
	return (int64) delay;
}

/* NULL if there is none, unless it is to be made */
static Circuit *
circuit_of(const char *connector_id, HASHACTION action)
{
	char key[MAX_CONNECTOR_ID + 1] = {0};
	bool found;
	Circuit *circuit;

	if (circuits == NULL)
	{
		HASHCTL control = {
			.keysize = sizeof(key), .entrysize = sizeof(Circuit), .hcxt = TopMemoryContext};

		circuits = hash_create("circuits of connectors", 64, &control,
							   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	strlcpy(key, connector_id, sizeof(key));
	circuit = hash_search(circuits, key, action, &found);
	if (action == HASH_ENTER && !found)
	{
		memset(&circuit->failed, 0, sizeof(Trouble));
		memset(&circuit->refused, 0, sizeof(Trouble));
		circuit->failed_at = circuit->open_until = 0;
	}
	return circuit;
}

static void circuit_forget_if_well(Circuit *circuit);

static uint64
person(const char *app_user)
{
	return hash_bytes_extended((const unsigned char *) app_user, strlen(app_user), 0);
}

static bool
is_among(const People *people, uint64 hash)
{
	for (int i = 0; i < Min(people->count, REMEMBERED); i++)
		if (people->hashes[i] == hash)
			return true;
	return false;
}

/* In the place of the first of them, when there are too many */
static void
remember(People *people, uint64 hash)
{
	people->hashes[people->count % REMEMBERED] = hash;
	people->count++;
}

static void
forget(People *people, uint64 hash)
{
	int kept = 0;

	for (int i = 0; i < Min(people->count, REMEMBERED); i++)
		if (people->hashes[i] != hash)
			people->hashes[kept++] = people->hashes[i];
	people->count = kept;
}

/* False: it is known of that person. */
static bool
add_trouble(Trouble *trouble, const char *app_user)
{
	uint64 hash = person(app_user);

	if (is_among(&trouble->people, hash) || is_among(&trouble->own, hash))
		return false;
	remember(&trouble->people, hash);
	return true;
}

/* Somebody is well, so that it was the others' own. */
static void
end_trouble(Trouble *trouble, const char *app_user)
{
	for (int i = 0; i < Min(trouble->people.count, REMEMBERED); i++)
		remember(&trouble->own, trouble->people.hashes[i]);
	trouble->people.count = 0;
	forget(&trouble->own, person(app_user));
}

TimestampTz
circuit_open_until(const char *connector_id)
{
	const Circuit *circuit = circuit_of(connector_id, HASH_FIND);

	return circuit != NULL ? circuit->open_until : 0;
}

bool
circuit_is_half_open(const char *connector_id)
{
	TimestampTz open_until = circuit_open_until(connector_id);

	return open_until != 0 && open_until <= GetCurrentTimestamp();
}

/*
 * Whoever has failed before, and fails again, says nothing new: that connection waits
 * by itself.
 */
void
circuit_note_failure(const char *connector_id, const char *app_user, TimestampTz sent_at)
{
	Circuit *circuit = circuit_of(connector_id, HASH_ENTER);
	TimestampTz now = GetCurrentTimestamp();
	double delay;

	/* a clock that went back must not stop it */
	if ((sent_at < circuit->failed_at && circuit->failed_at <= now) ||
		!add_trouble(&circuit->failed, app_user))
		return;
	circuit->failed_at = now;
	if (circuit->failed.people.count < FAILURES_TO_OPEN)
		return;
	delay = OPEN_FIRST * pow(2, Min(circuit->failed.people.count - FAILURES_TO_OPEN, 20));
	delay = Min(delay, OPEN_MAX) * (0.75 + 0.5 * pg_prng_double(&pg_global_prng_state));
	circuit->open_until = TimestampTzPlusMilliseconds(now, (int64) delay);
}

void
circuit_note_answer(const char *connector_id, const char *app_user)
{
	Circuit *circuit = circuit_of(connector_id, HASH_FIND);

	if (circuit == NULL)
		return;
	end_trouble(&circuit->failed, app_user);
	circuit->failed_at = circuit->open_until = 0;
	circuit_forget_if_well(circuit);
}

void
circuit_note_success(const char *connector_id, const char *app_user)
{
	Circuit *circuit = circuit_of(connector_id, HASH_FIND);

	if (circuit != NULL)
		end_trouble(&circuit->refused, app_user);
	circuit_note_answer(connector_id, app_user);
}

static void
circuit_forget_if_well(Circuit *circuit)
{
	if (circuit->failed.own.count == 0 && circuit->refused.people.count == 0 &&
		circuit->refused.own.count == 0)
		(void) circuit_of(circuit->connector_id, HASH_REMOVE);
}

/*
 * invalid_client may be about one person (a tenant that removed the app) or about the
 * client; it is the client's when several people are told so, and nobody else is served.
 */
bool
circuit_note_client_refusal(const char *connector_id, const char *app_user)
{
	Circuit *circuit = circuit_of(connector_id, HASH_ENTER);

	/* more are the rest of those that were under way when it was stopped */
	return add_trouble(&circuit->refused, app_user) &&
		   circuit->refused.people.count == REFUSALS_TO_STOP;
}

bool
circuit_was_refused(const char *connector_id, const char *app_user)
{
	const Circuit *circuit = circuit_of(connector_id, HASH_FIND);

	return circuit != NULL && is_among(&circuit->refused.people, person(app_user));
}

void
circuit_note_resumed(const char *connector_id)
{
	Circuit *circuit = circuit_of(connector_id, HASH_FIND);

	if (circuit != NULL && circuit->refused.people.count >= REFUSALS_TO_STOP)
		memset(&circuit->refused, 0, sizeof(Trouble));
}
