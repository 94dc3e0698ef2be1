# What is promised here: a provider that is slow, silent, broken or that refuses
# troubles those who ask for its tokens, for as long as they are ready to wait, and
# nobody else; nobody is made to connect again for trouble that is not theirs; and
# no dead token is ever served.
#
# Runs alone: it measures how long things take.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use POSIX qw(strftime);
use PsqlSession;
use Test::More;
use Time::HiRes qw(time);

my $node = new_node('deadlines', "appuser_connectors.shutdown_timeout = '500ms'", "appuser_connectors.wait_timeout = '60s'", "appuser_connectors.request_timeout = '60s'",
	"appuser_connectors.connect_timeout = '60s'", 'max_connections = 60');
my %server;

# ------------------------------------------------------------------- helpers

sub superuser { return $node->safe_psql('postgres', $_[0]); }

# A connector with a server of its own, which grants until it is told otherwise
sub new_connector
{
	my ($connector) = @_;

	$server{$connector} = start_fault_server();
	grants($connector);
	register($node, $server{$connector}, provider => $connector, connector_id => $connector, scopes => ['read']);
	return $server{$connector};
}

my $granted = 0;

sub grant
{
	$granted++;
	return { access_token => "access $granted", refresh_token => "refresh-$granted", token_type => 'Bearer', expires_in => 3600 };
}

sub grants
{
	my ($connector) = @_;

	return $server{$connector}->rules(map { { path => '/token', times => 1, body => grant() } } 1 .. 40);
}

sub answers
{
	my ($connector, %rule) = @_;

	return $server{$connector}->rules({ path => '/token', %rule });
}

sub connect_anew
{
	my ($connector, @people) = @_;

	foreach my $person (@people)
	{
		my $state = url_parameters(authorization_url($node, $person, $connector))->{state};
		my $row = callback($node, $person, { state => $state, code => 'code' });

		die "$person: $row->{failure}" if defined $row->{failure};
	}
	return;
}

