# Only the person who began a flow finishes it, once, in time, with what the
# provider they chose has sent (RFC 6749 §4.1.2, RFC 9207, RFC 9700 §2.1, §4).
# Whatever else comes back is refused: by UC005 where the flow is not the
# caller's, and else by a row that says why and where to go.  What is refused
# sends nothing to the provider, stores nothing, and shows no secret to the client or
# in the server log; only the person whose flow it is uses up its state.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PostgreSQL::Test::Utils;
use Test::More;

my $faulty = start_fault_server(certificate => undef);
my $real = start_provider();
# The statements are the callers' own: only what the extension says is looked at.
my $node = new_node('callback',
	'log_min_messages = debug1', 'log_statement = none', 'log_min_error_statement = panic', 'log_error_verbosity = verbose',
	'appuser_connectors.authorization_lifetime = 120s', 'appuser_connectors.request_timeout = 5s');

my $issuer = $faulty->url;
my $template = 'https://login.example/{tenantid}/v2.0';
my %issuers = (
	calendar => {},
	promised => { issuer => $issuer, authorization_response_iss_parameter_supported => JSON::PP::true },
	unpromised => { issuer => $issuer },
	tenants => { issuer => $template, authorization_response_iss_parameter_supported => JSON::PP::true });
my $redirect_uri = 'http://127.0.0.1:7999/callback';
my $client_secret = 'client-secret-of-the-application';
my @secrets = ($client_secret);
my $codes = 0;

sub register_at
{
	my ($server, $connector, $definition, %arguments) = @_;

	return register($node, $server, connector_id => $connector, provider => $connector, client_id => "client-of-$connector",
		client_secret => $client_secret, scopes => ['read'], definition => { issuer => undef, %$definition }, %arguments);
}

register_at($faulty, $_, $issuers{$_}) foreach sort keys %issuers;

# A code that no other test uses; the token endpoint takes any.
sub new_code
{
	my $code = sprintf 'code-%04d-to-keep-secret', ++$codes;

	push @secrets, $code;
	return $code;
}

sub new_tokens
{
	my $number = ++$codes;

	push @secrets, "access-token-$number", "refresh-token-$number";
	$faulty->rules({ path => '/token',
			body => { access_token => "access-token-$number", refresh_token => "refresh-token-$number", token_type => 'Bearer', expires_in => 7200 } });
	return "access-token-$number";
}

# The state of a new flow
sub begin
{
	my ($app_user, $connector, %arguments) = @_;
	my $url = authorization_url($node, $app_user, $connector, return_to => '/back', %arguments);
	my $state = url_parameters($url)->{state};

	push @secrets, $state, $arguments{browser_binding} // ();
	return $state;
}

