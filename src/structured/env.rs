//! a file of variables → their values, and where they are, as systemd reads an `EnvironmentFile=`; and how to
//! change one.
//!
//! The same states as in `parse_env_file_internal` of systemd's `src/basic/env-file.c`; besides, `export` may stand before a
//! name, as in files for shells, and a quote that is not closed is an error.

use std::collections::BTreeMap;
use std::ops::Range;

use zeroize::Zeroizing;

use crate::structured::Malformed;
use crate::structured::edit::{Value, Way, Ways, spliced};
use crate::structured::node::{Content, Entry, Node, Origin, Slot};
use crate::structured::splice::{Splice, Text, lines, newline};

/// Characters that a backslash in double quotes takes the meaning from.
const ESCAPED: [char; 4] = ['"', '\\', '`', '$'];

/// One variable of a file.
struct Variable<'a> {
    pub name: &'a str,
    pub name_place: Range<usize>,
    /// Without quotes and escapes.
    pub value: Zeroizing<String>,
    /// Where the value is, in bytes, with quotes and without white space around it.
    pub place: Range<usize>,
}

/// Reads `text`. Of a variable that is there several times, the last counts, as for systemd.
pub fn read(text: &str) -> Result<Slot, Malformed> {
    let mut entries = BTreeMap::new();
    for (i, variable) in variables(text)?.into_iter().enumerate() {
        let Variable { name, name_place, value, place } = variable;
        let node = Node::new(Content::Text(value))?;
        let slot = Slot { node, place, origin: Origin::Own };
        entries.insert(name, (i, Entry { name: name.to_owned(), name_place, slot }));
    }
    let mut entries: Vec<(usize, Entry)> = entries.into_values().collect();
    entries.sort_by_key(|(i, _)| *i);
    let entries = entries.into_iter().map(|(_, entry)| entry).collect();
    Ok(Slot { node: Node::new(Content::Map(entries))?, place: 0..text.len(), origin: Origin::Own })
}

/// Where the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    BeforeName,
    Comment,
    Name,
    BeforeValue,
    Value,
    /// After a backslash in a value without quotes.
    Escape,
    SingleQuotes,
    DoubleQuotes,
    /// After a backslash in double quotes.
    QuotedEscape,
}

/// Returns all variables of `text`, in order.
fn variables(text: &str) -> Result<Vec<Variable<'_>>, Malformed> {
    let mut reader = Reader::new(text);
    for (at, character) in text.char_indices() {
        reader.step(at, character);
    }
    if matches!(reader.state, State::SingleQuotes | State::DoubleQuotes | State::QuotedEscape) {
        return Err(Malformed::at(text, reader.quote, "a quote is not closed"));
    }
    match reader.state {
        State::BeforeName | State::Comment => {}
        State::Name => reader.end_line(text.len()),
        _ => reader.finish(),
    }
    if let Some(at) = reader.unquoted {
        return Err(Malformed::at(text, at, "a value of several lines needs quotes"));
    }
    Ok(reader.found)
}

