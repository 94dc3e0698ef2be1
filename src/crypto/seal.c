/*
 * seal.c
 *	  Authenticated encryption of one value by XAES-256-GCM, as specified at
 *	  c2sp.org/XAES-256-GCM: AES-256-GCM (NIST SP 800-38D) with a 24-byte nonce,
 *	  under a key derived per nonce by CMAC in counter mode (NIST SP 800-108).
 *
 * The derivation is written out over single AES blocks.  OpenSSL's KBKDF is of
 * no use: it ignores the width of the counter it is asked for without an error.
 *
 * Random nonces of 192 bits need no counter and no state, so any process may
 * seal under the same key.  Must not know PostgreSQL's backend, where keys come
 * from, or what is sealed.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "crypto/seal.h"

#define SEAL_VERSION 1
#define ALGORITHM_XAES_256_GCM 1

#define AES_BLOCK_BYTES 16
#define DERIVATION_NONCE_BYTES 12 /* of the nonce; the rest is GCM's */

struct SealKey
{
	uint32_t key_id;
	uint8_t k1[AES_BLOCK_BYTES]; /* CMAC's first subkey */
	EVP_CIPHER_CTX *ecb;         /* keyed with the key itself */
	EVP_CIPHER_CTX *gcm;         /* rekeyed for each nonce */
};

/* Fetched once: a fetch for each context costs more than the encryption. */
static EVP_CIPHER *aes_256_ecb = NULL;
static EVP_CIPHER *aes_256_gcm = NULL;

static bool fetch_ciphers(void);
static bool encrypt_blocks(SealKey *key, uint8_t *blocks, int len);
static bool start_gcm(SealKey *key, const uint8_t *nonce, bool encrypting);
static bool add_associated_data(SealKey *key, const uint8_t *aad, size_t len);
static SealResult xaes_encrypt(SealKey *key, const uint8_t *nonce, const uint8_t *header,
							   size_t header_len, const uint8_t *aad, size_t aad_len,
							   const uint8_t *plain, size_t len, uint8_t *out);
static SealResult xaes_decrypt(SealKey *key, const uint8_t *nonce, const uint8_t *header,
							   size_t header_len, const uint8_t *aad, size_t aad_len,
							   const uint8_t *cipher, size_t len, uint8_t *out);
static bool vector_holds(uint8_t key_byte, const char *aad, const uint8_t *expected);

static bool
fetch_ciphers(void)
{
	if (aes_256_ecb == NULL)
		aes_256_ecb = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
	if (aes_256_gcm == NULL)
		aes_256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	return aes_256_ecb != NULL && aes_256_gcm != NULL;
}

SealKey *
seal_key_create(const uint8_t bytes[SEAL_KEY_BYTES], uint32_t key_id)
{
	SealKey *key = calloc(1, sizeof(SealKey));
	uint8_t carry;

	if (key == NULL)
		return NULL;
	key->key_id = key_id;
	key->ecb = EVP_CIPHER_CTX_new();
	key->gcm = EVP_CIPHER_CTX_new();

	/* k1 holds zeros, which become L, which is doubled in GF(2^128) */
	if (!fetch_ciphers() || key->ecb == NULL || key->gcm == NULL ||
		!EVP_EncryptInit_ex2(key->ecb, aes_256_ecb, bytes, NULL, NULL) ||
		!EVP_CIPHER_CTX_set_padding(key->ecb, 0) ||
		!EVP_EncryptInit_ex2(key->gcm, aes_256_gcm, NULL, NULL, NULL) ||
		!encrypt_blocks(key, key->k1, AES_BLOCK_BYTES))
	{
		ERR_clear_error();
		seal_key_free(key);
		return NULL;
	}
	carry = key->k1[0] >> 7;
	for (int i = 0; i < AES_BLOCK_BYTES - 1; i++)
		key->k1[i] = (uint8_t) (key->k1[i] << 1 | key->k1[i + 1] >> 7);
	/* multiplied, not branched on: L is secret */
	key->k1[AES_BLOCK_BYTES - 1] = (uint8_t) (key->k1[AES_BLOCK_BYTES - 1] << 1 ^ carry * 0x87);
	return key;
}

void
seal_key_free(SealKey *key)
{
	if (key == NULL)
		return;
	EVP_CIPHER_CTX_free(key->ecb);
	EVP_CIPHER_CTX_free(key->gcm);
	OPENSSL_cleanse(key, sizeof(SealKey));
	free(key);
}

uint32_t
seal_key_id(const SealKey *key)
{
	return key->key_id;
}

