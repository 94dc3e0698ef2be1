# Whoever sets a connector up wrongly finds the cause, and what mends it, by one query:
# the newest connect_failed of connection_events.  The same query is in
# docs/troubleshooting.md.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Test::More;

my $ns = 'appuser_connectors';
my $faulty = start_fault_server(certificate => undef);
my $real = start_provider();
my $node = new_node('misconfigured', 'appuser_connectors.request_timeout = 5s');
my $query = "SELECT detail FROM $ns.connection_events WHERE event = 'connect_failed' ORDER BY occurred_at DESC LIMIT 1";
my $count = 0;

sub quote { return "'" . $_[0] . "'"; }

sub told
{
	my ($way, $failure, $like, $server, %arguments) = @_;
	my $iss = delete $arguments{iss};
	my $error = delete $arguments{error};
	my $id = 'way' . ++$count;

	register($node, $server, connector_id => $id, provider => $id, scopes => ['read'], %arguments);
	my $state = url_parameters(authorization_url($node, 'alice', $id))->{state};
	my $row = callback($node, 'alice', { state => $state, $error ? (error => $error) : (code => 'a-code'), defined $iss ? (iss => $iss) : () });
	is($row->{failure}, $failure, "$way: the page is told $failure");
	like(query($node, 'app_admin', $query), qr/^\Q$failure\E: $like/, "$way: the admin is told the cause and the mend");
	return;
}

sub answers { return $faulty->rules({ path => '/token', @_ }); }

my %definition = (definition => { issuer => undef });
my $endpoint = quotemeta '"' . $faulty->url . '/token"';

answers(status => 401, body => { error => 'invalid_client', error_description => 'Invalid client secret.' });
told('a wrong client secret', 'connector_misconfigured',
	qr/the token endpoint $endpoint answered with HTTP status 401, error invalid_client: Invalid client secret\.; correct client_id or client_secret with update_connector\(\), or token_endpoint_auth_method/, $faulty, %definition);
told('a wrong client secret at a real provider', 'connector_misconfigured', qr/.*HTTP status 401, error invalid_client.*client_secret with update_connector/, $real, client_secret => 'wrong', iss => $real->url);
told('a wrong client id at a real provider', 'connector_misconfigured', qr/.*HTTP status 40[01], error invalid_client.*correct client_id/, $real, client_id => 'nobody', client_secret => 'a secret', iss => $real->url);
answers(status => 400, body => { error => 'invalid_grant', error_description => 'redirect_uri mismatch' });
told('another redirect URI than is registered', 'invalid_grant', qr/.*HTTP status 400, error invalid_grant: redirect_uri mismatch; .*redirect_uris with what is registered/, $faulty, %definition);
told('an issuer with a slash more', 'issuer_mismatch', qr{the callback's iss is "https://issuer\.example/", the definition's issuer "https://issuer\.example"; .*letter by letter}, $faulty,
	definition => { issuer => 'https://issuer.example' }, iss => 'https://issuer.example/');
told('an issuer that is promised and does not come', 'issuer_mismatch', qr/the callback has no iss.*authorization_response_iss_parameter_supported/, $faulty,
	definition => { issuer => 'https://issuer.example', authorization_response_iss_parameter_supported => JSON::PP::true });
answers(status => 404, headers => { 'content-type' => 'text/html' }, body => '<html>Not found</html>');
told('a wrong endpoint', 'provider_unavailable', qr/the token endpoint $endpoint answered with HTTP status 404.*; token_endpoint of the definition may be wrong/, $faulty, %definition);
told('a private network', 'connector_misconfigured', qr/.*an address that is not allowed; if it may be called: allowed_networks or allowed_hosts/, $faulty,
	definition => { issuer => undef, token_endpoint => 'https://10.1.2.3/token' });
told('no way out', 'provider_unavailable', qr/.*no connection could be made; this server's way out/, $faulty, definition => { issuer => undef, token_endpoint => 'https://127.0.0.1:1/token' });
my $unknown_ca = start_fault_server(certificate => 'self-signed');
told('a certificate of an authority of one\'s own', 'provider_unavailable', qr/.*ertificate.*; ca_file/, $unknown_ca, %definition) if defined $unknown_ca;
told('a scope that the provider does not know', 'invalid_scope', qr/.*correct scopes with update_connector/, $faulty, %definition, error => 'invalid_scope');

cmp_ok(query($node, 'app_admin', "SELECT unavailable FROM $ns.pg_stat_appuser_connectors WHERE kind = 'exchange'"), '>', 0, 'what was not answered is counted as unavailable');

# A secret with what was copied along is never right, and not shown.
foreach my $secret ("hush-hush\n", 'hush-hush ', "\thush-hush", "hush-hush\r\n")
{
	(my $name = $secret) =~ s/(\s)/sprintf '\\x%02x', ord $1/ge;
	foreach my $sql ("SELECT $ns.register_connector('way1', 'client', " . quote($secret) . ", '{}', '{https://app.example/cb}', 'padded')", "SELECT $ns.update_connector('way1', client_secret => " . quote($secret) . ')')
	{
		my ($sqlstate, $message) = failure($node, 'app_admin', $sql);
		is($sqlstate, '22023', "the secret $name is refused");
		like($message, qr/this client_secret cannot be right.*begins or ends with white space.*HINT:/s, 'with what to do');
		unlike($message, qr/hush/, 'and is not shown');
	}
}

$node->stop;
done_testing();
