# Whatever JSON is given as a provider's definition, as options, as configuration or
# as the parameters of a callback: it is taken, or refused with an error that is
# documented.  Nothing crashes, and what was taken can be used.
#
# The objects are random, and the same in every run: JSON_OPTIONS_SEED chooses
# others, JSON_OPTIONS_COUNT more.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Test::More;

my $seed = $ENV{JSON_OPTIONS_SEED} // 8259;
my $count = $ENV{JSON_OPTIONS_COUNT} // 2000;

my $fault = start_fault_server();
my $node = new_node('json_options', 'log_min_messages = fatal');
my $worker_query = "SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'appuser_connectors worker%'";

# What the documentation allows for a value that is no good.  22P02 and 22P05 are
# jsonb's own, about text that is no JSON, and text that cannot be one of PostgreSQL.
my %expected = (
	register_provider => [qw(54000 22023 22004 22P02 22P05)],
	register_connector => [qw(54000 22023 22004 22P02 22P05 UC006)],
	update_connector => [qw(42501 54000 22023 22004 22P02 22P05 UC006)],
	connect_app_user => [qw(54000 22023 22P02 22P05 UC004 UC006)],
	oauth_callback => [qw(54000 22023 22P02 22P05 UC005)]);

# ---------- random JSON ----------

sub any { return $_[ int rand @_ ]; }
sub chance { return rand() < $_[0]; }

my @texts = (
	'', ' ', 'x', 'S256', 'off', 'none', 'client_secret_post', 'RS256', 'EdDSA', 'form', 'json', 'expired', '{tenantid}', 'scope', ',', '0',
	"\n", "\t", "\x{7f}", "\x{e4}", "\x{20ac}", "\x{1f600}", "a\r\nHost: evil", 'a"b', 'a\\b', "it's", '%s%n%00', '../..', '/settings', '//evil.example',
	'https://a.example/token', 'https://a.example:70000/', 'https://user:pass@a.example/', 'https://a.example/#f', 'http://127.0.0.1/x', 'http://a.example/',
	'https://[::1]/', 'https:///x', 'https:/x', 'javascript:alert(1)', 'com.example.app:/cb', 'https://xn--a.example/', 'https://a.example/{tenantid}/v2',
	'file:key', 'file:../../etc/passwd', 'x' x 300, "\x{e4}" x 5000, 'https://a.example/' . 'x' x 70000);
my @numbers = (0, 1, -1, 60, 3600, 315360000, 315360001, 2147483648, -2147483649, '9223372036854775808', '1e10', '1e-10', '0.5', '-0', '1e300', '99999999999999999999999999');

# JSON text; numbers as they are written, and names twice now and then
sub text_json { return encode($_[0]); }

sub value_json
{
	my ($depth) = @_;
	my $kind = int rand($depth > 4 ? 5 : 7);

	return any('null', 'true', 'false') if $kind == 0;
	return any(@numbers) if $kind == 1;
	return text_json(any(@texts)) if $kind < 5;
	return '[' . join(',', map { value_json($depth + 1) } 1 .. int rand 4) . ']' if $kind == 5;
	return object_json($depth + 1, @texts[ 0 .. 11 ]);
}

sub strings_json { return '[' . join(',', map { text_json(any(@texts)) } 1 .. int rand 4) . ']'; }
sub params_json { return '{' . join(',', map { text_json(any('prompt', 'state', 'audience', '', 'x y')) . ':' . text_json(any(@texts)) } 1 .. int rand 4) . '}'; }

# A value that may do for this name
sub fitting_json
{
	my ($name) = @_;

	return text_json(any($fault->url . "/$name", 'https://a.example/x', any(@texts))) if $name =~ /_endpoint$|_uri$|^resource$/;
	return params_json() if $name =~ /_params$/;
	return strings_json() if $name =~ /_types$|_values$|^return_to$/;
	return any(@numbers) if $name =~ /_in$|_margin$/;
	return any('true', 'false') if $name =~ /supported$|_ends_/;
	return text_json(any(@texts));
}

sub object_json
{
	my ($depth, @names) = @_;

	return '{' . join(',', map { text_json($_) . ':' . (chance(0.15) ? value_json($depth) : fitting_json($_)) } map { any(@names) } 1 .. int rand 8) . '}';
}

