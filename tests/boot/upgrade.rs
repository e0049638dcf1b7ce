//! a host with an older release + an upgrade → it runs this one, and nothing is lost meanwhile.

use serde_json::json;
use xtask::previous::PREVIOUS;
use xtask::system::System;

use crate::support::{Boot, Scenario, placeholder, secret_unit};

/// Reads a secret without end, and notes each time that it is not there.
const READER: &str = r#"
reader() {
    touch /run/reading
    local count=0
    while [ -e /run/reading ]; do
        cat /run/vaultix/kept >/dev/null 2>>/out/missed || true
        count=$((count + 1))
    done
    echo $count >/out/read
}
as() { setpriv --reuid=4242 --regid=4242 --clear-groups -- "$@"; }
# What the previous release lets an owner do: hold the own file open, to write to it, and its directory.
holder() { as sh -c 'exec 3>>/run/vaultix/kept; cd -P /run/vaultix/. || exit; touch /run/tries/held; exec sleep 1000'; }
mounts() {
    for it in /run/vaultix.d /run/vaultix.private/ramfs; do
        findmnt --noheadings --first-only --direction=backward --output=FSTYPE,VFS-OPTIONS $it
    done
    stat --format='%a %U' /run/vaultix.private /run/vaultix.private/ramfs
}
# How much each unit may, from 0 to 10.
exposure() {
    for it in vaultix-secret@kept.service vaultix-switch-early.service vaultix-switch.service; do
        systemd-analyze security --no-pager "$it" | grep 'Overall exposure' | grep -o '[0-9]*[.][0-9]'
    done
}
# Work that the previous release has left in a generation, by the names that it uses: somebody to be notified, an item that is
# not at its path yet, userborn, and a link to be removed.
pending() (
    cd /run/vaultix.d/*/.vaultix
    mkdir -p untold unplaced due gone
    touch untold/vaultix-secret@pending.service unplaced/vaultix-secret@pending.service due/userborn.service
    ln -s /run/vaultix/older /etc/app/older
    hash=$(printf '%064d' 0)
    printf '%s\0' $hash $hash secret older older /etc/app/older /run/vaultix/older link normal \
        >gone/vaultix-secret@older.service
)
# Names of the previous release in the journal of the current generation.
old_names() { find /run/vaultix/.vaultix -mindepth 2 | grep -E '/(untold|unplaced|due|gone)/'; }
mkdir -m 0777 /run/tries
"#;

/// What a consumer writes that was restarted once, for the same plaintext.
const RESTARTED: &str = "start pending-v1\nstop pending-v1\nstart pending-v1";

/// Prepares a host of the previous release, with all that may be lost.
fn host(system: System, name: &str) -> Scenario {
    let mut host = Scenario::previous(system, name, PREVIOUS);
    host.nixos();
    host.file("/etc/users", "early 4343\n");
    let owned = json!({ "owner": "4242", "mode": "0600", "restartUnits": ["kept.service"] });
    host.secret_with("kept", "kept-v1", owned);
    host.secret_with("changed", "changed-v1", json!({ "restartUnits": ["changed.service"] }));
    host.secret_with("early", "early-v1", json!({}));
    host.secret_with("link", "link-v1", json!({ "path": "/etc/app/link" }));
    let pending = json!({ "path": "/etc/app/pending", "restartUnits": ["pending.service"] });
    host.secret_with("pending", "pending-v1", pending);
    host.secret_with("gone", "gone-v1", json!({ "path": "/etc/app/gone" }));
    host.ciphertext("late", Some(b"not an age file"), json!({ "restartUnits": ["late.service"] }));
    host.profile()["placeholder"] = json!({ "kept": placeholder("kept") });
    host.profile()["templates"] = json!({ "conf": {
        "content": format!("<{}>", placeholder("kept")), "restartUnits": ["conf.service"],
    } });
    host.profile()["beforeUserborn"] = json!(["early"]);
    for (consumer, path) in [
        ("kept", "/run/vaultix/kept"),
        ("changed", "/run/vaultix/changed"),
        ("late", "/run/vaultix/late"),
        ("pending", "/run/vaultix/pending"),
        ("conf", "/run/vaultix/conf"),
    ] {
        host.consumer(consumer, path);
    }
    host
}

/// Checks that the ramfs is hidden, and its view read-only.
fn assert_hidden(boot: &Boot) {
    let mounts = boot.text("mounts");
    let lines: Vec<&str> = mounts.lines().collect();
    assert!(lines[0].starts_with("ramfs") && lines[0].contains("ro,"), "{mounts}");
    assert!(lines[1].starts_with("ramfs") && lines[1].contains("rw,"), "{mounts}");
    assert_eq!(lines[2..], ["700 root", "711 root"], "{mounts}");
}

/// A switch to this release hides the ramfs first. Whoever reads meanwhile finds each file, whoever reads what is the same is
/// not told, and what the previous release had left to do is done.
pub fn a_switch_loses_nothing(system: System) {
    let mut host = host(system, "upgrade");
    let mut profile = host.profile().clone();
    profile["secrets"]["changed"]["cipher"] = host.store("changed-v2", "changed-v2").into();
    profile["secrets"]["late"]["cipher"] = host.store("late-v1", "late-v1").into();
    profile["secrets"].as_object_mut().unwrap().remove("gone");
    host.next("two", &profile);
    host.keeps(&[]);
    let boot = host.run(&format!(
        r"{READER}
        note before systemctl show --property=ExecStart vaultix-secret@kept.service
        note before.exposure exposure
        note before.mount findmnt --noheadings --output=FSTYPE,VFS-OPTIONS /run/vaultix.d
        holder &
        await /run/tries/held
        reader &
        await /run/reading
        pending
        upgrade
        note two switch_to two
        settle
        rm /run/reading
        wait %2
        note mounts mounts
        note after.exposure exposure
        note after systemctl show --property=ExecStart vaultix-secret@kept.service
        note texts tail -n 1 /run/vaultix/kept /run/vaultix/changed /run/vaultix/early /run/vaultix/late /run/vaultix/conf /etc/app/link
        note gone test -L /etc/app/gone
        note older test -L /etc/app/older
        note old.names old_names
        as sh -c 'echo x >>/run/vaultix/kept' && echo written >>/out/written
        for it in kept changed late conf pending; do note $it.user cat /out/$it.log; done
        note failed systemctl --failed --plain --no-legend
        snapshot upgraded
        systemctl stop run-vaultix.d.mount
        settle
        note stopped sh -c 'findmnt /run/vaultix.d; findmnt /run/vaultix.private/ramfs; echo none'
        "
    ));
    assert!(boot.text("before").contains("path=/opt/previous/bin/"), "{}", boot.text("before"));
    assert!(boot.text("before.mount").contains("rw,"), "{}", boot.text("before.mount"));
    assert_eq!(boot.status("two"), 0, "{}", boot.text("two"));
    assert!(boot.text("after").contains("path=/opt/vaultix/bin/"), "{}", boot.text("after"));
    assert_eq!(boot.text("missed"), "", "no reader misses its file");
    assert!(boot.text("read").parse::<u32>().unwrap() > 20, "it was looked at all the time");
    assert_hidden(&boot);
    let texts = boot.text("texts");
    for text in ["kept-v1", "changed-v2", "early-v1", "late-v1", "<kept-v1>", "link-v1"] {
        assert!(texts.lines().any(|line| line == text), "{text} in {texts}");
    }
    assert_eq!(boot.status("gone"), 1, "what was removed is taken away");
    assert_eq!(boot.text("pending.user"), RESTARTED, "pending under the old name");
    assert_eq!(boot.text("userborn.log").lines().count(), 2, "pending under the old name");
    assert_eq!(boot.status("older"), 1, "pending under the old name");
    assert_eq!(boot.text("old.names"), "");
    assert!(!boot.has("written"), "nobody writes any more");
    assert_eq!(boot.text("kept.user"), "start kept-v1", "not told of the same plaintext");
    assert_eq!(boot.text("conf.user"), "start <kept-v1>", "nor of the same template");
    assert!(boot.text("changed.user").ends_with("start changed-v2"));
    assert!(boot.text("late.user").ends_with("start late-v1"), "what had failed is told");
    assert_eq!(boot.text("failed"), "");
    let exposure = |name: &str| -> Vec<f32> {
        boot.text(name).lines().map(|line| line.parse().unwrap()).collect()
    };
    let (before, after) = (exposure("before.exposure"), exposure("after.exposure"));
    assert_eq!((before.len(), after.len()), (3, 3), "{before:?} {after:?}");
    assert!(
        before.iter().zip(&after).all(|(before, after)| after < before),
        "{before:?} {after:?}"
    );
    let warned = boot
        .journal_of("vaultix-convert.service")
        .into_iter()
        .any(|line| line.priority == 4 && line.message.contains("open for writing"));
    assert!(warned, "who has a file open is named");
    assert_eq!(boot.text("stopped"), "none", "all mounts are gone");
    boot.assert_no_cycle();
}

/// A single restart after `daemon-reload`, before any switch, also hides the ramfs.
pub fn a_restart_loses_nothing(system: System) {
    let host = host(system, "uprestart");
    let boot = host.run(&format!(
        r"{READER}
        reader &
        await /run/reading
        pending
        upgrade
        systemctl daemon-reload
        note restart systemctl restart vaultix-secret@changed.service
        note reload systemctl reload vaultix-secret@kept.service
        note restart.pending systemctl restart vaultix-secret@pending.service
        settle
        note old.names old_names
        rm /run/reading
        wait %1
        note mounts mounts
        note texts tail -n 1 /run/vaultix/kept /run/vaultix/changed /run/vaultix/early /run/vaultix/conf /etc/app/link
        for it in kept changed conf pending; do note $it.user cat /out/$it.log; done
        "
    ));
    assert_eq!(boot.status("restart"), 0, "{}", boot.text("restart"));
    assert_eq!(boot.status("reload"), 0, "{}", boot.text("reload"));
    assert_eq!(boot.text("missed"), "", "no reader misses its file");
    assert_hidden(&boot);
    let texts = boot.text("texts");
    for text in ["kept-v1", "changed-v1", "early-v1", "<kept-v1>", "link-v1"] {
        assert!(texts.lines().any(|line| line == text), "{text} in {texts}");
    }
    for (user, text) in
        [("kept", "start kept-v1"), ("changed", "start changed-v1"), ("conf", "start <kept-v1>")]
    {
        assert_eq!(boot.text(&format!("{user}.user")), text, "not told of the same plaintext");
    }
    assert_eq!(boot.text("pending.user"), RESTARTED, "pending under the old name");
    assert_eq!(boot.text("old.names"), "");
    assert_eq!(boot.failed("final"), [secret_unit("late")], "what had failed still has");
    boot.assert_no_cycle();
}
