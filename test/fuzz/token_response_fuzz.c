/* sources: src/oauth/response.c src/oauth/date.c src/oauth/answer_error.c src/oauth/body.c src/oauth/scope.c src/base/text.c src/oauth/echo.c src/oauth/request.c src/base/base64.c */
/*
 * token_response_fuzz.c
 *	  A provider that answers anything at all to a token or revocation request.
 *
 * The first byte chooses the status, the second what the row says; the rest is
 * the body.  Whatever it is: no crash, only answers that keep their promises,
 * and no copy of a secret left behind.
 */
#include "postgres_fe.h"

#include "oauth/body.h"
#include "oauth/response.h"
#include "secret_memory.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static void check_text(const char *text, size_t max);
static void check_token(const char *token);
static void check_granted(const OAuthClient *client, const TokenResponse *response);
static void check_response(const OAuthClient *client, int status, const TokenResponse *response);

static void
check_text(const char *text, size_t max)
{
	size_t i;

	CHECK(strlen(text) <= max);
	for (i = 0; text[i] != '\0'; i++)
		CHECK(text[i] >= 0x20 && text[i] <= 0x7e);
}

static void
check_token(const char *token)
{
	if (token != NULL)
		check_text(token, MAX_TOKEN_BYTES);
}

static void
check_granted(const OAuthClient *client, const TokenResponse *response)
{
	int i;
	int j;

	CHECK(response->access_token != NULL && response->access_token[0] != '\0');
	CHECK(response->refresh_token == NULL || response->refresh_token[0] != '\0');
	CHECK(response->malformed == NULL && response->error[0] == '\0' &&
		  response->error_description[0] == '\0');
	check_token(response->access_token);
	check_token(response->refresh_token);
	check_token(response->id_token);
	CHECK(strcmp(response->token_type, "Bearer") == 0 || strcmp(response->token_type, "user") == 0);
	CHECK(response->expires_in >= -1 && response->expires_in <= INT64CONST(3653) * 86400);
	CHECK(response->expires_in != 0 || client->zero_expires_in == ZERO_IS_EXPIRED);
	CHECK(response->refresh_token_expires_in == -1 ||
		  response->refresh_token_expires_in == REFRESH_TOKEN_LASTS ||
		  (response->refresh_token_expires_in > 0 &&
		   response->refresh_token_expires_in <= INT64CONST(3653) * 86400));
	CHECK(response->has_scope || response->n_scopes == 0);
	for (i = 0; i < response->n_scopes; i++)
	{
		check_text(response->scopes[i], 1024);
		CHECK(response->scopes[i][0] != '\0' && strpbrk(response->scopes[i], " ,") == NULL);
		for (j = 0; j < i; j++)
			CHECK(strcmp(response->scopes[i], response->scopes[j]) != 0);
	}
	for (i = 0; i < response->n_values; i++)
	{
		CHECK(strlen(response->values[i].value) <= 1024);
		CHECK(strcmp(response->values[i].name, "access_token") != 0);
		for (j = 0; response->values[i].value[j] != '\0'; j++)
			CHECK((unsigned char) response->values[i].value[j] >= 0x20);
	}
}

