/*
 * connector_admin.c
 *	  register_connector(), update_connector() and delete_connector().
 *
 * None of them needs the network or a worker.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "base/errors.h"
#include "base/secret.h"
#include "base/url.h"
#include "functions/connection.h"
#include "store/connection.h"
#include "store/connector.h"
#include "store/event.h"
#include "store/keyring.h"
#include "store/provider.h"
#include "store/secret_reference.h"
#include "store/shared_state.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(register_connector);
PG_FUNCTION_INFO_V1(update_connector);
PG_FUNCTION_INFO_V1(delete_connector);

static char *
optional_text(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

/* NULL as it is; a reference resolved */
static char *
secret_arg(FunctionCallInfo fcinfo, int i)
{
	text *value;

	if (PG_ARGISNULL(i))
		return NULL;
	value = PG_GETARG_TEXT_PP(i);
	return secret_resolve(secret_copy(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)));
}

static void
check_text(const char *name, const char *value, size_t max)
{
	if (value == NULL || value[0] == '\0' || strlen(value) > max)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be 1 to %zu bytes long", name, max)));
}

static void
check_object(const char *name, const Jsonb *value)
{
	if (value != NULL && !JB_ROOT_IS_OBJECT(value))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be a JSON object", name)));
}

/* What must be true of a connector, new or changed */
static void
check_connector(const Connector *connector, const char *client_secret)
{
	check_text("connector_id", connector->connector_id, MAX_CONNECTOR_ID);
	check_text("client_id", connector->client.client_id, 1024);
	check_text("name", connector->name, 1024);
	check_object("connection_config", connector->connection_config);
	provider_check_options(connector->options);
	if (connector->n_redirect_uris == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("redirect_uris must name at least one URI"),
						errhint("It is where the provider sends the browser back to: the page "
								"that calls oauth_callback().")));
	for (int i = 0; i < connector->n_redirect_uris; i++)
	{
		const char *problem = url_redirect_problem(connector->redirect_uris[i]);

		if (problem != NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("\"%s\" cannot be a redirect URI", connector->redirect_uris[i]),
							errdetail("%s", problem)));
	}
	connector_check_scopes(connector->scopes, connector->n_scopes);
	if (connector->client.auth_method != CLIENT_AUTH_NONE &&
		(client_secret == NULL || client_secret[0] == '\0'))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("client_secret is required"),
				 errdetail("The provider's token_endpoint_auth_method is not none.")));
}

static Jsonb *
require_provider(const char *provider)
{
	Jsonb *definition = store_get_provider(provider);

	if (definition == NULL)
		ereport(ERROR, (errcode(ERRCODE_UC_CONNECTOR_NOT_FOUND),
						errmsg("provider \"%s\" does not exist", provider),
						errhint("Define it with appuser_connectors.register_provider().")));
	/* it may have been edited by SQL, or saved under other settings */
	provider_check_definition(definition);
	return definition;
}

static bool
same_texts(char *const *a, int n_a, char *const *b, int n_b)
{
	if (n_a != n_b)
		return false;
	for (int i = 0; i < n_a; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return true;
}

static bool
same_jsonb(Jsonb *a, Jsonb *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return compareJsonbContainers(&a->root, &b->root) == 0;
}

/*
 * Registered before with the same arguments?  The provider's definition may have
 * changed since: that reaches a connector through update_connector() only.
 */
static bool
is_same(Connector *there, const Connector *given, const char *client_secret)
{
	const char *secret;

	if (!connector_open(there))
		return false;
	secret = there->client.client_secret;
	return strcmp(there->provider, given->provider) == 0 && strcmp(there->name, given->name) == 0 &&
		   strcmp(there->client.client_id, given->client.client_id) == 0 &&
		   (secret == NULL || client_secret == NULL ? secret == client_secret
													: strcmp(secret, client_secret) == 0) &&
		   same_texts(there->scopes, there->n_scopes, given->scopes, given->n_scopes) &&
		   same_texts(there->redirect_uris, there->n_redirect_uris, given->redirect_uris,
					  given->n_redirect_uris) &&
		   same_jsonb(there->connection_config, given->connection_config) &&
		   same_jsonb(there->options, given->options);
}

Datum
register_connector(PG_FUNCTION_ARGS)
{
	Connector connector = {0};
	Connector *there;
	char *client_secret;
	const char *name;

	shared_state_require_preload();
	connector.provider = optional_text(fcinfo, 0);
	check_text("provider", connector.provider, MAX_CONNECTOR_ID);
	connector.client.client_id = optional_text(fcinfo, 1);
	client_secret = secret_arg(fcinfo, 2);
	if (!PG_ARGISNULL(3))
		connector.scopes = array_to_texts(PG_GETARG_ARRAYTYPE_P(3), &connector.n_scopes);
	if (!PG_ARGISNULL(4))
		connector.redirect_uris =
			array_to_texts(PG_GETARG_ARRAYTYPE_P(4), &connector.n_redirect_uris);
	connector.connector_id =
		PG_ARGISNULL(5) ? pstrdup(connector.provider) : optional_text(fcinfo, 5);
	connector.definition = require_provider(connector.provider);
	connector.connection_config = PG_ARGISNULL(7) ? NULL : PG_GETARG_JSONB_P(7);
	connector.options = PG_ARGISNULL(8) ? NULL : PG_GETARG_JSONB_P(8);
	connector_derive(&connector);
	name = definition_text(connector.definition_json, "name");
	connector.name = !PG_ARGISNULL(6) ? optional_text(fcinfo, 6)
									  : pstrdup(name != NULL ? name : connector.provider);
	if (connector.client.auth_method == CLIENT_AUTH_NONE && client_secret != NULL &&
		client_secret[0] == '\0')
		client_secret = NULL;
	check_connector(&connector, client_secret);

	/* again when somebody registers it at the same time */
	do
	{
		CHECK_FOR_INTERRUPTS();
		there = connector_find(connector.connector_id);
		if (there != NULL && is_same(there, &connector, client_secret))
			break;
		if (there != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("connector \"%s\" exists with other values", connector.connector_id),
					 errhint("Change it with appuser_connectors.update_connector().")));
		keyring_ensure();
		connector.client_secret = connector_seal_secret(&connector, client_secret);
	} while (!store_insert_connector(&connector, GetCurrentTimestamp()));
	PG_RETURN_TEXT_P(cstring_to_text(connector.connector_id));
}

