/*
 * jwks.h
 *	  Providers' published keys (RFC 7517), as the worker has fetched them.
 */
#ifndef APPUSER_CONNECTORS_WORKER_JWKS_H
#define APPUSER_CONNECTORS_WORKER_JWKS_H

#include "crypto/jwt.h"

/* NULL when they have not been fetched */
extern const JwtKeySet *jwks_get(const char *jwks_uri);

/* Takes the answer of a jwks_uri; false when it is no JWK Set with a usable key. */
extern bool jwks_put(const char *jwks_uri, const char *body, size_t body_len);

/*
 * May an unknown key be looked for by fetching again, or was that done just now?
 * True once per cooldown: the caller must fetch then.
 */
extern bool jwks_may_refetch(const char *jwks_uri);

#endif
