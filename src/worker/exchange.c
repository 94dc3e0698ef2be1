/*
 * exchange.c
 *	  An authorization code on its way to being a connection (RFC 6749 §4.1).
 *
 * The worker checks the callback, because only it may consume the state, and does
 * so before the code is sent: a state is used up on success and on refusal, and
 * whatever becomes of the caller's transaction.  What is told of it: exchange_outcome.c;
 * what comes of it: exchange_store.c.
 */
#include "postgres.h"

#include <time.h>

#include "base/record.h"
#include "base/secret.h"
#include "oauth/echo.h"
#include "oauth/id_token.h"
#include "store/adoption.h"
#include "store/authorization.h"
#include "store/authorization_secret.h"
#include "store/connection_config.h"
#include "store/connector_endpoint.h"
#include "worker/circuit.h"
#include "worker/diagnosis.h"
#include "worker/exchange.h"
#include "worker/exchange_details.h"
#include "worker/exchange_outcome.h"
#include "worker/exchange_store.h"
#include "worker/flight.h"
#include "worker/jwks.h"
#include "worker/profile.h"
#include "worker/rate.h"

/*
 * Codes of one app user that a provider may refuse.  Whoever makes up more has the
 * client locked out there, for everybody.
 */
#define MAX_REFUSED 60
#define REFUSED_PERIOD (60 * 1000) /* ms */

static bool begin_exchange(Flight *flight, Authorization *authorization);
static bool expects_id_token(const Flight *flight);
static void request_keys(Flight *flight, ExchangePhase phase);
static void request_tokens(Flight *flight);

/*
 * A flow that is being finished counts no longer among those that an app user may
 * have begun, so that there may be no more of these than of those.
 */
static int
exchanges_under_way(const char *app_user, const char *connector_id)
{
	dlist_iter iter;
	int count = 0;

	dlist_foreach (iter, flight_list_near(app_user))
	{
		const Flight *flight = dlist_container(Flight, app_user_node, iter.cur);

		if (flight->kind == &exchange_flight && strcmp(flight->app_user, app_user) == 0 &&
			strcmp(flight->connector_id, connector_id) == 0)
			count++;
	}
	return count;
}

void
exchange_take(StringInfo record, ProviderCallWaiter waiter)
{
	Callback callback;
	ExchangeDetails *details;
	Flight *flight;
	MemoryContext old;

	callback_get(record, &callback);
	if (exchanges_under_way(callback.app_user, callback.connector_id) >= MAX_AUTHORIZATIONS)
	{
		/* its state has not been used */
		provider_call_answer(waiter, CALL_PROVIDER_UNAVAILABLE,
							 "So many authorizations of this app user are being finished at this "
							 "connector that this one has to wait; nothing was sent.",
							 NULL);
		return;
	}
	if (rate_of("refused", callback.app_user, callback.connector_id, "", REFUSED_PERIOD,
				GetCurrentTimestamp()) >= MAX_REFUSED)
	{
		provider_call_answer(
			waiter, CALL_PROVIDER_UNAVAILABLE,
			"The provider has refused so many codes of this app user that this one "
			"has to wait for a minute; nothing was sent.",
			NULL);
		return;
	}
	flight = flight_accept(&exchange_flight, callback.app_user, callback.connector_id,
						   callback.connection_name, waiter);
	if (flight == NULL)
		return;
	old = MemoryContextSwitchTo(flight->context);
	details = palloc0(sizeof(ExchangeDetails));
	record->cursor = 0;
	callback_get(record, &details->callback);
	flight->details = details;
	MemoryContextSwitchTo(old);
}

/*
 * Adds the callback's values, which the browser has brought.  False when one does not fit
 * its field; more is said in details->why.
 */
static bool
take_callback_values(const OAuthClient *client, ExchangeDetails *details)
{
	const Callback *callback = &details->callback;
	NameValue *kept = palloc(sizeof(NameValue) * (callback->n_params + 1));
	int n_kept = 0;

	for (int i = 0; i < callback->n_params; i++)
	{
		const ConfigField *field = config_callback_field(client, callback->params[i].name);

		if (field == NULL)
			continue;
		if (!config_value_fits(field, callback->params[i].value))
		{
			details->why = psprintf("the callback's \"%s\" does not fit", field->name);
			return false;
		}
		kept[n_kept++] = (NameValue){field->name, callback->params[i].value};
	}
	details->connection_config = config_put_values(details->connection_config, kept, n_kept);
	return true;
}

