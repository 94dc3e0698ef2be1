# Disconnecting revokes at the provider, the refresh token first, but only once the
# disconnect has committed; it is retried, given up with an event, and left out
# where it would end somebody else's connection.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Session;
use Test::More;

my $provider = start_provider();
my $fault = start_fault_server(proxy_to => $provider);
my $node = new_node('main', 'max_prepared_transactions = 2');

# revocations go through the fault server, everything else is the real provider
register($node, $provider, connector_id => 'app',
	definition => { revocation_endpoint => $fault->url . '/token/revocation' });

sub events
{
	my ($app_user) = @_;

	return query($node, 'app_admin',
		"SELECT coalesce(string_agg(event, ' ' ORDER BY occurred_at), '') FROM appuser_connectors.connection_events WHERE app_user = '$app_user'");
}

sub outbox
{
	return $node->safe_psql('postgres', 'SELECT count(*) FROM appuser_connectors.revocations');
}

sub settled
{
	wait_until('the outbox is empty', sub { outbox() eq '0' });
	return;
}

sub revocations
{
	return map { my %p = %{ url_parameters("?$_->{body}") }; \%p } $fault->requests('/token/revocation');
}

my $disconnect = "SELECT appuser_connectors.disconnect_app_user('app')";

is(connect_user($node, 'alice', 'app', account => 'alice')->{failure}, undef, 'alice is connected');
my ($grant) = $provider->grants('alice');
ok($grant, 'the provider knows her grant');
query($node, 'app_service', "$disconnect; ROLLBACK; BEGIN", app_user => 'alice');
is(scalar revocations(), 0, 'nothing is revoked by a disconnect that was rolled back');
like(access_token($node, 'alice', 'app'), qr/./, 'and the connection is still there');
query($node, 'app_service', $disconnect, app_user => 'alice');
settled();
is_deeply([ map { $_->{token_type_hint} } revocations() ], [ 'refresh_token', 'access_token' ],
	'after commit both tokens are revoked, the refresh token first');
is(scalar $provider->grants('alice'), 0, 'and the grant is gone at the provider');
like(events('alice'), qr/connected disconnected.* revoked$/, 'events say so');

# COMMIT PREPARED runs in another session and wakes nobody
connect_user($node, 'bob', 'app');
query($node, 'app_service', "$disconnect; PREPARE TRANSACTION 'p'; BEGIN", app_user => 'bob');
is(outbox(), '0', 'nothing is to be seen of a prepared disconnect');
$node->safe_psql('postgres', "COMMIT PREPARED 'p'");
settled();
is(scalar $provider->grants('bob'), 0, 'a prepared disconnect is revoked once it commits');

# retries
connect_user($node, 'carol', 'app');
my $before = revocations();
$fault->rules({ path => '/token/revocation', status => 503, times => 1 },
	{ path => '/token/revocation', reset => JSON::PP::true(), times => 1 });
query($node, 'app_service', $disconnect, app_user => 'carol');
wait_until('the first attempt has failed', sub {
		$node->safe_psql('postgres', 'SELECT attempts FROM appuser_connectors.revocations') eq '1' });
is(scalar $provider->grants('carol'), 1, 'a provider that is down has not revoked');
foreach my $attempt (2, 3)
{
	$node->safe_psql('postgres', 'UPDATE appuser_connectors.revocations SET attempt_at = now()');
	wait_until("attempt $attempt was made", sub { revocations() >= $before + $attempt });
}
settled();
is(scalar $provider->grants('carol'), 0, 'it is tried again until it is done');

# giving up
connect_user($node, 'dave', 'app');
$fault->rules({ path => '/token/revocation', status => 503 });
query($node, 'app_service', $disconnect, app_user => 'dave');
wait_until('it was tried', sub { $node->safe_psql('postgres', 'SELECT attempts FROM appuser_connectors.revocations') eq '1' });
$node->safe_psql('postgres', 'UPDATE appuser_connectors.revocations SET attempt_at = now(), attempts = 11');
settled();
like(events('dave'), qr/revocation_failed$/, 'after a limit it is given up, with an event');

