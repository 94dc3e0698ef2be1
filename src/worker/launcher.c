/*
 * launcher.c
 *	  Keeping one worker in each database that has the extension.
 *
 * Level-triggered: the launcher compares the databases that should have a worker
 * with those that have one, whenever it is woken and every minute.  It reads
 * pg_database alone; which databases hold something of the owner role is in
 * pg_shdepend, which only a process with a database can read, so a short-lived
 * scanner does.  On a standby the launcher only reads the root key, until
 * promotion.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/dependency.h"
#include "catalog/pg_shdepend.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "store/keyring.h"
#include "store/lineage.h"
#include "store/shared_state.h"
#include "store/store.h"
#include "worker/launcher.h"
#include "worker/provider_call.h"
#include "worker/roster.h"

#define SCAN_INTERVAL 60000     /* ms */
#define RECOVERY_POLL 1000      /* ms; promotion wakes nobody */
#define RESCAN_RETRY 1000       /* ms; when there was no place for the scanner */
#define RESTART_DELAY_FIRST 100 /* ms */
#define RESTART_DELAY_MAX 60000

static RosterEntry *entries;
static int n_entries;

/* what this process started, by entry */
static BackgroundWorkerHandle **handles;
static BackgroundWorkerHandle *scanner = NULL;

PGDLLEXPORT void appuser_connectors_launcher_main(Datum main_arg);
PGDLLEXPORT void appuser_connectors_scanner_main(Datum main_arg);

static bool database_exists(Oid database, NameData *name);
static void start_worker(int i, Oid database, const char *name);
static void reconcile(void);

void
launcher_register(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "appuser_connectors", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "appuser_connectors_launcher_main",
			sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "appuser_connectors launcher", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "appuser_connectors launcher", sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}

static bool
start_process(const char *function, const char *type, Oid database, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "appuser_connectors", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, function, sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "%s for database %u", type, database);
	strlcpy(worker.bgw_type, type, sizeof(worker.bgw_type));
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

static bool
is_running(BackgroundWorkerHandle **handle)
{
	pid_t pid;

	if (*handle == NULL)
		return false;
	if (GetBackgroundWorkerPid(*handle, &pid) != BGWH_STOPPED)
		return true;
	pfree(*handle);
	*handle = NULL;
	return false;
}

/* A database that connections are allowed to, and nobody holds. */
static Oid
connectable_database(void)
{
	Relation relation;
	TableScanDesc scan;
	HeapTuple tuple;
	Oid database = InvalidOid;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		bool held;

		LWLockAcquire(shared_state_lock(), LW_SHARED);
		held = roster_is_held(form->oid);
		LWLockRelease(shared_state_lock());
		/* Not a template, if it can be helped: it would be in a copier's way. */
		if (form->datallowconn && form->datconnlimit != DATCONNLIMIT_INVALID_DB && !held &&
			(!OidIsValid(database) || !form->datistemplate))
			database = form->oid;
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	return database;
}

/*
 * Whether a worker could connect to it, and its name; where connections are not allowed, the next
 * scan after they are brings it back.  Not by the syscache: whoever drops a
 * database lets go of it before others are told to forget it.
 */
static bool
database_exists(Oid database, NameData *name)
{
	Relation relation;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	bool exists;

	StartTransactionCommand();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_database_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(database));
	/* without a database of its own, the launcher may not know the index yet */
	scan = systable_beginscan(relation, DatabaseOidIndexId, criticalSharedRelcachesBuilt, NULL, 1,
							  &key);
	tuple = systable_getnext(scan);
	exists = HeapTupleIsValid(tuple) && ((Form_pg_database) GETSTRUCT(tuple))->datallowconn &&
			 ((Form_pg_database) GETSTRUCT(tuple))->datconnlimit != DATCONNLIMIT_INVALID_DB;
	if (exists)
		*name = ((Form_pg_database) GETSTRUCT(tuple))->datname;
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	return exists;
}

static void
start_worker(int i, Oid database, const char *name)
{
	TimestampTz now = GetCurrentTimestamp();
	bool started;
	bool had_room;
	bool ran_long;
	bool may_wait;

	started = start_process("appuser_connectors_worker_main", "appuser_connectors worker", database,
							&handles[i]);
	/* the scanner's place is free in a moment, and then the launcher is woken */
	may_wait = !started && is_running(&scanner);

	LWLockAcquire(shared_state_lock(), LW_EXCLUSIVE);
	had_room = !entries[i].no_room;
	if (may_wait)
		entries[i].start_at = now;
	else
	{
		entries[i].no_room = !started;
		entries[i].tried_at = now;
		/* if this one ends soon, the next waits longer */
		ran_long = TimestampDifferenceExceeds(entries[i].start_at, now, RESTART_DELAY_MAX);
		entries[i].delay = entries[i].delay == 0 || ran_long
							   ? RESTART_DELAY_FIRST
							   : Min(entries[i].delay * 2, RESTART_DELAY_MAX);
		entries[i].start_at = TimestampTzPlusMilliseconds(now, entries[i].delay);
	}
	LWLockRelease(shared_state_lock());

	if (may_wait)
		return;
	if (started && !had_room)
		ereport(LOG, (errmsg("appuser_connectors has a place for the worker of database \"%s\" now",
							 name)));
	if (started)
		return;
	if (had_room)
		ereport(WARNING,
				(errmsg("appuser_connectors has no place for a worker of database \"%s\"", name),
				 errdetail("Nothing is sent to its providers."),
				 errhint("Raise max_worker_processes (%d): one for the launcher, one for each "
						 "database that has the extension, and one to spare.",
						 max_worker_processes)));
	provider_call_fail_all(database, CALL_WORKER_NOT_RUNNING);
}

