# The gateway in operation: a server that restarts or is replaced by its standby is not noticed by those who read, a stop is in order, one slow
# provider or one person takes the pool from nobody, there are figures, and no secret is in the log.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Gateway;
use IO::Socket::INET;
use IPC::Run ();
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PsqlSession;
use Test::More;
use Time::HiRes qw(time);

plan skip_all => Gateway::lacking() if Gateway::lacking();

my $node = new_node('main', 'wal_level = replica', 'max_wal_senders = 4', 'wal_keep_size = 64MB');
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

my $gateway = Gateway->new($node, standbys => [$standby], pool_size => 4, log_level => 'debug', requests_per_minute => 100_000, flows_per_minute => 100_000,
	metrics_token => 'the-token-for-metrics', metrics_port => PostgreSQL::Test::Cluster::get_free_port(), admin_database => Gateway::database('app_admin', $node, $standby));
my $provider = start_provider(tls => JSON::PP::false, redirect_uris => [ $gateway->callback_url ]);
register($node, $provider, connector_id => $_, redirect_uris => [ $gateway->callback_url ]) foreach qw(files slow);
$node->safe_psql('postgres', "ALTER ROLE app_admin SET log_statement = 'all'");
# to begin with, at a server that takes no writes
$gateway->start(map { $_ . '_database' => Gateway::database({ user => 'app_user_role', service => 'app_service', admin => 'app_admin' }->{$_}, $standby, $node) } qw(user service admin));

my %secret;

sub remember
{
	my ($what, $value) = @_;
	$secret{$value} //= $what if defined $value && length $value >= 16;
	return $value;
}

foreach my $person (qw(alice bob))
{
	my $began = $gateway->initiate($person, 'files');
	is($began->{status}, 200, "$person: of two servers the one that takes writes is found");
	my $address = $gateway->come_back($began, $person);
	my $finished = $gateway->ask($address, cookies => $began->{cookies});
	is($finished->{status}, 303, "$person is connected");
	remember(cookie => $_) foreach map { (split /\./, $_)[0] } values %{ $began->{cookies} };
	remember(state => url_parameters($address)->{state});
	remember(code => url_parameters($address)->{code});
}

my %jwt;

