# A standby that is promoted goes on with its primary's work, however the promotion went: with
# a restart or a crash right after it, somebody holding the table, hot_standby off, several
# one after the other, the old primary coming back as a standby.  A recovery to a point in
# time, or from an archive, makes a copy, and that is not forgotten either.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PostgreSQL::Test::Cluster;
use PsqlSession;
use Test::More;

my $provider = start_provider();
my $node = new_node('main', 'wal_level = replica', 'max_wal_senders = 8', 'wal_log_hints = on', 'archive_mode = on', 'wal_keep_size = 256MB');
my $archive = $node->archive_dir;
mkdir $archive;
$node->append_conf('postgresql.conf', "archive_command = 'cp \"%p\" \"$archive/%f\"'");
$node->restart;
register($node, $provider, connector_id => 'app');
connect_user($node, $_, 'app') foreach qw(alice bob);
$node->backup('base');
$node->safe_psql('postgres', "SELECT pg_create_restore_point('here')");
connect_user($node, 'carol', 'app');

# ------------------------------------------------------------------- helpers
sub standby
{
	my ($name, $of, %options) = @_;
	my $standby = PostgreSQL::Test::Cluster->new($name);

	$standby->init_from_backup($node, 'base', has_streaming => 1);
	$standby->append_conf('postgresql.conf', "archive_mode = off\n" . join "\n", @{ $options{conf} // [] });
	$standby->append_conf('postgresql.conf', "primary_conninfo = '" . $of->connstr . " application_name=$name'") if $of != $node;
	$standby->start;
	$of->wait_for_catchup($name, 'replay', $node->lsn('flush'));
	return $standby;
}

sub status { return query($_[0], 'app_admin', 'SELECT appuser_connectors.installation_status()'); }

# Goes on: it renews what is due, for whoever asks.
sub goes_on
{
	my ($server, $what) = @_;
	my $before = access_token($server, 'alice', 'app');

	is(status($server), 'ours', "$what: its data is its own");
	isnt(access_token($server, 'alice', 'app', rejected_token => $before), $before, "$what: tokens are renewed");
	return;
}

sub is_held
{
	my ($server, $what) = @_;
	my ($state) = failure($server, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('bob', 'app', min_validity => '1 day')");

	is(status($server), 'copy', "$what: a copy");
	is($state, 'UC009', "$what: nothing is renewed");
	return;
}

# ------------------------------------------------------------ one after the other
my $second = standby('second', $node);
my $third = standby('third', $second);
$node->stop('fast');
$second->promote;
$second->stop('immediate');
$second->start;
goes_on($second, 'a promotion with a crash right after it');
is($second->safe_psql('postgres', 'SELECT timeline FROM appuser_connectors.installation'), 2, 'which the row names');

# the old primary comes back as a standby, and takes its place again
$node->command_ok([ 'pg_rewind', '--source-server', $second->connstr('postgres'), '--target-pgdata', $node->data_dir ], 'pg_rewind of the old primary');
$node->append_conf('postgresql.conf', "primary_conninfo = '" . $second->connstr . " application_name=main'\nport = " . $node->port . "\nunix_socket_directories = '" . $node->host . "'\narchive_mode = off\nrestore_command = ''");
$node->set_standby_mode;
$node->start;
$second->wait_for_catchup('main', 'replay', $second->lsn('flush'));

$second->wait_for_catchup('third', 'replay', $second->lsn('flush'));
{
	my $holder = PsqlSession->new($second, undef);

	$second->stop('fast');
	$third->promote;
	$third->restart;
	goes_on($third, 'a cascading standby, restarted right after its promotion');
	$holder->close;
}
$third->stop('fast');
$node->promote;
{
	my $holder = PsqlSession->new($node, undef);

	$holder->ask('BEGIN; LOCK TABLE appuser_connectors.installation IN SHARE ROW EXCLUSIVE MODE');
	is(status($node), 'ours', 'promoted while somebody holds the table: its data is its own');
	my ($worker) = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'");
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($worker)") if $worker;
	$holder->ask('COMMIT');
	$holder->close;
}
# its last state is that of the time it was rewound to, so its own token may be spent by now
is(status($node), 'ours', 'and remains so');
ok(access_token($node, 'bob', 'app'), 'with its tokens');
$node->stop('fast');

# -------------------------------------------------- a standby that lets nobody look
{
	my $blind = PostgreSQL::Test::Cluster->new('blind');

	$blind->init_from_backup($node, 'base', has_restoring => 1, standby => 1);
	$blind->append_conf('postgresql.conf', "hot_standby = off\narchive_mode = off\nrecovery_target_timeline = '1'");
	$blind->start(fail_ok => 1);
	$blind->promote;
	is(status($blind), 'ours', 'promoted with hot_standby off: its data is its own');
	$blind->restart;
	is(status($blind), 'ours', 'also after a restart');
	$blind->stop('fast');
}

# -------------------------------------------- what comes from an archive is a copy
{
	my $earlier = PostgreSQL::Test::Cluster->new('earlier');

	$earlier->init_from_backup($node, 'base', has_restoring => 1, standby => 0);
	$earlier->append_conf('postgresql.conf', "archive_mode = off\nrecovery_target_timeline = '1'\nrecovery_target_name = 'here'\nrecovery_target_action = 'promote'");
	$earlier->start;
	$earlier->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'recovery did not end';
	is_held($earlier, 'recovered to a point in time');
	$earlier->restart;
	is_held($earlier, 'and restarted');
	$earlier->stop('immediate');
	$earlier->start;
	is_held($earlier, 'and crashed');
	is(query($earlier, 'app_admin', 'SELECT appuser_connectors.adopt_installation()'), 't', 'it is adopted');
	is(status($earlier), 'ours', 'and then its own');
	$earlier->stop('fast');
}
{
	my $latest = PostgreSQL::Test::Cluster->new('latest');

	$latest->init_from_backup($node, 'base', has_restoring => 1, standby => 0);
	$latest->append_conf('postgresql.conf', "archive_mode = off\nrecovery_target_timeline = '1'");
	$latest->start;
	$latest->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'recovery did not end';
	$latest->stop('immediate');
	$latest->start;
	is_held($latest, 'recovered to the end of the archive, and crashed');
	$latest->stop('fast');
}

done_testing();
