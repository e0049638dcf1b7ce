# Runs one command with one fault in it, on a ramfs of its own, mounted as the units would. fault.rs starts it in a mount namespace of its own.
# Arguments: WORK WHAT FAULT, where FAULT is what strace shall inject; or "deaf", where systemd cannot be reached; or
# "memory", where it is killed when it would end; or "trace"; or nothing.
set -u
work=$1 what=$2 fault=$3
mount -t tmpfs -o mode=0755 run /run &&
    mkdir -p -m 0700 /run/vaultix.private && mkdir /run/vaultix.private/ramfs &&
    mount -t ramfs -o mode=0711,nosuid,nodev,noexec ramfs /run/vaultix.private/ramfs &&
    mount --bind -o ro,nosuid,nodev,noexec /run/vaultix.private/ramfs "$work/ramfs" || exit 99
hidden=/run/vaultix.private/ramfs
mount -t tmpfs -o mode=0755 vaultix-run "$work/run" || exit 99
: >"$work/run/told" # By the stand-in for systemctl.
# What is on an overlay counts as being on a disk. The record of it is in /var/lib.
mkdir -p /run/disk/{lower,upper,work} &&
    mount -t overlay -o lowerdir=/run/disk/lower,upperdir=/run/disk/upper,workdir=/run/disk/work disk "$work/disk" &&
    mount -t tmpfs -o mode=0755 lib /var/lib || exit 99

# secret|early|normal PROFILE [TRACER...]: runs the helper, maybe under a tracer
secret() { "${@:2}" vaultix-decrypt secret --profile "$work/$1.json" -- token; }
early() { "${@:2}" vaultix-decrypt switch --early --profile "$work/$1.json"; }
normal() { "${@:2}" vaultix-decrypt switch --profile "$work/$1.json"; }

# boot PROFILE [TRACER...]: what the boot does; units PROFILE: what it would leave to the units of items
boot() { "${@:2}" vaultix-decrypt boot --profile "$work/$1.json"; }
units() {
    for it in added keep moved token; do
        vaultix-decrypt secret --profile "$work/$1.json" -- $it || return
    done
    vaultix-decrypt template --profile "$work/$1.json" -- outer
}

case $what in
boot)
    before() { vaultix-decrypt boot --early --profile "$work/new.json"; }
    under() { boot new "$@"; }
    again() { units new; }
    ;;
boot-early)
    before() { true; }
    under() { "$@" vaultix-decrypt boot --early --profile "$work/new.json"; }
    again() {
        vaultix-decrypt secret --profile "$work/new.json" -- early &&
            vaultix-decrypt secret --profile "$work/new.json" -- soon
    }
    ;;
first)
    before() { true; }
    under() { secret new "$@"; }
    again() { secret new; }
    ;;
secret)
    before() { secret old; }
    under() { secret new "$@"; }
    again() { secret new; }
    ;;
first-early)
    before() { true; }
    under() { early new "$@"; }
    again() { normal new && early new && normal new; }
    ;;
first-switch)
    before() { early new; }
    under() { normal new "$@"; }
    again() { early new && normal new; }
    ;;
early)
    before() { early old && normal old; }
    under() { early new "$@"; }
    # systemd goes on with the second phase, whatever becomes of the first.
    again() { normal new && early new && normal new; }
    ;;
switch)
    before() { early old && normal old && early new; }
    under() { normal new "$@"; }
    again() { early new && normal new; }
    ;;
esac

# look NAME: what systemd was told since the last look; every file and link there is; then those that readers see, and
# what is in them. Only early items are looked for behind the early link: the rest of that generation may still be in
# the making. Last of all, files beside the ramfs that hold a plaintext.
look() {
    echo "look $1"
    sed 's/^/told /' "$work/run/told"
    : >"$work/run/told"
    find "$work/ramfs" "$work/run" "$work/disk" -path '*/.vaultix/placed' -prune -o -path "$work/run/told" -prune -o ! -type d \
        -printf 'there %p %y %m %U:%G %l\n'
    find "$work/run/vaultix/" "$work/run/early/early" -name .vaultix -prune -o -type f -printf 'seen %p %m %U:%G %s\n' \
        -exec sha256sum {} + 2>/dev/null
    grep -rlaF -f "$work/search" "$work/run" "$work/disk" /var/lib | sed 's/^/leak /'
    record
}

