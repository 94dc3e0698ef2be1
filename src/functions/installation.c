/*
 * installation.c
 *	  adopt_installation() and installation_status(): whose data this database holds.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "base/errors.h"
#include "store/adoption.h"
#include "store/event.h"
#include "store/shared_state.h"

PG_FUNCTION_INFO_V1(adopt_installation);
PG_FUNCTION_INFO_V1(installation_status);

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
