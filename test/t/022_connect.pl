# connect_app_user() sends the browser where the admin said, with everything the
# protocol wants (RFC 6749 §4.1.1, RFC 7636, OpenID Connect Core §3.1.2.1), back to
# nowhere else than the admin allowed, and keeps a bounded number of flows.  What an
# admin registers is checked when it is given, and where a connector's secrets and
# tokens go changes only by update_connector(), never behind a person's back.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use POSIX ();
use MIME::Base64 qw(decode_base64);
use PostgreSQL::Test::Utils;
use Test::More;

my $faulty = start_fault_server(certificate => undef);
my $secrets_directory = PostgreSQL::Test::Utils::tempdir('secrets-directory');
mkdir "$secrets_directory/clients" or die;
my $node = new_node('connect', "appuser_connectors.secrets_directory = '$secrets_directory'");
allow_inserts($node);
my $redirect_uri = 'http://127.0.0.1:7999/callback';
my $app = 'https://app.example';

sub quote { return AppuserConnectors::quote(@_); }

sub definition
{
	my (%members) = @_;

	return { %{ $faulty->definition }, issuer => undef, revocation_endpoint => undef, jwks_uri => undef, %members };
}

sub register_at
{
	my ($connector, $definition, %arguments) = @_;

	return register($node, $faulty, connector_id => $connector, provider => $connector, client_id => 'the client & its id',
		client_secret => 'the secret of the client', scopes => [qw(read write)], definition => definition(%{ $definition // {} }), %arguments);
}

sub url
{
	my ($connector, %arguments) = @_;

	return authorization_url($node, 'alice', $connector, %arguments);
}

sub connect_fails
{
	my ($name, $sqlstate, $connector, %arguments) = @_;
	my ($state, $message) = failure($node, 'app_service',
		'SELECT appuser_connectors.connect_app_user(' . AppuserConnectors::arguments(connector_id => $connector, %arguments) . ')', app_user => 'alice');

	is($state, $sqlstate, $name);
	return $message // '';
}

sub admin_fails
{
	my ($name, $sqlstate, $function, %arguments) = @_;
	my ($state, $message) = failure($node, 'app_admin', "SELECT appuser_connectors.$function(" . AppuserConnectors::arguments(%arguments) . ')');

	is($state, $sqlstate, $name) or diag($message);
	return $message // '';
}

sub admin
{
	my ($function, %arguments) = @_;

	return query($node, 'app_admin', "SELECT appuser_connectors.$function(" . AppuserConnectors::arguments(%arguments) . ')');
}

# The flow of that URL, finished; returns what the token endpoint was asked
sub finish
{
	my ($url) = @_;

	$faulty->rules({ path => '*', body => { access_token => 'an access token', refresh_token => 'a refresh token', token_type => 'Bearer', expires_in => 7200 } });
	is(callback($node, 'alice', { state => url_parameters($url)->{state}, code => 'a code' })->{failure}, undef, 'the flow is finished');
	return url_parameters('?' . ($faulty->requests)[-1]{body});
}

# The URL

register_at('plain', {}, redirect_uris => [ $redirect_uri, "$app/callback", 'com.example.app:/callback' ]);
my $url = url('plain');
my $parameters = url_parameters($url);
is(($url =~ /^([^?]*)/)[0], $faulty->url . '/auth', 'the browser is sent to the authorization endpoint');
is_deeply([ sort keys %$parameters ], [qw(client_id code_challenge code_challenge_method redirect_uri response_type scope state)], 'with these parameters');
is($parameters->{response_type}, 'code', 'a code is asked for');
is($parameters->{client_id}, 'the client & its id', 'by the client');
is($parameters->{redirect_uri}, $redirect_uri, 'to come back to the first redirect URI');
is($parameters->{scope}, 'read write', 'scopes are separated by spaces');
like($parameters->{code_challenge}, qr/^[A-Za-z0-9_-]{43}$/, 'there is a code challenge');
is($parameters->{code_challenge_method}, 'S256', 'of the strong kind');
like($parameters->{state}, qr/^[A-Za-z0-9_-]{80,}$/, 'and a state, which nobody guesses');
unlike($url, qr/[+ "<>]|%(?![0-9A-F]{2})/, 'the URL is well formed, with spaces as every server takes them');
unlike(decode_base64($parameters->{state} =~ tr{-_}{+/}r), qr/alice/, 'the state does not show whose it is');
my $sent = finish($url);
like($sent->{code_verifier}, qr/^[A-Za-z0-9_-]{43}$/, 'the code verifier is of 43 characters');
is(query($node, 'postgres', q{SELECT translate(rtrim(encode(sha256(:'verifier'), 'base64'), '='), '+/', '-_')}, variables => { verifier => $sent->{code_verifier} }),
	$parameters->{code_challenge}, 'whose hash the challenge is');
is($sent->{redirect_uri}, $redirect_uri, 'the redirect URI is said again');
is(query($node, 'postgres', q{SELECT count(*) FROM appuser_connectors.connections AS c, appuser_connectors.authorizations AS a WHERE strpos(c::text || a::text, :'state') > 0},
		variables => { state => $parameters->{state} }), 0, 'the state itself is stored nowhere');

my @urls = map { url_parameters(url('plain')) } 1 .. 4;
foreach my $name ('state', 'code_challenge')
{
	my %seen = map { $_->{$name} => 1 } @urls, $parameters;
	is(scalar(keys %seen), 5, "$name is fresh each time");
}

register_at('openid', {}, scopes => [qw(openid read)]);
my @nonces = map { url_parameters(url('openid'))->{nonce} } 1 .. 2;
like($nonces[0], qr/^[A-Za-z0-9_-]{43}$/, 'with openid there is a nonce');
isnt($nonces[0], $nonces[1], 'fresh each time');
like(url_parameters(url('plain', scopes => ['openid']))->{nonce}, qr/^.{43}$/, 'also when openid is asked for this time only');
is(url_parameters(url('plain', scopes => [qw(write admin read admin)]))->{scope}, 'read write admin', 'scopes of this time come after the others, each once');
ok(!exists url_parameters(url('plain', scopes => ['openid2']))->{nonce}, 'a scope that only begins so is another');

register_at('query', { authorization_endpoint => $faulty->url . '/auth?audience=api%20x&tenant=1' });
$url = url('query');
like($url, qr{/auth\?audience=api%20x&tenant=1&response_type=code&}, "the endpoint's own query is kept as it is");
register_at('question', { authorization_endpoint => $faulty->url . '/auth?' });
like(url('question'), qr{/auth\?response_type=code&}, 'also an empty one');

register_at('separator', { scope_separator => ',' });
is(url_parameters(url('separator'))->{scope}, 'read,write', 'scopes are separated as the provider wants');
register_at('parameter', { scope_parameter => 'user_scope' });
$parameters = url_parameters(url('parameter'));
is($parameters->{user_scope}, 'read write', 'and named so');
ok(!exists $parameters->{scope}, 'and not otherwise');
register_at('none', {}, scopes => []);
ok(!exists url_parameters(url('none'))->{scope}, 'no scopes, no parameter');

register_at('extra', { authorization_params => { access_type => 'offline', prompt => 'consent', 'odd&name' => 'odd=&value' } });
$parameters = url_parameters(url('extra'));
is_deeply([ @$parameters{qw(access_type prompt odd&name)} ], [ 'offline', 'consent', 'odd=&value' ], 'extra parameters of the provider are sent');
admin('update_connector', connector_id => 'extra', client_secret => 'a secret', options => { authorization_params => { prompt => 'login', hd => 'example.test' }, resource => 'https://api.example/v1' });
$parameters = url_parameters(url('extra'));
is_deeply([ @$parameters{qw(access_type prompt hd resource)} ], [ 'offline', 'login', 'example.test', 'https://api.example/v1' ],
	'and of the connector, which go before them');
foreach my $ours (qw(response_type client_id redirect_uri state scope nonce code_challenge code_challenge_method request request_uri))
{
	admin_fails("a provider's $ours", '22023', 'register_provider', provider => 'stealing', definition => definition(authorization_params => { $ours => 'stolen' }));
	next if $ours eq 'scope';
	admin_fails("a connector's $ours", '22023', 'update_connector', connector_id => 'extra', options => { authorization_params => { $ours => 'stolen' } });
}

foreach my $off ([ 'by the provider', { pkce => 'off' }, {} ], [ 'by the connector', {}, { options => { pkce => 'off' } } ])
{
	my $connector = register_at("pkce $off->[0]", $off->[1], %{ $off->[2] });
	$url = url($connector);
	unlike($url, qr/code_challenge/, "PKCE turned off $off->[0]: no challenge");
	ok(!exists finish($url)->{code_verifier}, 'and no verifier');
}
register_at('pkce on again', { pkce => 'off' }, options => { pkce => 'S256' });
like(url('pkce on again'), qr/code_challenge_method=S256/, 'a connector may turn it on for a provider where it is off');

# Where the browser may come back to

foreach my $given ("$app/callback", 'com.example.app:/callback', $redirect_uri, 'http://127.0.0.1:1/callback', 'http://127.0.0.1/callback', 'http://127.0.0.1:65535/callback')
{
	$url = url('plain', redirect_uri => $given);
	is(url_parameters($url)->{redirect_uri}, $given, "redirect URI $given");
	is(finish($url)->{redirect_uri}, $given, 'the same is in the token request');
}
foreach my $given ("$app/callback/", "$app/Callback", "$app/callback?x=1", "$app/callback#x", "$app:443/callback", "$app:444/callback", 'http://app.example/callback',
	'https://APP.example/callback', 'https://app.example.evil.example/callback', 'https://evil.example/callback', "$app/../callback", "$app/%63allback",
	'http://127.0.0.1:7999/callback/x', 'http://127.0.0.1:7999/callback?x', 'http://127.0.0.1:7999@evil.example/callback', 'http://user@127.0.0.1:7999/callback',
	'http://localhost:7999/callback', 'http://127.0.0.2:7999/callback', 'https://127.0.0.1:7999/callback', 'http://127.0.0.1:7999/callback#x',
	'http://127.0.0.1.evil.example:7999/callback', 'com.example.app:/other', 'com.example.other:/callback', 'javascript:alert(1)', '', "$app/callback ")
{
	connect_fails("redirect URI '$given' is not the connector's", '22023', 'plain', redirect_uri => $given);
}

foreach my $given ('/', '/settings', '/settings?tab=connections#calendar', '/a//b', "$app/x?y=1", "$app?y=//1", $app, 'https://APP.example:443/x', 'http://127.0.0.1:7999/x')
{
	is(callback($node, 'alice', { state => url_parameters(url('plain', return_to => $given))->{state}, error => 'access_denied' })->{return_to}, $given, "return_to $given is allowed");
}
foreach my $given ('//evil.example', '///evil.example', '/\\evil.example', '\\/evil.example', '\\\\evil.example', "/\tevil", "/\n/evil.example", "\t//evil.example", ' //evil.example',
	'https://evil.example', 'https:evil.example', 'https:/evil.example', 'https:///evil.example', "$app.evil.example/", 'https://app.example@evil.example/', 'https://evil.example/app.example',
	"$app\\.evil.example", "$app:444/", 'http://app.example/', 'http://127.0.0.1:8000/x', 'javascript:alert(1)', 'JavaScript:alert(1)', 'javascript://app.example/%0aalert(1)', 'data:text/html,x',
	'evil.example', 'settings', '?x', '#x', '', "$app/\r\nSet-Cookie: x", "$app//evil.example/x", "$app/.//evil.example", "$app/%2Fevil.example", "$app/x/..//evil.example", '/' . 'x' x 3000)
{
	connect_fails('return_to ' . (length $given > 100 ? 'of 3000 bytes' : "'" . $given =~ s/[\t\r\n]/?/gr . "'") . ' is not allowed', '22023', 'plain', return_to => $given);
}
my $deep_link = 'com.example.app:/done';
like(connect_fails("a return_to of another origin", '22023', 'plain', return_to => 'https://www.example/done'), qr/^HINT: .*options/m, 'the hint says how to allow it');
admin('update_connector', connector_id => 'plain', options => { return_to => [ 'https://www.example/done', $deep_link ] });
like(url('plain', return_to => $_), qr/state=/, "return_to $_ is allowed when the options list it") foreach 'https://www.example/done', $deep_link;
connect_fails('and only as it is listed', '22023', 'plain', return_to => 'https://www.example/done?x');

# Other arguments

foreach my $scope ('', 'two words', "tab\tbed", 'quo"ted', 'back\\slash', "caf\xc3\xa9")
{
	connect_fails("'" . $scope =~ s/\t/?/r . "' is not a scope", '22023', 'plain', scopes => [$scope]);
}
connect_fails('connection_name is not empty', '22023', 'plain', connection_name => '');
my ($state) = failure($node, 'app_service', "SELECT appuser_connectors.connect_app_user('plain', connection_config => '[]')", app_user => 'alice');
is($state, '22023', 'connection_config is an object');
($state) = failure($node, 'app_service', "SELECT appuser_connectors.connect_app_user('plain')");
is($state, '28000', 'somebody must be connecting');

# Flows under way are few

query($node, 'postgres', 'DELETE FROM appuser_connectors.authorizations');
my @states = map { url_parameters(url('plain'))->{state} } 1 .. 7;
my $other = url_parameters(url('openid'))->{state};
my $bob = url_parameters(authorization_url($node, 'bob', 'plain'))->{state};
is_deeply([ rows($node, 'postgres', q{SELECT app_user, connector_id, count(*) FROM appuser_connectors.authorizations GROUP BY 1, 2 ORDER BY 1, 2}) ],
	[ { app_user => 'alice', connector_id => 'openid', count => 1 }, { app_user => 'alice', connector_id => 'plain', count => 5 }, { app_user => 'bob', connector_id => 'plain', count => 1 } ],
	'five flows of one person and connector are kept');
foreach my $i (0 .. 6)
{
	my $answer = AppuserConnectors::arguments(state => $states[$i], error => 'access_denied');
	my ($state) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.oauth_callback($answer)", app_user => 'alice');
	is($state, $i < 2 ? 'UC005' : undef, 'flow ' . ($i + 1) . ($i < 2 ? ' has gone, being the oldest' : ' can be finished'));
}
is(callback($node, 'alice', { state => $other, error => 'access_denied' })->{failure}, 'access_denied', 'those of another connector stay');
is(callback($node, 'bob', { state => $bob, error => 'access_denied' })->{failure}, 'access_denied', 'and those of another person');
query($node, 'app_admin', "SELECT appuser_connectors.register_connector('plain', 'c', 's', '{}', '{$app/callback}', connector_id => 'many-' || i) FROM generate_series(1, 12) AS i");
query($node, 'app_service', "SELECT count(appuser_connectors.connect_app_user('many-' || i)) FROM generate_series(1, 12) AS i, generate_series(1, 5)", app_user => 'carol');
is(query($node, 'postgres', "SELECT count(*) FROM appuser_connectors.authorizations WHERE app_user = 'carol'"), 50, 'fifty of one person at all connectors together');
query($node, 'app_admin', "SELECT appuser_connectors.delete_connector('many-' || i) FROM generate_series(1, 12) AS i");

# register_provider

my @names = qw(issuer authorization_endpoint token_endpoint revocation_endpoint jwks_uri userinfo_endpoint token_endpoint_auth_method scope_separator authorization_params pkce);
my $message = admin_fails('an unknown name in a definition', '22023', 'register_provider', provider => 'p', definition => definition(tokenEndpoint => 'https://x.example'));
like($message, qr/unknown name "tokenEndpoint"/, 'is named');
like($message, qr/^HINT: .*\b$_\b/m, "the hint knows $_") foreach @names;
foreach my $endpoint (qw(authorization_endpoint token_endpoint revocation_endpoint userinfo_endpoint jwks_uri))
{
	foreach my $bad ('http://provider.example/x', 'https://user@provider.example/x', 'https://user:password@provider.example/x', 'https://provider.example/x#fragment',
		'https://provider.example/x#', 'ftp://provider.example/x', 'file:///etc/passwd', 'javascript:alert(1)', 'provider.example/x', '/x', '', 'https://', "https://provider.example/\nx",
		'https://provider.example/ x', 'https://provider.example\\@evil.example/', "https://pr\xc3\xb6vider.example/", 42, [ 'https://provider.example' ])
	{
		admin_fails("$endpoint cannot be " . (ref $bad ? 'an array' : "'" . $bad =~ s/\n/?/r . "'"), '22023', 'register_provider', provider => 'p', definition => definition($endpoint => $bad));
	}
}
my %bad_members = (
	token_endpoint_auth_method => 'magic', authorization_response_iss_parameter_supported => 'yes', pkce => 'S512', scope_separator => '', authorization_params => { a => 1 },
	token_params => [], token_types => 'bot', default_expires_in => -1, refresh_margin => '5', zero_expires_in => 'never', token_body_format => 'xml', id_token_signed_response_alg => 'none');
admin_fails("$_ cannot be " . encode($bad_members{$_}), '22023', 'register_provider', provider => 'p', definition => definition($_ => $bad_members{$_})) foreach sort keys %bad_members;
foreach my $needed ('authorization_endpoint', 'token_endpoint')
{
	like(admin_fails("a definition without $needed", '22023', 'register_provider', provider => 'p', definition => definition($needed => undef)), qr/$needed/, 'is told so');
}
foreach my $definition ('[]', '"x"', 'null', '1')
{
	my ($state) = failure($node, 'app_admin', "SELECT appuser_connectors.register_provider('p', '$definition')");
	is($state, '22023', "a definition that is $definition");
}
admin_fails('a provider without a name', '22023', 'register_provider', provider => '', definition => definition());
is(query($node, 'app_admin', "SELECT count(*) FROM appuser_connectors.providers WHERE provider = 'p'"), 0, 'none of that is kept');

# register_connector

my %given = (
	provider => 'plain', client_id => 'client', client_secret => 'secret of the client', scopes => [qw(read write)], redirect_uris => ["$app/callback"],
	connector_id => 'registered', name => 'A name', connection_config => { a => '1' }, options => { pkce => 'S256' });
my $row_of = "SELECT c.xmin, md5(c::text) FROM appuser_connectors.registered_connectors AS c WHERE connector_id = 'registered'";
is(admin('register_connector', %given), 'registered', 'register_connector returns the id');
my $before = query($node, 'postgres', $row_of);
is(admin('register_connector', %given), 'registered', 'registering it identically once more');
is(query($node, 'postgres', $row_of), $before, 'does nothing');
my %different = (
	provider => 'openid', client_id => 'other', client_secret => 'other', scopes => [qw(read)], redirect_uris => ["$app/other"], name => 'Another name',
	connection_config => { a => '2' }, options => { pkce => 'off' });
foreach my $name (sort keys %different)
{
	like(admin_fails("with another $name it is a conflict", '42710', 'register_connector', %given, $name => $different{$name}), qr/^HINT: .*update_connector/m, 'the hint says what to do');
}
admin_fails('with scopes in another order', '42710', 'register_connector', %given, scopes => [qw(write read)]);
admin_fails('without options', '42710', 'register_connector', %given, options => undef);
is(query($node, 'postgres', $row_of), $before, 'and nothing has changed');
admin('register_provider', provider => 'namesake', definition => definition(name => 'The Namesake'));
is(admin('register_connector', provider => 'namesake', client_id => 'c', client_secret => 's', scopes => [], redirect_uris => ["$app/callback"]), 'namesake',
	"without an id it has its provider's name");
is(row($node, 'app_admin', "SELECT name FROM appuser_connectors.connectors WHERE connector_id = 'namesake'")->{name}, 'The Namesake', 'and the name of the definition');

my @bad = (
	[ 'an unknown provider', 'UC006', provider => 'nobody' ],
	map({ my $name = $_; map { [ "$name " . quotemeta($_), '22023', $name => $_ ] } "pasted\n", ' pasted', 'pasted ', "pasted\r\n" } qw(client_id client_secret)),
	map({ my $name = $_; [ "$name in quotes", '22023', $name => "\xe2\x80\x9cpasted\xe2\x80\x9d" ], [ "$name after a byte order mark", '22023', $name => "\xef\xbb\xbfpasted" ],
			[ "$name with a character of no width", '22023', $name => "pas\xe2\x80\x8bted" ] } qw(client_id client_secret connector_id)),
	[ 'client_id in quotes', '22023', client_id => '"pasted"' ],
	map({ [ 'scope ' . quotemeta($_), '22023', scopes => [$_] ] } 'read write', "read\n", ' read', '"read"', "'read'", 'read,write', ''),
	[ 'no client_id', '22023', client_id => '' ], [ 'no client_id at all', '22023', client_id => undef ],
	[ 'no secret, where the provider wants one', '22023', client_secret => '' ], [ 'no secret at all', '22023', client_secret => undef ],
	[ 'no redirect URI', '22023', redirect_uris => [] ], [ 'no redirect URIs', '22023', redirect_uris => undef ],
	[ 'an empty id', '22023', connector_id => '' ], [ 'an unknown option', '22023', options => { return_url => [] } ],
	[ 'return targets that are scripts', '22023', options => { return_to => ['javascript:alert(1)'] } ],
	map({ [ "redirect URI $_", '22023', redirect_uris => [$_] ] } 'http://app.example/callback', 'https://app.example/callback#x', 'javascript:alert(1)', 'https://user@app.example/', '/callback', '',
		'myapp:/callback', 'https://', "$app/ x", "$app\\evil.example"),
	map({ [ "scope '$_'", '22023', scopes => [$_] ] } '', 'read write', 'quo"ted'));
foreach my $case (@bad)
{
	my ($name, $sqlstate, @arguments) = @$case;
	my $message = admin_fails("a connector with $name", $sqlstate, 'register_connector', %given, connector_id => 'bad', @arguments);
	unlike($message, qr/secret of the client/, 'the secret is not shown');
	like($message, qr/^HINT: .*copied along/m, 'the hint says what to do') if grep { !ref && /pas/ } @arguments;
}
like(admin_fails('a provider with a blank at its end', '22023', 'register_provider', provider => 'pasted ', definition => definition()), qr/^HINT: .*copied along/m, 'is none');
like(admin_fails("an issuer with a line's end", '22023', 'register_provider', provider => 'pasted', definition => definition(issuer => "https://p.example\n")), qr/^DETAIL:.*white space/m, 'is none');
foreach my $pasted ([ issuer => "https://i.example\n" ], [ issuer => '"https://i.example"' ], [ audiences => ["app\xe2\x80\x8b"] ], [ jwks_uri => 'https://i.example/jwks ' ],
	[ app_user_template => '{sub} ' ])
{
	like(admin_fails("register_issuer with what was copied along with $pasted->[0]", '22023', 'register_issuer', issuer => 'https://i.example', jwks_uri => 'https://i.example/jwks', @$pasted),
		qr/^DETAIL:/m, 'which the error explains');
}
is(query($node, 'postgres', "SELECT count(*) FROM appuser_connectors.registered_connectors WHERE connector_id IN ('bad', '')"), 0, 'none of that is kept');

# update_connector

sub told
{
	return row($node, 'app_admin', "SELECT provider, client_id, scopes, redirect_uris, name, connection_config, options FROM appuser_connectors.connectors WHERE connector_id = 'registered'");
}

my %told = map { $_ => $given{$_} } qw(provider client_id scopes redirect_uris name connection_config options);
admin('update_connector', connector_id => 'registered');
is_deeply(told(), \%told, 'what is NULL stays');
my %changes = (client_id => 'other', scopes => ['read'], redirect_uris => ["$app/other"], name => 'Another', connection_config => { b => '2' }, options => { pkce => 'off' });
foreach my $name (sort keys %changes)
{
	admin('update_connector', connector_id => 'registered', $name => $changes{$name});
	$told{$name} = $changes{$name};
	is_deeply(told(), \%told, "$name is changed, and nothing else");
}
my %cleared = (scopes => [ [], [] ], name => [ '', 'plain' ], connection_config => [ {}, undef ], options => [ {}, undef ]);
foreach my $name (sort keys %cleared)
{
	admin('update_connector', connector_id => 'registered', $name => $cleared{$name}[0]);
	$told{$name} = $cleared{$name}[1];
	is_deeply(told(), \%told, "$name is cleared, and nothing else");
}
admin_fails("the last redirect URI cannot be cleared", '22023', 'update_connector', connector_id => 'registered', redirect_uris => []);
admin_fails('nor the client_id', '22023', 'update_connector', connector_id => 'registered', client_id => '');
admin_fails('nor a secret that the provider wants', '22023', 'update_connector', connector_id => 'registered', client_secret => '');
admin_fails('to another provider that there is not', 'UC006', 'update_connector', connector_id => 'registered', provider => 'nobody');
admin_fails('to a redirect URI that is none', '22023', 'update_connector', connector_id => 'registered', redirect_uris => ['http://evil.example/']);
is_deeply(told(), \%told, 'none of that has changed anything');
admin('update_connector', connector_id => 'registered', client_secret => 'a new secret');
is_deeply(told(), \%told, 'a new secret is not seen');
finish(url('registered'));
is(decode_base64((($faulty->requests('/token'))[-1]{headers}{authorization} =~ /^Basic (.*)/)[0]), 'other:a+new+secret', 'but used');
admin('register_provider', provider => 'registered-public', definition => definition(token_endpoint_auth_method => 'none'));
admin('update_connector', connector_id => 'registered', provider => 'registered-public', client_secret => '');
finish(url('registered'));
ok(!exists +($faulty->requests('/token'))[-1]{headers}{authorization}, 'for a provider that wants no secret it can be cleared');

# A changed catalogue reaches a connector when an admin says so.
my $elsewhere = start_fault_server(certificate => undef);
$elsewhere->rules({ path => '*', body => { access_token => 'a token from elsewhere', token_type => 'Bearer' } });
register_at('moving');
finish(url('moving'));
my $mine = qq{SELECT * FROM appuser_connectors.app_user_connection('alice', 'moving'};
admin('register_provider', provider => 'moving', definition => definition(token_endpoint => $faulty->url . '/other/token'));
$faulty->rules({ path => '/token', body => { access_token => 'from the old path', token_type => 'Bearer', expires_in => 7200 } },
	{ path => '/other/token', body => { access_token => 'from the new path', token_type => 'Bearer', expires_in => 7200 } });
is(row($node, 'app_service', "$mine, min_validity => '1 day')")->{access_token}, 'from the old path', 'the catalogue changes: the connector stays');
admin('update_connector', connector_id => 'moving', provider => 'moving', client_secret => 'the secret of the client');
is((failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('alice', 'moving')"))[0], 'UC002', 'until it is told; on another path there may be somebody else');
finish(url('moving'));
$faulty->rules({ path => '/other/token', body => { access_token => 'from the new path', token_type => 'Bearer', expires_in => 7200 } });
is(row($node, 'app_service', "$mine, min_validity => '1 day')")->{access_token}, 'from the new path', 'and whoever connects again is served from there');

foreach my $move ([ 'the token endpoint', token_endpoint => $elsewhere->url . '/token' ], [ 'the revocation endpoint', revocation_endpoint => $elsewhere->url . '/revoke' ])
{
	my ($what, %members) = @$move;
	my $connector = register_at("moving $members{(keys %members)[0]}", {});
	my $status = "SELECT status, status_reason FROM appuser_connectors.connection_status WHERE connector_id = '$connector'";
	finish(url($connector));
	my $asked = $faulty->requests;
	admin('register_provider', provider => $connector, definition => definition(%members));
	is(row($node, 'app_admin', $status)->{status}, 'connected', "$what of the catalogue moves: nothing happens");
	admin_fails("$what of the connector moves without the secret", '42501', 'update_connector', connector_id => $connector, provider => $connector);
	admin('update_connector', connector_id => $connector, provider => $connector, client_secret => 'the secret of the client');
	is_deeply(row($node, 'app_admin', $status), { status => 'reconnect_required', status_reason => 'endpoints_changed' }, "$what of the connector moves: the person must connect again");
	foreach my $demand ('', ", min_validity => '1 day'", ", rejected_token => 'an access token'")
	{
		my ($state, $message) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('alice', '$connector'$demand)");
		is($state, 'UC002', "and is told so$demand");
		unlike($message, qr/access token|refresh token/, 'without the token');
	}
	query($node, 'postgres', "UPDATE appuser_connectors.connections SET status = 'connected', refresh_at = now() - interval '1 hour' WHERE connector_id = '$connector'");
	($state) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('alice', '$connector', min_validity => '1 day')");
	is($state, 'UC002', 'even if the row says otherwise');
	is(query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('$connector')", app_user => 'alice'), 't', 'and when it is disconnected');
	is(query($node, 'postgres', "SELECT count(*) FROM appuser_connectors.revocations WHERE connector_id = '$connector'"), 0, 'no token is queued for the new place');
	is(scalar($elsewhere->requests), 0, 'no token is sent there');
	is(scalar($faulty->requests), $asked, 'nor to the old place');
}

# A connector edited by SQL does not even begin a flow, until an admin mends it.
query($node, 'postgres', qq{UPDATE appuser_connectors.registered_connectors SET definition = jsonb_set(definition, '{authorization_endpoint}', '"https://evil.example"') WHERE connector_id = 'plain'});
$message = connect_fails('a connector that was edited by SQL', 'UC004', 'plain');
like($message, qr/^HINT: .*update_connector/m, 'the hint says what to do');
unlike($message, qr/evil/, 'and does not lead there');
admin_fails('update_connector does not mend it by accident', 'UC004', 'update_connector', connector_id => 'plain', name => 'New');
admin_fails('nor does a new secret', 'UC004', 'update_connector', connector_id => 'plain', provider => 'plain', client_secret => 'given anew');
admin('update_connector', connector_id => 'plain', provider => 'plain', client_id => 'the client & its id', client_secret => 'given anew', scopes => [qw(read write)],
	redirect_uris => [ $redirect_uri, "$app/callback", 'com.example.app:/callback' ], connection_config => {}, options => {});
like(url('plain'), qr/^\Q@{[ $faulty->url ]}\E\/auth\?/, 'but with all of it given anew');
query($node, 'postgres', "UPDATE appuser_connectors.registered_connectors SET stopped_at = now(), stopped_reason = 'invalid_client', probe_at = now() + interval '1 hour' WHERE connector_id = 'plain'");
like(connect_fails('a connector that is stopped', 'UC004', 'plain'), qr/invalid_client/, 'says why');
admin('update_connector', connector_id => 'plain', client_secret => 'the right one');
like(url('plain'), qr/state=/, 'update_connector resumes it');

# delete_connector

register_at('deleted', {});
foreach my $person ('alice', 'bob', 'carol')
{
	foreach my $name ($person eq 'alice' ? ('default', 'work') : 'default')
	{
		$faulty->rules({ path => '/token', body => { access_token => 'an access token', token_type => 'Bearer' } });
		my $state = url_parameters(authorization_url($node, $person, 'deleted', connection_name => $name))->{state};
		is(callback($node, $person, { state => $state, code => 'a code' })->{failure}, undef, "$person connects $name");
	}
}
is(admin('delete_connector', connector_id => 'deleted'), 4, 'delete_connector says how many connections it removed');
is(query($node, 'postgres', "SELECT count(*) FROM appuser_connectors.connections WHERE connector_id = 'deleted'"), 0, 'none is left');
is(admin('delete_connector', connector_id => 'namesake'), 0, 'or that there were none');

# A connector that there is not

foreach my $call (
	[ 'app_service', "connect_app_user('deleted')" ], [ 'app_service', "disconnect_app_user('deleted')" ], [ 'app_service', "current_app_user_connection('deleted')" ],
	[ 'app_service', "app_user_connection('alice', 'deleted')" ], [ 'app_admin', "update_connector('deleted', name => 'x')" ], [ 'app_admin', "delete_connector('deleted')" ])
{
	my ($role, $function) = @$call;
	my ($state, $message) = failure($node, $role, "SELECT appuser_connectors.$function", $role eq 'app_service' ? (app_user => 'alice') : ());
	is($state, 'UC006', "$function of an unknown connector");
	like($message, qr/connector "deleted" does not exist/, 'says which');
}

# Secrets by reference

sub put_secret
{
	my ($name, $contents) = @_;

	append_to_file("$secrets_directory/clients/$name", 'origin: ' . $faulty->url . "\n$contents");
	chmod 0600, "$secrets_directory/clients/$name";
	return;
}

put_secret('client', "a secret: 100%+/&=\n");
put_secret('windows', "a secret of another system\r\n");
put_secret('empty', '');
put_secret('newline', "\n");
put_secret('long', 'x' x 70_000);
put_secret('.hidden', 'x');
mkdir "$secrets_directory/clients/directory";
put_secret('directory/inside', 'x');
my $outside = PostgreSQL::Test::Utils::tempdir('outside');
append_to_file("$outside/secret", 'not for everybody');
symlink "$outside/secret", "$secrets_directory/clients/link" or die;
POSIX::mkfifo("$secrets_directory/clients/fifo", 0600) or die;
foreach my $reference ([ 'client', 'a secret: 100%+/&=' ], [ 'windows', 'a secret of another system' ])
{
	my ($file, $secret) = @$reference;
	my $connector = register_at("by reference $file", { token_endpoint_auth_method => 'client_secret_post' }, client_secret => "file:$file");
	is(finish(url($connector))->{client_secret}, $secret, "file:$file is the secret in that file, without its line end");
	is(register_at("by reference $file", { token_endpoint_auth_method => 'client_secret_post' }, client_secret => $secret), $connector, 'the same as if given by value');
	admin('update_connector', connector_id => $connector, client_secret => 'file:client');
	is(finish(url($connector))->{client_secret}, 'a secret: 100%+/&=', 'also in update_connector');
}
like(admin_fails('a reference in capitals is one', '58P01', 'register_connector', %given, connector_id => 'bad', client_secret => 'File:missing'), qr/clients\/missing/, 'and no secret');
foreach my $reference ('missing', 'link', 'fifo', 'directory', 'directory/inside', '../outside', "$outside/secret", '.', '..', '.hidden', '', 'empty', 'newline', 'long', "client\n", 'cl*ent', '%63lient')
{
	my $message = admin_fails("file:" . $reference =~ s/\n/?/r, ($reference =~ /^(missing|link|fifo|directory)$/ ? '58P01' : '22023'), 'register_connector', %given, connector_id => 'bad', client_secret => "file:$reference");
	unlike($message, qr/not for everybody|x{10}/, 'is refused, and shows nothing of it');
}
$node->safe_psql('postgres', 'ALTER SYSTEM SET appuser_connectors.secrets_directory = \'\'');
$node->reload;
wait_until('the setting is in force', sub { query($node, 'postgres', 'SHOW appuser_connectors.secrets_directory') eq '' });
like(admin_fails('without secrets_directory there are no references', '22023', 'register_connector', %given, connector_id => 'bad', client_secret => 'file:client'),
	qr/^HINT: .*secrets_directory/m, 'the hint says what to set');

# One person has not any number of connections; but connects again each that there is.
my $crowded = register_at('crowded', {});
finish(url($crowded));
$node->safe_psql('postgres', "INSERT INTO appuser_connectors.connections
	SELECT (jsonb_populate_record(c, jsonb_build_object('connection_name', 'another ' || i))).*
	FROM appuser_connectors.connections AS c, generate_series(1, 99) AS i WHERE connector_id = '$crowded'");
like(connect_fails('the hundred and first connection', '54000', $crowded, connection_name => 'one more'), qr/Disconnect one/, 'the hint says what to do');
ok(finish(url($crowded, connection_name => 'another 99')), 'one of the hundred is connected again');

$node->stop;
done_testing();
