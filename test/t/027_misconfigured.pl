# Whoever sets a connector up wrongly finds the cause, and what mends it, by one query, the
# first of docs/troubleshooting.md: the rows of check_health() that are not ok.  What is
# wrong with what they register at the moment they do is an error with a hint.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use MIME::Base64 qw(encode_base64url);
use PostgreSQL::Test::Utils qw(append_to_file slurp_file);
use Test::More;

my $ns = 'appuser_connectors';
my $faulty = start_fault_server(certificate => undef);
my $real = start_provider();
my $secrets = PostgreSQL::Test::Utils::tempdir('secrets-directory');
my $keys = PostgreSQL::Test::Utils::tempdir('keys');
my $node;
{
	my $shim = PostgreSQL::Test::Utils::tempdir('shim') . '/private_names.so';
	system('gcc', '-shared', '-fPIC', '-o', $shim, "$FindBin::RealBin/../provider/private_names.c", '-ldl') == 0 or die 'gcc failed';
	local $ENV{LD_PRELOAD} = $shim;
	$node = new_node('misconfigured', 'appuser_connectors.request_timeout = 5s', "appuser_connectors.secrets_directory = '$secrets'");
}
my $query = "SELECT detail FROM $ns.connection_events WHERE event = 'connect_failed' ORDER BY occurred_at DESC LIMIT 1";
my $count = 0;

sub quote { return "'" . $_[0] . "'"; }

# What is not ok, by name
sub unhealthy
{
	return map { $_->{name} => $_->{detail} } rows($node, 'app_admin', "SELECT name, detail FROM $ns.check_health() WHERE NOT ok");
}

sub told
{
	my ($way, $failure, $like, $server, %arguments) = @_;
	my $iss = delete $arguments{iss};
	my $error = delete $arguments{error};
	my $id_token = delete $arguments{id_token};
	my $id = 'way' . ++$count;

	register($node, $server, connector_id => $id, provider => $id, scopes => ['read'], %arguments);
	my $sent = url_parameters(authorization_url($node, 'alice', $id));
	my $state = $sent->{state};
	$id_token->($sent->{nonce}) if $id_token;
	my $row = callback($node, 'alice', { state => $state, $error ? (error => $error) : (code => 'a-code'), defined $iss ? (iss => $iss) : () });
	is($row->{failure}, $failure, "$way: the page is told $failure");
	like(query($node, 'app_admin', $query), qr/^\Q$failure\E: $like/, "$way: the admin is told the cause and the mend");
	like({ unhealthy() }->{"connector $id"}, qr/^Last failure: connect_failed of 1 person, at \d[^:]*:\d\d:[^:]*: \Q$failure\E: $like/, "$way: by the one query");
	return;
}

sub answers { return $faulty->rules({ path => '/token', @_ }); }

my %definition = (definition => { issuer => undef });
my $endpoint = quotemeta '"' . $faulty->url . '/token"';

answers(status => 401, body => { error => 'invalid_client', error_description => 'Invalid client secret.' });
told('a wrong client secret', 'connector_misconfigured',
	qr/the token endpoint $endpoint answered with HTTP status 401, error invalid_client: "Invalid client secret\."; correct client_id or client_secret with update_connector\(\), or token_endpoint_auth_method/, $faulty, %definition);
told('a wrong client secret at a real provider', 'connector_misconfigured', qr/.*HTTP status 401, error invalid_client.*client_secret with update_connector/, $real, client_secret => 'wrong', iss => $real->url);
told('a wrong client id at a real provider', 'connector_misconfigured', qr/.*HTTP status 40[01], error invalid_client.*correct client_id/, $real, client_id => 'nobody', client_secret => 'a secret', iss => $real->url);
answers(status => 400, body => { error => 'invalid_grant', error_description => 'redirect_uri mismatch' });
told('another redirect URI than is registered', 'invalid_grant', qr/.*HTTP status 400, error invalid_grant: "redirect_uri mismatch"; .*redirect_uris with what is registered/, $faulty, %definition);
told('an issuer with a slash more', 'issuer_mismatch', qr{the callback's iss is "https://issuer\.example/", the definition's issuer "https://issuer\.example"; .*letter by letter}, $faulty,
	definition => { issuer => 'https://issuer.example' }, iss => 'https://issuer.example/');
