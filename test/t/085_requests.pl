# Requests to providers on their way: each on a connection of its own, so that no answer
# is taken for another's; sent once; by nothing that the server's environment says; and not
# held against the provider when it is this server that has no file descriptor left.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use JSON::PP;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my $true = JSON::PP::true;
my $files = 90;     # a server may have open
my $work = PostgreSQL::Test::Utils::tempdir('environment');
my $node;
{
	local $ENV{SSLKEYLOGFILE} = "$work/keys";
	local @ENV{qw(https_proxy HTTPS_PROXY ALL_PROXY)} = ('http://127.0.0.1:1') x 3;
	local @ENV{qw(SSL_CERT_FILE CURL_CA_BUNDLE)} = (certificates() . '/self-signed.pem') x 2;
	system('prlimit', '--pid', $$, "--nofile=$files:") == 0 or die 'prlimit failed';
	# for a name on a private address
	my $shim = "$work/private_names.so";
	system('gcc', '-shared', '-fPIC', '-o', $shim, "$FindBin::RealBin/../provider/private_names.c", '-ldl') == 0 or die 'gcc failed';
	local $ENV{LD_PRELOAD} = $shim;
	$node = new_node('main', 'max_connections = 20', 'max_wal_senders = 0', 'appuser_connectors.max_concurrent_requests = 1000',
		'appuser_connectors.max_concurrent_requests_per_connector = 1000');
	system('prlimit', '--pid', $$, '--nofile=1024:') == 0 or die 'prlimit failed';
}

my %none = map { $_ => undef } qw(issuer jwks_uri revocation_endpoint userinfo_endpoint);

sub connector
{
	my ($id, $server, %definition) = @_;

	register($node, $server, connector_id => $id, provider => $id, scopes => ['read'], definition => { %none, %definition });
	return;
}

# The failure, or undef
sub connect_to
{
	my ($node, $person, $id) = @_;
	my $state = url_parameters(authorization_url($node, $person, $id))->{state};

	return callback($node, $person, { state => $state, code => 'code' })->{failure};
}

sub tokens
{
	my ($of, @rule) = @_;

	return { path => '/token', body => { access_token => "of $of", refresh_token => "refresh of $of", token_type => 'Bearer', expires_in => 3600 }, @rule };
}

# ------------------------------------------------ one person's answer, another's request
my $number = 0;
foreach my $variant ([ 'TLS', 'localhost' ], [ 'TCP', undef ])
{
	my ($layer, $certificate) = @$variant;
	my $server = start_fault_server(certificate => $certificate);

	foreach my $status ('HTTP/1.1 200 OK', 'HTTP/2 200 OK', 'HTTP/2 200', 'HTTP/ 1.1 200', 'http/1.1 200')
	{
		my $id = 'twice' . ++$number;

		connector($id, $server);
		# as many answers for alice as a kept connection has room for
		foreach my $person (qw(alice bob carol))
		{
			$server->rules(tokens($person, statusLine => $status, duplicate => $true, headers => { connection => 'keep-alive' }));
			connect_to($node, $person, $id);
		}
		my $mixed = query($node, 'postgres', "SELECT count(*) FROM appuser_connectors.connections WHERE connector_id = '$id'");
		my @wrong = grep {
			my $token = eval { access_token($node, $_, $id) };
			defined $token && $token ne "of $_"
		} qw(alice bob carol);
		is_deeply(\@wrong, [], "$layer, \"$status\": nobody has another's token ($mixed connected)");
		my %connections = map { $_->{connection} => 1 } $server->requests('/token');
		is(scalar keys %connections, scalar $server->requests('/token'), "$layer, \"$status\": each request had a connection of its own");
	}
}