struct Reader<'a> {
    text: &'a str,
    state: State,
    /// Where the name begins.
    name: usize,
    /// Where the sign after it is.
    sign: usize,
    /// Where the last quote is that was opened.
    quote: usize,
    /// Where a value of several lines ends that has no quotes.
    unquoted: Option<usize>,
    value: Zeroizing<String>,
    /// Where the value is.
    place: Range<usize>,
    /// How long the value is without the white space at its end.
    kept: usize,
    found: Vec<Variable<'a>>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            state: State::BeforeName,
            name: 0,
            sign: 0,
            quote: 0,
            unquoted: None,
            value: Zeroizing::default(),
            place: 0..0,
            kept: 0,
            found: Vec::new(),
        }
    }

    fn step(&mut self, at: usize, character: char) {
        let end = at + character.len_utf8();
        let is_newline = matches!(character, '\n' | '\r');
        let is_blank = is_newline || matches!(character, ' ' | '\t');
        match self.state {
            State::BeforeName if matches!(character, '#' | ';') => self.state = State::Comment,
            State::BeforeName if is_blank => {}
            State::BeforeName => (self.state, self.name) = (State::Name, at),
            // A backslash at its end does not continue it, since systemd 254.
            State::Name if is_newline => self.end_line(at),
            State::Comment if is_newline => self.state = State::BeforeName,
            State::Name if character == '=' => {
                (self.state, self.sign) = (State::BeforeValue, at);
                (self.place, self.kept) = (end..end, 0);
            }
            State::Comment | State::Name => {}
            State::BeforeValue | State::Value if is_newline => self.finish(),
            State::BeforeValue if is_blank => {}
            State::BeforeValue if matches!(character, '\'' | '"') => {
                let is_single = character == '\'';
                self.state = if is_single { State::SingleQuotes } else { State::DoubleQuotes };
                self.quote = at;
                self.begin(at);
            }
            State::BeforeValue | State::Value if character == '\\' => {
                self.state = State::Escape;
                self.begin(at);
                (self.place.end, self.kept) = (end, self.value.len());
            }
            State::BeforeValue | State::Value => {
                self.state = State::Value;
                self.begin(at);
                self.push(character, (!is_blank).then_some(end));
            }
            State::Escape => {
                self.state = State::Value;
                if !is_newline {
                    self.push(character, Some(end));
                }
            }
            State::SingleQuotes | State::DoubleQuotes if is_closing(self.state, character) => {
                self.state = State::BeforeValue;
                self.place.end = end;
            }
            State::DoubleQuotes if character == '\\' => self.state = State::QuotedEscape,
            State::SingleQuotes | State::DoubleQuotes => self.push(character, Some(end)),
            State::QuotedEscape => {
                self.state = State::DoubleQuotes;
                if !ESCAPED.contains(&character) && character != '\n' {
                    self.value.push('\\');
                }
                if character != '\n' {
                    self.push(character, Some(end));
                }
            }
        }
    }

    /// Ends a line that is no variable at the byte `at`. systemd ignores it; but after the last line of a key without quotes,
    /// one of those before it would count as the name of a variable, and names are shown.
    fn end_line(&mut self, at: usize) {
        self.state = State::BeforeName;
        if self.text.get(self.name..at).is_some_and(|line| line.starts_with("-----END")) {
            self.unquoted.get_or_insert(self.name);
        }
    }

    /// Notes that the value begins at the byte `at`, unless it has begun.
    fn begin(&mut self, at: usize) {
        if self.place.is_empty() {
            self.place.start = at;
        }
    }

    /// Adds a character to the value, which so far ends at the byte `end`; `None` for white space that may be at its end.
    fn push(&mut self, character: char, end: Option<usize>) {
        self.value.push(character);
        if let Some(end) = end {
            self.place.end = end;
            self.kept = self.value.len();
        }
    }

    fn finish(&mut self) {
        let mut value = std::mem::take(&mut self.value);
        value.truncate(self.kept);
        self.state = State::BeforeName;
        let name = self.text.get(self.name..self.sign).unwrap_or_default();
        let is_exported = |rest: &&str| rest.starts_with([' ', '\t']);
        let name = name.strip_prefix("export").filter(is_exported).unwrap_or(name).trim_start();
        let start = self.sign - name.len();
        let name = name.trim_end();
        if is_name(name) {
            let (name_place, place) = (start..start + name.len(), self.place.clone());
            self.found.push(Variable { name, name_place, value, place });
        }
    }
}

/// Returns whether systemd takes `name` as that of a variable; it ignores others.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_')
}

fn is_closing(state: State, character: char) -> bool {
    character == if state == State::SingleQuotes { '\'' } else { '"' }
}

