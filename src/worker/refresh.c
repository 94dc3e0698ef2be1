/*
 * refresh.c
 *	  Keeping access tokens fresh (RFC 6749 §6): what is due, what is sent, what an
 *	  answer grants.  What is done about one that grants nothing: refresh_failure.c.
 *
 * One refresh a connection at a time, by construction: there is one worker, and
 * who asks for a refresh that is under way joins it.
 */
#include "postgres.h"

#include <time.h>

#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "base/record.h"
#include "base/settings.h"
#include "oauth/definition.h"
#include "oauth/echo.h"
#include "oauth/id_token.h"
#include "oauth/url_template.h"
#include "store/adoption.h"
#include "store/connection.h"
#include "store/connection_config.h"
#include "store/connection_token.h"
#include "store/connector.h"
#include "store/connector_endpoint.h"
#include "store/event.h"
#include "store/keyring.h"
#include "store/store.h"
#include "worker/circuit.h"
#include "worker/diagnosis.h"
#include "worker/flight.h"
#include "worker/grant_lifetime.h"
#include "worker/granted.h"
#include "worker/jwks.h"
#include "worker/exchange.h"
#include "worker/rate.h"
#include "worker/refresh.h"
#include "worker/refresh_details.h"
#include "worker/refresh_failure.h"
#include "worker/refusal.h"
#include "worker/revocation.h"
#include "worker/token_lifetime.h"

#define RESENDS 2          /* at once, within RESEND_WINDOW of the first */
#define RESEND_WINDOW 5000 /* ms */
#define MAX_FORCED 20      /* refreshes of a token that lives, because somebody wants another */
#define FORCED_PERIOD (60 * 1000) /* ms */
#define MAX_HELD 16               /* answers, times the requests there may be */

static void
note_success(const Flight *flight, const Connection *connection)
{
	const RefreshDetails *details = flight->details;

	circuit_note_success(flight->connector_id, flight->app_user);
	refusal_note_grant(connection);
	if (details->probing)
	{
		store_stop_connector(flight->connector_id, NULL, GetCurrentTimestamp(), DT_NOEND);
		event_record("", flight->connector_id, NULL, "connector_resumed", NULL);
	}
}

void
refresh_call_put(StringInfo record, const Connection *connection)
{
	record_put_text(record, connection->app_user);
	record_put_text(record, connection->connector_id);
	record_put_text(record, connection->connection_name);
	record_put_bytes(record, &connection->grant_id, sizeof(pg_uuid_t));
	record_put_int(record, connection->generation);
}

static RefreshDetails *
init_details(Flight *flight)
{
	return flight->details = MemoryContextAllocZero(flight->context, sizeof(RefreshDetails));
}

/*
 * What is under way for this connection and brings its token: its refresh, or a
 * reconnect whose answer is held; NULL: nothing.
 */
static Flight *
find_under_way(const char *app_user, const char *connector_id, const char *connection_name)
{
	dlist_iter iter;

	dlist_foreach (iter, flight_list_near(app_user))
	{
		Flight *flight = dlist_container(Flight, app_user_node, iter.cur);

		if (flight->kind == &exchange_flight && flight->state == FLIGHT_HELD &&
			!flight->is_failure && strcmp(flight->app_user, app_user) == 0 &&
			strcmp(flight->connector_id, connector_id) == 0 &&
			strcmp(flight->connection_name, connection_name) == 0)
			return flight;
	}
	return flight_find(&refresh_flight, app_user, connector_id, connection_name);
}

void
refresh_take(StringInfo record, ProviderCallWaiter waiter)
{
	char *app_user = record_get_text(record);
	char *connector_id = record_get_text(record);
	char *connection_name = record_get_text(record);
	int len;
	const char *grant_id = record_get_bytes(record, &len);
	int64 generation = record_get_int(record);
	Flight *flight = find_under_way(app_user, connector_id, connection_name);
	RefreshDetails *details;

	if (flight != NULL)
		flight_add_waiter(flight, waiter);
	else
	{
		flight = flight_accept(&refresh_flight, app_user, connector_id, connection_name, waiter);
		if (flight == NULL)
			return;
		(void) init_details(flight);
	}

	/* of several askers, who saw the row last says whether it needs a refresh */
	details = flight->details;
	if (flight->kind == &refresh_flight &&
		(flight->state == FLIGHT_NEW || flight->state == FLIGHT_WAITING) &&
		generation > details->asked_generation)
	{
		memcpy(&details->asked_grant_id, grant_id, sizeof(pg_uuid_t));
		details->asked_generation = generation;
	}
}

