# Whatever a token endpoint answers, or fails to answer, either gives tokens that
# pass every check (RFC 6749 §5.1) or gives nothing: the exchange of a code says
# why in its row and stores nothing, a refresh costs nobody a token that is still
# good, nothing takes longer than request_timeout, and no secret is shown.  The
# client authenticates as its provider wants it to (RFC 6749 §2.3.1).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $timeout = 1.2;
my $faulty = start_fault_server();
my $elsewhere = start_fault_server(certificate => undef);
my $real = start_provider();
# The statements are the callers' own: only what the extension says is looked at.
my $node = new_node('token_response',
	'log_min_messages = debug1', 'log_statement = none', 'log_min_error_statement = panic', 'log_error_verbosity = verbose',
	"appuser_connectors.request_timeout = '${timeout}s'", 'appuser_connectors.connect_timeout = 1s');

my $client_secret = 'client-secret-of-the-application';
my @secrets = ($client_secret, 'code-to-keep-secret');
my $people = 0;
my $connectors = 0;
my $files = PostgreSQL::Test::Utils::tempdir('rules');

sub register_at
{
	my ($server, $connector, %definition) = @_;

	return register($node, $server, connector_id => $connector, provider => $connector, client_id => 'client',
		client_secret => $client_secret, scopes => [qw(read write)],
		definition => { issuer => undef, revocation_endpoint => undef, %definition });
}

register_at($faulty, 'faulty');

# The only rule from now on, by way of a file since it may be long
sub answer_with
{
	my ($server, $rule) = @_;
	my $file = "$files/" . ++$people;

	append_to_file($file, encode([ { path => '/token', %$rule } ]));
	http($server->url . '/__ctl', '--data-binary', "\@$file");
	return;
}

# Connects somebody whom no other test knows, unless given; returns who, the row of
# oauth_callback, and how many connections there are of that person then.  One
# session, for speed.
sub exchange
{
	my ($connector, $person) = @_;

	$person //= 'person-' . ++$people;
	my ($state, $answer, $connections) = split /\n/, query($node, 'postgres', qq{
		SET ROLE app_service;
		BEGIN;
		SELECT appuser_connectors.set_app_user('$person') \\g /dev/null
		SELECT substring(appuser_connectors.connect_app_user('$connector', return_to => '/back') from 'state=([^&]*)') AS state \\gset
		COMMIT;
		\\echo :state
		BEGIN;
		SELECT appuser_connectors.set_app_user('$person') \\g /dev/null
		SELECT row_to_json(r) FROM appuser_connectors.oauth_callback(:'state', 'code-to-keep-secret') AS r;
		COMMIT;
		RESET ROLE;
		SELECT count(*) FROM appuser_connectors.connections WHERE app_user = '$person'});
	push @secrets, $state;
	return ($person, decode($answer), $connections);
}

sub connection
{
	my ($person, $connector, @more) = @_;

	return row($node, 'app_service', 'SELECT *, extract(epoch FROM expires_at - now()) AS seconds FROM appuser_connectors.app_user_connection('
		  . AppuserConnectors::arguments(app_user => $person, connector_id => $connector, @more) . ')');
}

# A token response, with what the test wants otherwise
sub tokens
{
	my (%members) = @_;
	my $number = ++$people;
	my %response = (access_token => "access-token-$number", refresh_token => "refresh-token-$number", token_type => 'Bearer', expires_in => 7200);

	push @secrets, @response{qw(access_token refresh_token)};
	return { %response, %members };
}

sub shows_no_secret
{
	my ($text, $name) = @_;
	my @shown = grep { index($text, $_) >= 0 } @secrets;

	return is("@shown", '', $name);
}

