/*
 * flight_places.c
 *	  Which calls may be sent and which have to wait or are turned away, so that no
 *	  connector and no app user takes the places of the others.
 *
 * Counts what flight_list.c counts, and changes nothing.
 */
#include "postgres.h"

#include "base/settings.h"
#include "http/http.h"
#include "worker/circuit.h"
#include "worker/descriptors.h"
#include "worker/flight.h"

/*
 * Callers' flights that may wait for their turn: of all, and of one app user together
 * with those that are under way.  An app user's refreshes are one for each connection.
 */
#define MAX_QUEUED 2048
#define MAX_OF_APP_USER 128

#define SHARE_OF_FREE 4      /* of places, times those that are left; see has_room */
#define APP_USER_SHARE 4     /* of a connector's places an app user may have a quarter */
#define APP_USER_SHARE_ALL 8 /* and of all an eighth */

const char *
flight_queue_is_full(const char *app_user, const char *connector_id)
{
	int left = MAX_QUEUED - flight_count_queued(NULL);

	if (app_user[0] != '\0' && flight_count_of_app_user(app_user) >= MAX_OF_APP_USER)
		return "Too many calls of this app user are under way; nothing was sent.";
	if (left <= 0 || flight_count_queued(connector_id) >= left)
		return "Too many calls wait for this provider already; nothing was sent.";
	return NULL;
}

/* An app user's, of all places or of a connector's; half of them for what nobody waits for */
static int
app_user_places(int places, int share, bool is_waited_for)
{
	return Max(places / share / (is_waited_for ? 1 : 2), 1);
}

bool
flight_app_user_is_busy(const char *app_user, const char *connector_id)
{
	return flight_count_at_connector(app_user, connector_id) >=
		   app_user_places(guc_max_concurrent_requests_per_connector, APP_USER_SHARE, false);
}

/*
 * Waits for its turn: the caps on what is under way at once.  What nobody waits for
 * leaves a quarter to the others.  The fewer places are left, the smaller is what one
 * connector may have of them: a provider that does not answer may be that of many
 * connectors, and one that has nothing under way finds a place all the same.  Of a
 * connector's places an app user has a share, whatever kind of call it is.
 */
bool
flight_has_room(const Flight *flight, int starting)
{
	int most = descriptors_most_requests();
	int of_connector = guc_max_concurrent_requests_per_connector;
	bool is_waited_for = flight->n_waiters > 0;
	int left;

	if (!is_waited_for)
		most -= most / 4;
	left = most - http_in_flight() - starting;
	if (left <= 0 ||
		flight_count_sent(flight, OF_CONNECTOR) >= Min(of_connector, SHARE_OF_FREE * left))
		return false;
	/* one of each person: another's call may succeed where one's own fails */
	if (flight->kind->heeds_circuit && circuit_is_half_open(flight->connector_id) &&
		(flight_count_probes(flight, OF_CONNECTOR) >= FLIGHT_PROBES ||
		 flight_count_probes(flight, OF_APP_USER_AT_CONNECTOR) > 0))
		return false;
	/* what is of nobody is the admin's own: keys of issuers */
	return flight->app_user[0] == '\0' ||
		   (flight_count_sent(flight, OF_APP_USER_AT_CONNECTOR) <
				app_user_places(of_connector, APP_USER_SHARE, is_waited_for) &&
			flight_count_sent(flight, OF_APP_USER) <
				app_user_places(descriptors_most_requests(), APP_USER_SHARE_ALL, is_waited_for));
}
