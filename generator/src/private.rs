//! a message → the same message with private keys cut out.
//!
//! A private key that was pasted in place of a public key, a path or a name would otherwise be printed in an error: on a
//! terminal, in the log of a build, in a journal. Everything that is printed passes through here.

use std::borrow::Cow;
use std::ops::Range;

/// What a private key is replaced with.
pub const HIDDEN: &str = "[a private key, not shown]";

/// How to print the public key of a private key.
pub const PUBLIC_KEY_HINT: &str =
    "age-keygen -y FILE prints that of an identity, ssh-keygen -y -f FILE that of an ssh key";

/// Returns whether `text` contains a private key, or something that may have been one: a key with a
/// letter missing is still private.
///
/// ```
/// use vaultix_generator::private::is_private;
/// assert!(is_private("age-secret-key-1gq9778vqxmmjve8sk7j6vt8uj4hdqajuvsfcwcm02d8gewq72pvq2y5j33"));
/// assert!(is_private("-----BEGIN OPENSSH PRIVATE KEY-----"));
/// assert!(!is_private("secrets/age-secret-key-of-web1.age"));
/// ```
#[must_use]
pub fn is_private(text: &str) -> bool {
    matches!(hide(text), Cow::Owned(_))
}

/// Returns `text` with [`HIDDEN`] in place of each private key.
///
/// ```
/// use vaultix_generator::private::hide;
/// let key = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
/// assert_eq!(hide(&format!("\"{key}\" is no path")), "\"[a private key, not shown]\" is no path");
/// ```
#[must_use]
pub fn hide(text: &str) -> Cow<'_, str> {
    // Upper case keeps all offsets: only ASCII letters change.
    let upper = text.to_ascii_uppercase();
    let mut shown = String::with_capacity(text.len());
    let mut hidden = false;
    let mut at = 0;
    while let Some(block) = block(&upper, at) {
        hide_words(text.get(at..block.start).unwrap_or_default(), &mut shown);
        shown.push_str(HIDDEN);
        hidden = true;
        at = block.end;
    }
    hidden |= hide_words(text.get(at..).unwrap_or_default(), &mut shown);
    if hidden { Cow::Owned(shown) } else { Cow::Borrowed(text) }
}

/// Returns `text`, which should have been a public key, in a form that is safe in a message: in quotes if it is short or
/// begins like one, otherwise only its length. A key that has lost its beginning cannot be recognized. Of a post-quantum
/// one, only the beginning is shown.
///
/// ```
/// use vaultix_generator::private::shown;
/// assert_eq!(shown("nonsense"), "\"nonsense\"");
/// assert_eq!(shown("kHmR8ISMOgvDcsVkSpyYkpJ1UQ9wbYzQXgAK6P1iYlk="), "what was given, 44 bytes that are not shown,");
/// ```
#[must_use]
pub fn shown(text: &str) -> String {
    const SHORT: usize = 20;
    /// Longer than an X25519 recipient; a post-quantum one would fill a screen.
    const LONG: usize = 80;
    let is_public = ["age1", "ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"]
        .iter()
        .any(|start| text.starts_with(start))
        && !is_private(text);
    if is_public && text.starts_with("age1") && text.len() > LONG {
        let start: String = text.chars().take(SHORT).collect();
        format!("\"{start}\u{2026}\"")
    } else if is_public || text.len() < SHORT {
        format!("\"{text}\"")
    } else {
        format!("what was given, {} bytes that are not shown,", text.len())
    }
}

/// Returns the message of `error` without a value of the wrong type in it, which may be a secret.
///
/// ```
/// use vaultix_generator::private::reason;
/// let error = serde_json::from_str::<bool>("\"hunter2\"").unwrap_err();
/// assert_eq!(reason(&error), "invalid type: string, expected a boolean at line 1 column 9");
/// ```
#[must_use]
pub fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let value = [": string \"", ": byte array"].iter().find_map(|start| {
        let start = text.find(start)?;
        Some(start..text.rfind(", expected ")?)
    });
    match value.map(|value| (text.get(..value.start), text.get(value.end..))) {
        Some((Some(before), Some(after))) => format!("{before}: string{after}"),
        _ => text,
    }
}

