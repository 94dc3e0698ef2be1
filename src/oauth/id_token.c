/*
 * id_token.c
 *	  Checking an ID token (OpenID Connect Core §3.1.3.7).
 *
 * Knows neither PostgreSQL's backend nor HTTP: where the keys come from is the
 * caller's business.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/base64.h"
#include "base/json_tree.h"
#include "base/text.h"
#include "oauth/id_token.h"
#include "oauth/jwt_claims.h"
#include "oauth/response.h"

#define CLOCK_SKEW 60 /* seconds */
#define MICROSECONDS INT64CONST(1000000)

static bool names_client(const JsonValue *aud, const char *client_id, bool *several);
static bool access_token_hash_matches(const char *at_hash, const char *id_token,
									  const char *access_token);
static const JsonValue *unverified_claims(const char *id_token);

/* aud is a string or an array of them. */
static bool
names_client(const JsonValue *aud, const char *client_id, bool *several)
{
	*several = false;
	if (aud == NULL)
		return false;
	if (json_string(aud) != NULL)
		return strcmp(json_string(aud), client_id) == 0;
	*several = aud->type == JSON_TOKEN_ARRAY_START && aud->n_children > 1;
	if (aud->type == JSON_TOKEN_ARRAY_START)
		for (const JsonValue *one = aud->first; one != NULL; one = one->next)
			if (json_string(one) != NULL && strcmp(json_string(one), client_id) == 0)
				return true;
	return false;
}

const char *
id_token_algorithm(const char *id_token)
{
	const char *dot = strchr(id_token, '.');
	size_t length = dot != NULL ? (size_t) (dot - id_token) : 0;
	char *header = palloc(length + 1);
	int header_len = decode_base64url(id_token, length, (unsigned char *) header);
	const JsonValue *object = header_len > 0 ? json_parse_object(header, header_len) : NULL;

	return json_string(json_member(object, "alg"));
}

/* The digest that at_hash uses is that of the signature's algorithm. */
static const char *
digest_of(const char *id_token)
{
	const char *algorithm = id_token_algorithm(id_token);
	size_t n = algorithm != NULL ? strlen(algorithm) : 0;

	if (n >= 3 && strcmp(algorithm + n - 3, "256") == 0)
		return "SHA256";
	if (n >= 3 && strcmp(algorithm + n - 3, "384") == 0)
		return "SHA384";
	return "SHA512"; /* …512, and EdDSA with Ed25519 */
}

/* The left half of the access token's hash, §3.1.3.6 */
static bool
access_token_hash_matches(const char *at_hash, const char *id_token, const char *access_token)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned char given[EVP_MAX_MD_SIZE];
	unsigned int size;
	EVP_MD *md;
	bool computed;

	if (strlen(at_hash) > sizeof(given))
		return false;
	md = EVP_MD_fetch(NULL, digest_of(id_token), NULL);
	computed =
		md != NULL && EVP_Digest(access_token, strlen(access_token), digest, &size, md, NULL) == 1;
	EVP_MD_free(md);
	return computed && decode_base64url(at_hash, strlen(at_hash), given) == (int) (size / 2) &&
		   CRYPTO_memcmp(digest, given, size / 2) == 0;
}

/* At most 255 ASCII characters, §2 */
static bool
is_subject(const char *sub)
{
	if (sub == NULL || sub[0] == '\0' || strlen(sub) > MAX_SUBJECT)
		return false;
	for (const char *c = sub; *c != '\0'; c++)
		if (*c < 0x20 || *c > 0x7e)
			return false;
	return true;
}

/* Than the one that was connected, where that is known */
static bool
is_other_account(const char *sub, const char *iss, const IdTokenExpectation *expected)
{
	return (expected->subject != NULL && strcmp(sub, expected->subject) != 0) ||
		   (expected->subject_issuer != NULL && strcmp(iss, expected->subject_issuer) != 0);
}

/* What people know it by: an e-mail address tells more than a name. */
static void
put_name(IdTokenAccount *account, const JsonValue *claims)
{
	static const char *const names[] = {"email", "preferred_username", "name"};

	account->name[0] = '\0';
	for (int i = 0; i < (int) lengthof(names) && account->name[0] == '\0'; i++)
	{
		const char *text = json_string(json_member(claims, names[i]));

		if (text != NULL && strlen(text) <= MAX_ACCOUNT_NAME && !text_has_controls(text))
			strlcpy(account->name, text, sizeof(account->name));
	}
}

static void
put_account(IdTokenAccount *account, const char *sub, const char *iss, const JsonValue *claims)
{
	strlcpy(account->subject, sub, sizeof(account->subject));
	strlcpy(account->issuer, iss, sizeof(account->issuer));
	put_name(account, claims);
}

