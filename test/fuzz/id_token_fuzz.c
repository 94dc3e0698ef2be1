/* sources: src/oauth/id_token.c src/oauth/jwt_claims.c src/base/text.c src/crypto/jwt.c src/crypto/jwk.c src/crypto/jwa.c src/base/json_tree.c src/oauth/request.c src/oauth/response.c src/oauth/date.c src/oauth/answer_error.c src/oauth/body.c src/base/secret.c src/base/base64.c src/oauth/scope.c src/oauth/echo.c */

/*
 * id_token_fuzz.c
 *	  Any bytes as an ID token, which is never accepted; and any bytes as the
 *	  header and claims of one that is properly signed, which is accepted only if
 *	  everything that it must say is in it.
 *
 * Header and claims are the text before and after the first line end; without
 * one, the header is a plain one.
 */
#include "palloc_arena.h"

#include <openssl/evp.h>

#include "oauth/id_token.h"
#include "base/json_tree.h"
#include "base/base64.h"
#include "oauth/request.h"

#define ISSUER "https://issuer.example"
#define CLIENT_ID "app"
#define NONCE "n"
#define NOW INT64CONST(1700000000)
#define PLAIN_HEADER "{\"alg\":\"HS256\"}"

static const unsigned char secret[] = "a key of thirty-two bytes, or so";

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static char *sign(const uint8_t *header, size_t header_len, const uint8_t *claims,
				  size_t claims_len);
static void require_text(const JsonValue *claims, const char *name, const char *text);
static void check_accepted(const uint8_t *json, size_t len, bool nonce_sent, const char *subject);

/* HMAC stands for any signature: it is quick to make. */
static char *
sign(const uint8_t *header, size_t header_len, const uint8_t *claims, size_t claims_len)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	size_t mac_len;
	StringInfoData token;

	initStringInfo(&token);
	append_base64url(&token, header, header_len);
	appendStringInfoChar(&token, '.');
	append_base64url(&token, claims, claims_len);
	if (EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, secret, sizeof(secret),
				  (unsigned char *) token.data, token.len, mac, sizeof(mac), &mac_len) == NULL)
		abort();
	appendStringInfoChar(&token, '.');
	append_base64url(&token, mac, mac_len);
	return token.data;
}

static void
require_text(const JsonValue *claims, const char *name, const char *text)
{
	const char *value = json_string(json_member(claims, name));

	if (value == NULL || strcmp(value, text) != 0)
		abort();
}

static void
check_accepted(const uint8_t *json, size_t len, bool nonce_sent, const char *subject)
{
	const JsonValue *claims = json_parse_object((const char *) json, len);
	const JsonValue *aud;
	const JsonValue *exp;
	bool found = false;

	if (claims == NULL)
		abort();
	require_text(claims, "iss", ISSUER);
	require_text(claims, "sub", subject);
	if (nonce_sent)
		require_text(claims, "nonce", NONCE);
	aud = json_member(claims, "aud");
	if (aud == NULL)
		abort();
	for (const JsonValue *one = aud->type == JSON_TOKEN_ARRAY_START ? aud->first : aud; one != NULL;
		 one = aud->type == JSON_TOKEN_ARRAY_START ? one->next : NULL)
		found |= one->type == JSON_TOKEN_STRING && strcmp(one->text, CLIENT_ID) == 0;
	if (!found)
		abort();
	if (aud->n_children > 1 || json_member(claims, "azp") != NULL)
		require_text(claims, "azp", CLIENT_ID);
	exp = json_member(claims, "exp");
	if (exp == NULL || exp->type != JSON_TOKEN_NUMBER || strtod(exp->text, NULL) < NOW - 60 ||
		json_member(claims, "iat") == NULL)
		abort();
	if (subject[0] == '\0' || strlen(subject) > MAX_SUBJECT)
		abort();
	for (const char *c = subject; *c != '\0'; c++)
		if (*c < 0x20 || *c > 0x7e)
			abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static JwtKeySet *keys = NULL;
	IdTokenExpectation expected = {.issuer = ISSUER,
								   .client_id = CLIENT_ID,
								   .access_token = "token",
								   .algorithms = JWT_HS256,
								   .now = NOW};
	IdTokenAccount account = {0};
	const uint8_t *claims = memchr(data, '\n', size);
	const uint8_t *header = (const uint8_t *) PLAIN_HEADER;
	size_t header_len = strlen(PLAIN_HEADER);
	char *text;

	if (keys == NULL)
		keys = jwt_keys_from_secret(secret, sizeof(secret));
	if (keys == NULL)
		abort();

	text = pnstrdup((const char *) data, size);
	if (id_token_check(text, keys, &expected, &account) == ID_TOKEN_ACCEPTED)
		abort();

	if (claims != NULL)
	{
		header = data;
		header_len = (size_t) (claims - data);
		claims++;
	}
	else
		claims = data;
	text = sign(header, header_len, claims, size - (size_t) (claims - data));
	for (int nonce_sent = 0; nonce_sent < 2; nonce_sent++)
	{
		expected.nonce = nonce_sent ? NONCE : NULL;
		if (id_token_check(text, keys, &expected, &account) == ID_TOKEN_ACCEPTED)
			check_accepted(claims, size - (size_t) (claims - data), nonce_sent != 0,
						   account.subject);
	}

	/* as at a refresh, without keys: the claims alone must do as well as before */
	expected.nonce = NULL;
	expected.key_optional = true;
	if (id_token_check(text, NULL, &expected, &account) == ID_TOKEN_ACCEPTED)
		check_accepted(claims, size - (size_t) (claims - data), false, account.subject);
	arena_reset();
	return 0;
}
