=pod

=head1 NAME

AppuserConnectors - what the TAP tests of appuser_connectors share

=head1 SYNOPSIS

  use FindBin;
  use lib "$FindBin::RealBin/../perl";
  use AppuserConnectors;
  use Test::More;

  my $provider = start_provider(access_token_ttl => 2);
  my $node = new_node('main', "appuser_connectors.wait_timeout = 5s");
  register($node, $provider, connector_id => 'calendar');
  my $row = connect_user($node, 'alice', 'calendar');
  is($row->{failure}, undef, 'alice is connected');
  is(userinfo($provider, access_token($node, 'alice', 'calendar'))->{sub}, 'alice', '...');

=head1 DESCRIPTION

A cluster with the extension, real and faulty providers, and the steps of a
connection, on top of PostgreSQL::Test::Cluster.  Servers end with the test.

=cut

package AppuserConnectors;

use strict;
use warnings;

use Carp;
use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);
use IPC::Run ();
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(usleep time);

our @EXPORT = qw(
  new_node add_extension allow_inserts kill_postmaster start_again start_provider start_fault_server certificates
  register authorization_url url_parameters log_in walk callback connect_user connect_all access_token
  query row rows failure http userinfo wait_until wait_for_expiry decode encode
);

my $test_directory = abs_path(dirname(__FILE__) . '/..');
my $redirect_uri = 'http://127.0.0.1:7999/callback';
my $json = JSON::PP->new->utf8->canonical->allow_nonref;

sub decode { return $json->decode($_[0]); }
sub encode { return $json->encode($_[0]); }

=pod

=head2 Clusters

=over

=item new_node($name, @lines_of_postgresql_conf)

A running cluster that preloads the extension, with a root key, the tests'
certificate authority and providers on loopback allowed; in its database
postgres the extension and, one for each role of the extension, the login roles
app_admin, app_service and app_user_role, and app_nobody with none.

=item add_extension($node, $database)

=cut

my $secrets;

