# What a scanner would look for: the passive rules of OWASP ZAP's baseline, by their numbers, held against every answer of the gateway that can be
# reached by its own links, and against its refusals and redirects.  Then what a scanner does: forms from other sites, redirects elsewhere,
# text that comes back as markup.

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
my $gateway = Gateway->new($node, tls => 1, demo => 1, admins => 'root', admin_database => Gateway::database('app_admin', $node), allowed_origins => 'https://shop.example',
	requests_per_minute => 1_000_000, flows_per_minute => 1_000_000, metrics_token => 'the-token-for-metrics');
my $provider = start_provider(redirect_uris => [ $gateway->callback_url ]);
my $connector = register($node, $provider, connector_id => 'files', redirect_uris => [ $gateway->callback_url ]);
$gateway->start;
my $origin = $gateway->url;

sub jwt { return $gateway->ask('/demo/token', method => 'POST', json => { user => $_[0] })->{json}{token}; }
my %jwt = map { $_ => jwt($_) } qw(alice root);
my %visitor = map { $_ => { '__Host-visitor' => $jwt{$_} } } keys %jwt;
foreach my $name ('default', 'a "second" <account>')
{
	my $began = $gateway->initiate(\$jwt{alice}, $connector, json => { connection_name => $name });
	is($gateway->ask($gateway->come_back($began, 'alice'), cookies => $began->{cookies})->{status}, 303, "alice is connected: $name");
}

# ------------------------------------------------------------------ the rules

sub header { my ($answer, $name) = @_; return join ', ', $answer->{head} =~ /^\Q$name\E: ([^\r\n]*)/mig; }
sub is_html { return header($_[0], 'content-type') =~ /^text\/html/; }
sub is_redirect { return $_[0]{status} =~ /^30/; }

