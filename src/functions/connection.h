/*
 * connection.h
 *	  What deleting or moving a connector does to its connections.
 */
#ifndef APPUSER_CONNECTORS_FUNCTIONS_CONNECTION_H
#define APPUSER_CONNECTORS_FUNCTIONS_CONNECTION_H

#include "store/connector.h"

/*
 * Deletes every connection of a connector, of every app user, and queues their
 * tokens for revocation; returns how many there were.
 */
extern int64 connection_delete_all_of_connector(Connector *connector);

/* Those whose tokens may not be sent to where the connector points now */
extern void connection_require_reconnect_of_connector(const Connector *connector,
													  const char *reason);

/*
 * Tries those again whose grant has ended, of everybody or of one app user, for whatever
 * reason or for one; returns how many there were.  Left as they are: what has no refresh
 * token, is for other endpoints than the connector's, or was of another account.
 */
extern int64 connection_retry_all_of_connector(const Connector *connector, const char *app_user,
											   const char *reason);

#endif
