/* sources: src/oauth/jwt_claims.c src/base/json_tree.c src/base/text.c */

/*
 * jwt_claims_test.c
 *	  What jwt_claims.c promises: times, issuer and audience are checked to the
 *	  microsecond and byte, and no two sets of claims make the same app user.
 */
#include "postgres_fe.h"

#include "oauth/jwt_claims.h"
#include "tap.h"

#define ISSUER "https://issuer.example"
#define NOW INT64CONST(1700000000000000)
#define NOW_S "1700000000"

static char app_user[33];
static int64_t expires_at;

static ClaimsResult
check_with(const char *claims, ClaimsExpectation expected)
{
	memset(app_user, '?', sizeof(app_user) - 1);
	expected.issuer = ISSUER;
	if (expected.app_user_template == NULL)
		expected.app_user_template = "{sub}";
	if (expected.now == 0)
		expected.now = NOW;
	return claims_check(claims, strlen(claims), &expected, app_user, sizeof(app_user), &expires_at);
}

/* The claims given after a good iss, exp and sub */
static ClaimsResult
check_also(const char *more, ClaimsExpectation expected)
{
	char *claims = psprintf("{\"iss\":\"" ISSUER "\",\"exp\":1700000001,\"sub\":\"ann\"%s}", more);

	return check_with(claims, expected);
}

static ClaimsResult
check_template(const char *app_user_template, const char *more)
{
	return check_also(more, (ClaimsExpectation){.app_user_template = app_user_template});
}

static void
test_times(void)
{
	const ClaimsExpectation skewed = {.clock_skew = 30000000};

	ok(check_also("", (ClaimsExpectation){0}) == CLAIMS_ACCEPTED && expires_at == NOW + 1000000 &&
		   strcmp(app_user, "ann") == 0,
	   "one second before exp the claims hold, until then");
	ok(check_also("", skewed) == CLAIMS_ACCEPTED && expires_at == NOW + 31000000,
	   "and with a clock skew until then and the skew");
	ok(check_also("", (ClaimsExpectation){.now = NOW + 999999}) == CLAIMS_ACCEPTED,
	   "a microsecond before exp they hold");
	ok(check_also("", (ClaimsExpectation){.now = NOW + 1000000}) == CLAIMS_EXPIRED,
	   "at exp they do not");
	ok(check_also("", (ClaimsExpectation){.now = NOW + 31000000, .clock_skew = 30000000}) ==
		   CLAIMS_EXPIRED,
	   "nor at exp and the skew");
	ok(check_also(",\"nbf\":" NOW_S, (ClaimsExpectation){0}) == CLAIMS_ACCEPTED,
	   "at nbf they hold");
	ok(check_also(",\"nbf\":" NOW_S, (ClaimsExpectation){.now = NOW - 1}) == CLAIMS_NOT_YET_VALID,
	   "a microsecond before not");
	ok(check_also(",\"nbf\":1700000030", skewed) == CLAIMS_ACCEPTED &&
		   check_also(",\"nbf\":1700000031", skewed) == CLAIMS_NOT_YET_VALID,
	   "the skew counts for nbf");
	ok(check_also(",\"iat\":1700000030", skewed) == CLAIMS_ACCEPTED &&
		   check_also(",\"iat\":1700000031", skewed) == CLAIMS_ISSUED_AT,
	   "and for iat");

	for (const char *const *bad =
			 (const char *const[]){"\"1700000001\"", "null", "true", "1e400", "253402300800",
								   "[1700000001]", "99999999999999999999999", NULL};
		 *bad != NULL; bad++)
	{
		char *exp = psprintf("{\"iss\":\"" ISSUER "\",\"sub\":\"ann\",\"exp\":%s}", *bad);

		ok(check_with(exp, (ClaimsExpectation){0}) == CLAIMS_WITHOUT_EXPIRY, "%s is no exp", *bad);
		ok(check_also(psprintf(",\"nbf\":%s", *bad), (ClaimsExpectation){0}) ==
			   CLAIMS_NOT_YET_VALID,
		   "nor nbf");
		ok(check_also(psprintf(",\"iat\":%s", *bad), (ClaimsExpectation){0}) == CLAIMS_ISSUED_AT,
		   "nor iat");
	}
	ok(check_with("{\"iss\":\"" ISSUER "\",\"sub\":\"ann\",\"exp\":-0.5}",
				  (ClaimsExpectation){0}) == CLAIMS_EXPIRED &&
		   check_also(",\"nbf\":-62135596800,\"iat\":-1", (ClaimsExpectation){0}) ==
			   CLAIMS_ACCEPTED,
	   "a time before 1970 is long ago");
}

