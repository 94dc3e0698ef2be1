/*
 * flight.c
 *	  Driving calls to providers through their states.  Which of them may go first:
 *	  flight_places.c; keeping answers that cannot be applied yet: flight_pending.c.
 *
 * All answers that have arrived are committed in one transaction; if that fails,
 * each in its own; one that fails alone is put into pending_answers.  An answer
 * stays in memory until COMMIT has returned, and nobody is told before.
 */
#include "postgres.h"

#include <time.h>

#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "base/errors.h"
#include "base/settings.h"
#include "oauth/retry_after.h"
#include "store/keyring.h"
#include "store/outbox.h"
#include "store/store.h"
#include "worker/descriptors.h"
#include "worker/failure_log.h"
#include "worker/flight.h"
#include "worker/transaction.h"

#define HELD_RETRY 100 /* ms */
#define HELD_RETRY_MAX 1000
#define IMPATIENT_LOCK_TIMEOUT "1ms"
#define IMPATIENCE 1000 /* ms after a wait for a lock in vain, in which there is no other */
#define MAX_BATCH 500
#define MAX_LOCKED 16 /* of a batch that find a lock in their way, before the rest wait too */

static bool failed = false;   /* of the last turn, see flights_failed; turns do not nest */
static bool stopping = false; /* see flights_stop */

/* Until then a lock that somebody else has is not waited for: all would wait for it. */
static TimestampTz impatient_until = 0;

typedef bool (*FlightStep)(Flight *flight);

static void finish_flight(Flight *flight);
static bool must_save(const Flight *flight);
static bool prepare_step(Flight *flight);
static MemoryContext prepare_context(const Flight *flight);
static void defer_call(Flight *flight, ProviderCallWaiter waiter);

static Flight *
create(const FlightKind *kind, const char *app_user, const char *connector_id,
	   const char *connection_name, bool called)
{
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "provider call", ALLOCSET_SMALL_SIZES);
	Flight *flight = MemoryContextAllocZero(context, sizeof(Flight));

	flight->context = context;
	flight->kind = kind;
	flight->state = FLIGHT_NEW;
	flight->called = called;
	flight->app_user = MemoryContextStrdup(context, app_user);
	flight->connector_id = MemoryContextStrdup(context, connector_id);
	flight->connection_name = MemoryContextStrdup(context, connection_name);
	flight->outcome = CALL_FAILED;
	flight->retry_after = -1;
	flight_list_add(flight);
	return flight;
}

Flight *
flight_create(const FlightKind *kind, const char *app_user, const char *connector_id,
			  const char *connection_name)
{
	return create(kind, app_user, connector_id, connection_name, false);
}

Flight *
flight_accept(const FlightKind *kind, const char *app_user, const char *connector_id,
			  const char *connection_name, ProviderCallWaiter waiter)
{
	const char *why = flight_queue_is_full(app_user, connector_id);
	Flight *flight;

	if (why != NULL)
	{
		provider_call_answer(waiter, CALL_PROVIDER_UNAVAILABLE, why, NULL);
		return NULL;
	}
	flight = create(kind, app_user, connector_id, connection_name, true);
	flight_add_waiter(flight, waiter);
	return flight;
}

void
flight_add_waiter(Flight *flight, ProviderCallWaiter waiter)
{
	MemoryContext old;

	/* a backend that asks again has given up what it asked before */
	for (int i = 0; i < flight->n_waiters; i++)
		if (flight->waiters[i].slot == waiter.slot)
		{
			flight->waiters[i] = waiter;
			return;
		}
	old = MemoryContextSwitchTo(flight->context);
	if (flight->waiters == NULL)
		flight->waiters = palloc(sizeof(ProviderCallWaiter) * 4);
	else if (flight->n_waiters >= 4 && (flight->n_waiters & (flight->n_waiters - 1)) == 0)
		flight->waiters =
			repalloc(flight->waiters, sizeof(ProviderCallWaiter) * flight->n_waiters * 2);
	flight->waiters[flight->n_waiters++] = waiter;
	MemoryContextSwitchTo(old);
	if (flight->state == FLIGHT_WAITING)
		defer_call(flight, waiter);
}

void
flight_fail(Flight *flight, ProviderCallOutcome outcome, const char *format, ...)
{
	va_list args;

	flight->outcome = outcome;
	va_start(args, format);
	vsnprintf(flight->message, sizeof(flight->message), format, args);
	va_end(args);
}

