/*
 * definition.c
 *	  The members that a provider's definition and a connector's options may have, and
 *	  what they say of a client.
 *
 * Pure functions over JSON; must not do I/O, raise errors, or know jsonb or where
 * a definition is stored.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "crypto/jwt.h"
#include "oauth/definition.h"
#include "oauth/profile.h"
#include "oauth/request.h"
#include "oauth/sandbox.h"
#include "oauth/url_template.h"

/* The parameters of each request that a provider may call otherwise */
#define AUTHORIZATION_NAMES                                                                        \
	"response_type|client_id|redirect_uri|state|nonce|code_challenge|code_challenge_method"
#define EXCHANGE_NAMES "grant_type|code|redirect_uri|code_verifier|client_id|client_secret|scope"
#define LONG_TOKEN_NAMES "access_token|client_id|client_secret"
#define CALLBACK_NAMES "code|error"
#define REFRESH_NAMES "grant_type|refresh_token|client_id|client_secret|scope"

static const Member revocation_members[] = {
	{"method", MEMBER_CHOICE, "POST|DELETE"},
	{"auth", MEMBER_CHOICE, "client_secret_basic|client_secret_post|none|bearer"},
	{"body_format", MEMBER_CHOICE, "form|json"},
	{"token_parameter", MEMBER_NAME, NULL},
	{"tokens", MEMBER_CHOICE, "both|access_token|refresh_token"},
};

static const Member api_authorization_members[] = {
	{"header", MEMBER_HEADER_NAME, NULL},
	{"scheme", MEMBER_NAME, NULL},
	{"query", MEMBER_NAME, NULL},
};

