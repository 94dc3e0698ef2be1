# What the documentation lists is what there is: functions with the names of their arguments
# and who may call them, settings, errors, failures, events, and members of a provider's
# definition; none is missing, none is made up, and each is in one table only.  The
# sources are those in their map, tests of threats are there, and links lead somewhere.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use Pages;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $node = new_node('main');

# The rows of the one table with that head on that page
sub table
{
	my ($page, $head) = @_;
	my @found = grep { $_->{head}[0] eq $head } tables($page);

	is(scalar @found, 1, "$page has one table of $head");
	return @{ $found[0]{rows} };
}

sub sorted { return [ sort @_ ]; }

# The tables that something is looked up in, by their heads
my %reference = map { $_ => 1 } ('for', 'setting', 'SQLSTATE', '`failure`', '`status`', 'event', 'name', 'option');

# Names are listed in a table when they alone are what its first cell, or for functions
# its second, is made of.  A setting may have the name of a member, and so on.
sub in_one_table
{
	my ($head, $column, @names) = @_;
	my %known = map { $_ => [] } @names;

	foreach my $table (grep { !$reference{ $_->{head}[0] } || $_->{head}[0] eq $head } tables())
	{
		my %listed = map { $_ => 1 } map { my $cell = $_->[$column] // ''; $cell =~ /^(?:`[^`]*`,? ?)+(?:\((?:view|table)\))?$/ ? quoted($cell) : () } @{ $table->{rows} };

		push @{ $known{ $_ =~ s/\(.*//r } }, $table->{page} foreach grep { $known{ $_ =~ s/\(.*//r } } keys %listed;
	}
	foreach my $name (@names)
	{
		is(scalar @{ $known{$name} }, 1, "$name is in one table ($head)") or diag("it is in: @{ $known{$name} }");
	}
}

# ------------------------------------------------------------------- functions
my @functions = table('docs/functions.md', 'for');
my %documented;    # name => [arguments, or undef where they are cut short, who]
foreach my $row (@functions)
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
	SELECT proname, array_to_string(proargnames[1:pronargs], ' ') AS arguments, COALESCE(roles, 'superuser') AS roles
	FROM pg_proc AS p, LATERAL (
		SELECT string_agg(replace(a.grantee::regrole::text, 'appuser_connectors_', ''), ' ' ORDER BY a.grantee::regrole::text)
		FROM aclexplode(p.proacl) AS a WHERE a.grantee <> p.proowner) AS r (roles)
	WHERE pronamespace = 'appuser_connectors'::regnamespace AND prorettype <> 'trigger'::regtype});
# for row security, and for a view
delete @there{qw(session_app_user provider_call_stats)};
is_deeply([ sort keys %documented ], [ sort keys %there ], 'every function is in the table, and no other');
foreach my $name (sort keys %there)
{
	is($documented{$name}[0] // $there{$name}[0] // '', $there{$name}[0] // '', "the arguments of $name");
	is($documented{$name}[1], join(' ', sort map { s/_role//r } split / /, $there{$name}[1] =~ s/\buser\b/user/r), "who may call $name");
}
my @relations = map { $_->[1] =~ /`(\w+)` \((?:view|table)\)/ ? $1 : () } @functions;
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_class WHERE relnamespace = 'appuser_connectors'::regnamespace AND relname = '$_'"), '1', "there is $_")
  foreach @relations;

in_one_table('for', 1, sort(keys %there), @relations);

# -------------------------------------------------------------------- settings
my %level = (sighup => 'reload', user => 'user', superuser => 'superuser');
my %settings = map { my $row = $_; map { $_ => $row->[1] } quoted($row->[0]) } table('docs/settings.md', 'setting');
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

in_one_table('setting', 0, sort keys %real);

# ------------------------------------------------------- errors, events, members
my %states = map { my @cells = @$_; map { $_ => [ quoted($cells[1]) ] } grep { /^UC/ } quoted($cells[0]) } table('docs/errors.md', 'SQLSTATE');
my $header = sources('errors.h');
my %defined;
$defined{"UC00$2"} = [ lc $1 ] while $header =~ /ERRCODE_UC_(\w+) MAKE_SQLSTATE\('U', 'C', '0', '0', '(\d)'\)/g;
is_deeply(\%states, \%defined, 'every error is in the table, and no other');
in_one_table('SQLSTATE', 0, sort keys %defined);

my $source = sources('.c');
my %failures = map { $_ => 1 } map { $_->[0] =~ /^(`\w+`)$/ ? quoted($1) : () } table('docs/errors.md', '`failure`');
my %failed = map { $_ => 1 } $source =~ /\b(?:exchange_)?(?:fail|fail_at_once|end_flow)\(flight,\s*"(\w+)"/g,
  map { /"(\w+)"/g } $source =~ /details->failure =([^;]*);/g;
is_deeply([ sort keys %failures ], [ sort keys %failed ], 'every failure is in the table, and no other');
in_one_table('`failure`', 0, sort keys %failed);

my %events = map { $_ => 1 } map { quoted($_->[0]) } table('docs/operations.md', 'event');
my %recorded;
foreach my $call ($source =~ /\b(?:event_record|event_record_once|finish|finish_unsent|disconnect)\(([^;{]*)\);/g)
{
	$recorded{$_} = 1 foreach $call =~ /"([a-z]+(?:_[a-z]+)*)"/g;
}
# reasons, which are details
delete @recorded{qw(invalid_client)};
is_deeply([ sort keys %recorded ], [ sort keys %events ], 'every event is in the table, and no other');

my %members = map { $_ => 1 } map { quoted($_->[0]) } table('docs/providers.md', 'name');
my (undef, $message) = failure($node, 'app_admin', q{SELECT appuser_connectors.register_provider('x', '{"nonsense": 1}')});
is_deeply([ sort keys %members ], [ sort split /, /, ($message =~ /Known names are: (.*)\./)[0] ], 'every member of a definition is in the table, and no other');
(undef, $message) = failure($node, 'app_admin', q{SELECT appuser_connectors.register_provider('a', '{"authorization_endpoint": "https://a.example", "token_endpoint": "https://a.example"}') \g /dev/null
	SELECT appuser_connectors.register_connector('a', 'b', 'c', NULL, '{https://a.example}', options => '{"nonsense": 1}')});
my %options = map { $_ => 1 } map { quoted($_->[0]) } table('docs/providers.md', 'option');
is_deeply([ sort keys %options ], [ sort split /, /, ($message =~ /Known names are: (.*)\./)[0] ], 'every option is in the table, and no other');
in_one_table('event', 0, sort keys %events);
in_one_table('name', 0, sort keys %members);
in_one_table('option', 0, sort keys %options);

# ---------------------------------------------------------------- tests of threats
foreach my $row (table('docs/security.md', 'threat'))
{
	my @files = quoted($row->[2]);

	ok(@files > 0, "tested: $row->[0]");
	foreach my $file (@files)
	{
		ok(scalar(grep { -e "$top/test/$_/$file" } qw(t sql specs unit)), "there is $file");
	}
}

# ------------------------------------------------------------------------- tables
foreach my $table (tables())
{
	my @odd = grep { @$_ != @{ $table->{head} } } @{ $table->{rows} };

	is(scalar @odd, 0, "$table->{page}: every row of the table of $table->{head}[0] has its cells") or diag(join ' | ', @{ $odd[0] });
}

# --------------------------------------------------------- the map of the sources
my @files = map { s{^\Q$top/src/\E}{}r } glob "$top/src/*/*.c";
my %place;    # by the folder's heading
foreach my $part (page('src/README.md') =~ /^### (`\w+\/`.*?)(?=^##)/msg)
{
	my ($folder) = $part =~ /^`(\w+)\/`/;
	$place{"$folder/$_"} = 1 foreach $part =~ /`(\w+\.c)`/g;
}
is_deeply([ sort keys %place ], [ sort @files ], 'every source has its place in the map, and no other');

# ------------------------------------------------- links, and tables of contents
# As GitHub makes anchors of headings
sub anchors
{
	my ($page) = @_;

	return map { my $title = lc; $title =~ s/[^\w\- ]//g; $title =~ s/ /-/gr } prose($page) =~ /^#+ (.*)$/mg;
}

foreach my $page (pages())
{
	my ($folder) = $page =~ m{^(.*/)?};

	foreach my $link (prose($page) =~ /\]\(([^)\s]+)\)/g)
	{
		next if $link =~ /^https:/;
		my ($path, $anchor) = $link =~ /^([^#]*)(?:#(.*))?$/;
		my $target = $path eq '' ? $page : ($folder // '') . $path;
		$target =~ s{[^/]+/\.\./}{};

		ok(-e "$top/$target", "$page: $link leads to a file");
		ok(scalar(grep { $_ eq $anchor } anchors($target)), "$page: $link leads to a heading") if defined $anchor && -e "$top/$target";
	}
	next if $page !~ /^docs/;

	my ($contents) = prose($page) =~ /\A# [^\n]*\n\n((?:- \[.*\n)+)/ or fail("$page has a table of contents") or next;
	is_deeply([ $contents =~ /^- \[(.*)\]\(/mg ], [ prose($page) =~ /^## (.*)$/mg ], "$page: the table of contents is complete");
	like(page('README.md'), qr/\]\(\Q$page\E\)/, "the README leads to $page");
}

$node->stop;
done_testing();
