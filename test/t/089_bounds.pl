# What is promised of bounds: whatever somebody gives has one, is taken at it and refused
# beyond it, at once and without being echoed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Test::More;
use Time::HiRes qw(time);

my $ns = 'appuser_connectors';
my $provider = start_fault_server(certificate => undef);
my $node = new_node('bounds');

register($node, $provider, connector_id => 'crm', provider => 'crm', client_id => 'client', client_secret => 'a secret', scopes => [],
	redirect_uris => ['https://app.example/cb'],
	definition => { issuer => undef, connection_config_fields => { a => { source => 'user', pattern => '^x*$' } } });

# What a call says in full: ('', '') when it is taken
sub outcome
{
	my ($role, $sql, $app_user) = @_;
	my $start = time;
	my ($state, $message) = failure($node, $role, $sql, defined $app_user ? (app_user => $app_user) : ());

	cmp_ok(time - $start, '<', 5, '(at once)') if time - $start >= 5;
	return ($state // '', $message // '');
}

# The statement, with %s for what is bounded: an SQL expression at the bound, and beyond
sub bound
{
	my ($name, $role, $sql, $fits, $beyond, $sqlstate, $app_user) = @_;
	my ($state, $message) = outcome($role, 'BEGIN; ' . sprintf($sql, $fits) . '; ROLLBACK', $app_user);

	is($state, '', "$name: at the bound") or diag(substr $message, 0, 500);
	foreach (ref $beyond ? @$beyond : $beyond)
	{
		($state, $message) = outcome($role, sprintf($sql, $_), $app_user);
		is($state, $sqlstate, "$name: beyond") or diag(substr $message, 0, 500);
		cmp_ok(length($message =~ s/^(LINE \d+:.*|\s*\^|CONTEXT:.*)$//gmr), '<', 2000, '... which is not echoed');
	}
	return;
}

# jsonb of exactly so many bytes as it is printed: {"<name>": "xx…"}
sub json_of
{
	my ($bytes, $name) = @_;
	my $around = length qq({"$name": ""});

	return qq{jsonb_build_object('$name', repeat('x', $bytes - $around))};
}

# short when given, long when printed; and short when printed, long when stored
my $numbers = q{('{"a": [' || repeat('1e131000,', 100) || '1]}')::jsonb};
my $number = q{'{"a": 1e131000}'::jsonb};
my $huge = q{jsonb_build_object('a', repeat('x', 50000000))};

my $register = "SELECT $ns.register_connector('crm', 'client', 'a secret', %s, connector_id => 'new')";
my $uris = q{'{https://app.example/cb}'};

bound("a connector's connection_config", 'app_admin', sprintf($register, "'{}', $uris, connection_config => %s"), json_of(16 * 1024 - 16, 'b'), [ json_of(16 * 1024 + 1, 'b'), $number, $numbers, $huge ], '54000');
bound("an update's connection_config", 'app_admin', "SELECT $ns.update_connector('crm', connection_config => %s)", json_of(16 * 1024 - 16, 'b'), [ json_of(16 * 1024 + 1, 'b'), $numbers ], '54000');
bound("a connector's options", 'app_admin', "SELECT $ns.update_connector('crm', options => %s)", q{jsonb_build_object('authorization_params', } . json_of(16 * 1024 - 100, 'b') . ')',
	[ q{jsonb_build_object('authorization_params', } . json_of(16 * 1024, 'b') . ')', $numbers, $huge ], '54000');
bound("an app user's connection_config", 'app_service', "SELECT $ns.connect_app_user('crm', connection_config => %s)", q{jsonb_build_object('a', repeat('x', 1024))}, q{jsonb_build_object('a', repeat('x', 1025))}, '22023', 'alice');
bound("an app user's connection_config as a whole", 'app_service', "SELECT $ns.connect_app_user('crm', connection_config => %s)", q{'{}'::jsonb}, [ json_of(16 * 1024 + 1, 'a'), $number, $numbers, $huge ], '54000', 'alice');
bound('a definition', 'app_admin', "SELECT $ns.register_provider('new', jsonb_build_object('authorization_endpoint', 'https://a.example/', 'token_endpoint', 'https://a.example/') || %s)",
	json_of(64 * 1024 - 200, 'name'), [ json_of(64 * 1024, 'name'), $numbers, $huge ], '54000');
bound("a callback's params", 'app_service', "DO \$do\$ BEGIN PERFORM $ns.oauth_callback('nonsense', params => %s); EXCEPTION WHEN SQLSTATE 'UC005' THEN NULL; END \$do\$", json_of(64 * 1024 - 16, 'b'),
	[ json_of(64 * 1024 + 1, 'b'), $numbers, $huge ], '54000', 'alice');
bound("an issuer's jwks", 'app_admin', "SELECT $ns.register_issuer('https://a.example', jwks => %s, audiences => '{a}')",
	q{jsonb_build_object('x', repeat('x', 250000)) || '{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}'}, [ json_of(256 * 1024 + 1, 'b'), $numbers ], '54000');

my $scopes = sub { "(SELECT array_agg('s' || i) FROM generate_series(1, $_[0]) AS i)" };
my $long_scopes = sub { "(SELECT array_agg(lpad(i::text, 128, 's')) FROM generate_series(1, $_[0]) AS i)" };
bound("a connector's scopes", 'app_admin', sprintf($register, "%s, $uris"), $scopes->(256), [ $scopes->(257), $scopes->(60_000) ], '54000');
bound('their bytes', 'app_admin', sprintf($register, "%s, $uris"), $long_scopes->(128), $long_scopes->(129), '54000');
bound("a flow's scopes", 'app_service', "SELECT $ns.connect_app_user('crm', scopes => %s)", $scopes->(256), [ $scopes->(257), $scopes->(60_000), $long_scopes->(129) ], '54000', 'alice');
query($node, 'app_admin', "SELECT $ns.update_connector('crm', scopes => " . $long_scopes->(100) . ')');
bound('a flow\'s scopes and the connector\'s together', 'app_service', "SELECT $ns.connect_app_user('crm', scopes => %s)", q{ARRAY['a', 'b']}, $scopes->(157), '54000', 'alice');
query($node, 'app_admin', "SELECT $ns.update_connector('crm', scopes => '{}')");

my $uri = sub { "ARRAY['https://app.example/' || repeat('x', $_[0] - 20)]" };
bound('the length of a redirect URI', 'app_admin', sprintf($register, "'{}', %s"), $uri->(2048), [ $uri->(2049), $uri->(1_000_000) ], '22023');
my $many = sub { "(SELECT array_agg('https://app.example/' || i) FROM generate_series(1, $_[0]) AS i)" };
bound('the number of redirect URIs', 'app_admin', sprintf($register, "'{}', %s"), $many->(64), [ $many->(65), $many->(60_000) ], '54000');
bound('an endpoint', 'app_admin', "SELECT $ns.register_provider('new', jsonb_build_object('authorization_endpoint', 'https://a.example/', 'token_endpoint', %s))", "'https://a.example/' || repeat('x', 2030)",
	"'https://a.example/' || repeat('x', 2031)", '22023');

my $text = sub { "repeat('x', $_[0])" };
bound('connector_id', 'app_admin', "SELECT $ns.register_connector('crm', 'client', 's', '{}', $uris, connector_id => %s)", $text->(200), [ $text->(201), $text->(100_000) ], '22023');
bound('client_id', 'app_admin', "SELECT $ns.register_connector('crm', %s, 's', '{}', $uris, connector_id => 'new')", $text->(1024), [ $text->(1025), $text->(100_000) ], '22023');
bound('client_secret', 'app_admin', "SELECT $ns.register_connector('crm', 'c', %s, '{}', $uris, connector_id => 'new')", $text->(65536), [ $text->(65537), $text->(10_000_000) ], '54000');
bound('name', 'app_admin', "SELECT $ns.update_connector('crm', name => %s)", $text->(1024), $text->(1025), '22023');
bound('provider', 'app_admin', "SELECT $ns.register_provider(%s, '{\"authorization_endpoint\": \"https://a.example/\", \"token_endpoint\": \"https://a.example/\"}')", $text->(100), $text->(101), '22023');
bound('app_user', 'app_service', "SELECT $ns.set_app_user(%s)", $text->(512), [ $text->(513), $text->(100_000) ], '22023');
bound('connection_name', 'app_service', "SELECT $ns.connect_app_user('crm', %s)", $text->(200), $text->(201), '22023', 'alice');
bound('return_to', 'app_service', "SELECT $ns.connect_app_user('crm', return_to => '/' || %s)", $text->(2047), [ $text->(2048), $text->(100_000) ], '22023', 'alice');
bound('browser_binding', 'app_service', "SELECT $ns.connect_app_user('crm', browser_binding => %s)", $text->(1024), [ $text->(1025), $text->(15) ], '22023', 'alice');
bound('issuer', 'app_admin', "SELECT $ns.register_issuer(%s, jwks_uri => 'https://a.example/jwks', audiences => '{a}')", $text->(512), $text->(513), '22023');
bound('an audience', 'app_admin', "SELECT $ns.register_issuer('i', jwks_uri => 'https://a.example/jwks', audiences => ARRAY[%s])", $text->(512), $text->(513), '22023');
bound('app_user_template', 'app_admin', "SELECT $ns.register_issuer('i', jwks_uri => 'https://a.example/jwks', audiences => '{a}', app_user_template => '{sub}' || %s)", $text->(251), [ $text->(252), $text->(100_000) ], '22023');

# Names that are only looked up are cut where they are shown.
foreach my $call ("$ns.current_app_user_connection(%s)", "$ns.connect_app_user(%s)", "$ns.disconnect_app_user(%s)")
{
	my ($state, $message) = outcome('app_service', sprintf("SELECT $call", $text->(100_000)), 'alice');
	is($state, 'UC006', "$call of a name of any length");
	cmp_ok(length $message, '<', 2000, '... which is cut');
}
foreach my $call ([ 'UC006', "$ns.register_connector(%s, 'c', 's', '{}', $uris)" ], [ '22023', "$ns.register_connector('crm', 'c', 's', ARRAY['\"' || %s], $uris, 'x')" ],
	[ '22023', "$ns.register_connector('crm', 'c', 's', '{}', ARRAY['javascript:' || %s], 'x')" ], [ '22023', "$ns.register_provider('x', jsonb_build_object(%s, 1))" ],
	[ '22023', "$ns.register_issuer('i', jwks_uri => 'https://a.example/jwks', algorithms => ARRAY[%s])" ], [ '22023', "$ns.update_connector('crm', provider => %s)" ],
	[ '22023', "$ns.register_issuer('i', jwks_uri => 'https://a.example/jwks', token_types => ARRAY[%s])" ])
{
	my ($state, $message) = outcome('app_admin', sprintf("SELECT $call->[1]", $text->(10_000)));
	like($state, qr/^(UC006|22023)$/, "$call->[1] with a name of any length");
	cmp_ok(length $message, '<', 2500, '... which is cut');
}

# A read's scopes are bounded, and whatever takes long can be cancelled.
$provider->rules({ path => '*', body => { access_token => 'a', token_type => 'Bearer' } });
my $begun = url_parameters(authorization_url($node, 'alice', 'crm', scopes => ['a']))->{state};
is(callback($node, 'alice', { state => $begun, code => 'code' })->{failure}, undef, 'alice is connected');
bound("a read's required scopes", 'app_service', "DO \$do\$ BEGIN PERFORM $ns.app_user_connection('alice', 'crm', required_scopes => %s); EXCEPTION WHEN SQLSTATE 'UC002' THEN NULL; END \$do\$",
	$scopes->(256), [ $scopes->(257), $scopes->(60_000) ], '54000');

$node->stop;
done_testing();
