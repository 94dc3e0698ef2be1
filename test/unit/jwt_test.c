/* sources: src/crypto/jwt.c src/crypto/jwk.c src/crypto/jwa.c src/base/json_tree.c src/oauth/request.c src/base/secret.c src/base/base64.c */

/*
 * jwt_test.c
 *	  What jwt.c promises: it verifies the published examples and every algorithm
 *	  it names, and refuses whatever is known to have fooled a verifier.
 */
#include "postgres_fe.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "crypto/jwt.h"
#include "base/base64.h"
#include "oauth/request.h"
#include "jwt_examples.h"
#include "tap.h"

#define ALL_ALGORITHMS 0xffffffffu
#define CLAIMS "{\"iss\":\"https://issuer.example\",\"sub\":\"ann\"}"

static const struct
{
	JwtAlgorithm algorithm;
	const char *name;
	const char *digest;
	int half; /* of an ECDSA signature */
} all_algorithms[] = {
	{JWT_RS256, "RS256", "SHA256", 0},  {JWT_RS384, "RS384", "SHA384", 0},
	{JWT_RS512, "RS512", "SHA512", 0},  {JWT_PS256, "PS256", "SHA256", 0},
	{JWT_PS384, "PS384", "SHA384", 0},  {JWT_PS512, "PS512", "SHA512", 0},
	{JWT_ES256, "ES256", "SHA256", 32}, {JWT_ES384, "ES384", "SHA384", 48},
	{JWT_ES512, "ES512", "SHA512", 66}, {JWT_EDDSA, "EdDSA", NULL, 0},
	{JWT_HS256, "HS256", "SHA256", 0},  {JWT_HS384, "HS384", "SHA384", 0},
	{JWT_HS512, "HS512", "SHA512", 0},
};

static const unsigned char secret[64] =
	"sixty-four bytes of secret, enough for HS512 and all the others";
static EVP_PKEY *rsa;
static EVP_PKEY *other_rsa;
static EVP_PKEY *p256;
static EVP_PKEY *p384;
static EVP_PKEY *p521;
static EVP_PKEY *ed25519;

/* ---------- making keys and tokens ---------- */

static char *
encoded(const void *bytes, size_t len)
{
	StringInfoData text;

	initStringInfo(&text);
	append_base64url(&text, bytes, len);
	return text.data;
}

static char *
encoded_number(const BIGNUM *number)
{
	unsigned char bytes[2048];

	return encoded(bytes, (size_t) BN_bn2bin(number, bytes));
}

static BIGNUM *
number_of(EVP_PKEY *key, const char *name)
{
	BIGNUM *number = NULL;

	EVP_PKEY_get_bn_param(key, name, &number);
	return number;
}

static char *
rsa_jwk(const BIGNUM *n, const BIGNUM *e, const char *more)
{
	return psprintf("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"%s}", encoded_number(n),
					encoded_number(e), more);
}

static char *
ec_jwk(const char *crv, const unsigned char *x, size_t x_len, const unsigned char *y, size_t y_len,
	   const char *more)
{
	return psprintf("{\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"%s}", crv,
					encoded(x, x_len), encoded(y, y_len), more);
}

static char *
ed25519_jwk(const unsigned char *x, const char *more)
{
	return psprintf("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"%s}", encoded(x, 32), more);
}

/* Coordinates of an EC key; the returned length is that of each. */
static int
point_of(EVP_PKEY *key, unsigned char *x, unsigned char *y)
{
	unsigned char point[256];
	size_t len;
	int half;

	EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &len);
	half = (int) (len - 1) / 2;
	memcpy(x, point + 1, half);
	memcpy(y, point + 1 + half, half);
	return half;
}

/* more is appended to the members, beginning with a comma */
static char *
jwk(EVP_PKEY *key, const char *more)
{
	unsigned char x[128];
	unsigned char y[128];
	size_t len = sizeof(x);
	int half;

	if (EVP_PKEY_is_a(key, "RSA"))
		return rsa_jwk(number_of(key, OSSL_PKEY_PARAM_RSA_N), number_of(key, OSSL_PKEY_PARAM_RSA_E),
					   more);
	if (EVP_PKEY_is_a(key, "ED25519"))
	{
		EVP_PKEY_get_raw_public_key(key, x, &len);
		return ed25519_jwk(x, more);
	}
	half = point_of(key, x, y);
	return ec_jwk(half == 32 ? "P-256" : half == 48 ? "P-384" : "P-521", x, half, y, half, more);
}

static size_t
make_signature(JwtAlgorithm algorithm, EVP_PKEY *key, const char *text, int salt,
			   unsigned char *signature)
{
	size_t len = 2048;
	unsigned mac_len;
	int half = 0;
	const char *digest = NULL;
	EVP_MD_CTX *ctx;
	EVP_PKEY_CTX *pkey_ctx;

	for (size_t i = 0; i < lengthof(all_algorithms); i++)
		if (all_algorithms[i].algorithm == algorithm)
		{
			half = all_algorithms[i].half;
			digest = all_algorithms[i].digest;
		}
	if (algorithm & JWT_HMAC_ALGORITHMS)
	{
		HMAC(EVP_get_digestbyname(digest), secret, sizeof(secret), (const unsigned char *) text,
			 strlen(text), signature, &mac_len);
		return mac_len;
	}

	ctx = EVP_MD_CTX_new();
	EVP_DigestSignInit_ex(ctx, &pkey_ctx, digest, NULL, NULL, key, NULL);
	if (algorithm & (JWT_PS256 | JWT_PS384 | JWT_PS512))
	{
		EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING);
		EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, salt);
	}
	if (EVP_DigestSign(ctx, signature, &len, (const unsigned char *) text, strlen(text)) != 1)
		ERR_print_errors_fp(stderr);
	EVP_MD_CTX_free(ctx);
	if (half > 0)
	{
		const unsigned char *der = signature;
		ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long) len);

		BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, half);
		BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature + half, half);
		ECDSA_SIG_free(pair);
		len = 2 * (size_t) half;
	}
	return len;
}

static char *
token_of(const char *signed_text, const void *signature, size_t len)
{
	return psprintf("%s.%s", signed_text, encoded(signature, len));
}

