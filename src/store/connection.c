/*
 * connection.c
 *	  Statements on connections, and the direct scans of them.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_collation.h"
#include "executor/tuptable.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "base/text.h"
#include "store/connection.h"
#include "store/store.h"

/* Columns of connections, in the order of the table */
enum
{
	ANUM_APP_USER = 1,
	ANUM_CONNECTOR_ID,
	ANUM_CONNECTION_NAME,
	ANUM_GRANT_ID,
	ANUM_GENERATION,
	ANUM_STATUS,
	ANUM_STATUS_REASON,
	ANUM_STATUS_SINCE,
	ANUM_ACCOUNT,
	ANUM_ACCOUNT_ISSUER,
	ANUM_TOKEN_TYPE,
	ANUM_SCOPES,
	ANUM_REQUESTED_SCOPES,
	ANUM_CONNECTION_CONFIG,
	ANUM_CONNECTED_AT,
	ANUM_UPDATED_AT,
	ANUM_EXPIRES_AT,
	ANUM_REFRESH_AT,
	ANUM_FAILURES,
	ANUM_FAILING_SINCE,
	ANUM_REFUSALS,
	ANUM_ENDPOINTS,
	ANUM_ACCESS_TOKEN,
	ANUM_REFRESH_TOKEN,
	ANUM_SCOPES_ASSUMED,
	ANUM_RECONNECT_BY,
	ANUM_REMIND_AT,
	ANUM_ACCOUNT_NAME
};

#define MAX_LOOKED_AT 1000 /* rows */

typedef struct ReadArg
{
	Connection *connection;
	bool found;
} ReadArg;

static bool
visit_connection(TupleTableSlot *slot, void *arg)
{
	Connection *c = ((ReadArg *) arg)->connection;

	c->grant_id = *DatumGetUUIDP(slot_datum(slot, ANUM_GRANT_ID));
	c->generation = DatumGetInt64(slot_datum(slot, ANUM_GENERATION));
	c->reconnect_required = strcmp(slot_text(slot, ANUM_STATUS), "connected") != 0;
	c->status_reason = slot_nullable_text(slot, ANUM_STATUS_REASON);
	c->status_since = slot_timestamp(slot, ANUM_STATUS_SINCE);
	c->account = slot_nullable_text(slot, ANUM_ACCOUNT);
	c->account_issuer = slot_nullable_text(slot, ANUM_ACCOUNT_ISSUER);
	c->account_name = slot_nullable_text(slot, ANUM_ACCOUNT_NAME);
	c->token_type = slot_text(slot, ANUM_TOKEN_TYPE);
	c->scopes = slot_varlena(slot, ANUM_SCOPES);
	c->requested_scopes = slot_varlena(slot, ANUM_REQUESTED_SCOPES);
	c->connection_config = slot_nullable_varlena(slot, ANUM_CONNECTION_CONFIG);
	c->connected_at = slot_timestamp(slot, ANUM_CONNECTED_AT);
	c->updated_at = slot_timestamp(slot, ANUM_UPDATED_AT);
	c->expires_at = slot_nullable_timestamp(slot, ANUM_EXPIRES_AT);
	c->refresh_at = slot_nullable_timestamp(slot, ANUM_REFRESH_AT);
	c->failures = DatumGetInt32(slot_datum(slot, ANUM_FAILURES));
	c->failing_since = slot_nullable_timestamp(slot, ANUM_FAILING_SINCE);
	c->refusals = DatumGetInt32(slot_datum(slot, ANUM_REFUSALS));
	c->endpoints = slot_text(slot, ANUM_ENDPOINTS);
	c->access_token = slot_varlena(slot, ANUM_ACCESS_TOKEN);
	c->refresh_token = slot_nullable_varlena(slot, ANUM_REFRESH_TOKEN);
	c->scopes_assumed = DatumGetBool(slot_datum(slot, ANUM_SCOPES_ASSUMED));
	c->reconnect_by = slot_nullable_timestamp(slot, ANUM_RECONNECT_BY);
	c->remind_at = slot_nullable_timestamp(slot, ANUM_REMIND_AT);
	((ReadArg *) arg)->found = true;
	return false;
}

