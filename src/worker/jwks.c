/*
 * jwks.c
 *	  Providers' published keys (RFC 7517), as the worker has fetched them.
 *
 * In memory of the worker only.  Fetched before the first use and when a token
 * needs a key that is not there, the latter not more often than the cooldown
 * allows: tokens with made-up key ids must not make us hammer a provider.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "worker/jwks.h"

#define COOLDOWN 30000             /* ms */
#define MAX_AGE (24 * 3600 * 1000) /* ms */

typedef struct FetchedKeys
{
	struct FetchedKeys *next;
	char *jwks_uri;
	JwtKeySet *keys;
	TimestampTz fetched_at;
	TimestampTz looked_again_at; /* for a key that was not there */
} FetchedKeys;

static FetchedKeys *fetched = NULL;

static FetchedKeys *
find_keys(const char *jwks_uri)
{
	for (FetchedKeys *entry = fetched; entry != NULL; entry = entry->next)
		if (strcmp(entry->jwks_uri, jwks_uri) == 0)
			return entry;
	return NULL;
}

const JwtKeySet *
jwks_get(const char *jwks_uri)
{
	FetchedKeys *entry = find_keys(jwks_uri);

	if (entry == NULL ||
		TimestampDifferenceExceeds(entry->fetched_at, GetCurrentTimestamp(), MAX_AGE))
		return NULL;
	return entry->keys;
}

bool
jwks_put(const char *jwks_uri, const char *body, size_t body_len)
{
	FetchedKeys *entry = find_keys(jwks_uri);
	int usable;
	JwtKeySet *keys = jwt_keys_parse(body, body_len, &usable);

	if (keys == NULL || usable == 0)
	{
		jwt_keys_free(keys);
		return false;
	}
	if (entry == NULL)
	{
		entry = MemoryContextAllocZero(TopMemoryContext, sizeof(FetchedKeys));
		entry->jwks_uri = MemoryContextStrdup(TopMemoryContext, jwks_uri);
		entry->next = fetched;
		fetched = entry;
	}
	jwt_keys_free(entry->keys);
	entry->keys = keys;
	entry->fetched_at = GetCurrentTimestamp();
	return true;
}

bool
jwks_may_refetch(const char *jwks_uri)
{
	FetchedKeys *entry = find_keys(jwks_uri);
	TimestampTz now = GetCurrentTimestamp();

	if (entry == NULL)
		return true;
	/* a clock that went back must not stop it */
	if (entry->looked_again_at <= now &&
		!TimestampDifferenceExceeds(entry->looked_again_at, now, COOLDOWN))
		return false;
	entry->looked_again_at = now;
	return true;
}
