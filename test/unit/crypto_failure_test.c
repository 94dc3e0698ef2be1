/* sources: src/crypto/jwa.c src/base/json_tree.c src/base/secret.c src/base/base64.c */

/*
 * crypto_failure_test.c
 *	  Whatever fails, for want of memory, of entropy or inside OpenSSL: nothing is
 *	  sealed, opened or verified, and no plaintext is left behind.
 */
#include "postgres_fe.h"

#include <limits.h>
#include <stdint.h>

#include "failing.h"

#include "crypto/jwk.c"
#include "crypto/jwt.c"
#include "crypto/seal.c"

#include "jwt_examples.h"

#define KEY_SET                                                                                    \
	"{\"keys\":[" BILBO_RSA ",{\"kty\":\"EC\",\"kid\":\"p256\",\"crv\":\"P-256\","                 \
	"\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","                                       \
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"                                      \
	"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]" \
	"}"

static const uint8_t key_bytes[SEAL_KEY_BYTES] = "0123456789abcdefghijklmnopqrstu";
static const uint8_t aad[] = "purpose, row, field";
static const uint8_t plain[] = "a refresh token nobody else may read";

#define SEALED_LEN (sizeof(plain) + SEAL_OVERHEAD)

static SealKey *key;
static uint8_t sealed[SEALED_LEN];

static bool
all_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static bool
create(const void *unused)
{
	SealKey *made;

	/* as in a new process */
	EVP_CIPHER_free(aes_256_ecb);
	EVP_CIPHER_free(aes_256_gcm);
	aes_256_ecb = aes_256_gcm = NULL;
	made = seal_key_create(key_bytes, 1);
	seal_key_free(made);
	return made != NULL;
}

static bool
close_up(const void *unused)
{
	uint8_t out[SEALED_LEN];
	SealResult result;

	memset(out, 0x5a, sizeof(out));
	result = seal(key, aad, sizeof(aad), plain, sizeof(plain), out);
	if (result != SEAL_OK && (result != SEAL_FAILED || !all_zero(out, sizeof(out))))
		ok(false, "seal() says what happened, and cleanses its output");
	return result == SEAL_OK;
}

static bool
open_up(const void *unused)
{
	uint8_t out[sizeof(plain)];
	SealResult result;

	memset(out, 0x5a, sizeof(out));
	result = seal_open(key, aad, sizeof(aad), sealed, sizeof(sealed), out);
	if (result != SEAL_OK && !all_zero(out, sizeof(out)))
		ok(false, "seal_open() cleanses its output");
	/* OpenSSL tells a wrong tag and a failure at the end by the same */
	if (result != SEAL_OK && result != SEAL_FAILED && result != SEAL_REFUSED)
		ok(false, "seal_open() says what happened");
	return result == SEAL_OK && memcmp(out, plain, sizeof(plain)) == 0;
}

/* What each vector wants refused at its end is refused when that call fails, too. */
static void
test_self_test(void)
{
	int held = 0;

	for (failing_at = 1;; failing_at++)
	{
		bool holds;

		failing_calls = 0;
		holds = seal_self_test();
		if (failing_calls < failing_at)
			break;
		held += holds;
	}
	failing_at = 0;
	ok(held == 2, "seal_self_test: fails whichever call does, but for two that must fail");
	ok(seal_self_test(), "seal_self_test: succeeds when no call fails");
}

static bool
encrypt(const void *unused)
{
	static const uint8_t nonce[SEAL_NONCE_BYTES] = "ABCDEFGHIJKLMNOPQRSTUVW";
	uint8_t out[sizeof(plain) + SEAL_TAG_BYTES];

	return xaes_256_gcm_encrypt(key_bytes, nonce, aad, sizeof(aad), plain, sizeof(plain), out) ==
		   SEAL_OK;
}

/* A key that cannot be made is left out, as one that is not understood. */
static bool
parse(const void *unused)
{
	int n_usable;
	JwtKeySet *keys = jwt_keys_parse(KEY_SET, strlen(KEY_SET), &n_usable);

	jwt_keys_free(keys);
	return keys != NULL && n_usable == 3;
}

static bool
from_secret(const void *unused)
{
	JwtKeySet *keys = jwt_keys_from_secret(key_bytes, sizeof(key_bytes));

	jwt_keys_free(keys);
	return keys != NULL;
}

typedef struct Signed
{
	const char *jwt;
	JwtKeySet *keys;
} Signed;

static bool
verify(const void *argument)
{
	const Signed *example = argument;
	char *payload;
	size_t len;
	JwtResult result =
		jwt_verify(example->jwt, strlen(example->jwt), example->keys, 0xffffffffu, &payload, &len);

	if (result != JWT_VERIFIED && (payload != NULL || len != 0))
		ok(false, "no payload is given away unless it is verified");
	free(payload);
	return result == JWT_VERIFIED;
}

int
main(void)
{
	each_failure("seal_key_create", create, NULL, false);
	key = seal_key_create(key_bytes, 1);
	each_failure("seal", close_up, NULL, false);
	seal(key, aad, sizeof(aad), plain, sizeof(plain), sealed);
	each_failure("seal_open", open_up, NULL, false);
	test_self_test();
	each_failure("xaes_256_gcm_encrypt", encrypt, NULL, false);
	seal_key_free(key);

	each_failure("jwt_keys_parse", parse, NULL, false);
	each_failure("jwt_keys_from_secret", from_secret, NULL, false);
	for (size_t i = 0; i < lengthof(jwt_examples); i++)
	{
		const char *text = jwt_examples[i].key;
		Signed example = {.jwt = jwt_examples[i].jwt};
		unsigned char secret[256];
		int n_usable;

		if (text[0] == '{')
			example.keys = jwt_keys_parse(text, strlen(text), &n_usable);
		else
			example.keys =
				jwt_keys_from_secret(secret, (size_t) decode_base64url(text, strlen(text), secret));
		each_failure(jwt_examples[i].name, verify, &example, false);
		jwt_keys_free(example.keys);
	}
	return tap_done();
}
