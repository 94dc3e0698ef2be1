# An upgrade of the extension brings another catalogue, as a release would: by an upgrade script that
# make has built.  Connections, refreshes, flows under way and revocations go on with what their
# connector has of the old one; check_health() says what differs; update_connector() takes it over
# without secret or new consent; and a definition of one's own beside a built-in one stays what it is,
# through a dump, a restore and the upgrade.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use File::Basename qw(dirname);
use File::Path qw(make_path);
use PostgreSQL::Test::Utils;
use Test::More;

my $ns = 'appuser_connectors';
my $source = "$FindBin::RealBin/../..";
my $place = PostgreSQL::Test::Utils::tempdir('upgrade');
my $provider = start_fault_server();
my $url = $provider->url;

sub run { system(@_) == 0 or die "@_ failed"; return; }
sub put { my ($file, $text) = @_; unlink $file; append_to_file($file, $text); return; }

# An installation of its own, which finds its files relative to its programs
my %directory = map { my $option = $_; chomp(my $path = `'$ENV{PG_CONFIG}' --$option`); ($option => $path) } qw(bindir pkglibdir sharedir);
foreach my $path (sort values %directory)
{
	make_path("$place/pg" . dirname($path));
	run('cp', '-a', $path, "$place/pg" . dirname($path));
}
$ENV{PATH} = "$place/pg$directory{bindir}:$ENV{PATH}";
my $extension = "$place/pg$directory{sharedir}/extension";

# ------------------------------------------------------------- two versions of the catalogue

sub entry
{
	my ($name, %members) = @_;

	return encode({ name => $name, categories => ['productivity'], endpoint_sources => 2,
			definition => { authorization_endpoint => "$url/auth", token_endpoint => "$url/token", revocation_endpoint => "$url/revoke", token_endpoint_auth_method => 'client_secret_post', iss_parameter => 'ignored', %members } });
}

run('cp', '-a', "$source/Makefile", "$source/sql", $place);
symlink("$source/src", "$place/src") or die;
my $providers = "$place/sql/providers";
my @make = ('make', '-s', '-C', $place, "PG_CONFIG=$ENV{PG_CONFIG}");
unlink glob("$place/sql/appuser_connectors--*.sql");
put("$providers/acme.json", entry('Acme'));
put("$providers/left.json", entry('Left'));
run(@make, 'sql/appuser_connectors--1.0.sql');
make_path("$place/sql/upgrades");
put("$place/sql/upgrades/1.0--1.1.sql", "COMMENT ON TABLE appuser_connectors.provider_catalogue IS 'of 1.1';\n");
put("$providers/acme.json", entry('Acme Files', token_endpoint => "$url/token2", revocation_endpoint => "$url/revoke2", pkce => 'off', default_scopes => ['all']));
put("$providers/late.json", entry('Late'));
unlink "$providers/left.json";
run(@make, 'sql/appuser_connectors--1.0--1.1.sql');
put("$providers/late.json", '{"name": "Late", "categories": [], "definition": {}}');
isnt(system("make -s -C '$place' PG_CONFIG='$ENV{PG_CONFIG}' sql/appuser_connectors--1.0--1.1.sql >'$place/make.log' 2>&1"), 0, 'what is no definition makes no upgrade script');
like(slurp_file("$place/make.log"), qr/late\.json: .*required/, 'and it is said why');

unlink "$extension/appuser_connectors--1.0.sql";
run('cp', "$place/sql/appuser_connectors--1.0.sql", $extension);

# ---------------------------------------------------------------------- with the old one

my $node = new_node('upgrade', 'appuser_connectors.event_retention = 1d');
my %token = (access_token => 'access-token', refresh_token => 'refresh-token', expires_in => 7200);
$provider->rules({ path => '*', body => \%token });

