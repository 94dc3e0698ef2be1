--
-- Installing: what CREATE EXTENSION makes, and what it refuses to build on
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS appuser_connectors;
DROP SCHEMA IF EXISTS appuser_connectors;
CREATE EXTENSION appuser_connectors;

-- Four roles, without any power of their own
SELECT rolname, rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication
FROM pg_roles WHERE rolname LIKE 'appuser\_connectors\_%' ORDER BY 1;

-- The script belongs to no other version and is for superusers only
SELECT name, superuser, trusted, relocatable, schema FROM pg_available_extension_versions
WHERE name = 'appuser_connectors' AND installed;

-- The schema is the extension's own, and closed to PUBLIC
SELECT has_schema_privilege('public', 'appuser_connectors', 'USAGE') AS public_usage,
	   has_schema_privilege('public', 'appuser_connectors', 'CREATE') AS public_create;

-- Dropping it leaves nothing behind but an empty schema and the roles, which are the cluster's
DROP EXTENSION appuser_connectors;
SELECT pg_describe_object(classid, objid, 0) FROM pg_depend
WHERE refclassid = 'pg_namespace'::regclass AND refobjid = 'appuser_connectors'::regnamespace;
DROP SCHEMA appuser_connectors;
SELECT count(*) FROM pg_roles WHERE rolname LIKE 'appuser\_connectors\_%';

-- A role that exists with powers is refused, whichever and for each of the four
CREATE FUNCTION pg_temp.install_with(role_name text, attribute text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	message text;
	hint text;
	state text;
BEGIN
	EXECUTE format('ALTER ROLE %I %s', role_name, attribute);
	CREATE EXTENSION appuser_connectors;
	RETURN 'installed';
EXCEPTION WHEN OTHERS THEN
	-- the attribute is rolled back with the rest
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n', state || ': ' || message, hint);
END $$;
SELECT pg_temp.install_with('appuser_connectors_' || r, a)
FROM unnest(ARRAY['owner', 'admin', 'service', 'user']) AS r,
	 unnest(ARRAY['LOGIN', 'SUPERUSER', 'BYPASSRLS', 'CREATEROLE', 'REPLICATION']) AS a;
SELECT rolname FROM pg_roles WHERE rolname LIKE 'appuser\_connectors\_%'
AND (rolcanlogin OR rolsuper OR rolbypassrls OR rolcreaterole OR rolreplication);

-- An owner role with members, or in another role, is refused
CREATE ROLE regress_outsider;
GRANT appuser_connectors_owner TO regress_outsider;
CREATE EXTENSION appuser_connectors;
REVOKE appuser_connectors_owner FROM regress_outsider;
GRANT regress_outsider TO appuser_connectors_owner;
CREATE EXTENSION appuser_connectors;
REVOKE regress_outsider FROM appuser_connectors_owner;

-- So is a schema that somebody else owns
CREATE SCHEMA appuser_connectors AUTHORIZATION regress_outsider;
CREATE EXTENSION appuser_connectors;
DROP SCHEMA appuser_connectors;

-- and one in which there is something already: a table, a function, an operator, a type
CREATE SCHEMA appuser_connectors;
CREATE TABLE appuser_connectors.connections (app_user text);
CREATE EXTENSION appuser_connectors;
DROP TABLE appuser_connectors.connections;
CREATE FUNCTION appuser_connectors.session_app_user() RETURNS text LANGUAGE sql AS $$ SELECT 'eve' $$;
CREATE EXTENSION appuser_connectors;
DROP FUNCTION appuser_connectors.session_app_user();
CREATE OPERATOR appuser_connectors.= (FUNCTION = texteq, LEFTARG = text, RIGHTARG = text);
CREATE EXTENSION appuser_connectors;
DROP OPERATOR appuser_connectors.= (text, text);
CREATE DOMAIN appuser_connectors.text AS pg_catalog.text;
CREATE EXTENSION appuser_connectors;
DROP DOMAIN appuser_connectors.text;
-- or in which something would be given away by default
ALTER DEFAULT PRIVILEGES FOR ROLE regress_outsider IN SCHEMA appuser_connectors GRANT EXECUTE ON FUNCTIONS TO appuser_connectors_user;
CREATE EXTENSION appuser_connectors;
DROP SCHEMA appuser_connectors;

-- An empty one of the installer's own may be used
CREATE SCHEMA appuser_connectors;
CREATE EXTENSION appuser_connectors;
DROP EXTENSION appuser_connectors;
DROP SCHEMA appuser_connectors;

-- Privileges that somebody else would get by default are taken away again
CREATE ROLE regress_eve;
CREATE SCHEMA appuser_connectors;
GRANT ALL ON SCHEMA appuser_connectors TO regress_eve;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO regress_eve, appuser_connectors_admin;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO regress_eve, appuser_connectors_user;
CREATE EXTENSION appuser_connectors;
SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'appuser_connectors'::regnamespace
AND has_function_privilege('regress_eve', oid, 'EXECUTE');
SELECT relname FROM pg_class WHERE relnamespace = 'appuser_connectors'::regnamespace AND relkind IN ('r', 'v')
AND has_table_privilege('regress_eve', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER');
SELECT relname, has_table_privilege('appuser_connectors_admin', oid, 'SELECT') AS reads,
	   has_table_privilege('appuser_connectors_admin', oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') AS writes
FROM pg_class WHERE relnamespace = 'appuser_connectors'::regnamespace AND relkind IN ('r', 'v')
AND has_table_privilege('appuser_connectors_admin', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
ORDER BY relname COLLATE "C";
SELECT has_schema_privilege('regress_eve', 'appuser_connectors', 'USAGE') AS usage,
	   has_schema_privilege('regress_eve', 'appuser_connectors', 'CREATE') AS create,
	   has_function_privilege('appuser_connectors_user', 'appuser_connectors.set_app_user(text, boolean)', 'EXECUTE') AS sets_app_user;
DROP EXTENSION appuser_connectors;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM regress_eve, appuser_connectors_admin;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM regress_eve, appuser_connectors_user;
DROP SCHEMA IF EXISTS appuser_connectors;
DROP ROLE regress_eve;

-- Another schema is not to be had: names in policies and in C are fixed
CREATE EXTENSION appuser_connectors SCHEMA public;

-- A role that may create extensions, but is no superuser, may not create this one
CREATE ROLE regress_creator;
SELECT format('GRANT CREATE ON DATABASE %I TO regress_creator', current_database()) \gexec
SET ROLE regress_creator;
CREATE EXTENSION appuser_connectors;
RESET ROLE;
SELECT format('REVOKE CREATE ON DATABASE %I FROM regress_creator', current_database()) \gexec
DROP ROLE regress_creator;
DROP ROLE regress_outsider;

-- A database in another encoding is refused: app users are compared by their bytes
SELECT current_database() AS database \gset
DROP DATABASE IF EXISTS regress_latin1;
CREATE DATABASE regress_latin1 ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C';
\c regress_latin1
\set SHOW_CONTEXT never
CREATE EXTENSION appuser_connectors;
\c :database
DROP DATABASE regress_latin1;

SET client_min_messages = warning;
CREATE EXTENSION appuser_connectors;
SELECT extname, extversion FROM pg_extension WHERE extname = 'appuser_connectors';
