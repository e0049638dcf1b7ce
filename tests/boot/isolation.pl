# Somebody without rights, who tries in a loop whatever could lead to a secret. Argument: the file that ends it.
# Prints how often what happened.
use strict;
use warnings;

my ($over) = @ARGV;
my %count = map { $_ => 0 } qw(tries foreign listed own torn gone changes);
my @names = qw(foreign team elsewhere own .vaultix);
my @records = ('', '/.new', '/.entry', '/placed', '/notify-consumers', '/placed/vaultix-secret@foreign.service');
my $last = '';
open(my $canary, '<', '/canary/marker') or die;
chomp(my $marker = <$canary>);

# Returns all that is in a file, without the text that stands in every plaintext.
sub plain {
    my ($file) = @_;
    local $/;
    my $text = <$file> // '';
    $text =~ s/$marker//g;
    return $text;
}

# Reads a file, and notes what it is.
sub try {
    my ($path) = @_;
    $count{tries}++;
    open(my $file, '<', $path) or return;
    my $text = plain($file);
    if ($text =~ /^foreign/ || $text =~ /[ab]{1000}/ && $text !~ /^own/) {
        $count{foreign}++;
        print "read $path\n";
    }
}

# Lists a directory that is not for everybody.
sub list {
    my ($path) = @_;
    $count{tries}++;
    opendir(my $directory, $path) or return;
    my @found = grep { !/^\.\.?$/ } readdir $directory;
    return unless @found;
    $count{listed}++;
    print "listed $path: @found\n";
}

# Reads the own secret, which is one of two, whole.
sub own {
    open(my $file, '<', '/run/vaultix/own') or return $count{gone}++;
    my $text = plain($file);
    $count{own}++;
    $count{torn}++ unless length($text) == 200_004 && $text =~ /^own (a+|b+)$/;
    my $letter = substr($text, 10, 1);
    $count{changes}++ if $letter ne $last;
    $last = $letter;
}

# What is meant to be found, to know that the search works.
try('/run/bait');
print "bait $count{foreign}\n";
$count{foreign} = 0;

my $generation = 0;
until (-e $over) {
    own();
    # Numbers grow: those that are there, and the next ones.
    my ($current) = (readlink('/run/vaultix') // '') =~ /(\d+)$/;
    $generation = $current // $generation;
    for my $number ($generation .. $generation + 2) {
        my $root = "/run/vaultix.d/$number";
        list($root);
        for my $name (@names) {
            try("$root/$name");
            try("$root/$name$_") for '.new', '~', '.tmp';
        }
        for my $record (@records) {
            try("$root/.vaultix$record");
            list("$root/.vaultix$record");
        }
    }
    list($_) for '/run/vaultix.d', '/run/vaultix/', '/run/vaultix-for-user/';
    try("$_/foreign") for '/run/vaultix', '/run/vaultix-for-user';
    try($_) for '/run/vaultix/team', '/run/elsewhere/x', '/run/elsewhere/.x', '/run/elsewhere/x.new';
    try($_) for glob('/run/elsewhere/* /run/elsewhere/.*');
    opendir(my $proc, '/proc') or next;
    for my $pid (grep { /^\d+$/ } readdir $proc) {
        open(my $comm, '<', "/proc/$pid/comm") or next;
        next unless (<$comm> // '') =~ /^vaultix/;
        try("/proc/$pid/$_") for qw(mem environ maps auxv io stack);
        try("/proc/$pid/fd/$_") for 0 .. 12;
        try("/proc/$pid/$_/run/vaultix.d/$generation/foreign") for qw(root cwd);
        list("/proc/$pid/$_") for qw(fd map_files);
    }
}
print "$_ $count{$_}\n" for sort keys %count;
