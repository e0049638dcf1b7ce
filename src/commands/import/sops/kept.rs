//! sops file + its values → the same file in clear, without sops' metadata.
//!
//! Names, order, quotes and comments stay as they are, as far as sops has them.

use std::collections::BTreeSet;
use std::ops::Range;

use vaultix_units::plaintext::Plaintext;
use zeroize::Zeroizing;

use crate::commands::import::sops::value::{self, Bytes, DataKey};
use crate::commands::import::sops::{Leaf, Names};
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
    changes.extend(comments(text, leaves, key)?);
    changes.sort_by_key(|(place, _)| place.start);

    let pointer = |text: &str| Pointer::from_user(text);
    let new = structured::unset(&changed(text, &changes), format, &pointer(METADATA)?)?;
    let texts = shown.iter().filter(|(leaf, _)| leaf.is_sealed() && !is_literal(leaf));
    let texts = texts.map(|(leaf, value)| Ok((pointer(&leaf.pointer)?, value.as_slice())));
    let texts: Vec<(Pointer, &[u8])> = texts.collect::<Result<_, String>>()?;
    let texts = texts.iter().map(|(pointer, value)| (pointer, *value)).collect();
    let mut new = structured::replace_all(&new, format, &texts)?;
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
fn comments(text: &str, leaves: &[Leaf], key: &DataKey) -> Result<Vec<Change>, String> {
    let mut order: Vec<&Leaf> = leaves.iter().collect();
    order.sort_by_key(|leaf| leaf.place.start);
    let mut names = Names::default();
    let mut found = Vec::new();
    for (at, _) in text.match_indices(COMMENT) {
        let next = order.partition_point(|leaf| leaf.place.start <= at);
        let before = next.checked_sub(1).and_then(|before| order.get(before));
        if before.is_some_and(|leaf| leaf.place.contains(&at)) {
            continue;
        }
        let Some(end) = text.get(at..).and_then(|rest| rest.find(']')) else { continue };
        let end = at + end + 1;
        let sealed = text.get(at + 1..end).unwrap_or_default();
        let around = order.get(next).into_iter().chain(before).copied();
        let maps = maps(around);
        for map in &maps {
            names.add(map);
        }
        names.ensure_bounded()?;
        let opened = maps.into_iter().find_map(|map| key.open(sealed, map).ok());
        let mut new = Zeroizing::new(b"#".to_vec());
        // What is one comment to sops is one line.
        new.extend(opened.iter().flat_map(|text| text.iter()).map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            byte => *byte,
        }));
        found.push((at..end, new));
    }
    Ok(found)
}

/// Returns the places of the maps that a comment between the leaves `around` may be in, as sops writes them into what it encrypts.
fn maps<'a>(around: impl Iterator<Item = &'a Leaf>) -> BTreeSet<&'a str> {
    let of = |leaf: &'a Leaf| {
        let ends = leaf.aad.match_indices(':').map(|(end, _)| end + 1);
        ends.map(|end| leaf.aad.get(..end).unwrap_or_default())
    };
    around.flat_map(of).chain([":"]).collect()
}
