/*
 * event.c
 *	  What happened to whom: rows of connection_events, and NOTIFY.
 *
 * A notification carries an event's id only, since anybody may LISTEN.  Only the
 * worker notifies: a caller's transaction that did could not be prepared.  And only
 * while the queue, which is the whole cluster's, has room: NOTIFY with a full one makes
 * the commit fail, and what commits here are answers of providers.
 */
#include "postgres.h"

#include "commands/async.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "store/event.h"
#include "store/outbox.h"
#include "store/store.h"

#define EVENT_BATCH 1000
#define MAX_QUEUE_USAGE 0.5 /* PostgreSQL itself warns from there on */

/* Does this process announce its events itself?  Set once, at its start. */
static bool announces = false;

void
event_announce_own(void)
{
	announces = true;
}

/* Has the queue of notifications room?  Says so in the log when that changes. */
static bool
may_notify(void)
{
	static bool full = false; /* as it was said last */
	bool is_full = DatumGetFloat8(DirectFunctionCall1(pg_notification_queue_usage, (Datum) 0)) >=
				   MAX_QUEUE_USAGE;

	if (is_full && !full)
		ereport(WARNING,
				(errmsg("appuser_connectors does not announce events while the NOTIFY queue is "
						"half full"),
				 errdetail("They are recorded, and announced when there is room."),
				 errhint("A session that has executed LISTEN and stays in a transaction keeps the "
						 "queue from being emptied: see pg_notification_queue_usage() and "
						 "pg_stat_activity.")));
	else if (!is_full && full)
		ereport(LOG, (errmsg("appuser_connectors announces events again")));
	full = is_full;
	return !full;
}

static void
notify(const pg_uuid_t *id)
{
	char *text = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));

	Async_Notify(EVENT_CHANNEL, text);
}

void
event_record(const char *app_user, const char *connector_id, const char *connection_name,
			 const char *event, const char *detail)
{
	pg_uuid_t id;
	bool announced = announces && may_notify();

	random_uuid(&id);
	store_insert_event(app_user, &id, connector_id, connection_name, event, detail,
					   GetCurrentTimestamp(), announced);
	if (announced)
		notify(&id);
}

void
event_record_once(const char *app_user, const char *connector_id, const char *connection_name,
				  const char *event, const char *detail, TimestampTz since)
{
	if (!store_event_exists(app_user, connector_id, connection_name, event, detail, since))
		event_record(app_user, connector_id, connection_name, event, detail);
}

void
event_announce(void)
{
	int count;
	OutboxKey *events;

	if (!may_notify())
		return;
	events = store_take_unannounced_events(EVENT_BATCH, &count);
	for (int i = 0; i < count; i++)
		notify(&events[i].id);
}

bool
event_trim(void)
{
	return store_trim_events(
		GetCurrentTimestamp() - guc_event_retention * INT64CONST(60) * USECS_PER_SEC, EVENT_BATCH);
}
