/*
 * transfer.h
 *	  One HTTP transfer: its libcurl handle, and what became of it.
 */
#ifndef APPUSER_CONNECTORS_HTTP_TRANSFER_H
#define APPUSER_CONNECTORS_HTTP_TRANSFER_H

#include <curl/curl.h>

#include "http/connection.h"
#include "http/message.h"
#include "http/rules.h"

/* What the response says when this machine is at fault */
#define OUT_OF_RESOURCES "this server has no memory or no file descriptor left for it"

struct HttpTransfer
{
	/* of http.c */
	struct HttpTransfer *next; /* in running or completed */
	struct HttpTransfer **link;
	struct HttpPool *pool; /* while it runs */
	void *owner;
	int64_t started_at; /* milliseconds, as http.c counts */
	long timeout_ms;

	CURL *easy;
	const HttpRules *rules;
	struct curl_slist *headers;
	char *body;
	size_t body_len;
	HttpConnection connection;

	long looked_up_ms; /* what went before the run that counts */
	bool unwatched;    /* by http.c: its socket is not in the epoll set */

	/* of the answer */
	size_t header_bytes;
	bool headers_ended; /* by an empty line, after the last status line */
	size_t body_capacity;
	bool too_large;
	bool encoded; /* the answer is, once */
	bool out_of_memory;
	char curl_error[CURL_ERROR_SIZE];

	HttpResponse response;
};

/*
 * Makes the libcurl handle of a request, which must not outlive the rules and
 * the TLS sessions.  False when it cannot or must not start; the response says
 * why.
 */
extern bool http_transfer_prepare(HttpTransfer *transfer, const HttpRequest *request,
								  const HttpRules *rules, CURLSH *sessions);

/*
 * Whether a run that ended so has only found out the way: then the handle is ready for
 * another, and the time that is left for it.
 */
extern bool http_transfer_goes_on(HttpTransfer *transfer, CURLcode code, long elapsed_ms);

/* Fills the response from libcurl's result. */
extern void http_transfer_finish(HttpTransfer *transfer, CURLcode code);

/* Fills the response of a transfer that did not start; always false. */
extern bool http_transfer_fail(HttpTransfer *transfer, HttpOutcome outcome, const char *reason);

/* The same, when this machine has no memory or file descriptor for it */
extern void http_transfer_out_of_resources(HttpTransfer *transfer);

/* Frees the libcurl handle and cleanses the request; the response stays. */
extern void http_transfer_release(HttpTransfer *transfer);

#endif