/// Finds the first private key of several lines in `upper`, a text in upper case, at or after `at`.
fn block(upper: &str, at: usize) -> Option<Range<usize>> {
    /// How keys begin that have an end line.
    const PEM: [&[u8]; 3] = [
        b"PRIVATE KEY-",
        b"PRIVATE KEY BLOCK",
        // `openssh-key-v1` in base64, with which the body of every private key of OpenSSH begins.
        b"B3BLBNNZAC1RZXKTDJE",
    ];
    /// How keys of `PuTTY` begin, which have none.
    const PUTTY: [&[u8]; 2] = [b"PUTTY-USER-KEY-FILE", b"PRIVATE-LINES:"];
    let bytes = upper.as_bytes();
    for start in at..bytes.len() {
        let rest = bytes.get(start..).unwrap_or_default();
        if PUTTY.iter().any(|mark| rest.starts_with(mark)) {
            return Some(start..bytes.len());
        }
        // Only at the first of several dashes, so that a long line of dashes is read once.
        let is_first = start == at || bytes.get(start - 1) != Some(&b'-');
        if PEM.iter().any(|mark| rest.starts_with(mark)) || is_first && begins_private(rest) {
            return Some(start..end(upper, start));
        }
    }
    None
}

/// Returns whether `rest` is the first line of a PEM block with a private key, or may have been
/// one: `-----BEGIN`, and a label with *private* or *key*, but without *public*.
fn begins_private(rest: &[u8]) -> bool {
    const LABEL: usize = 40;
    let dashes = rest.iter().take_while(|byte| **byte == b'-').count();
    let label = rest.get(dashes..).unwrap_or_default();
    let label = label.strip_prefix(b" ").unwrap_or(label).strip_prefix(b"BEGIN ");
    let Some(label) = label.filter(|_| dashes > 0) else { return false };
    let label = label.get(..LABEL).unwrap_or(label);
    let label = label.split(|byte| *byte == b'-').next().unwrap_or_default();
    let has = |word: &[u8]| label.windows(word.len()).any(|window| window == word);
    (has(b"PRIVATE") || has(b"KEY")) && !has(b"PUBLIC")
}

/// Returns the end of the block that begins at `start`: after its end line, or the end of the text
/// if it has none.
fn end(upper: &str, start: usize) -> usize {
    let line =
        upper.get(start..).and_then(|rest| rest.find("-END ")).map(|found| start + found + 1);
    let Some(line) = line else { return upper.len() };
    let rest = upper.get(line..).unwrap_or_default();
    let label = rest.find('-').unwrap_or(rest.len());
    let dashes = rest.get(label..).unwrap_or_default();
    line + label + dashes.find(|one| one != '-').unwrap_or(dashes.len())
}

/// Appends `text` to `shown`, with [`HIDDEN`] in place of each word that is a private key; returns
/// whether there was one.
fn hide_words(text: &str, shown: &mut String) -> bool {
    let is_part = |one: char| one.is_ascii_alphanumeric() || matches!(one, '-' | '_');
    let mut hidden = false;
    // Whether only white space has followed the last key.
    let mut is_wrapped = false;
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.find(|one| !is_part(one)).unwrap_or(rest.len()));
        let (gap, after) = after.split_at(after.find(is_part).unwrap_or(after.len()));
        if is_wrapped && is_rest(word) {
            // Its beginning has been replaced; this part is left out.
        } else if is_identity(word) {
            shown.push_str(HIDDEN);
            (hidden, is_wrapped) = (true, true);
        } else {
            shown.push_str(word);
            is_wrapped = false;
        }
        shown.push_str(gap);
        is_wrapped &= gap.chars().all(|one| one.is_whitespace() || one == '\\');
        rest = after;
    }
    hidden
}

/// Returns whether `word`, which follows a private key, may be the rest of it on another line.
fn is_rest(word: &str) -> bool {
    /// A shorter word reveals little of a key, and may be a word of our message.
    const SHORT: usize = 6;
    let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
    word.len() >= SHORT && has_digit && run(&word.to_ascii_uppercase()) == word.len()
}

/// Returns whether `word` is an identity of age or of a plugin, or may have been one.
///
/// Rule: <https://age-encryption.org/v1>, "Native X25519 recipient type"; the data is in Bech32, see BIP 173.
fn is_identity(word: &str) -> bool {
    /// How they begin.
    const WHOLE: [&str; 2] = ["AGE-SECRET-KEY-", "AGE-PLUGIN-"];
    /// Both parts of each beginning: if a letter is missing or wrong, the other part is still
    /// complete.
    const PARTS: [&str; 4] = ["AGE-SECR", "ET-KEY-", "AGE-PL", "UGIN-"];
    /// Least data after a whole beginning, after a part of one, and without one: a name may look
    /// like a key.
    const LEAST: [usize; 3] = [20, 32, 50];
    if word.len() < LEAST[0] {
        return false;
    }
    let upper = word.to_ascii_uppercase();
    let has_data = |marks: &[&str], least: usize| {
        marks.iter().any(|mark| upper.split_once(mark).is_some_and(|(_, rest)| run(rest) >= least))
    };
    has_data(&WHOLE, LEAST[0])
        || has_data(&PARTS, LEAST[1])
        // A double click selects what is between two dashes. Public keys are in lower case.
        || upper == word && run(word) >= LEAST[2]
}

