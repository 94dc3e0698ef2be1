/*
 * secret.h
 *	  Memory for plaintext secrets, overwritten when its memory context ends.
 *
 * In the server a chunk is registered with its memory context, so an error's
 * longjmp cleanses it as well.  Outside the server (unit tests) it is plain
 * memory.
 */
#ifndef APPUSER_CONNECTORS_BASE_SECRET_H
#define APPUSER_CONNECTORS_BASE_SECRET_H

#include <stddef.h>

/* size bytes (plus a terminating NUL) in the current memory context */
extern char *secret_alloc(size_t size);

/* A NUL-terminated copy of len bytes. */
extern char *secret_copy(const char *bytes, size_t len);

/* Overwrites now, without freeing; NULL is fine. */
extern void secret_cleanse(void *bytes, size_t len);

#endif
