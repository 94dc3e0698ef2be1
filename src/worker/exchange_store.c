/*
 * exchange_store.c
 *	  What an exchange granted, stored as a connection: new, or in place of the grant that
 *	  was there.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "oauth/scope.h"
#include "store/authorization.h"
#include "store/connection.h"
#include "store/connection_config.h"
#include "store/connection_token.h"
#include "store/connector_endpoint.h"
#include "store/event.h"
#include "store/store.h"
#include "worker/exchange_details.h"
#include "worker/exchange_outcome.h"
#include "worker/exchange_store.h"
#include "worker/grant_lifetime.h"
#include "worker/granted.h"
#include "worker/revocation.h"
#include "worker/token_lifetime.h"

static void append_detail(StringInfo detail, const char *text);
static bool refuse_other_account(Flight *flight, const Connection *former);

Jsonb *
exchange_granted_config(const Flight *flight)
{
	const ExchangeDetails *details = flight->details;
	const TokenResponse *tokens = &flight->tokens;

	return config_put_object(
		config_put_values(details->connection_config, tokens->values, tokens->n_values),
		details->fixed_config);
}

static void
put_account(Connection *connection, IdTokenAccount *account)
{
	bool known = account->subject[0] != '\0';

	connection->account = known ? account->subject : NULL;
	connection->account_issuer = known ? account->issuer : NULL;
	connection->account_name = known && account->name[0] != '\0' ? account->name : NULL;
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
	connection.connection_config = exchange_granted_config(flight);
	random_uuid(&connection.grant_id);
	(void) revocation_queue(flight->connector, &connection, flight->tokens.access_token,
							flight->tokens.refresh_token);
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
 * is still good; returned is that one, if it is from where it would be sent now.  Another account's has nobody who could end it any
 * longer, so it is revoked, as at a disconnect.  Of an unknown account neither: no access
 * token may lie beside the refresh token of somebody else, and revoking one may end the
 * new grant.
 */
static char *
take_over(const Flight *flight, const Connection *former, Jsonb *connection_config,
		  StringInfo detail)
{
	const ExchangeDetails *details = flight->details;
	const char *not_revoked = "its endpoints have changed";
	char *refresh_token = NULL;
	char *access_token;

	if (former->account == NULL || details->account.subject[0] == '\0')
		return NULL;
	if (former->refresh_token != NULL &&
		connector_receives(flight->connector, former->endpoints, former->connection_config))
		refresh_token = connection_open_refresh_token(former);
	if (connection_is_of(former, details->account.subject, details->account.issuer))
		return connector_receives(flight->connector, former->endpoints, connection_config)
				   ? refresh_token
				   : NULL;
	if (!connection_is_of_another(former, details->account.subject, details->account.issuer))
		return NULL;

	if (connector_receives(flight->connector, former->endpoints, former->connection_config))
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

/*
 * Where the connector's people keep their account, whoever connects another is refused, and
 * whoever's is not known any more as well: it could be another.  What was granted is
 * revoked, unless that could end what is kept.
 */
static bool
refuse_other_account(Flight *flight, const Connection *former)
{
	ExchangeDetails *details = flight->details;
	bool known = details->account.subject[0] != '\0';
	MemoryContext old;

	if (!flight->connector->refuses_other_account || former->account == NULL ||
		(known && connection_is_of(former, details->account.subject, details->account.issuer)))
		return false;
	revoke_tokens(flight, flight->connection_name);
	old = MemoryContextSwitchTo(flight->context);
	details->failure = "other_account";
	details->why =
		!known ? psprintf("which account was connected is unknown%s%s",
						  details->why_profile != NULL ? "; " : "",
						  details->why_profile != NULL ? details->why_profile : "")
		: connection_is_of_another(former, details->account.subject, details->account.issuer)
			? "the connector refuses another account than the one that is connected"
			: "the account that is connected was named in another way, so that it is not known "
			  "whether it is the same; the person disconnects first";
	MemoryContextSwitchTo(old);
	return true;
}

bool
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
		(void) exchange_refuse(flight, "It was disconnected, or the app user erased, meanwhile.");
		return true;
	}
	if (lock == LOCK_HELD)
	{
		/* what came of it is told now, and recorded if its holder leaves it there */
		if (flight->is_failure && flight->answer == NULL)
			exchange_answer_with_row(flight, details->failure);
		return false;
	}
	if (flight->is_failure)
		return exchange_end_flow(flight, details->failure);

	lock = store_lock_connector(flight->connector_id);
	if (lock == LOCK_HELD)
		return false;
	if (lock == LOCK_MISSING)
	{
		revoke_tokens(flight, flight->connection_name);
		return exchange_end_flow(flight, "connector_misconfigured");
	}
	lock = store_lock_connection(flight->app_user, flight->connector_id, flight->connection_name,
								 &connection);
	if (lock == LOCK_HELD)
		return false;

	if (lock == LOCK_TAKEN && refuse_other_account(flight, &connection))
		return exchange_end_flow(flight, details->failure);

	initStringInfo(&detail);
	refresh_token = tokens->refresh_token;
	if (lock == LOCK_TAKEN)
	{
		char *former = take_over(flight, &connection, exchange_granted_config(flight), &detail);

		if (refresh_token == NULL)
			refresh_token = former;
	}
	/* which ends when it would have ended, if it is the former */
	if (refresh_token == NULL || refresh_token == tokens->refresh_token)
		connection.reconnect_by = connection.remind_at = DT_NOEND;
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
	connection.connection_config = exchange_granted_config(flight);
	connection.expires_at = token_expires_at(flight->sent_at, tokens->expires_in);
	connection.refresh_at =
		token_refresh_at(flight->connector, refresh_token != NULL, now, connection.expires_at);
	connection.failures = connection.refusals = 0;
	connection.failing_since = DT_NOEND;
	connection.endpoints = connector_endpoints_for(flight->connector, connection.connection_config);
	grant_lifetime_renew(&connection, &flight->connector->client, refresh_token != NULL,
						 flight->sent_at,
						 tokens->refresh_token != NULL ? tokens->refresh_token_expires_in : -1);
	connection_seal_tokens(&connection, tokens->access_token, refresh_token);
	if (details->why_profile != NULL)
		append_detail(&detail, details->why_profile);
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
	return exchange_end_flow(flight, NULL);
}
