/*
 * shape.c
 *	  What C relies on in the extension's tables: their columns, and the keys of the
 *	  indexes that are scanned directly.
 *
 * A direct scan takes values by their place in the row and passes by the planner.  DDL
 * of a superuser's can make them values of another type, or an index one that leaves
 * rows out: an error then, that says what is different, and never a crash.  Columns
 * that somebody has appended are in nobody's way.
 */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class_d.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_opfamily_d.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "store/names.h"
#include "store/shape.h"

#define MAX_KEYS 3
#define TIMESTAMP_FAMILY_OID 434 /* datetime_ops, which has no symbol */

typedef struct ColumnShape
{
	const char *name;
	Oid type;
} ColumnShape;

typedef struct TableShape
{
	const char *name;
	const ColumnShape *columns;
	int n_columns;
} TableShape;

typedef struct IndexShape
{
	const char *name;
	const char *table;
	AttrNumber keys[MAX_KEYS]; /* 0: no more */
	bool partial;
} IndexShape;

/* As sql/20_tables.sql makes them: every column of the tables that are scanned */
static const ColumnShape installation_columns[] = {
	{"singleton", BOOLOID},   {"installation_id", UUIDOID}, {"system_identifier", INT8OID},
	{"database_oid", OIDOID}, {"timeline", INT4OID},        {"adopted_at", TIMESTAMPTZOID},
	{"seal", BYTEAOID},
};

static const ColumnShape installation_witness_columns[] = {
	{"singleton", BOOLOID}, {"installation_id", UUIDOID}, {"adopted_at", TIMESTAMPTZOID}};

static const ColumnShape key_columns[] = {
	{"key_id", INT4OID},
	{"state", TEXTOID},
	{"wrapped_key", BYTEAOID},
	{"created_at", TIMESTAMPTZOID},
};

static const ColumnShape connection_columns[] = {
	{"app_user", TEXTOID},
	{"connector_id", TEXTOID},
	{"connection_name", TEXTOID},
	{"grant_id", UUIDOID},
	{"generation", INT8OID},
	{"status", TEXTOID},
	{"status_reason", TEXTOID},
	{"status_since", TIMESTAMPTZOID},
	{"account", TEXTOID},
	{"account_issuer", TEXTOID},
	{"token_type", TEXTOID},
	{"scopes", TEXTARRAYOID},
	{"requested_scopes", TEXTARRAYOID},
	{"connection_config", JSONBOID},
	{"connected_at", TIMESTAMPTZOID},
	{"updated_at", TIMESTAMPTZOID},
	{"expires_at", TIMESTAMPTZOID},
	{"refresh_at", TIMESTAMPTZOID},
	{"failures", INT4OID},
	{"failing_since", TIMESTAMPTZOID},
	{"refusals", INT4OID},
	{"endpoints", TEXTOID},
	{"access_token", BYTEAOID},
	{"refresh_token", BYTEAOID},
	{"scopes_assumed", BOOLOID},
	{"reconnect_by", TIMESTAMPTZOID},
	{"remind_at", TIMESTAMPTZOID},
	{"account_name", TEXTOID},
};

static const ColumnShape authorization_columns[] = {
	{"app_user", TEXTOID},          {"state_hash", BYTEAOID},        {"connector_id", TEXTOID},
	{"connection_name", TEXTOID},   {"redirect_uri", TEXTOID},       {"return_to", TEXTOID},
	{"scopes", TEXTARRAYOID},       {"connection_config", JSONBOID}, {"binding_hash", BYTEAOID},
	{"sealed_secrets", BYTEAOID},   {"consumed", BOOLOID},           {"sealed_outcome", BYTEAOID},
	{"created_at", TIMESTAMPTZOID}, {"expires_at", TIMESTAMPTZOID},
};

static const ColumnShape answer_columns[] = {
	{"app_user", TEXTOID},
	{"answer_id", UUIDOID},
	{"sealed_answer", BYTEAOID},
	{"received_at", TIMESTAMPTZOID},
};

static const ColumnShape revocation_columns[] = {
	{"app_user", TEXTOID},          {"revocation_id", UUIDOID},     {"connector_id", TEXTOID},
	{"connection_name", TEXTOID},   {"account", TEXTOID},           {"account_issuer", TEXTOID},
	{"grant_id", UUIDOID},          {"sealed_tokens", BYTEAOID},    {"attempts", INT4OID},
	{"created_at", TIMESTAMPTZOID}, {"attempt_at", TIMESTAMPTZOID},
};

static const ColumnShape event_columns[] = {
	{"app_user", TEXTOID},           {"event_id", UUIDOID},  {"connector_id", TEXTOID},
	{"connection_name", TEXTOID},    {"event", TEXTOID},     {"detail", TEXTOID},
	{"occurred_at", TIMESTAMPTZOID}, {"announced", BOOLOID},
};

static const ColumnShape issuer_columns[] = {
	{"issuer", TEXTOID},
	{"audiences", TEXTARRAYOID},
	{"algorithms", TEXTARRAYOID},
	{"app_user_template", TEXTOID},
	{"clock_skew", INTERVALOID},
	{"jwks", JSONBOID},
	{"jwks_uri", TEXTOID},
	{"hmac_key", TEXTOID},
	{"fetched_jwks", TEXTOID},
	{"fetched_at", TIMESTAMPTZOID},
	{"token_types", TEXTARRAYOID},
	{"created_at", TIMESTAMPTZOID},
	{"updated_at", TIMESTAMPTZOID},
	{"seal", BYTEAOID},
};

