/* sources: src/oauth/id_token.c src/oauth/jwt_claims.c src/base/text.c src/crypto/jwt.c src/crypto/jwk.c src/crypto/jwa.c src/base/json_tree.c src/oauth/request.c src/oauth/response.c src/oauth/date.c src/oauth/answer_error.c src/oauth/body.c src/base/secret.c src/base/base64.c src/oauth/scope.c src/oauth/echo.c */

/*
 * id_token_test.c
 *	  What id_token.c promises: an ID token is accepted only if a key of the
 *	  provider signed it and it is from that issuer, for this client, in time, of
 *	  this flow, about somebody, and for the access token that came with it.
 */
#include "postgres_fe.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "oauth/id_token.h"
#include "base/base64.h"
#include "oauth/request.h"
#include "tap.h"

#define NOW INT64CONST(1700000000)
#define ISSUER "https://issuer.example"
#define CLIENT "app"
#define NONCE "nonce-of-this-flow"
#define ACCESS_TOKEN "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"

/* The claims of a good token, each to be left out or replaced */
#define ISS "\"iss\":\"" ISSUER "\""
#define AUD "\"aud\":\"" CLIENT "\""
#define EXP "\"exp\":1700000600"
#define IAT "\"iat\":1699999990"
#define ONCE "\"nonce\":\"" NONCE "\""
#define SUB "\"sub\":\"ann\""
#define TIMES EXP "," IAT
#define GOOD "{" ISS "," AUD "," TIMES "," ONCE "," SUB "}"

#define COMMON (JWT_RS256 | JWT_PS256 | JWT_ES256 | JWT_ES384 | JWT_EDDSA)

static EVP_PKEY *rsa;
static EVP_PKEY *other_rsa;
static EVP_PKEY *p256;
static EVP_PKEY *p384;
static EVP_PKEY *p521;
static EVP_PKEY *ed25519;
static JwtKeySet *rsa_only;
static IdTokenAccount account;

/* ---------- making keys and tokens ---------- */

static char *
encoded(const void *bytes, size_t len)
{
	StringInfoData text;

	initStringInfo(&text);
	append_base64url(&text, bytes, len);
	return text.data;
}

static char *
rsa_member(EVP_PKEY *key, const char *name)
{
	unsigned char bytes[1024];
	BIGNUM *number = NULL;
	char *text;

	EVP_PKEY_get_bn_param(key, name, &number);
	text = encoded(bytes, (size_t) BN_bn2bin(number, bytes));
	BN_free(number);
	return text;
}

/* more is appended to the members, beginning with a comma */
static char *
jwk(EVP_PKEY *key, const char *more)
{
	unsigned char point[256];
	size_t len = sizeof(point);
	size_t half;

	if (EVP_PKEY_is_a(key, "RSA"))
		return psprintf("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"%s}",
						rsa_member(key, OSSL_PKEY_PARAM_RSA_N),
						rsa_member(key, OSSL_PKEY_PARAM_RSA_E), more);
	if (EVP_PKEY_is_a(key, "ED25519"))
	{
		EVP_PKEY_get_raw_public_key(key, point, &len);
		return psprintf("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"%s}", encoded(point, 32),
						more);
	}
	EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &len);
	half = (len - 1) / 2;
	return psprintf("{\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"%s}",
					half == 32   ? "P-256"
					: half == 48 ? "P-384"
								 : "P-521",
					encoded(point + 1, half), encoded(point + 1 + half, half), more);
}

static JwtKeySet *
keys_of(const char *first, const char *second)
{
	char *json = psprintf("{\"keys\":[%s%s%s]}", first, second != NULL ? "," : "",
						  second != NULL ? second : "");
	int n;

	return jwt_keys_parse(json, strlen(json), &n);
}

