# An ID token says whose account was connected, if it is good; a bad one connects
# nobody.  The provider's keys are there before the code is sent, and are fetched
# again, once, for a key that was not among them.  At a refresh nothing is lost by it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Digest::SHA qw(hmac_sha256 sha256);
use MIME::Base64 qw(encode_base64url);
use Test::More;

my $fault = start_fault_server();
my $node = new_node('id_token');
my $worker_query = "SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'appuser_connectors worker%'";
my $users = 0;
my $tokens = 0;

# ---------- keys and tokens ----------

my $key_directory = PostgreSQL::Test::Utils::tempdir('keys');

# An RSA key of the provider: its file and its JWK without a kid.
sub new_key
{
	my ($name) = @_;
	my $file = "$key_directory/$name.pem";

	system("openssl genpkey -quiet -algorithm RSA -out '$file' 2>/dev/null || openssl genpkey -algorithm RSA -out '$file' 2>/dev/null") == 0
	  or die 'openssl genpkey failed';
	my ($modulus) = `openssl rsa -in '$file' -noout -modulus 2>/dev/null` =~ /Modulus=([0-9A-F]+)/ or die 'openssl rsa failed';
	return { file => $file, jwk => { kty => 'RSA', n => encode_base64url(pack 'H*', $modulus), e => 'AQAB' } };
}

sub signature_by
{
	my ($key, $text) = @_;
	my $signature;

	IPC::Run::run([ 'openssl', 'dgst', '-sha256', '-sign', $key->{file} ], '<', \$text, '>', \$signature) or die 'openssl dgst failed';
	return $signature;
}

sub jwt
{
	my ($header, $claims, $sign) = @_;
	my $text = join '.', map { encode_base64url(ref $_ ? encode($_) : $_) } $header, $claims;

	return "$text." . encode_base64url($sign->($text));
}

sub signed
{
	my ($key, $claims, %header) = @_;

	return jwt({ alg => 'RS256', %header }, $claims, sub { signature_by($key, $_[0]) });
}

sub jwks
{
	return { keys => [@_] };
}

my $key = new_key('one');
my $new_key = new_key('two');

# ---------- a connector and its flows ----------

