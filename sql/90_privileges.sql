-- Every function is taken from PUBLIC and given to the roles of the design.
-- session_app_user() is for row security, which runs it as the querying role.
-- What ALTER DEFAULT PRIVILEGES has given to anybody else is taken away as well,
-- from tables too.

DO $$
DECLARE
	command pg_catalog.text;
BEGIN
	FOR command IN
		SELECT pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM %s CASCADE', p.oid::pg_catalog.regprocedure,
								 CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0 THEN 'PUBLIC'
									  ELSE a.grantee::pg_catalog.regrole::pg_catalog.text END)
		FROM pg_catalog.pg_proc AS p,
			 pg_catalog.aclexplode(COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS a
		WHERE p.pronamespace OPERATOR(pg_catalog.=) 'appuser_connectors'::pg_catalog.regnamespace::pg_catalog.oid
		  AND a.grantee OPERATOR(pg_catalog.<>) p.proowner
		UNION ALL
		SELECT pg_catalog.format('REVOKE ALL ON TABLE %s FROM %s CASCADE', c.oid::pg_catalog.regclass,
								 a.grantee::pg_catalog.regrole)
		FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS a
		WHERE c.relnamespace OPERATOR(pg_catalog.=) 'appuser_connectors'::pg_catalog.regnamespace::pg_catalog.oid
		  AND a.grantee OPERATOR(pg_catalog.<>) ALL (ARRAY[0::pg_catalog.oid, c.relowner,
			'appuser_connectors_admin'::pg_catalog.regrole::pg_catalog.oid])
	LOOP
		EXECUTE command;
	END LOOP;
END
$$;

GRANT EXECUTE ON FUNCTION
	appuser_connectors.register_provider(text, jsonb),
	appuser_connectors.delete_provider(text),
	appuser_connectors.register_connector(text, text, text, text[], text[], text, text, jsonb, jsonb),
	appuser_connectors.update_connector(text, text, text, text, text[], text[], text, jsonb, jsonb),
	appuser_connectors.delete_connector(text),
	appuser_connectors.retry_connections(text, text, text),
	appuser_connectors.register_issuer(text, jsonb, text, text, text[], text[], text, interval, text[]),
	appuser_connectors.delete_issuer(text),
	appuser_connectors.adopt_installation(),
	appuser_connectors.installation_status(),
	appuser_connectors.provider_call_stats(),
	appuser_connectors.check_health()
	TO appuser_connectors_admin;

GRANT EXECUTE ON FUNCTION
	appuser_connectors.set_app_user(text, boolean),
	appuser_connectors.current_app_user_connection(text, text, text[], interval, text),
	appuser_connectors.app_user_connection(text, text, text, text[], interval, text),
	appuser_connectors.erase_app_user(text)
	TO appuser_connectors_service;

GRANT EXECUTE ON FUNCTION
	appuser_connectors.authenticate_app_user(text, boolean),
	appuser_connectors.current_app_user(),
	appuser_connectors.connect_app_user(text, text, text, text, text[], jsonb, text),
	appuser_connectors.oauth_callback(text, text, text, text, text, jsonb, text, text),
	appuser_connectors.disconnect_app_user(text, text),
	appuser_connectors.app_user_connections()
	TO appuser_connectors_service, appuser_connectors_user;

GRANT EXECUTE ON FUNCTION appuser_connectors.session_app_user() TO appuser_connectors_owner;

-- all but where the key is
GRANT SELECT (issuer, audiences, algorithms, app_user_template, clock_skew, jwks, jwks_uri, fetched_jwks, fetched_at, token_types,
			  created_at, updated_at)
	ON appuser_connectors.issuers TO appuser_connectors_admin;

-- PostgreSQL refuses whoever may not call a function before that can say who may: its comment does.
DO $$
DECLARE
	command pg_catalog.text;
BEGIN
	FOR command IN
		SELECT pg_catalog.format('COMMENT ON FUNCTION %s IS %L', p.oid::pg_catalog.regprocedure,
								 pg_catalog.format('%s For %s.', pg_catalog.obj_description(p.oid, 'pg_proc'),
								 pg_catalog.string_agg(a.grantee::pg_catalog.regrole::pg_catalog.text, ', '
													   ORDER BY a.grantee::pg_catalog.regrole::pg_catalog.text COLLATE pg_catalog."C")))
		FROM pg_catalog.pg_proc AS p, pg_catalog.aclexplode(p.proacl) AS a
		WHERE p.pronamespace OPERATOR(pg_catalog.=) 'appuser_connectors'::pg_catalog.regnamespace::pg_catalog.oid
		  AND a.grantee OPERATOR(pg_catalog.<>) ALL (ARRAY[p.proowner, 'appuser_connectors_owner'::pg_catalog.regrole::pg_catalog.oid])
		GROUP BY p.oid
	LOOP
		EXECUTE command;
	END LOOP;
END
$$;
