# Many connections at once: five thousand that expire within 20 seconds, at a
# provider that takes 50 ms for each, are all refreshed in time and none twice; the
# worker holds no transaction and no snapshot while it waits for them; and a
# provider that hangs with two hundred askers delays nobody who asks for another's.
#
# Runs alone: it compares how long things take.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use POSIX qw(sysconf _SC_CLK_TCK);
use Session;
use Test::More;
use Time::HiRes qw(time);

my $CONNECTIONS = 5000;
my $ASKERS = 200;
my $GONE = 600;         # askers who have gone, whose calls are still to be made
my $SESSIONS = 8;
my $LATENCY = 50;       # ms, of a refresh at the provider
my $SPREAD = 20;        # seconds within which they expire
my $MARGIN = 12;        # seconds before its expiry that each is due: 20 % of a minute

sub start_stub
{
	return AppuserConnectors::Server->start('token-stub.mjs', {}, sub { () });
}

# An app user each, by the ordinary flow; the stub's code is the account's name.
sub connect_many
{
	my ($node, $connector, $count) = @_;
	my @sessions = map { Session->new($node, 'app_service') } 1 .. $SESSIONS;

	foreach my $n (0 .. $#sessions)
	{
		$sessions[$n]->send(qq{
			DO \$\$
			DECLARE
				app_user text;
				url text;
				failed text;
			BEGIN
				FOR i IN $n + 1 .. $count BY $SESSIONS LOOP
					app_user := '$connector' || i;
					PERFORM appuser_connectors.set_app_user(app_user);
					url := appuser_connectors.connect_app_user('$connector');
					COMMIT;
					PERFORM appuser_connectors.set_app_user(app_user);
					SELECT failure INTO STRICT failed
					FROM appuser_connectors.oauth_callback(substring(url FROM 'state=([^&]+)'), app_user);
					IF failed IS NOT NULL THEN
						RAISE EXCEPTION '% is not connected: %', app_user, failed;
					END IF;
					COMMIT;
				END LOOP;
			END \$\$});
	}
	foreach my $session (@sessions)
	{
		my $answer = $session->answer;
		die $answer->{err} if $answer->{err} ne '';
		$session->close;
	}
	return;
}

sub stub_connector
{
	my ($node, $stub, $connector) = @_;

	return register($node, $stub, provider => $connector, connector_id => $connector, client_id => $connector,
		client_secret => "secret of $connector", scopes => ['read']);
}

sub cpu_seconds
{
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/stat" or return;
	my @fields = split / /, (<$file> =~ /\) (.*)/)[0];
	return ($fields[11] + $fields[12]) / sysconf(_SC_CLK_TCK);
}

sub median
{
	my @sorted = sort { $a <=> $b } @_;
	return $sorted[ @sorted / 2 ];
}

my $node = new_node('main', 'max_connections = 260');
my $stub = start_stub();

stub_connector($node, $stub, 'many');
my $began = time();
connect_many($node, 'many', $CONNECTIONS);
note sprintf '%d connections made in %.1f s', $CONNECTIONS, time() - $began;
is($node->safe_psql('postgres', 'SELECT count(*) FROM appuser_connectors.connections'), $CONNECTIONS,
	"$CONNECTIONS app users are connected");

# All at once within a minute

my $worker = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'");
my $cpu = cpu_seconds($worker);
my $sampler = Session->new($node, 'postgres');

$stub->order({ delay => $LATENCY, reset => JSON::PP::true });
$sampler->ask(q{
	CREATE TABLE samples (n serial, wait_event_type text, state text, xact_start timestamptz, backend_xmin xid);
	CREATE TABLE finished (finished boolean);
	CREATE TABLE expiries (app_user text COLLATE "C" PRIMARY KEY, expires_at timestamptz)});
$began = time();
$node->safe_psql('postgres', qq{
	BEGIN;
	UPDATE appuser_connectors.connections
	SET expires_at = now() + $MARGIN * interval '1 second' + random() * $SPREAD * interval '1 second';
	UPDATE appuser_connectors.connections SET refresh_at = expires_at - $MARGIN * interval '1 second';
	INSERT INTO expiries SELECT app_user, expires_at FROM appuser_connectors.connections;
	COMMIT});

# Every few ms, while it works
$sampler->send(qq{
	DO \$\$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM finished) LOOP
			FOR i IN 1 .. 50 LOOP
				PERFORM pg_stat_clear_snapshot();
				INSERT INTO samples (wait_event_type, state, xact_start, backend_xmin)
				SELECT wait_event_type, state, xact_start, backend_xmin FROM pg_stat_activity WHERE pid = $worker;
				PERFORM pg_sleep(0.005);
			END LOOP;
			COMMIT;
		END LOOP;
	END \$\$});
Session->new($node, 'postgres')->ask(q{
	DO $$
	BEGIN
		WHILE EXISTS (SELECT FROM expiries JOIN appuser_connectors.connections USING (app_user, expires_at))
			AND clock_timestamp() < statement_timestamp() + interval '100 seconds'
		LOOP
			PERFORM pg_sleep(0.2);
			COMMIT;
		END LOOP;
	END $$});
my $took = time() - $began;
$node->safe_psql('postgres', 'INSERT INTO finished VALUES (true)');
is($sampler->answer->{err}, '', 'the worker was watched meanwhile');

