/*
 * utility_hook.c
 *	  What utility commands mean for the worker and the app user.
 *
 * Commands that need a database to themselves, or drop the extension, hold its
 * worker out until their transaction ends; CREATE EXTENSION and the like have
 * the launcher look again; DISCARD ALL forgets the session's app user.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/value.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "store/identity.h"
#include "utility_hook.h"
#include "worker/roster.h"

static ProcessUtility_hook_type previous_hook = NULL;

/* This transaction may have made a database ready for a worker. */
static bool rescan_at_commit = false;

static void
rescan_after_commit(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT && rescan_at_commit)
		roster_rescan();
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		rescan_at_commit = false;
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

/*
 * Whoever may not run the command anyway must not be able to stop the worker by
 * trying.
 */
static bool
may_hold(Oid database, bool creating)
{
	HeapTuple tuple;
	bool creates = false;
	bool is_template = false;

	if (superuser() || owns_database(database))
		return true;
	if (!creating)
		return false;
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (HeapTupleIsValid(tuple))
	{
		creates = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
		ReleaseSysCache(tuple);
	}
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	if (HeapTupleIsValid(tuple))
	{
		is_template = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
		ReleaseSysCache(tuple);
	}
	return creates && is_template;
}

static void
before_command(Node *command)
{
	const char *database = NULL;
	bool drops_extension = false;

	switch (nodeTag(command))
	{
		case T_DropdbStmt:
			database = castNode(DropdbStmt, command)->dbname;
			break;
		case T_RenameStmt:
			if (castNode(RenameStmt, command)->renameType == OBJECT_DATABASE)
				database = castNode(RenameStmt, command)->subname;
			break;
		case T_AlterDatabaseStmt:
			if (database_option(castNode(AlterDatabaseStmt, command)->options, "tablespace"))
				database = castNode(AlterDatabaseStmt, command)->dbname;
			break;
		case T_CreatedbStmt:
			database = database_option(castNode(CreatedbStmt, command)->options, "template");
			if (database == NULL)
				database = "template1";
			rescan_at_commit = true;
			break;
		case T_DropStmt:
		{
			DropStmt *drop = castNode(DropStmt, command);
			ListCell *cell;

			if (drop->removeType == OBJECT_EXTENSION || drop->removeType == OBJECT_SCHEMA)
				foreach (cell, drop->objects)
					drops_extension |= strcmp(strVal(lfirst(cell)), "appuser_connectors") == 0;
			break;
		}
		case T_DropOwnedStmt:
			drops_extension = true;
			break;
		case T_CreateExtensionStmt:
			if (strcmp(castNode(CreateExtensionStmt, command)->extname, "appuser_connectors") == 0)
				rescan_at_commit = true;
			break;
		default:
			break;
	}
	if (drops_extension && may_hold(MyDatabaseId, false))
		roster_hold_worker(MyDatabaseId);
	if (database != NULL)
	{
		Oid oid = get_database_oid(database, true);

		if (OidIsValid(oid) && may_hold(oid, IsA(command, CreatedbStmt)))
			roster_hold_worker(oid);
	}
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
}

void
utility_hook_init(void)
{
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	RegisterXactCallback(rescan_after_commit, NULL);
}
