/*
 * url_field.c
 *	  Filling in the fields of connection_config that stand in a client's endpoints and
 *	  parameters.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "oauth/url_template.h"
#include "store/connection_config.h"
#include "store/url_field.h"

/* What fields are filled in from */
typedef struct FieldValues
{
	const OAuthClient *client;
	Jsonb *config;
	bool with_defaults;
} FieldValues;

/* A declaration may have changed since the value was stored. */
static const char *
field_value(void *context, const char *name)
{
	const FieldValues *values = context;
	const ConfigField *field = config_find_field(values->client, name);
	const char *text;

	if (field == NULL && strcmp(name, "client_id") == 0)
		return values->client->client_id;
	text = config_text(values->config, name);
	if (text == NULL && values->with_defaults && field != NULL)
		text = field->default_value;
	return text != NULL && field != NULL && !config_value_fits(field, text) ? NULL : text;
}

/* In a parameter braces may mean anything else. */
static const char *
parameter_field_value(void *context, const char *name)
{
	const FieldValues *values = context;

	if (config_find_field(values->client, name) == NULL && strcmp(name, "client_id") != 0)
		return psprintf("{%s}", name);
	return field_value(context, name);
}

const char *
url_field_fix(const OAuthClient *client, Jsonb *fixed, const char *url)
{
	FieldValues values = {client, fixed, false};

	return url != NULL && url_is_template(url) ? url_template_fix(url, field_value, &values) : url;
}

char *
url_field_expand(const OAuthClient *client, Jsonb *config, const char *url, const char **lacking)
{
	FieldValues values = {client, config, true};

	*lacking = NULL;
	return url_is_template(url) ? url_template_expand(url, field_value, &values, lacking)
								: pstrdup(url);
}

const char *
url_field_lacking(const OAuthClient *client, Jsonb *config, ConfigSource source, const char *url)
{
	FieldValues values = {client, config, true};
	int count;
	const char **left = url_template_fields(url_template_fix(url, field_value, &values), &count);

	for (int i = 0; i < count; i++)
	{
		const ConfigField *field = config_find_field(client, left[i]);

		if (field != NULL && field->source == source)
			return left[i];
	}
	return NULL;
}

/*
 * Has filling in made it what the template did not say: a word in braces, such as
 * "{client_secret}", that stands for something else in a request?
 */
static bool
became_placeholder(const char *template, const char *value)
{
	return is_placeholder(value) && strcmp(template, value) != 0;
}

const NameValue *
url_field_params(const OAuthClient *client, Jsonb *config, const NameValue *params, int *count)
{
	FieldValues values = {client, config, true};
	NameValue *filled = palloc(sizeof(NameValue) * (*count + 1));
	int n = 0;

	for (int i = 0; i < *count; i++)
	{
		const char *lacking;
		const char *value =
			value_template_expand(params[i].value, parameter_field_value, &values, &lacking);

		if (value != NULL && !became_placeholder(params[i].value, value))
			filled[n++] = (NameValue){params[i].name, value};
	}
	*count = n;
	return filled;
}
