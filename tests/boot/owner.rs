//! owners who lay traps on the way to a path of their own → nothing of root's is touched, and nobody else waits.

use std::time::Duration;

use serde_json::json;
use xtask::previous::PREVIOUS;
use xtask::system::System;

use crate::support::{Boot, Scenario, secret_unit};

const OWNER: &str = "4242";

/// The home of the owner, in which root has made a link to another directory of theirs, and they one to a directory of root's,
/// which they exchange without end. Functions: `leak`, whether something has come there.
const EXCHANGE: &str = r#"
as() { setpriv --reuid=4242 --regid=4242 --clear-groups -- "$@"; }
leak() { [ -e /etc/profile.d/env.sh ] || [ -L /etc/profile.d/env.sh ]; }
chmod 644 /etc/exchange.pl
mkdir -p -m 0777 /run/tries
mkdir -p /etc/profile.d
rm -rf /home/alice
mkdir -p /home/alice/own
chown -R 4242:4242 /home/alice
ln -s own /home/alice/x
as ln -s /etc/profile.d /home/alice/mine
as perl /etc/exchange.pl /home/alice x mine /run/tries/exchanging 2>/out/exchange &
await /run/tries/exchanging
"#;

/// Prepares a host with an item below a link that its owner can exchange.
fn exchanged(mut host: Scenario) -> Scenario {
    host.file("/etc/exchange.pl", include_str!("owner/exchange.pl"));
    host.secret_with("env", "env-v1", json!({ "path": "/home/alice/x/env.sh", "owner": OWNER }));
    host
}

/// An owner exchanges a link of root's on the way to their item with one of their own, which leads to where root's shell looks.
/// In 400 switches, nothing comes there.
pub fn exchanged_links_lead_nowhere(system: System) {
    let host = exchanged(Scenario::new(system, "exchange"));
    let boot = host.run(&format!(
        "{EXCHANGE}
        for i in $(seq 400); do
            vaultix-decrypt switch 2>/out/said
            ! leak || echo $i >>/out/leaked
        done
        kill -0 $! && touch /out/attacked
        "
    ));
    assert!(!boot.has("leaked"), "{}", boot.text("leaked"));
    assert!(boot.has("attacked"), "it went on to the end: {}", boot.text("exchange"));
}

/// The exchange works with the previous release, which looked at each name twice.
pub fn exchanged_links_led_to_root(system: System) {
    let host = exchanged(Scenario::previous(system, "exchanged", PREVIOUS));
    let boot = host.run(&format!(
        "{EXCHANGE}
        for i in $(seq 2000); do
            vaultix-decrypt switch 2>/out/said
            ! leak || break
        done
        leak && echo $i >/out/leaked
        "
    ));
    assert!(boot.has("leaked"), "the attack does not work: {}", boot.text("exchange"));
}

/// `silent PLACE`: root's file system there, of a real libfuse, that takes requests and does not answer. It shows what lies on
/// another one, whose program is stopped: so a request has been read, and whoever waits for it cannot be ended.
/// `users PLACE`: the same, stopped itself, mounted by the owner with the help of fusermount.
const FUSE: &str = r#"
# The one of the machine is only for root.
umount /dev/fuse && rm /dev/fuse && mknod -m 0666 /dev/fuse c 10 229
echo user_allow_other >/etc/fuse.conf
echo 'alice:x:4242:4242::/home/alice:/bin/sh' >>/etc/passwd
echo 'alice:x:4242:' >>/etc/group
mounted() {
    systemd-run --quiet --unit="$1" --service-type=forking "${@:2}" && findmnt --noheadings --output=SOURCE,FSTYPE,OPTIONS --target "${@: -1}" >>/out/mounted
}
silent() {
    mkdir -p /srv/empty /srv/behind "$1"
    mounted behind bindfs -o allow_other /srv/empty /srv/behind
    mounted silent bindfs -o allow_other /srv/behind "$1"
    systemctl kill --kill-whom=all --signal=STOP behind.service
}
users() {
    mkdir -p /srv/theirs "$1"
    chown 4242:4242 "$1"
    mounted users --uid=4242 --gid=4242 bindfs -o allow_other /srv/theirs "$1"
    systemctl kill --kill-whom=all --signal=STOP users.service
}
"#;

/// The number of items on a file system that does not answer.
const SILENT: usize = 10;

