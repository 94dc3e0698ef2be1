/*
 * definition_member.c
 *	  What the members of a definition may hold, by their kinds, and what is said of a
 *	  value that cannot be right.
 *
 * Every known name is in a table with its kind, so that an unknown name or a value of
 * the wrong kind is found when it is given, not when it is used.
 *
 * Pure functions over JSON; must not do I/O, raise errors, or know which definition it
 * is or what its members are for.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "lib/stringinfo.h"

#include "base/text.h"
#include "base/url.h"
#include "oauth/definition_member.h"
#include "oauth/scope.h"
#include "oauth/url_template.h"

#define MAX_FIELD_NAME 64 /* bytes */
#define MAX_PATTERN 256   /* bytes */
#define MAX_HEADERS 16
#define MAX_HEADER_NAME 64
#define MAX_HEADER_VALUE 1024
#define MAX_FRAGMENT 256
#define MAX_PATH_BYTES 256
#define MAX_CODE_BYTES 64
#define MAX_URI_NAME 200 /* bytes */

/* What a declaration of a field says; source is in the order of ConfigSource. */
#define FIELD_SOURCES "admin|user|callback|token_response|profile"

static const Member field_members[] = {
	{"source", MEMBER_CHOICE, FIELD_SOURCES},
	{"pattern", MEMBER_TEXT, NULL},
	{"enum", MEMBER_TEXTS, NULL},
	{"parameter", MEMBER_NAME, NULL},
	{"path", MEMBER_POINTER, NULL},
	{"title", MEMBER_TEXT, NULL},
	{"default", MEMBER_TEXT, NULL},
};

static bool is_choice(const char *choices, const char *text);
static const char *strings_problem(const Member *member, const JsonValue *value,
								   JsonTokenType type);
static const char *params_problem(const Member *member, const JsonValue *value);
static const char *param_names_problem(const Member *member, const JsonValue *value);
static const char *uri_names_problem(const JsonValue *value);
static const char *headers_problem(const JsonValue *value);
static bool is_header_name(const char *name);
static bool is_our_header(const char *name);
static const char *header_problem(const char *name, const char *value);
static const char *choices_problem(const Member *member, const JsonValue *value);
static bool is_response_type(const char *text);
static bool is_fragment(const char *text);
static bool is_path(const char *text);
static bool is_error_code(const char *text);
static const char *codes_problem(const Member *member, const JsonValue *value);
static const char *scopes_problem(const Member *member, const JsonValue *value);
static const char *value_problem(const Member *member, const JsonValue *value);
static const char *object_problem(const JsonValue *value, const Member *members, int n_members);
static const char *field_problem(const JsonValue *field);
static char *known_names(const Member *members, int n_members);

static bool
is_choice(const char *choices, const char *text)
{
	size_t length = strlen(text);

	for (const char *c = choices; c != NULL; c = strchr(c, '|'))
	{
		c += *c == '|';
		if (strncmp(c, text, length) == 0 && (c[length] == '|' || c[length] == '\0'))
			return length > 0 && strchr(text, '|') == NULL;
	}
	return false;
}

/* Every element of an array, or member of an object, must be a string. */
static const char *
strings_problem(const Member *member, const JsonValue *value, JsonTokenType type)
{
	const char *wrong_kind = type == JSON_TOKEN_OBJECT_START ? "It must be an object of strings."
															 : "It must be an array of strings.";

	if (value->type != type)
		return wrong_kind;
	for (const JsonValue *element = value->first; element != NULL; element = element->next)
	{
		if (element->type != JSON_TOKEN_STRING)
			return wrong_kind;
		if (member->kind == MEMBER_RETURN_TARGETS && url_redirect_problem(element->text) != NULL)
			return url_redirect_problem(element->text);
		if (member->kind == MEMBER_NAMES && text_pasted_problem(element->text, false) != NULL)
			return text_pasted_problem(element->text, false);
	}
	return NULL;
}

static const char *
params_problem(const Member *member, const JsonValue *value)
{
	const char *wrong = strings_problem(member, value, JSON_TOKEN_OBJECT_START);

	if (wrong != NULL)
		return wrong;
	for (const JsonValue *param = value->first; param != NULL; param = param->next)
		if (param->name[0] == '\0' || text_pasted_problem(param->name, false) != NULL)
			return psprintf("\"%s\" is no name of a parameter.", param->name);
	return NULL;
}

