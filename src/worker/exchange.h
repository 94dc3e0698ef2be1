/*
 * exchange.h
 *	  What oauth_callback() hands to the worker.
 */
#ifndef APPUSER_CONNECTORS_WORKER_EXCHANGE_H
#define APPUSER_CONNECTORS_WORKER_EXCHANGE_H

#include "common/sha2.h"
#include "lib/stringinfo.h"

#include "oauth/client.h"
#include "worker/flight.h"

typedef struct Callback
{
	char *app_user; /* that the state was made for */
	uint8 state_hash[PG_SHA256_DIGEST_LENGTH];
	char *connector_id; /* of its flow, as whom it is counted; prepare reads the row again */
	char *connection_name;
	char *session_app_user; /* who calls; NULL: nobody */
	bool is_service;        /* the caller has the service role */
	bool has_binding;
	uint8 binding_hash[PG_SHA256_DIGEST_LENGTH];
	char *code;
	char *iss;
	char *error;
	char *redirect_uri;
	bool repeated;     /* a parameter came more than once */
	NameValue *params; /* what else came */
	int n_params;
} Callback;

extern void callback_put(StringInfo record, const Callback *callback);
extern void callback_get(StringInfo record, Callback *callback);

/* For the worker: that call */
extern void exchange_take(StringInfo record, ProviderCallWaiter waiter);

/* Is the flow with this state in an exchange, whose end it must see? */
extern bool exchange_under_way(const char *app_user, const uint8 *state_hash);

extern const FlightKind exchange_flight;

#endif
