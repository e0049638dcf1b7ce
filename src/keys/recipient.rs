//! text of a recipient → recipient; [`Plaintext`] → ciphertext.

use std::collections::BTreeMap;
use std::io::Write;

use age::{EncryptError, Encryptor, Recipient};
use vaultix_generator::private;
use vaultix_units::plaintext::Plaintext;
use vaultix_units::stack;

use crate::error::Error;
use crate::keys::{plugin, pq};
use crate::terminal::prompt::Prompt;

/// A recipient that may be used from many threads.
pub type SharedRecipient = Box<dyn Recipient + Send + Sync>;

/// Returns `recipient` as the cache's names know it: an ssh key's first two words, joined by one space, or
/// the one word of a recipient of age. Comments are left out.
///
/// Twin of `nix/cache-name.nix`.
pub fn canonical(recipient: &str) -> String {
    let mut words = recipient.split_ascii_whitespace();
    let first = words.next().unwrap_or_default();
    match words.next().filter(|_| !first.starts_with("age1")) {
        Some(second) => format!("{first} {second}"),
        None => first.to_owned(),
    }
}

/// Returns the recipients in `text`, a line for each, without empty lines and those that begin with `#`.
///
/// What is no list of recipients stays in one piece: one that holds a private key, which may have several lines, or
/// nothing at all. [`parse`] refuses it.
pub fn lines(text: &str) -> Vec<String> {
    let plain = text.trim_start_matches('\u{feff}');
    let mut lines = plain.lines().map(str::trim).filter(|line| !is_comment(line)).peekable();
    if private::is_private(text) || lines.peek().is_none() {
        return vec![text.to_owned()];
    }
    lines.map(str::to_owned).collect()
}

/// Returns whether there is no recipient in `line`.
pub fn is_comment(line: &str) -> bool {
    line.is_empty() || line.starts_with('#')
}

/// Refuses a private key, which may also be in the comment of a public one.
///
/// # Errors
///
/// As a clause, without it.
fn ensure_public(recipient: &str) -> Result<(), String> {
    if private::is_private(recipient) {
        Err("it is a private key, or contains one; it is not shown".to_owned())
    } else {
        Ok(())
    }
}

/// Makes sure that `recipient` is one: that there is no other in what would be taken for its comment.
///
/// # Errors
///
/// What else is there, as a clause.
fn ensure_alone(recipient: &str) -> Result<(), String> {
    if recipient.lines().map(str::trim).filter(|line| !is_comment(line)).nth(1).is_some() {
        return Err("there are several, where one is expected".to_owned());
    }
    let mut words = recipient.split_ascii_whitespace();
    let first = words.next().unwrap_or_default();
    let rest: Vec<&str> = words.collect();
    let begins_key = |at: usize| {
        let data = rest.get(at + 1).is_some_and(|word| word.starts_with("AAAA"));
        data && rest.get(at).is_some_and(|word| is_kind_of_ssh(word))
    };
    let Some(at) = (0..rest.len()).find(|at| begins_key(*at)) else {
        return match rest.iter().find(|word| is_of_age(word)) {
            Some(other) => {
                Err(format!("\"{other}\" follows another one; put each on its own line"))
            }
            None => Ok(()),
        };
    };
    let kind = rest.get(at).copied().unwrap_or_default();
    if is_kind_of_ssh(first) || is_of_age(first) {
        return Err(format!("a key of type {kind} follows another one; put each on its own line"));
    }
    Err(format!(
        "options of authorized_keys are in front of it; remove what is before {kind}, since they would not count"
    ))
}

/// Returns whether `word` is the type of an ssh key, in front of its data.
fn is_kind_of_ssh(word: &str) -> bool {
    ["ssh-", "sk-", "ecdsa-"].iter().any(|begin| word.starts_with(begin))
}

/// Returns whether `word` is a recipient of age, or of one of its plugins.
fn is_of_age(word: &str) -> bool {
    word.starts_with("age1") && parse_one(word).is_ok()
}

