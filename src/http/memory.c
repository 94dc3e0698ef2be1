/*
 * memory.c
 *	  libcurl's memory, overwritten when it is freed.  The size stands in front of
 *	  each chunk.
 *
 * Only libcurl's: OpenSSL cleanses what it knows to be secret by itself, and
 * connection.c sees to its buffers.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "http/memory.h"

typedef union ChunkHeader
{
	struct
	{
		size_t size;
		union ChunkHeader *next_buffer;
	};
	max_align_t align;
} ChunkHeader;

/* Those of HTTP_TRANSFER_BUFFER_SIZE, which outlive transfers: libcurl's to free. */
static ChunkHeader *transfer_buffers = NULL;

void
cleanse_transfer_buffers(void)
{
	ChunkHeader *header;

	for (header = transfer_buffers; header != NULL; header = header->next_buffer)
		OPENSSL_cleanse(header + 1, header->size);
}

void *
cleansed_malloc(size_t size)
{
	ChunkHeader *header = NULL;

	if (size <= SIZE_MAX - sizeof(ChunkHeader))
		header = malloc(sizeof(ChunkHeader) + size);
	if (header == NULL)
		return NULL;
	header->size = size;
	if (size == HTTP_TRANSFER_BUFFER_SIZE)
	{
		header->next_buffer = transfer_buffers;
		transfer_buffers = header;
	}
	return header + 1;
}

void
cleansed_free(void *bytes)
{
	ChunkHeader *header = bytes;

	if (bytes == NULL)
		return;
	header--;
	if (header->size == HTTP_TRANSFER_BUFFER_SIZE)
	{
		ChunkHeader **link = &transfer_buffers;

		while (*link != header)
			link = &(*link)->next_buffer;
		*link = header->next_buffer;
	}
	OPENSSL_cleanse(bytes, header->size);
	free(header);
}

void *
cleansed_realloc(void *bytes, size_t size)
{
	void *larger = cleansed_malloc(size);
	size_t old;

	if (larger == NULL || bytes == NULL)
		return larger;
	old = ((ChunkHeader *) bytes - 1)->size;
	memcpy(larger, bytes, old < size ? old : size);
	cleansed_free(bytes);
	return larger;
}

void *
cleansed_calloc(size_t count, size_t size)
{
	void *bytes;

	if (size != 0 && count > SIZE_MAX / size)
		return NULL;
	bytes = cleansed_malloc(count * size);
	if (bytes != NULL)
		memset(bytes, 0, count * size);
	return bytes;
}

char *
cleansed_strdup(const char *string)
{
	size_t size = strlen(string) + 1;
	char *copy = cleansed_malloc(size);

	if (copy != NULL)
		memcpy(copy, string, size);
	return copy;
}
