# What is due is found at the same cost however long some snapshot has been open: the
# worker does not step over the dead entries of all that was refreshed since at each
# look, and it still finds what somebody puts behind where it looks.  Rows that are due
# and held by another transaction do not keep it busy, and are found when released.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use List::Util qw(sum0);
use PsqlSession;
use Session;
use Test::More;
use Time::HiRes qw(time);

my $CONNECTIONS = 600;
my $SESSIONS = 4;
my $WINDOW = 800;       # refreshes, of which the cost is taken
my $REFRESHES = 5000;   # while the snapshot is open

my $stub = AppuserConnectors::Server->start('token-stub.mjs', {}, sub { ('--expires-in', 3) });
my $node = new_node('due', 'max_connections = 40', 'autovacuum_naptime = 1s');

register($node, $stub, provider => 'stub', connector_id => 'stub', client_id => 'stub', client_secret => 'secret of stub', scopes => ['read']);

sub superuser { return $node->safe_psql('postgres', $_[0]); }

sub refreshes { return sum0 values %{ $stub->ctl->{refreshes} }; }

sub entries
{
	return superuser("SELECT idx_tup_read FROM pg_stat_all_indexes WHERE indexrelname = 'connections_due'");
}

# Index entries that the worker reads for one refresh, now
sub cost
{
	my ($what) = @_;
	my ($refreshes, $entries) = (refreshes(), entries());

	wait_until("$what: $WINDOW refreshes", sub { refreshes() >= $refreshes + $WINDOW });
	my $cost = (entries() - $entries) / (refreshes() - $refreshes);
	note(sprintf '%s: %.1f index entries a refresh', $what, $cost);
	return $cost;
}

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
			FOR i IN $n + 1 .. $CONNECTIONS BY $SESSIONS LOOP
				app_user := 'due' || i;
				PERFORM appuser_connectors.set_app_user(app_user);
				url := appuser_connectors.connect_app_user('stub');
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
	is($answer->{err}, '', 'they are connected');
	$session->close;
}

# ------------------------------------------------------------ an old snapshot

my $old = PsqlSession->new($node);

$old->ask('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM appuser_connectors.connections');
my $begun = refreshes();
my $cost = cost('the snapshot is new');
wait_until("$REFRESHES refreshes", sub { refreshes() >= $begun + $REFRESHES });
my $later = cost('the snapshot is old');
cmp_ok(superuser("SELECT pg_relation_size('appuser_connectors.connections_due') / 8192"), '>', 20, 'dead entries have piled up');
cmp_ok($later, '<', 4 * $cost + 20, 'one more refresh costs what it did');

# what comes behind where it looks: a time that was, and a transaction that comes late
my $late = PsqlSession->new($node);
my $far = "now() + interval '1 hour'";

superuser("UPDATE appuser_connectors.connections SET refresh_at = $far, expires_at = $far WHERE app_user IN ('due1', 'due2')");
wait_until('they rest', sub { superuser("SELECT count(*) FROM appuser_connectors.connections WHERE app_user IN ('due1', 'due2') AND refresh_at > now() + interval '30 min'") == 2 });
my $of = sub { return $stub->ctl->{refreshes}{ $_[0] }; };
my ($one, $two) = map { $of->($_) } 'due1', 'due2';

$late->ask("BEGIN; UPDATE appuser_connectors.connections SET refresh_at = now() WHERE app_user = 'due1'");
my $meanwhile = refreshes();
wait_until('others go on meanwhile', sub { refreshes() >= $meanwhile + 200 });
$late->ask('COMMIT');
superuser("UPDATE appuser_connectors.connections SET refresh_at = now() - interval '1 hour' WHERE app_user = 'due2'");
my $since = time;
wait_until('what came late is found', sub { $of->('due1') > $one && $of->('due2') > $two });
cmp_ok(time - $since, '<', 65, 'within a minute');
$old->ask('COMMIT');

# -------------------------------------------------- rows that are due and held

# what was under way has set it again
wait_until('nothing is due', sub {
		superuser('UPDATE appuser_connectors.connections SET refresh_at = NULL WHERE refresh_at IS NOT NULL');
		superuser("SELECT in_flight FROM appuser_connectors.pg_stat_appuser_connectors WHERE kind = 'refresh'") == 0 &&
		superuser('SELECT count(*) FROM appuser_connectors.connections WHERE refresh_at IS NOT NULL') == 0;
	});
superuser("UPDATE appuser_connectors.connections SET endpoints = 'elsewhere', refresh_at = now() WHERE app_user = 'due3'");
wait_until('one connection ends, without a call', sub { superuser("SELECT status FROM appuser_connectors.connections WHERE app_user = 'due3'") eq 'reconnect_required' });

my $holder = PsqlSession->new($node);

superuser("BEGIN; UPDATE appuser_connectors.connections SET endpoints = 'elsewhere', refresh_at = now() + interval '1 s' WHERE app_user LIKE 'due4_'; COMMIT");
$holder->ask("BEGIN; SELECT FROM appuser_connectors.connections WHERE app_user LIKE 'due4_' FOR UPDATE");
sub scans { return superuser("SELECT idx_scan FROM pg_stat_all_indexes WHERE indexrelname = 'connections_due'"); }
sleep 3;
my $scans = scans();
sleep 5;
cmp_ok(scans() - $scans, '<', 25, 'held rows do not keep the worker busy');
$since = time;
$holder->ask('COMMIT');
wait_until('released, they are found', sub { superuser("SELECT count(*) FROM appuser_connectors.connections WHERE app_user LIKE 'due4_' AND status = 'connected'") == 0 });
cmp_ok(time - $since, '<', 5, 'soon');

$_->close foreach $old, $late, $holder;
done_testing();
