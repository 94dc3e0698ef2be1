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
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "store/identity.h"
#include "store/shape.h"
#include "store/store.h"

/* Relation OIDs by name, of the database, not of a call: until an invalidation */
typedef struct CachedRelation
{
	const char *name;
	Oid oid;
	bool checked; /* it has its shape */
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
		cached_relations[n_cached_relations++] = (CachedRelation){name, relation_oid, false};
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

/* Around what may look at the tables anew: what has become of them? */
static void
hint_at_altered_tables(void *arg)
{
	switch (geterrcode())
	{
		case ERRCODE_UNDEFINED_COLUMN:
		case ERRCODE_UNDEFINED_TABLE:
		case ERRCODE_UNDEFINED_FUNCTION:
		case ERRCODE_DATATYPE_MISMATCH:
			errdetail("The statement is the extension's own: %s",
					  ((const StoreStatement *) arg)->sql);
			errhint("The extension's tables must be as CREATE EXTENSION made them: undo what ALTER "
					"TABLE has done.");
			break;
		default:
			break;
	}
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
	ErrorContextCallback context = {
		.previous = error_context_stack, .callback = hint_at_altered_tables, .arg = statement};
	uint64 rows;
	int result;

	section->statement = statement;
	if (statement->plan == NULL || !SPI_plan_is_valid(statement->plan))
		error_context_stack = &context;
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
	error_context_stack = context.previous;
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
	if (args->count >= STORE_MAX_ARGS)
		elog(ERROR, "too many arguments of a statement");
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

/* Of which column a result's is a copy: "table.column", or its own name. */
static char *
result_origin(const StoreSection *section, int column)
{
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(section->statement->plan));
	Query *query = linitial_node(Query, source->query_list);
	List *targets = query->returningList != NIL ? query->returningList : query->targetList;
	TargetEntry *target = list_nth_node(TargetEntry, targets, column - 1);

	if (!OidIsValid(target->resorigtbl))
		return pstrdup(target->resname);
	return psprintf("%s.%s", get_rel_name(target->resorigtbl),
					get_attname(target->resorigtbl, target->resorigcol, false));
}

static void
raise_null(const char *origin)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("column \"%s.%s\" holds a null that must not be there", STORE_SCHEMA, origin),
			 errhint("Restore the row from a backup, or delete it, and give the column its "
					 "NOT NULL again.")));
}

/* A column that was altered may have another type than C takes it for. */
static void
check_type(const StoreSection *section, int column, Oid type)
{
	if (SPI_gettypeid(SPI_tuptable->tupdesc, column) != type)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("column \"%s.%s\" was altered", STORE_SCHEMA,
							   result_origin(section, column)),
						errdetail("It must be of type %s.", format_type_be(type)),
						errhint("Undo the ALTER TABLE.")));
}

void
store_check_results(const StoreSection *section, TupleDesc descriptor)
{
	for (int i = 0; i < descriptor->natts; i++)
		check_type(section, i + 1, TupleDescAttr(descriptor, i)->atttypid);
}

static Datum
result_nullable(const StoreSection *section, uint64 row, int column, Oid type, bool *is_null)
{
	Assert(row < SPI_tuptable->numvals);
	check_type(section, column, type);
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, is_null);
}

static Datum
result_datum(const StoreSection *section, uint64 row, int column, Oid type)
{
	bool is_null;
	Datum value = result_nullable(section, row, column, type, &is_null);

	if (is_null)
		raise_null(result_origin(section, column));
	return value;
}

char *
result_text(const StoreSection *section, uint64 row, int column)
{
	return TextDatumGetCString(result_datum(section, row, column, TEXTOID));
}

char *
result_nullable_text(const StoreSection *section, uint64 row, int column)
{
	bool is_null;
	Datum value = result_nullable(section, row, column, TEXTOID, &is_null);

	return is_null ? NULL : TextDatumGetCString(value);
}

bool
result_bool(const StoreSection *section, uint64 row, int column)
{
	return DatumGetBool(result_datum(section, row, column, BOOLOID));
}

int32
result_int(const StoreSection *section, uint64 row, int column)
{
	return DatumGetInt32(result_datum(section, row, column, INT4OID));
}

pg_uuid_t
result_uuid(const StoreSection *section, uint64 row, int column)
{
	return *DatumGetUUIDP(result_datum(section, row, column, UUIDOID));
}

bytea *
result_bytes(const StoreSection *section, uint64 row, int column)
{
	return DatumGetByteaPCopy(result_datum(section, row, column, BYTEAOID));
}

bytea *
result_nullable_bytes(const StoreSection *section, uint64 row, int column)
{
	bool is_null;
	Datum value = result_nullable(section, row, column, BYTEAOID, &is_null);

	return is_null ? NULL : DatumGetByteaPCopy(value);
}

TimestampTz
result_timestamp(const StoreSection *section, uint64 row, int column)
{
	return DatumGetTimestampTz(result_datum(section, row, column, TIMESTAMPTZOID));
}

