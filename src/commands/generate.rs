//! `vaultix generate`: profiles → secrets that have a generator, and do not exist yet or are to be renewed.

mod command;
mod make;
mod plan;
mod presence;
mod public;
mod run;
mod shared;
mod ssh;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use vaultix_generator::escape;
use vaultix_generator::profile::{Generator, Profile, Secret};

use crate::cli::{Cli, Generate, did_you_mean, near};
use crate::error::{Error, Exit, Result, Status};
use crate::files::secret;
use crate::flake::git;
use crate::flake::repository::Checkouts;
use crate::flake::workspace::{self, ParsedRecipients, Workspace};
use crate::keys::master::Master;
use crate::report::{self, Report, Verbosity};
use crate::system::interrupt::Interrupt;
use crate::system::origin;
use crate::terminal::prompt::{Prompt, Question};
use command::RunContext;
use plan::{Existing, Files, Place, Plan, Selection, cannot_generate, plan};
use presence::Copies;
use run::{Outcome, Run};

/// Makes what is missing. Replaces nothing else than what is to be renewed.
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
    // Those that seem to be missing. One that is there after all is not replaced: a new file never takes the place of another,
    // and a file with values is replaced only if it is still the one that was opened.
    let replaced = replaceable(&workspace.profiles, args.renew);
    let mut unusable =
        workspace.use_checkouts(&mut checkouts, |path| !path.exists() || replaced.contains(path));
    unusable.retain(|error| error.exit == Exit::Failed(Status::NoPerm));
    unusable.extend(workspace.host_errors(&[]));
    ensure_known(args, &workspace)?;
    let copies = Copies::new(&workspace.profiles, &workspace.cache.directory);
    let presence = |place: &Place| copies.presence(place);
    let mut plan = plan(&workspace.profiles, &selection(args), Files::Closed, &presence)?;
    if args.dry_run {
        let mut failures = std::mem::take(&mut plan.failures);
        failures.append(&mut unusable);
        shared::warn(&plan, &workspace.profiles, &report);
        shared::tell_of_others(&plan, &workspace.profiles, &args.hosts, &report);
        show(&plan)?;
        let line = format!("{} to generate, {} already there", plan.make.len(), plan.there);
        return Ok(report.finish(&failures, &line));
    }
    let mut done = Outcome::default();
    let mut outcome = Ok(());
    if !plan.is_done() {
        outcome = work(args, &workspace, &mut plan, &report, &mut done);
    }
    let mut failures = std::mem::take(&mut plan.failures);
    failures.append(&mut unusable);
    failures.extend(outcome.err());
    failures.append(&mut done.failures);
    failures.extend(git::track_all(&done.files, &report));
    let files = done.files.iter().map(PathBuf::as_path);
    let renc = if done.count > 0 { checkouts.next(files) } else { String::new() };
    let line = format!("{} generated, {} already there{renc}", done.count, plan.there);
    Ok(report.finish(&failures, &line))
}

fn selection(args: &Generate) -> Selection<'_> {
    let existing = if args.renew { Existing::Renewed } else { Existing::Kept };
    Selection { ids: &args.secrets, hosts: &args.hosts, existing }
}

/// Returns the files of generated secrets that may be replaced: those with values get more of them.
fn replaceable(profiles: &[Profile], renew: bool) -> BTreeSet<PathBuf> {
    let secrets = profiles.iter().flat_map(|profile| profile.secrets.values().flatten());
    let generated = secrets.filter(|secret| secret.generator.is_some());
    let replaced = generated.filter(|secret| renew || secret.key.is_some());
    replaced.map(|secret| secret.ciphertext.clone()).collect()
}

/// Checks that there are the hosts and secrets that were asked for.
fn ensure_known(args: &Generate, workspace: &Workspace) -> Result<()> {
    let profiles = &workspace.profiles;
    let is_host = |host: &String| {
        profiles.iter().any(|profile| profile.settings.host_identifier == *host)
            || workspace.failures.iter().any(|failure| failure.names.contains(host))
    };
    if let Some(unknown) = args.hosts.iter().find(|host| !is_host(host)) {
        let names: Vec<String> =
            profiles.iter().map(|profile| profile.settings.host_identifier.clone()).collect();
        return Err(Error::new(Status::Usage, format!("cannot find host \"{unknown}\""))
            .because(format!("the profiles are for {}", report::list(&names))));
    }
    let is_chosen = |profile: &&Profile| {
        args.hosts.is_empty() || args.hosts.contains(&profile.settings.host_identifier)
    };
    for id in &args.secrets {
        let error = |reason| cannot_generate(Status::Usage, id).because(reason);
        let chosen = profiles.iter().filter(is_chosen);
        let mut secrets = chosen.filter_map(|profile| profile.secrets.get(id)).peekable();
        if secrets.peek().is_none() {
            let none = "no host has a secret of this name";
            let not_chosen = "no chosen host has a secret of this name";
            let ids = profiles.iter().filter(is_chosen).flat_map(|profile| profile.secrets.keys());
            let hint = did_you_mean(&near(id, ids.map(String::as_str)));
            let error = error(if args.hosts.is_empty() { none } else { not_chosen });
            return Err(hint.into_iter().fold(error, Error::because));
        }
        // A failure in it is reported with all others.
        let has_generator = |secret: &Secret| secret.generator.is_some();
        if !secrets.any(|secret| secret.as_ref().map_or(true, has_generator)) {
            return Err(error("it has no generator"));
        }
    }
    Ok(())
}

