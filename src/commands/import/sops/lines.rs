//! dotenv or INI → its values in order, the lines around them, and sops' metadata.
//!
//! A service reads such a file whole, so it stays whole: what is encrypted is opened where it is.

use zeroize::Zeroizing;

use crate::commands::import::sops::header::Metadata;
use crate::commands::import::sops::value::{self, Bytes, DataKey};
use crate::commands::import::sops::{Leaf, Names};

/// How a file of lines is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    Dotenv,
    /// `name = value` in sections.
    Ini,
}

pub struct Lines {
    syntax: Syntax,
    /// Its lines, without the metadata.
    lines: Vec<Line>,
}

enum Line {
    /// A line that stays as it is.
    Text(String),
    /// One that ends with the next value; what comes before that.
    Value(String),
    /// A comment: the sign before it, its text, and the place that it was encrypted for.
    Comment(String, String, String),
}

/// The section of lines before the first one.
const DEFAULT: &str = "DEFAULT";

/// The section with sops' metadata.
const METADATA: &str = "sops";

/// What comes before the name of a note, where there are no sections.
const METADATA_PREFIX: &str = "sops_";

/// Reads `text`.
///
/// # Errors
///
/// Where it cannot be read, without any of its text.
pub fn read(text: &str, syntax: Syntax) -> Result<(Lines, Vec<Leaf>, Metadata), String> {
    let mut file = File {
        leaves: Vec::new(),
        metadata: Metadata::new(),
        lines: Vec::new(),
        names: Names::default(),
    };
    let mut section = DEFAULT;
    let all: Vec<&str> = text.lines().collect();
    let headers = if syntax == Syntax::Ini { headers(&all) } else { vec![None; all.len()] };
    for (i, (line, next)) in all.iter().zip(headers).enumerate() {
        match syntax {
            Syntax::Dotenv => file.dotenv(line),
            Syntax::Ini => {
                if let Some(name) = header(line) {
                    section = name;
                }
                file.ini(line, section, next.unwrap_or(section))
            }
        }
        .ok_or_else(|| format!("line {} is malformed", i + 1))?;
        file.names.ensure_bounded()?;
    }
    let File { leaves, metadata, mut lines, .. } = file;
    // What stood between the last section and the metadata.
    let is_empty = |line: &mut Line| matches!(line, Line::Text(text) if text.is_empty());
    while lines.pop_if(is_empty).is_some() {}
    Ok((Lines { syntax, lines }, leaves, metadata))
}

/// Returns for each of `lines` the section that begins there, or below comments and empty lines.
fn headers<'a>(lines: &[&'a str]) -> Vec<Option<&'a str>> {
    let mut next = None;
    let from_below = lines.iter().rev().map(|line| {
        if !is_comment(line) && !line.trim().is_empty() {
            next = header(line);
        }
        next
    });
    let mut headers: Vec<_> = from_below.collect();
    headers.reverse();
    headers
}

fn header(line: &str) -> Option<&str> {
    line.trim().strip_prefix('[')?.strip_suffix(']')
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with([';', '#'])
}

/// A file that is being read.
struct File {
    leaves: Vec<Leaf>,
    metadata: Metadata,
    lines: Vec<Line>,
    /// What the names in it amount to.
    names: Names,
}

impl File {
    /// Adds a line of a dotenv file, `None` if it is malformed.
    fn dotenv(&mut self, line: &str) -> Option<()> {
        if let Some(comment) = line.strip_prefix('#') {
            self.lines.push(Line::Comment("#".to_owned(), comment.to_owned(), ":".to_owned()));
        } else if !line.is_empty() {
            let (name, text) = line.split_once('=')?;
            let whole = text.replace("\\n", "\n");
            match name.strip_prefix(METADATA_PREFIX) {
                Some(field) => drop(self.metadata.insert(field.to_owned(), whole)),
                None => self.value(format!("{name}="), format!("{name}:"), text, whole),
            }
        }
        Some(())
    }

