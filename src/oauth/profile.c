/*
 * profile.c
 *	  Asking a provider whose account was connected, where no ID token says so: one call
 *	  of its API with the new access token.
 *
 * Pure functions over bytes and JSON.  Nothing of an answer's words leaves here but an id,
 * a name and the values of fields, each checked.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "lib/stringinfo.h"

#include "base/secret.h"
#include "base/text.h"
#include "oauth/profile.h"

const Member profile_members[PROFILE_MEMBERS] = {
	{"url", MEMBER_ENDPOINT_TEMPLATE, NULL},
	{"method", MEMBER_CHOICE, "GET|POST"},
	{"headers", MEMBER_HEADERS, NULL},
	{"body", MEMBER_PARAMS, NULL},
	{"body_format", MEMBER_CHOICE, "json|form"},
	{"scopes", MEMBER_SCOPES, NULL},
	{"id", MEMBER_POINTER, NULL},
	{"email", MEMBER_POINTER, NULL},
	{"name", MEMBER_POINTER, NULL},
};

static const DefinitionProblem *
invalid(const char *detail)
{
	return definition_problem_make(DEFINITION_INVALID_VALUE, "profile", detail);
}

static bool
text_is(const char *text, const char *value)
{
	return text != NULL && strcmp(text, value) == 0;
}

static bool
has_profile_field(const OAuthClient *client)
{
	for (int i = 0; i < client->n_config_fields; i++)
		if (client->config_fields[i].source == CONFIG_FROM_PROFILE)
			return true;
	return false;
}

const DefinitionProblem *
profile_problem(const JsonValue *definition, const OAuthClient *client)
{
	const JsonValue *object = definition_member(definition, "profile");
	const ProfileRequest *profile = &client->profile;

	if (object == NULL)
		return has_profile_field(client)
				   ? definition_problem_make(DEFINITION_INVALID_VALUE, "connection_config_fields",
											 "A field of source \"profile\" needs a profile.")
				   : NULL;
	if (profile->url == NULL)
		return invalid("There must be a \"url\".");
	if (profile->id == NULL && !has_profile_field(client))
		return invalid("There must be an \"id\", or a field of connection_config whose source it "
					   "is.");
	if (definition_member(object, "body") != NULL && !profile->by_post)
		return invalid("\"body\": A GET has none.");
	if (definition_member(object, "body_format") != NULL && profile->n_body == 0)
		return invalid("\"body_format\": There is no \"body\".");
	for (int i = 0; i < profile->n_headers; i++)
	{
		if (strstr(profile->headers[i].value, "{client_secret}") != NULL)
			return invalid("\"headers\": The client's secret is not sent to an API.");
		if (profile->token_header != NULL &&
			pg_strcasecmp(profile->headers[i].name, profile->token_header) == 0)
			return invalid("\"headers\": One of them is the token's.");
	}
	return NULL;
}

/* Those of the API, unless its own are there by the same name */
static const NameValue *
read_headers(const JsonValue *definition, const JsonValue *object, int *count)
{
	int n_api;
	int n_own;
	NameValue *api = definition_params(definition, "api_headers", &n_api);
	NameValue *own = definition_params(object, "headers", &n_own);
	NameValue *headers = palloc(sizeof(NameValue) * (size_t) (n_api + n_own + 1));

	*count = 0;
	for (int i = 0; i < n_own; i++)
		headers[(*count)++] = own[i];
	for (int i = 0; i < n_api; i++)
	{
		bool is_there = false;

		for (int j = 0; j < n_own; j++)
			is_there |= pg_strcasecmp(own[j].name, api[i].name) == 0;
		if (!is_there)
			headers[(*count)++] = api[i];
	}
	return headers;
}

