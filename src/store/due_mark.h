/*
 * due_mark.h
 *	  How far a queue in a table, in order of time, has been worked off by this process.
 */
#ifndef APPUSER_CONNECTORS_STORE_DUE_MARK_H
#define APPUSER_CONNECTORS_STORE_DUE_MARK_H

#include "access/skey.h"
#include "utils/timestamp.h"

/* What becomes of a row that a look comes to */
typedef enum DueVerdict
{
	DUE_TAKE,
	DUE_LEAVE, /* soon, and it is looked for until then */
	DUE_HELD   /* whoever has it in hand needs no look to come back to it */
} DueVerdict;

typedef struct DueMark DueMark;

/* One look at a queue, from where to start; on the caller's stack. */
typedef struct DueLook
{
	DueMark *mark;
	bool is_whole; /* from the queue's beginning */
	TimestampTz start;
	TimestampTz started_at;
	bool catches_up;
	TimestampTz first;
	TimestampTz last;
} DueLook;

/*
 * Begins a look at a queue of a connector ("" where it is of all).  Rows are expected to
 * become visible no later than slack after the time that they are in the queue by; those
 * that do are found by the next whole look, within a minute.
 */
extern void due_look_begin(DueLook *look, const char *queue, const char *connector_id, int64 slack);

/* The key that starts a scan at it, for a column; returns how many keys that is. */
extern int due_look_key(const DueLook *look, ScanKey key, int column);

/* A row that it came to, in order */
extern void due_look_note(DueLook *look, TimestampTz due, DueVerdict verdict);

/*
 * Ends it; cut is where it was cut short, DT_NOEND if it was not.  Returns when to look again for what
 * was left, whatever else is due.  A look that is begun and not ended changes nothing.
 */
extern TimestampTz due_look_end(DueLook *look, TimestampTz cut);

/* Looks at everything again: what the marks rely on was rolled back. */
extern void due_marks_forget(void);

#endif
