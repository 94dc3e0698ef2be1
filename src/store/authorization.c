/*
 * authorization.c
 *	  Statements on authorizations.
 */
#include "postgres.h"

#include "access/skey.h"
#include "access/stratnum.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "store/authorization.h"
#include "store/due_mark.h"
#include "store/store.h"

/* Columns that the direct scans read */
enum
{
	ANUM_APP_USER = 1,
	ANUM_STATE_HASH = 2,
	ANUM_CONNECTOR_ID = 3,
	ANUM_CONNECTION_NAME = 4,
	ANUM_REDIRECT_URI = 5,
	ANUM_RETURN_TO = 6,
	ANUM_SCOPES = 7,
	ANUM_CONNECTION_CONFIG = 8,
	ANUM_BINDING_HASH = 9,
	ANUM_SEALED_SECRETS = 10,
	ANUM_CONSUMED = 11,
	ANUM_SEALED_OUTCOME = 12,
	ANUM_CREATED_AT = 13,
	ANUM_EXPIRES_AT = 14
};

static bytea *
hash_bytea(const uint8 *hash)
{
	bytea *bytes = palloc(VARHDRSZ + PG_SHA256_DIGEST_LENGTH);

	SET_VARSIZE(bytes, VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	memcpy(VARDATA(bytes), hash, PG_SHA256_DIGEST_LENGTH);
	return bytes;
}

void
store_insert_authorization(const Authorization *a)
{
	static StoreStatement insert = {
		"INSERT INTO appuser_connectors.authorizations (app_user, state_hash, connector_id, "
		"connection_name, redirect_uri, return_to, scopes, connection_config, binding_hash, "
		"sealed_secrets, created_at, expires_at) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"};
	/*
	 * SKIP LOCKED: two tabs of one person need not wait for each other.  Which are too
	 * many is found without locks, since FOR UPDATE beside OFFSET would lock those that
	 * OFFSET skips as well (see LockRows below Limit), and nobody could finish those
	 * flows while this transaction is open.
	 */
	static StoreStatement prune = {
		"DELETE FROM appuser_connectors.authorizations WHERE app_user = $1 AND state_hash = ANY "
		"(ARRAY(SELECT state_hash FROM appuser_connectors.authorizations WHERE app_user = $1 "
		"AND NOT consumed AND state_hash = ANY (ARRAY("
		"SELECT state_hash FROM appuser_connectors.authorizations WHERE app_user = $1 "
		"AND connector_id = $2 AND NOT consumed ORDER BY created_at DESC OFFSET $3)) "
		"FOR UPDATE SKIP LOCKED))"};
	static StoreStatement prune_all = {
		"DELETE FROM appuser_connectors.authorizations WHERE app_user = $1 AND state_hash = ANY "
		"(ARRAY(SELECT state_hash FROM appuser_connectors.authorizations WHERE app_user = $1 "
		"AND NOT consumed AND state_hash = ANY (ARRAY("
		"SELECT state_hash FROM appuser_connectors.authorizations WHERE app_user = $1 "
		"AND NOT consumed ORDER BY created_at DESC OFFSET $2)) "
		"FOR UPDATE SKIP LOCKED))"};
	StoreSection section;
	StoreArgs args = {0};
	StoreArgs prune_args = {0};
	StoreArgs prune_all_args = {0};

	arg_text(&args, a->app_user);
	arg_bytes(&args, hash_bytea(a->state_hash));
	arg_text(&args, a->connector_id);
	arg_text(&args, a->connection_name);
	arg_text(&args, a->redirect_uri);
	arg_text(&args, a->return_to);
	arg_texts(&args, a->scopes, a->n_scopes);
	arg_jsonb(&args, a->connection_config);
	arg_bytes(&args, a->binding_hash);
	arg_bytes(&args, a->sealed_secrets);
	arg_timestamp(&args, a->created_at);
	arg_timestamp(&args, a->expires_at);

	arg_text(&prune_args, a->app_user);
	arg_text(&prune_args, a->connector_id);
	arg_bigint(&prune_args, MAX_AUTHORIZATIONS);

	arg_text(&prune_all_args, a->app_user);
	arg_bigint(&prune_all_args, MAX_AUTHORIZATIONS_OF_APP_USER);

	store_begin(&section, a->app_user);
	store_run(&section, &insert, &args);
	store_run(&section, &prune, &prune_args);
	store_run(&section, &prune_all, &prune_all_args);
	store_end(&section);
}

static bool
visit_flow(TupleTableSlot *slot, void *arg)
{
	Authorization **found = arg;
	Authorization *a = palloc0(sizeof(Authorization));

	a->app_user = slot_text(slot, ANUM_APP_USER);
	a->connector_id = slot_text(slot, ANUM_CONNECTOR_ID);
	a->connection_name = slot_text(slot, ANUM_CONNECTION_NAME);
	a->redirect_uri = slot_text(slot, ANUM_REDIRECT_URI);
	a->return_to = slot_nullable_text(slot, ANUM_RETURN_TO);
	a->scopes = array_to_texts(slot_varlena(slot, ANUM_SCOPES), &a->n_scopes);
	a->connection_config = slot_nullable_varlena(slot, ANUM_CONNECTION_CONFIG);
	a->binding_hash = slot_nullable_varlena(slot, ANUM_BINDING_HASH);
	a->sealed_secrets = slot_varlena(slot, ANUM_SEALED_SECRETS);
	a->consumed = DatumGetBool(slot_datum(slot, ANUM_CONSUMED));
	a->sealed_outcome = slot_nullable_varlena(slot, ANUM_SEALED_OUTCOME);
	a->created_at = slot_timestamp(slot, ANUM_CREATED_AT);
	a->expires_at = slot_timestamp(slot, ANUM_EXPIRES_AT);
	*found = a;
	return false;
}

Authorization *
store_find_authorization(const char *app_user, const uint8 *state_hash)
{
	ScanKeyData keys[2];
	Authorization *found = NULL;

	text_key(&keys[0], 1, app_user);
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_BYTEAEQ,
				PointerGetDatum(hash_bytea(state_hash)));
	store_scan("authorizations", "authorizations_pkey", GetLatestSnapshot(), keys, 2, visit_flow,
			   &found);
	if (found != NULL)
		memcpy(found->state_hash, state_hash, PG_SHA256_DIGEST_LENGTH);
	return found;
}

