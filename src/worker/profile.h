/*
 * profile.h
 *	  Whose account an exchange has connected, asked of the provider's API.
 */
#ifndef APPUSER_CONNECTORS_WORKER_PROFILE_H
#define APPUSER_CONNECTORS_WORKER_PROFILE_H

#include "worker/flight.h"

/*
 * When an exchange has its tokens: true if something is still to be learned from the profile,
 * and then request is ready, in PHASE_PROFILE.
 */
extern bool profile_ask(Flight *flight);

/* Keeps what it answers; whatever that is, the connection is made. */
extern void profile_answered(Flight *flight, const HttpResponse *response);

#endif
