# Tokens that never die: hundreds of rounds of refreshes, connects and disconnects,
# while callers roll back, are cancelled and terminated, rows are held by others,
# the worker is terminated and killed, the server is stopped in the middle, and the
# provider delays, drops, repeats and garbles its answers.  Then the provider's own
# record of grants is compared with ours.  What the provider did and we have not is
# excused only where its answer was destroyed on the way, at a moment that the run
# has written down; where the provider grants a grace period nothing is lost at all.
#
# ROUNDS and SEED (printed) come from the environment; test/check --full has more of both.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use HTTP::Tiny;
use JSON::PP;
use List::Util qw(max sum0);
use POSIX qw(ceil);
use PostgreSQL::Test::Utils ();
use Session;
use Test::More;
use Time::HiRes qw(time usleep);

my $ROUNDS = $ENV{ROUNDS} || 200;
my $SEED = $ENV{SEED} || int(time() * 1000) % 2**31;
my $CONNECTORS = 8;
my $PROXIED = 2;      # of them, whose token endpoint is reached through the fault server
my $KILLS = ceil($ROUNDS / 104);    # in each half of the run
my $STOPS = ceil($ROUNDS / 174);
my $TERMINATIONS = ceil($ROUNDS / 44);
my $GRACE = 300;      # s
my $DRAIN = 0.5;      # s, in which a worker that is told to end surely takes an answer

srand $SEED;
diag "SEED=$SEED ROUNDS=$ROUNDS";

my $http = HTTP::Tiny->new(timeout => 20, keep_alive => 0);    # which would wait for delayed acknowledgements
my $json = JSON::PP->new->utf8;
my $true = JSON::PP::true;

my $node = new_node('main',
	'restart_after_crash = on', 'log_statement = none', 'log_min_error_statement = panic', 'log_min_messages = debug1',
	'appuser_connectors.request_timeout = 4s', 'appuser_connectors.connect_timeout = 2s', 'appuser_connectors.wait_timeout = 3s');

my $provider;       # of this half
my $proxy;
my $grace;
my @connections;    # {connector, app_user, wanted, story => {grant id => what became of it}, current}
my @destroyed;      # {connector or undef, from, to, why}: answers may have been destroyed then
my @lost;           # {connection, at}: grants that were lost
my %pool;           # idle sessions, by role
my %count;          # what happened how often

sub order
{
	my ($server, $order) = @_;
	my $answer = $http->post($server->url . '/__ctl', { content => $json->encode($order) });

	die "__ctl: $answer->{status} $answer->{content}" unless $answer->{success};
	return $json->decode($answer->{content});
}

sub look
{
	my ($server, $page) = @_;

	return $json->decode($http->get($server->url . "/__ctl$page")->{content});
}

