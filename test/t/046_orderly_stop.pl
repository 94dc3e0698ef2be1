# A stop in order loses nothing: whoever stops the server, drops the extension, ends the
# worker or fails over to a standby while a provider's answers are on their way has them
# waited for, and nothing new is sent meanwhile.  The provider rotates refresh tokens and
# ends the grant whose old one comes again, so that a lost answer does not go unnoticed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PsqlSession;
use Test::More;
use Time::HiRes qw(time usleep);

my $people = 100;
my $provider = start_provider();
my $node = new_node('main', 'wal_level = replica', 'max_wal_senders = 5', 'max_connections = 60',
	"appuser_connectors.request_timeout = '300s'", "appuser_connectors.wait_timeout = '300s'", "appuser_connectors.shutdown_timeout = '300s'",
	'appuser_connectors.max_concurrent_requests_per_connector = 200');
register($node, $provider, connector_id => 'app');
register($node, $provider, connector_id => 'narrow');
my @people = map { "person$_" } 1 .. $people;
connect_user($node, $_, 'app') foreach @people;

# ------------------------------------------------------------------- helpers
sub superuser { return $node->safe_psql('postgres', $_[0]); }

# The provider does all it does, rotation included, and keeps back the answers.
sub hold_answers
{
	my ($times) = @_;

	$provider->order({ reset => JSON::PP::true,
			faults => [ { path => '/token', when => 'after', grant_type => 'refresh_token', hold => JSON::PP::true, times => $times } ] });
	return;
}

sub release { return $provider->order({ release => JSON::PP::true, faults => [] }); }

sub refreshes
{
	my $counts = $provider->ctl->{grants}{refresh_token} // {};
	my $sum = 0;

	$sum += $_ foreach values %$counts;
	return $sum;
}

