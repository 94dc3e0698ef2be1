/*
 * exchange_details.h
 *	  What a flight of an exchange holds besides what all flights do: between exchange.c,
 *	  exchange_outcome.c and exchange_store.c.
 */
#ifndef APPUSER_CONNECTORS_WORKER_EXCHANGE_DETAILS_H
#define APPUSER_CONNECTORS_WORKER_EXCHANGE_DETAILS_H

#include "utils/jsonb.h"

#include "oauth/id_token.h"
#include "store/authorization.h"
#include "worker/callback.h"

/*
 * What is on its way.  The provider's keys come before the code is sent, so that
 * nothing can go wrong between the tokens' arrival and their being stored; only
 * a key that was rotated just now is fetched afterwards.
 */
typedef enum ExchangePhase
{
	PHASE_KEYS,
	PHASE_CODE,
	PHASE_LONG_TOKEN,
	PHASE_KEYS_AGAIN,
	PHASE_PROFILE
} ExchangePhase;

typedef struct ExchangeDetails
{
	Callback callback;
	Authorization *flow; /* as it was when it was consumed; NULL: not, or by another worker */
	ExchangePhase phase;
	TimestampTz code_sent_at;
	TimestampTz tokens_sent_at; /* when what gave the tokens that are kept was sent */
	char *redirect_uri;
	char *code_verifier;
	char *nonce;
	IdTokenAccount account;  /* by the ID token, or the profile */
	const char *failure;     /* NULL: none so far */
	const char *why;         /* more for the event; NULL: nothing */
	const char *why_profile; /* what the profile lacks, for the event; NULL: nothing */
	char *return_to;
	char **requested;
	int n_requested;
	Jsonb *connection_config;
	Jsonb *fixed_config; /* by the admin: over all else */
} ExchangeDetails;

#endif
