/*
 * revocation.h
 *	  The outbox of tokens to revoke at their provider (RFC 7009).
 */
#ifndef APPUSER_CONNECTORS_REVOCATION_H
#define APPUSER_CONNECTORS_REVOCATION_H

#include "connection.h"
#include "connector.h"

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

#endif
