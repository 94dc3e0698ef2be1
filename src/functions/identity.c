/*
 * identity.c
 *	  set_app_user(), current_app_user(), and what row security asks.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "store/identity.h"

PG_FUNCTION_INFO_V1(set_app_user);
PG_FUNCTION_INFO_V1(current_app_user);
PG_FUNCTION_INFO_V1(session_app_user);

Datum
set_app_user(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("is_local must not be null")));
	identity_set(PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_BOOL(1),
				 DT_NOEND);
	PG_RETURN_VOID();
}

Datum
current_app_user(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(identity_require_app_user()));
}

/*
 * For row security.  Never raises: planning a query executes STABLE functions,
 * and one that raises breaks even EXPLAIN.
 */
Datum
session_app_user(PG_FUNCTION_ARGS)
{
	const char *app_user = identity_visible_app_user();

	if (app_user == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(app_user));
}
