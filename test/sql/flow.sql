--
-- The whole job, against a real OAuth server: register, connect, use, list,
-- refuse, disconnect
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set prelude :abs_srcdir '/sql/prelude.psql'
\i :prelude
SET search_path = appuser_connectors;

-- The admin, once
SET ROLE regress_admin;
SELECT register_provider('flow', :'definition');
SELECT register_connector('flow', 'app', 'app secret: 100%+/&=', ARRAY['openid', 'email', 'read'],
	ARRAY['http://127.0.0.1:7999/callback'], name => 'The flow', connection_config => '{"region": "eu"}',
	options => '{"connection_config_fields": {"team": {"source": "user", "pattern": "^[0-9]+$"}}}');

-- The frontend: alice presses "connect"
SET ROLE regress_service;
BEGIN;
SELECT set_app_user('alice');
SELECT connector_id, connection_name, name, status, account FROM app_user_connections() WHERE connector_id = 'flow';
SELECT connect_app_user('flow', return_to => '/settings', connection_config => '{"team": "7"}') AS url \gset
COMMIT;
SELECT regexp_replace(:'url', '\?.*', '') = :'definition'::jsonb ->> 'authorization_endpoint' AS goes_to_the_provider;
SELECT split_part(p, '=', 1) AS parameter,
	   CASE WHEN p ~ '^(state|code_challenge|nonce)=' THEN length(split_part(p, '=', 2)) >= 43 END AS is_random
FROM regexp_split_to_table(regexp_replace(:'url', '^[^?]*\?', ''), '&') AS p ORDER BY 1;

-- Alice signs in at the provider and agrees; her browser comes back with this
\set params `:login :'url' alice`
SELECT :'params'::jsonb ->> 'state' AS state, :'params'::jsonb ->> 'code' AS code, :'params'::jsonb ->> 'iss' AS iss \gset
BEGIN;
SELECT set_app_user('alice');
SELECT * FROM oauth_callback(:'state', code => :'code', iss => :'iss');
COMMIT;

-- and the page that did that, reloaded, says the same
BEGIN;
SELECT set_app_user('alice');
SELECT * FROM oauth_callback(:'state', code => :'code', iss => :'iss');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- The backend function: a token that speaks for alice, and what an API needs besides
BEGIN;
SELECT set_app_user('alice');
SELECT access_token <> '' AS has_token, connection_config, lower(token_type) AS token_type,
	   (SELECT array_agg(s ORDER BY s) FROM unnest(scopes) AS s) AS scopes, expires_at > now() AS is_valid
FROM current_app_user_connection('flow');
SELECT access_token FROM current_app_user_connection('flow') \gset
COMMIT;
SELECT access_token = :'access_token' AS the_same_until_it_expires FROM app_user_connection('alice', 'flow');
\setenv TOKEN :access_token
\setenv DEFINITION :definition
\setenv LOGIN :login
\! curl -sS --cacert $(echo "$LOGIN" | sed 's/.*--ca \([^ ]*\).*/\1/') -H "Authorization: Bearer $TOKEN" $(echo "$DEFINITION" | sed 's/.*"userinfo_endpoint": *"\([^"]*\)".*/\1/') | sed 's/.*"email":"\([^"]*\)".*/the token is that of \1\n/'

-- A scope that was not granted is asked for in vain; one that was is not
SELECT count(*) FROM app_user_connection('alice', 'flow', required_scopes => '{read}');
SELECT * FROM app_user_connection('alice', 'flow', required_scopes => '{read,write}');
\echo :LAST_ERROR_SQLSTATE

-- An API that answered 401 is answered with another token, once
SELECT access_token <> :'access_token' AS another FROM app_user_connection('alice', 'flow', rejected_token => :'access_token');
SELECT access_token AS second_token FROM app_user_connection('alice', 'flow') \gset
SELECT access_token = :'second_token' AS not_refreshed_again FROM app_user_connection('alice', 'flow', rejected_token => :'access_token');
SELECT access_token <> :'second_token' AS refreshed_ahead FROM app_user_connection('alice', 'flow', min_validity => '10 years');

-- A second account of hers, through the same connector
BEGIN;
SELECT set_app_user('alice');
SELECT connect_app_user('flow', 'work') AS url \gset
COMMIT;
\set params `:login :'url' alice-at-work --scopes "openid read"`
BEGIN;
SELECT set_app_user('alice');
SELECT * FROM oauth_callback(NULL, params => :'params');
COMMIT;

