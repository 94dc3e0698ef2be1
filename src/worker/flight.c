/*
 * flight.c
 *	  Driving calls to providers through their states.
 *
 * All answers that have arrived are committed in one transaction; if that fails,
 * each in its own; one that fails alone is put into pending_answers.  An answer
 * stays in memory until COMMIT has returned, and nobody is told before.
 */
#include "postgres.h"

#include <time.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "base/errors.h"
#include "base/record.h"
#include "base/secret.h"
#include "base/settings.h"
#include "oauth/retry_after.h"
#include "store/installation.h"
#include "store/keyring.h"
#include "store/outbox.h"
#include "store/store.h"
#include "worker/circuit.h"
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

/*
 * Callers' flights that may wait for their turn: of all, and of one app user together
 * with those that are under way.  An app user's refreshes are one for each connection.
 */
#define MAX_QUEUED 2048
#define MAX_OF_APP_USER 128

#define SHARE_OF_FREE 4      /* of places, times those that are left; see has_room */
#define APP_USER_SHARE 4     /* of a connector's places an app user may have a quarter */
#define APP_USER_SHARE_ALL 8 /* and of all an eighth */

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
static StringInfo pending_aad(const char *app_user, const pg_uuid_t *answer_id);

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

/*
 * Why the queue has no room for one more; NULL: it has.  What a connector may have of
 * it is as much as the others leave free, so that one whose provider does not answer
 * never fills it for the rest.
 */
static const char *
queue_is_full(const char *app_user, const char *connector_id)
{
	int left = MAX_QUEUED - flight_count_queued(NULL);

	if (app_user[0] != '\0' && flight_count_of_app_user(app_user) >= MAX_OF_APP_USER)
		return "Too many calls of this app user are under way; nothing was sent.";
	if (left <= 0 || flight_count_queued(connector_id) >= left)
		return "Too many calls wait for this provider already; nothing was sent.";
	return NULL;
}

Flight *
flight_accept(const FlightKind *kind, const char *app_user, const char *connector_id,
			  const char *connection_name, ProviderCallWaiter waiter)
{
	const char *why = queue_is_full(app_user, connector_id);
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
	return !flight->saved && !flight->is_failure && flight->kind->save != NULL;
}

/* Seals an answer that cannot be applied now into pending_answers. */
static void
save_answer(Flight *flight)
{
	StringInfoData record;

	random_uuid(&flight->answer_id);
	record_init(&record, 4 * MAX_TOKEN_BYTES);
	record_put_text(&record, flight->kind->name);
	record_put_text(&record, flight->connector_id);
	record_put_text(&record, flight->connection_name);
	flight->kind->save(flight, &record);
	store_insert_pending_answer(
		flight->app_user, &flight->answer_id,
		keyring_seal(pending_aad(flight->app_user, &flight->answer_id), record.data, record.len),
		GetCurrentTimestamp());
	secret_cleanse(record.data, record.len);
	pfree(record.data);
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
		save_answer(flight);
	return false;
}

static bool
save_step(Flight *flight)
{
	save_answer(flight);
	return false;
}

static StringInfo
pending_aad(const char *app_user, const pg_uuid_t *answer_id)
{
	StringInfo aad = makeStringInfo();

	record_put_text(aad, "pending answer");
	record_put_bytes(aad, installation_id(), sizeof(pg_uuid_t));
	record_put_text(aad, app_user);
	record_put_bytes(aad, answer_id, sizeof(pg_uuid_t));
	return aad;
}

/* An app user's, of all places or of a connector's; half of them for what nobody waits for */
static int
app_user_places(int places, int share, bool is_waited_for)
{
	return Max(places / share / (is_waited_for ? 1 : 2), 1);
}

bool
flight_app_user_is_busy(const char *app_user, const char *connector_id)
{
	return flight_count_at_connector(app_user, connector_id) >=
		   app_user_places(guc_max_concurrent_requests_per_connector, APP_USER_SHARE, false);
}

/*
 * Waits for its turn: the caps on what is under way at once.  What nobody waits for
 * leaves a quarter to the others.  The fewer places are left, the smaller is what one
 * connector may have of them: a provider that does not answer may be that of many
 * connectors, and one that has nothing under way finds a place all the same.  Of a
 * connector's places an app user has a share, whatever kind of call it is.
 */
