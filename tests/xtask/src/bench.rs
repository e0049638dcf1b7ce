//! installed product + peers → a table of medians and ratios, on stdout.

mod boot;
mod desk;
mod host;
mod peers;

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use argh::FromArgs;
use xshell::{Shell, cmd};
use xtask::packages;
use xtask::system;
use xtask::triple;
use xtask::workspace::{self, Result};

use crate::install;

/// Measure the product beside its peers; a table of tab-separated values on stdout; as root
#[derive(FromArgs)]
#[argh(subcommand, name = "bench")]
pub(crate) struct Args {
    /// how often each short program runs (default 51)
    #[argh(option, default = "51")]
    rounds: usize,
    /// how often each system boots for one figure (default 5)
    #[argh(option, default = "5")]
    boots: usize,
    /// measure only what holds this word: generator, helper, switch, boot, renc, size
    #[argh(option)]
    only: Option<String>,
    /// set by itself: it already runs in a mount namespace of its own
    #[argh(switch)]
    inside: bool,
}

/// What the measurements share.
struct Bench {
    /// Runs commands in the work tree.
    sh: Shell,
    /// The product.
    prefix: PathBuf,
    /// Programs to measure against.
    peers: PathBuf,
    /// A folder for inputs and outputs, in memory.
    work: PathBuf,
    /// A static program that does nothing: no process can be faster.
    noop: PathBuf,
    /// See [`Args::rounds`].
    rounds: usize,
    /// See [`Args::boots`].
    boots: usize,
}

/// Prints the table. No figure is checked: a busy machine must not cause a failure.
///
/// # Errors
///
/// A program that is measured failed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let sh = workspace::shell()?;
    if !args.inside {
        return prepare(&sh, args);
    }
    // A tmpfs like /run: creating a thousand files on a disk would measure the disk. It ends with
    // the namespace.
    let work = workspace::target()?.join("bench");
    sh.create_dir(&work)?;
    cmd!(sh, "mount -t tmpfs -o mode=0755 vaultix-bench {work}").quiet().run()?;
    let noop = noop(&sh, &work)?;
    let prefix = workspace::target()?.join("stage");
    let peers = peers::folder()?;
    let bench = Bench { sh, prefix, peers, work, noop, rounds: args.rounds, boots: args.boots };
    let wanted = |what: &str| args.only.as_ref().is_none_or(|only| only == what);
    row(&["what", "n", "ours", "unit", "peer", "peer's", "ratio"])?;
    for (what, measure) in [
        ("generator", Bench::generator as fn(&Bench) -> Result<()>),
        ("helper", Bench::helper),
        ("switch", Bench::switch),
        ("boot", Bench::boot),
        ("renc", Bench::renc),
        ("size", Bench::size),
    ] {
        if wanted(what) {
            eprintln!("bench: {what}");
            measure(&bench)?;
        }
    }
    Ok(())
}

/// Installs what is needed, builds the product, and runs this program again in its own mount
/// namespace.
fn prepare(sh: &Shell, args: &Args) -> Result<()> {
    packages::ensure(sh, packages::BOOT)?;
    packages::ensure(sh, packages::BENCH)?;
    if !packages::is_root(sh)? {
        return Err("mounting a ramfs and booting a container take root".into());
    }
    system::make(sh)?;
    install::into(&workspace::target()?.join("stage"))?;
    peers::make(sh)?;
    let this = env::current_exe()?;
    let (rounds, boots) = (args.rounds.to_string(), args.boots.to_string());
    let only = args.only.iter().flat_map(|only| ["--only", only]);
    let only: Vec<&str> = only.collect();
    cmd!(
        sh,
        "unshare --mount --propagation private
            {this} bench --inside --rounds {rounds} --boots {boots} {only...}"
    )
    .quiet()
    .run()?;
    Ok(())
}

impl Bench {
    /// Sizes on disk, in bytes.
    fn size(&self) -> Result<()> {
        let noop = size(&self.noop)?;
        for program in [
            "lib/systemd/system-generators/vaultix-generator",
            "bin/vaultix-decrypt",
            "bin/vaultix",
        ] {
            let ours = size(&self.prefix.join(program))?;
            figure(&format!("size of {program}"), 1, ours, "bytes", "static no-op", noop)?;
        }
        Ok(())
    }

