/*
 * jwt.c
 *	  Verifying a JSON Web Signature in compact form: RFC 7515, with the
 *	  algorithms of RFC 7518 section 3 and RFC 8037 and the advice of RFC 8725.
 *
 * A token's header can only choose among the algorithms that the caller allows
 * and that the key is for.  Keys that a token carries or points to (jwk, jku,
 * x5c, x5u) are never looked at.
 *
 * Must not know PostgreSQL's backend, HTTP or what the claims mean.  JSON trees
 * are left to the caller's memory context; a payload is malloc'ed.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "base/base64.h"
#include "base/json_tree.h"
#include "crypto/jwt.h"

#define ED25519_SIGNATURE_BYTES 64
#define MAX_SIGNATURE_BYTES (JWK_MAX_RSA_BITS / 8)

/* The parts of a compact serialization and of its header */
typedef struct ParsedJws
{
	const char *payload; /* still encoded */
	size_t payload_len;
	const char *signature;
	size_t signature_len;
	size_t signed_len; /* of header and payload, from the start */
	const JsonValue *header;
} ParsedJws;

static bool parse_jws(const char *jwt, size_t len, ParsedJws *jws);
static bool copy_string_member(const JsonValue *object, const char *name, char *out, size_t size);
static JwtResult choose_key(const JwtKeySet *keys, const char *kid, JwtAlgorithm algorithm,
							const JwtKey **chosen);
static bool signature_valid(const JwtKey *key, const JwaAlgorithm *row, const char *text,
							size_t text_len, const unsigned char *signature, size_t signature_len);
static bool hmac_valid(const JwtKey *key, const JwaAlgorithm *row, const char *text,
					   size_t text_len, const unsigned char *signature, size_t signature_len);
static int ecdsa_to_der(JwtAlgorithm algorithm, const unsigned char *signature,
						size_t signature_len, unsigned char **der);

JwtResult
jwt_verify(const char *jwt, size_t len, const JwtKeySet *keys, unsigned allowed_algorithms,
		   char **payload, size_t *payload_len)
{
	ParsedJws jws;
	const char *alg;
	const JwaAlgorithm *row;
	const JwtKey *key;
	JwtResult result;
	unsigned char signature[MAX_SIGNATURE_BYTES];
	int signature_len;
	char *decoded;
	int decoded_len;
	bool valid;

	*payload = NULL;
	*payload_len = 0;
	if (!parse_jws(jwt, len, &jws))
		return JWT_MALFORMED;
	alg = json_string(json_member(jws.header, "alg"));
	if (alg == NULL)
		return JWT_MALFORMED;
	row = jwa_algorithm(jwt_algorithm_by_name(alg));
	if (row == NULL || (row->algorithm & allowed_algorithms) == 0)
		return JWT_ALGORITHM_REFUSED;

	/* no extension is understood; b64 (RFC 7797) changes what is signed */
	if (json_member(jws.header, "crit") != NULL || json_member(jws.header, "b64") != NULL)
		return JWT_CRITICAL_UNKNOWN;
	if (json_member(jws.header, "kid") != NULL &&
		json_string(json_member(jws.header, "kid")) == NULL)
		return JWT_MALFORMED;
	if (jws.signature_len * 3 / 4 > MAX_SIGNATURE_BYTES)
		return JWT_MALFORMED;
	signature_len = decode_base64url(jws.signature, jws.signature_len, signature);
	if (signature_len <= 0)
		return JWT_MALFORMED;

	/* before the signature, so that malformed always says so */
	decoded = malloc(jws.payload_len * 3 / 4 + 1);
	if (decoded == NULL)
		return JWT_SIGNATURE_INVALID;
	decoded_len = decode_base64url(jws.payload, jws.payload_len, (unsigned char *) decoded);
	if (decoded_len < 0)
	{
		free(decoded);
		return JWT_MALFORMED;
	}

	result = choose_key(keys, json_string(json_member(jws.header, "kid")), row->algorithm, &key);
	if (result != JWT_VERIFIED)
	{
		free(decoded);
		return result;
	}
	valid = signature_valid(key, row, jwt, jws.signed_len, signature, (size_t) signature_len);
	ERR_clear_error();
	if (!valid)
	{
		free(decoded);
		return JWT_SIGNATURE_INVALID;
	}
	decoded[decoded_len] = '\0';
	*payload = decoded;
	*payload_len = (size_t) decoded_len;
	return JWT_VERIFIED;
}

bool
jwt_unverified_kid(const char *jwt, size_t len, char *kid, size_t kid_size)
{
	ParsedJws jws;

	return parse_jws(jwt, len, &jws) && copy_string_member(jws.header, "kid", kid, kid_size);
}