static bool
has_room(const Flight *flight, int starting)
{
	int most = descriptors_most_requests();
	int of_connector = guc_max_concurrent_requests_per_connector;
	bool is_waited_for = flight->n_waiters > 0;
	int left;

	if (!is_waited_for)
		most -= most / 4;
	left = most - http_in_flight() - starting;
	if (left <= 0 ||
		flight_count_sent(flight, OF_CONNECTOR) >= Min(of_connector, SHARE_OF_FREE * left))
		return false;
	/* one of each person: another's call may succeed where one's own fails */
	if (flight->kind->heeds_circuit && circuit_is_half_open(flight->connector_id) &&
		(flight_count_probes(flight, OF_CONNECTOR) >= FLIGHT_PROBES ||
		 flight_count_probes(flight, OF_APP_USER_AT_CONNECTOR) > 0))
		return false;
	/* what is of nobody is the admin's own: keys of issuers */
	return flight->app_user[0] == '\0' ||
		   (flight_count_sent(flight, OF_APP_USER_AT_CONNECTOR) <
				app_user_places(of_connector, APP_USER_SHARE, is_waited_for) &&
			flight_count_sent(flight, OF_APP_USER) <
				app_user_places(descriptors_most_requests(), APP_USER_SHARE_ALL, is_waited_for));
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
			has_room(flight, count))
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
	flight->http_outcome = response->outcome;
	flight->local_trouble = response->local_trouble;
	/* what is due is due again at once, and would find things as they are */
	failed |= response->local_trouble;
	failure_log(flight->kind->name, flight->connector_id, response);
	return flight->kind->answered(flight, response);
}

