# Code of others inside the extension's own statements: triggers, cascades, rules, checks,
# defaults, index expressions, policies and event triggers run there, may call the
# extension again, fail, and catch what fails.  The session comes out of it as it went in:
# its role and what that may do, its settings, its app user.  And what runs inside gets at
# nobody else's rights, neither the owner role's nor those of the session's user.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Test::More;

my $ns = 'appuser_connectors';
my $provider = start_provider();
my $node = new_node('main');
allow_inserts($node);
register($node, $provider, connector_id => $_) foreach qw(one two);

# The application: its owner is no superuser, and may call the extension.
query($node, 'postgres', q{
	CREATE ROLE app_owner LOGIN;
	GRANT appuser_connectors_service, appuser_connectors_user TO app_owner;
	CREATE SCHEMA app AUTHORIZATION app_owner;
	CREATE SCHEMA evil AUTHORIZATION app_owner;
	GRANT USAGE ON SCHEMA app, evil TO PUBLIC;
	GRANT USAGE ON SCHEMA appuser_connectors TO app_owner;
	GRANT REFERENCES ON appuser_connectors.connections, appuser_connectors.connection_events, appuser_connectors.authorizations TO app_owner;
	CREATE TABLE public.mode (mode text);
	INSERT INTO public.mode VALUES ('quiet');
	CREATE TABLE public.seen (who name, app_user text, what text, by_worker boolean DEFAULT (session_user NOT LIKE 'app%'));
	GRANT SELECT ON public.mode TO PUBLIC;
	GRANT INSERT ON public.seen TO PUBLIC;

	-- what an application's code calls, with the rights of its owner
	CREATE FUNCTION app.call_extension() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
	BEGIN
		PERFORM appuser_connectors.app_user_connections();
		PERFORM appuser_connectors.connect_app_user('two', 'nested');
		PERFORM appuser_connectors.disconnect_app_user('two', 'nothing');
		PERFORM appuser_connectors.app_user_connection('nobody', 'one');
		RETURN 'unreachable';
	EXCEPTION WHEN SQLSTATE 'UC001' OR SQLSTATE '28000' THEN
		RETURN SQLSTATE;
	END $$;
	ALTER FUNCTION app.call_extension() OWNER TO app_owner;

	CREATE FUNCTION public.attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE statement;
		RETURN 'done';
	EXCEPTION WHEN OTHERS THEN
		RETURN SQLSTATE;
	END $$;

	CREATE FUNCTION public.identity() RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		RETURN appuser_connectors.current_app_user();
	EXCEPTION WHEN OTHERS THEN
		RETURN SQLSTATE;
	END $$;

	-- what runs inside; true, so that checks and policies may ask it
	CREATE FUNCTION public.payload() RETURNS boolean LANGUAGE plpgsql AS $$
	DECLARE
		mode text := coalesce(nullif(current_setting('app.mode', true), ''), (SELECT mode FROM public.mode));
		statement text;
	BEGIN
		IF mode = 'quiet' OR pg_trigger_depth() > 3 THEN
			RETURN true;
		END IF;
		INSERT INTO public.seen VALUES (current_user, public.identity(), mode);
		IF mode IN ('call', 'caught', 'settings') THEN
			PERFORM app.call_extension();
		END IF;
		IF mode = 'caught' THEN
			BEGIN
				PERFORM app.call_extension();
				BEGIN
					PERFORM app.call_extension();
					RAISE EXCEPTION 'inner';
				EXCEPTION WHEN OTHERS THEN
					PERFORM app.call_extension();
					RAISE EXCEPTION 'outer';
				END;
			EXCEPTION WHEN OTHERS THEN
				PERFORM app.call_extension();
			END;
		END IF;
		IF mode = 'settings' THEN
			SET search_path = evil, pg_catalog;
			SET enable_seqscan = on;
			PERFORM set_config('work_mem', '77MB', false);
		END IF;
		IF mode = 'raise' THEN
			PERFORM app.call_extension();
			RAISE EXCEPTION USING ERRCODE = 'P9998', MESSAGE = 'by the application';
		END IF;
		IF mode = 'escape' THEN
			FOREACH statement IN ARRAY ARRAY['SET ROLE postgres', 'SET LOCAL ROLE postgres', 'RESET ROLE', 'SET ROLE NONE',
				'SET SESSION AUTHORIZATION postgres', 'SET SESSION AUTHORIZATION DEFAULT', 'RESET SESSION AUTHORIZATION',
				'SELECT set_config(''role'', ''postgres'', false)', 'SELECT set_config(''role'', ''none'', true)',
				'CREATE ROLE escaped SUPERUSER', 'CREATE TEMPORARY TABLE t ()', 'DECLARE c CURSOR WITH HOLD FOR SELECT 1',
				'PREPARE p AS SELECT 1', 'LISTEN x', 'DISCARD ALL', 'DISCARD PLANS', 'ALTER SYSTEM SET work_mem = ''8MB''',
				'COPY (SELECT 1) TO PROGRAM ''true''', 'ALTER ROLE app_owner SUPERUSER',
				'SELECT appuser_connectors.set_app_user(''mallory'')', 'SELECT appuser_connectors.set_app_user(NULL)',
				'INSERT INTO public.deferred VALUES (1)', 'SELECT pg_read_file(''PG_VERSION'')']
			LOOP
				INSERT INTO public.seen VALUES (current_user, public.identity(), statement || ': ' || public.attempt(statement));
			END LOOP;
		END IF;
		RETURN true;
	END $$;

	CREATE TABLE public.deferred (n int);
	GRANT INSERT ON public.deferred TO PUBLIC;
	CREATE FUNCTION public.at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
	CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON public.deferred DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION public.at_commit();

	CREATE FUNCTION public.run() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM public.payload();
		RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
	END $$;
	CREATE FUNCTION app.run_definer() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
	BEGIN
		PERFORM public.payload();
		RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
	END $$;
	ALTER FUNCTION app.run_definer() OWNER TO app_owner;
	CREATE FUNCTION public.run_definer() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
	BEGIN
		PERFORM public.payload();
		RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
	END $$;
	ALTER FUNCTION public.run_definer() OWNER TO postgres;
	-- immutable, by its own account
	CREATE FUNCTION public.indexed(x text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
	BEGIN
		PERFORM public.payload();
		RETURN x;
	END $$;
	CREATE FUNCTION public.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF pg_trigger_depth() > 0 THEN
			PERFORM public.payload();
		END IF;
	END $$;
	CREATE FUNCTION app.run_ddl() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
	BEGIN
		CREATE TABLE app.made ();
		DROP TABLE app.made;
		RETURN NULL;
	END $$;
	ALTER FUNCTION app.run_ddl() OWNER TO app_owner;
});

my $links = q{
	CREATE TABLE app.links (app_user text COLLATE "C" DEFAULT 'nobody', connector_id text COLLATE "C", connection_name text COLLATE "C", note text,
		FOREIGN KEY (app_user, connector_id, connection_name) REFERENCES appuser_connectors.connections %s);
	ALTER TABLE app.links OWNER TO app_owner;
	INSERT INTO app.links SELECT app_user, connector_id, connection_name FROM appuser_connectors.connections;};
my $cascade = sprintf($links, 'ON DELETE CASCADE');
my $drop_links = 'DROP TABLE app.links';

# Each kind of code that can run inside, and who it runs as.
my $owner = 'appuser_connectors_owner';
my $guest = 'appuser_connectors_user';
my %kinds = (
	'a trigger before a row' => [ "CREATE TRIGGER t BEFORE DELETE ON $ns.connections FOR EACH ROW EXECUTE FUNCTION public.run()",
		"DROP TRIGGER t ON $ns.connections", $owner ],
	'a trigger after a row' => [ "CREATE TRIGGER t AFTER DELETE ON $ns.connections FOR EACH ROW EXECUTE FUNCTION public.run()",
		"DROP TRIGGER t ON $ns.connections", $guest ],
	'a trigger before the statement' => [ "CREATE TRIGGER t BEFORE DELETE ON $ns.connections EXECUTE FUNCTION public.run()",
		"DROP TRIGGER t ON $ns.connections", $owner ],
	'a trigger after the statement' => [ "CREATE TRIGGER t AFTER DELETE ON $ns.connections EXECUTE FUNCTION public.run()",
		"DROP TRIGGER t ON $ns.connections", $guest ],
	'a constraint trigger' => [ "CREATE CONSTRAINT TRIGGER t AFTER DELETE ON $ns.connections FOR EACH ROW EXECUTE FUNCTION public.run()",
		"DROP TRIGGER t ON $ns.connections", $guest ],
	'a trigger with the rights of the application' => [ "CREATE TRIGGER t AFTER INSERT ON $ns.connection_events FOR EACH ROW EXECUTE FUNCTION app.run_definer()",
		"DROP TRIGGER t ON $ns.connection_events", 'app_owner' ],
	'a trigger with the rights of a superuser' => [ "CREATE TRIGGER t AFTER INSERT ON $ns.connection_events FOR EACH ROW EXECUTE FUNCTION public.run_definer()",
		"DROP TRIGGER t ON $ns.connection_events", 'postgres' ],
	'a trigger on events' => [ "CREATE TRIGGER t BEFORE INSERT ON $ns.connection_events FOR EACH ROW EXECUTE FUNCTION public.run()",
		"DROP TRIGGER t ON $ns.connection_events", $owner ],
	'a rule' => [ "CREATE RULE r AS ON INSERT TO $ns.connection_events DO ALSO SELECT public.payload()",
		"DROP RULE r ON $ns.connection_events", $owner ],
	'a check' => [ "ALTER TABLE $ns.connection_events ADD CONSTRAINT extra CHECK (public.payload())",
		"ALTER TABLE $ns.connection_events DROP CONSTRAINT extra", $owner ],
	'a default' => [ "ALTER TABLE $ns.connection_events ADD COLUMN extra boolean; ALTER TABLE $ns.connection_events ALTER COLUMN extra SET DEFAULT public.payload()",
		"ALTER TABLE $ns.connection_events DROP COLUMN extra", $owner ],
	'an index expression' => [ "CREATE INDEX extra ON $ns.connection_events (public.indexed(event))", "DROP INDEX $ns.extra", $owner ],
	'a policy' => [ "CREATE POLICY extra ON $ns.connection_events AS RESTRICTIVE TO $owner USING (public.payload())",
		"DROP POLICY extra ON $ns.connection_events", $owner ],
	'a cascade' => [ "$cascade CREATE TRIGGER t AFTER DELETE ON app.links FOR EACH ROW EXECUTE FUNCTION public.run()", $drop_links, $guest ],
	'a cascade with a trigger before the row' => [ "$cascade CREATE TRIGGER t BEFORE DELETE ON app.links FOR EACH ROW EXECUTE FUNCTION public.run()", $drop_links, 'app_owner' ],
	'a cascade that sets to null' => [ sprintf($links, 'ON DELETE SET NULL') . ' CREATE TRIGGER t AFTER UPDATE ON app.links FOR EACH ROW EXECUTE FUNCTION public.run()',
		$drop_links, $guest ],
	'a default of a cascade' => [ sprintf($links, 'ON DELETE SET DEFAULT (connection_name)') =~ s/connection_name text COLLATE "C"/$& DEFAULT (nullif(public.payload()::text, 'true'))/r,
		$drop_links, 'app_owner' ],
	"a cascade's index expression" => [ sprintf($links, 'ON DELETE SET NULL (connection_name)') . " CREATE INDEX ON app.links (public.indexed(connection_name))", $drop_links, 'app_owner' ],
	"a cascade's check" => [ sprintf($links, 'ON DELETE SET NULL (connection_name)') . " ALTER TABLE app.links ADD CHECK (public.payload())", $drop_links, 'app_owner' ],
	"a cascade's trigger, and a policy of its table" => [ "$cascade ALTER TABLE app.links ENABLE ROW LEVEL SECURITY; ALTER TABLE app.links FORCE ROW LEVEL SECURITY;
		CREATE POLICY p ON app.links USING (public.payload());
		CREATE FUNCTION app.read_links() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN PERFORM count(*) FROM app.links; RETURN NULL; END';
		ALTER FUNCTION app.read_links() OWNER TO app_owner;
		CREATE TRIGGER t AFTER INSERT ON $ns.connection_events FOR EACH ROW EXECUTE FUNCTION app.read_links()",
		"DROP TRIGGER t ON $ns.connection_events; DROP FUNCTION app.read_links(); $drop_links", 'app_owner' ],
	'an event trigger' => [ "CREATE TRIGGER t AFTER INSERT ON $ns.connection_events FOR EACH ROW EXECUTE FUNCTION app.run_ddl();
		CREATE EVENT TRIGGER e ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.on_ddl()",
		"DROP EVENT TRIGGER e; DROP TRIGGER t ON $ns.connection_events", 'app_owner' ],
);

is(connect_user($node, 'alice', 'one')->{failure}, undef, 'alice is connected');
is(connect_user($node, 'alice', 'two')->{failure}, undef, 'alice is connected to another as well');
query($node, 'postgres', "CREATE TABLE public.kept AS TABLE $ns.connections");

# (An AFTER trigger has no more rights than a frontend, whoever's table it is of.)

# What of a session must be after a statement as it was before.
my $state = q{concat_ws(' ', current_user, session_user, current_setting('search_path'), current_setting('enable_seqscan'), current_setting('row_security'),
	current_setting('work_mem'), public.identity(), public.attempt('CREATE TEMPORARY TABLE probe ()'), public.attempt('DROP TABLE pg_temp.probe'),
	public.attempt('CREATE ROLE escaped SUPERUSER'), public.attempt('SET ROLE postgres'), public.attempt('TABLE appuser_connectors.connections'))};

# One session, a statement of the extension's in each mode, in a transaction that is rolled
# back: [mode, statement, what it gives].
sub check_sessions
{
	my ($what, $role, @calls) = @_;
	my @lines = split /\n/, query($node, $role, 'SET search_path = app, public; SET enable_seqscan = on;' . join '', map {
		my ($mode, $statement, $expected) = @$_;
		my $call = "SELECT $statement AS result";

		$call = 'SELECT public.attempt(' . AppuserConnectors::quote($call) . ') AS result' if $expected =~ /^[0-9A-Z]{5}$/;
		"BEGIN; SELECT $ns.set_app_user('alice') \\g /dev/null
		SELECT $state;
		SET LOCAL app.mode = '$mode';
		$call;
		SELECT $state;
		ROLLBACK;
		SELECT $state;"
	} @calls);

	is(scalar(@lines), 4 * @calls, "$what: the session goes on") or diag(join "\n", @lines);
	foreach my $call (@calls)
	{
		my ($mode, $statement, $expected) = @$call;
		my ($before, $result, $after, $at_end) = splice @lines, 0, 4;
		my $told = "$what, $mode, $statement";

		like($before, qr/^$role $role app, public on on 4MB alice done done 42501 42501 42501$/, "$told: $role is who it is");
		is($result, $expected, "$told: the statement does what it does");
		is($after, $before, "$told: and the session is as before");
		is($at_end, $before =~ s/ alice / 28000 /r, "$told: also after the transaction");
	}
	return;
}

sub set_mode
{
	my ($mode) = @_;
	return query($node, 'postgres', "UPDATE public.mode SET mode = '$mode'; TRUNCATE public.seen");
}

my $disconnect = "$ns.disconnect_app_user('one')";
check_sessions('nothing of others', 'app_service', [ 'call', $disconnect, 't' ]);
foreach my $kind (sort keys %kinds)
{
	my ($make, $drop, $runs_as) = @{ $kinds{$kind} };

	query($node, 'postgres', "$make; UPDATE public.mode SET mode = 'quiet'");
	check_sessions($kind, 'app_service', [ 'call', $disconnect, 't' ], [ 'caught', $disconnect, 't' ], [ 'settings', $disconnect, 't' ],
		[ 'caught', "$ns.erase_app_user('alice')", '2' ], [ 'raise', $disconnect, 'P9998' ], [ 'caught', $disconnect, 't' ]);

	# Who it is there, and what it may do, is committed.
	set_mode('escape');
	query($node, 'app_service', "SELECT $ns.disconnect_app_user('one')", app_user => 'alice');
	my @seen = rows($node, 'postgres', 'SELECT DISTINCT who, app_user, what FROM public.seen WHERE NOT by_worker');
	is(join(' ', sort keys %{ { map { $_->{who} => 1 } @seen } }), $runs_as, "$kind: runs as $runs_as");
	is(join(' ', sort keys %{ { map { $_->{app_user} => 1 } @seen } }), $runs_as eq $owner ? '42501' : 'alice', "$kind: for the caller's app user");
	# a superuser's own code may do what superusers do
	my @escaped = grep { $_->{what} =~ /: done$/ && !($runs_as eq 'postgres' && $_->{what} =~ /^(CREATE ROLE|ALTER ROLE|COPY|SELECT pg_read_file|ALTER SYSTEM)/) } @seen;
	is(join(', ', map { $_->{what} } @escaped), '', "$kind: nothing leads out");
	cmp_ok(scalar(@seen), '>', 20, "$kind: though it was tried");
	query($node, 'postgres', "UPDATE public.mode SET mode = 'quiet'; DROP ROLE IF EXISTS escaped; ALTER ROLE app_owner NOSUPERUSER; $drop; INSERT INTO $ns.connections SELECT * FROM public.kept ON CONFLICT DO NOTHING");
}

# A deferred trigger would run at commit, as whoever the session's user is: it is refused.
query($node, 'postgres', "CREATE CONSTRAINT TRIGGER t AFTER DELETE ON $ns.connections DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION public.run()");
check_sessions('a deferred trigger', 'app_service', [ 'call', $disconnect, '42501' ]);
query($node, 'postgres', "DROP TRIGGER t ON $ns.connections; $cascade
	CREATE CONSTRAINT TRIGGER t AFTER DELETE ON app.links DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.run()");
check_sessions("a cascade's deferred trigger", 'app_service', [ 'call', $disconnect, '42501' ]);
query($node, 'postgres', $drop_links);

# What one statement's trigger has SET does not reach the next one of the same function.
query($node, 'postgres', q{
	CREATE FUNCTION evil.equal(text, text) RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.seen VALUES (current_user, '', 'hijacked');
		RETURN $1 OPERATOR(pg_catalog.=) $2;
	END $$;
	CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.equal);
	CREATE TRIGGER t BEFORE INSERT ON appuser_connectors.authorizations FOR EACH ROW EXECUTE FUNCTION app.run_definer();});
set_mode('settings');
query($node, 'app_service', "SELECT $ns.connect_app_user('two')", app_user => 'carol');
query($node, 'app_service', "SELECT $ns.connect_app_user('two'), $ns.disconnect_app_user('two')", app_user => 'carol');
is(query($node, 'postgres', "SELECT count(*) FROM public.seen WHERE what = 'hijacked' AND who <> 'app_owner'"), '0', "a trigger's search_path does not reach the extension's statements");
is(query($node, 'postgres', "SELECT string_agg(DISTINCT who::text, ' ') FROM public.seen"), 'app_owner', 'though it ran');
query($node, 'postgres', "DROP TRIGGER t ON $ns.authorizations; DROP OPERATOR evil.= (text, text)");

# ------------------------------------------------------------------- the admin

query($node, 'postgres', "$cascade CREATE TRIGGER t AFTER DELETE ON app.links FOR EACH ROW EXECUTE FUNCTION public.run();
	CREATE TRIGGER t AFTER INSERT ON $ns.connection_events FOR EACH ROW EXECUTE FUNCTION app.run_definer();");
foreach my $mode (qw(caught settings))
{
	set_mode($mode);
	my ($before, undef, undef, $after) = split /\n/, query($node, 'app_admin',
		"BEGIN; SELECT $state; SELECT $ns.delete_connector('one'); SELECT 'updated' FROM $ns.update_connector('two', name => 'New'); SELECT $state; ROLLBACK");
	is($after, $before, "an admin's session is as before, $mode");
}
query($node, 'postgres', "$drop_links; DROP TRIGGER t ON $ns.connection_events");

# ------------------------------------------------------------------ the worker

# Its session is the superuser's, so what runs in its statements must not get out of them.
foreach my $trigger ("BEFORE INSERT OR UPDATE ON $ns.connections FOR EACH ROW EXECUTE FUNCTION public.run()",
	"AFTER INSERT OR UPDATE ON $ns.connections FOR EACH ROW EXECUTE FUNCTION app.run_definer()",
	"AFTER INSERT ON $ns.connection_events FOR EACH ROW EXECUTE FUNCTION public.run()",
	"BEFORE DELETE ON $ns.authorizations FOR EACH ROW EXECUTE FUNCTION public.run()")
{
	query($node, 'postgres', "CREATE TRIGGER t $trigger");
	my $runs_as = $trigger =~ /definer/ ? 'app_owner' : $trigger =~ /BEFORE/ ? $owner : $guest;
	foreach my $mode (qw(caught escape))
	{
		set_mode($mode);
		is(connect_user($node, 'dora', 'one')->{failure}, undef, "$trigger, $mode: dora connects");
		my $token = access_token($node, 'dora', 'one');
		isnt(access_token($node, 'dora', 'one', rejected_token => $token), $token, '... and is refreshed');
		my @seen = rows($node, 'postgres', 'SELECT DISTINCT * FROM public.seen');
		ok((grep { $_->{who} eq $runs_as } @seen), "... which ran it, as $runs_as");
		is(join(', ', map { $_->{what} } grep { $_->{what} =~ /: done$/ || $_->{who} ne $runs_as } @seen), '', '... and nothing leads out');
	}
	set_mode('quiet');
	query($node, 'postgres', 'DROP TRIGGER t ON ' . ($trigger =~ /ON (\S+)/)[0]);
}

# It cannot be made to wait for itself.
query($node, 'postgres', qq{
	CREATE FUNCTION app.ask() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \$\$
	DECLARE
		told text;
	BEGIN
		PERFORM $ns.app_user_connection('alice', 'two', min_validity => '100 years');
		RETURN NEW;
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS told = MESSAGE_TEXT;
		INSERT INTO public.seen VALUES (current_user, SQLSTATE, told);
		RETURN NEW;
	END \$\$;
	ALTER FUNCTION app.ask() OWNER TO app_owner;
	CREATE TRIGGER t BEFORE INSERT ON $ns.connection_events FOR EACH ROW EXECUTE FUNCTION app.ask()});
my $start = time;
is(connect_user($node, 'erin', 'one')->{failure}, undef, 'a trigger that asks the worker for a call inside the worker is in nobody\'s way');
is(query($node, 'postgres', "SELECT string_agg(DISTINCT app_user || ' ' || what, ', ') FROM public.seen WHERE app_user <> '42501'"),
	'55000 the appuser_connectors worker cannot wait for itself', 'it is told so');
cmp_ok(time - $start, '<', 5, 'at once');
query($node, 'postgres', "DROP TRIGGER t ON $ns.connection_events");

# --------------------------------- an installation that a subtransaction took back

$node->safe_psql('postgres', 'CREATE DATABASE other');
add_extension($node, 'other');
my $definition = AppuserConnectors::quote(encode($provider->definition));
is(query($node, 'app_admin', "BEGIN;
	SELECT $ns.register_provider('test', $definition) \\g /dev/null
	SAVEPOINT s;
	SELECT $ns.register_connector('test', 'app', 'app secret: 100%+/&=', '{openid,read}', '{http://127.0.0.1:7999/callback}', 'one') \\g /dev/null
	ROLLBACK TO s;
	SELECT $ns.register_connector('test', 'app', 'app secret: 100%+/&=', '{openid,read}', '{http://127.0.0.1:7999/callback}', 'one');
	COMMIT", database => 'other'), 'one', 'a registration that was rolled back to a savepoint can be made again');
like(authorization_url($node, 'alice', 'one', database => 'other'), qr/^http/, 'and what it made opens in another session');

$node->stop;
done_testing();
