/*
 * roster.c
 *	  Which databases should have a worker, which have one, and who holds one out.
 *
 * In shared memory, under shared_state_lock().  Backends ask for a worker, wake it or
 * hold it out of a database while a command needs that to itself; the launcher, which
 * alone starts workers, compares what should be with what is.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "store/shared_state.h"
#include "worker/roster.h"

#define RESIGNAL_INTERVAL 1000 /* ms; of a worker that is to go */
#define WITHOUT_PLACE 64       /* databases that are listed beyond those that can have one */
#define RETRY_INTERVAL 1000    /* ms; callers do not have the launcher try again sooner */

typedef struct RosterShmem
{
	Latch *launcher_latch;
	bool rescan;
	bool full; /* there was a database that could not be listed */
	ConditionVariable worker_gone;
	int n_entries;
	int n_holds;
	/* RosterEntry entries[n_entries], then Oid holds[n_holds], by process number */
} RosterShmem;

static RosterShmem *shared = NULL;
static RosterEntry *entries;
static Oid *holds;
static bool hold_cleanup_registered = false;
static int hold_nest_level = 0; /* of the transaction that took this backend's hold */

static void release_hold(void);

static int
max_holds(void)
{
	return MaxBackends;
}

int
roster_size(void)
{
	return max_worker_processes + WITHOUT_PLACE;
}

Size
roster_shmem_size(void)
{
	return add_size(
		MAXALIGN(sizeof(RosterShmem)),
		add_size(mul_size(roster_size(), sizeof(RosterEntry)), mul_size(max_holds(), sizeof(Oid))));
}

void
roster_shmem_init(void)
{
	bool found;

	shared = ShmemInitStruct("appuser_connectors roster", roster_shmem_size(), &found);
	entries = (RosterEntry *) ((char *) shared + MAXALIGN(sizeof(RosterShmem)));
	if (!found)
	{
		memset(shared, 0, roster_shmem_size());
		shared->n_entries = roster_size();
		shared->n_holds = max_holds();
		ConditionVariableInit(&shared->worker_gone);
	}
	holds = (Oid *) (entries + shared->n_entries);
}

/* Caller holds the lock. */
static RosterEntry *
find_entry(Oid database)
{
	for (int i = 0; i < shared->n_entries; i++)
		if (entries[i].database == database)
			return &entries[i];
	return NULL;
}

/* Caller holds the lock. */
bool
roster_is_held(Oid database)
{
	for (int i = 0; i < shared->n_holds; i++)
		if (holds[i] == database)
			return true;
	return false;
}

static void
wake_launcher(void)
{
	if (shared->launcher_latch != NULL)
		SetLatch(shared->launcher_latch);
}

bool
roster_want_worker(Oid database)
{
	RosterEntry *entry;
	TimestampTz now = GetCurrentTimestamp();
	bool has_place = false;
	bool newly_full = false;

	LWLockAcquire(shared_state_lock(), LW_EXCLUSIVE);
	entry = find_entry(database);
	if (entry == NULL && (entry = find_entry(InvalidOid)) != NULL)
	{
		memset(entry, 0, sizeof(RosterEntry));
		entry->database = database;
		entry->start_at = now;
		shared->full = false;
		wake_launcher();
	}
	if (entry == NULL)
	{
		newly_full = !shared->full;
		shared->full = true;
	}
	else
	{
		bool try_again = entry->pid == 0 && entry->no_room &&
						 TimestampDifferenceExceeds(entry->tried_at, now, RETRY_INTERVAL);

		/* if there still is none, the launcher answers who waits */
		if (try_again)
			wake_launcher();
		has_place = entry->pid != 0 || !entry->no_room || try_again;
	}
	LWLockRelease(shared_state_lock());

	if (newly_full)
		ereport(WARNING, (errmsg("more databases have appuser_connectors than can be listed, "
								 "among them database %u",
								 database),
						  errdetail("There is room for %d.", roster_size()),
						  errhint("Raise max_worker_processes.")));
	return has_place;
}

void
roster_wake_worker(Oid database)
{
	RosterEntry *entry;

	LWLockAcquire(shared_state_lock(), LW_SHARED);
	entry = find_entry(database);
	if (entry != NULL && entry->pid != 0)
		SetLatch(entry->latch);
	LWLockRelease(shared_state_lock());
}

bool
roster_has_worker(Oid database)
{
	RosterEntry *entry;
	bool running;

	LWLockAcquire(shared_state_lock(), LW_SHARED);
	entry = find_entry(database);
	running = entry != NULL && entry->pid != 0;
	LWLockRelease(shared_state_lock());
	return running;
}

bool
roster_lists(Oid database)
{
	return find_entry(database) != NULL;
}

