# What a dump brings back are refresh tokens that may have been spent since, and a provider ends
# the grant whose spent one comes again.  So whichever way rows come back, nothing is sent until an
# admin says so; and then every token opens.  A restore in parallel works each time.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my $provider = start_provider();
my $node = new_node('main');
my @people = map { "person$_" } 1 .. 5;
my @tables = qw(installation encryption_keys registered_providers registered_connectors connections authorizations pending_answers revocations connection_events issuers);

register($node, $provider, connector_id => 'app');
connect_user($node, $_, 'app') foreach @people;

my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dump.custom", '-d', $node->connstr('postgres') ], 'pg_dump');
$node->command_ok([ 'pg_dump', '-Fd', '-f', "$dump.directory", '-d', $node->connstr('postgres') ], 'pg_dump, a directory');
$node->command_ok([ 'pg_dump', '--inserts', '--data-only', '-f', "$dump.inserts", '-d', $node->connstr('postgres') ], 'pg_dump, by INSERT');

# Since then every refresh token has been replaced.
access_token($node, $_, 'app', min_validity => '1 day') foreach @people;

# ------------------------------------------------------------------- helpers
sub token_requests { return scalar grep { $_->{path} =~ m{^/token} } @{ $provider->ctl('/log') }; }

sub status { return query($node, 'app_admin', 'SELECT appuser_connectors.installation_status()', database => $_[0]); }

sub restore
{
	my ($database, @options) = @_;

	return $node->command_ok([ 'pg_restore', '-d', $node->connstr($database), @options ], "pg_restore @options[0 .. $#options - 1]");
}

sub is_held
{
	my ($what, $database) = @_;
	my $before = token_requests();

	is(status($database), 'copy', "$what: the database counts as a copy");
	$node->safe_psql($database, 'UPDATE appuser_connectors.connections SET refresh_at = now()');
	my ($state) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('person1', 'app', min_validity => '1 day')", database => $database);
	is($state, 'UC009', "$what: no token is renewed");
	is(token_requests(), $before, "$what: nothing is sent");
	is(query($node, 'app_admin', 'SELECT appuser_connectors.adopt_installation()', database => $database), 't', "$what: it is adopted");
	is(status($database), 'ours', "$what: and then its own");
	ok(access_token($node, $_, 'app', database => $database), "$what: the token of $_ opens") foreach @people;
	return;
}

# Nothing is due, so that what was spent is not sent after an adoption here.
sub calm { $node->safe_psql($_[0], 'UPDATE appuser_connectors.connections SET refresh_at = NULL'); return; }

sub truncate_all
{
	my ($database, @names) = @_;

	$node->safe_psql($database, 'TRUNCATE ' . join ', ', map { "appuser_connectors.$_" } @names);
	return;
}

# ------------------------------------------------------------------ each way back
restore('postgres', '--clean', '--if-exists', "$dump.custom");
is_held('--clean into the same database', 'postgres');
calm('postgres');

truncate_all('postgres', @tables);
restore('postgres', '--data-only', "$dump.custom");
is_held('--data-only into emptied tables', 'postgres');
calm('postgres');

truncate_all('postgres', 'connections');
restore('postgres', '--data-only', '-t', 'connections', "$dump.custom");
is_held('one table alone', 'postgres');
calm('postgres');

truncate_all('postgres', 'connections');
restore('postgres', '--data-only', '--disable-triggers', '-t', 'connections', "$dump.custom");
is_held('--disable-triggers', 'postgres');
calm('postgres');
$node->safe_psql('postgres', "ALTER TABLE appuser_connectors.$_ ENABLE ALWAYS TRIGGER note_restored_rows") foreach qw(installation connections pending_answers);

truncate_all('postgres', @tables);
$node->safe_psql('postgres', slurp_file("$dump.inserts"));
is_held('INSERT statements', 'postgres');
calm('postgres');

$node->safe_psql('postgres', "COPY appuser_connectors.connections TO '$dump.copy'; TRUNCATE appuser_connectors.connections");
is(status('postgres'), 'ours', 'to take rows out is not to bring any');
$node->safe_psql('postgres', "SET session_replication_role = replica; COPY appuser_connectors.connections FROM '$dump.copy'");
is_held('COPY, with triggers switched off', 'postgres');
calm('postgres');

$node->safe_psql('postgres', "BEGIN; TRUNCATE appuser_connectors.connections; COPY appuser_connectors.connections FROM '$dump.copy'; ROLLBACK");
is(status('postgres'), 'ours', 'what is rolled back was not brought');

# Whom row security keeps out cannot hold the database either, by inserting nothing.
$node->safe_psql('postgres', 'CREATE ROLE app_writer LOGIN IN ROLE pg_write_all_data');
foreach my $table (qw(installation connections pending_answers))
{
	my $column = $table eq 'installation' ? 'installation_id' : 'app_user';
	my $value = $table eq 'installation' ? 'gen_random_uuid()' : "'x'";

	query($node, 'app_writer', "INSERT INTO appuser_connectors.$table ($column) SELECT $value WHERE false");
	is((failure($node, 'app_writer', "INSERT INTO appuser_connectors.$table ($column) SELECT $value"))[0], '42501', "pg_write_all_data inserts no row into $table");
	query($node, 'app_writer', "DO \$\$ BEGIN INSERT INTO appuser_connectors.$table ($column) SELECT $value; EXCEPTION WHEN insufficient_privilege THEN END \$\$");
	is(status('postgres'), 'ours', '... and by none it does not make a copy of the database');
}

foreach my $round (1 .. 4)
{
	$node->safe_psql('template1', 'CREATE DATABASE parallel');
	restore('parallel', '-j', '4', "$dump.directory");
	is($node->safe_psql('parallel', 'SELECT count(*) FROM appuser_connectors.connections'), scalar @people, 'a restore in parallel brings all connections');
	is_held('-j 4 into a new database', 'parallel') if $round == 1;
	$node->safe_psql('template1', 'DROP DATABASE parallel');
}

$node->safe_psql('template1', 'DROP DATABASE postgres WITH (FORCE)');
$node->safe_psql('template1', 'CREATE DATABASE postgres');
restore('postgres', "$dump.custom");
is_held('into a dropped and created database', 'postgres');
calm('postgres');

# ------------------------------------------------- a connector that was left out
truncate_all('postgres', 'registered_connectors');
$node->safe_psql('postgres', 'UPDATE appuser_connectors.connections SET refresh_at = now()');
like(query($node, 'app_admin', "SELECT detail FROM appuser_connectors.check_health() WHERE name = 'connector app' AND NOT ok"), qr/no such connector/,
	'check_health() names a connector that connections lack');

is(query($node, 'app_service', "SELECT appuser_connectors.erase_app_user('person1')"), 1, 'a person is erased all the same');
is($node->safe_psql('postgres', "SELECT count(*) FROM appuser_connectors.connections WHERE app_user = 'person1'"), 0, 'with what lacks its connector');

# ------------------------------------- what the extension itself does is no restore
my $fresh = new_node('fresh');
register($fresh, $provider, connector_id => 'app');
connect_user($fresh, 'alice', 'app');
connect_user($fresh, 'alice', 'app');
is(query($fresh, 'app_admin', 'SELECT appuser_connectors.installation_status()'), 'ours', 'to connect and connect again is none');

$_->stop foreach $fresh, $node;
done_testing();
