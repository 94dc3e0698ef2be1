/*
 * connection.c
 *	  current_app_user_connection(), disconnect_app_user() and what else a caller
 *	  does with connections.
 *
 * A fresh read is one indexed read and one decryption.  Only when the token is
 * stale is the worker asked, and then the row is read again with the latest
 * snapshot: a REPEATABLE READ caller's own would show tokens rotated away.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/bounds.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/record.h"
#include "base/secret.h"
#include "functions/connection.h"
#include "store/authorization.h"
#include "store/connection.h"
#include "store/connection_token.h"
#include "store/connector.h"
#include "store/connector_endpoint.h"
#include "store/event.h"
#include "store/identity.h"
#include "store/outbox.h"
#include "store/shared_state.h"
#include "store/store.h"
#include "worker/diagnosis.h"
#include "worker/provider_call.h"
#include "worker/refresh.h"
#include "worker/revocation.h"

#define MAX_CALLS 3 /* of the worker, if it ends while it has ours */
#define MAX_VALIDITY (INT64CONST(100) * 366 * USECS_PER_DAY)

/* What a reader asks of the token */
typedef struct TokenDemand
{
	ArrayType *required_scopes; /* NULL: any */
	int64 min_validity;         /* microseconds */
	char *rejected_token;       /* NULL: none */
} TokenDemand;

/* Connections that are tried again are due so far apart, and no later than that. */
#define RETRY_SPACE (50 * INT64CONST(1000))
#define RETRY_SPREAD_MAX (10 * USECS_PER_MINUTE)

PG_FUNCTION_INFO_V1(current_app_user_connection);
PG_FUNCTION_INFO_V1(app_user_connection);
PG_FUNCTION_INFO_V1(disconnect_app_user);
PG_FUNCTION_INFO_V1(app_user_connections);
PG_FUNCTION_INFO_V1(erase_app_user);

static Datum return_connection(FunctionCallInfo fcinfo, const char *app_user, int first);
static void read_fresh(const char *app_user, const char *connector_id, const char *connection_name,
					   const TokenDemand *demand, Connection *connection, char **access_token);

static char *
text_arg(FunctionCallInfo fcinfo, int i, const char *name)
{
	if (PG_ARGISNULL(i))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", name)));
	return text_to_cstring(PG_GETARG_TEXT_PP(i));
}

static char *
secret_arg(FunctionCallInfo fcinfo, int i)
{
	text *value = PG_GETARG_TEXT_PP(i);

	return secret_copy(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

static void
raise_not_connected(const char *connector_id)
{
	(void) connector_require(connector_id); /* UC006 comes first */
	ereport(ERROR, (errcode(ERRCODE_UC_CONNECTION_NOT_FOUND),
					errmsg("the app user has not connected \"%s\"", connector_id),
					errhint("Send the app user to the URL that "
							"appuser_connectors.connect_app_user() returns.")));
}

static void
raise_reconnect(const char *connector_id, const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_UC_RECONNECT_REQUIRED),
					errmsg("the app user must connect \"%s\" again", connector_id),
					detail != NULL && detail[0] != '\0' ? errdetail("Reason: %s.", detail) : 0,
					errhint("Send the app user to the URL that "
							"appuser_connectors.connect_app_user() returns.")));
}

/* Names that required_scopes lacks in what was granted, or NULL */
static char *
lacking_scopes(ArrayType *required, ArrayType *granted)
{
	int n_required;
	int n_granted;
	char **r = array_to_texts(required, &n_required);
	char **g = array_to_texts(granted, &n_granted);
	StringInfo lacking = makeStringInfo();

	if (n_required > MAX_SCOPES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("there must not be more than %d scopes", MAX_SCOPES)));
	for (int i = 0; i < n_required; i++)
	{
		bool found = false;

		for (int j = 0; j < n_granted && !found; j++)
			found = strcmp(r[i], g[j]) == 0;
		if (!found)
			appendStringInfo(lacking, "%s%s", lacking->len > 0 ? " " : "", r[i]);
	}
	return lacking->len > 0 ? lacking->data : NULL;
}

