/* sources: src/oauth/response.c src/oauth/date.c src/oauth/answer_error.c src/oauth/retry_after.c src/oauth/body.c src/base/secret.c src/oauth/scope.c src/base/text.c src/oauth/echo.c src/oauth/request.c src/base/base64.c */
/*
 * oauth_response_test.c
 *	  What is made of a provider's answers: first of those that deviate, then of
 *	  those that lie.
 */
#include "postgres_fe.h"

#include "lib/stringinfo.h"

#include "oauth/body.h"
#include "oauth/response.h"
#include "oauth/retry_after.h"
#include "tap.h"

#define NOW INT64CONST(1700000000) /* Tue, 14 Nov 2023 22:13:20 GMT */

static OAuthClient client;
static TokenResponse response;

static void reset_client(void);
static void parse_bytes(int status, const char *content_type, const char *body, size_t len);
static void parse(int status, const char *body);
static bool granted(const char *access_token);
static bool malformed(const char *why);
static bool refused_as(TokenOutcome outcome, const char *error);
static bool has_scopes(const char *joined);
static char *with_token(size_t len);
static void test_granted(void);
static void test_not_a_token_response(void);
static void test_access_token(void);
static void test_refresh_and_id_token(void);
static void test_token_type(void);
static void test_expires_in(void);
static void test_scope(void);
static void test_token_path(void);
static void test_paths(void);
static void test_expires_at(void);
static void test_own_errors(void);
static void test_refresh_token_expires_in(void);
static void test_values(void);
static void test_form(void);
static void test_errors(void);
static void test_statuses(void);
static void test_secrets(void);
static void test_revocation(void);
static void test_retry_after(void);
static void test_words(void);
static void test_issuer(void);

static void
reset_client(void)
{
	memset(&client, 0, sizeof(client));
	client.scope_parameter = "scope";
	client.scope_separator = " ";
	client.default_expires_in = -1;
	client.zero_expires_in = ZERO_IS_EXPIRED;
}

/* The body is copied to its own length, so that a reader beyond it is caught. */
static void
parse_bytes(int status, const char *content_type, const char *body, size_t len)
{
	char *exact = malloc(len > 0 ? len : 1);

	memcpy(exact, body, len);
	parse_token_response(&client, status, content_type, exact, len, &response);
	free(exact);
}

static void
parse(int status, const char *body)
{
	parse_bytes(status, "application/json", body, strlen(body));
}

static bool
granted(const char *access_token)
{
	return response.outcome == TOKEN_GRANTED && response.malformed == NULL &&
		   response.error[0] == '\0' && response.access_token != NULL &&
		   strcmp(response.access_token, access_token) == 0;
}

/* Nothing of a malformed answer may be left to use. */
static bool
malformed(const char *why)
{
	if (response.malformed == NULL || strstr(response.malformed, why) == NULL)
		printf("# malformed is %s\n", response.malformed ? response.malformed : "NULL");
	return response.outcome == TOKEN_MALFORMED && response.malformed != NULL &&
		   strstr(response.malformed, why) != NULL && response.access_token == NULL &&
		   response.refresh_token == NULL && response.id_token == NULL && response.n_values == 0 &&
		   response.n_scopes == 0;
}

static bool
refused_as(TokenOutcome outcome, const char *error)
{
	if (response.outcome != outcome || strcmp(response.error, error) != 0)
		printf("# outcome %d, error \"%s\"\n", (int) response.outcome, response.error);
	return response.outcome == outcome && strcmp(response.error, error) == 0 &&
		   response.access_token == NULL && response.malformed == NULL;
}

static bool
has_scopes(const char *joined)
{
	char text[1024] = "";
	int i;

	for (i = 0; i < response.n_scopes; i++)
	{
		strlcat(text, i > 0 ? "|" : "", sizeof(text));
		strlcat(text, response.scopes[i], sizeof(text));
	}
	return response.has_scope && strcmp(text, joined) == 0;
}

/* A token response whose access_token has len characters */
static char *
with_token(size_t len)
{
	static const char head[] = "{\"access_token\":\"";
	char *body = malloc(len + sizeof(head) + 2);

	memcpy(body, head, sizeof(head) - 1);
	memset(body + sizeof(head) - 1, 'a', len);
	strcpy(body + sizeof(head) - 1 + len, "\"}");
	return body;
}

static void
test_granted(void)
{
	reset_client();
	/* RFC 6749 §5.1 */
	parse(200, "{\n  \"access_token\":\"2YotnFZFEjr1zCsicMWpAA\",\n  \"token_type\":\"example\",\n"
			   "  \"expires_in\":3600,\n  \"refresh_token\":\"tGzv3JOkF0XG5Qx2TlKWIA\",\n"
			   "  \"example_parameter\":\"example_value\"\n}");
	ok(malformed("token_type"), "the example of RFC 6749 section 5.1 has a type that nobody knows");
	parse(200, "{\"access_token\":\"2YotnFZFEjr1zCsicMWpAA\",\"token_type\":\"Bearer\","
			   "\"expires_in\":3600,\"refresh_token\":\"tGzv3JOkF0XG5Qx2TlKWIA\","
			   "\"scope\":\"a b\",\"id_token\":\"h.p.s\"}");
	ok(granted("2YotnFZFEjr1zCsicMWpAA"), "a token response is granted");
	ok(strcmp(response.refresh_token, "tGzv3JOkF0XG5Qx2TlKWIA") == 0, "with its refresh_token");
	ok(strcmp(response.id_token, "h.p.s") == 0, "its id_token");
	ok(strcmp(response.token_type, "Bearer") == 0, "its token_type");
	ok(response.expires_in == 3600 && !response.expires_in_ignored, "its lifetime");
	ok(has_scopes("a|b"), "and its scopes");

	parse(200, "{\"access_token\":\"t\"}");
	ok(granted("t") && response.refresh_token == NULL && response.id_token == NULL &&
		   !response.has_scope && response.expires_in == -1 && !response.expires_in_ignored,
	   "what is absent is absent");
	parse(200, "{\"access_token\":\"t\",\"refresh_token\":null,\"id_token\":null,"
			   "\"token_type\":null,\"expires_in\":null,\"scope\":null,\"error\":null}");
	ok(granted("t") && response.refresh_token == NULL && response.id_token == NULL &&
		   !response.has_scope && response.expires_in == -1 && !response.expires_in_ignored &&
		   strcmp(response.token_type, "Bearer") == 0,
	   "what is null is absent: refresh_token null, scope null, and every other");
	parse(201, " \r\n\t{\"access_token\":\"t\"} \r\n\t");
	ok(granted("t"), "white space around the object and status 201 are fine");
	parse_bytes(200, "text/html; charset=utf-8", "{\"access_token\":\"t\"}", 20);
	ok(granted("t"), "the content type does not decide: JSON that says it is HTML is granted");
	parse_bytes(200, NULL, "{\"access_token\":\"t\"}", 20);
	ok(granted("t"), "nor need there be one");
	parse(200, "{\"acc\\u0065ss_token\":\"\\u0041\\/\\u005c\\\"\"}");
	ok(granted("A/\\\""), "escapes are decoded in names and values");
	parse(200, "{\"access_token\":\"t\",\"user\":{\"access_token\":1,\"access_token\":2},"
			   "\"list\":[{\"error\":\"no\"},[[]],\"error\"]}");
	ok(granted("t"), "objects that are not read may say what they like");
	parse(200, "{\"access_token\":\"t\",\"name\":\"\\ud83d\\ude00\\u20ac\\u00e9\"}");
	ok(granted("t"), "escapes of characters beyond ASCII, pairs of surrogates too");
}

