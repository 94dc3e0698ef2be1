/*
 * store.c
 *	  SQL on the extension's tables: the owner switch, saved statements, and the
 *	  direct index scan of the fast path.
 *
 * Everything here runs as the owner role, which forced row security binds, in a
 * security-restricted operation with a fixed search_path; so neither the
 * caller's search_path nor a mistake in a statement shows another app user's
 * rows.  The direct scan passes by row security, so its callers give the app
 * user as a key.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "store/identity.h"
#include "store/store.h"

/* Relation OIDs by name, of the database, not of a call: until an invalidation */
typedef struct CachedRelation
{
	const char *name;
	Oid oid;
} CachedRelation;

static CachedRelation cached_relations[16];
static int n_cached_relations = 0;
static uint64 invalidations = 1;
static bool invalidation_registered = false;

static void
relcache_invalidated(Datum arg, Oid relid)
{
	if (relid == InvalidOid)
	{
		n_cached_relations = 0;
		invalidations++;
		return;
	}
	for (int i = 0; i < n_cached_relations; i++)
		if (cached_relations[i].oid == relid)
		{
			n_cached_relations = 0;
			invalidations++;
			return;
		}
}

uint64
store_invalidations(void)
{
	return invalidations;
}

Oid
store_relation(const char *name)
{
	Oid namespace_oid;
	Oid relation_oid;

	if (!invalidation_registered)
	{
		CacheRegisterRelcacheCallback(relcache_invalidated, (Datum) 0);
		invalidation_registered = true;
	}

	for (int i = 0; i < n_cached_relations; i++)
		if (strcmp(cached_relations[i].name, name) == 0)
			return cached_relations[i].oid;

	namespace_oid = get_namespace_oid(STORE_SCHEMA, true);
	if (!OidIsValid(namespace_oid))
		return InvalidOid;
	relation_oid = get_relname_relid(name, namespace_oid);
	if (OidIsValid(relation_oid) && n_cached_relations < (int) lengthof(cached_relations))
		cached_relations[n_cached_relations++] = (CachedRelation){name, relation_oid};
	return relation_oid;
}

/*
 * What a section changes is kept on the caller's stack, so that sections nest: a
 * trigger, cascade or rule of the application may run inside a statement of ours and
 * call the extension again.  All of it runs in a security-restricted operation, out of
 * which no SET ROLE, deferred trigger, cursor or temporary table leads.  An error takes
 * all of a section back with its (sub)transaction.
 */
void
store_begin(StoreSection *section, const char *app_user)
{
	section->context = CurrentMemoryContext;
	GetUserIdAndSecContext(&section->user, &section->security_context);

	/*
	 * A trigger that a foreign key's cascade fires inherits NOFORCE_RLS (see
	 * ri_PerformCheck).  With it the owner would not be bound by row security, and
	 * plans made then would be kept.
	 */
	SetUserIdAndSecContext(get_role_oid(STORE_OWNER, false),
						   (section->security_context & ~SECURITY_NOFORCE_RLS) |
							   SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	identity_act_for(app_user != NULL ? app_user : "");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");

	/* here and after each statement: what callers allocate outlives SPI's own context */
	MemoryContextSwitchTo(section->context);
}

void
store_end(StoreSection *section)
{
	SPI_finish();
	identity_act_end();
	SetUserIdAndSecContext(section->user, section->security_context);
}

/*
 * The settings that statements rely on, whatever the caller's are, and whatever a
 * trigger may have SET inside the statement before; returns the level to end them by.
 */
static int
begin_settings(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"row_security", "on"},
		/* plans are kept, and may be made while a table is all but empty */
		{"enable_seqscan", "off"},
	};
	int level = NewGUCNestLevel();

	for (int i = 0; i < (int) lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return level;
}

/*
 * Fires what a statement has queued, foreign keys' actions among it.  Before version 18
 * AFTER triggers run as whoever is the current user by then, also those of a table
 * that a cascade reaches, whose owner must not get the powers of the owner role by
 * it: so as the role that may do the least.
 */
static void
fire_after_triggers(void)
{
	Oid user;
	int security_context;

	GetUserIdAndSecContext(&user, &security_context);
	SetUserIdAndSecContext(get_role_oid(STORE_GUEST, false), security_context);
	PushActiveSnapshot(GetTransactionSnapshot());
	AfterTriggerEndQuery(NULL);
	PopActiveSnapshot();
	SetUserIdAndSecContext(user, security_context);
}

