//! YAML or JSON → its values in order, and sops' metadata.
//!
//! JSON is read as the YAML that it is.

use std::borrow::Cow;

use crate::commands::import::sops::header::Metadata;
use crate::commands::import::sops::{Leaf, Names};
use crate::structured::node::{Content, Entry, Origin, Slot};
use crate::structured::yaml_documents;

/// The key under which sops writes its metadata.
const METADATA: &str = "sops";

/// Reads all documents of `text`.
///
/// # Errors
///
/// Where it cannot be read, without any of its text.
pub fn read(text: &str) -> Result<(Vec<Leaf>, Metadata), String> {
    let documents = yaml_documents(text).map_err(|malformed| malformed.to_string())?;
    let (mut leaves, mut metadata, mut names) = (Vec::new(), Metadata::new(), Names::default());
    for (i, document) in documents.iter().enumerate() {
        let Content::Map(entries) = &document.node.content else {
            return Err("it is not a mapping".to_owned());
        };
        for Entry { name, slot, .. } in entries {
            if name == METADATA && i == 0 {
                flatten(slot, String::new(), &mut metadata, &mut names)?;
            } else if name != METADATA {
                collect(
                    slot,
                    &mut vec![name.clone()],
                    name,
                    &pointer("", name),
                    &mut leaves,
                    &mut names,
                )?;
            }
        }
    }
    Ok((leaves, metadata))
}

/// Returns the pointer to `name` in the map that the pointer `above` leads to.
fn pointer(above: &str, name: &str) -> String {
    format!("{above}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Adds the leaves of `slot`, which is below `keys` and where the pointer `at` leads, to `leaves`.
///
/// Lists have numbers in `id` but not in `keys`, as in the places that sops writes into its values.
fn collect(
    slot: &Slot,
    keys: &mut Vec<String>,
    id: &str,
    at: &str,
    leaves: &mut Vec<Leaf>,
    names: &mut Names,
) -> Result<(), String> {
    ensure_own(slot)?;
    names.add(id);
    names.ensure_bounded()?;
    let mut leaf = |text: &str, clear: Cow<str>| {
        leaves.push(Leaf {
            aad: keys.join(":") + ":",
            id: id.to_owned(),
            text: text.to_owned(),
            clear: clear.into_owned(),
            pointer: at.to_owned(),
            place: slot.place.clone(),
        });
    };
    match &slot.node.content {
        Content::Map(entries) => {
            for Entry { name, slot, .. } in entries {
                keys.push(name.clone());
                collect(slot, keys, &format!("{id}/{name}"), &pointer(at, name), leaves, names)?;
                keys.pop();
            }
        }
        Content::List(slots) => {
            for (i, slot) in slots.iter().enumerate() {
                collect(slot, keys, &format!("{id}/{i}"), &format!("{at}/{i}"), leaves, names)?;
            }
        }
        Content::Literal(text) if is_null(text) => {}
        Content::Literal(text) => leaf(text, resolve(text)),
        Content::Text(text) => leaf(text, text.as_str().into()),
    }
    Ok(())
}

/// Adds the scalars of `slot` to `metadata`, under the names that they have in formats without lists.
fn flatten(
    slot: &Slot,
    name: String,
    metadata: &mut Metadata,
    names: &mut Names,
) -> Result<(), String> {
    ensure_own(slot)?;
    names.add(&name);
    names.ensure_bounded()?;
    let below = |kind: &str, key: &str| {
        if name.is_empty() { key.to_owned() } else { format!("{name}__{kind}_{key}") }
    };
    match &slot.node.content {
        Content::Map(entries) => {
            for entry in entries {
                flatten(&entry.slot, below("map", &entry.name), metadata, names)?;
            }
        }
        Content::List(slots) => {
            for (i, slot) in slots.iter().enumerate() {
                flatten(slot, below("list", &i.to_string()), metadata, names)?;
            }
        }
        Content::Text(text) | Content::Literal(text) => {
            metadata.insert(name, text.to_string());
        }
    }
    Ok(())
}

/// Refuses what is there by an alias: the code of a file is over each value once.
fn ensure_own(slot: &Slot) -> Result<(), String> {
    match slot.origin {
        Origin::Own => Ok(()),
        Origin::Alias | Origin::Merged => {
            Err("it has an alias, which sops does not write".to_owned())
        }
    }
}

/// Returns whether a plain scalar is nothing at all; sops leaves that alone.
fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Returns a plain scalar as sops counts it in a file's code.
fn resolve(text: &str) -> Cow<'_, str> {
    let is_number =
        text.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit() || c == '.');
    match text {
        "true" | "True" | "TRUE" => "True".into(),
        "false" | "False" | "FALSE" => "False".into(),
        _ if is_number && text.parse::<i64>().is_err() => match text.parse::<f64>() {
            Ok(number) => number.to_string().into(),
            Err(_) => text.into(),
        },
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::structured::node::MAX_DEPTH;

    /// Reads `text`, and returns ids, places and what counts for the code.
    fn leaves(text: &str) -> Vec<(String, String, String)> {
        let (leaves, _) = read(text).unwrap();
        leaves.into_iter().map(|leaf| (leaf.id, leaf.aad, leaf.clear)).collect()
    }

    #[test]
    fn lists_have_numbers_in_ids_but_not_in_places() {
        let found = leaves("a:\n  - b: x\n  - y\n");
        let expected = [("a/0/b", "a:b:", "x"), ("a/1", "a:", "y")];
        assert_eq!(found, expected.map(|(i, p, c)| (i.to_owned(), p.to_owned(), c.to_owned())));
    }

    #[test]
    fn values_in_clear_count_as_sops_writes_them() {
        for (text, expected) in [
            ("true", "True"),
            ("FALSE", "False"),
            ("\"true\"", "true"),
            ("493", "493"),
            ("1.50", "1.5"),
            ("-.5", "-0.5"),
            ("1e3", "1000"),
            ("12345678901234567890", "12345678901234567000"),
            ("1.2.3.4", "1.2.3.4"),
            ("infinity", "infinity"),
        ] {
            assert_eq!(leaves(&format!("a: {text}"))[0].2, expected, "{text}");
        }
        assert!(leaves("{\"a\": null, \"b\": ~}").is_empty());
    }

    #[test]
    fn metadata_is_flat() {
        let (leaves, metadata) =
            read("sops:\n  age:\n    - enc: x\n  mac: y\n---\nsops: 1\n").unwrap();
        assert!(leaves.is_empty());
        assert_eq!(metadata["age__list_0__map_enc"], "x");
        assert_eq!(metadata["mac"], "y");
    }

    #[test]
    fn a_malformed_document_is_refused_without_its_text() {
        for (text, reason) in [
            ("a: &b hunter2\nc: *b", "it has an alias, which sops does not write"),
            ("hunter2", "it is not a mapping"),
            ("a: [hunter2", "line 2: while parsing a flow sequence, expected ',' or ']'"),
            ("? [a]\n: hunter2", "line 1: there is a key that is not text"),
        ] {
            assert_eq!(read(text).err().unwrap(), reason, "{text}");
        }
        for (open, close) in [("[", "]"), ("{a: ", "}")] {
            let deep = |levels| format!("a: {}x{}", open.repeat(levels), close.repeat(levels));
            assert!(read(&deep(MAX_DEPTH - 2)).is_ok());
            let refused = read(&deep(MAX_DEPTH - 1)).err().unwrap();
            assert_eq!(refused, "line 1: it is more than 64 levels deep");
        }
    }
}
