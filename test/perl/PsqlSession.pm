=pod

=head1 NAME

PsqlSession - a psql that stays connected, for what sessions do at the same time

=head1 SYNOPSIS

  my $session = PsqlSession->new($node, 'app_service', settings => { statement_timeout => '1s' });
  $session->ask('BEGIN');                   # waits, and returns what psql printed
  $session->send('SELECT something()');     # does not wait
  my $out = $session->result;               # of what was sent; dies when it failed
  my ($state, $told) = $session->failure;   # or the SQLSTATE that it failed with
  $session->pid;                            # of the backend
  $session->close;

Without a role it is the superuser's.  (PostgreSQL::Test::BackgroundPsql is not in the first
minor versions of 15, and its answers differ between minor versions.)

=cut

package PsqlSession;

use strict;
use warnings;

use Carp;
use IPC::Run ();
use PostgreSQL::Test::Utils ();

sub new
{
	my ($class, $node, $role, %options) = @_;
	my %settings = %{ $options{settings} // {} };

	$role //= $ENV{PGUSER} // getpwuid($<);
	my $self = bless { in => '', out => '', err => '', sent => 0 }, $class;

	local $ENV{PGOPTIONS} = join ' ', map { "-c $_=$settings{$_}" } sort keys %settings;
	$self->{timer} = IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default);
	$self->{run} = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-U', $role, '-d', $node->connstr($options{database} // 'postgres') ],
		'<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err}, $self->{timer});
	$self->send('SELECT pg_backend_pid()') if !$options{later};
	$self->{pid} = $self->result if !$options{later};
	return $self;
}

sub pid { return $_[0]->{pid}; }

sub send
{
	my ($self, $sql) = @_;
	my $mark = 'done ' . ++$self->{sent};

	$self->{timer}->start($PostgreSQL::Test::Utils::timeout_default);
	$self->{in} .= "$sql\n;\\echo $mark\n\\warn $mark\n";
	# What is sent must reach psql before the caller goes on to something else.
	$self->{run}->pump_nb while length $self->{in} && $self->{run}->pumpable;
	return $self;
}

# Waits until what was sent has ended, or the connection has.
sub _finish
{
	my ($self) = @_;
	my $mark = qr/^done $self->{sent}\n/m;

	$self->{run}->pump
	  while ($self->{out} !~ $mark || $self->{err} !~ $mark) && $self->{run}->pumpable;
	my ($out, $err) = @$self{qw(out err)};
	s/^done \d+\n//mg foreach $out, $err;
	chomp $out;
	$self->{$_} = '' foreach qw(out err);
	return ($out, $err);
}

sub result
{
	my ($self) = @_;
	my ($out, $err) = $self->_finish;

	croak $err if $err =~ /(?:ERROR|FATAL|error):/;
	return $out;
}

sub failure
{
	my ($self) = @_;
	my (undef, $err) = $self->_finish;
	my ($state) = $err =~ /(?:ERROR|FATAL):\s+([0-9A-Z]{5}):/;

	return wantarray ? ($state // 'none', $err) : $state // 'none';
}

sub ask
{
	my ($self, $sql) = @_;

	return $self->send($sql)->result;
}

sub close
{
	my ($self) = @_;

	$self->{in} .= "\\q\n";
	eval { $self->{run}->finish; 1 } or $self->{run}->kill_kill;
	return;
}

1;
