/*
 * connector.c
 *	  A connector: statements on its row, what is derived from it, its secret sealed and
 *	  opened.
 *
 * The sealed client secret carries, in its associated data, a hash of everything
 * that an admin said of the connector but its names.  It is opened before any use
 * of the connector, so an edit by SQL stops the connector instead of delivering
 * secrets, or of weakening what protects a flow.
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "utils/builtins.h"

#include "base/bounds.h"
#include "base/errors.h"
#include "base/record.h"
#include "base/text.h"
#include "oauth/sandbox.h"
#include "oauth/scope.h"
#include "oauth/url_template.h"
#include "store/connector.h"
#include "store/installation.h"
#include "store/keyring.h"
#include "store/provider.h"
#include "store/store.h"
#include "store/url_field.h"

#define CONNECTOR_COLUMNS                                                                          \
	"connector_id, provider, name, client_id, client_secret, scopes, redirect_uris, "              \
	"connection_config, options, definition, stopped_at, stopped_reason, probe_at, updated_at, "   \
	"built_in, allowed_endpoints, former_endpoints"

#define SHORT_MARGIN 60 /* seconds */

/* What a client without a secret has sealed in its place */
#define SECRET_PRESENT 'S'
#define SECRET_ABSENT '-'

static StringInfo secret_aad(const Connector *connector);

Connector *
store_get_connector(const char *connector_id)
{
	static StoreStatement get = {
		"SELECT " CONNECTOR_COLUMNS
		" FROM appuser_connectors.registered_connectors WHERE connector_id = $1"};
	StoreSection section;
	StoreArgs args = {0};
	Connector *connector = palloc0(sizeof(Connector));
	bool found;

	arg_text(&args, connector_id);
	store_begin(&section, NULL);
	found = store_run(&section, &get, &args) > 0;
	if (found)
	{
		connector->connector_id = result_text(&section, 0, 1);
		connector->provider = result_text(&section, 0, 2);
		connector->name = result_text(&section, 0, 3);
		connector->client.client_id = result_text(&section, 0, 4);
		connector->client_secret = result_bytes(&section, 0, 5);
		connector->scopes = result_texts(&section, 0, 6, &connector->n_scopes);
		connector->redirect_uris = result_texts(&section, 0, 7, &connector->n_redirect_uris);
		connector->connection_config = result_nullable_jsonb(&section, 0, 8);
		connector->options = result_nullable_jsonb(&section, 0, 9);
		connector->definition = result_jsonb(&section, 0, 10);
		connector->stopped_at = result_nullable_timestamp(&section, 0, 11);
		connector->stopped_reason = result_nullable_text(&section, 0, 12);
		connector->probe_at = result_nullable_timestamp(&section, 0, 13);
		connector->updated_at = result_timestamp(&section, 0, 14);
		connector->built_in = result_bool(&section, 0, 15);
		connector->allowed_endpoints = result_nullable_text(&section, 0, 16);
		connector->former_endpoints = result_texts(&section, 0, 17, &connector->n_former_endpoints);
	}
	store_end(&section);
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
	arg_int(args, connector->built_in);
	arg_text(args, connector->allowed_endpoints);
	arg_texts(args, connector->former_endpoints, connector->n_former_endpoints);
}

bool
store_insert_connector(const Connector *connector, TimestampTz now)
{
	static StoreStatement insert = {
		"INSERT INTO appuser_connectors.registered_connectors (connector_id, provider, name, "
		"client_id, "
		"client_secret, scopes, redirect_uris, connection_config, options, definition, "
		"created_at, updated_at, built_in, allowed_endpoints, former_endpoints) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12 <> 0, $13, $14) "
		"ON CONFLICT (connector_id) DO NOTHING"};
	StoreSection section;
	StoreArgs args = {0};
	bool inserted;

	connector_args(&args, connector, now);
	store_begin(&section, NULL);
	inserted = store_run(&section, &insert, &args) > 0;
	store_end(&section);
	return inserted;
}