-- Bob refuses, at the page of consent and at that of login
BEGIN;
SELECT set_app_user('bob');
SELECT connect_app_user('flow') AS url \gset
COMMIT;
\set params `:login :'url' bob --deny`
BEGIN;
SELECT set_app_user('bob');
SELECT * FROM oauth_callback(NULL, params => :'params');
SELECT connect_app_user('flow', return_to => '/again') AS url \gset
COMMIT;
\set params `:login :'url' bob --cancel`
BEGIN;
SELECT set_app_user('bob');
SELECT * FROM oauth_callback(NULL, params => :'params');
SELECT connector_id, connection_name, status FROM app_user_connections() WHERE connector_id = 'flow';
SELECT * FROM current_app_user_connection('flow');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- Carol's browser brings no session of hers back, but the cookie it was given
BEGIN;
SELECT set_app_user('carol');
SELECT connect_app_user('flow', browser_binding => 'a cookie of 16 bytes or more') AS url \gset
COMMIT;
\set params `:login :'url' carol`
SELECT * FROM oauth_callback(NULL, params => :'params', browser_binding => 'a cookie of 16 bytes or more');
BEGIN;
SELECT set_app_user('carol');
SELECT connect_app_user('flow', 'stolen', browser_binding => 'a cookie of 16 bytes or more') AS url \gset
COMMIT;
\set params `:login :'url' carol`
SELECT * FROM oauth_callback(NULL, params => :'params', browser_binding => 'the cookie of somebody else');
\echo :LAST_ERROR_SQLSTATE

-- Whoever is less trusted lists and disconnects, and reads no token
SET ROLE regress_frontend;
SELECT * FROM app_user_connection('alice', 'flow');
SELECT set_app_user('alice');
SET ROLE regress_service;
BEGIN;
SELECT set_app_user('alice');
SET LOCAL ROLE regress_frontend;
SELECT connector_id, connection_name, provider, name, status, status_reason, scopes <> '{}' AS has_scopes,
	   missing_scopes, connected_at <= updated_at AS ordered, expires_at > now() AS is_valid
FROM app_user_connections() WHERE connector_id = 'flow';
SAVEPOINT try;
SELECT * FROM current_app_user_connection('flow');
ROLLBACK TO try;
SELECT disconnect_app_user('flow', 'work');
SELECT disconnect_app_user('flow', 'work');
SELECT disconnect_app_user('flow', 'never');
SELECT connection_name, status FROM app_user_connections() WHERE connector_id = 'flow';
COMMIT;

-- The admin sees everybody's state and nobody's token
SET ROLE regress_admin;
SELECT app_user, connector_id, connection_name, status, failures FROM connection_status WHERE connector_id = 'flow' ORDER BY 1, 3;
SELECT * FROM app_user_connection('alice', 'flow');

-- Everything kept about one person
SET ROLE regress_service;
SELECT erase_app_user('carol');
SELECT erase_app_user('carol');

-- The end: the connections go with their connector
SET ROLE regress_admin;
SELECT delete_connector('flow');
SELECT app_user, connection_name, event, detail FROM connection_events
WHERE connector_id = 'flow' AND app_user <> '' AND event NOT LIKE 'revo%' AND app_user <> 'carol' ORDER BY occurred_at, app_user, event;
SET ROLE none;
-- and with them their tokens, at the provider as well
DO $$
BEGIN
	FOR i IN 1 .. 600 LOOP
		EXIT WHEN NOT EXISTS (SELECT FROM appuser_connectors.revocations WHERE connector_id = 'flow');
		PERFORM pg_sleep(0.05);
	END LOOP;
END $$;
SELECT count(*) AS left_to_revoke FROM revocations WHERE connector_id = 'flow';
\! curl -sS -o /dev/null -w '%{http_code}\n' --cacert $(echo "$LOGIN" | sed 's/.*--ca \([^ ]*\).*/\1/') -H "Authorization: Bearer $TOKEN" $(echo "$DEFINITION" | sed 's/.*"userinfo_endpoint": *"\([^"]*\)".*/\1/')
DELETE FROM registered_providers WHERE provider = 'flow';
DELETE FROM connection_events WHERE connector_id = 'flow';
