/*
 * connector_admin.c
 *	  register_connector(), update_connector(), delete_connector() and retry_connections().
 *
 * None of them needs the network or a worker.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "base/bounds.h"
#include "base/errors.h"
#include "base/secret.h"
#include "base/text.h"
#include "base/url.h"
#include "oauth/sandbox.h"
#include "oauth/url_template.h"
#include "oauth/request.h"
#include "functions/connection.h"
#include "functions/connector_change.h"
#include "store/adoption.h"
#include "store/connection.h"
#include "store/connection_config.h"
#include "store/connector.h"
#include "store/connector_endpoint.h"
#include "store/event.h"
#include "store/provider.h"
#include "store/secret_reference.h"
#include "store/shared_state.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(register_connector);
PG_FUNCTION_INFO_V1(update_connector);
PG_FUNCTION_INFO_V1(delete_connector);
PG_FUNCTION_INFO_V1(retry_connections);
PG_FUNCTION_INFO_V1(allow_endpoint_change);

static char *
optional_text(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

/*
 * NULL as it is; a reference resolved, for the URLs that this client's secret, or what is
 * granted for it, is sent to
 */
static char *
secret_arg(FunctionCallInfo fcinfo, int i, const OAuthClient *client)
{
	const char *urls[] = {client->token_endpoint, client->refresh_endpoint,
						  client->long_token_endpoint, client->revocation_endpoint,
						  client->profile.url};
	text *value;

	if (PG_ARGISNULL(i))
		return NULL;
	if (toast_raw_datum_size(PG_GETARG_DATUM(i)) > MAX_CLIENT_SECRET + VARHDRSZ)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("client_secret must not be longer than %d bytes", MAX_CLIENT_SECRET)));
	value = PG_GETARG_TEXT_PP(i);
	return secret_resolve_client(secret_copy(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)), urls,
								 lengthof(urls));
}

static void
check_length(const char *name, const char *value, size_t max)
{
	if (value == NULL || value[0] == '\0' || strlen(value) > max)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be 1 to %zu bytes long", name, max)));
}

static void
check_text(const char *name, const char *value, size_t max)
{
	check_length(name, value, max);
	if (text_has_controls(value))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must not hold control characters", name)));
}

/*
 * A name that is compared byte by byte, here or at the provider: what came along when it was
 * copied makes every request fail.  Otherwise anything may stand in it; RFC 6749 appendix
 * A.1 has VSCHAR for client ids, which some servers do not keep to.
 */
static void
check_name(const char *name, const char *value, size_t max)
{
	const char *problem;

	check_length(name, value, max);
	problem = text_pasted_problem(value, false);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("this %s cannot be right", name),
				 errdetail("%s", problem), errhint(TEXT_PASTED_HINT)));
}

static void
check_object(const char *name, const Jsonb *value)
{
	if (value != NULL && !JB_ROOT_IS_OBJECT(value))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be a JSON object", name)));
}

/* NULL is right.  Nothing of it is shown. */
static void
check_secret(const char *client_secret)
{
	const char *problem = client_secret != NULL ? text_pasted_problem(client_secret, true) : NULL;

	if (problem != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("this client_secret cannot be right"), errdetail("%s", problem),
						errhint(TEXT_PASTED_HINT)));
	if (client_secret != NULL && text_is_quoted(client_secret))
		ereport(WARNING,
				(errmsg("client_secret begins and ends with a quote"),
				 errhint("If the quotes are not part of it, give it again without them, by "
						 "appuser_connectors.update_connector().")));
}

/* Fields that stand in the provider's URLs */
static void
check_fields(const Connector *connector)
{
	const char *lacking =
		connector_lacks_field(connector, CONFIG_FROM_ADMIN, connector->connection_config);
	OAuthClient declared = {0};

	if (lacking != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("connection_config lacks field \"%s\"", lacking),
				 errdetail("The provider's endpoints have it in their URLs, and it is an admin who "
						   "gives it."),
				 errhint("Call it with connection_config => '{\"%s\": \"…\"}'.", lacking)));
	if (definition_bool(connector->options_json, "sandbox", false) &&
		sandbox_definition(provider_json(connector->definition)) == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("provider \"%s\" has no sandbox", connector->provider),
						errdetail("Its definition describes none.")));
	if (config_find_field(&connector->client, "client_id") == NULL &&
		(strstr(connector->endpoints, "{client_id}") != NULL ||
		 strstr(connector->client.authorization_endpoint, "{client_id}") != NULL ||
		 (connector->client.profile.url != NULL &&
		  strstr(connector->client.profile.url, "{client_id}") != NULL)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("this client_id cannot stand in the provider's URLs"),
						errdetail("It is part of a host's name or of a path there.")));
	definition_read_fields(NULL, connector->options_json, &declared);
	for (int i = 0; i < declared.n_config_fields; i++)
		if (declared.config_fields[i].source == CONFIG_FROM_PROFILE &&
			connector->client.profile.url == NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("field \"%s\" cannot come from the profile",
								   declared.config_fields[i].name),
							errdetail("The provider's definition describes none.")));
	for (int i = 0; i < declared.n_config_fields; i++)
		if (connector_endpoint_uses(connector, declared.config_fields[i].name))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("field \"%s\" cannot be declared by the connector's options",
								   declared.config_fields[i].name),
							errdetail("The provider's endpoints have it in their URLs, so its "
									  "definition says what it may be.")));
}

