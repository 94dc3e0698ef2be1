/*
 * exchange_store.h
 *	  What an exchange granted, stored as a connection.
 */
#ifndef APPUSER_CONNECTORS_WORKER_EXCHANGE_STORE_H
#define APPUSER_CONNECTORS_WORKER_EXCHANGE_STORE_H

#include "worker/flight.h"

/* As FlightKind says of apply: in a transaction of the worker; false: a row is held. */
extern bool exchange_apply(Flight *flight);

#endif
