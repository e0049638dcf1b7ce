//! a system with n secrets → where the time of its boot goes, compared with units that do less.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use xtask::container::{Container, PREFIX};
use xtask::system::System;
use xtask::workspace::Result;

use super::{Bench, encrypt, figure, host_profile, median, ssh_key};

/// What the units of a system do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Units {
    /// Ours, as they are.
    Ours,
    /// Ours, and each item cannot be decrypted.
    Failing,
    /// Ours, with a service for each item that reads it.
    Read,
    /// One unit of the same order as ours, with a static program that does nothing.
    One,
    /// The same, with as many services as there are items.
    OneRead,
    /// A unit for each item, with that program.
    Each,
}

impl Units {
    /// Returns what the table calls them.
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Failing => "ours, every item fails",
            Self::Read => "ours, a consumer for each",
            Self::One => "one static no-op",
            Self::OneRead => "one static no-op, as many consumers",
            Self::Each => "a static no-op for each",
        }
    }

    /// Returns what they are compared with.
    fn peer(self) -> Self {
        if self == Self::Read { Self::OneRead } else { Self::One }
    }

    /// Returns whether the program is ours.
    fn is_ours(self) -> bool {
        matches!(self, Self::Ours | Self::Failing | Self::Read)
    }
}

/// Where the time of one boot went, in milliseconds; [`COLUMNS`] says what each is.
type Times = [f64; 9];

/// What [`Times`] are: from PID 1's start; all generators; reading unit files; on a processor, PID 1 and the whole system,
/// until the boot is over; what all used until the units of all items have been started; PID 1's memory then, in MiB.
const COLUMNS: [&str; 9] = [
    "until vaultix.target",
    "until basic.target",
    "until the boot is over",
    "generators",
    "unit files",
    "cpu of PID 1",
    "cpu of all",
    "cpu of all, with the rest",
    "memory of PID 1",
];

/// What is booted: all that a host without services starts, and what starts the units of items afterwards.
const GOAL: &str = "[Unit]\nRequires=basic.target\nAfter=basic.target\nWants=timing.service vaultix-rest.service\n";

/// Notes what systemd and the kernel know once the boot is over, and once all units of items have been started.
const TIMING: &str = r"[Unit]
DefaultDependencies=no
After=basic.target
Wants=dbus.socket
[Service]
Type=exec
ExecStart=/bin/sh -c 'systemctl is-system-running --wait; \
    cat /proc/1/schedstat >/out/cpu; cat /sys/fs/cgroup/cpu.stat /sys/fs/cgroup/unified/cpu.stat >>/out/cpu; \
    until [ ! -x /run/systemd/generator/vaultix-items.target.wants ] || [ -e /rest-does-nothing ] || \
        systemctl is-active --quiet vaultix-items.target; do sleep .2; done; \
    cat /sys/fs/cgroup/cpu.stat /sys/fs/cgroup/unified/cpu.stat >/out/cpu.rest; \
    grep VmRSS /proc/1/status >/out/memory; \
    systemctl show --property=UserspaceTimestampMonotonic --property=FinishTimestampMonotonic \
    --property=GeneratorsStartTimestampMonotonic --property=GeneratorsFinishTimestampMonotonic \
    --property=UnitsLoadStartTimestampMonotonic --property=UnitsLoadFinishTimestampMonotonic >/out/manager; \
    for it in vaultix basic; do systemctl show --property=ActiveEnterTimestampMonotonic --value $it.target >/out/$it; done; \
    systemctl --failed --plain --no-legend >/out/failed; systemctl poweroff'
";

/// A target that waits for units of our names.
const TARGET: &str = "[Unit]\nDefaultDependencies=no\nBefore=sysinit.target\n";

/// A service that reads a secret.
const READER: &str =
    "[Service]\nType=exec\nExecStart=/opt/noop/bin/vaultix-decrypt\nRemainAfterExit=yes\n";

