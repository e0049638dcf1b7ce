//! one document of YAML 1.2 → its values, and where they are.
//!
//! Aliases and merged maps (`<<`) are resolved, tags are refused. What a value without quotes is follows the core schema
//! (YAML 1.2.2, section 10.3), so that `no` is a text.

pub mod edit;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use zeroize::Zeroizing;

use crate::structured::Malformed;
use crate::structured::node::{Content, Entry, MAX_DEPTH, Names, Node, Origin, Slot};
use crate::structured::splice::line_start;

/// The key of what a map merges: <https://yaml.org/type/merge.html>.
const MERGE: &str = "<<";

/// Reads `text`, which may also be empty.
pub fn read(text: &str) -> Result<Slot, Malformed> {
    let mut reader = Reader::new(text);
    let root = reader.document()?;
    if let (Some(_), Some(_)) = (&root, reader.document()?) {
        return Err(malformed(reader.line, "there is more than one document"));
    }
    let is_nothing = |slot: &Slot| match &slot.node.content {
        Content::Literal(text) => text.is_empty(),
        _ => false,
    };
    if let Some(root) = root.filter(|root| !is_nothing(root)) {
        return Ok(root);
    }
    let node = Node::new(Content::Map(Vec::new()))?;
    Ok(Slot { node, place: text.len()..text.len(), origin: Origin::Own })
}

/// Reads all documents of `text`.
pub fn documents(text: &str) -> Result<Vec<Slot>, Malformed> {
    let mut reader = Reader::new(text);
    std::iter::from_fn(|| reader.document().transpose()).collect()
}

/// How many keys a file may merge (2^16).
const MAX_MERGED: usize = 1 << 16;

/// How many bytes these keys may have in all (4 MiB).
const MAX_MERGED_BYTES: usize = 4 << 20;

struct Reader<'a> {
    text: &'a str,
    parser: Parser<'a, StrInput<'a>>,
    places: Places<'a>,
    /// What aliases stand for, by the parser's numbers.
    anchors: BTreeMap<usize, Arc<Node>>,
    /// Where the last value that was read ends.
    end: usize,
    /// The line on which the document begins.
    line: usize,
    /// How many keys were merged so far, and their bytes.
    merged: (usize, usize),
}

