/*
 * base64.h
 *	  base64 (RFC 4648 §4) and base64url without padding (§5).
 */
#ifndef APPUSER_CONNECTORS_BASE_BASE64_H
#define APPUSER_CONNECTORS_BASE_BASE64_H

#include "lib/stringinfo.h"

/* base64 with padding, NUL-terminated, appended to out */
extern void append_base64(StringInfo out, const unsigned char *bytes, size_t len);

/* base64url without padding (RFC 7515 §2), NUL-terminated, appended to out */
extern void append_base64url(StringInfo out, const unsigned char *bytes, size_t len);

/*
 * Strict decoder of the same; returns the number of bytes written to out
 * (room for len * 3 / 4), or -1 on padding, a foreign character, an impossible
 * length or non-zero trailing bits.
 */
extern int decode_base64url(const char *text, size_t len, unsigned char *out);

#endif
