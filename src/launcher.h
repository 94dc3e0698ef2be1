/*
 * launcher.h
 *	  Keeping one worker in each database that has the extension, and holding it
 *	  out of a database while a command needs it to itself.
 */
#ifndef APPUSER_CONNECTORS_LAUNCHER_H
#define APPUSER_CONNECTORS_LAUNCHER_H

#include "storage/lwlock.h"

extern Size launcher_shmem_size(void);
extern void launcher_shmem_init(void);
extern void launcher_register(void); /* from _PG_init */

/* Raises UC007 unless the library was preloaded. */
extern void launcher_require_preload(void);

/* Guards what the launcher, its workers and the keyring share. */
extern LWLock *launcher_lock(void);

/* Sees to it that this database has a worker soon. */
extern void launcher_want_worker(Oid database);

/* Wakes this database's worker, if there is one. */
extern void launcher_wake_worker(Oid database);

extern bool launcher_has_worker(Oid database);

/* Should it have one?  For whoever holds launcher_lock(). */
extern bool launcher_lists(Oid database);

/* Which databases have the extension is to be looked up again. */
extern void launcher_rescan(void);

/*
 * Ends the worker of a database and keeps it out until this transaction ends,
 * however it ends.
 */
extern void launcher_hold_worker(Oid database);

/*
 * For the worker's process: it is there now (false: held, or another one is),
 * and gone at exit.
 */
extern bool launcher_worker_attach(Oid database);

/* Was this server a standby that was promoted since it started? */
extern bool launcher_saw_promotion(void);

/* The extension is not in that database (any more). */
extern void launcher_forget_database(Oid database);

#endif
