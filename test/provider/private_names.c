/*
 * private_names.c
 *	  Preloaded into a server of a test: private.test is on 10.0.0.1, and
 *	  metadata.test on 169.254.169.254.  Nobody is there: who connects to one of
 *	  these comes to loopback.  Names below proxied.test are on $PROXIED_TEST, and
 *	  cannot be looked up where that is not set.  With $NO_NAMES no other can be.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
			struct addrinfo **result)
{
	static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (real == NULL)
		*(void **) &real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (node != NULL && strcmp(node, "private.test") == 0)
		node = "10.0.0.1";
	if (node != NULL && strcmp(node, "metadata.test") == 0)
		node = "169.254.169.254";
	if (node != NULL && strstr(node, ".proxied.test") != NULL)
	{
		node = getenv("PROXIED_TEST");
		if (node == NULL)
			return EAI_NONAME;
	}
	else if (node != NULL && getenv("NO_NAMES") != NULL &&
			 strspn(node, "0123456789abcdef.:") != strlen(node))
		return EAI_NONAME;
	return real(node, service, hints, result);
}

int
connect(int fd, const struct sockaddr *address, socklen_t len)
{
	static int (*real)(int, const struct sockaddr *, socklen_t);
	struct sockaddr_in here;

	if (real == NULL)
		*(void **) &real = dlsym(RTLD_NEXT, "connect");
	if (address->sa_family != AF_INET)
		return real(fd, address, len);
	memcpy(&here, address, sizeof(here));
	if (here.sin_addr.s_addr == inet_addr("10.0.0.1") ||
		here.sin_addr.s_addr == inet_addr("169.254.169.254"))
		here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return real(fd, (struct sockaddr *) &here, sizeof(here));
}
