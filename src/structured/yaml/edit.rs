//! YAML + one new value → how the text can change.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use super::{dash, is_literal};
use crate::structured::edit::{Kind, Value, Way, Ways, spliced};
use crate::structured::flow::Flow;
use crate::structured::json::{number, parts};
use crate::structured::node::{Content, Entry, Origin, Slot};
use crate::structured::splice::{Splice, Text, indent, line_end, line_start, lines, newline};

/// How much deeper each level of a new map is.
const INDENT: usize = 2;

/// Words that other readers take for a boolean or null, as YAML 1.1 did.
const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan"];

/// Returns `way.text` with `value` at the end of `way`.
pub fn set(way: &Way, value: &Value) -> Ways {
    let is_flow = way.above.iter().chain([&way.last]).any(|slot| is_flow(way.text, slot));
    match (way.missing, &way.last.node.content) {
        ([], _) => replace(way, value, is_flow),
        (missing, Content::Literal(_)) => below_nothing(way, missing, value),
        (missing, _) if is_flow => add_in_brackets(way, missing, value),
        (missing, _) => add(way, missing, value),
    }
}

/// Returns `way.text` without what is at the end of `way`.
pub fn unset(way: &Way) -> Ways {
    let (Some(parent), Some(number)) = (way.above.last(), number(way)) else { return Ways::new() };
    let parts = parts(parent);
    if way.above.iter().any(|slot| is_flow(way.text, slot)) {
        let flow = Flow { text: way.text, place: parent.place.clone(), parts };
        return spliced(way.text, flow.remove(number));
    }
    let Some(part) = parts.get(number) else { return Ways::new() };
    let is_list = matches!(parent.node.content, Content::List(_));
    // The dash of a list is before its part.
    let start = if is_list { dash(way.text, part.start) } else { part.start };
    let whole = lines(way.text, &(start..part.end));
    let mut ways = Vec::new();
    if parts.len() == 1 {
        let empty = if is_list { "[]" } else { "{}" };
        if let Some(colon) = colon_of_parent(way) {
            let splices = vec![Splice::insert(colon, format!(" {empty}")), Splice::remove(whole)];
            ways.push(splices);
        }
        ways.push(vec![Splice::new(parent.place.clone(), empty)]);
    } else if indent(way.text, start).is_some() {
        ways.push(vec![Splice::remove(whole)]);
    } else if let Some(next) = parts.get(number + 1) {
        let end = if is_list { dash(way.text, next.start) } else { next.start };
        ways.push(vec![Splice::remove(start..end)]);
    }
    spliced(way.text, ways)
}

/// Returns whether a map or list is written in brackets.
fn is_flow(text: &str, slot: &Slot) -> bool {
    let is_container = matches!(slot.node.content, Content::Map(_) | Content::List(_));
    is_container && text.get(slot.place.clone()).is_some_and(|text| text.starts_with(['{', '[']))
}

/// Returns where the colon ends after the key of the map or list that `way` ends in.
fn colon_of_parent(way: &Way) -> Option<usize> {
    let parent = way.above.last()?;
    let grandparent = way.above.len().checked_sub(2).and_then(|at| way.above.get(at))?;
    let name = way.found.get(way.above.len() - 2)?;
    let Content::Map(entries) = &grandparent.node.content else { return None };
    let entry = entries.iter().find(|entry| entry.name == *name)?;
    colon(way.text, entry).filter(|colon| *colon <= parent.place.start)
}

/// Returns where the colon ends after the key of `entry`.
fn colon(text: &str, entry: &Entry) -> Option<usize> {
    let after = text.get(entry.name_place.end..)?;
    let blanks = after.len() - after.trim_start_matches([' ', '\t']).len();
    after.get(blanks..)?.starts_with(':').then(|| entry.name_place.end + blanks + 1)
}

/// Returns the column of the byte `at`, in bytes.
fn column(text: &str, at: usize) -> usize {
    at - line_start(text, at)
}

/// Replaces the value that is there.
fn replace(way: &Way, value: &Value, is_flow: bool) -> Ways {
    spliced(way.text, splices(way, value, is_flow))
}

/// Returns in which ways `value` can be written in the place of the one that `way` leads to, the best first; the last takes any
/// text.
pub fn replacements(way: &Way, value: &Value) -> Vec<Vec<Splice>> {
    let is_flow = way.above.iter().any(|slot| is_flow(way.text, slot));
    let is_value = matches!(way.last.node.content, Content::Text(_) | Content::Literal(_));
    if is_value { splices(way, value, is_flow) } else { Vec::new() }
}