static char *
signed_text(const char *header, const char *claims)
{
	return psprintf("%s.%s", encoded(header, strlen(header)), encoded(claims, strlen(claims)));
}

/* A properly signed token under exactly this header */
static char *
token(JwtAlgorithm algorithm, EVP_PKEY *key, const char *header)
{
	unsigned char signature[2048];
	char *text = signed_text(header, CLAIMS);
	size_t len = make_signature(algorithm, key, text, RSA_PSS_SALTLEN_DIGEST, signature);

	return token_of(text, signature, len);
}

static EVP_PKEY *
key_for(JwtAlgorithm algorithm)
{
	switch (algorithm)
	{
		case JWT_ES256:
			return p256;
		case JWT_ES384:
			return p384;
		case JWT_ES512:
			return p521;
		case JWT_EDDSA:
			return ed25519;
		default:
			return rsa;
	}
}

static JwtKeySet *
keys_for(JwtAlgorithm algorithm)
{
	const char *json;
	int n;

	if (algorithm & JWT_HMAC_ALGORITHMS)
		return jwt_keys_from_secret(secret, sizeof(secret));
	json = jwk(key_for(algorithm), "");
	return jwt_keys_parse(json, strlen(json), &n);
}

/* ---------- asking ---------- */

static JwtResult
verify_bytes(const JwtKeySet *keys, const char *jwt, size_t len, unsigned allowed)
{
	/* an exact copy, so that a sanitizer sees a read beyond the end */
	char *copy = malloc(len > 0 ? len : 1);
	char *payload = (char *) "untouched";
	size_t payload_len = 99;
	JwtResult result;

	memcpy(copy, jwt, len);
	result = jwt_verify(copy, len, keys, allowed, &payload, &payload_len);
	if (result == JWT_VERIFIED)
	{
		if (payload[payload_len] != '\0')
			ok(false, "a payload ends with NUL");
		free(payload);
	}
	else if (payload != NULL || payload_len != 0)
		ok(false, "a refused token gives no payload");
	if (ERR_peek_error() != 0)
		ok(false, "nothing is left in OpenSSL's error queue");
	free(copy);
	return result;
}

static JwtResult
verify(const JwtKeySet *keys, const char *jwt)
{
	return verify_bytes(keys, jwt, strlen(jwt), ALL_ALGORITHMS);
}

static JwtResult
verify_with(const char *jwks, const char *jwt)
{
	int n;
	JwtKeySet *keys = jwt_keys_parse(jwks, strlen(jwks), &n);
	JwtResult result = verify(keys, jwt);

	jwt_keys_free(keys);
	return result;
}

/* -1: not a key set */
static int
usable(const char *jwks)
{
	int n = 99;
	JwtKeySet *keys = jwt_keys_parse(jwks, strlen(jwks), &n);

	if (keys == NULL && n != 0)
		ok(false, "no key set has no usable keys");
	jwt_keys_free(keys);
	return keys == NULL ? -1 : n;
}

/* Replaces the character at, by another of the alphabet. */
static char *
altered(const char *jwt, size_t at)
{
	char *copy = pstrdup(jwt);

	copy[at] = copy[at] == 'A' ? 'Q' : 'A';
	return copy;
}

/* ---------- promises ---------- */

static void
test_examples(void)
{
	for (size_t i = 0; i < lengthof(jwt_examples); i++)
	{
		const char *key = jwt_examples[i].key;
		const char *jwt = jwt_examples[i].jwt;
		unsigned char bytes[256];
		char *payload = NULL;
		size_t len = 0;
		int n = 0;
		JwtKeySet *keys;

		if (key[0] == '{')
			keys = jwt_keys_parse(key, strlen(key), &n);
		else
			keys = jwt_keys_from_secret(bytes, decode_base64url(key, strlen(key), bytes));
		ok(jwt_verify(jwt, strlen(jwt), keys, ALL_ALGORITHMS, &payload, &len) == JWT_VERIFIED &&
			   len == strlen(jwt_examples[i].payload) &&
			   strcmp(payload, jwt_examples[i].payload) == 0,
		   "%s verifies and gives its payload", jwt_examples[i].name);
		free(payload);
		ok(verify(keys, altered(jwt, strrchr(jwt, '.') - jwt + 1)) == JWT_SIGNATURE_INVALID,
		   "%s with its signature altered is refused", jwt_examples[i].name);
		jwt_keys_free(keys);
	}
}

static void
test_every_algorithm(void)
{
	for (size_t i = 0; i < lengthof(all_algorithms); i++)
	{
		const JwtAlgorithm algorithm = all_algorithms[i].algorithm;
		const char *name = all_algorithms[i].name;
		const char *header = psprintf("{\"alg\":\"%s\"}", name);
		char *jwt = token(algorithm, key_for(algorithm), header);
		char *text = signed_text(header, CLAIMS);
		char *other = signed_text(header, "{\"sub\":\"bob\"}");
		JwtKeySet *keys = keys_for(algorithm);
		unsigned char signature[2048 + 1] = {0};
		size_t len =
			make_signature(algorithm, key_for(algorithm), text, RSA_PSS_SALTLEN_DIGEST, signature);
		int wrong = 0;

		ok(verify_bytes(keys, jwt, strlen(jwt), algorithm) == JWT_VERIFIED, "%s verifies", name);
		ok(verify_bytes(keys, jwt, strlen(jwt), ALL_ALGORITHMS & ~(unsigned) algorithm) ==
			   JWT_ALGORITHM_REFUSED,
		   "%s is refused where it is not allowed", name);

		for (size_t bit = 0; bit<8 * len; bit += len> 200 ? 61 : 13)
		{
			signature[bit / 8] ^= (unsigned char) (1 << bit % 8);
			if (verify(keys, token_of(text, signature, len)) != JWT_SIGNATURE_INVALID)
				wrong++;
			signature[bit / 8] ^= (unsigned char) (1 << bit % 8);
		}
		ok(wrong == 0, "%s with a bit of its signature flipped is refused", name);
		ok(verify(keys, token_of(other, signature, len)) == JWT_SIGNATURE_INVALID,
		   "%s over other claims is refused", name);
		ok(verify(keys, token_of(text, signature, len - 1)) == JWT_SIGNATURE_INVALID &&
			   verify(keys, token_of(text, signature, len + 1)) == JWT_SIGNATURE_INVALID &&
			   verify(keys, token_of(text, signature, 1)) == JWT_SIGNATURE_INVALID,
		   "%s with a signature of another length is refused", name);

		/* the same key and signature under every other name */
		wrong = 0;
		for (size_t j = 0; j < lengthof(all_algorithms); j++)
		{
			const char *lie = psprintf("{\"alg\":\"%s\"}", all_algorithms[j].name);
			JwtResult result = verify(keys, token(algorithm, key_for(algorithm), lie));

			if (j != i && result != JWT_SIGNATURE_INVALID && result != JWT_KEY_NOT_FOUND)
				wrong++;
		}
		ok(wrong == 0, "%s under the name of any other algorithm is refused", name);
		jwt_keys_free(keys);
	}
}

