--
-- The surface: names, arguments, results, and that each tells what it is for
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set prelude :abs_srcdir '/sql/prelude.psql'
\i :prelude

-- Functions.  Names of arguments and columns are part of the surface.
SELECT p.proname AS name, pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result
FROM pg_proc AS p WHERE p.pronamespace = 'appuser_connectors'::regnamespace
ORDER BY p.proname COLLATE "C", p.oid::regprocedure::text COLLATE "C";

-- How the planner may treat them: readers of the app user are stable and stay in the
-- leader, everything else is volatile and runs in no parallel plan; nulls are for each
-- to judge
SELECT p.proname AS name, p.provolatile AS volatility, p.proparallel AS parallel, p.proisstrict AS strict,
	   p.proretset AS set, p.prorows AS rows
FROM pg_proc AS p WHERE p.pronamespace = 'appuser_connectors'::regnamespace
ORDER BY p.proname COLLATE "C", p.oid::regprocedure::text COLLATE "C";

-- A comment on everything
SELECT p.oid::regprocedure AS uncommented FROM pg_proc AS p
WHERE p.pronamespace = 'appuser_connectors'::regnamespace AND coalesce(obj_description(p.oid, 'pg_proc'), '') = '';
SELECT p.oid::regprocedure AS does_not_say_whom_it_is_for
FROM pg_proc AS p, LATERAL (SELECT string_agg(a.grantee::regrole::text, ', ' ORDER BY a.grantee::regrole::text COLLATE "C") AS roles
	FROM aclexplode(p.proacl) AS a WHERE a.grantee NOT IN (p.proowner, 'appuser_connectors_owner'::regrole)) AS may
WHERE p.pronamespace = 'appuser_connectors'::regnamespace AND may.roles IS NOT NULL
AND obj_description(p.oid, 'pg_proc') NOT LIKE '%. For ' || replace(may.roles, '_', '\_') || '.';
SELECT c.oid::regclass AS uncommented FROM pg_class AS c
WHERE c.relnamespace = 'appuser_connectors'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p', 'S')
AND coalesce(obj_description(c.oid, 'pg_class'), '') = '';
SELECT e.extname AS uncommented FROM pg_extension AS e
WHERE e.extname = 'appuser_connectors' AND coalesce(obj_description(e.oid, 'pg_extension'), '') = '';
SELECT name AS undescribed FROM pg_settings WHERE name LIKE 'appuser\_connectors.%' AND coalesce(short_desc, '') = '';

-- Columns, in their order: the direct scan reads by position
SELECT c.relname AS relation, a.attnum AS n, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type,
	   CASE WHEN a.attcollation <> 0 THEN (SELECT collname FROM pg_collation WHERE oid = a.attcollation) END AS collation,
	   a.attnotnull AS not_null, nullif(a.attstattarget, -1) AS statistics
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
WHERE c.relnamespace = 'appuser_connectors'::regnamespace AND c.relkind IN ('r', 'v') AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname COLLATE "C", a.attnum;

-- What is sealed has no statistics, and every text key is compared byte by byte
SELECT a.attrelid::regclass AS relation, a.attname AS column FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
WHERE c.relnamespace = 'appuser_connectors'::regnamespace AND c.relkind = 'r' AND a.atttypid = 'bytea'::regtype
AND a.attnum > 0 AND a.attstattarget IS DISTINCT FROM 0;
SELECT i.indexrelid::regclass AS index, a.attname AS column FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indrelid JOIN pg_attribute AS a ON a.attrelid = i.indexrelid
WHERE c.relnamespace = 'appuser_connectors'::regnamespace AND c.relkind = 'r' AND a.attcollation NOT IN (0, '"C"'::regcollation);

-- Indexes and other constraints
SELECT pg_get_indexdef(indexrelid) AS index FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
WHERE c.relnamespace = 'appuser_connectors'::regnamespace AND c.relkind = 'r' ORDER BY indexrelid::regclass::text COLLATE "C";
SELECT conrelid::regclass AS relation, conname AS constraint, pg_get_constraintdef(oid) AS definition FROM pg_constraint
WHERE connamespace = 'appuser_connectors'::regnamespace AND contype IN ('c', 'f')
ORDER BY conrelid::regclass::text COLLATE "C", conname COLLATE "C";

-- Every table is in a dump but the one that tells where none was restored
SELECT c.relname AS not_dumped FROM pg_class AS c, pg_extension AS e
WHERE c.relnamespace = 'appuser_connectors'::regnamespace AND c.relkind = 'r' AND e.extname = 'appuser_connectors'
AND c.oid <> ALL (e.extconfig);
SELECT c.relname AS relation, e.condition FROM pg_extension AS x, unnest(x.extconfig, x.extcondition) AS e(relation, condition)
JOIN pg_class AS c ON c.oid = e.relation
WHERE x.extname = 'appuser_connectors' AND e.condition <> '' ORDER BY 1;

-- The planner folds none of it into a plan, so that no plan shows a secret
EXPLAIN (VERBOSE, COSTS OFF) SELECT access_token FROM appuser_connectors.app_user_connection('alice', 'x');
EXPLAIN (VERBOSE, COSTS OFF) SELECT appuser_connectors.current_app_user();