static bool
is_fresh(const Connection *connection, int64 min_validity)
{
	return TIMESTAMP_IS_NOEND(connection->expires_at) ||
		   connection->expires_at - GetCurrentTimestamp() > min_validity;
}

/* Microseconds; one too long for them, or infinite, asks for as much as there is. */
static int64
interval_arg(FunctionCallInfo fcinfo, int i)
{
	Interval *interval = PG_GETARG_INTERVAL_P(i);
	double microseconds = interval->time + interval->day * (double) USECS_PER_DAY +
						  interval->month * (double) DAYS_PER_MONTH * USECS_PER_DAY;

	return microseconds >= MAX_VALIDITY ? MAX_VALIDITY : (int64) Max(microseconds, 0);
}

/* The stored access token; a row it does not belong to is an error of its own. */
static char *
open_access_token(const Connection *connection)
{
	char *token = connection_open_access_token(connection);

	if (token == NULL)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("the stored token of connector \"%s\" cannot be opened",
							   connection->connector_id),
						errdetail("It was altered, or written for another app user, connection, "
								  "connector or database."),
						errhint("Restore the row from a backup, or have the app user connect "
								"again.")));
	return token;
}

/*
 * Has the worker refresh the connection, as the caller has seen it.  False: not again so
 * soon, and the token still lives.
 */
static bool
ask_for_refresh(const Connection *connection)
{
	StringInfo record = makeStringInfo();
	char message[CALL_MESSAGE_SIZE];
	ProviderCallOutcome outcome;
	int calls = 0;

	do
	{
		resetStringInfo(record);
		refresh_call_put(record, connection);
		outcome = provider_call(CALL_REFRESH, record, message);
	} while (outcome == CALL_WORKER_ENDED && ++calls < MAX_CALLS);

	switch (outcome)
	{
		case CALL_SUCCEEDED:
			return true;
		case CALL_TOO_OFTEN:
			return false;
		case CALL_CONNECTION_NOT_FOUND:
			raise_not_connected(connection->connector_id);
			break;
		case CALL_RECONNECT_REQUIRED:
			raise_reconnect(connection->connector_id, message);
			break;
		case CALL_CONNECTOR_MISCONFIGURED:
			ereport(ERROR,
					(errcode(ERRCODE_UC_CONNECTOR_MISCONFIGURED),
					 errmsg("connector \"%s\" does not work", connection->connector_id),
					 message[0] ? errdetail("%s", message) : 0,
					 errhint("An admin corrects it with appuser_connectors.update_connector().")));
			break;
		case CALL_COPY_HELD:
			ereport(ERROR, (errcode(ERRCODE_UC_COPY_HELD),
							errmsg("this database makes no calls to providers, and the stored "
								   "token is no longer valid"),
							errdetail("It is a copy that has not been adopted, or "
									  "appuser_connectors.provider_calls is off."),
							errhint("Ask the original; or, if this database takes its place, an "
									"admin calls appuser_connectors.adopt_installation().")));
			break;
		case CALL_KEY_UNAVAILABLE:
			ereport(ERROR, (errcode(ERRCODE_UC_KEY_UNAVAILABLE),
							errmsg("the root key is not available to the worker"),
							errhint("Set appuser_connectors.root_key_file or "
									"appuser_connectors.root_key_command, and reload; the server "
									"log says what is wrong.")));
			break;
		case CALL_PROVIDER_UNAVAILABLE:
		case CALL_AUTHORIZATION_REFUSED:
		case CALL_WORKER_NOT_RUNNING:
		case CALL_WORKER_ENDED:
		case CALL_NOT_STARTED:
		case CALL_FAILED:
			ereport(ERROR, (errcode(ERRCODE_UC_PROVIDER_UNAVAILABLE),
							errmsg("the token of connector \"%s\" could not be refreshed",
								   connection->connector_id),
							message[0] ? errdetail("%s", message) : 0,
							errhint("Nothing is lost; try again later.")));
			break;
	}
	return true;
}

