--
-- The errors a caller can act on: SQLSTATE, message, detail and hint of each
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set prelude :abs_srcdir '/sql/prelude.psql'
\i :prelude
SET search_path = appuser_connectors;
SET ROLE regress_admin;
SELECT register_provider('errors', :'definition');
SELECT register_connector('errors', 'app', 'app secret: 100%+/&=', '{openid,read}', '{http://127.0.0.1:7999/callback}');
SET ROLE regress_service;

-- 28000: nobody said who is asking
SELECT pg_temp.refusal($$SELECT * FROM appuser_connectors.current_app_user_connection('errors')$$);

-- UC001: not connected; the same for whoever exists and whoever does not
SELECT pg_temp.refusal($$SELECT * FROM appuser_connectors.app_user_connection('alice', 'errors')$$);
SELECT pg_temp.refusal($$SELECT * FROM appuser_connectors.app_user_connection('alice', 'errors', 'work')$$);

-- UC006: no such connector
SELECT pg_temp.refusal($$SELECT * FROM appuser_connectors.app_user_connection('alice', 'eror')$$);
BEGIN;
SELECT set_app_user('alice');
SELECT pg_temp.refusal($$SELECT appuser_connectors.connect_app_user('eror')$$);
SELECT pg_temp.refusal($$SELECT appuser_connectors.disconnect_app_user('eror')$$);

-- 22023, 22004: arguments
SELECT statement, pg_temp.refusal('SELECT ' || statement) FROM unnest(ARRAY[
	$$appuser_connectors.connect_app_user(NULL)$$,
	$$appuser_connectors.connect_app_user('errors', NULL)$$,
	$$appuser_connectors.connect_app_user('errors', '')$$,
	$$appuser_connectors.connect_app_user('errors', repeat('x', 1000))$$,
	$$appuser_connectors.connect_app_user('errors', redirect_uri => 'https://evil.example/cb')$$,
	$$appuser_connectors.connect_app_user('errors', redirect_uri => '')$$,
	$$appuser_connectors.connect_app_user('errors', return_to => 'https://evil.example/')$$,
	$$appuser_connectors.connect_app_user('errors', return_to => '//evil.example/')$$,
	$$appuser_connectors.connect_app_user('errors', return_to => '/\evil.example/')$$,
	$$appuser_connectors.connect_app_user('errors', return_to => 'javascript:alert(1)')$$,
	$$appuser_connectors.connect_app_user('errors', return_to => '')$$,
	$$appuser_connectors.connect_app_user('errors', scopes => '{NULL}')$$,
	$$appuser_connectors.connect_app_user('errors', connection_config => '[]')$$,
	$$appuser_connectors.connect_app_user('errors', browser_binding => 'short')$$,
	$$appuser_connectors.disconnect_app_user(NULL)$$,
	$$appuser_connectors.disconnect_app_user('errors', NULL)$$,
	$$* FROM appuser_connectors.current_app_user_connection(NULL)$$,
	$$* FROM appuser_connectors.current_app_user_connection('errors', NULL)$$,
	$$* FROM appuser_connectors.app_user_connection(NULL, 'errors')$$,
	$$* FROM appuser_connectors.app_user_connection('', 'errors')$$,
	$$* FROM appuser_connectors.app_user_connection(repeat('x', 513), 'errors')$$,
	$$appuser_connectors.erase_app_user(NULL)$$,
	$$appuser_connectors.erase_app_user('')$$,
	$$* FROM appuser_connectors.oauth_callback('x', params => '[]')$$]) AS statement;
ROLLBACK;

