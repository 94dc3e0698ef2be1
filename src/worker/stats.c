/*
 * stats.c
 *	  Counters of calls to providers, in shared memory, by database.
 *
 * One worker a database writes, anybody reads: atomics, no lock.  They begin at
 * zero when the server starts.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "store/shared_state.h"
#include "worker/roster.h"
#include "worker/stats.h"

typedef struct KindStats
{
	pg_atomic_uint64 sent;
	pg_atomic_uint64 finished[STATS_RESULTS];
	pg_atomic_uint64 microseconds;
	pg_atomic_uint64 in_flight;
} KindStats;

typedef struct DatabaseStats
{
	Oid database;
	KindStats kinds[STATS_KINDS];
} DatabaseStats;

static DatabaseStats *shared = NULL;
static DatabaseStats *own = NULL; /* of this worker's database */

Size
stats_shmem_size(void)
{
	return mul_size(roster_size(), sizeof(DatabaseStats));
}

void
stats_shmem_init(void)
{
	bool found;

	shared = ShmemInitStruct("appuser_connectors statistics", stats_shmem_size(), &found);
	if (found)
		return;
	memset(shared, 0, stats_shmem_size());
	for (int i = 0; i < roster_size(); i++)
		for (int kind = 0; kind < STATS_KINDS; kind++)
		{
			KindStats *stats = &shared[i].kinds[kind];

			pg_atomic_init_u64(&stats->sent, 0);
			pg_atomic_init_u64(&stats->microseconds, 0);
			pg_atomic_init_u64(&stats->in_flight, 0);
			for (int result = 0; result < STATS_RESULTS; result++)
				pg_atomic_init_u64(&stats->finished[result], 0);
		}
}

static void
reset_stats(DatabaseStats *stats)
{
	for (int kind = 0; kind < STATS_KINDS; kind++)
	{
		pg_atomic_write_u64(&stats->kinds[kind].sent, 0);
		pg_atomic_write_u64(&stats->kinds[kind].microseconds, 0);
		for (int result = 0; result < STATS_RESULTS; result++)
			pg_atomic_write_u64(&stats->kinds[kind].finished[result], 0);
	}
}

static DatabaseStats *
find_stats(Oid database)
{
	for (int i = 0; i < roster_size(); i++)
		if (shared[i].database == database)
			return &shared[i];
	return NULL;
}

/* Free, or of a database that has no worker any more: it was dropped. */
static DatabaseStats *
find_unused(void)
{
	for (int i = 0; i < roster_size(); i++)
		if (!OidIsValid(shared[i].database) || !roster_lists(shared[i].database))
			return &shared[i];
	return NULL;
}

void
stats_attach(void)
{
	LWLockAcquire(shared_state_lock(), LW_EXCLUSIVE);
	own = find_stats(MyDatabaseId);
	if (own == NULL && (own = find_unused()) != NULL)
		reset_stats(own);
	if (own != NULL)
	{
		own->database = MyDatabaseId;
		for (int kind = 0; kind < STATS_KINDS; kind++)
			pg_atomic_write_u64(&own->kinds[kind].in_flight, 0);
	}
	LWLockRelease(shared_state_lock());
}

void
stats_sent(StatsKind kind)
{
	if (own == NULL)
		return;
	pg_atomic_fetch_add_u64(&own->kinds[kind].sent, 1);
	pg_atomic_fetch_add_u64(&own->kinds[kind].in_flight, 1);
}

void
stats_finished(StatsKind kind, StatsResult result, double seconds)
{
	if (own == NULL)
		return;
	pg_atomic_fetch_add_u64(&own->kinds[kind].finished[result], 1);
	pg_atomic_fetch_add_u64(&own->kinds[kind].microseconds, (uint64) (seconds * 1000000));
	pg_atomic_fetch_sub_u64(&own->kinds[kind].in_flight, 1);
}

bool
stats_read(StatsKind kind, CallStats *stats)
{
	DatabaseStats *row = find_stats(MyDatabaseId);
	KindStats *k;

	if (row == NULL)
		return false;
	k = &row->kinds[kind];
	stats->sent = pg_atomic_read_u64(&k->sent);
	for (int i = 0; i < STATS_RESULTS; i++)
		stats->finished[i] = pg_atomic_read_u64(&k->finished[i]);
	stats->milliseconds = pg_atomic_read_u64(&k->microseconds) / 1000.0;
	stats->in_flight = pg_atomic_read_u64(&k->in_flight);
	return true;
}
