//! identities of a plugin + headers of many files → their file keys, from one process of the
//! plugin.
//!
//! Protocol: <https://c2sp.org/age-plugin>, "identity-v1" and "recipient-v1". The client in the
//! `age` crate starts a process for each file, and each process asks for a PIN.

mod connection;

use std::collections::{BTreeSet, HashSet};
use std::io::{self, BufReader, BufWriter};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use age::EncryptError;
use age_core::format::{FileKey, Stanza};
use age_core::secrecy::ExposeSecret;
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;

use crate::error::{Error, Result, Status};
use crate::report;
use crate::system::interrupt::Interrupt;
use crate::system::program;
use crate::terminal::prompt::{Prompt, Question};
use connection::Connection;

/// A file to open: its index in the caller's list, and its header.
pub type ClosedFile<'a> = (usize, &'a [Stanza]);

/// The result of a session with a plugin.
#[derive(Default)]
pub struct Opened {
    /// File keys, each with the index of its file.
    pub keys: Vec<(usize, FileKey)>,
    /// The plugin's messages about files that it did not open, with their indexes.
    pub failures: Vec<(usize, String)>,
    /// The error if the session failed as a whole. Keys that were received before it are valid.
    pub session_failure: Option<Error>,
}

/// Opens as many of `files` as the `identities` of the plugin `name` can.
///
/// Starts one process, with one conversation for all files. Each file that the plugin recognizes
/// but could not open gets another conversation of its own: a YubiKey that requires its PIN for
/// every use opens a single file per session. This is not tried after the whole session failed, for
/// example because of a wrong PIN: three wrong PINs block a card.
///
/// # Errors
///
/// When the user interrupts.
pub fn open(
    name: &str,
    identities: &[String],
    files: &[ClosedFile],
    prompt: &Prompt,
) -> Result<Opened> {
    let mut opened = session(name, identities, files, prompt)?;
    if files.len() < 2 {
        return Ok(opened);
    }
    for (index, reason) in std::mem::take(&mut opened.failures) {
        let file: Vec<ClosedFile> = files.iter().filter(|(at, _)| *at == index).copied().collect();
        if opened.session_failure.is_some() {
            opened.failures.push((index, reason));
            continue;
        }
        let single = session(name, identities, &file, prompt)?;
        opened.keys.extend(single.keys);
        opened.failures.extend(single.failures);
        opened.session_failure = single.session_failure;
    }
    Ok(opened)
}

/// Has one conversation about `files`.
fn session(
    name: &str,
    identities: &[String],
    files: &[ClosedFile],
    prompt: &Prompt,
) -> Result<Opened> {
    let mut opened = Opened::default();
    let outcome = Plugin::start(name, Job::Decrypt, prompt)
        .and_then(|mut plugin| plugin.unwrap(identities, files, &mut opened));
    match outcome {
        Ok(()) => {}
        Err(_) if prompt.interrupt.is_set() => return Err(prompt.interrupt.error()),
        Err(error) => opened.session_failure = Some(error),
    }
    Ok(opened)
}

/// Returns the program of the plugin `name`.
///
/// # Errors
///
/// If it is not in `PATH`.
pub fn find(name: &str) -> Result<PathBuf> {
    let binary = binary(name);
    program::find(&binary).ok_or_else(|| {
        cannot_use(name)
            .because(format!("there is no program {binary} in PATH"))
            .fix(format!("install {binary}"))
    })
}

/// Returns the program name of the plugin `name`.
fn binary(name: &str) -> String {
    format!("age-plugin-{name}")
}

/// Returns the error for the plugin `name`, which cannot be used.
fn cannot_use(name: &str) -> Error {
    Error::new(Status::NoPerm, format!("cannot use the plugin {name}"))
}

/// What a plugin is started for.
#[derive(Clone, Copy)]
enum Job {
    Decrypt,
    Encrypt,
}

impl Job {
    /// Returns the protocol's name for it.
    fn state_machine(self) -> &'static str {
        match self {
            Self::Decrypt => "identity-v1",
            Self::Encrypt => "recipient-v1",
        }
    }
}

struct Plugin<'a> {
    /// Its name, without `age-plugin-`.
    name: &'a str,
    /// The pipes to and from it. Declared before the process, so that they are closed before we
    /// wait for it.
    connection: Connection<BufReader<ChildStdout>, BufWriter<ChildStdin>>,
    _process: Process<'a>,
    prompt: &'a Prompt<'a>,
}

