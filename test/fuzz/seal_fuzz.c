/* sources: src/crypto/seal.c */

/*
 * seal_fuzz.c
 *	  Any bytes as a sealed value: none opens.  And any bytes as a plaintext with
 *	  associated data: it seals, opens, and does not open when altered where the
 *	  input says.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/seal.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t bytes[SEAL_KEY_BYTES] = "the key of the fuzzer, 32 bytes";
	static SealKey *key = NULL;
	uint8_t *sealed;
	uint8_t *opened;
	size_t aad_len;
	size_t len;
	size_t at;
	uint32_t id;

	if (key == NULL)
		key = seal_key_create(bytes, 0x01020304);
	if (key == NULL)
		abort();

	opened = malloc(size + 1);
	if (seal_open(key, data, size / 2, data, size, opened) == SEAL_OK)
		abort();
	if (sealed_key_id(data, size, &id) && size < SEAL_OVERHEAD)
		abort();
	free(opened);

	if (size < 4)
		return 0;
	at = (size_t) data[0] << 8 | data[1];
	aad_len = data[2] % (size - 3);
	data += 4;
	size -= 4;
	if (aad_len > size)
		aad_len = size;
	len = size - aad_len;
	sealed = malloc(len + SEAL_OVERHEAD);
	opened = malloc(len + 1);
	if (seal(key, data, aad_len, data + aad_len, len, sealed) != SEAL_OK ||
		seal_open(key, data, aad_len, sealed, len + SEAL_OVERHEAD, opened) != SEAL_OK ||
		memcmp(opened, data + aad_len, len) != 0)
		abort();
	sealed[at % (len + SEAL_OVERHEAD)] ^= (uint8_t) (1 << at % 8);
	memset(opened, 0x5a, len);
	if (seal_open(key, data, aad_len, sealed, len + SEAL_OVERHEAD, opened) == SEAL_OK)
		abort();
	for (size_t i = 0; i < len; i++)
		if (opened[i] != 0)
			abort();
	free(sealed);
	free(opened);
	return 0;
}