bool
jwt_unverified_issuer(const char *jwt, size_t len, char *iss, size_t iss_size)
{
	ParsedJws jws;
	char *decoded;
	int decoded_len;
	const JsonValue *claims;

	if (!parse_jws(jwt, len, &jws))
		return false;
	decoded = palloc(jws.payload_len * 3 / 4 + 1);
	decoded_len = decode_base64url(jws.payload, jws.payload_len, (unsigned char *) decoded);
	if (decoded_len <= 0)
		return false;
	claims = json_parse_object(decoded, (size_t) decoded_len);
	return claims != NULL && copy_string_member(claims, "iss", iss, iss_size);
}

static const char *
plain_type(const char *type)
{
	static const char prefix[] = "application/";

	return pg_strncasecmp(type, prefix, strlen(prefix)) == 0 ? type + strlen(prefix) : type;
}

bool
jwt_type_accepted(const char *jwt, size_t len, char *const *types, int n_types)
{
	static char *const usual[] = {"JWT", "at+jwt"};
	const JsonValue *member;
	const char *type = "JWT";
	ParsedJws jws;

	if (!parse_jws(jwt, len, &jws))
		return false;
	member = json_member(jws.header, "typ");
	if (member != NULL)
		type = json_string(member);
	if (type == NULL)
		return false;
	if (types == NULL)
	{
		types = usual;
		n_types = lengthof(usual);
	}
	for (int i = 0; i < n_types; i++)
		if (pg_strcasecmp(plain_type(type), plain_type(types[i])) == 0)
			return true;
	return false;
}

/* RFC 8725 §3.11 wants such kinds told apart: OpenID Connect Back-Channel Logout, RFC 9449, 8417 */
const char *
jwt_type_problem(const char *type)
{
	static const char *const other_kinds[] = {"logout+jwt", "dpop+jwt", "secevent+jwt"};

	if (plain_type(type)[0] == '\0' || strlen(type) > 64)
		return "It must be 1 to 64 bytes long.";
	for (const char *c = type; *c != '\0'; c++)
		if (*c <= 0x20 || *c > 0x7e)
			return "It holds other characters than printable ASCII.";
	for (size_t i = 0; i < lengthof(other_kinds); i++)
		if (pg_strcasecmp(plain_type(type), other_kinds[i]) == 0)
			return "Tokens of that type do not say who somebody is.";
	return NULL;
}

/* Exactly two dots, and a header that is a JSON object */
static bool
parse_jws(const char *jwt, size_t len, ParsedJws *jws)
{
	const char *first;
	const char *second;
	char *header;
	int header_len;

	if (len == 0 || len > JWT_MAX_BYTES)
		return false;
	first = memchr(jwt, '.', len);
	if (first == NULL)
		return false;
	jws->payload = first + 1;
	second = memchr(jws->payload, '.', (size_t) (jwt + len - jws->payload));
	if (second == NULL)
		return false;
	jws->payload_len = (size_t) (second - jws->payload);
	jws->signed_len = (size_t) (second - jwt);
	jws->signature = second + 1;
	jws->signature_len = (size_t) (jwt + len - jws->signature);
	if (memchr(jws->signature, '.', jws->signature_len) != NULL)
		return false;

	header = palloc((size_t) (first - jwt) * 3 / 4 + 1);
	header_len = decode_base64url(jwt, (size_t) (first - jwt), (unsigned char *) header);
	if (header_len <= 0)
		return false;
	jws->header = json_parse_object(header, (size_t) header_len);
	return jws->header != NULL;
}

static bool
copy_string_member(const JsonValue *object, const char *name, char *out, size_t size)
{
	const char *text = json_string(json_member(object, name));

	return text != NULL && strlcpy(out, text, size) < size;
}

/*
 * With a kid, the one key of that kid that can do the algorithm; failing that a
 * key without a kid, if no other could be meant.  Without, the only key that
 * can.  Signatures are never tried against several keys.
 */
static JwtResult
choose_key(const JwtKeySet *keys, const char *kid, JwtAlgorithm algorithm, const JwtKey **chosen)
{
	const JwtKey *candidate = NULL;
	const JwtKey *named = NULL;
	int n_candidates = 0;
	int n_named = 0;

	for (int i = 0; keys != NULL && i < keys->n_keys; i++)
	{
		const JwtKey *key = &keys->keys[i];

		if ((key->algorithms & algorithm) == 0)
			continue;
		candidate = key;
		n_candidates++;
		if (kid != NULL && key->kid != NULL && strcmp(kid, key->kid) == 0)
		{
			named = key;
			n_named++;
		}
	}

	if (n_named > 0)
	{
		*chosen = named;
		return n_named == 1 ? JWT_VERIFIED : JWT_KEY_AMBIGUOUS;
	}
	*chosen = candidate;
	if (n_candidates == 0)
		return JWT_KEY_NOT_FOUND;
	if (kid != NULL)
		return n_candidates == 1 && candidate->kid == NULL ? JWT_VERIFIED : JWT_KEY_NOT_FOUND;
	return n_candidates == 1 ? JWT_VERIFIED : JWT_KEY_AMBIGUOUS;
}

