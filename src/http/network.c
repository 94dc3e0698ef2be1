/*
 * network.c
 *	  Which addresses a provider may be on: public ones, those that the
 *	  administrator lists, and private ones for the hosts that they list.
 *
 * The special-purpose ranges are those of RFC 6890 and its IANA registries.
 * An IPv6 address that only wraps an IPv4 address (RFC 4291 2.5.5.2, 6052,
 * 3056) is judged by what it wraps, since that is where packets would go.
 * Pure functions; looks up no names, knows no sockets and has no policy of its own.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/network.h"

#define MAX_HOST 253 /* RFC 1035 2.3.4, as text */

/*
 * Of IPv6, only 2000::/3 is global unicast.  168.63.129.16 is a host service
 * of Azure that answers from inside only, in an otherwise public range.
 */
static const char special_networks[] =
	"0.0.0.0/8,10.0.0.0/8,100.64.0.0/10,127.0.0.0/8,168.63.129.16,169.254.0.0/16,172.16.0.0/12,"
	"192.0.0.0/24,192.0.2.0/24,192.88.99.0/24,192.168.0.0/16,198.18.0.0/15,198.51.100.0/24,"
	"203.0.113.0/24,224.0.0.0/4,240.0.0.0/4,"
	"::/3,4000::/2,8000::/1,2001::/23,2001:db8::/32,3fff::/20";

/*
 * What a company numbers its own machines with (RFC 1918, RFC 4193).  Of these the
 * clouds have taken addresses of their metadata services, which answer whoever can
 * reach them.
 */
static const char private_networks[] = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7";
static const char metadata_services[] = "fd00:ec2::254,fd20:ce::254";

/* Both families as 16 bytes, IPv4 mapped (::ffff:a.b.c.d). */
typedef struct Address
{
	unsigned char bytes[16];
} Address;

typedef struct Network
{
	Address address;
	int prefix;
} Network;

static const unsigned char mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const unsigned char nat64_prefix[12] = {0, 0x64, 0xff, 0x9b};

static bool parse_network(const char *text, size_t len, Network *network);
static bool next_item(const char **cursor, const char **item, size_t *len, bool *valid);
static bool next_network(const char **cursor, Network *network, bool *valid);
static bool is_host_name(const char *text, size_t len);
static bool network_contains(const Network *network, const Address *address);
static bool list_contains(const char *list, const Address *address);
static Address map_ipv4(const unsigned char *bytes);
static bool is_ipv4(const Address *address);
static bool address_of(const struct sockaddr *sockaddr, Address *address);
static Address unwrap(const Address *address);

bool
network_list_valid(const char *list)
{
	Network network;
	bool valid = true;

	while (next_network(&list, &network, &valid))
		;
	return valid;
}

bool
network_list_contains(const char *list, const struct sockaddr *sockaddr)
{
	Address address;
	Address inner;

	if (!address_of(sockaddr, &address))
		return false;
	inner = unwrap(&address);
	return list_contains(list, &address) || list_contains(list, &inner);
}

bool
network_is_loopback(const struct sockaddr *sockaddr)
{
	Address address;

	return address_of(sockaddr, &address) && list_contains("127.0.0.0/8,::1", &address);
}

bool
network_is_public(const struct sockaddr *sockaddr)
{
	Address address;

	if (!address_of(sockaddr, &address))
		return false;
	address = unwrap(&address);
	return !list_contains(special_networks, &address);
}

/* Not by an address that only wraps a private one: nobody numbers machines so. */
bool
network_is_private(const struct sockaddr *sockaddr)
{
	Address address;

	return address_of(sockaddr, &address) && list_contains(private_networks, &address) &&
		   !list_contains(metadata_services, &address);
}

bool
network_hosts_valid(const char *list)
{
	const char *item;
	size_t len;
	bool valid = true;

	while (next_item(&list, &item, &len, &valid))
		if (!is_host_name(item, len))
			return false;
	return valid;
}

bool
network_hosts_contain(const char *list, const char *host)
{
	const char *item;
	size_t len;
	bool valid;

	while (next_item(&list, &item, &len, &valid))
		if (len == strlen(host) && strncasecmp(item, host, len) == 0)
			return true;
	return false;
}

bool
network_exceptions_valid(const char *list)
{
	Network network;
	const char *item;
	size_t len;
	bool valid = true;

	while (next_item(&list, &item, &len, &valid))
		if (!is_host_name(item + (*item == '.'), len - (*item == '.')) &&
			!parse_network(item, len, &network) && !(len == 1 && *item == '*'))
			return false;
	return valid;
}

bool
network_exceptions_contain(const char *list, const char *host)
{
	size_t host_len = strlen(host);
	Network address;
	Network network;
	const char *item;
	size_t len;
	bool is_address;
	bool valid;

	if (host_len > 0 && host[host_len - 1] == '.')
		host_len--;
	is_address = host[0] == '[' && host_len > 2 ? parse_network(host + 1, host_len - 2, &address)
												: parse_network(host, host_len, &address);
	while (next_item(&list, &item, &len, &valid))
	{
		if (len == 1 && *item == '*')
			return true;
		if (is_address)
		{
			if (parse_network(item, len, &network) && network_contains(&network, &address.address))
				return true;
			continue;
		}
		if (*item == '.')
		{
			item++;
			len--;
		}
		if (host_len >= len && strncasecmp(host + host_len - len, item, len) == 0 &&
			(host_len == len || host[host_len - len - 1] == '.'))
			return true;
	}
	return false;
}