/* The first two parts, signed with key as alg says (HS256: with secret) */
static char *
signed_token(const char *alg, EVP_PKEY *key, const char *secret, const char *header,
			 const char *claims)
{
	char *text =
		psprintf("%s.%s", encoded(header, strlen(header)), encoded(claims, strlen(claims)));
	unsigned char signature[1024];
	size_t len = sizeof(signature);
	const char *digest = strstr(alg, "256")   ? "SHA256"
						 : strstr(alg, "384") ? "SHA384"
						 : strstr(alg, "512") ? "SHA512"
											  : NULL;
	EVP_PKEY_CTX *pkey_ctx;
	EVP_MD_CTX *ctx;

	if (alg[0] == 'H')
	{
		EVP_Q_mac(NULL, "HMAC", NULL, digest, NULL, secret, strlen(secret), (unsigned char *) text,
				  strlen(text), signature, sizeof(signature), &len);
		return psprintf("%s.%s", text, encoded(signature, len));
	}
	ctx = EVP_MD_CTX_new();
	EVP_DigestSignInit_ex(ctx, &pkey_ctx, digest, NULL, NULL, key, NULL);
	if (alg[0] == 'P')
	{
		EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING);
		EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, RSA_PSS_SALTLEN_DIGEST);
	}
	if (EVP_DigestSign(ctx, signature, &len, (unsigned char *) text, strlen(text)) != 1)
		abort();
	EVP_MD_CTX_free(ctx);
	if (EVP_PKEY_is_a(key, "EC"))
	{
		const unsigned char *der = signature;
		ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long) len);
		int half = (EVP_PKEY_get_bits(key) + 7) / 8;

		BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, half);
		BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature + half, half);
		ECDSA_SIG_free(pair);
		len = 2 * (size_t) half;
	}
	return psprintf("%s.%s", text, encoded(signature, len));
}

/* ---------- asking ---------- */

static IdTokenResult
check_as(const char *token, const JwtKeySet *keys, unsigned algorithms, const char *issuer,
		 const char *nonce)
{
	IdTokenExpectation expected = {.issuer = issuer,
								   .client_id = CLIENT,
								   .nonce = nonce,
								   .access_token = ACCESS_TOKEN,
								   .algorithms = algorithms,
								   .now = NOW};
	IdTokenResult result;

	strcpy(account.subject, "untouched");
	result = id_token_check(token, keys, &expected, &account);
	if (result != ID_TOKEN_ACCEPTED && result != ID_TOKEN_OTHER_SUBJECT &&
		strcmp(account.subject, "untouched") != 0)
		ok(false, "a refused token names nobody");
	return result;
}

static IdTokenResult
check(const char *token, const JwtKeySet *keys)
{
	return check_as(token, keys, COMMON, ISSUER, NONCE);
}

static char *
rs256(const char *claims)
{
	return signed_token("RS256", rsa, NULL, "{\"alg\":\"RS256\"}", claims);
}

static IdTokenResult
check_claims(const char *claims)
{
	return check(rs256(claims), rsa_only);
}

/* ---------- promises ---------- */

/* By what people know an account, none of which is needed */
static void
test_names(void)
{
	static const struct
	{
		const char *claims;
		const char *name;
	} cases[] = {
		{"\"email\":\"ann@example.com\",\"name\":\"Ann\"", "ann@example.com"},
		{"\"name\":\"Ann\",\"preferred_username\":\"ann\"", "ann"},
		{"\"name\":\"\u00c4nn\"", "\xc3\x84nn"},
		{"\"email\":null,\"name\":\"Ann\"", "Ann"},
		{"\"email\":{\"a\":1},\"name\":\"Ann\\nB\"", ""},
		{"\"a\":1", ""},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		strcpy(account.name, "untouched");
		ok(check_claims(psprintf("{" ISS "," AUD "," TIMES "," ONCE "," SUB ",%s}",
								 cases[i].claims)) == ID_TOKEN_ACCEPTED &&
			   strcmp(account.name, cases[i].name) == 0,
		   "%s: it is known by %s", cases[i].claims, account.name);
	}
	memset(account.name, 'x', sizeof(account.name));
	ok(check_claims(psprintf("{" ISS "," AUD "," TIMES "," ONCE "," SUB
							 ",\"email\":\"%0256d\",\"name\":\"%0255d\"}",
							 0, 0)) == ID_TOKEN_ACCEPTED &&
		   strlen(account.name) == 255,
	   "what is too long is passed over, and not cut");
}

