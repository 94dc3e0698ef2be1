/*
 * retry_after.h
 *	  The Retry-After header.
 */
#ifndef APPUSER_CONNECTORS_OAUTH_RETRY_AFTER_H
#define APPUSER_CONNECTORS_OAUTH_RETRY_AFTER_H

#include <stdint.h>

/*
 * Retry-After (RFC 9110 §10.2.3): delta seconds or an HTTP date, relative to
 * now (Unix seconds).  -1 when absent or not understood; clamped to 0 … 86400.
 */
extern int parse_retry_after(const char *value, int64_t now);

#endif
