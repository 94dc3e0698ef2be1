/*
 * refresh_failure.h
 *	  What a refresh that was in vain does to its connection.
 *
 * All of it in a transaction of the worker, of a flight of refresh_flight after its prepare
 * has read the row.  Where somebody holds the row nothing is written, flight->row_held is
 * set, and the caller tries again later.
 */
#ifndef APPUSER_CONNECTORS_WORKER_REFRESH_FAILURE_H
#define APPUSER_CONNECTORS_WORKER_REFRESH_FAILURE_H

#include "store/connection.h"
#include "store/connector.h"
#include "worker/flight.h"

#define STOPPED_REASON "connector_stopped"
#define STOPPED_DELAY (5 * 60 * 1000) /* ms; of its connections, and of a probe not answered */
#define UNREADABLE_REASON "unreadable"
#define UNREADABLE_DELAY (60 * 60 * 1000) /* ms */

/* The grant is gone: the person must connect again. */
extern void refresh_require_reconnect(Flight *flight, const char *reason);

/* Tried in vain, which says nothing of the grant: not before delay (ms) again. */
extern void refresh_postpone(Flight *flight, const char *reason, int64 delay);

/* As FlightKind says: what is stored cannot be opened or read. */
extern void refresh_put_off(Flight *flight);

/* Nothing was granted; says what to tell the callers, and records it. */
extern void refresh_store_failure(Flight *flight);

/* Was the last sending of its refresh token not answered, so that it may be used up? */
extern bool refresh_is_unclear(const Connection *connection);

/* A stopped connector is tried by somebody who was not refused, unless nobody else comes. */
extern bool refresh_may_probe(const Flight *flight, const Connector *connector, TimestampTz now);

/*
 * A provider that was busy for a moment may have said to come back tomorrow.  Now and then
 * somebody who waits finds out whether it meant that; not of what it refuses.
 */
extern bool refresh_may_try_early(const Flight *flight, const Connection *connection,
								  TimestampTz now);

#endif
