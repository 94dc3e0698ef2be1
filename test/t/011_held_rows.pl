# What is promised here: the worker waits for nobody.  While another session
# holds a connection's row, its connector's row or the whole table, an answer of
# the provider is kept in pending_answers, durably, other connections' refreshes go
# on, and the answer is applied, or its tokens revoked, as soon as that session
# has ended its transaction; also when the server crashed in between.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PsqlSession;
use Test::More;
use Time::HiRes qw(time);

my $provider = start_provider(access_token_ttl => 3600);
my $faulty = start_fault_server();
my $node = new_node('held', "appuser_connectors.wait_timeout = '60s'", "appuser_connectors.request_timeout = '60s'",
	# every wait for a lock that takes longer than a moment is logged
	'log_lock_waits = on', "deadlock_timeout = '10ms'", 'max_connections = 40');
register($node, $provider, connector_id => 'calendar');
register($node, $faulty, provider => 'faulty', connector_id => 'faulty', scopes => ['read']);

# ------------------------------------------------------------------- helpers

sub superuser { return $node->safe_psql('postgres', $_[0]); }

sub connect_anew
{
	my ($app_user, $connector) = @_;
	my $row = connect_user($node, $app_user, $connector // 'calendar');

	die "$app_user: $row->{failure}" if defined $row->{failure};
	return;
}

sub expire
{
	superuser("UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 s', refresh_at = NULL
		WHERE app_user = '$_'") foreach @_;
	return;
}

sub asked
{
	my $counts = $provider->ctl->{grants}{ $_[0] } // {};
	my $sum = 0;

	$sum += $_ foreach values %$counts;
	return $sum;
}

sub newest { return $provider->ctl('/issued')->{$_[0]}[-1]; }

sub token_query { return "SELECT access_token FROM appuser_connectors.app_user_connection('$_[0]', 'calendar')"; }

sub pending { return superuser('SELECT count(*) FROM appuser_connectors.pending_answers'); }

sub wait_for_pending
{
	my ($count) = @_;

	wait_until("$count answers are kept", sub { pending() == $count });
	return;
}

sub worker_pid { return superuser("SELECT pid FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'"); }

# Refreshes of another connection, one after the other, each of which is answered
sub others_go_on
{
	my ($what) = @_;
	my %seen;

	for (1 .. 5)
	{
		expire('bob');
		$seen{ access_token($node, 'bob', 'calendar') } = 1;
	}
	is(scalar(keys %seen), 5, "$what: another connection's refreshes go on meanwhile");
	return;
}

# The worker, and every session that had to wait for it, must not be in the log.
my $log_position = 0;

sub worker_never_waited
{
	my ($what) = @_;
	my $worker = worker_pid();
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile, $log_position);

	$log_position += length $log;
	unlike($log, qr/process $worker still waiting for|\[$worker\].*due to lock timeout/, "$what: the worker waited for no lock");
	return;
}

sub is_revoked
{
	my ($what, $refresh_token, $access_token) = @_;

	wait_until("$what: the outbox is empty", sub { superuser('SELECT count(*) FROM appuser_connectors.revocations') == 0 });
	my %revoked = map { ($_->{token} // '') => 1 } @{ $provider->ctl('/log') };
	ok($revoked{$refresh_token}, "$what: the refresh token nobody has is revoked");
	is(userinfo($provider, $access_token)->{status}, 401, "$what: and the access token is dead");
	return;
}

my $holder = PsqlSession->new($node, 'app_service');
my $root = PsqlSession->new($node);
my $session = PsqlSession->new($node, 'app_service');
my $disconnect = "BEGIN; SELECT appuser_connectors.set_app_user('%s'), appuser_connectors.disconnect_app_user('calendar')";
my $for_update = "BEGIN; SELECT FROM appuser_connectors.connections WHERE app_user = '%s' FOR UPDATE";

connect_anew($_) foreach 'alice', 'bob';

# --------------------------------------- a refresh whose row somebody holds

foreach my $hold ([ 'an uncommitted disconnect', $holder, $disconnect ], [ 'SELECT FOR UPDATE', $root, $for_update ])
{
	my ($what, $by, $statement) = @$hold;
	my $before = access_token($node, 'alice', 'calendar');

	expire('alice');
	$provider->order({ reset => JSON::PP::true });
	$by->ask(sprintf $statement, 'alice');
	$session->send(token_query('alice'));
	wait_for_pending(1);
	my $answer = newest('access_tokens');
	others_go_on($what);
	is(pending(), 1, "$what: the answer is kept");
	unlike(superuser('SELECT encode(sealed_answer, \'escape\') FROM appuser_connectors.pending_answers'), qr/\Q$answer/, "$what: sealed");
	$by->ask('ROLLBACK');
	is($session->result, $answer, "$what: after its rollback who asked gets the new token");
	is(access_token($node, 'alice', 'calendar'), $answer, "$what: which is stored");
	is(pending(), 0, "$what: and kept no longer");
	is((grep { $_->{account} eq 'alice' } @{ $provider->ctl('/log') }), 1, "$what: the provider was asked once");
	expire('alice');
	is(userinfo($provider, access_token($node, 'alice', 'calendar'))->{sub}, 'alice', "$what: the chain of refresh tokens is whole");
	worker_never_waited($what);
}

connect_anew('carol');
expire('carol');
$provider->order({ reset => JSON::PP::true });
$holder->ask(sprintf $disconnect, 'carol');
$session->send(token_query('carol'));
wait_for_pending(1);
my ($access_token, $refresh_token) = map { newest($_) } 'access_tokens', 'refresh_tokens';
$holder->ask('COMMIT');
is($session->failure, 'UC001', 'a disconnect that commits: who asked is told that there is no connection');
is(superuser("SELECT count(*) FROM appuser_connectors.connections WHERE app_user = 'carol'"), 0, 'none comes back');
is(pending(), 0, 'the answer is kept no longer');
is_revoked('a disconnect that commits', $refresh_token, $access_token);

# -------------------------------------------------- the whole table is locked

connect_anew('dave');
my @people = ('alice', 'bob', 'dave');
expire(@people);
$provider->order({ reset => JSON::PP::true });
worker_never_waited('meanwhile');
$root->ask('BEGIN; LOCK TABLE appuser_connectors.connections IN SHARE ROW EXCLUSIVE MODE');
my %asker = map { $_ => PsqlSession->new($node, 'app_service') } @people;
my $binding = 'a random value of erna';
my $parameters = log_in(authorization_url($node, 'erna', 'calendar', browser_binding => $binding), 'erna');
$asker{$_}->send(token_query($_)) foreach @people;
my $reconnecting = PsqlSession->new($node, 'app_service')->send("SELECT failure FROM appuser_connectors.oauth_callback(
	'$parameters->{state}', '$parameters->{code}', '$parameters->{iss}', browser_binding => '$binding')");
wait_for_pending(4);
is(asked('refresh_token'), 3, 'a locked table: the provider is asked for each of three connections');
is(asked('authorization_code'), 1, 'a locked table: and for a new one');
worker_never_waited('a locked table');
$root->ask('COMMIT');
is(userinfo($provider, $asker{$_}->result)->{sub}, $_, "a locked table: afterwards $_ has a new token") foreach @people;
is($reconnecting->result, '', 'a locked table: and erna her connection');
is(userinfo($provider, access_token($node, 'erna', 'calendar'))->{sub}, 'erna', 'a locked table: which works');
is(asked('refresh_token'), 3, 'a locked table: the provider was asked once for each');
is(pending(), 0, 'a locked table: nothing is kept any longer');
$_->close foreach values %asker, $reconnecting;

# ----------------------------------------------- an exchange whose row is held

sub send_callback
{
	my ($app_user) = @_;
	my $secret = "a random value of $app_user";
	my $got = log_in(authorization_url($node, $app_user, 'calendar', browser_binding => $secret), $app_user);

	$session->send("SELECT app_user, failure FROM appuser_connectors.oauth_callback('$got->{state}', '$got->{code}', '$got->{iss}',
		browser_binding => '$secret')");
	return;
}

foreach my $end ('ROLLBACK', 'COMMIT')
{
	my $what = "a reconnect while a disconnect is open, then $end";

	$holder->ask(sprintf $disconnect, 'alice');
	send_callback('alice');
	wait_for_pending(1);
	my $answer = newest('access_tokens');
	others_go_on($what);
	$holder->ask($end);
	is($session->result, 'alice|', "$what: the callback is answered");
	is(access_token($node, 'alice', 'calendar'), $answer, "$what: the new connection is there");
	is(pending(), 0, "$what: the answer is kept no longer");
	wait_until('the outbox is empty', sub { superuser('SELECT count(*) FROM appuser_connectors.revocations') == 0 });
	expire('alice');
	is(userinfo($provider, access_token($node, 'alice', 'calendar'))->{sub}, 'alice', "$what: and its grant lives");
	worker_never_waited($what);
}

# The connector's row, by an admin who is about to delete it
register($node, $provider, connector_id => 'doomed');
my $admin = PsqlSession->new($node, 'app_admin');
foreach my $end ('ROLLBACK', 'COMMIT')
{
	my $what = "an exchange while delete_connector is open, then $end";
	my $secret = 'a random value of fred';
	my $got = log_in(authorization_url($node, 'fred', 'doomed', browser_binding => $secret), 'fred');

	$provider->order({ reset => JSON::PP::true });
	$admin->ask("BEGIN; SELECT appuser_connectors.delete_connector('doomed')");
	$session->send("SELECT app_user, failure FROM appuser_connectors.oauth_callback('$got->{state}', '$got->{code}', '$got->{iss}',
		browser_binding => '$secret')");
	wait_for_pending(1);
	my @answer = map { newest($_) } 'refresh_tokens', 'access_tokens';
	others_go_on($what);
	$admin->ask($end);
	is($session->result, 'fred|' . ($end eq 'COMMIT' ? 'connector_misconfigured' : ''), "$what: the callback is answered");
	is(pending(), 0, "$what: the answer is kept no longer");
	is(access_token($node, 'fred', 'doomed'), $answer[1], "$what: the connection is there") if $end eq 'ROLLBACK';
	is_revoked($what, @answer) if $end eq 'COMMIT';
	worker_never_waited($what);
}

# ------------------------------------------- a failure while the row is held

$faulty->rules({ path => '/token', times => 2, body => { access_token => 'a1', refresh_token => 'r1', token_type => 'Bearer', expires_in => 3600 } },
	{ path => '/token', status => 400, body => { error => 'invalid_grant' } });
foreach my $person ('gina', 'gabi')
{
	my $state = url_parameters(authorization_url($node, $person, 'faulty'))->{state};

	is(callback($node, $person, { state => $state, code => 'code' })->{failure}, undef, "$person connects");
}
my $requests = $faulty->requests('/token');
superuser("UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 s' WHERE app_user = 'gina'");
$root->ask(sprintf $for_update, 'gina');
$session->send("SELECT * FROM appuser_connectors.app_user_connection('gina', 'faulty')");
is($session->failure, 'UC002', 'a refusal while the row is held: who asks is told at once');
others_go_on('a refusal while the row is held');
$session->send("SELECT * FROM appuser_connectors.app_user_connection('gina', 'faulty')");
is($session->failure, 'UC002', 'a refusal while the row is held: who asks again too');
is(scalar($faulty->requests('/token')), $requests + 1, 'a refusal while the row is held: the provider is not asked again');
$root->ask('ROLLBACK');
wait_until('the status is written', sub {
		superuser("SELECT status FROM appuser_connectors.connections WHERE app_user = 'gina'") eq 'reconnect_required'
	});
is(superuser("SELECT status_reason FROM appuser_connectors.connections WHERE app_user = 'gina'"), 'invalid_grant',
	'a refusal while the row is held: the connection says why, once it can');
is(scalar($faulty->requests('/token')), $requests + 1, 'a refusal while the row is held: the provider was asked once');
worker_never_waited('a refusal while the row is held');

# Held rows do not keep the connector's other connections from being refreshed ahead of time.
$node->append_conf('postgresql.conf', 'appuser_connectors.max_concurrent_requests_per_connector = 2');
$node->reload;
expire('alice', 'dave');
$root->ask("BEGIN; SELECT FROM appuser_connectors.connections WHERE app_user IN ('alice', 'dave') FOR UPDATE");
$asker{$_} = PsqlSession->new($node, 'app_service')->send(token_query($_)) foreach 'alice', 'dave';
wait_for_pending(2);
my $before = access_token($node, 'erna', 'calendar');
superuser("UPDATE appuser_connectors.connections SET refresh_at = now() WHERE app_user = 'erna'");
isnt(wait_until('erna has another token', sub { my $token = access_token($node, 'erna', 'calendar'); $token ne $before && $token }),
	$before, 'as many held rows as there may be requests: what is due is refreshed all the same');
is(pending(), 2, 'while they are held');
$root->ask('ROLLBACK');
is(userinfo($provider, $asker{$_}->result)->{sub}, $_, "$_ gets a new token afterwards") foreach 'alice', 'dave';
$_->close foreach @asker{ 'alice', 'dave' };
$node->append_conf('postgresql.conf', 'appuser_connectors.max_concurrent_requests_per_connector = 32');
$node->reload;

# ------------------------------------------------------------------- events

# An event that somebody is deleting keeps the worker from announcing no other.
worker_never_waited('meanwhile');
my $held_event = "SELECT announced FROM appuser_connectors.connection_events WHERE app_user = 'held'";
# the worker may be quicker
wait_until('an event is held before it was announced', sub {
		$root->ask("ROLLBACK; DELETE FROM appuser_connectors.connection_events WHERE app_user = 'held';
			INSERT INTO appuser_connectors.connection_events
			VALUES ('held', gen_random_uuid(), 'calendar', NULL, 'something to announce', NULL, now() - interval '1 min', false);
			BEGIN; $held_event FOR UPDATE") eq 'f'
	});
is(superuser($held_event), 'f', 'an event is held before it was announced');
query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('calendar')", app_user => 'erna');
wait_until('what else happened is announced', sub {
		superuser("SELECT bool_and(announced) FROM appuser_connectors.connection_events WHERE app_user <> 'held'") eq 't'
	});
pass('what else happened is announced');
worker_never_waited('a held event');
$root->ask('ROLLBACK');
wait_until('the event is announced', sub { superuser($held_event) eq 't' });

# Nothing that is an event can be stored, but it is kept; what is no event goes on.
$faulty->rules({ path => '/token', hold => 'grants', times => 30,
		body => { access_token => 'a2', refresh_token => 'r2', token_type => 'Bearer', expires_in => 3600 } },
	{ path => '/token', status => 500 });
my %state = map { $_ => url_parameters(authorization_url($node, "person $_", 'faulty'))->{state} } 1 .. 30;
my @callers = map { PsqlSession->new($node, 'app_service', later => 1)->send("BEGIN; SELECT appuser_connectors.set_app_user('person $_') \\g /dev/null
	SELECT failure FROM appuser_connectors.oauth_callback('$state{$_}', code => 'code'); COMMIT") } 1 .. 30;
$faulty->wait(held => 'grants', count => 30);
$root->ask('BEGIN; LOCK TABLE appuser_connectors.connection_events IN SHARE MODE');
$faulty->release('grants');
wait_for_pending(30);
my $began = time;
others_go_on('a locked table of events');
cmp_ok(time - $began, '<', 8, 'a locked table of events: without delay');
$root->ask('ROLLBACK');
is($_->result, '', 'a locked table of events: afterwards the connection is there') foreach @callers;
$_->close foreach @callers;

# Answers that cannot be stored do not pile up without end.
sub allow_at_once
{
	$node->append_conf('postgresql.conf', "appuser_connectors.max_concurrent_requests_per_connector = $_[0]");
	$node->reload;
	return;
}
allow_at_once(1);
$faulty->rules({ path => '/token', body => { access_token => 'a3', refresh_token => 'r3', token_type => 'Bearer', expires_in => 3600 } });
superuser("UPDATE appuser_connectors.connections SET refresh_at = now() WHERE app_user LIKE 'person %'");
$root->ask('BEGIN; LOCK TABLE appuser_connectors.connections IN SHARE MODE');
my $enough = 17;
wait_until('that many answers are kept', sub { pending() >= $enough - 1 });
my $patience = time + 2;
wait_until('there are more', sub { pending() > $enough || time > $patience });
cmp_ok(pending(), '<=', $enough, 'a locked table: no more than so many answers are kept, though more is due');
$root->ask('ROLLBACK');
allow_at_once(32);
wait_until('all that was due is refreshed', sub {
		superuser("SELECT count(*) FROM appuser_connectors.connections WHERE app_user LIKE 'person %' AND refresh_at < now() + interval '10 min'") == 0
	});
is(pending(), 0, 'a locked table: afterwards the rest is refreshed as well');
$faulty->rules({ path => '/token', status => 500 });

# A failure is an event as well, but no answer that must be kept, let alone taken for one.
$root->ask('BEGIN; LOCK TABLE appuser_connectors.connection_events IN SHARE MODE');
is((failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('person 1', 'faulty', min_validity => '2 h')",
	settings => { 'appuser_connectors.wait_timeout' => '15s' }))[0], 'UC003', 'a locked table of events: of a failure the caller is told');
is(pending(), 0, 'a locked table of events: and it is not kept');
my $ending = worker_pid();
superuser("SELECT pg_terminate_backend($ending, 5000)");
$root->ask('ROLLBACK');
isnt(wait_until('there is another worker', sub { worker_pid() }), $ending, 'a locked table of events: the worker ends and another comes');
is(userinfo($provider, access_token($node, 'bob', 'calendar', min_validity => '2 h'))->{sub}, 'bob', 'a locked table of events: which does its work');
$log_position = -s $node->logfile;

# ---------------------------------------------------------------- a crash

sub crash
{
	$node->stop('immediate');
	return;
}

sub new_sessions
{
	$holder = PsqlSession->new($node, 'app_service');
	$session = PsqlSession->new($node, 'app_service');
	return;
}

expire('alice');
$provider->order({ reset => JSON::PP::true });
$holder->ask(sprintf $disconnect, 'alice');
$session->send(token_query('alice'));
wait_for_pending(1);
my $answer = newest('access_tokens');
crash();
$session->failure;
$node->start;
wait_for_pending(0);
is(access_token($node, 'alice', 'calendar'), $answer, 'a refresh whose answer was kept is there after a crash');
is(asked('refresh_token'), 1, 'the provider was asked once');
expire('alice');
is(userinfo($provider, access_token($node, 'alice', 'calendar'))->{sub}, 'alice', 'and the chain of refresh tokens is whole');

new_sessions();
$provider->order({ reset => JSON::PP::true });
$holder->ask(sprintf $disconnect, 'alice');
send_callback('alice');
wait_for_pending(1);
$answer = newest('access_tokens');
crash();
$session->failure;
$node->start;
wait_for_pending(0);
is(access_token($node, 'alice', 'calendar'), $answer, 'an exchange whose answer was kept is there after a crash');
expire('alice');
is(userinfo($provider, access_token($node, 'alice', 'calendar'))->{sub}, 'alice', 'and its refresh token works');

# Without the root key the answer cannot be read, and nothing must be sent that it has replaced.
new_sessions();
expire('alice', 'bob');
$provider->order({ reset => JSON::PP::true });
$holder->ask("BEGIN; SELECT appuser_connectors.set_app_user('alice'), appuser_connectors.disconnect_app_user('calendar')");
my $second = PsqlSession->new($node, 'app_service');
$second->ask("BEGIN; SELECT appuser_connectors.set_app_user('bob'), appuser_connectors.disconnect_app_user('calendar')");
my $third = PsqlSession->new($node, 'app_service')->send(token_query('bob'));
$session->send(token_query('alice'));
wait_for_pending(2);
my @answers = @{ $provider->ctl('/issued')->{access_tokens} }[ -2, -1 ];
crash();
$_->failure foreach $session, $third;
my ($key_file) = PostgreSQL::Test::Utils::slurp_file($node->data_dir . '/postgresql.conf') =~ /root_key_file = '([^']+)'/;
rename $key_file, "$key_file.away" or die "$key_file: $!";
$node->start;
foreach my $try (1, 2)
{
	my ($state, $told) = failure($node, 'app_service', token_query('alice'));
	is($state, 'UC008', 'without the root key there is an error that says so') or diag $told;
}
is(pending(), 2, 'and the answers are still kept');
rename "$key_file.away", $key_file or die "$key_file: $!";
$node->reload;
wait_for_pending(0);
my @got = map { access_token($node, $_, 'calendar') } 'alice', 'bob';
is_deeply([ sort @got ], [ sort @answers ], 'once the key is back both are applied');
is(asked('refresh_token'), 2, 'and the provider was asked once for each');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'"), 1, 'by a worker that lives');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/terminated by signal (?:11|6)|unexpectedly/, 'no process has crashed by itself');

$node->stop;
done_testing();
