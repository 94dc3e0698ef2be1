/*
 * connection_config.c
 *	  What an API's URL needs besides the token: which fields of it are declared, and
 *	  whose word counts for each.
 *
 * A backend sends its token to where connection_config says.  So the admin's word is
 * over the provider's, and that over the app user's, who may give only what is declared
 * as theirs, each by a pattern that the whole value must match.  Patterns are for
 * PostgreSQL's own engine, which needs no backtracking for those that are taken.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "regex/regex.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "base/text.h"
#include "store/connection_config.h"

static int compile(const char *pattern, regex_t *compiled);
static bool matches(const char *pattern, const char *value);
static bool is_choice(const ConfigField *field, const char *value);
static char *given_text(const JsonbValue *value);
static char *known_fields(const OAuthClient *client);

static int
compile(const char *pattern, regex_t *compiled)
{
	int length = strlen(pattern);
	pg_wchar *wide = palloc(sizeof(pg_wchar) * (length + 1));

	length = pg_mb2wchar_with_len(pattern, wide, length);
	return pg_regcomp(compiled, wide, length, REG_ADVANCED, C_COLLATION_OID);
}

/* Whatever alternatives it has, they are those of the whole value. */
static char *
anchored(const char *pattern)
{
	return psprintf("^(?:%s)$", pattern);
}

static bool
matches(const char *pattern, const char *value)
{
	int length = strlen(value);
	pg_wchar *wide = palloc(sizeof(pg_wchar) * (length + 1));
	regex_t compiled;
	bool matched = false;

	length = pg_mb2wchar_with_len(value, wide, length);
	if (compile(anchored(pattern), &compiled) == REG_OKAY)
	{
		matched = pg_regexec(&compiled, wide, length, 0, NULL, 0, NULL, 0) == REG_OKAY;
		pg_regfree(&compiled);
	}
	CHECK_FOR_INTERRUPTS(); /* before version 16 the engine gives up, and leaves it to us */
	return matched;
}

void
config_check_patterns(const ConfigField *fields, int n_fields)
{
	for (int i = 0; i < n_fields; i++)
	{
		regex_t compiled;
		const char *problem = NULL;

		if (fields[i].pattern == NULL)
			continue;
		if (compile(fields[i].pattern, &compiled) != REG_OKAY)
			problem = "It is no regular expression, or one that is too complex.";
		else
		{
			if (compiled.re_info & (REG_UBACKREF | REG_ULOOKAROUND))
				problem = "It has a back reference or lookaround.";
			pg_regfree(&compiled);
		}
		/* alone and within parentheses, or they could end early */
		if (problem == NULL)
		{
			if (compile(anchored(fields[i].pattern), &compiled) == REG_OKAY)
				pg_regfree(&compiled);
			else
				problem = "It is no regular expression of its own.";
		}
		CHECK_FOR_INTERRUPTS();
		if (problem != NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("the pattern of field \"%s\" cannot be used", fields[i].name),
							errdetail("%s", problem),
							errhint("Write an advanced regular expression of PostgreSQL, such as "
									"^[a-z0-9-]{1,63}$.")));
	}
	for (int i = 0; i < n_fields; i++)
		if (fields[i].default_value != NULL &&
			!config_value_fits(&fields[i], fields[i].default_value))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("the default of field \"%s\" does not fit", fields[i].name),
							errdetail("It must match the field's own pattern and enum.")));
}

static bool
is_choice(const ConfigField *field, const char *value)
{
	for (int i = 0; i < field->n_choices; i++)
		if (strcmp(field->choices[i], value) == 0)
			return true;
	return field->choices == NULL;
}

bool
config_value_fits(const ConfigField *field, const char *value)
{
	return strlen(value) <= MAX_CONFIG_VALUE && !text_has_controls(value) &&
		   is_choice(field, value) && (field->pattern == NULL || matches(field->pattern, value));
}

const ConfigField *
config_find_field(const OAuthClient *client, const char *name)
{
	for (int i = 0; i < client->n_config_fields; i++)
		if (strcmp(client->config_fields[i].name, name) == 0)
			return &client->config_fields[i];
	return NULL;
}

const ConfigField *
config_field(const OAuthClient *client, const char *name, ConfigSource source)
{
	const ConfigField *field = config_find_field(client, name);

	return field != NULL && field->source == source ? field : NULL;
}

const ConfigField *
config_callback_field(const OAuthClient *client, const char *parameter)
{
	for (int i = 0; i < client->n_config_fields; i++)
	{
		const ConfigField *field = &client->config_fields[i];

		if (field->source == CONFIG_FROM_CALLBACK &&
			strcmp(field->parameter != NULL ? field->parameter : field->name, parameter) == 0)
			return field;
	}
	return NULL;
}

char *
config_text(Jsonb *config, const char *name)
{
	JsonbValue buffer;
	JsonbValue *value = NULL;

	if (config != NULL && JB_ROOT_IS_OBJECT(config))
		value = getKeyJsonValueFromContainer(&config->root, name, strlen(name), &buffer);
	return value != NULL && value->type == jbvString
			   ? pnstrdup(value->val.string.val, value->val.string.len)
			   : NULL;
}

