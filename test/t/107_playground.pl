# The playground: one command leaves a whole application running, another ends it and leaves nothing behind; and the
# same in containers, of which each service's command is run here as docker-compose.yml has it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Cwd qw(abs_path);
use IPC::Run ();
use JSON::PP;
use PostgreSQL::Test::Utils qw(slurp_file append_to_file);
use Test::More;

my $top = abs_path("$FindBin::RealBin/../..");
my $bindir = `"$ENV{PG_CONFIG}" --bindir` =~ s/\n//r;

sub command
{
	my (@command) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run(\@command, '<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(300));
	return ($? >> 8, $out, $err);
}

END
{
	my $status = $?;
	command("$top/test/demo", '--stop');
	$? = $status;
}

# Alice's whole way through an application at that address, and bob's, which ends at once
sub walk_through
{
	my ($origin, $secret, $what) = @_;
	my $path = "$origin/api/apps/demo/app-user-auth/connectors/acme-files";
	my %jwt = map { $_ => decode((http("$origin/demo/token", '-H', 'Content-Type: application/json', '-d', encode({ user => $_ })))[1])->{token} } qw(alice bob);
	my $jar = PostgreSQL::Test::Utils::tempdir() . '/cookies';
	my @as_service = ('-H', "Authorization: Bearer $secret", '-H');

	# A jar keeps Secure cookies of http to itself, as browsers do not on this machine.
	my ($status, $answer) = http("$path/initiate", '-X', 'POST', '-D', $jar, '-H', "Authorization: Bearer $jwt{alice}");
	is($status, 200, "$what: alice begins to connect") or diag $answer;
	my ($cookie) = slurp_file($jar) =~ /^set-cookie: ([^;]*)/mi;
	my ($failed, $back) = command('node', "$top/test/provider/login.mjs", decode($answer)->{redirect_url}, 'alice');
	chomp $back;
	like($back, qr{^\Q$origin\E/api/external-auth/callback\?}, "$what: the provider sends her back");
	($status, $answer) = http($back, '-H', "Cookie: $cookie");
	is($status, 303, "$what: she is connected") or diag $answer;
	($status, $answer) = http("$path/token", @as_service, "on-behalf-of: Bearer $jwt{alice}");
	is($status, 200, "$what: the backend has her token") or diag $answer;
	ok(length(decode($answer)->{access_token} // '') > 20, "$what: which looks like one");
	is((http("$path/token", @as_service, "on-behalf-of: Bearer $jwt{bob}"))[0], 404, "$what: and none for bob");
	return;
}

# ------------------------------------------------------------------ test/demo

# A directory for each: one that is kept for looking at would not do.
$ENV{TMPDIR} //= '/tmp';
delete $ENV{KEEP};
my @before = glob "$ENV{TMPDIR}/appuser_connectors.*";
my ($status, $out, $err) = command("$top/test/demo", '--help');
is($status, 0, '--help');
like($out, qr/--serve.*--stop/s, 'says how');
is_deeply([ glob "$ENV{TMPDIR}/appuser_connectors.*" ], \@before, 'and starts nothing');
is((command("$top/test/demo", '--nonsense'))[0], 2, 'an unknown option is refused');
($status, $out) = command("$top/test/demo", '--stop');
is($status, 0, '--stop before --serve is no error');
like($out, qr/nothing/, 'and says so');

($status, $out, $err) = command("$top/test/demo", '--serve');
is($status, 0, '--serve') or diag $out, $err;
my ($origin) = $out =~ m{^pages +(http://localhost:\d+)/demo}m;
my ($secret_file) = $out =~ /service secret in (\S+)/;
my ($psql) = $out =~ /^psql +(psql '.*')$/m;
ok($origin && $secret_file && $psql, 'prints addresses') or BAIL_OUT($out);
like($out, qr/alice or bob/, 'and who may sign in');
walk_through($origin, slurp_file($secret_file) =~ s/\n//r, 'test/demo --serve');
is((http("$origin/demo"))[0], 200, 'the page to sign in on');
is((http("$origin/demo/token", '-H', 'Origin: http://rebound.example', '-d', 'user=root'))[0], 403, 'whose tokens are for no other page, whatever its name leads to');
my ($next) = $out =~ /^ +(psql '.*?SELECT.*?")$/ms;
like((command('sh', '-c', "PATH=$bindir:\$PATH $next"))[1], qr/alice +\| acme-files +\| connected/, 'what it says to do next shows her connection');

my ($again, $said) = command("$top/test/demo", '--serve');
is($again, 0, 'a second --serve');
is($said =~ s/^already running:\n//r, $out =~ s/\A.*?(?=^\npages)//msr, 'says where the first is');
my ($playground) = $secret_file =~ m{(.*)/};
my ($keeper) = slurp_file("$playground/keeper.pid") =~ /(\d+)/;
my @servers = map { m{/proc/(\d+)/} } grep { (readlink($_) // '') =~ /^\Q$playground\E/ } glob '/proc/[0-9]*/cwd';
cmp_ok(scalar(@servers), '>=', 3, 'a cluster, a provider and a gateway are running');
($status, $out) = command("$top/test/demo", '--stop');
is($status, 0, '--stop') or diag $out;
is(scalar(grep { kill 0, $_ } $keeper, @servers), 0, 'ends them all');
is_deeply([ glob "$ENV{TMPDIR}/appuser_connectors.*" ], \@before, 'and leaves nothing behind');

# ----------------------------------------------------------- docker-compose.yml

my $python = (grep { -x } '/usr/bin/python3')[0] // 'python3';
my ($no_yaml) = command($python, '-c', 'import yaml');
SKIP:
{
	skip 'python3-yaml is not installed', 1 if $no_yaml;

	my %port = (GATEWAY_PORT => PostgreSQL::Test::Cluster::get_free_port(), PROVIDER_PORT => PostgreSQL::Test::Cluster::get_free_port());
	my $text = slurp_file("$top/examples/docker-compose.yml");
	# As compose does: ${NAME:-default}
	$text =~ s/\$\{(\w+):-(\w+)\}/$port{$1} \/\/ die "$1 is not known"/ge;
	unlike($text, qr/\$/, 'no other variable');
	my ($bad, $json, $why) = (0, '', '');
	IPC::Run::run([ $python, '-c', 'import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)' ], '<', \$text, '>', \$json, '2>', \$why);
	is($why, '', 'docker-compose.yml is YAML') or skip 'it is not', 1;
	my $compose = decode($json);
	is_deeply([ sort keys %{ $compose->{services} } ], [ 'database', 'gateway', 'provider' ], 'it has three services');
	if ((command('docker', 'compose', 'version'))[0] == 0)
	{
		is((command('docker', 'compose', '-f', "$top/examples/docker-compose.yml", 'config', '-q'))[0], 0, 'which compose takes');
	}

	# Where the containers have volumes and programs, directories of this machine
	my $root = PostgreSQL::Test::Utils::tempdir_short();
	my %place = ('/var/lib/postgresql/data' => "$root/data", '/var/run/postgresql' => "$root/socket", '/source' => $top);
	foreach my $service (values %{ $compose->{services} })
	{
		foreach my $volume (@{ $service->{volumes} // [] })
		{
			my ($name, $at) = split /:/, $volume;

			ok(exists $compose->{volumes}{$name}, "volume $name exists");
			$place{$at} //= "$root$at";
		}
		like(slurp_file("$top/$service->{build}{dockerfile}"), qr/^FROM \S+ AS $service->{build}{target}$/m, 'its image is built');
	}
	mkdir $place{$_} foreach keys %place;
	my $placed = sub {
		my ($value) = @_;
		my $known = join '|', map { quotemeta } sort { length $b <=> length $a } keys %place;

		# In a database's URL the socket's directory is an encoded host.
		return $value =~ s/^(|[a-z_.]+=)($known)/$1$place{$2}/r =~ s{\@(%2F[^:]+)}{'@' . $place{ $1 =~ s/%2F/\//gr } =~ s/\//%2F/gr}er;
	};

	# The image's own program, in short: what it does for a directory that is empty
	mkdir "$root/bin";
	append_to_file("$root/bin/docker-entrypoint.sh", <<"END");
#!/bin/sh
set -eu
PATH=$bindir:\$PATH
initdb -A trust -U postgres -E UTF8 --no-locale --no-sync -D $place{'/var/lib/postgresql/data'}
cat >>$place{'/var/lib/postgresql/data'}/postgresql.conf <<-CONF
	unix_socket_directories = '$place{'/var/run/postgresql'}'
	fsync = off
CONF
export PGHOST=$place{'/var/run/postgresql'} PGUSER=postgres PGDATA=$place{'/var/lib/postgresql/data'}
program=\$1
shift
pg_ctl -w -o "\$(printf "'%s' " "\$@")" -l $root/init.log start >/dev/null
createdb "\$POSTGRES_DB"
psql -v ON_ERROR_STOP=1 --no-psqlrc -f $top/examples/playground.sql "\$POSTGRES_DB" >$root/setup.log
pg_ctl -w -m fast stop >/dev/null
exec \$program "\$@"
END
	chmod 0755, "$root/bin/docker-entrypoint.sh";
	like(slurp_file("$top/examples/docker/Dockerfile"), qr{^COPY examples/playground.sql /docker-entrypoint-initdb.d/$}m, 'the image sets the database up');
	like(slurp_file("$top/examples/docker/Dockerfile"), qr{^COPY examples/docker/start-database /usr/local/bin/$}m, 'and has the program that makes keys');

	my %running;
	my $start = sub {
		my ($name) = @_;
		my $service = $compose->{services}{$name};
		my @command = map { $placed->($_) } @{ $service->{command} };

		local %ENV = (%ENV, PATH => "$root/bin:$bindir:$top/examples/docker:$ENV{PATH}", map { $_ => $placed->($service->{environment}{$_}) } keys %{ $service->{environment} // {} });
		delete $ENV{$_} foreach grep { /^PG(?!_)/ } keys %ENV;
		my $input = '';
		$running{$name} = { out => '', harness => undef };
		$running{$name}{harness} = IPC::Run::start(\@command, $service->{stdin_open} ? ('<', \$input) : ('<', \undef), '>', "$root/$name.out", '2>', "$root/$name.err");
		return;
	};
	chdir $top or die $!;
	$start->('database');
	my @health = @{ $compose->{services}{database}{healthcheck}{test} };
	is(shift @health, 'CMD', 'the health check is a command');
	wait_until('the database is healthy', sub { -S "$root/socket/.s.PGSQL.5432" && do { local $ENV{PGHOST} = "$root/socket"; (command("$bindir/$health[0]", @health[1 .. $#health]))[0] == 0 } });
	$start->('provider');
	$start->('gateway');
	wait_until('the gateway answers', sub { (eval { (http("http://localhost:$port{GATEWAY_PORT}/healthz?database"))[0] } // 0) == 200 });
	is((stat "$root/root-key/key")[2] & 0777, 0600, 'nobody else reads the root key');
	walk_through("http://localhost:$port{GATEWAY_PORT}", slurp_file("$root/service-secret/secret") =~ s/\n//r, 'the containers\' commands');
	$running{gateway}{harness}->signal('TERM');
	$running{gateway}{harness}->finish;
	is($running{gateway}{harness}->full_result(0), 0, 'the gateway stops in order');
	$running{provider}{harness}->kill_kill;
	$running{database}{harness}->signal('INT');
	$running{database}{harness}->finish;
	is($running{database}{harness}->full_result(0), 0, 'the database as well');
}

done_testing();
