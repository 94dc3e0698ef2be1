# An admin takes back that people must connect again, after an outage that looked like
# refusals: retry_connections() has those tried again that still have a refresh token,
# of one person or for one reason if so asked, and check_health() proposes it when many
# ended together.  What the provider refuses again ends again, and what must not go on
# stays as it is.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Test::More;

my $stub = AppuserConnectors::Server->start('token-stub.mjs', {}, sub { () });
my $node = new_node('retry');
my @people = map { "person$_" } 1 .. 6;

register($node, $stub, provider => 'stub', connector_id => 'stub', client_id => 'stub', client_secret => 'secret of stub', scopes => ['read']);

sub superuser { return $node->safe_psql('postgres', $_[0]); }

sub admin { return query($node, 'app_admin', $_[0]); }

sub connect_anew
{
	my ($app_user) = @_;
	my $url = authorization_url($node, $app_user, 'stub');
	my $row = callback($node, $app_user, { state => url_parameters($url)->{state}, code => $app_user });

	die "$app_user: $row->{failure}" if defined $row->{failure};
	return;
}

sub status { return superuser("SELECT status || ' ' || coalesce(status_reason, '') FROM appuser_connectors.connections WHERE app_user = '$_[0]'"); }

sub events { return superuser("SELECT count(*) FROM appuser_connectors.connection_events WHERE app_user = '$_[0]' AND event = '$_[1]'"); }

sub health { return row($node, 'app_admin', "SELECT ok, detail FROM appuser_connectors.check_health() WHERE name = 'connector stub'"); }

# They are due, the provider answers so, and that is believed.
sub refuse
{
	my (@refused) = @_;

	my $every = { faults => [ map { { account => $_, status => 400, body => { error => 'invalid_grant' } } } @people[0 .. 4] ] };

	$stub->order($every);
	superuser("UPDATE appuser_connectors.connections SET refresh_at = now(), expires_at = now() WHERE app_user = '$_'") foreach @refused;
	foreach my $app_user (@refused)
	{
		wait_until("$app_user must connect again", sub { status($app_user) =~ /^reconnect_required/ });
	}
	return;
}

connect_anew($_) foreach @people;

refuse(@people[0 .. 2]);
ok(health()->{ok}, 'three of six that ended: health has nothing to say');
refuse(@people[3, 4]);
my $health = health();
ok(!$health->{ok}, 'five of six within an hour: it has');
like($health->{detail}, qr/^5 connections.*retry_connections\(\)/, 'and what to do');

is((failure($node, 'app_admin', "SELECT appuser_connectors.retry_connections('none')"))[0], 'UC006', 'no such connector');
is(admin("SELECT appuser_connectors.retry_connections('stub', app_user => 'nobody')"), 0, 'of nobody: none');
is(admin("SELECT appuser_connectors.retry_connections('stub', reason => 'another')"), 0, 'for another reason: none');

# ----------------------------------------------------------- still refused, then not

is(admin("SELECT appuser_connectors.retry_connections('stub', app_user => 'person1')"), 1, 'of one person: one');
wait_until('it is tried', sub { events('person1', 'reconnect_required') == 2 });
like(status('person1'), qr/^reconnect_required/, 'refused again it ends again');

$stub->order({ faults => [], reset => JSON::PP::true });
is(admin("SELECT appuser_connectors.retry_connections('stub', app_user => 'person1')"), 1, 'the provider is well: once more');
is(access_token($node, 'person1', 'stub'), 'access:person1:2', 'and the token is a new one at once, not the one of before');
is(status('person1'), 'connected ', 'it is connected');
is(events('person1', 'retried'), 2, 'events say that it was tried');

# ------------------------------------------------------------- what is left alone

superuser("UPDATE appuser_connectors.connections SET endpoints = 'elsewhere' WHERE app_user = 'person2'");
superuser("UPDATE appuser_connectors.connections SET status_reason = 'account_changed' WHERE app_user = 'person3'");
superuser("UPDATE appuser_connectors.connections SET refresh_token = NULL WHERE app_user = 'person4'");
is(admin("SELECT appuser_connectors.retry_connections('stub')"), 1, 'of everybody: who has nothing in the way');
is(access_token($node, 'person5', 'stub'), 'access:person5:2', 'is served again');
like(status($_), qr/^reconnect_required/, "$_ is left alone") foreach @people[1 .. 3];
is($stub->ctl->{reused}, 0, 'no refresh token was spent twice');
is(admin("SELECT appuser_connectors.retry_connections('stub')"), 0, 'those that are connected are no business of it');
is((failure($node, 'app_service', "SELECT appuser_connectors.retry_connections('stub')"))[0], '42501', 'the service role may not');

done_testing();
