/*
 * diagnosis.h
 *	  What went wrong with a call, and what mends it, for events: read by admins.
 *
 * Clauses without a full stop, of ASCII or the provider's own checked words; palloc'ed.
 * None raises an error but for want of memory.
 */
#ifndef APPUSER_CONNECTORS_WORKER_DIAGNOSIS_H
#define APPUSER_CONNECTORS_WORKER_DIAGNOSIS_H

#include "http/message.h"
#include "oauth/client.h"
#include "oauth/id_token.h"
#include "oauth/response.h"

/* A code or refresh token was sent, and no answer came, or one that brings no tokens. */
typedef enum RefusedGrant
{
	REFUSED_CODE,
	REFUSED_REFRESH_TOKEN
} RefusedGrant;
extern const char *diagnose_no_answer(const OAuthClient *client, RefusedGrant of,
									  const HttpResponse *response);
extern const char *diagnose_refusal(const OAuthClient *client, RefusedGrant of,
									const HttpResponse *response, const TokenResponse *tokens);

/* A token was not revoked.  description is NULL for an event that must not tell of whom. */
extern const char *diagnose_revocation(const OAuthClient *client, const HttpResponse *response,
									   const char *error, const char *description);

/* A reason of our own for an event, with why and the mend behind it; another one as it is */
extern const char *diagnose_reason(const char *reason);

/* The keys were answered, but not as keys. */
extern const char *diagnose_keys(const OAuthClient *client, const HttpResponse *response);

/* The same of those of an issuer of app users' JWTs */
extern const char *diagnose_issuer_keys(const char *issuer, const char *jwks_uri,
										const HttpResponse *response);

/* The callback's iss (NULL: none) is not the definition's issuer. */
extern const char *diagnose_issuer(const OAuthClient *client, const char *iss);

/* An error that the browser brought */
extern const char *diagnose_callback_error(const char *error);

extern const char *diagnose_id_token(const OAuthClient *client, IdTokenResult result,
									 const char *id_token);

/* The profile was not to be had, or (problem) answered so */
extern const char *diagnose_profile(const OAuthClient *client, const HttpResponse *response,
									const char *problem);

#endif