ProfileRequest
profile_read(const JsonValue *definition)
{
	const JsonValue *object = definition_member(definition, "profile");
	const JsonValue *placed = definition_member(definition, "api_authorization");
	ProfileRequest profile = {0};

	if (object == NULL || object->type != JSON_TOKEN_OBJECT_START)
		return profile;
	profile.url = definition_text(object, "url");
	profile.by_post = text_is(definition_text(object, "method"), "POST");
	profile.form_body = text_is(definition_text(object, "body_format"), "form");
	profile.body = definition_params(object, "body", &profile.n_body);
	profile.headers = read_headers(definition, object, &profile.n_headers);
	profile.scopes = definition_texts(object, "scopes", &profile.n_scopes);
	profile.token_header = definition_text(placed, "header");
	profile.token_scheme = definition_text(placed, "scheme");
	profile.token_query = definition_text(placed, "query");
	profile.id = definition_text(object, "id");
	profile.email = definition_text(object, "email");
	profile.name = definition_text(object, "name");
	return profile;
}

/* Secret memory: a token is in it */
static char *
joined(const char *before, const char *between, const char *token)
{
	size_t size = strlen(before) + strlen(between) + strlen(token);
	char *text = secret_alloc(size);

	snprintf(text, size + 1, "%s%s%s", before, between, token);
	return text;
}

static void
put_body(const ProfileRequest *profile, OAuthRequest *request)
{
	initStringInfo(&request->body);
	if (profile->n_body == 0)
		return;
	request->content_type =
		profile->form_body ? "application/x-www-form-urlencoded" : "application/json";
	for (int i = 0; i < profile->n_body; i++)
		if (profile->form_body)
		{
			appendStringInfoString(&request->body, i > 0 ? "&" : "");
			append_form_encoded(&request->body, profile->body[i].name);
			appendStringInfoChar(&request->body, '=');
			append_form_encoded(&request->body, profile->body[i].value);
		}
		else
		{
			appendStringInfoString(&request->body, i > 0 ? "," : "{");
			append_json_string(&request->body, profile->body[i].name);
			appendStringInfoChar(&request->body, ':');
			append_json_string(&request->body, profile->body[i].value);
		}
	if (!profile->form_body)
		appendStringInfoChar(&request->body, '}');
}

void
build_profile_request(const OAuthClient *client, const char *access_token, OAuthRequest *request)
{
	const ProfileRequest *profile = &client->profile;
	NameValue *headers = palloc(sizeof(NameValue) * (size_t) (profile->n_headers + 1));

	memset(request, 0, sizeof(*request));
	request->url = profile->url;
	for (int i = 0; i < profile->n_headers; i++)
		headers[request->n_headers++] = profile->headers[i];
	if (profile->token_query != NULL)
	{
		StringInfoData encoded;
		char *name;

		initStringInfo(&encoded);
		append_form_encoded(&encoded, profile->token_query);
		name = psprintf("%s%c%s", profile->url, strchr(profile->url, '?') != NULL ? '&' : '?',
						encoded.data);
		encoded.data = secret_alloc(3 * strlen(access_token) + 1);
		encoded.maxlen = (int) (3 * strlen(access_token) + 1);
		encoded.len = 0;
		append_form_encoded(&encoded, access_token);
		request->url = request->secret_url = joined(name, "=", encoded.data);
	}
	else if (profile->token_header == NULL)
		request->authorization = joined("Bearer", " ", access_token);
	else
	{
		const char *scheme = profile->token_scheme != NULL ? profile->token_scheme : "";
		char *value = joined(scheme, scheme[0] != '\0' ? " " : "", access_token);

		if (pg_strcasecmp(profile->token_header, "Authorization") == 0)
			request->authorization = value;
		else
			headers[request->n_headers++] = (NameValue){profile->token_header, value};
	}
	request->headers = headers;
	if (profile->by_post)
		put_body(profile, request);
}

