//! `vaultix init`: an identity, a first secret and a flake to begin with; what exists already stays.

mod identity;
mod snippet;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use age::armor::Format;
use vaultix_generator::escape;
use vaultix_units::plaintext::Plaintext;
use vaultix_units::{bounded, decrypt};

use crate::cli::Init;
use crate::error::{self, Error, Exit, Result, Status};
use crate::files::replace::Replacement;
use crate::files::{secret, source, tree};
use crate::flake::git::{self, attributes};
use crate::flake::nix::{self, Settings};
use crate::flake::workspace;
use crate::keys::armor;
use crate::keys::identity_files::{Content, IdentityFiles};
use crate::keys::master::Master;
use crate::keys::recipient::{self, ParsedRecipient};
use crate::report::{self, Report, Verbosity};
use crate::system::fence::{self, Extent};
use crate::system::interrupt::Interrupt;
use crate::terminal::prompt::Prompt;

/// Makes what is missing.
///
/// # Errors
///
/// When something cannot be made. What was made before is whole, and the next run goes on from there.
pub fn run(args: &Init) -> Result<Exit> {
    let report = Report::new(Verbosity::Normal);
    let directory = match &args.directory {
        Some(path) if path == Path::new(".") => PathBuf::new(),
        Some(path) => path.clone(),
        None => nix::root()?.map(|root| report::relative(&root)).unwrap_or_default(),
    };
    // What is there already may be links that somebody has committed.
    if directory == Path::new("") || directory.is_dir() {
        nix::fence_repository(&directory, Extent::Whole)?;
    }
    let identity = args.identity.clone().map_or_else(default_identity, Ok)?;
    // A flake with the nearest name that is UTF-8 would lead to another file.
    if identity.to_str().is_none() {
        return Err(Error::new(
            Status::Usage,
            format!("cannot name identity {} in a flake", identity.display()),
        )
        .because("its path is not UTF-8"));
    }
    let interrupt = Interrupt::new()?;
    let prompt = Prompt::new(&interrupt, &report);

    let mut scaffold = Scaffold { report: &report, new: Vec::new(), there: 0 };
    let kind = identity::Kind { is_locked: args.passphrase, is_post_quantum: args.pq };
    let recipient = scaffold.identity(&identity, kind, &prompt)?;
    let is_new = recipient.is_some();
    let public = recipient.as_ref().map(ParsedRecipient::text).or_else(|| {
        let found = Content::read(&identity)?.recipients;
        found.into_iter().next().flatten()
    });
    let public = public.as_deref();
    if args.pq {
        warn_post_quantum(&identity, is_new, public, &report);
    }
    let around = FlakeAround::find(&directory);
    let is_set_up = around.as_ref().is_some_and(|flake| flake.settings.is_some());
    let secret = directory.join("secrets/example.age");
    let needless = needless(&directory, &secret, is_set_up);
    match &needless {
        Some(reason) => report.line(format_args!("{}: not created: {reason}", secret.display())),
        None => scaffold.secret(&secret, &identity, recipient, &prompt)?,
    }
    let lines = attribute_lines(around.as_ref());
    scaffold.attributes(&directory.join(attributes::FILE), &lines)?;
    let flake = match scaffold.flake(&directory, &identity, public)? {
        Flake::Theirs if is_set_up => Flake::SetUp,
        flake => flake,
    };

    let files = scaffold.new.iter().filter(|path| **path != identity);
    let failures = git::track_all(files, &report);
    report.errors(&failures);
    if scaffold.new.is_empty() {
        report::summary("nothing was changed: everything is already there");
    } else {
        report::summary(format_args!(
            "{} created, {} already there",
            scaffold.new.len(),
            scaffold.there
        ));
    }
    if flake == Flake::Theirs {
        report::answer(snippet::text(&identity, public).as_bytes())?;
    }
    if is_new && !args.passphrase && is_inside(&identity, &directory) {
        let identity = identity.display();
        report.warning(format_args!(
            "{identity} is in the repository: git would share it with everyone"
        ));
    }
    let secret = needless.is_none().then_some(secret.as_path());
    snippet::next_steps(&report, is_new.then_some(&identity), secret, flake);
    Ok(error::common_exit(&failures))
}

