# A storm: some hundreds of people, thousands of refreshes at a provider that rotates refresh
# tokens and ends the grant whose old one comes again, through kill -9 of worker and
# postmaster, immediate and fast stops, cut and spoiled answers.  In the end everybody either
# holds a grant that works, or has lost it by one answer that was destroyed between provider
# and disk: the provider's own log says that it was the last it gave, and that the provider cut
# it, or that a crash came before it can have been stored.  Each is counted; an orderly stop
# explains none.  Then the same where the provider takes the old token for a while longer, so
# that whoever sends it again loses nothing.
#
# REFRESHES and SEED (printed) come from the environment; test/check --full has more of them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use HTTP::Tiny;
use IPC::Run ();
use JSON::PP;
use List::Util qw(max min shuffle sum0);
use Session;
use Test::More;
use Time::HiRes qw(time usleep);

my $REFRESHES = $ENV{REFRESHES} || ($ENV{TEST_FULL} ? 10_000 : 1_500);
my $SEED = $ENV{SEED} || int(time() * 1000) % 2**31;
my $PEOPLE = 200;
my $CONNECTORS = 8;
my @STOPS = ('none', 'kill -9 of the worker', 'fast stop', 'kill -9 of the postmaster', 'end of the worker', 'immediate stop');
my $LATE = 1000;    # ms that an answer may take at most from the provider to the disk

srand $SEED;
diag "SEED=$SEED REFRESHES=$REFRESHES";

my $true = JSON::PP::true;
my $json = JSON::PP->new->utf8;
my $http = HTTP::Tiny->new(timeout => 60, keep_alive => 0);
my %client = map { ("app$_" => "the secret of app$_") } 1 .. $CONNECTORS;
my $provider = start_provider(tls => JSON::PP::false,
	clients => [ map { { client_id => $_, client_secret => $client{$_}, token_endpoint_auth_method => 'client_secret_basic' } } sort keys %client ]);
my $node = new_node('main', 'restart_after_crash = on', 'log_statement = none', 'max_connections = 50',
	"appuser_connectors.shutdown_timeout = '60s'", 'appuser_connectors.max_concurrent_requests_per_connector = 4');
my %connector = map { ("person$_" => 'app' . (1 + $_ % $CONNECTORS)) } 1 .. $PEOPLE;
my @crashes;       # how, from when until the worker was gone, and until all was settled (ms)
my %granted;       # by the provider's grants: entries of its log that gave tokens, in order
my %grant_of;      # the last grant of each person
my %count;         # what happened how often
my @unexplained;
my $latest = 0;    # ms from an answer that was sent to the crash in which it was lost

# ------------------------------------------------------------------- helpers
sub superuser { return $node->safe_psql('postgres', $_[0]); }

sub order
{
	my ($order) = @_;
	my $answer = $http->post($provider->url . '/__ctl', { content => $json->encode($order) });

	die "__ctl: $answer->{status} $answer->{content}" unless $answer->{success};
	return;
}

# Successful ones.  The page has a lot more, which takes long to decode.
sub refreshes
{
	my ($counts) = $http->get($provider->url . '/__ctl')->{content} =~ /"refresh_token":\{([^}]*)\}/;

	return ($counts // '') =~ /"ok":(\d+)/ ? $1 : 0;
}

my $read = 0;

sub read_log
{
	my $log = $json->decode($http->get($provider->url . "/__ctl/log?from=$read")->{content});

	$read += @$log;
	foreach my $entry (grep { $_->{path} eq '/token' && !$_->{error} && $_->{grant_id} } @$log)
	{
		push @{ $granted{ $entry->{grant_id} } }, $entry;
		$grant_of{ $entry->{account} } = $entry->{grant_id} if $entry->{grant_type} eq 'authorization_code';
	}
	return;
}

