/*
 * lookup.c
 *	  Which names this machine could not look up a moment ago.
 *
 * Behind a proxy many servers have no DNS for names outside.  To ask for one anew at every
 * call would cost the time until the resolver gives up, and a thread of libcurl's that waits
 * for it.  Knows nothing of libcurl.
 */
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "http/lookup.h"

#define REMEMBERED 64 /* names */
#define MAX_NAME 255
#define PAUSE 60 /* s */

typedef struct Failure
{
	char host[MAX_NAME + 1];
	time_t until; /* 0: none */
} Failure;

/* For as long as the process lives: which names can be looked up does not hang on a call. */
static Failure failures[REMEMBERED];

static time_t
now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* FNV-1a, whatever the case */
static Failure *
place_of(const char *host)
{
	uint32_t hash = 2166136261u;

	for (; *host != '\0'; host++)
		hash = (hash ^ ((unsigned char) *host | 0x20)) * 16777619u;
	return &failures[hash % REMEMBERED];
}

void
lookup_failed(const char *host)
{
	Failure *failure = place_of(host);

	if (strlen(host) > MAX_NAME)
		return;
	strcpy(failure->host, host);
	failure->until = now_s() + PAUSE;
}

bool
lookup_failed_lately(const char *host)
{
	const Failure *failure = place_of(host);

	return failure->until > now_s() && strcasecmp(failure->host, host) == 0;
}
