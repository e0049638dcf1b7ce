//! text of a unit, its template and what the values mean → a panic, unless the text says exactly
//! that.

use std::collections::BTreeSet;

use crate::escape::{is_unit_name, one_line};
use crate::unit_file::Setting;
use crate::{command, unit_file};

/// What a value in a unit must mean.
#[derive(Debug)]
pub enum Meaning {
    /// This text, letter by letter.
    Verbatim(String),
    /// This text after systemd has expanded it, as far as one line can contain it.
    Text(String),
    /// This path, and no other.
    Path(String),
    /// These units.
    Names(BTreeSet<String>),
    /// This program with these arguments.
    Command(Vec<String>),
}

impl Meaning {
    /// Fails unless `value` means it.
    fn check(&self, value: &str) {
        match self {
            Self::Verbatim(text) => assert_eq!(value, text),
            Self::Text(text) => assert_eq!(unit_file::expand(value), one_line(text)),
            Self::Path(path) => assert_eq!(unit_file::expand(value), *path),
            Self::Names(names) => {
                let found = unit_file::names(value);
                assert!(found.iter().all(|name| is_unit_name(name)), "{value:?}");
                assert_eq!(&found.into_iter().collect::<BTreeSet<_>>(), names);
            }
            Self::Command(words) => assert_eq!(&command::split(value), words),
        }
    }
}

/// Fails unless the unit `text` is `template` with values that mean `fields`.
///
/// `@ORDER@` stands for several settings, which are in `order`.
pub fn compare(text: &str, template: &str, fields: &[(&str, Meaning)], order: &[(&str, Meaning)]) {
    let template = template.replace("\n@ORDER@\n", "\nOrder=@ORDER@\n");
    let mut found = unit_file::parse(text).into_iter();
    let mut next = |section: &str, key: &str, meaning: &Meaning| {
        let Setting { section: in_section, key: found, value } =
            found.next().unwrap_or_else(|| panic!("no {key} in {text}"));
        assert_eq!((&*in_section, &*found), (section, key), "{text}");
        meaning.check(&value);
    };
    for Setting { section, key, value } in unit_file::parse(&template) {
        // White space between words has no meaning; a continued line contains some.
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        if key == "Order" {
            for (key, meaning) in order {
                next(&section, key, meaning);
            }
        } else if let Some((_, meaning)) = fields.iter().find(|(field, _)| *field == value) {
            next(&section, &key, meaning);
        } else {
            // Instances of a unit and sets of system calls also contain an `@`.
            let is_free =
                |rest: &str| rest.starts_with(|it: char| it == '*' || it.is_ascii_lowercase());
            assert!(value.split('@').skip(1).all(is_free), "nobody expects {key}={value}");
            next(&section, &key, &Meaning::Verbatim(value));
        }
    }
    assert_eq!(found.next(), None, "more than was meant in {text}");
}
