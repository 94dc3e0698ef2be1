/*
 * utility_hook.c
 *	  What utility commands mean for the worker and the app user.
 *
 * Commands that need a database to themselves, or drop the extension, hold its
 * worker out until their transaction ends; CREATE EXTENSION and the like have
 * the launcher look again; DISCARD ALL forgets the session's app user; to switch off all
 * triggers of a table is how pg_restore --disable-triggers begins to bring rows back.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/value.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "store/identity.h"
#include "store/installation.h"
#include "store/shared_state.h"
#include "store/store.h"
#include "utility_hook.h"
#include "worker/roster.h"

static ProcessUtility_hook_type previous_hook = NULL;

/*
 * This transaction may have made a database ready for a worker.  One command of it is
 * enough, and one that a subtransaction took back makes the launcher look in vain.
 */
static bool rescan_at_commit = false;
static bool want_worker_at_commit = false; /* it made this one so */

static void
rescan_after_commit(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT && rescan_at_commit)
		roster_rescan();
	/* there may be no place for whoever looks */
	if (event == XACT_EVENT_COMMIT && want_worker_at_commit && shared_state_preloaded())
		(void) roster_want_worker(MyDatabaseId);
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		rescan_at_commit = want_worker_at_commit = false;
}

/* The value of an option of CREATE or ALTER DATABASE, or NULL */
static const char *
database_option(List *options, const char *name)
{
	ListCell *cell;

	foreach (cell, options)
	{
		DefElem *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, name) == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return NULL;
}

/* An attribute of the current role */
static bool
may_create_databases(void)
{
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	bool may = false;

	if (HeapTupleIsValid(tuple))
	{
		may = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
		ReleaseSysCache(tuple);
	}
	return may;
}

static bool
is_template(Oid database)
{
	HeapTuple tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	bool is = false;

	if (HeapTupleIsValid(tuple))
	{
		is = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
		ReleaseSysCache(tuple);
	}
	return is;
}

/*
 * The database that a command needs to itself, and that the current role may do this
 * to; InvalidOid: none.  Whoever may not run the command must not be able to stop the
 * worker by trying.
 */
static Oid
database_of_command(Node *command)
{
	const char *name = NULL;
	bool allowed = superuser();
	Oid database;

	switch (nodeTag(command))
	{
		case T_DropdbStmt:
			name = castNode(DropdbStmt, command)->dbname;
			break;
		case T_RenameStmt:
			if (castNode(RenameStmt, command)->renameType == OBJECT_DATABASE)
				name = castNode(RenameStmt, command)->subname;
			break;
		case T_AlterDatabaseStmt:
			if (database_option(castNode(AlterDatabaseStmt, command)->options, "tablespace"))
				name = castNode(AlterDatabaseStmt, command)->dbname;
			break;
		case T_CreatedbStmt:
			name = database_option(castNode(CreatedbStmt, command)->options, "template");
			if (name == NULL)
				name = "template1";
			break;
		default:
			break;
	}
	database = name != NULL ? get_database_oid(name, true) : InvalidOid;
	if (!OidIsValid(database))
		return InvalidOid;

	/* what nobody may do to the database they are in */
	if (database == MyDatabaseId && !IsA(command, CreatedbStmt))
		return InvalidOid;
	if (IsA(command, CreatedbStmt))
		allowed |= may_create_databases() && (owns_database(database) || is_template(database));
	else if (IsA(command, RenameStmt))
		allowed |= may_create_databases() && owns_database(database);
	else
		allowed |= owns_database(database);
	return allowed ? database : InvalidOid;
}

/* Who owns the extension; there is no syscache for that. */
static Oid
extension_owner(Oid extension)
{
	Relation relation = table_open(ExtensionRelationId, AccessShareLock);
	HeapTuple tuple = get_catalog_object_by_oid(relation, Anum_pg_extension_oid, extension);
	Oid owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
		owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
	table_close(relation, AccessShareLock);
	return owner;
}

/* Does this role own the extension or what it consists of? */
static bool
owns_what_is_dropped(Oid role, Oid extension, Oid namespace)
{
	HeapTuple tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(namespace));
	bool owns = role == extension_owner(extension) || role == get_role_oid(STORE_OWNER, true);

	if (HeapTupleIsValid(tuple))
	{
		owns |= role == ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
		ReleaseSysCache(tuple);
	}
	return owns;
}