sub expire
{
	superuser("UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 s', refresh_at = NULL
		WHERE app_user = '$_'") foreach @_;
	return;
}

# As if the time of the next attempt had come; a call by somebody else has the worker look.
sub make_due
{
	superuser("UPDATE appuser_connectors.connections SET refresh_at = now() WHERE app_user = '$_'") foreach @_;
	expire('quick');
	access_token($node, 'quick', 'quick');
	return;
}

# The same, but only for who asks
sub may_ask_again
{
	superuser("UPDATE appuser_connectors.connections SET refresh_at = NULL WHERE app_user = '$_'") foreach @_;
	return;
}

sub token_query { return "SELECT access_token FROM appuser_connectors.app_user_connection('$_[0]', '$_[1]')"; }

sub asking
{
	my ($person, $connector, %settings) = @_;

	return PsqlSession->new($node, 'app_service', settings => \%settings)->send(token_query($person, $connector));
}

sub state_of
{
	my ($state) = failure($node, 'app_service', token_query(@_));

	return $state;
}

sub connection
{
	return row($node, 'app_admin', "SELECT status, status_reason, failures,
		extract(epoch FROM refresh_at - clock_timestamp())::float AS wait
		FROM appuser_connectors.connections WHERE app_user = '$_[0]'");
}

sub requests { return scalar $server{ $_[0] }->requests('/token'); }

sub events
{
	my ($connector, $event) = @_;

	return superuser("SELECT count(*) FROM appuser_connectors.connection_events WHERE connector_id = '$connector' AND event = '$event'");
}

# ------------------------------------------------- a provider that never answers

new_connector('mute');
new_connector('quick');
my @mute = map { "mute $_" } 1 .. 12;
connect_anew('mute', @mute);
connect_anew('quick', 'quick');
expire(@mute);
answers('mute', hang => JSON::PP::true);

my $began = time();
my $session = asking($mute[0], 'mute', 'appuser_connectors.wait_timeout' => '500ms');
is($session->failure, 'UC003', 'a provider that never answers: who asks is told so');
cmp_ok(time() - $began, '>=', 0.5, 'not before wait_timeout');
cmp_ok(time() - $began, '<', 5, 'and not long after it');
$session->close;

my $state = url_parameters(authorization_url($node, 'newcomer', 'mute', browser_binding => 'a random value of one newcomer'))->{state};
$session = PsqlSession->new($node, 'app_service', settings => { 'appuser_connectors.wait_timeout' => '500ms' });
$session->send("SELECT * FROM appuser_connectors.oauth_callback('$state', 'code', browser_binding => 'a random value of one newcomer')");
is($session->failure, 'UC003', 'and so is who comes back with a code');
$session->close;

my %asker = map { $_ => asking($_, 'mute') } @mute[ 1 .. 10 ];
$server{mute}->wait(path => '/token', count => 12 + 1 + 1 + 10);
my $worker = superuser("SELECT pid FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'");
is(superuser("SELECT state, xact_start IS NULL, backend_xid IS NULL, backend_xmin IS NULL,
		(SELECT count(*) FROM pg_locks AS l WHERE l.pid = a.pid) FROM pg_stat_activity AS a WHERE pid = $worker"),
	'idle|t|t|t|0', 'meanwhile the worker has no transaction, no snapshot and no lock');
is(superuser("SELECT count(*) FROM pg_locks WHERE locktype <> 'virtualxid' AND pid IN
		(SELECT pid FROM pg_stat_activity WHERE usename = 'app_service')"), 0, 'and who waits holds no lock but on itself');

foreach (1 .. 3)
{
	my $before = access_token($node, 'quick', 'quick');

	expire('quick');
	isnt(access_token($node, 'quick', 'quick'), $before, 'meanwhile another connector\'s tokens are refreshed');
}
connect_anew('quick', 'another');
like(access_token($node, 'another', 'quick'), qr/^access/, 'and its new connections made');

$session = $asker{ $mute[1] };
$began = time();
superuser('SELECT pg_cancel_backend(' . $session->pid . ')');
is($session->failure, '57014', 'pg_cancel_backend ends the wait');
cmp_ok(time() - $began, '<', 2, 'at once');
$session->send(token_query($mute[1], 'mute'));

# Not even a connection comes about.
new_connector('absent');
connect_anew('absent', 'absent');
expire('absent');
$server{absent}->stop;
is(state_of('absent', 'absent'), 'UC003', 'a provider that refuses connections: who asks is told so');
new_connector('deaf');
connect_anew('deaf', 'deaf');
expire('deaf');
$server{deaf}->rules({ path => '/token', drop => JSON::PP::true, times => 1 });
my $other = do
{
	# the next connections are accepted and left alone
	$server{deaf}->order({ connect => 'hang', times => 10 });
	asking('deaf', 'deaf');
};
expire('quick');
like(access_token($node, 'quick', 'quick'), qr/^access/, 'one that accepts connections and says nothing is in nobody else\'s way');
is(superuser('SELECT count(*) FROM pg_stat_activity WHERE pid = ' . $other->pid . " AND wait_event_type = 'Extension'"), 1,
	'but in that of who asks for its own');

$began = time();
$node->stop('fast');
my $took = time() - $began;
cmp_ok($took, '<', 2, 'pg_ctl stop -m fast takes less than 2 s with ten calls in flight');
is($_->failure, '57P01', 'and ends those who wait') foreach (values %asker)[0];
$node->start;
is(superuser("SELECT count(*) FROM appuser_connectors.connections WHERE app_user LIKE 'mute%' AND status = 'connected'"), 12,
	'nobody is made to connect again');
grants('mute');
may_ask_again($mute[0]);
like(access_token($node, $mute[0], 'mute'), qr/^access/, 'once the provider answers it is all as before');

# ----------------------------------------------------- how long not to ask again

new_connector('busy');
connect_anew('busy', 'busy');
expire('busy');
answers('busy', status => 429, headers => { 'retry-after' => '120' });
is(state_of('busy', 'busy'), 'UC003', '429: who asks is told that the provider is not available');
my $connection = connection('busy');
is($connection->{status}, 'connected', '429: the connection stays connected');
cmp_ok($connection->{wait}, '>', 100, '429: Retry-After in seconds is heeded');
cmp_ok($connection->{wait}, '<=', 120, '429: and not exceeded');
my $requests = requests('busy');
is(state_of('busy', 'busy'), 'UC003', '429: who asks again is told so');
is(requests('busy'), $requests, '429: without the provider being asked');

may_ask_again('busy');
answers('busy', status => 503, headers => { 'retry-after' => strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time() + 600)) });
is(state_of('busy', 'busy'), 'UC003', '503: who asks is told that the provider is not available');
$connection = connection('busy');
is($connection->{status}, 'connected', '503: the connection stays connected');
cmp_ok($connection->{wait}, '>', 580, '503: Retry-After as a date is heeded');
cmp_ok($connection->{wait}, '<=', 600, '503: and not exceeded');

# A day of rest after one bad moment: who waits finds out now and then if it was meant so.
may_ask_again('busy');
answers('busy', status => 503, headers => { 'retry-after' => '86400' });
is(state_of('busy', 'busy'), 'UC003', 'a Retry-After of a day: who asks is told that the provider is not available');
cmp_ok(connection('busy')->{wait}, '>', 80000, 'it is heeded, as far as nobody asks');
$requests = requests('busy');
state_of('busy', 'busy');
is(requests('busy'), $requests, 'nor is the provider asked at once');
superuser("UPDATE appuser_connectors.connections SET failing_since = now() - interval '6 min' WHERE app_user = 'busy'");
state_of('busy', 'busy') for 1 .. 3;
is(requests('busy'), $requests + 1, 'for who asks minutes later it is tried, once');
cmp_ok(connection('busy')->{wait}, '>', 80000, 'and is heeded again');
superuser("UPDATE appuser_connectors.connections SET failures = 2 WHERE app_user = 'busy'");

may_ask_again('busy');
answers('busy', status => 503);
state_of('busy', 'busy');
$connection = connection('busy');
is($connection->{failures}, 3, 'failures in a row are counted');
cmp_ok($connection->{wait}, '<', 10, 'without Retry-After the next attempt is soon');
cmp_ok($connection->{wait}, '>', -1, 'but not at once');

# Asked by itself, the worker asks again by itself: when the time has come.
grants('busy');
make_due('busy');
wait_until('the worker has tried again', sub { connection('busy')->{failures} == 0 });
like(access_token($node, 'busy', 'busy'), qr/^access/, 'an attempt that succeeds ends it');
is(connection('busy')->{status_reason}, undef, 'and its reason is forgotten');

# A worker that is busy with something else is no provider that does not answer.
$worker = superuser("SELECT pid FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'");
expire('quick');
$requests = requests('quick');
kill 'STOP', $worker;
my ($busy, $why) = failure($node, 'app_service', token_query('quick', 'quick'), settings => { 'appuser_connectors.wait_timeout' => '200ms' });
kill 'CONT', $worker;
is($busy, 'UC003', 'who is not come to in time is told so');
like($why, qr/nothing was sent/, 'and that the call is not made');
like(access_token($node, 'quick', 'quick'), qr/^access/, 'who asks again gets a token');
is(requests('quick'), $requests + 1, 'by the only call');

# ------------------------------------------------- whose trouble it is: the provider's

new_connector('broken');
my %trouble = (
	'status 500' => { status => 500, body => { error => 'x' } },
	'an answer that is none' => { body => '<html>hello</html>', headers => { 'content-type' => 'text/html' } },
	'a connection that is reset' => { reset => JSON::PP::true },
	'half an answer' => { body => grant(), truncate => JSON::PP::true });
connect_anew('broken', 'barbara');
my $token = access_token($node, 'barbara', 'broken');
foreach my $what (sort keys %trouble)
{
	my $failures = connection('barbara')->{failures};

	answers('broken', %{ $trouble{$what} });
	make_due('barbara');
	wait_until("$what: the attempt has failed", sub { connection('barbara')->{failures} > $failures });
	is(connection('barbara')->{status}, 'connected', "$what: the connection stays connected");
	is(access_token($node, 'barbara', 'broken'), $token, "$what: the token that is still valid is served");
}
is(events('broken', 'refresh_failing'), 1, 'one event says that it fails');
expire('barbara');
is(state_of('barbara', 'broken'), 'UC003', 'the token that is not valid any longer is not');
grants('broken');
isnt(wait_until('the provider is asked again', sub { may_ask_again('barbara'); eval { access_token($node, 'barbara', 'broken') } }),
	$token, 'when the provider recovers there is a new one');

# ------------------------------------------------- whose trouble it is: the person's

new_connector('strict');
connect_anew('strict', 'sara', 'stefan', 'simon');
$token = access_token($node, 'simon', 'strict');
expire('sara', 'stefan');
answers('strict', status => 400, body => { error => 'invalid_grant', error_description => 'a secret word' });
my ($told_state, $told) = failure($node, 'app_service', token_query('sara', 'strict'));
is($told_state, 'UC002', 'invalid_grant: the person must connect again');
like($told, qr/invalid_grant/, 'invalid_grant: the message says why');
$connection = connection('sara');
is("$connection->{status} $connection->{status_reason}", 'reconnect_required invalid_grant', 'invalid_grant: and so does the connection');
is(events('strict', 'reconnect_required'), 1, 'invalid_grant: and an event');
$requests = requests('strict');
is(state_of('sara', 'strict'), 'UC002', 'invalid_grant: who asks again is told the same');
is(requests('strict'), $requests, 'invalid_grant: without the provider being asked');
is(access_token($node, 'simon', 'strict'), $token, 'invalid_grant: other connections are not concerned');

# An answer about a refresh token that is not the stored one any longer says nothing about that.
$server{strict}->rules({ path => '/token', times => 1, status => 400, body => { error => 'invalid_grant' }, hold => 'late' },
	map { { path => '/token', times => 1, body => grant() } } 1 .. 5);
$session = asking('stefan', 'strict');
$server{strict}->wait(held => 'late');
connect_anew('strict', 'stefan');
$server{strict}->release('late');
like($session->result, qr/^access/, 'invalid_grant for a token that has been replaced: who asks gets the stored one');
is(connection('stefan')->{status}, 'connected', 'invalid_grant for a token that has been replaced: nobody must connect again');
$session->close;

# A refusal without a reason is believed when it is repeated while others are renewed well.
expire('simon');
answers('strict', status => 400, body => '');
foreach my $attempt (1 .. 4)
{
	is(state_of('simon', 'strict'), 'UC003', "an empty 400, attempt $attempt: it may be the provider's trouble");
	$connection = connection('simon');
	is($connection->{status}, 'connected', "an empty 400, attempt $attempt: the connection stays connected");
	cmp_ok($connection->{wait}, '>', 30 * 2**($attempt - 1) - 10, "an empty 400, attempt $attempt: the next is not soon");
	grants('strict');
	access_token($node, 'stefan', 'strict', min_validity => '10 days');
	answers('strict', status => 400, body => '');
	may_ask_again('simon');
}
is(state_of('simon', 'strict'), 'UC002', 'an empty 400, attempt 5: the person must connect again');
$connection = connection('simon');
is("$connection->{status}, $connection->{status_reason}", 'reconnect_required, HTTP status 400', 'and the connection says why');

# ---------------------------------------------- whose trouble it is: the connector's

sub stopped { return superuser("SELECT stopped_at IS NOT NULL FROM appuser_connectors.registered_connectors WHERE connector_id = '$_[0]'"); }

my @crowd = map { "crowd $_" } 1 .. 8;
new_connector('crowd');
connect_anew('crowd', @crowd);
expire(@crowd);
my %refused = (status => 401, body => { error => 'invalid_client' });
answers('crowd', %refused);
foreach (1 .. 4)
{
	is(state_of($crowd[0], 'crowd'), 'UC004', 'invalid_client: who asks is told that an admin must act');
	may_ask_again($crowd[0]);
}
is(connection($crowd[0])->{status}, 'connected', 'invalid_client: nobody is made to connect again');
is(stopped('crowd'), 'f', 'one connection whose client is refused does not stop the connector');
grants('crowd');
$token = access_token($node, $crowd[1], 'crowd');
like($token, qr/^access/, 'which goes on with the others');

# Several at once are one stop, and one event.
answers('crowd', %refused, hold => 'all');
my @refused = map { asking($_, 'crowd') } @crowd[ 2 .. 6 ];
$server{crowd}->wait(held => 'all', count => 5);
$server{crowd}->release('all');
is($_->failure, 'UC004', 'invalid_client for several connections: each is told') foreach @refused;
$_->close foreach @refused;
is(stopped('crowd'), 't', 'three connections whose client is refused stop the connector');
is(events('crowd', 'connector_stopped'), 1, 'and one event says so');
$requests = requests('crowd');
foreach my $person (@crowd[ 7, 7, 2, 0 ])
{
	is(state_of($person, 'crowd'), 'UC004', "a stopped connector: $person is told so");
}
is((failure($node, 'app_service', "SELECT appuser_connectors.connect_app_user('crowd')", app_user => 'newcomer'))[0], 'UC004',
	'a stopped connector: nobody is sent to the provider');
is(requests('crowd'), $requests, 'a stopped connector: the provider is not asked');
is(access_token($node, $crowd[1], 'crowd'), $token, 'a stopped connector: a token that is still valid is served');
is(superuser("SELECT string_agg(DISTINCT status, ' ') FROM appuser_connectors.connection_status WHERE connector_id = 'crowd'"),
	'connector_stopped', 'a stopped connector: the status says so');
is(superuser("SELECT string_agg(DISTINCT status, ' ') FROM appuser_connectors.connections WHERE connector_id = 'crowd'"),
	'connected', 'a stopped connector: nobody is made to connect again');

grants('crowd');
query($node, 'app_admin', "SELECT appuser_connectors.update_connector('crowd', client_secret => 'another secret')");
is(stopped('crowd'), 'f', 'update_connector lets it go on');
foreach my $person (@crowd[ 7, 2, 0 ])
{
	like(access_token($node, $person, 'crowd'), qr/^access/, "and $person gets a token at once");
}

# It can be stopped again, also when what an admin did was no correction.
answers('crowd', %refused);
expire(@crowd[ 0 .. 2 ]);
foreach my $time (2, 3)
{
	is(state_of($_, 'crowd'), 'UC004', "$_ is refused once more") foreach @crowd[ 0 .. 2 ];
	is(stopped('crowd'), 't', 'three more refusals stop it again');
	is(events('crowd', 'connector_stopped'), $time, 'with an event');
	query($node, 'app_admin', "SELECT appuser_connectors.update_connector('crowd', client_secret => 'wrong secret $time')");
}

# A refusal that comes after an admin has corrected it says nothing about what it is now.
answers('crowd', %refused, hold => 'late');
@refused = map { asking($_, 'crowd') } @crowd[ 0 .. 2 ];
$server{crowd}->wait(held => 'late', count => 3);
query($node, 'app_admin', "SELECT appuser_connectors.update_connector('crowd', client_secret => 'right secret')");
$server{crowd}->release('late');
is($_->failure, 'UC004', 'a refusal of what the connector was is told') foreach @refused;
$_->close foreach @refused;
is(stopped('crowd'), 'f', 'and does not stop what it has become');

# From time to time it is tried, by one connection, not by all that wait for it.
foreach my $end ('refused', 'granted')
{
	expire(@crowd);
	may_ask_again($_) foreach @crowd;
	if ($end eq 'refused') { answers('crowd', %refused, hold => 'probe') }
	else { $server{crowd}->rules(map { { path => '/token', times => 1, hold => 'probe', body => grant() } } @crowd) }
	$requests = requests('crowd');
	superuser("UPDATE appuser_connectors.registered_connectors SET stopped_at = now() - interval '1 hour', stopped_reason = 'invalid_client',
		probe_at = now() - interval '1 s' WHERE connector_id = 'crowd'");
	# not by the one that has just been refused
	my $probing = asking($crowd[ $end eq 'refused' ? 0 : 5 ], 'crowd');
	$server{crowd}->wait(held => 'probe');
	is(state_of($_, 'crowd'), 'UC004', "a probe that is $end: $_ does not make another") foreach @crowd[ 1 .. 4 ];
	is(requests('crowd'), $requests + 1, "a probe that is $end: it is the only one");
	$server{crowd}->release('probe');
	if ($end eq 'refused')
	{
		is($probing->failure, 'UC004', 'a probe that is refused: an admin must act');
		is(superuser("SELECT probe_at > now() + interval '30 min' FROM appuser_connectors.registered_connectors WHERE connector_id = 'crowd'"), 't',
			'a probe that is refused: the next is not soon');
	}
	else
	{
		like($probing->result, qr/^access/, 'a probe that is granted: it is a refresh like any other');
		is(events('crowd', 'connector_resumed'), 1, 'a probe that is granted: one event says that the connector goes on');
		grants('crowd');
		like(access_token($node, $_, 'crowd'), qr/^access/, "a probe that is granted: $_, who was told to wait, need not") foreach @crowd[ 1 .. 4 ];
	}
	$probing->close;
}

# What is refreshed ahead of time leaves room for those who wait.
grants('quick');
answers('crowd', hang => JSON::PP::true);
$node->append_conf('postgresql.conf', 'appuser_connectors.max_concurrent_requests = 4');
$node->reload;
$requests = requests('crowd');
make_due(@crowd);
$server{crowd}->wait(path => '/token', count => $requests + 3);
expire('quick');
$session = asking('quick', 'quick', 'appuser_connectors.wait_timeout' => '10s');
like(eval { $session->result } // $@, qr/^access/, 'more is due than there may be requests, and none is answered: who asks gets a token all the same');
is(requests('crowd'), $requests + 3, 'a quarter of the requests is left for that');
$session->close;

$node->stop;
done_testing();