static void
test_algorithm_confusion(void)
{
	static const char *const nones[] = {"none", "None", "NONE", "nOnE", "", "HS256 ", "rs256"};
	JwtKeySet *keys = keys_for(JWT_RS256);
	JwtKeySet *symmetric = keys_for(JWT_HS256);
	char *text;
	char *pem;
	unsigned char mac[64];
	unsigned mac_len;
	size_t pem_len;
	BIO *bio = BIO_new(BIO_s_mem());
	JwtKeySet *pem_keys;

	for (size_t i = 0; i < lengthof(nones); i++)
	{
		text = signed_text(psprintf("{\"alg\":\"%s\"}", nones[i]), CLAIMS);
		ok(verify(keys, psprintf("%s.", text)) == JWT_ALGORITHM_REFUSED &&
			   verify(symmetric, psprintf("%s.AAAA", text)) == JWT_ALGORITHM_REFUSED,
		   "alg \"%s\" is refused whatever is allowed", nones[i]);
	}
	ok(verify(keys, psprintf("%s.", signed_text("{\"alg\":\"RS256\"}", CLAIMS))) == JWT_MALFORMED,
	   "an empty signature is refused");

	PEM_write_bio_PUBKEY(bio, rsa);
	pem_len = (size_t) BIO_get_mem_data(bio, &pem);
	text = signed_text("{\"alg\":\"HS256\"}", CLAIMS);
	HMAC(EVP_sha256(), pem, (int) pem_len, (unsigned char *) text, strlen(text), mac, &mac_len);
	pem_keys = jwt_keys_from_secret((unsigned char *) pem, pem_len);
	ok(verify(pem_keys, token_of(text, mac, mac_len)) == JWT_VERIFIED,
	   "(a MAC under the public key's PEM is what the attacker makes)");
	ok(verify(keys, token_of(text, mac, mac_len)) == JWT_KEY_NOT_FOUND,
	   "RS256 swapped for HS256 under the public key is refused even if both are allowed");
	ok(verify_bytes(keys, token_of(text, mac, mac_len), strlen(token_of(text, mac, mac_len)),
					JWT_RS256) == JWT_ALGORITHM_REFUSED,
	   "and by the algorithm where only RS256 is allowed");
	ok(verify(symmetric, token(JWT_RS256, rsa, "{\"alg\":\"RS256\"}")) == JWT_KEY_NOT_FOUND,
	   "a secret verifies nothing but HS");
	jwt_keys_free(pem_keys);
	BIO_free(bio);

	text = psprintf("{\"alg\":\"RS256\",\"jwk\":%s,\"jku\":\"https://evil.example/\"}",
					jwk(other_rsa, ""));
	ok(verify(keys, token(JWT_RS256, other_rsa, text)) == JWT_SIGNATURE_INVALID,
	   "a key that comes with the token is not used");
	jwt_keys_free(keys);
	jwt_keys_free(symmetric);
}

