# Runs one scenario's script and powers off, whatever becomes of it.
. /prelude
snapshot boot
(. /script) 2>/out/script.errors
settle
snapshot final
find /run/vaultix* -printf '%M %u %g %s %p %l\n' >/out/tree 2>&1
find /run/systemd/generator* -printf '%p %l\n' >/out/generated 2>&1
systemctl poweroff
