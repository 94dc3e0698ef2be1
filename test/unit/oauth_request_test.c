/* sources: src/oauth/request.c src/base/secret.c src/base/base64.c */
/*
 * oauth_request_test.c
 *	  What is sent: encodings against published vectors, and every request
 *	  byte by byte.
 */
#include "postgres_fe.h"

#include "base/base64.h"
#include "oauth/request.h"
#include "tap.h"

static OAuthClient client;

static void reset_client(void);
static void test_base64url(void);
static void test_form_encoding(void);
static void test_pkce(void);
static void test_authorization_url(void);
static void test_client_authentication(void);
static void test_code_request(void);
static void test_refresh_request(void);
static void test_json_body(void);
static void test_revocation_request(void);
static void test_revocation_of_ones_own(void);
static void test_unusual_authorization_url(void);
static void test_unusual_requests(void);
static void test_secrets(void);

static void
reset_client(void)
{
	memset(&client, 0, sizeof(client));
	client.authorization_endpoint = "https://provider.example/authorize";
	client.token_endpoint = "https://provider.example/token";
	client.revocation_endpoint = "https://provider.example/revoke";
	client.client_id = "app";
	client.client_secret = "hush";
	client.auth_method = CLIENT_SECRET_POST;
	client.scope_parameter = "scope";
	client.scope_separator = " ";
	client.scope_in_authorization = true;
	client.default_expires_in = -1;
}

static const char *
base64url(const char *bytes)
{
	static StringInfoData out;

	initStringInfo(&out);
	append_base64url(&out, (const unsigned char *) bytes, strlen(bytes));
	return out.data;
}

static int
decoded(const char *text)
{
	static unsigned char out[256];

	return decode_base64url(text, strlen(text), out);
}