static void
test_forged_signatures(void)
{
	static const char *const cases[] = {"r and s zero", "r zero", "s zero", "r and s the order",
										"r plus the order"};
	JwtKeySet *keys = keys_for(JWT_ES256);
	char *text = signed_text("{\"alg\":\"ES256\"}", CLAIMS);
	unsigned char good[2048];
	unsigned char bad[2048];
	unsigned char *der = NULL;
	size_t len = make_signature(JWT_ES256, p256, text, 0, good);
	BIGNUM *order = BN_new();
	ECDSA_SIG *pair;
	int der_len;
	size_t carry;

	BN_hex2bn(&order, "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
	ok(verify(keys, token_of(text, good, len)) == JWT_VERIFIED, "(the ES256 signature is good)");
	for (size_t i = 0; i < lengthof(cases); i++)
	{
		memcpy(bad, good, len);
		if (i == 0 || i == 1)
			memset(bad, 0, 32);
		if (i == 0 || i == 2)
			memset(bad + 32, 0, 32);
		if (i >= 3)
			BN_bn2binpad(order, bad, 32);
		if (i == 3)
			BN_bn2binpad(order, bad + 32, 32);
		ok(verify(keys, token_of(text, bad, len)) == JWT_SIGNATURE_INVALID,
		   "ES256 with %s is refused", cases[i]);
	}
	pair = ECDSA_SIG_new();
	ECDSA_SIG_set0(pair, BN_bin2bn(good, 32, NULL), BN_bin2bn(good + 32, 32, NULL));
	der_len = i2d_ECDSA_SIG(pair, &der);
	ok(verify(keys, token_of(text, der, der_len)) == JWT_SIGNATURE_INVALID,
	   "ES256 in DER is refused");
	ECDSA_SIG_free(pair);
	OPENSSL_free(der);
	jwt_keys_free(keys);

	keys = keys_for(JWT_PS256);
	text = signed_text("{\"alg\":\"PS256\"}", CLAIMS);
	len = make_signature(JWT_PS256, rsa, text, 0, bad);
	ok(verify(keys, token_of(text, bad, len)) == JWT_SIGNATURE_INVALID,
	   "PS256 without salt is refused");
	len = make_signature(JWT_PS256, rsa, text, RSA_PSS_SALTLEN_MAX, bad);
	ok(verify(keys, token_of(text, bad, len)) == JWT_SIGNATURE_INVALID,
	   "PS256 with a longer salt is refused");

	/* one signature in 256 begins with a zero byte */
	do
		len = make_signature(JWT_PS256, rsa, text, RSA_PSS_SALTLEN_DIGEST, bad);
	while (bad[0] != 0);
	ok(verify(keys, token_of(text, bad, len)) == JWT_VERIFIED &&
		   verify(keys, token_of(text, bad + 1, len - 1)) == JWT_SIGNATURE_INVALID,
	   "PS256 without its leading zero is refused");
	jwt_keys_free(keys);

	/* S and S + L are the same scalar (RFC 8032 §8.4) */
	keys = keys_for(JWT_EDDSA);
	text = signed_text("{\"alg\":\"EdDSA\"}", CLAIMS);
	len = make_signature(JWT_EDDSA, ed25519, text, 0, bad);
	carry = 0;
	for (int i = 0; i < 32; i++)
	{
		static const unsigned char l[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a,       0x63,
											0x12, 0x58, 0xd6, 0x9c, 0xf7,       0xa2,
											0xde, 0xf9, 0xde, 0x14, [31] = 0x10};

		carry += (size_t) bad[32 + i] + l[i];
		bad[32 + i] = (unsigned char) carry;
		carry >>= 8;
	}
	ok(verify(keys, token_of(text, bad, len)) == JWT_SIGNATURE_INVALID,
	   "EdDSA with S not reduced is refused");
	jwt_keys_free(keys);
	BN_free(order);
}

static void
test_choice_of_key(void)
{
	char *a = jwk(rsa, ",\"kid\":\"a\"");
	char *b = jwk(other_rsa, ",\"kid\":\"b\"");
	char *nameless = jwk(rsa, "");
	char *ec = jwk(p256, ",\"kid\":\"a\"");
	char *no_kid = token(JWT_RS256, rsa, "{\"alg\":\"RS256\"}");
	char *kid_a = token(JWT_RS256, rsa, "{\"alg\":\"RS256\",\"kid\":\"a\"}");
	char *kid_c = token(JWT_RS256, rsa, "{\"alg\":\"RS256\",\"kid\":\"c\"}");

	ok(verify_with(psprintf("{\"keys\":[%s]}", a), no_kid) == JWT_VERIFIED,
	   "no kid and one key: verified");
	ok(verify_with(psprintf("{\"keys\":[%s,%s]}", a, b), no_kid) == JWT_KEY_AMBIGUOUS,
	   "no kid and two keys: ambiguous");
	ok(verify_with(psprintf("{\"keys\":[%s,%s]}", ec, a), no_kid) == JWT_VERIFIED,
	   "no kid and one key of the type beside another type: verified");
	ok(verify_with(psprintf("{\"keys\":[%s]}", ec), no_kid) == JWT_KEY_NOT_FOUND,
	   "no kid and no key of the type: not found");
	ok(verify_with("{\"keys\":[]}", no_kid) == JWT_KEY_NOT_FOUND, "an empty set: not found");
	ok(verify_with(psprintf("{\"keys\":[%s,%s]}", b, a), kid_a) == JWT_VERIFIED,
	   "a kid chooses among several");
	ok(verify_with(psprintf("{\"keys\":[%s,%s]}", a, b),
				   token(JWT_RS256, rsa, "{\"alg\":\"RS256\",\"kid\":\"b\"}")) ==
		   JWT_SIGNATURE_INVALID,
	   "and no other key is tried");
	ok(verify_with(psprintf("{\"keys\":[%s]}", a), kid_c) == JWT_KEY_NOT_FOUND,
	   "an unknown kid: not found, though there is one key");
	ok(verify_with(psprintf("{\"keys\":[%s]}", a),
				   token(JWT_RS256, rsa, "{\"alg\":\"RS256\",\"kid\":\"A\"}")) == JWT_KEY_NOT_FOUND,
	   "a kid is compared exactly");
	ok(verify_with(nameless, kid_c) == JWT_VERIFIED,
	   "a key without a kid serves any kid when it is the only one");
	ok(verify_with(psprintf("{\"keys\":[%s,%s]}", nameless, b), kid_c) == JWT_KEY_NOT_FOUND &&
		   verify_with(psprintf("{\"keys\":[%s,%s]}", b, nameless), kid_c) == JWT_KEY_NOT_FOUND,
	   "but not beside another");
	ok(verify_with(psprintf("{\"keys\":[%s,%s]}", a, jwk(other_rsa, ",\"kid\":\"a\"")), kid_a) ==
		   JWT_KEY_AMBIGUOUS,
	   "two keys of one kid and type: ambiguous");
	ok(verify_with(psprintf("{\"keys\":[%s,%s]}", ec, a), kid_a) == JWT_VERIFIED,
	   "keys of one kid are told apart by their type");
	ok(verify_with(psprintf("{\"keys\":[%s]}", ec), kid_a) == JWT_KEY_NOT_FOUND,
	   "a kid of another type: not found");
	ok(verify_with(jwk(rsa, ",\"alg\":\"RS256\""), no_kid) == JWT_VERIFIED &&
		   verify_with(jwk(rsa, ",\"alg\":\"PS256\""), no_kid) == JWT_KEY_NOT_FOUND &&
		   verify_with(jwk(rsa, ",\"alg\":\"RS512\""), no_kid) == JWT_KEY_NOT_FOUND,
	   "a key with an alg verifies that only");
	ok(verify_with(jwk(rsa, ",\"use\":\"sig\",\"key_ops\":[\"sign\",\"verify\"],\"x5t\":\"x\""),
				   no_kid) == JWT_VERIFIED,
	   "a key for signatures, with members that are not understood, is used");
	ok(verify_with(psprintf("{\"keys\":[%s,%s]}", jwk(other_rsa, ",\"use\":\"enc\""), a), no_kid) ==
		   JWT_VERIFIED,
	   "a key for encryption does not make the choice ambiguous");
}

static void
test_keys_left_out(void)
{
	BIGNUM *n = number_of(rsa, OSSL_PKEY_PARAM_RSA_N);
	BIGNUM *e = number_of(rsa, OSSL_PKEY_PARAM_RSA_E);
	BIGNUM *number = BN_new();
	unsigned char x[128] = {0};
	unsigned char y[128] = {0};
	unsigned char zero[66] = {0};
	char *good = jwk(p256, "");
	char *jwt = token(JWT_ES256, p256, "{\"alg\":\"ES256\"}");
	const char *bad[64];
	const char *why[64];
	int n_bad = 0;

#define LEFT_OUT(reason, json) (why[n_bad] = (reason), bad[n_bad++] = (json))

	/* first that the making of keys is not what is at fault */
	BN_rand(number, 2048, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD);
	ok(usable(rsa_jwk(number, e, "")) == 1, "RSA of 2048 bits is used");
	BN_rand(number, 8192, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD);
	ok(usable(rsa_jwk(number, e, "")) == 1, "RSA of 8192 bits is used");
	BN_set_word(number, 3);
	ok(usable(rsa_jwk(n, number, "")) == 1, "RSA with e = 3 is used");

	BN_rand(number, 1024, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD);
	LEFT_OUT("RSA of 1024 bits", rsa_jwk(number, e, ""));
	BN_rand(number, 2047, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD);
	LEFT_OUT("RSA of 2047 bits", rsa_jwk(number, e, ""));
	BN_rand(number, 8193, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD);
	LEFT_OUT("RSA of 8193 bits", rsa_jwk(number, e, ""));
	BN_copy(number, n);
	BN_clear_bit(number, 0);
	LEFT_OUT("RSA of even modulus", rsa_jwk(number, e, ""));
	BN_one(number);
	LEFT_OUT("RSA with e = 1", rsa_jwk(n, number, ""));
	BN_set_word(number, 2);
	LEFT_OUT("RSA with e = 2", rsa_jwk(n, number, ""));
	BN_set_word(number, 65536);
	LEFT_OUT("RSA with even e", rsa_jwk(n, number, ""));
	BN_rand(number, 65, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD);
	LEFT_OUT("RSA with e of 65 bits", rsa_jwk(n, number, ""));
	LEFT_OUT("RSA with e = 0",
			 psprintf("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AA\"}", encoded_number(n)));
	LEFT_OUT("RSA without e", psprintf("{\"kty\":\"RSA\",\"n\":\"%s\"}", encoded_number(n)));
	LEFT_OUT("RSA with n padded",
			 psprintf("{\"kty\":\"RSA\",\"n\":\"%s==\",\"e\":\"AQAB\"}", encoded_number(n)));
	LEFT_OUT("RSA with n a number", "{\"kty\":\"RSA\",\"n\":3233,\"e\":\"AQAB\"}");

	point_of(p256, x, y);
	LEFT_OUT("EC with x a byte short", ec_jwk("P-256", x, 31, y, 32, ""));
	LEFT_OUT("EC with y a byte long", ec_jwk("P-256", x, 32, y, 33, ""));
	LEFT_OUT("EC with x and y of another curve's size", ec_jwk("P-384", x, 32, y, 32, ""));
	LEFT_OUT("EC on an unknown curve", ec_jwk("secp256k1", x, 32, y, 32, ""));
	LEFT_OUT("EC with its curve in lower case", ec_jwk("p-256", x, 32, y, 32, ""));
	LEFT_OUT("EC at (0, 0)", ec_jwk("P-256", zero, 32, zero, 32, ""));
	y[31] ^= 1;
	LEFT_OUT("EC off its curve", ec_jwk("P-256", x, 32, y, 32, ""));
	memset(x, 0xff, 32);
	LEFT_OUT("EC with x beyond the field", ec_jwk("P-256", x, 32, y, 32, ""));
	point_of(p384, x, y);
	LEFT_OUT("EC of P-384 as P-256", ec_jwk("P-256", x, 48, y, 48, ""));
	LEFT_OUT("EC without y",
			 psprintf("{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"%s\"}", encoded(x, 48)));

	LEFT_OUT("Ed25519 a byte short",
			 psprintf("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"}", encoded(x, 31)));
	LEFT_OUT("X25519",
			 psprintf("{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"%s\"}", encoded(x, 32)));
	LEFT_OUT("a symmetric key",
			 psprintf("{\"kty\":\"oct\",\"k\":\"%s\"}", encoded(secret, sizeof(secret))));
	LEFT_OUT("a private key", jwk(p256, ",\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\""));

	LEFT_OUT("a key for encryption", jwk(rsa, ",\"use\":\"enc\""));
	LEFT_OUT("a use that is not a string", jwk(rsa, ",\"use\":[\"sig\"]"));
	LEFT_OUT("key_ops without verify", jwk(rsa, ",\"key_ops\":[\"sign\",\"encrypt\"]"));
	LEFT_OUT("key_ops of nothing", jwk(rsa, ",\"key_ops\":[]"));
	LEFT_OUT("key_ops that is not an array", jwk(rsa, ",\"key_ops\":\"verify\""));
	LEFT_OUT("key_ops that is an object", jwk(rsa, ",\"key_ops\":{\"verify\":\"verify\"}"));
	LEFT_OUT("an alg of another type", jwk(rsa, ",\"alg\":\"ES256\""));
	LEFT_OUT("an alg of another curve", jwk(p256, ",\"alg\":\"ES384\""));
	LEFT_OUT("a symmetric alg of a public key", jwk(rsa, ",\"alg\":\"HS256\""));
	LEFT_OUT("an alg for encryption", jwk(rsa, ",\"alg\":\"RSA-OAEP\""));
	LEFT_OUT("an alg of none", jwk(rsa, ",\"alg\":\"none\""));
	LEFT_OUT("an alg that is not a string", jwk(rsa, ",\"alg\":null"));
	LEFT_OUT("a kid that is not a string", jwk(rsa, ",\"kid\":1"));
	LEFT_OUT("an unknown kty", "{\"kty\":\"AKP\",\"pub\":\"AAAA\"}");
	LEFT_OUT("no kty", "{\"n\":\"AAAA\"}");
	LEFT_OUT("a key that is not an object", "\"key\"");
	LEFT_OUT("a key that is an array", "[]");
	LEFT_OUT("a key that is null", "null");

	for (int i = 0; i < n_bad; i++)
		ok(usable(psprintf("{\"keys\":[%s]}", bad[i])) == 0 &&
			   usable(psprintf("{\"keys\":[%s,%s]}", bad[i], good)) == 1 &&
			   verify_with(psprintf("{\"keys\":[%s,%s]}", bad[i], good), jwt) == JWT_VERIFIED,
		   "%s is left out and a good key beside it is used", why[i]);
	BN_free(number);
}

/*
 * Every encoding of a point of small order, and every y that is not reduced.
 * Under the neutral element R = 1, S = 0 signs anything.
 */
static void
test_ed25519_small_order(void)
{
	static const char *const ys[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"};
	unsigned char forged[64] = {1};
	char *jwt = token_of(signed_text("{\"alg\":\"EdDSA\"}", CLAIMS), forged, sizeof(forged));
	unsigned char point[32];
	unsigned char key[32];
	size_t len = sizeof(key);
	long key_len;
	int wrong = 0;

	for (size_t i = 0; i < lengthof(ys); i++)
	{
		unsigned char *bytes = OPENSSL_hexstr2buf(ys[i], &key_len);

		memcpy(point, bytes, 32);
		OPENSSL_free(bytes);
		ok(usable(ed25519_jwk(point, "")) == 0, "Ed25519 with y = %s is left out", ys[i]);
		point[31] ^= 0x80;
		ok(usable(ed25519_jwk(point, "")) == 0, "also with the sign of x set");
	}
	memset(point, 0xff, sizeof(point));
	for (int low = 0xed; low <= 0xff; low++)
	{
		point[0] = (unsigned char) low;
		point[31] = 0x7f;
		wrong += usable(ed25519_jwk(point, "")) != 0;
		point[31] = 0xff;
		wrong += usable(ed25519_jwk(point, "")) != 0;
	}
	ok(wrong == 0, "Ed25519 with y not reduced is left out");
	memset(point, 0, sizeof(point));
	point[0] = 1;
	ok(verify_with(ed25519_jwk(point, ""), jwt) == JWT_KEY_NOT_FOUND,
	   "a signature that is good for any message under the neutral element is refused");

	EVP_PKEY_get_raw_public_key(ed25519, key, &len);
	ok(usable(ed25519_jwk(key, "")) == 1, "an ordinary Ed25519 key is used");
}

static void
test_not_a_key_set(void)
{
	char *good = jwk(p256, "");
	char *deep = pstrdup("{\"keys\":[],\"a\":[[[[[[[[]]]]]]]]}");
	char *huge = psprintf("{\"keys\":[],\"a\":\"%*s\"}", 300 * 1024, "");
	StringInfoData many;

	ok(usable(good) == 1 && usable(psprintf("{\"keys\":[%s]}", good)) == 1,
	   "a set and a single key are read");
	ok(usable("{\"keys\":[],\"a\":[[[[[[]]]]]]}") == 0, "(eight levels are read)");
	ok(usable("") == -1 && usable("x") == -1 && usable("[]") == -1 && usable("null") == -1 &&
		   usable("{}") == -1 && usable("{\"keys\":{}}") == -1 && usable("{\"keys\":null}") == -1 &&
		   usable(psprintf("[%s]", good)) == -1,
	   "what is not a key set is none");
	ok(usable(psprintf("{\"keys\":[%s],}", good)) == -1 &&
		   usable(psprintf("{\"keys\":[%s]}x", good)) == -1 &&
		   usable(psprintf("{\"keys\":[%s]}{}", good)) == -1 &&
		   usable(psprintf("\xef\xbb\xbf\xef\xbb\xbf{\"keys\":[%s]}", good)) == -1 &&
		   usable(psprintf("{\"keys\":[%s],\"a\":\"\xff\"}", good)) == -1 &&
		   usable(psprintf("{\"keys\":[%s],\"a\":\"\xed\xa0\x80\"}", good)) == -1 &&
		   usable(psprintf("{\"keys\":[%s],\"a\":\"\\u0000\"}", good)) == -1 &&
		   usable(psprintf("{'keys':[%s]}", good)) == -1,
	   "what is not strict JSON in UTF-8 is none");
	ok(usable(psprintf("{\"keys\":[%s],\"keys\":[]}", good)) == -1 &&
		   usable(psprintf("{\"keys\":[%s],\"k\\u0065ys\":[]}", good)) == -1 &&
		   usable(jwk(p256, ",\"kty\":\"EC\"")) == -1,
	   "duplicate names are refused, also when escaped");
	ok(usable(deep) == -1 && usable(huge) == -1, "a deep and a huge set are refused");

	initStringInfo(&many);
	for (int i = 0; i < 200000; i++)
		appendStringInfoChar(&many, '[');
	ok(usable(many.data) == -1, "200,000 brackets are refused");
	resetStringInfo(&many);
	appendStringInfoString(&many, "{\"keys\":[]");
	for (int i = 0; i < 300; i++)
		appendStringInfo(&many, ",\"m%d\":0", i);
	appendStringInfoChar(&many, '}');
	ok(usable(many.data) == -1, "an object of 301 members is refused");
	resetStringInfo(&many);
	for (int i = 0; i < 200; i++)
		appendStringInfo(&many, "%s%s", i == 0 ? "{\"keys\":[" : ",", good);
	appendStringInfoString(&many, "]}");
	ok(usable(many.data) == 128, "of 200 keys 128 are read");
	resetStringInfo(&many);
	for (int i = 0; i < 200; i++)
		appendStringInfo(&many, "%s%s", i == 0 ? "{\"keys\":[" : ",",
						 i < 127 ? jwk(p384, ",\"alg\":\"RS256\"") : good);
	appendStringInfoString(&many, "]}");
	ok(usable(many.data) == 1, "also where most of those are of no use");
	jwt_keys_free(NULL);
}

static void
test_headers(void)
{
	static const char *const critical[] = {
		"{\"alg\":\"ES256\",\"crit\":[\"exp\"],\"exp\":1}",
		"{\"alg\":\"ES256\",\"crit\":[]}",
		"{\"alg\":\"ES256\",\"crit\":null}",
		"{\"alg\":\"ES256\",\"b64\":false,\"crit\":[\"b64\"]}",
		"{\"alg\":\"ES256\",\"b64\":false}",
		"{\"alg\":\"ES256\",\"crit\":[\"alg\"],\"kid\":1}",
	};
	static const char *const malformed[] = {
		"{\"alg\":\"ES256\",\"alg\":\"ES256\"}",
		"{\"alg\":\"ES256\",\"\\u0061lg\":\"none\"}",
		"{\"alg\":\"ES256\",\"x\":{\"a\":1,\"a\":1}}",
		"{\"alg\":\"ES256\"}x",
		"{\"alg\":\"ES256\"}{}",
		"x{\"alg\":\"ES256\"}",
		"\xef\xbb\xbf{\"alg\":\"ES256\"}",
		"{\"alg\":\"ES256\",}",
		"{\"alg\":\"ES256\",\"x\":01}",
		"{\"alg\":\"ES256\"/**/}",
		"{alg:\"ES256\"}",
		"{\"alg\":\"ES256\",\"x\":\"\xc0\x80\"}",
		"{\"alg\":\"ES256\",\"x\":\"\xff\"}",
		"{\"alg\":\"ES256\",\"x\":\"\\ud800\"}",
		"{\"alg\":\"ES256\",\"x\":\"\\u0000\"}",
		"{\"alg\":\"ES256\",\"x\":\"\n\"}",
		"{\"alg\":\"ES256\",\"x\":[[[[[[[[1]]]]]]]]}",
		"{\"alg\":\"ES256\",\"kid\":1}",
		"{\"alg\":\"ES256\",\"kid\":null}",
		"{\"alg\":[\"ES256\"]}",
		"{\"alg\":null}",
		"{}",
		"[{\"alg\":\"ES256\"}]",
		"\"ES256\"",
		"null",
	};
	JwtKeySet *keys = keys_for(JWT_ES256);
	char *header;
	int wrong = 0;

	ok(verify(keys, token(JWT_ES256, p256, "{\"alg\":\"ES256\",\"x\":[[[[[[[1]]]]]]]}")) ==
		   JWT_VERIFIED,
	   "members that are not understood are ignored");
	ok(verify(keys, token(JWT_ES256, p256, " {\n\"\\u0061lg\" : \"ES25\\u0036\" } ")) ==
		   JWT_VERIFIED,
	   "any way of writing the same JSON is read");
	for (size_t i = 0; i < lengthof(critical); i++)
		ok(verify(keys, token(JWT_ES256, p256, critical[i])) == JWT_CRITICAL_UNKNOWN,
		   "critical: %s", critical[i]);
	for (size_t i = 0; i < lengthof(malformed); i++)
		if (verify(keys, token(JWT_ES256, p256, malformed[i])) != JWT_MALFORMED)
			wrong += printf("# not malformed: %s\n", malformed[i]) > 0;
	ok(wrong == 0,
	   "%zu headers that are not one object of strict JSON with a string alg are "
	   "malformed",
	   lengthof(malformed));

	header = psprintf("%s.%s", encoded("{\"alg\":\"ES256\"}\0", 16), encoded(CLAIMS, 2));
	ok(verify(keys, psprintf("%s.AAAA", header)) == JWT_MALFORMED, "NUL after a header is refused");
	jwt_keys_free(keys);
}

static void
test_forms(void)
{
	JwtKeySet *keys = keys_for(JWT_ES256);
	char *jwt = token(JWT_ES256, p256, "{\"alg\":\"ES256\"}");
	const char *first = strchr(jwt, '.');
	const char *second = strrchr(jwt, '.');
	int header_len = (int) (first - jwt);
	int signed_len = (int) (second - jwt);
	static const char *const few[] = {"", ".", "..", "...", "e30", "e30.", "e30.e30", "e30.e30."};
	const char *forms[] = {
		psprintf("%s.", jwt),
		psprintf(".%s", jwt),
		psprintf("%s.AAAA", jwt),
		psprintf("%.*s.AAAA%s", header_len, jwt, first),
		psprintf("%s=", jwt),
		psprintf("%s==", jwt),
		psprintf("%.*s=%s", header_len, jwt, first),
		psprintf("%.*s=%s", signed_len, jwt, second),
		psprintf(" %s", jwt),
		psprintf("%s ", jwt),
		psprintf("%s\n", jwt),
		psprintf("%.*s\n%s", header_len, jwt, first),
		psprintf("%.*s %s", signed_len, jwt, second),
		psprintf("%.*s. %s", signed_len, jwt, second + 1),
		psprintf("%.*s%s", signed_len, jwt, "."),
		psprintf("%.*s+%s", signed_len, jwt, second),
		psprintf("%.*s/%s", signed_len, jwt, second),
		psprintf("%s", second),
	};
	char *bits = pstrdup(jwt);
	int wrong = 0;
	StringInfoData big;
	unsigned char signature[2048];
	char *big_jwt;
	size_t len;

	for (size_t i = 0; i < lengthof(few); i++)
		if (verify(keys, few[i]) != JWT_MALFORMED)
			wrong += printf("# not malformed: %s\n", few[i]) > 0;
	for (size_t i = 0; i < lengthof(forms); i++)
		if (verify(keys, forms[i]) != JWT_MALFORMED)
			wrong += printf("# not malformed: %s\n", forms[i]) > 0;
	ok(wrong == 0, "other than three parts, padding, white space and foreign characters are "
				   "malformed");
	ok(verify_bytes(keys, jwt, strlen(jwt) + 1, ALL_ALGORITHMS) == JWT_MALFORMED,
	   "a NUL at the end is malformed");

	/* 64 bytes leave four bits of the last character unused */
	bits[strlen(bits) - 1]++;
	ok(verify(keys, bits) == JWT_MALFORMED, "unused bits that are not zero are malformed");

	wrong = 0;
	for (size_t i = 0; i < strlen(jwt); i++)
	{
		wrong += verify_bytes(keys, jwt, i, ALL_ALGORITHMS) == JWT_VERIFIED;
		wrong += verify(keys, altered(jwt, i)) == JWT_VERIFIED;
	}
	ok(wrong == 0, "no truncation and no altered character verifies");

	initStringInfo(&big);
	appendStringInfoString(&big, "{\"a\":\"");
	while (big.len < 48 * 1024)
		appendStringInfoString(&big, "0123456789");
	appendStringInfoString(&big, "\"}");
	big_jwt = signed_text("{\"alg\":\"ES256\"}", big.data);
	len = make_signature(JWT_ES256, p256, big_jwt, 0, signature);
	big_jwt = token_of(big_jwt, signature, len);
	ok(strlen(big_jwt) > JWT_MAX_BYTES && verify(keys, big_jwt) == JWT_MALFORMED,
	   "a token beyond the cap is malformed though its signature is good");
	big_jwt = signed_text("{\"alg\":\"ES256\"}", big.data + 500);
	len = make_signature(JWT_ES256, p256, big_jwt, 0, signature);
	big_jwt = token_of(big_jwt, signature, len);
	ok(strlen(big_jwt) < JWT_MAX_BYTES && verify(keys, big_jwt) == JWT_VERIFIED,
	   "one just below it verifies");

	big_jwt = psprintf("%s.%0*d", signed_text("{\"alg\":\"ES256\"}", CLAIMS), 20000, 0);
	ok(verify(keys, big_jwt) == JWT_MALFORMED, "a huge signature is malformed");
	memset(signature, 0, sizeof(signature));
	big_jwt = token_of(signed_text("{\"alg\":\"ES256\"}", CLAIMS), signature, 1025);
	ok(verify(keys, big_jwt) == JWT_MALFORMED,
	   "so is one of a byte more than the largest RSA key makes");
	jwt_keys_free(keys);
}

static void
test_secrets(void)
{
	JwtKeySet *keys = jwt_keys_from_secret(secret, 47);

	ok(jwt_keys_from_secret(secret, 31) == NULL && jwt_keys_from_secret(secret, 0) == NULL,
	   "a secret below 32 bytes is refused");
	ok(verify(keys, token(JWT_HS384, NULL, "{\"alg\":\"HS384\"}")) == JWT_KEY_NOT_FOUND &&
		   verify(keys, token(JWT_HS512, NULL, "{\"alg\":\"HS512\"}")) == JWT_KEY_NOT_FOUND &&
		   verify(keys, token(JWT_HS256, NULL, "{\"alg\":\"HS256\"}")) == JWT_SIGNATURE_INVALID,
	   "a secret shorter than the hash does not do that algorithm");
	jwt_keys_free(keys);
}

static void
test_unverified(void)
{
	char *jwt = token(JWT_ES256, p256, "{\"alg\":\"ES256\",\"kid\":\"2026-11\"}");
	char *anonymous = signed_text("{\"alg\":\"none\"}", "{\"iss\":1}");
	char out[64];

	ok(jwt_unverified_kid(jwt, strlen(jwt), out, sizeof(out)) && strcmp(out, "2026-11") == 0,
	   "the kid can be read without keys");
	ok(jwt_unverified_issuer(jwt, strlen(jwt), out, sizeof(out)) &&
		   strcmp(out, "https://issuer.example") == 0,
	   "and the issuer");
	ok(jwt_unverified_kid(jwt, strlen(jwt), out, 8) &&
		   !jwt_unverified_kid(jwt, strlen(jwt), out, 7),
	   "one that does not fit is none");
	anonymous = psprintf("%s.", anonymous);
	ok(!jwt_unverified_kid(anonymous, strlen(anonymous), out, sizeof(out)) &&
		   !jwt_unverified_issuer(anonymous, strlen(anonymous), out, sizeof(out)),
	   "one that is absent or not a string is none");
	ok(!jwt_unverified_kid("a.b.c", 5, out, sizeof(out)) &&
		   !jwt_unverified_kid(psprintf("%s.AAAA", jwt), strlen(jwt) + 5, out, sizeof(out)) &&
		   !jwt_unverified_issuer("e30.e30.", 8, out, sizeof(out)) &&
		   !jwt_unverified_issuer("e30.bnVsbA.", 11, out, sizeof(out)) &&
		   !jwt_unverified_issuer("e30..", 5, out, sizeof(out)),
	   "one of a malformed token is none");
}

static void
test_names(void)
{
	int wrong = 0;

	for (size_t i = 0; i < lengthof(all_algorithms); i++)
		wrong +=
			jwt_algorithm_by_name(all_algorithms[i].name) != all_algorithms[i].algorithm ||
			strcmp(jwt_algorithm_name(all_algorithms[i].algorithm), all_algorithms[i].name) != 0;
	ok(wrong == 0 && jwt_algorithm_by_name("none") == 0 && jwt_algorithm_by_name("es256") == 0 &&
		   jwt_algorithm_by_name("") == 0,
	   "the algorithms have their registered names, in exact case");
	for (int result = JWT_VERIFIED; result <= JWT_SIGNATURE_INVALID; result++)
		wrong += strcmp(jwt_result_text(result), "unknown result") == 0;
	ok(wrong == 0, "every result has a text");
}

int
main(void)
{
	rsa = EVP_RSA_gen(2048);
	other_rsa = EVP_RSA_gen(2048);
	p256 = EVP_EC_gen("P-256");
	p384 = EVP_EC_gen("P-384");
	p521 = EVP_EC_gen("P-521");
	ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	test_examples();
	test_every_algorithm();
	test_algorithm_confusion();
	test_forged_signatures();
	test_choice_of_key();
	test_keys_left_out();
	test_ed25519_small_order();
	test_not_a_key_set();
	test_headers();
	test_forms();
	test_secrets();
	test_unverified();
	test_names();

	EVP_PKEY_free(rsa);
	EVP_PKEY_free(other_rsa);
	EVP_PKEY_free(p256);
	EVP_PKEY_free(p384);
	EVP_PKEY_free(p521);
	EVP_PKEY_free(ed25519);
	return tap_done();
}
