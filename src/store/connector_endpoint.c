/*
 * connector_endpoint.c
 *	  Where a connector's secrets and tokens go: its endpoints, as they are compared and
 *	  bound, and with the fields of a connection filled in.
 *
 * A definition's URL may hold fields of connection_config ("https://{subdomain}.…"), so
 * that connections of one connector have endpoints of their own.  A connection's row keeps
 * them filled in, in the associated data of its tokens: these go nowhere else, whatever
 * becomes of the connector, its fields or the connection's configuration.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "base/text.h"
#include "oauth/definition.h"
#include "oauth/url_template.h"
#include "store/connection_config.h"
#include "store/connector_endpoint.h"
#include "store/url_field.h"

/* Moves of a connector whose connections have not been refreshed since; more are cut off. */
#define MAX_FORMER_ENDPOINTS 8

static const char *const url_members[] = {"authorization_endpoint", "token_endpoint",
										  "refresh_endpoint", "revocation_endpoint", "profile"};

static char *
fill_in_endpoints(const Connector *connector, const char *endpoints, Jsonb *connection_config)
{
	char *urls = pstrdup(endpoints);
	StringInfoData filled;
	char *rest;

	if (!url_is_template(endpoints))
		return urls;
	initStringInfo(&filled);
	for (char *url = strtok_r(urls, " ", &rest); url != NULL; url = strtok_r(NULL, " ", &rest))
	{
		const char *lacking;
		const char *known = url_field_expand(&connector->client, connection_config, url, &lacking);

		appendStringInfo(&filled, "%s%s", filled.len > 0 ? " " : "", known != NULL ? known : "-");
	}
	return filled.data;
}

char *
connector_endpoints_for(const Connector *connector, Jsonb *connection_config)
{
	return fill_in_endpoints(connector, connector->endpoints, connection_config);
}

bool
connector_receives(const Connector *connector, const char *endpoints, Jsonb *connection_config)
{
	if (strcmp(connector_endpoints_for(connector, connection_config), endpoints) == 0)
		return true;
	for (int i = 0; i < connector->n_former_endpoints; i++)
		if (strcmp(fill_in_endpoints(connector, connector->former_endpoints[i], connection_config),
				   endpoints) == 0)
			return true;
	return false;
}

bool
connector_remembers(const Connector *connector, const char *endpoints)
{
	if (strcmp(connector->endpoints, endpoints) == 0)
		return true;
	for (int i = 0; i < connector->n_former_endpoints; i++)
		if (strcmp(connector->former_endpoints[i], endpoints) == 0)
			return true;
	return false;
}

void
connector_keep_endpoints(Connector *connector, const char *endpoints)
{
	char **kept = palloc(sizeof(char *) * (connector->n_former_endpoints + 1));
	int count = 0;

	for (int i = Max(connector->n_former_endpoints - MAX_FORMER_ENDPOINTS + 1, 0);
		 i < connector->n_former_endpoints; i++)
		kept[count++] = connector->former_endpoints[i];
	kept[count++] = pstrdup(endpoints);
	connector->former_endpoints = kept;
	connector->n_former_endpoints = count;
}

bool
connector_bind(Connector *connector, Jsonb *connection_config, const char **lacking)
{
	OAuthClient *client = &connector->client;
	Jsonb *config = connection_config;
	const char *unused;

	client->authorization_params = url_field_params(client, config, client->authorization_params,
													&client->n_authorization_params);
	client->consent_params =
		url_field_params(client, config, client->consent_params, &client->n_consent_params);
	client->token_params =
		url_field_params(client, config, client->token_params, &client->n_token_params);
	client->refresh_params =
		url_field_params(client, config, client->refresh_params, &client->n_refresh_params);
	client->token_headers =
		url_field_params(client, config, client->token_headers, &client->n_token_headers);
	client->authorization_endpoint =
		url_field_expand(client, config, client->authorization_endpoint, &unused);
	if (client->refresh_endpoint != NULL)
	{
		const char *url = url_field_expand(client, config, client->refresh_endpoint, &unused);

		/* a template is no URL, and nothing is sent there */
		client->refresh_endpoint = url != NULL ? url : client->refresh_endpoint;
	}
	client->token_endpoint = url_field_expand(client, config, client->token_endpoint, lacking);
	return client->token_endpoint != NULL;
}

