//! VERB secrets of an older scheme → secret files, and Nix that declares them.

mod agenix;
mod name;
mod old;
mod pass;
mod plan;
mod snippet;
mod sops;
mod tree;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use age::armor::Format;
use vaultix_units::plaintext::Plaintext;

use crate::cli::Import;
use crate::error::{self, Error, Exit, Result};
use crate::git::{self, Tracked};
use crate::interrupt::Interrupt;
use crate::master::{Master, Session};
use crate::prompt::Prompt;
use crate::replace::Target;
use crate::report::{self, Report, Volume};
use crate::{desk, flake, recipient, secret};
use old::Old;
use plan::Plan;
use snippet::snippet;

/// Where secrets go, unless the flake or the user says otherwise; relative to the flake.
const DEFAULT_DIRECTORY: &str = "secrets";

/// Brings over the secrets of an older scheme.
///
/// # Errors
///
/// When nothing at all can be done. What fails for one file or secret is said, and counts in the outcome.
pub fn run(args: &Import) -> Result<Exit> {
    let report = Report::new(if args.quiet { Volume::Quiet } else { Volume::Normal });
    let (root, settings) = desk::settings(args.dry_run || !args.identities.is_empty(), &report)?;
    let place = Place::new(args, &root, settings.default_secret_directory.as_deref());
    let plan = Plan::new(old::list(args.scheme, &source(args)?)?, &place.directory);
    if args.dry_run {
        answer(&plan.show(&place.directory))?;
        return Ok(finish(&report, &plan.failures, &format!("{} to import", plan.count())));
    }
    if plan.files.is_empty() {
        return Ok(finish(&report, &plan.failures, "0 imported"));
    }

    let interrupt = Interrupt::new()?;
    let prompt = Prompt::new(&interrupt, &report);
    let opening = desk::given_or(&args.identities, &settings, &root);
    let sealing: Vec<PathBuf> =
        settings.identity(&root).map(|path| flake::shown(&path)).into_iter().collect();
    let extra = [settings.extra_recipients, args.recipients.clone()].concat();
    let mut keys = Keys::read(&opening, &sealing, &extra)?;
    let session = keys.opening.open(&plan.headers(), &prompt)?;
    let recipients = recipient::gather(keys.recipients(&prompt)?, &prompt);
    if recipients.is_empty() {
        return Err(Error::new(Exit::Usage, "cannot encrypt to nobody").fix(
            "pass --identity FILE or --recipient RECIPIENT, or set vaultix.identity in the flake",
        ));
    }
    let mut work = Work {
        recipients,
        directory: &place.directory,
        report: &report,
        interrupt: &interrupt,
        made: BTreeSet::new(),
        failures: Vec::new(),
    };
    work.all(&plan, &session);
    let Work { made, mut failures, .. } = work;
    track(&place.directory, &made, &report).unwrap_or_else(|error| failures.push(error));
    answer(&snippet(&made, place.said.as_deref()))?;
    let failures = [plan.failures, failures].concat();
    Ok(finish(&report, &failures, &format!("{} imported", made.len())))
}

/// Returns where the old secrets are.
fn source(args: &Import) -> Result<PathBuf> {
    args.source.clone().or_else(|| pass::store(args.scheme)).ok_or_else(|| {
        Error::new(Exit::Usage, "cannot import from nowhere")
            .because("no source is given")
            .fix("name it after the scheme: secrets.nix of agenix, a file or a directory")
    })
}

/// Prints `text` for a program or a file.
fn answer(text: &str) -> Result<()> {
    report::answer(text.as_bytes())
        .map_err(|error| Error::new(Exit::CantCreate, "cannot print").because(error))
}

/// Says what failed, and what all of it comes to.
fn finish(report: &Report, failures: &[Error], line: &str) -> Exit {
    report.errors(failures);
    match failures.len() {
        0 => report::count(line),
        failed => report::count(format_args!("{line}, {failed} failed")),
    }
    error::exit(failures)
}

/// Where new secrets go.
struct Place {
    /// The directory.
    directory: PathBuf,
    /// The same from the flake, if a declaration has to say so.
    said: Option<PathBuf>,
}

