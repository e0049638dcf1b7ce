//! a map or list in brackets + a part to add or remove → how the text changes. JSON, and parts of YAML and TOML.

use std::ops::Range;

use crate::structured::splice::{Splice, line_start};

/// A map or list in brackets.
pub struct Flow<'a> {
    pub text: &'a str,
    /// Where it is, with its brackets.
    pub place: Range<usize>,
    /// Where its parts are, each from its key to the end of its value.
    pub parts: Vec<Range<usize>>,
}

impl Flow<'_> {
    fn between(&self, place: Range<usize>) -> &str {
        self.text.get(place).unwrap_or_default()
    }

    /// Returns the white space before a further part.
    pub fn separator(&self) -> String {
        let is_blank = |text: &str| text.chars().all(char::is_whitespace);
        let blank = match self.parts.as_slice() {
            [.., previous, last] => {
                let between = self.between(previous.end..last.start);
                between.trim_start().strip_prefix(',').unwrap_or(" ")
            }
            [only] => match self.between(self.place.start + 1..only.start) {
                blank if blank.contains('\n') => blank,
                _ => " ",
            },
            [] => "",
        };
        // What is more than white space is a comment; what matters is its last line.
        match blank.rfind('\n') {
            _ if is_blank(blank) => blank.to_owned(),
            Some(newline) if is_blank(&blank[newline..]) => blank[newline..].to_owned(),
            _ => " ".to_owned(),
        }
    }

    /// Adds `part` after all others.
    pub fn append(&self, part: &str) -> Vec<Splice> {
        if let Some(last) = self.parts.last() {
            return vec![Splice::insert(last.end, format!(",{}{part}", self.separator()))];
        }
        // Perhaps a merged map, which is no part.
        let inside = self.between(self.place.start + 1..self.place.end.saturating_sub(1));
        let comma = if inside.trim().is_empty() { "" } else { ", " };
        vec![Splice::insert(self.place.start + 1, format!("{part}{comma}"))]
    }

    /// Removes the part with the number `number`; several ways, the one that keeps most first.
    pub fn remove(&self, number: usize) -> Vec<Vec<Splice>> {
        let Some(part) = self.parts.get(number).cloned() else { return Vec::new() };
        let before = number.checked_sub(1).and_then(|number| self.parts.get(number));
        let after = self.parts.get(number + 1);
        let comma = self.between(part.end..self.place.end).trim_start();
        let comma = comma.starts_with(',').then(|| self.place.end - comma.len());
        let mut ways = Vec::new();
        match (before, after, comma) {
            (_, Some(next), Some(comma)) => {
                ways.push(vec![Splice::remove(self.with_line(part.start..comma + 1))]);
                ways.push(vec![Splice::remove(part.start..next.start)]);
            }
            (_, Some(next), None) => ways.push(vec![Splice::remove(part.start..next.start)]),
            (Some(previous), None, None) => {
                let between = self.between(previous.end..part.start);
                if between.trim() != "," {
                    // A comment, which stays.
                    ways.push(vec![Splice::remove(self.with_line(part.clone()))]);
                }
                ways.push(vec![Splice::remove(previous.end..part.end)]);
            }
            (_, None, Some(comma)) => {
                ways.push(vec![Splice::remove(self.with_line(part.start..comma + 1))]);
            }
            (None, None, None) => {
                ways.push(vec![Splice::remove(self.with_line(part.clone()))]);
            }
        }
        ways.push(vec![Splice::remove(self.place.start + 1..self.place.end.saturating_sub(1))]);
        ways
    }

    /// Returns `place`, with the blanks after it, or all of its lines where there is nothing else.
    fn with_line(&self, place: Range<usize>) -> Range<usize> {
        let start = line_start(self.text, place.start).max(self.place.start + 1);
        let rest = self.between(place.end..self.place.end);
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let is_alone = self.between(start..place.start).trim().is_empty();
        match rest.get(blanks..).and_then(|rest| rest.strip_prefix('\r').or(Some(rest))) {
            Some(end) if is_alone && end.starts_with('\n') => start..self.place.end - end.len() + 1,
            _ => place.start..place.end + blanks,
        }
    }
}
