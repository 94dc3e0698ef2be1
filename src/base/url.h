/*
 * url.h
 *	  Checking and taking apart URLs that admins and callers give.
 */
#ifndef APPUSER_CONNECTORS_BASE_URL_H
#define APPUSER_CONNECTORS_BASE_URL_H

#define URL_MAX_BYTES 2048

/*
 * Why url cannot be an endpoint of a provider (https, or http on loopback where
 * that is allowed; a host; no user, password or fragment), or NULL if it can.
 */
extern const char *url_endpoint_problem(const char *url);

/* Where its problem is that it is http: what to do, a sentence; else NULL */
extern const char *url_endpoint_hint(const char *url);

/*
 * Why url cannot be a redirect URI (https, http on loopback, or a private-use
 * scheme with a dot in it, RFC 8252 §7), or NULL if it can.
 */
extern const char *url_redirect_problem(const char *url);

/*
 * Why url cannot be that of a forward proxy (http or https, a host, a port, and nothing after
 * it but a slash), or NULL if it can.  A user name and password are written with percent
 * signs where RFC 3986 §3.2.1 asks for it.  No sentence shows any of it.
 */
extern const char *url_proxy_problem(const char *url, bool may_have_user);

/* "scheme://host:port" in lower case, palloc'ed; NULL when it has none */
extern char *url_origin(const char *url);

/* Its host, an IPv6 address without brackets, palloc'ed; NULL when it has none */
extern char *url_host(const char *url);

/*
 * Equal, or both http on the same loopback host and equal but for the port (RFC 8252
 * §7.3)
 */
extern bool url_redirect_matches(const char *registered, const char *given);

/*
 * True for a path ("/settings?tab=2") that a browser cannot take for another
 * host, as it is or normalised: no "//" at its beginning, no backslash, no control
 * character, no dot segment ("." or "..", "%2e" for either).
 */
extern bool url_is_local_path(const char *path);

#endif
