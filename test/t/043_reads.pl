# A fresh read costs one index lookup and nothing else: no WAL, no transaction id, no
# lock beyond ACCESS SHARE, no worker; it works in a READ ONLY transaction.  However
# long a backend or the worker lives and whatever fails in it, its memory stays flat.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PsqlSession;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my $provider = start_provider();
my $node = new_node('main', "shared_preload_libraries = 'appuser_connectors, pg_stat_statements'",
	'pg_stat_statements.track = all', 'autovacuum = off');

register($node, $provider, connector_id => 'app');
is(connect_user($node, 'alice', 'app')->{failure}, undef, 'alice is connected');
my $token = access_token($node, 'alice', 'app');
my $session = PsqlSession->new($node);

# ------------------------------------------------------------------ what it does not do
my $read = q{appuser_connectors.app_user_connection('alice', 'app')};
my $identified = q{appuser_connectors.current_app_user_connection('app')};

foreach my $mode ('READ ONLY', 'READ ONLY, ISOLATION LEVEL REPEATABLE READ', 'READ ONLY, ISOLATION LEVEL SERIALIZABLE')
{
	is($session->ask("BEGIN $mode; SELECT access_token FROM $read; COMMIT"), $token, "a fresh read works in a transaction that is $mode");
	is($session->ask("BEGIN $mode; SELECT appuser_connectors.set_app_user('alice') \\g /dev/null\nSELECT access_token FROM $identified; COMMIT"),
		$token, 'that of the transaction\'s app user, too');
}

is($session->ask(qq{
	BEGIN;
	SELECT appuser_connectors.set_app_user('alice') \\g /dev/null
	SELECT count(access_token) FROM $read;
	SELECT count(access_token) FROM $identified;
	SELECT pg_current_xact_id_if_assigned() IS NULL;
	SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype <> 'virtualxid' AND mode <> 'AccessShareLock';
	SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation IN
		(SELECT oid FROM pg_class WHERE relnamespace = 'appuser_connectors'::regnamespace);
	COMMIT}), "1\n1\nt\n0\n0", 'it assigns no transaction id, and leaves no lock behind');

$node->safe_psql('postgres', 'CREATE EXTENSION pg_stat_statements');
$session->ask("SELECT count(access_token) FROM $read; SELECT pg_stat_statements_reset()");
$session->ask("SELECT count(access_token) FROM $read") foreach 1 .. 3;
$session->ask("BEGIN; SELECT appuser_connectors.set_app_user('alice'); SELECT count(access_token) FROM $identified; COMMIT") foreach 1 .. 3;
is($session->ask(q{
	SELECT sum(calls), sum(wal_records), sum(wal_bytes), sum(shared_blks_dirtied), sum(shared_blks_written)
	FROM pg_stat_statements WHERE query LIKE '%app_user_connection%'}), '6|0|0|0|0', 'it writes no WAL and dirties no page');
