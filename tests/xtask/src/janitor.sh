# Clears up after one container; container.rs runs it with sh and holds the other end of its standard input.
# That end closes when the container is dropped, and also when the program that held it is killed.
# Arguments: WORK CGROUP.
trap '' HUP INT TERM
read -r _
work=$1 cgroup=$2

# Killing takes the mounts along: they are in the mount namespace of those processes.
echo 1 >"$cgroup/cgroup.kill"
while [ -d "$cgroup" ] && ! find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null; do
    sleep 0.01
done
rm -rf --one-file-system "$work"
