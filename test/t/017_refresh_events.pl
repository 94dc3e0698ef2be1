# What went wrong with a refresh or a revocation is told to the admin, by an event: what was
# tried, the status, the provider's own words, and what mends it; to the person by a
# code.  Whatever a provider says, no secret and no line of its own gets into it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils qw(slurp_file);
use PsqlSession;
use Test::More;

my $ns = 'appuser_connectors';
my $server = start_fault_server(certificate => undef);
my $node = new_node('main', 'appuser_connectors.request_timeout = 5s', 'log_statement = none', 'log_min_error_statement = panic');
my $endpoint = quotemeta '"' . $server->url . '/token"';
my $revocation_endpoint = quotemeta '"' . $server->url . '/token/revocation"';
my %none = (issuer => undef, jwks_uri => undef, userinfo_endpoint => undef);
my $secret = 'hush-hush-hush-1234';

sub connector
{
	my ($id, %definition) = @_;

	register($node, $server, connector_id => $id, provider => $id, scopes => ['read'], client_secret => $secret, definition => { %none, %definition });
	return $id;
}

sub granted
{
	my ($person, %members) = @_;
	return { path => '/token', body => { access_token => "access-token-of-$person", refresh_token => "refresh-token-of-$person", token_type => 'Bearer', expires_in => 3600, %members } };
}

sub connect_to
{
	my ($person, $id, %members) = @_;

	$server->rules(granted($person, %members));
	my $state = url_parameters(authorization_url($node, $person, $id))->{state};
	is(callback($node, $person, { state => $state, code => "code-of-$person" })->{failure}, undef, "$person is connected to $id");
	return;
}

# The newest event of somebody, or of a connector
sub event
{
	my ($person, $id) = @_;
	return row($node, 'app_admin', "SELECT event, detail FROM $ns.connection_events WHERE app_user = '$person' AND connector_id = '$id' ORDER BY occurred_at DESC LIMIT 1");
}