impl<'a> Plugin<'a> {
    /// Starts the plugin `name` for one of its two jobs.
    fn start(name: &'a str, job: Job, prompt: &'a Prompt<'a>) -> Result<Self> {
        let (path, job) = (find(name)?, job.state_machine());
        report::detail(format_args!("starting {} for {job}", path.display()));
        let start = || {
            let mut child = Command::new(path)
                .arg(format!("--age-plugin={job}"))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null()) // In debug mode, plugins write keys and PINs there.
                .spawn()?;
            let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
            let output = BufWriter::new(child.stdin.take().ok_or_else(missing)?);
            let input = BufReader::new(child.stdout.take().ok_or_else(missing)?);
            let process = Process { child, interrupt: prompt.interrupt };
            Ok(Self { name, connection: Connection { input, output }, _process: process, prompt })
        };
        start().map_err(|error: io::Error| {
            cannot_use(name).because(format!("{}: {error}", binary(name)))
        })
    }

    /// Returns the error for a conversation that failed.
    fn broken(&self, reason: impl std::fmt::Display) -> Error {
        let name = self.name;
        cannot_use(name).because(format!("{}: {reason}", binary(name)))
    }

    /// Sends all identities and headers to the plugin, and receives the file keys.
    fn unwrap(
        &mut self,
        identities: &[String],
        files: &[ClosedFile],
        opened: &mut Opened,
    ) -> Result<()> {
        self.send_request(identities, files).map_err(|error| self.broken(error))?;
        let purpose = match files.len() {
            1 => "to decrypt 1 secret".to_owned(),
            count => format!("to decrypt {count} secrets"),
        };
        let mut known = BTreeSet::new();
        loop {
            let message = self.receive().map_err(|error| self.broken(error))?;
            let args: Vec<&str> = message.args.iter().map(String::as_str).collect();
            let index = |word: &str| Some(files.get(word.parse::<usize>().ok()?)?.0);
            let replied = match (message.tag.as_str(), &args[..]) {
                ("done", _) => return Ok(()),
                ("file-key", [file]) => {
                    // One key for each file: a second one would be a trick.
                    let fresh = index(file).filter(|index| known.insert(*index));
                    match fresh.zip(file_key(&message.body)) {
                        Some(key) => {
                            opened.keys.push(key);
                            self.reply("ok", &[], &[])
                        }
                        None => self.reply("fail", &[], &[]),
                    }
                }
                ("error", ["stanza", file, _]) => {
                    let words = self.words(&message.body);
                    opened.failures.extend(index(file).map(|index| (index, words)));
                    self.reply("ok", &[], &[])
                }
                ("error", _) => {
                    opened.session_failure =
                        Some(self.broken(String::from_utf8_lossy(&message.body)));
                    self.reply("ok", &[], &[])
                }
                _ => self.pass_on(&message, &purpose)?,
            };
            replied.map_err(|error| self.broken(error))?;
        }
    }

    /// Sends the first phase of a conversation about opening files.
    fn send_request(&mut self, identities: &[String], files: &[ClosedFile]) -> io::Result<()> {
        for identity in identities {
            self.connection.send("add-identity", &[identity], &[])?;
        }
        for (i, (_, stanzas)) in files.iter().enumerate() {
            let index = i.to_string();
            for stanza in *stanzas {
                let args: Vec<&str> = [index.as_str(), &stanza.tag]
                    .into_iter()
                    .chain(stanza.args.iter().map(String::as_str))
                    .collect();
                self.connection.send("recipient-stanza", &args, &stanza.body)?;
            }
        }
        self.connection.send("done", &[], &[])?;
        self.connection.flush()
    }

    /// Receives a message, unless a signal comes first.
    fn receive(&mut self) -> io::Result<Stanza> {
        let input = &self.connection.input;
        let interrupt = self.prompt.interrupt;
        // Checked first: a plugin that never stops sending may never leave the buffer empty.
        if interrupt.is_set()
            || (input.buffer().is_empty() && !interrupt.wait(input.get_ref().as_fd())?)
        {
            return Err(io::Error::other("interrupted"));
        }
        self.connection.receive()
    }

    fn reply(&mut self, word: &str, args: &[&str], body: &[u8]) -> io::Result<()> {
        self.connection.send(word, args, body)?;
        self.connection.flush()
    }

    /// Passes a message on to the user, and their answer back.
    ///
    /// # Errors
    ///
    /// When the user cannot be asked. The inner result is that of sending the reply.
    fn pass_on(&mut self, message: &Stanza, purpose: &str) -> Result<io::Result<()>> {
        let text = String::from_utf8_lossy(&message.body).into_owned();
        Ok(match message.tag.as_str() {
            "msg" => {
                self.prompt.say(&binary(self.name), &text);
                self.reply("ok", &[], &[])
            }
            "confirm" => {
                let word = |i: usize| {
                    let bytes = BASE64_STANDARD_NO_PAD.decode(message.args.get(i)?).ok()?;
                    String::from_utf8(bytes).ok()
                };
                let yes = word(0).unwrap_or_else(|| "yes".to_owned());
                let question = Question { what: &self.marked(&text), purpose, complaint: None };
                let agreed = self.prompt.confirm(&question, &yes, word(1).as_deref())?;
                if agreed.is_none() {
                    self.prompt.say(&binary(self.name), &text);
                }
                self.reply("ok", &[if agreed == Some(true) { "yes" } else { "no" }], &[])
            }
            "request-secret" | "request-public" => {
                let question = Question { what: &self.marked(&text), purpose, complaint: None };
                let answer = if message.tag == "request-secret" {
                    self.prompt.secret(&question)?
                } else {
                    self.prompt.public(&question)?
                };
                match answer {
                    Some(answer) => self.reply("ok", &[], answer.as_bytes()),
                    None => self.reply("fail", &[], &[]),
                }
            }
            _ => self.reply("unsupported", &[], &[]),
        })
    }

    /// Returns a question of the plugin, none of whose further lines looks like one of ours. What is asked for begins with a
    /// capital, unlike a message.
    fn marked(&self, text: &str) -> String {
        text.trim_end().replace('\n', &format!("\n{}: ", binary(self.name)))
    }

    /// Returns a message of the plugin, with its name in front.
    fn words(&self, body: &[u8]) -> String {
        format!("age-plugin-{}: {}", self.name, String::from_utf8_lossy(body))
    }

    /// Asks the plugin to wrap `key` for `recipients` and for the recipients of `identities`.
    fn wrap(
        &mut self,
        recipients: &[String],
        identities: &[String],
        key: &FileKey,
    ) -> Result<(Vec<Stanza>, HashSet<String>)> {
        let ask = |connection: &mut Connection<_, BufWriter<ChildStdin>>| {
            for recipient in recipients {
                connection.send("add-recipient", &[recipient], &[])?;
            }
            for identity in identities {
                connection.send("add-identity", &[identity], &[])?;
            }
            connection.send("extension-labels", &[], &[])?;
            connection.send("wrap-file-key", &[], key.expose_secret())?;
            connection.send("done", &[], &[])?;
            connection.flush()
        };
        ask(&mut self.connection).map_err(|error| self.broken(error))?;
        let (mut stanzas, mut labels, mut failure) = (Vec::new(), HashSet::new(), None);
        loop {
            let message = self.receive().map_err(|error| self.broken(error))?;
            let replied = match (message.tag.as_str(), message.args.split_first()) {
                ("done", _) => break,
                ("recipient-stanza", Some((_, [tag, args @ ..]))) => {
                    let (tag, args) = (tag.clone(), args.to_vec());
                    stanzas.push(Stanza { tag, args, body: message.body });
                    self.reply("ok", &[], &[])
                }
                ("labels", _) => {
                    labels = message.args.into_iter().collect();
                    self.reply("ok", &[], &[])
                }
                ("error", _) => {
                    failure = Some(self.broken(String::from_utf8_lossy(&message.body)));
                    self.reply("ok", &[], &[])
                }
                _ => self.pass_on(&message, "to encrypt a secret")?,
            };
            replied.map_err(|error| self.broken(error))?;
        }
        match failure {
            Some(error) => Err(error),
            None if stanzas.is_empty() => Err(self.broken("it wrapped no key")),
            None => Ok((stanzas, labels)),
        }
    }
}