# record: what the record on the disk says of each path, and whether it is so; and what else is beside the record.
record() {
    local kind id path shape target stamp dev ino seconds part
    find /var/lib ! -type d ! -path /var/lib/vaultix/placed -printf 'there %p %y %m %U:%G %l\n'
    [ -e /var/lib/vaultix/placed ] || return 0
    stat -c 'there /var/lib/vaultix/placed f %a %u:%g' /var/lib/vaultix/placed
    tr '\0' '\n' </var/lib/vaultix/placed | tail -n +2 | while read -r kind && read -r id && read -r path && read -r shape &&
        read -r target && read -r stamp; do
        read -r _ dev ino seconds part <<<"$stamp"
        [ "$(stat -c '%d %i %.9Z' "$path")" = "$dev $ino $seconds.$(printf %09d "$part")" ] || stamp=wrong
        echo "there record:$path r $kind $id $shape $target ${stamp/* */right}"
    done
}

# ending COMMAND...: runs it until it would end, and tells whether its memory holds what it should not remember, 1 or 0;
# and, to see that all of it is searched, its arguments.
ending() {
    strace -f -qq -b execve -o /dev/null -e trace=exit_group -e inject=exit_group:delay_enter=20s "$@" &
    local tracer=$! pid call
    until pid=$(pgrep -P "$tracer" vaultix) && read -r call _ <"/proc/$pid/syscall" && [ "$call" = "$exit_group" ]; do
        kill -0 "$tracer" 2>/dev/null || return 97 # It has ended in some other way.
        sleep .02
    done
    memory "$pid" | od -An -v -tx1 | tr -d ' \n' >"$hidden/memory"
    for text in marker key seed long profile; do
        echo "memory $text $(grep -cF -f "$work/$text.hex" "$hidden/memory")"
    done
    rm "$hidden/memory"
    kill -KILL "$pid" "$tracer"
    wait "$tracer"
}
case $(uname -m) in x86_64) exit_group=231 ;; *) exit_group=94 ;; esac

# memory PID: all that the process could write to
memory() {
    local range mode
    while read -r range mode _; do
        local from=$((16#${range%-*})) to=$((16#${range#*-}))
        [[ $mode != rw* ]] || dd if="/proc/$1/mem" iflag=skip_bytes,count_bytes skip="$from" count="$((to - from))" status=none
    done <"/proc/$1/maps"
}

# leave: what an earlier boot has put at a path that no item has any more
leave() {
    local path=$work/disk/app/left changed
    mkdir -p "$work/disk/app" && mkdir -p -m 0700 /var/lib/vaultix && ln -s "$work/run/other/left" "$path" || return
    [ -e /var/lib/vaultix/placed ] || printf 'vaultix-placed-1\0' >/var/lib/vaultix/placed && chmod 0600 /var/lib/vaultix/placed
    changed=$(stat -c %.9Z "$path")
    printf 'secret\0left\0%s\0link\0%s\0%s %s %s %s\0' "$path" "$work/run/other/left" 0 "$(stat -c '%d %i' "$path")" \
        "${changed%.*}" "$((10#${changed#*.}))" >>/var/lib/vaultix/placed
}

before && leave || exit 98
look before
case $fault in
memory) under ending ;;
# Without strings, which would be plaintexts.
trace) under strace -f -qq -s 0 -b execve -o "$work/trace" ;;
deaf) touch "$work/deaf" && under env ;;
'') under env ;;
# Not in the programs that it runs: what they do is not ours.
*) SECONDS=0 && under timeout --signal KILL 20 strace -f -qq -b execve -o /dev/null -e "inject=$fault" ;;
esac
status=$?
[ "$SECONDS" -lt 20 ] || status=124 # As timeout has it, where it need not kill.
echo "status $status"
rm -f "$work/deaf"
look after
again
echo "again $?"
look again
exit 0 # Where there is no early link, find has failed.