static IdTokenResult
check_claims(const JsonValue *claims, const char *id_token, const IdTokenExpectation *expected,
			 IdTokenAccount *account)
{
	const char *iss = json_string(json_member(claims, "iss"));
	const char *sub = json_string(json_member(claims, "sub"));
	const char *nonce = json_string(json_member(claims, "nonce"));
	const JsonValue *azp = json_member(claims, "azp");
	const JsonValue *at_hash = json_member(claims, "at_hash");
	bool of_these_tokens;
	bool several;
	int64_t exp;
	int64_t iat;

	if (claims == NULL)
		return ID_TOKEN_MALFORMED;
	if (iss == NULL || strlen(iss) > MAX_ACCOUNT_ISSUER || !issuer_matches(expected->issuer, iss))
		return ID_TOKEN_ISSUER;
	if (!names_client(json_member(claims, "aud"), expected->client_id, &several))
		return ID_TOKEN_AUDIENCE;
	if (azp != NULL || several)
		if (json_string(azp) == NULL || strcmp(json_string(azp), expected->client_id) != 0)
			return ID_TOKEN_AUTHORIZED_PARTY;
	/* §12.2: another's tokens must not be served, however old what says so */
	of_these_tokens = at_hash == NULL || (json_string(at_hash) != NULL &&
										  access_token_hash_matches(json_string(at_hash), id_token,
																	expected->access_token));
	if (of_these_tokens && is_subject(sub) && is_other_account(sub, iss, expected))
	{
		put_account(account, sub, iss, claims);
		return ID_TOKEN_OTHER_SUBJECT;
	}
	if (!numeric_date(json_member(claims, "exp"), &exp) ||
		exp / MICROSECONDS + CLOCK_SKEW <= expected->now)
		return ID_TOKEN_EXPIRED;
	if (!numeric_date(json_member(claims, "iat"), &iat) ||
		iat / MICROSECONDS - CLOCK_SKEW > expected->now)
		return ID_TOKEN_ISSUED_AT;
	if (iat / MICROSECONDS + CLOCK_SKEW < expected->issued_from)
		return ID_TOKEN_ISSUED_BEFORE;
	if (expected->nonce != NULL &&
		!(expected->nonce_optional && json_member(claims, "nonce") == NULL) &&
		(nonce == NULL || strcmp(nonce, expected->nonce) != 0))
		return ID_TOKEN_NONCE;
	if (!is_subject(sub))
		return ID_TOKEN_SUBJECT;
	if (!of_these_tokens)
		return ID_TOKEN_ACCESS_TOKEN_HASH;
	put_account(account, sub, iss, claims);
	return ID_TOKEN_ACCEPTED;
}

/* Of a token that jwt_verify has taken apart already */
static const JsonValue *
unverified_claims(const char *id_token)
{
	const char *payload = strchr(id_token, '.') + 1;
	size_t length = strcspn(payload, ".");
	char *claims = palloc(length + 1);
	int claims_len = decode_base64url(payload, length, (unsigned char *) claims);

	return claims_len > 0 ? json_parse_object(claims, (size_t) claims_len) : NULL;
}

IdTokenResult
id_token_check(const char *id_token, const JwtKeySet *keys, const IdTokenExpectation *expected,
			   IdTokenAccount *account)
{
	char *payload = NULL;
	size_t payload_len;
	IdTokenResult result;

	switch (
		jwt_verify(id_token, strlen(id_token), keys, expected->algorithms, &payload, &payload_len))
	{
		case JWT_VERIFIED:
			break;
		case JWT_KEY_NOT_FOUND:
			if (!expected->key_optional)
				return ID_TOKEN_KEY_NOT_FOUND;
			return check_claims(unverified_claims(id_token), id_token, expected, account);
		case JWT_MALFORMED:
			return ID_TOKEN_MALFORMED;
		case JWT_ALGORITHM_REFUSED:
		case JWT_CRITICAL_UNKNOWN:
		case JWT_KEY_AMBIGUOUS:
		case JWT_SIGNATURE_INVALID:
			return ID_TOKEN_SIGNATURE;
	}
	result = check_claims(json_parse_object(payload, payload_len), id_token, expected, account);
	free(payload);
	return result;
}

const char *
id_token_result_text(IdTokenResult result)
{
	switch (result)
	{
		case ID_TOKEN_ACCEPTED:
			return "accepted";
		case ID_TOKEN_KEY_NOT_FOUND:
			return "signed with a key the provider does not publish";
		case ID_TOKEN_SIGNATURE:
			return "its signature is refused";
		case ID_TOKEN_MALFORMED:
			return "malformed";
		case ID_TOKEN_ISSUER:
			return "from another issuer";
		case ID_TOKEN_AUDIENCE:
			return "for another client";
		case ID_TOKEN_AUTHORIZED_PARTY:
			return "for another authorized party";
		case ID_TOKEN_EXPIRED:
			return "expired";
		case ID_TOKEN_ISSUED_AT:
			return "issued in the future, or never";
		case ID_TOKEN_ISSUED_BEFORE:
			return "issued before the account was connected";
		case ID_TOKEN_NONCE:
			return "of another flow";
		case ID_TOKEN_SUBJECT:
			return "without a usable subject";
		case ID_TOKEN_OTHER_SUBJECT:
			return "for another account";
		case ID_TOKEN_ACCESS_TOKEN_HASH:
			return "for another access token";
	}
	return "refused";
}