impl Bench {
    /// Boots with up to 1000 secrets, ours and what does less, in turns.
    pub(super) fn boot(&self) -> Result<()> {
        use Units::{Each, Failing, One, OneRead, Ours, Read};
        for system in [System::Bookworm, System::Trixie] {
            for n in [0, 1, 10, 50, 100, 1000] {
                let all: &[Units] = match n {
                    0 | 1 | 1000 => &[Ours, One],
                    _ => &[Ours, One, Failing, Each, Read, OneRead],
                };
                let times = self.boots_of(system, n, all)?;
                for (units, own) in all.iter().zip(&times) {
                    let peer = all.iter().position(|it| *it == units.peer()).unwrap_or(0);
                    let idle = times.get(peer).ok_or("no peer")?;
                    print(system, n, *units, own, idle)?;
                }
            }
        }
        Ok(())
    }

    /// Boots with each of `units`, in turns, and returns the medians.
    fn boots_of(&self, system: System, n: usize, units: &[Units]) -> Result<Vec<Times>> {
        let mut times: Vec<Vec<Times>> = units.iter().map(|_| Vec::new()).collect();
        for _ in 0..self.boots {
            for (units, times) in units.iter().zip(&mut times) {
                times.push(self.boot_once(system, n, *units)?);
            }
        }
        let medians = |boots: Vec<Times>| {
            std::array::from_fn(|at| {
                median(boots.iter().filter_map(|boot| boot.get(at).copied()).collect())
            })
        };
        Ok(times.into_iter().map(medians).collect())
    }

    /// Boots a system with `n` secrets once.
    fn boot_once(&self, system: System, n: usize, units: Units) -> Result<Times> {
        let mut container = Container::new(&system.root()?, "bench")?;
        let idle = self.idle_prefix()?;
        container.install(if units.is_ours() { &self.prefix } else { &idle })?;
        // The program that consumers run, and what is compared.
        container.put("/opt/noop/bin/vaultix-decrypt", fs::read(&self.noop)?)?;
        fs::set_permissions(
            container.layer("/opt/noop/bin/vaultix-decrypt"),
            fs::Permissions::from_mode(0o755),
        )?;
        match units {
            Units::Each => put_units(&container, n)?,
            // However many secrets there are, this is one unit.
            Units::One | Units::OneRead => self.put_secrets(&container, n.min(1), units)?,
            Units::Ours | Units::Failing | Units::Read => {
                self.put_secrets(&container, n, units)?;
            }
        }
        if matches!(units, Units::Read | Units::OneRead) {
            for i in 0..n {
                let name = format!("reader{i}.service");
                container.put(&format!("/etc/systemd/system/{name}"), READER)?;
                let link = format!("/etc/systemd/system/goal.target.wants/{name}");
                container.link(&link, &format!("../{name}"))?;
            }
        }
        if !units.is_ours() {
            container.put("/rest-does-nothing", "")?;
        }
        container.put("/etc/systemd/system/timing.service", TIMING)?;
        container.put("/etc/systemd/system/goal.target", GOAL)?;
        container.init("systemd.unit=goal.target");
        container.limit(Duration::from_secs(300));
        let status = container.boot()?;
        if !status.success() {
            return Err(format!("systemd-nspawn: {status}").into());
        }
        read(&container, units)
    }

    /// Returns a prefix with our generator and a helper that does nothing.
    fn idle_prefix(&self) -> Result<PathBuf> {
        let idle = self.work.join("idle");
        let generators = "lib/systemd/system-generators";
        if !idle.exists() {
            self.sh.create_dir(idle.join(generators))?;
            self.sh.create_dir(idle.join("bin"))?;
            let generator = format!("{generators}/vaultix-generator");
            self.sh.copy_file(self.prefix.join(&generator), idle.join(&generator))?;
            self.sh.copy_file(&self.noop, idle.join("bin/vaultix-decrypt"))?;
        }
        Ok(idle)
    }

