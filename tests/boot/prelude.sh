# What the scripts of all scenarios may use. Everything they find out goes to a file in /out.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_PAGER= SYSTEMD_COLORS=0
cd /

# note NAME COMMAND...: what the command printed, in /out/NAME, and its exit status, in /out/NAME.status. Plaintexts may be
# in what these print that read files, and in nothing else.
note() {
    local name=$1
    shift
    case $1 in cat | grep | sh | tail) ;; *) echo "$name" >>/out/silent ;; esac
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

# await PATH: returns once there is a file at PATH. A path unit waits for it, so that nothing is polled.
awaited=0
await() {
    local name=await-$((++awaited))
    mkfifo "/run/$name"
    printf '[Path]\nPathExists=%s\n' "$1" >"/run/systemd/system/$name.path"
    printf '[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/bash -c "echo >/run/%s"\n' "$name" \
        >"/run/systemd/system/$name.service"
    systemctl start "$name.path"
    read -r _ <"/run/$name"
}

# items: starts the units of all items but those that have failed, and their target, as vaultix-rest.service does once the
# boot is over. Returns when they have started.
items() {
    local units=() failed
    [ -d /run/systemd/generator/vaultix-items.target.wants ] || return 0
    failed=$(systemctl list-units --all --state=failed --plain --full --no-legend | cut -d' ' -f1)
    mapfile -t units < <(ls /run/systemd/generator/vaultix-items.target.wants | grep -vxF -e "${failed:-/}")
    [ ${#units[@]} -eq 0 ] || systemctl start -- "${units[@]}"
    systemctl start --job-mode=ignore-requirements vaultix-items.target
}

# snapshot NAME: the state of all units that are loaded and of all of ours, in /out/NAME.units
snapshot() {
    local units=()
    mapfile -t units < <({
        systemctl list-units --all --full --plain --no-legend | cut -d' ' -f1
        find /run/systemd/generator /etc/systemd/system -maxdepth 1 -name 'vaultix-*.*' ! -name '*.d' ! -name '*@.*' -printf '%f\n'
    } | sort -u)
    systemctl show --property=Id,Description,LoadState,ActiveState,SubState,Result,ExecMainStatus,MainPID \
        --property=InvocationID,StatusText,FragmentPath -- "${units[@]}" >"/out/$1.units"
}

# reencrypt ID FIXTURE: puts another ciphertext where the profile says that of secret ID is
reencrypt() {
    cp "/fixtures/$2" "/etc/vaultix/cache/$1.new" && mv "/etc/vaultix/cache/$1.new" "/etc/vaultix/cache/$1"
}

# upgrade: puts the product under test where that of an older release was installed, as the new /etc does in a switch.
# systemd has not read it yet; the next switch does that.
upgrade() {
    (cd /opt/previous/lib/systemd/system && printf '/etc/systemd/system/%s\n' *) | xargs rm --
    cp /upgrade/* /etc/systemd/system
    ln -sfn /opt/vaultix/lib/systemd/system-generators/vaultix-generator /etc/systemd/system-generators/vaultix-generator
    ln -sfn /opt/vaultix/bin/vaultix-decrypt /usr/local/bin/vaultix-decrypt
}

# switch NAME: what NixOS's switch-to-configuration does when /next/NAME becomes the running configuration, step by
# step, with its lock: the check before anything is touched, the list of what it will restart, the new /etc, reset-failed,
# daemon-reload, the restart of sysinit-reactivation.target, the restart of what it has listed, and the start of the targets
# that are active, which runs our units once more. Where there is a list of users in /next/NAME/users, userborn is a unit
# that has changed, and is stopped beforehand; /next/NAME/restart-list and reload-list name others that have changed.
# /out/NAME.switch has what it said, /out/NAME.switch.status is 0 or, as there, 4 if some unit failed.
switch() {
    note "$1.check" vaultix-decrypt check --profile "/next/$1/profile.json"
    note "$1.switch" switch_to "$1"
    settle
    snapshot "$1"
    note "$1.files" find /run/vaultix/ /run/vaultix-for-user/ -name .vaultix -prune -o ! -type d -printf '%p %m %u %g %l\n'
    note "$1.texts" grep -r --exclude-dir=.vaultix '' /run/vaultix/
    note "$1.inodes" find /run/vaultix/ /run/vaultix-for-user/ -name .vaultix -prune -o ! -type d -printf '%f %i\n'
    note "$1.generations" ls --ignore="current*" /run/vaultix.d
}
# Who holds the lock lives as long as the switch.
switch_to() {
    mkdir -p /run/nixos
    flock /run/nixos/switch-to-configuration.lock bash -c '. /prelude; switch_with_lock "$1"' switch "$1"
}
switch_with_lock() {
    local failed=0 it
    if [ -e "/next/$1/users" ]; then
        systemctl stop userborn.service
        cp "/next/$1/users" /etc/users
    fi
    for it in reload restart; do
        [ ! -e "/next/$1/$it-list" ] || cat "/next/$1/$it-list" >>/run/nixos/$it-list
    done
    cp "/next/$1/profile.json" /etc/vaultix/profile.json
    systemctl reset-failed
    systemctl daemon-reload
    systemctl restart sysinit-reactivation.target || failed=4
    for it in reload restart; do
        [ ! -e /run/nixos/$it-list ] || xargs systemctl $it </run/nixos/$it-list || failed=4
        rm -f /run/nixos/$it-list
    done
    systemctl start sysinit.target sysinit-reactivation.target || failed=4
    [ -z "$(systemctl --failed --plain --no-legend)" ] || failed=4
    return $failed
}
