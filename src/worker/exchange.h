/*
 * exchange.h
 *	  What oauth_callback() hands to the worker.
 */
#ifndef APPUSER_CONNECTORS_WORKER_EXCHANGE_H
#define APPUSER_CONNECTORS_WORKER_EXCHANGE_H

#include "common/sha2.h"
#include "lib/stringinfo.h"

#include "worker/callback.h"
#include "worker/flight.h"

/* For the worker: that call */
extern void exchange_take(StringInfo record, ProviderCallWaiter waiter);

/* Is the flow with this state in an exchange, whose end it must see? */
extern bool exchange_under_way(const char *app_user, const uint8 *state_hash);

extern const FlightKind exchange_flight;

#endif