static void
test_not_a_token_response(void)
{
	static const char html[] = "<!DOCTYPE html><html><body>Please log in</body></html>";
	char *deep;
	char *big;
	StringInfoData many;
	int i;

	reset_client();
	parse_bytes(200, "text/html", html, strlen(html));
	ok(malformed("web page"), "200 with HTML");
	parse(200, html);
	ok(malformed("not JSON"), "200 with HTML that says it is JSON");
	parse(200, "");
	ok(malformed("empty"), "200 with nothing");
	parse_token_response(&client, 200, NULL, NULL, 0, &response);
	ok(malformed("empty"), "200 without a body");
	parse(204, "");
	ok(malformed("empty"), "204");
	parse(200, " ");
	ok(malformed("not JSON"), "200 with white space");
	parse(200, "{\"access_token\":\"t\"");
	ok(malformed("not JSON"), "truncated JSON: before the brace");
	parse(200, "{\"access_token\":\"t");
	ok(malformed("not JSON"), "truncated JSON: within the token");
	parse(200, "{\"access_token\":\"t\\");
	ok(malformed("not JSON"), "truncated JSON: within an escape");
	parse(200, "{\"access_token\":\"t\\u00");
	ok(malformed("escape"), "truncated JSON: within a \\u escape");
	parse(200, "{\"access_token\":\"t\",\"a\":[1,2");
	ok(malformed("not JSON"), "truncated JSON: within an array");
	parse(200, "null");
	ok(malformed("not a JSON object"), "null");
	parse(200, "[]");
	ok(malformed("not a JSON object"), "[]");
	parse(200, "[{\"access_token\":\"t\"}]");
	ok(malformed("not a JSON object"), "an array of a token response");
	parse(200, "\"access_token\"");
	ok(malformed("not a JSON object"), "a string");
	parse(200, "42");
	ok(malformed("not a JSON object"), "a number");
	parse(200, "{}");
	ok(malformed("no access_token"), "{}");
	parse(200, "{\"access_token\":\"t\",\"access_token\":\"u\"}");
	ok(malformed("twice"), "duplicate keys");
	parse(200, "{\"access_token\":\"t\",\"access\\u005ftoken\":\"u\"}");
	ok(malformed("twice"), "duplicate keys, one of them escaped");
	parse(200, "{\"access_token\":\"t\",\"x\":null,\"x\":null}");
	ok(malformed("twice"), "duplicate keys that nobody reads");
	parse(400, "{\"error\":{\"code\":\"invalid_grant\",\"code\":\"x\"}}");
	ok(refused_as(TOKEN_UNAVAILABLE, ""), "duplicate keys in an error object: it says nothing");
	parse_bytes(200, NULL, "{\"access_token\":\"t\0\"}", 21);
	ok(malformed("UTF-8"), "embedded NUL in the token");
	parse_bytes(200, NULL, "{\"access_token\":\"t\"}\0", 21);
	ok(malformed("UTF-8"), "embedded NUL at the end");
	parse(200, "{\"access_token\":\"t\\u0000\"}");
	ok(malformed("escape"), "embedded NUL as an escape");
	parse(200, "{\"access_token\":\"t\",\"a\":\"\xff\"}");
	ok(malformed("UTF-8"), "invalid UTF-8: a byte that is never one");
	parse(200, "{\"access_token\":\"t\",\"a\":\"\xc0\xaf\"}");
	ok(malformed("UTF-8"), "invalid UTF-8: overlong");
	parse(200, "{\"access_token\":\"t\",\"a\":\"\xed\xa0\x80\"}");
	ok(malformed("UTF-8"), "invalid UTF-8: a surrogate");
	parse(200, "{\"access_token\":\"t\",\"a\":\"\xe2\x82");
	ok(malformed("UTF-8"), "invalid UTF-8: truncated");
	parse(200, "{\"access_token\":\"t\",\"a\":\"\\ud83d\"}");
	ok(malformed("escape"), "half a pair of surrogates: the first");
	parse(200, "{\"access_token\":\"t\",\"a\":\"\\ude00\\ud83d\"}");
	ok(malformed("escape"), "half a pair of surrogates: the second");
	parse(200, "{\"access_token\":\"t\",\"a\":\"\\uzzzz\"}");
	ok(malformed("escape"), "an escape that is no number");
	parse(200, "{\"access_token\":\"t\",\"a\":\"\\q\"}");
	ok(malformed("not JSON"), "an escape that JSON has not");
	parse(200, "{\"access_token\":\"t\",\"a\":\"\t\"}");
	ok(malformed("not JSON"), "a control character in a string");
	parse(200, "{\"access_token\":\"t\"}x");
	ok(malformed("not JSON"), "trailing garbage");
	parse(200, "{\"access_token\":\"t\"}{\"access_token\":\"u\"}");
	ok(malformed("not JSON"), "a second object");
	parse(200, "{'access_token':'t'}");
	ok(malformed("not JSON"), "single quotes");
	parse(200, "{\"access_token\":\"t\",}");
	ok(malformed("not JSON"), "a trailing comma");
	parse(200, "{\"access_token\":\"t\",\"a\":01}");
	ok(malformed("not JSON"), "a number with a leading zero");
	parse_bytes(200, NULL, "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", 10);
	ok(malformed("UTF-8"), "unrequested gzip");
	parse(200, "access_token=t&token_type=bearer");
	ok(malformed("not JSON"), "form encoding where the row does not say so");

	deep = malloc(200001);
	memset(deep, '[', 200000);
	deep[200000] = '\0';
	parse(200, deep);
	ok(malformed("too deep"), "200,000 open brackets");
	free(deep);
	parse(200, "{\"access_token\":\"t\",\"a\":[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}");
	ok(granted("t"), "16 levels are read");
	parse(200, "{\"access_token\":\"t\",\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}");
	ok(malformed("too deep"), "17 are too deep");
	parse(200, "{\"access_token\":\"t\",\"a\":\"[[[[[[[[[[[[[[[[[[[[\\\"[[[{{{\"}");
	ok(granted("t"), "brackets in a string are no depth");
	parse(200, "{\"access_token\":\"t\",\"a\":[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]}");
	ok(granted("t"), "nor are brackets side by side");

	big = with_token(2 * 1024 * 1024);
	parse(200, big);
	ok(malformed("too large"), "2 MiB body");
	free(big);

	initStringInfo(&many);
	appendStringInfoString(&many, "{\"access_token\":\"t\"");
	for (i = 1; i < MAX_BODY_MEMBERS; i++)
		appendStringInfo(&many, ",\"m%d\":%d", i, i);
	appendStringInfoChar(&many, '}');
	parse(200, many.data);
	ok(granted("t"), "%d members are read", MAX_BODY_MEMBERS);
	many.data[many.len - 1] = ',';
	appendStringInfoString(&many, "\"one more\":1}");
	parse(200, many.data);
	ok(malformed("too many"), "one more is too many");
	pfree(many.data);
}

static void
test_access_token(void)
{
	static const char all[] = " !#$%&'()*+,-./0123456789:;<=>?@AZ[]^_`az{|}~";
	char body[128];
	char *long_body;

	reset_client();
	parse(200, "{\"token_type\":\"Bearer\"}");
	ok(malformed("no access_token"), "no access_token");
	parse(200, "{\"access_token\":null}");
	ok(malformed("no access_token"), "access_token null");
	parse(200, "{\"access_token\":\"\"}");
	ok(malformed("no access_token"), "access_token empty");
	parse(200, "{\"access_token\":12345}");
	ok(malformed("not a string"), "number as access_token");
	parse(200, "{\"access_token\":true}");
	ok(malformed("not a string"), "boolean as access_token");
	parse(200, "{\"access_token\":{\"value\":\"t\"}}");
	ok(malformed("not a string"), "object as access_token");
	parse(200, "{\"access_token\":[\"t\"]}");
	ok(malformed("not a string"), "array as access_token");
	parse(200, "{\"access_token\":\"t\\r\\nX-Evil: 1\"}");
	ok(malformed("characters"), "access_token with CRLF");
	parse(200, "{\"access_token\":\"t\\n\"}");
	ok(malformed("characters"), "access_token with LF");
	parse(200, "{\"access_token\":\"t\\t\"}");
	ok(malformed("characters"), "access_token with a tab");
	parse(200, "{\"access_token\":\"t\x7f\"}");
	ok(malformed("characters"), "access_token with DEL");
	parse(200, "{\"access_token\":\"t\xc3\xa9\"}");
	ok(malformed("characters"), "access_token beyond ASCII");
	parse(200, "{\"access_token\":\"t\\u00e9\"}");
	ok(malformed("characters"), "access_token beyond ASCII, escaped");
	snprintf(body, sizeof(body), "{\"access_token\":\"%s\"}", all);
	parse(200, body);
	ok(granted(all), "every VSCHAR is kept as it is");

	long_body = with_token(MAX_TOKEN_BYTES);
	parse(200, long_body);
	ok(response.outcome == TOKEN_GRANTED && strlen(response.access_token) == MAX_TOKEN_BYTES,
	   "an access_token of 64 KiB");
	free(long_body);
	long_body = with_token(MAX_TOKEN_BYTES + 1);
	parse(200, long_body);
	ok(malformed("too long"), "one byte more");
	free(long_body);
}

static void
test_refresh_and_id_token(void)
{
	reset_client();
	parse(200, "{\"access_token\":\"t\",\"refresh_token\":\"\"}");
	ok(granted("t") && response.refresh_token == NULL, "an empty refresh_token is none");
	parse(200, "{\"access_token\":\"t\",\"refresh_token\":7}");
	ok(malformed("refresh_token"), "number as refresh_token");
	parse(200, "{\"access_token\":\"t\",\"refresh_token\":\"a\\rb\"}");
	ok(malformed("refresh_token"), "refresh_token with CR");
	parse(200, "{\"access_token\":\"t\",\"id_token\":5}");
	ok(granted("t") && response.id_token != NULL && response.id_token[0] == '\0',
	   "an id_token that is no string costs no tokens, but does not pass for absent");
	parse(200, "{\"access_token\":\"t\",\"id_token\":\"a\\nb\"}");
	ok(granted("t") && response.id_token != NULL && response.id_token[0] == '\0',
	   "nor does one with a line end");
	parse(200, "{\"access_token\":\"t\",\"id_token\":\"\"}");
	ok(granted("t") && response.id_token == NULL, "an empty id_token is none");
}

