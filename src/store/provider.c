/*
 * provider.c
 *	  The catalogue of providers: statements on it, and what is said of a definition or
 *	  options that cannot be taken.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/errors.h"
#include "base/text.h"
#include "oauth/url_template.h"
#include "base/url.h"
#include "store/connection_config.h"
#include "store/endpoint.h"
#include "store/provider.h"
#include "store/row_seal.h"
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

/* What to do where the member is an http endpoint, or holds one; NULL: it does not */
static const char *
endpoint_hint(const JsonValue *json, const char *name)
{
	const JsonValue *inner = json_member(json, name);
	const char *url = definition_text(json, name);
	const char *hint = url != NULL ? url_endpoint_hint(url) : NULL;

	/* the sandbox's */
	if (strcmp(name, "sandbox") == 0 && inner != NULL)
		for (const JsonValue *member = inner->first; member != NULL && hint == NULL;
			 member = member->next)
			hint = json_string(member) != NULL ? url_endpoint_hint(json_string(member)) : NULL;
	return hint;
}

static void
raise_problem(const DefinitionProblem *problem, const char *what, const Jsonb *given,
			  const JsonValue *json)
{
	const char *hint;

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
							errmsg("unknown name \"%s\" in %s", text_shown(problem->name), what),
							errhint("Known names are: %s.", problem->detail)));
			break;
		case DEFINITION_INVALID_VALUE:
			hint = endpoint_hint(json, problem->name);
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("invalid value for \"%s\"", problem->name),
							errdetail("%s", problem->detail), hint ? errhint("%s", hint) : 0));
			break;
		case DEFINITION_LACKS_ENDPOINT:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s lacks an endpoint", what),
					 errdetail("%s", problem->detail)));
			break;
	}
}

static void
check_patterns(const JsonValue *definition, const JsonValue *options)
{
	OAuthClient client = {0};

	definition_read_fields(definition, options, &client);
	config_check_patterns(client.config_fields, client.n_config_fields);
}

/* The browser's endpoint and userinfo_endpoint are not this server's to call. */
static void
check_addresses(const JsonValue *definition)
{
	static const char *const called[] = {"token_endpoint", "refresh_endpoint",
										 "long_token_endpoint", "revocation_endpoint", "jwks_uri"};

	for (int i = 0; i < (int) lengthof(called); i++)
	{
		const char *url = definition_text(definition, called[i]);

		if (url != NULL && !url_is_template(url))
			endpoint_check_address(called[i], url);
	}
}

void
provider_check_definition(const Jsonb *definition)
{
	const JsonValue *json = provider_json(definition);

	raise_problem(definition_problem(json), "provider definition", definition, json);
	check_addresses(json);
	check_addresses(json_member(json, "sandbox"));
	check_patterns(json, NULL);
}

void
provider_check_options(const Jsonb *options)
{
	const JsonValue *json = provider_json(options);

	if (options == NULL)
		return;
	raise_problem(options_problem(json), "connector options", options, json);
	check_patterns(NULL, json);
}

static StringInfo
provider_record(const char *provider, const Jsonb *definition)
{
	StringInfo record = row_seal_record("registered_providers");

	record_put_text(record, provider);
	record_put_json(record, definition);
	return record;
}

typedef struct ProviderRow
{
	Jsonb *definition;
	bytea *seal;
} ProviderRow;

/* What register_provider() was given */
static bool
read_registered(const char *provider, ProviderRow *row)
{
	static StoreStatement get = {"SELECT definition, seal FROM "
								 "appuser_connectors.registered_providers WHERE provider = $1"};
	StoreSection section;
	StoreArgs args = {0};
	bool found;

	arg_text(&args, provider);
	store_begin(&section, NULL);
	found = store_run(&section, &get, &args) > 0;
	if (found)
	{
		row->definition = result_jsonb(&section, 0, 1);
		row->seal = result_nullable_bytes(&section, 0, 2);
	}
	store_end(&section);
	return found;
}

/* What came with the extension; NULL: nothing, or it is unsupported, and why */
static Jsonb *
read_catalogue(const char *provider, char **unsupported)
{
	static StoreStatement get = {"SELECT definition, unsupported FROM "
								 "appuser_connectors.provider_catalogue WHERE provider = $1"};
	StoreSection section;
	StoreArgs args = {0};
	Jsonb *definition = NULL;

	*unsupported = NULL;
	arg_text(&args, provider);
	store_begin(&section, NULL);
	if (store_run(&section, &get, &args) > 0)
	{
		definition = result_nullable_jsonb(&section, 0, 1);
		*unsupported = result_nullable_text(&section, 0, 2);
	}
	store_end(&section);
	return definition;
}