void
roster_rescan(void)
{
	if (shared == NULL)
		return;
	LWLockAcquire(shared_state_lock(), LW_EXCLUSIVE);
	shared->rescan = true;
	wake_launcher();
	LWLockRelease(shared_state_lock());
}

static void
release_hold(void)
{
	Oid *hold;
	RosterEntry *entry;

	if (shared == NULL || MyProc == NULL)
		return;
	hold = &holds[my_process_number()];
	if (!OidIsValid(*hold))
		return;
	LWLockAcquire(shared_state_lock(), LW_EXCLUSIVE);
	entry = find_entry(*hold);
	if (entry != NULL)
	{
		/* it did not end by itself: no reason to wait */
		entry->start_at = GetCurrentTimestamp();
		entry->delay = 0;
	}
	*hold = InvalidOid;
	hold_nest_level = 0;
	shared->rescan = true;
	wake_launcher();
	LWLockRelease(shared_state_lock());
}

static void
release_hold_at_exit(int code, Datum arg)
{
	release_hold();
}

static void
release_hold_at_xact_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		release_hold();
}

/* A savepoint's rollback undoes the command, so the worker need not stay out. */
static void
release_hold_at_subxact_end(SubXactEvent event, SubTransactionId mySubid,
							SubTransactionId parentSubid, void *arg)
{
	if (hold_nest_level < GetCurrentTransactionNestLevel())
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		release_hold();
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		hold_nest_level--;
}

void
roster_hold_worker(Oid database)
{
	RosterEntry *entry;
	pid_t pid;

	if (shared == NULL || RecoveryInProgress() || !OidIsValid(database))
		return;
	if (!hold_cleanup_registered)
	{
		before_shmem_exit(release_hold_at_exit, (Datum) 0);
		RegisterXactCallback(release_hold_at_xact_end, NULL);
		RegisterSubXactCallback(release_hold_at_subxact_end, NULL);
		hold_cleanup_registered = true;
	}

	release_hold();
	hold_nest_level = GetCurrentTransactionNestLevel();
	ConditionVariablePrepareToSleep(&shared->worker_gone);
	for (;;)
	{
		LWLockAcquire(shared_state_lock(), LW_EXCLUSIVE);
		holds[my_process_number()] = database;
		entry = find_entry(database);
		pid = entry != NULL ? entry->pid : 0;
		if (pid != 0)
			kill(pid, SIGTERM);
		LWLockRelease(shared_state_lock());
		if (pid == 0)
			break;
		(void) ConditionVariableTimedSleep(&shared->worker_gone, RESIGNAL_INTERVAL,
										   PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
}

static void
worker_detach(int code, Datum arg)
{
	RosterEntry *entry;

	LWLockAcquire(shared_state_lock(), LW_EXCLUSIVE);
	entry = find_entry(DatumGetObjectId(arg));
	if (entry != NULL && entry->pid == MyProcPid)
	{
		entry->pid = 0;
		entry->latch = NULL;
		wake_launcher();
	}
	LWLockRelease(shared_state_lock());
	ConditionVariableBroadcast(&shared->worker_gone);
}

bool
roster_attach(Oid database)
{
	RosterEntry *entry;
	bool attached = false;

	LWLockAcquire(shared_state_lock(), LW_EXCLUSIVE);
	entry = find_entry(database);
	if (entry != NULL && entry->pid == 0 && !roster_is_held(database))
	{
		entry->pid = MyProcPid;
		entry->latch = MyLatch;
		attached = true;
	}
	LWLockRelease(shared_state_lock());
	if (attached)
		before_shmem_exit(worker_detach, ObjectIdGetDatum(database));
	return attached;
}

void
roster_forget_database(Oid database)
{
	RosterEntry *entry;

	LWLockAcquire(shared_state_lock(), LW_EXCLUSIVE);
	entry = find_entry(database);
	if (entry != NULL && (entry->pid == 0 || entry->pid == MyProcPid))
		memset(entry, 0, sizeof(RosterEntry));
	LWLockRelease(shared_state_lock());
}

RosterEntry *
roster_entries(int *count)
{
	*count = shared->n_entries;
	return entries;
}

bool
roster_take_rescan(void)
{
	bool rescan;

	LWLockAcquire(shared_state_lock(), LW_EXCLUSIVE);
	rescan = shared->rescan;
	shared->rescan = false;
	LWLockRelease(shared_state_lock());
	return rescan;
}

void
roster_put_back_rescan(void)
{
	LWLockAcquire(shared_state_lock(), LW_EXCLUSIVE);
	shared->rescan = true;
	LWLockRelease(shared_state_lock());
}

bool
roster_wants_rescan(void)
{
	return shared->rescan;
}

void
roster_set_launcher(Latch *latch)
{
	LWLockAcquire(shared_state_lock(), LW_EXCLUSIVE);
	shared->launcher_latch = latch;
	LWLockRelease(shared_state_lock());
}
