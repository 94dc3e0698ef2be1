# The gateway's pages, in a real browser: a person connects, refuses, tries again, connects again, has a second account, disconnects;
# nobody sees or finishes what is another's; an admin sets a connector up and is told what is wrong with it.  Each page is free of
# what axe finds, and of what its own content security policy refuses.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use IPC::Run ();
use JSON::PP;
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(usleep);

my $gateway = "$FindBin::RealBin/../../examples/gateway";
plan skip_all => 'there is no Chromium here' unless -x ($ENV{CHROMIUM} // '/usr/bin/chromium');
plan skip_all => 'the packages of the gateway are not installed' unless -d "$gateway/node_modules/fastify";

# The gateway is another site than the provider, as it is in earnest: cookies do not know ports.
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $origin = "http://localhost:$port";
my $foreign = PostgreSQL::Test::Cluster::get_free_port();
my $callback = "$origin/api/external-auth/callback";
my $provider = start_provider(tls => JSON::PP::false, redirect_uris => [$callback], clients => [
		{ client_id => 'app', client_secret => 'app secret: 100%+/&=' },
		{ client_id => 'other', client_secret => 'other secret', redirect_uris => ['http://localhost:1/elsewhere'] } ]);
my $node = new_node('main');
$node->safe_psql('postgres', 'CREATE ROLE app_backend LOGIN IN ROLE appuser_connectors_service;
	CREATE ROLE app_frontend LOGIN IN ROLE appuser_connectors_user;
	CREATE ROLE app_administrator LOGIN IN ROLE appuser_connectors_admin');
query($node, 'app_admin', 'SELECT appuser_connectors.register_provider(' . AppuserConnectors::quote('acme') . ', ' . AppuserConnectors::quote({ %{ $provider->definition }, name => 'Acme' }) . ')');

my ($log, $in, $told) = ('', '', '');
my ($host, $db_port) = ($node->host =~ s{/}{%2F}gr, $node->port);
my %environment = (
	GATEWAY_ORIGIN => $origin, GATEWAY_PORT => $port, GATEWAY_APP_ID => 'pages', GATEWAY_SERVICE_SECRET => 'a-service-secret-that-is-long-enough',
	GATEWAY_DEMO => 1, GATEWAY_REQUESTS_PER_MINUTE => 100000, GATEWAY_FLOWS_PER_MINUTE => 1000,
	GATEWAY_ALLOWED_ORIGINS => "http://127.0.0.1:$foreign", GATEWAY_ADMINS => 'root', map { ("GATEWAY_$_->[0]_DATABASE" => "postgres://$_->[1]\@$host:$db_port/postgres") } [ USER => 'app_frontend' ], [ SERVICE => 'app_backend' ], [ ADMIN => 'app_administrator' ]);
my $run;
{
	local @ENV{ keys %environment } = values %environment;
	$run = IPC::Run::start([ 'node', "$gateway/main.mjs", '--until-stdin-ends' ], '<', \$in, '>&', \$log);
}
wait_until('the gateway listens', sub { $run->pump_nb; $log =~ /"ready"/ || (!$run->pumpable && die $log) });

# who is signed in, as the demonstration's own sign-in says
my %jwt = map { my (undef, $body) = http("$origin/demo/token", '--data-urlencode', "user=$_"); $_ => decode($body)->{token} } qw(alice bob root);

# Where the pictures go: KEEP=1 leaves them with the rest of the run
my $pictures = $ENV{SCREENSHOTS} || "$PostgreSQL::Test::Utils::tmp_check/screenshots";
my $browser = IPC::Run::start([ 'node', "$FindBin::RealBin/../browser/pages.mjs", encode({
				origin => $origin, foreign => $foreign, provider => $provider->url, jwt => \%jwt, pictures => $pictures, host => $node->host, port => $db_port,
				only => $ENV{PAGES} }) ],
	'<', \undef, '>', \$told, '2>', \my $err);
my $seen = 0;
my $hear = sub {
	while ($told =~ /\G(.*)\n/gc)
	{
		my $said = eval { decode($1) } or next;
		ok($said->{ok}, $said->{name}) or diag($said->{why} // '');
		$seen++;
	}
};
# Each of its steps has a limit of its own; all together may take long on a busy machine.
while ($browser->pumpable)
{
	$_->pumpable && $_->pump_nb foreach $run, $browser;
	$hear->();
	usleep(50_000);
}
my $came = $browser->finish;
$hear->();
ok($came, 'to their end');
note($err);
cmp_ok($seen, '>', 20, 'and has told what it saw');
note("screenshots: $pictures");

$run->pump_nb;
unlike($log, qr/"level":"error"/, 'the gateway has recorded no error of its own');
unlike($log, qr/\Q$jwt{alice}\E|app secret|other secret/, 'and no secret');

# Without a database role for admins, and without a demonstration, there are neither's pages.
my $plain_port = PostgreSQL::Test::Cluster::get_free_port();
my $plain = "http://127.0.0.1:$plain_port";
my ($plain_in, $plain_log) = ('', '');
my $second;
{
	local @ENV{ keys %environment } = values %environment;
	delete local @ENV{qw(GATEWAY_ADMIN_DATABASE GATEWAY_DEMO)};
	local @ENV{qw(GATEWAY_ORIGIN GATEWAY_PORT)} = ($plain, $plain_port);
	$second = IPC::Run::start([ 'node', "$gateway/main.mjs", '--until-stdin-ends' ], '<', \$plain_in, '>&', \$plain_log);
}
wait_until('another gateway listens', sub { $second->pump_nb; $plain_log =~ /"ready"/ || (!$second->pumpable && die $plain_log) });
my ($status, $page) = http("$plain/connections", '-b', "__Host-visitor=$jwt{root}");
is($status, 200, 'without a role for admins there is the page of connections');
unlike($page, qr{/admin}, 'which leads to no page for admins');
is((http("$plain$_", '-b', "__Host-visitor=$jwt{root}"))[0], 404, "$_ is not there") foreach qw(/admin /admin/new /demo /demo/component);
($status, $page) = http("$plain/connections");
is($status, 401, 'nobody has connections');
unlike($page, qr{/demo}, 'nor is led to a demonstration');
is((http("$plain/connections", '-b', "__Host-visitor=$_"))[0], 401, 'nor who is not who they say') foreach 'x', $jwt{root} =~ s/\.[^.]*$/.AAAA/r;

# Whatever goes wrong has words among the texts that can be translated.
my %texts = map { $_ => 1 } PostgreSQL::Test::Utils::slurp_file("$gateway/pages/texts.mjs") =~ /^\t\t([a-z_]+): /mg;
my %kinds = map { $_ => 1 } map { PostgreSQL::Test::Utils::slurp_file($_) =~ /(?:Problem\(\d+, |\[(?:\d+, )?)'([a-z]+(?:_[a-z]+)+|busy)', /g } glob "$gateway/*.mjs $gateway/routes/*.mjs $gateway/pages/*.mjs $gateway/pages/*/*.mjs";
cmp_ok(scalar keys %kinds, '>', 15, 'the kinds of problems are found');
is(join(' ', grep { !$texts{$_} } sort keys %kinds), '', 'and each has words of its own on pages');

($in, $plain_in) = (undef, undef);
$_->finish foreach $run, $second;
$node->stop;
done_testing();
