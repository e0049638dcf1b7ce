//! sections with names and values → the values, and where they are; and how to change one.
//!
//! There is no specification. A section is the first key, a name in it the second; what comes before the first section is by
//! its name alone. As in Python's configparser, a line that is indented more than its name continues a value, and there are
//! no comments at the end of a line: a value may have any character. As in Go's ini, which sops uses, quotes around a whole
//! value are not part of it, and three quotes begin one that goes on until the next three.

use std::ops::Range;

use zeroize::Zeroizing;

use crate::structured::Malformed;
use crate::structured::edit::{Value, Way, Ways, spliced};
use crate::structured::node::{Content, Entry, Names, Node, Origin, Slot};
use crate::structured::splice::{Splice, Text, indent, line_end, lines, newline};

/// The quote around a value that may have several lines.
const LONG: &str = "\"\"\"";

/// Other quotes.
const QUOTES: [char; 3] = ['"', '\'', '`'];

/// Reads `text`.
pub fn read(text: &str) -> Result<Slot, Malformed> {
    let mut reader = Reader { text, at: 0, top: Vec::new(), names: Names::default() };
    // The section that is being read: its entry without values, and these.
    let mut section: Option<Section> = None;
    while let Some((start, line)) = reader.line() {
        let trimmed = line.trim();
        if trimmed.is_empty() || is_comment(line) {
            continue;
        }
        if let Some(name) = section_name(trimmed) {
            reader.close(section.take())?;
            let start = start + line.find('[').unwrap_or_default() + 1;
            reader.names.add(name).map_err(|reason| Malformed::at(text, start, reason))?;
            section = Some(Section::new(name, start));
            continue;
        }
        let entry = reader.entry(start, line)?;
        let (names, entries) = match &mut section {
            Some(section) => (&mut section.names, &mut section.entries),
            None => (&mut reader.names, &mut reader.top),
        };
        names.add(&entry.name).map_err(|reason| Malformed::at(text, start, reason))?;
        entries.push(entry);
    }
    reader.close(section)?;
    let node = Node::new(Content::Map(reader.top))?;
    Ok(Slot { node, place: 0..text.len(), origin: Origin::Own })
}

/// Returns the name of the section that `line` begins.
fn section_name(line: &str) -> Option<&str> {
    let (name, rest) = line.strip_prefix('[')?.rsplit_once(']')?;
    (rest.trim().is_empty() || is_comment(rest)).then_some(name)
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with([';', '#'])
}

struct Section {
    name: String,
    /// Where its name begins.
    start: usize,
    entries: Vec<Entry>,
    names: Names,
}

impl Section {
    fn new(name: &str, start: usize) -> Self {
        Self { name: name.to_owned(), start, entries: Vec::new(), names: Names::default() }
    }
}

struct Reader<'a> {
    text: &'a str,
    /// Where the next line begins.
    at: usize,
    /// Sections, and values outside of them.
    top: Vec<Entry>,
    names: Names,
}

impl<'a> Reader<'a> {
    /// Returns the next line, without its end, and where it begins.
    fn line(&mut self) -> Option<(usize, &'a str)> {
        let start = self.at;
        let rest = self.text.get(start..).filter(|rest| !rest.is_empty())?;
        let line = rest.split('\n').next().unwrap_or_default();
        self.at = (start + line.len() + 1).min(self.text.len());
        Some((start, line.strip_suffix('\r').unwrap_or(line)))
    }

    /// Adds a section that has ended.
    fn close(&mut self, section: Option<Section>) -> Result<(), Malformed> {
        let Some(Section { name, start, entries, .. }) = section else { return Ok(()) };
        let end = entries.last().map_or(start + name.len() + 1, |entry| entry.slot.place.end);
        let name_place = start..start + name.len();
        let node = Node::new(Content::Map(entries))?;
        let slot = Slot { node, place: start - 1..end, origin: Origin::Own };
        self.top.push(Entry { name, name_place, slot });
        Ok(())
    }