/// Says what an identity that should be post-quantum excludes, or that it is not.
fn warn_post_quantum(identity: &Path, is_new: bool, public: Option<&str>, report: &Report) {
    if is_new {
        report.warning(
            "a secret for a post-quantum identity cannot also be for ssh keys, X25519 or a YubiKey, and age needs version 1.3 \
             to open it",
        );
        report.warning(
            "the weakest recipient counts: each host needs an identity of its own as well, on it: vaultix-decrypt enroll",
        );
    } else if !public.is_some_and(|public| public.starts_with("age1pq1")) {
        report.warning(format_args!(
            "{} was there before, and may not be post-quantum; for a new one: vaultix init --pq --identity FILE",
            identity.display()
        ));
    }
}

/// Returns where the identity is, unless the user says otherwise: in their folder of settings, where no repository is.
fn default_identity() -> Result<PathBuf> {
    let folder =
        |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let settings = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")));
    settings.map(|folder| folder.join("vaultix/identity.txt")).ok_or_else(|| {
        Error::new(Status::Usage, "cannot choose a path for the identity")
            .because("neither HOME nor XDG_CONFIG_HOME is set")
            .fix("vaultix init --identity FILE")
    })
}

/// Returns why a first secret in the file `secret` would be of no use in `directory`, as a clause: nobody needs it who has others,
/// or a flake that is set up.
fn needless(directory: &Path, secret: &Path, is_set_up: bool) -> Option<String> {
    if secret.symlink_metadata().is_ok() {
        return None;
    }
    let found = tree::secrets(directory).into_iter().find(|path| is_secret(path));
    let of_flake = || is_set_up.then(|| "the flake is set up already".to_owned());
    found
        .map(|path| format!("there are secrets already, such as {}", path.display()))
        .or_else(of_flake)
}

/// Returns whether the file `path` is encrypted to somebody: what only has a passphrase is an identity.
fn is_secret(path: &Path) -> bool {
    let bytes = source::read(path).ok().and_then(|bytes| armor::dearmor(bytes).ok());
    let found = bytes.and_then(|bytes| decrypt::recipients(&bytes).ok());
    found.is_some_and(|found| found.iter().any(|one| one.kind != "scrypt"))
}

/// A flake that may be there around a directory.
struct FlakeAround {
    /// The directory, as an absolute path.
    directory: PathBuf,
    /// Where the flake is, or would be.
    root: PathBuf,
    /// What it says of Vaultix, if it does.
    settings: Option<Settings>,
}

impl FlakeAround {
    fn find(directory: &Path) -> Option<Self> {
        let file = std::path::absolute(directory.join(attributes::FILE)).ok()?;
        let directory = file.parent().unwrap_or(Path::new("/"));
        let file = |folder: &&Path| folder.join("flake.nix");
        let root = directory.ancestors().find(|folder| file(folder).is_file());
        let root = root.unwrap_or(directory);
        // Nix takes its time, and a flake that does not name us has nothing to say.
        let names_us = |text: &[u8]| text.windows(7).any(|word| word == b"vaultix");
        let flake = fence::read(&file(&root), bounded::MAX_IDENTITY);
        let is_ours = || {
            let owner = nix::foreign_owner(root, &["flake.nix", "flake.lock"]);
            owner.is_ok_and(|owner| owner.is_none())
        };
        let is_asked = flake.is_ok_and(|text| names_us(&text)) && is_ours();
        let settings = is_asked.then(|| nix::settings(root).ok()).flatten();
        Some(Self { directory: directory.to_owned(), root: root.to_owned(), settings })
    }
}

/// Returns the lines for git in a directory with the `flake` around it: for secrets, and for the copies of them, where they are
/// below it.
fn attribute_lines(flake: Option<&FlakeAround>) -> Vec<String> {
    let mut lines = vec![attributes::SECRETS.to_owned()];
    let Some(FlakeAround { directory, root, settings }) = flake else { return lines };
    let cache = settings.as_ref().and_then(|settings| settings.cache(root).ok().flatten());
    let cache = cache.unwrap_or_else(|| root.join(workspace::DEFAULT_CACHE));
    let below = std::path::absolute(cache).ok();
    let below = below.as_ref().and_then(|cache| cache.strip_prefix(directory).ok());
    lines.extend(below.map(attributes::of_cache));
    lines
}

fn is_inside(path: &Path, directory: &Path) -> bool {
    let directory = if directory == Path::new("") { Path::new(".") } else { directory };
    let whole = |path: &Path| fs::canonicalize(path).ok();
    whole(path).zip(whole(directory)).is_some_and(|(path, directory)| path.starts_with(directory))
}

/// Whose `flake.nix` there is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flake {
    /// The user's, which is not touched.
    Theirs,
    /// The same, and it has all that it needs.
    SetUp,
    /// The one that was made just now.
    Ours,
}

