# Providers whose requests and answers are not those of RFC 6749: what a definition says of
# them is what is sent, byte by byte, in the browser's request, the exchange of a code and a
# refresh; and what is read of the answer.  A secret in a URL is in no log, event or row.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PostgreSQL::Test::Utils;
use Digest::SHA ();
use POSIX ();
use Test::More;

my $ns = 'appuser_connectors';
my $secret = 'hush-hush/1+1';
my $provider = start_fault_server(certificate => undef);
my $node = new_node('unusual', 'log_min_messages = debug2', 'log_statement = none', 'log_min_error_statement = panic');
my $ANYTHING = qr/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/;
my %escaped = ('/' => '%2F', '+' => '%2B');
my $escaped = $secret =~ s{([/+])}{$escaped{$1}}gr;

sub register_as
{
	my ($connector, $definition, %arguments) = @_;

	return register($node, $provider, connector_id => $connector, provider => $connector, client_id => 'client', client_secret => $secret, scopes => [qw(read write)],
		definition => { issuer => undef, jwks_uri => undef, revocation_endpoint => undef, token_endpoint_auth_method => 'client_secret_post', %$definition }, %arguments);
}

# The requests since the last call, but for what tells nothing
my $n_seen = 0;
sub requests
{
	my @requests = $provider->requests;
	my @new = @requests[ $n_seen .. $#requests ];

	$n_seen = @requests;
	return @new;
}

# As it went out, with what is made anew each time in words
sub line
{
	my ($request, $known) = @_;
	my $line = "$request->{method} $request->{url}" . ($request->{body} ne '' ? " $request->{body}" : '');

	$line =~ s/\Q$_\E/<$known->{$_}>/g foreach sort keys %$known;
	$line =~ s/code_verifier(=|":")[\w-]{43}/code_verifier$1<verifier>/;
	return $line;
}

sub granted
{
	my ($connector, %more) = @_;

	return { access_token => "access-token-of-$connector", refresh_token => "refresh-token-of-$connector", token_type => 'Bearer', expires_in => 7200, %more };
}

# Connects alice and refreshes; what is sent is compared.
sub check
{
	my ($connector, %case) = @_;
	my ($url, $state, $row, $exchange, $refresh, $parameters);
	my %words = ("refresh-token-of-$connector" => 'refresh token', 'the-code-of-it' => 'code', $secret => 'secret', $escaped => 'secret', 'http%3A%2F%2F127.0.0.1%3A7999%2Fcallback' => 'redirect_uri',
		'http://127.0.0.1:7999/callback' => 'redirect_uri');

	subtest $connector => sub {
		register_as($connector, $case{definition}, %{ $case{arguments} // {} });
		$provider->rules({ path => '*', body => $case{answer} // granted($connector) });
		requests();
		$url = authorization_url($node, 'alice', $connector);
		# a path of a page's own may come before the parameters
		$parameters = url_parameters($url =~ s/^[^#]*#([^?]*\?)/?/r);
		foreach my $name (sort keys %{ $case{authorization} // {} })
		{
			my $expected = $case{authorization}{$name};

			if (ref $expected) { like($parameters->{$name}, qr/^$expected$/, "$name is made anew"); }
			else { is($parameters->{$name}, $expected, "$name of the browser's request"); }
		}
		like($url, $case{url}, "the browser's request") if $case{url};
		$state = $parameters->{ $case{state} // 'state' };
		$row = callback($node, 'alice', $case{callback} ? { state => $state } : { state => $state, code => 'the-code-of-it' },
			$case{callback} ? (params => { state => $state, %{ $case{callback} } }) : ());
		is($row->{failure}, undef, 'connected') or diag(explain($row), query($node, 'postgres', "SELECT detail FROM $ns.connection_events ORDER BY occurred_at DESC LIMIT 1"));
		($exchange) = requests();
		is(line($exchange, \%words), $case{exchange}, 'the exchange') if $case{exchange};
		is($exchange->{headers}{ lc $_ }, $case{headers}{$_}, "its header $_") foreach sort keys %{ $case{headers} // {} };
		if ($case{refresh})
		{
			is((failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('alice', '$connector', min_validity => '1 day')"))[0], undef, 'refreshed');
			($refresh) = requests();
			is(line($refresh, \%words), $case{refresh}, 'the refresh');
			is($refresh->{headers}{ lc $_ }, $case{headers}{$_}, "its header $_") foreach sort keys %{ $case{headers} // {} };
		}
		is(row($node, 'app_service', "SELECT access_token FROM $ns.app_user_connection('alice', '$connector')")->{access_token}, $case{access_token} // "access-token-of-$connector", 'the token is there');
		$case{then}->($connector, $exchange, $refresh) if $case{then};
	};
	return;
}

# ---------------------------------------------------------------- what is sent

check('plain',
	definition => {},
	authorization => { response_type => 'code', client_id => 'client', scope => 'read write', code_challenge_method => 'S256' },
	url => qr/^[^#]*$/,
	exchange => 'POST /token grant_type=authorization_code&code=<code>&redirect_uri=<redirect_uri>&code_verifier=<verifier>&client_id=client&client_secret=<secret>',
	refresh => 'POST /token grant_type=refresh_token&refresh_token=<refresh token>&client_id=client&client_secret=<secret>');

# As TikTok, WeChat and Untappd
check('names',
	definition => {
		authorization_param_names => { client_id => 'client_key', redirect_uri => 'redirect_url', response_type => undef },
		token_param_names => { client_id => 'client_key', client_secret => 'secret', code => 'auth_code', grant_type => undef, redirect_uri => undef },
		token_params => { grant_type => 'authorized_code' },
		refresh_param_names => { client_id => 'client_key', client_secret => undef },
		refresh_endpoint => $provider->url . '/refresh?v=2',
	},
	authorization => { client_key => 'client', client_id => undef, redirect_url => 'http://127.0.0.1:7999/callback', redirect_uri => undef, response_type => undef },
	exchange => 'POST /token auth_code=<code>&code_verifier=<verifier>&client_key=client&secret=<secret>&grant_type=authorized_code',
	refresh => 'POST /refresh?v=2 grant_type=refresh_token&refresh_token=<refresh token>&client_key=client');
check('names_json',
	definition => { token_body_format => 'json', pkce => 'off', token_param_names => { client_id => 'clientId', client_secret => 'clientSecret', grant_type => 'grantType', redirect_uri => undef }, refresh_param_names => { refresh_token => 'refreshToken' } },
	exchange => 'POST /token {"grantType":"authorization_code","code":"<code>","clientId":"client","clientSecret":"<secret>"}',
	refresh => 'POST /token {"grant_type":"refresh_token","refreshToken":"<refresh token>","client_id":"client","client_secret":"<secret>"}');
check('wechat',
	definition => {
		authorization_fragment => 'wechat_redirect', pkce => 'off', token_method => 'GET', authorization_param_names => { client_id => 'appid' },
		token_param_names => { client_id => 'appid', client_secret => 'secret', redirect_uri => undef }, refresh_param_names => { client_id => 'appid', client_secret => undef },
	},
	authorization => { appid => 'client', code_challenge => undef },
	url => qr/[^#]#wechat_redirect$/,
	exchange => 'GET /token?grant_type=authorization_code&code=<code>&appid=client&secret=<secret>',
	refresh => 'GET /token?grant_type=refresh_token&refresh_token=<refresh token>&appid=client');
check('query',
	definition => { token_body_format => 'query', token_endpoint_auth_method => 'client_secret_basic', basic_encoding => 'raw', token_endpoint => $provider->url . '/token?a=b', pkce => 'off' },
	exchange => 'POST /token?a=b&grant_type=authorization_code&code=<code>&redirect_uri=<redirect_uri>',
	headers => { Authorization => 'Basic Y2xpZW50Omh1c2gtaHVzaC8xKzE=', 'Content-Length' => '0' },
	refresh => 'POST /token?a=b&grant_type=refresh_token&refresh_token=<refresh token>');
check('headers',
	definition => { pkce => 'plain', token_headers => { 'Notion-Version' => '2022-06-28', 'User-Agent' => 'web:app:1.0 (by /u/app)', 'X-Request-Id' => '{random}' } },
	authorization => { code_challenge_method => 'plain', code_challenge => qr/[\w-]{43}/ },
	headers => { 'Notion-Version' => '2022-06-28', 'User-Agent' => 'web:app:1.0 (by /u/app)', Accept => 'application/json' },
	refresh => 'POST /token grant_type=refresh_token&refresh_token=<refresh token>&client_id=client&client_secret=<secret>',
	then => sub {
		my ($connector, @both) = @_;

		like($_->{headers}{'x-request-id'}, qr/^$ANYTHING$/, 'a header is made anew') foreach @both;
		isnt($both[0]{headers}{'x-request-id'}, $both[1]{headers}{'x-request-id'}, 'for each request');
	});
check('page',
	definition => { response_type => 'code id_token', authorization_fragment => '/oauth/authorize?', authorization_params => { id => '{random}' } },
	authorization => { response_type => 'code id_token', id => $ANYTHING },
	url => qr{/auth#/oauth/authorize\?response_type=code%20id_token&client_id=});

# As eBay, which has names for redirect URIs; and an answer by a form, which the page hands over as it does a query
check('ru_name',
	definition => { pkce => 'off', refresh_params => { back => '{redirect_uri}' }, authorization_params => { response_mode => 'form_post' } },
	arguments => { redirect_uris => [ 'http://127.0.0.1:7999/callback', 'https://app.example/cb' ], options => { redirect_uri_names => { 'http://127.0.0.1:7999/callback' => 'Acme-PRD-1' } } },
	authorization => { redirect_uri => 'Acme-PRD-1', response_mode => 'form_post' },
	callback => { code => 'the-code-of-it' },
	exchange => 'POST /token grant_type=authorization_code&code=<code>&redirect_uri=Acme-PRD-1&client_id=client&client_secret=<secret>',
	refresh => 'POST /token grant_type=refresh_token&refresh_token=<refresh token>&client_id=client&client_secret=<secret>&back=Acme-PRD-1',
	then => sub {
		is(url_parameters(authorization_url($node, 'bob', 'ru_name', redirect_uri => 'https://app.example/cb'))->{redirect_uri}, 'https://app.example/cb', 'a redirect URI without a name is sent as it is');
		is((failure($node, 'app_service', "SELECT $ns.connect_app_user('ru_name', redirect_uri => 'Acme-PRD-1')", app_user => 'bob'))[0], '22023', 'a name is no redirect URI');
		my $state = url_parameters(authorization_url($node, 'bob', 'ru_name'))->{state};
		is((failure($node, 'app_service', "SELECT $ns.oauth_callback('$state', 'a-code', redirect_uri => 'https://app.example/cb')", app_user => 'bob'))[0], 'UC005', 'who came back elsewhere is refused');
		$state = url_parameters(authorization_url($node, 'bob', 'ru_name'))->{state};
		is(callback($node, 'bob', { state => $state, code => 'a-code' }, redirect_uri => 'http://127.0.0.1:7999/callback')->{failure}, undef, 'who came back to the URI is not');
		foreach my $names ({ 'https://other.example/cb' => 'Acme-PRD-1' }, { 'https://app.example/cb' => 'https://evil.example/' })
		{
			is((failure($node, 'app_admin', "SELECT $ns.update_connector('ru_name', options => " . AppuserConnectors::quote({ redirect_uri_names => $names }) . ')'))[0], '22023', encode($names) . ' is refused');
		}
	});

# As Facebook, where the access token is sent for one that lives longer
check('renewal',
	definition => {
		refresh_style => 'access_token', refresh_method => 'GET', refresh_endpoint => $provider->url . '/renew', refresh_param_names => { refresh_token => 'old_token', client_secret => undef, grant_type => undef },
		refresh_params => { grant_type => 'renew', back => '{redirect_uri}' }, token_params => { state => '{state}' }, pkce => 'off',
	},
	answer => { access_token => 'access-token-of-renewal', expires_in => 7200 },
	refresh => 'GET /renew?old_token=access-token-of-renewal&client_id=client&back=<redirect_uri>&grant_type=renew',
	then => sub {
		my ($connector, $exchange) = @_;

		like($exchange->{body}, qr/&state=[\w-]{32,}$/, 'the state goes with the exchange');
		like(query($node, 'postgres', "SELECT refresh_at < expires_at FROM $ns.connections WHERE connector_id = 'renewal'"), qr/^t$/, 'and it will be renewed');
	});

# As Instagram: what the code gives lives for an hour, and is taken for one that lives for long
my %instagram = (
	pkce => 'off', long_token_endpoint => $provider->url . '/long', long_token_params => { grant_type => 'long' }, long_token_param_names => { client_id => undef },
	refresh_style => 'access_token', refresh_method => 'GET', refresh_endpoint => $provider->url . '/renew', refresh_param_names => { refresh_token => 'access_token', client_id => undef, client_secret => undef },
);
register_as('long', \%instagram);
$provider->rules({ path => '/token', body => { access_token => 'short-token', expires_in => 3600 } }, { path => '*', body => { access_token => 'long-token', expires_in => 5184000 } });
requests();
is(callback($node, 'alice', { state => url_parameters(authorization_url($node, 'alice', 'long'))->{state}, code => 'the-code-of-it' })->{failure}, undef, 'connected');
my @sent = requests();
is(line($sent[1], { $escaped => 'secret' }), 'GET /long?access_token=short-token&client_secret=<secret>&grant_type=long', 'the short token is taken for a long one');
is(row($node, 'app_service', "SELECT access_token FROM $ns.app_user_connection('alice', 'long')")->{access_token}, 'long-token', 'which is handed out');
is(query($node, 'postgres', "SELECT expires_at > now() + '59 days' AND refresh_at > now() + '40 days' FROM $ns.connections WHERE connector_id = 'long'"), 't', 'for as long as it lives');
is((failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('alice', 'long', rejected_token => 'long-token')"))[0], undef, 'and renewed');
is(line(requests(), {}), 'GET /renew?grant_type=refresh_token&access_token=long-token', 'by itself');
foreach my $fault ({ drop => \1 }, { status => 500, body => {} }, { status => 400, body => { error => 'invalid_request' } }, { body => 'nonsense' }, { body => { access_token => [1] } })
{
	$provider->rules({ path => '/token', body => { access_token => 'short-token', expires_in => 3600 } }, { path => '*', %$fault });
	is(callback($node, 'carol', { state => url_parameters(authorization_url($node, 'carol', 'long'))->{state}, code => 'the-code-of-it' })->{failure}, undef, 'where that fails (' . encode($fault) . ') she is connected');
	is(row($node, 'app_service', "SELECT access_token FROM $ns.app_user_connection('carol', 'long')")->{access_token}, 'short-token', 'with what the code gave');
	is(query($node, 'postgres', "SELECT expires_at < now() + '1 hour 1 minute' FROM $ns.connections WHERE connector_id = 'long' AND app_user = 'carol'"), 't', 'for as long as that lives');
}

# A revocation as well, though by then the connector may be gone
register_as('leaves', { token_endpoint_auth_method => 'client_secret_basic', basic_encoding => 'raw', token_headers => { 'X-Version' => '{version}', 'X-Secret' => '{client_secret}' }, revocation_endpoint => $provider->url . '/revoke',
	connection_config_fields => { version => { pattern => '^v[0-9]+$' } } }, connection_config => { version => 'v7' });
$provider->rules({ path => '*', body => granted('leaves') });
is(callback($node, 'alice', { state => url_parameters(authorization_url($node, 'alice', 'leaves'))->{state}, code => 'the-code-of-it' })->{failure}, undef, 'connected');
requests();
query($node, 'app_admin', "SELECT $ns.delete_connector('leaves')");
wait_until('it is revoked', sub { query($node, 'postgres', "SELECT count(*) FROM $ns.revocations") == 0 });
my ($left) = requests();
is("$left->{path} $left->{headers}{authorization} $left->{headers}{'x-version'} $left->{headers}{'x-secret'}", "/revoke Basic Y2xpZW50Omh1c2gtaHVzaC8xKzE= v7 $secret", 'as the other requests are');

# ---------------------------------------------------------------- scopes

check('scopes',
	definition => { default_scopes => ['basic'], required_scopes => ['offline_access'], unreturned_scopes => ['offline_access'], scope_requests => [qw(authorization exchange refresh)], pkce => 'off' },
	arguments => { scopes => [] },
	authorization => { scope => 'basic offline_access' },
	exchange => 'POST /token grant_type=authorization_code&code=<code>&redirect_uri=<redirect_uri>&scope=basic+offline_access&client_id=client&client_secret=<secret>',
	refresh => 'POST /token grant_type=refresh_token&refresh_token=<refresh token>&scope=basic+offline_access&client_id=client&client_secret=<secret>',
	answer => granted('scopes', scope => 'basic'));
check('scopes_given',
	definition => { default_scopes => ['basic'], required_scopes => ['offline_access'], scope_separator => ',', scope_requests => [qw(refresh)] },
	authorization => { scope => undef },
	refresh => 'POST /token grant_type=refresh_token&refresh_token=<refresh token>&scope=read&client_id=client&client_secret=<secret>',
	answer => granted('scopes_given', scope => 'read'),
	then => sub {
		is(row($node, 'app_service', "SELECT array_to_string(missing_scopes, ' ') AS missing FROM $ns.app_user_connections() WHERE connector_id = 'scopes_given'", app_user => 'alice')->{missing}, 'write offline_access',
			'the scopes of the connector, and those that the provider needs, are missing');
	});
# To her and to an admin
sub missing
{
	my ($connector) = @_;
	my $hers = row($node, 'app_service', "SELECT array_to_string(missing_scopes, ' ') AS missing FROM $ns.app_user_connections() WHERE connector_id = '$connector'", app_user => 'alice')->{missing};
	my $admins = query($node, 'app_admin', "SELECT array_to_string(missing_scopes, ' ') FROM $ns.connection_status WHERE connector_id = '$connector' AND app_user = 'alice'");

	return $hers eq $admins ? $hers : "$hers / $admins";
}
check('scopes_default',
	definition => { default_scopes => [qw(a b)], required_scopes => [qw(offline_access b must)], unreturned_scopes => [qw(offline_access c)] },
	arguments => { scopes => [] },
	authorization => { scope => 'a b offline_access must' },
	answer => granted('scopes_default', scope => 'x'),
	then => sub {
		is(missing('scopes_default'), 'a b must', 'default and required scopes that were not granted are missing, each once, and none that no answer names');
		query($node, 'app_admin', "SELECT $ns.update_connector('scopes_default', scopes => '{c,d,a}')");
		is(missing('scopes_default'), 'c d a b must', 'where the connector names scopes it is those; one that was never asked for is missing');
		foreach my $edit ('5', '{"default_scopes": 7, "required_scopes": {"a": 1}, "unreturned_scopes": "offline_access"}', '{"required_scopes": [1, null, ["x"], "y"]}')
		{
			query($node, 'postgres', "UPDATE $ns.registered_connectors SET definition = '$edit' WHERE connector_id = 'scopes_default'");
			is(missing('scopes_default'), 'c d a' . ($edit =~ /"y"/ ? ' y' : ''), "what somebody has made of the definition ($edit) breaks no list");
		}
		query($node, 'app_admin', "SELECT $ns.delete_connector('scopes_default')");
	});
check('scopes_none', definition => {}, arguments => { scopes => [] }, authorization => { scope => undef }, url => qr/^(?!.*scope)/);

# ---------------------------------------------------------------- what is read

# Seconds from now until the stored token ends, to the minute
sub lasts
{
	my ($connector) = @_;

	return query($node, 'postgres', "SELECT round(extract(epoch FROM expires_at - now()) / 60) FROM $ns.connections WHERE connector_id = '$connector' AND app_user = 'alice'");
}

sub refused
{
	my ($connector, $answer) = @_;

	$provider->rules({ path => '*', body => $answer });
	return (failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('alice', '$connector', min_validity => '1 day')"))[0] // '';
}

sub reason
{
	my ($connector) = @_;

	return query($node, 'postgres', "SELECT concat_ws(' ', status, status_reason) FROM $ns.connections WHERE connector_id = '$connector' AND app_user = 'alice'");
}

# As Braintree and Square
check('paths',
	definition => { scope_path => 'credentials.granted', access_token_path => 'credentials.accessToken', refresh_token_path => 'credentials.refreshToken', expires_at_path => 'credentials.expiresAt', expires_at_format => 'rfc3339' },
	answer => { credentials => { accessToken => 'access-token-of-paths', refreshToken => 'refresh-token-of-paths', granted => ['read'], expiresAt => POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(time() + 7200)) } },
	refresh => 'POST /token grant_type=refresh_token&refresh_token=<refresh token>&client_id=client&client_secret=<secret>',
	then => sub { is(lasts('paths'), 120, 'it ends when the answer says'); is(missing('paths'), 'write', 'and grants what it says'); });
check('epoch',
	definition => { expires_at_path => 'ends', expires_at_format => 'epoch_ms', default_expires_in => 600 },
	answer => { access_token => 'access-token-of-epoch', refresh_token => 'refresh-token-of-epoch', ends => '' . ((time() + 7200) * 1000) },
	then => sub {
		is(lasts('epoch'), 120, 'as a number');
		foreach my $absurd ('1e300', -5, { a => 1 }, [ 1, 2 ], 'NaN', 1)
		{
			is(refused('epoch', { access_token => 'access-token-of-epoch', ends => $absurd }), '', encode([$absurd]) . ' costs no token');
			is(lasts('epoch'), 10, 'which lives as the definition says');
		}
		is(query($node, 'postgres', "SELECT detail FROM $ns.connection_events WHERE connector_id = 'epoch' AND event = 'expires_in_ignored'"), 'it is absurd', 'and it is told once');
	});

# As Lark and TikTok's other products: errors under status 200
check('codes',
	definition => { error_path => 'code', ok_values => ['0'], error_outcomes => { 40002 => 'reconnect_required', 50000 => 'provider_unavailable', 40013 => 'connector_misconfigured' } },
	answer => { %{ granted('codes') }, code => 0 },
	then => sub {
		is(refused('codes', { code => 50000, message => 'busy' }), 'UC003', 'a bad day');
		is(reason('codes'), 'connected 50000', 'is none of a dead grant');
		$provider->rules({ path => '*', body => { %{ granted('codes') }, code => 0 } });
		query($node, 'postgres', "UPDATE $ns.connections SET refresh_at = now() WHERE connector_id = 'codes'");
		wait_until('it works again', sub { reason('codes') eq 'connected' });
		is(refused('codes', { code => 40002, message => "gone\nFATAL:  a line of its own" }), 'UC002', 'a dead grant');
		is(reason('codes'), 'reconnect_required 40002', 'is known by its code');
	});

# As Amazon, TikTok Ads and Deezer
check('callbacks',
	definition => { callback_param_names => { code => 'auth_code', error => 'error_reason' }, callback_errors => { user_denied => 'access_denied' } },
	callback => { auth_code => 'the-code-of-it', code => 'another' },
	exchange => 'POST /token grant_type=authorization_code&code=<code>&redirect_uri=<redirect_uri>&code_verifier=<verifier>&client_id=client&client_secret=<secret>',
	then => sub {
		my $state = url_parameters(authorization_url($node, 'bob', 'callbacks'))->{state};

		is(callback($node, 'bob', { state => $state }, params => { state => $state, error_reason => 'user_denied' })->{failure}, 'access_denied', 'its error has the name of the standard');
		$state = url_parameters(authorization_url($node, 'bob', 'callbacks'))->{state};
		is(callback($node, 'bob', { state => $state }, params => { state => $state, error_reason => "a\nb" })->{failure}, 'invalid_response', 'what is no code is shown to nobody');
		$state = url_parameters(authorization_url($node, 'bob', 'callbacks'))->{state};
		is(callback($node, 'bob', { state => $state }, params => { state => $state, auth_code => "a\nb" })->{failure}, 'invalid_response', 'nor sent');
	});
check('optional_id_token',
	definition => { issuer => $provider->url, jwks_uri => $provider->url . '/jwks', id_token => 'optional', iss_parameter => 'ignored' },
	arguments => { scopes => ['openid'] },
	answer => { %{ granted('optional_id_token') }, id_token => \0, keys => [ { kty => 'EC', crv => 'P-256', alg => 'ES256', x => 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU', y => 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0' } ] });

# As Shopify, which authenticates all that comes with the code.
register_as('shop', { callback_hmac => 'shopify', callback_errors => { no => 'access_denied' } });
sub signed
{
	my ($key, %parameters) = @_;
	my $message = join '&', map { "$_=" . $parameters{$_} =~ s/([^\w*.-])/sprintf '%%%02X', ord $1/ger } sort keys %parameters;

	return { %parameters, hmac => Digest::SHA::hmac_sha256_hex($message, $key) };
}
my %shop = (shop => '127.0.0.1', timestamp => '1337178173', host => 'YWRtaW4=', code => 'the-code-of-it');
my $brought = sub { my ($change, %arguments) = @_; my $parameters = signed($secret, %shop, state => url_parameters(authorization_url($node, 'bob', 'shop'))->{state}); return callback($node, 'bob', {}, state => undef, params => $change->($parameters), %arguments)->{failure} // ''; };
my %forged = (
	'is not there' => sub { my ($p) = @_; delete $p->{hmac}; $p },
	'is empty' => sub { my ($p) = @_; +{ %$p, hmac => '' } },
	'is of another code' => sub { my ($p) = @_; +{ %$p, code => 'another-code' } },
	'is of a shop more' => sub { my ($p) = @_; +{ %$p, shop => 'evil.example' } },
	'is of less' => sub { my ($p) = @_; delete $p->{timestamp}; $p },
	'is of more' => sub { my ($p) = @_; +{ %$p, locale => 'en' } },
	'is by another secret' => sub { my ($p) = @_; delete $p->{hmac}; signed('another', %$p) },
	'is of another shop' => sub { my ($p) = @_; delete $p->{hmac}; signed($secret, %$p, shop => 'evil.example') },
	'is of no shop' => sub { my ($p) = @_; delete @{$p}{qw(hmac shop)}; signed($secret, %$p) },
	'is twice' => sub { my ($p) = @_; +{ %$p, hmac => [ $p->{hmac}, $p->{hmac} ] } },
);
$provider->rules({ path => '*', body => granted('shop') });
requests();
foreach my $what (sort keys %forged)
{
	is($brought->($forged{$what}), 'invalid_response', "a callback whose hmac $what is refused");
}
is($brought->(sub { $_[0] }, code => 'another-code'), 'invalid_response', 'and one whose code is given apart from it');
is(scalar(requests()), 0, 'before anything is sent');
like(query($node, 'postgres', "SELECT string_agg(DISTINCT detail, ';') FROM $ns.connection_events WHERE connector_id = 'shop'"), qr/hmac is missing or not that of its parameters.*;.*shop is not the one/, 'an admin is told');
is($brought->(sub { my ($p) = @_; +{ state => $p->{state}, error => 'no' } }), 'access_denied', 'with an error nothing would be sent, and it needs none');
is($brought->(sub { $_[0] }), '', 'as it came it is taken');
is($brought->(sub { my ($p) = @_; delete $p->{hmac}; signed($secret, %$p, locale => 'en,de/x') }), '', 'with whatever else the provider has signed');

# ---------------------------------------------------------------- a lost answer

register_as('once', { refresh_token_reuse => 'once' });
register_as('twice', {});
foreach my $connector (qw(once twice))
{
	$provider->rules({ path => '*', body => granted($connector) });
	callback($node, 'alice', { state => url_parameters(authorization_url($node, 'alice', $connector))->{state}, code => 'the-code-of-it' });
	requests();
	$provider->rules({ path => '*', drop => \1 });
	failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('alice', '$connector', min_validity => '1 day')");
	is(scalar(requests()), $connector eq 'once' ? 1 : 3, "what may be sent $connector is");
	query($node, 'app_service', "SELECT $ns.disconnect_app_user('$connector')", app_user => 'alice');
}

# ---------------------------------------------------------------- what must not be seen

my @hidden = ($secret, $escaped, 'the-code-of-it', map { ("refresh-token-of-$_", "access-token-of-$_") } qw(wechat query names renewal));
$provider->rules({ path => '*', reset => \1 });
failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('alice', 'wechat', min_validity => '1 day')");
failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('alice', 'query', min_validity => '1 day')");
$provider->rules({ path => '*', status => 302, headers => { location => 'https://elsewhere.example/' }, body => '' });
callback($node, 'bob', { state => url_parameters(authorization_url($node, 'bob', 'wechat'))->{state}, code => 'the-code-of-it' });
my $seen = slurp_file($node->logfile) . encode([ rows($node, 'postgres', "SELECT * FROM $ns.connection_events") ]) . encode([ rows($node, 'postgres', "SELECT * FROM $ns.pg_stat_appuser_connectors") ])
  . encode([ rows($node, 'postgres', "SELECT * FROM $ns.check_health()") ]);
ok(index($seen, $_) < 0, "nobody is shown $_") foreach @hidden;
like($seen, qr/refresh_failing/, 'where it is told that it fails');

$node->stop;
done_testing();
