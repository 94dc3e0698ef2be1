# erase_app_user() is final: of a person who was erased nothing is kept, and nothing
# comes back, not even from a provider's answer that was on its way, nor from one that
# waits for the erasing transaction, nor after a crash.  Tokens that come too late are
# revoked.  An erase that is rolled back has done nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Session;
use Test::More;

my $provider = start_provider();
my $fault = start_fault_server(proxy_to => $provider);
my $node = new_node('main', 'max_prepared_transactions = 4', "appuser_connectors.wait_timeout = '60s'", "appuser_connectors.request_timeout = '60s'");

register($node, $provider, connector_id => 'app',
	definition => { token_endpoint => $fault->url . '/token', revocation_endpoint => $fault->url . '/token/revocation' });
my @tables = split /\n/, $node->safe_psql('postgres', q{
	SELECT attrelid::regclass FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid
	WHERE c.relnamespace = 'appuser_connectors'::regnamespace AND relkind = 'r' AND attname = 'app_user'});
cmp_ok(scalar @tables, '>=', 5, 'tables have rows of app users');

sub superuser { return $node->safe_psql('postgres', $_[0]); }
sub erase { return "SELECT appuser_connectors.erase_app_user('$_[0]')"; }
sub pending { return superuser('SELECT count(*) FROM appuser_connectors.pending_answers'); }

# Where there is something of that person, by name anywhere in a row
sub traces
{
	my ($app_user) = @_;

	return join ' ', grep { superuser("SELECT count(*) FROM $_ AS t WHERE t.app_user = '$app_user' OR t::text LIKE '%$app_user%'") ne '0' } @tables;
}

sub nothing_left
{
	my ($app_user, $what) = @_;

	wait_until('the outbox is empty', sub { superuser('SELECT count(*) FROM appuser_connectors.revocations') eq '0' });
	is(traces($app_user), '', "$what: nothing is left of the person");
	return;
}

sub nothing_left_anywhere
{
	my ($app_user, $what) = @_;

	nothing_left($app_user, $what);
	is(scalar $provider->grants($app_user), 0, "$what: nor at the provider");
	return;
}

# A session whose callback waits for the provider's answer, which the rule has befallen
sub answer_on_its_way
{
	my ($app_user, %rule) = @_;
	my $back = log_in(authorization_url($node, $app_user, 'app'), $app_user);
	my $session = Session->new($node, 'app_service');

	$fault->rules({ path => '/token', proxyTo => $provider->url, hold => 'answer', %rule });
	$session->send("BEGIN; SELECT appuser_connectors.set_app_user('$app_user');"
		  . " SELECT failure IS NULL FROM appuser_connectors.oauth_callback('$back->{state}', '$back->{code}', iss => '$back->{iss}'); COMMIT;");
	$fault->wait(held => 'answer');
	return $session;
}

sub is_refused
{
	my ($session, $what) = @_;
	my $answer = $session->answer;

	is($answer->{state}, 'UC005', "$what: the callback is refused");
	like($answer->{err}, qr/disconnected, or the app user erased, meanwhile/, "$what: and says why");
	return;
}

# ------------------------------------------------------ an answer on its way
my $session = answer_on_its_way('alice');
is(superuser("SELECT consumed FROM appuser_connectors.authorizations WHERE app_user = 'alice'"), 't', 'a flow whose code was sent is there until it ends');
is(query($node, 'app_service', erase('alice')), '0', 'alice is erased, who has no connection yet');
$fault->release('answer');
is_refused($session, 'an answer that comes after');
nothing_left_anywhere('alice', 'an answer that comes after');

$session = answer_on_its_way('alfred', proxyTo => undef, status => 400, body => { error => 'invalid_grant' });
query($node, 'app_service', erase('alfred'));
$fault->release('answer');
is_refused($session, 'a refusal that comes after');
nothing_left('alfred', 'a refusal that comes after');

