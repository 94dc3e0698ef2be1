/*
 * flight_pending.c
 *	  Answers that were granted and cannot be applied yet, sealed into pending_answers, and
 *	  back when a worker starts.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/record.h"
#include "base/secret.h"
#include "store/connector_endpoint.h"
#include "store/installation.h"
#include "store/keyring.h"
#include "store/outbox.h"
#include "worker/client_record.h"
#include "worker/flight.h"

static StringInfo
pending_aad(const char *app_user, const pg_uuid_t *answer_id)
{
	StringInfo aad = makeStringInfo();

	record_put_text(aad, "pending answer");
	record_put_bytes(aad, installation_id(), sizeof(pg_uuid_t));
	record_put_text(aad, app_user);
	record_put_bytes(aad, answer_id, sizeof(pg_uuid_t));
	return aad;
}

void
flight_save_answer(Flight *flight)
{
	StringInfoData record;

	/* by the same id, which is still right if this transaction fails */
	if (flight->saved)
		store_delete_pending_answer(flight->app_user, &flight->answer_id);
	else
		random_uuid(&flight->answer_id);
	record_init(&record, 4 * MAX_TOKEN_BYTES);
	record_put_text(&record, flight->kind->name);
	record_put_text(&record, flight->connector_id);
	record_put_text(&record, flight->connection_name);
	flight->kind->save(flight, &record);
	store_insert_pending_answer(
		flight->app_user, &flight->answer_id,
		keyring_seal(pending_aad(flight->app_user, &flight->answer_id), record.data, record.len),
		GetCurrentTimestamp());
	secret_cleanse(record.data, record.len);
	pfree(record.data);
}

static bool
is_loaded(const OutboxKey *key)
{
	dlist_iter iter;

	dlist_foreach (iter, flight_list())
	{
		Flight *flight = dlist_container(Flight, node, iter.cur);

		if (flight->loaded && strcmp(flight->app_user, key->app_user) == 0 &&
			memcmp(&flight->answer_id, &key->id, sizeof(pg_uuid_t)) == 0)
			return true;
	}
	return false;
}

/* Makes a flight of a row of pending_answers again. */
static void
load_pending(const OutboxKey *key, const FlightKind *const *kinds, int n_kinds)
{
	bytea *sealed = store_get_pending_answer(key->app_user, &key->id);
	StringInfoData record = {0};
	Flight *flight;
	MemoryContext old;
	char *kind;
	char *connector_id;

	if (sealed != NULL)
		record.data = keyring_open(pending_aad(key->app_user, &key->id), sealed, &record.len);
	if (record.data == NULL)
	{
		ereport(WARNING, (errmsg("a pending answer of a provider cannot be opened"),
						  errhint("Restore appuser_connectors.pending_answers from a backup.")));
		return;
	}
	/* what it is of is in the record, whose copies belong to the flight */
	flight = flight_create(kinds[0], key->app_user, "", "");
	old = MemoryContextSwitchTo(flight->context);
	flight->answer_id = key->id;
	kind = record_get_text(&record);
	for (int i = 0; i < n_kinds; i++)
		if (strcmp(kind, kinds[i]->name) == 0)
			flight->kind = kinds[i];
	connector_id = record_get_text(&record);
	flight_set_connection(flight, connector_id, record_get_text(&record));
	flight->kind->load(flight, &record);
	flight->saved = flight->loaded = true;
	flight_set_state(flight, FLIGHT_HELD);
	flight->apply_at = GetCurrentTimestamp();
	MemoryContextSwitchTo(old);
}

void
flights_load_pending(const FlightKind *const *kinds, int n_kinds)
{
	int count;
	OutboxKey *keys = store_pending_answers(&count);

	for (int i = 0; i < count; i++)
		if (!is_loaded(&keys[i]))
			load_pending(&keys[i], kinds, n_kinds);
}

void
flight_put_tokens(StringInfo record, const Flight *flight, Jsonb *config)
{
	const TokenResponse *tokens = &flight->tokens;
	const Connector *connector = flight->connector;

	record_put_int(record, flight->sent_at);
	record_put_text(record, tokens->access_token);
	record_put_text(record, tokens->refresh_token);
	record_put_text(record, tokens->token_type);
	record_put_int(record, tokens->has_scope);
	record_put_texts(record, tokens->scopes, tokens->n_scopes);
	record_put_int(record, tokens->expires_in);
	record_put_int(record, tokens->refresh_token_expires_in);
	record_put_int(record, tokens->n_values);
	for (int i = 0; i < tokens->n_values; i++)
	{
		record_put_text(record, tokens->values[i].name);
		record_put_text(record, tokens->values[i].value);
	}

	/* what it takes to revoke them, should the connector be gone by then */
	record_put_text(record, connector->client.token_endpoint);
	client_record_put(record, connector, connector_revocation_endpoint(connector, config), config);
	record_put_int(record, connector->refresh_margin);
	record_put_int(record, connector->client.grant_lifetime);
	/* with the fields filled in: their declarations are not kept */
	record_put_text(record, connector_endpoints_for(connector, config));
	record_put_int(record, connector->refuses_other_account);
}

void
flight_get_tokens(StringInfo record, Flight *flight)
{
	TokenResponse *tokens = &flight->tokens;
	Connector *connector = palloc0(sizeof(Connector));

	flight->http_outcome = HTTP_ANSWERED;
	flight->connector = connector;
	flight->sent_at = record_get_int(record);
	tokens->outcome = TOKEN_GRANTED;
	tokens->access_token = record_get_text(record);
	tokens->refresh_token = record_get_text(record);
	tokens->token_type = record_get_text(record);
	tokens->has_scope = record_get_int(record) != 0;
	tokens->scopes = record_get_texts(record, &tokens->n_scopes);
	tokens->expires_in = record_get_int(record);
	tokens->refresh_token_expires_in = record_get_int(record);
	tokens->n_values = (int) record_get_int(record);
	tokens->values = palloc(sizeof(NameValue) * (tokens->n_values + 1));
	for (int i = 0; i < tokens->n_values; i++)
	{
		tokens->values[i].name = record_get_text(record);
		tokens->values[i].value = record_get_text(record);
	}

	connector->connector_id = pstrdup(flight->connector_id);
	connector->client.token_endpoint = record_get_text(record);
	client_record_get(record, connector);
	connector->refresh_margin = (int) record_get_int(record);
	connector->client.grant_lifetime = record_get_int(record);
	connector->endpoints = record_get_text(record);
	connector->refuses_other_account = record_get_int(record) != 0;
}

void
flight_put_jsonb(StringInfo record, const Jsonb *value)
{
	record_put_bytes(record, value, value != NULL ? VARSIZE(value) : 0);
}

Jsonb *
flight_get_jsonb(StringInfo record)
{
	int len;
	const char *bytes = record_get_bytes(record, &len);
	Jsonb *value = bytes != NULL ? palloc(len) : NULL;

	if (value != NULL)
		memcpy(value, bytes, len);
	return value;
}