static const Member definition_members[] = {
	/* RFC 8414, RFC 7591, RFC 9207 */
	{"issuer", MEMBER_NAME, NULL},
	{"authorization_endpoint", MEMBER_ENDPOINT_TEMPLATE, NULL},
	{"token_endpoint", MEMBER_ENDPOINT_TEMPLATE, NULL},
	{"revocation_endpoint", MEMBER_ENDPOINT_TEMPLATE, NULL},
	{"userinfo_endpoint", MEMBER_ENDPOINT, NULL},
	{"jwks_uri", MEMBER_ENDPOINT, NULL},
	{"token_endpoint_auth_method", MEMBER_CHOICE, "client_secret_basic|client_secret_post|none"},
	{"authorization_response_iss_parameter_supported", MEMBER_BOOL, NULL},
	{"id_token_signed_response_alg", MEMBER_CHOICE,
	 "RS256|RS384|RS512|PS256|PS384|PS512|ES256|ES384|ES512|EdDSA"},
	/* the extension's own */
	{"name", MEMBER_TEXT, NULL},
	{"refresh_endpoint", MEMBER_ENDPOINT_TEMPLATE, NULL},
	{"long_token_endpoint", MEMBER_ENDPOINT, NULL},
	{"long_token_params", MEMBER_PARAMS, NULL},
	{"long_token_param_names", MEMBER_PARAM_NAMES, LONG_TOKEN_NAMES},
	{"pkce", MEMBER_CHOICE, "S256|plain|off"},
	{"nonce", MEMBER_CHOICE, "required|optional"},
	{"iss_parameter", MEMBER_CHOICE, "checked|ignored"},
	{"scope_parameter", MEMBER_NAME, NULL},
	{"scope_separator", MEMBER_TEXT, NULL},
	{"response_scope_separator", MEMBER_TEXT, NULL},
	{"default_scopes", MEMBER_SCOPES, NULL},
	{"required_scopes", MEMBER_SCOPES, NULL},
	{"scope_requests", MEMBER_CHOICES, "authorization|exchange|refresh"},
	{"implied_scopes", MEMBER_SCOPE_ARRAYS, NULL},
	{"scope_aliases", MEMBER_SCOPE_NAMES, NULL},
	{"unreturned_scopes", MEMBER_SCOPES, NULL},
	{"callback_scope_parameter", MEMBER_NAME, NULL},
	{"response_type", MEMBER_RESPONSE_TYPE, NULL},
	{"authorization_fragment", MEMBER_FRAGMENT, NULL},
	{"authorization_params", MEMBER_PARAMS, NULL},
	{"consent_params", MEMBER_PARAMS, NULL},
	{"token_params", MEMBER_PARAMS, NULL},
	{"refresh_params", MEMBER_PARAMS, NULL},
	{"authorization_param_names", MEMBER_PARAM_NAMES, AUTHORIZATION_NAMES},
	{"token_param_names", MEMBER_PARAM_NAMES, EXCHANGE_NAMES},
	{"refresh_param_names", MEMBER_PARAM_NAMES, REFRESH_NAMES},
	{"basic_encoding", MEMBER_CHOICE, "form|raw"},
	{"token_method", MEMBER_CHOICE, "POST|GET"},
	{"refresh_method", MEMBER_CHOICE, "POST|GET"},
	{"refresh_style", MEMBER_CHOICE, "refresh_token|access_token"},
	{"token_headers", MEMBER_HEADERS, NULL},
	{"token_body_format", MEMBER_CHOICE, "form|json|query"},
	{"token_response_format", MEMBER_CHOICE, "json|form"},
	{"token_path", MEMBER_NAME, NULL},
	{"access_token_path", MEMBER_PATH, NULL},
	{"refresh_token_path", MEMBER_PATH, NULL},
	{"expires_in_path", MEMBER_PATH, NULL},
	{"refresh_token_expires_in_path", MEMBER_PATH, NULL},
	{"expires_at_path", MEMBER_PATH, NULL},
	{"expires_at_format", MEMBER_CHOICE, "rfc3339|epoch|epoch_ms"},
	{"scope_path", MEMBER_PATH, NULL},
	{"error_path", MEMBER_PATH, NULL},
	{"ok_values", MEMBER_TEXTS, NULL},
	{"error_outcomes", MEMBER_OUTCOMES,
	 "reconnect_required|connector_misconfigured|rate_limited|provider_unavailable|refused"},
	{"id_token", MEMBER_CHOICE, "required|optional"},
	{"callback_param_names", MEMBER_PARAM_NAMES, CALLBACK_NAMES},
	{"callback_errors", MEMBER_ERROR_CODES, NULL},
	{"callback_hmac", MEMBER_CHOICE, "shopify"},
	{"token_types", MEMBER_NAMES, NULL},
	{"connection_config_fields", MEMBER_CONFIG_FIELDS, NULL},
	{"sandbox", MEMBER_OBJECT, NULL},
	{"default_expires_in", MEMBER_SECONDS, NULL},
	{"zero_expires_in", MEMBER_CHOICE, "expired|unknown"},
	{"refresh_margin", MEMBER_SECONDS, NULL},
	{"refresh_token_lifetime", MEMBER_SECONDS, NULL},
	{"refresh_token_renewed_by", MEMBER_CHOICE, "rotation|use"},
	{"grant_lifetime", MEMBER_SECONDS, NULL},
	{"refresh_token_reuse", MEMBER_REUSE, NULL},
	{"refresh_ends_access_token", MEMBER_BOOL, NULL},
	{"revocation", MEMBER_OBJECT, NULL, revocation_members, lengthof(revocation_members)},
	{"revocation_ends_grant", MEMBER_BOOL, NULL},
	{"profile", MEMBER_OBJECT, NULL, profile_members, PROFILE_MEMBERS},
	/* of calls to the API; but for the profile nothing here makes one */
	{"api_base_url", MEMBER_ENDPOINT_TEMPLATE, NULL},
	{"api_headers", MEMBER_HEADERS, NULL},
	{"api_authorization", MEMBER_OBJECT, NULL, api_authorization_members,
	 lengthof(api_authorization_members)},
};