# ---------------------------------------- an erase that has not committed yet
my $eraser = Session->new($node, 'app_service');
my %ends = (COMMIT => 'committed', ROLLBACK => 'rolled back');
foreach my $end (sort keys %ends)
{
	my $app_user = "boris_\L$end";
	my $what = "an erase that is $ends{$end} later";

	$session = answer_on_its_way($app_user);
	$eraser->ask('BEGIN; ' . erase($app_user));
	$fault->release('answer');
	wait_until('the answer is kept', sub { pending() eq '1' });
	ok(!$session->done, "$what: the callback waits");
	$eraser->ask($end);
	if ($end eq 'COMMIT')
	{
		is_refused($session, $what);
		nothing_left_anywhere($app_user, $what);
	}
	else
	{
		like($session->answer->{out}, qr/^t$/m, "$what: the callback succeeds");
		like(access_token($node, $app_user, 'app'), qr/./, "$what: and the person is connected");
	}
	is(pending(), '0', "$what: no answer is kept for longer");
}

# A refusal is told at once, and recorded if the person stays.
$session = answer_on_its_way('bruno', proxyTo => undef, status => 400, body => { error => 'invalid_grant' });
$eraser->ask('BEGIN; ' . erase('bruno'));
$fault->release('answer');
like($session->answer->{out}, qr/^f$/m, 'a refusal does not wait for an erase');
$eraser->ask('ROLLBACK');
wait_until('it is recorded', sub { superuser("SELECT count(*) FROM appuser_connectors.connection_events WHERE app_user = 'bruno' AND event = 'connect_failed'") eq '1' });
is(superuser("SELECT count(*) FROM appuser_connectors.authorizations WHERE app_user = 'bruno' AND sealed_outcome IS NULL"), '0', 'and the flow is over');

# ------------------------------------------------------ a crash in between
$session = answer_on_its_way('carla');
$eraser->ask('BEGIN; ' . erase('carla') . "; PREPARE TRANSACTION 'erase'");
$fault->release('answer');
wait_until('the answer is kept', sub { pending() eq '1' });
$node->stop('immediate');
$session->answer;
$node->start;
is(pending(), '1', 'after a crash the answer still waits for a prepared erase');
superuser("COMMIT PREPARED 'erase'");
wait_until('it is applied', sub { pending() eq '0' });
nothing_left_anywhere('carla', 'a prepared erase that commits after a crash');

# An expired flow whose answer waits is not swept away; one that a crash has ended is.
$session = answer_on_its_way('diana');
superuser("BEGIN; SELECT FROM appuser_connectors.registered_connectors FOR UPDATE; PREPARE TRANSACTION 'hold'");
$fault->release('answer');
wait_until('the answer is kept', sub { pending() eq '1' });
$session->close(rudely => 1);
$session = answer_on_its_way('edgar');
$node->stop('immediate');
$session->answer;
$fault->release('answer');
$node->start;
superuser("UPDATE appuser_connectors.authorizations SET expires_at = now() - interval '1 s'");
is(superuser('SELECT string_agg(app_user || consumed, \' \' ORDER BY app_user) FROM appuser_connectors.authorizations WHERE sealed_outcome IS NULL'), 'dianatrue edgartrue', 'two flows have expired');
$node->restart;
wait_until('the worker has swept', sub { superuser('SELECT count(*) FROM appuser_connectors.authorizations') eq '1' });
is(superuser('SELECT app_user FROM appuser_connectors.authorizations'), 'diana', 'the one that no answer is waiting for is gone');
superuser("COMMIT PREPARED 'hold'");
wait_until('diana is connected', sub { superuser("SELECT count(*) FROM appuser_connectors.connections WHERE app_user = 'diana'") eq '1' });
like(access_token($node, 'diana', 'app'), qr/./, 'what was answered is not lost');
is(superuser('SELECT count(*) FROM appuser_connectors.authorizations WHERE sealed_outcome IS NULL'), '0', 'and then its flow is over');

# ------------------------------------ what there was: connections and history
$fault->rules();
connect_user($node, 'frida', 'app');
connect_user($node, 'frida', 'app', arguments => { connection_name => 'second' }, account => 'frida-2');
authorization_url($node, 'frida', 'app');
is(query($node, 'app_service', erase('frida')), '2', 'frida is erased with two connections');
nothing_left_anywhere('frida', 'connections');
is(scalar $provider->grants('frida-2'), 0, 'the second account\'s grant is gone as well');
like(superuser("SELECT string_agg(DISTINCT event, ' ' ORDER BY event) FROM appuser_connectors.connection_events WHERE app_user = '' AND connector_id = 'app'"),
	qr/erased.*revoked/, 'events say that somebody was erased and their tokens revoked, and not who');