void
store_update_connector(const Connector *connector, TimestampTz now)
{
	static StoreStatement update = {
		"UPDATE appuser_connectors.registered_connectors SET provider = $2, name = $3, client_id = "
		"$4, "
		"client_secret = $5, scopes = $6, redirect_uris = $7, connection_config = $8, "
		"options = $9, definition = $10, updated_at = $11, built_in = $12 <> 0, "
		"allowed_endpoints = $13, former_endpoints = $14, "
		"stopped_at = NULL, stopped_reason = NULL, probe_at = NULL WHERE connector_id = $1"};
	StoreSection section;
	StoreArgs args = {0};

	connector_args(&args, connector, now);
	store_begin(&section, NULL);
	store_run(&section, &update, &args);
	store_end(&section);
}

void
store_allow_endpoints(const Connector *connector)
{
	static StoreStatement allow = {"UPDATE appuser_connectors.registered_connectors SET "
								   "client_secret = $2, allowed_endpoints = $3 "
								   "WHERE connector_id = $1"};
	StoreSection section;
	StoreArgs args = {0};

	arg_text(&args, connector->connector_id);
	arg_bytes(&args, connector->client_secret);
	arg_text(&args, connector->allowed_endpoints);
	store_begin(&section, NULL);
	store_run(&section, &allow, &args);
	store_end(&section);
}

void
store_lock_connector_for_change(const char *connector_id, bool deletes)
{
	/* a connection that is being added locks it FOR KEY SHARE: a change lets that be */
	static StoreStatement lock = {"SELECT 1 FROM appuser_connectors.registered_connectors "
								  "WHERE connector_id = $1 FOR NO KEY UPDATE"};
	static StoreStatement lock_all = {"SELECT 1 FROM appuser_connectors.registered_connectors "
									  "WHERE connector_id = $1 FOR UPDATE"};
	StoreSection section;
	StoreArgs args = {0};

	arg_text(&args, connector_id);
	store_begin(&section, NULL);
	store_run(&section, deletes ? &lock_all : &lock, &args);
	store_end(&section);
}

bool
store_delete_connector(const char *connector_id)
{
	static StoreStatement delete = {
		"DELETE FROM appuser_connectors.registered_connectors WHERE connector_id = $1"};
	StoreSection section;
	StoreArgs args = {0};
	bool found;

	arg_text(&args, connector_id);
	store_begin(&section, NULL);
	found = store_run(&section, &delete, &args) > 0;
	store_end(&section);
	return found;
}

/* Those that a statement found, in the first column of its result. */
static char **
found_ids(StoreStatement *statement, StoreArgs *args, int *count)
{
	StoreSection section;
	char **ids;

	store_begin(&section, NULL);
	*count = (int) store_run(&section, statement, args);
	ids = palloc(sizeof(char *) * (*count + 1));
	for (int i = 0; i < *count; i++)
		ids[i] = result_text(&section, i, 1);
	store_end(&section);
	return ids;
}

char **
store_connector_ids(int *count)
{
	static StoreStatement get = {
		"SELECT connector_id FROM appuser_connectors.registered_connectors"};
	StoreArgs args = {0};

	return found_ids(&get, &args, count);
}

char **
store_connectors_with_another_definition(const char *provider, const Jsonb *definition, int *count)
{
	static StoreStatement get = {
		"SELECT connector_id FROM appuser_connectors.registered_connectors "
		"WHERE provider = $1 AND definition <> $2 ORDER BY connector_id"};
	StoreArgs args = {0};

	arg_text(&args, provider);
	arg_jsonb(&args, definition);
	return found_ids(&get, &args, count);
}

void
store_stop_connector(const char *connector_id, const char *reason, TimestampTz now,
					 TimestampTz probe_at)
{
	static StoreStatement stop = {
		"UPDATE appuser_connectors.registered_connectors SET stopped_at = CASE WHEN $2 IS NOT NULL "
		"THEN "
		"COALESCE(stopped_at, $3) END, stopped_reason = $2, probe_at = $4 "
		"WHERE connector_id = (SELECT connector_id FROM appuser_connectors.registered_connectors "
		"WHERE connector_id = $1 FOR NO KEY UPDATE SKIP LOCKED)"};
	StoreSection section;
	StoreArgs args = {0};

	arg_text(&args, connector_id);
	arg_text(&args, reason);
	arg_timestamp(&args, now);
	arg_timestamp(&args, probe_at);
	store_begin(&section, NULL);
	store_run(&section, &stop, &args);
	store_end(&section);
}

