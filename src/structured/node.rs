//! What a structured file consists of, whatever its format.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use serde_json::value::RawValue;
use vaultix_generator::size;
use zeroize::Zeroizing;

use crate::report;
use crate::structured::pointer::{Part, Pointer};

/// How deep a file may be (64): it is read by functions that call themselves.
pub const MAX_DEPTH: usize = 64;

/// How many values a file may have, maps and lists among them, with all that aliases stand for (2^20).
const MAX_NODES: usize = 1 << 20;

/// How much the values of a file may amount to, in bytes, with all that aliases stand for (128 MiB): a small file can have a
/// long value and many aliases of it.
const MAX_TEXT: usize = 128 << 20;

/// How much the pointers to all values of a file may amount to, in bytes (64 MiB): a small file can have a long key and many
/// values below it.
const MAX_NAMES: usize = 64 << 20;

/// A value, a map or a list.
///
/// Two are equal if they mean the same, wherever they are.
pub struct Node {
    pub content: Content,
    size: Size,
    /// The entries of a map with many, sorted by their names; made when the first of them is looked for.
    order: OnceLock<Vec<usize>>,
}

/// From how many entries on a map is sorted, to find them (32).
const MANY: usize = 32;

/// What is in a node.
pub enum Content {
    /// In the order of the file.
    Map(Vec<Entry>),
    List(Vec<Slot>),
    /// A text, without quotes and escapes.
    Text(Zeroizing<String>),
    /// A number, a boolean, null or a date, as the file writes it.
    Literal(Zeroizing<String>),
}

/// A key in a map and what it stands for.
#[derive(Clone)]
pub struct Entry {
    pub name: String,
    /// Where the key is in the file, in bytes.
    pub name_place: Range<usize>,
    pub slot: Slot,
}

/// A place for a node.
#[derive(Clone)]
pub struct Slot {
    pub node: Arc<Node>,
    /// Where the node is in the file, in bytes; empty where it has no place of its own.
    pub place: Range<usize>,
    pub origin: Origin,
}

/// How a node came into its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is there.
    Own,
    /// There is an alias of it (YAML).
    Alias,
    /// The map merges one that has it (YAML).
    Merged,
}

/// What a node and all below it amount to.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    /// Bytes of values.
    text: usize,
    /// Bytes of the pointers to all nodes below.
    names: usize,
    /// Levels, this one included.
    depth: usize,
}

impl Size {
    /// Adds a node whose key has `name` bytes.
    fn add(&mut self, name: usize, below: Self) {
        let names = below.nodes.saturating_mul(name.saturating_add(1)).saturating_add(below.names);
        self.nodes = self.nodes.saturating_add(below.nodes);
        self.text = self.text.saturating_add(below.text);
        self.names = self.names.saturating_add(names);
        self.depth = self.depth.max(below.depth.saturating_add(1));
    }

    fn ensure_bounded(self) -> Result<(), String> {
        if self.depth > MAX_DEPTH {
            return Err(format!("it is more than {MAX_DEPTH} levels deep"));
        }
        if self.nodes > MAX_NODES {
            return Err(format!("it has more than {MAX_NODES} values"));
        }
        if self.text > MAX_TEXT {
            return Err(format!("its values amount to more than {}", size::shown(MAX_TEXT as u64)));
        }
        if self.names > MAX_NAMES {
            return Err(format!(
                "the keys of its values amount to more than {MAX_NAMES} bytes, with all keys above each of them"
            ));
        }
        Ok(())
    }
}

impl Node {
    /// Takes `content`.
    ///
    /// # Errors
    ///
    /// When it is larger than a file may be, as a clause.
    pub fn new(content: Content) -> Result<Arc<Self>, String> {
        let mut size = Size { nodes: 1, depth: 1, ..Size::default() };
        match &content {
            Content::Map(entries) => {
                for entry in entries {
                    size.add(entry.name.len(), entry.slot.node.size);
                }
            }
            Content::List(slots) => {
                for slot in slots {
                    size.add(6, slot.node.size); // The digits of a number below `MAX_NODES`, or one less.
                }
            }
            Content::Text(text) | Content::Literal(text) => size.text = text.len(),
        }
        size.ensure_bounded()?;
        Ok(Arc::new(Self { content, size, order: OnceLock::new() }))
    }

    /// Returns what is at `pointer`, and how it got there.
    ///
    /// # Errors
    ///
    /// Where the path ends, with the keys that are there, as a clause.
    pub fn find(&self, pointer: &Pointer) -> Result<&Slot, String> {
        let words = pointer.words();
        let (mut node, mut found) = (self, None);
        for (at, word) in words.iter().enumerate() {
            let slot = node
                .child(word)
                .ok_or_else(|| node.missing(words.get(..at).unwrap_or_default(), word))?;
            node = &slot.node;
            found = Some(slot);
        }
        found.ok_or_else(|| "it is empty".to_owned())
    }