# Each takes the answer, and says what is wrong
my %rules = (
	'2 private address' => sub { $_[0]{body} =~ /\b(?:10|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d+\.\d+(?:\.\d+)?\b/ && $& },
	'3 session in the URL' => sub { join ' ', $_[0]{body} =~ /(?:href|action|src)="([^"]*(?:jsessionid|session|token|jwt)=[^"]*)"/gi },
	'10010 cookie HttpOnly' => sub { grep { !/; HttpOnly/ } @{ $_[0]{cookie_lines} } },
	'10011 cookie Secure' => sub { grep { !/; Secure/ } @{ $_[0]{cookie_lines} } },
	'10015 cache-control' => sub { $_[1] =~ m{^/assets/|\.(?:css|js)$} ? '' : header($_[0], 'cache-control') !~ /no-store/ && header($_[0], 'cache-control') . ' lets it be kept' },
	'10017 scripts of other sites' => sub { join ' ', $_[0]{body} =~ /<script[^>]+src="((?:https?:)?\/\/[^"]*)"/g },
	'10019 content type' => sub { $_[0]{body} ne '' && header($_[0], 'content-type') eq '' && 'none' },
	'10020 clickjacking' => sub { header($_[0], 'x-frame-options') ne 'DENY' || header($_[0], 'content-security-policy') !~ /frame-ancestors 'none'/ ? 'may be framed' : '' },
	'10021 X-Content-Type-Options' => sub { header($_[0], 'x-content-type-options') ne 'nosniff' && 'not nosniff' },
	'10023, 90022 debug messages' => sub { $_[0]{body} =~ /\bat \S+\.m?js:\d+|node_modules|SQLSTATE|stack|\bselect\b.*\bfrom\b|syntax error|Internal Server Error|appuser_connectors\.\w+\(/ && $_[1] !~ /\.js$/ && $& },
	'10025 referrer' => sub { header($_[0], 'referrer-policy') !~ /^(?:same-origin|no-referrer)$/ && header($_[0], 'referrer-policy') },
	'10027 comments' => sub { is_html($_[0]) && $_[0]{body} =~ /<!--(.*?)-->/s && $1 },
	'10030, 90011 charset' => sub { is_html($_[0]) && header($_[0], 'content-type') ne 'text/html; charset=utf-8' && header($_[0], 'content-type') },
	'10033 directory' => sub { $_[0]{body} =~ /Index of \// && $& },
	'10035 HSTS' => sub { header($_[0], 'strict-transport-security') !~ /^max-age=(\d+)/ || $1 < 15_768_000 ? 'no year' : '' },
	'10036 Server' => sub { header($_[0], 'server') },
	'10037, 10039, 10052, 10056, 10061 what runs here' => sub { join ' ', $_[0]{head} =~ /^(x-(?:powered-by|backend-server|chromelogger-data|chromephp-data|debug-token|aspnet\S*)):/mig },
	'10038, 10055 CSP' => sub {
		my $policy = header($_[0], 'content-security-policy');
		return 'none' if $policy eq '';
		return join ' ', ($policy =~ /('unsafe-\S*'|\*|\bhttps?:(?=[ ;])|\bblob:)/g), grep { $policy !~ /(?:^|; )\Q$_\E(?:;|$)/ } "default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'";
	},
	'10040, 10041, 10042 plain http' => sub { is_html($_[0]) && join ' ', $_[0]{body} =~ /(?:src|action)="(http:[^"]*)"/g },
	'10044 a redirect with much to read' => sub { is_redirect($_[0]) && length $_[0]{body} > 300 && 'long' },
	'10054 cookie SameSite' => sub { grep { !/; SameSite=Lax/ } @{ $_[0]{cookie_lines} } },
	'10063 Permissions-Policy' => sub { header($_[0], 'permissions-policy') !~ /camera=\(\)/ && 'none' },
	'10096 timestamps' => sub { is_html($_[0]) && $_[0]{body} =~ /\b1[6-9]\d{8}\b/ && $& },
	'10098 CORS' => sub { header($_[0], 'access-control-allow-origin') eq '*' || header($_[0], 'access-control-allow-credentials') ne '' ? 'open' : '' },
	'10099 source' => sub { is_html($_[0]) && $_[0]{body} =~ /\$\{|\[object |undefined\b|\bfunction\s*\(|import .* from/ && $& },
	'10105 weak authentication' => sub { header($_[0], 'www-authenticate') =~ /basic|digest/i && 'Basic' },
	'10108 tabnabbing' => sub { join ' ', grep { /target=/ && !/rel="[^"]*no(?:opener|referrer)/ } $_[0]{body} =~ /<a ([^>]*)>/g },
	'10109, 10110 script in the page' => sub { is_html($_[0]) && join ' ', $_[0]{body} =~ /(<script(?![^>]*src=)[^>]*>|<style|\s(?:on\w+|style)="|javascript:)/gi },
	'90003 integrity' => sub { join ' ', $_[0]{body} =~ /<link[^>]+href="((?:https?:)?\/\/[^"]*)"/g },
	'90004 isolation' => sub { header($_[0], 'cross-origin-opener-policy') ne 'same-origin' || header($_[0], 'cross-origin-embedder-policy') ne 'require-corp' || header($_[0], 'cross-origin-resource-policy') !~ /^same-origin|cross-origin$/ ? 'not alone' : '' },
	'90033 cookie\'s scope' => sub { grep { !/^__Host-/ || /Domain/i } @{ $_[0]{cookie_lines} } },
	'an error that nobody foresaw' => sub { $_[0]{status} == 500 && '500' },
	'the address of a request in an answer' => sub { $_[0]{status} == 200 && header($_[0], 'x-request-id') eq '' && 'no id' });

my %faults = map { $_ => {} } keys %rules;
my %looked_at;

sub look
{
	my ($answer, $what) = @_;

	$looked_at{$what}++;
	foreach my $rule (keys %rules)
	{
		my $fault = join ' ', grep { length } $rules{$rule}->($answer, $what);
		$faults{$rule}{"$what: $fault"}++ if $fault;
	}
	return $answer;
}

# ---------------------------------------------------------- what can be reached

my (%forms, %parameters);

foreach my $person (sort keys %visitor)
{
	my %seen;
	my @todo = ('/', '/connections', '/demo', $person eq 'root' ? '/admin' : ());
	while (defined(my $path = shift @todo))
	{
		my $kind = $path =~ s/([?&][\w-]+=)[^&]*/$1/gr =~ s{^(/admin/new/)(?!test).*}{$1}r;
		next if $seen{$kind}++ || keys %seen > 150;
		my $answer = look($gateway->ask($path, cookies => $visitor{$person}, headers => ['Accept: text/html']), $path);

		push @todo, $answer->{location} if is_redirect($answer) && $answer->{location} =~ /^\//;
		while ($answer->{body} =~ /<(a|link|script|img|form|button)\b([^>]*)>/g)
		{
			my ($tag, $attributes) = ($1, $2);
			my ($to) = $attributes =~ /(?:href|src|action|formaction)="([^"]*)"/ or next;
			$to =~ s/&amp;/&/g;
			$to =~ s/#.*//;
			next unless $to =~ m{^/(?!/)};
			if ($tag =~ /form|button/ && ($tag eq 'button' || $attributes =~ /method="post"/i)) { $forms{$to} = $person }
			else { push @todo, $to }
			$parameters{$_} = 1 foreach $to =~ /[?&](\w+)=/g;
		}
		$parameters{$_} = 1 foreach $answer->{body} =~ /<(?:input|select|textarea)\b[^>]*name="([^"]*)"/g;
	}
}

