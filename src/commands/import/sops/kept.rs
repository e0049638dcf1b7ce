//! sops file + its values → the same file in clear, without sops' metadata.
//!
//! Names, order, quotes and comments stay as they are, as far as sops has them.

use std::collections::BTreeSet;
use std::ops::Range;

use vaultix_units::plaintext::Plaintext;
use zeroize::Zeroizing;

use crate::commands::import::sops::Leaf;
use crate::commands::import::sops::value::{self, Bytes, DataKey};
use crate::structured::{self, Document, Format, Pointer};

/// The pointer to sops' metadata.
const METADATA: &str = "/sops";

/// How a comment begins that sops has encrypted.
const COMMENT: &str = "#ENC[AES256_GCM,data:";

/// A part of the text, and what is there instead.
type Change = (Range<usize>, Zeroizing<Vec<u8>>);

/// Returns `text`, a file of sops in `format`, with `values` in the places of its `leaves`.
///
/// # Errors
///
/// Why that cannot be, as a clause; never a value.
pub fn keep(
    text: &str,
    format: Format,
    leaves: &[Leaf],
    values: Vec<Bytes>,
    key: &DataKey,
) -> Result<Plaintext, String> {
    let shown = leaves
        .iter()
        .zip(values)
        .map(|(leaf, mut value)| (leaf, Zeroizing::new(leaf.shown(std::mem::take(&mut *value)))));
    let shown: Vec<(&Leaf, Zeroizing<Vec<u8>>)> = shown.collect();
    let is_literal = |leaf: &Leaf| {
        leaf.is_sealed() && matches!(value::kind(&leaf.text), Some("int" | "float" | "bool"))
    };
    let literals = shown.iter().filter(|(leaf, _)| is_literal(leaf));
    let mut changes: Vec<Change> =
        literals.map(|(leaf, value)| (leaf.place.clone(), value.clone())).collect();
    changes.extend(comments(text, leaves, key));
    changes.sort_by_key(|(place, _)| place.start);

    let pointer = |text: &str| Pointer::from_user(text);
    let mut new = structured::unset(&changed(text, &changes), format, &pointer(METADATA)?)?;
    for (leaf, value) in &shown {
        if leaf.is_sealed() && !is_literal(leaf) {
            new = structured::set(&new, format, &pointer(&leaf.pointer)?, value)?;
        }
    }
    // What is a number to sops may be none to others.
    let document = Document::parse(&new, format).map_err(|malformed| malformed.to_string())?;
    for (leaf, value) in &shown {
        if document.get(&pointer(&leaf.pointer)?)? != *value {
            return Err(format!("{} cannot be written in {format}", leaf.pointer));
        }
    }
    Ok(Plaintext::new(std::mem::take(&mut *new)))
}

/// Returns `text` with `changes`, which are in order.
fn changed(text: &str, changes: &[Change]) -> Zeroizing<Vec<u8>> {
    let more = changes.iter().map(|(_, with)| with.len()).sum::<usize>();
    let mut new = Zeroizing::new(Vec::with_capacity(text.len() + more));
    let mut at = 0;
    for (place, with) in changes {
        new.extend_from_slice(text.get(at..place.start).unwrap_or_default().as_bytes());
        new.extend_from_slice(with);
        at = place.end;
    }
    new.extend_from_slice(text.get(at..).unwrap_or_default().as_bytes());
    new
}

/// Returns the comments of `text` that are encrypted, and what they say. One that opens nowhere is left empty.
fn comments(text: &str, leaves: &[Leaf], key: &DataKey) -> Vec<Change> {
    let is_value = |at: usize| leaves.iter().any(|leaf| leaf.place.contains(&at));
    let found = text.match_indices(COMMENT).filter(|(at, _)| !is_value(*at));
    let comment = |(at, _): (usize, &str)| {
        let end = at + text.get(at..)?.find(']')? + 1;
        let sealed = text.get(at + 1..end)?;
        let opened = maps(leaves, at).iter().find_map(|map| key.open(sealed, map).ok());
        let mut new = Zeroizing::new(b"#".to_vec());
        // What is one comment to sops is one line.
        new.extend(opened.iter().flat_map(|text| text.iter()).map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            byte => *byte,
        }));
        Some((at..end, new))
    };
    found.filter_map(comment).collect()
}

/// Returns the places of the maps that a comment at the byte `at` may be in, as sops writes them into what it encrypts: those
/// around the next value and the one before it.
fn maps(leaves: &[Leaf], at: usize) -> BTreeSet<String> {
    let next = leaves.iter().find(|leaf| leaf.place.start > at);
    let before = leaves.iter().rfind(|leaf| leaf.place.start < at);
    let around = |leaf: &Leaf| {
        let ends = leaf.aad.match_indices(':').map(|(end, _)| end + 1);
        ends.map(|end| leaf.aad.get(..end).unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let around = next.into_iter().chain(before).flat_map(around);
    around.chain([":".to_owned()]).collect()
}
