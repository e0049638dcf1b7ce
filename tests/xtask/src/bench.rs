//! installed product + peers → one table of medians and ratios, on stdout.

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use argh::FromArgs;
use xshell::{Shell, cmd};
use xtask::container::Container;
use xtask::packages;
use xtask::system::{self, System};
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

/// Everything that the measurements share.
struct Bench {
    /// Runs commands in the work tree.
    sh: Shell,
    /// The product.
    prefix: PathBuf,
    /// A folder for inputs and outputs, in memory.
    work: PathBuf,
    /// A static program that does nothing, the floor for any process.
    noop: PathBuf,
    /// See [`Args::rounds`].
    rounds: usize,
    /// See [`Args::boots`].
    boots: usize,
}

/// Prints the table. No figure is judged: a busy machine must not fail anything.
///
/// # Errors
///
/// A program that is measured failed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let sh = workspace::shell()?;
    if !args.inside {
        return prepare(&sh, args);
    }
    // As /run is; making a thousand files on a disk would measure the disk. Gone with the namespace.
    let work = workspace::target()?.join("bench");
    sh.create_dir(&work)?;
    cmd!(sh, "mount -t tmpfs -o mode=0755 vaultix-bench {work}").quiet().run()?;
    let noop = noop(&sh, &work)?;
    let prefix = workspace::target()?.join("stage");
    let bench = Bench { sh, prefix, work, noop, rounds: args.rounds, boots: args.boots };
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