bool
account_is_of_profile(const char *account_issuer)
{
	return strncmp(account_issuer, ACCOUNT_OF_PROFILE, strlen(ACCOUNT_OF_PROFILE)) == 0;
}

bool
connection_is_of_another(const Connection *connection, const char *account,
						 const char *account_issuer)
{
	if (connection->account == NULL || account == NULL || connection->account_issuer == NULL ||
		account_issuer == NULL)
		return false;
	if (strcmp(connection->account_issuer, account_issuer) == 0)
		return strcmp(connection->account, account) != 0;
	return !account_is_of_profile(connection->account_issuer) &&
		   !account_is_of_profile(account_issuer);
}

bool
connection_is_of(const Connection *connection, const char *account, const char *account_issuer)
{
	return connection->account != NULL && account != NULL && connection->account_issuer != NULL &&
		   account_issuer != NULL && strcmp(connection->account, account) == 0 &&
		   strcmp(connection->account_issuer, account_issuer) == 0;
}

bool
store_read_connection(const char *app_user, const char *connector_id, const char *connection_name,
					  Snapshot snapshot, Connection *connection)
{
	ScanKeyData keys[3];
	ReadArg arg = {connection, false};

	text_key(&keys[0], 1, app_user);
	text_key(&keys[1], 2, connector_id);
	text_key(&keys[2], 3, connection_name);
	connection->app_user = app_user;
	connection->connector_id = connector_id;
	connection->connection_name = connection_name;
	store_scan("connections", "connections_pkey", snapshot, keys, 3, visit_connection, &arg);
	return arg.found;
}

LockResult
store_lock_connection(const char *app_user, const char *connector_id, const char *connection_name,
					  Connection *connection)
{
	static StoreStatement lock = {
		"SELECT 1 FROM appuser_connectors.connections WHERE app_user = $1 AND connector_id = $2 "
		"AND connection_name = $3 FOR UPDATE SKIP LOCKED"};
	StoreSection section;
	StoreArgs args = {0};
	bool locked;

	/* SKIP LOCKED is about rows: the statement would wait for LOCK TABLE */
	if (!ConditionalLockRelationOid(store_relation("connections"), RowExclusiveLock))
		return LOCK_HELD;
	arg_text(&args, app_user);
	arg_text(&args, connector_id);
	arg_text(&args, connection_name);
	store_begin(&section, app_user);
	locked = store_run(&section, &lock, &args) > 0;
	store_end(&section);

	if (!store_read_connection(app_user, connector_id, connection_name, GetLatestSnapshot(),
							   connection))
		return LOCK_MISSING;
	return locked ? LOCK_TAKEN : LOCK_HELD;
}

LockResult
store_lock_connector(const char *connector_id)
{
	static StoreStatement lock = {"SELECT 1 FROM appuser_connectors.registered_connectors "
								  "WHERE connector_id = $1 FOR KEY SHARE SKIP LOCKED"};
	static StoreStatement look = {"SELECT 1 FROM appuser_connectors.registered_connectors "
								  "WHERE connector_id = $1"};
	StoreArgs args = {0};

	arg_text(&args, connector_id);
	return store_lock_row("registered_connectors", RowShareLock, &lock, &look, &args, NULL);
}

static void
connection_args(StoreArgs *args, const Connection *c)
{
	arg_text(args, c->app_user);
	arg_text(args, c->connector_id);
	arg_text(args, c->connection_name);
	arg_uuid(args, &c->grant_id);
	arg_bigint(args, c->generation);
	arg_text(args, c->reconnect_required ? "reconnect_required" : "connected");
	arg_text(args, c->status_reason);
	arg_timestamp(args, c->status_since);
	arg_text(args, c->account);
	arg_text(args, c->account_issuer);
	arg_text(args, c->token_type);
	args->types[args->count] = args->types[args->count + 1] = TEXTARRAYOID;
	args->values[args->count] = PointerGetDatum(c->scopes);
	args->values[args->count + 1] = PointerGetDatum(c->requested_scopes);
	args->nulls[args->count] = args->nulls[args->count + 1] = ' ';
	args->count += 2;
	arg_jsonb(args, c->connection_config);
	arg_timestamp(args, c->connected_at);
	arg_timestamp(args, c->updated_at);
	arg_timestamp(args, c->expires_at);
	arg_timestamp(args, c->refresh_at);
	arg_int(args, c->failures);
	arg_timestamp(args, c->failing_since);
	arg_int(args, c->refusals);
	arg_text(args, c->endpoints);
	arg_bytes(args, c->access_token);
	arg_bytes(args, c->refresh_token);
	arg_int(args, c->scopes_assumed);
	arg_timestamp(args, c->reconnect_by);
	arg_timestamp(args, c->remind_at);
	arg_text(args, c->account_name);
}

