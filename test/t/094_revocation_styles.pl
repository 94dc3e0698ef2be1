# Revocations that are not those of RFC 7009: what a definition says is what is sent, with the
# provider's headers; and what of the answer is taken for "revoked".

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use MIME::Base64 qw(encode_base64);
use Session;
use Test::More;

my $ns = 'appuser_connectors';
my $provider = start_fault_server();
my $node = new_node('styles');
my $n_people = 0;

# Somebody connects and leaves; answers what was sent to be revoked, and what the events say.
sub leave
{
	my ($connector, %case) = @_;
	my $person = 'person-' . ++$n_people;

	$provider->rules({ path => '/token', body => { access_token => "at+$person", token_type => 'Bearer', expires_in => 7200, %{ $case{answer} // { refresh_token => "rt+$person" } } } },
		@{ $case{rules} // [ { path => '/revoke*', body => '' } ] });
	my $before = grep { $_->{path} =~ m{^/revoke} } $provider->requests;
	my $state = url_parameters(authorization_url($node, $person, $connector))->{state};
	is(callback($node, $person, { state => $state, code => 'code' })->{failure}, undef, "$person is connected to $connector");
	query($node, 'app_service', "SELECT $ns.disconnect_app_user('$connector')", app_user => $person);
	wait_until("$person is told of", sub { query($node, 'postgres', "SELECT count(*) FROM $ns.revocations") eq '0' });
	my @sent = grep { $_->{path} =~ m{^/revoke} } $provider->requests;
	return (join(' | ', map { join(' ', $_->{method}, $_->{url}, $_->{headers}{authorization} // '-', $_->{body}) =~ s/\Q$person\E/who/gr } @sent[ $before .. $#sent ]),
		query($node, 'app_admin', "SELECT concat_ws(': ', event, detail) FROM $ns.connection_events WHERE app_user = '$person' ORDER BY occurred_at DESC LIMIT 1"), $sent[-1]);
}

sub register_as
{
	my ($connector, $revocation, %more) = @_;
	my $client_id = delete $more{client_id} // 'client id';

	return register($node, $provider, connector_id => $connector, provider => $connector, client_id => $client_id, client_secret => 'hush:1', scopes => ['read'],
		definition => { issuer => undef, jwks_uri => undef, revocation_endpoint => $provider->url . '/revoke', token_endpoint_auth_method => 'client_secret_post',
			defined $revocation ? (revocation => $revocation) : (), %more });
}

my ($sent, $event, $request);
my $basic = 'Basic ' . encode_base64('client+id:hush%3A1', '');
my $client = 'client_id=client+id&client_secret=hush%3A1';

register_as('standard', undef, token_headers => { 'X-Version' => '2022-06-28' });
($sent, $event, $request) = leave('standard');
is($sent, "POST /revoke - token=rt%2Bwho&token_type_hint=refresh_token&$client | POST /revoke - token=at%2Bwho&token_type_hint=access_token&$client", 'as RFC 7009 has it');
is($event, 'revoked', 'is done');
is($request->{headers}{'x-version'}, '2022-06-28', 'with the headers of the definition');

register_as('raw', undef, token_endpoint_auth_method => 'client_secret_basic', basic_encoding => 'raw');
($sent) = leave('raw', answer => {});
is($sent, 'POST /revoke Basic ' . encode_base64('client id:hush:1', '') . ' token=at%2Bwho&token_type_hint=access_token', 'id and secret as they are, where the provider wants them so');

register_as('bearer', { auth => 'bearer' });
($sent, $event, $request) = leave('bearer');
is($sent, 'POST /revoke Bearer at+who ', 'the access token revokes itself');
is($event, 'revoked', 'and is all that is sent');
is($request->{headers}{'content-type'}, undef, 'of no type');
is($request->{headers}{'content-length'}, '0', 'and length');
foreach my $case (
	[ '401 of a token that had a refresh token', qr/^revocation_failed: .*dead already.*refresh token/, { status => 401, body => '' } ],
	[ 'an expired token, as Slack says it', qr/^revocation_failed: .*dead already/, { body => { ok => JSON::PP::false, error => 'token_expired' } } ],
	[ 'a token that was revoked', qr/^revoked$/, { body => { ok => JSON::PP::false, error => 'token_revoked' } } ],
	[ 'a redirect', qr/^revocation_failed: .*302/, { status => 302, headers => { Location => $provider->url . '/revoke/elsewhere' }, body => '' } ])
{
	my ($what, $told, $rule) = @$case;

	($sent, $event) = leave('bearer', rules => [ { path => '/revoke*', %$rule } ]);
	is($sent, 'POST /revoke Bearer at+who ', "$what: once");
	like($event, $told, "$what: the event");
}
($sent, $event) = leave('bearer', answer => {}, rules => [ { path => '/revoke', status => 401, body => '' } ]);
is($event, 'revoked: the provider knew no such token', '401 where there is nothing else: it is dead');

register_as('github', { method => 'DELETE', auth => 'client_secret_basic', body_format => 'json', token_parameter => 'access_token' }, client_id => 'Iv1.abc', revocation_endpoint => $provider->url . '/revoke/{client_id}/token');
($sent, $event, $request) = leave('github', rules => [ { path => '/revoke*', status => 204, body => '' } ]);
is($sent, 'DELETE /revoke/Iv1.abc/token Basic ' . encode_base64('Iv1.abc:hush%3A1', '') . ' {"access_token":"at+who"}', 'GitHub: DELETE by the client, in JSON');
is($event, 'revoked', 'is done');
is($request->{headers}{'content-type'}, 'application/json', 'with its type');
($sent, $event) = leave('github', rules => [ { path => '/revoke*', status => 404, body => { message => 'Not Found' } } ]);
like($event, qr/^revocation_failed: .*may live on/, '404: the refresh token may live on');
($sent, $event) = leave('github', answer => {}, rules => [ { path => '/revoke*', status => 422, body => { message => 'Validation Failed' } } ]);
is($event, 'revoked: the provider knew no such token', 'or there is none');
($sent, $event) = leave('github', answer => {}, rules => [ { path => '/revoke*', status => 401, body => { message => 'Bad credentials' } } ]);
like($event, qr/^revocation_failed: .*401; client_id or client_secret/, '401 of the client is a failure');

register_as('one', { auth => 'none', tokens => 'refresh_token' });
($sent, $event) = leave('one');
is($sent, 'POST /revoke - token=rt%2Bwho', 'the refresh token alone, of nobody');
($sent, $event) = leave('one', answer => {});
is("$sent $event", ' revocation_failed: the provider revokes refresh tokens only, and there is none', 'if there is one');

register_as('named', { auth => 'client_secret_post' }, token_param_names => { client_id => 'client_key' });
($sent, $event) = leave('named');
is($sent, join(' | ', map { "POST /revoke - token=$_%2Bwho&client_key=client+id&client_secret=hush%3A1" } qw(rt at)), 'the client by the names that it has at the token endpoint');

# Tokens that nobody has any longer go where the flow's fields say.
register_as('desk', undef, revocation_endpoint => $provider->url . '/revoke/{tenant}', connection_config_fields => { tenant => { source => 'user', pattern => '^[a-z]+$' } });
my $state = url_parameters(query($node, 'app_service', "SELECT $ns.connect_app_user('desk', connection_config => '{\"tenant\": \"acme\"}')", app_user => 'erin'))->{state};
my $session = Session->new($node, 'app_service');
my $before = grep { $_->{path} =~ m{^/revoke} } $provider->requests;
$provider->rules({ path => '/token', hold => 'answer', body => { access_token => 'at', refresh_token => 'rt', token_type => 'Bearer', expires_in => 7200 } }, { path => '/revoke*', body => '' });
$session->send("BEGIN; SELECT $ns.set_app_user('erin'); SELECT failure FROM $ns.oauth_callback('$state', 'code'); COMMIT;");
$provider->wait(held => 'answer');
query($node, 'app_service', "SELECT $ns.erase_app_user('erin')");
$provider->release('answer');
is($session->answer->{state}, 'UC005', 'somebody erased while the code is exchanged is connected to nothing');
wait_until('the outbox is empty', sub { query($node, 'postgres', "SELECT count(*) FROM $ns.revocations") eq '0' });
my @sent = grep { $_->{path} =~ m{^/revoke} } $provider->requests;
is(join(' ', map { $_->{url} } @sent[ $before .. $#sent ]), '/revoke/acme /revoke/acme', 'and what was granted is revoked, at the URL of its tenant');
$session->close;

$node->stop;
done_testing();
