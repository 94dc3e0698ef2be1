/*
 * jwk.h
 *	  What a parsed JSON Web Key is, between jwk.c and jwt.c only; everybody else
 *	  holds a JwtKeySet of jwt.h.
 */
#ifndef APPUSER_CONNECTORS_JWK_H
#define APPUSER_CONNECTORS_JWK_H

#include <openssl/evp.h>

#include "jwt.h"

#define JWK_MAX_RSA_BITS 8192 /* OpenSSL verifies up to 16384, slowly */
#define JWK_MAX_COORDINATE_BYTES 66
#define JWK_CURVES 3

#define JWT_RS_ALGORITHMS (JWT_RS256 | JWT_RS384 | JWT_RS512)
#define JWT_PS_ALGORITHMS (JWT_PS256 | JWT_PS384 | JWT_PS512)
#define JWT_ES_ALGORITHMS (JWT_ES256 | JWT_ES384 | JWT_ES512)

typedef struct JwtKey
{
	char *kid;           /* NULL when it has none */
	unsigned algorithms; /* that this key can verify */
	EVP_PKEY *pkey;      /* NULL for a symmetric key */
	unsigned char *secret;
	size_t secret_len;
} JwtKey;

struct JwtKeySet
{
	int n_keys;
	JwtKey keys[FLEXIBLE_ARRAY_MEMBER];
};

/* RFC 7518 §6.2.1.1; OpenSSL knows the curves by the same names */
typedef struct JwkCurve
{
	const char *crv;
	JwtAlgorithm algorithm;
	int coordinate_bytes; /* the full size of the field, and of R and S */
} JwkCurve;

extern const JwkCurve jwk_curves[JWK_CURVES];

#endif