Connector *
connector_find(const char *connector_id)
{
	Connector *connector = store_get_connector(connector_id);

	if (connector != NULL)
		connector_derive(connector);
	return connector;
}

Connector *
connector_require(const char *connector_id)
{
	Connector *connector = connector_find(connector_id);

	if (connector == NULL)
		ereport(ERROR, (errcode(ERRCODE_UC_CONNECTOR_NOT_FOUND),
						errmsg("connector \"%s\" does not exist", text_shown(connector_id)),
						errhint("An admin registers it with "
								"appuser_connectors.register_connector().")));
	return connector;
}

char *
connector_redirect_parameter(const Connector *connector, char *redirect_uri)
{
	const char *name =
		redirect_uri != NULL
			? definition_text(definition_member(connector->options_json, "redirect_uri_names"),
							  redirect_uri)
			: NULL;

	return name != NULL ? unconstify(char *, name) : redirect_uri;
}

/* Each a scope-token of RFC 6749 §3.3 */
void
connector_check_scopes(char *const *scopes, int n_scopes)
{
	size_t bytes = 0;

	for (int i = 0; i < n_scopes && bytes <= MAX_SCOPES_BYTES; i++)
		bytes += strlen(scopes[i]);
	if (n_scopes > MAX_SCOPES || bytes > MAX_SCOPES_BYTES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("there must not be more than %d scopes, of %d bytes together",
							   MAX_SCOPES, MAX_SCOPES_BYTES)));
	for (int i = 0; i < n_scopes; i++)
	{
		const char *problem = scope_problem(scopes[i]);

		if (problem != NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("\"%s\" is not a scope", text_shown(scopes[i])),
							errdetail("%s", problem),
							errhint("Give each scope as an element of its own.")));
	}
}

/* No URL holds a space, so no two sets of them make the same text. */
char *
connector_endpoints(const char *token_endpoint, const char *revocation_endpoint,
					const char *refresh_endpoint, const char *long_token_endpoint)
{
	const char *urls[] = {token_endpoint, revocation_endpoint, refresh_endpoint,
						  long_token_endpoint};
	int n_urls = long_token_endpoint != NULL ? 4 : refresh_endpoint != NULL ? 3 : 2;
	StringInfoData endpoints;

	initStringInfo(&endpoints);
	for (int i = 0; i < n_urls; i++)
		appendStringInfo(&endpoints, "%s%s", i > 0 ? " " : "", urls[i] != NULL ? urls[i] : "-");
	return endpoints.data;
}

void
connector_derive(Connector *connector)
{
	OAuthClient *client = &connector->client;
	const JsonValue *definition = provider_json(connector->definition);
	const char *pkce;
	const char *reuse;
	const char *other_account;

	connector->options_json = provider_json(connector->options);
	if (definition_bool(connector->options_json, "sandbox", false) &&
		sandbox_definition(definition) != NULL)
		definition = sandbox_definition(definition);
	connector->definition_json = definition;
	definition_read(definition, client);
	pkce = definition_text(connector->options_json, "pkce");
	definition_read_fields(definition, connector->options_json, client);
	if (pkce != NULL)
		client->pkce = definition_pkce(pkce);
	client->resource = definition_text(connector->options_json, "resource");
	client->authorization_endpoint =
		url_field_fix(client, connector->connection_config, client->authorization_endpoint);
	client->token_endpoint =
		url_field_fix(client, connector->connection_config, client->token_endpoint);
	client->refresh_endpoint =
		url_field_fix(client, connector->connection_config, client->refresh_endpoint);
	client->revocation_endpoint =
		url_field_fix(client, connector->connection_config, client->revocation_endpoint);
	client->profile.url = url_field_fix(client, connector->connection_config, client->profile.url);
	connector->endpoints =
		connector_endpoints(client->token_endpoint, client->revocation_endpoint,
							client->refresh_endpoint, client->long_token_endpoint);
	connector->has_own_endpoints =
		(client->token_endpoint != NULL && url_is_template(client->token_endpoint)) ||
		(client->refresh_endpoint != NULL && url_is_template(client->refresh_endpoint));
	/* who holds the old token when it ends at once is to hold it for as long as can be */
	connector->refresh_margin = (int) definition_seconds(
		definition, "refresh_margin",
		definition_bool(definition, "refresh_ends_access_token", false) ? SHORT_MARGIN : -1);
	reuse = definition_text(definition, "refresh_token_reuse");
	connector->refresh_token_grace =
		reuse != NULL && strcmp(reuse, "once") == 0
			? 0
			: (int) definition_seconds(definition, "refresh_token_reuse", -1);
	connector->revocation_ends_grant = definition_bool(definition, "revocation_ends_grant", true);
	other_account = definition_text(connector->options_json, "other_account");
	connector->refuses_other_account =
		other_account != NULL && strcmp(other_account, "refuse") == 0;
}