my $began = look($gateway->initiate(\$jwt{alice}, $connector), 'initiate');
my $address = $gateway->come_back($began, 'alice');
look($gateway->ask($address), 'callback, another browser\'s');
look($gateway->ask($address, cookies => $began->{cookies}, headers => ['Sec-Purpose: prefetch']), 'callback, ahead');
my $finished = look($gateway->ask($address, cookies => $began->{cookies}), 'callback');
look($gateway->ask($address, cookies => $finished->{cookies}), 'callback, again');
look($gateway->ask('/api/external-auth/callback', method => 'POST', form => 'state=x&code=y'), 'callback, by a form');
look($gateway->token(\$jwt{alice}, $connector), 'token');
look($gateway->token(\$jwt{alice}, $connector, secret => 'no'), 'token, refused');
look($gateway->ask(Gateway::connector_path($connector), method => 'DELETE', jwt => $jwt{alice}), 'disconnect');
look($gateway->ask('/nowhere', headers => ["Accept: $_"]), "nowhere, $_") foreach 'text/html', 'application/json';
look($gateway->ask('/api/nowhere'), 'nowhere of the API');
look($gateway->ask('/connections'), 'nobody\'s page');
look($gateway->ask('/connections', cookies => { '__Host-visitor' => 'no.jwt.this' }), 'a bad cookie');
look($gateway->ask('/admin', cookies => $visitor{alice}), 'no admin');
look($gateway->ask('/healthz'), 'healthz');
look($gateway->ask('/metrics'), 'metrics, refused');
look($gateway->ask('/metrics', jwt => 'the-token-for-metrics'), 'metrics');
look($gateway->ask('/demo/login', method => 'POST', form => 'user=alice', headers => ["Origin: $origin"]), 'signing in');
look($gateway->ask(Gateway::connector_path($connector) . '/initiate', method => 'OPTIONS', headers => ['Origin: https://shop.example']), 'preflight');
look($gateway->ask('/%', headers => ['Accept: text/html']), 'a bad path');
look($gateway->ask('/' . 'x' x 9000), 'a long path');
look($gateway->ask(Gateway::connector_path('x' x 3000) . '/token', jwt => $Gateway::service_secret), 'a long connector');

cmp_ok(scalar keys %looked_at, '>=', 30, scalar(keys %looked_at) . ' kinds of answers are looked at');
is_deeply($faults{$_}, {}, $_) or diag(explain($faults{$_})) foreach sort keys %rules;
like($gateway->ask('/', method => $_)->{status}, qr/^40[045]$/, "$_ is nothing here") foreach qw(TRACE TRACK PUT CONNECT_);