# One of a list of weight => value.
sub any
{
	my @choices = @_;
	my $point = rand(sum0(map { $choices[ 2 * $_ ] } 0 .. $#choices / 2));

	while (@choices > 2 && ($point -= $choices[0]) >= 0) { splice @choices, 0, 2 }
	return $choices[1];
}

sub chance { return rand() < $_[0]; }

sub session
{
	my ($role) = @_;

	return pop @{ $pool{$role} } // Session->new($node, $role, settings => { 'client_min_messages' => 'error' });
}

sub give_back
{
	my ($session) = @_;

	if ($session->{dead}) { $session->close(rudely => 1) }
	else { push @{ $pool{ $session->{role} } }, $session }
	return;
}

sub super
{
	my ($sql) = @_;
	my $session = session('postgres');
	my $out = $session->ask($sql);

	give_back($session);
	return $out;
}

sub key
{
	my ($c) = @_;
	return "connector_id = '$c->{connector}' AND app_user = '$c->{app_user}'";
}

# What may befall a call at the provider: [whether the answer is destroyed, order of server.mjs]
sub provider_fault
{
	my ($server) = @_;
	my $ms = 10 + int rand 150;

	# what a worker has in the air when it ends is what matters then
	return [ 0, { hold => $true, when => 'after' } ] if $server ne 'none' && chance(0.6);
	return any(
		30, undef,
		10, [ 0, { delay_ms => $ms } ],
		10, [ 0, { delay_ms => $ms, when => 'after' } ],
		8, [ 0, { hold => $true } ],
		12, [ 0, { hold => $true, when => 'after' } ],
		8, [ 0, { drop => $true } ],
		4, [ 0, { status => 500, body => { error => 'server_error' } } ],
		4, [ 0, { status => 503, headers => { 'retry-after' => '1' }, body => 'busy' } ],
		4, [ 0, { status => 429, headers => { 'retry-after' => '1' }, body => { error => 'slow_down' } } ],
		6, [ 0, { status => 200, body => '<html>It works!</html>' } ],
		2, [ 0, { status => 200, body => '{"access_token": "' } ],
		3, [ 1, { drop => $true, when => 'after' } ],
		1, [ 1, { status => 502, body => 'bad gateway', when => 'after' } ],
		1, [ 1, { status => 200, body => 'garbage', when => 'after' } ]);
}

# And on the way, by fault-server.mjs
sub proxy_fault
{
	return any(
		20, undef,
		20, [ 0, { proxyTo => $provider->url, duplicate => $true } ],
		10, [ 0, { proxyTo => $provider->url, closeAfter => $true } ],
		10, [ 0, { proxyTo => $provider->url, delayMs => 10 + int rand 150 } ],
		6, [ 0, { raw => "HTTP/1.1 what\r\n\r\n" } ],
		6, [ 0, { reset => $true } ],
		2, [ 1, { proxyTo => $provider->url, truncate => $true } ],
		2, [ 1, { proxyTo => $provider->url, reset => $true } ]);
}

sub proxied { return $_[0]->{connector} =~ /-p/; }

sub inflict
{
	my ($server, @calls) = @_;
	my (@faults, @rules);

	foreach my $call (@calls)
	{
		my $fault = $call->{fault} = proxied($call->{of}) ? proxy_fault() : provider_fault($server) or next;
		if (proxied($call->{of})) { push @rules, { path => '/token', method => 'POST', times => 1, %{ $fault->[1] } } }
		else { push @faults, { path => '/token', client_id => $call->{of}{connector}, times => 1, %{ $fault->[1] } } }
		$call->{held} = $fault->[1]{hold};
	}
	order($provider, { faults => \@faults });
	$proxy->rules(@rules) if @rules;
	return;
}

# The steps of a round

sub authorize
{
	my ($c) = @_;
	my $url = authorization_url($node, $c->{app_user}, $c->{connector});
	my $parameters = log_in($url, $c->{app_user});
	my ($new) = grep { $_->{account} eq $c->{app_user} && !$c->{story}{ $_->{grant_id} } } @{ look($provider, '/grants') };

	$c->{story}{ $new->{grant_id} } = 'unconfirmed';
	return ($parameters, $new->{grant_id});
}

# What is done to one connection in a round, and what befalls it meanwhile.
sub prepare
{
	my ($c) = @_;
	my %call = (of => $c, row => 'free');
	my $deed = $c->{wanted} eq 'connected' ? any(70, 'refresh', 10, 'disconnect', 8, 'connect') : 'connect';

	$call{deed} = $deed;
	$call{caller} = any(50, 'COMMIT', 15, 'ROLLBACK', 12, 'cancel', 12, 'terminate', 6, 'timeout', $deed eq 'disconnect' ? 0 : 5, 'leave');
	$call{refresh} = "SELECT access_token FROM appuser_connectors.app_user_connection('$c->{app_user}', '$c->{connector}')"
	  if $deed eq 'refresh' || ($c->{wanted} eq 'connected' && chance(0.6));
	$call{row} = any(70, 'free', 8, 'held COMMIT', 8, 'held ROLLBACK',
		$deed eq 'refresh' ? (6, 'disconnect COMMIT', 6, 'disconnect ROLLBACK') : ())
	  if $c->{wanted} eq 'connected';
	if ($deed eq 'refresh')
	{
		$call{askers} = chance(0.2) ? 3 : 1;
	}
	elsif ($deed eq 'disconnect')
	{
		$call{sql} = "SELECT appuser_connectors.disconnect_app_user('$c->{connector}')";
	}
	else
	{
		my ($parameters, $grant) = authorize($c);

		$call{grant} = $grant;
		$call{sql} = "SELECT coalesce(failure, 'success') FROM appuser_connectors.oauth_callback('$parameters->{state}', code => '$parameters->{code}', iss => '$parameters->{iss}')";
	}
	$count{$deed}++;
	return \%call;
}

sub send_as
{
	my ($call, $sql) = @_;
	my $session = session('app_service');
	my $timeout = $call->{caller} eq 'timeout' ? 'SET LOCAL statement_timeout = ' . (5 + int rand 60) . '; ' : '';
	my $end = $call->{caller} eq 'ROLLBACK' ? 'ROLLBACK' : 'COMMIT';

	$session->pid;
	$session->send("BEGIN; SELECT appuser_connectors.set_app_user('$call->{of}{app_user}') \\g /dev/null\n$timeout$sql; $end");
	return $session;
}

# Somebody takes the row, and a refresh begins.
sub begin
{
	my ($call) = @_;
	my $c = $call->{of};

	if ($call->{row} ne 'free')
	{
		my $disconnects = $call->{row} =~ /disconnect/;

		$call->{holder} = session($disconnects ? 'app_service' : 'postgres');
		$call->{holder}->ask('BEGIN; ' . ($disconnects
				? "SELECT appuser_connectors.set_app_user('$c->{app_user}') \\g /dev/null\nSELECT appuser_connectors.disconnect_app_user('$c->{connector}')"
				: 'SELECT FROM appuser_connectors.connections WHERE ' . key($c) . ' FOR UPDATE'));
	}
	$call->{sessions} = [ map { send_as($call, $call->{refresh}) } 1 .. $call->{askers} // 1 ] if $call->{refresh};
	return;
}

# What comes on top of the refresh.
sub go_on
{
	my ($call) = @_;

	unshift @{ $call->{sessions} }, send_as($call, $call->{sql}) if $call->{sql};
	return;
}

sub disturb_caller
{
	my ($call) = @_;
	my ($session) = @{ $call->{sessions} };

	$count{"caller: $call->{caller}"}++;
	super("SELECT pg_cancel_backend($session->{backend})") if $call->{caller} eq 'cancel';
	super("SELECT pg_terminate_backend($session->{backend})") if $call->{caller} eq 'terminate';
	$session->close(rudely => 1) if $call->{caller} eq 'leave';
	return;
}

sub worker_pid
{
	return super(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker' AND datname = 'postgres'});
}

sub forget_sessions
{
	foreach my $session (map { @$_ } values %pool) { $session->close(rudely => 1) }
	%pool = ();
	return;
}

# Kills the worker, the cluster, or neither; returns how long an answer may have been too late.
sub disturb_server
{
	my ($how) = @_;

	$count{$how}++;
	if ($how eq 'terminate worker')
	{
		super(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'});
		return;
	}
	if ($how eq 'kill -9')
	{
		my $worker = worker_pid() || return;

		kill 'KILL', $worker;
		wait_until('the server has noticed', sub { !kill 0, $worker });
	}
	else
	{
		$node->stop('immediate');
	}
	return;
}

sub recover
{
	my ($how) = @_;

	forget_sessions();
	$node->start if $how eq 'immediate stop';
	wait_until('the server is back', sub { $node->psql('postgres', 'SELECT 1', on_error_die => 0, stdout => \my $out, stderr => \my $err) == 0 });
	return;
}

# What a caller was told, taken into what we know.
sub conclude
{
	my ($call, $crashed) = @_;
	my $c = $call->{of};
	my @answers = map { $_->{process} ? $_->answer(20) : { dead => 1, out => '', err => '' } } @{ $call->{sessions} };
	my ($answer) = @answers;

	foreach my $one (@answers)
	{
		my ($token) = $one->{out} =~ /^([\w-]{40,})$/m;

		$count{ 'told: ' . ($one->{dead} ? 'nothing' : $one->{state} // 'success') }++;
		next unless $token && $call->{deed} eq 'refresh' && $call->{row} !~ /disconnect/;
		my $me = $http->get($provider->definition->{userinfo_endpoint}, { headers => { authorization => "Bearer $token" } });
		next if $me->{success} && $json->decode($me->{content})->{sub} eq $c->{app_user};
		fail("$c->{app_user} was served a token that works not: $me->{status}");
	}

	if ($call->{deed} eq 'connect')
	{
		my ($told) = $answer->{out} =~ /^(\w+)$/m;

		if (($told // '') eq 'success')
		{
			$c->{story}{ $c->{current} } = 'replaced' if $c->{current};
			$c->{current} = $call->{grant};
			$c->{story}{ $call->{grant} } = 'current';
			$c->{wanted} = 'connected';
		}
		elsif ($told) { $c->{story}{ $call->{grant} } = 'failed' }
		else { $c->{wanted} = 'unknown'; $c->{unknown_until} = time() + 5 }
	}
	# the signal may have come after the answer, and the crash too
	$call->{sessions}[0]{dead} = 1 if $call->{caller} eq 'terminate';
	$_->{dead} ||= $crashed foreach @{ $call->{sessions} };
	give_back($_) foreach grep { $_->{process} } @{ $call->{sessions} };
	return;
}

# Makes the stored tokens stale, and forgets what failed.
sub expire
{
	my (@of) = @_;

	return unless @of;
	super(q{
		UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 second', refresh_at = now(),
			failures = 0, refusals = 0, failing_since = NULL, status_reason = NULL
		WHERE status = 'connected' AND (} . join(' OR ', map { '(' . key($_) . ')' } @of) . ')');
	return;
}

# Which connections there are; and what the last round has done to them.
sub take_stock
{
	my (@calls) = @_;
	my %row = map { my ($connector, $app_user, @rest) = split /\|/; ("$connector $app_user" => \@rest) }
	  split /\n/, super('SELECT connector_id, app_user, status, extract(epoch FROM status_since), generation FROM appuser_connectors.connections');

	foreach my $call (grep { $_->{deed} eq 'disconnect' || $_->{row} =~ /disconnect/ } @calls)
	{
		my $c = $call->{of};
		next if $row{"$c->{connector} $c->{app_user}"};
		$c->{story}{ $c->{current} } = 'disconnected';
		$c->{wanted} = 'disconnected';
		$count{disconnected}++;
		delete $c->{current};
	}
	foreach my $c (@connections)
	{
		my $row = $row{"$c->{connector} $c->{app_user}"};

		fail("$c->{app_user} was disconnected, and is connected again") if $row && $c->{wanted} eq 'disconnected';
		fail("$c->{app_user} was connected, and is not") if !$row && $c->{wanted} eq 'connected';
		if ($row && $row->[0] eq 'reconnect_required' && $c->{wanted} eq 'connected')
		{
			push @lost, { of => $c, at => $row->[1], grant => $c->{current} };
			$c->{story}{ $c->{current} } = 'lost';
			$c->{wanted} = 'lost';
			delete $c->{current};
		}
	}
	return;
}

sub run_round
{
	my ($server) = @_;
	my $began = time();
	my @idle = grep { $_->{wanted} ne 'unknown' || time() > $_->{unknown_until} } @connections;
	my %chosen = map { ($_->{connector} => $_) } map { $idle[ rand @idle ] } 1 .. 1 + rand 3;
	my @calls = map { prepare($_) } values %chosen;
	my $crashes = $server =~ /kill|stop/;
	my $proxied = grep { proxied($_->{of}) } @calls;

	# one at a time through the proxy, whose rules know no client
	@calls = grep { !proxied($_->{of}) || $proxied-- == 1 } @calls;
	inflict($server, @calls);
	expire(map { $_->{of} } grep { $_->{refresh} } @calls);
	begin($_) foreach @calls;

	# until what is to be held has arrived, if it comes at all
	my $held = grep { $_->{held} } @calls;
	if ($held)
	{
		my $deadline = time() + 0.3;
		usleep(5_000) while look($provider, '')->{held} < $held && time() < $deadline;
	}
	else { usleep(rand 30_000) }
	go_on($_) foreach @calls;
	usleep(rand 20_000);

	disturb_caller($_) foreach @calls;
	my $ending = time();
	disturb_server($server) if $server ne 'none';
	order($provider, { release => $true });
	my $drained = time() - $ending < $DRAIN;
	recover($server) if $crashes;
	foreach my $call (grep { $_->{holder} } @calls)
	{
		my ($end) = $call->{row} =~ /(\w+)$/;

		$count{"row: $call->{row}"}++;
		# after a crash there is nothing left to end
		$call->{holder}->send($end);
		$call->{holder}->answer;
		$call->{holder}{dead} ||= $crashes;
		give_back($call->{holder});
	}
	conclude($_, $crashes) foreach @calls;
	order($provider, { faults => [], release => $true });
	$proxy->rules() if grep { proxied($_->{of}) } @calls;

	my $ended = time();
	push @destroyed, { why => $server, from => $began - 1, to => $ended } if $crashes || ($server ne 'none' && !$drained);
	# a request whose caller is gone may have met its fault and come to the provider a moment later
	push @destroyed, map { { why => 'answer dropped or spoiled', connector => $_->{of}{connector}, from => $began - 1, to => $ended + 1 } }
	  grep { $_->{fault} && $_->{fault}[0] } @calls;
	take_stock(@calls);
	return;
}

# One half of the run

sub set_up
{
	my ($name) = @_;
	my @names = map { $_ > $CONNECTORS - $PROXIED ? "$name-p$_" : "$name$_" } 1 .. $CONNECTORS;
	my %secret = map { ($_ => "the secret of $_, $SEED") } @names;

	$provider = start_provider(tls => JSON::PP::false, grace => $grace,
		clients => [ map { { client_id => $_, client_secret => $secret{$_}, token_endpoint_auth_method => 'client_secret_basic' } } @names ]);
	$proxy = start_fault_server(proxy_to => $provider);
	@connections = @destroyed = @lost = ();
	%count = ();
	foreach my $connector (@names)
	{
		register($node, $provider, connector_id => $connector, client_id => $connector, client_secret => $secret{$connector},
			provider => $connector,
			definition => { $connector =~ /-p/ ? (token_endpoint => $proxy->url . '/token') : () });
		foreach my $person ('a', 'b')
		{
			my $c = { connector => $connector, app_user => "$person-$connector", wanted => 'disconnected', story => {} };
			my ($parameters, $grant) = authorize($c);

			callback($node, $c->{app_user}, $parameters)->{failure} and die 'not connected';
			@$c{qw(wanted current)} = ('connected', $grant);
			$c->{story}{$grant} = 'current';
			push @connections, $c;
		}
	}
	return values %secret;
}

sub was_destroyed
{
	my ($c, $at) = @_;

	return scalar grep {
		(!$_->{connector} || $_->{connector} eq $c->{connector}) && $_->{from} * 1000 <= $at && $at <= $_->{to} * 1000
	} @destroyed;
}

# One answer that is destroyed for sure, lest the dice never do it.
sub destroy_one
{
	my ($c) = grep { $_->{wanted} eq 'connected' && !proxied($_) } @connections;
	my $began = time();
	my $ask = "SELECT FROM appuser_connectors.app_user_connection('$c->{app_user}', '$c->{connector}')";

	order($provider, { faults => [ { path => '/token', client_id => $c->{connector}, when => 'after', drop => $true, times => 1 } ] });
	wait_until('an answer is destroyed', sub {
			expire($c);
			my $session = session('app_service');
			$session->send($ask);
			$session->answer;
			give_back($session);
			return !@{ look($provider, '')->{faults} };
		});
	push @destroyed, { why => 'answer dropped or spoiled', connector => $c->{connector}, from => $began - 1, to => time() };
	take_stock();
	return;
}

sub settle
{
	order($provider, { faults => [], release => $true });
	wait_until('the worker is back', \&worker_pid);
	expire(@connections);
	super('UPDATE appuser_connectors.revocations SET attempt_at = now()');
	wait_until('all is settled', sub {
			# what the worker asks again for a minute before it believes a refusal
			super("UPDATE appuser_connectors.connections SET refresh_at = now() WHERE status = 'connected' AND status_reason = 'unanswered' AND refresh_at > now()");
			super(q{
				SELECT (SELECT count(*) FROM appuser_connectors.connections
					WHERE status = 'connected' AND (expires_at < now() OR failures > 0))
				+ (SELECT count(*) FROM appuser_connectors.pending_answers)
				+ (SELECT count(*) FROM appuser_connectors.revocations)}) == 0
		});
	take_stock();
	return;
}

sub compare
{
	my ($name) = @_;
	my %granted;    # when the provider granted tokens, by grant
	my (%known, @unknown, @broken, @unexcused, @miscounted);
	my ($served, $recovered) = (0, 0);

	foreach my $entry (grep { $_->{path} eq '/token' && !$_->{error} && $_->{grant_id} } @{ look($provider, '/log') })
	{
		push @{ $granted{ $entry->{grant_id} } }, $entry->{at};
	}
	my $grants = look($provider, '/grants');

	foreach my $c (@connections)
	{
		my ($row) = super('SELECT status, generation FROM appuser_connectors.connections WHERE ' . key($c)) or next;
		my ($status, $generation) = split /\|/, $row;
		next unless ($status // '') eq 'connected';

		my $token = access_token($node, $c->{app_user}, $c->{connector});
		my $me = userinfo($provider, $token);
		my ($grant) = grep { my $g = $_; grep { $_ eq $token } @{ $g->{access_tokens} } } @$grants;

		if ($me->{status} != 200 || $me->{sub} ne $c->{app_user} || !$grant || @{ $grant->{refresh_tokens} } == 0)
		{
			push @broken, "$c->{app_user}: userinfo answers $me->{status}";
			next;
		}
		$served++;
		my $id = $grant->{grant_id};
		$known{$id} = 1;
		push @unknown, "$c->{app_user} is served from a grant that is $c->{story}{$id}"
		  unless $c->{story}{$id} =~ /^(?:current|unconfirmed)$/;
		$c->{story}{ $c->{current} } = 'replaced' if $c->{current} && $c->{current} ne $id && $c->{story}{$id} eq 'unconfirmed';

		my @at = @{ $granted{$id} };
		my $missing = @at - $generation;
		push @miscounted, "$c->{app_user}: the provider answered $generation + $missing times, and not in a moment of destruction"
		  if $missing < 0 || $missing > grep { was_destroyed($c, $_) } @at;
		$recovered += $missing;
	}
	foreach my $grant (grep { @{ $_->{refresh_tokens} } && !$known{ $_->{grant_id} } } @$grants)
	{
		my ($c) = grep { $_->{app_user} eq $grant->{account} } @connections;
		my $story = $c->{story}{ $grant->{grant_id} };

		$count{"left at the provider: $story"}++;
		next if $story eq 'replaced' || $story eq 'unconfirmed';
		next if $story eq 'failed' && was_destroyed($c, $granted{ $grant->{grant_id} }[0]);
		push @unknown, "a grant of $grant->{account} that is $story";
	}
	foreach my $lost (@lost)
	{
		my $last = max(@{ $granted{ $lost->{grant} } // [] });
		push @unexcused, "$lost->{of}{app_user}, last granted at $last" unless $last && was_destroyed($lost->{of}, $last);
	}

	my $reconnectable = grep { $_->{wanted} eq 'lost' } @connections;
	is_deeply(\@broken, [], "$name: every connection that is connected holds a grant that works ($served)");
	is_deeply(\@unexcused, [], "$name: the others' last answer was destroyed on its way, as the run has written down (" . @lost . ' in all)');
	is_deeply(\@miscounted, [], "$name: every other answer of the provider was stored, once");
	is_deeply(\@unknown, [], "$name: the provider has no live grant that we do not know, but for those that a reconnect replaced");
	if ($grace)
	{
		is(scalar @lost, 0, "$name: no connection was lost");
		cmp_ok($recovered, '>', 0, "$name: $recovered answers were destroyed, and recovered from");
	}
	else
	{
		cmp_ok(scalar @lost, '>', 0, "$name: an answer that is destroyed is noticed");
		is($recovered, 0, "$name: nothing recovers from an answer that was destroyed");
	}
	my $refreshes = sum0(map { @$_ - 1 } values %granted);
	cmp_ok($refreshes, '>', $ROUNDS / 4, "$name: $refreshes refreshes succeeded meanwhile");
	note "$name: $_: $count{$_}" foreach sort keys %count;
	return;
}

# Tokens, codes, secrets: by whole words, since there are thousands of them.
sub check_log
{
	my ($name, @secrets) = @_;
	my $issued = look($provider, '/issued');
	my %secret = map { ($_ => 1) } map { @$_ } @$issued{qw(codes access_tokens refresh_tokens)};
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
	my %found;

	$secret{ (split /\./)[2] } = 1 foreach @{ $issued->{id_tokens} };
	while ($log =~ /([\w-]{20,})/g) { $found{$1}++ if $secret{$1} }
	foreach my $word (@secrets) { $found{$word}++ if index($log, $word) >= 0 }
	is_deeply([ keys %found ], [], "$name: none of " . (keys(%secret) + @secrets) . ' codes, tokens and secrets is in the server log');
	return;
}

sub run_half
{
	my ($name, $grace_period, $rounds) = @_;
	my $began = time();
	my @server = ('none') x $rounds;

	$grace = $grace_period;
	my @secrets = set_up($name);
	foreach my $how (('kill -9') x $KILLS, ('immediate stop') x $STOPS, ('terminate worker') x $TERMINATIONS)
	{
		$server[ rand @server ] = $how;
	}
	run_round($_) foreach @server;
	destroy_one();
	settle();
	compare($name);
	check_log($name, @secrets);
	note sprintf '%s: %d rounds in %.0f s', $name, $rounds, time() - $began;
	forget_sessions();
	$_->stop foreach $proxy, $provider;
	return;
}

run_half('strict', 0, int $ROUNDS / 2);
run_half('graceful', $GRACE, int $ROUNDS / 2);

$node->stop;
done_testing();