static bool
is_authentic(const char *provider, const ProviderRow *row)
{
	return row_seal_holds(provider_record(provider, row->definition), row->seal);
}

/* Such a row may have come with an edited dump. */
static void
raise_altered(const char *provider)
{
	ereport(ERROR, (errcode(ERRCODE_UC_CONNECTOR_MISCONFIGURED),
					errmsg("provider \"%s\" was changed outside register_provider()", provider),
					errhint("An admin looks at its definition and calls "
							"appuser_connectors.register_provider() with it.")));
}

bool
store_put_provider(const char *provider, const Jsonb *definition, TimestampTz now)
{
	static StoreStatement put = {
		"INSERT INTO appuser_connectors.registered_providers AS p (provider, definition, "
		"updated_at, seal) "
		"VALUES ($1, $2, $3, $4) ON CONFLICT (provider) DO UPDATE "
		"SET definition = excluded.definition, "
		"updated_at = excluded.updated_at, seal = excluded.seal "
		"WHERE p.definition <> excluded.definition OR $5 <> 0"};
	StoreSection section;
	StoreArgs args = {0};
	ProviderRow old;
	char *unsupported;
	bool was_there = read_registered(provider, &old);
	bool authentic = was_there && is_authentic(provider, &old);
	bool written;

	if (!was_there)
		was_there = read_catalogue(provider, &unsupported) != NULL;
	arg_text(&args, provider);
	arg_jsonb(&args, definition);
	arg_timestamp(&args, now);
	arg_bytes(&args, row_seal(provider_record(provider, definition)));
	/* one that was altered is written again, even as it is */
	arg_int(&args, !authentic);
	store_begin(&section, NULL);
	written = store_run(&section, &put, &args) > 0;
	store_end(&section);
	return was_there && written;
}

bool
store_delete_provider(const char *provider)
{
	static StoreStatement delete = {
		"DELETE FROM appuser_connectors.registered_providers WHERE provider = $1"};
	StoreSection section;
	StoreArgs args = {0};
	bool found;

	arg_text(&args, provider);
	store_begin(&section, NULL);
	found = store_run(&section, &delete, &args) > 0;
	store_end(&section);
	return found;
}

Jsonb *
store_get_provider(const char *provider, bool *built_in, char **unsupported)
{
	ProviderRow row;

	*built_in = !read_registered(provider, &row);
	*unsupported = NULL;
	if (*built_in)
		return read_catalogue(provider, unsupported);
	if (!is_authentic(provider, &row))
		raise_altered(provider);
	return row.definition;
}

OlderCopy *
store_older_copies(int *count)
{
	static StoreStatement get = {
		"SELECT c.connector_id, c.provider, c.built_in AND p.built_in, "
		"(SELECT string_agg(COALESCE(o.key, n.key), ', ' ORDER BY COALESCE(o.key, n.key)) "
		"FROM jsonb_each(c.definition) AS o FULL JOIN jsonb_each(p.definition) AS n "
		"ON o.key = n.key WHERE o.value IS DISTINCT FROM n.value) "
		"FROM appuser_connectors.registered_connectors AS c "
		"JOIN appuser_connectors.providers AS p ON p.provider = c.provider "
		"WHERE p.definition <> c.definition AND jsonb_typeof(c.definition) = 'object' "
		"AND jsonb_typeof(p.definition) = 'object' ORDER BY c.connector_id"};
	StoreSection section;
	StoreArgs args = {0};
	OlderCopy *copies;

	store_begin(&section, NULL);
	*count = (int) store_run(&section, &get, &args);
	copies = palloc(sizeof(OlderCopy) * (*count + 1));
	for (int i = 0; i < *count; i++)
	{
		copies[i].connector_id = result_text(&section, i, 1);
		copies[i].provider = result_text(&section, i, 2);
		copies[i].built_in = result_bool(&section, i, 3);
		copies[i].members = result_text(&section, i, 4);
	}
	store_end(&section);
	return copies;
}
