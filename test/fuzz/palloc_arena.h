/*
 * palloc_arena.h
 *	  palloc and its family for fuzz targets outside the server: everything is
 *	  freed at once after each input, as a memory context would.
 *
 * libpgcommon's own palloc never frees what nobody pfrees, and its JSON parser
 * leaves strings behind when it stops; a fuzzer would drown in that.  Each chunk
 * is a malloc of its own, so that AddressSanitizer sees its ends.  Include in
 * the one file of the target that has LLVMFuzzerTestOneInput.
 */
#ifndef APPUSER_CONNECTORS_PALLOC_ARENA_H
#define APPUSER_CONNECTORS_PALLOC_ARENA_H

#include "postgres_fe.h"

typedef struct ArenaChunk
{
	struct ArenaChunk *previous;
	struct ArenaChunk *next;
	size_t size;
	max_align_t data[];
} ArenaChunk;

static ArenaChunk *arena = NULL;

static void *
arena_alloc(size_t size, bool zero)
{
	ArenaChunk *chunk = malloc(offsetof(ArenaChunk, data) + size);

	if (chunk == NULL)
		abort();
	if (zero)
		memset(chunk->data, 0, size);
	chunk->size = size;
	chunk->previous = NULL;
	chunk->next = arena;
	if (arena != NULL)
		arena->previous = chunk;
	arena = chunk;
	return chunk->data;
}

static void
arena_free(void *pointer)
{
	ArenaChunk *chunk = (ArenaChunk *) ((char *) pointer - offsetof(ArenaChunk, data));

	if (chunk->previous != NULL)
		chunk->previous->next = chunk->next;
	else
		arena = chunk->next;
	if (chunk->next != NULL)
		chunk->next->previous = chunk->previous;
	free(chunk);
}

static inline void
arena_reset(void)
{
	while (arena != NULL)
		arena_free(arena->data);
}

static void *
arena_realloc(void *pointer, size_t size)
{
	void *grown = arena_alloc(size, false);

	if (pointer != NULL)
	{
		ArenaChunk *chunk = (ArenaChunk *) ((char *) pointer - offsetof(ArenaChunk, data));

		memcpy(grown, pointer, Min(size, chunk->size));
		arena_free(pointer);
	}
	return grown;
}

static char *
arena_copy(const char *text, size_t len)
{
	char *copy = arena_alloc(len + 1, false);

	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

void *
palloc(Size size)
{
	return arena_alloc(size, false);
}

void *
palloc0(Size size)
{
	return arena_alloc(size, true);
}

void *
palloc_extended(Size size, int flags)
{
	return arena_alloc(size, (flags & MCXT_ALLOC_ZERO) != 0);
}

void *
repalloc(void *pointer, Size size)
{
	return arena_realloc(pointer, size);
}

void
pfree(void *pointer)
{
	arena_free(pointer);
}

char *
pstrdup(const char *text)
{
	return arena_copy(text, strlen(text));
}

char *
pnstrdup(const char *text, Size len)
{
	return arena_copy(text, strnlen(text, len));
}

void *
pg_malloc(size_t size)
{
	return arena_alloc(size, false);
}

void *
pg_malloc0(size_t size)
{
	return arena_alloc(size, true);
}

void *
pg_malloc_extended(size_t size, int flags)
{
	return arena_alloc(size, (flags & MCXT_ALLOC_ZERO) != 0);
}

void *
pg_realloc(void *pointer, size_t size)
{
	return arena_realloc(pointer, size);
}

char *
pg_strdup(const char *text)
{
	return arena_copy(text, strlen(text));
}

void
pg_free(void *pointer)
{
	if (pointer != NULL)
		arena_free(pointer);
}

#endif
