/*
 * authentication.c
 *	  authenticate_app_user(): who the app user is, by a JWT that an issuer signed
 *	  (RFC 7519, 8725).
 *
 * The token chooses the issuer and, by its kid, the key; everything else is the
 * issuer's configuration.  A refusal is an error, so the (sub)transaction that
 * asked cannot go on as whoever was set before by overlooking it; nothing about
 * the identity changes but by a token that was accepted.
 *
 * No part of a token may come into an error or log line.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/errors.h"
#include "base/record.h"
#include "base/secret.h"
#include "oauth/jwt_claims.h"
#include "store/identity.h"
#include "store/issuer.h"
#include "worker/issuer_keys.h"
#include "store/secret_reference.h"
#include "worker/provider_call.h"

#define MAX_CALLS 3 /* of the worker, if it ends while it has ours */
#define UNIX_EPOCH_OFFSET                                                                          \
	((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) SECS_PER_DAY * USECS_PER_SEC)

/* A JWT as it was given; not NUL-terminated */
typedef struct Token
{
	const char *bytes;
	size_t len;
} Token;

PG_FUNCTION_INFO_V1(authenticate_app_user);

static void refuse(const char *why);
static const char *authenticate(Token jwt, TimestampTz *expires_at);
static JwtResult verify(const Issuer *issuer, Token jwt, char **payload, size_t *payload_len);
static JwtResult verify_with_secret(const Issuer *issuer, Token jwt, char **payload,
									size_t *payload_len);
static bool may_have_new_key(const Issuer *issuer, JwtResult result);
static void fetch_keys(const Issuer *issuer);

static void
refuse(const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION), errmsg("the JWT is refused"),
			 errdetail("Reason: %s.", why),
			 errhint("Get a new one from the issuer; an admin sees in appuser_connectors.issuers "
					 "what is accepted.")));
}

/* The app user that a JWT names, and until when */
static const char *
authenticate(Token jwt, TimestampTz *expires_at)
{
	char iss[MAX_ISSUER + 1];
	char *app_user = palloc(MAX_APP_USER + 1);
	const Issuer *issuer;
	ClaimsExpectation expected;
	ClaimsResult claims;
	JwtResult result;
	char *payload = NULL;
	size_t payload_len = 0;
	int64_t expiry = 0;

	if (jwt.len > JWT_MAX_BYTES)
		refuse("too long");
	if (!jwt_unverified_issuer(jwt.bytes, jwt.len, iss, sizeof(iss)))
		refuse("not a well-formed signed token with an iss claim");
	issuer = issuer_find(iss);
	if (issuer == NULL)
		refuse("its issuer is not registered");
	result = verify(issuer, jwt, &payload, &payload_len);
	if (may_have_new_key(issuer, result))
	{
		fetch_keys(issuer);
		issuer = issuer_find(iss);
		if (issuer == NULL)
			refuse("its issuer is not registered");
		result = verify(issuer, jwt, &payload, &payload_len);
	}
	if (result != JWT_VERIFIED)
		refuse(jwt_result_text(result));
	if (!jwt_type_accepted(jwt.bytes, jwt.len, issuer->token_types, issuer->n_token_types))
		refuse("of a type that is not accepted of its issuer");

	expected = (ClaimsExpectation){.issuer = issuer->issuer,
								   .audiences = issuer->audiences,
								   .n_audiences = issuer->n_audiences,
								   .app_user_template = issuer->app_user_template,
								   .now = GetCurrentTimestamp() + UNIX_EPOCH_OFFSET,
								   .clock_skew = issuer->clock_skew};
	claims = claims_check(payload, payload_len, &expected, app_user, MAX_APP_USER + 1, &expiry);
	if (claims != CLAIMS_ACCEPTED)
		refuse(claims_result_text(claims));
	*expires_at = expiry - UNIX_EPOCH_OFFSET;
	return app_user;
}