static void
test_claims(void)
{
	static const struct
	{
		const char *promise;
		const char *claims;
		IdTokenResult result;
	} cases[] = {
		{"a good token is accepted", GOOD, ID_TOKEN_ACCEPTED},
		{"another iss is refused",
		 "{\"iss\":\"https://evil.example\"," AUD "," TIMES "," ONCE "," SUB "}", ID_TOKEN_ISSUER},
		{"iss with a slash more is another",
		 "{\"iss\":\"" ISSUER "/\"," AUD "," TIMES "," ONCE "," SUB "}", ID_TOKEN_ISSUER},
		{"no iss is refused", "{" AUD "," TIMES "," ONCE "," SUB "}", ID_TOKEN_ISSUER},
		{"a list as iss is refused",
		 "{\"iss\":[\"" ISSUER "\"]," AUD "," TIMES "," ONCE "," SUB "}", ID_TOKEN_ISSUER},
		{"iss null is refused", "{\"iss\":null," AUD "," TIMES "," ONCE "," SUB "}",
		 ID_TOKEN_ISSUER},

		{"another aud is refused", "{" ISS ",\"aud\":\"other\"," TIMES "," ONCE "," SUB "}",
		 ID_TOKEN_AUDIENCE},
		{"aud that only begins with the client id is refused",
		 "{" ISS ",\"aud\":\"" CLIENT "2\"," TIMES "," ONCE "," SUB "}", ID_TOKEN_AUDIENCE},
		{"aud in other case is refused", "{" ISS ",\"aud\":\"APP\"," TIMES "," ONCE "," SUB "}",
		 ID_TOKEN_AUDIENCE},
		{"no aud is refused", "{" ISS "," TIMES "," ONCE "," SUB "}", ID_TOKEN_AUDIENCE},
		{"an empty list as aud is refused", "{" ISS ",\"aud\":[]," TIMES "," ONCE "," SUB "}",
		 ID_TOKEN_AUDIENCE},
		{"a list of others as aud is refused",
		 "{" ISS ",\"aud\":[\"a\",\"b\"],\"azp\":\"" CLIENT "\"," TIMES "," ONCE "," SUB "}",
		 ID_TOKEN_AUDIENCE},
		{"aud nested in a list is refused",
		 "{" ISS ",\"aud\":[[\"" CLIENT "\"]]," TIMES "," ONCE "," SUB "}", ID_TOKEN_AUDIENCE},
		{"an object as aud is refused",
		 "{" ISS ",\"aud\":{\"" CLIENT "\":\"" CLIENT "\"}," TIMES "," ONCE "," SUB "}",
		 ID_TOKEN_AUDIENCE},
		{"a list of the client alone as aud is accepted",
		 "{" ISS ",\"aud\":[\"" CLIENT "\"]," TIMES "," ONCE "," SUB "}", ID_TOKEN_ACCEPTED},

		{"a second aud without azp is refused",
		 "{" ISS ",\"aud\":[\"" CLIENT "\",\"api\"]," TIMES "," ONCE "," SUB "}",
		 ID_TOKEN_AUTHORIZED_PARTY},
		{"a second aud with azp for the client is accepted",
		 "{" ISS ",\"aud\":[\"api\",\"" CLIENT "\"],\"azp\":\"" CLIENT "\"," TIMES "," ONCE "," SUB
		 "}",
		 ID_TOKEN_ACCEPTED},
		{"a second aud with azp for the other is refused",
		 "{" ISS ",\"aud\":[\"api\",\"" CLIENT "\"],\"azp\":\"api\"," TIMES "," ONCE "," SUB "}",
		 ID_TOKEN_AUTHORIZED_PARTY},
		{"one aud and another azp is refused",
		 "{" ISS "," AUD ",\"azp\":\"other\"," TIMES "," ONCE "," SUB "}",
		 ID_TOKEN_AUTHORIZED_PARTY},
		{"azp that is no string is refused",
		 "{" ISS "," AUD ",\"azp\":[\"" CLIENT "\"]," TIMES "," ONCE "," SUB "}",
		 ID_TOKEN_AUTHORIZED_PARTY},

		{"an expired token is refused",
		 "{" ISS "," AUD ",\"exp\":1699999940," IAT "," ONCE "," SUB "}", ID_TOKEN_EXPIRED},
		{"a clock that differs by less than a minute is forgiven",
		 "{" ISS "," AUD ",\"exp\":1699999941,\"iat\":1700000060," ONCE "," SUB "}",
		 ID_TOKEN_ACCEPTED},
		{"no exp is refused", "{" ISS "," AUD "," IAT "," ONCE "," SUB "}", ID_TOKEN_EXPIRED},
		{"exp as text is refused",
		 "{" ISS "," AUD ",\"exp\":\"1700000600\"," IAT "," ONCE "," SUB "}", ID_TOKEN_EXPIRED},
		{"exp null is refused", "{" ISS "," AUD ",\"exp\":null," IAT "," ONCE "," SUB "}",
		 ID_TOKEN_EXPIRED},
		{"a negative exp is refused",
		 "{" ISS "," AUD ",\"exp\":-1700000600," IAT "," ONCE "," SUB "}", ID_TOKEN_EXPIRED},
		{"an exp beyond every clock is refused",
		 "{" ISS "," AUD ",\"exp\":99999999999999999999," IAT "," ONCE "," SUB "}",
		 ID_TOKEN_EXPIRED},
		{"an exp of 64 bits is refused, not wrapped around",
		 "{" ISS "," AUD ",\"exp\":9223372036854775807," IAT "," ONCE "," SUB "}",
		 ID_TOKEN_EXPIRED},
		{"an exp after the year 9999 is refused",
		 "{" ISS "," AUD ",\"exp\":253402300800," IAT "," ONCE "," SUB "}", ID_TOKEN_EXPIRED},
		{"a fraction of a second is allowed",
		 "{" ISS "," AUD ",\"exp\":1700000600.5,\"iat\":1699999990.25," ONCE "," SUB "}",
		 ID_TOKEN_ACCEPTED},

		{"a token of the future is refused",
		 "{" ISS "," AUD "," EXP ",\"iat\":1700000061," ONCE "," SUB "}", ID_TOKEN_ISSUED_AT},
		{"a time before 1970 is one", "{" ISS "," AUD "," EXP ",\"iat\":-1," ONCE "," SUB "}",
		 ID_TOKEN_ACCEPTED},
		{"no iat is refused", "{" ISS "," AUD "," EXP "," ONCE "," SUB "}", ID_TOKEN_ISSUED_AT},
		{"iat as text is refused",
		 "{" ISS "," AUD "," EXP ",\"iat\":\"1699999990\"," ONCE "," SUB "}", ID_TOKEN_ISSUED_AT},
		{"iat is any number", "{" ISS "," AUD "," EXP ",\"iat\":16999999.9e2," ONCE "," SUB "}",
		 ID_TOKEN_ACCEPTED},

		{"the nonce of another flow is refused",
		 "{" ISS "," AUD "," TIMES ",\"nonce\":\"another\"," SUB "}", ID_TOKEN_NONCE},
		{"no nonce is refused where one was sent", "{" ISS "," AUD "," TIMES "," SUB "}",
		 ID_TOKEN_NONCE},
		{"a list as nonce is refused",
		 "{" ISS "," AUD "," TIMES ",\"nonce\":[\"" NONCE "\"]," SUB "}", ID_TOKEN_NONCE},
		{"an empty nonce is refused", "{" ISS "," AUD "," TIMES ",\"nonce\":\"\"," SUB "}",
		 ID_TOKEN_NONCE},

		{"no sub is refused", "{" ISS "," AUD "," TIMES "," ONCE "}", ID_TOKEN_SUBJECT},
		{"an empty sub is refused", "{" ISS "," AUD "," TIMES "," ONCE ",\"sub\":\"\"}",
		 ID_TOKEN_SUBJECT},
		{"a number as sub is refused", "{" ISS "," AUD "," TIMES "," ONCE ",\"sub\":7}",
		 ID_TOKEN_SUBJECT},
		{"a sub beyond ASCII is refused",
		 "{" ISS "," AUD "," TIMES "," ONCE ",\"sub\":\"\\u00e4nne\"}", ID_TOKEN_SUBJECT},
		{"a line end in sub is refused",
		 "{" ISS "," AUD "," TIMES "," ONCE ",\"sub\":\"ann\\nbob\"}", ID_TOKEN_SUBJECT},
		{"DEL in sub is refused", "{" ISS "," AUD "," TIMES "," ONCE ",\"sub\":\"ann\x7f\"}",
		 ID_TOKEN_SUBJECT},
		{"a NUL in sub is refused", "{" ISS "," AUD "," TIMES "," ONCE ",\"sub\":\"ann\\u0000\"}",
		 ID_TOKEN_MALFORMED},

		{"sub given twice is refused",
		 "{" ISS "," AUD "," TIMES "," ONCE "," SUB ",\"sub\":\"bob\"}", ID_TOKEN_MALFORMED},
		{"claims that are a list are refused", "[" GOOD "]", ID_TOKEN_MALFORMED},
		{"claims that are null are refused", "null", ID_TOKEN_MALFORMED},
		{"no claims are refused", "", ID_TOKEN_MALFORMED},
		{"claims cut short are refused", "{" ISS "," AUD, ID_TOKEN_MALFORMED},
		{"claims followed by something are refused", GOOD "x", ID_TOKEN_MALFORMED},
		{"claims that are not UTF-8 are refused",
		 "{" ISS "," AUD "," TIMES "," ONCE "," SUB ",\"x\":\"\xff\"}", ID_TOKEN_MALFORMED},
	};
	char *text;
	char sub[MAX_SUBJECT + 2];

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		IdTokenResult result = check_claims(cases[i].claims);

		ok(result == cases[i].result, "%s (%s)", cases[i].promise, id_token_result_text(result));
	}

	(void) check_claims(GOOD);
	ok(strcmp(account.subject, "ann") == 0, "sub of an accepted token is the subject");
	test_names();
	memset(sub, 'x', sizeof(sub));
	sub[MAX_SUBJECT + 1] = '\0';
	text = psprintf("{" ISS "," AUD "," TIMES "," ONCE ",\"sub\":\"%s\"}", sub);
	ok(check_claims(text) == ID_TOKEN_SUBJECT, "a sub of 256 characters is refused");
	text = psprintf("{" ISS "," AUD "," TIMES "," ONCE ",\"sub\":\"%s\"}", sub + 1);
	ok(check_claims(text) == ID_TOKEN_ACCEPTED && strcmp(account.subject, sub + 1) == 0,
	   "a sub of 255 characters is accepted whole");

	ok(check_as(rs256("{" ISS "," AUD "," TIMES "," SUB "}"), rsa_only, COMMON, ISSUER, NULL) ==
		   ID_TOKEN_ACCEPTED,
	   "without a nonce sent none is needed");
	text = rs256("{\"iss\":\"https://login.example/7f/v2\"," AUD "," TIMES "," ONCE "," SUB "}");
	ok(check_as(text, rsa_only, COMMON, "https://login.example/{tenantid}/v2", NONCE) ==
		   ID_TOKEN_ACCEPTED,
	   "an issuer of many tenants is any of them");
	ok(check_as(text, rsa_only, COMMON, "https://other.example/{tenantid}/v2", NONCE) ==
		   ID_TOKEN_ISSUER,
	   "and nobody else");
}