/* '{}' clears */
static Jsonb *
changed_object(FunctionCallInfo fcinfo, int i, Jsonb *old)
{
	Jsonb *given;

	if (PG_ARGISNULL(i))
		return old;
	given = PG_GETARG_JSONB_P(i);
	return JB_ROOT_IS_OBJECT(given) && JB_ROOT_COUNT(given) == 0 ? NULL : given;
}

Datum
update_connector(PG_FUNCTION_ARGS)
{
	char *connector_id = optional_text(fcinfo, 0);
	Connector *connector;
	char *client_secret;
	char *old_origins;
	bool complete = true;

	shared_state_require_preload();
	check_text("connector_id", connector_id, MAX_CONNECTOR_ID);
	/* of two who change it, the later builds on what the earlier has done */
	store_lock_connector_for_change(connector_id, false);
	connector = connector_require(connector_id);
	old_origins = connector->origins;

	/* A tampered connector is mended by giving all anew: nothing of it is sealed again. */
	for (int i = 1; i <= 8; i++)
		complete &= i == 6 || !PG_ARGISNULL(i);
	if (!complete)
		connector_require_open(connector);
	client_secret = secret_arg(fcinfo, 3);
	if (client_secret == NULL)
		client_secret = unconstify(char *, connector->client.client_secret);
	else if (client_secret[0] == '\0')
		client_secret = NULL;

	if (!PG_ARGISNULL(1))
	{
		connector->provider = optional_text(fcinfo, 1);
		connector->definition = require_provider(connector->provider);
	}
	if (!PG_ARGISNULL(2))
		connector->client.client_id = optional_text(fcinfo, 2);
	if (!PG_ARGISNULL(4))
		connector->scopes = array_to_texts(PG_GETARG_ARRAYTYPE_P(4), &connector->n_scopes);
	if (!PG_ARGISNULL(5))
		connector->redirect_uris =
			array_to_texts(PG_GETARG_ARRAYTYPE_P(5), &connector->n_redirect_uris);
	if (!PG_ARGISNULL(6))
	{
		connector->name = optional_text(fcinfo, 6);
		if (connector->name[0] == '\0')
			connector->name = pstrdup(connector->provider);
	}
	connector->connection_config = changed_object(fcinfo, 7, connector->connection_config);
	connector->options = changed_object(fcinfo, 8, connector->options);

	connector_derive(connector);
	check_connector(connector, client_secret);
	connector->client_secret = connector_seal_secret(connector, client_secret);
	store_update_connector(connector, GetCurrentTimestamp());
	event_record("", connector_id, NULL, "connector_updated", NULL);
	if (strcmp(old_origins, connector->origins) != 0)
		connection_require_reconnect_of_connector(connector_id, connector->origins,
												  "endpoints_changed");
	PG_RETURN_VOID();
}

Datum
delete_connector(PG_FUNCTION_ARGS)
{
	char *connector_id = optional_text(fcinfo, 0);
	Connector *connector;
	int64 deleted;

	shared_state_require_preload();
	check_text("connector_id", connector_id, MAX_CONNECTOR_ID);

	/* first the lock that keeps the worker from adding a connection meanwhile */
	store_lock_connector_for_change(connector_id, true);
	connector = connector_require(connector_id);
	deleted = connection_delete_all_of_connector(connector);
	(void) store_delete_connector(connector_id);
	event_record("", connector_id, NULL, "connector_deleted", NULL);
	PG_RETURN_INT64(deleted);
}
