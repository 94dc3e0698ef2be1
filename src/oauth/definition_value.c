/*
 * definition_value.c
 *	  What stands in a member of a definition or of options, each kind read leniently:
 *	  of what cannot be taken it is as if it were absent.
 *
 * Pure functions over JSON; must not do I/O or raise errors.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "oauth/definition_value.h"

const JsonValue *
definition_member(const JsonValue *object, const char *name)
{
	const JsonValue *value = json_member(object, name);

	return value == NULL || value->type == JSON_TOKEN_NULL ? NULL : value;
}

const char *
definition_text(const JsonValue *definition, const char *name)
{
	return json_string(definition_member(definition, name));
}

bool
definition_bool(const JsonValue *definition, const char *name, bool default_value)
{
	const JsonValue *value = definition_member(definition, name);

	if (value == NULL || (value->type != JSON_TOKEN_TRUE && value->type != JSON_TOKEN_FALSE))
		return default_value;
	return value->type == JSON_TOKEN_TRUE;
}

bool
definition_parse_seconds(const JsonValue *value, int64_t *seconds)
{
	double number;

	if (value == NULL || value->type != JSON_TOKEN_NUMBER)
		return false;
	number = strtod(value->text, NULL);
	if (!(number >= 0 && number <= MAX_SECONDS))
		return false;
	*seconds = (int64_t) number;
	return true;
}

int64_t
definition_seconds(const JsonValue *definition, const char *name, int64_t default_value)
{
	int64_t seconds;

	return definition_parse_seconds(definition_member(definition, name), &seconds) ? seconds
																				   : default_value;
}

const char **
definition_texts(const JsonValue *definition, const char *name, int *count)
{
	const JsonValue *array = definition_member(definition, name);
	const char **texts;

	*count = 0;
	if (array == NULL || array->type != JSON_TOKEN_ARRAY_START)
		return NULL;
	texts = palloc(sizeof(char *) * (array->n_children + 1));
	for (const JsonValue *value = array->first; value != NULL; value = value->next)
		if (value->type == JSON_TOKEN_STRING)
			texts[(*count)++] = value->text;
	return texts;
}

NameValue *
definition_params(const JsonValue *definition, const char *name, int *count)
{
	const JsonValue *object = definition_member(definition, name);
	NameValue *params;

	*count = 0;
	if (object == NULL || object->type != JSON_TOKEN_OBJECT_START)
		return NULL;
	params = palloc(sizeof(NameValue) * (object->n_children + 1));
	for (const JsonValue *value = object->first; value != NULL; value = value->next)
		if (value->type == JSON_TOKEN_STRING)
			params[(*count)++] = (NameValue){value->name, value->text};
	return params;
}

NameValue *
definition_names(const JsonValue *definition, const char *name, int *count)
{
	const JsonValue *object = definition_member(definition, name);
	NameValue *names;

	*count = 0;
	if (object == NULL || object->type != JSON_TOKEN_OBJECT_START)
		return NULL;
	names = palloc(sizeof(NameValue) * (object->n_children + 1));
	for (const JsonValue *value = object->first; value != NULL; value = value->next)
		if (value->type == JSON_TOKEN_STRING || value->type == JSON_TOKEN_NULL)
			names[(*count)++] = (NameValue){value->name, json_string(value)};
	return names;
}

bool
definition_lists(const JsonValue *definition, const char *name, const char *text, bool absent)
{
	const JsonValue *array = definition_member(definition, name);

	if (array == NULL || array->type != JSON_TOKEN_ARRAY_START)
		return absent;
	for (const JsonValue *value = array->first; value != NULL; value = value->next)
		if (value->type == JSON_TOKEN_STRING && strcmp(value->text, text) == 0)
			return true;
	return false;
}
