/*
 * authorization_secret.c
 *	  What a flow keeps sealed: code verifier, nonce and whom the code is for, and then
 *	  what became of it, bound to the flow's whole row.
 */
#include "postgres.h"

#include "common/cryptohash.h"

#include "base/record.h"
#include "base/secret.h"
#include "store/authorization_secret.h"
#include "store/installation.h"
#include "store/keyring.h"

void
authorization_hash(const char *text, uint8 digest[PG_SHA256_DIGEST_LENGTH])
{
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);

	if (hash == NULL || pg_cryptohash_init(hash) < 0 ||
		pg_cryptohash_update(hash, (const uint8 *) text, strlen(text)) < 0 ||
		pg_cryptohash_final(hash, digest, PG_SHA256_DIGEST_LENGTH) < 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute SHA-256")));
	pg_cryptohash_free(hash);
}

static StringInfo
flow_aad(const Authorization *a, const char *purpose)
{
	StringInfo aad = makeStringInfo();

	record_put_text(aad, purpose);
	record_put_bytes(aad, installation_id(), sizeof(pg_uuid_t));
	record_put_text(aad, a->app_user);
	record_put_bytes(aad, a->state_hash, sizeof(a->state_hash));
	record_put_text(aad, a->connector_id);
	record_put_text(aad, a->connection_name);
	record_put_text(aad, a->redirect_uri);
	record_put_text(aad, a->return_to);
	record_put_texts(aad, a->scopes, a->n_scopes);
	record_put_json(aad, a->connection_config);
	record_put_bytes(aad, a->binding_hash != NULL ? VARDATA_ANY(a->binding_hash) : NULL,
					 a->binding_hash != NULL ? VARSIZE_ANY_EXHDR(a->binding_hash) : 0);
	return aad;
}

char *
authorization_party(const Connector *connector)
{
	const OAuthClient *client = &connector->client;

	return psprintf("%s %s %s %s", connector->endpoints,
					client->profile.url != NULL ? client->profile.url : "-", client->client_id,
					client->issuer != NULL ? client->issuer : "-");
}

void
authorization_seal(Authorization *authorization, const char *code_verifier, const char *nonce)
{
	StringInfoData plain;

	record_init(&plain, 256);
	record_put_text(&plain, code_verifier);
	record_put_text(&plain, nonce);
	record_put_text(&plain, authorization->party);
	record_put_int(&plain, authorization->expires_at);
	authorization->sealed_secrets =
		keyring_seal(flow_aad(authorization, "authorization"), plain.data, plain.len);
	secret_cleanse(plain.data, plain.len);
	pfree(plain.data);
}

bool
authorization_open(Authorization *authorization, char **code_verifier, char **nonce)
{
	StringInfoData plain = {0};

	plain.data = keyring_open(flow_aad(authorization, "authorization"),
							  authorization->sealed_secrets, &plain.len);
	if (plain.data == NULL)
		return false;
	*code_verifier = record_get_text(&plain);
	*nonce = record_get_text(&plain);
	authorization->party = record_get_text(&plain);
	return authorization->expires_at <= record_get_int(&plain);
}

void
authorization_seal_outcome(Authorization *authorization, const char *failure)
{
	StringInfo plain = makeStringInfo();

	record_put_text(plain, failure);
	record_put_int(plain, GetCurrentTimestamp());
	authorization->sealed_outcome =
		keyring_seal(flow_aad(authorization, "outcome"), plain->data, plain->len);
}

bool
authorization_open_outcome(const Authorization *authorization, char **failure,
						   TimestampTz *ended_at)
{
	StringInfoData plain = {0};

	plain.data =
		keyring_open(flow_aad(authorization, "outcome"), authorization->sealed_outcome, &plain.len);
	if (plain.data == NULL)
		return false;
	*failure = record_get_text(&plain);
	*ended_at = record_get_int(&plain);
	return true;
}