/// What the parser has found.
struct Found<'a> {
    event: Event<'a>,
    place: Range<usize>,
    line: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            parser: Parser::new_from_str(text),
            places: Places::new(text),
            anchors: BTreeMap::new(),
            end: 0,
            line: 1,
            merged: (0, 0),
        }
    }

    /// Reads the next document; `None` after the last.
    fn document(&mut self) -> Result<Option<Slot>, Malformed> {
        loop {
            let found = self.next()?;
            match found.event {
                Event::StreamEnd => return Ok(None),
                Event::DocumentStart(_) => {
                    self.line = found.line;
                    let first = self.next()?;
                    return self.slot(first, 1).map(Some);
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<Found<'a>, Malformed> {
        match self.parser.next() {
            Some(Ok((event, span))) => {
                Ok(Found { event, place: self.places.of(span), line: span.start.line() })
            }
            Some(Err(error)) => {
                // One message quotes a character.
                let reason = error.info().split(": `").next().unwrap_or_default().to_owned();
                Err(Malformed { line: Some(error.marker().line()), reason })
            }
            None => Ok(Found { event: Event::StreamEnd, place: 0..0, line: 0 }),
        }
    }

    /// Reads what begins with `found`.
    fn slot(&mut self, found: Found<'a>, depth: usize) -> Result<Slot, Malformed> {
        let line = found.line;
        if depth > MAX_DEPTH {
            return Err(malformed(line, &format!("it is more than {MAX_DEPTH} levels deep")));
        }
        let mut start = self.start(&found);
        let (content, anchor) = match found.event {
            Event::Scalar(.., Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                return Err(malformed(line, "it has a tag, which is not supported"));
            }
            Event::Alias(anchor) => {
                self.end = found.place.end;
                let node = self.anchors.get(&anchor).cloned();
                let node = node.ok_or_else(|| malformed(line, "an alias stands for itself"))?;
                return Ok(Slot { node, place: found.place, origin: Origin::Alias });
            }
            Event::Scalar(text, style, anchor, None) => {
                if found.place.is_empty() && style == ScalarStyle::Plain {
                    // Nothing; the parser has gone on to what follows.
                    start = self.end;
                } else {
                    self.end = self.scalar_end(start..found.place.end, style);
                }
                let text = Zeroizing::new(text.into_owned());
                let is_literal = style == ScalarStyle::Plain && is_literal(&text);
                (if is_literal { Content::Literal(text) } else { Content::Text(text) }, anchor)
            }
            Event::SequenceStart(anchor, None) => {
                let slots = self.list(depth)?;
                if !self.text.get(start..).is_some_and(|rest| rest.starts_with('[')) {
                    start = slots.first().map_or(start, |slot| dash(self.text, slot.place.start));
                }
                (Content::List(slots), anchor)
            }
            Event::MappingStart(anchor, None) => {
                let (entries, first) = self.map(depth)?;
                if !self.text.get(start..).is_some_and(|rest| rest.starts_with('{')) {
                    start = first.unwrap_or(start);
                }
                (Content::Map(entries), anchor)
            }
            _ => return Err(malformed(line, "it ends too early")),
        };
        let node = Node::new(content).map_err(|reason| malformed(line, &reason))?;
        if anchor > 0 {
            self.anchors.insert(anchor, Arc::clone(&node));
        }
        Ok(Slot { node, place: start..self.end.max(start), origin: Origin::Own })
    }

    /// Returns where something begins, after its anchor, and with the first line of a text in lines of its own.
    fn start(&self, found: &Found) -> usize {
        let start = found.place.start;
        let rest = self.text.get(start..).unwrap_or_default();
        match found.event {
            Event::Scalar(_, _, 1.., _)
            | Event::SequenceStart(1.., _)
            | Event::MappingStart(1.., _) => {
                let after = rest.trim_start_matches(|one: char| !one.is_whitespace()).trim_start();
                start + rest.len() - after.len()
            }
            Event::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded, ..) => {
                let before = self.text.get(..line_start(self.text, start)).unwrap_or_default();
                let line = line_start(self.text, before.trim_end().len());
                let header = before.get(line..).unwrap_or_default();
                header_start(header).map_or(start, |at| line + at)
            }
            _ => start,
        }
    }

    /// Returns where a scalar ends that the parser has at `place`: after its quotes, where it goes on to what follows.
    fn scalar_end(&self, place: Range<usize>, style: ScalarStyle) -> usize {
        let inside = self.text.get(place.start + 1..).unwrap_or_default();
        let mut characters = inside.char_indices();
        let length = match style {
            ScalarStyle::DoubleQuoted => loop {
                match characters.next() {
                    Some((at, '"')) => break Some(at),
                    Some((_, '\\')) => drop(characters.next()),
                    Some(_) => {}
                    None => break None,
                }
            },
            ScalarStyle::SingleQuoted => loop {
                match characters.next() {
                    Some((at, '\'')) if !is_doubled(inside, at) => break Some(at),
                    Some((_, '\'')) => drop(characters.next()),
                    Some(_) => {}
                    None => break None,
                }
            },
            _ => None,
        };
        length.map_or_else(|| self.trimmed(&place), |length| place.start + length + 2)
    }

    /// Returns where a value at `place` ends, without what the parser has skipped after it.
    fn trimmed(&self, place: &Range<usize>) -> usize {
        let text = self.text.get(place.clone()).unwrap_or_default();
        place.start + text.trim_end().len()
    }

    /// Notes that a map or list ends, with the bracket at `place`; without one, with its last part.
    fn close(&mut self, place: &Range<usize>) {
        if !place.is_empty() {
            self.end = place.end;
        }
    }

    /// Returns where the colon ends after a key that ends at `end`; `end` if there is none.
    fn after_colon(&self, end: usize) -> usize {
        let rest = self.text.get(end..).unwrap_or_default();
        let trimmed = rest.trim_start_matches([' ', '\t']);
        if trimmed.starts_with(':') { end + rest.len() - trimmed.len() + 1 } else { end }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Slot>, Malformed> {
        let mut slots = Vec::new();
        loop {
            let found = self.next()?;
            if matches!(found.event, Event::SequenceEnd) {
                self.close(&found.place);
                return Ok(slots);
            }
            slots.push(self.slot(found, depth + 1)?);
        }
    }

    /// Adds what is merged from `slot`, a map or a list of maps, to `merged`. Each merged key is a copy, which a short line can
    /// ask for, so these are counted for the whole file.
    fn merge(&mut self, slot: &Slot, merged: &mut Vec<Entry>) -> Result<(), String> {
        match &slot.node.content {
            Content::Map(entries) => {
                for entry in entries {
                    let (count, bytes) = self.merged;
                    self.merged = (count + 1, bytes + entry.name.len());
                    if self.merged.0 > MAX_MERGED || self.merged.1 > MAX_MERGED_BYTES {
                        return Err(format!(
                            "it merges more than {MAX_MERGED} keys, or keys of more than {MAX_MERGED_BYTES} bytes"
                        ));
                    }
                    merged.push(Entry {
                        name: entry.name.clone(),
                        name_place: entry.name_place.clone(),
                        slot: Slot { origin: Origin::Merged, ..entry.slot.clone() },
                    });
                }
                Ok(())
            }
            Content::List(slots) if slots.iter().all(is_map) => {
                slots.iter().try_for_each(|slot| self.merge(slot, merged))
            }
            _ => Err("what is merged is not a map".to_owned()),
        }
    }

    /// Reads a map, and returns where its first key begins.
    fn map(&mut self, depth: usize) -> Result<(Vec<Entry>, Option<usize>), Malformed> {
        let (mut entries, mut merged, mut first) = (Vec::new(), Vec::new(), None);
        let mut names = Names::default();
        loop {
            let key = self.next()?;
            let (line, start) = (key.line, self.start(&key));
            let (name, style) = match key.event {
                Event::MappingEnd => {
                    self.close(&key.place);
                    break;
                }
                Event::Scalar(name, style, _, None) => (name.into_owned(), style),
                Event::Scalar(..) => {
                    return Err(malformed(line, "it has a tag, which is not supported"));
                }
                _ => return Err(malformed(line, "there is a key that is not text")),
            };
            let name_place = start..self.scalar_end(start..key.place.end, style);
            first.get_or_insert(start);
            self.end = self.after_colon(name_place.end);
            let value = self.next()?;
            let slot = self.slot(value, depth + 1)?;
            if name == MERGE && style == ScalarStyle::Plain {
                self.merge(&slot, &mut merged).map_err(|reason| malformed(line, &reason))?;
            } else {
                names.add(&name).map_err(|reason| malformed(line, &reason))?;
                entries.push(Entry { name, name_place, slot });
            }
        }
        // A map's own keys count, and of several maps that it merges the first.
        merged.retain(|entry| names.add(&entry.name).is_ok());
        entries.extend(merged);
        Ok((entries, first))
    }
}

/// Returns where the dash is before the part of a list that begins at `at`.
fn dash(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    let trimmed = before.trim_end();
    if trimmed.ends_with('-') {
        return trimmed.len() - 1;
    }
    // There is an anchor between them, or a comment.
    let start = line_start(text, at);
    before.get(start..).and_then(|line| line.rfind("- ")).map_or(at, |dash| start + dash)
}

/// Returns where in `line` a text in lines of its own begins: `|` or `>`, how it is indented and ends, and perhaps a comment.
fn header_start(line: &str) -> Option<usize> {
    let is_header = |at: usize| {
        let rest = line.get(at + 1..).unwrap_or_default();
        let rest = rest.trim_start_matches(|one: char| one.is_ascii_digit() || "+-".contains(one));
        rest.trim().is_empty()
            || rest.starts_with([' ', '\t']) && rest.trim_start().starts_with('#')
    };
    line.match_indices(['|', '>']).map(|(at, _)| at).find(|at| is_header(*at))
}

/// Returns whether there are two single quotes at the byte `at`.
fn is_doubled(text: &str, at: usize) -> bool {
    text.get(at..).is_some_and(|rest| rest.starts_with("''"))
}

fn is_map(slot: &Slot) -> bool {
    matches!(slot.node.content, Content::Map(_))
}

fn malformed(line: usize, reason: &str) -> Malformed {
    Malformed { line: Some(line), reason: reason.to_owned() }
}

/// Returns whether a plain scalar is null, a boolean or a number.
pub fn is_literal(text: &str) -> bool {
    let is_word = [
        "", "~", "null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE", ".nan",
        ".NaN", ".NAN",
    ]
    .contains(&text);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    is_word
        || [".inf", ".Inf", ".INF"].contains(&digits)
        || is_in_base(text, "0o", 8)
        || is_in_base(text, "0x", 16)
        || is_decimal(digits)
}

fn is_in_base(text: &str, prefix: &str, base: u32) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|digit| digit.is_digit(base)))
}