told('an issuer that is promised and does not come', 'issuer_mismatch', qr/the callback has no iss.*authorization_response_iss_parameter_supported/, $faulty,
	definition => { issuer => 'https://issuer.example', authorization_response_iss_parameter_supported => JSON::PP::true });
answers(status => 404, headers => { 'content-type' => 'text/html' }, body => '<html>Not found</html>');
told('a wrong endpoint', 'provider_unavailable', qr/the token endpoint $endpoint answered with HTTP status 404.*; token_endpoint of the definition may be wrong/, $faulty, %definition);
told('a private network', 'connector_misconfigured', qr/.*an address that is not allowed; if it may be called: allowed_networks or allowed_hosts/, $faulty,
	definition => { issuer => undef, token_endpoint => 'https://private.test/token' });
told('no way out', 'provider_unavailable', qr/.*no connection could be made; this server's way out/, $faulty, definition => { issuer => undef, token_endpoint => 'https://127.0.0.1:1/token' });
foreach my $case (
	[ 'self-signed', 'a certificate of an authority of one\'s own', qr/.*certificate is not accepted: [^;]*; ca_file if/ ],
	[ 'wrong-name', 'a certificate of another host', qr/.*certificate is not for the name of the host; ca_file if/ ],
	[ 'future', 'a certificate that is not valid yet, by a clock that is slow', qr/.*not yet valid; compare this server's clock/ ],
	[ 'expired', 'a certificate that has expired, or a clock that is fast', qr/.*has expired; the provider has to renew it, unless this server's clock is wrong/ ])
{
	my ($certificate, $way, $like) = @$case;
	told($way, 'provider_unavailable', $like, start_fault_server(certificate => $certificate), %definition);
}
told('a scope that the provider does not know', 'invalid_scope', qr/.*correct scopes with update_connector/, $faulty, %definition, error => 'invalid_scope');

# ID tokens: this server's clock is wrong as the provider's is.
system("openssl genpkey -algorithm RSA -out '$keys/rsa.pem' 2>/dev/null") == 0 or die 'openssl genpkey failed';
my ($modulus) = `openssl rsa -in '$keys/rsa.pem' -noout -modulus 2>/dev/null` =~ /Modulus=([0-9A-F]+)/ or die 'openssl rsa failed';
my $jwk = { kty => 'RSA', n => encode_base64url(pack 'H*', $modulus), e => 'AQAB' };

sub signed
{
	my ($algorithm, $claims) = @_;
	my $text = join '.', map { encode_base64url(encode($_)) } { alg => $algorithm }, $claims;
	my ($bits) = $algorithm =~ /(\d+)$/;
	my $signature;

	IPC::Run::run([ 'openssl', 'dgst', '-sha' . ($bits // 256), '-sign', "$keys/rsa.pem" ], '<', \$text, '>', \$signature) or die 'openssl dgst failed';
	return "$text." . encode_base64url($signature);
}

sub told_by_id_token
{
	my ($way, $like, %token) = @_;
	my $algorithm = delete $token{alg} // 'RS256';

	told($way, 'invalid_id_token', $like, $faulty, scopes => ['openid'], iss => $faulty->url, id_token => sub {
			my %claims = (iss => $faulty->url, aud => 'app', sub => 'alice', exp => time + 600, iat => time, nonce => $_[0], %token);
			$faulty->rules({ path => '/jwks', body => { keys => [$jwk] } },
				{ path => '/token', body => { access_token => 'a', token_type => 'Bearer', expires_in => 60, id_token => signed($algorithm, \%claims) } });
		});
	return;
}

told_by_id_token('a clock that is slow', qr/issued in the future, or never; compare this server's clock with the provider's/, iat => time + 3600, exp => time + 7200);
told_by_id_token('a clock that is fast', qr/expired; compare this server's clock with the provider's/, iat => time - 7200, exp => time - 3600);
told_by_id_token('another algorithm of ID tokens than is accepted', qr/its signature is refused: it is by RS512, and accepted is RS256, PS256, ES256, ES384, EdDSA; .*id_token_signed_response_alg/, alg => 'RS512');
told_by_id_token('ID tokens signed with the client secret', qr/its signature is refused: it is by HS256, with the client secret, which is not supported; have the provider sign by RS256/, alg => 'HS256');
told_by_id_token('an algorithm that nobody knows', qr/its signature is refused: it is by no algorithm that is known here, or by none/, alg => "no\nne");
told_by_id_token('a client id of another\'s ID tokens', qr/for another client than client_id, "app"/, aud => 'another');

# One person's failure is no alarm where others have connected; several people's is, until it goes well again.
register($node, $real, connector_id => 'busy');
is(connect_user($node, 'bob', 'busy')->{failure}, undef, 'bob is connected');
my $forge = sub {
	my ($person, $error) = @_;
	my $state = url_parameters(authorization_url($node, $person, 'busy'))->{state};
	return callback($node, $person, { state => $state, error => $error, iss => $real->url })->{failure};
};
my $busy = sub { return row($node, 'app_admin', "SELECT ok, detail FROM $ns.check_health() WHERE name = 'connector busy'"); };
is($forge->('mallory', 'invalid_scope'), 'invalid_scope', 'mallory makes a callback up') foreach 1 .. 3;
ok($busy->()->{ok}, 'one person cannot raise an alarm');
like($busy->()->{detail}, qr/^Last failure: connect_failed of 1 person, at .*: invalid_scope: .*correct scopes/, 'though it is told');
is($forge->('carol', 'invalid_scope'), 'invalid_scope', 'it happens to carol too');
ok(!$busy->()->{ok}, 'two can');
like($busy->()->{detail}, qr/^Last failure: connect_failed of 2 people within an hour/, 'and are counted');
$forge->($_, 'access_denied') foreach qw(dave erin);
like($busy->()->{detail}, qr/: invalid_scope:/, 'who says no at the provider is no failure');
is(connect_user($node, 'dave', 'busy')->{failure}, undef, 'dave is connected');
ok($busy->()->{ok}, 'and all is well');
like($busy->()->{detail}, qr/^Last failure: connect_failed of 2 people/, 'with what was');
query($node, 'app_service', "SELECT $ns.erase_app_user('$_')") foreach qw(mallory carol);
is($busy->()->{detail}, undef, 'people who are erased are not in it');

# Where the registration can tell, it does: it names the setting that helps, if one does.
sub refused
{
	my ($sql) = @_;
	my ($sqlstate, $message) = failure($node, 'app_admin', $sql);
	my ($detail) = $message =~ /^DETAIL:\s+(.*)/m;
	my ($hint) = $message =~ /^HINT:\s+(.*)/m;

	return join ' | ', $sqlstate, $detail // '', $hint // '';
}

sub set
{
	my ($name, $value) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET $ns.$name = '$value'");
	$node->reload;
	wait_until("$name is in force", sub { query($node, 'postgres', "SHOW $ns.$name") eq $value });
	return;
}

sub provider_with
{
	my (%endpoints) = @_;
	return "SELECT $ns.register_provider('guarded', '" . encode({ authorization_endpoint => 'https://p.example/auth', token_endpoint => 'https://p.example/token', %endpoints }) . "')";
}

sub issuer_with { return "SELECT $ns.register_issuer('https://i.example', jwks_uri => '$_[0]', audiences => '{app}')"; }

my $loopback = qr/a superuser sets appuser_connectors\.allow_insecure_loopback = on and reloads/;
my $https_only = qr/Give its https URL: no setting allows http to another machine/;
my $listed = sub { my ($address) = @_; return qr/a superuser adds \Q$address\E to appuser_connectors\.allowed_networks and reloads/; };
my %hints = (
	'http://localhost:8080/x' => qr/scheme is not https\. \| .*$loopback/, 'http://127.0.0.1/x' => qr/scheme is not https\. \| .*$loopback/,
	'http://[::1]/x' => qr/scheme is not https\. \| .*$loopback/, 'http://p.example/x' => qr/scheme is not https\. \| $https_only/,
	'http://10.1.2.3/x' => qr/scheme is not https\. \| $https_only/, 'http://127.0.0.1.p.example/x' => $https_only,
	'https://localhost/x' => qr/may not call localhost, .*$loopback/, 'https://127.1.2.3/x' => qr/may not call 127\.1\.2\.3, .*$loopback/,
	'https://[::1]:8443/x' => qr/may not call ::1, .*$loopback/, 'https://10.1.2.3/x' => qr/may not call 10\.1\.2\.3, which is no public address\. \| .*@{[ $listed->('10.1.2.3') ]}.*allowed_hosts/,
	'https://[fd00::1]/x' => qr/@{[ $listed->('fd00::1') ]}.*allowed_hosts/, 'https://169.254.169.254/x' => $listed->('169.254.169.254'),
	'https://0x0a.1.2.3/x' => $listed->('10.1.2.3'), 'https://167838211/x' => $listed->('10.1.2.3'), 'https://[::ffff:10.1.2.3]/x' => qr/a superuser adds ::ffff:10\.1\.2\.3|adds ::ffff:a01:203/,
	'ftp://10.1.2.3/x' => qr/scheme is not https\. \| $/, 'https://u:p@10.1.2.3/x' => qr/user name or password\. \| $/);

set(allow_insecure_loopback => 'off');
foreach my $url (sort keys %hints)
{
	like(refused(provider_with(token_endpoint => $url)), qr/^22023 \| .*$hints{$url}/, "token_endpoint $url: what would help");
	like(refused(issuer_with($url)), qr/^22023 \| .*$hints{$url}/, "jwks_uri of an issuer $url: what would help");
}
like(refused(provider_with($_ => 'https://10.1.2.3/x')), $hints{'https://10.1.2.3/x'}, "$_ as well") foreach qw(revocation_endpoint jwks_uri);
like(refused(provider_with(sandbox => { token_endpoint => $_ })), $hints{$_}, "the sandbox's token_endpoint $_") foreach 'http://localhost:8080/x', 'https://10.1.2.3/x';
foreach my $url ('https://10.1.2.3/x', 'https://localhost/x')
{
	is((failure($node, 'app_admin', provider_with(authorization_endpoint => $url)))[0], undef, "the browser may go to $url, which this server does not call");
}
is((failure($node, 'app_admin', provider_with(token_endpoint => "https://$_/x")))[0], undef, "what $_ is cannot be told yet") foreach qw(private.test 93.184.215.14 p.example);
set(allow_insecure_loopback => 'on');
register($node, $faulty, connector_id => 'guarded', provider => 'guarded', scopes => ['read'], %definition);
set(allow_insecure_loopback => 'off');
like(refused("SELECT $ns.register_connector('guarded', 'client', 'secret', '{}', '{https://app.example/cb}', 'guarded2')"), $loopback, 'a connector from such a provider: the same');
like(refused("SELECT $ns.update_connector('guarded', provider => 'guarded')"), $loopback, 'and an update by it');
set(allow_insecure_loopback => 'on');
is((failure($node, 'app_admin', provider_with(token_endpoint => $_)))[0], undef, "allowed then: $_") foreach 'http://127.0.0.1/x', 'https://localhost/x', 'https://127.1.2.3/x';
set(allowed_networks => '10.0.0.0/8, fd00::/8');
is((failure($node, 'app_admin', provider_with(token_endpoint => $_)))[0], undef, "allowed then: $_") foreach 'https://10.1.2.3/x', 'https://[fd00::1]/x', 'https://[::ffff:10.1.2.3]/x';
is((failure($node, 'app_admin', issuer_with('https://10.1.2.3/x')))[0], undef, 'also for an issuer');
like(refused(provider_with(token_endpoint => 'https://192.168.1.1/x')), $listed->('192.168.1.1'), 'and no other');

cmp_ok(query($node, 'app_admin', "SELECT unavailable FROM $ns.pg_stat_appuser_connectors WHERE kind = 'exchange'"), '>', 0, 'what was not answered is counted as unavailable');

# A secret with what was copied along is never right, and not shown.
foreach my $secret ("hush-hush\n", 'hush-hush ', "\thush-hush", "hush-hush\r\n")
{
	(my $name = $secret) =~ s/(\s)/sprintf '\\x%02x', ord $1/ge;
	foreach my $sql ("SELECT $ns.register_connector('way1', 'client', " . quote($secret) . ", '{}', '{https://app.example/cb}', 'padded')", "SELECT $ns.update_connector('way1', client_secret => " . quote($secret) . ')')
	{
		my ($sqlstate, $message) = failure($node, 'app_admin', $sql);
		is($sqlstate, '22023', "the secret $name is refused");
		like($message, qr/this client_secret cannot be right.*begins or ends with white space.*HINT:/s, 'with what to do');
		unlike($message, qr/hush/, 'and is not shown');
	}
}

# The key file, and files of secrets: errors say it, and check_health() of the root key.
mkdir "$secrets/clients" or die;
my $by_file = "SELECT $ns.register_connector('way1', 'client', 'file:client', '{}', '{https://app.example/cb}', 'by-file')";
like(refused($by_file), qr/^58P01 \|  \| Put it into a regular file of that name in appuser_connectors\.secrets_directory/, 'a file of a secret that is missing');
append_to_file("$secrets/clients/client", 'origin: ' . $faulty->url . "\nhush-hush\n");
chmod 0644, "$secrets/clients/client";
like(refused($by_file), qr/^55000 \| It belongs neither .* or is more open than 0640\. \| Run chown and chmod 0600 on it/, 'one that others may read');
chmod 0600, "$secrets/clients/client";
like(refused($by_file =~ s/'way1'/'way2'/r), qr/^42501 \| .*no line "origin: http.*" .* \| .*adds the line/, 'one that is for another server');
is(query($node, 'app_admin', $by_file), 'by-file', 'one that is right');

my $setting = "$ns.root_key_file";
my $key_file = query($node, 'postgres', "SHOW $setting");
my $begin = "SELECT $ns.connect_app_user('way1')";

sub write_key
{
	my ($name, $key, $mode) = @_;

	append_to_file("$keys/$name", $key);
	chmod $mode, "$keys/$name";
	return "$keys/$name";
}

foreach my $case (
	[ 'missing', "$keys/nowhere", qr/root_key_file could not be found: No such file/, qr/Put the key that this database was used with there/ ],
	[ 'open to others', write_key('open', slurp_file($key_file), 0644), qr/root_key_file is more open than 0640/, qr/Run chmod 0600 on it/ ],
	[ 'a directory', $keys, qr/root_key_file is not a regular file/, qr/Set appuser_connectors\.root_key_file to a regular file/ ],
	[ 'unfit', write_key('unfit', 'hush-hush', 0600), qr/the root key is not 64 hexadecimal digits/, qr/openssl rand -hex 32/ ])
{
	my ($way, $file, $cause, $mend) = @$case;
	my %row;

	# what is in force goes on; that the next start would find none is told before
	$node->adjust_conf('postgresql.conf', $setting, "'$file'");
	$node->reload;
	wait_until("the launcher has found it $way", sub { %row = unhealthy(); ($row{'root key'} // '') =~ $cause });
	like($row{'root key'}, qr/^The one in force was read before, and is gone when the server is restarted: now $cause.*$mend/, "the key file is $way since: the one query says so");
	is((failure($node, 'app_service', $begin, app_user => 'zoe'))[0], undef, 'and flows begin');
	$node->restart;
	%row = unhealthy();
	like($row{'root key'}, qr/^There is none: $cause.*$mend/, "the key file is $way: the one query says so");
	my ($sqlstate, $message) = failure($node, 'app_service', $begin, app_user => 'zoe');
	is($sqlstate, 'UC008', 'no flow begins');
	like($message, qr/DETAIL:.*$cause.*\n.*HINT:.*$mend/, 'and the error says the same');
	unlike("$message $row{'root key'}", qr/hush|\Q$keys\E/, 'without the key, or where it is');
	$node->adjust_conf('postgresql.conf', $setting, "'$key_file'");
	$node->reload;
	wait_until('the key is there', sub { %row = unhealthy(); !exists $row{'root key'} });
}
$node->adjust_conf('postgresql.conf', $setting, "'" . write_key('another', 'ab' x 32, 0600) . "'");
$node->restart;
like({ unhealthy() }->{'root key'}, qr/^It is another than the one that this database was used with.*reload/, 'another key: the one query says so');
is((failure($node, 'app_service', $begin, app_user => 'zoe'))[0], 'UC008', 'and no flow begins');

$node->stop;
done_testing();