static void
test_numeric_dates(void)
{
	for (const char *const *past =
			 (const char *const[]){"0", "0.0", "0.5", "1", "1.5e9", "1699999999.999999", NULL};
		 *past != NULL; past++)
	{
		ok(check_also(psprintf(",\"nbf\":%s,\"iat\":%s", *past, *past), (ClaimsExpectation){0}) ==
			   CLAIMS_ACCEPTED,
		   "%s is past, for nbf and iat", *past);
		ok(check_with(psprintf("{\"iss\":\"" ISSUER "\",\"sub\":\"ann\",\"exp\":%s}", *past),
					  (ClaimsExpectation){0}) == CLAIMS_EXPIRED,
		   "and for exp");
	}
	ok(check_also(",\"nbf\":1700000000.5", (ClaimsExpectation){0}) == CLAIMS_NOT_YET_VALID &&
		   check_also(",\"nbf\":1700000000.5", (ClaimsExpectation){.now = NOW + 500000}) ==
			   CLAIMS_ACCEPTED,
	   "a fraction counts");
	ok(check_also(",\"events\":{}", (ClaimsExpectation){0}) == CLAIMS_SECURITY_EVENT &&
		   check_also(",\"events\":null", (ClaimsExpectation){0}) == CLAIMS_SECURITY_EVENT,
	   "a security event names nobody");
	for (const char *const *bad =
			 (const char *const[]){"a\\nb", "\\u0001", "\\u007f", "a\\u0085", "\\t", NULL};
		 *bad != NULL; bad++)
		ok(check_template("{n}", psprintf(",\"n\":\"%s\"", *bad)) == CLAIMS_APP_USER_CONTROL,
		   "nor does a control character");
}

static void
disjoint(bool expected, const char *a, const char *b)
{
	ok(claims_templates_disjoint(a, "https://a.example", b, "https://b.example") == expected &&
		   claims_templates_disjoint(b, "https://b.example", a, "https://a.example") == expected,
	   "%s and %s %s", a, b, expected ? "never meet" : "may make the same app user");
}

static void
test_disjoint_templates(void)
{
	disjoint(false, "{sub}", "{sub}");
	disjoint(false, "{sub}", "partner:{sub}");
	disjoint(false, "{sub}", "{a}:{b}");
	disjoint(false, "partner:{sub}", "partner:eu:{sub}");
	disjoint(false, "partner:{sub}", "partner:{org}:{sub}");
	disjoint(false, "{sub}.example", "{sub}@a.example");
	disjoint(false, "a{sub}", "{sub}z");
	disjoint(false, "a{sub}", "ab{sub}");
	disjoint(false, "{sub}b", "{sub}ab");
	disjoint(false, "{a}:{b}", "{a}/{b}");
	disjoint(false, "{a}:{b}", "x{sub}");
	disjoint(false, "{iss}|{sub}", "{sub}");
	disjoint(false, "{a}|{iss}", "{a}|{b}");
	disjoint(true, "partner:{sub}", "own:{sub}");
	disjoint(true, "a:{sub}", "b:{sub}");
	disjoint(true, "{sub}@a.example", "{sub}@b.example");
	disjoint(true, "a-{sub}-z", "a-{sub}-y");
	disjoint(true, "{a}:{b}", "{a}:{b}:{c}");
	disjoint(true, "{a}:{b}", "x:y:{sub}");
	disjoint(true, "{a}/{b}", "x/y/{c}");
	disjoint(false, "{a}/{b}", "x/{c}");
	disjoint(true, "{iss}|{sub}", "{iss}|{sub}");
	disjoint(true, "{iss}", "{iss}");
	disjoint(false, "{iss}", "https://{sub}");
	disjoint(true, "{sub}|{iss}", "{sub}|{iss}");
	disjoint(false, "{iss2}|{sub}", "{iss2}|{sub}");
}

static void
test_issuer_and_audience(void)
{
	char *const audiences[] = {"app", "https://app.example"};
	const ClaimsExpectation ours = {.audiences = audiences, .n_audiences = 2};

	ok(check_with("{\"iss\":\"" ISSUER "/\",\"exp\":1700000001,\"sub\":\"ann\"}",
				  (ClaimsExpectation){0}) == CLAIMS_ISSUER,
	   "another issuer is refused, by a slash");
	ok(check_with("{\"exp\":1700000001,\"sub\":\"ann\"}", (ClaimsExpectation){0}) == CLAIMS_ISSUER,
	   "so is none");
	ok(check_with("[]", (ClaimsExpectation){0}) == CLAIMS_MALFORMED &&
		   check_with("", (ClaimsExpectation){0}) == CLAIMS_MALFORMED,
	   "and what is no object");
	ok(check_also(",\"aud\":\"anything\"", (ClaimsExpectation){0}) == CLAIMS_ACCEPTED,
	   "where no audience is expected any is accepted");
	ok(check_also(",\"aud\":\"app\"", ours) == CLAIMS_ACCEPTED &&
		   check_also(",\"aud\":[\"x\",\"https://app.example\"]", ours) == CLAIMS_ACCEPTED,
	   "a string or one of several may name any of the expected");
	for (const char *const *bad =
			 (const char *const[]){"", ",\"aud\":\"App\"", ",\"aud\":\"app \"", ",\"aud\":\"\"",
								   ",\"aud\":[]", ",\"aud\":null", ",\"aud\":[[\"app\"]]",
								   ",\"aud\":{\"app\":\"app\"}", ",\"aud\":1", NULL};
		 *bad != NULL; bad++)
		ok(check_also(*bad, ours) == CLAIMS_AUDIENCE, "not named by {%s}", *bad);
}

