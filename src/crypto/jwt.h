/*
 * jwt.h
 *	  Verifying a JSON Web Signature (RFC 7515, 7518, 8037) and turning JSON Web
 *	  Keys (RFC 7517) into OpenSSL keys.
 *
 * Pure functions over bytes: knows neither PostgreSQL's backend nor HTTP.  The
 * algorithms that may be used are the caller's, fixed before anything is parsed.
 */
#ifndef APPUSER_CONNECTORS_CRYPTO_JWT_H
#define APPUSER_CONNECTORS_CRYPTO_JWT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/jwk.h"

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

/*
 * Is the type that a token's header says (typ) one of these?  Case does not count, nor
 * does "application/" in front (RFC 7515 §4.1.9); a token that says none is a "JWT".
 * Without types, those are JWT and at+jwt (RFC 9068).
 */
extern bool jwt_type_accepted(const char *jwt, size_t len, char *const *types, int n_types);

/* Why a type can never say who somebody is, a sentence; NULL for one that can */
extern const char *jwt_type_problem(const char *type);

extern const char *jwt_result_text(JwtResult result);

#endif
