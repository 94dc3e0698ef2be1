/*
 * http.h
 *	  Many HTTP transfers at once, driven by one epoll set: libcurl's multi
 *	  interface with the rules of this extension.
 *
 * https only, unless the policy allows http on loopback; no redirects; caps on
 * headers and body; addresses checked after name resolution.  Knows neither
 * OAuth nor PostgreSQL's backend: no palloc, no ereport, plain malloc, so that
 * nothing can longjmp through libcurl.
 */
#ifndef APPUSER_CONNECTORS_HTTP_H
#define APPUSER_CONNECTORS_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
} HttpPolicy;

typedef struct HttpRequest
{
	const char *url;
	const char *content_type; /* NULL with GET */
	const char *body;         /* NULL = GET; copied, and the copy cleansed */
	size_t body_len;
	const char *authorization; /* Authorization header's value, or NULL; copied */
} HttpRequest;

typedef enum HttpOutcome
{
	HTTP_ANSWERED,   /* status, body */
	HTTP_NOT_SENT,   /* name resolution, connection, TLS: the provider has
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
	char *content_type;          /* NULL when absent */
	char *retry_after;           /* NULL when absent */
	char error[HTTP_ERROR_SIZE]; /* for a person; no secret, no URL query */
	double seconds;
} HttpResponse;

typedef struct HttpTransfer HttpTransfer;

/*
 * Once a process, before the first transfer; false when libcurl fails.  Never
 * in the postmaster: libcurl and OpenSSL may start threads.
 */
extern bool http_init(void);

/* Ends all transfers and frees everything. */
extern void http_shutdown(void);

/*
 * Takes effect for transfers started from now on; strings are copied.  False
 * when one of the lists cannot be parsed (the old policy stays).
 */
extern bool http_set_policy(const HttpPolicy *policy);

/* True when a comma-separated list of CIDRs, or of host names, is well formed ("" is). */
extern bool http_valid_networks(const char *list);
extern bool http_valid_hosts(const char *list);

/* The epoll descriptor to wait on for reading, and for how long at most
 * (-1 = no limit). */
extern int http_epoll_fd(void);
extern long http_timeout_ms(void);

/*
 * Starts a transfer; owner comes back with its completion.  Never NULL: a
 * request that cannot be started completes at once with its outcome.  (NULL
 * only out of memory.)
 */
extern HttpTransfer *http_start(const HttpRequest *request, void *owner);

/* Does what can be done now, without blocking. */
extern void http_drive(void);

/*
 * The next completed transfer's owner, with its response moved to *response
 * (free it with http_response_free), or NULL when there is none.
 */
extern void *http_next_completed(HttpResponse *response);

/* Abandons one; its owner never comes back. */
extern void http_cancel(HttpTransfer *transfer);

extern int http_in_flight(void);

/* Cleanses and frees the body and strings. */
extern void http_response_free(HttpResponse *response);

#endif
