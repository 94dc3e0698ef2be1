/*
 * jwa.h
 *	  The signature algorithms of JSON Web Algorithms (RFC 7518 §3, RFC 8037 §3.1).
 */
#ifndef APPUSER_CONNECTORS_CRYPTO_JWA_H
#define APPUSER_CONNECTORS_CRYPTO_JWA_H

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
#define JWT_RS_ALGORITHMS (JWT_RS256 | JWT_RS384 | JWT_RS512)
#define JWT_PS_ALGORITHMS (JWT_PS256 | JWT_PS384 | JWT_PS512)
#define JWT_ES_ALGORITHMS (JWT_ES256 | JWT_ES384 | JWT_ES512)

typedef struct JwaAlgorithm
{
	JwtAlgorithm algorithm;
	const char *name;
	const char *digest; /* OpenSSL's name; NULL: the scheme has its own */
	int digest_bytes;
} JwaAlgorithm;

/* NULL for what is none of them */
extern const JwaAlgorithm *jwa_algorithm(JwtAlgorithm algorithm);

extern const char *jwt_algorithm_name(JwtAlgorithm algorithm);

/* 0 when the name is not one of the algorithms above (JWA names, exact case) */
extern JwtAlgorithm jwt_algorithm_by_name(const char *name);

#endif
