//! private key → its public key, as it is kept next to the secret.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use curve25519_dalek::MontgomeryPoint;
use vaultix_generator::profile::{Generator, Key};
use vaultix_units::plaintext::Plaintext;
use zeroize::Zeroizing;

use crate::keys::identity;
use crate::structured::{Format, Pointer};

/// Returns where the public key of the secret `path` is kept: `wg.pub` next to `wg.age`. For the value at `key` in a structured
/// file, its keys come before the ending: `mail.dkim.pub` next to `mail.yaml.age`.
pub fn path(path: &Path, key: Option<&Key>) -> PathBuf {
    let stem = |path: &Path| match path.extension() {
        Some(extension) if extension == "age" => path.with_extension(""),
        _ => path.to_owned(),
    };
    let mut name = match (key, Format::of_file(path)) {
        (Some(_), Some(_)) => stem(path).with_extension(""),
        _ => stem(path),
    }
    .into_os_string();
    if let Some(pointer) = key.and_then(|key| Pointer::from_user(&key.pointer).ok()) {
        for word in pointer.words() {
            name.push(".");
            name.push(
                word.replace(|character: char| character.is_control() || character == '/', "_"),
            );
        }
    }
    name.push(".pub");
    name.into()
}

/// Returns the public key of `private`, which `generator` made for the secret `id`; one line.
///
/// From the private key alone, whether it was made just now or long ago: there is one way to it.
///
/// # Errors
///
/// What `private` is not.
pub fn key(generator: &Generator, id: &str, private: &Plaintext) -> Result<String, String> {
    let public_key = match generator {
        Generator::Wireguard => wireguard(private)?,
        Generator::SshEd25519 => format!("{} {}", identity_public_key(private)?, comment(id)),
        _ => identity_public_key(private)?,
    };
    Ok(public_key + "\n")
}

/// Returns `id` as a comment, which is the rest of a line.
pub fn comment(id: &str) -> String {
    id.replace(char::is_control, " ")
}

/// Returns the public key of what age and ssh call a private key.
fn identity_public_key(private: &Plaintext) -> Result<String, String> {
    let found = identity::parse(private.expose()).map_err(|why| why.to_string())?;
    let keys = found.keys;
    let public_key = keys.first().and_then(|key| Some(key.recipient()?.text()));
    public_key.ok_or_else(|| "it contains no key whose public key is known".to_owned())
}

/// Returns the public key of `WireGuard` for `private`, as `wg pubkey` prints it.
fn wireguard(private: &Plaintext) -> Result<String, String> {
    let none = || "it is not 32 bytes in base64, like a WireGuard key".to_owned();
    let mut bytes = Zeroizing::new([0; 32]);
    let text = private.expose().trim_ascii();
    match BASE64_STANDARD.decode_slice(text, &mut *bytes) {
        Ok(32) => {
            let public_key = MontgomeryPoint::mul_base_clamped(*bytes).to_bytes();
            Ok(BASE64_STANDARD.encode(public_key))
        }
        _ => Err(none()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_is_beside_its_secret() {
        assert_eq!(path(Path::new("secrets/a.b.age"), None), Path::new("secrets/a.b.pub"));
        assert_eq!(path(Path::new("secrets/wg"), None), Path::new("secrets/wg.pub"));
        for (file, pointer, expected) in [
            ("s/mail.yaml.age", "/dkim", "s/mail.dkim.pub"),
            ("s/mail.x.yml.age", "/dkim/0/a~1b\n", "s/mail.x.dkim.0.a_b_.pub"),
            ("s/mail.age", "/dkim", "s/mail.dkim.pub"),
            ("s/mail", "/..", "s/mail....pub"),
        ] {
            let key = Key { pointer: pointer.to_owned(), format: "yaml".to_owned() };
            assert_eq!(path(Path::new(file), Some(&key)), Path::new(expected));
        }
    }

    #[test]
    fn a_malformed_private_key_has_no_public_key() {
        for text in ["", "AAAA", "hunter2"] {
            let text = || Plaintext::new(text.as_bytes().to_vec());
            assert!(key(&Generator::Wireguard, "x", &text()).is_err());
            assert!(key(&Generator::Age, "x", &text()).is_err());
        }
    }
}
