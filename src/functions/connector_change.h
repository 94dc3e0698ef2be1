/*
 * connector_change.h
 *	  Whether whoever changes a connector must know its client secret.
 */
#ifndef APPUSER_CONNECTORS_FUNCTIONS_CONNECTOR_CHANGE_H
#define APPUSER_CONNECTORS_FUNCTIONS_CONNECTOR_CHANGE_H

#include "store/connector.h"

/*
 * Raises 42501 where the change says anew where, how or with what the secret is sent, and
 * it was not given with it.  Decides what of the former endpoints after remembers.
 */
extern void connector_check_destination(const Connector *before, Connector *after,
										bool secret_given);

#endif