/// Installs what is needed, builds the product, and starts this program anew where it may mount.
fn prepare(sh: &Shell, args: &Args) -> Result<()> {
    packages::ensure(sh, packages::BOOT)?;
    packages::ensure(sh, packages::BENCH)?;
    if !packages::is_root(sh)? {
        return Err("mounting a ramfs and booting a container take root".into());
    }
    system::make(sh)?;
    install::into(&workspace::target()?.join("stage"))?;
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
    /// The generator beside systemd's own for as many lines of fstab, each into empty folders.
    fn generator(&self) -> Result<()> {
        let ours = self.prefix.join("lib/systemd/system-generators/vaultix-generator");
        let theirs = Path::new("/usr/lib/systemd/system-generators/systemd-fstab-generator");
        for n in [10, 100, 1000] {
            let profile = self.work.join(format!("profile-{n}.json"));
            fs::write(&profile, host_profile(n, "/run/vaultix.d", "ssh-ed25519 AAAA"))?;
            let fstab = self.work.join(format!("fstab-{n}"));
            let line = |i| format!("tmpfs /srv/mount{i} tmpfs defaults,nosuid 0 0\n");
            fs::write(&fstab, (0..n).map(line).collect::<String>())?;
            let [one, two, three] = ["normal", "early", "late"].map(|name| self.work.join(name));
            let fresh = || -> Result<()> {
                for folder in [&one, &two, &three] {
                    self.sh.remove_path(folder)?;
                    self.sh.create_dir(folder)?;
                }
                Ok(())
            };
            let mut mine = Command::new(&ours);
            mine.arg("--profile").arg(&profile).args([&one, &two, &three]);
            let mut peer = Command::new(theirs);
            peer.env("SYSTEMD_FSTAB", &fstab).args([&one, &two, &three]);
            let mut floor = Command::new(&self.noop);
            let [mine, peer, floor] =
                self.interleave([&mut mine, &mut peer, &mut floor], &fresh)?;
            figure("generator", n, mine, "ms", "systemd-fstab-generator", peer)?;
            figure("generator", n, mine, "ms", "static no-op", floor)?;
        }
        Ok(())
    }

    /// The helper with one secret on a real ramfs, beside a program that does nothing.
    ///
    /// Once with the file already in place, so that nothing is told of a change, and once without.
    fn helper(&self) -> Result<()> {
        let host = self.host(1)?;
        let mut mine = Command::new(self.prefix.join("bin/vaultix-decrypt"));
        mine.arg("secret").arg("--profile").arg(&host.profile).args(["--", "secret-0"]);
        let mut floor = Command::new(&self.noop);
        let [same, noop] = self.interleave([&mut mine, &mut floor], &|| Ok(()))?;
        figure("helper, nothing new", 1, same, "ms", "static no-op", noop)?;
        let empty = || Ok(self.sh.remove_path(host.ramfs.join("1"))?);
        let [new, noop] = self.interleave([&mut mine, &mut floor], &empty)?;
        figure("helper, first secret", 1, new, "ms", "static no-op", noop)?;
        let [ours, none] = [peak(&self.sh, &mine)?, peak(&self.sh, &floor)?];
        figure("helper, peak memory", 1, ours, "KiB", "static no-op", none)
    }

    /// A switch between two profiles: all secrets are new, one of them has changed, none has.
    fn switch(&self) -> Result<()> {
        let n = 100;
        let host = self.host(n)?;
        let recipient = ssh_key(&self.sh, &self.work.join("host-key"))?;
        let other = self.work.join("other.json");
        let changed = self.work.join("cache/changed");
        fs::write(&changed, encrypt(&self.sh, &recipient, "another plaintext")?)?;
        let cipher = |path: &Path| format!("\"{}\"", path.display());
        let text = fs::read_to_string(&host.profile)?
            .replace(&cipher(&self.work.join("cache/0")), &cipher(&changed));
        fs::write(&other, text)?;
        let to = |profile: &Path| {
            let mut command = Command::new(self.prefix.join("bin/vaultix-decrypt"));
            command.arg("switch").arg("--profile").arg(profile);
            command
        };
        let (mut there, mut back) = (to(&host.profile), to(&other));
        let mut floor = Command::new(&self.noop);
        let empty = || -> Result<()> {
            for entry in fs::read_dir(&host.ramfs)? {
                fs::remove_dir_all(entry?.path())?;
            }
            Ok(())
        };
        let [all, noop] = self.interleave([&mut there, &mut floor], &empty)?;
        figure("switch, all are new", n, all, "ms", "static no-op", noop)?;
        let [one, two] = self.interleave([&mut there, &mut back], &|| Ok(()))?;
        figure("switch, one has changed", n, one.midpoint(two), "ms", "static no-op", noop)?;
        time(&mut there)?;
        let [none] = self.interleave([&mut there], &|| Ok(()))?;
        figure("switch, nothing to do", n, none, "ms", "static no-op", noop)
    }

    /// All secrets at boot, from the first unit's start to the target, beside the same units with a
    /// program in them that does nothing.
    fn boot(&self) -> Result<()> {
        for system in [System::Bookworm, System::Trixie] {
            for n in [10, 50, 100] {
                let (mut ours, mut peers) = (Vec::new(), Vec::new());
                for _ in 0..self.boots {
                    ours.push(self.boot_once(system, n, false)?);
                    peers.push(self.boot_once(system, n, true)?);
                }
                let what = format!("boot, {}", system.name());
                let peer = "the same units, static no-op";
                figure(&what, n, median(ours), "ms", peer, median(peers))?;
            }
        }
        Ok(())
    }

    /// Boots a host with `n` secrets and returns the milliseconds that they took.
    fn boot_once(&self, system: System, n: usize, idle: bool) -> Result<f64> {
        let mut container = Container::new(&system.root()?, "bench")?;
        container.install(&self.prefix)?;
        let key = container.layer("/etc/ssh/ssh_host_ed25519_key");
        let recipient = ssh_key(&self.sh, &key)?;
        let profile = host_profile(n, "/run/vaultix.d", &recipient);
        container.put("/etc/vaultix/profile.json", profile)?;
        for i in 0..n {
            let ciphertext = encrypt(&self.sh, &recipient, &format!("plaintext {i}"))?;
            container.put(&format!("/etc/vaultix/cache/{i}"), ciphertext)?;
            if idle {
                container.put(
                    &format!(
                        "/etc/systemd/system/vaultix-secret@secret\\x2d{i}.service.d/idle.conf"
                    ),
                    "[Service]\nExecStart=\nExecStart=/opt/noop\n",
                )?;
            }
        }
        container.nspawn(&format!("--bind-ro={}:/opt/noop", self.noop.display()));
        container.put("/etc/systemd/system/timing.service", TIMING)?;
        container.init("systemd.unit=timing.service");
        let status = container.boot()?;
        if !status.success() {
            return Err(format!("systemd-nspawn: {status}").into());
        }
        let times = fs::read_to_string(container.out().join("times"))?;
        let mut times = times
            .split_whitespace()
            .map(str::parse::<f64>)
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let failed = fs::read_to_string(container.out().join("failed"))?;
        if !failed.trim().is_empty() {
            return Err(format!("units failed: {failed}").into());
        }
        let end = times.pop().ok_or("the target has no time")?;
        let begin = times.into_iter().reduce(f64::min).ok_or("no secret has a time")?;
        Ok((end - begin) / 1000.0)
    }

    /// `vaultix renc` for 100 secrets and 10 hosts, all anew and with nothing to do, beside a pair of
    /// `age` processes for each.
    fn renc(&self) -> Result<()> {
        let desk = self.work.join("desk");
        let identity = desk.join("identity.txt");
        self.sh.create_dir(desk.join("secrets"))?;
        cmd!(self.sh, "age-keygen -o {identity}").quiet().ignore_stderr().run()?;
        let recipient = cmd!(self.sh, "age-keygen -y {identity}").quiet().read()?;
        let mut secrets = Vec::new();
        for i in 0..100 {
            let file = desk.join(format!("secrets/{i}.age"));
            fs::write(&file, encrypt(&self.sh, &recipient, &format!("plaintext {i}"))?)?;
            secrets.push(format!(r#""secret-{i}": {{ "file": "{}" }}"#, file.display()));
        }
        let secrets = secrets.join(",");
        let mut mine = Command::new(self.prefix.join("bin/vaultix"));
        for host in 0..10 {
            let key = ssh_key(&self.sh, &desk.join(format!("host-{host}")))?;
            let profile = desk.join(format!("host-{host}.json"));
            let text = format!(
                r#"{{ "version": 1, "settings": {{ "hostIdentifier": "host-{host}",
                "hostPubkey": "{key}", "hostKeys": [] }}, "secrets": {{ {secrets} }} }}"#
            );
            fs::write(&profile, text)?;
            mine.arg("-p").arg(profile);
        }
        let cache = desk.join("cache");
        mine.arg("renc").arg("-q").arg("--identity").arg(&identity).arg("--cache").arg(&cache);
        let few = self.rounds.div_ceil(10);
        let mut fresh = Vec::new();
        for _ in 0..few {
            self.sh.remove_path(&cache)?;
            self.sh.create_dir(&cache)?;
            fresh.push(time(&mut mine)?);
        }
        let mut idle = Vec::new();
        for _ in 0..few {
            idle.push(time(&mut mine)?);
        }
        let pipe = format!(
            "age -d -i {} {} | age -r '{recipient}' >/dev/null",
            identity.display(),
            desk.join("secrets/0.age").display()
        );
        let mut age = Command::new("sh");
        age.args(["-c", &pipe]);
        let [pair] = self.interleave([&mut age], &|| Ok(()))?;
        let pair = 1000.0 * pair;
        figure("renc, fresh, per pair", 1000, median(fresh), "µs", "age -d | age -r", pair)?;
        let noop = self.interleave([&mut Command::new(&self.noop)], &|| Ok(()))?[0];
        figure("renc, nothing to do", 1000, median(idle), "ms", "static no-op", noop)
    }

    /// Bytes on disk.
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
    /// Taking turns spreads the machine's moods evenly. `before` runs before each, untimed.
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

    /// Makes a host with `n` secrets outside of any container, on a ramfs of its own.
    fn host(&self, n: usize) -> Result<Host> {
        let ramfs = self.work.join(format!("ramfs-{n}"));
        self.sh.create_dir(&ramfs)?;
        cmd!(self.sh, "mount -t ramfs -o mode=0751,nosuid,nodev,noexec ramfs {ramfs}")
            .quiet()
            .run()?;
        let recipient = ssh_key(&self.sh, &self.work.join("host-key"))?;
        let profile = self.work.join(format!("host-{n}.json"));
        let text = host_profile(n, &ramfs.display().to_string(), &recipient)
            .replace(
                "/etc/ssh/ssh_host_ed25519_key",
                &self.work.join("host-key").display().to_string(),
            )
            .replace("/run/vaultix\"", &format!("{}\"", self.work.join("current").display()))
            .replace("/etc/vaultix/cache", &self.work.join("cache").display().to_string());
        fs::write(&profile, text)?;
        self.sh.create_dir(self.work.join("cache"))?;
        for i in 0..n {
            let ciphertext = encrypt(&self.sh, &recipient, &format!("plaintext {i}"))?;
            fs::write(self.work.join(format!("cache/{i}")), ciphertext)?;
        }
        Ok(Host { profile, ramfs })
    }
}

