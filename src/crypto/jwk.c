/*
 * jwk.c
 *	  JSON Web Keys into OpenSSL keys: RFC 7517, 7518 section 6, 8037.
 *
 * What a key may verify is decided here, by its own type, curve, size and
 * "alg".  OpenSSL's checks at import are not enough: it takes even moduli, an
 * exponent of one and Ed25519 points of small order.
 *
 * Must not know tokens, PostgreSQL's backend or where keys come from.  JSON
 * trees are left to the caller's memory context; a key set is malloc'ed.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include <limits.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include "base/base64.h"
#include "base/json_tree.h"
#include "crypto/jwk.h"

#define MAX_JWKS_BYTES (256 * 1024)
#define MAX_KEYS 128
#define MIN_RSA_BITS 2048
#define MAX_RSA_EXPONENT_BITS 64
#define ED25519_KEY_BYTES 32

const JwkCurve jwk_curves[JWK_CURVES] = {
	{"P-256", JWT_ES256, 32},
	{"P-384", JWT_ES384, 48},
	{"P-521", JWT_ES512, 66},
};

static bool parse_key(const JsonValue *jwk, JwtKey *key);
static bool meant_for_verifying(const JsonValue *jwk);
static int decode_member(const JsonValue *jwk, const char *name, unsigned char *out, size_t size);
static EVP_PKEY *rsa_key(const JsonValue *jwk);
static EVP_PKEY *ec_key(const JsonValue *jwk, unsigned *key_algorithms);
static EVP_PKEY *ed25519_key(const JsonValue *jwk);
static bool ed25519_point_usable(const unsigned char *point);
static EVP_PKEY *key_from_params(const char *type, OSSL_PARAM_BLD *builder);
static void release_key(JwtKey *key);

JwtKeySet *
jwt_keys_parse(const char *json, size_t len, int *n_usable)
{
	const JsonValue *root;
	const JsonValue *list;
	const JsonValue *jwk;
	JwtKeySet *keys;
	int room;

	*n_usable = 0;
	if (len > MAX_JWKS_BYTES)
		return NULL;
	/* RFC 8259 §8.1: a byte order mark may be let pass */
	if (len >= 3 && memcmp(json, "\xef\xbb\xbf", 3) == 0)
	{
		json += 3;
		len -= 3;
	}
	root = json_parse_object(json, len);
	if (root == NULL)
		return NULL;

	list = json_member(root, "keys");
	if (list != NULL && list->type == JSON_TOKEN_ARRAY_START)
	{
		jwk = list->first;
		room = Min(list->n_children, MAX_KEYS);
	}
	else if (list == NULL && json_member(root, "kty") != NULL)
	{
		jwk = root;
		room = 1;
	}
	else
		return NULL;

	keys = calloc(1, offsetof(JwtKeySet, keys) + (size_t) room * sizeof(JwtKey));
	if (keys == NULL)
		return NULL;
	/* those of no use count as well: to find that out of a curve's point costs the most */
	for (int i = 0; i < room; i++, jwk = jwk->next)
		if (parse_key(jwk, &keys->keys[keys->n_keys]))
			keys->n_keys++;
	ERR_clear_error();
	*n_usable = keys->n_keys;
	return keys;
}

JwtKeySet *
jwt_keys_from_secret(const unsigned char *secret, size_t len)
{
	JwtKeySet *keys;
	JwtKey *key;

	if (len < 32 || len > INT_MAX)
		return NULL;
	keys = calloc(1, offsetof(JwtKeySet, keys) + sizeof(JwtKey));
	if (keys == NULL)
		return NULL;
	keys->n_keys = 1;
	key = &keys->keys[0];
	key->secret = malloc(len);
	if (key->secret == NULL)
	{
		jwt_keys_free(keys);
		return NULL;
	}
	memcpy(key->secret, secret, len);
	key->secret_len = len;

	/* RFC 7518 §3.2: a key of at least the size of the hash */
	key->algorithms = JWT_HS256;
	if (len >= 48)
		key->algorithms |= JWT_HS384;
	if (len >= 64)
		key->algorithms |= JWT_HS512;
	return keys;
}