/* A name of a redirect URI that there is not would never be sent. */
static void
check_redirect_names(const Connector *connector)
{
	int count;
	NameValue *names = definition_params(connector->options_json, "redirect_uri_names", &count);

	for (int i = 0; i < count; i++)
	{
		bool known = false;

		for (int j = 0; j < connector->n_redirect_uris && !known; j++)
			known = strcmp(connector->redirect_uris[j], names[i].name) == 0;
		if (!known)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("\"%s\" in redirect_uri_names is not one of redirect_uris",
								   text_shown(names[i].name))));
	}
}

/* What must be true of a connector, new or changed */
static void
check_connector(const Connector *connector, const char *client_secret)
{
	check_name("client_id", connector->client.client_id, 1024);
	check_text("name", connector->name, 1024);
	check_object("connection_config", connector->connection_config);
	provider_check_options(connector->options);
	config_check_fixed(&connector->client, connector->connection_config);
	check_fields(connector);
	if (connector->n_redirect_uris == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("redirect_uris must name at least one URI"),
						errhint("It is where the provider sends the browser back to: the page "
								"that calls oauth_callback().")));
	if (connector->n_redirect_uris > MAX_REDIRECT_URIS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("redirect_uris must not name more than %d URIs", MAX_REDIRECT_URIS)));
	for (int i = 0; i < connector->n_redirect_uris; i++)
	{
		const char *problem = url_redirect_problem(connector->redirect_uris[i]);

		if (problem != NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("\"%s\" cannot be a redirect URI",
								   text_shown(connector->redirect_uris[i])),
							errdetail("%s", problem)));
	}
	check_redirect_names(connector);
	connector_check_scopes(connector->scopes, connector->n_scopes);
	if ((connector->client.auth_method != CLIENT_AUTH_NONE ||
		 client_has_secret_header(&connector->client)) &&
		(client_secret == NULL || client_secret[0] == '\0'))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("client_secret is required"),
				 connector->client.auth_method != CLIENT_AUTH_NONE
					 ? errdetail("The provider's token_endpoint_auth_method is not none.")
					 : errdetail("A header of the provider's token_headers holds it.")));
	check_secret(client_secret);
}

static Jsonb *
require_provider(const char *provider, bool *built_in)
{
	char *unsupported;
	Jsonb *definition = store_get_provider(provider, built_in, &unsupported);

	if (definition == NULL && unsupported != NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("provider \"%s\" is not supported", provider),
						errdetail("%s", unsupported)));
	if (definition == NULL)
		ereport(ERROR, (errcode(ERRCODE_UC_CONNECTOR_NOT_FOUND),
						errmsg("provider \"%s\" does not exist", text_shown(provider)),
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
	if (!PG_ARGISNULL(3))
		connector.scopes = array_to_texts(PG_GETARG_ARRAYTYPE_P(3), &connector.n_scopes);
	if (!PG_ARGISNULL(4))
		connector.redirect_uris =
			array_to_texts(PG_GETARG_ARRAYTYPE_P(4), &connector.n_redirect_uris);
	connector.connector_id =
		PG_ARGISNULL(5) ? pstrdup(connector.provider) : optional_text(fcinfo, 5);
	connector.definition = require_provider(connector.provider, &connector.built_in);
	connector.connection_config =
		bounded_jsonb_arg(fcinfo, 7, "connection_config", MAX_CONFIG_BYTES);
	connector.options = bounded_jsonb_arg(fcinfo, 8, "options", MAX_OPTIONS_BYTES);
	connector_derive(&connector);
	client_secret = secret_arg(fcinfo, 2, &connector.client);
	name = definition_text(connector.definition_json, "name");
	connector.name = !PG_ARGISNULL(6) ? optional_text(fcinfo, 6)
									  : pstrdup(name != NULL ? name : connector.provider);
	if (connector.client.auth_method == CLIENT_AUTH_NONE && client_secret != NULL &&
		client_secret[0] == '\0')
		client_secret = NULL;
	check_name("connector_id", connector.connector_id, MAX_CONNECTOR_ID);
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
		adoption_ensure();
		connector.client_secret = connector_seal_secret(&connector, client_secret);
	} while (!store_insert_connector(&connector, GetCurrentTimestamp()));
	PG_RETURN_TEXT_P(cstring_to_text(connector.connector_id));
}

/* '{}' clears */
static Jsonb *
changed_object(FunctionCallInfo fcinfo, int i, const char *name, int max, Jsonb *old)
{
	Jsonb *given = bounded_jsonb_arg(fcinfo, i, name, max);

	if (given == NULL)
		return old;
	return JB_ROOT_IS_OBJECT(given) && JB_ROOT_COUNT(given) == 0 ? NULL : given;
}

