/*
 * outbox.c
 *	  Statements on pending_answers, revocations and connection_events.
 */
#include "postgres.h"

#include "access/skey.h"
#include "access/stratnum.h"
#include "catalog/pg_collation.h"
#include "executor/tuptable.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "store/outbox.h"
#include "store/store.h"

/* The first columns of all three tables; of revocations two more */
enum
{
	ANUM_APP_USER = 1,
	ANUM_ID = 2,
	ANUM_CONNECTOR_ID = 3,
	ANUM_OCCURRED_AT = 7, /* of events */
	ANUM_ATTEMPT_AT = 11  /* of revocations */
};

/* Rows are in these queues by when their transaction wrote them; most commit by then. */
#define COMMIT_SLACK (10 * USECS_PER_SEC)
#define MAX_PASSED_BY 2000 /* as of connections that are due */

/* A growing list of keys */
typedef struct OutboxList
{
	OutboxKey *keys;
	int count;
	int limit;
	bool by_time; /* stop at what is due after now */
	TimestampTz now;
	TimestampTz next_due;
	DueLook *look; /* NULL: in no order of time */
	int time_column;
	RevocationVerdict verdict; /* NULL: all are taken */
	int n_passed_by;
	const char *connector_id;
} OutboxList;

static bool
visit_key(TupleTableSlot *slot, void *arg)
{
	OutboxList *list = arg;
	DueVerdict verdict = DUE_TAKE;
	TimestampTz due = 0;
	OutboxKey key;

	if (list->look != NULL)
	{
		due = slot_timestamp(slot, list->time_column);
		if ((list->by_time && due > list->now) || list->count >= list->limit ||
			list->n_passed_by >= MAX_PASSED_BY)
		{
			list->next_due = due;
			return false;
		}
	}
	if (list->count >= list->limit)
		return false;
	key.app_user = slot_text(slot, ANUM_APP_USER);
	key.id = *DatumGetUUIDP(slot_datum(slot, ANUM_ID));
	if (list->verdict != NULL)
		verdict = list->verdict(&key, list->connector_id);
	if (list->look != NULL)
		due_look_note(list->look, due, verdict);
	if (verdict != DUE_TAKE)
	{
		list->n_passed_by++;
		return true;
	}
	if (list->count >= 16 && (list->count & (list->count - 1)) == 0)
		list->keys = repalloc(list->keys, sizeof(OutboxKey) * list->count * 2);
	list->keys[list->count++] = key;
	return true;
}

static OutboxList
new_list(int limit)
{
	OutboxList list = {
		.keys = palloc(sizeof(OutboxKey) * 16), .limit = limit, .next_due = DT_NOEND};

	return list;
}

/* Runs a statement on one row, given by its key. */
static uint64
run_on_key(StoreStatement *statement, const char *app_user, const pg_uuid_t *id)
{
	StoreSection section;
	StoreArgs args = {0};
	uint64 rows;

	arg_text(&args, app_user);
	arg_uuid(&args, id);
	store_begin(&section, app_user);
	rows = store_run(&section, statement, &args);
	store_end(&section);
	return rows;
}

void
store_insert_pending_answer(const char *app_user, const pg_uuid_t *id, const bytea *sealed,
							TimestampTz now)
{
	static StoreStatement insert = {
		"INSERT INTO appuser_connectors.pending_answers (app_user, answer_id, sealed_answer, "
		"received_at) VALUES ($1, $2, $3, $4)"};
	StoreSection section;
	StoreArgs args = {0};

	arg_text(&args, app_user);
	arg_uuid(&args, id);
	arg_bytes(&args, sealed);
	arg_timestamp(&args, now);
	store_begin(&section, app_user);
	store_run(&section, &insert, &args);
	store_end(&section);
}

bytea *
store_get_pending_answer(const char *app_user, const pg_uuid_t *id)
{
	static StoreStatement get = {"SELECT sealed_answer FROM appuser_connectors.pending_answers "
								 "WHERE app_user = $1 AND answer_id = $2"};
	StoreSection section;
	StoreArgs args = {0};
	bytea *sealed = NULL;

	arg_text(&args, app_user);
	arg_uuid(&args, id);
	store_begin(&section, app_user);
	if (store_run(&section, &get, &args) > 0)
		sealed = result_nullable_bytes(&section, 0, 1);
	store_end(&section);
	return sealed;
}

