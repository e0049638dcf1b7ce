//! models of the product → a search for bytes on which product and model disagree.

use std::fs;

use argh::FromArgs;
use xshell::{Shell, cmd};
use xtask::packages::{self, Program};
use xtask::workspace::{self, Result};

/// Search for input that breaks what has to hold, with cargo-fuzz; takes a nightly compiler
#[derive(FromArgs)]
#[argh(subcommand, name = "fuzz")]
pub(crate) struct Args {
    /// how long to search with each target; default 60
    #[argh(option, default = "60")]
    seconds: u64,
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
    let built = workspace::target()?;
    let flags = ["--fuzz-dir", "fuzz", "--sanitizer", "none", "--target-dir"];
    for name in chosen {
        let corpus = built.join("fuzz-corpus").join(name);
        let crashes = built.join("fuzz-crashes").join(name);
        sh.create_dir(&corpus)?;
        sh.create_dir(&crashes)?;
        let search = [
            format!("-max_total_time={}", args.seconds),
            format!("-max_len={MAX_BYTES}"),
            format!("-artifact_prefix={}/", crashes.display()),
            "-verbosity=0".to_owned(),
            "-print_final_stats=1".to_owned(),
        ];
        let seeds = format!("fuzz/seeds/{name}");
        let target_dir = built.join("fuzz");
        eprintln!("xtask: fuzzing {name} for {} s", args.seconds);
        cmd!(
            sh,
            "cargo +nightly fuzz run {flags...} {target_dir} {name} {corpus} {seeds} -- {search...}"
        )
        .quiet()
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN")
        .run()
        .map_err(|error| format!("{error}; see {}", crashes.display()))?;
    }
    Ok(())
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
