/*
 * worker.c
 *	  The process that makes every call to a provider, one in each database.
 *
 * Its loop takes calls from backends and what is due from the tables, drives all
 * transfers at once, and commits the answers.  It holds no transaction, snapshot
 * or lock across network I/O and never waits for a lock of anyone: rows are
 * locked with SKIP LOCKED, and lock_timeout bounds the rest.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/errors.h"
#include "base/settings.h"
#include "base/url.h"
#include "http/http.h"
#include "store/adoption.h"
#include "store/authorization.h"
#include "store/due_mark.h"
#include "store/event.h"
#include "store/secret_reference.h"
#include "worker/descriptors.h"
#include "worker/exchange.h"
#include "worker/flight.h"
#include "worker/issuer_keys.h"
#include "worker/provider_call.h"
#include "worker/refresh.h"
#include "worker/reminder.h"
#include "worker/revocation.h"
#include "worker/roster.h"
#include "worker/stats.h"
#include "worker/transaction.h"

#define IDLE_TIMEOUT 5000    /* ms; a call or a commit wakes it sooner */
#define SCAN_PAUSE 50        /* ms between two looks at what is due */
#define SWEEP_INTERVAL 60000 /* ms */
#define SWEEP_PAUSE 100      /* ms, while there is more to sweep */
#define SWEEP_BATCH 1000
#define LOAD_RETRY 1000 /* ms */
#define MAX_TAKEN 500   /* calls */

PGDLLEXPORT void appuser_connectors_worker_main(Datum main_arg);

static void
handle_sigterm(SIGNAL_ARGS)
{
	int save_errno = errno;

	ShutdownRequestPending = true;
	worker_transaction_sigterm();
	SetLatch(MyLatch);
	errno = save_errno;
}

static void
set_policy(const char *proxy, bool proxy_unknown)
{
	HttpPolicy policy = {.allow_insecure_loopback = guc_allow_insecure_loopback,
						 .allowed_networks = guc_allowed_networks,
						 .allowed_hosts = guc_allowed_hosts,
						 .ca_file = guc_ca_file,
						 .connect_timeout_ms = guc_connect_timeout,
						 .request_timeout_ms = guc_request_timeout,
						 .proxy = proxy,
						 .no_proxy = guc_no_proxy,
						 .proxy_unknown = proxy_unknown};

	if (!http_set_policy(&policy))
		ereport(LOG,
				(errmsg("appuser_connectors.allowed_networks, allowed_hosts or no_proxy is not "
						"valid, the old values stay in force")));
}

static void
set_policy_with_file(void *arg)
{
	set_policy(secret_resolve_proxy(guc_proxy), false);
}

/* A new flight for a call, or another waiter of one under way */
static void
begin_call(ProviderCallKind kind, StringInfo record, ProviderCallWaiter waiter)
{
	PG_TRY();
	{
		switch (kind)
		{
			case CALL_EXCHANGE:
				exchange_take(record, waiter);
				break;
			case CALL_REFRESH:
				refresh_take(record, waiter);
				break;
			case CALL_KEYS:
				issuer_keys_take(record, waiter);
				break;
		}
	}
	PG_CATCH();
	{
		EmitErrorReport();
		FlushErrorState();
		provider_call_answer(waiter, CALL_FAILED, "an error in the worker", NULL);
	}
	PG_END_TRY();
}

/*
 * Before pending_answers is read (ready) no call can be made safely.  No more than so
 * many in one turn: callers that are refused at once could come back as fast.
 */
static bool
take_calls(bool ready)
{
	ProviderCallKind kind;
	ProviderCallWaiter waiter;
	StringInfoData record;
	int taken = 0;

	initStringInfo(&record);
	enlargeStringInfo(&record, CALL_PAYLOAD_SIZE);
	while (taken < MAX_TAKEN && provider_call_take(&kind, &record, &waiter))
	{
		taken++;
		record.cursor = 0;
		if (ready)
			begin_call(kind, &record, waiter);
		else
			provider_call_answer(waiter,
								 worker_last_error() == ERRCODE_UC_KEY_UNAVAILABLE
									 ? CALL_KEY_UNAVAILABLE
									 : CALL_FAILED,
								 "an error in the worker; the server log says which", NULL);
		explicit_bzero(record.data, record.maxlen);
	}
	pfree(record.data);
	return taken > 0;
}

