# Who may do what, for everything there is: each relation, column and function of
# the extension, each role, each app user.  What is there comes from the catalog,
# so that an object this file does not know is a failure.  And: one app user with
# every grant an application has learns nothing of another.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Test::More;

my @roles = qw(app_admin app_service app_user_role app_nobody);
my @app_users = ('', 'alice', 'bob');

# What the admin reads, and of which tables nobody may touch a column.
my %admin_reads = (
	provider_catalogue => [qw(provider name categories docs_url endpoint_sources unverified notes definition unsupported)],
	providers => [qw(provider name categories docs_url built_in sources_agree unverified notes unsupported definition updated_at)],
	registered_providers => [qw(provider definition updated_at)],
	connectors => [qw(connector_id provider name client_id scopes redirect_uris connection_config options definition
		  created_at updated_at stopped_at stopped_reason probe_at built_in allowed_endpoints former_endpoints)],
	registered_connectors => [qw(connector_id provider name client_id scopes redirect_uris connection_config options definition
		  created_at updated_at stopped_at stopped_reason probe_at built_in allowed_endpoints former_endpoints)],
	connections => [qw(app_user connector_id connection_name status status_reason status_since account token_type
		  scopes requested_scopes scopes_assumed connected_at updated_at expires_at refresh_at failures failing_since reconnect_by)],
	connection_events => [qw(app_user event_id connector_id connection_name event detail occurred_at announced)],
	connection_status => [qw(app_user connector_id connection_name provider name status status_reason status_since
		  next_attempt_at failures account scopes missing_scopes scopes_assumed connected_at updated_at expires_at reconnect_by)],
	pg_stat_appuser_connectors => [qw(kind calls succeeded refused unavailable total_time in_flight due oldest_due)],
	issuers => [qw(issuer audiences algorithms app_user_template clock_skew jwks jwks_uri fetched_jwks fetched_at token_types created_at updated_at)],
	authorizations => [],
	encryption_keys => [],
	installation => [],
	installation_witness => [],
	pending_answers => [],
	revocations => [],
);

# What each function answers, as each role that may call it: one answer whoever the
# app user is, or one for [nobody, alice who is connected, bob who is not].
my $done = '(done)';
my $ns = 'appuser_connectors';
my $token = '(SELECT count(*) FROM ' . $ns;
my %functions = (
	'adopt_installation()' => { call => "$ns.adopt_installation()", app_admin => 'false' },
	'app_user_connection(text,text,text,text[],interval,text)' =>
	  { call => "$token.app_user_connection('alice', 'crm') WHERE access_token <> '')", app_service => '1' },
	'app_user_connections()' => {
		call => "(SELECT string_agg(connection_name || ' ' || status, ',') FROM $ns.app_user_connections())",
		app_service => [ '28000', 'default connected', $done ],
		app_user_role => [ '28000', 'default connected', $done ],
	},
	'authenticate_app_user(text,boolean)' =>
	  { call => "$ns.authenticate_app_user('nonsense')", app_service => '28000', app_user_role => '28000' },
	'check_health()' => { call => "$token.check_health()) > 0", app_admin => 'true' },
	'connect_app_user(text,text,text,text,text[],jsonb,text)' => {
		call => "$ns.connect_app_user('crm') LIKE 'https://%'",
		app_service => [ '28000', 'true', 'true' ],
		app_user_role => [ '28000', 'true', 'true' ],
	},
	'current_app_user()' => {
		call => "$ns.current_app_user()",
		app_service => [ '28000', 'alice', 'bob' ],
		app_user_role => [ '28000', 'alice', 'bob' ],
	},
	'current_app_user_connection(text,text,text[],interval,text)' => {
		call => "$token.current_app_user_connection('crm') WHERE access_token <> '')",
		app_service => [ '28000', '1', 'UC001' ],
	},
	'allow_endpoint_change(text,text,text,text,text)' => { call => "$ns.allow_endpoint_change('crm', 'https://a.example/token')" },
	'delete_provider(text)' => { call => "$ns.delete_provider('nonesuch')", app_admin => 'false' },
	'retry_connections(text,text,text)' => { call => "$ns.retry_connections('crm')", app_admin => '0' },
	'delete_connector(text)' => { call => "$ns.delete_connector('crm')", app_admin => '2' },
	'delete_issuer(text)' => { call => "$ns.delete_issuer('https://issuer.example')", app_admin => 'true' },
	'disconnect_app_user(text,text)' => {
		call => "$ns.disconnect_app_user('crm')",
		app_service => [ '28000', 'true', 'false' ],
		app_user_role => [ '28000', 'true', 'false' ],
	},
	'erase_app_user(text)' => { call => "$ns.erase_app_user('alice')", app_service => '1' },
	'installation_status()' => { call => "$ns.installation_status()", app_admin => 'ours' },
	'oauth_callback(text,text,text,text,text,jsonb,text,text)' =>
	  { call => "$token.oauth_callback('nonsense'))", app_service => 'UC005', app_user_role => 'UC005' },
	'provider_call_stats()' => { call => "$token.provider_call_stats()) > 0", app_admin => 'true' },
	'register_connector(text,text,text,text[],text[],text,text,jsonb,jsonb)' =>
	  { call => "$ns.register_connector('test', 'c', 's', '{}', '{https://app.example/cb}', 'new')", app_admin => 'new' },
	'register_issuer(text,jsonb,text,text,text[],text[],text,interval,text[])' =>
	  { call => "$ns.register_issuer('https://new.example', jwks_uri => 'https://new.example/jwks', app_user_template => 'new:{sub}')", app_admin => 'https://new.example' },
	'register_provider(text,jsonb)' => {
		call => "$ns.register_provider('new', '{\"authorization_endpoint\": \"https://a.example/\", \"token_endpoint\": \"https://a.example/\"}')",
		app_admin => 'new'
	},
	'session_app_user()' => { call => "$ns.session_app_user()" },
	'set_app_user(text,boolean)' => { call => "$ns.set_app_user('alice')", app_service => $done },
	'update_connector(text,text,text,text,text[],text[],text,jsonb,jsonb)' =>
	  { call => "$ns.update_connector('crm', name => 'New')", app_admin => $done },
);