/*
 * Not what is under way already; nor, where its app user has as much under way there as
 * one may have, before the others who are due.
 */
static DueVerdict
is_its_turn(const ConnectionKey *key)
{
	const Flight *flight =
		flight_find(&refresh_flight, key->app_user, key->connector_id, key->connection_name);

	if (flight != NULL)
		return flight->state == FLIGHT_HELD || flight->state == FLIGHT_WAITING ? DUE_HELD
																			   : DUE_LEAVE;
	return flight_app_user_is_busy(key->app_user, key->connector_id) ? DUE_LEAVE : DUE_TAKE;
}

TimestampTz
refresh_start_due(void)
{
	int n_connectors;
	char **connectors = store_connector_ids(&n_connectors);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = DT_NOEND;
	InstallationState state = installation_state();

	if (state != INSTALLATION_OURS)
		return DT_NOEND;
	for (int i = 0; i < n_connectors; i++)
	{
		TimestampTz open_until = circuit_open_until(connectors[i]);
		int held;
		int under_way = flight_count_unqueued(connectors[i], &held);
		int room = guc_max_concurrent_requests_per_connector - under_way;
		int count;
		TimestampTz next_due;
		ConnectionKey *keys;

		/* while the circuit is open nothing; then a few at a time until it closes */
		if (open_until > now)
		{
			next = Min(next, open_until);
			continue;
		}
		if (circuit_is_half_open(connectors[i]))
			room = Min(room, FLIGHT_PROBES);
		/* while rows are held, answers would pile up in memory and pending_answers */
		if (room <= 0 || held >= MAX_HELD * guc_max_concurrent_requests_per_connector)
			continue;

		keys = store_due_connections(connectors[i], now, room, is_its_turn, &count, &next_due);
		if (count > 0)
			keyring_check();
		for (int j = 0; j < count; j++)
			if (is_its_turn(&keys[j]) == DUE_TAKE)
				(void) init_details(flight_create(&refresh_flight, keys[j].app_user,
												  keys[j].connector_id, keys[j].connection_name));
		next = Min(next, next_due);
	}
	return next;
}

/* Of a token that lives and is not due: who asks wants one that lives longer, or has had
 * it rejected. */
static bool
is_forced(const Connection *connection, TimestampTz now)
{
	return connection->failures == 0 && connection->refresh_at > now &&
		   connection->expires_at > now;
}

static void
request_refresh(Flight *flight)
{
	const RefreshDetails *details = flight->details;
	Connector *connector = flight->connector;

	/* of the flow that it came of nobody has kept it, and most have one only */
	connector->client.redirect_uri =
		connector->n_redirect_uris > 0
			? connector_redirect_parameter(connector, connector->redirect_uris[0])
			: NULL;
	build_refresh_request(&flight->connector->client, details->refresh_token, details->scopes,
						  details->n_scopes, &flight->request);
}

