/*
 * authorization.c
 *	  connect_app_user() and oauth_callback(): state, PKCE, the URL, and who may
 *	  finish a flow (RFC 6749 §4.1, RFC 7636, RFC 9700 §2.1).
 *
 * A state is 32 random bytes and the app user, sealed: whoever presents it finds
 * that row and no one else's.  Only its hash is stored.  Makes no call itself.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/base64.h"
#include "base/bounds.h"
#include "base/errors.h"
#include "base/record.h"
#include "base/secret.h"
#include "base/settings.h"
#include "base/url.h"
#include "oauth/request.h"
#include "oauth/response.h"
#include "store/adoption.h"
#include "store/authorization.h"
#include "store/authorization_secret.h"
#include "store/connection.h"
#include "store/connection_config.h"
#include "store/connector.h"
#include "store/connector_endpoint.h"
#include "store/identity.h"
#include "store/installation.h"
#include "store/keyring.h"
#include "store/provider.h"
#include "store/shared_state.h"
#include "store/store.h"
#include "worker/exchange.h"
#include "worker/provider_call.h"

#define STATE_RANDOM_BYTES 32
#define MAX_STATE 2048
#define MAX_RETURN_TO 2048 /* it comes back through the worker's slot */

/*
 * What a browser brings is cut to what the worker has room for: longer ones could
 * not be right anyway.
 */
#define MAX_CODE 4096
#define MAX_ISS 512
#define MAX_PARAMS 32
#define RESULT_COLUMNS 5      /* of oauth_callback() */
#define MAX_PARAMS_BYTES 1536 /* names and values of all */

#define SERVICE_ROLE "appuser_connectors_service"
#define ADMIN_ROLE "appuser_connectors_admin"

/*
 * Flows that this transaction began, by whichever call, which the worker cannot see yet.
 * Those that a subtransaction took back stay: nobody can finish them either.
 */
typedef struct OwnFlow
{
	struct OwnFlow *next;
	uint8 state_hash[PG_SHA256_DIGEST_LENGTH];
} OwnFlow;

static OwnFlow *own_flows = NULL; /* in TopTransactionContext */

PG_FUNCTION_INFO_V1(connect_app_user);
PG_FUNCTION_INFO_V1(oauth_callback);

static bool
has_role(const char *name)
{
	Oid role = get_role_oid(name, true);

	return OidIsValid(role) && has_privs_of_role(GetUserId(), role);
}

static void
raise_copy_held(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_UC_COPY_HELD), errmsg("this database makes no calls to providers"),
			 errdetail("It is a copy that has not been adopted, or "
					   "appuser_connectors.provider_calls is off."),
			 errhint("If it takes the original's place, an admin calls "
					 "appuser_connectors.adopt_installation().")));
}

static StringInfo
state_aad(void)
{
	StringInfo aad = makeStringInfo();

	record_put_text(aad, "state");
	record_put_bytes(aad, installation_id(), sizeof(pg_uuid_t));
	return aad;
}

/* What a state holds, sealed */
typedef struct State
{
	char random[STATE_RANDOM_BYTES];
	int64 expires_at;
	char app_user[MAX_APP_USER + 1];
} State;

#define STATE_SIZE(length) (offsetof(State, app_user) + (length))

static char *
make_state(const char *app_user, TimestampTz expires_at)
{
	State plain = {.expires_at = expires_at};
	bytea *sealed;
	StringInfoData state;

	if (!pg_strong_random(plain.random, sizeof(plain.random)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("no random bytes available")));
	strlcpy(plain.app_user, app_user, sizeof(plain.app_user));
	sealed = keyring_seal(state_aad(), (char *) &plain, STATE_SIZE(strlen(plain.app_user)));
	initStringInfo(&state);
	append_base64url(&state, (uint8 *) VARDATA(sealed), VARSIZE(sealed) - VARHDRSZ);
	return state.data;
}

