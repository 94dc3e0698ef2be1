/*
 * installation.c
 *	  Whose data this database holds.
 *
 * One row names the cluster (system identifier), database and timeline the data
 * belongs to, and an id that is part of all associated data.  It is made at
 * first use, so that a restored dump brings its own and is known for a copy: a
 * copy that refreshed would spend the original's refresh tokens.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/errors.h"
#include "store/installation.h"
#include "store/store.h"

/* Columns, in the order of the table */
enum
{
	ANUM_INSTALLATION_ID = 2,
	ANUM_SYSTEM_IDENTIFIER,
	ANUM_DATABASE_OID,
	ANUM_TIMELINE,
	ANUM_ADOPTED_AT,
	ANUM_SEAL
};

/* The same of installation_witness */
enum
{
	ANUM_WITNESS_INSTALLATION_ID = 2,
	ANUM_WITNESS_ADOPTED_AT
};

/* The id alone is cached: it stays with the data, wherever that goes. */
static pg_uuid_t cached_id;
static uint64 cached_at = 0;

static bool
visit_installation(TupleTableSlot *slot, void *arg)
{
	Installation *row = arg;

	row->found = true;
	row->id = *DatumGetUUIDP(slot_datum(slot, ANUM_INSTALLATION_ID));
	row->system_identifier = (uint64) DatumGetInt64(slot_datum(slot, ANUM_SYSTEM_IDENTIFIER));
	row->database = DatumGetObjectId(slot_datum(slot, ANUM_DATABASE_OID));
	row->timeline = (TimeLineID) DatumGetInt32(slot_datum(slot, ANUM_TIMELINE));
	row->adopted_at = slot_timestamp(slot, ANUM_ADOPTED_AT);
	row->seal = slot_varlena(slot, ANUM_SEAL);
	return false;
}

/* One that was made for another row is none. */
static bool
visit_witness(TupleTableSlot *slot, void *arg)
{
	Installation *row = arg;
	const pg_uuid_t *id = DatumGetUUIDP(slot_datum(slot, ANUM_WITNESS_INSTALLATION_ID));

	row->witnessed = memcmp(id, &row->id, sizeof(pg_uuid_t)) == 0 &&
					 slot_timestamp(slot, ANUM_WITNESS_ADOPTED_AT) == row->adopted_at;
	return false;
}

Installation
store_read_installation(void)
{
	Installation row = {0};

	store_scan_table("installation", GetLatestSnapshot(), visit_installation, &row);
	if (row.found)
		store_scan_table("installation_witness", GetLatestSnapshot(), visit_witness, &row);
	return row;
}

const pg_uuid_t *
installation_id(void)
{
	if (cached_at != store_invalidations())
	{
		Installation row = store_read_installation();

		if (!row.found)
			ereport(ERROR, (errcode(ERRCODE_UC_KEY_UNAVAILABLE),
							errmsg("this database has no installation row"),
							errdetail("Nothing has been registered here, or the row was deleted."),
							errhint("Register a connector with "
									"appuser_connectors.register_connector(), or restore the row "
									"from a backup.")));
		cached_id = row.id;
		cached_at = store_invalidations();
	}
	return &cached_id;
}

void
installation_forget(void)
{
	cached_at = 0;
}

/* Whatever does not commit takes the row away again, and another session may make another. */
static void
forget_at_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		cached_at = 0;
}

static void
forget_at_subabort(SubXactEvent event, SubTransactionId mySubid, SubTransactionId parentSubid,
				   void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		cached_at = 0;
}

bool
installation_ensure(void)
{
	static bool registered = false;
	static StoreStatement lock = {
		"LOCK TABLE appuser_connectors.installation IN SHARE ROW EXCLUSIVE MODE"};
	static StoreStatement insert = {
		"INSERT INTO appuser_connectors.installation (installation_id, system_identifier, "
		"database_oid, timeline, adopted_at, seal) VALUES ($1, $2, $3, $4, $5, '')"};
	StoreSection section;
	StoreArgs none = {0};
	StoreArgs args = {0};
	pg_uuid_t id;
	bool made = false;

	if (store_read_installation().found)
		return false;
	if (!registered)
	{
		RegisterXactCallback(forget_at_end, NULL);
		RegisterSubXactCallback(forget_at_subabort, NULL);
		registered = true;
	}

	store_begin(&section, NULL);
	store_run(&section, &lock, &none);
	if (!store_read_installation().found)
	{
		random_uuid(&id);
		arg_uuid(&args, &id);
		arg_bigint(&args, (int64) GetSystemIdentifier());
		arg_oid(&args, MyDatabaseId);
		arg_int(&args, (int32) GetWALInsertionTimeLine());
		arg_timestamp(&args, GetCurrentTimestamp());
		store_run(&section, &insert, &args);
		CommandCounterIncrement();
		made = true;
	}
	store_end(&section);
	cached_at = 0;
	return made;
}

void
store_update_installation(const Installation *row)
{
	static StoreStatement update = {
		"UPDATE appuser_connectors.installation SET system_identifier = $1, database_oid = $2, "
		"timeline = $3, adopted_at = $4, seal = $5"};
	static StoreStatement witness = {
		"INSERT INTO appuser_connectors.installation_witness (installation_id, adopted_at) "
		"VALUES ($1, $2) ON CONFLICT (singleton) DO UPDATE "
		"SET installation_id = excluded.installation_id, adopted_at = excluded.adopted_at"};
	StoreSection section;
	StoreArgs args = {0};
	StoreArgs witness_args = {0};

	arg_bigint(&args, (int64) row->system_identifier);
	arg_oid(&args, row->database);
	arg_int(&args, (int32) row->timeline);
	arg_timestamp(&args, row->adopted_at);
	arg_bytes(&args, row->seal);
	store_begin(&section, NULL);
	arg_uuid(&witness_args, &row->id);
	arg_timestamp(&witness_args, row->adopted_at);
	store_run(&section, &update, &args);
	store_run(&section, &witness, &witness_args);
	store_end(&section);
	CommandCounterIncrement();
}

static bool
visit_any(TupleTableSlot *slot, void *arg)
{
	*(bool *) arg = true;
	return false;
}

void
store_delete_installation_witness(void)
{
	bool found = false;
	static StoreStatement delete = {"DELETE FROM appuser_connectors.installation_witness"};
	StoreSection section;
	StoreArgs none = {0};

	/* a restore asks for each of its rows */
	store_scan_table("installation_witness", GetLatestSnapshot(), visit_any, &found);
	if (!found)
		return;
	store_begin(&section, NULL);
	store_run(&section, &delete, &none);
	store_end(&section);
}
