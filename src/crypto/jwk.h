/*
 * jwk.h
 *	  Sets of JSON Web Keys (RFC 7517).  What is in a JwtKey is between jwk.c and jwt.c
 *	  only; everybody else holds a JwtKeySet.
 */
#ifndef APPUSER_CONNECTORS_CRYPTO_JWK_H
#define APPUSER_CONNECTORS_CRYPTO_JWK_H

#include <stddef.h>

#include <openssl/evp.h>

#include "crypto/jwa.h"

#define JWK_MAX_RSA_BITS 8192 /* OpenSSL verifies up to 16384, slowly */
#define JWK_MAX_COORDINATE_BYTES 66
#define JWK_CURVES 3

typedef struct JwtKeySet JwtKeySet;

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

#endif
