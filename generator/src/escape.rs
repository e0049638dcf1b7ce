//! ids and paths → their escaped forms for systemd, shells and messages.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

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
/// If the name would be longer than systemd allows, or the id is empty, which would be the template itself, the
/// instance is `sha256-` and the first 32 hex digits of the id's SHA-256. The description of the unit then contains
/// the id.
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

/// Returns `path` as the literal program of `ExecStart=`.
///
/// As [`argument`], but a dollar sign is not escaped: systemd expands no variables here.
///
/// ```
/// use vaultix_generator::escape::program;
/// assert_eq!(program("/opt/a$b/c%d"), r#""/opt/a$b/c%%d""#);
/// ```
#[must_use]
pub fn program(path: &str) -> String {
    quoted(path, "$")
}

/// Returns `text` as one literal, quoted argument of `ExecStart=`.
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
            // systemd accepts C escapes for bytes, and refuses lines that contain these characters unescaped.
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
    // A backslash at the end of a line continues it on the next one.
    if escaped.ends_with('\\') {
        escaped.push(' ');
    }
    escaped
}

/// Returns `text` as one line for a journal or a terminal: characters that are invisible, or change how others look,
/// are escaped as in Rust, and private keys are hidden, see [`crate::private`].
///
/// ```
/// use vaultix_generator::escape::line;
/// assert_eq!(line("a\nb\u{7f}\u{202e} \"c\""), r#"a\nb\u{7f}\u{202e} "c""#);
/// ```
#[must_use]
pub fn line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in crate::private::hide(text).chars() {
        if is_hidden(character) {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// Returns whether a terminal does not show this character itself: a control character, or one that has no
/// width, ends a line, or changes the direction of others.
///
/// Rule: general categories Cc, Cf, Zl and Zp of Unicode 16, and `Default_Ignorable_Code_Point`. The joiners U+200C and
/// U+200D are also included: a name that needs one can still be distinguished from all others.
#[must_use]
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
            | '\u{890}' | '\u{891}' | '\u{8e2}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Returns `text` as one word for a shell, for pasting: quoted only if necessary.
///
/// Characters that [`line()`] would escape are written as `\n` or bytes in octal, in the quotes `$'…'` of bash, zsh, ksh and,
/// since 2024, of POSIX. A word that begins with a dash is still an option; see [`shell_path`].
///
/// ```
/// use vaultix_generator::escape::shell;
/// assert_eq!(shell("secrets/wifi.age"), "secrets/wifi.age");
/// assert_eq!(shell("it's $HOME"), r"'it'\''s $HOME'");
/// assert_eq!(shell("a\n\u{202e}"), r"$'a\n\342\200\256'");
/// ```
#[must_use]
pub fn shell(text: impl AsRef<OsStr>) -> String {
    let bytes = text.as_ref().as_bytes();
    match str::from_utf8(bytes) {
        Ok(text) if text.chars().any(is_hidden) => with_escapes(bytes),
        Ok(text) if !text.is_empty() && text.bytes().all(is_plain) => text.to_owned(),
        Ok(text) => format!("'{}'", text.replace('\'', r"'\''")),
        Err(_) => with_escapes(bytes),
    }
}

/// Returns `path` as one word for a shell that no program mistakes for an option.
///
/// ```
/// use vaultix_generator::escape::shell_path;
/// assert_eq!(shell_path("-rf"), "./-rf");
/// ```
#[must_use]
pub fn shell_path(path: impl AsRef<OsStr>) -> String {
    let path = path.as_ref();
    if path.as_bytes().starts_with(b"-") {
        let mut below = OsString::from("./");
        below.push(path);
        return shell(below);
    }
    shell(path)
}

/// Returns whether this byte has no special meaning to any shell, anywhere in a word.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"%+,-./:@_".contains(&byte)
}

/// Returns `bytes` in the quotes `$'…'`.
fn with_escapes(bytes: &[u8]) -> String {
    let mut word = String::from("$'");
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => word.push_str("\\n"),
                '\\' | '\'' => word.extend(['\\', character]),
                hidden if is_hidden(hidden) => {
                    push_octal(&mut word, hidden.encode_utf8(&mut [0; 4]).as_bytes());
                }
                seen => word.push(seen),
            }
        }
        push_octal(&mut word, chunk.invalid());
    }
    word.push('\'');
    word
}