# ------------------------------------------------------------------------- sent once
my $http2 = start_fault_server(http2 => 1);
connector('http2', $http2);
foreach my $fault (qw(refuse goAway reset drop resetAfterHeaders))
{
	$http2->rules(tokens('x'), { path => '/__none' });
	is(connect_to($node, "before-$fault", 'http2'), undef, "$fault: somebody is connected before");
	my $before = $http2->requests('/token');
	$http2->rules({ path => '/token', body => 'x', $fault => $true });
	is(connect_to($node, "in-$fault", 'http2'), 'provider_unavailable', "$fault: the flow fails");
	my @requests = $http2->requests('/token');
	is(scalar(grep { $_->{body} =~ /code=/ } @requests), $before + 1, "$fault: its code was sent once");
	is_deeply([ grep { $_->{protocol} ne 'HTTP/1.1' } @requests ], [], "$fault: over HTTP/1.1, though HTTP/2 was offered");
}

# --------------------------------------------------- what an admin learns of the network
sub refused_at
{
	my ($id, $endpoint) = @_;

	connector($id, $http2, token_endpoint => $endpoint);
	my $failure = connect_to($node, 'alice', $id);
	my $detail = query($node, 'app_admin', "SELECT detail FROM appuser_connectors.connection_events WHERE connector_id = '$id' AND event = 'connect_failed'");
	return "$failure $detail";
}

is(refused_at('private', 'https://private.test/token'), 'connector_misconfigured connector_misconfigured: the token endpoint "https://private.test/token": an address that is not allowed; if it may be called: allowed_networks or allowed_hosts', 'an event names what would let a private address through');
is(refused_at('closed', 'https://127.0.0.1:1/token'), 'provider_unavailable provider_unavailable: the token endpoint "https://127.0.0.1:1/token": no connection could be made; this server\'s way out (DNS, firewall, proxy), or the host in the definition', 'but not what answered at a port');
is(refused_at('nowhere', 'https://nowhere.invalid/token'), 'provider_unavailable provider_unavailable: the token endpoint "https://nowhere.invalid/token": the name of the host could not be resolved; this server\'s way out (DNS, firewall, proxy), or the host in the definition', 'nor what a resolver says');
my $wrong_name = start_fault_server(certificate => 'wrong-name');
like(refused_at('wrong', $wrong_name->url . '/token'), qr/^provider_unavailable provider_unavailable: the token endpoint "[^"]*": its certificate is not for the name of the host; ca_file if [^"]*$/, 'nor whose certificate it is');
my $log = slurp_file($node->logfile);
like($log, qr/\(exchange of "private"\): an address that is not allowed\n.*DETAIL:  Address 10\.0\.0\.1 is not a public one/, 'the server log has the address');
like($log, qr/\(exchange of "closed"\): no connection could be made\n.*DETAIL:  .*port 1\b/, 'and the port');

# A refresh: events, the connection's reason, and what its reader is told
$http2->rules(tokens('dave'));
connector('moves', $http2);
connect_to($node, 'dave', 'moves');
my ($port) = $http2->url =~ /:(\d+)$/;
$http2->stop;
my (undef, $message) = failure($node, 'app_service', "SELECT 1 FROM appuser_connectors.app_user_connection('dave', 'moves', min_validity => '1 day')");
my $shown = join "\n", $message, query($node, 'postgres', q{SELECT string_agg(status_reason, ' ') FROM appuser_connectors.connections WHERE connector_id = 'moves'}),
  query($node, 'app_admin', q{SELECT string_agg(detail, ' ') FROM appuser_connectors.connection_events WHERE connector_id = 'moves'});
like($shown, qr/no connection could be made/, 'a refresh without a connection says so');
unlike($shown =~ s/the token endpoint "[^"]*"//gr, qr/127\.0\.0\.1|\b$port\b/, 'and no more than the URL that an admin gave');
unlike($message, qr/127\.0\.0\.1|\b$port\b/, 'which its reader is not told');

# ------------------------------------------------------------------- the environment
ok(!-e "$work/keys", 'SSLKEYLOGFILE has had no keys written to it');

# --------------------------------------------------------------- no file descriptor left
my $slow = start_fault_server();
my $other = start_fault_server();
connector('slow', $slow);
connector('other', $other);
$slow->rules(tokens('x'));
$other->rules(tokens('x'));
my $people = 60;
$node->safe_psql('postgres', <<"END");
DO \$\$
DECLARE
	state text;
	failure text;
