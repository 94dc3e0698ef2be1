# Tables that a superuser's DDL or UPDATE has made into something else: a null, a missing
# column, one of another type, an index that is gone or is another.  Every column of every
# table, from the catalog: an error that says which, and never a crash; and the worker
# puts a row that it cannot read off, says so once, and goes on with the others.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use MIME::Base64 qw(encode_base64url);
use Test::More;

my $ns = 'appuser_connectors';
my $provider = start_provider();
my $node = new_node('main');
allow_inserts($node);

register($node, $provider, connector_id => 'one');
is(connect_user($node, $_, 'one')->{failure}, undef, "$_ is connected") foreach qw(alice bob);
my $started = query($node, 'postgres', 'SELECT pg_postmaster_start_time()');
my $log_start = -s $node->logfile;

# Something in every table; nothing of it is due.
query($node, 'app_admin', "SELECT $ns.register_issuer('https://issuer.example', jwks_uri => 'https://issuer.example/jwks', audiences => '{app}')");
authorization_url($node, 'alice', 'one');
query($node, 'postgres', "INSERT INTO $ns.revocations SELECT 'alice', gen_random_uuid(), 'one', 'x', NULL, NULL, gen_random_uuid(), '', 0, now(), now() + interval '1 day'");

my @columns = rows($node, 'postgres', qq{
	SELECT c.relname AS table, a.attname AS column, a.atttypid::regtype AS type, a.attnum AS number, a.attnotnull AS "notNull",
		   EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY (i.indkey)) AS key
	FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	WHERE c.relnamespace = '$ns'::regnamespace AND c.relkind = 'r' ORDER BY 1, a.attnum});
cmp_ok(scalar(@columns), '>', 80, 'the columns of all tables');

# Every function that reads or writes tables, without the worker's help; each undone.
my $jwt = join '.', map { encode_base64url($_) } '{"alg":"RS256","kid":"x"}', '{"iss":"https://issuer.example","sub":"alice","aud":"app"}', 'x' x 256;
my $definition = encode($provider->definition);
my @questions = (
	"(SELECT count(*) FROM $ns.app_user_connection('alice', 'one'))", "(SELECT count(status) FROM $ns.app_user_connections())",
	"$ns.connect_app_user('one')", "$ns.disconnect_app_user('one')", "$ns.erase_app_user('alice')",
	"$ns.update_connector('one', name => 'New')", "$ns.delete_connector('one')",
	"$ns.register_connector('test', 'app', 'secret', '{read}', '{https://app.example/cb}', 'two')",
	"$ns.register_connector('slack', 'app', 'secret', '{read}', '{https://app.example/cb}', 'three')",
	"$ns.register_provider('new', '$definition')", "$ns.register_provider('test', '$definition')",
	"$ns.register_issuer('https://issuer.example', jwks_uri => 'https://issuer.example/other')", "$ns.delete_issuer('https://issuer.example')",
	"$ns.authenticate_app_user('$jwt')", "(SELECT count(*) FROM $ns.check_health())", "$ns.installation_status()", "$ns.adopt_installation()");