static void
test_signature(void)
{
	char *good = rs256(GOOD);
	char *public = jwk(rsa, "");
	char *flipped;
	char *none;
	int n_accepted = 0;
	char *dot = strrchr(good, '.');

	ok(check(signed_token("RS256", other_rsa, NULL, "{\"alg\":\"RS256\"}", GOOD), rsa_only) ==
		   ID_TOKEN_SIGNATURE,
	   "somebody else's signature is refused");
	for (size_t i = 0; i < strlen(good); i += 7)
	{
		flipped = pstrdup(good);
		/* the low bits of the last character of a part may not count; 'A' to 'Q' is a high one */
		flipped[i] = flipped[i] == 'A' ? 'Q' : 'A';
		n_accepted += strcmp(flipped, good) != 0 && check(flipped, rsa_only) == ID_TOKEN_ACCEPTED;
	}
	ok(n_accepted == 0, "a character altered anywhere is refused");
	flipped = pstrdup(good);
	flipped[dot - good + 10] ^=
		flipped[dot - good + 10] == 'B' ? 'B' ^ 'C' : flipped[dot - good + 10] ^ 'B';
	ok(check(flipped, rsa_only) == ID_TOKEN_SIGNATURE, "a flipped signature is told as such");

	none = psprintf("%s.%s.", encoded("{\"alg\":\"none\"}", 14), encoded(GOOD, strlen(GOOD)));
	ok(check(none, rsa_only) != ID_TOKEN_ACCEPTED, "alg none without a signature is refused");
	none = psprintf("%s.%s%s", encoded("{\"alg\":\"none\"}", 14), encoded(GOOD, strlen(GOOD)), dot);
	ok(check_as(none, rsa_only, ~0u, ISSUER, NONCE) == ID_TOKEN_SIGNATURE,
	   "alg none with one is refused, whatever is allowed");
	none = psprintf("%s.%s%s", encoded("{\"alg\":\"nOnE\"}", 14), encoded(GOOD, strlen(GOOD)), dot);
	ok(check_as(none, rsa_only, ~0u, ISSUER, NONCE) == ID_TOKEN_SIGNATURE, "however it is written");
	none = psprintf("%s.%s%s", encoded("{\"typ\":\"JWT\"}", 13), encoded(GOOD, strlen(GOOD)), dot);
	ok(check(none, rsa_only) == ID_TOKEN_MALFORMED, "no alg is refused");
	ok(check(psprintf("%s.%s%s", encoded("[]", 2), encoded(GOOD, strlen(GOOD)), dot), rsa_only) ==
		   ID_TOKEN_MALFORMED,
	   "a header that is no object is refused");

	ok(check(signed_token("HS256", NULL, public, "{\"alg\":\"HS256\"}", GOOD), rsa_only) ==
		   ID_TOKEN_SIGNATURE,
	   "the public key is no secret of HS256");
	ok(check_as(signed_token("HS256", NULL, public, "{\"alg\":\"HS256\"}", GOOD), rsa_only, ~0u,
				ISSUER, NONCE) != ID_TOKEN_ACCEPTED,
	   "not even where HS256 is allowed");
	ok(check_as(good, rsa_only, JWT_ES256, ISSUER, NONCE) == ID_TOKEN_SIGNATURE,
	   "an algorithm that is not the one fixed beforehand is refused");
	ok(check_as(signed_token("PS256", rsa, NULL, "{\"alg\":\"PS256\"}", GOOD),
				keys_of(jwk(rsa, ",\"alg\":\"RS256\""), NULL), COMMON, ISSUER,
				NONCE) == ID_TOKEN_KEY_NOT_FOUND,
	   "a key that is for RS256 does not do for PS256");
	ok(check(signed_token("RS256", rsa, NULL, "{\"alg\":\"RS256\",\"crit\":[\"x\"],\"x\":1}", GOOD),
			 rsa_only) == ID_TOKEN_SIGNATURE,
	   "an unknown critical header is refused");
	ok(check("", rsa_only) == ID_TOKEN_MALFORMED, "an empty token is refused");
	ok(check("a.b", rsa_only) == ID_TOKEN_MALFORMED, "two parts are refused");
	ok(check(psprintf("%s.x", good), rsa_only) == ID_TOKEN_MALFORMED, "four parts are refused");
}

