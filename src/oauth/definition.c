/*
 * definition.c
 *	  What a provider's definition and a connector's options may say, and what they
 *	  say of a client.
 *
 * Every known name is in one table with its kind, so that an unknown name or a
 * value of the wrong kind is found when it is given, not when it is used.
 *
 * Pure functions over JSON; must not do I/O, raise errors, or know jsonb or where
 * a definition is stored.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "lib/stringinfo.h"

#include "base/text.h"
#include "base/url.h"
#include "crypto/jwt.h"
#include "oauth/definition.h"
#include "oauth/request.h"
#include "oauth/scope.h"

#define MAX_SECONDS 315360000 /* ten years */
#define MAX_CONFIG_FIELDS 32
#define MAX_FIELD_NAME 64 /* bytes */
#define MAX_PATTERN 256   /* bytes */

typedef enum MemberKind
{
	MEMBER_ENDPOINT, /* a URL that url_endpoint_problem accepts */
	MEMBER_TEXT,
	MEMBER_NAME,       /* a text that others compare byte by byte */
	MEMBER_PARAM_NAME, /* that is not one of ours */
	MEMBER_BOOL,
	MEMBER_SECONDS, /* a number, what is below a second is cut off */
	MEMBER_TEXTS,   /* an array of strings */
	MEMBER_NAMES,
	MEMBER_AUTHORIZATION_PARAMS, /* objects of strings, whose names are not ours */
	MEMBER_TOKEN_PARAMS,
	MEMBER_REFRESH_PARAMS,
	MEMBER_SCOPES,       /* an array of scopes */
	MEMBER_SCOPE_NAMES,  /* an object of scopes by scopes */
	MEMBER_SCOPE_ARRAYS, /* an object of arrays of scopes by scopes */
	MEMBER_CHOICE,       /* one of the names in choices, separated by '|' */
	MEMBER_RETURN_TARGETS,
	MEMBER_CONFIG_FIELDS /* an object of declarations */
} MemberKind;

typedef struct Member
{
	const char *name;
	MemberKind kind;
	const char *choices;
} Member;

static const Member definition_members[] = {
	/* RFC 8414, RFC 7591, RFC 9207 */
	{"issuer", MEMBER_NAME, NULL},
	{"authorization_endpoint", MEMBER_ENDPOINT, NULL},
	{"token_endpoint", MEMBER_ENDPOINT, NULL},
	{"revocation_endpoint", MEMBER_ENDPOINT, NULL},
	{"userinfo_endpoint", MEMBER_ENDPOINT, NULL},
	{"jwks_uri", MEMBER_ENDPOINT, NULL},
	{"token_endpoint_auth_method", MEMBER_CHOICE, "client_secret_basic|client_secret_post|none"},
	{"authorization_response_iss_parameter_supported", MEMBER_BOOL, NULL},
	{"id_token_signed_response_alg", MEMBER_CHOICE,
	 "RS256|RS384|RS512|PS256|PS384|PS512|ES256|ES384|ES512|EdDSA"},
	/* the extension's own */
	{"name", MEMBER_TEXT, NULL},
	{"pkce", MEMBER_CHOICE, "S256|off"},
	{"nonce", MEMBER_CHOICE, "required|optional"},
	{"iss_parameter", MEMBER_CHOICE, "checked|ignored"},
	{"scope_parameter", MEMBER_PARAM_NAME, NULL},
	{"scope_separator", MEMBER_TEXT, NULL},
	{"implied_scopes", MEMBER_SCOPE_ARRAYS, NULL},
	{"scope_aliases", MEMBER_SCOPE_NAMES, NULL},
	{"unreturned_scopes", MEMBER_SCOPES, NULL},
	{"callback_scope_parameter", MEMBER_NAME, NULL},
	{"authorization_params", MEMBER_AUTHORIZATION_PARAMS, NULL},
	{"consent_params", MEMBER_AUTHORIZATION_PARAMS, NULL},
	{"token_params", MEMBER_TOKEN_PARAMS, NULL},
	{"refresh_params", MEMBER_REFRESH_PARAMS, NULL},
	{"token_body_format", MEMBER_CHOICE, "form|json"},
	{"token_response_format", MEMBER_CHOICE, "json|form"},
	{"token_path", MEMBER_NAME, NULL},
	{"token_types", MEMBER_NAMES, NULL},
	{"connection_config_fields", MEMBER_CONFIG_FIELDS, NULL},
	{"default_expires_in", MEMBER_SECONDS, NULL},
	{"zero_expires_in", MEMBER_CHOICE, "expired|unknown"},
	{"refresh_margin", MEMBER_SECONDS, NULL},
	{"revocation_ends_grant", MEMBER_BOOL, NULL},
};

