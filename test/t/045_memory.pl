# When a call is over, nothing of it is left in the worker's memory: no token, code,
# verifier, client secret or Authorization header, whether it went well, was refused,
# was never answered, or its answer was held.  (Over HTTP/1.1: nghttp2 has memory of
# its own, which an older libcurl gives us no hand in.)

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $node = new_node('memory', "appuser_connectors.request_timeout = '500ms'");
my $worker_query = "SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'appuser_connectors worker%'";

# What is freed has its beginning overwritten by the allocator, so secrets begin with
# something else, and what is looked for is their end.  Some are large, since large
# chunks have other ways.
my $filler = 'F' x 64;
my %secrets;
my $count = 0;

sub secret
{
	my ($kind, $large) = @_;
	my $secret = $filler . ($large ? 'G' x 20_000 : '') . "-$kind-" . ++$count . '-canary';

	$secrets{$secret} = substr $secret, -40;
	return $secret;
}

sub tokens
{
	my ($large) = @_;

	return { path => '/token', body => { token_type => 'Bearer', expires_in => 3600, map { $_ => secret($_, $large) } qw(access_token refresh_token id_token) } };
}

sub refresh
{
	my ($app_user, $connector) = @_;

	return failure($node, 'app_service', "SELECT 1 FROM appuser_connectors.app_user_connection('$app_user', '$connector', min_validity => '1 day')");
}

my $client_secret = secret('client');
foreach my $variant ([ 'basic', 'client_secret_basic', 'form', 'localhost' ], [ 'post', 'client_secret_post', 'json', 'localhost' ], [ 'plain', 'client_secret_basic', 'form', undef ])
{
	my ($connector, $method, $format, $certificate) = @$variant;
	my $fault = start_fault_server(certificate => $certificate);

	register($node, $fault, connector_id => $connector, provider => $connector, client_secret => $client_secret, scopes => ['read'],
		definition => { issuer => undef, jwks_uri => undef, revocation_endpoint => $fault->url . '/revoke', token_endpoint_auth_method => $method, token_body_format => $format });
	foreach my $app_user (qw(alice bob carol dave))
	{
		my $large = $app_user eq 'bob';
		my $state = url_parameters(authorization_url($node, $app_user, $connector))->{state};
		$fault->rules(tokens($large));
		is(callback($node, $app_user, { state => $state, code => secret('code') })->{failure}, undef, "$connector: $app_user is connected");
		my ($request) = reverse $fault->requests('/token');
		my $sent = $format eq 'json' ? decode($request->{body}) : url_parameters("?$request->{body}");
		$secrets{ $sent->{code_verifier} } = $sent->{code_verifier};
		$secrets{ $request->{headers}{authorization} } = substr($request->{headers}{authorization}, -40) if $method eq 'client_secret_basic';
		$fault->rules(tokens($large));
		is_deeply([ refresh($app_user, $connector) ], [], "$connector: and refreshed");
	}

	my $state = url_parameters(authorization_url($node, 'erin', $connector))->{state};
	$fault->rules({ path => '/token', status => 400, body => { error => 'invalid_grant', error_description => secret('description') } });
	is(callback($node, 'erin', { state => $state, code => secret('code') })->{failure}, 'invalid_grant', "$connector: a code is refused");
	$fault->rules({ %{ tokens() }, truncate => JSON::PP::true });
	is((refresh('alice', $connector))[0], 'UC003', "$connector: an answer is cut");
	$fault->rules({ path => '/token', hang => JSON::PP::true });
	is((refresh('bob', $connector))[0], 'UC003', "$connector: there is no answer");

	my $holder = Session->new($node, 'postgres');
	$holder->ask("BEGIN; SELECT 1 FROM appuser_connectors.connections WHERE app_user = 'carol' AND connector_id = '$connector' FOR UPDATE");
	$fault->rules(tokens(1));
	$node->safe_psql('postgres', "UPDATE appuser_connectors.connections SET refresh_at = now() WHERE app_user = 'dave' AND connector_id = '$connector'");
	is((failure($node, 'app_service', "SET appuser_connectors.wait_timeout = '1s'; SELECT 1 FROM appuser_connectors.app_user_connection('carol', '$connector', min_validity => '1 day')"))[0],
		'UC003', "$connector: an answer is held");
	$holder->ask('ROLLBACK');
	$holder->close;
	wait_until('held answers are applied', sub { query($node, 'postgres', 'SELECT count(*) FROM appuser_connectors.pending_answers') eq '0' });

	$fault->rules({ path => '/revoke' });
	query($node, 'app_service', "SELECT appuser_connectors.disconnect_app_user('$connector')", app_user => 'carol');
	wait_until('the tokens are revoked', sub { query($node, 'postgres', 'SELECT count(*) FROM appuser_connectors.revocations') eq '0' });
	query($node, 'app_admin', "SELECT appuser_connectors.delete_connector('$connector')");
	wait_until('all others as well', sub { query($node, 'postgres', 'SELECT count(*) FROM appuser_connectors.revocations') eq '0' });
}

my $pid = query($node, 'postgres', $worker_query);
SKIP:
{
	open my $maps, '<', "/proc/$pid/maps" or skip "there is no /proc/$pid/maps", 2;
	open my $memory, '<:raw', "/proc/$pid/mem" or skip 'the memory of the worker may not be read here', 2;
	my $there = certificates() . '/ca.pem';
	my $seen = 0;
	my %left;

	while (my $line = <$maps>)
	{
		my ($from, $to, $file) = $line =~ /^([0-9a-f]+)-([0-9a-f]+) rw\S* \S+ \S+ \S+\s*(.*)/ or next;
		my $bytes = '';

		# the statements of callers, with their codes, are in shared memory
		next if $file =~ m{^/dev/zero|^/SYSV|^/dev/shm/};
		sysseek $memory, hex $from, 0 or next;
		my $size = hex($to) - hex($from);
		while (length $bytes < $size)
		{
			sysread $memory, $bytes, $size - length $bytes, length $bytes or last;
		}
		$seen += () = $bytes =~ /\Q$there\E/g;
		foreach my $secret (keys %secrets)
		{
			$left{ $secrets{$secret} } = $file || 'anonymous memory' if index($bytes, $secrets{$secret}) >= 0;
		}
	}
	cmp_ok($seen, '>', 0, 'what the worker has in its memory is seen there');
	is_deeply(\%left, {}, 'and no secret is');
}

$node->stop;
done_testing();
