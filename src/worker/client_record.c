/*
 * client_record.c
 *	  As much of a connector as it takes to revoke tokens after it is gone, as bytes to be
 *	  sealed.
 */
#include "postgres.h"

#include "base/record.h"
#include "store/url_field.h"
#include "worker/client_record.h"

static void
put_pairs(StringInfo record, const NameValue *pairs, int count)
{
	record_put_int(record, count);
	for (int i = 0; i < count; i++)
	{
		record_put_text(record, pairs[i].name);
		record_put_text(record, pairs[i].value);
	}
}

static const NameValue *
get_pairs(StringInfo record, int *count)
{
	NameValue *pairs;

	*count = (int) record_get_int(record);
	pairs = palloc(sizeof(NameValue) * (*count + 1));
	for (int i = 0; i < *count; i++)
	{
		pairs[i].name = record_get_text(record);
		pairs[i].value = record_get_text(record);
	}
	return pairs;
}

void
client_record_put(StringInfo record, const Connector *connector, const char *revocation_endpoint,
				  Jsonb *connection_config)
{
	const OAuthClient *client = &connector->client;
	const RevocationStyle *how = &client->revocation;
	int n_headers = client->n_token_headers;
	const NameValue *headers =
		url_field_params(client, connection_config, client->token_headers, &n_headers);

	record_put_text(record, revocation_endpoint);
	record_put_text(record, client->client_id);
	record_put_text(record, client->client_secret);
	record_put_int(record, client->auth_method);
	record_put_int(record, client->basic_raw);
	record_put_int(record, client->token_body_format);
	put_pairs(record, headers, n_headers);
	put_pairs(record, client->token_param_names, client->n_token_param_names);
	record_put_int(record, how->is_own);
	record_put_int(record, how->by_delete);
	record_put_int(record, how->auth);
	record_put_int(record, how->body_format);
	record_put_text(record, how->token_parameter);
	record_put_int(record, how->tokens);
	record_put_int(record, connector->revocation_ends_grant);
}

void
client_record_get(StringInfo record, Connector *connector)
{
	OAuthClient *client = &connector->client;
	RevocationStyle *how = &client->revocation;

	client->revocation_endpoint = record_get_text(record);
	client->client_id = record_get_text(record);
	client->client_secret = record_get_text(record);
	client->auth_method = (TokenEndpointAuthMethod) record_get_int(record);
	client->basic_raw = record_get_int(record) != 0;
	client->token_body_format = (TokenBodyFormat) record_get_int(record);
	client->token_headers = get_pairs(record, &client->n_token_headers);
	client->token_param_names = get_pairs(record, &client->n_token_param_names);
	how->is_own = record_get_int(record) != 0;
	how->by_delete = record_get_int(record) != 0;
	how->auth = (RevocationAuth) record_get_int(record);
	how->body_format = (TokenBodyFormat) record_get_int(record);
	how->token_parameter = record_get_text(record);
	how->tokens = (RevokedTokens) record_get_int(record);
	connector->revocation_ends_grant = record_get_int(record) != 0;
}
