# Somebody locks a whole table for a moment: LOCK TABLE, VACUUM FULL, REINDEX.  Who waits
# for a call goes on waiting, nothing is consumed, and it is done when the table is free;
# who does not wait so long is told that nothing was sent, and that is so.  Calls that
# need nothing of that table are not kept waiting.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PsqlSession;
use Test::More;
use Time::HiRes qw(time);

my $provider = start_provider(access_token_ttl => 3600);
my $node = new_node('locks', 'max_connections = 40');
my $root = PsqlSession->new($node);
my $session = PsqlSession->new($node, 'app_service');
my $hasty = PsqlSession->new($node, 'app_service', settings => { 'appuser_connectors.wait_timeout' => '1s' });

register($node, $provider, connector_id => 'calendar');

sub superuser { return $node->safe_psql('postgres', $_[0]); }

sub token_query { return "SELECT access_token FROM appuser_connectors.app_user_connection('$_[0]', 'calendar')"; }

sub expire
{
	superuser("UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 s', refresh_at = NULL WHERE app_user = '$_'") foreach @_;
	return;
}

sub asked { return scalar grep { $_->{account} eq $_[0] } @{ $provider->ctl('/log') }; }

# A flow that is walked up to its callback: the statement that ends it
sub callback_query
{
	my ($app_user) = @_;
	my $url = authorization_url($node, $app_user, 'calendar');
	my $parameters = log_in($url, $app_user);

	return "BEGIN; SELECT appuser_connectors.set_app_user('$app_user');
		SELECT coalesce(failure, 'connected') FROM appuser_connectors.oauth_callback('$parameters->{state}', '$parameters->{code}', iss => "
	  . (defined $parameters->{iss} ? "'$parameters->{iss}'" : 'NULL') . '); COMMIT';
}

connect_user($node, $_, 'calendar') foreach 'alice', 'bob';

# EXCLUSIVE lets readers by, as the callers are until the worker has their call.
foreach my $lock (map { my $table = $_; map { "$table IN $_ MODE" } 'EXCLUSIVE', 'ACCESS EXCLUSIVE' } 'authorizations', 'connections', 'registered_connectors')
{
	my ($table) = split ' ', $lock;
	my $query = callback_query('carol');

	$root->ask("BEGIN; LOCK TABLE appuser_connectors.$lock");
	$session->send($query);
	$root->ask('SELECT pg_sleep(1.5); COMMIT');
	like($session->result, qr/connected/, "$lock for 1.5 s: a callback that waits is done after that");
	is(superuser('SELECT count(*) FROM appuser_connectors.authorizations WHERE NOT consumed'), 0, "$lock: and its flow is over");
}

foreach my $table ('connections', 'registered_connectors')
{
	expire('alice');
	$provider->order({ reset => JSON::PP::true });
	$root->ask('BEGIN');
	# as an ALTER TABLE or a REINDEX does: readers come by, the worker does not
	$root->ask("LOCK TABLE appuser_connectors.$table IN EXCLUSIVE MODE");
	$session->send(token_query('alice'));
	$root->ask('SELECT pg_sleep(1.5); COMMIT');
	my $token = $session->result;
	is(asked('alice'), 1, "$table locked for 1.5 s against writing: a refresh that waits asks once");
	is(userinfo($provider, $token)->{sub}, 'alice', "$table: and is done after that");
}
$provider->order({ reset => JSON::PP::true });
expire('alice');
$root->ask('BEGIN; LOCK TABLE appuser_connectors.registered_connectors');
$session->send("SET appuser_connectors.wait_timeout = '20s'; " . token_query('alice'));
$root->ask('SELECT pg_sleep(1.5); COMMIT');
my $token = $session->result;
is(asked('alice'), 1, 'connectors locked for 1.5 s: a refresh that waits asks once');
is(userinfo($provider, $token)->{sub}, 'alice', 'and is done after that');

# --------------------------------------- the commands themselves, on whatever table
# REINDEX keeps its locks until the end of the transaction; VACUUM FULL, while it waits for a
# reader, keeps everybody else waiting behind it.  Both put other files in the place of those
# that the worker and the callers have known.
my $reader = PsqlSession->new($node);
my $vacuum = PsqlSession->new($node);
my $other = PsqlSession->new($node, 'app_service');

foreach my $table (qw(installation encryption_keys registered_connectors connections authorizations pending_answers revocations connection_events))
{
	foreach my $how ('REINDEX', 'VACUUM FULL')
	{
		my $what = "$how of $table";
		my $flow = callback_query('erin');

		expire('alice');
		$provider->order({ reset => JSON::PP::true });
		if ($how eq 'REINDEX') { $root->ask("BEGIN; REINDEX TABLE appuser_connectors.$table") }
		else
		{
			$reader->ask("BEGIN; SELECT count(*) FROM appuser_connectors.$table");
			$vacuum->send("VACUUM FULL appuser_connectors.$table");
			wait_until('it waits', sub { superuser("SELECT count(*) FROM pg_stat_activity WHERE pid = " . $vacuum->pid . " AND wait_event_type = 'Lock'") == 1 });
		}
		$session->send(token_query('alice'));
		$other->send($flow);
		$root->ask('SELECT pg_sleep(0.6)');
		if ($how eq 'REINDEX') { $root->ask('COMMIT') }
		else { $reader->ask('COMMIT'); $vacuum->result }
		my $token = $session->result;
		like($other->result, qr/connected/, "$what for 0.6 s: a callback that waits is done after that");
		is_deeply([ map { asked($_) } 'alice', 'erin' ], [ 1, 1 ], "$what: and a refresh, each by one call");
		is(userinfo($provider, $token)->{sub}, 'alice', "$what: whose token is good");
	}
}
$_->close foreach $reader, $vacuum, $other;

# ------------------------------------------------- who does not wait so long

my $query = callback_query("dave");

$provider->order({ reset => JSON::PP::true });
$root->ask('BEGIN; LOCK TABLE appuser_connectors.authorizations IN EXCLUSIVE MODE');
expire('bob');
$hasty->send($query);
my $started = time;
is(userinfo($provider, access_token($node, 'bob', 'calendar'))->{sub}, 'bob', 'a refresh, which needs nothing of that table, is done meanwhile');
cmp_ok(time - $started, '<', 1, 'at once');
my ($state, $told) = $hasty->failure;
is($state, 'UC003', 'who waits no longer than a second is told');
like($told, qr/nothing was sent/, 'that nothing was sent');
$root->ask('COMMIT');
$hasty->close;
is(superuser("SELECT count(*) FROM appuser_connectors.authorizations WHERE app_user = 'dave' AND NOT consumed"), 1, 'and nothing was consumed');
is(asked('dave'), 0, 'nor sent');
$session->send($query);
like($session->result, qr/connected$/, 'so that the same state is good');

$_->close foreach $root, $session;
done_testing();