/* NULL for one that we did not make */
static State *
open_state(const char *text)
{
	size_t length = strlen(text);
	State *state = palloc0(sizeof(State));
	bytea *sealed;
	int len;
	char *plain;

	if (length == 0 || length > MAX_STATE)
		return NULL;
	sealed = palloc(VARHDRSZ + length);
	len = decode_base64url(text, length, (uint8 *) VARDATA(sealed));
	if (len < (int) SEAL_OVERHEAD)
		return NULL;
	SET_VARSIZE(sealed, VARHDRSZ + len);
	if (!keyring_knows(sealed))
		return NULL;
	plain = keyring_open(state_aad(), sealed, &len);
	if (plain == NULL || len <= (int) STATE_SIZE(0) || len > (int) STATE_SIZE(MAX_APP_USER))
		return NULL;
	memcpy(state, plain, len);
	return state;
}

static void
forget_own_flows(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		own_flows = NULL;
}

static void
remember_own_flow(const uint8 *state_hash)
{
	static bool registered = false;
	OwnFlow *flow = MemoryContextAlloc(TopTransactionContext, sizeof(OwnFlow));

	if (!registered)
	{
		RegisterXactCallback(forget_own_flows, NULL);
		registered = true;
	}
	memcpy(flow->state_hash, state_hash, sizeof(flow->state_hash));
	flow->next = own_flows;
	own_flows = flow;
}

/* 32 random bytes as base64url */
static char *
random_text(void)
{
	uint8 bytes[32];
	StringInfoData text;
	char *copy;

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("no random bytes available")));
	initStringInfo(&text);
	append_base64url(&text, bytes, sizeof(bytes));
	copy = secret_copy(text.data, text.len);
	secret_cleanse(text.data, text.len);
	secret_cleanse(bytes, sizeof(bytes));
	return copy;
}

static char *
optional_text(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

static char *
choose_redirect_uri(const Connector *connector, const char *given)
{
	if (given == NULL)
		return connector->redirect_uris[0];
	for (int i = 0; i < connector->n_redirect_uris; i++)
		if (url_redirect_matches(connector->redirect_uris[i], given))
			return pstrdup(given);
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("redirect_uri is not one of connector \"%s\"", connector->connector_id),
					errhint("An admin lists it with update_connector(redirect_uris => …), and "
							"registers it at the provider.")));
}

/*
 * A path of the application itself, a URL on the origin of one of the redirect
 * URIs, or one that the connector's options list: no open redirect.
 */
/* Is what follows the origin one, too?  Whoever sends the browser there may leave the origin out. */
static bool
has_local_path(const char *url)
{
	const char *path = strstr(url, "//");

	if (path == NULL)
		return false;
	path += 2 + strcspn(path + 2, "/?#");
	return path[0] != '/' || url_is_local_path(path);
}

static void
check_return_to(const Connector *connector, const char *return_to)
{
	int count;
	const char **allowed;
	char *origin;

	if (url_is_local_path(return_to))
		return;
	origin = return_to[0] == '/' ? NULL : url_origin(return_to);
	if (origin != NULL)
		for (int i = 0; i < connector->n_redirect_uris; i++)
		{
			char *own = url_origin(connector->redirect_uris[i]);

			if (own != NULL && strcmp(own, origin) == 0 &&
				url_redirect_problem(return_to) == NULL && has_local_path(return_to))
				return;
		}
	allowed = definition_texts(connector->options_json, "return_to", &count);
	for (int i = 0; i < count; i++)
		if (strcmp(allowed[i], return_to) == 0)
			return;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("return_to is not allowed"),
					errdetail("It is neither a path nor on the origin of a redirect URI."),
					errhint("An admin lists it in the connector's options: "
							"{\"return_to\": [\"https://…\"]}.")));
}

