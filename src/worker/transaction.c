/*
 * transaction.c
 *	  The worker's transactions: short, durable, and never cut off while a provider's
 *	  answer hangs on them.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "worker/transaction.h"

static int last_error = 0;
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

void
worker_rollback(void)
{
	HOLD_INTERRUPTS();
	end_commit();
	last_error = geterrcode();
	EmitErrorReport();
	AbortCurrentTransaction();
	FlushErrorState();
	RESUME_INTERRUPTS();
}
