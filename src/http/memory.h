/*
 * memory.h
 *	  libcurl's memory, overwritten when it is freed: its buffers have held whole
 *	  requests and answers, with tokens and client secrets in them.
 */
#ifndef APPUSER_CONNECTORS_HTTP_MEMORY_H
#define APPUSER_CONNECTORS_HTTP_MEMORY_H

#include <stddef.h>

/* For curl_global_init_mem; only in the one thread that uses libcurl, or in its resolver's. */
extern void *cleansed_malloc(size_t size);
extern void cleansed_free(void *bytes);
extern void *cleansed_realloc(void *bytes, size_t size);
extern void *cleansed_calloc(size_t count, size_t size);
extern char *cleansed_strdup(const char *string);

/*
 * What libcurl receives into.  From 8.7 on this buffer belongs to the multi handle and keeps
 * what was received last; it is known by this size, which nothing else has.
 */
#define HTTP_TRANSFER_BUFFER_SIZE (16 * 1024 + 48)

/* Overwrites those buffers; only while libcurl is not at work. */
extern void cleanse_transfer_buffers(void);

#endif
