# The applications in examples/: each has the routes that the SDK calls and the provider's callback, and each keeps the
# same promises.  Only the browser that began finishes; a person gets nothing of another's; tokens are for the service
# alone; and whoever is refused is told why by a status that tells the cases apart.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Digest::SHA qw(sha256_hex);
use IPC::Open2;
use IPC::Run ();
use JSON::PP;
use PostgreSQL::Test::Utils qw(slurp_file);
use PsqlSession;
use Test::More;

my $examples = "$FindBin::RealBin/../../examples";
my $application = 'http://127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port();
my $callback = "$application/api/external-auth/callback";
my $service_secret = 'service-secret:100%+/=';
my $provider = start_provider(tls => JSON::PP::false, redirect_uris => [$callback]);
my $node = new_node('main');
$node->safe_psql('postgres', 'CREATE ROLE app_backend LOGIN IN ROLE appuser_connectors_service;
	CREATE ROLE app_frontend LOGIN IN ROLE appuser_connectors_user');
register($node, $provider, connector_id => 'my files/1', redirect_uris => [$callback]);
register($node, $provider, connector_id => 'behind', provider => 'behind', definition => { authorization_fragment => 'authorize?' }, redirect_uris => [$callback]);

# ------------------------------------------------------------ who is signed in

open2(my $from_signer, my $to_signer, 'node', "$FindBin::RealBin/../provider/signer.mjs");

sub signer
{
	print { $to_signer } encode([@_]), "\n";
	$to_signer->flush;
	return decode(scalar readline $from_signer);
}

my $jwks = encode({ keys => [ signer('key', 'k', 'P-256') ] });
query($node, 'app_admin', "SELECT appuser_connectors.register_issuer('https://login.example', jwks => '$jwks', audiences => '{app}')");

sub jwt
{
	my ($person, %claims) = @_;
	return signer('jwt', { alg => 'ES256', key => 'k', claims =>
			{ iss => 'https://login.example', sub => $person, aud => 'app', exp => time() + 600, role => 'web_user', %claims } });
}

# ------------------------------------------------ what an application is asked
# Each is a hash of functions that return { status, body (decoded), cookie, location }.

sub http_application
{
	my ($program, $settings, @command) = @_;
	my ($out, $path) = ('', '/api/apps/an-app/app-user-auth/connectors/my%20files%2F1');
	my $bearer = sub { defined $_[0] ? ('-H', "Authorization: Bearer $_[0]") : () };
	my $ask = sub {
		my ($url, @options) = @_;
		my ($status, $answer) = http($url =~ /^http/ ? $url : "$application$url", '-i', @options);
		my ($head, $body) = $answer =~ /\A(.*?)\r?\n\r?\n(.*)\z/s;
		my ($cookie, $attributes) = $head =~ /^set-cookie: ([^;]*)(.*)/mi;
		my ($location) = $head =~ /^location: (\S*)/mi;
		return { status => $status, body => eval { decode($body) } // $body, cookie => $cookie, attributes => $attributes, location => $location, head => $head };
	};
	my %environment = (PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'postgres', APP_ORIGIN => $application,
		RETURN_TO => '/settings?tab=2', SERVICE_SECRET => $service_secret, %$settings);
	local @ENV{ keys %environment } = values %environment;
	my $run = IPC::Run::start([@command], '<', \undef, '>&', \$out);

	wait_until("$program listens", sub { $run->pump_nb; IO::Socket::INET->new($application =~ s{http://}{}r) || (!$run->pumpable && die $out) });
	return {
		initiate => sub { my ($jwt, $id) = @_; $ask->(($id ? $path =~ s{[^/]*$}{$id}r : $path) . '/initiate', '-X', 'POST', '-H', 'Content-Type: application/json', $bearer->($jwt)) },
		# as a browser that goes to $url, with these cookies
		callback => sub { my ($url, $jwt, @cookies) = @_; $ask->($url, @cookies ? ('-H', 'Cookie: ' . join '; ', @cookies) : ()) },
		token => sub { my ($jwt, $secret) = @_; $ask->("$path/token", $bearer->($secret // $service_secret), defined $jwt ? ('-H', "On-Behalf-Of: Bearer $jwt") : ()) },
		begin_token => sub { IPC::Run::start([ 'curl', '-s', '--max-time', 60, $bearer->($service_secret), '-H', "On-Behalf-Of: Bearer $_[0]", "$application$path/token" ], '<', \undef, '>', \my $ignored) },
		delete => sub { $ask->($path, '-X', 'DELETE', $bearer->(@_)) },
		is_program => 1,
		output => sub { $run->pump_nb; $out },
		end => sub { $run->kill_kill },
	};
}

# What PostgREST sets and calls for a request; what it answers is what it makes of an error.
sub postgrest_application
{
	my $settings = sub { join '; ', map { "SELECT pg_catalog.set_config('$_->[0]', " . AppuserConnectors::quote(encode($_->[1])) . ', true) \g /dev/null' } @_ };
	my $ask = sub {
		my ($role, $headers, $cookies, $call) = @_;
		my ($out, $err);
		my $sql = join "\n", 'BEGIN;', "SET LOCAL ROLE $role;",
		  map({ "SELECT pg_catalog.set_config('request.$_->[0]', " . AppuserConnectors::quote(encode($_->[1])) . ', true) \g /dev/null' } [ headers => $headers ], [ cookies => $cookies ]),
		  'SELECT api_private.before_request() \g /dev/null', "SELECT to_json($call);", q{SELECT pg_catalog.current_setting('response.headers', true);}, 'COMMIT;';
		my $status = $node->psql('postgres', $sql, stdout => \$out, stderr => \$err, on_error_die => 0, extra_params => [ '-U', 'authenticator', '-v', 'VERBOSITY=verbose' ]);
		if ($status != 0)
		{
			my ($state, $message) = $err =~ /ERROR:\s+(\w{5}): (.*)/ or die $err;
			return { status => 401, body => { code => $state, message => $message } } if $state eq '42501' && $role eq 'web_anon';
			return { status => 403, body => { code => $state, message => $message } } if $state eq '42501';
			die $err if $state ne 'PGRST';
			my ($detail) = $err =~ /DETAIL:\s+(.*)/;
			return { status => decode($detail)->{status}, body => { error => decode($message) } };
		}
		my ($body, $response) = split /\n/, $out;
		my ($cookie, $attributes) = $response ? decode($response)->[0]{'Set-Cookie'} =~ /^([^;]*)(.*)/ : ();
		return { status => 200, body => decode($body), cookie => $cookie, attributes => $attributes };
	};
	my $person = sub { defined $_[0] ? ('web_user', { authorization => "Bearer $_[0]" }) : ('web_anon', {}) };

	$node->safe_psql('postgres', slurp_file("$examples/postgrest/api.sql"));
	return {
		initiate => sub { my ($jwt, $id) = @_; $ask->($person->($jwt), {}, "api.initiate('" . ($id // 'my files/1') . "', return_to => '/settings?tab=2')") },
		callback => sub {
			my ($url, $jwt, @cookies) = @_;
			my $answer = $ask->($person->($jwt), { map { split /=/, $_, 2 } @cookies }, 'api.callback(' . AppuserConnectors::quote(url_parameters($url)) . ')');
			return $answer if $answer->{status} != 200;
			my ($to, $failure) = @{ $answer->{body} }{qw(return_to failure)};
			return { status => 303, location => $application . $to . ($failure ? "&failure=$failure" : '') };
		},
		# PostgREST takes the role from the JWT in Authorization: one that it has not signed for the service is a user's, or nobody's
		token => sub {
			my ($jwt, $secret) = @_;
			my $role = !defined $secret ? 'web_service' : $secret =~ /\./ ? 'web_user' : 'web_anon';
			$ask->($role, { defined $jwt ? ('on-behalf-of' => "Bearer $jwt") : (), $role eq 'web_user' ? (authorization => "Bearer $secret") : () }, {}, "api.token('my files/1')");
		},
		delete => sub { $ask->($person->(@_), {}, "api.disconnect('my files/1')") },
		output => sub { '' },
		end => sub { },
	};
}

# ------------------------------------------------------------- the scenario

my %begin;

# As a browser: where the provider sends it in the end, and the flow's cookie
sub begin
{
	my ($app, $person, @options) = @_;
	my $began = $app->{initiate}->(jwt($person));
	my ($address, $err);

	is($began->{status}, 200, "$person may connect") or diag(encode($began));
	like($began->{body}{redirect_url}, qr/^\Q@{[ $provider->url ]}\E\/auth\?/, 'the browser is sent to the provider');
	like($began->{attributes}, qr/HttpOnly/i, 'with a cookie that no script reads');
	like($began->{attributes}, qr/SameSite=Lax/i, 'that comes along from the provider');
	IPC::Run::run([ 'node', "$FindBin::RealBin/../provider/login.mjs", $began->{body}{redirect_url}, $person, @options ], '>', \$address, '2>', \$err) or die $err;
	chomp $address;
	return ($address, $began->{cookie});
}

sub refused
{
	my ($answer, $status, $code, $what) = @_;
	my $body = ref $answer->{body} ? $answer->{body} : {};

	is($answer->{status}, $status, $what) or diag(encode($answer));
	is(($body->{error} // $body)->{code}, $code, "and told $code") if defined $code;
	return;
}

sub scenario
{
	my ($app) = @_;
	my ($alice, $bob) = (jwt('alice'), jwt('bob'));
	my $back = "$application/settings?tab=2";

	refused($app->{initiate}->(undef), 401, undef, 'nobody connects without saying who they are');
	refused($app->{initiate}->(jwt('alice', aud => 'another app')), 401, '28000', 'nor by a token that is for another application');
	refused($app->{token}->($alice), 404, 'UC001', 'there is no token before there is a connection');

	my ($address, $cookie) = begin($app, 'alice', '--cancel');
	is($app->{callback}->($address, $alice, $cookie)->{location}, "$back&failure=access_denied", 'whoever refuses comes back with the reason');

	my $behind = $app->{initiate}->($alice, 'behind');
	my ($state) = $behind->{body}{redirect_url} =~ /#authorize\?.*\bstate=([^&]+)/;
	my $name = 'connect-' . substr sha256_hex($state // ''), 0, 16;
	like($behind->{cookie}, qr/$name=/, 'where the parameters are behind a #, the cookie is the flow\'s as well');

	# two tabs, the first of which is another person's to finish
	($address, $cookie) = begin($app, 'alice');
	my ($second, $second_cookie) = begin($app, 'alice');
	refused($app->{callback}->($address, $bob, $second_cookie), 400, 'UC005', 'another browser does not finish, whatever cookie it has');
	refused($app->{callback}->($address, $bob), 400, 'UC005', 'nor without any');
	($address, $cookie) = begin($app, 'alice');
	is($app->{callback}->($address, $alice, $second_cookie, $cookie)->{location}, $back, 'the browser that began finishes');
	is($app->{callback}->($second, $alice, $second_cookie, $cookie)->{location}, $back, 'and its other tab');
	refused($app->{callback}->($second =~ s/state=[^&]*/state=made-up/r, $alice, $second_cookie, $cookie), 400, 'UC005', 'a state that nobody made is nobody\'s');

	my $token = $app->{token}->($alice);
	is($token->{status}, 200, 'the service has her token');
	is(join(' ', sort keys %{ $token->{body} }), 'access_token connection_config', 'as the SDK reads it');
	is(userinfo($provider, $token->{body}{access_token})->{sub}, 'alice', 'and it is hers');
	refused($app->{token}->($bob), 404, 'UC001', 'another person has none');
	refused($app->{token}->(undef), 401, '28000', 'nor has nobody');
	ok((grep { $app->{token}->($alice, 'another secret')->{status} == $_ } 401, 403), 'nor one who does not know the service\'s secret');
	ok((grep { $app->{token}->($alice, $alice)->{status} == $_ } 401, 403), 'nor she herself');
	is($app->{delete}->($bob)->{status}, 200, 'another person disconnects nothing');
	is($app->{token}->($alice)->{status}, 200, 'of hers');

	$provider->order({ revoke => { account => 'alice' } });
	$node->safe_psql('postgres', "UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 s'");
	refused($app->{token}->($alice), 409, 'UC002', 'when her grant is gone she has to connect again');
	($address, $cookie) = begin($app, 'alice');
	is($app->{callback}->($address, $alice, $cookie)->{location}, $back, 'which she does');

	$provider->order({ faults => [ { path => '/token', status => 503 } ] });
	$node->safe_psql('postgres', "UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 s'");
	refused($app->{token}->($alice), 503, 'UC003', 'when the provider is in trouble it is told as such');
	$provider->order({ faults => [] });

	is($app->{delete}->($alice)->{status}, 200, 'she disconnects');
	refused($app->{token}->($alice), 404, 'UC001', 'and has no token any more');
	wait_until('it is revoked at the provider', sub { !$provider->grants('alice') });
	if ($app->{is_program})
	{
		$node->stop;
		is($app->{token}->($alice)->{status}, 503, 'while the database is away it says so');
		$node->start;
		wait_until('it has found the database again', sub { $app->{token}->($alice)->{status} == 404 });
		pass('and goes on when that is back');

		# a server that ends at once says nothing to who waits for its answer
		my $locker = PsqlSession->new($node);
		$locker->ask('BEGIN; LOCK TABLE appuser_connectors.connections');
		my $waiting = $app->{begin_token}->($alice);
		wait_until('one waits for its answer', sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app_backend' AND wait_event_type = 'Lock'") > 0 });
		$node->stop('immediate');
		$waiting->finish;
		$node->start;
		wait_until('it lives', sub { $app->{token}->($alice)->{status} == 404 });
		pass('and outlives one that ends without a word');
	}
	unlike($app->{output}->(), qr/\Q$alice\E|\Q$token->{body}{access_token}\E|\Q$cookie\E|\Q$service_secret\E/, 'no secret is in what it says');
	return;
}

sub on_https
{
	my ($name) = @_;
	my ($port) = $application =~ /:(\d+)$/;
	my $app = $begin{$name}->(APP_ORIGIN => 'https://app.example', PORT => $port);
	my ($address, $cookie) = begin($app, 'alice');

	like($cookie, qr/^__Host-connect-/, 'on https no site beside this one can set the cookie');
	like($app->{initiate}->(jwt('alice'))->{attributes}, qr/$_/i, $_) foreach 'Secure', 'Path=/(?:;|$)';
	refused($app->{callback}->($address, undef, "\xa0$cookie"), 400, 'UC005', 'nor one that only looks like it');
	is($app->{callback}->($address, undef, $cookie)->{location}, 'https://app.example/settings?tab=2', 'the browser that began finishes');
	is($app->{delete}->(jwt('alice'))->{status}, 200, 'and alice disconnects');
	$app->{end}->();
	return;
}

my %lacking = (
	'express-app' => -d "$examples/express-app/node_modules/express" ? undef : 'there is no Express',
	'fastapi-app' => system('/usr/bin/python3 -c "import fastapi, uvicorn, psycopg_pool" 2>/dev/null') == 0 ? undef : 'there is no FastAPI',
	postgrest => undef);
%begin = (
	'express-app' => sub { http_application('express-app', {@_}, 'node', "$examples/express-app/app.mjs") },
	'fastapi-app' => sub { http_application('fastapi-app', {@_}, '/usr/bin/python3', "$examples/fastapi-app/app.py") },
	postgrest => \&postgrest_application);

foreach my $name (sort keys %begin)
{
  SKIP:
	{
		skip "$name: $lacking{$name}", 1 if $lacking{$name};
		subtest $name => sub {
			my $app = $begin{$name}->();
			scenario($app);
			$app->{end}->();
			on_https($name) if $app->{is_program};
		};
	}
}

is($node->safe_psql('postgres', "SELECT count(*) FROM pg_proc p, aclexplode(p.proacl) a WHERE pronamespace::regnamespace::text ~ '^api' AND grantee = 0"),
	0, 'no function of the SQL is everybody\'s');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_proc WHERE pronamespace::regnamespace::text ~ '^api' AND (proacl IS NULL OR prosecdef OR obj_description(oid) IS NULL)"),
	0, 'nor runs as anybody else, and each says what it is');

$node->stop;
done_testing();
