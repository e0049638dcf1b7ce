//! a structured file + one new value → the same file with it.
//!
//! Each format has several ways to change a text. What comes out is read again, and compared with the values that should be
//! there; the first for which they are the same counts. So nothing else can change, whatever a format does.

use std::collections::BTreeMap;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::structured::node::{Content, Entry, Node, Origin, Slot, index, is_boolean, is_number};
use crate::structured::pointer::{Part, Pointer};
use crate::structured::splice::{Splice, Text, apply};
use crate::structured::{Format, env, ini, json, read, toml, yaml};

/// A value that is to be written.
pub struct Value<'a> {
    pub text: &'a str,
    pub kind: Kind,
}

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// A number or a boolean, like the one before it.
    Literal,
}

/// The way to a value, as far as it is there.
pub struct Way<'a> {
    pub text: &'a str,
    /// The maps and lists that it leads through, from the whole file on.
    pub above: Vec<&'a Slot>,
    /// Where it ends.
    pub last: &'a Slot,
    /// The same as an entry of a map; `None` in a list, and for the whole file.
    pub entry: Option<&'a Entry>,
    /// The keys that are there: those of `above` but the first, and of `last`.
    pub found: &'a [String],
    /// The keys that are not there.
    pub missing: &'a [String],
}

impl<'a> Way<'a> {
    /// Follows `words` from `root`, which `text` was read as.
    fn new(text: &'a str, root: &'a Slot, words: &'a [String]) -> Result<Self, String> {
        let (mut above, mut last, mut entry) = (Vec::new(), root, None);
        for (at, word) in words.iter().enumerate() {
            let place = |keys| Part(words.get(..keys).unwrap_or_default());
            if last.origin == Origin::Alias {
                return Err(format!("{} is an alias: change what it stands for", place(at)));
            }
            let Some(slot) = last.node.child(word) else { break };
            if slot.origin == Origin::Merged {
                if at + 1 < words.len() {
                    return Err(format!("{} is merged: change it where it is", place(at + 1)));
                }
                break;
            }
            entry = last.node.entry(word);
            above.push(last);
            last = slot;
        }
        let (found, missing) = words.split_at_checked(above.len()).unwrap_or((words, &[]));
        Ok(Self { text, above, last, entry, found, missing })
    }

    /// Returns the number that the last key is in its list.
    pub fn number(&self) -> Option<usize> {
        index(self.found.last()?)
    }
}

/// What a format makes of a text: several ways, the best first.
pub type Ways = Vec<Text>;

/// Returns what `splices` make of `text`.
pub fn spliced(text: &str, splices: impl IntoIterator<Item = Vec<Splice>>) -> Ways {
    splices.into_iter().map(|splices| apply(text, &splices)).collect()
}

/// Returns `text`, a file in `format`, with `value` at `pointer`: in the place of what is there, or as a new last key.
///
/// # Errors
///
/// Why that cannot be, as a clause, without any value.
pub fn set(text: &str, format: Format, pointer: &Pointer, value: &str) -> Result<Text, String> {
    let root = read(text, format).map_err(|malformed| malformed.to_string())?;
    let words = pointer.words();
    let way = Way::new(text, &root, words)?;
    if way.missing.is_empty() && matches!(way.last.node.content, Content::Map(_) | Content::List(_))
    {
        return Err(format!("{pointer} has keys of its own; unset it first"));
    }
    let literal = match &way.last.node.content {
        Content::Literal(old) if way.missing.is_empty() && is_alike(old, value) => {
            Some(Kind::Literal)
        }
        _ => None,
    };
    for kind in literal.into_iter().chain([Kind::Text]) {
        let text = Zeroizing::new(value.to_owned());
        let content =
            if kind == Kind::Literal { Content::Literal(text) } else { Content::Text(text) };
        let expected = with(&root.node, &[], words, content)?;
        let value = Value { text: value, kind };
        let ways = match format {
            Format::Json => json::set(&way, &value),
            Format::Yaml => yaml::edit::set(&way, &value),
            Format::Toml => toml::edit::set(&way, &value),
            Format::Env => env::set(&way, &value)?,
            Format::Ini => ini::set(&way, &value)?,
        };
        let is_right = |new: &Text| read(new, format).is_ok_and(|slot| slot.node == expected);
        if let Some(new) = ways.into_iter().find(is_right) {
            return Ok(new);
        }
    }
    Err(impossible(pointer, format, &root.node))
}

