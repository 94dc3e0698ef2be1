/*
 * jwt.h
 *	  Verifying a JSON Web Signature (RFC 7515, 7518, 8037) and turning JSON Web
 *	  Keys (RFC 7517) into OpenSSL keys.
 *
 * Pure functions over bytes: knows neither PostgreSQL's backend nor HTTP.  The
 * algorithms that may be used are the caller's, fixed before anything is parsed.
 */
#ifndef APPUSER_CONNECTORS_JWT_H
#define APPUSER_CONNECTORS_JWT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bits of an allowed-algorithms mask; "none" does not exist. */
typedef enum JwtAlgorithm
{
	JWT_RS256 = 1 << 0,
	JWT_RS384 = 1 << 1,
	JWT_RS512 = 1 << 2,
	JWT_PS256 = 1 << 3,
	JWT_PS384 = 1 << 4,
	JWT_PS512 = 1 << 5,
	JWT_ES256 = 1 << 6,
	JWT_ES384 = 1 << 7,
	JWT_ES512 = 1 << 8,
	JWT_EDDSA = 1 << 9, /* Ed25519 */
	JWT_HS256 = 1 << 10,
	JWT_HS384 = 1 << 11,
	JWT_HS512 = 1 << 12
} JwtAlgorithm;

#define JWT_HMAC_ALGORITHMS (JWT_HS256 | JWT_HS384 | JWT_HS512)
#define JWT_MAX_BYTES (64 * 1024)

typedef enum JwtResult
{
	JWT_VERIFIED,
	JWT_MALFORMED,         /* not three base64url parts of strict JSON */
	JWT_ALGORITHM_REFUSED, /* none, unknown, or not among the allowed */
	JWT_CRITICAL_UNKNOWN,  /* a crit header (RFC 7515 §4.1.11) */
	JWT_KEY_NOT_FOUND,     /* no key of that kid and type: perhaps refetch */
	JWT_KEY_AMBIGUOUS,     /* no kid, and several keys would do */
	JWT_SIGNATURE_INVALID
} JwtResult;

typedef struct JwtKeySet JwtKeySet;

/*
 * Parses a JWK Set, or a single JWK.  Keys that cannot be parsed, are weak (RSA
 * below 2048 bits, even modulus or public exponent, e = 1, EC point off its
 * curve, Ed25519 point of small order) or are not for signing are left out.
 * NULL when it is not a JWK Set at all.  *n_usable may be 0.
 */
extern JwtKeySet *jwt_keys_parse(const char *json, size_t len, int *n_usable);

/* One symmetric key for HS*; refused (NULL) below 32 bytes. */
extern JwtKeySet *jwt_keys_from_secret(const unsigned char *secret, size_t len);

extern void jwt_keys_free(JwtKeySet *keys);

/*
 * Verifies a JWS in compact form; keys is NULL where there are none.  On JWT_VERIFIED *payload is the decoded
 * payload, malloc'ed and NUL-terminated, *payload_len bytes.  Claims are the
 * caller's to check.
 */
extern JwtResult jwt_verify(const char *jwt, size_t len, const JwtKeySet *keys,
							unsigned allowed_algorithms, char **payload, size_t *payload_len);

/* The kid of the header without verification, for the decision to refetch;
 * false when there is none or it is malformed. */
extern bool jwt_unverified_kid(const char *jwt, size_t len, char *kid, size_t kid_size);

/*
 * The iss claim without verification, to choose whose keys to verify with;
 * verify afterwards.  False when there is none or it is malformed.
 */
extern bool jwt_unverified_issuer(const char *jwt, size_t len, char *iss, size_t iss_size);

extern const char *jwt_algorithm_name(JwtAlgorithm algorithm);

/* 0 when the name is not one of the algorithms above (JWA names, exact case) */
extern JwtAlgorithm jwt_algorithm_by_name(const char *name);

extern const char *jwt_result_text(JwtResult result);

#endif
