# What the scripts of all scenarios may use. Everything they find out goes to a file in /out.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_PAGER= SYSTEMD_COLORS=0
cd /

# note NAME COMMAND...: what the command printed, in /out/NAME, and its exit status, in /out/NAME.status
note() {
    local name=$1
    shift
    "$@" >"/out/$name" 2>&1
    echo $? >"/out/$name.status"
}

# settle: returns once systemd's job queue is empty. Nothing is polled: a unit that is ordered after all that is
# queued cannot run before.
settle() {
    local jobs
    while jobs=$(systemctl list-jobs --plain --no-legend | awk '$1 ~ /^[0-9]+$/ { print $2 }') && [ -n "$jobs" ]; do
        systemd-run --quiet --wait --property=After="$(printf '%s\n' "$jobs" | sed 's/\\/\\\\/g' | tr '\n' ' ')" true
    done
}

# snapshot NAME: the state of all units, in /out/NAME.units
snapshot() {
    systemctl show --property=Id,Description,LoadState,ActiveState,SubState,Result,ExecMainStatus,MainPID \
        --property=InvocationID,StatusText,FragmentPath '*' >"/out/$1.units"
}

# reencrypt ID FIXTURE: puts another ciphertext where the profile says that of secret ID is
reencrypt() {
    cp "/fixtures/$2" "/etc/vaultix/cache/$1.new" && mv "/etc/vaultix/cache/$1.new" "/etc/vaultix/cache/$1"
}
