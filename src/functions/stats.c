/*
 * stats.c
 *	  What the view pg_stat_appuser_connectors reads.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "store/shared_state.h"
#include "worker/stats.h"

static const char *const kind_names[STATS_KINDS] = {"exchange", "refresh", "revocation", "keys"};

PG_FUNCTION_INFO_V1(provider_call_stats);

/* One row a kind of call, for the current database */
Datum
provider_call_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	CallStats stats;

	shared_state_require_preload();
	InitMaterializedSRF(fcinfo, 0);
	for (int kind = 0; kind < STATS_KINDS && stats_read((StatsKind) kind, &stats); kind++)
	{
		Datum values[7];
		bool nulls[7] = {false};

		values[0] = CStringGetTextDatum(kind_names[kind]);
		values[1] = Int64GetDatum((int64) stats.sent);
		for (int i = 0; i < STATS_RESULTS; i++)
			values[2 + i] = Int64GetDatum((int64) stats.finished[i]);
		values[5] = Float8GetDatum(stats.milliseconds);
		values[6] = Int64GetDatum((int64) stats.in_flight);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