/* NULL for what is no string */
static char *
given_text(const JsonbValue *value)
{
	return value->type == jbvString ? pnstrdup(value->val.string.val, value->val.string.len) : NULL;
}

/* The next member of an object; false at its end.  To begin with *iterator is NULL. */
static bool
next_member(JsonbIterator **iterator, Jsonb *object, char **name, JsonbValue *value)
{
	JsonbIteratorToken token;

	if (*iterator == NULL)
		*iterator = JsonbIteratorInit(&object->root);
	while ((token = JsonbIteratorNext(iterator, value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			*name = given_text(value);
		else if (token == WJB_VALUE)
			return true;
	}
	return false;
}

static void
require_fit(const ConfigField *field, const char *value)
{
	if (value == NULL || !config_value_fits(field, value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the value of field \"%s\" of connection_config does not fit", field->name),
				 field->pattern != NULL
					 ? errdetail("It must be a string that matches %s%s.", field->pattern,
								 field->choices != NULL ? ", and one of those listed" : "")
				 : field->choices != NULL
					 ? errdetail("It must be one of those that its declaration lists.")
					 : errdetail("It must be a string of at most %d bytes.", MAX_CONFIG_VALUE)));
}

void
config_check_fixed(const OAuthClient *client, Jsonb *fixed)
{
	JsonbIterator *iterator = NULL;
	JsonbValue value;
	char *name;

	if (fixed == NULL)
		return;
	while (next_member(&iterator, fixed, &name, &value))
	{
		const ConfigField *field = config_find_field(client, name);

		if (field != NULL)
			require_fit(field, given_text(&value));
	}
}

/* Those that are the app user's, for a hint */
static char *
known_fields(const OAuthClient *client)
{
	StringInfo names = makeStringInfo();

	for (int i = 0; i < client->n_config_fields; i++)
		if (client->config_fields[i].source == CONFIG_FROM_USER)
			appendStringInfo(names, "%s%s", names->len > 0 ? ", " : "",
							 client->config_fields[i].name);
	return names->data;
}

static bool
fixed_otherwise(Jsonb *fixed, const char *name, const char *value)
{
	JsonbValue *there;
	JsonbValue there_buffer;

	if (fixed == NULL)
		return false;
	there = getKeyJsonValueFromContainer(&fixed->root, name, strlen(name), &there_buffer);
	return there != NULL &&
		   (there->type != jbvString || value == NULL || there->val.string.len != strlen(value) ||
			memcmp(there->val.string.val, value, strlen(value)) != 0);
}

static void
check_given(const OAuthClient *client, Jsonb *fixed, Jsonb *given)
{
	JsonbIterator *iterator = NULL;
	JsonbValue value;
	char *name;

	if (!JB_ROOT_IS_OBJECT(given))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("connection_config must be a JSON object")));
	while (next_member(&iterator, given, &name, &value))
	{
		const ConfigField *field = config_field(client, name, CONFIG_FROM_USER);
		const char *known = known_fields(client);

		if (field == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("field \"%s\" of connection_config is not the app user's to give",
							text_shown(name)),
					 known[0] != '\0'
						 ? errhint("Theirs are: %s.", known)
						 : errhint("The provider's definition or the connector's options declare "
								   "those that are, in connection_config_fields.")));
		if (fixed_otherwise(fixed, name, given_text(&value)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("field \"%s\" of connection_config is fixed by the connector", name)));
		require_fit(field, given_text(&value));
	}
}

Jsonb *
config_begin(const OAuthClient *client, Jsonb *fixed, Jsonb *given)
{
	NameValue *defaults = palloc(sizeof(NameValue) * (client->n_config_fields + 1));
	int n_defaults = 0;

	if (given != NULL)
		check_given(client, fixed, given);
	for (int i = 0; i < client->n_config_fields; i++)
		if (client->config_fields[i].default_value != NULL)
			defaults[n_defaults++] =
				(NameValue){client->config_fields[i].name, client->config_fields[i].default_value};
	return config_put_object(
		config_put_object(config_put_values(NULL, defaults, n_defaults), given), fixed);
}

Jsonb *
config_put_values(Jsonb *config, const NameValue *values, int count)
{
	JsonbParseState *state = NULL;

	if (count == 0)
		return config;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < count; i++)
	{
		JsonbValue name = {.type = jbvString};
		JsonbValue value = {.type = jbvString};

		name.val.string.val = unconstify(char *, values[i].name);
		name.val.string.len = strlen(values[i].name);
		value.val.string.val = unconstify(char *, values[i].value);
		value.val.string.len = strlen(values[i].value);
		pushJsonbValue(&state, WJB_KEY, &name);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return config_put_object(config,
							 JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

Jsonb *
config_put_object(Jsonb *base, Jsonb *more)
{
	if (base == NULL || more == NULL)
		return more != NULL ? more : base;
	return DatumGetJsonbP(
		DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(base), JsonbPGetDatum(more)));
}
