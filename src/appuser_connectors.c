/*
 * appuser_connectors.c
 *	  Loading the library: settings, shared memory, hooks, the launcher.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "crypto/seal.h"
#include "store/identity.h"
#include "store/keyring.h"
#include "store/lineage.h"
#include "store/shared_state.h"
#include "define_settings.h"
#include "utility_hook.h"
#include "worker/launcher.h"
#include "worker/provider_call.h"
#include "worker/roster.h"
#include "worker/stats.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

static void
request_shmem(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
	RequestAddinShmemSpace(shared_state_shmem_size());
	RequestAddinShmemSpace(roster_shmem_size());
	RequestAddinShmemSpace(keyring_shmem_size());
	RequestAddinShmemSpace(provider_call_shmem_size());
	RequestAddinShmemSpace(stats_shmem_size());
	RequestNamedLWLockTranche("appuser_connectors", SHARED_STATE_LOCKS);
}

static void
startup_shmem(void)
{
	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared_state_shmem_init();
	roster_shmem_init();
	keyring_shmem_init();
	provider_call_shmem_init();
	stats_shmem_init();
	LWLockRelease(AddinShmemInitLock);
}

void
_PG_init(void)
{
	if (!seal_self_test())
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("XAES-256-GCM failed its self-test"),
				 errhint("OpenSSL on this machine does not compute AES-256-GCM as "
						 "specified.")));
	define_settings();
	identity_init();
	utility_hook_init();

	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
	if (IsBinaryUpgrade)
		return;
	lineage_note_start();
	launcher_register();
}
