//! ciphertexts, whole and damaged → a plaintext or the words for what is wrong.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;
use std::iter;

use age::x25519;
use pretty_assertions::assert_eq;
use vaultix_units::bounded::{MAX_CIPHERTEXT, MAX_PLAINTEXT};
use vaultix_units::decrypt::{Error, MAX_HEADER, MAX_STANZAS, decrypt};

/// Bytes of plaintext in a chunk. Format: age-encryption.org/v1, "Payload".
const CHUNK: usize = 64 << 10;
/// Bytes that encryption adds to a chunk.
const TAG: usize = 16;
/// Bytes before the first chunk.
const NONCE: usize = 16;

/// Encrypts `plaintext` to `identity`, and also returns where the payload begins.
fn encrypt(plaintext: &[u8], identity: &x25519::Identity) -> (Vec<u8>, usize) {
    let recipient = identity.to_public();
    let encryptor = age::Encryptor::with_recipients(iter::once(&recipient as _)).unwrap();
    let mut ciphertext = Vec::new();
    let mut writer = encryptor.wrap_output(&mut ciphertext).unwrap();
    writer.write_all(plaintext).unwrap();
    writer.finish().unwrap();
    let mac = ciphertext.windows(5).position(|window| window == b"\n--- ").unwrap() + 1;
    let end = ciphertext.iter().skip(mac).position(|byte| *byte == b'\n').unwrap() + mac + 1;
    (ciphertext, end)
}

/// Decrypts with one identity; the plaintext, or the words for what is wrong.
fn open(ciphertext: &[u8], identity: &x25519::Identity) -> Result<Vec<u8>, String> {
    decrypt(ciphertext, iter::once(identity as &dyn age::Identity))
        .map(|plaintext| plaintext.expose().to_vec())
        .map_err(|error| error.to_string())
}

/// Returns a secret of 300,000 bytes.
fn long_secret() -> Vec<u8> {
    (0..300_000_u32).flat_map(|i| i.to_le_bytes().into_iter().take(1)).collect()
}

#[test]
fn a_plaintext_survives_encryption() {
    let identity = x25519::Identity::generate();
    for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 300_000] {
        let secret: Vec<u8> = long_secret().into_iter().take(size).collect();
        assert_eq!(open(&encrypt(&secret, &identity).0, &identity), Ok(secret), "{size} bytes");
    }
}

#[test]
fn a_truncated_payload_is_refused_wherever_it_ends() {
    let identity = x25519::Identity::generate();
    let (ciphertext, payload) = encrypt(&long_secret(), &identity);
    let chunks = (0..).map(|i| payload + NONCE + i * (CHUNK + TAG));
    let ends: Vec<usize> = chunks
        .take_while(|end| *end < ciphertext.len())
        .flat_map(|end| [end - 1, end, end + 1])
        .chain([payload, ciphertext.len() - 1])
        .collect();
    assert!(ends.len() >= 17, "five chunks");
    for end in ends {
        let error = open(&ciphertext[..end], &identity).unwrap_err();
        let expected = match end.checked_sub(payload + NONCE) {
            None => "the file is truncated in its header",
            Some(bytes) if bytes % (CHUNK + TAG) == 0 => "the file is truncated",
            // What is left of a chunk is as good as a chunk that was altered.
            Some(_) => "the file is damaged: its content was altered or cut off",
        };
        assert_eq!(error, expected, "{end}");
    }
}

#[test]
fn a_truncated_header_is_refused_wherever_it_ends() {
    let identity = x25519::Identity::generate();
    let (ciphertext, payload) = encrypt(b"secret", &identity);
    for end in 0..payload {
        let error = open(&ciphertext[..end], &identity).unwrap_err();
        let expected = if end == 0 { "the file is empty" } else { "the file is " };
        assert!(error.starts_with(expected), "{end}: {error}");
    }
}

#[test]
fn a_flipped_byte_is_noticed_wherever_it_is() {
    let identity = x25519::Identity::generate();
    let (ciphertext, payload) = encrypt(&long_secret(), &identity);
    let header = 0..payload;
    let nonce = payload..payload + NONCE;
    let chunks = (payload + NONCE..ciphertext.len()).step_by(CHUNK + TAG);
    for at in header.chain(nonce).chain(chunks).chain([ciphertext.len() - 1]) {
        let mut damaged = ciphertext.clone();
        damaged[at] ^= 1;
        assert!(open(&damaged, &identity).is_err(), "byte {at} of {}", ciphertext.len());
    }
}

#[test]
fn bytes_behind_the_end_are_refused() {
    let identity = x25519::Identity::generate();
    let (mut ciphertext, _) = encrypt(b"secret", &identity);
    ciphertext.push(0);
    assert_eq!(
        open(&ciphertext, &identity).unwrap_err(),
        "the file is damaged: its content was altered or cut off"
    );
}

