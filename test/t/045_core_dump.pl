# What a core dump of a process would show: of the worker, none of the secrets that
# went through it, once it is idle; of a backend, none but what was its caller's own.
# The keys are another matter: they are in memory for as long as the server runs.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use IPC::Run;
use PostgreSQL::Test::Utils qw(slurp_file);
use Session;
use Test::More;

my $dumps = PostgreSQL::Test::Utils::tempdir('dumps');
my $work = PostgreSQL::Test::Utils::tempdir('work');
system('gcc', '-shared', '-fPIC', '-o', "$work/dump_memory.so", "$FindBin::RealBin/../provider/dump_memory.c") == 0 or die 'gcc failed';

my %secret = (basic => 'SecretOfTheBasicClient-0123456789', post => 'SecretOfThePostingClient-0123456789');
my $provider = start_provider(access_token_ttl => 3600, clients => [ map { { client_id => $_, client_secret => $secret{$_},
			token_endpoint_auth_method => "client_secret_$_" } } sort keys %secret ]);
my $fault = start_fault_server(proxy_to => $provider);
my $node;
{
	local $ENV{DUMP_DIRECTORY} = $dumps;
	local $ENV{LD_PRELOAD} = "$work/dump_memory.so";
	# shared memory has the texts of statements, which have secrets here, otherwise
	$node = new_node('main', 'track_activities = off');
}

# Everything is sent through the fault server, which remembers what it was asked.
register($node, $fault, provider => $_, connector_id => $_, client_id => $_, client_secret => $secret{$_},
	definition => { %{ $provider->definition }, (map { $_ => $fault->url . ($provider->definition->{$_} =~ s{^https?://[^/]+}{}r) } qw(token_endpoint revocation_endpoint)),
		token_endpoint_auth_method => "client_secret_$_" })
  foreach sort keys %secret;

# ---------------------------------------------------------------- the flows
my $service = Session->new($node, 'app_service');

sub as { my ($app_user, $sql) = @_; return $service->ask("BEGIN; SELECT appuser_connectors.set_app_user('$app_user') \\g /dev/null\n$sql; COMMIT"); }

sub connect_by_session
{
	my ($app_user, $connector) = @_;
	my ($url) = as($app_user, "SELECT appuser_connectors.connect_app_user('$connector')") =~ /(https\S+)/;
	my $back = log_in($url, $app_user);

	return as($app_user, "SELECT failure FROM appuser_connectors.oauth_callback('$back->{state}', '$back->{code}', iss => '$back->{iss}')");
}

foreach my $connector (sort keys %secret)
{
	foreach my $app_user ('alice', 'bob')
	{
		unlike(connect_by_session($app_user, $connector), qr/[a-z]_[a-z]/, "$app_user connects $connector");
	}
	my $token = access_token($node, 'alice', $connector);
	isnt(access_token($node, 'alice', $connector, rejected_token => $token), $token, 'alice\'s token is refreshed');
}

# Answers that cannot be used, of which one is large; one that cannot be applied at once
foreach my $rule ({ status => 400, echo => JSON::PP::true }, { status => 200, echo => JSON::PP::true }, { truncate => JSON::PP::true },
	{ proxyTo => undef, status => 200, body => { access_token => 'AccessTokenOfALongAnswer-0123456789', token_type => 'odd', filler => 'x' x 60_000 } })
{
	$fault->rules({ path => '/token', times => 1, exists $rule->{status} ? () : (proxyTo => $provider->url), %$rule });
	connect_by_session('carol', 'basic');
}
$fault->rules();
my $holder = Session->new($node, 'postgres');
$holder->ask('BEGIN; SELECT FROM appuser_connectors.connections FOR UPDATE');
my $token = access_token($node, 'alice', 'post');
my $asker = Session->new($node, 'app_service');
$asker->send("SELECT FROM appuser_connectors.app_user_connection('alice', 'post', rejected_token => '$token')");
wait_until('the answer is kept', sub { $node->safe_psql('postgres', 'SELECT count(*) FROM appuser_connectors.pending_answers') eq '1' });
$holder->ask('COMMIT');
$asker->answer;
as('bob', "SELECT appuser_connectors.disconnect_app_user('$_')") foreach sort keys %secret;
wait_until('the tokens are revoked', sub { $node->safe_psql('postgres', 'SELECT count(*) FROM appuser_connectors.revocations') eq '0' });

# ------------------------------------------------------------- what to look for
my $issued = $provider->ctl('/issued');
my @requests = map { $_->{body} // '' } $fault->requests('/token');
my %secrets = (
	'client secret' => [ values %secret ],
	'authorization code' => $issued->{codes},
	'code verifier' => [ map { /(?:^|&)code_verifier=([^&]+)/ ? $1 : () } @requests ],
	'access token' => [ @{ $issued->{access_tokens} }, 'AccessTokenOfALongAnswer-0123456789' ],
	'refresh token' => $issued->{refresh_tokens},
	'ID token' => $issued->{id_tokens});
cmp_ok(scalar(@{ $secrets{$_} }), '>=', 2, "there is something to look for: $_") foreach sort keys %secrets;

my %kind_of;
foreach my $kind (keys %secrets)
{
	$kind_of{ substr $_, -20 } = $kind_of{ substr $_, 0, 20 } = $kind foreach @{ $secrets{$kind} };
}
# that all ID tokens begin with
delete $kind_of{ substr $_, 0, 20 } foreach @{ $secrets{'ID token'} };
open my $patterns, '>:raw', "$work/patterns" or die $!;
print $patterns "$_\n" foreach keys %kind_of;
close $patterns;

# Kinds of secrets in the memory of a process, how often
sub found_in
{
	my ($pid) = @_;
	my ($out, $err, %found);

	unlink "$dumps/$pid";
	kill 'RTMIN', $pid or die "$pid: $!";
	wait_until("$pid has dumped its memory", sub { -e "$dumps/$pid" });
	local $ENV{LC_ALL} = 'C';
	IPC::Run::run([ 'grep', '-aoF', '-f', "$work/patterns", "$dumps/$pid" ], '>', \$out, '2>', \$err);
	die "grep: $err" if $err =~ /\S/;
	$found{ $kind_of{$_} }++ foreach split /\n/, $out;
	return \%found;
}

sub pid_of { return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = '$_[0]'"); }

# ------------------------------------------------------ first, that it is found
my $canary = Session->new($node, 'postgres');
$canary->ask("SELECT set_config('test.canary', '" . $secrets{'refresh token'}[0] . "', false)");
cmp_ok(found_in($canary->pid)->{'refresh token'} // 0, '>', 0, 'what a process holds is found');

# ---------------------------------------------------------------------- and now
my $worker = pid_of('appuser_connectors worker');
wait_until('the worker is idle', sub {
		$node->safe_psql('postgres', "SELECT sum(in_flight) FROM appuser_connectors.provider_call_stats()") eq '0' });
is_deeply(found_in($worker), {}, 'the idle worker holds no secret that went through it');
is_deeply(found_in(pid_of('appuser_connectors launcher')), {}, 'nor does the launcher');
my $found = found_in($service->pid);
is_deeply([ grep { $_ ne 'authorization code' && $_ ne 'access token' } sort keys %$found ], [], 'a backend holds nothing but what its callers gave and got');
is_deeply(found_in($holder->pid), {}, 'another one nothing');

$node->stop;
done_testing();
