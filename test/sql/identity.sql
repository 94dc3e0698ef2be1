--
-- Who the app user is: it behaves as a setting does under SET LOCAL, except that
-- nobody can SET it
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set prelude :abs_srcdir '/sql/prelude.psql'
\i :prelude
SET ROLE regress_service;
SET search_path = appuser_connectors;

-- Nobody at first; that is an error with a hint, not an empty name
SELECT current_app_user();
\echo :LAST_ERROR_SQLSTATE
SELECT pg_temp.refusal(statement) FROM unnest(ARRAY[
	'SELECT * FROM appuser_connectors.app_user_connections()',
	$$SELECT appuser_connectors.connect_app_user('any')$$,
	$$SELECT appuser_connectors.disconnect_app_user('any')$$,
	$$SELECT * FROM appuser_connectors.current_app_user_connection('any')$$]) AS statement;

-- Outside a transaction block it ends with its statement
SELECT set_app_user('alice');
SELECT current_app_user();

-- In one it lasts until the end, whichever that is
BEGIN;
SELECT set_app_user('alice');
SELECT current_app_user();
SELECT set_app_user('bob');
SELECT current_app_user();
COMMIT;
SELECT current_app_user();
BEGIN;
SELECT set_app_user('alice');
ROLLBACK;
SELECT current_app_user();
BEGIN;
SELECT set_app_user('alice');
SELECT 1 / 0;
COMMIT;
SELECT current_app_user();
BEGIN;
SELECT set_app_user('alice');
COMMIT AND CHAIN;
SELECT current_app_user();
ROLLBACK;

-- NULL clears
BEGIN;
SELECT set_app_user('alice');
SELECT set_app_user(NULL);
SELECT current_app_user();
ROLLBACK;

-- A savepoint that is rolled back restores what was before it
BEGIN;
SELECT set_app_user('alice');
SAVEPOINT one;
SELECT set_app_user('bob');
SAVEPOINT two;
SELECT set_app_user('carol');
SELECT set_app_user('dora');
SELECT current_app_user();
ROLLBACK TO two;
SELECT current_app_user();
ROLLBACK TO one;
SELECT current_app_user();
ROLLBACK;

-- one that is released hands over to the level around it
BEGIN;
SELECT set_app_user('alice');
SAVEPOINT one;
SAVEPOINT two;
SELECT set_app_user('bob');
RELEASE two;
SELECT current_app_user();
ROLLBACK TO one;
SELECT current_app_user();
ROLLBACK;
BEGIN;
SAVEPOINT one;
SAVEPOINT two;
SELECT set_app_user('bob');
RELEASE two;
RELEASE one;
SELECT current_app_user();
SAVEPOINT three;
SELECT set_app_user(NULL);
ROLLBACK TO three;
SELECT current_app_user();
COMMIT;
SELECT current_app_user();

-- released after both levels had set one, and rolled back at the outer
BEGIN;
SELECT set_app_user('alice');
SAVEPOINT one;
SELECT set_app_user('bob');
SAVEPOINT two;
SELECT set_app_user('carol');
RELEASE two;
SELECT current_app_user();
ROLLBACK TO one;
SELECT current_app_user();
ROLLBACK;

-- An exception block is a savepoint
BEGIN;
SELECT set_app_user('alice');
DO $$
BEGIN
	BEGIN
		PERFORM appuser_connectors.set_app_user('bob');
		RAISE EXCEPTION 'never mind';
	EXCEPTION WHEN OTHERS THEN
		RAISE NOTICE 'in the handler: %', appuser_connectors.current_app_user();
	END;
	RAISE NOTICE 'after it: %', appuser_connectors.current_app_user();
	BEGIN
		PERFORM appuser_connectors.set_app_user('carol');
	EXCEPTION WHEN OTHERS THEN
		NULL;
	END;
	RAISE NOTICE 'after one that went well: %', appuser_connectors.current_app_user();
END $$;
SELECT current_app_user();
ROLLBACK;

-- An error inside the extension leaves the app user as it was
BEGIN;
SELECT set_app_user('alice');
SELECT pg_temp.refusal($$SELECT appuser_connectors.connect_app_user('no-such-connector')$$);
SELECT current_app_user();
ROLLBACK;

-- An error in the extension's own statement ends whom it acted for, caught or not
RESET ROLE;
BEGIN;
REVOKE SELECT ON registered_connectors FROM appuser_connectors_owner;
SELECT set_app_user('alice');
SELECT pg_temp.refusal('SELECT * FROM appuser_connectors.app_user_connections()');
SELECT set_app_user('bob');
SELECT session_app_user();
SELECT set_app_user('alice');
SELECT * FROM app_user_connections();
ROLLBACK;
SELECT session_app_user();

-- A function is no scope: as SET LOCAL in one, it lasts until the transaction ends
SET ROLE none;
CREATE SCHEMA regress_identity;
GRANT USAGE ON SCHEMA regress_identity TO regress_service;
CREATE FUNCTION regress_identity.act_as(name text) RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog AS $$
BEGIN
	PERFORM appuser_connectors.set_app_user(name);
	RETURN appuser_connectors.current_app_user();