char *
connector_revocation_endpoint(const Connector *connector, Jsonb *connection_config)
{
	const char *url = connector->client.revocation_endpoint;
	const char *lacking;

	return url != NULL ? url_field_expand(&connector->client, connection_config, url, &lacking)
					   : NULL;
}

const char *
connector_lacks_field(const Connector *connector, ConfigSource source, Jsonb *connection_config)
{
	const OAuthClient *client = &connector->client;
	const char *const urls[] = {client->authorization_endpoint, client->token_endpoint,
								client->refresh_endpoint, client->profile.url};
	const char *lacking = NULL;

	for (int i = 0; i < (int) lengthof(urls) && lacking == NULL; i++)
		if (urls[i] != NULL)
			lacking = url_field_lacking(client, connection_config, source, urls[i]);
	return lacking;
}

bool
connector_endpoint_uses(const Connector *connector, const char *field)
{
	for (int i = 0; i < (int) lengthof(url_members); i++)
	{
		const char *url = definition_url(connector->definition_json, url_members[i]);
		int count;
		const char **names = url != NULL ? url_template_fields(url, &count) : NULL;

		for (int j = 0; names != NULL && j < count; j++)
			if (strcmp(names[j], field) == 0)
				return true;
	}
	return false;
}

static bool
same_field(const ConfigField *a, const ConfigField *b)
{
	if (a == NULL || b == NULL || a->source != b->source || !text_equal(a->pattern, b->pattern) ||
		!text_equal(a->default_value, b->default_value) || a->n_choices != b->n_choices)
		return false;
	for (int i = 0; i < a->n_choices; i++)
		if (strcmp(a->choices[i], b->choices[i]) != 0)
			return false;
	return true;
}

bool
connector_same_fields(const Connector *a, const Connector *b)
{
	for (int i = 0; i < b->client.n_config_fields; i++)
	{
		const ConfigField *field = &b->client.config_fields[i];

		if (connector_endpoint_uses(b, field->name) &&
			!same_field(config_find_field(&a->client, field->name), field))
			return false;
	}
	return true;
}

/* Those of one's definition only: the other's are looked at from the other side. */
static bool
same_fixed(const Connector *a, const Connector *b)
{
	for (int i = 0; i < (int) lengthof(url_members); i++)
	{
		const char *url = definition_url(a->definition_json, url_members[i]);
		int count;
		const char **names = url != NULL ? url_template_fields(url, &count) : NULL;

		for (int j = 0; names != NULL && j < count; j++)
			if (!text_equal(config_text(a->connection_config, names[j]),
							config_text(b->connection_config, names[j])) ||
				(strcmp(names[j], "client_id") == 0 &&
				 !text_equal(a->client.client_id, b->client.client_id)))
				return false;
	}
	return true;
}

/* Those of one's parameters and headers */
static bool
same_fixed_in(const Connector *a, const Connector *b, const NameValue *params, int n_params)
{
	for (int i = 0; i < n_params; i++)
	{
		int count;
		const char **names = url_template_fields(params[i].value, &count);

		for (int j = 0; j < count; j++)
			if (!text_equal(config_text(a->connection_config, names[j]),
							config_text(b->connection_config, names[j])))
				return false;
	}
	return true;
}

bool
connector_same_fixed_params(const Connector *a, const Connector *b)
{
	const OAuthClient *client = &b->client;

	return same_fixed_in(a, b, client->token_params, client->n_token_params) &&
		   same_fixed_in(a, b, client->refresh_params, client->n_refresh_params) &&
		   same_fixed_in(a, b, client->token_headers, client->n_token_headers) &&
		   same_fixed_in(a, b, client->profile.headers, client->profile.n_headers) &&
		   same_fixed_in(a, b, client->profile.body, client->profile.n_body);
}

bool
connector_same_fixed_fields(const Connector *a, const Connector *b)
{
	return same_fixed(a, b) && same_fixed(b, a);
}