static void
test_keys(void)
{
	char *one = jwk(rsa, ",\"kid\":\"one\"");
	char *two = jwk(other_rsa, ",\"kid\":\"two\"");
	char *named = signed_token("RS256", rsa, NULL, "{\"alg\":\"RS256\",\"kid\":\"one\"}", GOOD);
	char *unknown = signed_token("RS256", rsa, NULL, "{\"alg\":\"RS256\",\"kid\":\"new\"}", GOOD);
	char *ec = signed_token("ES256", p256, NULL, "{\"alg\":\"ES256\"}", GOOD);

	ok(check(rs256(GOOD), keys_of(one, NULL)) == ID_TOKEN_ACCEPTED,
	   "without a kid the only key will do");
	ok(check(rs256(GOOD), keys_of(one, two)) == ID_TOKEN_SIGNATURE,
	   "without a kid none of several is tried");
	ok(check(named, keys_of(one, two)) == ID_TOKEN_ACCEPTED, "with a kid it is that key");
	ok(check(named, keys_of(two, one)) == ID_TOKEN_ACCEPTED, "wherever it stands");
	ok(check(signed_token("RS256", rsa, NULL, "{\"alg\":\"RS256\",\"kid\":\"two\"}", GOOD),
			 keys_of(one, two)) == ID_TOKEN_SIGNATURE,
	   "and only that key");
	ok(check(unknown, keys_of(one, two)) == ID_TOKEN_KEY_NOT_FOUND,
	   "an unknown kid says that the keys should be fetched again");
	ok(check(unknown, keys_of(one, NULL)) == ID_TOKEN_KEY_NOT_FOUND, "also with one key");
	ok(check(ec, keys_of(one, jwk(p256, ""))) == ID_TOKEN_ACCEPTED,
	   "a key of another type is no candidate");
	ok(check(ec, keys_of(one, two)) == ID_TOKEN_KEY_NOT_FOUND,
	   "no key of the type says that the keys should be fetched again");
	ok(check(named, keys_of("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}", one)) ==
		   ID_TOKEN_ACCEPTED,
	   "a key that cannot be parsed does not hurt a good one");
	ok(check(named, keys_of("{\"kty\":\"quantum\",\"kid\":\"one\"}", one)) == ID_TOKEN_ACCEPTED,
	   "nor does one of an unknown type with the same kid");
	ok(check(rs256(GOOD), keys_of(jwk(rsa, ",\"use\":\"enc\""), NULL)) == ID_TOKEN_KEY_NOT_FOUND,
	   "a key for encryption does not verify");
}