/*
 * What ties an answer to its flow, or is what the request is for, may have another name
 * but is not left out.
 */
static const char *
param_names_problem(const Member *member, const JsonValue *value)
{
	static const char optional[] =
		"response_type|client_id|redirect_uri|nonce|grant_type|client_secret";

	if (value->type != JSON_TOKEN_OBJECT_START)
		return "It must be an object of names of parameters.";
	for (const JsonValue *name = value->first; name != NULL; name = name->next)
	{
		const char *called = json_string(name);

		if (!is_choice(member->choices, name->name))
			return psprintf("\"%s\" is not one of %s.", name->name, member->choices);
		if (name->type == JSON_TOKEN_NULL && is_choice(optional, name->name))
			continue;
		if (called == NULL || called[0] == '\0' || text_pasted_problem(called, false) != NULL ||
			strcmp(called, "request") == 0 || strcmp(called, "request_uri") == 0)
			return psprintf("What \"%s\" is called here must be the name of a parameter%s.",
							name->name,
							is_choice(optional, name->name) ? ", or null if it is not sent" : "");
	}
	return NULL;
}

/* What a provider calls a URL of its own list; a URL is one of the redirect URIs itself. */
static const char *
uri_names_problem(const JsonValue *value)
{
	if (value->type != JSON_TOKEN_OBJECT_START)
		return "It must be an object of names by redirect URIs.";
	for (const JsonValue *uri = value->first; uri != NULL; uri = uri->next)
	{
		const char *name = json_string(uri);
		size_t length = name != NULL ? strlen(name) : 0;

		if (length == 0 || length > MAX_URI_NAME ||
			strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") !=
				length)
			return psprintf("What a redirect URI is called at the provider has at most %d letters, "
							"digits and \"-._~\".",
							MAX_URI_NAME);
	}
	return NULL;
}

static const char *
headers_problem(const JsonValue *value)
{
	if (value->type != JSON_TOKEN_OBJECT_START || value->n_children > MAX_HEADERS)
		return psprintf("It must be an object of at most %d headers.", MAX_HEADERS);
	for (const JsonValue *header = value->first; header != NULL; header = header->next)
	{
		const char *wrong = header_problem(header->name, json_string(header));

		if (wrong != NULL)
			return wrong;
		for (const JsonValue *other = header->next; other != NULL; other = other->next)
			if (pg_strcasecmp(header->name, other->name) == 0)
				return psprintf("The header \"%s\" is there twice.", header->name);
	}
	return NULL;
}

/* A token (RFC 9110 §5.6.2) */
static bool
is_header_name(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && length <= MAX_HEADER_NAME &&
		   strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
						"!#$%&'*+-.^_`|~") == length;
}

/* What says where a request goes, how long it is, what is in it, who asks, or what happens
 * to the connection */
static bool
is_our_header(const char *name)
{
	static const char *const ours[] = {"authorization",
									   "host",
									   "transfer-encoding",
									   "te",
									   "trailer",
									   "upgrade",
									   "connection",
									   "keep-alive",
									   "cookie",
									   "expect",
									   "accept",
									   "accept-encoding",
									   "http2-settings"};

	for (int i = 0; i < (int) lengthof(ours); i++)
		if (pg_strcasecmp(name, ours[i]) == 0)
			return true;
	return pg_strncasecmp(name, "content-", strlen("content-")) == 0 ||
		   pg_strncasecmp(name, "proxy-", strlen("proxy-")) == 0;
}

/* A token and visible characters (RFC 9110 §5.6.2, §5.5); none of ours */
static const char *
header_problem(const char *name, const char *value)
{
	size_t value_length = value != NULL ? strlen(value) : 0;

	if (!is_header_name(name))
		return "The name of a header has at most 64 letters, digits and \"-\".";
	if (is_our_header(name))
		return psprintf("The header \"%s\" is not one that can be added.", name);
	if (value_length == 0 || value_length > MAX_HEADER_VALUE || value[0] == ' ' ||
		value[value_length - 1] == ' ')
		return psprintf("The value of \"%s\" must be a string of 1 to %d bytes, without blanks at "
						"its ends.",
						name, MAX_HEADER_VALUE);
	for (const char *c = value; *c != '\0'; c++)
		if (*c < 0x20 || *c > 0x7e)
			return psprintf("The value of \"%s\" has a character that no header may have.", name);
	return NULL;
}

