//! what a user without rights can try beside paths and the ramfs → none of it works, and a switch goes on.

use serde_json::json;
use xtask::system::System;

use crate::support::Scenario;

/// `try NAME COMMAND...`: the user 4242 runs it with a shell, and whether it worked is noted. `bait` is what has to work.
const TRIES: &str = r#"
as() { setpriv --reuid=4242 --regid=4242 --clear-groups -- "$@"; }
try() { as timeout 20 sh -c "$2" </dev/null >>/out/tried.said 2>&1 && echo "$1 worked" >>/out/tried || echo "$1 failed" >>/out/tried; }
inside() { try "$1" "unshare --user --map-root-user --mount sh -c '$2'"; }
mkdir -m 0777 /run/tries
try bait 'cat /run/vaultix/own >/dev/null'
inside bait-namespace 'mount -t tmpfs none /mnt && mount --bind /mnt /run/vaultix.d && ! ls /run/vaultix.d/1'
# systemd, without anybody who asks for a password.
for verb in start stop restart reload kill freeze; do
    try "systemctl-$verb" "systemctl --no-ask-password $verb vaultix-switch.service vaultix-secret@other.service"
done
try stop-view 'systemctl --no-ask-password stop run-vaultix.d.mount'
try transient 'systemd-run --quiet --wait cat /run/vaultix/other'
try property 'systemctl --no-ask-password set-property --runtime vaultix-switch.service MemoryMax=1'
try environment 'systemctl --no-ask-password set-environment LD_PRELOAD=/run/tries/x.so'
try instance 'systemctl --no-ask-password start "vaultix-secret@..-..-etc-shadow.service"'
# Namespaces: what is mounted stays mounted, and read-only.
inside umount 'umount /run/vaultix.d'
inside move 'mkdir /mnt/x && mount --move /run/vaultix.d /mnt/x'
inside remount 'mount -o remount,rw,bind /run/vaultix.d'
inside remount-suid 'mount -o remount,ro,bind,suid,dev,exec /run/vaultix.d'
inside overlay 'mkdir -p /run/tries/u /run/tries/w && mount -t overlay -o lowerdir=/run/vaultix.d/1,upperdir=/run/tries/u,workdir=/run/tries/w none /mnt && cat /mnt/other'
inside hidden 'umount -l /run; mount --bind /run/vaultix.private /mnt && ls /mnt/ramfs'
try nsenter 'nsenter --mount=/proc/1/ns/mnt true'
try ptrace 'cat /proc/1/environ || cat /proc/1/mem'
# Names that lead to the same files.
try link-own 'ln /run/vaultix/own /run/tries/own'
try link-link 'ln -P /etc/app/link /run/tries/link && rm /etc/app/link'
try tmpfile 'mktemp -p /run/vaultix.d || mktemp -p /run/vaultix.d/1'
try list 'ls /run/vaultix.d || ls /run/vaultix.d/1 || ls /run/vaultix.private'
try lock-view 'flock --nonblock /run/vaultix.d true || flock --nonblock /run/vaultix.d/1 true'
try immutable 'chattr +i /run/vaultix/own || chattr +a /run/app/file'
try attribute 'setfattr -n user.x -v y /run/vaultix/own'
# What a switch reads and where it waits for a key.
try profile 'echo >>/etc/vaultix/profile.json'
try key 'touch /etc/ssh/ssh_host_rsa_key'
try generator 'touch /run/systemd/generator/x.service || touch /run/systemd/transient/x.service'
"#;

/// None of it works; what a small file system has no room for fails alone, and leaves what was there.
pub fn nothing_else_works(system: System) {
    let mut host = Scenario::new(system, "again");
    host.nixos();
    host.file("/etc/users", "");
    host.secret_with("own", "own-v1", json!({ "owner": "4242" }));
    host.secret("other", "other-v1");
    host.secret_with("link", "link-v1", json!({ "path": "/etc/app/link", "owner": "4242" }));
    host.secret_with("file", "file-v1", json!({ "path": "/run/app/file", "symlink": false }));
    let full = json!({ "path": "/mnt/small/full", "symlink": false, "owner": "4242" });
    host.secret_with("full", "full-v1", full);
    host.keeps(&["/run/app/file"]);
    let mut profile = host.profile().clone();
    profile["secrets"]["other"]["cipher"] = host.store("other-v2", "other-v2").into();
    host.next("one", &profile);
    profile["secrets"]["full"]["cipher"] = host.store("full-v2", "x".repeat(200_000)).into();
    profile["secrets"]["own"]["cipher"] = host.store("own-v2", "own-v2").into();
    host.next("two", &profile);
    let boot = host.run(&format!(
        "mount -t tmpfs -o size=100k,mode=1777 small /mnt
        mkdir -m 0755 /mnt/small
        systemctl restart vaultix-secret@full.service
        {TRIES}
        note view stat --format='%a %u' /run/vaultix.d /run/vaultix.private
        note one switch_to one
        note one.texts tail -n 1 /run/vaultix/own /run/vaultix/other /etc/app/link /run/app/file
        as sh -c 'cat /dev/zero >/mnt/filled' 2>/out/filled
        note two switch_to two
        note two.texts tail -n 1 /run/vaultix/own /mnt/small/full
        note left ls -A /mnt/small
        "
    ));
    let tried = boot.text("tried");
    let worked: Vec<&str> = tried.lines().filter(|line| line.ends_with("worked")).collect();
    let baits = ["bait worked", "bait-namespace worked"];
    assert_eq!(worked, baits, "{tried}\n{}", boot.text("tried.said"));
    assert!(tried.lines().count() > 30, "all were tried: {tried}");
    assert_eq!(boot.text("view"), "711 0\n700 0");
    assert_eq!(boot.status("one"), 0, "{}", boot.text("one"));
    let texts = boot.text("one.texts");
    for text in ["own-v1", "other-v2", "link-v1", "file-v1"] {
        assert!(texts.lines().any(|line| line == text), "{text} in {texts}");
    }
    assert_eq!(boot.status("two"), 4, "{}", boot.text("two"));
    boot.assert_error("vaultix-switch.service", &["\"full\"", "No space left on device"]);
    let texts = boot.text("two.texts");
    for text in ["own-v2", "full-v1"] {
        assert!(texts.lines().any(|line| line == text), "{text} in {texts}");
    }
    assert_eq!(boot.text("left"), "full", "nothing unfinished is left");
}