/* Adds those that are not there yet. */
static void
add_scopes(char **scopes, int *count, char *const *more, int n_more)
{
	for (int i = 0; i < n_more; i++)
	{
		bool known = false;

		for (int j = 0; j < *count && !known; j++)
			known = strcmp(scopes[j], more[i]) == 0;
		if (!known)
			scopes[(*count)++] = more[i];
	}
}

/*
 * Each scope once: those of the connector, or of its definition where it names none; what
 * the provider needs in any case; and what this flow asks for.
 */
static char **
union_scopes(const Connector *connector, ArrayType *more, int *count)
{
	int n_extra = 0;
	int n_defaults;
	int n_required;
	char **extra = more != NULL ? array_to_texts(more, &n_extra) : NULL;
	const char **defaults =
		definition_texts(connector->definition_json, "default_scopes", &n_defaults);
	const char **required =
		definition_texts(connector->definition_json, "required_scopes", &n_required);
	char **scopes =
		palloc(sizeof(char *) * (connector->n_scopes + n_defaults + n_required + n_extra + 1));

	connector_check_scopes(extra, n_extra);
	*count = 0;
	add_scopes(scopes, count, connector->scopes, connector->n_scopes);
	if (connector->n_scopes == 0)
		add_scopes(scopes, count, unconstify(char **, defaults), n_defaults);
	add_scopes(scopes, count, unconstify(char **, required), n_required);
	add_scopes(scopes, count, extra, n_extra);
	connector_check_scopes(scopes, *count);
	return scopes;
}

/* Each of more in the place of one of the same name, or after those that are there */
static void
put_params(NameValue *params, int *count, const NameValue *more, int n_more)
{
	for (int i = 0; i < n_more; i++)
	{
		int at = 0;

		while (at < *count && strcmp(params[at].name, more[i].name) != 0)
			at++;
		params[at] = more[i];
		*count = Max(*count, at + 1);
	}
}

/*
 * The client as this flow uses it: the connector's options put on top, and then what it
 * takes to be asked for consent anew.
 */
static void
apply_options(const Connector *connector, OAuthClient *client, bool wants_consent)
{
	int n_extra;
	NameValue *extra = definition_params(connector->options_json, "authorization_params", &n_extra);
	NameValue *params = palloc(sizeof(NameValue) * (client->n_authorization_params + n_extra +
													client->n_consent_params + 1));
	int count = 0;

	put_params(params, &count, client->authorization_params, client->n_authorization_params);
	put_params(params, &count, extra, n_extra);
	if (wants_consent)
		put_params(params, &count, client->consent_params, client->n_consent_params);
	client->authorization_params = params;
	client->n_authorization_params = count;
}

/* Servers that give a refresh token with a consent only give none without another. */
static bool
lacks_refresh_token(const char *app_user, const char *connector_id, const char *connection_name)
{
	Connection connection = {0};

	return store_read_connection(app_user, connector_id, connection_name, GetLatestSnapshot(),
								 &connection) &&
		   (connection.refresh_token == NULL || connection.reconnect_required);
}

/* The provider's URLs need them. */
static void
require_fields(const Connector *connector, Jsonb *connection_config)
{
	const char *field = connector_lacks_field(connector, CONFIG_FROM_USER, connection_config);

	if (field != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("connection_config lacks field \"%s\"", field),
						errdetail("The provider's endpoints have it in their URLs; there is no "
								  "value, or none that can stand there."),
						errhint("Ask the app user for it, and give it to "
								"connect_app_user(connection_config => …).")));
}

