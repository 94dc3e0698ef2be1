# What a hand with SQL can do to the stored rows: nothing sealed opens in another
# place than the one it was sealed for, and a connector that was edited sends
# nothing anywhere.  What does work is told as well: a whole row put back as it was.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Test::More;

my $ns = 'appuser_connectors';
my $provider = start_provider();
my $evil = start_fault_server(host => '127.0.0.1');
my $node = new_node('main');
allow_inserts($node);
my $log_start;

register($node, $provider, connector_id => $_) foreach qw(one two);
my @people = ([ 'alice', 'one', 'default' ], [ 'alice', 'one', 'work' ], [ 'alice', 'two', 'default' ], [ 'bob', 'one', 'default' ]);
foreach my $person (@people)
{
	my ($app_user, $connector, $name) = @$person;
	is(connect_user($node, $app_user, $connector, account => "$app_user-$connector-$name", arguments => { connection_name => $name })->{failure},
		undef, "$app_user is connected to $connector as $name");
}
authorization_url($node, 'alice', 'one');

# A superuser's statement, a question after it, and all of it undone.
query($node, 'postgres', q{
	CREATE TABLE public.kept AS TABLE appuser_connectors.connections;
	CREATE TABLE public.kept_connectors AS TABLE appuser_connectors.registered_connectors;
	CREATE FUNCTION public.after(tampering text, question text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		answer text;
		detail text;
		hint text;
	BEGIN
		EXECUTE tampering;
		EXECUTE 'SELECT ' || question INTO answer;
		RAISE EXCEPTION USING ERRCODE = 'P9999', MESSAGE = coalesce(answer, '(null)');
	EXCEPTION
		WHEN SQLSTATE 'P9999' THEN
			RETURN SQLERRM;
		WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
			RETURN concat_ws('|', SQLSTATE, SQLERRM, detail, hint);
	END $$;});

sub after
{
	my ($tampering, $question) = @_;
	return query($node, 'postgres', 'SELECT public.after(' . AppuserConnectors::quote($tampering) . ', ' . AppuserConnectors::quote($question) . ')');
}

sub token_of
{
	my ($app_user, $connector, $name) = @_;
	return "access_token FROM $ns.app_user_connection('$app_user', '$connector', '$name')";
}

sub where
{
	my ($app_user, $connector, $name) = @_;
	return "app_user = '$app_user' AND connector_id = '$connector' AND connection_name = '$name'";
}

# As it was when everybody had connected.
sub restore
{
	query($node, 'postgres', "BEGIN; DELETE FROM $ns.connections; DELETE FROM $ns.registered_connectors;
		INSERT INTO $ns.registered_connectors SELECT * FROM public.kept_connectors;
		INSERT INTO $ns.connections SELECT * FROM public.kept; COMMIT");
	return;
}

# A refresh that somebody asks for: (SQLSTATE, what was told), or ('', token).
sub refreshed
{
	my ($app_user, $connector, $name) = @_;
	my $question = "SELECT access_token FROM $ns.app_user_connection('$app_user', '$connector', '$name', min_validity => '100 years')";
	my @failure = failure($node, 'app_service', $question);

	return @failure ? @failure : ('', query($node, 'app_service', $question));
}

my %token = map { my @key = @$_; join(' ', @key) => query($node, 'app_service', 'SELECT ' . token_of(@key)) } @people;
my $any_token = join '|', map { quotemeta } values %token;

# --------------------------------------------------- every sealed value, elsewhere

# Wherever something sealed lies: a table, a column, and the row.
my @sealed = rows($node, 'postgres', "SELECT c.relname AS table, a.attname AS column FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
	WHERE c.relnamespace = '$ns'::regnamespace AND c.relkind = 'r' AND a.atttypid = 'bytea'::regtype AND a.attname NOT IN ('state_hash', 'binding_hash')
	ORDER BY 1, 2");
is_deeply([ map { "$_->{table}.$_->{column}" } @sealed ],
	[   qw(authorizations.sealed_outcome authorizations.sealed_secrets connections.access_token connections.refresh_token
		  encryption_keys.wrapped_key installation.seal issuers.seal pending_answers.sealed_answer registered_connectors.client_secret registered_providers.seal revocations.sealed_tokens) ],
	'every place for something sealed is known here');

my @sources = map { my $key = $_; map { [ "$ns.connections", $_, where(@$key), "$_ of @$key" ] } qw(access_token refresh_token) } @people;
push @sources, [ "$ns.registered_connectors", 'client_secret', "connector_id = '$_'", "client_secret of $_" ] foreach qw(one two);
push @sources, [ "$ns.authorizations", 'sealed_secrets', 'true', 'the secrets of a flow' ],
  [ "$ns.encryption_keys", 'wrapped_key', 'true', 'the data key' ];

foreach my $target (@people)
{
	is(after('SELECT', token_of(@$target)), $token{"@$target"}, "@$target: is served its own token");
	foreach my $source (@sources)
	{
		my ($table, $column, $where, $what) = @$source;
		next if $what eq "access_token of @$target";
		my $answer = after("UPDATE $ns.connections SET access_token = (SELECT $column FROM $table WHERE $where LIMIT 1) WHERE " . where(@$target),
			token_of(@$target));
		like($answer, qr/^XX001\|/, "@$target: does not open $what");
		unlike($answer, qr/$any_token/, '... and is told no token');
	}
}

# Every part of a sealed value: version, algorithm, key id, nonce, ciphertext, tag.
my @alice = @{ $people[0] };
foreach my $part ([ 'version', 0 ], [ 'algorithm', 1 ], [ 'key id', 2 ], [ 'key id', 5 ], [ 'nonce', 6 ], [ 'nonce', 29 ],
	[ 'ciphertext', 30 ], [ 'tag', 'length(access_token) - 16' ], [ 'tag', 'length(access_token) - 1' ])
{
	my ($what, $at) = @$part;
	like(after("UPDATE $ns.connections SET access_token = set_byte(access_token, $at, get_byte(access_token, $at) \# 1) WHERE " . where(@alice), token_of(@alice)),
		qr/^XX001\|/, "one bit of the $what (byte $at) is missed");
}
foreach my $value ("''", "substr(access_token, 1, 45)", "substr(access_token, 1, length(access_token) - 1)", "access_token || '\\x00'", "'\\x00' || access_token",
	"substr(access_token, 1, 30)", "convert_to('a token in plain text', 'UTF8')", "decode(repeat('00', 100), 'hex')")
{
	like(after("UPDATE $ns.connections SET access_token = $value WHERE " . where(@alice), token_of(@alice)), qr/^XX001\|/,
		"$value is no sealed token");
}

# ------------------------------------------- the row around it: which columns bind

# For each column of the table, what a change of it does to a read.
my %bound = map { $_ => 1 } qw(app_user connector_id connection_name grant_id generation endpoints connection_config account account_issuer account_name token_type scopes connected_at expires_at);
# reconnect_by may be earlier than what was sealed, not later: 096_grant_ends
my %change = (
	app_user => "'dora'", connector_id => "'two'", connection_name => "'other'", grant_id => 'gen_random_uuid()',
	generation => 'generation + 1', endpoints => "'https://127.0.0.1:1 -'",
	status => 'status', status_reason => "'x'", status_since => 'now()', account => "'x'", account_issuer => "'x'", account_name => "'x'", token_type => "'x'", scopes => "'{x}'",
	requested_scopes => "'{x}'", connection_config => "'{\"a\": 1}'", connected_at => 'now()', updated_at => 'now()',
	expires_at => "now() + interval '2 hours'", refresh_at => 'NULL', failures => '1', failing_since => 'now()', refusals => '1',
	access_token => 'refresh_token', refresh_token => 'NULL', scopes_assumed => 'NOT scopes_assumed',
	reconnect_by => "now() + interval '1 year'", remind_at => 'now()',
);
my @columns = map { $_->{attname} } rows($node, 'postgres',
	"SELECT attname FROM pg_attribute WHERE attrelid = '$ns.connections'::regclass AND attnum > 0 AND NOT attisdropped");
is_deeply([ sort @columns ], [ sort keys %change ], 'every column of a connection is known here');
foreach my $column (@columns)
{
	my @work = @{ $people[1] };
	my %key = (app_user => [ 'dora', 'one', 'work' ], connector_id => [ 'alice', 'two', 'work' ], connection_name => [ 'alice', 'one', 'other' ]);
	my $answer = after("UPDATE $ns.connections SET $column = $change{$column} WHERE " . where(@work), token_of(@{ $key{$column} // \@work }));
	if ($bound{$column} || $column eq 'access_token')
	{
		like($answer, qr/^XX001\|the stored token of connector "\w+" cannot be opened\|.+\|.+/, "$column belongs to the sealed token: a change is an error with a hint");
	}
	else
	{
		is($answer, $token{"@work"}, "$column does not: the token is still its own person's");
	}
}
like(after("UPDATE $ns.connections SET generation = generation - 1 WHERE " . where(@alice), token_of(@alice)), qr/^XX001\|/, 'nor is an earlier generation');

# ------------------------------------------------------------------ whole rows

my $others = join ', ', grep { !/^(app_user|connector_id|connection_name)$/ } @columns;
foreach my $target ([ 'bob', 'two', 'default' ], [ 'dora', 'one', 'default' ], [ 'alice', 'two', 'other' ])
{
	like(after("INSERT INTO $ns.connections (app_user, connector_id, connection_name, $others) SELECT '$target->[0]', '$target->[1]', '$target->[2]', $others
		FROM $ns.connections WHERE " . where(@alice), token_of(@$target)), qr/^XX001\|/, "a copy of alice's row serves nobody as @$target");
}
foreach my $target (@people[1 .. 3])
{
	like(after("UPDATE $ns.connections SET ($others) = (SELECT $others FROM $ns.connections WHERE " . where(@alice) . ') WHERE ' . where(@$target), token_of(@$target)),
		qr/^XX001\|/, "all of alice's row in the row of @$target serves nothing");
}

# An old row put back: the parts of it do not fit the new ones.  All of it does;
# that is the residual.
my ($state, $fresh) = refreshed(@alice);
is($state, '', 'alice is refreshed');
isnt($fresh, $token{"@alice"}, 'and has another token');
query($node, 'postgres', "CREATE TABLE public.fresh AS TABLE $ns.connections");
foreach my $column (qw(access_token generation))
{
	like(after("UPDATE $ns.connections AS c SET $column = k.$column FROM public.kept AS k
		WHERE (k.app_user, k.connector_id, k.connection_name) = (c.app_user, c.connector_id, c.connection_name)", token_of(@alice)),
		qr/^XX001\|/, "$column of before the refresh does not fit");
}
my $old_row = "DELETE FROM $ns.connections WHERE " . where(@alice) . "; INSERT INTO $ns.connections SELECT * FROM public.kept WHERE " . where(@alice);
is(after($old_row, token_of(@alice)), $token{"@alice"}, 'the whole row of before the refresh opens, to the token of then');

# A refresh token of before, within the row of now, is never sent.
my $refreshes = $provider->ctl->{grants}{refresh_token};
query($node, 'postgres', "UPDATE $ns.connections AS c SET refresh_token = k.refresh_token FROM public.kept AS k
	WHERE (k.app_user, k.connector_id, k.connection_name) = (c.app_user, c.connector_id, c.connection_name) AND c." . where(@alice) =~ s/ AND / AND c./gr);
my $told;
($state, $told) = refreshed(@alice);
is($state, 'UC003', 'an old refresh token in the new row is no refresh');
like($told, qr/cannot be opened/, 'and it is told why');
is(query($node, 'app_service', 'SELECT ' . token_of(@alice)), $fresh, 'while the access token is still served');
is(row($node, 'app_admin', "SELECT status FROM $ns.connection_status WHERE " . where(@alice))->{status}, 'failing',
	'and the connection does not need reconnecting because of it');
query($node, 'postgres', "DELETE FROM $ns.connections WHERE " . where(@alice) . "; INSERT INTO $ns.connections SELECT * FROM public.fresh WHERE " . where(@alice));

# The same for all other people's, which the worker opens.
foreach my $source (grep { $_->[3] !~ /of @alice$/ } @sources)
{
	my ($table, $column, $where, $what) = @$source;
	query($node, 'postgres', "UPDATE $ns.connections SET refresh_token = (SELECT $column FROM $table WHERE $where LIMIT 1) WHERE " . where(@alice));
	($state) = refreshed(@alice);
	like($state, $what eq 'the data key' ? qr/^UC00[38]$/ : qr/^UC003$/, "$what as a refresh token is not sent");
	query($node, 'postgres', "DELETE FROM $ns.connections WHERE " . where(@alice) . "; INSERT INTO $ns.connections SELECT * FROM public.fresh WHERE " . where(@alice));
}
is_deeply($provider->ctl->{grants}{refresh_token}, $refreshes, 'the provider saw no refresh in all this');
is((refreshed(@alice))[0], '', "alice's own, in its own row, is");
query($node, 'postgres', "TRUNCATE public.kept; INSERT INTO public.kept TABLE $ns.connections");

# -------------------------------------------------------- another database's row

$node->safe_psql('postgres', 'CREATE DATABASE other');
add_extension($node, 'other');
register($node, $provider, connector_id => $_, database => 'other') foreach qw(one two);
is(connect_user($node, 'alice', 'one', account => 'alice-elsewhere', database => 'other')->{failure}, undef, 'alice is connected in another database');
my $elsewhere = access_token($node, 'alice', 'one', database => 'other');
sub copied
{
	my ($table, $database) = @_;
	my ($row) = rows($node, 'postgres', "SELECT * FROM $ns.$table LIMIT 1", database => $database);
	return "json_populate_record(NULL::$ns.$table, " . AppuserConnectors::quote(encode($row)) . ')';
}
my $their_row = "DELETE FROM $ns.connections WHERE " . where(@alice) . "; INSERT INTO $ns.connections SELECT r.* FROM " . copied('connections', 'other') . ' AS r';
my $their_key = "INSERT INTO $ns.encryption_keys SELECT r.key_id, 'retired', r.wrapped_key, r.created_at FROM " . copied('encryption_keys', 'other') . ' AS r';
foreach my $tampering ([ $their_row, "another database's row" ], [ "$their_row; $their_key", "another database's row with its data key" ])
{
	my $answer = after($tampering->[0], token_of(@alice));
	like($answer, qr/^(XX001|UC008)\|.+\|.+\|.+/, "$tampering->[1] does not open: $answer");
	unlike($answer, qr/\Q$elsewhere\E|$any_token/, 'and no token is told');
}

# The worker, who comes across it by itself, leaves it and goes on with the others.
$log_start = -s $node->logfile;
my $count_events = "SELECT count(*) FROM $ns.connection_events WHERE event = 'refresh_failing' AND detail LIKE 'unreadable: %' AND app_user = 'alice'";
my $events = query($node, 'app_admin', $count_events);
query($node, 'postgres', "BEGIN; $their_row; UPDATE $ns.connections SET refresh_at = now() - interval '1 minute' WHERE app_user IN ('alice', 'bob'); COMMIT");
wait_until('bob is refreshed', sub { access_token($node, 'bob', 'one') ne $token{'bob one default'} });
wait_until("alice's other connections are", sub { query($node, 'postgres', "SELECT count(*) FROM $ns.connections WHERE generation > 1 AND app_user = 'alice'") >= 2 });
wait_until('the row that is not ours is put off', sub { query($node, 'postgres', "SELECT failures > 0 AND refresh_at > now() + interval '1 minute' FROM $ns.connections WHERE " . where(@alice)) eq 't' });
is(query($node, 'app_admin', $count_events), $events + 1, 'with an event');
is(query($node, 'postgres', "SELECT status FROM $ns.connections WHERE " . where(@alice)), 'connected', 'and no new status');
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile, $log_start);
cmp_ok(scalar(() = $log =~ /ERROR:/g), '<', 5, 'without a flood in the log');
query($node, 'postgres', "TRUNCATE public.kept; INSERT INTO public.kept SELECT * FROM $ns.connections WHERE NOT (" . where(@alice) . ")");
restore();

# ------------------------------------------------------------ an edited connector

# Each name of a definition, and an edit of it; the list of all names is what the extension
# itself tells.
my %member = (
	issuer => $evil->url, authorization_endpoint => $evil->url . '/auth', token_endpoint => $evil->url . '/token',
	revocation_endpoint => $evil->url . '/token/revocation', refresh_endpoint => $evil->url . '/token', jwks_uri => $evil->url . '/jwks', userinfo_endpoint => $evil->url . '/me',
	token_endpoint_auth_method => 'client_secret_post', authorization_response_iss_parameter_supported => JSON::PP::false,
	id_token_signed_response_alg => 'EdDSA', name => 'Other', pkce => 'off', nonce => 'optional', iss_parameter => 'ignored', scope_parameter => 'user_scope', scope_separator => ',',
	authorization_params => { request_uri => $evil->url }, token_params => { audience => 'x' }, refresh_params => { audience => 'x' },
	token_body_format => 'json', token_response_format => 'form', token_path => 'bot', token_types => ['bot'],
	connection_config_fields => { session_state => { source => 'callback', pattern => '^.*$' } }, default_expires_in => 60, zero_expires_in => 'unknown',
	api_base_url => $evil->url . '/api', api_headers => { 'X-Other' => 'x' }, api_authorization => { query => 'token' }, profile => { url => $evil->url . '/me', id => '/id' }, revocation => { auth => 'none', token_parameter => 'access_token' }, refresh_margin => 60, revocation_ends_grant => JSON::PP::true, consent_params => { prompt => 'none' },
	implied_scopes => { read => ['x'] }, scope_aliases => { x => 'read' }, unreturned_scopes => ['read'], callback_scope_parameter => 'scope', default_scopes => ['x'], required_scopes => ['x'], scope_requests => ['exchange'], response_type => 'none', authorization_fragment => 'x',
	authorization_param_names => { client_id => 'id' }, token_param_names => { client_id => 'id' }, refresh_param_names => { client_id => 'id' }, basic_encoding => 'raw', token_method => 'GET', token_headers => { 'X-Other' => 'x' }, long_token_endpoint => $evil->url . '/token', long_token_params => { a => 'b' }, long_token_param_names => { client_id => 'a' }, refresh_method => 'GET', refresh_style => 'access_token', access_token_path => 'a', refresh_token_path => 'a', expires_in_path => 'a', expires_at_path => 'a', expires_at_format => 'epoch',
	error_path => 'a', ok_values => ['a'], error_outcomes => { a => 'refused' }, id_token => 'optional', callback_param_names => { code => 'c' }, callback_errors => { a => 'b' }, refresh_token_reuse => 'once', callback_hmac => 'shopify', scope_path => 'a', response_scope_separator => '+', refresh_token_lifetime => 60, refresh_token_renewed_by => 'use', refresh_token_expires_in_path => 'a', grant_lifetime => 60, refresh_ends_access_token => \1, sandbox => { token_endpoint => $evil->url . '/token' });
my (undef, $hint) = failure($node, 'app_admin', "SELECT $ns.register_provider('x', '{\"no such name\": 1}')");
my ($names) = $hint =~ /Known names are: (.*)\./;
is_deeply([ sort split /, /, $names ], [ sort keys %member ], 'every name of a definition is known here');

my %trusted = map { ($_ => $member{$_}) } grep { /^issuer$|_endpoint$|_uri$|_method$/ } keys %member;
my %edits = map { ("another $_" => "definition = definition || '" . encode({ $_ => $member{$_} }) . "'") } keys %member;
$edits{"options of $_->[0]"} = "options = '" . encode({ @$_ }) . "'"
  foreach [ pkce => 'off' ], [ return_to => [ $evil->url ] ], [ authorization_params => { request_uri => $evil->url } ], [ resource => $evil->url ], [ sandbox => JSON::PP::true ], [ redirect_uri_names => { 'https://app.example/cb' => 'x' } ], [ other_account => 'refuse' ];
$edits{'an empty object of options'} = "options = '{}'";
$edits{'a connection_config'} = "connection_config = '" . encode({ instance_url => $evil->url }) . "'";
$edits{'a scope more'} = "scopes = array_append(scopes, 'admin')";
$edits{'no openid'} = "scopes = array_remove(scopes, 'openid')";
$edits{"no $_"} = "definition = definition - '$_'" foreach qw(issuer revocation_endpoint jwks_uri userinfo_endpoint);
$edits{'an auth method of none'} = q{definition = definition || '{"token_endpoint_auth_method": "none"}'};
$edits{'everything pointing elsewhere'} = "definition = '" . encode({ %trusted, token_endpoint_auth_method => 'client_secret_basic' }) . "'";
$edits{'a nonsensical definition'} = q{definition = '{"token_endpoint": "nonsense", "authorization_endpoint": "nonsense"}'};
$edits{'an empty definition'} = q{definition = '{}'};
$edits{'a definition that is no object'} = q{definition = '5'};
$edits{'another client id'} = "client_id = 'app-post'";
$edits{'a redirect URI more'} = "redirect_uris = array_append(redirect_uris, '" . $evil->url . "/cb')";
$edits{'another redirect URI'} = "redirect_uris = ARRAY['" . $evil->url . "/cb']";
$edits{"another connector's secret"} = "client_secret = (SELECT client_secret FROM $ns.registered_connectors WHERE connector_id = 'two')";
$edits{'an altered secret'} = 'client_secret = set_byte(client_secret, 40, get_byte(client_secret, 40) # 1)';
$edits{'no secret'} = "client_secret = ''";
$edits{'a secret in plain text'} = "client_secret = 'my secret'";

$evil->rules({ path => '*', body => { access_token => 'evil', token_type => 'Bearer', expires_in => 3600 } });
my @bob = ('bob', 'one', 'default');
my $asked = encode($provider->ctl->{grants});
foreach my $edit (sort keys %edits)
{
	my $begun = url_parameters(authorization_url($node, 'erin', 'one'))->{state};
	query($node, 'postgres', "UPDATE $ns.registered_connectors SET $edits{$edit} WHERE connector_id = 'one'");

	my ($connecting, $why) = failure($node, 'app_service', "SELECT $ns.connect_app_user('one')", app_user => 'dora');
	is($connecting, 'UC004', "$edit: nobody is sent anywhere");
	like($why, qr/update_connector/, "$edit: and the admin is told what to do");
	my ($refreshing) = refreshed(@bob);
	is($refreshing, 'UC004', "$edit: no refresh token is sent");
	is(callback($node, 'erin', { state => $begun, code => 'the code', iss => $provider->issuer })->{failure}, 'connector_misconfigured', "$edit: no code is sent");
	like(access_token($node, 'bob', 'one'), qr/./, "$edit: a token that is still valid is served");
	my ($updating) = failure($node, 'app_admin', "SELECT $ns.update_connector('one', name => 'x')");
	is($updating, 'UC004', "$edit: it is not made good by changing something else");
	($updating) = failure($node, 'app_admin', "SELECT $ns.update_connector('one', provider => 'test', client_id => 'app', client_secret => 'rotated', "
		  . "scopes => '{read}', redirect_uris => '{https://app.example/cb}', connection_config => '{}')");
	is($updating, 'UC004', "$edit: nor by a new secret, with anything left as it is");
	is(query($node, 'app_service', "SELECT $ns.disconnect_app_user('one', 'work')", app_user => 'alice'), 't', "$edit: one can disconnect");
	restore();
}
is(encode($provider->ctl->{grants}), $asked, 'the provider saw none of it');
is_deeply([ $evil->requests ], [], 'nor did the server elsewhere');
is(query($node, 'postgres', "SELECT count(*) FROM $ns.revocations"), '0', 'nothing waits to be sent there');
is(query($node, 'postgres', "SELECT count(*) FROM $ns.connections WHERE status <> 'connected'"), '0', 'nobody has to reconnect for it');
is((refreshed(@bob))[0], '', 'as it was registered, the connector works');

# An edit that an admin mends by giving all of it anew costs nobody a connection.
query($node, 'postgres', "UPDATE $ns.registered_connectors SET $edits{'another token_endpoint'} WHERE connector_id = 'one'");
query($node, 'app_admin', "SELECT $ns.update_connector('one', " . AppuserConnectors::arguments(provider => 'test', client_id => 'app',
		client_secret => 'app secret: 100%+/&=', scopes => [qw(openid profile email read)], redirect_uris => ['http://127.0.0.1:7999/callback'],
		connection_config => {}, options => {}) . ')');
is((refreshed(@bob))[0], '', 'a connector that was mended works, for those who were connected too');

# A renamed connector is another one.
query($node, 'postgres', "UPDATE $ns.registered_connectors SET connector_id = 'three' WHERE connector_id = 'one'");
is((failure($node, 'app_service', "SELECT $ns.connect_app_user('three')", app_user => 'dora'))[0], 'UC004', 'a renamed connector connects nobody');
query($node, 'postgres', "UPDATE $ns.registered_connectors SET connector_id = 'one' WHERE connector_id = 'three'");

# The catalogue is a template only; an edit of it moves no connector, and is checked when it is used.
query($node, 'postgres', "UPDATE $ns.registered_providers SET definition = '" . encode({ %trusted, token_endpoint => 'javascript:alert(1)' }) . "'");
is((refreshed(@bob))[0], '', 'an edited provider changes no connector');
is((failure($node, 'app_admin', "SELECT $ns.update_connector('one', provider => 'test')"))[0], 'UC004', 'and is refused when a connector would take it');
is((failure($node, 'app_admin', "SELECT $ns.register_connector('test', 'c', 's', '{}', '{https://app.example/cb}', 'new')"))[0], 'UC004', 'or a new one');
is_deeply([ $evil->requests ], [], 'it was asked for nothing');

# ------------------------------------------- what no key opens is in nobody's way

# Sealed under a key that was never here: its bearer can still leave, and the worker starts.
query($node, 'postgres', "INSERT INTO $ns.pending_answers SELECT 'mallory', gen_random_uuid(), set_byte(access_token, 5, get_byte(access_token, 5) # 1), now()
	FROM $ns.connections WHERE " . where(@bob));
my $before = query($node, 'postgres', "SELECT pid FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type = 'appuser_connectors worker'");
query($node, 'postgres', "SELECT pg_terminate_backend($before, 5000)");
is((refreshed(@bob))[0], '', 'a pending answer under a foreign key does not keep the worker from its work');
query($node, 'postgres', "DELETE FROM $ns.pending_answers");
is(after("UPDATE $ns.connections SET access_token = set_byte(access_token, 5, get_byte(access_token, 5) # 1), refresh_token = NULL WHERE " . where(@bob),
	"$ns.erase_app_user('bob')"), 1, 'a connection whose token is under a foreign key can be erased');

# ---------------------------------------------------------- keys and installation

# After a restart nothing is in memory any more.
query($node, 'postgres', "CREATE TABLE public.kept_keys AS TABLE $ns.encryption_keys; CREATE TABLE public.kept_installation AS TABLE $ns.installation");
$refreshes = encode($provider->ctl->{grants});
foreach my $tampering (
	[ 'a data key is gone', "DELETE FROM $ns.encryption_keys", 'UC008', qr/data key \d+ does not exist.*HINT:  Restore/s ],
	[ 'a data key was altered', "UPDATE $ns.encryption_keys SET wrapped_key = set_byte(wrapped_key, 40, get_byte(wrapped_key, 40) # 1)", 'UC008', qr/cannot be opened.*HINT:  /s ],
	[ 'a data key is cut', "UPDATE $ns.encryption_keys SET wrapped_key = substr(wrapped_key, 1, 50)", 'UC008', qr/malformed.*HINT:  Restore/s ],
	[ 'a data key has another id', "UPDATE $ns.encryption_keys SET key_id = key_id - 1", 'UC008', qr/does not exist.*HINT:  Restore/s ],
	[ 'the installation row is gone', "DELETE FROM $ns.installation", 'UC008', qr/no installation row.*HINT:  .*restore/s ],
	[ 'the installation has another id', "UPDATE $ns.installation SET installation_id = gen_random_uuid()", 'UC008', qr/for another installation.*HINT:  /s ],
	[ 'the installation is of another cluster', "UPDATE $ns.installation SET system_identifier = 1", 'UC009', qr/adopt_installation/ ],
	[ 'the installation is of another database', "UPDATE $ns.installation SET database_oid = 1", 'UC009', qr/adopt_installation/ ],
	[ 'the installation is of another timeline', "UPDATE $ns.installation SET timeline = 77", 'UC009', qr/adopt_installation/ ])
{
	my ($what, $statement, $expected, $pattern) = @$tampering;

	query($node, 'postgres', $statement);
	# the worker has opened its key, and keeps it: a new one has nothing
	my $worker = $expected eq 'UC009' ? 0 : query($node, 'postgres', "SELECT pid FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type LIKE 'appuser_connectors%'");
	query($node, 'postgres', "SELECT pg_terminate_backend($worker)") if $worker;
	wait_until('another worker is there', sub {
			query($node, 'postgres', "SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type LIKE 'appuser_connectors%' AND pid <> $worker") eq '1'
		}) if $worker;

	my @reading = failure($node, 'app_service', 'SELECT ' . token_of(@bob));
	my @refreshing = refreshed(@bob);
	like($refreshing[0], $what =~ /^the installation (?:row is gone|has another id)$/ ? qr/^UC00[89]$/ : qr/^$expected$/, "$what: no refresh");
	if ($expected eq 'UC008')
	{
		is($reading[0], 'UC008', "$what: no token");
		like($reading[1], $pattern, "$what: with a hint");
		is((failure($node, 'app_service', "SELECT $ns.connect_app_user('one')", app_user => 'bob'))[0], 'UC008', "$what: no new flow");
	}
	else
	{
		is_deeply(\@reading, [], "$what: a valid token is served");
		like($refreshing[1], $pattern, "$what: with a hint");
	}
	query($node, 'postgres', "BEGIN; DELETE FROM $ns.encryption_keys; INSERT INTO $ns.encryption_keys TABLE public.kept_keys;
		DELETE FROM $ns.installation; INSERT INTO $ns.installation TABLE public.kept_installation; COMMIT");
}
is(encode($provider->ctl->{grants}), $refreshes, 'the provider was asked for nothing');
is(query($node, 'postgres', "SELECT count(*) FROM $ns.connections WHERE status <> 'connected'"), '0', 'nobody has to reconnect');
is((refreshed(@bob))[0], '', 'put back, everything works');

$node->stop;
done_testing();
