//! a place → what its helper must not remember.

use std::fs;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use xtask::canary::marker;

/// Returns what is looked for in memory, by name: the marker of all plaintexts, a line of the file with the host's key, the key's
/// seed, a piece of a long plaintext; and what is there for sure.
pub fn memories(work: &Path) -> [(&'static str, Vec<u8>); 5] {
    let key = fs::read_to_string(work.join("host-key")).unwrap();
    let lines: Vec<&str> = key.lines().filter(|line| !line.starts_with('-')).collect();
    let bytes = BASE64_STANDARD.decode(lines.concat()).unwrap();
    // Seed and public half stand behind their length, 64; see OpenSSH's PROTOCOL.key.
    let length = bytes.windows(4).rposition(|four| four == [0, 0, 0, 64]).unwrap();
    [
        ("marker", marker().into()),
        ("key", lines[1].into()),
        ("seed", bytes[length + 4..][..32].into()),
        ("long", "newnewnewnewnew".into()),
        ("profile", "/new.json".into()),
    ]
}