is($session->ask(q{SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%appuser_connectors.connections%'}), 0,
	'and runs no SQL of its own');

# A lock in mode EXCLUSIVE lets nobody but ACCESS SHARE in.
my $other = PsqlSession->new($node);
my $tables = $node->safe_psql('postgres', q{
	SELECT string_agg(oid::regclass::text, ', ') FROM pg_class
	WHERE relnamespace = 'appuser_connectors'::regnamespace AND relkind = 'r'});
$other->ask("BEGIN; SELECT FROM appuser_connectors.connections FOR UPDATE; LOCK TABLE $tables IN EXCLUSIVE MODE");
is(query($node, 'app_service', "SELECT access_token FROM $read", settings => { lock_timeout => '2s' }), $token,
	'while every table of the extension is locked in mode EXCLUSIVE, and the row too, it works at once');
is(query($node, 'app_service', "SELECT access_token FROM $identified", app_user => 'alice', settings => { lock_timeout => '2s' }), $token,
	'by either function');
is((failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('bob', 'app')", settings => { lock_timeout => '2s' }))[0],
	'UC001', 'and so does finding that there is none');
$other->ask('ROLLBACK');

# A worker that ends does not come back to a database that lets nobody in; who is in it stays.
my $workers = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'};
my $inside = PsqlSession->new($node, 'app_service');
$node->safe_psql('template1', "ALTER DATABASE postgres ALLOW_CONNECTIONS false;
	SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'");
is($node->safe_psql('template1', $workers), 0, 'there is no worker');
my ($state) = $inside->send("SET appuser_connectors.wait_timeout = '200ms'; SELECT * FROM appuser_connectors.app_user_connection('alice', 'app', rejected_token => '$token')")->failure;
like($state, qr/^UC00[37]$/, 'so that a refresh is impossible');
is($inside->ask("SELECT access_token FROM appuser_connectors.app_user_connection('alice', 'app')"), $token, 'and a fresh read works all the same');
$node->safe_psql('template1', 'ALTER DATABASE postgres ALLOW_CONNECTIONS true');
$_->close foreach $inside, $other;

# ---------------------------------------------------------------------------- memory
# How much a backend has grown by while it did $body $n times, after the first tenth:
# (bytes in memory contexts, kilobytes of private memory).
sub growth
{
	my ($n, $body, $declarations) = @_;
	my $pid = $session->ask('SELECT pg_backend_pid()');
	my $run = sub {
		my ($times) = @_;

		$session->ask(qq{
			DO \$\$
			DECLARE
				happened integer := 0;
				@{[ $declarations // '' ]}
			BEGIN
				FOR i IN 1 .. $times LOOP
					$body
				END LOOP;
				PERFORM set_config('test.happened', happened::text, false);
			END \$\$;});
		is($session->ask('SHOW test.happened'), $times, "$times times");
		return ($session->ask('SELECT sum(total_bytes) FROM pg_backend_memory_contexts'), private_memory($pid));
	};
	my ($contexts, $private) = $run->($n / 10);
	my ($contexts_after, $private_after) = $run->($n);

	return ($contexts_after - $contexts, $private_after - $private);
}

sub private_memory
{
	my ($pid) = @_;

	return slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m ? $1 : die 'no RssAnon';
}

foreach my $case (
	[ 100_000, 'fresh reads, a transaction each',
		q{PERFORM set_config('x.x', '', false) WHERE appuser_connectors.set_app_user('alice') IS NULL;
		SELECT happened + count(access_token) INTO happened FROM appuser_connectors.current_app_user_connection('app'); COMMIT;} ],
	[ 100_000, 'fresh reads in one transaction',
		q{SELECT happened + count(access_token) INTO happened FROM appuser_connectors.app_user_connection('alice', 'app');} ],
	[ 100_000, 'errors in exception blocks',
		q{BEGIN
			PERFORM FROM appuser_connectors.app_user_connection('nobody', 'app');
		EXCEPTION WHEN SQLSTATE 'UC001' THEN
			happened := happened + 1;
		END;} ],
	[ 5_000, 'calls of connect_app_user, a transaction each',
		q{PERFORM appuser_connectors.set_app_user('alice');
		happened := happened + (appuser_connectors.connect_app_user('app') LIKE 'https://%')::integer; COMMIT;} ],
	[ 5_000, 'refused callbacks',
		q{BEGIN
			PERFORM FROM appuser_connectors.oauth_callback('no state of ours', 'code');
		EXCEPTION WHEN SQLSTATE 'UC005' THEN
			happened := happened + 1;
		END;} ])
{
	my ($n, $what, $body) = @$case;
	my ($contexts, $private) = growth($n, $body);

	cmp_ok($contexts, '<=', 64 * 1024, "$n $what: memory contexts have not grown");
	cmp_ok($private, '<=', 1024, "$n $what: nor has the process");
}

# Inside one statement, too: each read gives back what it used.
$session->ask('CREATE FUNCTION contexts() RETURNS bigint LANGUAGE sql AS $$ SELECT sum(total_bytes)::bigint FROM pg_backend_memory_contexts $$');
my $grown = $session->ask(q{
	SELECT max(m) - min(m) FROM (
		SELECT CASE WHEN i % 25000 = 0 THEN contexts() END AS m
		FROM generate_series(1, 100000) AS i, LATERAL appuser_connectors.app_user_connection(left('alice' || i, 5), 'app')) AS s});
cmp_ok($grown, '<=', 256 * 1024, '100000 reads in one statement: memory contexts have not grown');

my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'});
# What is used of the worker's memory contexts, in bytes, when nothing is under way
sub worker_contexts
{
	my $offset = -s $node->logfile;

	wait_until('nothing is left to do', sub {
			$node->safe_psql('postgres', 'SELECT count(*) FROM appuser_connectors.revocations') == 0
			  && $node->safe_psql('postgres', "SELECT state FROM pg_stat_activity WHERE pid = $pid") eq 'idle';
		});
	$node->safe_psql('postgres', "SELECT pg_log_backend_memory_contexts($pid)");
	return wait_until('the worker has counted', sub { slurp_file($node->logfile, $offset) =~ /Grand total: .* (\d+) used/ ? $1 : undef });
}

# Whoever rejects one token after the other is stopped; a token whose time is over is renewed.
$node->safe_psql('postgres', q{CREATE FUNCTION public.age() RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
	UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 s', refresh_at = NULL WHERE app_user = 'alice' $$});
my $refresh = q{
	PERFORM public.age();
	COMMIT;
	SELECT access_token INTO token FROM appuser_connectors.app_user_connection('alice', 'app');
	happened := happened + (token IS NOT NULL)::integer;
	COMMIT;};
my $declaration = q{token text := (SELECT access_token FROM appuser_connectors.app_user_connection('alice', 'app'));};
my $count = $provider->refreshes;
growth(500, $refresh, $declaration);
my ($before, $in_contexts) = (private_memory($pid), worker_contexts());
my ($contexts, $private) = growth(2_000, $refresh, $declaration);
cmp_ok($provider->refreshes - $count, '>=', 2_500, 'the worker has refreshed thousands of times');
cmp_ok(private_memory($pid) - $before, '<=', 1024, '2000 refreshes: the worker has not grown');
cmp_ok(worker_contexts() - $in_contexts, '<=', 64 * 1024, 'by nothing that it has kept');
cmp_ok($contexts, '<=', 64 * 1024, 'nor has the backend that asked');

# Connecting and disconnecting: exchanges, events and revocations
my $terse = start_fault_server();
$terse->rules({ path => '/token', body => { access_token => 'a', refresh_token => 'r', token_type => 'Bearer', expires_in => 3600 } },
	{ path => '/token/revocation', status => 200 });
register($node, $terse, provider => 'terse', connector_id => 'terse', scopes => ['read']);
my $come_and_go = q{
	PERFORM appuser_connectors.set_app_user('person ' || i);
	state := substring(appuser_connectors.connect_app_user('terse') FROM 'state=([^&]+)');
	COMMIT;
	PERFORM appuser_connectors.set_app_user('person ' || i);
	PERFORM FROM appuser_connectors.oauth_callback(state, code => 'code') WHERE failure IS NULL;
	happened := happened + FOUND::integer;
	COMMIT;
	PERFORM appuser_connectors.set_app_user('person ' || i);
	PERFORM appuser_connectors.disconnect_app_user('terse');
	COMMIT;};
growth(100, $come_and_go, 'state text;');
($before, $in_contexts) = (private_memory($pid), worker_contexts());
growth(500, $come_and_go, 'state text;');
cmp_ok(worker_contexts() - $in_contexts, '<=', 64 * 1024, '500 who connect and disconnect: the worker has kept nothing of it');
cmp_ok(private_memory($pid) - $before, '<=', 1024, 'and has not grown');
is($node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'}), $pid,
	'it was the same worker all the time');

$session->close;
$node->stop;
done_testing();
