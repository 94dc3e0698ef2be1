/*
 * exchange.c
 *	  An authorization code on its way to being a connection (RFC 6749 §4.1).
 *
 * The worker checks the callback, because only it may consume the state, and does
 * so before the code is sent: a state is used up on success and on refusal, and
 * whatever becomes of the caller's transaction.
 */
#include "postgres.h"

#include <time.h>

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "base/record.h"
#include "base/url.h"
#include "oauth/id_token.h"
#include "oauth/scope.h"
#include "store/adoption.h"
#include "store/authorization.h"
#include "store/authorization_secret.h"
#include "store/connection.h"
#include "store/connection_config.h"
#include "store/connection_token.h"
#include "store/event.h"
#include "store/provider.h"
#include "store/store.h"
#include "worker/circuit.h"
#include "worker/diagnosis.h"
#include "worker/exchange.h"
#include "worker/flight.h"
#include "worker/granted.h"
#include "worker/jwks.h"
#include "worker/rate.h"
#include "worker/revocation.h"
#include "worker/token_lifetime.h"

/* connect_failed, of one app user at one connector */
#define MAX_EVENTS 100
#define EVENTS_PERIOD (60 * 60 * 1000) /* ms */

/*
 * Codes of one app user that a provider may refuse.  Whoever makes up more has the
 * client locked out there, for everybody.
 */
#define MAX_REFUSED 60
#define REFUSED_PERIOD (60 * 1000) /* ms */

/*
 * What is on its way.  The provider's keys come before the code is sent, so that
 * nothing can go wrong between the tokens' arrival and their being stored; only
 * a key that was rotated just now is fetched afterwards.
 */
typedef enum ExchangePhase
{
	PHASE_KEYS,
	PHASE_CODE,
	PHASE_KEYS_AGAIN
} ExchangePhase;

typedef struct ExchangeDetails
{
	Callback callback;
	Authorization *flow; /* as it was when it was consumed; NULL: not, or by another worker */
	ExchangePhase phase;
	char *redirect_uri;
	char *code_verifier;
	char *nonce;
	IdTokenAccount account; /* by the ID token */
	const char *failure;    /* NULL: none so far */
	const char *why;        /* more for the event; NULL: nothing */
	char *return_to;
	char **requested;
	int n_requested;
	Jsonb *connection_config;
	Jsonb *fixed_config; /* by the admin: over all else */
} ExchangeDetails;

static bool begin_exchange(Flight *flight, Authorization *authorization);
static bool expects_id_token(const Flight *flight);
static void request_keys(Flight *flight, ExchangePhase phase);
static void request_tokens(Flight *flight);
static bool refuse(Flight *flight, const char *why);
static void end_authorization(const Flight *flight, const char *failure);
static void append_detail(StringInfo detail, const char *text);
static void answer_with_row(Flight *flight, const char *failure);

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

/* Not the one who began this flow, or no such flow: UC005. */
static bool
refuse(Flight *flight, const char *why)
{
	flight_fail(flight, CALL_AUTHORIZATION_REFUSED, "%s", why);
	return false;
}

static bool
refuse_and_delete(Flight *flight, const char *why)
{
	const ExchangeDetails *details = flight->details;

	(void) store_delete_authorization(flight->app_user, details->callback.state_hash);
	return refuse(flight, why);
}

/* The flow was found and failed: a row with failure, and an event. */
static void
fail(Flight *flight, const char *failure)
{
	const ExchangeDetails *details = flight->details;
	const char *detail = details->why != NULL ? psprintf("%s: %s", failure, details->why) : failure;
	int n = rate_count("connect_failed", flight->app_user, flight->connector_id, "", EVENTS_PERIOD,
					   GetCurrentTimestamp());

	answer_with_row(flight, failure);
	/* anybody can end as many flows so as they like, and events are kept for long */
	if (n == MAX_EVENTS)
		detail = psprintf("%s (more of this app user here are not recorded for an hour)", detail);
	if (n <= MAX_EVENTS)
		event_record(flight->app_user, flight->connector_id, flight->connection_name,
					 "connect_failed", detail);
}

/* Without anything sent; why is for the event, NULL: nothing */
static bool
fail_at_once(Flight *flight, const char *failure, const char *why)
{
	((ExchangeDetails *) flight->details)->why = why;
	end_authorization(flight, failure);
	fail(flight, failure);
	return false;
}

