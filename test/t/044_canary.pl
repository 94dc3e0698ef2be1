# No secret is ever at rest in plain text.  Known secrets go through every flow while
# the server logs and records all it can; then the data directory with its WAL, a base
# backup, dumps, logical decoding, statistics and the server log are searched for them,
# as they are and in the usual encodings.  A caller's own bind parameters may be in the
# log, where the server was told to log parameters, and nowhere else.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use IPC::Open2;
use MIME::Base64 qw(encode_base64 encode_base64url);
use PostgreSQL::Test::Utils qw(slurp_file run_command);
use Test::More;

# Secrets of clients have characters that every encoding changes.
my %client_secret = map { $_ => "$_: " . random_text() . '%+/&=~?' } qw(first second file other);
my $provider = start_provider(clients => [
		{ client_id => 'basic', client_secret => $client_secret{first}, token_endpoint_auth_method => 'client_secret_basic' },
		{ client_id => 'post', client_secret => $client_secret{file}, token_endpoint_auth_method => 'client_secret_post' },
		{ client_id => 'doomed', client_secret => $client_secret{other}, token_endpoint_auth_method => 'client_secret_post' } ]);
my $fault = start_fault_server(proxy_to => $provider);
my $secrets_directory = PostgreSQL::Test::Utils::tempdir('references');
my $node = new_node('main', map { s/^\s+//r } split /\n/, <<"END");
	shared_preload_libraries = 'appuser_connectors, auto_explain, pg_stat_statements'
	appuser_connectors.secrets_directory = '$secrets_directory'
	wal_level = logical
	max_wal_senders = 4
	max_replication_slots = 4
	max_prepared_transactions = 4
	wal_keep_size = 4GB
	log_statement = all
	log_min_messages = debug5
	log_min_error_statement = debug5
	log_error_verbosity = verbose
	log_min_duration_statement = 0
	log_parameter_max_length = -1
	log_parameter_max_length_on_error = -1
	log_replication_commands = on
	log_connections = on
	log_lock_waits = on
	log_temp_files = 0
	debug_print_parse = on
	debug_print_rewritten = on
	debug_print_plan = on
	debug_pretty_print = off
	auto_explain.log_min_duration = 0
	auto_explain.log_analyze = on
	auto_explain.log_verbose = on
	auto_explain.log_buffers = on
	auto_explain.log_wal = on
	auto_explain.log_settings = on
	auto_explain.log_triggers = on
	auto_explain.log_nested_statements = on
	pg_stat_statements.track = all
	track_activities = on
	track_activity_query_size = 100kB
	track_functions = all
	default_statistics_target = 1000
END
my ($key_file) = slurp_file($node->data_dir . '/postgresql.conf') =~ /^appuser_connectors\.root_key_file = '([^']+)'/m;
my $root_key = slurp_file($key_file) =~ s/\s//gr;

$node->safe_psql('postgres', 'CREATE EXTENSION pg_stat_statements');
$node->safe_psql('postgres', "SELECT pg_create_logical_replication_slot('canary', 'test_decoding')");

sub random_text
{
	open my $random, '<:raw', '/dev/urandom' or die $!;
	read $random, my $bytes, 24;
	return encode_base64url($bytes);
}

# ------------------------------------------- a client that sends parameters apart
# psql learned to bind parameters in version 16 only.
my %accounted;       # parameters as the server logs them => 0, or 1 when they were seen
my %callers;         # what callers gave, apart from statements
my $activity = '';