/// How a post-quantum recipient begins.
const POST_QUANTUM: &str = "age1pq1";

/// Reads the recipient of a host: an ssh key or a native recipient of age, as nothing else opens at boot.
///
/// # Errors
///
/// What is wrong with it, as a clause.
pub fn parse_for_host(recipient: &str) -> Result<SharedRecipient, String> {
    ensure_public(recipient)?;
    ensure_alone(recipient)?;
    for_host(&canonical(recipient))
}

/// Reads the recipient of a host, of which `text` is all.
fn for_host(text: &str) -> Result<SharedRecipient, String> {
    if text.starts_with(POST_QUANTUM) {
        return match text.parse::<pq::Recipient>() {
            Ok(key) => Ok(Box::new(key)),
            Err(reason) => {
                let shown = private::shown(text);
                Err(format!("{shown} is not a complete post-quantum recipient: {reason}"))
            }
        };
    }
    if text.starts_with("age1") {
        return match text.parse::<age::x25519::Recipient>() {
            Ok(key) => Ok(Box::new(key)),
            Err(_) if text.parse::<age::plugin::Recipient>().is_ok() => {
                Err(format!("\"{text}\" needs a plugin, and there are none at boot"))
            }
            Err(reason) => Err(format!("\"{text}\" is not an age recipient: {reason}")),
        };
    }
    ssh(text)
}

/// Reads the ssh public key `text`, two words.
fn ssh(text: &str) -> Result<SharedRecipient, String> {
    use age::ssh::ParseRecipientKeyError as Reason;
    match text.parse::<age::ssh::Recipient>() {
        // The parser stops where it has read enough; what follows would end up in the cache's names.
        Ok(key) if key.to_string() == text => Ok(Box::new(key)),
        Err(Reason::Unsupported(kind)) => Err(unsupported(&kind)),
        Err(Reason::RsaModulusTooSmall) => Err("the rsa key has less than 2048 bits".to_owned()),
        Err(Reason::RsaModulusTooLarge) => Err("the rsa key has more than 4096 bits".to_owned()),
        Ok(_) | Err(_) => {
            let kind = text.split(' ').next().unwrap_or_default();
            match kind {
                "ssh-ed25519" | "ssh-rsa" => Err(format!("it is not a complete {kind} public key")),
                // Its data need not be whole to see that it stays in its device.
                "sk-ssh-ed25519@openssh.com" | "sk-ecdsa-sha2-nistp256@openssh.com" => {
                    Err(unsupported(kind))
                }
                _ => Err(format!(
                    "{} is neither an ssh public key nor an age recipient",
                    private::shown(text)
                )),
            }
        }
    }
}

/// Says that nothing can be encrypted to ssh keys of this `kind`.
fn unsupported(kind: &str) -> String {
    format!("age cannot encrypt to keys of type {kind}, only to ssh-ed25519, ssh-rsa and age1…")
}

/// Any recipient that a secret, as opposed to a copy for a host, may be encrypted to.
pub enum ParsedRecipient {
    /// One that this program encrypts to, and its text.
    BuiltIn(SharedRecipient, String),
    Plugin(age::plugin::Recipient),
    /// The one of this identity, which only its plugin knows.
    PluginIdentity(age::plugin::Identity),
}

impl ParsedRecipient {
    /// Returns its text, which no other has.
    pub fn text(&self) -> String {
        match self {
            Self::BuiltIn(_, text) => text.clone(),
            Self::Plugin(recipient) => recipient.to_string(),
            Self::PluginIdentity(identity) => identity.to_string(),
        }
    }

    /// Returns what may be shown of it: an identity of a plugin is a private key, even where a device holds the key.
    pub fn shown(&self) -> String {
        match self {
            Self::PluginIdentity(identity) => {
                format!("the answer of the plugin {}", identity.plugin())
            }
            _ => self.text(),
        }
    }