/// Returns whether `text` is `(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`.
fn is_decimal(text: &str) -> bool {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = match (whole, fraction) {
        ("", _) => number.starts_with('.') && is_digits(fraction),
        (whole, "") => is_digits(whole),
        (whole, fraction) => is_digits(whole) && is_digits(fraction),
    };
    is_number
        && exponent.is_none_or(|text| is_digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}

/// How many characters there are from one known place to the next.
const STEP: usize = 64;

/// Turns the parser's positions, which count characters, into bytes.
struct Places<'a> {
    text: &'a str,
    /// Where each [`STEP`]th character begins; empty where characters are bytes.
    known: Vec<usize>,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        let known = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().step_by(STEP).map(|(at, _)| at).collect()
        };
        Self { text, known }
    }

    fn of(&self, span: Span) -> Range<usize> {
        self.byte(span.start.index())..self.byte(span.end.index())
    }

    fn byte(&self, character: usize) -> usize {
        if self.known.is_empty() {
            return character.min(self.text.len());
        }
        let Some(at) = self.known.get(character / STEP) else { return self.text.len() };
        let rest = self.text.get(*at..).unwrap_or_default();
        rest.char_indices().nth(character % STEP).map_or(self.text.len(), |(more, _)| at + more)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use crate::structured::{Document, Format, Pointer};

    #[test]
    fn a_value_is_taken_as_the_file_writes_it() {
        let text = "é: &a\n  b: 0x1F # c\n  d: 'e ''f'\n  g: |\n    h\n     i\n\n  j: >-\n    k\n    l\nm: {<<: *a, b: no, n: [~, +1.5e3, 1.2.3, ~]}\no:\n  - <<: [*a, {p: q, b: r}]\n    b: \"s\\n\"\n  - *a\nu:\n\"<<\": v\n";
        let document = Document::parse(text.as_bytes(), Format::Yaml).unwrap();
        for (key, expected) in [
            ("é/b", "0x1F"),
            ("é/d", "e 'f"),
            ("é/g", "h\n i\n"),
            ("é/j", "k l"),
            (
                "m",
                "{\"b\":\"no\",\"n\":[null,1500.0,\"1.2.3\",null],\"d\":\"e 'f\",\"g\":\"h\\n i\\n\",\"j\":\"k l\"}",
            ),
            ("m/n/0", "~"),
            ("o/0/b", "s\n"),
            ("o/0/p", "q"),
            ("o/1/b", "0x1F"),
            ("u", ""),
            ("<<", "v"),
        ] {
            let value = document.get(&Pointer::from_user(key).unwrap()).unwrap();
            assert_eq!(String::from_utf8_lossy(&value), expected, "{key}");
        }
    }

    #[test]
    fn what_is_no_document_is_refused_without_its_text() {
        for (text, reason) in [
            ("a: !t hunter2", "line 1: it has a tag, which is not supported"),
            ("a: 1\n!!str b: hunter2", "line 2: it has a tag, which is not supported"),
            ("a: 1\n---\nb: hunter2", "line 2: there is more than one document"),
            ("a: 1\na: hunter2", "line 2: the key \"a\" is there twice"),
            ("? [a]\n: hunter2", "line 1: there is a key that is not text"),
            ("a: 1\n<<: hunter2", "line 2: what is merged is not a map"),
            ("a: &b [hunter2, *b]", "line 1: an alias stands for itself"),
            ("a: *hunter2", "line 1: while parsing node, found unknown anchor"),
            ("a: 'x'\n@hunter2", "line 2: unexpected character"),
        ] {
            let refused = Document::parse(text.as_bytes(), Format::Yaml).err().unwrap();
            assert_eq!(refused.to_string(), reason, "{text}");
        }
    }

    #[test]
    fn aliases_do_not_make_a_small_file_large() {
        let doubled = |first: &str| {
            let mut text = format!("a0: &a0 {first}\n");
            for i in 0..40 {
                writeln!(text, "a{}: &a{} [*a{i}, *a{i}]", i + 1, i + 1).unwrap();
            }
            Document::parse(text.as_bytes(), Format::Yaml).err().unwrap().to_string()
        };
        assert!(doubled("x").ends_with("bytes, with all keys above each of them"));
        assert!(doubled(&"x".repeat(1000)).ends_with("its values amount to more than 128 MiB"));
        let mut deep = "a0: &a0 x\n".to_owned();
        for i in 0..100 {
            writeln!(deep, "a{}: &a{} [*a{i}]", i + 1, i + 1).unwrap();
        }
        let refused = Document::parse(deep.as_bytes(), Format::Yaml).err().unwrap();
        assert_eq!(refused.to_string(), "line 65: it is more than 64 levels deep");
        let keys: Vec<String> = (0..2000).map(|i| format!("  k{i}: x")).collect();
        let merges: Vec<String> = (0..40).map(|i| format!("m{i}: {{<<: *b}}")).collect();
        let text = format!("b: &b\n{}\n{}", keys.join("\n"), merges.join("\n"));
        let refused = Document::parse(text.as_bytes(), Format::Yaml).err().unwrap();
        assert!(refused.to_string().contains("it merges more than 65536 keys"), "{refused}");
        let many = format!("{}: [{}]", "a".repeat(1 << 10), "1,".repeat(1 << 17));
        let refused = Document::parse(many.as_bytes(), Format::Yaml).err().unwrap();
        assert!(refused.to_string().contains("with all keys above each of them"), "{refused}");
    }
}
