/*
 * transaction.c
 *	  The worker's transactions: short, durable, and never cut off while a provider's
 *	  answer hangs on them.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "worker/transaction.h"

#define N_TOLD 16
#define TELL_AGAIN (5 * 60 * 1000) /* ms */

/* Of the last transaction that failed */
static int last_error = 0;

/* Errors that were logged lately, of this process */
static struct
{
	uint32 hash;
	TimestampTz at;
} told[N_TOLD];

static volatile sig_atomic_t committing = false;

int
worker_last_error(void)
{
	return last_error;
}

/*
 * A transaction must not be cut short while answers hang on it, so SIGTERM only
 * asks; but a commit that waits for a synchronous standby must end, and may: it
 * is already durable here.  SyncRepWaitForLSN() looks at ProcDiePending.
 */
void
worker_transaction_sigterm(void)
{
	if (committing)
	{
		InterruptPending = true;
		ProcDiePending = true;
	}
}

/* That was for the wait alone: what is still in the air is waited for by drain(). */
static void
end_commit(void)
{
	committing = false;
	ProcDiePending = false;
}

void
worker_begin(void)
{
	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, "appuser_connectors: calls to providers");
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
worker_commit(void)
{
	PopActiveSnapshot();
	committing = true;
	if (ShutdownRequestPending)
		SetConfigOption("synchronous_commit", "local", PGC_SUSET, PGC_S_OVERRIDE);
	CommitTransactionCommand();
	end_commit();
}

/*
 * What stays wrong fails again at every turn: it is told once, and again when it has
 * not been for a while.
 */
static bool
is_news(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	ErrorData *error = CopyErrorData();
	uint32 hash = hash_bytes((const unsigned char *) error->message, strlen(error->message));
	TimestampTz now = GetCurrentTimestamp();
	int oldest = 0;

	FreeErrorData(error);
	MemoryContextSwitchTo(old);
	for (int i = 0; i < N_TOLD; i++)
	{
		if (told[i].hash == hash && now >= told[i].at &&
			!TimestampDifferenceExceeds(told[i].at, now, TELL_AGAIN))
			return false;
		if (told[i].hash == hash)
			told[i].at = 0;
		if (told[i].at < told[oldest].at)
			oldest = i;
	}
	told[oldest].hash = hash;
	told[oldest].at = now;
	return true;
}

bool
worker_try(void (*step)(void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		step(arg);
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		if (is_news())
			EmitErrorReport();
		RollbackAndReleaseCurrentSubTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return done;
}

void
worker_rollback(void)
{
	HOLD_INTERRUPTS();
	end_commit();
	last_error = geterrcode();
	if (is_news())
		EmitErrorReport();
	AbortCurrentTransaction();
	FlushErrorState();
	RESUME_INTERRUPTS();
}
