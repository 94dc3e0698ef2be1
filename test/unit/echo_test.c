/* sources: src/oauth/echo.c src/oauth/request.c src/base/base64.c src/base/secret.c */
/*
 * echo_test.c
 *	  What a server repeats of what it was sent in confidence is taken out of its words,
 *	  and of the rest nothing.
 */
#include "postgres_fe.h"

#include <time.h>

#include "oauth/echo.h"
#include "oauth/request.h"
#include "tap.h"

#define TOKEN "8xLOxBtZp8-refresh_token.of~Alice"

static char words[2048];

static bool
masked(const char *given, const char *secret, const char *expected)
{
	strcpy(words, given);
	echo_mask(words, &secret, 1);
	if (strcmp(words, expected) != 0)
		printf("# \"%s\"\n", words);
	return strcmp(words, expected) == 0;
}

static void
test_secrets(void)
{
	ok(masked("token " TOKEN " is not valid", TOKEN, "token *** is not valid"), "a token");
	ok(masked(TOKEN, TOKEN, "***"), "alone");
	ok(masked("'" TOKEN "'" TOKEN "'", TOKEN, "'***'***'"), "more than once");
	ok(masked(TOKEN TOKEN, TOKEN, "***"), "in a row");
	ok(masked("token 8xLOxBtZ... is not valid", TOKEN, "token ***... is not valid"),
	   "its beginning");
	ok(masked("token ...f~Alice", TOKEN, "token ...f~Alice"), "fewer than eight bytes say nothing");
	ok(masked("ends in n.of~Alice", TOKEN, "ends in ***"), "its end");
	ok(masked("a-refresh_token-b", TOKEN, "a***-b"), "a part of it, whatever that is");
	ok(masked("refresh token is not valid", TOKEN, "refresh token is not valid"),
	   "what is not in it stays");
	ok(masked("", TOKEN, "") && masked("token", "", "token") && masked("token", NULL, "token"),
	   "nothing of nothing");
	ok(masked("is 8xLOxBtZp8?refresh?token", "8xLOxBtZp8\xc3refresh\ntoken", "is ***"),
	   "a secret as it is shown");
}

static void
test_several(void)
{
	static const char *const secrets[] = {"refresh-token-of-mallory", NULL,
										  "access-token-of-mallory"};

	strcpy(words, "either access-token-of-mallory or refresh-token-of-mallory");
	echo_mask(words, secrets, lengthof(secrets));
	ok(strcmp(words, "either *** or ***") == 0,
	   "secrets that have much in common leave nothing of each other");
}

static void
test_short_secrets(void)
{
	ok(masked("secret s3cret is wrong, not s3crets or as3cret", "s3cret",
			  "secret *** is wrong, not s3crets or as3cret"),
	   "a short secret is taken out as a word");
	ok(masked("bad_client_secret", "secret", "bad_client_secret"), "and not out of a word");
	ok(masked("x:ab.", "ab", "x:**."), "a mask is no longer than what it is for");
	ok(masked("s3cret", "s3cret", "***"), "alone");
}

static void
test_client(void)
{
	OAuthClient client = {.client_id = "app", .client_secret = "p%ss: w+rd/1"};
	char *header = basic_authorization(&client);

	sprintf(words, "Header %s, or p%%ss: w+rd/1", header);
	echo_mask_client(words, &client);
	ok(strcmp(words, "Header Basic ***, or ***") == 0, "what a client authenticates with");
	client.auth_method = CLIENT_SECRET_POST;
	strcpy(words, "secret p%ss: w+rd/1 of app");
	echo_mask_client(words, &client);
	ok(strcmp(words, "secret *** of app") == 0, "in the body");
	client = (OAuthClient){.client_id = "app", .auth_method = CLIENT_AUTH_NONE};
	strcpy(words, "app has no secret");
	echo_mask_client(words, &client);
	ok(strcmp(words, "app has no secret") == 0, "or without one");
}

static void
test_tokens(void)
{
	strcpy(words, "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJib2IifQ.c2lnbmF0dXJl, given to bob");
	echo_mask_tokens(words);
	ok(strcmp(words, "Bearer ***, given to bob") == 0, "what could be anybody's token");
	strcpy(words, "1//0gXk-_3456789012345678901234567890123456789");
	echo_mask_tokens(words);
	ok(strcmp(words, "***") == 0, "alone");
	strcpy(words, "the_provider_says_in_so_many_words_that_it_is_not_so");
	echo_mask_tokens(words);
	ok(strstr(words, "***") == NULL, "and no code in words, however long");
	strcpy(words, "AADSTS70000: Trace ID: 5cd5cbdd-4b6a-4a3c-9d0e-2f1f0c1c2b00 Timestamp: "
				  "2026-11-30T22:24:46Z see https://docs.example/errors/70000?code=x");
	echo_mask_tokens(words);
	ok(strstr(words, "***") == NULL, "but no identifier to ask the provider about");
}

/* Whatever a server makes of a token and of its answer, one walk along it */
static void
test_cost(void)
{
	char *secret = malloc(65537);
	clock_t start = clock();

	memset(secret, 'a', 65536);
	secret[65536] = '\0';
	for (int i = 0; i < 100; i++)
	{
		memset(words, 'a', 200);
		for (int j = 7; j < 200; j += 8)
			words[j] = 'b';
		words[200] = '\0';
		echo_mask(words, (const char *const *) &secret, 1);
	}
	ok(strlen(words) == 200, "a text that comes near it everywhere stays");
	ok((double) (clock() - start) / CLOCKS_PER_SEC / 100 < 0.05, "and takes no time");
	free(secret);

	memset(words, 'x', 2000);
	words[2000] = '\0';
	echo_mask(words, &(const char *){"xxxxxxxx"}, 1);
	ok(strcmp(words, "***") == 0, "what is too long is cut off");
}

int
main(void)
{
	test_secrets();
	test_several();
	test_short_secrets();
	test_client();
	test_tokens();
	test_cost();
	return tap_done();
}
