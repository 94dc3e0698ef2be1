# Through a forward proxy: every kind of call goes by it, and it learns a host, a port and its
# own credentials.  Whatever it answers is never taken for the provider's, and loses nothing.
# It is not asked for addresses that would be refused without it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use IO::Socket::INET;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils qw(slurp_file append_to_file);
use Test::More;

my $ns = 'appuser_connectors';
my $directory = PostgreSQL::Test::Utils::tempdir('proxy');
my $secrets = PostgreSQL::Test::Utils::tempdir('secrets');
# as much as tinyproxy takes; http_proxy_test.c has other characters
my $user = 'egress-1';
my $password = 'let.the_database-out';
my $escaped = join '', map { /[A-Za-z0-9]/ ? $_ : sprintf '%%%02x', ord } split //, $password;

my $shim = "$directory/private_names.so";
system('gcc', '-shared', '-fPIC', '-o', $shim, "$FindBin::RealBin/../provider/private_names.c", '-ldl') == 0 or die 'gcc failed';

# The real provider behind a name that the database's machine cannot look up
my $provider = start_provider();
my $front = start_fault_server(certificate => 'private', proxy_to => $provider);
my ($port) = $front->url =~ /:(\d+)$/;
my $there = "https://idp.proxied.test:$port";
my %endpoints = (token_endpoint => "$there/token", revocation_endpoint => "$there/token/revocation", jwks_uri => "$there/jwks");

my $bad = start_fault_server(certificate => undef);
my ($bad_port) = $bad->url =~ /:(\d+)$/;

mkdir "$secrets/proxies" or die $!;
local $ENV{LD_PRELOAD} = $shim;
my $node = new_node('proxied', "appuser_connectors.secrets_directory = '$secrets'", "appuser_connectors.proxy = 'http://127.0.0.1:$bad_port'",
	'appuser_connectors.connect_timeout = 1s', 'appuser_connectors.request_timeout = 5s');
delete $ENV{LD_PRELOAD};

register($node, $provider, connector_id => 'app', definition => \%endpoints);

sub put_proxy
{
	my ($name, $url, $mode) = @_;

	unlink "$secrets/proxies/$name";
	append_to_file("$secrets/proxies/$name", "$url\n");
	chmod $mode // 0600, "$secrets/proxies/$name";
	return "file:$name";
}

# In force in new sessions; the worker sees it at its next turn
sub set
{
	my (%settings) = @_;

	$node->safe_psql('postgres', join ' ', map { "ALTER SYSTEM SET appuser_connectors.$_ = '$settings{$_}';" } sort keys %settings);
	$node->reload;
	wait_until('the settings are in force', sub { !grep { $node->safe_psql('postgres', "SHOW appuser_connectors.$_") ne $settings{$_} } keys %settings });
	return;
}

