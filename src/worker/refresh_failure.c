/*
 * refresh_failure.c
 *	  What a refresh that was in vain does to its connection: what it is told, when it is
 *	  tried again, and when its grant counts as dead.
 *
 * A provider's trouble changes no status; a dead grant does, and only if the refresh
 * token that was refused is still the stored one.
 */
#include "postgres.h"

#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/errors.h"
#include "store/connection.h"
#include "store/connection_token.h"
#include "store/connector.h"
#include "store/event.h"
#include "store/store.h"
#include "worker/circuit.h"
#include "worker/diagnosis.h"
#include "worker/grant_lifetime.h"
#include "worker/rate.h"
#include "worker/refresh_details.h"
#include "worker/refresh_failure.h"
#include "worker/refusal.h"

#define PROMPT_RETRIES 3           /* of a token whose answer was lost, within PROMPT_DELAY */
#define PROMPT_DELAY 1000          /* ms */
#define REFUSAL_DELAY (30 * 1000)  /* ms, doubled with each */
#define REFUSALS_TO_GIVE_UP 4      /* that were confirmed */
#define PROBE_INTERVAL (60 * 1000) /* ms, doubled with each */
#define PROBE_INTERVAL_MAX (60 * 60 * 1000)
#define PROBE_GRACE (10 * 60 * 1000) /* ms; that somebody else has to try it */
#define EARLY_TRY                                                                                  \
	(5 * 60 * 1000) /* ms; so often one that is to rest longer is tried if asked for */
#define UNCLEAR_REASON "unanswered" /* what became of the token is unclear */

bool
refresh_is_unclear(const Connection *connection)
{
	return connection->failures > 0 && connection->status_reason != NULL &&
		   strcmp(connection->status_reason, UNCLEAR_REASON) == 0;
}

static void
note_failure(Flight *flight)
{
	RefreshDetails *details = flight->details;

	/* counted before, when it could not be stored; at a site of one's own it says nothing of others' */
	if (!details->counted && !flight->connector->has_own_endpoints)
		circuit_note_failure(flight->connector_id, flight->app_user, flight->sent_at);
	details->counted = true;
}

/* What an event says: a reason that is a code, and what came of the call if one was made */
static const char *
event_detail(const Flight *flight, const char *reason)
{
	const RefreshDetails *details = flight->details;

	if (details->why == NULL)
		return diagnose_reason(reason);
	/* a reason that is no code is in it */
	return flight->tokens.error[0] == '\0' ? details->why
										   : psprintf("%s: %s", reason, details->why);
}

static void
note_client_refusal(const Flight *flight)
{
	const RefreshDetails *details = flight->details;
	TimestampTz now = GetCurrentTimestamp();
	const Connector *connector = store_get_connector(flight->connector_id);
	long delay = PROBE_INTERVAL;
	bool stops;

	/* of a client that an admin has corrected meanwhile it says nothing, nor of other sites' */
	if (connector == NULL || flight->connector->has_own_endpoints ||
		connector->updated_at != flight->connector->updated_at)
		return;
	stops = circuit_note_client_refusal(flight->connector_id, flight->app_user);
	if (!details->probing && !stops)
		return;
	/* soon at first: it may have been about a few people, and another is served */
	if (!TIMESTAMP_IS_NOEND(connector->stopped_at))
		delay = Max(delay,
					TimestampDifferenceMilliseconds(connector->stopped_at, GetCurrentTimestamp()));
	store_stop_connector(flight->connector_id, "invalid_client", now,
						 TimestampTzPlusMilliseconds(now, Min(delay, PROBE_INTERVAL_MAX)));
	if (!details->probing)
		event_record("", flight->connector_id, NULL, "connector_stopped",
					 psprintf("invalid_client: %s", details->why_of_connector));
}

/*
 * For a change that is no new token.  False: there is nothing to change, or (with
 * flight->row_held) somebody holds the row, and it is tried again later.
 */
static bool
lock_same_grant(Flight *flight, Connection *connection)
{
	RefreshDetails *details = flight->details;
	LockResult lock = store_lock_connection(flight->app_user, flight->connector_id,
											flight->connection_name, connection);

	flight->row_held = lock == LOCK_HELD;
	if (lock == LOCK_TAKEN &&
		memcmp(&connection->grant_id, &details->grant_id, sizeof(pg_uuid_t)) == 0 &&
		connection->generation == details->generation)
		return true;

	/* The failure is not about what is stored now, which the callers read. */
	if (lock == LOCK_MISSING)
		flight_fail(flight, CALL_CONNECTION_NOT_FOUND, "%s", "");
	else if (lock == LOCK_TAKEN)
		flight->outcome = CALL_SUCCEEDED;
	return false;
}