static void
test_token_type(void)
{
	static const char *const types[] = {"bot", "User"};

	reset_client();
	parse(200, "{\"access_token\":\"t\",\"token_type\":\"BEARER\"}");
	ok(granted("t") && strcmp(response.token_type, "Bearer") == 0, "token_type BEARER is Bearer");
	parse(200, "{\"access_token\":\"t\",\"token_type\":\"bearer\"}");
	ok(granted("t") && strcmp(response.token_type, "Bearer") == 0, "token_type bearer is Bearer");
	parse(200, "{\"access_token\":\"t\"}");
	ok(granted("t") && strcmp(response.token_type, "Bearer") == 0, "token_type missing is Bearer");
	parse(200, "{\"access_token\":\"t\",\"token_type\":\"mac\"}");
	ok(malformed("token_type"), "token_type unknown");
	parse(200, "{\"access_token\":\"t\",\"token_type\":\"DPoP\"}");
	ok(malformed("token_type"), "token_type DPoP that nobody asked for");
	parse(200, "{\"access_token\":\"t\",\"token_type\":1}");
	ok(malformed("token_type"), "token_type that is a number");
	parse(200, "{\"access_token\":\"t\",\"token_type\":\"bot\"}");
	ok(malformed("token_type"), "bot, which the row does not list");
	client.token_types = types;
	client.n_token_types = 2;
	parse(200, "{\"access_token\":\"t\",\"token_type\":\"BOT\"}");
	ok(granted("t") && strcmp(response.token_type, "bot") == 0, "bot, which it lists, as it does");
	parse(200, "{\"access_token\":\"t\",\"token_type\":\"user\"}");
	ok(granted("t") && strcmp(response.token_type, "User") == 0, "and user");
	parse(200, "{\"access_token\":\"t\",\"token_type\":\"bearer\"}");
	ok(granted("t") && strcmp(response.token_type, "Bearer") == 0, "and still Bearer");
	parse(200, "{\"access_token\":\"t\",\"token_type\":\"mac\"}");
	ok(malformed("token_type"), "and still nothing else");
}

static void
test_expires_in(void)
{
	static const struct
	{
		const char *value;
		int64_t seconds; /* -2: ignored */
	} cases[] = {
		{"3600", 3600},
		{"\"3600\"", 3600},
		{"3599.9", 3599},
		{"\"3599.9\"", 3599},
		{"3.6e3", 3600},
		{"1", 1},
		{"0", 0},
		{"\"0\"", 0},
		{"0.5", 0},
		{"-0", 0},
		{"315360000", 315360000},
		{"315619200", 315619200},
		{"315619201", -2},
		{"-1", -2},
		{"-0.5", -2},
		{"\"-3600\"", -2},
		{"9223372036854775807", -2},
		{"1e308", -2},
		{"1e400", -2},
		{"99999999999999999999999999999999999999999999999999999999999999999999999999", -2},
		{"\"soon\"", -2},
		{"\"3600 s\"", -2},
		{"\"0x10\"", -2},
		{"\"inf\"", -2},
		{"\"nan\"", -2},
		{"\"2030-01-01T00:00:00Z\"", -2},
		{"true", -2},
		{"[3600]", -2},
		{"{\"seconds\":3600}", -2},
	};
	size_t i;

	for (i = 0; i < lengthof(cases); i++)
	{
		char body[256];
		bool ignored = cases[i].seconds == -2;

		reset_client();
		client.default_expires_in = 77;
		snprintf(body, sizeof(body), "{\"access_token\":\"t\",\"expires_in\":%s}", cases[i].value);
		parse(200, body);
		ok(granted("t") && response.expires_in_ignored == ignored &&
			   response.expires_in == (ignored ? 77 : cases[i].seconds),
		   "expires_in %s is %s", cases[i].value, ignored ? "ignored, with a flag" : "read");
	}

	reset_client();
	parse(200, "{\"access_token\":\"t\",\"expires_in\":-1}");
	ok(response.expires_in == -1 && response.expires_in_ignored,
	   "without a default, what is ignored is unknown");
	client.default_expires_in = 7200;
	parse(200, "{\"access_token\":\"t\"}");
	ok(response.expires_in == 7200 && !response.expires_in_ignored,
	   "expires_in missing is the row's default");
	client.zero_expires_in = ZERO_IS_UNKNOWN;
	parse(200, "{\"access_token\":\"t\",\"expires_in\":0}");
	ok(response.expires_in == 7200 && !response.expires_in_ignored,
	   "0 is as if absent where the row says so: the default");
	client.default_expires_in = -1;
	parse(200, "{\"access_token\":\"t\",\"expires_in\":\"0\"}");
	ok(response.expires_in == -1 && !response.expires_in_ignored, "and without one, unknown");
}

static void
test_refresh_token_expires_in(void)
{
	static const struct
	{
		const char *body; /* but for the tokens */
		const char *path;
		int64_t lifetime;
		bool by_use;
		bool has_refresh_token;
		int64_t expected;
	} cases[] = {
		{"\"refresh_expires_in\":600", "refresh_expires_in", 0, false, true, 600},
		{"\"refresh_expires_in\":600", "refresh_expires_in", 60, false, true, 600},
		{"\"refresh_expires_in\":\"600\"", "refresh_expires_in", 0, false, false, 600},
		{"\"data\":{\"r\":{\"e\":600.9}}", "data.r.e", 0, false, true, 600},
		{"\"refresh_expires_in\":0", "refresh_expires_in", 60, false, true, REFRESH_TOKEN_LASTS},
		{"\"refresh_expires_in\":600", NULL, 0, false, true, -1},
		{"\"refresh_expires_in\":600", "expires", 0, false, true, -1},
		{"\"refresh_expires_in\":600", "expires", 60, false, true, 60},
		{"\"refresh_expires_in\":600", "expires", 60, false, false, -1},
		{"\"refresh_expires_in\":600", "expires", 60, true, false, 60},
		{"\"refresh_expires_in\":-5", "refresh_expires_in", 60, false, true, 60},
		{"\"refresh_expires_in\":1e300", "refresh_expires_in", 0, false, true, -1},
		{"\"refresh_expires_in\":\"\"", "refresh_expires_in", 60, false, true, 60},
		{"\"refresh_expires_in\":null", "refresh_expires_in", 60, false, true, 60},
		{"\"refresh_expires_in\":[600]", "refresh_expires_in", 60, false, true, 60},
		{"\"refresh_expires_in\":{}", "refresh_expires_in", 0, false, true, -1},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		char body[256];

		reset_client();
		client.refresh_token_expires_in_path = cases[i].path;
		client.refresh_token_lifetime = cases[i].lifetime;
		client.refresh_token_renewed_by_use = cases[i].by_use;
		snprintf(body, sizeof(body), "{\"access_token\":\"t\",%s%s}",
				 cases[i].has_refresh_token ? "\"refresh_token\":\"r\"," : "", cases[i].body);
		parse(200, body);
		ok(granted("t") && response.refresh_token_expires_in == cases[i].expected &&
			   !response.expires_in_ignored,
		   "of %s, at %s, with %d s%s%s: %d s", cases[i].body, cases[i].path ? cases[i].path : "-",
		   (int) cases[i].lifetime, cases[i].by_use ? " by use" : "",
		   cases[i].has_refresh_token ? "" : " without a refresh token", (int) cases[i].expected);
	}
	reset_client();
	client.refresh_by_access_token = true;
	client.refresh_token_lifetime = 60;
	parse(200, "{\"access_token\":\"t\"}");
	ok(response.refresh_token_expires_in == -1, "an access token that is renewed is none");
	parse(400, "{\"error\":\"invalid_grant\"}");
	ok(response.refresh_token_expires_in == -1, "nor is an error's");
}

static void
test_scope(void)
{
	StringInfoData body;
	int i;

	reset_client();
	parse(200, "{\"access_token\":\"t\",\"scope\":\"a b  c\"}");
	ok(granted("t") && has_scopes("a|b|c"), "scopes are separated by spaces");
	parse(200, "{\"access_token\":\"t\",\"scope\":\"a,b, c\"}");
	ok(has_scopes("a|b|c"), "or by commas, where the row says spaces");
	client.scope_separator = ",";
	parse(200, "{\"access_token\":\"t\",\"scope\":\"a b,c\"}");
	ok(has_scopes("a|b|c"), "or by spaces, where the row says commas");
	client.scope_separator = ";";
	parse(200, "{\"access_token\":\"t\",\"scope\":\"a;b c;\"}");
	ok(has_scopes("a|b|c"), "or by what the row says");
	reset_client();
	parse(200, "{\"access_token\":\"t\",\"scope\":[\"a\",\"b\"]}");
	ok(has_scopes("a|b"), "an array of strings");
	parse(200, "{\"access_token\":\"t\",\"scope\":[\"a b\",1,null,[\"x\"],{\"y\":\"z\"},\"c\"]}");
	ok(has_scopes("a|b|1|c"), "an array of other things too, numbers by their digits");
	parse(200, "{\"access_token\":\"t\",\"scope\":\"a b a a b\"}");
	ok(has_scopes("a|b"), "each once");
	parse(200, "{\"access_token\":\"t\",\"scope\":\"b abc ab a b\"}");
	ok(has_scopes("b|abc|ab|a"), "but no prefix is taken for the whole");
	parse(200, "{\"access_token\":\"t\",\"scope\":\"\"}");
	ok(granted("t") && has_scopes(""), "an empty scope is no scopes, not as requested");
	parse(200, "{\"access_token\":\"t\",\"scope\":[]}");
	ok(granted("t") && has_scopes(""), "so is an empty array");
	parse(200, "{\"access_token\":\"t\",\"scope\":7}");
	ok(granted("t") && !response.has_scope, "a number says nothing");
	parse(200, "{\"access_token\":\"t\",\"scope\":{\"a\":\"b\"}}");
	ok(granted("t") && !response.has_scope, "nor does an object");
	parse(200, "{\"access_token\":\"t\",\"scope\":\"good b\\u0007d \xc3\xa9 q\\\"q last\"}");
	ok(has_scopes("good|last"), "what cannot be a scope is left out");
	parse(200, "{\"access_token\":\"t\",\"scope\":\"https://provider.example/auth/a.b:c\"}");
	ok(has_scopes("https://provider.example/auth/a.b:c"), "a URL is a scope");

	client.scope_path = "granted.names";
	parse(
		200,
		"{\"access_token\":\"t\",\"scope\":\"x\",\"granted\":{\"names\":\"a b\",\"scope\":\"y\"}}");
	ok(has_scopes("a|b"), "they may stand elsewhere");
	parse(200, "{\"access_token\":\"t\",\"granted\":{\"names\":[\"a\",2,\"b\"]}}");
	ok(has_scopes("a|2|b"), "in an array too");
	parse(200, "{\"access_token\":\"t\",\"scope\":\"x\",\"granted\":[\"a\"]}");
	ok(granted("t") && !response.has_scope, "and are not looked for where they were");
	reset_client();
	client.response_scope_separator = "+";
	parse(200, "{\"access_token\":\"t\",\"scope\":\"a+b c,d\"}");
	ok(has_scopes("a|b|c|d"), "an answer may separate them in a way of its own");
	client.scope_separator = ";";
	parse(200, "{\"access_token\":\"t\",\"scope\":\"a+b;c\"}");
	ok(has_scopes("a|b;c"), "and not in that of the request");
	reset_client();

	initStringInfo(&body);
	appendStringInfoString(&body, "{\"access_token\":\"t\",\"scope\":\"");
	for (i = 0; i < 3000; i++)
		appendStringInfo(&body, "s%d ", i);
	appendStringInfoString(&body, "\"}");
	parse(200, body.data);
	ok(granted("t") && response.n_scopes == 1024, "there is an end of scopes");
	pfree(body.data);
}