/* True when there is a row; raises UC002 for one that must be reconnected. */
static bool
read_connected(const char *app_user, const char *connector_id, const char *connection_name,
			   Snapshot snapshot, const TokenDemand *demand, Connection *connection)
{
	char *lacking;

	if (!store_read_connection(app_user, connector_id, connection_name, snapshot, connection))
		return false;
	if (connection->reconnect_required)
		raise_reconnect(connector_id, connection->status_reason);
	if (demand->required_scopes != NULL &&
		(lacking = lacking_scopes(demand->required_scopes, connection->scopes)) != NULL)
		raise_reconnect(connector_id, psprintf("scopes were not granted: %s", lacking));
	return true;
}

/*
 * The token serves, unless it is the one that the API has rejected.  One that cannot
 * be renewed serves as long as it lives: there is none that lives longer.
 */
static bool
serves(const Connection *connection, const TokenDemand *demand, char **access_token)
{
	if (!is_fresh(connection, connection->refresh_token != NULL ? demand->min_validity : 0))
		return false;
	*access_token = open_access_token(connection);
	return demand->rejected_token == NULL || strcmp(demand->rejected_token, *access_token) != 0;
}

static void
read_fresh(const char *app_user, const char *connector_id, const char *connection_name,
		   const TokenDemand *demand, Connection *connection, char **access_token)
{
	bool sees_latest = IsolationUsesXactSnapshot();
	Connection seen;
	bool renewed;

	if (!sees_latest)
	{
		if (read_connected(app_user, connector_id, connection_name, GetActiveSnapshot(), demand,
						   connection) &&
			serves(connection, demand, access_token))
			return;
	}
	/* a statement that has run for long does not see what came meanwhile */
	if (!read_connected(app_user, connector_id, connection_name, GetLatestSnapshot(), demand,
						connection))
		raise_not_connected(connector_id);
	if (serves(connection, demand, access_token))
		return;

	seen = *connection;
	renewed = ask_for_refresh(connection);
	if (!read_connected(app_user, connector_id, connection_name, GetLatestSnapshot(), demand,
						connection))
		raise_not_connected(connector_id);

	if (!renewed && is_fresh(connection, 0))
	{
		/* none that lives longer can be had just now */
		*access_token = open_access_token(connection);
		if (demand->rejected_token == NULL || strcmp(demand->rejected_token, *access_token) != 0)
			return;
		ereport(ERROR,
				(errcode(ERRCODE_UC_PROVIDER_UNAVAILABLE),
				 errmsg("the token of connector \"%s\" was renewed too often", connector_id),
				 errdetail("An API that rejects each new token has another reason than the token."),
				 errhint("Look at what the API says; try again in a minute.")));
	}

	/* What the provider has just given is served, however short its life. */
	if (memcmp(&seen.grant_id, &connection->grant_id, sizeof(pg_uuid_t)) == 0 &&
		seen.generation == connection->generation)
		ereport(ERROR,
				(errcode(ERRCODE_UC_PROVIDER_UNAVAILABLE),
				 errmsg("the token of connector \"%s\" could not be refreshed", connector_id),
				 errhint("Nothing is lost; try again later.")));
	*access_token = open_access_token(connection);
}

/*
 * Of the functions' result, made once: to look their arguments up in the catalog costs
 * as much as to read the row.
 */
static TupleDesc
result_descriptor(void)
{
	static TupleDesc descriptor = NULL;
	TupleDesc new;
	MemoryContext old;

	if (descriptor != NULL)
		return descriptor;
	old = MemoryContextSwitchTo(TopMemoryContext);
	new = CreateTemplateTupleDesc(5);
	TupleDescInitEntry(new, 1, "access_token", TEXTOID, -1, 0);
	TupleDescInitEntry(new, 2, "connection_config", JSONBOID, -1, 0);
	TupleDescInitEntry(new, 3, "token_type", TEXTOID, -1, 0);
	TupleDescInitEntry(new, 4, "scopes", TEXTARRAYOID, -1, 0);
	TupleDescInitEntry(new, 5, "expires_at", TIMESTAMPTZOID, -1, 0);
	descriptor = BlessTupleDesc(new);
	MemoryContextSwitchTo(old);
	return descriptor;
}