static bool
signature_valid(const JwtKey *key, const JwaAlgorithm *row, const char *text, size_t text_len,
				const unsigned char *signature, size_t signature_len)
{
	EVP_MD_CTX *ctx;
	EVP_PKEY_CTX *pkey_ctx;
	unsigned char *der = NULL;
	bool valid = false;

	if (row->algorithm & JWT_HMAC_ALGORITHMS)
		return hmac_valid(key, row, text, text_len, signature, signature_len);

	/* fixed lengths; OpenSSL would let some shorter RSA signatures through */
	if (row->algorithm & JWT_ES_ALGORITHMS)
	{
		int der_len = ecdsa_to_der(row->algorithm, signature, signature_len, &der);

		if (der_len <= 0)
			return false;
		signature = der;
		signature_len = (size_t) der_len;
	}
	else if (signature_len != (row->algorithm == JWT_EDDSA ? ED25519_SIGNATURE_BYTES
														   : (size_t) EVP_PKEY_get_size(key->pkey)))
		return false;

	ctx = EVP_MD_CTX_new();
	if (ctx != NULL &&
		EVP_DigestVerifyInit_ex(ctx, &pkey_ctx, row->digest, NULL, NULL, key->pkey, NULL) == 1)
	{
		/* RFC 7518 §3.5: MGF1 with the same hash, which is OpenSSL's default */
		bool ready = (row->algorithm & JWT_PS_ALGORITHMS) == 0 ||
					 (EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
					  EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, RSA_PSS_SALTLEN_DIGEST) == 1);

		valid = ready && EVP_DigestVerify(ctx, signature, signature_len,
										  (const unsigned char *) text, text_len) == 1;
	}
	EVP_MD_CTX_free(ctx);
	OPENSSL_free(der);
	return valid;
}

static bool
hmac_valid(const JwtKey *key, const JwaAlgorithm *row, const char *text, size_t text_len,
		   const unsigned char *signature, size_t signature_len)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	size_t mac_len = 0;

	return key->secret != NULL &&
		   EVP_Q_mac(NULL, "HMAC", NULL, row->digest, NULL, key->secret, key->secret_len,
					 (const unsigned char *) text, text_len, mac, sizeof(mac), &mac_len) != NULL &&
		   mac_len == (size_t) row->digest_bytes && signature_len == mac_len &&
		   CRYPTO_memcmp(mac, signature, mac_len) == 0;
}

/*
 * RFC 7518 §3.4: R and S, each of the size of the curve's order, one after the
 * other.  Zero in either is refused here (CVE-2022-21449 was somebody else who
 * did not); values of the order or more are OpenSSL's to refuse.
 */
static int
ecdsa_to_der(JwtAlgorithm algorithm, const unsigned char *signature, size_t signature_len,
			 unsigned char **der)
{
	ECDSA_SIG *pair = ECDSA_SIG_new();
	int half = 0;
	int der_len = -1;
	BIGNUM *r;
	BIGNUM *s;

	for (size_t i = 0; i < JWK_CURVES; i++)
		if (jwk_curves[i].algorithm == algorithm)
			half = jwk_curves[i].coordinate_bytes;
	if (pair == NULL || signature_len != 2 * (size_t) half)
	{
		ECDSA_SIG_free(pair);
		return -1;
	}
	r = BN_bin2bn(signature, half, NULL);
	s = BN_bin2bn(signature + half, half, NULL);
	if (r == NULL || s == NULL || BN_is_zero(r) || BN_is_zero(s) || !ECDSA_SIG_set0(pair, r, s))
	{
		BN_free(r);
		BN_free(s);
	}
	else
		der_len = i2d_ECDSA_SIG(pair, der);
	ECDSA_SIG_free(pair);
	return der_len;
}

const char *
jwt_result_text(JwtResult result)
{
	switch (result)
	{
		case JWT_VERIFIED:
			return "verified";
		case JWT_MALFORMED:
			return "not a well-formed signed token";
		case JWT_ALGORITHM_REFUSED:
			return "signed with an algorithm that is not allowed";
		case JWT_CRITICAL_UNKNOWN:
			return "has critical header parameters that are not understood";
		case JWT_KEY_NOT_FOUND:
			return "signed with an unknown key";
		case JWT_KEY_AMBIGUOUS:
			return "does not say which of several keys signed it";
		case JWT_SIGNATURE_INVALID:
			return "its signature does not verify";
	}
	return "unknown result";
}