static void
run_with_connection(StoreStatement *statement, const Connection *connection)
{
	StoreSection section;
	StoreArgs args = {0};

	connection_args(&args, connection);
	store_begin(&section, connection->app_user);
	store_run(&section, statement, &args);
	store_end(&section);
}

void
store_insert_connection(const Connection *connection)
{
	static StoreStatement insert = {
		"INSERT INTO appuser_connectors.connections (app_user, connector_id, connection_name, "
		"grant_id, generation, status, status_reason, status_since, account, account_issuer, "
		"token_type, scopes, requested_scopes, connection_config, connected_at, updated_at, "
		"expires_at, refresh_at, failures, failing_since, refusals, endpoints, access_token, "
		"refresh_token, scopes_assumed, reconnect_by, remind_at, account_name) VALUES ($1, $2, $3, "
		"$4, $5, $6, "
		"$7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, "
		"$25 <> 0, $26, $27, $28)"};

	run_with_connection(&insert, connection);
}

void
store_update_connection(const Connection *connection)
{
	static StoreStatement update = {
		"UPDATE appuser_connectors.connections SET grant_id = $4, generation = $5, status = $6, "
		"status_reason = $7, status_since = $8, account = $9, account_issuer = $10, "
		"token_type = $11, scopes = $12, requested_scopes = $13, connection_config = $14, "
		"connected_at = $15, updated_at = $16, expires_at = $17, refresh_at = $18, failures = $19, "
		"failing_since = $20, refusals = $21, endpoints = $22, access_token = $23, "
		"refresh_token = $24, scopes_assumed = $25 <> 0, reconnect_by = $26, remind_at = $27, "
		"account_name = $28 "
		"WHERE app_user = $1 AND connector_id = $2 AND connection_name = $3"};

	run_with_connection(&update, connection);
}

bool
store_wait_connection(const char *app_user, const char *connector_id, const char *connection_name,
					  Connection *connection)
{
	static StoreStatement lock = {
		"SELECT 1 FROM appuser_connectors.connections WHERE app_user = $1 AND connector_id = $2 "
		"AND connection_name = $3 FOR UPDATE"};
	StoreSection section;
	StoreArgs args = {0};
	bool found;

	arg_text(&args, app_user);
	arg_text(&args, connector_id);
	arg_text(&args, connection_name);
	store_begin(&section, app_user);
	found = store_run(&section, &lock, &args) > 0;
	store_end(&section);
	return found && store_read_connection(app_user, connector_id, connection_name,
										  GetLatestSnapshot(), connection);
}

bool
store_delete_connection(const char *app_user, const char *connector_id, const char *connection_name,
						Connection *deleted)
{
	static StoreStatement delete = {
		"DELETE FROM appuser_connectors.connections WHERE app_user = $1 AND connector_id = $2 "
		"AND connection_name = $3"};
	StoreSection section;
	StoreArgs args = {0};

	if (!store_wait_connection(app_user, connector_id, connection_name, deleted))
		return false;
	arg_text(&args, app_user);
	arg_text(&args, connector_id);
	arg_text(&args, connection_name);
	store_begin(&section, app_user);
	store_run(&section, &delete, &args);
	store_end(&section);
	return true;
}

