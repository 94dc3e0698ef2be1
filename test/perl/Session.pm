=pod

=head1 NAME

Session - psql sessions that work at the same time

=head1 SYNOPSIS

  my $session = Session->new($node, 'app_service');
  $session->send('SELECT pg_sleep(1)');
  ... something else meanwhile ...
  my $answer = $session->answer;    # {out => ..., err => ..., dead => ..., state => SQLSTATE or undef}

=head1 DESCRIPTION

send() returns at once; answer() waits until psql has done all that was sent, or
has ended because its connection did.  done() looks without waiting.

=cut

package Session;

use strict;
use warnings;

use Carp;
use IO::Select;
use IPC::Open3;
use PostgreSQL::Test::Utils ();
use Symbol 'gensym';
use Time::HiRes qw(time usleep);

=pod

=head2 Methods

=over

=item Session->new($node, $role, database => ..., settings => {...})

=item pid()

The process id of its backend; the first time, while nothing else is under way.

=item send($sql)

=item done()

=item answer($seconds)

=item ask($sql)

send() and answer(); dies unless psql was content.

=item close(rudely => 1)

Ends psql; the backend sees the client go away, in the middle of a statement if
rudely.

=back

=cut

sub new
{
	my ($class, $node, $role, %options) = @_;
	my %settings = %{ $options{settings} // {} };
	my $self = bless { serial => 0, role => $role, out => '', err => '' }, $class;

	local $ENV{PGOPTIONS} = join ' ', map { "-c $_=$settings{$_}" } sort keys %settings;
	$self->{stderr} = gensym;
	$self->{process} = open3($self->{stdin}, $self->{stdout}, $self->{stderr}, 'psql', '-XAtq', '-v', 'VERBOSITY=verbose',
		'-d', $node->connstr($options{database} // 'postgres'), '-U', $role);
	$self->{stdin}->autoflush(1);
	return $self;
}

sub pid { return $_[0]->{backend} //= $_[0]->ask('SELECT pg_backend_pid()'); }

sub send
{
	my ($self, $sql) = @_;
	my $marker = 'done ' . ++$self->{serial};
	local $SIG{PIPE} = 'IGNORE';

	@$self{qw(out err)} = ('', '');
	$self->{marker} = $marker;
	print { $self->{stdin} } "$sql;\n\\echo '$marker'\n\\warn '$marker'\n" or $self->{dead} = 1;
	return;
}

sub _read
{
	my ($self, $seconds) = @_;

	foreach my $ready (IO::Select->new($self->{stdout}, $self->{stderr})->can_read($seconds))
	{
		my $to = $ready == $self->{stdout} ? 'out' : 'err';
		sysread($ready, $self->{$to}, 65536, length $self->{$to}) or $self->{dead} = 1;
	}
	return;
}

sub done
{
	my ($self, $seconds) = @_;
	my $marker = qr/^\Q$self->{marker}\E\n/m;
	my $done = sub { $self->{dead} || ($self->{out} =~ $marker && $self->{err} =~ $marker) };

	$self->_read($seconds // 0) unless $done->();
	return $done->();
}

sub answer
{
	my ($self, $seconds) = @_;
	my $deadline = time() + ($seconds // $PostgreSQL::Test::Utils::timeout_default);

	until ($self->done(0.2))
	{
		croak "$self->{role}: no answer in time: $self->{out}$self->{err}" if time() > $deadline;
	}
	my %answer = (dead => $self->{dead}, map { $_ => $self->{$_} } qw(out err));
	s/^\Q$self->{marker}\E\n//m foreach @answer{qw(out err)};
	chomp $answer{out};
	($answer{state}) = $answer{err} =~ /(?:ERROR|FATAL):\s+([0-9A-Z]{5}):/;
	return \%answer;
}

sub ask
{
	my ($self, $sql) = @_;

	$self->send($sql);
	my $answer = $self->answer;
	croak "$self->{role}: $sql\nfailed: $answer->{err}" if $answer->{dead} || $answer->{err} ne '';
	return $answer->{out};
}

sub close
{
	my ($self, %options) = @_;
	my $process = delete $self->{process} or return;

	kill 'KILL', $process if $options{rudely};
	CORE::close($self->{$_}) foreach qw(stdin stdout stderr);
	local $?;
	for (1 .. 100)
	{
		last if waitpid($process, 1) != 0;
		kill 'KILL', $process if $_ == 60;
		usleep(20_000);
	}
	return;
}

sub DESTROY { $_[0]->close; return; }

1;