/// The process of a plugin. Waits for it when dropped, after the pipes to it are closed.
struct Process<'a> {
    child: Child,
    /// If it is set, the process is killed.
    interrupt: &'a Interrupt,
}

impl Drop for Process<'_> {
    fn drop(&mut self) {
        if self.interrupt.is_set() {
            let _ = self.child.kill(); // It may have ended already.
        }
        let _ = self.child.wait();
    }
}

/// Returns the file key in `body`, if it is one.
fn file_key(body: &[u8]) -> Option<FileKey> {
    FileKey::try_init_with_mut(|key| {
        let bytes: &[u8; 16] = body.try_into().map_err(drop)?;
        key.copy_from_slice(bytes);
        Ok::<(), ()>(())
    })
    .ok()
}

/// All recipients of one plugin.
pub struct Recipient<'a> {
    pub name: String,
    /// Recipients as they were given.
    pub recipients: Vec<String>,
    /// Identities whose recipients the plugin finds itself.
    pub identities: Vec<String>,
    pub prompt: &'a Prompt<'a>,
}

impl age::Recipient for Recipient<'_> {
    fn wrap_file_key(
        &self,
        key: &FileKey,
    ) -> std::result::Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        Plugin::start(&self.name, Job::Encrypt, self.prompt)
            .and_then(|mut plugin| plugin.wrap(&self.recipients, &self.identities, key))
            .map_err(|error| EncryptError::Io(io::Error::other(error)))
    }
}