sub refusals { return $provider->ctl->{refusals} // 0; }

# Has the worker renew these now, ahead of their time
sub make_due
{
	my ($where) = @_;

	superuser("UPDATE appuser_connectors.connections SET refresh_at = now() WHERE $where");
	return;
}

sub begin_stop
{
	my ($server) = @_;
	my $log = -s $server->logfile;
	my $stop = IPC::Run::start([ 'pg_ctl', '-D', $server->data_dir, '-m', 'fast', '-t', '300', 'stop' ], '>', \my $out, '2>', \my $err);

	wait_until('the server is stopping', sub { $server->log_contains('received fast shutdown request', $log) });
	return $stop;
}

sub end_stop
{
	my ($server, $stop) = @_;
	my $stopped = $stop->finish;

	$server->{_pid} = undef;
	return $stopped;
}

sub connected { return superuser("SELECT count(*) FROM appuser_connectors.connections WHERE connector_id = 'app' AND status = 'connected'"); }

# Of everybody: what is stored is what the provider gave last, and it can be renewed.
sub all_is_well
{
	my ($server, $what) = @_;

	# what is still due is replaced while one looks
	wait_until('nothing is due', sub {
			$server->safe_psql('postgres', "SELECT count(*) FROM appuser_connectors.connections WHERE connector_id = 'app' AND refresh_at <= now()") eq '0' });
	my %live = map { $_->{account} => { map { $_ => 1 } @{ $_->{access_tokens} } } } @{ $provider->ctl('/grants') };
	my @lost = grep { !$live{$_}{ access_token($server, $_, 'app') } } @people;

	is_deeply(\@lost, [], "$what: everybody has the token that was given last");
	$provider->order({ reset => JSON::PP::true });
	$server->safe_psql('postgres', "UPDATE appuser_connectors.connections SET refresh_at = now() WHERE connector_id = 'app'");
	wait_until('everybody is renewed', sub { refreshes() >= $people });
	wait_until('and all of it stored', sub {
			$server->safe_psql('postgres', "SELECT count(*) FROM appuser_connectors.connections WHERE connector_id = 'app' AND refresh_at > now()") == $people });
	is($server->safe_psql('postgres', "SELECT count(*) FROM appuser_connectors.connections WHERE connector_id = 'app' AND status = 'connected' AND failures = 0"),
		$people, "$what: and everybody's can be renewed again");
	is(refusals(), 0, "$what: nothing was sent that was spent");
	return;
}

# ----------------------------------------------------- a stop amid a hundred refreshes
hold_answers($people);
make_due("connector_id = 'app'");
wait_until('a hundred answers are held', sub { $provider->ctl->{held} >= $people });
my $stop = begin_stop($node);
usleep(1_500_000); # what is promised is that it waits, and for longer than a moment
release();
ok(end_stop($node, $stop), 'pg_ctl stop -m fast ends once the answers are there');
is(refreshes(), $people, 'no call was made twice');
$node->start;
is(connected(), $people, 'nobody has to connect again');
all_is_well($node, 'a stop');

# --------------------------------------------- what was not sent is not sent any more
$provider->order({ reset => JSON::PP::true });
connect_user($node, 'nina', 'narrow');
$node->append_conf('postgresql.conf', 'appuser_connectors.max_concurrent_requests_per_connector = 5');
$node->reload;
hold_answers($people);
make_due("connector_id = 'app'");
wait_until('five answers are held', sub { $provider->ctl->{held} >= 5 });
my $asker = PsqlSession->new($node, 'app_service');
$asker->send("SELECT access_token FROM appuser_connectors.app_user_connection('nina', 'narrow', min_validity => '10 days')");
wait_until('nina asks', sub { $provider->ctl->{held} >= 6 });
$stop = begin_stop($node);
release();
ok(end_stop($node, $stop), 'the server stops with calls that were not sent yet');
is(refreshes(), 6, 'which it does not send');
$node->append_conf('postgresql.conf', 'appuser_connectors.max_concurrent_requests_per_connector = 200');
$node->start;
all_is_well($node, 'a stop with a queue');

# ------------------------------------------ a call that breaks off is not made again
$provider->order({ reset => JSON::PP::true, faults => [ { path => '/token', when => 'before', hold => JSON::PP::true, drop => JSON::PP::true, times => 1 } ] });
make_due("app_user = 'person1'");
wait_until('one call is held', sub { $provider->ctl->{held} >= 1 });
$stop = begin_stop($node);
release();
ok(end_stop($node, $stop), 'the server stops when a call breaks off');
is(refreshes(), 0, 'and does not make it again');
is(connected_after_start(), $people, 'which the next start does');

sub connected_after_start
{
	$node->start;
	wait_until('it is made after the start', sub { refreshes() == 1 });
	return connected();
}

# ------------------------------------------------------------ to wait has an end
$node->append_conf('postgresql.conf', "appuser_connectors.shutdown_timeout = '1s'");
$node->reload;
$provider->order({ reset => JSON::PP::true, faults => [ { path => '/token', when => 'before', hold => JSON::PP::true, times => 1 } ] });
make_due("app_user = 'person2'");
wait_until('one call is held', sub { $provider->ctl->{held} >= 1 });
my $offset = -s $node->logfile;
my $began = time();
$node->stop('fast');
cmp_ok(time() - $began, '<', 20, 'a provider that does not answer does not keep the server from stopping');
ok($node->log_contains(qr/gives up waiting for 1 answers.*\n.*\n.*HINT:.*shutdown_timeout above 1000 ms/, $offset), 'and the log says what it may cost, and what to change');
release();
$node->append_conf('postgresql.conf', "appuser_connectors.shutdown_timeout = '300s'");
$node->start;
wait_until('it is made again', sub { superuser("SELECT count(*) FROM appuser_connectors.connections WHERE app_user = 'person2' AND refresh_at > now() AND failures = 0") == 1 });

# ----------------------------------------------- the worker alone is told to end
hold_answers(1);
$asker = PsqlSession->new($node, 'app_service');
my $old = access_token($node, 'person3', 'app');
$asker->send("SELECT access_token FROM appuser_connectors.app_user_connection('person3', 'app', rejected_token => '$old')");
wait_until('one answer is held', sub { $provider->ctl->{held} >= 1 });
my $worker = superuser("SELECT pid FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'");
superuser("SELECT pg_terminate_backend($worker)");
my $late = PsqlSession->new($node, 'app_service');
my $other = access_token($node, 'person4', 'app');
$late->send("SELECT access_token FROM appuser_connectors.app_user_connection('person4', 'app', rejected_token => '$other')");
release();
isnt($asker->result, $old, 'who waits for the answer gets it from the worker that ends');
isnt($late->result, $other, 'who came later is served by the next one');
isnt(superuser("SELECT pid FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'"), $worker, 'which is another');
is(refreshes(), 2, 'each by one call');

# --------------------------------------------------- whoever needs the database waits
hold_answers(1);
$old = access_token($node, 'person5', 'app');
$asker->send("SELECT access_token FROM appuser_connectors.app_user_connection('person5', 'app', rejected_token => '$old')");
wait_until('one answer is held', sub { $provider->ctl->{held} >= 1 });
my $root = PsqlSession->new($node, undef);
$root->send('BEGIN; DROP EXTENSION appuser_connectors; ROLLBACK');
wait_until('DROP EXTENSION waits for the worker', sub {
		superuser("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%DROP EXTENSION%' AND wait_event_type = 'Extension'
			AND pid <> pg_backend_pid()") == 1 });
release();
$root->result;
isnt($asker->result, $old, 'DROP EXTENSION waits for what is on its way');
$_->close foreach $root, $asker, $late;
all_is_well($node, 'DROP EXTENSION, rolled back');

# ------------------------------------------------ a standby takes the primary's place
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay');
hold_answers($people);
make_due("connector_id = 'app'");
wait_until('a hundred answers are held', sub { $provider->ctl->{held} >= $people });
$stop = begin_stop($node);
release();
ok(end_stop($node, $stop), 'the primary of a standby stops');
$standby->promote;
is($standby->safe_psql('postgres', "SELECT count(*) FROM appuser_connectors.connections WHERE connector_id = 'app' AND status = 'connected'"),
	$people, 'what was on its way has come to the standby');
all_is_well($standby, 'a switch to the standby');

$standby->stop;
done_testing();
