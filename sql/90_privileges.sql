-- Every function is taken from PUBLIC and given to the roles of the design.
-- session_app_user() is for row security, which runs it as the querying role.

DO $$
DECLARE
	function_oid pg_catalog.regprocedure;
BEGIN
	FOR function_oid IN SELECT oid FROM pg_catalog.pg_proc
		WHERE pronamespace OPERATOR(pg_catalog.=) 'appuser_connectors'::pg_catalog.regnamespace::pg_catalog.oid
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', function_oid);
	END LOOP;
END
$$;

GRANT EXECUTE ON FUNCTION
	appuser_connectors.register_provider(text, jsonb),
	appuser_connectors.register_connector(text, text, text, text[], text[], text, text, jsonb, jsonb),
	appuser_connectors.update_connector(text, text, text, text, text[], text[], text, jsonb, jsonb),
	appuser_connectors.delete_connector(text),
	appuser_connectors.adopt_installation(),
	appuser_connectors.installation_status(),
	appuser_connectors.provider_call_stats()
	TO appuser_connectors_admin;

GRANT EXECUTE ON FUNCTION
	appuser_connectors.set_app_user(text, boolean),
	appuser_connectors.current_app_user_connection(text, text, text[], interval, text),
	appuser_connectors.app_user_connection(text, text, text, text[], interval, text),
	appuser_connectors.erase_app_user(text)
	TO appuser_connectors_service;

GRANT EXECUTE ON FUNCTION
	appuser_connectors.current_app_user(),
	appuser_connectors.connect_app_user(text, text, text, text, text[], jsonb, text),
	appuser_connectors.oauth_callback(text, text, text, text, text, jsonb, text, text),
	appuser_connectors.disconnect_app_user(text, text),
	appuser_connectors.app_user_connections()
	TO appuser_connectors_service, appuser_connectors_user;

GRANT EXECUTE ON FUNCTION appuser_connectors.session_app_user() TO appuser_connectors_owner;
