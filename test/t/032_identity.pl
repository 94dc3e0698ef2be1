# The app user stays where it was set: behind a transaction pooler, under hostile
# objects on the caller's search_path, under hostile settings of session and
# database, in functions with other rights, in parallel queries.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use IPC::Open2;
use Test::More;
use Time::HiRes qw(usleep);

my $ns = 'appuser_connectors';
my $provider = start_provider();
my $node = new_node('main', 'max_prepared_transactions = 5');
register($node, $provider, connector_id => 'crm');
connect_user($node, $_, 'crm') foreach qw(alice bob);
my %token = map { $_ => access_token($node, $_, 'crm') } qw(alice bob);
isnt($token{alice}, $token{bob}, 'alice and bob have tokens');

# A psql that stays connected; what it says, errors included.
{
	package Client;
	my @clients;

	sub new
	{
		my ($class, $host, $port, $role) = @_;
		my $self = bless {}, $class;
		local $ENV{PGOPTIONS} = '';
		$self->{pid} = IPC::Open2::open2($self->{out}, $self->{in}, 'sh', '-c',
			'exec psql -XAtq -v VERBOSITY=verbose -h "$0" -p "$1" -U "$2" postgres 2>&1', $host, $port, $role);
		$self->{in}->autoflush(1);
		push @clients, $self;
		return $self;
	}

	sub ask
	{
		my ($self, $sql) = @_;
		my $answer = '';
		local $SIG{ALRM} = sub { die "no answer to $sql" };

		# an empty statement would be a transaction of its own
		$sql .= ';' unless $sql =~ /;\z/;
		print { $self->{in} } "$sql\n\\echo '<done>'\n";
		alarm $PostgreSQL::Test::Utils::timeout_default;
		while (defined(my $line = readline $self->{out}))
		{
			last if $line eq "<done>\n";
			$answer .= $line;
		}
		alarm 0;
		chomp $answer;
		return $answer;
	}

	sub quit
	{
		my ($self) = @_;
		my $pid = delete $self->{pid} or return;
		kill 'KILL', $pid;
		waitpid $pid, 0;
		return;
	}

	END { local $?; $_->quit foreach @clients }
}

# ---------------------------------------------------------------- the pooler

