/*
 * connector_endpoint.h
 *	  Where a connector's secrets and tokens go: its endpoints, as they are compared and
 *	  bound, and with the fields of a connection filled in.
 */
#ifndef APPUSER_CONNECTORS_STORE_CONNECTOR_ENDPOINT_H
#define APPUSER_CONNECTORS_STORE_CONNECTOR_ENDPOINT_H

#include "store/connector.h"

/*
 * A connector's endpoints for a connection with this configuration (NULL: none): what its row
 * keeps, and what its tokens are bound to.
 */
extern char *connector_endpoints_for(const Connector *connector, Jsonb *connection_config);

/*
 * May tokens of a connection with this configuration, granted at these endpoints, be sent
 * to where the connector points now?  Only if it is still there, or was moved by the
 * extension's own catalogue or with a superuser's word.  Of an open connector.
 */
extern bool connector_receives(const Connector *connector, const char *endpoints,
							   Jsonb *connection_config);

/* The same, whatever the configuration: is it still there, or was it moved so? */
extern bool connector_remembers(const Connector *connector, const char *endpoints);

/* Remembers that tokens granted at these endpoints may be sent to its present ones. */
extern void connector_keep_endpoints(Connector *connector, const char *endpoints);

/*
 * Fills in the endpoints and parameters of its client that a flow or a refresh of a
 * connection with this configuration uses.  False: its token endpoint is unknown, since the
 * field *lacking has no value, or none that fits; then nothing may be sent.
 */
extern bool connector_bind(Connector *connector, Jsonb *connection_config, const char **lacking);

/* Where such a connection's tokens are revoked; NULL: nowhere */
extern char *connector_revocation_endpoint(const Connector *connector, Jsonb *connection_config);

/*
 * The first field of its authorization, token and refresh endpoint and profile, from this
 * source, that this configuration gives no value, or none that can stand there; NULL: none.
 */
extern const char *connector_lacks_field(const Connector *connector, ConfigSource source,
										 Jsonb *connection_config);

/* Has the admin fixed fields that stand in endpoints, and the client's id there, alike? */
extern bool connector_same_fixed_fields(const Connector *a, const Connector *b);

/* The same for fields that stand in the second's parameters and headers of token requests */
extern bool connector_same_fixed_params(const Connector *a, const Connector *b);

/* Are fields that stand in endpoints declared alike? */
extern bool connector_same_fields(const Connector *a, const Connector *b);

/* Does an endpoint of the definition hold this field? */
extern bool connector_endpoint_uses(const Connector *connector, const char *field);

#endif
