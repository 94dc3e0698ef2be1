# What is promised of authenticate_app_user(): a JWT says who the app user is if a
# registered issuer signed it, by one of the algorithms and keys configured for
# that issuer, for this audience and for now; every other token is refused, for a
# reason that holds no part of it.  The app user ends with the transaction and with
# the token.  An issuer's published keys are fetched when they are needed, not as
# often as somebody makes up key ids.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use IPC::Open2;
use PostgreSQL::Test::Utils qw(slurp_file);
use Session;
use Test::More;
use Time::HiRes qw(time);

my $issuer = 'https://issuer.example';

# ------------------------------------------------------------------ tokens

open2(my $from_signer, my $to_signer, 'node', "$FindBin::RealBin/../provider/signer.mjs");

sub signer
{
	print { $to_signer } encode([@_]), "\n";
	$to_signer->flush;
	return decode(scalar readline $from_signer);
}

# The public key, with a kid of the same name
sub new_key
{
	my ($name, $kind) = @_;
	return { %{ signer('key', $name, $kind) }, kid => $name };
}

# Good claims, with others in their place; undef takes one away.
sub claims
{
	my (%other) = @_;
	my %claims = (iss => $issuer, sub => 'alice', aud => 'app', iat => time() - 1, exp => time() + 600, %other);

	$claims{$_} = int $claims{$_} foreach grep { ($claims{$_} // '') =~ /^\d+\.\d+$/ } qw(iat exp nbf);
	return { map { $_ => $claims{$_} } grep { defined $claims{$_} } keys %claims };
}

# token(ES256 => 'key', order => ..., claim => ...): lower case beginning with an
# underscore is for the signer, the rest are claims
sub token
{
	my ($alg, $key, %other) = @_;
	my %order = (alg => $alg, key => $key, header => { kid => $key });

	foreach (grep { /^_/ } keys %other)
	{
		$order{ substr $_, 1 } = delete $other{$_};
	}
	$order{claims} //= claims(%other);
	return signer('jwt', \%order);
}

# --------------------------------------------------------------- the cluster

my $secrets = PostgreSQL::Test::Utils::tempdir('file_secrets');
chmod 0755, $secrets;
mkdir "$secrets/issuers" or die $!;

sub write_secret
{
	my ($name, $content) = @_;
	open my $file, '>', "$secrets/issuers/$name" or die $!;
	chmod 0600, $file;
	print $file $content;
	close $file;
	return;
}

# for a name on a private address
my $shim = PostgreSQL::Test::Utils::tempdir('shim') . '/private_names.so';
system('gcc', '-shared', '-fPIC', '-o', $shim, "$FindBin::RealBin/../provider/private_names.c", '-ldl') == 0 or die 'gcc failed';
my $node;
{
	local $ENV{LD_PRELOAD} = $shim;
	$node = new_node('main', "appuser_connectors.secrets_directory = '$secrets'", 'log_min_messages = debug5',
		'log_min_error_statement = panic', 'log_statement = none', 'wal_level = replica', 'max_wal_senders = 4', 'hot_standby = on');
}

# What becomes of each token given by name, as the frontend's role: the app user, or
# the SQLSTATE with the detail.
$node->safe_psql('postgres', q{
	CREATE TABLE tokens (n integer, name text, jwt text);
	CREATE TABLE told (what text);
	GRANT SELECT ON tokens TO PUBLIC;
	GRANT INSERT, SELECT ON told TO PUBLIC;
	CREATE FUNCTION verdict(jwt text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		app_user text;
		message text;
		detail text;
		hint text;
		context text;
		state text;
	BEGIN
		app_user := appuser_connectors.authenticate_app_user(jwt);
		IF app_user IS DISTINCT FROM appuser_connectors.current_app_user() THEN
			RETURN 'another app user was set';
		END IF;
		RETURN app_user;
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
			hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
		IF current_setting('transaction_read_only') = 'off' AND NOT pg_is_in_recovery() THEN
			INSERT INTO told VALUES (concat_ws(E'\n', message, detail, hint, context));
		END IF;
		RETURN state || ' ' || message || ': ' || detail;
	END $$;});

sub refused { return '28000 the JWT is refused: Reason: ' . $_[0] . '.'; }

# The tokens come by COPY, so that no statement holds them.
sub load_tokens
{
	my (@tokens) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/tokens';

	open my $out, '>', $file or die $!;
	print $out join("\t", $_, @tokens[ 2 * $_, 2 * $_ + 1 ]), "\n" foreach 0 .. $#tokens / 2;
	close $out;
	chmod 0644, $file;
	$node->safe_psql('postgres', "TRUNCATE tokens; COPY tokens FROM '$file'");
	return;
}

# Each token, one after the other, with what must become of it
sub judge
{
	my (@cases) = @_;

	load_tokens(map { @$_[ 0, 1 ] } @cases);
	my @verdicts = rows($node, 'app_user_role', 'SELECT name, verdict(jwt) FROM (SELECT * FROM tokens ORDER BY n) t');
	is($_->{verdict}, (shift @cases)->[2], $_->{name}) foreach @verdicts;
	is(scalar @cases, 0, '(and that is all)') if @cases;
	return;
}

sub register_issuer
{
	my (%arguments) = @_;
	$arguments{issuer} //= $issuer;
	# issuers that make the same app users would be refused: here they are, one after the other
	query($node, 'postgres', "CREATE TABLE aside AS SELECT * FROM appuser_connectors.issuers WHERE issuer <> '$arguments{issuer}';
		DELETE FROM appuser_connectors.issuers WHERE issuer <> '$arguments{issuer}'");
	my $registered = query($node, 'app_admin', 'SELECT appuser_connectors.register_issuer('
		  . AppuserConnectors::arguments(%arguments) . ')');
	query($node, 'postgres', 'INSERT INTO appuser_connectors.issuers TABLE aside; DROP TABLE aside');
	return $registered;
}

# ------------------------------------------- every algorithm, and the attack list

my %keys = (
	rsa => new_key('rsa', 'RSA-2048'),
	p256 => new_key('p256', 'P-256'),
	p384 => new_key('p384', 'P-384'),
	p521 => new_key('p521', 'P-521'),
	ed => new_key('ed', 'Ed25519'));
my %key_of = (
	(map { $_ => 'rsa' } qw(RS256 RS384 RS512 PS256 PS384 PS512)),
	ES256 => 'p256', ES384 => 'p384', ES512 => 'p521', EdDSA => 'ed');

# beside the good ones: too short, off its curve, of small order, not understood
my $weak = new_key('weak', 'RSA-1024');
my $off_curve = { %{ new_key('off', 'P-256') }, y => $keys{p256}{y} };
my $small_order = { kty => 'OKP', crv => 'Ed25519', kid => 'small', x => 'AQ' . 'A' x 41 };
my @bad = ($weak, $off_curve, $small_order, { kty => 'XYZ', kid => 'unknown' }, { kty => 'RSA', kid => 'cut', n => '!', e => 'AQAB' });
my $jwks = { keys => [ @bad, @keys{ sort keys %keys } ] };

is(register_issuer(jwks => $jwks, audiences => ['app']), $issuer, 'an issuer is registered, some of its keys unusable');
judge(map { [ "$_ is accepted", token($_ => $key_of{$_}), 'alice' ] } sort keys %key_of);
judge(map { [ "$_ with a bit of the signature flipped", token($_ => $key_of{$_}, _flip => JSON::PP::true), refused('its signature does not verify') ] }
	  sort keys %key_of);

my $unknown_key = refused('signed with an unknown key');
my $bad_signature = refused('its signature does not verify');
my $bad_algorithm = refused('signed with an algorithm that is not allowed');
my $malformed = refused('not a well-formed signed token with an iss claim');
my $good = token(ES256 => 'p256');
my ($header, $payload, $signature) = split /\./, $good;
my $pem = signer('pem', 'rsa');
new_key('stranger', 'P-256');

judge(
	[ 'alg none without a signature', token(none => 'rsa'), $bad_algorithm ],
	[ 'alg none with a signature', token(RS256 => 'rsa', _header => { alg => 'none', kid => 'rsa' }), $bad_algorithm ],
	[ 'alg NONE', token(none => 'rsa', _header => { alg => 'NONE' }), $bad_algorithm ],
	[ 'no alg', token(RS256 => 'rsa', _header => { alg => undef, kid => 'rsa' }), refused('not a well-formed signed token') ],
	[ 'HS256 with the public key as secret', token(HS256 => 'rsa', _secret => $pem), $bad_algorithm ],
	[ 'HS256 with the modulus as secret', token(HS256 => 'rsa', _secret => $keys{rsa}{n}), $bad_algorithm ],
	[ 'RS256 in the header, HS256 in truth', token(HS256 => 'rsa', _secret => $pem, _header => { alg => 'RS256', kid => 'rsa' }), $bad_signature ],
	[ 'RS256 said of a PS256 signature', token(PS256 => 'rsa', _header => { alg => 'RS256', kid => 'rsa' }), $bad_signature ],
	[ 'ES384 said of a P-256 key', token(ES256 => 'p256', _header => { alg => 'ES384', kid => 'p256' }), $unknown_key ],
	[ 'the key in the header (jwk)', token(ES256 => 'stranger', _header => { kid => 'p256', jwk => signer('private', 'stranger') }), $bad_signature ],
	[ 'the key at a URL (jku)', token(ES256 => 'stranger', _header => { kid => 'p256', jku => 'https://evil.example/jwks' }), $bad_signature ],
	[ 'signed by a stranger', token(ES256 => 'stranger', _header => { kid => 'p256' }), $bad_signature ],
	[ 'signed by a stranger who says so', token(ES256 => 'stranger'), $unknown_key ],
	[ 'an unknown kid', token(ES256 => 'p256', _header => { kid => 'other' }), $unknown_key ],
	[ 'the kid of a key of another kind', token(ES256 => 'p256', _header => { kid => 'ed' }), $unknown_key ],
	[ 'a kid that is no string', token(ES256 => 'p256', _header => { kid => 5 }), refused('not a well-formed signed token') ],
	[ 'no kid where one key fits', token(ES256 => 'p256', _header => {}), 'alice' ],
	[ 'a 1024-bit RSA key', token(RS256 => 'weak'), $unknown_key ],
	[ 'a point off its curve', token(ES256 => 'off'), $unknown_key ],
	[ 'a point of small order, under which everybody signs', token(EdDSA => 'small', _signature => 'AQ' . 'A' x 84), $unknown_key ],
	[ 'R and S of zero', token(ES256 => 'p256', _signature => 'A' x 86), $bad_signature ],
	[ 'a critical extension', token(ES256 => 'p256', _header => { kid => 'p256', crit => ['exp'] }), refused('has critical header parameters that are not understood') ],
	[ 'b64 false (RFC 7797)', token(ES256 => 'p256', _header => { kid => 'p256', b64 => JSON::PP::false }), refused('has critical header parameters that are not understood') ],
	[ 'other claims under a good signature', join('.', $header, (split /\./, token(ES256 => 'p256', sub => 'bob'))[1], $signature), $bad_signature ],
	[ 'no signature', "$header.$payload.", refused('not a well-formed signed token') ],
	[ 'two parts', "$header.$payload", $malformed ],
	[ 'four parts', "$good.$signature", $malformed ],
	[ 'a padded signature', "$good=", refused('not a well-formed signed token') ],
	[ 'a space in front', " $good", $malformed ],
	[ 'Bearer in front', "Bearer $good", $malformed ],
	[ 'nothing', '', $malformed ],
	[ 'an encrypted token of five parts', "$header..a.b.c", $malformed ],
	[ 'claims that are no object', token(ES256 => 'p256', _claims => '["alice"]'), $malformed ],
	[ 'a claim twice', token(ES256 => 'p256', _claims => qq({"iss":"$issuer","sub":"alice","sub":"bob","aud":"app","exp":4102444800})), $malformed ],
	[ 'NUL in a claim', token(ES256 => 'p256', sub => "ali\0ce"), $malformed ],
	[ 'claims nested deep', token(ES256 => 'p256', _claims => '{"iss":"x","a":' . '[' x 100 . ']' x 100 . '}'), $malformed ],
	[ 'a token of 100 kB', token(ES256 => 'p256', padding => 'x' x 100_000), refused('too long') ],
	[ 'a token of 40 kB', token(ES256 => 'p256', padding => 'x' x 30_000), 'alice' ]);

judge(
	[ 'expired', token(ES256 => 'p256', exp => time() - 31), refused('expired') ],
	[ 'expired within the clock skew', token(ES256 => 'p256', exp => time() - 10), 'alice' ],
	[ 'no exp', token(ES256 => 'p256', exp => undef), refused('without a usable exp claim') ],
	[ 'exp as a string', token(ES256 => 'p256', exp => '4102444800 '), refused('without a usable exp claim') ],
	[ 'exp beyond all time', token(ES256 => 'p256', _claims => qq({"iss":"$issuer","sub":"alice","aud":"app","exp":1e300})), refused('without a usable exp claim') ],
	[ 'exp with a fraction', token(ES256 => 'p256', _claims => qq({"iss":"$issuer","sub":"alice","aud":"app","exp":4102444800.75})), 'alice' ],
	[ 'nbf in the future', token(ES256 => 'p256', nbf => time() + 60), refused('not valid yet') ],
	[ 'nbf within the clock skew', token(ES256 => 'p256', nbf => time() + 10), 'alice' ],
	[ 'nbf null', token(ES256 => 'p256', _claims => qq({"iss":"$issuer","sub":"alice","aud":"app","exp":4102444800,"nbf":null})), refused('not valid yet') ],
	[ 'iat in the future', token(ES256 => 'p256', iat => time() + 60), refused('issued in the future') ],
	[ 'no iat', token(ES256 => 'p256', iat => undef), 'alice' ],
	[ 'another audience', token(ES256 => 'p256', aud => 'other-app'), refused('for another audience') ],
	[ 'no audience', token(ES256 => 'p256', aud => undef), refused('for another audience') ],
	[ 'several audiences, this one among them', token(ES256 => 'p256', aud => [ 'other-app', 'app' ]), 'alice' ],
	[ 'several other audiences', token(ES256 => 'p256', aud => [ 'other-app', 'apps', ['app'] ]), refused('for another audience') ],
	[ 'an audience as a number', token(ES256 => 'p256', aud => 5), refused('for another audience') ],
	[ 'an unknown issuer', token(ES256 => 'p256', iss => 'https://evil.example'), refused('its issuer is not registered') ],
	[ 'the issuer with a slash', token(ES256 => 'p256', iss => "$issuer/"), refused('its issuer is not registered') ],
	[ 'no issuer', token(ES256 => 'p256', iss => undef), $malformed ],
	[ 'an issuer of 2000 bytes', token(ES256 => 'p256', iss => 'x' x 2000), $malformed ],
	[ 'no sub', token(ES256 => 'p256', sub => undef), refused('a claim that names the app user is missing, empty, or neither a string nor an integer') ],
	[ 'an empty sub', token(ES256 => 'p256', sub => ''), refused('a claim that names the app user is missing, empty, or neither a string nor an integer') ],
	[ 'a sub that is an object', token(ES256 => 'p256', sub => { a => 1 }), refused('a claim that names the app user is missing, empty, or neither a string nor an integer') ],
	[ 'a sub that is true', token(ES256 => 'p256', sub => JSON::PP::true), refused('a claim that names the app user is missing, empty, or neither a string nor an integer') ],
	[ 'a fraction as sub', token(ES256 => 'p256', sub => 1.5), refused('a claim that names the app user is missing, empty, or neither a string nor an integer') ],
	[ 'an integer as sub', token(ES256 => 'p256', sub => 12345), '12345' ],
	[ 'a sub of 512 bytes', token(ES256 => 'p256', sub => 'x' x 512), 'x' x 512 ],
	[ 'a sub of 513 bytes', token(ES256 => 'p256', sub => 'x' x 513), refused('its claims make an app user that is too long') ],
	[ 'a colon in sub, where the template has none', token(ES256 => 'p256', sub => 'org:alice'), 'org:alice' ]);

register_issuer(jwks => $jwks, audiences => ['app'], algorithms => ['ES256']);
judge(
	[ 'the algorithm configured is accepted', $good, 'alice' ],
	map { [ "$_ is refused when only ES256 is configured", token($_ => $key_of{$_}), $bad_algorithm ] } grep { $_ ne 'ES256' } sort keys %key_of);

register_issuer(jwks => { keys => [ $keys{p256}, new_key('p256b', 'P-256') ] }, audiences => ['app']);
judge(
	[ 'no kid where several keys fit', token(ES256 => 'p256', _header => {}), refused('does not say which of several keys signed it') ],
	[ 'the kid says which', token(ES256 => 'p256b'), 'alice' ]);
register_issuer(jwks => $keys{p256}, audiences => ['app']);
judge([ 'a single key instead of a set', token(ES256 => 'p256'), 'alice' ], [ 'has no other', token(ES256 => 'p256b'), $unknown_key ]);

# ------------------------------------------------------------------- templates

my $ambiguous = refused('a claim that names the app user holds a separator of the template');
my $missing = refused('a claim that names the app user is missing, empty, or neither a string nor an integer');
register_issuer(jwks => $keys{p256}, audiences => ['app'], app_user_template => '{org_id}:{sub}');
judge(
	[ 'two claims', token(ES256 => 'p256', org_id => 'acme'), 'acme:alice' ],
	[ 'one of them missing', $good, $missing ],
	[ 'the separator in the first', token(ES256 => 'p256', org_id => 'acme:alice', sub => 'x'), $ambiguous ],
	[ 'the separator in the second', token(ES256 => 'p256', org_id => 'acme', sub => 'alice:x'), $ambiguous ],
	[ 'braces in a claim are not filled in', token(ES256 => 'p256', org_id => '{sub}'), '{sub}:alice' ],
	[ 'both integers', token(ES256 => 'p256', org_id => 7, sub => 8), '7:8' ]);
register_issuer(jwks => $keys{p256}, audiences => ['app'], app_user_template => 'b-{app_metadata.tenant}/{https://app.example/user.id}');
judge(
	[ 'a nested claim, and one named by a URL', token(ES256 => 'p256', app_metadata => { tenant => 't1' }, 'https://app.example/user.id' => 'u-1'), 'b-t1/u-1' ],
	[ 'a claim with a dot in its name is not the nested one', token(ES256 => 'p256', 'app_metadata.tenant' => 't1', 'https://app.example/user.id' => 'u1'), $missing ],
	[ 'the outer claim is no object', token(ES256 => 'p256', app_metadata => 't1', 'https://app.example/user.id' => 'u1'), $missing ],
	[ 'the prefix is no separator', token(ES256 => 'p256', app_metadata => { tenant => 'b-b' }, 'https://app.example/user.id' => 'u1'), 'b-b-b/u1' ]);

# ------------------------------------------------- several issuers and shared secrets

my $other = 'https://other.example';
register_issuer(jwks => $keys{p256}, audiences => ['app']);
register_issuer(issuer => $other, jwks => { keys => [ $keys{ed}, { %{ new_key('p256c', 'P-256') }, kid => 'p256' } ] }, audiences => ['app'], app_user_template => 'other:{sub}');
judge(
	[ 'each issuer has its own template', token(EdDSA => 'ed', iss => $other), 'other:alice' ],
	[ 'the other issuer cannot sign for this one', token(EdDSA => 'ed'), $unknown_key ],
	[ 'nor with a key of the same kid', token(ES256 => 'p256c', _header => { kid => 'p256' }), $bad_signature ],
	[ 'nor this one for the other', token(ES256 => 'p256', iss => $other), $bad_signature ],
	[ 'but with its own', token(ES256 => 'p256c', iss => $other, _header => { kid => 'p256' }), 'other:alice' ]);
is(query($node, 'app_admin', "SELECT appuser_connectors.delete_issuer('$other')"), 't', 'an issuer is deleted');
judge([ 'a deleted issuer', token(EdDSA => 'ed', iss => $other), refused('its issuer is not registered') ]);

# Other kinds of tokens of the same issuer and key say something else (RFC 8725 §3.11).
register_issuer(jwks => $keys{p256}, audiences => ['app']);
my $other_kind = refused('of a type that is not accepted of its issuer');
sub typed { my ($typ, %claims) = @_; return token(ES256 => 'p256', _header => { kid => 'p256', typ => $typ }, %claims) }
judge(
	(map { [ "typ $_", typed($_), 'alice' ] } qw(JWT jwt at+jwt AT+JWT application/at+jwt Application/JWT)),
	(map { [ "typ $_", typed($_), $other_kind ] } 'logout+jwt', 'dpop+jwt', 'application/logout+jwt', 'Logout+JWT', 'secevent+jwt', 'JOSE', 'x', '', 'application/', 'JWT ', 'application/application/jwt'),
	[ 'typ is a number', typed(7), $other_kind ],
	[ 'typ is null', typed(undef), $other_kind ],
	[ 'a logout token that says JWT', typed('JWT', events => { 'http://schemas.openid.net/event/backchannel-logout' => {} }), refused('it is a security event, not a token of a person') ],
	[ 'nbf of 0', typed('JWT', nbf => 0), 'alice' ],
	[ 'iat of 0', typed('JWT', iat => 0), 'alice' ],
	[ 'a person with a line break', typed('JWT', sub => "a\nb"), refused('a claim that names the app user holds a control character') ]);
register_issuer(jwks => $keys{p256}, audiences => ['app'], token_types => ['application/vnd.app+jwt']);
judge([ 'a type that was registered', typed('VND.app+jwt'), 'alice' ], [ 'is the only one then', typed('at+jwt'), $other_kind ], [ 'not even JWT beside it', typed('JWT'), $other_kind ]);
register_issuer(jwks => $keys{p256}, audiences => ['app']);

my $gateway = 'https://gateway.example';
my $secret = 'a gateway signs with this, which is sixty-four bytes long or more: 0123456789';
write_secret('gateway', "$secret\n");
write_secret('short', substr($secret, 0, 40));
foreach my $alg (qw(HS256 HS384 HS512))
{
	register_issuer(issuer => $gateway, hmac_key => 'file:gateway', algorithms => [$alg]);
	my $jwt = token($alg => undef, iss => $gateway, _secret => $secret, _header => {});
	judge(
		[ "$alg with a shared secret", $jwt, 'alice' ],
		[ "$alg with another secret", token($alg => undef, iss => $gateway, _secret => "$secret.", _header => {}), $bad_signature ],
		[ "$alg with nothing as secret", token($alg => undef, iss => $gateway, _secret => '', _header => {}), $bad_signature ],
		[ "$alg: a public-key algorithm of a key of another issuer", token(ES256 => 'p256', iss => $gateway), $bad_algorithm ],
		[ "$alg: alg none", token(none => undef, iss => $gateway, _header => {}), $bad_algorithm ],
		map { [ "$alg: $_ is not configured", token($_ => undef, iss => $gateway, _secret => $secret, _header => {}), $bad_algorithm ] }
		  grep { $_ ne $alg } qw(HS256 HS384 HS512));
}
my $new_secret = reverse $secret;
write_secret('gateway', $new_secret);
judge(
	[ 'a new secret in the file counts at once', token(HS512 => undef, iss => $gateway, _secret => $new_secret, _header => {}), 'alice' ],
	[ 'and the old one no longer', token(HS512 => undef, iss => $gateway, _secret => $secret, _header => {}), $bad_signature ]);
foreach my $arguments (
	[ 'HS384 with a key of 40 bytes', { hmac_key => 'file:short', algorithms => ['HS384'] } ],
	[ 'a file that does not exist', { hmac_key => 'file:none', algorithms => ['HS256'] } ],
	[ 'the key itself', { hmac_key => $secret, algorithms => ['HS256'] } ],
	[ 'HS256 beside RS256', { hmac_key => 'file:gateway', algorithms => [ 'HS256', 'RS256' ] } ],
	[ 'HS256 with public keys', { jwks => $jwks, algorithms => [ 'RS256', 'HS256' ] } ],
	[ 'a private key beside a good one', { jwks => { keys => [ $keys{rsa}, signer('private', 'p256') ] } } ])
{
	my ($name, $given) = @$arguments;
	my ($state, $said) = failure($node, 'app_admin', 'SELECT appuser_connectors.register_issuer('
		  . AppuserConnectors::arguments(issuer => 'https://new.example', %$given) . ')');

	like($state, qr/^(?:22023|58P01)$/, "$name is refused at registration");
	unlike($said =~ s/^LINE.*//msr, qr/\Q@{[ substr $secret, 0, 20 ]}\E|\Q@{[ signer('private', 'p256')->{d} ]}\E/, '... without showing it');
}

# What was stored by other means than register_issuer() is not believed either.
register_issuer(issuer => $gateway, jwks => $keys{rsa}, audiences => ['app']);
$node->safe_psql('postgres', "UPDATE appuser_connectors.issuers SET algorithms = '{HS256,RS256}' WHERE issuer = '$gateway'");
foreach my $forged (token(HS256 => 'rsa', iss => $gateway, _secret => $pem), token(RS256 => 'rsa', iss => $gateway))
{
	is((failure($node, 'app_service', "SELECT appuser_connectors.authenticate_app_user('$forged')"))[0], 'XX001', 'an issuer written by SQL authenticates nobody');
}
register_issuer(issuer => $gateway, jwks => $keys{rsa}, audiences => ['app']);
judge([ 'RS256, registered again', token(RS256 => 'rsa', iss => $gateway), 'alice' ]);

# -------------------------------------------------------- how long the app user lasts

my $session = Session->new($node, 'app_user_role');
load_tokens(alice => token(ES256 => 'p256'), bob => token(ES256 => 'p256', sub => 'bob'), bad => token(ES256 => 'stranger'));
my $authenticate = sub { "SELECT appuser_connectors.authenticate_app_user(jwt) FROM tokens WHERE name = '$_[0]'" };
my $current = 'SELECT appuser_connectors.current_app_user()';
my $nobody = sub {
	my ($name) = @_;
	$session->send($current);
	is($session->answer->{state}, '28000', $name);
};

is($session->ask($authenticate->('alice')), 'alice', 'a statement by itself');
$nobody->('the app user ends with it');
is($session->ask("BEGIN; @{[ $authenticate->('alice') ]}; $current; COMMIT"), "alice\nalice", 'in a transaction block it stays until the end');
$nobody->('COMMIT ends it');
is($session->ask("BEGIN; @{[ $authenticate->('alice') ]}; ROLLBACK"), 'alice', 'a transaction that is rolled back');
$nobody->('ROLLBACK ends it');
is($session->ask("BEGIN; @{[ $authenticate->('alice') ]}; SAVEPOINT s; @{[ $authenticate->('bob') ]}; $current; ROLLBACK TO s; $current; COMMIT"),
	"alice\nbob\nbob\nalice", 'a savepoint that is rolled back restores who was before');
is($session->ask("BEGIN; SAVEPOINT s; @{[ $authenticate->('bob') ]}; RELEASE s; $current; COMMIT"), "bob\nbob", 'one that is released keeps it');
is($session->ask("BEGIN; @{[ $authenticate->('alice') ]}; SELECT left(verdict(jwt), 5) FROM tokens WHERE name = 'bad'; $current; COMMIT"),
	"alice\n28000\nalice", 'a refusal that is caught leaves who was before');
$session->send("BEGIN; @{[ $authenticate->('alice') ]}; @{[ $authenticate->('bad') ]}; $current");
is($session->answer->{state}, '28000', 'one that is not caught ends the transaction');
$session->ask('ROLLBACK');
$nobody->('and with it the app user');
$session->send('SELECT appuser_connectors.authenticate_app_user(jwt, is_local => false) FROM tokens');
is($session->answer->{state}, '42501', 'for the session: not allowed');
$nobody->('and not done');

my $allowed = Session->new($node, 'postgres', settings => { 'appuser_connectors.allow_session_identity' => 'on' });
$allowed->ask('SET ROLE app_user_role');
$allowed->ask("SELECT appuser_connectors.authenticate_app_user(jwt, is_local => false) FROM tokens WHERE name = 'alice'");
is($allowed->ask($current), 'alice', 'where a superuser allows it, the session keeps the app user');
$allowed->ask('DISCARD ALL');
$allowed->ask('SET ROLE app_user_role');
$allowed->send($current);
is($allowed->answer->{state}, '28000', 'until DISCARD ALL');

# exp is enforced at each use, with the clock skew counted in.
register_issuer(jwks => $keys{p256}, audiences => ['app'], clock_skew => '2 s');
my $exp = int(time());
load_tokens(short => token(ES256 => 'p256', exp => $exp), alice => token(ES256 => 'p256'));
my $ended = $session->ask("BEGIN; @{[ $authenticate->('short') ]} \\g /dev/null\n$current \\g /dev/null\n" . q{
	DO $$
	BEGIN
		FOR i IN 1 .. 2000 LOOP
			BEGIN
				PERFORM appuser_connectors.current_app_user();
			EXCEPTION WHEN invalid_authorization_specification THEN
				RETURN;
			END;
			PERFORM pg_sleep(0.02);
		END LOOP;
		RAISE 'it never expired';
	END $$;
	SELECT extract(epoch FROM clock_timestamp())});
cmp_ok($ended, '>=', $exp + 2, 'an app user lasts until exp and the clock skew, in the middle of a transaction');
cmp_ok($ended, '<', $exp + 4, 'and not longer');
$session->send('SELECT * FROM appuser_connectors.app_user_connections()');
my $answer = $session->answer;
is($answer->{state}, '28000', 'nothing can be done with it');
like($answer->{err}, qr/the app user's authentication has expired/, 'and the error says why');
$session->ask('ROLLBACK');
is($session->ask("BEGIN; @{[ $authenticate->('alice') ]}; COMMIT"), 'alice', 'another token in the same session is good');
$session->send($authenticate->('short'));
is($session->answer->{state}, '28000', 'the expired one is refused');

# --------------------------------------------------- what the frontend's role may do

my $provider = start_provider();
register($node, $provider, connector_id => 'calendar');
load_tokens(alice => token(ES256 => 'p256'), bob => token(ES256 => 'p256', sub => 'bob'));
my $as = sub { my ($name, $sql) = @_; "BEGIN; @{[ $authenticate->($name) ]} \\g /dev/null\n$sql; COMMIT" };
my $url = $session->ask($as->('alice', "SELECT appuser_connectors.connect_app_user('calendar')"));
my $parameters = log_in($url, 'alice');
my $callback = sub { $as->($_[0], "SELECT failure IS NULL FROM appuser_connectors.oauth_callback('$parameters->{state}', '$parameters->{code}', '$parameters->{iss}')") };
$session->send($callback->('bob'));
is($session->answer->{state}, 'UC005', 'another person cannot finish what a person began');
$url = $session->ask($as->('alice', "SELECT appuser_connectors.connect_app_user('calendar')"));
$parameters = log_in($url, 'alice');
is($session->ask($callback->('alice')), 't', 'the person connects, by the frontend\'s role');
is($session->ask($as->('alice', 'SELECT status FROM appuser_connectors.app_user_connections()')), 'connected', 'and sees it listed');
is($session->ask($as->('bob', 'SELECT status FROM appuser_connectors.app_user_connections()')), 'not_connected', 'nobody else does');
foreach my $call ("current_app_user_connection('calendar')", "app_user_connection('alice', 'calendar')", "set_app_user('bob')", "erase_app_user('alice')")
{
	$session->send($as->('alice', "SELECT appuser_connectors.$call"));
	is($session->answer->{state}, '42501', "the frontend's role may not call $call");
}
my $service = Session->new($node, 'app_service');
my $access_token = $service->ask($as->('alice', "SELECT access_token FROM appuser_connectors.current_app_user_connection('calendar')"));
is(userinfo($provider, $access_token)->{sub}, 'alice', 'the service role reads the token of whom a JWT names');
is($session->ask($as->('bob', "SELECT appuser_connectors.disconnect_app_user('calendar')")), 'f', 'another person has nothing to disconnect');
is($session->ask($as->('alice', "SELECT appuser_connectors.disconnect_app_user('calendar')")), 't', 'the person disconnects');
foreach my $role ('app_admin', 'app_nobody')
{
	is((failure($node, $role, $authenticate->('alice')))[0], '42501', "$role may not authenticate anybody");
}
foreach my $role ('app_user_role', 'app_service', 'app_nobody')
{
	is((failure($node, $role, "SELECT appuser_connectors.$_->[0]"))[0], '42501', "$role may not call $_->[0]")
	  foreach [q{register_issuer('https://evil.example', hmac_key => 'file:gateway')}], [q{delete_issuer('https://issuer.example')}];
	is((failure($node, $role, 'SELECT issuer FROM appuser_connectors.issuers'))[0], '42501', "$role may not read issuers");
}
is(query($node, 'app_admin', "SELECT issuer FROM appuser_connectors.issuers WHERE issuer = '$issuer'"), $issuer, 'the admin sees the issuers');
is((failure($node, 'app_admin', 'SELECT hmac_key FROM appuser_connectors.issuers'))[0], '42501', 'but not where a key is');
is((failure($node, 'app_admin', "UPDATE appuser_connectors.issuers SET algorithms = '{HS256}'"))[0], '42501', 'and cannot edit them by SQL');

# ------------------------------------------------------------------- published keys

my $published = 'https://published.example';
my $server = start_fault_server();
my $jwks_uri = $server->url . '/jwks';
my $fetches = sub { $server->ctl->{counts}{'/jwks'} // 0 };
my $publish = sub { $server->rules({ path => '/jwks', body => { keys => [@_] } }) };
my $published_token = sub { my ($key, %other) = @_; token(ES256 => $key, iss => $published, %other) };
my $let_cool = sub { $node->safe_psql('postgres', "UPDATE appuser_connectors.issuers SET fetched_at = fetched_at - '31 s'::interval WHERE issuer = '$published'") };
my $unreachable = 'UC003 the keys of the JWT\'s issuer could not be fetched: Reason: its jwks_uri answered no usable key, status 503.';
my $second = new_key('second', 'P-256');

register_issuer(issuer => $published, jwks_uri => $jwks_uri, audiences => ['app']);
is($fetches->(), 0, 'registering an issuer fetches nothing');

# Sessions that need the keys at the same time join one fetch.
$server->rules({ path => '/jwks', hold => 'keys', body => { keys => [ $keys{p256} ] } });
load_tokens(published => $published_token->('p256'));
my @waiting = map { Session->new($node, 'app_user_role') } 1 .. 5;
$_->send($authenticate->('published')) foreach @waiting;
$server->wait(held => 'keys');
wait_until('all five wait', sub {
		$node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%authenticate%published%' AND wait_event_type = 'Extension'") == 5
	});
$server->release('keys');
is($_->answer->{out}, 'alice', 'a session that waited for the keys is served') foreach @waiting;
is($fetches->(), 1, 'by one fetch for all');
$publish->($keys{p256});
judge([ 'the kept keys serve the next', $published_token->('p256'), 'alice' ]);
is($fetches->(), 1, 'without another fetch');

# Made-up kids
judge(map { [ "a made-up kid $_", $published_token->('p256', _header => { kid => "made up $_" }), $unknown_key ] } 1 .. 5);
is($fetches->(), 1, 'made-up kids fetch nothing within the cooldown');
$let_cool->();
judge(map { [ "a made-up kid $_ after it", $published_token->('p256', _header => { kid => "made up $_" }), $unknown_key ] } 1 .. 5);
is($fetches->(), 2, 'and one time after it');
judge([ 'a flipped signature of a known key', $published_token->('p256', _flip => JSON::PP::true), $bad_signature ]);
$let_cool->();
judge([ 'an algorithm that is not allowed', token(HS256 => undef, iss => $published, _secret => $pem, _header => { kid => 'new' }), $bad_algorithm ],
	[ 'a critical extension, and an unknown kid', $published_token->('p256', _header => { kid => 'new', crit => ['x'] }), refused('has critical header parameters that are not understood') ],
	[ 'an expired token', $published_token->('p256', exp => 1000), refused('expired') ]);
is($fetches->(), 2, 'what no new key could mend fetches nothing');

# A key is rotated.
$publish->($second);
judge([ 'a new key of the issuer', $published_token->('second'), 'alice' ]);
is($fetches->(), 3, 'is fetched when a token names it');
judge([ 'the key that it took away', $published_token->('p256'), $unknown_key ]);
$let_cool->();
$publish->({ %{ $keys{p256} }, kid => 'second' });
judge([ 'a new key under the old kid', $published_token->('p256', _header => { kid => 'second' }), 'alice' ]);
is($fetches->(), 4, 'is fetched when the signature does not verify');
$let_cool->();
$publish->($second);
judge([ 'a new key, where tokens have no kid', $published_token->('second', _header => {}), 'alice' ]);
is($fetches->(), 5, 'as well');
$let_cool->();
$publish->({ %{ $keys{p256} }, kid => 'a' }, $keys{p256});
judge([ 'two keys of the same kind', $published_token->('p256'), 'alice' ]);
is($fetches->(), 6, 'likewise');
$let_cool->();
$publish->($second);
judge([ 'a new key, where tokens have no kid and several are kept', $published_token->('second', _header => {}), 'alice' ]);
is($fetches->(), 7, 'likewise');
$node->safe_psql('postgres', "UPDATE appuser_connectors.issuers SET fetched_at = now() + '1 day'::interval WHERE issuer = '$published'");
$publish->({ %{ $keys{p256} }, kid => 'a' }, $keys{p256});
judge([ 'a new key, after the clock went back', $published_token->('p256'), 'alice' ]);
is($fetches->(), 8, 'likewise');

# Trouble at the issuer
$let_cool->();
$server->rules({ path => '/jwks', status => 503 });
judge(
	[ 'an unknown key while the issuer has trouble', $published_token->('second', _header => { kid => 'b' }), $unreachable ],
	[ 'known keys meanwhile', $published_token->('p256'), 'alice' ],
	[ 'an unknown key soon after', $published_token->('second', _header => { kid => 'c' }), 'UC003 the keys of the JWT\'s issuer could not be fetched: Reason: it failed a moment ago.' ]);
is($fetches->(), 9, 'the issuer in trouble is not asked again and again');
my $n = 0;
foreach my $case (
	[ 'HTML', { body => '<html>' } ], [ 'an empty set', { body => { keys => [] } } ], [ 'no set', { body => {} } ],
	[ 'only unusable keys', { body => { keys => \@bad } } ], [ 'a redirect', { status => 302, headers => { location => $jwks_uri } }, 302 ],
	[ 'a set of an error', { status => 500, body => { keys => [ $keys{p256} ] } }, 500 ],
	[ 'a body without end', { endlessBody => JSON::PP::true }, undef ], [ 'a reset connection', { reset => JSON::PP::true }, undef ])
{
	my ($name, $rule, @status) = @$case;
	my $iss = "https://published-$n.example";
	my $reason = @status && !defined $status[0] ? 'no usable answer from its jwks_uri' : 'its jwks_uri answered no usable key, status ' . ($status[0] // 200);

	$server->rules({ path => "/jwks-$n", %$rule }, { path => '/jwks', body => { keys => [ $keys{p256} ] } });
	register_issuer(issuer => $iss, jwks_uri => "$jwks_uri-$n", audiences => ['app']);
	judge([ "$name is no set of keys", token(ES256 => 'p256', iss => $iss), "UC003 the keys of the JWT's issuer could not be fetched: Reason: $reason." ]);
	$n++;
}

# Many made-up kids while an issuer does not answer
my $flooded = 'https://flooded.example';
my $of_flooded = sub { token(ES256 => 'p256', iss => $flooded, _header => { kid => $_[0] }) };
my $asked = sub { scalar $server->requests('/jwks-flooded') };
$server->rules({ path => '/jwks-flooded', body => { keys => [ $keys{p256} ] } });
register_issuer(issuer => $flooded, jwks_uri => "$jwks_uri-flooded", audiences => ['app']);
judge([ 'an issuer that answers', $of_flooded->('p256'), 'alice' ]);
$node->safe_psql('postgres', "UPDATE appuser_connectors.issuers SET fetched_at = now() - interval '1 min' WHERE issuer = '$flooded'");
$server->rules({ path => '/jwks-flooded', hold => 'flooded', body => { keys => [ $keys{p256} ] } });
load_tokens(known => $of_flooded->('p256'), map { ("made_up_$_" => $of_flooded->("made up $_")) } 1 .. 12);
my @asking = map { my $session = Session->new($node, 'app_user_role'); $session->send($authenticate->("made_up_$_")); $session } 1 .. 12;
my (@told, @still);
wait_until('some are told not to wait', sub { (grep { $_->done } @asking) == 4 });
push @{ $_->done ? \@told : \@still }, $_ foreach @asking;
is($_->answer->{state}, 'UC003', 'no more than eight wait for an issuer whose keys are there') foreach @told;
is(query($node, 'app_user_role', $authenticate->('known')), 'alice', 'a known key serves all the while');
$server->release('flooded');
is($_->answer->{state}, '28000', 'who waited is answered') foreach @still;
is($asked->(), 2, 'by one fetch');

my $odd = 'https://odd.example';
$server->rules({ path => '/odd', body => '{"keys":[' . encode($keys{p256}) . '],"number":1e999999}' });
register_issuer(issuer => $odd, jwks_uri => $server->url . '/odd', audiences => ['app']);
judge([ 'a set with a number that SQL has none for', token(ES256 => 'p256', iss => $odd), 'alice' ]);
my $inside = 'https://inside.example';
register_issuer(issuer => $inside, jwks_uri => 'https://private.test/jwks', audiences => ['app']);
judge([ 'a private address', token(ES256 => 'p256', iss => $inside), "UC003 the keys of the JWT's issuer could not be fetched: Reason: no usable answer from its jwks_uri." ]);
like(slurp_file($node->logfile), qr/issuer keys of "\Q$inside\E"\): an address that is not allowed\n.*10\.0\.0\.1/, 'the server log, not the error, says which');

# The admin is told, the one who asked is not, and once an hour, however often somebody asks.
sub told_of
{
	return query($node, 'app_admin', "SELECT string_agg(detail, ' and ') FROM appuser_connectors.connection_events WHERE event = 'issuer_keys_failed' AND app_user = '' AND detail LIKE 'issuer \"$_[0]\"%'");
}
is(told_of($inside), "issuer \"$inside\": the jwks_uri \"https://private.test/jwks\": an address that is not allowed; if it may be called: allowed_networks or allowed_hosts", 'an event says why the keys could not be fetched');
my $missing = 'https://missing.example';
register_issuer(issuer => $missing, jwks_uri => $server->url . '/missing', audiences => ['app']);
load_tokens(missing => token(ES256 => 'p256', iss => $missing));
foreach my $status (404, 503)
{
	my $tried = $server->requests('/missing');
	$server->rules({ path => '/missing', status => $status, body => 'No' });
	wait_until('they are asked for again', sub { failure($node, 'app_user_role', $authenticate->('missing')); $server->requests('/missing') > $tried });
}
is(told_of($missing), "issuer \"$missing\": the jwks_uri \"" . $server->url . '/missing" answered with HTTP status 404; it may be another, for register_issuer()', 'and only one, however often it fails');

# Where they are published is changed while they are on their way.
my $moved = 'https://moved.example';
$server->rules({ path => '/old', hold => 'old', body => { keys => [ $keys{p256} ] } }, { path => '/new', body => { keys => [$second] } });
register_issuer(issuer => $moved, jwks_uri => $server->url . '/old', audiences => ['app']);
load_tokens(moved => token(ES256 => 'p256', iss => $moved));
$session->send($authenticate->('moved'));
$server->wait(held => 'old');
register_issuer(issuer => $moved, jwks_uri => $server->url . '/new', audiences => ['app']);
$server->release('old');
is($session->answer->{state}, '28000', 'keys from where they were published before do not count');
judge([ 'those from where they are now do', token(ES256 => 'second', iss => $moved), 'alice' ]);

# A reader's transaction can be read only, and its snapshot old.
my $late = 'https://late.example';
$server->rules({ path => '/late', body => { keys => [ $keys{p256} ] } }, { path => '/jwks', body => { keys => [ $keys{p256} ] } });
load_tokens(late => token(ES256 => 'p256', iss => $late));
register_issuer(issuer => $late, jwks_uri => $server->url . '/late', audiences => ['app']);
is($session->ask("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1; @{[ $authenticate->('late') ]}; COMMIT"), "1\nalice",
	'keys are fetched and used in a read-only transaction with a snapshot older than they are');
is($node->safe_psql('postgres', "BEGIN; DELETE FROM appuser_connectors.issuers; SELECT appuser_connectors.register_issuer('https://mine.example', jwks => '@{[ encode($keys{p256}) ]}', audiences => '{app}') \\g /dev/null\n"
	  . "SELECT verdict('@{[ token(ES256 => 'p256', iss => 'https://mine.example') ]}'); ROLLBACK"), 'alice', 'an issuer counts in the transaction that registers it');
judge([ 'but not when that is rolled back', token(ES256 => 'p256', iss => 'https://mine.example'), refused('its issuer is not registered') ]);
load_tokens(late => token(ES256 => 'p256', iss => $late));
$session->ask('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
query($node, 'app_admin', "SELECT appuser_connectors.delete_issuer('$late')");
$session->send($authenticate->('late'));
is($session->answer->{state}, '28000', 'an issuer that was deleted is not accepted by an old snapshot');
$session->ask('ROLLBACK');

# ------------------------------------------------------------- standby, and old keys

register_issuer(issuer => $late, jwks_uri => $server->url . '/late', audiences => ['app']);
load_tokens(known => $published_token->('p256'), unknown => $published_token->('p256', _header => { kid => 'd' }), late => token(ES256 => 'p256', iss => $late));
$let_cool->();
my $before = $fetches->();
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
my %there = map { $_->{name} => $_->{verdict} } rows($standby, 'app_user_role', 'SELECT name, verdict(jwt) FROM tokens');
is($there{known}, 'alice', 'a standby authenticates with the keys it has');
is($there{unknown}, $unknown_key, 'does not fetch others');
like($there{late}, qr/^UC007 /, 'and says where to go if it has none');
is($fetches->(), $before, 'it asked the issuer for nothing');
$standby->stop;

# Keys older than half a day are fetched again before anybody asks, and go on being
# used when that fails.
$server->rules({ path => '/jwks', status => 500 });
$node->safe_psql('postgres', "UPDATE appuser_connectors.issuers SET fetched_at = fetched_at - '2 days'::interval WHERE issuer = '$published'");
$node->restart;
$server->wait(path => '/jwks', count => $before + 1, timeoutMs => 30000);
is($fetches->(), $before + 1, 'the worker fetches old keys by itself');
judge([ 'keys of two days ago serve while new ones cannot be had', $published_token->('p256'), 'alice' ]);
$publish->($second);
$node->restart;
wait_until('the worker has fetched them',
	sub { $node->safe_psql('postgres', "SELECT fetched_at > now() - '1 hour'::interval FROM appuser_connectors.issuers WHERE issuer = '$published'") eq 't' });
is($fetches->(), $before + 2, 'then they are fresh again, by one more fetch');

# --------------------------------------------------------------- nothing is told

# Whatever was said above, in errors and in the most talkative server log, holds no
# part of any token: neither of these, nor of all that came before.
my @canaries = map { "canary$_" . signer('jwt', { alg => 'none', header => {}, claims => {} }) =~ s/\W//gr . time() =~ s/\D//gr } 'kid', 'sub', 'iss', 'claim';
my %canary_tokens = (
	(map { ("$_ good" => token($_ => $key_of{$_}, sub => $canaries[1], canary => $canaries[3])) } 'ES256'),
	kid => token(ES256 => 'p256', sub => $canaries[1], _header => { kid => $canaries[0], canary => $canaries[3] }),
	issuer => token(ES256 => 'p256', iss => $canaries[2], sub => $canaries[1]),
	published => $published_token->('second', sub => $canaries[1], _header => { kid => $canaries[0] }),
	expired => token(ES256 => 'p256', sub => $canaries[1], exp => 1000),
	audience => token(ES256 => 'p256', sub => $canaries[1], aud => $canaries[3]),
	flipped => token(ES256 => 'p256', sub => $canaries[1], _flip => JSON::PP::true),
	algorithm => token(none => 'p256', sub => $canaries[1], _header => { alg => $canaries[3] }),
	long => token(ES256 => 'p256', sub => $canaries[1] x 20),
	broken => 'x' . token(ES256 => 'p256', sub => $canaries[1]) . 'x');
$let_cool->();
load_tokens(%canary_tokens);
query($node, 'app_user_role', 'SELECT count(verdict(jwt)) FROM tokens');
foreach my $name (sort keys %canary_tokens)
{
	(undef, my $said) = failure($node, 'app_user_role', $authenticate->($name));
	$node->safe_psql('postgres', 'INSERT INTO told VALUES ($told$' . ($said // '') . '$told$)');
}
my $told = slurp_file($node->logfile) . $node->safe_psql('postgres', 'TABLE told');
like($told, qr/the JWT is refused/, 'the errors were told');
like($told, qr/DEBUG/, 'and the log is talkative');
my @parts = grep { length > 20 } map { split /\./ } values %canary_tokens, $good;
my @found = grep { index($told, $_) >= 0 } @canaries, @parts;
is_deeply(\@found, [], 'no part of a token is in them');
is_deeply([ grep { index($told, $_) >= 0 } $secret, $new_secret, $pem ], [], 'nor a secret');

$_->close foreach @waiting, $session, $allowed, $service;
$node->stop;
done_testing();