static StatsResult
stats_result(const Flight *flight)
{
	switch (flight->outcome)
	{
		case CALL_SUCCEEDED:
			return flight->told;
		case CALL_PROVIDER_UNAVAILABLE:
		case CALL_FAILED:
			return STATS_UNAVAILABLE;
		default:
			return STATS_REFUSED;
	}
}

static void
answer_waiters(Flight *flight)
{
	for (int i = 0; i < flight->n_waiters; i++)
		provider_call_answer(flight->waiters[i], flight->outcome, flight->message, flight->answer);
	flight->n_waiters = 0;
}

static void
finish_flight(Flight *flight)
{
	if (flight->first_sent_at != 0 && !flight->loaded)
		stats_finished(flight->kind->stats_kind, stats_result(flight),
					   (flight->answered_at - flight->first_sent_at) / 1000000.0);
	answer_waiters(flight);
	oauth_request_free(&flight->request);
	token_response_cleanse(&flight->tokens);
	flight_list_remove(flight);
	MemoryContextDelete(flight->context);
}

/*
 * Runs a step of several flights in one transaction.  False: it failed, and
 * nothing of it happened; the flights are as they were.
 */
static bool
run_batch(Flight **batch, bool *done, int count, FlightStep step)
{
	volatile bool committed = false;

	worker_begin();
	PG_TRY();
	{
		for (int i = 0; i < count; i++)
		{
			/* What prepare makes is kept with the flight; the rest is not. */
			MemoryContext old = step == prepare_step
									? MemoryContextSwitchTo(prepare_context(batch[i]))
									: CurrentMemoryContext;

			done[i] = step(batch[i]);
			MemoryContextSwitchTo(old);
		}
		worker_commit();
		committed = true;
	}
	PG_CATCH();
	{
		worker_rollback();
	}
	PG_END_TRY();
	return committed;
}

static void
set_lock_timeout(const char *value)
{
	SetConfigOption("lock_timeout", value, PGC_SUSET, PGC_S_OVERRIDE);
}

static bool
is_impatient(void)
{
	TimestampTz now = GetCurrentTimestamp();

	/* a clock that went back must not make it last */
	return impatient_until > now && impatient_until <= now + IMPATIENCE * INT64CONST(1000);
}

/*
 * The same, one by one if together fails; done[i] is false where that failed.
 * Where somebody has locked a table, the first wait was for all of them.
 */
static void
run_step(Flight **batch, bool *done, bool *ran, int count, FlightStep step)
{
	int locked = 0;

	if (count == 0)
		return;
	memset(ran, true, sizeof(bool) * count);
	if (is_impatient())
		set_lock_timeout(IMPATIENT_LOCK_TIMEOUT);
	if (!run_batch(batch, done, count, step))
	{
		if (!is_impatient() && worker_last_error() == ERRCODE_LOCK_NOT_AVAILABLE)
			impatient_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), IMPATIENCE);
		set_lock_timeout(IMPATIENT_LOCK_TIMEOUT);
		for (int i = 0; i < count; i++)
		{
			bool is_locked_out = step == prepare_step && locked >= MAX_LOCKED;

			ran[i] = count > 1 && !is_locked_out && run_batch(&batch[i], &done[i], 1, step);
			if (!ran[i])
				batch[i]->error = is_locked_out ? ERRCODE_LOCK_NOT_AVAILABLE : worker_last_error();
			locked += !ran[i] && batch[i]->error == ERRCODE_LOCK_NOT_AVAILABLE;
		}
	}
	set_lock_timeout(WORKER_LOCK_TIMEOUT);
}

/* The oldest flights in a state, at most MAX_BATCH */
static int
collect(FlightState state, Flight **batch)
{
	dlist_iter iter;
	int count = 0;
	TimestampTz now = GetCurrentTimestamp();

	dlist_foreach (iter, flight_list())
	{
		Flight *flight = dlist_container(Flight, node, iter.cur);

		if (flight->state == state && count < MAX_BATCH &&
			(state != FLIGHT_HELD || flight->apply_at <= now))
			batch[count++] = flight;
	}
	return count;
}

/* What prepare makes: of the flight, or of this try. */
static MemoryContext
prepare_context(const Flight *flight)
{
	return flight->retry_context != NULL ? flight->retry_context : flight->context;
}

