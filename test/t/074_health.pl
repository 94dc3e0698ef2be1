# check_health() answers no to a question exactly when an admin should act, and says
# what to do; and what cannot be done without the root key says so, and is done when it
# is back.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use JSON::PP;
use Test::More;

my $provider = start_provider();
my $node = new_node('health', 'log_statement = none', 'log_min_duration_statement = -1', 'log_parameter_max_length_on_error = 0');
my $key = $node->safe_psql('postgres', 'SHOW appuser_connectors.root_key_file');

sub health
{
	my (%settings) = @_;
	return map { $_->{name} => $_ } rows($node, 'postgres', 'SELECT * FROM appuser_connectors.check_health()', settings => \%settings);
}

# Exactly that question, and those of the tests' own settings, are answered no.
sub unhealthy
{
	my ($name, $detail, %settings) = @_;
	my %health = health(%settings);

	is_deeply([ sort grep { !$health{$_}{ok} } keys %health ], [ sort 'allow_insecure_loopback', $name ], "unhealthy: $name, and nothing else");
	like($health{$name}{detail} // '', $detail, "$name: with what to do");
	return;
}

sub configure
{
	my (%settings) = @_;

	$node->append_conf('postgresql.conf', map { "$_ = '$settings{$_}'\n" } sort keys %settings);
	$node->reload;
	wait_until('the setting is in force', sub {
			my $in_force = 1;
			$in_force &&= $node->safe_psql('postgres', "SHOW $_") eq $settings{$_} foreach keys %settings;
			$in_force;
		});
	return;
}

my %health = health();
is_deeply([ grep { !$health{$_}{ok} } keys %health ], ['allow_insecure_loopback'], 'a new installation is healthy');
like($health{installation}{detail}, qr/Nothing has been registered/, 'with nothing in it');
is(query($node, 'app_admin', 'SELECT appuser_connectors.installation_status()'), 'missing', 'installation_status: missing');
is((failure($node, 'app_admin', 'SELECT appuser_connectors.adopt_installation()'))[0], 'UC008', 'there is nothing to adopt');

register($node, $provider, connector_id => 'app');
register($node, $provider, connector_id => 'other');
is(connect_user($node, 'alice', 'app')->{failure}, undef, 'alice is connected');
%health = health();
is_deeply([ grep { !$health{$_}{ok} } keys %health ], ['allow_insecure_loopback'], 'one that is used is healthy');
is(scalar(grep { /^connector / } keys %health), 2, 'each connector is a question');

# A connector's last failure, of however many events: no more than the last thousand are looked at.
my $events = 'appuser_connectors.connection_events';
$node->safe_psql('postgres', "UPDATE $events SET occurred_at = now() - interval '2 d'");
$node->safe_psql('postgres', "INSERT INTO $events SELECT 'person' || g, gen_random_uuid(), 'app', 'default', 'connect_failed', 'invalid_scope: long ago', now() - interval '2 d', true
	FROM generate_series(1, 3) AS g");
$node->safe_psql('postgres', "INSERT INTO $events SELECT 'person' || g, gen_random_uuid(), 'app', 'default', 'connected', NULL, now() - interval '1 d' + g * interval '1 s', true
	FROM generate_series(1, 20000) AS g");
sub tuples_read
{
	$node->safe_psql('postgres', 'SELECT pg_stat_force_next_flush()');
	return $node->safe_psql('postgres', "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'connection_events'");
}
my $before = tuples_read();
$node->safe_psql('postgres', 'SELECT pg_stat_force_next_flush(); SELECT FROM appuser_connectors.check_health()');
my $read = tuples_read() - $before;
cmp_ok($read, '>', 900, 'a look at 20,000 events of a connector');
cmp_ok($read, '<', 1100, 'reads those that are the newest');
%health = health();
is($health{'connector app'}{detail}, undef, 'a failure that is older is none');
$node->safe_psql('postgres', "INSERT INTO $events SELECT p, gen_random_uuid(), 'app', 'default', 'connect_failed', 'invalid_scope: ' || p, now() - t::interval, true
	FROM (VALUES ('one', '10 min'), ('two', '9 min'), ('two', '8 min'), ('three', '69 min'), ('four', '8 min 1 s')) AS v(p, t)");
unhealthy('connector app', qr/^Last failure: connect_failed of 3 people within an hour, at [^:]*:\d\d:[^:]*: invalid_scope: two\.$/);
$node->safe_psql('postgres', "INSERT INTO $events VALUES ('five', gen_random_uuid(), 'app', 'default', 'refresh_failing', NULL, now(), true)");
%health = health();
is_deeply([ $health{'connector app'}{ok}, $health{'connector app'}{detail} =~ s/at [^;]*: no/at …: no/r ], [ JSON::PP::true, 'Last failure: refresh_failing of 1 person, at …: no more is known.' ],
	'one whose tokens cannot be renewed just now is told, and no alarm');
$node->safe_psql('postgres', "INSERT INTO $events VALUES ('six', gen_random_uuid(), 'app', 'default', 'refresh_failing', 'connector_stopped: it is', now(), true),
	('six', gen_random_uuid(), 'app', 'default', 'reconnect_required', 'invalid_grant: so it is', now(), true), ('six', gen_random_uuid(), 'app', 'default', 'connect_failed', 'access_denied', now(), true)");
%health = health();
like($health{'connector app'}{detail}, qr/refresh_failing of 1 person.*no more is known/, 'what follows from another, or is a person\'s own, is none');
$node->safe_psql('postgres', "DELETE FROM $events WHERE app_user <> 'alice'");
foreach my $role (qw(app_service app_user_role app_nobody))
{
	is((failure($node, $role, $_))[0], '42501', "not for $role: $_") foreach 'SELECT * FROM appuser_connectors.check_health()', "SELECT * FROM $events";
}

# Parameters in the log
foreach my $setting ([ log_statement => 'all' ], [ log_min_duration_statement => 0 ], [ log_min_duration_sample => 0 ])
{
	unhealthy('log: bind parameters', qr/log_parameter_max_length = 0/, @$setting);
	%health = health(@$setting, log_parameter_max_length => 0);
	ok($health{'log: bind parameters'}{ok}, "$setting->[0] without parameters is healthy");
}
%health = health(log_statement => 'ddl');
ok($health{'log: bind parameters'}{ok}, 'and so is log_statement = ddl');
unhealthy('log: parameters of errors', qr/set it to 0/, log_parameter_max_length_on_error => -1);

# Who can be whom
unhealthy('allow_session_identity', qr/pooler/, 'appuser_connectors.allow_session_identity' => 'on');
unhealthy('trust_request_jwt_claims', qr/any app user/, 'appuser_connectors.trust_request_jwt_claims' => 'on');

# The owner role
$node->safe_psql('postgres', 'GRANT appuser_connectors_owner TO app_nobody');
unhealthy('owner role', qr/members/);
$node->safe_psql('postgres', 'REVOKE appuser_connectors_owner FROM app_nobody; ALTER ROLE appuser_connectors_owner BYPASSRLS');
unhealthy('owner role', qr/BYPASSRLS/);
$node->safe_psql('postgres', 'ALTER ROLE appuser_connectors_owner NOBYPASSRLS');

# A connector that was edited, and one whose client the provider refuses
$node->safe_psql('postgres', "UPDATE appuser_connectors.registered_connectors SET client_id = 'another' WHERE connector_id = 'other'");
unhealthy('connector other', qr/update_connector\(\)/);
is(query($node, 'app_admin', "SELECT appuser_connectors.delete_connector('other')"), 0, 'and deleted');
$node->safe_psql('postgres', "UPDATE appuser_connectors.registered_connectors SET stopped_at = now(), stopped_reason = 'invalid_client'");
unhealthy('connector app', qr/It is stopped \(invalid_client\); correct it with update_connector/);
$node->safe_psql('postgres', 'UPDATE appuser_connectors.registered_connectors SET stopped_at = NULL, stopped_reason = NULL');

# A data key that is gone
$node->safe_psql('postgres', 'CREATE TABLE kept AS TABLE appuser_connectors.encryption_keys; DELETE FROM appuser_connectors.encryption_keys');
unhealthy('root key', qr/Or a row of encryption_keys is missing or altered: restore that table/);
$node->safe_psql('postgres', 'INSERT INTO appuser_connectors.encryption_keys TABLE kept');
%health = health();
ok($health{'root key'}{ok}, 'and back');

# Calls that are switched off
configure('appuser_connectors.provider_calls' => 'off');
unhealthy('installation', qr/provider_calls is off/);
is(query($node, 'app_admin', 'SELECT appuser_connectors.installation_status()'), 'switched off', 'installation_status: switched off');
configure('appuser_connectors.provider_calls' => 'on');
is(query($node, 'app_admin', 'SELECT appuser_connectors.installation_status()'), 'ours', 'installation_status: ours');

# Without the root key
my $url = authorization_url($node, 'carol', 'app');
my $parameters = log_in($url, 'carol');
$node->append_conf('postgresql.conf', "appuser_connectors.root_key_file = ''");
$node->restart;
my $ask = "SELECT * FROM appuser_connectors.app_user_connection('alice', 'app')";
wait_until('the worker is back', sub { my %now = health(); $now{worker}{ok} });
%health = health();
ok(!$health{'root key'}{ok}, 'unhealthy: root key');
like($health{'root key'}{detail}, qr/^There is none: neither root_key_file nor root_key_command is set\. Set appuser_connectors\.root_key_file .* and reload\.$/,
	'root key: with the cause and what to do');
is_deeply([ grep { /^connector / } keys %health ], [], 'nothing is said of connectors, which nobody can look at');
is((failure($node, 'app_service', $ask))[0], 'UC008', 'no token is read without it');
my ($state, $message) = failure($node, 'app_service',
	"SELECT * FROM appuser_connectors.oauth_callback('$parameters->{state}', '$parameters->{code}', iss => '$parameters->{iss}')", app_user => 'carol');
is($state, 'UC008', 'no flow is finished without it');
like($message, qr/HINT:.*root_key_file/, 'with the hint to set it');
is((failure($node, 'app_service', 'SELECT appuser_connectors.connect_app_user($$app$$)', app_user => 'dave'))[0], 'UC008', 'none is begun');
my $erased = query($node, 'app_service', "SELECT appuser_connectors.erase_app_user('nobody')");
is($erased, 0, 'but people can be erased');
configure('appuser_connectors.root_key_file' => $key);
wait_until('the key is there', sub { my %now = health(); $now{'root key'}{ok} });
is(query($node, 'app_service', $ask) ne '', 1, 'with the key back the token is read');
is(callback($node, 'carol', $parameters)->{failure}, undef, 'and the flow, which was not used up, is finished');

$node->stop;
done_testing();
