/*
 * settings.c
 *	  The variables of the settings appuser_connectors.*.
 *
 * Which settings there are, their units, ranges and who may change them is in
 * define_settings.c; here is only what the others read.
 */
#include "postgres.h"

#include "base/settings.h"

char *guc_root_key_file = NULL;
char *guc_root_key_command = NULL;
bool guc_provider_calls = true;
bool guc_allow_insecure_loopback = false;
char *guc_allowed_networks = NULL;
char *guc_allowed_hosts = NULL;
char *guc_ca_file = NULL;
char *guc_proxy = NULL;
char *guc_no_proxy = NULL;
int guc_connect_timeout = 5000;
int guc_request_timeout = 20000;
int guc_wait_timeout = 25000;
int guc_shutdown_timeout = 10000;
int guc_max_concurrent_requests = 256;
int guc_max_concurrent_requests_per_connector = 32;
int guc_refresh_margin = 300;
int guc_authorization_lifetime = 900;
int guc_event_retention = 30 * 24 * 60;
char *guc_secrets_directory = NULL;
bool guc_allow_session_identity = false;
bool guc_trust_request_jwt_claims = false;
