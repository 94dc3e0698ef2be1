/* sources: src/oauth/definition.c src/oauth/definition_member.c src/oauth/url_template.c src/oauth/sandbox.c src/oauth/profile.c src/oauth/definition_value.c src/base/json_tree.c src/base/url.c src/crypto/jwt.c src/crypto/jwk.c src/crypto/jwa.c src/oauth/request.c src/base/secret.c src/base/base64.c src/oauth/scope.c src/base/text.c */

/*
 * profile_test.c
 *	  What profile.c promises: a definition's profile that cannot work is found; the token
 *	  goes to one place of one request; of an answer nothing is taken but what was asked for,
 *	  each a text that can be kept, and what is lacking is said without the answer's words.
 */
#include "postgres_fe.h"

#include "base/settings.h"
#include "oauth/definition.h"
#include "oauth/profile.h"
#include "oauth/sandbox.h"
#include "tap.h"

#define ENDPOINTS                                                                                  \
	"\"authorization_endpoint\":\"https://a.example/auth\",\"token_endpoint\":"                    \
	"\"https://a.example/token\""
#define URL "\"url\":\"https://api.example/me\""

bool guc_allow_insecure_loopback = false;

static void
is(const char *actual, const char *expected, const char *what)
{
	ok(strcmp(actual, expected) == 0, "%s: %s", what, actual);
}

static const JsonValue *
definition_with(const char *member)
{
	const char *json = psprintf("{" ENDPOINTS ",%s}", member);

	return json_parse_object(json, strlen(json));
}

/* like: a part of what is wrong; NULL: nothing is */
static void
is_problem(const char *member, const char *like)
{
	const JsonValue *definition = definition_with(member);
	const DefinitionProblem *found = definition_problem(definition);

	if (like == NULL)
		ok(definition != NULL && found == NULL, "%s is fine%s%s", member, found ? ": " : "",
		   found && found->detail ? found->detail : "");
	else
		ok(found != NULL && found->detail != NULL && strstr(found->detail, like) != NULL,
		   "%s is not: %s", member, found && found->detail ? found->detail : "(nothing)");
}