/// Asks whether all secrets of `plan` may be replaced, unless the user has said which.
fn ensure_meant(args: &Generate, plan: &Plan, prompt: &Prompt) -> Result<()> {
    if plan.replaced.is_empty() || !args.secrets.is_empty() || !args.hosts.is_empty() {
        return Ok(());
    }
    let count = plan.replaced.len();
    let what = format!("{count} secrets would be replaced: all that have a generator.");
    let question = Question { what: &what, purpose: "", complaint: None };
    if prompt.confirm(&question, "replace them", Some("keep them"))? == Some(true) {
        return Ok(());
    }
    Err(Error::new(Status::Usage, format!("cannot replace all {count} secrets"))
        .because("nobody has agreed to that")
        .fix("say which, with --secret or --host"))
}

fn show(plan: &Plan) -> Result<()> {
    let made = plan.make.iter().map(|recipe| {
        let ids: Vec<&str> = recipe.inputs.iter().map(|input| input.id.as_str()).collect();
        let from = if ids.is_empty() { String::new() } else { format!(" from {}", ids.join(", ")) };
        let key = recipe.place.key.as_ref().map(|key| format!(" {}", key.pointer));
        let is_unknown = plan.unknown.contains(&recipe.place);
        format!(
            "{}: generate{}{}, {}{from}",
            origin::shown(&recipe.place.path),
            key.unwrap_or_default(),
            if plan.replaced.contains(&recipe.place) {
                " again"
            } else if is_unknown {
                " if it is missing"
            } else {
                ""
            },
            describe(&recipe.generator)
        )
    });
    let published = plan.publish.iter().map(|recipe| {
        format!("{}: write, public key of {}", origin::shown(&recipe.public_key()), recipe.place)
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

/// Makes what `plan` says, once what is unknown there is known. What fails for one secret goes to `done`, the rest goes on.
fn work(
    args: &Generate,
    workspace: &Workspace,
    plan: &mut Plan,
    report: &Report,
    done: &mut Outcome,
) -> Result<()> {
    let made = plan.make.iter().map(|recipe| &*recipe.place.path);
    let given = workspace::given_recipients(&args.recipients, &args.recipient_files, report)?;
    let recipients = ParsedRecipients::new(made, &workspace.rules, &given)?;
    let interrupt = Interrupt::new()?;
    let prompt = Prompt::new(&interrupt, report);
    ensure_meant(args, plan, &prompt)?;
    let mut master = Master::read(&workspace.identities, &interrupt)?;
    // Read before they are opened: what somebody else writes after this is not replaced.
    let before = run::before(plan);
    let mut known = BTreeMap::new();
    for (path, outcome) in secret::open_all(&plan.sources(), &mut master, &prompt)? {
        match outcome {
            Ok(plaintext) => drop(known.insert(path, plaintext)),
            Err(error) => done.failures.push(error),
        }
    }
    if !plan.unknown.is_empty() {
        let found = presence::look(&plan.unknown, &known, &mut done.failures);
        let copies = Copies::new(&workspace.profiles, &workspace.cache.directory);
        let presence = |place: &Place| match found.get(place) {
            Some(presence) => *presence,
            None => copies.presence(place),
        };
        *plan = plan::plan(&workspace.profiles, &selection(args), Files::Opened, &presence)?;
    }
    shared::warn(plan, &workspace.profiles, report);
    shared::tell_of_others(plan, &workspace.profiles, &args.hosts, report);
    if plan.is_done() {
        return Ok(());
    }
    let recipients = recipients.with(&mut master, &prompt)?;
    let context = RunContext { root: &workspace.root, interrupt: &interrupt };
    Run::new(context, recipients, known, before, report).work(plan, done)
}
