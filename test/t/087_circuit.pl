# What a provider answers about one person's connections is that person's trouble, of
# however many connections; a connector is left alone when several people's calls have
# failed one after the other, and is tried again soon; one bad moment closes nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Session;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = new_node('main', 'max_connections = 100');
my %stub;

sub superuser { return $node->safe_psql('postgres', $_[0]); }

# A connector with a stub of its own, and the people that are connected there
sub stub_connector
{
	my ($connector, @people) = @_;

	$stub{$connector} = AppuserConnectors::Server->start('token-stub.mjs', {}, sub { () });
	register($node, $stub{$connector}, provider => $connector, connector_id => $connector, client_id => $connector,
		client_secret => "secret of $connector", scopes => ['read']);
	connect_anew($connector, 'default', @people);
	return;
}

# The stub's code is the account's name, here 'app user/connection name'.
sub connect_anew
{
	my ($connector, $name, @people) = @_;
	my $people = AppuserConnectors::quote(\@people);

	query($node, 'app_service', qq{
		DO \$\$
		DECLARE
			person text;
			url text;
			failed text;
		BEGIN
			FOREACH person IN ARRAY $people LOOP
				PERFORM appuser_connectors.set_app_user(person);
				url := appuser_connectors.connect_app_user('$connector', '$name');
				COMMIT;
				PERFORM appuser_connectors.set_app_user(person);
				SELECT failure INTO STRICT failed FROM appuser_connectors.oauth_callback(substring(url FROM 'state=([^&]+)'), person || '/$name');
				IF failed IS NOT NULL THEN
					RAISE EXCEPTION '% is not connected: %', person, failed;
				END IF;
				COMMIT;
			END LOOP;
		END \$\$});
	return;
}

sub fault
{
	my ($connector, @faults) = @_;
	return $stub{$connector}->order({ faults => \@faults });
}

sub asked { return scalar @{ $stub{ $_[0] }->ctl->{asked} }; }

# Nothing is due by itself, and who asks needs a new token.
sub expire
{
	my ($connector, $more) = @_;

	superuser("UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 second', refresh_at = NULL WHERE connector_id = '$connector' $more");
	return;
}

sub expire_all { return expire($_[0], ''); }