Datum
connect_app_user(PG_FUNCTION_ARGS)
{
	const char *app_user = identity_require_app_user();
	char *connector_id = optional_text(fcinfo, 0);
	char *connection_name = optional_text(fcinfo, 1);
	char *return_to = optional_text(fcinfo, 3);
	Authorization authorization = {0};
	AuthorizationParams params = {0};
	Connector *connector;
	OAuthClient client;
	const char *lacking;
	StringInfoData url;
	TimestampTz now = GetCurrentTimestamp();

	if (connector_id == NULL || connection_name == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("connector_id and connection_name must not be null")));
	connection_check_name(connection_name);
	shared_state_require_preload();
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_UC_WORKER_NOT_RUNNING), errmsg("this server is a standby"),
						errhint("Connect through the primary.")));

	connector = connector_require(connector_id);
	connector_require_open(connector);
	if (installation_state() != INSTALLATION_OURS)
		raise_copy_held();
	if (!TIMESTAMP_IS_NOEND(connector->stopped_at))
		ereport(ERROR, (errcode(ERRCODE_UC_CONNECTOR_MISCONFIGURED),
						errmsg("connector \"%s\" is stopped", connector_id),
						errdetail("Reason: %s.", connector->stopped_reason),
						errhint("An admin corrects it with "
								"appuser_connectors.update_connector().")));
	if (store_count_other_connections(app_user, connector_id, connection_name) >=
		MAX_CONNECTIONS_PER_CONNECTOR)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("the app user has %d connections of connector \"%s\"",
							   MAX_CONNECTIONS_PER_CONNECTOR, connector_id),
						errhint("Disconnect one first.")));
	if (return_to != NULL && strlen(return_to) > MAX_RETURN_TO)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("return_to must not be longer than %d bytes", MAX_RETURN_TO)));
	if (return_to != NULL)
		check_return_to(connector, return_to);

	authorization.app_user = app_user;
	authorization.connector_id = connector_id;
	authorization.connection_name = connection_name;
	authorization.redirect_uri = choose_redirect_uri(connector, optional_text(fcinfo, 2));
	authorization.return_to = return_to;
	authorization.scopes = union_scopes(
		connector, PG_ARGISNULL(4) ? NULL : PG_GETARG_ARRAYTYPE_P(4), &authorization.n_scopes);
	authorization.connection_config =
		config_begin(&connector->client, connector->connection_config,
					 bounded_jsonb_arg(fcinfo, 5, "connection_config", MAX_CONFIG_BYTES));
	require_fields(connector, authorization.connection_config);
	if (!PG_ARGISNULL(6))
	{
		char *binding = optional_text(fcinfo, 6);

		authorization.binding_hash = palloc(VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
		SET_VARSIZE(authorization.binding_hash, VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
		if (strlen(binding) < 16 || strlen(binding) > MAX_BROWSER_BINDING)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("browser_binding must be 16 to %d bytes long", MAX_BROWSER_BINDING),
					 errhint("It is a random value, such as 32 random bytes in base64.")));
		authorization_hash(binding, (uint8 *) VARDATA(authorization.binding_hash));
	}
	authorization.created_at = now;
	authorization.expires_at = now + guc_authorization_lifetime * USECS_PER_SEC;

	params.state = make_state(app_user, authorization.expires_at);
	authorization_hash(params.state, authorization.state_hash);
	if (connector->client.pkce)
		params.code_verifier = random_text();
	for (int i = 0; i < authorization.n_scopes; i++)
		if (strcmp(authorization.scopes[i], "openid") == 0)
			params.nonce = random_text();
	authorization.party = authorization_party(connector);
	(void) connector_bind(connector, authorization.connection_config, &lacking);
	if (connector->client.authorization_endpoint == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("connection_config makes no URL of the authorization endpoint"),
				 errhint("An admin looks at the connector's definition and connection_config in "
						 "appuser_connectors.connectors.")));
	authorization_seal(&authorization, params.code_verifier, params.nonce);
	store_insert_authorization(&authorization);
	remember_own_flow(authorization.state_hash);

	params.redirect_uri = connector_redirect_parameter(connector, authorization.redirect_uri);
	params.scopes = (const char *const *) authorization.scopes;
	params.n_scopes = authorization.n_scopes;
	client = connector->client;
	apply_options(connector, &client, lacks_refresh_token(app_user, connector_id, connection_name));
	initStringInfo(&url);
	build_authorization_url(&client, &params, &url);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(url.data, url.len));
}

