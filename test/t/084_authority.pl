# What is promised of authority: what a more trusted role relies on is not decided by a
# less trusted one.  A backend sends its token to where connection_config says; the admin's
# word in it is over the provider's, and that over the app user's, who gives only what is
# declared as theirs.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Test::More;

my $ns = 'appuser_connectors';
my $provider = start_fault_server(certificate => undef);
my $node = new_node('authority');
my $serial = 0;

sub definition
{
	my (%members) = @_;

	return { %{ $provider->definition }, issuer => undef, jwks_uri => undef, revocation_endpoint => undef, %members };
}

sub register_at
{
	my ($connector, %arguments) = @_;

	return register($node, $provider, connector_id => $connector, provider => $connector, client_id => 'client', client_secret => 'a secret',
		scopes => ['read'], definition => definition(%{ delete $arguments{definition} // {} }), %arguments);
}

sub answers
{
	my (%members) = @_;

	return $provider->rules({ path => '*', body => { access_token => 'an-access-token', refresh_token => 'a-refresh-token', token_type => 'Bearer', expires_in => 7200, %members } });
}

sub admin_refused
{
	my ($name, $sqlstate, $function, %arguments) = @_;
	my ($state, $message) = failure($node, 'app_admin', "SELECT $ns.$function(" . AppuserConnectors::arguments(%arguments) . ')');

	is($state, $sqlstate, $name) or diag($message);
	return $message // '';
}

sub user_refused
{
	my ($name, $field, $connector, %arguments) = @_;

	foreach my $role ('app_service')
	{
		my ($state, $message) = failure($node, $role, "SELECT $ns.connect_app_user(" . AppuserConnectors::arguments(connector_id => $connector, %arguments) . ')', app_user => 'alice');
		is($state, '22023', $name) or diag($message);
		like($message // '', qr/field "\Q$field\E"/, '... and the error names the field');
	}
	return;
}

# (failure, connection_config) of a flow of alice's
sub flow
{
	my ($connector, $config, %params) = @_;
	my $state = url_parameters(authorization_url($node, 'alice', $connector, $config ? (connection_config => $config) : ()))->{state};
	my $row = callback($node, 'alice', { state => undef }, params => { state => $state, code => 'a code', %params });

	return ($row->{failure}) if defined $row->{failure};
	return (undef, row($node, 'app_service', "SELECT connection_config FROM $ns.app_user_connection('alice', '$connector')")->{connection_config});
}

# ---------------------------------------------------------------- connection_config

answers();
register_at('fixed', connection_config => { instance_url => 'https://api.example', region => 'eu', n => 1 });
user_refused('what the admin fixed is not the app user\'s', 'instance_url', 'fixed', connection_config => { instance_url => 'https://evil.example' });
user_refused('nor is a field that nobody declared', 'evil', 'fixed', connection_config => { evil => 'x' });
user_refused('nor one with another spelling', 'Instance_url', 'fixed', connection_config => { Instance_url => 'https://evil.example' });
user_refused('a name of any length is cut', ('x' x 256) . '…', 'fixed', connection_config => { 'x' x 10_000 => 'x' });
is_deeply([ flow('fixed') ], [ undef, { instance_url => 'https://api.example', region => 'eu', n => 1 } ], 'what the admin fixed is what the backend sees');

my %fields = (
	instance_url => { source => 'token_response', pattern => '^https://[a-z]+[.]api[.]example$' },
	realm => { source => 'callback', pattern => '^[0-9]{1,5}$' },
	subdomain => { source => 'user', pattern => '^[a-z]{1,10}|xn--x$', default => 'www' },
	region => { source => 'user', enum => [ 'eu', 'us' ] },
	secret_host => {},
);
register_at('declared', definition => { connection_config_fields => { map { $_ => $fields{$_} } qw(instance_url realm subdomain region secret_host) } });
user_refused("the $_->[0] field is not the app user's", $_->[0], 'declared', connection_config => { $_->[0] => $_->[1] })
  foreach [ instance_url => 'https://evil.api.example' ], [ realm => '1' ], [ secret_host => 'x' ], [ other => 'x' ];
foreach my $value ('', 'A', 'abcdefghijk', 'evil.example', 'evil/', "evil\n", "\nevil", "evil\x7f", 'wwwx.evil', 'ax', 'xn--xx', 7, ['www'], { a => 'b' }, JSON::PP::true)
{
	next if $value eq 'ax';
	my $shown = ref $value ? encode($value) : $value;
	user_refused("what does not match as a whole: " . $shown =~ s/[\n\x7f]/?/gr, 'subdomain', 'declared', connection_config => { subdomain => $value });
}
user_refused('what is not one of a list', 'region', 'declared', connection_config => { region => 'eu|us' });
is_deeply([ flow('declared') ], [ undef, { subdomain => 'www' } ], 'without a word of the app user there are the defaults');
is_deeply([ flow('declared', { subdomain => 'alice', region => 'us' }, realm => '77', other => 'x', secret_host => 'evil') ],
	[ undef, { subdomain => 'alice', region => 'us', realm => '77' } ], 'each says what is theirs');
is_deeply([ flow('declared', { subdomain => 'xn--x' }) ], [ undef, { subdomain => 'xn--x' } ], 'the other alternative of the pattern too');

# The callback comes through the app user's browser.
my $asked = $provider->requests;
foreach my $realm ('', 'evil', '123456', "7\n", '7.evil.example', '7' x 2000)
{
	my ($failure) = flow('declared', undef, realm => $realm);
	is($failure // 'none', length $realm > 1500 ? 'none' : 'invalid_response', 'a callback with another realm: ' . substr($realm =~ s/\n/?/r, 0, 20));
}
is(scalar($provider->requests), $asked + 1, 'before its code is sent anywhere (and one too long is left out)');

# The provider's word is over the app user's, the admin's over all.
answers(instance_url => 'https://real.api.example', subdomain => 'evil', region => 'evil', realm => '1', secret_host => 'evil');
is_deeply([ flow('declared', { subdomain => 'alice' }) ], [ undef, { subdomain => 'alice', instance_url => 'https://real.api.example' } ], 'the provider says what is the provider\'s, and only that');
answers(instance_url => 'https://evil.example');
is((flow('declared'))[0], 'invalid_response', 'and that must fit its pattern');
answers(instance_url => 'https://real.api.example');
register_at('over all', definition => { connection_config_fields => {%fields} }, connection_config => { instance_url => 'https://fixed.api.example', realm => '42', subdomain => 'fixed' });
is_deeply([ flow('over all', { subdomain => 'fixed', region => 'eu' }, realm => '7') ],
	[ undef, { instance_url => 'https://fixed.api.example', realm => '42', subdomain => 'fixed', region => 'eu' } ], 'what the admin fixed is over the callback\'s and the provider\'s');
user_refused('and over the app user\'s', 'subdomain', 'over all', connection_config => { subdomain => 'alice' });

register_at('by options', options => { connection_config_fields => { team => { source => 'user', pattern => '^[0-9]+$' } } }, connection_config => { host => 'api.example' });
is_deeply([ flow('by options', { team => '7' }) ], [ undef, { host => 'api.example', team => '7' } ], 'a connector may declare fields too');
register_at('both', definition => { connection_config_fields => { team => { source => 'user', pattern => '^.*$' } } }, options => { connection_config_fields => { team => {} } });
user_refused('and take one away', 'team', 'both', connection_config => { team => '7' });

# What an admin declares and fixes is checked when it is given.
foreach my $pattern ('^a)|(b$', '^(a$', '^[a$', '^a(?#$', '^(a)\\1$', '^(?=a)a$', '^(?!a)b$', '^a{2,1}$', '^\\m(?<=a)b$', '^a**$', '^((a{255}){255}){255}$')
{
	admin_refused("a pattern that cannot be used: $pattern", '22023', 'register_provider', provider => 'bad', definition => definition(connection_config_fields => { a => { source => 'user', pattern => $pattern } }));
	admin_refused("nor in options: $pattern", '22023', 'register_connector', provider => 'fixed', client_id => 'c', client_secret => 's', scopes => [], redirect_uris => ['https://app.example/cb'],
		connector_id => 'bad', options => { connection_config_fields => { a => { source => 'user', pattern => $pattern } } });
}
admin_refused('a default that does not match', '22023', 'register_provider', provider => 'bad', definition => definition(connection_config_fields => { a => { source => 'user', pattern => '^a$', default => 'b' } }));
admin_refused('a fixed value that does not match', '22023', 'update_connector', connector_id => 'over all', connection_config => { realm => 'evil' });
like(admin_refused("an app user's field without a pattern", '22023', 'register_provider', provider => 'bad', definition => definition(connection_config_fields => { wide => { source => 'user' } })),
	qr/In field "wide"/, 'the error names the field');
my $start = time;
register_at('slow', definition => { connection_config_fields => { a => { source => 'user', pattern => '^(a|aa)+$' }, b => { source => 'user', pattern => '^(a*)*b$' } } });
user_refused('no pattern takes long', 'b', 'slow', connection_config => { b => 'a' x 1024 });
user_refused('nor another', 'a', 'slow', connection_config => { a => 'a' x 1023 . 'b' });
cmp_ok(time - $start, '<', 10, 'whatever it is matched with');

# ----------------------------------------------------------------- who may finish

sub callback_of
{
	my ($role, $app_user, $state, %arguments) = @_;
	my ($sqlstate, $message) = failure($node, $role, "SELECT * FROM $ns.oauth_callback(" . AppuserConnectors::arguments(state => $state, code => 'a code', %arguments) . ')',
		defined $app_user ? (app_user => $app_user) : ());
	return $sqlstate ? "$sqlstate " . ($message =~ /^DETAIL:  (.*)/m)[0] : '';
}

answers();
register_at('bound');
my $binding = 'a random value in a cookie';
foreach my $case ([ 'app_service', 'alice' ], [ 'app_service', undef ])
{
	my ($role, $app_user) = @$case;
	my $who = $app_user // 'nobody';
	my $state = url_parameters(authorization_url($node, 'alice', 'bound', browser_binding => $binding))->{state};
	like(callback_of($role, $app_user, $state), qr/^UC005 The flow was begun with a browser binding, which is missing/, "without its binding a flow is not finished by $who");
	$state = url_parameters(authorization_url($node, 'alice', 'bound', browser_binding => $binding))->{state};
	like(callback_of($role, $app_user, $state, browser_binding => 'another random value'), qr/^UC005 The browser binding is not/, "nor with another by $who");
	$state = url_parameters(authorization_url($node, 'alice', 'bound', browser_binding => $binding))->{state};
	is(callback_of($role, $app_user, $state, browser_binding => $binding), '', "but with it by $who");
}

# iss (RFC 9207 §2.4), where the connector knows no issuer
foreach my $parameter ([ 'a callback with an iss', undef, 'issuer_mismatch' ], [ 'if it is checked', 'checked', 'issuer_mismatch' ], [ 'if it is ignored', 'ignored', undef ])
{
	my ($what, $value, $failure) = @$parameter;
	my $connector = register_at("iss $what", definition => { iss_parameter => $value });
	my $before = $provider->requests('/token');
	is((flow($connector, undef, iss => 'https://evil.example'))[0], $failure, "without an issuer, $what: " . ($failure // 'taken'));
	is((flow($connector, undef, iss => 'https://evil.example', error => 'access_denied', code => undef))[0], $failure // 'access_denied', 'on errors too');
	is(scalar($provider->requests('/token')) - $before, $failure ? 0 : 1, 'and the code stays') if $failure;
	is((flow($connector))[0], undef, 'without an iss it goes on');
}
my $known = register_at('known issuer', definition => { issuer => 'https://real.example', iss_parameter => 'checked' });
is((flow($known, undef, iss => $_->[0]))[0], $_->[1], "with an issuer, iss $_->[0]") foreach [ 'https://real.example', undef ], [ 'https://evil.example', 'issuer_mismatch' ];

# --------------------------------------------------------- whose JWTs name whom

sub issuer
{
	my ($host, $template, %arguments) = @_;

	return (issuer => "https://$host.example", jwks_uri => "https://$host.example/jwks", audiences => ['app'], app_user_template => $template, %arguments);
}

sub register_issuer { return query($node, 'app_admin', "SELECT $ns.register_issuer(" . AppuserConnectors::arguments(issuer(@_)) . ')'); }

register_issuer('own', 'partner:{sub}');
like(admin_refused('an issuer that could name the people of another', '22023', 'register_issuer', issuer('evil', 'partner:eu:{sub}')), qr/https:\/\/own\.example/, 'the error names the other');
admin_refused("nor $_", '22023', 'register_issuer', issuer('evil', $_)) foreach '{sub}', '{a}:{b}', 'part{sub}', 'partner:{sub}', '{sub}x';
register_issuer('other', 'other:{sub}');
register_issuer('own', 'partner:eu:{sub}');
admin_refused('nor one that is changed so', '22023', 'register_issuer', issuer('other', 'partner:{sub}'));
register_issuer('own', 'partner:eu:{sub}');
is(query($node, 'app_admin', "SELECT string_agg(app_user_template, ' ' ORDER BY issuer) FROM $ns.issuers"), 'other:{sub} partner:eu:{sub}', 'what is refused changes nothing');
admin_refused("a type that no token of a person has: $_", '22023', 'register_issuer', issuer('own', 'partner:eu:{sub}', token_types => [$_])) foreach 'logout+jwt', 'application/DPoP+jwt', 'secevent+jwt', '', 'a b';
admin_refused('no types', '22023', 'register_issuer', issuer('own', 'partner:eu:{sub}', token_types => []));

# ------------------------------------------------------------------ names

foreach my $control ("\n", "\t", "\x01", "\x7f", "\xc2\x85")
{
	my $name = AppuserConnectors::quote("a${control}b");
	my %calls = (
		'set_app_user' => [ 'app_service', "$ns.set_app_user($name)" ],
		'app_user_connection' => [ 'app_service', "$ns.app_user_connection($name, 'bound')" ],
		'erase_app_user' => [ 'app_service', "$ns.erase_app_user($name)" ],
		'register_connector' => [ 'app_admin', "$ns.register_connector('bound', 'c', 's', '{}', '{https://app.example/cb}', $name)" ],
		'register_provider' => [ 'app_admin', "$ns.register_provider($name, '{\"authorization_endpoint\": \"https://a.example/\", \"token_endpoint\": \"https://a.example/\"}')" ],
		'register_issuer' => [ 'app_admin', "$ns.register_issuer($name, jwks_uri => 'https://a.example/jwks', app_user_template => 'x:{sub}')" ],
		'a client id' => [ 'app_admin', "$ns.register_connector('bound', $name, 's', '{}', '{https://app.example/cb}', 'new')" ]);
	is((failure($node, $calls{$_}[0], "SELECT $calls{$_}[1]"))[0], '22023', "$_ takes no control character") foreach sort keys %calls;
	is((failure($node, 'app_service', "SELECT $ns.connect_app_user('bound', $name)", app_user => 'alice'))[0], '22023', 'nor does a connection name');
}

$node->stop;
done_testing();
