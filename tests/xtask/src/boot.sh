# Boots one container; container.rs runs it with sh, in the container's own cgroup.
# Arguments: WORK LOWER NAME, then those of systemd-nspawn and, after them, of PID 1.
set -eu
work=$1 lower=$2 name=$3
shift 3

# Leave the cgroup that started us first: containers that share one remove each other's.
echo $$ >"$work/cgroup/cgroup.procs"

# All mounts are in a namespace of their own: they are gone when the last process is, however it ends.
exec unshare --mount --propagation private sh -euc '
    work=$1 lower=$2 name=$3
    shift 3

    # systemd-nspawn keeps its books in /run; some machines have that on disk.
    mkdir -p /run/systemd/nspawn
    mount -t tmpfs -o mode=0755 vaultix-nspawn /run/systemd/nspawn

    # The upper folder takes a file system that knows trusted.* attributes and is no overlay itself. The files of the
    # scenario are copied into it, since a second lower folder may not lie within the first one, "/".
    mount -t tmpfs -o mode=0755 vaultix-scratch "$work/scratch"
    mkdir "$work/scratch/upper" "$work/scratch/work"
    cp -a "$work/layer/." "$work/scratch/upper/"
    mount -t overlay -o "lowerdir=$lower,upperdir=$work/scratch/upper,workdir=$work/scratch/work" vaultix "$work/root"

    # The machine may run with cgroup v1 beside v2; every systemd that is tested wants v2 alone.
    export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
    status=0
    systemd-nspawn --quiet --boot --directory="$work/root" --machine="$name" --register=no --keep-unit \
        --private-network --resolv-conf=off --timezone=off --link-journal=no --console=pipe \
        --kill-signal=SIGRTMIN+3 --bind="$work/out:/out" "$@" || status=$?

    # The upper folder is gone with this namespace. No text is an argument here: other searches look at arguments.
    if [ -e "$work/search" ]; then
        cd "$work/scratch/upper"
        {
            grep -rlaF -f "$work/search" . || [ $? = 1 ]
            find . | grep -aF -f "$work/search" || [ $? = 1 ]
        } >"$work/out/disk"
    fi
    exit $status
' sh "$work" "$lower" "$name" "$@"