static const char *
choices_problem(const Member *member, const JsonValue *value)
{
	bool fits = value->type == JSON_TOKEN_ARRAY_START;

	for (const JsonValue *element = fits ? value->first : NULL; element != NULL;
		 element = element->next)
		fits &= json_string(element) != NULL && is_choice(member->choices, element->text);
	return fits ? NULL : psprintf("It must be an array of some of %s.", member->choices);
}

/*
 * Names separated by blanks (RFC 6749 §3.1.1), without "token": tokens would come through
 * the browser.
 */
static bool
is_response_type(const char *text)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
	const char *at = text;

	while (*at != '\0')
	{
		size_t length = strspn(at, letters);

		if (length == 0 || (length == strlen("token") && strncmp(at, "token", length) == 0))
			return false;
		at += length;
		if (*at == ' ' && at[1] != '\0')
			at++;
	}
	return at > text;
}

/* RFC 3986 §3.5, without escapes and parameters; a "?" at its end alone */
static bool
is_fragment(const char *text)
{
	size_t length = strlen(text);

	return length > 0 && length <= MAX_FRAGMENT &&
		   strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
						"-._~!$'()*+,;:@/") >= length - (text[length - 1] == '?');
}

/* Names with a "." between each two */
static bool
is_path(const char *text)
{
	size_t length = strlen(text);

	return length > 0 && length <= MAX_PATH_BYTES && text[0] != '.' && text[length - 1] != '.' &&
		   strstr(text, "..") == NULL && text_pasted_problem(text, false) == NULL;
}

static bool
is_error_code(const char *text)
{
	size_t length = strlen(text);

	return length > 0 && length <= MAX_CODE_BYTES &&
		   strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") ==
			   length;
}

static const char *
codes_problem(const Member *member, const JsonValue *value)
{
	if (value->type != JSON_TOKEN_OBJECT_START)
		return "It must be an object by error codes.";
	for (const JsonValue *code = value->first; code != NULL; code = code->next)
	{
		const char *text = json_string(code);

		if (!is_error_code(code->name))
			return psprintf("An error code has at most %d letters, digits, \"_\", \".\" and \"-\".",
							MAX_CODE_BYTES);
		if (member->kind == MEMBER_OUTCOMES ? text == NULL || !is_choice(member->choices, text)
											: text == NULL || !is_error_code(text))
			return member->kind == MEMBER_OUTCOMES
					   ? psprintf("What \"%s\" means must be one of %s.", code->name,
								  member->choices)
					   : psprintf("What \"%s\" stands for must be an error code.", code->name);
	}
	return NULL;
}

/* NULL, or a sentence */
static const char *
scopes_problem(const Member *member, const JsonValue *value)
{
	bool is_object = member->kind != MEMBER_SCOPES;
	const char *wrong = member->kind == MEMBER_SCOPES        ? "It must be an array of scopes."
						: member->kind == MEMBER_SCOPE_NAMES ? "It must be an object of scopes."
															 : "It must be an object of arrays of "
															   "scopes.";

	if (value->type != (is_object ? JSON_TOKEN_OBJECT_START : JSON_TOKEN_ARRAY_START))
		return wrong;
	for (const JsonValue *element = value->first; element != NULL; element = element->next)
	{
		if (is_object && scope_problem(element->name) != NULL)
			return scope_problem(element->name);
		if (member->kind == MEMBER_SCOPE_ARRAYS)
		{
			if (element->type != JSON_TOKEN_ARRAY_START)
				return wrong;
			for (const JsonValue *scope = element->first; scope != NULL; scope = scope->next)
				if (scope->type != JSON_TOKEN_STRING)
					return wrong;
				else if (scope_problem(scope->text) != NULL)
					return scope_problem(scope->text);
		}
		else if (element->type != JSON_TOKEN_STRING)
			return wrong;
		else if (scope_problem(element->text) != NULL)
			return scope_problem(element->text);
	}
	return NULL;
}

