/* sources: src/http/network.c */
/*
 * network_test.c
 *	  Every special-purpose range at both of its ends and just outside, and how
 *	  lists of networks and hosts are read.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "http/network.h"
#include "tap.h"

static const char *const public_addresses[] = {
	"1.0.0.0",         "1.1.1.1",         "9.255.255.255",    "11.0.0.0",       "100.63.255.255",
	"100.128.0.0",     "126.255.255.255", "128.0.0.0",        "168.63.129.15",  "168.63.129.17",
	"169.253.255.255", "169.255.0.0",     "172.15.255.255",   "172.32.0.0",     "191.255.255.255",
	"192.0.1.0",       "192.0.3.0",       "192.88.98.255",    "192.88.100.0",   "192.167.255.255",
	"192.169.0.0",     "198.17.255.255",  "198.20.0.0",       "198.51.99.255",  "198.51.101.0",
	"203.0.112.255",   "203.0.114.0",     "223.255.255.255",  "2000::",         "2606:4700::1111",
	"2001:200::",      "2001:db7:ffff::", "2001:db9::",       "2003::",         "3ffe::1",
	"3fff:1000::",     "::ffff:1.1.1.1",  "64:ff9b::1.1.1.1", "2002:101:101::1"};

static const char *const special_addresses[] = {"0.0.0.0",
												"0.255.255.255",
												"10.0.0.0",
												"10.255.255.255",
												"100.64.0.0",
												"100.127.255.255",
												"100.100.100.200",
												"127.0.0.0",
												"127.0.0.1",
												"127.255.255.255",
												"168.63.129.16",
												"169.254.0.0",
												"169.254.169.254",
												"169.254.255.255",
												"172.16.0.0",
												"172.31.255.255",
												"192.0.0.0",
												"192.0.0.192",
												"192.0.0.255",
												"192.0.2.1",
												"192.88.99.1",
												"192.168.0.0",
												"192.168.255.255",
												"198.18.0.0",
												"198.19.255.255",
												"198.51.100.1",
												"203.0.113.255",
												"224.0.0.0",
												"239.255.255.255",
												"240.0.0.0",
												"255.255.255.255",
												"::",
												"::1",
												"::127.0.0.1",
												"::ffff:127.0.0.1",
												"::ffff:10.0.0.1",
												"::ffff:0:127.0.0.1",
												"64:ff9b::10.0.0.1",
												"64:ff9b::169.254.169.254",
												"64:ff9b:1::1.1.1.1",
												"100::1",
												"2001::1",
												"2001:1ff:ffff::",
												"2001:db8::1",
												"2001:db8:ffff:ffff::",
												"2002:7f00:1::",
												"2002:a9fe:a9fe::1",
												"3fff::1",
												"3fff:fff::",
												"4000::1",
												"5f00::1",
												"fc00::1",
												"fd00:ec2::254",
												"fdff::1",
												"fe80::1",
												"febf::1",
												"fec0::1",
												"ff02::1",
												"ffff::1"};

static const char *const good_lists[] = {"",
										 " ",
										 "10.0.0.0/8",
										 "10.1.2.3",
										 "10.1.2.3/32",
										 "0.0.0.0/0",
										 "::/0",
										 "fd00::/8,10.0.0.0/8",
										 " 10.0.0.0/8 ,\tfd00::1/128 ",
										 "::ffff:10.0.0.0/104"};

static const char *const bad_lists[] = {
	",",
	"10.0.0.0/8,",
	",10.0.0.0/8",
	"10.0.0.0/8,,fd00::/8",
	"10.0.0.0/8 fd00::/8",
	"10.0.0.0/33",
	"fd00::/129",
	"10.0.0.0/",
	"10.0.0.0/-1",
	"10.0.0.0/+8",
	"10.0.0.0/8x",
	"10.0.0.0/08888",
	"10.0.0.1/8",
	"fd00::1/8",
	"10.0.0",
	"010.0.0.1",
	"0x0a000001",
	"localhost",
	"*",
	"10.0.0.0/8/8",
	"fe80::1%eth0",
	"10.0.0.0/8, ",
	"1111111111111111111111111111111111111111111111111111111111111111111111111111"};

static const char *const private_addresses[] = {
	"10.0.0.0",        "10.255.255.255",  "172.16.0.0", "172.31.255.255", "192.168.0.0",
	"192.168.255.255", "::ffff:10.0.0.1", "fc00::",     "fd00:ec2::253",  "fdff:ffff::1"};

/* Neither public nor of a private network */
static const char *const closed_addresses[] = {
	"0.0.0.0",         "9.255.255.255", "11.0.0.0",      "100.64.0.1",      "100.100.100.200",
	"127.0.0.1",       "168.63.129.16", "169.254.0.1",   "169.254.169.254", "172.15.255.255",
	"172.32.0.0",      "192.0.0.192",   "192.167.0.1",   "192.169.0.0",     "224.0.0.1",
	"255.255.255.255", "::1",           "fd00:ec2::254", "fd20:ce::254",    "fe80::1",
	"fbff::1",         "fe00::1",       "ff02::1",       "64:ff9b::a00:1",  "2002:a00:1::"};

