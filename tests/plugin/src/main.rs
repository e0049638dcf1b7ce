//! file keys, wrapped in nothing → the same, once a PIN was typed; and a log of all that happened.
//!
//! A plugin of age for the tests of the desk. `COUNTING_LOG` names the log. With `COUNTING_POLICY=always`, a
//! session opens one file only, as cards do that want their PIN for every use. Without arguments it prints
//! an identity.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};

use age_core::format::{FileKey, Stanza};
use age_core::secrecy::ExposeSecret;
use age_plugin::identity::{self, IdentityPluginV1};
use age_plugin::recipient::{self, RecipientPluginV1};
use age_plugin::{Callbacks, PluginHandler, print_new_identity, run_state_machine};

/// Its name, and the type of its stanzas.
const NAME: &str = "counting";

/// The PIN that it accepts.
const PIN: &str = "1234";

fn main() -> io::Result<()> {
    let job = std::env::args().nth(1);
    let Some(job) = job.as_deref().and_then(|job| job.strip_prefix("--age-plugin=")) else {
        print_new_identity(NAME, b"identity", b"recipient");
        return Ok(());
    };
    log(job)?;
    run_state_machine(job, Counting)
}

/// Writes one line to the log.
fn log(line: &str) -> io::Result<()> {
    match std::env::var_os("COUNTING_LOG") {
        Some(path) => writeln!(File::options().append(true).create(true).open(path)?, "{line}"),
        None => Ok(()),
    }
}

/// The plugin.
struct Counting;

impl PluginHandler for Counting {
    type RecipientV1 = Self;
    type IdentityV1 = Self;

    fn recipient_v1(self) -> io::Result<Self> {
        Ok(self)
    }

    fn identity_v1(self) -> io::Result<Self> {
        Ok(self)
    }
}

impl RecipientPluginV1 for Counting {
    fn add_recipient(&mut self, _: usize, _: &str, _: &[u8]) -> Result<(), recipient::Error> {
        Ok(())
    }

    fn add_identity(&mut self, _: usize, _: &str, _: &[u8]) -> Result<(), recipient::Error> {
        Ok(())
    }

    fn labels(&mut self) -> std::collections::HashSet<String> {
        std::collections::HashSet::new()
    }

    fn wrap_file_keys(
        &mut self,
        keys: Vec<FileKey>,
        _: impl Callbacks<recipient::Error>,
    ) -> io::Result<Result<Vec<Vec<Stanza>>, Vec<recipient::Error>>> {
        let wrap = |key: &FileKey| Stanza {
            tag: NAME.to_owned(),
            args: Vec::new(),
            body: key.expose_secret().to_vec(),
        };
        Ok(Ok(keys.iter().map(|key| vec![wrap(key)]).collect()))
    }
}

impl IdentityPluginV1 for Counting {
    fn add_identity(&mut self, _: usize, _: &str, _: &[u8]) -> Result<(), identity::Error> {
        log("identity").map_err(|error| identity::Error::Internal { message: error.to_string() })
    }

    fn unwrap_file_keys(
        &mut self,
        files: Vec<Vec<Stanza>>,
        mut callbacks: impl Callbacks<identity::Error>,
    ) -> io::Result<HashMap<usize, Result<FileKey, Vec<identity::Error>>>> {
        log(&format!("files {}", files.len()))?;
        // What the user does not do shows in what comes next.
        let _ = callbacks.message("Please touch the card")?;
        if let Ok(false) | Err(_) = callbacks.confirm("Insert the card", "done", Some("skip"))? {
            log("skipped")?;
            return Ok(HashMap::new());
        }
        let pin = callbacks.request_secret("PIN of the card")?;
        log("pin")?;
        if !pin.is_ok_and(|pin| pin.expose_secret() == PIN) {
            let message = "the PIN is wrong, 2 tries left".to_owned();
            callbacks.error(identity::Error::Identity { index: 0, message })?.ok();
            let failed = |file| {
                let message = "the card is locked".to_owned();
                let error = identity::Error::Stanza { file_index: file, stanza_index: 0, message };
                (file, Err(vec![error]))
            };
            return Ok((0..files.len()).map(failed).collect());
        }
        let once = std::env::var("COUNTING_POLICY").is_ok_and(|policy| policy == "always");
        let mut keys = HashMap::new();
        for (file, stanzas) in files.iter().enumerate() {
            let Some(at) = stanzas.iter().position(|stanza| stanza.tag == NAME) else { continue };
            if once && !keys.is_empty() {
                let message = "the card wants its PIN again".to_owned();
                let error = identity::Error::Stanza { file_index: file, stanza_index: at, message };
                keys.insert(file, Err(vec![error]));
                continue;
            }
            let body = stanzas.get(at).map(|stanza| stanza.body.as_slice()).unwrap_or_default();
            let key = FileKey::try_init_with_mut(|key| {
                let bytes: &[u8; 16] = body.try_into().map_err(drop)?;
                key.copy_from_slice(bytes);
                Ok::<(), ()>(())
            });
            if let Ok(key) = key {
                keys.insert(file, Ok(key));
            }
        }
        Ok(keys)
    }
}