/* As above for the token response's, which are added when they are stored */
static bool
token_values_fit(const OAuthClient *client, const TokenResponse *tokens, ExchangeDetails *details)
{
	for (int i = 0; i < tokens->n_values; i++)
	{
		const ConfigField *field =
			config_field(client, tokens->values[i].name, CONFIG_FROM_TOKEN_RESPONSE);

		if (field != NULL && !config_value_fits(field, tokens->values[i].value))
		{
			details->why = psprintf("the token response's \"%s\" does not fit", field->name);
			return false;
		}
	}
	return true;
}

static bool
exchange_prepare(Flight *flight)
{
	ExchangeDetails *details = flight->details;
	const Callback *callback = &details->callback;
	Authorization *authorization;
	const char *why;

	/* a copy must not spend the original's codes either, nor use up the state */
	if (installation_state() != INSTALLATION_OURS)
	{
		flight_fail(flight, CALL_COPY_HELD, "%s", "");
		return false;
	}
	details->flow = NULL; /* if this is the second time, after a rollback */
	authorization = store_take_authorization(flight->app_user, callback->state_hash);
	if (authorization == NULL)
		return exchange_refuse(flight, "The flow has just ended, or another transaction holds it.");
	if (authorization->consumed)
		return exchange_repeat(flight, authorization);
	if (!authorization_open(authorization, &details->code_verifier, &details->nonce))
	{
		/* of no use to anybody */
		(void) store_delete_authorization(flight->app_user, callback->state_hash);
		return exchange_refuse(flight, "The stored flow cannot be opened: it was altered.");
	}
	/* whoever is not the one who began it does not end it either */
	why = callback_objection(callback, authorization);
	if (why != NULL)
		return exchange_refuse(flight, why);
	store_consume_authorization(flight->app_user, callback->state_hash);
	details->flow = authorization;
	return begin_exchange(flight, authorization);
}

/* What came by the names that this provider has for code and error */
static void
take_renamed_params(const OAuthClient *client, Callback *callback)
{
	for (int i = 0; i < client->n_callback_param_names; i++)
		for (int j = 0; j < callback->n_params; j++)
			if (strcmp(callback->params[j].name, client->callback_param_names[i].value) == 0)
			{
				char *value = unconstify(char *, callback->params[j].value);

				if (strcmp(client->callback_param_names[i].name, "code") == 0)
					callback->code = value;
				else
					callback->error = value;
			}
}

/* An error in the words of the standard, where this provider has others */
static const char *
standard_error(const OAuthClient *client, const char *error)
{
	for (int i = 0; i < client->n_callback_errors; i++)
		if (strcmp(client->callback_errors[i].name, error) == 0)
			return client->callback_errors[i].value;
	return error;
}