/// What `init` has made so far.
struct Scaffold<'a> {
    report: &'a Report,
    /// Files that were made, or got a line.
    new: Vec<PathBuf>,
    /// How many were there already.
    there: usize,
}

impl Scaffold<'_> {
    /// Returns whether there is nothing at `path`, or says that there is.
    fn is_missing(&mut self, path: &Path) -> bool {
        let is_missing = path.symlink_metadata().is_err();
        if !is_missing {
            self.there += 1;
            self.report.line(format_args!("{}: already there", path.display()));
        }
        is_missing
    }

    /// Says that `path` was made.
    fn made(&mut self, path: &Path) {
        self.report.line(format_args!("{}: created", path.display()));
        self.new.push(path.to_owned());
    }

    fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<()> {
        let mut replacement = Replacement::new(path)?;
        replacement.write(bytes)?;
        replacement.persist_noclobber()?;
        self.made(path);
        Ok(())
    }

    /// Makes the identity, and returns its recipient; `None` if there was one already.
    fn identity(
        &mut self,
        path: &Path,
        kind: identity::Kind,
        prompt: &Prompt,
    ) -> Result<Option<ParsedRecipient>> {
        if !self.is_missing(path) {
            return Ok(None);
        }
        let recipient = identity::make(path, kind, prompt)?;
        self.made(path);
        Ok(Some(recipient))
    }

    /// Makes a first secret, for the identity in the file `identity`, whose `recipient` may be known.
    fn secret(
        &mut self,
        path: &Path,
        identity: &Path,
        recipient: Option<ParsedRecipient>,
        prompt: &Prompt,
    ) -> Result<()> {
        if !self.is_missing(path) {
            return Ok(());
        }
        let recipients = if let Some(recipient) = recipient {
            vec![recipient]
        } else {
            let files = IdentityFiles::given(vec![identity.to_owned()]);
            Master::read(&files, prompt.interrupt)?.recipients(Vec::new(), prompt)?
        };
        let text =
            format!("This is a secret. To change it: vaultix edit {}\n", escape::shell_path(path));
        let recipients = recipient::group_by_plugin(recipients, prompt);
        let text = Plaintext::new(text.into_bytes());
        let ciphertext = secret::encrypt(path, &text, &recipients, &Format::Binary)?;
        self.write(path, &ciphertext)
    }

    /// Adds what the file `path` does not say of `lines`.
    fn attributes(&mut self, path: &Path, lines: &[String]) -> Result<()> {
        let mut text = match fence::read(path, bounded::MAX_IDENTITY) {
            Ok(bytes) => bytes.to_vec(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.write(path, (lines.join("\n") + "\n").as_bytes());
            }
            Err(error) => {
                let what = format!("cannot read {}", path.display());
                return Err(fence::explain(Status::NoPerm, what, &error));
            }
        };
        let said = String::from_utf8_lossy(&text);
        let new: Vec<String> =
            lines.iter().filter_map(|line| attributes::missing(&said, line)).collect();
        if new.is_empty() {
            self.is_missing(path);
            return Ok(());
        }
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        text.extend((new.join("\n") + "\n").as_bytes());
        let mut replacement = Replacement::new(path)?;
        replacement.write(&text)?;
        replacement.persist()?;
        for line in new {
            self.report.line(format_args!("{}: added {line}", path.display()));
        }
        self.new.push(path.to_owned());
        Ok(())
    }

    /// Makes a flake with a host, for the `identity` and its `recipient` if that is known, where there is no flake around `directory`.
    fn flake(
        &mut self,
        directory: &Path,
        identity: &Path,
        recipient: Option<&str>,
    ) -> Result<Flake> {
        let ours = directory.join("flake.nix");
        let whole = std::path::absolute(&ours).map_err(|error| {
            Error::new(Status::CantCreat, format!("cannot write {}", ours.display())).because(error)
        })?;
        let mut folders = whole.ancestors().skip(1).map(|folder| folder.join("flake.nix"));
        if let Some(flake) = folders.find(|flake| flake.symlink_metadata().is_ok()) {
            self.is_missing(&report::relative(&flake));
            return Ok(Flake::Theirs);
        }
        // The flake last: it names the other one.
        let host = directory.join("example.nix");
        let found = fence::read(&host, bounded::MAX_IDENTITY);
        if !found.is_ok_and(|bytes| *bytes == snippet::HOST.as_bytes()) {
            if !self.is_missing(&host) {
                return Ok(Flake::Theirs);
            }
            self.write(&host, snippet::HOST.as_bytes())?;
        }
        self.write(&ours, snippet::flake(identity, recipient).as_bytes())?;
        Ok(Flake::Ours)
    }
}