static void
test_token_path(void)
{
	static const char *const user[] = {"user"};

	reset_client();
	client.token_path = "authed_user";
	client.token_types = user;
	client.n_token_types = 1;
	parse(200,
		  "{\"ok\":true,\"access_token\":\"bot\",\"token_type\":\"bot\",\"scope\":\"commands\","
		  "\"expires_in\":1,\"refresh_token\":\"bot-r\",\"team\":{\"id\":\"T1\"},"
		  "\"authed_user\":{\"id\":\"U1\",\"scope\":\"chat:write,search:read\","
		  "\"access_token\":\"xoxp\",\"token_type\":\"user\",\"expires_in\":43200,"
		  "\"refresh_token\":\"xoxe\"}}");
	ok(granted("xoxp") && strcmp(response.refresh_token, "xoxe") == 0 &&
		   strcmp(response.token_type, "user") == 0 && response.expires_in == 43200 &&
		   has_scopes("chat:write|search:read"),
	   "tokens, scope and lifetime come from the row's path, nothing from top level");
	parse(200, "{\"ok\":true,\"access_token\":\"bot\",\"token_type\":\"bot\","
			   "\"authed_user\":{\"id\":\"U1\"}}");
	ok(malformed("no access_token"), "the bot's token is never taken for the user's");
	parse(200, "{\"ok\":true,\"access_token\":\"any\"}");
	ok(malformed("token path"), "nor is one at top level that does not say what it is");
	parse(200, "{\"ok\":true,\"access_token\":\"any\",\"token_type\":\"Bearer\"}");
	ok(malformed("token path"), "nor a Bearer token");
	parse(200, "{\"ok\":true,\"access_token\":\"xoxp2\",\"token_type\":\"user\","
			   "\"refresh_token\":\"xoxe2\",\"expires_in\":43200}");
	ok(granted("xoxp2") && strcmp(response.refresh_token, "xoxe2") == 0,
	   "a refreshed one of a type that the row lists is taken from top level");
	parse(200, "{\"ok\":true,\"authed_user\":\"U1\"}");
	ok(malformed("token path"), "a path to something else");
	parse(200, "{\"authed_user\":{\"access_token\":\"a\",\"access_token\":\"b\"}}");
	ok(malformed("twice"), "duplicate keys at the path");
	parse(200,
		  "{\"ok\":false,\"error\":\"invalid_code\",\"authed_user\":{\"access_token\":\"t\"}}");
	ok(refused_as(TOKEN_INVALID_GRANT, "invalid_code"), "an error at top level comes first");

	client.token_path = "data.tokens";
	parse(200,
		  "{\"data\":{\"a\":{\"access_token\":\"no\"},\"tokens\":{\"access_token\":\"deep\"}}}");
	ok(granted("deep"), "a dotted path");
	parse(200, "{\"data\":{\"tokens\":[{\"access_token\":\"t\"}]}}");
	ok(malformed("token path"), "a path does not go through arrays");
	parse(200, "{\"data\":{\"x\":1,\"x\":2,\"tokens\":{\"access_token\":\"t\"}}}");
	ok(malformed("twice"), "duplicate keys on the way");
	parse(200,
		  "{\"tokens\":{\"access_token\":\"t\"},\"dat\":{\"tokens\":{\"access_token\":\"t\"}}}");
	ok(malformed("token path"), "a path begins at the top and with whole names");
}

static const char *
value_of(const char *name)
{
	int i;

	for (i = 0; i < response.n_values; i++)
	{
		if (strcmp(response.values[i].name, name) == 0)
			return response.values[i].value;
	}
	return NULL;
}

static void
test_paths(void)
{
	static const NameValue values[] = {{"refreshToken", "refreshToken"}, {"other", "other"}};

	reset_client();
	client.access_token_path = "credentials.accessToken";
	client.refresh_token_path = "credentials.refreshToken";
	client.expires_in_path = "expires";
	parse(200, "{\"credentials\":{\"accessToken\":\"a\",\"refreshToken\":\"r\"},\"expires\":\"60\","
			   "\"scope\":\"x y\",\"access_token\":\"other\"}");
	ok(granted("a") && strcmp(response.refresh_token, "r") == 0 && response.expires_in == 60 &&
		   has_scopes("x|y"),
	   "tokens and lifetime are where the definition says");
	parse(200, "{\"access_token\":\"a\",\"refresh_token\":\"r\",\"expires_in\":60}");
	ok(malformed("there is no access_token"), "and nowhere else");
	parse(200,
		  "{\"credentials\":{\"accessToken\":\"a\"},\"refresh_token\":\"r\",\"expires_in\":60}");
	ok(granted("a") && response.refresh_token == NULL && response.expires_in == -1,
	   "which goes for each");
	parse(200, "{\"credentials\":{\"accessToken\":{\"x\":\"a\"}}}");
	ok(malformed("access_token is not a string"), "an object is no token");
	parse(200, "{\"credentials\":[{\"accessToken\":\"a\"}]}");
	ok(malformed("there is no access_token"), "nor is what is in an array");
	parse(200, "{\"credentials\":{\"accessToken\":\"a\",\"refreshToken\":[\"r\"]}}");
	ok(malformed("refresh_token is not a string"), "a list is no refresh token");
	parse(200, "{\"credentials\":{\"accessToken\":\"a\",\"accessToken\":\"b\"}}");
	ok(malformed("twice"), "nor is one of two");
	parse(200, "{\"credentials\":{\"accessToken\":\"a\",\"refreshToken\":\"a\"}}");
	ok(malformed("are one"), "the refresh token is not handed out as an access token");

	reset_client();
	client.refresh_by_access_token = true;
	parse(200, "{\"access_token\":\"a\"}");
	ok(granted("a") && strcmp(response.refresh_token, "a") == 0,
	   "where the access token is sent for another it is kept for that");

	reset_client();
	client.access_token_path = "access_token.token";
	parse(200, "{\"access_token\":{\"token\":\"a\",\"expires_at\":null}}");
	ok(granted("a"), "the access token may be in an object of that name");
	client.access_token_path = "a.b.c";
	client.refresh_token_path = "a.b.d";
	client.expires_in_path = "a.e";
	parse(200, "{\"a\":{\"b\":{\"c\":\"t\",\"d\":\"r\",\"x\":{}},\"e\":7},\"b\":{\"c\":\"no\"}}");
	ok(granted("t") && strcmp(response.refresh_token, "r") == 0 && response.expires_in == 7,
	   "paths go as deep as one likes");

	reset_client();
	client.form_token_response = true;
	client.expires_in_path = "expires";
	parse_bytes(200, "text/plain", "access_token=a&expires=3600", 27);
	ok(granted("a") && response.expires_in == 3600, "and name members of a form");

	reset_client();
	client.refresh_token_path = "refreshToken";
	client.token_response_values = values;
	client.n_token_response_values = 2;
	parse(200, "{\"access_token\":\"a\",\"refreshToken\":\"r\",\"other\":\"r\"}");
	ok(granted("a") && response.n_values == 0, "no token becomes part of connection_config");

	reset_client();
	parse(200, "{\"access_token\":\"a\",\"id_token\":false}");
	ok(granted("a") && response.id_token != NULL && response.id_token[0] == '\0',
	   "an id_token that is false is a bad one");
	client.id_token_optional = true;
	parse(200, "{\"access_token\":\"a\",\"id_token\":false}");
	ok(granted("a") && response.id_token == NULL, "or none, where there need not be one");
}

/* An answer with this expires_at to a request of 2020-01-01T00:00:00Z */
static bool
lasts(DateFormat format, const char *expires_at, int64_t seconds)
{
	client.expires_at_path = "t";
	client.expires_at_format = format;
	parse(200, psprintf("{\"access_token\":\"a\",\"t\":%s}", expires_at));
	token_response_count_from(&response, &client, 1577836800);
	if (response.expires_in != seconds)
		printf("# %s: %lld\n", expires_at, (long long) response.expires_in);
	return granted("a") && response.expires_in == seconds && response.expires_at == -1;
}