/* Checks the callback of the right person; true when the first request is ready. */
static bool
begin_exchange(Flight *flight, Authorization *authorization)
{
	ExchangeDetails *details = flight->details;
	Callback *callback = &details->callback;
	const char *error;
	Connector *connector;
	const char *lacking;
	const char *forgery;

	flight_set_connection(flight, authorization->connector_id, authorization->connection_name);
	details->return_to = authorization->return_to;
	details->requested = authorization->scopes;
	details->n_requested = authorization->n_scopes;

	if (authorization->expires_at <= GetCurrentTimestamp())
		return exchange_refuse_and_delete(flight, "The state has expired.");
	if (callback->redirect_uri != NULL &&
		strcmp(authorization->redirect_uri, callback->redirect_uri) != 0)
		return exchange_refuse_and_delete(
			flight, "The browser came back to another redirect URI than it was sent to.");

	/* from here on a row comes back, always */
	connector = connector_find(authorization->connector_id);
	if (connector == NULL)
		return exchange_fail_at_once(flight, "connector_misconfigured",
									 "the connector was deleted");
	if (!connector_open(connector))
		return exchange_fail_at_once(flight, "connector_misconfigured",
									 "the connector was changed outside update_connector()");
	if (!TIMESTAMP_IS_NOEND(connector->stopped_at))
		return exchange_fail_at_once(flight, "connector_misconfigured",
									 "the connector is stopped, see check_health()");
	if (strcmp(authorization->party, authorization_party(connector)) != 0)
		return exchange_fail_at_once(
			flight, "connector_misconfigured",
			"its endpoints, issuer or client_id were changed since the flow began");
	flight->connector = connector;

	if (callback->repeated)
		return exchange_fail_at_once(flight, "invalid_response",
									 "a parameter of the callback is repeated");
	/* RFC 9207 §2.4, on errors too */
	if (callback->iss != NULL ? !connector->client.iss_ignored &&
									!issuer_matches(connector->client.issuer, callback->iss)
							  : connector->client.issuer != NULL && connector->client.iss_required)
		return exchange_fail_at_once(flight, "issuer_mismatch",
									 diagnose_issuer(&connector->client, callback->iss));
	take_renamed_params(&connector->client, callback);
	if (callback->error != NULL && callback->error[0] != '\0')
	{
		error = standard_error(&connector->client, callback->error);
		return valid_error_code(error)
				   ? exchange_fail_at_once(flight, error, diagnose_callback_error(error))
				   : exchange_fail_at_once(flight, "invalid_response",
										   "error of the callback is no code");
	}
	if (callback->code == NULL || callback->code[0] == '\0')
		return exchange_fail_at_once(flight, "invalid_response",
									 "the callback has no code that could be one");
	for (const char *c = callback->code; *c != '\0'; c++)
		if (*c < 0x20 || *c > 0x7e) /* VSCHAR, RFC 6749 appendix A.11 */
			return exchange_fail_at_once(flight, "invalid_response",
										 "the callback's code is not ASCII");

	details->redirect_uri = connector_redirect_parameter(connector, authorization->redirect_uri);
	details->connection_config = authorization->connection_config;
	details->fixed_config = connector->connection_config;
	if (!take_callback_values(&connector->client, details))
		return exchange_fail_at_once(flight, "invalid_response", details->why);
	details->connection_config =
		config_put_object(details->connection_config, details->fixed_config);
	if (!connector_bind(connector, details->connection_config, &lacking))
		return exchange_fail_at_once(
			flight, "invalid_response",
			psprintf("the token endpoint needs \"%s\", which the callback does not bring",
					 lacking != NULL ? lacking : ""));
	forgery = callback_forgery(callback, &connector->client);
	if (forgery != NULL)
		return exchange_fail_at_once(flight, "invalid_response", forgery);
	if (expects_id_token(flight) && jwks_get(connector->client.jwks_uri) == NULL)
		request_keys(flight, PHASE_KEYS);
	else
		request_tokens(flight);
	return true;
}

/* A nonce is there if openid was asked for. */
static bool
expects_id_token(const Flight *flight)
{
	const ExchangeDetails *details = flight->details;

	return details->nonce != NULL && flight->connector->client.issuer != NULL &&
		   flight->connector->client.jwks_uri != NULL;
}

static void
request_keys(Flight *flight, ExchangePhase phase)
{
	ExchangeDetails *details = flight->details;

	details->phase = phase;
	flight->request.url = flight->connector->client.jwks_uri;
}

static void
request_tokens(Flight *flight)
{
	ExchangeDetails *details = flight->details;

	details->phase = PHASE_CODE;
	flight->connector->client.state = details->callback.state;
	flight->connector->client.redirect_uri = details->redirect_uri;
	build_code_request(&flight->connector->client, details->callback.code, details->redirect_uri,
					   details->code_verifier, details->requested, details->n_requested,
					   &flight->request);
}

/* True when the keys must be fetched again first. */
static bool
check_id_token(Flight *flight)
{
	ExchangeDetails *details = flight->details;
	const OAuthClient *client = &flight->connector->client;
	IdTokenExpectation expected = {.issuer = client->issuer,
								   .client_id = client->client_id,
								   .nonce = details->nonce,
								   .nonce_optional = client->nonce_optional,
								   .access_token = flight->tokens.access_token,
								   .algorithms = client->id_token_algorithms,
								   .now = (int64_t) time(NULL)};
	const JwtKeySet *keys = jwks_get(client->jwks_uri); /* NULL: too old by now */
	IdTokenResult result = ID_TOKEN_MALFORMED;

	if (flight->tokens.id_token == NULL && client->id_token_optional)
		return false;

	/* a person may have agreed to less than openid */
	if (flight->tokens.id_token == NULL && flight->tokens.has_scope)
	{
		bool granted = false;

		for (int i = 0; i < flight->tokens.n_scopes; i++)
			granted |= strcmp(flight->tokens.scopes[i], "openid") == 0;
		if (!granted)
			return false;
	}
	if (flight->tokens.id_token != NULL)
		result = id_token_check(flight->tokens.id_token, keys, &expected, &details->account);

	/* a new key may have the place of the old one, without a kid of its own */
	if ((result == ID_TOKEN_KEY_NOT_FOUND || result == ID_TOKEN_SIGNATURE) &&
		details->phase == PHASE_CODE && jwks_may_refetch(client->jwks_uri))
		return true;
	if (result != ID_TOKEN_ACCEPTED)
	{
		details->failure = "invalid_id_token";
		details->why = diagnose_id_token(client, result, flight->tokens.id_token);
	}
	return false;
}

