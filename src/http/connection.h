/*
 * connection.h
 *	  The connection of one transfer: to which address, under what TLS.
 */
#ifndef APPUSER_CONNECTORS_HTTP_CONNECTION_H
#define APPUSER_CONNECTORS_HTTP_CONNECTION_H

#include <curl/curl.h>

#include "http/message.h"
#include "http/rules.h"

#define HTTP_ADDRESS_SIZE 64
#define HTTP_HOST_SIZE 256

/* How the host is reached */
typedef enum HttpWay
{
	HTTP_WAY_DIRECT,
	HTTP_WAY_LOOKUP, /* not yet: only its name is looked up, and the addresses are checked */
	HTTP_WAY_PROXY   /* through a proxy's tunnel */
} HttpWay;

typedef struct HttpConnection
{
	const HttpRules *rules;
	bool insecure;    /* http */
	bool host_listed; /* it may be on a private address */
	HttpWay way;
	char host[HTTP_HOST_SIZE]; /* cut off if no name can be as long */

	/* what became of it */
	int addresses_tried;
	char refused[HTTP_ADDRESS_SIZE]; /* the last address that the rules refused */
	bool request_began;              /* it was ready for the request */
	bool no_resources;               /* no socket could be made */
	bool is_loopback;                /* an address that was looked up is this machine's */
	int proxy_reads;                 /* of the proxy's answer */
} HttpConnection;

/* The host of a URL that has been checked; decides the way. */
extern void http_connection_to(HttpConnection *connection, const char *host);

/*
 * Sets the options of a libcurl handle that its connection is made by.  The connection
 * and its rules must live as long as the handle.
 */
extern CURLcode http_connection_options(HttpConnection *connection, CURL *easy, CURLSH *sessions);

/*
 * After a run of libcurl's that ended so: was it a look-up, by which the host may be called?
 * Then the way is known, and the options are set for it.
 */
extern bool http_connection_goes_on(HttpConnection *connection, CURL *easy, CURLcode code);

/* Is what libcurl receives the proxy's answer, and not the host's? */
extern bool http_connection_is_tunneling(const HttpConnection *connection);

/*
 * Says why there is no connection, by one of our own phrases, which name no address, port
 * or file; text has HTTP_ERROR_SIZE bytes.
 */
extern void http_connection_failure(const HttpConnection *connection, CURL *easy, CURLcode code,
									char *text);

#endif
