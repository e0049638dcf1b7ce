//! bytes from a terminal → keys.
//!
//! Sequences: ECMA-48, section 5.4, and `infocmp -x xterm`.

/// What the user pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Up,
    Down,
    PageUp,
    PageDown,
    /// Picks the selected line.
    Enter,
    Erase,
    EraseWord,
    /// Clears the filter.
    EraseAll,
    /// Leaves without picking.
    Leave,
    /// Any other key.
    Other,
}

/// Takes the first key from `bytes`; `None` if they may be the beginning of a longer one.
pub(super) fn take(bytes: &mut Vec<u8>) -> Option<Key> {
    let (key, length) = first(bytes)?;
    bytes.drain(..length);
    Some(key)
}

/// Takes all of `bytes`, after which nothing came: the escape key, or an unknown key.
pub(super) fn take_rest(bytes: &mut Vec<u8>) -> Key {
    let key = if bytes.as_slice() == [ESCAPE] { Key::Leave } else { Key::Other };
    bytes.clear();
    key
}

/// Sent by the escape key, and the first byte of what many other keys send.
const ESCAPE: u8 = 0x1b;

/// Returns the first key in `bytes`, and its length.
fn first(bytes: &[u8]) -> Option<(Key, usize)> {
    let key = match *bytes.first()? {
        ESCAPE => return sequence(bytes),
        b'\r' | b'\n' => Key::Enter,
        0x7f | 0x08 => Key::Erase,
        0x03 | 0x04 => Key::Leave, // Ctrl-C, Ctrl-D
        0x0e | b'\t' => Key::Down, // Ctrl-N
        0x10 => Key::Up,           // Ctrl-P
        0x15 => Key::EraseAll,     // Ctrl-U
        0x17 => Key::EraseWord,    // Ctrl-W
        0x00..0x20 => Key::Other,
        _ => return character(bytes),
    };
    Some((key, 1))
}

/// Returns the key of a sequence that begins with an escape.
fn sequence(bytes: &[u8]) -> Option<(Key, usize)> {
    let (introducer, rest) = bytes.get(1..)?.split_first()?;
    if !matches!(introducer, b'[' | b'O') {
        return Some((Key::Leave, 1));
    }
    let end = rest.iter().position(|byte| (0x40..0x7f).contains(byte))?;
    let key = match rest.get(..=end)? {
        b"A" => Key::Up,
        b"B" => Key::Down,
        b"5~" => Key::PageUp,
        b"6~" => Key::PageDown,
        _ => Key::Other,
    };
    Some((key, 2 + end + 1))
}

fn character(bytes: &[u8]) -> Option<(Key, usize)> {
    let (valid, broken) = match str::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => (str::from_utf8(bytes.get(..error.valid_up_to())?).ok()?, error.error_len()),
    };
    match valid.chars().next() {
        Some(character) => Some((Key::Char(character), character.len_utf8())),
        None => broken.map(|length| (Key::Other, length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes all keys from `bytes`, and returns them and what is left.
    fn all(bytes: &[u8]) -> (Vec<Key>, Vec<u8>) {
        let mut bytes = bytes.to_vec();
        let keys = std::iter::from_fn(|| take(&mut bytes)).collect();
        (keys, bytes)
    }

    #[test]
    fn keys_are_what_terminals_send_for_them() {
        use Key::{Char, Down, Enter, Erase, Leave, Other, PageDown, PageUp, Up};
        let (keys, left) = all("aü\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[1;5C\x7f\r\x03\x1bx€".as_bytes());
        let wanted = [Char('a'), Char('ü'), Up, Down, PageUp, PageDown, Other, Erase, Enter];
        assert_eq!(keys, [&wanted[..], &[Leave, Leave, Char('x'), Char('€')]].concat());
        assert!(left.is_empty());
    }

    #[test]
    fn control_characters_are_keys_or_nothing() {
        use Key::{Down, Enter, Erase, EraseAll, EraseWord, Leave, Other, Up};
        let (keys, left) = all(b"\n\x08\x04\x0e\t\x10\x15\x17\x01");
        assert_eq!(keys, [Enter, Erase, Leave, Down, Down, Up, EraseAll, EraseWord, Other]);
        assert!(left.is_empty());
    }

    #[test]
    fn part_of_a_key_waits_for_the_rest() {
        for half in [&b"\x1b"[..], b"\x1b[", b"\x1b[5", b"\xe2\x82"] {
            assert_eq!(all(half), (Vec::new(), half.to_vec()));
        }
        assert_eq!(take_rest(&mut vec![0x1b]), Key::Leave);
        assert_eq!(take_rest(&mut b"\x1b[".to_vec()), Key::Other);
        assert_eq!(all(b"\xff\xe2\x82a").0, [Key::Other, Key::Other, Key::Char('a')]);
    }
}