package Client
{
	use IO::Socket::UNIX;

	sub new
	{
		my ($class, $node, $role) = @_;
		my $socket = IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port) or die "connect: $!";
		my $self = bless { socket => $socket }, $class;
		my $startup = pack 'N', 196608;

		$startup .= "$_\0" foreach 'user', $role, 'database', 'postgres', '';
		$socket->print(pack('N', 4 + length $startup) . $startup);
		$self->_answers;
		return $self;
	}

	# Everything up to ReadyForQuery: rows, or {state, message} of an error
	sub _answers
	{
		my ($self) = @_;
		my (@rows, $error);

		while (1)
		{
			my $head = $self->_bytes(5);
			my ($type, $length) = unpack 'aN', $head;
			my $body = $self->_bytes($length - 4);

			if ($type eq 'D')
			{
				my ($n, @row) = unpack 'n', $body;
				my $at = 2;
				for (1 .. $n)
				{
					my $size = unpack 'l>', substr $body, $at, 4;
					push @row, $size < 0 ? undef : substr $body, $at + 4, $size;
					$at += 4 + ($size < 0 ? 0 : $size);
				}
				push @rows, \@row;
			}
			elsif ($type eq 'E')
			{
				my %fields = map { (substr($_, 0, 1) => substr $_, 1) } split /\0/, $body;
				$error = { state => $fields{C}, message => join "\n", values %fields };
			}
			return $error // \@rows if $type eq 'Z';
		}
	}

	sub _bytes
	{
		my ($self, $n) = @_;
		my $bytes = '';

		while (length $bytes < $n)
		{
			read($self->{socket}, $bytes, $n - length $bytes, length $bytes) or die 'the server went away';
		}
		return $bytes;
	}

	sub ask
	{
		my ($self, $sql, @parameters) = @_;
		my $message = sub { my ($type, $body) = @_; return $type . pack('N', 4 + length $body) . $body };
		my $bind = "\0\0" . pack('nn', 0, scalar @parameters);

		if (@parameters)
		{
			my $i = 0;
			my $logged = join ', ', map { $i++; "\$$i = " . (defined ? "'" . s/'/''/gr . "'" : 'NULL') } @parameters;

			$accounted{$logged} //= 0;
			# jsonb is logged as it came or as it is put out
			$accounted{ $logged =~ s/":"/": "/gr =~ s/","/", "/gr } //= 1 if @parameters == 1;
			$callers{$_} = 1 foreach grep { defined } @parameters;
		}
		$bind .= defined ? pack('N', length) . $_ : pack 'l>', -1 foreach @parameters;
		$self->{socket}->print(
			$message->('P', "\0$sql\0" . pack 'n', 0), $message->('B', $bind . pack 'n', 0), $message->('E', "\0" . pack 'N', 0),
			$message->('S', ''));
		return $self->_answers;
	}

	# All of it in a transaction of that app user; the answer to the last
	sub as
	{
		my ($self, $app_user, @statements) = @_;
		my ($answer, $result);

		$self->ask('BEGIN');
		$self->ask('SELECT appuser_connectors.set_app_user($1)', $app_user);
		$result = $self->ask(@$_) foreach @statements;
		$self->ask('COMMIT');
		return $result;
	}
}

my $service = Client->new($node, 'app_service');
my $admin = Client->new($node, 'app_admin');
my $super = Client->new($node, 'postgres');

# What others can see of sessions at this moment
sub look
{
	$activity .= join "\n", map { join '|', map { $_ // '' } @$_ } @{ $super->ask('SELECT * FROM pg_stat_activity') };
	return;
}

# An object in the order of jsonb: shorter names first.
sub query_object
{
	my ($back) = @_;

	return '{' . join(',', map { encode($_) . ':' . encode($back->{$_}) } qw(iss code state)) . '}';
}

sub worked
{
	my ($answer, $what) = @_;

	ok(ref $answer eq 'ARRAY' && @$answer, $what) or diag ref $answer eq 'HASH' ? $answer->{message} : 'no row';
	look();
	return ref $answer eq 'ARRAY' && @$answer ? $answer->[0][0] : undef;
}

sub refused
{
	my ($answer, $state, $what) = @_;

	is(ref $answer eq 'HASH' ? $answer->{state} : 'no error', $state, $what);
	look();
	return;
}

# ------------------------------------------------------------------------- the flows
my (@states, @bindings, @nonces);
my $definition = encode({ %{ $provider->definition }, token_endpoint => $fault->url . '/token',
		revocation_endpoint => $fault->url . '/token/revocation' });
my $register = 'SELECT appuser_connectors.register_connector($1, $2, $3, ARRAY[\'openid\', \'read\'], ARRAY[\'http://127.0.0.1:7999/callback\'], $2)';

mkdir "$secrets_directory/$_" or die $! foreach qw(clients issuers proxies);
open my $reference, '>', "$secrets_directory/clients/client" or die $!;
chmod 0600, $reference;
print $reference 'origin: ' . $fault->url . "\n", $client_secret{file};
close $reference;

worked($admin->ask('SELECT appuser_connectors.register_provider($1, $2)', 'basic', $definition), 'a provider is registered');
worked($admin->ask('SELECT appuser_connectors.register_provider($1, $2)', 'post',
		$definition =~ s/\{/{"token_endpoint_auth_method":"client_secret_post",/r), 'another, by POST') if $definition !~ /token_endpoint_auth_method/;
worked($admin->ask($register, 'basic', 'basic', $client_secret{first}), 'a client secret by value');
worked($admin->ask($register, 'post', 'post', 'file:client'), 'by reference');
worked($admin->ask($register, 'post', 'doomed', $client_secret{other}), 'one more');
refused($admin->ask($register, 'basic', 'basic', $client_secret{second}), '42710', 'a second time, with another secret: refused');
refused($admin->ask($register, 'nowhere', 'lost', $client_secret{second}), 'UC006', 'for a provider that does not exist: refused');
$provider->order({ clients => [ { client_id => 'basic', client_secret => $client_secret{second}, token_endpoint_auth_method => 'client_secret_basic' } ] });
worked($admin->ask('SELECT appuser_connectors.update_connector($1, client_secret => $2)', 'basic', $client_secret{second}), 'the secret is changed');

sub begin_flow
{
	my ($app_user, $connector, $binding) = @_;
	my $answer = $service->as($app_user, [ 'SELECT appuser_connectors.connect_app_user($1, browser_binding => $2)', $connector, $binding ]);
	my $url = worked($answer, "$app_user begins to connect $connector");
	my $parameters = url_parameters($url);

	push @states, $parameters->{state};
	push @nonces, $parameters->{nonce} if $parameters->{nonce};
	push @bindings, $binding if defined $binding;
	return log_in($url, $app_user);
}

my $finish = 'SELECT failure IS NULL FROM appuser_connectors.oauth_callback($1, $2, iss => $3, browser_binding => $4)';
my $by_params = 'SELECT failure IS NULL FROM appuser_connectors.oauth_callback(NULL, params => $1)';
foreach my $connector ('basic', 'post', 'doomed')
{
	my $binding = random_text();
	my $back = begin_flow('alice', $connector, $binding);
	my @values = @$back{qw(state code iss)};

	refused($service->ask($finish, @values, random_text()), 'UC005', 'another browser: refused') if $connector eq 'post';
	if ($connector eq 'post')
	{
		$binding = random_text();
		$back = begin_flow('alice', $connector, $binding);
		@values = @$back{qw(state code iss)};
	}
	is(worked($service->ask($finish, @values, $binding), 'the browser\'s callback'), 't', 'connects');
	is(worked($service->ask($finish, @values, $binding), 'the same once more'), 't', 'a page that is reloaded tells the same');
}
my $back = begin_flow('bob', 'basic');
is(worked($service->as('bob', [ $by_params, query_object($back) ]), 'bob\'s whole query as params'), 't', 'connects');
$back = begin_flow('carol', 'basic');
refused($service->as('mallory', [ $finish, @$back{qw(state code iss)}, undef ]), 'UC005', 'another person\'s callback is refused');

# A provider that answers with the request, tokens and code and all, and one whose
# answer is cut off
foreach my $rule ({ status => 400, echo => JSON::PP::true }, { status => 200, echo => JSON::PP::true },
	{ status => 400, headers => { 'content-type' => 'application/json' }, echo => JSON::PP::true },
	{ proxyTo => $provider->url, truncate => JSON::PP::true })
{
	$fault->rules({ path => '/token', %$rule });
	$back = begin_flow('dora', 'basic');
	$service->as('dora', [ $finish, @$back{qw(state code iss)}, undef ]);
	my $token = worked($service->ask('SELECT access_token FROM appuser_connectors.app_user_connection($1, $2)', 'alice', 'basic'), 'alice\'s token');
	$service->ask('SELECT access_token FROM appuser_connectors.app_user_connection($1, $2, rejected_token => $3)', 'bob', 'basic',
		worked($service->ask('SELECT access_token FROM appuser_connectors.app_user_connection($1, $2)', 'bob', 'basic'), 'bob\'s'));
	look();
}
$fault->rules();

# Refreshes: asked for, by the worker itself, and with the row held by somebody
my $read = 'SELECT access_token FROM appuser_connectors.app_user_connection($1, $2)';
my $reject = 'SELECT access_token FROM appuser_connectors.app_user_connection($1, $2, rejected_token => $3)';
my $current = 'SELECT access_token FROM appuser_connectors.current_app_user_connection($1)';
my $token = worked($service->ask($read, 'alice', 'post'), 'a fresh read');
isnt(worked($service->ask($reject, 'alice', 'post', $token), 'a refresh'), $token, 'brings another token');
worked($service->as('alice', [ $current, 'post' ]), 'a fresh read by the current app user');
$service->ask('BEGIN');
worked($service->ask($read, 'alice', 'post'), 'a read');
refused($service->ask('SELECT 1 / $1::integer', '0'), '22012', 'an error after it');
$service->ask('ROLLBACK');
foreach my $statement ('EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM appuser_connectors.app_user_connection($1, $2)',
	'SELECT * FROM appuser_connectors.app_user_connection($1, $2) ORDER BY access_token')
{
	worked($service->ask($statement, 'alice', 'post'), $statement =~ s/ FROM.*//r);
}
worked($service->as('alice', [ 'SELECT * FROM appuser_connectors.app_user_connections()' ]), 'a listing');
worked($admin->ask('SELECT * FROM appuser_connectors.connection_status'), 'the status');

$super->ask('BEGIN');
$super->ask('SELECT FROM appuser_connectors.connections FOR UPDATE');
$token = worked($service->ask($read, 'alice', 'post'), 'a read while the row is held');
$service->ask("SET appuser_connectors.wait_timeout = '100ms'");
refused($service->ask($reject, 'alice', 'post', $token), 'UC003', 'a refresh whose answer cannot be applied');
wait_until('the answer is kept', sub { ($super->ask('SELECT count(*) FROM appuser_connectors.pending_answers'))->[0][0] > 0 });
look();
$super->ask('COMMIT');
$service->ask('RESET appuser_connectors.wait_timeout');
wait_until('it is applied', sub { ($super->ask('SELECT count(*) FROM appuser_connectors.pending_answers'))->[0][0] == 0 });

$provider->order({ set => { access_token_ttl => 2 } });
worked($service->ask($reject, 'alice', 'post', worked($service->ask($read, 'alice', 'post'), 'a token')), 'a token that soon expires');
my $refreshed = $provider->refreshes;
wait_until('the worker renews it by itself', sub { $provider->refreshes > $refreshed });
$provider->order({ set => { access_token_ttl => 3600 } });

# Who is asking, by JWTs: accepted, refused, for a transaction that is prepared, and by
# the pre-request function of the README
my @jwts;
my $hmac_key = random_text() . random_text();
my $user = Client->new($node, 'app_user_role');
my $authenticate = 'SELECT appuser_connectors.authenticate_app_user($1)';
my $register_issuer = 'SELECT appuser_connectors.register_issuer($1, jwks => $2, jwks_uri => $3, hmac_key => $4, algorithms => $5, audiences => ARRAY[\'app\'], app_user_template => substr($1, 9) || \':{sub}\')';
open2(my $from_signer, my $to_signer, 'node', "$FindBin::RealBin/../provider/signer.mjs");
$to_signer->autoflush(1);

sub signer
{
	print { $to_signer } encode([@_]), "\n";
	return decode(scalar readline $from_signer);
}

sub jwt
{
	my ($issuer, %order) = @_;
	my %claims = (iss => "https://$issuer.example", sub => 'kept', aud => 'app', exp => time() + 600, %{ delete $order{claims} // {} });

	push @jwts, signer('jwt', { claims => \%claims, header => { $order{key} ? (kid => $order{key}) : () }, %order });
	return $jwts[-1];
}

my %identity_key = map { $_ => { %{ signer('key', $_, 'P-256') }, kid => $_ } } qw(inline fetched);
open $reference, '>', "$secrets_directory/issuers/hmac" or die $!;
chmod 0600, $reference;
print $reference $hmac_key;
close $reference;
$fault->rules({ path => '/identity', body => { keys => [ $identity_key{fetched} ] } });
worked($admin->ask($register_issuer, 'https://inline.example', encode({ keys => [ $identity_key{inline} ] }), undef, undef, '{ES256}'), 'an issuer of JWTs');
worked($admin->ask($register_issuer, 'https://fetched.example', undef, $fault->url . '/identity', undef, '{ES256}'), 'one with published keys');
worked($admin->ask($register_issuer, 'https://hmac.example', undef, undef, 'file:hmac', '{HS256}'), 'one with a secret key');
foreach my $jwt (jwt('inline', alg => 'ES256', key => 'inline'), jwt('fetched', alg => 'ES256', key => 'fetched'),
	jwt('hmac', alg => 'HS256', secret => $hmac_key))
{
	like(worked($user->ask($authenticate, $jwt), 'a JWT'), qr/:kept$/, 'is accepted');
}
foreach my $jwt (jwt('inline', alg => 'ES256', key => 'inline', flip => JSON::PP::true), jwt('inline', alg => 'ES256', key => 'fetched'),
	jwt('nobody', alg => 'ES256', key => 'inline'), jwt('hmac', alg => 'HS256', secret => 'another', claims => { exp => 1 }),
	jwt('inline', alg => 'ES256', key => 'inline', claims => { exp => 1 }), jwt('inline', alg => 'none', key => 'inline', header => { kid => $jwts[0] }))
{
	refused($user->ask($authenticate, $jwt), '28000', 'another JWT is refused');
}
$user->ask('BEGIN');
worked($user->ask($authenticate, jwt('inline', alg => 'ES256', key => 'inline', claims => { sub => 'eve' })), 'a JWT');
worked($user->ask('SELECT appuser_connectors.connect_app_user($1)', 'post'), 'for a flow');
ok(ref $user->ask("PREPARE TRANSACTION 'identity'") eq 'ARRAY', 'whose transaction is prepared');
$super->ask('CHECKPOINT');
ok(ref $super->ask("COMMIT PREPARED 'identity'") eq 'ARRAY', 'and committed');
ok(ref $super->ask(q{
	CREATE FUNCTION public.before_request() RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		bearer text := substring(current_setting('request.headers', true)::json ->> 'authorization' FROM '^[Bb]earer +(.+)$');
	BEGIN
		IF bearer IS NOT NULL THEN
			PERFORM appuser_connectors.authenticate_app_user(bearer);
		END IF;
	END $$}) eq 'ARRAY', 'a pre-request function');
my $headers = encode({ authorization => 'Bearer ' . jwt('hmac', alg => 'HS256', secret => $hmac_key, claims => { jti => 'in headers' }) });
$user->ask('BEGIN');
worked($user->ask('SELECT length(set_config($1, $2, true))', 'request.headers', $headers), 'a request with a JWT');
worked($user->ask('SELECT public.before_request()'), 'is of a person');
like(worked($user->ask('SELECT appuser_connectors.current_app_user()'), 'who'), qr/:kept$/, 'is the right one');
$user->ask('COMMIT');

# Disconnected, with a revocation that fails and stays in the outbox; prepared; erased
$fault->rules({ path => '/token/revocation', status => 503, echo => JSON::PP::true });
is(worked($service->as('alice', [ 'SELECT appuser_connectors.disconnect_app_user($1)', 'basic' ]), 'a disconnect'), 't', 'is done');
$service->ask('BEGIN');
$service->ask('SELECT appuser_connectors.set_app_user($1)', 'alice');
worked($service->ask('SELECT appuser_connectors.disconnect_app_user($1)', 'post'), 'another, in a transaction that');
ok(ref $service->ask("PREPARE TRANSACTION 'canary'") eq 'ARRAY', 'is prepared');
$super->ask('CHECKPOINT');
ok(ref $super->ask("COMMIT PREPARED 'canary'") eq 'ARRAY', 'and committed');
worked($service->ask('SELECT appuser_connectors.erase_app_user($1)', 'bob'), 'bob is erased');
worked($admin->ask('SELECT appuser_connectors.delete_connector($1)', 'doomed'), 'a connector is deleted');
$fault->wait(path => '/token/revocation', count => 4);
$fault->rules();
my $kept = begin_flow('kept', 'post');
is(worked($service->as('kept', [ $finish, @$kept{qw(state code iss)}, undef ]), 'one more connects'), 't', 'and stays');
begin_flow('late', 'post', random_text());    # under way to the end

# Through a proxy that wants credentials, and refuses them
my $proxy_password = random_text();
my $gate = start_fault_server(certificate => undef);
$gate->rules({ path => '*', status => 407 });
open $reference, '>', "$secrets_directory/proxies/egress" or die $!;
chmod 0600, $reference;
print $reference $gate->url =~ s{//}{//server:$proxy_password\@}r, "\n";
close $reference;
worked($admin->ask('SELECT appuser_connectors.register_provider($1, $2)', 'outside',
		encode({ authorization_endpoint => 'https://idp.proxied.test/auth', token_endpoint => 'https://idp.proxied.test/token' })), 'a provider behind a proxy');
worked($admin->ask($register, 'outside', 'outside', $client_secret{first}), 'its connector');
ok(ref $super->ask("ALTER SYSTEM SET appuser_connectors.proxy = 'file:egress'") eq 'ARRAY', 'the proxy, by its file');
$node->reload;
wait_until('it is asked', sub {
		push @states, url_parameters(worked($service->as('kept', [ 'SELECT appuser_connectors.connect_app_user($1)', 'outside' ]), 'a flow behind it'))->{state};
		is(worked($service->as('kept', [ $finish, $states[-1], random_text(), undef, undef ]), 'its callback'), 'f', 'fails');
		return scalar $gate->requests });
is(($gate->requests)[0]{headers}{'proxy-authorization'}, 'Basic ' . encode_base64("server:$proxy_password", ''), 'with the password');

# ---------------------------------------------------------------- what is there to find
my @requests = map { my $h = $_->{headers}; { body => $_->{body} // '', authorization => ref $h eq 'HASH' ? $h->{authorization} : '' } } $fault->requests('/token');
my @verifiers = map { $_->{body} =~ /(?:^|&)code_verifier=([^&]+)/ ? $1 : () } @requests;
my $issued = $provider->ctl('/issued');
my %secrets = (
	'client secret' => [ values %client_secret ],
	'root key' => [$root_key],
	'JWT' => \@jwts,
	'key of JWTs' => [ $hmac_key ],
	'proxy\'s key' => [$proxy_password],
	'state' => \@states,
	'browser binding' => \@bindings,
	'nonce' => \@nonces,
	'code verifier' => \@verifiers,
	'authorization code' => $issued->{codes},
	'access token' => $issued->{access_tokens},
	'refresh token' => $issued->{refresh_tokens},
	'ID token' => $issued->{id_tokens});

foreach my $kind (sort keys %secrets)
{
	cmp_ok(scalar(@{ $secrets{$kind} }), '>=', $kind =~ /key/ ? 1 : 3, "there is something to look for: $kind");
}

sub url_encoded
{
	my ($text, $space) = @_;

	return join '', map { /[A-Za-z0-9._~-]/ ? $_ : $_ eq ' ' && $space ? $space : sprintf '%%%02X', ord } split //, $text;
}

# The beginning and the end of a secret are looked for, so that half a leak is one.  In
# base64 what surrounds it shifts it by up to two bytes.
sub needles
{
	my ($secret) = @_;
	my %needles;

	foreach my $part ((length $secret > 100 ? () : substr($secret, 0, 20)), substr($secret, -20))
	{
		my $hex = unpack 'H*', $part;

		$needles{$_} = 1 foreach $part, $hex, uc $hex, url_encoded($part), url_encoded($part, '+'), lc url_encoded($part),
		  join(' ', unpack 'C*', $part);
		foreach my $shift (0 .. 2)
		{
			my $encoded = encode_base64("\0" x $shift . $part, '');

			$encoded = substr $encoded, (0, 2, 3)[$shift], -4;
			$needles{$encoded} = $needles{ $encoded =~ tr/+\//-_/r } = 1;
		}
	}
	return grep { length >= 16 } keys %needles;
}

my %meaning;
foreach my $kind (keys %secrets)
{
	foreach my $secret (@{ $secrets{$kind} })
	{
		$meaning{$_} = $kind foreach needles($secret);
	}
}
# The root key's bytes as well, as far as lines allow.
$meaning{$_} = 'root key, raw' foreach grep { length >= 6 } split /[\n\0]/, pack 'H*', $root_key;

my $work = PostgreSQL::Test::Utils::tempdir('canary');
open my $patterns, '>:raw', "$work/patterns" or die $!;
print $patterns "$_\n" foreach keys %meaning;
close $patterns;

# What is found below these paths, as "kind in file"
sub search
{
	my (@paths) = @_;
	my ($out, $err);
	my %found;

	local $ENV{LC_ALL} = 'C';
	IPC::Run::run([ 'grep', '-raoHF', '--null', '-f', "$work/patterns", @paths ], '>', \$out, '2>', \$err);
	die "grep: $err" if $err =~ /\S/ && $err !~ /No such file/;
	foreach my $line (split /\n/, $out)
	{
		my ($file, $needle) = split /\0/, $line, 2;
		$found{"$meaning{$needle} in $file"}++ if defined $needle;
	}
	my @found = sort keys %found;
	return @found;
}

sub clean
{
	my ($what, @paths) = @_;
	my @found = search(@paths);

	is(scalar(@found), 0, "no secret in $what") or diag join "\n", grep { defined } @found[ 0 .. 20 ];
	return;
}

sub put
{
	my ($name, $content) = @_;

	open my $file, '>:raw', "$work/$name" or die $!;
	print $file $content;
	close $file;
	return "$work/$name";
}

# ----------------------------------------------------------- first, that it is found
foreach my $kind (sort keys %secrets)
{
	my $secret = $secrets{$kind}[-1];
	my %forms = (
		'as it is' => $secret,
		'cut off' => substr($secret, -30),
		'in hexadecimal' => unpack('H*', $secret),
		'in base64, in the middle' => encode_base64("ab$secret", ''),
		'in base64url, in the middle' => encode_base64url("a$secret"),
		'URL-encoded' => url_encoded($secret));

	is(scalar(grep { !search(put('control', "some $forms{$_} text\n")) } keys %forms), 0, "it would be found: $kind");
}
unlink "$work/control";
cmp_ok(scalar(search(put('control', 'x' . pack('H*', $root_key) . 'y'))), '>', 0, 'it would be found: the root key\'s bytes');
unlink "$work/control";

# ------------------------------------------------------------------------- and now not
$super->ask('ANALYZE VERBOSE');
$super->ask('VACUUM');
$super->ask('SELECT pg_switch_wal()');
$super->ask('CHECKPOINT');

sub dumped
{
	my ($sql) = @_;

	return join "\n", map { join '|', map { $_ // '' } @$_ } @{ $super->ask($sql) };
}

my $changes = dumped("SELECT data FROM pg_logical_slot_get_changes('canary', NULL, NULL)");
like($changes, qr/appuser_connectors\.connections: INSERT/, 'logical decoding has the changes');
like($changes, qr/appuser_connectors\.$_: INSERT/, "of $_, too") foreach qw(registered_connectors authorizations pending_answers revocations);
clean('what logical decoding says', put('decoded', $changes));
clean('pg_stats', put('stats', dumped('SELECT * FROM pg_stats') . dumped('SELECT * FROM pg_statistic_ext_data')));
clean('pg_stat_statements', put('statements', dumped('SELECT query FROM pg_stat_statements')));
clean('pg_stat_activity, all the while', put('activity', $activity));
like($activity, qr/oauth_callback/, '(it was looked at)');
clean('what any role can read', put('readable', dumped('SELECT * FROM pg_settings') . dumped('SELECT * FROM pg_prepared_statements')));

my $backup = $node->backup_dir;
$node->backup('base');
clean('a base backup', "$backup/base");
$node->command_ok([ 'pg_dump', '-f', "$work/dump.sql", '-d', $node->connstr('postgres') ], 'pg_dump');
$node->command_ok([ 'pg_dump', '-Fd', '-Z0', '-f', "$work/dump.d", '-d', $node->connstr('postgres') ], 'pg_dump, a directory');
$node->command_ok([ 'pg_dumpall', '-f', "$work/dump.all", '-d', $node->connstr('postgres') ], 'pg_dumpall');
like(slurp_file("$work/dump.sql"), qr/^kept\tpost\tdefault\t/m, 'the dump has the connections');
clean('dumps', map { "$work/$_" } 'dump.sql', 'dump.d', 'dump.all');

$node->stop;
clean('the data directory, WAL and all', $node->data_dir);

# In the log a caller's parameters are accounted for, line by line: as parameters, and
# where PostgreSQL shows the plan of a statement with the parameters put in.
my @values = grep { length >= 16 } keys %callers, map { /^\{"/ ? map { $_, s/^Bearer //r } grep { !ref } values %{ decode($_) } : () } keys %callers;
my $shown = join '|', map { quotemeta s/'/''/gr } @values;
my $printed = join '|', map { join ' ', unpack 'C*', $_ } @values;
open my $log, '<:raw', $node->logfile or die $!;
open my $rest, '>:raw', "$work/log" or die $!;
my ($lines, $tree) = (0, '');
while (my $line = <$log>)
{
	$lines++;
	if ($line =~ /parameters: (\$1 = .*)$/i && exists $accounted{$1})
	{
		$accounted{$1} = 1;
		next;
	}
	# A tree is printed in lines of 78 characters: what it says of a value begins in one
	# of them, and may end in another.
	if ($tree ne '' && $line =~ s/^\t//)
	{
		$tree =~ s/\n\z/ /;
		$tree .= $line;
		next;
	}
	print $rest $tree =~ s/\[ [0-9 -]*?(?:$printed) [0-9 -]*\]/accounted/gr;
	$tree = '';
	if ($line =~ /^\t[({]/)
	{
		$tree = $line;
		next;
	}
	$line =~ s/'[^']*?(?:$shown)[^']*?'::(?:text|jsonb)/accounted/g if $line =~ /^\s+(?:Function Call|Output): /;
	print $rest $line;
}
print $rest $tree;
close $rest;
cmp_ok($lines, '>', 10_000, 'the server was talkative');
is(scalar(grep { !$_ } values %accounted), 0, 'it logged all parameters of all callers');
clean('its log, but for those', "$work/log");
open $rest, '<:raw', "$work/log" or die $!;
my $any_needle = join '|', map { quotemeta } keys %meaning;
while (my $line = <$rest>)
{
	diag "line $. of what is left: ", substr($line, 0, 400), ' ... ', substr $line, ($-[0] > 200 ? $-[0] - 200 : 0), 400 if $line =~ /$any_needle/;
}
close $rest;
is(scalar(grep { $callers{$_} } @verifiers, @{ $issued->{refresh_tokens} }, $root_key, $hmac_key), 0,
	'and no caller ever has a verifier, refresh token or a key');

done_testing();
