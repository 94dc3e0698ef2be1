# People of one connector at sites of their own, of which one may be hostile or out of order:
# what one site gave goes to no other, what becomes of one site's people is nothing to the
# others', and an answer that had to wait, or that nobody waits for any longer, is its own
# site's as well.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use MIME::Base64 qw(encode_base64url);
use PsqlSession;
use Test::More;

my $ns = 'appuser_connectors';
my $one = start_fault_server(certificate => undef);
my $two = start_fault_server(certificate => undef);
my $node = new_node('sites', 'appuser_connectors.wait_timeout = 10s');
my ($known) = map { s/\./\\./gr } join '|', map { $_->url } $one, $two;
my %declared = (site => { source => 'user', pattern => "^$known\$" });
my $serial = 0;

my $key = PostgreSQL::Test::Utils::tempdir('key') . '/key.pem';
system("openssl genpkey -algorithm RSA -out '$key' 2>/dev/null") == 0 or die 'openssl genpkey failed';
my ($modulus) = `openssl rsa -in '$key' -noout -modulus 2>/dev/null` =~ /Modulus=([0-9A-F]+)/ or die 'openssl rsa failed';

sub id_token
{
	my (%claims) = @_;
	my $text = join '.', map { encode_base64url(encode($_)) } { alg => 'RS256' }, { iss => $one->url, aud => 'client', exp => time + 600, iat => time, %claims };
	my $signature;

	IPC::Run::run([ 'openssl', 'dgst', '-sha256', '-sign', $key ], '<', \$text, '>', \$signature) or die 'openssl dgst failed';
	return "$text." . encode_base64url($signature);
}

sub superuser { return query($node, 'postgres', $_[0]); }
sub called { my ($function, %arguments) = @_; return "SELECT $ns.$function(" . AppuserConnectors::arguments(%arguments) . ')'; }
sub admin { my ($function, %arguments) = @_; return query($node, 'app_admin', called($function, %arguments)); }

