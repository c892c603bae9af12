# A small service for tests. Its file of settings says what is wrong with it; without a word of that it works.
use strict; use warnings; use IO::Socket::INET; use IO::Socket::IP; use POSIX ();
$| = 1; $SIG{PIPE} = 'IGNORE';
my %set = (listen => "127.0.0.1:8700", status => "200 OK", body => "up 1\\n", as => "http");
my %known = map { $_ => 1 } keys %set, qw(life log state user clock need password fork drop);
my $file = $ARGV[0] // die "answerd: no configuration file\n";
open(my $in, "<", $file) or die "answerd: cannot open $file: $!\n";
while (my $line = <$in>) {
  next unless $line =~ /\S/;
  $line =~ /^(\w+) (.*)$/ && $known{$1} or die "answerd: configuration error in $file, line $.: $line";
  $set{$1} = $2;
}
close $in;
if (my $name = $set{user}) { my @who = getpwnam($name) or die "no user $name\n"; POSIX::setgid($who[3]); POSIX::setuid($who[2]) }
for my $path (grep { defined } @set{"log", "state"}) {
  open(my $out, ">>", $path) or die "answerd: cannot open $path: $!\n";
  print $out "x" x 200_000 if $path eq ($set{state} // ""); close $out or die "answerd: cannot write $path: $!\n";
}
if ($set{clock}) { system("date", "-s", "\@" . time) == 0 or die "answerd: cannot adjust the clock\n" }
if ($set{fork}) { exit 0 if fork; POSIX::setsid() }
if (my $end = $set{life}) { my $main = $$; unless (fork) { select undef, undef, undef, $end; print "answerd: fatal: lost its way\n"; kill 9, $main; exit } }
my $socket;
if ($set{listen} ne "none") {
  $socket = ("IO::Socket::" . ($set{listen} =~ /^\[/ ? "IP" : "INET"))->new(LocalAddr => $set{listen}, Listen => 16, ReuseAddr => 1);
  unless ($socket) { my $why = "answerd: cannot bind $set{listen}: $!\n"; $set{drop} ? print $why : die $why }
}
if ($set{as} eq "stopped") { kill STOP => $$ }
unless ($socket) { sleep 1000 while 1 }
(my $body = $set{need} ? "up 0\\n" : $set{body}) =~ s/\\n/\n/g;
my @kept;
while (my $client = $socket->accept) {
  if ($set{as} eq "mute") { push @kept, $client; next }
  if ($set{as} eq "tls") { sysread $client, my $hello, 5; print $client "\x15\x03\x01\x00\x02\x02\x46"; next }
  if ($set{as} eq "redis") {
    while (my $line = <$client>) {
      if ($line =~ /^AUTH (\S+)/) { print $client $1 eq ($set{password} // "") ? "+OK\r\n" : "-WRONGPASS invalid password\r\n" }
      else { print $client "+PONG\r\n" }
    }
    next;
  }
  while (<$client>) { last if /^\r?$/ }
  my $length = length($body) + ($set{as} eq "cut" ? 100 : 0);
  print $client "HTTP/1.1 $set{status}\r\nContent-Length: $length\r\nLocation: /login\r\n\r\n";
  if ($set{as} eq "drip") { push @kept, $client; next }
  print $client $body; close $client;
}
