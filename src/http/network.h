/*
 * network.h
 *	  Which addresses a provider may be on.
 */
#ifndef APPUSER_CONNECTORS_HTTP_NETWORK_H
#define APPUSER_CONNECTORS_HTTP_NETWORK_H

#include <stdbool.h>
#include <sys/socket.h>

/* Is this a comma-separated list of CIDR networks and addresses ("" is)? */
extern bool network_list_valid(const char *list);

/* Is the address, or the IPv4 address that it carries, in the list? */
extern bool network_list_contains(const char *list, const struct sockaddr *address);

extern bool network_is_loopback(const struct sockaddr *address);

/* Is the address one of a private network (RFC 1918, RFC 4193), other than those that
 * clouds have taken for their metadata services? */
extern bool network_is_private(const struct sockaddr *address);

/* Is this a comma-separated list of host names ("" is)?  Addresses are none. */
extern bool network_hosts_valid(const char *list);

/* Is the host in the list, whatever its case? */
extern bool network_hosts_contain(const char *list, const char *host);

/*
 * Is this a comma-separated list of exceptions ("" is), as CURLOPT_NOPROXY has them: host
 * names and domains, with or without a dot before them, addresses, CIDR networks, or "*"?
 */
extern bool network_exceptions_valid(const char *list);

/*
 * Is the host of a URL in the list, or in a domain or network in it?  No name is looked up:
 * networks are for hosts that are addresses.
 */
extern bool network_exceptions_contain(const char *list, const char *host);

/* Would a host anywhere on the internet reach the same machine by it? */
extern bool network_is_public(const struct sockaddr *address);

#endif