int
store_count_other_connections(const char *app_user, const char *connector_id,
							  const char *connection_name)
{
	static StoreStatement count = {
		"SELECT count(*)::integer FROM appuser_connectors.connections "
		"WHERE app_user = $1 AND connector_id = $2 AND connection_name <> $3"};
	StoreSection section;
	StoreArgs args = {0};
	int result;

	arg_text(&args, app_user);
	arg_text(&args, connector_id);
	arg_text(&args, connection_name);
	store_begin(&section, app_user);
	store_run(&section, &count, &args);
	result = result_int(&section, 0, 1);
	store_end(&section);
	return result;
}

bool
store_put_off_connection(const char *app_user, const char *connector_id,
						 const char *connection_name, const char *reason, TimestampTz refresh_at)
{
	static StoreStatement put_off = {
		"UPDATE appuser_connectors.connections SET refresh_at = $5, status_reason = $4, "
		"failures = COALESCE(failures, 0) + 1, failing_since = COALESCE(failing_since, now()) "
		"WHERE app_user = $1 AND connector_id = $2 AND connection_name = (SELECT connection_name "
		"FROM appuser_connectors.connections WHERE app_user = $1 AND connector_id = $2 "
		"AND connection_name = $3 FOR UPDATE SKIP LOCKED)"};
	StoreSection section;
	StoreArgs args = {0};
	bool done;

	if (!ConditionalLockRelationOid(store_relation("connections"), RowExclusiveLock))
		return false;
	arg_text(&args, app_user);
	arg_text(&args, connector_id);
	arg_text(&args, connection_name);
	arg_text(&args, reason);
	arg_timestamp(&args, refresh_at);
	store_begin(&section, app_user);
	done = store_run(&section, &put_off, &args) > 0;
	store_end(&section);
	return done;
}

/* Strings of an array in a connector's definition, whatever somebody has made of that by SQL */
#define DEFINED_SCOPES(member)                                                                     \
	"ARRAY(SELECT jsonb_array_elements_text(jsonb_path_query_array(n.definition, '$." member       \
	"[*] ? (@.type() == \"string\")')))"
#define DEFAULT_SCOPES DEFINED_SCOPES("default_scopes")
#define REQUIRED_SCOPES DEFINED_SCOPES("required_scopes")
#define UNRETURNED_SCOPES DEFINED_SCOPES("unreturned_scopes")

void
store_list_connections(const char *app_user, Tuplestorestate *tuples, TupleDesc descriptor)
{
	/*
	 * Missing is what a flow would ask for, but for what was granted, or was asked for of a
	 * provider that never names it; as in the view connection_status.
	 */
	static StoreStatement list = {
		"SELECT n.connector_id::text, c.connection_name::text, n.provider::text, n.name, "
		"CASE WHEN c.status IS NULL THEN 'not_connected' "
		"WHEN c.status = 'reconnect_required' THEN c.status "
		"WHEN n.stopped_at IS NOT NULL THEN 'connector_stopped' "
		"WHEN c.failures > 0 THEN 'failing' ELSE c.status END::text, "
		"CASE WHEN c.status = 'reconnect_required' THEN c.status_reason "
		"WHEN c.status IS NOT NULL THEN COALESCE(n.stopped_reason, c.status_reason) END, "
		"c.account::text, c.account_name, c.scopes, "
		"CASE WHEN c.status IS NOT NULL THEN ARRAY(SELECT s.scope FROM unnest("
		"CASE WHEN n.scopes = '{}' THEN " DEFAULT_SCOPES " ELSE n.scopes END || " REQUIRED_SCOPES
		") WITH ORDINALITY AS s(scope, place) WHERE s.scope <> ALL (c.scopes) "
		"AND NOT (s.scope = ANY (c.requested_scopes) AND s.scope = ANY (" UNRETURNED_SCOPES ")) "
		"GROUP BY s.scope ORDER BY min(s.place)) END, c.scopes_assumed, "
		"c.connected_at, c.updated_at, c.expires_at, "
		"CASE WHEN c.status = 'connected' THEN c.reconnect_by END "
		"FROM appuser_connectors.registered_connectors AS n LEFT JOIN "
		"appuser_connectors.connections AS c "
		"ON c.connector_id = n.connector_id AND c.app_user = $1 "
		"ORDER BY n.connector_id, c.connection_name"};
	StoreSection section;
	StoreArgs args = {0};
	uint64 rows;

	arg_text(&args, app_user);
	store_begin(&section, app_user);
	rows = store_run(&section, &list, &args);
	store_check_results(&section, descriptor);
	for (uint64 i = 0; i < rows; i++)
		tuplestore_puttuple(tuples, SPI_tuptable->vals[i]);
	store_end(&section);
}