/// Returns `text`, a file in `format`, with each of `values` as a text in the place of the value at its pointer. It is read twice,
/// however many there are.
///
/// # Errors
///
/// Why that cannot be, as a clause, without any value.
pub fn replace_all(
    text: &str,
    format: Format,
    values: &BTreeMap<&Pointer, &str>,
) -> Result<Text, String> {
    let root = read(text, format).map_err(|malformed| malformed.to_string())?;
    let expected = values.iter().map(|(pointer, value)| (pointer.words(), *value)).collect();
    // All in the best way; or all in the one that takes any text.
    for which in [<[Vec<Splice>]>::first, <[Vec<Splice>]>::last] {
        let mut splices = Vec::new();
        for (pointer, value) in values {
            let way = Way::new(text, &root, pointer.words())?;
            if !way.missing.is_empty() {
                root.node.find(pointer)?;
            }
            let value = Value { text: value, kind: Kind::Text };
            let ways = match format {
                Format::Json => json::replacements(&way, &value),
                Format::Yaml => yaml::edit::replacements(&way, &value),
                Format::Toml | Format::Env | Format::Ini => Vec::new(),
            };
            let chosen = which(&ways).ok_or_else(|| impossible(pointer, format, &root.node))?;
            splices.extend(chosen.iter().cloned());
        }
        splices.sort_by_key(|splice| (splice.place.start, splice.place.end));
        let new = apply(text, &splices);
        let is_right = |slot: Slot| is_same_but(&root.node, &slot.node, &mut Vec::new(), &expected);
        if read(&new, format).is_ok_and(is_right) {
            return Ok(new);
        }
    }
    Err(format!("its values cannot be changed without changing more of the {format} text"))
}

/// Returns whether `new` is `old`, which is at `above`, with the texts in `changes`, and nothing else has changed.
fn is_same_but(
    old: &Node,
    new: &Node,
    above: &mut Vec<String>,
    changes: &BTreeMap<&[String], &str>,
) -> bool {
    if let Some(value) = changes.get(above.as_slice()) {
        return matches!(&new.content, Content::Text(text) if text.as_str() == *value);
    }
    let mut is_same = |name: String, old: &Slot, new: &Slot| {
        above.push(name);
        let is_same = is_same_but(&old.node, &new.node, above, changes);
        above.pop();
        is_same
    };
    match (&old.content, &new.content) {
        (Content::Map(old), Content::Map(new)) => {
            let mut pairs = old.iter().zip(new);
            old.len() == new.len()
                && pairs.all(|(old, new)| {
                    old.name == new.name && is_same(old.name.clone(), &old.slot, &new.slot)
                })
        }
        (Content::List(old), Content::List(new)) => {
            let mut pairs = old.iter().zip(new).enumerate();
            old.len() == new.len()
                && pairs.all(|(at, (old, new))| is_same(at.to_string(), old, new))
        }
        _ => old == new,
    }
}

/// Returns `text`, a file in `format`, without what is at `pointer`.
///
/// # Errors
///
/// Why that cannot be, as a clause, without any value.
pub fn unset(text: &str, format: Format, pointer: &Pointer) -> Result<Text, String> {
    let root = read(text, format).map_err(|malformed| malformed.to_string())?;
    let found = root.node.find(pointer)?;
    if found.origin == Origin::Merged {
        return Err(format!("{pointer} is merged: change it where it is"));
    }
    let way = Way::new(text, &root, pointer.words())?;
    let ways = match format {
        Format::Json => json::unset(&way),
        Format::Yaml => yaml::edit::unset(&way),
        Format::Toml => toml::edit::unset(&way),
        Format::Env => env::unset(&way),
        Format::Ini => ini::unset(&way),
    };
    let mut expected = vec![without(&root.node, pointer.words(), Emptied::Kept)?];
    if format == Format::Toml {
        // a.b = 1 says that there is an a; without it, nothing does.
        expected.push(without(&root.node, pointer.words(), Emptied::Removed)?);
    }
    let is_right = |new: &Text| read(new, format).is_ok_and(|slot| expected.contains(&slot.node));
    ways.into_iter().find(is_right).ok_or_else(|| impossible(pointer, format, &root.node))
}