fn splices(way: &Way, value: &Value, is_flow: bool) -> Vec<Vec<Splice>> {
    let place = way.last.place.clone();
    let old = way.text.get(place.clone()).unwrap_or_default();
    // The column of the key, or of the dash: a text with lines of its own is deeper.
    let outer = match (way.entry, way.above.last()) {
        // Not needed there, and a long line is not searched for each of its values.
        _ if is_flow => 0,
        (Some(entry), _) => column(way.text, entry.name_place.start),
        (None, Some(list)) => column(way.text, list.place.start),
        (None, None) => 0,
    };
    let mut ways = Vec::new();
    for written in written(value, old, outer + INDENT, is_flow) {
        let space = match way.text.get(..place.start) {
            Some(before) if before.ends_with([':', '-']) => " ",
            _ => "",
        };
        let new = match written {
            Written::Inline(text) => {
                vec![Splice::new(place.clone(), format!("{space}{}", *text))]
            }
            Written::Lines { head, body } if old.starts_with(['|', '>']) => {
                let lines = Zeroizing::new(format!("{head}{}", *body));
                // With the empty lines after it, which may be part of it.
                let rest = way.text.get(place.end..).unwrap_or_default();
                let blank = rest.get(..rest.len() - rest.trim_start().len()).unwrap_or_default();
                let end = place.end + blank.rfind('\n').unwrap_or_default();
                ways.push(vec![Splice::new(place.clone(), lines.as_str())]);
                vec![Splice::new(place.start..end, lines.as_str())]
            }
            // What is on the rest of the line is a comment.
            Written::Lines { head, body } => vec![
                Splice::new(place.clone(), format!("{space}{head}")),
                Splice::insert(line_end(way.text, place.end), body.as_str()),
            ],
        };
        ways.push(new);
    }
    ways
}

/// Adds a key to a map, or a part to a list.
fn add(way: &Way, missing: &[String], value: &Value) -> Ways {
    let text = way.text;
    let own = match &way.last.node.content {
        Content::Map(entries) => {
            let own = entries.iter().find(|entry| entry.slot.origin == Origin::Own);
            own.map(|entry| column(text, entry.name_place.start))
        }
        Content::List(_) => Some(column(text, way.last.place.start)),
        _ => None,
    };
    let is_root = way.above.is_empty();
    // A map that only merges others begins with <<.
    let column = own.or_else(|| (!is_root).then(|| column(text, way.last.place.start)));
    let column = column.unwrap_or(0);
    let is_list = matches!(way.last.node.content, Content::List(_));
    let newline = newline(text);
    let mut ways = Vec::new();
    for block in block(missing, value, column, is_list, newline) {
        let before = if text.is_empty() || text.ends_with('\n') { "" } else { newline };
        let after_all = Splice::insert(text.len(), format!("{before}{}{newline}", *block));
        if own.is_none() && is_root && way.last.place.is_empty() {
            ways.push(vec![after_all]);
            continue;
        }
        let end = line_end(text, way.last.place.end);
        ways.push(vec![Splice::insert(end, format!("{newline}{}", *block))]);
        // After empty lines that are part of the last value.
        let rest = text.get(end..).unwrap_or_default();
        let next = text.len() - rest.trim_start().len();
        let start = line_start(text, next);
        if start > end {
            ways.push(vec![Splice::insert(start, format!("{}{newline}", *block))]);
        }
        if is_root {
            // After parts that are nothing, and have no place.
            ways.push(vec![after_all]);
        }
    }
    spliced(text, ways)
}

/// Adds a key below one that has no value.
fn below_nothing(way: &Way, missing: &[String], value: &Value) -> Ways {
    let Some(entry) = way.entry else { return Ways::new() };
    let Some(colon) = colon(way.text, entry) else { return Ways::new() };
    let deeper = column(way.text, entry.name_place.start) + INDENT;
    let newline = newline(way.text);
    let end = line_end(way.text, colon);
    let ways = block(missing, value, deeper, false, newline).into_iter();
    let splice = |block: Text| vec![Splice::insert(end, format!("{newline}{}", *block))];
    spliced(way.text, ways.map(splice))
}

