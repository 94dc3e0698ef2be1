/*
 * message.h
 *	  A request, its response, and the rules they are under.
 */
#ifndef APPUSER_CONNECTORS_HTTP_MESSAGE_H
#define APPUSER_CONNECTORS_HTTP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One under way, from http_start on */
typedef struct HttpTransfer HttpTransfer;

#define HTTP_MAX_BODY (1024 * 1024)
#define HTTP_MAX_HEADER (64 * 1024)
#define HTTP_ERROR_SIZE 256

typedef struct HttpPolicy
{
	bool allow_insecure_loopback; /* loopback addresses, by http too */
	const char *allowed_networks; /* comma-separated CIDR list, or "" */
	const char *allowed_hosts;    /* names that may be on private addresses, or "" */
	const char *ca_file;          /* extra authorities, or "" */
	long connect_timeout_ms;
	long request_timeout_ms;
	const char *proxy;    /* URL of a forward proxy, its user and password percent-encoded in
							 it; "" or NULL: none */
	const char *no_proxy; /* hosts that are called without it, or NULL */
	bool proxy_unknown;   /* there is one, whose URL cannot be had: nothing is sent to it */
} HttpPolicy;

typedef struct HttpHeader
{
	const char *name;
	const char *value;
} HttpHeader;

typedef struct HttpRequest
{
	const char *url;          /* may hold secrets */
	const char *content_type; /* NULL without content */
	const char *body;         /* NULL = GET; copied, and the copy cleansed */
	const char *method;       /* NULL: POST if there is a body; copied */
	size_t body_len;
	const char *authorization; /* Authorization header's value, or NULL; copied */
	const HttpHeader *headers; /* more; copied */
	int n_headers;
	long timeout_ms; /* 0: the policy's, which is the most there is */
} HttpRequest;

typedef enum HttpOutcome
{
	HTTP_ANSWERED,   /* status, body */
	HTTP_NOT_SENT,   /* name resolution, connection, a proxy, TLS: the provider has
								 * not seen the request */
	HTTP_FORBIDDEN,  /* refused by the policy; nothing was sent */
	HTTP_UNANSWERED, /* sent, or perhaps sent, and no whole answer came:
								 * what the provider did is unknown */
	HTTP_TOO_LARGE,  /* an answer beyond the caps */
	HTTP_FAILED      /* out of memory, a URL libcurl does not take */
} HttpOutcome;

typedef struct HttpResponse
{
	HttpOutcome outcome;
	int status;
	char *body; /* NUL-terminated; may hold NULs inside */
	size_t body_len;
	char *content_type; /* NULL when absent */
	char *retry_after;  /* NULL when absent */
	bool local_trouble; /* not answered through no fault of the provider or network: this
								 * machine has no memory or file descriptor left */

	/*
	 * Why it is not answered.  error is one of our own phrases and may be shown to anyone
	 * who may see the connection; detail is for the server log only, since it may say
	 * which address a name has, and other things of the network that the server is in.
	 * Neither holds a secret, nor a URL's query.
	 */
	char error[HTTP_ERROR_SIZE];
	char detail[HTTP_ERROR_SIZE];
	double seconds;
} HttpResponse;

/* Cleanses and frees the body and strings. */
extern void http_response_free(HttpResponse *response);

#endif
