/*
 * provider_call.c
 *	  Handing work to the worker: a slot a backend in shared memory.
 *
 * A caller fills its own slot, wakes the worker and waits on its latch; the
 * worker takes the payload out (zeroing it, since it may hold an authorization
 * code) and later puts the answer in.  A caller that stops waiting raises its
 * slot's epoch, so that the answer to what it abandoned is dropped.  No access
 * or refresh token ever passes through here: the caller reads the row.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/errors.h"
#include "base/secret.h"
#include "base/settings.h"
#include "store/shared_state.h"
#include "worker/provider_call.h"
#include "worker/roster.h"

typedef enum ProviderCallState
{
	SLOT_FREE,
	SLOT_SUBMITTED, /* the payload is the call */
	SLOT_TAKEN,
	SLOT_DONE /* the payload is the answer */
} ProviderCallState;

typedef struct ProviderCallSlot
{
	ProviderCallState state;
	uint32 epoch;
	Oid database;
	Latch *latch; /* the caller's */
	ProviderCallKind kind;
	bool begun; /* taken, and nothing is in its way */
	ProviderCallOutcome outcome;
	char message[CALL_MESSAGE_SIZE];
	int payload_len;
	char payload[CALL_PAYLOAD_SIZE];
} ProviderCallSlot;

typedef struct ProviderCallShmem
{
	LWLock *lock;
	int n_slots;
	ProviderCallSlot slots[FLEXIBLE_ARRAY_MEMBER];
} ProviderCallShmem;

static ProviderCallShmem *shared = NULL;

static void abandon_call(int code, Datum arg);

static int
max_slots(void)
{
	return MaxBackends;
}

Size
provider_call_shmem_size(void)
{
	return add_size(offsetof(ProviderCallShmem, slots),
					mul_size(max_slots(), sizeof(ProviderCallSlot)));
}

void
provider_call_shmem_init(void)
{
	bool found;

	shared = ShmemInitStruct("appuser_connectors calls", provider_call_shmem_size(), &found);
	if (!found)
	{
		memset(shared, 0, provider_call_shmem_size());
		shared->lock = &GetNamedLWLockTranche("appuser_connectors")[1].lock;
		shared->n_slots = max_slots();
	}
}

/* Caller holds the lock. */
static void
free_slot(ProviderCallSlot *slot)
{
	secret_cleanse(slot->payload, slot->payload_len);
	slot->payload_len = 0;
	slot->begun = false;
	slot->state = SLOT_FREE;
	slot->epoch++;
}

static void
abandon_call(int code, Datum arg)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	free_slot(&shared->slots[my_process_number()]);
	LWLockRelease(shared->lock);
}

/* Waits until the slot is done; false at the deadline. */
static bool
wait_for_answer(ProviderCallSlot *slot, TimestampTz deadline)
{
	static uint32 wait_event = 0;

	if (wait_event == 0)
		wait_event = new_wait_event("AppuserConnectorsProviderCall");
	for (;;)
	{
		long timeout;
		bool done;

		LWLockAcquire(shared->lock, LW_SHARED);
		done = slot->state == SLOT_DONE;
		LWLockRelease(shared->lock);
		if (done)
			return true;
		timeout = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
		if (timeout <= 0)
			return false;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout,
						 wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
raise_no_worker(void)
{
	ereport(ERROR, (errcode(ERRCODE_UC_WORKER_NOT_RUNNING),
					errmsg("there is no place for an appuser_connectors worker in this database"),
					errdetail("Nothing was sent. All of the server's max_worker_processes (%d) "
							  "are taken.",
							  max_worker_processes),
					errhint("Raise max_worker_processes and restart the server: one for the "
							"launcher, one for each database that has the extension, and one to "
							"spare.")));
}

/* Puts a call into this backend's slot, and sees to it that a worker takes it. */
static void
submit_call(ProviderCallSlot *slot, ProviderCallKind kind, StringInfo record)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	free_slot(slot);
	slot->database = MyDatabaseId;
	slot->latch = MyLatch;
	slot->kind = kind;
	slot->payload_len = record->len;
	memcpy(slot->payload, record->data, record->len);
	slot->state = SLOT_SUBMITTED;
	LWLockRelease(shared->lock);

	if (!roster_want_worker(MyDatabaseId))
		raise_no_worker();
	roster_wake_worker(MyDatabaseId);
}

void
provider_call_require_primary(void)
{
	shared_state_require_preload();
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_UC_WORKER_NOT_RUNNING),
						errmsg("this server is a standby and makes no calls to providers"),
						errhint("Repeat the call on the primary.")));
}

