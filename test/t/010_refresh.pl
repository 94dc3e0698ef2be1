# What is promised here: however many ask for an expired token, the provider is
# asked once; and whatever becomes of those who asked, of the worker, or of the
# connection meanwhile, what the provider did is neither lost nor done twice nor
# brought back for somebody who has disconnected.  The provider rotates refresh
# tokens and ends a grant whose old refresh token is used again, so that a lost
# or repeated refresh does not go unnoticed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PsqlSession;
use Test::More;

my $provider = start_provider(access_token_ttl => 3600);
my $node = new_node('refresh', 'max_connections = 100', "appuser_connectors.wait_timeout = '60s'", "appuser_connectors.request_timeout = '60s'");
register($node, $provider, connector_id => 'calendar');

# ------------------------------------------------------------------- helpers

sub superuser { return $node->safe_psql('postgres', $_[0]); }

sub connect_anew
{
	my ($app_user, %options) = @_;
	my $row = connect_user($node, $app_user, delete $options{connector} // 'calendar', %options);

	die "$app_user: $row->{failure}" if defined $row->{failure};
	return;
}

# As if the token's time were over; nothing is due by itself, so that only askers cause refreshes.
sub expire
{
	my ($app_user) = @_;

	superuser("UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 s', refresh_at = NULL
		WHERE app_user = '$app_user'");
	return;
}

# Token requests that the provider has acted on since the counters were set to nothing
sub asked
{
	my ($grant_type) = @_;
	my $counts = $provider->ctl->{grants}{$grant_type} // {};
	my $sum = 0;

	$sum += $_ foreach values %$counts;
	return $sum;
}

# The provider does all it does, rotation included, and keeps back the answer.
sub hold_answers
{
	my ($grant_type, %more) = @_;

	$provider->order({ reset => JSON::PP::true,
			faults => [ { path => '/token', when => 'after', grant_type => $grant_type, hold => JSON::PP::true, times => 1, %more } ] });
	return;
}

sub wait_for_held
{
	my ($count) = @_;

	wait_until('the provider has acted', sub { $provider->ctl->{held} >= ($count // 1) });
	return;
}

sub release
{
	$provider->order({ release => JSON::PP::true, faults => [] });
	return;
}

sub newest { return $provider->ctl('/issued')->{$_[0]}[-1]; }

sub token_query
{
	my ($app_user, $more) = @_;

	return "SELECT access_token FROM appuser_connectors.app_user_connection('$app_user', 'calendar'" . ($more // '') . ')';
}

sub worker_pid { return superuser("SELECT pid FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'"); }

sub no_flights_left
{
	return superuser('SELECT count(*) FROM appuser_connectors.pending_answers') == 0;
}

# ------------------------------------------- many askers, one refresh, one token

connect_anew('alice');
my $old = access_token($node, 'alice', 'calendar');
expire('alice');
hold_answers('refresh_token');
my @sessions = map { PsqlSession->new($node, 'app_service', later => 1)->send(token_query('alice')) } 1 .. 64;
wait_until('all wait for the worker', sub {
		superuser("SELECT count(*) FROM pg_stat_activity
			WHERE usename = 'app_service' AND wait_event_type = 'Extension'") == 64
	});
wait_for_held();
release();
my %tokens = map { $_->result => 1 } @sessions;
is_deeply([ keys %tokens ], [ newest('access_tokens') ], '64 sessions that ask for one expired token get the same new one');
ok(!$tokens{$old}, 'which is not the old one');
is(asked('refresh_token'), 1, 'and the provider was asked once');
is(userinfo($provider, (keys %tokens)[0])->{sub}, 'alice', 'and the token works');
$_->close foreach @sessions;

# ------------------------- whatever becomes of the caller, the answer is not lost

my %fates = (
	'rolls back' => {},
	'is cancelled' => { by => 'pg_cancel_backend', state => '57014' },
	'is terminated' => { by => 'pg_terminate_backend', state => '57P01' },
	'hits statement_timeout' => { settings => { statement_timeout => '700ms' }, state => '57014' },
	'hits wait_timeout' => { settings => { 'appuser_connectors.wait_timeout' => '700ms' }, state => 'UC003' },
);

# The caller's statement, while the provider has acted and its answer is on its way
sub suffer
{
	my ($what, $statement, %fate) = @_;
	my $session = PsqlSession->new($node, 'app_service', settings => $fate{settings});

	$session->ask('BEGIN') if !$fate{state};
	$session->send($statement);
	wait_for_held();
	superuser("SELECT $fate{by}(" . $session->pid . ')') if $fate{by};
	if ($fate{state})
	{
		is($session->failure, $fate{state}, "$what: it is told so while the answer is on its way");
	}
	release();
	if (!$fate{state})
	{
		$session->result;
		$session->ask('ROLLBACK');
	}
	$session->close;
	return;
}

foreach my $fate (sort keys %fates)
{
	my $person = 'person who ' . $fate;
	my $what = "a refresh whose caller $fate";

	connect_anew($person);
	my $before = access_token($node, $person, 'calendar');
	expire($person);
	hold_answers('refresh_token');
	suffer($what, token_query($person), %{ $fates{$fate} });
	my $token = access_token($node, $person, 'calendar');
	isnt($token, $before, "$what: the next call has another token");
	is($token, newest('access_tokens'), "$what: which is the one that was on its way");
	is(asked('refresh_token'), 1, "$what: the provider was asked once");
	expire($person);
	is(userinfo($provider, access_token($node, $person, 'calendar'))->{sub}, $person, "$what: the chain of refresh tokens is whole");

	$person = "other $person";
	$what = "an exchange whose caller $fate";
	my $binding = "a random value of $person";
	my $parameters = log_in(authorization_url($node, $person, 'calendar', browser_binding => $binding), $person);
	hold_answers('authorization_code');
	suffer($what, "SELECT * FROM appuser_connectors.oauth_callback('$parameters->{state}', '$parameters->{code}',
			'$parameters->{iss}', browser_binding => '$binding')", %{ $fates{$fate} });
	wait_until("$what: the connection is there", sub {
			superuser("SELECT count(*) FROM appuser_connectors.connections WHERE app_user = '$person'") == 1
		});
	is(access_token($node, $person, 'calendar'), newest('access_tokens'), "$what: the next call has the connection");
	is(asked('authorization_code'), 1, "$what: the provider was asked once");
	is(asked('refresh_token'), 0, "$what: and for no refresh");
	expire($person);
	is(userinfo($provider, access_token($node, $person, 'calendar'))->{sub}, $person, "$what: its refresh token works");
}

# ----------------------------------- rejected_token, min_validity, what is served

$provider->order({ reset => JSON::PP::true });
my $first = access_token($node, 'alice', 'calendar');
is(query($node, 'app_service', "SELECT (appuser_connectors.app_user_connection('alice', 'calendar')).access_token"), $first, 'in a target list it is the same');
is(query($node, 'app_service', "SELECT pg_typeof(access_token), pg_typeof(connection_config), pg_typeof(token_type), pg_typeof(scopes), pg_typeof(expires_at)
	FROM appuser_connectors.app_user_connection('alice', 'calendar')"), 'text|jsonb|text|text[]|timestamp with time zone', 'of the types that are promised');
my $second = access_token($node, 'alice', 'calendar', rejected_token => $first);
isnt($second, $first, 'a rejected token that is still the stored one is replaced');
is(asked('refresh_token'), 1, 'by one refresh');
is(access_token($node, 'alice', 'calendar', rejected_token => $first), $second, 'one that has been replaced brings the stored one');
is(access_token($node, 'alice', 'calendar', rejected_token => 'never seen'), $second, 'and so does a token that never was');
is(asked('refresh_token'), 1, 'by no refresh');

hold_answers('refresh_token');
@sessions = map { PsqlSession->new($node, 'app_service')->send(token_query('alice', ", rejected_token => '$second'")) } 1 .. 4;
wait_for_held();
wait_until('all four wait', sub {
		superuser("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app_service' AND wait_event_type = 'Extension'") == 4
	});
release();
is_deeply([ map { $_->result } @sessions ], [ (newest('access_tokens')) x 4 ], 'four whose token was rejected get the same new one');
is(asked('refresh_token'), 1, 'by one refresh');
$_->close foreach @sessions;

$provider->order({ reset => JSON::PP::true });
$first = access_token($node, 'alice', 'calendar', min_validity => '30 min');
is(asked('refresh_token'), 0, 'a token that is valid for long enough is served as it is');
$second = access_token($node, 'alice', 'calendar', min_validity => '2 hours');
isnt($second, $first, 'min_validity beyond the lifetime brings a fresh token');
is(asked('refresh_token'), 1, 'by one refresh, not by a loop');
superuser("UPDATE appuser_connectors.connections SET expires_at = now() + interval '10 min' WHERE app_user = 'alice'");
is(access_token($node, 'alice', 'calendar', min_validity => '5 min'), $second, 'ten minutes are more than five');
isnt(access_token($node, 'alice', 'calendar', min_validity => '20 min'), $second, 'and less than twenty');
foreach my $interval ('300 years', '200000 years', '178000000 years', '106751991 days', '178956970 years 7 mons 106751991 days')
{
	$provider->order({ reset => JSON::PP::true });
	like(access_token($node, 'alice', 'calendar', min_validity => $interval), qr/./, "a min_validity of $interval brings a token");
	is(asked('refresh_token'), 1, 'a fresh one');
}
$provider->order({ reset => JSON::PP::true });
like(access_token($node, 'alice', 'calendar', min_validity => "-$_"), qr/./, "one of minus $_ any that is valid") foreach '1 hour', '178000000 years';
is(asked('refresh_token'), 0, 'as it is');

# A provider of few words
my $terse = start_fault_server();
my %grant = (token_type => 'Bearer', expires_in => 3600);
$terse->rules(
	{ path => '/token', times => 1, body => { %grant, access_token => 'a1', refresh_token => 'r1' } },
	{ path => '/token', times => 1, body => { %grant, access_token => 'a2' } },
	{ path => '/token', body => { %grant, access_token => 'a3' } });
register($node, $terse, provider => 'terse', connector_id => 'terse', scopes => ['read']);

sub connect_to_terse
{
	my ($app_user) = @_;
	my $state = url_parameters(authorization_url($node, $app_user, 'terse'))->{state};

	return callback($node, $app_user, { state => $state, code => 'code' })->{failure};
}

is(connect_to_terse('alice'), undef, 'alice connects to a provider that rotates nothing');
foreach my $expected ('a2', 'a3')
{
	expire('alice');
	is(access_token($node, 'alice', 'terse'), $expected, "a refresh without a new refresh token brings $expected");
}
is_deeply([ map { $_->{body} =~ /(?:^|&)refresh_token=([^&]*)/ } $terse->requests('/token') ], [ 'r1', 'r1' ],
	'the old refresh token is kept and used again');

is(connect_to_terse('bob'), undef, 'bob connects and gets no refresh token');
is(access_token($node, 'bob', 'terse'), 'a3', 'his token is served while it is valid');
is(access_token($node, 'bob', 'terse', min_validity => '2 hours'), 'a3', 'also to who would like one for longer, since there is none');
is(superuser("SELECT status FROM appuser_connectors.connections WHERE app_user = 'bob'"), 'connected', 'which costs no connection');
my $requests = $terse->requests('/token');
expire('bob');
my ($state) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('bob', 'terse')");
is($state, 'UC002', 'when it has expired he must connect again');
is(superuser("SELECT status || ' ' || status_reason FROM appuser_connectors.connections WHERE app_user = 'bob'"),
	'reconnect_required no_refresh_token', 'and the connection says why');
is(scalar($terse->requests('/token')), $requests, 'the provider was not asked');
expire('alice');

# ------------------------------------------------------ the worker comes and goes

# The provider grants a grace period, so that the same refresh token may be sent again.
$provider->order({ set => { grace => 600 } });
connect_anew('dora');
expire('dora');
hold_answers('refresh_token');
my $session = PsqlSession->new($node, 'app_service')->send(token_query('dora'));
wait_for_held();
my $worker = worker_pid();
superuser("SELECT pg_terminate_backend($worker)");
my $token = $session->result;
is($token, newest('access_tokens'), 'a worker that is terminated during a refresh: the call is made again by the next one');
isnt(worker_pid(), $worker, 'there is a new worker');
is(userinfo($provider, $token)->{sub}, 'dora', 'the token works');
expire('dora');
is(userinfo($provider, access_token($node, 'dora', 'calendar'))->{sub}, 'dora', 'and so does the next: nothing is lost');
$provider->order({ set => { grace => 0 } });
release();

# Without a grace period the answer that is on its way is all there is.
connect_anew('doris');
expire('doris');
hold_answers('refresh_token');
$session->send(token_query('doris'));
wait_for_held();
superuser('SELECT pg_terminate_backend(' . worker_pid() . ')');
release();
is($session->result, newest('access_tokens'), 'an answer that comes while the worker ends is stored and served');
is(asked('refresh_token'), 1, 'the provider was asked once');

# What waits for its turn must not be sent by a worker that will not see the answer.
$node->append_conf('postgresql.conf', 'appuser_connectors.max_concurrent_requests_per_connector = 2');
$node->reload;
my $proxy = start_fault_server(proxy_to => $provider);
$provider->order({ set => { grace => 600 } });
register($node, $provider, provider => 'slow', connector_id => 'slow', definition => { token_endpoint => $proxy->url . '/token' });
my %asker;
foreach my $person ('edna', 'egon', 'elsa')
{
	connect_anew($person, connector => 'slow');
	expire($person);
	$asker{$person} = PsqlSession->new($node, 'app_service');
}
$proxy->order({ reset => JSON::PP::true });
$proxy->rules(map { { path => '/token', times => 1, proxyTo => $provider->url, hold => $_ } } 'first', 'second', 'third');

sub ask_slow { return $asker{ $_[0] }->send("SELECT access_token FROM appuser_connectors.app_user_connection('$_[0]', 'slow')"); }

ask_slow('edna');
$proxy->wait(held => 'first');
ask_slow('egon');
$proxy->wait(held => 'second');
ask_slow('elsa');
wait_until('all wait', sub {
		superuser("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app_service' AND wait_event_type = 'Extension'") == 3
	});
is(scalar($proxy->requests('/token')), 2, 'the third call waits for its turn');
$worker = worker_pid();
superuser("SELECT pg_terminate_backend($worker)");
$proxy->release('second');
is(userinfo($provider, $asker{egon}->result)->{sub}, 'egon', 'a worker that ends stores the answer that comes meanwhile');
wait_until('there is another worker', sub { my $pid = worker_pid(); $pid && $pid != $worker });
$proxy->wait(held => 'third');
$proxy->wait(path => '/token', count => 4);
$proxy->release($_) foreach 'first', 'third';
is(userinfo($provider, $asker{$_}->result)->{sub}, $_, "$_ is answered by the next worker") foreach 'edna', 'elsa';
is(scalar($proxy->requests('/token')), 4, 'which alone has sent the third call');
$_->close foreach values %asker;
$provider->order({ set => { grace => 0 } });
my $other = PsqlSession->new($node, 'app_service');
$node->append_conf('postgresql.conf', 'appuser_connectors.max_concurrent_requests_per_connector = 32');
$node->reload;

# ----------------------------- reconnecting and disconnecting while a refresh is on its way

connect_anew('frida');
expire('frida');
hold_answers('refresh_token');
$session->send(token_query('frida'));
wait_for_held();
connect_anew('frida');
my $reconnected = newest('access_tokens');
is(access_token($node, 'frida', 'calendar'), $reconnected, 'who reconnects during a refresh has the new connection at once');
release();
is($session->result, $reconnected, 'who asked for the refresh gets the new connection\'s token');
is(access_token($node, 'frida', 'calendar'), $reconnected, 'and the late answer does not replace it');
is($provider->ctl->{revocations}, 0, 'nothing is revoked, which could end the new grant');
expire('frida');
is(userinfo($provider, access_token($node, 'frida', 'calendar'))->{sub}, 'frida', 'the new grant lives');

# A refusal that comes late is about the old grant.
expire('frida');
hold_answers('refresh_token', status => 400, body => { error => 'invalid_grant' });
$session->send(token_query('frida'));
wait_for_held();
connect_anew('frida');
$reconnected = newest('access_tokens');
release();
is($session->result, $reconnected, 'a refusal of the old refresh token is not held against the new connection');
is(superuser("SELECT status FROM appuser_connectors.connections WHERE app_user = 'frida'"), 'connected', 'which stays connected');

sub is_revoked
{
	my ($what, $app_user) = @_;
	my ($access_token, $refresh_token) = map { newest($_) } 'access_tokens', 'refresh_tokens';

	is(superuser("SELECT count(*) FROM appuser_connectors.connections WHERE app_user = '$app_user'"), 0, "$what: no connection comes back");
	wait_until("$what: the outbox is empty", sub { superuser('SELECT count(*) FROM appuser_connectors.revocations') == 0 });
	my %revoked = map { ($_->{token} // '') => 1 } @{ $provider->ctl('/log') };
	ok($revoked{$refresh_token}, "$what: the refresh token nobody has is revoked");
	is(userinfo($provider, $access_token)->{status}, 401, "$what: and the access token is dead");
	ok(no_flights_left(), "$what: no answer is left over");
	return;
}

connect_anew('greta');
expire('greta');
hold_answers('refresh_token');
$session->send(token_query('greta'));
wait_for_held();
is(query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('calendar')", app_user => 'greta'), 't',
	'greta disconnects during a refresh');
release();
is($session->failure, 'UC001', 'who asked is told that there is no connection');
is_revoked('a disconnect during a refresh', 'greta');

connect_anew('hanna');
expire('hanna');
hold_answers('refresh_token');
$session->send(token_query('hanna'));
wait_for_held();
$other->ask("BEGIN; SELECT appuser_connectors.set_app_user('hanna'), appuser_connectors.disconnect_app_user('calendar')");
release();
wait_until('the answer is kept', sub { !no_flights_left() });
$other->ask('COMMIT');
is($session->failure, 'UC001', 'a disconnect that commits after the answer came: there is no connection');
is_revoked('a disconnect that commits late', 'hanna');

register($node, $provider, connector_id => 'doomed');
connect_anew('ida', connector => 'doomed');
expire('ida');
hold_answers('refresh_token');
$session->send("SELECT * FROM appuser_connectors.app_user_connection('ida', 'doomed')");
wait_for_held();
is(query($node, 'app_admin', "SELECT appuser_connectors.delete_connector('doomed')"), 1, 'the connector is deleted during a refresh');
release();
is($session->failure, 'UC006', 'who asked is told that there is no such connector');
is_revoked('delete_connector during a refresh', 'ida');

register($node, $provider, connector_id => 'doomed');
my $binding = 'a random value of jane';
my $parameters = log_in(authorization_url($node, 'jane', 'doomed', browser_binding => $binding), 'jane');
hold_answers('authorization_code');
$session->send("SELECT failure FROM appuser_connectors.oauth_callback('$parameters->{state}', '$parameters->{code}',
	'$parameters->{iss}', browser_binding => '$binding')");
wait_for_held();
query($node, 'app_admin', "SELECT appuser_connectors.delete_connector('doomed')");
release();
is($session->result, 'connector_misconfigured', 'delete_connector during an exchange: the callback says that nothing was stored');
is_revoked('delete_connector during an exchange', 'jane');

# What cannot be stored at once is not forgotten to be revoked.
register($node, $provider, connector_id => 'doomed');
$parameters = log_in(authorization_url($node, 'jack', 'doomed', browser_binding => $binding), 'jack');
hold_answers('authorization_code');
$session->send("SELECT failure FROM appuser_connectors.oauth_callback('$parameters->{state}', '$parameters->{code}',
	'$parameters->{iss}', browser_binding => '$binding')");
wait_for_held();
query($node, 'app_admin', "SELECT appuser_connectors.delete_connector('doomed')");
my $locker = PsqlSession->new($node, getpwuid($<));
$locker->ask('BEGIN; LOCK TABLE appuser_connectors.connection_events IN SHARE MODE');
release();
wait_until('the answer is kept', sub { !no_flights_left() });
$locker->ask('ROLLBACK');
$locker->close;
is($session->result, 'connector_misconfigured', 'the same while events are locked: the callback says that nothing was stored');
is_revoked('the same while events are locked', 'jack');

# --------------------------------------------- transactions with an old snapshot

connect_anew('karla');
foreach my $mode ('ISOLATION LEVEL REPEATABLE READ', 'ISOLATION LEVEL SERIALIZABLE', 'READ ONLY',
	'ISOLATION LEVEL REPEATABLE READ, READ ONLY', 'ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE')
{
	my $before = access_token($node, 'karla', 'calendar');

	$provider->order({ reset => JSON::PP::true });
	$session->ask("BEGIN TRANSACTION $mode");
	is($session->ask(token_query('karla')), $before, "$mode: the stored token, and a snapshot");
	expire('karla');
	my $fresh = access_token($node, 'karla', 'calendar');
	isnt($fresh, $before, "$mode: somebody else has it refreshed");
	is($session->ask(token_query('karla')), $fresh, "$mode: the old snapshot does not show the old token");
	is(asked('refresh_token'), 1, "$mode: and costs no refresh");
	expire('karla');
	my $own = $session->ask(token_query('karla'));
	is($own, newest('access_tokens'), "$mode: its own refresh brings it the fresh token");
	is($session->ask(token_query('karla')), $own, "$mode: and again");
	is(asked('refresh_token'), 2, "$mode: by one refresh");
	$session->ask('COMMIT');
}

# A cursor keeps the snapshot it was opened with, in READ COMMITTED too.
expire('karla');
$provider->order({ reset => JSON::PP::true });
$session->ask("BEGIN; DECLARE c CURSOR FOR SELECT t.access_token FROM unnest(ARRAY['frida', 'karla']) AS app_user,
	LATERAL appuser_connectors.app_user_connection(app_user, 'calendar') AS t");
is($session->ask('FETCH c'), access_token($node, 'frida', 'calendar'), 'a cursor is at its first row');
my $fresh = access_token($node, 'karla', 'calendar');
is($session->ask('FETCH c'), $fresh, 'and gets the token that was refreshed since it was opened');
is(asked('refresh_token'), 1, 'without another refresh');
$session->ask('COMMIT');

$session->close;
$other->close;
$node->stop;
done_testing();
