/*
 * due_mark.c
 *	  Starting a look at a queue where the last one ended.
 *
 * A row that was worked off leaves a dead entry in the index of its queue, which every
 * scan that comes by steps over, for as long as any snapshot is old enough to see it: a
 * long query, an idle transaction, a replication slot.  So a scan starts behind them.
 *
 * Three looks, each from further back than the one before: a quick one from where the
 * last one ended; one that catches up, from the first row that was left; and a whole one,
 * which finds what came behind the marks: a transaction that committed late, or a time
 * that somebody changed.  The last two are made as often as they are cheap: of all time
 * one takes a fiftieth at most, but it is made once a second, and the other a thousandth,
 * but it is made once a minute.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "common/hashfn.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "store/due_mark.h"

#define CATCH_UP_SHARE 50
#define CATCH_UP_PAUSE_MAX USECS_PER_SEC
#define WHOLE_SHARE 1000
#define WHOLE_PAUSE_MAX USECS_PER_MINUTE
#define MAX_MARKS 20000 /* then they begin anew: nothing is lost but time */

struct DueMark
{
	uint64 of;        /* hash key */
	TimestampTz from; /* of what was left the first; seen: nothing was */
	TimestampTz seen; /* where the last look ended */
	TimestampTz catch_up_at;
	TimestampTz whole_at;
};

/* They live as long as the process does: what it remembers is about more than one look. */
static HTAB *marks = NULL;

void
due_marks_forget(void)
{
	if (marks != NULL)
		hash_destroy(marks);
	marks = NULL;
}

static DueMark *
mark_of(const char *queue, const char *connector_id)
{
	/* with the zero byte, so that "a", "bc" is not "ab", "c" */
	uint64 of = hash_bytes_extended((const unsigned char *) queue, strlen(queue) + 1, 0);
	DueMark *mark;
	bool found;

	of = hash_bytes_extended((const unsigned char *) connector_id, strlen(connector_id), of);
	if (marks != NULL && hash_get_num_entries(marks) >= MAX_MARKS)
		due_marks_forget();
	if (marks == NULL)
	{
		HASHCTL control = {
			.keysize = sizeof(uint64), .entrysize = sizeof(DueMark), .hcxt = TopMemoryContext};

		marks = hash_create("marks of queues", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	mark = hash_search(marks, &of, HASH_ENTER, &found);
	if (!found)
	{
		mark->from = mark->seen = DT_NOBEGIN;
		mark->catch_up_at = mark->whole_at = 0;
	}
	return mark;
}

/* Is it time for it?  A clock that went back must not make a pause last. */
static bool
is_time(TimestampTz at, TimestampTz now, int64 pause_max)
{
	return at <= now || at > now + pause_max;
}

void
due_look_begin(DueLook *look, const char *queue, const char *connector_id, int64 slack)
{
	TimestampTz now = GetCurrentTimestamp();
	DueMark *mark = mark_of(queue, connector_id);

	look->mark = mark;
	look->started_at = now;
	look->first = DT_NOEND;
	look->last = DT_NOBEGIN;
	look->is_whole = is_time(mark->whole_at, now, WHOLE_PAUSE_MAX);
	look->catches_up = look->is_whole || mark->from >= mark->seen ||
					   is_time(mark->catch_up_at, now, CATCH_UP_PAUSE_MAX);
	look->start = look->is_whole     ? DT_NOBEGIN
				  : look->catches_up ? mark->from - slack
									 : mark->seen - slack;
}

int
due_look_key(const DueLook *look, ScanKey key, int column)
{
	if (look->is_whole)
		return 0;
	ScanKeyInit(key, column, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE,
				TimestampTzGetDatum(look->start));
	return 1;
}

void
due_look_note(DueLook *look, TimestampTz due, DueVerdict verdict)
{
	/* what is taken may stay as it is */
	if (verdict != DUE_HELD)
		look->first = Min(look->first, due);
	look->last = due;
}

TimestampTz
due_look_end(DueLook *look, TimestampTz cut)
{
	DueMark *mark = look->mark;
	TimestampTz now = GetCurrentTimestamp();
	int64 took = Max(now - look->started_at, 0);

	if (look->is_whole && TIMESTAMP_IS_NOBEGIN(look->last))
		look->last = look->started_at;
	mark->seen = TIMESTAMP_IS_NOEND(cut) ? Max(mark->seen, look->last) : cut;
	mark->seen = Min(mark->seen, now); /* before a clock went back */
	if (look->catches_up)
		mark->from = look->first;
	mark->from = Min(mark->from, mark->seen);
	if (look->is_whole)
		mark->whole_at = now + Min(took * WHOLE_SHARE, WHOLE_PAUSE_MAX);
	else if (look->catches_up)
		mark->catch_up_at = now + Min(took * CATCH_UP_SHARE, CATCH_UP_PAUSE_MAX);
	return look->catches_up ? DT_NOEND : mark->catch_up_at;
}
