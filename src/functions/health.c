/*
 * health.c
 *	  check_health(): what an admin should know before it hurts.
 *
 * One row a question, each answered from this process and the tables; nothing is
 * sent anywhere.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_auth_members.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/settings.h"
#include "store/adoption.h"
#include "store/connection.h"
#include "store/connector.h"
#include "store/keyring.h"
#include "store/past_event.h"
#include "store/provider.h"
#include "store/shared_state.h"
#include "store/store.h"
#include "worker/roster.h"

typedef struct Report
{
	Tuplestorestate *tuples;
	TupleDesc descriptor;
} Report;

#define MANY_PEOPLE 2    /* that one alone could not be, who makes up callbacks */
#define MASS_END 5       /* connections */
#define MAX_EVENTS 10000 /* that are looked at */
#define SAME_TIME 5000   /* ms; of a change of status and the event about it */

PG_FUNCTION_INFO_V1(check_health);

static void
report(Report *out, const char *name, bool ok, const char *detail)
{
	Datum values[3] = {CStringGetTextDatum(name), BoolGetDatum(ok), (Datum) 0};
	bool nulls[3] = {false, false, detail == NULL};

	if (detail != NULL)
		values[2] = CStringGetTextDatum(detail);
	tuplestore_putvalues(out->tuples, out->descriptor, values, nulls);
}

static bool
setting_is(const char *name, const char *value)
{
	const char *setting = GetConfigOption(name, true, false);

	return setting != NULL && strcmp(setting, value) == 0;
}

/* Are bind parameters, which may be secrets, written to the log? */
static bool
parameters_are_logged(void)
{
	bool statements = setting_is("log_statement", "all") ||
					  !setting_is("log_min_duration_statement", "-1") ||
					  !setting_is("log_min_duration_sample", "-1");

	return statements && !setting_is("log_parameter_max_length", "0");
}

/* How many of these events put an end to a connection of the connector that still is so */
static int
count_ended(const char *connector_id, const PastEvent *events, int n_events)
{
	int ended = 0;

	for (int i = 0; i < n_events; i++)
	{
		Connection connection = {0};

		if (strcmp(events[i].connector_id, connector_id) == 0 &&
			store_read_connection(events[i].app_user, connector_id, events[i].connection_name,
								  GetLatestSnapshot(), &connection) &&
			connection.reconnect_required && connection.refresh_token != NULL &&
			connection.status_since <= events[i].occurred_at &&
			!TimestampDifferenceExceeds(connection.status_since, events[i].occurred_at, SAME_TIME))
			ended++;
	}
	return ended;
}

/* Many that ended together may have ended by mistake; NULL: not so many. */
static const char *
mass_end(const char *connector_id, const PastEvent *events, int n_events)
{
	int ended = count_ended(connector_id, events, n_events);

	if (ended < MASS_END || store_count_renewed(connector_id, ended) >= ended)
		return NULL;
	return psprintf("%d connections, more than half, have become reconnect_required within an "
					"hour. If the provider was out of order, or the client was wrong, mend that "
					"and call retry_connections().",
					ended);
}

/*
 * Is it for an admin to act on?  Nobody has connected since, and it befell several people,
 * or there is nobody yet with whom it went well: then it is being set up.
 */
static bool
is_pending(const char *connector_id, const LastFailure *failure)
{
	if (strcmp(failure->event, "connect_failed") != 0 || failure->is_over)
		return false;
	return failure->n_people >= MANY_PEOPLE ||
		   (!failure->went_well_before && store_count_renewed(connector_id, 1) == 0);
}

static const char *
failure_text(const LastFailure *failure)
{
	const char *people = failure->n_people == 0 ? ""
						 : failure->n_people == 1
							 ? " of 1 person"
							 : psprintf(" of %d people within an hour", failure->n_people);

	return psprintf("Last failure: %s%s, at %s: %s.", failure->event, people,
					timestamptz_to_str(failure->occurred_at),
					failure->detail != NULL ? failure->detail : "no more is known");
}

/* What is wrong with it; NULL: nothing */
static const char *
connector_problem(const char *connector_id, Connector *connector, const PastEvent *ends, int n_ends)
{
	if (!connector_open(connector))
		return "It was changed outside update_connector(); call it with everything but the name "
			   "given anew.";
	if (!TIMESTAMP_IS_NOEND(connector->stopped_at))
		return psprintf("It is stopped (%s); correct it with update_connector().",
						connector->stopped_reason ? connector->stopped_reason : "");
	return mass_end(connector_id, ends, n_ends);
}

static void
report_connectors(Report *out)
{
	int count;
	char **ids = store_connector_ids(&count);
	int n_ends;
	PastEvent *ends = store_events_since(
		"reconnect_required", GetCurrentTimestamp() - USECS_PER_HOUR, MAX_EVENTS, &n_ends);

	for (int i = 0; i < count; i++)
	{
		Connector *connector = connector_find(ids[i]);
		LastFailure failure;
		const char *problem;
		const char *detail;
		bool ok;

		if (connector == NULL)
			continue;
		detail = problem = connector_problem(ids[i], connector, ends, n_ends);
		ok = problem == NULL;
		if (store_last_failure(ids[i], &failure))
		{
			ok &= !is_pending(ids[i], &failure);
			detail = psprintf("%s%s%s", problem ? problem : "", problem ? " " : "",
							  failure_text(&failure));
		}
		report(out, psprintf("connector %s", ids[i]), ok, detail);
	}
	/* no foreign key sees to it: a restore of some tables may leave such ones */
	for (char *id = store_connector_with_connections(""); id != NULL;
		 id = store_connector_with_connections(id))
		if (connector_find(id) == NULL)
			report(out, psprintf("connector %s", id), false,
				   "There are connections of it, but no such connector. Restore the table "
				   "appuser_connectors.registered_connectors, or register it again as it was.");
}

