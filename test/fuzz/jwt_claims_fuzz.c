/* sources: src/jwt_claims.c src/json_tree.c */

/*
 * jwt_claims_fuzz.c
 *	  Any bytes as an app user template, a newline, and claims: whatever is
 *	  accepted names an app user within its room, in time, and the template's own
 *	  separator stands in it as often as in the template.
 */
#include "palloc_arena.h"

#include "jwt_claims.h"

#define ISSUER "i"
#define NOW INT64CONST(1700000000000000)
#define ROOM 65

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const char *claims, size_t len, const char *app_user_template, char *app_user)
{
	char *const audiences[] = {"app"};
	ClaimsExpectation expected = {.issuer = ISSUER,
								  .audiences = audiences,
								  .app_user_template = app_user_template,
								  .now = NOW,
								  .clock_skew = 1000000};
	int64_t expires_at = 0;

	for (expected.n_audiences = 0; expected.n_audiences <= 1; expected.n_audiences++)
	{
		ClaimsResult result = claims_check(claims, len, &expected, app_user, ROOM, &expires_at);

		if (claims_result_text(result)[0] == '\0')
			abort();
		if (result == CLAIMS_ACCEPTED &&
			(memchr(app_user, '\0', ROOM) == NULL || app_user[0] == '\0' || expires_at <= NOW ||
			 claims_template_problem(app_user_template) != NULL))
			abort();
		if (result != CLAIMS_ACCEPTED)
			app_user[0] = '\0';
	}
}

static int
count(const char *text, char c)
{
	int n = 0;

	for (; *text != '\0'; text++)
		n += *text == c;
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = memchr(data, '\n', size);
	size_t template_len = newline != NULL ? (size_t) (newline - data) : 0;
	const char *claims = (const char *) data + (newline != NULL ? template_len + 1 : 0);
	size_t len = size - (size_t) (claims - (const char *) data);
	char app_user[ROOM];

	check(claims, len, pnstrdup((const char *) data, template_len), app_user);
	check(claims, len, "{a}:{b.c}/{d}", app_user);
	if (app_user[0] != '\0' && (count(app_user, ':') != 1 || count(app_user, '/') != 1))
		abort();
	arena_reset();
	return 0;
}