/// Returns `way.text` with `value` at the end of `way`.
///
/// # Errors
///
/// When there can be no such variable.
pub fn set(way: &Way, value: &Value) -> Result<Ways, String> {
    if value.text.contains('\0') {
        return Err("the value has a NUL byte, and a variable has none".to_owned());
    }
    let [name] = way.missing else {
        let old = way.text.get(way.last.place.clone()).unwrap_or_default();
        let written = written(value.text, old.chars().next());
        let splice = |new: &Text| vec![Splice::new(way.last.place.clone(), new.as_str())];
        let is_there = way.missing.is_empty();
        return if is_there {
            Ok(spliced(way.text, written.iter().map(splice)))
        } else {
            Err(flat())
        };
    };
    if !way.found.is_empty() {
        return Err(flat());
    }
    let is_letter = |letter: char| letter == '_' || letter.is_ascii_alphabetic();
    if !name.starts_with(is_letter) || !name.chars().all(|l| is_letter(l) || l.is_ascii_digit()) {
        return Err(format!("\"{name}\" is no name of a variable: letters, digits and _"));
    }
    let newline = newline(way.text);
    let before = if way.text.is_empty() || way.text.ends_with('\n') { "" } else { newline };
    let line = |new: &Text| {
        let line = format!("{before}{name}={}{newline}", **new);
        vec![Splice::insert(way.text.len(), line)]
    };
    Ok(spliced(way.text, written(value.text, None).iter().map(line)))
}

fn flat() -> String {
    "a variable has no keys below it".to_owned()
}

/// Returns `way.text` without the variable at the end of `way`, wherever it is set.
pub fn unset(way: &Way) -> Ways {
    let Some(name) = way.found.last() else { return Ways::new() };
    let variables = variables(way.text).unwrap_or_default();
    let same = variables.iter().filter(|variable| variable.name == name);
    let splices = same.map(|variable| {
        Splice::remove(lines(way.text, &(variable.name_place.start..variable.place.end)))
    });
    spliced(way.text, [splices.collect()])
}

/// Returns how a value can be written, best first; `quote` is how the one before begins.
fn written(value: &str, quote: Option<char>) -> Vec<Text> {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "_-./:@%+,=".contains(character);
    let mut double = Zeroizing::new("\"".to_owned());
    for character in value.chars() {
        if ESCAPED.contains(&character) {
            double.push('\\');
        }
        double.push(character);
    }
    double.push('"');
    let single = Zeroizing::new(format!("'{value}'"));
    let plain = Zeroizing::new(value.to_owned());
    let can_be_plain = !value.is_empty() && value.chars().all(is_plain);
    let is_single = !value.contains('\'');
    match quote {
        Some('"') => vec![double],
        Some('\'') if is_single => vec![single],
        _ if can_be_plain => vec![plain, double],
        _ if is_single => vec![single, double],
        _ => vec![double],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_that_systemd_reads() {
        for (text, expected) in [
            ("A=b", "b"),
            ("A = b c \t\r\n", "b c"),
            ("export A=b", "b"),
            ("A=", ""),
            ("A=\n", ""),
            ("A=b # c", "b # c"),
            ("A=b\\\nc\\d", "bcd"),
            ("A='b\\ \n\"c' ", "b\\ \n\"c"),
            ("A=\"b\\\"\\$\\n\\\n c\" 'd'", "b\"$\\n cd"),
            ("A=b'c\"", "b'c\""),
            ("A=\" \" ", " "),
            ("A='b'c", "bc"),
            ("nothing\n; A=x\n# \\\nA=é", "é"),
        ] {
            let found = variables(text).unwrap();
            assert_eq!(found.len(), 1, "{text:?}");
            assert_eq!((found[0].name, found[0].value.as_str()), ("A", expected), "{text:?}");
            assert_eq!(text.get(found[0].name_place.clone()), Some("A"), "{text:?}");
            let place = text.get(found[0].place.clone()).unwrap();
            assert_eq!(place.trim(), place, "{text:?}");
        }
        let refused = variables("A=1\nB='2\n").err().unwrap();
        assert_eq!(refused.to_string(), "line 2: a quote is not closed");
        let refused = variables("K=-----BEGIN X-----\nabc\nabc==\n-----END X-----").err().unwrap();
        assert_eq!(refused.to_string(), "line 4: a value of several lines needs quotes");
        assert!(variables("a/b=1\n2=x\na.b=c\n").unwrap().is_empty());
    }
}
