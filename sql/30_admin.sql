-- For the workspace admin.

CREATE FUNCTION appuser_connectors.register_provider(provider text, definition jsonb)
RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'register_provider';
COMMENT ON FUNCTION appuser_connectors.register_provider(text, jsonb) IS
'Adds or replaces a provider beyond the built-in catalogue; returns its name. A notice says that another definition is replaced, and which connectors keep theirs. definition: an object with names of RFC 8414 metadata (issuer, authorization_endpoint, token_endpoint, revocation_endpoint …) and of the extension''s own (scope_separator, authorization_params, pkce …); see the README. Connectors keep their own copy, so existing ones do not change. Errors: 22023 unknown name or bad value, UC007, UC008.';

CREATE FUNCTION appuser_connectors.delete_provider(provider text)
RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'delete_provider';
COMMENT ON FUNCTION appuser_connectors.delete_provider(text) IS
'Removes what register_provider() was given under this name; false: there was none. One of the catalogue comes forth again; connectors keep their copy. Errors: 22004, UC007.';

CREATE FUNCTION appuser_connectors.register_connector(
	provider text, client_id text, client_secret text, scopes text[], redirect_uris text[],
	connector_id text DEFAULT NULL, name text DEFAULT NULL,
	connection_config jsonb DEFAULT NULL, options jsonb DEFAULT NULL)
RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'register_connector';
COMMENT ON FUNCTION appuser_connectors.register_connector(text, text, text, text[], text[], text, text, jsonb, jsonb) IS
'Registers an OAuth client that the application has at a provider; returns connector_id (default: the provider''s name). Give client_secret as a bind parameter, or as ''file:NAME'' in the directory clients of appuser_connectors.secrets_directory, where the file says to which servers it may be sent; NULL for a public client. The first of redirect_uris is the default. Repeating it identically does nothing. Errors: UC006 no such provider, 42710 connector_id exists with other values, 22023 bad value, UC008 no root key, 58P01 no such file, 55000 others could read or replace the file, 42501 the file does not allow the provider''s URLs.';

CREATE FUNCTION appuser_connectors.update_connector(
	connector_id text,
	provider text DEFAULT NULL, client_id text DEFAULT NULL, client_secret text DEFAULT NULL,
	scopes text[] DEFAULT NULL, redirect_uris text[] DEFAULT NULL, name text DEFAULT NULL,
	connection_config jsonb DEFAULT NULL, options jsonb DEFAULT NULL)
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'update_connector';
COMMENT ON FUNCTION appuser_connectors.update_connector(text, text, text, text, text[], text[], text, jsonb, jsonb) IS
'Changes a connector; NULL leaves a value, '''' or ''{}'' clears it. Naming the provider again takes its current definition from the catalogue. Where that changes the token, refresh or revocation endpoint, or how the client authenticates there (method, body format, headers, names of parameters, token_params, refresh_params, fixed fields in them), or whether it is the sandbox''s, client_secret must be given in the same call, and a changed URL makes existing connections reconnect_required; neither when a built-in definition takes the place of a built-in one of the same provider, or a superuser said so (allow_endpoint_change). Resumes a connector that was stopped. Errors: UC006, 22023, UC008; 42501 client_secret must be given; UC004 when the stored connector was changed by SQL and not everything but the name is given anew.';

CREATE FUNCTION appuser_connectors.allow_endpoint_change(
	connector_id text, token_endpoint text, revocation_endpoint text DEFAULT NULL,
	refresh_endpoint text DEFAULT NULL, long_token_endpoint text DEFAULT NULL)
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'allow_endpoint_change';
COMMENT ON FUNCTION appuser_connectors.allow_endpoint_change(text, text, text, text, text) IS
'For superusers: the provider has moved, and the next update_connector() may take exactly these URLs (all but the first NULL: none), fields in them as the definition writes them but for those that the connector fixes, without the client secret, and with the connections going on. Holds until the connector is next updated; token_endpoint NULL takes it back. Errors: 42501 not a superuser, UC006, UC004 the connector was changed by SQL, 22023.';

CREATE FUNCTION appuser_connectors.delete_connector(connector_id text)
RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'delete_connector';
COMMENT ON FUNCTION appuser_connectors.delete_connector(text) IS
'Deletes a connector with all its connections, of every app user, and queues their tokens for revocation after commit. Returns the number of connections. Error: UC006.';

CREATE FUNCTION appuser_connectors.retry_connections(
	connector_id text, app_user text DEFAULT NULL, reason text DEFAULT NULL)
RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'retry_connections';
COMMENT ON FUNCTION appuser_connectors.retry_connections(text, text, text) IS
'Takes back that people must connect again, where that was a mistake (an outage that looked like refusals, a wrong client_id): connections of the connector that are reconnect_required and still have a refresh token are tried again, spread over up to ten minutes, or at once where one is asked for. app_user: of one person only; reason: those with this status_reason only. Left alone: those whose endpoints are not the connector''s, or whose account changed. What the provider refuses again ends again. Returns how many are tried. Errors: UC006, UC004 the connector was changed by SQL, UC008.';

CREATE FUNCTION appuser_connectors.adopt_installation()
RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'adopt_installation';
COMMENT ON FUNCTION appuser_connectors.adopt_installation() IS
'Says that this database takes the place of the one its data was copied from (restored dump, CREATE DATABASE … TEMPLATE, pg_upgrade, point-in-time recovery): calls to providers begin. Never while the original still runs: they would spend each other''s refresh tokens. False when it was this database''s data already. Error: UC008 when there is no installation row.';

CREATE FUNCTION appuser_connectors.installation_status()
RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'installation_status';
COMMENT ON FUNCTION appuser_connectors.installation_status() IS
'Whose data this is: ours, missing (nothing registered yet), copy (held until adopt_installation()), or switched off (appuser_connectors.provider_calls).';

CREATE FUNCTION appuser_connectors.provider_call_stats(
	OUT kind text, OUT calls bigint, OUT succeeded bigint, OUT refused bigint, OUT unavailable bigint,
	OUT total_time double precision, OUT in_flight bigint)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 4
AS 'MODULE_PATHNAME', 'provider_call_stats';
COMMENT ON FUNCTION appuser_connectors.provider_call_stats() IS
'Calls to providers from this database since the server started, by kind; total_time in milliseconds. Error: UC007 not preloaded.';

CREATE FUNCTION appuser_connectors.check_health(OUT name text, OUT ok boolean, OUT detail text)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 12
AS 'MODULE_PATHNAME', 'check_health';
COMMENT ON FUNCTION appuser_connectors.check_health() IS
'One row a question, false where an admin should act: root key, worker, installation, owner role, settings that log secrets or weaken identity, each connector. Sends nothing. Error: UC007 not preloaded.';
