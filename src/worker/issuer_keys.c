/*
 * issuer_keys.c
 *	  Fetching the published keys (RFC 7517) of identity issuers, into their rows.
 *
 * When a caller meets a token it has no key for, and ahead of their getting old,
 * so that no caller waits for that; keys that cannot be fetched again go on being
 * used.  The keys of providers' ID tokens are another matter: see jwks.c.
 *
 * Reading public keys spends nothing of anybody's, so a copy of a database does
 * it too.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/record.h"
#include "store/event.h"
#include "store/issuer.h"
#include "worker/diagnosis.h"
#include "worker/flight.h"
#include "worker/issuer_keys.h"

#define FAILURE_COOLDOWN (5 * 1000)    /* ms */
#define REFRESH_AGE (12 * 3600 * 1000) /* ms; a day at most */
#define LOOK_INTERVAL (60 * 1000)      /* ms between two looks at what is old */
#define TOLD_INTERVAL (3600 * 1000)    /* ms between two events about an issuer */

/*
 * Anybody can make up the id of a key, and would have backends wait for an issuer
 * that does not answer: where there are keys already, no more than so many.
 */
#define MAX_WAITERS 8

typedef struct KeysDetails
{
	char *jwks_uri;
	char *jwks;      /* NULL: they did not come */
	const char *why; /* of that, for the event */
} KeysDetails;

/* When fetching last failed, in memory only; one for each registered issuer at most */
typedef struct KeysFailure
{
	struct KeysFailure *next;
	char *issuer;
	TimestampTz failed_at; /* 0: not since it succeeded */
	TimestampTz told_at;   /* by an event */
} KeysFailure;

static KeysFailure *failures = NULL;

static KeysFailure *
failure_of(const char *issuer)
{
	KeysFailure *failure;

	for (failure = failures; failure != NULL; failure = failure->next)
		if (strcmp(failure->issuer, issuer) == 0)
			return failure;
	failure = MemoryContextAllocZero(TopMemoryContext, sizeof(KeysFailure));
	failure->issuer = MemoryContextStrdup(TopMemoryContext, issuer);
	failure->next = failures;
	failures = failure;
	return failure;
}

static void
init_details(Flight *flight)
{
	flight->details = MemoryContextAllocZero(flight->context, sizeof(KeysDetails));
}

void
issuer_keys_put_call(StringInfo record, const Issuer *issuer)
{
	record_put_text(record, issuer->issuer);
	record_put_int(record, !TIMESTAMP_IS_NOEND(issuer->fetched_at));
}

void
issuer_keys_take(StringInfo record, ProviderCallWaiter waiter)
{
	char *issuer = record_get_text(record);
	bool has_keys = record_get_int(record) != 0;
	Flight *flight = flight_find(&issuer_keys_flight, "", issuer, "");

	if (flight == NULL)
	{
		flight = flight_accept(&issuer_keys_flight, "", issuer, "", waiter);
		if (flight != NULL)
			init_details(flight);
	}
	else if (has_keys && flight->n_waiters >= MAX_WAITERS)
		provider_call_answer(waiter, CALL_PROVIDER_UNAVAILABLE, "enough wait for them already",
							 NULL);
	else
		flight_add_waiter(flight, waiter);
}

TimestampTz
issuer_keys_start_due(void)
{
	static TimestampTz next_look = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (now >= next_look)
	{
		int count;
		char **issuers =
			store_issuers_fetched_before(TimestampTzPlusMilliseconds(now, -REFRESH_AGE), &count);

		for (int i = 0; i < count; i++)
			if (flight_find(&issuer_keys_flight, "", issuers[i], "") == NULL)
				init_details(flight_create(&issuer_keys_flight, "", issuers[i], ""));
		next_look = TimestampTzPlusMilliseconds(now, LOOK_INTERVAL);
	}
	return next_look;
}

static bool
keys_prepare(Flight *flight)
{
	KeysDetails *details = flight->details;
	RowVersion version = {0};
	Issuer row;

	if (store_read_issuer(flight->connector_id, &version, &row) != ISSUER_READ ||
		row.jwks_uri == NULL || !issuer_may_fetch(row.fetched_at))
	{
		/* whoever asked looks again, and finds what changed meanwhile */
		flight->outcome = CALL_SUCCEEDED;
		return false;
	}
	if (!TimestampDifferenceExceeds(failure_of(row.issuer)->failed_at, GetCurrentTimestamp(),
									FAILURE_COOLDOWN))
	{
		flight_fail(flight, CALL_PROVIDER_UNAVAILABLE, "it failed a moment ago");
		return false;
	}
	details->jwks_uri = row.jwks_uri;
	flight->request.url = row.jwks_uri;
	return true;
}

static bool
keys_answered(Flight *flight, const HttpResponse *response)
{
	KeysDetails *details = flight->details;
	JwtKeySet *keys = NULL;
	int usable = 0;

	if (response->outcome != HTTP_ANSWERED)
	{
		details->why = diagnose_issuer_keys(flight->connector_id, details->jwks_uri, response);
		flight_fail(flight, CALL_PROVIDER_UNAVAILABLE, "no usable answer from its jwks_uri");
		return false;
	}
	if (response->status == 200)
		keys = jwt_keys_parse(response->body, response->body_len, &usable);
	jwt_keys_free(keys);
	if (usable > 0)
	{
		details->jwks = pnstrdup(response->body, response->body_len);
		flight->outcome = CALL_SUCCEEDED;
		return false;
	}
	flight_fail(flight, CALL_PROVIDER_UNAVAILABLE, "its jwks_uri answered no usable key, status %d",
				response->status);
	details->why = diagnose_issuer_keys(flight->connector_id, details->jwks_uri, response);
	ereport(LOG, (errmsg("the keys of issuer \"%s\" could not be fetched: the answer with status "
						 "%d is no JWK Set with a usable key",
						 flight->connector_id, response->status)));
	return false;
}

/* Whoever has a JWT may have it tried again and again. */
static void
tell_failure(const KeysDetails *details, KeysFailure *failure, TimestampTz now)
{
	if (!TimestampDifferenceExceeds(failure->told_at, now, TOLD_INTERVAL))
		return;
	event_record("", "", NULL, "issuer_keys_failed", details->why);
	failure->told_at = now;
}

static bool
keys_apply(Flight *flight)
{
	KeysDetails *details = flight->details;
	KeysFailure *failure = failure_of(flight->connector_id);
	TimestampTz now = GetCurrentTimestamp();
	bool failed = details->jwks == NULL && !flight->local_trouble;

	failure->failed_at = failed ? now : 0;
	if (failed)
		tell_failure(details, failure, now);
	return details->jwks == NULL ||
		   store_put_issuer_keys(flight->connector_id, details->jwks_uri, details->jwks, now);
}

/* connector_id is the issuer; app_user and connection_name are empty. */
const FlightKind issuer_keys_flight = {"issuer keys", STATS_KEYS, keys_prepare, keys_answered,
									   keys_apply,    NULL,       NULL};