SKIP:
{
	my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin';
	skip 'there is no PgBouncer here', 1 unless $pgbouncer;
	my $directory = PostgreSQL::Test::Utils::tempdir_short();
	my $port = PostgreSQL::Test::Cluster::get_free_port();

	PostgreSQL::Test::Utils::append_to_file("$directory/users", qq{"app_service" ""\n});
	PostgreSQL::Test::Utils::append_to_file("$directory/pgbouncer.ini", join "\n",
		'[databases]', 'postgres = host=' . $node->host . ' port=' . $node->port . ' dbname=postgres', '[pgbouncer]',
		'listen_addr =', "unix_socket_dir = $directory", "listen_port = $port", 'auth_type = trust', "auth_file = $directory/users",
		'pool_mode = transaction', 'default_pool_size = 1', 'min_pool_size = 0', 'reserve_pool_size = 0',
		"logfile = $directory/log", "pidfile = $directory/pid", '');
	my $pid = fork // die 'fork failed';
	if ($pid == 0)
	{
		open STDOUT, '>', "$directory/out";
		open STDERR, '>&', \*STDOUT;
		exec $pgbouncer, "$directory/pgbouncer.ini" or die 'exec failed';
	}
	my $stop = sub { my $p = $pid or return; $pid = 0; local $?; kill 'KILL', $p; waitpid $p, 0; };
	my $guard = bless $stop, 'Guard';
	sub Guard::DESTROY { $_[0]->() }
	wait_until('PgBouncer is there', sub { -S "$directory/.s.PGSQL.$port" });

	my ($a, $b) = map { Client->new($directory, $port, 'app_service') } 1 .. 2;
	my $backend = $a->ask('SELECT pg_backend_pid()');
	like($backend, qr/^\d+$/, 'a client is served through the pooler');
	my $same = sub { is($b->ask('SELECT pg_backend_pid()'), $backend, '... by the same server connection') };
	my $nobody = sub { like($b->ask("SELECT $ns.current_app_user()"), qr/^ERROR:  28000: no app user is set/, "$_[0]: the other client is nobody"); $same->() };

	$same->();
	is($a->ask("BEGIN; SELECT $ns.set_app_user('alice') \\g /dev/null\nSELECT access_token FROM $ns.current_app_user_connection('crm'); COMMIT;"), $token{alice},
		'one client is alice in its transaction');
	$nobody->('after its commit');
	$a->ask("BEGIN; SELECT $ns.set_app_user('alice'); ROLLBACK;");
	$nobody->('after a rollback');
	like($a->ask("SELECT $ns.set_app_user('alice');"), qr/^$/, 'set outside a transaction');
	$nobody->('after a statement of its own');
	$a->ask("BEGIN; SELECT $ns.set_app_user('alice'); SAVEPOINT s; SELECT $ns.set_app_user('alice'); RELEASE s; SELECT 1/0;");
	$a->ask('COMMIT;');
	$nobody->('after a failed transaction with savepoints');
	$a->ask("DO \$\$ BEGIN PERFORM $ns.set_app_user('alice'); EXCEPTION WHEN OTHERS THEN NULL; END \$\$;");
	$nobody->('after a block with an exception handler');
	$a->ask("BEGIN; SELECT $ns.set_app_user('alice'); PREPARE TRANSACTION 'alice';");
	$nobody->('after PREPARE TRANSACTION');
	is($b->ask('SELECT gid FROM pg_prepared_xacts'), 'alice', '(it is prepared)');
	like($b->ask("COMMIT PREPARED 'alice'; SELECT $ns.current_app_user();"), qr/28000/, 'and is not alice by finishing it');
	$same->();
	$a->ask("BEGIN; SELECT $ns.set_app_user('alice'); SELECT * FROM $ns.current_app_user_connection('no such connector'); COMMIT;");
	$nobody->('after an error of the extension');
	$a->ask("BEGIN; SELECT $ns.set_app_user('alice'); DECLARE c CURSOR WITH HOLD FOR SELECT connector_id FROM $ns.app_user_connections(); COMMIT;");
	$nobody->('after a cursor that outlives the transaction');
	$a->ask('CLOSE ALL;');
	like($a->ask("SELECT $ns.set_app_user('alice', is_local => false);"), qr/^ERROR:  42501/, 'an app user for the session is refused');
	$nobody->('after that');

	my @mixed;
	foreach (1 .. 40)
	{
		my ($client, $app_user) = @{ ([ $a, 'alice' ], [ $b, 'bob' ])[ rand 2 ] };
		push @mixed, $app_user
		  if $client->ask("BEGIN; SELECT $ns.set_app_user('$app_user') \\g /dev/null\nSELECT access_token FROM $ns.current_app_user_connection('crm'); "
			  . (qw(COMMIT ROLLBACK))[ rand 2 ] . ';') ne $token{$app_user};
	}
	is_deeply(\@mixed, [], 'each gets its own token however they take turns');
	$same->();

	$a->ask("BEGIN; SELECT $ns.set_app_user('alice');");
	$a->quit;
	like($b->ask("SELECT $ns.current_app_user()"), qr/28000/, 'a client that vanished in its transaction leaves no identity');
	$b->quit;
	$stop->();
	bless $guard, 'Stopped';
}

# ------------------------------------------------------------ hostile objects

