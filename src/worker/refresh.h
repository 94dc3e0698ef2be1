/*
 * refresh.h
 *	  What a backend hands to the worker to have a token refreshed.
 */
#ifndef APPUSER_CONNECTORS_WORKER_REFRESH_H
#define APPUSER_CONNECTORS_WORKER_REFRESH_H

#include "lib/stringinfo.h"

#include "store/connection.h"
#include "worker/flight.h"

/* The connection as the caller saw it: one that has moved on needs no refresh. */
extern void refresh_call_put(StringInfo record, const Connection *connection);

/* For the worker: that call, and what is due; returns when the next is. */
extern void refresh_take(StringInfo record, ProviderCallWaiter waiter);
extern TimestampTz refresh_start_due(void);

extern const FlightKind refresh_flight;

#endif
