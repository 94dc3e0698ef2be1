/*
 * revocation.h
 *	  The outbox of tokens to revoke at their provider (RFC 7009).
 */
#ifndef APPUSER_CONNECTORS_WORKER_REVOCATION_H
#define APPUSER_CONNECTORS_WORKER_REVOCATION_H

#include "store/connection.h"
#include "store/connector.h"
#include "worker/flight.h"

/*
 * Queues tokens of a grant, either of which may be NULL, for revocation once this
 * transaction has committed.  Of the connection only app user, account, grant id
 * and name count; without a name, events of the revocation name nobody.  connector
 * must be open.  Returns false, having done nothing, where the provider has no
 * revocation endpoint.
 */
extern bool revocation_queue(const Connector *connector, const Connection *connection,
							 const char *access_token, const char *refresh_token);

/*
 * The same for a connection that this transaction deleted, with its event (NULL: the
 * person is erased).  connector may be one that cannot be opened; then the tokens are
 * only forgotten.
 */
extern void revocation_queue_deleted(Connector *connector, const Connection *deleted,
									 const char *event);

/* For the worker: what is due; returns when the next is. */
extern TimestampTz revocation_start_due(void);

extern const FlightKind revocation_flight;

#endif