connect_user($node, 'dora', 'app');
$fault->rules({ path => '/token/revocation', status => 400, body => { error => 'unsupported_token_type' } });
query($node, 'app_service', $disconnect, app_user => 'dora');
settled();
like(events('dora'), qr/revocation_failed$/, 'a definite refusal is not tried again');
$fault->rules();

# one account, two connections
connect_user($node, 'erin', 'app', account => 'shared');
connect_user($node, 'erin', 'app', account => 'shared', arguments => { connection_name => 'second' });
$before = revocations();
query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('app', 'second')", app_user => 'erin');
settled();
is(scalar revocations(), $before, 'nothing is revoked while another connection holds the same account');
like(events('erin'), qr/revocation_skipped$/, 'and an event says why');
query($node, 'app_service', $disconnect, app_user => 'erin');
settled();
cmp_ok(scalar revocations(), '>', $before, 'the last one is revoked');

# disconnected, and connected again before the provider was told
foreach my $with_account (1, 0)
{
	my $app_user = $with_account ? 'esther' : 'ezra';
	my $app = $with_account ? 'app' : 'anonymous';
	my $account = $with_account ? 'account' : 'unknown account';

	register($node, $provider, connector_id => $app, provider => $app, scopes => ['read'],
		definition => { revocation_endpoint => $fault->url . '/token/revocation' }) unless $with_account;
	connect_user($node, $app_user, $app);
	$fault->rules({ path => '/token/revocation', status => 503 });
	query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('$app')", app_user => $app_user);
	wait_until('it was tried', sub { $node->safe_psql('postgres', 'SELECT attempts FROM appuser_connectors.revocations') eq '1' });
	is(connect_user($node, $app_user, $app)->{failure}, undef, "$app_user has connected again, $account");
	$fault->rules();
	$before = revocations();
	$node->safe_psql('postgres', 'UPDATE appuser_connectors.revocations SET attempt_at = now()');
	settled();
	is(scalar revocations(), $before, 'the old tokens are not revoked, which could end the new grant');
	like(events($app_user), qr/revocation_skipped$/, 'and an event says so');
	query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('$app')", app_user => $app_user);
	settled();
	like(events($app_user), qr/ revoked$/, 'the new ones are, in time');
}

# a provider that keeps grants apart
register($node, $provider, connector_id => 'apart', provider => 'apart',
	definition => { revocation_endpoint => $fault->url . '/token/revocation', revocation_ends_grant => JSON::PP::false });
connect_user($node, 'erwin', 'apart', account => 'apart');
connect_user($node, 'erwin', 'apart', account => 'apart', arguments => { connection_name => 'second' });
$before = revocations();
query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('apart', 'second')", app_user => 'erwin');
settled();
cmp_ok(scalar revocations(), '>', $before, 'where revoking one grant ends no other, it is revoked although another connection holds the account');
like(access_token($node, 'erwin', 'apart', rejected_token => access_token($node, 'erwin', 'apart')), qr/./, 'which can still be refreshed');

# two connectors of one client
register($node, $provider, connector_id => 'mail', definition => { revocation_endpoint => $fault->url . '/token/revocation' });
connect_user($node, 'grete', $_, account => 'grete') foreach qw(app mail);
$before = revocations();
query($node, 'app_service', $disconnect, app_user => 'grete');
settled();
is(scalar revocations(), $before, 'nothing is revoked while another connector of the same client holds the account');
like(events('grete'), qr/revocation_skipped$/, 'and an event says so');
register($node, $provider, connector_id => 'post', client_id => 'app-post', provider => 'post',
	definition => { token_endpoint_auth_method => 'client_secret_post', revocation_endpoint => $fault->url . '/token/revocation' });
is(connect_user($node, 'grete', 'post', account => 'grete')->{failure}, undef, 'she connects the account through another client');
query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('mail')", app_user => 'grete');
settled();
cmp_ok(scalar revocations(), '>', $before, 'which is no reason to leave it out');

# the connector goes, with what is needed to revoke
connect_user($node, 'frank', 'app');
is(query($node, 'app_admin', "SELECT appuser_connectors.delete_connector('app')"), '1', 'delete_connector tells how many connections went');
settled();
is(scalar $provider->grants('frank'), 0, 'their tokens are revoked although the connector is gone');

