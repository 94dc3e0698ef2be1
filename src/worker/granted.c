/*
 * granted.c
 *	  What a token endpoint granted, as it is kept: an exchange's and a refresh's alike.
 */
#include "postgres.h"

#include "utils/jsonb.h"

#include "oauth/scope.h"
#include "store/connection_config.h"
#include "worker/granted.h"

static bool is_kept(const Connector *connector, const NameValue *value);

void
granted_settle(Flight *flight, char *const *requested, int n_requested)
{
	TokenResponse *tokens = &flight->tokens;
	int kept = 0;
	MemoryContext old = MemoryContextSwitchTo(flight->context);

	if (tokens->has_scope)
		tokens->scopes = scopes_held(&flight->connector->client, tokens->scopes, tokens->n_scopes,
									 requested, n_requested, &tokens->n_scopes);
	for (int i = 0; i < tokens->n_values; i++)
		if (is_kept(flight->connector, &tokens->values[i]))
			tokens->values[kept++] = tokens->values[i];
	tokens->n_values = kept;
	MemoryContextSwitchTo(old);
}

/*
 * What an admin has fixed no answer replaces; and where the token would be sent to a place
 * that does not fit its field, the former place stands.
 */
static bool
is_kept(const Connector *connector, const NameValue *value)
{
	Jsonb *fixed = connector->connection_config;
	const ConfigField *field =
		config_field(&connector->client, value->name, CONFIG_FROM_TOKEN_RESPONSE);

	if (field != NULL && !config_value_fits(field, value->value))
		return false;
	return fixed == NULL || getKeyJsonValueFromContainer(&fixed->root, value->name,
														 (int) strlen(value->name), NULL) == NULL;
}