# ------------------------------------------------ what another site's page sends

cmp_ok(scalar keys %forms, '>=', 4, join ', ', sort keys %forms);
foreach my $form (sort keys %forms)
{
	foreach my $case ([ 'Origin: https://evil.example', 'Sec-Fetch-Site: cross-site' ], [ 'Origin: https://evil.example' ], ['Origin: null'], [ 'Sec-Fetch-Site: same-site', "Origin: $origin" ], [ 'Sec-Fetch-Site: cross-site' ], [ "Origin: $origin.evil.example" ], [])
	{
		my $answer = $gateway->ask($form, method => 'POST', form => 'connector=files&name=default&user=alice', cookies => $visitor{ $forms{$form} }, headers => $case);
		is($answer->{status}, 403, "10202 $form: " . (join(', ', @$case) || 'nothing that says where from')) or diag(substr $answer->{body}, 0, 300);
	}
}
is(row($node, 'app_admin', "SELECT count(*) AS n FROM appuser_connectors.connection_status WHERE app_user = 'alice'")->{n}, 1, 'nothing was changed by them');

# --------------------------------------------- redirects elsewhere, text as markup

my $markup = q{"'><script>alert(1)</script>};
my $encoded = '%22%27%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E';
my @elsewhere = ('https://evil.example/', '//evil.example/', '/\\evil.example/', "/\tevil", 'https:evil.example');
my (@moved, @reflected);
$parameters{$_} = 1 foreach qw(return_to next url redirect connector connection failure connected error code state);
foreach my $person (sort keys %visitor)
{
	foreach my $page ('/', '/connections', '/demo', '/api/external-auth/callback', $person eq 'root' ? ('/admin', '/admin/new', '/admin/events') : ())
	{
		foreach my $values (\@elsewhere, [$markup])
		{
			foreach my $value (@$values)
			{
				my $text = $value =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ger;
				my $answer = $gateway->ask("$page?" . join('&', map { "$_=$text" } sort keys %parameters), cookies => $visitor{$person}, headers => ['Accept: text/html']);
				push @moved, "$page: $answer->{location}" if ($answer->{location} // '') =~ m{^(?:https?:)?[/\\]{2}|^/\\|evil\.example/?$} && $answer->{location} !~ m{^/\w};
				push @reflected, "$page: $1" if $answer->{body} =~ /(.{20}<script>alert.{20})/s || $answer->{body} =~ /(="[^"]*"'>)/ || $answer->{body} =~ /(href="(?:https:|\/\/|\/\\)[^"]*evil[^"]*")/;
				look($answer, "$page with parameters");
			}
		}
		my $answer = $gateway->ask("$page/$encoded", cookies => $visitor{$person}, headers => ['Accept: text/html']);
		push @reflected, "$page/: $&" if $answer->{body} =~ /<script>alert/;
	}
}
is_deeply(\@moved, [], '10028 no parameter leads elsewhere: ' . join ' ', sort keys %parameters);
is_deeply(\@reflected, [], '10031, 10043 none comes back as markup');
is_deeply([ map { keys %$_ } values %faults ], [], 'and all that is as it should be as well') or diag(explain([ map { keys %$_ } values %faults ]));
is($gateway->ask('/connections', cookies => $visitor{alice})->{body} =~ /a &quot;second&quot; &lt;account&gt;/, 1, 'what a person names is text') or diag($gateway->ask('/connections', cookies => $visitor{alice})->{body});

# ------------------------------------------------------------------- the rest

isnt(system("curl -s -o /dev/null --cacert '@{[ certificates() ]}/ca.pem' --tls-max 1.1 --ciphers DEFAULT\@SECLEVEL=0 $origin/healthz 2>/dev/null"), 0, '10034 no TLS before 1.2');
is($gateway->stop, 0, 'it stops in order');

# Over plain http nothing is promised that needs https
query($node, 'app_admin', "SELECT appuser_connectors.delete_issuer('https://demo.invalid')");
my $plain = Gateway->new($node);
$plain->start;
unlike($plain->ask('/healthz')->{head}, qr/^strict-transport-security/mi, 'http makes no promise of https');
is($plain->ask('/demo')->{status}, 404, 'there is no demonstration unless it is asked for');
is($plain->ask('/demo/token', method => 'POST', json => { user => 'alice' })->{status}, 404, 'nor a token of it');
is($plain->ask('/admin', cookies => $visitor{root})->{status}, 404, 'nor pages for admins without their role');
is($plain->ask('/metrics')->{status}, 404, 'nor figures without a token');
$plain->stop;

# --------------------------------------------------------- settings that are wrong

my @wrong = (
	[ { DEMO => '1', ORIGIN => 'https://app.example', ADMIN_DATABASE => 'postgres://x@h/d' }, qr/GATEWAY_DEMO lets anybody be anybody/ ], [ { SERVICE_SECRET => 'short' }, qr/GATEWAY_SERVICE_SECRET.*32/ ],
	[ { SERVICE_SECRET => undef }, qr/GATEWAY_SERVICE_SECRET must be set/ ], [ { SERVICE_SECRET => 'with blanks ' x 4 }, qr/without blanks/ ], [ { ORIGIN => 'https://app.example/' }, qr/GATEWAY_ORIGIN must be an origin/ ],
	[ { ORIGIN => undef }, qr/GATEWAY_ORIGIN must be set/ ], [ { ALLOWED_ORIGINS => '*' }, qr/GATEWAY_ALLOWED_ORIGINS must be an origin/ ], [ { HOME => '//evil.example' }, qr/GATEWAY_HOME/ ],
	[ { SEVICE_SECRET => 'x' }, qr/GATEWAY_SEVICE_SECRET is not a setting/ ], [ { PORT => '80x' }, qr/GATEWAY_PORT must be a whole number/ ], [ { SERVICE_SECRET_FILE => '/nowhere' }, qr/both set.*cannot be read: ENOENT/s ],
	[ { USER_DATABASE => 'host=x' }, qr/GATEWAY_USER_DATABASE must be postgres:/ ], [ { METRICS_TOKEN => 'short' }, qr/GATEWAY_METRICS_TOKEN/ ], [ { TLS_KEY_FILE => 'x' }, qr/belong together/ ], [ { VISITOR_COOKIE => 'a b' }, qr/GATEWAY_VISITOR_COOKIE/ ]);
my %right = (ORIGIN => 'https://app.example', APP_ID => 'a', SERVICE_SECRET => $Gateway::service_secret, map { ($_ . '_DATABASE' => 'postgres://r:a-password@h/d') } qw(USER SERVICE));
my @environments = map { my %given = (%right, %$_); +{ map { ("GATEWAY_$_" => $given{$_}) } grep { defined $given{$_} } keys %given } } {}, map { $_->[0] } @wrong;
my ($told, $err);
IPC::Run::run([ 'node', '--input-type=module', '-e', 'const { readConfig } = await import(process.argv[1]); for (const env of JSON.parse(process.argv[2])) try { readConfig(env); console.log(JSON.stringify("")); } catch (error) { console.log(JSON.stringify(error.message)); }',
		"$FindBin::RealBin/../../examples/gateway/config.mjs", encode(\@environments) ], '>', \$told, '2>', \$err) or die $err;
my ($nothing, @complaints) = map { decode($_) } split /\n/, $told;
is($nothing, '', 'settings that are right');
foreach my $i (0 .. $#wrong)
{
	like($complaints[$i], $wrong[$i][1], 'wrong: ' . join ', ', map { "$_ = " . ($wrong[$i][0]{$_} // '') } sort keys %{ $wrong[$i][0] });
	unlike($complaints[$i], qr/\Q$Gateway::service_secret\E|a-password/, 'is said without a secret');
}

$node->stop;
done_testing();
