/*
 * issuer_admin.c
 *	  register_issuer() and delete_issuer(): whose JWTs say who the app user is.
 *
 * Which algorithms may be used is configuration, fixed before any token is
 * looked at, and HS* never stands beside an asymmetric one: a public key must not
 * be taken for a secret (RFC 8725 §2.1).
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/bounds.h"
#include "base/json_tree.h"
#include "base/secret.h"
#include "base/text.h"
#include "base/url.h"
#include "oauth/jwt_claims.h"
#include "store/adoption.h"
#include "store/endpoint.h"
#include "store/issuer.h"
#include "store/secret_reference.h"
#include "store/shared_state.h"
#include "store/store.h"

#define MAX_ALGORITHMS 16
#define MAX_AUDIENCES 64
#define MAX_TOKEN_TYPES 16
#define MAX_CLOCK_SKEW (10 * SECS_PER_MINUTE * USECS_PER_SEC)
#define ASYMMETRIC_ALGORITHMS                                                                      \
	(JWT_RS256 | JWT_RS384 | JWT_RS512 | JWT_PS256 | JWT_PS384 | JWT_PS512 | JWT_ES256 |           \
	 JWT_ES384 | JWT_ES512 | JWT_EDDSA)

PG_FUNCTION_INFO_V1(register_issuer);
PG_FUNCTION_INFO_V1(delete_issuer);

static void check_keys(const Issuer *issuer);
static void check_public_keys(const Jsonb *jwks);
static void check_hmac_key(const Issuer *issuer);
static void read_algorithms(FunctionCallInfo fcinfo, int i, Issuer *issuer);
static void read_token_types(FunctionCallInfo fcinfo, int i, Issuer *issuer);
static void check_template(const Issuer *issuer);

/* The names of a set, in one order, for what is stored and compared */
static int
algorithm_names(unsigned algorithms, char **names)
{
	int count = 0;

	for (unsigned bit = JWT_RS256; bit <= JWT_HS512; bit <<= 1)
		if (algorithms & bit)
			names[count++] = unconstify(char *, jwt_algorithm_name((JwtAlgorithm) bit));
	return count;
}

static void
require_argument(FunctionCallInfo fcinfo, int i, const char *name)
{
	if (PG_ARGISNULL(i))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", name)));
}

static char *
optional_text(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

/* Compared byte by byte with what stands in a JWT */
static void
check_pasted(const char *name, const char *value)
{
	const char *problem = text_pasted_problem(value, false);

	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("this %s cannot be right", name),
				 errdetail("%s", problem), errhint(TEXT_PASTED_HINT)));
}

Datum
register_issuer(PG_FUNCTION_ARGS)
{
	Issuer issuer = {0};
	Interval *skew;
	char *names[MAX_ALGORITHMS];

	require_argument(fcinfo, 0, "issuer");
	require_argument(fcinfo, 6, "app_user_template");
	require_argument(fcinfo, 7, "clock_skew");
	issuer.issuer = optional_text(fcinfo, 0);
	issuer.jwks = bounded_jsonb_arg(fcinfo, 1, "jwks", MAX_JWKS_BYTES);
	issuer.jwks_uri = optional_text(fcinfo, 2);
	issuer.hmac_key = optional_text(fcinfo, 3);
	if (!PG_ARGISNULL(4))
		issuer.audiences = array_to_texts(PG_GETARG_ARRAYTYPE_P(4), &issuer.n_audiences);
	issuer.app_user_template = optional_text(fcinfo, 6);
	skew = PG_GETARG_INTERVAL_P(7);
	issuer.clock_skew = skew->day * USECS_PER_DAY + skew->time;

	if (issuer.issuer[0] == '\0' || strlen(issuer.issuer) > MAX_ISSUER)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("issuer must be 1 to %d bytes long", MAX_ISSUER)));
	check_pasted("issuer", issuer.issuer);
	if (issuer.audiences != NULL && (issuer.n_audiences == 0 || issuer.n_audiences > MAX_AUDIENCES))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("audiences must name 1 to %d audiences", MAX_AUDIENCES),
						errhint("NULL accepts any.")));
	for (int i = 0; i < issuer.n_audiences; i++)
	{
		if (issuer.audiences[i][0] == '\0' || strlen(issuer.audiences[i]) > MAX_AUDIENCE)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("an audience must be 1 to %d bytes long", MAX_AUDIENCE)));
		check_pasted("audience", issuer.audiences[i]);
	}
	if (skew->month != 0 || issuer.clock_skew < 0 || issuer.clock_skew > MAX_CLOCK_SKEW)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("clock_skew must be between 0 and 10 minutes")));
	read_algorithms(fcinfo, 5, &issuer);
	read_token_types(fcinfo, 8, &issuer);
	check_keys(&issuer);
	check_template(&issuer);

	issuer.algorithm_names = names;
	issuer.n_algorithm_names = algorithm_names(issuer.algorithms, names);
	shared_state_require_preload();
	adoption_ensure();
	if (store_put_issuer(&issuer, GetCurrentTimestamp()) && issuer.audiences == NULL &&
		issuer.hmac_key == NULL)
		ereport(WARNING,
				(errmsg("issuer \"%s\" is registered without audiences", issuer.issuer),
				 errdetail("A JWT that it issued for another application is accepted too."),
				 errhint("Name what the aud claim of this application's JWTs holds in "
						 "audiences.")));
	PG_RETURN_TEXT_P(cstring_to_text(issuer.issuer));
}

