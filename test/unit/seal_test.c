/* sources: src/crypto/seal.c */

/*
 * seal_test.c
 *	  What seal.c promises: the specification's vectors, and that nothing altered
 *	  opens.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "crypto/seal.h"
#include "tap.h"

#define ITERATIONS 10000
#define ACCUMULATED "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"

static const uint8_t key_bytes[SEAL_KEY_BYTES] = "0123456789abcdefghijklmnopqrstu";
static const uint8_t aad[] = "purpose, row, field";
static const uint8_t plain[] = "a refresh token nobody else may read";

#define AAD_LEN (sizeof(aad) - 1)
#define PLAIN_LEN (sizeof(plain) - 1)
#define SEALED_LEN (PLAIN_LEN + SEAL_OVERHEAD)

static void
hex_of(const uint8_t *bytes, size_t len, char *hex)
{
	for (size_t i = 0; i < len; i++)
		sprintf(hex + 2 * i, "%02x", bytes[i]);
}

static bool
all_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

/* Opens and holds seal_open to its word that out is cleansed on a refusal. */
static SealResult
try_open(SealKey *key, const uint8_t *aad_bytes, size_t aad_len, const uint8_t *sealed, size_t len)
{
	uint8_t out[SEALED_LEN];
	SealResult result;

	memset(out, 0x5a, sizeof(out));
	result = seal_open(key, aad_bytes, aad_len, sealed, len, out);
	if (result != SEAL_OK && len >= SEAL_OVERHEAD && !all_zero(out, len - SEAL_OVERHEAD))
		ok(false, "a refusal cleansed its output");
	return result;
}

static void
test_vector(const char *name, uint8_t key_byte, const char *vector_aad, const char *expected)
{
	uint8_t key[SEAL_KEY_BYTES];
	uint8_t out[12 + SEAL_TAG_BYTES];
	char hex[2 * sizeof(out) + 1];

	memset(key, key_byte, sizeof(key));
	ok(xaes_256_gcm_encrypt(key, (const uint8_t *) "ABCDEFGHIJKLMNOPQRSTUVWX",
							(const uint8_t *) vector_aad, strlen(vector_aad),
							(const uint8_t *) "XAES-256-GCM", 12, out) == SEAL_OK,
	   "%s encrypts", name);
	hex_of(out, sizeof(out), hex);
	ok(strcmp(hex, expected) == 0, "%s gives the specified ciphertext", name);
}

/*
 * The specification's randomised test: key, nonce, length and plaintext, length
 * and associated data are read from SHAKE128 of nothing; SHAKE128 of all
 * ciphertexts is compared.
 */
static void
test_accumulated(void)
{
	const size_t stream_len = (size_t) ITERATIONS * (SEAL_KEY_BYTES + SEAL_NONCE_BYTES + 2 + 510);
	uint8_t *stream = malloc(stream_len);
	const uint8_t *next = stream;
	EVP_MD_CTX *source = EVP_MD_CTX_new();
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	uint8_t out[255 + SEAL_TAG_BYTES];
	uint8_t sum[32];
	char hex[65];
	bool encrypted = true;

	EVP_DigestInit_ex(source, EVP_shake128(), NULL);
	EVP_DigestFinalXOF(source, stream, stream_len);
	EVP_DigestInit_ex(digest, EVP_shake128(), NULL);
	for (int i = 0; i < ITERATIONS; i++)
	{
		const uint8_t *key = next;
		const uint8_t *nonce = key + SEAL_KEY_BYTES;
		const uint8_t *text = nonce + SEAL_NONCE_BYTES + 1;
		size_t text_len = text[-1];
		const uint8_t *data = text + text_len + 1;
		size_t data_len = data[-1];

		next = data + data_len;
		encrypted = encrypted && xaes_256_gcm_encrypt(key, nonce, data, data_len, text, text_len,
													  out) == SEAL_OK;
		EVP_DigestUpdate(digest, out, text_len + SEAL_TAG_BYTES);
	}
	EVP_DigestFinalXOF(digest, sum, sizeof(sum));
	hex_of(sum, sizeof(sum), hex);
	ok(encrypted && strcmp(hex, ACCUMULATED) == 0,
	   "%d random encryptions accumulate to the specified digest", ITERATIONS);
	EVP_MD_CTX_free(source);
	EVP_MD_CTX_free(digest);
	free(stream);
}