static void
test_templates(void)
{
	ok(check_template("{org}:{sub}", ",\"org\":\"acme\"") == CLAIMS_ACCEPTED &&
		   strcmp(app_user, "acme:ann") == 0,
	   "two claims make an app user");
	ok(check_template("a-{sub}-z", "") == CLAIMS_ACCEPTED && strcmp(app_user, "a-ann-z") == 0,
	   "between other text");
	ok(check_template("{org}:{sub}", ",\"org\":\"acme:x\"") == CLAIMS_APP_USER_AMBIGUOUS,
	   "one that holds the separator is refused");
	ok(check_template("{org} at {sub}", ",\"org\":\"a\"") == CLAIMS_APP_USER_AMBIGUOUS &&
		   check_template("{org}@|{sub}", ",\"org\":\"a|b\"") == CLAIMS_APP_USER_AMBIGUOUS,
	   "or any character of it");
	ok(check_template("{a}:{b}/{sub}", ",\"a\":\"x/y\",\"b\":\"z\"") == CLAIMS_APP_USER_AMBIGUOUS,
	   "also of one further on");
	ok(check_template(":{sub}/", ",\"sub2\":1") == CLAIMS_ACCEPTED,
	   "text at the ends is no separator");
	ok(check_template("{a.b.c}", ",\"a\":{\"b\":{\"c\":\"deep\"}}") == CLAIMS_ACCEPTED &&
		   strcmp(app_user, "deep") == 0,
	   "dots lead into objects");
	ok(check_template("{a.b}", ",\"a.b\":\"flat\"") == CLAIMS_WITHOUT_APP_USER,
	   "and not to a name with dots");
	ok(check_template("{https://x.example/id}", ",\"https://x.example/id\":\"7\"") ==
			   CLAIMS_ACCEPTED &&
		   strcmp(app_user, "7") == 0,
	   "but a URL is a name");
	ok(check_template("{n}", ",\"n\":-42") == CLAIMS_ACCEPTED && strcmp(app_user, "-42") == 0,
	   "an integer is taken as it is written");
	for (const char *const *bad = (const char *const[]){"1.0", "1e3", "\"\"", "null", "false",
														"[\"x\"]", "{\"x\":\"y\"}", NULL};
		 *bad != NULL; bad++)
		ok(check_template("{n}", psprintf(",\"n\":%s", *bad)) == CLAIMS_WITHOUT_APP_USER,
		   "%s names nobody", *bad);
	ok(check_template("{sub}{org}", ",\"org\":\"x\"") == CLAIMS_WITHOUT_APP_USER,
	   "a template that is none names nobody");
	ok(check_template("{n}", ",\"n\":\"0123456789abcdef0123456789abcdef\"") == CLAIMS_ACCEPTED &&
		   strlen(app_user) == 32,
	   "an app user may fill its room");
	ok(check_template("{n}", ",\"n\":\"0123456789abcdef0123456789abcdef0\"") ==
			   CLAIMS_APP_USER_TOO_LONG &&
		   check_template("{n}.", ",\"n\":\"0123456789abcdef0123456789abcdef\"") ==
			   CLAIMS_APP_USER_TOO_LONG,
	   "and not more");

	for (const char *const *good =
			 (const char *const[]){"{sub}", "{a}:{b}", "x{a.b}y", "{https://a.example/b}", NULL};
		 *good != NULL; good++)
		ok(claims_template_problem(*good) == NULL, "%s is a template", *good);
	for (const char *const *bad =
			 (const char *const[]){"", "sub", "{}", "{sub", "sub}", "{a}{b}", "{a{b}}", "{a}}",
								   "{a}:{}", "{a}\t{b}", "{\xc3\xbc}", NULL};
		 *bad != NULL; bad++)
		ok(claims_template_problem(*bad) != NULL, "\"%s\" is none", *bad);
	ok(claims_template_problem(psprintf("{%0255d}", 0)) != NULL, "nor is one of 257 bytes");
}

int
main(void)
{
	test_times();
	test_numeric_dates();
	test_disjoint_templates();
	test_issuer_and_audience();
	test_templates();
	return tap_done();
}
