/*
 * http_socket.c
 *	  The sockets of HTTP connections, so that an answer nobody asked for is not
 *	  taken for the answer to the next request.
 *
 * HTTP/1.1 ties an answer to its request by nothing but their order on the
 * connection (RFC 9112 §9.3).  Where a provider, or a proxy before it, answers
 * twice, the second answer waits on the kept connection and would give one app
 * user's tokens to another.  libcurl (before 8.0) uses such a connection again.
 * So one on which anything has arrived while no transfer used it is shut down
 * before the next transfer begins; libcurl then takes another.
 *
 * Must not know OAuth, nor PostgreSQL, nor what travels on the sockets.
 */
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_socket.h"

/* poll() passes by negative descriptors: ~fd is one in use. */
static struct pollfd *sockets = NULL;
static int n_sockets = 0;
static int capacity = 0;

static struct pollfd *find_socket(int fd);

static struct pollfd *
find_socket(int fd)
{
	int i;

	for (i = 0; i < n_sockets; i++)
		if (sockets[i].fd == fd || sockets[i].fd == ~fd)
			return &sockets[i];
	return NULL;
}

bool
http_socket_opened(int fd)
{
	if (n_sockets == capacity)
	{
		int larger = capacity == 0 ? 16 : capacity * 2;
		struct pollfd *moved = realloc(sockets, sizeof(struct pollfd) * larger);

		if (moved == NULL)
			return false;
		sockets = moved;
		capacity = larger;
	}
	sockets[n_sockets].fd = ~fd;
	sockets[n_sockets].events = POLLIN;
	n_sockets++;
	return true;
}

int
http_socket_close(void *arg, int fd)
{
	struct pollfd *socket = find_socket(fd);

	(void) arg;
	if (socket != NULL)
		*socket = sockets[--n_sockets];
	return close(fd);
}

void
http_socket_in_use(int fd, bool in_use)
{
	struct pollfd *socket = find_socket(fd);

	if (socket != NULL)
		socket->fd = in_use ? ~fd : fd;
}

void
http_sockets_end_unclean(void)
{
	int i;

	if (n_sockets == 0 || poll(sockets, n_sockets, 0) <= 0)
		return;
	for (i = 0; i < n_sockets; i++)
		if (sockets[i].fd >= 0 && sockets[i].revents != 0)
			shutdown(sockets[i].fd, SHUT_RDWR);
}