/* Labels of letters, digits and hyphens; the last is no number, or it is an address. */
static bool
is_host_name(const char *text, size_t len)
{
	const char *end = text + len;
	const char *label = text;

	if (len == 0 || len > MAX_HOST)
		return false;
	for (const char *c = text; c < end; c++)
	{
		if (*c == '.' && c != label)
			label = c + 1;
		else if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-", *c) ==
				 NULL)
			return false;
	}
	return label < end && strspn(label, "0123456789") < (size_t) (end - label);
}

/*
 * One address or CIDR network.  Bits beyond the prefix are refused, as by
 * PostgreSQL's cidr: they are most likely a wrong prefix.
 */
static bool
parse_network(const char *text, size_t len, Network *network)
{
	char buffer[64];
	char *slash;
	unsigned char ipv4[4];
	int limit = 128;
	int offset = 0;
	int bit;

	if (len == 0 || len >= sizeof(buffer))
		return false;
	memcpy(buffer, text, len);
	buffer[len] = '\0';
	slash = strchr(buffer, '/');
	if (slash != NULL)
		*slash++ = '\0';

	if (inet_pton(AF_INET, buffer, ipv4) == 1)
	{
		network->address = map_ipv4(ipv4);
		limit = 32;
		offset = 96;
	}
	else if (inet_pton(AF_INET6, buffer, network->address.bytes) != 1)
		return false;

	network->prefix = limit;
	if (slash != NULL)
	{
		size_t digits = strspn(slash, "0123456789");

		if (digits == 0 || digits > 3 || slash[digits] != '\0' || atoi(slash) > limit)
			return false;
		network->prefix = atoi(slash);
	}
	network->prefix += offset;

	for (bit = network->prefix; bit < 128; bit++)
		if (network->address.bytes[bit / 8] & (0x80 >> (bit % 8)))
			return false;
	return true;
}

/*
 * Of a comma-separated list.  False at the end, and at an empty item, which a comma
 * promised not to be (*valid is then false).
 */
static bool
next_item(const char **cursor, const char **item, size_t *len, bool *valid)
{
	bool last;

	*item = *cursor + strspn(*cursor, " \t");
	*len = strcspn(*item, ",");
	last = (*item)[*len] == '\0';
	*valid = true;
	if (**item == '\0')
		return false;
	*cursor = last ? *item + *len : *item + *len + 1;
	while (*len > 0 && ((*item)[*len - 1] == ' ' || (*item)[*len - 1] == '\t'))
		(*len)--;
	*valid = *len > 0 && (last || (*cursor)[strspn(*cursor, " \t")] != '\0');
	return *valid;
}

/* The same, and false at an item that is none. */
static bool
next_network(const char **cursor, Network *network, bool *valid)
{
	const char *item;
	size_t len;

	if (!next_item(cursor, &item, &len, valid))
		return false;
	*valid = parse_network(item, len, network);
	return *valid;
}

static bool
network_contains(const Network *network, const Address *address)
{
	int whole = network->prefix / 8;
	int rest = network->prefix % 8;
	unsigned char mask = (unsigned char) (0xff << (8 - rest));

	/* ::/0 is all of IPv6, not IPv4 as well */
	if (network->prefix < 96 && is_ipv4(address))
		return false;
	if (memcmp(network->address.bytes, address->bytes, whole) != 0)
		return false;
	return rest == 0 || ((network->address.bytes[whole] ^ address->bytes[whole]) & mask) == 0;
}

static bool
list_contains(const char *list, const Address *address)
{
	Network network;
	bool valid;

	while (next_network(&list, &network, &valid))
		if (network_contains(&network, address))
			return true;
	return false;
}

static Address
map_ipv4(const unsigned char *bytes)
{
	Address address;

	memcpy(address.bytes, mapped_prefix, sizeof(mapped_prefix));
	memcpy(address.bytes + sizeof(mapped_prefix), bytes, 4);
	return address;
}

static bool
is_ipv4(const Address *address)
{
	return memcmp(address->bytes, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

static bool
address_of(const struct sockaddr *sockaddr, Address *address)
{
	if (sockaddr->sa_family == AF_INET)
	{
		*address =
			map_ipv4((const unsigned char *) &((const struct sockaddr_in *) sockaddr)->sin_addr);
		return true;
	}
	if (sockaddr->sa_family == AF_INET6)
	{
		memcpy(address->bytes, &((const struct sockaddr_in6 *) sockaddr)->sin6_addr, 16);
		return true;
	}
	return false;
}

/* The IPv4 address that NAT64 or 6to4 would deliver to. */
static Address
unwrap(const Address *address)
{
	if (memcmp(address->bytes, nat64_prefix, sizeof(nat64_prefix)) == 0)
		return map_ipv4(address->bytes + 12);
	if (address->bytes[0] == 0x20 && address->bytes[1] == 0x02)
		return map_ipv4(address->bytes + 2);
	return *address;
}
