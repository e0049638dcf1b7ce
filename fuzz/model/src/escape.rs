//! any text ↔ its escaped form in a unit.

use std::fmt::Write as _;

use vaultix_generator::escape;

use crate::draw::Draw;
use crate::{command, unit_file};

/// Compares every kind of escaping with a model, and reads back what was written.
pub fn check(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let (text, other) = match draw.below(3) {
        0 => (String::from_utf8_lossy(draw.rest()).into_owned(), String::new()),
        _ => (draw.text(), draw.text()),
    };
    instance(&text, &other);
    unit_name(&text, &other);
    let program = format!("/x{}", text.replace('\0', ""));
    let line = format!("{} {} end", escape::program(&program), escape::argument(&text));
    assert_eq!(command::split(&line), [program, command::told(&text), "end".into()]);
    let file = format!("[Unit]\nDescription=x {}\nDocumentation=man:x(1)\n", escape::value(&text));
    let settings = unit_file::parse(&file);
    assert_eq!(settings.len(), 2, "{text:?} ends or begins a line");
    assert_eq!(unit_file::expand(&settings[0].value), one_line(&format!("x {text}")));
    path(&draw.path());
}

/// Returns `text` as a value on one line can contain it: line ends and characters that systemd
/// refuses are escaped, and white space at both ends is removed.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = String::new();
    for one in text.chars() {
        let code = u32::from(one);
        let refused = (0xfdd0..=0xfdef).contains(&code) || code % 0x1_0000 >= 0xfffe;
        if one.is_control() || refused {
            write!(line, "\\u{{{code:x}}}").unwrap();
        } else {
            line.push(one);
        }
    }
    line.trim_matches(' ').to_owned()
}

/// Returns what `systemd-escape` prints.
#[must_use]
pub fn systemd_escape(text: &str) -> String {
    let kept = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.";
    let mut escaped = String::new();
    for (at, byte) in text.bytes().enumerate() {
        let one = char::from(byte);
        if one == '/' {
            escaped.push('-');
        } else if kept.contains(one) && !(at == 0 && one == '.') {
            escaped.push(one);
        } else {
            write!(escaped, "\\x{byte:02x}").unwrap();
        }
    }
    escaped
}

/// Returns what `systemd-escape --unescape` prints.
fn unescape(escaped: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = escaped;
    while let Some(one) = rest.chars().next() {
        rest = &rest[one.len_utf8()..];
        if one == '-' {
            bytes.push(b'/');
        } else if let Some(hex) = rest.strip_prefix('x').filter(|_| one == '\\') {
            bytes.push(u8::from_str_radix(&hex[..2], 16).unwrap());
            rest = &hex[2..];
        } else {
            bytes.push(u8::try_from(one).unwrap());
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Checks the instance of a unit.
fn instance(text: &str, other: &str) {
    let instance = escape::instance(text);
    assert_eq!(instance, systemd_escape(text));
    assert_eq!(unescape(&instance), text);
    assert_eq!(instance == escape::instance(other), text == other);
}

/// Checks the name of a unit.
fn unit_name(text: &str, other: &str) {
    let long = format!("{}{text}", "x".repeat(200));
    for id in [text, &long] {
        let name = escape::unit_name("vaultix-secret@", id);
        assert!(is_unit_name(&name), "{name} of {id:?}");
        let plain = format!("vaultix-secret@{}.service", systemd_escape(id));
        if plain.len() <= 255 && !id.is_empty() {
            assert_eq!(name, plain);
        }
        assert_eq!(name == escape::unit_name("vaultix-secret@", other), id == other);
    }
}

/// Checks the name of a unit for a path.
fn path(path: &str) {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let expected = if parts.is_empty() { "-".into() } else { systemd_escape(&parts.join("/")) };
    // Only normalized paths get here: the profile refuses others.
    if format!("/{}", parts.join("/")) == path {
        assert_eq!(escape::path_unit(path, "mount"), format!("{expected}.mount"));
    }
}

/// Returns whether systemd accepts `name` as the name of a unit that can be started.
#[must_use]
pub fn is_unit_name(name: &str) -> bool {
    let Some((stem, kind)) = name.rsplit_once('.') else { return false };
    let kinds = "service socket device mount automount swap target path timer slice scope";
    let allowed = |one: char| one.is_ascii_alphanumeric() || ":-_.\\@".contains(one);
    kinds.split(' ').any(|known| known == kind)
        && (1..=255).contains(&name.len())
        && !stem.is_empty()
        && !stem.starts_with('@')
        && !stem.ends_with('@')
        && stem.chars().all(allowed)
}
