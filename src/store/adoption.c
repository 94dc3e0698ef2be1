/*
 * adoption.c
 *	  Whether this database may call providers: whether its data is its own.
 *
 * It is where the installation's row names this cluster and database, the timeline is the
 * one it names or came from that by promotion, and nobody has brought rows here since:
 * what a dump or COPY brings back are refresh tokens that may be spent, and a provider
 * ends the grant whose spent one comes again.
 *
 * The installation's row says whose it is.  It is sealed, since a copy whose row was
 * edited to fit would spend the original's refresh tokens: one whose seal does not
 * hold counts as a copy.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "store/adoption.h"
#include "store/installation.h"
#include "store/keyring.h"
#include "store/lineage.h"
#include "store/row_seal.h"

static StringInfo
installation_record(const Installation *row)
{
	StringInfo record = row_seal_record("installation");

	record_put_int(record, (int64) row->system_identifier);
	record_put_int(record, row->database);
	record_put_int(record, row->timeline);
	record_put_int(record, row->adopted_at);
	return record;
}

static bool
is_here(const Installation *row)
{
	return row->system_identifier == GetSystemIdentifier() && row->database == MyDatabaseId &&
		   (RecoveryInProgress() || lineage_by_promotion(row->timeline));
}

/* Where no key is there to look by, none is there for any call either. */
static bool
is_altered(const Installation *row)
{
	return keyring_check_seal(installation_record(row), row->seal) == SEAL_BROKEN;
}

static InstallationState
state_of(const Installation *row)
{
	if (!guc_provider_calls)
		return INSTALLATION_SWITCHED_OFF;
	if (!row->found)
		return INSTALLATION_MISSING;
	return is_here(row) && row->witnessed && !is_altered(row) ? INSTALLATION_OURS
															  : INSTALLATION_COPY;
}

InstallationState
installation_state(void)
{
	Installation row = store_read_installation();

	return state_of(&row);
}

/* Says that the data is this database's from now on. */
static void
adopt(Installation *row)
{
	row->system_identifier = GetSystemIdentifier();
	row->database = MyDatabaseId;
	row->timeline = GetWALInsertionTimeLine();
	row->adopted_at = GetCurrentTimestamp();
	row->seal = row_seal(installation_record(row));
	store_update_installation(row);
}

void
adoption_ensure(void)
{
	Installation row;

	if (!keyring_ensure())
		return;
	row = store_read_installation();
	adopt(&row);
}

void
adoption_check(void)
{
	Installation row = store_read_installation();

	if (state_of(&row) == INSTALLATION_OURS && row.timeline != GetWALInsertionTimeLine())
	{
		adopt(&row);
		ereport(LOG, (errmsg("appuser_connectors goes on here on timeline %u after promotion",
							 GetWALInsertionTimeLine())));
		return;
	}
	if (state_of(&row) == INSTALLATION_COPY)
		ereport(LOG,
				(errmsg("appuser_connectors holds calls to providers: this database is a copy"),
				 !row.witnessed ? errdetail("Its data was restored from a dump, or copied in.")
				 : is_here(&row)
					 ? errdetail("The row of appuser_connectors.installation was altered.")
					 : errdetail("Its data belongs to cluster " UINT64_FORMAT
								 ", database %u, timeline %u.",
								 row.system_identifier, row.database, row.timeline),
				 errhint("If it takes the original's place, call "
						 "appuser_connectors.adopt_installation() as an admin.")));
	if (state_of(&row) == INSTALLATION_SWITCHED_OFF)
		ereport(LOG, (errmsg("appuser_connectors makes no calls to providers: "
							 "appuser_connectors.provider_calls is off")));
}

bool
adoption_adopt(void)
{
	Installation row = store_read_installation();

	(void) installation_id(); /* UC008 when there is nothing to adopt */
	if (is_here(&row) && row.witnessed && !is_altered(&row))
		return false;
	adopt(&row);
	return true;
}
