//! an age file, in armor or without ↔ its binary form.

use std::io::Read;

use age::armor::ArmoredReader;

/// How an armored file begins; the `age` crate checks the rest.
const ARMOR: &[u8] = b"-----BEGIN ";

/// Returns whether `bytes` are armored, as an age file or as something else.
pub fn is_armored(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(ARMOR)
}

/// Why nobody can decrypt a file that git has merged, as if it were text.
const MERGED: &str = "git has put two versions of it into one file, with conflict markers";

/// Returns whether there is a conflict marker in `bytes`. By chance, no ciphertext has one.
pub fn is_merged(bytes: &[u8]) -> bool {
    const MARKERS: [&[u8]; 2] = [b"<<<<<<< ", b">>>>>>> "];
    let mut lines = bytes.split(|byte| *byte == b'\n');
    lines.any(|line| MARKERS.iter().any(|marker| line.starts_with(marker)))
}

/// Returns `bytes` as a binary age file, without armor.
///
/// # Errors
///
/// What is wrong with the armor, or that git has merged it.
pub fn dearmor(bytes: Vec<u8>) -> std::result::Result<Vec<u8>, String> {
    if is_merged(&bytes) {
        return Err(MERGED.to_owned());
    }
    if !is_armored(&bytes) {
        return Ok(bytes);
    }
    let mut binary = Vec::with_capacity(bytes.len());
    ArmoredReader::new(bytes.trim_ascii_start())
        .read_to_end(&mut binary)
        .map_err(|error| format!("the file is damaged: its armor is malformed: {error}"))?;
    Ok(binary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_file_stays_as_it_is() {
        assert_eq!(dearmor(b"age-encryption.org/v1".to_vec()).unwrap(), b"age-encryption.org/v1");
    }

    #[test]
    fn a_file_with_conflict_markers_is_no_age_file() {
        for (text, expected) in [
            ("<<<<<<< HEAD\na", true),
            ("age-encryption.org/v1\n>>>>>>> x\n", true),
            ("-----BEGIN AGE ENCRYPTED FILE-----\r\n<<<<<<< HEAD\r\n", true),
            ("<<<<<<<\n", false),
            ("a <<<<<<< HEAD\n=======\n", false),
        ] {
            assert_eq!(is_merged(text.as_bytes()), expected, "{text:?}");
            assert_eq!(dearmor(text.into()) == Err(MERGED.to_owned()), expected, "{text:?}");
        }
    }

    #[test]
    fn armor_is_removed() {
        let armored = |text| {
            format!(
                "\n-----BEGIN AGE ENCRYPTED FILE-----\n{text}\n-----END AGE ENCRYPTED FILE-----\n"
            )
        };
        assert_eq!(dearmor(armored("aHVudGVyMg==").into()).unwrap(), b"hunter2");
        let reason = dearmor(armored("hunter2").into()).unwrap_err();
        assert!(reason.starts_with("the file is damaged: its armor is malformed"), "{reason}");
    }
}
