# A FUSE file system that reads requests and does not answer them, as a program of the user USER that has stopped. Arguments: where
# it is mounted, USER, and a file to make once it is there.
use strict;
use warnings;
use Fcntl;

my ($point, $user, $ready) = @ARGV;
my $mount = `uname -m` =~ /x86_64/ ? 165 : 40;
sysopen(my $device, '/dev/fuse', O_RDWR) or die "/dev/fuse: $!";
my ($source, $type) = ('silent', 'fuse');
my $options = 'fd=' . fileno($device) . ",rootmode=40000,user_id=$user,group_id=$user,allow_other";
syscall($mount, $source, $point, $type, 0, $options) == 0 or die "mount: $!";
while (sysread($device, my $request, 1 << 17)) {
    my ($length, $kind, $unique) = unpack('VVQ<', $request);
    next if $kind != 26; # FUSE_INIT, of version 7.31, is answered: without it, nobody could ask anything.
    syswrite($device, pack('VVQ<VV', 80, 0, $unique, 7, 31) . "\0" x 56);
    open(my $file, '>', $ready) or die "$ready: $!";
}