void
store_delete_pending_answer(const char *app_user, const pg_uuid_t *id)
{
	static StoreStatement delete = {"DELETE FROM appuser_connectors.pending_answers "
									"WHERE app_user = $1 AND answer_id = $2"};

	run_on_key(&delete, app_user, id);
}

OutboxKey *
store_pending_answers(int *count)
{
	OutboxList list = new_list(INT_MAX);

	store_scan_table("pending_answers", GetLatestSnapshot(), visit_key, &list);
	*count = list.count;
	return list.keys;
}

void
store_insert_revocation(const Revocation *revocation)
{
	static StoreStatement insert = {
		"INSERT INTO appuser_connectors.revocations (app_user, revocation_id, connector_id, "
		"connection_name, account, account_issuer, grant_id, sealed_tokens, attempts, "
		"created_at, attempt_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $9)"};
	StoreSection section;
	StoreArgs args = {0};

	arg_text(&args, revocation->app_user);
	arg_uuid(&args, &revocation->id);
	arg_text(&args, revocation->connector_id);
	arg_text(&args, revocation->connection_name);
	arg_text(&args, revocation->account);
	arg_text(&args, revocation->account_issuer);
	arg_uuid(&args, &revocation->grant_id);
	arg_bytes(&args, revocation->sealed_tokens);
	arg_timestamp(&args, revocation->created_at);
	store_begin(&section, revocation->app_user);
	store_run(&section, &insert, &args);
	store_end(&section);
}

bool
store_get_revocation(Revocation *revocation)
{
	static StoreStatement get = {
		"SELECT connector_id, connection_name, account, account_issuer, grant_id, sealed_tokens, "
		"attempts, created_at "
		"FROM appuser_connectors.revocations WHERE app_user = $1 AND revocation_id = $2"};
	StoreSection section;
	StoreArgs args = {0};
	bool found;

	arg_text(&args, revocation->app_user);
	arg_uuid(&args, &revocation->id);
	store_begin(&section, revocation->app_user);
	found = store_run(&section, &get, &args) > 0;
	if (found)
	{
		revocation->connector_id = result_text(&section, 0, 1);
		revocation->connection_name = result_nullable_text(&section, 0, 2);
		revocation->account = result_nullable_text(&section, 0, 3);
		revocation->account_issuer = result_nullable_text(&section, 0, 4);
		revocation->grant_id = result_uuid(&section, 0, 5);
		revocation->sealed_tokens = result_bytes(&section, 0, 6);
		revocation->attempts = result_int(&section, 0, 7);
		revocation->created_at = result_timestamp(&section, 0, 8);
	}
	store_end(&section);
	return found;
}

LockResult
store_lock_revocation(Revocation *revocation)
{
	static StoreStatement lock = {
		"SELECT 1 FROM appuser_connectors.revocations "
		"WHERE app_user = $1 AND revocation_id = $2 FOR UPDATE SKIP LOCKED"};
	static StoreStatement look = {"SELECT 1 FROM appuser_connectors.revocations "
								  "WHERE app_user = $1 AND revocation_id = $2"};
	StoreArgs args = {0};
	LockResult result;

	arg_text(&args, revocation->app_user);
	arg_uuid(&args, &revocation->id);
	result =
		store_lock_row("revocations", RowExclusiveLock, &lock, &look, &args, revocation->app_user);
	return result == LOCK_TAKEN && !store_get_revocation(revocation) ? LOCK_MISSING : result;
}

void
store_forget_name(const char *app_user)
{
	static StoreStatement forget = {
		"UPDATE appuser_connectors.revocations SET connection_name = NULL "
		"WHERE app_user = $1 AND connection_name IS NOT NULL"};
	StoreSection section;
	StoreArgs args = {0};

	arg_text(&args, app_user);
	store_begin(&section, app_user);
	/* twice, since the first may have waited for the end of one that left another behind */
	store_run(&section, &forget, &args);
	store_run(&section, &forget, &args);
	store_end(&section);
}

void
store_delete_revocation(const char *app_user, const pg_uuid_t *id)
{
	static StoreStatement delete = {"DELETE FROM appuser_connectors.revocations "
									"WHERE app_user = $1 AND revocation_id = $2"};

	run_on_key(&delete, app_user, id);
}

