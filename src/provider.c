/*
 * provider.c
 *	  The catalogue of providers: register_provider(), and what is said of a
 *	  definition or options that cannot be taken.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "provider.h"
#include "store_connector.h"

#define MAX_PROVIDER_NAME 100

PG_FUNCTION_INFO_V1(register_provider);

const JsonValue *
provider_json(const Jsonb *object)
{
	char *text;

	if (object == NULL)
		return NULL;
	text = JsonbToCString(NULL, unconstify(JsonbContainer *, &object->root), VARSIZE(object));
	return json_parse_object(text, strlen(text));
}

static void
raise_problem(const DefinitionProblem *problem, const char *what, const Jsonb *given)
{
	if (problem == NULL)
		return;
	switch (problem->fault)
	{
		case DEFINITION_NOT_AN_OBJECT:
			ereport(
				ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must be a JSON object", what),
				 JB_ROOT_IS_OBJECT(given)
					 ? errdetail("It is nested too deep, or an object in it has too many names.")
					 : 0));
			break;
		case DEFINITION_UNKNOWN_NAME:
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("unknown name \"%s\" in %s", problem->name, what),
							errhint("Known names are: %s.", problem->detail)));
			break;
		case DEFINITION_INVALID_VALUE:
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("invalid value for \"%s\"", problem->name),
							errdetail("%s", problem->detail)));
			break;
		case DEFINITION_LACKS_ENDPOINT:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s lacks an endpoint", what),
					 errdetail("%s", problem->detail)));
			break;
	}
}

void
provider_check_definition(const Jsonb *definition)
{
	raise_problem(definition_problem(provider_json(definition)), "provider definition", definition);
}

void
provider_check_options(const Jsonb *options)
{
	if (options != NULL)
		raise_problem(options_problem(provider_json(options)), "connector options", options);
}

Datum
register_provider(PG_FUNCTION_ARGS)
{
	char *provider;
	Jsonb *definition;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("provider and definition must not be null")));
	provider = text_to_cstring(PG_GETARG_TEXT_PP(0));
	definition = PG_GETARG_JSONB_P(1);
	if (provider[0] == '\0' || strlen(provider) > MAX_PROVIDER_NAME)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("provider must be 1 to %d bytes long", MAX_PROVIDER_NAME)));
	provider_check_definition(definition);
	store_put_provider(provider, definition, GetCurrentTimestamp());
	PG_RETURN_TEXT_P(cstring_to_text(provider));
}
