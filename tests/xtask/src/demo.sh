# What the demo does on its host. demo.rs runs it with bash as a service and prints what it says.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_PAGER= SYSTEMD_COLORS=0
exec >/out/said 2>&1

# tell TEXT: what the next commands are about
tell() { printf '\n\n%s\n' "$1"; }
# show COMMAND: the command as typed, then what it says
show() {
    printf '\n  root@web # %s\n' "$1"
    bash -c "$1" 2>&1 | sed 's/^/  /'
}
# fact NAME COMMAND: what demo.rs checks afterwards
fact() { bash -c "$2" >"/out/fact.$1" 2>&1; }

tell "The host has booted. There is one unit for each secret, and one of them has failed, alone:"
show "systemctl list-units --all --plain --no-pager --legend=no 'vaultix-*' vaultix.target run-vaultix.d.mount"
show "systemctl --failed --plain --no-pager --legend=no"
fact failed "systemctl --failed --plain --legend=no | cut -d ' ' -f 1"

tell "systemd says why, and so does the journal:"
show "systemctl status --no-pager --lines=5 vaultix-secret@broken.service"
fact status "systemctl show --property=ExecMainStatus --value vaultix-secret@broken.service"

tell "The others are in place: on a ramfs, which is never written to a disk, each with its owner and mode:"
show "ls -l /run/vaultix /run/vaultix/"
show "findmnt --output=TARGET,FSTYPE,OPTIONS /run/vaultix.d"
show "cat /run/vaultix/wifi"
fact wifi "cat /run/vaultix/wifi"
fact database "stat --format='%a %U' /run/vaultix/database && cat /run/vaultix/database"
fact fstype "stat --file-system --format=%T /run/vaultix/"
fact broken "ls /run/vaultix/broken"

tell "radio.service has no ordering of its own, and yet had its secret when it started. The drop-in is the generator's:"
show "systemctl cat radio.service"
show "journalctl --no-pager --output=cat --identifier=radio"

tell "At the desk somebody changed the password. Its new ciphertext and profile arrive:"
before=$(systemctl show --property=InvocationID --value other.service)
show "cp -r /arriving/. /etc/vaultix/ && systemctl daemon-reload"
show "systemctl restart vaultix-secret@wifi.service"
# The restart of radio.service is queued by then; what is ordered after it runs when that is done.
systemd-run --quiet --wait --property=After=radio.service true
show "cat /run/vaultix/wifi"
tell "radio.service is named in that secret's restartUnits, so it was restarted; other.service was not:"
show "journalctl --no-pager --output=cat --identifier=radio"
fact changed "cat /run/vaultix/wifi"
fact radio "journalctl --no-pager --quiet --output=cat --identifier=radio"
fact other "[ $before = \$(systemctl show --property=InvocationID --value other.service) ] && echo same"
systemctl poweroff
