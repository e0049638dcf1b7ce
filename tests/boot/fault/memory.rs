//! a place → what its helper must not remember.

use std::fs;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha3::Shake256;
use sha3::digest::{ExtendableOutput as _, Update as _, XofReader as _};
use xtask::canary::marker;

/// Returns what is looked for in memory, by name: the marker of all plaintexts, a line of the file with the host's key, what
/// that key is made of, a piece of a long plaintext; and what is there for sure.
pub fn memories(work: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let key = fs::read_to_string(work.join("host-key")).unwrap();
    let mut all = vec![("marker", marker().into()), ("long", "newnewnewnewnew".into())];
    all.extend(if key.starts_with('-') { of_ssh(&key) } else { of_age(&key) });
    all.push(("profile", "/new.json".into()));
    all
}

/// Returns what an ssh key is made of: a line of its file, and its seed.
fn of_ssh(key: &str) -> Vec<(&'static str, Vec<u8>)> {
    let lines: Vec<&str> = key.lines().filter(|line| !line.starts_with('-')).collect();
    let bytes = BASE64_STANDARD.decode(lines.concat()).unwrap();
    // Seed and public half stand behind their length, 64; see OpenSSH's PROTOCOL.key.
    let length = bytes.windows(4).rposition(|four| four == [0, 0, 0, 64]).unwrap();
    vec![("key", lines[1].into()), ("seed", bytes[length + 4..][..32].into())]
}

/// Returns what a post-quantum identity is made of: the end of its line, its seed, and the seeds of its parts.
fn of_age(key: &str) -> Vec<(&'static str, Vec<u8>)> {
    let line = key.lines().last().unwrap();
    let (_, seed) = bech32::decode(line).unwrap();
    let mut parts = [0; 96];
    Shake256::default().chain(&seed).finalize_xof().read(&mut parts);
    vec![
        ("key", line[line.len() - 24..].into()),
        ("seed", seed),
        ("lattice", parts[..32].into()),
        ("rejection", parts[32..64].into()),
        // What X25519 uses is clamped at both ends.
        ("scalar", parts[65..95].into()),
    ]
}