$eraser = Session->new($node, 'app_service');

# What was disconnected before and is still to be revoked, at once or after an answer that is on its way
my $disconnect = "SELECT appuser_connectors.disconnect_app_user('app', '%s')";
foreach my $moment ('not answered', 'under way', 'under way, and an erase that is committed later')
{
	my $app_user = 'hugo ' . length $moment;

	connect_user($node, $app_user, 'app');
	$fault->rules({ path => '/token/revocation', $moment eq 'not answered' ? (status => 503) : (proxyTo => $provider->url, hold => 'revocation') });
	query($node, 'app_service', sprintf($disconnect, 'default'), app_user => $app_user);
	if ($moment eq 'not answered')
	{
		wait_until('it was tried', sub { superuser('SELECT attempts FROM appuser_connectors.revocations') eq '1' });
		query($node, 'app_service', erase($app_user));
		superuser('UPDATE appuser_connectors.revocations SET attempt_at = now()');
	}
	else
	{
		$fault->wait(held => 'revocation');
		$eraser->ask('BEGIN; ' . erase($app_user));
		$eraser->ask('COMMIT') if $moment eq 'under way';
	}
	$fault->rules();
	$fault->release('revocation');
	if ($moment =~ /later/)
	{
		# what is done by then can only have been done without waiting for the erase
		access_token($node, "boris_rollback", "app", min_validity => "1 day") foreach 1 .. 3;
		$eraser->ask('COMMIT');
	}
	nothing_left_anywhere($app_user, "a revocation from before, $moment");
}

# A disconnect is heard as well while its connection is being made, and leaves others.
$session = answer_on_its_way('fritz');
is(query($node, 'app_service', sprintf($disconnect, 'other'), app_user => 'fritz'), 'f', 'nothing of another name is being connected');
is(query($node, 'app_service', sprintf($disconnect, 'default'), app_user => 'frank'), 'f', 'nor of another person');
is(query($node, 'app_service', sprintf($disconnect, 'default'), app_user => 'fritz'), 't', 'fritz disconnects while he is being connected');
$fault->release('answer');
is_refused($session, 'a disconnect');
wait_until('the outbox is empty', sub { superuser('SELECT count(*) FROM appuser_connectors.revocations') eq '0' });
is(superuser("SELECT count(*) FROM appuser_connectors.connections WHERE app_user = 'fritz'"), '0', 'he is not connected');
is(scalar $provider->grants('fritz'), 0, 'nor at the provider');
is(superuser("SELECT string_agg(event, ' ') FROM appuser_connectors.connection_events WHERE app_user = 'fritz'"), 'disconnected', 'his history says so');
$fault->rules();
authorization_url($node, 'fritz', 'app');
is(query($node, 'app_service', sprintf($disconnect, 'default'), app_user => 'fritz'), 'f', 'a flow whose code has not come is no connection');
is(superuser("SELECT count(*) FROM appuser_connectors.authorizations WHERE app_user = 'fritz'"), '1', 'and goes on');

# A refresh under way when its person is erased
connect_user($node, 'gregor', 'app');
superuser("UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 s', refresh_at = NULL WHERE app_user = 'gregor'");
$fault->rules({ path => '/token', proxyTo => $provider->url, hold => 'answer' });
$session = Session->new($node, 'app_service');
$session->send("SELECT access_token FROM appuser_connectors.app_user_connection('gregor', 'app')");
$fault->wait(held => 'answer');
is(query($node, 'app_service', erase('gregor')), '1', 'gregor is erased while his token is refreshed');
$fault->release('answer');
is($session->answer->{state}, 'UC001', 'whoever asked for it is told that there is no connection');
nothing_left_anywhere('gregor', 'a refresh under way');

$node->stop;
done_testing();