Authorization *
store_take_authorization(const char *app_user, const uint8 *state_hash)
{
	static StoreStatement get = {
		"SELECT connector_id, connection_name, redirect_uri, return_to, scopes, "
		"connection_config, binding_hash, sealed_secrets, consumed, sealed_outcome, created_at, "
		"expires_at FROM appuser_connectors.authorizations WHERE app_user = $1 AND state_hash = $2 "
		"FOR UPDATE SKIP LOCKED"};
	StoreSection section;
	StoreArgs args = {0};
	Authorization *a = palloc0(sizeof(Authorization));
	bool found;

	arg_text(&args, app_user);
	arg_bytes(&args, hash_bytea(state_hash));
	store_begin(&section, app_user);
	found = store_run(&section, &get, &args) > 0;
	if (found)
	{
		a->app_user = app_user;
		memcpy(a->state_hash, state_hash, PG_SHA256_DIGEST_LENGTH);
		a->connector_id = result_text(&section, 0, 1);
		a->connection_name = result_text(&section, 0, 2);
		a->redirect_uri = result_text(&section, 0, 3);
		a->return_to = result_nullable_text(&section, 0, 4);
		a->scopes = result_texts(&section, 0, 5, &a->n_scopes);
		a->connection_config = result_nullable_jsonb(&section, 0, 6);
		a->binding_hash = result_nullable_bytes(&section, 0, 7);
		a->sealed_secrets = result_bytes(&section, 0, 8);
		a->consumed = result_bool(&section, 0, 9);
		a->sealed_outcome = result_nullable_bytes(&section, 0, 10);
		a->created_at = result_timestamp(&section, 0, 11);
		a->expires_at = result_timestamp(&section, 0, 12);
	}
	store_end(&section);
	return found ? a : NULL;
}

void
store_consume_authorization(const char *app_user, const uint8 *state_hash)
{
	/* a row that is edited back has nothing left to use a second time */
	static StoreStatement consume = {
		"UPDATE appuser_connectors.authorizations SET consumed = true, sealed_secrets = '' "
		"WHERE app_user = $1 AND state_hash = $2"};
	StoreSection section;
	StoreArgs args = {0};

	arg_text(&args, app_user);
	arg_bytes(&args, hash_bytea(state_hash));
	store_begin(&section, app_user);
	store_run(&section, &consume, &args);
	store_end(&section);
}

void
store_end_authorization(const Authorization *a, TimestampTz keep_until)
{
	static StoreStatement end = {
		"UPDATE appuser_connectors.authorizations SET sealed_outcome = $3, "
		"expires_at = GREATEST(expires_at, $4) WHERE app_user = $1 AND state_hash = $2"};
	static StoreStatement prune = {
		"DELETE FROM appuser_connectors.authorizations WHERE app_user = $1 AND state_hash = ANY "
		"(ARRAY(SELECT state_hash FROM appuser_connectors.authorizations WHERE app_user = $1 "
		"AND sealed_outcome IS NOT NULL AND state_hash = ANY (ARRAY("
		"SELECT state_hash FROM appuser_connectors.authorizations WHERE app_user = $1 "
		"AND connector_id = $2 AND sealed_outcome IS NOT NULL ORDER BY created_at DESC OFFSET $3)) "
		"FOR UPDATE SKIP LOCKED))"};
	StoreSection section;
	StoreArgs args = {0};
	StoreArgs prune_args = {0};

	arg_text(&args, a->app_user);
	arg_bytes(&args, hash_bytea(a->state_hash));
	arg_bytes(&args, a->sealed_outcome);
	arg_timestamp(&args, keep_until);
	arg_text(&prune_args, a->app_user);
	arg_text(&prune_args, a->connector_id);
	arg_bigint(&prune_args, MAX_AUTHORIZATIONS);
	store_begin(&section, a->app_user);
	store_run(&section, &end, &args);
	store_run(&section, &prune, &prune_args);
	store_end(&section);
}

