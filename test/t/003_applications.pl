# The web applications in docs/getting-started.md, as they stand there: whoever copies one
# has a button that connects, a callback that only the browser that began may finish, an
# API call that gets over a 401, and a button that disconnects.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use IO::Socket::INET;
use IPC::Run ();
use JSON::PP;
use PostgreSQL::Test::Utils;
use Pages;
use Test::More;

my $page = 'docs/getting-started.md';
my $directory = PostgreSQL::Test::Utils::tempdir;
my $application = 'http://127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port();
my $provider = start_provider(tls => JSON::PP::false, access_token_ttl => 60, redirect_uris => ["$application/oauth/callback"],
	clients => [ { client_id => 'demo-app', client_secret => 'demo-secret' } ]);
my $node = new_node('main');
$node->safe_psql('postgres', 'CREATE ROLE app_backend LOGIN IN ROLE appuser_connectors_service');

my ($register, @rest) = grep { $_->{language} eq 'sql' } blocks($page);
$register->{text} = replace($register->{text}, $provider, $application);
my $session = Pages::Session->new($node, 'postgres', $provider);
my ($state, undef, $told) = $session->paste($register);
is($state, undef, "$page, line $register->{line}") or diag($told);

symlink "$FindBin::RealBin/../node_modules", "$directory/node_modules" or die $!;
my %ways = (
	js => [ 'app.mjs', 'node', -d "$directory/node_modules/pg" ? undef : 'there is no package pg' ],
	python => [ 'app.py', '/usr/bin/python3', system('/usr/bin/python3 -c "import psycopg" 2>/dev/null') == 0 ? undef : 'there is no psycopg' ]);

# (status, location, cookie, body)
sub ask
{
	my ($path, @options) = @_;
	my ($status, $answer) = http($path =~ /^http/ ? $path : "$application$path", '-i', @options);

	my ($location) = $answer =~ /^location: (\S*)/mi;
	my ($cookie) = $answer =~ /^set-cookie: ([^;]*)/mi;

	return ($status, $location, $cookie, $answer =~ s/.*?\r?\n\r?\n//sr);
}

# As a browser would: connect, sign in, agree; where it ends, and its cookie
sub begin
{
	my (@options) = @_;
	my ($status, $location, $cookie) = ask('/connect', '-X', 'POST');
	my ($address, $err);

	is($status, 303, 'a browser that wants to connect is sent away');
	IPC::Run::run([ 'node', "$FindBin::RealBin/../provider/login.mjs", $location, 'alice', @options ], '>', \$address, '2>', \$err) or die $err;
	chomp $address;
	return ($address, $cookie);
}

foreach my $block (grep { $ways{ $_->{language} } } blocks($page))
{
  SKIP:
	{
		my ($file, $program, $lacking) = @{ $ways{ $block->{language} } };
		my ($out, $err) = ('', '');

		skip "$page, line $block->{line}: $lacking", 1 if $lacking;
		note("$page, line $block->{line}: $file");
		PostgreSQL::Test::Utils::append_to_file("$directory/$file", replace($block->{text}, $provider, $application));
		local @ENV{qw(PGHOST PGPORT PGDATABASE PGUSER)} = ($node->host, $node->port, 'postgres', 'app_backend');
		my $run = IPC::Run::start([ $program, "$directory/$file" ], '<', \undef, '>', \$out, '2>', \$err);
		wait_until("$file listens", sub { $run->pump_nb; $out =~ /listening on \Q$application\E/ || !$run->pumpable });

		my (undef, undef, undef, $body) = ask('/');
		like($body, qr/Not connected.*action="\/connect"/, "$file: at first there is a button");

		my ($address) = begin();
		is((ask($address))[0], 400, "$file: another browser cannot finish");
		($address, my $cookie) = begin('--cancel');
		my ($status, $location) = ask($address, '-H', "Cookie: $cookie");
		is("$status $location", '303 /?failure=access_denied', "$file: whoever refuses comes back to the application");
		like((ask($location))[3], qr/It was not connected: access_denied/, "$file: and is told");

		($address, $cookie) = begin();
		($status, $location) = ask($address, '-H', "Cookie: other=1; $cookie");
		is("$status $location", '303 /', "$file: the browser that began finishes");
		is(join(' ', (ask($address, '-H', "Cookie: $cookie"))[0, 1]), '303 /', "$file: and may reload the page");
		like((ask('/'))[3], qr/The API answers: .*alice.*action="\/disconnect"/, "$file: the API answers for alice");

		if (my $job = shift @rest)
		{
			($state, $out, $told) = $session->paste($job);
			is($state, undef, "$page, line $job->{line}") or diag($told);
			like($out, qr/\(1 row\)/, 'a job has her token as well');
			$out = '';
		}

		my $refreshes = $provider->refreshes('demo-app');
		$provider->order({ faults => [ { path => '/me', status => 401, times => 1 } ] });
		like((ask('/'))[3], qr/The API answers: .*alice/, "$file: it gets over a 401");
		is($provider->refreshes('demo-app'), $refreshes + 1, "$file: by one other token");

		$provider->order({ faults => [ { path => '/me', status => 401 }, { path => '/token', status => 503 } ] });
		is((ask('/'))[0], 503, "$file: it says so when the provider is in trouble");
		$provider->order({ faults => [] });

		is((ask('/disconnect', '-X', 'POST'))[0], 303, "$file: she disconnects");
		like((ask('/'))[3], qr/Not connected/, "$file: and is not connected");
		is((ask('/nowhere'))[0], 404, "$file: there is no such page");
		$run->kill_kill;
	}
}
is(scalar @rest, 0, 'every block of SQL has been run');
$session->close;

# What only fetches programs is listed as not run.
ok(not_run($_), "$page, line $_->{line} is not run: " . (not_run($_) // '')) foreach grep { $_->{language} eq 'sh' } blocks($page);

$node->stop;
done_testing();
