# The root key comes from a file or a command, read by the launcher alone.  Whatever
# is wrong with it is told as UC008 with a hint that says what to do; a reload that
# fails keeps the key that worked; another key opens nothing, and harms nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use AppuserConnectors;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my $provider = start_provider();
my $node = new_node('main', "appuser_connectors.root_key_command = ''");
my $directory = PostgreSQL::Test::Utils::tempdir('keys');
my $data = $node->data_dir;
my $file_setting = 'appuser_connectors.root_key_file';
my $command_setting = 'appuser_connectors.root_key_command';
my ($key_file) = slurp_file("$data/postgresql.conf") =~ /^\Q$file_setting\E = '([^']+)'/m;
my $key = slurp_file($key_file);

sub write_file
{
	my ($path, $content, $mode) = @_;

	unlink $path;
	open my $file, '>', $path or die "$path: $!";
	chmod $mode // 0600, $path;
	print $file $content;
	close $file or die "$path: $!";
	return $path;
}

sub configure
{
	my (%settings) = @_;

	$node->adjust_conf('postgresql.conf', $_, $settings{$_} // "''") foreach $file_setting, $command_setting;
	return;
}

# What the server says when it starts so.
sub start_with
{
	configure(@_);
	$node->restart;
	return failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('alice', 'app')");
}

# Reloads, and waits until the launcher has complained of the new key.
sub reload_in_vain
{
	my ($expected) = @_;
	my $offset = -s $node->logfile;

	$node->reload;
	wait_until('the launcher has tried', sub { slurp_file($node->logfile, $offset) =~ /has no new root key: $expected/ });
	return;
}

register($node, $provider, connector_id => 'app');
is(connect_user($node, 'alice', 'app')->{failure}, undef, 'with a key from a file alice connects');
my $token = access_token($node, 'alice', 'app');

# --------------------------------------------------------- whatever is wrong with it
my $inside = write_file("$data/root.key", $key);
my $link = "$directory/link.key";
symlink $inside, $link or die $!;
mkdir "$directory/closed" or die $!;
write_file("$directory/closed/root.key", $key);
chmod 0, "$directory/closed";

foreach my $case (
	[ 'neither setting', {}, qr/neither .* is set/, qr/Set $file_setting.*openssl rand -hex 32.*$command_setting/ ],
	[ 'both settings', { $file_setting => "'$key_file'", $command_setting => "'cat $key_file'" }, qr/both/, qr/not both, and reload/ ],
	[ 'a file that is missing', { $file_setting => "'$directory/missing'" }, qr/No such file/, qr/openssl rand -hex 32.*correct $file_setting/ ],
	[ 'a relative path', { $file_setting => "'root.key'" }, qr/not an absolute path/, qr/absolute path/ ],
	[ 'a directory', { $file_setting => "'$directory'" }, qr/not a regular file/, qr/to a regular file/ ],
	[ 'a file in a closed directory', { $file_setting => "'$directory/closed/root.key'" }, qr/Permission denied/, qr/reload/ ],
	[ 'an unreadable file', { $file_setting => q(') . write_file("$directory/unreadable", $key, 0000) . q(') }, qr/could not be read: Permission denied/, qr/chown or chmod/ ],
	[ 'a file that others can read', { $file_setting => q(') . write_file("$directory/open", $key, 0644) . q(') }, qr/more open than 0640/, qr/chmod 0600/ ],
	[ 'a file that the group can write', { $file_setting => q(') . write_file("$directory/group", $key, 0660) . q(') }, qr/more open than 0640/, qr/chmod 0600/ ],
	[ 'a file in the data directory', { $file_setting => "'$inside'" }, qr/inside the data directory/, qr/Move the file/ ],
	[ 'a link into the data directory', { $file_setting => "'$link'" }, qr/inside the data directory/, qr/Move the file/ ],
	[ 'a way around into the data directory', { $file_setting => "'$directory/../" . ($directory =~ s{.*/}{}r) . "/link.key'" }, qr/inside the data directory/, qr/Move the file/ ],
	[ 'an empty file', { $file_setting => q(') . write_file("$directory/empty", '') . q(') }, qr/not 64 hexadecimal/, qr/openssl rand -hex 32/ ],
	[ 'a key that is too short', { $file_setting => q(') . write_file("$directory/short", substr $key, 1) . q(') }, qr/not 64 hexadecimal/, qr/openssl rand -hex 32/ ],
	[ 'a key that is too long', { $file_setting => q(') . write_file("$directory/long", "0$key") . q(') }, qr/not 64 hexadecimal/, qr/openssl rand -hex 32/ ],
	[ 'a key and more', { $file_setting => q(') . write_file("$directory/more", "$key$key") . q(') }, qr/not 64 hexadecimal/, qr/openssl rand -hex 32/ ],
	[ 'a key with other letters', { $file_setting => q(') . write_file("$directory/letters", 'g' . substr $key, 1) . q(') }, qr/not 64 hexadecimal/, qr/openssl rand -hex 32/ ],
	[ 'a command that fails', { $command_setting => "'cat $key_file; exit 3'" }, qr/failed with exit status 3/, qr/Run the command/ ],
	[ 'a command that is not there', { $command_setting => "'$directory/missing'" }, qr/failed with exit status 127/, qr/Run the command/ ],
	[ 'a command that prints nothing', { $command_setting => "'true'" }, qr/not 64 hexadecimal/, qr/openssl rand -hex 32/ ])
{
	my ($what, $settings, $detail, $hint) = @$case;
	my ($state, $message) = start_with(%$settings);

	is($state, 'UC008', "$what: UC008");
	like($message, qr/DETAIL:\s.*$detail/, "$what: the detail says what is wrong");
	like($message, qr/HINT:\s.*$hint/, "$what: the hint says what to do");
	unlike($message, qr/\Q$directory\E|\Q$data\E/, "$what: the caller does not learn where keys are");
}
chmod 0700, "$directory/closed";

# The last of them is in force.
{
	my $url;
	my @asked = (
		[ 'app_service', "SELECT appuser_connectors.connect_app_user('app')", app_user => 'alice' ],
		[ 'app_service', "SELECT * FROM appuser_connectors.oauth_callback('" . 'AQH' . 'A' x 200 . "', 'code')", app_user => 'alice' ],
		[ 'app_service', "SELECT appuser_connectors.disconnect_app_user('app')", app_user => 'alice' ],
		[ 'app_admin', "SELECT appuser_connectors.register_connector('test', 'new', 'secret', ARRAY['read'], ARRAY['https://app.example/cb'], 'new')" ],
		[ 'app_admin', "SELECT appuser_connectors.update_connector('app', client_secret => 'changed')" ]);

	foreach my $case (@asked)
	{
		my ($role, $sql, @options) = @$case;
		my ($function) = $sql =~ /appuser_connectors\.(\w+)/;
		my ($state, $message) = failure($node, $role, $sql, @options);

		next if $function eq 'oauth_callback' && $state eq 'UC005';    # a state that names no key of ours
		is($state, 'UC008', "without a key $function raises UC008");
		like($message, qr/HINT:.*reload/, 'with a hint');
	}
	is(query($node, 'app_service', "SELECT status FROM appuser_connectors.app_user_connections()", app_user => 'alice'), 'connected',
		'what needs no key works without one, and alice is still connected');
}

# --------------------------------------------------------------- corrected by reload
foreach my $settings (
	{ $file_setting => "'$key_file'" },
	{ $file_setting => "'" . write_file("$directory/upper", uc($key =~ s/\n//r), 0640) . "'" },
	{ $file_setting => "'" . write_file("$directory/crlf", $key =~ s/\n/\r\n/r, 0400) . "'" },
	{ $command_setting => "'cat $key_file'" })
{
	my ($state) = start_with();
	is($state, 'UC008', 'without a key there is no token');
	configure(%$settings);
	$node->reload;
	wait_until('the key is read', sub { !failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('alice', 'app')") });
	is(access_token($node, 'alice', 'app'), $token, 'a reload is enough to have it again: ' . join ', ', values %$settings);
	my $other = access_token($node, 'alice', 'app', rejected_token => $token);
	isnt($other, $token, 'the worker has the key as well');
	$token = $other;
}

# ----------------------------------------------------- who runs the command, and when
my $record = "$directory/runs";
my $script = write_file("$directory/command", <<"END", 0700);
#!/bin/sh
p=\$\$
while ! tr '\\0' ' ' </proc/\$p/cmdline | grep -q '^postgres'; do p=\$(awk '{print \$4}' /proc/\$p/stat); done
tr '\\0' ' ' </proc/\$p/cmdline >>$record
echo >>$record
cat $key_file
END
my ($state) = start_with($command_setting => "'$script'");
is($state, undef, 'a key by command serves');
access_token($node, 'alice', 'app') foreach 1 .. 3;
$token = access_token($node, 'alice', 'app', rejected_token => $token);
is(connect_user($node, 'bob', 'app')->{failure}, undef, 'and bob connects');
my @runs = split /\n/, slurp_file($record);
is(scalar(@runs), 1, 'the command was run once: neither sessions nor the worker run it');
like($runs[0], qr/^postgres: .*appuser_connectors launcher/, 'by the launcher');
$node->reload;
wait_until('the command is run at a reload', sub { split(/\n/, slurp_file($record)) == 2 });
pass('it is run again at a reload');

# -------------------------------------------------- a reload that fails keeps the old
foreach my $case (
	[ { $file_setting => "'$directory/missing'" }, 'root_key_file could not be found' ],
	[ { $file_setting => "'$directory/open'" }, 'root_key_file is more open' ],
	[ { $file_setting => "'$directory/short'" }, 'the root key is not 64' ],
	[ { $file_setting => "'$key_file'", $command_setting => "'$script'" }, 'both' ],
	[ {}, 'neither' ],
	[ { $command_setting => "'false'" }, 'root_key_command failed' ])
{
	my ($settings, $expected) = @$case;

	configure(%$settings);
	reload_in_vain($expected);
	is(access_token($node, 'alice', 'app'), $token, "$expected: a reload with a bad key keeps the old one");
}
my $after = access_token($node, 'alice', 'app', rejected_token => $token);
isnt($after, $token, 'for the worker too');
$token = $after;

# A command that does not come to an end is in nobody's way: every process must
# notice that a database is dropped.
configure($command_setting => "'touch $directory/started; sleep 100; cat $key_file'");
$node->reload;
wait_until('the command runs', sub { -e "$directory/started" });
$node->safe_psql('postgres', 'CREATE DATABASE passing');
is($node->psql('postgres', "SET statement_timeout = '20s'; DROP DATABASE passing"), 0, 'while the command runs, a database can be dropped');
is(access_token($node, 'alice', 'app'), $token, 'and the old key is used');
my $began = time;
$node->stop('fast');
cmp_ok(time - $began, '<', 20, 'and the server stopped');
configure($file_setting => "'$key_file'");
$node->start;

# -------------------------------------------------------------------- another root key
my $other_key = '0f' x 32;
write_file("$directory/other", $other_key);
my @cannot = start_with($file_setting => "'$directory/other'");
is($cannot[0], 'UC008', 'another root key opens nothing');
like($cannot[1], qr/DETAIL:.*another root key/, 'and that is said');
like($cannot[1], qr/HINT:.*$file_setting.*reload/, 'with a hint');
foreach my $case (
	[ 'app_service', "SELECT appuser_connectors.connect_app_user('app')", app_user => 'alice' ],
	[ 'app_service', "SELECT appuser_connectors.disconnect_app_user('app')", app_user => 'alice' ],
	[ 'app_admin', "SELECT appuser_connectors.update_connector('app', client_secret => 'changed')" ],
	[ 'app_admin', "SELECT appuser_connectors.register_connector('test', 'new', 'secret', ARRAY['read'], ARRAY['https://app.example/cb'], 'new')" ])
{
	my ($role, $sql, @options) = @$case;
	my ($function) = $sql =~ /appuser_connectors\.(\w+)/;

	is((failure($node, $role, $sql, @options))[0], 'UC008', "and $function seals nothing under it");
}
is($node->safe_psql('postgres', "SELECT count(*), count(*) FILTER (WHERE status = 'connected') FROM appuser_connectors.connections"), '2|2',
	'no connection is changed by that');
is($node->safe_psql('postgres', 'SELECT count(*) FROM appuser_connectors.encryption_keys'), 1, 'and no data key is added');

# The worker meets connections that are due and that it cannot open.
$node->safe_psql('postgres', 'UPDATE appuser_connectors.connections SET refresh_at = now()');
my $count = $provider->refreshes;
my ($refusal, $why) = failure($node, 'app_service', "SELECT * FROM appuser_connectors.oauth_callback('x', 'y')", app_user => 'alice');
is($refusal, 'UC005', 'a state that nobody made is refused as ever');

configure($file_setting => "'$key_file'");
$node->reload;
wait_until('the key is back', sub { !failure($node, 'app_service', "SELECT * FROM appuser_connectors.app_user_connection('alice', 'app')") });
ok(access_token($node, 'alice', 'app'), 'with the root key restored everything opens again, by a reload');
wait_until('what was due is refreshed', sub { $provider->refreshes >= $count + 2 });
is($node->safe_psql('postgres', "SELECT count(*) FROM appuser_connectors.connections WHERE status <> 'connected'"), 0,
	'what was due meanwhile is refreshed and nobody needs to connect again');
foreach my $app_user ('alice', 'bob')
{
	is(userinfo($provider, access_token($node, $app_user, 'app'))->{sub}, $app_user, "$app_user\'s token works");
}

$node->stop;
done_testing();
