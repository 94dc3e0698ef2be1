# A person with a real browser: the pages of the provider, and back to the application.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Test::More;

plan skip_all => 'there is no Chromium here'
  unless -x ($ENV{CHROMIUM} // '/usr/bin/chromium');

my $redirect_uri = 'http://127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port() . '/callback';
my $provider = start_provider(redirect_uris => [$redirect_uri]);
my $node = new_node('main');
register($node, $provider, connector_id => 'files', redirect_uris => [$redirect_uri]);

my $back = walk(authorization_url($node, 'alice', 'files'), 'alice');
is($back->{iss}, $provider->issuer, 'the browser brings back who answered');
is(callback($node, 'alice', $back)->{failure}, undef, 'what the browser brings back finishes the connection');
is(userinfo($provider, access_token($node, 'alice', 'files'))->{sub}, 'alice', 'with a token that works');

$back = walk(authorization_url($node, 'bob', 'files'), 'bob', '--deny');
is(callback($node, 'bob', $back)->{failure}, 'access_denied', 'a click on Deny ends it');

$back = walk(authorization_url($node, 'carol', 'files'), 'carol', '--scopes', 'openid read');
is(callback($node, 'carol', $back)->{failure}, undef, 'agreeing to less than was asked for is a connection');
my $connection = row($node, 'app_service', "SELECT scopes FROM appuser_connectors.app_user_connection('carol', 'files')");
is_deeply([ sort @{ $connection->{scopes} } ], [qw(openid read)], 'with the scopes agreed to');

$node->stop;
done_testing();
