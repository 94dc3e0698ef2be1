/*
 * echo.c
 *	  Taking out of a server's words what it was sent in confidence.
 *
 * Servers quote what they refuse ("token 8xLOxBtZp8 is not valid"), in whole or in part, and
 * their words go to people who must not know it.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "base/secret.h"
#include "oauth/echo.h"
#include "oauth/request.h"

#define MASK "***"
#define RUN 8          /* bytes, which are one number below */
#define MAX_TEXT 1024  /* bytes; what is beyond is cut off */
#define MIN_TOKEN 40   /* characters; an identifier to ask the provider about (UUID) has 36 */
#define N_BUCKETS 4096 /* bits, a power of 2 */

/* Which bytes of a text are to go */
typedef struct Marks
{
	bool marked[MAX_TEXT];
	size_t len;
} Marks;

static void
mark(Marks *marks, size_t start, size_t len)
{
	memset(marks->marked + start, true, len);
}

/* As sanitize_provider_text shows it */
static unsigned char
shown(char c)
{
	return c >= 0x20 && c <= 0x7e ? (unsigned char) c : '?';
}

static unsigned
bucket_of(uint64_t run)
{
	return (unsigned) ((run * UINT64CONST(0x9e3779b97f4a7c15)) >> 52) % N_BUCKETS;
}

/*
 * Every run of the secret is looked up among those of the text, so that the time is that of
 * one walk along the secret, whatever a server makes of either.
 */
static void
mark_runs(Marks *marks, const char *text, const char *secret)
{
	uint64_t runs[MAX_TEXT];
	bool buckets[N_BUCKETS] = {false};
	uint64_t run = 0;
	size_t n_runs = 0;

	for (size_t i = 0; i < marks->len; i++)
	{
		run = run << 8 | shown(text[i]);
		if (i + 1 < RUN)
			continue;
		runs[n_runs++] = run;
		buckets[bucket_of(run)] = true;
	}
	for (size_t i = 0; secret[i] != '\0'; i++)
	{
		run = run << 8 | shown(secret[i]);
		if (i + 1 < RUN || !buckets[bucket_of(run)])
			continue;
		for (size_t j = 0; j < n_runs; j++)
			if (runs[j] == run)
				mark(marks, j, RUN);
	}
}

static bool
is_word_part(char c)
{
	return isalnum((unsigned char) c) || c == '_';
}

static void
mark_word(Marks *marks, const char *text, const char *secret)
{
	size_t len = strlen(secret);

	for (const char *at = strstr(text, secret); at != NULL; at = strstr(at + 1, secret))
		if ((at == text || !is_word_part(at[-1])) && !is_word_part(at[len]))
			mark(marks, (size_t) (at - text), len);
}

/* Writes the text anew without what is marked; a mask is never longer than that. */
static void
apply_marks(const Marks *marks, char *text)
{
	size_t to = 0;

	for (size_t i = 0; i < marks->len;)
	{
		size_t end = i;

		if (!marks->marked[i])
		{
			text[to++] = text[i++];
			continue;
		}
		while (end < marks->len && marks->marked[end])
			end++;
		for (size_t j = 0; j < Min(end - i, strlen(MASK)); j++)
			text[to++] = MASK[j];
		i = end;
	}
	text[to] = '\0';
}

static void
init_marks(Marks *marks, char *text)
{
	memset(marks->marked, false, sizeof(marks->marked));
	marks->len = strnlen(text, MAX_TEXT);
	text[marks->len] = '\0';
}

static void
mark_secret(Marks *marks, const char *text, const char *secret)
{
	if (secret == NULL || secret[0] == '\0')
		return;
	if (strlen(secret) >= RUN)
		mark_runs(marks, text, secret);
	else
		mark_word(marks, text, secret);
}

void
echo_mask(char *text, const char *const *secrets, int n_secrets)
{
	Marks marks;

	init_marks(&marks, text);
	for (int i = 0; i < n_secrets; i++)
		mark_secret(&marks, text, secrets[i]);
	apply_marks(&marks, text);
}

void
echo_mask_client(char *text, const OAuthClient *client)
{
	char *header = NULL;
	const char *secrets[2] = {client->client_secret};

	if (client->client_secret == NULL || text[0] == '\0')
		return;
	if (client->auth_method == CLIENT_SECRET_BASIC)
	{
		header = basic_authorization(client);
		secrets[1] = header + strlen("Basic ");
	}
	echo_mask(text, secrets, lengthof(secrets));
	if (header != NULL)
		secret_cleanse(header, strlen(header));
}

void
echo_mask_tokens(char *text)
{
	Marks marks;

	init_marks(&marks, text);
	for (size_t i = 0; i < marks.len;)
	{
		/* RFC 6750 §2.1, b64token, which opaque tokens and JWTs are */
		size_t len = strspn(text + i, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
									  "0123456789-._~+/=");

		/* which has figures; a long code in words has none */
		if (len >= MIN_TOKEN && strcspn(text + i, "0123456789") < len)
			mark(&marks, i, len);
		i += len + 1;
	}
	apply_marks(&marks, text);
}