my $provider = start_provider();
my $node = new_node('main');
allow_inserts($node);
register($node, $provider, connector_id => 'crm');

# What a statement does as a role, for an app user; nothing of it stays.
query($node, 'postgres', q{
	CREATE FUNCTION public.probe(role name, app_user text, statement text, in_full boolean DEFAULT false) RETURNS text
	LANGUAGE plpgsql AS $$
	DECLARE
		result text;
		n bigint;
		message text;
		detail text;
		hint text;
	BEGIN
		IF app_user <> '' THEN
			PERFORM appuser_connectors.set_app_user(app_user);
		END IF;
		EXECUTE format('SET LOCAL ROLE %I', role);
		IF statement LIKE 'VALUE %' THEN
			EXECUTE 'SELECT (' || substr(statement, 7) || ')::text' INTO result;
			result := coalesce(nullif(result, ''), '(done)');
		ELSE
			EXECUTE statement;
			GET DIAGNOSTICS n = ROW_COUNT;
			result := n || ' rows';
		END IF;
		RAISE EXCEPTION USING ERRCODE = 'P9999', MESSAGE = result;
	EXCEPTION
		WHEN SQLSTATE 'P9999' THEN
			RETURN SQLERRM;
		WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
			RETURN CASE WHEN in_full THEN concat_ws('|', SQLSTATE, message, detail, hint) ELSE SQLSTATE END;
	END $$;});

# Answers to many probes at once: [role, app user, statement]
sub probes
{
	my ($in_full, @probes) = @_;
	my $sql = join "\nUNION ALL ", map {
		my ($n, $role, $app_user, $statement) = ($_, @{ $probes[$_] });
		"SELECT $n AS n, public.probe('$role', '$app_user', " . AppuserConnectors::quote($statement) . ", $in_full) AS answer"
	} 0 .. $#probes;

	return map { $_->{answer} } rows($node, 'postgres', "SELECT * FROM ($sql) AS p ORDER BY n");
}

# --------------------------------------------------------------- user B, and A

query($node, 'postgres', q{
	CREATE ROLE app_everything LOGIN;
	GRANT appuser_connectors_service, appuser_connectors_user TO app_everything;});
connect_user($node, 'carol', 'crm');

