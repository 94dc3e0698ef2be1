package PatternSample;

=pod

=head1 NAME

PatternSample - a text that a pattern of a field matches

=head1 DESCRIPTION

C<sample($pattern)> makes one from the pattern itself, for tests that have hundreds of them: of
alternatives it takes the first, of a class its first letter or digit, of what may be left out
nothing. Dies where the pattern does not match what comes out.

=cut

use strict;
use warnings;

use Carp;
use Exporter 'import';

our @EXPORT_OK = qw(sample);

sub sample
{
	my ($pattern) = @_;
	my $text = $pattern =~ s/^\^//r =~ s/\$\z//r;
	my $made = _alternatives(\$text);

	croak "no sample of $pattern: $made" if $text ne '' || $made !~ /\A(?:$pattern)\z/;
	return $made;
}

sub _alternatives
{
	my ($rest) = @_;
	my $first = _sequence($rest);

	_sequence($rest) while $$rest =~ s/^\|//;
	return $first;
}

sub _sequence
{
	my ($rest) = @_;
	my $made = '';

	while ($$rest =~ /^[^|)]/)
	{
		my $atom = _atom($rest);
		my $times = $$rest =~ s/^\?// || $$rest =~ s/^\*// ? 0 : $$rest =~ s/^\{(\d+)(?:,\d*)?\}// ? $1 : $$rest =~ s/^\+// ? 1 : 1;

		$made .= $atom x $times;
	}
	return $made;
}

sub _atom
{
	my ($rest) = @_;

	if ($$rest =~ s/^\((?:\?:)?//)
	{
		my $made = _alternatives($rest);
		$$rest =~ s/^\)// or croak "a group without an end";
		return $made;
	}
	if ($$rest =~ s/^\[((?:\\.|[^\]\\])+)\]//)
	{
		my ($class) = $1;
		return $class =~ /([a-z])-/ || $class =~ /([A-Za-z0-9])/ ? $1 : substr $class, 0, 1;
	}
	return $1 eq 'd' ? '1' : $1 if $$rest =~ s/^\\(.)//;
	return $$rest =~ s/^[\^\$]// ? '' : $$rest =~ s/^(.)//s ? $1 : croak 'nothing left';
}

1;