/// Appends `bytes` as `\NNN`, in octal: some shells read more than two hex digits.
fn push_octal(word: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(word, "\\{byte:03o}"); // Writing to a String cannot fail.
    }
}

/// Longest part of a message, in bytes (4 KiB): more is not helpful, and a message may quote a megabyte from a file that
/// someone else made.
const MAX_MESSAGE: usize = 4096;

/// Returns `text` as [`line()`] does, truncated if it is too long for a message.
///
/// ```
/// use vaultix_generator::escape::message;
/// assert_eq!(message("a\nb"), r"a\nb");
/// assert!(message(&"a".repeat(5000)).ends_with("aaa\u{2026}"));
/// ```
#[must_use]
pub fn message(text: &str) -> String {
    let fits = |(at, character): &(usize, char)| at + character.len_utf8() <= MAX_MESSAGE;
    let start: usize =
        text.char_indices().take_while(fits).map(|(_, character)| character.len_utf8()).sum();
    let mut message = line(text.get(..start).unwrap_or(text));
    if start == text.len() && message.len() <= MAX_MESSAGE {
        return message;
    }
    // Escaped characters take more bytes than before.
    let end = message.char_indices().take_while(fits).last();
    message.truncate(end.map_or(0, |(at, character)| at + character.len_utf8()));
    message.push('\u{2026}');
    message
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

fn push_hex(text: &mut String, byte: u8) {
    let _ = write!(text, "\\x{byte:02x}"); // Writing to a String cannot fail.
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_lower_case_with_leading_zeros() {
        assert_eq!(hex(&[0x00, 0x0f, 0xa9, 0xff]), "000fa9ff");
    }
    use pretty_assertions::assert_eq;

    #[test]
    fn characters_that_systemd_refuses_are_escaped() {
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
    fn a_dollar_is_escaped_in_arguments_only() {
        assert_eq!(program("/a$b %i"), r#""/a$b %%i""#);
        assert_eq!(argument("/a$b %i"), r#""/a$$b %%i""#);
    }

    #[test]
    fn invisible_characters_are_escaped() {
        for hidden in
            ['\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{200b}', '\u{200f}', '\u{feff}']
        {
            assert_eq!(line(&format!("a{hidden}b")), format!("a{}b", hidden.escape_unicode()));
        }
        for hidden in
            ['\u{61c}', '\u{ad}', '\u{2028}', '\u{2029}', '\u{2060}', '\u{e0041}', '\u{9b}']
        {
            assert_eq!(line(&format!("a{hidden}b")), format!("a{}b", hidden.escape_unicode()));
        }
        for seen in ["ä", "日本", "עברית", "🔑", "a\u{301}"] {
            assert_eq!(line(seen), seen);
        }
    }

    #[test]
    fn long_messages_are_truncated() {
        for (text, expected) in [
            ("a".repeat(MAX_MESSAGE), "a".repeat(MAX_MESSAGE)),
            ("a".repeat(MAX_MESSAGE + 1), format!("{}\u{2026}", "a".repeat(MAX_MESSAGE))),
            ("\u{e9}".repeat(MAX_MESSAGE), format!("{}\u{2026}", "\u{e9}".repeat(MAX_MESSAGE / 2))),
            ("\n".repeat(MAX_MESSAGE), format!("{}\u{2026}", r"\n".repeat(MAX_MESSAGE / 2))),
        ] {
            assert_eq!(message(&text), expected);
        }
    }

    #[test]
    fn an_empty_id_does_not_name_the_template() {
        assert!(unit_name("vaultix-secret@", "").starts_with("vaultix-secret@sha256-e3b0c44298fc"));
    }
}
