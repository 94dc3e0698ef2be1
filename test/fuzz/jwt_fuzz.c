/* sources: src/crypto/jwt.c src/crypto/jwk.c src/crypto/jwa.c src/base/json_tree.c src/oauth/request.c src/base/secret.c src/base/base64.c */

/*
 * jwt_fuzz.c
 *	  Any bytes as a token.  The fuzzer cannot make a signature, so what verifies
 *	  must be a token of the corpus, byte for byte; and to get beyond the base64,
 *	  an input without a dot is taken as the plain header of a token.
 */
#include "palloc_arena.h"

#include <openssl/crypto.h>

#include "crypto/jwt.h"
#include "base/base64.h"
#include "oauth/request.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* RFC 7515 A.3 and RFC 8037 A.4 */
static const char jwks[] =
	"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
	"\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
	"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
static const char *const genuine[] = {
	"eyJhbGciOiJFUzI1NiJ9."
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl"
	"fQ."
	"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
	"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
	"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
};

static void
try_token(const JwtKeySet *keys, const char *jwt, size_t len)
{
	char *payload;
	size_t payload_len;
	char text[32];
	bool is_genuine = false;

	for (size_t i = 0; i < lengthof(genuine); i++)
		if (len == strlen(genuine[i]) && memcmp(jwt, genuine[i], len) == 0)
			is_genuine = true;
	if ((jwt_verify(jwt, len, keys, 0xffffffff, &payload, &payload_len) == JWT_VERIFIED) !=
		is_genuine)
		abort();
	if (is_genuine != (payload != NULL) || (payload != NULL && payload[payload_len] != '\0'))
		abort();
	free(payload);
	if (jwt_unverified_kid(jwt, len, text, sizeof(text)) && strlen(text) >= sizeof(text))
		abort();
	if (jwt_unverified_issuer(jwt, len, text, sizeof(text)) && strlen(text) >= sizeof(text))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static JwtKeySet *asymmetric = NULL;
	static JwtKeySet *symmetric = NULL;
	int n;

	if (asymmetric == NULL)
	{
		asymmetric = jwt_keys_parse(jwks, strlen(jwks), &n);
		symmetric = jwt_keys_from_secret((const unsigned char *) jwks, 64);
		if (n != 2 || symmetric == NULL)
			abort();
	}

	try_token(asymmetric, (const char *) data, size);
	if (memchr(data, '.', size) == NULL && size > 0)
	{
		StringInfoData token;

		initStringInfo(&token);
		append_base64url(&token, data, size);
		appendStringInfoChar(&token, '.');
		append_base64url(&token, data, size);
		appendStringInfoChar(&token, '.');
		append_base64url(&token, (const unsigned char *) jwks, 64);
		try_token(asymmetric, token.data, token.len);
		try_token(symmetric, token.data, token.len);
	}
	arena_reset();
	return 0;
}
