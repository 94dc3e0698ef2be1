# A request that was in the air when the server crashed may have spent its refresh token, and
# nobody knows.  When the provider says invalid_grant to the next sending (the first is still
# under way there, or used the token up within a grace period), that is not believed at once;
# where no answer can have been lost it is.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PsqlSession;
use Test::More;

my $server = start_fault_server();
my $node = new_node('main', 'restart_after_crash = on', "appuser_connectors.shutdown_timeout = '300ms'", "appuser_connectors.request_timeout = '60s'");
my %used = (path => '/token', status => 400, body => { error => 'invalid_grant', error_description => 'request is already being processed' });
my $given = 0;

register($node, $server, provider => 'test', connector_id => 'app', scopes => ['read'], definition => { issuer => undef, jwks_uri => undef });

# ------------------------------------------------------------------- helpers
sub superuser { return $node->safe_psql('postgres', $_[0]); }

sub granted
{
	$given++;
	return { path => '/token', body => { access_token => "access$given", refresh_token => "refresh$given", token_type => 'Bearer', expires_in => 3600 } };
}

sub connect_to_app
{
	my ($person) = @_;

	$server->rules(granted());
	callback($node, $person, { state => url_parameters(authorization_url($node, $person, 'app'))->{state}, code => 'code' });
	return;
}

sub status_of
{
	my ($person) = @_;

	return superuser("SELECT status || COALESCE(' ' || status_reason, '') FROM appuser_connectors.connections WHERE app_user = '$person'");
}

# What is made due by SQL the worker sees when something wakes it.
sub make_due
{
	my ($person) = @_;

	superuser("UPDATE appuser_connectors.connections SET refresh_at = now() WHERE app_user = '$person'; SELECT pg_reload_conf()");
	return;
}

# Asked for whatever it waits for
sub asked_again
{
	my ($person) = @_;

	make_due($person);
	wait_until('it was asked again', sub {
			superuser("SELECT count(*) FROM appuser_connectors.connections WHERE app_user = '$person' AND status = 'connected' AND refresh_at <= now()") == 0 });
	return;
}

# Its refresh is in the air until the connection breaks.
sub in_the_air
{
	my ($begin) = @_;
	my $hold = "air$given";

	$server->rules({ path => '/token', hold => $hold, drop => JSON::PP::true });
	$begin->();
	$server->wait(held => $hold);
	return $hold;
}

sub worker { return superuser(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'}); }

sub answers
{
	wait_until('the server answers', sub { $node->psql('postgres', 'SELECT 1', on_error_die => 0, stdout => \my $out, stderr => \my $err) == 0 });
	return;
}

my %crash = (
	'kill -9 of the worker' => sub {
		my $worker = worker();

		kill 'KILL', $worker;
		wait_until('the server has noticed', sub { !kill 0, $worker });
		answers();
	},
	'kill -9 of the postmaster' => sub { kill_postmaster($node); start_again($node) },
	'an immediate stop' => sub { $node->stop('immediate'); $node->start },
	# which waits for an answer, but not for ever
	'a fast stop' => sub { $node->stop('fast'); $node->start });

# ------------------------------------------------------------------ what was due
foreach my $how (sort keys %crash)
{
	my ($person) = $how =~ /(\w+)$/;

	connect_to_app($person);
	my $hold = in_the_air(sub { make_due($person) });
	$server->add(\%used);
	$crash{$how}->();
	wait_until('it is sent again', sub { status_of($person) ne 'connected' });
	is(status_of($person), 'connected unanswered', "$how with a refresh in the air: the provider's invalid_grant is not believed at once");
	$server->rules({ %used, times => 1 }, granted());
	asked_again($person);
	is(status_of($person), 'connected unanswered', "$how: nor the next time");
	asked_again($person);
	is(status_of($person), 'connected', "$how: and the provider has another answer");
	is(access_token($node, $person, 'app'), "access$given", "$how: which is served");

	# the worker has heard each answer since
	$server->rules(\%used);
	asked_again($person);
	is(status_of($person), 'reconnect_required invalid_grant', "$how: from then on it is believed at once");
	$server->release($hold);
}

# --------------------------------------------- what somebody asked for ahead of its time
connect_to_app('rita');
my $rejected = access_token($node, 'rita', 'app');
my $asker = PsqlSession->new($node, 'app_service', later => 1);
my $hold = in_the_air(sub {
		$asker->send("SELECT access_token FROM appuser_connectors.app_user_connection('rita', 'app', rejected_token => '$rejected')") });
$crash{'kill -9 of the postmaster'}->();
$asker->close;
$server->rules({ %used, times => 1 }, granted());
my ($state) = failure($node, 'app_service', "SELECT access_token FROM appuser_connectors.app_user_connection('rita', 'app', rejected_token => '$rejected')");
is($state, 'UC003', 'a token that was rejected, and was being renewed: who asks again is told to try later');
asked_again('rita');
is(access_token($node, 'rita', 'app', rejected_token => $rejected), "access$given", 'and has another soon');

# --------------------------------------------------------------- said for a minute
connect_to_app('mia');
$hold = in_the_air(sub { make_due('mia') });
$server->add(\%used);
$crash{'kill -9 of the worker'}->();
wait_until('it is sent again', sub { status_of('mia') ne 'connected' });
foreach (1 .. 3)
{
	# trouble in between makes nothing clear
	$server->rules({ path => '/token', status => 503, times => 1 }, \%used);
	asked_again('mia') foreach 1 .. 2;
	is(status_of('mia'), 'connected unanswered', "invalid_grant, the $_. time more");
}
asked_again('mia');
is(status_of('mia'), 'reconnect_required invalid_grant', 'said for a minute it is believed');
is(superuser("SELECT count(*) FROM appuser_connectors.connection_events WHERE app_user = 'mia' AND event = 'reconnect_required'"), 1, 'and recorded once');

# ----------------------------------------------------- refused in words of its own
# the first trouble is no refusal, and what is said then is what it is judged by
connect_to_app('olga');
$hold = in_the_air(sub { make_due('olga') });
$server->add({ path => '/token', status => 503 });
$crash{'kill -9 of the worker'}->();
wait_until('it is sent again', sub { status_of('olga') ne 'connected' });
is(status_of('olga'), 'connected HTTP status 503', "a provider's trouble is told as such after a crash, too");
$server->rules(\%used);
asked_again('olga');
is(status_of('olga'), 'connected unanswered', 'and leaves it open what became of the token');

$node->stop;
done_testing();
