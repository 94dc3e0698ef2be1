/*
 * granted.h
 *	  What a token endpoint granted, as it is kept.
 */
#ifndef APPUSER_CONNECTORS_WORKER_GRANTED_H
#define APPUSER_CONNECTORS_WORKER_GRANTED_H

#include "worker/flight.h"

/*
 * Brings the flight's granted tokens into the form they are kept in: scopes by every name
 * they may be required by, and only
 * values that may be kept in connection_config.  To be
 * called before they are stored or saved; again changes nothing.  Allocates in the
 * flight's context.
 */
extern void granted_settle(Flight *flight, char *const *requested, int n_requested);

#endif
