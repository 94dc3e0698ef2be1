/*
 * http_client.h
 *	  What the tests of http.h share: requests to a fault server, one at a time.
 */
#ifndef APPUSER_CONNECTORS_HTTP_CLIENT_H
#define APPUSER_CONNECTORS_HTTP_CLIENT_H

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "http/http.h"
#include "fault_server.h"
#include "tap.h"

static char directory[] = "/tmp/http_test.XXXXXX"; /* with certificates */
static FaultServer plain;                          /* without TLS */
static double slowest_call = 0;
static long connect_timeout = 5000;
static const char *allowed_hosts = "";
static const char *proxy = "";
static const char *no_proxy = "";

static inline double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static inline void
policy(bool loopback, const char *networks, const char *ca_file, long request_timeout)
{
	HttpPolicy policy = {loopback,        networks,        allowed_hosts, ca_file,
						 connect_timeout, request_timeout, proxy,         no_proxy};

	if (!http_set_policy(&policy))
		printf("Bail out! policy refused\n");
}

static inline const char *
certificate(const char *name)
{
	static char paths[4][128];
	static int next = 0;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s.pem", directory, name);
	return path;
}

static inline HttpTransfer *
start(void *owner, const char *url, const char *body)
{
	HttpRequest request = {.url = url};

	if (body != NULL)
	{
		request.body = body;
		request.body_len = strlen(body);
		request.content_type = "application/x-www-form-urlencoded";
	}
	return http_start(&request, owner);
}

/* Drives until something is completed, at most ten seconds. */
static inline void *
next_completed(HttpResponse *response)
{
	double deadline = now() + 10;
	void *owner;

	while ((owner = http_next_completed(response)) == NULL && now() < deadline)
	{
		struct pollfd fd = {http_epoll_fd(), POLLIN, 0};
		long wait = http_timeout_ms();
		double began;

		poll(&fd, 1, wait < 0 || wait > 1000 ? 1000 : (int) wait);
		began = now();
		http_drive();
		if (now() - began > slowest_call)
			slowest_call = now() - began;
	}
	if (owner == NULL)
		memset(response, 0xff, sizeof(*response));
	return owner;
}

static inline HttpOutcome fetch(HttpResponse *response, const char *body, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static inline HttpOutcome
fetch(HttpResponse *response, const char *body, const char *format, ...)
{
	char url[512];
	va_list args;
	int owner;

	va_start(args, format);
	vsnprintf(url, sizeof(url), format, args);
	va_end(args);
	start(&owner, url, body);
	if (next_completed(response) != &owner)
	{
		printf("Bail out! %s never completed\n", url);
		exit(2);
	}
	return response->outcome;
}

/* For tests that look at the outcome only. */
static inline HttpOutcome
outcome(const FaultServer *server, const char *path)
{
	HttpResponse response;
	HttpOutcome result = fetch(&response, "a=b", "http://127.0.0.1:%d%s", server->port, path);

	http_response_free(&response);
	return result;
}

static inline HttpOutcome
outcome_of_url(const char *format, int port)
{
	char url[512];
	HttpResponse response;
	HttpOutcome result;

	snprintf(url, sizeof(url), format, port);
	result = fetch(&response, NULL, "%s", url);
	http_response_free(&response);
	return result;
}

static inline int
connections_of(const char *records)
{
	bool seen[1000] = {false};
	int count = 0;

	while ((records = strstr(records, "\"connection\":")) != NULL)
	{
		int id;

		records += strlen("\"connection\":");
		id = atoi(records);
		if (id > 0 && id < 1000 && !seen[id])
		{
			seen[id] = true;
			count++;
		}
	}
	return count;
}

static inline void
remove_directory(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", directory);
	if (system(command) != 0)
		printf("# %s was left behind\n", directory);
}

/* The directory, the server, and a broken connection that is no signal */
static inline void
set_up(void)
{
	char command[128];

	signal(SIGPIPE, SIG_IGN);
	if (mkdtemp(directory) == NULL)
		exit(2);
	atexit(remove_directory);
	snprintf(command, sizeof(command), "test/provider/make-certificates %s", directory);
	if (system(command) != 0)
		exit(2);
	plain = fault_server_start(NULL);
}

/* Of the certificate for localhost, with more arguments or NULL */
static inline FaultServer
start_secure(const char *argument, const char *value)
{
	static char key[128];

	snprintf(key, sizeof(key), "%s/localhost-key.pem", directory);
	return fault_server_start("--tls-cert", certificate("localhost"), "--tls-key", key, argument,
							  value, NULL);
}

#endif
