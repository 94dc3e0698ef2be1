/* sources: src/oauth/definition.c src/oauth/definition_member.c src/oauth/url_template.c src/oauth/definition_value.c src/base/json_tree.c src/base/url.c src/crypto/jwt.c src/crypto/jwk.c src/crypto/jwa.c src/oauth/request.c src/base/secret.c src/base/base64.c src/oauth/scope.c src/base/text.c */

/*
 * definition_fuzz.c
 *	  Any JSON as a provider's metadata and definition, and as a connector's options:
 *	  one that is taken makes requests that go where it says and nowhere else.
 */
#include "check.h"
#include "palloc_arena.h"

#include "oauth/definition.h"
#include "base/settings.h"
#include "crypto/jwt.h"
#include "oauth/request.h"
#include "oauth/url_template.h"
#include "base/url.h"

bool guc_allow_insecure_loopback = false;

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static void check_problem(const DefinitionProblem *problem);
static void check_endpoint(const char *url);
static int occurrences(const char *text, const char *part);
static int params_named(const OAuthClient *client, const OAuthRequest *request, const char *name);
static void check_body(const OAuthClient *client, const OAuthRequest *request, const char *grant);
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

/* How many parameters of this name a body has; nothing that is quoted looks like one. */
static int
params_named(const OAuthClient *client, const OAuthRequest *request, const char *name)
{
	if (client->token_body_format == TOKEN_BODY_JSON)
		return occurrences(psprintf(",%s", request->body.data + 1), psprintf(",\"%s\":", name));
	return occurrences(psprintf("&%s", request->body.data), psprintf("&%s=", name));
}

static void
check_body(const OAuthClient *client, const OAuthRequest *request, const char *grant)
{
	static const char *const once[] = {"grant_type", "code", "refresh_token", "redirect_uri",
									   "code_verifier"};

	CHECK(
		strcmp(request->url, client->refresh_endpoint != NULL && strcmp(grant, "refresh_token") == 0
								 ? client->refresh_endpoint
								 : client->token_endpoint) == 0);
	CHECK(params_named(client, request, grant) == 1);
	for (int i = 0; i < (int) lengthof(once); i++)
		CHECK(params_named(client, request, once[i]) <= 1);
	CHECK(params_named(client, request, "client_secret") ==
		  (client->auth_method == CLIENT_SECRET_POST ? 1 : 0));
	CHECK((request->authorization != NULL) == (client->auth_method == CLIENT_SECRET_BASIC));
	if (request->authorization != NULL)
		CHECK(strpbrk(request->authorization, "\r\n") == NULL);
}

/* What such a client sends: to its endpoints, and what is ours only once. */
static void
check_requests(OAuthClient *client)
{
	AuthorizationParams params = {.state = "state",
								  .redirect_uri = "https://app.example/callback",
								  .code_verifier = "verifier",
								  .nonce = "nonce"};
	static const char *const once[] = {
		"&client_id=", "&redirect_uri=",   "&state=",
		"&nonce=",     "&code_challenge=", "&code_challenge_method="};
	OAuthRequest request = {0};
	StringInfoData url;
	const char *query;

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
	CHECK(strpbrk(query, "# \r\n\"<>") == NULL);
	for (int i = 0; i < (int) lengthof(once); i++)
		CHECK(occurrences(query, once[i]) == 1);

	build_code_request(client, "code", params.redirect_uri, params.code_verifier, &request);
	check_body(client, &request, "code");
	oauth_request_free(&request);
	build_refresh_request(client, "token", &request);
	check_body(client, &request, "refresh_token");
	oauth_request_free(&request);
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

	definition_read(object, &client);
	CHECK(client.default_expires_in >= -1 && client.default_expires_in <= 315360000);
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
		if (client.authorization_endpoint == NULL || client.token_endpoint == NULL)
		{
			arena_reset();
			return 0;
		}
		check_endpoint(client.authorization_endpoint);
		check_endpoint(client.token_endpoint);
		check_endpoint(client.refresh_endpoint);
		check_endpoint(client.revocation_endpoint);
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