static bool
refresh_prepare(Flight *flight)
{
	RefreshDetails *details = flight->details;
	Connection connection = {0};
	Connector *connector;
	TimestampTz now = GetCurrentTimestamp();
	const char *lacking;
	bool resting;

	if (installation_state() != INSTALLATION_OURS)
	{
		flight_fail(flight, CALL_COPY_HELD, "%s", "");
		return false;
	}
	if (!store_read_connection(flight->app_user, flight->connector_id, flight->connection_name,
							   GetLatestSnapshot(), &connection))
	{
		flight_fail(flight, CALL_CONNECTION_NOT_FOUND, "%s", "");
		return false;
	}
	if (flight->tries > 0 && flight->n_waiters == 0 && connection.refresh_at > now)
	{
		/* it was due, and whoever held it has seen to that */
		flight->outcome = CALL_SUCCEEDED;
		return false;
	}
	details->grant_id = connection.grant_id;
	details->generation = connection.generation;
	details->account = connection.account;
	details->account_issuer = connection.account_issuer;
	details->connection_config = connection.connection_config;
	details->connected_at = connection.connected_at;
	details->unclear = refresh_is_unclear(&connection);
	details->inherited = connection.updated_at < MyStartTimestamp;
	details->scopes = array_to_texts(connection.scopes, &details->n_scopes);
	details->requested = array_to_texts(connection.requested_scopes, &details->n_requested);
	if (connection.reconnect_required)
	{
		flight_fail(flight, CALL_RECONNECT_REQUIRED, "%s",
					connection.status_reason ? connection.status_reason : "");
		return false;
	}
	if (details->asked_generation != 0 &&
		(memcmp(&details->asked_grant_id, &connection.grant_id, sizeof(pg_uuid_t)) != 0 ||
		 details->asked_generation != connection.generation))
	{
		/* somebody's refresh came first: there is a newer token to read */
		flight->outcome = CALL_SUCCEEDED;
		return false;
	}
	if (connection.refresh_token == NULL)
	{
		/* rejected by the API, or expired, and nothing to renew it with */
		refresh_require_reconnect(flight, "no_refresh_token");
		return false;
	}
	resting = connection.failures > 0 && !TIMESTAMP_IS_NOEND(connection.refresh_at) &&
			  connection.refresh_at > now;

	connector = connector_find(flight->connector_id);
	if (connector == NULL)
	{
		flight_fail(flight, CALL_CONNECTION_NOT_FOUND, "%s", "");
		return false;
	}
	flight->connector = connector;
	if (!TIMESTAMP_IS_NOEND(connector->stopped_at))
	{
		details->probing = refresh_may_probe(flight, connector, now);
		if (!details->probing)
		{
			flight_fail(flight, CALL_CONNECTOR_MISCONFIGURED, "The connector is stopped: %s.",
						connector->stopped_reason ? connector->stopped_reason : "");
			if (!resting)
				refresh_postpone(flight, STOPPED_REASON, STOPPED_DELAY);
			return false;
		}
	}
	else
		circuit_note_resumed(flight->connector_id);
	if (!connector_open(connector))
	{
		flight_fail(flight, CALL_CONNECTOR_MISCONFIGURED,
					"The connector was changed outside update_connector().");
		if (!resting)
			refresh_postpone(flight, "connector_changed", STOPPED_DELAY);
		return false;
	}
	if (resting && connector->updated_at <= connection.failing_since &&
		strcmp(connection.status_reason ? connection.status_reason : "", STOPPED_REASON) != 0 &&
		!refresh_may_try_early(flight, &connection, now))
	{
		const char *reason = connection.status_reason ? connection.status_reason : "";

		flight_fail(flight,
					strcmp(reason, "invalid_client") == 0 ? CALL_CONNECTOR_MISCONFIGURED
														  : CALL_PROVIDER_UNAVAILABLE,
					"The last attempt failed (%s); the next is at %s.", reason,
					timestamptz_to_str(connection.refresh_at));
		return false;
	}
	if (circuit_open_until(flight->connector_id) > now)
	{
		/* what is due stays so */
		flight_fail(flight, CALL_PROVIDER_UNAVAILABLE,
					"The provider has not been answering; the next attempt is at %s.",
					timestamptz_to_str(circuit_open_until(flight->connector_id)));
		return false;
	}
	if (!connector_receives(connector, connection.endpoints, connection.connection_config))
	{
		/* never collect refresh tokens at another server than the person chose */
		refresh_require_reconnect(flight, "endpoints_changed");
		return false;
	}
	if (!connector_bind(connector, connection.connection_config, &lacking) ||
		(connector->client.refresh_endpoint != NULL &&
		 url_is_template(connector->client.refresh_endpoint)))
	{
		flight_fail(flight, CALL_CONNECTOR_MISCONFIGURED,
					"The endpoint of refreshes lacks a field of connection_config.");
		if (!resting)
			refresh_postpone(flight, "field_missing", STOPPED_DELAY);
		return false;
	}
	/* providers count them, and lock out the client that makes too many */
	if (is_forced(&connection, now) &&
		rate_count("forced", flight->app_user, flight->connector_id, flight->connection_name,
				   FORCED_PERIOD, now) > MAX_FORCED)
	{
		flight_fail(flight, CALL_TOO_OFTEN, "The token was renewed %d times within a minute.",
					MAX_FORCED);
		return false;
	}
	details->refresh_token = connection_open_refresh_token(&connection);
	if (details->refresh_token == NULL)
	{
		flight_fail(flight, CALL_FAILED, "The stored refresh token cannot be opened.");
		refresh_postpone(flight, UNREADABLE_REASON, UNREADABLE_DELAY);
		return false;
	}
	if (details->probing)
		/* one is enough; whoever comes next finds that it is not time */
		store_stop_connector(flight->connector_id,
							 connector->stopped_reason ? connector->stopped_reason : "", now,
							 TimestampTzPlusMilliseconds(now, STOPPED_DELAY));
	request_refresh(flight);
	return true;
}