fn impossible(pointer: &Pointer, format: Format, root: &Node) -> String {
    if has_alias(root) {
        format!("{pointer} cannot be changed alone: an alias or << has it elsewhere")
    } else {
        format!("{pointer} cannot be changed without changing more of the {format} text")
    }
}

/// Returns whether a value is in several places at once.
fn has_alias(node: &Node) -> bool {
    let is_alias = |slot: &Slot| slot.origin != Origin::Own || has_alias(&slot.node);
    match &node.content {
        Content::Map(entries) => entries.iter().any(|entry| is_alias(&entry.slot)),
        Content::List(slots) => slots.iter().any(is_alias),
        Content::Text(_) | Content::Literal(_) => false,
    }
}

/// Returns whether `old` and `new` are both numbers, or both booleans.
fn is_alike(old: &str, new: &str) -> bool {
    is_boolean(old) && is_boolean(new) || is_number(old) && is_number(new)
}

/// Returns `node`, which is at `above`, with `content` at `words` below it.
fn with(
    node: &Node,
    above: &[String],
    words: &[String],
    content: Content,
) -> Result<Arc<Node>, String> {
    let Some((word, below)) = words.split_first() else { return Node::new(content) };
    let mut next = above.to_owned();
    next.push(word.clone());
    let child = match node.child(word) {
        Some(slot) => with(&slot.node, &next, below, content)?,
        None => fresh(below, content)?,
    };
    let slot = Slot { node: child, place: 0..0, origin: Origin::Own };
    match &node.content {
        Content::Map(entries) => {
            let mut entries = entries.clone();
            match entries.iter_mut().find(|entry| entry.name == *word) {
                Some(entry) => entry.slot = slot,
                None => entries.push(Entry { name: word.clone(), name_place: 0..0, slot }),
            }
            Node::new(Content::Map(entries))
        }
        Content::List(slots) => {
            let mut slots = slots.clone();
            let number = index(word).filter(|number| *number <= slots.len());
            let number = number.ok_or_else(|| node.missing(above, word))?;
            match slots.get_mut(number) {
                Some(old) => *old = slot,
                None => slots.push(slot),
            }
            Node::new(Content::List(slots))
        }
        // `smtp:` in YAML, with nothing below it.
        Content::Literal(text) if text.is_empty() => {
            Node::new(Content::Map(vec![Entry { name: word.clone(), name_place: 0..0, slot }]))
        }
        Content::Text(_) | Content::Literal(_) => Err(node.missing(above, word)),
    }
}

/// Returns maps with `content` at `words`.
fn fresh(words: &[String], content: Content) -> Result<Arc<Node>, String> {
    let mut node = Node::new(content)?;
    for word in words.iter().rev() {
        let slot = Slot { node, place: 0..0, origin: Origin::Own };
        node = Node::new(Content::Map(vec![Entry { name: word.clone(), name_place: 0..0, slot }]))?;
    }
    Ok(node)
}

/// What becomes of a map whose last key is removed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Emptied {
    Kept,
    Removed,
}

/// Returns `node` without what is at `words` below it.
fn without(node: &Node, words: &[String], emptied: Emptied) -> Result<Arc<Node>, String> {
    let Some((word, below)) = words.split_first() else {
        return Node::new(Content::Map(Vec::new()));
    };
    let mut changed = None;
    if let (Some(slot), false) = (node.child(word), below.is_empty()) {
        let child = without(&slot.node, below, emptied)?;
        let is_empty = matches!(&child.content, Content::Map(entries) if entries.is_empty());
        if !is_empty || emptied == Emptied::Kept {
            changed = Some(Slot { node: child, place: 0..0, origin: Origin::Own });
        }
    }
    match &node.content {
        Content::Map(entries) => {
            let mut entries = entries.clone();
            let at = entries.iter().position(|entry| entry.name == *word).unwrap_or(entries.len());
            let old = entries.splice(at..(at + 1).min(entries.len()), []).next();
            if let (Some(old), Some(slot)) = (old, changed) {
                entries.push(Entry { slot, ..old });
            }
            Node::new(Content::Map(entries))
        }
        Content::List(slots) => {
            let mut slots = slots.clone();
            let at = index(word).unwrap_or(slots.len()).min(slots.len());
            drop(slots.splice(at..(at + 1).min(slots.len()), changed));
            Node::new(Content::List(slots))
        }
        Content::Text(_) | Content::Literal(_) => Err("it has no keys".to_owned()),
    }
}

#[cfg(test)]
mod tests;
