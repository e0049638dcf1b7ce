//! YAML or JSON → its values in order, and sops' metadata.
//!
//! JSON is read as the YAML that it is.

use std::borrow::Cow;

use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::commands::import::sops::header::Metadata;
use crate::commands::import::sops::{Leaf, Names};

/// The key under which sops writes its metadata.
const METADATA: &str = "sops";

/// How deep a document may be (64): it is read by functions that call themselves.
const MAX_DEPTH: usize = 64;

/// A part of a document.
enum Node {
    /// Parts with names, in order.
    Mapping(Vec<(String, Node)>),
    /// Parts without names.
    List(Vec<Node>),
    Scalar {
        text: String,
        /// Whether it has no quotes, so that `1` is a number.
        is_plain: bool,
    },
}

/// Reads all documents of `text`.
///
/// # Errors
///
/// Where it cannot be read, without any of its text.
pub fn read(text: &str) -> Result<(Vec<Leaf>, Metadata), String> {
    let mut reader = Reader { parser: Parser::new_from_str(text) };
    let (mut leaves, mut metadata, mut names) = (Vec::new(), Metadata::new(), Names::default());
    for (i, node) in reader.documents()?.into_iter().enumerate() {
        let Node::Mapping(entries) = node else {
            return Err("it is not a mapping".to_owned());
        };
        for (key, node) in entries {
            if key == METADATA && i == 0 {
                flatten(&node, String::new(), &mut metadata, &mut names)?;
            } else if key != METADATA {
                collect(node, &mut vec![key.clone()], key, &mut leaves, &mut names)?;
            }
        }
    }
    Ok((leaves, metadata))
}

/// Adds the leaves of `node`, which is below `keys`, to `leaves`.
///
/// Lists have numbers in `id` but not in `keys`, as in the places that sops writes into its values.
fn collect(
    node: Node,
    keys: &mut Vec<String>,
    id: String,
    leaves: &mut Vec<Leaf>,
    names: &mut Names,
) -> Result<(), String> {
    names.add(&id);
    names.ensure_bounded()?;
    match node {
        Node::Mapping(entries) => {
            for (key, node) in entries {
                keys.push(key.clone());
                collect(node, keys, format!("{id}/{key}"), leaves, names)?;
                keys.pop();
            }
        }
        Node::List(nodes) => {
            for (i, node) in nodes.into_iter().enumerate() {
                collect(node, keys, format!("{id}/{i}"), leaves, names)?;
            }
        }
        Node::Scalar { text, is_plain } if is_plain && is_null(&text) => {}
        Node::Scalar { text, is_plain } => {
            let clear = if is_plain { resolve(&text).into_owned() } else { text.clone() };
            leaves.push(Leaf { aad: keys.join(":") + ":", id, text, clear });
        }
    }
    Ok(())
}

/// Adds the scalars of `node` to `metadata`, under the names that they have in formats without lists.
fn flatten(
    node: &Node,
    name: String,
    metadata: &mut Metadata,
    names: &mut Names,
) -> Result<(), String> {
    names.add(&name);
    names.ensure_bounded()?;
    let below = |kind: &str, key: &str| {
        if name.is_empty() { key.to_owned() } else { format!("{name}__{kind}_{key}") }
    };
    match node {
        Node::Mapping(entries) => {
            for (key, node) in entries {
                flatten(node, below("map", key), metadata, names)?;
            }
        }
        Node::List(parts) => {
            for (i, part) in parts.iter().enumerate() {
                flatten(part, below("list", &i.to_string()), metadata, names)?;
            }
        }
        Node::Scalar { text, .. } => {
            metadata.insert(name, text.clone());
        }
    }
    Ok(())
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

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn documents(&mut self) -> Result<Vec<Node>, String> {
        let mut documents = Vec::new();
        let mut event = self.next()?;
        while !matches!(event, Event::StreamEnd) {
            if matches!(event, Event::DocumentStart(_)) {
                let first = self.next()?;
                documents.push(self.node(first, 0)?);
            }
            event = self.next()?;
        }
        Ok(documents)
    }

    fn next(&mut self) -> Result<Event<'a>, String> {
        match self.parser.next() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(format!("line {} is malformed", error.marker().line())),
            None => Ok(Event::StreamEnd),
        }
    }

    /// Returns the part that begins with `event`.
    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<Node, String> {
        if depth > MAX_DEPTH {
            return Err(format!("it is more than {MAX_DEPTH} levels deep"));
        }
        match event {
            Event::Scalar(text, style, ..) => {
                let is_plain = matches!(style, ScalarStyle::Plain);
                Ok(Node::Scalar { text: text.into_owned(), is_plain })
            }
            Event::SequenceStart(..) => self.list(depth),
            Event::MappingStart(..) => self.mapping(depth),
            Event::Alias(_) => Err("it has an alias, which sops does not write".to_owned()),
            _ => Err("it ends too early".to_owned()),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Node, String> {
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(Node::List(nodes)),
                event => nodes.push(self.node(event, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Node, String> {
        let mut entries = Vec::new();
        loop {
            match self.next()? {
                Event::MappingEnd => return Ok(Node::Mapping(entries)),
                Event::Scalar(key, ..) => {
                    let value = self.next()?;
                    entries.push((key.into_owned(), self.node(value, depth + 1)?));
                }
                _ => return Err("it has a key that is not text".to_owned()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("a: [hunter2", "line 2 is malformed"),
            ("? [a]\n: hunter2", "it has a key that is not text"),
        ] {
            assert_eq!(read(text).err().unwrap(), reason, "{text}");
        }
        for (open, close) in [("[", "]"), ("{a: ", "}")] {
            let deep = |levels| format!("a: {}x{}", open.repeat(levels), close.repeat(levels));
            assert!(read(&deep(MAX_DEPTH - 1)).is_ok());
            assert_eq!(read(&deep(MAX_DEPTH)).err().unwrap(), "it is more than 64 levels deep");
        }
    }
}