    /// Reads `line`, which begins at `start`, and the lines that continue it.
    fn entry(&mut self, start: usize, line: &str) -> Result<Entry, Malformed> {
        let malformed = |reason: &str| Malformed::at(self.text, start, reason);
        let sign = line.find(['=', ':']).ok_or_else(|| malformed("there is no = in it"))?;
        let (before, after) = line.split_at_checked(sign).unwrap_or_default();
        let name = before.trim();
        if name.is_empty() {
            return Err(malformed("there is no name before ="));
        }
        let indent = before.len() - before.trim_start().len();
        let name_place = start + indent..start + indent + name.len();
        let after = after.get(1..).unwrap_or_default();
        let value = after.trim();
        let value_start = start + sign + 1 + after.len() - after.trim_start().len();
        let (value, place) = if value.starts_with(LONG) {
            self.long(value_start)?
        } else {
            let first = value_start.min(start + line.len());
            self.continued(value, first..first + value.len(), indent)
        };
        let node = Node::new(Content::Text(value))?;
        let slot = Slot { node, place, origin: Origin::Own };
        Ok(Entry { name: name.to_owned(), name_place, slot })
    }

    /// Reads a value in three quotes, the first of which are at `start`.
    fn long(&mut self, start: usize) -> Result<(Zeroizing<String>, Range<usize>), Malformed> {
        let inside = self.text.get(start + LONG.len()..).unwrap_or_default();
        let (value, rest) = inside
            .split_once(LONG)
            .ok_or_else(|| Malformed::at(self.text, start, "a quote is not closed"))?;
        let end = self.text.len() - rest.len();
        let line_end = rest.find('\n').map_or(rest.len(), |at| at + 1);
        if !rest.get(..line_end).unwrap_or_default().trim().is_empty() {
            return Err(Malformed::at(self.text, end, "there is something after the quote"));
        }
        self.at = end + line_end;
        Ok((Zeroizing::new(value.to_owned()), start..end))
    }

    /// Adds the lines that are indented by more than `indent` to `value`, which is at `place`.
    fn continued(
        &mut self,
        value: &str,
        mut place: Range<usize>,
        indent: usize,
    ) -> (Zeroizing<String>, Range<usize>) {
        let mut whole = Zeroizing::new(value.to_owned());
        let mut empty = 0;
        let mut next = self.at;
        while let Some((start, line)) = self.line() {
            let trimmed = line.trim();
            if trimmed.is_empty() {
                empty += 1;
            } else if is_comment(line) {
                // Is part of the value's lines if one follows.
            } else if line.len() - line.trim_start().len() > indent {
                for _ in 0..=empty {
                    whole.push('\n');
                }
                whole.push_str(trimmed);
                empty = 0;
                place.end = start + line.trim_end().len();
                next = self.at;
            } else {
                break;
            }
        }
        self.at = next;
        match unquoted(&whole) {
            Some(inside) => (Zeroizing::new(inside.to_owned()), place),
            None => (whole, place),
        }
    }
}

/// Returns what is in the quotes around a value; `None` without them.
fn unquoted(value: &str) -> Option<&str> {
    let inside = |quote: char| {
        let inside = value.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inside.contains(quote)).then_some(inside)
    };
    QUOTES.into_iter().find_map(inside)
}

/// Returns `way.text` with `value` at the end of `way`.
///
/// # Errors
///
/// When there can be no such value.
pub fn set(way: &Way, value: &Value) -> Result<Ways, String> {
    let text = way.text;
    let Some(written) = written(value.text) else {
        return Err(
            "the value has line breaks and three quotes, which INI cannot have together".to_owned()
        );
    };
    let newline = newline(text);
    let splice = match (way.found, way.missing) {
        (_, []) => {
            let old = text.get(way.last.place.clone()).unwrap_or_default();
            let sign =
                way.entry.and_then(|entry| text.get(entry.name_place.end..way.last.place.start));
            let is_wide = sign.is_some_and(|sign| sign.starts_with(' ') && !sign.ends_with(' '));
            let space = if is_wide && (old.is_empty() || old.starts_with('\n')) { " " } else { "" };
            Splice::new(way.last.place.clone(), format!("{space}{}", *written))
        }
        ([_], [name]) => {
            let end = line_end(text, way.last.place.end);
            let line = line(way, way.last, name, &written);
            Splice::insert(end, format!("{newline}{}", *line))
        }
        ([], [name]) => {
            let last = entries(way.last).iter().rev().find(|entry| !is_section(entry));
            match last {
                Some(last) => {
                    let end = line_end(text, last.slot.place.end);
                    let line = line(way, way.last, name, &written);
                    Splice::insert(end, format!("{newline}{}", *line))
                }
                None => Splice::insert(0, format!("{name} = {}{newline}", *written)),
            }
        }
        ([], [section, name]) => {
            let before = match text {
                "" => "",
                text if text.ends_with('\n') => newline,
                _ => &newline.repeat(2),
            };
            let name = format!("{name} = {}", *written);
            let section = format!("{before}[{section}]{newline}{name}{newline}");
            Splice::insert(text.len(), section)
        }
        _ => return Err("INI has sections and names in them, and nothing deeper".to_owned()),
    };
    Ok(spliced(text, [vec![splice]]))
}

