# A standby serves what is fresh and says where to go with the rest; it sends nothing to
# any provider until it is promoted, and then takes over.  A dump or base backup, with
# the root key, keeps every connection readable and contains no secret; where it is
# restored beside its original it does not spend the original's refresh tokens.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my $provider = start_provider();
my $node = new_node('main', 'wal_level = replica', 'max_wal_senders = 5');
my ($key_setting) = slurp_file($node->data_dir . '/postgresql.conf') =~ /^(appuser_connectors\.root_key_file = .*)$/m;
my $client_secret = 'app secret: 100%+/&=';

# Every request that the provider has seen at its token and revocation endpoints.
sub seen
{
	my $counters = $provider->ctl;

	return encode([ $counters->{grants}, $counters->{revocations} ]);
}

sub workers
{
	my ($server) = @_;

	return $server->safe_psql('template1', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'");
}

sub read_token
{
	my ($server, $app_user, $more) = @_;

	return failure($server, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('$app_user', 'app'" . ($more // '') . ')');
}

register($node, $provider, connector_id => 'app');
is(connect_user($node, $_, 'app')->{failure}, undef, "$_ is connected") foreach 'alice', 'dora';
my $token = access_token($node, 'alice', 'app');

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

# ---------------------------------------------------------------------- on a standby
my $before = seen();
is(access_token($standby, 'alice', 'app'), $token, 'a standby serves a fresh token');
is(query($standby, 'app_service', "SELECT access_token FROM appuser_connectors.current_app_user_connection('app')", app_user => 'alice'),
	$token, 'to the app user of the transaction as well');
is(query($standby, 'app_service', "SELECT access_token FROM appuser_connectors.app_user_connection('alice', 'app')",
		settings => { default_transaction_isolation => 'repeatable read' }), $token, 'and at REPEATABLE READ');
is(query($standby, 'app_service', 'SELECT status FROM appuser_connectors.app_user_connections()', app_user => 'alice'), 'connected',
	'connections are listed there');
is(query($standby, 'app_admin', "SELECT status FROM appuser_connectors.connection_status WHERE app_user = 'alice'"), 'connected',
	'for the admin too');
is((read_token($standby, 'nobody'))[0], 'UC001', 'who is not connected is told so');
is((failure($standby, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('alice', 'other')"))[0], 'UC006',
	'and that a connector does not exist');

my $url = authorization_url($node, 'carol', 'app');
my $parameters = log_in($url, 'carol');
$node->wait_for_catchup($standby, 'replay');
foreach my $case (
	[ "SELECT * FROM appuser_connectors.app_user_connection('alice', 'app', rejected_token => '$token')" ],
	[ "SELECT * FROM appuser_connectors.app_user_connection('alice', 'app', min_validity => '2 hours')" ],
	[ "SELECT appuser_connectors.connect_app_user('app')", app_user => 'alice' ],
	[ "SELECT * FROM appuser_connectors.oauth_callback('$parameters->{state}', '$parameters->{code}')", app_user => 'carol' ],
	[ "SELECT appuser_connectors.disconnect_app_user('app')", app_user => 'alice' ],
	[ "SELECT appuser_connectors.erase_app_user('alice')" ])
{
	my ($sql, @options) = @$case;
	my ($call) = $sql =~ /(\w+\(.*?)[,)]/;
	my ($state, $message) = failure($standby, 'app_service', $sql, @options);

	is($state, 'UC007', "on a standby: UC007 for $call");
	like($message, qr/HINT:.*primary/, 'with the hint to go to the primary');
}
my ($adopted, $why) = failure($standby, 'app_admin', 'SELECT appuser_connectors.adopt_installation()');
is($adopted, 'UC007', 'on a standby: UC007 for adopt_installation()');
like($why, qr/HINT:\s+Promote it first/, 'with the hint to promote it');
is(callback($node, 'carol', $parameters)->{failure}, undef, 'the primary finishes what the standby refused');
$node->wait_for_catchup($standby, 'replay');
ok(access_token($standby, 'carol', 'app'), 'and then the standby has that token, too');

my $other = access_token($node, 'alice', 'app', rejected_token => $token);
$node->wait_for_catchup($standby, 'replay');
is(access_token($standby, 'alice', 'app'), $other, 'a token refreshed by the primary is served by the standby');
is($standby->safe_psql('template1', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'appuser_connectors launcher'"), 1,
	'the standby has a launcher');
is(workers($standby), 0, 'and no worker');

# --------------------------------------------------------------- dump and restore
# Bob's token is short-lived and gets no chance to be renewed by the original.
$provider->order({ set => { access_token_ttl => 4 } });
is(connect_user($node, 'bob', 'app')->{failure}, undef, 'bob is connected');
my $dumped = access_token($node, 'bob', 'app');
$provider->order({ set => { access_token_ttl => 3600 } });

my $dump = $node->basedir . '/dump';
my @secrets = ($client_secret, (map { @$_ } @{ $provider->ctl('/issued') }{qw(codes access_tokens refresh_tokens)}),
	slurp_file($key_setting =~ /'(.*)'/ ? $1 : die) =~ /(\w+)/);
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dump.custom", '-d', $node->connstr('postgres') ], 'pg_dump');
$node->command_ok([ 'pg_dump', '-f', "$dump.sql", '-d', $node->connstr('postgres') ], 'pg_dump, plain');
my $text = slurp_file("$dump.sql");
cmp_ok(scalar(@secrets), '>', 10, 'there are secrets to look for');
like($text, qr/^alice\tapp\tdefault\t/m, 'the dump has the connections');
is(scalar(grep { index($text, $_) >= 0 || index($text, unpack 'H*', $_) >= 0 } @secrets), 0, 'and not one plaintext secret');

my $elsewhere = new_node('elsewhere');
$elsewhere->append_conf('postgresql.conf', $key_setting);
$elsewhere->restart;
my $third = new_node('third');

foreach my $server ($node, $elsewhere, $third)
{
	$server->safe_psql('template1', 'CREATE DATABASE restored');
	$server->command_ok([ 'pg_restore', '--exit-on-error', '-d', $server->connstr('restored'), "$dump.custom" ],
		'pg_restore into ' . $server->name);
}
is((failure($third, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('alice', 'app')", database => 'restored'))[0],
	'UC008', 'without the root key a restored dump is of no use');
$third->stop;

# The original goes on: the copies are judged by what they themselves send.
wait_until('bob has another token', sub { access_token($node, 'bob', 'app') ne $dumped });
my $refreshed = access_token($node, 'bob', 'app');
wait_until('the dumped one has expired', sub {
		failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('bob', 'app')", database => 'restored')
	});
$before = seen();
foreach my $server ($node, $elsewhere)
{
	my $where = $server == $node ? 'another database' : 'another cluster';
	my @there = (database => 'restored');
	my ($state, $message);

	is(access_token($server, 'alice', 'app', @there), $other, "a dump restored into $where: what is still valid is served");
	is(query($server, 'app_service', "SELECT status FROM appuser_connectors.app_user_connections() WHERE connector_id = 'app'", app_user => 'alice', @there),
		'connected', 'and listed');
	foreach my $case (
		[ 'an expired token', "SELECT * FROM appuser_connectors.app_user_connection('bob', 'app')" ],
		[ 'a rejected token', "SELECT * FROM appuser_connectors.app_user_connection('alice', 'app', rejected_token => '$other')" ])
	{
		($state, $message) = failure($server, 'app_service', $case->[1], @there);
		is($state, 'UC009', "in $where $case->[0] is held");
		like($message, qr/HINT:.*original/, 'with a hint');
	}
	($state) = failure($server, 'app_service', "SELECT appuser_connectors.connect_app_user('app')", app_user => 'erin', @there);
	is($state, 'UC009', 'new connections are held as well');
	is(query($server, 'app_service', "SELECT appuser_connectors.disconnect_app_user('app')", app_user => 'dora', @there), 't',
		'a disconnect removes the connection from the copy');
	# The worker there looks at what is due when it is woken, as by this.
	($state) = failure($server, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('bob', 'app')", @there);
	is($state, 'UC009', 'and the copy\'s worker is there');
	is(query($server, 'postgres', 'SELECT count(*) FROM appuser_connectors.revocations', @there), 1, 'but revokes nothing');
}
is(seen(), $before, 'no copy has sent anything to the provider');
is(userinfo($provider, access_token($node, 'dora', 'app'))->{sub}, 'dora', 'the original\'s connection lives');
isnt(access_token($node, 'bob', 'app', rejected_token => $refreshed), $refreshed, 'and its refresh tokens are not spent');
$elsewhere->stop;

# ------------------------------------------------------------------------ promotion
# One token expires while there is no primary.
$provider->order({ set => { access_token_ttl => 4 } });
access_token($node, 'alice', 'app', rejected_token => $other);
$node->wait_for_catchup($standby, 'replay');
$token = access_token($standby, 'alice', 'app');
$node->stop('immediate');
$before = seen();
wait_until('the token has expired', sub { (read_token($standby, 'alice'))[0] });
my ($state, $message) = read_token($standby, 'alice');
is($state, 'UC007', 'with the primary gone, an expired token is not served by the standby');
is(seen(), $before, 'which has sent nothing to the provider so far');

$standby->promote;
$provider->order({ set => { access_token_ttl => 3600 } });
wait_until('the promoted server refreshes what is due, without being asked', sub { seen() ne $before });
pass('the promoted server refreshes what is due, without being asked');
wait_until('alice has a token', sub { !read_token($standby, 'alice') });
my $promoted = access_token($standby, 'alice', 'app');
isnt($promoted, $token, 'alice has another token');
is(userinfo($provider, $promoted)->{sub}, 'alice', 'that works');
isnt(access_token($standby, 'alice', 'app', rejected_token => $promoted), $promoted, 'refreshing on demand works');
is(connect_user($standby, 'frank', 'app')->{failure}, undef, 'and so does connecting');
is(workers($standby), 1 + $standby->safe_psql('template1', "SELECT count(*) FROM pg_database WHERE datname = 'restored'"),
	'each database has its worker');
$standby->stop;

# -------------------------------------------------------------------- a base backup
my $backup = PostgreSQL::Test::Cluster->new('backup');
$backup->init_from_backup($node, 'base');
$backup->start;
ok(access_token($backup, 'dora', 'app'), 'a base backup with the root key still has every connection');
$backup->stop;

done_testing();
