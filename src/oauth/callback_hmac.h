/*
 * callback_hmac.h
 *	  A callback's parameters, authenticated by the provider with the client's secret.
 */
#ifndef APPUSER_CONNECTORS_OAUTH_CALLBACK_HMAC_H
#define APPUSER_CONNECTORS_OAUTH_CALLBACK_HMAC_H

#include "oauth/client.h"

/*
 * Shopify's: the lower or upper case hexadecimal HMAC-SHA256 of all parameters but itself,
 * form encoded and in the order of their names.  False where it is missing, too.
 */
extern bool callback_hmac_matches(const NameValue *params, int n_params, const char *client_secret);

#endif
