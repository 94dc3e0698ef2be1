--
-- Who may do what: everything the catalog says, so that any change shows here
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set prelude :abs_srcdir '/sql/prelude.psql'
\i :prelude

-- Functions: nobody but the roles named may call them; none runs with the rights of
-- its owner, and none has settings of its own
SELECT p.oid::regprocedure AS function,
	   (SELECT string_agg(CASE WHEN a.grantee = 0 THEN 'PUBLIC' WHEN a.grantee = p.proowner THEN '(owner)'
			ELSE a.grantee::regrole::text END || CASE WHEN a.is_grantable THEN '*' ELSE '' END, ', ' ORDER BY a.grantee::regrole::text COLLATE "C")
		FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a) AS may_execute,
	   p.prosecdef AS definer, p.proconfig AS settings, l.lanname AS language, p.proleakproof AS leakproof
FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang
WHERE p.pronamespace = 'appuser_connectors'::regnamespace ORDER BY p.oid::regprocedure::text COLLATE "C";

-- They belong to whoever installed the extension, who is a superuser
SELECT DISTINCT p.proowner = e.extowner AS belongs_to_installer, r.rolsuper AS superuser
FROM pg_proc AS p, pg_extension AS e JOIN pg_roles AS r ON r.oid = e.extowner
WHERE p.pronamespace = 'appuser_connectors'::regnamespace AND e.extname = 'appuser_connectors';

-- Tables and views: their owner, who it is that may do what, row security
SELECT c.relname AS relation, c.relkind AS kind, c.relowner::regrole AS owner, c.relrowsecurity AS row_security,
	   c.relforcerowsecurity AS forced, c.reloptions AS options
FROM pg_class AS c WHERE c.relnamespace = 'appuser_connectors'::regnamespace AND c.relkind NOT IN ('i', 't', 'c')
ORDER BY c.relname COLLATE "C";
-- (MAINTAIN came with version 17)
SELECT c.relname AS relation, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee,
	   string_agg(a.privilege_type || CASE WHEN a.is_grantable THEN '*' ELSE '' END, ', ' ORDER BY a.privilege_type COLLATE "C") AS privileges
FROM pg_class AS c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS a
WHERE c.relnamespace = 'appuser_connectors'::regnamespace AND c.relkind NOT IN ('i', 't', 'c') AND a.privilege_type <> 'MAINTAIN'
GROUP BY c.relname, a.grantee ORDER BY c.relname COLLATE "C", a.grantee::regrole::text COLLATE "C";

-- Columns: what the admin sees of tables it may not read as a whole
SELECT c.relname AS relation, t.attname AS column, a.grantee::regrole AS grantee, a.privilege_type AS privilege
FROM pg_class AS c JOIN pg_attribute AS t ON t.attrelid = c.oid, aclexplode(t.attacl) AS a
WHERE c.relnamespace = 'appuser_connectors'::regnamespace ORDER BY c.relname COLLATE "C", t.attnum, 3, 4;

-- Policies
SELECT tablename, policyname, permissive, roles, cmd, qual, with_check
FROM pg_policies WHERE schemaname = 'appuser_connectors' ORDER BY tablename COLLATE "C", policyname COLLATE "C";

-- The schema, and whatever privileges would come by default
SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' WHEN a.grantee = n.nspowner THEN '(owner)' ELSE a.grantee::regrole::text END AS grantee,
	   string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type) AS privileges
FROM pg_namespace AS n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
WHERE n.nspname = 'appuser_connectors' GROUP BY a.grantee, n.nspowner ORDER BY a.grantee = n.nspowner DESC, a.grantee::regrole::text COLLATE "C";
SELECT * FROM pg_default_acl WHERE defaclnamespace = 'appuser_connectors'::regnamespace
OR defaclrole IN (SELECT oid FROM pg_roles WHERE rolname LIKE 'appuser\_connectors\_%');

-- The roles: without attributes, and not in each other
SELECT rolname, rolcanlogin OR rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication AS has_attributes,
	   rolconfig, (SELECT count(*) FROM pg_auth_members WHERE member = r.oid) AS memberships
FROM pg_roles AS r WHERE rolname LIKE 'appuser\_connectors\_%' ORDER BY 1;
SELECT count(*) AS members_of_owner FROM pg_auth_members WHERE roleid = 'appuser_connectors_owner'::regrole;

-- Nothing else is in the schema: no operators, casts, types, sequences, triggers, rules
SELECT pg_describe_object(d.classid, d.objid, 0) AS object FROM pg_depend AS d
WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = 'appuser_connectors'::regnamespace
AND d.classid NOT IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_extension'::regclass) ORDER BY 1;
SELECT tgrelid::regclass, tgname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'appuser_connectors'::regnamespace AND NOT t.tgisinternal ORDER BY tgrelid::regclass::text COLLATE "C";
SELECT ev_class::regclass, rulename FROM pg_rewrite AS r JOIN pg_class AS c ON c.oid = r.ev_class
WHERE c.relnamespace = 'appuser_connectors'::regnamespace AND c.relkind <> 'v';

-- Settings: who may change them, and who may read those that name files and networks
SELECT name, context, boot_val, unit FROM pg_settings WHERE name LIKE 'appuser\_connectors.%' ORDER BY name COLLATE "C";
SET ROLE regress_nobody;
SELECT name FROM pg_settings WHERE name LIKE 'appuser\_connectors.%' ORDER BY name COLLATE "C";
\set VERBOSITY sqlstate
SHOW appuser_connectors.root_key_file;
\set VERBOSITY default
SET appuser_connectors.allow_session_identity = on;
SET appuser_connectors.trust_request_jwt_claims = on;
SET appuser_connectors.allow_insecure_loopback = on;
RESET ROLE;
SET appuser_connectors.ca_file = '/tmp/x';
SET appuser_connectors.anything = 'x';
