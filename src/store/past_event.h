/*
 * past_event.h
 *	  Looking back at connection_events, of all people: for admins only.
 */
#ifndef APPUSER_CONNECTORS_STORE_PAST_EVENT_H
#define APPUSER_CONNECTORS_STORE_PAST_EVENT_H

#include "utils/timestamp.h"

/* Keys of the connections that an event befell since then, and when; the oldest, at
 * most limit */
typedef struct PastEvent
{
	char *app_user;
	char *connector_id;
	char *connection_name;
	TimestampTz occurred_at;
} PastEvent;
extern PastEvent *store_events_since(const char *event, TimestampTz since, int limit, int *count);

/* The newest event of a connector that an admin may want to know the cause of */
typedef struct LastFailure
{
	TimestampTz occurred_at;
	char *event;
	char *detail; /* NULL: it has none */
	int n_people; /* whom the same event befell within an hour up to then; 0: it is of nobody */
	bool is_over; /* somebody has connected since, or an admin changed the connector */
	bool went_well_before; /* somebody had connected */
} LastFailure;

/* False: there is none among the last events of the connector. */
extern bool store_last_failure(const char *connector_id, LastFailure *failure);

#endif
