/*
 * issuer.h
 *	  Identity issuers: whose JWTs say who the app user is.
 */
#ifndef APPUSER_CONNECTORS_ISSUER_H
#define APPUSER_CONNECTORS_ISSUER_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "jwt.h"

#define MAX_ISSUER 512                   /* bytes */
#define ISSUER_KEYS_COOLDOWN (30 * 1000) /* ms between two fetches of the same keys */

typedef struct Issuer
{
	const char *issuer;
	char **audiences; /* NULL: any */
	int n_audiences;
	unsigned algorithms;
	char *app_user_template;
	int64 clock_skew; /* microseconds */

	/* one of three */
	Jsonb *jwks;
	char *jwks_uri;
	char *hmac_key; /* a reference, never the key */

	char *fetched_jwks; /* from jwks_uri; NULL: not yet */
	TimestampTz fetched_at;

	/* parsed; perhaps none; NULL with hmac_key.  Of issuer_find only. */
	JwtKeySet *keys;
} Issuer;

/*
 * As it is committed now, or by this transaction; NULL when there is none.  Kept
 * by this backend until the next call.
 */
extern const Issuer *issuer_find(const char *issuer);

/* May its keys be fetched again, or was that done just now? */
extern bool issuer_may_fetch(TimestampTz fetched_at);

/* What has the worker fetch its keys, by a call of kind CALL_KEYS */
extern void issuer_keys_put_call(StringInfo record, const Issuer *issuer);

/* The bits of JwtAlgorithm; 0 when a name is unknown */
extern unsigned issuer_algorithms(char *const *names, int count);

#endif