    /// Puts a profile, the host's key and `n` ciphertexts into `container`.
    fn put_secrets(&self, container: &Container, n: usize, units: Units) -> Result<()> {
        let key = self.work.join("boot-key");
        let recipient = ssh_key(&self.sh, &key)?;
        let mut profile = host_profile(n, "/run/vaultix.d", &recipient);
        if units == Units::Read {
            for i in 0..n {
                let place = format!("/cache/{i}\"");
                let read = format!("{place}, \"restartUnits\": [\"reader{i}.service\"]");
                profile = profile.replace(&place, &read);
            }
        }
        container.put("/etc/vaultix/profile.json", profile)?;
        container.put("/etc/ssh/ssh_host_ed25519_key", fs::read(&key)?)?;
        let mut ciphertext = encrypt(&self.sh, &recipient, "plaintext")?;
        if units == Units::Failing
            && let Some(last) = ciphertext.last_mut()
        {
            *last ^= 1;
        }
        (0..n).try_for_each(|i| container.put(&format!("/etc/vaultix/cache/{i}"), &ciphertext))
    }
}

/// Puts `n` units of our names into `container` that do next to nothing.
fn put_units(container: &Container, n: usize) -> Result<()> {
    let text = format!(
        "[Unit]\nDefaultDependencies=no\nBefore=vaultix.target\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart={PREFIX}/bin/vaultix-decrypt\n"
    );
    let folder = "/etc/systemd/system";
    container.put(&format!("{folder}/vaultix.target"), TARGET)?;
    container
        .link(&format!("{folder}/sysinit.target.wants/vaultix.target"), "../vaultix.target")?;
    for i in 0..n {
        let name = format!("vaultix-secret@secret\\x2d{i}.service");
        container.put(&format!("{folder}/{name}"), &text)?;
        container.link(&format!("{folder}/vaultix.target.wants/{name}"), &format!("../{name}"))?;
    }
    Ok(())
}

/// Reads what [`TIMING`] noted.
fn read(container: &Container, units: Units) -> Result<Times> {
    let text = |name: &str| fs::read_to_string(container.out().join(name));
    let failed = text("failed")?;
    if !failed.trim().is_empty() && units != Units::Failing {
        return Err(format!("units failed: {failed}").into());
    }
    let manager = text("manager")?;
    let manager: BTreeMap<&str, &str> =
        manager.lines().filter_map(|line| line.split_once('=')).collect();
    let at = |name: &str| -> Result<f64> {
        let name = format!("{name}TimestampMonotonic");
        let value = manager.get(name.as_str()).ok_or_else(|| format!("no {name}"))?;
        Ok(value.parse::<f64>()? / 1000.0)
    };
    let target = |name: &str| -> Result<f64> { Ok(text(name)?.trim().parse::<f64>()? / 1000.0) };
    let usage = |text: &str| -> Result<f64> {
        let all = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
        Ok(all.ok_or("no cpu.stat")?.parse::<f64>()? / 1000.0)
    };
    let cpu = text("cpu")?;
    let manager = cpu.split_whitespace().next().ok_or("no schedstat")?.parse::<f64>()? / 1e6;
    let memory = text("memory")?;
    let memory = memory.split_whitespace().nth(1).ok_or("no VmRSS")?.parse::<f64>()? / 1024.0;
    Ok([
        target("vaultix")? - at("Userspace")?,
        target("basic")? - at("Userspace")?,
        at("Finish")? - at("Userspace")?,
        at("GeneratorsFinish")? - at("GeneratorsStart")?,
        at("UnitsLoadFinish")? - at("UnitsLoadStart")?,
        manager,
        usage(&cpu)?,
        usage(&text("cpu.rest")?)?,
        memory,
    ])
}

/// Prints a row for each column, beside what it is compared with.
fn print(system: System, n: usize, units: Units, own: &Times, idle: &Times) -> Result<()> {
    for ((column, own), idle) in COLUMNS.into_iter().zip(own).zip(idle) {
        let what = format!("boot, {}, {}: {column}", system.name(), units.name());
        let unit = if column.starts_with("memory") { "MiB" } else { "ms" };
        figure(&what, n, *own, unit, units.peer().name(), *idle)?;
    }
    Ok(())
}