/*
 * An ID token of a refresh is new, for the same account, and its nonce is not
 * looked at (OpenID Connect Core §12.2).  The keys are those that are at hand:
 * what was granted hangs on none of it.
 */
static IdTokenResult
check_id_token(const Flight *flight)
{
	RefreshDetails *details = flight->details;
	const OAuthClient *client = &flight->connector->client;
	IdTokenExpectation expected = {.issuer = client->issuer,
								   .client_id = client->client_id,
								   .subject = details->account,
								   .subject_issuer = details->account_issuer,
								   .access_token = flight->tokens.access_token,
								   .algorithms = client->id_token_algorithms,
								   .now = (int64_t) time(NULL),
								   .issued_from = timestamptz_to_time_t(details->connected_at),
								   .key_optional = true};

	if (flight->tokens.id_token == NULL || details->account == NULL || client->issuer == NULL ||
		client->jwks_uri == NULL ||
		/* which has names of its own for accounts */
		(details->account_issuer != NULL && account_is_of_profile(details->account_issuer)))
		return ID_TOKEN_ACCEPTED;
	return id_token_check(flight->tokens.id_token, jwks_get(client->jwks_uri), &expected,
						  &details->granted);
}

/* For an event that names nobody: a person's own host may be in the URL as it was called. */
static const char *
diagnose_of_connector(const Flight *flight, const HttpResponse *response)
{
	const JsonValue *definition = flight->connector->definition_json;
	OAuthClient client = flight->connector->client;

	client.token_endpoint = definition_text(definition, "token_endpoint");
	client.refresh_endpoint = definition_text(definition, "refresh_endpoint");
	return diagnose_refusal(&client, REFUSED_REFRESH_TOKEN, response, &flight->tokens);
}

/* In ms, from the first sending; of a token that may be sent once it is over at once. */
static int
resend_window(const Connector *connector)
{
	return connector->refresh_token_grace < 0
			   ? RESEND_WINDOW
			   : (int) Min(connector->refresh_token_grace * INT64CONST(1000), RESEND_WINDOW);
}

static bool
refresh_answered(Flight *flight, const HttpResponse *response)
{
	RefreshDetails *details = flight->details;
	const OAuthClient *client = &flight->connector->client;
	TokenResponse *tokens = &flight->tokens;

	/*
	 * What a provider did whose answer was lost is unknown.  Those that rotate
	 * take the old token again for a moment, so: at once, while the callers wait.
	 */
	if (response->outcome == HTTP_UNANSWERED && details->lost++ < RESENDS &&
		!TimestampDifferenceExceeds(flight->first_sent_at, GetCurrentTimestamp(),
									resend_window(flight->connector)))
	{
		request_refresh(flight);
		return true;
	}
	if (response->outcome != HTTP_ANSWERED)
	{
		strlcpy(flight->problem, response->error, sizeof(flight->problem));
		details->why = diagnose_no_answer(client, REFUSED_REFRESH_TOKEN, response);
		return false;
	}
	parse_token_response(client, response->status, response->content_type, response->body,
						 response->body_len, tokens);
	token_response_count_from(&flight->tokens, &flight->connector->client,
							  timestamptz_to_time_t(flight->sent_at));
	if (tokens->outcome == TOKEN_GRANTED)
	{
		details->id_token = check_id_token(flight);
		if (details->id_token != ID_TOKEN_ACCEPTED && details->id_token != ID_TOKEN_OTHER_SUBJECT)
			details->why = diagnose_id_token(client, details->id_token, tokens->id_token);
		return false;
	}
	echo_mask(tokens->error, (const char *const *) &details->refresh_token, 1);
	echo_mask(tokens->error_description, (const char *const *) &details->refresh_token, 1);
	details->why = diagnose_refusal(client, REFUSED_REFRESH_TOKEN, response, tokens);
	if (tokens->outcome == TOKEN_INVALID_CLIENT)
		details->why_of_connector = diagnose_of_connector(flight, response);
	if (tokens->outcome == TOKEN_MALFORMED && tokens->malformed != NULL)
		strlcpy(flight->problem, tokens->malformed, sizeof(flight->problem));
	else if (tokens->error[0] != '\0')
		strlcpy(flight->problem, tokens->error, sizeof(flight->problem));
	else
		snprintf(flight->problem, sizeof(flight->problem), "HTTP status %d", response->status);
	return false;
}

