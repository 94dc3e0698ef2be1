/*
 * provider.c
 *	  A provider's definition, and the catalogue of them.
 *
 * Every known name is in one table with its kind, so that an unknown name or a
 * value of the wrong kind is an error when it is given, not when it is used.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "jwt.h"
#include "provider.h"
#include "store_connector.h"
#include "url.h"

#define MAX_PROVIDER_NAME 100

typedef enum MemberKind
{
	MEMBER_ENDPOINT, /* a URL that url_endpoint_problem accepts */
	MEMBER_TEXT,
	MEMBER_BOOL,
	MEMBER_SECONDS, /* a whole number >= 0 */
	MEMBER_TEXTS,   /* an array of strings */
	MEMBER_PARAMS,  /* an object of strings */
	MEMBER_CHOICE,  /* one of the names in choices, separated by '|' */
	MEMBER_RETURN_TARGETS
} MemberKind;

typedef struct Member
{
	const char *name;
	MemberKind kind;
	const char *choices;
} Member;

static const Member definition_members[] = {
	/* RFC 8414, RFC 7591, RFC 9207 */
	{"issuer", MEMBER_TEXT, NULL},
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
	{"scope_parameter", MEMBER_TEXT, NULL},
	{"scope_separator", MEMBER_TEXT, NULL},
	{"authorization_params", MEMBER_PARAMS, NULL},
	{"token_params", MEMBER_PARAMS, NULL},
	{"refresh_params", MEMBER_PARAMS, NULL},
	{"token_body_format", MEMBER_CHOICE, "form|json"},
	{"token_response_format", MEMBER_CHOICE, "json|form"},
	{"token_path", MEMBER_TEXT, NULL},
	{"token_types", MEMBER_TEXTS, NULL},
	{"token_response_values", MEMBER_TEXTS, NULL},
	{"callback_values", MEMBER_TEXTS, NULL},
	{"default_expires_in", MEMBER_SECONDS, NULL},
	{"zero_expires_in", MEMBER_CHOICE, "expired|unknown"},
	{"refresh_margin", MEMBER_SECONDS, NULL},
	{"revocation_ends_grant", MEMBER_BOOL, NULL},
};

static const Member option_members[] = {
	{"return_to", MEMBER_RETURN_TARGETS, NULL},
	{"pkce", MEMBER_CHOICE, "S256|off"},
	{"authorization_params", MEMBER_PARAMS, NULL},
	{"resource", MEMBER_ENDPOINT, NULL},
};

PG_FUNCTION_INFO_V1(register_provider);

static void check_members(const Jsonb *object, const char *what, const Member *members,
						  int n_members);
static void check_member(const Member *member, const JsonbValue *value);

static JsonbValue *
find_member(const Jsonb *object, const char *name, JsonbValue *value)
{
	/* a stored one may have been edited into anything */
	if (object == NULL || !JB_ROOT_IS_OBJECT(object))
		return NULL;
	value = getKeyJsonValueFromContainer(unconstify(JsonbContainer *, &object->root), name,
										 strlen(name), value);
	return value == NULL || value->type == jbvNull ? NULL : value;
}

static char *
value_text(const JsonbValue *value)
{
	return pnstrdup(value->val.string.val, value->val.string.len);
}

char *
definition_text(const Jsonb *definition, const char *name)
{
	JsonbValue buffer;
	JsonbValue *value = find_member(definition, name, &buffer);

	return value == NULL || value->type != jbvString ? NULL : value_text(value);
}

bool
definition_bool(const Jsonb *definition, const char *name, bool default_value)
{
	JsonbValue buffer;
	JsonbValue *value = find_member(definition, name, &buffer);

	return value == NULL || value->type != jbvBool ? default_value : value->val.boolean;
}

int64
definition_int(const Jsonb *definition, const char *name, int64 default_value)
{
	JsonbValue buffer;
	JsonbValue *value = find_member(definition, name, &buffer);

	if (value == NULL || value->type != jbvNumeric)
		return default_value;
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value->val.numeric)));
}

char **
definition_texts(const Jsonb *definition, const char *name, int *count)
{
	JsonbValue buffer;
	JsonbValue *value = find_member(definition, name, &buffer);
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue element;
	char **texts;

	*count = 0;
	if (value == NULL || value->type != jbvBinary)
		return NULL;
	texts = palloc(sizeof(char *) * (JsonContainerSize(value->val.binary.data) + 1));
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
		if (token == WJB_ELEM && element.type == jbvString)
			texts[(*count)++] = value_text(&element);
	return texts;
}

NameValue *
definition_params(const Jsonb *definition, const char *name, int *count)
{
	JsonbValue buffer;
	JsonbValue *value = find_member(definition, name, &buffer);
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue element;
	NameValue *params;

	*count = 0;
	if (value == NULL || value->type != jbvBinary)
		return NULL;
	params = palloc(sizeof(NameValue) * (JsonContainerSize(value->val.binary.data) + 1));
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			params[*count].name = value_text(&element);
		else if (token == WJB_VALUE && element.type == jbvString)
			params[(*count)++].value = value_text(&element);
	}
	return params;
}

static void
bad_value(const char *name, const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid value for \"%s\"", name), errdetail("%s", detail)));
}

static bool
is_choice(const char *choices, const char *text)
{
	size_t length = strlen(text);

	for (const char *c = choices; c != NULL; c = strchr(c, '|'))
	{
		c += *c == '|';
		if (strncmp(c, text, length) == 0 && (c[length] == '|' || c[length] == '\0'))
			return length > 0;
	}
	return false;
}

