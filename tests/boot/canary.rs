//! a host on which much goes well and much fails → no trace of a plaintext but on the ramfs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use xtask::canary::{Seen, Watch, files, fresh_marker, holds, marked};
use xtask::system::System;

use crate::support::{Boot, Scenario, placeholder};

/// Lists files that were changed since the boot and hold a line of `/fixtures/texts`, wherever a program could have put
/// one: all but the ramfs, the ciphertexts' store, and what the machine itself is made of.
const SEARCH: &str = r"
find /run /tmp /var/tmp /var/log /var/lib /var/cache /dev/shm /etc /opt /srv /home /core* /root -xdev -newer /scenario \
    -type f -print0 2>/dev/null | xargs -0 --no-run-if-empty grep -laF -f /fixtures/texts >/out/found
";

/// Where a plaintext of this host was seen in clear.
struct Traces {
    processes: Seen,
    files: String,
    /// Files of the journal, and what else came out of the container.
    out: Vec<PathBuf>,
    lines: usize,
}

/// Boots the host, runs `script`, and looks everywhere.
fn boot(mut host: Scenario, marker: &str, script: &str) -> Traces {
    host.kernel("systemd.log_level=debug");
    host.file("/fixtures/texts", format!("{marker}\n"));
    let watch = Watch::start(&[marker], Duration::ZERO);
    let boot = host.run(&format!("{script}\n{SEARCH}"));
    let (looks, processes) = watch.end();
    assert!(looks > 1000, "only {looks} looks at processes");
    traces(&boot, marker, processes)
}

fn traces(boot: &Boot, marker: &str, processes: Seen) -> Traces {
    let journal = boot.journal();
    assert!(journal.len() > 100, "the journal is talkative");
    Traces {
        processes,
        files: boot.text("found"),
        out: files(&boot.out(), &[marker]),
        lines: journal.iter().filter(|line| holds(line.message.as_bytes(), marker)).count(),
    }
}

/// Every verb of the helper, as a unit and by hand, with success and with failure of every kind.
pub fn no_plaintext_leaves_the_ramfs(system: System) {
    let marker = fresh_marker();
    let text = |name: &str| format!("{name} {marker} {}", placeholder("other"));
    let mut host = Scenario::new(system, "canary");
    host.nixos();
    host.file("/etc/users", "");
    host.secret("good", text("good"));
    host.secret_with("reader", text("reader"), json!({ "restartUnits": ["reader.service"] }));
    host.secret_with("nobody", text("nobody"), json!({ "owner": "nobody-of-this-name" }));
    host.secret_with("place", text("place"), json!({ "path": "/proc/place/x", "symlink": false }));
    host.secret_with("disk", text("disk"), json!({ "path": "/etc/disk/x", "symlink": false }));
    host.secret_with("long", text("long").repeat(100_000), json!({}));
    let mut damaged = crate::support::encrypt(host.recipient(), text("damaged").as_bytes());
    *damaged.last_mut().unwrap() ^= 1;
    host.ciphertext("damaged", Some(&damaged), json!({}));
    let stranger = crate::support::encrypt(&host.stranger(), text("stranger").as_bytes());
    host.ciphertext("stranger", Some(&stranger), json!({}));
    host.profile()["placeholder"] = json!({ "good": placeholder("good") });
    host.profile()["templates"] = json!({
        "app.conf": { "content": format!("x = {}", placeholder("good")) },
        "bad.conf": { "content": format!("{} {}", placeholder("good"), placeholder("none")) },
    });
    host.unit("reader.service", "[Service]\nType=exec\nExecStart=/bin/sleep infinity\n");
    host.fixture("new", text("new"));
    let mut next = host.profile().clone();
    next["secrets"]["good"]["cipher"] = host.store("good-2", text("good-2")).into();
    host.next("two", &next);

    let traces = boot(
        host,
        &marker,
        r"
        grep -qF -f /fixtures/texts /run/vaultix/good /run/vaultix/app.conf && echo yes >/out/there
        systemctl restart 'vaultix-*@*' ; systemctl reload vaultix-secret@good
        reencrypt reader new; systemctl restart vaultix-secret@reader
        vaultix-decrypt check; vaultix-decrypt secret -- disk; vaultix-decrypt template -- bad.conf
        switch_to two
        ulimit -c unlimited
        for i in $(seq 20); do
            vaultix-decrypt secret -- long & sleep 0.0$i; kill -ABRT $! ; wait
        done
        systemctl status --no-pager --full --lines=100 'vaultix-*' >/out/status-of-all
        journalctl --flush
        ",
    );
    assert!(traces.processes.is_empty(), "{:?}", traces.processes);
    assert_eq!(traces.files, "");
    assert_eq!(
        (traces.out, traces.lines),
        (Vec::new(), 0),
        "files outside, and lines of the journal"
    );
}

/// What every boot is searched for is found, wherever it is.
pub fn a_boot_with_a_leak_fails(system: System) {
    let mut host = Scenario::new(system, "found");
    host.secret("good", "text");
    host.unit("leak.service", "[Service]\nType=oneshot\nExecStart=/bin/cat /run/vaultix/good\n");
    host.keeps(&["/run/app", "/srv/kept"]);
    let (_, traces) = host.run_and_search(
        r#"
        for place in /run/app /run/copy /tmp/copy /dev/shm/copy /var/tmp/copy /etc/copy /root/core; do
            cp /run/vaultix/good $place
        done
        # No program that runs has it as an argument: that would be seen from outside.
        text=$(cat /run/vaultix/good)
        : >"/run/$text"
        : >"/var/$text"
        note said head /run/vaultix/good
        cat /run/vaultix/good >&2
        "#,
    );
    let text = String::from_utf8(marked(b"text")).unwrap();
    // Compared as sets: where the names with the text in them stand among the others depends on the text.
    let expected = [
        "the journal",
        "/out/said",
        "/out/script.errors",
        "/dev/shm/copy",
        "/etc/copy",
        "/root/core",
        "/run/copy",
        &format!("/run/{text}"),
        "/tmp/copy",
        &format!("/var/{text}"),
        "/var/tmp/copy",
        "no plaintext in /srv/kept",
    ];
    let traces: BTreeSet<&str> = traces.iter().map(String::as_str).collect();
    assert_eq!(traces, BTreeSet::from(expected));
}

/// The same search finds what a careless service would do.
pub fn a_leak_is_seen(system: System) {
    let marker = fresh_marker();
    let mut host = Scenario::new(system, "leak");
    host.secret("good", &marker);
    let script = r#"text=$(plain /run/vaultix/good); echo "$text"; echo "$text" >/var/tmp/copy
        LEAK=$text sleep 1; sh -c "sleep 1; : $text""#;
    host.file("/leak", script);
    host.unit("leak.service", "[Service]\nType=oneshot\nExecStart=/bin/sh /leak\n");
    let traces = boot(host, &marker, "grep -q . /run/vaultix/good");
    for part in ["environ of sleep", "cmdline of sh"] {
        assert!(traces.processes.contains_key(part), "{part} is not in {:?}", traces.processes);
    }
    assert!(traces.files.contains("/var/tmp/copy"), "{}", traces.files);
    assert!(!traces.out.is_empty() && traces.lines > 0, "{:?}, {}", traces.out, traces.lines);
}