#define MAX_PASSED_BY 2000 /* so that no scan takes long; those that wait behind come later */

/* A growing list of keys */
typedef struct KeyList
{
	ConnectionKey *keys;
	int count;
	int limit;
	TimestampTz now; /* DT_NOEND: whenever they are due */
	TimestampTz next_due;
	ConnectionVerdict verdict; /* NULL: all are taken */
	DueLook look;
	int n_passed_by;
	const char *connector_id; /* of a scan of the table */
} KeyList;

static void
init_key_list(KeyList *list, int limit)
{
	list->keys = palloc(sizeof(ConnectionKey) * 16);
	list->count = 0;
	list->limit = limit;
	list->now = DT_NOEND;
	list->next_due = DT_NOEND;
	list->verdict = NULL;
	list->n_passed_by = 0;
	list->connector_id = NULL;
}

static bool
visit_key(TupleTableSlot *slot, void *arg)
{
	KeyList *list = arg;
	ConnectionKey key;
	TimestampTz due = slot_nullable_timestamp(slot, ANUM_REFRESH_AT);

	if (!TIMESTAMP_IS_NOEND(list->now))
	{
		if (due > list->now || list->count >= list->limit || list->n_passed_by >= MAX_PASSED_BY)
		{
			list->next_due = due;
			return false;
		}
	}
	key = (ConnectionKey){slot_text(slot, ANUM_APP_USER), slot_text(slot, ANUM_CONNECTOR_ID),
						  slot_text(slot, ANUM_CONNECTION_NAME)};
	if (list->verdict != NULL)
	{
		DueVerdict verdict = list->verdict(&key);

		due_look_note(&list->look, due, verdict);
		if (verdict != DUE_TAKE)
		{
			list->n_passed_by++;
			return true;
		}
	}
	if (list->count >= 16 && (list->count & (list->count - 1)) == 0)
		list->keys = repalloc_huge(list->keys, sizeof(ConnectionKey) * list->count * 2);
	list->keys[list->count++] = key;
	return true;
}

static bool
visit_key_of_connector(TupleTableSlot *slot, void *arg)
{
	KeyList *list = arg;
	char *connector_id;
	bool same;

	connector_id = slot_text(slot, ANUM_CONNECTOR_ID);
	same = strcmp(connector_id, list->connector_id) == 0;
	pfree(connector_id);
	return !same || visit_key(slot, arg);
}

/* Reads the whole table: no index is worth what the few callers of this need. */
ConnectionKey *
store_keys_of_connector(const char *connector_id, int *count)
{
	KeyList list;

	init_key_list(&list, INT_MAX);
	list.connector_id = connector_id;
	store_scan_table("connections", GetLatestSnapshot(), visit_key_of_connector, &list);
	*count = list.count;
	return list.keys;
}

ConnectionKey *
store_keys_of_app_user(const char *app_user, int *count)
{
	ScanKeyData key;
	KeyList list;

	init_key_list(&list, INT_MAX);
	text_key(&key, 1, app_user);
	store_scan("connections", "connections_pkey", GetLatestSnapshot(), &key, 1, visit_key, &list);
	*count = list.count;
	return list.keys;
}