# Each has a jwks_uri of its own, whose keys nobody has fetched yet.
sub new_connector
{
	my ($name, %arguments) = @_;

	return register($node, $fault, connector_id => $name, provider => $name, scopes => [qw(openid read)], client_secret => 'secret',
		%arguments, definition => { jwks_uri => $fault->url . "/jwks/$name", revocation_endpoint => undef, %{ $arguments{definition} // {} } });
}

sub answer
{
	my ($path, $body, %more) = @_;

	return { path => $path, headers => { 'content-type' => 'application/json' }, body => $body, %more };
}

# A person connects: id_token makes the token from (claims, access token); the rest
# replaces members of the token response, or rules of the server.
sub connect_with
{
	my ($connector, %options) = @_;
	my $app_user = $options{app_user} // 'user' . ++$users;
	my $sent = url_parameters(authorization_url($node, $app_user, $connector));
	my $access_token = 'access-' . ++$tokens;
	my %claims = (iss => $fault->url, aud => 'app', sub => "sub-of-$app_user", exp => time + 600, iat => time, nonce => $sent->{nonce});
	my %response = (access_token => $access_token, token_type => 'Bearer', expires_in => 3600, refresh_token => "refresh-$tokens");

	my $make = $options{id_token} // sub { signed($key, $_[0]) };
	my $id_token = $make->(\%claims, $access_token);
	$response{id_token} = $id_token if defined $id_token;
	$fault->rules(
		@{ $options{rules} // [] },
		answer('/token', { %response, %{ $options{response} // {} } }),
		answer("/jwks/$connector", $options{jwks} // jwks($key->{jwk})));
	my $row = callback($node, $app_user, { state => $sent->{state}, code => "code-of-$app_user" });
	return { app_user => $app_user, failure => $row->{failure}, access_token => $access_token };
}

sub account
{
	my ($connector, $app_user) = @_;

	return row($node, 'app_service', "SELECT status, account FROM appuser_connectors.app_user_connections() WHERE connector_id = '$connector'",
		app_user => $app_user);
}

sub requests_of
{
	my ($connector) = @_;

	return scalar $fault->requests("/jwks/$connector");
}

sub is_refused
{
	my ($connector, $result, $failure, $detail, $promise) = @_;

	is($result->{failure}, $failure, "$promise: $failure");
	is_deeply(account($connector, $result->{app_user}), { status => 'not_connected', account => undef }, "$promise: nothing is stored");
	is(query($node, 'postgres', "SELECT count(*) FROM appuser_connectors.connections WHERE app_user = '$result->{app_user}'"), 0,
		"$promise: not even unseen");
	my @events = rows($node, 'app_admin', "SELECT event, detail FROM appuser_connectors.connection_events WHERE app_user = '$result->{app_user}'");
	is(scalar(@events), 1, "$promise: an event") or diag(encode(\@events));
	like("$events[0]{event} $events[0]{detail}", qr/^connect_failed \Q$failure: $detail\E([;:, ] ?.+)?$/, "$promise: says why");
	return;
}

# ---------- a good one ----------

new_connector('plain');
my $alice = connect_with('plain', app_user => 'alice');
is($alice->{failure}, undef, 'a good ID token connects');
is_deeply(account('plain', 'alice'), { status => 'connected', account => 'sub-of-alice' }, 'its sub is the account');
is_deeply([ map { $_->{path} } $fault->requests ], [ '/jwks/plain', '/token' ], 'the keys were fetched before the code was sent');
my $worker = query($node, 'postgres', $worker_query);
like($worker, qr/^\d+$/, 'by the worker');

my $bob = connect_with('plain', app_user => 'bob',
	id_token => sub { signed($key, { %{ $_[0] }, aud => [ 'app', 'api' ], azp => 'app', at_hash => encode_base64url(substr sha256($_[1]), 0, 16) }, typ => 'JWT') });
is($bob->{failure}, undef, 'so does one for two audiences, with azp and at_hash');
is(account('plain', 'bob')->{account}, 'sub-of-bob', 'for its account');
is(requests_of('plain'), 1, 'the keys are not fetched for each');

my $again = connect_with('plain', app_user => 'alice', id_token => sub { signed($key, { %{ $_[0] }, sub => 'second account' }) });
is($again->{failure}, undef, 'alice connects once more');
is(account('plain', 'alice')->{account}, 'second account', 'with another account, which is told');

# ---------- bad ones ----------

sub claiming
{
	my (%claims) = @_;

	return sub {
		my %all = (%{ $_[0] }, %claims);
		delete @all{ grep { !defined $claims{$_} } keys %claims };
		return signed($key, \%all);
	};
}

my $public_key = `openssl pkey -in '$key->{file}' -pubout`;
foreach my $case (
	[ 'of another issuer', 'from another issuer', claiming(iss => 'https://evil.example') ],
	[ 'for another client', 'for another client', claiming(aud => 'other') ],
	[ 'for nobody', 'for another client', claiming(aud => undef) ],
	[ 'for two clients without azp', 'for another authorized party', claiming(aud => [ 'app', 'other' ]) ],
	[ 'expired', 'expired', claiming(exp => time - 3600) ],
	[ 'that never expires', 'expired', claiming(exp => undef) ],
	[ 'of tomorrow', 'issued in the future, or never', claiming(iat => time + 86400) ],
	[ 'of another flow', 'of another flow', claiming(nonce => 'another') ],
	[ 'without a nonce', 'of another flow', claiming(nonce => undef) ],
	[ 'without sub', 'without a usable subject', claiming(sub => undef) ],
	[ 'for another access token', 'for another access token', claiming(at_hash => encode_base64url(substr sha256('other'), 0, 16)) ],
	[ 'with alg none', 'its signature is refused', sub { jwt({ alg => 'none' }, $_[0], sub { '' }) } ],
	[ 'signed with the public key as a secret', 'its signature is refused',
		sub { jwt({ alg => 'HS256' }, $_[0], sub { hmac_sha256($_[0], $public_key) }) } ],
	[ 'with a flipped signature', 'its signature is refused',
		sub { jwt({ alg => 'RS256' }, $_[0], sub { signature_by($key, $_[0]) ^ "\x01" . "\0" x 255 }) } ],
	[ 'signed by a stranger', 'its signature is refused', sub { signed($new_key, $_[0]) } ],
	[ 'with a signed text instead of claims', 'malformed', sub { signed($key, 'null') } ],
	[ 'that is no token', 'malformed', sub { 'garbage' } ],
	[ 'that is missing', 'malformed', sub { undef } ])
{
	my ($name, $detail, $make) = @$case;

	is_refused('plain', connect_with('plain', id_token => $make), 'invalid_id_token', $detail, "an ID token $name");
}
is(query($node, 'postgres', $worker_query), $worker, 'none of them hurt the worker');
is(requests_of('plain'), 2, 'they made it fetch the keys again, once: the provider might have had a new one');

is_refused('plain', connect_with('plain', app_user => 'carol', response => { id_token => 7 }), 'invalid_id_token', 'malformed',
	'an ID token that is a number');

# A provider that leaves the nonce out, if it is known for that
new_connector('forgetful', definition => { nonce => 'optional' });
is(connect_with('forgetful', id_token => claiming(nonce => undef))->{failure}, undef, 'an optional nonce may be absent');
is(connect_with('forgetful')->{failure}, undef, 'or there');
is_refused('forgetful', connect_with('forgetful', id_token => claiming(nonce => 'another')), 'invalid_id_token', 'of another flow', 'but not be another');

my $kept = connect_with('plain', app_user => 'bob', id_token => claiming(nonce => 'another'));
is($kept->{failure}, 'invalid_id_token', 'bob connects again with a bad one');
is_deeply(account('plain', 'bob'), { status => 'connected', account => 'sub-of-bob' }, 'he stays connected as he was');
is(access_token($node, 'bob', 'plain'), $bob->{access_token}, 'with the token he had');

# What was granted with it is forgotten, not revoked: whose account it is for nobody
# can say, and revoking could end a grant that somebody else's connection lives on.
new_connector('revoking', definition => { revocation_endpoint => $fault->url . '/revoke' });
my $grace = connect_with('revoking', app_user => 'grace');
is($grace->{failure}, undef, 'grace is connected');
is(connect_with('revoking', app_user => 'grace', id_token => sub { signed($new_key, $_[0]) })->{failure}, 'invalid_id_token', 'she connects again with a bad ID token');
is(query($node, 'postgres', 'SELECT count(*) FROM appuser_connectors.revocations'), 0, 'nothing is to be revoked for it');
$fault->rules({ path => '/revoke' });
query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('revoking')", app_user => 'grace');
wait_until('a disconnect revokes', sub { $fault->requests('/revoke') == 2 });
is_deeply([ map { url_parameters("?$_->{body}")->{token} } $fault->requests('/revoke') ], [ $grace->{access_token} =~ s/access/refresh/r, $grace->{access_token} ],
	'and only what was stored');

# ---------- the definition fixes the algorithm ----------

new_connector('fixed', definition => { id_token_signed_response_alg => 'ES256' });
is_refused('fixed', connect_with('fixed'), 'invalid_id_token', 'its signature is refused', 'an ID token by another algorithm than registered');

# ---------- no ID token is wanted, or none was agreed to ----------

new_connector('no-openid', scopes => ['read']);
my $dave = connect_with('no-openid', app_user => 'dave', id_token => sub { 'garbage' });
is_deeply([ $dave->{failure}, account('no-openid', 'dave')->{account} ], [ undef, undef ], 'where openid is not asked for, an ID token is not looked at');
is(requests_of('no-openid'), 0, 'and no key is fetched');
my $erin = connect_with('plain', app_user => 'erin', id_token => sub { undef }, response => { scope => 'read' });
is_deeply([ $erin->{failure}, account('plain', 'erin')->{account} ], [ undef, undef ], 'who agrees to less than openid is connected without an account');
is_refused('plain', connect_with('plain', id_token => sub { undef }, response => { scope => 'openid read' }), 'invalid_id_token', 'malformed',
	'openid agreed to, and no ID token');

# ---------- keys ----------

new_connector('beside');
my $beside = connect_with('beside', app_user => 'beside', id_token => sub { signed($key, $_[0], kid => 'good') },
	jwks => jwks({ kty => 'RSA', kid => 'good', n => '!', e => 'AQAB' }, { kty => 'EC', crv => 'P-256', x => 'AA', y => 'AA' },
		{ kty => 'quantum', kid => 'good' }, { %{ $key->{jwk} }, kid => 'good' }));
is($beside->{failure}, undef, 'keys that cannot be read do not hurt the good one beside them');

foreach my $case (
	[ 'answers 500', status => 500 ], [ 'answers 404', status => 404 ], [ 'answers with a page', body => '<html>' ],
	[ 'answers with keys nobody can use', body => jwks({ kty => 'oct', k => 'c2VjcmV0' }) ], [ 'answers with a list', body => [] ],
	[ 'leads elsewhere', status => 302, headers => { location => $fault->url . '/jwks/plain' } ], [ 'hangs up', drop => JSON::PP::true ])
{
	my ($name, %rule) = @$case;
	my $connector = 'unreachable-' . ++$users;
	my $before = $fault->requests('/token');

	new_connector($connector);
	my $result = connect_with($connector, rules => [ answer("/jwks/$connector", jwks($key->{jwk}), %rule) ]);
	is_refused($connector, $result, 'provider_unavailable', "the provider's keys could not be fetched", "a jwks_uri that $name");
	is(scalar $fault->requests('/token'), $before, "a jwks_uri that $name: the code was not sent");
	cmp_ok(requests_of($connector), '>=', 1, "a jwks_uri that $name: it was asked");
	is(connect_with($connector, app_user => $result->{app_user})->{failure}, undef, "a jwks_uri that $name: when it is well again, so is the connector");
}

new_connector('rotated');
my %one = (%{ $key->{jwk} }, kid => 'one');
my %two = (%{ $new_key->{jwk} }, kid => 'two');
my $signed_by_two = sub { signed($new_key, $_[0], kid => 'two') };
is(connect_with('rotated', id_token => sub { signed($key, $_[0], kid => 'one') }, jwks => jwks(\%one))->{failure}, undef, 'a provider signs with its key');
is(requests_of('rotated'), 1, 'which is fetched');
my $rotated = connect_with('rotated', app_user => 'rotated', id_token => $signed_by_two, jwks => jwks(\%one, \%two));
is($rotated->{failure}, undef, 'a key that was made just now is known');
is(account('rotated', 'rotated')->{account}, 'sub-of-rotated', 'and says who it is');
is(requests_of('rotated'), 2, 'since the keys were fetched again');
is(connect_with('rotated', id_token => $signed_by_two, jwks => jwks(\%one, \%two))->{failure}, undef, 'and then it is known');
is_refused('rotated', connect_with('rotated', id_token => sub { signed($new_key, $_[0], kid => 'three') }, jwks => jwks(\%one, \%two)),
	'invalid_id_token', 'signed with a key the provider does not publish', 'a key that does not exist');
is(requests_of('rotated'), 2, 'so soon after, the keys are not fetched for it');

# Not every provider names its keys, or names them anew.
foreach my $case ([ 'nameless', {} ], [ 'renamed', { kid => 'one' } ])
{
	my ($connector, $kid) = @$case;
	my @jwks = map { jwks({ %{ $_->{jwk} }, %$kid }) } $key, $new_key;

	new_connector($connector);
	is(connect_with($connector, id_token => sub { signed($key, $_[0], %$kid) }, jwks => $jwks[0])->{failure}, undef, "$connector: a key");
	is(connect_with($connector, id_token => sub { signed($new_key, $_[0], %$kid) }, jwks => $jwks[1])->{failure}, undef, "$connector: the one in its place");
	is(requests_of($connector), 2, "$connector: was fetched");
	is_refused($connector, connect_with($connector, id_token => sub { signed($key, $_[0], %$kid) }, jwks => $jwks[1]),
		'invalid_id_token', 'its signature is refused', "$connector: the old one");
	is(requests_of($connector), 2, "$connector: is not looked for so soon after");
}

new_connector('lost');
is(connect_with('lost', id_token => sub { signed($key, $_[0], kid => 'one') }, jwks => jwks(\%one))->{failure}, undef, 'another provider signs with its key');
my $before = $fault->requests('/token');
is_refused('lost', connect_with('lost', id_token => $signed_by_two, rules => [ answer('/jwks/lost', jwks(\%one, \%two), status => 503) ]),
	'invalid_id_token', "the provider's keys could not be fetched", 'a new key that cannot be fetched');
is(requests_of('lost'), 2, 'it was tried once');
is(scalar $fault->requests('/token'), $before + 1, 'the code was sent once');
is(connect_with('lost', id_token => sub { signed($key, $_[0], kid => 'one') }, rules => [ answer('/jwks/lost', '', status => 503) ])->{failure}, undef,
	'the keys that are there go on being used');

# ---------- refresh ----------

new_connector('refreshed');
my $frank = connect_with('refreshed', app_user => 'frank');
is($frank->{failure}, undef, 'frank is connected');
my $token = $frank->{access_token};
my %claims = (iss => $fault->url, aud => 'app', sub => 'sub-of-frank', exp => time + 600, iat => time);
my @refreshed = (
	[ 'signed by a stranger', 'its signature is refused', signed($new_key, \%claims) ],
	[ 'for another account, signed by a stranger', undef, signed($new_key, { %claims, sub => 'mallory' }) ],
	[ 'from another issuer', 'from another issuer', signed($key, { %claims, iss => 'https://evil.example' }) ],
	[ 'for another access token', 'for another access token', signed($key, { %claims, at_hash => encode_base64url(substr sha256('other'), 0, 16) }) ],
	[ 'of last year', 'issued before the account was connected', signed($key, { %claims, iat => time - 86400 * 365 }) ],
	[ 'that is garbage', 'malformed', 'garbage' ],
	[ 'that is a number', undef, 7 ],
	[ 'that is null', undef, undef ],
	[ 'that is good', undef, signed($key, \%claims) ],
	[ 'with a nonce', undef, signed($key, { %claims, nonce => 'whatever' }) ],
	[ 'by a key that is not known', undef, signed($new_key, \%claims, kid => 'new') ]);
my @told;
foreach my $i (0 .. $#refreshed)
{
	my ($what, $detail, $id_token) = @{ $refreshed[$i] };
	$fault->rules(answer('/token', { access_token => "refreshed-$i", token_type => 'Bearer', expires_in => 3600, refresh_token => "refresh-after-$i",
				id_token => $id_token }));
	my $fresh = access_token($node, 'frank', 'refreshed', rejected_token => $token);
	is($fresh, "refreshed-$i", "a refresh with an ID token $what gives the new access token");
	my ($last) = reverse $fault->requests('/token');
	like($last->{body}, $i == 0 ? qr/refresh_token=refresh-\d/ : qr/refresh_token=refresh-after-@{[ $i - 1 ]}\b/, 'for the refresh token that came last');
	$token = $fresh;
	push @told, { event => 'invalid_id_token', connection_name => 'default', says => $detail } if defined $detail;
	is_deeply([ rows($node, 'app_admin', "SELECT event, connection_name, split_part(split_part(detail, ';', 1), ' than issuer', 1) AS says FROM appuser_connectors.connection_events
		WHERE app_user = 'frank' AND event <> 'connected' ORDER BY occurred_at") ], [@told], defined $detail ? 'and an event says what is wrong with it' : 'and no event');
}
is(requests_of('refreshed'), 1, 'no key was fetched for them');
is_deeply(account('refreshed', 'frank'), { status => 'connected', account => 'sub-of-frank' }, 'and the account is still his');

# ---------- an account is its issuer and its subject ----------

sub revoked { return map { url_parameters("?$_->{body}")->{token} } $fault->requests('/revoke'); }

sub revocations { return query($node, 'postgres', 'SELECT count(*) FROM appuser_connectors.revocations'); }

my $tenants = $fault->url . '/{tenantid}/v2';
my $tenant = sub { my ($name) = @_; return $fault->url . "/$name/v2" };
my %other = (
	'another subject' => sub { signed($key, { %{ $_[0] }, sub => 'mallory' }) },
	'another subject, though long ago' => sub { signed($key, { %{ $_[0] }, sub => 'mallory', iat => time - 86400, exp => time - 82800 }) },
	'the same subject of another tenant' => sub { signed($key, { %{ $_[0] }, iss => $tenant->('b') }) });
foreach my $what (sort keys %other)
{
	my $connector = new_connector("changed: $what" =~ s/\W+/-/gr, definition => { issuer => $tenants, revocation_endpoint => $fault->url . '/revoke' });
	my $grace = connect_with($connector, app_user => "grace of $connector", id_token => claiming(iss => $tenant->('a')));
	is($grace->{failure}, undef, 'grace is connected');
	my $person = $grace->{app_user};
	my %same = (iss => $tenant->('a'), aud => 'app', sub => "sub-of-$person", exp => time + 600, iat => time);
	my $read = "SELECT * FROM appuser_connectors.app_user_connection('$person', '$connector'";

	$fault->rules(answer('/revoke', {}), answer('/token', { access_token => "another-access-$connector", token_type => 'Bearer', expires_in => 3600,
				refresh_token => "another-refresh-$connector", id_token => $other{$what}->(\%same) }));
	my ($state, $message) = failure($node, 'app_service', "$read, rejected_token => '$grace->{access_token}')");
	is($state, 'UC002', "a refresh for $what ends the connection");
	like($message, qr/Reason: account_changed/, 'and says why');
	unlike($message, qr/another-(access|refresh)/, 'without a token');
	is((failure($node, 'app_service', "$read)"))[0], 'UC002', 'nothing is served from then on');
	is_deeply(row($node, 'app_admin', "SELECT event, detail FROM appuser_connectors.connection_events WHERE connector_id = '$connector' AND app_user = '$person' AND event NOT IN ('connected', 'revoked')"),
		{ event => 'reconnect_required', detail => 'account_changed: the refresh was answered with an ID token of another account, and what came with it is revoked; the person connects again' }, 'an event tells');
	wait_until('the tokens are revoked', sub { revocations() == 0 });
	is_deeply([ grep { /$connector$/ } revoked() ], [ "another-refresh-$connector", "another-access-$connector" ], 'what came with it is revoked');
	is(connect_with($connector, app_user => $person, id_token => claiming(iss => $tenant->('a')))->{failure}, undef, 'and grace may connect again');
}

# Disconnecting revokes unless another connection holds the same account: of the same issuer.
my $shared = new_connector('tenants', definition => { issuer => $tenants, revocation_endpoint => $fault->url . '/revoke' });
is(connect_with($shared, app_user => $_->[0], id_token => claiming(iss => $tenant->($_->[1]), sub => 'the same sub'))->{failure}, undef, "$_->[0] of tenant $_->[1] is connected")
  foreach [ 'henry', 'a' ], [ 'ines', 'b' ];
$fault->rules(answer('/revoke', {}));
query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('tenants')", app_user => 'henry');
wait_until('it is decided', sub { revocations() == 0 });
is(query($node, 'app_admin', "SELECT event FROM appuser_connectors.connection_events WHERE connector_id = 'tenants' AND app_user = 'henry' AND event LIKE 'revo%'"), 'revoked',
	"a person of another tenant with the same sub does not keep henry's grant alive");
is(connect_with($shared, app_user => 'jack', id_token => claiming(iss => $tenant->('b'), sub => 'the same sub'))->{failure}, undef, 'jack has the account of ines');
$fault->rules(answer('/revoke', {}));
query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('tenants')", app_user => 'ines');
wait_until('it is decided', sub { revocations() == 0 });
is(query($node, 'app_admin', "SELECT event FROM appuser_connectors.connection_events WHERE connector_id = 'tenants' AND app_user = 'ines' AND event LIKE 'revo%'"), 'revocation_skipped',
	'one of the same tenant does');

is(query($node, 'postgres', $worker_query), $worker, 'it was the same worker all along');

$node->stop;
done_testing();