my $json = { 'content-type' => 'application/json' };
my $valid = encode(tokens());
my $with_nul = encode(tokens(access_token => 'access-NUL-token')) =~ s/NUL/\0/r;
my $with_latin1 = $valid =~ s/^\{/{"note":"caf\xe9",/r;

# What a code's exchange, and a refresh, come to
my @refused = (
	# [ what the token endpoint does, its rule, failure of the exchange, SQLSTATE of the refresh ]
	[ '404 with JSON', { status => 404, body => { error => 'not_found' } }, 'provider_unavailable', 'UC003' ],
	[ '404 with HTML', { status => 404, headers => { 'content-type' => 'text/html' }, body => '<h1>Not found</h1>' }, 'provider_unavailable', 'UC003' ],
	[ '200 with HTML', { headers => { 'content-type' => 'text/html' }, body => '<html><body>Welcome</body></html>' }, 'invalid_response', 'UC003' ],
	[ '204 without a body', { status => 204 }, 'invalid_response' ],
	[ '200 without a body', {}, 'invalid_response' ],
	[ 'truncated JSON', { headers => $json, body => substr($valid, 0, -10) }, 'invalid_response' ],
	[ 'JSON null', { headers => $json, body => 'null' }, 'invalid_response' ],
	[ 'a JSON array', { headers => $json, body => '[]' }, 'invalid_response' ],
	[ 'an array with the object in it', { headers => $json, body => "[$valid]" }, 'invalid_response' ],
	[ 'a JSON string', { headers => $json, body => '"access-token"' }, 'invalid_response' ],
	[ 'an empty object', { headers => $json, body => '{}' }, 'invalid_response' ],
	[ 'a key twice', { headers => $json, body => $valid =~ s/^\{/{"access_token":"another",/r }, 'invalid_response' ],
	[ 'a key twice, once escaped', { headers => $json, body => $valid =~ s/^\{/{"access\\u005ftoken":"another",/r }, 'invalid_response' ],
	[ 'an embedded NUL', { headers => $json, bodyBase64 => encode_base64($with_nul, '') }, 'invalid_response' ],
	[ 'an escaped NUL', { headers => $json, body => encode(tokens(access_token => 'access-NUL-token')) =~ s/NUL/\\u0000/r }, 'invalid_response' ],
	[ 'invalid UTF-8', { headers => $json, bodyBase64 => encode_base64($with_latin1, '') }, 'invalid_response' ],
	[ 'a lone surrogate', { headers => $json, body => $valid =~ s/^\{/{"note":"\\ud800",/r }, 'invalid_response' ],
	[ 'trailing garbage', { headers => $json, body => "$valid garbage" }, 'invalid_response' ],
	[ 'a second object', { headers => $json, body => "$valid$valid" }, 'invalid_response' ],
	[ 'JSON nested too deep', { headers => $json, body => $valid =~ s/^\{/'{"note":' . ('[' x 100_000) . (']' x 100_000) . ','/re }, 'invalid_response' ],
	[ 'a 2 MiB body', { headers => $json, body => $valid =~ s/^\{/'{"note":"' . ('x' x (2 << 20)) . '",'/re }, 'invalid_response' ],
	[ 'an endless body', { endlessBody => 1 }, 'invalid_response', 'UC003' ],
	[ 'endless headers', { endlessHeaders => 1 }, 'invalid_response' ],
	[ 'no access_token', { body => tokens(access_token => undef) }, 'invalid_response', 'UC003' ],
	[ 'an empty access_token', { body => tokens(access_token => '') }, 'invalid_response' ],
	[ 'a number as access_token', { body => tokens(access_token => 42) }, 'invalid_response' ],
	[ 'an object as access_token', { body => tokens(access_token => { value => 'x' }) }, 'invalid_response' ],
	[ 'an access_token with CRLF', { body => tokens(access_token => "token\r\nX-Injected: 1") }, 'invalid_response', 'UC003' ],
	[ 'an access_token that is not ASCII', { body => tokens(access_token => "t\x{f6}ken") }, 'invalid_response' ],
	[ 'an access_token of 65 kB', { body => tokens(access_token => 't' x (65 << 10)) }, 'invalid_response' ],
	[ 'a number as refresh_token', { body => tokens(refresh_token => 42) }, 'invalid_response' ],
	[ 'a refresh_token with CRLF', { body => tokens(refresh_token => "token\r\n") }, 'invalid_response' ],
	[ 'an unknown token_type', { body => tokens(token_type => 'mac') }, 'invalid_response', 'UC003' ],
	[ 'a DPoP token that was not asked for', { body => tokens(token_type => 'DPoP') }, 'invalid_response' ],
	[ 'a number as token_type', { body => tokens(token_type => 1) }, 'invalid_response' ],
	[ 'gzip that is none', { headers => { %$json, 'content-encoding' => 'gzip' }, body => $valid }, 'provider_unavailable', 'UC003' ],
	[ 'gzip of too much', { headers => $json, gzip => 64 << 20 }, 'invalid_response', 'UC003' ],
	(   map {
			[ "a redirect by $_ to another host", { status => $_, headers => { location => $elsewhere->url . '/token' }, body => tokens() }, 'invalid_response', $_ == 307 ? 'UC003' : () ]
		} 301, 302, 303, 307, 308),
	[ 'an error under HTTP 200', { body => { error => 'bad_verification_code', error_description => 'The code-to-keep-secret passed is incorrect.' } },
		'bad_verification_code', 'UC002' ],
	[ 'an error beside tokens', { body => tokens(error => 'access_denied') }, 'access_denied', 'UC003' ],
	[ 'ok false under HTTP 200', { body => { ok => JSON::PP::false, error => 'invalid_code' } }, 'invalid_code' ],
	[ '400 with an empty body', { status => 400 }, 'invalid_response', 'UC003' ],
	[ '400 invalid_grant', { status => 400, body => { error => 'invalid_grant' } }, 'invalid_grant', 'UC002' ],
	[ '400 invalid_request', { status => 400, body => { error => 'invalid_request' } }, 'invalid_request', 'UC003' ],
	[ '400 unauthorized_client', { status => 400, body => { error => 'unauthorized_client' } }, 'unauthorized_client' ],
	[ '401 invalid_client', { status => 401, body => { error => 'invalid_client' }, headers => { 'www-authenticate' => 'Basic' } }, 'connector_misconfigured', 'UC004' ],
	[ '403 invalid_code', { status => 403, body => { error => 'invalid_code' } }, 'invalid_code', 'UC002' ],
	[ 'an error as an object', { status => 400, body => { error => { code => 'invalid_grant', message => 'no' } } }, 'invalid_grant' ],
	[ 'an error with escape sequences', { status => 400, body => { error => "bad\e[31m\r\n\x{e9}code" } }, 'bad?[31m????code' ],
	[ 'an error that is endless', { status => 400, body => { error => 'e' x 10_000 } }, 'e' x 64 ],
	[ '429', { status => 429, headers => { 'retry-after' => '30' } }, 'provider_unavailable', 'UC003' ],
	[ '500', { status => 500, body => 'oops' }, 'provider_unavailable', 'UC003' ],
	[ '503 with tokens', { status => 503, body => tokens() }, 'provider_unavailable' ],
	[ 'no HTTP', { raw => "SSH-2.0-OpenSSH_9.2\r\n" }, 'provider_unavailable' ],
	[ 'an answer of HTTP 1xx only', { raw => "HTTP/1.1 100 Continue\r\n\r\n" }, 'provider_unavailable' ],
	[ 'headers that do not end', { raw => "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" }, 'provider_unavailable' ],
	[ 'a body shorter than announced', { headers => $json, body => $valid, truncate => 40 }, 'provider_unavailable', 'UC003' ],
	[ 'a connection closed without an answer', { drop => 1 }, 'provider_unavailable', 'UC003' ],
	[ 'a connection reset without an answer', { reset => 1 }, 'provider_unavailable', 'UC003' ],
	[ 'no answer', { hang => 1 }, 'provider_unavailable', 'UC003' ],
	[ 'headers, and then nothing', { headers => $json, body => $valid, stallAfterHeaders => 1 }, 'provider_unavailable' ],
	[ 'a slow drip', { headers => $json, body => $valid, trickleMs => 200 }, 'provider_unavailable' ],
	[ 'a slow drip of headers', { headers => $json, body => $valid, trickleMs => 200, trickleHeaders => 1 }, 'provider_unavailable' ],
	[ 'endless 1xx answers', { endless1xx => 1 }, 'invalid_response' ],
);

sub exchange_fails
{
	my ($name, $failure, $connector) = @_;
	my $began = time();
	my (undef, $answer, $connections) = exchange($connector);
	my $took = time() - $began;

	subtest "the exchange: $name" => sub {
		is($answer->{failure}, $failure, 'the failure is told');
		is($answer->{return_to}, '/back', 'with the page to go back to');
		is($connections, 0, 'nothing is stored');
		cmp_ok($took, '<', $timeout + 10, 'it does not take long');
		shows_no_secret(encode($answer), 'no secret is shown');
	};
	return;
}

# Each with a connector of its own, so that no trouble adds up to another's; it
# goes when the test is over, lest the worker keep trying.
sub refresh_fails
{
	my ($name, $sqlstate, $rule, %options) = @_;
	my $connector = 'refresh-' . ++$connectors;
	my $server = $options{server} // $faulty;
	my $given = tokens();
	my $dead = $sqlstate eq 'UC002';

	register_at($server, $connector);
	# the next request meets the server on a connection of its own
	answer_with($server, { headers => { connection => 'close' }, body => $given });
	my ($person, $answer) = exchange($connector);
	is($answer->{failure}, undef, "a refresh: $name: connected") or return;
	my $look = qq{SELECT generation, access_token, refresh_token, status, failures > 0 AS failing FROM appuser_connectors.connections WHERE app_user = '$person'};
	my $stored = row($node, 'postgres', $look);

	ref $rule eq 'CODE' ? $rule->() : answer_with($server, $rule);
	my ($state, $message) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('$person', '$connector', min_validity => '1 day')");
	subtest "a refresh: $name" => sub {
		is($state, $sqlstate, 'the SQLSTATE says whose matter it is') or diag($message);
		shows_no_secret($message // '', 'no secret is shown');
		my $then = row($node, 'postgres', $look);
		# those of a grant that has ended are sealed anew, as such
		delete @$_{qw(access_token refresh_token)} foreach $dead ? ($stored, $then) : ();
		is_deeply($then, { %$stored, $dead ? (status => 'reconnect_required') : (failing => JSON::PP::true) },
			'the tokens stored are what they were, and the status says what is wrong');
		if ($dead)
		{
			my ($then) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('$person', '$connector')");
			is($then, 'UC002', 'the grant is dead, and its token is not served');
		}
		else
		{
			is(connection($person, $connector)->{access_token}, $given->{access_token}, 'the token, which is still good, is served');
		}
	};
	query($node, 'app_admin', "SELECT appuser_connectors.delete_connector('$connector')") unless $options{keep};
	return ($person, $connector, $given);
}

foreach my $case (@refused)
{
	my ($name, $rule, $failure, $sqlstate) = @$case;

	answer_with($faulty, $rule);
	exchange_fails($name, $failure, 'faulty');
	refresh_fails($name, $sqlstate, $rule) if defined $sqlstate;
}
is(scalar($elsewhere->requests), 0, 'no redirect was followed');
ok(!(grep { $_->{headers}{'accept-encoding'} ne 'identity' } $faulty->requests), 'no compression was asked for');
ok(!(grep { $_->{headers}{accept} ne 'application/json' } $faulty->requests), 'but JSON');

# After all that the same connection is as good as new, with the same refresh token.
my ($person, $connector, $given) = refresh_fails('and another', 'UC003', { status => 500 }, keep => 1);
answer_with($faulty, { body => tokens(refresh_token => undef) });
query($node, 'postgres', "UPDATE appuser_connectors.connections SET refresh_at = now() WHERE app_user = '$person'");
my $fresh;
wait_until('the refresh is tried again', sub { ($fresh) = rows($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('$person', '$connector')"); $fresh->{access_token} ne $given->{access_token} });
is(url_parameters('?' . ($faulty->requests('/token'))[-1]{body})->{refresh_token}, $given->{refresh_token}, 'the next refresh is with the same refresh token');
answer_with($faulty, { body => tokens() });
query($node, 'postgres', "UPDATE appuser_connectors.connections SET refresh_at = now() - interval '1 s' WHERE app_user = '$person'");
wait_until('there is another refresh', sub { connection($person, $connector)->{access_token} ne $fresh->{access_token} });
is(url_parameters('?' . ($faulty->requests('/token'))[-1]{body})->{refresh_token}, $given->{refresh_token}, 'which a null refresh_token does not take away');

# Nor is a rotated token lost when it comes compressed, which nobody asked for.
my $rotated = tokens();
answer_with($faulty, { body => $rotated, gzip => JSON::PP::true });
query($node, 'postgres', "UPDATE appuser_connectors.connections SET refresh_at = now() - interval '1 s' WHERE app_user = '$person'");
wait_until('a refresh is answered by gzip', sub { connection($person, $connector)->{access_token} eq $rotated->{access_token} });
answer_with($faulty, { body => tokens(refresh_token => undef) });
query($node, 'postgres', "UPDATE appuser_connectors.connections SET refresh_at = now() - interval '1 s' WHERE app_user = '$person'");
wait_until('and there is one more', sub { connection($person, $connector)->{access_token} ne $rotated->{access_token} });
is(url_parameters('?' . ($faulty->requests('/token'))[-1]{body})->{refresh_token}, $rotated->{refresh_token}, 'with the refresh token that came compressed');

# An absurd expires_in at a refresh is told, once, and as if absent.
foreach my $absurd (-1, 'soon')
{
	my $response = tokens(expires_in => $absurd);
	answer_with($faulty, { body => $response });
	query($node, 'postgres', "UPDATE appuser_connectors.connections SET refresh_at = now() - interval '1 s' WHERE app_user = '$person'");
	wait_until("a refresh with expires_in $absurd", sub { connection($person, $connector)->{access_token} eq $response->{access_token} });
	isnt(connection($person, $connector)->{expires_at}, undef, "after a refresh with expires_in $absurd the lifetime known before counts on");
	is(query($node, 'app_admin', "SELECT count(*) FROM appuser_connectors.connection_events WHERE app_user = '$person' AND event = 'expires_in_ignored'"), 1,
		'an event says so, once');
}

# What is accepted

sub accepted
{
	my ($name, $rule, $test) = @_;
	my $connector = 'faulty';

	$connector = delete $rule->{connector} if $rule->{connector};
	answer_with($faulty, $rule);
	my ($person, $answer) = exchange($connector);
	subtest $name => sub {
		is($answer->{failure}, undef, 'the connection is made') or return;
		$test->(connection($person, $connector), $person);
	};
	return;
}

sub lasts
{
	my ($seconds) = @_;
	return sub { my ($connection) = @_; cmp_ok(abs($connection->{seconds} - $seconds), '<', 30, "the token lasts $seconds s"); };
}

my $unknown = sub { my ($connection) = @_; is($connection->{expires_at}, undef, 'when the token expires is unknown'); };
my $bearer = sub { my ($connection) = @_; is($connection->{token_type}, 'Bearer', 'its type is Bearer'); };
accepted('token_type BEARER', { body => tokens(token_type => 'BEARER') }, $bearer);
accepted('token_type bearer', { body => tokens(token_type => 'bearer') }, $bearer);
accepted('token_type missing', { body => { access_token => 'access-token-alone' } }, $bearer);
accepted('token_type null', { body => tokens(token_type => undef) }, $bearer);
accepted('JSON that says to be HTML', { headers => { 'content-type' => 'text/html' }, body => encode(tokens()) }, $bearer);
accepted('JSON without a content type', { body => encode(tokens()) }, $bearer);
accepted('JSON with white space around', { body => "\r\n\t " . encode(tokens()) . "\n" }, $bearer);
accepted('JSON that is compressed', { body => tokens(), gzip => JSON::PP::true }, $bearer);
accepted('201 with tokens', { status => 201, body => tokens() }, $bearer);
accepted('an error that is null', { body => tokens(error => undef) }, $bearer);
accepted('an error that is empty', { body => tokens(error => '') }, $bearer);
accepted('unknown members', { body => tokens(note => "caf\x{e9}", more => { nested => [ 1, 2, [ 3 ] ] }) }, $bearer);
accepted('an access_token of 64 kB', { body => tokens(access_token => 't' x (64 << 10)) },
	sub { is(length $_[0]{access_token}, 64 << 10, 'the whole token is kept') });
accepted('1xx answers before the real one', { raw => "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: " . length($valid) . "\r\n\r\n$valid" }, $bearer);

accepted('expires_in a number', { body => tokens(expires_in => 3600) }, lasts(3600));
accepted('expires_in a numeric string', { body => tokens(expires_in => '3600') }, lasts(3600));
accepted('expires_in with a fraction', { headers => $json, body => encode(tokens()) =~ s/7200/3599.7/r }, lasts(3600));
my %absurd = ('negative' => -1, 'not numeric' => 'soon', 'an ISO date' => '2030-01-01T00:00:00Z', 'huge' => 10**18, 'a huge string' => '9' x 40,
	'true' => JSON::PP::true, 'an array' => [3600], 'an epoch' => 2_000_000_000);
foreach my $name (sort keys %absurd)
{
	accepted("expires_in $name: as if absent, with an event", { body => tokens(expires_in => $absurd{$name}) }, sub {
			my ($connection, $person) = @_;
			$unknown->($connection);
			like(row($node, 'app_admin', "SELECT detail FROM appuser_connectors.connection_events WHERE app_user = '$person' AND event = 'connected'")->{detail},
				qr/expires_in was ignored/, 'there is an event') });
}
accepted('expires_in missing', { body => { %{ tokens() }, expires_in => undef } }, $unknown);
accepted('expires_in an empty string', { body => tokens(expires_in => '') }, $unknown);
register_at($faulty, 'hourly', default_expires_in => 3600);
accepted('expires_in missing, and the provider has a default', { connector => 'hourly', body => { access_token => 'access-token-hourly' } }, lasts(3600));
accepted('expires_in negative, and the provider has a default', { connector => 'hourly', body => tokens(expires_in => -5) }, lasts(3600));

sub scopes
{
	my ($scopes, $missing) = @_;

	return sub {
		my ($connection, $person) = @_;
		is_deeply($connection->{scopes}, $scopes, "its scopes are (@$scopes)");
		my ($listed) = rows($node, 'app_service', "SELECT status, missing_scopes FROM appuser_connectors.app_user_connections() WHERE connector_id = 'faulty'", app_user => $person);
		is_deeply($listed, { status => 'connected', missing_scopes => $missing }, "the status says that (@$missing) are missing");
		my ($state, $message) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('$person', 'faulty', required_scopes => '{read,write}')");
		is($state, @$missing ? 'UC002' : undef, 'who requires them is told');
		like($message, qr/scopes were not granted: @$missing\b/, 'and which') if @$missing;
	};
}

accepted('scope missing: as asked', { body => tokens() }, scopes([qw(read write)], []));
accepted('scope null: as asked', { body => tokens(scope => undef) }, scopes([qw(read write)], []));
accepted('scope as asked', { body => tokens(scope => 'write read') }, scopes([qw(write read)], []));
accepted('scope an array', { body => tokens(scope => [qw(read write)]) }, scopes([qw(read write)], []));
accepted('scope with commas', { body => tokens(scope => 'read,write') }, scopes([qw(read write)], []));
accepted('scope narrower than asked', { body => tokens(scope => 'read') }, scopes(['read'], ['write']));
accepted('scope narrower than asked, an array', { body => tokens(scope => ['write']) }, scopes(['write'], ['read']));
accepted('scope empty', { body => tokens(scope => '') }, scopes([], [qw(read write)]));
accepted('scope wider than asked', { body => tokens(scope => 'read write admin') }, scopes([qw(read write admin)], []));
accepted('scope with what is none', { body => tokens(scope => qq{read "x" write \x{e9} read}) }, scopes([qw(read write)], []));

foreach my $none (undef, '')
{
	accepted('refresh_token ' . (defined $none ? 'empty' : 'null') . ': a connection without one', { body => tokens(refresh_token => $none) }, sub {
			my ($connection, $person) = @_;
			my $before = $faulty->requests('/token');
			my ($state) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('$person', 'faulty', rejected_token => '$connection->{access_token}')");
			is($state, 'UC002', 'when its token is over, the person must connect again');
			is(scalar($faulty->requests('/token')), $before, 'without a question to the provider') });
}

# A good connection is not lost to a bad one: reconnecting in vain changes nothing.
answer_with($faulty, { body => $given = tokens() });
($person) = exchange('faulty');
foreach my $case (grep { $_->[0] =~ /^(404|truncated|400 invalid_grant|401|no access_token)/ } @refused)
{
	answer_with($faulty, $case->[1]);
	my (undef, $answer) = exchange('faulty', $person);
	is($answer->{failure}, $case->[2], "connecting again in vain: $case->[0]");
	is(connection($person, 'faulty')->{access_token}, $given->{access_token}, 'leaves the connection as it was');
}

# TLS, and what comes before it: each befalls a server that people have connected to.

sub unreachable
{
	my ($name, $befall) = @_;
	my $server = start_fault_server();
	my $connector = 'unreachable-' . ++$connectors;
	my $instead;

	register_at($server, $connector);
	refresh_fails($name, 'UC003', sub { $server->rules; $instead = $befall->($server) }, server => $server);
	exchange_fails($name, 'provider_unavailable', $connector);
	return $instead;
}

foreach my $certificate ('wrong-name', 'self-signed', 'expired')
{
	my $server = unreachable("a certificate that is $certificate", sub {
			my ($server) = @_;
			$server->stop;
			return start_fault_server(port => $server->ready->{port}, certificate => $certificate);
		});
	my ($status, $counted) = http($server->url . '/__ctl', '-k');
	is_deeply(decode($counted)->{requests}, [], "a certificate that is $certificate: nothing is sent there");
	$server->stop;
}
unreachable('http where https was', sub { my ($server) = @_; $server->stop; start_fault_server(port => $server->ready->{port}, certificate => undef) });
unreachable('nobody listens', sub { my ($server) = @_; $server->stop });
foreach my $what ('drop', 'reset', 'hang')
{
	unreachable("a connection that meets with $what", sub { my ($server) = @_; $server->order({ connect => $what, times => 1000 }) });
}

# A caller that gives up waiting

my $state = url_parameters(authorization_url($node, 'erin', 'faulty'))->{state};
push @secrets, $state;
answer_with($faulty, { hold => 'late', body => $given = tokens() });
my ($sqlstate, $message) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.oauth_callback('$state', 'code-to-keep-secret')",
	app_user => 'erin', settings => { 'appuser_connectors.wait_timeout' => '100ms' });
is($sqlstate, 'UC003', 'who does not want to wait is told');
like($message, qr/^DETAIL: .*goes on/m, 'and that it goes on without');
shows_no_secret($message, 'and no secret');
$faulty->release('late');
wait_until('erin is connected', sub { row($node, 'app_admin', "SELECT true AS yes FROM appuser_connectors.connection_status WHERE app_user = 'erin'") });
is(connection('erin', 'faulty')->{access_token}, $given->{access_token}, 'the connection is made all the same');

# How the client authenticates, at the real provider: any characters may be in its names

my @clients = (
	{ client_id => 'basic:client + 100%/&=?', client_secret => 'a secret: 100%+/&=?~"', token_endpoint_auth_method => 'client_secret_basic' },
	{ client_id => 'post:client + 100%/&=?', client_secret => 'another secret: 100%+/&=?~"', token_endpoint_auth_method => 'client_secret_post' },
	{ client_id => 'public:client + 100%/&=?', token_endpoint_auth_method => 'none' });
$real->order({ clients => \@clients });
foreach my $client (@clients)
{
	my $method = $client->{token_endpoint_auth_method};

	register($node, $real, connector_id => $method, provider => $method, client_id => $client->{client_id}, client_secret => $client->{client_secret},
		scopes => [qw(openid read)], definition => { token_endpoint_auth_method => $method });
	is(connect_user($node, 'frank', $method)->{failure}, undef, "$method: frank is connected");
	my $token = access_token($node, 'frank', $method);
	is(userinfo($real, $token)->{sub}, 'frank', "$method: his token works");
	my $other = query($node, 'app_service', "SELECT access_token FROM appuser_connectors.app_user_connection('frank', '$method', rejected_token => '$token')");
	isnt($other, $token, "$method: and is refreshed");
	push @secrets, $client->{client_secret} // ();

	next if $method eq 'none';
	query($node, 'app_admin', "SELECT appuser_connectors.update_connector('$method', client_secret => 'a wrong secret')");
	is(connect_user($node, 'grace', $method)->{failure}, 'connector_misconfigured', "$method: with a wrong secret the provider refuses the client");
	($sqlstate, $message) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('frank', '$method', rejected_token => '$other')");
	is($sqlstate, 'UC004', "$method: also when frank's token is to be refreshed");
	is(access_token($node, 'frank', $method), $other, "$method: which he has still");
}

push @secrets, 'a wrong secret', map { @$_ } values %{ $real->ctl('/issued') };
foreach my $request ($faulty->requests('/token'))
{
	push @secrets, url_parameters("?$request->{body}")->{code_verifier} // (), $request->{headers}{authorization} =~ /^Basic (.+)/;
}
$node->stop;
shows_no_secret(slurp_file($node->logfile), 'no secret is in the server log');

done_testing();