/* at_hash is half of the digest that goes with the algorithm. */
static void
test_access_token_hash(void)
{
	const struct
	{
		const char *alg;
		EVP_PKEY *key;
		const char *digest;
	} cases[] = {{"RS256", rsa, "SHA256"},  {"PS256", rsa, "SHA256"},    {"RS384", rsa, "SHA384"},
				 {"RS512", rsa, "SHA512"},  {"ES256", p256, "SHA256"},   {"ES384", p384, "SHA384"},
				 {"ES512", p521, "SHA512"}, {"EdDSA", ed25519, "SHA512"}};
	static const char *const wrong[] = {"\"\"", "\"x\"", "null", "7", "[]", "\"====\""};
	char too_long[400];
	const char *claims = "{" ISS "," AUD "," TIMES "," ONCE "," SUB ",\"at_hash\":%s}";

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		unsigned char digest[EVP_MAX_MD_SIZE];
		unsigned char other[EVP_MAX_MD_SIZE];
		size_t size;
		JwtKeySet *keys = keys_of(jwk(cases[i].key, ""), NULL);
		char *header = psprintf("{\"alg\":\"%s\"}", cases[i].alg);
		const struct
		{
			const char *what;
			char *hash;
			IdTokenResult result;
		} hashes[] = {
			{"the access token's hash is accepted",
			 (EVP_Q_digest(NULL, cases[i].digest, NULL, ACCESS_TOKEN, strlen(ACCESS_TOKEN), digest,
						   &size),
			  encoded(digest, size / 2)),
			 ID_TOKEN_ACCEPTED},
			{"all of the hash is refused", encoded(digest, size), ID_TOKEN_ACCESS_TOKEN_HASH},
			{"less than half of it is refused", encoded(digest, size / 2 - 1),
			 ID_TOKEN_ACCESS_TOKEN_HASH},
			{"the right half is refused", encoded(digest + size / 2, size / 2),
			 ID_TOKEN_ACCESS_TOKEN_HASH},
			{"another token's is refused",
			 (EVP_Q_digest(NULL, cases[i].digest, NULL, "other", 5, other, &size),
			  encoded(other, size / 2)),
			 ID_TOKEN_ACCESS_TOKEN_HASH},
		};

		for (size_t j = 0; j < lengthof(hashes); j++)
		{
			char *text = psprintf(claims, psprintf("\"%s\"", hashes[j].hash));
			char *token = signed_token(cases[i].alg, cases[i].key, NULL, header, text);

			ok(check_as(token, keys, ~0u, ISSUER, NONCE) == hashes[j].result, "%s: %s",
			   cases[i].alg, hashes[j].what);
		}
	}
	for (size_t i = 0; i < lengthof(wrong); i++)
		ok(check_claims(psprintf(claims, wrong[i])) == ID_TOKEN_ACCESS_TOKEN_HASH,
		   "at_hash %s is refused", wrong[i]);
	snprintf(too_long, sizeof(too_long), "\"%0*d\"", 360, 0);
	ok(check_claims(psprintf(claims, too_long)) == ID_TOKEN_ACCESS_TOKEN_HASH,
	   "an at_hash that is far too long is refused");
}

