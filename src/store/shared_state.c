/*
 * shared_state.c
 *	  What outlives processes, in shared memory.
 */
#include "postgres.h"

#include "storage/shmem.h"

#include "base/errors.h"
#include "store/shared_state.h"

typedef struct SharedState
{
	LWLock *lock;
} SharedState;

static SharedState *shared = NULL;

Size
shared_state_shmem_size(void)
{
	return sizeof(SharedState);
}

void
shared_state_shmem_init(void)
{
	bool found;

	shared = ShmemInitStruct("appuser_connectors state", sizeof(SharedState), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(SharedState));
		shared->lock = &GetNamedLWLockTranche("appuser_connectors")[0].lock;
	}
}

void
shared_state_require_preload(void)
{
	if (shared == NULL)
		ereport(ERROR, (errcode(ERRCODE_UC_WORKER_NOT_RUNNING),
						errmsg("appuser_connectors is not preloaded"),
						errhint("Add it to shared_preload_libraries in postgresql.conf and restart "
								"the server.")));
}

bool
shared_state_preloaded(void)
{
	return shared != NULL;
}

LWLock *
shared_state_lock(void)
{
	return shared->lock;
}