static const Member option_members[] = {
	{"return_to", MEMBER_RETURN_TARGETS, NULL},
	{"redirect_uri_names", MEMBER_URI_NAMES, NULL},
	{"pkce", MEMBER_CHOICE, "S256|off"},
	{"authorization_params", MEMBER_PARAMS, NULL},
	{"resource", MEMBER_ENDPOINT, NULL},
	{"sandbox", MEMBER_BOOL, NULL},
	{"other_account", MEMBER_CHOICE, "accept|refuse"},
	{"connection_config_fields", MEMBER_CONFIG_FIELDS, NULL},
};

static const DefinitionProblem *
invalid(const char *name, const char *detail)
{
	return definition_problem_make(DEFINITION_INVALID_VALUE, name, detail);
}

/* What would not be sent is not taken either. */
static const DefinitionProblem *
params_problem(const JsonValue *object, const char *member, const OAuthClient *client,
			   bool (*is_ours)(const OAuthClient *client, const char *name))
{
	int count;
	NameValue *params = definition_params(object, member, &count);

	for (int i = 0; i < count; i++)
	{
		if (is_ours(client, params[i].name))
			return invalid(member,
						   psprintf("The parameter \"%s\" is not one that can be added to this "
									"request.",
									params[i].name));
		/* that of an exchange is free where the browser's request has them */
		if (client != NULL && is_ours != is_token_param &&
			strcmp(params[i].name, client->scope_parameter) == 0)
			return invalid(member,
						   "Scopes are asked for by the connector's own; scope_requests says "
						   "in which requests.");
	}
	return NULL;
}

const char *
definition_url(const JsonValue *definition, const char *name)
{
	const JsonValue *value = definition_member(definition, name);

	return value != NULL && value->type == JSON_TOKEN_OBJECT_START ? definition_text(value, "url")
																   : json_string(value);
}

/* What stands in a URL is declared, with what it may be, and known when the URL is used. */
static const DefinitionProblem *
url_fields_problem(const JsonValue *definition)
{
	static const struct
	{
		const char *name;
		ConfigSource last; /* of those that are known by then */
	} urls[] = {
		{"authorization_endpoint", CONFIG_FROM_USER}, {"token_endpoint", CONFIG_FROM_CALLBACK},
		{"profile", CONFIG_FROM_TOKEN_RESPONSE},      {"refresh_endpoint", CONFIG_FROM_PROFILE},
		{"revocation_endpoint", CONFIG_FROM_PROFILE}, {"api_base_url", CONFIG_FROM_PROFILE}};
	OAuthClient client = {0};

	definition_read_fields(definition, NULL, &client);
	for (int i = 0; i < (int) lengthof(urls); i++)
	{
		const char *url = definition_url(definition, urls[i].name);
		int n_names = 0;
		const char **names = url != NULL ? url_template_fields(url, &n_names) : NULL;

		for (int j = 0; j < n_names; j++)
		{
			const ConfigField *field = NULL;

			for (int k = 0; k < client.n_config_fields; k++)
				if (strcmp(client.config_fields[k].name, names[j]) == 0)
					field = &client.config_fields[k];
			if (field == NULL && strcmp(names[j], "client_id") == 0)
				continue;
			if (field == NULL || (field->pattern == NULL && field->choices == NULL))
				return invalid(
					urls[i].name,
					psprintf("connection_config_fields must declare \"%s\", with a pattern or an "
							 "enum.",
							 names[j]));
			if (field->source > urls[i].last)
				return invalid(
					urls[i].name,
					psprintf("Field \"%s\" is not known yet when this URL is used.", names[j]));
		}
	}
	return NULL;
}

