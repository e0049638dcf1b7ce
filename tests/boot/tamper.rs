//! files that their owners try to change, lease, and lock → nothing of that works, or reaches anybody else.

use serde_json::json;
use xtask::previous::PREVIOUS;
use xtask::system::System;

use crate::support::{Scenario, placeholder};

/// `as COMMAND...`: runs it as the user 4242, who owns secrets. `try NAME COMMAND...`: does that with a shell, and notes whether it worked.
const AS: &str = r#"
as() { setpriv --reuid=4242 --regid=4242 --clear-groups -- "$@"; }
try() { as sh -c "$2" >>/out/tried.said 2>&1 && echo "$1 worked" >>/out/tried || echo "$1 failed" >>/out/tried; }
look() { stat --format='%s %a %U %u %g %i %Y %Z' /run/vaultix/db; }
"#;

/// Everything that an owner could do to a file of theirs whose mode lets them write, on a file system that can be written to.
const TRIES: &str = r#"
try read 'cat /run/vaultix/db >/dev/null'
try chmod 'chmod 0666 /run/vaultix/db'
try write 'echo x >/run/vaultix/db'
try append 'echo x >>/run/vaultix/db'
try truncate 'truncate -s 128M /run/vaultix/db'
try touch 'touch /run/vaultix/db'
try reopen 'exec 3</run/vaultix/db; echo x >/proc/self/fd/3'
try link 'ln /run/vaultix/db /run/vaultix/db2'
try remove 'rm -f /run/vaultix/db'
try remount 'unshare --user --map-root-user --mount mount -o remount,bind,rw /run/vaultix.d && echo x >/run/vaultix/db'
try namespace 'unshare --user --map-root-user --mount sh -c "mount -o remount,bind,rw /run/vaultix.d && echo x >/run/vaultix/db"'
try hidden 'ls /run/vaultix.private'
try inside 'cat /run/vaultix.private/ramfs/1/db'
try through 'cat /proc/1/root/run/vaultix.private/ramfs/1/db'
"#;

/// Whoever owns a file can read it, and nothing more, whatever its mode says; and a switch goes on as ever.
pub fn owners_can_only_read(system: System) {
    let mut host = Scenario::new(system, "readonly");
    host.nixos();
    host.file("/etc/users", "");
    host.secret_with("db", "db-v1", json!({ "owner": "4242", "mode": "0600" }));
    host.secret("other", "other-v1");
    let mut profile = host.profile().clone();
    profile["secrets"]["other"]["cipher"] = host.store("other-v2", "other-v2").into();
    host.next("two", &profile);
    let boot = host.run(&format!(
        "{AS}
        look >/run/before
        {TRIES}
        look >/run/after
        note same cmp /run/before /run/after
        note text cat /run/vaultix/db
        note two switch_to two
        note two.other cat /run/vaultix/other
        "
    ));
    let tried = boot.text("tried");
    let worked: Vec<&str> = tried.lines().filter(|line| line.ends_with("worked")).collect();
    assert_eq!(worked, ["read worked"], "{tried}\n{}", boot.text("tried.said"));
    assert_eq!(tried.lines().count(), 14, "all were tried: {tried}");
    assert_eq!(boot.text("same"), "", "neither text nor mode nor times have changed");
    assert_eq!(boot.text("text"), "db-v1");
    assert_eq!(boot.status("two"), 0, "{}", boot.text("two"));
    assert_eq!(boot.text("two.other"), "other-v2");
}

/// What [`owners_can_only_read`] tries works with the release that had no read-only view.
pub fn owners_could_write(system: System) {
    let mut host = Scenario::previous(system, "writable", PREVIOUS);
    host.secret_with("db", "db-v1", json!({ "owner": "4242", "mode": "0600" }));
    let boot = host.run(&format!("{AS}{TRIES}"));
    let tried = boot.text("tried");
    for name in ["chmod", "write", "append", "truncate", "touch", "reopen"] {
        assert!(tried.lines().any(|line| line == format!("{name} worked")), "{name}: {tried}");
    }
}

/// A program that opens the own file to read it, takes a lease on it, and never lets go.
const LEASE: &str = "use Fcntl; $SIG{IO} = 'IGNORE'; open(my $file, '<', \"/run/vaultix/$ARGV[0]\") or die;\n\
    fcntl($file, 1024, F_WRLCK) or die 'no lease'; open(F, '>', \"/run/tries/$ARGV[0].new\"); print F \"$$\\n\"; close F;\n\
    rename(\"/run/tries/$ARGV[0].new\", \"/run/tries/$ARGV[0]\"); sleep 1000;\n";

/// Neither a lease on a file that one may read nor a lock on whatever one may open holds up others.
pub fn no_lease_and_no_lock_stops_a_switch(system: System) {
    let mut host = Scenario::new(system, "lease");
    host.nixos();
    host.file("/etc/users", "");
    for id in ["changed", "kept", "owned", "restarted"] {
        host.secret_with(id, format!("{id}-v1"), json!({ "owner": "4242" }));
    }
    host.profile()["placeholder"] = json!({ "kept": placeholder("kept") });
    host.profile()["templates"] =
        json!({ "conf": { "content": format!("<{}>", placeholder("kept")), "owner": "4242" } });
    let mut profile = host.profile().clone();
    profile["secrets"]["changed"]["cipher"] = host.store("changed-v2", "changed-v2").into();
    profile["secrets"]["owned"]["owner"] = "5353".into();
    profile["secrets"]["third"] = json!({ "cipher": host.store("third", "third-v1") });
    profile["templates"]["conf"]["content"] = format!("<<{}>>", placeholder("kept")).into();
    host.next("two", &profile);
    host.file("/lease.pl", LEASE);
    let boot = host.run(&format!(
        "{AS}
        mkdir -m 0777 /run/tries
        for it in changed kept owned restarted conf; do
            as perl /lease.pl $it &
            await /run/tries/$it
        done
        # The group of root may list nothing, and so open and lock nothing.
        for it in /run/vaultix.d /run/vaultix.d/1 /run/vaultix.private /run/vaultix.private/ramfs; do
            setpriv --reuid=4242 --regid=0 --clear-groups -- flock --nonblock $it true && echo $it >>/out/locked
        done
        note restart timeout 30 systemctl restart vaultix-secret@restarted.service vaultix-template@conf.service
        note two timeout 30 bash -c '. /prelude; switch_to two'
        settle
        kill $(cat /run/tries/*) # They would also hold up whoever reads here.
        for it in changed kept owned restarted third conf; do note two.$it cat /run/vaultix/$it; done
        note generations ls --ignore='current*' /run/vaultix.d
        "
    ));
    assert!(!boot.has("locked"), "{}", boot.text("locked"));
    assert_eq!(boot.status("restart"), 0, "{}", boot.text("restart"));
    assert_eq!(boot.status("two"), 0, "{}", boot.text("two"));
    for (id, text) in [
        ("changed", "changed-v2"),
        ("kept", "kept-v1"),
        ("owned", "owned-v1"),
        ("restarted", "restarted-v1"),
        ("third", "third-v1"),
        ("conf", "<<kept-v1>>"),
    ] {
        assert_eq!(boot.text(&format!("two.{id}")), text);
    }
    assert_eq!(boot.text("generations").lines().count(), 1, "the old one is gone");
}
