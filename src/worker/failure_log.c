/*
 * failure_log.c
 *	  What only the server log is told about a request without an answer: which address
 *	  was refused, what libcurl says, and that this machine is at fault.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "store/connector.h"
#include "worker/failure_log.h"

#define SAME_PAUSE (10 * 60 * 1000) /* ms between two lines that say the same */
#define OTHER_PAUSE 5000            /* ms between two about one connector */

typedef struct Logged
{
	char connector_id[MAX_CONNECTOR_ID + 1]; /* hash key; "": this machine's trouble */
	char error[HTTP_ERROR_SIZE];
	TimestampTz at;
} Logged;

/* What was logged last of each connector that ever failed, for as long as the process lives */
static HTAB *logged = NULL;

static bool
is_news(const char *connector_id, const char *error)
{
	TimestampTz now = GetCurrentTimestamp();
	char key[MAX_CONNECTOR_ID + 1] = {0};
	bool found;
	Logged *last;

	if (logged == NULL)
	{
		HASHCTL control = {
			.keysize = sizeof(key), .entrysize = sizeof(Logged), .hcxt = TopMemoryContext};

		logged = hash_create("logged failures of connectors", 64, &control,
							 HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	strlcpy(key, connector_id, sizeof(key));
	last = hash_search(logged, key, HASH_ENTER, &found);
	if (found && !TimestampDifferenceExceeds(
					 last->at, now, strcmp(last->error, error) == 0 ? SAME_PAUSE : OTHER_PAUSE))
		return false;
	strlcpy(last->error, error, sizeof(last->error));
	last->at = now;
	return true;
}

void
failure_log(const char *kind, const char *connector_id, const HttpResponse *response)
{
	if (response->outcome == HTTP_ANSWERED ||
		(response->detail[0] == '\0' && !response->local_trouble) ||
		!is_news(response->local_trouble ? "" : connector_id, response->error))
		return;
	ereport(LOG,
			(errmsg("no answer to a provider call (%s of \"%s\"): %s", kind, connector_id,
					response->error),
			 response->detail[0] != '\0' ? errdetail_internal("%s", response->detail) : 0,
			 response->local_trouble
				 ? errhint("Raise the limit of open files that the operating system has set for "
						   "the server, or lower appuser_connectors.max_concurrent_requests.")
				 : 0));
}
