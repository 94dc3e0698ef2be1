# The gateway's callback: only the browser that began finishes, or the person who did; a reload, a second tab, a page that was
# fetched ahead and an answer by a form all end where they should, on a page that says what is so.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Gateway;
use IPC::Run ();
use JSON::PP;
use Test::More;

plan skip_all => Gateway::lacking() if Gateway::lacking();

my $node = new_node('main');
my $gateway = Gateway->new($node, allowed_origins => 'https://shop.example', requests_per_minute => 6000, flows_per_minute => 6000);
my $provider = start_provider(tls => JSON::PP::false, redirect_uris => [ $gateway->callback_url ]);
register($node, $provider, connector_id => 'files', redirect_uris => [ $gateway->callback_url ]);
$gateway->start;

sub exchanges { return $provider->ctl->{grants}{authorization_code}{ok} // 0; }

# A browser: asks with its cookies, and keeps what it is given
sub browse
{
	my ($cookies, $address, %options) = @_;
	my $answer = $gateway->ask($address, cookies => $cookies, %options);

	foreach my $name (keys %{ $answer->{cookies} })
	{
		if ($answer->{cookies}{$name} eq '') { delete $cookies->{$name} }
		else { $cookies->{$name} = $answer->{cookies}{$name} }
	}
	return $answer;
}

# What somebody sees who looks at the page
sub page_is
{
	my ($answer, $status, $title, $what) = @_;
	my ($heading) = $answer->{body} =~ /<h1>(.*?)<\/h1>/;

	is("$answer->{status} " . ($heading // $answer->{body}), "$status $title", $what);
	like($answer->{head}, qr{^content-type: text/html; charset=utf-8}mi, 'as a page');
	like($answer->{body}, qr/<a [^>]*href="[^"]+"/, 'from which there is a way on');
	return;
}

sub begin
{
	my ($person, $account, $login, %options) = @_;
	my %cookies;
	my $began = $gateway->initiate($person, 'files', %options);

	$began->{status} == 200 or die $began->{body};
	%cookies = %{ $began->{cookies} };
	return ($gateway->come_back($began, $account // $person, @{ $login // [] }), \%cookies);
}

# -------------------------------------------- the browser that began, and others

my ($address, $browser) = begin('alice');
my $before = exchanges();
page_is($gateway->ask($address), 400, 'Please begin again', 'a link that is opened in another browser');
my (undef, $other) = begin('bob');
page_is($gateway->ask($address, cookies => $other), 400, 'Please begin again', 'or in that of somebody who begins as well');
my ($name) = keys %$browser;
page_is($gateway->ask($address, cookies => { $name => (values %$other)[0] }), 400, 'Please begin again', 'or with another value');
is(exchanges(), $before, 'spends nothing');

my $answer = browse($browser, $address);
is("$answer->{status} $answer->{location}", '303 /?connector=files&connected=1', 'the browser that began finishes all the same');
ok(!exists $browser->{$name}, 'and its cookie is gone');
is(exchanges(), $before + 1, 'one code is spent');
like($answer->{head}, qr/^referrer-policy: no-referrer/mi, 'the address is told to nobody');

# ----------------------------------------------------------- once more

$answer = browse($browser, $address);
page_is($answer, 200, 'Connected', 'the same page once more says what is so');
like($answer->{body}, qr/“files” is connected/, 'of which connector');
page_is($gateway->ask($address), 400, 'Please begin again', 'and says nothing of it to another browser');
is($gateway->disconnect('alice', 'files')->{status}, 200, 'she disconnects');
browse($browser, $address);
is($gateway->token('alice', 'files')->{status}, 404, 'a reload connects nothing');

($address, $browser) = begin('alice', 'alice', ['--cancel'], json => { return_to => '/settings?tab=2#accounts' });
$answer = browse($browser, $address);
is("$answer->{status} $answer->{location}", '303 /settings?tab=2&connector=files&failure=access_denied#accounts', 'a refusal comes back to where she was');
$answer = browse($browser, $address);
page_is($answer, 200, 'Not connected', 'and is still one when the page is loaded again');
like($answer->{body}, qr{<a [^>]*href="/settings\?tab=2#accounts"}, 'with the way back');

# ------------------------------------------------ not spent by looking ahead

($address, $browser) = begin('alice');
$before = exchanges();
foreach my $header ('Sec-Purpose: prefetch', 'Sec-Purpose: prefetch;prerender', 'Purpose: prefetch', 'X-Moz: prefetch')
{
	$answer = browse($browser, $address, headers => [$header]);
	page_is($answer, 503, 'Not yet', $header);
	like($answer->{head}, qr/^cache-control: no-store/mi, 'which the browser does not keep');
}
is($gateway->ask($address, cookies => $browser, headers => ['Connection: close'], method => 'OPTIONS')->{status}, 404, 'nor by asking what can be done');
is((http($address, '-I', '-H', 'Cookie: ' . join '; ', map { "$_=$browser->{$_}" } keys %$browser))[0], 404, 'nor by HEAD');
is(exchanges(), $before, 'looking ahead spends nothing');
is(browse($browser, $address)->{status}, 303, 'going there does');

# --------------------------------------------------------------- two tabs

my ($first, $tab1) = begin('alice', 'alice-one', [], json => { connection_name => 'one' });
my ($second, $tab2) = begin('alice', 'alice-two', [], json => { connection_name => 'two' });
my %both = (%$tab1, %$tab2);
is(browse(\%both, $second)->{location}, '/?connector=files&connection=two&connected=1', 'of two tabs the second finishes');
is(browse(\%both, $first)->{location}, '/?connector=files&connection=one&connected=1', 'and then the first');
my %accounts = map { $_->{connection_name} => $_->{account} } rows($node, 'app_admin', "SELECT connection_name, account FROM appuser_connectors.connection_status WHERE app_user = 'alice'");
is_deeply([ @accounts{qw(one two)} ], [qw(alice-one alice-two)], 'each with its own account');

# The same page in two tabs at once: while the provider has not answered the first
($address, $browser) = begin('alice');
$provider->order({ faults => [ { path => '/token', hold => JSON::PP::true, times => 1 } ] });
$before = exchanges();
my @curl = ('curl', '-s', '--max-time', 20, '-o', '/dev/null', '-w', '%{http_code} %{redirect_url}', '-H', 'Cookie: ' . join('; ', map { "$_=$browser->{$_}" } keys %$browser), $address);
my ($one, $two) = ('', '');
my $run = IPC::Run::start(\@curl, '>', \$one, '&', \@curl, '>', \$two);
wait_until('the first is with the provider', sub { $provider->ctl->{held} >= 1 });
$provider->order({ release => JSON::PP::true, faults => [] });
$run->finish;
is($one, '303 ' . $gateway->url . '/?connector=files&connected=1', 'the same page in two tabs at once: one');
is($two, $one, 'and the other end the same');
is(exchanges(), $before + 1, 'by one exchange');

# ---------------------------------------------------- an answer by a form

($address, $browser) = begin('alice');
my ($form) = $address =~ /\?(.*)/;
$before = exchanges();
$answer = $gateway->ask('/api/external-auth/callback', method => 'POST', form => "$form&id_token=a.b.c&user=%7B%22name%22%3A%22A+%26+B%22%7D", headers => ['Origin: https://provider.example', 'Sec-Fetch-Site: cross-site']);
is($answer->{status}, 303, 'a form that the provider sends, with which no cookie comes, becomes a GET');
unlike($answer->{location}, qr/id_token/, 'without what nobody reads');
like($answer->{location}, qr/&user=%7B%22name%22%3A%22A\+%26\+B%22%7D$/, 'with what it brought');
is(exchanges(), $before, 'which spends nothing yet');
is(browse($browser, $answer->{location})->{location}, '/?connector=files&connected=1', 'and finishes in that browser');
page_is($gateway->ask('/api/external-auth/callback', method => 'POST', form => 'state=' . 'x' x 9000), 400, 'Nothing to do here', 'a form that is too large for that');
page_is($gateway->ask('/api/external-auth/callback', method => 'POST', json => { state => 'x' }), 400, 'Nothing to do here', 'what is no form');

# ------------------------------------------------------ what strangers send

page_is($gateway->ask('/api/external-auth/callback'), 400, 'Nothing to do here', 'nothing at all');
foreach my $query ('state=&code=x', 'state=a&state=b&code=x', 'state=made-up&code=x', 'code=x', 'state=%00', 'state=%FF%FE&code=x', '__proto__=x&state=x', 'state=' . 'x' x 6000, 'state=x&' . join('&', map { "p$_=x" } 1 .. 500))
{
	$answer = $gateway->ask("/api/external-auth/callback?$query");
	is($answer->{status}, 400, 'refused: ' . substr $query, 0, 40) or diag($answer->{body});
	like($answer->{body}, qr/<h1>(?:Please begin again|Nothing to do here|That did not work)<\/h1>/, 'by a page');
}
($address, $browser) = begin('alice');
$answer = browse($browser, "$address&code=another");
is($answer->{location}, '/?connector=files&failure=invalid_response', 'a code that comes twice is none');
($address, $browser) = begin('alice');
my ($state) = $address =~ /[?&](state=[^&]*)/;
my ($issuer) = $address =~ /[?&](iss=[^&]*)/;
$answer = browse($browser, "/api/external-auth/callback?$state&$issuer&error=%3Cscript%3Ealert(1)%3C/script%3E%22%27");
is($answer->{status}, 303, 'an error in strange words');
unlike($answer->{location}, qr/[<>"'\s]/, 'is carried as a value');
unlike(browse($browser, $address)->{body}, qr/<script/, 'and is no markup');

# ------------------------------------------------ people known by their cookie

my %alice = ('__Host-visitor' => Gateway::jwt('alice'));
my %bob = ('__Host-visitor' => Gateway::jwt('bob'));
my @elsewhere = (headers => [ 'Origin: https://shop.example', 'Sec-Fetch-Site: cross-site' ]);

($address) = begin('alice', 'alice', [], @elsewhere);
page_is($gateway->ask($address), 400, 'Please begin again', 'a flow that another origin\'s page began is nobody\'s to finish who is not known');
page_is($gateway->ask($address, cookies => \%bob), 400, 'Please begin again', 'nor bob\'s');
page_is($gateway->ask($address, cookies => { '__Host-visitor' => Gateway::jwt('alice', exp => 1) }), 401, 'Please sign in', 'whose session has ended is told so');
is($gateway->ask($address, cookies => \%alice)->{location}, '/?connector=files&connected=1', 'alice finishes, by the application\'s own cookie');

($address, $browser) = begin('alice');
page_is($gateway->ask($address, cookies => { %$browser, %bob }), 400, 'Please begin again', 'bob, who is signed in where alice began, finishes nothing of hers');
is(browse({ %$browser, '__Host-visitor' => Gateway::jwt('alice', exp => 1) }, $address)->{status}, 303, 'whose session ended meanwhile is known by the flow\'s cookie');

# A site beside this one may set a cookie whose name only looks as if it had the prefix, which a browser keeps for the host itself.
($address, $browser) = begin('alice');
page_is($gateway->ask($address, cookies => { map { ("\xa0$_" => $browser->{$_}) } keys %$browser }), 400, 'Please begin again', 'a cookie of another name is none of the flow\'s');
is($gateway->ask('/connections', cookies => { "\xa0__Host-visitor" => $alice{'__Host-visitor'} })->{status}, 401, 'nor says it who the visitor is');

# which an admin must have listed
query($node, 'app_admin', 'SELECT appuser_connectors.update_connector($$files$$, options => ' . AppuserConnectors::quote({ return_to => [ $gateway->url . '//evil.example/x' ] }) . ')');
($address, $browser) = begin('alice', 'alice', [], json => { return_to => $gateway->url . '//evil.example/x' });
is(browse($browser, $address)->{location}, $gateway->url . '//evil.example/x?connector=files&connected=1', 'a path of two slashes stays on this site');

# ----------------------------------------------------- the provider in trouble

$provider->order({ faults => [ { path => '/token', status => 503 } ] });
($address, $browser) = begin('carol');
is(browse($browser, $address)->{location}, '/?connector=files&failure=provider_unavailable', 'the provider is in trouble');
$provider->order({ faults => [ { path => '/token', hold => JSON::PP::true, times => 1 } ] });
$node->safe_psql('postgres', "ALTER ROLE app_service SET appuser_connectors.wait_timeout = '500ms'");
is($gateway->stop, 0, 'it stops in order');
$gateway->start(trusted_proxies => '127.0.0.1');
($address, $browser) = begin('carol');
page_is(browse($browser, $address), 503, 'That did not work', 'or does not answer in time');
like($gateway->log, qr/"code":"UC003"/, 'which is in the log');
$provider->order({ release => JSON::PP::true });
wait_until('it has answered', sub { row($node, 'app_admin', "SELECT FROM appuser_connectors.connection_status WHERE app_user = 'carol'") });
is(browse($browser, $address)->{location}, '/?connector=files&connected=1', 'a reload then says that it worked');

# --------------------------------------------------------- without the cookie

is($gateway->stop, 0, 'it stops in order');
$gateway->start(binding => 'visitor', visitor_cookie => 'session', visitor_header => 'X-Access-Token');
($address, $browser) = begin('dave');
is_deeply($browser, {}, 'where the SDK runs on a server, no cookie is given');
page_is($gateway->ask($address), 400, 'Please begin again', 'nobody finishes');
is($gateway->ask($address, cookies => { session => Gateway::jwt('dave') })->{location}, '/?connector=files&connected=1', 'but the person, by the cookie that is configured');
($address) = begin('dave');
is($gateway->ask($address, headers => [ 'X-Access-Token: ' . Gateway::jwt('dave') ])->{location}, '/?connector=files&connected=1', 'or the header');

is($gateway->stop, 0, 'it stops in order');
$node->stop;
done_testing();