void
jwt_keys_free(JwtKeySet *keys)
{
	if (keys == NULL)
		return;
	for (int i = 0; i < keys->n_keys; i++)
		release_key(&keys->keys[i]);
	free(keys);
}

static void
release_key(JwtKey *key)
{
	EVP_PKEY_free(key->pkey);
	if (key->secret != NULL)
		OPENSSL_cleanse(key->secret, key->secret_len);
	free(key->secret);
	free(key->kid);
	memset(key, 0, sizeof(JwtKey));
}

/*
 * RFC 7517 §5: a key that is not understood is ignored, not an error.  So is a
 * symmetric key: whoever may read the set could sign with it.
 */
static bool
parse_key(const JsonValue *jwk, JwtKey *key)
{
	const char *kty;
	const char *alg;
	const char *kid;

	if (jwk->type != JSON_TOKEN_OBJECT_START || !meant_for_verifying(jwk))
		return false;
	kty = json_string(json_member(jwk, "kty"));
	kid = json_string(json_member(jwk, "kid"));
	alg = json_string(json_member(jwk, "alg"));
	if (kty == NULL || (kid == NULL && json_member(jwk, "kid") != NULL) ||
		(alg == NULL && json_member(jwk, "alg") != NULL))
		return false;

	if (strcmp(kty, "RSA") == 0)
	{
		key->algorithms = JWT_RS_ALGORITHMS | JWT_PS_ALGORITHMS;
		key->pkey = rsa_key(jwk);
	}
	else if (strcmp(kty, "EC") == 0)
		key->pkey = ec_key(jwk, &key->algorithms);
	else if (strcmp(kty, "OKP") == 0)
	{
		key->algorithms = JWT_EDDSA;
		key->pkey = ed25519_key(jwk);
	}
	if (alg != NULL)
		key->algorithms &= jwt_algorithm_by_name(alg);
	if (kid != NULL)
		key->kid = strdup(kid);

	if (key->pkey == NULL || key->algorithms == 0 || (kid != NULL && key->kid == NULL))
	{
		release_key(key);
		return false;
	}
	return true;
}

/* RFC 7517 §4.2, §4.3.  A published private key proves nothing about anyone. */
static bool
meant_for_verifying(const JsonValue *jwk)
{
	const JsonValue *use = json_member(jwk, "use");
	const JsonValue *operations = json_member(jwk, "key_ops");

	if (json_member(jwk, "d") != NULL)
		return false;
	if (use != NULL && (json_string(use) == NULL || strcmp(use->text, "sig") != 0))
		return false;
	if (operations == NULL)
		return true;
	if (operations->type != JSON_TOKEN_ARRAY_START)
		return false;
	for (const JsonValue *operation = operations->first; operation != NULL;
		 operation = operation->next)
		if (json_string(operation) != NULL && strcmp(operation->text, "verify") == 0)
			return true;
	return false;
}

/* -1 unless it is a string of base64url that fits */
static int
decode_member(const JsonValue *jwk, const char *name, unsigned char *out, size_t size)
{
	const char *text = json_string(json_member(jwk, name));
	size_t len;

	if (text == NULL)
		return -1;
	len = strlen(text);
	if (len == 0 || len * 3 / 4 > size)
		return -1;
	return decode_base64url(text, len, out);
}

static EVP_PKEY *
rsa_key(const JsonValue *jwk)
{
	/* a leading zero byte, forbidden but seen, is let pass */
	unsigned char modulus[JWK_MAX_RSA_BITS / 8 + 1];
	unsigned char exponent[MAX_RSA_EXPONENT_BITS / 8 + 1];
	int modulus_len = decode_member(jwk, "n", modulus, sizeof(modulus));
	int exponent_len = decode_member(jwk, "e", exponent, sizeof(exponent));
	BIGNUM *n = NULL;
	BIGNUM *e = NULL;
	OSSL_PARAM_BLD *builder = NULL;
	EVP_PKEY *pkey = NULL;

	if (modulus_len <= 0 || exponent_len <= 0)
		return NULL;
	n = BN_bin2bn(modulus, modulus_len, NULL);
	e = BN_bin2bn(exponent, exponent_len, NULL);
	builder = OSSL_PARAM_BLD_new();
	if (n != NULL && e != NULL && builder != NULL && BN_num_bits(n) >= MIN_RSA_BITS &&
		BN_num_bits(n) <= JWK_MAX_RSA_BITS && BN_is_odd(n) && BN_is_odd(e) && !BN_is_one(e) &&
		BN_num_bits(e) <= MAX_RSA_EXPONENT_BITS &&
		OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) &&
		OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e))
		pkey = key_from_params("RSA", builder);
	OSSL_PARAM_BLD_free(builder);
	BN_free(n);
	BN_free(e);
	return pkey;
}