-- UC005: a state that is missing, not ours, or altered: one and the same answer
BEGIN;
SELECT set_app_user('alice');
SELECT connect_app_user('errors') AS url \gset
COMMIT;
SELECT substring(:'url' FROM 'state=([^&]*)') AS state \gset
SELECT pg_temp.refusal(format('SELECT * FROM appuser_connectors.oauth_callback(%L, code => %L)', state, 'x'))
FROM unnest(ARRAY[NULL, '', 'x', repeat('A', 100), repeat('A', 5000), 'Ü' || :'state', :'state' || 'AAAA',
	substr(:'state', 1, length(:'state') - 4), overlay(:'state' PLACING 'zzzz' FROM 5), overlay(:'state' PLACING '____' FROM 80)]) AS state;
-- somebody else's, even with everything else right; after that it is there for her
BEGIN;
SELECT set_app_user('bob');
SELECT pg_temp.refusal(format('SELECT * FROM appuser_connectors.oauth_callback(%L, code => %L)', :'state', 'x'));
SELECT set_app_user('alice');
SELECT pg_temp.refusal(format('SELECT * FROM appuser_connectors.oauth_callback(%L, code => %L)', :'state', 'x'));
ROLLBACK;

-- 25001: the flow of a transaction that is still open
BEGIN;
SELECT set_app_user('alice');
SELECT connect_app_user('errors') AS url \gset
SELECT substring(:'url' FROM 'state=([^&]*)') AS state \gset
SELECT pg_temp.refusal(format('SELECT * FROM appuser_connectors.oauth_callback(%L, code => %L)', :'state', 'x'));
COMMIT;

-- UC003: the provider does not answer in the time the caller has; it goes on without
BEGIN;
SELECT set_app_user('alice');
SELECT connect_app_user('errors') AS url \gset
COMMIT;
\set params `:login :'url' alice`
SET appuser_connectors.wait_timeout = '1ms';
BEGIN;
SELECT set_app_user('alice');
SELECT regexp_replace(pg_temp.refusal(format('SELECT * FROM appuser_connectors.oauth_callback(NULL, params => %L)', :'params')),
	'detail: [^\n]*', 'detail: whether it goes on') AS refusal;
ROLLBACK;
RESET appuser_connectors.wait_timeout;
-- should the worker not have come to it
BEGIN;
SELECT set_app_user('alice');
SELECT left(pg_temp.refusal(format('SELECT * FROM appuser_connectors.oauth_callback(NULL, params => %L)', :'params')), 0) AS again;
COMMIT;
SET ROLE none;
DO $$
BEGIN
	FOR i IN 1 .. 600 LOOP
		EXIT WHEN EXISTS (SELECT FROM appuser_connectors.connections WHERE connector_id = 'errors');
		PERFORM pg_sleep(0.05);
	END LOOP;
END $$;
SET ROLE regress_service;
SELECT erase_app_user('alice');

-- UC004: the connector was changed by SQL
SET ROLE none;
UPDATE connectors SET client_id = 'other' WHERE connector_id = 'errors';
SET ROLE regress_service;
BEGIN;
SELECT set_app_user('alice');
SELECT pg_temp.refusal($$SELECT appuser_connectors.connect_app_user('errors')$$);
ROLLBACK;
SET ROLE none;
UPDATE connectors SET client_id = 'app' WHERE connector_id = 'errors';
-- or the provider has refused its client
UPDATE connectors SET stopped_at = now(), stopped_reason = 'invalid_client' WHERE connector_id = 'errors';
SET ROLE regress_service;
BEGIN;
SELECT set_app_user('alice');
SELECT pg_temp.refusal($$SELECT appuser_connectors.connect_app_user('errors')$$);
ROLLBACK;
SET ROLE none;
UPDATE connectors SET stopped_at = NULL, stopped_reason = NULL WHERE connector_id = 'errors';

-- rows are put in by hand from here on, which makes the database no copy
ALTER TABLE installation DISABLE TRIGGER note_restored_rows;
ALTER TABLE connections DISABLE TRIGGER note_restored_rows;

