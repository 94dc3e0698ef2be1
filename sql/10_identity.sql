-- Who the app user of this transaction is: C state of the backend, never a setting.

CREATE FUNCTION appuser_connectors.set_app_user(app_user text, is_local boolean DEFAULT true)
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'set_app_user';
COMMENT ON FUNCTION appuser_connectors.set_app_user(text, boolean) IS
'Says which app user this transaction acts for; for trusted backends. Ends with the transaction (a rolled back savepoint restores what was before); NULL: nobody, also where the session has one. is_local => false keeps it for the session and needs appuser_connectors.allow_session_identity. Errors: 22023 empty or over 512 bytes, 42501 session identity not allowed, or inside a security-restricted operation.';

CREATE FUNCTION appuser_connectors.current_app_user()
RETURNS text
LANGUAGE c STABLE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'current_app_user';
COMMENT ON FUNCTION appuser_connectors.current_app_user() IS
'The app user this transaction acts for. Error: 28000 when there is none.';

CREATE FUNCTION appuser_connectors.session_app_user()
RETURNS text
LANGUAGE c STABLE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'session_app_user';
COMMENT ON FUNCTION appuser_connectors.session_app_user() IS
'What row security compares with: the app user this transaction acts for, NULL when there is none. Never raises, since planning a query executes it.';
