/*
 * settings.h
 *	  The variables of the settings appuser_connectors.*, which define_settings.c
 *	  defines.
 */
#ifndef APPUSER_CONNECTORS_BASE_SETTINGS_H
#define APPUSER_CONNECTORS_BASE_SETTINGS_H

extern char *guc_root_key_file;
extern char *guc_root_key_command;
extern bool guc_provider_calls;
extern bool guc_allow_insecure_loopback;
extern char *guc_allowed_networks;
extern char *guc_allowed_hosts;
extern char *guc_ca_file;
extern char *guc_proxy;
extern char *guc_no_proxy;
extern int guc_connect_timeout;  /* ms */
extern int guc_request_timeout;  /* ms */
extern int guc_wait_timeout;     /* ms */
extern int guc_shutdown_timeout; /* ms */
extern int guc_max_concurrent_requests;
extern int guc_max_concurrent_requests_per_connector;
extern int guc_refresh_margin;         /* s */
extern int guc_authorization_lifetime; /* s */
extern int guc_event_retention;        /* min */
extern char *guc_secrets_directory;
extern bool guc_allow_session_identity;
extern bool guc_trust_request_jwt_claims;

#endif