ProviderCallOutcome
provider_call(ProviderCallKind kind, StringInfo record, char *message)
{
	ProviderCallSlot *slot;
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), guc_wait_timeout);
	volatile ProviderCallOutcome outcome = CALL_FAILED;
	volatile bool answered = false;
	volatile bool begun = false;

	provider_call_require_primary();
	/* a trigger in one of the worker's own statements would have it wait for itself */
	if (MyBgworkerEntry != NULL &&
		strcmp(MyBgworkerEntry->bgw_function_name, "appuser_connectors_worker_main") == 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the appuser_connectors worker cannot wait for itself"),
						errhint("A trigger in one of the worker's statements must ask for nothing "
								"that calls a provider.")));
	if (record->len > CALL_PAYLOAD_SIZE)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("arguments are too long: %d bytes, at most %d", record->len,
							   CALL_PAYLOAD_SIZE)));

	slot = &shared->slots[my_process_number()];
	PG_ENSURE_ERROR_CLEANUP(abandon_call, (Datum) 0);
	{
		/* a worker that ends before it comes to it leaves it to the next one */
		do
		{
			submit_call(slot, kind, record);
			answered = wait_for_answer(slot, deadline);
		} while (answered && slot->outcome == CALL_NOT_STARTED);
		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		begun = slot->begun;
		if (answered)
		{
			outcome = slot->outcome;
			strlcpy(message, slot->message, CALL_MESSAGE_SIZE);
			resetStringInfo(record);
			appendBinaryStringInfo(record, slot->payload, slot->payload_len);
		}
		free_slot(slot);
		LWLockRelease(shared->lock);
	}
	PG_END_ENSURE_ERROR_CLEANUP(abandon_call, (Datum) 0);

	if (!answered)
		ereport(ERROR, (errcode(ERRCODE_UC_PROVIDER_UNAVAILABLE),
						errmsg("the provider did not answer within %d ms", guc_wait_timeout),
						begun ? errdetail("The call goes on, and its result is kept.")
							  : errdetail("The worker has not come to it, or was kept from it by "
										  "a lock, and nothing was sent."),
						errhint("Try again; appuser_connectors.wait_timeout says how long to "
								"wait.")));
	if (outcome == CALL_WORKER_NOT_RUNNING)
		raise_no_worker();
	return outcome;
}

bool
provider_call_take(ProviderCallKind *kind, StringInfo record, ProviderCallWaiter *waiter)
{
	static int next = 0; /* takes turns, so that no slot starves */
	bool taken = false;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->n_slots && !taken; i++)
	{
		ProviderCallSlot *slot = &shared->slots[next];

		if (slot->state == SLOT_SUBMITTED && slot->database == MyDatabaseId)
		{
			*kind = slot->kind;
			*waiter = (ProviderCallWaiter){next, slot->epoch};
			resetStringInfo(record);
			appendBinaryStringInfo(record, slot->payload, slot->payload_len);
			secret_cleanse(slot->payload, slot->payload_len);
			slot->payload_len = 0;
			slot->state = SLOT_TAKEN;
			slot->begun = true;
			taken = true;
		}
		next = (next + 1) % shared->n_slots;
	}
	LWLockRelease(shared->lock);
	return taken;
}

/* Caller holds the lock. */
static void
finish_slot(ProviderCallSlot *slot, ProviderCallOutcome outcome, const char *message,
			StringInfo record)
{
	secret_cleanse(slot->payload, slot->payload_len);
	slot->payload_len = 0;
	slot->outcome = outcome;
	strlcpy(slot->message, message != NULL ? message : "", sizeof(slot->message));
	if (record != NULL && record->len <= CALL_PAYLOAD_SIZE)
	{
		memcpy(slot->payload, record->data, record->len);
		slot->payload_len = record->len;
	}
	slot->state = SLOT_DONE;
	SetLatch(slot->latch);
}

void
provider_call_answer(ProviderCallWaiter waiter, ProviderCallOutcome outcome, const char *message,
					 StringInfo record)
{
	ProviderCallSlot *slot = &shared->slots[waiter.slot];

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (slot->state == SLOT_TAKEN && slot->epoch == waiter.epoch)
		finish_slot(slot, outcome, message, record);
	LWLockRelease(shared->lock);
}

bool
provider_call_set_begun(ProviderCallWaiter waiter, bool begun)
{
	ProviderCallSlot *slot = &shared->slots[waiter.slot];
	bool waits;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	waits = slot->state == SLOT_TAKEN && slot->epoch == waiter.epoch;
	if (waits)
		slot->begun = begun;
	LWLockRelease(shared->lock);
	return waits;
}

void
provider_call_fail_all(Oid database, ProviderCallOutcome outcome)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->n_slots; i++)
	{
		ProviderCallSlot *slot = &shared->slots[i];

		if (slot->database == database &&
			(slot->state == SLOT_TAKEN ||
			 (slot->state == SLOT_SUBMITTED && outcome == CALL_WORKER_NOT_RUNNING)))
			finish_slot(slot, outcome, NULL, NULL);
	}
	LWLockRelease(shared->lock);
}
