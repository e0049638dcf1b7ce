//! docs/troubleshooting.md → each message that it explains is one that a program of ours can say.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// What the system or a parser says, or what is put together from words.
const OF_OTHERS: [&str; 10] = [
    "is not active, cannot reload",
    "cannot read",
    "invalid type:",
    ": No such file or directory",
    ": Permission denied",
    "Read-only file system",
    "Cannot allocate memory",
    "No space left on device",
    "requires lock file changes but they're not allowed",
    "vaultix-decrypt",
];

/// Returns the text of all sources in `folder`, strings in it as they are printed.
fn sources(folder: &Path) -> String {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        if path.is_dir() { sources(path) } else { fs::read_to_string(path).unwrap() }
    };
    let text: String = paths.iter().map(read).collect();
    let mut pieces = text.split("\\\n");
    let first = pieces.next().unwrap_or_default().to_owned();
    let joined = pieces.fold(first, |text, piece| text + piece.trim_start());
    let plain = joined.replace("\\\"", "\"");
    // Of a format string, of which there is no telling.
    format!("{plain}{}", plain.replace("{{", "{").replace("}}", "}"))
}

#[test]
fn every_message_is_one_of_ours() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let ours: String =
        ["units/src", "generator/src", "src"].map(|folder| sources(&root.join(folder))).concat();
    let page = fs::read_to_string(root.join("docs/troubleshooting.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let messages: Vec<&str> = rows
        .flat_map(|row| row.split(" | ").next().unwrap_or_default().split('`').skip(1).step_by(2))
        .collect();
    assert!(messages.len() > 50, "the tables are gone: {messages:?}");
    let is_known =
        |piece: &str| OF_OTHERS.iter().any(|other| piece.contains(other)) || ours.contains(piece);
    let unknown: Vec<&str> = messages
        .iter()
        .flat_map(|message| message.split('…'))
        .map(|piece| piece.trim_matches([' ', '"']))
        .filter(|piece| !is_known(piece))
        .collect();
    assert_eq!(unknown, [""; 0], "nobody says these");
}