    /// Adds a line of an INI file in `section`, of which the next line that is no comment is in `next`; `None` if
    /// it is malformed.
    fn ini(&mut self, line: &str, section: &str, next: &str) -> Option<()> {
        if is_comment(line) {
            let (sign, text) = line.trim().split_at_checked(1)?;
            self.names.add(next);
            let aad = format!("{next}:");
            self.lines.push(Line::Comment(format!("{sign} "), text.trim().to_owned(), aad));
        } else if header(line).is_some() || line.trim().is_empty() {
            if section != METADATA {
                self.lines.push(Line::Text(line.to_owned()));
            }
        } else {
            let (name, before, text) = entry(line)?;
            if section == METADATA {
                self.metadata.insert(name.to_owned(), text.replace("\\n", "\n"));
            } else {
                let whole = unquoted(text).to_owned();
                self.names.add(section);
                self.value(before.to_owned(), format!("{section}:{name}:"), text, whole);
            }
        }
        Some(())
    }

    /// Adds a line that ends with the value `text`, which counts as `clear` in the file's code.
    fn value(&mut self, before: String, aad: String, text: &str, clear: String) {
        if value::is_sealed(text) {
            self.lines.push(Line::Value(before));
        } else {
            self.lines.push(Line::Text(before + text));
        }
        let id = aad.trim_end_matches(':').replace(':', "/");
        let (pointer, place) = (String::new(), 0..0);
        self.leaves.push(Leaf { aad, id, text: text.to_owned(), clear, pointer, place });
    }
}

/// Splits a line of an INI file: the name, all that comes before the value, the value.
fn entry(line: &str) -> Option<(&str, &str, &str)> {
    let quote = ["\"\"\"", "`", "\""].into_iter().find(|quote| line.starts_with(quote));
    let (name, rest) = match quote {
        Some(quote) => line.get(quote.len()..)?.split_once(quote)?,
        None => (line.split(['=', ':']).next()?, line),
    };
    let from = line.len() - rest.len();
    let sign = from + line.get(from..)?.find(['=', ':'])? + 1;
    let text = line.get(sign..)?.trim();
    let before = line.strip_suffix(text.trim_end()).unwrap_or(line);
    Some((name.trim(), before, text))
}

/// Returns the value of an INI file without the quotes around it.
fn unquoted(text: &str) -> &str {
    let inside = |quote: &str| text.strip_prefix(quote)?.strip_suffix(quote);
    ["\"\"\"", "`", "\"", "'"].into_iter().find_map(inside).unwrap_or(text)
}

/// Returns `text` in the quotes that it needs in an INI file.
fn quoted(text: &str) -> Zeroizing<String> {
    let quote = if text.contains(['\n', '`']) {
        "\"\"\""
    } else if text.contains(['#', ';']) {
        "`"
    } else if text.trim().len() != text.len() {
        "\""
    } else {
        ""
    };
    Zeroizing::new(format!("{quote}{text}{quote}"))
}