sub new_node
{
	my ($name, @conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$secrets //= PostgreSQL::Test::Utils::tempdir('secrets');
	my $key = "$secrets/$name.key";
	system("umask 077; openssl rand -hex 32 > '$key'") == 0 or die 'openssl failed';

	# whatever the locale is that the tests are run in
	$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
	$node->append_conf('postgresql.conf', join("\n",
			"shared_preload_libraries = 'appuser_connectors'",
			"appuser_connectors.root_key_file = '$key'",
			"appuser_connectors.ca_file = '" . certificates() . "/ca.pem'",
			"appuser_connectors.allow_insecure_loopback = on",
			@conf, ''));
	$node->start;
	# the tests' name of the superuser, which initdb took from whoever runs them
	$node->safe_psql('postgres', "DO 'BEGIN IF to_regrole(''postgres'') IS NULL THEN CREATE ROLE postgres SUPERUSER LOGIN; END IF; END'");
	add_extension($node, 'postgres');
	return $node;
}

sub add_extension
{
	my ($node, $database) = @_;

	$node->safe_psql($database, q{
		SET client_min_messages = warning;
		CREATE EXTENSION appuser_connectors;
		DO $$
		DECLARE
			r record;
		BEGIN
			FOR r IN VALUES ('app_admin', 'appuser_connectors_admin'),
				('app_service', 'appuser_connectors_service'),
				('app_user_role', 'appuser_connectors_user'), ('app_nobody', NULL)
			LOOP
				IF to_regrole(r.column1) IS NULL THEN
					EXECUTE format('CREATE ROLE %I LOGIN', r.column1);
					IF r.column2 IS NOT NULL THEN
						EXECUTE format('GRANT %I TO %I', r.column2, r.column1);
					END IF;
				END IF;
			END LOOP;
		END $$;});
	return;
}

=pod

=over

=item allow_inserts($node, $database)

Rows may be put (back) into the extension's tables by SQL without the database's becoming a
copy: what a superuser could do who wants to.

=back

=cut

sub allow_inserts
{
	my ($node, $database) = @_;

	$node->safe_psql($database // 'postgres', join ' ',
		map { "ALTER TABLE appuser_connectors.$_ DISABLE TRIGGER note_restored_rows;" } qw(installation connections pending_answers));
	return;
}

=pod

=over

=item kill_postmaster($node)

kill -9, until it is gone; its children are soon.

=item start_again($node)

After that: as soon as its children, who have its memory, are gone as well.

=back

=cut

sub kill_postmaster
{
	my ($node) = @_;
	my $postmaster = $node->{_pid};

	$node->kill9;
	wait_until('the postmaster is gone', sub { !kill 0, $postmaster });
	return;
}

sub start_again
{
	my ($node) = @_;

	# a start that failed leaves the old one's process id
	wait_until('the server starts again', sub { $node->{_pid} = undef; $node->start(fail_ok => 1) });
	return;
}

=pod

=back

=head2 Servers

=over

=item certificates()

The directory with the tests' certificates (see provider/make-certificates).

=item start_provider(%settings)

The real provider, with the settings of provider/server.mjs.  The object has

  issuer definition              of its ready line
  ctl($page)                     what GET /__ctl$page answers: counters by default
  order({...})                   POST /__ctl
  grants($account)               live grants, of one account or all
  refreshes($client_id)          how many refresh requests succeeded
  stop, restart                  by its process id; a restart keeps the port, and forgets everything

=item start_fault_server(%options)

The server that answers scripted bytes, provider/fault-server.mjs.  Options:
certificate, one of those of make-certificates, 'localhost' by default, or undef
for http; http2; proxy_to, another server, for whatever has no rule; host; port.
The object has stop and restart as above, and

  url definition                 with the paths of the real provider
  rules(@rules) add(@rules)      replaces or adds to the rules
  order({...})                   anything else that POST /__ctl takes
  release($name)                 lets held requests go on
  requests($path)                what was asked of it there, or at all
  ctl($page)                     GET /__ctl$page
  wait(%query)                   until so much has arrived: see /__ctl/wait

=cut

my $certificates;

sub certificates
{
	if (!$certificates)
	{
		$certificates = PostgreSQL::Test::Utils::tempdir('certificates');
		system("$test_directory/provider/make-certificates", $certificates) == 0
		  or die 'make-certificates failed';
	}
	return $certificates;
}

# A port that stays a server's while it is stopped, which one that the kernel chooses does not:
# the next test, or a connection of anybody's, may get that.
sub free_port { return PostgreSQL::Test::Cluster::get_free_port(); }

sub start_provider
{
	my (%settings) = @_;

	$settings{port} //= free_port();
	return AppuserConnectors::Server->start('server.mjs', \%settings,
		sub { ('--certificates', certificates(), '--config', encode(\%settings)) });
}

sub start_fault_server
{
	my (%options) = @_;
	my $certificate = exists $options{certificate} ? $options{certificate} : 'localhost';
	my $to = $options{proxy_to};

	$options{host} //= '127.0.0.1';
	$options{port} //= free_port();
	return AppuserConnectors::Server->start('fault-server.mjs', \%options,
		sub {
			(   '--host', $options{host}, '--port', $options{port},
				$certificate ? ('--tls-cert', certificates() . "/$certificate.pem", '--tls-key', certificates() . "/$certificate-key.pem") : (),
				$options{http2} ? '--http2' : (),
				$to ? ('--proxy-to', ref $to ? $to->url : $to) : ());
		});
}

=pod

=item http($url, @curl_options)

(status, body) of a request by curl, which trusts the tests' authority.

=item userinfo($provider, $access_token)

The account that the token speaks for (sub, email and so on), and the HTTP status.

=back

=cut

sub http
{
	my ($url, @options) = @_;
	my ($out, $err);
	my @ca = $url =~ /^https/ ? ('--cacert', certificates() . '/ca.pem') : ();

	IPC::Run::run([ 'curl', '-sS', '--max-time', '20', @ca, @options, '-w', '\n%{http_code}', $url ],
		'>', \$out, '2>', \$err)
	  or die "curl $url: $err";
	my ($body, $status) = $out =~ /\A(.*)\n(\d+)\z/s;
	return ($status, $body);
}

sub userinfo
{
	my ($provider, $token) = @_;
	my ($status, $body) = http($provider->definition->{userinfo_endpoint}, '-H', "Authorization: Bearer $token");

	return { status => $status, $status == 200 ? %{ decode($body) } : () };
}

=pod

=head2 SQL

Each takes the role first, and options after the statement: C<app_user> (whose
transaction it is), C<database>, C<variables> (psql variables, for C<:'name'>),
C<settings> (of the session).

=over

=item query($node, $role, $sql, %options)

What psql prints, unaligned; dies when a statement fails.

=item row($node, $role, $sql, %options)

The row that $sql, one SELECT, returns, as a hash reference; undef when there is
none.  rows() gives all, as a list.

=item failure($node, $role, $sql, %options)

(SQLSTATE, everything the client was told) of the error that $sql raises; an
empty list when there is none.

=cut

sub run_psql
{
	my ($node, $role, $sql, %options) = @_;
	my %variables = %{ $options{variables} // {} };
	my %settings = %{ $options{settings} // {} };
	my ($out, $err) = ('', '');

	$sql = "BEGIN; SELECT appuser_connectors.set_app_user(" . quote($options{app_user}) . ") \\g /dev/null\n$sql;\nCOMMIT;"
	  if defined $options{app_user};
	local $ENV{PGOPTIONS} = join ' ', map { my $v = $settings{$_}; $v =~ s/([\\ ])/\\$1/g; "-c $_=$v" } sort keys %settings;
	my $status = $node->psql($options{database} // 'postgres', $sql,
		stdout => \$out, stderr => \$err, on_error_die => 0,
		extra_params => [ '-U', $role, '-v', 'VERBOSITY=verbose', map { ('-v', "$_=" . ($variables{$_} // '')) } sort keys %variables ]);
	return ($status, $out, $err);
}

sub query
{
	my ($node, $role, $sql, %options) = @_;
	my ($status, $out, $err) = run_psql($node, $role, $sql, %options);

	croak "$role: $sql\nfailed: $err" if $status != 0;
	return $out;
}

sub rows
{
	my ($node, $role, $sql, %options) = @_;

	return map { decode($_) } split /\n/, query($node, $role, "SELECT pg_catalog.row_to_json(r) FROM ($sql) r", %options);
}

sub row
{
	my @rows = rows(@_);

	croak 'more than one row' if @rows > 1;
	return $rows[0];
}

sub failure
{
	my ($node, $role, $sql, %options) = @_;
	my ($status, undef, $err) = run_psql($node, $role, $sql, %options);

	return () if $status == 0;
	my ($state) = $err =~ /^(?:psql:\S+ )?(?:ERROR|FATAL):\s+([0-9A-Z]{5}):/m;
	return ($state // 'none', $err);
}

# NULL for undef, an array for a reference to a list, jsonb for one to a hash.
sub quote
{
	my ($value) = @_;

	return 'NULL' unless defined $value;
	return 'ARRAY[' . join(', ', map { quote($_) } @$value) . ']::text[]' if ref $value eq 'ARRAY';
	return quote(encode($value)) . '::jsonb' if ref $value eq 'HASH';
	$value =~ s/'/''/g;
	return $value =~ s/\\/\\\\/g ? "E'$value'" : "'$value'";
}

sub arguments
{
	my (%arguments) = @_;

	return join ', ', map { "$_ => " . quote($arguments{$_}) } grep { exists $arguments{$_} } sort keys %arguments;
}

=pod

=back

=head2 The steps of a connection

=over

=item register($node, $server, %arguments of register_connector)

Registers the server as a provider and a connector for it, by the admin role;
returns the connector's id.  provider (its name), definition (members to add or
replace), client_id, client_secret, scopes and redirect_uris have defaults.

=item authorization_url($node, $app_user, $connector, %arguments of connect_app_user)

=item url_parameters($url)

=item log_in($url, $account, @options of login.mjs)

Walks through the provider's pages; returns the parameters of the callback.

=item walk($url, $account, @options of walk.mjs)

The same with a real browser, $CHROMIUM or /usr/bin/chromium.

=item callback($node, $app_user, \%parameters, %arguments of oauth_callback)

The row that oauth_callback returns, called by the service role with the session's
app user, or with none when $app_user is undef.

=item connect_all($node, [$app_user, $connector], ...)

The same for many, each with an account of their own name, and quickly; dies when somebody
is not connected.

=item connect_user($node, $app_user, $connector, account => $name, login => [options of login.mjs],
arguments => {of connect_app_user}, callback => {of oauth_callback})

All three; the account is the app user's namesake by default.

=item access_token($node, $app_user, $connector, %further arguments)

=back

=cut

sub register
{
	my ($node, $server, %arguments) = @_;
	my $client = $arguments{client_id} // 'app';
	my $definition = { %{ $server->definition }, %{ delete $arguments{definition} // {} } };
	my $database = delete $arguments{database} // 'postgres';
	my %secrets = (app => 'app secret: 100%+/&=', 'app-post' => 'post secret: 100%+/&=');

	$arguments{provider} //= 'test';
	$arguments{client_id} = $client;
	$arguments{client_secret} = $secrets{$client} unless exists $arguments{client_secret};
	$arguments{scopes} //= [qw(openid profile email read)];
	$arguments{redirect_uris} //= [$redirect_uri];
	return query($node, 'app_admin',
		"SELECT appuser_connectors.register_provider(" . quote($arguments{provider}) . ', ' . quote($definition) . ") \\g /dev/null\n"
		  . 'SELECT appuser_connectors.register_connector(' . arguments(%arguments) . ')',
		database => $database);
}

sub authorization_url
{
	my ($node, $app_user, $connector, %arguments) = @_;
	my $database = delete $arguments{database} // 'postgres';

	return query($node, 'app_service',
		'SELECT appuser_connectors.connect_app_user(' . arguments(%arguments, connector_id => $connector) . ')',
		app_user => $app_user, database => $database);
}

# What connect_app_user put into the URL: state, redirect_uri and so on.
sub url_parameters
{
	my ($url) = @_;
	my ($query) = $url =~ /\?([^#]*)/;
	my %parameters;

	foreach my $pair (split /&/, $query // '')
	{
		my ($name, $value) = map { s/\+/ /g; s/%([0-9A-Fa-f]{2})/chr hex $1/ge; $_ } split /=/, $pair, 2;
		croak "$name is given twice" if exists $parameters{$name};
		$parameters{$name} = $value;
	}
	return \%parameters;
}

sub log_in
{
	return visit('provider/login.mjs', @_);
}

sub walk
{
	return visit('browser/walk.mjs', @_);
}

sub visit
{
	my ($script, $url, $account, @options) = @_;
	my ($out, $err);

	IPC::Run::run([ 'node', "$test_directory/$script", $url, $account, '--json', '--ca', certificates() . '/ca.pem', @options ],
		'>', \$out, '2>', \$err)
	  or croak "$script: $err";
	my $parameters = decode($out);
	delete $parameters->{url};
	return $parameters;
}

sub callback
{
	my ($node, $app_user, $parameters, %arguments) = @_;
	my $database = delete $arguments{database} // 'postgres';
	my %named = map { $_ => $parameters->{$_} } grep { exists $parameters->{$_} } qw(state code iss error error_description);

	return row($node, 'app_service', 'SELECT * FROM appuser_connectors.oauth_callback(' . arguments(%named, %arguments) . ')',
		app_user => $app_user, database => $database);
}

sub connect_user
{
	my ($node, $app_user, $connector, %options) = @_;
	my $database = $options{database} // 'postgres';
	my $url = authorization_url($node, $app_user, $connector, %{ $options{arguments} // {} }, database => $database);
	my $parameters = log_in($url, $options{account} // $app_user, @{ $options{login} // [] });

	return callback($node, $app_user, $parameters, %{ $options{callback} // {} }, database => $database);
}

sub connect_all
{
	my ($node, @connections) = @_;
	my $as = sub {
		my ($app_user, $sql) = @_;
		return 'BEGIN; SELECT appuser_connectors.set_app_user(' . quote($app_user) . ") \\g /dev/null\n$sql;\nCOMMIT;\n";
	};
	my @urls = split /\n/, query($node, 'app_service',
		join '', map { $as->($_->[0], 'SELECT appuser_connectors.connect_app_user(' . quote($_->[1]) . ')') } @connections);
	my $asked = join '', map { "$urls[$_] $connections[$_][0]\n" } 0 .. $#connections;
	my ($out, $err);

	IPC::Run::run([ 'node', "$test_directory/provider/login.mjs", '--many', '--json', '--ca', certificates() . '/ca.pem' ], '<', \$asked, '>', \$out, '2>', \$err)
	  or croak "login.mjs: $err";
	my @parameters = map { decode($_) } split /\n/, $out;
	my @failures = split /\n/, query($node, 'app_service', join '', map {
			my %named = %{ $parameters[$_] };
			$as->($connections[$_][0], "SELECT COALESCE(failure, 'none') FROM appuser_connectors.oauth_callback(" . arguments(map { ($_ => $named{$_}) } qw(state code iss)) . ')')
		} 0 .. $#connections);
	croak "not everybody is connected: @failures" if join(' ', @failures) ne join(' ', ('none') x @connections);
	return;
}

sub access_token
{
	my ($node, $app_user, $connector, %arguments) = @_;
	my $database = delete $arguments{database} // 'postgres';

	return query($node, 'app_service',
		'SELECT access_token FROM appuser_connectors.app_user_connection('
		  . arguments(%arguments, app_user => $app_user, connector_id => $connector) . ')',
		database => $database);
}

=pod

=head2 Waiting

=over

=item wait_until($what, sub { ... })

Polls until the function returns true, and returns that; dies after
PG_TEST_TIMEOUT_DEFAULT seconds.

=item wait_for_expiry($node, $provider, $app_user, $connector)

Until the stored access token, without being refreshed, has expired both here and
at the provider, which counts in whole seconds; returns the token.

=back

=cut

sub wait_until
{
	my ($what, $done) = @_;
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;

	while (1)
	{
		my $result = $done->();
		return $result if $result;
		croak "timed out waiting until $what" if time() > $deadline;
		usleep(50_000);
	}
}

sub wait_for_expiry
{
	my ($node, $provider, $app_user, $connector) = @_;
	my $row = row($node, 'app_service',
		'SELECT access_token, extract(epoch FROM expires_at) AS expires FROM appuser_connectors.app_user_connection('
		  . arguments(app_user => $app_user, connector_id => $connector) . ')');

	wait_until('the token has expired', sub {
			time() > $row->{expires} && userinfo($provider, $row->{access_token})->{status} == 401
		});
	return $row->{access_token};
}

package AppuserConnectors::Server;

use strict;
use warnings;

use IPC::Open2;
use Time::HiRes qw(usleep);

my @running;

sub start
{
	my ($class, $script, $settings, $options) = @_;
	my $self = bless { script => $script, settings => $settings, options => $options }, $class;

	$self->_run;
	push @running, $self;
	return $self;
}

sub _run
{
	my ($self) = @_;

	# Its standard error is the test's own, which is the test's log.
	my $pid = open2(my $out, my $in, 'node', "$test_directory/provider/$self->{script}", $self->{options}->());
	my $line;
	local $SIG{ALRM} = sub { kill 'KILL', $pid; die "$self->{script} did not start" };
	alarm 60;
	$line = <$out>;
	alarm 0;
	die "$self->{script} did not start" unless defined $line;
	@$self{qw(pid in out ready)} = ($pid, $in, $out, $json->decode($line));
	return;
}

sub url { return $_[0]->{ready}{url} // $_[0]->{ready}{issuer}; }
sub issuer { return $_[0]->url; }
sub ready { return $_[0]->{ready}; }

sub definition
{
	my ($self) = @_;
	my $url = $self->url;

	return $self->{ready}{definition} // {
		issuer => $url,
		authorization_endpoint => "$url/auth",
		token_endpoint => "$url/token",
		revocation_endpoint => "$url/token/revocation",
		jwks_uri => "$url/jwks",
		userinfo_endpoint => "$url/me",
	};
}

sub _control
{
	my ($self, $page, @options) = @_;
	my ($status, $body) = AppuserConnectors::http($self->url . "/__ctl$page", @options);

	die "/__ctl$page answered $status: $body" if $status != 200;
	return $json->decode($body);
}

sub ctl
{
	my ($self, $page) = @_;
	return $self->_control($page // '');
}

sub order
{
	my ($self, $order) = @_;
	return $self->_control('', '--data-binary', $json->encode($order));
}

sub rules { my ($self, @rules) = @_; return $self->order(\@rules); }
sub add { my ($self, @rules) = @_; return $self->order({ add => \@rules }); }
sub release { my ($self, $name) = @_; return $self->order({ release => $name }); }

sub requests
{
	my ($self, $path) = @_;
	return grep { !defined $path || $_->{path} eq $path } @{ $self->ctl->{requests} };
}

sub wait
{
	my ($self, %query) = @_;
	return $self->ctl('/wait?' . join '&', map { "$_=$query{$_}" } sort keys %query);
}

sub grants
{
	my ($self, $account) = @_;
	return grep { !defined $account || $_->{account} eq $account } @{ $self->ctl('/grants') };
}

sub refreshes
{
	my ($self, $client) = @_;
	my $counters = $self->ctl;
	my $grants = defined $client ? $counters->{by_client}{$client} : $counters->{grants};

	return $grants->{refresh_token}{ok} // 0;
}

sub stop
{
	my ($self) = @_;
	my $pid = delete $self->{pid} or return;
	my $status = $?;

	close $self->{in};
	close $self->{out};
	for (1 .. 100)
	{
		last if waitpid($pid, 1) != 0;
		kill 'KILL', $pid if $_ == 60;
		usleep(50_000);
	}
	$? = $status;
	return;
}

sub restart
{
	my ($self) = @_;

	$self->stop;
	$self->{settings}{port} = $self->{ready}{port};
	$self->_run;
	return;
}

END
{
	$_->stop foreach @running;
}

1;
