/*
 * secret.c
 *	  Memory for plaintext secrets, overwritten when its memory context ends.
 *
 * In the server each chunk carries the callback that cleanses it, registered
 * with the memory context it was allocated in; contexts run their callbacks
 * before they give memory back, on every path out, an error's longjmp too.
 * Because of that the chunk must live as long as its context: callers must
 * never pfree or repalloc what they get here (the pointer is not the start of
 * the chunk, so they could not).  To be rid of a secret sooner, overwrite it
 * with secret_cleanse or reset its context.
 *
 * Must not know what the bytes mean.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"

#include "utils/memutils.h"
#endif

#include <openssl/crypto.h>

#include "base/secret.h"

#ifndef FRONTEND

typedef struct SecretChunk
{
	MemoryContextCallback callback;
	size_t size;
	char bytes[FLEXIBLE_ARRAY_MEMBER];
} SecretChunk;

static void cleanse_chunk(void *arg);

static void
cleanse_chunk(void *arg)
{
	SecretChunk *chunk = arg;

	OPENSSL_cleanse(chunk->bytes, chunk->size);
}

char *
secret_alloc(size_t size)
{
	SecretChunk *chunk;

	if (!AllocSizeIsValid(size))
		elog(ERROR, "invalid size of a secret: %zu", size);

	chunk = palloc(offsetof(SecretChunk, bytes) + size + 1);
	chunk->size = size;
	chunk->bytes[size] = '\0';
	chunk->callback.func = cleanse_chunk;
	chunk->callback.arg = chunk;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &chunk->callback);
	return chunk->bytes;
}

#else

char *
secret_alloc(size_t size)
{
	char *bytes = pg_malloc(size + 1);

	bytes[size] = '\0';
	return bytes;
}

#endif

char *
secret_copy(const char *bytes, size_t len)
{
	char *copy = secret_alloc(len);

	if (len > 0)
		memcpy(copy, bytes, len);
	return copy;
}

void
secret_cleanse(void *bytes, size_t len)
{
	if (bytes != NULL)
		OPENSSL_cleanse(bytes, len);
}
