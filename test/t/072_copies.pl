# A copy of the database must not spend the original's refresh tokens: nothing is
# sent to any provider until an admin adopts the data.  Tokens that are still valid
# are served meanwhile.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PostgreSQL::Test::Cluster;
use Test::More;

my $provider = start_provider();
my $node = new_node('main', 'wal_level = replica', 'archive_mode = on',
	'max_wal_senders = 4', 'autovacuum = off');
my $archive = $node->archive_dir;
mkdir $archive;
$node->append_conf('postgresql.conf', "archive_command = 'cp \"%p\" \"$archive/%f\"'");
$node->reload;

register($node, $provider, connector_id => 'app');
connect_user($node, $_, 'app') foreach qw(alice bob carol);

my $stale = "UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 s', refresh_at = now() WHERE app_user = ";

sub asked
{
	return scalar grep { $_->{path} =~ m{^/token} } @{ $provider->ctl('/log') };
}

# Everything that a held copy does and does not do
sub is_held
{
	my ($copy, $database, $app_user, $what) = @_;
	my $before = asked();

	is(query($copy, 'app_admin', 'SELECT appuser_connectors.installation_status()', database => $database),
		'copy', "$what is known for a copy");
	ok(access_token($copy, $app_user, 'app', database => $database), "$what: a valid token is served");
	$copy->safe_psql($database, "$stale '$app_user'");
	my ($state, $message) = failure($copy, 'app_service',
		"SELECT * FROM appuser_connectors.app_user_connection('$app_user', 'app')", database => $database);
	is($state, 'UC009', "$what: one that is no longer valid is UC009");
	like($message, qr/adopt_installation/, 'with a hint that names the way out');
	($state) = failure($copy, 'app_service', "SELECT appuser_connectors.connect_app_user('app')",
		app_user => 'dave', database => $database);
	is($state, 'UC009', "$what: nobody connects through it");
	query($copy, 'app_service', "SELECT appuser_connectors.disconnect_app_user('app')",
		app_user => 'carol', database => $database);

	# the worker has had its turn at what is due when it has answered another call
	failure($copy, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('$app_user', 'app')", database => $database);
	is(asked(), $before, "$what: the provider was asked nothing, not even to revoke");
	is($copy->safe_psql($database, 'SELECT count(*) FROM appuser_connectors.revocations'), '1', 'what is to be revoked waits');
	return;
}

sub is_adopted
{
	my ($copy, $database, $app_user, $what) = @_;

	my ($state) = failure($copy, 'app_service', 'SELECT appuser_connectors.adopt_installation()', database => $database);
	is($state, '42501', "$what: adopting is for admins");
	is(query($copy, 'app_admin', 'SELECT appuser_connectors.adopt_installation()', database => $database), 't', "$what is adopted");
	is(query($copy, 'app_admin', 'SELECT appuser_connectors.adopt_installation()', database => $database), 'f', 'once is enough');
	is(query($copy, 'app_admin', 'SELECT appuser_connectors.installation_status()', database => $database), 'ours', 'and its own now');
	my $token = access_token($copy, $app_user, 'app', database => $database);
	is(userinfo($provider, $token)->{sub}, $app_user, "$what: then tokens are refreshed");
	ok($copy->poll_query_until($database, 'SELECT count(*) = 0 FROM appuser_connectors.revocations'), 'and the outbox goes out');
	return;
}

# a backup for later, of the time when everybody is connected
$node->backup('backup');

# switched off by setting: what a disk snapshot is started with
$node->append_conf('postgresql.conf', 'appuser_connectors.provider_calls = off');
$node->reload;
$node->poll_query_until('postgres', "SELECT appuser_connectors.installation_status() = 'switched off'") or die 'not reloaded';
$node->safe_psql('postgres', "$stale 'alice'");
my $before = asked();
my ($state, $message) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('alice', 'app')");
is($state, 'UC009', 'with provider_calls off a stale token is UC009');
like($message, qr/provider_calls/, 'which names the setting');
is(asked(), $before, 'and nothing is sent');
$node->append_conf('postgresql.conf', 'appuser_connectors.provider_calls = on');
$node->reload;
ok($node->poll_query_until('postgres', "SELECT appuser_connectors.installation_status() = 'ours'"), 'it is on again');
wait_until('the worker refreshed what was due', sub { asked() > $before });
ok(access_token($node, 'alice', 'app'), 'and goes on');

# CREATE DATABASE … TEMPLATE
$node->safe_psql('template1', 'CREATE DATABASE copy TEMPLATE postgres');
is_held($node, 'copy', 'bob', 'a database made from it as template');
is_adopted($node, 'copy', 'bob', 'a database made from it as template');
$node->safe_psql('template1', 'DROP DATABASE copy');

# Recovery from an archive: another timeline.  It takes the original's place here.
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
$node->stop;
my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init_from_backup($node, 'backup', has_restoring => 1, standby => 0);
$restored->append_conf('postgresql.conf', "archive_mode = off\nrecovery_target_timeline = 'latest'");
$restored->start;
$restored->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'recovery did not end';
is_held($restored, 'postgres', 'alice', 'a cluster recovered from an archive');
is_adopted($restored, 'postgres', 'alice', 'a cluster recovered from an archive');
like(PostgreSQL::Test::Utils::slurp_file($restored->logfile), qr/holds calls to providers: this database is a copy/, 'the log had said so');

$restored->stop;
done_testing();
