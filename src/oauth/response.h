/*
 * response.h
 *	  Reading and classifying what a provider answered: pure functions over
 *	  bytes.  Nothing a provider sends is trusted.
 */
#ifndef APPUSER_CONNECTORS_OAUTH_RESPONSE_H
#define APPUSER_CONNECTORS_OAUTH_RESPONSE_H

#include <stdint.h>

#include "oauth/answer_error.h"
#include "oauth/client.h"

#define MAX_TOKEN_BYTES (64 * 1024)
#define MAX_ERROR_DESCRIPTION 200
#define REFRESH_TOKEN_LASTS (-2) /* it has no end that the provider knows of */

typedef struct TokenResponse
{
	TokenOutcome outcome;

	/*
	 * Printable ASCII, truncated; empty when the provider said nothing.  Without what the
	 * client authenticates with; the caller takes out what else it sent (oauth/echo.h).
	 */
	char error[MAX_ERROR_CODE + 1];
	char error_description[MAX_ERROR_DESCRIPTION + 1];

	/* why TOKEN_MALFORMED: a constant text of ours, without the body's words */
	const char *malformed;

	/*
	 * TOKEN_GRANTED; secret_alloc'ed, NULL when absent.  An id_token that was
	 * there but cannot be one is "".
	 */
	char *access_token;
	char *refresh_token;
	char *id_token;
	char *token_type; /* canonical "Bearer", or as the row lists it */

	bool has_scope; /* false: as requested (RFC 6749 §5.1) */
	char **scopes;
	int n_scopes;

	int64_t expires_at; /* Unix seconds, until token_response_count_from; -1: it does not say */

	/*
	 * Seconds from when the request started; -1 = unknown.  The client's
	 * default_expires_in has been applied.  0 only under ZERO_IS_EXPIRED.
	 */
	int64_t expires_in;
	bool expires_in_ignored; /* it was there, but negative or absurd */

	/*
	 * Of the grant's refresh token, which need not have come with this answer, from when
	 * the request started: -1: nothing new is known; REFRESH_TOKEN_LASTS.
	 */
	int64_t refresh_token_expires_in;

	/* members named by client->token_response_values that were scalars; UTF-8 */
	NameValue *values;
	int n_values;
} TokenResponse;

/*
 * Parses the answer of a token endpoint.  content_type may be NULL and never
 * decides alone.  Allocates in the current memory context; never raises an
 * error for what the body holds.
 */
extern void parse_token_response(const OAuthClient *client, int status, const char *content_type,
								 const char *body, size_t body_len, TokenResponse *response);

/*
 * Makes expires_in of expires_at, for an answer that says when and not in how many seconds;
 * of one that was absurd is said what of an absurd expires_in.  sent_at: when the request
 * started, Unix seconds.
 */
extern void token_response_count_from(TokenResponse *response, const OAuthClient *client,
									  int64_t sent_at);

/* The scopes that a text names, as that of an answer, in place of those of the response */
extern void read_scope_text(const OAuthClient *client, const char *text, TokenResponse *response);

/* Overwrites the tokens. */
extern void token_response_cleanse(TokenResponse *response);

typedef enum RevocationOutcome
{
	REVOCATION_DONE,   /* 200, also for a token already dead (RFC 7009 §2.2), and an answer
						* that says so */
	REVOCATION_DEAD,   /* the token is refused as one that was revoked, expired or never was */
	REVOCATION_RETRY,  /* 5xx, 408, 425, 429, and what is no answer of an OAuth server */
	REVOCATION_REFUSED /* a definite refusal: trying again is pointless */
} RevocationOutcome;

/* error and error_description as in a TokenResponse */
extern RevocationOutcome
classify_revocation_response(const OAuthClient *client, int status, const char *body,
							 size_t body_len, char error[MAX_ERROR_CODE + 1],
							 char error_description[MAX_ERROR_DESCRIPTION + 1]);

/*
 * RFC 9207 §2.4: simple string comparison; an issuer with "{tenantid}" matches
 * any one path segment there.
 */
extern bool issuer_matches(const char *expected, const char *iss);

#endif