/* failure is NULL on success. */
static void
answer_with_row(Flight *flight, const char *failure)
{
	const ExchangeDetails *details = flight->details;
	MemoryContext old = MemoryContextSwitchTo(flight->context);

	flight->outcome = CALL_SUCCEEDED;
	flight->told = failure == NULL                                ? STATS_SUCCEEDED
				   : strcmp(failure, "provider_unavailable") == 0 ? STATS_UNAVAILABLE
																  : STATS_REFUSED;
	flight->answer = makeStringInfo();
	record_put_text(flight->answer, flight->connector_id);
	record_put_text(flight->answer, flight->app_user);
	record_put_text(flight->answer, flight->connection_name);
	record_put_text(flight->answer, details->return_to);
	record_put_text(flight->answer, failure);
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
		const ConfigField *field =
			config_field(client, callback->params[i].name, CONFIG_FROM_CALLBACK);

		if (field == NULL)
			continue;
		if (!config_value_fits(field, callback->params[i].value))
		{
			details->why = psprintf("the callback's \"%s\" does not fit", field->name);
			return false;
		}
		kept[n_kept++] = callback->params[i];
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

/* The flight that has this flow's code, or NULL; one that another worker has left is not told */
static Flight *
find_exchange(const char *app_user, const uint8 *state_hash)
{
	dlist_iter iter;

	dlist_foreach (iter, flight_list_near(app_user))
	{
		Flight *flight = dlist_container(Flight, app_user_node, iter.cur);
		const ExchangeDetails *details = flight->details;

		if (flight->kind == &exchange_flight && strcmp(flight->app_user, app_user) == 0 &&
			details->flow != NULL &&
			memcmp(details->callback.state_hash, state_hash, PG_SHA256_DIGEST_LENGTH) == 0)
			return flight;
	}
	return NULL;
}

/*
 * The page was loaded again: the row of the first time, or of the exchange that is under
 * way when that has ended, for those who could have finished the flow.  Always false:
 * there is nothing to send.
 */
static bool
repeat_exchange(Flight *flight, const Authorization *authorization)
{
	ExchangeDetails *details = flight->details;
	const Callback *callback = &details->callback;
	Flight *first = authorization->sealed_outcome == NULL
						? find_exchange(flight->app_user, callback->state_hash)
						: NULL;
	const char *why;
	char *failure;

	if (first != NULL)
	{
		why = callback_objection(callback, ((ExchangeDetails *) first->details)->flow);
		if (why != NULL)
			return refuse(flight, why);
		for (int i = 0; i < flight->n_waiters; i++)
			flight_add_waiter(first, flight->waiters[i]);
		flight->n_waiters = 0;
		return false;
	}
	if (!callback_may_see_outcome(callback, authorization, &failure, &why))
		return refuse(flight, why);
	details->return_to = authorization->return_to;
	flight_set_connection(flight, authorization->connector_id, authorization->connection_name);
	answer_with_row(flight, failure);
	return false;
}

/* The flow has come to its end; its outcome is kept for whoever loads the page again. */
static void
end_authorization(const Flight *flight, const char *failure)
{
	const ExchangeDetails *details = flight->details;

	if (details->flow == NULL)
	{
		/* another worker's: its row is no longer known to be what it was */
		(void) store_delete_authorization(flight->app_user, details->callback.state_hash);
		return;
	}
	authorization_seal_outcome(details->flow, failure);
	store_end_authorization(details->flow,
							GetCurrentTimestamp() + OUTCOME_PERIOD * INT64CONST(1000));
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
		return refuse(flight, "The flow has just ended, or another transaction holds it.");
	if (authorization->consumed)
		return repeat_exchange(flight, authorization);
	if (!authorization_open(authorization, &details->code_verifier, &details->nonce))
	{
		/* of no use to anybody */
		(void) store_delete_authorization(flight->app_user, callback->state_hash);
		return refuse(flight, "The stored flow cannot be opened: it was altered.");
	}
	/* whoever is not the one who began it does not end it either */
	why = callback_objection(callback, authorization);
	if (why != NULL)
		return refuse(flight, why);
	store_consume_authorization(flight->app_user, callback->state_hash);
	details->flow = authorization;
	return begin_exchange(flight, authorization);
}

/* Checks the callback of the right person; true when the first request is ready. */
static bool
begin_exchange(Flight *flight, Authorization *authorization)
{
	ExchangeDetails *details = flight->details;
	const Callback *callback = &details->callback;
	Connector *connector;

	flight_set_connection(flight, authorization->connector_id, authorization->connection_name);
	details->return_to = authorization->return_to;
	details->requested = authorization->scopes;
	details->n_requested = authorization->n_scopes;

	if (authorization->expires_at <= GetCurrentTimestamp())
		return refuse_and_delete(flight, "The state has expired.");
	if (callback->redirect_uri != NULL &&
		strcmp(authorization->redirect_uri, callback->redirect_uri) != 0)
		return refuse_and_delete(
			flight, "The browser came back to another redirect URI than it was sent to.");

	/* from here on a row comes back, always */
	connector = connector_find(authorization->connector_id);
	if (connector == NULL)
		return fail_at_once(flight, "connector_misconfigured", "the connector was deleted");
	if (!connector_open(connector))
		return fail_at_once(flight, "connector_misconfigured",
							"the connector was changed outside update_connector()");
	if (!TIMESTAMP_IS_NOEND(connector->stopped_at))
		return fail_at_once(flight, "connector_misconfigured",
							"the connector is stopped, see check_health()");
	if (strcmp(authorization->party, authorization_party(connector)) != 0)
		return fail_at_once(flight, "connector_misconfigured",
							"its endpoints, issuer or client_id were changed since the flow began");
	flight->connector = connector;

	if (callback->repeated)
		return fail_at_once(flight, "invalid_response", "a parameter of the callback is repeated");
	/* RFC 9207 §2.4, on errors too */
	if (callback->iss != NULL ? !connector->client.iss_ignored &&
									!issuer_matches(connector->client.issuer, callback->iss)
							  : connector->client.issuer != NULL && connector->client.iss_required)
		return fail_at_once(flight, "issuer_mismatch",
							diagnose_issuer(&connector->client, callback->iss));
	if (callback->error != NULL && callback->error[0] != '\0')
		return valid_error_code(callback->error)
				   ? fail_at_once(flight, callback->error, diagnose_callback_error(callback->error))
				   : fail_at_once(flight, "invalid_response", "error of the callback is no code");
	if (callback->code == NULL || callback->code[0] == '\0')
		return fail_at_once(flight, "invalid_response",
							"the callback has no code that could be one");
	for (const char *c = callback->code; *c != '\0'; c++)
		if (*c < 0x20 || *c > 0x7e) /* VSCHAR, RFC 6749 appendix A.11 */
			return fail_at_once(flight, "invalid_response", "the callback's code is not ASCII");

	details->redirect_uri = authorization->redirect_uri;
	details->connection_config = authorization->connection_config;
	details->fixed_config = connector->connection_config;
	if (!take_callback_values(&connector->client, details))
		return fail_at_once(flight, "invalid_response", details->why);
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
	build_code_request(&flight->connector->client, details->callback.code, details->redirect_uri,
					   details->code_verifier, &flight->request);
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
		details->why = diagnose_id_token(client, result);
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
	return false;
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
	if (!flight->local_trouble)
		circuit_note_failure(flight->connector_id, flight->app_user, flight->sent_at);
}

static bool
exchange_answered(Flight *flight, const HttpResponse *response)
{
	ExchangeDetails *details = flight->details;
	TokenResponse *tokens = &flight->tokens;

	if (details->phase != PHASE_CODE)
		return keys_answered(flight, response);
	if (response->outcome != HTTP_ANSWERED)
		details->why =
			diagnose_silence("token endpoint", flight->connector->client.token_endpoint, response);
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
	if (tokens->outcome != TOKEN_GRANTED)
	{
		details->why = diagnose_refusal(&flight->connector->client, response, tokens);
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
			if (!expects_id_token(flight) || !check_id_token(flight))
				break;
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

static void
put_account(Connection *connection, IdTokenAccount *account)
{
	bool known = account->subject[0] != '\0';

	connection->account = known ? account->subject : NULL;
	connection->account_issuer = known ? account->issuer : NULL;
}

/* Tokens that nobody will have; without a name, the person may have been erased. */
static void
revoke_tokens(Flight *flight, const char *connection_name)
{
	ExchangeDetails *details = flight->details;
	Connection connection = {.app_user = flight->app_user, .connection_name = connection_name};

	if (details->failure != NULL)
		return;
	put_account(&connection, &details->account);
	random_uuid(&connection.grant_id);
	(void) revocation_queue(flight->connector, &connection, flight->tokens.access_token,
							flight->tokens.refresh_token);
}

/* The flow has come to its end, and the caller gets a row. */
static bool
end_flow(Flight *flight, const char *failure)
{
	end_authorization(flight, failure);
	if (failure != NULL)
		fail(flight, failure);
	else
		answer_with_row(flight, NULL);
	return true;
}

/*
 * The scopes that were granted, by all their names.  They may be named by the callback
 * alone; that comes from the browser, so it takes scopes away from what was asked for, and
 * adds none.  Where nobody names any they are as requested (RFC 6749 §5.1).
 */
static void
settle_scopes(Flight *flight)
{
	const ExchangeDetails *details = flight->details;
	const OAuthClient *client = &flight->connector->client;
	TokenResponse *tokens = &flight->tokens;
	bool by_callback = false;
	int kept = 0;
	MemoryContext old = MemoryContextSwitchTo(flight->context);

	for (int i = 0; i < details->callback.n_params && !tokens->has_scope; i++)
		if (client->callback_scope_parameter != NULL &&
			strcmp(details->callback.params[i].name, client->callback_scope_parameter) == 0)
		{
			read_scope_text(client, details->callback.params[i].value, tokens);
			by_callback = true;
		}
	granted_settle(flight, details->requested, details->n_requested);
	for (int i = 0; i < tokens->n_scopes && by_callback; i++)
		for (int j = 0; j < details->n_requested; j++)
			if (strcmp(tokens->scopes[i], details->requested[j]) == 0)
			{
				tokens->scopes[kept++] = tokens->scopes[i];
				break;
			}
	if (by_callback)
		tokens->n_scopes = kept;
	/* not again of one that was saved, whose connector says nothing of scopes */
	if (!tokens->has_scope && tokens->n_scopes == 0)
		tokens->scopes = scopes_held(client, details->requested, details->n_requested, NULL, 0,
									 &tokens->n_scopes);
	MemoryContextSwitchTo(old);
}

/*
 * What to do with the grant that was there.  The same account's goes on: servers give a
 * refresh token with the first consent and none with the next, and the one that is stored
 * is still good; returned is that one.  Another account's has nobody who could end it any
 * longer, so it is revoked, as at a disconnect.  Of an unknown account neither: no access
 * token may lie beside the refresh token of somebody else, and revoking one may end the
 * new grant.
 */
static char *
take_over(const Flight *flight, const Connection *former, StringInfo detail)
{
	const ExchangeDetails *details = flight->details;
	const char *not_revoked = "its endpoints have changed";
	char *refresh_token = NULL;
	char *access_token;

	if (former->account == NULL || details->account.subject[0] == '\0')
		return NULL;
	if (former->refresh_token != NULL && connector_receives(flight->connector, former->endpoints))
		refresh_token = connection_open_refresh_token(former);
	if (connection_is_of(former, details->account.subject, details->account.issuer))
		return refresh_token;

	if (connector_receives(flight->connector, former->endpoints))
	{
		access_token = connection_open_access_token(former);
		not_revoked = access_token == NULL && refresh_token == NULL ? "its tokens cannot be opened"
					  : revocation_queue(flight->connector, former, access_token, refresh_token)
						  ? NULL
						  : "the provider has no revocation endpoint";
	}
	append_detail(detail, "another account");
	if (not_revoked != NULL)
		append_detail(detail, psprintf("the former one's grant is not revoked: %s", not_revoked));
	return NULL;
}

static void
append_detail(StringInfo detail, const char *text)
{
	if (detail->len > 0)
		appendStringInfoString(detail, "; ");
	appendStringInfoString(detail, text);
}

static bool
exchange_apply(Flight *flight)
{
	ExchangeDetails *details = flight->details;
	const TokenResponse *tokens = &flight->tokens;
	const char *refresh_token;
	Connection connection = {0};
	StringInfoData detail;
	LockResult lock;
	TimestampTz now = GetCurrentTimestamp();

	flight->is_failure = details->failure != NULL;
	if (!flight->is_failure)
		settle_scopes(flight);
	lock = store_lock_authorization(flight->app_user, details->callback.state_hash);
	if (lock == LOCK_MISSING)
	{
		revoke_tokens(flight, NULL);
		(void) refuse(flight, "It was disconnected, or the app user erased, meanwhile.");
		return true;
	}
	if (lock == LOCK_HELD)
	{
		/* what came of it is told now, and recorded if its holder leaves it there */
		if (flight->is_failure && flight->answer == NULL)
			answer_with_row(flight, details->failure);
		return false;
	}
	if (flight->is_failure)
		return end_flow(flight, details->failure);

	lock = store_lock_connector(flight->connector_id);
	if (lock == LOCK_HELD)
		return false;
	if (lock == LOCK_MISSING)
	{
		revoke_tokens(flight, flight->connection_name);
		return end_flow(flight, "connector_misconfigured");
	}
	lock = store_lock_connection(flight->app_user, flight->connector_id, flight->connection_name,
								 &connection);
	if (lock == LOCK_HELD)
		return false;

	initStringInfo(&detail);
	refresh_token = tokens->refresh_token;
	if (lock == LOCK_TAKEN)
	{
		char *former = take_over(flight, &connection, &detail);

		if (refresh_token == NULL)
			refresh_token = former;
	}
	connection.app_user = flight->app_user;
	connection.connector_id = flight->connector_id;
	connection.connection_name = flight->connection_name;
	random_uuid(&connection.grant_id);
	connection.generation = 1;
	connection.reconnect_required = false;
	connection.status_reason = NULL;
	connection.status_since = connection.connected_at = connection.updated_at = now;
	put_account(&connection, &details->account);
	connection.token_type = tokens->token_type;
	connection.requested_scopes = texts_to_array(details->requested, details->n_requested);
	connection.scopes_assumed = !tokens->has_scope;
	connection.scopes = texts_to_array(tokens->scopes, tokens->n_scopes);
	connection.connection_config = config_put_object(
		config_put_values(details->connection_config, tokens->values, tokens->n_values),
		details->fixed_config);
	connection.expires_at = token_expires_at(flight->sent_at, tokens->expires_in);
	connection.refresh_at =
		token_refresh_at(flight->connector, refresh_token != NULL, now, connection.expires_at);
	connection.failures = connection.refusals = 0;
	connection.failing_since = DT_NOEND;
	connection.endpoints = flight->connector->endpoints;
	connection_seal_tokens(&connection, tokens->access_token, refresh_token);
	if (tokens->expires_in_ignored)
		append_detail(&detail, "an absurd expires_in was ignored");
	if (refresh_token == NULL && !TIMESTAMP_IS_NOEND(connection.expires_at))
	{
		connection.status_reason = pstrdup("no_refresh_token");
		append_detail(&detail, psprintf("no_refresh_token: it ends at %s",
										timestamptz_to_str(connection.expires_at)));
	}

	if (lock == LOCK_MISSING)
		store_insert_connection(&connection);
	else
		store_update_connection(&connection);
	event_record(flight->app_user, flight->connector_id, flight->connection_name,
				 lock == LOCK_MISSING ? "connected" : "reconnected",
				 detail.len > 0 ? detail.data : NULL);
	return end_flow(flight, NULL);
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
put_jsonb(StringInfo record, const Jsonb *value)
{
	record_put_bytes(record, value, value != NULL ? VARSIZE(value) : 0);
}

static Jsonb *
get_jsonb(StringInfo record)
{
	int len;
	const char *bytes = record_get_bytes(record, &len);
	Jsonb *value = bytes != NULL ? palloc(len) : NULL;

	if (value != NULL)
		memcpy(value, bytes, len);
	return value;
}

static void
exchange_save(Flight *flight, StringInfo record)
{
	ExchangeDetails *details = flight->details;

	flight_put_tokens(record, flight);
	record_put_bytes(record, details->callback.state_hash, PG_SHA256_DIGEST_LENGTH);
	record_put_texts(record, details->requested, details->n_requested);
	put_jsonb(record, details->connection_config);
	put_jsonb(record, details->fixed_config);
	record_put_text(record, details->return_to);
	record_put_text(record, details->account.subject);
	record_put_text(record, details->account.issuer);
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
	details->connection_config = get_jsonb(record);
	details->fixed_config = get_jsonb(record);
	details->return_to = record_get_text(record);
	strlcpy(details->account.subject, record_get_text(record), sizeof(details->account.subject));
	strlcpy(details->account.issuer, record_get_text(record), sizeof(details->account.issuer));
}

const FlightKind exchange_flight = {"exchange",        STATS_EXCHANGE, exchange_prepare,
									exchange_answered, exchange_apply, exchange_save,
									exchange_load};