-- UC002, with the reason; XX001 for a row that is not what was stored
INSERT INTO connections SELECT 'alice', 'errors', 'default', gen_random_uuid(), 1, 'reconnect_required', 'invalid_grant',
	now(), NULL, NULL, 'Bearer', '{read}', '{read}', NULL, now(), now(), now() + '1 hour', NULL, 0, NULL, 0, 'x', client_secret, NULL
FROM registered_connectors WHERE connector_id = 'errors';
SET ROLE regress_service;
SELECT pg_temp.refusal($$SELECT * FROM appuser_connectors.app_user_connection('alice', 'errors')$$);
SET ROLE none;
UPDATE connections SET status = 'connected' WHERE connector_id = 'errors';
SET ROLE regress_service;
SELECT pg_temp.refusal($$SELECT * FROM appuser_connectors.app_user_connection('alice', 'errors', required_scopes => '{write,admin,read}')$$);
SELECT pg_temp.refusal($$SELECT * FROM appuser_connectors.app_user_connection('alice', 'errors')$$);

-- UC009: the row that says whose data this is says it is another cluster's
SET ROLE none;
UPDATE connections SET refresh_at = NULL, expires_at = now() - interval '1 second' WHERE connector_id = 'errors';
UPDATE installation SET system_identifier = system_identifier + 1;
SET ROLE regress_service;
SELECT pg_temp.refusal($$SELECT * FROM appuser_connectors.app_user_connection('alice', 'errors')$$);
SET ROLE none;
UPDATE installation SET system_identifier = system_identifier - 1;
UPDATE connections SET expires_at = now() + interval '1 hour' WHERE connector_id = 'errors';

-- UC008: the data key is gone, or the row that names the installation; asked in
-- other sessions, since a key is kept once it was opened
CREATE TABLE public.regress_kept_keys AS TABLE encryption_keys;
CREATE TABLE public.regress_kept_installation AS TABLE installation;
DELETE FROM encryption_keys;
\c -
\set prelude :abs_srcdir '/sql/prelude.psql'
\i :prelude
SELECT regexp_replace(pg_temp.refusal($$SELECT * FROM appuser_connectors.app_user_connection('alice', 'errors')$$), 'key \d+', 'key N');
SELECT regexp_replace(pg_temp.refusal($$SELECT appuser_connectors.update_connector('errors', provider => 'errors', client_secret => 's')$$), 'key \d+', 'key N');
INSERT INTO appuser_connectors.encryption_keys SELECT key_id, state, set_byte(wrapped_key, 40, (get_byte(wrapped_key, 40) + 1) % 256), created_at FROM public.regress_kept_keys;
SELECT regexp_replace(pg_temp.refusal($$SELECT * FROM appuser_connectors.app_user_connection('alice', 'errors')$$), 'key \d+', 'key N');
DELETE FROM appuser_connectors.encryption_keys;
INSERT INTO appuser_connectors.encryption_keys SELECT * FROM public.regress_kept_keys;
DELETE FROM appuser_connectors.installation;
\c -
\set prelude :abs_srcdir '/sql/prelude.psql'
\i :prelude
SELECT pg_temp.refusal($$SELECT * FROM appuser_connectors.app_user_connection('alice', 'errors')$$);
INSERT INTO appuser_connectors.installation SELECT * FROM public.regress_kept_installation;
SELECT pg_temp.refusal($$SELECT * FROM appuser_connectors.app_user_connection('alice', 'errors')$$);
DROP TABLE public.regress_kept_keys, public.regress_kept_installation;

ALTER TABLE appuser_connectors.installation ENABLE ALWAYS TRIGGER note_restored_rows;
ALTER TABLE appuser_connectors.connections ENABLE ALWAYS TRIGGER note_restored_rows;

-- UC007 is for servers that do not preload the library, and for standbys: not to be had here
DELETE FROM appuser_connectors.connections WHERE connector_id = 'errors';
SELECT appuser_connectors.delete_connector('errors');
DELETE FROM appuser_connectors.registered_providers WHERE provider = 'errors';
