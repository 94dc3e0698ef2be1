/*
 * flight_list.c
 *	  Which flights there are: found by app user, counted by connector, so that
 *	  none of it costs more where there are many.
 *
 * Knows nothing of what a flight does; flight.c drives them.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "worker/flight.h"

#define N_BUCKETS 1024
#define MAX_KEY (MAX_CONNECTOR_ID + 1)

/* Flights of a connector, by state; of longer names only the beginning counts. */
struct ConnectorFlights
{
	char connector_id[MAX_KEY]; /* hash key */
	int in_state[FLIGHT_STATES];
};

static dlist_head flights = DLIST_STATIC_INIT(flights); /* the oldest first */
static dlist_head buckets[N_BUCKETS];                   /* by app user */
static HTAB *connectors = NULL;

static dlist_head *
bucket_of(const char *app_user)
{
	return &buckets[hash_bytes((const unsigned char *) app_user, strlen(app_user)) % N_BUCKETS];
}

static ConnectorFlights *
flights_of(const char *connector_id, HASHACTION action)
{
	char key[MAX_KEY] = {0};
	bool found;
	ConnectorFlights *of;

	if (connectors == NULL)
	{
		HASHCTL control = {.keysize = sizeof(key),
						   .entrysize = sizeof(ConnectorFlights),
						   .hcxt = TopMemoryContext};

		connectors = hash_create("flights of connectors", 64, &control,
								 HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	strlcpy(key, connector_id, sizeof(key));
	of = hash_search(connectors, key, action, &found);
	if (action == HASH_ENTER && !found)
		memset(of->in_state, 0, sizeof(of->in_state));
	return of;
}

static int
total_of(const ConnectorFlights *of)
{
	int total = 0;

	for (int state = 0; state < FLIGHT_STATES; state++)
		total += of->in_state[state];
	return total;
}

static void
leave_connector(Flight *flight)
{
	flight->of_connector->in_state[flight->state]--;
	if (total_of(flight->of_connector) == 0)
		(void) flights_of(flight->of_connector->connector_id, HASH_REMOVE);
}

void
flight_list_add(Flight *flight)
{
	dlist_push_tail(&flights, &flight->node);
	dlist_push_tail(bucket_of(flight->app_user), &flight->app_user_node);
	flight->of_connector = flights_of(flight->connector_id, HASH_ENTER);
	flight->of_connector->in_state[flight->state]++;
}

void
flight_list_remove(Flight *flight)
{
	leave_connector(flight);
	dlist_delete(&flight->app_user_node);
	dlist_delete(&flight->node);
}

void
flight_set_state(Flight *flight, FlightState state)
{
	flight->of_connector->in_state[flight->state]--;
	flight->state = state;
	flight->of_connector->in_state[state]++;
}

void
flight_set_connection(Flight *flight, const char *connector_id, const char *connection_name)
{
	ConnectorFlights *of = flights_of(connector_id, HASH_ENTER);

	of->in_state[flight->state]++;
	leave_connector(flight);
	flight->of_connector = of;
	flight->connector_id = connector_id;
	flight->connection_name = connection_name;
}

dlist_head *
flight_list(void)
{
	return &flights;
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
flight_count(const char *connector_id, int *held)
{
	ConnectorFlights *of = flights_of(connector_id, HASH_FIND);

	*held = of != NULL ? of->in_state[FLIGHT_HELD] : 0;
	return of != NULL ? total_of(of) - *held : 0;
}

int
flight_count_sent(const Flight *flight)
{
	const int *in_state = flight->of_connector->in_state;

	return in_state[FLIGHT_READY] + in_state[FLIGHT_SENT];
}
