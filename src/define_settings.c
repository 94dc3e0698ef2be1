/*
 * define_settings.c
 *	  The settings appuser_connectors.*: unit, range, default, and who may change them.
 *
 * Those that decide where secrets may go or who may be believed are superuser
 * only and take effect on reload; a session may change only how long it waits.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "base/settings.h"
#include "base/url.h"
#include "define_settings.h"
#include "http/http.h"

static bool check_allowed_networks(char **newval, void **extra, GucSource source);
static bool check_allowed_hosts(char **newval, void **extra, GucSource source);
static bool check_proxy(char **newval, void **extra, GucSource source);
static bool check_no_proxy(char **newval, void **extra, GucSource source);

/*
 * Called once, from _PG_init.  Each with unit, range, default and when to
 * change it.
 */
void
define_settings(void)
{
	/* path; changing it while running: pg_reload_conf() reads the key anew */
	DefineCustomStringVariable("appuser_connectors.root_key_file",
							   "File that holds the root key, 64 hexadecimal digits.",
							   "Owned by the server's user or root, mode 0640 or stricter, outside "
							   "the data directory. Set this or root_key_command.",
							   &guc_root_key_file, "", PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY | GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);

	/* for a key management service: run by the launcher alone */
	DefineCustomStringVariable("appuser_connectors.root_key_command",
							   "Command that prints the root key, 64 hexadecimal digits.",
							   "Run by the launcher at start and on reload, never by a session.",
							   &guc_root_key_command, "", PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY | GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);

	/* off before a disk snapshot of a running cluster is started as a copy: nothing
	 * else tells it from the original */
	DefineCustomBoolVariable(
		"appuser_connectors.provider_calls", "Whether providers are called at all.",
		"Off: tokens that are still valid are served, nothing is sent.", &guc_provider_calls, true,
		PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);

	DefineCustomBoolVariable("appuser_connectors.allow_insecure_loopback",
							 "Allows providers on loopback addresses, by http too.",
							 "For development and tests.", &guc_allow_insecure_loopback, false,
							 PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);

	/* for a provider inside one's own network, such as a self-hosted GitLab */
	DefineCustomStringVariable("appuser_connectors.allowed_networks",
							   "Private addresses that providers may be on, as a list of CIDRs.",
							   NULL, &guc_allowed_networks, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   check_allowed_networks, NULL, NULL);

	/* for one whose address changes, or that is alone in a large network */
	DefineCustomStringVariable(
		"appuser_connectors.allowed_hosts",
		"Hosts of providers that may be on private addresses, as a list of names.",
		"By https only, and never on loopback, link-local or metadata addresses.",
		&guc_allowed_hosts, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_allowed_hosts, NULL, NULL);

	/* for a provider with a private certificate authority */
	DefineCustomStringVariable("appuser_connectors.ca_file",
							   "Certificate authorities to accept besides the system's.", NULL,
							   &guc_ca_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);

	/* where this server reaches the internet by a proxy only */
	DefineCustomStringVariable(
		"appuser_connectors.proxy", "Proxy that providers are called through.",
		"A URL such as http://proxy.example:3128, or file:NAME for one with a password.",
		&guc_proxy, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_proxy, NULL, NULL);

	/* for providers inside one's own network */
	DefineCustomStringVariable("appuser_connectors.no_proxy",
							   "Hosts, domains and networks that are called without the proxy.",
							   NULL, &guc_no_proxy, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   check_no_proxy, NULL, NULL);

	DefineCustomIntVariable(
		"appuser_connectors.connect_timeout", "How long connecting to a provider may take.", NULL,
		&guc_connect_timeout, 5000, 100, 60000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);

	/* longer helps slow providers; a waiting caller gives up at wait_timeout */
	DefineCustomIntVariable("appuser_connectors.request_timeout",
							"How long one call to a provider may take.", NULL, &guc_request_timeout,
							20000, 100, 300000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable(
		"appuser_connectors.wait_timeout", "How long a caller waits for a provider's answer.",
		"The call to the provider is finished and kept all the same.", &guc_wait_timeout, 25000, 1,
		600000, PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);

	/* less than what pg_ctl (-t), systemd (TimeoutStopSec) or Kubernetes
	 * (terminationGracePeriodSeconds) give the whole server to stop */
	DefineCustomIntVariable(
		"appuser_connectors.shutdown_timeout",
		"How long a worker that is told to end waits for answers of providers.",
		"Nothing new is sent meanwhile. An answer may be the only copy of a rotated token.",
		&guc_shutdown_timeout, 10000, 0, 600000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable("appuser_connectors.max_concurrent_requests",
							"Calls to providers under way at once in a database.", NULL,
							&guc_max_concurrent_requests, 256, 1, 4096, PGC_SIGHUP, 0, NULL, NULL,
							NULL);

	/* so that one slow provider cannot take all of them */
	DefineCustomIntVariable("appuser_connectors.max_concurrent_requests_per_connector",
							"Calls under way at once for one connector.", NULL,
							&guc_max_concurrent_requests_per_connector, 32, 1, 4096, PGC_SIGHUP, 0,
							NULL, NULL, NULL);

	/* at most 20 % of a token's lifetime is used, whatever this says */
	DefineCustomIntVariable("appuser_connectors.refresh_margin",
							"Upper bound of how long before expiry a token is renewed.", NULL,
							&guc_refresh_margin, 300, 1, 86400, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL,
							NULL);

	DefineCustomIntVariable("appuser_connectors.authorization_lifetime",
							"How long a person may take at the provider's pages.", NULL,
							&guc_authorization_lifetime, 900, 1, 3600, PGC_SIGHUP, GUC_UNIT_S, NULL,
							NULL, NULL);

	DefineCustomIntVariable("appuser_connectors.event_retention",
							"How long connection events are kept.", NULL, &guc_event_retention,
							30 * 24 * 60, 1, 10 * 366 * 24 * 60, PGC_SIGHUP, GUC_UNIT_MIN, NULL,
							NULL, NULL);

	DefineCustomStringVariable("appuser_connectors.secrets_directory",
							   "Directory that 'file:NAME' references of secrets point into.",
							   "Empty: references are refused.", &guc_secrets_directory, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);

	/* a pooler in session mode could hand the identity to another client */
	DefineCustomBoolVariable("appuser_connectors.allow_session_identity",
							 "Accepts is_local => false: an app user for the whole session.", NULL,
							 &guc_allow_session_identity, false, PGC_SUSET, 0, NULL, NULL, NULL);

	/* safe only where clients cannot send SQL */
	DefineCustomBoolVariable("appuser_connectors.trust_request_jwt_claims",
							 "Takes the app user from request.jwt.claims, as PostgREST sets it.",
							 "Only where no client can send SQL of its own.",
							 &guc_trust_request_jwt_claims, false, PGC_SUSET, 0, NULL, NULL, NULL);

	MarkGUCPrefixReserved("appuser_connectors");
}

static bool
check_allowed_networks(char **newval, void **extra, GucSource source)
{
	if (http_valid_networks(*newval))
		return true;
	GUC_check_errdetail("It is a comma-separated list of CIDRs such as \"10.1.0.0/16, fd00::/8\".");
	return false;
}

static bool
check_allowed_hosts(char **newval, void **extra, GucSource source)
{
	if (http_valid_hosts(*newval))
		return true;
	GUC_check_errdetail("It is a comma-separated list of host names such as "
						"\"git.corp.example\"; addresses belong into "
						"appuser_connectors.allowed_networks.");
	return false;
}

/*
 * A password is not to be in a setting: that stands in postgresql.conf or
 * postgresql.auto.conf, and so in each base backup, and the server log tells each change.
 */
static bool
check_proxy(char **newval, void **extra, GucSource source)
{
	const char *problem;

	if (**newval == '\0' || strncmp(*newval, "file:", 5) == 0)
		return true;
	problem = url_proxy_problem(*newval, false);
	if (problem == NULL)
		return true;
	/* PostgreSQL would start without the setting, and calls would go past the proxy */
	if (process_shared_preload_libraries_in_progress)
	{
		ereport(WARNING, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						  errmsg("invalid value for parameter \"appuser_connectors.proxy\": no "
								 "provider will be called"),
						  errdetail("%s", problem)));
		return true;
	}
	/* which does not show it */
	GUC_check_errmsg("invalid value for parameter \"appuser_connectors.proxy\"");
	GUC_check_errdetail("%s", problem);
	GUC_check_errhint("It is a URL such as http://proxy.example:3128, or file:NAME if there is a "
					  "user name and password: the whole URL then stands in the file, in the "
					  "directory \"proxies\" of appuser_connectors.secrets_directory.");
	return false;
}

static bool
check_no_proxy(char **newval, void **extra, GucSource source)
{
	if (http_valid_exceptions(*newval))
		return true;
	GUC_check_errdetail("It is a comma-separated list of host names, domains, addresses and CIDRs "
						"such as \"git.corp.example, .internal, 10.0.0.0/8\".");
	return false;
}