/* A step that needs a transaction of its own; errors are logged, and it goes on. */
static bool
in_transaction(void (*step)(void *arg), void *arg)
{
	volatile bool committed = false;

	worker_begin();
	PG_TRY();
	{
		step(arg);
		worker_commit();
		committed = true;
	}
	PG_CATCH();
	{
		worker_rollback();
		due_marks_forget();
	}
	PG_END_TRY();
	return committed;
}

/*
 * A proxy that there is, but is not known, is not gone past: nothing is sent.  Its file may
 * come, or be mended: then this is called again; returns when at the latest.
 */
static TimestampTz
set_http_policy(void)
{
	TimestampTz next = DT_NOEND;

	if (strncmp(guc_proxy, "file:", 5) != 0)
		/* at the server's start, one that is none is let pass */
		set_policy(guc_proxy, guc_proxy[0] != '\0' && url_proxy_problem(guc_proxy, false) != NULL);
	else if (!in_transaction(set_policy_with_file, NULL))
	{
		set_policy("", true);
		next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), IDLE_TIMEOUT);
	}
	descriptors_check();
	return next;
}

static void
check_extension(void *arg)
{
	*(bool *) arg = OidIsValid(get_extension_oid("appuser_connectors", true));
}

static void
check_installation(void *arg)
{
	adoption_check();
}

static void
load_pending(void *arg)
{
	static const FlightKind *const kinds[] = {&exchange_flight, &refresh_flight};

	flights_load_pending(kinds, lengthof(kinds));
}

static void
start_due(void *arg)
{
	TimestampTz refreshes = refresh_start_due();
	TimestampTz revocations = revocation_start_due();
	TimestampTz keys = issuer_keys_start_due();

	event_announce();
	*(TimestampTz *) arg = Min(Min(refreshes, revocations), keys);
}

static void
sweep(void *arg)
{
	bool more = store_sweep_authorizations(GetCurrentTimestamp(), SWEEP_BATCH, exchange_under_way);

	more = event_trim() || more;
	*(bool *) arg = reminders_send() || more;
}

static bool
extension_exists(void)
{
	bool exists = true;

	(void) in_transaction(check_extension, &exists);
	return exists;
}

/* Settings that a worker's transactions rely on, whatever postgresql.conf says */
static void
fix_settings(void)
{
	static const char *const settings[][2] = {
		{"synchronous_commit", "on"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"lock_timeout", WORKER_LOCK_TIMEOUT},
		{"statement_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"transaction_timeout", "0"}, /* from 17 on */
		{"search_path", "pg_catalog, pg_temp"},
		{"session_replication_role", "origin"},
		{"jit", "off"},
	};

	for (int i = 0; i < (int) lengthof(settings); i++)
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

static void
worker_exit(int code, Datum arg)
{
	provider_call_fail_all(MyDatabaseId, CALL_WORKER_ENDED);
	http_shutdown();
}

/* Outside transactions there is nothing to cancel: pg_cancel_backend() must not end us. */
static void
check_interrupts(void)
{
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
}

static long
remaining(TimestampTz until)
{
	if (TIMESTAMP_IS_NOEND(until))
		return IDLE_TIMEOUT;
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);
}

/* How long the loop may sleep. */
static long
loop_timeout(TimestampTz next_due)
{
	long timeout = Min(IDLE_TIMEOUT, remaining(next_due));
	long flights = flights_timeout();
	long http = http_timeout_ms();

	if (flights >= 0)
		timeout = Min(timeout, flights);
	if (http >= 0)
		timeout = Min(timeout, http);
	return Max(timeout, 0);
}

/*
 * Told to end: nothing new is sent, but answers that are on their way are waited for,
 * since each may be the only copy of a rotated token.
 */
static void
drain(WaitEventSet *events)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), guc_shutdown_timeout);
	WaitEvent occurred[3];
	int left;

	flights_stop();
	while ((left = flights_in_air()) > 0)
	{
		if (GetCurrentTimestamp() >= deadline)
		{
			ereport(
				LOG,
				(errmsg("appuser_connectors gives up waiting for %d answers of providers", left),
				 errdetail("A refresh token that was rotated in one of them is lost."),
				 errhint("Raise appuser_connectors.shutdown_timeout above %d ms, and what stops "
						 "the server above that.",
						 guc_shutdown_timeout)));
			break;
		}
		(void) WaitEventSetWait(events, Min(loop_timeout(deadline), remaining(deadline)), occurred,
								lengthof(occurred), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		(void) flights_turn();
	}
}