/* Starts the scanner, or says once that there is no place for it. */
static bool
start_scanner(void)
{
	static bool had_room = true; /* as it was last said, for as long as the launcher lives */
	bool started = start_process("appuser_connectors_scanner_main", "appuser_connectors scanner",
								 connectable_database(), &scanner);

	if (!started && had_room)
		ereport(WARNING,
				(errmsg("appuser_connectors has no place to look for databases that have it"),
				 errhint("Raise max_worker_processes (%d): one for the launcher, one for each "
						 "database that has the extension, and one to spare.",
						 max_worker_processes)));
	had_room = started;
	return started;
}

/* Starts what should run and does not. */
static void
reconcile(void)
{
	static TimestampTz last_scan = 0;
	bool rescan = roster_take_rescan();

	if (rescan || last_scan == 0 ||
		TimestampDifferenceExceeds(last_scan, GetCurrentTimestamp(), SCAN_INTERVAL))
	{
		if (is_running(&scanner) || !start_scanner())
		{
			if (rescan)
				roster_put_back_rescan();
		}
		last_scan = GetCurrentTimestamp();
	}

	for (int i = 0; i < n_entries; i++)
	{
		Oid database;
		NameData name;
		bool due;

		if (is_running(&handles[i]))
			continue;
		LWLockAcquire(shared_state_lock(), LW_SHARED);
		database = entries[i].database;
		due = OidIsValid(database) && entries[i].pid == 0 && !roster_is_held(database) &&
			  (entries[i].no_room || entries[i].start_at <= GetCurrentTimestamp());
		LWLockRelease(shared_state_lock());
		if (!due)
			continue;
		if (database_exists(database, &name))
			start_worker(i, database, NameStr(name));
		else
			roster_forget_database(database);
	}
}

/* How long until something is due, if nobody wakes the launcher. */
static long
launcher_timeout(void)
{
	long timeout = SCAN_INTERVAL;

	LWLockAcquire(shared_state_lock(), LW_SHARED);
	for (int i = 0; i < n_entries; i++)
		if (OidIsValid(entries[i].database) && entries[i].pid == 0 &&
			!roster_is_held(entries[i].database))
			timeout = Min(
				timeout,
				TimestampDifferenceMilliseconds(GetCurrentTimestamp(), entries[i].start_at) + 10);
	if (roster_wants_rescan())
		timeout = Min(timeout, RESCAN_RETRY);
	LWLockRelease(shared_state_lock());
	return timeout;
}

static void
launcher_exit(int code, Datum arg)
{
	roster_set_launcher(NULL);
}

void
appuser_connectors_launcher_main(Datum main_arg)
{
	uint32 wait_event = new_wait_event("AppuserConnectorsLauncherMain");
	bool settled = false;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	entries = roster_entries(&n_entries);
	handles =
		MemoryContextAllocZero(TopMemoryContext, sizeof(BackgroundWorkerHandle *) * n_entries);
	roster_set_launcher(MyLatch);
	before_shmem_exit(launcher_exit, (Datum) 0);

	keyring_load();
	for (;;)
	{
		bool in_recovery = RecoveryInProgress();

		if (!in_recovery && !settled)
			lineage_settle();
		settled = !in_recovery;
		if (!in_recovery)
			reconcile();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 in_recovery ? RECOVERY_POLL : launcher_timeout(), wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			keyring_load();
		}
	}
}

/*
 * Lists the databases where the owner role owns something, then ends.
 */
void
appuser_connectors_scanner_main(Datum main_arg)
{
	Oid owner;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (!OidIsValid(DatumGetObjectId(main_arg)))
		return;
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(main_arg), InvalidOid, 0);

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	owner = get_role_oid(STORE_OWNER, true);
	if (OidIsValid(owner))
	{
		Relation relation = table_open(SharedDependRelationId, AccessShareLock);
		ScanKeyData keys[2];
		SysScanDesc scan;
		HeapTuple tuple;

		ScanKeyInit(&keys[0], Anum_pg_shdepend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(AuthIdRelationId));
		ScanKeyInit(&keys[1], Anum_pg_shdepend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(owner));
		scan = systable_beginscan(relation, SharedDependReferenceIndexId, true, NULL, 2, keys);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			Form_pg_shdepend form = (Form_pg_shdepend) GETSTRUCT(tuple);

			if (form->deptype == SHARED_DEPENDENCY_OWNER && OidIsValid(form->dbid))
				(void) roster_want_worker(form->dbid);
		}
		systable_endscan(scan);
		table_close(relation, AccessShareLock);
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
}