static Datum
return_connection(FunctionCallInfo fcinfo, const char *app_user, int first)
{
	FuncCallContext *context;
	TokenDemand demand = {0};
	Connection connection = {0};
	char *access_token = NULL;
	char *connector_id;
	char *connection_name;
	Datum values[5];
	bool nulls[5] = {false};

	if (!SRF_IS_FIRSTCALL())
	{
		context = SRF_PERCALL_SETUP();
		SRF_RETURN_DONE(context);
	}

	context = SRF_FIRSTCALL_INIT();
	connector_id = text_arg(fcinfo, first, "connector_id");
	connection_name = text_arg(fcinfo, first + 1, "connection_name");
	if (!PG_ARGISNULL(first + 2))
		demand.required_scopes = PG_GETARG_ARRAYTYPE_P(first + 2);
	if (!PG_ARGISNULL(first + 3))
		demand.min_validity = interval_arg(fcinfo, first + 3);
	if (!PG_ARGISNULL(first + 4))
		demand.rejected_token = secret_arg(fcinfo, first + 4);

	read_fresh(app_user, connector_id, connection_name, &demand, &connection, &access_token);

	values[0] = CStringGetTextDatum(access_token);
	nulls[1] = connection.connection_config == NULL;
	values[1] = PointerGetDatum(connection.connection_config);
	values[2] = CStringGetTextDatum(connection.token_type);
	values[3] = PointerGetDatum(connection.scopes);
	nulls[4] = TIMESTAMP_IS_NOEND(connection.expires_at);
	values[4] = TimestampTzGetDatum(connection.expires_at);
	SRF_RETURN_NEXT(context,
					HeapTupleGetDatum(heap_form_tuple(result_descriptor(), values, nulls)));
}

Datum
current_app_user_connection(PG_FUNCTION_ARGS)
{
	return return_connection(fcinfo, SRF_IS_FIRSTCALL() ? identity_require_app_user() : NULL, 0);
}

Datum
app_user_connection(PG_FUNCTION_ARGS)
{
	char *app_user = text_arg(fcinfo, 0, "app_user");

	identity_check_name(app_user);
	return return_connection(fcinfo, app_user, 1);
}

/*
 * Deletes one connection and queues its tokens; false when there is none.  Without an
 * event, because the person is erased.
 */
static bool
disconnect(Connector *connector, const char *app_user, const char *connection_name,
		   const char *event)
{
	Connection deleted = {0};

	if (!store_delete_connection(app_user, connector->connector_id, connection_name, &deleted))
		return false;
	revocation_queue_deleted(connector, &deleted, event);
	return true;
}

static void
require_primary(void)
{
	shared_state_require_preload();
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_UC_WORKER_NOT_RUNNING), errmsg("this server is a standby"),
						errhint("Repeat the call on the primary.")));
}

Datum
disconnect_app_user(PG_FUNCTION_ARGS)
{
	const char *app_user = identity_require_app_user();
	char *connector_id = text_arg(fcinfo, 0, "connector_id");
	char *connection_name = text_arg(fcinfo, 1, "connection_name");
	Connector *connector;
	bool ended;
	bool found;

	require_primary();
	connector = connector_require(connector_id);

	/* first what is being connected, or it could come afterwards */
	ended = store_delete_exchanges(app_user, connector_id, connection_name);
	found = disconnect(connector, app_user, connection_name, "disconnected");
	if (ended && !found)
		event_record(app_user, connector_id, connection_name, "disconnected",
					 "while it was being connected");
	PG_RETURN_BOOL(found || ended);
}