void
appuser_connectors_worker_main(Datum main_arg)
{
	Oid database = DatumGetObjectId(main_arg);
	WaitEventSet *events;
	WaitEvent occurred[3];
	TimestampTz next_due = 0;
	TimestampTz last_scan = 0;
	TimestampTz next_sweep = 0;
	TimestampTz next_policy;
	bool checked = false; /* whose data this is */
	bool pending_loaded = false;
	MemoryContext loop_context;
	uint32 wait_event = new_wait_event("AppuserConnectorsWorkerMain");

	/*
	 * Before libcurl or OpenSSL start a thread that would inherit the mask.  While
	 * it connects there is nothing to lose: whoever has renamed the database, and
	 * wants us out of it, has the lock that this waits for.
	 */
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();

	if (!roster_attach(database))
		return;
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	pqsignal(SIGTERM, handle_sigterm);
	CHECK_FOR_INTERRUPTS(); /* or a signal that came before would be forgotten by end_commit */
	event_announce_own();
	fix_settings();
	pgstat_report_appname("appuser_connectors worker");
	if (!extension_exists())
	{
		roster_forget_database(database);
		return;
	}

	if (!http_init())
		ereport(FATAL, (errmsg("libcurl could not be initialized")));
	next_policy = set_http_policy();
	stats_attach();
	before_shmem_exit(worker_exit, (Datum) 0);

	events = create_wait_event_set(3);
	AddWaitEventToSet(events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(events, WL_SOCKET_READABLE, http_epoll_fd(), NULL, NULL);

	loop_context = AllocSetContextCreate(TopMemoryContext, "appuser_connectors worker loop",
										 ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(loop_context);
	while (!ShutdownRequestPending)
	{
		bool any;
		long timeout;

		MemoryContextSwitchTo(loop_context);
		MemoryContextReset(loop_context);
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			next_policy = 0;
		}
		if (GetCurrentTimestamp() >= next_policy)
			next_policy = set_http_policy();

		/*
		 * A refresh token that an answer in there has replaced must not be sent
		 * again.  What can fail is that the key is missing, or the table locked.
		 */
		if (!checked)
			checked = in_transaction(check_installation, NULL);
		if (checked && !pending_loaded)
			pending_loaded = in_transaction(load_pending, NULL);
		if (!pending_loaded)
		{
			if (!extension_exists())
			{
				roster_forget_database(database);
				break;
			}
			(void) take_calls(false);
			pgstat_report_activity(STATE_IDLE, NULL);
			(void) WaitEventSetWait(events, LOAD_RETRY, occurred, lengthof(occurred), wait_event);
			ResetLatch(MyLatch);
			check_interrupts();
			continue;
		}

		(void) take_calls(true);
		if (GetCurrentTimestamp() >= next_due)
		{
			if (!in_transaction(start_due, &next_due))
			{
				if (!extension_exists())
				{
					roster_forget_database(database);
					break;
				}
				next_due = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), 1000);
			}
			last_scan = GetCurrentTimestamp();
			next_due = Max(next_due, TimestampTzPlusMilliseconds(last_scan, SCAN_PAUSE));
			/* a prepared transaction's commit wakes nobody */
			next_due = Min(next_due, TimestampTzPlusMilliseconds(last_scan, IDLE_TIMEOUT));
		}
		if (GetCurrentTimestamp() >= next_sweep)
		{
			bool more = false;

			next_sweep = TimestampTzPlusMilliseconds(
				GetCurrentTimestamp(),
				in_transaction(sweep, &more) && more ? SWEEP_PAUSE : SWEEP_INTERVAL);
		}

		any = flights_turn();
		if (any)
		{
			/* what was stored may be due soon, and there is room for more */
			next_due =
				Min(next_due, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), SCAN_PAUSE));
			pgstat_report_stat(false);
		}
		if (flights_failed())
			next_due = Max(next_due, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), 1000));
		MemoryContextSwitchTo(loop_context);
		/* a commit that waited for a standby, or a wait for a lock, has reset the latch */
		timeout = take_calls(true) || ShutdownRequestPending || ConfigReloadPending
					  ? 0
					  : loop_timeout(Min(next_due, next_sweep));
		pgstat_report_activity(STATE_IDLE, NULL);
		(void) WaitEventSetWait(events, timeout, occurred, lengthof(occurred), wait_event);
		if (MyLatch->is_set)
		{
			ResetLatch(MyLatch);
			/* a caller, or an outbox row of a commit */
			next_due = Min(next_due, TimestampTzPlusMilliseconds(last_scan, SCAN_PAUSE));
		}
		check_interrupts();
	}
	drain(events);
}
