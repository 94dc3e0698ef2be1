/*
 * failure_log.h
 *	  What only the server log is told about a request without an answer.
 */
#ifndef APPUSER_CONNECTORS_WORKER_FAILURE_LOG_H
#define APPUSER_CONNECTORS_WORKER_FAILURE_LOG_H

#include "http/message.h"

/*
 * Events, status_reason and errors have the response's error; its detail, which may name
 * addresses, goes here.  The same about one connector is said once in a while.  Outside
 * transactions; raises no error.
 */
extern void failure_log(const char *kind, const char *connector_id, const HttpResponse *response);

#endif