int64
connection_delete_all_of_connector(Connector *connector)
{
	int count;
	int64 deleted = 0;
	ConnectionKey *keys = store_keys_of_connector(connector->connector_id, &count);

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		deleted +=
			disconnect(connector, keys[i].app_user, keys[i].connection_name, "connector_deleted");
	}
	return deleted;
}

void
connection_require_reconnect_of_connector(const Connector *connector, const char *reason)
{
	const char *connector_id = connector->connector_id;
	int count;
	ConnectionKey *keys = store_keys_of_connector(connector_id, &count);
	TimestampTz now = GetCurrentTimestamp();
	const char *detail = diagnose_reason(reason);

	for (int i = 0; i < count; i++)
	{
		Connection connection = {0};

		CHECK_FOR_INTERRUPTS();
		if (!store_wait_connection(keys[i].app_user, connector_id, keys[i].connection_name,
								   &connection) ||
			connection.reconnect_required ||
			strcmp(connection.endpoints,
				   connector_endpoints_for(connector, connection.connection_config)) == 0)
			continue;
		connection_end_grant(&connection, reason, now);
		store_update_connection(&connection);
		event_record(keys[i].app_user, connector_id, keys[i].connection_name, "reconnect_required",
					 detail);
	}
}

int64
connection_retry_all_of_connector(const Connector *connector, const char *app_user,
								  const char *reason)
{
	const char *connector_id = connector->connector_id;
	int count;
	ConnectionKey *keys = app_user != NULL ? store_keys_of_app_user(app_user, &count)
										   : store_keys_of_connector(connector_id, &count);
	int64 spread = Min(count * RETRY_SPACE, RETRY_SPREAD_MAX);
	TimestampTz now = GetCurrentTimestamp();
	int64 retried = 0;

	for (int i = 0; i < count; i++)
	{
		Connection connection = {0};
		const char *why;

		CHECK_FOR_INTERRUPTS();
		if (strcmp(keys[i].connector_id, connector_id) != 0 ||
			!store_wait_connection(keys[i].app_user, connector_id, keys[i].connection_name,
								   &connection) ||
			!connection.reconnect_required ||
			!connector_receives(connector, connection.endpoints, connection.connection_config))
			continue;
		why = connection.status_reason != NULL ? connection.status_reason : "";
		if ((reason != NULL && strcmp(why, reason) != 0) || strcmp(why, "account_changed") == 0)
			continue;
		if (!connection_restore_grant(
				&connection, now, now + (int64) (spread * pg_prng_double(&pg_global_prng_state))))
			continue;
		store_update_connection(&connection);
		event_record(keys[i].app_user, connector_id, keys[i].connection_name, "retried", why);
		retried++;
	}
	return retried;
}

Datum
app_user_connections(PG_FUNCTION_ARGS)
{
	const char *app_user = identity_require_app_user();
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	store_list_connections(app_user, result->setResult, result->setDesc);
	return (Datum) 0;
}

Datum
erase_app_user(PG_FUNCTION_ARGS)
{
	char *app_user = text_arg(fcinfo, 0, "app_user");
	int count;
	int64 erased = 0;
	ConnectionKey *keys;

	identity_check_name(app_user);
	require_primary();
	/* first those whose exchange is under way, which could still make a connection */
	store_delete_authorizations(app_user);
	keys = store_keys_of_app_user(app_user, &count);
	for (int i = 0; i < count; i++)
	{
		Connector *connector = connector_find(keys[i].connector_id);
		Connection deleted = {0};

		CHECK_FOR_INTERRUPTS();
		if (connector != NULL)
			erased += disconnect(connector, app_user, keys[i].connection_name, NULL);
		else if (store_delete_connection(app_user, keys[i].connector_id, keys[i].connection_name,
										 &deleted))
		{
			/* a restore of some tables has left it behind: nothing says where to revoke it */
			event_record("", keys[i].connector_id, NULL, "erased",
						 "not revoked: the connector is missing");
			erased++;
		}
	}
	/* before the events, which the worker still adds until it finds no name */
	store_forget_name(app_user);
	store_delete_events(app_user);
	PG_RETURN_INT64(erased);
}