static void
test_definitions(void)
{
	static const struct
	{
		const char *member;
		const char *like;
	} cases[] = {
		{"\"profile\":{" URL ",\"id\":\"/id\"}", NULL},
		{"\"profile\":{" URL ",\"id\":\"/0/a~1b/c~0d\",\"email\":\"/e\",\"name\":\"/n\"}", NULL},
		{"\"profile\":{" URL ",\"id\":\"/id\",\"method\":\"POST\",\"body\":{\"query\":\"{a}\"}}",
		 NULL},
		{"\"profile\":{" URL ",\"id\":\"/id\",\"headers\":{\"X-A\":\"b\"},\"scopes\":[\"who\"]}",
		 NULL},
		{"\"profile\":{" URL "},\"connection_config_fields\":{\"a\":{\"source\":\"profile\"}}",
		 NULL},
		{"\"connection_config_fields\":{\"s\":{\"source\":\"token_response\",\"pattern\":\"^a$\"}},"
		 "\"profile\":{\"url\":\"https://{s}.example/\",\"id\":\"/id\"}",
		 NULL},
		{"\"profile\":{" URL ",\"id\":\"/id\"},\"refresh_endpoint\":\"https://{dc}.a.example/\","
		 "\"revocation_endpoint\":\"https://{dc}.a.example/r\",\"api_base_url\":"
		 "\"https://{dc}.a.example\",\"connection_config_fields\":{\"dc\":{\"source\":\"profile\","
		 "\"path\":\"/dc\",\"pattern\":\"^[a-z]+[0-9]+$\"}}",
		 NULL},
		{"\"profile\":null", NULL},
		{"\"profile\":{}", "There must be a \"url\"."},
		{"\"profile\":{\"id\":\"/id\"}", "There must be a \"url\"."},
		{"\"profile\":{" URL "}", "There must be an \"id\""},
		{"\"profile\":\"https://api.example/me\"", "It must be an object."},
		{"\"profile\":{\"url\":\"http://api.example/\",\"id\":\"/id\"}", "\"url\": "},
		{"\"profile\":{\"url\":\"https://u:p@api.example/\",\"id\":\"/id\"}", "\"url\": "},
		{"\"profile\":{\"url\":\"https://{s}.example/\",\"id\":\"/id\"}", "must declare \"s\""},
		{"\"connection_config_fields\":{\"s\":{\"source\":\"token_response\"}},\"profile\":{"
		 "\"url\":\"https://{s}.example/\",\"id\":\"/id\"}",
		 "must declare \"s\", with a pattern"},
		/* what the answer says is not known when it is asked for, nor before */
		{"\"connection_config_fields\":{\"s\":{\"source\":\"profile\",\"pattern\":\"^a$\"}},"
		 "\"profile\":{\"url\":\"https://{s}.example/\",\"id\":\"/id\"}",
		 "not known yet"},
		{"\"profile\":{" URL ",\"id\":\"id\"}", "JSON pointer"},
		{"\"profile\":{" URL ",\"id\":\"\"}", "JSON pointer"},
		{"\"profile\":{" URL ",\"id\":\"/a~2\"}", "JSON pointer"},
		{"\"profile\":{" URL ",\"id\":7}", "JSON pointer"},
		{"\"profile\":{" URL ",\"id\":\"/i\\nd\"}", "JSON pointer"},
		{"\"profile\":{" URL ",\"id\":\"/id\",\"method\":\"PUT\"}", "GET|POST"},
		{"\"profile\":{" URL ",\"id\":\"/id\",\"body\":{\"a\":\"b\"}}", "A GET has none"},
		{"\"profile\":{" URL ",\"id\":\"/id\",\"method\":\"POST\",\"body_format\":\"form\"}",
		 "There is no \"body\""},
		{"\"profile\":{" URL ",\"id\":\"/id\",\"headers\":{\"Authorization\":\"x\"}}",
		 "Authorization"},
		{"\"profile\":{" URL ",\"id\":\"/id\",\"headers\":{\"Host\":\"evil.example\"}}", "Host"},
		{"\"profile\":{" URL ",\"id\":\"/id\",\"headers\":{\"X\":\"a {client_secret}\"}}",
		 "secret is not sent"},
		{"\"api_authorization\":{\"header\":\"x-token\"},\"profile\":{" URL
		 ",\"id\":\"/id\",\"headers\":{\"X-Token\":\"a\"}}",
		 "is the token's"},
		{"\"api_authorization\":{\"header\":\"Host\"}", "can hold a token"},
		{"\"api_authorization\":{\"header\":\"content-length\"}", "can hold a token"},
		{"\"profile\":{" URL ",\"id\":\"/id\",\"secret\":\"x\"}", "unknown name"},
		{"\"connection_config_fields\":{\"a\":{\"source\":\"profile\"}}", "needs a profile"},
		{"\"connection_config_fields\":{\"a\":{\"path\":\"/a\"}}", "path"},
		{"\"connection_config_fields\":{\"a\":{\"source\":\"profile\",\"path\":\"a\"}},\"profile\":"
		 "{" URL "}",
		 "JSON pointer"},
		{"\"sandbox\":{\"token_endpoint\":\"https://b.example/t\"},\"profile\":{" URL
		 ",\"id\":\"/id\"}",
		 NULL},
		{"\"sandbox\":{\"profile\":{" URL "}}", "There must be an \"id\""},
		{"\"sandbox\":{\"profile\":{\"url\":\"https://{s}.example/\",\"id\":\"/id\"}}",
		 "must declare \"s\""},
	};
	const JsonValue *sandbox;
	OAuthClient client = {0};

	for (int i = 0; i < (int) lengthof(cases); i++)
		is_problem(cases[i].member, cases[i].like);

	/* tokens of the test system are nothing for the other, unless it says so */
	sandbox = sandbox_definition(
		definition_with("\"sandbox\":{\"token_endpoint\":\"https://b.example/t\"},\"profile\":{" URL
						",\"id\":\"/id\"}"));
	definition_read(sandbox, &client);
	ok(client.profile.url == NULL, "a sandbox has no profile of the provider's own system");
	sandbox = sandbox_definition(definition_with(
		"\"sandbox\":{\"token_endpoint\":\"https://b.example/t\",\"profile\":{\"url\":"
		"\"https://b.example/me\",\"id\":\"/id\"}},\"profile\":{" URL ",\"id\":\"/id\"}"));
	definition_read(sandbox, &client);
	ok(client.profile.url != NULL && strcmp(client.profile.url, "https://b.example/me") == 0,
	   "but one of its own");
}

