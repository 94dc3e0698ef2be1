/*
 * connection_token.c
 *	  Sealing and opening a connection's tokens.
 *
 * The associated data names the installation, the whole key of the row, the field, the
 * grant, the generation, the endpoints the tokens may be sent to, and what a reader or
 * the worker relies on: where an application sends a token (connection_config), its
 * type and scopes, whose account it is, since when, and whether the grant has ended.  A
 * ciphertext that was copied, moved or put back does not open, nor one whose row was
 * edited.  When a token and its grant end is sealed with it.  What only says when the worker tries
 * next (refresh_at, failures …) is not bound.
 */
#include "postgres.h"

#include "port/pg_bswap.h"

#include "base/record.h"
#include "base/secret.h"
#include "store/connection.h"
#include "store/connection_token.h"
#include "store/installation.h"
#include "store/keyring.h"

static StringInfo
token_aad(const Connection *connection, const char *field)
{
	StringInfo aad = makeStringInfo();

	record_put_text(aad, "connection");
	record_put_bytes(aad, installation_id(), sizeof(pg_uuid_t));
	record_put_text(aad, connection->connector_id);
	record_put_text(aad, connection->connection_name);
	record_put_text(aad, connection->app_user);
	record_put_text(aad, field);
	record_put_bytes(aad, &connection->grant_id, sizeof(pg_uuid_t));
	record_put_int(aad, connection->generation);
	record_put_text(aad, connection->endpoints);
	record_put_json(aad, connection->connection_config);
	record_put_int(aad, connection->reconnect_required);
	record_put_text(aad, connection->account);
	record_put_text(aad, connection->account_issuer);
	record_put_text(aad, connection->account_name);
	record_put_text(aad, connection->token_type);
	record_put_text_array(aad, connection->scopes);
	record_put_int(aad, connection->connected_at);
	return aad;
}

/* What an access token is sealed with in front of it: when it ends, and its grant does */
typedef struct TokenEnds
{
	uint64 expires_at;
	uint64 reconnect_by;
} TokenEnds;

static bytea *
seal_access_token(const Connection *connection, const char *token)
{
	TokenEnds ends = {pg_hton64((uint64) connection->expires_at),
					  pg_hton64((uint64) connection->reconnect_by)};
	size_t length = strlen(token);
	StringInfoData plain;
	bytea *sealed;

	record_init(&plain, sizeof(ends) + length);
	appendBinaryStringInfo(&plain, (char *) &ends, sizeof(ends));
	appendBinaryStringInfo(&plain, token, length);
	sealed = keyring_seal(token_aad(connection, "access_token"), plain.data, plain.len);
	secret_cleanse(plain.data, plain.len);
	pfree(plain.data);
	return sealed;
}

void
connection_seal_tokens(Connection *connection, const char *access_token, const char *refresh_token)
{
	connection->access_token = seal_access_token(connection, access_token);
	connection->refresh_token = refresh_token == NULL
									? NULL
									: keyring_seal(token_aad(connection, "refresh_token"),
												   refresh_token, strlen(refresh_token));
}

char *
connection_open_access_token(const Connection *connection)
{
	TokenEnds ends;
	int len;
	char *plain =
		keyring_open(token_aad(connection, "access_token"), connection->access_token, &len);

	if (plain == NULL || len < (int) sizeof(ends))
		return NULL;
	memcpy(&ends, plain, sizeof(ends));

	/* an earlier one is harmless: the token is renewed sooner, or the person told so */
	if (connection->expires_at > (TimestampTz) pg_ntoh64(ends.expires_at) ||
		connection->reconnect_by > (TimestampTz) pg_ntoh64(ends.reconnect_by))
		return NULL;
	return plain + sizeof(ends);
}

char *
connection_open_refresh_token(const Connection *connection)
{
	int len;

	return keyring_open(token_aad(connection, "refresh_token"), connection->refresh_token, &len);
}

void
connection_end_grant(Connection *connection, const char *reason, TimestampTz now)
{
	char *access_token = connection_open_access_token(connection);
	char *refresh_token =
		connection->refresh_token != NULL ? connection_open_refresh_token(connection) : NULL;

	connection->reconnect_required = true;
	connection->status_reason = unconstify(char *, reason);
	connection->status_since = now;
	connection->refresh_at = DT_NOEND;

	/* those that do not open now will not later */
	if (access_token != NULL && (refresh_token != NULL || connection->refresh_token == NULL))
		connection_seal_tokens(connection, access_token, refresh_token);
}

bool
connection_restore_grant(Connection *connection, TimestampTz now, TimestampTz refresh_at)
{
	char *access_token = connection_open_access_token(connection);
	char *refresh_token =
		connection->refresh_token != NULL ? connection_open_refresh_token(connection) : NULL;

	if (access_token == NULL || refresh_token == NULL)
		return false;
	connection->reconnect_required = false;
	connection->status_reason = NULL;
	connection->status_since = now;
	connection->failures = connection->refusals = 0;
	connection->failing_since = DT_NOEND;
	connection->expires_at = Min(connection->expires_at, now);
	connection->refresh_at = refresh_at;
	connection_seal_tokens(connection, access_token, refresh_token);
	return true;
}