/* Keys came, or did not; true when the next request is ready. */
static bool
keys_answered(Flight *flight, const HttpResponse *response)
{
	ExchangeDetails *details = flight->details;

	if (response->outcome != HTTP_ANSWERED || response->status != 200 ||
		!jwks_put(flight->connector->client.jwks_uri, response->body, response->body_len))
	{
		details->failure =
			details->phase == PHASE_KEYS ? "provider_unavailable" : "invalid_id_token";
		details->why = diagnose_keys(&flight->connector->client, response);
		return false;
	}
	if (details->phase == PHASE_KEYS)
	{
		request_tokens(flight);
		return true;
	}
	(void) check_id_token(flight);
	return profile_ask(flight);
}

/* What the token endpoint's answer says about the provider, as of a refresh */
static void
note_answer(const Flight *flight)
{
	if (flight->http_outcome == HTTP_ANSWERED)
		switch (flight->tokens.outcome)
		{
			case TOKEN_GRANTED:
				circuit_note_success(flight->connector_id, flight->app_user);
				return;
			case TOKEN_INVALID_GRANT:
			case TOKEN_INVALID_CLIENT:
				circuit_note_answer(flight->connector_id, flight->app_user);
				return;
			case TOKEN_REFUSED:
			case TOKEN_MALFORMED:
				return;
			case TOKEN_RATE_LIMITED:
			case TOKEN_UNAVAILABLE:
				break;
		}
	if (!flight->local_trouble && !flight->connector->has_own_endpoints)
		circuit_note_failure(flight->connector_id, flight->app_user, flight->sent_at);
}

/* Admins read what the provider says, which may repeat what it was sent. */
static void
mask_sent(const ExchangeDetails *details, TokenResponse *tokens)
{
	const char *const sent[] = {details->callback.code, details->code_verifier,
								details->callback.state};

	echo_mask(tokens->error, sent, lengthof(sent));
	echo_mask(tokens->error_description, sent, lengthof(sent));
}

static void
request_long_token(Flight *flight)
{
	ExchangeDetails *details = flight->details;

	details->phase = PHASE_LONG_TOKEN;
	details->code_sent_at = flight->sent_at;
	build_long_token_request(&flight->connector->client, flight->tokens.access_token,
							 &flight->request);
}

/*
 * One that lives longer comes in the place of what the code gave; without it that stands,
 * for as long as it lives, since the code has been used.
 */
static void
long_token_answered(Flight *flight, const HttpResponse *response)
{
	const OAuthClient *client = &flight->connector->client;
	TokenResponse *tokens = &flight->tokens;
	TokenResponse longer = {.outcome = TOKEN_MALFORMED};

	if (response->outcome == HTTP_ANSWERED)
		parse_token_response(client, response->status, response->content_type, response->body,
							 response->body_len, &longer);
	token_response_count_from(&longer, client, timestamptz_to_time_t(flight->sent_at));
	if (longer.outcome == TOKEN_GRANTED)
	{
		secret_cleanse(tokens->access_token, strlen(tokens->access_token));
		if (tokens->refresh_token != NULL)
			secret_cleanse(tokens->refresh_token, strlen(tokens->refresh_token));
		tokens->access_token = longer.access_token;
		tokens->refresh_token = longer.refresh_token;
		tokens->token_type = longer.token_type;
		tokens->expires_in = longer.expires_in;
		tokens->refresh_token_expires_in = longer.refresh_token_expires_in;
		tokens->expires_in_ignored = longer.expires_in_ignored;
		return;
	}
	/* it is of no use for a renewal, which takes one that lives long */
	if (client->refresh_by_access_token)
		tokens->refresh_token = NULL;
	flight->sent_at = ((ExchangeDetails *) flight->details)->code_sent_at;
	flight->http_outcome = HTTP_ANSWERED;
}