static const TableShape tables[] = {
	{"installation", installation_columns, lengthof(installation_columns)},
	{"installation_witness", installation_witness_columns, lengthof(installation_witness_columns)},
	{"encryption_keys", key_columns, lengthof(key_columns)},
	{"connections", connection_columns, lengthof(connection_columns)},
	{"authorizations", authorization_columns, lengthof(authorization_columns)},
	{"pending_answers", answer_columns, lengthof(answer_columns)},
	{"revocations", revocation_columns, lengthof(revocation_columns)},
	{"connection_events", event_columns, lengthof(event_columns)},
	{"issuers", issuer_columns, lengthof(issuer_columns)},
};

static const IndexShape indexes[] = {
	{"encryption_keys_pkey", "encryption_keys", {1}, false},
	{"connections_pkey", "connections", {1, 2, 3}, false},
	{"connections_due", "connections", {2, 18}, true},
	{"connections_account", "connections", {2, 9}, true},
	{"connections_reminders", "connections", {27}, true},
	{"authorizations_pkey", "authorizations", {1, 2}, false},
	{"authorizations_expires_at", "authorizations", {14}, false},
	{"revocations_due", "revocations", {3, 11}, false},
	{"connection_events_unannounced", "connection_events", {7}, true},
	{"connection_events_occurred_at", "connection_events", {7}, false},
	{"connection_events_connector", "connection_events", {3, 7}, false},
	{"issuers_pkey", "issuers", {1}, false},
};

static const TableShape *
find_table(const char *name)
{
	for (int i = 0; i < (int) lengthof(tables); i++)
		if (strcmp(tables[i].name, name) == 0)
			return &tables[i];
	elog(ERROR, "no shape of table \"%s\" is known", name);
}

static const IndexShape *
find_index(const char *name)
{
	for (int i = 0; i < (int) lengthof(indexes); i++)
		if (strcmp(indexes[i].name, name) == 0)
			return &indexes[i];
	elog(ERROR, "no shape of index \"%s\" is known", name);
}

void
shape_check_table(const char *table, Relation relation)
{
	const TableShape *shape = find_table(table);
	TupleDesc descriptor = RelationGetDescr(relation);

	if (relation->rd_rel->relkind != RELKIND_RELATION)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("\"%s.%s\" is not a table", STORE_SCHEMA, table),
						errhint("CREATE EXTENSION made one: restore it from a backup.")));
	for (int i = 0; i < shape->n_columns; i++)
	{
		const ColumnShape *column = &shape->columns[i];
		const FormData_pg_attribute *found =
			i < descriptor->natts ? TupleDescAttr(descriptor, i) : NULL;

		if (found == NULL || found->attisdropped ||
			strcmp(NameStr(found->attname), column->name) != 0 || found->atttypid != column->type)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("table \"%s.%s\" was altered", STORE_SCHEMA, table),
							errdetail("Its column %d must be \"%s\" of type %s.", i + 1,
									  column->name, format_type_be(column->type)),
							errhint("Undo the ALTER TABLE; where a column was dropped, restore the "
									"table from a backup.")));
	}
}

static Oid
opfamily_of(Oid type)
{
	return type == TEXTOID          ? TEXT_BTREE_FAM_OID
		   : type == BYTEAOID       ? BYTEA_BTREE_FAM_OID
		   : type == TIMESTAMPTZOID ? TIMESTAMP_FAMILY_OID
									: INTEGER_BTREE_FAM_OID;
}

/* What is wrong with it, or NULL */
static const char *
index_problem(const IndexShape *shape, Relation table, Relation relation)
{
	const ColumnShape *columns = find_table(shape->table)->columns;
	Form_pg_index form;

	if (relation->rd_rel->relkind != RELKIND_INDEX || relation->rd_rel->relam != BTREE_AM_OID)
		return "It is no btree index.";
	form = relation->rd_index;
	if (form->indrelid != RelationGetRelid(table))
		return "It is on another table.";
	if (!form->indisvalid || !form->indisready || !form->indislive)
		return "It is not valid.";
	if (shape->partial != (RelationGetIndexPredicate(relation) != NIL))
		return "Its WHERE clause is another.";
	for (int i = 0; i < MAX_KEYS && shape->keys[i] != 0; i++)
	{
		Oid type = columns[shape->keys[i] - 1].type;

		if (i >= form->indnkeyatts || form->indkey.values[i] != shape->keys[i] ||
			relation->rd_opfamily[i] != opfamily_of(type) || relation->rd_indoption[i] != 0 ||
			relation->rd_indcollation[i] != (type == TEXTOID ? C_COLLATION_OID : InvalidOid))
			return "Its keys are others.";
	}
	return NULL;
}

#define INDEX_HINT                                                                                 \
	"Make it again as it is in the extension's script (pg_get_indexdef of another database that "  \
	"has the extension shows it)."

void
shape_check_index(const char *index, Relation table, Relation relation)
{
	const IndexShape *shape = find_index(index);
	const char *problem = index_problem(shape, table, relation);

	if (problem != NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("index \"%s.%s\" of table \"%s\" cannot be used", STORE_SCHEMA,
							   index, shape->table),
						errdetail("%s", problem), errhint(INDEX_HINT)));
}

void
shape_raise_missing_index(const char *index)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("index \"%s.%s\" of table \"%s\" does not exist", STORE_SCHEMA, index,
						   find_index(index)->table),
					errhint(INDEX_HINT)));
}