static const Member option_members[] = {
	{"return_to", MEMBER_RETURN_TARGETS, NULL},
	{"pkce", MEMBER_CHOICE, "S256|off"},
	{"authorization_params", MEMBER_AUTHORIZATION_PARAMS, NULL},
	{"resource", MEMBER_ENDPOINT, NULL},
	{"connection_config_fields", MEMBER_CONFIG_FIELDS, NULL},
};

/* What a declaration of a field says; source is in the order of ConfigSource. */
#define FIELD_SOURCES "admin|user|callback|token_response"

static const Member field_members[] = {
	{"source", MEMBER_CHOICE, FIELD_SOURCES},
	{"pattern", MEMBER_TEXT, NULL},
	{"enum", MEMBER_TEXTS, NULL},
	{"title", MEMBER_TEXT, NULL},
	{"default", MEMBER_TEXT, NULL},
};

static const JsonValue *find_member(const JsonValue *object, const char *name);
static bool parse_seconds(const JsonValue *value, int64_t *seconds);
static NameValue *scope_pairs(const JsonValue *definition, int *count);
static bool is_choice(const char *choices, const char *text);
static const char *strings_problem(const Member *member, const JsonValue *value,
								   JsonTokenType type);
static const char *params_problem(const Member *member, const JsonValue *value);
static const char *scopes_problem(const Member *member, const JsonValue *value);
static const char *value_problem(const Member *member, const JsonValue *value);
static const char *fields_problem(const JsonValue *fields);
static const char *field_problem(const JsonValue *field);
static ConfigField read_field(const JsonValue *field);
static char *known_names(const Member *members, int n_members);
static const DefinitionProblem *problem(DefinitionFault fault, const char *name,
										const char *detail);
static const DefinitionProblem *scope_parameter_problem(const JsonValue *definition);
static const DefinitionProblem *members_problem(const JsonValue *object, const Member *members,
												int n_members);

static const JsonValue *
find_member(const JsonValue *object, const char *name)
{
	const JsonValue *value = json_member(object, name);

	return value == NULL || value->type == JSON_TOKEN_NULL ? NULL : value;
}

const char *
definition_text(const JsonValue *definition, const char *name)
{
	return json_string(find_member(definition, name));
}

bool
definition_bool(const JsonValue *definition, const char *name, bool default_value)
{
	const JsonValue *value = find_member(definition, name);

	if (value == NULL || (value->type != JSON_TOKEN_TRUE && value->type != JSON_TOKEN_FALSE))
		return default_value;
	return value->type == JSON_TOKEN_TRUE;
}

static bool
parse_seconds(const JsonValue *value, int64_t *seconds)
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

	return parse_seconds(find_member(definition, name), &seconds) ? seconds : default_value;
}