static bool
prepare_step(Flight *flight)
{
	flight->row_held = false;
	return flight->kind->prepare(flight);
}

static bool
must_save(const Flight *flight)
{
	return (!flight->saved || flight->outdated) && !flight->is_failure &&
		   flight->kind->save != NULL;
}

static void
note_saved(Flight *flight)
{
	flight->saved = true;
	flight->outdated = false;
}

static bool
apply_step(Flight *flight)
{
	if (flight->kind->apply(flight))
	{
		if (flight->saved)
			store_delete_pending_answer(flight->app_user, &flight->answer_id);
		return true;
	}
	if (must_save(flight))
		flight_save_answer(flight);
	return false;
}

static bool
save_step(Flight *flight)
{
	flight_save_answer(flight);
	return false;
}

/* Tells a caller that nothing was sent yet. */
static void
defer_call(Flight *flight, ProviderCallWaiter waiter)
{
	if (!provider_call_set_begun(waiter, false))
		flight->goes_on = true;
}

/* Somebody has locked what prepare needs. */
static void
wait_to_prepare(Flight *flight)
{
	long delay = Min((long) HELD_RETRY << Min(flight->tries, 6), HELD_RETRY_MAX);

	flight->tries++;
	for (int i = 0; i < flight->n_waiters; i++)
		defer_call(flight, flight->waiters[i]);
	oauth_request_free(&flight->request);
	flight->outcome = CALL_FAILED;
	flight->message[0] = '\0';
	flight->prepare_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), delay);
	flight_set_state(flight, FLIGHT_WAITING);
}

/* False: nobody waits for it any more, and all were told that nothing was sent. */
static bool
resume_flight(Flight *flight)
{
	int left = 0;

	for (int i = 0; i < flight->n_waiters; i++)
		if (provider_call_set_begun(flight->waiters[i], true))
			flight->waiters[left++] = flight->waiters[i];
	flight->n_waiters = left;
	if (flight->called && !flight->goes_on && left == 0)
		return false;
	if (flight->retry_context == NULL)
		flight->retry_context = AllocSetContextCreate(flight->context, "provider call, tried again",
													  ALLOCSET_SMALL_SIZES);
	/* which the last try may have set */
	flight_set_connection(flight, MemoryContextStrdup(flight->context, flight->connector_id),
						  MemoryContextStrdup(flight->context, flight->connection_name));
	MemoryContextReset(flight->retry_context);
	return true;
}

/*
 * The oldest flights that may start, new or waiting; those that may not stand in nobody's
 * way.
 */
static int
collect_new(Flight **batch)
{
	dlist_mutable_iter iter;
	int count = 0;
	TimestampTz now = GetCurrentTimestamp();

	dlist_foreach_modify (iter, flight_list())
	{
		Flight *flight = dlist_container(Flight, node, iter.cur);
		bool is_waiting = flight->state == FLIGHT_WAITING && flight->prepare_at <= now;

		if ((flight->state == FLIGHT_NEW || is_waiting) && count < MAX_BATCH &&
			flight_has_room(flight, count))
		{
			if (is_waiting && !resume_flight(flight))
			{
				finish_flight(flight);
				continue;
			}
			flight_set_state(flight, FLIGHT_READY);
			batch[count++] = flight;
		}
	}
	return count;
}

/* True: there is another request to send. */
static bool
take_response(Flight *flight, const HttpResponse *response)
{
	MemoryContext old = MemoryContextSwitchTo(flight->context);
	bool goes_on;

	flight->http_outcome = response->outcome;
	flight->local_trouble = response->local_trouble;
	/* what is due is due again at once, and would find things as they are */
	failed |= response->local_trouble;
	failure_log(flight->kind->name, flight->connector_id, response);
	goes_on = flight->kind->answered(flight, response);
	MemoryContextSwitchTo(old);
	return goes_on;
}

