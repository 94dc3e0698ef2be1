# A provider on a private address is called only if a superuser has listed its host
# or its network, and then only if its certificate is of that name.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my $shim = PostgreSQL::Test::Utils::tempdir('shim') . '/private_names.so';
system('gcc', '-shared', '-fPIC', '-o', $shim, "$FindBin::RealBin/../provider/private_names.c", '-ldl') == 0 or die 'gcc failed';
local $ENV{LD_PRELOAD} = $shim;
my $node = new_node('main', 'appuser_connectors.allow_insecure_loopback = off');
delete $ENV{LD_PRELOAD};

my %server = map { $_ => start_fault_server(certificate => $_) } qw(private localhost);
$_->rules({ path => '/token', headers => { 'content-type' => 'application/json' }, body => { access_token => 'a', token_type => 'Bearer' } })
  foreach values %server;

# A connector whose token endpoint is at that host, and listens where the server does
sub connector
{
	my ($id, $host, $server) = @_;
	my ($port) = $server->url =~ /:(\d+)$/;

	register($node, $server, connector_id => $id, provider => $id, scopes => ['read'],
		definition => { token_endpoint => "https://$host:$port/token", map { $_ => undef } qw(jwks_uri revocation_endpoint userinfo_endpoint issuer) });
	return $id;
}

my $private = connector('private', 'private.test', $server{private});
my $impostor = connector('impostor', 'private.test', $server{localhost});
my $metadata = connector('metadata', 'metadata.test', $server{private});

# Why connecting failed, "" if it did not
sub attempt
{
	my ($connector) = @_;
	my $url = authorization_url($node, 'alice', $connector);
	my $failure = callback($node, 'alice', { state => url_parameters($url)->{state}, code => 'code' })->{failure};

	return '' unless defined $failure;
	return row($node, 'app_admin',
		"SELECT detail FROM appuser_connectors.connection_events WHERE event = 'connect_failed' ORDER BY occurred_at DESC LIMIT 1")->{detail};
}

sub asked { return scalar $server{ $_[0] }->requests('/token'); }

# In force when an attempt comes out so
sub set
{
	my ($name, $value, $outcome) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET appuser_connectors.$name = '$value'");
	$node->reload;
	return wait_until("$name is in force", sub { attempt($private) =~ $outcome });
}

# which the server log says alone: an admin is not to learn what a name resolves to
my $refused = qr/^connector_misconfigured: the token endpoint "[^"]*": an address that is not allowed; if it may be called: allowed_networks or allowed_hosts$/;

like(attempt($private), $refused, 'a host on a private address is refused');
is(asked('private'), 0, 'and nothing is sent to it');

set('allowed_hosts', 'private.test, metadata.test', qr/^$/);
cmp_ok(asked('private'), '>', 0, 'a listed host may be on a private address');
is(access_token($node, 'alice', $private), 'a', 'and its tokens are kept');
like(attempt($impostor), qr/certificate/, 'its certificate must be of its name');
is(asked('localhost'), 0, 'or nothing is sent');
like(attempt($metadata), $refused, 'a listed host on a metadata address is refused');
like(slurp_file($node->logfile), qr/exchange of "$metadata"\): an address that is not allowed\n.*DETAIL:  Address 169\.254\.169\.254 is not/, 'the server log says which it is');

set('allowed_hosts', 'git.corp.example', $refused);
pass('a host that is no longer listed is refused again');
set('allowed_networks', '10.0.0.0/24', qr/^$/);
pass('but not when its network is listed');

foreach my $wrong ('10.0.0.1', 'https://private.test', 'private.test:443', '*.test', 'a,,b')
{
	my ($state, $message) = failure($node, 'postgres', "ALTER SYSTEM SET appuser_connectors.allowed_hosts = '$wrong'");

	is($state, '22023', "\"$wrong\" is no list of hosts");
	like($message, qr/DETAIL:.*host names such as/, 'which the error explains');
}
my ($state, $message) = failure($node, 'postgres', "ALTER SYSTEM SET appuser_connectors.allowed_networks = '10.0.0.1/8'");
is($state, '22023', 'nor is a wrong prefix a list of networks');

done_testing();