impl Place {
    /// Chooses: what was asked for, or what the flake at `root` says, or the default.
    fn new(args: &Import, root: &Path, default: Option<&str>) -> Self {
        let default = root.join(default.unwrap_or(DEFAULT_DIRECTORY).trim_start_matches("./"));
        let Some(directory) = &args.into else {
            return Self { directory: flake::shown(&default), said: None };
        };
        let whole = |path: &Path| {
            std::path::absolute(Path::new(".").join(path)).unwrap_or_else(|_| path.to_owned())
        };
        let (into, default, root) = (whole(directory), whole(&default), whole(root));
        let said = (into != default)
            .then(|| into.strip_prefix(&root).map_or(into.clone(), Path::to_owned));
        Self { directory: directory.clone(), said }
    }
}

/// Who opens the old files, and who shall be able to open the new ones.
struct Keys {
    /// Identities that open.
    opening: Master,
    /// Identities whose recipients are encrypted to, if they are other ones.
    sealing: Option<Master>,
    /// Recipients beside theirs.
    extra: Vec<recipient::Parsed>,
}

impl Keys {
    /// Reads the identities to open with, and those of the flake: what only served to open the old files has no
    /// part in the new ones. Without a flake, there are only the former.
    fn read(opening: &[PathBuf], sealing: &[PathBuf], extra: &[String]) -> Result<Self> {
        let extra = desk::extra(extra)?;
        let other = !sealing.is_empty() && sealing != opening;
        let sealing = other.then(|| Master::read(sealing)).transpose()?;
        Ok(Self { opening: Master::read(opening)?, sealing, extra })
    }

    /// Returns the recipients to encrypt to.
    fn recipients(self: &mut Keys, prompt: &Prompt) -> Result<Vec<recipient::Parsed>> {
        let mut recipients =
            self.sealing.as_mut().unwrap_or(&mut self.opening).recipients(prompt)?;
        recipients.append(&mut self.extra);
        Ok(recipients)
    }
}

/// One run.
struct Work<'a> {
    /// To whom secrets are encrypted.
    recipients: Vec<Box<dyn age::Recipient + 'a>>,
    /// Where they go.
    directory: &'a Path,
    /// Who watches.
    report: &'a Report,
    /// Whether to stop.
    interrupt: &'a Interrupt,
    /// Ids of the secrets that are made.
    made: BTreeSet<String>,
    /// What failed.
    failures: Vec<Error>,
}

impl Work<'_> {
    /// Makes all secrets of `plan`, file by file.
    fn all(&mut self, plan: &Plan, session: &Session) {
        for (file, key) in plan.files.iter().zip(&session.keys) {
            if self.interrupt.is_set() {
                break;
            }
            match file.old.open(key, &session.notes) {
                Ok(texts) => self.file(&file.old, &file.wanted, &texts),
                Err(error) => self.failures.push(error),
            }
        }
        if self.interrupt.is_set() {
            self.failures.push(self.interrupt.error());
        }
    }

    /// Makes those secrets of `old` that are `wanted`, from the `texts` of all of them.
    fn file(&mut self, old: &Old, wanted: &BTreeSet<usize>, texts: &[Plaintext]) {
        for (i, (id, text)) in old.ids.iter().zip(texts).enumerate() {
            if !wanted.contains(&i) {
                continue;
            }
            let path = name::file(self.directory, id);
            match self.make(&path, text) {
                Ok(()) => {
                    self.report.line(format_args!(
                        "{}: made from {}",
                        path.display(),
                        old.path.display()
                    ));
                    self.made.insert(id.clone());
                }
                Err(error) => self.failures.push(error),
            }
        }
    }

    /// Makes the secret `path` with this `text`.
    fn make(&self, path: &Path, text: &Plaintext) -> Result<()> {
        let ciphertext =
            secret::encrypt(text, &self.recipients, &Format::Binary).map_err(|reason| {
                Error::new(Exit::Config, format!("cannot encrypt {}", path.display()))
                    .because(reason)
            })?;
        let mut target = Target::new(path)?;
        target.write(&ciphertext)?;
        target.settle_new()
    }
}

/// Makes git aware of the new secrets, so that a flake finds them.
fn track(directory: &Path, made: &BTreeSet<String>, report: &Report) -> Result<()> {
    if made.is_empty() {
        return Ok(());
    }
    let files = made.iter().map(|id| name::file(Path::new(""), id)).collect();
    if matches!(git::track(directory, &files)?, Tracked::Ignored) {
        report.warning(format_args!(
            "git ignores files in {}, so a flake will not find them",
            directory.display()
        ));
    }
    Ok(())
}
