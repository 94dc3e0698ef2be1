/*
 * event.c
 *	  What happened to whom: rows of connection_events, and NOTIFY.
 *
 * A notification carries an event's id only, since anybody may LISTEN.  Only the
 * worker notifies: a caller's transaction that did could not be prepared.
 */
#include "postgres.h"

#include "commands/async.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "store/event.h"
#include "store/outbox.h"
#include "store/store.h"

#define EVENT_BATCH 1000

/* Does this process announce its events itself?  Set once, at its start. */
static bool announces = false;

void
event_announce_own(void)
{
	announces = true;
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
	random_uuid(&id);
	store_insert_event(app_user, &id, connector_id, connection_name, event, detail,
					   GetCurrentTimestamp(), announces);
	if (announces)
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
	OutboxKey *events = store_take_unannounced_events(EVENT_BATCH, &count);

	for (int i = 0; i < count; i++)
		notify(&events[i].id);
}

bool
event_trim(void)
{
	return store_trim_events(GetCurrentTimestamp() -
								 guc_event_retention * INT64CONST(60) * USECS_PER_SEC,
							 EVENT_BATCH) == EVENT_BATCH;
}
