//! models of the product → a search for bytes on which product and model disagree.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, iter, thread};

use argh::FromArgs;
use xshell::{Cmd, Shell, cmd};
use xtask::aloud;
use xtask::packages::{self, Program};
use xtask::workspace::{self, Result};

/// Search for input that breaks what has to hold, with cargo-fuzz; takes a nightly compiler
#[derive(FromArgs)]
#[argh(subcommand, name = "fuzz")]
pub(crate) struct Args {
    /// how long to search with each target; default 60
    #[argh(option, default = "60")]
    seconds: u64,
    /// build the targets, and search nothing
    #[argh(switch)]
    build: bool,
    /// search with this target alone; escape, header, plan, profile, template or unit
    #[argh(positional)]
    target: Option<String>,
}

/// What `libFuzzer` is built with.
const COMPILER: &[Program] = &[("g++", "g++")];

/// The fuzzer's version that this was tried with.
const VERSION: &str = "0.13";

/// Longest input, in bytes: long enough for a profile of some items.
const MAX_BYTES: &str = "4096";

/// Searches from the seeds in `fuzz/seeds` and from what earlier runs found worth keeping, in `target/fuzz-corpus`.
///
/// Without the address sanitizer: neither our code nor the models contain `unsafe`, and the search
/// is several times as fast without it.
///
/// # Errors
///
/// Something is missing; or a target failed, and the fuzzer has printed the bytes. Copy them to
/// `fuzz/seeds` to make them a test.
pub(crate) fn run(args: &Args) -> Result<()> {
    let sh = workspace::shell()?;
    ensure_tools(&sh)?;
    let targets = targets()?;
    let chosen: Vec<&String> =
        targets.iter().filter(|name| args.target.as_ref().is_none_or(|it| it == *name)).collect();
    if chosen.is_empty() {
        return Err(format!("there is no such target; there are {}", targets.join(", ")).into());
    }
    // All at once, or the single target: building one after the other leaves processors idle.
    cargo_fuzz(&sh, "build", args.target.as_slice())?.run()?;
    if args.build {
        return Ok(());
    }
    let next = AtomicUsize::new(0);
    let searches = || -> Vec<String> {
        let one = || chosen.get(next.fetch_add(1, Ordering::Relaxed));
        let failed = |name: &String| search(name, args.seconds).err();
        iter::from_fn(one).filter_map(|name| failed(name)).collect()
    };
    // A search keeps one processor busy.
    let failures: Vec<String> = thread::scope(|scope| {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..processors).map(|_| scope.spawn(searches)).collect();
        let panicked = |_| vec!["a search has panicked".to_owned()];
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(panicked)).collect()
    });
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
}

/// Searches with the target `name`, which has been built, and prints what it said when it has ended.
fn search(name: &str, seconds: u64) -> std::result::Result<(), String> {
    let search = || -> Result<()> {
        let sh = workspace::shell()?;
        let built = workspace::target()?;
        let corpus = built.join("fuzz-corpus").join(name);
        let crashes = built.join("fuzz-crashes").join(name);
        sh.create_dir(&corpus)?;
        sh.create_dir(&crashes)?;
        let options = [
            format!("-max_total_time={seconds}"),
            format!("-max_len={MAX_BYTES}"),
            format!("-artifact_prefix={}/", crashes.display()),
            "-verbosity=0".to_owned(),
            "-print_final_stats=1".to_owned(),
        ];
        let seeds = format!("fuzz/seeds/{name}");
        aloud::say(&format!("xtask: fuzzing {name} for {seconds} s"));
        let output = cargo_fuzz(&sh, "run", &[name])?
            .args([corpus.as_path(), Path::new(&seeds)])
            .arg("--")
            .args(options)
            .ignore_status()
            .output()?;
        let said = [output.stdout, output.stderr].concat();
        aloud::say(&format!("{name}:\n{}", String::from_utf8_lossy(&said).trim_end()));
        if output.status.success() {
            return Ok(());
        }
        Err(format!("{name}: {}; see {}", output.status, crashes.display()).into())
    };
    search().map_err(|error| error.to_string())
}

/// Returns the command that builds or runs `targets`.
fn cargo_fuzz<'a>(sh: &'a Shell, verb: &str, targets: &[impl AsRef<OsStr>]) -> Result<Cmd<'a>> {
    let built = workspace::target()?.join("fuzz");
    let flags = ["--fuzz-dir", "fuzz", "--sanitizer", "none", "--target-dir"];
    let command = cmd!(sh, "cargo +nightly fuzz {verb} {flags...} {built} {targets...}");
    Ok(command.quiet().env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN"))
}

/// Makes sure that the fuzzer is installed.
///
/// # Errors
///
/// There is no nightly compiler, or cargo-fuzz cannot be installed.
fn ensure_tools(sh: &Shell) -> Result<()> {
    if !has_nightly(sh) {
        return Err("there is no nightly compiler: rustup toolchain install nightly".into());
    }
    packages::ensure(sh, COMPILER)?;
    if cmd!(sh, "cargo fuzz --version").quiet().ignore_stderr().read().is_err() {
        eprintln!("xtask: cargo install cargo-fuzz, once, about three minutes");
        cmd!(sh, "cargo install --quiet --locked cargo-fuzz@^{VERSION}").run()?;
    }
    Ok(())
}

/// Returns whether there is a nightly compiler.
fn has_nightly(sh: &Shell) -> bool {
    let version = cmd!(sh, "cargo +nightly --version").env_remove("RUSTUP_TOOLCHAIN");
    version.quiet().ignore_stderr().read().is_ok()
}

/// Returns the names of all targets.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(workspace::root()?.join("fuzz/fuzz_targets"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".rs").map(str::to_owned));
    }
    names.sort();
    Ok(names)
}
