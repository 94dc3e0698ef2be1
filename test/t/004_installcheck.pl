# "make installcheck" asks a server of one's own: what that can run passes, whatever its locale,
# its superuser's name and its other settings are, and what it cannot is skipped with the reason.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Test::More;

my $source = "$FindBin::RealBin/../..";
my $secrets = PostgreSQL::Test::Utils::tempdir('secrets');
system("umask 077; openssl rand -hex 32 > '$secrets/root.key'") == 0 or die 'openssl failed';
# what make told this program is nothing for another make
delete @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS REGRESS ISOLATION PROVE_TESTS TAP_TESTS)};
my $locale = (grep { /^(?:de_DE|en_US|C)\.utf-?8$/i } split /\n/, `locale -a`)[-1] // 'C';

my $node = PostgreSQL::Test::Cluster->new('own');
$node->init(extra => [ '--encoding=UTF8', "--locale=$locale", '--username=somebody' ]);
$node->append_conf('postgresql.conf', join("\n", "datestyle = 'German, DMY'", "timezone = 'Asia/Tokyo'", 'bytea_output = escape',
		'statement_timeout = 60s', ''));

sub installcheck
{
	my ($what) = @_;
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGUSER => 'somebody');
	my $out = `make -s -C '$source' PG_CONFIG='$ENV{PG_CONFIG}' installcheck 2>&1`;

	is($?, 0, "$what: make installcheck succeeds") or diag($out);
	return $out;
}

local $ENV{PGUSER} = 'somebody';
my @tests = map { m{([^/]+)\.\w+$} } glob("$source/test/sql/*.sql"), glob("$source/test/specs/*.spec");
cmp_ok(scalar @tests, '>', 10, 'there are tests');
foreach my $lacking ([ 'the library is not loaded', qr/shared_preload_libraries = 'appuser_connectors'/, "shared_preload_libraries = 'appuser_connectors'" ],
	[ 'there is no root key', qr/appuser_connectors\.root_key_file/, "appuser_connectors.root_key_file = '$secrets/root.key'" ])
{
	my ($what, $reason, $mend) = @$lacking;
	$node->start;
	my $out = installcheck($what);
	like($out, qr/^\Q$_\E: skipped: .*$reason/m, "$what: $_ is skipped") foreach @tests;
	unlike($out, qr/\.\.\. /, "$what: nothing is run");
	$node->stop;
	$node->append_conf('postgresql.conf', "$mend\n");
}
$node->start;
my $out = installcheck('a server with all');
foreach my $test (@tests)
{
	my $asks = grep { PostgreSQL::Test::Utils::slurp_file($_) =~ /:login|test\.login/ } glob "$source/test/s*/$test.*";
	like($out, $asks ? qr/^\Q$test\E: skipped: .*OAuth provider/m : qr/^test \Q$test\E +\.\.\. ok/m, "$test " . ($asks ? 'is skipped' : 'passes'));
}
$node->stop;
done_testing();
