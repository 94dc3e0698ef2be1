# Whose account was connected, where no ID token says so: one call of the provider's API, as
# its definition describes it.  Whatever that answers, or does not, nothing that was granted is
# lost and the connection is made; a reconnect with another account is known as such, and
# refused where the connector says so; nobody learns, or lives on, another person's.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PsqlSession;
use Test::More;

my $ns = 'appuser_connectors';
my $provider = start_fault_server(certificate => undef);
my $api = start_fault_server(certificate => undef);
my $evil = start_fault_server(certificate => undef);
my $secrets = PostgreSQL::Test::Utils::tempdir('secrets-directory');
my $node = new_node('profile', 'restart_after_crash = on', 'log_min_messages = debug2', 'log_statement = none', 'log_min_error_statement = panic', "appuser_connectors.secrets_directory = '$secrets'", "appuser_connectors.request_timeout = '60s'");
my $serial = 0;

sub superuser { return $node->safe_psql('postgres', $_[0]); }

# Another token each time, or those given
sub granted
{
	my (%more) = @_;

	$serial++;
	return { path => '/token', body => { access_token => "access/token+$serial", refresh_token => "refresh$serial", token_type => 'Bearer', expires_in => 3600, %more } };
}

sub define
{
	my ($name, $profile, %more) = @_;

	query($node, 'app_admin', "SELECT $ns.register_provider(" . AppuserConnectors::arguments(provider => $name,
			definition => { authorization_endpoint => $provider->url . '/auth', token_endpoint => $provider->url . '/token', ($profile ? (profile => { url => $api->url . '/me', %$profile }) : ()), %more }) . ')');
	return;
}

