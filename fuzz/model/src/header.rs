//! any bytes → the recipients in their header, if they are an age file, and what a post-quantum key makes of them; the
//! identities in them, if they are a file of these.

use std::sync::LazyLock;

use vaultix_units::decrypt::{Error, decrypt, recipients, stanzas};
use vaultix_units::identity::{AgeIdentity, native};
use vaultix_units::pq::{self, Identity};
use vaultix_units::stanza::{Recipient, describe};

/// How an age file begins.
const FIRST: &[u8] = b"age-encryption.org/v1\n";

/// Length of the word of a post-quantum stanza: 1120 bytes in base64.
const WORD: usize = 1494;
/// Length of its body.
const BODY: usize = 32;

/// The identity of `seeds/header/hybrid`, which everybody knows.
static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    let found = native(include_bytes!("../../../tests/keys/me-pq.txt")).unwrap().pop();
    let Some(AgeIdentity::PostQuantum(identity)) = found else { panic!("it is post-quantum") };
    identity
});

/// Reads a header, and compares the recipients with its lines.
pub fn check(bytes: &[u8]) {
    check_identities(bytes);
    let whole = [FIRST, bytes].concat();
    for file in [bytes, &whole] {
        let found = recipients(file);
        assert_eq!(found.is_ok(), stanzas(file).is_ok());
        let Ok(found) = found else {
            continue;
        };
        let lines = model(file);
        let kinds: Vec<&str> =
            lines.iter().map(|words| words[0]).filter(|kind| !kind.ends_with("-grease")).collect();
        assert_eq!(found.iter().map(|one| &*one.kind).collect::<Vec<_>>(), kinds);
        for (one, words) in found.iter().zip(lines.iter().filter(|it| !it[0].ends_with("-grease")))
        {
            let tag = words.get(1).filter(|_| words[0].starts_with("ssh-")).copied();
            assert_eq!(one.tag.as_deref(), tag);
        }
        assert!(!describe(&found).contains('\n'), "an error is one line");
        check_hybrid(file, &found);
    }
}

/// Decrypts `file`, which has the recipients `found`, with a post-quantum key: that needs a stanza for such keys, and all of
/// them up to ours have to be whole.
fn check_hybrid(file: &[u8], found: &[Recipient]) {
    let stanzas = stanzas(file).unwrap();
    let hybrid: Vec<bool> = stanzas
        .iter()
        .filter(|stanza| stanza.tag == pq::TAG)
        .map(|stanza| is_whole(&stanza.args, &stanza.body))
        .collect();
    match decrypt(file, std::iter::once(&*IDENTITY as _)) {
        Ok(_) => assert!(hybrid.first().is_some_and(|whole| *whole)),
        Err(Error::NoMatch(recipients)) => {
            assert_eq!(recipients, found);
            assert!(hybrid.iter().all(|whole| *whole), "what is not whole is no stranger's");
        }
        Err(_) => assert!(!hybrid.is_empty(), "a stanza of another kind is passed over"),
    }
}

/// Returns whether a post-quantum stanza has the shape of one.
fn is_whole(words: &[String], body: &[u8]) -> bool {
    let [word] = words else { return false };
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    // The last letter has four bits too many, which are zero.
    word.len() == WORD
        && word.bytes().all(is_base64)
        && word.ends_with(['A', 'Q', 'g', 'w'])
        && body.len() == BODY
}

/// Reads identities: one of each line that is not empty and no comment, and a post-quantum one has only one text.
fn check_identities(bytes: &[u8]) {
    let Ok(found) = native(bytes) else { return };
    let text = str::from_utf8(bytes).unwrap();
    let lines = text.split('\n').map(str::trim);
    let lines: Vec<&str> =
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(found.len(), lines.len());
    for (one, line) in found.iter().zip(lines) {
        match one {
            AgeIdentity::PostQuantum(identity) => assert_eq!(&*identity.to_text(), line),
            AgeIdentity::X25519(_) => assert!(one.recipient().len() == 62, "{line}"),
        }
    }
}

/// Returns the words of each line that begins a stanza.
fn model(file: &[u8]) -> Vec<Vec<&str>> {
    assert!(file.starts_with(FIRST));
    let lines = file[FIRST.len()..].split(|byte| *byte == b'\n');
    lines
        .take_while(|line| !line.starts_with(b"---"))
        .filter_map(|line| line.strip_prefix(b"-> "))
        .map(|line| str::from_utf8(line).unwrap().split(' ').collect())
        .collect()
}