/* JSON by any of its types, or what some servers call a text, and nothing else */
static bool
may_be_json(const char *content_type)
{
	static const char *const types[] = {"text/plain", "text/javascript"};
	char type[128];
	size_t length;

	if (content_type == NULL)
		return true;
	content_type += strspn(content_type, " \t");
	length = strcspn(content_type, "; \t");
	if (length >= sizeof(type))
		return false;
	for (size_t i = 0; i < length; i++)
		type[i] = (char) pg_ascii_tolower((unsigned char) content_type[i]);
	type[length] = '\0';
	for (int i = 0; i < (int) lengthof(types); i++)
		if (strcmp(type, types[i]) == 0)
			return true;
	return strstr(type, "json") != NULL;
}

/* A string, or a whole number as it is written: text that can be kept; NULL: it is none. */
static const char *
plain_text(const JsonValue *value, size_t max)
{
	const char *text = value != NULL ? value->text : NULL;

	if (value == NULL || (value->type != JSON_TOKEN_STRING && value->type != JSON_TOKEN_NUMBER))
		return NULL;
	if (value->type == JSON_TOKEN_NUMBER &&
		strspn(text + (text[0] == '-'), "0123456789") != strlen(text + (text[0] == '-')))
		return NULL;
	return text[0] != '\0' && strlen(text) <= max && !text_has_controls(text) ? text : NULL;
}

static void
add_problem(StringInfo problems, const JsonValue *value, const char *pointer)
{
	appendStringInfo(problems, "%shas %s at %s", problems->len > 0 ? ", " : "",
					 value == NULL ? "nothing" : "no string or whole number that can be kept",
					 text_shown(pointer));
}

/* A person's name, or the e-mail address that tells them from others of that name */
static void
read_name(const ProfileRequest *profile, const JsonValue *root, ProfileAnswer *answer)
{
	const char *const pointers[] = {profile->email, profile->name};

	for (int i = 0; i < (int) lengthof(pointers) && answer->name[0] == '\0'; i++)
	{
		const char *text = pointers[i] != NULL
							   ? plain_text(json_at_pointer(root, pointers[i]), MAX_PROFILE_NAME)
							   : NULL;

		if (text != NULL)
			strlcpy(answer->name, text, sizeof(answer->name));
	}
}

void
read_profile_answer(const OAuthClient *client, int status, const char *content_type,
					const char *body, size_t len, ProfileAnswer *answer)
{
	const ProfileRequest *profile = &client->profile;
	const JsonValue *root = NULL;
	StringInfoData problems;

	memset(answer, 0, sizeof(*answer));
	if (status < 200 || status > 299)
		answer->problem = psprintf("answered with HTTP status %d", status);
	else if (!may_be_json(content_type))
		answer->problem = "answered with a content type that is not JSON's";
	else if (len > MAX_PROFILE_ANSWER)
		answer->problem = psprintf("answered with more than %d bytes", MAX_PROFILE_ANSWER);
	else if ((root = json_parse_answer(body, len)) == NULL)
		answer->problem = "answered with no JSON object or array, or a name twice in one";
	if (answer->problem != NULL)
		return;

	initStringInfo(&problems);
	if (profile->id != NULL)
	{
		const JsonValue *value = json_at_pointer(root, profile->id);
		const char *id = plain_text(value, MAX_PROFILE_ID);

		if (id != NULL)
			strlcpy(answer->id, id, sizeof(answer->id));
		else
			add_problem(&problems, value, profile->id);
	}
	read_name(profile, root, answer);
	answer->values = palloc(sizeof(NameValue) * (size_t) (client->n_config_fields + 1));
	for (int i = 0; i < client->n_config_fields; i++)
	{
		const ConfigField *field = &client->config_fields[i];
		const char *path = field->path != NULL ? field->path : psprintf("/%s", field->name);
		const JsonValue *value;
		const char *text;

		if (field->source != CONFIG_FROM_PROFILE)
			continue;
		value = json_at_pointer(root, path);
		text = plain_text(value, MAX_PROFILE_VALUE);
		if (text != NULL)
			answer->values[answer->n_values++] = (NameValue){field->name, text};
		else
			add_problem(&problems, value, path);
	}
	if (problems.len > 0)
		answer->problem = psprintf("answered with JSON that %s", problems.data);
}