static void
test_expires_at(void)
{
	static const char *const absurd[] = {"\"2020-13-01T00:00:00Z\"",
										 "\"2020-01-32T00:00:00Z\"",
										 "\"2020-01-01T24:00:00Z\"",
										 "\"2020-01-01\"",
										 "\"2020-01-01T00:01:00\"",
										 "\"2020-01-01T00:01:00+1\"",
										 "\"2020-01-01T00:01:00Z \\u0007\"",
										 "\"tomorrow\"",
										 "\"0001-01-01T00:00:00Z\"",
										 "\"9999-12-31T23:59:59Z\"",
										 "\"2019-12-01T00:00:00Z\"",
										 "1577840400",
										 "{}",
										 "[1]",
										 "true"};
	static const char *const no_numbers[] = {
		"1e400",    "-1",      "\"NaN\"", "\"0x5e0be100\"",
		"\"\\\"\"", "\"inf\"", "0",       "99999999999999999999"};

	reset_client();
	ok(lasts(DATE_RFC3339, "\"2020-01-01T01:00:00Z\"", 3600),
	   "an answer may say when a token ends");
	ok(lasts(DATE_RFC3339, "\" 2020-01-01t01:00:00.999z \"", 3600), "in RFC 3339's other spelling");
	ok(lasts(DATE_RFC3339, "\"2020-01-01 02:30:00+01:30\"", 3600), "in another zone");
	ok(lasts(DATE_RFC3339, "\"2019-12-31T20:00:00-0500\"", 3600), "in one to the west");
	ok(lasts(DATE_RFC3339, "\"2020-01-01T00:59:60Z\"", 3599), "and with a leap second");
	ok(lasts(DATE_EPOCH, "1577840400", 3600) && lasts(DATE_EPOCH, "\"1577840400\"", 3600) &&
		   lasts(DATE_EPOCH, "1577840400.9", 3600),
	   "as a number of seconds, or as a string of one");
	ok(lasts(DATE_EPOCH_MS, "1577840400999", 3600), "or of milliseconds");
	ok(lasts(DATE_EPOCH, "1577836800", 0) && lasts(DATE_EPOCH, "1577836000", 0),
	   "a moment ago is now");
	client.zero_expires_in = ZERO_IS_UNKNOWN;
	ok(lasts(DATE_EPOCH, "1577836000", -1), "or unknown");
	reset_client();
	client.default_expires_in = 60;
	ok(lasts(DATE_RFC3339, "null", 60) && lasts(DATE_RFC3339, "\"\"", 60) &&
		   !response.expires_in_ignored,
	   "what is absent leaves the default");
	for (int i = 0; i < (int) lengthof(absurd); i++)
		ok(lasts(DATE_RFC3339, absurd[i], 60) && response.expires_in_ignored,
		   "%s is ignored, which is told", absurd[i]);
	for (int i = 0; i < (int) lengthof(no_numbers); i++)
		ok(lasts(DATE_EPOCH, no_numbers[i], 60) && response.expires_in_ignored,
		   "%s is ignored, which is told", no_numbers[i]);
	parse(400, "{\"error\":\"invalid_grant\",\"t\":1577840400}");
	token_response_count_from(&response, &client, 1577836800);
	ok(refused_as(TOKEN_INVALID_GRANT, "invalid_grant"), "an error has no lifetime");
}

static void
test_own_errors(void)
{
	static const char *const zero[] = {"0", "ok"};
	static const NameValue outcomes[] = {{"40002", "reconnect_required"},
										 {"40100", "rate_limited"},
										 {"50000", "provider_unavailable"},
										 {"40013", "connector_misconfigured"},
										 {"invalid_grant", "refused"}};

	reset_client();
	client.error_path = "code";
	client.ok_values = zero;
	client.n_ok_values = 2;
	client.error_outcomes = outcomes;
	client.n_error_outcomes = lengthof(outcomes);
	parse(200, "{\"code\":0,\"access_token\":\"a\"}");
	ok(granted("a"), "0 is no error");
	parse(200, "{\"code\":\"ok\",\"access_token\":\"a\"}");
	ok(granted("a"), "nor is another that is listed");
	parse(200, "{\"access_token\":\"a\"}");
	ok(granted("a"), "nor is none");
	parse(200, "{\"code\":null,\"access_token\":\"a\"}");
	ok(granted("a"), "nor is null");
	parse(200, "{\"code\":40002,\"message\":\"expired\",\"access_token\":\"a\"}");
	ok(refused_as(TOKEN_INVALID_GRANT, "40002") &&
		   strcmp(response.error_description, "expired") == 0,
	   "another is, with the meaning that the definition has for it, whatever comes with it");
	parse(200, "{\"code\":40100}");
	ok(refused_as(TOKEN_RATE_LIMITED, "40100"), "too many");
	parse(200, "{\"code\":50000}");
	ok(refused_as(TOKEN_UNAVAILABLE, "50000"), "a bad day");
	parse(400, "{\"code\":\"40013\"}");
	ok(refused_as(TOKEN_INVALID_CLIENT, "40013"), "the client, under another status");
	parse(200, "{\"code\":7}");
	ok(refused_as(TOKEN_REFUSED, "7"), "one that is not listed is a refusal");
	parse(503, "{\"code\":40002}");
	ok(refused_as(TOKEN_UNAVAILABLE, "40002"), "but no status of a bad day is believed");
	parse(200, "{\"code\":0,\"error\":\"invalid_grant\"}");
	ok(refused_as(TOKEN_REFUSED, "invalid_grant"), "the standard's place is looked at as well");
	parse(200, "{\"code\":{\"x\":0},\"access_token\":\"a\"}");
	ok(refused_as(TOKEN_REFUSED, "invalid_response"), "an object is no code");
	parse(200, "{\"code\":[0],\"access_token\":\"a\"}");
	ok(refused_as(TOKEN_REFUSED, "invalid_response"), "nor is a list");
	parse(200, "{\"code\":\"a\\nb\\u00e9\"}");
	ok(response.outcome == TOKEN_REFUSED && strcmp(response.error, "a?b??") == 0,
	   "codes are fit to show: %s", response.error);

	client.n_ok_values = 0;
	parse(200, "{\"code\":false,\"access_token\":\"a\"}");
	ok(granted("a"), "false is no error where nothing is listed");
	client.error_path = "status.ok";
	client.ok_values = (const char *const[]){"true"};
	client.n_ok_values = 1;
	parse(200, "{\"status\":{\"ok\":true},\"access_token\":\"a\"}");
	ok(granted("a"), "true may be what is well");
	parse(200, "{\"status\":{\"ok\":false},\"access_token\":\"a\"}");
	ok(refused_as(TOKEN_REFUSED, "false"), "and false not");
}

static void
test_values(void)
{
	static const NameValue names[] = {{"instance_url", "instance_url"},
									  {"id", "id"},
									  {"paid", "paid"},
									  {"absent", "absent"},
									  {"nothing", "nothing"},
									  {"obj", "obj"},
									  {"list", "list"},
									  {"scope", "scope"},
									  {"bad", "bad"},
									  {"c1", "c1"},
									  {"access_token", "access_token"},
									  {"refresh_token", "refresh_token"},
									  {"id_token", "id_token"},
									  {"city", "city"}};
	static const NameValue deep[] = {{"team", "team.id"},
									 {"own", "team.own.id"},
									 {"element", "teams.0"},
									 {"token", "team.access_token"},
									 {"same", "team.same"}};
	StringInfoData body;
	char long_value[1025];

	reset_client();
	client.token_response_values = names;
	client.n_token_response_values = lengthof(names);
	parse(200, "{\"access_token\":\"t\",\"refresh_token\":\"r\",\"id_token\":\"i\","
			   "\"instance_url\":\"https://eu1.provider.example\",\"id\":12.50,\"paid\":true,"
			   "\"nothing\":null,\"obj\":{\"a\":1},\"list\":[1],\"scope\":[\"a\"],"
			   "\"bad\":\"a\\u001bb\",\"c1\":\"a\\u0085b\",\"city\":\"Z\\u00fcrich\"}");
	ok(granted("t") && value_of("instance_url") != NULL &&
		   strcmp(value_of("instance_url"), "https://eu1.provider.example") == 0,
	   "a value that the row names is kept");
	ok(value_of("id") != NULL && strcmp(value_of("id"), "12.50") == 0,
	   "a number as it was written");
	ok(value_of("paid") != NULL && strcmp(value_of("paid"), "true") == 0, "a boolean as its name");
	ok(value_of("city") != NULL && strcmp(value_of("city"), "Z\xc3\xbcrich") == 0, "text as UTF-8");
	ok(value_of("absent") == NULL && value_of("nothing") == NULL, "not what is absent or null");
	ok(value_of("obj") == NULL && value_of("list") == NULL && value_of("scope") == NULL,
	   "not objects and arrays");
	ok(value_of("bad") == NULL && value_of("c1") == NULL, "not one with a control character");
	ok(value_of("access_token") == NULL && value_of("refresh_token") == NULL &&
		   value_of("id_token") == NULL,
	   "and never a token, whatever the row says");
	ok(response.n_values == 4, "so four are left");

	client.token_response_values = deep;
	client.n_token_response_values = lengthof(deep);
	parse(
		200,
		"{\"access_token\":\"t\",\"team\":{\"id\":\"T1\",\"own\":{\"id\":7},\"access_token\":\"x\","
		"\"same\":\"t\"},\"teams\":[\"a\"],\"id\":\"no\"}");
	ok(value_of("team") != NULL && strcmp(value_of("team"), "T1") == 0 && value_of("own") != NULL &&
		   strcmp(value_of("own"), "7") == 0,
	   "values may stand further down");
	ok(response.n_values == 2, "where no token is one either, nor an element of an array");
	client.token_response_values = names;
	client.n_token_response_values = lengthof(names);

	memset(long_value, 'v', 1024);
	long_value[1024] = '\0';
	initStringInfo(&body);
	appendStringInfo(&body, "{\"access_token\":\"t\",\"id\":\"%s\",\"instance_url\":\"%sv\"}",
					 long_value, long_value);
	parse(200, body.data);
	ok(value_of("id") != NULL && strcmp(value_of("id"), long_value) == 0, "1 KiB is kept");
	ok(value_of("instance_url") == NULL, "a longer one is left out, not cut");
	pfree(body.data);
}

