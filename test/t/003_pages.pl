# Whoever pastes what the documentation shows gets what it promises: every block of SQL and
# shell on every page is run as it stands there, from top to bottom of its page, and fails
# only where the page says so.  What is not run is listed, with the reason, in Pages.pm.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Pages;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $directory = PostgreSQL::Test::Utils::tempdir;
my $provider = start_provider(tls => JSON::PP::false, access_token_ttl => 60, scopes => [qw(openid offline_access profile email read write read:user)],
	redirect_uris => ['http://127.0.0.1:7999/callback'],
	clients => [
		{ client_id => 'demo-app', client_secret => 'demo-secret' },
		{ client_id => 'app-at-github', client_secret => 'its-secret', token_endpoint_auth_method => 'client_secret_post' } ]);
my $node = new_node('main');

# Everything that there is of the extension comes from the pages.
$node->safe_psql('postgres', 'DROP EXTENSION appuser_connectors CASCADE; DROP SCHEMA appuser_connectors; DROP ROLE app_admin');

my %settings = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', q{SELECT name FROM pg_settings});
my %run;

sub paste
{
	my ($session, $block, $what) = @_;
	my ($state, $out, $err) = $session->paste($block);
	my $name = "$block->{page}, line $block->{line}" . ($what ? ", $what" : '');

	$run{"$block->{page} $block->{line}"} = 1;
	is($state, $block->{raises}, defined $block->{raises} ? "$name raises $block->{raises}" : $name) or diag($err);
	return $out;
}

sub shell
{
	my ($block) = @_;
	my ($out, $err);
	my $text = replace($block->{text}, $provider);

	local @ENV{qw(PGHOST PGPORT PGUSER ISSUER)} = ($node->host, $node->port, 'postgres', $provider->url);
	local $ENV{PATH} = $node->config_data('--bindir') . ":$ENV{PATH}";
	my $ok = IPC::Run::run([ 'bash', '-ec', "cd '$directory'\n$text" ], '<', \undef, '>', \$out, '2>', \$err);
	$run{"$block->{page} $block->{line}"} = 1;
	ok($ok, "$block->{page}, line $block->{line}") or diag($err);
	return $out;
}

sub pick
{
	my ($page, $beginning) = @_;
	my ($block) = grep { $_->{language} eq 'sql' && $_->{text} =~ $beginning } blocks($page) or die "$page: no such block";

	return $block;
}

# ------------------------------------------------------------- test/demo --keep
# It keeps what the pages go on with.
{
	my $demo = slurp_file("$top/test/demo");
	my ($register) = grep { $_->{text} =~ /register_provider\('acme'/ } blocks('README.md');

	foreach my $word ($register->{text} =~ /client_(?:id|secret) => '([^']*)'/g, $register->{text} =~ m{127\.0\.0\.1:(\d+)/auth}, qw(7999/callback 8000/oauth/callback))
	{
		like($demo, qr/\Q$word\E/, "test/demo knows $word");
	}
	like($demo, qr/^\s*\Q$_\E/m, "test/demo does $_") foreach map { $_->{text} =~ /^(CREATE .*?;)/mg } grep { $_->{text} =~ /^CREATE EXTENSION/ } blocks('README.md');
}