static bool
exchange_answered(Flight *flight, const HttpResponse *response)
{
	ExchangeDetails *details = flight->details;
	TokenResponse *tokens = &flight->tokens;

	if (details->phase == PHASE_LONG_TOKEN)
	{
		long_token_answered(flight, response);
		return profile_ask(flight);
	}
	if (details->phase == PHASE_PROFILE)
	{
		profile_answered(flight, response);
		return false;
	}
	if (details->phase != PHASE_CODE)
		return keys_answered(flight, response);
	if (response->outcome != HTTP_ANSWERED)
		details->why = diagnose_no_answer(&flight->connector->client, REFUSED_CODE, response);
	switch (response->outcome)
	{
		case HTTP_ANSWERED:
			break;
		case HTTP_NOT_SENT:
		case HTTP_UNANSWERED:
		case HTTP_FAILED:
			details->failure = "provider_unavailable";
			note_answer(flight);
			return false;
		case HTTP_FORBIDDEN:
			details->failure = "connector_misconfigured";
			return false;
		case HTTP_TOO_LARGE:
			details->failure = "invalid_response";
			return false;
	}
	parse_token_response(&flight->connector->client, response->status, response->content_type,
						 response->body, response->body_len, tokens);
	token_response_count_from(tokens, &flight->connector->client,
							  timestamptz_to_time_t(flight->sent_at));
	if (tokens->outcome != TOKEN_GRANTED)
	{
		mask_sent(details, tokens);
		details->why = diagnose_refusal(&flight->connector->client, REFUSED_CODE, response, tokens);
		(void) rate_count("refused", flight->app_user, flight->connector_id, "", REFUSED_PERIOD,
						  flight->answered_at);
	}
	note_answer(flight);
	switch (tokens->outcome)
	{
		case TOKEN_GRANTED:
			if (!token_values_fit(&flight->connector->client, tokens, details))
			{
				details->failure = "invalid_response";
				break;
			}
			if (flight->connector->client.long_token_endpoint != NULL)
			{
				request_long_token(flight);
				return true;
			}
			if (!expects_id_token(flight) || !check_id_token(flight))
				return profile_ask(flight);
			request_keys(flight, PHASE_KEYS_AGAIN);
			return true;
		case TOKEN_INVALID_GRANT:
		case TOKEN_REFUSED:
			details->failure = tokens->error[0] != '\0' ? tokens->error : "invalid_response";
			break;
		case TOKEN_INVALID_CLIENT:
			details->failure = "connector_misconfigured";
			break;
		case TOKEN_RATE_LIMITED:
		case TOKEN_UNAVAILABLE:
			details->failure = "provider_unavailable";
			break;
		case TOKEN_MALFORMED:
			details->failure = "invalid_response";
			break;
	}
	return false;
}

bool
exchange_under_way(const char *app_user, const uint8 *state_hash)
{
	dlist_iter iter;

	dlist_foreach (iter, flight_list_near(app_user))
	{
		const Flight *flight = dlist_container(Flight, app_user_node, iter.cur);
		const ExchangeDetails *details = flight->details;

		if (flight->kind == &exchange_flight && strcmp(flight->app_user, app_user) == 0 &&
			memcmp(details->callback.state_hash, state_hash, PG_SHA256_DIGEST_LENGTH) == 0)
			return true;
	}
	return false;
}

static void
exchange_save(Flight *flight, StringInfo record)
{
	ExchangeDetails *details = flight->details;

	flight_put_tokens(record, flight, exchange_granted_config(flight));
	record_put_bytes(record, details->callback.state_hash, PG_SHA256_DIGEST_LENGTH);
	record_put_texts(record, details->requested, details->n_requested);
	flight_put_jsonb(record, details->connection_config);
	flight_put_jsonb(record, details->fixed_config);
	record_put_text(record, details->return_to);
	record_put_text(record, details->account.subject);
	record_put_text(record, details->account.issuer);
	record_put_text(record, details->account.name);
	/* which is saved before the profile is asked, and again if it has answered */
	record_put_text(record,
					details->phase == PHASE_PROFILE && !flight->outdated
						? "the account is unknown: the worker ended before the profile answered"
						: details->why_profile);
}

static void
exchange_load(Flight *flight, StringInfo record)
{
	ExchangeDetails *details = palloc0(sizeof(ExchangeDetails));
	int len;

	flight->details = details;
	flight_get_tokens(record, flight);
	memcpy(details->callback.state_hash, record_get_bytes(record, &len), PG_SHA256_DIGEST_LENGTH);
	details->requested = record_get_texts(record, &details->n_requested);
	details->connection_config = flight_get_jsonb(record);
	details->fixed_config = flight_get_jsonb(record);
	details->return_to = record_get_text(record);
	strlcpy(details->account.subject, record_get_text(record), sizeof(details->account.subject));
	strlcpy(details->account.issuer, record_get_text(record), sizeof(details->account.issuer));
	strlcpy(details->account.name, record_get_text(record), sizeof(details->account.name));
	details->why_profile = record_get_text(record);
}

const FlightKind exchange_flight = {"exchange",        STATS_EXCHANGE, exchange_prepare,
									exchange_answered, exchange_apply, exchange_save,
									exchange_load};