static void
test_form(void)
{
	/* what GitHub answers unless asked for JSON */
	static const char github[] =
		"access_token=gho_1&scope=repo%2Cgist&token_type=bearer&expires_in=28800";
	static const char page[] = "<html><a href=\"?access_token=t\">";

	reset_client();
	client.form_token_response = true;
	parse_bytes(200, "application/x-www-form-urlencoded; charset=utf-8", github, strlen(github));
	ok(granted("gho_1") && has_scopes("repo|gist") && response.expires_in == 28800,
	   "a form, where the row says so");
	parse(200, "access_token=a%2Bb+c");
	ok(granted("a+b c"), "is decoded");
	parse(200, "{\"access_token\":\"t\"}");
	ok(granted("t"), "JSON is still JSON there");
	parse(200, "error=bad_verification_code&error_description=The+code+passed+is+incorrect");
	ok(refused_as(TOKEN_INVALID_GRANT, "bad_verification_code") &&
		   strcmp(response.error_description, "The code passed is incorrect") == 0,
	   "and an error under status 200 an error");
	parse(200, "access_token=t&access_token=u");
	ok(malformed("twice"), "duplicate names in a form");
	parse(200, "access_token=t&access%5Ftoken=u");
	ok(malformed("twice"), "duplicate names in a form, one of them encoded");
	parse(200, "access_token=t%0d%0aX");
	ok(malformed("characters"), "a token with CRLF in a form");
	parse(200, "access_token=t%00");
	ok(malformed("form"), "NUL in a form");
	parse(200, "access_token=t%ff");
	ok(malformed("form"), "invalid UTF-8 in a form");
	parse(200, "access_token=t%4");
	ok(malformed("form"), "half an escape in a form");
	parse(200, "access_token=t%zz");
	ok(malformed("form"), "an escape that is no number in a form");
	parse(200, "access_token");
	ok(malformed("form"), "a name without a value");
	parse_bytes(200, "text/html", page, strlen(page));
	ok(malformed("web page"), "a web page is no form");
	client.token_path = "authed_user";
	parse(200, "access_token=t");
	ok(malformed("token path"), "a form has no objects");
}

static void
test_errors(void)
{
	static const struct
	{
		const char *code;
		TokenOutcome outcome;
	} codes[] = {
		{"invalid_grant", TOKEN_INVALID_GRANT},
		{"bad_refresh_token", TOKEN_INVALID_GRANT},
		{"invalid_refresh_token", TOKEN_INVALID_GRANT},
		{"bad_verification_code", TOKEN_INVALID_GRANT},
		{"invalid_code", TOKEN_INVALID_GRANT},
		{"invalid_client", TOKEN_INVALID_CLIENT},
		{"incorrect_client_credentials", TOKEN_INVALID_CLIENT},
		{"bad_client_secret", TOKEN_INVALID_CLIENT},
		{"invalid_client_id", TOKEN_INVALID_CLIENT},
		{"unauthorized_client", TOKEN_REFUSED},
		{"invalid_request", TOKEN_REFUSED},
		{"unsupported_grant_type", TOKEN_REFUSED},
		{"invalid_scope", TOKEN_REFUSED},
		{"access_denied", TOKEN_REFUSED},
		{"INVALID_GRANT_X", TOKEN_REFUSED},
		{"interaction_required", TOKEN_INVALID_GRANT},
		{"login_required", TOKEN_INVALID_GRANT},
		{"consent_required", TOKEN_INVALID_GRANT},
		{"account_selection_required", TOKEN_INVALID_GRANT},
		{"token_revoked", TOKEN_INVALID_GRANT},
		{"token_expired", TOKEN_INVALID_GRANT},
		{"unknown_error", TOKEN_UNAVAILABLE},
		{"rate_limit_exceeded", TOKEN_RATE_LIMITED},
		{"too_many_requests", TOKEN_RATE_LIMITED},
		{"temporarily_unavailable", TOKEN_UNAVAILABLE},
		{"server_error", TOKEN_UNAVAILABLE},
		{"internal_error", TOKEN_UNAVAILABLE},
		{"slow_down", TOKEN_RATE_LIMITED},
		{"ratelimited", TOKEN_RATE_LIMITED},
	};
	static const int statuses[] = {200, 400, 401, 403};
	size_t i;
	size_t j;

	reset_client();
	for (i = 0; i < lengthof(codes); i++)
	{
		bool all = true;

		for (j = 0; j < lengthof(statuses); j++)
		{
			char body[128];

			snprintf(body, sizeof(body), "{\"error\":\"%s\",\"access_token\":\"t\"}",
					 codes[i].code);
			parse(statuses[j], body);
			all &= refused_as(codes[i].outcome, codes[i].code);
		}
		ok(all, "error %s means the same under 200, 400, 401 and 403", codes[i].code);
	}

	parse(200, "{\"ok\":false,\"error\":\"invalid_refresh_token\"}");
	ok(refused_as(TOKEN_INVALID_GRANT, "invalid_refresh_token"), "Slack's ok:false with an error");
	parse(200, "{\"ok\":false,\"access_token\":\"t\"}");
	ok(refused_as(TOKEN_REFUSED, "invalid_response"), "ok:false without one");
	parse(200, "{\"error\":\"\",\"access_token\":\"t\"}");
	ok(granted("t"), "an empty error is none");
	parse(200, "{\"error\":null,\"access_token\":\"t\"}");
	ok(granted("t"), "a null error is none");
	parse(200, "{\"error\":false,\"ok\":true,\"access_token\":\"t\"}");
	ok(granted("t"), "error false is none");
	parse(200, "{\"error\":true,\"access_token\":\"t\"}");
	ok(refused_as(TOKEN_REFUSED, "invalid_response"), "error true is one");
	parse(200, "{\"error\":17,\"access_token\":\"t\"}");
	ok(refused_as(TOKEN_REFUSED, "invalid_response"), "an error that is a number");
	parse(400, "{\"error\":[\"invalid_grant\"]}");
	ok(refused_as(TOKEN_REFUSED, "invalid_response"), "an error that is an array");
	parse(400, "{\"error\":{}}");
	ok(refused_as(TOKEN_REFUSED, "invalid_response"), "an error that is an empty object");
	parse(400, "{\"error\":{\"code\":\"invalid_grant\",\"message\":\"token is dead\"}}");
	ok(refused_as(TOKEN_INVALID_GRANT, "invalid_grant") &&
		   strcmp(response.error_description, "token is dead") == 0,
	   "an error object with a code and a message");
	parse(400, "{\"error\":{\"message\":\"m\",\"type\":\"OAuthException\",\"code\":190}}");
	ok(refused_as(TOKEN_REFUSED, "OAuthException"), "an error object with a type");
	parse(403,
		  "{\"error\":{\"code\":403,\"status\":\"PERMISSION_DENIED\",\"details\":[{\"a\":1}]}}");
	ok(refused_as(TOKEN_REFUSED, "PERMISSION_DENIED"), "an error object with a status");
	parse(400, "{\"error\":{\"code\":{\"code\":\"x\"},\"type\":[],\"status\":\"\"}}");
	ok(refused_as(TOKEN_REFUSED, "invalid_response"), "an error object with none of them");

	parse(400,
		  "{\"error\":\"invalid_grant\",\"error_description\":\"a\\u001b[31m\xc3\xa9\\n\\u0000\"}");
	ok(refused_as(TOKEN_UNAVAILABLE, ""), "an error in a body that is refused says nothing");
	parse(400,
		  "{\"error\":\"inv\\u001b\\nalid\",\"error_description\":\"a\\u001b[31m\xc3\xa9\\n\"}");
	ok(refused_as(TOKEN_REFUSED, "inv??alid") &&
		   strcmp(response.error_description, "a?[31m???") == 0,
	   "words are shown as printable ASCII");
	client.client_id = "app";
	client.client_secret = "s3cret";
	parse(401, "{\"error\":\"invalid_client\",\"error_description\":\"s3cret? no, it was s3cre\"}");
	ok(refused_as(TOKEN_INVALID_CLIENT, "invalid_client") &&
		   strcmp(response.error_description, "***? no, it was s3cre") == 0,
	   "without the client secret");
	client.client_secret = "7Fjfp0ZBr1KtDRbnfVdmIw";
	parse(401, "{\"error\":\"no_7Fjfp0ZBr1\",\"error_description\":\"7Fjfp0ZBr1KtDRbn\\u0007 "
			   "YXBwOjdGamZwMFpCcjFLdERSYm5mVmRtSXc=\"}");
	ok(refused_as(TOKEN_REFUSED, "no_***") && strcmp(response.error_description, "***? ***") == 0,
	   "in no member and in no form");
	reset_client();
	parse(400, "{\"error\":\"e\",\"error_description\":[\"x\"]}");
	ok(refused_as(TOKEN_REFUSED, "e") && response.error_description[0] == '\0',
	   "a description that is no string is none");
	{
		StringInfoData body;

		initStringInfo(&body);
		appendStringInfoString(&body, "{\"error\":\"");
		appendStringInfoSpaces(&body, 3000);
		appendStringInfoString(&body, "\",\"error_description\":\"");
		appendStringInfoSpaces(&body, 3000);
		appendStringInfoString(&body, "\"}");
		parse(400, body.data);
		ok(response.outcome == TOKEN_REFUSED && strlen(response.error) == MAX_ERROR_CODE &&
			   strlen(response.error_description) == MAX_ERROR_DESCRIPTION,
		   "and truncated");
		pfree(body.data);
	}
}