static void
check_response(const OAuthClient *client, int status, const TokenResponse *response)
{
	check_text(response->error, MAX_ERROR_CODE);
	check_text(response->error_description, MAX_ERROR_DESCRIPTION);
	CHECK((response->outcome == TOKEN_MALFORMED) == (response->malformed != NULL));
	if (response->outcome == TOKEN_GRANTED)
	{
		CHECK(status >= 200 && status <= 299);
		check_granted(client, response);
	}
	else
		CHECK(response->access_token == NULL && response->refresh_token == NULL &&
			  response->id_token == NULL && response->values == NULL && response->scopes == NULL);
	if (status >= 500)
		CHECK(response->outcome == TOKEN_UNAVAILABLE);
	if (status == 429)
		CHECK(response->outcome == TOKEN_RATE_LIMITED);
	if (response->outcome == TOKEN_INVALID_GRANT || response->outcome == TOKEN_INVALID_CLIENT)
		CHECK(response->error[0] != '\0' && status < 500);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = {200, 201, 302, 400, 401, 403, 408, 429, 500, 503};
	static const char *const types[] = {"user"};
	static const NameValue values[] = {{"instance_url", "instance_url"},
									   {"team", "a.team"},
									   {"access_token", "access_token"},
									   {"scope", "scope"}};
	static const char *const ok[] = {"0"};
	static const NameValue outcomes[] = {{"1", "reconnect_required"}, {"2", "refused"}};
	OAuthClient client = {0};
	TokenResponse response;
	char error[MAX_ERROR_CODE + 1];
	char error_description[MAX_ERROR_DESCRIPTION + 1];
	const char *body;
	int status;
	int i;

	if (size < 2)
		return 0;
	status = statuses[data[0] % lengthof(statuses)];
	client.scope_separator = data[1] & 0x01 ? "," : " ";
	client.token_path = data[1] & 0x02 ? "authed_user.x" : data[1] & 0x04 ? "authed_user" : NULL;
	client.form_token_response = (data[1] & 0x08) != 0;
	client.zero_expires_in = data[1] & 0x10 ? ZERO_IS_UNKNOWN : ZERO_IS_EXPIRED;
	client.default_expires_in = data[1] & 0x20 ? 3600 : -1;
	client.client_id = "app";
	client.client_secret = data[1] & 0x40 ? "s3cret of the app" : NULL;
	client.token_types = types;
	client.n_token_types = 1;
	client.token_response_values = values;
	client.n_token_response_values = lengthof(values);
	if (data[1] & 0x80)
	{
		client.access_token_path = data[1] & 0x04 ? "a.b" : NULL;
		client.refresh_token_path = data[1] & 0x08 ? "a.r" : "refresh";
		client.expires_in_path = "a.e";
		client.refresh_token_expires_in_path = data[1] & 0x02 ? "a.l" : "l";
		client.refresh_token_lifetime = data[1] & 0x01 ? 60 : 0;
		client.refresh_token_renewed_by_use = (data[1] & 0x10) != 0;
		client.expires_at_path = "t";
		client.scope_path = data[1] & 0x08 ? "a.s" : NULL;
		client.response_scope_separator = data[1] & 0x04 ? "+" : NULL;
		client.expires_at_format = (DateFormat) (data[0] / 16 % 3);
		client.error_path = data[1] & 0x10 ? "code" : "a.c";
		client.ok_values = ok;
		client.n_ok_values = data[1] & 0x20 ? 1 : 0;
		client.error_outcomes = outcomes;
		client.n_error_outcomes = lengthof(outcomes);
		client.id_token_optional = (data[1] & 0x40) != 0;
	}
	body = (const char *) data + 2;
	size -= 2;

	parse_token_response(&client, status, "text/html", body, size, &response);
	CHECK(response.expires_at >= -1);
	token_response_count_from(&response, &client, 1577836800);
	check_response(&client, status, &response);
	CHECK(strstr(response.error_description, "s3cret o") == NULL || client.client_secret == NULL);
	token_response_cleanse(&response);
	for (i = 0; i < response.n_scopes; i++)
		pfree(response.scopes[i]);
	if (response.scopes != NULL)
		pfree(response.scopes);
	for (i = 0; i < response.n_values; i++)
		pfree(unconstify(char *, response.values[i].value));
	if (response.values != NULL)
		pfree(response.values);
	forget_secrets();

	classify_revocation_response(&client, status, body, size, error, error_description);
	check_text(error, MAX_ERROR_CODE);
	check_text(error_description, MAX_ERROR_DESCRIPTION);
	forget_secrets();
	return 0;
}