/* What an exchange may be told to forgive, and what a refresh asks for */
static void
test_expectations(void)
{
	IdTokenExpectation refreshed = {.issuer = ISSUER,
									.client_id = CLIENT,
									.subject = "ann",
									.access_token = ACCESS_TOKEN,
									.algorithms = COMMON,
									.now = NOW,
									.issued_from = NOW - 10,
									.key_optional = true};
	IdTokenExpectation lenient = {.issuer = ISSUER,
								  .client_id = CLIENT,
								  .nonce = NONCE,
								  .nonce_optional = true,
								  .access_token = ACCESS_TOKEN,
								  .algorithms = COMMON,
								  .now = NOW};
	static const struct
	{
		const char *promise;
		bool at_refresh;
		const char *claims;
		IdTokenResult result;
	} cases[] = {
		{"an optional nonce may be there", false, GOOD, ID_TOKEN_ACCEPTED},
		{"or not", false, "{" ISS "," AUD "," TIMES "," SUB "}", ID_TOKEN_ACCEPTED},
		{"but not be another", false, "{" ISS "," AUD "," TIMES ",\"nonce\":\"another\"," SUB "}",
		 ID_TOKEN_NONCE},
		{"nor empty", false, "{" ISS "," AUD "," TIMES ",\"nonce\":\"\"," SUB "}", ID_TOKEN_NONCE},
		{"nor null", false, "{" ISS "," AUD "," TIMES ",\"nonce\":null," SUB "}", ID_TOKEN_NONCE},

		{"a new token of the same account is accepted", true, "{" ISS "," AUD "," TIMES "," SUB "}",
		 ID_TOKEN_ACCEPTED},
		{"whatever its nonce", true, GOOD, ID_TOKEN_ACCEPTED},
		{"one of another account is refused", true, "{" ISS "," AUD "," TIMES ",\"sub\":\"bob\"}",
		 ID_TOKEN_OTHER_SUBJECT},
		{"also of one whose name begins so", true, "{" ISS "," AUD "," TIMES ",\"sub\":\"anna\"}",
		 ID_TOKEN_OTHER_SUBJECT},
		{"however old it is", true,
		 "{" ISS "," AUD ",\"exp\":1600000000,\"iat\":1599990000,\"sub\":\"bob\"}",
		 ID_TOKEN_OTHER_SUBJECT},
		{"or without times", true, "{" ISS "," AUD ",\"sub\":\"bob\"}", ID_TOKEN_OTHER_SUBJECT},
		{"though not for one that is of another access token", true,
		 "{" ISS "," AUD "," TIMES ",\"sub\":\"bob\",\"at_hash\":\"AAAAAAAAAAAAAAAAAAAAAA\"}",
		 ID_TOKEN_ACCESS_TOKEN_HASH},
		{"or of nobody", true, "{" ISS "," AUD "," TIMES "}", ID_TOKEN_SUBJECT},
		{"or for another client", true, "{" ISS ",\"aud\":\"other\"," TIMES ",\"sub\":\"bob\"}",
		 ID_TOKEN_AUDIENCE},
		{"from another issuer", true,
		 "{\"iss\":\"https://evil.example\"," AUD "," TIMES "," SUB "}", ID_TOKEN_ISSUER},
		{"for another client", true, "{" ISS ",\"aud\":\"other\"," TIMES "," SUB "}",
		 ID_TOKEN_AUDIENCE},
		{"or party", true, "{" ISS "," AUD ",\"azp\":\"other\"," TIMES "," SUB "}",
		 ID_TOKEN_AUTHORIZED_PARTY},
		{"that has expired", true, "{" ISS "," AUD ",\"exp\":1699999900," IAT "," SUB "}",
		 ID_TOKEN_EXPIRED},
		{"issued before the account was connected", true,
		 "{" ISS "," AUD "," EXP ",\"iat\":1699999929," SUB "}", ID_TOKEN_ISSUED_BEFORE},
		{"but not for a clock that differs by a minute", true,
		 "{" ISS "," AUD "," EXP ",\"iat\":1699999930," SUB "}", ID_TOKEN_ACCEPTED},
		{"for another access token", true,
		 "{" ISS "," AUD "," TIMES "," SUB ",\"at_hash\":\"AAAAAAAAAAAAAAAAAAAAAA\"}",
		 ID_TOKEN_ACCESS_TOKEN_HASH},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		IdTokenExpectation *expected = cases[i].at_refresh ? &refreshed : &lenient;
		char *token = rs256(cases[i].claims);

		ok(id_token_check(token, rsa_only, expected, &account) == cases[i].result, "%s",
		   cases[i].promise);
		/* without its key it is the same, or nothing at all */
		ok(id_token_check(token, NULL, expected, &account) ==
			   (cases[i].at_refresh ? cases[i].result : ID_TOKEN_KEY_NOT_FOUND),
		   "%s: without keys", cases[i].promise);
	}
	ok(id_token_check(rs256(GOOD), keys_of(jwk(p256, ""), NULL), &refreshed, &account) ==
		   ID_TOKEN_ACCEPTED,
	   "where the key is not there, TLS stands for the signature");
	ok(id_token_check(signed_token("RS256", other_rsa, NULL, "{\"alg\":\"RS256\"}", GOOD), rsa_only,
					  &refreshed, &account) == ID_TOKEN_SIGNATURE,
	   "where it is, the signature counts");
	ok(id_token_check(
		   psprintf("%s.%s.", encoded("{\"alg\":\"none\"}", 14), encoded(GOOD, strlen(GOOD))), NULL,
		   &refreshed, &account) != ID_TOKEN_ACCEPTED,
	   "alg none is refused, with or without keys");
	ok(id_token_check("", NULL, &refreshed, &account) == ID_TOKEN_MALFORMED &&
		   id_token_check("a.b.c", NULL, &refreshed, &account) == ID_TOKEN_MALFORMED &&
		   id_token_check(rs256("[]"), NULL, &refreshed, &account) == ID_TOKEN_MALFORMED &&
		   id_token_check(rs256(""), NULL, &refreshed, &account) == ID_TOKEN_MALFORMED,
	   "what is no token is refused without keys as well");
}

static void
test_texts(void)
{
	int distinct = 0;

	for (int i = ID_TOKEN_ACCEPTED; i <= ID_TOKEN_OTHER_SUBJECT; i++)
		for (int j = ID_TOKEN_ACCEPTED; j < i; j++)
			distinct += strcmp(id_token_result_text(i), id_token_result_text(j)) != 0;
	ok(distinct == 14 * 13 / 2, "every result has a text of its own");
}

int
main(void)
{
	rsa = EVP_RSA_gen(2048);
	other_rsa = EVP_RSA_gen(2048);
	p256 = EVP_EC_gen("P-256");
	p384 = EVP_EC_gen("P-384");
	p521 = EVP_EC_gen("P-521");
	ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	rsa_only = keys_of(jwk(rsa, ""), NULL);

	test_claims();
	test_signature();
	test_keys();
	test_access_token_hash();
	test_expectations();
	test_texts();
	return tap_done();
}