impl Lines {
    /// Returns the file with `values` in their places; the encrypted ones of all, in order.
    pub fn fill<'a>(&self, mut values: impl Iterator<Item = &'a Bytes>, key: &DataKey) -> Vec<u8> {
        let mut text = Vec::new();
        for line in &self.lines {
            match line {
                Line::Text(line) => text.extend_from_slice(line.as_bytes()),
                Line::Value(before) => {
                    text.extend_from_slice(before.as_bytes());
                    let value = values.next().map(|value| String::from_utf8_lossy(value));
                    text.extend_from_slice(self.write(&value.unwrap_or_default()).as_bytes());
                }
                Line::Comment(sign, comment, aad) => {
                    // Earlier versions of sops left comments in clear.
                    let opened = key.open(comment, aad).ok();
                    let comment = opened.as_deref().map_or(comment.as_bytes(), Vec::as_slice);
                    text.extend_from_slice(sign.as_bytes());
                    text.extend_from_slice(comment);
                }
            }
            text.push(b'\n');
        }
        text
    }

    /// Returns a value as it is in the file.
    fn write(&self, value: &str) -> Zeroizing<String> {
        match self.syntax {
            Syntax::Dotenv => Zeroizing::new(value.replace('\n', "\\n")),
            Syntax::Ini => quoted(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an INI file, and returns the places of its values, and what they count as.
    fn ini(text: &str) -> Vec<(String, String)> {
        let (_, leaves, _) = read(text, Syntax::Ini).unwrap();
        leaves.into_iter().map(|leaf| (leaf.aad, leaf.clear)).collect()
    }

    #[test]
    fn values_are_found_by_section_and_name() {
        let found = ini("a = 1\n[b c ]\nd   = `#`\n`e=f` = \"\"\"x\"\"\"\n");
        let expected = [("DEFAULT:a:", "1"), ("b c :d:", "#"), ("b c :e=f:", "x")];
        assert_eq!(found, expected.map(|(aad, clear)| (aad.to_owned(), clear.to_owned())));
    }

    #[test]
    fn a_comment_belongs_to_the_section_after_it() {
        let (lines, _, _) = read("; x\n[a]\nb = 1\n; y\nc = 2\n; z\n[d]\n", Syntax::Ini).unwrap();
        let places = lines.lines.iter().filter_map(|line| match line {
            Line::Comment(_, text, aad) => Some((text.as_str(), aad.as_str())),
            _ => None,
        });
        assert_eq!(places.collect::<Vec<_>>(), [("x", "a:"), ("y", "a:"), ("z", "d:")]);
    }

    const SEALED: &str = "ENC[AES256_GCM,data:x]";

    /// Returns what the file `text` is with `value` in the place of the encrypted one.
    fn filled(text: &str, syntax: Syntax, value: &str) -> String {
        let (lines, ..) = read(text, syntax).unwrap();
        let (values, key) = ([Bytes::new(value.into())], DataKey::new(&[7; 32]).unwrap());
        String::from_utf8(lines.fill(values.iter(), &key)).unwrap()
    }

    #[test]
    fn a_dotenv_file_has_names_and_values() {
        let text = format!("#c\nA=1\\n2=\n\nB={SEALED}\nsops_mac=x\\ny\n");
        let (_, leaves, metadata) = read(&text, Syntax::Dotenv).unwrap();
        let leaves: Vec<_> =
            leaves.iter().map(|leaf| [&*leaf.aad, &leaf.id, &leaf.clear]).collect();
        assert_eq!(leaves, [["A:", "A", "1\n2="], ["B:", "B", SEALED]]);
        assert_eq!(metadata, Metadata::from([("mac".to_owned(), "x\ny".to_owned())]));
        assert_eq!(filled(&text, Syntax::Dotenv, "s\nt"), "#c\nA=1\\n2=\nB=s\\nt\n");
    }

    #[test]
    fn an_ini_file_keeps_all_but_the_metadata() {
        let text = format!("; c\n[a]\n\nb  = {SEALED}\nd = `2`\n\n[sops]\nmac = x\\ny\n");
        let (_, _, metadata) = read(&text, Syntax::Ini).unwrap();
        assert_eq!(metadata, Metadata::from([("mac".to_owned(), "x\ny".to_owned())]));
        assert_eq!(filled(&text, Syntax::Ini, "s;t"), "; c\n[a]\n\nb  = `s;t`\nd = `2`\n");
    }

    #[test]
    fn quotes_are_written_where_they_are_needed() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a;b", "`a;b`"),
            (" a", "\" a\""),
            ("a\nb", "\"\"\"a\nb\"\"\""),
            ("", ""),
        ] {
            assert_eq!(*quoted(text), expected);
        }
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        for (text, syntax) in [("A=1\nhunter2\n", Syntax::Dotenv), ("[a]\nhunter2\n", Syntax::Ini)]
        {
            assert_eq!(read(text, syntax).err().unwrap(), "line 2 is malformed");
        }
    }
}
