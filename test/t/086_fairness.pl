# One person, and one provider that does not answer, take the service from nobody
# else: what waits and what is under way is bounded for each connector and each app
# user, from the moment a call is accepted, and who is refused is told so at once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Session;
use Test::More;
use Time::HiRes qw(time);

my $SESSIONS = 6;     # of those who flood
my $LATENCY = 80;     # ms, of a refresh at the provider that is well
my $PLACES = 32;      # of a connector, by default
my $FLOWS = 5;        # that an app user may have under way at a connector

my $node = new_node('main', 'max_connections = 100', "appuser_connectors.request_timeout = '60s'", "appuser_connectors.wait_timeout = '60s'");
my %stub;

sub start_stub { return AppuserConnectors::Server->start('token-stub.mjs', {}, sub { () }); }

sub superuser { return $node->safe_psql('postgres', $_[0]); }

sub stub_connector
{
	my ($connector) = @_;

	$stub{$connector} = start_stub();
	return register($node, $stub{$connector}, provider => $connector, connector_id => $connector, client_id => $connector,
		client_secret => "secret of $connector", scopes => ['read']);
}

# The stub's code is the account's name.
sub connect_anew
{
	my ($connector, $app_user, @names) = @_;

	foreach my $name (@names ? @names : ('default'))
	{
		my $state = url_parameters(authorization_url($node, $app_user, $connector, connection_name => $name))->{state};
		my $row = callback($node, $app_user, { state => $state, code => "$app_user $name" });
		die "$app_user: $row->{failure}" if defined $row->{failure};
	}
	return;
}

sub expire
{
	my ($where) = @_;

	superuser("UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 second', refresh_at = NULL WHERE $where");
	return;
}

# How long each of a hundred takes that ask for an expired token, four at a time, in ms
sub latencies
{
	my ($connector) = @_;
	my @sessions = map { Session->new($node, 'postgres') } 1 .. 4;

	foreach my $session (@sessions)
	{
		my $app_user = "$connector " . (1 + (grep { $sessions[$_] == $session } 0 .. 3)[0]);
		$session->send(qq{
			CREATE TEMP TABLE latencies (ms double precision);
			DO \$\$
			DECLARE
				began timestamptz;
			BEGIN
				FOR i IN 1 .. 25 LOOP
					UPDATE appuser_connectors.connections
					SET expires_at = now() - interval '1 second', refresh_at = NULL WHERE app_user = '$app_user' AND connector_id = '$connector';
					COMMIT;
					began := clock_timestamp();
					PERFORM access_token FROM appuser_connectors.app_user_connection('$app_user', '$connector');
					INSERT INTO latencies VALUES (extract(epoch FROM clock_timestamp() - began) * 1000);
					COMMIT;
				END LOOP;
			END \$\$;
			SELECT ms FROM latencies});
	}
	my @latencies;
	foreach my $session (@sessions)
	{
		my $asked = $session->answer;
		is($asked->{err}, '', 'an asker was served');
		push @latencies, split /\n/, $asked->{out};
		$session->close;
	}
	return @latencies;
}

sub p99
{
	my @sorted = sort { $a <=> $b } @_;
	return $sorted[ int(@sorted * 0.99) - 1 ];
}

