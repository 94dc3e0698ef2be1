/*
 * connection.h
 *	  The connection of one transfer: to which address, under what TLS.
 */
#ifndef APPUSER_CONNECTORS_HTTP_CONNECTION_H
#define APPUSER_CONNECTORS_HTTP_CONNECTION_H

#include <curl/curl.h>

#include "http/message.h"

/* Sets the options of the transfer's libcurl handle that a connection is made by. */
extern CURLcode http_connection_options(HttpTransfer *transfer, CURLSH *sessions);

/*
 * Says why there is no connection, by one of our own phrases, which name no address, port
 * or file; text has HTTP_ERROR_SIZE bytes.
 */
extern void http_connection_failure(const HttpTransfer *transfer, CURLcode code, char *text);

#endif
