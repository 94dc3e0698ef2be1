# A provider's bad day is nobody's who has connected.  Firewalls, limiters and half-made deploys
# answer everybody with pages and codes of their own: nobody has to connect again for it.  Only
# an answer that means that this grant is dead ends it, in the standard's words at once, in
# others when the neighbours show that it is this one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Test::More;

my $server = start_fault_server();
my $node = new_node('main', 'max_connections = 60');
my %anonymous = (provider => 'test', scopes => ['read'], definition => { issuer => undef, jwks_uri => undef });

# ------------------------------------------------------------------- helpers
sub superuser { return $node->safe_psql('postgres', $_[0]); }

# What is made due by SQL the worker sees when something wakes it.
sub make_due
{
	my ($set, $where) = @_;

	superuser("UPDATE appuser_connectors.connections SET refresh_at = $set WHERE $where; SELECT pg_reload_conf()");
	return;
}

my $given = 0;

sub granted
{
	my (%more) = @_;
	my %body = (access_token => 'access' . ++$given, refresh_token => 'refresh', token_type => 'Bearer', expires_in => 3600, %more);

	delete @body{ grep { !defined $body{$_} } keys %body };
	return { path => '/token', body => \%body };
}

sub connect_to
{
	my ($connector, @people) = @_;

	foreach (@people)
	{
		$server->rules(granted());
		my $row = callback($node, $_, { state => url_parameters(authorization_url($node, $_, $connector))->{state}, code => 'code' });
		is($row->{failure}, undef, "$_ is connected") if defined $row->{failure};
	}
	return;
}

sub new_connector
{
	my ($connector, @people) = @_;

	register($node, $server, connector_id => $connector, %anonymous);
	# what is refused since long ago was not corrected meanwhile
	superuser("UPDATE appuser_connectors.registered_connectors SET updated_at = now() - interval '30 days' WHERE connector_id = '$connector'");
	connect_to($connector, @people);
	return;
}

# All of these are asked for once, and what came of it is stored.
sub all_asked
{
	my ($connector, @people) = @_;
	my $people = join ', ', map { "'$_'" } @people;
	my $due = "SELECT count(*) FROM appuser_connectors.connections WHERE connector_id = '$connector' AND status = 'connected'
		AND app_user IN ($people) AND refresh_at <= now()";

	make_due('now()', "connector_id = '$connector' AND app_user IN ($people)");
	wait_until('all were asked for', sub { superuser($due) == 0 });
	return;
}

