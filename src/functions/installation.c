/*
 * installation.c
 *	  adopt_installation() and installation_status(): whose data this database holds.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "base/errors.h"
#include "store/adoption.h"
#include "store/event.h"
#include "store/installation.h"
#include "store/names.h"
#include "store/shared_state.h"

PG_FUNCTION_INFO_V1(adopt_installation);
PG_FUNCTION_INFO_V1(installation_status);
PG_FUNCTION_INFO_V1(note_restored_rows);

Datum
adopt_installation(PG_FUNCTION_ARGS)
{
	shared_state_require_preload();
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_UC_WORKER_NOT_RUNNING), errmsg("this server is a standby"),
						errhint("Promote it first.")));
	if (!adoption_adopt())
		PG_RETURN_BOOL(false);
	event_record("", "", NULL, "installation_adopted", NULL);
	PG_RETURN_BOOL(true);
}

Datum
installation_status(PG_FUNCTION_ARGS)
{
	switch (installation_state())
	{
		case INSTALLATION_OURS:
			PG_RETURN_TEXT_P(cstring_to_text("ours"));
		case INSTALLATION_MISSING:
			PG_RETURN_TEXT_P(cstring_to_text("missing"));
		case INSTALLATION_COPY:
			PG_RETURN_TEXT_P(cstring_to_text("copy"));
		case INSTALLATION_SWITCHED_OFF:
			break;
	}
	PG_RETURN_TEXT_P(cstring_to_text("switched off"));
}

/*
 * Fires before each row that comes into tables whose old rows would have spent tokens
 * sent: by INSERT, COPY or logical replication.  The extension's own come from the owner
 * role, which nobody else can be.  Not for each statement, or whoever may INSERT, and is
 * kept out by row security, could hold the database with an INSERT of no row; a row that
 * is refused takes what is done here back.
 */
Datum
note_restored_rows(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_FOR_ROW(((TriggerData *) fcinfo->context)->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("note_restored_rows() must be called as a trigger")));
	if (GetUserId() != get_role_oid(STORE_OWNER, true))
		store_delete_installation_witness();
	return PointerGetDatum(((TriggerData *) fcinfo->context)->tg_trigtuple);
}