# Requests for tokens at the same time, by each person's JWT ("alice 2": by another of hers); what they answer, when all have
sub begin_reads
{
	my ($connector, @people) = @_;
	my @reads;

	foreach my $person (@people)
	{
		my $read = { person => $person =~ s/ .*//r, out => '' };
		$read->{jwt} = $jwt{$person} //= remember('JWT', Gateway::jwt($read->{person}));
		$read->{run} = IPC::Run::start([ 'curl', '-s', '--max-time', 60, '-w', '\n%{http_code} %{time_total}', '-H', "Authorization: Bearer $Gateway::service_secret", '-H', "On-Behalf-Of: Bearer $read->{jwt}",
				$gateway->url . Gateway::connector_path($connector) . '/token' ], '<', \undef, '>', \$read->{out});
		push @reads, $read;
	}
	return @reads;
}

sub finish_reads
{
	foreach my $read (@_)
	{
		$read->{run}->finish;
		my ($body, $status, $time) = $read->{out} =~ /\A(.*)\n(\d+) ([\d.]+)\z/s;
		@$read{qw(status time json)} = ($status, $time, eval { decode($body) });
		remember('access token', $read->{json}{access_token});
	}
	return @_;
}

sub all_are_served
{
	my ($what, @reads) = @_;
	my @wrong = grep { $_->{status} != 200 || userinfo($provider, $_->{json}{access_token})->{sub} ne $_->{person} } finish_reads(@reads);

	is(scalar @wrong, 0, $what) or diag(join "\n", map { $_->{out} } @wrong);
	return;
}

sub in_pool { return $_[0]->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'appuser_connectors gateway'" . ($_[1] // '')); }

# ------------------------------------------------ connections that break

all_are_served('several at once', begin_reads('files', qw(alice bob alice bob)));
cmp_ok(in_pool($node), '>=', 2, 'connections are kept');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'appuser_connectors gateway'");
all_are_served('after all were ended', begin_reads('files', qw(alice bob)));
is($gateway->initiate('alice', 'files')->{status}, 200, 'a flow can be begun as well');
$node->restart;
all_are_served('after a restart', begin_reads('files', qw(alice bob)));
is($gateway->disconnect('carol', 'files')->{status}, 200, 'others can work too');

my @reads = (begin_reads('files', qw(alice)));
finish_reads(@reads);
$provider->order({ faults => [ { path => '/token', hold => JSON::PP::true, times => 1 } ] });
$node->safe_psql('postgres', "UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 s' WHERE app_user = 'alice'");
@reads = begin_reads('files', qw(alice));
wait_until('one waits for the provider', sub { $provider->ctl->{held} >= 1 });
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'appuser_connectors gateway' AND state = 'active'");
$provider->order({ release => JSON::PP::true, faults => [] });
all_are_served('one whose connection was ended while it waited for the provider', @reads);

# A server that ends at once says nothing to who waits for its answer.
my $locker = PsqlSession->new($node);
$locker->ask('BEGIN; LOCK TABLE appuser_connectors.connections');
@reads = begin_reads('files', qw(alice));
wait_until('one waits for its answer', sub { in_pool($node, " AND wait_event_type = 'Lock'") > 0 });
$node->stop('immediate');
is($gateway->ask('/healthz')->{status}, 200, 'a connection that breaks without a word ends the gateway not');
$node->start;
all_are_served('nor what waited on it', @reads);

# ------------------------------------------------------- places for others

$gateway->connect($_, 'slow') foreach qw(s1 s2 s3 s4 s5);
$gateway->connect('s1', 'files');
all_are_served('before', begin_reads('files', 's1', 's1 2'));
$node->safe_psql('postgres', "UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 s' WHERE connector_id = 'slow'");
$provider->order({ faults => [ { path => '/token', hold => JSON::PP::true } ] });
my @slow = begin_reads('slow', qw(s1 s1 s1 s1 s2 s3 s4 s5 s2 s3 s4 s5));
wait_until('they wait for the provider', sub { $provider->ctl->{held} >= 3 });
@reads = finish_reads(begin_reads('files', 'bob', 's1 2'));
is($reads[0]{status}, 200, 'a connector whose provider does not answer leaves places for others') or diag($reads[0]{out});
cmp_ok($reads[0]{time}, '<', 2, 'who do not wait');
is($reads[1]{status}, 503, 'a person who waits with many has none left, by whichever JWT') or diag($reads[1]{out});
is($reads[1]{json}{error}{code}, 'busy', 'and is told so');
is($gateway->initiate('dave', 'files')->{status}, 200, 'people begin flows meanwhile');
$provider->order({ release => JSON::PP::true, faults => [] });
finish_reads(@slow);
is_deeply([ sort keys %{ { map { $_->{status} => 1 } @slow } } ], [qw(200 503)], 'each has a token, or was told to come back');
all_are_served('then all places are free', begin_reads('slow', qw(s1 s2 s3 s4 s5)));

# callbacks too leave places for who has a token to fetch, whatever the cookie says of the connector
$provider->order({ faults => [ { path => '/token', hold => JSON::PP::true } ] });
my @callbacks;
foreach my $i (1 .. 6)
{
	my $began = $gateway->initiate("c$i", 'slow');
	my $address = $gateway->come_back($began, "c$i");
	my $cookie = join '; ', map { "$_=" . $began->{cookies}{$_} =~ s/\..*/.forged$i/r } keys %{ $began->{cookies} };

	push @callbacks, IPC::Run::start([ 'curl', '-s', '--max-time', 60, '-o', '/dev/null', '-H', "Cookie: $cookie", $address ], '<', \undef);
}
wait_until('they wait for the provider', sub { $provider->ctl->{held} >= 1 });
all_are_served('callbacks leave places', begin_reads('files', qw(bob alice)));
$provider->order({ release => JSON::PP::true, faults => [] });
$_->finish foreach @callbacks;

# ----------------------------------------------------------------- figures

my $port = $gateway->{settings}{metrics_port};
is($gateway->ask('/metrics')->{status}, 401, 'figures are not for the world');
is($gateway->ask('/metrics', jwt => 'another-token-for-metrics')->{status}, 401, 'nor for who has another token');
is($gateway->ask('/metrics', jwt => $Gateway::service_secret)->{status}, 401, 'nor the service\'s');
my $metrics = $gateway->ask('/metrics', jwt => 'the-token-for-metrics');
is($metrics->{status}, 200, 'they are for whoever has the token');
like($metrics->{head}, qr{^content-type: text/plain; version=0\.0\.4}mi, 'as Prometheus asks for them');
my ($status, $own) = http("http://127.0.0.1:$port/metrics");
is($status, 200, 'or at the port of their own');
is((http("http://127.0.0.1:$port/api/external-auth/callback"))[0], 404, 'which has nothing else');
ok(!IO::Socket::INET->new(PeerHost => $_, PeerPort => $port, Timeout => 2), "and is not at $_") foreach grep { /^(?!127)\d/ } split ' ', `hostname -I 2>/dev/null` // '';

# What promtool would say of it
my (%type, %sample, @faults);
foreach (split /\n/, $metrics->{body})
{
	if (/^# HELP ([a-z_:]+) \S/) { push @faults, "twice: $1" if $type{$1}; $type{$1} = 'untyped'; next }
	if (/^# TYPE ([a-z_:]+) (counter|gauge|histogram)$/) { push @faults, "no help: $1" unless $type{$1}; $type{$1} = $2; next }
	my ($name, $labels, $value) = /^([a-z_:]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? (-?[\d.e+-]+|[+-]Inf|NaN)$/ or do { push @faults, "not a sample: $_"; next };
	my $family = $name =~ s/_(?:bucket|sum|count)$//r;
	my $type = $type{$name} // $type{$family};
	push @faults, "no type: $name" unless $type;
	push @faults, "a counter that is not called so: $name" if ($type // '') eq 'counter' && $name !~ /_total$/;
	push @faults, "twice: $_" if exists $sample{ $name . ($labels // '') };
	$sample{ $name . ($labels // '') } = $value;
}
is_deeply(\@faults, [], 'every line can be read');
my ($bucket) = grep { /_bucket\{.*token.*status="200",le="\+Inf"/ } keys %sample;
my $count = $bucket =~ s/_bucket/_count/r =~ s/,le="\+Inf"//r;
cmp_ok($sample{$count}, '>=', 10, 'reads are counted');
is($sample{$bucket}, $sample{$count}, 'all of them in a bucket');
is($sample{appuser_connectors_up}, 1, 'the database answers');
cmp_ok($sample{'appuser_connectors_calls_total{kind="exchange",result="succeeded"}'}, '>=', 2, 'calls to providers are counted');
is($sample{'appuser_connectors_health{name="root key"}'}, 1, 'the root key is well');
is($sample{'appuser_connectors_health{name="allow_insecure_loopback"}'}, 0, 'what an administrator should look at is 0');
ok(exists $sample{$_}, $_) foreach 'appuser_connectors_refreshes_due', 'appuser_connectors_oldest_due_seconds', 'gateway_requests_waiting', 'gateway_database_connections{role="service",state="idle"}', 'process_resident_memory_bytes';
my $offset = -s $node->logfile;
http("http://127.0.0.1:$port/metrics") foreach 1 .. 20;
my $statements = () = PostgreSQL::Test::Utils::slurp_file($node->logfile, $offset) =~ /execute [^\n]*\n?[^\n]*\n?[^\n]*pg_stat_appuser_connectors/g;
cmp_ok($statements, '<=', 1, 'however often they are asked for, the database is asked every few seconds');
unlike($gateway->ask('/healthz')->{body}, qr/calls|version|memory/, 'what everybody may ask has none');

# ---------------------------------------------------------- the failover

$node->wait_for_catchup('standby', 'replay', $node->lsn('flush'));
$node->stop('immediate');
@reads = begin_reads('files', qw(alice bob s1));
is($gateway->ask('/healthz')->{status}, 200, 'the server is gone: the gateway lives');
wait_until('it says that it cannot work', sub { $gateway->ask('/healthz?database')->{status} == 503 });
$standby->promote;
all_are_served('those who came while there was no server are served by the one that takes its place', @reads);
all_are_served('and those who come then', begin_reads('files', qw(alice bob)));
is($gateway->initiate('dave', 'files')->{status}, 200, 'who may begin flows');
wait_until('all is well', sub { $gateway->ask('/healthz?database')->{status} == 200 });

# -------------------------------------------------------- a stop in order

$provider->order({ faults => [ { path => '/token', hold => JSON::PP::true, times => 1 } ] });
$standby->safe_psql('postgres', "UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 s' WHERE app_user = 'bob'");
@reads = begin_reads('files', 'bob');
wait_until('one waits for the provider', sub { $provider->ctl->{held} >= 1 });
kill 'TERM', $gateway->pid;
wait_until('nobody is let in any more', sub { !IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $gateway->{settings}{port}) });
ok(!$gateway->ended, 'it waits for whom it serves');
$provider->order({ release => JSON::PP::true, faults => [] });
all_are_served('who is served to the end', @reads);
is($gateway->wait, 0, 'then it ends, as it should');
wait_until('its connections are closed', sub { in_pool($standby) == 0 });
like($gateway->log, qr/"msg":"stopped"/, 'and says so');

$gateway->start(stop_seconds => 1);
$provider->order({ faults => [ { path => '/token', hold => JSON::PP::true, times => 1 } ] });
$standby->safe_psql('postgres', "UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 s' WHERE app_user = 'bob'");
@reads = begin_reads('files', 'bob');
wait_until('one waits for the provider', sub { $provider->ctl->{held} >= 1 });
is($gateway->stop, 1, 'but not for ever: then its status says so');
$provider->order({ release => JSON::PP::true, faults => [] });
finish_reads(@reads);

# ---------------------------------------------------- a database that is gone

$gateway->start(failover_seconds => 1);
all_are_served('it is there again', begin_reads('files', 'bob'));
$standby->stop('fast');
my $answer = $gateway->token('bob', 'files');
is("$answer->{status} $answer->{json}{error}{code}", '503 08006', 'without any server it says so');
like($answer->{head}, qr/^retry-after: \d/mi, 'and when to come back');
is($gateway->initiate('bob', 'files')->{status}, 503, 'to those who would begin as well');
is((split / /, (grep { /^appuser_connectors_up/ } split /\n/, $gateway->ask('/metrics', jwt => 'the-token-for-metrics')->{body})[0])[1], 0, 'and to whoever watches');
$standby->start;
wait_until('it is served', sub { $gateway->token('bob', 'files')->{status} == 200 });

# ------------------------------------------------------------ a log without secrets

remember(secret => $Gateway::service_secret);
remember(token => 'the-token-for-metrics');
$gateway->ask("/?$_=" . remember(query => "secret-in-a-query-$_"), jwt => remember(header => "secret-in-a-header-$_"), cookies => { c => remember(cookie => "secret-in-a-cookie-$_") }) foreach 1 .. 2;
$gateway->ask('/api/external-auth/callback', method => 'POST', form => 'state=' . remember(form => 'secret-in-a-form-1'));
$gateway->initiate('alice', 'files', json => { return_to => remember(body => 'https://evil.example/secret-in-a-body') });
$gateway->ask('/nowhere/' . remember(path => 'secret-in-a-path'));
my $log = $gateway->log;
my @told = grep { index($log, $_) >= 0 } keys %secret;
is(join(', ', map { $secret{$_} } @told), '', 'no secret is in the log, of ' . keys %secret);
my @lines = map { eval { decode($_) } // { bad => $_ } } split /\n/, $log;
is_deeply([ map { $_->{bad} } grep { $_->{bad} } @lines ], [], 'each line of which is JSON');
my ($line) = grep { ($_->{req}{route} // '') =~ /token$/ && ($_->{res}{status} // 0) == 200 } @lines;
is_deeply([ sort keys %$line ], [qw(level ms msg req reqId res time)], 'a request is told by its id, route and status');
my ($id) = $answer->{head} =~ /^x-request-id: (\S+)/mi;
is(scalar(grep { ($_->{reqId} // '') eq $id } @lines), 2, 'the id that the answer has');
like($answer->{json}{instance}, qr/\Q$id\E/, 'also in its body');

is($gateway->stop, 0, 'it stops in order');

# whoever reads the log may go away
my $fifo = PostgreSQL::Test::Utils::tempdir . '/log';
POSIX::mkfifo($fifo, 0600) or die $!;
my $reader = IPC::Run::start([ 'head', '-n', '3', $fifo ], '>', '/dev/null');
{
	local $gateway->{file} = $fifo;
	no warnings 'redefine';
	local *Gateway::log = sub { '"msg":"ready"' };
	local *PostgreSQL::Test::Utils::append_to_file = sub { };
	$gateway->start;
}
wait_until('it listens', sub { IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $gateway->{settings}{port}) });
$gateway->ask('/healthz') foreach 1 .. 4;
$reader->finish;
is($gateway->token('bob', 'files')->{status}, 200, 'whose log nobody reads any more goes on');
is($gateway->stop, 0, 'and stops in order');

$standby->stop;
done_testing();
