# Each provider of the catalogue: a person connects, the token is renewed, the person leaves;
# against a server that plays its endpoints as its file in sql/providers says, read by other
# code.  No entry ships that cannot work.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use HTTP::Tiny;
use PatternSample qw(sample);
use PsqlSession;
use Test::More;

my $ns = 'appuser_connectors';
my $providers = "$FindBin::RealBin/../../sql/providers";
my $directory = PostgreSQL::Test::Utils::tempdir('catalogue');
my (%definition, %fields, %values);

# What stands for each field: a sample of its pattern, or its default.
foreach my $file (glob "$providers/*.json")
{
	my ($key) = $file =~ m{([^/]+)\.json$};
	my $entry = AppuserConnectors::decode(PostgreSQL::Test::Utils::slurp_file($file));

	next unless $definition{$key} = $entry->{definition};
	$fields{$key} = $entry->{definition}{connection_config_fields} // {};
	foreach my $name (keys %{ $fields{$key} })
	{
		my $field = $fields{$key}{$name};
		$values{$key}{$name} = $field->{default} // ($field->{enum} ? $field->{enum}[0] : sample($field->{pattern} // '^value$'));
	}
}
delete $definition{$_} foreach grep { !defined $definition{$_} } keys %definition;

sub write_file
{
	my ($name, $text) = @_;

	PostgreSQL::Test::Utils::append_to_file("$directory/$name", $text);
	return "$directory/$name";
}

# One certificate for all hosts, of the tests' authority.
my $config = write_file('values.json', AppuserConnectors::encode(\%values));
my @hosts = split /\n/, `node '$FindBin::RealBin/../provider/catalogue.mjs' --hosts --providers '$providers' --values '$config'`;
cmp_ok(scalar @hosts, '>', 300, scalar(@hosts) . ' hosts');
my $extensions = write_file('extensions', "subjectAltName = " . join(',', map { "DNS:$_" } @hosts) . "\nextendedKeyUsage = serverAuth\n");
my $ca = AppuserConnectors::certificates();
system("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out '$directory/key.pem' 2>/dev/null && "
	  . "openssl req -new -key '$directory/key.pem' -subj /CN=catalogue -out '$directory/request.pem' && "
	  . "openssl x509 -req -in '$directory/request.pem' -CA '$ca/ca.pem' -CAkey '$ca/ca-key.pem' -set_serial 4711 -days 2 -extfile '$extensions' -out '$directory/certificate.pem' 2>/dev/null") == 0
  or die 'openssl failed';

my $server = AppuserConnectors::Server->start('catalogue.mjs', {},
	sub { ('--providers', $providers, '--values', $config, '--certificate', "$directory/certificate.pem", '--key', "$directory/key.pem") });
my $http = HTTP::Tiny->new;

