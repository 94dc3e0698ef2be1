/*
 * lookup.h
 *	  Which names this machine could not look up a moment ago.
 */
#ifndef APPUSER_CONNECTORS_HTTP_LOOKUP_H
#define APPUSER_CONNECTORS_HTTP_LOOKUP_H

#include <stdbool.h>

/* Neither fails; what they know may be forgotten at any time. */
extern void lookup_failed(const char *host);
extern bool lookup_failed_lately(const char *host);

#endif
