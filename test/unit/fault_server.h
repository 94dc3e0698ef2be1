/*
 * fault_server.h
 *	  Starts test/provider/fault-server.mjs for a unit test and talks to its
 *	  control endpoint by a socket of its own, not by the code under test.
 */
#ifndef APPUSER_CONNECTORS_FAULT_SERVER_H
#define APPUSER_CONNECTORS_FAULT_SERVER_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAULT_SERVER "test/provider/fault-server.mjs"

typedef struct FaultServer
{
	pid_t pid;
	int in; /* its standard input: closing it ends the server */
	int port;
} FaultServer;

/* Up to six arguments after the fixed ones; the list ends with NULL. */
static inline FaultServer
fault_server_start(const char *argument, ...)
{
	FaultServer server = {0};
	const char *node = getenv("NODE");
	char *argv[16] = {node ? (char *) node : "node", FAULT_SERVER, "--lifetime", "120"};
	int argc = 4;
	int in[2];
	int out[2];
	char line[512];
	const char *port;
	FILE *ready;
	va_list args;

	va_start(args, argument);
	for (; argument != NULL && argc < 15; argument = va_arg(args, const char *))
		argv[argc++] = (char *) argument;
	va_end(args);

	if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
		exit(2);
	server.pid = fork();
	if (server.pid == 0)
	{
		dup2(in[0], 0);
		dup2(out[1], 1);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	server.in = in[1];
	ready = fdopen(out[0], "r");
	if (ready == NULL || fgets(line, sizeof(line), ready) == NULL ||
		(port = strstr(line, "\"port\":")) == NULL)
	{
		printf("Bail out! %s did not start\n", FAULT_SERVER);
		exit(2);
	}
	server.port = atoi(port + 7);
	fclose(ready);
	return server;
}

static inline void
fault_server_stop(FaultServer *server)
{
	close(server->in);
	waitpid(server->pid, NULL, 0);
}

/*
 * One request to the control endpoint of a server without TLS: POST when there
 * is a body.  The answer's body, to be freed.
 */
static inline char *
fault_server_control(const FaultServer *server, const char *path, const char *body)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(server->port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t size = 8192 + (body ? strlen(body) : 0);
	size_t len;
	size_t done;
	ssize_t got;
	char *text = malloc(size);
	char *start;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *) &address, sizeof(address)) != 0)
	{
		printf("Bail out! no connection to %s\n", FAULT_SERVER);
		exit(2);
	}
	len =
		snprintf(text, size, "%s %s HTTP/1.1\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
				 body ? "POST" : "GET", path, body ? strlen(body) : 0, body ? body : "");
	for (done = 0; done < len; done += got)
		if ((got = write(fd, text + done, len - done)) <= 0)
			exit(2);
	for (len = 0; (got = read(fd, text + len, size - len - 1)) > 0;)
	{
		len += got;
		if (len + 1 == size)
			text = realloc(text, size *= 2);
	}
	close(fd);
	text[len] = '\0';
	start = strstr(text, "\r\n\r\n");
	if (start == NULL || strncmp(text, "HTTP/1.1 200", 12) != 0)
	{
		printf("Bail out! %s answered %.60s\n", FAULT_SERVER, text);
		exit(2);
	}
	memmove(text, start + 4, strlen(start + 4) + 1);
	return text;
}

static inline void fault_server_rules(const FaultServer *server, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static inline void
fault_server_rules(const FaultServer *server, const char *format, ...)
{
	char *json;
	va_list args;

	free(fault_server_control(server, "/__ctl", "{\"reset\":true}"));
	va_start(args, format);
	if (vasprintf(&json, format, args) < 0)
		exit(2);
	va_end(args);
	free(fault_server_control(server, "/__ctl", json));
	free(json);
}

/* How often "name":number stands for in an object of the records. */
static inline int
fault_server_number(const char *records, const char *object, const char *name)
{
	char key[128];
	const char *start;
	const char *end;
	const char *found;

	snprintf(key, sizeof(key), "\"%s\":{", object);
	start = strstr(records, key);
	if (start == NULL)
		return 0;
	end = strchr(start, '}');
	snprintf(key, sizeof(key), "\"%s\":", name);
	found = strstr(start, key);
	return found != NULL && found < end ? atoi(found + strlen(key)) : 0;
}

/* How many requests a path has seen. */
static inline int
fault_server_count(const FaultServer *server, const char *path)
{
	char *records = fault_server_control(server, "/__ctl", NULL);
	int count = fault_server_number(records, "counts", path);

	free(records);
	return count;
}

#endif