/* Every element of an array or object must be a string. */
static void
check_strings(const Member *member, const JsonbValue *value, bool is_object)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue element;

	if (value->type != jbvBinary || JsonContainerIsObject(value->val.binary.data) != is_object ||
		(!is_object && !JsonContainerIsArray(value->val.binary.data)))
		bad_value(member->name, is_object ? "It must be an object of strings."
										  : "It must be an array of strings.");
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM && token != WJB_VALUE)
			continue;
		if (element.type != jbvString)
			bad_value(member->name, is_object ? "It must be an object of strings."
											  : "It must be an array of strings.");
		if (member->kind == MEMBER_RETURN_TARGETS)
		{
			const char *problem = url_redirect_problem(value_text(&element));

			if (problem != NULL)
				bad_value(member->name, problem);
		}
	}
}

static void
check_member(const Member *member, const JsonbValue *value)
{
	const char *problem;

	switch (member->kind)
	{
		case MEMBER_ENDPOINT:
			if (value->type != jbvString)
				bad_value(member->name, "It must be a string.");
			problem = url_endpoint_problem(value_text(value));
			if (problem != NULL)
				bad_value(member->name, problem);
			break;
		case MEMBER_TEXT:
			if (value->type != jbvString || value->val.string.len == 0)
				bad_value(member->name, "It must be a string that is not empty.");
			break;
		case MEMBER_BOOL:
			if (value->type != jbvBool)
				bad_value(member->name, "It must be true or false.");
			break;
		case MEMBER_SECONDS:
			if (value->type != jbvNumeric || numeric_is_nan(value->val.numeric) ||
				numeric_is_inf(value->val.numeric) ||
				DatumGetBool(DirectFunctionCall2(numeric_lt, NumericGetDatum(value->val.numeric),
												 NumericGetDatum(int64_to_numeric(0)))) ||
				DatumGetBool(
					DirectFunctionCall2(numeric_gt, NumericGetDatum(value->val.numeric),
										NumericGetDatum(int64_to_numeric(INT64CONST(315360000))))))
				bad_value(member->name, "It must be a number of seconds, 0 to 315360000.");
			break;
		case MEMBER_CHOICE:
			if (value->type != jbvString || !is_choice(member->choices, value_text(value)))
				bad_value(member->name, psprintf("It must be one of %s.", member->choices));
			break;
		case MEMBER_TEXTS:
		case MEMBER_RETURN_TARGETS:
			check_strings(member, value, false);
			break;
		case MEMBER_PARAMS:
			check_strings(member, value, true);
			break;
	}
}

static void
check_members(const Jsonb *object, const char *what, const Member *members, int n_members)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue element;
	const Member *member = NULL;

	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be a JSON object", what)));
	iterator = JsonbIteratorInit(unconstify(JsonbContainer *, &object->root));
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			char *name = value_text(&element);

			member = NULL;
			for (int i = 0; i < n_members; i++)
				if (strcmp(members[i].name, name) == 0)
					member = &members[i];
			if (member == NULL)
			{
				StringInfo known = makeStringInfo();

				for (int i = 0; i < n_members; i++)
					appendStringInfo(known, "%s%s", i > 0 ? ", " : "", members[i].name);
				ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
								errmsg("unknown name \"%s\" in %s", name, what),
								errhint("Known names are: %s.", known->data)));
			}
		}
		else if (token == WJB_VALUE && element.type != jbvNull)
			check_member(member, &element);
	}
}

void
provider_check_definition(const Jsonb *definition)
{
	check_members(definition, "provider definition", definition_members,
				  lengthof(definition_members));
	if (definition_text(definition, "authorization_endpoint") == NULL ||
		definition_text(definition, "token_endpoint") == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("provider definition lacks an endpoint"),
						errdetail("authorization_endpoint and token_endpoint are required.")));
}

void
provider_check_options(const Jsonb *options)
{
	if (options != NULL)
		check_members(options, "connector options", option_members, lengthof(option_members));
}

static bool
text_is(const char *text, const char *value)
{
	return text != NULL && strcmp(text, value) == 0;
}

void
provider_read_definition(const Jsonb *definition, OAuthClient *client)
{
	char *text;
	int count;

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
	text = definition_text(definition, "scope_parameter");
	client->scope_parameter = text != NULL ? text : "scope";
	text = definition_text(definition, "scope_separator");
	client->scope_separator = text != NULL ? text : " ";

	client->authorization_params =
		definition_params(definition, "authorization_params", &client->n_authorization_params);
	client->token_params = definition_params(definition, "token_params", &client->n_token_params);
	client->refresh_params =
		definition_params(definition, "refresh_params", &client->n_refresh_params);

	text = definition_text(definition, "id_token_signed_response_alg");
	client->id_token_algorithms = text != NULL
									  ? jwt_algorithm_by_name(text)
									  : JWT_RS256 | JWT_PS256 | JWT_ES256 | JWT_ES384 | JWT_EDDSA;
	client->default_expires_in = definition_int(definition, "default_expires_in", -1);
	client->zero_expires_in = text_is(definition_text(definition, "zero_expires_in"), "unknown")
								  ? ZERO_IS_UNKNOWN
								  : ZERO_IS_EXPIRED;
	client->token_path = definition_text(definition, "token_path");
	client->token_types = (const char *const *) definition_texts(definition, "token_types", &count);
	client->n_token_types = count;
	client->token_response_values =
		(const char *const *) definition_texts(definition, "token_response_values", &count);
	client->n_token_response_values = count;
	client->form_token_response =
		text_is(definition_text(definition, "token_response_format"), "form");
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
