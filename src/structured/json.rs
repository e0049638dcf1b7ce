//! JSON (RFC 8259) → its values, and where they are; and how to change one.

use std::ops::Range;

use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use crate::structured::Malformed;
use crate::structured::edit::{Kind, Value, Way, Ways, spliced};
use crate::structured::flow::Flow;
use crate::structured::node::{Content, Entry, MAX_DEPTH, Names, Node, Origin, Slot};
use crate::structured::splice::{Splice, Text, line_start, newline};

/// Reads `text`.
pub fn read(text: &str) -> Result<Slot, Malformed> {
    // Whether it is JSON at all; what follows reads only what is.
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| malformed(&error))?;
    let mut reader = Reader { text, at: 0 };
    reader.value(1)
}

/// Returns what serde says, which quotes nothing.
fn malformed(error: &serde_json::Error) -> Malformed {
    let whole = error.to_string();
    let reason = whole.split(" at line ").next().unwrap_or_default().to_owned();
    Malformed { line: (error.line() > 0).then_some(error.line()), reason }
}

/// Reads a text that is JSON.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    /// Returns the next character that is not white space, which it leaves there.
    fn next(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn value(&mut self, depth: usize) -> Result<Slot, Malformed> {
        if depth > MAX_DEPTH {
            return Err(format!("it is more than {MAX_DEPTH} levels deep").into());
        }
        let first = self.next();
        let start = self.at;
        let content = match first {
            Some(b'{') => Content::Map(self.map(depth)?),
            Some(b'[') => Content::List(self.list(depth)?),
            Some(b'"') => Content::Text(Zeroizing::new(self.string()?.0)),
            _ => {
                let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
                let is_end = |byte: &u8| byte.is_ascii_whitespace() || b",]}".contains(byte);
                self.at += rest.iter().take_while(|byte| !is_end(byte)).count();
                let text = self.text.get(start..self.at).unwrap_or_default();
                Content::Literal(Zeroizing::new(text.to_owned()))
            }
        };
        Ok(Slot { node: Node::new(content)?, place: start..self.at, origin: Origin::Own })
    }

    fn map(&mut self, depth: usize) -> Result<Vec<Entry>, Malformed> {
        let mut entries = Vec::new();
        let mut names = Names::default();
        self.at += 1;
        while self.next() == Some(b'"') {
            let (name, name_place) = self.string()?;
            names
                .add(&name)
                .map_err(|reason| Malformed::at(self.text, name_place.start, reason))?;
            self.next();
            self.at += 1; // The colon.
            let slot = self.value(depth + 1)?;
            entries.push(Entry { name, name_place, slot });
            self.skip_comma();
        }
        self.at += 1;
        Ok(entries)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Slot>, Malformed> {
        let mut slots = Vec::new();
        self.at += 1;
        while !matches!(self.next(), Some(b']') | None) {
            slots.push(self.value(depth + 1)?);
            self.skip_comma();
        }
        self.at += 1;
        Ok(slots)
    }

    fn skip_comma(&mut self) {
        if self.next() == Some(b',') {
            self.at += 1;
        }
    }

    /// Reads the string that begins here, and returns where it is.
    fn string(&mut self) -> Result<(String, Range<usize>), Malformed> {
        let start = self.at;
        let mut is_escaped = true; // The quote that begins it.
        for byte in self.text.as_bytes().get(start..).unwrap_or_default() {
            self.at += 1;
            match byte {
                b'"' if !is_escaped => break,
                b'\\' if !is_escaped => is_escaped = true,
                _ => is_escaped = false,
            }
        }
        let quoted = self.text.get(start..self.at).unwrap_or_default();
        let text = serde_json::from_str(quoted)
            .map_err(|error| Malformed { line: None, ..malformed(&error) })
            .map_err(|error| Malformed::at(self.text, start, error.reason))?;
        Ok((text, start..self.at))
    }
}

/// Returns `way.text` with `value` at the end of `way`.
pub fn set(way: &Way, value: &Value) -> Ways {
    let written = || match value.kind {
        Kind::Literal => Zeroizing::new(value.text.to_owned()),
        Kind::Text => quoted(value.text),
    };
    let Some((first, below)) = way.missing.split_first() else {
        return spliced(way.text, [vec![Splice::new(way.last.place.clone(), written().as_str())]]);
    };
    let place = way.last.place.clone();
    let flow = Flow { text: way.text, place: place.clone(), parts: parts(way.last) };
    // As deep as the line on which the map begins, or as its last part.
    let outer = line_indent(way.text, place.start);
    let has_lines = flow.parts.is_empty() && way.above.is_empty()
        || flow.separator().contains('\n')
        || flow.parts.is_empty() && way.text.trim_end().contains('\n');
    let lines = has_lines.then(|| Lines { indent: format!("{outer}{INDENT}") });
    let name = matches!(way.last.node.content, Content::Map(_)).then_some(first);
    let colon = match &way.last.node.content {
        Content::Map(entries) => entries
            .last()
            .and_then(|entry| way.text.get(entry.name_place.end..entry.slot.place.start)),
        _ => None,
    };
    let value = nested(below, &written(), lines.as_ref());
    let part = match name {
        Some(name) => format!("{}{}{}", *quoted(name), colon.unwrap_or(": "), *value),
        None => value.to_string(),
    };
    let part = Zeroizing::new(part);
    if flow.parts.is_empty() && has_lines {
        let newline = newline(way.text);
        let inside = format!("{newline}{outer}{INDENT}{}{newline}{outer}", *part);
        return spliced(way.text, [vec![Splice::new(place.start + 1..place.end - 1, inside)]]);
    }
    spliced(way.text, [flow.append(&part)])
}

/// Returns how `value` can be written in the place of the one that `way` leads to.
pub fn replacements(way: &Way, value: &Value) -> Vec<Vec<Splice>> {
    match way.last.node.content {
        Content::Text(_) | Content::Literal(_) => {
            vec![vec![Splice::new(way.last.place.clone(), quoted(value.text).as_str())]]
        }
        Content::Map(_) | Content::List(_) => Vec::new(),
    }
}

/// Returns `way.text` without what is at the end of `way`.
pub fn unset(way: &Way) -> Ways {
    let (Some(parent), Some(number)) = (way.above.last(), number(way)) else { return Ways::new() };
    let flow = Flow { text: way.text, place: parent.place.clone(), parts: parts(parent) };
    spliced(way.text, flow.remove(number))
}

/// How deep each level of a new map is indented.
const INDENT: &str = "  ";

/// How maps are written that have a line for each key.
struct Lines {
    /// What is before each key.
    indent: String,
}

/// Returns `value` in maps with the keys `words`.
fn nested(words: &[String], value: &str, lines: Option<&Lines>) -> Text {
    let Some((word, below)) = words.split_first() else { return Zeroizing::new(value.to_owned()) };
    let name = quoted(word);
    Zeroizing::new(match lines {
        Some(Lines { indent }) => {
            let deeper = Lines { indent: format!("{indent}{INDENT}") };
            let inner = nested(below, value, Some(&deeper));
            format!("{{\n{}{}: {}\n{indent}}}", deeper.indent, *name, *inner)
        }
        None => format!("{{{}: {}}}", *name, *nested(below, value, None)),
    })
}

/// Returns `text` as JSON writes it.
pub fn quoted(text: &str) -> Text {
    Zeroizing::new(serde_json::to_string(text).unwrap_or_default())
}

/// Returns where the parts of a map or list are, each from its key to the end of its value.
pub fn parts(slot: &Slot) -> Vec<Range<usize>> {
    match &slot.node.content {
        Content::Map(entries) => entries
            .iter()
            .filter(|entry| entry.slot.origin != Origin::Merged)
            .map(|entry| entry.name_place.start..entry.slot.place.end)
            .collect(),
        Content::List(slots) => slots.iter().map(|slot| slot.place.clone()).collect(),
        Content::Text(_) | Content::Literal(_) => Vec::new(),
    }
}

/// Returns the number of what is at the end of `way` among [`parts`].
pub fn number(way: &Way) -> Option<usize> {
    match &way.above.last()?.node.content {
        Content::Map(entries) => {
            let name = way.found.last()?;
            entries.iter().position(|entry| entry.name == *name)
        }
        _ => way.number(),
    }
}

/// Returns the white space at the beginning of the line of the byte `at`.
fn line_indent(text: &str, at: usize) -> &str {
    let line = text.get(line_start(text, at)..).unwrap_or_default();
    line.get(..line.len() - line.trim_start_matches([' ', '\t']).len()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::structured::{Document, Format, Pointer};

    #[test]
    fn a_value_is_taken_as_the_file_writes_it() {
        let text = r#" {"a\"\/b": {"n": 1.50E+3, "t": "x\u00e9\ud83d\ude00\n", "l": [ true , null,{} , []]}, "": "e"} "#;
        let document = Document::parse(text.as_bytes(), Format::Json).unwrap();
        for (key, expected) in [
            ("/a\"~1b/n", "1.50E+3"),
            ("/a\"~1b/t", "x\u{e9}\u{1f600}\n"),
            ("/a\"~1b/l/0", "true"),
            ("/a\"~1b/l", "[true,null,{},[]]"),
            ("/", "e"),
        ] {
            let value = document.get(&Pointer::from_user(key).unwrap()).unwrap();
            assert_eq!(String::from_utf8_lossy(&value), expected, "{key}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_without_its_text() {
        for (text, reason) in [
            ("", "line 1: EOF while parsing a value"),
            ("{\n\"a\": hunter2}", "line 2: expected value"),
            ("{\"a\": 1,}", "line 1: key must be a string"),
            ("{\"a\": 1} hunter2", "line 1: trailing characters"),
            ("{\n\"a\": 1,\n\"a\": 2}", "line 3: the key \"a\" is there twice"),
            ("[\n\"\\ud800hunter2\"]", "line 2: unexpected end of hex escape"),
        ] {
            let refused = Document::parse(text.as_bytes(), Format::Json).err().unwrap();
            assert_eq!(refused.to_string(), reason, "{text}");
        }
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = |levels| format!("{}1{}", open.repeat(levels), close.repeat(levels));
            assert!(Document::parse(deep(63).as_bytes(), Format::Json).is_ok());
            let refused = Document::parse(deep(64).as_bytes(), Format::Json).err().unwrap();
            assert_eq!(refused.to_string(), "it is more than 64 levels deep");
        }
    }
}
