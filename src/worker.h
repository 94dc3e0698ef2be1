/*
 * worker.h
 *	  The process that makes every call to a provider, one in each database.
 */
#ifndef APPUSER_CONNECTORS_WORKER_H
#define APPUSER_CONNECTORS_WORKER_H

/* Of its transactions; rows are locked with SKIP LOCKED, and most tables conditionally. */
#define WORKER_LOCK_TIMEOUT "100ms"

/* Is this process a worker? */
extern bool am_worker(void);

/* A short transaction of the worker; rollback logs the error there was. */
extern void worker_begin(void);
extern void worker_commit(void);
extern void worker_rollback(void);

/* SQLSTATE of what worker_rollback logged last */
extern int worker_last_error(void);

#endif
