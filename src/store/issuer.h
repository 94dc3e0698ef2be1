/*
 * issuer.h
 *	  Identity issuers: whose JWTs say who the app user is.  Their rows, the statements
 *	  on them, and a backend's cache of them with their keys parsed.
 */
#ifndef APPUSER_CONNECTORS_STORE_ISSUER_H
#define APPUSER_CONNECTORS_STORE_ISSUER_H

#include "storage/itemptr.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "crypto/jwt.h"

#define MAX_ISSUER 512                   /* bytes */
#define ISSUER_KEYS_COOLDOWN (30 * 1000) /* ms between two fetches of the same keys */

typedef struct Issuer
{
	const char *issuer;
	char **audiences; /* NULL: any */
	int n_audiences;
	unsigned algorithms;
	char **algorithm_names; /* the same, as they are stored; not of issuer_find */
	int n_algorithm_names;
	char **token_types; /* NULL: see jwt_type_accepted */
	int n_token_types;
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

/* The bits of JwtAlgorithm; 0 when a name is unknown */
extern unsigned issuer_algorithms(char *const *names, int count);

/*
 * Which version of a row was read.  Every write gives it another seal, so that another
 * row in the same place (VACUUM FULL) is not taken for it.  Zeros: none.
 */
typedef struct RowVersion
{
	TransactionId xmin;
	ItemPointerData tid;
	bytea *seal;
} RowVersion;

/* An issuer and how it makes app users */
typedef struct IssuerTemplate
{
	char *issuer;
	char *app_user_template;
} IssuerTemplate;

typedef enum IssuerRead
{
	ISSUER_MISSING,
	ISSUER_UNCHANGED, /* still the version given; row is left alone */
	ISSUER_READ       /* into row, all but keys, in the current memory context */
} IssuerRead;

/* One indexed read with the latest snapshot.  Raises XX001 for one that was altered. */
extern IssuerRead store_read_issuer(const char *issuer, RowVersion *version, Issuer *row);

/* Inserts or replaces; false when nothing was different. */
extern bool store_put_issuer(const Issuer *issuer, TimestampTz now);

extern bool store_delete_issuer(const char *issuer);

/* False: somebody holds the row or table.  An issuer that has another jwks_uri now is left alone. */
extern bool store_put_issuer_keys(const char *issuer, const char *jwks_uri, const char *jwks,
								  TimestampTz now);

/* Every issuer's template but this one's; others wait with registering until the end. */
extern IssuerTemplate *store_other_templates(const char *issuer, int *count);

/* Those whose keys were fetched before a time */
extern char **store_issuers_fetched_before(TimestampTz time, int *count);

#endif