# Of an object with these names, some of them necessary; or something else altogether
sub argument_json
{
	my ($names, @necessary) = @_;
	my $json = chance(0.08) ? value_json(0) : object_json(0, @$names, chance(0.1) ? any(@texts) : ());

	if ($json =~ /^\{/ && chance(0.8))
	{
		my $members = join ',', map { text_json($_) . ':' . text_json($fault->url . "/$_") } @necessary;
		$json =~ s/^\{(?=(.?))/ '{' . $members . ($members ne '' && $1 ne '}' ? ',' : '') /e;
	}
	my $at = int rand length $json;
	substr($json, $at, 1) = any('', '"', '}', '\\', '\\u0000', ' ') if chance(0.04) && substr($json, $at, 1) =~ /[ -~]/;
	$json = '[' x 300 . $json . ']' x 300 if chance(0.005);
	return $json;
}

# ---------- a script for psql, one for each role ----------

# encode() gives bytes, as psql takes them.
sub json_literal { return '$json$' . $_[0] . '$json$::jsonb'; }

# Whether the literals that a function is called with are all objects
my %objects;
sub told { return "\\echo TOLD $_[0] :SQLSTATE $_[1]\n"; }

sub run_script
{
	my ($role, $script) = @_;
	my ($out, $err) = ('', '');
	my $status = $node->psql('postgres', $script, stdout => \$out, stderr => \$err, on_error_stop => 0, on_error_die => 0,
		extra_params => [ '-U', $role, '-v', 'VERBOSITY=terse' ]);
	my @told = map { [ (split ' ')[ 1 .. 3 ] ] } grep { /^TOLD / } split /\n/, $out;

	is($status, 0, "$role: every statement was run by one session that nothing ended");
	return ($out, @told);
}

sub names_of
{
	my ($statement) = @_;
	my (undef, $message) = failure($node, 'app_admin', $statement);
	my ($names) = $message =~ /Known names are: (.*)\./;

	ok($names, 'an unknown name is an error that lists the known ones');
	return [ split /, /, $names // '' ];
}

register($node, $fault, connector_id => 'good', provider => 'good', scopes => ['read'], client_secret => 'canary',
	definition => { jwks_uri => undef, revocation_endpoint => undef });
my $definition_names = names_of(q{SELECT appuser_connectors.register_provider('x', '{"nonsense":1}')});
my $option_names = names_of(q{SELECT appuser_connectors.update_connector('good', options => '{"nonsense":1}')});
is(connect_good('before')->{failure}, undef, 'before all this a person can connect');
my $worker = query($node, 'postgres', $worker_query);
like($worker, qr/^\d+$/, 'by the worker');

sub connect_good
{
	my ($app_user) = @_;

	$fault->rules({ path => '/token', headers => { 'content-type' => 'application/json' }, body => { access_token => 'a', token_type => 'Bearer' } });
	return callback($node, $app_user, { state => url_parameters(authorization_url($node, $app_user, 'good'))->{state}, code => 'code' });
}

srand $seed;
my $admin = '';
my $service = '';
foreach my $i (1 .. $count)
{
	my ($definition, $options, $config, $more) =
	  map { json_literal($_) } argument_json($definition_names, qw(authorization_endpoint token_endpoint)), argument_json($option_names), argument_json([@texts]),
	  argument_json($option_names);
	my $params = json_literal(argument_json([qw(state code iss error error_description realmId hmac)]));
	my $given = any($config, 'NULL'); # there is no field that an app user may give
	my %arguments = (register_provider => [$definition], register_connector => [ $options, $config ], update_connector => [$more],
		connect_app_user => [ grep { $_ ne 'NULL' } $given ], oauth_callback => [$params]);
	$objects{$_}{$i} = !grep { !/^\$json\$\s*\{/ } @{ $arguments{$_} } foreach keys %arguments;

	$admin .= "SELECT appuser_connectors.register_provider('p$i', $definition);\n" . told('register_provider', $i)
	  . "SELECT appuser_connectors.register_connector(:'p', 'app', 'canary', '{read}', '{https://app.example/cb}', 'c$i', connection_config => $config, options => $options);\n"
	  =~ s/:'p'/any("'p$i'", "'good'")/er
	  . told('register_connector', $i)
	  . "SELECT appuser_connectors.update_connector('" . any("c$i", 'good') . "', options => $more);\n" . told('update_connector', $i)
	  . "SELECT appuser_connectors.update_connector('good', options => '{}');\n";

	$service .= "BEGIN;\nSELECT appuser_connectors.set_app_user('user$i');\n"
	  . "SELECT 'https://x/?state=none' AS url \\gset\n"
	  . 'SELECT appuser_connectors.connect_app_user(' . any("'c$i'", "'good'") . ", connection_config => " . $given . ") AS url \\gset\n"
	  . told('connect_app_user', $i) . "COMMIT;\n"
	  . "SELECT substring(:'url' FROM 'state=([^&]*)') AS state \\gset\n"
	  . "BEGIN;\nSELECT appuser_connectors.set_app_user('user$i');\n"
	  . 'SELECT * FROM appuser_connectors.oauth_callback(' . (chance(0.3) ? "state => :'state', " : 'state => NULL, ') . (chance(0.2) ? "error => 'access_denied', " : '')
	  . "params => $params);\n" . told('oauth_callback', $i) . "COMMIT;\n";
}

my (%seen, @unexpected);
foreach my $part ([ 'app_admin', $admin, 3 ], [ 'app_service', $service, 2 ])
{
	my ($role, $script, $functions) = @$part;
	my ($out, @told) = run_script($role, $script);

	is(scalar @told, $functions * $count, "$role: and each has an outcome");
	unlike($out, qr/canary/, "$role: none of which shows the client's secret");
	foreach my $told (@told)
	{
		my ($function, $state, $i) = @$told;

		$seen{$function}{$state}++;
		push @unexpected, "$function takes what is no object, $i" if $state eq '00000' && !$objects{$function}{$i};
		push @unexpected, "$function $state, of the object $i" unless $state eq '00000' || grep { $_ eq $state } @{ $expected{$function} };
	}
}
is_deeply(\@unexpected, [], 'every outcome is one that the documentation names') or diag("seed $seed");
foreach my $function (sort keys %expected)
{
	my $taken = $seen{$function}{'00000'} // 0;

	note "$function: " . join ', ', map { "$_ $seen{$function}{$_}" } sort keys %{ $seen{$function} };
	cmp_ok($taken, '>', $count / 50, "$function takes some");
	cmp_ok($taken, '<', $count, "$function refuses others");
}

# ---------- and then ----------

is(query($node, 'postgres', $worker_query), $worker, 'the worker is still the same');
is(connect_good('after')->{failure}, undef, 'and a person can connect');
is(access_token($node, 'after', 'good'), 'a', 'and have a token');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/terminated by signal|PANIC|server process/, 'no process ended badly');

$node->stop;
done_testing();
