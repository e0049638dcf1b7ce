//! `vaultix generate`: profiles → secrets that have a generator and do not exist yet.

mod command;
mod make;
mod plan;
mod public;
mod run;
mod shared;
mod ssh;

use std::collections::BTreeMap;
use std::path::PathBuf;

use vaultix_generator::escape;
use vaultix_generator::profile::{Generator, Profile, Secret};

use crate::cli::{Cli, Generate};
use crate::error::{Exit, Result, Status};
use crate::files::secret;
use crate::flake::git;
use crate::flake::repository::Checkouts;
use crate::flake::workspace::{self, ParsedRecipients, Workspace};
use crate::keys::master::Master;
use crate::report::{self, Report, Verbosity};
use crate::system::interrupt::Interrupt;
use crate::system::origin;
use crate::terminal::prompt::Prompt;
use command::RunContext;
use plan::{Plan, cannot_generate, plan};
use run::{Outcome, Run};

/// Makes what is missing. Replaces nothing.
///
/// # Errors
///
/// When nothing at all can be made. Failures of single secrets are printed, and count in the exit status.
pub fn run(args: &Generate, cli: &Cli) -> Result<Exit> {
    let report = Report::new(if args.quiet { Verbosity::Quiet } else { Verbosity::Normal });
    let mut workspace = Workspace::open(&cli.profiles, &args.identities, None)?;
    let mut checkouts = Checkouts::default();
    // What Nix sees needs not be made. What it does not see may be in the checkout already; if there
    // is no checkout, the plan says so about what has to be made.
    // Those that seem to be missing. One that is there after all is not replaced: new files get their names by link(2).
    let mut unusable = workspace.use_checkouts(&mut checkouts, |path| !path.exists());
    unusable.retain(|error| error.exit == Exit::Failed(Status::NoPerm));
    ensure_known(&args.secrets, &workspace.profiles)?;
    let mut plan =
        plan(&workspace.profiles, &args.secrets, &|path| path.symlink_metadata().is_ok())?;
    let mut failures = std::mem::take(&mut plan.failures);
    failures.append(&mut unusable);
    failures.extend(workspace.host_errors(&[]));
    shared::warn(&plan, &workspace.profiles, &report);
    if args.dry_run {
        show(&plan)?;
        let line = format!("{} to generate, {} already there", plan.make.len(), plan.there);
        return Ok(report.finish(&failures, &line));
    }
    let mut done = Outcome::default();
    if !plan.make.is_empty() || !plan.publish.is_empty() {
        let outcome = work(args, &workspace, &plan, &report, &mut done);
        failures.extend(outcome.err());
        failures.append(&mut done.failures);
        failures.extend(git::track_all(&done.files, &report));
    }
    let files = done.files.iter().map(PathBuf::as_path);
    let renc = if done.count > 0 { checkouts.next(files) } else { String::new() };
    let line = format!("{} generated, {} already there{renc}", done.count, plan.there);
    Ok(report.finish(&failures, &line))
}

fn ensure_known(ids: &[String], profiles: &[Profile]) -> Result<()> {
    for id in ids {
        let error = |reason| Err(cannot_generate(Status::Usage, id).because(reason));
        let mut secrets = profiles.iter().filter_map(|profile| profile.secrets.get(id)).peekable();
        if secrets.peek().is_none() {
            return error("no host has a secret of this name");
        }
        // A failure in it is reported with all others.
        let has_generator = |secret: &Secret| secret.generator.is_some();
        if !secrets.any(|secret| secret.as_ref().map_or(true, has_generator)) {
            return error("it has no generator");
        }
    }
    Ok(())
}

fn show(plan: &Plan) -> Result<()> {
    let made = plan.make.iter().map(|recipe| {
        let ids: Vec<&str> = recipe.inputs.iter().map(|input| input.id.as_str()).collect();
        let from = if ids.is_empty() { String::new() } else { format!(" from {}", ids.join(", ")) };
        format!("{}: generate, {}{from}", origin::shown(&recipe.path), describe(&recipe.generator))
    });
    let published = plan.publish.iter().map(|recipe| {
        let public_key = public::path(&recipe.path);
        format!(
            "{}: write, public key of {}",
            origin::shown(&public_key),
            origin::shown(&recipe.path)
        )
    });
    report::answer_lines(made.chain(published))
}

/// Says what makes a secret; of a command, all of it, since it is about to run here, word for word as a shell takes it.
fn describe(generator: &Generator) -> String {
    match generator {
        Generator::Command { argv, .. } => {
            let words: Vec<String> = argv.iter().map(escape::shell).collect();
            format!("command {}", words.join(" "))
        }
        other => other.kind().to_owned(),
    }
}

/// Makes what `plan` says. What fails for one secret goes to `done`, the rest goes on.
fn work(
    args: &Generate,
    workspace: &Workspace,
    plan: &Plan,
    report: &Report,
    done: &mut Outcome,
) -> Result<()> {
    let made = plan.make.iter().map(|recipe| &*recipe.path);
    let given = workspace::given_recipients(&args.recipients, &args.recipient_files, report)?;
    let recipients = ParsedRecipients::new(made, &workspace.rules, &given)?;
    let interrupt = Interrupt::new()?;
    let prompt = Prompt::new(&interrupt, report);
    let mut master = Master::read(&workspace.identities, &interrupt)?;
    let mut known = BTreeMap::new();
    for (path, outcome) in secret::open_all(&plan.sources(), &mut master, &prompt)? {
        match outcome {
            Ok(plaintext) => drop(known.insert(path, plaintext)),
            Err(error) => done.failures.push(error),
        }
    }
    let recipients = recipients.with(&mut master, &prompt)?;
    let inputs = plan.make.iter().flat_map(|recipe| &recipe.inputs).map(|input| &*input.path);
    let context = RunContext { root: &workspace.root, interrupt: &interrupt };
    Run { context, recipients, inputs: inputs.collect(), known, report }.work(plan, done)
}