static void
send_request(Flight *flight)
{
	HttpRequest request = {.url = flight->request.url,
						   .content_type = flight->request.content_type,
						   .body = flight->request.body.data,
						   .body_len = flight->request.body.len,
						   .method = flight->request.by_delete ? "DELETE" : NULL,
						   .authorization = flight->request.authorization,
						   .timeout_ms = flight->request.timeout_ms,
						   .n_headers = flight->request.n_headers};
	HttpHeader *headers =
		MemoryContextAlloc(flight->context, sizeof(HttpHeader) * (flight->request.n_headers + 1));

	for (int i = 0; i < flight->request.n_headers; i++)
		headers[i] =
			(HttpHeader){flight->request.headers[i].name, flight->request.headers[i].value};
	request.headers = headers;
	flight->sent_at = GetCurrentTimestamp();
	if (flight->first_sent_at == 0)
	{
		flight->first_sent_at = flight->sent_at;
		stats_sent(flight->kind->stats_kind);
	}
	if (http_start(&request, flight) == NULL)
	{
		HttpResponse unsent = {
			.outcome = HTTP_FAILED, .local_trouble = true, .error = "out of memory"};

		flight->answered_at = flight->sent_at;
		(void) take_response(flight, &unsent);
		flight_set_state(flight, FLIGHT_ANSWERED);
	}
	else
	{
		descriptors_reserve();
		flight_set_state(flight, FLIGHT_SENT);
	}
	oauth_request_free(&flight->request);
}

static bool
put_off_step(Flight *flight)
{
	/* where no value can be opened, this one is not to blame */
	keyring_check();
	flight->kind->put_off(flight);
	return true;
}

static void
prepare_failed(Flight *flight)
{
	bool key_unavailable = flight->error == ERRCODE_UC_KEY_UNAVAILABLE;
	/* a row that cannot be read would be due again at once, and for ever */
	bool unreadable =
		flight->error == ERRCODE_DATA_CORRUPTED || flight->error == ERRCODE_NULL_VALUE_NOT_ALLOWED;
	bool done;

	failed = true;
	flight_fail(flight, key_unavailable ? CALL_KEY_UNAVAILABLE : CALL_FAILED,
				"an error in the worker; the server log says which");
	if ((key_unavailable || unreadable) && flight->kind->put_off != NULL)
		(void) run_batch(&flight, &done, 1, put_off_step);
}

/* NEW to READY to SENT; what has nothing to send is finished. */
static bool
prepare_flights(void)
{
	Flight *batch[MAX_BATCH];
	bool done[MAX_BATCH];
	bool ran[MAX_BATCH];
	int count;

	/* A worker that ends might not see the answer: its callers ask the next one. */
	if (stopping || ShutdownRequestPending)
		return false;
	count = collect_new(batch);
	run_step(batch, done, ran, count, prepare_step);
	for (int i = 0; i < count; i++)
	{
		if (ran[i] && done[i])
			send_request(batch[i]);
		else if (!ran[i] && batch[i]->error == ERRCODE_LOCK_NOT_AVAILABLE)
		{
			/* what else is due would wait as well */
			failed |= !batch[i]->called;
			wait_to_prepare(batch[i]);
		}
		else if (ran[i] && batch[i]->row_held)
		{
			/* what they are told does not hang on it */
			answer_waiters(batch[i]);
			wait_to_prepare(batch[i]);
			batch[i]->goes_on = true;
		}
		else
		{
			if (!ran[i])
				prepare_failed(batch[i]);
			finish_flight(batch[i]);
		}
	}
	return count > 0;
}

static void
leave_unsent(Flight *flight, const char *why)
{
	HttpResponse unsent = {.outcome = HTTP_NOT_SENT, .local_trouble = true};
	MemoryContext old = MemoryContextSwitchTo(flight->context);

	strlcpy(unsent.error, why, sizeof(unsent.error));
	oauth_request_free(&flight->request);
	/* not what the request before it had */
	flight->http_outcome = unsent.outcome;
	flight->local_trouble = unsent.local_trouble;
	(void) flight->kind->answered(flight, &unsent);
	flight_set_state(flight, FLIGHT_ANSWERED);
	MemoryContextSwitchTo(old);
}

/*
 * Sends the next request of a flight.  Not while the worker ends, unless it is one for
 * keys, which spends nothing: then this flight's call failed here.
 */
static void
send_next_request(Flight *flight)
{
	if ((stopping || ShutdownRequestPending) &&
		(flight->request.body.data != NULL || flight->request.is_optional))
		leave_unsent(flight, "the server is stopping");
	else
		send_request(flight);
}

/*
 * What was granted must not hang on a request that it can do without, so it is saved
 * before that is sent; where it cannot be, that is not sent.
 */
