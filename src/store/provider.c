/*
 * provider.c
 *	  The catalogue of providers: statements on it, and what is said of a definition or
 *	  options that cannot be taken.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/errors.h"
#include "store/provider.h"
#include "store/store.h"

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

void
store_put_provider(const char *provider, const Jsonb *definition, TimestampTz now)
{
	static StoreStatement put = {
		"INSERT INTO appuser_connectors.providers AS p (provider, definition, built_in, "
		"updated_at) "
		"VALUES ($1, $2, false, $3) ON CONFLICT (provider) DO UPDATE "
		"SET definition = excluded.definition, built_in = false, updated_at = excluded.updated_at "
		"WHERE p.definition <> excluded.definition"};
	StoreSection section;
	StoreArgs args = {0};

	arg_text(&args, provider);
	arg_jsonb(&args, definition);
	arg_timestamp(&args, now);
	store_begin(&section, NULL);
	store_run(&section, &put, &args);
	store_end(&section);
}

Jsonb *
store_get_provider(const char *provider, bool *built_in)
{
	static StoreStatement get = {"SELECT definition, built_in FROM "
								 "appuser_connectors.providers WHERE provider = $1"};
	StoreSection section;
	StoreArgs args = {0};
	Jsonb *definition = NULL;

	arg_text(&args, provider);
	store_begin(&section, NULL);
	if (store_run(&section, &get, &args) > 0)
	{
		definition = result_jsonb(&section, 0, 1);
		*built_in = result_bool(&section, 0, 2);
	}
	store_end(&section);
	return definition;
}
