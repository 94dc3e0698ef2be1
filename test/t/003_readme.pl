# What the README lists is what there is: functions with the names of their arguments
# and who may call them, settings, errors, events, and members of a provider's
# definition; none is missing and none is made up.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $readme = slurp_file("$top/README.md");
my $node = new_node('main');

# The cells of the table rows below a heading, up to the next of any level
sub table
{
	my ($heading) = @_;
	my ($section) = $readme =~ /^#+ \Q$heading\E\n(.*?)(?=^#)/ms or die "no section $heading";
	my @rows = map { [ map { s/^\s+|\s+$//gr } split /(?<!\\)\|/, s/^\|//r ] } grep { /^\|/ } split /\n/, $section;

	return @rows[ 2 .. $#rows ];
}

sub quoted { return $_[0] =~ /`([^`]+)`/g; }
sub sorted { return [ sort @_ ]; }

# ------------------------------------------------------------------- functions
my %documented;    # name => [arguments, or undef where they are cut short, who]
foreach my $row (table('Functions'))
{
	my ($for, $what) = @$row;

	foreach my $call (quoted($what))
	{
		my ($name, $arguments) = $call =~ /^(\w+)\((.*)\)$/ or next;
		my @names = map { /^(\w+)/ ? $1 : () } split /, /, $arguments;

		$documented{$name} = [ $arguments =~ /…/ ? undef : join(' ', @names), join ' ', sort split /, /, $for ];
	}
}
my %there = map { $_->{proname} => [ $_->{arguments}, $_->{roles} ] } rows($node, 'postgres', q{
	SELECT proname, array_to_string(proargnames[1:pronargs], ' ') AS arguments, roles
	FROM pg_proc AS p, LATERAL (
		SELECT string_agg(replace(a.grantee::regrole::text, 'appuser_connectors_', ''), ' ' ORDER BY a.grantee::regrole::text)
		FROM aclexplode(p.proacl) AS a WHERE a.grantee <> p.proowner) AS r (roles)
	WHERE pronamespace = 'appuser_connectors'::regnamespace});
# for row security, and for a view
delete @there{qw(session_app_user provider_call_stats)};
is_deeply([ sort keys %documented ], [ sort keys %there ], 'every function is in the table, and no other');
foreach my $name (sort keys %there)
{
	is($documented{$name}[0] // $there{$name}[0] // '', $there{$name}[0] // '', "the arguments of $name");
	is($documented{$name}[1], join(' ', sort map { s/_role//r } split / /, $there{$name}[1] =~ s/\buser\b/user/r), "who may call $name");
}
my @relations = map { $_->[1] =~ /`(\w+)` \((?:view|table)\)/ ? $1 : () } table('Functions');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_class WHERE relnamespace = 'appuser_connectors'::regnamespace AND relname = '$_'"), '1', "there is $_")
  foreach @relations;

# -------------------------------------------------------------------- settings
my %level = (sighup => 'reload', user => 'user', superuser => 'superuser');
my %settings = map { my $row = $_; map { $_ => $row->[1] } quoted($row->[0]) } table('Settings');
my %real = map { $_->{name} => $_ } rows($node, 'postgres',
	q{SELECT replace(name, 'appuser_connectors.', '') AS name, context, boot_val, unit FROM pg_settings WHERE name LIKE 'appuser\_connectors.%'});
is_deeply([ sort keys %settings ], [ sort keys %real ], 'every setting is in the table, and no other');
foreach my $name (sort keys %real)
{
	my $context = $level{ $real{$name}{context} };
	my $readable = query($node, 'app_nobody', "SELECT count(*) FROM pg_settings WHERE name = 'appuser_connectors.$name'");

	like($settings{$name}, qr/^$context\b/, "when $name can be changed");
	is($settings{$name} =~ /superuser/ ? 'superuser' : 'all', $readable eq '0' || $context eq 'superuser' ? 'superuser' : 'all', "who sees $name");
	like($settings{$name}, qr/, $real{$name}{boot_val}\b/, "the default of $name") if ($real{$name}{boot_val} // '') =~ /^(?:on|off)$/;
}

# ------------------------------------------------------- errors, events, members
my %states = map { my @cells = @$_; map { $_ => [ quoted($cells[1]) ] } grep { /^UC/ } quoted($cells[0]) } table('Errors');
my $header = slurp_file("$top/src/base/errors.h");
my %defined;
$defined{"UC00$2"} = [ lc $1 ] while $header =~ /ERRCODE_UC_(\w+) MAKE_SQLSTATE\('U', 'C', '0', '0', '(\d)'\)/g;
is_deeply(\%states, \%defined, 'every error is in the table, and no other');

my $source = join '', map { slurp_file($_) } glob "$top/src/*.c $top/src/*/*.c";
my %events = map { $_ => 1 } map { quoted($_->[0]) } table('Events');
my %recorded;
foreach my $call ($source =~ /\b(?:event_record|event_record_once|finish|finish_unsent|disconnect)\(([^;{]*)\);/g)
{
	$recorded{$_} = 1 foreach $call =~ /"([a-z]+(?:_[a-z]+)*)"/g;
}
# reasons, which are details
delete @recorded{qw(invalid_client)};
is_deeply([ sort keys %recorded ], [ sort keys %events ], 'every event is in the table, and no other');

my %members = map { $_ => 1 } map { quoted($_->[0]) } table('Provider definitions');
my (undef, $message) = failure($node, 'app_admin', q{SELECT appuser_connectors.register_provider('x', '{"nonsense": 1}')});
is_deeply([ sort keys %members ], [ sort split /, /, ($message =~ /Known names are: (.*)\./)[0] ], 'every member of a definition is in the table, and no other');
(undef, $message) = failure($node, 'app_admin', q{SELECT appuser_connectors.register_provider('a', '{"authorization_endpoint": "https://a.example", "token_endpoint": "https://a.example"}') \g /dev/null
	SELECT appuser_connectors.register_connector('a', 'b', 'c', NULL, '{https://a.example}', options => '{"nonsense": 1}')});
my ($options) = $readme =~ /^A connector's `options`: (.*?)\n\n/ms;
is_deeply([ sort grep { $options =~ /`\Q$_\E`/ } quoted($options) ], [ sort split /, /, ($message =~ /Known names are: (.*)\./)[0] ], 'every option is named, and no other');

# ---------------------------------------------------------------------- files
my $map = slurp_file("$top/src/README.md");
my @files = map { s{^\Q$top/src/\E}{}r } glob "$top/src/*/*.c";
my %place; # by the folder's heading
foreach my $part ($map =~ /^### (`\w+\/`.*?)(?=^##)/msg)
{
	my ($folder) = $part =~ /^`(\w+)\/`/;
	$place{"$folder/$_"} = 1 foreach $part =~ /`(\w+\.c)`/g;
}
is_deeply([ sort keys %place ], [ sort @files ], 'every source has its place in the map, and no other');

$node->stop;
done_testing();