/* Two of one request must not come to have one name. */
static const DefinitionProblem *
names_problem(const char *member, const char *standard, const NameValue *names, int n_names,
			  const char *other)
{
	const char *called[16];
	int count = 0;

	if (other != NULL)
		called[count++] = other;
	for (const char *at = standard; at != NULL; at = strchr(at, '|'))
	{
		const char *name;

		at += *at == '|';
		name = pnstrdup(at, strcspn(at, "|"));
		for (int i = 0; i < n_names; i++)
			if (strcmp(names[i].name, name) == 0)
			{
				name = names[i].value;
				break;
			}
		for (int i = 0; name != NULL && i < count; i++)
			if (strcmp(called[i], name) == 0)
				return invalid(member, psprintf("Two parameters would be called \"%s\".", name));
		if (name != NULL)
			called[count++] = name;
	}
	return NULL;
}

/* Of the parameters that say who the client is */
static bool
is_client_param(const OAuthClient *client, const char *name)
{
	if (strcmp(name, "client_id") == 0 || strcmp(name, "client_secret") == 0)
		return true;
	for (int i = 0; i < client->n_token_param_names; i++)
		if (client->token_param_names[i].value != NULL &&
			strcmp(client->token_param_names[i].value, name) == 0)
			return true;
	return false;
}

static const DefinitionProblem *
revocation_problem(const JsonValue *definition, const OAuthClient *client)
{
	const JsonValue *object = definition_member(definition, "revocation");
	const RevocationStyle *how = &client->revocation;

	if (object == NULL)
		return NULL;
	if (client->revocation_endpoint == NULL)
		return invalid("revocation", "There must be a revocation_endpoint.");
	if (how->auth == REVOCATION_BEARER &&
		(how->tokens != REVOKED_ACCESS_TOKEN || definition_member(object, "body_format") != NULL ||
		 definition_member(object, "token_parameter") != NULL))
		return invalid("revocation",
					   "With auth \"bearer\" the access token is sent, and in no body.");
	if (is_client_param(client, how->token_parameter))
		return invalid("revocation", "\"token_parameter\": This parameter has another meaning.");
	if ((how->auth == REVOCATION_BASIC || how->auth == REVOCATION_POST) &&
		client->auth_method == CLIENT_AUTH_NONE && !client_has_secret_header(client))
		return invalid("revocation", "\"auth\": With token_endpoint_auth_method \"none\" the "
									 "client has no secret.");
	return NULL;
}

/* The token goes to one place; the client's secret is none of an API's business. */
static const DefinitionProblem *
api_problem(const JsonValue *definition)
{
	const JsonValue *placed = definition_member(definition, "api_authorization");
	int count;
	NameValue *headers = definition_params(definition, "api_headers", &count);

	if (placed != NULL && ((definition_member(placed, "header") == NULL) ==
							   (definition_member(placed, "query") == NULL) ||
						   (definition_member(placed, "scheme") != NULL &&
							definition_member(placed, "header") == NULL)))
		return invalid("api_authorization",
					   "It must be a header, with its scheme if there is one, or a \"query\".");
	for (int i = 0; i < count; i++)
		if (strstr(headers[i].value, "{client_secret}") != NULL)
			return invalid("api_headers", "The client's secret is not sent to an API.");
	return NULL;
}

/* A life that nothing has, or that is over at once, would have people connect again and again. */
static const DefinitionProblem *
lifetime_problem(const JsonValue *definition, const OAuthClient *client)
{
	static const char *const lives[] = {"refresh_token_lifetime", "grant_lifetime"};

	for (int i = 0; i < (int) lengthof(lives); i++)
		if (definition_seconds(definition, lives[i], -1) == 0)
			return invalid(lives[i], "It must be longer than 0 seconds.");
	if (definition_member(definition, "refresh_token_renewed_by") != NULL &&
		client->refresh_token_lifetime == 0)
		return invalid("refresh_token_renewed_by", "There must be a refresh_token_lifetime.");
	if (client->refresh_by_access_token &&
		(client->refresh_token_lifetime > 0 || client->refresh_token_expires_in_path != NULL))
		return invalid(client->refresh_token_lifetime > 0 ? "refresh_token_lifetime"
														  : "refresh_token_expires_in_path",
					   "With refresh_style \"access_token\" there are no refresh tokens.");
	return NULL;
}