SealResult
seal(SealKey *key, const uint8_t *aad, size_t aad_len, const uint8_t *plain, size_t len,
	 uint8_t *out)
{
	uint8_t *nonce = out + SEAL_HEADER_BYTES;
	SealResult result;

	if (len > INT_MAX - SEAL_OVERHEAD)
		return SEAL_FAILED;

	out[0] = SEAL_VERSION;
	out[1] = ALGORITHM_XAES_256_GCM;
	out[2] = (uint8_t) (key->key_id >> 24);
	out[3] = (uint8_t) (key->key_id >> 16);
	out[4] = (uint8_t) (key->key_id >> 8);
	out[5] = (uint8_t) key->key_id;
	if (RAND_bytes(nonce, SEAL_NONCE_BYTES) != 1)
		result = SEAL_FAILED;
	else
		result = xaes_encrypt(key, nonce, out, SEAL_HEADER_BYTES, aad, aad_len, plain, len,
							  nonce + SEAL_NONCE_BYTES);
	if (result != SEAL_OK)
	{
		ERR_clear_error();
		OPENSSL_cleanse(out, len + SEAL_OVERHEAD);
	}
	return result;
}

SealResult
seal_open(SealKey *key, const uint8_t *aad, size_t aad_len, const uint8_t *sealed,
		  size_t sealed_len, uint8_t *out)
{
	uint32_t key_id;
	SealResult result;

	if (sealed_len < SEAL_OVERHEAD)
		return SEAL_MALFORMED;

	if (!sealed_key_id(sealed, sealed_len, &key_id))
		result = SEAL_MALFORMED;
	else if (key_id != key->key_id)
		result = SEAL_WRONG_KEY;
	else
		result = xaes_decrypt(key, sealed + SEAL_HEADER_BYTES, sealed, SEAL_HEADER_BYTES, aad,
							  aad_len, sealed + SEAL_HEADER_BYTES + SEAL_NONCE_BYTES,
							  sealed_len - SEAL_OVERHEAD, out);
	if (result != SEAL_OK)
	{
		/* GCM deciphers before it knows the tag */
		ERR_clear_error();
		OPENSSL_cleanse(out, sealed_len - SEAL_OVERHEAD);
	}
	return result;
}

bool
sealed_key_id(const uint8_t *sealed, size_t sealed_len, uint32_t *key_id)
{
	if (sealed_len < SEAL_OVERHEAD || sealed_len > INT_MAX || sealed[0] != SEAL_VERSION ||
		sealed[1] != ALGORITHM_XAES_256_GCM)
		return false;
	*key_id = (uint32_t) sealed[2] << 24 | (uint32_t) sealed[3] << 16 | (uint32_t) sealed[4] << 8 |
			  (uint32_t) sealed[5];
	return true;
}

SealResult
xaes_256_gcm_encrypt(const uint8_t key[SEAL_KEY_BYTES], const uint8_t nonce[SEAL_NONCE_BYTES],
					 const uint8_t *aad, size_t aad_len, const uint8_t *plain, size_t len,
					 uint8_t *out)
{
	SealKey *seal_key = seal_key_create(key, 0);
	SealResult result;

	if (seal_key == NULL)
		return SEAL_FAILED;
	result = xaes_encrypt(seal_key, nonce, NULL, 0, aad, aad_len, plain, len, out);
	seal_key_free(seal_key);
	return result;
}

/*
 * The first vector's key has MSB(L) = 0 and the second's 1, so that both ways
 * of doubling are taken.
 */
bool
seal_self_test(void)
{
	static const uint8_t first[] = {0xce, 0x54, 0x6e, 0xf6, 0x3c, 0x9c, 0xc6, 0x07, 0x65, 0x92,
									0x36, 0x09, 0xb3, 0x3a, 0x9a, 0x19, 0x74, 0xe9, 0x6e, 0x52,
									0xda, 0xf2, 0xfc, 0xf7, 0x07, 0x5e, 0x22, 0x71};
	static const uint8_t second[] = {0x98, 0x6e, 0xc1, 0x83, 0x25, 0x93, 0xdf, 0x54, 0x43, 0xa1,
									 0x79, 0x43, 0x7f, 0xd0, 0x83, 0xbf, 0x3f, 0xdb, 0x41, 0xab,
									 0xd7, 0x40, 0xa2, 0x1f, 0x71, 0xeb, 0x76, 0x9d};

	return vector_holds(0x01, "", first) && vector_holds(0x03, "c2sp.org/XAES-256-GCM", second);
}

/* In place, whole blocks */
static bool
encrypt_blocks(SealKey *key, uint8_t *blocks, int len)
{
	int written;

	return EVP_EncryptUpdate(key->ecb, blocks, &written, blocks, len) && written == len;
}

