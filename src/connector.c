/*
 * connector.c
 *	  A connector as it is used: read, derived, its secret opened.
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

#include "connector.h"
#include "errors.h"
#include "installation.h"
#include "keyring.h"
#include "provider.h"
#include "record.h"
#include "store_connector.h"
#include "url.h"

/* What a client without a secret has sealed in its place */
#define SECRET_PRESENT 'S'
#define SECRET_ABSENT '-'

static StringInfo secret_aad(const Connector *connector);

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
						errmsg("connector \"%s\" does not exist", connector_id),
						errhint("An admin registers it with "
								"appuser_connectors.register_connector().")));
	return connector;
}

/* Each a scope-token of RFC 6749 §3.3 */
void
connector_check_scopes(char *const *scopes, int n_scopes)
{
	for (int i = 0; i < n_scopes; i++)
	{
		bool valid = scopes[i][0] != '\0';

		for (const char *c = scopes[i]; *c != '\0'; c++)
			valid &= *c > 0x20 && *c < 0x7f && *c != '"' && *c != '\\';
		if (!valid)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("\"%s\" is not a scope", scopes[i]),
							errhint("Give each scope as an element of its own.")));
	}
}

/* An endpoint that was edited by SQL may be missing, or no URL. */
static const char *
origin_of(const char *url)
{
	char *origin = url != NULL ? url_origin(url) : NULL;

	return origin != NULL ? origin : "-";
}

void
connector_derive(Connector *connector)
{
	OAuthClient *client = &connector->client;
	const JsonValue *definition = provider_json(connector->definition);
	const char *pkce;

	connector->definition_json = definition;
	connector->options_json = provider_json(connector->options);
	definition_read(definition, client);
	pkce = definition_text(connector->options_json, "pkce");
	if (pkce != NULL)
		client->pkce = strcmp(pkce, "off") != 0;
	connector->origins = psprintf("%s %s", origin_of(client->token_endpoint),
								  origin_of(client->revocation_endpoint));
	connector->refresh_margin = (int) definition_seconds(definition, "refresh_margin", -1);
	connector->revocation_ends_grant = definition_bool(definition, "revocation_ends_grant", true);
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