uint64
store_run(StoreSection *section, StoreStatement *statement, StoreArgs *args)
{
	int settings = begin_settings();
	uint64 rows;
	int result;

	if (statement->plan == NULL)
	{
		SPIPlanPtr plan = SPI_prepare(statement->sql, args->count, args->types);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare \"%s\": %s", statement->sql,
				 SPI_result_code_string(SPI_result));
		statement->plan = plan;
	}
	AfterTriggerBeginQuery();
	result = SPI_execute_snapshot(statement->plan, args->values, args->nulls, InvalidSnapshot,
								  InvalidSnapshot, false, false, 0);
	if (result < 0)
		elog(ERROR, "could not execute \"%s\": %s", statement->sql, SPI_result_code_string(result));
	rows = SPI_processed;
	fire_after_triggers();
	/* also what a trigger has SET ends here, as if it had said SET LOCAL */
	AtEOXact_GUC(false, settings);
	MemoryContextSwitchTo(section->context);
	return rows;
}

LockResult
store_lock_row(const char *table, LOCKMODE mode, StoreStatement *lock, StoreStatement *look,
			   StoreArgs *args, const char *app_user)
{
	StoreSection section;
	LockResult result = LOCK_TAKEN;

	if (!ConditionalLockRelationOid(store_relation(table), mode))
		return LOCK_HELD;
	store_begin(&section, app_user);
	if (store_run(&section, lock, args) == 0)
		result = store_run(&section, look, args) == 0 ? LOCK_MISSING : LOCK_HELD;
	store_end(&section);
	return result;
}

static void
add_arg(StoreArgs *args, Oid type, Datum value, bool is_null)
{
	Assert(args->count < STORE_MAX_ARGS);
	args->types[args->count] = type;
	args->values[args->count] = value;
	args->nulls[args->count] = is_null ? 'n' : ' ';
	args->count++;
}

void
arg_text(StoreArgs *args, const char *value)
{
	add_arg(args, TEXTOID, value ? CStringGetTextDatum(value) : (Datum) 0, value == NULL);
}

void
arg_int(StoreArgs *args, int32 value)
{
	add_arg(args, INT4OID, Int32GetDatum(value), false);
}

void
arg_bigint(StoreArgs *args, int64 value)
{
	add_arg(args, INT8OID, Int64GetDatum(value), false);
}

void
arg_oid(StoreArgs *args, Oid value)
{
	add_arg(args, OIDOID, ObjectIdGetDatum(value), false);
}

void
arg_uuid(StoreArgs *args, const pg_uuid_t *value)
{
	add_arg(args, UUIDOID, UUIDPGetDatum(value), false);
}

void
arg_bytes(StoreArgs *args, const bytea *value)
{
	add_arg(args, BYTEAOID, PointerGetDatum(value), value == NULL);
}

void
arg_timestamp(StoreArgs *args, TimestampTz value)
{
	add_arg(args, TIMESTAMPTZOID, TimestampTzGetDatum(value), TIMESTAMP_IS_NOEND(value));
}

void
arg_jsonb(StoreArgs *args, const Jsonb *value)
{
	add_arg(args, JSONBOID, PointerGetDatum(value), value == NULL);
}

void
arg_texts(StoreArgs *args, char *const *values, int count)
{
	add_arg(args, TEXTARRAYOID, PointerGetDatum(texts_to_array(values, count)), false);
}

static Datum
result_datum(uint64 row, int column, bool *is_null)
{
	Assert(row < SPI_tuptable->numvals);
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, is_null);
}

char *
result_text(const StoreSection *section, uint64 row, int column)
{
	bool is_null;
	Datum value = result_datum(row, column, &is_null);
	MemoryContext old = MemoryContextSwitchTo(section->context);
	char *result = is_null ? NULL : TextDatumGetCString(value);

	MemoryContextSwitchTo(old);
	return result;
}

int32
result_int(const StoreSection *section, uint64 row, int column)
{
	bool is_null;

	return DatumGetInt32(result_datum(row, column, &is_null));
}

pg_uuid_t
result_uuid(const StoreSection *section, uint64 row, int column)
{
	bool is_null;

	return *DatumGetUUIDP(result_datum(row, column, &is_null));
}