/*
 * The query's parameters.  Those with names of the protocol stand in for
 * arguments that were not given; one that came more than once (an array) makes
 * the whole callback invalid (RFC 6749 §3.1).
 */
static void
read_params(Jsonb *params, Callback *callback, char **state)
{
	JsonbIterator *iterator = JsonbIteratorInit(&params->root);
	JsonbIteratorToken token;
	JsonbValue element;
	char *name = NULL;
	size_t bytes = 0;

	if (!JB_ROOT_IS_OBJECT(params))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("params must be a JSON object of the callback's query")));
	callback->params = palloc(sizeof(NameValue) * MAX_PARAMS);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		char *value;

		if (token == WJB_KEY)
			name = pnstrdup(element.val.string.val, element.val.string.len);
		if (token != WJB_VALUE)
			continue;
		if (element.type == jbvBinary)
			callback->repeated = true;
		if (element.type != jbvString)
			continue;
		value = secret_copy(element.val.string.val, element.val.string.len);
		if (strcmp(name, "state") == 0)
			*state = *state != NULL ? *state : value;
		else if (strcmp(name, "code") == 0)
			callback->code = callback->code != NULL ? callback->code : value;
		else if (strcmp(name, "iss") == 0)
			callback->iss =
				callback->iss != NULL && callback->iss[0] != '\0' ? callback->iss : value;
		else if (strcmp(name, "error") == 0)
			callback->error = callback->error != NULL ? callback->error : value;
		else if (callback->n_params < MAX_PARAMS &&
				 bytes + strlen(name) + strlen(value) <= MAX_PARAMS_BYTES)
		{
			bytes += strlen(name) + strlen(value);
			callback->params[callback->n_params++] = (NameValue){name, value};
		}
	}
}

/* Longer than max becomes max + 1: what is too long stays wrong. */
static void
cut(char *text, size_t max)
{
	if (text != NULL && strlen(text) > max)
		text[max + 1] = '\0';
}

/*
 * Why is for whoever can mend it.  A client with the user's role may be the browser itself,
 * and its person can only begin again; then it is in the server's log alone.
 */
static void
raise_refused(const char *why)
{
	bool tell = has_role(SERVICE_ROLE) || has_role(ADMIN_ROLE);

	ereport(ERROR,
			(errcode(ERRCODE_UC_AUTHORIZATION_FAILED),
			 errmsg("the authorization callback was refused"),
			 tell ? errdetail("%s", why)
				  : errdetail("The state is unknown, was used, has expired, or is of another "
							  "person or browser."),
			 tell ? 0 : errdetail_log("%s", why),
			 errhint("Begin again with appuser_connectors.connect_app_user(), and finish "
					 "as the same app user or with the same browser_binding.")));
}

static void
raise_outcome(ProviderCallOutcome outcome, const char *message)
{
	switch (outcome)
	{
		case CALL_AUTHORIZATION_REFUSED:
			raise_refused(message);
			break;
		case CALL_COPY_HELD:
			raise_copy_held();
			break;
		case CALL_KEY_UNAVAILABLE:
			ereport(ERROR, (errcode(ERRCODE_UC_KEY_UNAVAILABLE),
							errmsg("the root key is not available to the worker"),
							errhint("Set appuser_connectors.root_key_file or "
									"appuser_connectors.root_key_command, and reload.")));
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_UC_PROVIDER_UNAVAILABLE),
					 errmsg("the authorization could not be finished"),
					 outcome == CALL_WORKER_ENDED
						 ? errdetail("The worker ended while it had the call; the code may have "
									 "been used.")
					 : message[0] != '\0' ? errdetail("%s", message)
										  : 0,
					 errhint("Look at app_user_connections(); begin again if it is not "
							 "connected.")));
			break;
	}
}

