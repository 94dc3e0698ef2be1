# What went wrong with a callback is told to whoever can mend it: that the flow was
# never committed, was used, has expired, or is another person's or browser's.  A
# client with the user's role, which may be the browser itself, is told to begin
# again, and the server log why.  Who is not the one who began a flow does not end
# it, and a page that is loaded again says what it said.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PostgreSQL::Test::Utils;
use Test::More;

my $ns = 'appuser_connectors';
my $faulty = start_fault_server(certificate => undef);
my $node = new_node('refusals', 'log_min_messages = error', 'appuser_connectors.authorization_lifetime = 120s', 'appuser_connectors.request_timeout = 5s');
my $binding = 'a random value, and a cookie: 0123456789';

register($node, $faulty, connector_id => $_, provider => $_, scopes => ['read'], definition => { issuer => undef }) foreach qw(calendar files);
my $granted = { path => '/token', body => { access_token => 'token', refresh_token => 'r', token_type => 'Bearer', expires_in => 7200 } };
$faulty->rules($granted);

sub begin
{
	my ($app_user, $connector, %arguments) = @_;

	return url_parameters(authorization_url($node, $app_user, $connector, return_to => '/back', %arguments))->{state};
}

# The row as text, or SQLSTATE and DETAIL
sub finish
{
	my ($app_user, $role, $state, %arguments) = @_;
	my $sql = "SELECT coalesce(failure, 'connected') || ' ' || return_to FROM $ns.oauth_callback(" . AppuserConnectors::arguments(state => $state, code => 'code', %arguments) . ')';
	my ($status, $out, $err);

	if ($role eq 'app_user_role' && defined $app_user)
	{
		$sql = "SET LOCAL ROLE app_user_role;\n$sql";
		$role = 'postgres';
	}
	($status, $out, $err) = AppuserConnectors::run_psql($node, $role, $sql, app_user => $app_user);
	return $out if $status == 0;
	my ($sqlstate) = $err =~ /ERROR:\s+(\w{5}):/;
	my ($detail) = $err =~ /^DETAIL:\s+(.*)$/m;
	return "$sqlstate $detail";
}

sub codes_sent { return scalar $faulty->requests('/token'); }

# ------------------------------------------------------- each cause has its words

my %states = (
	'of a transaction that was rolled back' => [ qr/connect_app_user\(\) was not committed/, sub {
			my $rows = $node->safe_psql('postgres', "BEGIN; SELECT $ns.set_app_user('alice'); SELECT $ns.connect_app_user('calendar'); ROLLBACK", extra_params => [ '-U', 'app_service' ]);
			my ($url) = $rows =~ /(http\S+)/;
			return url_parameters($url)->{state};
	} ],
	'that has expired' => [ qr/The state has expired/, sub {
			my $state = begin('alice', 'calendar');
			query($node, 'postgres', "UPDATE $ns.authorizations SET expires_at = clock_timestamp() WHERE NOT consumed");
			return $state;
	} ],
	'that was used a while ago' => [ qr/The state was used before, at 2/, sub {
			my $state = begin('alice', 'calendar');
			is(finish('alice', 'app_service', $state), 'connected /back', 'connected');
			return $state;
	}, 62 ],
	'that has expired and was swept' => [ qr/The state has expired/, sub {
			query($node, 'postgres', "ALTER SYSTEM SET $ns.authorization_lifetime = '60s'; SELECT pg_reload_conf()");
			my $state = begin('alice', 'calendar');
			query($node, 'postgres', "DELETE FROM $ns.authorizations");
			return $state;
	}, 62 ],
	'of another person' => [ qr/Another person began this flow/, sub { begin('bob', 'calendar') } ],
	'of a flow with a binding, which is wrong' => [ qr/The browser binding is not the one/, sub { begin('alice', 'calendar', browser_binding => "$binding 2") }, 0, browser_binding => $binding ],
	'of a flow with a binding, which is missing' => [ qr/begun with a browser binding, which is missing/, sub { begin('alice', 'calendar', browser_binding => $binding) } ],
	'of a flow without a binding, which is given' => [ qr/binding was given, but the flow was begun without one/, sub { begin('alice', 'calendar') }, 0, browser_binding => $binding ],
	'that was changed' => [ qr/missing, or was not made by this database/, sub { 'x' . begin('alice', 'calendar') } ],
);
my %waits;
foreach my $name (sort keys %states)
{
	my ($why, $make, $wait, %arguments) = @{ $states{$name} };
	my $state = $make->();

	if ($wait)
	{
		$waits{$name} = [ $state, $why, time + $wait ];
		next;
	}
	my $sent = codes_sent();
	like(finish('alice', 'app_service', $state, %arguments), qr/^UC005 .*$why/, "a state $name: the service is told");
	my $offset = -s $node->logfile;
	like(finish('alice', 'app_user_role', $state, %arguments), qr/^UC005 The state is unknown, was used, has expired, or is of another person or browser\.$/, 'the user is not');
	like(slurp_file($node->logfile, $offset), $name =~ /expired/ ? qr/no such flow/ : $why, 'but the server log is');
	is(codes_sent(), $sent, 'nothing is sent');
}
like(finish(undef, 'app_service', begin('alice', 'calendar')), qr/^UC005 Nobody says who is asking/, 'a callback without an app user says so');