/* Nothing breaks at once; a provider may have moved, though. */
static void
report_definitions(Report *out)
{
	int count;
	OlderCopy *copies = store_older_copies(&count);

	for (int i = 0; i < count; i++)
		report(out, psprintf("definition of connector %s", copies[i].connector_id),
			   !copies[i].built_in,
			   psprintf("Its copy of the definition of \"%s\" is not the one in force; they differ "
						"in %s. update_connector(%s, provider => %s) takes that over.",
						copies[i].provider, copies[i].members,
						quote_literal_cstr(copies[i].connector_id),
						quote_literal_cstr(copies[i].provider)));
}

/* True: connectors can be opened. */
static bool
report_root_key(Report *out)
{
	KeyProblem problem;
	bool has_key = keyring_available();
	bool failed = keyring_problem(&problem);
	const char *detail = NULL;
	int n_connectors;
	bool fits;

	/* the first data key is made with what is registered first */
	(void) store_connector_ids(&n_connectors);
	fits = has_key && (n_connectors == 0 || keyring_fits());
	if (has_key && !fits)
		detail = "It is another than the one that this database was used with: point root_key_file "
				 "or root_key_command to that one, and reload. Or a row of encryption_keys is "
				 "missing or altered: restore that table from a backup.";
	else if (has_key && failed)
		detail = psprintf("The one in force was read before, and is gone when the server is "
						  "restarted: now %s. %s",
						  problem.detail, problem.hint);
	else if (failed)
		detail = psprintf("There is none: %s. %s", problem.detail, problem.hint);
	else if (!has_key)
		detail = "The launcher has not read it yet; the server log may say why.";
	report(out, "root key", detail == NULL, detail);
	return fits;
}

Datum
check_health(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Report out;
	InstallationState state;
	CatCList *members;
	Oid owner = get_role_oid(STORE_OWNER, false);
	bool has_key;

	shared_state_require_preload();
	InitMaterializedSRF(fcinfo, 0);
	out.tuples = result->setResult;
	out.descriptor = result->setDesc;

	has_key = report_root_key(&out);
	if (RecoveryInProgress())
		report(&out, "worker", true, "None on a standby.");
	else
		report(&out, "worker", roster_has_worker(MyDatabaseId),
			   roster_has_worker(MyDatabaseId)
				   ? NULL
				   : "None is running; see the server log, and max_worker_processes.");

	state = installation_state();
	report(&out, "installation", state == INSTALLATION_OURS || state == INSTALLATION_MISSING,
		   state == INSTALLATION_OURS      ? NULL
		   : state == INSTALLATION_MISSING ? "Nothing has been registered yet."
		   : state == INSTALLATION_COPY    ? "A copy: no calls to providers before "
											 "adopt_installation()."
										   : "provider_calls is off.");

	members = SearchSysCacheList1(AUTHMEMROLEMEM, ObjectIdGetDatum(owner));
	report(&out, "owner role", members->n_members == 0 && !has_bypassrls_privilege(owner),
		   members->n_members != 0 ? "It has members, who can read sealed rows and pass by the "
									 "functions; revoke them."
		   : has_bypassrls_privilege(owner)
			   ? "It has BYPASSRLS or SUPERUSER, so that row security does not bind the "
				 "extension's own statements; take that away."
			   : NULL);
	ReleaseSysCacheList(members);

	report(&out, "log: bind parameters", !parameters_are_logged(),
		   parameters_are_logged()
			   ? "Statements are logged with their parameters, among them codes and client "
				 "secrets that callers pass; set log_parameter_max_length = 0 for those roles, or "
				 "use file: references."
			   : NULL);
	report(&out, "log: parameters of errors", setting_is("log_parameter_max_length_on_error", "0"),
		   setting_is("log_parameter_max_length_on_error", "0")
			   ? NULL
			   : "log_parameter_max_length_on_error writes the parameters of failed statements to "
				 "the log; set it to 0 for the roles that pass secrets.");
	report(&out, "allow_insecure_loopback", !guc_allow_insecure_loopback,
		   guc_allow_insecure_loopback ? "For development only." : NULL);
	report(&out, "allow_session_identity", !guc_allow_session_identity,
		   guc_allow_session_identity ? "A pooler can hand an app user to another client." : NULL);
	report(&out, "trust_request_jwt_claims", !guc_trust_request_jwt_claims,
		   guc_trust_request_jwt_claims
			   ? "Whoever can send SQL in such a session can be any app user."
			   : NULL);
	if (has_key && state != INSTALLATION_MISSING)
		report_connectors(&out);
	report_definitions(&out);
	return (Datum) 0;
}
