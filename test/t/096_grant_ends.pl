# A grant that ends at a known time: until when a person must connect again is shown, by what the
# definition and the answers say; an event tells of it a week before, once; and when the time has
# come nothing is ended that the provider still takes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PostgreSQL::Test::Utils;
use PsqlSession;
use Test::More;

my $ns = 'appuser_connectors';
my $DAY = 86400;
my $provider = start_fault_server(certificate => undef);
my $node = new_node('ends', 'log_min_messages = info', 'wal_level = replica', 'max_wal_senders = 4');
my $worker = q{FROM pg_stat_activity WHERE backend_type = 'appuser_connectors worker'};

sub superuser { return $node->safe_psql('postgres', $_[0]); }

# The worker looks once a minute, and when it begins; the last whom it tells is the marker.
sub look
{
	my $told = told('marker', 'unknown');

	superuser("UPDATE $ns.connections SET reconnect_by = now(), remind_at = now() WHERE app_user = 'marker'");
	superuser("SELECT pg_terminate_backend(pid) $worker");
	wait_until('the worker has looked', sub { told('marker', 'unknown') == $told + 1 });
	return;
}

sub answer
{
	my (%more) = @_;

	$provider->rules({ path => '*', body => { access_token => 'at', refresh_token => 'rt', token_type => 'Bearer', expires_in => 3600, %more } });
	return;
}

sub register_as
{
	my ($connector, $definition, %arguments) = @_;

	return register($node, $provider, connector_id => $connector, provider => $connector, client_id => 'client', client_secret => 'secret', scopes => ['read'],
		definition => { issuer => undef, jwks_uri => undef, revocation_endpoint => undef, %$definition }, %arguments);
}

sub connected
{
	my ($app_user, $connector) = @_;

	return callback($node, $app_user, { state => url_parameters(authorization_url($node, $app_user, $connector))->{state}, code => 'a-code' })->{failure} // '';
}