    /// Returns what is at the key `word`.
    pub fn child(&self, word: &str) -> Option<&Slot> {
        match &self.content {
            Content::Map(_) => self.entry(word).map(|entry| &entry.slot),
            Content::List(slots) => slots.get(index(word)?),
            Content::Text(_) | Content::Literal(_) => None,
        }
    }

    /// Returns the entry called `name`, if this is a map.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        let Content::Map(entries) = &self.content else { return None };
        if entries.len() < MANY {
            return entries.iter().find(|entry| entry.name == name);
        }
        let name_at = |at: &usize| entries.get(*at).map(|entry| entry.name.as_str());
        let order = self.order.get_or_init(|| {
            let mut order: Vec<usize> = (0..entries.len()).collect();
            order.sort_by_key(name_at);
            order
        });
        let first = order.partition_point(|at| name_at(at) < Some(name));
        let entry = order.get(first).and_then(|at| entries.get(*at));
        entry.filter(|entry| entry.name == name)
    }

    /// Says that there is no `word` below `above`, where this node is.
    pub fn missing(&self, above: &[String], word: &str) -> String {
        let place = Part(above);
        match &self.content {
            Content::Map(entries) if entries.is_empty() => format!("{place} has no keys"),
            Content::Map(entries) => {
                let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
                format!("{place} has no key \"{word}\"; it has {}", report::list(&names))
            }
            Content::List(slots) if slots.is_empty() => format!("{place} is an empty list"),
            Content::List(slots) => {
                format!("{place} is a list with the keys 0 to {}", slots.len() - 1)
            }
            Content::Text(_) | Content::Literal(_) => format!("{place} is a value, without keys"),
        }
    }

    /// Returns what a host gets: a text byte for byte, a number, a boolean or null as the file writes it, a map or a list as
    /// compact JSON.
    ///
    /// # Errors
    ///
    /// When there is a number in a map or a list that JSON does not have, as a clause.
    pub fn value(&self) -> Result<Zeroizing<Vec<u8>>, String> {
        match &self.content {
            Content::Text(text) | Content::Literal(text) => {
                Ok(Zeroizing::new(text.as_bytes().to_vec()))
            }
            Content::Map(_) | Content::List(_) => {
                let mut json = Zeroizing::new(Vec::new());
                self.write_json(&mut json)?;
                Ok(json)
            }
        }
    }

    fn write_json(&self, json: &mut Zeroizing<Vec<u8>>) -> Result<(), String> {
        match &self.content {
            Content::Map(entries) => {
                let mut sign = b'{';
                for entry in entries {
                    json.push(sign);
                    write_text(&entry.name, json);
                    json.push(b':');
                    entry.slot.node.write_json(json)?;
                    sign = b',';
                }
                json.extend_from_slice(if entries.is_empty() { b"{}" } else { b"}" });
            }
            Content::List(slots) => {
                let mut sign = b'[';
                for slot in slots {
                    json.push(sign);
                    slot.node.write_json(json)?;
                    sign = b',';
                }
                json.extend_from_slice(if slots.is_empty() { b"[]" } else { b"]" });
            }
            Content::Text(text) => write_text(text, json),
            Content::Literal(text) => write_literal(text, json)?,
        }
        Ok(())
    }

    /// Adds the pointers to all nodes below to `found`; `above` leads to this one.
    pub fn collect_keys(&self, above: &mut Vec<String>, found: &mut Vec<Pointer>) {
        let mut add = |word: String, node: &Self| {
            above.push(word);
            found.extend(Pointer::from_words(above.clone()));
            node.collect_keys(above, found);
            above.pop();
        };
        match &self.content {
            Content::Map(entries) => {
                for entry in entries {
                    add(entry.name.clone(), &entry.slot.node);
                }
            }
            Content::List(slots) => {
                for (i, slot) in slots.iter().enumerate() {
                    add(i.to_string(), &slot.node);
                }
            }
            Content::Text(_) | Content::Literal(_) => {}
        }
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        match (&self.content, &other.content) {
            (Content::Map(own), Content::Map(other)) => is_same_map(own, other),
            (Content::List(own), Content::List(other)) => own.iter().eq(other),
            (Content::Text(own), Content::Text(other))
            | (Content::Literal(own), Content::Literal(other)) => own == other,
            _ => false,
        }
    }
}

