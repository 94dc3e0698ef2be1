# A second consent, a provider that moves, and names of scopes: what an answer says is
# kept as what it means.  The same account's refresh token outlives a consent that brings
# none; nobody's access token lies beside the refresh token of another account; and
# nobody is said to lack a scope that the provider never names.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use MIME::Base64 qw(encode_base64url);
use Test::More;

my $ns = 'appuser_connectors';
my $fault = start_fault_server();
my $node = new_node('reconsent');
my $serial = 0;

# ---------- ID tokens ----------

my $key = PostgreSQL::Test::Utils::tempdir('key') . '/key.pem';
system("openssl genpkey -algorithm RSA -out '$key' 2>/dev/null") == 0 or die 'openssl genpkey failed';
my ($modulus) = `openssl rsa -in '$key' -noout -modulus 2>/dev/null` =~ /Modulus=([0-9A-F]+)/ or die 'openssl rsa failed';
my $jwks = { keys => [ { kty => 'RSA', n => encode_base64url(pack 'H*', $modulus), e => 'AQAB' } ] };

sub id_token
{
	my (%claims) = @_;
	my $text = join '.', map { encode_base64url(encode($_)) } { alg => 'RS256' },
	  { iss => $fault->url, aud => 'app', exp => time + 600, iat => time, %claims };
	my $signature;

	IPC::Run::run([ 'openssl', 'dgst', '-sha256', '-sign', $key ], '<', \$text, '>', \$signature) or die 'openssl dgst failed';
	return "$text." . encode_base64url($signature);
}

# ---------- flows ----------

