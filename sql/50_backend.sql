-- For the trusted backend function.

CREATE FUNCTION appuser_connectors.current_app_user_connection(
	connector_id text, connection_name text DEFAULT 'default', required_scopes text[] DEFAULT NULL,
	min_validity interval DEFAULT NULL, rejected_token text DEFAULT NULL,
	OUT access_token text, OUT connection_config jsonb, OUT token_type text, OUT scopes text[],
	OUT expires_at timestamptz)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1
AS 'MODULE_PATHNAME', 'current_app_user_connection';
COMMENT ON FUNCTION appuser_connectors.current_app_user_connection(text, text, text[], interval, text) IS
'The current app user''s access token, refreshed first if it has expired, expires within min_validity, or is rejected_token (one that the API answered 401 to). Errors: 28000, UC001 not connected, UC002 must reconnect or lacks required_scopes, UC003 provider unavailable, UC004, UC006, UC007, UC008, UC009.';

CREATE FUNCTION appuser_connectors.app_user_connection(
	app_user text, connector_id text, connection_name text DEFAULT 'default', required_scopes text[] DEFAULT NULL,
	min_validity interval DEFAULT NULL, rejected_token text DEFAULT NULL,
	OUT access_token text, OUT connection_config jsonb, OUT token_type text, OUT scopes text[],
	OUT expires_at timestamptz)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1
AS 'MODULE_PATHNAME', 'app_user_connection';
COMMENT ON FUNCTION appuser_connectors.app_user_connection(text, text, text, text[], interval, text) IS
'As current_app_user_connection(), for the app user given: for jobs, and to save a round trip. The session''s app user is neither needed nor changed.';

CREATE FUNCTION appuser_connectors.erase_app_user(app_user text)
RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'erase_app_user';
COMMENT ON FUNCTION appuser_connectors.erase_app_user(text) IS
'Removes everything kept about one person, for good: connections (their tokens are revoked after commit), flows under way with what their exchanges bring, events. Returns the number of connections.';
