/* sources: src/oauth/definition.c src/oauth/definition_member.c src/oauth/url_template.c src/oauth/sandbox.c src/oauth/profile.c src/oauth/definition_value.c src/base/json_tree.c src/base/url.c src/crypto/jwt.c src/crypto/jwk.c src/crypto/jwa.c src/oauth/request.c src/base/secret.c src/base/base64.c src/oauth/scope.c src/base/text.c */

/*
 * definition_fuzz.c
 *	  Any JSON as a provider's metadata and definition, and as a connector's options:
 *	  one that is taken makes requests that go where it says and nowhere else.
 */
#include "check.h"
#include "palloc_arena.h"

#include "oauth/definition.h"
#include "oauth/profile.h"
#include "base/settings.h"
#include "base/text.h"
#include "crypto/jwt.h"
#include "oauth/request.h"
#include "oauth/url_template.h"
#include "base/url.h"

bool guc_allow_insecure_loopback = false;

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static void check_problem(const DefinitionProblem *problem);
static void check_endpoint(const char *url);
static int occurrences(const char *text, const char *part);
static const char *called(const NameValue *names, int n_names, const char *name);
static int params_named(const OAuthClient *client, const OAuthRequest *request, const char *name);
static bool is_plain(const char *name);
static void check_body(const OAuthClient *client, const OAuthRequest *request, const char *endpoint,
					   const NameValue *names, int n_names, const char *grant);
static void check_requests(OAuthClient *client);
static void check_options(const JsonValue *options);

static void
check_problem(const DefinitionProblem *problem)
{
	switch (problem->fault)
	{
		case DEFINITION_NOT_AN_OBJECT:
			break;
		case DEFINITION_UNKNOWN_NAME:
		case DEFINITION_INVALID_VALUE:
			CHECK(problem->name != NULL && problem->detail != NULL && problem->detail[0] != '\0');
			break;
		case DEFINITION_LACKS_ENDPOINT:
			CHECK(problem->detail != NULL);
			break;
	}
}

static void
check_endpoint(const char *url)
{
	if (url != NULL)
		CHECK(url_endpoint_problem(url) == NULL &&
			  strncmp(url_origin(url), "https://", strlen("https://")) == 0);
}

/* What somebody might give a field, and whether it has been taken */
static const char *
hostile_value(void *context, const char *name)
{
	return context;
}

/*
 * A template with whatever in its fields is a URL of its own host, or none.  It is left as
 * one that can be called: *endpoint.
 */
static void
check_template(const char **endpoint)
{
	static const char *const values[] = {"x",
										 "evil.example/",
										 "evil.example#",
										 "evil.example?",
										 "me@evil.example",
										 "evil.example:1",
										 "..",
										 "a/../b",
										 "a%2fb",
										 "a\\b",
										 "a b",
										 "{x}",
										 "https://evil.example/",
										 "https://evil.example/@"};
	const char *template = *endpoint;
	const char *authority = template != NULL ? strstr(template, "://") : NULL;
	const char *suffix;
	size_t length;

	if (template == NULL || !url_is_template(template))
		return;
	CHECK(url_template_problem(template) == NULL);
	if (template[0] == '{')
		*endpoint = NULL;
	for (int i = 0; i < (int) lengthof(values); i++)
	{
		const char *lacking;
		char *url =
			url_template_expand(template, hostile_value, unconstify(char *, values[i]), &lacking);

		CHECK(url != NULL || lacking != NULL || strlen(template) > URL_MAX_BYTES / 2);
		if (url == NULL)
			continue;
		CHECK(url_endpoint_problem(url) == NULL);
		if (template[0] == '{' || i == 0)
			*endpoint = url;
		if (template[0] == '{')
			continue;
		/* what follows the last field of the host's name still does */
		suffix = pnstrdup(authority + 3, strcspn(authority + 3, "/?#"));
		if (strrchr(suffix, '}') != NULL)
			suffix = strrchr(suffix, '}') + 1;
		length = strcspn(strstr(url, "://") + 3, "/?#");
		CHECK(length >= strlen(suffix) && strncmp(strstr(url, "://") + 3 + length - strlen(suffix),
												  suffix, strlen(suffix)) == 0);
	}
}