static void
require_reconnect(Flight *flight, const char *reason, const char *detail)
{
	Connection connection = {0};

	flight_fail(flight, CALL_RECONNECT_REQUIRED, "%s", reason);
	if (!lock_same_grant(flight, &connection))
		return;
	connection_end_grant(&connection, reason, GetCurrentTimestamp());
	store_update_connection(&connection);
	event_record(flight->app_user, flight->connector_id, flight->connection_name,
				 "reconnect_required", detail);
}

void
refresh_require_reconnect(Flight *flight, const char *reason)
{
	require_reconnect(flight, reason, event_detail(flight, reason));
}

/*
 * Locks the row of a refresh that was in vain and counts it.  False: see
 * lock_same_grant.
 */
static bool
begin_failure(Flight *flight, Connection *connection)
{
	if (!lock_same_grant(flight, connection))
		return false;
	/* what an admin has corrected since is not counted */
	if (connection->failures > 0 && flight->connector != NULL &&
		flight->connector->updated_at > connection->failing_since)
		connection->failures = connection->refusals = 0;
	return true;
}

/* Writes it: not before delay (ms) again. */
static void
finish_failure(Flight *flight, Connection *connection, const char *reason, const char *problem,
			   int64 delay)
{
	TimestampTz now = GetCurrentTimestamp();

	if (connection->failures++ == 0)
	{
		connection->failing_since = now;
		event_record(flight->app_user, flight->connector_id, flight->connection_name,
					 "refresh_failing", event_detail(flight, problem));
	}
	connection->status_reason = unconstify(char *, reason);
	connection->refresh_at = TimestampTzPlusMilliseconds(now, delay);
	store_update_connection(connection);
}

void
refresh_postpone(Flight *flight, const char *reason, int64 delay)
{
	const RefreshDetails *details = flight->details;
	Connection connection = {0};

	if (!begin_failure(flight, &connection))
		return;
	/* that it is unclear what became of the token must not be forgotten over it */
	if (details->unclear && flight->first_sent_at != 0)
		finish_failure(flight, &connection, UNCLEAR_REASON, reason, delay);
	else
	{
		connection.refusals = 0;
		finish_failure(flight, &connection, reason, reason, delay);
	}
}

/* Sent, and not answered: the provider may have replaced the token. */
static void
postpone_unclear(Flight *flight, const char *problem, int64 delay)
{
	const RefreshDetails *details = flight->details;
	Connection connection = {0};

	if (!begin_failure(flight, &connection))
		return;
	if (!details->unclear)
		connection.refusals = 0;
	finish_failure(flight, &connection, UNCLEAR_REASON, problem, delay);
}

/*
 * invalid_grant for a token that may be used up already, because an answer was lost: it
 * may say that the first request is still under way, or come within the provider's grace.
 * It is believed when it is said again and again for a minute.
 *
 * Whether an answer was lost with a worker that crashed nobody has written down, which would
 * cost a commit before each refresh.  So that is assumed of every token that is older than
 * the worker, also where the one before was told to end: it may have given up waiting.
 */
static void
ask_again(Flight *flight, const char *problem)
{
	static const int delays[] = {5000, 10000, 20000, 30000}; /* ms */
	const RefreshDetails *details = flight->details;
	Connection connection = {0};

	if (!begin_failure(flight, &connection))
		return;
	if (!details->unclear)
		connection.refusals = 0;
	if (connection.refusals >= (int) lengthof(delays))
	{
		refresh_require_reconnect(flight, problem);
		return;
	}
	finish_failure(flight, &connection, UNCLEAR_REASON, problem, delays[connection.refusals++]);
}

/* Refused in words that no standard has for a dead grant: see refusal.c. */
static void
note_refusal(Flight *flight, const char *problem, int64 delay)
{
	const RefreshDetails *details = flight->details;
	Connection connection = {0};
	RefusalVerdict verdict;

	if (!begin_failure(flight, &connection))
		return;
	if (details->unclear)
		connection.refusals = 0; /* counts what was asked again */
	verdict = refusal_judge(&connection);
	/* that is what was to be expected */
	if (verdict == REFUSAL_DOUBTED && grant_lifetime_is_over(&connection, GetCurrentTimestamp()))
		verdict = REFUSAL_CONFIRMED;
	if (verdict == REFUSAL_CONFIRMED)
		connection.refusals++;
	if (verdict == REFUSAL_LASTING || connection.refusals >= REFUSALS_TO_GIVE_UP)
	{
		require_reconnect(flight, problem,
						  psprintf("%s; the person connects again, or, if it was the provider's "
								   "mistake, retry_connections()",
								   event_detail(flight, problem)));
		return;
	}
	finish_failure(flight, &connection, problem, problem,
				   Max(delay, (int64) REFUSAL_DELAY << Min(connection.failures, 6)));
}