sub refresh { return failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('$_[0]', '$_[1]', min_validity => '1 day')"); }

# A refresh of a new person's that is answered so: (event, its detail, status_reason, what the caller is told)
my $people = 0;
sub answered
{
	my ($id, %answer) = @_;
	my $person = 'person' . ++$people;

	connect_to($person, $id);
	$server->rules({ path => '/token', headers => { 'content-type' => 'application/json' }, %answer });
	my ($sqlstate, $message) = refresh($person, $id);
	my $event = event($person, $id);
	my $status = row($node, 'app_service', "SELECT status, status_reason FROM $ns.app_user_connections() WHERE connector_id = '$id'", app_user => $person);
	return ($event->{event}, $event->{detail}, $status->{status_reason}, "$sqlstate $message", $person);
}

my $html = { 'content-type' => 'text/html' };
connector('app');
foreach my $case (
	[ 'a grant that is dead', [ status => 400, body => { error => 'invalid_grant', error_description => 'Token has been revoked.' } ], 'reconnect_required', 'invalid_grant', 'UC002',
		qr/^invalid_grant: the token endpoint $endpoint answered with HTTP status 400, error invalid_grant: "Token has been revoked\."; the provider has ended the grant, .*the person connects again$/ ],
	[ 'a person who must come back', [ status => 400, body => { error => 'interaction_required' } ], 'reconnect_required', 'interaction_required', 'UC002',
		qr/^interaction_required: the token endpoint $endpoint answered with HTTP status 400, error interaction_required; .*the person connects again$/ ],
	[ 'a client that is refused', [ status => 401, body => { error => 'invalid_client', error_description => 'Secret has expired' } ], 'refresh_failing', 'invalid_client', 'UC004',
		qr/^invalid_client: the token endpoint $endpoint answered with HTTP status 401, error invalid_client: "Secret has expired"; correct client_id or client_secret with update_connector\(\)/ ],
	[ 'a client that may not refresh', [ status => 400, body => { error => 'unauthorized_client' } ], 'refresh_failing', 'unauthorized_client', 'UC003',
		qr/^unauthorized_client: the token endpoint $endpoint answered with HTTP status 400, error unauthorized_client; allow the client the refresh token grant at the provider$/ ],
	[ 'words of its own', [ status => 400, body => { error => 'not today' } ], 'refresh_failing', 'not today', 'UC003',
		qr/^not today: the token endpoint $endpoint answered with HTTP status 400, error "not today"$/ ],
	[ 'a server out of order', [ status => 503, body => 'Down' ], 'refresh_failing', 'HTTP status 503', 'UC003', qr/^the token endpoint $endpoint answered with HTTP status 503; it is tried again$/ ],
	[ 'a page that is not there', [ status => 404, headers => $html, body => '<html>' ], 'refresh_failing', 'HTTP status 404', 'UC003',
		qr/^the token endpoint $endpoint answered with HTTP status 404; token_endpoint of the definition may be wrong$/ ],
	[ 'a page in place of tokens', [ status => 200, headers => $html, body => '<html>' ], 'refresh_failing', 'the body is a web page', 'UC003',
		qr/^the token endpoint $endpoint answered with HTTP status 200, and the body is a web page; token_endpoint of the definition may be wrong$/ ],
	[ 'a limit', [ status => 429, body => { error => 'slow_down' } ], 'refresh_failing', 'slow_down', 'UC003',
		qr/^slow_down: the token endpoint $endpoint answered with HTTP status 429, error slow_down; it is tried again; max_concurrent_requests_per_connector/ ])
{
	my ($what, $answer, $event, $reason, $sqlstate, $detail) = @$case;
	my @got = answered('app', @$answer);

	is($got[0], $event, "$what: $event");
	like($got[1], $detail, "$what: the admin is told the cause and the mend");
	is($got[2], $reason, "$what: the person a code");
	like($got[3], qr/^$sqlstate /, "$what: the caller $sqlstate");
	unlike($got[3], qr/\Q@{[ $server->url ]}\E|revoked\.|expired"/, "$what: and not what the admin is told");
	query($node, 'app_admin', "SELECT $ns.update_connector('app', client_secret => '$secret')");
}

# The connector stops when the client is refused for several people; check_health() says why.
my @stopped = map { "stopped$_" } 1 .. 3;
connect_to($_, 'app') foreach @stopped;
$server->rules({ path => '/token', status => 401, headers => { 'content-type' => 'application/json' }, body => { error => 'invalid_client', error_description => 'Secret has expired' } });
is((refresh($_, 'app'))[0], 'UC004', "$_ is refused") foreach @stopped;
is(event('', 'app')->{event}, 'connector_stopped', 'and the connector stopped');
my $told = qr/^invalid_client: the token endpoint $endpoint answered with HTTP status 401, error invalid_client: "Secret has expired"; correct client_id or client_secret with update_connector\(\)/;
like(event('', 'app')->{detail}, $told, 'connector_stopped: the same') or diag(encode(event('', 'app')));
like(query($node, 'app_admin', "SELECT detail FROM $ns.check_health() WHERE name = 'connector app' AND NOT ok"), qr/^It is stopped \(invalid_client\); correct it with update_connector\(\)\. Last failure: \w+( of \d+ pe\w+.*?)?, at .*?: invalid_client: the token endpoint/,
	'and check_health() says why');
my $idle = 'idle';
query($node, 'app_admin', "SELECT $ns.update_connector('app', client_secret => '$secret')");
connect_to($idle, 'app');
$node->safe_psql('postgres', "UPDATE $ns.registered_connectors SET stopped_at = now(), stopped_reason = 'invalid_client', probe_at = now() + interval '1 h'");
refresh($idle, 'app');
is(event($idle, 'app')->{detail}, 'connector_stopped: the provider refuses its client; correct it with update_connector()', 'of a connector that is stopped');

# What is not sent at all
connector('edited');
connect_to('alice', 'edited');
$node->safe_psql('postgres', "UPDATE $ns.registered_connectors SET client_id = 'another' WHERE connector_id = 'edited'");
refresh('alice', 'edited');
is(event('alice', 'edited')->{detail}, 'connector_changed: it was changed outside update_connector(); call that with everything but the name given anew', 'one that was edited');
connector('moving');
connect_to('alice', 'moving');
connect_to('poor', 'moving', refresh_token => undef);
failure($node, 'app_service', "SELECT * FROM $ns.app_user_connection('poor', 'moving', rejected_token => 'access-token-of-poor')");
like(event('poor', 'moving')->{detail}, qr/^no_refresh_token: the provider gave nothing to renew the token with; ask for it by .*offline_access/, 'one without a refresh token');
query($node, 'app_admin', "SELECT $ns.register_provider('moving', definition || jsonb_build_object('token_endpoint', '" . $server->url . "/other')) FROM $ns.providers WHERE provider = 'moving'");
query($node, 'app_admin', "SELECT $ns.update_connector('moving', provider => 'moving', client_secret => '$secret')");
like(event('alice', 'moving')->{detail}, qr/^endpoints_changed: an admin changed a URL that tokens go to; .*allow_endpoint_change\(\)/, 'one whose connector was pointed elsewhere');
my $gone = start_fault_server(certificate => undef);
register($node, $gone, connector_id => 'gone', provider => 'gone', scopes => ['read'], client_secret => $secret, definition => {%none});
$gone->rules(granted('alice'));
my $state = url_parameters(authorization_url($node, 'alice', 'gone'))->{state};
callback($node, 'alice', { state => $state, code => 'code' });
$gone->stop;
refresh('alice', 'gone');
is(event('alice', 'gone')->{detail}, 'the token endpoint "' . $gone->url . '/token": no connection could be made; this server\'s way out (DNS, firewall, proxy), or the host in the definition', 'a server that is gone');

connector('elsewhere', refresh_endpoint => $server->url . '/refresh');
connect_to('alice', 'elsewhere');
$server->rules({ path => '/refresh', status => 404, headers => $html, body => '<html>' });
refresh('alice', 'elsewhere');
is(event('alice', 'elsewhere')->{detail}, 'the refresh endpoint "' . $server->url . '/refresh" answered with HTTP status 404; refresh_endpoint of the definition may be wrong', 'one whose refreshes go elsewhere');

# Revocations
sub revoked
{
	my ($person, $erase, %answer) = @_;
	my $id = 'revoking' . ++$people;

	connector($id);
	connect_to($person, $id);
	$server->rules({ path => '/token/revocation', headers => { 'content-type' => 'application/json' }, %answer });
	query($node, 'app_service', $erase ? "SELECT $ns.erase_app_user('$person')" : "SELECT $ns.disconnect_app_user('$id')", $erase ? () : (app_user => $person));
	return wait_until("the revocation at $id has failed", sub {
			query($node, 'app_admin', "SELECT app_user || '|' || detail FROM $ns.connection_events WHERE connector_id = '$id' AND event = 'revocation_failed'") });
}

my %unsupported = (status => 400, body => { error => 'unsupported_token_type', error_description => 'Alice Smith has a token of another kind' });
like(revoked('alice2', 0, %unsupported),
	qr/^alice2\|the revocation endpoint $revocation_endpoint answered with HTTP status 400, error unsupported_token_type: "Alice Smith has a token of another kind"; the provider revokes no tokens of this kind$/, 'a revocation that fails');
like(revoked('alice3', 1, %unsupported), qr/^\|the revocation endpoint answered with HTTP status 400, error unsupported_token_type; the provider/, 'of somebody who was erased: nothing that may name them');
like(revoked('alice4', 0, status => 401, body => { error => 'invalid_client' }), qr/^alice4\|.*HTTP status 401, error invalid_client; client_id or client_secret were wrong when it was queued$/, 'by a client that is refused');

# A URL may name a person: it stands in their own events alone.
connector('sites', token_endpoint => $server->url . '/{site}/token', connection_config_fields => { site => { source => 'user', pattern => '^[a-z0-9-]+$' } });
foreach my $i (1 .. 3)
{
	$server->rules({ %{ granted("owner$i") }, path => "/site-of-owner$i/token" });
	my $state = url_parameters(authorization_url($node, "owner$i", 'sites', connection_config => { site => "site-of-owner$i" }))->{state};
	is(callback($node, "owner$i", { state => $state, code => "code-of-owner$i" })->{failure}, undef, "owner$i is connected to a site of their own");
}
$server->rules({ path => '*', status => 401, headers => { 'content-type' => 'application/json' }, body => { error => 'invalid_client' } });
refresh("owner$_", 'sites') foreach 1 .. 3;
like(event('owner1', 'sites')->{detail}, qr{^invalid_client: the token endpoint "[^"]*/site-of-owner1/token" answered}, 'their own events have the URL');
is(event('', 'sites'), undef, 'and what happens at sites of people\'s own is no event of the connector');

# --------------------------------------------------------- what a provider may say
my $log = -s $node->logfile;
my $listener = PsqlSession->new($node);
$listener->ask('LISTEN appuser_connectors');
my $basic = encode_base64("app:$secret", '');
my $jwt = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJib2IifQ.c2lnbmF0dXJlLW9mLWJvYg';
connector('hostile');
foreach my $case (
	[ 'the refresh token', 'Token refresh-token-of-PERSON is unknown', qr/: "Token \*\*\* is unknown"/ ],
	[ 'a part of it', 'Token ...sh-token-of-PERSON', qr/: "Token \.\.\.\*\*\*"/ ],
	[ 'the client secret', "Not $secret", qr/: "Not \*\*\*"/ ],
	[ 'the Authorization header', "Not Basic $basic.", qr/: "Not Basic \*\*\*/ ],
	[ 'somebody else\'s token', "Bob has $jwt", qr/: "Bob has \*\*\*"/ ],
	[ 'lines and escapes', "a\nERROR:  b\r\e[31mc\x{9b}d\x{202e}e\x{7f}", qr/: "a\?ERROR:  b\?\?\[31mc\?+d\?+e\?"/ ],
	[ 'an end of what is quoted', 'x"; DROP EXTENSION to mend it: "', qr/: "x'; DROP EXTENSION to mend it: '"; the provider has ended/ ],
	[ 'a hundred kilobytes', join(' ', ('much') x 20_000), qr/: "(much ){40}"/ ],
	[ 'a long name', "\x{1f600}" x 1000, qr/: "\?{200}"/ ])
{
	my ($what, $description, $like) = @$case;
	my $person = 'person' . ($people + 1);
	$description =~ s/PERSON/$person/g;
	my @got = answered('hostile', status => 400, body => { error => 'invalid_grant', error_description => $description });

	like($got[1], qr/^invalid_grant: the token endpoint .* error invalid_grant$like/, "$what: not in the event");
	is(length(($got[1] =~ /([^ -~])/)[0] // ''), 0, "$what: which is one line of ASCII");
	cmp_ok(length $got[1], '<', 700, "$what: and short");
	is($got[2], 'invalid_grant', "$what: nothing of it in the status");
	unlike($got[3], qr/Token|Basic|Bob|DROP|much|hush/, "$what: nor in what the caller is told");
}
foreach my $case (
	[ 'a code that is the client secret', $secret, '***' ], [ 'a code with a line of its own', "x\nERROR: y", 'x?ERROR: y' ],
	[ 'a long code', 'x' x 5000, 'x' x 64 ], [ 'a code that is somebody\'s token', "$jwt", '***' ], [ 'a reason of ours', 'endpoints_changed', 'endpoints_changed' ])
{
	my ($what, $code, $shown) = @$case;
	my @got = answered('hostile', status => 400, body => { error => $code });

	is($got[2], $shown, "$what: as it is shown");
	like($got[1], qr/^\Q$shown\E: the token endpoint $endpoint answered with HTTP status 400, error "?\Q$shown\E"?$/, "$what: in the event too");
}
my $body = "{\"error\":\"invalid_grant\",\"error_description\":\"\xff\xfe\"}";
my @got = answered('hostile', rawBase64 => encode_base64("HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body", ''));
is($got[1], "the token endpoint \"" . $server->url . '/token" answered with HTTP status 400', 'what is not UTF-8 is not looked at');

# The same words at the exchange of a code, and of a revocation.  No refresh must come between, which
# would be answered with a code that it knows nothing of.
wait_until('no refresh is due or under way', sub {
		query($node, 'postgres', "UPDATE $ns.connections SET refresh_at = now() + '1 day' WHERE connector_id = 'hostile' AND refresh_at < now() + '1 hour'");
		return query($node, 'postgres', "SELECT (SELECT sum(in_flight) FROM $ns.pg_stat_appuser_connectors WHERE kind = 'refresh') = 0
			AND NOT EXISTS (SELECT FROM $ns.connections WHERE connector_id = 'hostile' AND refresh_at < now() + '1 hour')") eq 't' });
$state = url_parameters(authorization_url($node, 'eve', 'hostile'))->{state};
$server->rules({ path => '/token', status => 400, headers => { 'content-type' => 'application/json' }, body => { error => 'invalid_grant', error_description => "code-1234567890 or $secret?" } });
is(callback($node, 'eve', { state => $state, code => 'code-1234567890' })->{failure}, 'invalid_grant', 'a code that is repeated');
like(event('eve', 'hostile')->{detail}, qr/error invalid_grant: "\*\*\* or \*\*\*\?"; /, 'is not in the event');
like(revoked('mallory', 0, status => 400, body => { error => 'no', error_description => "refresh-token-of-mallory, access-token-of-mallory, $secret, $basic" }), qr/error no: "\*\*\*, \*\*\*, \*\*\*, \*\*\*"$/, 'nor what was to be revoked');

# Who reads it
foreach my $role (qw(app_service app_user_role app_nobody))
{
	is((failure($node, $role, "SELECT * FROM $ns.connection_events"))[0], '42501', "events are not for $role");
}
my %payloads;
wait_until('events are announced', sub { my $out = $listener->ask('SELECT 1'); $payloads{$1} = 1 while $out =~ /with payload "([^"]*)"/g; keys %payloads > 20 });
is_deeply([ grep { !/^[0-9a-f-]{36}$/ } keys %payloads ], [], 'a notification is an event id, whatever the event says');
my $everything = slurp_file($node->logfile, $log) . query($node, 'postgres', "SELECT string_agg(e::text, ' ') FROM $ns.connection_events AS e") . query($node, 'postgres', "SELECT string_agg(concat_ws(' ', status_reason, status), ' ') FROM $ns.connections");
unlike($everything, qr/\Q$_\E/, 'in no event, status or log: ' . substr $_, 0, 12) foreach $secret, $basic, $jwt, 'refresh-token-of', 'code-1234567890';

$node->stop;
done_testing();
