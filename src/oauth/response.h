/*
 * response.h
 *	  Reading and classifying what a provider answered: pure functions over
 *	  bytes.  Nothing a provider sends is trusted.
 */
#ifndef APPUSER_CONNECTORS_OAUTH_RESPONSE_H
#define APPUSER_CONNECTORS_OAUTH_RESPONSE_H

#include <stdint.h>

#include "oauth/client.h"

#define MAX_TOKEN_BYTES (64 * 1024)
#define MAX_ERROR_CODE 64
#define MAX_ERROR_DESCRIPTION 200

/*
 * What a token endpoint's answer means for the grant, whoever asked.
 */
typedef enum TokenOutcome
{
	TOKEN_GRANTED,        /* tokens, all checks passed */
	TOKEN_INVALID_GRANT,  /* the code or refresh token is dead (RFC 6749 §5.2) */
	TOKEN_INVALID_CLIENT, /* the client was refused */
	TOKEN_REFUSED,        /* a refusal in words that no standard has for a dead
								 * grant: it may be one, or a provider's bad day */
	TOKEN_RATE_LIMITED,   /* 429, or an error that says so */
	TOKEN_UNAVAILABLE,    /* 5xx, 408, 425, and every 4xx that is no answer of
								 * an OAuth server: a web page, 404, 405 … */
	TOKEN_MALFORMED       /* 2xx that is not a token response */
} TokenOutcome;

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

	/*
	 * Seconds from when the request started; -1 = unknown.  The client's
	 * default_expires_in has been applied.  0 only under ZERO_IS_EXPIRED.
	 */
	int64_t expires_in;
	bool expires_in_ignored; /* it was there, but negative or absurd */

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

/* The scopes that a text names, as that of an answer, in place of those of the response */
extern void read_scope_text(const OAuthClient *client, const char *text, TokenResponse *response);

/* Overwrites the tokens. */
extern void token_response_cleanse(TokenResponse *response);

typedef enum RevocationOutcome
{
	REVOCATION_DONE,   /* 200, also for a token already dead (RFC 7009 §2.2) */
	REVOCATION_RETRY,  /* 5xx, 408, 425, 429, and what is no answer of an OAuth server */
	REVOCATION_REFUSED /* a definite refusal: trying again is pointless */
} RevocationOutcome;

/* error and error_description as in a TokenResponse */
extern RevocationOutcome
classify_revocation_response(int status, const char *body, size_t body_len,
							 char error[MAX_ERROR_CODE + 1],
							 char error_description[MAX_ERROR_DESCRIPTION + 1]);

/*
 * A provider's words, fit to show: printable ASCII, everything else '?',
 * truncated to size - 1 bytes.
 */
extern void sanitize_provider_text(const char *text, size_t len, char *out, size_t size);

/*
 * An error code of RFC 6749 §4.1.2.1 as it came in the callback: NQSCHAR only (appendix A.7),
 * at most MAX_ERROR_CODE bytes; false otherwise.
 */
extern bool valid_error_code(const char *text);

/*
 * RFC 9207 §2.4: simple string comparison; an issuer with "{tenantid}" matches
 * any one path segment there.
 */
extern bool issuer_matches(const char *expected, const char *iss);

#endif
