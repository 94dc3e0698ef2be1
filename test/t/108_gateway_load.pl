# Many people at once through the gateway and a PgBouncer: every answer is that of who asked, and none is an error.  With TEST_FULL, which is for a
# machine with nothing else to do: 200 of them for a minute, and a token costs no more through the gateway than by the route that teams write
# themselves.
#
# Runs alone: it would have the others late, and compares how long things take.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Gateway;
use IPC::Run ();
use PostgreSQL::Test::Utils ();
use Test::More;

plan skip_all => Gateway::lacking() if Gateway::lacking();

my $full = $ENV{TEST_FULL};
my $node = new_node('main', 'max_connections = 100');
my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin';
my $pid;

if ($pgbouncer)
{
	my $directory = PostgreSQL::Test::Utils::tempdir_short();
	my $port = PostgreSQL::Test::Cluster::get_free_port();

	PostgreSQL::Test::Utils::append_to_file("$directory/users", join '', map { qq{"$_" ""\n} } qw(bench_frontend bench_backend));
	# fewer connections to the server than the gateway has to it
	PostgreSQL::Test::Utils::append_to_file("$directory/pgbouncer.ini", join "\n",
		'[databases]', 'postgres = host=' . $node->host . ' port=' . $node->port . ' dbname=postgres', '[pgbouncer]',
		'listen_addr =', "unix_socket_dir = $directory", "listen_port = $port", 'auth_type = trust', "auth_file = $directory/users",
		'pool_mode = transaction', 'default_pool_size = 4', 'max_client_conn = 100', "logfile = $directory/log", "pidfile = $directory/pid", '');
	$pid = fork // die 'fork failed';
	if ($pid == 0)
	{
		open STDOUT, '>', "$directory/out";
		open STDERR, '>&', \*STDOUT;
		exec $pgbouncer, "$directory/pgbouncer.ini" or die 'exec failed';
	}
	wait_until('PgBouncer is there', sub { -S "$directory/.s.PGSQL.$port" });
	$pgbouncer = { host => $directory, port => $port };
}
END { local $?; kill 'KILL', $pid if $pid }

my %settings = (host => $node->host, port => $node->port, users => $full ? 200 : 40, seconds => $full ? 60 : 4, rounds => $full ? 15 : 1, each => $full ? 3 : 0.4, attempts => $full ? 5 : 1);
my ($out, $err);
my $ran = IPC::Run::run([ 'node', "$FindBin::RealBin/../bench/gateway.mjs", encode({ %settings, $pgbouncer ? (bouncer => $pgbouncer) : () }) ], '<', \undef, '>', \$out, '2>', \$err);
ok($ran, 'it has run') or diag($err);
note($out);
my $found = decode($out || '{}');
my $load = $found->{load};

SKIP:
{
	skip 'there is no PgBouncer here: the load went by without', 1 unless $pgbouncer;
	pass('through a PgBouncer, in transactions');
}
cmp_ok($load->{tokens}, '>', $settings{users} * 10, "$settings{users} people asked $load->{requests} times");
is($load->{wrong}, 0, 'each answer is that of who asked') or diag($load->{first});
is($load->{errors}, 0, 'and none is an error') or diag($load->{first});
cmp_ok($found->{ratio}, '>=', $full ? 1 : 0, "tokens through the gateway, to those by a route of one's own: $found->{ratio} times as many");

$node->stop;
done_testing();
