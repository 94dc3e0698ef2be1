# What a hand that may write every table, or edit a dump, can make of rows that decide who
# people are and where secrets go: nothing.  Row security keeps pg_write_all_data and
# pg_read_all_data out, and whatever a superuser's statement or an edited dump has changed
# is noticed before it is used.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use MIME::Base64 qw(encode_base64url);
use PsqlSession;
use Test::More;

my $ns = 'appuser_connectors';
my $provider = start_provider();
my $node = new_node('main');
allow_inserts($node);

register($node, $provider, connector_id => 'one');
is(connect_user($node, 'alice', 'one')->{failure}, undef, 'alice is connected');
authorization_url($node, 'alice', 'one');

# Two key sets that differ by the name of their key
my (undef, $published) = http($provider->definition->{jwks_uri});
my $keys = decode($published);
my $key = $keys->{keys}[0];
my $algorithm = { RSA => 'RS256', EC => 'ES256', OKP => 'EdDSA' }->{ $key->{kty} };
my %set = map { $_ => encode({ keys => [ { %$key, kid => $_ } ] }) } qw(first second);
my $issuer = 'https://issuer.example';

sub jwt
{
	my ($kid, $iss) = @_;
	return join '.', map { encode_base64url($_) } encode({ alg => $algorithm, kid => $kid }),
	  encode({ iss => $iss // $issuer, sub => 'alice', aud => 'app' }), 'x' x ($algorithm eq 'RS256' ? 256 : 64);
}

sub put_issuer
{
	my ($kid, %arguments) = @_;
	return "SELECT $ns.register_issuer(" . AppuserConnectors::arguments(issuer => $issuer, jwks => decode($set{$kid}), audiences => ['app'], app_user_template => 'own:{sub}', %arguments) . ')';
}

# No JWT here is signed: what is told of it says how far it came.
sub authenticated
{
	my ($kid, $iss) = @_;
	my ($state, $message) = failure($node, 'app_service', "SELECT $ns.authenticate_app_user('" . jwt($kid, $iss) . "')");
	return ($state, $message);
}

query($node, 'app_admin', put_issuer('first'));
query($node, 'app_admin', "SELECT $ns.register_issuer('https://fetched.example', jwks_uri => 'https://fetched.example/jwks', audiences => '{app}', app_user_template => 'fetched:{sub}')");
my ($state, $known) = authenticated('first');
is($state, '28000', 'an unsigned JWT is refused');
my (undef, $unknown) = authenticated('second');
isnt($known =~ s/LOCATION.*//sr, $unknown =~ s/LOCATION.*//sr, 'in other words when its key is not there');
query($node, 'postgres', "INSERT INTO $ns.revocations SELECT 'alice', gen_random_uuid(), 'one', 'x', NULL, NULL, gen_random_uuid(), '', 0, now(), now() + interval '1 day';
	INSERT INTO $ns.pending_answers SELECT 'alice', gen_random_uuid(), '', now()");

# ----------------------------------------------------- roles over every table

query($node, 'postgres', 'CREATE ROLE app_writer LOGIN IN ROLE pg_write_all_data; CREATE ROLE app_reader LOGIN IN ROLE pg_read_all_data;
	CREATE ROLE app_both LOGIN IN ROLE pg_read_all_data, pg_write_all_data');
my @tables = rows($node, 'postgres', qq{SELECT c.relname AS name, array_agg(a.attname ORDER BY a.attnum) AS columns, c.relrowsecurity AS secured, c.relforcerowsecurity AS forced
	FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	WHERE c.relnamespace = '$ns'::regnamespace AND c.relkind = 'r' GROUP BY c.oid ORDER BY 1});
cmp_ok(scalar(@tables), '>=', 10, 'all tables');
foreach my $table (@tables)
{
	my $name = "$ns.$table->{name}";
	my $first = $table->{columns}[0];
	my $contents = "SELECT md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM $name AS t";
	my $before = query($node, 'postgres', $contents);

	ok($table->{secured} && $table->{forced}, "$name has forced row security");
	isnt($before, '', '... and something in it');
	foreach my $role (qw(app_writer app_both))
	{
		query($node, $role, join(';', "DELETE FROM $name", map { "UPDATE $name SET $_ = NULL" } @{ $table->{columns} }));
		is((failure($node, $role, "INSERT INTO $name ($first) VALUES (NULL)"))[0], '42501', "$role inserts nothing into $name");
		is((failure($node, $role, "COPY $name ($first) FROM STDIN;\n\\N\n\\."))[0], '0A000', '... nor by COPY');
		is((failure($node, $role, "$_"))[0], '42501', "... nor may do $_")
		  foreach "TRUNCATE $name", "ALTER TABLE $name DISABLE ROW LEVEL SECURITY", "CREATE POLICY p ON $name USING (true)";
	}
	is(query($node, 'postgres', $contents), $before, '... and all is as it was');
	is(query($node, $_, "SELECT count(*) FROM $name"), '0', "$_ sees nothing of it") foreach qw(app_reader app_both);
}
is(query($node, 'app_reader', "SELECT count(*) FROM pg_stats WHERE schemaname = '$ns'"), '0', 'nor the statistics');
like(query($node, 'app_admin', "SELECT count(*) FROM $ns.connectors AS c, $ns.issuers AS i, $ns.providers AS p, $ns.connection_status AS s" =~ s/count\(\*\)/count(c.connector_id)/r), qr/^[1-9]/,
	'the admin sees what it saw');
is((authenticated('first'))[0], '28000', 'and all works');

# ------------------------------------------------------------------- issuers

query($node, 'postgres', "CREATE TABLE public.kept AS TABLE $ns.issuers");
sub restore { return query($node, 'postgres', "BEGIN; DELETE FROM $ns.issuers; INSERT INTO $ns.issuers TABLE public.kept; COMMIT"); }
my $cached = PsqlSession->new($node, 'app_service');
is(($cached->send("SELECT $ns.authenticate_app_user('" . jwt('first') . "')")->failure)[0], '28000', 'a session knows the issuer');
my %edits = (audiences => 'NULL', algorithms => "'{ES256,EdDSA,RS256}'", app_user_template => "'{email}'", clock_skew => "'10 min'", jwks => AppuserConnectors::quote($set{second}),
	jwks_uri => "'https://evil.example/jwks', jwks = NULL", hmac_key => "'file:x', jwks = NULL", fetched_jwks => AppuserConnectors::quote($set{second}), seal => "''",
	token_types => "'{dpop+jwt}'", issuer => "'https://other.example'");
my %free = map { $_ => 1 } qw(fetched_at created_at updated_at);
is_deeply([ sort(keys %edits, keys %free) ], [ sort map { @{ $_->{columns} } } grep { $_->{name} eq 'issuers' } @tables ], 'every column of an issuer is known here');
foreach my $column (sort keys %edits)
{
	my $name = $column eq 'issuer' ? 'https://other.example' : $issuer;
	query($node, 'postgres', "UPDATE $ns.issuers SET $column = $edits{$column} WHERE issuer = '$issuer'");
	my ($told, $message) = authenticated('second', $name);
	is($told, 'XX001', "an issuer whose $column was edited authenticates nobody");
	like($message, qr/register_issuer.*HINT/s, '... and it is told what to do');
	is(($cached->send("SELECT $ns.authenticate_app_user('" . jwt('first', $name) . "')")->failure)[0], 'XX001', '... nor in a session that knew it');
	query($node, 'app_admin', put_issuer('first')) if $column ne 'issuer';
	is((authenticated('first'))[0], '28000', 'registered again, it works') if $column ne 'issuer';
	restore();
}
query($node, 'postgres', "UPDATE $ns.issuers SET fetched_at = now() + interval '1 year', created_at = now(), updated_at = now() WHERE issuer = '$issuer'");
is((authenticated('first'))[0], '28000', 'when keys were fetched is not bound: it only says when to fetch again');
query($node, 'postgres', "UPDATE $ns.issuers AS i SET (jwks, seal) = (SELECT k.jwks, k.seal FROM $ns.issuers AS k WHERE k.issuer = '$issuer'), jwks_uri = NULL WHERE issuer = 'https://fetched.example'");
is((authenticated('first', 'https://fetched.example'))[0], 'XX001', "nor do another issuer's keys serve, with their seal");
restore();

# The keys that a session knows do not outlive their replacement, wherever its row is moved to.
my $admin = PsqlSession->new($node);
$admin->ask($_)
  foreach "BEGIN", "SELECT $ns.delete_issuer('$issuer')", put_issuer('first');
my $attempt = sub {
	my ($kid) = @_;
	$admin->ask('SAVEPOINT s') if $_[1];
	my (undef, $told) = $admin->send("SELECT $ns.authenticate_app_user('" . jwt($kid) . "')")->failure;
	$admin->ask('ROLLBACK TO s') if $_[1];
	return $told;
};
my $by_first = $attempt->('first', 1);
my $by_second = $attempt->('second', 1);
$admin->ask($_) foreach put_issuer('second'), 'COMMIT';
query($node, 'postgres', "VACUUM FULL $ns.issuers");
my $detail = sub { return $_[0] =~ /DETAIL:\s+(.*)/ ? $1 : $_[0]; };
is($detail->($attempt->('first')), $detail->($by_second), 'the key that was replaced is not there any more, also after VACUUM FULL');
is($detail->($attempt->('second')), $detail->($by_first), 'and the new one is');
$admin->close;
$cached->close;

# ------------------------------------------------------------------ providers

my $definition = encode($provider->definition);
query($node, 'postgres', "UPDATE $ns.registered_providers SET definition = definition || '{\"token_endpoint\": \"https://evil.example/token\"}'");
foreach my $use ("$ns.register_connector('test', 'c', 's', '{}', '{https://app.example/cb}', 'new')", "$ns.update_connector('one', provider => 'test', client_secret => 'x')")
{
	my ($told, $message) = failure($node, 'app_admin', "SELECT $use");
	is($told, 'UC004', 'an edited provider is taken by no connector');
	like($message, qr/register_provider/, '... and it is told what to do');
}
query($node, 'app_admin', "SELECT $ns.register_provider('test', " . AppuserConnectors::quote($definition) . ')');
query($node, 'postgres', "UPDATE $ns.registered_providers SET seal = set_byte(seal, 40, get_byte(seal, 40) # 1)");
query($node, 'app_admin', "SELECT $ns.register_provider('test', " . AppuserConnectors::quote($definition) . ')');
is((failure($node, 'app_admin', "SELECT $ns.update_connector('one', provider => 'test')"))[0], undef, 'registered again as it is, it is good again');
query($node, 'postgres', "INSERT INTO $ns.registered_providers SELECT 'other', definition, updated_at, seal FROM $ns.registered_providers WHERE provider = 'test'");
is((failure($node, 'app_admin', "SELECT $ns.register_connector('other', 'c', 's', '{}', '{https://app.example/cb}')"))[0], 'UC004', 'nor is a copy of one under another name');
query($node, 'postgres', "DELETE FROM $ns.registered_providers WHERE provider = 'other'");

# --------------------------------------------------------------- connections

# A grant that has ended does not come back by its status.
$node->safe_psql('postgres', "CREATE TABLE public.connected AS TABLE $ns.connections");
my $refreshes = encode($provider->ctl->{grants});
is(connect_user($node, 'bob', 'one')->{failure}, undef, 'bob is connected');
my $bobs = access_token($node, 'bob', 'one');
query($node, 'app_admin', "SELECT $ns.register_provider('moved', " . AppuserConnectors::quote(encode({ %{ $provider->definition }, token_endpoint => 'https://elsewhere.example/token' })) . ')');
query($node, 'app_admin', "SELECT $ns.update_connector('one', provider => 'moved', client_secret => 'x')");
query($node, 'app_admin', "SELECT $ns.update_connector('one', provider => 'test', client_secret => 'app secret: 100%+/&=')");
is((failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('bob', 'one')"))[0], 'UC002', 'the endpoints were moved, and bob must connect again');
query($node, 'postgres', "UPDATE $ns.connections SET status = 'connected', status_reason = NULL, refresh_at = NULL");
is((failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('bob', 'one')"))[0], 'XX001', 'a status that was edited back serves no token');
my ($renewing, $told) = failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('bob', 'one', min_validity => '100 years')");
is($renewing, 'UC003', 'nor does it renew one');
like($told, qr/cannot be opened/, '... since the refresh token does not open');
query($node, 'postgres', "UPDATE $ns.connections SET expires_at = now() - interval '1 s' WHERE app_user = 'bob'");
is((failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('bob', 'one')"))[0], 'UC003', 'also when it has expired');
is(encode([ $provider->ctl->{grants}{refresh_token} ]), encode([ decode($refreshes)->{refresh_token} ]), 'and the provider is asked for nothing');
query($node, 'postgres', "UPDATE $ns.connections SET status = 'reconnect_required' WHERE app_user = 'bob'");
is((failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('bob', 'one')"))[0], 'UC002', 'as it was, he must connect again');
is(query($node, 'app_service', "SELECT $ns.disconnect_app_user('one')", app_user => 'bob'), 't', 'and can disconnect');
is(query($node, 'app_admin', "SELECT detail FROM $ns.connection_events WHERE app_user = 'bob' AND event = 'disconnected'"), '', 'with his token revoked') or note explain rows($node, 'postgres', "TABLE $ns.connection_events");
query($node, 'postgres', "BEGIN; DELETE FROM $ns.connections; INSERT INTO $ns.connections TABLE public.connected; COMMIT");

# An expiry may be set sooner, never later, and not taken away.
my $read = "SELECT access_token FROM $ns.app_user_connection('alice', 'one')";
foreach my $edit ("expires_at + interval '1 microsecond'", "expires_at + interval '1 year'", 'NULL', "'infinity'")
{
	query($node, 'postgres', "UPDATE $ns.connections SET expires_at = $edit");
	is((failure($node, 'app_service', $read))[0], 'XX001', "a token that would be valid until $edit is not served");
	query($node, 'postgres', "BEGIN; DELETE FROM $ns.connections; INSERT INTO $ns.connections TABLE public.connected; COMMIT");
}
my $old = query($node, 'app_service', $read);
query($node, 'postgres', "UPDATE $ns.connections SET expires_at = now() - interval '1 second'");
isnt(query($node, 'app_service', $read), $old, 'one that is said to have expired is renewed');

# --------------------------------------------------- flows and revocations

my $parameters = log_in(authorization_url($node, 'carol', 'one'), 'carol');
query($node, 'postgres', "CREATE TABLE public.flow AS SELECT * FROM $ns.authorizations WHERE app_user = 'carol'");
query($node, 'postgres', "UPDATE $ns.authorizations SET expires_at = expires_at + interval '1 year' WHERE app_user = 'carol'");
my $finish = "SELECT * FROM $ns.oauth_callback(" . AppuserConnectors::arguments(state => $parameters->{state}, code => $parameters->{code}, iss => $parameters->{iss}) . ')';
is((failure($node, 'app_service', $finish, app_user => 'carol'))[0], 'UC005', 'a flow whose expiry was put off is not finished');
$parameters = log_in(authorization_url($node, 'carol', 'one'), 'carol');
my $exchanges = $provider->ctl->{grants}{authorization_code};
is(callback($node, 'carol', $parameters)->{failure}, undef, 'one as it was is');

$parameters = log_in(authorization_url($node, 'dora', 'one'), 'dora');
query($node, 'postgres', "CREATE FUNCTION public.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
is(callback($node, 'dora', $parameters)->{failure}, undef, 'dora connects');
query($node, 'postgres', "UPDATE $ns.authorizations SET consumed = false, sealed_outcome = NULL WHERE app_user = 'dora'");
$exchanges = encode($provider->ctl->{grants});
($state, $told) = failure($node, 'app_service', "SELECT * FROM $ns.oauth_callback(" . AppuserConnectors::arguments(state => $parameters->{state}, code => $parameters->{code}, iss => $parameters->{iss}) . ')', app_user => 'dora');
is($state, 'UC005', 'a flow that was used is not used again by editing its mark');
is(encode($provider->ctl->{grants}), $exchanges, 'and no code is sent');

query($node, 'postgres', "DELETE FROM $ns.revocations; CREATE TRIGGER keep BEFORE DELETE ON $ns.connection_events FOR EACH ROW EXECUTE FUNCTION public.keep()");
foreach my $edit ([ connector_id => "'two'" ], [ account => "'x'" ], [ grant_id => 'gen_random_uuid()' ], [ app_user => "'mallory'" ], [ revocation_id => 'gen_random_uuid()' ])
{
	my ($column, $value) = @$edit;
	my $failed = "SELECT count(*) FROM $ns.connection_events WHERE event = 'revocation_failed' AND detail LIKE '%cannot be opened%'";
	my $before = query($node, 'postgres', $failed);

	is(connect_user($node, 'erin', 'one')->{failure}, undef, 'erin is connected');
	query($node, 'postgres', "BEGIN; SELECT $ns.set_app_user('erin'); SELECT $ns.disconnect_app_user('one');
		UPDATE $ns.revocations SET $column = $value; COMMIT; SELECT pg_reload_conf()");
	wait_until("a revocation with another $column is not sent", sub { query($node, 'postgres', $failed) > $before });
}

# ------------------------------------------------------- keys and installation

query($node, 'postgres', "UPDATE $ns.encryption_keys SET state = 'retired'");
is((failure($node, 'app_service', "SELECT $ns.connect_app_user('one')", app_user => 'alice'))[0], 'UC008', 'a data key that was retired by SQL seals nothing');
is((failure($node, 'app_service', $read))[0], 'UC008', 'nor does it open in a new session');
query($node, 'postgres', "UPDATE $ns.encryption_keys SET state = 'active'");
is((failure($node, 'app_service', $read))[0], undef, 'as it was, it does');

# A copy that says that it is the original's place
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE postgres');
is(query($node, 'app_admin', "SELECT $ns.installation_status()", database => 'copy'), 'copy', 'a copy is one');
query($node, 'postgres', "UPDATE $ns.installation SET database_oid = (SELECT oid FROM pg_database WHERE datname = current_database())", database => 'copy');
is(query($node, 'app_admin', "SELECT $ns.installation_status()", database => 'copy'), 'copy', 'also when its row says otherwise');
query($node, 'postgres', "UPDATE $ns.connections SET expires_at = now() - interval '1 second'", database => 'copy');
is((failure($node, 'app_service', $read, database => 'copy'))[0], 'UC009', 'so that it sends nothing');
query($node, 'postgres', "UPDATE $ns.installation SET seal = ''", database => 'copy');
is(query($node, 'app_admin', "SELECT $ns.installation_status()", database => 'copy'), 'copy', 'nor without a seal');
is(query($node, 'app_admin', "SELECT $ns.register_issuer('https://new.example', jwks_uri => 'https://new.example/jwks', app_user_template => 'new:{sub}')", database => 'copy'), 'https://new.example', 'something is registered there');
is(query($node, 'app_admin', "SELECT $ns.installation_status()", database => 'copy'), 'copy', 'which does not make it good');
is(query($node, 'app_admin', "SELECT $ns.adopt_installation()", database => 'copy'), 't', 'an admin can adopt it');
is(query($node, 'app_admin', "SELECT $ns.installation_status()", database => 'copy'), 'ours', 'and then it is its own');
query($node, 'postgres', "UPDATE $ns.installation SET adopted_at = adopted_at + interval '1 s'");
is(query($node, 'app_admin', "SELECT $ns.installation_status()"), 'copy', 'an original whose row was altered holds its calls');
is(query($node, 'app_admin', "SELECT $ns.adopt_installation()"), 't', 'until an admin adopts it');

# ----------------------------------------------------------- dump and restore

my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'dumped');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('restored') ], 'and restored');
is(query($node, 'app_service', $read, database => 'restored'), query($node, 'app_service', $read), 'the token opens there');
is((failure($node, 'app_service', "SELECT $ns.authenticate_app_user('" . jwt('second') . "')", database => 'restored'))[0], '28000', 'the issuer is whole');
is((failure($node, 'app_admin', "SELECT $ns.register_connector('test', 'c', 's', '{}', '{https://app.example/cb}', 'new')", database => 'restored'))[0], undef, 'and so is the provider');
is(query($node, 'app_admin', "SELECT $ns.adopt_installation()", database => 'restored'), 't', 'it can be adopted');

$node->stop;
done_testing();