void
store_put_off_revocation(const char *app_user, const pg_uuid_t *id, TimestampTz attempt_at)
{
	static StoreStatement put_off = {
		"UPDATE appuser_connectors.revocations SET attempt_at = $3 "
		"WHERE app_user = $1 AND revocation_id = (SELECT revocation_id "
		"FROM appuser_connectors.revocations WHERE app_user = $1 AND revocation_id = $2 "
		"FOR UPDATE SKIP LOCKED)"};
	StoreSection section;
	StoreArgs args = {0};

	if (!ConditionalLockRelationOid(store_relation("revocations"), RowExclusiveLock))
		return;
	arg_text(&args, app_user);
	arg_uuid(&args, id);
	arg_timestamp(&args, attempt_at);
	store_begin(&section, app_user);
	store_run(&section, &put_off, &args);
	store_end(&section);
}

void
store_postpone_revocation(const char *app_user, const pg_uuid_t *id, int attempts,
						  TimestampTz attempt_at)
{
	static StoreStatement postpone = {
		"UPDATE appuser_connectors.revocations SET attempts = $3, attempt_at = $4 "
		"WHERE app_user = $1 AND revocation_id = $2"};
	StoreSection section;
	StoreArgs args = {0};

	arg_text(&args, app_user);
	arg_uuid(&args, id);
	arg_int(&args, attempts);
	arg_timestamp(&args, attempt_at);
	store_begin(&section, app_user);
	store_run(&section, &postpone, &args);
	store_end(&section);
}

static bool
visit_connector(TupleTableSlot *slot, void *arg)
{
	*(char **) arg = slot_text(slot, ANUM_CONNECTOR_ID);
	return false;
}

/* The next connector, in order, that has revocations; NULL: no more */
static char *
next_connector(const char *after)
{
	ScanKeyData key;
	char *connector_id = NULL;

	ScanKeyEntryInitialize(&key, 0, 1, BTGreaterStrategyNumber, InvalidOid, C_COLLATION_OID,
						   F_TEXT_GT, CStringGetTextDatum(after));
	store_scan("revocations", "revocations_due", GetLatestSnapshot(), &key, 1, visit_connector,
			   &connector_id);
	return connector_id;
}

char **
store_connectors_with_revocations(int *count)
{
	/* It lives as long as the process does: to find one steps over all that is dead. */
	static MemoryContext memory = NULL;
	static char **connectors = NULL;
	static int n_connectors = 0;
	DueLook look;
	MemoryContext old;
	char *connector_id = "";

	due_look_begin(&look, "connectors with revocations", "", 0);
	if (look.is_whole || memory == NULL)
	{
		n_connectors = 0;
		if (memory == NULL)
			memory = AllocSetContextCreate(TopMemoryContext, "connectors with revocations",
										   ALLOCSET_SMALL_SIZES);
		MemoryContextReset(memory);
		old = MemoryContextSwitchTo(memory);
		connectors = palloc(sizeof(char *) * 16);
		while ((connector_id = next_connector(connector_id)) != NULL)
		{
			if (n_connectors >= 16 && (n_connectors & (n_connectors - 1)) == 0)
				connectors = repalloc(connectors, sizeof(char *) * n_connectors * 2);
			connectors[n_connectors++] = connector_id;
		}
		MemoryContextSwitchTo(old);
		/* there is no order of time in it, only how often it is looked at all over */
		due_look_note(&look, 0, DUE_HELD);
		(void) due_look_end(&look, DT_NOEND);
	}
	*count = n_connectors;
	return connectors;
}

OutboxKey *
store_due_revocations(const char *connector_id, TimestampTz now, int limit,
					  RevocationVerdict verdict, int *count, TimestampTz *next_due)
{
	ScanKeyData keys[2];
	OutboxList list = new_list(limit);
	DueLook look;
	int n_keys = 1;

	list.by_time = true;
	list.now = now;
	list.look = &look;
	list.time_column = ANUM_ATTEMPT_AT;
	list.verdict = verdict;
	list.connector_id = connector_id;
	due_look_begin(&look, "revocations", connector_id, COMMIT_SLACK);
	text_key(&keys[0], 1, connector_id);
	n_keys += due_look_key(&look, &keys[1], 2);
	store_scan("revocations", "revocations_due", GetLatestSnapshot(), keys, n_keys, visit_key,
			   &list);
	*count = list.count;
	*next_due =
		Min(list.next_due, due_look_end(&look, list.next_due > now ? DT_NOEND : list.next_due));
	return list.keys;
}