const char **
definition_texts(const JsonValue *definition, const char *name, int *count)
{
	const JsonValue *array = find_member(definition, name);
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
	const JsonValue *object = find_member(definition, name);
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

/* Of implied_scopes and scope_aliases: a name implies what it is another name for */
static NameValue *
scope_pairs(const JsonValue *definition, int *count)
{
	const JsonValue *implied = find_member(definition, "implied_scopes");
	int n_aliases;
	NameValue *aliases = definition_params(definition, "scope_aliases", &n_aliases);
	NameValue *pairs;
	int n = n_aliases;

	*count = 0;
	if (implied != NULL && implied->type == JSON_TOKEN_OBJECT_START)
		for (const JsonValue *scope = implied->first; scope != NULL; scope = scope->next)
			n += scope->n_children;
	pairs = palloc(sizeof(NameValue) * (n + 1));
	for (int i = 0; i < n_aliases; i++)
		pairs[(*count)++] = aliases[i];
	if (implied == NULL || implied->type != JSON_TOKEN_OBJECT_START)
		return pairs;
	for (const JsonValue *scope = implied->first; scope != NULL; scope = scope->next)
		if (scope->type == JSON_TOKEN_ARRAY_START)
			for (const JsonValue *other = scope->first; other != NULL; other = other->next)
				if (other->type == JSON_TOKEN_STRING)
					pairs[(*count)++] = (NameValue){scope->name, other->text};
	return pairs;
}

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

/* What would not be sent is not taken either. */
static const char *
params_problem(const Member *member, const JsonValue *value)
{
	const char *wrong = strings_problem(member, value, JSON_TOKEN_OBJECT_START);

	if (wrong != NULL)
		return wrong;
	for (const JsonValue *param = value->first; param != NULL; param = param->next)
		if (param->name[0] == '\0' || text_pasted_problem(param->name, false) != NULL ||
			(member->kind == MEMBER_AUTHORIZATION_PARAMS ? is_authorization_param(param->name)
			 : member->kind == MEMBER_TOKEN_PARAMS       ? is_token_param(param->name)
														 : is_refresh_param(param->name)))
			return psprintf("The parameter \"%s\" is not one that can be added to this request.",
							param->name);
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
		case MEMBER_ENDPOINT:
			return text == NULL ? "It must be a string." : url_endpoint_problem(text);
		case MEMBER_TEXT:
			return text == NULL || text[0] == '\0' ? "It must be a string that is not empty."
												   : NULL;
		case MEMBER_NAME:
			return text == NULL || text[0] == '\0' ? "It must be a string that is not empty."
												   : text_pasted_problem(text, false);
		case MEMBER_PARAM_NAME:
			return text == NULL || text[0] == '\0' || is_authorization_param(text) ||
						   text_pasted_problem(text, false) != NULL
					   ? "It must be the name of a parameter, and not one that has a meaning of "
						 "its own."
					   : NULL;
		case MEMBER_BOOL:
			return value->type != JSON_TOKEN_TRUE && value->type != JSON_TOKEN_FALSE
					   ? "It must be true or false."
					   : NULL;
		case MEMBER_SECONDS:
			return parse_seconds(value, &seconds)
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
		case MEMBER_CONFIG_FIELDS:
			return fields_problem(value);
		case MEMBER_AUTHORIZATION_PARAMS:
		case MEMBER_TOKEN_PARAMS:
		case MEMBER_REFRESH_PARAMS:
			return params_problem(member, value);
		case MEMBER_SCOPES:
		case MEMBER_SCOPE_NAMES:
		case MEMBER_SCOPE_ARRAYS:
			return scopes_problem(member, value);
	}
	return NULL;
}

/* NULL, or a sentence that names the field */
static const char *
fields_problem(const JsonValue *fields)
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
	const DefinitionProblem *found = members_problem(field, field_members, lengthof(field_members));
	ConfigField read;
	size_t length;

	if (found != NULL)
		switch (found->fault)
		{
			case DEFINITION_UNKNOWN_NAME:
				return psprintf("An unknown name; known are %s.", found->detail);
			case DEFINITION_INVALID_VALUE:
				return psprintf("\"%s\": %s", found->name, found->detail);
			case DEFINITION_NOT_AN_OBJECT:
			case DEFINITION_LACKS_ENDPOINT:
				return "It must be an object.";
		}
	read = read_field(field);
	length = read.pattern != NULL ? strlen(read.pattern) : 0;
	if (read.pattern == NULL && read.choices == NULL &&
		(read.source == CONFIG_FROM_USER || read.source == CONFIG_FROM_CALLBACK))
		return "It needs a pattern or an enum, since it does not come from the admin or the "
			   "provider.";
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