/* Tokens that nobody will have, of whichever account they are, where they were granted */
static void
revoke_granted(Flight *flight, const Connection *connection)
{
	RefreshDetails *details = flight->details;
	const TokenResponse *tokens = &flight->tokens;
	Connection granted = *connection;

	granted.connection_config =
		config_put_values(details->connection_config, tokens->values, tokens->n_values);
	if (details->id_token == ID_TOKEN_OTHER_SUBJECT)
	{
		granted.account = details->granted.subject;
		granted.account_issuer = details->granted.issuer;
	}
	(void) revocation_queue(flight->connector, &granted, tokens->access_token,
							tokens->refresh_token ? tokens->refresh_token : details->refresh_token);
}

/* Of the token that is stored, in seconds; -1: unknown.  RFC 6749 §5.1 lets an answer leave
 * it out where it is known by other means, which is what the answer before was. */
static int64
known_lifetime(const Connection *connection)
{
	if (TIMESTAMP_IS_NOEND(connection->expires_at) ||
		connection->expires_at <= connection->updated_at)
		return -1;
	return (connection->expires_at - connection->updated_at + USECS_PER_SEC - 1) / USECS_PER_SEC;
}

/*
 * Has the person connected the same account again meanwhile, and did the exchange keep the
 * refresh token that this answer is about?  Then it is that grant's answer as well, and
 * what was rotated must not be lost.
 */
static bool
is_taken_over(const RefreshDetails *details, const Connection *connection)
{
	char *refresh_token;

	if (connection->refresh_token == NULL ||
		!connection_is_of(connection, details->account, details->account_issuer))
		return false;
	refresh_token = connection_open_refresh_token(connection);
	return refresh_token != NULL && strcmp(refresh_token, details->refresh_token) == 0;
}

/*
 * Stores what was granted.  False: the row is held.  The row may be gone
 * (disconnected meanwhile): then the tokens nobody will have are revoked.  It
 * may hold another grant (reconnected): then they are discarded, since revoking
 * one could end the new grant as well, unless that is known to be another account's.
 */
