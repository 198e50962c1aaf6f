#!/usr/bin/perl
# A milter that lets every connection go at once: what having any milter at all costs an MTA. For benches/milter.sh.
#
#   nothing.pl SOCKET
use strict;
use warnings;
use IO::Select;
use IO::Socket::UNIX;
use Socket;

my $door = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => $ARGV[0], Listen => 128) or die "$ARGV[0]: $!\n";
my $select = IO::Select->new($door);
while (1) {
  for my $ready ($select->can_read) {
    if ($ready == $door) {
      $select->add($door->accept // next);
    } elsif (sysread $ready, my $bytes, 65536) {
      answer($ready, $bytes);
    } else {
      $select->remove($ready);
      close $ready;
    }
  }
}

# Commands come whole, since each is written at once: length u32, letter, the rest.
sub answer {
  my ($client, $bytes) = @_;
  while (length $bytes > 4) {
    my ($length, $letter) = unpack 'Na', $bytes;
    # Version 6, no actions, every step but the first one unasked; and that one is enough.
    syswrite $client, pack 'NaNNN', 13, 'O', 6, 0, 0x37e if $letter eq 'O';
    syswrite $client, pack 'Na', 1, 'a' if $letter eq 'C' or $letter eq 'E';
    $bytes = substr $bytes, 4 + $length;
  }
}