# Sessions that do something over and over, 15 ms at a time, until flood_ends(), and
# count how it went
sub flood_begins
{
	my ($what) = @_;
	my @sessions = map { Session->new($node, 'app_service', settings => { 'appuser_connectors.wait_timeout' => '15ms' }) } 1 .. $SESSIONS;

	superuser('CREATE TABLE IF NOT EXISTS finished (finished boolean); GRANT SELECT ON finished TO app_service; TRUNCATE finished');
	foreach my $n (0 .. $#sessions)
	{
		my $statements = $what->($n);
		$sessions[$n]->send(qq{
			CREATE TEMP TABLE outcomes (outcome text, n int);
			DO \$\$
			DECLARE
				url text;
				told text;
				i int := 0;
			BEGIN
				WHILE NOT EXISTS (SELECT FROM finished) LOOP
					i := i + 1;
					$statements
					INSERT INTO outcomes VALUES (told, i);
					COMMIT;
					PERFORM pg_sleep(0.015);
				END LOOP;
			END \$\$;
			SELECT string_agg(outcome || ': ' || count, E'\\n') FROM (SELECT outcome, count(*) FROM outcomes GROUP BY 1) AS o});
	}
	return @sessions;
}

sub flood_ends
{
	my (@sessions) = @_;
	my %outcomes;

	superuser('INSERT INTO finished VALUES (true)');
	foreach my $session (@sessions)
	{
		my $answer = $session->answer;
		is($answer->{err}, '', 'who floods has no other trouble');
		$outcomes{$1} += $2 while $answer->{out} =~ /^(.*): (\d+)$/mg;
		$session->close;
	}
	note "$_: $outcomes{$_}" foreach sort keys %outcomes;
	return \%outcomes;
}

# A flow from its beginning to its end, by that app user
sub flow
{
	my ($connector, $app_user) = @_;

	return qq{
		PERFORM appuser_connectors.set_app_user($app_user);
		url := appuser_connectors.connect_app_user('$connector');
		COMMIT;
		PERFORM appuser_connectors.set_app_user($app_user);
		BEGIN
			SELECT COALESCE(failure, 'connected') INTO told
			FROM appuser_connectors.oauth_callback(substring(url FROM 'state=([^&]+)'), 'flood');
		EXCEPTION
		WHEN SQLSTATE 'UC005' THEN
			told := 'UC005'; -- the oldest has gone, since there are too many
		WHEN SQLSTATE 'UC003' THEN
						told := SQLSTATE || CASE WHEN SQLERRM LIKE '%did not answer%' THEN ' too late' ELSE ' at once' END;
		END;};
}

stub_connector($_) foreach qw(well dead);
connect_anew('well', "well $_") foreach 1 .. 4;
$stub{well}->order({ delay => $LATENCY });

# ------------------------------------------- another connector, whose provider is dead

$stub{dead}->order({ faults => [ { account => '', hold => JSON::PP::true } ] });
my $quiet = p99(latencies('well'));
my ($outcomes, $during);

my @flood = flood_begins(sub { return flow('dead', "'mallory'") });
wait_until('the flows of one person are under way', sub { $stub{dead}->ctl->{held} >= $FLOWS });
$during = p99(latencies('well'));
is($stub{dead}->ctl->{held}, $FLOWS, 'of one person no more codes are on their way at once than flows may be begun');
note sprintf 'p99 of a refresh: %.0f ms, while one person floods a dead provider %.0f ms', $quiet, $during;
cmp_ok($during, '<', 2 * $quiet, 'one person floods a provider that is dead: another connector is served as ever');
$outcomes = flood_ends(@flood);
cmp_ok($outcomes->{'UC003 at once'}, '>', $outcomes->{'UC003 too late'}, 'who has as many under way as may be is refused at once');

# What is refused was not used, and can be finished later.
my $state = url_parameters(authorization_url($node, 'mallory', 'dead'))->{state};
my $began = time();
my ($refused, $told) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.oauth_callback('$state', 'code')", app_user => 'mallory');
is($refused, 'UC003', 'one more is refused');
like($told, qr/authorizations of this app user are being finished.*nothing was sent/, 'and told why');
cmp_ok(time() - $began, '<', 10, 'without having to wait');
my $other = Session->new($node, 'app_service');
$other->send("BEGIN; SELECT appuser_connectors.set_app_user('alice');
	SELECT * FROM appuser_connectors.oauth_callback('" . url_parameters(authorization_url($node, 'alice', 'dead'))->{state} . "', 'alice'); COMMIT");
wait_until('another person\'s code is sent there all the same', sub { $stub{dead}->ctl->{held_of}{alice} });
$stub{dead}->order({ faults => [] });
is($other->answer->{err}, '', 'and answered when the provider answers again');
wait_until('the others have come to their end', sub { superuser("SELECT count(*) FROM appuser_connectors.authorizations WHERE consumed AND sealed_outcome IS NULL") == 0 });
is(callback($node, 'mallory', { state => $state, code => 'code' })->{failure}, undef, 'then what was refused can be finished');

# The same by many
$stub{dead}->order({ faults => [ { account => '', hold => JSON::PP::true } ] });
@flood = flood_begins(sub { my ($n) = @_; return flow('dead', "'many ' || $n || ' ' || i") });
wait_until('the flows of many are under way', sub { $stub{dead}->ctl->{held} >= $PLACES });
$during = p99(latencies('well'));
is($stub{dead}->ctl->{held}, $PLACES, 'of many people no more codes are on their way at once than a connector may have');
note sprintf 'p99 of a refresh: %.0f ms, while many flood a dead provider %.0f ms', $quiet, $during;
cmp_ok($during, '<', 2 * $quiet, 'many people flood a provider that is dead: another connector is served as ever');
flood_ends(@flood);
$stub{dead}->order({ faults => [] });
wait_until('all of them have come to their end', sub { superuser("SELECT count(*) FROM appuser_connectors.authorizations WHERE consumed AND sealed_outcome IS NULL") == 0 });

$node->stop;
done_testing();
