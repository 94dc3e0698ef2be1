/*
 * store_connector.c
 *	  Statements on providers and connectors.
 */
#include "postgres.h"

#include "store.h"
#include "store_connector.h"

#define CONNECTOR_COLUMNS                                                                          \
	"connector_id, provider, name, client_id, client_secret, scopes, redirect_uris, "              \
	"connection_config, options, definition, stopped_at, stopped_reason, probe_at, updated_at"

void
store_put_provider(const char *provider, const Jsonb *definition, TimestampTz now)
{
	static StoreStatement put = {
		"INSERT INTO appuser_connectors.providers AS p (provider, definition, built_in, "
		"updated_at) "
		"VALUES ($1, $2, false, $3) ON CONFLICT (provider) DO UPDATE "
		"SET definition = excluded.definition, built_in = false, updated_at = excluded.updated_at "
		"WHERE p.definition <> excluded.definition"};
	StoreArgs args = {0};

	arg_text(&args, provider);
	arg_jsonb(&args, definition);
	arg_timestamp(&args, now);
	store_begin(NULL);
	store_run(&put, &args);
	store_end();
}

Jsonb *
store_get_provider(const char *provider)
{
	static StoreStatement get = {
		"SELECT definition FROM appuser_connectors.providers WHERE provider = $1"};
	StoreArgs args = {0};
	Jsonb *definition = NULL;

	arg_text(&args, provider);
	store_begin(NULL);
	if (store_run(&get, &args) > 0)
		definition = result_jsonb(0, 1);
	store_end();
	return definition;
}

Connector *
store_get_connector(const char *connector_id)
{
	static StoreStatement get = {"SELECT " CONNECTOR_COLUMNS
								 " FROM appuser_connectors.connectors WHERE connector_id = $1"};
	StoreArgs args = {0};
	Connector *connector = palloc0(sizeof(Connector));
	bool found;

	arg_text(&args, connector_id);
	store_begin(NULL);
	found = store_run(&get, &args) > 0;
	if (found)
	{
		connector->connector_id = result_text(0, 1);
		connector->provider = result_text(0, 2);
		connector->name = result_text(0, 3);
		connector->client.client_id = result_text(0, 4);
		connector->client_secret = result_bytes(0, 5);
		connector->scopes = result_texts(0, 6, &connector->n_scopes);
		connector->redirect_uris = result_texts(0, 7, &connector->n_redirect_uris);
		connector->connection_config = result_jsonb(0, 8);
		connector->options = result_jsonb(0, 9);
		connector->definition = result_jsonb(0, 10);
		connector->stopped_at = result_timestamp(0, 11);
		connector->stopped_reason = result_text(0, 12);
		connector->probe_at = result_timestamp(0, 13);
		connector->updated_at = result_timestamp(0, 14);
	}
	store_end();
	return found ? connector : NULL;
}

static void
connector_args(StoreArgs *args, const Connector *connector, TimestampTz now)
{
	arg_text(args, connector->connector_id);
	arg_text(args, connector->provider);
	arg_text(args, connector->name);
	arg_text(args, connector->client.client_id);
	arg_bytes(args, connector->client_secret);
	arg_texts(args, connector->scopes, connector->n_scopes);
	arg_texts(args, connector->redirect_uris, connector->n_redirect_uris);
	arg_jsonb(args, connector->connection_config);
	arg_jsonb(args, connector->options);
	arg_jsonb(args, connector->definition);
	arg_timestamp(args, now);
}

bool
store_insert_connector(const Connector *connector, TimestampTz now)
{
	static StoreStatement insert = {
		"INSERT INTO appuser_connectors.connectors (connector_id, provider, name, client_id, "
		"client_secret, scopes, redirect_uris, connection_config, options, definition, "
		"created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11) "
		"ON CONFLICT (connector_id) DO NOTHING"};
	StoreArgs args = {0};
	bool inserted;

	connector_args(&args, connector, now);
	store_begin(NULL);
	inserted = store_run(&insert, &args) > 0;
	store_end();
	return inserted;
}

void
store_update_connector(const Connector *connector, TimestampTz now)
{
	static StoreStatement update = {
		"UPDATE appuser_connectors.connectors SET provider = $2, name = $3, client_id = $4, "
		"client_secret = $5, scopes = $6, redirect_uris = $7, connection_config = $8, "
		"options = $9, definition = $10, updated_at = $11, "
		"stopped_at = NULL, stopped_reason = NULL, probe_at = NULL WHERE connector_id = $1"};
	StoreArgs args = {0};

	connector_args(&args, connector, now);
	store_begin(NULL);
	store_run(&update, &args);
	store_end();
}

void
store_lock_connector_for_change(const char *connector_id, bool deletes)
{
	/* a change leaves connections' foreign keys alone, a deletion does not */
	static StoreStatement lock = {"SELECT 1 FROM appuser_connectors.connectors "
								  "WHERE connector_id = $1 FOR NO KEY UPDATE"};
	static StoreStatement lock_all = {"SELECT 1 FROM appuser_connectors.connectors "
									  "WHERE connector_id = $1 FOR UPDATE"};
	StoreArgs args = {0};

	arg_text(&args, connector_id);
	store_begin(NULL);
	store_run(deletes ? &lock_all : &lock, &args);
	store_end();
}

bool
store_delete_connector(const char *connector_id)
{
	static StoreStatement delete = {
		"DELETE FROM appuser_connectors.connectors WHERE connector_id = $1"};
	StoreArgs args = {0};
	bool found;

	arg_text(&args, connector_id);
	store_begin(NULL);
	found = store_run(&delete, &args) > 0;
	store_end();
	return found;
}

char **
store_connector_ids(int *count)
{
	static StoreStatement get = {"SELECT connector_id FROM appuser_connectors.connectors"};
	StoreArgs args = {0};
	char **ids;

	store_begin(NULL);
	*count = (int) store_run(&get, &args);
	ids = palloc(sizeof(char *) * (*count + 1));
	for (int i = 0; i < *count; i++)
		ids[i] = result_text(i, 1);
	store_end();
	return ids;
}

void
store_stop_connector(const char *connector_id, const char *reason, TimestampTz now,
					 TimestampTz probe_at)
{
	static StoreStatement stop = {
		"UPDATE appuser_connectors.connectors SET stopped_at = CASE WHEN $2 IS NOT NULL THEN "
		"COALESCE(stopped_at, $3) END, stopped_reason = $2, probe_at = $4 "
		"WHERE connector_id = (SELECT connector_id FROM appuser_connectors.connectors "
		"WHERE connector_id = $1 FOR NO KEY UPDATE SKIP LOCKED)"};
	StoreArgs args = {0};

	arg_text(&args, connector_id);
	arg_text(&args, reason);
	arg_timestamp(&args, now);
	arg_timestamp(&args, probe_at);
	store_begin(NULL);
	store_run(&stop, &args);
	store_end();
}
