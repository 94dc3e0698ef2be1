=pod

=head1 NAME

Pages - the documentation's pages, and their blocks as somebody pastes them

=head1 SYNOPSIS

  use Pages;

  my $session = Pages::Session->new($node, 'mydb', $provider);
  foreach my $block (blocks('docs/functions.md'))
  {
	  next if not_run($block);
	  my ($state, $told) = $session->paste($block);
	  is($state, $block->{raises}, ...);
  }

=head1 DESCRIPTION

A block is what stands between ``` and ```.  Its text is run as it stands on the page, with
what replace() puts in place of providers that a test cannot reach.  A comment before it
says if it is to fail:

  <!-- raises UC005 -->

=cut

package Pages;

use strict;
use warnings;

use Carp;
use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);
use PostgreSQL::Test::Utils ();

our @EXPORT = qw(pages page blocks tables prose not_run replace sources quoted);

my $top = abs_path(dirname(__FILE__) . '/../..');

# What is put in place of what the pages say; nothing else is changed.
sub replace
{
	my ($text, $provider, $application) = @_;
	my $url = $provider->url;
	my @instead = (
		'http://127.0.0.1:7990' => $url,                              # test/demo --keep
		'https://api.github.com/user' => "$url/me",
		$application ? ('http://127.0.0.1:8000' => $application) : ());

	while (my ($there, $here) = splice @instead, 0, 2)
	{
		$text =~ s/\Q$there\E/$here/g;
	}
	return $text;
}

# Blocks that are for a program, and yet are not run: page, how the block begins, why.
my @not_run = (
	[ 'README.md', 'test/demo ', 'a demonstration and all tests, which run this one' ],
	[ 'README.md', 'sudo apt-get install', 'changes the machine; test/check builds and installs by the same make' ],
	[ 'README.md', 'test/demo --keep', 'builds everything once more; the tests start the same cluster and provider' ],
	[ 'docs/getting-started.md', 'test/demo --keep', 'as in the README' ],
	[ 'docs/getting-started.md', 'npm install pg', 'downloads; the package is among the tests\' own' ],
	[ 'docs/getting-started.md', 'sudo apt-get install', 'changes the machine; test/check installs the package' ],
	[ 'docs/development.md', 'test/demo --keep', 'as in the README' ],
	[ 'docs/benchmarks.md', 'test/bench/run', 'takes minutes' ],
	[ 'CONTRIBUTING.md', 'make ', 'builds and formats the tree that is being tested' ],
	[ 'CONTRIBUTING.md', 'test/check', 'the tests, which run this one' ]);

sub not_run
{
	my ($block) = @_;
	my ($entry) = grep { $_->[0] eq $block->{page} && index($block->{text}, $_->[1]) == 0 } @not_run;

	return $entry && $entry->[2];
}

