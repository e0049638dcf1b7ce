# An owner who exchanges two names in a directory of theirs, without end. Arguments: the directory, the names, and a file to make
# once it goes on.
use strict;
use warnings;

my ($directory, $one, $other, $ready) = @ARGV;
my $renameat2 = `uname -m` =~ /x86_64/ ? 316 : 276;
chdir $directory or die "$directory: $!";
my $count = 0;
while (syscall($renameat2, -100, $one, -100, $other, 2) == 0) {
    next if $count++;
    open(my $file, '>', $ready) or die "$ready: $!";
}
die "renameat2: $!";
