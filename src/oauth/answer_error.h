/*
 * answer_error.h
 *	  What a provider's answer says went wrong.
 */
#ifndef APPUSER_CONNECTORS_OAUTH_ANSWER_ERROR_H
#define APPUSER_CONNECTORS_OAUTH_ANSWER_ERROR_H

#include "oauth/body.h"
#include "oauth/client.h"

#define MAX_ERROR_CODE 64

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
 * The error code as it was sent, NULL when there is none; error is that one fit to show, and
 * *description what else was said, or NULL.  client NULL: by the standards alone.
 */
extern const char *read_error(const OAuthClient *client, const BodyObject *root,
							  char error[MAX_ERROR_CODE + 1], const BodyMember **description);

/* What it means under this status */
extern TokenOutcome error_outcome(const OAuthClient *client, int status, const char *code);

/* What a status of 4xx means without one */
extern TokenOutcome wordless_outcome(int status, size_t body_len, const BodyObject *root);

#endif
