/*
 * callback.h
 *	  What the browser brought back to oauth_callback(), and who may finish a flow with it.
 */
#ifndef APPUSER_CONNECTORS_WORKER_CALLBACK_H
#define APPUSER_CONNECTORS_WORKER_CALLBACK_H

#include "common/sha2.h"
#include "lib/stringinfo.h"

#include "oauth/client.h"
#include "store/authorization.h"

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
	char *state;
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

/*
 * Why this caller may not finish that flow, as a sentence; NULL: they may.  The row must
 * have been authenticated.
 */
extern const char *callback_objection(const Callback *callback, const Authorization *flow);

/*
 * Why its parameters are not what the provider sent, where that authenticates them; NULL: they
 * are, or it does not.  The client's secret must be open, and its token endpoint be that of
 * the flow.
 */
extern const char *callback_forgery(const Callback *callback, const OAuthClient *client);

/*
 * The page was loaded again: is the caller told what became of this flow, whose exchange has
 * ended?  Then failure is that of the first time; else why says what is wrong.
 */
extern bool callback_may_see_outcome(const Callback *callback, const Authorization *flow,
									 char **failure, const char **why);

#endif