    /// Runs each of the commands once a round and returns the median of each, in milliseconds.
    ///
    /// Taking turns spreads fluctuations of the machine evenly. `before` runs before each, untimed.
    fn interleave<const N: usize>(
        &self,
        mut commands: [&mut Command; N],
        before: &dyn Fn() -> Result<()>,
    ) -> Result<[f64; N]> {
        let mut times = [const { Vec::new() }; N];
        for _ in 0..self.rounds {
            for (command, times) in commands.iter_mut().zip(&mut times) {
                before()?;
                times.push(time(command)?);
            }
        }
        Ok(times.map(median))
    }
}

/// Returns a host's profile with `n` secrets.
fn host_profile(n: usize, mount_point: &str, recipient: &str) -> String {
    let secret = |i| format!(r#""secret-{i}": {{ "cipher": "/etc/vaultix/cache/{i}" }}"#);
    let secrets: Vec<String> = (0..n).map(secret).collect();
    format!(
        r#"{{ "version": 1, "settings": {{ "hostIdentifier": "bench", "hostPubkey": "{recipient}",
        "decryptedMountPoint": "{mount_point}", "decryptedDir": "/run/vaultix",
        "hostKeys": [{{ "path": "/etc/ssh/ssh_host_ed25519_key", "type": "ed25519" }}] }},
        "secrets": {{ {} }} }}"#,
        secrets.join(",")
    )
}

/// Creates an ssh key, if it does not exist, and returns its public key.
fn ssh_key(sh: &Shell, path: &Path) -> Result<String> {
    if let Some(folder) = path.parent() {
        sh.create_dir(folder)?;
    }
    if !path.exists() {
        cmd!(sh, "ssh-keygen -q -t ed25519 -N '' -C '' -f {path}").quiet().run()?;
    }
    Ok(sh.read_file(path.with_extension("pub"))?.trim().to_owned())
}

/// Encrypts with the real age.
fn encrypt(sh: &Shell, recipient: &str, plaintext: &str) -> Result<Vec<u8>> {
    Ok(cmd!(sh, "age -r {recipient}").stdin(plaintext).quiet().output()?.stdout)
}

/// Builds the program that does nothing, like the two programs of a host.
fn noop(sh: &Shell, work: &Path) -> Result<PathBuf> {
    let (source, program) = (work.join("noop.rs"), work.join("noop"));
    let triple = triple::boot_side(sh)?;
    fs::write(&source, "fn main() {}\n")?;
    cmd!(
        sh,
        "rustc --target {triple} -C opt-level=s -C lto=fat -C codegen-units=1 -C target-feature=+crt-static
            -C relocation-model=static -C panic=abort -C strip=symbols -o {program} {source}"
    )
    .quiet()
    .run()?;
    Ok(program)
}

/// Runs a command and returns the milliseconds from its start to its end.
fn time(command: &mut Command) -> Result<f64> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let begin = Instant::now();
    let status = command.status()?;
    let took = begin.elapsed().as_secs_f64() * 1000.0;
    if !status.success() {
        return Err(format!("{}: {status}", command.get_program().display()).into());
    }
    Ok(took)
}

/// Returns the peak resident memory of a command, in KiB.
fn peak(sh: &Shell, command: &Command) -> Result<f64> {
    let (program, args) = (command.get_program(), command.get_args());
    let said = cmd!(sh, "time --quiet --format=%M {program} {args...}").quiet().read_stderr()?;
    Ok(said.lines().last().ok_or("time says nothing")?.trim().parse()?)
}

/// Returns the processor time of a command in milliseconds, in user space and in the kernel.
fn cpu(sh: &Shell, command: &Command) -> Result<f64> {
    let (program, args) = (command.get_program(), command.get_args());
    let said = cmd!(sh, "perf stat -x, -e task-clock {program} {args...}")
        .quiet()
        .ignore_stdout()
        .read_stderr()?;
    let line = said.lines().find(|line| line.contains("task-clock")).ok_or("perf says nothing")?;
    Ok(line.split(',').next().unwrap_or_default().parse()?)
}

/// Returns a file's size in bytes.
fn size(path: &Path) -> Result<f64> {
    let bytes = u32::try_from(fs::metadata(path)?.len())?;
    Ok(f64::from(bytes))
}

/// Returns the median; of an even number of values, the upper of the middle ones.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Prints one comparison.
fn figure(what: &str, n: usize, ours: f64, unit: &str, peer: &str, theirs: f64) -> Result<()> {
    let number =
        |value: f64| if value >= 1000.0 { format!("{value:.0}") } else { format!("{value:.2}") };
    let ratio = format!("{:.3}", ours / theirs);
    row(&[what, &n.to_string(), &number(ours), unit, peer, &number(theirs), &ratio])
}

/// Prints one line of the table.
fn row(cells: &[&str]) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{}", cells.join("\t"))?)
}
