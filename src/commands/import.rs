//! `vaultix import`: secrets of an older scheme → secret files, and Nix that declares them.

mod agenix;
mod declared_names;
mod destination;
mod folders;
mod gpg;
mod keys;
mod legacy;
mod name;
mod pass;
mod plan;
mod readers;
mod scheme;
mod secret;
mod snippet;
mod sops;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use age::armor::Format;
use vaultix_units::plaintext::Plaintext;

use crate::cli::{Import, Scheme};
use crate::error::{Error, Exit, Result, Status};
use crate::files::replace::Replacement;
use crate::files::secret as file;
use crate::flake::rules::Rules;
use crate::flake::workspace::{self, ParsedRecipients, Recipients};
use crate::flake::{git, nix};
use crate::keys::master::Session;
use crate::report::{self, Report, Verbosity};
use crate::system::interrupt::Interrupt;
use crate::terminal::prompt::Prompt;
use declared_names::DeclaredNames;
use destination::Destination;
use keys::Keys;
use legacy::LegacyFile;
use plan::{Plan, There};
use readers::Moved;
use snippet::{Declaration, snippet};

/// Brings over the secrets of an older scheme.
///
/// # Errors
///
/// When nothing at all can be done. Failures of single files or secrets are printed, and count in the exit status.
pub fn run(args: &Import) -> Result<Exit> {
    let report = Report::new(if args.quiet { Verbosity::Quiet } else { Verbosity::Normal });
    let (root, settings) =
        workspace::settings(args.dry_run || !args.identities.is_empty(), &report)?;
    let destination = Destination::new(args, &root, settings.secrets(&root)?);
    let source = source(args)?;
    if args.keep && args.scheme != Scheme::Sops {
        return Err(Error::new(Status::Usage, "cannot import with --keep")
            .because("only files of sops have several values"));
    }
    let names = DeclaredNames::new(args.scheme, &root, &report);
    let listing =
        scheme::list((args.scheme, args.keep), &source, &destination.directory, &names, &report)?;
    let plan = Plan::new(listing, &destination.directory);
    let mut failures = plan.failures.clone();
    if args.dry_run {
        report::answer_lines(plan.show(&destination.directory))?;
        let line = format!("{} to import{}", plan.count(), plan.already_there());
        return Ok(report.finish(&failures, &line));
    }
    if !plan.files.is_empty() || !plan.there.is_empty() {
        let rules = Rules::new(&settings, &root)?;
        let new = plan.paths(&destination.directory);
        let new = new.iter().map(PathBuf::as_path);
        let given = workspace::given_recipients(&args.recipients, &args.recipient_files, &report)?;
        let extra = ParsedRecipients::new(new, &rules, &given)?;
        // After what runs nix: until here, a signal ends both.
        let hosts = if plan.has_readers() && root != Path::new("") {
            nix::host_keys(&root, &report)
        } else {
            Vec::new()
        };
        let interrupt = Interrupt::new()?;
        let mut keys = Keys::read(args, &settings, &root, extra, &interrupt)?;
        let mut made = Made::default();
        if !plan.files.is_empty() {
            (made, failures) = carry_out(&plan, &mut keys, &destination, &report, &interrupt)?;
        }
        let count = made.files.len();
        failures.extend(git::track_all(&made.files, &report));
        let already_there = plan.already_there();
        made.add(plan.there, &report);
        let known = keys.known(hosts);
        let rules = readers::snippet(&made.moved, &known, &rules, &destination, &report);
        let Destination { from_flake, is_default, .. } = &destination;
        let text = snippet(&mut made.declarations, from_flake, *is_default);
        report::answer((text + &rules).as_bytes())?;
        return Ok(report.finish(&failures, &format!("{count} imported{already_there}")));
    }
    Ok(report.finish(&failures, "0 imported"))
}