# -------------------------------------------------------------- a first connection
my @readme = grep { $_->{language} eq 'sql' } blocks('README.md');
my $install = pick('README.md', qr/^CREATE EXTENSION/);
my $local = pick('README.md', qr/register_provider\('acme'/);
my $github = pick('README.md', qr/register_connector\('github'/);

foreach my $way ([ 'with the local provider', $github ], [ 'as with GitHub', $install, $local ])
{
	my ($what, @left_out) = @$way;
	my $is_github = $what =~ /GitHub/;
	my %promised = (
		'oauth_callback' => [ qr/\| alice\s*\|\s*$/m, 'alice is connected, and no failure is told' ],
		# the tests' provider knows the token, and tells who it is of only where openid was asked for
		'curl' => [ $is_github ? qr/missing openid scope/ : qr/"sub":"alice"/, 'her token works' ],
		'disconnect_app_user' => [ qr/^ t$/m, 'she is disconnected' ]);

	$node->safe_psql('postgres', 'CREATE DATABASE mydb') if !$is_github;
	# in place of the provider that a test cannot reach
	$node->safe_psql('mydb', "UPDATE appuser_connectors.provider_catalogue SET definition = definition || '"
		  . AppuserConnectors::encode({ authorization_endpoint => $provider->url . '/auth', token_endpoint => $provider->url . '/token' }) . "' WHERE provider = 'github'") if $is_github;
	my $session = Pages::Session->new($node, 'mydb', $provider, without_iss => $is_github,
		environment => { CLIENT_ID => 'app-at-github', CLIENT_SECRET => 'its-secret' });
	foreach my $block (@readme)
	{
		next if grep { $_->{line} == $block->{line} } @left_out;
		my $printed = paste($session, $block, $what);
		foreach my $word (grep { $block->{text} =~ /\b$_\b/ } keys %promised)
		{
			my ($pattern, $promise) = @{ delete $promised{$word} };
			like($printed, $pattern, "$what: $promise");
		}
	}
	is_deeply([ keys %promised ], [], "$what: nothing is left out");
	$session->close;
}

# ------------------------------------- what docs/development.md says of errors
{
	my @told = map { $_->{language} eq 'text' ? $_->{text} : () } blocks('docs/development.md');
	my $untrusted = start_fault_server(certificate => 'self-signed');
	my ($url) = $untrusted->url;
	my $set = sub {
		my ($name, $value, $shown) = @_;
		$node->safe_psql('postgres', "ALTER SYSTEM SET appuser_connectors.$name = $value");
		$node->reload;
		$node->poll_query_until('mydb', "SELECT current_setting('appuser_connectors.$name') = '$shown'") or die;
	};
	my $why = sub {
		my ($connector) = @_;
		my ($address) = query($node, 'app_service', "SELECT appuser_connectors.connect_app_user('$connector')", app_user => 'alice', database => 'mydb');
		my $row = callback($node, 'alice', { state => url_parameters($address)->{state}, code => 'code' }, database => 'mydb');

		return query($node, 'app_admin', "SELECT detail FROM appuser_connectors.connection_events WHERE connector_id = '$connector' ORDER BY occurred_at DESC LIMIT 1",
			database => 'mydb');
	};

	register($node, $untrusted, provider => 'untrusted', connector_id => 'untrusted', scopes => ['read'], database => 'mydb', definition => { issuer => undef });
	# this server instead of that of the page
	s{"https://localhost:8443/}{"$url/} foreach @told;
	is($why->('untrusted') . "\n", $told[2] =~ s/unable to get local issuer certificate/self-signed certificate/r, 'a certificate of an authority that is not known');
	$set->('allow_insecure_loopback', 'off', 'off');
	my (undef, $message) = failure($node, 'app_admin', q{SELECT appuser_connectors.register_provider('x',
		'{"authorization_endpoint": "https://x.example", "token_endpoint": "http://localhost:1/token"}')}, database => 'mydb');
	like($message, qr/\Q$told[0]\E/, 'http on loopback');
	wait_until('the worker has read it', sub { $why->('untrusted') . "\n" eq $told[1] });
	pass('https on loopback');
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET ALL');
	$node->reload;
}
$node->safe_psql('postgres', 'DROP DATABASE mydb');

# ------------------------------------------------------------- page after page
# Removing, which ends one of them, is for when no other needs the roles.
foreach my $page ((grep { !/operations|README|getting-started/ } pages()), 'docs/operations.md')
{
	my @blocks = grep { $_->{language} =~ /^(?:sql|sh)$/ } blocks($page);
	my $session;

	next if !grep { !not_run($_) } @blocks;
	$node->safe_psql('postgres', 'CREATE DATABASE mydb');
	$node->safe_psql('mydb', 'CREATE EXTENSION appuser_connectors');
	if ($page !~ /providers/)
	{
		$session = Pages::Session->new($node, 'mydb', $provider);
		my ($state, undef, $err) = $session->paste($local);
		die $err if defined $state;
		$session->close;
		my $row = connect_user($node, 'alice', 'acme-files', database => 'mydb');
		die $row->{failure} if defined $row->{failure};
	}
	$session = Pages::Session->new($node, 'mydb', $provider, environment => { JWT => 'not.a.jwt' });
	foreach my $block (@blocks)
	{
		next if not_run($block);
		# before the roles go
		$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS restored') if $block->{text} =~ /^DROP EXTENSION/;
		my $out = $block->{language} eq 'sql' ? paste($session, $block) : shell($block);

		is($out, "copy\n", 'a restored database is a copy') if $block->{text} =~ /^createdb restored/;
		like($out, qr/^ t$/m, 'and can be adopted') if $block->{text} =~ /-d restored .*adopt_installation/;
		is_deeply([ sort grep { !/name|refresh/ } keys %{ decode($out) } ],
			[ sort keys %{ $provider->definition } ], 'metadata makes a definition')
		  if $block->{text} =~ /^curl .*well-known/;
	}
	$session->close;
	$node->safe_psql('postgres', 'ALTER ROLE app_backend RESET ALL');
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET ALL');
	$node->reload;
	$node->safe_psql('postgres', 'DROP DATABASE mydb');
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname LIKE 'appuser_connectors_%'}), 0, 'nothing of the extension is left');

# ------------------------------------------------------ nothing has been forgotten
foreach my $block (map { blocks($_) } pages())
{
	my $name = "$block->{page}, line $block->{line}";

	if ($block->{language} eq 'ini')
	{
		ok($settings{$_}, "$name: there is a setting $_") foreach $block->{text} =~ /^(?:# )?([\w.]+) =/mg;
	}
	elsif ($block->{language} =~ /^(?:js|python)$/ || $block->{page} eq 'docs/getting-started.md')
	{
		# 003_applications.pl
	}
	elsif ($block->{language} =~ /^(?:sql|sh)$/)
	{
		unlike($block->{text}, qr/\t/, "$name has no tab, which a terminal would take for a wish to complete");
		my $reason = not_run($block);

		is($run{"$block->{page} $block->{line}"} // 'not', defined $reason ? 'not' : 1, "$name is " . (defined $reason ? "not run: $reason" : 'run'));
	}
	else
	{
		is($block->{language}, 'text', "$name is of a kind that is known");
	}
}

$node->stop;
done_testing();
