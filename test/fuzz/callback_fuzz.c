/* sources: src/oauth/request.c src/oauth/response.c src/oauth/date.c src/oauth/answer_error.c src/oauth/retry_after.c src/oauth/body.c src/base/base64.c src/oauth/scope.c src/base/text.c src/oauth/echo.c */
/*
 * callback_fuzz.c
 *	  What a browser brings to the callback, and the other short texts of
 *	  strangers: codes, error codes, issuers, Retry-After, base64url.
 *
 * The input is one text, and for two arguments it is cut at its first line end.
 */
#include "postgres_fe.h"

#include "base/base64.h"
#include "oauth/request.h"
#include "oauth/response.h"
#include "oauth/retry_after.h"
#include "palloc_arena.h"
#include "secret_memory.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static void check_error_code(const char *text, size_t size);
static void check_issuer(const char *expected, const char *iss);
static void check_base64url(const char *text);
static void check_request(const char *text, TokenBodyFormat format);
static void check_authorization_url(const char *text, const char *scope);

static void
check_error_code(const char *text, size_t size)
{
	char shown[MAX_ERROR_DESCRIPTION + 1];
	char small[3];
	size_t i;

	sanitize_provider_text(text, size, shown, sizeof(shown));
	CHECK(strlen(shown) == Min(size, MAX_ERROR_DESCRIPTION));
	for (i = 0; shown[i] != '\0'; i++)
		CHECK(shown[i] >= 0x20 && shown[i] <= 0x7e);
	sanitize_provider_text(text, size, small, sizeof(small));
	CHECK(strlen(small) <= 2);

	if (valid_error_code(text))
	{
		CHECK(strlen(text) >= 1 && strlen(text) <= MAX_ERROR_CODE);
		CHECK(strncmp(text, shown, strlen(text)) == 0);
		CHECK(strpbrk(text, "\"\\") == NULL);
	}
}

static void
check_issuer(const char *expected, const char *iss)
{
	CHECK(issuer_matches(iss, iss) || strstr(iss, "{tenantid}") != NULL);
	if (issuer_matches(expected, iss) && strstr(expected, "{tenantid}") == NULL)
		CHECK(strcmp(expected, iss) == 0);
	if (issuer_matches("https://login.example/{tenantid}/v2.0", iss))
	{
		const char *host = "https://login.example/";

		CHECK(strncmp(iss, host, strlen(host)) == 0);
		CHECK(strcspn(iss + strlen(host), "/") + strlen("/v2.0") == strlen(iss + strlen(host)));
	}
}

static void
check_base64url(const char *text)
{
	size_t len = strlen(text);
	unsigned char *bytes = malloc(len * 3 / 4 + 1);
	int n = decode_base64url(text, len, bytes);

	if (n >= 0)
	{
		StringInfoData again;

		initStringInfo(&again);
		append_base64url(&again, bytes, (size_t) n);
		CHECK(strcmp(again.data, text) == 0);
		pfree(again.data);
	}
	free(bytes);
}

static void
check_request(const char *text, TokenBodyFormat format)
{
	static const TokenEndpointAuthMethod methods[] = {CLIENT_SECRET_BASIC, CLIENT_SECRET_POST,
													  CLIENT_AUTH_NONE};
	NameValue extra = {text, text};
	OAuthClient client = {0};
	int i;

	client.token_endpoint = "https://provider.example/token";
	client.client_id = text;
	client.client_secret = text;
	client.token_body_format = format;
	client.token_params = client.refresh_params = &extra;
	client.n_token_params = client.n_refresh_params = 1;
	for (i = 0; i < (int) lengthof(methods); i++)
	{
		OAuthRequest request;
		int j;

		client.auth_method = methods[i];
		build_code_request(&client, text, text, text, NULL, 0, &request);
		CHECK(request.body.len < request.body.maxlen);
		CHECK(strlen(request.body.data) == (size_t) request.body.len);
		for (j = 0; j < request.body.len; j++)
		{
			unsigned char c = (unsigned char) request.body.data[j];

			CHECK(c >= 0x20 && (format == TOKEN_BODY_JSON || (c > 0x20 && c < 0x7f)));
		}
		if (request.authorization != NULL)
			CHECK(strpbrk(request.authorization, "\r\n") == NULL);
		oauth_request_free(&request);
		forget_secrets();
	}
}

static void
check_authorization_url(const char *text, const char *scope)
{
	AuthorizationParams params = {0};
	OAuthClient client = {0};
	StringInfoData url;
	const char *c;

	client.authorization_endpoint = "https://provider.example/authorize";
	client.client_id = text;
	params.redirect_uri = text;
	params.state = text;
	params.code_verifier = text;
	params.nonce = text;
	params.scopes = &scope;
	params.n_scopes = 1;
	initStringInfo(&url);
	build_authorization_url(&client, &params, &url);
	CHECK(strncmp(url.data, "https://provider.example/authorize?response_type=code&", 54) == 0);
	for (c = url.data; *c != '\0'; c++)
		CHECK(*c > 0x20 && *c < 0x7f && *c != '#');
	pfree(url.data);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	char *second;
	int seconds;

	memcpy(text, data, size);
	text[size] = '\0';
	check_error_code(text, size);
	seconds = parse_retry_after(text, INT64CONST(1700000000));
	CHECK(seconds >= -1 && seconds <= 86400);
	check_base64url(text);
	check_request(text, TOKEN_BODY_FORM);
	check_request(text, TOKEN_BODY_JSON);

	second = text + strcspn(text, "\n");
	if (*second != '\0')
		*second++ = '\0';
	check_issuer(text, second);
	check_authorization_url(text, second);
	free(text);
	arena_reset();
	return 0;
}
