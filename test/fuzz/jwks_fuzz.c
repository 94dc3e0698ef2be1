/* sources: src/crypto/jwt.c src/crypto/jwk.c src/crypto/jwa.c src/base/json_tree.c src/oauth/request.c src/base/secret.c src/base/base64.c */

/*
 * jwks_fuzz.c
 *	  Any bytes as a JSON Web Key Set; whatever key comes out of it must withstand
 *	  being used, and must not verify signatures made of nothing.
 */
#include "palloc_arena.h"

#include "crypto/jwt.h"
#include "base/base64.h"
#include "oauth/request.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const JwtAlgorithm used[] = {JWT_RS256, JWT_PS384, JWT_ES256, JWT_ES384,
										JWT_ES512, JWT_EDDSA, JWT_HS256};
	/* 1 and zeros: what small-order points, r = s = 0 and e = 1 are forged with */
	static const size_t lengths[] = {32, 64, 96, 132, 256};
	unsigned char signature[256] = {1};
	int n_usable = -1;
	JwtKeySet *keys = jwt_keys_parse((const char *) data, size, &n_usable);

	if (n_usable < 0 || (keys == NULL && n_usable != 0))
		abort();
	for (size_t i = 0; keys != NULL && n_usable > 0 && i < lengthof(used); i++)
		for (size_t j = 0; j < lengthof(lengths); j++)
		{
			StringInfoData token;
			char *payload;
			size_t payload_len;
			char *header = psprintf("{\"alg\":\"%s\"}", jwt_algorithm_name(used[i]));

			initStringInfo(&token);
			append_base64url(&token, (unsigned char *) header, strlen(header));
			appendStringInfoString(&token, ".e30.");
			append_base64url(&token, signature, lengths[j]);
			if (jwt_verify(token.data, token.len, keys, 0xffffffff, &payload, &payload_len) ==
				JWT_VERIFIED)
				abort();
		}
	jwt_keys_free(keys);
	arena_reset();
	return 0;
}