sub status_of
{
	my ($connector, $person) = @_;

	return superuser("SELECT status || COALESCE(' ' || status_reason, '') FROM appuser_connectors.connections
		WHERE connector_id = '$connector' AND app_user = '$person'");
}

sub connected { return superuser("SELECT count(*) FROM appuser_connectors.connections WHERE connector_id = '$_[0]' AND status = 'connected'"); }

# ------------------------------------------------- twenty people, nine minutes of it
my %html = (headers => { 'content-type' => 'text/html' }, body => '<html><title>Just a moment...</title></html>');
my %refusals = (
	'400 without a word' => { status => 400, body => '' },
	'400 invalid_request' => { status => 400, body => { error => 'invalid_request' } },
	'401 invalid_request' => { status => 401, body => { error => 'invalid_request' } },
	'403 unauthorized_client' => { status => 403, body => { error => 'unauthorized_client' } },
	'400 access_denied: a limit' => { status => 400, body => { error => 'access_denied', error_description => 'Rate limit exceeded' } },
	'400 with an object of its own' => { status => 400, body => { message => 'no' } },
);
my %pages = (
	'403, a firewall' => { status => 403, %html },
	'404, a page' => { status => 404, %html },
	'405, a page' => { status => 405, %html },
	'404, an object' => { status => 404, body => { error => 'Not Found' } },
	'400, a page' => { status => 400, %html },
	'400 unknown_error' => { status => 400, body => { error => 'unknown_error' } },
	'403, a limiter' => { status => 403, body => { message => 'Forbidden' } },
);
my @people = map { "person$_" } 1 .. 20;

foreach my $name (sort keys %refusals)
{
	my $connector = 'outage-' . $name =~ s/\W+/-/gr;

	new_connector($connector, @people);
	$server->rules(granted());
	all_asked($connector, @people);
	$server->rules({ path => '/token', %{ $refusals{$name} } });
	# as many times as there are in nine minutes
	all_asked($connector, @people) foreach 1 .. 6;
	is(connected($connector), 20, "$name, to everybody: nobody has to connect again");
	$server->rules(granted());
	all_asked($connector, @people);
	is(superuser("SELECT count(*) FROM appuser_connectors.connections WHERE connector_id = '$connector' AND failures = 0 AND refusals = 0"), 20,
		"$name: when it is over everybody is renewed");
}

foreach my $name (sort keys %pages)
{
	my $connector = 'page-' . $name =~ s/\W+/-/gr;

	new_connector($connector, 'lone');
	$server->rules({ path => '/token', %{ $pages{$name} } });
	foreach (1 .. 3)
	{
		all_asked($connector, 'lone');
		superuser("UPDATE appuser_connectors.connections SET failing_since = now() - interval '3 days' WHERE connector_id = '$connector'");
	}
	is(connected($connector), 1, "$name is never about a grant, however long");
}

# -------------------------------------------------- nineteen are well and one is dead
foreach my $name ('400 without a word', '400 invalid_request', '401 invalid_request', '403 unauthorized_client')
{
	my $connector = 'one-' . $name =~ s/\W+/-/gr;
	my %dead = (path => '/token', %{ $refusals{$name} });
	my ($victim, @others) = @people;

	new_connector($connector, @people);
	foreach my $round (1 .. 5)
	{
		$server->rules(\%dead);
		all_asked($connector, $victim);
		is(connected($connector), $round < 5 ? 20 : 19, "$name for one of twenty: refusal $round " . ($round < 5 ? 'is not the end' : 'is')) if $round >= 4;
		$server->rules(granted());
		all_asked($connector, $others[$round]);
	}
	like(status_of($connector, $victim), qr/^reconnect_required /, 'who is dead has to connect again');
}

# Their own other connection does not vouch for anybody.
new_connector('own', 'olga');
$server->rules(granted());
callback($node, 'olga', { state => url_parameters(authorization_url($node, 'olga', 'own', connection_name => 'second'))->{state}, code => 'code' });
foreach (1 .. 6)
{
	$server->rules({ path => '/token', status => 400, body => '' });
	make_due("CASE connection_name WHEN 'default' THEN now() END", "connector_id = 'own'");
	wait_until('it was asked', sub { superuser("SELECT refresh_at > now() FROM appuser_connectors.connections WHERE connector_id = 'own' AND connection_name = 'default'") eq 't' });
	$server->rules(granted());
	make_due('now()', "connector_id = 'own' AND connection_name = 'second'");
	wait_until('it was asked', sub { superuser("SELECT refresh_at > now() FROM appuser_connectors.connections WHERE connector_id = 'own' AND connection_name = 'second'") eq 't' });
}
is(connected('own'), 2, "a person's own other connection vouches for nobody");

# ------------------------------------------------------------ nobody to vouch for it
new_connector('lone', 'lea');
$server->rules({ path => '/token', status => 400, body => '' });
all_asked('lone', 'lea') foreach 1 .. 6;
superuser("UPDATE appuser_connectors.connections SET failing_since = now() - interval '23 h' WHERE connector_id = 'lone'");
all_asked('lone', 'lea');
is(connected('lone'), 1, 'a lone connection that is refused is not given up within a day');
connect_to('lone', 'max');
$server->rules({ path => '/token', status => 400, body => '' });
all_asked('lone', 'max');
superuser("UPDATE appuser_connectors.connections SET failing_since = now() - interval '25 h' WHERE connector_id = 'lone' AND app_user = 'lea'");
all_asked('lone', 'lea');
is(connected('lone'), 2, 'nor after a day while another is refused');
$server->rules(granted());
all_asked('lone', 'max');
superuser("UPDATE appuser_connectors.connections SET refresh_at = NULL WHERE app_user = 'max'");
$server->rules({ path => '/token', status => 400, body => '' });
superuser("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'");
all_asked('lone', 'lea');
like(status_of('lone', 'lea'), qr/^reconnect_required /, 'but after a day of it alone');

# ------------------------------------------------------------------ Retry-After
new_connector('patient', 'pia');
$server->rules({ path => '/token', status => 403, body => { error => 'access_denied' }, headers => { 'retry-after' => '600' } });
all_asked('patient', 'pia');
cmp_ok(superuser("SELECT extract(epoch FROM refresh_at - now()) FROM appuser_connectors.connections WHERE connector_id = 'patient'"), '>', 570,
	'Retry-After is honoured with a refusal as well');

# --------------------------------------------------------- what became of it is unclear
new_connector('unclear', 'uma', 'ute');
my %used = (path => '/token', status => 400, body => { error => 'invalid_grant', error_description => 'request is already being processed' });
$server->rules({ path => '/token', drop => JSON::PP::true, times => 1 }, { %used, times => 3 }, granted());
all_asked('unclear', 'uma');
is(status_of('unclear', 'uma'), 'connected unanswered', 'invalid_grant to a second sending, after the first was cut off, is not believed at once');
all_asked('unclear', 'uma') foreach 1 .. 2;
is(status_of('unclear', 'uma'), 'connected unanswered', 'nor the next times');
all_asked('unclear', 'uma');
is(status_of('unclear', 'uma'), 'connected', 'until the provider has an answer');
$server->rules({ path => '/token', drop => JSON::PP::true, times => 1 }, \%used);
all_asked('unclear', 'uma');
foreach (1 .. 2)
{
	# trouble in between does not make it clear
	all_asked('unclear', 'uma');
	$server->rules({ path => '/token', status => 503, times => 1 }, \%used);
	all_asked('unclear', 'uma');
}
is(status_of('unclear', 'uma'), 'connected unanswered', 'trouble in between makes nothing clear');
all_asked('unclear', 'uma') foreach 1 .. 2;
is(status_of('unclear', 'uma'), 'reconnect_required invalid_grant', 'said for a minute it is believed');
$server->rules(\%used);
all_asked('unclear', 'ute');
is(status_of('unclear', 'ute'), 'reconnect_required invalid_grant', 'where every answer came it is believed at once');

# What was asked again counts for nothing when the refusal is another.
new_connector('both', 'una', 'udo');
$server->rules({ path => '/token', drop => JSON::PP::true, times => 1 }, \%used);
all_asked('both', 'una') foreach 1 .. 3;
foreach (1 .. 2)
{
	$server->rules({ path => '/token', status => 400, body => '' });
	all_asked('both', 'una');
	$server->rules(granted());
	all_asked('both', 'udo');
}
is(status_of('both', 'una'), 'connected HTTP status 400', 'invalid_grant that was asked again and refusals in other words are counted apart');

# --------------------------------------------------------- an answer without expires_in
new_connector('lifetime', 'lisa');
foreach my $lacking ({ expires_in => undef }, { expires_in => -1 })
{
	$server->rules(granted(%$lacking));
	make_due('now()', "connector_id = 'lifetime'");
	wait_until('it is renewed', sub { superuser("SELECT generation FROM appuser_connectors.connections WHERE connector_id = 'lifetime'") > 1
			&& superuser("SELECT refresh_at > now() FROM appuser_connectors.connections WHERE connector_id = 'lifetime'") eq 't' });
	like(superuser("SELECT round(extract(epoch FROM expires_at - updated_at) / 10) FROM appuser_connectors.connections WHERE connector_id = 'lifetime'"), qr/^360$/,
		'an answer without a lifetime, or an absurd one: the one before counts on');
}
is(superuser("SELECT string_agg(event, ' ' ORDER BY occurred_at) FROM appuser_connectors.connection_events WHERE connector_id = 'lifetime' AND event LIKE 'expires%'"),
	'expires_in_missing expires_in_ignored', 'with an event');

$node->stop;
done_testing();