ConnectionKey *
store_due_connections(const char *connector_id, TimestampTz now, int limit,
					  ConnectionVerdict verdict, int *count, TimestampTz *next_due)
{
	ScanKeyData keys[2];
	KeyList list;
	int n_keys = 1;

	init_key_list(&list, limit);
	list.now = now;
	list.verdict = verdict;
	due_look_begin(&list.look, "refreshes", connector_id, 0);
	text_key(&keys[0], 1, connector_id);
	n_keys += due_look_key(&list.look, &keys[1], 2);
	store_scan("connections", "connections_due", GetLatestSnapshot(), keys, n_keys, visit_key,
			   &list);
	*count = list.count;
	*next_due = Min(list.next_due,
					due_look_end(&list.look, list.next_due > now ? DT_NOEND : list.next_due));
	return list.keys;
}

typedef struct CountArg
{
	int count;
	int limit;
} CountArg;

static bool
visit_renewed(TupleTableSlot *slot, void *arg)
{
	CountArg *count = arg;

	return ++count->count < count->limit;
}

int
store_count_renewed(const char *connector_id, int limit)
{
	ScanKeyData key;
	CountArg arg = {0, limit};

	text_key(&key, 1, connector_id);
	store_scan("connections", "connections_due", GetLatestSnapshot(), &key, 1, visit_renewed, &arg);
	return arg.count;
}

typedef struct SharedArg
{
	const char *account_issuer;
	const pg_uuid_t *grant_id;
	bool found;
} SharedArg;

static bool
visit_shared(TupleTableSlot *slot, void *arg)
{
	SharedArg *shared = arg;
	char *issuer;

	issuer = slot_nullable_text(slot, ANUM_ACCOUNT_ISSUER);
	shared->found = (issuer == NULL || shared->account_issuer == NULL ||
					 strcmp(issuer, shared->account_issuer) == 0) &&
					memcmp(DatumGetUUIDP(slot_datum(slot, ANUM_GRANT_ID)), shared->grant_id,
						   sizeof(pg_uuid_t)) != 0 &&
					strcmp(slot_text(slot, ANUM_STATUS), "connected") == 0;
	return !shared->found;
}

bool
store_account_is_shared(const char *connector_id, const char *account, const char *account_issuer,
						const pg_uuid_t *grant_id)
{
	ScanKeyData keys[2];
	SharedArg arg = {account_issuer, grant_id, false};

	text_key(&keys[0], 1, connector_id);
	text_key(&keys[1], 2, account);
	store_scan("connections", "connections_account", GetLatestSnapshot(), keys, 2, visit_shared,
			   &arg);
	return arg.found;
}

void
connection_check_name(const char *connection_name)
{
	size_t length = strlen(connection_name);

	if (length == 0 || length > MAX_CONNECTION_NAME)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("connection_name must be 1 to %d bytes long", MAX_CONNECTION_NAME)));
	if (text_has_controls(connection_name))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("connection_name must not hold control characters")));
}

static bool
visit_connector_id(TupleTableSlot *slot, void *arg)
{
	*(char **) arg = slot_text(slot, ANUM_CONNECTOR_ID);
	return false;
}

char *
store_connector_with_connections(const char *after)
{
	ScanKeyData key;
	char *connector_id = NULL;

	ScanKeyEntryInitialize(&key, 0, 1, BTGreaterStrategyNumber, InvalidOid, C_COLLATION_OID,
						   F_TEXT_GT, CStringGetTextDatum(after));
	store_scan("connections", "connections_due", GetLatestSnapshot(), &key, 1, visit_connector_id,
			   &connector_id);
	return connector_id;
}

typedef struct FailingArg
{
	const char *app_user;
	int looked_at;
	bool found;
} FailingArg;

static bool
visit_failing(TupleTableSlot *slot, void *arg)
{
	FailingArg *failing = arg;

	failing->found = !TIMESTAMP_IS_NOEND(slot_timestamp(slot, ANUM_FAILING_SINCE)) &&
					 strcmp(slot_text(slot, ANUM_APP_USER), failing->app_user) != 0;
	return !failing->found && ++failing->looked_at < MAX_LOOKED_AT;
}

bool
store_another_is_failing(const char *app_user, const char *connector_id)
{
	ScanKeyData key;
	FailingArg failing = {.app_user = app_user};

	text_key(&key, 1, connector_id);
	store_scan("connections", "connections_due", GetLatestSnapshot(), &key, 1, visit_failing,
			   &failing);
	return failing.found;
}
