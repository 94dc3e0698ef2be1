/*
 * revocation.h
 *	  The outbox of tokens to revoke at their provider (RFC 7009).
 */
#ifndef APPUSER_CONNECTORS_REVOCATION_H
#define APPUSER_CONNECTORS_REVOCATION_H

#include "connection.h"
#include "connector.h"

/*
 * Queues tokens, either of which may be NULL, for revocation once this
 * transaction has committed.  connector must be open.  Returns false, having
 * done nothing, where the provider has no revocation endpoint.
 */
extern bool revocation_queue(const Connector *connector, const char *app_user,
							 const char *connection_name, const char *account,
							 const char *access_token, const char *refresh_token);

/*
 * The same for a connection that this transaction deleted, with its event.
 * connector may be one that cannot be opened; then the tokens are only forgotten.
 */
extern void revocation_queue_deleted(Connector *connector, const Connection *deleted,
									 const char *event);

#endif
