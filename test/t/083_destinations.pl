# What is promised of destinations: a value that is sealed, or read from a file, goes only
# where the one who gave it said.  An admin, who must never see a client secret or another
# person's token, cannot have one sent to a place of their choosing: neither through the
# catalogue, nor through a URL of the same host, nor by a reference to somebody else's file.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PostgreSQL::Test::Utils;
use Test::More;

my $ns = 'appuser_connectors';
my $secret = 'the secret that no admin sees';
my $provider = start_fault_server(certificate => undef);
my $evil = start_fault_server(certificate => undef);
my $secrets = PostgreSQL::Test::Utils::tempdir('secrets-directory');
my $node = new_node('destinations', "appuser_connectors.secrets_directory = '$secrets'");

sub definition
{
	my (%members) = @_;

	return { %{ $provider->definition }, issuer => undef, jwks_uri => undef, revocation_endpoint => $provider->url . '/revoke', %members };
}

sub register_at
{
	my ($connector, %arguments) = @_;

	return register($node, $provider, connector_id => $connector, provider => $connector, client_id => 'client',
		client_secret => $secret, scopes => ['read'], definition => definition(%{ delete $arguments{definition} // {} }), %arguments);
}

sub admin
{
	my ($function, %arguments) = @_;

	return query($node, delete $arguments{role} // 'app_admin', "SELECT $ns.$function(" . AppuserConnectors::arguments(%arguments) . ')');
}

sub refused
{
	my ($name, $sqlstate, $function, %arguments) = @_;
	my ($state, $message) = failure($node, delete $arguments{role} // 'app_admin', "SELECT $ns.$function(" . AppuserConnectors::arguments(%arguments) . ')');

	is($state, $sqlstate, $name) or diag($message);
	unlike($message // '', qr/\Q$secret\E/, '... and the secret is not told');
	return $message // '';
}

sub connect_at
{
	my ($connector, $app_user) = @_;
	my $state = url_parameters(authorization_url($node, $app_user, $connector))->{state};

	is(callback($node, $app_user, { state => $state, code => 'a code' })->{failure}, undef, "$app_user is connected at $connector");
	return;
}

sub status
{
	my ($connector, $app_user) = @_;

	return row($node, 'app_admin', "SELECT status, status_reason FROM $ns.connection_status WHERE connector_id = '$connector' AND app_user = '$app_user'");
}

sub refresh
{
	my ($connector, $app_user) = @_;
	my ($state) = failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('$app_user', '$connector', min_validity => '1 day')");

	return $state // '';
}

# Everything that came to a server, where a secret could be
sub received
{
	my ($server) = @_;

	return encode([ $server->requests ]);
}

my $serial = 0;
$_->rules({ path => '/revoke', body => {} },
	{ path => '*', body => { access_token => 'an-access-token', refresh_token => 'a-refresh-token', token_type => 'Bearer', expires_in => 7200 } })
  foreach $provider, $evil;

# ---------------------------------------------------------------- another definition

register_at('crm');
connect_at('crm', 'alice');
my $nothing = received($evil);
my %moves = (
	'another server' => { token_endpoint => $evil->url . '/token', revocation_endpoint => $evil->url . '/revoke' },
	'the token endpoint alone' => { token_endpoint => $evil->url . '/token' },
	'the revocation endpoint alone' => { revocation_endpoint => $evil->url . '/revoke' },
	'another path of the same host' => { token_endpoint => $provider->url . '/evil' },
	'another query of the same endpoint' => { token_endpoint => $provider->definition->{token_endpoint} . '?token=mine' },
	'an endpoint for refreshes' => { refresh_endpoint => $evil->url . '/token' },
	'another path for revocations' => { revocation_endpoint => $provider->url . '/evil' },
	'no revocation endpoint' => { revocation_endpoint => undef },
	'a secret in the body' => { token_endpoint_auth_method => 'client_secret_post' },
	'no secret' => { token_endpoint_auth_method => 'none' },
	'a JSON body' => { token_body_format => 'json' },
	'an endpoint for long tokens' => { long_token_endpoint => $evil->url . '/token' },
	'refreshes by GET' => { refresh_method => 'GET' },
	'access tokens for refresh tokens' => { refresh_style => 'access_token' },
	'another member for the access token' => { access_token_path => 'refresh_token' },
	'another member for the refresh token' => { refresh_token_path => 'access_token' },
	'parameters in the URL' => { token_body_format => 'query' },
	'a GET' => { token_method => 'GET' },
	'credentials as they are' => { basic_encoding => 'raw' },
	'another header' => { token_headers => { 'X-Forward-To' => $evil->url } },
	'another name for the secret' => { token_param_names => { client_secret => 'log_this' } },
	'another name for the secret in refreshes' => { refresh_param_names => { client_secret => 'log_this' } },
	'parameters of the code request' => { token_params => { forward_to => $evil->url } },
	'parameters of refreshes' => { refresh_params => { forward_to => $evil->url } },
	'who asks for a revocation' => { revocation => { auth => 'client_secret_post' } },
	'which tokens are revoked' => { revocation => { tokens => 'access_token' } },
);
foreach my $move (sort keys %moves)
{
	# a provider of the admin's own, and a new definition of the one that the connector has
	foreach my $name ('evil', 'crm')
	{
		admin('register_provider', provider => $name, definition => definition(%{ $moves{$move} }));
		my $message = refused("$move, by the provider \"$name\", without the secret", '42501', 'update_connector', connector_id => 'crm', provider => $name);
		like($message, qr/ERROR:  42501: client_secret must be given anew$/m, 'the error says what is missing');
		like($message, qr/^HINT:  Give client_secret in the same call/m, 'the hint says what to do');
	}
	refused('the identical registration is no way round', '42710', 'register_connector', provider => 'evil', client_id => 'client', client_secret => $secret,
		scopes => ['read'], redirect_uris => ['http://127.0.0.1:7999/callback'], connector_id => 'crm');
}
refused('another resource, by the options, without the secret', '42501', 'update_connector', connector_id => 'crm', options => { resource => $evil->url . '/api' });
admin('register_connector', provider => 'crm', client_id => 'client', client_secret => $secret, scopes => ['read'], redirect_uris => ['http://127.0.0.1:7999/callback'], connector_id => 'crm');
is(refresh('crm', 'alice'), '', 'the connector works on');
is(row($node, 'app_admin', "SELECT definition FROM $ns.connectors WHERE connector_id = 'crm'")->{definition}{token_endpoint}, $provider->definition->{token_endpoint},
	'where it did, after an identical registration too');
is_deeply(status('crm', 'alice'), { status => 'connected', status_reason => undef }, 'and nobody has to connect again');

# Who knows the secret may; what people have granted before does not follow.
admin('register_provider', provider => 'evil', definition => definition(%{ $moves{'another path of the same host'} }));
admin('update_connector', connector_id => 'crm', provider => 'evil', client_secret => 'a secret of the admin');
is_deeply(status('crm', 'alice'), { status => 'reconnect_required', status_reason => 'endpoints_changed' }, 'with a secret given it moves, and people must connect again');
query($node, 'postgres', "UPDATE $ns.connections SET status = 'connected', refresh_at = now() WHERE connector_id = 'crm'");
is(refresh('crm', 'alice'), 'UC002', 'whatever the row says');
query($node, 'app_service', "SELECT $ns.disconnect_app_user('crm')", app_user => 'alice');
is(query($node, 'postgres', "SELECT count(*) FROM $ns.revocations"), 0, 'a disconnect sends their tokens nowhere');
is(scalar(grep { $_->{path} eq '/evil' } $provider->requests), 0, 'no request went to the new path');
is(received($evil), $nothing, 'nothing ever came to the other server');

# What waits to be revoked is sealed with its own destination.
register_at('outbox');
connect_at('outbox', 'alice');
$provider->rules({ path => '/revoke', status => 503, body => {} }, { path => '*', body => { access_token => 'an-access-token', refresh_token => 'a-refresh-token', token_type => 'Bearer', expires_in => 7200 } });
query($node, 'app_service', "SELECT $ns.disconnect_app_user('outbox')", app_user => 'alice');
wait_until('the first attempt failed', sub { query($node, 'postgres', "SELECT count(*) FROM $ns.revocations WHERE attempts > 0") == 1 });
admin('register_provider', provider => 'outbox', definition => definition(%{ $moves{'another server'} }));
admin('update_connector', connector_id => 'outbox', provider => 'outbox', client_secret => 'a secret of the admin');
$provider->rules({ path => '*', body => {} });
query($node, 'postgres', "UPDATE $ns.revocations SET attempt_at = now()");
wait_until('it is revoked', sub { query($node, 'postgres', "UPDATE $ns.revocations SET attempt_at = now(); SELECT count(*) FROM $ns.revocations") == 0 });
is(received($evil), $nothing, 'a revocation that waited while the connector moved goes to where it was granted');
$provider->rules({ path => '/revoke', body => {} },
	{ path => '*', body => { access_token => 'an-access-token', refresh_token => 'a-refresh-token', token_type => 'Bearer', expires_in => 7200 } });

# A public client has no secret, but people's refresh tokens.
register_at('public', client_secret => undef, definition => { token_endpoint_auth_method => 'none' });
connect_at('public', 'alice');
admin('register_provider', provider => 'public', definition => definition(token_endpoint_auth_method => 'none', token_endpoint => $evil->url . '/token'));
admin('update_connector', connector_id => 'public', provider => 'public');
is_deeply(status('public', 'alice'), { status => 'reconnect_required', status_reason => 'endpoints_changed' }, 'a public client moves without a secret, and people must connect again');
is(refresh('public', 'alice'), 'UC002', 'their refresh tokens stay');
is(received($evil), $nothing, 'and do not come to the other server');
refused('a public client does not become another one without a secret', '22023', 'update_connector', connector_id => 'public', provider => 'evil');

# ------------------------------------------------------------- providers that do move

my $moved = { token_endpoint => $provider->url . '/v2/token', revocation_endpoint => $provider->url . '/v2/revoke' };

sub built_in
{
	my ($name, %members) = @_;

	query($node, 'postgres', "DELETE FROM $ns.registered_providers WHERE provider = '$name'");
	return query($node, 'postgres', "INSERT INTO $ns.provider_catalogue (provider, name, categories, definition) VALUES ('$name', '$name', '{}', " . AppuserConnectors::quote(definition(%members)) . ")
		ON CONFLICT (provider) DO UPDATE SET definition = excluded.definition");
}

# From a built-in definition to a newer one of the same provider
sub register_built_in
{
	my ($connector) = @_;

	return admin('register_connector', provider => 'google', client_id => 'client', client_secret => $secret, scopes => ['read'], redirect_uris => ['http://127.0.0.1:7999/callback'], connector_id => $connector);
}
built_in('google');
register_built_in('mail');
connect_at('mail', $_) foreach qw(alice bob);
built_in('google', %$moved, token_endpoint_auth_method => 'client_secret_post');
refused('what else the connector sends is not the catalogue\'s to say', '42501', 'update_connector', connector_id => 'mail', provider => 'google', options => { resource => $evil->url . '/api' });
admin('update_connector', connector_id => 'mail', provider => 'google');
is_deeply(status('mail', 'alice'), { status => 'connected', status_reason => undef }, "the extension's own catalogue has moved a provider: nobody notices");
is(refresh('mail', 'alice'), '', 'the token is refreshed');
my ($request) = ($provider->requests)[-1];
is($request->{path}, '/v2/token', 'at the new endpoint');
like($request->{body}, qr/client_secret=the/, 'in the new way');
is(refresh('mail', 'alice'), '', 'and again, from what was stored then');
query($node, 'app_service', "SELECT $ns.disconnect_app_user('mail')", app_user => 'bob');
wait_until('it is revoked', sub { query($node, 'postgres', "SELECT count(*) FROM $ns.revocations") == 0 });
is(scalar(grep { $_->{path} eq '/v2/revoke' } $provider->requests), 2, 'who was not refreshed since is revoked there as well');
admin('register_provider', provider => 'google', definition => definition(%{ $moves{'another server'} }));
refused("an admin's definition in the place of the built-in one is the admin's", '42501', 'update_connector', connector_id => 'mail', provider => 'google');
built_in('other', %{ $moves{'another server'} });
refused('nor is a built-in definition of another provider the same', '42501', 'update_connector', connector_id => 'mail', provider => 'other');
register_at('own');
built_in('own', %$moved);
refused('nor one that comes in the place of an own', '42501', 'update_connector', connector_id => 'own', provider => 'own');
query($node, 'postgres', "UPDATE $ns.registered_connectors SET built_in = true WHERE connector_id = 'own'");
refused('whether a connector has a built-in definition is sealed with its secret', 'UC004', 'update_connector', connector_id => 'own', provider => 'own');

# By a superuser, who names the URLs
my $word = 'allow_endpoint_change';
register_at('sure');
connect_at('sure', 'alice');
admin('register_provider', provider => 'sure', definition => definition(%$moved));
refused("the admin's own word is none", '42501', $word, connector_id => 'sure', %$moved);
query($node, 'postgres', "GRANT EXECUTE ON FUNCTION $ns.allow_endpoint_change(text, text, text, text, text) TO app_admin");
like(refused('nor if somebody has let them call it', '42501', $word, connector_id => 'sure', %$moved), qr/superuser/, 'as the error says');
refused('a URL that is none', '22023', $word, role => 'postgres', connector_id => 'sure', token_endpoint => 'http://evil.example/');
refused('a connector that there is not', 'UC006', $word, role => 'postgres', connector_id => 'nobody', %$moved);
foreach my $other ({ token_endpoint => $moved->{token_endpoint} }, { %$moved, token_endpoint => "$moved->{token_endpoint}?a" }, { %$moved, revocation_endpoint => $evil->url . '/revoke' })
{
	admin($word, role => 'postgres', connector_id => 'sure', %$other);
	refused('other URLs than those that the superuser named', '42501', 'update_connector', connector_id => 'sure', provider => 'sure');
}
admin($word, role => 'postgres', connector_id => 'sure', %$moved);
admin($word, role => 'postgres', connector_id => 'sure', token_endpoint => undef);
refused('what the superuser has taken back', '42501', 'update_connector', connector_id => 'sure', provider => 'sure');
admin($word, role => 'postgres', connector_id => 'sure', %$moved);
admin('register_provider', provider => 'sure', definition => definition(%$moved, token_endpoint_auth_method => 'client_secret_post'));
refused('another way to send the secret was not named', '42501', 'update_connector', connector_id => 'sure', provider => 'sure');
admin('register_provider', provider => 'sure', definition => definition(%$moved));
admin('update_connector', connector_id => 'sure', provider => 'sure');
is_deeply(status('sure', 'alice'), { status => 'connected', status_reason => undef }, 'where a superuser said that the provider has moved, it does, and nobody notices');
is(refresh('sure', 'alice'), '', 'the token is refreshed');
is(($provider->requests)[-1]{path}, '/v2/token', 'there');
admin('register_provider', provider => 'sure', definition => definition());
refused('not back without a word, for it holds once', '42501', 'update_connector', connector_id => 'sure', provider => 'sure');
admin($word, role => 'postgres', connector_id => 'sure', token_endpoint => $evil->url . '/token', revocation_endpoint => $evil->url . '/revoke');
admin('update_connector', connector_id => 'sure', name => 'Another name');
admin('register_provider', provider => 'sure', definition => definition(%{ $moves{'another server'} }));
refused('nor after another update', '42501', 'update_connector', connector_id => 'sure', provider => 'sure');
query($node, 'postgres', "UPDATE $ns.registered_connectors SET allowed_endpoints = '" . $evil->url . "/token " . $evil->url . "/revoke' WHERE connector_id = 'sure'");
refused('a word that SQL has put there is an edit of the connector', 'UC004', 'update_connector', connector_id => 'sure', provider => 'sure');
is(refresh('sure', 'alice'), 'UC004', 'which stops it');
is(query($node, 'app_admin', "SELECT count(*) FROM $ns.connection_events WHERE event = 'endpoint_change_allowed' AND connector_id = 'sure'"), 7, 'each word is an event');
like(query($node, 'app_admin', "SELECT detail FROM $ns.connection_events WHERE event = 'connector_updated' AND connector_id = 'sure' ORDER BY occurred_at LIMIT 1"), qr{/v2/token}, 'and so is the move');

# ------------------------------------------------------------------- secrets in files

my $origin = 'origin: ' . $provider->url;

sub put_file
{
	my ($name, $contents, $mode) = @_;

	unlink "$secrets/$name";
	append_to_file("$secrets/$name", $contents);
	chmod $mode // 0600, "$secrets/$name";
	return;
}

sub file_refused
{
	my ($name, $sqlstate, %arguments) = @_;

	return refused($name, $sqlstate, 'register_connector', provider => 'files', client_id => 'client', scopes => ['read'],
		redirect_uris => ['http://127.0.0.1:7999/callback'], connector_id => 'filed', %arguments);
}

my $endpoint = "endpoint: " . $provider->definition->{token_endpoint} . "\nendpoint: " . $provider->url . '/revoke';

mkdir "$secrets/$_" or die foreach qw(clients issuers elsewhere);
admin('register_provider', provider => 'files', definition => definition());
admin('register_provider', provider => 'evil', definition => definition(%{ $moves{'another server'} }));
put_file('clients/good', "$origin\n$secret\n");
put_file('clients/both', 'origin: ' . $evil->url . "\n$origin\n$secret\n");
put_file('clients/exact', "$endpoint\n$secret\n");
put_file('issuers/gateway.hmac', "$secret " . 'x' x 40);
put_file('gateway.hmac', $secret);

foreach my $file (qw(good both exact))
{
	register_at("file $file", client_secret => "file:$file");
	is(admin('register_connector', provider => "file $file", client_id => 'client', client_secret => $secret, scopes => ['read'], redirect_uris => ['http://127.0.0.1:7999/callback'], connector_id => "file $file"),
		"file $file", "clients/$file holds the secret, without the lines that say where it may go");
}

my $there = file_refused('a secret is not sent to a server that its file does not name', '42501', provider => 'evil', client_secret => 'file:good');
like($there, qr/line "origin: \Q@{[ $evil->url ]}\E"/, 'the error names the missing line');
refused('nor by update_connector', '42501', 'update_connector', connector_id => 'file good', provider => 'evil', client_secret => 'file:good');
foreach my $move ('the token endpoint alone', 'the revocation endpoint alone')
{
	admin('register_provider', provider => 'evil', definition => definition(%{ $moves{$move} }));
	file_refused("nor $move", '42501', provider => 'evil', client_secret => 'file:good');
}
foreach my $move ('another path of the same host', 'another query of the same endpoint', 'another path for revocations')
{
	admin('register_provider', provider => 'evil', definition => definition(%{ $moves{$move} }));
	file_refused("a file that names whole URLs: nor $move", '42501', provider => 'evil', client_secret => 'file:exact');
}

foreach my $contents ($secret, "\n$origin\n$secret", "$secret\n$origin", 'origin: ' . $provider->url . "/token\n$secret", 'origin: ' . $provider->url . "?\n$secret", "origin: *\n$secret", "origin:\n$secret",
	'origin: ' . $provider->url . ".evil.example\n$secret", "Origin: " . $provider->url . "\n$secret", " $origin\n$secret", 'endpoint: ' . $provider->url . "\n$secret", "x $origin\n$secret")
{
	put_file('clients/bad', $contents);
	like(file_refused('a file that does not name the server: ' . ($contents =~ s/\Q$secret\E/S/r =~ s/\n/|/gr), '42501', client_secret => 'file:bad'), qr/line "origin: /, 'the error names the line');
}
foreach my $contents ("$origin\n", $origin, "$origin\n\n", "$origin\r\n$endpoint\n")
{
	put_file('clients/bad', $contents);
	file_refused('a file without a secret', '22023', client_secret => 'file:bad');
}

# What a file is for is where it lies.
file_refused("a gateway's key is no client secret: $_", /^gateway/ ? '58P01' : '22023', client_secret => "file:$_")
  foreach 'gateway.hmac', '../issuers/gateway.hmac', 'issuers/gateway.hmac', '../gateway.hmac';
refused("nor is a client secret a gateway's key", '58P01', 'register_issuer', issuer => 'https://gateway.example', hmac_key => 'file:good', algorithms => ['HS256']);
symlink '../issuers/gateway.hmac', "$secrets/clients/crossing" or die;
symlink "$secrets/issuers", "$secrets/clients/directory" or die;
symlink '.', "$secrets/clients/itself" or die;
file_refused("nor through a link out of clients: $_", '58P01', client_secret => "file:$_") foreach qw(crossing directory itself);

# Links as Kubernetes makes them stay inside.
mkdir "$secrets/clients/..2026" or die;
put_file('clients/..2026/mounted', "$origin\n$secret");
symlink '..2026', "$secrets/clients/..data" or die;
symlink '..data/mounted', "$secrets/clients/mounted" or die;
ok(register_at('mounted', client_secret => 'file:mounted'), 'a link that stays inside is followed');

# Nobody else may read a file, or put another in its place.
foreach my $mode (0644, 0660, 0640 | 0001, 0604)
{
	put_file('clients/open', "$origin\n$secret", $mode);
	like(file_refused(sprintf('a file of mode %o', $mode), '55000', client_secret => 'file:open'), qr/chmod 0600/, 'the hint says what to do');
}
put_file('clients/open', "$origin\n$secret", 0640);
ok(register_at('group', client_secret => 'file:open'), 'the group may read it');
foreach my $directory ($secrets, "$secrets/clients", "$secrets/clients/..2026")
{
	my $file = $directory =~ /2026/ ? 'mounted' : 'good';
	my $mode = (stat $directory)[2] & 07777;
	foreach my $open (0770, 0707, 0722)
	{
		chmod $open, $directory;
		file_refused(sprintf('a directory of mode %o', $open), '55000', client_secret => "file:$file");
	}
	chmod 01777, $directory;
	ok(register_at('sticky ' . ($directory =~ m{([^/]+)$})[0], client_secret => "file:$file"), 'one where nobody can replace what is there');
	chmod $mode, $directory;
}
my $inside = $node->data_dir . '/secrets';
system('cp', '-rp', $secrets, $inside) == 0 or die;
foreach my $directory ($inside, 'secrets')
{
	$node->safe_psql('postgres', "ALTER SYSTEM SET appuser_connectors.secrets_directory = '$directory'");
	$node->reload;
	wait_until('the setting is in force', sub { query($node, 'postgres', 'SHOW appuser_connectors.secrets_directory') eq $directory });
	file_refused('the data directory is no place for secrets', '55000', client_secret => 'file:good');
	refused('for keys neither', '55000', 'register_issuer', issuer => 'https://gateway.example', hmac_key => 'file:gateway.hmac', algorithms => ['HS256']);
}

is(received($evil), $nothing, 'in all this nothing came to the other server');

$node->stop;
done_testing();