query($node, 'postgres', q{
	CREATE FUNCTION public.ask(tampering text, questions text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
	DECLARE
		question text;
		answers text[] := '{}';
		message text;
		detail text;
		hint text;
	BEGIN
		PERFORM appuser_connectors.set_app_user('alice');
		BEGIN
			EXECUTE tampering;
			FOREACH question IN ARRAY questions LOOP
				BEGIN
					EXECUTE 'SELECT ' || question;
					RAISE EXCEPTION USING ERRCODE = 'P9999';
				EXCEPTION
					WHEN SQLSTATE 'P9999' THEN
						answers := answers || 'done'::text;
					WHEN OTHERS THEN
						GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
						answers := answers || concat_ws('|', SQLSTATE, message, detail, hint);
				END;
			END LOOP;
			RAISE EXCEPTION USING ERRCODE = 'P9998';
		EXCEPTION WHEN SQLSTATE 'P9998' THEN
			RETURN QUERY SELECT unnest(answers);
		END;
	END $$;});

sub ask
{
	my ($tampering) = @_;
	my @answers = split /\n/, query($node, 'postgres', 'SELECT translate(a, chr(10), chr(32)) FROM public.ask(' . AppuserConnectors::quote($tampering) . ', ARRAY['
		  . join(', ', map { AppuserConnectors::quote($_) } @questions) . ']) AS a');

	is(scalar(@answers), scalar(@questions), "$tampering: everything is answered") or diag(join "\n", @answers);
	return map { $questions[$_] => $answers[$_] } 0 .. $#questions;
}

# As it is, everything works but what no key can verify.
my %untouched = ask('SELECT');
is_deeply([ grep { $untouched{$_} ne 'done' && !/authenticate/ } @questions ], [], 'untouched, everything works') or diag(explain(\%untouched));
like($untouched{"$ns.authenticate_app_user('$jwt')"}, qr/^UC003|^28000/, 'and a JWT that is none is refused');

my %other_type = (text => 'integer', uuid => 'text', bigint => 'text', integer => 'text', boolean => 'text', oid => 'text', bytea => 'integer',
	jsonb => 'text', interval => 'text', 'text[]' => 'text', 'timestamp with time zone' => 'text');
my %told;
foreach my $column (@columns)
{
	my ($table, $name, $type) = @$column{qw(table column type)};
	my $relation = "$ns.$table";
	my @tampering = (
		[ dropped => "ALTER TABLE $relation DROP COLUMN $name CASCADE" ],
		[ retyped => "DELETE FROM $relation WHERE '$table' = 'authorizations'; ALTER TABLE $relation DROP COLUMN $name CASCADE; ALTER TABLE $relation ADD COLUMN $name $other_type{$type}" ],
		# its type, in its place
		[ 'of another type' => "DROP POLICY IF EXISTS own_rows ON $relation; DROP POLICY IF EXISTS admin_sees_status ON $relation;
			DROP POLICY IF EXISTS admin_sees_events ON $relation; DROP VIEW IF EXISTS $ns.connection_status; DROP VIEW IF EXISTS $ns.pg_stat_appuser_connectors;
			ALTER TABLE $relation " . join(', ', "ALTER COLUMN $name DROP DEFAULT", "ALTER COLUMN $name TYPE $other_type{$type} USING " . ($type eq 'text' || $type eq 'bytea' ? '7' : "'7'")) ],
		[ renamed => "ALTER TABLE $relation RENAME COLUMN $name TO something" ]);
	push @tampering, [ null => "ALTER TABLE $relation ALTER COLUMN $name DROP NOT NULL; UPDATE $relation SET $name = NULL" ] if $column->{notNull} && !$column->{key};

	foreach my $tampering (@tampering)
	{
		my ($what, $statement) = @$tampering;
		# a superuser's mistake may be refused by PostgreSQL itself
		next if (failure($node, 'postgres', "BEGIN; $statement; ROLLBACK"))[0];
		my %answers = ask($statement);
		my @unexpected;

		foreach my $question (@questions)
		{
			my ($state) = $answers{$question} =~ /^([0-9A-Z]{5})\|/ or next;
			next if $state =~ /^(28000|UC003)$/ && $question =~ /authenticate/;
			my $named = $answers{$question} =~ /\Q$name\E|\Q$table\E/ && $answers{$question} =~ /\|[A-Z][^|]*\.$/;

			$told{"$table.$name"}{$what} = 1 if $named;
			push @unexpected, "$question: $answers{$question}" if !$named || $state !~ /^(XX001|55000|42703|42804|42883|42P01|42P10|22P02|23502)$/;
			push @unexpected, "$question: $answers{$question}" if $what eq 'null' && $state eq 'XX001' && $answers{$question} !~ /"\Q$ns.$table.$name\E"/;
		}
		# what belongs to a row may keep it from being believed, or found
		@unexpected = grep { !/: (UC0|XX001\|(the stored token|issuer|provider))/ } @unexpected;
		is_deeply(\@unexpected, [], "$table.$name is $what: an error names it and what to do") or diag($statement);
	}
}

# Each column that anything reads was missed by something.
# (The worker alone reads pending_answers; people, by a view, what else is known of the catalogue's providers.)
my @missed = grep { $_->{table} ne 'pending_answers' && ($_->{table} ne 'provider_catalogue' || $_->{column} =~ /^(?:provider|definition|unsupported)$/) && !$told{"$_->{table}.$_->{column}"} } @columns;
is(join(' ', map { "$_->{table}.$_->{column}" } @missed), '', 'no column is missing unnoticed');

# ------------------------------------------------------------------- the indexes

my @indexes = rows($node, 'postgres', qq{
	SELECT c.relname AS index, t.relname AS table, pg_get_indexdef(c.oid) AS definition, x.conname AS constraint
	FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_class AS t ON t.oid = i.indrelid
		 LEFT JOIN pg_constraint AS x ON x.conindid = c.oid AND x.contype = 'p'
	WHERE t.relnamespace = '$ns'::regnamespace AND t.relkind = 'r' ORDER BY 1});
my %index_told;
foreach my $index (@indexes)
{
	my ($name, $table, $definition) = @$index{qw(index table definition)};
	my $drop = $index->{constraint} ? "ALTER TABLE $ns.$table DROP CONSTRAINT $name CASCADE" : "DROP INDEX $ns.$name";
	my $other = $definition =~ s/\((\w+)[^)]*\)/($1 DESC)/r;

	foreach my $tampering ([ dropped => $drop ], [ invalid => "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '$ns.$name'::regclass; ALTER TABLE $ns.$table SET (fillfactor = 90)" ],
		[ another => "$drop; CREATE INDEX $name ON $ns.$table (ctid_text(ctid))" =~ s/\(ctid_text\(ctid\)\)/((tableoid))/r ],
		[ 'in another order' => "$drop; $other" ], [ partial => "$drop; " . ($definition =~ /WHERE/ ? $definition =~ s/ WHERE.*//r : "$definition WHERE false") ])
	{
		my ($what, $statement) = @$tampering;
		next if (failure($node, 'postgres', "BEGIN; $statement; ROLLBACK"))[0];
		my %answers = ask($statement);
		my @unexpected = grep {
			$answers{$_} ne 'done' && $answers{$_} !~ /^(55000\|.*"\Q$ns.$name\E".*\.$|42P10\||23505\||UC003\||28000\|)/
		} @questions;
		$index_told{$name} = 1 if grep { /^55000/ } values %answers;
		is_deeply([ map { "$_: $answers{$_}" } @unexpected ], [], "index $name is $what: an error names it") or diag($statement);
	}
}
is_deeply([ grep { !$index_told{$_} } qw(connections_due connections_pkey encryption_keys_pkey issuers_pkey) ], [], 'the indexes that backends scan were missed');
is(query($node, 'postgres', 'SELECT pg_postmaster_start_time()'), $started, 'nothing has crashed');

# ------------------------------------------------------------------- the worker

# A row of alice's that cannot be read, and is due; bob's is due too.
query($node, 'postgres', "CREATE TABLE public.kept AS TABLE $ns.connections; CREATE TABLE public.kept_connectors AS TABLE $ns.registered_connectors");
my $generation = "SELECT generation FROM $ns.connections WHERE app_user = 'bob'";
foreach my $name (map { $_->{column} } grep { $_->{table} eq 'connections' && $_->{notNull} && !$_->{key} } @columns)
{
	my $before = query($node, 'postgres', $generation);
	my $mark = -s $node->logfile;

	query($node, 'postgres', "BEGIN; ALTER TABLE $ns.connections ALTER COLUMN $name DROP NOT NULL;
		UPDATE $ns.connections SET $name = NULL, refresh_at = now() - interval '1 minute' WHERE app_user = 'alice';
		UPDATE $ns.connections SET refresh_at = now() - interval '1 second' WHERE app_user = 'bob'; COMMIT; SELECT pg_reload_conf()");
	wait_until("$name is null: bob is refreshed", sub { query($node, 'postgres', $generation) > $before });
	wait_until("$name is null: alice is put off", sub {
			query($node, 'postgres', "SELECT refresh_at > now() + interval '10 min' FROM $ns.connections WHERE app_user = 'alice'") eq 't'
		});
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile, $mark);
	my @errors = $log =~ /ERROR:.*/g;
	cmp_ok(scalar(@errors), '<=', 1, "$name is null: the log is not flooded") or diag(join "\n", @errors);
	is((failure($node, 'app_service', "SELECT access_token FROM $ns.app_user_connection('alice', 'one')"))[0], 'XX001', "$name is null: alice is told so") if $name ne 'failures';  # counted from 0 then
	query($node, 'postgres', "BEGIN; DELETE FROM $ns.connections WHERE app_user = 'alice'; ALTER TABLE $ns.connections ALTER COLUMN $name SET NOT NULL;
		INSERT INTO $ns.connections SELECT * FROM public.kept WHERE app_user = 'alice'; COMMIT");
}
is(query($node, 'postgres', "SELECT count(*) FROM $ns.connection_events WHERE app_user = 'alice' AND event = 'refresh_failing' AND detail LIKE 'unreadable: %'"), '1',
	'which is one event');

# The same of a revocation.
foreach my $name (map { $_->{column} } grep { $_->{table} eq 'revocations' && $_->{notNull} && !$_->{key} && $_->{column} ne 'connector_id' && $_->{column} ne 'attempt_at' } @columns)
{
	my $before = query($node, 'postgres', $generation);

	query($node, 'postgres', "BEGIN; ALTER TABLE $ns.revocations ALTER COLUMN $name DROP NOT NULL;
		UPDATE $ns.revocations SET $name = NULL, attempt_at = now() - interval '1 minute';
		UPDATE $ns.connections SET refresh_at = now() - interval '1 second' WHERE app_user = 'bob'; COMMIT; SELECT pg_reload_conf()");
	wait_until("$name of a revocation is null: it is put off", sub {
			query($node, 'postgres', "SELECT attempt_at > now() + interval '10 min' FROM $ns.revocations") eq 't'
		});
	wait_until("$name of a revocation is null: bob is refreshed", sub { query($node, 'postgres', $generation) > $before });
	query($node, 'postgres', "BEGIN; DELETE FROM $ns.revocations; ALTER TABLE $ns.revocations ALTER COLUMN $name SET NOT NULL;
		INSERT INTO $ns.revocations SELECT 'alice', gen_random_uuid(), 'one', 'x', NULL, NULL, gen_random_uuid(), '', 0, now(), now() + interval '1 day'; COMMIT");
}

# Whole tables that cannot be read: told once, and all is well when they can again.
my %worker_needs = ('ALTER TABLE appuser_connectors.connections RENAME COLUMN refusals TO something' => 'ALTER TABLE appuser_connectors.connections RENAME COLUMN something TO refusals',
	'ALTER INDEX appuser_connectors.connections_due RENAME TO something' => 'ALTER INDEX appuser_connectors.something RENAME TO connections_due',
	'ALTER INDEX appuser_connectors.revocations_due RENAME TO something' => 'ALTER INDEX appuser_connectors.something RENAME TO revocations_due',
	'ALTER TABLE appuser_connectors.registered_connectors RENAME COLUMN client_id TO something' => 'ALTER TABLE appuser_connectors.registered_connectors RENAME COLUMN something TO client_id',
	'ALTER TABLE appuser_connectors.installation RENAME COLUMN timeline TO something' => 'ALTER TABLE appuser_connectors.installation RENAME COLUMN something TO timeline');
foreach my $statement (sort keys %worker_needs)
{
	my $before = query($node, 'postgres', $generation);
	my $mark = -s $node->logfile;
	my $errors = sub { my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile, $mark); return scalar(() = $log =~ /ERROR:/g); };
	my $until = time + 4;

	query($node, 'postgres', "BEGIN; $statement; UPDATE $ns.connections SET refresh_at = now() - interval '1 second' WHERE app_user = 'bob'; COMMIT; SELECT pg_reload_conf()");
	wait_until("$statement: the worker says so", sub { $errors->() > 0 });
	(my $told) = PostgreSQL::Test::Utils::slurp_file($node->logfile, $mark) =~ /ERROR:\s+(.*)/;
	like($told, qr/appuser_connectors\.|client_id/, "... naming it: $told");
	wait_until("$statement: the worker has tried some times", sub { time > $until });
	cmp_ok($errors->(), '<=', 2, '... without a flood of it');
	query($node, 'postgres', $worker_needs{$statement} . "; UPDATE $ns.connections SET refresh_at = now() - interval '1 second' WHERE app_user = 'bob'; SELECT pg_reload_conf()");
	wait_until('and goes on when it is as it was', sub { query($node, 'postgres', $generation) > $before });
}

is(query($node, 'postgres', 'SELECT pg_postmaster_start_time()'), $started, 'nothing has crashed');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile, $log_start), qr/terminated by signal|PANIC|was terminated/, 'neither has any process');

$node->stop;
done_testing();