sub state_of
{
	my ($connector, $person, $name) = @_;
	my ($state, $told) = failure($node, 'app_service', 'SELECT access_token FROM appuser_connectors.app_user_connection('
		  . AppuserConnectors::arguments(app_user => $person, connector_id => $connector, connection_name => $name // 'default') . ')');

	return wantarray ? ($state // 'served', $told) : $state // 'served';
}

sub stopped { return superuser("SELECT stopped_at IS NOT NULL FROM appuser_connectors.registered_connectors WHERE connector_id = '$_[0]'") eq 't'; }

my %trouble = (
	'503' => { status => 503 },
	'429' => { status => 429 },
	'500 with an error' => { status => 500, body => { error => 'server_error' } },
	'no answer' => { drop => JSON::PP::true },
	'no OAuth answer' => { status => 200, body => { hello => 'world' } },
	'a refused client' => { status => 401, body => { error => 'invalid_client' } });

# ------------------------------------------------------------------ one person's trouble
my @names = map { "name $_" } 1 .. 8;
stub_connector('one', 'bob');
connect_anew('one', $_, 'alice') foreach @names;
foreach my $what (sort keys %trouble)
{
	fault('one', { account => 'alice', %{ $trouble{$what} } });
	expire_all('one');
	my @told = map { scalar state_of('one', 'alice', $_) } @names;
	my $expected = $what eq 'a refused client' ? 'UC004' : 'UC003';
	is("@told", join(' ', ($expected) x @names), "$what: eight connections of one person fail");
	is(state_of('one', 'bob'), 'served', "$what: everybody else is served");
	ok(!stopped('one'), "$what: and the connector is not stopped");
	fault('one');
	expire_all('one');
	is(state_of('one', 'alice', $names[0]), 'served', "$what: so is this person, once it is over");
}

# ------------------------------------------- people who are refused as clients, and others
stub_connector('tenant', qw(ann ben cid dan eve fay gil hal));
fault('tenant', map { { account => $_, status => 401, body => { error => 'invalid_client' } } } qw(ann ben cid fay gil hal));
expire_all('tenant');
is(state_of('tenant', $_), 'UC004', "$_ is of a tenant that removed the application") foreach qw(ann ben);
is(state_of('tenant', 'dan'), 'served', 'dan is not');
is(state_of('tenant', 'cid'), 'UC004', 'cid is');
ok(!stopped('tenant'), 'three people whose client is refused do not stop a connector that serves another in between');
expire('tenant', '');
is(state_of('tenant', $_), 'UC004', "$_ is refused again") foreach qw(ann ben);
ok(!stopped('tenant'), 'nor do those whose own trouble it was shown to be count again');
is(state_of('tenant', $_), 'UC004', "$_ is refused, and nobody served in between") foreach qw(fay gil);
ok(stopped('tenant'), 'that stops it');
is(superuser("SELECT probe_at < now() + interval '2 minutes' FROM appuser_connectors.registered_connectors WHERE connector_id = 'tenant'"), 't', 'not for long at first');
superuser("UPDATE appuser_connectors.registered_connectors SET probe_at = now() - interval '1 second' WHERE connector_id = 'tenant'");
expire_all('tenant');
my $asked = asked('tenant');
is(state_of('tenant', 'fay'), 'UC004', 'then it is not one of those who tries it');
is(asked('tenant'), $asked, 'whose refusal is known');
is(state_of('tenant', 'eve'), 'served', 'but somebody else');
ok(!stopped('tenant'), 'which lets it go on');

# ----------------------------------------------------------------- several people's trouble
my @people = map { "person $_" } 1 .. 30;
stub_connector('all', @people, 'zoe');
fault('all', { account => '', status => 503 });
expire_all('all');
is(state_of('all', $_), 'UC003', "$_ meets a provider that fails") foreach @people[ 0 .. 2 ];
$asked = asked('all');
my ($state, $told) = state_of('all', 'zoe');
is($state, 'UC003', 'after three people the others are told so');
like($told, qr/has not been answering/, 'and why');
is(asked('all'), $asked, 'without the provider being asked');

# While it lasts it is asked ever less often, by whoever waits.
my $began = time();
while (time() - $began < 6)
{
	state_of('all', $people[ 3 + rand(20) ]);
	usleep(20_000);
}
cmp_ok(asked('all') - $asked, '>', 0, 'after a moment it is tried again');
cmp_ok(asked('all') - $asked, '<=', 15, 'not by everybody');

# And when it is over, the first whose call succeeds opens it to everybody.
fault('all');
wait_until('somebody is served', sub { state_of('all', 'zoe') eq 'served' });
cmp_ok(time() - $began, '<', 30, 'soon after it answers again');
expire_all('all');
is(state_of('all', $_), 'served', "$_ is served") foreach @people[ 0, 7, 25 ];

# A success in between, of whatever kind, is a provider that works.
fault('all', map { { account => "person $_/", status => 503 } } 1 .. 9);
expire_all('all');
foreach my $i (0 .. 4)
{
	is(state_of('all', $people[$i]), 'UC003', "$people[$i] meets trouble");
	expire_all('all') if $i == 1;
	is(state_of('all', 'zoe'), 'served', 'zoe does not') if $i == 1;
	connect_anew('all', 'default', 'newcomer') if $i == 3;
}
is(state_of('all', 'person 30'), 'served', 'nobody is told to wait');

# One person's failures, repeated as often as they like, keep nobody out for long.
stub_connector('loop', map { "mallory $_" } 1 .. 3);
connect_anew('loop', $_, 'mallory') foreach @names;
connect_anew('loop', 'default', 'bob');
fault('loop', { account => 'mallory', status => 503 });
expire_all('loop');
is(state_of('loop', "mallory $_"), 'UC003', "account $_ of a person fails") foreach 1 .. 3;
like((state_of('loop', 'bob'))[1], qr/has not been answering/, 'three accounts are several people');
my $session = Session->new($node, 'postgres');
$session->send(q{
	DO $$
	BEGIN
		FOR i IN 1 .. 10000 LOOP
			UPDATE appuser_connectors.connections SET failures = 0, refresh_at = NULL, expires_at = now() - interval '1 second'
			WHERE app_user = 'mallory' AND connector_id = 'loop';
			COMMIT;
			BEGIN
				PERFORM FROM appuser_connectors.app_user_connection('mallory', 'loop', 'name ' || 1 + i % 8);
			EXCEPTION WHEN SQLSTATE 'UC003' THEN
				NULL;
			END;
			COMMIT;
		END LOOP;
	END $$});
$began = time();
wait_until('bob is served', sub { state_of('loop', 'bob') eq 'served' });
cmp_ok(time() - $began, '<', 10, 'but one that fails over and over does not keep the others out');
superuser("UPDATE appuser_connectors.connections SET refresh_at = NULL WHERE app_user LIKE 'mallory _'");
wait_until('bob is served again', sub { expire('loop', "AND app_user = 'bob'"); state_of('loop', 'bob') eq 'served' });
expire('loop', "AND app_user = 'bob'");
is(state_of('loop', 'bob'), 'served', 'and from then on nobody is');
superuser("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%app_user_connection(''mallory%' AND pid <> pg_backend_pid()");
$session->close(rudely => 1);

# ---------------------------------------------------------------------- one bad moment
my @crowd = map { "crowd $_" } 1 .. 20;
stub_connector('moment', @crowd, 'late');
expire_all('moment');
fault('moment', { account => 'crowd', hold => JSON::PP::true });
my @sessions = map { Session->new($node, 'app_service') } @crowd;
$sessions[$_]->send("SELECT access_token FROM appuser_connectors.app_user_connection('$crowd[$_]', 'moment')") foreach 0 .. $#crowd;
wait_until('all their calls are in the air', sub { $stub{moment}->ctl->{held} == @crowd });
fault('moment', { account => 'crowd', status => 503 });
fault('moment');    # over, before any of them is tried again
is($_->answer->{state}, 'UC003', 'a call that was in the air fails') foreach @sessions;
is(state_of('moment', 'late'), 'served', 'who asks afterwards is served: all of that was one failure');
$_->close foreach @sessions;

# The provider is away for half a second while twenty are due.
fault('moment', { account => '', drop => JSON::PP::true });
$stub{moment}->order({ reset => JSON::PP::true });
superuser("UPDATE appuser_connectors.connections SET failures = 0, expires_at = now() + interval '2 minutes', refresh_at = now() WHERE connector_id = 'moment'");
wait_until('it was asked', sub { asked('moment') > 0 });
usleep(500_000);
fault('moment');
my $back = time() * 1000;
wait_until('everybody is renewed', sub {
		superuser("SELECT count(*) FROM appuser_connectors.connections WHERE connector_id = 'moment' AND failures = 0 AND expires_at > now() + interval '30 minutes'") == @crowd + 1 });
my ($first) = grep { $_->[0] >= $back } @{ $stub{moment}->ctl->{asked} };
note sprintf 'asked again %.0f ms after the provider was back, all renewed after %.0f ms', $first->[0] - $back, time() * 1000 - $back;
cmp_ok($first->[0] - $back, '<', 5000, 'a provider that was away for half a second is asked again soon');
cmp_ok(time() * 1000 - $back, '<', 12_000, 'and so is everybody renewed');

$node->stop;
done_testing();