static int
occurrences(const char *text, const char *part)
{
	int count = 0;

	while ((text = strstr(text, part)) != NULL)
	{
		count++;
		text += strlen(part);
	}
	return count;
}

/* What the provider calls a parameter; NULL: it is not sent */
static const char *
called(const NameValue *names, int n_names, const char *name)
{
	for (int i = 0; i < n_names; i++)
		if (strcmp(names[i].name, name) == 0)
			return names[i].value;
	return name;
}

/* How many parameters of this name a request has; nothing that is quoted looks like one. */
static int
params_named(const OAuthClient *client, const OAuthRequest *request, const char *name)
{
	StringInfoData encoded;

	if (name == NULL)
		return 0;
	if (request->body.data != NULL && client->token_body_format == TOKEN_BODY_JSON)
		return occurrences(psprintf(",%s", request->body.data + 1), psprintf(",\"%s\":", name));
	initStringInfo(&encoded);
	append_form_encoded(&encoded, name);
	if (request->secret_url == NULL)
		return occurrences(psprintf("&%s", request->body.data), psprintf("&%s=", encoded.data));
	return occurrences(psprintf("&%s", strchr(request->url, '?') + 1),
					   psprintf("&%s=", encoded.data));
}

static bool
is_plain(const char *name)
{
	return name == NULL ||
		   strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
			   strlen(name);
}

static void
check_body(const OAuthClient *client, const OAuthRequest *request, const char *endpoint,
		   const NameValue *names, int n_names, const char *grant)
{
	static const char *const once[] = {"grant_type", "code", "refresh_token", "redirect_uri",
									   "code_verifier"};
	const char *secret = called(names, n_names, "client_secret");
	bool by_get =
		strcmp(grant, "refresh_token") == 0 ? client->refresh_by_get : client->token_by_get;

	CHECK(strncmp(request->url, endpoint, strlen(endpoint)) == 0);
	if (strlen(request->url) <= URL_MAX_BYTES)
		CHECK(strcmp(url_origin(request->url), url_origin(endpoint)) == 0);
	CHECK((request->secret_url != NULL) ==
		  (by_get || client->token_body_format == TOKEN_BODY_QUERY));
	CHECK(request->secret_url != NULL || strcmp(request->url, endpoint) == 0);
	CHECK(strpbrk(request->url, "# \r\n\"<>") == NULL);
	CHECK((request->body.data == NULL) == by_get);
	/* the endpoint's own query may have any names */
	if (strchr(endpoint, '?') == NULL && is_plain(called(names, n_names, grant)))
		CHECK(params_named(client, request, called(names, n_names, grant)) == 1);
	for (int i = 0; i < (int) lengthof(once) && strchr(endpoint, '?') == NULL; i++)
		if (is_plain(called(names, n_names, once[i])))
			CHECK(params_named(client, request, called(names, n_names, once[i])) <= 1);
	if (secret != NULL && is_plain(secret) && strchr(endpoint, '?') == NULL)
		CHECK(params_named(client, request, secret) ==
			  (client->auth_method == CLIENT_SECRET_POST ? 1 : 0));
	CHECK((request->authorization != NULL) == (client->auth_method == CLIENT_SECRET_BASIC));
	if (request->authorization != NULL)
		CHECK(strpbrk(request->authorization, "\r\n") == NULL);
	for (int i = 0; i < request->n_headers; i++)
		CHECK(strpbrk(request->headers[i].name, ": \r\n") == NULL &&
			  strpbrk(request->headers[i].value, "\r\n") == NULL &&
			  pg_strcasecmp(request->headers[i].name, "host") != 0 &&
			  pg_strcasecmp(request->headers[i].name, "authorization") != 0);
}

