/*
 * provider.c
 *	  register_provider() and delete_provider().
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/bounds.h"
#include "base/text.h"
#include "store/adoption.h"
#include "store/connector.h"
#include "store/provider.h"
#include "store/shared_state.h"

#define MAX_NAMED 20 /* connectors in one notice */

PG_FUNCTION_INFO_V1(register_provider);
PG_FUNCTION_INFO_V1(delete_provider);

/* Its connectors go on as they are until somebody gives them the new definition. */
static void
note_replaced(const char *provider, const Jsonb *definition)
{
	int count;
	char **ids = store_connectors_with_another_definition(provider, definition, &count);
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < Min(count, MAX_NAMED); i++)
		appendStringInfo(&names, "%s%s", i == 0 ? "" : ", ", ids[i]);
	if (count > MAX_NAMED)
		appendStringInfo(&names, " and %d more", count - MAX_NAMED);
	ereport(
		NOTICE,
		(errmsg("the definition of provider \"%s\" is replaced", provider),
		 count == 0 ? 0
					: errdetail("These connectors keep their copy of another one: %s.", names.data),
		 count == 0 ? 0
					: errhint("appuser_connectors.update_connector(connector_id, provider => %s) "
							  "gives them the new one.",
							  quote_literal_cstr(provider))));
}

Datum
register_provider(PG_FUNCTION_ARGS)
{
	char *provider;
	Jsonb *definition;
	const char *problem;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("provider and definition must not be null")));
	shared_state_require_preload();
	provider = text_to_cstring(PG_GETARG_TEXT_PP(0));
	definition = bounded_jsonb_arg(fcinfo, 1, "definition", MAX_DEFINITION_BYTES);
	if (provider[0] == '\0' || strlen(provider) > MAX_PROVIDER_NAME)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("provider must be 1 to %d bytes long", MAX_PROVIDER_NAME)));
	problem = text_pasted_problem(provider, false);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("this provider cannot be right"),
				 errdetail("%s", problem), errhint(TEXT_PASTED_HINT)));
	provider_check_definition(definition);
	adoption_ensure();
	if (store_put_provider(provider, definition, GetCurrentTimestamp()))
		note_replaced(provider, definition);
	PG_RETURN_TEXT_P(cstring_to_text(provider));
}

Datum
delete_provider(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("provider must not be null")));
	shared_state_require_preload();
	PG_RETURN_BOOL(store_delete_provider(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}