#[test]
fn files_that_are_not_age_are_described() {
    let identity = x25519::Identity::generate();
    for (ciphertext, words) in [
        (&b""[..], "the file is empty"),
        (b"hunter2", "the file is not an age file"),
        (
            b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n",
            "the file is an armored age file, but a binary one belongs here",
        ),
        (
            b"age-encryption.org/v9\n-> x\n\n--- AAAA\n",
            "the file has an age format that this program does not support",
        ),
    ] {
        assert_eq!(open(ciphertext, &identity).unwrap_err(), words);
    }
}

#[test]
fn a_file_for_another_key_says_for_which_kind() {
    let (ciphertext, _) = encrypt(b"secret", &x25519::Identity::generate());
    let other = x25519::Identity::generate();
    match decrypt(&ciphertext, iter::once(&other as &dyn age::Identity)) {
        Err(error @ Error::NoMatch(_)) => {
            assert_eq!(error.to_string(), "it is encrypted to another key: X25519");
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it opened"),
    }
}

#[test]
fn a_secret_of_64_mib_comes_back_and_a_file_over_the_limit_is_refused() {
    let identity = x25519::Identity::generate();
    let secret = vec![0x5a; 64 << 20];
    let opened = open(&encrypt(&secret, &identity).0, &identity);
    assert!(opened.is_ok_and(|opened| opened == secret), "it is not what was encrypted");

    // Holes take no space: nothing of it is read.
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("too-large.age");
    std::fs::File::create(&path).unwrap().set_len(MAX_CIPHERTEXT + 1).unwrap();
    let error = vaultix_units::bounded::read(&path, MAX_CIPHERTEXT).unwrap_err();
    assert_eq!(error.to_string(), "it has more than 176 MiB");
}

#[test]
fn the_largest_text_is_a_ciphertext_that_is_read_even_in_armor() {
    // Chunks of 64 KiB with 16 bytes each, after a nonce; 48 bytes on a line of 65, between two lines.
    let payload = 16 + MAX_PLAINTEXT + MAX_PLAINTEXT.div_ceil(64 << 10) * 16;
    let armored = (MAX_HEADER as u64 + payload).div_ceil(48) * 65 + 100;
    assert!(armored <= MAX_CIPHERTEXT, "{armored}");
}

/// Returns an age file for nobody with `stanzas`, and its header's size.
fn header(stanzas: &str) -> (Vec<u8>, usize) {
    let mac = "F5Qaoa2jV5uPBmcPy24w21W9GRurqsWHib6IlDplm8w";
    let header = format!("age-encryption.org/v1\n{stanzas}--- {mac}\n");
    let size = header.len();
    ([header.as_bytes(), &[b'x'; 64]].concat(), size)
}

#[test]
fn a_header_has_a_limit_of_bytes() {
    let identity = x25519::Identity::generate();
    let (_, frame) = header("-> a\n\n");
    let stanza = |more: usize| format!("-> a{}\n\n", "b".repeat(MAX_HEADER - frame + more));
    let (largest, size) = header(&stanza(0));
    assert_eq!(size, MAX_HEADER);
    assert!(open(&largest, &identity).unwrap_err().starts_with("it is encrypted to another key"));
    let limit =
        "the header of the file is too large, the limits are 1048576 bytes and 4096 recipients";
    assert_eq!(open(&header(&stanza(1)).0, &identity), Err(limit.to_owned()));
    let endless = format!("age-encryption.org/v1\n{}", "-> a\n\n".repeat(MAX_HEADER));
    assert_eq!(open(endless.as_bytes(), &identity), Err(limit.to_owned()));
    let nonsense = vec![b'x'; MAX_HEADER * 2];
    assert_eq!(open(&nonsense, &identity), Err("the file is not an age file".to_owned()));
}

#[test]
fn a_header_has_a_limit_of_stanzas() {
    let identity = x25519::Identity::generate();
    let (most, _) = header(&"-> a\n\n".repeat(MAX_STANZAS));
    assert!(open(&most, &identity).unwrap_err().starts_with("it is encrypted to another key"));
    let (more, _) = header(&"-> a\n\n".repeat(MAX_STANZAS + 1));
    assert!(open(&more, &identity).unwrap_err().starts_with("the header of the file is too large"));
}

#[test]
fn a_header_with_a_short_end_is_malformed_whatever_follows() {
    let identity = x25519::Identity::generate();
    let file = format!("age-encryption.org/v1\n-> a\n\n--- short\n{}", "a\n".repeat(100));
    let malformed = "the file is damaged: its header is malformed";
    assert_eq!(open(file.as_bytes(), &identity), Err(malformed.to_owned()));
}