static void
test_base64url(void)
{
	/* RFC 4648 §10, without padding */
	static const char *const vectors[][2] = {
		{"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
		{"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"},
	};
	static const unsigned char rfc7515[] = {3, 236, 255, 224, 193};
	unsigned char out[256];
	StringInfoData text;
	size_t i;

	for (i = 0; i < lengthof(vectors); i++)
	{
		int len = decode_base64url(vectors[i][1], strlen(vectors[i][1]), out);

		ok(strcmp(base64url(vectors[i][0]), vectors[i][1]) == 0, "base64url of \"%s\"",
		   vectors[i][0]);
		ok(len == (int) strlen(vectors[i][0]) && memcmp(out, vectors[i][0], (size_t) len) == 0,
		   "and back from \"%s\"", vectors[i][1]);
	}

	initStringInfo(&text);
	append_base64url(&text, rfc7515, sizeof(rfc7515));
	ok(strcmp(text.data, "A-z_4ME") == 0, "base64url of RFC 7515 appendix C uses - and _");
	ok(decode_base64url("A-z_4ME", 7, out) == 5 && memcmp(out, rfc7515, 5) == 0, "and back");

	ok(decoded("Zg==") == -1, "padding is refused");
	ok(decoded("Zm9+") == -1, "the + of the other alphabet is refused");
	ok(decoded("Zm9/") == -1, "the / of the other alphabet is refused");
	ok(decoded("Zm 9v") == -1, "white space is refused");
	ok(decoded("Zm9v\n") == -1, "a line end is refused");
	ok(decoded("Zm9vY") == -1, "an impossible length is refused");
	ok(decoded("Zh") == -1, "non-zero trailing bits are refused (one byte)");
	ok(decoded("Zm9") == -1, "non-zero trailing bits are refused (two bytes)");
	ok(decoded("Zm\xc3\xa9") == -1, "a character beyond ASCII is refused");
	ok(decode_base64url("Zg\0v", 4, out) == -1, "a NUL is refused");
}

static const char *
form_encoded(const char *text)
{
	static StringInfoData out;

	initStringInfo(&out);
	append_form_encoded(&out, text);
	return out.data;
}

static void
test_form_encoding(void)
{
	/* RFC 6749 appendix B: U+0020 U+0025 U+0026 U+002B U+00A3 U+20AC */
	ok(strcmp(form_encoded(" %&+\xc2\xa3\xe2\x82\xac"), "+%25%26%2B%C2%A3%E2%82%AC") == 0,
	   "form encoding of RFC 6749 appendix B");
	ok(strcmp(form_encoded("AZaz09*-._"), "AZaz09*-._") == 0, "what needs no encoding is kept");
	ok(strcmp(form_encoded("~!'()=/:?#@\"\\\r\n\x7f"),
			  "%7E%21%27%28%29%3D%2F%3A%3F%23%40%22%5C%0D%0A%7F") == 0,
	   "everything else is encoded");
	ok(strcmp(form_encoded(""), "") == 0, "nothing is nothing");
}

static void
test_pkce(void)
{
	char challenge[CODE_CHALLENGE_LENGTH + 1];

	code_challenge_s256("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", challenge);
	ok(strcmp(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM") == 0,
	   "code challenge of RFC 7636 appendix B");
}

static const char *
authorization_url(const AuthorizationParams *params)
{
	static StringInfoData url;

	initStringInfo(&url);
	build_authorization_url(&client, params, &url);
	return url.data;
}

static bool
starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void
test_authorization_url(void)
{
	static const char *const scopes[] = {"calendar.read", "https://provider.example/mail send"};
	static const NameValue extras[] = {
		{"access_type", "offline"},
		{"prompt", ""},
		{"redirect_uri", "https://evil.example"},
		{"state", "fixed"},
		{"client_id", "x"},
		{"response_type", "token"},
		{"scope", "all"},
		{"code_challenge_method", "plain"},
		{"request", "stolen"},
		{"request_uri", "stolen"},
		{"nonce", "1"},
		{"code_challenge", "c"},
	};
	AuthorizationParams params = {0};
	const char *url;

	reset_client();
	params.redirect_uri = "https://app.example/callback?a=1&b=2";
	params.state = "s-1_2";
	ok(strcmp(authorization_url(&params),
			  "https://provider.example/authorize?response_type=code&client_id=app&redirect_uri="
			  "https%3A%2F%2Fapp.example%2Fcallback%3Fa%3D1%26b%3D2&state=s-1_2") == 0,
	   "without scopes, PKCE and nonce there is no such parameter");

	params.scopes = scopes;
	params.n_scopes = 2;
	params.code_verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
	params.nonce = "n1";
	client.authorization_params = extras;
	client.n_authorization_params = lengthof(extras);
	url = authorization_url(&params);
	ok(strcmp(url,
			  "https://provider.example/authorize?response_type=code&client_id=app&redirect_uri="
			  "https%3A%2F%2Fapp.example%2Fcallback%3Fa%3D1%26b%3D2&scope=calendar.read%20https%3A"
			  "%2F%2Fprovider.example%2Fmail%20send&state=s-1_2&code_challenge="
			  "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256&nonce=n1"
			  "&access_type=offline&prompt=") == 0,
	   "scopes, PKCE, nonce and extra parameters, none of which replaces the protocol's");
	ok(strstr(url, "dBjftJeZ4CVP") == NULL, "the code verifier itself never goes to the browser");

	params.n_scopes = 0;
	params.nonce = NULL;
	params.code_verifier = NULL;
	url = authorization_url(&params);
	ok(strstr(url, "scope=") == NULL && strstr(url, "nonce=") == NULL &&
		   strstr(url, "code_challenge") == NULL,
	   "nor do they come in where the protocol leaves a parameter out");

	reset_client();
	client.scope_parameter = "user_scope";
	client.scope_separator = ",";
	client.authorization_params = extras;
	client.n_authorization_params = lengthof(extras);
	params.n_scopes = 2;
	url = authorization_url(&params);
	ok(strstr(url, "&user_scope=calendar.read%2Chttps%3A%2F%2Fprovider.example%2Fmail%20send&") !=
		   NULL,
	   "name and separator of the scopes come from the row");
	ok(strstr(url, "&scope=all") != NULL, "and then \"scope\" is a parameter like any other");

	reset_client();
	params.n_scopes = 0;
	client.authorization_endpoint = "https://provider.example/authorize?tenant=a%20b&x";
	ok(starts_with(authorization_url(&params),
				   "https://provider.example/authorize?tenant=a%20b&x&response_type=code&"),
	   "the endpoint's own query is kept (RFC 6749 section 3.1)");
	client.authorization_endpoint = "https://provider.example/authorize?";
	ok(starts_with(authorization_url(&params), "https://provider.example/authorize?response_type="),
	   "an empty query is begun once");
	client.authorization_endpoint = "https://provider.example/authorize?a=1&";
	ok(strstr(authorization_url(&params), "?a=1&response_type=code&") != NULL,
	   "a query that ends with & is continued once");
	client.authorization_endpoint = "https://provider.example/authorize#top?x";
	ok(starts_with(authorization_url(&params),
				   "https://provider.example/authorize?response_type=") &&
		   strchr(authorization_url(&params), '#') == NULL,
	   "a fragment does not swallow the query");
}

static const char *
body_of(OAuthRequest *request)
{
	return request->body.data;
}

static void
test_client_authentication(void)
{
	OAuthRequest request;

	reset_client();
	client.auth_method = CLIENT_SECRET_BASIC;
	client.client_id = "Aladdin";
	client.client_secret = "open sesame";
	build_refresh_request(&client, "r", NULL, 0, &request);
	/* Aladdin:open+sesame */
	ok(strcmp(request.authorization, "Basic QWxhZGRpbjpvcGVuK3Nlc2FtZQ==") == 0,
	   "client_secret_basic form-encodes before base64 (RFC 6749 section 2.3.1)");
	ok(strstr(body_of(&request), "client_id") == NULL &&
		   strstr(body_of(&request), "client_secret") == NULL,
	   "and nothing of it is in the body");
	oauth_request_free(&request);

	client.client_id = "a:b";
	client.client_secret = "c%d\xc3\xa9";
	build_refresh_request(&client, "r", NULL, 0, &request);
	/* a%3Ab:c%25d%C3%A9 */
	ok(strcmp(request.authorization, "Basic YSUzQWI6YyUyNWQlQzMlQTk=") == 0,
	   "a colon in the id cannot move the border between id and secret");
	oauth_request_free(&request);

	client.client_id = "s6BhdRkqt3";
	client.client_secret = "7Fjfp0ZBr1KtDRbnfVdmIw";
	build_refresh_request(&client, "r", NULL, 0, &request);
	ok(strcmp(request.authorization, "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3") == 0,
	   "client_secret_basic of RFC 6749 section 2.3.1");
	oauth_request_free(&request);

	reset_client();
	client.client_secret = "a&b=c";
	build_refresh_request(&client, "r", NULL, 0, &request);
	ok(request.authorization == NULL, "client_secret_post sends no Authorization header");
	ok(strcmp(body_of(&request), "grant_type=refresh_token&refresh_token=r&client_id=app"
								 "&client_secret=a%26b%3Dc") == 0,
	   "client_secret_post puts id and secret in the body");
	oauth_request_free(&request);

	reset_client();
	client.auth_method = CLIENT_AUTH_NONE;
	client.client_secret = "never sent";
	build_refresh_request(&client, "r", NULL, 0, &request);
	ok(request.authorization == NULL &&
		   strcmp(body_of(&request), "grant_type=refresh_token&refresh_token=r&client_id=app") == 0,
	   "a public client sends its id and nothing else");
	oauth_request_free(&request);
}

static void
test_code_request(void)
{
	static const NameValue extras[] = {
		{"request", "token"},       {"empty", ""},          {"code", "other"},
		{"grant_type", "password"}, {"client_id", "x"},     {"client_secret", "x"},
		{"redirect_uri", "x"},      {"code_verifier", "x"},
	};
	OAuthRequest request;

	reset_client();
	build_code_request(&client, "c/1+2=", "https://app.example/cb?x=1", "verifier", NULL, 0,
					   &request);
	ok(strcmp(request.url, "https://provider.example/token") == 0, "the code goes to the token "
																   "endpoint");
	ok(strcmp(request.content_type, "application/x-www-form-urlencoded") == 0, "as a form");
	ok(strcmp(body_of(&request), "grant_type=authorization_code&code=c%2F1%2B2%3D&redirect_uri="
								 "https%3A%2F%2Fapp.example%2Fcb%3Fx%3D1&code_verifier=verifier"
								 "&client_id=app&client_secret=hush") == 0,
	   "with the redirect URI and the code verifier");
	ok(request.body.len == (int) strlen(request.body.data), "the body's length is known");
	oauth_request_free(&request);

	client.token_params = extras;
	client.n_token_params = lengthof(extras);
	client.auth_method = CLIENT_SECRET_BASIC;
	build_code_request(&client, "c", "https://app.example/cb", NULL, NULL, 0, &request);
	ok(strcmp(body_of(&request), "grant_type=authorization_code&code=c&redirect_uri="
								 "https%3A%2F%2Fapp.example%2Fcb&request=token&empty=") == 0,
	   "the row's parameters are sent, also empty ones, and replace none of the protocol's");
	oauth_request_free(&request);
}

static void
test_refresh_request(void)
{
	static const NameValue extras[] = {
		{"expires_in", "1800"}, {"scope", "everything"}, {"user_scope", "everything"},
		{"refresh_token", "x"}, {"grant_type", "x"},     {"redirect_uri", "app:/"},
	};
	OAuthRequest request;

	reset_client();
	client.scope_parameter = "user_scope";
	client.refresh_params = extras;
	client.n_refresh_params = lengthof(extras);
	build_refresh_request(&client, "r&t", NULL, 0, &request);
	ok(strcmp(body_of(&request), "grant_type=refresh_token&refresh_token=r%26t&client_id=app"
								 "&client_secret=hush&expires_in=1800&redirect_uri=app%3A%2F") == 0,
	   "a refresh sends the row's parameters and never asks for scopes");
	ok(strcmp(request.url, "https://provider.example/token") == 0, "to the token endpoint");
	oauth_request_free(&request);
	client.refresh_endpoint = "https://b.example/refresh";
	build_refresh_request(&client, "r", NULL, 0, &request);
	ok(strcmp(request.url, "https://b.example/refresh") == 0, "or to one of refreshes");
	oauth_request_free(&request);
	build_code_request(&client, "c", "app:/", NULL, NULL, 0, &request);
	ok(strcmp(request.url, "https://provider.example/token") == 0, "but no code");
	oauth_request_free(&request);

	client.n_refresh_params = 0;
	client.resource = "https://api.example/";
	build_refresh_request(&client, "r", NULL, 0, &request);
	ok(strstr(body_of(&request), "&resource=https%3A%2F%2Fapi.example%2F") != NULL,
	   "and names the resource");
	oauth_request_free(&request);
	build_code_request(&client, "c", "app:/", NULL, NULL, 0, &request);
	ok(strstr(body_of(&request), "&resource=https%3A%2F%2Fapi.example%2F") != NULL,
	   "as the exchange does");
	oauth_request_free(&request);
}

static void
test_json_body(void)
{
	OAuthRequest request;

	reset_client();
	client.token_body_format = TOKEN_BODY_JSON;
	client.client_secret = "q\"b\\n\n\x01\xc3\xa9";
	build_code_request(&client, "c", "https://app.example/cb", NULL, NULL, 0, &request);
	ok(strcmp(request.content_type, "application/json") == 0, "a JSON body says so");
	ok(strcmp(body_of(&request),
			  "{\"grant_type\":\"authorization_code\",\"code\":\"c\",\"redirect_uri\":"
			  "\"https://app.example/cb\",\"client_id\":\"app\",\"client_secret\":"
			  "\"q\\\"b\\\\n\\u000A\\u0001\xc3\xa9\"}") == 0,
	   "and escapes quotes, backslashes and control characters");
	oauth_request_free(&request);

	client.auth_method = CLIENT_SECRET_BASIC;
	client.client_secret = "s";
	build_refresh_request(&client, "r", NULL, 0, &request);
	ok(strcmp(body_of(&request), "{\"grant_type\":\"refresh_token\",\"refresh_token\":\"r\"}") ==
			   0 &&
		   request.authorization != NULL,
	   "a JSON body goes with client_secret_basic");
	oauth_request_free(&request);
}

static void
test_revocation_request(void)
{
	OAuthRequest request;

	reset_client();
	build_revocation_request(&client, "t+1", "refresh_token", &request);
	ok(strcmp(request.url, "https://provider.example/revoke") == 0, "a revocation goes to the "
																	"revocation endpoint");
	ok(strcmp(body_of(&request), "token=t%2B1&token_type_hint=refresh_token&client_id=app"
								 "&client_secret=hush") == 0,
	   "with the token, its kind and the client (RFC 7009 section 2.1)");
	oauth_request_free(&request);

	client.auth_method = CLIENT_SECRET_BASIC;
	build_revocation_request(&client, "t", NULL, &request);
	ok(strcmp(body_of(&request), "token=t") == 0 && request.authorization != NULL,
	   "without a hint when none is known");
	oauth_request_free(&request);
}

static void
test_revocation_of_ones_own(void)
{
	static const NameValue names[] = {{"client_id", "client_key"}};
	static const NameValue headers[] = {{"Notion-Version", "2022-06-28"}};
	OAuthRequest request;

	reset_client();
	client.token_headers = headers;
	client.n_token_headers = 1;
	client.revocation =
		(RevocationStyle){.is_own = true, .auth = REVOCATION_BEARER, .token_parameter = "token"};
	build_revocation_request(&client, "t+1", "access_token", &request);
	ok(strcmp(body_of(&request), "") == 0 && request.content_type == NULL && !request.by_delete &&
		   strcmp(request.authorization, "Bearer t+1") == 0,
	   "a bearer revokes itself, in a POST of nothing");
	ok(request.n_headers == 1 && strcmp(request.headers[0].value, "2022-06-28") == 0,
	   "with the provider's headers");
	oauth_request_free(&request);

	client.revocation = (RevocationStyle){.is_own = true,
										  .by_delete = true,
										  .auth = REVOCATION_BASIC,
										  .body_format = TOKEN_BODY_JSON,
										  .token_parameter = "access_token"};
	build_revocation_request(&client, "t\"1", "access_token", &request);
	ok(strcmp(body_of(&request), "{\"access_token\":\"t\\\"1\"}") == 0 && request.by_delete &&
		   strcmp(request.content_type, "application/json") == 0 &&
		   strncmp(request.authorization, "Basic ", 6) == 0,
	   "or is deleted by the client, in JSON");
	oauth_request_free(&request);

	client.token_param_names = names;
	client.n_token_param_names = 1;
	client.revocation =
		(RevocationStyle){.is_own = true, .auth = REVOCATION_POST, .token_parameter = "token"};
	build_revocation_request(&client, "t", "access_token", &request);
	ok(strcmp(body_of(&request), "token=t&client_key=app&client_secret=hush") == 0 &&
		   request.authorization == NULL,
	   "a client has the name that it has at the token endpoint, and there is no hint");
	oauth_request_free(&request);

	client.revocation.auth = REVOCATION_BY_NOTHING;
	build_revocation_request(&client, "t", "access_token", &request);
	ok(strcmp(body_of(&request), "token=t") == 0 && request.authorization == NULL,
	   "and is not named where the token is enough");
	oauth_request_free(&request);
}

/* The memory is only overwritten, so what was a body can still be looked at. */
static void
test_unusual_authorization_url(void)
{
	static const NameValue names[] = {
		{"client_id", "appid"}, {"response_type", NULL}, {"state", "customField"}};
	static const NameValue extras[] = {{"client_id", "own"}, {"appid", "other"}, {"n", "{random}"}};
	const char *scopes[] = {"a", "b"};
	AuthorizationParams params = {.redirect_uri = "app:/",
								  .state = "s",
								  .code_verifier = "verifier",
								  .scopes = scopes,
								  .n_scopes = 2};
	StringInfoData url;
	StringInfoData again;

	reset_client();
	client.authorization_param_names = names;
	client.n_authorization_param_names = lengthof(names);
	client.authorization_params = extras;
	client.n_authorization_params = 2;
	client.pkce = PKCE_PLAIN;
	initStringInfo(&url);
	build_authorization_url(&client, &params, &url);
	ok(strcmp(url.data, "https://provider.example/authorize?appid=app&redirect_uri=app%3A%2F"
						"&scope=a%20b&customField=s&code_challenge=verifier"
						"&code_challenge_method=plain&client_id=own") == 0,
	   "parameters have the provider's names, and what is not called so is free: %s", url.data);

	reset_client();
	client.response_type = "code id_token";
	client.scope_in_authorization = false;
	client.authorization_fragment = "wechat_redirect";
	params.code_verifier = NULL;
	resetStringInfo(&url);
	build_authorization_url(&client, &params, &url);
	ok(strcmp(url.data, "https://provider.example/authorize?response_type=code%20id_token"
						"&client_id=app&redirect_uri=app%3A%2F&state=s#wechat_redirect") == 0,
	   "another response type, no scopes, and a fragment at the end");
	client.authorization_endpoint = "https://provider.example/?x=1";
	client.authorization_fragment = "/oauth?";
	resetStringInfo(&url);
	build_authorization_url(&client, &params, &url);
	ok(strcmp(url.data, "https://provider.example/?x=1#/oauth?response_type=code%20id_token"
						"&client_id=app&redirect_uri=app%3A%2F&state=s") == 0,
	   "or before the parameters");

	reset_client();
	params.n_scopes = 0;
	client.authorization_params = extras + 2;
	client.n_authorization_params = 1;
	resetStringInfo(&url);
	build_authorization_url(&client, &params, &url);
	initStringInfo(&again);
	build_authorization_url(&client, &params, &again);
	ok(strlen(strstr(url.data, "&n=")) == 3 + 36 && strcmp(url.data, again.data) != 0,
	   "a value is made anew each time");
	ok(strstr(url.data, "scope") == NULL, "without scopes there is no parameter of them");
}

static void
test_unusual_requests(void)
{
	static const NameValue token_names[] = {
		{"client_id", "client_key"}, {"grant_type", NULL}, {"redirect_uri", NULL}};
	static const NameValue refresh_names[] = {{"client_secret", NULL}, {"refresh_token", "r"}};
	static const NameValue extras[] = {{"grant_type", "own"}, {"client_key", "x"}};
	static const NameValue headers[] = {
		{"Notion-Version", "2022-06-28"}, {"X-Id", "{random}"}, {"Secret", "{client_secret}"}};
	static const NameValue flow[] = {{"state", "{state}"}, {"again", "{redirect_uri}"}};
	char *scopes[] = {"a", "b c"};
	OAuthRequest request;

	reset_client();
	client.token_param_names = token_names;
	client.n_token_param_names = lengthof(token_names);
	client.refresh_param_names = refresh_names;
	client.n_refresh_param_names = lengthof(refresh_names);
	client.token_params = extras;
	client.n_token_params = lengthof(extras);
	build_code_request(&client, "c", "app:/", "v", scopes, 2, &request);
	ok(strcmp(body_of(&request),
			  "code=c&code_verifier=v&client_key=app&client_secret=hush&grant_type=own") == 0,
	   "an exchange has the provider's names: %s", body_of(&request));
	oauth_request_free(&request);
	build_refresh_request(&client, "t", scopes, 2, &request);
	ok(strcmp(body_of(&request), "grant_type=refresh_token&r=t&client_id=app") == 0,
	   "a refresh has its own");
	oauth_request_free(&request);
	build_revocation_request(&client, "t", NULL, &request);
	ok(strcmp(body_of(&request), "token=t&client_id=app&client_secret=hush") == 0,
	   "a revocation those of the standard");
	oauth_request_free(&request);

	reset_client();
	client.scope_in_exchange = client.scope_in_refresh = true;
	client.scope_separator = ",";
	build_code_request(&client, "c", "app:/", NULL, scopes, 2, &request);
	ok(strstr(body_of(&request), "&scope=a%2Cb+c&") != NULL, "scopes go with an exchange");
	oauth_request_free(&request);
	build_refresh_request(&client, "t", scopes, 2, &request);
	ok(strstr(body_of(&request), "&scope=a%2Cb+c&") != NULL, "and with a refresh");
	oauth_request_free(&request);
	build_refresh_request(&client, "t", NULL, 0, &request);
	ok(strstr(body_of(&request), "scope") == NULL, "unless there are none");
	oauth_request_free(&request);

	reset_client();
	client.token_body_format = TOKEN_BODY_QUERY;
	client.token_headers = headers;
	client.n_token_headers = lengthof(headers);
	build_code_request(&client, "c d", "app:/", NULL, NULL, 0, &request);
	ok(strcmp(request.url, "https://provider.example/token?grant_type=authorization_code"
						   "&code=c%20d&redirect_uri=app%3A%2F&client_id=app"
						   "&client_secret=hush") == 0,
	   "the parameters are in the query");
	ok(request.secret_url == request.url && request.body.data != NULL && request.body.len == 0,
	   "of a POST without a body");
	ok(strcmp(request.headers[2].value, "hush") == 0, "the secret may be in one");
	ok(request.n_headers == 3 && strcmp(request.headers[0].name, "Notion-Version") == 0 &&
		   strcmp(request.headers[0].value, "2022-06-28") == 0 &&
		   strlen(request.headers[1].value) == 36 && request.headers[1].value[14] == '4',
	   "with headers, one of them made anew");
	oauth_request_free(&request);
	ok(request.secret_url == NULL && request.url == NULL && request.n_headers == 0,
	   "which are forgotten");
	client.token_by_get = client.refresh_by_get = true;
	client.token_body_format = TOKEN_BODY_FORM;
	client.auth_method = CLIENT_SECRET_BASIC;
	client.token_endpoint = "https://provider.example/token?v=2";
	build_refresh_request(&client, "t", NULL, 0, &request);
	ok(strcmp(request.url,
			  "https://provider.example/token?v=2&grant_type=refresh_token&refresh_token=t") == 0 &&
		   request.body.data == NULL && request.content_type == NULL &&
		   request.authorization != NULL,
	   "or of a GET");
	oauth_request_free(&request);
	build_revocation_request(&client, "t", NULL, &request);
	ok(strcmp(request.url, "https://provider.example/revoke") == 0 && request.secret_url == NULL &&
		   strcmp(body_of(&request), "token=t") == 0,
	   "a revocation stays a form");
	oauth_request_free(&request);

	reset_client();
	client.token_params = flow;
	client.n_token_params = client.n_refresh_params = 2;
	client.refresh_params = flow;
	client.refresh_by_get = true;
	client.state = "s";
	client.redirect_uri = "app:/";
	build_code_request(&client, "c", "app:/", NULL, NULL, 0, &request);
	ok(strstr(body_of(&request), "&state=s&again=app%3A%2F") != NULL && request.secret_url == NULL,
	   "what the flow has may go with its exchange");
	oauth_request_free(&request);
	build_refresh_request(&client, "t", NULL, 0, &request);
	ok(strstr(request.url, "&state=s&again=app%3A%2F") != NULL && request.body.data == NULL,
	   "and a refresh may be a GET though the exchange is none");
	oauth_request_free(&request);

	reset_client();
	client.long_token_endpoint = "https://b.example/long";
	client.long_token_params = &(const NameValue){"grant_type", "ig_exchange_token"};
	client.n_long_token_params = 1;
	client.long_token_param_names = refresh_names;
	client.n_long_token_param_names = 0;
	build_long_token_request(&client, "t", &request);
	ok(strcmp(request.url, "https://b.example/long?access_token=t&client_id=app&client_secret=hush"
						   "&grant_type=ig_exchange_token") == 0 &&
		   request.body.data == NULL && request.secret_url != NULL,
	   "an access token is taken for one that lives longer");
	oauth_request_free(&request);

	reset_client();
	client.auth_method = CLIENT_SECRET_BASIC;
	client.client_secret = "a/b:c+d";
	client.basic_raw = true;
	build_refresh_request(&client, "t", NULL, 0, &request);
	ok(strcmp(request.authorization, "Basic YXBwOmEvYjpjK2Q=") == 0,
	   "credentials may go as they are");
	oauth_request_free(&request);
}

static void
test_secrets(void)
{
	OAuthRequest request;
	char *body;
	char *authorization;
	char *long_secret = pg_malloc(20001);
	size_t len;
	size_t authorization_len;
	size_t i;
	bool clean = true;

	reset_client();
	client.auth_method = CLIENT_SECRET_BASIC;
	build_refresh_request(&client, "refresh-token-of-somebody", NULL, 0, &request);
	body = request.body.data;
	len = (size_t) request.body.len;
	authorization = request.authorization;
	authorization_len = strlen(authorization);
	oauth_request_free(&request);
	for (i = 0; i < len; i++)
		clean &= body[i] == 0;
	for (i = 0; i < authorization_len; i++)
		clean &= authorization[i] == 0;
	ok(clean, "oauth_request_free overwrites body and Authorization header");
	ok(request.body.data == NULL && request.authorization == NULL, "and forgets them");
	oauth_request_free(&request);
	ok(true, "freeing twice is harmless");

	/* every byte grows as much as it can: a buffer that had to grow would crash */
	memset(long_secret, '\x01', 20000);
	long_secret[20000] = '\0';
	client.client_secret = long_secret;
	build_refresh_request(&client, long_secret, NULL, 0, &request);
	ok(request.body.len == (int) strlen("grant_type=refresh_token&refresh_token=") + 60000 &&
		   request.body.len < request.body.maxlen,
	   "a form body of the worst case fits its buffer");
	ok(strlen(request.authorization) == 6 + (size_t) (3 + 1 + 60000 + 2) / 3 * 4,
	   "and so does the header");
	oauth_request_free(&request);

	client.basic_raw = true;
	client.token_body_format = TOKEN_BODY_QUERY;
	build_refresh_request(&client, long_secret, NULL, 0, &request);
	ok(strlen(request.url) > 60000, "and so do a URL and a raw header");
	oauth_request_free(&request);
	client.client_id = "a";
	client.client_secret = "b";
	build_refresh_request(&client, "c", NULL, 0, &request);
	ok(strcmp(request.authorization, "Basic YTpi") == 0, "as do the shortest");
	oauth_request_free(&request);
	client.client_secret = long_secret;

	client.token_body_format = TOKEN_BODY_JSON;
	client.auth_method = CLIENT_SECRET_POST;
	build_refresh_request(&client, long_secret, NULL, 0, &request);
	ok(request.body.len > 240000 && request.body.len < request.body.maxlen,
	   "a JSON body of the worst case fits its buffer");
	oauth_request_free(&request);
	free(long_secret);
}

int
main(void)
{
	test_base64url();
	test_form_encoding();
	test_pkce();
	test_authorization_url();
	test_client_authentication();
	test_code_request();
	test_refresh_request();
	test_json_body();
	test_revocation_request();
	test_revocation_of_ones_own();
	test_unusual_authorization_url();
	test_unusual_requests();
	test_secrets();
	return tap_done();
}
