//! JSON (RFC 8259) → its values, and where they are.

use std::ops::Range;

use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use crate::structured::Malformed;
use crate::structured::node::{Content, Entry, MAX_DEPTH, Node, Origin, Slot};

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
        let mut names = super::node::Names::default();
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