sub refreshed
{
	my ($app_user, $connector) = @_;

	return (failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('$app_user', '$connector', min_validity => '1 day')"))[0] // '';
}

# Days from now until then, or ''; as the person sees it
sub days
{
	my ($app_user, $connector) = @_;

	return row($node, 'app_service', "SELECT round(extract(epoch FROM reconnect_by - now()) / $DAY, 2)::float AS days FROM $ns.app_user_connections() WHERE connector_id = '$connector'", app_user => $app_user)->{days} // '';
}

# and until they are told
sub reminder
{
	my ($app_user, $connector) = @_;

	return superuser("SELECT COALESCE(round(extract(epoch FROM remind_at - now()) / $DAY, 2)::float::text, '') FROM $ns.connections WHERE app_user = '$app_user' AND connector_id = '$connector'");
}

# As if so many days had passed since the last answer
sub pass
{
	my ($app_user, $connector, $days) = @_;

	superuser("UPDATE $ns.connections SET reconnect_by = reconnect_by - interval '$days days', remind_at = remind_at - interval '$days days', updated_at = updated_at - interval '$days days' WHERE app_user = '$app_user' AND connector_id = '$connector'");
	return;
}

sub told
{
	my ($app_user, $connector) = @_;

	return superuser("SELECT count(*) FROM $ns.connection_events WHERE app_user = '$app_user' AND connector_id = '$connector' AND event = 'reconnect_soon'");
}

# ------------------------------------------------------------------ when that is

my %case = (
	unknown => [ {}, {}, '', '', '' ],
	lifetime => [ { refresh_token_lifetime => 60 * $DAY }, {}, 60, 53, 60 ],
	short => [ { refresh_token_lifetime => 7 * $DAY }, {}, 7, 5.25, 7 ],
	moment => [ { refresh_token_lifetime => 1800 }, {}, 0.02, '', 0.02 ],
	stable => [ { refresh_token_lifetime => 60 * $DAY }, { refresh_token => undef }, 60, 53, 50 ],
	used => [ { refresh_token_lifetime => 60 * $DAY, refresh_token_renewed_by => 'use' }, { refresh_token => undef }, 60, 53, 60 ],
	said => [ { refresh_token_expires_in_path => 'x.refresh_expires_in' }, { x => { refresh_expires_in => 30 * $DAY } }, 30, 23, 30 ],
	said_first => [ { refresh_token_expires_in_path => 'ends', refresh_token_lifetime => 60 * $DAY }, { ends => 30 * $DAY }, 30, 23, 30 ],
	not_said => [ { refresh_token_expires_in_path => 'ends', refresh_token_lifetime => 60 * $DAY }, {}, 60, 53, 60 ],
	endless => [ { refresh_token_expires_in_path => 'ends', refresh_token_lifetime => 60 * $DAY }, { ends => 0 }, '', '', '' ],
	absurd => [ { refresh_token_expires_in_path => 'ends', refresh_token_lifetime => 60 * $DAY }, { ends => 'soon' }, 60, 53, 60 ],
	fixed => [ { grant_lifetime => 365 * $DAY }, {}, 365, 358, 365 ],
	first => [ { grant_lifetime => 365 * $DAY, refresh_token_lifetime => 90 * $DAY }, {}, 90, 83, 90 ],
	grant_first => [ { grant_lifetime => 20 * $DAY, refresh_token_lifetime => 90 * $DAY }, {}, 20, 15, 20 ],
	none_to_refresh => [ {}, { refresh_token => undef, expires_in => 60 * $DAY }, 60, 53, undef ],
	eternal => [ { refresh_token_lifetime => 60 * $DAY, refresh_token_renewed_by => 'use' }, { refresh_token => undef, expires_in => undef }, '', '', undef ],
	renewal => [ { refresh_style => 'access_token' }, { refresh_token => undef, expires_in => 60 * $DAY }, '', '', '' ],
);
foreach my $connector (sort keys %case)
{
	my ($definition, $answer, $days, $reminder, $later) = @{ $case{$connector} };
	# the first answer has a refresh token, where the others need not
	my %first = $connector eq 'stable' || $connector eq 'used' ? () : %$answer;

	register_as($connector, $definition);
	answer(%first);
	is(connected('alice', $connector), '', "$connector: connected");
	is(days('alice', $connector), $days, 'until when is shown');
	is(reminder('alice', $connector), $reminder, 'and when it is told');
	next unless defined $later;
	pass('alice', $connector, 10) if $connector =~ /^(lifetime|stable|used|said|first)$/;
	answer(%$answer);
	is(refreshed('alice', $connector), '', '... refreshed');
	is(days('alice', $connector), $later, 'and then it is another time, or the same');
	is(reminder('alice', $connector) eq '' ? '' : reminder('alice', $connector) + ($later - reminder('alice', $connector) < 7.01 ? 0 : 999), $reminder eq '' ? '' : $reminder - $days + $later, 'with its reminder');
}
is(query($node, 'app_admin', "SELECT round(extract(epoch FROM reconnect_by - now()) / $DAY) FROM $ns.connection_status WHERE connector_id = 'fixed'"), '365', 'an admin sees it too');

# ------------------------------------------------------------------ telling

answer();
is(told('alice', 'fixed'), 0, 'nobody is told a year before');
is(connected('marker', 'unknown'), '', 'the marker is connected');
pass('alice', 'fixed', 357);
look();
is(told('alice', 'fixed'), 0, 'nor eight days before');
my $listener = PsqlSession->new($node, 'app_service');
$listener->ask("LISTEN $ns");
pass('alice', 'fixed', 2);
# so that another look at once finds nothing
pass('alice', 'said', 25);
look();
is(told('alice', 'fixed'), 1, 'but a week before');
my $event = row($node, 'app_admin', "SELECT event_id, connection_name, detail, announced FROM $ns.connection_events WHERE event = 'reconnect_soon' AND connector_id = 'fixed'");
like($event->{detail}, qr/^the grant ends at \d{4}-\d\d-\d\d /, 'she is told of when');
is($event->{connection_name}, 'default', 'and of which connection');
wait_until('listeners are', sub { ($listener->ask('SELECT 1'), $event->{announced})[1] || row($node, 'app_admin', "SELECT announced FROM $ns.connection_events WHERE event_id = '$event->{event_id}'")->{announced} });
$listener->close;
is(reminder('alice', 'fixed'), '', 'that is done');
look();
is(told('alice', 'fixed'), 1, 'once');
is(refreshed('alice', 'fixed'), '', 'a refresh');
# counted from the consent, which was a moment ago
is(days('alice', 'fixed'), 6, 'does not move an end that is fixed');
is(told('alice', 'said'), 1, 'another connection is one of its own');
answer(x => { refresh_expires_in => 5 * $DAY });
is(refreshed('alice', 'said'), '', 'an answer says it again, to the second');
is(reminder('alice', 'said'), '', 'which is no new reminder');
answer(x => { refresh_expires_in => 30 * $DAY });
is(refreshed('alice', 'said'), '', 'an answer has it live longer');
is(reminder('alice', 'said'), 23, 'of which there will be another');

# ------------------------------------------------------------------ what may come between

sub prepare_reminder
{
	my ($app_user) = @_;

	answer();
	is(connected($app_user, 'lifetime'), '', "$app_user is connected");
	superuser("UPDATE $ns.connections SET remind_at = now(), reconnect_by = now() + interval '6 days' WHERE app_user = '$app_user' AND connector_id = 'lifetime'");
	return;
}

# A row that is held is not waited for, and not forgotten.
my $holder = PsqlSession->new($node, 'postgres');
prepare_reminder('bob');
$holder->ask("BEGIN; SELECT 1 FROM $ns.connections WHERE app_user = 'bob' FOR UPDATE");
prepare_reminder('carol');
look();
is(told('carol', 'lifetime'), 1, 'others are told');
is(told('bob', 'lifetime'), 0, 'whose row is held later');
$holder->ask('ROLLBACK');
look();
is(told('bob', 'lifetime'), 1, 'when it is free');

# Nor a transaction that is rolled back: neither the event nor the reminder is lost.
prepare_reminder('dora');
superuser("CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.app_user = ''dora'' THEN RAISE ''not dora''; END IF; RETURN NEW; END';
	CREATE TRIGGER fail BEFORE INSERT ON $ns.connection_events FOR EACH ROW EXECUTE FUNCTION public.fail()");
prepare_reminder('erin');
look();
is(told('erin', 'lifetime'), 1, 'what fails for one');
is(told('dora', 'lifetime'), 0, 'fails for nobody else');
isnt(reminder('dora', 'lifetime'), '', 'and is tried again');
like(slurp_file($node->logfile), qr/not dora/, 'which the log says');
superuser("DROP TRIGGER fail ON $ns.connection_events");
look();
is(told('dora', 'lifetime'), 1, 'until it is told');

# Who has left, or has to connect again anyway, is told nothing.
prepare_reminder($_) foreach qw(fred gina hugo);
query($node, 'app_service', "SELECT $ns.disconnect_app_user('lifetime')", app_user => 'fred');
$provider->rules({ path => '*', status => 400, body => { error => 'invalid_grant' } });
superuser("UPDATE $ns.connections SET expires_at = now() WHERE app_user = 'gina'");
is(refreshed('gina', 'lifetime'), 'UC002', 'gina has to connect again');
is(days('gina', 'lifetime'), '', 'so there is no time to do it by');
query($node, 'app_service', "SELECT $ns.erase_app_user('hugo')");
prepare_reminder('ines');
look();
is(told('ines', 'lifetime'), 1, 'others are');
is(told($_, 'lifetime'), 0, "$_ is not") foreach qw(fred gina hugo);

# Who connects again in time begins anew.
is(connected('ines', 'lifetime'), '', 'ines connects again');
is(days('ines', 'lifetime'), 60, 'for as long again');
is(reminder('ines', 'lifetime'), 53, 'and will be told again');

# What an answer says that cannot be stored at once, and is stored by another worker
answer();
is(connected('kate', 'grant_first'), '', 'kate is connected');
pass('kate', 'grant_first', 10);
superuser("UPDATE $ns.connections SET expires_at = now() WHERE app_user = 'kate'");
$provider->rules({ path => '*', hold => 'kate', body => { access_token => 'at2', refresh_token => 'rt2', expires_in => 3600 } });
my $reader = PsqlSession->new($node, 'app_service');
$reader->send("SELECT access_token FROM $ns.app_user_connection('kate', 'grant_first')");
$provider->wait(held => 'kate');
$holder->ask("BEGIN; SELECT 1 FROM $ns.connections WHERE app_user = 'kate' FOR UPDATE");
$provider->release('kate');
wait_until('the answer is kept', sub { superuser("SELECT count(*) FROM $ns.pending_answers") == 1 });
$node->stop('immediate');
$node->start;
wait_until('it is stored', sub { superuser("SELECT count(*) FROM $ns.pending_answers") == 0 });
is(days('kate', 'grant_first'), 20, 'by a worker that knows of it only what was kept');
eval { $_->close } foreach $holder, $reader;

# ------------------------------------------------------------------ when the time has come

$holder = PsqlSession->new($node, 'postgres');
answer();
is(connected('liam', 'stable'), '', 'liam is connected');
pass('liam', 'stable', 61);
answer(refresh_token => undef);
is(refreshed('liam', 'stable'), '', 'what the provider still takes goes on');
is(row($node, 'app_service', "SELECT status FROM $ns.app_user_connections() WHERE connector_id = 'stable'", app_user => 'liam')->{status}, 'connected', 'and nothing is ended');
my $before = $provider->requests;
$provider->rules({ path => '*', status => 400, body => { error => 'invalid_grant' } });
# this worker does not know what became of what the one before has sent
look();
is(refreshed('liam', 'stable'), 'UC003', 'what it refuses after that is doubted as ever');
answer();
is(connected('lena', 'stable'), '', 'lena is connected');
pass('lena', 'stable', 61);
$provider->rules({ path => '*', status => 400, body => { error => 'invalid_grant' } });
$before = $provider->requests;
look();
is(refreshed('lena', 'stable'), 'UC002', 'what it refuses when the time has come is believed at once');
is($provider->requests - $before, 1, 'and is not asked again');

# ------------------------------------------------------------------ by whoever edits it

answer();
is(connected('mona', 'fixed'), '', 'mona is connected');
foreach my $edit ("reconnect_by + interval '1 second'", 'NULL', "'infinity'")
{
	superuser("UPDATE $ns.connections SET reconnect_by = $edit WHERE app_user = 'mona'");
	is((failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('mona', 'fixed')"))[0], 'XX001', "reconnect_by as $edit opens nothing");
	is(connected('mona', 'fixed'), '', 'mona connects again');
}

# ------------------------------------------------------------------ read elsewhere

$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('ends_standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is(row($standby, 'app_service', "SELECT round(extract(epoch FROM reconnect_by - now()) / $DAY) AS days FROM $ns.app_user_connections() WHERE connector_id = 'fixed'", app_user => 'mona')->{days}, 365, 'a standby shows it');
$standby->stop;

# What is to call no provider, as a copy is, reminds nobody: that is the original's to do.
prepare_reminder('nick');
$holder->close;
$node->append_conf('postgresql.conf', "appuser_connectors.provider_calls = off");
superuser('SELECT pg_reload_conf()');
# of what else it does in a look there is something to see
superuser("INSERT INTO $ns.connection_events SELECT 'olga', gen_random_uuid(), 'app', 'default', 'disconnected', NULL, now() - interval '90 days', true");
superuser("SELECT pg_terminate_backend(pid) $worker");
wait_until('the worker has looked', sub { superuser("SELECT count(*) FROM $ns.connection_events WHERE app_user = 'olga'") == 0 });
is(told('nick', 'lifetime'), 0, 'nor does one that makes no calls');

$node->stop;
done_testing();
