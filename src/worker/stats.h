/*
 * stats.h
 *	  Counters of calls to providers, in shared memory, by database.
 */
#ifndef APPUSER_CONNECTORS_WORKER_STATS_H
#define APPUSER_CONNECTORS_WORKER_STATS_H

typedef enum StatsKind
{
	STATS_EXCHANGE,
	STATS_REFRESH,
	STATS_REVOCATION,
	STATS_KEYS,
	STATS_KINDS
} StatsKind;

typedef enum StatsResult
{
	STATS_SUCCEEDED,
	STATS_REFUSED,     /* the provider, or a check of ours, said no */
	STATS_UNAVAILABLE, /* no answer, or none that can be used */
	STATS_RESULTS
} StatsResult;

extern Size stats_shmem_size(void);
extern void stats_shmem_init(void);

/* For the worker: a request was sent; its flight has ended. */
extern void stats_sent(StatsKind kind);
extern void stats_finished(StatsKind kind, StatsResult result, double seconds);

/* For the worker, at its start: nothing is in flight. */
extern void stats_attach(void);

/* Since the server started */
typedef struct CallStats
{
	uint64 sent;
	uint64 finished[STATS_RESULTS];
	double milliseconds; /* of all that finished */
	uint64 in_flight;
} CallStats;

/* Of this database; false when it never had a worker.  Not without shared memory. */
extern bool stats_read(StatsKind kind, CallStats *stats);

#endif
