/*
 * circuit.c
 *	  Whether a connector's provider is to be called at all, and when again.
 *
 * A provider that fails several times in a row is left alone for a while, and then
 * tried by one call at a time until one succeeds.  Kept in memory of the worker
 * only: a new worker finds out for itself.  That a connector is stopped, because
 * its client was refused, stands in its row, which refresh.c writes.
 */
#include "postgres.h"

#include <math.h>

#include "common/pg_prng.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "store/connection.h"
#include "store/connector.h"
#include "store/identity.h"
#include "worker/circuit.h"

#define BACKOFF_FIRST 1000          /* ms */
#define BACKOFF_MAX (5 * 60 * 1000) /* ms */
#define FAILURES_TO_OPEN 5          /* in a row */
#define OPEN_MAX (30 * 1000)        /* ms */
#define CLIENT_REFUSALS_TO_STOP 3   /* different connections */

typedef struct Circuit
{
	char connector_id[MAX_CONNECTOR_ID + 1]; /* hash key */
	int failures;                            /* of the provider or network, in a row */
	TimestampTz open_until;
	int n_refused; /* connections whose client was refused */
	char refused[CLIENT_REFUSALS_TO_STOP][MAX_APP_USER + MAX_CONNECTION_NAME + 2];
} Circuit;

static HTAB *circuits = NULL;

static Circuit *circuit_of(const char *connector_id);

int64
retry_delay(int failures, int retry_after)
{
	double delay = BACKOFF_FIRST * pow(2, Min(failures, 20) - 1);

	delay = Min(delay, BACKOFF_MAX);
	delay *= 0.5 + 0.5 * pg_prng_double(&pg_global_prng_state);
	if (retry_after >= 0)
		delay = Max(delay, retry_after * 1000.0);
	return (int64) delay;
}

static Circuit *
circuit_of(const char *connector_id)
{
	char key[MAX_CONNECTOR_ID + 1] = {0};
	bool found;
	Circuit *circuit;

	if (circuits == NULL)
	{
		HASHCTL control = {
			.keysize = sizeof(key), .entrysize = sizeof(Circuit), .hcxt = TopMemoryContext};

		circuits = hash_create("circuits of connectors", 64, &control,
							   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	strlcpy(key, connector_id, sizeof(key));
	circuit = hash_search(circuits, key, HASH_ENTER, &found);
	if (!found)
	{
		circuit->failures = circuit->n_refused = 0;
		circuit->open_until = 0;
	}
	return circuit;
}

TimestampTz
circuit_open_until(const char *connector_id)
{
	return circuit_of(connector_id)->open_until;
}

bool
circuit_is_half_open(const char *connector_id)
{
	return circuit_of(connector_id)->failures >= FAILURES_TO_OPEN;
}

void
circuit_note_failure(const char *connector_id)
{
	Circuit *circuit = circuit_of(connector_id);

	if (++circuit->failures >= FAILURES_TO_OPEN)
		circuit->open_until = TimestampTzPlusMilliseconds(
			GetCurrentTimestamp(),
			Min(retry_delay(circuit->failures - FAILURES_TO_OPEN + 1, -1), OPEN_MAX));
}

void
circuit_note_success(const char *connector_id)
{
	Circuit *circuit = circuit_of(connector_id);

	circuit->failures = circuit->n_refused = 0;
	circuit->open_until = 0;
}

/*
 * invalid_client may be about one connection (a tenant that removed the app) or
 * about the client; it is the client's when several connections say so.
 */
bool
circuit_note_client_refusal(const char *connector_id, const char *app_user,
							const char *connection_name)
{
	Circuit *circuit = circuit_of(connector_id);
	char name[sizeof(circuit->refused[0])];

	/* the rest of those that were under way when it was stopped */
	if (circuit->n_refused == CLIENT_REFUSALS_TO_STOP)
		return false;
	snprintf(name, sizeof(name), "%s\n%s", app_user, connection_name);
	for (int i = 0; i < circuit->n_refused; i++)
		if (strcmp(circuit->refused[i], name) == 0)
			return false;
	strlcpy(circuit->refused[circuit->n_refused++], name, sizeof(name));
	return circuit->n_refused == CLIENT_REFUSALS_TO_STOP;
}

void
circuit_note_resumed(const char *connector_id)
{
	Circuit *circuit = circuit_of(connector_id);

	if (circuit->n_refused == CLIENT_REFUSALS_TO_STOP)
		circuit->n_refused = 0;
}