static EVP_PKEY *
ec_key(const JsonValue *jwk, unsigned *key_algorithms)
{
	unsigned char point[1 + 2 * JWK_MAX_COORDINATE_BYTES];
	const char *crv = json_string(json_member(jwk, "crv"));
	OSSL_PARAM_BLD *builder;
	EVP_PKEY *pkey = NULL;
	EVP_PKEY_CTX *check = NULL;

	for (size_t i = 0; crv != NULL && i < JWK_CURVES; i++)
	{
		const int bytes = jwk_curves[i].coordinate_bytes;

		if (strcmp(crv, jwk_curves[i].crv) != 0)
			continue;

		point[0] = POINT_CONVERSION_UNCOMPRESSED;
		if (decode_member(jwk, "x", point + 1, bytes) != bytes ||
			decode_member(jwk, "y", point + 1 + bytes, bytes) != bytes)
			return NULL;
		builder = OSSL_PARAM_BLD_new();
		if (builder != NULL &&
			OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, jwk_curves[i].crv,
											0) &&
			OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point,
											 1 + 2 * (size_t) bytes))
			pkey = key_from_params("EC", builder);
		OSSL_PARAM_BLD_free(builder);

		/* on the curve, not at infinity, of the right order */
		if (pkey != NULL)
			check = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
		if (check == NULL || EVP_PKEY_public_check(check) != 1)
		{
			EVP_PKEY_free(pkey);
			pkey = NULL;
		}
		EVP_PKEY_CTX_free(check);
		*key_algorithms = jwk_curves[i].algorithm;
		return pkey;
	}
	return NULL;
}

static EVP_PKEY *
ed25519_key(const JsonValue *jwk)
{
	unsigned char point[ED25519_KEY_BYTES];
	const char *crv = json_string(json_member(jwk, "crv"));

	if (crv == NULL || strcmp(crv, "Ed25519") != 0 ||
		decode_member(jwk, "x", point, sizeof(point)) != sizeof(point) ||
		!ed25519_point_usable(point))
		return NULL;
	return EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, point, sizeof(point));
}

/*
 * Under a point of small order anyone can make signatures that verify, and
 * OpenSSL does not look.  The y coordinates of the eight points of the torsion
 * subgroup are 0, 1, -1 and the two below, whatever the sign of x; y of p or
 * more is not canonical (RFC 8032 §5.1.3), which OpenSSL takes as well.
 */
static bool
ed25519_point_usable(const unsigned char *point)
{
	static const unsigned char order_8[2][ED25519_KEY_BYTES] = {
		{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
		 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
		 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
		{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
		 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
		 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05}};
	unsigned char y[ED25519_KEY_BYTES];
	bool middle_zero = true;
	bool middle_ones = true;

	memcpy(y, point, sizeof(y));
	y[ED25519_KEY_BYTES - 1] &= 0x7f;
	for (int i = 1; i < ED25519_KEY_BYTES; i++)
	{
		middle_zero = middle_zero && y[i] == 0;
		middle_ones = middle_ones && y[i] == (i == ED25519_KEY_BYTES - 1 ? 0x7f : 0xff);
	}
	/* little endian; p = 2^255 - 19 ends in ed */
	if ((middle_zero && y[0] <= 1) || (middle_ones && y[0] >= 0xec))
		return false;
	return memcmp(y, order_8[0], sizeof(y)) != 0 && memcmp(y, order_8[1], sizeof(y)) != 0;
}

static EVP_PKEY *
key_from_params(const char *type, OSSL_PARAM_BLD *builder)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *pkey = NULL;

	if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
		EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		pkey = NULL;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return pkey;
}