TimestampTz
result_nullable_timestamp(const StoreSection *section, uint64 row, int column)
{
	bool is_null;
	Datum value = result_nullable(section, row, column, TIMESTAMPTZOID, &is_null);

	return is_null ? DT_NOEND : DatumGetTimestampTz(value);
}

Jsonb *
result_jsonb(const StoreSection *section, uint64 row, int column)
{
	return DatumGetJsonbPCopy(result_datum(section, row, column, JSONBOID));
}

Jsonb *
result_nullable_jsonb(const StoreSection *section, uint64 row, int column)
{
	bool is_null;
	Datum value = result_nullable(section, row, column, JSONBOID, &is_null);

	return is_null ? NULL : DatumGetJsonbPCopy(value);
}

char **
result_texts(const StoreSection *section, uint64 row, int column, int *count)
{
	return array_to_texts(DatumGetArrayTypeP(result_datum(section, row, column, TEXTARRAYOID)),
						  count);
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

/* Its shape stays, while we hold a lock and no invalidation has come. */
static bool
is_checked(Oid relation)
{
	for (int i = 0; i < n_cached_relations; i++)
		if (cached_relations[i].oid == relation)
			return cached_relations[i].checked;
	return false;
}

static void
set_checked(Oid relation)
{
	for (int i = 0; i < n_cached_relations; i++)
		if (cached_relations[i].oid == relation)
			cached_relations[i].checked = true;
}

/* Opens a relation of ours; the extension may have been dropped meanwhile. */
static Relation
open_table(const char *table)
{
	Oid oid = store_relation(table);
	Relation relation;

	if (!OidIsValid(oid))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation \"%s.%s\" does not exist", STORE_SCHEMA, table),
						errhint("Run CREATE EXTENSION appuser_connectors in this database.")));
	relation = table_open(oid, AccessShareLock);
	if (!is_checked(oid))
	{
		shape_check_table(table, relation);
		set_checked(oid);
	}
	return relation;
}

static Relation
open_index(const char *index, Relation table)
{
	Oid oid = store_relation(index);
	Relation relation;

	if (!OidIsValid(oid))
		shape_raise_missing_index(index);
	relation = index_open(oid, AccessShareLock);
	if (!is_checked(oid))
	{
		shape_check_index(index, table, relation);
		set_checked(oid);
	}
	return relation;
}

static void
scan_index(const char *table, const char *index, Snapshot snapshot, ScanKey keys, int nkeys,
		   ScanDirection direction, StoreVisitor visit, void *arg)
{
	Relation table_relation = open_table(table);
	Relation index_relation = open_index(index, table_relation);
	TupleTableSlot *slot = table_slot_create(table_relation, NULL);
	IndexScanDesc scan = begin_index_scan(table_relation, index_relation, snapshot, nkeys);

	index_rescan(scan, keys, nkeys, NULL, 0);
	while (index_getnext_slot(scan, direction, slot))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		if (!visit(slot, arg))
			break;
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index_relation, AccessShareLock);
	table_close(table_relation, AccessShareLock);
}

void
store_scan(const char *table, const char *index, Snapshot snapshot, ScanKey keys, int nkeys,
		   StoreVisitor visit, void *arg)
{
	scan_index(table, index, snapshot, keys, nkeys, ForwardScanDirection, visit, arg);
}

void
store_scan_back(const char *table, const char *index, Snapshot snapshot, ScanKey keys, int nkeys,
				StoreVisitor visit, void *arg)
{
	scan_index(table, index, snapshot, keys, nkeys, BackwardScanDirection, visit, arg);
}

void
text_key(ScanKey key, int column, const char *value)
{
	ScanKeyEntryInitialize(key, 0, column, BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID,
						   F_TEXTEQ, CStringGetTextDatum(value));
}

Datum
slot_datum(TupleTableSlot *slot, int column)
{
	if (slot->tts_isnull[column - 1])
		raise_null(
			psprintf("%s.%s", get_rel_name(slot->tts_tableOid),
					 NameStr(TupleDescAttr(slot->tts_tupleDescriptor, column - 1)->attname)));
	return slot->tts_values[column - 1];
}

char *
slot_text(TupleTableSlot *slot, int column)
{
	return TextDatumGetCString(slot_datum(slot, column));
}

char *
slot_nullable_text(TupleTableSlot *slot, int column)
{
	return slot->tts_isnull[column - 1] ? NULL : TextDatumGetCString(slot->tts_values[column - 1]);
}

void *
slot_varlena(TupleTableSlot *slot, int column)
{
	return PG_DETOAST_DATUM_COPY(slot_datum(slot, column));
}

void *
slot_nullable_varlena(TupleTableSlot *slot, int column)
{
	return slot->tts_isnull[column - 1] ? NULL
										: PG_DETOAST_DATUM_COPY(slot->tts_values[column - 1]);
}

TimestampTz
slot_timestamp(TupleTableSlot *slot, int column)
{
	return DatumGetTimestampTz(slot_datum(slot, column));
}

TimestampTz
slot_nullable_timestamp(TupleTableSlot *slot, int column)
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
		slot_getallattrs(slot);
		if (!visit(slot, arg))
			break;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(table_relation, AccessShareLock);
}
