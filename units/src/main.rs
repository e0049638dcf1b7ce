//! argv → one placed item or a switch, and an exit status.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use dlmalloc::GlobalDlmalloc;
use vaultix_generator::profile::{HostKeyKind, Layout, Manager, Profile, Side};
use vaultix_generator::status::Status;
use vaultix_units::args::{self, Enroll, Invocation, Verb};
use vaultix_units::boot::fresh::{self, stamp};
use vaultix_units::boot::{place_all, put_at_paths, start_rest};
use vaultix_units::check::check;
use vaultix_units::creds::{Creds, Key};
use vaultix_units::earlier::Earlier;
use vaultix_units::enroll::{self, Place, Seal};
use vaultix_units::failure::{Failure, Level, log};
use vaultix_units::harden::harden;
use vaultix_units::item::describe_task;
use vaultix_units::mounts;
use vaultix_units::other_link;
use vaultix_units::path::queue;
use vaultix_units::place;
use vaultix_units::retry::retry;
use vaultix_units::switch::{Jobs, Phase, preview, switch};
use vaultix_units::unseal::unseal;
use vaultix_units::{trusted, user, users};
use zeroizing_alloc::ZeroAlloc;

/// Wipes all freed memory: age leaves copies of the plaintext and of the key's text on the heap.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<GlobalDlmalloc> = ZeroAlloc(GlobalDlmalloc);

fn main() -> ExitCode {
    // Cannot fail with the unit's limits, which forbid core dumps as well.
    let _ = harden();
    // Every file is made with a mode of its own; this only gives the parents of custom paths mode 0755 in any unit.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // The text of a panic could contain anything; what should never happen ends in an exit status.
    std::panic::set_hook(Box::new(|_| {
        log(Level::Error, "internal error: this is a bug in vaultix-decrypt");
        std::process::exit(Status::Software as i32);
    }));
    let Some(invocation) = args::parse(std::env::args_os().skip(1)) else {
        let _ = writeln!(std::io::stderr(), "{}", args::USAGE);
        return Status::Usage.into();
    };
    match source_of(&invocation).and_then(|source| run(&invocation.verb, source)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(status) => status.into(),
    }
}

/// The profile, and whose it is.
#[derive(Clone, Copy)]
struct Source<'a> {
    path: &'a Path,
    layout: Layout,
}

/// Returns the profile of `invocation`. Whether this program may be run for a user is known before anything is read.
fn source_of(invocation: &Invocation) -> Result<Source<'_>, Status> {
    let layout = match invocation.manager {
        Manager::System => Layout::Host,
        Manager::User => {
            Layout::User(user::runner().map_err(|failure| gone("use --user", &failure))?)
        }
    };
    Ok(Source { path: &invocation.profile, layout })
}

/// Runs the verb, and reports each failure.
fn run(verb: &Verb, source: Source) -> Result<(), Status> {
    let Source { path, layout } = source;
    match verb {
        Verb::Help => {
            print(args::USAGE);
            Ok(())
        }
        Verb::Version => {
            print(concat!("vaultix-decrypt ", env!("CARGO_PKG_VERSION")));
            Ok(())
        }
        Verb::Item(kind, id) if layout == Layout::Host && fresh::take(path, &kind.unit(id)) => {
            Ok(())
        }
        Verb::Item(kind, id) => {
            let before = stamp(path);
            let is_current = || stamp(path) == before;
            place::place_item(&read(source)?, *kind, id, is_current).map_err(|failure| {
                log(
                    Level::Error,
                    &format!("cannot {}: {}", describe_task(*kind, id), failure.reason),
                );
                failure.status
            })
        }
        Verb::Boot { phase } => {
            let before = stamp(path);
            let count = place_all(&read(source)?, *phase, before, &|| stamp(path));
            let count = count.map_err(|failure| gone("place all items", &failure))?;
            log(Level::Info, &format!("{count} placed"));
            Ok(())
        }
        Verb::Paths { mount } => {
            let before = stamp(path);
            let is_current = || stamp(path) == before;
            let count = put_at_paths(&read(source)?, mount.as_deref(), &is_current);
            let count = count.map_err(|failure| gone("put items at their paths", &failure))?;
            log(Level::Info, &format!("{count} put at paths of their own"));
            Ok(())
        }
        Verb::Rest => start_rest(&read(source)?)
            .map_err(|failure| gone("start the units of all items", &failure)),
        Verb::Switch { phase } => {
            let earlier = if layout == Layout::Host { Earlier::read(*phase) } else { None };
            let result = switch_to(source, *phase);
            if let Some(earlier) = earlier {
                earlier.repeat();
            }
            result
        }
        Verb::Preview { phase } => {
            let preview = preview(&read(source)?, *phase)
                .map_err(|failure| gone("preview the switch", &failure))?;
            print(&preview.to_string());
            if preview.has_failures() { Err(Status::SomeFailed) } else { Ok(()) }
        }
        Verb::Link { path: link, remove } => {
            let settings = read(source)?.settings;
            let work = if *remove { other_link::remove } else { other_link::make };
            work(&settings, link).map_err(|failure| {
                log(Level::Error, &format!("cannot link {}: {}", link.display(), failure.reason));
                failure.status
            })
        }
        Verb::Notify => users::pass_on(&read(source)?.settings).map_err(|failure| {
            log(Level::Error, &format!("cannot notify units: {}", failure.reason));
            failure.status
        }),
        Verb::Convert => mounts::convert(&read(source)?.settings).map_err(|failure| {
            log(Level::Error, &format!("cannot hide the ramfs: {}", failure.reason));
            failure.status
        }),
        Verb::Enroll(options) => enroll(options, source),
        Verb::Unseal(path) => unseal(path).map_err(|failure| {
            let shown = path.display();
            gone(&format!("unseal the host key {shown}"), &failure)
        }),
        Verb::Retry => retry(&read(source)?.settings).map_err(|failure| {
            log(Level::Error, &format!("cannot try again: {}", failure.reason));
            failure.status
        }),
        Verb::Fail(reason) => {
            log(Level::Error, reason);
            Err(Status::Config)
        }
        Verb::Check => {
            let checked = check(&read(source)?);
            report(&checked.failures)?;
            print(&checked.to_string());
            Ok(())
        }
        // The parent process reports what was not done.
        Verb::PathJobs => {
            queue::serve(std::io::stdin(), std::io::stdout()).map_err(|_| Status::Software)
        }
    }
}