/// Adds all that the next test is about to a profile: items on file systems that do not answer, one of another owner.
fn elsewhere(host: &Scenario, profile: &mut serde_json::Value) {
    for number in 0..SILENT {
        let cipher = host.store(&format!("s{number}"), "silent-v1");
        profile["secrets"][format!("s{number}")] = json!({
            "cipher": cipher, "path": format!("/mnt/silent/s{number}"), "owner": OWNER,
        });
    }
    let cipher = host.store("users", "users-v1");
    profile["secrets"]["users"] =
        json!({ "cipher": cipher, "path": "/mnt/users/x", "owner": OWNER });
    profile["secrets"]["bob"]["path"] = "/home/bob/after".into();
    profile["secrets"]["plain"]["cipher"] = host.store("plain-v2", "plain-v2").into();
    profile["secrets"].as_object_mut().unwrap().remove("former");
}

/// Fails unless the switch has warned once of what it cannot take away.
fn assert_warned(boot: &Boot, words: &str) {
    let lines = boot.journal_of("vaultix-switch.service");
    // The second run in a switch repeats what the first has written.
    let is_first = |line: &str| line.contains(words) && !line.contains("earlier in this switch");
    let warned = lines.iter().filter(|it| it.priority == 4 && is_first(&it.message)).count();
    assert_eq!(warned, 1, "{words}: {lines:#?}");
}

/// File systems that do not answer, one as root would mount it and one as the owner would, fail the items on them, and hold up no
/// switch, no unit and no other item. A loop of links that a former owner has made fails nothing.
pub fn a_silent_file_system_waits_alone(system: System) {
    let mut host = Scenario::new(system, "silent");
    // A switch runs its units twice, as NixOS does, and each waits for what does not answer.
    host.limit(Duration::from_secs(120));
    host.nspawn("--bind=/dev/fuse");
    host.nixos();
    host.file("/etc/users", "");
    host.takes("bindfs");
    host.takes("fusermount3");
    host.takes("fusermount");
    host.secret_with("plain", "plain-v1", json!({ "restartUnits": ["user.service"] }));
    host.consumer("user", "/run/vaultix/plain");
    host.secret_with("bob", "bob-v1", json!({ "path": "/home/bob/before", "owner": "5353" }));
    let former = json!({ "path": "/home/alice/dir/former", "owner": OWNER });
    host.secret_with("former", "former-v1", former);
    let mut profile = host.profile().clone();
    profile["secrets"].as_object_mut().unwrap().remove("former");
    host.next("three", &profile);
    elsewhere(&host, &mut profile);
    host.next("two", &profile);
    let boot = host.run(&format!(
        "{FUSE}
        silent /mnt/silent
        users /mnt/users
        readlink /home/alice/dir/former >/out/former
        chown 4242:4242 /home/alice /home/alice/dir
        chown -R 5353:5353 /home/bob
        setpriv --reuid=4242 --regid=4242 --clear-groups -- sh -c 'cd /home/alice && mv dir old && ln -s dir dir'
        note two switch_to two
        settle
        snapshot two
        note two.text cat /run/vaultix/plain /run/vaultix/s0 /run/vaultix/users
        note two.user cat /out/user.log
        note two.bob readlink /home/bob/after
        note two.gone ls /home/bob
        # They hang for good, and stop neither a restart nor another switch.
        note left grep -lsz path-jobs /proc/[0-9]*/cmdline
        note restart systemctl restart vaultix-secret@s0.service
        note bob systemctl restart vaultix-secret@bob.service
        note three switch_to three
        settle
        note noted find /run/vaultix.private/ramfs -path '*/remove/*'
        note four switch_to three
        "
    ));
    let mounted = boot.text("mounted");
    assert!(mounted.contains("user_id=0") && mounted.contains("user_id=4242"), "{mounted}");
    assert_eq!(boot.text("former"), "/run/vaultix/former");
    assert_eq!(boot.status("two"), 4, "{}", boot.text("two"));
    assert_eq!(boot.text("two.text"), "plain-v2silent-v1users-v1");
    assert_eq!(boot.text("two.user"), "start plain-v1\nstop plain-v2\nstart plain-v2");
    assert_eq!(boot.text("two.bob"), "/run/vaultix/bob");
    assert_eq!(boot.text("two.gone"), "after");
    let switch = "vaultix-switch.service";
    let answer = "cannot reach /mnt/silent/s0: its file system did not answer within 5 s";
    boot.assert_error(switch, &["cannot decrypt secret \"s0\"", answer]);
    for number in 1..SILENT {
        let path = format!("cannot reach /mnt/silent/s{number}: it was not tried within 5 s");
        boot.assert_error(switch, &[&path]);
    }
    let users = "/mnt/users is on a file system that user 4242 has mounted (FUSE)";
    boot.assert_error(switch, &["cannot decrypt secret \"users\"", users]);
    for id in ["s0", "users"] {
        assert_eq!(boot.unit_at("two", &secret_unit(id))["ExecMainStatus"], "73", "{id}");
    }
    assert_eq!(boot.status("left"), 0, "some children hang: {}", boot.text("left"));
    assert_ne!(boot.status("restart"), 0);
    assert_eq!(boot.status("bob"), 0, "{}", boot.text("bob"));
    assert_warned(&boot, "cannot remove what secret \"former\" left");
    assert_eq!(boot.status("three"), 0, "{}", boot.text("three"));
    assert_eq!(boot.text("noted"), "", "nothing is left to be taken away");
    assert_eq!(boot.status("four"), 0, "{}", boot.text("four"));
    assert_warned(&boot, "cannot remove what secret \"s0\" left");
    boot.assert_no_cycle();
}

