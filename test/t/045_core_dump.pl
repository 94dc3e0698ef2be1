# What a core dump of a process would show.  Of the worker: no token, code, verifier,
# client secret or Authorization header, once the call is over, whether it went well,
# was refused, was never answered, or its answer was held, also where HTTP/2 is offered
# (whose library has memory of its own, which nobody would overwrite).  Of a backend:
# nothing but what was its caller's own.  The keys are another matter: they are in memory for as
# long as the server runs.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $work = PostgreSQL::Test::Utils::tempdir('dumps');
system('gcc', '-shared', '-fPIC', '-o', "$work/dump_memory.so", "$FindBin::RealBin/../provider/dump_memory.c") == 0 or die 'gcc failed';
my $node;
{
	local $ENV{DUMP_DIRECTORY} = $work;
	local $ENV{LD_PRELOAD} = "$work/dump_memory.so";
	# the statements of callers, with their codes, would be in shared memory
	$node = new_node('memory', "appuser_connectors.request_timeout = '500ms'", 'track_activities = off');
}

# What is freed has its beginning overwritten by the allocator, so secrets begin with
# something else, and what is looked for is their end.  Some are large, since large
# chunks have other ways.
my $filler = 'F' x 64;
my %secrets;
my $count = 0;

sub secret
{
	my ($kind, $large) = @_;
	my $secret = $filler . ($large ? 'G' x 20_000 : '') . "-$kind-" . ++$count . '-canary';

	$secrets{$secret} = substr $secret, -40;
	return $secret;
}

sub tokens
{
	my ($large) = @_;

	return { path => '/token', body => { token_type => 'Bearer', expires_in => 3600, map { $_ => secret($_, $large) } qw(access_token refresh_token id_token) } };
}

sub refresh
{
	my ($app_user, $connector) = @_;

	return failure($node, 'app_service', "SELECT 1 FROM appuser_connectors.app_user_connection('$app_user', '$connector', min_validity => '1 day')");
}

my $client_secret = secret('client');
foreach my $variant (
	[ 'basic', 'client_secret_basic', 'form', 'localhost' ],
	[ 'post', 'client_secret_post', 'json', 'localhost' ],
	[ 'http2', 'client_secret_basic', 'form', 'localhost', http2 => 1 ],
	[ 'plain', 'client_secret_basic', 'form', undef ])
{
	my ($connector, $method, $format, $certificate, @options) = @$variant;
	my $fault = start_fault_server(certificate => $certificate, @options);

	register($node, $fault, connector_id => $connector, provider => $connector, client_secret => $client_secret, scopes => ['read'],
		definition => { issuer => undef, jwks_uri => undef, revocation_endpoint => $fault->url . '/revoke', token_endpoint_auth_method => $method, token_body_format => $format });
	foreach my $app_user (qw(alice bob carol dave))
	{
		my $large = $app_user eq 'bob';
		my $state = url_parameters(authorization_url($node, $app_user, $connector))->{state};
		$fault->rules(tokens($large));
		is(callback($node, $app_user, { state => $state, code => secret('code') })->{failure}, undef, "$connector: $app_user is connected");
		my ($request) = reverse $fault->requests('/token');
		my $sent = $format eq 'json' ? decode($request->{body}) : url_parameters("?$request->{body}");
		$secrets{ $sent->{code_verifier} } = $sent->{code_verifier};
		$secrets{ $request->{headers}{authorization} } = substr($request->{headers}{authorization}, -40) if $method eq 'client_secret_basic';
		$fault->rules(tokens($large));
		is_deeply([ refresh($app_user, $connector) ], [], "$connector: and refreshed");
	}

	my $state = url_parameters(authorization_url($node, 'erin', $connector))->{state};
	$fault->rules({ path => '/token', status => 400, body => { error => 'invalid_grant', error_description => 'an event tells it to the admin' } });
	is(callback($node, 'erin', { state => $state, code => secret('code') })->{failure}, 'invalid_grant', "$connector: a code is refused");
	$fault->rules({ %{ tokens() }, truncate => JSON::PP::true });
	is((refresh('alice', $connector))[0], 'UC003', "$connector: an answer is cut");
	$fault->rules({ path => '/token', hang => JSON::PP::true });
	is((refresh('bob', $connector))[0], 'UC003', "$connector: there is no answer");

	my $holder = Session->new($node, 'postgres');
	$holder->ask("BEGIN; SELECT 1 FROM appuser_connectors.connections WHERE app_user = 'carol' AND connector_id = '$connector' FOR UPDATE");
	$fault->rules(tokens(1));
	$node->safe_psql('postgres', "UPDATE appuser_connectors.connections SET refresh_at = now() WHERE app_user = 'dave' AND connector_id = '$connector'");
	is((failure($node, 'app_service', "SET appuser_connectors.wait_timeout = '1s'; SELECT 1 FROM appuser_connectors.app_user_connection('carol', '$connector', min_validity => '1 day')"))[0],
		'UC003', "$connector: an answer is held");
	$holder->ask('ROLLBACK');
	$holder->close;
	wait_until('held answers are applied', sub { query($node, 'postgres', 'SELECT count(*) FROM appuser_connectors.pending_answers') eq '0' });

	$fault->rules({ path => '/revoke' });
	query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('$connector')", app_user => 'carol');
	wait_until('the tokens are revoked', sub { query($node, 'postgres', 'SELECT count(*) FROM appuser_connectors.revocations') eq '0' });
	query($node, 'app_admin', "SELECT appuser_connectors.delete_connector('$connector')");
	wait_until('all others as well', sub { query($node, 'postgres', 'SELECT count(*) FROM appuser_connectors.revocations') eq '0' });
}