void
store_insert_event(const char *app_user, const pg_uuid_t *id, const char *connector_id,
				   const char *connection_name, const char *event, const char *detail,
				   TimestampTz now, bool announced)
{
	static StoreStatement insert = {
		"INSERT INTO appuser_connectors.connection_events (app_user, event_id, connector_id, "
		"connection_name, event, detail, occurred_at, announced) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8 <> 0)"};
	StoreSection section;
	StoreArgs args = {0};

	arg_text(&args, app_user);
	arg_uuid(&args, id);
	arg_text(&args, connector_id);
	arg_text(&args, connection_name);
	arg_text(&args, event);
	arg_text(&args, detail);
	arg_timestamp(&args, now);
	arg_int(&args, announced ? 1 : 0);
	store_begin(&section, app_user);
	store_run(&section, &insert, &args);
	store_end(&section);
}

bool
store_event_exists(const char *app_user, const char *connector_id, const char *connection_name,
				   const char *event, const char *detail, TimestampTz since)
{
	static StoreStatement look = {
		"SELECT 1 FROM appuser_connectors.connection_events WHERE app_user = $1 "
		"AND connector_id = $2 AND connection_name = $3 AND event = $4 AND detail = $5 "
		"AND occurred_at >= $6 LIMIT 1"};
	StoreSection section;
	StoreArgs args = {0};
	bool exists;

	arg_text(&args, app_user);
	arg_text(&args, connector_id);
	arg_text(&args, connection_name);
	arg_text(&args, event);
	arg_text(&args, detail);
	arg_timestamp(&args, since);
	store_begin(&section, app_user);
	exists = store_run(&section, &look, &args) > 0;
	store_end(&section);
	return exists;
}

void
store_delete_events(const char *app_user)
{
	static StoreStatement delete = {
		"DELETE FROM appuser_connectors.connection_events WHERE app_user = $1"};
	StoreSection section;
	StoreArgs args = {0};

	arg_text(&args, app_user);
	store_begin(&section, app_user);
	store_run(&section, &delete, &args);
	store_end(&section);
}

/* Events that erase_app_user() is deleting are not waited for, nor a locked table. */
#define FREE_EVENT                                                                                 \
	"(SELECT event_id FROM appuser_connectors.connection_events "                                  \
	"WHERE app_user = $1 AND event_id = $2 FOR UPDATE SKIP LOCKED)"

static bool
may_change_events(void)
{
	return ConditionalLockRelationOid(store_relation("connection_events"), RowExclusiveLock);
}

bool
store_trim_events(TimestampTz before, int limit)
{
	static StoreStatement delete = {"DELETE FROM appuser_connectors.connection_events "
									"WHERE app_user = $1 AND event_id = " FREE_EVENT};
	ScanKeyData keys[2];
	OutboxList list = new_list(limit);
	DueLook look;
	int n_keys = 1;
	int deleted = 0;

	if (!may_change_events())
		return false;
	list.look = &look;
	list.time_column = ANUM_OCCURRED_AT;
	due_look_begin(&look, "old events", "", 0);
	ScanKeyInit(&keys[0], 1, BTLessStrategyNumber, F_TIMESTAMPTZ_LT, TimestampTzGetDatum(before));
	n_keys += due_look_key(&look, &keys[1], 1);
	store_scan("connection_events", "connection_events_occurred_at", GetLatestSnapshot(), keys,
			   n_keys, visit_key, &list);
	(void) due_look_end(&look, list.next_due);
	for (int i = 0; i < list.count; i++)
		deleted += (int) run_on_key(&delete, list.keys[i].app_user, &list.keys[i].id);
	return deleted > 0 && !TIMESTAMP_IS_NOEND(list.next_due);
}

OutboxKey *
store_take_unannounced_events(int limit, int *count)
{
	static StoreStatement mark = {
		"UPDATE appuser_connectors.connection_events SET announced = true "
		"WHERE app_user = $1 AND event_id = " FREE_EVENT};
	OutboxList list = new_list(limit);
	ScanKeyData key;
	DueLook look;
	int n_keys;

	*count = 0;
	if (!may_change_events())
		return list.keys;
	list.look = &look;
	list.time_column = ANUM_OCCURRED_AT;
	due_look_begin(&look, "unannounced events", "", COMMIT_SLACK);
	n_keys = due_look_key(&look, &key, 1);
	store_scan("connection_events", "connection_events_unannounced", GetLatestSnapshot(), &key,
			   n_keys, visit_key, &list);
	(void) due_look_end(&look, list.next_due);
	for (int i = 0; i < list.count; i++)
		if (run_on_key(&mark, list.keys[i].app_user, &list.keys[i].id) > 0)
			list.keys[(*count)++] = list.keys[i];
	return list.keys;
}