static void
test_round_trips(SealKey *key)
{
	static uint8_t big[65536];
	static uint8_t big_sealed[sizeof(big) + SEAL_OVERHEAD];
	static uint8_t big_out[sizeof(big)];
	uint8_t sealed[SEALED_LEN];
	uint8_t again[SEALED_LEN];
	uint8_t out[PLAIN_LEN];
	uint8_t empty[SEAL_OVERHEAD];
	uint32_t id = 0;

	ok(seal(key, aad, AAD_LEN, plain, PLAIN_LEN, sealed) == SEAL_OK, "a value is sealed");
	ok(memcmp(sealed, "\x01\x01\xa1\xb2\xc3\xd4", SEAL_HEADER_BYTES) == 0,
	   "the header is version, algorithm and the key id in big endian");
	ok(seal_open(key, aad, AAD_LEN, sealed, SEALED_LEN, out) == SEAL_OK &&
		   memcmp(out, plain, PLAIN_LEN) == 0,
	   "and opened again");
	ok(sealed_key_id(sealed, SEALED_LEN, &id) && id == 0xa1b2c3d4 && seal_key_id(key) == id,
	   "the key id can be read from the sealed value");
	ok(seal(key, aad, AAD_LEN, plain, PLAIN_LEN, again) == SEAL_OK &&
		   memcmp(sealed + SEAL_HEADER_BYTES, again + SEAL_HEADER_BYTES, SEAL_NONCE_BYTES) != 0,
	   "sealing twice takes another nonce");
	ok(seal_open(key, aad, AAD_LEN, sealed, SEALED_LEN, out) == SEAL_OK &&
		   seal_open(key, aad, AAD_LEN, again, SEALED_LEN, out) == SEAL_OK,
	   "a key's contexts serve one value after another");

	ok(seal(key, aad, AAD_LEN, NULL, 0, empty) == SEAL_OK &&
		   seal_open(key, aad, AAD_LEN, empty, sizeof(empty), out) == SEAL_OK,
	   "an empty value seals and opens");
	empty[SEAL_OVERHEAD - 1] ^= 1;
	ok(seal_open(key, aad, AAD_LEN, empty, sizeof(empty), out) == SEAL_REFUSED,
	   "an empty value is authenticated too");

	ok(seal(key, NULL, 0, plain, PLAIN_LEN, sealed) == SEAL_OK &&
		   seal_open(key, NULL, 0, sealed, SEALED_LEN, out) == SEAL_OK &&
		   memcmp(out, plain, PLAIN_LEN) == 0,
	   "associated data may be empty");
	ok(try_open(key, aad, AAD_LEN, sealed, SEALED_LEN) == SEAL_REFUSED,
	   "but then any other is refused");

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t) (i * 31 + i / 256);
	ok(seal(key, aad, AAD_LEN, big, sizeof(big), big_sealed) == SEAL_OK &&
		   seal_open(key, aad, AAD_LEN, big_sealed, sizeof(big_sealed), big_out) == SEAL_OK &&
		   memcmp(big, big_out, sizeof(big)) == 0,
	   "64 KiB seal and open");
	big_sealed[sizeof(big_sealed) / 2] ^= 0x10;
	memset(big_out, 0x5a, sizeof(big_out));
	ok(seal_open(key, aad, AAD_LEN, big_sealed, sizeof(big_sealed), big_out) == SEAL_REFUSED &&
		   all_zero(big_out, sizeof(big_out)),
	   "64 KiB altered in the middle are refused and the output is cleansed");
}

/* The header is not only compared but authenticated, in front of the caller's data. */
static void
test_header_is_authenticated(void)
{
	uint8_t sealed[SEALED_LEN];
	SealKey *one = seal_key_create(key_bytes, 1);
	SealKey *two = seal_key_create(key_bytes, 2);
	uint8_t with_header[SEAL_HEADER_BYTES + AAD_LEN];
	uint8_t expected[PLAIN_LEN + SEAL_TAG_BYTES];

	seal(one, aad, AAD_LEN, plain, PLAIN_LEN, sealed);
	memcpy(with_header, sealed, SEAL_HEADER_BYTES);
	memcpy(with_header + SEAL_HEADER_BYTES, aad, AAD_LEN);
	ok(xaes_256_gcm_encrypt(key_bytes, sealed + SEAL_HEADER_BYTES, with_header, sizeof(with_header),
							plain, PLAIN_LEN, expected) == SEAL_OK &&
		   memcmp(expected, sealed + SEAL_HEADER_BYTES + SEAL_NONCE_BYTES, sizeof(expected)) == 0,
	   "a sealed value is XAES-256-GCM with the header in front of the associated data");

	sealed[5] = 2;
	ok(try_open(two, aad, AAD_LEN, sealed, SEALED_LEN) == SEAL_REFUSED,
	   "a value moved to another key id is refused though the key bytes are the same");
	seal_key_free(one);
	seal_key_free(two);
}

