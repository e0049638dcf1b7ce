//! any bytes → the recipients in their header, if they are an age file.

use vaultix_units::decrypt::{recipients, stanzas};
use vaultix_units::stanza::describe;

/// How an age file begins.
const FIRST: &[u8] = b"age-encryption.org/v1\n";

/// Reads a header, and compares the recipients with its lines.
pub fn check(bytes: &[u8]) {
    let whole = [FIRST, bytes].concat();
    for file in [bytes, &whole] {
        let found = recipients(file);
        assert_eq!(found.is_ok(), stanzas(file).is_ok());
        let Ok(found) = found else {
            continue;
        };
        let lines = model(file);
        let kinds: Vec<&str> =
            lines.iter().map(|words| words[0]).filter(|kind| !kind.ends_with("-grease")).collect();
        assert_eq!(found.iter().map(|one| &*one.kind).collect::<Vec<_>>(), kinds);
        for (one, words) in found.iter().zip(lines.iter().filter(|it| !it[0].ends_with("-grease")))
        {
            let tag = words.get(1).filter(|_| words[0].starts_with("ssh-")).copied();
            assert_eq!(one.tag.as_deref(), tag);
        }
        assert!(!describe(&found).contains('\n'), "an error is one line");
    }
}

/// Returns the words of each line that begins a stanza.
fn model(file: &[u8]) -> Vec<Vec<&str>> {
    assert!(file.starts_with(FIRST));
    let lines = file[FIRST.len()..].split(|byte| *byte == b'\n');
    lines
        .take_while(|line| !line.starts_with(b"---"))
        .filter_map(|line| line.strip_prefix(b"-> "))
        .map(|line| str::from_utf8(line).unwrap().split(' ').collect())
        .collect()
}
