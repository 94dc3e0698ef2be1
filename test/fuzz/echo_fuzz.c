/* sources: src/oauth/echo.c src/oauth/request.c src/base/base64.c */
/*
 * echo_fuzz.c
 *	  A server repeats what it was sent: no eight bytes of it are left in its words, and
 *	  these never grow.
 *
 * The input is the secret, a line end, and what the server says.
 */
#include "postgres_fe.h"

#include "oauth/echo.h"
#include "oauth/request.h"
#include "secret_memory.h"

#define RUN 8

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Is any run of the secret, as it is shown, in the text? */
static bool
repeats(const char *words, const char *secret)
{
	size_t len = strlen(secret);
	char run[RUN + 1];

	for (size_t i = 0; i + RUN <= len; i++)
	{
		for (int j = 0; j < RUN; j++)
			run[j] = secret[i + j] >= 0x20 && secret[i + j] <= 0x7e ? secret[i + j] : '?';
		run[RUN] = '\0';
		/* which may come about where a part was taken out */
		if (strchr(run, '*') == NULL && strstr(words, run) != NULL)
			return true;
	}
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *secret = pnstrdup((const char *) data, size);
	char *end = strchr(secret, '\n');
	char *words = end != NULL ? end + 1 : secret + strlen(secret);
	OAuthClient client = {.client_id = "app", .client_secret = secret};
	size_t len;

	if (end != NULL)
		*end = '\0';
	for (char *c = words; *c != '\0'; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
	len = strlen(words);
	echo_mask_tokens(words);
	CHECK(strlen(words) <= len);
	echo_mask_client(words, &client);
	CHECK(strlen(words) <= len);
	CHECK(!repeats(words, secret));
	pfree(secret);
	forget_secrets();
	return 0;
}