static ConfigField
read_field(const JsonValue *field)
{
	static const char *const sources[] = {"admin", "user", "callback", "token_response"};
	ConfigField read = {.name = field->name, .source = CONFIG_FROM_ADMIN};
	const char *source = definition_text(field, "source");

	for (int i = 0; source != NULL && i < (int) lengthof(sources); i++)
		if (strcmp(source, sources[i]) == 0)
			read.source = (ConfigSource) i;
	read.pattern = definition_text(field, "pattern");
	read.choices = definition_texts(field, "enum", &read.n_choices);
	read.default_value = definition_text(field, "default");
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

static const DefinitionProblem *
problem(DefinitionFault fault, const char *name, const char *detail)
{
	DefinitionProblem *found = palloc(sizeof(DefinitionProblem));

	*found = (DefinitionProblem){fault, name, detail};
	return found;
}

static const DefinitionProblem *
members_problem(const JsonValue *object, const Member *members, int n_members)
{
	if (object == NULL || object->type != JSON_TOKEN_OBJECT_START)
		return problem(DEFINITION_NOT_AN_OBJECT, NULL, NULL);
	for (const JsonValue *value = object->first; value != NULL; value = value->next)
	{
		const Member *member = NULL;
		const char *detail;

		for (int i = 0; i < n_members; i++)
			if (strcmp(members[i].name, value->name) == 0)
				member = &members[i];
		if (member == NULL)
			return problem(DEFINITION_UNKNOWN_NAME, value->name, known_names(members, n_members));
		if (value->type == JSON_TOKEN_NULL)
			continue;
		detail = value_problem(member, value);
		if (detail != NULL)
			return problem(DEFINITION_INVALID_VALUE, value->name, detail);
	}
	return NULL;
}

/* The parameter that holds the scopes is ours too, whatever it is called. */
static const DefinitionProblem *
scope_parameter_problem(const JsonValue *definition)
{
	static const char *const members[] = {"authorization_params", "consent_params",
										  "refresh_params"};
	const char *text = definition_text(definition, "scope_parameter");
	const char *scope_parameter = text != NULL ? text : "scope";

	for (int i = 0; i < (int) lengthof(members); i++)
	{
		int count;
		NameValue *params = definition_params(definition, members[i], &count);

		for (int j = 0; j < count; j++)
			if (strcmp(params[j].name, scope_parameter) == 0)
				return problem(DEFINITION_INVALID_VALUE, members[i],
							   "Scopes are asked for by the connector's own, and not at a "
							   "refresh.");
	}
	return NULL;
}

const DefinitionProblem *
definition_problem(const JsonValue *definition)
{
	const DefinitionProblem *found =
		members_problem(definition, definition_members, lengthof(definition_members));

	if (found == NULL && (definition_text(definition, "authorization_endpoint") == NULL ||
						  definition_text(definition, "token_endpoint") == NULL))
		found = problem(DEFINITION_LACKS_ENDPOINT, NULL,
						"authorization_endpoint and token_endpoint are required.");
	return found != NULL ? found : scope_parameter_problem(definition);
}

const DefinitionProblem *
options_problem(const JsonValue *options)
{
	return members_problem(options, option_members, lengthof(option_members));
}

static bool
text_is(const char *text, const char *value)
{
	return text != NULL && strcmp(text, value) == 0;
}

/* Adds those of one object that are declared as they must be, or replaces those there. */
static void
add_fields(const JsonValue *object, ConfigField *fields, int *count)
{
	const JsonValue *declared = find_member(object, "connection_config_fields");

	if (declared == NULL || fields_problem(declared) != NULL)
		return;
	for (const JsonValue *field = declared->first; field != NULL; field = field->next)
	{
		int at = 0;

		while (at < *count && strcmp(fields[at].name, field->name) != 0)
			at++;
		fields[at] = read_field(field);
		*count += at == *count;
	}
}

void
definition_read_fields(const JsonValue *definition, const JsonValue *options, OAuthClient *client)
{
	ConfigField *fields = palloc(sizeof(ConfigField) * 2 * MAX_CONFIG_FIELDS);
	const char **values = palloc(sizeof(char *) * 2 * MAX_CONFIG_FIELDS);

	client->n_config_fields = client->n_token_response_values = 0;
	add_fields(definition, fields, &client->n_config_fields);
	add_fields(options, fields, &client->n_config_fields);
	client->config_fields = fields;
	for (int i = 0; i < client->n_config_fields; i++)
		if (fields[i].source == CONFIG_FROM_TOKEN_RESPONSE)
			values[client->n_token_response_values++] = fields[i].name;
	client->token_response_values = values;
}

void
definition_read(const JsonValue *definition, OAuthClient *client)
{
	const char *text;

	client->issuer = definition_text(definition, "issuer");
	client->authorization_endpoint = definition_text(definition, "authorization_endpoint");
	client->token_endpoint = definition_text(definition, "token_endpoint");
	client->revocation_endpoint = definition_text(definition, "revocation_endpoint");
	client->jwks_uri = definition_text(definition, "jwks_uri");

	text = definition_text(definition, "token_endpoint_auth_method");
	client->auth_method = text_is(text, "client_secret_post") ? CLIENT_SECRET_POST
						  : text_is(text, "none")             ? CLIENT_AUTH_NONE
															  : CLIENT_SECRET_BASIC;
	client->token_body_format = text_is(definition_text(definition, "token_body_format"), "json")
									? TOKEN_BODY_JSON
									: TOKEN_BODY_FORM;
	client->pkce = !text_is(definition_text(definition, "pkce"), "off");
	client->iss_required =
		definition_bool(definition, "authorization_response_iss_parameter_supported", false);
	client->iss_ignored = text_is(definition_text(definition, "iss_parameter"), "ignored");
	client->nonce_optional = text_is(definition_text(definition, "nonce"), "optional");
	text = definition_text(definition, "scope_parameter");
	client->scope_parameter = text != NULL ? text : "scope";
	text = definition_text(definition, "scope_separator");
	client->scope_separator = text != NULL ? text : " ";

	client->implied_scopes = scope_pairs(definition, &client->n_implied_scopes);
	client->unreturned_scopes =
		definition_texts(definition, "unreturned_scopes", &client->n_unreturned_scopes);
	client->callback_scope_parameter = definition_text(definition, "callback_scope_parameter");

	client->authorization_params =
		definition_params(definition, "authorization_params", &client->n_authorization_params);
	client->consent_params =
		definition_params(definition, "consent_params", &client->n_consent_params);
	client->token_params = definition_params(definition, "token_params", &client->n_token_params);
	client->refresh_params =
		definition_params(definition, "refresh_params", &client->n_refresh_params);

	text = definition_text(definition, "id_token_signed_response_alg");
	client->id_token_algorithms = text != NULL
									  ? jwt_algorithm_by_name(text)
									  : JWT_RS256 | JWT_PS256 | JWT_ES256 | JWT_ES384 | JWT_EDDSA;
	client->default_expires_in = definition_seconds(definition, "default_expires_in", -1);
	client->zero_expires_in = text_is(definition_text(definition, "zero_expires_in"), "unknown")
								  ? ZERO_IS_UNKNOWN
								  : ZERO_IS_EXPIRED;
	client->token_path = definition_text(definition, "token_path");
	client->token_types = definition_texts(definition, "token_types", &client->n_token_types);
	definition_read_fields(definition, NULL, client);
	client->form_token_response =
		text_is(definition_text(definition, "token_response_format"), "form");
}
