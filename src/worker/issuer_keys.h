/*
 * issuer_keys.h
 *	  Having the worker fetch the published keys of an identity issuer.
 */
#ifndef APPUSER_CONNECTORS_WORKER_ISSUER_KEYS_H
#define APPUSER_CONNECTORS_WORKER_ISSUER_KEYS_H

#include "lib/stringinfo.h"

#include "store/issuer.h"
#include "worker/flight.h"

/* What a backend hands over, in a call of kind CALL_KEYS */
extern void issuer_keys_put_call(StringInfo record, const Issuer *issuer);

/* For the worker: that call, and what is due. */
extern void issuer_keys_take(StringInfo record, ProviderCallWaiter waiter);
extern TimestampTz issuer_keys_start_due(void);

extern const FlightKind issuer_keys_flight;

#endif