static void
test_statuses(void)
{
	static const int unavailable[] = {408, 425, 500, 501, 502, 503, 504, 520, 599};
	static const int wordless[] = {400, 401, 402, 403, 404, 405, 406, 410, 415, 422, 451, 499};
	static const int never[] = {-1, 0, 100, 101, 103, 199, 600, 999};
	static const char *const bodies[] = {
		"", "<html>", "{}", "null", "{\"access_token\":\"t\"}", "{\"error\":\"\"}"};
	size_t i;
	size_t j;

	reset_client();
	for (i = 0; i < lengthof(unavailable); i++)
	{
		bool all;

		parse(unavailable[i], "{\"error\":\"invalid_grant\"}");
		all = refused_as(TOKEN_UNAVAILABLE, "invalid_grant");
		parse(unavailable[i], "{\"error\":\"invalid_client\"}");
		all &= refused_as(TOKEN_UNAVAILABLE, "invalid_client");
		for (j = 0; j < lengthof(bodies); j++)
		{
			parse(unavailable[i], bodies[j]);
			all &= refused_as(TOKEN_UNAVAILABLE, "");
		}
		ok(all, "%d is never definite, whatever the body says", unavailable[i]);
	}
	for (i = 0; i < lengthof(wordless); i++)
	{
		bool all = true;

		for (j = 0; j < lengthof(bodies); j++)
		{
			bool may_be_a_refusal =
				wordless[i] <= 401 && bodies[j][0] != '<' && bodies[j][0] != 'n';

			parse(wordless[i], bodies[j]);
			all &= refused_as(may_be_a_refusal ? TOKEN_REFUSED : TOKEN_UNAVAILABLE, "");
		}
		ok(all, "%d without an error may be a refusal if it is 400 or 401 and no web page",
		   wordless[i]);
		parse(wordless[i], "{\"error\":\"invalid_grant\"}");
		ok(refused_as(TOKEN_INVALID_GRANT, "invalid_grant"), "%d with invalid_grant is that",
		   wordless[i]);
		parse(wordless[i], "{\"error\":\"Not Found\"}");
		ok(refused_as(wordless[i] <= 403 && wordless[i] != 402 ? TOKEN_REFUSED : TOKEN_UNAVAILABLE,
					  "Not Found"),
		   "%d with words of its own", wordless[i]);
	}
	parse_bytes(403, "text/html; charset=utf-8", "<html>Just a moment...</html>", 29);
	ok(refused_as(TOKEN_UNAVAILABLE, ""), "a firewall's page is never about a grant");
	parse_bytes(400, "application/x-www-form-urlencoded", "error=invalid_grant", 19);
	ok(refused_as(TOKEN_INVALID_GRANT, "invalid_grant"), "an error may be form encoded");
	parse_bytes(200, "application/x-www-form-urlencoded", "access_token=t", 14);
	ok(malformed("JSON"), "tokens may not, unless the definition says so");
	parse(429, "{\"error\":\"invalid_grant\"}");
	ok(refused_as(TOKEN_RATE_LIMITED, "invalid_grant"), "429 is a limit of the rate");
	parse(429, "");
	ok(refused_as(TOKEN_RATE_LIMITED, ""), "also without a body");
	parse(302, "{\"access_token\":\"t\"}");
	ok(malformed("redirect"), "redirect 302 to another host");
	parse(307, "{\"error\":\"invalid_grant\"}");
	ok(malformed("redirect") && response.error[0] == '\0', "307 whatever it says");
	for (i = 0; i < lengthof(never); i++)
	{
		parse(never[i], "{\"access_token\":\"t\"}");
		ok(malformed("status"), "%d is no answer", never[i]);
	}
}

static void
test_secrets(void)
{
	char *access_token;
	char *refresh_token;

	reset_client();
	parse(200, "{\"access_token\":\"secret-a\",\"refresh_token\":\"secret-r\"}");
	access_token = response.access_token;
	refresh_token = response.refresh_token;
	token_response_cleanse(&response);
	ok(memcmp(access_token, "\0\0\0\0\0\0\0\0", 8) == 0 &&
		   memcmp(refresh_token, "\0\0\0\0\0\0\0\0", 8) == 0,
	   "token_response_cleanse overwrites the tokens");
	ok(response.access_token == NULL && response.refresh_token == NULL, "and forgets them");
	token_response_cleanse(&response);
	ok(true, "twice is harmless");
}

/* How a revocation was asked for */
static OAuthClient asked;

static bool
revocation(int status, const char *body, RevocationOutcome outcome, const char *error)
{
	char text[MAX_ERROR_CODE + 1] = "stale";
	char description[MAX_ERROR_DESCRIPTION + 1] = "stale";
	RevocationOutcome got = classify_revocation_response(
		&asked, status, body, body ? strlen(body) : 0, text, description);

	if (strcmp(description, "stale") == 0)
		return false;

	if (got != outcome || strcmp(text, error) != 0)
		printf("# outcome %d, error \"%s\"\n", (int) got, text);
	return got == outcome && strcmp(text, error) == 0;
}

static void
test_revocation(void)
{
	static const int retried[] = {408, 425, 429, 500, 502, 503, 504};
	size_t i;

	ok(revocation(200, "", REVOCATION_DONE, ""), "revocation: 200 is done");
	ok(revocation(200, NULL, REVOCATION_DONE, ""), "without a body");
	ok(revocation(204, "", REVOCATION_DONE, ""), "204 too");
	ok(revocation(200, "<html>", REVOCATION_DONE, ""), "whatever the body is");
	ok(revocation(200, "{\"ok\":true,\"revoked\":true}", REVOCATION_DONE, ""), "or says");
	ok(revocation(400, "{\"error\":\"invalid_token\"}", REVOCATION_DEAD, "invalid_token"),
	   "a token may be dead already");
	ok(revocation(200, "{\"ok\":false,\"error\":\"token_expired\"}", REVOCATION_DEAD,
				  "token_expired"),
	   "or have expired");
	ok(revocation(200, "{\"ok\":false,\"error\":\"token_revoked\"}", REVOCATION_DONE,
				  "token_revoked"),
	   "also as Slack says it");
	ok(revocation(400, "{\"error\":\"invalid_grant\"}", REVOCATION_DONE, "invalid_grant"),
	   "or as others do");
	ok(revocation(200, "{\"ok\":false,\"error\":\"invalid_auth\"}", REVOCATION_REFUSED,
				  "invalid_auth"),
	   "an error under 200 is none the less a refusal");
	ok(revocation(200, "{\"ok\":false,\"error\":\"ratelimited\"}", REVOCATION_RETRY, "ratelimited"),
	   "or a reason to try again");
	ok(revocation(400, "{\"error\":\"unsupported_token_type\"}", REVOCATION_REFUSED,
				  "unsupported_token_type"),
	   "unsupported_token_type is refused");
	ok(revocation(401, "{\"error\":\"invalid_client\"}", REVOCATION_REFUSED, "invalid_client"),
	   "so is the client");
	ok(revocation(400, "{\"error\":\"temporarily_unavailable\"}", REVOCATION_RETRY,
				  "temporarily_unavailable"),
	   "temporarily_unavailable is tried again");
	ok(revocation(404, "Not found", REVOCATION_RETRY, ""), "404 is no answer");
	ok(revocation(403, "<html>", REVOCATION_RETRY, ""), "nor is a firewall's page");
	ok(revocation(400, "", REVOCATION_REFUSED, ""), "400 without a word is refused");
	ok(revocation(302, "{\"error\":\"invalid_token\"}", REVOCATION_REFUSED, "invalid_token"),
	   "a redirect is refused");
	for (i = 0; i < lengthof(retried); i++)
		ok(revocation(retried[i], "{\"error\":\"invalid_token\"}", REVOCATION_RETRY,
					  "invalid_token"),
		   "%d is tried again, whatever it says", retried[i]);

	asked.revocation = (RevocationStyle){.is_own = true, .auth = REVOCATION_BEARER};
	ok(revocation(401, "", REVOCATION_DEAD, ""), "a bearer that is not let in is dead");
	ok(revocation(401, "{\"error\":{\".tag\":\"expired\"}}", REVOCATION_DEAD, "invalid_response"),
	   "whatever is said of it");
	ok(revocation(401, "{\"ok\":false,\"error\":\"token_revoked\"}", REVOCATION_DONE,
				  "token_revoked"),
	   "and one that was revoked is done");
	ok(revocation(403, "{\"error\":\"forbidden\"}", REVOCATION_REFUSED, "forbidden"),
	   "one that may not is refused");
	ok(revocation(404, "Not found", REVOCATION_RETRY, ""), "a POST to nowhere is tried again");
	asked.revocation = (RevocationStyle){.is_own = true, .by_delete = true};
	ok(revocation(204, "", REVOCATION_DONE, ""), "what is deleted is done");
	for (i = 0; i < 3; i++)
		ok(revocation((int[]){404, 410, 422}[i], "{\"message\":\"Not Found\"}", REVOCATION_DEAD,
					  ""),
		   "what is not there to be deleted is dead");
	ok(revocation(401, "{\"message\":\"Bad credentials\"}", REVOCATION_REFUSED, ""),
	   "a client that is not let in is refused");
	ok(revocation(503, "", REVOCATION_RETRY, ""), "and 503 tried again");
	asked = (OAuthClient){0};
}