BEGIN
	FOR i IN 1 .. $people LOOP
		PERFORM appuser_connectors.set_app_user('person-' || i);
		state := substring(appuser_connectors.connect_app_user('slow') FROM '[?&]state=([^&]+)');
		COMMIT;
		PERFORM appuser_connectors.set_app_user('person-' || i);
		SELECT c.failure INTO STRICT failure FROM appuser_connectors.oauth_callback(state, 'code') AS c;
		IF failure IS NOT NULL THEN
			RAISE EXCEPTION 'not connected: %', failure;
		END IF;
		COMMIT;
	END LOOP;
END \$\$;
END
is(connect_to($node, 'erin', 'other'), undef, 'somebody is connected elsewhere');
$slow->rules(tokens('x', hold => 'all'));
$node->safe_psql('postgres', q{UPDATE appuser_connectors.connections SET refresh_at = now() - interval '1 s' WHERE connector_id = 'slow'});
my ($most) = slurp_file($node->logfile) =~ /LOG:  at most (\d+) requests to providers are sent at once, not 1000\n.*There are file descriptors for no more.*\n.*max_files_per_process/;
ok($most, 'that there are file descriptors for fewer requests is logged, with the setting');
cmp_ok($most, '<', $people, "($most)");
# one connector leaves the rest to others
$slow->wait(held => 'all', count => int($most / 4));
$slow->rules(tokens('x'));
isnt(access_token($node, 'erin', 'other'), undef, 'meanwhile others are served');
is((failure($node, 'app_service', "SELECT 1 FROM appuser_connectors.app_user_connection('erin', 'other', min_validity => '1 day')"))[0], undef, 'and others\' providers called');
$slow->release('all');
wait_until('all are refreshed in the end', sub { query($node, 'postgres', q{SELECT count(*) FROM appuser_connectors.connections WHERE connector_id = 'slow' AND refresh_at > now()}) == $people });
is(query($node, 'postgres', q{SELECT count(*) FROM appuser_connectors.connection_events WHERE event = 'refresh_failing' AND connector_id IN ('slow', 'other')}), 0, 'and nobody\'s refresh has failed');
$log = slurp_file($node->logfile);
is(scalar(() = $log =~ /at most \d+ requests to providers/g), 1, 'the limit was logged once');
unlike($log, qr/no memory or no file descriptor/, 'and never reached');

# Others may have taken them all the same.
my $worker = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'});
my $erin = q{SELECT access_token FROM appuser_connectors.app_user_connection('erin', 'other', min_validity => '1 day')};
$node->safe_psql('postgres', q{UPDATE appuser_connectors.connections SET refresh_at = 'infinity'});
my $none = 0;
$none++ while -e "/proc/$worker/fd/$none" || -l "/proc/$worker/fd/$none";
system('prlimit', '--pid', $worker, "--nofile=$none:") == 0 or die 'prlimit failed';
foreach my $turn (1 .. 6)
{
	my ($state, $message) = failure($node, 'app_service', $erin);

	is($state, 'UC003', "no file descriptor, $turn: nothing can be asked");
	like($message, qr/The provider could not be called: this server has no memory or no file descriptor left/, "no file descriptor, $turn: which is said to be this server's fault");
}
system('prlimit', '--pid', $worker, "--nofile=$files:") == 0 or die 'prlimit failed';
is((failure($node, 'app_service', $erin))[0], undef, 'when there are some again, the provider is called at once');
is(query($node, 'postgres', q{SELECT count(*) FROM appuser_connectors.connection_events WHERE event = 'refresh_failing' AND connector_id = 'other'}), 0, 'nothing was counted as its failure');
is(scalar(() = slurp_file($node->logfile) =~ /no memory or no file descriptor left for it\n(?:.*DETAIL:.*\n)?.*HINT:  Raise the limit of open files/g), 1, 'and it was logged once, with what to raise');

$node->stop;
done_testing();