Datum
delete_issuer(PG_FUNCTION_ARGS)
{
	require_argument(fcinfo, 0, "issuer");
	PG_RETURN_BOOL(store_delete_issuer(optional_text(fcinfo, 0)));
}

static void
read_token_types(FunctionCallInfo fcinfo, int i, Issuer *issuer)
{
	if (PG_ARGISNULL(i))
		return;
	issuer->token_types = array_to_texts(PG_GETARG_ARRAYTYPE_P(i), &issuer->n_token_types);
	if (issuer->n_token_types == 0 || issuer->n_token_types > MAX_TOKEN_TYPES)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("token_types must name 1 to %d types", MAX_TOKEN_TYPES),
						errhint("NULL accepts JWT and at+jwt.")));
	for (int j = 0; j < issuer->n_token_types; j++)
	{
		const char *problem = jwt_type_problem(issuer->token_types[j]);

		if (problem != NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("\"%s\" cannot be a type of tokens",
								   text_shown(issuer->token_types[j])),
							errdetail("%s", problem)));
	}
}

/* No two issuers may make the same app user: one could name the other's people. */
static void
check_template(const Issuer *issuer)
{
	const char *problem = claims_template_problem(issuer->app_user_template);
	IssuerTemplate *others;
	int count;

	if (problem != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"%s\" cannot be an app user template",
							   text_shown(issuer->app_user_template)),
						errdetail("%s", problem),
						errhint("Write claims in braces, with text between them, such as "
								"{org_id}:{sub}.")));
	others = store_other_templates(issuer->issuer, &count);
	for (int i = 0; i < count; i++)
		if (claims_template_problem(others[i].app_user_template) == NULL &&
			!claims_templates_disjoint(issuer->app_user_template, issuer->issuer,
									   others[i].app_user_template, others[i].issuer))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("issuer \"%s\" could name app users of issuer \"%s\"", issuer->issuer,
							others[i].issuer),
					 errdetail("Templates \"%s\" and \"%s\" can make the same app user.",
							   issuer->app_user_template, others[i].app_user_template),
					 errhint("Give each issuer a prefix of its own that does not begin "
							 "another's, such as partner:{sub}; or delete_issuer() the one that "
							 "this replaces first.")));
}