bytea *
result_bytes(const StoreSection *section, uint64 row, int column)
{
	bool is_null;
	Datum value = result_datum(row, column, &is_null);
	MemoryContext old = MemoryContextSwitchTo(section->context);
	bytea *bytes = is_null ? NULL : DatumGetByteaPCopy(value);

	MemoryContextSwitchTo(old);
	return bytes;
}

TimestampTz
result_timestamp(const StoreSection *section, uint64 row, int column)
{
	bool is_null;
	Datum value = result_datum(row, column, &is_null);

	return is_null ? DT_NOEND : DatumGetTimestampTz(value);
}

Jsonb *
result_jsonb(const StoreSection *section, uint64 row, int column)
{
	bool is_null;
	Datum value = result_datum(row, column, &is_null);
	MemoryContext old = MemoryContextSwitchTo(section->context);
	Jsonb *jsonb = is_null ? NULL : DatumGetJsonbPCopy(value);

	MemoryContextSwitchTo(old);
	return jsonb;
}

char **
result_texts(const StoreSection *section, uint64 row, int column, int *count)
{
	bool is_null;
	Datum value = result_datum(row, column, &is_null);
	MemoryContext old = MemoryContextSwitchTo(section->context);
	char **texts = NULL;

	*count = 0;
	if (!is_null)
		texts = array_to_texts(DatumGetArrayTypeP(value), count);
	MemoryContextSwitchTo(old);
	return texts;
}

void
random_uuid(pg_uuid_t *id)
{
	if (!pg_strong_random(id->data, UUID_LEN))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("no random bytes available")));
	id->data[6] = (id->data[6] & 0x0f) | 0x40;
	id->data[8] = (id->data[8] & 0x3f) | 0x80;
}

ArrayType *
texts_to_array(char *const *values, int count)
{
	Datum *elements = palloc(sizeof(Datum) * (count + 1));

	for (int i = 0; i < count; i++)
		elements[i] = CStringGetTextDatum(values[i]);
	return construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT);
}

char **
array_to_texts(ArrayType *array, int *count)
{
	Datum *elements;
	char **texts;

	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("array must not contain nulls")));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, count);
	texts = palloc(sizeof(char *) * (*count + 1));
	for (int i = 0; i < *count; i++)
		texts[i] = TextDatumGetCString(elements[i]);
	return texts;
}

/* Opens a relation of ours; the extension may have been dropped meanwhile. */
static Relation
open_table(const char *table)
{
	Oid oid = store_relation(table);

	if (!OidIsValid(oid))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation \"%s.%s\" does not exist", STORE_SCHEMA, table),
						errhint("Run CREATE EXTENSION appuser_connectors in this database.")));
	return table_open(oid, AccessShareLock);
}

void
store_scan(const char *table, const char *index, Snapshot snapshot, ScanKey keys, int nkeys,
		   StoreVisitor visit, void *arg)
{
	Relation table_relation = open_table(table);
	Relation index_relation = index_open(store_relation(index), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(table_relation, NULL);
	IndexScanDesc scan = begin_index_scan(table_relation, index_relation, snapshot, nkeys);

	index_rescan(scan, keys, nkeys, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (!visit(slot, arg))
			break;
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index_relation, AccessShareLock);
	table_close(table_relation, AccessShareLock);
}

void
text_key(ScanKey key, int column, const char *value)
{
	ScanKeyEntryInitialize(key, 0, column, BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID,
						   F_TEXTEQ, CStringGetTextDatum(value));
}

char *
slot_text(TupleTableSlot *slot, int column)
{
	return slot->tts_isnull[column - 1] ? NULL : TextDatumGetCString(slot->tts_values[column - 1]);
}

void *
slot_varlena(TupleTableSlot *slot, int column)
{
	return slot->tts_isnull[column - 1] ? NULL
										: PG_DETOAST_DATUM_COPY(slot->tts_values[column - 1]);
}

TimestampTz
slot_timestamp(TupleTableSlot *slot, int column)
{
	return slot->tts_isnull[column - 1] ? DT_NOEND
										: DatumGetTimestampTz(slot->tts_values[column - 1]);
}

void
store_scan_table(const char *table, Snapshot snapshot, StoreVisitor visit, void *arg)
{
	Relation table_relation = open_table(table);
	TupleTableSlot *slot = table_slot_create(table_relation, NULL);
	TableScanDesc scan = table_beginscan(table_relation, snapshot, 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (!visit(slot, arg))
			break;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(table_relation, AccessShareLock);
}