/// Returns whether two maps have the same keys with the same values, in any order.
fn is_same_map(own: &[Entry], other: &[Entry]) -> bool {
    // Values are compared once: to compare them twice at each level would take too long for a deep file.
    if own.iter().map(|it| &it.name).eq(other.iter().map(|it| &it.name)) {
        return own.iter().map(|it| &it.slot).eq(other.iter().map(|it| &it.slot));
    }
    let other: BTreeMap<&str, &Slot> =
        other.iter().map(|entry| (entry.name.as_str(), &entry.slot)).collect();
    own.len() == other.len()
        && own.iter().all(|entry| other.get(entry.name.as_str()) == Some(&&entry.slot))
}

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.node, &other.node) || self.node == other.node
    }
}

/// The keys of a map while it is read.
#[derive(Default)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// Adds a key.
    ///
    /// # Errors
    ///
    /// When the map already has it.
    pub fn add(&mut self, name: &str) -> Result<(), String> {
        if self.0.insert(name.to_owned()) {
            Ok(())
        } else {
            Err(format!("the key \"{name}\" is there twice"))
        }
    }
}

/// Returns the number that `word` is as a key of a list: in decimal, without a sign or a zero before it.
pub fn index(word: &str) -> Option<usize> {
    let is_number = word == "0"
        || !word.starts_with('0') && !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    word.parse().ok().filter(|_| is_number)
}

fn write_text(text: &str, json: &mut Zeroizing<Vec<u8>>) {
    // A vector takes any text.
    let _ = serde_json::to_writer(&mut **json, text);
}

/// Writes a number, a boolean, null or a date as JSON, which has fewer ways to write them.
fn write_literal(text: &str, json: &mut Zeroizing<Vec<u8>>) -> Result<(), String> {
    if is_null(text) {
        json.extend_from_slice(b"null");
    } else if is_boolean(text) {
        json.extend_from_slice(text.to_ascii_lowercase().as_bytes());
    } else if serde_json::from_str::<&RawValue>(text).is_ok() {
        json.extend_from_slice(text.as_bytes());
    } else if let Some(number) = number(text) {
        json.extend_from_slice(number.as_bytes());
    } else if is_infinite(text) {
        return Err("it contains infinity or NaN, which JSON does not have".to_owned());
    } else {
        // A date.
        write_text(text, json);
    }
    Ok(())
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

pub fn is_boolean(text: &str) -> bool {
    matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
}

pub fn is_number(text: &str) -> bool {
    number(text).is_some()
}

fn is_infinite(text: &str) -> bool {
    let word = text.trim_start_matches(['+', '-', '.']);
    word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("nan")
}

/// Returns a number as JSON writes it: without signs, bases and underscores that only YAML and TOML have; `None` if it is none,
/// or infinite.
fn number(text: &str) -> Option<Zeroizing<String>> {
    let text = Zeroizing::new(text.replace('_', ""));
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(&text)),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let in_base = |prefix, base| {
        let rest = digits.strip_prefix(prefix).filter(|rest| !rest.starts_with(['+', '-']))?;
        u128::from_str_radix(rest, base).ok()
    };
    let number = in_base("0x", 16).or_else(|| in_base("0o", 8)).or_else(|| in_base("0b", 2));
    let number = if let Some(number) = number {
        number.to_string()
    } else if is_digits(digits) {
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() { "0".to_owned() } else { digits.to_owned() }
    } else {
        let is_begun = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
        let float = digits.parse::<f64>().ok().filter(|float| is_begun && float.is_finite())?;
        serde_json::to_string(&float).ok()?
    };
    Some(Zeroizing::new(format!("{sign}{number}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_one_way_to_write_a_number() {
        for (text, expected) in [
            ("5432", "5432"),
            ("-1.50e3", "-1.50e3"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("+1", "1"),
            ("007", "7"),
            ("000", "0"),
            ("0x1F", "31"),
            ("-0o17", "-15"),
            ("1_000.5", "1000.5"),
            (".5", "0.5"),
            ("5.", "5.0"),
            ("~", "null"),
            ("", "null"),
            ("True", "true"),
            ("1979-05-27T07:32:00Z", "\"1979-05-27T07:32:00Z\""),
        ] {
            let mut json = Zeroizing::new(Vec::new());
            write_literal(text, &mut json).unwrap();
            assert_eq!(String::from_utf8_lossy(&json), expected, "{text}");
        }
        for text in [".inf", "-.Inf", "nan", "+inf", ".NaN"] {
            assert!(write_literal(text, &mut Zeroizing::new(Vec::new())).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_of_a_list_is_written_in_one_way() {
        for (word, expected) in
            [("0", Some(0)), ("12", Some(12)), ("01", None), ("+1", None), ("", None), ("-", None)]
        {
            assert_eq!(index(word), expected, "{word}");
        }
    }
}