sub refused
{
	my ($function, $sqlstate, $like, $name, %arguments) = @_;
	my ($state, $message) = failure($node, 'app_admin', called($function, %arguments));

	is($state, $sqlstate, $name);
	like($message // '', $like, '... and is told why');
	return;
}

sub new_connector
{
	my ($name, %members) = @_;
	my $arguments = delete $members{arguments} // {};

	admin('register_provider', provider => $name, definition => { authorization_endpoint => '{site}/auth', token_endpoint => '{site}/token', revocation_endpoint => '{site}/revoke', connection_config_fields => \%declared, %members });
	return admin('register_connector', provider => $name, client_id => 'client', client_secret => 'the-secret', scopes => ['read'], redirect_uris => ['https://app.example/cb'], %$arguments);
}

sub answer
{
	my (%members) = @_;

	$serial++;
	return { path => '/token', body => { access_token => "access-$serial", refresh_token => "refresh-$serial", token_type => 'Bearer', expires_in => 7200, %members } };
}

# What each answers from now on; nothing has been asked of it.
sub rules
{
	my ($server, @rules) = @_;

	$server->order({ reset => JSON::PP::true });
	return $server->rules(@rules, { path => '/jwks', body => { keys => [ { kty => 'RSA', n => encode_base64url(pack 'H*', $modulus), e => 'AQAB' } ] } }, answer(), { path => '*', body => {} });
}

sub all_rules { rules($_) foreach $one, $two; return; }
sub paths { return join ' ', map { $_->{path} } $_[0]->requests; }

sub begun
{
	my ($app_user, $connector, $site) = @_;

	return url_parameters(authorization_url($node, $app_user, $connector, connection_config => { site => $site->url }));
}

sub back { my ($flow, %more) = @_; return "SELECT failure FROM $ns.oauth_callback(" . AppuserConnectors::arguments(state => $flow->{state}, code => 'a-code-' . ++$serial, %more) . ')'; }

sub connected
{
	my ($app_user, $connector, $site) = @_;

	return is(row($node, 'app_service', back(begun($app_user, $connector, $site)), app_user => $app_user)->{failure}, undef, "$app_user is connected through $connector");
}

sub refresh_of { my ($app_user, $connector) = @_; return "SELECT access_token FROM $ns.app_user_connection('$app_user', '$connector', min_validity => '1 day')"; }

sub refreshed
{
	return (failure($node, 'app_service', refresh_of(@_)))[0] // '';
}

sub restart_worker
{
	my $pid = superuser("SELECT pid FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'");

	superuser("SELECT pg_terminate_backend($pid)");
	wait_until('there is another worker', sub { superuser("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker' AND pid <> $pid") == 1 });
	return;
}

sub wait_for_pending
{
	my ($count) = @_;

	return wait_until("$count answers are kept", sub { superuser("SELECT count(*) FROM $ns.pending_answers") == $count });
}

my $root = PsqlSession->new($node);
my $session = PsqlSession->new($node, 'app_service');
new_connector('site');

# ------------------------------------------------------- an answer that had to wait

all_rules();
connected('alice', 'site', $one);
$root->ask("BEGIN; SELECT FROM $ns.connections WHERE app_user = 'alice' FOR UPDATE");
$session->send(refresh_of('alice', 'site'));
wait_for_pending(1);
restart_worker();
$root->ask('COMMIT');
$session->failure;
wait_for_pending(0);
is(superuser("SELECT endpoints FROM $ns.connections WHERE app_user = 'alice'"), join(' ', map { $one->url . $_ } '/token', '/revoke'), 'a refresh that another worker stores is of the same site');
is(refreshed('alice', 'site'), '', 'and is refreshed again');
like(($one->requests('/token'))[-1]{body}, qr/refresh_token=refresh-/, 'there');

my $flow = begun('bob', 'site', $two);
$root->ask("BEGIN; SELECT FROM $ns.registered_connectors WHERE connector_id = 'site' FOR UPDATE");
my $waiting = PsqlSession->new($node, 'app_service');
$waiting->send("BEGIN; SELECT $ns.set_app_user('bob'); " . back($flow));
wait_for_pending(1);
restart_worker();
$root->ask('COMMIT');
$waiting->failure;
$waiting->ask('ROLLBACK');
wait_for_pending(0);
is(superuser("SELECT endpoints FROM $ns.connections WHERE app_user = 'bob'"), join(' ', map { $two->url . $_ } '/token', '/revoke'), 'so is a connection');
is(refreshed('bob', 'site'), '', 'which is refreshed');

# --------------------------------------------------- one that nobody waits for any longer

sub is_revoked_at
{
	my ($site, $what) = @_;

	wait_until('the outbox is empty', sub { superuser("SELECT count(*) FROM $ns.revocations") == 0 });
	my ($answer) = map { $_->{body} } $site->requests('/revoke');
	like($answer // '', qr/token=refresh-\d+/, "$what: what was granted is revoked, at its own site");
	return;
}

sub held_answer { return { %{ answer() }, hold => 'answer' }; }

all_rules();
rules($two, held_answer());
$flow = begun('carol', 'site', $two);
$waiting->send("BEGIN; SELECT $ns.set_app_user('carol'); " . back($flow));
$two->wait(held => 'answer', count => 1);
query($node, 'app_service', "SELECT $ns.disconnect_app_user('site')", app_user => 'carol');
$two->release('answer');
$waiting->failure;
$waiting->ask('ROLLBACK');
is_revoked_at($two, 'disconnected while connecting');
is(paths($one), '', '... and nowhere else');

all_rules();
connected('carol', 'site', $two);
my $held = held_answer();
rules($two, $held);
$session->send(refresh_of('carol', 'site'));
$two->wait(held => 'answer', count => 1);
query($node, 'app_service', "SELECT $ns.disconnect_app_user('site')", app_user => 'carol');
$two->release('answer');
$session->failure;
wait_until('the outbox is empty', sub { superuser("SELECT count(*) FROM $ns.revocations") == 0 });
is(scalar(grep { $_->{body} =~ /token=$held->{body}{refresh_token}\b/ } $two->requests('/revoke')), 1, 'disconnected while refreshed: what was granted then is revoked too');
is(paths($one), '', '... and nowhere else');

# -------------------------------------------------- the same account, at another site

new_connector('account', issuer => $one->url, jwks_uri => $one->url . '/jwks', arguments => { scopes => [qw(openid read)] });
sub consent
{
	my ($site, %members) = @_;
	my $sent = begun('alice', 'account', $site);

	all_rules();
	$site->add(answer(%members, id_token => id_token(sub => 'alice@one', nonce => $sent->{nonce})));
	return is(row($node, 'app_service', back($sent), app_user => 'alice')->{failure}, undef, 'alice consents');
}
consent($one, refresh_token => 'refresh-of-one');
consent($one, refresh_token => undef);
all_rules();
is(refreshed('alice', 'account'), '', 'at the same site her refresh token goes on');
like(($one->requests('/token'))[0]{body}, qr/refresh-of-one/, '... where it is from');
consent($one, refresh_token => 'refresh-of-one');
consent($two, refresh_token => undef);
all_rules();
refreshed('alice', 'account');
unlike(join(' ', map { $_->{body} } $two->requests), qr/refresh-of-one/, 'at another site that says it is the same account it does not');

# ------------------------------------------------------------------ one site's trouble

sub troubled
{
	my ($connector, $what, %answer) = @_;

	new_connector($connector);
	all_rules();
	connected($_, $connector, $two) foreach 'd1' .. 'd4';
	connected('alice', $connector, $one);
	rules($two, { path => '/token', %answer });
	refreshed($_, $connector) foreach 'd1' .. 'd4';
	is(refreshed('alice', $connector), '', "$what: another site's people are refreshed all the same");
	is(superuser("SELECT stopped_reason FROM $ns.connectors WHERE connector_id = '$connector'"), '', '... and the connector goes on');
	return;
}
troubled('refusing', 'a site that refuses the client', status => 401, body => { error => 'invalid_client' });
troubled('down', 'a site that is down', status => 503, body => {});

# That another site renews well says nothing of one that answers all alike for a while.
new_connector('doubted');
all_rules();
connected('alice', 'doubted', $one);
connected($_, 'doubted', $two) foreach 'd1', 'd2';
rules($one, { path => '/token', status => 400, body => '' });
foreach (1 .. 6)
{
	refreshed('alice', 'doubted');
	is(refreshed('d1', 'doubted'), '', 'meanwhile the other site renews') if $_ < 6;
	superuser("UPDATE $ns.connections SET refresh_at = NULL WHERE connector_id = 'doubted' AND app_user = 'alice'");
}
is(superuser("SELECT status FROM $ns.connections WHERE connector_id = 'doubted' AND app_user = 'alice'"), 'connected', 'a bad day of one site ends nobody, however well another is');
rules($one);
is(refreshed('alice', 'doubted'), '', '... and is over');

# ----------------------------------------------------- the extension's own catalogue

my %sandboxed = (authorization_endpoint => $one->url . '/auth', token_endpoint => $one->url . '/token', sandbox => { token_endpoint => $two->url . '/token' });
superuser("INSERT INTO $ns.provider_catalogue (provider, name, categories, definition) VALUES ('ours', 'Ours', '{}', " . AppuserConnectors::quote(\%sandboxed) . ')');
admin('register_connector', provider => 'ours', client_id => 'client', client_secret => 'the-secret', scopes => ['read'], redirect_uris => ['https://app.example/cb']);
refused('update_connector', '42501', qr/client_secret must be given anew/, 'into the sandbox of a built-in provider moves it who knows the secret', connector_id => 'ours', options => { sandbox => JSON::PP::true });
refused('update_connector', '42501', qr/client_secret must be given anew/, '... also along with the definition', connector_id => 'ours', provider => 'ours', options => { sandbox => JSON::PP::true });

# ------------------------------------------------ what goes along with a client's secret

my %along = (authorization_endpoint => $one->url . '/auth', token_endpoint => $one->url . '/token', token_params => { audience => '{audience}' }, token_headers => { 'X-Device' => '{device}' },
	connection_config_fields => { audience => { source => 'callback', pattern => '^.+$' }, device => { source => 'user', pattern => '^.+$' } });
admin('register_provider', provider => 'along', definition => \%along);
admin('register_connector', provider => 'along', client_id => 'client', client_secret => 'the-secret', scopes => ['read'], redirect_uris => ['https://app.example/cb'], connection_config => { audience => 'of-the-admin' });
all_rules();
$flow = url_parameters(authorization_url($node, 'alice', 'along', connection_config => { device => '{client_secret}' }));
row($node, 'app_service', back($flow, params => { audience => 'of-the-browser' }), app_user => 'alice');
my ($request) = $one->requests('/token');
like($request->{body}, qr/audience=of-the-admin/, "the admin's word goes before the browser's");
isnt($request->{headers}{'x-device'} // '', 'the-secret', 'the name of the secret as a value is not the secret');
refused('update_connector', '42501', qr/client_secret must be given anew/, "a field's value that goes along with the secret is changed by who knows that", connector_id => 'along', connection_config => { audience => 'another' });

admin('register_provider', provider => 'by_id', definition => { authorization_endpoint => $one->url . '/auth', token_endpoint => $one->url . '/{client_id}/token' });
refused('register_connector', '22023', qr/client_id/, 'a client_id that cannot stand in the URL', provider => 'by_id', client_id => 'a/b', client_secret => 'the-secret', scopes => ['read'], redirect_uris => ['https://app.example/cb']);

done_testing();
