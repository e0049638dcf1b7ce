//! a text + parts of it to replace → the new text; all else stays byte for byte.

use std::ops::Range;

use zeroize::Zeroizing;

/// A text, wiped when dropped.
pub type Text = Zeroizing<String>;

/// A part of a text to replace.
#[derive(Clone)]
pub struct Splice {
    pub place: Range<usize>,
    pub with: Text,
}

impl Splice {
    pub fn new(place: Range<usize>, with: impl Into<String>) -> Self {
        Self { place, with: Zeroizing::new(with.into()) }
    }

    pub fn insert(at: usize, with: impl Into<String>) -> Self {
        Self::new(at..at, with)
    }

    pub fn remove(place: Range<usize>) -> Self {
        Self::new(place, "")
    }
}

/// Returns `text` with all `splices`, which are in order.
pub fn apply(text: &str, splices: &[Splice]) -> Text {
    let more = splices.iter().map(|splice| splice.with.len()).sum::<usize>();
    let mut new = Zeroizing::new(String::with_capacity(text.len() + more));
    let mut at = 0;
    for Splice { place, with } in splices {
        new.push_str(text.get(at..place.start).unwrap_or_default());
        new.push_str(with);
        at = place.end;
    }
    new.push_str(text.get(at..).unwrap_or_default());
    new
}

/// Returns where the line begins that the byte `at` is in.
pub fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

/// Returns where the line ends that the byte `at` is in, before its newline, and a carriage return before that.
pub fn line_end(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let line = rest.split('\n').next().unwrap_or_default();
    at + line.strip_suffix('\r').unwrap_or(line).len()
}

/// Returns the lines that `place` is in, with their last newline.
pub fn lines(text: &str, place: &Range<usize>) -> Range<usize> {
    let rest = text.get(place.end..).unwrap_or_default();
    let end = rest.find('\n').map_or(text.len(), |newline| place.end + newline + 1);
    line_start(text, place.start)..end
}

/// Returns what is on the line of the byte `at` before it, if that is only blank.
pub fn indent(text: &str, at: usize) -> Option<&str> {
    text.get(line_start(text, at)..at).filter(|before| before.trim().is_empty())
}

/// Returns how `text` ends its lines.
pub fn newline(text: &str) -> &'static str {
    let first = text.split_inclusive('\n').next();
    if first.is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" }
}
