# Endpoints with fields in them: a connection's secrets and tokens go where its own fields
# say, and nowhere else, whoever gives the values: an app user, an admin, the callback, or
# the provider; and whatever is edited or declared otherwise later.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Test::More;

my $ns = 'appuser_connectors';
my $one = start_fault_server(certificate => undef);
my $two = start_fault_server(certificate => undef);
my $evil = start_fault_server(certificate => undef);
my $secrets = PostgreSQL::Test::Utils::tempdir('secrets-directory');
my $node = new_node('fields', "appuser_connectors.secrets_directory = '$secrets'");
my ($known) = map { s/\./\\./gr } join '|', map { $_->url } $one, $two;
my $serial = 0;

$_->rules({ path => '*', body => { access_token => 'access-token', refresh_token => 'refresh-token', token_type => 'Bearer', expires_in => 7200 } }) foreach $one, $two, $evil;

sub admin
{
	my ($function, %arguments) = @_;

	return query($node, 'app_admin', "SELECT $ns.$function(" . AppuserConnectors::arguments(%arguments) . ')');
}

sub refused
{
	my ($role, $function, $sqlstate, $like, $name, %arguments) = @_;
	my ($state, $message) = failure($node, $role, "SELECT $ns.$function(" . AppuserConnectors::arguments(%arguments) . ')', $role eq 'app_service' ? (app_user => 'alice') : ());

	is($state, $sqlstate, $name);
	like($message // '', $like, '... and is told why');
	return;
}

sub define
{
	my ($provider, %members) = @_;

	return admin('register_provider', provider => $provider, definition => { authorization_endpoint => $one->url . '/auth', token_endpoint => $one->url . '/token', %members });
}

sub register_at
{
	my ($provider, %arguments) = @_;

	return admin('register_connector', provider => $provider, client_id => 'client', client_secret => 'the-secret', scopes => ['read'], redirect_uris => ['https://app.example/cb'], %arguments);
}

sub connected
{
	my ($app_user, $connector, $config, $callback) = @_;
	my $url = authorization_url($node, $app_user, $connector, $config ? (connection_config => $config) : ());
	my $state = url_parameters($url)->{state};

	return ($url, row($node, 'app_service', "SELECT failure FROM $ns.oauth_callback(" . AppuserConnectors::arguments(state => $state, code => 'a-code-' . ++$serial, params => $callback // {}) . ')', app_user => $app_user));
}

sub refreshed
{
	my ($app_user, $connector) = @_;

	return (failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('$app_user', '$connector', min_validity => '1 day')"))[0] // '';
}

sub paths { return join ' ', map { $_->{path} } $_[0]->requests; }
sub forget { $_->order({ reset => JSON::PP::true }) foreach $one, $two, $evil; $_->rules({ path => '*', body => { access_token => 'access-token', refresh_token => 'refresh-token', token_type => 'Bearer', expires_in => 7200 } }) foreach $one, $two, $evil; return; }

# --------------------------------------------------------------- what is no definition

my %bad = (
	'a field that nobody declared' => [ { token_endpoint => 'https://{site}.example/token' }, qr/must declare "site"/ ],
	'a field that may hold anything' => [ { token_endpoint => 'https://{site}.example/token', connection_config_fields => { site => {} } }, qr/must declare "site", with a pattern/ ],
	'a field that is known later' => [ { authorization_endpoint => 'https://{site}.example/', connection_config_fields => { site => { source => 'callback', pattern => '^a$' } } }, qr/"site" is not known yet/ ],
	'a field of the answer to the request itself' => [ { token_endpoint => 'https://{site}.example/', connection_config_fields => { site => { source => 'token_response', pattern => '^a$' } } }, qr/"site" is not known yet/ ],
	'a field of keys' => [ { jwks_uri => 'https://{site}.example/', connection_config_fields => { site => { pattern => '^a$' } } }, qr/It is not a URL|not a URL/ ],
	'two fields that touch' => [ { token_endpoint => 'https://{a}{b}.example/', connection_config_fields => { a => { pattern => '^a$' }, b => { pattern => '^a$' } } }, qr/touch each other/ ],
);
foreach my $what (sort keys %bad)
{
	my ($members, $like) = @{ $bad{$what} };
	refused('app_admin', 'register_provider', '22023', $like, "$what is refused", provider => 'bad', definition => { authorization_endpoint => 'https://a.example/', token_endpoint => 'https://a.example/', %$members });
}

# ----------------------------------------------------------------- the app user's field

# What only a refresh needs is asked for as well, before anybody connects.
define('renewed', refresh_endpoint => '{site}/refresh', connection_config_fields => { site => { source => 'user', pattern => "^$known\$" } });
register_at('renewed');
refused('app_service', 'connect_app_user', '22023', qr/lacks field "site"/, 'who gives no field of the refresh endpoint', connector_id => 'renewed');

define('site', authorization_endpoint => '{site}/auth', token_endpoint => '{site}/{area}/token', revocation_endpoint => '{site}/revoke',
	connection_config_fields => { site => { source => 'user', pattern => "^$known\$" }, area => { source => 'user', pattern => '^[^?]*$', default => 'eu' } });
register_at('site');
refused('app_service', 'connect_app_user', '22023', qr/lacks field "site".*HINT:.*connection_config =>/s, 'who gives no field', connector_id => 'site');
refused('app_service', 'connect_app_user', '22023', qr/field "site".*does not fit/, 'who gives another host', connector_id => 'site', connection_config => { site => $evil->url });
refused('app_service', 'connect_app_user', '22023', qr/field "site".*does not fit/, 'who gives more than a host', connector_id => 'site', connection_config => { site => $one->url . '@' . $evil->url });
# the pattern lets it through; the place in the URL does not
refused('app_service', 'connect_app_user', '22023', qr/lacks field "area"/, 'who leaves the path', connector_id => 'site', connection_config => { site => $one->url, area => $_ }) foreach '../x', '..', 'a/b', 'a#b', '%2e%2e';
my ($url, $row) = connected('alice', 'site', { site => $one->url });
like($url, qr/^\Q${\ $one->url}\E\/auth\?/, 'the browser goes where alice said');
is($row->{failure}, undef, 'she is connected');
($url, $row) = connected('bob', 'site', { site => $two->url, area => 'us' });
like($url, qr/^\Q${\ $two->url}\E\/auth\?/, 'and bob where he said');
is($row->{failure}, undef, 'and he is');
is(refreshed($_, 'site'), '', "$_\'s token is refreshed") foreach qw(alice bob);
is(paths($one), '/eu/token /eu/token', "alice's code and refresh token went to her site");
is(paths($two), '/us/token /us/token', "bob's to his");
query($node, 'app_service', "SELECT $ns.disconnect_app_user('site')", app_user => 'bob');
wait_until('it is revoked', sub { query($node, 'postgres', "SELECT count(*) FROM $ns.revocations") == 0 });
like(paths($two), qr{/revoke}, 'and are revoked there');
unlike(paths($one), qr{/revoke}, 'and nowhere else');

# Edited by SQL, the fields open no token.
query($node, 'postgres', "UPDATE $ns.connections SET connection_config = '{\"site\": \"" . $two->url . "\", \"area\": \"eu\"}' WHERE connector_id = 'site'");
forget();
is(refreshed('alice', 'site'), 'UC002', 'a connection whose fields are edited has to be connected again');
is(paths($_), '', 'nothing is sent') foreach $one, $two;

# ----------------------------------------------------------------------- the admin's field

define('tenant', token_endpoint => $one->url . '/{tenant}/token', revocation_endpoint => $one->url . '/{tenant}/revoke', token_params => { tenant => '{tenant}', json => '{"a": "{b}"}', claims => '{"t":"{tenant}"}' },
	connection_config_fields => { tenant => { pattern => '^[a-z]+$' } });
refused('app_admin', 'register_connector', '22023', qr/lacks field "tenant".*HINT:.*connection_config =>/s, 'a connector without it',
	provider => 'tenant', client_id => 'client', client_secret => 'the-secret', scopes => ['read'], redirect_uris => ['https://app.example/cb']);
register_at('tenant', connection_config => { tenant => 'acme' });
forget();
is((connected('alice', 'tenant'))[1]{failure}, undef, 'with it people connect');
is(refreshed('alice', 'tenant'), '', 'and are refreshed');
is(paths($one), '/acme/token /acme/token', 'at its path');
like(($one->requests)[0]{body}, qr/&tenant=acme\b/, 'a parameter has it too');
like(($one->requests)[0]{body}, qr/&json=%7B%22a%22%3A(?:%20|\+)%22%7Bb%7D%22%7D/, 'and braces that are no field stay');
like(($one->requests)[0]{body}, qr/&claims=%7B%22t%22%3A%22acme%22%7D/, 'also around a field');
refused('app_admin', 'update_connector', '42501', qr/client_secret must be given anew/, 'where the secret goes is not changed by who does not know it', connector_id => 'tenant', connection_config => { tenant => 'evil' });
refused('app_admin', 'update_connector', '42501', qr/client_secret must be given anew/, 'nor by taking the definition anew', connector_id => 'tenant', connection_config => { tenant => 'evil' }, provider => 'tenant');
refused('app_admin', 'update_connector', '22023', qr/field "tenant" cannot be declared by the connector's options/, 'nor by another declaration', connector_id => 'tenant', options => { connection_config_fields => { tenant => { source => 'user', pattern => '^[a-z]+$' } } });
define('tenant', token_endpoint => $one->url . '/{tenant}/token', revocation_endpoint => $one->url . '/{tenant}/revoke', token_params => { tenant => '{tenant}', json => '{"a": "{b}"}', claims => '{"t":"{tenant}"}' },
	connection_config_fields => { tenant => { source => 'user', pattern => '^[a-z/]+$' } });
refused('app_admin', 'update_connector', '42501', qr/client_secret must be given anew.*what a field in its URLs may hold/s, 'nor by a definition that declares it otherwise', connector_id => 'tenant', provider => 'tenant');
is(refreshed('alice', 'tenant'), '', 'all goes on as before');
admin('update_connector', connector_id => 'tenant', connection_config => { tenant => 'other' }, client_secret => 'the-secret');
is(query($node, 'app_admin', "SELECT status_reason FROM $ns.connection_status WHERE connector_id = 'tenant'"), 'endpoints_changed', 'who knows it moves the connector, and people connect again');

# The extension's own catalogue: it may move, an admin's field may not.
sub built_in
{
	my ($path) = @_;

	return query($node, 'postgres', "INSERT INTO $ns.provider_catalogue (provider, name, categories, definition) VALUES ('ours', 'Ours', '{}', " . AppuserConnectors::quote({
			authorization_endpoint => $one->url . '/auth', token_endpoint => $one->url . "/$path/{tenant}/token", connection_config_fields => { tenant => { pattern => '^[a-z]+$' } } }) . ')
		ON CONFLICT (provider) DO UPDATE SET definition = excluded.definition');
}
built_in('v1');
register_at('ours', connection_config => { tenant => 'acme' });
is((connected('alice', 'ours'))[1]{failure}, undef, 'at a provider of the catalogue people connect');
built_in('v2');
refused('app_admin', 'update_connector', '42501', qr/client_secret must be given anew/, 'along with a newer catalogue no field changes', connector_id => 'ours', provider => 'ours', connection_config => { tenant => 'evil' });
admin('update_connector', connector_id => 'ours', provider => 'ours');
forget();
is(refreshed('alice', 'ours'), '', 'the newer one is taken over, and nobody notices');
is(paths($one), '/v2/acme/token', 'at the new URL');
is(refreshed('alice', 'ours'), '', 'again');

# A provider with a field in its host has moved, and a superuser says where.
sub moving
{
	my ($path, %members) = @_;

	return define('moving', token_endpoint => "{site}/$path/{tenant}/token", long_token_endpoint => $one->url . "/$path/long", long_token_params => { grant_type => 'long' },
		connection_config_fields => { site => { source => 'user', pattern => "^$known\$" }, tenant => { pattern => '^[a-z]+$' } }, %members);
}
sub allow
{
	my (@urls) = @_;

	return query($node, 'postgres', "SELECT $ns.allow_endpoint_change('moving', " . join(', ', map { AppuserConnectors::quote($_) } @urls) . ')');
}
moving('v1');
register_at('moving', connection_config => { tenant => 'acme' });
is((connected('alice', 'moving', { site => $two->url }))[1]{failure}, undef, 'alice is connected before');
moving('v2');
my @unfit = ([ '{site}/v2/acme/token' ], [ '{site}/v2/{tenant}/token', undef, undef, $one->url . '/v2/long' ], [ '{other}/v2/acme/token', undef, undef, $one->url . '/v2/long' ], [ '{site}/v2/acme/token', undef, undef, $evil->url . '/long' ]);
foreach my $urls (@unfit)
{
	allow(@$urls);
	refused('app_admin', 'update_connector', '42501', qr/client_secret must be given anew/, 'other URLs than these are not those', connector_id => 'moving', provider => 'moving');
}
is((failure($node, 'postgres', "SELECT $ns.allow_endpoint_change('moving', 'https://{a}{b}.example/')"))[0], '22023', 'nor is one that is none');
allow('{site}/v2/acme/token', undef, undef, $one->url . '/v2/long');
moving('v2', connection_config_fields => { site => { source => 'user', pattern => '^.*$' }, tenant => { pattern => '^[a-z]+$' } });
refused('app_admin', 'update_connector', '42501', qr/client_secret must be given anew/, 'what a field may hold a superuser has not said', connector_id => 'moving', provider => 'moving');
moving('v2');
refused('app_admin', 'update_connector', '42501', qr/client_secret must be given anew/, 'nor what the admin fixes', connector_id => 'moving', provider => 'moving', connection_config => { tenant => 'evil' });
forget();
admin('update_connector', connector_id => 'moving', provider => 'moving');
is(refreshed('alice', 'moving'), '', 'where they are, the connector moves, and alice goes on');
is(paths($two), '/v2/acme/token', 'at her site');
is(paths($evil), '', 'and nowhere else');

# ------------------------------------------------------------------------ the callback's field

define('data_center', token_endpoint => '{server}/token', refresh_params => { device_id => '{device_id}' },
	connection_config_fields => { server => { source => 'callback', parameter => 'accounts-server', pattern => "^$known\$" }, device_id => { source => 'callback', pattern => '^[a-z ]+$' } });
register_at('data_center');
forget();
is((connected('alice', 'data_center'))[1]{failure}, 'invalid_response', 'without it nobody is connected');
like(query($node, 'app_admin', "SELECT detail FROM $ns.connection_events WHERE event = 'connect_failed' ORDER BY occurred_at DESC LIMIT 1"), qr/token endpoint needs "server"/, 'and the admin is told why');
is((connected('alice', 'data_center', undef, { 'accounts-server' => $_ }))[1]{failure}, 'invalid_response', "nor at $_") foreach $evil->url, $one->url . '@evil.example', $one->url . '/../x', $one->url . '#';
is((connected('alice', 'data_center', undef, { server => $one->url }))[1]{failure}, 'invalid_response', 'nor by another name');
is(paths($_), '', 'no code was sent') foreach $one, $two, $evil;
is((connected('alice', 'data_center', undef, { 'accounts-server' => $two->url, device_id => 'a device' }))[1]{failure}, undef, 'with it alice is');
is(refreshed('alice', 'data_center'), '', 'and refreshed');
is(paths($two), '/token /token', 'at her data center');
like(($two->requests)[1]{body}, qr/device_id=a(?:\+|%20)device/, 'with what else the callback brought');
is(paths($_), '', 'and nowhere else') foreach $one, $evil;

# ------------------------------------------------------------------- the token response's field

define('instance', revocation_endpoint => '{instance_url}/revoke', connection_config_fields => { instance_url => { source => 'token_response', pattern => "^$known\$" } });
register_at('instance');
forget();
$one->add({ path => '/token', body => { access_token => 'a', refresh_token => 'r', token_type => 'Bearer', expires_in => 7200, instance_url => $two->url } });
is((connected('alice', 'instance'))[1]{failure}, undef, 'connected');
query($node, 'app_service', "SELECT $ns.disconnect_app_user('instance')", app_user => 'alice');
wait_until('it is revoked', sub { query($node, 'postgres', "SELECT count(*) FROM $ns.revocations") == 0 });
is(paths($two), '/revoke /revoke', 'a token is revoked at its own instance');

# ------------------------------------------------------------------------- the provider's sandbox

define('tested', revocation_endpoint => $one->url . '/revoke', sandbox => { authorization_endpoint => $two->url . '/auth', token_endpoint => $two->url . '/token' });
register_at('tested', connector_id => 'in_sandbox', options => { sandbox => JSON::PP::true });
forget();
($url, $row) = connected('alice', 'in_sandbox');
like($url, qr/^\Q${\ $two->url}\E\/auth\?/, 'the browser goes to the sandbox');
is($row->{failure}, undef, 'where alice is connected');
is(refreshed('alice', 'in_sandbox'), '', 'and refreshed');
query($node, 'app_service', "SELECT $ns.disconnect_app_user('in_sandbox')", app_user => 'alice');
is(paths($one), '', 'nothing of it comes to the provider itself, not even to be revoked');
is(paths($two), '/token /token', 'but all to the sandbox');
like(query($node, 'app_admin', "SELECT detail FROM $ns.connection_events WHERE event = 'disconnected' AND connector_id = 'in_sandbox'"), qr/no revocation endpoint/, 'which has no revocation endpoint');
refused('app_admin', 'update_connector', '42501', qr/client_secret must be given anew/, 'who does not know the secret does not move it out of the sandbox', connector_id => 'in_sandbox', options => {});
refused('app_admin', 'register_connector', '22023', qr/provider "sub" has no sandbox|provider "instance" has no sandbox/, 'not every provider has one', provider => 'instance', client_id => 'client', client_secret => 'x', scopes => [], redirect_uris => ['https://app.example/cb'], connector_id => 'none', options => { sandbox => JSON::PP::true });
refused('app_admin', 'register_provider', '22023', qr/"sandbox".*(?:unknown name|URL|declare)/s, 'what is no sandbox is refused', provider => 'bad', definition => { authorization_endpoint => 'https://a.example/', token_endpoint => 'https://a.example/', sandbox => $_ })
  foreach { pkce => 'off' }, { token_endpoint => 'nonsense' }, { token_endpoint => 'https://{x}.example/' };

# ------------------------------------------------------------------------- secrets of files

sub write_secret
{
	my ($name, @lines) = @_;

	mkdir "$secrets/clients";
	PostgreSQL::Test::Utils::append_to_file("$secrets/clients/$name", join "\n", @lines, 'a-secret-of-a-file');
	chmod 0600, "$secrets/clients/$name";
	return "file:$name";
}
my $file = write_secret('any', 'origin: ' . $one->url);
refused('app_admin', 'register_connector', '42501', qr/may not be sent to "\{site\}/, 'a secret of a file does not go to a URL whose origin the admin may choose', provider => 'site', client_id => 'client', client_secret => $file, scopes => ['read'], redirect_uris => ['https://app.example/cb'], connector_id => 'by_file');
define('sub', token_endpoint => 'https://{sub}.zendesk.com/token', connection_config_fields => { sub => { source => 'user', pattern => '^[a-z]+$' } });
refused('app_admin', 'register_connector', '42501', qr/no line "origin: https:\/\/\{sub\}\.zendesk\.com"/, 'nor to one with a field', provider => 'sub', client_id => 'client', client_secret => $file, scopes => ['read'], redirect_uris => ['https://app.example/cb']);
is(register_at('sub', client_secret => write_secret('zendesk', 'origin: https://{sub}.zendesk.com')), 'sub', 'unless its file says so, as the definition writes it');

is(paths($evil), '', 'nothing came to the other server');
$node->stop;
done_testing();
