/*
 * reminder.c
 *	  Connections whose person is to be told that their grant ends.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "executor/tuptable.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "store/reminder.h"
#include "store/store.h"

/* Columns of connections; the last of those is when */
enum
{
	ANUM_APP_USER = 1,
	ANUM_CONNECTOR_ID = 2,
	ANUM_CONNECTION_NAME = 3,
	ANUM_REMIND_AT = 27
};

#define MAX_PASSED_BY 2000 /* as of connections that are due */

typedef struct ReminderList
{
	ConnectionKey *keys;
	int count;
	int limit;
	int n_passed_by;
	TimestampTz cut; /* where it was cut short; DT_NOEND: it was not */
	ConnectionVerdict verdict;
	DueLook look;
} ReminderList;

static bool
visit_reminder(TupleTableSlot *slot, void *arg)
{
	ReminderList *list = arg;
	TimestampTz due = slot_timestamp(slot, ANUM_REMIND_AT);
	DueVerdict verdict;
	ConnectionKey key;

	if (list->count >= list->limit || list->n_passed_by >= MAX_PASSED_BY)
	{
		list->cut = due;
		return false;
	}
	key = (ConnectionKey){slot_text(slot, ANUM_APP_USER), slot_text(slot, ANUM_CONNECTOR_ID),
						  slot_text(slot, ANUM_CONNECTION_NAME)};
	verdict = list->verdict(&key);
	due_look_note(&list->look, due, verdict);
	if (verdict == DUE_TAKE)
		list->keys[list->count++] = key;
	else
		list->n_passed_by++;
	return true;
}

ConnectionKey *
store_due_reminders(TimestampTz now, int limit, ConnectionVerdict verdict, int *count, bool *more)
{
	ScanKeyData keys[2];
	ReminderList list = {.keys = palloc(sizeof(ConnectionKey) * limit),
						 .limit = limit,
						 .cut = DT_NOEND,
						 .verdict = verdict};
	int n_keys = 1;

	due_look_begin(&list.look, "reminders", "", 0);
	ScanKeyInit(&keys[0], 1, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE, TimestampTzGetDatum(now));
	n_keys += due_look_key(&list.look, &keys[1], 1);
	store_scan("connections", "connections_reminders", GetLatestSnapshot(), keys, n_keys,
			   visit_reminder, &list);
	(void) due_look_end(&list.look, list.cut);
	*count = list.count;
	*more = !TIMESTAMP_IS_NOEND(list.cut);
	return list.keys;
}

bool
store_take_reminder(const ConnectionKey *key, TimestampTz now, TimestampTz *reconnect_by)
{
	static StoreStatement take = {
		"UPDATE appuser_connectors.connections SET remind_at = NULL WHERE app_user = $1 "
		"AND connector_id = $2 AND connection_name = (SELECT connection_name "
		"FROM appuser_connectors.connections WHERE app_user = $1 AND connector_id = $2 "
		"AND connection_name = $3 FOR UPDATE SKIP LOCKED) AND remind_at <= $4 "
		"RETURNING status = 'connected', reconnect_by"};
	StoreSection section;
	StoreArgs args = {0};
	bool taken;

	/* SKIP LOCKED is about rows: the statement would wait for LOCK TABLE */
	if (!ConditionalLockRelationOid(store_relation("connections"), RowExclusiveLock))
		return false;
	arg_text(&args, key->app_user);
	arg_text(&args, key->connector_id);
	arg_text(&args, key->connection_name);
	arg_timestamp(&args, now);
	store_begin(&section, key->app_user);
	taken = store_run(&section, &take, &args) > 0 && result_bool(&section, 0, 1);
	if (taken)
		*reconnect_by = result_nullable_timestamp(&section, 0, 2);
	store_end(&section);
	return taken && !TIMESTAMP_IS_NOEND(*reconnect_by);
}
