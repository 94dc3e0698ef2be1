# What one person can make happen is bounded in time as well: events of flows that come
# to nothing, codes that a provider refuses, tokens renewed before they are due; and
# however many connections one person has, the others' come in between.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Session;
use Test::More;

my $EVENTS = 100;
my $REFUSED = 60;
my $FORCED = 20;
my $OWN = 4;      # places of one app user at a connector, for what nobody waits for

my $node = new_node('main', "appuser_connectors.request_timeout = '60s'", "appuser_connectors.wait_timeout = '60s'");
my $stub = AppuserConnectors::Server->start('token-stub.mjs', {}, sub { () });
register($node, $stub, provider => 'stub', connector_id => 'stub', client_id => 'stub', client_secret => 'a secret', scopes => ['read']);

sub superuser { return $node->safe_psql('postgres', $_[0]); }

# So many flows of a person, one after the other, each under a name of its own if so
# asked, that end so; returns how often each end was met
sub flows
{
	my ($count, $app_user, $end, %options) = @_;
	my $name = $options{names} ? "'name ' || i" : "'default'";
	my $out = query($node, 'app_service', qq{
		CREATE TEMP TABLE ends (told text);
		DO \$\$
		DECLARE
			url text;
			told text;
		BEGIN
			FOR i IN 1 .. $count LOOP
				PERFORM appuser_connectors.set_app_user('$app_user');
				url := appuser_connectors.connect_app_user('stub', $name);
				COMMIT;
				PERFORM appuser_connectors.set_app_user('$app_user');
				BEGIN
					SELECT COALESCE(failure, 'connected') INTO STRICT told
					FROM appuser_connectors.oauth_callback(substring(url FROM 'state=([^&]+)'), $end);
				EXCEPTION WHEN SQLSTATE 'UC003' THEN
					told := SQLSTATE;
				END;
				INSERT INTO ends VALUES (told);
				COMMIT;
			END LOOP;
		END \$\$;
		SELECT json_object_agg(told, n) FROM (SELECT told, count(*) AS n FROM ends GROUP BY 1) AS e});
	return decode($out);
}

sub events { return superuser("SELECT count(*) FROM appuser_connectors.connection_events WHERE app_user = '$_[0]' AND event = 'connect_failed'"); }
sub asked { return scalar @{ $stub->ctl->{asked} }; }

# ------------------------------------------------------------------------------ events
is_deeply(flows(120, 'mallory', "error => 'error_' || i", names => 1), { map { ("error_$_" => 1) } 1 .. 120 }, 'a person ends many flows, each with another error');
is(events('mallory'), $EVENTS, 'so many events are kept of them');
is(superuser("SELECT count(*) FROM appuser_connectors.connection_events WHERE detail LIKE 'error_$EVENTS: % (more%are not recorded%'"), 1, 'the last says that there were more');
flows(1, 'alice', "error => 'access_denied'");
is(events('alice'), 1, "another person's are recorded");

# ------------------------------------------------------------------------------- codes
$stub->order({ faults => [ { account => 'made up', status => 400, body => { error => 'invalid_grant' } } ] });
my $before = asked();
is_deeply(flows($REFUSED + 20, 'mallory', "'made up'"), { invalid_grant => $REFUSED, UC003 => 20 }, 'a person makes up codes: after so many they are refused at once');
is(asked() - $before, $REFUSED, 'and not sent');
is_deeply(flows(1, 'alice', "'alice'"), { connected => 1 }, 'everybody else can connect');

# -------------------------------------------------------------------- tokens that live
sub renew
{
	my ($count, $more) = @_;
	return query($node, 'app_service', qq{
		CREATE TEMP TABLE tokens (token text);
		DO \$\$
		DECLARE
			got text := '';
		BEGIN
			FOR i IN 1 .. $count LOOP
				BEGIN
					SELECT access_token INTO STRICT got FROM appuser_connectors.app_user_connection('alice', 'stub', $more);
					INSERT INTO tokens VALUES (got);
				EXCEPTION WHEN SQLSTATE 'UC003' THEN
					INSERT INTO tokens VALUES (SQLSTATE || ' ' || SQLERRM);
				END;
				COMMIT;
			END LOOP;
		END \$\$;
		SELECT count(*) FILTER (WHERE token LIKE 'access%') || ' ' || count(*) FILTER (WHERE token LIKE 'UC003%too often') FROM tokens});
}

$before = asked();
is(renew(50, "min_validity => '1 day'"), '50 0', 'a backend asks fifty times for a token that lives longer than any does: it gets one each time');
is(asked() - $before, $FORCED, 'but not a new one each time');
is(renew(3, 'rejected_token => got'), '1 2', 'one that has each rejected is told that this is not the reason');
is(asked() - $before, $FORCED, 'without the provider being asked');
superuser("UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 second'");
is(renew(1, "min_validity => '0'"), '1 0', 'a token that has expired is renewed however often that was done');
is(asked() - $before, $FORCED + 1, 'by asking the provider');

# ------------------------------------------------------- one person's many connections
flows(40, 'hog', "'hog/' || i", names => 1);
flows(1, 'bob', "'bob'");
$stub->order({ faults => [ { account => 'hog', hold => JSON::PP::true } ] });
$before = superuser("SELECT sum(generation) FROM appuser_connectors.connections WHERE app_user <> 'hog'");
superuser("UPDATE appuser_connectors.connections SET refresh_at = now() - CASE WHEN app_user = 'hog' THEN interval '1 hour' ELSE interval '1 minute' END");
wait_until('those who are due later are renewed', sub {
		superuser("SELECT sum(generation) FROM appuser_connectors.connections WHERE app_user <> 'hog'") >= $before + 2 });
pass('one person has forty connections that are due, at a provider that does not answer for them: the others are renewed');
wait_until('as many of the forty are under way as may be', sub { $stub->ctl->{held} >= $OWN });
is($stub->ctl->{held}, $OWN, 'one person has an eighth of the places for that');
$stub->order({ faults => [] });
wait_until('the forty are renewed', sub { superuser("SELECT count(*) FROM appuser_connectors.connections WHERE app_user = 'hog' AND generation > 1 AND failures = 0") == 40 });
pass('and all of the forty when it answers');

# The same with what is to be revoked
$stub->order({ faults => [ { account => 'hog', hold => JSON::PP::true } ] });
query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('stub', 'name ' || i) FROM generate_series(1, 40) AS i", app_user => 'hog');
query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('stub')", app_user => 'bob');
wait_until('bob is revoked', sub { ($stub->ctl->{revoked}{bob} // 0) == 2 });
is($stub->ctl->{held}, $OWN, 'forty connections of one person are to be revoked, at a provider that does not answer for them: another\'s is');
$stub->order({ faults => [] });
wait_until('the forty are revoked', sub { superuser('SELECT count(*) FROM appuser_connectors.revocations') == 0 });
pass('and all of the forty when it answers');

$node->stop;
done_testing();
