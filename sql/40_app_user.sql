-- For the app user, through the frontend's or the backend's role.

CREATE FUNCTION appuser_connectors.connect_app_user(
	connector_id text, connection_name text DEFAULT 'default', redirect_uri text DEFAULT NULL,
	return_to text DEFAULT NULL, scopes text[] DEFAULT NULL, connection_config jsonb DEFAULT NULL,
	browser_binding text DEFAULT NULL)
RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'connect_app_user';
COMMENT ON FUNCTION appuser_connectors.connect_app_user(text, text, text, text, text[], jsonb, text) IS
'Begins a connection (authorization code flow with PKCE, RFC 6749 §4.1, RFC 7636) and returns the URL to send the browser to; commit before the browser comes back. scopes: more than the connector''s. connection_config: only fields that are declared as the app user''s. browser_binding: a random value that is also in an HttpOnly cookie; the flow is then finished only with it. Errors: 28000, UC006, UC004, UC008, 22023 redirect_uri, return_to or a field not allowed, 54000 too large.';

CREATE FUNCTION appuser_connectors.oauth_callback(
	state text, code text DEFAULT NULL, iss text DEFAULT NULL, error text DEFAULT NULL,
	error_description text DEFAULT NULL, params jsonb DEFAULT NULL, redirect_uri text DEFAULT NULL,
	browser_binding text DEFAULT NULL,
	OUT connector_id text, OUT app_user text, OUT connection_name text, OUT return_to text, OUT failure text)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1
AS 'MODULE_PATHNAME', 'oauth_callback';
COMMENT ON FUNCTION appuser_connectors.oauth_callback(text, text, text, text, text, jsonb, text, text) IS
'Finishes a connection with what the browser brought back; the worker exchanges the code and stores the tokens by itself, whatever becomes of the caller''s transaction. failure is NULL on success, else the provider''s error code or issuer_mismatch, invalid_response, provider_unavailable, connector_misconfigured, invalid_id_token, other_account; nothing was stored then. Loaded again within a minute it returns the same row. Errors: UC005 unknown, used, expired or another person''s state; UC003 no answer within wait_timeout (it is finished all the same, unless DETAIL says that nothing was sent); 25001 in the transaction of connect_app_user; UC007.';

CREATE FUNCTION appuser_connectors.disconnect_app_user(connector_id text, connection_name text DEFAULT 'default')
RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'disconnect_app_user';
COMMENT ON FUNCTION appuser_connectors.disconnect_app_user(text, text) IS
'Removes the app user''s connection and, after commit, revokes its tokens at the provider (RFC 7009); also ends a callback that is on its way. False when there was nothing to disconnect. Errors: 28000, UC006, UC007 on a standby.';

CREATE FUNCTION appuser_connectors.app_user_connections(
	OUT connector_id text, OUT connection_name text, OUT provider text, OUT name text, OUT status text,
	OUT status_reason text, OUT account text, OUT account_name text, OUT scopes text[], OUT missing_scopes text[],
	OUT scopes_assumed boolean,	OUT connected_at timestamptz, OUT updated_at timestamptz, OUT expires_at timestamptz,
	OUT reconnect_by timestamptz)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 20
AS 'MODULE_PATHNAME', 'app_user_connections';
COMMENT ON FUNCTION appuser_connectors.app_user_connections() IS
'Every connector with the app user''s connections; status is not_connected, connected, failing (the provider does not answer; retried), reconnect_required or connector_stopped; reconnect_by is when the grant ends, where that is known. Error: 28000.';
