//! a generator + plaintexts of what it depends on → a new [`Plaintext`].

use std::io;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use vaultix_generator::escape;
use vaultix_generator::profile::Generator;
use vaultix_units::plaintext::Plaintext;
use zeroize::Zeroizing;

use super::command::{self, Input, RunContext};
use super::{public, ssh};
use crate::error::{Error, Result, Status};
use crate::keys::identity;
use crate::system::random;

/// Letters and digits: 62, so 5.95 bits each.
const ALNUM: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// 2048 English words, so 11 bits each; the first four letters tell them apart.
///
/// The list of BIP 39, from python-mnemonic: copyright 2013 to 2014 Pavol Rusnak, MIT licence.
const WORDS: &str = include_str!("words.txt");

/// How often bcrypt repeats, as a power of two: the least that OWASP's "Password Storage Cheat Sheet" asks for. A
/// web server does it at every request, for some 50 ms.
const COST: u32 = 10;

/// Most bytes that bcrypt takes, the NUL at the end counted; others cut off what is more.
const MAX_PASSWORD: usize = 72;

/// Makes a plaintext for the secret `id`. It ends without a newline, unless it is a file of lines.
///
/// # Errors
///
/// When the password cannot be hashed, or the command fails.
pub fn make(
    generator: &Generator,
    id: &str,
    inputs: &[Input],
    context: &RunContext,
) -> Result<Plaintext> {
    let made = match generator {
        Generator::Alnum(length) => characters(*length),
        Generator::Base64(count) => {
            random::bytes(*count).map(|bytes| text(BASE64_STANDARD.encode(&*bytes)))
        }
        Generator::Hex(count) => random::bytes(*count).map(|bytes| text(escape::hex(&bytes))),
        Generator::Passphrase(count) => words(*count),
        Generator::SshEd25519 => ssh::private_key(&public::comment(id)),
        Generator::Wireguard => wireguard(),
        Generator::Age => Ok(identity::generate().0),
        Generator::Htpasswd { user, .. } => return htpasswd(user, inputs),
        Generator::Command { argv, .. } => return command::run(argv, inputs, context),
    };
    made.map_err(|error| no_randomness(&error))
}

fn no_randomness(error: &io::Error) -> Error {
    Error::new(Status::CantCreat, "cannot get random bytes").because(error)
}

fn text(text: String) -> Plaintext {
    Plaintext::new(text.into_bytes())
}

fn characters(length: usize) -> io::Result<Plaintext> {
    let mut made = Zeroizing::new(Vec::with_capacity(length));
    for _ in 0..length {
        made.push(*random::choose(ALNUM)?);
    }
    Ok(Plaintext::new(std::mem::take(&mut *made)))
}

fn words(count: usize) -> io::Result<Plaintext> {
    let words: Vec<&str> = WORDS.lines().collect();
    // Pointers to the words, which the allocator wipes.
    let made = (0..count).map(|_| random::choose(&words).copied());
    Ok(text(made.collect::<io::Result<Vec<&str>>>()?.join("-")))
}

/// Makes a private key of `WireGuard`, with the bits fixed that any user of the key would fix: RFC 7748, section 5.
fn wireguard() -> io::Result<Plaintext> {
    let key = random::array()?;
    let key = Zeroizing::new(curve25519_dalek::scalar::clamp_integer(*key));
    Ok(text(BASE64_STANDARD.encode(*key)))
}

/// Makes a line of a password file of web servers.
fn htpasswd(user: &str, inputs: &[Input]) -> Result<Plaintext> {
    let refused = |reason: String| {
        Error::new(Status::DataErr, "bcrypt cannot hash the password").because(reason)
    };
    let Some((id, password)) = inputs.first() else {
        return Err(refused("there is none".to_owned()));
    };
    let password = without_line_end(password.expose());
    if password.is_empty() || password.contains(&0) {
        return Err(refused(format!("secret \"{id}\" is empty, or contains a NUL byte")));
    }
    if password.len() >= MAX_PASSWORD {
        let limit = MAX_PASSWORD - 1;
        return Err(refused(format!(
            "secret \"{id}\" has {} bytes, the limit is {limit}",
            password.len()
        )));
    }
    let salt = random::array().map_err(|error| no_randomness(&error))?;
    let password = Zeroizing::new([password, &[0]].concat());
    let hash = bcrypt::bcrypt(COST, *salt, &password);
    // The 24th byte is no part of the format.
    let hash = hash.get(..23).unwrap_or_default();
    let (salt, hash) = (bcrypt::BASE_64.encode(*salt), bcrypt::BASE_64.encode(hash));
    Ok(text(format!("{user}:$2y${COST:02}${salt}{hash}\n")))
}

/// Returns `bytes` without the line end that an editor put there.
fn without_line_end(bytes: &[u8]) -> &[u8] {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_words_are_those_of_bip_39() {
        use sha2::{Digest, Sha256};
        let digest = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda";
        assert_eq!(escape::hex(&Sha256::digest(WORDS)), digest);
        let words: BTreeSet<&str> = WORDS.lines().collect();
        assert_eq!(words.len(), 2048);
    }

    #[test]
    fn a_password_that_bcrypt_would_cut_is_refused() {
        for (password, accepted) in [
            (vec![b'x'; 71], true),
            (vec![b'x'; 72], false),
            ([vec![b'x'; 71], b"\r\n".to_vec()].concat(), true),
            (b"a\0b".to_vec(), false),
            (b"\n".to_vec(), false),
        ] {
            let password = Plaintext::new(password);
            assert_eq!(htpasswd("me", &[("pw", &password)]).is_ok(), accepted);
        }
    }
}
