# More databases have the extension than max_worker_processes leaves places for: each
# that has no worker is named in the log, once, and its callers are told at once which
# setting to raise; when a place is free again it is taken, and the log says so.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# one for the launcher, one for that of logical replication, two for workers
my $node = new_node('main', 'max_worker_processes = 4', 'max_connections = 20', "appuser_connectors.wait_timeout = '60s'");
my $stub = AppuserConnectors::Server->start('token-stub.mjs', {}, sub { () });

sub superuser { return $node->safe_psql('postgres', $_[0]); }

sub log_lines
{
	my ($pattern) = @_;
	return scalar(() = slurp_file($node->logfile) =~ /$pattern/g);
}

sub has_worker
{
	my ($database) = @_;
	return superuser("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker' AND datname = '$database'") == 1;
}

# A flow there, and how long its end takes
sub finish_flow
{
	my ($database) = @_;
	my $state = url_parameters(authorization_url($node, 'alice', 'stub', database => $database))->{state};
	my $began = time();
	my ($sqlstate, $told) =
	  failure($node, 'app_service', "SELECT * FROM appuser_connectors.oauth_callback('$state', 'alice')", app_user => 'alice', database => $database);

	return ($sqlstate // 'connected', $told // '', time() - $began);
}

wait_until('the first has a worker', sub { has_worker('postgres') });
foreach my $database (qw(second third fourth))
{
	superuser("CREATE DATABASE $database");
	add_extension($node, $database);
	register($node, $stub, provider => 'stub', connector_id => 'stub', client_id => 'stub', client_secret => 'a secret', scopes => ['read'], database => $database);
	wait_until("$database has a worker, or none", sub {
			has_worker($database) || log_lines(qr/no place for a worker of database "$database"/) });
}
ok(has_worker('second'), 'the second database has a worker');
is((finish_flow('second'))[0], 'connected', 'and can be connected from');

foreach my $database (qw(third fourth))
{
	ok(!has_worker($database), "the $database has none");
	foreach my $time (1 .. 3)
	{
		my ($sqlstate, $told, $took) = finish_flow($database);
		is($sqlstate, 'UC007', "$database: who calls is told so");
		like($told, qr/HINT: .*max_worker_processes/, "$database: and what to raise");
		cmp_ok($took, '<', 20, "$database: without having to wait");
	}
	is(log_lines(qr/no place for a worker of database "$database"/), 1, "$database: the log names it, once");
	is(query($node, 'app_admin', "SELECT ok FROM appuser_connectors.check_health() WHERE name = 'worker'", database => $database), 'f',
		"$database: and so does check_health");
}
is((finish_flow('second'))[0], 'connected', 'the others go on');

# A restart, whose scanner finds them all
my $before = log_lines(qr/no place for a worker of database/);
$node->restart;
wait_until('two have none', sub { log_lines(qr/no place for a worker of database/) == $before + 2 });

# One goes, another comes.
my ($with) = grep { has_worker($_) } qw(second third fourth);
my @without = grep { $_ ne $with } qw(second third fourth);
SKIP:
{
	skip 'both places went to others', 3 unless defined $with;
	superuser("DROP DATABASE $with");
	wait_until('somebody takes its place', sub { log_lines(qr/has a place for the worker of database "(?:$without[0]|$without[1])" now/) == 1 });
	my $lucky = wait_until('which works', sub { (grep { has_worker($_) } @without)[0] });
	is((finish_flow($lucky))[0], 'connected', 'and can be connected from');
	my ($left) = grep { $_ ne $lucky } @without;
	is((finish_flow($left))[0], 'UC007', 'the last has none');
	is(log_lines(qr/has a place for the worker/), 1, 'one line says that it is over');
}

$node->stop;
done_testing();