/// Switches the items of `phase` to the profile `path`, and reports each failure.
fn switch_to(source: Source, phase: Phase) -> Result<(), Status> {
    loop {
        let before = stamp(source.path);
        let outcome = switch(&read(source)?, phase, Jobs::Queue).map_err(|failure| {
            log(Level::Error, &format!("cannot switch: {}", failure.reason));
            failure.status
        })?;
        if outcome.made > 0 || outcome.removed > 0 {
            log(Level::Info, &outcome.to_string());
        }
        // If the profile is replaced while this runs, no other switch is started: systemd merges the two jobs.
        if stamp(source.path) == before {
            return report(&outcome.failures);
        }
    }
}

/// Makes an identity for this host, or for a user, and says what the configuration has to say of it.
fn enroll(options: &Enroll, source: Source) -> Result<(), Status> {
    let mut systemctl = Path::new("systemctl").to_owned();
    let (mut path, mut key) = (options.path.clone(), options.seal);
    if options.is_unit {
        let settings = read(source)?.settings;
        let kinds = [HostKeyKind::Age, HostKeyKind::Credential];
        if let Some(of) = settings.host_keys.into_iter().find(|key| kinds.contains(&key.kind)) {
            path = Some(of.path);
            key = (of.kind == HostKeyKind::Credential).then_some(Key::Auto);
        }
        systemctl = settings.systemctl.program;
    }
    let (default, whose) = match source.layout {
        Layout::Host if key.is_some() => (enroll::DEFAULT_SEALED_PATH.into(), "this host"),
        Layout::Host => (enroll::DEFAULT_PATH.into(), "this host"),
        Layout::User(_) => (user::default_identity(), "this user"),
    };
    let path = path.unwrap_or(default);
    let root = options.root.as_deref().unwrap_or(Path::new("/"));
    let creds = Creds::beside(&systemctl);
    let seal = key.map(|key| Seal { creds, key, pcrs: options.pcrs.clone() });
    let is_sealed = seal.is_some();
    let owner = source.layout.owner();
    let place = Place { path: &path, root, owner, is_small: options.is_small, seal };
    let enrolled = place.enroll().map_err(|failure| gone(&format!("enroll {whose}"), &failure))?;
    let shown = path.display();
    let lines = enroll::configuration(&enrolled.recipient, &path, source.layout, is_sealed);
    if options.is_unit {
        let [line, _] = lines;
        log(
            Level::Error,
            &format!(
                "this host has an identity, {shown}, but no secrets: nothing is encrypted to it yet; where its configuration \
                 is, set {line} then run: vaultix renc"
            ),
        );
        return Err(Status::Config);
    }
    let is_chosen = key.is_some_and(|key| key != Key::Auto) || options.pcrs.is_some();
    let what = match (enrolled.is_new, is_chosen) {
        (true, _) => "created",
        (false, false) => "was there already",
        (false, true) => {
            "was there already, and is sealed as before: --seal-with and --pcrs are for a new one"
        }
    };
    let steps = format!("to encrypt secrets to it, set in the configuration of {whose}:");
    log(Level::Info, &format!("{shown} {what}; {steps}"));
    // To be copied, so without the name of this program in front.
    for line in lines {
        let _ = writeln!(std::io::stderr(), "  {line}");
    }
    print(&enrolled.recipient);
    Ok(())
}

/// Reports that `what` failed, and returns the exit status.
fn gone(what: &str, failure: &Failure) -> Status {
    log(Level::Error, &format!("cannot {what}: {}", failure.reason));
    failure.status
}

/// Reports what failed of several items.
fn report(failures: &[(String, Failure)]) -> Result<(), Status> {
    for (what, failure) in failures {
        log(Level::Error, &format!("cannot {what}: {}", failure.reason));
    }
    if failures.is_empty() { Ok(()) } else { Err(Status::SomeFailed) }
}

/// Prints an answer. A closed pipe is not a failure.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Reads the profile, and reports why it cannot be used.
fn read(Source { path, layout }: Source) -> Result<Profile, Status> {
    let read = match layout {
        Layout::Host => vaultix_generator::read_profile(path, Side::Host),
        Layout::User(uid) => {
            vaultix_generator::read_profile_from(path, Side::Host, || trusted::open(path, uid))
        }
    };
    let reason = match read {
        Ok(Some(mut profile)) => match layout {
            Layout::Host => return Ok(profile),
            Layout::User(uid) => match user::adopt(&mut profile, uid) {
                Ok(()) => return Ok(profile),
                Err(failure) => failure.reason,
            },
        },
        Ok(None) => "it does not exist".to_owned(),
        Err(reason) => reason,
    };
    log(Level::Error, &format!("cannot use the profile {}: {reason}", path.display()));
    Err(Status::Config)
}