LockResult
store_lock_authorization(const char *app_user, const uint8 *state_hash)
{
	static StoreStatement lock = {"SELECT 1 FROM appuser_connectors.authorizations "
								  "WHERE app_user = $1 AND state_hash = $2 FOR UPDATE SKIP LOCKED"};
	static StoreStatement look = {"SELECT 1 FROM appuser_connectors.authorizations "
								  "WHERE app_user = $1 AND state_hash = $2"};
	StoreArgs args = {0};

	arg_text(&args, app_user);
	arg_bytes(&args, hash_bytea(state_hash));
	return store_lock_row("authorizations", RowExclusiveLock, &lock, &look, &args, app_user);
}

bool
store_delete_authorization(const char *app_user, const uint8 *state_hash)
{
	static StoreStatement delete = {
		"DELETE FROM appuser_connectors.authorizations WHERE app_user = $1 AND state_hash = "
		"(SELECT state_hash FROM appuser_connectors.authorizations "
		"WHERE app_user = $1 AND state_hash = $2 FOR UPDATE SKIP LOCKED)"};
	StoreSection section;
	StoreArgs args = {0};
	bool deleted;

	arg_text(&args, app_user);
	arg_bytes(&args, hash_bytea(state_hash));
	store_begin(&section, app_user);
	deleted = store_run(&section, &delete, &args) > 0;
	store_end(&section);
	return deleted;
}

typedef struct SweepList
{
	char **app_users;
	bytea **hashes;
	int count;
	int limit;
	DueLook look;
	TimestampTz cut;
} SweepList;

static bool
visit_expired(TupleTableSlot *slot, void *arg)
{
	SweepList *list = arg;
	TimestampTz expires_at = slot_timestamp(slot, ANUM_EXPIRES_AT);

	if (list->count >= list->limit)
	{
		list->cut = expires_at;
		return false;
	}
	due_look_note(&list->look, expires_at, DUE_TAKE);
	list->app_users[list->count] = slot_text(slot, ANUM_APP_USER);
	list->hashes[list->count] = slot_varlena(slot, ANUM_STATE_HASH);
	list->count++;
	return true;
}

bool
store_sweep_authorizations(TimestampTz now, int limit, AuthorizationInUse in_use)
{
	ScanKeyData keys[2];
	SweepList list = {palloc(sizeof(char *) * limit), palloc(sizeof(bytea *) * limit), 0, limit,
					  .cut = DT_NOEND};
	int n_keys = 1;
	int swept = 0;

	due_look_begin(&list.look, "expired flows", "", 0);
	ScanKeyInit(&keys[0], 1, BTLessStrategyNumber, F_TIMESTAMPTZ_LT, TimestampTzGetDatum(now));
	n_keys += due_look_key(&list.look, &keys[1], 1);
	store_scan("authorizations", "authorizations_expires_at", GetLatestSnapshot(), keys, n_keys,
			   visit_expired, &list);
	(void) due_look_end(&list.look, list.cut);
	for (int i = 0; i < list.count; i++)
	{
		const uint8 *hash = (const uint8 *) VARDATA_ANY(list.hashes[i]);

		if (!in_use(list.app_users[i], hash) && store_delete_authorization(list.app_users[i], hash))
			swept++;
	}
	return swept > 0 && !TIMESTAMP_IS_NOEND(list.cut);
}

bool
store_delete_exchanges(const char *app_user, const char *connector_id, const char *connection_name)
{
	static StoreStatement delete = {
		"DELETE FROM appuser_connectors.authorizations WHERE app_user = $1 "
		"AND connector_id = $2 AND connection_name = $3 AND consumed AND sealed_outcome IS NULL"};
	/* what they say is so no longer */
	static StoreStatement forget = {
		"DELETE FROM appuser_connectors.authorizations WHERE app_user = $1 "
		"AND connector_id = $2 AND connection_name = $3 AND sealed_outcome IS NOT NULL"};
	StoreSection section;
	StoreArgs args = {0};
	bool deleted;

	arg_text(&args, app_user);
	arg_text(&args, connector_id);
	arg_text(&args, connection_name);
	store_begin(&section, app_user);
	deleted = store_run(&section, &delete, &args) > 0;
	store_run(&section, &forget, &args);
	store_end(&section);
	return deleted;
}

void
store_delete_authorizations(const char *app_user)
{
	static StoreStatement delete = {
		"DELETE FROM appuser_connectors.authorizations WHERE app_user = $1"};
	StoreSection section;
	StoreArgs args = {0};

	arg_text(&args, app_user);
	store_begin(&section, app_user);
	store_run(&section, &delete, &args);
	store_end(&section);
}