sub new_connector
{
	my ($name, %arguments) = @_;

	return register($node, $fault, connector_id => $name, provider => $name, scopes => [qw(openid read)], client_secret => 'secret',
		%arguments, definition => { jwks_uri => $fault->url . '/jwks', %{ $arguments{definition} // {} } });
}

sub answers
{
	my ($body, @rules) = @_;

	return $fault->rules(@rules, { path => '/token', body => $body }, { path => '/jwks', body => $jwks }, { path => '/token/revocation', body => {} });
}

sub tokens
{
	my (%members) = @_;

	$serial++;
	return { access_token => "access-$serial", refresh_token => "refresh-$serial", token_type => 'Bearer', expires_in => 3600, %members };
}

# account undef: no ID token; the rest replaces members of the answer.
sub consent
{
	my ($connector, $account, %members) = @_;
	my $callback = delete $members{callback} // {};
	my $rules = delete $members{rules} // [];
	my $sent = url_parameters(authorization_url($node, 'alice', $connector));
	my $answer = tokens(%members);

	$answer->{id_token} = id_token(sub => $account, nonce => $sent->{nonce}) if defined $account;
	answers($answer, @$rules);
	my $row = callback($node, 'alice', { state => $sent->{state}, code => 'a-code' }, %$callback ? (params => $callback) : ());
	is($row->{failure}, undef, "$connector: a consent");
	return ($answer, $sent);
}

sub listed
{
	my ($connector) = @_;

	return row($node, 'app_service', "SELECT status, status_reason, account, scopes, missing_scopes, scopes_assumed FROM $ns.app_user_connections() WHERE connector_id = '$connector'",
		app_user => 'alice');
}

sub served
{
	my ($connector, %arguments) = @_;

	return row($node, 'app_service', "SELECT access_token, connection_config FROM $ns.app_user_connection(" . AppuserConnectors::arguments(app_user => 'alice', connector_id => $connector, %arguments) . ')');
}

sub last_event
{
	my ($connector, $event) = @_;

	return query($node, 'app_admin', "SELECT coalesce(detail, '-') FROM $ns.connection_events WHERE connector_id = '$connector' AND event = '$event' ORDER BY occurred_at DESC LIMIT 1");
}

# The refresh token that the next refresh sends
sub spent
{
	my ($connector, $current) = @_;

	answers(tokens(refresh_token => undef));
	isnt(served($connector, rejected_token => $current)->{access_token}, $current, "$connector: it is refreshed");
	return url_parameters('?' . ($fault->requests('/token'))[-1]{body})->{refresh_token};
}

# ---------- a second consent without a refresh token ----------

new_connector('kept', definition => { consent_params => { prompt => 'consent', access_type => 'offline' }, authorization_params => { prompt => 'select_account' } });
my ($first, $sent) = consent('kept', 'alice@provider');
is($sent->{prompt}, 'select_account', 'a first authorization has the parameters of any');
my $second;
($second, $sent) = consent('kept', 'alice@provider', refresh_token => undef);
is($sent->{access_type}, undef, 'while there is a refresh token nobody is asked for consent anew');
is(served('kept')->{access_token}, $second->{access_token}, "the same account again: the new access token is served");
is(spent('kept', $second->{access_token}), $first->{refresh_token}, 'and the refresh token that is stored goes on');
is(last_event('kept', 'reconnected'), '-', 'there is nothing to tell');
is(listed('kept')->{status_reason}, undef, 'nor to say of it');

# Not mixed: of another account, of an unknown one, or after an unknown one
foreach my $case ([ 'of another account', 'alice@provider', 'mallory@provider' ], [ 'of an unknown account', 'alice@provider', undef ], [ 'after an unknown account', undef, 'alice@provider' ])
{
	my ($name, $before, $after) = @$case;
	my $connector = 'mixed-' . ++$serial;

	# without openid granted no ID token is expected
	new_connector($connector, definition => { consent_params => { prompt => 'consent' } });
	consent($connector, $before, defined $before ? () : (scope => 'read'));
	my ($answer) = consent($connector, $after, refresh_token => undef, defined $after ? () : (scope => 'read'));
	is(query($node, 'postgres', "SELECT refresh_token IS NULL FROM $ns.connections WHERE connector_id = '$connector'"), 't', "$name: the refresh token that was stored is not kept");
	is(served($connector)->{access_token}, $answer->{access_token}, '... the token is served while it lasts');
	is(listed($connector)->{status}, 'connected', '... it is connected');
	is(listed($connector)->{status_reason}, 'no_refresh_token', '... and it is said at once that this ends');
	like(last_event($connector, 'reconnected'), qr/no_refresh_token: it ends at \d{4}-/, '... when, and why, by the event');
	is(url_parameters(authorization_url($node, 'alice', $connector))->{prompt}, 'consent', '... and the next time consent is asked for anew');
}
new_connector('single');
consent('single', 'alice@provider', refresh_token => undef, expires_in => undef);
is(listed('single')->{status_reason}, undef, 'a token that does not expire needs no refresh token');

# A refresh that is under way rotates the token that the consent keeps.
new_connector('crossing');
($first) = consent('crossing', 'alice@provider');
my $rotated = tokens();
my $url = url_parameters(authorization_url($node, 'alice', 'crossing'));
my $answer = tokens(refresh_token => undef, id_token => id_token(sub => 'alice@provider', nonce => $url->{nonce}));
my $requests = $fault->requests('/token');
answers($answer, { path => '/token', times => 1, hold => 'refresh', body => $rotated });
query($node, 'postgres', "UPDATE $ns.connections SET refresh_at = now() - interval '1 s' WHERE connector_id = 'crossing'");
$fault->wait(path => '/token', count => $requests + 1);
is(callback($node, 'alice', { state => $url->{state}, code => 'a-code' })->{failure}, undef, 'a consent while a refresh is under way');
is(served('crossing')->{access_token}, $answer->{access_token}, 'is stored');
$fault->release('refresh');
wait_until('the answer to the refresh is stored', sub { served('crossing')->{access_token} eq $rotated->{access_token} });
is(spent('crossing', $rotated->{access_token}), $rotated->{refresh_token}, 'and what was rotated meanwhile is not lost');

# ---------- another account ----------

# A connection that holds the former account through the same client would keep it from being revoked.
new_connector('changed');
($first) = consent('changed', 'left@provider');
consent('changed', 'work@provider');
is(last_event('changed', 'reconnected'), 'another account', 'a reconnect with another account is told');
is(listed('changed')->{account}, 'work@provider', 'and whose it is now');
wait_until('the grant of the former account is revoked', sub { last_event('changed', 'revoked') ne '' });
is_deeply([ sort map { url_parameters('?' . $_->{body})->{token} } $fault->requests('/token/revocation') ], [ sort @$first{qw(access_token refresh_token)} ], 'that one, and nothing else');
consent('changed', 'work@provider');
is(last_event('changed', 'reconnected'), '-', 'with the same account there is nothing to tell');
is(scalar($fault->requests('/token/revocation')), 2, 'nor is anything revoked, since that may end the new grant');

new_connector('endless', definition => { revocation_endpoint => undef });
consent('endless', 'alice@provider');
consent('endless', 'alice-at-work@provider');
is(last_event('endless', 'reconnected'), "another account; the former one's grant is not revoked: the provider has no revocation endpoint", 'where nothing can be revoked the event says so');

# ---------- what a refresh brings anew ----------

new_connector('moving', scopes => ['read'], options => { resource => 'https://api.example/v1' }, connection_config => { region => 'eu' },
	definition => { connection_config_fields => { map { $_ => { source => 'token_response', pattern => '^[a-z.:/0-9]+$' } } qw(instance_url region) } });
($first, $sent) = consent('moving', undef, instance_url => 'https://na1.example', region => 'us');
is($sent->{resource}, 'https://api.example/v1', 'the resource is asked for');
is(url_parameters('?' . ($fault->requests('/token'))[-1]{body})->{resource}, 'https://api.example/v1', 'at the exchange as well');
is_deeply(served('moving')->{connection_config}, { instance_url => 'https://na1.example', region => 'eu' }, 'the answer says where the API is, and the admin where it is fixed');
answers($second = tokens(instance_url => 'https://na2.example', region => 'us'));
is_deeply(served('moving', rejected_token => $first->{access_token}), { access_token => $second->{access_token}, connection_config => { instance_url => 'https://na2.example', region => 'eu' } },
	'a refresh brings the new host with the new token, and nothing in place of what the admin has fixed');
is(url_parameters('?' . ($fault->requests('/token'))[-1]{body})->{resource}, 'https://api.example/v1', 'and has the resource in it');
answers($first = tokens(instance_url => 'JAVASCRIPT'));
is_deeply(served('moving', rejected_token => $second->{access_token}), { access_token => $first->{access_token}, connection_config => { instance_url => 'https://na2.example', region => 'eu' } },
	'what does not fit is not taken, and costs no token');

# ---------- names of scopes ----------

new_connector('named', scopes => [qw(email offline_access repo:status)],
	definition => { scope_aliases => { 'https://scopes.example/email' => 'email' }, implied_scopes => { repo => ['repo:status'] }, unreturned_scopes => ['offline_access'] });
consent('named', undef, scope => 'https://scopes.example/email repo');
is_deeply(listed('named'), { status => 'connected', status_reason => undef, account => undef, missing_scopes => [], scopes_assumed => JSON::PP::false,
		scopes => [ 'https://scopes.example/email', 'repo', 'offline_access', 'email', 'repo:status' ] }, 'nobody lacks what the provider calls otherwise, implies, or never names');
my $token = served('named', required_scopes => '{offline_access,email,repo:status}')->{access_token};
ok($token, 'who requires them has the token');
answers(tokens(scope => 'repo'));
$token = served('named', rejected_token => $token)->{access_token};
is_deeply(listed('named')->{missing_scopes}, ['email'], 'after a refresh as well, and what is withdrawn is missing');

new_connector('silent', scopes => ['read']);
consent('silent', undef);
is_deeply([ @{ listed('silent') }{qw(scopes scopes_assumed)} ], [ ['read'], JSON::PP::true ], 'where nobody says what was granted, as requested is assumed, which is said');
is(query($node, 'app_admin', "SELECT scopes_assumed FROM $ns.connection_status WHERE connector_id = 'silent'"), 't', 'to the admin as well');
answers(tokens(scope => 'read'));
served('silent', rejected_token => served('silent')->{access_token});
is(listed('silent')->{scopes_assumed}, JSON::PP::false, 'until an answer does');

new_connector('strava', scopes => [qw(read activity:read)], definition => { scope_separator => ',', callback_scope_parameter => 'scope' });
consent('strava', undef, callback => { scope => 'read,admin' });
is_deeply([ @{ listed('strava') }{qw(scopes missing_scopes scopes_assumed)} ], [ ['read'], ['activity:read'], JSON::PP::false ],
	'what the callback names takes away from what was asked for, and adds nothing');
is((failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('alice', 'strava', required_scopes => '{activity:read}')"))[0], 'UC002', 'who requires more is told');
consent('strava', undef, scope => 'activity:read', callback => { scope => 'read' });
is_deeply(listed('strava')->{scopes}, ['activity:read'], 'what the answer names counts before it');

# ---------- parameters that would not be sent ----------

foreach my $case (
	[ token_params => 'client_id' ], [ token_params => 'code' ], [ refresh_params => 'scope' ], [ refresh_params => 'refresh_token' ], [ authorization_params => 'state' ],
	[ authorization_params => 'scope' ], [ consent_params => 'nonce' ])
{
	my ($member, $name) = @$case;
	my ($state, $message) = failure($node, 'app_admin', "SELECT $ns.register_provider('none', " . AppuserConnectors::quote({ %{ $fault->definition }, $member => { $name => 'x' } }) . ')');

	is($state, '22023', "$member with $name is refused");
}
new_connector('repeated', scopes => ['read'], definition => { refresh_params => { redirect_uri => 'https://app.example/cb' } });
($first) = consent('repeated', undef);
spent('repeated', $first->{access_token});
is(url_parameters('?' . ($fault->requests('/token'))[-1]{body})->{redirect_uri}, 'https://app.example/cb', 'redirect_uri, which some servers want at a refresh, is sent');

done_testing();
