//! beginning of a copy + what it should be → what is wrong with it, as far as that shows without a key.

use vaultix_units::decrypt;
use vaultix_units::stanza::{self, Recipient};

/// Bytes in front of the chunks of a payload: its nonce. <https://age-encryption.org/v1>, "Payload".
const NONCE: u64 = 16;

/// Bytes of a chunk: of plaintext at most, and besides it.
const CHUNK: u64 = 64 * 1024;
const TAG: u64 = 16;

/// Returns what the header of a copy for the public key `key` of a host has to name.
pub fn recipient(key: &str) -> Recipient {
    let x25519 = || Recipient { kind: "X25519".to_owned(), tag: None };
    stanza::of(key).unwrap_or_else(x25519)
}

/// Returns how long the payload of the whole ciphertext `bytes` is; `None` where it has none.
pub fn payload(bytes: &[u8]) -> Option<u64> {
    let length = bytes.len().checked_sub(decrypt::header_length(bytes)?)?;
    u64::try_from(length).ok().filter(|length| is_payload(*length))
}

/// Returns whether `head`, the beginning of a file, has all that [`problem`] looks at.
pub fn is_enough(head: &[u8]) -> bool {
    let needed = |header: usize| u64::try_from(header).unwrap_or(u64::MAX).saturating_add(NONCE);
    decrypt::header_length(head).is_some_and(|header| needed(header) <= head.len() as u64)
}

/// Returns why nobody with the key of `recipient` can decrypt a file of `size` bytes that begins with `head`, as a clause.
///
/// An ssh stanza names its key; of others, only the kind is known. Nothing changes the length of a payload but the length of
/// its plaintext: a copy of a whole secret has the same `payload` as that.
pub fn problem(
    head: &[u8],
    size: u64,
    recipient: &Recipient,
    payload: Option<u64>,
) -> Option<String> {
    let found = match decrypt::recipients(head) {
        Ok(found) => found,
        Err(error) => return Some(error.to_string()),
    };
    if found != [recipient.clone()] {
        return Some(format!("it is encrypted to {}", stanza::describe(&found)));
    }
    let header = u64::try_from(decrypt::header_length(head)?).ok()?;
    let length = size.saturating_sub(header);
    let is_right = payload.map_or_else(|| is_payload(length), |payload| length == payload);
    let is_longer = payload.is_some_and(|payload| length > payload);
    let reason = if is_longer { "it is longer than its secret" } else { "it is truncated" };
    (!is_right).then(|| reason.to_owned())
}

/// Returns whether a payload can have this `length`: full chunks, and a last one that is empty only if it is alone.
fn is_payload(length: u64) -> bool {
    let Some(chunks) = length.checked_sub(NONCE) else { return false };
    let last = chunks % (CHUNK + TAG);
    chunks == TAG || (chunks > 0 && last == 0) || last > TAG
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_full_chunks_and_a_last_one() {
        // Bytes of the nonce and the tags around a plaintext of a length.
        for (plaintext, around) in [
            (0, 32),
            (1, 32),
            (CHUNK - 1, 32),
            (CHUNK, 32),
            (CHUNK + 1, 48),
            (2 * CHUNK, 48),
            (2 * CHUNK + 1, 64),
        ] {
            assert!(is_payload(plaintext + around), "{plaintext}");
        }
        for length in [0, 15, 16, 31, CHUNK + 33, CHUNK + 48, 2 * CHUNK + 64] {
            assert!(!is_payload(length), "{length}");
        }
    }

    #[test]
    fn a_header_without_its_nonce_is_not_enough() {
        let header = b"age-encryption.org/v1\n-> X25519 x\ny\n--- z\n";
        assert!(!is_enough(header) && !is_enough(&header[..30]));
        assert!(!is_enough(&[&header[..], &[0; 15]].concat()));
        assert!(is_enough(&[&header[..], &[0; 16]].concat()));
    }
}