sub ask
{
	my ($page, $body) = @_;
	my $response = $http->post($server->url . $page, { content => AppuserConnectors::encode($body // {}) });

	return AppuserConnectors::decode($response->{content});
}

my $shim = "$directory/names.so";
system('gcc', '-shared', '-fPIC', '-o', $shim, "$FindBin::RealBin/../provider/private_names.c", '-ldl') == 0 or die 'gcc failed';
local $ENV{LD_PRELOAD} = $shim;
local $ENV{NO_NAMES} = 1;
my $node = new_node('flows', "appuser_connectors.proxy = '" . $server->url . "'");
delete $ENV{LD_PRELOAD};
delete $ENV{NO_NAMES};

my $admin = PsqlSession->new($node, 'app_admin');
my $service = PsqlSession->new($node, 'app_service');

sub of_source
{
	my ($key, $source) = @_;

	return { map { $_ => $values{$key}{$_} } grep { ($fields{$key}{$_}{source} // 'admin') eq $source && !exists $fields{$key}{$_}{default} } keys %{ $fields{$key} } };
}

# As alice, and committed: what the statement gives, or its error
sub as_alice
{
	my ($sql) = @_;
	my $out = eval { $service->ask("BEGIN;\nSELECT $ns.set_app_user('alice') \\g /dev/null\n$sql;\nCOMMIT") };

	return $out if defined $out;
	my $why = $@;
	eval { $service->ask('ROLLBACK') };
	return "ERROR $why";
}

# One person's way; what is wrong with it, or nothing.
sub flow
{
	my ($key) = @_;

	$admin->ask("SELECT $ns.register_connector(" . AppuserConnectors::arguments(provider => $key, client_id => "client.of.$key",
			client_secret => ($definition{$key}{token_endpoint_auth_method} // '') eq 'none' && !grep({ $_ eq '{client_secret}' } values %{ $definition{$key}{token_headers} // {} }) ? undef : "secret of $key",
			scopes => [ qw(read write), (($definition{$key}{profile} // {})->{scopes} // [])->[0] // () ], redirect_uris => ['https://app.example/callback'], connection_config => of_source($key, 'admin')) . ') \g /dev/null');
	my $url = as_alice("SELECT $ns.connect_app_user('$key', connection_config => " . AppuserConnectors::quote(of_source($key, 'user')) . ')');
	return $url if $url =~ /^ERROR/;
	my $back = ask('/__visit', { provider => $key, url => $url });
	return "authorization URL: $back->{objection} in $url" if $back->{objection};
	my $failure = as_alice("SELECT failure FROM $ns.oauth_callback(NULL, params => " . AppuserConnectors::quote($back) . ')');
	return "callback: $failure" if $failure ne '';
	my $account = as_alice("SELECT account FROM $ns.app_user_connections() WHERE connector_id = '$key' AND connected_at IS NOT NULL");
	my $id = ($definition{$key}{profile} // {})->{id};
	my ($same) = grep { defined $id && ($fields{$key}{$_}{source} // '') eq 'profile' && ($fields{$key}{$_}{path} // "/$_") eq $id } keys %{ $fields{$key} };
	return "account: $account" if $account ne (defined $same ? $values{$key}{$same} : defined $id ? "account of $key" : '');
	my $token = as_alice("SELECT access_token FROM $ns.current_app_user_connection('$key')");
	return "token: $token" unless $token =~ /^at-\Q$key\E-\d+$/;
	my $next = as_alice("SELECT access_token FROM $ns.current_app_user_connection('$key', rejected_token => '$token')");
	return "renewed token: $next" unless $next =~ /^at-\Q$key\E-\d+$/ && $next ne $token;
	my $config = as_alice("SELECT connection_config FROM $ns.current_app_user_connection('$key')");
	my $expected = $values{$key} // {};
	my $kept = $config eq '' ? {} : AppuserConnectors::decode($config);
	foreach (keys %$expected)
	{
		return "connection_config: $_ is " . ($kept->{$_} // 'missing') if ($kept->{$_} // '') ne $expected->{$_};
	}
	# the earliest of the ends that there are, and of a renewal as of the exchange
	my ($days) = sort { $a <=> $b } map { $_ / 86400 } grep { defined } $definition{$key}{grant_lifetime}, $definition{$key}{refresh_token_expires_in_path} ? 30 * 86400 : $definition{$key}{refresh_token_lifetime};
	my $ends = as_alice("SELECT extract(epoch FROM reconnect_by - now()) / 86400 FROM $ns.app_user_connections() WHERE connector_id = '$key'");
	return "reconnect_by: $ends" if defined $days ? $ends eq '' || abs($ends - $days) > 0.1 : $ends ne '';
	my $gone = as_alice("SELECT $ns.disconnect_app_user('$key')");
	return "disconnect: $gone" if $gone ne 't';
	return '';
}

my $count = 0;
# FLOWS="slack zoho" looks at these only.
my @chosen = $ENV{FLOWS} ? split(q{ }, $ENV{FLOWS}) : sort keys %definition;
foreach my $key (@chosen)
{
	is(flow($key), '', "$key works") or next;
	note("$count of " . @chosen) if ++$count % 100 == 0;
}
wait_until('all is revoked', sub { query($node, 'postgres', "SELECT count(*) FROM $ns.revocations") == 0 });
my $seen = ask('/__seen');
is_deeply($seen->{objections}, [], 'the servers had no objections');
is_deeply([ sort keys %{ $seen->{revoked} } ], [ sort grep { $definition{$_}{revocation_endpoint} } @chosen ], 'and tokens were revoked wherever they can be');
is(query($node, 'postgres', "SELECT count(*) FROM $ns.connection_events WHERE event = 'revocation_failed'"), 0, 'without a failure');
is_deeply([ sort keys %{ $seen->{profiled} } ], [ sort grep { $definition{$_}{profile} } @chosen ], 'the account is asked for wherever it can be');
is(query($node, 'postgres', "SELECT COALESCE(string_agg(connector_id || ': ' || detail, '; '), '') FROM $ns.connection_events WHERE event = 'connected' AND detail ~ 'profile'"), '', 'and known');
diag("$count providers of " . @chosen . ' work, ' . keys(%{ $seen->{revoked} }) . ' of them revoke');

$admin->close;
$service->close;
$node->stop;
done_testing();
