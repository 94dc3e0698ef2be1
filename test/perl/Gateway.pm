=pod

=head1 NAME

Gateway - the gateway of examples/, as a test starts and asks it

=head1 SYNOPSIS

  use Gateway;

  plan skip_all => Gateway::lacking() if Gateway::lacking();
  my $gateway = Gateway->new($node, requests_per_minute => 100);
  $gateway->start;
  my $answer = $gateway->ask('/healthz');    # { status, head, body, json, location, cookies }
  my $began = $gateway->initiate('alice', 'files');
  my $address = $gateway->come_back($began, 'alice');
  my $finished = $gateway->ask($address, cookies => $began->{cookies});
  like($gateway->log, qr/.../);
  $gateway->stop;

=head1 DESCRIPTION

new() chooses the address and registers the issuer of the people's JWTs (with demo => 1, their JWTs are the demonstration's); start() starts it, and may be called again.  Settings are those of its
README, in lower case; undef takes one away.  On http, unless it is given tls => 1.

=cut

package Gateway;

use strict;
use warnings;

use AppuserConnectors;
use Carp;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IPC::Open2;
use IPC::Run ();
use JSON::PP;
use POSIX ':sys_wait_h';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(time);

my $test_directory = abs_path(dirname(__FILE__) . '/..');
my $program = abs_path("$test_directory/../examples/gateway") . '/main.mjs';
my $issuer = 'https://login.example';
my @running;
my $json = JSON::PP->new->utf8->canonical->allow_nonref;

our $app = 'an-app';
our $service_secret = 'the-service-secret-of-the-tests:100%+/=';

# Why it cannot be tested here, or undef
sub lacking
{
	return -d dirname($program) . '/node_modules/fastify' ? undef : 'the packages of the gateway are not installed';
}

# ------------------------------------------------------------ people's JWTs

my ($from_signer, $to_signer);

sub signer
{
	if (!$to_signer)
	{
		open2($from_signer, $to_signer, 'node', "$test_directory/provider/signer.mjs");
		signer('key', 'k', 'P-256');
	}
	print { $to_signer } $json->encode([@_]), "\n";
	$to_signer->flush;
	return $json->decode(scalar readline $from_signer);
}

sub jwt
{
	my ($person, %claims) = @_;
	return signer('jwt', { alg => 'ES256', key => 'k', header => { kid => 'k' }, claims =>
			{ iss => $issuer, sub => $person, aud => 'app', exp => int(time()) + 600, %claims } });
}

sub register_issuer
{
	my ($node) = @_;
	signer('key', 'k', 'P-256') unless $to_signer;
	my $jwk = signer('private', 'k');
	my $jwks = $json->encode({ keys => [ { kid => 'k', map { $_ => $jwk->{$_} } qw(kty crv x y) } ] });

	query($node, 'app_admin', "SELECT appuser_connectors.register_issuer('$issuer', jwks => '$jwks', audiences => '{app}', algorithms => '{ES256}')");
	return;
}

# ------------------------------------------------------------- the service

# How node-postgres, and the gateway, is given a socket of several servers
sub database
{
	my ($role, @nodes) = @_;
	return "postgres://$role@" . join(',', map { ($_->host =~ s{/}{%2F}gr) . ':' . $_->port } @nodes) . '/postgres';
}

