# The gateway of examples/: the routes that the SDK calls.  Who may ask what, and what each refusal is told as; the cookie that
# binds a flow to a browser; pages of other origins; how often somebody may ask.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Gateway;
use JSON::PP;
use Test::More;

plan skip_all => Gateway::lacking() if Gateway::lacking();

my $node = new_node('main');
my $gateway = Gateway->new($node, allowed_origins => 'https://shop.example, https://other.example', flows_per_minute => 6000);
my $provider = start_provider(tls => JSON::PP::false, redirect_uris => [ $gateway->callback_url ]);
my $connector = register($node, $provider, connector_id => 'my files/1', redirect_uris => [ $gateway->callback_url ]);
$gateway->start;

sub refused
{
	my ($answer, $status, $code, $what) = @_;

	is("$answer->{status} " . ($answer->{json}{error}{code} // ''), "$status $code", $what) or diag($answer->{body});
	like($answer->{head}, qr{^content-type: application/problem\+json}mi, 'as a problem');
	is($answer->{json}{status}, $status, 'that has the status');
	ok($answer->{json}{error}{message}, 'and words for the person') or diag($answer->{body});
	unlike($answer->{body}, qr/SELECT|appuser_connectors\.|postgres/, 'and none of the database\'s');
	return;
}

# ----------------------------------------------------------------- initiate

refused($gateway->initiate(undef, $connector), 401, 'not_authenticated', 'nobody connects without saying who they are');
refused($gateway->initiate(\Gateway::jwt('alice', aud => 'another'), $connector), 401, '28000', 'nor by a JWT that is for another application');
refused($gateway->initiate(\Gateway::jwt('alice', exp => time() - 600), $connector), 401, '28000', 'nor by one that has expired');
refused($gateway->initiate('alice', 'nothing'), 404, 'UC006', 'there is no such connector');
refused($gateway->ask('/api/apps/other/app-user-auth/connectors/x/initiate', method => 'POST', jwt => Gateway::jwt('alice')), 404, 'app_not_found', 'there is no such application');
refused($gateway->initiate('alice', $connector, json => { return_to => 'https://evil.example/' }), 400, '22023', 'a flow returns to no other site');
refused($gateway->initiate('alice', $connector, json => { return_to => ['/x'] }), 400, 'invalid_request', 'nor to what is no text');
my $deep = '[' x 30_000 . ']' x 30_000;
foreach my $member ('"scopes":"a b"', '"scopes":{"a":1}', '"scopes":[["a"]]', '"scopes":[null]', qq("scopes":$deep),
	'"connection_config":"asecretofabody"', '"connection_config":["a"]', '"connection_config":{"a":["b"]}', qq("connection_config":{"a":$deep}))
{
	refused($gateway->ask(Gateway::connector_path($connector) . '/initiate', method => 'POST', jwt => Gateway::jwt('alice'), headers => ['Content-Type: application/json'], form => "{$member}"),
		400, 'invalid_request', substr($member, 0, 40) . ' is of another kind');
}
unlike($gateway->log, qr/asecretofabody/, 'what a body holds is not repeated in the log');
refused($gateway->ask(Gateway::connector_path($connector) . '/initiate', method => 'POST', jwt => Gateway::jwt('alice'), headers => ['Content-Type: application/json'], form => '{"a":'),
	400, 'invalid_request', 'a body that is no JSON');
refused($gateway->ask(Gateway::connector_path($connector) . '/initiate', method => 'POST', jwt => Gateway::jwt('alice'), headers => ['Content-Type: text/xml'], form => '<a/>'),
	415, 'unsupported_media_type', 'nor of any other kind');
refused($gateway->ask(Gateway::connector_path($connector) . '/initiate', method => 'POST', jwt => Gateway::jwt('alice'), json => { x => 'x' x 70_000 }),
	413, 'too_large', 'a body that is too large');
refused($gateway->ask('/api/nowhere', jwt => Gateway::jwt('alice')), 404, 'not_found', 'there is nothing else');

my $began = $gateway->initiate('alice', $connector);
is($began->{status}, 200, 'alice may connect, with a content type and no body, as the SDK asks') or diag($began->{body});
is(join(' ', keys %{ $began->{json} }), 'redirect_url', 'she is told where to go');
like($began->{json}{redirect_url}, qr{^\Q@{[ $provider->url ]}\E/auth\?}, 'to the provider');
is(scalar @{ $began->{cookie_lines} }, 1, 'with one cookie');
my ($line) = @{ $began->{cookie_lines} };
like($line, qr/^__Host-flow-[\w-]{22}=/, 'for this host alone');
like($line, qr/; $_(?:;|$)/, $_) foreach 'HttpOnly', 'Secure', 'SameSite=Lax', 'Path=/', 'Max-Age=900';
unlike($line, qr/Domain/i, 'and no domain');
my $other_tab = $gateway->initiate('alice', $connector);
isnt((keys %{ $other_tab->{cookies} })[0], (keys %{ $began->{cookies} })[0], 'another tab has a cookie of its own');

# -------------------------------------------------------- token, disconnect

refused($gateway->token('alice', $connector), 404, 'UC001', 'there is no token before there is a connection');
my $back = $gateway->ask($gateway->come_back($began, 'alice'), cookies => { %{ $began->{cookies} }, %{ $other_tab->{cookies} } });
is("$back->{status} $back->{location}", '303 /?connector=my+files%2F1&connected=1', 'she comes back connected');

my $token = $gateway->token('alice', $connector);
is($token->{status}, 200, 'the backend has her token');
is(join(' ', sort keys %{ $token->{json} }), 'access_token connection_config', 'as the SDK reads it');
is($token->{json}{connection_config}, undef, 'with no configuration');
is(userinfo($provider, $token->{json}{access_token})->{sub}, 'alice', 'and it is hers');
like($token->{head}, qr/^cache-control: no-store/mi, 'nobody keeps it');

refused($gateway->token('bob', $connector), 404, 'UC001', 'bob has none');
refused($gateway->token(undef, $connector), 401, 'not_authenticated', 'nor has nobody');
refused($gateway->token('alice', $connector, secret => undef), 401, 'not_authenticated', 'nor has who shows no secret');
refused($gateway->token('alice', $connector, secret => $_), 401, 'not_authenticated', 'nor has who shows another secret')
  foreach 'another', "$Gateway::service_secret-", substr($Gateway::service_secret, 0, -1), Gateway::jwt('alice');
refused($gateway->token(\Gateway::jwt('alice', aud => 'another'), $connector), 401, '28000', 'nor who shows a JWT for another application');
refused($gateway->ask(Gateway::connector_path($connector) . '/token', jwt => $Gateway::service_secret, headers => [ 'On-Behalf-Of: Bearer ' . Gateway::jwt('alice') . ', Bearer ' . Gateway::jwt('bob') ]),
	401, 'not_authenticated', 'nor who names two people');

is($gateway->disconnect('bob', $connector)->{json}{disconnected}, JSON::PP::false, 'bob disconnects nothing');
is($gateway->token('alice', $connector)->{status}, 200, 'of hers');

# --------------------------------------------------- what the database says

$provider->order({ revoke => { account => 'alice' } });
$node->safe_psql('postgres', "UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 s'");
refused($gateway->token('alice', $connector), 409, 'UC002', 'her grant is gone: she must connect again');
$gateway->connect('alice', $connector);
is($gateway->token('alice', $connector)->{status}, 200, 'which she does');

$provider->order({ faults => [ { path => '/token', status => 503 } ] });
$node->safe_psql('postgres', "UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 s'");
my $answer = $gateway->token('alice', $connector);
refused($answer, 503, 'UC003', 'the provider is in trouble');
like($answer->{head}, qr/^retry-after: \d+/mi, 'and when to ask again');
$provider->order({ faults => [] });

$node->safe_psql('postgres', 'UPDATE appuser_connectors.registered_connectors SET client_id = client_id || client_id');
refused($gateway->initiate('alice', $connector), 502, 'UC004', 'the connector was changed by SQL');
query($node, 'app_admin', q{SELECT appuser_connectors.update_connector('my files/1', provider => 'test', options => '{}', connection_config => '{}', client_id => 'app', client_secret => 'app secret: 100%+/&=', scopes => '{openid,profile,email,read}', redirect_uris => ARRAY['} . $gateway->callback_url . q{'])});
$node->append_conf('postgresql.conf', 'appuser_connectors.provider_calls = off');
$node->reload;
wait_until('calls are off', sub { $node->safe_psql('postgres', 'SHOW appuser_connectors.provider_calls') eq 'off' });
refused($gateway->initiate('alice', $connector), 503, 'UC009', 'the database is a copy');
$node->append_conf('postgresql.conf', 'appuser_connectors.provider_calls = on');
$node->reload;
wait_until('calls are on', sub { $node->safe_psql('postgres', 'SHOW appuser_connectors.provider_calls') eq 'on' });

$answer = $gateway->disconnect('alice', $connector);
is("$answer->{status} $answer->{body}", '200 {"disconnected":true}', 'she disconnects');
refused($gateway->token('alice', $connector), 404, 'UC001', 'and has no token any more');
wait_until('it is revoked at the provider', sub { !$provider->grants('alice') });
is($gateway->disconnect('alice', $connector)->{json}{disconnected}, JSON::PP::false, 'there is nothing more to disconnect');
refused($gateway->disconnect(undef, $connector), 401, 'not_authenticated', 'and nobody disconnects without saying who they are');

# ------------------------------------------------- accounts under other names

$gateway->connect('alice', $connector, json => { connection_name => 'work', return_to => '/settings?tab=2' }, account => 'alice-at-work');
is(userinfo($provider, $gateway->ask(Gateway::connector_path($connector) . '/token?connection_name=work', jwt => $Gateway::service_secret, headers => [ 'On-Behalf-Of: Bearer ' . Gateway::jwt('alice') ])->{json}{access_token})->{sub},
	'alice-at-work', 'a second account has a token of its own');
refused($gateway->token('alice', $connector), 404, 'UC001', 'under its own name');
is($gateway->ask(Gateway::connector_path($connector) . '?connection_name=work', method => 'DELETE', jwt => Gateway::jwt('alice'))->{json}{disconnected}, JSON::PP::true, 'and is disconnected by it');

# ------------------------------------------------- pages of other origins

my $path = Gateway::connector_path($connector);
foreach my $case ([ 'https://shop.example', "$path/initiate", 'POST', 1 ], [ 'https://other.example', $path, 'DELETE', 1 ], [ 'https://evil.example', "$path/initiate", 'POST', 0 ], [ 'null', $path, 'DELETE', 0 ])
{
	my ($origin, $route, $method, $allowed) = @$case;
	my $preflight = $gateway->ask($route, method => 'OPTIONS', headers => [ "Origin: $origin", "Access-Control-Request-Method: $method" ]);

	is($preflight->{status}, 204, "$origin: it may ask whether it may ask");
	is(($preflight->{head} =~ /^access-control-allow-origin: (\S+)/mi)[0], $allowed ? $origin : undef, $allowed ? 'it may' : 'it may not');
	is(($preflight->{head} =~ /^access-control-allow-methods: (\S+)/mi)[0], $allowed ? $method : undef, 'by the method that the route has');
	my ($headers) = $preflight->{head} =~ /^access-control-allow-headers: (.*)/mi;
	ok(!$allowed || $headers =~ /\b$_\b/, "with the header $_") foreach qw(authorization content-type x-app-id x-origin-url x-base44-anonymous-id base44-state x-data-env);
	unlike($preflight->{head}, qr/^access-control-allow-credentials/mi, 'without cookies');
	like($preflight->{head}, qr/^vary: .*origin/mi, 'and not for others');

	my $asked = $gateway->ask($route, method => $method, jwt => Gateway::jwt('alice'), headers => [ "Origin: $origin", 'Sec-Fetch-Site: cross-site' ]);
	is($asked->{status}, $allowed ? 200 : 403, $allowed ? 'it may' : 'it is refused');
	is(($asked->{head} =~ /^access-control-allow-origin: (\S+)/mi)[0], $allowed ? $origin : undef, 'and its script may read the answer');
	is_deeply($asked->{cookies}, {}, 'it would get no cookie, and gets none');
}
unlike($gateway->ask("$path/token", method => 'OPTIONS', headers => [ 'Origin: https://shop.example', 'Access-Control-Request-Method: GET' ])->{head}, qr/^access-control-allow-origin/mi,
	'no page asks for tokens');
unlike($gateway->token('alice', $connector, headers => ['Origin: https://shop.example'])->{head}, qr/^access-control-allow-origin/mi, 'nor reads them');
my $wrong = $gateway->initiate(\Gateway::jwt('alice', exp => 1), $connector, headers => ['Origin: https://shop.example']);
like($wrong->{head}, qr/^access-control-allow-origin: https:\/\/shop\.example/mi, 'a page may read what it is refused for');

# --------------------------------------------------------------- too often

is($gateway->stop, 0, 'it stops in order');
$gateway->start(flows_per_minute => 6, requests_per_minute => 6, trusted_proxies => '127.0.0.1');
my $address = 0;
sub from_anywhere { return (headers => [ 'X-Forwarded-For: 198.51.100.' . ++$address ]); }

# At once five; how many of so many, and that others were refused.  A slow machine gives time for one more.
sub bounded
{
	my ($most, $what, @statuses) = @_;
	my $served = grep { $_ != 429 } @statuses;

	ok($served >= $most && $served <= $most + 2 && $statuses[-1] == 429, $what) or diag("@statuses");
	return;
}

bounded(5, 'one person begins a few flows, and then waits, by whichever JWT', map { $gateway->initiate('carol', $connector, from_anywhere())->{status} } 1 .. 8);
$answer = $gateway->initiate('carol', $connector, from_anywhere());
refused($answer, 429, 'too_many_requests', 'who asks too often is told');
like($answer->{head}, qr/^retry-after: [1-9]/mi, 'and for how long');
is($gateway->initiate('dave', $connector, from_anywhere())->{status}, 200, 'others are served');
refused($gateway->initiate(\Gateway::jwt('dave', exp => 1), $connector, from_anywhere()), 401, '28000', 'whoever only says that they are somebody') foreach 1 .. 6;
is($gateway->initiate('dave', $connector, from_anywhere())->{status}, 200, 'does not use up what that one may');

my $jwt = Gateway::jwt('erin');
bounded(5, 'one person\'s token is not asked for too often either', map { $gateway->token(\$jwt, $connector)->{status} } 1 .. 9);
is($gateway->token('frank', $connector)->{status}, 404, 'others\' are');

my @from = (headers => ['X-Forwarded-For: 192.0.2.1']);
bounded(5, 'nor does one address ask too often', map { $gateway->ask('/nowhere', @from)->{status} } 1 .. 8);
is($gateway->ask('/', headers => ['X-Forwarded-For: 192.0.2.2'])->{status}, 303, 'others are served');
is($gateway->ask('/healthz', @from)->{status}, 200, 'and whoever looks whether it lives');
is($gateway->token('frank', $connector, @from)->{status}, 404, 'the backend is known by its secret');
bounded(5, 'whoever guesses at it does not guess often, whichever of their addresses they use',
	map { $gateway->token('frank', $connector, secret => 'guess', headers => ['X-Forwarded-For: 2001:db8::' . sprintf '%x', $_])->{status} } 1 .. 9);
is($gateway->token('frank', $connector, headers => ['X-Forwarded-For: 2001:db8::1'])->{status}, 404, 'which shuts nobody out');

is($gateway->stop, 0, 'it stops in order');
$node->stop;
done_testing();