# Whoever may create something in a schema plants functions, operators, types and
# tables there with the names that the extension's statements use.  Each call is
# counted, with the role it was made as.
my $plant = q{
	CREATE SCHEMA evil;
	GRANT ALL ON SCHEMA evil, public TO PUBLIC;
	CREATE SEQUENCE evil.counter;
	GRANT ALL ON evil.counter TO PUBLIC;
	CREATE FUNCTION evil.called(what text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
	BEGIN
		PERFORM nextval('evil.counter');
		RAISE WARNING 'HIJACKED as %: %', current_user, what;
	END $$;
	DO $do$
	DECLARE
		types regtype[] := ARRAY['text', 'int4', 'int8', 'bool', 'bytea', 'uuid', 'jsonb', 'oid', 'timestamptz', 'text[]', 'name', 'interval'];
		schema_name text;
		r record;
	BEGIN
		FOREACH schema_name IN ARRAY ARRAY['evil', 'public'] LOOP
			FOR r IN SELECT p.proname, pg_get_function_identity_arguments(p.oid) AS arguments, format_type(p.prorettype, NULL) AS result, p.proretset
				FROM pg_proc AS p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.pronargs <= 2 AND p.provariadic = 0
				AND p.proargtypes::oid[] <@ types::oid[] AND (p.prorettype = ANY (types) OR p.prorettype = 'void'::regtype)
				AND p.proallargtypes IS NULL AND p.proname NOT LIKE 'pg\_%' AND p.proname NOT LIKE 'binary%' LOOP
				EXECUTE format('CREATE FUNCTION %I.%I(%s) RETURNS %s %s LANGUAGE plpgsql AS $f$ BEGIN PERFORM evil.called(%L); RETURN%s; END $f$',
					schema_name, r.proname, r.arguments, CASE WHEN r.proretset THEN 'SETOF' ELSE '' END, r.result, r.proname,
					CASE WHEN r.proretset OR r.result = 'void' THEN '' ELSE ' NULL' END);
			END LOOP;
			EXECUTE format('CREATE FUNCTION %I.unnest(text[]) RETURNS SETOF text LANGUAGE plpgsql AS $f$ BEGIN PERFORM evil.called(''unnest''); RETURN NEXT ''evil''; END $f$', schema_name);
			EXECUTE format('CREATE FUNCTION %I.session_app_user() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN PERFORM evil.called(''session_app_user''); RETURN ''alice''; END $f$', schema_name);
			FOR r IN SELECT o.oprname, o.oprleft::regtype AS l, o.oprright::regtype AS r, o.oprresult::regtype AS result, row_number() OVER () AS n
				FROM pg_operator AS o WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprleft = ANY (types) AND o.oprright = ANY (types) LOOP
				EXECUTE format('CREATE FUNCTION %I.operator_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS $f$ BEGIN PERFORM evil.called(%L); RETURN NULL; END $f$',
					schema_name, r.n, r.l, r.r, r.result, r.oprname);
				EXECUTE format('CREATE OPERATOR %I.%s (FUNCTION = %I.operator_%s, LEFTARG = %s, RIGHTARG = %s)', schema_name, r.oprname, schema_name, r.n, r.l, r.r);
			END LOOP;
			FOREACH r.oprname IN ARRAY ARRAY['text', 'bytea', 'uuid', 'jsonb', 'timestamptz', 'integer', 'int4', 'int8', 'bool'] LOOP
				EXECUTE format('CREATE TYPE %I.%I AS ENUM (''crm'', ''alice'')', schema_name, r.oprname);
			END LOOP;
			FOREACH r.oprname IN ARRAY ARRAY['connections', 'connectors', 'registered_connectors', 'authorizations', 'installation', 'encryption_keys', 'providers', 'registered_providers', 'provider_catalogue',
				'pg_class', 'pg_proc', 'pg_namespace', 'pg_roles', 'pg_extension', 'pg_authid'] LOOP
				EXECUTE format('CREATE TABLE %I.%I (app_user pg_catalog.text, connector_id pg_catalog.text)', schema_name, r.oprname);
			END LOOP;
		END LOOP;
	END $do$;
	CREATE TYPE evil.word AS ENUM ('crm', 'alice');
	CREATE FUNCTION evil.word_to_text(evil.word) RETURNS pg_catalog.text LANGUAGE plpgsql AS $$
	BEGIN
		RAISE WARNING 'CAST as %', current_user;
		RETURN enum_out($1);
	END $$;
	CREATE CAST (evil.word AS pg_catalog.text) WITH FUNCTION evil.word_to_text(evil.word) AS IMPLICIT;};
query($node, 'postgres', "SET client_min_messages = warning; $plant");
cmp_ok(query($node, 'postgres', "SELECT count(*) FROM pg_proc WHERE pronamespace = 'evil'::regnamespace"), '>', 300, 'hundreds of hostile functions are planted');

# The trap works, else the rest says nothing.
my $path = 'evil, public, pg_temp, appuser_connectors, pg_catalog';
like((run_hostile('app_nobody', "SELECT upper('x'::pg_catalog.text)", ''))[1], qr/HIJACKED as app_nobody/, 'a careless statement would fall for them');

# (answer, complaints) of a statement under the hostile path, with hostile
# temporary objects in the session as well.
sub run_hostile
{
	my ($role, $sql, $app_user) = @_;
	my ($status, $out, $err) = AppuserConnectors::run_psql($node, $role, qq{
		SET search_path = pg_catalog;
		CREATE TEMP TABLE connections (app_user text, connector_id text, connection_name text, access_token bytea);
		CREATE TEMP TABLE connectors (connector_id text); CREATE TEMP TABLE registered_connectors (connector_id text); CREATE TEMP TABLE encryption_keys (key_id integer, state text);
		CREATE TEMP TABLE installation (installation_id uuid); CREATE TEMP TABLE pg_extension (extname name); CREATE TEMP TABLE pg_class (oid oid);
		CREATE TYPE pg_temp.text AS ENUM ('crm'); CREATE TYPE pg_temp.bytea AS ENUM ('crm'); CREATE TYPE pg_temp.timestamptz AS ENUM ('crm');
		CREATE FUNCTION pg_temp.session_app_user() RETURNS pg_catalog.text LANGUAGE sql AS \$\$ SELECT 'alice'::pg_catalog.text \$\$;
		SET search_path = $path;
		} . ($app_user ? "BEGIN;\nSELECT $ns.set_app_user('$app_user') \\g /dev/null\n$sql;\nCOMMIT;" : "$sql;"),
		settings => { client_min_messages => 'warning' });
	return ($out, $err);
}

sub count_calls { return query($node, 'postgres', 'SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM evil.counter'); }

my $calls = count_calls();
query($node, 'postgres', 'GRANT USAGE ON SCHEMA evil TO PUBLIC');
my @everything = (
	# role, app user, statement, answer
	[ 'app_service', 'bob', "SELECT access_token FROM $ns.current_app_user_connection('crm')", $token{bob} ],
	[ 'app_service', '', "SELECT access_token FROM $ns.app_user_connection('alice', 'crm', required_scopes => '{read}')", $token{alice} ],
	[ 'app_service', 'bob', "SELECT connector_id, status FROM $ns.app_user_connections()", 'crm|connected' ],
	[ 'app_service', 'dora', "SELECT connector_id, status FROM $ns.app_user_connections()", 'crm|not_connected' ],
	[ 'app_service', 'bob', "SELECT $ns.connect_app_user('crm', 'second')", qr/^https:/ ],
	[ 'app_service', 'bob', "SELECT $ns.connect_app_user('crm', 'second', connection_config => '{}', scopes => '{write}')", qr/^https:/ ],
	[ 'app_service', 'bob', "SELECT $ns.disconnect_app_user('crm', 'second')", 'f' ],
	[ 'app_service', 'bob', "SELECT access_token FROM $ns.current_app_user_connection('crm', min_validity => '10 years')", qr/./ ],
	[ 'app_service', 'bob', "SELECT access_token FROM $ns.current_app_user_connection('crm'::evil.word)", qr/./ ],
	[ 'app_service', '', "SELECT $ns.erase_app_user('nobody')", '0' ],
	[ 'app_admin', '', "SELECT $ns.register_connector('test', 'c', 's', '{a,b}', '{https://app.example/cb}', 'planted', connection_config => '{\"a\": 1}')", 'planted' ],
	[ 'app_admin', '', "SELECT $ns.register_connector('test', 'c', 's', '{a,b}', '{https://app.example/cb}', 'planted', connection_config => '{\"a\": 1}')", 'planted' ],
	[ 'app_admin', '', "SELECT $ns.update_connector('planted', scopes => '{c}', provider => 'test')", '' ],
	[ 'app_admin', '', "SELECT $ns.delete_connector('planted')", '0' ],
	[ 'app_admin', '', "SELECT $ns.register_provider('planted', '{\"authorization_endpoint\": \"https://a.example/\", \"token_endpoint\": \"https://a.example/\"}')", 'planted' ],
	[ 'app_admin', '', "SELECT $ns.register_issuer('https://issuer.example', jwks_uri => 'https://issuer.example/jwks')", 'https://issuer.example' ],
	[ 'app_admin', '', "SELECT $ns.delete_issuer('https://issuer.example')", 't' ],
	[ 'app_admin', '', "SELECT name FROM $ns.check_health()", qr/./ ],
	[ 'app_admin', '', "SELECT $ns.installation_status()", 'ours' ],
	[ 'app_admin', '', "SELECT kind FROM $ns.pg_stat_appuser_connectors", qr/refresh/ ],
	[ 'app_admin', '', "SELECT app_user, status, missing_scopes FROM $ns.connection_status WHERE app_user OPERATOR(pg_catalog.=) 'alice'", 'alice|connected|{}' ],
);
sub check_everything
{
	my ($where) = @_;
	my @wrong;

	foreach my $case (@everything)
	{
		my ($role, $app_user, $sql, $expected) = @$case;
		my ($answer, $complaints) = run_hostile($role, $sql, $app_user);
		push @wrong, "$sql: got $answer $complaints"
		  unless ref $expected ? $answer =~ $expected : $answer eq $expected;
		push @wrong, "$sql: $complaints" if $complaints =~ /HIJACKED|ERROR|CAST as (?!app_service)/;
		# refreshed by one of them
		$token{bob} = access_token($node, 'bob', 'crm');
		$everything[0][3] = $token{bob};
	}
	is_deeply(\@wrong, [], "$where: every function answers as ever");
	is(count_calls(), $calls, "$where: and calls nothing that was planted");
	return;
}
check_everything('hostile objects on the search_path');

# The worker too, in a database whose settings are hostile.
query($node, 'postgres', qq{
	ALTER DATABASE postgres SET search_path = $path;
	ALTER DATABASE postgres SET default_transaction_isolation = 'serializable';
	ALTER DATABASE postgres SET default_transaction_read_only = on;
	ALTER DATABASE postgres SET default_transaction_deferrable = on;
	ALTER DATABASE postgres SET row_security = off;
	ALTER DATABASE postgres SET standard_conforming_strings = off;
	ALTER DATABASE postgres SET bytea_output = 'escape';
	ALTER DATABASE postgres SET datestyle = 'SQL, DMY';
	ALTER DATABASE postgres SET timezone = 'Asia/Kathmandu';
	ALTER DATABASE postgres SET intervalstyle = 'sql_standard';
	ALTER DATABASE postgres SET statement_timeout = '1ms';
	ALTER DATABASE postgres SET lock_timeout = '1ms';
	ALTER DATABASE postgres SET transform_null_equals = on;
	ALTER DATABASE postgres SET array_nulls = off;
	ALTER DATABASE postgres SET enable_indexscan = off;
	ALTER DATABASE postgres SET enable_seqscan = off;
	ALTER DATABASE postgres SET plan_cache_mode = 'force_generic_plan'});
$node->restart;
my $worker = sub { $node->safe_psql('template1', "SELECT pid FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type LIKE 'appuser_connectors%'") };
wait_until('the worker is there', $worker);
my %settings = (search_path => 'pg_catalog', default_transaction_read_only => 'off', statement_timeout => 0, lock_timeout => 0);
my ($fresh) = rows($node, 'app_service', "SELECT access_token FROM $ns.app_user_connection('alice', 'crm', min_validity => '10 years')", settings => \%settings);
isnt($fresh->{access_token}, $token{alice}, 'a worker under hostile settings of its database refreshes');
is(userinfo($provider, $fresh->{access_token})->{sub}, 'alice', '... and the token works');
my $url = query($node, 'app_service', "BEGIN; SELECT $ns.set_app_user('carol') \\g /dev/null\nSELECT $ns.connect_app_user('crm'); COMMIT", settings => \%settings);
my $back = log_in($url, 'carol');
is(row($node, 'app_service', "SELECT failure FROM $ns.oauth_callback('$back->{state}', code => '$back->{code}', iss => '$back->{iss}')",
		app_user => 'carol', settings => \%settings)->{failure}, undef, '... and connects');
is(query($node, 'app_service', "BEGIN; SELECT $ns.set_app_user('carol') \\g /dev/null\nSELECT $ns.disconnect_app_user('crm'); COMMIT", settings => \%settings),
	't', '... and disconnects');
wait_until('... and revokes', sub { !$provider->grants('carol') });
is(query($node, 'postgres', 'SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM evil.counter', settings => \%settings), $calls, '... calling nothing that was planted');
$node->safe_psql('template1', 'ALTER DATABASE postgres RESET ALL');

# Settings of a caller's session, one by one.
my $expected = join '|', 'crm', 'default', 'connected';
my %hostile_settings = (
	row_security => 'off', default_transaction_isolation => 'serializable', default_transaction_deferrable => 'on',
	standard_conforming_strings => 'off', backslash_quote => 'on', bytea_output => 'escape', DateStyle => 'German', TimeZone => 'Pacific/Chatham',
	IntervalStyle => 'iso_8601', client_encoding => 'LATIN1', enable_indexscan => 'off', enable_indexonlyscan => 'off', enable_seqscan => 'off',
	enable_nestloop => 'off', jit => 'on', jit_above_cost => '0', plan_cache_mode => 'force_custom_plan', transform_null_equals => 'on',
	search_path => '', default_tablespace => '', check_function_bodies => 'off', xmlbinary => 'hex', extra_float_digits => '-15',
	from_collapse_limit => '1', work_mem => '64kB', constraint_exclusion => 'on', synchronous_commit => 'off');
my @wrong;
foreach my $name (sort keys %hostile_settings)
{
	my %one = (settings => { $name => $hostile_settings{$name} });
	my $read = query($node, 'app_service', "SELECT access_token FROM $ns.current_app_user_connection('crm')", app_user => 'alice', %one);
	my $list = query($node, 'app_service', "SELECT connector_id, connection_name, status FROM $ns.app_user_connections()", app_user => 'alice', %one);
	my $none = query($node, 'app_service', "SELECT status FROM $ns.app_user_connections()", app_user => 'dora', %one);
	push @wrong, "$name: $read $list $none" unless $read eq $fresh->{access_token} && $list eq $expected && $none eq 'not_connected';
}
is_deeply(\@wrong, [], 'no setting of a session changes what is read');
is(query($node, 'app_service', "BEGIN READ ONLY; SELECT $ns.set_app_user('alice') \\g /dev/null\nSELECT access_token FROM $ns.current_app_user_connection('crm'); COMMIT"),
	$fresh->{access_token}, 'nor does a transaction that may not write');

# An extension that is installed where everything is planted already.
$node->safe_psql('postgres', 'CREATE DATABASE planted');
query($node, 'postgres', "SET client_min_messages = warning; $plant; SELECT setval('evil.counter', 1, false) \\g /dev/null\n", database => 'planted');
query($node, 'postgres', "SET search_path = $path; CREATE EXTENSION appuser_connectors", database => 'planted');
is(query($node, 'postgres', 'SELECT is_called FROM evil.counter', database => 'planted'), 'f', 'CREATE EXTENSION calls nothing that was planted');
is(query($node, 'postgres', "SELECT count(*) FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
		AND e.extname = 'appuser_connectors' JOIN pg_depend AS u ON (u.classid, u.objid) = (d.classid, d.objid)
		WHERE (u.refclassid, u.refobjid) IN (SELECT classid, objid FROM pg_depend WHERE refclassid = 'pg_namespace'::regclass
			AND refobjid IN ('evil'::regnamespace, 'public'::regnamespace))", database => 'planted', settings => { search_path => 'pg_catalog' }), '0',
	'and nothing of it is built on what was planted');

# ----------------------------------------------------- other rights, other ways

query($node, 'postgres', qq{
	CREATE SCHEMA app;
	GRANT USAGE ON SCHEMA app TO PUBLIC;
	CREATE FUNCTION app.my_token() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
		AS \$\$ SELECT access_token FROM $ns.current_app_user_connection('crm') \$\$;
	ALTER FUNCTION app.my_token() OWNER TO app_service;
	CREATE FUNCTION app.act_as(name text) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
		AS \$\$ SELECT $ns.set_app_user(name) \$\$;
	ALTER FUNCTION app.act_as(text) OWNER TO app_service;
	CREATE FUNCTION app.frontends_token() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
		AS \$\$ SELECT access_token FROM $ns.current_app_user_connection('crm') \$\$;
	ALTER FUNCTION app.frontends_token() OWNER TO app_user_role;
	CREATE FUNCTION app.callback(state text) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
		AS \$\$ SELECT failure FROM $ns.oauth_callback(state, error => 'access_denied', browser_binding => 'a cookie of sixteen bytes') \$\$;
	ALTER FUNCTION app.callback(text) OWNER TO app_user_role});
is((failure($node, 'app_nobody', 'SELECT app.my_token()'))[0], '28000', 'a function with the rights of the service knows nobody by itself');
is(query($node, 'app_nobody', "BEGIN; SELECT app.act_as('alice') \\g /dev/null\nSELECT app.my_token(); COMMIT"), $fresh->{access_token},
	'an app user set in one function is there in the next');
is(query($node, 'app_nobody', "BEGIN; SELECT app.act_as('bob') \\g /dev/null\nSELECT app.my_token(); COMMIT"), $token{bob}, '... whoever it is');
is((failure($node, 'app_nobody', "BEGIN; SELECT app.act_as('alice'); SELECT $ns.current_app_user()"))[0], '42501', 'the caller keeps its own rights');
is((failure($node, 'app_service', 'SELECT app.frontends_token()', app_user => 'alice'))[0], '42501', "a function with the frontend's rights reads no token, whoever calls it");
my $bound = url_parameters(authorization_url($node, 'alice', 'crm', connection_name => 'bound', browser_binding => 'a cookie of sixteen bytes'))->{state};
is((failure($node, 'app_service', "SELECT app.callback('$bound')"))[0], 'UC005', 'a browser binding alone is for the service role, not for whoever it is called by');

# A trigger that a foreign key's cascade fires runs where forced row security does
# not bind owners.  It binds the extension's statements there too, and their plans
# that the session keeps.
query($node, 'postgres', qq{
	CREATE TABLE app.parents (id integer PRIMARY KEY);
	CREATE TABLE app.children (id integer REFERENCES app.parents ON DELETE CASCADE);
	INSERT INTO app.parents VALUES (1);
	INSERT INTO app.children VALUES (1);
	CREATE FUNCTION app.look() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN PERFORM FROM $ns.app_user_connections(); RETURN OLD; END \$\$;
	CREATE TRIGGER look BEFORE DELETE ON app.children FOR EACH ROW EXECUTE FUNCTION app.look();
	ALTER TABLE app.parents OWNER TO app_service;
	ALTER TABLE app.children OWNER TO app_service});
my $asked = "SELECT coalesce(sum(calls), 0) > 0 FROM pg_stat_xact_user_functions WHERE funcname = 'session_app_user'";
is(query($node, 'postgres', "SET ROLE app_service; BEGIN; SELECT $ns.set_app_user('alice') \\g /dev/null\n$asked; DELETE FROM app.parents; $asked; ROLLBACK;
	BEGIN; SELECT $ns.set_app_user('alice') \\g /dev/null\nSELECT FROM $ns.app_user_connections() \\g /dev/null\n$asked; ROLLBACK", settings => { track_functions => 'all' }),
	"f\nt\nt", 'row security is asked in a trigger of a cascade, and after it');

# A session that takes on other roles stays with its app user, and gains nothing.
query($node, 'postgres', 'CREATE ROLE app_switcher LOGIN NOINHERIT; GRANT app_service, app_user_role, app_nobody TO app_switcher');
is((failure($node, 'app_switcher', "SELECT $ns.set_app_user('alice')"))[0], '42501', 'a role that must SET ROLE first may do nothing before');
my ($out) = query($node, 'app_switcher', "BEGIN; SET ROLE app_service; SELECT $ns.set_app_user('alice') \\g /dev/null
	SET ROLE app_user_role; SELECT $ns.current_app_user(); SET ROLE app_service; SELECT access_token FROM $ns.current_app_user_connection('crm'); COMMIT");
is($out, "alice\n$fresh->{access_token}", 'the app user stays through SET ROLE');
is((failure($node, 'app_switcher', "SET SESSION AUTHORIZATION app_service"))[0], '42501', '(a session cannot become another role altogether)');

# ------------------------------------------------------------------- parallel

# An application's own table, with a policy on the app user, large enough to be
# read in parallel.
query($node, 'postgres', qq{
	CREATE TABLE app.notes (owner text NOT NULL, note text) WITH (parallel_workers = 4);
	INSERT INTO app.notes SELECT (ARRAY['alice', 'bob', 'carol'])[1 + i % 3], repeat('x', 100) FROM generate_series(1, 30000) AS i;
	ANALYZE app.notes;
	ALTER TABLE app.notes ENABLE ROW LEVEL SECURITY;
	CREATE POLICY own ON app.notes USING (owner = $ns.current_app_user());
	GRANT SELECT ON app.notes TO PUBLIC;
	CREATE FUNCTION app.lies() RETURNS text LANGUAGE plpgsql PARALLEL SAFE AS \$\$ BEGIN RETURN $ns.current_app_user(); END \$\$});
my $force = $node->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode';
my %parallel = (settings => { $force => 'on', parallel_setup_cost => 0, parallel_tuple_cost => 0, min_parallel_table_scan_size => 0,
		min_parallel_index_scan_size => 0, max_parallel_workers_per_gather => 4 });
like(query($node, 'app_service', 'EXPLAIN SELECT count(*) FROM app.notes WHERE note IS NULL', app_user => 'alice', settings => { %{ $parallel{settings} }, row_security => 'on' }),
	qr/current_app_user/, "an application's policy uses the app user");
like(query($node, 'postgres', 'EXPLAIN SELECT count(*) FROM app.notes WHERE note IS NULL', %parallel), qr/Parallel Seq Scan/, 'its table is read in parallel');
foreach my $app_user (qw(alice bob dora))
{
	is(query($node, 'app_service', 'SELECT count(*) FROM app.notes', app_user => $app_user, %parallel), $app_user eq 'dora' ? '0' : '10000',
		"parallel: $app_user sees their own rows");
	is(query($node, 'app_service', "SELECT $ns.current_app_user()", app_user => $app_user, %parallel), $app_user, "parallel: $app_user is told who it is");
}
is(query($node, 'app_service', "SELECT access_token FROM $ns.current_app_user_connection('crm')", app_user => 'alice', %parallel), $fresh->{access_token},
	'parallel: a token is read');
is(query($node, 'app_admin', "SELECT app_user, connection_name, status, missing_scopes FROM $ns.connection_status ORDER BY 1", %parallel),
	query($node, 'app_admin', "SELECT app_user, connection_name, status, missing_scopes FROM $ns.connection_status ORDER BY 1"), 'parallel: the view shows the same');
is(query($node, 'app_service', "SELECT string_agg(connector_id, ',') FROM $ns.app_user_connections(), (SELECT count(*) FROM pg_class) AS c", app_user => 'alice', %parallel),
	'crm', 'parallel: a list is read');
my ($lied, $why) = failure($node, 'app_service', "SELECT count(*) FROM app.notes WHERE app.lies() = owner AND note IS NOT NULL", app_user => 'alice', %parallel);
ok(!defined $lied || $lied eq '28000', 'a function that is wrongly said to be parallel safe finds nobody in a parallel worker, not somebody else');

$node->stop;
done_testing();
