//! value of `ExecStart=` → the arguments that the program receives, by the rules of
//! systemd.service(5).

use std::iter::Peekable;
use std::str::Chars;

use crate::unit_file::expand;

/// Returns the program and its arguments. Panics at a second command in the line, a specifier, a
/// variable, or anything that systemd refuses.
#[must_use]
pub fn split(value: &str) -> Vec<String> {
    let mut rest = value.chars().peekable();
    let mut words = Vec::new();
    while let Some(word) = word(&mut rest) {
        let word = expand(&word);
        // systemd expands no variables in the program's own path, so a doubled dollar sign stays.
        words.push(if words.is_empty() { program(word) } else { variables(&word) });
    }
    assert!(!words.is_empty(), "no command in {value:?}");
    words
}

/// Returns the argument `text` as the program receives it.
#[must_use]
pub fn told(text: &str) -> String {
    text.replace('\0', "\\x00")
}

/// Checks that the first word begins with none of systemd's special prefixes.
fn program(word: String) -> String {
    assert!(!word.starts_with(['@', '-', ':', '+', '!', '|']), "a prefix on {word:?}");
    word
}

/// Reads the next word, with quotes and backslashes as in systemd.syntax(7).
fn word(rest: &mut Peekable<Chars>) -> Option<String> {
    while rest.next_if(char::is_ascii_whitespace).is_some() {}
    rest.peek()?;
    let mut bytes = Vec::new();
    let mut quote = None;
    let mut plain = true;
    while let Some(one) = rest.next() {
        match one {
            '\\' => bytes.extend(escaped(rest)),
            '"' | '\'' if quote.is_none() => quote = Some(one),
            _ if quote == Some(one) => quote = None,
            _ if quote.is_none() && one.is_ascii_whitespace() => break,
            _ => {
                bytes.extend(one.to_string().bytes());
                continue;
            }
        }
        plain = false;
    }
    assert_eq!(quote, None, "a quote is left open");
    assert!(!plain || bytes != b";", "a second command");
    Some(String::from_utf8(bytes).unwrap())
}

/// Reads what follows a backslash.
fn escaped(rest: &mut Peekable<Chars>) -> Vec<u8> {
    match rest.next().unwrap_or_else(|| panic!("a backslash at the end")) {
        'x' => {
            let digits: String = rest.by_ref().take(2).collect();
            match u8::from_str_radix(&digits, 16).unwrap() {
                // No argument can contain a NUL: systemd leaves the escape unchanged.
                0 => b"\\x00".to_vec(),
                byte => vec![byte],
            }
        }
        'n' => b"\n".to_vec(),
        't' => b"\t".to_vec(),
        'r' => b"\r".to_vec(),
        's' => b" ".to_vec(),
        same @ ('\\' | '"' | '\'') => same.to_string().into_bytes(),
        other => panic!("an escape that we never write: \\{other}"),
    }
}

/// Expands variables. The only one allowed is the doubled dollar sign.
fn variables(word: &str) -> String {
    let mut after = String::new();
    let mut rest = word.chars().peekable();
    while let Some(one) = rest.next() {
        if one == '$' {
            let doubled = rest.next_if_eq(&'$').is_some();
            let alone = after.is_empty() || rest.peek() == Some(&'{');
            assert!(doubled || !alone, "a variable in {word:?}");
        }
        after.push(one);
    }
    after
}
