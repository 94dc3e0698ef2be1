/*
 * client_record.h
 *	  As much of a connector as it takes to revoke tokens after it is gone, as bytes to be
 *	  sealed.
 */
#ifndef APPUSER_CONNECTORS_WORKER_CLIENT_RECORD_H
#define APPUSER_CONNECTORS_WORKER_CLIENT_RECORD_H

#include "lib/stringinfo.h"

#include "store/connector.h"

/* More than a client takes, besides what its URL, id and secret do */
#define MAX_CLIENT_RECORD (48 * 1024)

/*
 * revocation_endpoint, and headers with fields in them, are those of the connection
 * with this configuration (NULL: none).  The connector must be open.
 */
extern void client_record_put(StringInfo record, const Connector *connector,
							  const char *revocation_endpoint, Jsonb *connection_config);

/* Into a connector that is all zero but for its id; what it holds is secret memory. */
extern void client_record_get(StringInfo record, Connector *connector);

#endif