# What oauth_callback answered: its row's columns, or sqlstate; and message
sub finish
{
	my ($app_user, $arguments, $role) = @_;
	my $sql = 'SELECT pg_catalog.row_to_json(r) FROM appuser_connectors.oauth_callback(' . AppuserConnectors::arguments(%$arguments) . ') AS r';
	my ($status, $out, $err);

	$role //= 'app_service';
	if ($role eq 'app_user_role' && defined $app_user)
	{
		# set_app_user() is not for that role
		$sql = "SET LOCAL ROLE app_user_role;\n$sql";
		$role = 'postgres';
	}
	($status, $out, $err) = AppuserConnectors::run_psql($node, $role, $sql, app_user => $app_user);
	return { %{ decode($out) }, message => $err } if $status == 0;
	my ($state) = $err =~ /ERROR:\s+(\w{5}):/;
	return { sqlstate => $state // $err, message => $err };
}

# What there is: connections (in one word), requests to the token endpoint, whether
# the flow of a state is under way, and the latest failure of all
sub look
{
	my ($state) = @_;
	my $row = row($node, 'postgres', q{
		SELECT (SELECT md5(string_agg(c::text, E'\n' ORDER BY app_user, connector_id, connection_name)) FROM appuser_connectors.connections AS c) AS connections,
			(SELECT count(*) FROM appuser_connectors.authorizations WHERE state_hash = sha256(:'state') AND NOT consumed) AS pending,
			(SELECT detail FROM appuser_connectors.connection_events WHERE event = 'connect_failed' ORDER BY occurred_at DESC LIMIT 1) AS event},
		variables => { state => $state });

	return { %$row, stored => "connections $row->{connections}, " . scalar($faulty->requests('/token')) . ' requests' };
}

# What must not change; forgotten when something is meant to.
my $stored;

sub stored
{
	return $stored //= look()->{stored};
}

sub is_pending
{
	my ($state) = @_;

	return look($state)->{pending};
}

sub shows_no_secret
{
	my ($text, $name) = @_;
	my @shown = grep { index($text, $_) >= 0 } @secrets;

	return is("@shown", '', $name);
}

# Raises UC005, and nothing comes of it; pending: the flow is still there.
sub refused
{
	my ($name, $state, $app_user, $arguments, $role, $pending) = @_;
	my $before = stored();
	my $answer = finish($app_user, { state => $state, code => new_code(), %$arguments }, $role);
	my $after = look($state);

	subtest $name => sub {
		is($answer->{sqlstate}, 'UC005', 'the callback is refused');
		like($answer->{message}, qr/^DETAIL:.*^HINT:/ms, 'with a reason and what to do');
		shows_no_secret($answer->{message}, 'and no secret');
		is($after->{stored}, $before, 'nothing is sent or stored');
		is($after->{pending}, $pending // 0, $pending ? 'the flow is there for whoever it is of' : 'there is no such flow any longer');
	};
	return;
}

# The row says why, and nothing comes of it.
sub failed
{
	my ($name, $failure, $connector, $state, $arguments) = @_;
	my $before = stored();
	my $answer = finish('alice', { state => $state, code => new_code(), %$arguments });
	my $after = look($state);

	subtest $name => sub {
		is($answer->{failure}, $failure, "the failure is told") or diag($answer->{message});
		is($answer->{return_to}, '/back', 'with the page to go back to');
		is_deeply([ @$answer{qw(app_user connector_id connection_name)} ], [ 'alice', $connector, 'default' ], 'and whose connection it is');
		shows_no_secret(encode($answer), 'and no secret');
		is($after->{stored}, $before, 'nothing is sent or stored');
		is($after->{pending}, 0, 'the state is used up');
		like($after->{event}, qr/^\Q$failure\E(: \S.*)?$/, 'there is an event');
	};
	return;
}

sub connects
{
	my ($name, $app_user, $connector, $state, $arguments) = @_;
	my $token = new_tokens();
	my $answer = finish($app_user, { state => $state, code => new_code(), %$arguments });

	undef $stored;

	subtest $name => sub {
		is($answer->{failure} // $answer->{sqlstate}, undef, 'the connection is made') or diag($answer->{message});
		is($answer->{return_to}, '/back', 'with the page to go back to');
		is(access_token($node, $app_user, $connector), $token, 'and has its token');
		is(is_pending($state), 0, 'the state is used up');
	};
	return;
}

# Every refusal below has a connection of the same person and connector to spoil.
foreach my $connector (sort keys %issuers)
{
	connects("alice connects $connector", 'alice', $connector, begin('alice', $connector),
		{ iss => $connector eq 'tenants' ? 'https://login.example/contoso/v2.0' : $connector eq 'calendar' ? undef : $issuer });
}

# State

my $state = begin('alice', 'calendar');
refused('a state that is missing', undef, 'alice', {});
refused('a state that is empty', '', 'alice', {});
refused('a state that is garbage', 'garbage', 'alice', {});
refused('a state that is garbage of the right form', join('', map { ('A' .. 'Z', 'a' .. 'z', 0 .. 9, '-', '_')[ $_ * 37 % 64 ] } 1 .. length $state), 'alice', {});
refused('a state that is too long', 'A' x 3000, 'alice', {});
refused('a state that is not ASCII', "caf\xc3\xa9", 'alice', {});
foreach my $place (0, 1, 3, 8, 40, length($state) >> 1, length($state) - 1)
{
	my $tampered = $state;
	substr($tampered, $place, 1) = substr($tampered, $place, 1) eq 'A' ? 'B' : 'A';
	refused("a state that was changed at $place", $tampered, 'alice', {});
}
refused('a state that was cut', substr($state, 0, -1), 'alice', {});
refused('a state that was added to', "${state}A", 'alice', {});
refused('a state with padding', "$state=", 'alice', {});
refused('a state with a space', "$state ", 'alice', {});
is(is_pending($state), 1, 'none of that uses up the state that was meant');
connects('and it is still good for its flow', 'alice', 'calendar', $state, {});
foreach my $time ('again', 'once more')
{
	my $before = stored();
	is_deeply([ @{ finish('alice', { state => $state, code => new_code() }) }{qw(app_user connector_id return_to failure)} ],
		[ 'alice', 'calendar', '/back', undef ], "the page that is loaded $time says what it said");
	is(look()->{stored}, $before, 'nothing is sent or stored');
}
refused('a state that was used, by another person', $state, 'mallory', {});

$state = begin('alice', 'calendar');
is(query($node, 'postgres', "SELECT expires_at - created_at FROM appuser_connectors.authorizations WHERE NOT consumed"), '00:02:00',
	'a flow lives for authorization_lifetime');
query($node, 'postgres', "UPDATE appuser_connectors.authorizations SET expires_at = clock_timestamp()");
refused('a state that has expired', $state, 'alice', {});

$node->safe_psql('postgres', 'CREATE DATABASE other');
add_extension($node, 'other');
register($node, $faulty, database => 'other', connector_id => 'calendar', client_secret => $client_secret, scopes => ['read']);
$state = url_parameters(authorization_url($node, 'alice', 'calendar', database => 'other'))->{state};
refused('a state that another database made', $state, 'alice', {});

# The row is not to be trusted either: what it says is sealed with the verifier.
foreach my $edit ("redirect_uri = 'https://evil.example/callback'", "connector_id = 'unpromised'", "connection_name = 'work'",
	"scopes = '{admin}'", "return_to = 'https://evil.example/'", "connection_config = '{\"instance_url\": \"https://evil.example\"}'", "binding_hash = sha256('a binding of somebody else')", "sealed_secrets = (SELECT sealed_secrets FROM appuser_connectors.authorizations WHERE app_user = 'carol')")
{
	begin('carol', 'calendar');
	$state = begin('alice', 'calendar');
	query($node, 'postgres', "UPDATE appuser_connectors.authorizations SET $edit WHERE app_user = 'alice'");
	refused("a flow that was edited by SQL: $edit", $state, 'alice', {});
	query($node, 'postgres', "DELETE FROM appuser_connectors.authorizations");
}
register_at($faulty, 'configured', { connection_config_fields => { instance_url => { source => 'user', pattern => '^https://[a-z]+[.]example$' } } });
connects('a flow with a configuration of its own', 'alice', 'configured', begin('alice', 'configured', connection_config => { instance_url => 'https://alice.example' }), {});
$state = begin('alice', 'calendar');
query($node, 'postgres', "UPDATE appuser_connectors.authorizations SET app_user = 'mallory'");
foreach my $app_user ('mallory', 'alice')
{
	my $before = stored();
	my $answer = finish($app_user, { state => $state, code => new_code() });
	is($answer->{sqlstate}, 'UC005', "a flow that was handed to another person by SQL: refused to $app_user");
	is(look()->{stored}, $before, 'nothing is sent or stored');
}
query($node, 'postgres', "DELETE FROM appuser_connectors.authorizations");

# Two callbacks at the same time

$state = begin('alice', 'calendar');
my $token = new_tokens();
$faulty->rules({ path => '/token', hold => 'first', body => { access_token => $token, token_type => 'Bearer', expires_in => 7200 } });
my $arrived = $faulty->requests('/token');
my ($in, $out, $err) = ('', '', '');
my $first = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-U', 'app_service' ], '<', \$in, '>', \$out, '2>', \$err);
my $code = new_code();
$in = "BEGIN; SELECT appuser_connectors.set_app_user('alice') \\g /dev/null\nSELECT coalesce(failure, 'connected') FROM appuser_connectors.oauth_callback('$state', '$code'); ROLLBACK;\n\\q\n";
my $typed = $in;
$first->pump_nb;
$faulty->wait(path => '/token', count => $arrived + 1);
undef $stored;
refused('a state whose code is under way to the provider, by another person', $state, 'mallory', {});
my ($second_in, $second_out, $second_err) = ($typed, '', '');
my $second = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-U', 'app_service' ], '<', \$second_in, '>', \$second_out, '2>', \$second_err);
$second->pump_nb;
wait_until('a second tab waits', sub { query($node, 'postgres', "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app_service' AND wait_event_type = 'Extension'") == 2 });
$faulty->release('first');
$first->finish;
$second->finish;
is($second_out, "connected\n", 'a second tab gets the row of the first') or diag($second_err);
is(scalar($faulty->requests('/token')), $arrived + 1, 'for one code');
undef $stored;
is($out, "connected\n", 'the first callback succeeds') or diag($err);
is(access_token($node, 'alice', 'calendar'), $token, 'and is kept, although its transaction was rolled back');

# Who may finish

my $binding = 'a random value, and a cookie: 0123456789';
my $wrong = 'another random value, of mallory: 9876543210';
push @secrets, $wrong;
my %binding_of = (none => undef, right => $binding, wrong => $wrong);
foreach my $bound (1, 0)
{
	foreach my $given ('none', $bound ? ('right', 'wrong') : 'wrong')
	{
		foreach my $session (undef, 'alice', 'mallory')
		{
			foreach my $role ('app_service', 'app_user_role')
			{
				my $may = $given eq ($bound ? 'right' : 'none') && defined $session && $session eq 'alice'
				  || $given eq 'right' && !defined $session && $role eq 'app_service';
				my $name = join ', ', $bound ? 'a flow with browser binding' : 'a flow without',
				  $given eq 'none' ? 'no binding' : $bound ? "the $given binding" : 'a binding', 'session of ' . ($session // 'nobody'), $role;
				my $state = begin('alice', 'calendar', $bound ? (browser_binding => $binding) : ());
				my $arguments = { browser_binding => $binding_of{$given} };

				if ($may)
				{
					my $token = new_tokens();
					my $answer = finish($session, { state => $state, code => new_code(), %$arguments }, $role);
					undef $stored;
					is_deeply([ @$answer{qw(app_user failure)} ], [ 'alice', undef ], "may finish: $name") or diag($answer->{message});
					is(access_token($node, 'alice', 'calendar'), $token, 'for the person who began it');
				}
				else
				{
					refused("may not finish: $name", $state, $session, $arguments, $role, 1);
				}
			}
		}
	}
}
refused('an empty browser binding is a wrong one', begin('alice', 'calendar', browser_binding => $binding), undef, { browser_binding => '' }, undef, 1);
my ($sqlstate) = failure($node, 'app_service', "SELECT appuser_connectors.connect_app_user('calendar', browser_binding => 'short')", app_user => 'alice');
is($sqlstate, '22023', 'a browser binding that could be guessed is not accepted at the start');
($sqlstate) = failure($node, 'app_nobody', "SELECT * FROM appuser_connectors.oauth_callback('x')");
is($sqlstate, '42501', 'a role of no concern may not call at all');

# Another connector

foreach my $other ('https://app.example/callback', "$redirect_uri/other", "$redirect_uri?connector=promised", 'http://127.0.0.1.evil.example:7999/callback',
	'http://localhost:7999/callback', "\U$redirect_uri", '')
{
	refused("the browser came back to another redirect URI: '$other'", begin('alice', 'calendar'), 'alice', { redirect_uri => $other });
}
connects('the browser came back to the redirect URI it was sent to', 'alice', 'calendar', begin('alice', 'calendar'), { redirect_uri => $redirect_uri });

# Issuer

my %iss = (
	missing => undef, empty => '', 'of another provider' => 'https://evil.example', 'with a slash more' => "$issuer/", 'in capitals' => "\U$issuer",
	'with a space' => "$issuer ", 'a prefix' => substr($issuer, 0, -1));
foreach my $name (sort keys %iss)
{
	my $arguments = { iss => $iss{$name} };

	failed("issuer promised: $name", 'issuer_mismatch', 'promised', begin('alice', 'promised'), $arguments);
	failed("issuer promised: $name, on an error response", 'issuer_mismatch', 'promised', begin('alice', 'promised'),
		{ %$arguments, code => undef, error => 'access_denied' });
	# an empty one is none, and so not one that was promised
	next if $name =~ /^(missing|empty)$/;
	failed("issuer not promised: $name", 'issuer_mismatch', 'unpromised', begin('alice', 'unpromised'), $arguments);
}
failed('issuer in params: wrong', 'issuer_mismatch', 'promised', begin('alice', 'promised'), { params => { iss => 'https://evil.example' } });
connects('issuer not promised: an empty one is none', 'alice', 'unpromised', begin('alice', 'unpromised'), { iss => '' });
failed('issuer in params: wrong, beside an empty one', 'issuer_mismatch', 'unpromised', begin('alice', 'unpromised'), { iss => '', params => { iss => 'https://evil.example' } });
connects('issuer in params: right', 'alice', 'promised', begin('alice', 'promised'), { params => { iss => $issuer } });
connects('issuer promised: right', 'alice', 'promised', begin('alice', 'promised'), { iss => $issuer });
connects('issuer not promised: right', 'alice', 'unpromised', begin('alice', 'unpromised'), { iss => $issuer });
connects('issuer not promised: missing', 'alice', 'unpromised', begin('alice', 'unpromised'), {});
failed('no issuer configured: none can be right', 'issuer_mismatch', 'calendar', begin('alice', 'calendar'), { iss => 'https://evil.example' });
failed('issuer right, on an error response', 'access_denied', 'promised', begin('alice', 'promised'), { code => undef, iss => $issuer, error => 'access_denied' });

foreach my $iss ('https://login.example//v2.0', 'https://login.example/a/b/v2.0', 'https://login.example.evil.example/a/v2.0', $template,
	'https://login.example/../v2.0', 'https://login.example/a%2Fb/v2.0', 'https://login.example/a/v2.0/', 'https://login.example/a?/v2.0', 'https://login.example/a/v1.0')
{
	failed("issuer template: $iss does not match", 'issuer_mismatch', 'tenants', begin('alice', 'tenants'), { iss => $iss });
}
connects("issuer template: any tenant matches", 'alice', 'tenants', begin('alice', 'tenants'), { iss => 'https://login.example/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0' });

# Errors

foreach my $error (qw(invalid_request unauthorized_client access_denied unsupported_response_type invalid_scope server_error temporarily_unavailable
	consent_required interaction_required login_required account_selection_required an_error_of_its_own:17))
{
	failed("error $error", $error, 'calendar', begin('alice', 'calendar'), { code => undef, error => $error });
}
my %odd = (
	'with a quote' => 'access"denied', 'with a backslash' => 'access\\denied', 'with a line break' => "access\ndenied",
	'with an escape' => "\e[31mdenied", 'not ASCII' => "acc\xc3\xa8s", 'too long' => 'e' x 65, 'much too long' => 'e' x 5000);
failed("error code $_", 'invalid_response', 'calendar', begin('alice', 'calendar'), { code => undef, error => $odd{$_} }) foreach sort keys %odd;
failed('an error and a code: the code is not sent', 'access_denied', 'calendar', begin('alice', 'calendar'), { error => 'access_denied' });
failed('an error in params and a code', 'access_denied', 'calendar', begin('alice', 'calendar'), { params => { error => 'access_denied' } });
connects('an empty error is none', 'alice', 'calendar', begin('alice', 'calendar'), { error => '' });
$state = begin('alice', 'calendar');
my $description = "The provider\x07's own words \e[31m" . 'x' x 3000;
failed('an error_description says nothing', 'access_denied', 'calendar', $state, { code => undef, error => 'access_denied', error_description => $description });

# Code

my %bad_codes = (
	missing => undef, empty => '', 'with a line break' => "code\r\nHost: evil.example", 'with a tab' => "co\tde", 'with DEL' => "co\x7fde",
	'not ASCII' => "c\xc3\xb6de", 'too long' => 'c' x 5000, 'much too long' => 'c' x 100_000);
failed("a code that is $_", 'invalid_response', 'calendar', begin('alice', 'calendar'), { code => $bad_codes{$_} }) foreach sort keys %bad_codes;
connects('a long code', 'alice', 'calendar', begin('alice', 'calendar'), { code => 'c' x 4000 });

# Params

register_at($faulty, 'books', { connection_config_fields => { realmId => { source => 'callback', pattern => '^[0-9]{1,20}$' } } });
$state = begin('alice', 'books');
$code = new_code();
connects('params with everything in it', 'alice', 'books', $state,
	{ state => undef, code => undef, params => { state => $state, code => $code, realmId => '9130', session_state => 'x', prompt => undef, hd => 'example.test' } });
is_deeply(row($node, 'app_service', "SELECT connection_config FROM appuser_connectors.app_user_connection('alice', 'books')")->{connection_config},
	{ realmId => '9130' }, 'of unknown parameters, those are kept that the provider lists');
is_deeply([ map { url_parameters("?$_->{body}")->{code} } ($faulty->requests('/token'))[-1] ], [$code], 'and the code was sent');
connects('more unknown parameters than anybody needs', 'alice', 'books', begin('alice', 'books'),
	{ params => { realmId => '9131', map { ("unknown_parameter_$_" => 'x' x 1000) } 1 .. 60 } });
is(row($node, 'app_service', "SELECT connection_config FROM appuser_connectors.app_user_connection('alice', 'books')")->{connection_config}{realmId},
	'9131', 'do not displace the one that counts');
connects('arguments go before params', 'alice', 'calendar', begin('alice', 'calendar'), { params => { code => 'another', state => 'another' } });
is((map { url_parameters("?$_->{body}")->{code} } ($faulty->requests('/token'))[-1])[0], sprintf('code-%04d-to-keep-secret', $codes), 'the code that was given is sent');

failed("params repeat $_", 'invalid_response', 'calendar', begin('alice', 'calendar'), { params => { $_ => [ 'one', 'two' ] } })
  foreach qw(state code iss error unknown);
failed('params repeat one that is the same each time', 'invalid_response', 'calendar', begin('alice', 'calendar'), { params => { code => [ 'one', 'one' ] } });
failed('params hold an object', 'invalid_response', 'calendar', begin('alice', 'calendar'), { params => { 'a' => { b => 'c' } } });
failed('params hold an empty array', 'invalid_response', 'calendar', begin('alice', 'calendar'), { params => { code => [] } });
refused('params repeat the only state', undef, 'alice', { params => { state => [ begin('alice', 'calendar'), 'other' ] } });
$state = begin('alice', 'calendar');
foreach my $params ('[]', '"text"', '1', 'null', qq{["$state"]})
{
	my ($sqlstate) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.oauth_callback('$state', params => '$params')", app_user => 'alice');
	is($sqlstate, '22023', 'params is no object: ' . ($params =~ /^\["/ ? 'an array' : $params));
}
is(is_pending($state), 1, 'that is the caller\'s mistake, and costs no flow');

# Begun in this transaction

my $begin_flow = "SELECT substring(appuser_connectors.connect_app_user('calendar') from 'state=([^&]*)') AS state \\gset\n";
my $finish_flow = "SELECT * FROM appuser_connectors.oauth_callback(:'state', code => 'x')";
foreach my $way ([ 'in one transaction', "$begin_flow$finish_flow" ], [ 'with a savepoint between', "SAVEPOINT s; ${begin_flow}RELEASE s; $finish_flow" ])
{
	my $before = stored();
	my ($sqlstate, $message) = failure($node, 'app_service', $way->[1], app_user => 'alice');
	is($sqlstate, '25001', "connect and callback $way->[0]");
	like($message, qr/^HINT: .*Commit after connect_app_user/m, 'the hint says what to do');
	is(look()->{stored}, $before, 'nothing is sent or stored');
}

# The connector is not what it was

register_at($faulty, 'doomed', {});
my @edits = (
	[ 'the connector was deleted', sub { query($node, 'app_admin', "SELECT appuser_connectors.delete_connector('doomed')") } ],
	map { my $edit = $_; [ "the connector was edited by SQL: $edit->[0]", sub { query($node, 'postgres', "UPDATE appuser_connectors.registered_connectors SET $edit->[1] WHERE connector_id = 'doomed'") } ] }
	  ([ 'token_endpoint', qq{definition = jsonb_set(definition, '{token_endpoint}', '"$issuer/stolen"')} ],
		[ 'issuer', qq{definition = jsonb_set(definition, '{issuer}', '"https://evil.example"')} ],
		[ 'token_endpoint_auth_method', qq{definition = jsonb_set(definition, '{token_endpoint_auth_method}', '"client_secret_post"')} ],
		[ 'client_id', "client_id = 'other'" ],
		[ 'redirect_uris', "redirect_uris = '{https://evil.example}'" ],
		[ 'client_secret', "client_secret = (SELECT client_secret FROM appuser_connectors.registered_connectors WHERE connector_id = 'calendar')" ],
		[ 'stopped', "stopped_at = now(), stopped_reason = 'invalid_client'" ]));
foreach my $edit (@edits)
{
	register_at($faulty, 'doomed', {});
	my $state = begin('alice', 'doomed');
	$edit->[1]->();
	failed($edit->[0], 'connector_misconfigured', 'doomed', $state, {});
	is(scalar($faulty->requests('/stolen')), 0, 'the code is sent nowhere');
	query($node, 'postgres', "DELETE FROM appuser_connectors.registered_connectors WHERE connector_id = 'doomed'");
}

# A code is for the provider that the person was sent to, and for the client.
my $elsewhere = start_fault_server(certificate => undef);
$elsewhere->rules({ path => '/token', body => { access_token => 'access-token-elsewhere', token_type => 'Bearer' } });
foreach my $move ([ 'to another server', $elsewhere, {} ], [ 'to another issuer', $faulty, { issuer => 'https://other.example' } ], [ 'to another client', $faulty, {} ])
{
	register_at($faulty, 'moved', {});
	my $state = begin('alice', 'moved');
	query($node, 'app_admin', "SELECT appuser_connectors.register_provider('moved', " . AppuserConnectors::quote({ %{ $move->[1]->definition }, issuer => undef, %{ $move->[2] } }) . ')');
	query($node, 'app_admin', "SELECT appuser_connectors.update_connector('moved', provider => 'moved', client_secret => 'a secret'" . ($move->[0] =~ /client/ ? ", client_id => 'other'" : '') . ')');
	failed("the connector has moved $move->[0]", 'connector_misconfigured', 'moved', $state, {});
	is(scalar($elsewhere->requests), 0, 'the code goes nowhere else');
	query($node, 'app_admin', "SELECT appuser_connectors.delete_connector('moved')");
}

# At the real provider

register($node, $real, connector_id => 'real', provider => 'real', scopes => [qw(openid read)]);
push @secrets, 'app secret: 100%+/&=', 'app+secret%3A+100%25%2B%2F%26%3D';
foreach my $way ([ 'at the consent page', '--deny' ], [ 'at the login page', '--cancel' ])
{
	my $answer = connect_user($node, 'carol', 'real', login => [ $way->[1] ], arguments => { return_to => '/back' });
	is_deeply($answer, { connector_id => 'real', app_user => 'carol', connection_name => 'default', return_to => '/back', failure => 'access_denied' },
		"carol refuses $way->[0]");
	($sqlstate) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('carol', 'real')");
	is($sqlstate, 'UC001', 'nothing is stored');
}
is(connect_user($node, 'carol', 'real')->{failure}, undef, 'carol changes her mind');
$token = access_token($node, 'carol', 'real');
my $before = look()->{stored};
is(connect_user($node, 'carol', 'real', login => [$_])->{failure}, 'access_denied', "carol refuses to connect again: $_") foreach '--deny', '--cancel';
is(look()->{stored}, $before, 'her connection is what it was');
is(userinfo($real, $token)->{sub}, 'carol', 'and her token works');

# Code injection (RFC 9700 §4.5): the verifier of one flow does not fit the code of another.
my $mallory = log_in(authorization_url($node, 'mallory', 'real'), 'mallory');
my $carol = log_in(authorization_url($node, 'carol', 'real'), 'carol');
push @secrets, map { @$_{qw(state code)} } $mallory, $carol;
my $injected = callback($node, 'mallory', { %$carol, state => $mallory->{state} });
is($injected->{failure}, 'invalid_grant', "carol's code in mallory's flow is refused by the provider");
($sqlstate) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('mallory', 'real')");
is($sqlstate, 'UC001', 'mallory has nothing');
is(look()->{stored}, $before, 'and nothing else has changed');

push @secrets, map { @$_ } values %{ $real->ctl('/issued') };
foreach my $request ($faulty->requests('/token'))
{
	push @secrets, url_parameters("?$request->{body}")->{code_verifier}, $request->{headers}{authorization} =~ /^Basic (.+)/;
}
cmp_ok(scalar(@secrets), '>', 100, 'there was much to keep secret');
$node->stop;
shows_no_secret(slurp_file($node->logfile), 'and nothing of it is in the server log');

done_testing();
