# What is promised here: whatever signal the worker gets, and whatever it is doing
# just then, answers that are on their way are stored, and no call is forgotten.
# The provider rotates refresh tokens and grants no second chance.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PsqlSession;
use Session;
use Test::More;
use Time::HiRes qw(time);

my $provider = start_provider(access_token_ttl => 3600);
my $node = new_node('interrupts', "appuser_connectors.wait_timeout = '60s'", 'wal_level = replica', 'max_wal_senders = 2');
my $session = PsqlSession->new($node, 'app_service');
register($node, $provider, connector_id => 'calendar');

sub superuser { return $node->safe_psql('postgres', $_[0]); }

sub worker { return superuser("SELECT $_[0] FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'"); }

sub expire
{
	superuser("UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 s', refresh_at = NULL
		WHERE app_user = '$_'") foreach @_;
	return;
}

sub token_query { return "SELECT access_token FROM appuser_connectors.app_user_connection('$_[0]', 'calendar')"; }

# The provider rotates alice's refresh token and keeps back the answer; returns the new access token.
sub answer_on_its_way
{
	expire('alice');
	$provider->order({ reset => JSON::PP::true,
			faults => [ { path => '/token', when => 'after', grant_type => 'refresh_token', hold => JSON::PP::true, times => 1 } ] });
	$session->send(token_query('alice'));
	wait_until('the provider has acted', sub { $provider->ctl->{held} == 1 });
	return $provider->ctl('/issued')->{access_tokens}[-1];
}

sub release
{
	$provider->order({ release => JSON::PP::true, faults => [] });
	return;
}

# From now on commits wait for a standby that does not come.
sub await_standby
{
	my $waiting = Session->new($node, getpwuid($<));
	my $pid = $waiting->pid;

	$node->append_conf('postgresql.conf', "synchronous_standby_names = 'nobody'");
	$node->reload;
	# the server may not have noticed yet
	wait_until('a commit waits', sub {
			$waiting->send('CREATE TABLE IF NOT EXISTS something (); DROP TABLE something') if $waiting->done;
			superuser("SELECT wait_event FROM pg_stat_activity WHERE pid = $pid") eq 'SyncRep'
		});
	return $waiting;
}

sub worker_waits
{
	wait_until("the worker's commit waits", sub { worker('wait_event') eq 'SyncRep' });
	return;
}

sub give_up_standby
{
	my ($waiting) = @_;

	$node->append_conf('postgresql.conf', "synchronous_standby_names = ''");
	$node->reload;
	$waiting->answer;
	$waiting->close;
	return;
}

is(connect_user($node, $_, 'calendar')->{failure}, undef, "$_ is connected") foreach 'alice', 'bob';

# ---------------------------------------------------------------- a cancel
my $answer = answer_on_its_way();
my $worker = worker('pid');
superuser("SELECT pg_cancel_backend($worker)");
expire('bob');
ok(access_token($node, 'bob', 'calendar'), 'a worker that is cancelled goes on');
is(worker('pid'), $worker, 'it is the same one');
release();
is($session->result, $answer, 'which stores the answer that was on its way');

# ---------------------------- told to end while its commit waits for a standby
$answer = answer_on_its_way();
expire('bob');
my $waiting = await_standby();
my $other = PsqlSession->new($node, 'app_service')->send(token_query('bob'));
worker_waits();
$worker = worker('pid');
superuser("SELECT pg_terminate_backend($worker)");
release();
wait_until('the worker has ended', sub { !kill 0, $worker });
give_up_standby($waiting);
is($session->result, $answer, 'a worker that is terminated while its commit waits stores what is on its way');
is(userinfo($provider, $other->result)->{sub}, 'bob', 'and what it was committing');
$other->close;

# ------------------------------------- a call that comes while its commit waits
expire('alice');
$waiting = await_standby();
superuser("SET synchronous_commit = local; INSERT INTO appuser_connectors.connection_events
	VALUES ('', gen_random_uuid(), 'calendar', NULL, 'something to announce', NULL, now(), false)");
worker_waits();
$session->send(token_query('alice'));
wait_until('alice waits for the worker', sub {
		superuser("SELECT wait_event_type FROM pg_stat_activity WHERE pid = " . $session->pid) eq 'Extension'
	});
my $started = time;
give_up_standby($waiting);
is(userinfo($provider, $session->result)->{sub}, 'alice', 'a call that comes while a commit waits is answered');
cmp_ok(time - $started, '<', 3, 'as soon as the commit is done');

$session->close;
$node->stop;
done_testing();
