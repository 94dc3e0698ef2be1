# The catalogue: each provider of it can be taken for a connector, or says why not; one's own
# definition of the same name goes before it, survives dump and restore, and can be taken back;
# of a newer catalogue a connector takes over what it is told to, without secret or new consent.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PatternSample qw(sample);
use Test::More;

my $ns = 'appuser_connectors';
my $node = new_node('catalogue');
my @files = map { m{([^/]+)\.json$} } glob "$FindBin::RealBin/../../sql/providers/*.json";

sub admin { return query($node, 'app_admin', @_); }

sub register_sql
{
	my ($provider, %given) = @_;

	return "SELECT $ns.register_connector('$provider', 'client', " . ($given{secret} // "'secret'") . ", '{}', '{https://app.example/cb}', '" . ($given{as} // $provider) . "')";
}

cmp_ok(scalar @files, '>', 300, 'there is a catalogue');
is(admin("SELECT string_agg(provider, ' ' ORDER BY provider COLLATE \"C\") FROM $ns.providers WHERE built_in"), join(' ', sort @files), 'it is what the files are');
is(admin("SELECT count(*) FROM $ns.providers WHERE built_in AND unsupported IS NULL AND (name IS NULL OR definition ->> 'name' <> name OR cardinality(categories) = 0 AND docs_url IS NULL OR sources_agree IS NULL)"), 0,
	'each says its name and whether sources agree');
note(admin("SELECT count(*) FILTER (WHERE unsupported IS NULL) || ' providers, ' || count(*) FILTER (WHERE sources_agree) || ' with two sources or more' FROM $ns.providers WHERE built_in"));
note(admin("SELECT string_agg('not supported: ' || provider || ': ' || unsupported, E'\\n') FROM $ns.providers WHERE unsupported IS NOT NULL"));

# Each by its name, with the fields that are the admin's to give.
sub fields
{
	my ($definition) = @_;
	my $declared = $definition->{connection_config_fields} // {};
	my %given;

	foreach my $name (grep { ($declared->{$_}{source} // 'admin') eq 'admin' && !exists $declared->{$_}{default} } keys %$declared)
	{
		$given{$name} = $declared->{$name}{enum} ? $declared->{$name}{enum}[0] : sample($declared->{$name}{pattern} // '^x$');
	}
	return \%given;
}

my %configs = map { $_->{provider} => fields($_->{definition}) }
  rows($node, 'app_admin', "SELECT provider, definition FROM $ns.providers WHERE built_in AND unsupported IS NULL");
admin("DO \$\$
	DECLARE
		p record;
		message text;
	BEGIN
		FOR p IN SELECT v.provider, v.definition, c.value AS config FROM $ns.providers AS v JOIN jsonb_each(" . AppuserConnectors::quote(\%configs) . ") AS c ON c.key = v.provider LOOP
			BEGIN
				PERFORM $ns.register_connector(p.provider, 'client', CASE WHEN p.definition ->> 'token_endpoint_auth_method' = 'none' AND NOT p.definition::text LIKE '%{client_secret}%' THEN NULL ELSE 'secret' END,
					'{}', '{https://app.example/cb}', connection_config => p.config);
			EXCEPTION WHEN OTHERS THEN
				GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
				RAISE EXCEPTION '%: %', p.provider, message;
			END;
		END LOOP;
	END \$\$");
is(admin("SELECT count(*) FROM $ns.connectors"), admin("SELECT count(*) FROM $ns.providers WHERE built_in AND unsupported IS NULL"), 'each makes a connector');
is(admin("SELECT count(*) FROM $ns.connectors AS c JOIN $ns.providers AS p ON p.provider = c.provider WHERE c.built_in AND c.name = p.name AND c.definition = p.definition"),
	admin("SELECT count(*) FROM $ns.connectors"), 'with its name and its definition');
is(admin("SELECT count(*) FROM $ns.check_health() WHERE name LIKE 'definition of%'"), 0, 'and nothing newer');
my ($state, $message) = failure($node, 'app_admin', register_sql('trello'));
is($state, '0A000', 'one that is not supported makes none');
like($message, qr/provider "trello" is not supported.*DETAIL:.*OAuth 1\.0a/s, 'and says why');

# Of the same name: one's own.
my $own = '{"authorization_endpoint": "https://chat.example/auth", "token_endpoint": "https://chat.example/token"}';
admin("SELECT $ns.register_provider('slack', '$own')");
is(admin("SELECT count(*) || ' ' || bool_or(built_in) FROM $ns.providers WHERE provider = 'slack'"), '1 false', "one's own definition goes before that of the catalogue");
admin(register_sql('slack', as => 'own'));
is(admin("SELECT (definition ->> 'token_endpoint') || ' ' || built_in FROM $ns.connectors WHERE connector_id = 'own'"), 'https://chat.example/token false', 'connectors are made from it');
like(admin("SELECT ok || ' ' || detail FROM $ns.check_health() WHERE name = 'definition of connector slack'"), qr/^true .*"slack" is not the one in force; they differ in api_base_url, authorization_endpoint, .*update_connector\('slack', provider => 'slack'\)/,
	'what was made before keeps its copy, and check_health() says so');

my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-p', $node->port, '-h', $node->host, 'postgres' ], 'it is dumped');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '-d', 'restored', '-p', $node->port, '-h', $node->host, $dump ], 'and restored');
is($node->safe_psql('restored', "SELECT definition = '$own' FROM $ns.providers WHERE provider = 'slack'"), 't', "one's own survives");
is($node->safe_psql('restored', "SELECT count(*) FROM $ns.providers"), scalar @files, 'beside the catalogue');
query($node, 'app_admin', "SELECT $ns.adopt_installation()", database => 'restored');
query($node, 'app_admin', register_sql('slack', as => 'anew'), database => 'restored');
is($node->safe_psql('restored', "SELECT definition ->> 'token_endpoint' FROM $ns.connectors WHERE connector_id = 'anew'"), 'https://chat.example/token', 'and is still authentic');

is(admin("SELECT $ns.delete_provider('slack')"), 't', 'it can be taken back');
is(admin("SELECT $ns.delete_provider('slack')"), 'f', 'once');
is(admin("SELECT built_in FROM $ns.providers WHERE provider = 'slack'"), 't', 'then the catalogue counts');
is((failure($node, 'app_admin', "SELECT $ns.delete_provider(NULL)"))[0], '22004', 'nothing is no provider');

# An update of the extension brings another catalogue.
$node->safe_psql('postgres', "UPDATE $ns.provider_catalogue SET definition = definition || '{\"token_endpoint\": \"https://api.dropboxapi.com/oauth3/token\", \"pkce\": \"off\"}' WHERE provider = 'dropbox'");
like(admin("SELECT ok || ' ' || detail FROM $ns.check_health() WHERE name = 'definition of connector dropbox'"), qr/^false .*differ in pkce, token_endpoint\. update_connector/, 'whose copy is older, and in what, is said');
is(admin("SELECT definition ->> 'token_endpoint' FROM $ns.connectors WHERE connector_id = 'dropbox'"), 'https://api.dropboxapi.com/oauth2/token', 'it stays what it was');
admin("SELECT $ns.update_connector('dropbox', provider => 'dropbox')");
is(admin("SELECT definition ->> 'token_endpoint' FROM $ns.connectors WHERE connector_id = 'dropbox'"), 'https://api.dropboxapi.com/oauth3/token', 'until it is told to take it over, for which no secret is needed');
is(admin("SELECT count(*) FROM $ns.check_health() WHERE name = 'definition of connector dropbox'"), 0, 'then all is well');

$node->stop;
done_testing();