sub new
{
	my ($class, $node, %settings) = @_;
	my $tls = delete $settings{tls};
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my @nodes = ($node, @{ delete $settings{standbys} // [] });
	my $self = bless {
		url => ($tls ? 'https' : 'http') . "://127.0.0.1:$port",
		settings => {
			host => '127.0.0.1', port => $port, app_id => $app, service_secret => $service_secret,
			user_database => database('app_user_role', @nodes), service_database => database('app_service', @nodes),
			$tls ? (tls_certificate_file => certificates() . '/localhost.pem', tls_key_file => certificates() . '/localhost-key.pem') : (),
			%settings,
		},
	}, $class;

	$self->{settings}{origin} //= $self->{url};
	register_issuer($node) unless $settings{demo}; # two that name people alike are refused
	return $self;
}

sub url { return $_[0]->{url}; }
sub callback_url { return "$_[0]->{settings}{origin}/api/external-auth/callback"; }

sub start
{
	my ($self, %settings) = @_;
	my %environment = %{ $self->{settings} };
	@environment{ keys %settings } = values %settings;

	$self->{file} //= PostgreSQL::Test::Utils::tempdir('gateway') . '/log';
	PostgreSQL::Test::Utils::append_to_file($self->{file}, '');
	$self->{begun} = -s $self->{file};
	pipe my $read, $self->{stdin} or die $!;
	$self->{pid} = fork // die $!;
	if ($self->{pid} == 0)
	{
		delete @ENV{ grep { /^(?:GATEWAY_|PG)/ } keys %ENV };
		$ENV{ 'GATEWAY_' . uc } = $environment{$_} foreach grep { defined $environment{$_} } keys %environment;
		open STDIN, '<&', $read;
		open STDOUT, '>>', $self->{file};
		open STDERR, '>&', \*STDOUT;
		exec 'node', $program, '--until-stdin-ends' or die $!;
	}
	close $read;
	push @running, $self;
	wait_until('the gateway is ready', sub {
			$self->log($self->{begun}) =~ /"msg":"ready"/ || ($self->ended && croak 'the gateway ended: ' . $self->log($self->{begun}))
		});
	return $self;
}

# What it has said, from there on
sub log { my ($self, $from) = @_; return substr PostgreSQL::Test::Utils::slurp_file($self->{file}), $from // 0; }

sub pid { return $_[0]->{pid}; }

sub ended
{
	my ($self) = @_;

	return 1 unless $self->{pid};
	return 0 if waitpid($self->{pid}, WNOHANG) == 0;
	$self->{status} = $? >> 8 || ($? & 127 ? 'killed' : 0);
	delete $self->{pid};
	return 1;
}

# Its exit status, once it has stopped
sub stop
{
	my ($self) = @_;

	kill 'TERM', $self->{pid} if $self->{pid};
	return $self->wait;
}

sub wait
{
	my ($self) = @_;
	local $?;

	wait_until('the gateway has stopped', sub { $self->ended });
	close delete $self->{stdin} if $self->{stdin};
	return $self->{status};
}

# -------------------------------------------------------------- asking it

# Options: method, jwt, cookies (reference to a hash), headers ([...]), body, form, json
sub ask
{
	my ($self, $path, %options) = @_;
	my $url = $path =~ /^http/ ? $path : $self->{url} . $path;
	my @curl = ('-i', '-X', $options{method} // 'GET');
	my $cookies = join '; ', map { "$_=$options{cookies}{$_}" } sort keys %{ $options{cookies} // {} };

	push @curl, '-H', "Authorization: Bearer $options{jwt}" if defined $options{jwt};
	push @curl, '-H', "Cookie: $cookies" if $cookies ne '';
	push @curl, '-H', 'Content-Type: application/json' if exists $options{json};
	push @curl, '--data-binary', defined $options{json} ? $json->encode($options{json}) : '' if exists $options{json};
	push @curl, '--data', $options{form} if defined $options{form};
	push @curl, map { ('-H', $_) } @{ $options{headers} // [] };
	my ($status, $answer) = http($url, @curl);
	my ($head, $body) = $answer =~ /\A((?:HTTP.*?\r?\n\r?\n)+)(.*)\z/s;
	my ($location) = $head =~ /^location: (\S*)/mi;
	my @lines = $head =~ /^set-cookie: ([^\r\n]*)/mig;

	return {
		status => $status, head => $head, body => $body, json => scalar eval { $json->decode($body) }, location => $location,
		cookies => { map { /^([^=]+)=([^;]*)/ ? ($1 => $2) : () } @lines }, cookie_lines => \@lines,
	};
}

sub connector_path
{
	my ($connector) = @_;
	$connector =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ge;
	return "/api/apps/$app/app-user-auth/connectors/$connector";
}

# as the SDK: a content type, and nothing
sub initiate
{
	my ($self, $person, $connector, %options) = @_;
	return $self->ask(connector_path($connector) . '/initiate', method => 'POST', json => undef,
		jwt => ref $person ? $$person : defined $person ? jwt($person) : undef, %options);
}

sub token
{
	my ($self, $person, $connector, %options) = @_;
	my $jwt = ref $person ? $$person : defined $person ? jwt($person) : undef;

	return $self->ask(connector_path($connector) . '/token', jwt => exists $options{secret} ? delete $options{secret} : $service_secret, json => undef,
		%options, headers => [ defined $jwt ? "On-Behalf-Of: Bearer $jwt" : (), @{ $options{headers} // [] } ]);
}

sub disconnect
{
	my ($self, $person, $connector, %options) = @_;
	return $self->ask(connector_path($connector), method => 'DELETE', json => undef, jwt => defined $person ? jwt($person) : undef, %options);
}

# Where the provider sends the browser back to
sub come_back
{
	my ($self, $began, $account, @options) = @_;
	my ($address, $err);

	IPC::Run::run([ 'node', "$test_directory/provider/login.mjs", $began->{json}{redirect_url}, $account, '--ca', certificates() . '/ca.pem', @options ], '<', \undef, '>', \$address, '2>', \$err)
	  or croak "login.mjs: $err";
	chomp $address;
	return $address;
}

# All of it: what the callback answered
sub connect
{
	my ($self, $person, $connector, %options) = @_;
	my $began = $self->initiate($person, $connector, %options);

	croak "initiate: $began->{status} $began->{body}" if $began->{status} != 200;
	return $self->ask($self->come_back($began, $options{account} // $person), cookies => $began->{cookies});
}

END
{
	local $?;
	kill 'KILL', $_->{pid} foreach grep { $_->{pid} } @running;
	close $to_signer if $to_signer;
}

1;
