/*
 * http_socket.h
 *	  The sockets of HTTP connections: which of them wait for nothing.
 */
#ifndef APPUSER_CONNECTORS_HTTP_SOCKET_H
#define APPUSER_CONNECTORS_HTTP_SOCKET_H

#include <stdbool.h>

/* Takes a new socket on the list; false when out of memory. */
extern bool http_socket_opened(int fd);

/* libcurl's CURLOPT_CLOSESOCKETFUNCTION: takes it off and closes it. */
extern int http_socket_close(void *arg, int fd);

/* A transfer waits for it, or none does any more. */
extern void http_socket_in_use(int fd, bool in_use);

/* Before a transfer may use a kept connection: ends those that are not clean. */
extern void http_sockets_end_unclean(void);

#endif