/* The whole request, as text */
static char *
request_text(const char *member)
{
	OAuthClient client = {.client_id = "id"};
	OAuthRequest request;
	StringInfoData text;

	definition_read(definition_with(member), &client);
	build_profile_request(&client, "t/o+k", &request);
	initStringInfo(&text);
	appendStringInfo(&text, "%s %s", request.body.data != NULL ? "POST" : "GET", request.url);
	if (request.authorization != NULL)
		appendStringInfo(&text, " authorization=%s", request.authorization);
	for (int i = 0; i < request.n_headers; i++)
		appendStringInfo(&text, " %s=%s", request.headers[i].name, request.headers[i].value);
	if (request.content_type != NULL)
		appendStringInfo(&text, " type=%s", request.content_type);
	if (request.body.data != NULL && request.body.len > 0)
		appendStringInfo(&text, " %s", request.body.data);
	oauth_request_free(&request);
	return text.data;
}

static void
test_requests(void)
{
	is(request_text("\"profile\":{" URL ",\"id\":\"/id\"}"),
	   "GET https://api.example/me authorization=Bearer t/o+k", "a GET");
	is(request_text("\"api_authorization\":{\"header\":\"authorization\",\"scheme\":\"Zoho-token\"}"
					",\"profile\":{" URL ",\"id\":\"/id\"}"),
	   "GET https://api.example/me authorization=Zoho-token t/o+k", "another scheme");
	is(request_text("\"api_authorization\":{\"header\":\"Authorization\"},\"profile\":{" URL
					",\"id\":\"/id\"}"),
	   "GET https://api.example/me authorization=t/o+k", "none");
	is(request_text("\"api_authorization\":{\"header\":\"X-Token\"},\"profile\":{" URL
					",\"id\":\"/id\"}"),
	   "GET https://api.example/me X-Token=t/o+k", "another header");
	is(request_text("\"api_authorization\":{\"query\":\"a b\"},\"profile\":{" URL
					",\"id\":\"/id\"}"),
	   "GET https://api.example/me?a+b=t%2Fo%2Bk", "a parameter");
	is(request_text("\"api_authorization\":{\"query\":\"t\"},\"profile\":{\"url\":"
					"\"https://api.example/me?a=b\",\"id\":\"/id\"}"),
	   "GET https://api.example/me?a=b&t=t%2Fo%2Bk", "one more");
	is(request_text("\"api_headers\":{\"A\":\"1\",\"B\":\"1\"},\"profile\":{" URL
					",\"id\":\"/id\",\"headers\":{\"b\":\"2\"}}"),
	   "GET https://api.example/me authorization=Bearer t/o+k b=2 A=1", "headers");
	is(request_text("\"profile\":{" URL ",\"id\":\"/id\",\"method\":\"POST\"}"),
	   "POST https://api.example/me authorization=Bearer t/o+k", "a POST of nothing");
	is(request_text("\"profile\":{" URL ",\"id\":\"/id\",\"method\":\"POST\",\"body\":{\"q\":"
					"\"a\\\"b\",\"r\":\"\"}}"),
	   "POST https://api.example/me authorization=Bearer t/o+k type=application/json "
	   "{\"q\":\"a\\\"b\",\"r\":\"\"}",
	   "of JSON");
	is(request_text("\"profile\":{" URL
					",\"id\":\"/id\",\"method\":\"POST\",\"body_format\":\"form\","
					"\"body\":{\"q\":\"a&b\",\"r\":\"c\"}}"),
	   "POST https://api.example/me authorization=Bearer t/o+k "
	   "type=application/x-www-form-urlencoded q=a%26b&r=c",
	   "of a form");
}

/* What is read: id, name, values, problem */
static char *
answer_text(const char *definition, int status, const char *type, const char *body)
{
	OAuthClient client = {0};
	ProfileAnswer answer;
	StringInfoData text;

	definition_read(definition_with(definition), &client);
	read_profile_answer(&client, status, type, body, strlen(body), &answer);
	initStringInfo(&text);
	appendStringInfo(&text, "%s|%s", answer.id, answer.name);
	for (int i = 0; i < answer.n_values; i++)
		appendStringInfo(&text, "|%s=%s", answer.values[i].name, answer.values[i].value);
	if (answer.problem != NULL)
		appendStringInfo(&text, " %s", answer.problem);
	return text.data;
}