# All pages, the first one first
sub pages
{
	return ('README.md', (map { s{^\Q$top\E/}{}r } sort glob "$top/docs/*.md"), 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md');
}

sub page
{
	my ($name) = @_;

	return PostgreSQL::Test::Utils::slurp_file("$top/$name");
}

# The source of the extension, joined; its files' names end in what is given.
sub sources
{
	my ($ending) = @_;

	return join '', map { PostgreSQL::Test::Utils::slurp_file($_) } glob("$top/src/*$ending"), glob("$top/src/*/*$ending");
}

# Hashes of page, line, language, text, raises
sub blocks
{
	my ($name) = @_;
	my (@blocks, $block, $raises, $indent);
	my $line = 0;

	foreach my $text (split /\n/, page($name))
	{
		$line++;
		if ($block)
		{
			if ($text =~ /^\s*```$/)
			{
				push @blocks, $block;
				undef $block;
				next;
			}
			$text =~ s/^$indent//;
			$block->{text} .= "$text\n";
		}
		elsif ($text =~ /^(\s*)```(\w*)/)
		{
			$indent = $1;
			$block = { page => $name, line => $line + 1, language => $2, text => '', raises => $raises };
			undef $raises;
		}
		elsif ($text =~ /^<!-- raises (\w{5}) -->$/)
		{
			$raises = $1;
		}
	}
	croak "$name: a block does not end" if $block;
	return @blocks;
}

# A page without its blocks
sub prose
{
	my ($name) = @_;

	return page($name) =~ s/^\s*```.*?^\s*```$//msgr;
}

# Every table, as an array of rows without the head, each an array of cells; of all pages,
# or of those given.
sub tables
{
	my (@names) = @_;
	my @tables;

	foreach my $name (@names ? @names : pages())
	{
		foreach my $table (prose($name) =~ /((?:^\|.*\n)+)/mg)
		{
			my @rows = map { [ map { s/^\s+|\s+$//gr } split /(?<!\\)\|/, s/^\|(.*)\|$/$1/r, -1 ] } split /\n/, $table;

			push @tables, { page => $name, head => $rows[0], rows => [ @rows[ 2 .. $#rows ] ] };
		}
	}
	return @tables;
}

sub quoted { return $_[0] =~ /`([^`]+)`/g; }

package Pages::Session;

use strict;
use warnings;

use Carp;
use IPC::Run ();
use PostgreSQL::Test::Utils ();

=pod

=head2 Pages::Session->new($node, $database, $provider, environment => {}, without_iss => 1)

A psql of a superuser, as the pages want it, into which blocks are pasted.  Where a block asks by
\prompt, the answer is where the browser ends that goes to the URL printed last.

=over

=item paste($block)

(SQLSTATE of the first error or undef, what was printed, what was complained of).

=cut

sub new
{
	my ($class, $node, $database, $provider, %options) = @_;
	my $self = bless { in => '', out => '', err => '', pasted => 0, provider => $provider, without_iss => $options{without_iss} }, $class;

	local @ENV{qw(PGHOST PGPORT PGDATABASE PGUSER)} = ($node->host, $node->port, $database, 'postgres');
	local @ENV{ keys %{ $options{environment} // {} } } = values %{ $options{environment} // {} };
	$self->{timer} = IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default);
	$self->{run} = IPC::Run::start([ 'psql', '-X', '-v', 'VERBOSITY=verbose', '-f', '-' ],
		'<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err}, $self->{timer});
	return $self;
}

sub paste
{
	my ($self, $block) = @_;
	my $mark = 'pasted ' . ++$self->{pasted};
	my $text = Pages::replace($block->{text}, $self->{provider});

	$self->{timer}->start($PostgreSQL::Test::Utils::timeout_default);
	$text .= $self->_browser . "\n" if $text =~ /^\\prompt /m;
	$self->{in} .= "$text\\echo $mark\n\\warn $mark\n";
	$self->{run}->pump until $self->{out} =~ /\Q$mark\E$/m && $self->{err} =~ /\Q$mark\E$/m;
	my ($out, $err) = @$self{qw(out err)};
	@$self{qw(out err)} = ('', '');
	$out =~ s/\Q$mark\E\n//;
	$err =~ s/^.*\Q$mark\E\n//m;
	($self->{url}) = $out =~ /^(https?:\S+)$/m if $out =~ /^https?:\S+$/m;
	my ($state) = $err =~ /(?:ERROR|FATAL):\s+([0-9A-Z]{5}):/;
	$state //= 'psql' if $err =~ /^psql:\S+ (?!NOTICE|WARNING|INFO|LOCATION|DETAIL|HINT)/m;
	return ($state, $out, $err);
}

# Where the browser ends; GitHub, unlike the tests' provider, does not say who it is.
sub _browser
{
	my ($self) = @_;
	my ($address, $err);

	IPC::Run::run([ 'node', "$top/test/provider/login.mjs", $self->{url}, 'alice' ], '>', \$address, '2>', \$err)
	  or croak "login.mjs: $err";
	chomp $address;
	$address =~ s/&iss=[^&]*// if $self->{without_iss};
	return $address;
}

sub close
{
	my ($self) = @_;

	$self->{run}->finish;
	return;
}

1;