/* What members say together */
static const DefinitionProblem *
consistency_problem(const JsonValue *definition)
{
	OAuthClient client = {0};
	const DefinitionProblem *found;

	definition_read(definition, &client);
	if (client.token_by_get && client.token_body_format == TOKEN_BODY_JSON)
		return invalid("token_method", "A GET has no body: token_body_format must be query.");
	if ((client.expires_at_path != NULL) !=
		(definition_text(definition, "expires_at_format") != NULL))
		return invalid(client.expires_at_path != NULL ? "expires_at_path" : "expires_at_format",
					   "expires_at_path and expires_at_format belong together.");
	/* an ID token is of the access token that it came with */
	if (client.long_token_endpoint != NULL && client.jwks_uri != NULL)
		return invalid("long_token_endpoint", "It cannot be had together with jwks_uri.");
	if (client.error_path == NULL && client.n_ok_values > 0)
		return invalid("ok_values", "They are those of error_path, which there is none of.");
	if (client.access_token_path != NULL && client.refresh_token_path != NULL &&
		strcmp(client.access_token_path, client.refresh_token_path) == 0)
		return invalid("refresh_token_path", "It must be another than access_token_path.");
	if (client.callback_hmac && client.auth_method == CLIENT_AUTH_NONE)
		return invalid("callback_hmac", "With token_endpoint_auth_method \"none\" the client has "
										"no secret to check it by.");
	if (client.callback_hmac && client.n_callback_param_names > 0)
		return invalid("callback_hmac", "It is of parameters by their own names: there must be no "
										"callback_param_names.");
	for (int i = 0; i < client.n_authorization_param_names; i++)
		if (strcmp(client.authorization_param_names[i].name, "nonce") == 0 &&
			client.authorization_param_names[i].value == NULL && !client.nonce_optional)
			return invalid("authorization_param_names",
						   "If no nonce is sent none can come back: nonce must be optional.");
	found = names_problem("authorization_param_names", AUTHORIZATION_NAMES,
						  client.authorization_param_names, client.n_authorization_param_names,
						  client.n_authorization_param_names > 0 ? client.scope_parameter : NULL);
	if (found == NULL && is_authorization_param(&client, client.scope_parameter))
		found = invalid("scope_parameter", "It must be the name of a parameter, and not one that "
										   "has a meaning of its own.");
	if (found == NULL)
		found = names_problem("token_param_names", EXCHANGE_NAMES, client.token_param_names,
							  client.n_token_param_names, NULL);
	if (found == NULL)
		found = names_problem("refresh_param_names", REFRESH_NAMES, client.refresh_param_names,
							  client.n_refresh_param_names, NULL);
	if (found == NULL)
		found = revocation_problem(definition, &client);
	if (found == NULL)
		found = api_problem(definition);
	if (found == NULL)
		found = lifetime_problem(definition, &client);
	if (found == NULL)
		found = profile_problem(definition, &client);
	if (found == NULL)
		found = params_problem(definition, "authorization_params", &client, is_authorization_param);
	if (found == NULL)
		found = params_problem(definition, "consent_params", &client, is_authorization_param);
	if (found == NULL)
		found = params_problem(definition, "token_params", &client, is_token_param);
	if (found == NULL)
		found = params_problem(definition, "refresh_params", &client, is_refresh_param);
	if (found == NULL)
		found = names_problem("long_token_param_names", LONG_TOKEN_NAMES,
							  client.long_token_param_names, client.n_long_token_param_names, NULL);
	if (found == NULL)
		found = params_problem(definition, "long_token_params", &client, is_long_token_param);
	return found;
}

/* A field may come from a profile that the sandbox has none of: it is then not known there. */
static const DefinitionProblem *
sandbox_consistency_problem(const JsonValue *definition)
{
	OAuthClient client = {0};
	const DefinitionProblem *found = url_fields_problem(definition);

	definition_read(definition, &client);
	if (found == NULL && client.profile.url != NULL)
		found = profile_problem(definition, &client);
	return found != NULL ? invalid("sandbox", found->detail) : NULL;
}