static bool
store_granted(Flight *flight)
{
	RefreshDetails *details = flight->details;
	const TokenResponse *tokens = &flight->tokens;
	Connection connection = {0};
	char *refresh_token = tokens->refresh_token;
	int64 expires_in;
	TimestampTz now = GetCurrentTimestamp();

	switch (store_lock_connection(flight->app_user, flight->connector_id, flight->connection_name,
								  &connection))
	{
		case LOCK_HELD:
			return false;
		case LOCK_MISSING:
			/* nameless, since the person may have been erased */
			revoke_granted(flight, &(Connection){.app_user = flight->app_user,
												 .account = details->account,
												 .account_issuer = details->account_issuer,
												 .grant_id = details->grant_id});
			flight_fail(flight, CALL_CONNECTION_NOT_FOUND, "%s", "");
			return true;
		case LOCK_TAKEN:
			break;
	}
	if (memcmp(&connection.grant_id, &details->grant_id, sizeof(pg_uuid_t)) != 0
			? !is_taken_over(details, &connection)
			: connection.generation != details->generation)
	{
		/* of an account that the person has left, whose grant has been revoked */
		if (connection_is_of_another(&connection, details->account, details->account_issuer))
			revoke_granted(flight, &(Connection){.app_user = flight->app_user,
												 .connection_name = flight->connection_name,
												 .account = details->account,
												 .account_issuer = details->account_issuer,
												 .grant_id = details->grant_id});
		flight->outcome = CALL_SUCCEEDED;
		return true;
	}

	if (connection.reconnect_required)
	{
		/* the connector was pointed elsewhere meanwhile: the later word stands */
		revoke_granted(flight, &connection);
		flight_fail(flight, CALL_RECONNECT_REQUIRED, "%s",
					connection.status_reason ? connection.status_reason : "");
		return true;
	}

	if (details->id_token == ID_TOKEN_OTHER_SUBJECT)
	{
		/* OpenID Connect Core §12.2: it must not be used, nor what came with it */
		revoke_granted(flight, &connection);
		refresh_require_reconnect(flight, "account_changed");
		return true;
	}

	/* RFC 6749 §6: no new refresh token means the old one stays */
	if (refresh_token == NULL)
		refresh_token = details->refresh_token;
	expires_in = tokens->expires_in;
	if (expires_in < 0)
		expires_in = known_lifetime(&connection);
	connection.generation++;
	connection.token_type = tokens->token_type;
	if (tokens->has_scope)
	{
		connection.scopes = texts_to_array(tokens->scopes, tokens->n_scopes);
		connection.scopes_assumed = false;
	}
	/* such as the API's host, which may have moved */
	connection.connection_config =
		config_put_values(connection.connection_config, tokens->values, tokens->n_values);
	connection.updated_at = now;
	connection.expires_at = token_expires_at(flight->sent_at, expires_in);
	connection.refresh_at =
		token_refresh_at(flight->connector, refresh_token != NULL, now, connection.expires_at);
	connection.failures = connection.refusals = 0;
	connection.failing_since = DT_NOEND;
	connection.status_reason = NULL;
	connection.endpoints = connector_endpoints_for(flight->connector, connection.connection_config);
	grant_lifetime_renew(&connection, &flight->connector->client, true, flight->sent_at,
						 tokens->refresh_token_expires_in);
	connection_seal_tokens(&connection, tokens->access_token, refresh_token);
	store_update_connection(&connection);
	if (details->id_token != ID_TOKEN_ACCEPTED)
		event_record_once(
			flight->app_user, flight->connector_id, flight->connection_name, "invalid_id_token",
			details->why != NULL ? details->why : id_token_result_text(details->id_token),
			connection.connected_at);
	if (tokens->expires_in < 0 && expires_in >= 0 && !tokens->expires_in_ignored)
		event_record_once(flight->app_user, flight->connector_id, flight->connection_name,
						  "expires_in_missing", "the lifetime of the token before counts on",
						  connection.connected_at);
	if (tokens->expires_in_ignored)
		event_record_once(flight->app_user, flight->connector_id, flight->connection_name,
						  "expires_in_ignored", "it is absurd", connection.connected_at);
	note_success(flight, &connection);
	flight->outcome = CALL_SUCCEEDED;
	return true;
}

static bool
refresh_apply(Flight *flight)
{
	const RefreshDetails *details = flight->details;

	if (flight->http_outcome == HTTP_ANSWERED && flight->tokens.outcome == TOKEN_GRANTED)
	{
		granted_settle(flight, details->requested, details->n_requested);
		return store_granted(flight);
	}
	flight->is_failure = true;
	refresh_store_failure(flight);
	return !flight->row_held;
}

static void
refresh_save(Flight *flight, StringInfo record)
{
	RefreshDetails *details = flight->details;

	flight_put_tokens(record, flight,
					  config_put_values(details->connection_config, flight->tokens.values,
										flight->tokens.n_values));
	record_put_bytes(record, &details->grant_id, sizeof(pg_uuid_t));
	record_put_int(record, details->generation);
	record_put_text(record, details->refresh_token);
	record_put_text(record, details->account);
	record_put_text(record, details->account_issuer);
	record_put_text(record, details->granted.subject);
	record_put_text(record, details->granted.issuer);
	record_put_int(record, details->id_token);
	flight_put_jsonb(record, details->connection_config);
}

static void
refresh_load(Flight *flight, StringInfo record)
{
	RefreshDetails *details = palloc0(sizeof(RefreshDetails));
	int len;

	flight->details = details;
	flight_get_tokens(record, flight);
	memcpy(&details->grant_id, record_get_bytes(record, &len), sizeof(pg_uuid_t));
	details->generation = record_get_int(record);
	details->refresh_token = record_get_text(record);
	details->account = record_get_text(record);
	details->account_issuer = record_get_text(record);
	strlcpy(details->granted.subject, record_get_text(record), sizeof(details->granted.subject));
	strlcpy(details->granted.issuer, record_get_text(record), sizeof(details->granted.issuer));
	details->id_token = (IdTokenResult) record_get_int(record);
	details->connection_config = flight_get_jsonb(record);
}

const FlightKind refresh_flight = {"refresh",        STATS_REFRESH,   refresh_prepare,
								   refresh_answered, refresh_apply,   refresh_save,
								   refresh_load,     refresh_put_off, .heeds_circuit = true};