# a provider without such an endpoint
register($node, $provider, connector_id => 'plain', provider => 'plain', definition => { revocation_endpoint => undef });
connect_user($node, 'gina', 'plain');
query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('plain')", app_user => 'gina');
is(outbox(), '0', 'without a revocation endpoint nothing is queued');
like(query($node, 'app_admin', "SELECT detail FROM appuser_connectors.connection_events WHERE app_user = 'gina' AND event = 'disconnected'"),
	qr/no revocation endpoint/, 'and the event says that nothing was revoked');

# a provider that takes many revocations and answers none
my $silent = start_fault_server();
register($node, $silent, provider => 'silent', connector_id => 'silent', scopes => ['read']);
$silent->rules({ path => '/token', body => { access_token => 'a', refresh_token => 'r', token_type => 'Bearer', expires_in => 3600 } },
	{ path => '/token/revocation', hold => 'revocations' });
my $as_ivan = "BEGIN; SELECT appuser_connectors.set_app_user('ivan') \\g /dev/null\n";
query($node, 'app_service', join '', map { "$as_ivan SELECT substring(appuser_connectors.connect_app_user('silent', '$_') FROM 'state=([^&]+)') AS state \\gset
	COMMIT; $as_ivan SELECT failure FROM appuser_connectors.oauth_callback(:'state', code => 'c'); COMMIT;" } 1 .. 80);
connect_user($node, 'ivan', 'plain');
register($node, $provider, connector_id => 'another');
connect_user($node, 'ivan', 'another');
query($node, 'app_service', join('; ', map { "SELECT appuser_connectors.disconnect_app_user('silent', '$_')" } 1 .. 79), app_user => 'ivan');
$silent->wait(held => 'revocations', count => 4);    # half of what one person may have under way
my $sent = $silent->requests('/token/revocation');
query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('another')", app_user => 'ivan');
wait_until('the other provider has revoked', sub { $node->safe_psql('postgres', "SELECT count(*) FROM appuser_connectors.revocations WHERE connector_id = 'another'") eq '0' });
is(scalar $silent->requests('/token/revocation'), $sent, 'revocations that a provider does not answer, even before they are given up, do not keep another from its own');
is(access_token($node, 'ivan', 'silent', connection_name => '80', min_validity => '2 h'), 'a', 'nor the same provider');
is(scalar $silent->requests('/token/revocation'), $sent, 'from refreshing at once');
$silent->rules({ path => '/token/revocation', status => 200 });
$silent->release('revocations');
$node->safe_psql('postgres', 'UPDATE appuser_connectors.revocations SET attempt_at = now()');
settled();
is(scalar(grep { $_->{body} =~ /token_type_hint=access_token/ } $silent->requests('/token/revocation')), 79, 'when it answers again, all of them are revoked');

# an answer that is held, and taken over by another worker: asked for in the same way
my $json = start_fault_server();
my $worker = "SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'appuser_connectors worker%'";
register($node, $json, connector_id => 'json', provider => 'json', client_secret => 'secret',
	definition => { issuer => undef, jwks_uri => undef, token_body_format => 'json', revocation_endpoint => $json->url . '/revoke' });
$json->rules({ path => '/token', body => { access_token => 'first', refresh_token => 'first-refresh', token_type => 'Bearer', expires_in => 3600 } });
callback($node, 'ida', { state => url_parameters(authorization_url($node, 'ida', 'json'))->{state}, code => 'code' });
my $holder = Session->new($node, 'app_service');
$holder->ask("BEGIN; SELECT appuser_connectors.set_app_user('ida'), appuser_connectors.disconnect_app_user('json')");
$json->rules({ path => '/token', body => { access_token => 'second', refresh_token => 'second-refresh', token_type => 'Bearer', expires_in => 3600 } }, { path => '/revoke' });
failure($node, 'app_service', "SET appuser_connectors.wait_timeout = '500ms'; SELECT 1 FROM appuser_connectors.app_user_connection('ida', 'json', min_validity => '1 day')");
wait_until('the answer is held', sub { $node->safe_psql('postgres', 'SELECT count(*) FROM appuser_connectors.pending_answers') eq '1' });
my $first = $node->safe_psql('postgres', $worker);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($first)");
wait_until('another worker is there', sub { $node->safe_psql('postgres', $worker) =~ /^(?!$first$)\d+$/ });
$holder->ask('COMMIT');
$holder->close;
wait_until('all is applied', sub { $node->safe_psql('postgres', 'SELECT count(*) FROM appuser_connectors.pending_answers') eq '0' && outbox() eq '0' });
is_deeply([ sort map { $_->{body} =~ /^\{/ ? decode($_->{body})->{token} : $_->{body} } $json->requests('/revoke') ],
	[qw(first first-refresh second second-refresh)], 'all its tokens are revoked, by a body that the provider reads');

# The refresh token's revocation ends the grant; what is said of the access token, dead by then, is no failure.
my $strict = start_fault_server();
register($node, $strict, provider => 'strict', connector_id => 'strict', scopes => ['read'], definition => { revocation_endpoint => $strict->url . '/revoke' });
$strict->rules({ path => '/token', body => { access_token => 'a', refresh_token => 'r', token_type => 'Bearer', expires_in => 3600 } });
sub connect_strictly
{
	my ($app_user) = @_;

	return callback($node, $app_user, { state => url_parameters(authorization_url($node, $app_user, 'strict'))->{state}, code => 'code' });
}
foreach my $second ({ status => 400, body => { error => 'invalid_request' } }, { status => 401, body => '' }, { status => 400, body => { error => 'unsupported_token_type' } })
{
	is(connect_strictly('john')->{failure}, undef, 'john is connected');
	$strict->add({ path => '/revoke', status => 200, times => 1 }, { path => '/revoke', times => 1, %$second });
	query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('strict')", app_user => 'john');
	settled();
	like(events('john'), qr/ revoked$/, "the grant is revoked, although the access token's revocation is answered by $second->{status}");
}
is(connect_strictly('john')->{failure}, undef, 'john is connected');
$strict->add({ path => '/revoke', status => 200, times => 1 }, { path => '/revoke', status => 503, times => 1 }, { path => '/revoke', status => 401, times => 1 });
query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('strict')", app_user => 'john');
wait_until('the access token is asked for again', sub {
		$node->safe_psql('postgres', 'UPDATE appuser_connectors.revocations SET attempt_at = now()');
		return outbox() eq '0';
	});
like(events('john'), qr/ revoked$/, 'nor what is said of it later');
is_deeply([ map { $_->{body} =~ /token_type_hint=(\w+)/ } ($strict->requests('/revoke'))[-3 .. -1] ], [qw(refresh_token access_token access_token)],
	'when the refresh token is not sent again');
is(connect_strictly('john')->{failure}, undef, 'john is connected');
$strict->add({ path => '/revoke', status => 400, times => 1, body => { error => 'unsupported_token_type' } });
query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('strict')", app_user => 'john');
settled();
like(events('john'), qr/ revocation_failed$/, 'a refusal of the refresh token is one');
sub why { return $node->safe_psql('postgres', "SELECT detail FROM appuser_connectors.connection_events WHERE app_user = 'john' AND event = 'revocation_failed' ORDER BY occurred_at DESC LIMIT 1"); }
unlike(why(), qr/earlier/, 'which is all that is known');
is(connect_strictly('john')->{failure}, undef, 'john is connected');
$strict->add({ path => '/revoke', drop => JSON::PP::true, times => 1 }, { path => '/revoke', status => 400, body => { error => 'invalid_request' } });
query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('strict')", app_user => 'john');
wait_until('it is asked for again', sub {
		$node->safe_psql('postgres', 'UPDATE appuser_connectors.revocations SET attempt_at = now()');
		return outbox() eq '0';
	});
like(why(), qr/invalid_request.*; an earlier attempt may have revoked it$/, 'after one that was not answered the event says that it may be done');

# everything about one person
connect_user($node, 'hugo', 'plain');
authorization_url($node, 'hugo', 'plain', connection_name => 'other');
is(query($node, 'app_service', "SELECT appuser_connectors.erase_app_user('hugo')"), '1', 'erase_app_user tells how many connections there were');
is($node->safe_psql('postgres', join ' UNION ALL ', map { "SELECT count(*) FROM appuser_connectors.$_ WHERE app_user = 'hugo'" }
			qw(connections authorizations connection_events)),
	"0\n0\n0", 'and nothing is left of the person');

$node->stop;
done_testing();