/* Either the token or the client is in the header, never both, and the token is sent once. */
static void
check_revocation(const OAuthClient *client)
{
	OAuthRequest request = {0};
	const char *body;

	build_revocation_request(client, "t0ken", "access_token", &request);
	body = request.body.data;
	CHECK(strcmp(request.url, client->revocation_endpoint) == 0 && request.secret_url == NULL);
	CHECK(body != NULL);
	if (client->revocation.auth == REVOCATION_BEARER)
		CHECK(strcmp(request.authorization, "Bearer t0ken") == 0 && body[0] == '\0');
	else
		CHECK(occurrences(body, "t0ken") ==
			  1 + occurrences(client->revocation.token_parameter, "t0ken"));
	if (client->revocation.auth == REVOCATION_BY_NOTHING)
		CHECK(request.authorization == NULL);
	oauth_request_free(&request);
}

/*
 * The token is sent once, to the profile's URL; and of an answer, here any JSON again, nothing
 * is taken that could not be kept.
 */
static void
check_profile(const OAuthClient *client)
{
	OAuthRequest request;
	int count = 0;

	build_profile_request(client, "t0ken", &request);
	CHECK(strncmp(request.url, client->profile.url, strlen(client->profile.url)) == 0);
	if (strlen(request.url) <= URL_MAX_BYTES)
		CHECK(strcmp(url_origin(request.url), url_origin(client->profile.url)) == 0);
	CHECK(strpbrk(request.url, "# \r\n\"<>") == NULL);
	CHECK((request.secret_url != NULL) == (client->profile.token_query != NULL));
	count += request.secret_url != NULL;
	if (request.authorization != NULL)
	{
		CHECK(strpbrk(request.authorization, "\r\n") == NULL);
		count++;
	}
	for (int i = 0; i < request.n_headers; i++)
	{
		CHECK(strpbrk(request.headers[i].name, ": \r\n") == NULL &&
			  strpbrk(request.headers[i].value, "\r\n") == NULL &&
			  pg_strcasecmp(request.headers[i].name, "host") != 0 &&
			  pg_strncasecmp(request.headers[i].name, "content-", 8) != 0);
		for (int j = 0; j < i; j++)
			CHECK(pg_strcasecmp(request.headers[i].name, request.headers[j].name) != 0);
	}
	if (client->profile.token_header != NULL && request.authorization == NULL)
	{
		CHECK(pg_strcasecmp(request.headers[request.n_headers - 1].name,
							client->profile.token_header) == 0);
		count++;
	}
	CHECK(count == 1);
	CHECK((request.body.data != NULL) == client->profile.by_post);
	CHECK(request.content_type == NULL || request.body.len > 0);
	oauth_request_free(&request);
}

static void
check_profile_answer(const OAuthClient *client, const char *body, size_t len)
{
	ProfileAnswer answer;

	read_profile_answer(client, 200, "application/json", body, len, &answer);
	CHECK(strlen(answer.id) <= MAX_PROFILE_ID && !text_has_controls(answer.id));
	CHECK(strlen(answer.name) <= MAX_PROFILE_NAME && !text_has_controls(answer.name));
	CHECK(client->profile.id != NULL || answer.id[0] == '\0');
	CHECK(client->profile.id == NULL || answer.id[0] != '\0' || answer.problem != NULL);
	for (int i = 0; i < answer.n_values; i++)
		CHECK(answer.values[i].value[0] != '\0' &&
			  strlen(answer.values[i].value) <= MAX_PROFILE_VALUE &&
			  !text_has_controls(answer.values[i].value));
}