# One session that connects somebody, and stays
my $fault = start_fault_server();
register($node, $fault, connector_id => 'last', provider => 'last', client_secret => $client_secret, scopes => ['read'],
	definition => { issuer => undef, jwks_uri => undef, revocation_endpoint => undef });
my $service = Session->new($node, 'app_service');
my $as_frida = "BEGIN; SELECT appuser_connectors.set_app_user('frida')";
my ($state) = $service->ask("$as_frida; SELECT appuser_connectors.connect_app_user('last'); COMMIT") =~ /state=([^&\s]+)/;
my $code = secret('code');
$fault->rules(tokens());
$service->ask("$as_frida; SELECT failure FROM appuser_connectors.oauth_callback('$state', '$code'); COMMIT");
my ($request) = $fault->requests('/token');
my $sent = url_parameters("?$request->{body}");
$secrets{ $sent->{code_verifier} } = $sent->{code_verifier};
my $token = $service->ask("SELECT access_token FROM appuser_connectors.app_user_connection('frida', 'last')") =~ s/\s+$//r;

# ---------------------------------------------------------------- what is found
cmp_ok(scalar keys %secrets, '>', 60, 'there are secrets to look for');
my %whose = reverse %secrets;
open my $patterns, '>:raw', "$work/patterns" or die $!;
print $patterns "$_\n" foreach keys %whose;
close $patterns;

# Secrets in the memory of a process
sub found_in
{
	my ($pid) = @_;
	my ($out, $err);

	unlink "$work/$pid";
	kill 'RTMIN', $pid or die "$pid: $!";
	wait_until("$pid has dumped its memory", sub { -e "$work/$pid" });
	local $ENV{LC_ALL} = 'C';
	IPC::Run::run([ 'grep', '-aoF', '-f', "$work/patterns", "$work/$pid" ], '>', \$out, '2>', \$err);
	die "grep: $err" if $err =~ /\S/;
	my %found = map { $whose{$_} => 1 } split /\n/, $out;
	return [ sort map { s/^$filler(?:G*)-?//r } keys %found ];
}

sub pid_of { return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = '$_[0]'"); }

my $canary = Session->new($node, 'postgres');
my ($some) = grep { /refresh_token/ } sort keys %secrets;
$canary->ask("SELECT length(set_config('test.canary', '$some', false))");
like(join(' ', @{ found_in($canary->pid) }), qr/refresh_token/, 'what a process holds is found');

wait_until('the worker is idle', sub { $node->safe_psql('postgres', 'SELECT sum(in_flight) FROM appuser_connectors.provider_call_stats()') eq '0' });
is_deeply(found_in(pid_of('appuser_connectors worker')), [], 'nothing of all this is left in the worker\'s memory');
is_deeply(found_in(pid_of('appuser_connectors launcher')), [], 'nor in the launcher\'s');
is_deeply([ grep { $_ !~ /^code-|^access_token-/ } @{ found_in($service->pid) } ], [], 'a backend holds nothing but what its callers gave and got');
isnt($token, '', '(which was a token)');

$node->stop;
done_testing();