static const char *const good_hosts[] = {"",
										 " ",
										 "git",
										 "git.corp.example",
										 "GIT.corp.example,\ta-1.b2 ",
										 "1.a",
										 "xn--bcher-kva.example"};

static const char *const bad_hosts[] = {",",
										"a,",
										",a",
										"a,,b",
										"a b",
										"10.0.0.1",
										"a.1",
										"a.",
										".a",
										"a..b",
										"*.a",
										"*",
										"a/8",
										"https://a",
										"a:443",
										"[::1]",
										"::1",
										"a_b",
										"b\xc3\xbc.example",
										"user@a",
										"2130706433",
										"git.corp.example."};

static const struct
{
	const char *list;
	const char *host;
	bool contained;
} exceptions[] = {{"", "a.example", false},
				  {"*", "a.example", true},
				  {"*", "10.0.0.1", true},
				  {"a.example", "a.example", true},
				  {"a.example", "A.EXAMPLE", true},
				  {"a.example", "a.example.", true},
				  {"a.example", "b.a.example", true},
				  {"a.example", "ba.example", false},
				  {"a.example", "a.example.evil", false},
				  {"a.example", "example", false},
				  {".a.example", "a.example", true},
				  {".a.example", "b.a.example", true},
				  {"x , .a.example", "b.a.example", true},
				  {"10.0.0.0/8, fd00::/8", "10.1.2.3", true},
				  {"10.0.0.0/8, fd00::/8", "[fd12::1]", true},
				  {"10.0.0.0/8, fd00::/8", "[::ffff:10.1.2.3]", true},
				  {"10.0.0.0/8, fd00::/8", "11.1.2.3", false},
				  {"10.0.0.0/8", "10.example", false},
				  {"10.1.2.3", "10.1.2.3", true},
				  {"::1", "[::1]", true},
				  {"3.example", "1.2.3", false}};

static const char *const bad_exceptions[] = {
	",",    "a,,b",  "a b",       "*.a",        "*a",     "..a",          ".",
	"a:80", "[::1]", "https://a", "10.0.0.1/8", "10.0.0", "b\xc3\xbc.de", "user@a"};

static struct sockaddr_storage
address(const char *text)
{
	struct sockaddr_storage storage;
	struct sockaddr_in *ipv4 = (struct sockaddr_in *) &storage;
	struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *) &storage;

	memset(&storage, 0, sizeof(storage));
	if (inet_pton(AF_INET, text, &ipv4->sin_addr) == 1)
		storage.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &ipv6->sin6_addr) == 1)
		storage.ss_family = AF_INET6;
	return storage;
}

static bool
is_public(const char *text)
{
	struct sockaddr_storage storage = address(text);

	return network_is_public((struct sockaddr *) &storage);
}

static bool
is_loopback(const char *text)
{
	struct sockaddr_storage storage = address(text);

	return network_is_loopback((struct sockaddr *) &storage);
}

static bool
is_private(const char *text)
{
	struct sockaddr_storage storage = address(text);

	return network_is_private((struct sockaddr *) &storage);
}

static bool
contains(const char *list, const char *text)
{
	struct sockaddr_storage storage = address(text);

	return network_list_contains(list, (struct sockaddr *) &storage);
}

