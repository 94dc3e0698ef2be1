/*
 * transaction.h
 *	  The worker's transactions: short, durable, and never cut off while a provider's
 *	  answer hangs on them.
 */
#ifndef APPUSER_CONNECTORS_WORKER_TRANSACTION_H
#define APPUSER_CONNECTORS_WORKER_TRANSACTION_H

/* Of its transactions; rows are locked with SKIP LOCKED, and most tables conditionally. */
#define WORKER_LOCK_TIMEOUT "100ms"

/* Begins one, with an active snapshot.  No other may be open. */
extern void worker_begin(void);

/* May raise an error; worker_rollback is for that, in PG_CATCH. */
extern void worker_commit(void);

/* Logs the error there was, and ends the transaction. */
extern void worker_rollback(void);

/* A step in a subtransaction; false: there was an error, which is logged, and it was undone. */
extern bool worker_try(void (*step)(void *arg), void *arg);

/* SQLSTATE of what worker_rollback logged last */
extern int worker_last_error(void);

/* From the handler of SIGTERM: ends a commit's wait for a standby. */
extern void worker_transaction_sigterm(void);

#endif
