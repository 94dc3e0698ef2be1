/*
 * store_issuer.h
 *	  Statements on issuers, and the direct scan of them.
 */
#ifndef APPUSER_CONNECTORS_STORE_ISSUER_H
#define APPUSER_CONNECTORS_STORE_ISSUER_H

#include "storage/itemptr.h"

#include "issuer.h"

/*
 * Which version of a row was read: no two have both in common.  Zeros: none.
 */
typedef struct RowVersion
{
	TransactionId xmin;
	ItemPointerData tid;
} RowVersion;

typedef enum IssuerRead
{
	ISSUER_MISSING,
	ISSUER_UNCHANGED, /* still the version given; row is left alone */
	ISSUER_READ       /* into row, all but keys, in the current memory context */
} IssuerRead;

/* One indexed read with the latest snapshot. */
extern IssuerRead store_read_issuer(const char *issuer, RowVersion *version, Issuer *row);

/* Inserts or replaces; false when nothing was different. */
extern bool store_put_issuer(const Issuer *issuer, char *const *algorithms, int n_algorithms,
							 TimestampTz now);

extern bool store_delete_issuer(const char *issuer);

/* False: somebody holds the row or table.  An issuer that has another jwks_uri now is left alone. */
extern bool store_put_issuer_keys(const char *issuer, const char *jwks_uri, const char *jwks,
								  TimestampTz now);

/* Those whose keys were fetched before a time */
extern char **store_issuers_fetched_before(TimestampTz time, int *count);

#endif