/* NULL: every asymmetric one; with hmac_key they must be named */
static void
read_algorithms(FunctionCallInfo fcinfo, int i, Issuer *issuer)
{
	unsigned fitting = issuer->hmac_key != NULL ? JWT_HMAC_ALGORITHMS : ASYMMETRIC_ALGORITHMS;
	char **names;
	int count;

	if (PG_ARGISNULL(i))
	{
		if (issuer->hmac_key != NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("algorithms are required with hmac_key"),
							errhint("Name the one that the issuer signs with: HS256, HS384 or "
									"HS512.")));
		issuer->algorithms = ASYMMETRIC_ALGORITHMS;
		return;
	}
	names = array_to_texts(PG_GETARG_ARRAYTYPE_P(i), &count);
	if (count == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("algorithms must name at least one algorithm")));
	for (int j = 0; j < count; j++)
		if (jwt_algorithm_by_name(names[j]) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" is not a signature algorithm", text_shown(names[j])),
					 errhint("Known are RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, "
							 "ES512 and EdDSA, and with hmac_key HS256, HS384 and HS512.")));
	issuer->algorithms = issuer_algorithms(names, count);
	if ((issuer->algorithms & ~fitting) != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("algorithms do not fit the issuer's keys"),
						errdetail("HS256, HS384 and HS512 go with hmac_key, and only these; a "
								  "public key must not be taken for a secret.")));
}

static void
check_keys(const Issuer *issuer)
{
	const char *problem;
	const char *hint;

	if ((issuer->jwks != NULL) + (issuer->jwks_uri != NULL) + (issuer->hmac_key != NULL) != 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("exactly one of jwks, jwks_uri and hmac_key must be given")));
	if (issuer->jwks != NULL)
		check_public_keys(issuer->jwks);
	if (issuer->hmac_key != NULL)
		check_hmac_key(issuer);
	problem = issuer->jwks_uri != NULL ? url_endpoint_problem(issuer->jwks_uri) : NULL;
	hint = problem != NULL ? url_endpoint_hint(issuer->jwks_uri) : NULL;
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("this jwks_uri cannot be used"),
				 errdetail("%s", problem), hint ? errhint("%s", hint) : 0));
	endpoint_check_address("jwks_uri", issuer->jwks_uri);
}

/* A set, or a single key */
static void
check_public_keys(const Jsonb *jwks)
{
	char *text =
		JsonbToCString(NULL, unconstify(JsonbContainer *, &jwks->root), VARSIZE_ANY_EXHDR(jwks));
	const JsonValue *root = json_parse_object(text, strlen(text));
	const JsonValue *list = json_member(root, "keys");
	const JsonValue *first = list != NULL ? list->first : root;
	int usable;
	JwtKeySet *keys;

	for (const JsonValue *key = first; key != NULL; key = list != NULL ? key->next : NULL)
		if (json_member(key, "d") != NULL || json_member(key, "k") != NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("jwks holds a private or symmetric key"),
							errdetail("Whoever reads it could sign as the issuer."),
							errhint("Give the public keys alone, without \"d\" and \"k\", and "
									"replace that key at the issuer: it may be in the server "
									"log now.")));
	keys = jwt_keys_parse(text, strlen(text), &usable);
	jwt_keys_free(keys);
	if (keys == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("jwks is not a JWK Set"),
						errhint("It is the JSON object with \"keys\" that the issuer publishes.")));
	if (usable == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("jwks holds no usable key"),
				 errdetail("A key is for signing and of type RSA with 2048 to 8192 bits, EC on "
						   "P-256, P-384 or P-521, or OKP on Ed25519.")));
}

/* The message must not show it: it may be the key itself. */
static void
check_hmac_key(const Issuer *issuer)
{
	const size_t needed = issuer->algorithms & JWT_HS512   ? 64
						  : issuer->algorithms & JWT_HS384 ? 48
														   : 32;
	char *key;

	if (strncmp(issuer->hmac_key, "file:", 5) != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("hmac_key must be a reference such as file:NAME"),
						errdetail("The key itself is never kept in the database."),
						errhint("Put the key into a file in the directory \"issuers\" of "
								"appuser_connectors.secrets_directory.")));
	key = secret_resolve_issuer(issuer->hmac_key);
	if (strlen(key) < needed)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the key that hmac_key refers to is shorter than %zu bytes", needed),
						errdetail("A key is at least as long as the hash, and text without NUL.")));
	secret_cleanse(key, strlen(key));
}
