# The worker is there when it is needed and out of the way when it is not: it needs
# preloading and says so; commands that need a database to themselves run while it
# works, and whether they succeed or fail it is back (or gone for good) afterwards;
# whatever ends it, the next call works.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PsqlSession;
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(time);

my $provider = start_provider();
my $node = new_node('main', "appuser_connectors.shutdown_timeout = '1s'", 'restart_after_crash = on');
my $library = 'shared_preload_libraries';

# Process ids of a database's worker; at most one, ever.
sub workers
{
	my ($database) = @_;

	return split /\n/, $node->safe_psql('template1', qq{
		SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'appuser_connectors worker' AND datname = '$database'});
}

sub worker
{
	my ($database, $other_than) = @_;

	return wait_until("$database has a worker", sub {
			my @pids = workers($database);
			die "two workers in $database" if @pids > 1;
			return @pids && $pids[0] != ($other_than // 0) ? $pids[0] : undef;
		});
}

sub launcher
{
	return $node->safe_psql('template1', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'appuser_connectors launcher'");
}

# A token that had to be fetched just now: the worker does its work.
sub refreshes
{
	my ($database, $what) = @_;
	my $token = access_token($node, 'alice', 'app', database => $database);
	my $other = eval { access_token($node, 'alice', 'app', database => $database, rejected_token => $token) };

	diag $@ if $@;
	ok($other && $other ne $token, "a refresh works $what");
	return;
}

sub make_database
{
	my ($database) = @_;

	$node->safe_psql('template1', "CREATE DATABASE $database");
	add_extension($node, $database);
	register($node, $provider, connector_id => 'app', database => $database);
	is(connect_user($node, 'alice', 'app', database => $database)->{failure}, undef, "alice is connected in $database");
	return;
}

# A call that stays in flight in the worker, without a caller that waits for it.
sub leave_call_in_flight
{
	my ($database) = @_;
	my $token = access_token($node, 'alice', 'app', database => $database);
	my $held = $provider->ctl->{held};

	$provider->order({ faults => [ { path => '/token', hold => JSON::PP::true, times => 1 } ] });
	my ($state) = failure($node, 'app_service',
		"SELECT * FROM appuser_connectors.app_user_connection('alice', 'app', rejected_token => '$token')",
		database => $database, settings => { 'appuser_connectors.wait_timeout' => '50ms' });
	is($state, 'UC003', "a call is in flight in $database");
	wait_until('the provider has it', sub { $provider->ctl->{held} > $held });
	return;
}

sub release
{
	$provider->order({ faults => [], release => JSON::PP::true });
	return;
}

# --------------------------------------------------------- without preloading
register($node, $provider, connector_id => 'app');
is(connect_user($node, 'alice', 'app')->{failure}, undef, 'alice is connected');
my $token = access_token($node, 'alice', 'app');

$node->append_conf('postgresql.conf', "$library = ''");
$node->restart;
foreach my $case (
	[ 'app_admin', "SELECT appuser_connectors.register_connector('test', 'other', 'secret', ARRAY['read'], ARRAY['https://app.example/cb'], 'other')" ],
	[ 'app_admin', "SELECT appuser_connectors.update_connector('app', client_secret => 'changed')" ],
	[ 'app_admin', "SELECT appuser_connectors.delete_connector('app')" ],
	[ 'app_service', "SELECT appuser_connectors.connect_app_user('app')", app_user => 'alice' ],
	[ 'app_service', "SELECT * FROM appuser_connectors.oauth_callback('some state', 'some code')", app_user => 'alice' ],
	[ 'app_service', "SELECT * FROM appuser_connectors.current_app_user_connection('app')", app_user => 'alice' ],
	[ 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('alice', 'app')" ],
	[ 'app_service', "SELECT appuser_connectors.disconnect_app_user('app')", app_user => 'alice' ],
	[ 'app_service', "SELECT appuser_connectors.erase_app_user('alice')" ])
{
	my ($role, $sql, @options) = @$case;
	my ($state, $message) = failure($node, $role, $sql, @options);
	my ($function) = $sql =~ /appuser_connectors\.(\w+)/;

	is($state, 'UC007', "not preloaded: $function");
	like($message // '', qr/HINT:.*\b$library\b.*restart/, "not preloaded: the hint for $function says what to do");
}
$node->safe_psql('template1', 'CREATE DATABASE unloaded');
is($node->psql('unloaded', 'CREATE EXTENSION appuser_connectors'), 0, 'not preloaded: CREATE EXTENSION works');
is(query($node, 'app_service', 'SELECT appuser_connectors.current_app_user()', app_user => 'alice'), 'alice',
	'not preloaded: what needs no worker works');
foreach my $command ('DROP EXTENSION appuser_connectors', 'CREATE EXTENSION appuser_connectors')
{
	is($node->psql('unloaded', $command), 0, "not preloaded: $command");
}
is($node->psql('template1', 'DROP DATABASE unloaded'), 0, 'not preloaded: DROP DATABASE');

$node->append_conf('postgresql.conf', "$library = 'appuser_connectors'");
$node->restart;
is(access_token($node, 'alice', 'app'), $token, 'preloaded again: what was connected is still connected');
refreshes('postgres', 'when it is preloaded again');

# ---------------------------------------------------------- several databases
make_database('second');
my $first_worker = worker('postgres');
my $second_worker = worker('second');
isnt($first_worker, $second_worker, 'each database that has the extension has a worker of its own');
is(scalar(workers('template1')), 0, 'and no other has one');

# ---------------------------------- commands that need a database to themselves
my $tablespace = PostgreSQL::Test::Utils::tempdir_short();
$node->safe_psql('template1', "CREATE TABLESPACE elsewhere LOCATION '$tablespace'");

foreach my $in_flight (0, 1)
{
	my $when = $in_flight ? 'with a call in flight' : 'while the worker runs';
	my $started;

	foreach my $case (
		[ 'second', 'ALTER DATABASE second RENAME TO renamed', 'renamed' ],
		[ 'renamed', 'ALTER DATABASE renamed SET TABLESPACE elsewhere', 'renamed' ],
		[ 'renamed', 'ALTER DATABASE renamed SET TABLESPACE pg_default', 'renamed' ],
		[ 'renamed', 'CREATE DATABASE copy TEMPLATE renamed', 'renamed' ],
		[ 'copy', 'DROP DATABASE copy', undef ],
		[ 'renamed', 'ALTER DATABASE renamed RENAME TO second', 'second' ])
	{
		my ($database, $command, $then) = @$case;
		my $before = worker($database);
		my $call = $in_flight && $database ne 'copy';

		leave_call_in_flight($database) if $call;
		$started = time;
		my ($status, $out, $err) = $node->psql('template1', $command);
		is($status, 0, "$when: $command") or diag $err;
		cmp_ok(time - $started, '<', 4, "$when: it does not wait for the provider");
		release() if $call;
		isnt(worker($then, $before), $before, "$when: the worker is back after $command") if $then;
	}
	refreshes('second', "after all that $when");
}

# Two databases that change places in one transaction: the first is renamed twice.
$node->safe_psql('template1', 'CREATE DATABASE instead');
my ($swapped, undef, $why) = $node->psql('template1', "SET statement_timeout = '20s'; BEGIN; ALTER DATABASE second RENAME TO aside;
	ALTER DATABASE instead RENAME TO second;
	DO 'BEGIN WHILE NOT EXISTS (SELECT FROM pg_locks WHERE classid = ''pg_database''::regclass AND NOT granted) LOOP PERFORM pg_sleep(0.05); END LOOP; END';
	ALTER DATABASE aside RENAME TO instead; COMMIT");
is($swapped, 0, 'two databases change places in one transaction') or diag $why;
worker('instead');
$node->safe_psql('template1', 'BEGIN; ALTER DATABASE second RENAME TO aside; ALTER DATABASE instead RENAME TO second; COMMIT; DROP DATABASE aside');
refreshes('second', 'after they have changed back');

# What the copy may not do is another test's; here: it had a worker of its own.
$node->safe_psql('template1', 'CREATE DATABASE copy TEMPLATE second');
my $copys = worker('copy');
isnt($copys, worker('second'), 'a copy made from a template has a worker as well');

# ----------------------------------------------------- when such a command fails
foreach my $case (
	[ 'DROP DATABASE second', qr/being accessed by other users/ ],
	[ 'ALTER DATABASE second RENAME TO third', qr/being accessed by other users/ ],
	[ 'CREATE DATABASE third TEMPLATE second', qr/being accessed by other users/ ],
	[ 'ALTER DATABASE second RENAME TO copy', qr/already exists|being accessed/ ])
{
	my ($command, $expected) = @$case;
	my $before = worker('second');
	my $session = PsqlSession->new($node, undef, database => 'second');

	# CountOtherDBBackends() gives the session five seconds to go.  The session of the
	# command lives on: what brings the worker back is the end of the transaction.
	my $commander = PsqlSession->new($node, undef, database => 'postgres');
	$commander->ask("SET statement_timeout = '300ms'");
	like(($commander->send($command)->failure)[1], qr/$expected|statement timeout/, "$command fails, because of a session in that database");
	isnt(worker('second', $before), $before, 'and the worker is back');
	is($session->ask('SELECT 1'), '1', 'the session is still there');
	$session->close;
	$commander->close;
}
refreshes('second', 'after commands that failed');

{
	my $session = PsqlSession->new($node, undef, database => 'second');
	my $before = worker('second');

	$session->ask('BEGIN; DROP EXTENSION appuser_connectors');
	is(scalar(workers('second')), 0, 'while a transaction has dropped the extension, no worker is there');
	$session->ask('ROLLBACK');
	isnt(worker('second', $before), $before, 'DROP EXTENSION rolled back: the worker is back');
	refreshes('second', 'after DROP EXTENSION was rolled back');

	$before = worker('second');
	$session->ask('BEGIN; SAVEPOINT s; DROP EXTENSION appuser_connectors; ROLLBACK TO s; COMMIT');
	isnt(worker('second', $before), $before, 'the same to a savepoint');

	$before = worker('second');
	$session->ask('CREATE TABLE t (c appuser_connectors.registered_connectors)');
	like(($session->send('DROP EXTENSION appuser_connectors')->failure)[1], qr/other objects depend on it/, 'DROP EXTENSION that fails');
	isnt(worker('second', $before), $before, 'brings the worker back as well');
	refreshes('second', 'after DROP EXTENSION failed');
	$session->ask('DROP TABLE t');

	$before = worker('second');
	$session->ask('BEGIN; DROP EXTENSION appuser_connectors');
	$node->safe_psql('template1', "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE query LIKE 'BEGIN; DROP EXTENSION%' OR query LIKE 'DROP EXTENSION%' AND state = 'idle in transaction'");
	isnt(worker('second', $before), $before, 'and so does the end of a session in the middle of it');
	$session->close;
}

# The worker is told to go at whatever moment of its beginning, and as soon as it is seen.
$node->safe_psql('template1', 'CREATE DATABASE briefly');
{
	my $session = PsqlSession->new($node, undef, database => 'briefly');
	my $seen = q{DO $$ BEGIN
		WHILE NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'briefly' AND backend_type = 'appuser_connectors worker') LOOP
			PERFORM pg_stat_clear_snapshot();
		END LOOP;
	END $$};
	my $gone = 0;

	$session->ask("SET statement_timeout = '60s'; SET client_min_messages = warning");
	foreach my $moment (map { ($seen, "SELECT pg_sleep(0.002 * $_)") } 1 .. 30)
	{
		$session->ask('CREATE EXTENSION appuser_connectors');
		$gone++ if $session->send("$moment; DROP EXTENSION appuser_connectors")->failure eq 'none';
	}
	is($gone, 60, 'and is gone each time');
	$session->close;
}
$node->safe_psql('template1', 'DROP DATABASE briefly');

# ----------------------------------------------------------------- the unprivileged
$node->safe_psql('template1', 'CREATE ROLE creator LOGIN CREATEDB; CREATE ROLE landlord LOGIN; ALTER DATABASE second OWNER TO landlord');
foreach my $case (
	[ 'app_nobody', 'DROP DATABASE second' ],
	[ 'app_nobody', 'ALTER DATABASE second RENAME TO mine' ],
	[ 'app_nobody', 'ALTER DATABASE second SET TABLESPACE elsewhere' ],
	[ 'app_nobody', 'CREATE DATABASE mine TEMPLATE second' ],
	[ 'creator', 'CREATE DATABASE mine TEMPLATE second' ],
	[ 'creator', 'DROP DATABASE second' ],
	[ 'app_admin', 'DROP EXTENSION appuser_connectors', 'second' ],
	[ 'app_nobody', 'DROP SCHEMA appuser_connectors CASCADE', 'second' ],
	[ 'app_nobody', 'DROP OWNED BY app_nobody', 'second' ],
	[ 'landlord', 'DROP OWNED BY landlord', 'second' ],
	[ 'landlord', 'DROP SCHEMA appuser_connectors CASCADE', 'second' ],
	[ 'landlord', 'DROP EXTENSION appuser_connectors', 'second' ],
	[ 'landlord', 'DROP DATABASE second', 'second' ],
	[ 'landlord', 'ALTER DATABASE second RENAME TO mine' ],
	[ 'postgres', 'DROP SCHEMA appuser_connectors', 'second' ],
	[ 'postgres', 'DROP OWNED BY landlord, creator', 'second' ])
{
	my ($role, $command, $database) = @$case;
	my $before = worker('second');

	$node->psql($database // 'postgres', $command, extra_params => [ '-U', $role ]);
	is(worker('second'), $before, "$role cannot stop the worker by trying $command");
}

# Who owns a database has no say in who else's tokens are kept fresh in it.
{
	my $before = worker('second');
	my $session = PsqlSession->new($node, 'landlord', database => 'second');

	$session->ask('BEGIN; DROP OWNED BY landlord');
	refreshes('second', 'while a transaction that has dropped what its role owns is open');
	is(worker('second'), $before, 'whose worker is the same');
	$session->close;
}

# What is rolled back to a savepoint did not happen.
{
	my $session = PsqlSession->new($node, undef, database => 'second');

	$session->ask('BEGIN; SAVEPOINT before; DROP EXTENSION appuser_connectors; ROLLBACK TO before');
	refreshes('second', 'DROP EXTENSION that was rolled back to a savepoint, in a transaction that is still open');
	$session->ask('SAVEPOINT outer_one; SAVEPOINT inner_one; DROP EXTENSION appuser_connectors; RELEASE inner_one');
	is(workers('second'), 0, 'one whose savepoint was released keeps the worker out');
	$session->ask('ROLLBACK TO outer_one');
	refreshes('second', 'until the savepoint around it is rolled back to');
	$session->close;
}

# Where connections are not allowed none is tried.
{
	my $before = worker('second');
	my $log = -s $node->logfile;

	$node->safe_psql('template1', "ALTER DATABASE second ALLOW_CONNECTIONS false; SELECT pg_terminate_backend($before, 10000)");
	# the launcher has looked again when it has given this one its worker
	$node->safe_psql('template1', 'CREATE DATABASE meanwhile');
	add_extension($node, 'meanwhile');
	worker('meanwhile');
	is(workers('second'), 0, 'a database that lets nobody in has no worker');
	unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile, $log), qr/FATAL/, 'and none tries to get in');
	$node->safe_psql('template1', 'ALTER DATABASE second ALLOW_CONNECTIONS true; DROP DATABASE meanwhile');
	isnt(worker('second', $before), $before, 'until it lets them in again');
}

# ------------------------------------------------ the extension goes, and comes again
$node->safe_psql('template1', 'CREATE ROLE dba SUPERUSER LOGIN');
foreach my $command ('DROP EXTENSION appuser_connectors', 'DROP SCHEMA appuser_connectors CASCADE', 'DROP OWNED BY dba CASCADE')
{
	worker('second');
	leave_call_in_flight('second') if $command =~ /EXTENSION/;
	my ($status, undef, $err) = $node->psql('second', $command);
	release() if $command =~ /EXTENSION/;
	is($status, 0, $command) or diag $err;
	wait_until('the worker is gone', sub { !workers('second') });
	is($node->safe_psql('second', "SELECT count(*) FROM pg_extension WHERE extname = 'appuser_connectors'"), 0,
		'the extension is gone');
	$node->safe_psql('second', 'CREATE EXTENSION appuser_connectors', extra_params => [ '-U', 'dba' ]);
	register($node, $provider, connector_id => 'app', database => 'second');
	is(connect_user($node, 'alice', 'app', database => 'second')->{failure}, undef, "after $command, CREATE EXTENSION again connects");
}
{
	my $before = worker('second');

	isnt($node->psql('second', 'DROP OWNED BY appuser_connectors_owner CASCADE'), 0, 'DROP OWNED of what belongs to the extension fails');
	isnt(worker('second', $before), $before, 'and the worker is back');
	refreshes('second', 'after that');
}

my $offset = -s $node->logfile;
$node->safe_psql('template1', 'CREATE DATABASE third');
$node->safe_psql('third', 'BEGIN; CREATE EXTENSION appuser_connectors; ROLLBACK');
$node->safe_psql('template1', 'DROP DATABASE copy');
{
	my $session = PsqlSession->new($node, undef, database => 'second');

	is($node->psql('template1', 'DROP DATABASE second WITH (FORCE)'), 0, 'DROP DATABASE WITH (FORCE) with a session and a worker there');
	$session->close;
}
# Every change makes the launcher look again; this one does so for certain.
add_extension($node, 'third');
worker('third');
$node->safe_psql('third', 'DROP EXTENSION appuser_connectors');
wait_until('the worker of third is gone', sub { !workers('third') });
sleep_until_idle();
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile, $offset), qr/FATAL:.*(?:database \S+ does not exist|does not exist)|no place for a worker/,
	'nothing tries to start in databases that are gone');
is($node->safe_psql('template1', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'appuser_connectors worker'"), 1,
	'the one worker left is the one of the database that has the extension');

# The launcher restarts workers after at most twice the delay before: what loops shows
# within a second.
sub sleep_until_idle
{
	my $until = time + 1;

	wait_until('a second has passed', sub { time > $until });
	return;
}

# ------------------------------------------------------------ whatever ends a process
my $before = worker('postgres');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($before, 5000)");
refreshes('postgres', 'just after its worker was terminated');
isnt(worker('postgres'), $before, 'by another worker');

$before = launcher();
$node->safe_psql('postgres', "SELECT pg_terminate_backend($before, 5000)");
wait_until('the launcher is back', sub { launcher() ne '' && launcher() != $before });
refreshes('postgres', 'after the launcher was terminated');
$before = worker('postgres');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($before, 5000)");
refreshes('postgres', 'when the new launcher has to start the worker');

$before = worker('postgres');
kill 'KILL', $before;
wait_until('the cluster has recovered', sub {
		my ($status, $out) = $node->psql('template1', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'");
		return $status == 0 && $out ne '' && $out != $before;
	});
refreshes('postgres', 'after kill -9 of the worker');

# --------------------------------------------------------------------- a restart
$provider->order({ set => { access_token_ttl => 5 } });
refreshes('postgres', 'with tokens that live for five seconds');
my $count = $provider->refreshes;
# A database whose DROP was cut short, which nobody can connect to, is in nobody's way.
$node->safe_psql('template1', 'CREATE DATABASE broken');
$node->safe_psql('template1', q{UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'broken'});
$node->restart;
wait_until('what is due is refreshed after a restart, without being asked', sub { $provider->refreshes > $count });
pass('what is due is refreshed after a restart, without being asked');
$node->safe_psql('template1', 'DROP DATABASE broken');
$provider->order({ set => { access_token_ttl => 3600 } });
refreshes('postgres', 'after that');

# ------------------------------------------------------- max_worker_processes too small
# The server's own launcher of logical replication, ours, and one worker.
$node->append_conf('postgresql.conf', 'max_worker_processes = 3');
$node->restart;
worker('postgres');
add_extension($node, 'third');
register($node, $provider, connector_id => 'app', database => 'third');
foreach my $time ('the first time', 'and again at once')
{
	my $url = authorization_url($node, 'alice', 'app', database => 'third');
	my $started = time;
	my ($state, $message) = failure($node, 'app_service',
		sprintf("SELECT * FROM appuser_connectors.oauth_callback('%s', 'code')", url_parameters($url)->{state}),
		app_user => 'alice', database => 'third');
	is($state, 'UC007', "no room for another worker: UC007 $time");
	like($message, qr/HINT:.*max_worker_processes/, 'the hint names the setting');
	cmp_ok(time - $started, '<', 10, 'long before wait_timeout');
}
$node->safe_psql('postgres', 'DROP EXTENSION appuser_connectors');
is(connect_user($node, 'alice', 'app', database => 'third')->{failure}, undef, 'as soon as there is room it works');
is(scalar(grep { /no place for a worker of database "third"$/ } split /\n/, PostgreSQL::Test::Utils::slurp_file($node->logfile, $offset)),
	1, 'the log says so once, not each time');

$node->stop;
done_testing();
