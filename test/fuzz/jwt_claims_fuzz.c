/* sources: src/oauth/jwt_claims.c src/base/json_tree.c src/base/text.c */

/*
 * jwt_claims_fuzz.c
 *	  Any bytes as the claims of a verified token, and any text as the template of
 *	  an app user: who is named is named by the claims, and by them alone.
 *
 * The template is the text before the first line end, if there is one.
 */
#include "palloc_arena.h"

#include "base/json_tree.h"
#include "oauth/jwt_claims.h"

#define NOW INT64CONST(1700000000000000)
#define SKEW INT64CONST(60000000)

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static ClaimsResult check(const char *payload, size_t len, const char *app_user_template,
						  char *app_user, size_t app_user_size);
static void check_names(const char *payload, size_t len, const char *app_user);

static ClaimsResult
check(const char *payload, size_t len, const char *app_user_template, char *app_user,
	  size_t app_user_size)
{
	static char *const audiences[] = {"api", "other"};
	ClaimsExpectation expected = {.issuer = "https://issuer.example",
								  .audiences = audiences,
								  .n_audiences = lengthof(audiences),
								  .app_user_template = app_user_template,
								  .now = NOW,
								  .clock_skew = SKEW};
	int64_t expires_at = 0;
	ClaimsResult result =
		claims_check(payload, len, &expected, app_user, app_user_size, &expires_at);

	if (result == CLAIMS_ACCEPTED &&
		(expires_at <= NOW || strlen(app_user) >= app_user_size || app_user[0] == '\0'))
		abort();
	return result;
}

/* "{org}:{sub}" falls apart into the two claims again, in one way. */
static void
check_names(const char *payload, size_t len, const char *app_user)
{
	const JsonValue *claims = json_parse_object(payload, len);
	const JsonValue *org = json_member(claims, "org");
	const JsonValue *sub = json_member(claims, "sub");
	const char *colon = strchr(app_user, ':');

	if (org == NULL || sub == NULL || colon == NULL || strchr(colon + 1, ':') != NULL)
		abort();
	if (strlen(org->text) != (size_t) (colon - app_user) ||
		memcmp(org->text, app_user, strlen(org->text)) != 0 || strcmp(sub->text, colon + 1) != 0)
		abort();
	if (org->text[0] == '\0' || sub->text[0] == '\0')
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *payload = (const char *) data;
	const char *line_end = memchr(data, '\n', size);
	char app_user[256];
	char small[4];

	if (line_end != NULL)
	{
		char *app_user_template = pnstrdup(payload, (size_t) (line_end - payload));
		const char *problem = claims_template_problem(app_user_template);

		size -= (size_t) (line_end + 1 - payload);
		payload = line_end + 1;
		if (check(payload, size, app_user_template, app_user, sizeof(app_user)) ==
				CLAIMS_ACCEPTED &&
			problem != NULL)
			abort();
		(void) check(payload, size, app_user_template, small, sizeof(small));
	}
	if (check(payload, size, "{org}:{sub}", app_user, sizeof(app_user)) == CLAIMS_ACCEPTED)
		check_names(payload, size, app_user);
	arena_reset();
	return 0;
}