    /// Returns the name of the plugin that is needed to encrypt to it.
    pub fn plugin(&self) -> Option<&str> {
        match self {
            Self::BuiltIn(..) => None,
            Self::Plugin(recipient) => Some(recipient.plugin()),
            Self::PluginIdentity(identity) => Some(identity.plugin()),
        }
    }
}

/// Makes recipients to encrypt to from `parsed`: all those of one plugin become one, so that it runs once.
pub fn group_by_plugin<'a>(
    parsed: Vec<ParsedRecipient>,
    prompt: &'a Prompt,
) -> Vec<Box<dyn Recipient + 'a>> {
    let mut ours: Vec<Box<dyn Recipient>> = Vec::new();
    let mut plugins: BTreeMap<String, (Vec<String>, Vec<String>)> = BTreeMap::new();
    for recipient in parsed {
        let name = recipient.plugin().unwrap_or_default().to_owned();
        match recipient {
            ParsedRecipient::BuiltIn(recipient, _) => ours.push(recipient),
            ParsedRecipient::Plugin(recipient) => {
                plugins.entry(name).or_default().0.push(recipient.to_string());
            }
            ParsedRecipient::PluginIdentity(identity) => {
                plugins.entry(name).or_default().1.push(identity.to_string());
            }
        }
    }
    let plugins = plugins.into_iter().map(|(name, (recipients, identities))| {
        Box::new(plugin::Recipient { name, recipients, identities, prompt }) as Box<dyn Recipient>
    });
    ours.into_iter().chain(plugins).collect()
}

/// Reads any recipient: that of a host, or a tagged one, or one of a plugin.
///
/// # Errors
///
/// What is wrong with it, as a clause.
pub fn parse(recipient: &str) -> Result<ParsedRecipient, String> {
    ensure_public(recipient)?;
    if recipient.lines().map(str::trim).all(is_comment) {
        return Err("it contains no recipient".to_owned());
    }
    ensure_alone(recipient)?;
    parse_one(&canonical(recipient))
}

/// Reads any recipient, of which `text` is all.
fn parse_one(text: &str) -> Result<ParsedRecipient, String> {
    let built_in = |recipient| ParsedRecipient::BuiltIn(recipient, text.to_owned());
    if let Ok(tagged) = text.parse::<age::tag::Recipient>() {
        return Ok(built_in(Box::new(tagged)));
    }
    if let Ok(tagged) = text.parse::<age::tagpq::Recipient>() {
        return Ok(built_in(Box::new(tagged)));
    }
    for_host(text).map(built_in).or_else(|reason| {
        text.parse::<age::plugin::Recipient>().map(ParsedRecipient::Plugin).map_err(|_| reason)
    })
}

/// Encrypts `plaintext` to all of `recipients`, as a binary age file.
///
/// # Errors
///
/// When the recipients do not go together, or a plugin fails.
pub fn encrypt<'a>(
    plaintext: &Plaintext,
    recipients: impl Iterator<Item = &'a dyn Recipient>,
) -> Result<Vec<u8>, EncryptError> {
    let encryptor = Encryptor::with_recipients(recipients)?;
    let bytes = plaintext.expose();
    let mut ciphertext = Vec::with_capacity(bytes.len() + bytes.len() / 1024 + 1024);
    let mut writer = encryptor.wrap_output(&mut ciphertext)?;
    stack::wiped(|| {
        writer.write_all(bytes)?;
        writer.finish()
    })?;
    Ok(ciphertext)
}

/// Adds to `error` why something cannot be encrypted.
pub fn because(error: Error, reason: &EncryptError) -> Error {
    match reason {
        EncryptError::IncompatibleRecipients { .. } => error.because(
            "post-quantum recipients and others cannot share a file: it would be as weak as the \
             others",
        ),
        EncryptError::Io(inner) => match inner.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(plugin) => error.because_of(Error::clone(plugin)),
            None => error.because(reason),
        },
        other => error.because(other),
    }
}

#[cfg(test)]
mod tests;