my $seen = $stub->ctl;
$cpu = cpu_seconds($worker) - $cpu;
note sprintf 'refreshed in %.1f s, %.1f s of CPU in the worker, at most %d at once', $took, $cpu, $seen->{max_concurrent};
is(scalar keys %{ $seen->{refreshes} }, $CONNECTIONS, 'every connection was refreshed');
is(scalar(grep { $_ != 1 } values %{ $seen->{refreshes} }), 0, 'and none twice');
is($seen->{reused}, 0, 'no refresh token was used twice');
cmp_ok($seen->{max_concurrent}, '<=', 32, 'with no more requests at once than a connector may have');
is($node->safe_psql('postgres', q{
		SELECT count(*) FROM expiries e JOIN appuser_connectors.connections c USING (app_user)
		WHERE c.updated_at < e.expires_at AND c.expires_at > e.expires_at AND c.status = 'connected' AND c.failures = 0}),
	$CONNECTIONS, 'each before its token expired');

cmp_ok($cpu * 1000 / $CONNECTIONS, '<', 1, 'for less than a millisecond of CPU, since none of it grows with their number');

# A transaction that is seen waiting twice in a row is one that waits for the network.
my $idle = row($node, 'postgres', q{
	SELECT count(*) FILTER (WHERE wait_event_type = 'Extension') AS waiting,
		count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS idle_in_transaction,
		count(*) FILTER (WHERE wait_event_type = 'Extension' AND before_event = 'Extension'
			AND xact_start = before_start) AS waiting_in_transaction,
		count(*) FILTER (WHERE wait_event_type = 'Extension' AND before_event = 'Extension'
			AND backend_xmin IS NOT NULL AND before_xmin IS NOT NULL) AS waiting_with_snapshot
	FROM (SELECT *, lag(wait_event_type) OVER w AS before_event, lag(xact_start) OVER w AS before_start,
			lag(backend_xmin) OVER w AS before_xmin
		FROM samples WINDOW w AS (ORDER BY n)) s});
cmp_ok($idle->{waiting}, '>', 100, "the worker was seen waiting ($idle->{waiting} times)");
is($idle->{idle_in_transaction}, 0, 'it is never idle in transaction');
is($idle->{waiting_in_transaction}, 0, 'it waits outside any transaction');
is($idle->{waiting_with_snapshot}, 0, 'and with no snapshot');

# A provider that hangs

my $hanging = start_stub();
stub_connector($node, $hanging, 'hang');
connect_many($node, 'hang', $ASKERS + $GONE);
$hanging->order({ hold => JSON::PP::true });
$node->safe_psql('postgres',
	"UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 second', refresh_at = NULL WHERE connector_id = 'hang'");

# How long each of so many takes that ask for an expired token, four at a time, in ms.
sub latencies
{
	my ($from) = @_;
	my @sessions = map { Session->new($node, 'postgres') } 1 .. 4;

	foreach my $n (0 .. $#sessions)
	{
		$sessions[$n]->send(qq{
			CREATE TEMP TABLE latencies (ms double precision);
			DO \$\$
			DECLARE
				began timestamptz;
			BEGIN
				FOR i IN $from + $n * 25 .. $from + $n * 25 + 24 LOOP
					UPDATE appuser_connectors.connections
					SET expires_at = now() - interval '1 second', refresh_at = NULL WHERE app_user = 'many' || i;
					COMMIT;
					began := clock_timestamp();
					PERFORM access_token FROM appuser_connectors.app_user_connection('many' || i, 'many');
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

my @undisturbed = latencies(1);

# Calls pile up, more of them than the worker starts at once.
my @leaving = map { Session->new($node, 'app_service', settings => { 'appuser_connectors.wait_timeout' => '20ms' }) } 1 .. $SESSIONS;
foreach my $n (0 .. $#leaving)
{
	$leaving[$n]->send(qq{
		DO \$\$
		BEGIN
			FOR i IN $ASKERS + 1 + $n .. $ASKERS + $GONE BY $SESSIONS LOOP
				BEGIN
					PERFORM FROM appuser_connectors.app_user_connection('hang' || i, 'hang');
				EXCEPTION WHEN SQLSTATE 'UC003' THEN
					NULL;
				END;
				COMMIT;
			END LOOP;
		END \$\$});
}
foreach my $session (@leaving)
{
	is($session->answer->{err}, '', 'askers have come and gone');
	$session->close;
}
my @askers = map { Session->new($node, 'app_service') } 1 .. $ASKERS;
$askers[ $_ - 1 ]->send("SELECT access_token FROM appuser_connectors.app_user_connection('hang$_', 'hang')") foreach 1 .. $ASKERS;
wait_until('all ask', sub {
		$node->safe_psql('postgres', q{
			SELECT count(*) FROM pg_stat_activity
			WHERE query LIKE '%app_user_connection(''hang%' AND wait_event_type = 'Extension' AND usename = 'app_service'}) == $ASKERS
	});
wait_until('the provider holds as many as it may', sub { $hanging->ctl->{held} == 32 });
my @disturbed = latencies(101);
is($hanging->ctl->{held}, 32, "all the while $ASKERS askers wait for a provider that hangs");

my ($before, $during) = (median(@undisturbed), median(@disturbed));
note sprintf 'latency of a refresh: median %.0f ms, beside a provider that hangs %.0f ms; worst %.0f and %.0f ms',
	$before, $during, (sort { $a <=> $b } @undisturbed)[-1], (sort { $a <=> $b } @disturbed)[-1];
is(scalar @disturbed, 100, "the other connector's askers are served meanwhile");
cmp_ok($during, '<', 3 * $before, 'without being delayed');
# one that had to wait for the hanging provider would wait for its timeout
cmp_ok((sort { $a <=> $b } @disturbed)[-1], '<', 10_000, 'not even one of them');

$hanging->order({ hold => JSON::PP::false });
my $served = grep { $_->answer->{out} =~ /^access:hang\d+:2$/m } @askers;
is($served, $ASKERS, 'and when it answers at last all are served');
is($hanging->ctl->{reused}, 0, 'without a refresh token being used twice');

$_->close foreach @askers;
$node->stop;
done_testing();
