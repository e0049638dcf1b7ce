# Runs one scenario's script and powers off, whatever becomes of it.
. /prelude
[ -e /fixtures/no-items ] || items
snapshot boot
(. /script) 2>/out/script.errors
settle
snapshot final
find /run/vaultix* -printf '%M %u %g %s %p %l\n' >/out/tree 2>&1
# What is in memory that is gone once the machine is off; the ramfs is another file system. What is on its disk is searched
# from outside.
find /run /tmp /dev/shm /canary -xdev -type f -print0 | xargs -0 grep -laF -f /canary/marker >/out/memory
find /run /tmp /dev/shm -xdev | grep -aF -f /canary/marker >>/out/memory
find /run/systemd/generator* -printf '%p %l\n' >/out/generated 2>&1
systemctl poweroff
