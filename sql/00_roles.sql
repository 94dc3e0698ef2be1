-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION appuser_connectors" to load this file. \quit

-- The four roles are cluster-wide and outlive the extension.  One that exists
-- is used only if it has no powers that the design does not give it.
DO $$
DECLARE
	role_name pg_catalog.text;
	problem pg_catalog.text;
BEGIN
	IF pg_catalog.getdatabaseencoding() OPERATOR(pg_catalog.<>) 'UTF8' THEN
		RAISE EXCEPTION 'appuser_connectors needs a database with encoding UTF8'
			USING ERRCODE = 'feature_not_supported',
				  HINT = 'Create the database with ENCODING ''UTF8'' TEMPLATE template0.';
	END IF;

	FOREACH role_name IN ARRAY ARRAY['appuser_connectors_owner', 'appuser_connectors_admin',
									 'appuser_connectors_service', 'appuser_connectors_user']
	LOOP
		IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles
					   WHERE rolname OPERATOR(pg_catalog.=) role_name::pg_catalog.name) THEN
			EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION',
									  role_name);
		END IF;
		SELECT CASE WHEN rolcanlogin THEN 'LOGIN' WHEN rolsuper THEN 'SUPERUSER'
					WHEN rolbypassrls THEN 'BYPASSRLS' WHEN rolcreaterole THEN 'CREATEROLE'
					WHEN rolreplication THEN 'REPLICATION' END
		INTO problem
		FROM pg_catalog.pg_roles
		WHERE rolname OPERATOR(pg_catalog.=) role_name::pg_catalog.name;
		IF problem IS NOT NULL THEN
			RAISE EXCEPTION 'role "%" exists with attribute %', role_name, problem
				USING ERRCODE = 'invalid_grant_operation',
					  HINT = pg_catalog.format('Take the attribute away (ALTER ROLE %I NO%s) or drop the role, then try again.',
											   role_name, problem);
		END IF;
	END LOOP;

	IF EXISTS (SELECT FROM pg_catalog.pg_auth_members
			   WHERE roleid OPERATOR(pg_catalog.=) 'appuser_connectors_owner'::pg_catalog.regrole::pg_catalog.oid
				  OR member OPERATOR(pg_catalog.=) 'appuser_connectors_owner'::pg_catalog.regrole::pg_catalog.oid) THEN
		RAISE EXCEPTION 'role "appuser_connectors_owner" has members or memberships'
			USING ERRCODE = 'invalid_grant_operation',
				  DETAIL = 'Whoever is a member of the owner role could read sealed rows around the extension''s functions.',
				  HINT = 'Revoke them, then try again.';
	END IF;

	IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace AS n
				   JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) n.nspowner
				   WHERE n.nspname OPERATOR(pg_catalog.=) 'appuser_connectors'::pg_catalog.name
					 AND (r.rolsuper OR r.rolname OPERATOR(pg_catalog.=) CURRENT_USER)) THEN
		RAISE EXCEPTION 'schema "appuser_connectors" is owned by another role'
			USING ERRCODE = 'invalid_schema_name',
				  HINT = 'Drop or rename that schema, then try again.';
	END IF;

	SELECT pg_catalog.pg_describe_object(classid, objid, 0)
	INTO problem
	FROM pg_catalog.pg_depend
	WHERE refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass::pg_catalog.oid
	  AND refobjid OPERATOR(pg_catalog.=) 'appuser_connectors'::pg_catalog.regnamespace::pg_catalog.oid
	  AND classid OPERATOR(pg_catalog.<>) 'pg_catalog.pg_extension'::pg_catalog.regclass::pg_catalog.oid
	LIMIT 1;
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION 'schema "appuser_connectors" is not empty'
			USING ERRCODE = 'invalid_schema_name',
				  DETAIL = pg_catalog.format('There is %s.', problem),
				  HINT = 'Drop or rename that schema, then try again.';
	END IF;
END
$$;

-- Whoever was given the schema before, or is given schemas by default, loses it.
DO $$
DECLARE
	role_name pg_catalog.text;
BEGIN
	FOR role_name IN SELECT CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0 THEN 'PUBLIC'
								 ELSE a.grantee::pg_catalog.regrole::pg_catalog.text END
		FROM pg_catalog.pg_namespace AS n, pg_catalog.aclexplode(n.nspacl) AS a
		WHERE n.nspname OPERATOR(pg_catalog.=) 'appuser_connectors'::pg_catalog.name
		  AND a.grantee OPERATOR(pg_catalog.<>) n.nspowner
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON SCHEMA appuser_connectors FROM %s CASCADE', role_name);
	END LOOP;
END
$$;
GRANT USAGE ON SCHEMA appuser_connectors
	TO appuser_connectors_owner, appuser_connectors_admin, appuser_connectors_service, appuser_connectors_user;