/* As jwt_verify, but the payload is palloc'ed. */
static JwtResult
verify(const Issuer *issuer, Token jwt, char **payload, size_t *payload_len)
{
	char *decoded = NULL;
	JwtResult result;

	if (issuer->hmac_key != NULL)
		return verify_with_secret(issuer, jwt, payload, payload_len);
	result =
		jwt_verify(jwt.bytes, jwt.len, issuer->keys, issuer->algorithms, &decoded, payload_len);
	if (result == JWT_VERIFIED)
	{
		*payload =
			MemoryContextAllocExtended(CurrentMemoryContext, *payload_len + 1, MCXT_ALLOC_NO_OOM);
		if (*payload != NULL)
			memcpy(*payload, decoded, *payload_len + 1);
		free(decoded);
		if (*payload == NULL)
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	return result;
}

/* The key is read for each token and kept nowhere. */
static JwtResult
verify_with_secret(const Issuer *issuer, Token jwt, char **payload, size_t *payload_len)
{
	char *secret = secret_resolve_issuer(issuer->hmac_key);
	Issuer with_keys = *issuer;
	JwtResult result = JWT_KEY_NOT_FOUND;

	with_keys.hmac_key = NULL;
	with_keys.keys = jwt_keys_from_secret((unsigned char *) secret, strlen(secret));
	secret_cleanse(secret, strlen(secret));
	if (with_keys.keys == NULL)
		return JWT_KEY_NOT_FOUND;
	PG_TRY();
	{
		result = verify(&with_keys, jwt, payload, payload_len);
	}
	PG_FINALLY();
	{
		jwt_keys_free(with_keys.keys);
	}
	PG_END_TRY();
	return result;
}

/*
 * Is it worth asking for the issuer's present keys?  Not for a token that no key
 * could save, and not sooner than a while after the last time, since anybody can
 * make up key ids and signatures.
 */
static bool
may_have_new_key(const Issuer *issuer, JwtResult result)
{
	if (issuer->jwks_uri == NULL || !issuer_may_fetch(issuer->fetched_at))
		return false;
	if (result != JWT_KEY_NOT_FOUND && result != JWT_KEY_AMBIGUOUS &&
		result != JWT_SIGNATURE_INVALID)
		return false;

	/* a standby does with the keys that the primary has fetched */
	return TIMESTAMP_IS_NOEND(issuer->fetched_at) || !RecoveryInProgress();
}

/* Has the worker fetch an issuer's keys and store them. */
static void
fetch_keys(const Issuer *issuer)
{
	StringInfo record = makeStringInfo();
	char message[CALL_MESSAGE_SIZE];
	ProviderCallOutcome outcome;
	int calls = 0;

	do
	{
		resetStringInfo(record);
		issuer_keys_put_call(record, issuer);
		outcome = provider_call(CALL_KEYS, record, message);
	} while (outcome == CALL_WORKER_ENDED && ++calls < MAX_CALLS);
	if (outcome != CALL_SUCCEEDED)
		ereport(ERROR, (errcode(ERRCODE_UC_PROVIDER_UNAVAILABLE),
						errmsg("the keys of the JWT's issuer could not be fetched"),
						message[0] ? errdetail("Reason: %s.", message) : 0,
						errhint("Try again later; the server log says more.")));
}

Datum
authenticate_app_user(PG_FUNCTION_ARGS)
{
	text *jwt;
	const char *app_user;
	TimestampTz expires_at;

	for (int i = 0; i < 2; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("%s must not be null", i == 0 ? "jwt" : "is_local")));
	jwt = PG_GETARG_TEXT_PP(0);
	app_user = authenticate((Token){VARDATA_ANY(jwt), VARSIZE_ANY_EXHDR(jwt)}, &expires_at);
	identity_set(app_user, PG_GETARG_BOOL(1), expires_at);
	PG_RETURN_TEXT_P(cstring_to_text(app_user));
}