/*
 * May this command, which the current role is allowed to run, drop the extension of
 * this database?
 */
static bool
drops_extension(Node *command)
{
	Oid extension;
	Oid namespace;
	ListCell *cell;

	if (!IsA(command, DropStmt) && !IsA(command, DropOwnedStmt))
		return false;
	extension = get_extension_oid("appuser_connectors", true);
	namespace = get_namespace_oid(STORE_SCHEMA, true);
	if (!OidIsValid(extension) || !OidIsValid(namespace))
		return false;

	if (IsA(command, DropStmt))
	{
		DropStmt *drop = castNode(DropStmt, command);
		bool of_extension = drop->removeType == OBJECT_EXTENSION;

		/* without CASCADE a schema that is not empty stays */
		if (!of_extension && (drop->removeType != OBJECT_SCHEMA || drop->behavior != DROP_CASCADE))
			return false;
		foreach (cell, drop->objects)
			if (strcmp(strVal(lfirst(cell)), of_extension ? "appuser_connectors" : STORE_SCHEMA) ==
				0)
				return of_extension ? owns_extension(extension) : owns_namespace(namespace);
		return false;
	}
	foreach (cell, castNode(DropOwnedStmt, command)->roles)
	{
		Oid role = get_rolespec_oid(lfirst_node(RoleSpec, cell), true);

		if (OidIsValid(role) && has_privs_of_role(GetUserId(), role) &&
			owns_what_is_dropped(role, extension, namespace))
			return true;
	}
	return false;
}

/* May this command have made a database ready for a worker? */
static bool
wants_rescan(Node *command)
{
	switch (nodeTag(command))
	{
		case T_CreatedbStmt:
			return true;
		case T_AlterDatabaseStmt:
			return database_option(castNode(AlterDatabaseStmt, command)->options,
								   "allow_connections") != NULL;
		case T_CreateExtensionStmt:
			return strcmp(castNode(CreateExtensionStmt, command)->extname, "appuser_connectors") ==
				   0;
		default:
			return false;
	}
}

/* Does this command, which went through, let rows come in that no trigger sees? */
static bool
lets_rows_in(Node *command)
{
	static const char *const tables[] = {"installation", "connections", "pending_answers"};
	Oid namespace;
	Oid relation;
	bool switched_off = false;
	ListCell *cell;

	if (!IsA(command, AlterTableStmt))
		return false;
	foreach (cell, castNode(AlterTableStmt, command)->cmds)
	{
		AlterTableType type = lfirst_node(AlterTableCmd, cell)->subtype;

		switched_off |= type == AT_DisableTrigAll || type == AT_DisableTrigUser;
	}
	if (!switched_off || !OidIsValid(get_extension_oid("appuser_connectors", true)))
		return false;
	namespace = get_namespace_oid(STORE_SCHEMA, true);
	relation = RangeVarGetRelid(castNode(AlterTableStmt, command)->relation, NoLock, true);
	for (int i = 0; i < (int) lengthof(tables); i++)
		if (OidIsValid(relation) && relation == get_relname_relid(tables[i], namespace))
			return true;
	return false;
}

static void
before_command(Node *command)
{
	Oid database = database_of_command(command);

	if (wants_rescan(command))
	{
		rescan_at_commit = true;
		want_worker_at_commit |= IsA(command, CreateExtensionStmt);
	}
	if (OidIsValid(database))
		roster_hold_worker(database);
	else if (drops_extension(command))
		roster_hold_worker(MyDatabaseId);
}

static void
process_utility(PlannedStmt *statement, const char *query, bool read_only,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
				DestReceiver *dest, QueryCompletion *completion)
{
	Node *command = statement->utilityStmt;
	bool discard_all =
		IsA(command, DiscardStmt) && castNode(DiscardStmt, command)->target == DISCARD_ALL;

	before_command(command);
	if (previous_hook)
		previous_hook(statement, query, read_only, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(statement, query, read_only, context, params, environment, dest,
								completion);
	if (discard_all)
		identity_discard();
	if (lets_rows_in(command))
		store_delete_installation_witness();
}

void
utility_hook_init(void)
{
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	RegisterXactCallback(rescan_after_commit, NULL);
}