static void
put_row(ReturnSetInfo *result, const char *const *columns)
{
	Datum values[RESULT_COLUMNS] = {0};
	bool nulls[RESULT_COLUMNS];

	for (int i = 0; i < RESULT_COLUMNS; i++)
	{
		nulls[i] = columns[i] == NULL;
		if (!nulls[i])
			values[i] = CStringGetTextDatum(columns[i]);
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
oauth_callback(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Callback callback = {0};
	const char *session_app_user = identity_app_user();
	char *state = optional_text(fcinfo, 0);
	Jsonb *params;
	StringInfo record = makeStringInfo();
	char message[CALL_MESSAGE_SIZE];
	ProviderCallOutcome outcome;
	const char *columns[RESULT_COLUMNS];
	State *begun;
	Authorization *flow;
	char *failure;
	const char *why;

	InitMaterializedSRF(fcinfo, 0);
	callback.code = optional_text(fcinfo, 1);
	callback.iss = optional_text(fcinfo, 2);
	callback.error = optional_text(fcinfo, 3);
	params = bounded_jsonb_arg(fcinfo, 5, "params", MAX_PARAMS_JSON_BYTES);
	if (params != NULL)
		read_params(params, &callback, &state);
	/* an empty one is none: pages give it for what did not come */
	if (callback.iss != NULL && callback.iss[0] == '\0')
		callback.iss = NULL;
	if (callback.code != NULL && strlen(callback.code) > MAX_CODE)
		callback.code = NULL;
	cut(callback.iss, MAX_ISS);
	cut(callback.error, MAX_ERROR_CODE);
	callback.redirect_uri = optional_text(fcinfo, 6);
	callback.session_app_user = unconstify(char *, session_app_user);
	callback.is_service = has_role(SERVICE_ROLE);
	if (!PG_ARGISNULL(7))
	{
		callback.has_binding = true;
		authorization_hash(optional_text(fcinfo, 7), callback.binding_hash);
	}

	shared_state_require_preload();
	begun = state != NULL ? open_state(state) : NULL;
	if (begun == NULL)
		raise_refused("The state is missing, or was not made by this database.");
	callback.app_user = begun->app_user;
	callback.state = state;
	authorization_hash(state, callback.state_hash);
	for (OwnFlow *flow = own_flows; flow != NULL; flow = flow->next)
		if (memcmp(flow->state_hash, callback.state_hash, sizeof(flow->state_hash)) == 0)
			ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
							errmsg("the flow was begun in this transaction"),
							errdetail("The worker cannot see it before it is committed."),
							errhint("Commit after connect_app_user().")));

	/* what is no flow, or none any longer, is none of the worker's business */
	provider_call_require_primary();
	flow = store_find_authorization(callback.app_user, callback.state_hash);
	if (flow == NULL && begun->expires_at <= GetCurrentTimestamp())
		raise_refused("The state has expired.");
	if (flow == NULL)
		raise_refused("There is no such flow: the transaction that called connect_app_user() was "
					  "not committed, or the flow was ended since, by disconnect_app_user(), "
					  "erase_app_user(), or newer flows.");
	if (flow->sealed_outcome != NULL)
	{
		/* the page was loaded again */
		if (!callback_may_see_outcome(&callback, flow, &failure, &why))
			raise_refused(why);
		put_row(result, (const char *[]){flow->connector_id, flow->app_user, flow->connection_name,
										 flow->return_to, failure});
		return (Datum) 0;
	}
	callback.connector_id = flow->connector_id;
	callback.connection_name = flow->connection_name;
	callback_put(record, &callback);
	outcome = provider_call(CALL_EXCHANGE, record, message);
	if (outcome != CALL_SUCCEEDED)
		raise_outcome(outcome, message);

	record->cursor = 0;
	for (int i = 0; i < RESULT_COLUMNS; i++)
		columns[i] = record_get_text(record);
	put_row(result, columns);
	return (Datum) 0;
}