/// A host outside of any container.
struct Host {
    /// Its profile.
    profile: PathBuf,
    /// Its ramfs.
    ramfs: PathBuf,
}

/// Starts after all secrets, notes when each unit began and when the target was reached.
const TIMING: &str = r"[Unit]
Wants=dbus.socket
[Service]
ExecStart=/bin/sh -c 'systemctl show --property=InactiveExitTimestampMonotonic --value vaultix-secret@* >/out/times; \
    systemctl show --property=ActiveEnterTimestampMonotonic --value vaultix.target >>/out/times; \
    systemctl --failed --plain --no-legend >/out/failed; systemctl poweroff'
";

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

/// Makes an ssh key and returns its public half.
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

/// Builds the program that does nothing.
fn noop(sh: &Shell, work: &Path) -> Result<PathBuf> {
    let (source, program) = (work.join("noop.rs"), work.join("noop"));
    fs::write(&source, "fn main() {}\n")?;
    cmd!(
        sh,
        "rustc -O -C target-feature=+crt-static -C relocation-model=static -C panic=abort
            -C strip=symbols -o {program} {source}"
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

/// Returns the most memory that a command ever had resident, in KiB.
fn peak(sh: &Shell, command: &Command) -> Result<f64> {
    let (program, args) = (command.get_program(), command.get_args());
    let said = cmd!(sh, "time --quiet --format=%M {program} {args...}").quiet().read_stderr()?;
    Ok(said.lines().last().ok_or("time says nothing")?.trim().parse()?)
}

/// Returns a file's size in bytes.
fn size(path: &Path) -> Result<f64> {
    let bytes = u32::try_from(fs::metadata(path)?.len())?;
    Ok(f64::from(bytes))
}

/// Returns the value in the middle.
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
