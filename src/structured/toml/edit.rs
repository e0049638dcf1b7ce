//! TOML + one new value → how the text can change.

use toml_edit::{Document, DocumentMut, Item, Table};
use zeroize::Zeroizing;

use crate::structured::edit::{Kind, Value, Way, Ways, spliced};
use crate::structured::flow::Flow;
use crate::structured::json::{number, parts, quoted};
use crate::structured::node::{Content, index};
use crate::structured::splice::{Splice, Text, lines};

/// Returns `way.text` with `value` at the end of `way`.
pub fn set(way: &Way, value: &Value) -> Ways {
    let old = way.text.get(way.last.place.clone()).unwrap_or_default();
    let written = || written(value, old).into_iter();
    if way.missing.is_empty() {
        let splice = |text: Text| vec![Splice::new(way.last.place.clone(), text.as_str())];
        spliced(way.text, written().map(splice))
    } else if is_value(way.text, way.found) {
        spliced(way.text, written().map(|text| add_in_brackets(way, text)))
    } else {
        added(way, value.text).into_iter().collect()
    }
}

/// Returns `way.text` without what is at the end of `way`.
pub fn unset(way: &Way) -> Ways {
    let (Some(parent), Some(number)) = (way.above.last(), number(way)) else { return Ways::new() };
    let above = way.found.get(..way.found.len().saturating_sub(1)).unwrap_or_default();
    if is_value(way.text, above) {
        let flow = Flow { text: way.text, place: parent.place.clone(), parts: parts(parent) };
        return spliced(way.text, flow.remove(number));
    }
    let mut ways = Ways::new();
    if let Some(entry) = way.entry.filter(|_| is_value(way.text, way.found)) {
        let place = lines(way.text, &(entry.name_place.start..way.last.place.end));
        ways.extend(spliced(way.text, [vec![Splice::remove(place)]]));
    }
    ways.extend(removed(way));
    ways
}

/// Returns whether `words` lead to a value in `text`, also one in brackets, and to no table with lines of its own.
fn is_value(text: &str, words: &[String]) -> bool {
    let Ok(document) = Document::parse(text) else { return false };
    let found = words.iter().try_fold(document.as_item(), |item, word| {
        if is_list(item) { item.get(index(word)?) } else { item.get(word) }
    });
    found.is_some_and(Item::is_value)
}

fn is_list(item: &Item) -> bool {
    item.is_array() || item.is_array_of_tables()
}

/// Returns the item of `document` that `words` lead to.
fn item_mut<'a>(document: &'a mut DocumentMut, words: &[String]) -> Option<&'a mut Item> {
    words.iter().try_fold(document.as_item_mut(), |item, word| {
        if is_list(item) { item.get_mut(index(word)?) } else { item.get_mut(word) }
    })
}

/// Adds a key to a table, or a table to a list of tables; `None` if more than that would change.
fn added(way: &Way, value: &str) -> Option<Text> {
    let mut document = Document::parse(way.text).ok()?.into_mut();
    let (name, below) = way.missing.split_first()?;
    let mut new = toml_edit::value(value);
    for name in below.iter().rev() {
        let mut table = Table::new();
        table.set_implicit(new.is_table());
        table.insert(name, new);
        new = Item::Table(table);
    }
    match item_mut(&mut document, way.found)? {
        Item::ArrayOfTables(tables) => tables.push(new.into_table().ok()?),
        item => drop(item.as_table_like_mut()?.insert(name, new)),
    }
    let new = Zeroizing::new(document.to_string());
    let same = |(old, new): &(u8, u8)| old == new;
    let before = way.text.bytes().zip(new.bytes()).take_while(same).count();
    let after = way.text.bytes().rev().zip(new.bytes().rev()).take_while(same).count();
    (before + after >= way.text.len()).then_some(new)
}

/// Removes a table; `None` if more than its lines would change.
fn removed(way: &Way) -> Option<Text> {
    let mut document = Document::parse(way.text).ok()?.into_mut();
    let (name, above) = way.found.split_last()?;
    match item_mut(&mut document, above)? {
        Item::ArrayOfTables(tables) => drop(tables.remove(index(name)?)),
        item => drop(item.as_table_like_mut()?.remove(name)),
    }
    let new = Zeroizing::new(document.to_string());
    let mut old = way.text.lines();
    new.lines().all(|line| old.any(|other| other == line)).then_some(new)
}

fn add_in_brackets(way: &Way, mut part: Text) -> Vec<Splice> {
    let flow = Flow { text: way.text, place: way.last.place.clone(), parts: parts(way.last) };
    let is_map = matches!(way.last.node.content, Content::Map(_));
    let names = if is_map { way.missing } else { way.missing.get(1..).unwrap_or_default() };
    for (i, name) in names.iter().enumerate().rev() {
        let pair = format!("{} = {}", *key(name), *part);
        part = Zeroizing::new(if i > 0 || !is_map { format!("{{ {pair} }}") } else { pair });
    }
    flow.append(&part)
}

fn key(name: &str) -> Text {
    let is_bare = |one: char| one.is_ascii_alphanumeric() || one == '_' || one == '-';
    if !name.is_empty() && name.chars().all(is_bare) {
        Zeroizing::new(name.to_owned())
    } else {
        basic(name)
    }
}

/// Returns how `value` can be written in the place of `old`, best first.
fn written(value: &Value, old: &str) -> Vec<Text> {
    if value.kind == Kind::Literal {
        return vec![Zeroizing::new(value.text.to_owned())];
    }
    let is_literal = old.starts_with('\'') && !value.text.contains('\'');
    let literal = is_literal.then(|| Zeroizing::new(format!("'{}'", value.text)));
    // In several lines where it has several, and without escapes where it can.
    let free = Zeroizing::new(toml_edit::Value::from(value.text).to_string());
    let rest = match old {
        old if old.starts_with('"') && !old.starts_with("\"\"\"") => [basic(value.text), free],
        _ => [free, basic(value.text)],
    };
    literal.into_iter().chain(rest).collect()
}

/// Returns `text` in double quotes: JSON's escapes are among TOML's, which also escapes DEL.
fn basic(text: &str) -> Text {
    Zeroizing::new(quoted(text).replace('\u{7f}', "\\u007f"))
}
