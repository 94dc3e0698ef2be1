# The SDK of the reference product, as it comes from npm, with the gateway: the examples of its own reference, unchanged but for the API's address.
# A page connects its person, a backend function calls the provider's API with the token, the page disconnects.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Gateway;
use IPC::Run ();
use JSON::PP;
use Test::More;

plan skip_all => Gateway::lacking() if Gateway::lacking();
plan skip_all => 'the SDK is not installed' unless -d "$FindBin::RealBin/../node_modules/\@base44/sdk";

my $connector = 'abc123def'; # the reference's own
my ($port, $elsewhere) = map { PostgreSQL::Test::Cluster::get_free_port() } 1 .. 2;
my $node = new_node('main');
my $gateway = Gateway->new($node, origin => "http://localhost:$port", allowed_origins => "http://127.0.0.1:$elsewhere", visitor_cookie => 'session');
my $provider = start_provider(tls => JSON::PP::false, redirect_uris => [ $gateway->callback_url, $gateway->url . '/api/external-auth/callback' ]);
register($node, $provider, connector_id => $connector, redirect_uris => [ $gateway->callback_url, $gateway->url . '/api/external-auth/callback' ]);
$gateway->start;

SKIP:
{
	skip 'there is no Chromium here', 1 unless -x ($ENV{CHROMIUM} // '/usr/bin/chromium');
	my ($out, $err);
	my $ran = IPC::Run::run([ 'node', "$FindBin::RealBin/../browser/sdk.mjs", encode({
					port => $port, elsewhere => $elsewhere, gateway => $gateway->url, appId => $Gateway::app, connector => $connector, serviceSecret => $Gateway::service_secret,
					provider => $provider->url, api => $provider->definition->{userinfo_endpoint}, visitorCookie => 'session', jwt => { map { $_ => Gateway::jwt($_) } qw(alice bob carol) } }) ],
		'<', \undef, '>', \$out, '2>', \$err);
	ok($ran, 'the application has run') or diag($err);
	my %found = map { my $said = decode($_); $said->{name} => $said->{value} } split /\n/, $out;

	is($found{before}{status}, 404, 'before: the function has no token');
	is($found{before}{code}, 'UC001', 'and its page can tell why');
	is($found{body}, '0', 'connectAppUser() sends no body');
	is($found{back}, "/?connector=$connector&connected=1", 'the person comes back connected');
	is($found{data}{data}{sub}, 'alice-at-the-provider', 'the function, as the reference has it, gets what the provider\'s API says to her token');
	is($found{'another person'}{code}, 'UC001', 'another person\'s has none');
	is_deeply([ @{ $found{'no such connector'} }{qw(name status code)} ], [ 'Base44Error', 404, 'UC006' ], 'errors are the SDK\'s own');
	is($found{'no such connector'}{message}, 'There is no such connector.', 'with words for the person');
	is($found{'not signed in'}{status}, 401, 'also who is not signed in');
	is($found{disconnect}, 'done', 'disconnectAppUser()');
	is($found{after}{code}, 'UC001', 'and then there is no token');
	wait_until('it is revoked at the provider', sub { !$provider->grants('alice-at-the-provider') });
	is($found{'from elsewhere'}, "/?connector=$connector&connected=1", 'a page of another origin that is allowed connects as well');
	is($found{'disconnect from elsewhere'}, 'done', 'and disconnects');
	is($found{'an origin that is not allowed'}, 'not read', 'but reads no tokens');
}

# On a server, which no browser's cookies reach
is($gateway->stop, 0, 'it stops in order');
$gateway->start(binding => 'visitor', origin => $gateway->url);
my $jwt = Gateway::jwt('dave');
my $sdk = sub {
	my ($code) = @_;
	my ($out, $err);
	local @ENV{qw(NO_PROXY no_proxy NODE_ENV)} = ('127.0.0.1', '127.0.0.1', 'production');
	IPC::Run::run([ 'node', '--input-type=module', '-e', "import { createClientFromRequest } from '$FindBin::RealBin/../node_modules/\@base44/sdk/dist/index.js';
		const base44 = createClientFromRequest(new Request('http://app/', { headers: JSON.parse(process.argv[1]) }));
		$code
		process.exit(0);", encode({ Authorization => "Bearer $jwt", 'Base44-Service-Authorization' => "Bearer $Gateway::service_secret", 'Base44-App-Id' => $Gateway::app, 'Base44-Api-Url' => $gateway->url }) ],
		'<', \undef, '>', \$out, '2>', \$err) or die $err;
	chomp $out;
	return $out;
};
my $url = $sdk->("console.log(await base44.connectors.connectAppUser('$connector'));");
like($url, qr/^\Q@{[ $provider->url ]}\E/, 'on a server: where the browser is to be sent');
my $address = $gateway->come_back({ json => { redirect_url => $url } }, 'dave');
is($gateway->ask($address, cookies => { session => $jwt })->{status}, 303, 'which comes back');
is($sdk->("console.log(JSON.stringify(Object.keys(await base44.asServiceRole.connectors.getCurrentAppUserConnection('$connector'))));"), '["accessToken","connectionConfig"]', 'and there is a token');
is(userinfo($provider, $sdk->("console.log(await base44.asServiceRole.connectors.getCurrentAppUserAccessToken('$connector'));"))->{sub}, 'dave', 'of that person');

is($gateway->stop, 0, 'it stops in order');
$node->stop;
done_testing();