/// Returns the length of the longest run of characters of Bech32 in `upper`, which is in upper case.
fn run(upper: &str) -> usize {
    let pieces = upper.split(|one: char| !"QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L".contains(one));
    pieces.map(str::len).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    /// A throw-away identity, from the age crate's documentation.
    const KEY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

    /// Only its data.
    const DATA: &str = "GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

    #[test]
    fn an_identity_with_any_letter_missing_is_hidden() {
        for key in [KEY.to_owned(), KEY.to_lowercase(), format!("AGE-PLUGIN-TPM-1{DATA}")] {
            for at in 0..key.len() {
                for other in ["", "x", "-"] {
                    let mut spoilt = key.clone();
                    spoilt.replace_range(at..=at, other);
                    let said = hide(&format!("\"{spoilt}\" is no path")).into_owned();
                    let long = |word: &str| word.len() >= 20 && DATA.contains(&word.to_uppercase());
                    assert!(!said.split(['"', ' ', '-', 'x', '1']).any(long), "{spoilt}: {said}");
                }
            }
        }
    }

    #[test]
    fn a_key_on_several_lines_is_hidden() {
        for gap in ["\n", " ", "\r\n  ", "\\n"] {
            let text = format!("a {}{gap}{}{gap}{}, b", &KEY[..40], &KEY[40..55], &KEY[55..]);
            let said = hide(&text);
            assert!(!said.contains(&KEY[42..52]) && !said.contains(&KEY[58..68]), "{said}");
        }
        assert_eq!(hide(&format!("{KEY} expected 3")), format!("{HIDDEN} expected 3"));
    }

    #[test]
    fn text_around_a_private_key_stays() {
        assert_eq!(hide(&format!("a {KEY}, b '{KEY}' c")), format!("a {HIDDEN}, b '{HIDDEN}' c"));
        let pem = "-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----";
        let said = format!("a \"{HIDDEN}\" b {HIDDEN} {HIDDEN}");
        assert_eq!(hide(&format!("a \"{pem}\" b {pem} {KEY}")), said);
    }

    #[test]
    fn every_block_with_a_private_key_is_hidden() {
        for begin in [
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "-----begin openssh private key-----",
            "-----BEGIN PRIVATE KEY-----",
            "-----BEGIN RSA PRIVTE KEY-----",
            "-----BEGIN RSA PRIVATE KY-----",
            "----BEGIN ENCRYPTED PRIVATE KEY----",
            "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----",
            "OPENSSH PRIVATE KEY-----",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----",
            "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU",
            "PuTTY-User-Key-File-3: ssh-ed25519",
            "Private-Lines: 1",
        ] {
            for end in ["", "\n-----END OPENSSH PRIVATE KEY-----"] {
                assert!(!hide(&format!("a {begin}\nhunter2{end}")).contains("hunter2"), "{begin}");
            }
        }
    }

    #[test]
    fn public_keys_are_shown() {
        for text in [
            "",
            "ü\u{300}-BEGIN ü",
            "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
            "age1yubikey1q2w7u3vpya839jxxuq8g0sedh3d740d4xvn639sqhr95ejj8vu3hyfumptt",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJKFAtszmoMMh2IBHZkmST/rxao9WDWCaShoXWZTOnKT me",
            "-----BEGIN AGE ENCRYPTED FILE-----",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN CERTIFICATE-----",
            "it holds AGE-SECRET-KEY-PQ-1…",
            "/nix/store/0c5b8vw40d1178xlpddw65q9gf1h2186-age-plugin-yubikey-0.5.0/bin/age-plugin-yubikey",
            "secrets/secret-key-0123456789abcdef0123456789abcdef.age",
            "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709DA39A3EE5E6B4B0D3255BFEF",
        ] {
            assert_eq!(hide(text), text);
            assert!(matches!(hide(text), Cow::Borrowed(_)));
        }
    }

    #[test]
    fn text_that_begins_like_a_public_key_is_shown() {
        assert_eq!(shown("age1x"), "\"age1x\"");
        assert_eq!(shown("ssh-foo AAAAAAAAAAAAAAAAAAAAA"), "\"ssh-foo AAAAAAAAAAAAAAAAAAAAA\"");
        assert!(!shown(&format!("ssh-foo {KEY}")).contains("GQ97"));
        assert!(!shown(DATA).contains("GQ97"));
    }

    #[test]
    fn a_long_text_is_read_once() {
        // A hundred thousand blocks: code that reads the rest for each of them would never finish.
        let text = "-BEGIN KEY-\n-END KEY-\n".repeat(100_000)
            + &"-BEGIN X".repeat(100_000)
            + &"- ".repeat(1 << 20)
            + &"-".repeat(1 << 20)
            + &"B".repeat(1 << 20);
        assert_eq!(hide(&text).matches(HIDDEN).count(), 100_000);
    }
}
