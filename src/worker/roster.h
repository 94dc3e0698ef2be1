/*
 * roster.h
 *	  Which databases should have a worker, which have one, and who holds one out.
 */
#ifndef APPUSER_CONNECTORS_WORKER_ROSTER_H
#define APPUSER_CONNECTORS_WORKER_ROSTER_H

#include "storage/latch.h"
#include "utils/timestamp.h"

/* A database that should have a worker; to be read and written under shared_state_lock() */
typedef struct RosterEntry
{
	Oid database; /* InvalidOid: free */
	pid_t pid;    /* 0: none */
	Latch *latch;
	TimestampTz start_at; /* not before */
	int delay;            /* ms, of the next restart */
	bool no_room;         /* max_worker_processes did not let it start, as of … */
	TimestampTz tried_at;
} RosterEntry;

extern Size roster_shmem_size(void);
extern void roster_shmem_init(void);

/* How many databases can be listed: more than can have a worker, so that each that has
 * none is known by name. */
extern int roster_size(void);

/* Sees to it that this database has a worker soon; false: max_worker_processes leaves no
 * place for one. */
extern bool roster_want_worker(Oid database);

/* Wakes this database's worker, if there is one. */
extern void roster_wake_worker(Oid database);

extern bool roster_has_worker(Oid database);

/* Should it have one?  For whoever holds shared_state_lock(). */
extern bool roster_lists(Oid database);

/* Is it held out?  For whoever holds shared_state_lock(). */
extern bool roster_is_held(Oid database);

/* Which databases have the extension is to be looked up again.  Without shared memory
 * nothing happens. */
extern void roster_rescan(void);

/*
 * Ends the worker of a database and keeps it out until this transaction ends, or the
 * subtransaction is rolled back, however that comes about.
 */
extern void roster_hold_worker(Oid database);

/*
 * For the worker's process: it is there now (false: held, or another one is),
 * and gone at exit.
 */
extern bool roster_attach(Oid database);

/* The extension is not in that database (any more). */
extern void roster_forget_database(Oid database);

/* For the launcher: all entries, free ones too, and whom to wake (NULL: nobody) */
extern RosterEntry *roster_entries(int *count);
extern void roster_set_launcher(Latch *latch);

/* For the launcher: was a rescan asked for?  Then it is not any more, unless put back. */
extern bool roster_take_rescan(void);
extern void roster_put_back_rescan(void);

/* The same, for whoever holds shared_state_lock() */
extern bool roster_wants_rescan(void);

#endif