sub connector
{
	my ($name, $profile, $more, %arguments) = @_;

	define($name, $profile, %{ $more // {} });
	query($node, 'app_admin', "SELECT $ns.register_connector(" . AppuserConnectors::arguments(provider => $name, client_id => 'client', client_secret => 'the-secret', scopes => ['read'], redirect_uris => ['https://app.example/cb'], %arguments) . ')');
	return;
}

sub begin_flow
{
	my ($person, $connector, %arguments) = @_;

	return url_parameters(authorization_url($node, $person, $connector, %arguments))->{state};
}

sub finish_flow
{
	my ($person, $state, %arguments) = @_;

	return callback($node, $person, { state => $state, code => 'a-code' }, %arguments)->{failure};
}

# Where the profile answers so (a rule without its path); the flow's failure
sub connects
{
	my ($person, $connector, $answer, %arguments) = @_;
	my $granted = delete $arguments{granted};

	$provider->rules($granted // granted(), { path => '*', body => {} });
	$api->rules({ path => '*', %{ $answer // {} } });
	return finish_flow($person, begin_flow($person, $connector, %arguments));
}

sub stored
{
	my ($person, $connector, $columns) = @_;

	return superuser("SELECT $columns FROM $ns.connections WHERE app_user = '$person' AND connector_id = '$connector'");
}

sub account { return stored(@_, "concat_ws(' ', account, account_issuer)"); }
sub config { return stored(@_, 'connection_config'); }

sub last_event
{
	my ($person, $connector) = @_;

	return superuser("SELECT concat_ws(': ', event, detail) FROM $ns.connection_events WHERE app_user = '$person' AND connector_id = '$connector' AND event !~ '^revo' ORDER BY occurred_at DESC LIMIT 1");
}

my $n_seen = 0;
sub asked
{
	my @requests = $api->requests;
	my @new = @requests[ $n_seen .. $#requests ];

	$n_seen = @requests;
	return @new;
}

my $origin = 'profile:' . $api->url;

# ------------------------------------------------------------------- what is sent

connector('plain', { id => '/id', email => '/email' });
is(connects('alice', 'plain', { body => { id => 4711, email => 'alice@example.com' } }), undef, 'connected');
my ($request) = asked();
is("$request->{method} $request->{url}", 'GET /me', 'the profile was asked for');
is($request->{headers}{authorization}, "Bearer access/token+$serial", 'with the token that was just granted');
is($request->{headers}{'content-type'}, undef, 'and nothing else');
is(account('alice', 'plain'), "4711 $origin", 'the account is known');
is(last_event('alice', 'plain'), 'connected', 'there is nothing to tell');
is(superuser("SELECT count(*) FROM $ns.pending_answers"), 0, 'nothing is left of what was kept meanwhile');
is(superuser("SELECT round(extract(epoch FROM expires_at - connected_at) / 60) FROM $ns.connections WHERE connector_id = 'plain'"), 60, 'the token ends when it did without that');
is_deeply(row($node, 'app_service', "SELECT account, account_name FROM $ns.app_user_connections() WHERE connector_id = 'plain'", app_user => 'alice'), { account => '4711', account_name => 'alice@example.com' }, 'she sees it, and by what she knows it');
is(row($node, 'app_service', "SELECT account FROM $ns.app_user_connections() WHERE connector_id = 'plain'", app_user => 'bob')->{account}, undef, 'and nobody else');

my %requests = (
	# as GitHub's API, or Notion's
	headers => [ { id => '/id', headers => { 'X-Version' => '2', 'X-Client' => '{client_id}' } }, { api_headers => { 'x-version' => '1', Region => '{region}', Nothing => '{nothing}' }, connection_config_fields => { region => { pattern => '^[a-z]+$' }, nothing => {} } },
		{ connection_config => { region => 'eu' } }, sub { is("$_[0]{headers}{'x-version'} $_[0]{headers}{'x-client'} $_[0]{headers}{region}", '2 client eu', 'the headers of the API, and its own over them'); is($_[0]{headers}{nothing}, undef, 'without a value it is left out') } ],
	# as Linear
	graphql => [ { id => '/id', method => 'POST', body => { query => "{viewer{id \"name\"}}" } }, {}, {}, sub { is("$_[0]{method} $_[0]{headers}{'content-type'} $_[0]{body}", 'POST application/json {"query":"{viewer{id \"name\"}}"}', 'a POST of JSON') } ],
	form => [ { id => '/id', method => 'POST', body_format => 'form', body => { types => '["user"]' } }, {}, {}, sub { is("$_[0]{method} $_[0]{headers}{'content-type'} $_[0]{body}", 'POST application/x-www-form-urlencoded types=%5B%22user%22%5D', 'a POST of a form') } ],
	# as Dropbox
	empty => [ { id => '/id', method => 'POST' }, {}, {}, sub { is("$_[0]{method} $_[0]{headers}{'content-length'} $_[0]{body}", 'POST 0 ', 'a POST of nothing'); is($_[0]{headers}{'content-type'}, undef, 'which has no type') } ],
	scheme => [ { id => '/id' }, { api_authorization => { header => 'Authorization', scheme => 'OAuth' } }, {}, sub { is($_[0]{headers}{authorization}, "OAuth access/token+$serial", 'another scheme') } ],
	header => [ { id => '/id' }, { api_authorization => { header => 'X-Token' } }, {}, sub { is($_[0]{headers}{'x-token'}, "access/token+$serial", 'another header'); is($_[0]{headers}{authorization}, undef, 'alone') } ],
	query => [ { id => '/id', url => $api->url . '/me?fields=id' }, { api_authorization => { query => 'access_token' } }, {}, sub { is($_[0]{url}, "/me?fields=id&access_token=access%2Ftoken%2B$serial", 'a parameter'); is($_[0]{headers}{authorization}, undef, 'alone') } ],
	site => [ { id => '/id', url => '{site}/v1/{area}/me' }, { connection_config_fields => { site => { source => 'token_response', pattern => '^http://[0-9.:]+$' }, area => { source => 'user', pattern => '^[a-z]+$', default => 'eu' } } }, {}, sub { is($_[0]{path}, '/v1/eu/me', 'the URL has its fields filled in, those of the answer too') } ],
);
foreach my $name (sort keys %requests)
{
	my ($profile, $definition, $arguments, $then) = @{ $requests{$name} };

	connector($name, $profile, $definition, %$arguments);
	is(connects('alice', $name, { body => { id => "id of $name" } }, granted => granted(site => $api->url)), undef, "$name: connected");
	my @asked = asked();
	is(scalar @asked, 1, "$name: one request");
	$then->(@asked);
	is(account('alice', $name), "id of $name $origin", "$name: the account is known");
}

# ------------------------------------------------------------------- when it is

connector('named', { id => '/id', email => '/email', name => '/name' });
foreach my $case ([ { email => 'a@example.com', name => 'Ann' }, 'a@example.com' ], [ { email => undef, name => 'Ann' }, 'Ann' ], [ { name => "Ann\nB" }, '' ], [ { email => 'x' x 256, name => 'Ann' }, 'Ann' ], [ { email => [ 'a' ] }, '' ], [ {}, '' ])
{
	connects('alice', 'named', { body => { id => 1, %{ $case->[0] } } });
	is(stored('alice', 'named', 'account_name'), $case->[1], encode($case->[0]) . ': what it is known by');
	is(last_event('alice', 'named') =~ /unknown|not known/ ? 'told' : '', '', 'it may lack that');
}
asked();

connector('scoped', { id => '/id', scopes => [ 'who', 'read:who' ] }, { scope_aliases => { 'https://api.example/who' => 'who' } }, scopes => [ 'read', 'who' ]);
connects('alice', 'scoped', { body => { id => 1 } }, granted => granted(scope => 'read'));
is(scalar(asked()), 0, 'it is not asked without a scope that it takes');
is(account('alice', 'scoped') . last_event('alice', 'scoped'), 'connected', 'the account is unknown then, which is no trouble');
connects('alice', 'scoped', { body => { id => 1 } }, granted => granted(scope => 'read https://api.example/who'));
is(scalar(asked()), 1, 'with one of them it is, under whichever name');
connects('alice', 'scoped', { body => { id => 1 } });
is(scalar(asked()), 1, 'and where the answer names none');

connector('short_lived', { id => '/id' }, { long_token_endpoint => $provider->url . '/long' });
$provider->rules(granted(), { path => '/long', body => { access_token => 'long-token', token_type => 'Bearer', expires_in => 7200 } });
$api->rules({ path => '*', body => { id => 'of the long one' } });
is(finish_flow('alice', begin_flow('alice', 'short_lived')), undef, 'connected by a token that lives longer');
is((asked())[0]{headers}{authorization}, 'Bearer long-token', 'which is what the profile is asked with');
is(stored('alice', 'short_lived', 'round(extract(epoch FROM expires_at - connected_at) / 60)'), 120, 'and lives as long as it says');

# A verified ID token names the account better.
my $issuer = start_provider();
register($node, $issuer, connector_id => 'openid', provider => 'openid', definition => { profile => { url => $api->url . '/me', id => '/id' } });
is(connect_user($node, 'alice', 'openid')->{failure}, undef, 'connected with an ID token');
is(scalar(asked()), 0, 'the profile is not asked');
is(account('alice', 'openid'), 'alice ' . $issuer->url, 'the account is the subject');
register($node, $issuer, connector_id => 'both', provider => 'both', definition => { profile => { url => $api->url . '/me', id => '/id' }, connection_config_fields => { site => { source => 'profile' } } });
$api->rules({ path => '*', body => { id => 'another', site => 'eu1' } });
is(connect_user($node, 'alice', 'both')->{failure}, undef, 'connected with an ID token, and a field from the profile');
is(scalar(asked()), 1, 'it is asked for that');
is(account('alice', 'both'), 'alice ' . $issuer->url, 'the account is the subject all the same');
is(config('alice', 'both'), '{"site": "eu1"}', 'and the field is known');

# ------------------------------------------------------------------- what is read

connector('many', { id => '/0/owner/id' }, { connection_config_fields => { tenant => { source => 'profile', path => '/0/tenant~1id', pattern => '^[0-9a-f-]+$' }, number => { source => 'profile', path => '/0/number' }, plan => { source => 'profile', path => '/0/plan' } } });
is(connects('alice', 'many', { body => [ { 'tenant/id' => 'aa-11', number => 12, owner => { id => 'o' }, plan => 'free' }, { 'tenant/id' => 'bb' } ] }), undef, 'an array at the root');
is(account('alice', 'many'), "o $origin", 'the account');
is(config('alice', 'many'), '{"plan": "free", "number": "12", "tenant": "aa-11"}', 'the fields');
is(row($node, 'app_service', "SELECT connection_config FROM $ns.app_user_connection('alice', 'many')")->{connection_config}{tenant}, 'aa-11', 'which come with the token');
is(connects('alice', 'many', { body => [ { 'tenant/id' => 'evil.example/', number => 1.5, owner => { id => 'o' } } ] }), undef, 'what does not fit');
is(config('alice', 'many') || 'none', 'none', 'is left out');
like(last_event('alice', 'many'), qr/reconnected: some of its profile is not known: the profile "\Q${\ $api->url}\E\/me" answered with JSON that has nothing at \/0\/plan, has no string or whole number that can be kept at \/0\/number; profile of the definition/, 'which is told');
is(connects('alice', 'many', { body => [ { 'tenant/id' => 'evil.example/', number => 1, plan => 'free', owner => { id => 'o' } } ] }), undef, 'one that its pattern does not let through');
is(config('alice', 'many'), '{"plan": "free", "number": "1"}', 'is left out');
like(last_event('alice', 'many'), qr/a value of field "tenant" that does not fit/, 'and told');

# The admin's word is over it, and no call is made for what the admin has said.
connector('fixed', {}, { connection_config_fields => { site => { source => 'profile' } } }, connection_config => { site => 'mine' });
asked();
connects('alice', 'fixed', { body => { site => 'theirs' } });
is(scalar(asked()) . config('alice', 'fixed'), '0{"site": "mine"}', 'what the admin fixed is not asked for');

# A field that a URL needs: as Mailchimp's, which is part of the host
connector('hosted', { id => '/id' }, { refresh_endpoint => $provider->url . '/{site}/token', connection_config_fields => { site => { source => 'profile', pattern => '^[a-z]+[0-9]+$' } } });
connects('alice', 'hosted', { body => { id => 1, site => 'us7' } });
my $token = granted();
$provider->rules({ %$token, path => '/us7/token' });
is((failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('alice', 'hosted', min_validity => '1 day')"))[0], undef, 'refreshed at the URL with the field in it');
is(config('alice', 'hosted'), '{"site": "us7"}', 'which stays');
is(connects('bob', 'hosted', { status => 500, body => {} }), undef, 'where the field was not to be had one is connected');
is((failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('bob', 'hosted', min_validity => '1 day')"))[0], 'UC004', 'and nothing can be refreshed');
is(stored('bob', 'hosted', 'status_reason'), 'field_missing', 'which says why');
is(connects('bob', 'hosted', { body => { id => 2, site => 'us7.evil.example/' } }), undef, 'a value that would be another host');
is(config('bob', 'hosted') || 'none', 'none', 'is left out');

# ------------------------------------------------------------------- what goes wrong

my $deep = ('[' x 16) . ']' x 16;
my %wrong = (
	'an error' => [ { status => 500, body => { id => 1 } }, qr/answered with HTTP status 500; profile of the definition may be wrong$/ ],
	'a refusal' => [ { status => 403, body => { id => 1 } }, qr/answered with HTTP status 403; it may take a scope that was not asked for/ ],
	'a redirect' => [ { status => 302, headers => { location => $evil->url . '/me' }, body => { id => 1 } }, qr/answered with HTTP status 302/ ],
	'HTML' => [ { headers => { 'content-type' => 'text/html' }, body => '<html>' }, qr/answered with a content type that is not JSON's/ ],
	'JSON that is called HTML' => [ { headers => { 'content-type' => 'text/html; charset=utf-8' }, body => '{"id": 1}' }, qr/a content type that is not JSON's/ ],
	'HTML that is called JSON' => [ { headers => { 'content-type' => 'application/json' }, body => '<html>' }, qr/answered with no JSON object or array/ ],
	'nothing' => [ { body => '' }, qr/answered with no JSON/ ],
	'a string' => [ { body => '"1"' }, qr/answered with no JSON/ ],
	'a name twice' => [ { body => '{"id": 1, "id": 2}' }, qr/answered with no JSON.*a name twice/ ],
	'what is too deep' => [ { body => "{\"id\": 1, \"a\": $deep}" }, qr/answered with no JSON/ ],
	'bytes that are no text' => [ { bodyBase64 => 'eyJpZCI6ICL/In0=' }, qr/answered with no JSON/ ],
	'NUL' => [ { body => '{"id": "a\u0000b"}' }, qr/answered with no JSON/ ],
	'more than is read' => [ { gzip => 300_000, headers => { 'content-type' => 'application/json' } }, qr/answered with more than 262144 bytes/ ],
	'an answer without end' => [ { endlessBody => JSON::PP::true }, qr/: answer is too large$/ ],
	'a broken connection' => [ { drop => JSON::PP::true }, qr/: Server returned nothing/ ],
	'another type' => [ { body => { id => { a => 1 } } }, qr/JSON that has no string or whole number that can be kept at \/id/ ],
	'a fraction' => [ { body => '{"id": 1.5}' }, qr/no string or whole number that can be kept at \/id/ ],
	'an exponent' => [ { body => '{"id": 1e3}' }, qr/no string or whole number/ ],
	'true' => [ { body => { id => JSON::PP::true } }, qr/no string or whole number/ ],
	'null' => [ { body => { id => undef } }, qr/no string or whole number/ ],
	'an empty id' => [ { body => { id => '' } }, qr/no string or whole number/ ],
	'a long id' => [ { body => { id => 'x' x 256 } }, qr/no string or whole number/ ],
	'an id of two lines' => [ { body => { id => "1\n2" } }, qr/no string or whole number/ ],
	'no id' => [ { body => { ok => JSON::PP::false } }, qr/JSON that has nothing at \/id/ ],
	'an array' => [ { body => [ { id => 1 } ] }, qr/JSON that has nothing at \/id/ ],
);
foreach my $what (sort keys %wrong)
{
	my ($answer, $like) = @{ $wrong{$what} };
	my $person = "with $what";

	is(connects($person, 'plain', $answer), undef, "$what: the connection is made");
	is(stored($person, 'plain', "concat_ws(' ', status, account)"), 'connected', "$what: the account is unknown");
	like(last_event($person, 'plain'), qr/^connected: the account is unknown: the profile "\Q${\ $api->url}\E\/me".*$like/s, "$what: which is told");
	is(access_token($node, $person, 'plain'), "access/token+$serial", "$what: and the token is there");
}
is(scalar($evil->requests), 0, 'nothing was sent to where it was redirected');
is(connects('erin', 'plain', { headers => { 'content-type' => $_ }, body => '{"id": "7"}' }), undef, "JSON as $_") && is(account('erin', 'plain'), "7 $origin", '... is read') foreach 'text/plain', 'application/vnd.api+json; charset=utf-8', 'Text/JavaScript';
is(superuser("SELECT count(*) FROM $ns.registered_connectors WHERE stopped_at IS NOT NULL OR probe_at IS NOT NULL"), 0, 'no connector is stopped for it');

# It has its own time, which is short.
my $patient = PsqlSession->new($node, 'app_service');
$provider->rules(granted());
$api->rules({ path => '*', hold => 'slow', body => { id => 1 } });
is(finish_flow('frank', begin_flow('frank', 'plain')), undef, 'a profile that does not answer is not waited for');
like(last_event('frank', 'plain'), qr/the account is unknown: the profile .*no (whole )?answer|timed? ?out|in time/i, 'which is told');
$api->release('slow');
# A token lives from when it was asked for, and not from when the profile was.
$provider->rules({ %{ granted() }, delayMs => 2500 });
$api->rules({ path => '*', body => { id => 1 } });
is(finish_flow('fred', begin_flow('fred', 'plain')), undef, 'connected by a slow token endpoint');
is(superuser("SELECT extract(epoch FROM expires_at - connected_at) BETWEEN 3500 AND 3597.8 FROM $ns.connections WHERE app_user = 'fred'"), 't', 'the token is not thought to live longer for the profile');

# A URL whose field nobody has given
connector('no_site', { id => '/id', url => '{site}/me' }, { connection_config_fields => { site => { source => 'token_response', pattern => '^http://127[.]0[.]0[.]1:[0-9]+$' } } });
is(connects('alice', 'no_site', { body => { id => 1 } }), undef, 'connected without the field that is in the URL');
is(last_event('alice', 'no_site'), q{connected: the account is unknown: the profile's URL needs field "site" of connection_config}, 'which is told');

# ------------------------------------------------------------------- another account

define('accounts', { id => '/id' }, revocation_endpoint => $provider->url . '/revoke');
query($node, 'app_admin', "SELECT $ns.register_connector(" . AppuserConnectors::arguments(provider => 'accounts', client_id => 'client', client_secret => 'the-secret', scopes => ['read'], redirect_uris => ['https://app.example/cb'], connector_id => $_,
		options => $_ eq 'strict' ? { other_account => 'refuse' } : {}) . ')') foreach qw(accounts strict);

sub revoked
{
	wait_until('all is revoked', sub { superuser("SELECT count(*) FROM $ns.revocations") == 0 });
	return join ' ', sort map { $_->{body} =~ /(?:^|&)token=([^&]*)/ ? $1 : () } $provider->requests('/revoke');
}

connects('alice', 'accounts', { body => { id => 'work' } }, granted => granted(refresh_token => 'first'));
is(connects('alice', 'accounts', { body => { id => 'work' } }, granted => granted(refresh_token => undef)), undef, 'the same account again');
is(last_event('alice', 'accounts'), 'reconnected', 'is no other');
like(revoked(), qr/^$/, 'and nothing is revoked');
$provider->rules(granted());
is((failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('alice', 'accounts', min_validity => '1 day')"))[0], undef, 'its refresh token goes on');
connects('alice', 'accounts', { status => 500, body => {} });
is(revoked(), '', 'of an unknown account nothing is revoked');
connects('alice', 'accounts', { body => { id => 'work' } }, granted => granted(access_token => 'work-access', refresh_token => 'work-refresh'));
is(connects('alice', 'accounts', { body => { id => 'home' } }), undef, 'another account');
like(last_event('alice', 'accounts'), qr/^reconnected: another account$/, 'is told');
is(revoked(), 'work-access work-refresh', 'and the former one is revoked');

connects('alice', 'strict', { body => { id => 'work' } }, granted => granted(access_token => 'kept-access', refresh_token => 'kept-refresh'));
my $before = stored('alice', 'strict', "connections::text");
$provider->order({ reset => JSON::PP::true });
is(connects('alice', 'strict', { body => { id => 'third' } }, granted => granted(access_token => 'other-access', refresh_token => 'other-refresh')), 'other_account', 'where it is refused, the callback says so');
is(stored('alice', 'strict', "connections::text"), $before, 'the connection stays as it was');
is(revoked(), 'other-access other-refresh', 'what was granted is revoked');
like(superuser("SELECT detail FROM $ns.connection_events WHERE event = 'connect_failed' AND connector_id = 'strict' ORDER BY occurred_at DESC LIMIT 1"), qr/^other_account: the connector refuses another account/, 'and so is the refusal');
is(access_token($node, 'alice', 'strict'), 'kept-access', 'the token is the one before');
$provider->order({ reset => JSON::PP::true });
is(connects('alice', 'strict', { status => 500, body => {} }), 'other_account', 'one that is unknown could be another');
is(stored('alice', 'strict', "connections::text"), $before, 'the connection stays as it was');
is(revoked(), '', 'and what could be its own is not revoked');
is(superuser("SELECT event FROM $ns.connection_events WHERE app_user = 'alice' AND connector_id = 'strict' ORDER BY occurred_at DESC LIMIT 1"), 'revocation_skipped', 'which is told');
like(superuser("SELECT detail FROM $ns.connection_events WHERE event = 'connect_failed' AND connector_id = 'strict' ORDER BY occurred_at DESC LIMIT 1"), qr/^other_account: which account was connected is unknown; .*HTTP status 500/, 'it says why it is unknown');
is(connects('alice', 'strict', { body => { id => 'work' } }), undef, 'the same account connects again');
query($node, 'app_service', "SELECT $ns.disconnect_app_user('strict')", app_user => 'alice');
is(connects('alice', 'strict', { body => { id => 'home' } }), undef, 'and who has disconnected connects another');
is(connects('bob', 'strict', { body => { id => 'work' } }), undef, 'another person that account');

# What an ID token named, and what a profile names, are not compared.
register($node, $issuer, connector_id => 'mixed', provider => 'mixed', scopes => ['read'], definition => { profile => { url => $api->url . '/me', id => '/id' } });
$api->rules({ path => '*', body => { id => 4711 } });
is(connect_user($node, 'gina', 'mixed', arguments => { scopes => ['openid'] })->{failure}, undef, 'connected with an ID token');
is(connect_user($node, 'gina', 'mixed')->{failure}, undef, 'and again without');
is(last_event('gina', 'mixed'), 'reconnected', 'is not known to be another account');
is(account('gina', 'mixed'), "4711 $origin", 'the account is that of the profile');
is(superuser("SELECT count(*) FROM $ns.revocations") . superuser("SELECT count(*) FROM $ns.connection_events WHERE connector_id = 'mixed' AND event LIKE 'revo%'"), '00', 'and nothing is revoked');

# ------------------------------------------------------------------- isolation

# Both are asked at once, and answered in the other order.
$provider->rules(granted());
$api->rules({ path => '*', hold => 'alice', times => 1, body => { id => 'account of alice' } }, { path => '*', hold => 'bob', times => 1, body => { id => 'account of bob' } });
my @sessions;
foreach my $person (qw(alice2 bob2))
{
	my $state = begin_flow($person, 'plain');

	push @sessions, PsqlSession->new($node, 'app_service');
	$sessions[-1]->send("BEGIN;\nSELECT $ns.set_app_user('$person') \\g /dev/null\nSELECT COALESCE(failure, 'none') FROM $ns.oauth_callback('$state', 'a-code');\nCOMMIT");
	$api->wait(held => $person =~ s/2//r);
}
is(superuser("SELECT count(*) FROM $ns.pending_answers"), 2, 'what was granted is kept while the profile is asked');
$api->release('bob');
wait_until('bob is connected', sub { account('bob2', 'plain') ne '' });
$api->release('alice');
wait_until('alice is connected', sub { account('alice2', 'plain') ne '' });
is(account('alice2', 'plain'), "account of alice $origin", "alice's is hers");
is(account('bob2', 'plain'), "account of bob $origin", "bob's is his");
$_->close foreach @sessions;

# ------------------------------------------------------------------- a crash, a stop, a row that is held

sub answers
{
	wait_until('the server answers', sub { $node->psql('postgres', 'SELECT 1', on_error_die => 0, stdout => \my $out, stderr => \my $err) == 0 });
	return;
}

connector('crashing', { id => '/id' }, { token_endpoint => $provider->url . '/{area}/token', revocation_endpoint => $provider->url . '/{area}/revoke', connection_config_fields => { area => { source => 'user', pattern => '^[a-z]+$' }, site => { source => 'profile' } } });
my %ends = (
	'a crash of the worker' => sub {
		my $worker = superuser(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'});
		kill 'KILL', $worker;
		wait_until('the server has noticed', sub { !kill 0, $worker });
		answers();
	},
	'an immediate stop' => sub { $node->stop('immediate'); $node->start },
);
foreach my $how (sort keys %ends)
{
	my $hold = $how =~ tr/ /_/r;
	my $state = begin_flow($how, 'crashing', connection_config => { area => 'eu' });
	my $session = PsqlSession->new($node, 'app_service', later => 1);

	$provider->rules({ %{ granted() }, path => '/eu/token' });
	$api->rules({ path => '*', hold => $hold, body => { id => 1 } });
	$session->send("BEGIN;\nSELECT $ns.set_app_user('$how') \\g /dev/null\nSELECT failure FROM $ns.oauth_callback('$state', 'a-code');\nCOMMIT");
	$api->wait(held => $hold);
	$ends{$how}->();
	wait_until("$how: what was granted is stored", sub { stored($how, 'crashing', 'status') eq 'connected' });
	$session->close;
	$api->release($hold);
	is(last_event($how, 'crashing'), 'connected: the account is unknown: the worker ended before the profile answered', "$how while the profile is asked: the account is unknown");
	is(access_token($node, $how, 'crashing'), "access/token+$serial", 'the token is not lost');
	$provider->rules({ %{ granted() }, path => '/eu/token' });
	is((failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('$how', 'crashing', min_validity => '1 day')"))[0], undef, 'and is renewed, at the URL with its field');
	is(superuser("SELECT count(*) FROM $ns.pending_answers"), 0, 'nothing is left over');
}

# The row is held while the profile answers, and the server crashes then: what it said is kept too.
connects('held', 'crashing', { body => { id => 'before', site => 's0' } }, connection_config => { area => 'eu' }, granted => { %{ granted() }, path => '/eu/token' });
{
	my $state = begin_flow('held', 'crashing', connection_config => { area => 'eu' });
	my $holder = PsqlSession->new($node, 'postgres', later => 1);
	my $session = PsqlSession->new($node, 'app_service', later => 1);

	$provider->rules({ %{ granted() }, path => '/eu/token' });
	$api->rules({ path => '*', hold => 'held', body => { id => 'after', site => 's1' } });
	$session->send("BEGIN;\nSELECT $ns.set_app_user('held') \\g /dev/null\nSELECT failure FROM $ns.oauth_callback('$state', 'a-code');\nCOMMIT");
	$api->wait(held => 'held');
	$holder->ask("BEGIN; SELECT 1 FROM $ns.connections WHERE app_user = 'held' FOR UPDATE");
	my $saved = superuser("SELECT sealed_answer FROM $ns.pending_answers");
	$api->release('held');
	wait_until('the profile is saved with the tokens', sub { superuser("SELECT sealed_answer FROM $ns.pending_answers") ne $saved });
	is(superuser("SELECT count(*) FROM $ns.pending_answers"), 1, 'in one place');
	$node->stop('immediate');
	$_->close foreach $holder, $session;
	$node->start;
	wait_until('it is stored', sub { account('held', 'crashing') =~ /^after/ });
	is(account('held', 'crashing'), "after $origin", 'what the profile said outlives a crash, while the row is held');
	is(config('held', 'crashing'), '{"area": "eu", "site": "s1"}', 'its fields too');
}

# Whoever leaves while the profile is asked is not connected by what it answers.
{
	my $state = begin_flow('leaver', 'accounts');
	my $session = PsqlSession->new($node, 'app_service', later => 1);

	$provider->order({ reset => JSON::PP::true });
	$provider->rules(granted(access_token => 'left-access', refresh_token => 'left-refresh'), { path => '*', body => {} });
	$api->rules({ path => '*', hold => 'leaver', body => { id => 'gone' } });
	$session->send("BEGIN;\nSELECT $ns.set_app_user('leaver') \\g /dev/null\nSELECT failure FROM $ns.oauth_callback('$state', 'a-code');\nCOMMIT");
	$api->wait(held => 'leaver');
	is(query($node, 'app_service', "SELECT $ns.disconnect_app_user('accounts')", app_user => 'leaver'), 't', 'a disconnect while the profile is asked');
	$api->release('leaver');
	wait_until('it has ended', sub { superuser("SELECT count(*) FROM $ns.pending_answers") == 0 });
	is(revoked(), 'left-access left-refresh', 'what was granted is revoked');
	is(stored('leaver', 'accounts', 'account'), '', 'and nobody is connected');
	$session->close;
}

# Where what was granted cannot be kept before, nothing is asked.
{
	my $holder = PsqlSession->new($node, 'postgres');
	my $state = begin_flow('unkept', 'plain');

	asked();
	$provider->rules(granted());
	$holder->ask("BEGIN; LOCK TABLE $ns.pending_answers IN SHARE MODE");
	is(finish_flow('unkept', $state), undef, 'connected while nothing can be kept');
	$holder->ask('ROLLBACK');
	$holder->close;
	is(scalar(asked()), 0, 'the profile was not asked');
	is(last_event('unkept', 'plain'), qq{connected: the account is unknown: the profile "${\ $api->url}/me": what was granted could not be kept meanwhile}, 'which is told');
}

# A stop in order does not wait for what was not asked yet, and nothing is asked any more.
{
	my $state = begin_flow('stopped', 'plain');
	my $session = PsqlSession->new($node, 'app_service', later => 1);
	my $log = -s $node->logfile;

	asked();
	$provider->rules({ %{ granted() }, hold => 'token' });
	$api->rules({ path => '*', body => { id => 1 } });
	$session->send("BEGIN;\nSELECT $ns.set_app_user('stopped') \\g /dev/null\nSELECT failure FROM $ns.oauth_callback('$state', 'a-code');\nCOMMIT");
	$provider->wait(held => 'token');
	my $stop = IPC::Run::start([ 'pg_ctl', '-D', $node->data_dir, '-m', 'fast', '-t', '60', 'stop' ], '>', \my $out, '2>', \my $err);
	wait_until('the server is stopping', sub { $node->log_contains('received fast shutdown request', $log) });
	# what tells that the worker knows it: it has let its callers go
	$provider->release('token');
	ok($stop->finish, 'the server stops');
	$node->{_pid} = undef;
	$session->close;
	$node->start;
	is(stored('stopped', 'plain', 'status'), 'connected', 'what was granted while it stopped is stored');
	is(scalar(asked()), 0, 'and the profile was not asked any more');
	is(last_event('stopped', 'plain'), qq{connected: the account is unknown: the profile "${\ $api->url}/me": the server is stopping}, 'which is told');
}

# ------------------------------------------------------------------- a flood

# One person's profiles that do not answer keep nobody else from theirs.
{
	my @flood;

	$provider->rules(granted());
	$api->rules({ path => '*', times => 5, hold => 'flood', body => { id => 1 } }, { path => '*', body => { id => 2 } });
	foreach my $n (1 .. 5)
	{
		my $state = begin_flow('mallory', 'plain', connection_name => "c$n");

		push @flood, PsqlSession->new($node, 'app_service', later => 1);
		$flood[-1]->send("BEGIN;\nSELECT $ns.set_app_user('mallory') \\g /dev/null\nSELECT COALESCE(failure, 'none') FROM $ns.oauth_callback('$state', 'a-code');\nCOMMIT");
	}
	$api->wait(held => 'flood', count => 2);
	my $began = time();
	is(finish_flow('nora', begin_flow('nora', 'plain')), undef, 'another person is connected meanwhile');
	cmp_ok(time() - $began, '<', 4, 'at once');
	$api->release('flood') foreach 1 .. 3;
	wait_until('the others are too', sub { $api->release('flood'); superuser("SELECT count(*) FROM $ns.connections WHERE app_user = 'mallory'") == 5 });
	$_->close foreach @flood;
}

# ------------------------------------------------------------------- who says where the token goes

my @admin = ('app_admin', "SELECT $ns.update_connector('plain', provider => 'plain')");
my $known = { id => '/id', email => '/email' };
my %moves = (
	'another server' => [ { %$known, url => $evil->url . '/me' } ],
	'another path' => [ { %$known, url => $api->url . '/~mallory' } ],
	'another method' => [ { %$known, method => 'POST' } ],
	'another body' => [ { %$known, method => 'POST', body => { a => 'b' } } ],
	'another header' => [ { %$known, headers => { 'X-Forward-To' => 'evil.example' } } ],
	'another place of the token' => [ $known, { api_authorization => { query => 'token' } } ],
);
foreach my $move (sort keys %moves)
{
	define('plain', $moves{$move}[0], %{ $moves{$move}[1] // {} });
	my ($state, $message) = failure($node, @admin);
	is($state, '42501', "$move: the client secret must be given anew");
	like($message, qr/client_secret must be given anew.*or the profile that the access token is sent to change/s, '... and says so');
	unlike($message, qr/allow_endpoint_change/, '... without what is of no use');
}
define('plain', { %$known, url => $api->url . '/v2/me' });
my $state = begin_flow('olga', 'plain');
query($node, 'app_admin', "SELECT $ns.update_connector('plain', provider => 'plain', client_secret => 'the-secret')");
is(finish_flow('olga', $state), 'connector_misconfigured', 'a flow that was under way ends');
is(stored('alice', 'plain', 'status'), 'connected', 'who is connected stays so: no stored token goes there');
connects('olga', 'plain', { body => { id => 1 } });
is((asked())[-1]{path}, '/v2/me', 'with the secret it is asked there');

# whose secret is in a file that does not say so
mkdir "$secrets/clients";
PostgreSQL::Test::Utils::append_to_file("$secrets/clients/one", "origin: " . $provider->url . "\nthe-secret\n");
chmod 0600, "$secrets/clients/one";
my ($sqlstate, $message) = failure($node, 'app_admin', "SELECT $ns.register_connector(" . AppuserConnectors::arguments(provider => 'plain', client_id => 'client', client_secret => 'file:one', scopes => ['read'], redirect_uris => ['https://app.example/cb'], connector_id => 'file') . ')');
is($sqlstate, '42501', 'what is granted for a secret in a file goes to servers that the file names only');
like($message, qr/may not be sent to "\Q${\ $api->url}\E\/v2\/me"/, '... and says so');

# edited by SQL
superuser("UPDATE $ns.registered_connectors SET definition = jsonb_set(definition, '{profile,url}', to_jsonb('" . $evil->url . "/me'::text)) WHERE connector_id = 'plain'");
is((failure($node, 'app_service', "SELECT $ns.connect_app_user('plain')", app_user => 'alice'))[0], 'UC004', 'an edit by SQL stops the connector');
is(scalar($evil->requests), 0, 'nothing was sent to the other server');

# ------------------------------------------------------------------- nobody sees the token

my $seen = slurp_file($node->logfile) . encode([ rows($node, 'postgres', "SELECT * FROM $ns.connection_events") ]) . encode([ rows($node, 'postgres', "SELECT * FROM $ns.check_health()") ]);
unlike($seen, qr/access\/token\+|access%2Ftoken|long-token|kept-access/, 'no token is in the log or an event');

$node->stop;
done_testing();