/// Makes the secrets of `plan`, and returns those that are made, and all that failed.
fn carry_out(
    plan: &Plan,
    keys: &mut Keys,
    destination: &Destination,
    report: &Report,
    interrupt: &Interrupt,
) -> Result<(Made, Vec<Error>)> {
    let prompt = Prompt::new(interrupt, report);
    let session = keys.decrypting.open(&plan.headers(), &prompt)?;
    let mut run = Run {
        recipients: keys.recipients(&prompt)?,
        directory: &destination.directory,
        report,
        interrupt,
        made: Made::default(),
        failures: plan.failures.clone(),
    };
    run.all(plan, &session);
    Ok((run.made, run.failures))
}

/// The place that was named, or the usual one of the scheme.
fn source(args: &Import) -> Result<PathBuf> {
    args.source.clone().or_else(|| pass::store(args.scheme)).ok_or_else(|| {
        Error::new(Status::Usage, "cannot import without a source")
            .fix("pass it after the scheme: secrets.nix of agenix, a file or a directory")
    })
}

/// Secrets that are made.
#[derive(Default)]
struct Made {
    files: Vec<PathBuf>,
    moved: Vec<Moved>,
    declarations: Vec<Declaration>,
}

impl Made {
    /// Adds what was there already: it is declared in the same way, as after the run that made it.
    fn add(&mut self, there: Vec<There>, report: &Report) {
        let shown = |there: &There| there.moved.new.display().to_string();
        let names: Vec<String> = there.iter().map(shown).collect();
        if !names.is_empty() {
            report.line(format_args!("already there, and not replaced: {}", report::list(&names)));
        }
        for There { moved, declarations } in there {
            let (new, old) = (moved.new.display(), moved.old.display());
            report::detail(format_args!("{new} is there, and not replaced by {old}"));
            self.moved.push(moved);
            self.declarations.extend(declarations);
        }
    }
}

struct Run<'a> {
    recipients: Recipients<'a>,
    directory: &'a Path,
    report: &'a Report,
    interrupt: &'a Interrupt,
    made: Made,
    failures: Vec<Error>,
}

impl Run<'_> {
    /// Makes all secrets of `plan`, file by file.
    fn all(&mut self, plan: &Plan, session: &Session) {
        for (file, key) in plan.files.iter().zip(&session.keys) {
            if self.interrupt.is_set() {
                break;
            }
            match file.legacy.open(key, &session.skipped) {
                Ok(texts) => self.file(&file.legacy, &file.wanted, &texts),
                Err(_) if self.interrupt.is_set() => break,
                Err(error) => self.failures.push(error),
            }
        }
        if self.interrupt.is_set() {
            self.failures.push(self.interrupt.error());
        }
    }

    /// Makes those secrets of `legacy` that are `wanted`, from the `texts` of all of them.
    fn file(&mut self, legacy: &LegacyFile, wanted: &BTreeSet<usize>, texts: &[Plaintext]) {
        for (i, (secret, text)) in legacy.secrets.iter().zip(texts).enumerate() {
            if !wanted.contains(&i) {
                continue;
            }
            let path = name::file(self.directory, &secret.stem);
            match self.make(&path, text) {
                Ok(()) => {
                    if text.expose().trim_ascii().is_empty() {
                        let what =
                            if text.expose().is_empty() { "empty" } else { "only white space" };
                        self.report
                            .warning(format_args!("the text of {} is {what}", path.display()));
                    }
                    self.report.line(format_args!(
                        "{}: created from {}",
                        path.display(),
                        legacy.path.display()
                    ));
                    let of = |declared| Declaration::new(secret, declared, &legacy.fields);
                    self.made.declarations.extend(secret.declared.iter().map(of));
                    let (old, readers) = (legacy.path.clone(), legacy.readers.clone());
                    self.made.moved.push(Moved { new: path.clone(), old, readers });
                    self.made.files.push(path);
                }
                Err(error) => self.failures.push(error),
            }
        }
    }

    fn make(&self, path: &Path, text: &Plaintext) -> Result<()> {
        let ciphertext = file::encrypt(path, text, self.recipients.of(path), &Format::Binary)?;
        let mut replacement = Replacement::new(path)?;
        replacement.write(&ciphertext)?;
        replacement.persist_noclobber()
    }
}