/// A ciphertext and a host key on a file system that does not answer: the switch ends while it is as silent as ever, names
/// what hangs, and brings all else; so does what is made again for a path.
pub fn a_silent_ciphertext_waits_alone(system: System) {
    let mut host = Scenario::new(system, "silentcipher");
    host.nspawn("--bind=/dev/fuse");
    host.nixos();
    host.file("/etc/users", "");
    host.takes("bindfs");
    host.takes("fusermount3");
    host.takes("fusermount");
    host.secret("bob", "bob-v1");
    host.secret_with("file", "file-v1", json!({ "path": "/run/file", "symlink": false }));
    host.keeps(&["/run/file"]);
    let mut profile = host.profile().clone();
    profile["secrets"]["hung"] = json!({ "cipher": "/mnt/silent/hung" });
    profile["secrets"]["third"] = json!({ "cipher": host.store("third", "third-v1") });
    let keys = profile["settings"]["hostKeys"].as_array_mut().unwrap();
    keys.insert(0, json!({ "path": "/mnt/silent/key", "type": "ed25519" }));
    host.next("two", &profile);
    let boot = host.run(&format!(
        "{FUSE}
        silent /mnt/silent
        rm /run/file
        note two switch_to two
        settle
        snapshot two
        note bob systemctl restart vaultix-secret@bob.service
        note text tail -n 1 /run/vaultix/third /run/file
        note left grep -lsz path-jobs /proc/[0-9]*/cmdline
        # The control: whose request was read, hears nothing of being killed.
        for pid in $(cut -d / -f 3 /out/left); do kill -KILL $pid; done
        note waits grep -hs State: $(sed 's/cmdline/status/' /out/left)
        "
    ));
    assert_eq!(boot.status("two"), 4, "{}", boot.text("two"));
    let switch = "vaultix-switch.service";
    assert_eq!(boot.unit_at("two", switch)["ExecMainStatus"], "1", "it came to its end");
    assert_eq!(boot.unit_at("two", switch)["Result"], "exit-code");
    assert_eq!(boot.status("bob"), 0, "{}", boot.text("bob"));
    let text = boot.text("text");
    assert!(text.contains("third-v1") && text.contains("file-v1"), "{text}");
    let reason = "/mnt/silent/hung was not read and decrypted within 10 seconds";
    boot.assert_error(switch, &["cannot decrypt secret \"hung\"", reason]);
    let key = "cannot use the host key /mnt/silent/key: not read within 5 seconds";
    assert!(boot.journal_of(switch).iter().any(|line| line.message.contains(key)));
    assert_eq!(boot.status("left"), 0, "what asked is left behind: {}", boot.text("left"));
    assert!(boot.text("mounted").contains("/srv/behind fuse"), "{}", boot.text("mounted"));
    assert!(boot.text("waits").contains("D (disk sleep)"), "{}", boot.text("waits"));
}
