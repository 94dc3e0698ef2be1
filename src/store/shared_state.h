/*
 * shared_state.h
 *	  What outlives processes, in shared memory: that there is any (the library was
 *	  preloaded), and the lock that guards the small structures of others.
 */
#ifndef APPUSER_CONNECTORS_STORE_SHARED_STATE_H
#define APPUSER_CONNECTORS_STORE_SHARED_STATE_H

#include "storage/lwlock.h"

#define SHARED_STATE_LOCKS 2 /* in the tranche "appuser_connectors" */

extern Size shared_state_shmem_size(void);
extern void shared_state_shmem_init(void);

/* Raises UC007 unless the library was preloaded. */
extern void shared_state_require_preload(void);

extern bool shared_state_preloaded(void);

/* Guards what the launcher, its workers and the keyring share; for moments only. */
extern LWLock *shared_state_lock(void);

#endif