/* NULL, or a sentence */
static const char *
value_problem(const Member *member, const JsonValue *value)
{
	const char *text = json_string(value);
	int64_t seconds;

	switch (member->kind)
	{
		case MEMBER_ENDPOINT_TEMPLATE:
			if (text != NULL && url_is_template(text))
				return url_template_problem(text);
			/* FALLTHROUGH */
		case MEMBER_ENDPOINT:
			return text == NULL ? "It must be a string." : url_endpoint_problem(text);
		case MEMBER_TEXT:
			return text == NULL || text[0] == '\0' ? "It must be a string that is not empty."
												   : NULL;
		case MEMBER_NAME:
			return text == NULL || text[0] == '\0' ? "It must be a string that is not empty."
												   : text_pasted_problem(text, false);
		case MEMBER_BOOL:
			return value->type != JSON_TOKEN_TRUE && value->type != JSON_TOKEN_FALSE
					   ? "It must be true or false."
					   : NULL;
		case MEMBER_SECONDS:
			return definition_parse_seconds(value, &seconds)
					   ? NULL
					   : psprintf("It must be a number of seconds, 0 to %d.", MAX_SECONDS);
		case MEMBER_CHOICE:
			return text != NULL && is_choice(member->choices, text)
					   ? NULL
					   : psprintf("It must be one of %s.", member->choices);
		case MEMBER_TEXTS:
		case MEMBER_NAMES:
		case MEMBER_RETURN_TARGETS:
			return strings_problem(member, value, JSON_TOKEN_ARRAY_START);
		case MEMBER_URI_NAMES:
			return uri_names_problem(value);
		case MEMBER_CONFIG_FIELDS:
			return config_fields_problem(value);
		case MEMBER_PARAMS:
			return params_problem(member, value);
		case MEMBER_PARAM_NAMES:
			return param_names_problem(member, value);
		case MEMBER_HEADERS:
			return headers_problem(value);
		case MEMBER_HEADER_NAME:
			if (text == NULL || !is_header_name(text))
				return "It must be the name of a header, of at most 64 letters, digits and \"-\".";
			return is_our_header(text) && pg_strcasecmp(text, "authorization") != 0
					   ? "It must be the name of a header that can hold a token."
					   : NULL;
		case MEMBER_RESPONSE_TYPE:
			return text != NULL && is_response_type(text)
					   ? NULL
					   : "It must be names separated by blanks, without \"token\".";
		case MEMBER_FRAGMENT:
			return text != NULL && is_fragment(text)
					   ? NULL
					   : psprintf("It must be at most %d letters, digits and other characters of a "
								  "path, with \"?\" at its end at most.",
								  MAX_FRAGMENT);
		case MEMBER_PATH:
			return text != NULL && is_path(text)
					   ? NULL
					   : "It must be the names of members, separated by \".\".";
		case MEMBER_POINTER:
			return text != NULL && json_is_pointer(text) && strlen(text) <= MAX_PATH_BYTES &&
						   !text_has_controls(text)
					   ? NULL
					   : "It must be a JSON pointer, such as \"/data/id\".";
		case MEMBER_OUTCOMES:
		case MEMBER_ERROR_CODES:
			return codes_problem(member, value);
		case MEMBER_REUSE:
			return (text != NULL && is_choice("safe|once", text)) ||
						   definition_parse_seconds(value, &seconds)
					   ? NULL
					   : "It must be safe, once, or for how many seconds it may be sent again.";
		case MEMBER_CHOICES:
			return choices_problem(member, value);
		case MEMBER_OBJECT:
			return member->members != NULL
					   ? object_problem(value, member->members, member->n_members)
				   : value->type == JSON_TOKEN_OBJECT_START ? NULL
															: "It must be an object.";
		case MEMBER_SCOPES:
		case MEMBER_SCOPE_NAMES:
		case MEMBER_SCOPE_ARRAYS:
			return scopes_problem(member, value);
	}
	return NULL;
}

/* NULL, or a sentence */
static const char *
object_problem(const JsonValue *value, const Member *members, int n_members)
{
	const DefinitionProblem *found = members_problem(value, members, n_members);

	if (found == NULL)
		return NULL;
	switch (found->fault)
	{
		case DEFINITION_UNKNOWN_NAME:
			return psprintf("An unknown name; known are %s.", found->detail);
		case DEFINITION_INVALID_VALUE:
			return psprintf("\"%s\": %s", found->name, found->detail);
		case DEFINITION_NOT_AN_OBJECT:
		case DEFINITION_LACKS_ENDPOINT:
			break;
	}
	return "It must be an object.";
}

