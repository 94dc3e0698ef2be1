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

typedef struct HttpConnection
{
	const HttpRules *rules;
	bool insecure;    /* http */
	bool host_listed; /* it may be on a private address */

	/* what became of it */
	int addresses_tried;
	char refused[HTTP_ADDRESS_SIZE]; /* the last address that the rules refused */
	bool request_began;              /* it was ready for the request */
	bool no_resources;               /* no socket could be made */
} HttpConnection;

/*
 * Sets the options of a libcurl handle that its connection is made by.  The connection
 * and its rules must live as long as the handle.
 */
extern CURLcode http_connection_options(HttpConnection *connection, CURL *easy, CURLSH *sessions);

/*
 * Says why there is no connection, by one of our own phrases, which name no address, port
 * or file; text has HTTP_ERROR_SIZE bytes.
 */
extern void http_connection_failure(CURL *easy, CURLcode code, char *text);

#endif
