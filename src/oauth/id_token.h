/*
 * id_token.h
 *	  Checking an ID token (OpenID Connect Core §3.1.3.7): pure functions over
 *	  bytes.
 */
#ifndef APPUSER_CONNECTORS_OAUTH_ID_TOKEN_H
#define APPUSER_CONNECTORS_OAUTH_ID_TOKEN_H

#include <stdint.h>

#include "crypto/jwt.h"

#define MAX_SUBJECT 255        /* OpenID Connect Core §2 */
#define MAX_ACCOUNT_ISSUER 512 /* bytes */
#define MAX_ACCOUNT_NAME 255   /* the same */

/*
 * Who an account is: a subject is unique at its issuer only (§5.7), and where a
 * definition's issuer is a template, each tenant is one.
 */
typedef struct IdTokenAccount
{
	char subject[MAX_SUBJECT + 1]; /* empty: unknown */
	char issuer[MAX_ACCOUNT_ISSUER + 1];
	char name[MAX_ACCOUNT_NAME + 1]; /* what people know it by: nothing is decided by it */
} IdTokenAccount;

/* What the token must say */
typedef struct IdTokenExpectation
{
	const char *issuer;
	const char *client_id;
	const char *nonce;          /* NULL: none was sent */
	bool nonce_optional;        /* it may be left out, though never be another */
	const char *subject;        /* NULL: whoever it is */
	const char *subject_issuer; /* NULL: any that issuer matches */
	const char *access_token;   /* for at_hash */
	unsigned algorithms;        /* fixed beforehand */
	int64_t now;                /* Unix seconds */
	int64_t issued_from;        /* the same; not before that */

	/* of a key that is not there, TLS stands in for the signature: §3.1.3.7, 6. */
	bool key_optional;
} IdTokenExpectation;

typedef enum IdTokenResult
{
	ID_TOKEN_ACCEPTED,
	ID_TOKEN_KEY_NOT_FOUND, /* perhaps the provider has a new key: fetch, and try again */
	ID_TOKEN_SIGNATURE,     /* the same; or anything else that jwt_verify refuses */
	ID_TOKEN_MALFORMED,
	ID_TOKEN_ISSUER,
	ID_TOKEN_AUDIENCE,
	ID_TOKEN_AUTHORIZED_PARTY,
	ID_TOKEN_EXPIRED,
	ID_TOKEN_ISSUED_AT,
	ID_TOKEN_ISSUED_BEFORE,
	ID_TOKEN_NONCE,
	ID_TOKEN_SUBJECT,
	ID_TOKEN_ACCESS_TOKEN_HASH,
	ID_TOKEN_OTHER_SUBJECT /* all else is right */
} IdTokenResult;

/*
 * On ID_TOKEN_ACCEPTED, and on ID_TOKEN_OTHER_SUBJECT too, account is filled in.  keys is
 * NULL where there are none.
 */
extern IdTokenResult id_token_check(const char *id_token, const JwtKeySet *keys,
									const IdTokenExpectation *expected, IdTokenAccount *account);

/* What its header says it is signed by, which may be anything; NULL: it says nothing */
extern const char *id_token_algorithm(const char *id_token);

/* For a log or event; no part of the token */
extern const char *id_token_result_text(IdTokenResult result);

#endif