/*
 * What the client secret is bound to: who it belongs to, and by hash where secrets,
 * codes and tokens go, how a flow is protected (pkce, the issuer's promise of iss,
 * openid among the scopes), and which tokens of an answer are stored.
 */
static StringInfo
secret_aad(const Connector *connector)
{
	StringInfo aad = makeStringInfo();
	StringInfo trust = makeStringInfo();
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);
	uint8 digest[PG_SHA256_DIGEST_LENGTH];

	record_put_json(trust, connector->definition);
	record_put_json(trust, connector->options);
	record_put_json(trust, connector->connection_config);
	record_put_text(trust, connector->client.client_id);
	record_put_texts(trust, connector->scopes, connector->n_scopes);
	record_put_texts(trust, connector->redirect_uris, connector->n_redirect_uris);
	record_put_text(trust, connector->provider);
	record_put_int(trust, connector->built_in);
	record_put_text(trust, connector->allowed_endpoints);
	record_put_texts(trust, connector->former_endpoints, connector->n_former_endpoints);
	if (hash == NULL || pg_cryptohash_init(hash) < 0 ||
		pg_cryptohash_update(hash, (uint8 *) trust->data, trust->len) < 0 ||
		pg_cryptohash_final(hash, digest, sizeof(digest)) < 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute SHA-256")));
	pg_cryptohash_free(hash);

	record_put_text(aad, "client secret");
	record_put_bytes(aad, installation_id(), sizeof(pg_uuid_t));
	record_put_text(aad, connector->connector_id);
	record_put_bytes(aad, digest, sizeof(digest));
	return aad;
}

bytea *
connector_seal_secret(const Connector *connector, const char *client_secret)
{
	StringInfoData plain;
	bytea *sealed;

	record_init(&plain, 1 + (client_secret != NULL ? strlen(client_secret) : 0));
	appendStringInfoChar(&plain, client_secret != NULL ? SECRET_PRESENT : SECRET_ABSENT);
	if (client_secret != NULL)
		appendStringInfoString(&plain, client_secret);
	sealed = keyring_seal(secret_aad(connector), plain.data, plain.len);
	explicit_bzero(plain.data, plain.len);
	pfree(plain.data);
	return sealed;
}

bool
connector_open(Connector *connector)
{
	int len;
	char *plain = keyring_open(secret_aad(connector), connector->client_secret, &len);

	if (plain == NULL || len < 1 || strlen(plain) != (size_t) len)
		return false;
	connector->client.client_secret = plain[0] == SECRET_PRESENT ? plain + 1 : NULL;
	return true;
}

void
connector_require_open(Connector *connector)
{
	if (!connector_open(connector))
		ereport(
			ERROR,
			(errcode(ERRCODE_UC_CONNECTOR_MISCONFIGURED),
			 errmsg("connector \"%s\" was changed outside update_connector()",
					connector->connector_id),
			 errdetail("Its definition, options, connection_config, client id, scopes or redirect "
					   "URIs are not those its client secret was sealed with; nothing is sent."),
			 errhint("An admin calls appuser_connectors.update_connector() with everything "
					 "but the name given anew.")));
}