/// Returns `way.text` without what is at the end of `way`.
pub fn unset(way: &Way) -> Ways {
    let Some(entry) = way.entry else { return Ways::new() };
    let place = entry.name_place.start..way.last.place.end;
    spliced(way.text, [vec![Splice::remove(lines(way.text, &place))]])
}

fn entries(slot: &Slot) -> &[Entry] {
    match &slot.node.content {
        Content::Map(entries) => entries,
        _ => &[],
    }
}

fn is_section(entry: &Entry) -> bool {
    matches!(entry.slot.node.content, Content::Map(_))
}

/// Returns the line of a new value, written as the last one beside it in `section`.
fn line(way: &Way, section: &Slot, name: &str, written: &str) -> Text {
    let last = entries(section).iter().rev().find(|entry| !is_section(entry));
    let around = last.and_then(|last| {
        let sign = way.text.get(last.name_place.end..last.slot.place.start);
        let sign = sign.filter(|sign| !sign.contains('\n') && !last.slot.place.is_empty());
        Some((indent(way.text, last.name_place.start)?, sign.unwrap_or(" = ")))
    });
    let (indent, sign) = around.unwrap_or(("", " = "));
    Zeroizing::new(format!("{indent}{name}{sign}{written}"))
}

/// Returns how `value` is written, with quotes where they are needed; `None` if there is no way.
fn written(value: &str) -> Option<Text> {
    let is_plain = value.trim() == value && !value.contains(['\n', '\r']);
    let is_quoted = value.starts_with(LONG) || unquoted(value).is_some();
    if is_plain && !is_quoted {
        return Some(Zeroizing::new(value.to_owned()));
    }
    if !value.contains(['\n', '\r'])
        && let Some(quote) = QUOTES.into_iter().find(|quote| !value.contains(*quote))
    {
        return Some(Zeroizing::new(format!("{quote}{value}{quote}")));
    }
    (!value.contains(LONG)).then(|| Zeroizing::new(format!("{LONG}{value}{LONG}")))
}

#[cfg(test)]
mod tests {
    use crate::structured::{Document, Format, Pointer};

    #[test]
    fn values_are_found_by_section_and_name() {
        let text = "a = 1\r\n; x = y\n[b c]\n  d=e # f\n  g : h\n\n[i]\nj =\n  k\n\n  l = m\n; n\no = \" p \"\nq = \"\"\"r\n s\"\"\"\nt = `\nu = it's \"x\"\n[v] ; w";
        let document = Document::parse(text.as_bytes(), Format::Ini).unwrap();
        for (key, expected) in [
            ("a", "1"),
            ("b c/d", "e # f"),
            ("b c/g", "h"),
            ("i/j", "\nk\n\nl = m"),
            ("i/o", " p "),
            ("i/q", "r\n s"),
            ("i/t", "`"),
            ("i/u", "it's \"x\""),
            ("v", "{}"),
        ] {
            let value = document.get(&Pointer::from_user(key).unwrap()).unwrap();
            assert_eq!(String::from_utf8_lossy(&value), expected, "{key}");
        }
        assert_eq!(document.keys().len(), 11);
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        for (text, reason) in [
            ("[a]\nhunter2\n", "line 2: there is no = in it"),
            ("[a]\n= hunter2\n", "line 2: there is no name before ="),
            ("a = 1\n\na = hunter2\n", "line 3: the key \"a\" is there twice"),
            ("[a]\nb = 1\n[a]\n", "line 3: the key \"a\" is there twice"),
            ("a = \"\"\"hunter2\n", "line 1: a quote is not closed"),
            ("a = \"\"\"\n\"\"\" hunter2\n", "line 2: there is something after the quote"),
        ] {
            let refused = Document::parse(text.as_bytes(), Format::Ini).err().unwrap();
            assert_eq!(refused.to_string(), reason, "{text}");
        }
    }
}