const DefinitionProblem *
definition_problem(const JsonValue *definition)
{
	const DefinitionProblem *found =
		members_problem(definition, definition_members, lengthof(definition_members));

	if (found == NULL && (definition_text(definition, "authorization_endpoint") == NULL ||
						  definition_text(definition, "token_endpoint") == NULL))
		found = definition_problem_make(DEFINITION_LACKS_ENDPOINT, NULL,
										"authorization_endpoint and token_endpoint are required.");
	if (found == NULL)
		found = consistency_problem(definition);
	if (found == NULL)
		found = url_fields_problem(definition);
	if (found == NULL)
		found = sandbox_problem(definition);
	if (found == NULL && sandbox_definition(definition) != NULL)
		found = sandbox_consistency_problem(sandbox_definition(definition));
	return found;
}

const DefinitionProblem *
options_problem(const JsonValue *options)
{
	const DefinitionProblem *found =
		members_problem(options, option_members, lengthof(option_members));

	return found != NULL
			   ? found
			   : params_problem(options, "authorization_params", NULL, is_authorization_param);
}

/* Of implied_scopes and scope_aliases: a name implies what it is another name for */
static NameValue *
scope_pairs(const JsonValue *definition, int *count)
{
	const JsonValue *implied = definition_member(definition, "implied_scopes");
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
text_is(const char *text, const char *value)
{
	return text != NULL && strcmp(text, value) == 0;
}

/* Which tokens, unless it says so, is plain from how they are sent. */
static void
read_revocation(const JsonValue *definition, OAuthClient *client)
{
	const JsonValue *object = definition_member(definition, "revocation");
	RevocationStyle *how = &client->revocation;
	const char *text;

	*how = (RevocationStyle){.body_format = client->token_body_format, .token_parameter = "token"};
	if (object == NULL || object->type != JSON_TOKEN_OBJECT_START)
		return;
	how->is_own = true;
	how->by_delete = text_is(definition_text(object, "method"), "DELETE");
	text = definition_text(object, "auth");
	how->auth = text_is(text, "client_secret_basic")  ? REVOCATION_BASIC
				: text_is(text, "client_secret_post") ? REVOCATION_POST
				: text_is(text, "none")               ? REVOCATION_BY_NOTHING
				: text_is(text, "bearer")             ? REVOCATION_BEARER
													  : REVOCATION_AS_TOKEN_ENDPOINT;
	text = definition_text(object, "body_format");
	if (text != NULL)
		how->body_format = text_is(text, "json") ? TOKEN_BODY_JSON : TOKEN_BODY_FORM;
	text = definition_text(object, "token_parameter");
	if (text != NULL)
		how->token_parameter = text;
	text = definition_text(object, "tokens");
	if (text == NULL)
		text = how->auth == REVOCATION_BEARER ? "access_token" : how->token_parameter;
	how->tokens = text_is(text, "access_token")    ? REVOKED_ACCESS_TOKEN
				  : text_is(text, "refresh_token") ? REVOKED_REFRESH_TOKEN
												   : REVOKED_BOTH;
}

PkceMethod
definition_pkce(const char *text)
{
	return text_is(text, "off") ? PKCE_OFF : text_is(text, "plain") ? PKCE_PLAIN : PKCE_S256;
}

/* Adds those of one object that are declared as they must be, or replaces those there. */
static void
add_fields(const JsonValue *object, ConfigField *fields, int *count)
{
	const JsonValue *declared = definition_member(object, "connection_config_fields");

	if (declared == NULL || config_fields_problem(declared) != NULL)
		return;
	for (const JsonValue *field = declared->first; field != NULL; field = field->next)
	{
		int at = 0;

		while (at < *count && strcmp(fields[at].name, field->name) != 0)
			at++;
		fields[at] = config_field_read(field);
		*count += at == *count;
	}
}

/* Of a JSON pointer, as a token answer's members are named: there are no arrays on its way */
static const char *
dotted_path(const char *pointer)
{
	char *path = palloc(strlen(pointer) + 1);
	size_t length = 0;

	for (const char *c = pointer + 1; *c != '\0'; c++)
		if (*c == '/')
			path[length++] = '.';
		else if (*c == '~')
			path[length++] = *++c == '0' ? '~' : '/';
		else
			path[length++] = *c;
	path[length] = '\0';
	return path;
}

void
definition_read_fields(const JsonValue *definition, const JsonValue *options, OAuthClient *client)
{
	ConfigField *fields = palloc(sizeof(ConfigField) * 2 * MAX_CONFIG_FIELDS);
	NameValue *values = palloc(sizeof(NameValue) * 2 * MAX_CONFIG_FIELDS);

	client->n_config_fields = client->n_token_response_values = 0;
	add_fields(definition, fields, &client->n_config_fields);
	add_fields(options, fields, &client->n_config_fields);
	client->config_fields = fields;
	for (int i = 0; i < client->n_config_fields; i++)
		if (fields[i].source == CONFIG_FROM_TOKEN_RESPONSE)
			values[client->n_token_response_values++] =
				(NameValue){fields[i].name,
							fields[i].path != NULL ? dotted_path(fields[i].path) : fields[i].name};
	client->token_response_values = values;
}

void
definition_read(const JsonValue *definition, OAuthClient *client)
{
	const char *text;

	client->issuer = definition_text(definition, "issuer");
	client->authorization_endpoint = definition_text(definition, "authorization_endpoint");
	client->token_endpoint = definition_text(definition, "token_endpoint");
	client->refresh_endpoint = definition_text(definition, "refresh_endpoint");
	client->long_token_endpoint = definition_text(definition, "long_token_endpoint");
	client->long_token_params =
		definition_params(definition, "long_token_params", &client->n_long_token_params);
	client->long_token_param_names =
		definition_names(definition, "long_token_param_names", &client->n_long_token_param_names);
	client->revocation_endpoint = definition_text(definition, "revocation_endpoint");
	client->jwks_uri = definition_text(definition, "jwks_uri");

	text = definition_text(definition, "token_endpoint_auth_method");
	client->auth_method = text_is(text, "client_secret_post") ? CLIENT_SECRET_POST
						  : text_is(text, "none")             ? CLIENT_AUTH_NONE
															  : CLIENT_SECRET_BASIC;
	client->basic_raw = text_is(definition_text(definition, "basic_encoding"), "raw");
	text = definition_text(definition, "token_body_format");
	client->token_body_format = text_is(text, "json")    ? TOKEN_BODY_JSON
								: text_is(text, "query") ? TOKEN_BODY_QUERY
														 : TOKEN_BODY_FORM;
	client->token_by_get = text_is(definition_text(definition, "token_method"), "GET");
	text = definition_text(definition, "refresh_method");
	client->refresh_by_get = text != NULL ? text_is(text, "GET") : client->token_by_get;
	client->refresh_by_access_token =
		text_is(definition_text(definition, "refresh_style"), "access_token");
	client->token_headers =
		definition_params(definition, "token_headers", &client->n_token_headers);
	client->response_type = definition_text(definition, "response_type");
	client->authorization_fragment = definition_text(definition, "authorization_fragment");
	client->pkce = definition_pkce(definition_text(definition, "pkce"));
	client->iss_required =
		definition_bool(definition, "authorization_response_iss_parameter_supported", false);
	client->iss_ignored = text_is(definition_text(definition, "iss_parameter"), "ignored");
	client->nonce_optional = text_is(definition_text(definition, "nonce"), "optional");
	text = definition_text(definition, "scope_parameter");
	client->scope_parameter = text != NULL ? text : "scope";
	text = definition_text(definition, "scope_separator");
	client->scope_separator = text != NULL ? text : " ";
	client->response_scope_separator = definition_text(definition, "response_scope_separator");
	client->scope_in_authorization =
		definition_lists(definition, "scope_requests", "authorization", true);
	client->scope_in_exchange = definition_lists(definition, "scope_requests", "exchange", false);
	client->scope_in_refresh = definition_lists(definition, "scope_requests", "refresh", false);

	client->implied_scopes = scope_pairs(definition, &client->n_implied_scopes);
	client->unreturned_scopes =
		definition_texts(definition, "unreturned_scopes", &client->n_unreturned_scopes);
	client->callback_scope_parameter = definition_text(definition, "callback_scope_parameter");

	client->authorization_param_names = definition_names(definition, "authorization_param_names",
														 &client->n_authorization_param_names);
	client->token_param_names =
		definition_names(definition, "token_param_names", &client->n_token_param_names);
	client->refresh_param_names =
		definition_names(definition, "refresh_param_names", &client->n_refresh_param_names);
	client->authorization_params =
		definition_params(definition, "authorization_params", &client->n_authorization_params);
	client->consent_params =
		definition_params(definition, "consent_params", &client->n_consent_params);
	client->token_params = definition_params(definition, "token_params", &client->n_token_params);
	client->refresh_params =
		definition_params(definition, "refresh_params", &client->n_refresh_params);

	read_revocation(definition, client);
	client->profile = profile_read(definition);
	text = definition_text(definition, "id_token_signed_response_alg");
	client->id_token_algorithms = text != NULL
									  ? jwt_algorithm_by_name(text)
									  : JWT_RS256 | JWT_PS256 | JWT_ES256 | JWT_ES384 | JWT_EDDSA;
	client->default_expires_in = definition_seconds(definition, "default_expires_in", -1);
	client->zero_expires_in = text_is(definition_text(definition, "zero_expires_in"), "unknown")
								  ? ZERO_IS_UNKNOWN
								  : ZERO_IS_EXPIRED;
	client->refresh_token_lifetime = definition_seconds(definition, "refresh_token_lifetime", 0);
	client->refresh_token_renewed_by_use =
		text_is(definition_text(definition, "refresh_token_renewed_by"), "use");
	client->grant_lifetime = definition_seconds(definition, "grant_lifetime", 0);
	client->token_path = definition_text(definition, "token_path");
	client->access_token_path = definition_text(definition, "access_token_path");
	client->refresh_token_path = definition_text(definition, "refresh_token_path");
	client->expires_in_path = definition_text(definition, "expires_in_path");
	client->refresh_token_expires_in_path =
		definition_text(definition, "refresh_token_expires_in_path");
	client->expires_at_path = definition_text(definition, "expires_at_path");
	text = definition_text(definition, "expires_at_format");
	client->expires_at_format = text_is(text, "epoch")      ? DATE_EPOCH
								: text_is(text, "epoch_ms") ? DATE_EPOCH_MS
															: DATE_RFC3339;
	client->scope_path = definition_text(definition, "scope_path");
	client->error_path = definition_text(definition, "error_path");
	client->ok_values = definition_texts(definition, "ok_values", &client->n_ok_values);
	client->error_outcomes =
		definition_params(definition, "error_outcomes", &client->n_error_outcomes);
	client->id_token_optional = text_is(definition_text(definition, "id_token"), "optional");
	client->callback_param_names =
		definition_params(definition, "callback_param_names", &client->n_callback_param_names);
	client->callback_errors =
		definition_params(definition, "callback_errors", &client->n_callback_errors);
	client->callback_hmac = text_is(definition_text(definition, "callback_hmac"), "shopify");
	client->token_types = definition_texts(definition, "token_types", &client->n_token_types);
	definition_read_fields(definition, NULL, client);
	client->form_token_response =
		text_is(definition_text(definition, "token_response_format"), "form");
}
