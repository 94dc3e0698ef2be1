# What waits to be announced, revoked, told, swept or trimmed is worked off at the same cost however
# long some snapshot has been open: no look steps again over the dead entries of all that was
# worked off before it.  (Connections that are due: 084_due_scans.)

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PsqlSession;
use Test::More;

my $ROWS = 30_000;         # of each queue, of which a look takes a thousand
my $REVOCATIONS = 8000;    # of which it takes a hundred
my $REMINDERS = 6000;      # as of those
my $node = new_node('outbox', 'max_connections = 20', 'autovacuum = off', 'appuser_connectors.max_concurrent_requests_per_connector = 200');
my $worker = q{FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'};

sub superuser { return $node->safe_psql('postgres', $_[0]); }

# Without the indexes whose use is counted
sub left { return superuser("SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM appuser_connectors.$_[0]"); }

# Whose oldest rows lie apart, as those of a day do.  If each look began at the queue's beginning
# it would be 15 entries a row, and 80 of revocations, whose connectors are looked for as well.
my %queue = (
	'events to announce' => {
		index => 'connection_events_unannounced',
		rows => $ROWS,
		most => 10,
		add => "INSERT INTO appuser_connectors.connection_events SELECT 'ada', gen_random_uuid(), 'app', 'default', 'disconnected', NULL,
			now() - make_interval(secs => i), false FROM generate_series(1, $ROWS) AS i",
		left => 'connection_events WHERE NOT announced' },
	'events to trim' => {
		index => 'connection_events_occurred_at',
		rows => $ROWS,
		most => 10,
		add => "INSERT INTO appuser_connectors.connection_events SELECT 'bea', gen_random_uuid(), 'app', 'default', 'disconnected', NULL,
			now() - interval '60 days' - make_interval(secs => i), true FROM generate_series(1, $ROWS) AS i",
		left => "connection_events WHERE app_user = 'bea'" },
	'flows to sweep' => {
		index => 'authorizations_expires_at',
		rows => $ROWS,
		most => 10,
		add => "INSERT INTO appuser_connectors.authorizations SELECT 'cleo', sha256(i::text::bytea), 'app', 'default', 'https://app.example/callback', NULL,
			'{}', NULL, NULL, '', false, NULL, now(), now() - make_interval(secs => i) FROM generate_series(1, $ROWS) AS i",
		left => 'authorizations' },
	reminders => {
		index => 'connections_reminders',
		rows => $REMINDERS,
		most => 60,
		add => "INSERT INTO appuser_connectors.connections SELECT 'ella' || i, 'app', 'default', gen_random_uuid(), 1, 'connected', NULL, now(), NULL, NULL, 'Bearer',
			'{}', '{}', NULL, now(), now(), NULL, NULL, 0, NULL, 0, '', '', NULL, false, now(), now() - make_interval(secs => i) FROM generate_series(1, $REMINDERS) AS i",
		left => 'connections WHERE remind_at IS NOT NULL' },
	# which cannot be opened, and are given up one by one
	'revocations' => {
		index => 'revocations_due',
		rows => $REVOCATIONS,
		most => 40,
		add => "INSERT INTO appuser_connectors.revocations SELECT 'dora' || i, gen_random_uuid(), 'app', 'default', NULL, NULL, gen_random_uuid(),
			'\\x00', 0, now(), now() - make_interval(secs => i) FROM generate_series(1, $REVOCATIONS) AS i",
		left => 'revocations' });

# what is its own, which makes it one that calls providers
register($node, start_fault_server(), connector_id => 'app', scopes => ['read'], definition => { issuer => undef, jwks_uri => undef });
wait_until('there is a worker', sub { superuser("SELECT count(*) $worker") == 1 });
allow_inserts($node);
my $old = PsqlSession->new($node);
$old->ask('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM appuser_connectors.connection_events');
superuser("BEGIN; $queue{$_}{add}; COMMIT") foreach sort keys %queue;
superuser("ANALYZE");
# one that begins sweeps at once
superuser("SELECT pg_terminate_backend(pid) $worker");
foreach my $what (sort keys %queue)
{
	my $queue = $queue{$what};

	wait_until("all is worked off: $what", sub { superuser('SELECT pg_reload_conf()'); left($queue->{left}) == 0 });
}
# what the worker has counted it reports when it has done something, at last when it ends
superuser("SELECT pg_terminate_backend(pid) $worker");
foreach my $what (sort keys %queue)
{
	my $queue = $queue{$what};
	my $read = wait_until("it is counted: $what", sub { my $n = superuser("SELECT idx_tup_read FROM pg_stat_all_indexes WHERE indexrelname = '$queue->{index}'"); $n >= $queue->{rows} && $n });

	note sprintf '%s: %.1f entries a row', $what, $read / $queue->{rows};
	cmp_ok($read / $queue->{rows}, '<', $queue->{most}, "$what: a few entries of the index are read for each");
}
is(left("connection_events WHERE event = 'revocation_failed'"), $REVOCATIONS, 'and nothing was left out');

$old->ask('COMMIT');
$old->close;
$node->stop;
done_testing();
