# The main job against a real provider: register, connect, callback, a token
# that works, a fresh one after it expired, nothing for anybody else, disconnect.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Test::More;

my $provider = start_provider(access_token_ttl => 3);
my $node = new_node('main');

foreach my $client ('app', 'app-post')
{
	my $method = $client eq 'app' ? 'client_secret_basic' : 'client_secret_post';
	my $connector = register($node, $provider, connector_id => $client, client_id => $client,
		provider => $client, definition => { token_endpoint_auth_method => $method });
	is($connector, $client, "$method: a connector is registered");

	my ($state) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('alice', '$connector')");
	is($state, 'UC001', "$method: before connecting there is no connection");

	my $url = authorization_url($node, 'alice', $connector);
	like($url, qr/^\Q@{[ $provider->issuer ]}\E\/auth\?/, "$method: the browser is sent to the provider");
	my $parameters = log_in($url, "alice-at-$client");
	my $finished = callback($node, 'alice', $parameters);
	is_deeply($finished,
		{ connector_id => $connector, app_user => 'alice', connection_name => 'default', return_to => undef, failure => undef },
		"$method: the callback finishes the connection");

	is_deeply(callback($node, 'alice', $parameters), $finished, "$method: the same callback once more, as when the page is reloaded, tells the same");

	my $token = access_token($node, 'alice', $connector);
	is(userinfo($provider, $token)->{email}, "alice-at-$client\@example.test", "$method: the token speaks for alice's account");

	my $connection = row($node, 'app_service', "SELECT * FROM appuser_connectors.current_app_user_connection('$connector')",
		app_user => 'alice');
	is(lc $connection->{token_type}, 'bearer', "$method: the token's type is told");
	is_deeply([ sort @{ $connection->{scopes} } ], [qw(email openid profile read)], "$method: and its scopes");
	ok($connection->{expires_at}, "$method: and when it expires");

	my ($listed) = rows($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connections() WHERE connector_id = '$connector'",
		app_user => 'alice');
	is($listed->{status}, 'connected', "$method: the connection is listed as connected");
	is($listed->{account}, "alice-at-$client", "$method: with the account it is to");

	foreach my $question ("app_user_connection('bob', '$connector')", "current_app_user_connection('$connector')")
	{
		my ($other, $message) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.$question", app_user => 'bob');
		is($other, 'UC001', "$method: bob is not connected: $question");
		unlike($message, qr/alice/, "$method: and does not learn of alice");
	}

	my $before = $provider->refreshes($client);
	$token = wait_for_expiry($node, $provider, 'alice', $connector);
	my $fresh = access_token($node, 'alice', $connector);
	isnt($fresh, $token, "$method: after its expiry there is another token");
	is(userinfo($provider, $fresh)->{sub}, "alice-at-$client", "$method: which works, for the same account");
	cmp_ok($provider->refreshes($client), '>', $before, "$method: it came by a refresh");
	is($provider->ctl->{by_client}{$client}{authorization_code}{ok}, 1, "$method: not by asking the person again");
	is(scalar(grep { $_->{client_id} eq $client && @{ $_->{refresh_tokens} } == 1 } $provider->grants("alice-at-$client")), 1,
		"$method: the provider has one grant with one live refresh token");

	is(query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('$connector')", app_user => 'alice'), 't',
		"$method: alice disconnects");
	($state) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('alice', '$connector')");
	is($state, 'UC001', "$method: and then there is no connection");
	is(query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('$connector')", app_user => 'alice'), 'f',
		"$method: nothing is left to disconnect");
	wait_until('the grant is revoked', sub { !grep { $_->{client_id} eq $client } $provider->grants("alice-at-$client") });
	is(userinfo($provider, $fresh)->{status}, 401, "$method: the provider was told: the token is dead there too");
}

# A refusal by the person.
my $refused = connect_user($node, 'carol', 'app', login => ['--deny'], arguments => { return_to => '/settings' });
is($refused->{failure}, 'access_denied', 'a refusal by the person is told');
is($refused->{return_to}, '/settings', 'with the page to go back to');
my ($state) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('carol', 'app')");
is($state, 'UC001', 'and nothing is stored');

$node->stop;
done_testing();