# ------------------------------------------ the wrong person does not end a flow

my $state = begin('alice', 'files', browser_binding => $binding);
like(finish(@$_), qr/^UC005/, 'not the right person')
  foreach [ 'mallory', 'app_service', $state, browser_binding => $binding ], [ 'mallory', 'app_user_role', $state ], [ undef, 'app_service', $state ],
  [ undef, 'app_user_role', $state, browser_binding => $binding ], [ 'alice', 'app_service', $state, browser_binding => 'another one: 0123456789' ];
is(finish('alice', 'app_service', $state, browser_binding => $binding), 'connected /back', 'the right one still connects');

# ----------------------------------------------------- the page is loaded again

my $sent = codes_sent();
my $events = query($node, 'postgres', "SELECT count(*) FROM $ns.connection_events");
is(finish('alice', $_, $state, browser_binding => $binding), 'connected /back', "the page loaded again, $_: what it said") foreach 'app_service', 'app_user_role';
is(finish(undef, 'app_service', $state, browser_binding => $binding), 'connected /back', 'also by the binding alone');
like(finish('mallory', 'app_service', $state, browser_binding => $binding), qr/^UC005 Another person/, 'another person is not told');
like(finish('alice', 'app_service', $state), qr/^UC005 .*binding, which is missing/, 'nor is another browser');
my $failed = begin('alice', 'files');
is(finish('alice', 'app_service', $failed, code => undef, error => 'access_denied'), 'access_denied /back', 'the person refuses');
is(finish('alice', 'app_service', $failed), 'access_denied /back', 'the page loaded again says that they refused, even with a code');
is(query($node, 'postgres', "SELECT count(*) FROM $ns.connection_events"), $events + 1, 'one event tells of it');
$faulty->rules({ path => '/token', times => 1, status => 400, body => { error => 'invalid_grant' } }, $granted);
my $refused = begin('alice', 'files');
is(finish('alice', 'app_service', $refused), 'invalid_grant /back', 'the provider refuses');
$sent = codes_sent();
is(finish('alice', 'app_service', $refused), 'invalid_grant /back', 'the page loaded again says so');
is(codes_sent(), $sent, 'and sends nothing');

# The outcome is the row's own: not another's, not an altered row's, and no secret is left.
is(query($node, 'postgres', "SELECT count(*) FROM $ns.authorizations WHERE consumed AND sealed_secrets <> ''"), 0, 'a flow that was used has no secrets');
foreach my $edit ("return_to = 'https://evil.example/'", "binding_hash = sha256('$binding')", "sealed_outcome = (SELECT sealed_outcome FROM $ns.authorizations WHERE state_hash = sha256('$state'))",
	"consumed = false, sealed_outcome = NULL", "connection_name = 'other'")
{
	my $target = begin('carol', 'files');
	is(finish('carol', 'app_service', $target), 'connected /back', 'carol connects');
	query($node, 'postgres', "UPDATE $ns.authorizations SET $edit WHERE state_hash = sha256('$target')");
	$sent = codes_sent();
	like(finish('carol', 'app_service', $target, $edit =~ /binding/ ? (browser_binding => $binding) : ()), qr/^UC005 The (state was used before|stored flow cannot be opened)/, "a used flow that was altered is refused: $edit");
	is(codes_sent(), $sent, 'and sends nothing');
}
$state = begin('carol', 'files');
is(finish('carol', 'app_service', $state), 'connected /back', 'carol connects');
query($node, 'app_service', "SELECT $ns.disconnect_app_user('files')", app_user => 'carol');
like(finish('carol', 'app_service', $state), qr/^UC005 .*disconnect_app_user/, 'after a disconnect the page does not say that she is connected');
for my $time (1 .. 8)
{
	finish('dora', 'app_service', begin('dora', 'files'), code => undef, error => 'access_denied');
}
is(query($node, 'postgres', "SELECT count(*) FROM $ns.authorizations WHERE app_user = 'dora'"), 5, 'of many flows that have ended the newest few are kept');


# ------------------------------------------------------------ a minute later

foreach my $name (sort keys %waits)
{
	my ($state, $why, $until) = @{ $waits{$name} };

	wait_until("a minute has passed for a state $name", sub { time >= $until });
	like(finish('alice', 'app_service', $state), qr/^UC005 .*$why/, "a state $name: the service is told");
}

$node->stop;
done_testing();
