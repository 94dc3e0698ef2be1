/*
 * connection_token.c
 *	  Sealing and opening a connection's tokens.
 *
 * The associated data names the installation, the whole key of the row, the
 * field, the grant, the generation, the endpoints the token may be sent to and what
 * says where an application sends it (connection_config): a ciphertext that was
 * copied, moved or put back does not open.
 */
#include "postgres.h"

#include "base/record.h"
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
	return aad;
}

void
connection_seal_tokens(Connection *connection, const char *access_token, const char *refresh_token)
{
	connection->access_token =
		keyring_seal(token_aad(connection, "access_token"), access_token, strlen(access_token));
	connection->refresh_token = refresh_token == NULL
									? NULL
									: keyring_seal(token_aad(connection, "refresh_token"),
												   refresh_token, strlen(refresh_token));
}

char *
connection_open_access_token(const Connection *connection)
{
	int len;

	return keyring_open(token_aad(connection, "access_token"), connection->access_token, &len);
}

char *
connection_open_refresh_token(const Connection *connection)
{
	int len;

	return keyring_open(token_aad(connection, "refresh_token"), connection->refresh_token, &len);
}