const char *
config_fields_problem(const JsonValue *fields)
{
	if (fields->type != JSON_TOKEN_OBJECT_START || fields->n_children > MAX_CONFIG_FIELDS)
		return psprintf("It must be an object of at most %d declarations.", MAX_CONFIG_FIELDS);
	for (const JsonValue *field = fields->first; field != NULL; field = field->next)
	{
		const char *detail;
		size_t length = strlen(field->name);

		if (length == 0 || length > MAX_FIELD_NAME || isdigit((unsigned char) field->name[0]) ||
			strspn(field->name,
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") != length)
			return psprintf("The name of a field holds at most %d letters, digits and \"_\".",
							MAX_FIELD_NAME);
		detail = field_problem(field);
		if (detail != NULL)
			return psprintf("In field \"%s\": %s", field->name, detail);
	}
	return NULL;
}

/* Whatever a browser or an app user brings must be told from anything else. */
static const char *
field_problem(const JsonValue *field)
{
	const char *wrong = object_problem(field, field_members, lengthof(field_members));
	ConfigField read;
	size_t length;

	if (wrong != NULL)
		return wrong;
	read = config_field_read(field);
	length = read.pattern != NULL ? strlen(read.pattern) : 0;
	if (read.pattern == NULL && read.choices == NULL &&
		(read.source == CONFIG_FROM_USER || read.source == CONFIG_FROM_CALLBACK))
		return "It needs a pattern or an enum, since it does not come from the admin or the "
			   "provider.";
	if (read.path != NULL && read.source != CONFIG_FROM_PROFILE &&
		read.source != CONFIG_FROM_TOKEN_RESPONSE)
		return "A path is of source \"profile\" or \"token_response\".";
	if (read.choices != NULL && read.n_choices == 0)
		return "Its enum is empty.";
	if (read.pattern != NULL)
	{
		size_t n_escapes = 0;

		while (n_escapes + 1 < length && read.pattern[length - 2 - n_escapes] == '\\')
			n_escapes++;
		if (length < 2 || length > MAX_PATTERN || read.pattern[0] != '^' ||
			read.pattern[length - 1] != '$' || n_escapes % 2 == 1)
			return psprintf("Its pattern must begin with ^, end with $ and have at most %d bytes.",
							MAX_PATTERN);
	}
	return NULL;
}

ConfigField
config_field_read(const JsonValue *field)
{
	static const char *const sources[] = {"admin", "user", "callback", "token_response", "profile"};
	ConfigField read = {.name = field->name, .source = CONFIG_FROM_ADMIN};
	const char *source = definition_text(field, "source");

	for (int i = 0; source != NULL && i < (int) lengthof(sources); i++)
		if (strcmp(source, sources[i]) == 0)
			read.source = (ConfigSource) i;
	read.pattern = definition_text(field, "pattern");
	read.choices = definition_texts(field, "enum", &read.n_choices);
	read.default_value = definition_text(field, "default");
	read.parameter = definition_text(field, "parameter");
	read.path = definition_text(field, "path");
	return read;
}

static char *
known_names(const Member *members, int n_members)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < n_members; i++)
	{
		appendStringInfoString(&names, i > 0 ? ", " : "");
		appendStringInfoString(&names, members[i].name);
	}
	return names.data;
}

const DefinitionProblem *
definition_problem_make(DefinitionFault fault, const char *name, const char *detail)
{
	DefinitionProblem *found = palloc(sizeof(DefinitionProblem));

	*found = (DefinitionProblem){fault, name, detail};
	return found;
}

const DefinitionProblem *
members_problem(const JsonValue *object, const Member *members, int n_members)
{
	if (object == NULL || object->type != JSON_TOKEN_OBJECT_START)
		return definition_problem_make(DEFINITION_NOT_AN_OBJECT, NULL, NULL);
	for (const JsonValue *value = object->first; value != NULL; value = value->next)
	{
		const Member *member = NULL;
		const char *detail;

		for (int i = 0; i < n_members; i++)
			if (strcmp(members[i].name, value->name) == 0)
				member = &members[i];
		if (member == NULL)
			return definition_problem_make(DEFINITION_UNKNOWN_NAME, value->name,
										   known_names(members, n_members));
		if (value->type == JSON_TOKEN_NULL)
			continue;
		detail = value_problem(member, value);
		if (detail != NULL)
			return definition_problem_make(DEFINITION_INVALID_VALUE, value->name, detail);
	}
	return NULL;
}
