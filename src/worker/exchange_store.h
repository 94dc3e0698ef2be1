/*
 * exchange_store.h
 *	  What an exchange granted, stored as a connection.
 */
#ifndef APPUSER_CONNECTORS_WORKER_EXCHANGE_STORE_H
#define APPUSER_CONNECTORS_WORKER_EXCHANGE_STORE_H

#include "utils/jsonb.h"

#include "worker/flight.h"

/* As FlightKind says of apply: in a transaction of the worker; false: a row is held. */
extern bool exchange_apply(Flight *flight);

/* In a transaction or not: what the connection would have, with what the provider has said so
 * far; the admin's word is over it. */
extern Jsonb *exchange_granted_config(const Flight *flight);

#endif
