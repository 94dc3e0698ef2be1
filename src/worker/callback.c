/*
 * callback.c
 *	  What the browser brought back, and who may finish a flow with it.
 */
#include "postgres.h"

#include "utils/timestamp.h"
#include <openssl/crypto.h>

#include "base/record.h"
#include "base/url.h"
#include "oauth/callback_hmac.h"
#include "store/authorization_secret.h"
#include "worker/callback.h"

void
callback_put(StringInfo record, const Callback *c)
{
	record_put_text(record, c->app_user);
	record_put_bytes(record, c->state_hash, sizeof(c->state_hash));
	record_put_text(record, c->connector_id);
	record_put_text(record, c->connection_name);
	record_put_text(record, c->session_app_user);
	record_put_int(record, c->is_service);
	record_put_bytes(record, c->has_binding ? c->binding_hash : NULL, sizeof(c->binding_hash));
	record_put_text(record, c->state);
	record_put_text(record, c->code);
	record_put_text(record, c->iss);
	record_put_text(record, c->error);
	record_put_text(record, c->redirect_uri);
	record_put_int(record, c->repeated);
	record_put_int(record, c->n_params);
	for (int i = 0; i < c->n_params; i++)
	{
		record_put_text(record, c->params[i].name);
		record_put_text(record, c->params[i].value);
	}
}

void
callback_get(StringInfo record, Callback *c)
{
	const char *bytes;
	int len;

	memset(c, 0, sizeof(Callback));
	c->app_user = record_get_text(record);
	bytes = record_get_bytes(record, &len);
	if (bytes != NULL && len == sizeof(c->state_hash))
		memcpy(c->state_hash, bytes, len);
	c->connector_id = record_get_text(record);
	c->connection_name = record_get_text(record);
	c->session_app_user = record_get_text(record);
	c->is_service = record_get_int(record) != 0;
	bytes = record_get_bytes(record, &len);
	c->has_binding = bytes != NULL && len == sizeof(c->binding_hash);
	if (c->has_binding)
		memcpy(c->binding_hash, bytes, len);
	c->state = record_get_text(record);
	c->code = record_get_text(record);
	c->iss = record_get_text(record);
	c->error = record_get_text(record);
	c->redirect_uri = record_get_text(record);
	c->repeated = record_get_int(record) != 0;
	c->n_params = (int) record_get_int(record);
	c->params = palloc(sizeof(NameValue) * (c->n_params + 1));
	for (int i = 0; i < c->n_params; i++)
	{
		c->params[i].name = record_get_text(record);
		c->params[i].value = record_get_text(record);
	}
}

/*
 * Either the session's app user began the flow, or the service role brings the binding from
 * the browser that did.  An attacker's link followed by a victim would otherwise attach the
 * victim's account to the attacker.
 */
const char *
callback_objection(const Callback *callback, const Authorization *flow)
{
	/*
	 * A binding that was given, now or when the flow began, must match, whoever the
	 * caller is: the app user's session may be in a browser that did not begin it.
	 */
	if (flow->binding_hash != NULL && !callback->has_binding)
		return "The flow was begun with a browser binding, which is missing.";
	if (flow->binding_hash == NULL && callback->has_binding)
		return "A browser binding was given, but the flow was begun without one.";
	if (callback->has_binding &&
		(VARSIZE_ANY_EXHDR(flow->binding_hash) != PG_SHA256_DIGEST_LENGTH ||
		 CRYPTO_memcmp(VARDATA_ANY(flow->binding_hash), callback->binding_hash,
					   PG_SHA256_DIGEST_LENGTH) != 0))
		return "The browser binding is not the one of this flow.";
	if (callback->session_app_user == NULL)
		return callback->has_binding && callback->is_service
				   ? NULL
				   : "Nobody says who is asking: there is no app user in this transaction.";
	if (strcmp(callback->session_app_user, callback->app_user) != 0)
		return "Another person began this flow.";
	return NULL;
}

/*
 * The shop is where the code goes; a provider that was asked about another would not say so
 * in another way.
 */
const char *
callback_forgery(const Callback *callback, const OAuthClient *client)
{
	NameValue *params;
	const char *host;
	const char *shop = NULL;
	int n = 0;

	if (!client->callback_hmac)
		return NULL;
	host = url_host(client->token_endpoint);
	params = palloc(sizeof(NameValue) * (callback->n_params + 3));
	for (int i = 0; i < callback->n_params; i++)
	{
		if (strcmp(callback->params[i].name, "shop") == 0)
			shop = callback->params[i].value;
		params[n++] = callback->params[i];
	}
	params[n++] = (NameValue){"state", callback->state};
	if (callback->code != NULL)
		params[n++] = (NameValue){"code", callback->code};
	if (callback->iss != NULL)
		params[n++] = (NameValue){"iss", callback->iss};
	if (!callback_hmac_matches(params, n, client->client_secret))
		return "the callback's hmac is missing or not that of its parameters: oauth_callback() "
			   "needs all of them in params, as strings; or client_secret is another";
	if (shop == NULL || host == NULL || pg_strcasecmp(shop, host) != 0)
		return "the callback's shop is not the one that the flow was begun for";
	return NULL;
}

bool
callback_may_see_outcome(const Callback *callback, const Authorization *flow, char **failure,
						 const char **why)
{
	TimestampTz ended_at;

	if (flow->sealed_outcome == NULL)
		*why = "The state was used before, and what it was used for has not come to its end.";
	else if (!authorization_open_outcome(flow, failure, &ended_at))
		*why = "The state was used before.";
	else if ((*why = callback_objection(callback, flow)) == NULL &&
			 TimestampDifferenceExceeds(ended_at, GetCurrentTimestamp(), OUTCOME_PERIOD))
		*why = psprintf("The state was used before, at %s.", timestamptz_to_str(ended_at));
	else if (*why == NULL && callback->redirect_uri != NULL &&
			 strcmp(flow->redirect_uri, callback->redirect_uri) != 0)
		*why = "The browser came back to another redirect URI than it was sent to.";
	return *why == NULL;
}
