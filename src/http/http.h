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
#ifndef APPUSER_CONNECTORS_HTTP_HTTP_H
#define APPUSER_CONNECTORS_HTTP_HTTP_H

#include "http/message.h"

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

/* The same of a list of hosts that are called without the proxy: see network.h. */
extern bool http_valid_exceptions(const char *list);

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

#endif
