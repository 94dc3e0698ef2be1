/*
 * refresh.h
 *	  What a backend hands to the worker to have a token refreshed.
 */
#ifndef APPUSER_CONNECTORS_REFRESH_H
#define APPUSER_CONNECTORS_REFRESH_H

#include "lib/stringinfo.h"

#include "connection.h"
#include "identity.h"

/* The connection as the caller saw it: one that has moved on needs no refresh. */
extern void refresh_call_put(StringInfo record, const Connection *connection);

#endif