int
main(void)
{
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	size_t i;

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

	for (i = 0; i < COUNT(public_addresses); i++)
		ok(is_public(public_addresses[i]), "%s is public", public_addresses[i]);
	for (i = 0; i < COUNT(special_addresses); i++)
		ok(!is_public(special_addresses[i]), "%s is not public", special_addresses[i]);
	ok(!network_is_public((struct sockaddr *) &local), "a local socket is not public");
	ok(!contains("0.0.0.0/0,::/0", "") &&
		   !network_list_contains("::/0", (struct sockaddr *) &local),
	   "a local socket is in no list");

	ok(is_loopback("127.0.0.1") && is_loopback("127.9.9.9") && is_loopback("::1") &&
		   is_loopback("::ffff:127.0.0.1"),
	   "loopback addresses are known");
	ok(!is_loopback("128.0.0.1") && !is_loopback("::2") && !is_loopback("0.0.0.0") &&
		   !is_loopback("64:ff9b::127.0.0.1") && !is_loopback("10.0.0.1"),
	   "others are not taken for loopback");

	for (i = 0; i < COUNT(private_addresses); i++)
		ok(is_private(private_addresses[i]) && !is_public(private_addresses[i]), "%s is private",
		   private_addresses[i]);
	for (i = 0; i < COUNT(closed_addresses); i++)
		ok(!is_private(closed_addresses[i]), "%s is not", closed_addresses[i]);
	ok(!network_is_private((struct sockaddr *) &local), "nor is a local socket");

	for (i = 0; i < COUNT(good_hosts); i++)
		ok(network_hosts_valid(good_hosts[i]), "\"%s\" is a list of hosts", good_hosts[i]);
	for (i = 0; i < COUNT(bad_hosts); i++)
		ok(!network_hosts_valid(bad_hosts[i]), "\"%s\" is none", bad_hosts[i]);
	ok(network_hosts_contain("a.example", "a.example") &&
		   network_hosts_contain("a.example , B.example", "b.EXAMPLE"),
	   "a host is found in a list, whatever its case");
	ok(!network_hosts_contain("a.example", "b.a.example") &&
		   !network_hosts_contain("b.a.example", "a.example") &&
		   !network_hosts_contain("a.example", "a.example.") &&
		   !network_hosts_contain("a.example", "a.example.evil") &&
		   !network_hosts_contain("a.example", "") && !network_hosts_contain("", "a.example") &&
		   !network_hosts_contain("", ""),
	   "but not one below it, above it, or alike");

	for (i = 0; i < COUNT(exceptions); i++)
		ok(network_exceptions_valid(exceptions[i].list) &&
			   network_exceptions_contain(exceptions[i].list, exceptions[i].host) ==
				   exceptions[i].contained,
		   "%s is %sin \"%s\"", exceptions[i].host, exceptions[i].contained ? "" : "not ",
		   exceptions[i].list);
	for (i = 0; i < COUNT(bad_exceptions); i++)
		ok(!network_exceptions_valid(bad_exceptions[i]), "\"%s\" is no list of exceptions",
		   bad_exceptions[i]);

	for (i = 0; i < COUNT(good_lists); i++)
		ok(network_list_valid(good_lists[i]), "\"%s\" is a list of networks", good_lists[i]);
	for (i = 0; i < COUNT(bad_lists); i++)
		ok(!network_list_valid(bad_lists[i]), "\"%s\" is none", bad_lists[i]);

	ok(contains("10.0.0.0/8", "10.255.255.255") && !contains("10.0.0.0/8", "11.0.0.0"),
	   "an IPv4 network has its addresses and no others");
	ok(contains("172.16.0.0/12", "172.31.255.255") && !contains("172.16.0.0/12", "172.32.0.0"),
	   "a prefix may end inside a byte");
	ok(contains("fd00:1::/31", "fd00:0:ffff::") == false && contains("fd00::/31", "fd00:1::1") &&
		   !contains("fd00::/31", "fd00:2::"),
	   "in IPv6 as well");
	ok(contains("192.168.1.1, fd00::/8", "fd12::1") &&
		   contains("192.168.1.1, fd00::/8", "192.168.1.1") &&
		   !contains("192.168.1.1, fd00::/8", "192.168.1.2"),
	   "every item of a list counts");
	ok(contains("0.0.0.0/0", "255.0.0.1") && !contains("0.0.0.0/0", "fd00::1"),
	   "0.0.0.0/0 is IPv4 only");
	ok(contains("::/0", "fd00::1") && !contains("::/0", "10.0.0.1"), "::/0 is IPv6 only");
	ok(contains("10.0.0.0/8", "::ffff:10.1.1.1") && contains("10.0.0.0/8", "64:ff9b::10.1.1.1"),
	   "an IPv6 address is also judged by the IPv4 address it carries");
	ok(!contains("", "10.0.0.1"), "an empty list has nothing");
	return tap_done();
}
