//! ids and paths → the spelling that systemd wants for them.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Longest name of a unit, in bytes: systemd's `UNIT_NAME_MAX` less the byte that ends it.
pub(crate) const MAX_UNIT_NAME: usize = 255;

/// Returns `id` as the instance part of a unit name, as `systemd-escape` prints it.
///
/// `/` becomes `-`; ASCII letters, digits, `:`, `_` and inner `.` stay; every other byte becomes `\xHH` in
/// lower-case hex.
///
/// Rule: systemd.unit(5), "String Escaping for Inclusion in Unit Names".
///
/// ```
/// use vaultix_generator::escape::instance;
/// assert_eq!(instance("wifi/home psk"), r"wifi-home\x20psk");
/// assert_eq!(instance("a-b"), r"a\x2db");
/// ```
#[must_use]
pub fn instance(id: &str) -> String {
    let mut escaped = String::with_capacity(id.len());
    for (at, byte) in id.bytes().enumerate() {
        match byte {
            b'/' => escaped.push('-'),
            b'.' if at == 0 => push_hex(&mut escaped, byte),
            b'.' | b':' | b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {
                escaped.push(char::from(byte));
            }
            _ => push_hex(&mut escaped, byte),
        }
    }
    escaped
}

/// Returns the name of the unit that the template `prefix` (`vaultix-secret@`) has for `id`.
///
/// Where the escaped id makes it longer than systemd allows, or is empty, which would be the template itself, the
/// instance is `sha256-` and the first 32 hex digits of the id's SHA-256. The description of the unit carries the
/// id then.
///
/// ```
/// use vaultix_generator::escape::unit_name;
/// assert_eq!(unit_name("vaultix-secret@", "wifi"), "vaultix-secret@wifi.service");
/// assert_eq!(unit_name("vaultix-secret@", &"-".repeat(60)).len(), 62);
/// ```
#[must_use]
pub fn unit_name(prefix: &str, id: &str) -> String {
    let name = format!("{prefix}{}.service", instance(id));
    if name.len() <= MAX_UNIT_NAME && !id.is_empty() {
        return name;
    }
    let digest = hex(&Sha256::digest(id));
    format!("{prefix}sha256-{}.service", digest.get(..32).unwrap_or_default())
}

/// Returns the name of the unit of the kind `suffix` (`mount`) for the absolute path `path`.
///
/// Slashes at the ends do not count; the root directory is `-`.
///
/// ```
/// use vaultix_generator::escape::path_unit;
/// assert_eq!(path_unit("/run/vaultix.d", "mount"), "run-vaultix.d.mount");
/// assert_eq!(path_unit("/", "mount"), "-.mount");
/// ```
#[must_use]
pub fn path_unit(path: &str, suffix: &str) -> String {
    let inner = path.trim_matches('/');
    let escaped = if inner.is_empty() { "-".to_owned() } else { instance(inner) };
    format!("{escaped}.{suffix}")
}

/// Returns `path` as the program that `ExecStart=` runs, to be taken to the letter.
///
/// As [`argument`], but a dollar sign stands for itself: systemd puts no variables in here.
///
/// ```
/// use vaultix_generator::escape::program;
/// assert_eq!(program("/opt/a$b/c%d"), r#""/opt/a$b/c%%d""#);
/// ```
#[must_use]
pub fn program(path: &str) -> String {
    quoted(path, "$")
}

/// Returns `text` as one quoted argument of `ExecStart=`, to be taken to the letter.
///
/// Rule: systemd.service(5), "Command lines", and systemd.syntax(7), "Quoting".
///
/// ```
/// use vaultix_generator::escape::argument;
/// assert_eq!(argument(r#"50% of "$x""#), r#""50%% of \"$$x\"""#);
/// ```
#[must_use]
pub fn argument(text: &str) -> String {
    quoted(text, "$$")
}

/// Returns `text` in quotes, with `dollar` for each dollar sign.
fn quoted(text: &str, dollar: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '\\' => quoted.push_str(r"\\"),
            '"' => quoted.push_str("\\\""),
            '%' => quoted.push_str("%%"),
            '$' => quoted.push_str(dollar),
            // systemd takes C escapes for bytes, and refuses lines in which these stand bare.
            refused if is_refused(refused) => {
                let mut bytes = [0; 4];
                refused
                    .encode_utf8(&mut bytes)
                    .bytes()
                    .for_each(|byte| push_hex(&mut quoted, byte));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// Returns `text` as the value of a setting that systemd expands specifiers in, on one line.
///
/// ```
/// use vaultix_generator::escape::value;
/// assert_eq!(value("50%\n"), r"50%%\u{a}");
/// ```
#[must_use]
pub fn value(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '%' => escaped.push_str("%%"),
            refused if is_refused(refused) => escaped.extend(refused.escape_unicode()),
            other => escaped.push(other),
        }
    }
    // A backslash at the end of a line joins the next one to it.
    if escaped.ends_with('\\') {
        escaped.push(' ');
    }
    escaped
}

/// Returns `text` as one line for people, in a journal or on a terminal: control characters as Rust writes them.
///
/// ```
/// use vaultix_generator::escape::line;
/// assert_eq!(line("a\nb\u{7f} \"c\""), r#"a\nb\u{7f} "c""#);
/// ```
#[must_use]
pub fn line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// Returns whether systemd refuses a line with this character: a control character, or one of Unicode's
/// noncharacters.
fn is_refused(character: char) -> bool {
    let code = character as u32;
    character.is_control() || matches!(code, 0xfdd0..=0xfdef) || code & 0xfffe == 0xfffe
}

/// Returns `bytes` in lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}"); // Writing to a String cannot fail.
    }
    text
}

/// Appends `byte` as `\xHH`.
fn push_hex(text: &mut String, byte: u8) {
    let _ = write!(text, "\\x{byte:02x}"); // Writing to a String cannot fail.
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    #[test]
    fn what_systemd_refuses_is_written_out() {
        for refused in ['\0', '\n', '\u{85}', '\u{fdd0}', '\u{fdef}', '\u{fffe}', '\u{10ffff}'] {
            assert_eq!(value(&refused.to_string()), refused.escape_unicode().to_string());
            assert!(!argument(&refused.to_string()).contains(refused));
        }
        for kept in ['a', '\u{fdcf}', '\u{fdf0}', '\u{fffd}', '\u{10fffd}', '\u{1fffd}', '\u{feff}']
        {
            assert_eq!(value(&kept.to_string()), kept.to_string());
            assert_eq!(argument(&kept.to_string()), format!("\"{kept}\""));
        }
    }

    #[test]
    fn a_program_takes_no_variable_and_an_argument_does() {
        assert_eq!(program("/a$b %i"), r#""/a$b %%i""#);
        assert_eq!(argument("/a$b %i"), r#""/a$$b %%i""#);
    }

    #[test]
    fn no_id_gives_the_template_itself() {
        assert!(unit_name("vaultix-secret@", "").starts_with("vaultix-secret@sha256-e3b0c44298fc"));
    }
}