sub attempt
{
	my ($connector, $app_user) = @_;
	my $state = url_parameters(authorization_url($node, $app_user // 'walker', $connector))->{state};
	my $failure = callback($node, $app_user // 'walker', { state => $state, code => 'a-code', iss => $provider->url })->{failure};

	return '' unless defined $failure;
	return row($node, 'app_admin', "SELECT detail FROM $ns.connection_events WHERE event = 'connect_failed' ORDER BY occurred_at DESC LIMIT 1")->{detail};
}

sub fails_until
{
	my ($what, $connector, $like) = @_;
	my $told;

	wait_until("$what is in force", sub { ($told = attempt($connector)) =~ $like });
	return like($told, $like, $what);
}

sub tokens { return scalar grep { $_->{body} =~ /grant_type/ } $front->requests('/token'); }
sub stored { return row($node, 'app_admin', "SELECT status, status_reason FROM $ns.connection_status WHERE app_user = '$_[0]'"); }

# ------------------------------------------------------- a real one, without credentials
SKIP:
{
	my ($tinyproxy) = grep { -x } map { "$_/tinyproxy" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/bin';
	skip 'there is no tinyproxy here', 1 unless $tinyproxy;
	my %pid;
	my $stop = bless sub { local $?; kill 'KILL', values %pid; waitpid $_, 0 foreach values %pid; }, 'Guard';
	sub Guard::DESTROY { $_[0]->() }

	my $start = sub {
		my ($name, @lines) = @_;
		my $at = PostgreSQL::Test::Cluster::get_free_port();

		append_to_file("$directory/$name.conf", join "\n", "Port $at", 'Listen 127.0.0.1', 'Timeout 30', 'Allow 127.0.0.1', 'LogLevel Info', "LogFile \"$directory/$name.log\"", @lines, '');
		$pid{$name} = fork // die 'fork failed';
		if ($pid{$name} == 0)
		{
			@ENV{qw(LD_PRELOAD PROXIED_TEST)} = ($shim, '127.0.0.1');
			open STDOUT, '>', "$directory/$name.out";
			open STDERR, '>&', \*STDOUT;
			exec $tinyproxy, '-d', '-c', "$directory/$name.conf" or die 'exec failed';
		}
		wait_until("$name is there", sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $at) });
		return $at;
	};
	my $open = $start->('open');
	my $closed = $start->('closed', "BasicAuth $user $password");

	set(proxy => "http://127.0.0.1:$open");
	wait_until('the first person is connected', sub { !defined connect_user($node, 'alice', 'app')->{failure} });
	pass('a code is exchanged through the proxy');
	my $token = access_token($node, 'alice', 'app');
	is(userinfo($provider, $token)->{sub}, 'alice', 'for tokens of the provider');
	is(scalar(grep { $_->{method} eq 'GET' } $front->requests('/jwks')), 1, 'keys for ID tokens are fetched through it');
	isnt(access_token($node, 'alice', 'app', rejected_token => $token), $token, 'tokens are refreshed through it');
	connect_user($node, 'bob', 'app');
	query($node, 'app_service', "SELECT $ns.disconnect_app_user('app')", app_user => 'bob');
	wait_until('and revoked', sub { !$provider->grants('bob') });
	my $log = slurp_file("$directory/open.log");
	my @asked = $log =~ /^.*Request \(file descriptor \d+\): (.*)$/mg;
	cmp_ok(scalar @asked, '>=', 5, 'the proxy has seen all of that');
	is(scalar(grep { $_ !~ m{^CONNECT idp\.proxied\.test:$port HTTP/1\.[01]$} } @asked), 0, 'as tunnels to a host and port, and nothing else');
	is(scalar(grep { grep { /proxy|via|forwarded/i } keys %{ $_->{headers} } } $front->requests), 0, 'the provider sees nothing of it');

	# ------------------------------------------------------------------ with credentials
	set(proxy => "http://127.0.0.1:$closed");
	fails_until('a proxy that wants credentials: the admin is told', 'app',
		qr{^provider_unavailable: the token endpoint "[^"]*": the proxy \(appuser_connectors\.proxy\) answered 407; the user name and password in the file that the setting names$});
	my $before = tokens();
	my ($state, $message) = failure($node, 'app_service', "SELECT $ns.app_user_connection('alice', 'app', rejected_token => '" . access_token($node, 'alice', 'app') . "')");
	is($state, 'UC003', 'a refresh meanwhile is nobody\'s fault');
	like($message, qr/the proxy \(appuser_connectors\.proxy\) answered 407/, 'and says why');
	is(tokens(), $before, 'nothing has come to the provider');
	set(proxy => put_proxy('corporate', 'http://' . $user . ":wrong\@127.0.0.1:$closed"));
	fails_until('a wrong password, from a file', 'app', qr/answered 40[17]; the user name and password/);
	put_proxy('corporate', 'http://' . $user . ":$escaped\@127.0.0.1:$closed");
	$node->reload;
	wait_until('with the right one it goes on', sub { !defined connect_user($node, 'carol', 'app')->{failure} });
	pass('the right password is found in the file after a reload');
	$node->safe_psql('postgres', "UPDATE $ns.connections SET refresh_at = now(), failures = 0 WHERE app_user = 'alice'");
	wait_until('what was not sent before is sent', sub { stored('alice')->{status} eq 'connected' });
	is(userinfo($provider, access_token($node, 'alice', 'app'))->{sub}, 'alice', 'and nothing was lost meanwhile');

	# -------------------------------------------------------------- who can see what
	my $logged = slurp_file($node->logfile);
	my $basic = encode_base64("$user:$password", '');
	is(scalar(grep { index($logged, $_) >= 0 } $password, $escaped, $basic), 0, 'the server log does not have the password');
	my $seen = slurp_file("$directory/closed.log") . slurp_file("$directory/open.log");
	my $issued = $provider->ctl('/issued');
	is(scalar(grep { index($seen, $_) >= 0 } map { @{ $issued->{$_} } } qw(codes access_tokens refresh_tokens id_tokens)), 0, 'nor the proxy\'s log a code or token');
	is(scalar(grep { index(encode($_), $basic) >= 0 } $front->requests), 0, 'nor the provider the password');
}
foreach my $role (qw(app_admin app_service app_nobody))
{
	my ($state) = failure($node, $role, 'SHOW appuser_connectors.proxy');

	is($state, '42501', "$role does not see the setting");
	is(query($node, $role, "SELECT count(*) FROM pg_settings WHERE name LIKE 'appuser_connectors.%proxy'"), 0, 'nor in pg_settings');
}
foreach my $wrong ('http://user:secret@proxy.example:3128', 'http://proxy.example', 'proxy.example:3128', 'socks5://proxy.example:1080', 'http://proxy.example:3128/x')
{
	my (undef, $out, $err) = $node->psql('postgres', "ALTER SYSTEM SET appuser_connectors.proxy = '$wrong'");

	like($err, qr/^psql:.*ERROR:  invalid value for parameter "appuser_connectors\.proxy"\nDETAIL:  .*\nHINT:  It is a URL such as.*file:NAME/m, "$wrong is refused, with what to do");
	unlike($err =~ s/^LINE .*//smr, qr/secret\@/, 'and is not shown');
}
my ($state, $message) = failure($node, 'postgres', "ALTER SYSTEM SET appuser_connectors.no_proxy = 'a b'");
is($state, '22023', 'what is no list of exceptions is refused');
like($message, qr/DETAIL:.*host names, domains, addresses and CIDRs/, 'which the error explains');

# ----------------------------------------------------------------------- faults of a proxy
my %faults = (
	'407 with a token in it' => [ { status => 407, headers => { 'proxy-authenticate' => 'Basic realm=x' }, body => { access_token => 'forged' } }, qr/answered 407; the user name/ ],
	'400 and invalid_grant' => [ { status => 400, body => { error => 'invalid_grant' } }, qr/answered 400; whether it runs/ ],
	'403' => [ { status => 403, headers => { 'content-type' => 'text/html' }, body => '<html>' }, qr/answered 403/ ],
	'502' => [ { status => 502 }, qr/answered 502/ ],
	'503 and Retry-After' => [ { status => 503, headers => { 'retry-after' => '86400' } }, qr/answered 503/ ],
	'garbage' => [ { raw => "\0garbage" }, qr/gave no answer/ ],
	'a forged answer' => [ { raw => "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\n{\"access_token\":\"forged\"}" }, qr/SSL connect error|gave no answer/ ],
	'nothing' => [ { drop => JSON::PP::true() }, qr/gave no answer/ ],
	'silence' => [ { hang => JSON::PP::true() }, qr/did not answer in time/ ],
	'an answer without end' => [ { status => 407, endlessBody => JSON::PP::true() }, qr/answered 407/ ]);
set(proxy => "http://127.0.0.1:$bad_port");
register($node, $provider, connector_id => 'dora', provider => 'dora', definition => \%endpoints);
$bad->rules({ path => '*', tunnelTo => "127.0.0.1:$port" });
wait_until('dora is connected', sub { !defined connect_user($node, 'dora', 'dora')->{failure} });
my $token = access_token($node, 'dora', 'dora');
# nobody else's renewals are to be counted
query($node, 'app_service', "SELECT $ns.erase_app_user('$_')") foreach qw(alice carol);
wait_until('the others are gone', sub { !grep { $provider->grants($_) } qw(alice carol) });
foreach my $name (sort keys %faults)
{
	my ($rule, $like) = @{ $faults{$name} };
	my $before = tokens();

	$bad->rules({ path => '*', %$rule });
	# each a connector of its own, or its circuit would answer
	(my $id = $name) =~ s/\W+/-/g;
	register($node, $provider, connector_id => $id, provider => $id, definition => \%endpoints);
	like(attempt($id), qr/^provider_unavailable: the token endpoint "[^"]*": .*$like/, "$name from the proxy: provider_unavailable");
	$node->safe_psql('postgres', "UPDATE $ns.connections SET refresh_at = now() + interval '1 h', failures = 0 WHERE app_user = 'dora'");
	my ($state) = failure($node, 'app_service', "SELECT $ns.app_user_connection('dora', 'dora', rejected_token => '$token')", settings => { 'appuser_connectors.wait_timeout' => '10s' });
	is($state, 'UC003', "$name at a refresh: UC003");
	is(tokens(), $before, 'the provider has seen neither');
	isnt(stored('dora')->{status}, 'reconnect_required', 'and nobody has to reconnect');
}
$bad->rules({ path => '*', tunnelTo => "127.0.0.1:$port" });
wait_until('then it goes on', sub { !(failure($node, 'app_service', "SELECT $ns.app_user_connection('dora', 'dora', rejected_token => '$token')"))[0] });
isnt(access_token($node, 'dora', 'dora'), $token, 'with the tokens of before, since none was spent');

# ---------------------------------------------------------------------------- addresses
sub guarded
{
	my ($id, $host) = @_;

	register($node, $front, connector_id => $id, provider => $id, scopes => ['read'],
		definition => { token_endpoint => "https://$host:$port/token", map { $_ => undef } qw(jwks_uri revocation_endpoint userinfo_endpoint issuer) });
	return sub {
		my $state = url_parameters(authorization_url($node, 'walker', $id))->{state};
		my $failure = callback($node, 'walker', { state => $state, code => 'a-code' })->{failure};
		return '' unless defined $failure;
		return row($node, 'app_admin', "SELECT detail FROM $ns.connection_events WHERE event = 'connect_failed' ORDER BY occurred_at DESC LIMIT 1")->{detail};
	};
}

my $private = guarded('private', 'private.test');
my $refused = qr/^connector_misconfigured: .*an address that is not allowed; if it may be called: allowed_networks or allowed_hosts$/;
$bad->order({ reset => JSON::PP::true() });
$bad->rules({ path => '*', tunnelTo => "127.0.0.1:$port" });
like($private->(), $refused, 'the proxy is not asked for a name that is on a private address here');
like(guarded('metadata', 'metadata.test')->(), $refused, 'nor for a metadata service');
is(scalar $bad->requests, 0, 'at all');
set(allowed_hosts => 'private.test');
wait_until('allowed_hosts is in force', sub { $private->() !~ $refused });
is(scalar(grep { $_->{path} eq "private.test:$port" } $bad->requests) > 0, 1, 'but for a host that is listed it is');
$bad->order({ reset => JSON::PP::true() });
set(no_proxy => '.corp.example, private.test');
wait_until('no_proxy is in force', sub { my $before = $bad->requests; my $seen = tokens(); $private->(); tokens() > $seen && $bad->requests == $before });
pass('what no_proxy lists is called without it');

# ------------------------------------------------------- a proxy that cannot be known
set(proxy => put_proxy('open', "http://127.0.0.1:$bad_port", 0644), no_proxy => '');
fails_until('a file that others can read: nothing is sent', 'app', qr/the proxy \(appuser_connectors\.proxy\) is not known; the server log says/);
like(slurp_file($node->logfile), qr/ERROR:  the file of secret "proxies\/open" cannot be trusted/, 'the server log says which');
my $seen = tokens();
attempt('dora');
is(tokens(), $seen, 'nor past it');
$bad->rules({ path => '*', tunnelTo => "127.0.0.1:$port" });
chmod 0600, "$secrets/proxies/open" or die $!;
wait_until('the file is looked at again', sub { !defined connect_user($node, 'frank', 'app')->{failure} });
pass('once it is closed to others it goes on by itself');
append_to_file("$secrets/outside", "http://127.0.0.1:$bad_port\n");
set(proxy => 'file:../outside');
wait_until('a file elsewhere is refused', sub { slurp_file($node->logfile) =~ /ERROR:  a secret's file name holds letters/ });
set(proxy => put_proxy('text', "http://x:hid\x{64}en pw\@127.0.0.1:$bad_port"));
wait_until('a file without a URL is refused', sub { slurp_file($node->logfile) =~ /ERROR:  secret "proxies\/text" is not the URL of a proxy/ });
unlike(slurp_file($node->logfile), qr/hidden/, 'and not shown');
set(proxy => put_proxy('well', "http://127.0.0.1:$bad_port"));
wait_until('with a file that can be read it goes on', sub { !defined connect_user($node, 'erin', 'app')->{failure} });
pass('after a reload with a right file it goes on');
set(proxy => 'http://127.0.0.1:1');
fails_until('a proxy that is not there', 'app', qr/the proxy \(appuser_connectors\.proxy\) could not be connected to; whether it runs/);

# PostgreSQL starts without a setting that is wrong: then nothing is called, rather than past the proxy
$node->safe_psql('postgres', 'ALTER SYSTEM RESET appuser_connectors.proxy');
append_to_file($node->data_dir . '/postgresql.conf', "appuser_connectors.proxy = 'http://user:secret\@127.0.0.1:$bad_port'\n");
$node->restart;
like(attempt('app'), qr/the proxy \(appuser_connectors\.proxy\) is not known/, 'started with a setting that is no proxy: nothing is sent');
like(slurp_file($node->logfile), qr/WARNING:  invalid value for parameter "appuser_connectors\.proxy": no provider will be called/, 'and the log says so');

$node->stop;
done_testing();
