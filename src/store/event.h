/*
 * event.h
 *	  What happened to whom: rows of connection_events, and NOTIFY.
 */
#ifndef APPUSER_CONNECTORS_STORE_EVENT_H
#define APPUSER_CONNECTORS_STORE_EVENT_H

#include "datatype/timestamp.h"

#define EVENT_CHANNEL "appuser_connectors"

/*
 * Records an event in this transaction.  app_user "" and connection_name NULL for
 * what concerns a whole connector; detail is NULL or words without secrets.
 */
extern void event_record(const char *app_user, const char *connector_id,
						 const char *connection_name, const char *event, const char *detail);

/* The same, unless it was recorded since then already, with the same detail. */
extern void event_record_once(const char *app_user, const char *connector_id,
							  const char *connection_name, const char *event, const char *detail,
							  TimestampTz since);

/* For the worker, at its start: its own events are announced as they are recorded. */
extern void event_announce_own(void);

/* For the worker: tells listeners of events that other processes recorded. */
extern void event_announce(void);

/* For the worker: deletes a batch of events past their retention; true: there may be more. */
extern bool event_trim(void);

#endif
