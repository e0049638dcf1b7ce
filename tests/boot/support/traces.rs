//! a boot that is over → where a plaintext was seen in clear outside of the ramfs.
//!
//! Each plaintext has the marker in it. Processes are looked at from outside, by `cargo xtask test`.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use xtask::canary::{holds, marker};

use super::boot::Boot;

/// Files that hold the marker, but no plaintext. They show that the searches find what there is.
const CONTROLS: [&str; 2] = ["/canary/marker", "/canary/plain.sed"];

/// Returns every trace of a plaintext in the journal, on the console, in what programs said, and in files outside of
/// the ramfs; but not in those of `/out` that show what was read.
///
/// Where a file should have one, `kept` or a control, and has not, that is also returned.
pub fn of(boot: &Boot, kept: &[String]) -> Vec<String> {
    let mut traces = Vec::new();
    if holds(&journal(boot), &marker()) {
        traces.push("the journal".to_owned());
    }
    let silent = fs::read_to_string(boot.out().join("silent")).unwrap_or_default();
    for name in silent.lines().chain(["console", "script.errors"]) {
        if holds(&fs::read(boot.out().join(name)).unwrap(), &marker()) {
            traces.push(format!("/out/{name}"));
        }
    }
    let found: BTreeSet<String> =
        [listed(boot, "disk"), listed(boot, "memory")].concat().into_iter().collect();
    let wanted = CONTROLS.map(str::to_owned).into_iter().chain(kept.iter().cloned()).collect();
    traces.extend(found.difference(&wanted).cloned());
    traces.extend(wanted.difference(&found).map(|path| format!("no plaintext in {path}")));
    traces
}

/// Returns all fields of all lines of the journal, as they are.
fn journal(boot: &Boot) -> Vec<u8> {
    let output = Command::new("journalctl")
        .args(["--quiet", "--no-pager", "--output=export", "--all", "--directory"])
        .arg(boot.out().join("journal"))
        .output()
        .unwrap();
    assert!(output.status.success(), "journalctl: {}", String::from_utf8_lossy(&output.stderr));
    assert!(holds(&output.stdout, "MESSAGE="), "the journal has lines");
    output.stdout
}

/// Returns the paths that a search has listed.
fn listed(boot: &Boot, search: &str) -> Vec<String> {
    let text = fs::read_to_string(boot.out().join(search)).unwrap();
    let lines = text.lines().map(|line| line.trim_start_matches('.').to_owned());
    lines.collect()
}
