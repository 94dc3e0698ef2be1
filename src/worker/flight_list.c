/*
 * flight_list.c
 *	  Which flights there are: found by app user, counted by connector, by app user and
 *	  by both, so that none of it costs more where there are many.
 *
 * Knows nothing of what a flight does, nor how many there may be; flight.c drives them.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "store/identity.h"
#include "worker/flight.h"

#define N_BUCKETS 1024

/* Whose flights; of longer names only the beginning counts, empty means any. */
typedef struct CountKey
{
	char connector_id[MAX_CONNECTOR_ID + 1];
	char app_user[MAX_APP_USER + 1];
} CountKey;

/* Flights of one and the same, by state */
struct FlightCounts
{
	CountKey key; /* hash key */
	int in_state[FLIGHT_STATES];
	int queued; /* callers', of those that are new */
	int probes; /* that heed the circuit, of those that are sent or about to be */
};

/* They live as long as the worker does, and hold what is under way in it. */
static dlist_head flights = DLIST_STATIC_INIT(flights); /* the oldest first */
static dlist_head buckets[N_BUCKETS];                   /* by app user */
static HTAB *counts = NULL;
static int queued = 0; /* of all */

static dlist_head *
bucket_of(const char *app_user)
{
	return &buckets[hash_bytes((const unsigned char *) app_user, strlen(app_user)) % N_BUCKETS];
}

static FlightCounts *
counts_of(FlightScope scope, const char *connector_id, const char *app_user, HASHACTION action)
{
	CountKey key = {0};
	bool found;
	FlightCounts *of;

	if (counts == NULL)
	{
		HASHCTL control = {.keysize = sizeof(CountKey),
						   .entrysize = sizeof(FlightCounts),
						   .hcxt = TopMemoryContext};

		counts =
			hash_create("counts of flights", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	if (scope != OF_APP_USER)
		strlcpy(key.connector_id, connector_id, sizeof(key.connector_id));
	if (scope != OF_CONNECTOR)
		strlcpy(key.app_user, app_user, sizeof(key.app_user));
	of = hash_search(counts, &key, action, &found);
	if (action == HASH_ENTER && !found)
	{
		memset(of->in_state, 0, sizeof(of->in_state));
		of->queued = of->probes = 0;
	}
	return of;
}

static int
total_of(const FlightCounts *of)
{
	int total = 0;

	for (int state = 0; state < FLIGHT_STATES; state++)
		total += of->in_state[state];
	return total;
}

/* One more (by 1) or less (by -1) in its state */
static void
count(Flight *flight, int by)
{
	bool is_queued = flight->called && flight->state == FLIGHT_NEW;
	bool is_probe = flight->kind->heeds_circuit &&
					(flight->state == FLIGHT_READY || flight->state == FLIGHT_SENT);

	for (int scope = 0; scope < FLIGHT_SCOPES; scope++)
	{
		flight->counts[scope]->in_state[flight->state] += by;
		if (is_queued)
			flight->counts[scope]->queued += by;
		if (is_probe)
			flight->counts[scope]->probes += by;
	}
	if (is_queued)
		queued += by;
}

static void
enter_counts(Flight *flight)
{
	for (int scope = 0; scope < FLIGHT_SCOPES; scope++)
		flight->counts[scope] =
			counts_of((FlightScope) scope, flight->connector_id, flight->app_user, HASH_ENTER);
	count(flight, 1);
}

static void
leave_counts(Flight *flight)
{
	count(flight, -1);
	for (int scope = 0; scope < FLIGHT_SCOPES; scope++)
		if (total_of(flight->counts[scope]) == 0)
			(void) hash_search(counts, &flight->counts[scope]->key, HASH_REMOVE, NULL);
}

void
flight_list_add(Flight *flight)
{
	dlist_push_tail(&flights, &flight->node);
	dlist_push_tail(bucket_of(flight->app_user), &flight->app_user_node);
	enter_counts(flight);
}

void
flight_list_remove(Flight *flight)
{
	leave_counts(flight);
	dlist_delete(&flight->app_user_node);
	dlist_delete(&flight->node);
}

void
flight_set_state(Flight *flight, FlightState state)
{
	count(flight, -1);
	flight->state = state;
	count(flight, 1);
}

void
flight_set_connection(Flight *flight, const char *connector_id, const char *connection_name)
{
	leave_counts(flight);
	flight->connector_id = connector_id;
	flight->connection_name = connection_name;
	enter_counts(flight);
}

dlist_head *
flight_list(void)
{
	return &flights;
}

dlist_head *
flight_list_near(const char *app_user)
{
	return bucket_of(app_user);
}

Flight *
flight_find(const FlightKind *kind, const char *app_user, const char *connector_id,
			const char *connection_name)
{
	dlist_iter iter;

	dlist_foreach (iter, bucket_of(app_user))
	{
		Flight *flight = dlist_container(Flight, app_user_node, iter.cur);

		if (flight->kind == kind && strcmp(flight->app_user, app_user) == 0 &&
			strcmp(flight->connector_id, connector_id) == 0 &&
			strcmp(flight->connection_name, connection_name) == 0)
			return flight;
	}
	return NULL;
}

int
flight_count_unqueued(const char *connector_id, int *held)
{
	const FlightCounts *of = counts_of(OF_CONNECTOR, connector_id, "", HASH_FIND);

	*held = of != NULL ? of->in_state[FLIGHT_HELD] + of->in_state[FLIGHT_WAITING] : 0;
	return of != NULL ? total_of(of) - *held - of->queued : 0;
}

int
flight_count_sent(const Flight *flight, FlightScope scope)
{
	const int *in_state = flight->counts[scope]->in_state;

	return in_state[FLIGHT_READY] + in_state[FLIGHT_SENT];
}

int
flight_count_probes(const Flight *flight, FlightScope scope)
{
	return flight->counts[scope]->probes;
}

int
flight_count_of_app_user(const char *app_user)
{
	const FlightCounts *of = counts_of(OF_APP_USER, "", app_user, HASH_FIND);

	return of != NULL ? total_of(of) : 0;
}

int
flight_count_at_connector(const char *app_user, const char *connector_id)
{
	const FlightCounts *of = counts_of(OF_APP_USER_AT_CONNECTOR, connector_id, app_user, HASH_FIND);

	return of != NULL ? total_of(of) : 0;
}

int
flight_count_queued(const char *connector_id)
{
	const FlightCounts *of;

	if (connector_id == NULL)
		return queued;
	of = counts_of(OF_CONNECTOR, connector_id, "", HASH_FIND);
	return of != NULL ? of->queued : 0;
}
