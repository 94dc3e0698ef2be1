/*
 * transfer.h
 *	  One HTTP transfer: its libcurl handle, and what became of it.
 */
#ifndef APPUSER_CONNECTORS_HTTP_TRANSFER_H
#define APPUSER_CONNECTORS_HTTP_TRANSFER_H

#include <netinet/in.h>

#include <curl/curl.h>

#include "http/message.h"

/*
 * What libcurl receives into.  From 8.7 on this buffer belongs to the multi handle and keeps
 * what was received last; http.c knows it by this size, which nothing else has.
 */
#define HTTP_TRANSFER_BUFFER_SIZE (16 * 1024 + 48)

/* An HttpPolicy with copies of its strings. */
typedef struct HttpRules
{
	bool allow_insecure_loopback;
	char *allowed_networks;
	char *allowed_hosts;
	char *ca_file;
	char *authorities; /* what ca_file held, PEM; NULL when it cannot be read */
	long connect_timeout_ms;
	long request_timeout_ms;
} HttpRules;

struct HttpTransfer
{
	/* of http.c */
	struct HttpTransfer *next; /* in running or completed */
	struct HttpTransfer **link;
	struct HttpPool *pool; /* while it runs */
	void *owner;

	CURL *easy;
	const HttpRules *rules;
	struct curl_slist *headers;
	char *body;
	size_t body_len;
	bool insecure;    /* http */
	bool host_listed; /* it may be on a private address */

	bool request_began; /* on a connection that was ready for it, in some try */
	size_t header_bytes;
	bool headers_ended; /* by an empty line, after the last status line */
	size_t body_capacity;
	bool too_large;
	bool out_of_memory;
	int addresses_tried;
	char refused[INET6_ADDRSTRLEN]; /* the last address that the rules refused */
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

/* To be called before libcurl is: what a connection may bring is counted anew. */
extern void http_transfer_begin_call(void);

/* Fills the response from libcurl's result. */
extern void http_transfer_finish(HttpTransfer *transfer, CURLcode code);

/* Fills the response of a transfer that did not start; always false. */
extern bool http_transfer_fail(HttpTransfer *transfer, HttpOutcome outcome, const char *reason);

/* Frees the libcurl handle and cleanses the request; the response stays. */
extern void http_transfer_release(HttpTransfer *transfer);

#endif