/* What such a client sends: to its endpoints, and what is ours only once. */
static void
check_requests(OAuthClient *client)
{
	AuthorizationParams params = {.state = "state",
								  .redirect_uri = "https://app.example/callback",
								  .code_verifier = "verifier",
								  .nonce = "nonce"};
	static const char *const once[] = {"client_id", "redirect_uri",   "state",
									   "nonce",     "code_challenge", "code_challenge_method"};
	char *scopes[] = {"a", "b"};
	OAuthRequest request = {0};
	StringInfoData url;
	const char *query;
	char *fragment;

	client->client_id = "client";
	client->client_secret = "secret";
	initStringInfo(&url);
	build_authorization_url(client, &params, &url);
	CHECK(strncmp(url.data, client->authorization_endpoint,
				  strlen(client->authorization_endpoint)) == 0);
	/* one with many parameters is longer than an endpoint may be */
	if (url.len <= URL_MAX_BYTES)
		CHECK(strcmp(url_origin(url.data), url_origin(client->authorization_endpoint)) == 0);
	query = url.data + strlen(client->authorization_endpoint);
	CHECK(strpbrk(query, " \r\n\"<>") == NULL);
	fragment = strchr(query, '#');
	CHECK((fragment != NULL) == (client->authorization_fragment != NULL));
	CHECK(fragment == NULL || strchr(fragment + 1, '#') == NULL);
	query = psprintf("&%s", strchr(url.data, '?') != NULL ? query : "");
	for (char *c = unconstify(char *, query); *c != '\0'; c++)
		if (*c == '?')
			*c = '&';
	for (int i = 0; i < (int) lengthof(once); i++)
	{
		const char *name =
			called(client->authorization_param_names, client->n_authorization_param_names, once[i]);

		if (name != NULL && is_plain(name))
			CHECK(occurrences(query, psprintf("&%s=", name)) == 1);
	}

	build_code_request(client, "code", params.redirect_uri, params.code_verifier, scopes, 2,
					   &request);
	check_body(client, &request, client->token_endpoint, client->token_param_names,
			   client->n_token_param_names, "code");
	oauth_request_free(&request);
	build_refresh_request(client, "token", scopes, 2, &request);
	check_body(client, &request,
			   client->refresh_endpoint != NULL ? client->refresh_endpoint : client->token_endpoint,
			   client->refresh_param_names, client->n_refresh_param_names, "refresh_token");
	oauth_request_free(&request);
	if (client->long_token_endpoint != NULL)
	{
		build_long_token_request(client, "token", &request);
		CHECK(strncmp(request.url, client->long_token_endpoint,
					  strlen(client->long_token_endpoint)) == 0);
		if (strlen(request.url) <= URL_MAX_BYTES)
			CHECK(strcmp(url_origin(request.url), url_origin(client->long_token_endpoint)) == 0);
		CHECK(request.body.data == NULL && strpbrk(request.url, "# \r\n\"<>") == NULL);
		oauth_request_free(&request);
	}
	if (client->revocation_endpoint != NULL)
		check_revocation(client);
	if (client->profile.url != NULL)
		check_profile(client);
}

static void
check_options(const JsonValue *options)
{
	int count;
	const char **targets = definition_texts(options, "return_to", &count);

	for (int i = 0; i < count; i++)
		CHECK(url_redirect_problem(targets[i]) == NULL);
	check_endpoint(definition_text(options, "resource"));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const JsonValue *object = json_parse_object((const char *) data, size);
	const DefinitionProblem *problem = definition_problem(object);
	OAuthClient client = {0};
	const char *api;

	definition_read(object, &client);
	/* whatever it asks for, of an answer that is itself */
	check_profile_answer(&client, (const char *) data, size);
	CHECK(client.default_expires_in >= -1 && client.default_expires_in <= 315360000);
	CHECK(client.refresh_token_lifetime >= 0 && client.refresh_token_lifetime <= 315360000);
	CHECK(client.grant_lifetime >= 0 && client.grant_lifetime <= 315360000);
	CHECK(client.id_token_algorithms == 0 || !(client.id_token_algorithms & JWT_HS256) ||
		  problem != NULL);
	if (problem != NULL)
		check_problem(problem);
	else
	{
		check_template(&client.authorization_endpoint);
		check_template(&client.token_endpoint);
		check_template(&client.refresh_endpoint);
		check_template(&client.revocation_endpoint);
		check_template(&client.profile.url);
		api = definition_text(object, "api_base_url");
		check_template(&api);
		if (client.authorization_endpoint == NULL || client.token_endpoint == NULL)
		{
			arena_reset();
			return 0;
		}
		check_endpoint(client.authorization_endpoint);
		check_endpoint(client.token_endpoint);
		check_endpoint(client.refresh_endpoint);
		check_endpoint(client.revocation_endpoint);
		check_endpoint(client.profile.url);
		check_endpoint(client.jwks_uri);
		CHECK(client.authorization_endpoint != NULL && client.token_endpoint != NULL);
		check_requests(&client);
	}

	problem = options_problem(object);
	if (problem != NULL)
		check_problem(problem);
	else
		check_options(object);
	arena_reset();
	return 0;
}