bool
refresh_may_probe(const Flight *flight, const Connector *connector, TimestampTz now)
{
	TimestampTz from = connector->probe_at;

	if (TIMESTAMP_IS_NOEND(from))
		return false;
	if (circuit_was_refused(flight->connector_id, flight->app_user))
		from = TimestampTzPlusMilliseconds(from, PROBE_GRACE);
	return from <= now;
}

bool
refresh_may_try_early(const Flight *flight, const Connection *connection, TimestampTz now)
{
	return flight->n_waiters > 0 && connection->refusals == 0 &&
		   TimestampDifferenceExceeds(now, connection->refresh_at, EARLY_TRY) &&
		   TimestampDifferenceExceeds(connection->failing_since, now, EARLY_TRY) &&
		   strcmp(connection->status_reason ? connection->status_reason : "", "invalid_client") !=
			   0 &&
		   rate_count("early", flight->app_user, flight->connector_id, flight->connection_name,
					  EARLY_TRY, now) == 1;
}

void
refresh_store_failure(Flight *flight)
{
	const RefreshDetails *details = flight->details;
	const char *problem = flight->problem;
	Connection connection = {0};
	int failures = 1;
	int64 delay;

	if (store_read_connection(flight->app_user, flight->connector_id, flight->connection_name,
							  GetLatestSnapshot(), &connection))
		failures = connection.failures + 1;
	delay = retry_delay(failures, flight->retry_after);
	if (flight->local_trouble)
		flight_fail(flight, CALL_FAILED, "The provider could not be called: %s.", problem);
	else
		flight_fail(flight, CALL_PROVIDER_UNAVAILABLE, "The provider's token endpoint: %s.",
					problem);

	if (flight->http_outcome == HTTP_UNANSWERED && failures <= PROMPT_RETRIES)
		delay = Min(delay, PROMPT_DELAY);
	if (flight->http_outcome == HTTP_FORBIDDEN)
		flight->outcome = CALL_CONNECTOR_MISCONFIGURED;
	if (flight->http_outcome != HTTP_ANSWERED)
	{
		if (!flight->local_trouble)
			note_failure(flight);
		/* what was not even sent stays due: it is this server that has failed */
		if (!flight->local_trouble || flight->http_outcome == HTTP_UNANSWERED)
		{
			if (flight->http_outcome == HTTP_UNANSWERED)
				postpone_unclear(flight, problem, delay);
			else
				refresh_postpone(flight, problem, delay);
		}
		return;
	}
	switch (flight->tokens.outcome)
	{
		case TOKEN_INVALID_GRANT:
			circuit_note_answer(flight->connector_id, flight->app_user);
			if ((details->unclear || details->inherited || details->lost > 0) &&
				!grant_lifetime_is_over(&connection, GetCurrentTimestamp()))
				ask_again(flight, problem);
			else
				refresh_require_reconnect(flight, problem);
			break;
		case TOKEN_INVALID_CLIENT:
			circuit_note_answer(flight->connector_id, flight->app_user);
			flight_fail(flight, CALL_CONNECTOR_MISCONFIGURED,
						"The provider refused the client: %s.", problem);
			note_client_refusal(flight);
			if (flight->connector->has_own_endpoints)
				delay = Max(
					delay, Min((int64) PROBE_INTERVAL << Min(failures - 1, 6), PROBE_INTERVAL_MAX));
			refresh_postpone(flight, "invalid_client", Max(delay, REFUSAL_DELAY));
			break;
		case TOKEN_REFUSED:
			note_refusal(flight, problem, delay);
			break;
		case TOKEN_RATE_LIMITED:
		case TOKEN_UNAVAILABLE:
		case TOKEN_MALFORMED:
		case TOKEN_GRANTED:
			note_failure(flight);
			refresh_postpone(flight, problem, delay);
			break;
	}
}

void
refresh_put_off(Flight *flight)
{
	if (flight->error == ERRCODE_UC_KEY_UNAVAILABLE)
		refresh_postpone(flight, UNREADABLE_REASON, UNREADABLE_DELAY);
	else if (store_put_off_connection(
				 flight->app_user, flight->connector_id, flight->connection_name, UNREADABLE_REASON,
				 TimestampTzPlusMilliseconds(GetCurrentTimestamp(), UNREADABLE_DELAY)))
		event_record_once(flight->app_user, flight->connector_id, flight->connection_name,
						  "refresh_failing", diagnose_reason(UNREADABLE_REASON),
						  GetCurrentTimestamp() - USECS_PER_DAY);
}