/* Derives the key of this nonce and puts GCM at its start. */
static bool
start_gcm(SealKey *key, const uint8_t *nonce, bool encrypting)
{
	uint8_t derived[SEAL_KEY_BYTES];
	bool started;

	/* CMAC of one whole block is the encryption of the block xor K1 */
	for (int half = 0; half < 2; half++)
	{
		uint8_t *block = derived + half * AES_BLOCK_BYTES;

		block[0] = 0;
		block[1] = (uint8_t) (half + 1);
		block[2] = 'X';
		block[3] = 0;
		memcpy(block + 4, nonce, DERIVATION_NONCE_BYTES);
		for (int i = 0; i < AES_BLOCK_BYTES; i++)
			block[i] ^= key->k1[i];
	}
	started = encrypt_blocks(key, derived, sizeof(derived)) &&
			  EVP_CipherInit_ex2(key->gcm, NULL, derived, nonce + DERIVATION_NONCE_BYTES,
								 encrypting ? 1 : 0, NULL);
	OPENSSL_cleanse(derived, sizeof(derived));
	return started;
}

static bool
add_associated_data(SealKey *key, const uint8_t *aad, size_t len)
{
	int written;

	if (len == 0)
		return true;
	return len <= INT_MAX && EVP_CipherUpdate(key->gcm, NULL, &written, aad, (int) len);
}

static SealResult
xaes_encrypt(SealKey *key, const uint8_t *nonce, const uint8_t *header, size_t header_len,
			 const uint8_t *aad, size_t aad_len, const uint8_t *plain, size_t len, uint8_t *out)
{
	int written;
	uint8_t none[AES_BLOCK_BYTES];

	if (len > INT_MAX || !start_gcm(key, nonce, true) ||
		!add_associated_data(key, header, header_len) || !add_associated_data(key, aad, aad_len))
		return SEAL_FAILED;
	/* OpenSSL takes an update of nothing without output for associated data */
	if (len > 0 && !EVP_EncryptUpdate(key->gcm, out, &written, plain, (int) len))
		return SEAL_FAILED;
	if (!EVP_EncryptFinal_ex(key->gcm, none, &written) ||
		!EVP_CIPHER_CTX_ctrl(key->gcm, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_BYTES, out + len))
		return SEAL_FAILED;
	return SEAL_OK;
}

/* The tag follows the len bytes of ciphertext. */
static SealResult
xaes_decrypt(SealKey *key, const uint8_t *nonce, const uint8_t *header, size_t header_len,
			 const uint8_t *aad, size_t aad_len, const uint8_t *cipher, size_t len, uint8_t *out)
{
	int written;
	uint8_t none[AES_BLOCK_BYTES];
	uint8_t tag[SEAL_TAG_BYTES];

	if (len > INT_MAX || !start_gcm(key, nonce, false) ||
		!add_associated_data(key, header, header_len) || !add_associated_data(key, aad, aad_len))
		return SEAL_FAILED;
	if (len > 0 && !EVP_DecryptUpdate(key->gcm, out, &written, cipher, (int) len))
		return SEAL_FAILED;
	memcpy(tag, cipher + len, SEAL_TAG_BYTES);
	if (!EVP_CIPHER_CTX_ctrl(key->gcm, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_BYTES, tag))
		return SEAL_FAILED;
	return EVP_DecryptFinal_ex(key->gcm, none, &written) ? SEAL_OK : SEAL_REFUSED;
}

static bool
vector_holds(uint8_t key_byte, const char *aad, const uint8_t *expected)
{
	static const uint8_t nonce[] = "ABCDEFGHIJKLMNOPQRSTUVWX";
	static const uint8_t plain[] = "XAES-256-GCM";
	const size_t len = sizeof(plain) - 1;
	uint8_t key_bytes[SEAL_KEY_BYTES];
	uint8_t sealed[sizeof(plain) - 1 + SEAL_TAG_BYTES];
	uint8_t opened[sizeof(plain) - 1];
	SealKey *key;
	bool holds;

	memset(key_bytes, key_byte, sizeof(key_bytes));
	key = seal_key_create(key_bytes, 0);
	if (key == NULL)
		return false;
	holds = xaes_encrypt(key, nonce, NULL, 0, (const uint8_t *) aad, strlen(aad), plain, len,
						 sealed) == SEAL_OK &&
			memcmp(sealed, expected, sizeof(sealed)) == 0 &&
			xaes_decrypt(key, nonce, NULL, 0, (const uint8_t *) aad, strlen(aad), sealed, len,
						 opened) == SEAL_OK &&
			memcmp(opened, plain, len) == 0;
	sealed[0] ^= 1;
	holds = holds && xaes_decrypt(key, nonce, NULL, 0, (const uint8_t *) aad, strlen(aad), sealed,
								  len, opened) == SEAL_REFUSED;
	ERR_clear_error();
	seal_key_free(key);
	return holds;
}