static void
test_answers(void)
{
	static const char plain[] =
		"\"profile\":{" URL ",\"id\":\"/id\",\"email\":\"/e\",\"name\":\"/n\"}";
	static const char fields[] =
		"\"profile\":{" URL ",\"id\":\"/0/id\"},\"connection_config_fields\":{\"a\":{\"source\":"
		"\"profile\",\"path\":\"/0/x\"},\"b\":{\"source\":\"token_response\"},\"c\":{\"source\":"
		"\"profile\",\"path\":\"/1\"}}";
	static const struct
	{
		const char *body;
		const char *expected;
	} cases[] = {
		{"{\"id\":\"a\"}", "a|"},
		{"{\"id\":7}", "7|"},
		{"{\"id\":-7}", "-7|"},
		{"{\"id\":12345678901234567890123}", "12345678901234567890123|"},
		{" {\"id\":\"\\u00e4\",\"n\":\"Ann\"} ", "\xc3\xa4|Ann"},
		{"{\"id\":\"a\",\"n\":\"Ann\",\"e\":\"a@example.com\"}", "a|a@example.com"},
		{"{\"id\":\"a\",\"n\":\"Ann\",\"e\":null}", "a|Ann"},
		{"{\"id\":\"a\",\"n\":\"A\\nnn\",\"e\":[]}", "a|"},
		{"{\"id\":7.0}", "| answered with JSON that has no string or whole number that can be kept "
						 "at /id"},
		{"{\"id\":7e1}", "| answered with JSON that has no string or whole number that can be kept "
						 "at /id"},
		{"{\"id\":\"\"}", "| answered with JSON that has no string or whole number that can be "
						  "kept at /id"},
		{"{\"id\":true}", "| answered with JSON that has no string or whole number that can be "
						  "kept at /id"},
		{"{\"id\":\"a\\u007f\"}", "| answered with JSON that has no string or whole number that "
								  "can be kept at /id"},
		{"{\"ID\":\"secret words\"}", "| answered with JSON that has nothing at /id"},
		{"[]", "| answered with JSON that has nothing at /id"},
		{"7", "| answered with no JSON object or array, or a name twice in one"},
		{"", "| answered with no JSON object or array, or a name twice in one"},
		{"{\"id\":\"a\"}}", "| answered with no JSON object or array, or a name twice in one"},
		{"{\"id\":\"a\",\"id\":\"b\"}",
		 "| answered with no JSON object or array, or a name twice in one"},
		{"{\"id\":\"a\",\"b\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}",
		 "| answered with no JSON object or array, or a name twice in one"},
		{"{\"id\":\"a\",\"b\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}", "a|"},
		{"{\"id\":\"\xff\"}", "| answered with no JSON object or array, or a name twice in one"},
	};
	StringInfoData large;

	for (int i = 0; i < (int) lengthof(cases); i++)
		is(answer_text(plain, 200, "application/json", cases[i].body), cases[i].expected,
		   cases[i].body);
	is(answer_text(fields, 200, NULL, "[{\"id\":1,\"x\":\"y\",\"b\":\"z\"},\"second\"]"),
	   "1||a=y|c=second", "fields of an array");
	is(answer_text(fields, 200, NULL, "[{\"id\":1,\"x\":{}}]"),
	   "1| answered with JSON that has no string or whole number that can be kept at /0/x, has "
	   "nothing at /1",
	   "fields that are not there");

	is(answer_text(plain, 404, "application/json", "{\"id\":1}"), "| answered with HTTP status 404",
	   "another status");
	is(answer_text(plain, 302, "application/json", "{\"id\":1}"), "| answered with HTTP status 302",
	   "a redirect");
	is(answer_text(plain, 203, "application/json", "{\"id\":1}"), "1|", "any that is success");
	for (int i = 0; i < 6; i++)
	{
		static const char *const types[] = {
			"application/json",      "Application/JSON; charset=utf-8",
			"application/scim+json", " text/plain",
			"text/javascript;x=y",   NULL};

		is(answer_text(plain, 200, types[i], "{\"id\":1}"), "1|",
		   types[i] != NULL ? types[i] : "no type");
	}
	is(answer_text(plain, 200, "text/html", "{\"id\":1}"),
	   "| answered with a content type that is not JSON's", "HTML");
	is(answer_text(plain, 200, "text/html; a=json", "{\"id\":1}"),
	   "| answered with a content type that is not JSON's", "HTML of JSON");
	is(answer_text(plain, 200, "", "{\"id\":1}"),
	   "| answered with a content type that is not JSON's", "an empty type");

	initStringInfo(&large);
	appendStringInfoString(&large, "{\"id\":1,\"a\":\"");
	while (large.len < MAX_PROFILE_ANSWER)
		appendStringInfoChar(&large, 'x');
	appendStringInfoString(&large, "\"}");
	is(answer_text(plain, 200, NULL, large.data),
	   psprintf("| answered with more than %d bytes", MAX_PROFILE_ANSWER), "too much");
}

int
main(void)
{
	test_definitions();
	test_requests();
	test_answers();
	return tap_done();
}