static void
send_request(Flight *flight)
{
	HttpRequest request = {.url = flight->request.url,
						   .content_type = flight->request.content_type,
						   .body = flight->request.body.data,
						   .body_len = flight->request.body.len,
						   .authorization = flight->request.authorization};

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

/*
 * Sends the next request of a flight.  Not while the worker ends, unless it is one for
 * keys, which spends nothing: then this flight's call failed here.
 */
static void
send_next_request(Flight *flight)
{
	HttpResponse unsent = {.outcome = HTTP_NOT_SENT, .error = "the server is stopping"};

	if ((stopping || ShutdownRequestPending) && flight->request.body.data != NULL)
	{
		oauth_request_free(&flight->request);
		(void) flight->kind->answered(flight, &unsent);
		flight_set_state(flight, FLIGHT_ANSWERED);
	}
	else
		send_request(flight);
}

static bool
collect_responses(void)
{
	HttpResponse response;
	Flight *flight;
	bool any = false;

	http_drive();
	while ((flight = http_next_completed(&response)) != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(flight->context);

		flight->answered_at = GetCurrentTimestamp();
		descriptors_release();
		flight->retry_after = parse_retry_after(response.retry_after, (int64) time(NULL));
		if (take_response(flight, &response))
			send_next_request(flight);
		else
			flight_set_state(flight, FLIGHT_ANSWERED);
		http_response_free(&response);
		MemoryContextSwitchTo(old);
		any = true;
	}
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
			flight->saved = flight->saved || must_save(flight);
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
				flight->saved = true;
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

static bool
is_loaded(const OutboxKey *key)
{
	dlist_iter iter;

	dlist_foreach (iter, flight_list())
	{
		Flight *flight = dlist_container(Flight, node, iter.cur);

		if (flight->loaded && strcmp(flight->app_user, key->app_user) == 0 &&
			memcmp(&flight->answer_id, &key->id, sizeof(pg_uuid_t)) == 0)
			return true;
	}
	return false;
}

/* Makes a flight of a row of pending_answers again. */
static void
load_pending(const OutboxKey *key, const FlightKind *const *kinds, int n_kinds)
{
	bytea *sealed = store_get_pending_answer(key->app_user, &key->id);
	StringInfoData record = {0};
	Flight *flight;
	MemoryContext old;
	char *kind;
	char *connector_id;

	if (sealed != NULL)
		record.data = keyring_open(pending_aad(key->app_user, &key->id), sealed, &record.len);
	if (record.data == NULL)
	{
		ereport(WARNING, (errmsg("a pending answer of a provider cannot be opened"),
						  errhint("Restore appuser_connectors.pending_answers from a backup.")));
		return;
	}
	/* what it is of is in the record, whose copies belong to the flight */
	flight = flight_create(kinds[0], key->app_user, "", "");
	old = MemoryContextSwitchTo(flight->context);
	flight->answer_id = key->id;
	kind = record_get_text(&record);
	for (int i = 0; i < n_kinds; i++)
		if (strcmp(kind, kinds[i]->name) == 0)
			flight->kind = kinds[i];
	connector_id = record_get_text(&record);
	flight_set_connection(flight, connector_id, record_get_text(&record));
	flight->kind->load(flight, &record);
	flight->saved = flight->loaded = true;
	flight_set_state(flight, FLIGHT_HELD);
	flight->apply_at = GetCurrentTimestamp();
	MemoryContextSwitchTo(old);
}

void
flights_load_pending(const FlightKind *const *kinds, int n_kinds)
{
	int count;
	OutboxKey *keys = store_pending_answers(&count);

	for (int i = 0; i < count; i++)
		if (!is_loaded(&keys[i]))
			load_pending(&keys[i], kinds, n_kinds);
}

void
flight_put_tokens(StringInfo record, const Flight *flight)
{
	const TokenResponse *tokens = &flight->tokens;
	const Connector *connector = flight->connector;

	record_put_int(record, flight->sent_at);
	record_put_text(record, tokens->access_token);
	record_put_text(record, tokens->refresh_token);
	record_put_text(record, tokens->token_type);
	record_put_int(record, tokens->has_scope);
	record_put_texts(record, tokens->scopes, tokens->n_scopes);
	record_put_int(record, tokens->expires_in);
	record_put_int(record, tokens->n_values);
	for (int i = 0; i < tokens->n_values; i++)
	{
		record_put_text(record, tokens->values[i].name);
		record_put_text(record, tokens->values[i].value);
	}

	/* what it takes to revoke them, should the connector be gone by then */
	record_put_text(record, connector->client.token_endpoint);
	record_put_text(record, connector->client.revocation_endpoint);
	record_put_text(record, connector->client.client_id);
	record_put_text(record, connector->client.client_secret);
	record_put_int(record, connector->client.auth_method);
	record_put_int(record, connector->client.token_body_format);
	record_put_int(record, connector->refresh_margin);
	record_put_int(record, connector->revocation_ends_grant);
	record_put_text(record, connector->endpoints);
}

void
flight_get_tokens(StringInfo record, Flight *flight)
{
	TokenResponse *tokens = &flight->tokens;
	Connector *connector = palloc0(sizeof(Connector));

	flight->http_outcome = HTTP_ANSWERED;
	flight->connector = connector;
	flight->sent_at = record_get_int(record);
	tokens->outcome = TOKEN_GRANTED;
	tokens->access_token = record_get_text(record);
	tokens->refresh_token = record_get_text(record);
	tokens->token_type = record_get_text(record);
	tokens->has_scope = record_get_int(record) != 0;
	tokens->scopes = record_get_texts(record, &tokens->n_scopes);
	tokens->expires_in = record_get_int(record);
	tokens->n_values = (int) record_get_int(record);
	tokens->values = palloc(sizeof(NameValue) * (tokens->n_values + 1));
	for (int i = 0; i < tokens->n_values; i++)
	{
		tokens->values[i].name = record_get_text(record);
		tokens->values[i].value = record_get_text(record);
	}

	connector->connector_id = pstrdup(flight->connector_id);
	connector->client.token_endpoint = record_get_text(record);
	connector->client.revocation_endpoint = record_get_text(record);
	connector->client.client_id = record_get_text(record);
	connector->client.client_secret = record_get_text(record);
	connector->client.auth_method = (TokenEndpointAuthMethod) record_get_int(record);
	connector->client.token_body_format = (TokenBodyFormat) record_get_int(record);
	connector->refresh_margin = (int) record_get_int(record);
	connector->revocation_ends_grant = record_get_int(record) != 0;
	connector->endpoints = record_get_text(record);
}