# One of a list of weight => value.
sub any
{
	my @choices = @_;
	my $point = rand(sum0(map { $choices[ 2 * $_ ] } 0 .. $#choices / 2));

	while (@choices > 2 && ($point -= $choices[0]) >= 0) { splice @choices, 0, 2 }
	return $choices[1];
}

# What befalls the requests of a round, before the provider acts, and its answers: at most
# a few are destroyed.
sub faults
{
	my ($how) = @_;
	my @before = map {
		any(80, {},
			10, { delay_ms => int rand 50 },
			3, { drop => $true },
			2, { status => 503, headers => { 'retry-after' => '1' }, body => 'busy' },
			1, { status => 429, headers => { 'retry-after' => '1' }, body => { error => 'slow_down' } },
			1, { status => 500, body => { error => 'server_error' } },
			2, { status => 200, headers => { 'content-type' => 'text/html' }, body => '<html>It works!</html>' })
	} 1 .. $PEOPLE;
	my @cut = map {
		any(2, { drop => $true }, 2, { truncate => $true }, 1, { status => 502, body => 'bad gateway' }, 1, { status => 200, body => 'garbage' })
	} 1 .. rand 4;
	my @after = shuffle(@cut, map { { delay_ms => 10 + int rand 60 } } @cut + 1 .. $PEOPLE);

	return [ map { { path => '/token', times => 1, %$_ } } @before, map { { when => 'after', %$_ } } @after ];
}

sub worker { return superuser(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'}) || die 'there is no worker'; }

sub wait_for_end
{
	my ($pid) = @_;

	wait_until('it is gone', sub { !kill 0, $pid });
	return;
}

my %stop = (
	'none' => sub { },
	'kill -9 of the worker' => sub { my ($worker) = @_; kill 'KILL', $worker; wait_for_end($worker) },
	'kill -9 of the postmaster' => sub { my ($worker) = @_; kill_postmaster($node); wait_for_end($worker) },
	'immediate stop' => sub { $node->stop('immediate') },
	'fast stop' => sub { $node->stop('fast') },
	'end of the worker' => sub { my ($worker) = @_; superuser("SELECT pg_terminate_backend($worker)"); wait_for_end($worker) });

sub answers
{
	start_again($node) if !defined $node->{_pid};
	wait_until('the server answers', sub { $node->psql('postgres', 'SELECT 1', on_error_die => 0, stdout => \my $out, stderr => \my $err) == 0 });
	return;
}

# What is made due by SQL the worker sees when something wakes it.
sub renew_all
{
	superuser("UPDATE appuser_connectors.connections SET refresh_at = now() WHERE status = 'connected'; SELECT pg_reload_conf()");
	return;
}

# Until nobody's refresh is under way or to be repeated; what would wait for longer is asked
# again at once.
sub settle
{
	wait_until('all is settled', sub {
			superuser(q{
				UPDATE appuser_connectors.connections SET refresh_at = now() WHERE status = 'connected' AND failures > 0 AND refresh_at > now();
				SELECT pg_reload_conf() \g /dev/null
				SELECT (SELECT count(*) FROM appuser_connectors.connections WHERE status = 'connected' AND (failures > 0 OR refresh_at <= now()))
					+ (SELECT count(*) FROM appuser_connectors.pending_answers)}) eq '0';
		});
	return;
}

# Why a grant was lost: by its last answer, which was the only one that was not stored.
sub explanation
{
	my ($person, $generation) = @_;
	my @answers = @{ $granted{ $grant_of{$person} } };
	my $last = $answers[-1];
	# the provider may come to a request when whoever sent it is long gone, and sends what it has
	# held back meanwhile to nobody
	my ($crash) = grep {
		$last->{at} <= (defined $last->{sent_at} ? $_->{gone} : $_->{settled}) && ($last->{sent_at} // $last->{at}) >= $_->{from} - $LATE
	} @crashes;

	return if @answers != $generation + 1;
	return 'cut or spoiled by the provider' if $last->{fault} && grep { exists $last->{fault}{$_} } qw(drop truncate status);
	return if !$crash;
	$latest = max($latest, $crash->{from} - $last->{sent_at}) if defined $last->{sent_at};
	return defined $last->{sent_at} ? "sent, and not stored before the $crash->{how}" : "under way to a worker that was gone by the $crash->{how}";
}

# Those who have lost their grants connect again.
sub take_stock
{
	my @lost = map { [ split /\|/ ] } split /\n/, superuser("SELECT app_user, generation FROM appuser_connectors.connections WHERE status <> 'connected'");

	read_log();
	foreach my $lost (@lost)
	{
		my ($person, $generation) = @$lost;
		my $why = explanation($person, $generation);

		$count{lost}++;
		if ($why) { $count{"lost: $why"}++ }
		else { push @unexplained, "$person: generation $generation, and the provider gave " . $json->encode($granted{ $grant_of{$person} }) }
	}
	connect_all($node, map { [ $_->[0], $connector{ $_->[0] } ] } @lost) if @lost;
	return;
}

sub run_round
{
	my ($how) = @_;
	my $worker = worker();
	my $until = refreshes() + $PEOPLE * (0.1 + rand 0.6);
	my @askers = map { Session->new($node, 'app_service') } 1 .. 2;

	$_->pid foreach @askers;
	order({ faults => faults($how) });
	renew_all();
	foreach my $asker (@askers)
	{
		# ahead of its time as well
		my @of = map { "person" . (1 + int rand $PEOPLE) } 1 .. 10;
		$asker->send(join "; ", map { "SELECT FROM appuser_connectors.app_user_connection('$_', '$connector{$_}', min_validity => '10 days')" } @of);
	}
	my $deadline = time() + 10;
	usleep(10_000) while refreshes() < $until && time() < $deadline;

	my $stop = { how => $how, from => time() * 1000 };
	$stop{$how}->($worker);
	$stop->{gone} = time() * 1000;
	$count{$how}++;
	answers();
	$_->close(rudely => 1) foreach @askers;
	settle();
	order({ faults => [] });
	settle();
	$stop->{settled} = time() * 1000;
	push @crashes, $stop if $how =~ /kill|immediate/;
	take_stock();
	return;
}

# One storm, and what is left after it
sub storm
{
	my ($name, $refreshes) = @_;
	my $first = refreshes();
	my $began = time();

	%count = ();
	@unexplained = ();
	for (my $round = 0; $round < @STOPS || refreshes() - $first < $refreshes; $round++) { run_round($STOPS[ $round % @STOPS ]) }
	my $done = refreshes() - $first;
	my $seconds = time() - $began;

	# what was asked for ahead of its time, and destroyed, comes to light by the next refresh
	renew_all();
	settle();
	take_stock();
	renew_all();
	settle();
	read_log();
	my %row = map { my @cells = split /\|/; ($cells[0] => \@cells) }
	  split /\n/, superuser('SELECT app_user, status, generation FROM appuser_connectors.connections');
	my %served = map { split /\|/ } split /\n/, query($node, 'app_service',
		join '; ', map { "SELECT '$_', access_token FROM appuser_connectors.app_user_connection('$_', '$connector{$_}')" }
		  grep { $row{$_}[1] eq 'connected' } sort keys %connector);
	my %live = map { $_->{grant_id} => { map { $_ => 1 } @{ $_->{access_tokens} } } } @{ $json->decode($http->get($provider->url . '/__ctl/grants')->{content}) };

	note sprintf '%s: %d refreshes of %d people in %.0f s', $name, $done, $PEOPLE, $seconds;
	note "$name: $_: $count{$_}" foreach sort keys %count;
	is_deeply([ grep { $row{$_}[1] ne 'connected' } sort keys %connector ], [], "$name: everybody's grant can be renewed once more");
	is_deeply([ grep { !$live{ $grant_of{$_} }{ $served{$_} // '' } } sort keys %connector ], [], "$name: what is served is what the provider gave last");
	cmp_ok($done, '>=', $refreshes, "$name: $done refreshes");
	is(scalar(grep { !$count{$_} } @STOPS), 0, "$name: through stops of each kind");
	return \%row;
}

register($node, $provider, provider => $_, connector_id => $_, client_id => $_, client_secret => $client{$_}, scopes => [qw(openid read)]) foreach sort keys %client;
connect_all($node, map { [ $_, $connector{$_} ] } sort keys %connector);

# ------------------------------------------------- where the old token ends the grant
my $row = storm('strict', $REFRESHES);
is_deeply(\@unexplained, [], 'strict: nobody has lost a grant but by an answer that was destroyed between provider and disk (' . ($count{lost} // 0) . ' have)');
is_deeply([ grep { $row->{$_}[2] != @{ $granted{ $grant_of{$_} } } } sort keys %connector ], [], 'strict: each answer was stored, once');
cmp_ok($count{'lost: cut or spoiled by the provider'} // 0, '>', 0, 'strict: that an answer was destroyed is noticed');
note sprintf 'of the answers that a crash destroyed, none had been sent for more than %.0f ms', $latest;

# ------------------------------------------------- where it is good for a while longer
order({ set => { grace => 600 } });
$row = storm('graceful', $REFRESHES / 2);
is($count{lost} // 0, 0, 'graceful: nobody has lost a grant');
cmp_ok(scalar(grep { $row->{$_}[2] < @{ $granted{ $grant_of{$_} } } } sort keys %connector), '>', 0, 'graceful: though answers were destroyed');

$node->stop;
$provider->stop;
done_testing();
