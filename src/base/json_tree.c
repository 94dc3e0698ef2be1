/*
 * json_tree.c
 *	  JSON from an untrusted source as a small tree, by libpgcommon's parser,
 *	  stricter than it: RFC 8259 with unique names (RFC 7515 section 4), checked
 *	  UTF-8 and a cap on depth.
 *
 * Must not know what the members mean.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include <limits.h>

#include "mb/pg_wchar.h"

#include "base/json_tree.h"

typedef struct JsonBuilder
{
	JsonValue *root;
	JsonValue *open[JSON_ANSWER_MAX_DEPTH];
	int depth;
	int max_depth;
	char *name; /* of the member whose value comes next */
	bool refused;
} JsonBuilder;

static bool depth_within_cap(const char *json, size_t len, int max_depth);
static const JsonValue *parse(const char *json, size_t len, int max_depth);
static void add_value(JsonBuilder *builder, JsonTokenType type, const char *text);
static json_action object_start(void *state);
static json_action array_start(void *state);
static json_action container_end(void *state);
static json_action member_start(void *state, char *name, bool isnull);
static json_action scalar(void *state, char *token, JsonTokenType type);

/*
 * The parser recurses, and before PostgreSQL 17 nothing stops it outside the
 * server.  Only brackets outside strings count; text that is not JSON may count
 * wrongly, but the parser stops before it gets any deeper than this did.
 */
static bool
depth_within_cap(const char *json, size_t len, int max_depth)
{
	int depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++)
	{
		if (in_string)
		{
			if (json[i] == '\\')
				i++;
			else if (json[i] == '"')
				in_string = false;
		}
		else if (json[i] == '"')
			in_string = true;
		else if (json[i] == '{' || json[i] == '[')
		{
			if (++depth > max_depth)
				return false;
		}
		else if (json[i] == '}' || json[i] == ']')
			depth--;
	}
	return true;
}

static const JsonValue *
parse(const char *json, size_t len, int max_depth)
{
	JsonBuilder builder = {.max_depth = max_depth};
	JsonSemAction actions = {0};

	if (len == 0 || len > INT_MAX ||
		pg_encoding_verifymbstr(PG_UTF8, json, (int) len) != (int) len ||
		!depth_within_cap(json, len, max_depth))
		return NULL;

	actions.semstate = &builder;
	actions.object_start = object_start;
	actions.object_end = container_end;
	actions.array_start = array_start;
	actions.array_end = container_end;
	actions.object_field_start = member_start;
	actions.scalar = scalar;
	if (pg_parse_json(make_json_lexer(json, len), &actions) != JSON_SUCCESS || builder.refused)
		return NULL;
	return builder.root;
}

const JsonValue *
json_parse_object(const char *json, size_t len)
{
	const JsonValue *root = parse(json, len, JSON_TREE_MAX_DEPTH);

	return root != NULL && root->type == JSON_TOKEN_OBJECT_START ? root : NULL;
}

const JsonValue *
json_parse_answer(const char *json, size_t len)
{
	const JsonValue *root = parse(json, len, JSON_ANSWER_MAX_DEPTH);

	return root != NULL &&
				   (root->type == JSON_TOKEN_OBJECT_START || root->type == JSON_TOKEN_ARRAY_START)
			   ? root
			   : NULL;
}

static void
add_value(JsonBuilder *builder, JsonTokenType type, const char *text)
{
	JsonValue *parent = builder->depth > 0 ? builder->open[builder->depth - 1] : NULL;
	JsonValue *value;

	/* before 16 the parser cannot be stopped from here */
	if (builder->refused)
		return;

	value = palloc0(sizeof(JsonValue));
	value->type = type;
	value->text = text;
	if (parent == NULL)
		builder->root = value;
	else
	{
		if (parent->type == JSON_TOKEN_OBJECT_START)
		{
			value->name = builder->name;
			if (parent->n_children == JSON_TREE_MAX_MEMBERS ||
				json_member(parent, value->name) != NULL)
			{
				builder->refused = true;
				return;
			}
		}
		if (parent->last == NULL)
			parent->first = value;
		else
			parent->last->next = value;
		parent->last = value;
		parent->n_children++;
	}

	if (type == JSON_TOKEN_OBJECT_START || type == JSON_TOKEN_ARRAY_START)
	{
		if (builder->depth == builder->max_depth)
			builder->refused = true;
		else
			builder->open[builder->depth++] = value;
	}
}

static json_action
object_start(void *state)
{
	add_value(state, JSON_TOKEN_OBJECT_START, NULL);
	JSON_ACTION_RETURN;
}

static json_action
array_start(void *state)
{
	add_value(state, JSON_TOKEN_ARRAY_START, NULL);
	JSON_ACTION_RETURN;
}

static json_action
container_end(void *state)
{
	JsonBuilder *builder = state;

	if (!builder->refused)
		builder->depth--;
	JSON_ACTION_RETURN;
}

static json_action
member_start(void *state, char *name, bool isnull pg_attribute_unused())
{
	JsonBuilder *builder = state;

	builder->name = name;
	JSON_ACTION_RETURN;
}

static json_action
scalar(void *state, char *token, JsonTokenType type)
{
	add_value(state, type, token);
	JSON_ACTION_RETURN;
}

const JsonValue *
json_member(const JsonValue *object, const char *name)
{
	if (object == NULL || object->type != JSON_TOKEN_OBJECT_START)
		return NULL;
	for (const JsonValue *value = object->first; value != NULL; value = value->next)
		if (strcmp(value->name, name) == 0)
			return value;
	return NULL;
}

bool
json_is_pointer(const char *text)
{
	if (text[0] != '/')
		return false;
	for (const char *c = text; *c != '\0'; c++)
		if (*c == '~' && c[1] != '0' && c[1] != '1')
			return false;
	return true;
}

/* Of an array: digits without leading zeros (RFC 6901 §4) */
static const JsonValue *
element_at(const JsonValue *array, const char *number)
{
	size_t digits = strspn(number, "0123456789");
	const JsonValue *element = array->first;

	if (digits == 0 || digits > 9 || number[digits] != '\0' || (number[0] == '0' && digits > 1))
		return NULL;
	for (int i = atoi(number); i > 0 && element != NULL; i--)
		element = element->next;
	return element;
}

const JsonValue *
json_at_pointer(const JsonValue *root, const char *pointer)
{
	const JsonValue *value = root;
	char *token;

	if (!json_is_pointer(pointer))
		return NULL;
	token = palloc(strlen(pointer) + 1);
	while (value != NULL && *pointer == '/')
	{
		size_t length = 0;

		for (pointer++; *pointer != '/' && *pointer != '\0'; pointer++)
		{
			token[length] = *pointer;
			if (*pointer == '~')
				token[length] = *++pointer == '0' ? '~' : '/';
			length++;
		}
		token[length] = '\0';
		value = value->type == JSON_TOKEN_ARRAY_START ? element_at(value, token)
													  : json_member(value, token);
	}
	pfree(token);
	return value;
}

const char *
json_string(const JsonValue *value)
{
	return value != NULL && value->type == JSON_TOKEN_STRING ? value->text : NULL;
}