Datum
update_connector(PG_FUNCTION_ARGS)
{
	char *connector_id = optional_text(fcinfo, 0);
	Connector *connector;
	Connector before;
	char *client_secret;
	bool complete = true;
	bool opened;

	shared_state_require_preload();
	check_text("connector_id", connector_id, MAX_CONNECTOR_ID);
	/* of two who change it, the later builds on what the earlier has done */
	store_lock_connector_for_change(connector_id, false);
	connector = connector_require(connector_id);

	/* A tampered connector is mended by giving all anew: nothing of it is sealed again. */
	for (int i = 1; i <= 8; i++)
		complete &= i == 6 || !PG_ARGISNULL(i);
	opened = connector_open(connector);
	if (!opened && !complete)
		connector_require_open(connector);
	before = *connector;
	if (!PG_ARGISNULL(1))
	{
		connector->provider = optional_text(fcinfo, 1);
		connector->definition = require_provider(connector->provider, &connector->built_in);
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
	connector->connection_config = changed_object(fcinfo, 7, "connection_config", MAX_CONFIG_BYTES,
												  connector->connection_config);
	connector->options =
		changed_object(fcinfo, 8, "options", MAX_OPTIONS_BYTES, connector->options);

	connector_derive(connector);
	client_secret = secret_arg(fcinfo, 3, &connector->client);
	if (client_secret == NULL)
		client_secret = unconstify(char *, before.client.client_secret);
	else if (client_secret[0] == '\0')
		client_secret = NULL;
	check_connector(connector, client_secret);
	if (opened)
		connector_check_destination(&before, connector, !PG_ARGISNULL(3));
	else
	{
		/* whoever edited it may have written these too */
		connector->allowed_endpoints = NULL;
		connector->n_former_endpoints = 0;
	}
	connector->client_secret = connector_seal_secret(connector, client_secret);
	store_update_connector(connector, GetCurrentTimestamp());
	event_record("", connector_id, NULL, "connector_updated",
				 strcmp(before.endpoints, connector->endpoints) != 0
					 ? psprintf("endpoints: %s", connector->endpoints)
					 : NULL);
	if (!opened || !connector_remembers(connector, before.endpoints))
		connection_require_reconnect_of_connector(connector, "endpoints_changed");
	PG_RETURN_VOID();
}

/* As it stands in a definition, fields and all: what these may hold the definition says */
static const char *
endpoint_arg(FunctionCallInfo fcinfo, int i, const char *name)
{
	char *url = optional_text(fcinfo, i);
	const char *problem = url == NULL            ? NULL
						  : url_is_template(url) ? url_template_problem(url)
												 : url_endpoint_problem(url);
	const char *hint = problem != NULL ? url_endpoint_hint(url) : NULL;

	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("this %s cannot be used", name),
				 errdetail("%s", problem), hint ? errhint("%s", hint) : 0));
	return url;
}

/*
 * Naming the URLs, and not whatever the catalogue will say, so that nobody can put
 * others in their place between a superuser's look and the admin's update.
 */
Datum
allow_endpoint_change(PG_FUNCTION_ARGS)
{
	char *connector_id = optional_text(fcinfo, 0);
	const char *token_endpoint = endpoint_arg(fcinfo, 1, "token_endpoint");
	const char *revocation_endpoint = endpoint_arg(fcinfo, 2, "revocation_endpoint");
	const char *refresh_endpoint = endpoint_arg(fcinfo, 3, "refresh_endpoint");
	const char *long_token_endpoint = endpoint_arg(fcinfo, 4, "long_token_endpoint");
	Connector *connector;

	if (!superuser())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be superuser to let a connector's secret go elsewhere"),
						errhint("Give client_secret anew in update_connector() instead.")));
	shared_state_require_preload();
	check_text("connector_id", connector_id, MAX_CONNECTOR_ID);
	store_lock_connector_for_change(connector_id, false);
	connector = connector_require(connector_id);
	connector_require_open(connector);
	connector->allowed_endpoints = token_endpoint != NULL
									   ? connector_endpoints(token_endpoint, revocation_endpoint,
															 refresh_endpoint, long_token_endpoint)
									   : NULL;
	connector->client_secret = connector_seal_secret(connector, connector->client.client_secret);
	store_allow_endpoints(connector);
	event_record("", connector_id, NULL, "endpoint_change_allowed",
				 connector->allowed_endpoints != NULL ? connector->allowed_endpoints
													  : "taken back");
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

Datum
retry_connections(PG_FUNCTION_ARGS)
{
	char *connector_id = optional_text(fcinfo, 0);
	Connector *connector;

	shared_state_require_preload();
	check_text("connector_id", connector_id, MAX_CONNECTOR_ID);
	/* which must not be pointed elsewhere meanwhile */
	store_lock_connector_for_change(connector_id, false);
	connector = connector_require(connector_id);
	connector_require_open(connector);
	PG_RETURN_INT64(connection_retry_all_of_connector(connector, optional_text(fcinfo, 1),
													  optional_text(fcinfo, 2)));
}