static void
test_refusals(SealKey *key)
{
	uint8_t sealed[SEALED_LEN];
	uint8_t altered[SEALED_LEN];
	uint8_t longer[SEALED_LEN + 1];
	uint8_t other_aad[AAD_LEN + 1];
	uint8_t other_bytes[SEAL_KEY_BYTES];
	SealKey *other;
	uint32_t id;
	int wrong;

	seal(key, aad, AAD_LEN, plain, PLAIN_LEN, sealed);

	wrong = 0;
	for (size_t bit = 0; bit < 8 * SEALED_LEN; bit++)
	{
		SealResult expected = bit < 8 * 2                   ? SEAL_MALFORMED
							  : bit < 8 * SEAL_HEADER_BYTES ? SEAL_WRONG_KEY
															: SEAL_REFUSED;

		memcpy(altered, sealed, SEALED_LEN);
		altered[bit / 8] ^= (uint8_t) (1 << bit % 8);
		if (try_open(key, aad, AAD_LEN, altered, SEALED_LEN) != expected)
			wrong++;
	}
	ok(wrong == 0, "every single flipped bit of version, algorithm, key id, nonce, ciphertext and "
				   "tag is refused");

	wrong = 0;
	for (size_t len = 0; len < SEALED_LEN; len++)
	{
		/* malloc, so that a read beyond the end is seen by a sanitizer */
		uint8_t *cut = malloc(len > 0 ? len : 1);

		memcpy(cut, sealed, len);
		if (try_open(key, aad, AAD_LEN, cut, len) !=
			(len < SEAL_OVERHEAD ? SEAL_MALFORMED : SEAL_REFUSED))
			wrong++;
		if (sealed_key_id(cut, len, &id) != (len >= SEAL_OVERHEAD))
			wrong++;
		free(cut);
	}
	ok(wrong == 0, "a truncation of any length is refused");
	memcpy(longer, sealed, SEALED_LEN);
	longer[SEALED_LEN] = 0;
	ok(try_open(key, aad, AAD_LEN, longer, sizeof(longer)) == SEAL_REFUSED,
	   "a byte at the end is refused");

	wrong = 0;
	for (size_t bit = 0; bit < 8 * AAD_LEN; bit++)
	{
		memcpy(other_aad, aad, AAD_LEN);
		other_aad[bit / 8] ^= (uint8_t) (1 << bit % 8);
		if (try_open(key, other_aad, AAD_LEN, sealed, SEALED_LEN) != SEAL_REFUSED)
			wrong++;
	}
	memcpy(other_aad, aad, AAD_LEN);
	other_aad[AAD_LEN] = 0;
	for (size_t len = 0; len <= AAD_LEN + 1; len++)
		if (len != AAD_LEN && try_open(key, other_aad, len, sealed, SEALED_LEN) != SEAL_REFUSED)
			wrong++;
	ok(wrong == 0, "other associated data, shorter, longer or altered, are refused");

	wrong = 0;
	for (size_t bit = 0; bit < 8 * SEAL_KEY_BYTES; bit++)
	{
		memcpy(other_bytes, key_bytes, SEAL_KEY_BYTES);
		other_bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
		other = seal_key_create(other_bytes, seal_key_id(key));
		if (try_open(other, aad, AAD_LEN, sealed, SEALED_LEN) != SEAL_REFUSED)
			wrong++;
		seal_key_free(other);
	}
	ok(wrong == 0, "other key bytes under the same id are refused");
	other = seal_key_create(key_bytes, seal_key_id(key) + 1);
	ok(try_open(other, aad, AAD_LEN, sealed, SEALED_LEN) == SEAL_WRONG_KEY,
	   "another key id is told apart from a refusal");
	seal_key_free(other);

	ok(try_open(key, aad, AAD_LEN, sealed, SEALED_LEN) == SEAL_OK,
	   "after all of these the value itself still opens");
}

int
main(void)
{
	SealKey *key = seal_key_create(key_bytes, 0xa1b2c3d4);

	ok(seal_self_test(), "the self test passes");
	test_vector("the vector with MSB(L) = 0", 0x01, "",
				"ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271");
	test_vector("the vector with MSB(L) = 1", 0x03, "c2sp.org/XAES-256-GCM",
				"986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d");
	test_accumulated();
	test_round_trips(key);
	test_header_is_authenticated();
	test_refusals(key);

	seal_key_free(key);
	seal_key_free(NULL);
	return tap_done();
}