# All that bob can do or ask, with what would be alice's names and values.
sub as_bob
{
	my (%alice) = @_;
	my @statements = (
		map({ "VALUE (SELECT string_agg(r::text, ' ') FROM $ns.$_ AS r)" }
			'app_user_connections()', "current_app_user_connection('crm')", "current_app_user_connection('crm', 'default')",
			"current_app_user_connection('crm', 'work')",
			"current_app_user_connection('crm', required_scopes => '{read}')",
			"current_app_user_connection('crm', required_scopes => '{unheard-of}')",
			"current_app_user_connection('crm', min_validity => '1 day')",
			"current_app_user_connection('crm', rejected_token => '$alice{token}')",
			"current_app_user_connection('alice')", "current_app_user_connection('crm', 'alice')",
			"oauth_callback('$alice{state}', code => 'code')", "oauth_callback('$alice{state}', error => 'access_denied')",
			"oauth_callback('$alice{state}', browser_binding => 'a guess of sixteen bytes')"),
		map({ "VALUE $ns.$_" }
			"disconnect_app_user('crm')", "disconnect_app_user('crm', 'default')", "disconnect_app_user('crm', 'alice')",
			"connect_app_user('crm') <> ''", "connect_app_user('crm', 'alice') <> ''"),
		map({ "VALUE (SELECT count(*) FROM $ns.$_)" } keys %admin_reads),
		map({ "VALUE (SELECT count(*) FROM pg_catalog.$_)" }
			"pg_stats WHERE schemaname = '$ns'", "pg_stats_ext WHERE schemaname = '$ns'"),
		"EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT FROM $ns.current_app_user_connection('crm')",
	);
	my @answers = probes('true', map { [ 'app_everything', 'bob', $_ ] } @statements);

	return { map { $statements[$_] =~ s/\Q$alice{token}\E/TOKEN/r =~ s/\Q$alice{state}\E/STATE/r => $answers[$_] } 0 .. $#statements };
}

my $made_up = url_parameters(authorization_url($node, 'dora', 'crm'))->{state};
$made_up =~ tr/A-Za-z/N-ZA-Mn-za-m/;
my $before = as_bob(token => 'a token', state => $made_up);

is(connect_user($node, 'alice', 'crm')->{failure}, undef, 'alice is connected');
my $alices = access_token($node, 'alice', 'crm');
my $state = url_parameters(authorization_url($node, 'alice', 'crm'))->{state};
$state =~ s/^(.{60})(.)/$1 . ($2 eq 'A' ? 'B' : 'A')/e;
query($node, 'postgres', 'ANALYZE');

my $after = as_bob(token => $alices, state => $state);
is_deeply($after, $before, "what bob is told does not depend on whether alice is connected");
is(scalar(grep { /^28000/ } values %$after), 0, 'and all of it was told to bob');
unlike(join("\n", values %$after), qr/alice(?!")|carol|\Q$alices\E/, "nothing of it names anybody else or shows a token");
like($after->{"VALUE (SELECT string_agg(r::text, ' ') FROM $ns.current_app_user_connection('crm') AS r)"}, qr/^UC001\|/,
	'he is told that he is not connected');
is($after->{"VALUE $ns.disconnect_app_user('crm')"}, 'false', 'he has nothing to disconnect');

# What bob really does, rather than what he would.
query($node, 'app_everything', "SELECT $ns.disconnect_app_user('crm'), $ns.disconnect_app_user('crm', 'alice')", app_user => 'bob');
is(query($node, 'app_everything', "SELECT $ns.erase_app_user('bob')"), '0', 'bob is erased');
is(access_token($node, 'alice', 'crm'), $alices, "alice's connection is still there");
is(userinfo($provider, $alices)->{sub}, 'alice', 'and her token still works');

# A flow that alice began is not for bob to finish, by whichever role.
foreach my $role (qw(app_everything app_service app_user_role))
{
	my $parameters = log_in(authorization_url($node, 'alice', 'crm', connection_name => "of $role"), 'mallory');
	my $answer = (probes('false',
			[ $role, 'bob', "VALUE (SELECT failure FROM $ns.oauth_callback('$parameters->{state}', code => '$parameters->{code}', iss => '$parameters->{iss}'))" ]))[0];
	is($answer, 'UC005', "$role cannot finish alice's flow as bob");
	is(query($node, 'app_service', "SELECT count(*) FROM $ns.app_user_connections() WHERE connection_name = 'of $role'", app_user => $_),
		'0', "and $_ is not connected by it")
	  foreach qw(alice bob);
}

# ------------------------------------------------------------------- relations

# Something in every table, of two people where it belongs to one.
query($node, 'postgres', qq{
	INSERT INTO $ns.revocations SELECT u, gen_random_uuid(), 'crm', 'x', NULL, NULL, gen_random_uuid(), '', 0, now(), now() + interval '1 day'
		FROM unnest(ARRAY['alice', 'carol']) AS u;
	INSERT INTO $ns.pending_answers SELECT u, gen_random_uuid(), '', now() FROM unnest(ARRAY['alice', 'carol']) AS u;});
authorization_url($node, $_, 'crm') foreach qw(alice carol);
query($node, 'app_admin', "SELECT $ns.register_issuer('https://issuer.example', jwks_uri => 'https://issuer.example/jwks', app_user_template => 'issuer:{sub}')");

my @relations = rows($node, 'postgres', qq{
	SELECT c.relname AS name, c.relkind AS kind, array_agg(a.attname ORDER BY a.attnum) AS columns,
		   bool_or(a.attname = 'app_user') AS belongs_to_people, c.relrowsecurity AND c.relforcerowsecurity AS fenced
	FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	WHERE c.relnamespace = '$ns'::regnamespace AND c.relkind NOT IN ('i', 'I', 't')
	GROUP BY c.oid ORDER BY 1});
is_deeply([ map { $_->{name} } @relations ], [ sort keys %admin_reads ], 'every relation is known here, and is there');

foreach my $relation (@relations)
{
	my ($name, $kind) = @$relation{qw(name kind)};
	my %allowed = map { $_ => 1 } @{ $admin_reads{$name} // [] };
	my $table = "$ns.$name";
	my $first = $relation->{columns}[0];
	my @columns = @{ $relation->{columns} };
	my $count = query($node, 'postgres', "SELECT count(*) FROM $table");
	my (@probes, @expected);

	cmp_ok($count, '>', 0, "there is something in $name");
	is_deeply([ grep { my $c = $_; !grep { $_ eq $c } @columns } sort keys %allowed ], [], "$name: what the admin reads is there");
	foreach my $role (@roles)
	{
		my $is_admin = $role eq 'app_admin';

		foreach my $app_user (@app_users)
		{
			foreach my $column (@columns)
			{
				push @probes, [ $role, $app_user, "SELECT $column FROM $table" ];
				push @expected, $is_admin && $allowed{$column} ? "$count rows" : '42501';
				push @probes, [ $role, $app_user, "UPDATE $table SET $column = NULL" ];
				push @expected, $kind eq 'v' ? qr/^(42501|55000)$/ : '42501';
				push @probes, [ $role, $app_user, "SELECT 1 FROM $table WHERE $column IS NULL" ];
				push @expected, $is_admin && $allowed{$column} ? qr/^\d+ rows$/ : '42501';
			}
			foreach my $statement ("SELECT * FROM $table", "SELECT count(*) FROM $table")
			{
				push @probes, [ $role, $app_user, $statement ];
				push @expected, !$is_admin || !%allowed ? '42501'
				  : $statement =~ /count/ ? '1 rows'
				  : @columns == keys %allowed ? "$count rows"
				  : '42501';
			}
			foreach my $statement ("INSERT INTO $table DEFAULT VALUES", "DELETE FROM $table", "DELETE FROM $table WHERE false",
				$kind eq 'r'
				? ("TRUNCATE $table", "SELECT FROM $table FOR UPDATE", "SELECT FROM $table FOR KEY SHARE",
					"LOCK TABLE $table IN ROW EXCLUSIVE MODE", "CREATE INDEX ON $table ($first)",
					"CREATE POLICY open ON $table USING (true)", "ALTER TABLE $table DISABLE ROW LEVEL SECURITY",
					"ALTER TABLE $table NO FORCE ROW LEVEL SECURITY",
					"CREATE TRIGGER t BEFORE INSERT ON $table FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
					"CREATE TABLE pg_temp.child () INHERITS ($table)", "CREATE RULE r AS ON DELETE TO $table DO INSTEAD NOTHING")
				: ("CREATE OR REPLACE VIEW $table AS SELECT 1", "ALTER VIEW $table SET (security_invoker = false)"))
			{
				push @probes, [ $role, $app_user, $statement ];
				push @expected, qr/^(42501|55000)$/;
			}
			push @probes, [ $role, $app_user, "DROP " . ($kind eq 'v' ? 'VIEW' : 'TABLE') . " $table" ];
			push @expected, '42501';
		}
	}
	check("$name: nobody but the admin reads, and nobody writes", \@probes, \@expected);

	next unless $relation->{belongs_to_people} && $kind eq 'r';
	ok($relation->{fenced}, "$name: has forced row security, since it is about people");

	# The extension's own statements run as the owner, which is bound as well.
	(@probes, @expected) = ();
	foreach my $app_user ('', 'alice', 'bob', 'carol')
	{
		my $own = $app_user eq '' ? 0 : query($node, 'postgres', "SELECT count(*) FROM $table WHERE app_user = '$app_user'");

		push @probes, map { [ 'appuser_connectors_owner', $app_user, $_ ] } "SELECT * FROM $table",
		  "SELECT * FROM $table WHERE app_user <> '$app_user'", "UPDATE $table SET app_user = app_user", "DELETE FROM $table",
		  "UPDATE $table SET app_user = 'mallory'", "SELECT * FROM $table FOR UPDATE";
		push @expected, "$own rows", '0 rows', "$own rows", "$own rows", $own ? '42501' : '0 rows', "$own rows";
	}
	check("$name: the owner role sees and changes the app user's own rows only", \@probes, \@expected);
}

# ------------------------------------------------------------------- functions

my @functions = map { $_->{name} } rows($node, 'postgres',
	"SELECT regexp_replace(oid::regprocedure::text, '^$ns\\.', '') AS name FROM pg_proc WHERE pronamespace = '$ns'::regnamespace AND prorettype <> 'trigger'::regtype");
is_deeply([ sort @functions ], [ sort keys %functions ], 'every function is known here, and is there');

foreach my $name (sort @functions)
{
	my $function = $functions{$name} or next;
	my (@probes, @expected);

	foreach my $role (@roles)
	{
		my $answers = $function->{$role} // '42501';

		foreach my $i (0 .. $#app_users)
		{
			push @probes, [ $role, $app_users[$i], "VALUE $function->{call}" ];
			push @expected, ref $answers ? $answers->[$i] : $answers;
		}
	}
	check("$name: answers those it is for, for the app user it is told of", \@probes, \@expected);
}

# What the planner has gathered is for nobody else either.
foreach my $role (@roles)
{
	my @seen = map { "$_->{tablename}.$_->{attname}" } rows($node, $role, "SELECT tablename, attname FROM pg_stats WHERE schemaname = '$ns'");
	my @more = grep { my ($table, $column) = split /\./; $role ne 'app_admin' || !grep { $_ eq $column } @{ $admin_reads{$table} } } @seen;
	is_deeply(\@more, [], "$role sees no statistics of columns it may not read");
}
is(query($node, 'postgres', "SELECT count(*) FROM pg_statistic AS s JOIN pg_attribute AS a ON (a.attrelid, a.attnum) = (s.starelid, s.staattnum)
		JOIN pg_class AS c ON c.oid = a.attrelid WHERE c.relnamespace = '$ns'::regnamespace AND a.atttypid = 'bytea'::regtype"),
	'0', 'and there are none of what is sealed');

is(access_token($node, 'alice', 'crm'), $alices, 'after all that, alice is as she was');

# One assertion for many probes: those that were answered differently are shown.
sub check
{
	my ($sentence, $probes, $expected) = @_;
	my @answers = probes('false', @$probes);
	my @wrong;

	foreach my $i (0 .. $#answers)
	{
		my $fits = ref $expected->[$i] ? $answers[$i] =~ $expected->[$i] : $answers[$i] eq $expected->[$i];
		push @wrong, join(' / ', @{ $probes->[$i] }) . ": got $answers[$i], expected $expected->[$i]" unless $fits;
	}
	is(scalar @answers, scalar @$expected, "$sentence: all " . @answers . ' were asked');
	is_deeply(\@wrong, [], $sentence);
	return;
}

$node->stop;
done_testing();