fn add_in_brackets(way: &Way, missing: &[String], value: &Value) -> Ways {
    let place = way.last.place.clone();
    let flow = Flow { text: way.text, place, parts: parts(way.last) };
    let is_map = matches!(way.last.node.content, Content::Map(_));
    let mut ways = Vec::new();
    for written in written(value, "", 0, true) {
        let Written::Inline(mut part) = written else { continue };
        let names = if is_map { missing } else { missing.get(1..).unwrap_or_default() };
        for (i, name) in names.iter().enumerate().rev() {
            let is_inner = i > 0 || !is_map;
            let pair = format!("{}: {}", *key(name), *part);
            part = Zeroizing::new(if is_inner { format!("{{{pair}}}") } else { pair });
        }
        ways.push(flow.append(&part));
    }
    spliced(way.text, ways)
}

/// Returns the lines of a new key or part, without the last newline, in several ways.
fn block(
    missing: &[String],
    value: &Value,
    column: usize,
    is_list: bool,
    newline: &str,
) -> Vec<Text> {
    let mut start = " ".repeat(column);
    let mut deeper = column;
    for (i, name) in missing.iter().enumerate() {
        if i == 0 && is_list {
            start.push('-');
        } else if i == 1 && is_list {
            start.push(' ');
            start.push_str(&key(name));
            start.push(':');
            deeper += INDENT;
        } else {
            if i > 0 {
                deeper += INDENT;
                start.push_str(newline);
                start.push_str(&" ".repeat(deeper));
            }
            start.push_str(&key(name));
            start.push(':');
        }
    }
    let written = written(value, "", deeper + INDENT, false).into_iter();
    let whole = written.map(|written| match written {
        Written::Inline(text) => format!("{start} {}", *text),
        Written::Lines { head, body } => format!("{start} {head}{}", *body),
    });
    whole.map(Zeroizing::new).collect()
}

/// A value as YAML writes it.
enum Written {
    Inline(Text),
    /// In lines of its own: what is before them, and they, each with a newline before it.
    Lines {
        head: String,
        body: Text,
    },
}

/// Returns how `value` can be written in the place of `old`, best first.
fn written(value: &Value, old: &str, indent: usize, is_flow: bool) -> Vec<Written> {
    let inline = |text: String| Written::Inline(Zeroizing::new(text));
    if value.kind == Kind::Literal {
        return vec![inline(value.text.to_owned())];
    }
    let text = value.text;
    let is_shown = text.chars().all(is_printable);
    let (has_lines, has_break) = (text.trim_end_matches('\n').contains('\n'), text.contains('\n'));
    let mut ways = Vec::new();
    if old.starts_with('"') {
        // As before.
    } else if !is_flow && is_shown && has_break && (has_lines || old.starts_with(['|', '>'])) {
        ways.push(literal(text, indent));
    } else if is_shown && !has_break {
        if !old.starts_with('\'') && is_plain(text) {
            ways.push(inline(text.to_owned()));
        }
        ways.push(inline(format!("'{}'", text.replace('\'', "''"))));
    }
    ways.push(Written::Inline(double_quoted(text)));
    ways
}

/// Returns `text` in lines of its own, at the column `indent`.
fn literal(text: &str, indent: usize) -> Written {
    let chomp = if !text.ends_with('\n') {
        "-"
    } else if text.ends_with("\n\n") || text == "\n" {
        "+"
    } else {
        ""
    };
    // Spaces at the beginning of the first line would count as indentation.
    let digit = if text.starts_with([' ', '\n']) { INDENT.to_string() } else { String::new() };
    let mut body = Zeroizing::new(String::with_capacity(text.len() * 2));
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        body.push('\n');
        if !line.is_empty() {
            body.push_str(&" ".repeat(indent));
            body.push_str(line);
        }
    }
    Written::Lines { head: format!("|{digit}{chomp}"), body }
}

/// Returns whether a character stands for itself in all but double quotes.
fn is_printable(character: char) -> bool {
    !character.is_control() && !matches!(character, '\u{feff}' | '\u{2028}' | '\u{2029}')
        || matches!(character, '\n')
}

/// Returns whether `text` needs no quotes, for any reader.
fn is_plain(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|one| one.is_ascii_alphanumeric() || "_-./@+%".contains(one))
        && !is_literal(text)
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Returns a key as YAML writes it.
fn key(name: &str) -> Text {
    Zeroizing::new(if is_plain(name) {
        name.to_owned()
    } else if name.chars().all(is_printable) && !name.contains('\n') {
        format!("'{}'", name.replace('\'', "''"))
    } else {
        return double_quoted(name);
    })
}

fn double_quoted(text: &str) -> Text {
    let mut quoted = Zeroizing::new("\"".to_owned());
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            _ if is_printable(character) => quoted.push(character),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(quoted, "\\U{:08x}", u32::from(character));
            }
        }
    }
    quoted.push('"');
    quoted
}