static void
test_retry_after(void)
{
	static const struct
	{
		const char *value;
		int seconds;
	} cases[] = {
		{NULL, -1},
		{"", -1},
		{"0", 0},
		{"120", 120},
		{" 120 ", 120},
		{"86400", 86400},
		{"86401", 86400},
		{"99999999999999999999999999999999", 86400},
		{"-1", -1},
		{"+1", -1},
		{"12 s", -1},
		{"0x10", -1},
		{"soon", -1},
		{"Tue, 14 Nov 2023 22:15:20 GMT", 120},
		{"Tue, 14 Nov 2023 22:15:20 GMT ", 120},
		{"Tuesday, 14-Nov-23 22:15:20 GMT", 120},
		{"Tue Nov 14 22:15:20 2023", 120},
		{"Mon Dec  4 22:15:20 2023", 86400},
		{"Sun, 06 Nov 1994 08:49:37 GMT", 0},
		{"Sunday, 06-Nov-94 08:49:37 GMT", 0},
		{"Sun Nov  6 08:49:37 1994", 0},
		{"Fri, 31 Dec 9999 23:59:59 GMT", 86400},
		{"Tue, 14 Nov 2023 22:15:20", -1},
		{"Tue, 14 Nov 2023 22:15:20 PST", -1},
		{"Tue, 14 Nov 2023 22:15:20 GMT+1", -1},
		{"Tue, 14 Nox 2023 22:15:20 GMT", -1},
		{"Tue, 32 Nov 2023 22:15:20 GMT", -1},
		{"Tue, 00 Nov 2023 22:15:20 GMT", -1},
		{"Tue, 14 Nov 2023 24:15:20 GMT", -1},
		{"Tue, 14 Nov 2023 22:60:20 GMT", -1},
		{"2023-11-14T22:15:20Z", -1},
	};
	size_t i;

	for (i = 0; i < lengthof(cases); i++)
	{
		int seconds = parse_retry_after(cases[i].value, NOW);

		ok(seconds == cases[i].seconds, "Retry-After \"%s\" is %d (%d)",
		   cases[i].value ? cases[i].value : "NULL", cases[i].seconds, seconds);
	}
	/* 2024-02-29T23:59:59Z, seen a minute before the leap day's end and after */
	ok(parse_retry_after("Thu, 29 Feb 2024 23:59:59 GMT", INT64CONST(1709251139)) == 60,
	   "Retry-After on a leap day");
	ok(parse_retry_after("Fri, 01 Mar 2024 00:00:59 GMT", INT64CONST(1709251199)) == 60,
	   "Retry-After across its end");
}

static void
test_words(void)
{
	char out[8];
	char code[MAX_ERROR_CODE + 2];

	sanitize_provider_text("abc", 3, out, sizeof(out));
	ok(strcmp(out, "abc") == 0, "printable ASCII is shown");
	sanitize_provider_text("a\0b\x1b\x7f\xe9~", 7, out, sizeof(out));
	ok(strcmp(out, "a?b???~") == 0, "anything else is a question mark");
	sanitize_provider_text("0123456789", 10, out, sizeof(out));
	ok(strcmp(out, "0123456") == 0, "and there is an end to it");
	sanitize_provider_text("", 0, out, sizeof(out));
	ok(strcmp(out, "") == 0, "nothing is nothing");
	out[0] = 'x';
	sanitize_provider_text("abc", 3, out, 1);
	ok(out[0] == '\0', "room for one is room for the end");

	parse(200, "\xef\xbb\xbf{\"access_token\":\"t\"}");
	ok(response.outcome == TOKEN_GRANTED, "a byte order mark is no reason to lose an answer");
	parse(200, "\xef\xbb\xbf");
	ok(response.outcome == TOKEN_MALFORMED, "nor is it one");
	parse(200, "{\"access_token\":\"\xef\xbb\xbft\"}");
	ok(response.outcome == TOKEN_MALFORMED, "and in a token it is not allowed");
	client.form_token_response = true;
	parse(200, "\r\n access_token=t+%7e&token_type=bearer \r\n");
	ok(response.outcome == TOKEN_GRANTED && strcmp(response.access_token, "t ~") == 0,
	   "white space around a form is none of its last value");
	parse(200, " \r\n");
	ok(response.outcome == TOKEN_MALFORMED, "nor is it a form by itself");
	client.form_token_response = false;
	ok(valid_error_code("access_denied"), "access_denied is an error code");
	ok(valid_error_code("!#[]~"), "so is any NQSCHAR");
	ok(!valid_error_code(NULL), "not NULL");
	ok(!valid_error_code(""), "not an empty one");
	ok(valid_error_code("access denied"), "a space too (RFC 6749 appendix A.7)");
	ok(!valid_error_code("access\"denied"), "not with a quote");
	ok(!valid_error_code("access\\denied"), "not with a backslash");
	ok(!valid_error_code("access\ndenied"), "not with a line end");
	ok(!valid_error_code("acc\xc3\xa9s"), "not beyond ASCII");
	ok(!valid_error_code("a\x7f"), "not with DEL");
	memset(code, 'a', sizeof(code));
	code[MAX_ERROR_CODE] = '\0';
	ok(valid_error_code(code), "64 characters are allowed");
	code[MAX_ERROR_CODE] = 'a';
	code[MAX_ERROR_CODE + 1] = '\0';
	ok(!valid_error_code(code), "65 are not");
}

static void
test_issuer(void)
{
	static const char template[] = "https://login.example/{tenantid}/v2.0";

	ok(issuer_matches("https://a.example", "https://a.example"), "the same issuer");
	ok(!issuer_matches("https://a.example", "https://a.example/"), "not with a slash more");
	ok(!issuer_matches("https://a.example/", "https://a.example"), "not with a slash less");
	ok(!issuer_matches("https://a.example", "https://A.example"), "not in another case");
	ok(!issuer_matches("https://a.example", "https://a.example.evil.example"), "not a longer one");
	ok(!issuer_matches("https://a.example", ""), "not an empty one");
	ok(!issuer_matches("https://a.example", NULL), "not without one");
	ok(!issuer_matches(NULL, "https://a.example"), "not when none is configured");
	ok(issuer_matches(template, "https://login.example/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0"),
	   "{tenantid} is any tenant");
	ok(!issuer_matches(template, "https://login.example//v2.0"), "not an empty one");
	ok(!issuer_matches(template, "https://login.example/a/b/v2.0"), "not two segments");
	ok(!issuer_matches(template, "https://login.example/../v2.0"), "not the parent");
	ok(!issuer_matches(template, "https://login.example/./v2.0"), "not the same");
	ok(!issuer_matches(template, "https://login.example/a?/v2.0"), "not a query");
	ok(!issuer_matches(template, "https://login.example/a%2f/v2.0"), "not an escape");
	ok(!issuer_matches(template, "https://login.example/a/v2.0/x"), "not a longer one");
	ok(!issuer_matches(template, "https://login.example/a/v1.0"), "not another end");
	ok(!issuer_matches(template, "https://evil.example/a/v2.0"), "not another host");
	ok(issuer_matches("https://login.example/{tenantid}", "https://login.example/t1"),
	   "{tenantid} may be last");
	ok(!issuer_matches("https://login.example/{tenantid}", "https://login.example/t1/"),
	   "and then nothing follows");
	ok(!issuer_matches("https://{tenantid}/v2.0", "https://evil.example/v2.0"),
	   "{tenantid} is never a host");
	ok(!issuer_matches("https://{tenantid}.login.example/", "https://t1.login.example/"),
	   "nor a part of one");
	ok(!issuer_matches("https://login.example/x{tenantid}/", "https://login.example/xt1/"),
	   "nor a part of a segment");
}

int
main(void)
{
	test_granted();
	test_not_a_token_response();
	test_access_token();
	test_refresh_and_id_token();
	test_token_type();
	test_expires_in();
	test_refresh_token_expires_in();
	test_scope();
	test_token_path();
	test_paths();
	test_expires_at();
	test_own_errors();
	test_values();
	test_form();
	test_errors();
	test_statuses();
	test_secrets();
	test_revocation();
	test_retry_after();
	test_words();
	test_issuer();
	return tap_done();
}