sub admin { return query($node, 'app_admin', @_); }
sub paths { my @paths = map { $_->{path} } $provider->requests; $provider->order({ reset => JSON::PP::true }); $provider->rules({ path => '*', body => \%token }); return join ' ', @paths; }
sub begin { return url_parameters(authorization_url($node, $_[0], $_[1]))->{state}; }
sub finish { my ($app_user, $state) = @_; return callback($node, $app_user, { state => $state, code => 'a-code' })->{failure} // ''; }
sub refreshed { my ($app_user, $connector, %options) = @_; return (failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('$app_user', '$connector', min_validity => '1 day')", %options))[0] // ''; }
sub differs { return admin("SELECT string_agg(name || ' ' || ok || ' ' || detail, E'\\n' ORDER BY name) FROM $ns.check_health() WHERE name LIKE 'definition of%'", @_); }
sub register_sql { my ($name, $as) = @_; return "SELECT $ns.register_connector('$name', 'client', 'the-secret', '{read}', '{https://app.example/cb}', '" . ($as // $name) . "')"; }

is(admin("SELECT extversion FROM pg_extension WHERE extname = '$ns'"), '1.0', 'the old version is there');
my $own = encode({ authorization_endpoint => "$url/own/auth", token_endpoint => "$url/own/token", iss_parameter => 'ignored' });
admin(register_sql($_)) foreach qw(acme left slack);
admin("SELECT $ns.register_provider('slack', '$own')");
admin("SELECT $ns.register_provider('late', '$own')");
admin(register_sql('slack', 'own'));
is(differs() =~ s/ true .*//sr, 'definition of connector slack', 'but for one of our own nothing differs');
is(finish('alice', begin('alice', $_)), '', "alice is connected: $_") foreach qw(acme left own);
my $under_way = begin('bob', 'acme');
my $dump = "$place/dump";
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-p', $node->port, '-h', $node->host, 'postgres' ], 'it is dumped');

# ---------------------------------------------------------------------- the upgrade

run('cp', "$place/sql/appuser_connectors--1.0--1.1.sql", $extension);
put("$extension/appuser_connectors.control", slurp_file("$extension/appuser_connectors.control") =~ s/'1\.0'/'1.1'/r);
$node->safe_psql('postgres', "BEGIN; ALTER EXTENSION $ns UPDATE; ROLLBACK");
is(admin("SELECT count(*) FROM $ns.providers WHERE provider = 'left'"), 1, 'an upgrade that is rolled back leaves the old catalogue');
$node->restart;
$node->safe_psql('postgres', "ALTER EXTENSION $ns UPDATE");
is(admin("SELECT extversion FROM pg_extension WHERE extname = '$ns'"), '1.1', 'the new version is there');
is(admin("SELECT obj_description('$ns.provider_catalogue'::regclass)"), 'of 1.1', 'with what its script does');
my @files = map { m{([^/]+)\.json$} } glob "$providers/*.json";
is(admin("SELECT count(*) FROM $ns.provider_catalogue"), scalar @files, 'and its catalogue');
is(admin("SELECT string_agg(provider || ' ' || built_in || ' ' || (definition ->> 'token_endpoint'), E'\\n' ORDER BY provider) FROM $ns.providers WHERE provider IN ('acme', 'left', 'late')"),
	"acme true $url/token2\nlate false $url/own/token", 'what is new, what is gone, and what is ours');

paths();
is(refreshed('alice', $_), '', "alice's $_ is refreshed") foreach qw(acme left own);
is(paths(), '/token /token /own/token', 'where they were');
is(finish('bob', $under_way), '', 'a flow that was under way is finished');
is(finish('carol', begin('carol', 'acme')), '', 'another is begun');
is(paths(), '/token /token', 'there too');
query($node, 'app_service', "SELECT $ns.disconnect_app_user('acme')", app_user => 'bob');
wait_until('it is revoked', sub { query($node, 'postgres', "SELECT count(*) FROM $ns.revocations") == 0 });
like(paths(), qr{^/revoke( /revoke)?$}, 'and bob leaves, there');

# ---------------------------------------------------------------------- taking it over

like(differs(), qr/^definition of connector acme false .*differ in default_scopes, name, pkce, revocation_endpoint, token_endpoint\. update_connector\('acme', provider => 'acme'\)/, 'it is said what differs');
unlike(differs(), qr/connector (?:left|own) /, 'of none that is as it was, or gone');
my ($state, $message) = failure($node, 'app_admin', "SELECT $ns.update_connector('left', provider => 'left')");
is($state, 'UC006', 'what is gone cannot be taken over');
admin("SELECT $ns.update_connector('acme', provider => 'acme')");
unlike(differs(), qr/connector acme /, 'what was taken over differs no longer');
is(row($node, 'app_service', "SELECT status FROM $ns.app_user_connections() WHERE connector_id = 'acme'", app_user => $_)->{status}, 'connected', "$_ need not connect again") foreach qw(alice carol);
is(refreshed('alice', 'acme'), '', 'her token is refreshed');
is(finish('dora', begin('dora', 'acme')), '', 'dora connects');
is(paths(), '/token2 /token2', 'at the new endpoint');
query($node, 'app_service', "SELECT $ns.disconnect_app_user('acme')", app_user => 'carol');
wait_until('it is revoked', sub { query($node, 'postgres', "SELECT count(*) FROM $ns.revocations") == 0 });
like(paths(), qr{^/revoke2?( /revoke2?)?$}, 'and who has not been refreshed since leaves too');

# ------------------------------------------------------------------- one's own, elsewhere

foreach my $version (qw(old new))
{
	my $database = "restored_$version";
	my %there = (database => $database);

	$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dump.new", '-p', $node->port, '-h', $node->host, 'postgres' ], 'it is dumped') if $version eq 'new';
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->command_ok([ 'pg_restore', '-d', $database, '-p', $node->port, '-h', $node->host, $version eq 'new' ? "$dump.new" : $dump ], "a dump of the $version version is restored");
	is($node->safe_psql($database, "SELECT extversion FROM pg_extension WHERE extname = '$ns'"), '1.1', 'into the new one');
	is($node->safe_psql($database, "SELECT string_agg(provider || ' ' || (definition ->> 'token_endpoint'), ' ' ORDER BY provider) FROM $ns.providers WHERE NOT built_in"), "late $url/own/token slack $url/own/token", 'definitions of our own are ours');
	is($node->safe_psql($database, "SELECT count(*) FROM $ns.provider_catalogue"), scalar @files, 'beside the catalogue');
	is(admin("SELECT $ns.adopt_installation()", %there), 't', 'it is adopted');
	admin(register_sql('slack', 'anew'), %there);
	is($node->safe_psql($database, "SELECT definition ->> 'token_endpoint' FROM $ns.connectors WHERE connector_id = 'anew'"), "$url/own/token", 'and they count');
	is($node->safe_psql($database, "SELECT definition ->> 'token_endpoint' FROM $ns.connectors WHERE connector_id = 'acme'"), $version eq 'old' ? "$url/token" : "$url/token2", 'connectors have what they had');
	if ($version eq 'old')
	{
		like(differs(%there), qr/^definition of connector acme false /, 'of which it is said that it is older');
		is((failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('alice', 'acme', min_validity => '1 day')", %there))[0], undef, 'and with which connections go on');
		is(paths(), '/token', 'where they were');
	}
	is(admin("SELECT $ns.delete_provider('slack')", %there), 't', 'one can be taken back');
	is($node->safe_psql($database, "SELECT built_in FROM $ns.providers WHERE provider = 'slack'"), 't', 'for that of the new catalogue');
}

$node->stop;
done_testing();
