/*
 * refresh_details.h
 *	  What a flight of a refresh holds besides what all flights do: between refresh.c and
 *	  refresh_failure.c.
 */
#ifndef APPUSER_CONNECTORS_WORKER_REFRESH_DETAILS_H
#define APPUSER_CONNECTORS_WORKER_REFRESH_DETAILS_H

#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "oauth/id_token.h"

typedef struct RefreshDetails
{
	pg_uuid_t asked_grant_id; /* as the askers saw the row; asked_generation 0: it is due */
	int64 asked_generation;
	pg_uuid_t grant_id; /* as it was when the request was made */
	int64 generation;
	char *refresh_token;
	char *account; /* NULL: unknown */
	char *account_issuer;
	IdTokenAccount granted;   /* whom the new tokens are for, if the ID token says another */
	Jsonb *connection_config; /* as it was then, too */
	TimestampTz connected_at;
	char **scopes; /* that were granted */
	int n_scopes;
	char **requested; /* scopes; none of one that was saved, which is settled */
	int n_requested;
	IdTokenResult id_token; /* of the one that came; accepted when none did */
	const char *why;        /* what came of it, for events; NULL: nothing more is known */
	const char
		*why_of_connector; /* the same for an event of nobody's, where the client was refused */
	int lost;              /* answers, in a row */
	bool probing;          /* of a stopped connector */
	bool counted;          /* by the circuit */
	bool unclear;          /* an earlier sending of this token was not answered */
	bool inherited;        /* this token, from the worker before, which may have sent it */
} RefreshDetails;

#endif
