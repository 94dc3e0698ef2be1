/*
 * endpoint.h
 *	  What an admin is told of a URL that this server could never call.
 */
#ifndef APPUSER_CONNECTORS_STORE_ENDPOINT_H
#define APPUSER_CONNECTORS_STORE_ENDPOINT_H

/*
 * Raises 22023, with the setting that would help, where a URL names by its address a host
 * that the settings do not let this server call.  Other names are looked up when they are
 * called, and NULL is fine.
 */
extern void endpoint_check_address(const char *name, const char *url);

#endif
