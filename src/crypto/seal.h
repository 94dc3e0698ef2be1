/*
 * seal.h
 *	  Authenticated encryption of one value: XAES-256-GCM (c2sp.org/XAES-256-GCM).
 *
 * A sealed value is
 *
 *	  version 1 | algorithm 1 | key id 4 (big endian) | nonce 24 | ciphertext | tag 16
 *
 * and the six header bytes are part of the associated data, in front of the
 * caller's.  Built from OpenSSL's EVP only; knows neither PostgreSQL's backend
 * nor what the bytes mean, so it is unit-tested outside the server.
 */
#ifndef APPUSER_CONNECTORS_CRYPTO_SEAL_H
#define APPUSER_CONNECTORS_CRYPTO_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEAL_KEY_BYTES 32
#define SEAL_HEADER_BYTES 6
#define SEAL_NONCE_BYTES 24
#define SEAL_TAG_BYTES 16
#define SEAL_OVERHEAD (SEAL_HEADER_BYTES + SEAL_NONCE_BYTES + SEAL_TAG_BYTES)

typedef enum SealResult
{
	SEAL_OK,
	SEAL_MALFORMED, /* too short, or unknown version or algorithm */
	SEAL_WRONG_KEY, /* sealed under another key id */
	SEAL_REFUSED,   /* the tag does not match: wrong key bytes, wrong
								 * associated data, or altered */
	SEAL_FAILED     /* OpenSSL failed (out of memory, no entropy) */
} SealResult;

/* A key with its cached cipher contexts; not shared between threads. */
typedef struct SealKey SealKey;

/* NULL when OpenSSL fails.  The bytes are copied; cleanse yours. */
extern SealKey *seal_key_create(const uint8_t key[SEAL_KEY_BYTES], uint32_t key_id);

/* Cleanses and frees; NULL is fine. */
extern void seal_key_free(SealKey *key);

extern uint32_t seal_key_id(const SealKey *key);

/* Writes len + SEAL_OVERHEAD bytes to out under a fresh random nonce. */
extern SealResult seal(SealKey *key, const uint8_t *aad, size_t aad_len, const uint8_t *plain,
					   size_t len, uint8_t *out);

/*
 * Writes sealed_len - SEAL_OVERHEAD bytes to out.  On anything but SEAL_OK,
 * out has been cleansed.
 */
extern SealResult seal_open(SealKey *key, const uint8_t *aad, size_t aad_len, const uint8_t *sealed,
							size_t sealed_len, uint8_t *out);

/* Reads the key id of a sealed value; false when it is malformed. */
extern bool sealed_key_id(const uint8_t *sealed, size_t sealed_len, uint32_t *key_id);

/* Both vectors of the specification; run when the library is loaded. */
extern bool seal_self_test(void);

/* XAES-256-GCM as specified, with the caller's nonce: for test vectors. */
extern SealResult xaes_256_gcm_encrypt(const uint8_t key[SEAL_KEY_BYTES],
									   const uint8_t nonce[SEAL_NONCE_BYTES], const uint8_t *aad,
									   size_t aad_len, const uint8_t *plain, size_t len,
									   uint8_t *out /* len + SEAL_TAG_BYTES */);

#endif
