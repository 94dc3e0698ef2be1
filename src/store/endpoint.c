/*
 * endpoint.c
 *	  What an admin is told of a URL that this server could never call.
 *
 * The rule is http/connection.c's, which applies it to whatever a name turns out to be.
 * Must not look up names.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/settings.h"
#include "base/url.h"
#include "http/network.h"
#include "store/endpoint.h"

typedef union SocketAddress
{
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
} SocketAddress;

static bool
parse_address(const char *host, SocketAddress *address)
{
	memset(address, 0, sizeof(SocketAddress));
	address->any.sa_family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
	return inet_pton(address->any.sa_family, host,
					 address->any.sa_family == AF_INET6 ? (void *) &address->ipv6.sin6_addr
														: (void *) &address->ipv4.sin_addr) == 1;
}

static bool
is_allowed(const SocketAddress *address)
{
	return (guc_allow_insecure_loopback && network_is_loopback(&address->any)) ||
		   network_is_public(&address->any) ||
		   network_list_contains(guc_allowed_networks, &address->any);
}

/* A name, but one of this machine wherever it is looked up (RFC 6761 §6.3) */
static bool
is_localhost_allowed(void)
{
	SocketAddress ipv4;
	SocketAddress ipv6;

	return (parse_address("127.0.0.1", &ipv4) && is_allowed(&ipv4)) ||
		   (parse_address("::1", &ipv6) && is_allowed(&ipv6));
}

static const char *
hint_for(const SocketAddress *address, const char *host)
{
	if (network_is_loopback(&address->any))
		return "For a provider on this machine, in development, a superuser sets "
			   "appuser_connectors.allow_insecure_loopback = on and reloads.";
	if (network_is_private(&address->any))
		return psprintf("If the provider is in your own network, a superuser adds %s to "
						"appuser_connectors.allowed_networks and reloads; or give its name, and "
						"have that added to appuser_connectors.allowed_hosts.",
						host);
	return psprintf("If it is to be called all the same, a superuser adds %s to "
					"appuser_connectors.allowed_networks and reloads.",
					host);
}

void
endpoint_check_address(const char *name, const char *url)
{
	const char *host = url != NULL ? url_host(url) : NULL;
	SocketAddress address;

	if (host == NULL)
		return;
	if (pg_strcasecmp(host, "localhost") == 0)
	{
		if (is_localhost_allowed())
			return;
		(void) parse_address("127.0.0.1", &address);
	}
	else if (!parse_address(host, &address) || is_allowed(&address))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid value for \"%s\"", name),
			 errdetail("This server may not call %s, which is no public address.", host),
			 errhint("%s", hint_for(&address, host))));
}