END $$;
-- A procedure that commits loses it as well
CREATE PROCEDURE regress_identity.commits() LANGUAGE plpgsql AS $$
BEGIN
	PERFORM appuser_connectors.set_app_user('alice');
	RAISE NOTICE '%', appuser_connectors.current_app_user();
	COMMIT;
	RAISE NOTICE '%', appuser_connectors.current_app_user();
END $$;
SET ROLE regress_service;
BEGIN;
SELECT regress_identity.act_as('alice');
SELECT current_app_user();
ROLLBACK;
CALL regress_identity.commits();

-- An application's policy follows it, also in a plan that is kept; a deferred trigger
-- still knows it
RESET ROLE;
CREATE TABLE regress_identity.notes (owner text);
INSERT INTO regress_identity.notes VALUES ('alice'), ('bob');
ALTER TABLE regress_identity.notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON regress_identity.notes USING (owner = appuser_connectors.current_app_user());
CREATE FUNCTION regress_identity.tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE 'at commit: %', appuser_connectors.current_app_user();
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER tell AFTER UPDATE ON regress_identity.notes DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION regress_identity.tell();
GRANT SELECT, UPDATE ON regress_identity.notes TO regress_service;
SET ROLE regress_service;
SET plan_cache_mode = force_generic_plan;
PREPARE own AS SELECT * FROM regress_identity.notes;
BEGIN;
SELECT set_app_user('alice');
EXECUTE own;
SELECT set_app_user('bob');
EXECUTE own;
UPDATE regress_identity.notes SET owner = owner;
COMMIT;
EXECUTE own;
DEALLOCATE own;
RESET plan_cache_mode;

-- It is neither role nor setting: changing those changes nothing, and there is none to SET
BEGIN;
SELECT set_app_user('alice');
SET LOCAL ROLE regress_frontend;
SELECT current_app_user();
SELECT set_app_user('bob');
ROLLBACK;
SET appuser_connectors.app_user = 'alice';
SELECT set_config('appuser_connectors.current_app_user', 'alice', false);

-- A long name, an empty one, and one of another alphabet
SELECT pg_temp.refusal(format('SELECT appuser_connectors.set_app_user(%L)', repeat('x', 513)));
SELECT pg_temp.refusal($$SELECT appuser_connectors.set_app_user('')$$);
SELECT pg_temp.refusal($$SELECT appuser_connectors.set_app_user('alice', NULL)$$);
BEGIN;
SELECT set_app_user(repeat('ü', 256));
SELECT length(current_app_user()), octet_length(current_app_user());
ROLLBACK;

-- For the session only where a superuser allows it
SELECT pg_temp.refusal($$SELECT appuser_connectors.set_app_user('alice', is_local => false)$$);
SET appuser_connectors.allow_session_identity = on;
SET ROLE none;
SET appuser_connectors.allow_session_identity = on;
SET ROLE regress_service;
SELECT set_app_user('alice', is_local => false);
SELECT current_app_user();
-- the local one is on top of it for its transaction
BEGIN;
SELECT set_app_user('bob');
SELECT current_app_user();
COMMIT;
SELECT current_app_user();
-- and so is a local nobody
BEGIN;
SELECT set_app_user(NULL);
SELECT current_app_user();
ROLLBACK;
SELECT current_app_user();
BEGIN;
SAVEPOINT one;
SELECT set_app_user(NULL);
ROLLBACK TO one;
SELECT current_app_user();
COMMIT;
-- of the two kinds the later is in force, as with SET and SET LOCAL
BEGIN;
SELECT set_app_user('bob');
SELECT set_app_user('carol', is_local => false);
SELECT current_app_user();
ROLLBACK;
SELECT current_app_user();
BEGIN;
SELECT set_app_user('bob', is_local => false);
SAVEPOINT one;
SELECT set_app_user('carol');
SELECT set_app_user('dora', is_local => false);
ROLLBACK TO one;
SELECT current_app_user();
COMMIT;
SELECT current_app_user();
SELECT set_app_user(NULL, is_local => false);
SELECT current_app_user();
SELECT set_app_user('alice', is_local => false);
-- DISCARD ALL forgets it, as a pooler relies on; DISCARD of less does not
DISCARD PLANS;
SELECT current_app_user();
DISCARD ALL;
SET search_path = appuser_connectors;
SELECT current_app_user();

-- What row security compares with is NULL without an app user, and does not break EXPLAIN
SELECT session_app_user();
EXPLAIN (COSTS OFF) SELECT FROM pg_class WHERE relname::text = session_app_user();
BEGIN;
SELECT set_app_user('alice');
SELECT session_app_user();
ROLLBACK;

SET client_min_messages = warning;
DROP SCHEMA regress_identity CASCADE;