static void
send_optional_requests(Flight **batch, int count)
{
	bool done[MAX_BATCH];
	bool ran[MAX_BATCH];

	run_step(batch, done, ran, count, save_step);
	for (int i = 0; i < count; i++)
		if (ran[i])
		{
			note_saved(batch[i]);
			batch[i]->outdated = true;
			send_next_request(batch[i]);
		}
		else
			leave_unsent(batch[i], "what was granted could not be kept meanwhile");
}

static bool
collect_responses(void)
{
	Flight *optional[MAX_BATCH];
	HttpResponse response;
	Flight *flight;
	bool any = false;
	int n_optional = 0;

	http_drive();
	while (n_optional < MAX_BATCH && (flight = http_next_completed(&response)) != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(flight->context);

		flight->answered_at = GetCurrentTimestamp();
		descriptors_release();
		flight->retry_after = parse_retry_after(response.retry_after, (int64) time(NULL));
		if (!take_response(flight, &response))
			flight_set_state(flight, FLIGHT_ANSWERED);
		else if (flight->request.is_optional)
			optional[n_optional++] = flight;
		else
			send_next_request(flight);
		http_response_free(&response);
		MemoryContextSwitchTo(old);
		any = true;
	}
	send_optional_requests(optional, n_optional);
	return any;
}

/* ANSWERED and HELD to finished, or to HELD. */
static bool
apply_flights(FlightState state)
{
	Flight *batch[MAX_BATCH];
	bool done[MAX_BATCH];
	bool ran[MAX_BATCH];
	int count = collect(state, batch);
	bool any = false;

	run_step(batch, done, ran, count, apply_step);
	for (int i = 0; i < count; i++)
	{
		Flight *flight = batch[i];
		TimestampTz now = GetCurrentTimestamp();

		if (ran[i] && done[i])
		{
			finish_flight(flight);
			any = true;
		}
		else if (ran[i])
		{
			if (must_save(flight))
				note_saved(flight);
			if (flight->is_failure)
				answer_waiters(flight);
			flight->apply_at = TimestampTzPlusMilliseconds(
				now, flight->state == FLIGHT_HELD ? HELD_RETRY_MAX : HELD_RETRY);
			flight_set_state(flight, FLIGHT_HELD);
		}
		else
		{
			bool ignored;

			/* It keeps being tried, from memory if it cannot even be saved. */
			if (must_save(flight) && run_batch(&flight, &ignored, 1, save_step))
				note_saved(flight);
			if (flight->is_failure)
				answer_waiters(flight);
			flight->apply_at = TimestampTzPlusMilliseconds(now, HELD_RETRY_MAX);
			flight_set_state(flight, FLIGHT_HELD);
		}
	}
	return any;
}

bool
flights_turn(void)
{
	bool any;

	failed = false;
	any = prepare_flights();
	any |= collect_responses();
	any |= apply_flights(FLIGHT_ANSWERED);
	any |= apply_flights(FLIGHT_HELD);
	return any;
}

bool
flights_failed(void)
{
	return failed;
}

long
flights_timeout(void)
{
	dlist_iter iter;
	long timeout = -1;

	dlist_foreach (iter, flight_list())
	{
		Flight *flight = dlist_container(Flight, node, iter.cur);
		long left;

		if (flight->state == FLIGHT_ANSWERED)
			return 0;
		if (flight->state != FLIGHT_HELD && flight->state != FLIGHT_WAITING)
			continue;
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), flight->state == FLIGHT_HELD
																		  ? flight->apply_at
																		  : flight->prepare_at);
		timeout = timeout < 0 ? left : Min(timeout, left);
	}
	return timeout;
}

void
flights_stop(void)
{
	dlist_mutable_iter iter;

	stopping = true;
	dlist_foreach_modify (iter, flight_list())
	{
		Flight *flight = dlist_container(Flight, node, iter.cur);

		if (flight->state != FLIGHT_NEW && flight->state != FLIGHT_WAITING)
			continue;
		flight_fail(flight, CALL_NOT_STARTED, "%s", "");
		finish_flight(flight);
	}
}

int
flights_in_air(void)
{
	dlist_iter iter;
	int count = 0;

	dlist_foreach (iter, flight_list())
	{
		Flight *flight = dlist_container(Flight, node, iter.cur);

		count += flight->state == FLIGHT_SENT || flight->state == FLIGHT_ANSWERED ||
				 (flight->state == FLIGHT_HELD && must_save(flight));
	}
	return count;
}
