/*
 * jwt_claims.h
 *	  What the claims of a verified JWT (RFC 7519) must say, and which app user
 *	  they name: pure functions over bytes.
 */
#ifndef APPUSER_CONNECTORS_OAUTH_JWT_CLAIMS_H
#define APPUSER_CONNECTORS_OAUTH_JWT_CLAIMS_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/json_tree.h"

#define MAX_APP_USER_TEMPLATE 256 /* bytes */

/* Times are microseconds since 1970. */
typedef struct ClaimsExpectation
{
	const char *issuer;
	char *const *audiences; /* one of them must be named; n_audiences 0: any */
	int n_audiences;
	const char *app_user_template;
	int64_t now;
	int64_t clock_skew;
} ClaimsExpectation;

typedef enum ClaimsResult
{
	CLAIMS_ACCEPTED,
	CLAIMS_MALFORMED,
	CLAIMS_ISSUER,
	CLAIMS_AUDIENCE,
	CLAIMS_SECURITY_EVENT, /* an events claim */
	CLAIMS_WITHOUT_EXPIRY,
	CLAIMS_EXPIRED,
	CLAIMS_NOT_YET_VALID,
	CLAIMS_ISSUED_AT,
	CLAIMS_WITHOUT_APP_USER, /* a claim of the template is missing or unusable */
	CLAIMS_APP_USER_AMBIGUOUS,
	CLAIMS_APP_USER_CONTROL,
	CLAIMS_APP_USER_TOO_LONG
} ClaimsResult;

/*
 * On CLAIMS_ACCEPTED app_user is filled in, and *expires_at is when they cease
 * to hold, the clock skew included.
 */
extern ClaimsResult claims_check(const char *payload, size_t len, const ClaimsExpectation *expected,
								 char *app_user, size_t app_user_size, int64_t *expires_at);

/* For an error's detail; no part of the claims */
extern const char *claims_result_text(ClaimsResult result);

/* A NumericDate of RFC 7519 §2, which may have a fraction; false when it is none. */
extern bool numeric_date(const JsonValue *value, int64_t *microseconds);

/*
 * Can it be proven that no app user is made by both templates, each of its issuer?
 * Neither may have a problem.
 */
extern bool claims_templates_disjoint(const char *template_a, const char *issuer_a,
									  const char *template_b, const char *issuer_b);

/* Why it cannot be an app_user_template, a sentence, or NULL if it can */
extern const char *claims_template_problem(const char *app_user_template);

#endif
