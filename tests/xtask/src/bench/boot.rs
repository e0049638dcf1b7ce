//! a system with n secrets → where the time of its boot goes, compared with units that do less.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use xtask::container::{Container, PREFIX};
use xtask::system::System;
use xtask::workspace::Result;

use super::{Bench, encrypt, figure, host_profile, median, ssh_key};

/// What the units of a system do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Units {
    /// Ours, as they are.
    Ours,
    /// Our units, with a static program that does nothing.
    Idle,
    /// Short units with that program, without our hardening.
    Bare,
    /// Units that start no program.
    Empty,
}

impl Units {
    /// Returns their name in the table.
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Idle => "the same units, static no-op",
            Self::Bare => "bare units, static no-op",
            Self::Empty => "units without a program",
        }
    }
}

/// Where the time of one boot went, in milliseconds, in the order of [`COLUMNS`].
type Times = [f64; 6];

/// The names of [`Times`]: from the start of PID 1; all generators; reading unit files; from the
/// start of the first item; processor time of PID 1; processor time of the whole system.
const COLUMNS: [&str; 6] =
    ["until vaultix.target", "generators", "unit files", "items", "cpu of PID 1", "cpu of all"];

/// Starts after all items, and records the times that systemd and the kernel have measured.
const TIMING: &str = r"[Unit]
Wants=dbus.socket
[Service]
ExecStart=/bin/sh -c 'systemctl show --property=UserspaceTimestampMonotonic \
    --property=GeneratorsStartTimestampMonotonic --property=GeneratorsFinishTimestampMonotonic \
    --property=UnitsLoadStartTimestampMonotonic --property=UnitsLoadFinishTimestampMonotonic >/out/manager; \
    cat /proc/1/schedstat >/out/cpu; cat /sys/fs/cgroup/cpu.stat /sys/fs/cgroup/unified/cpu.stat >>/out/cpu; \
    systemctl show --property=InactiveExitTimestampMonotonic --value vaultix-secret@* >/out/items; \
    systemctl show --property=ActiveEnterTimestampMonotonic --value vaultix.target >/out/target; \
    systemctl --failed --plain --no-legend >/out/failed; systemctl poweroff'
";

/// A target with the name of ours, for units with the names of ours.
const TARGET: &str = "[Unit]\nDefaultDependencies=no\nBefore=sysinit.target\n";

impl Bench {
    /// Boots with 0, 10, 50 and 100 secrets, with our units and with those that do less, in turn.
    pub(super) fn boot(&self) -> Result<()> {
        for system in [System::Bookworm, System::Trixie] {
            let [none] = self.boots_of(system, 0, [Units::Ours])?;
            print(system, 0, Units::Ours, none, none)?;
            for n in [10, 50, 100] {
                let all = [Units::Ours, Units::Idle, Units::Bare, Units::Empty];
                let times = self.boots_of(system, n, all)?;
                let [_, idle, _, _] = times;
                let mut others =
                    all.into_iter().zip(times).filter(|(units, _)| *units != Units::Idle);
                others.try_for_each(|(units, own)| print(system, n, units, own, idle))?;
            }
        }
        Ok(())
    }

    /// Boots with each of `units`, in turn, and returns the medians.
    fn boots_of<const N: usize>(
        &self,
        system: System,
        n: usize,
        units: [Units; N],
    ) -> Result<[Times; N]> {
        let mut times: [Vec<Times>; N] = [const { Vec::new() }; N];
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
        Ok(times.map(medians))
    }

    /// Boots a system with `n` secrets once.
    fn boot_once(&self, system: System, n: usize, units: Units) -> Result<Times> {
        let mut container = Container::new(&system.root()?, "bench")?;
        let ours = self.prefix.clone();
        container.install(&if units == Units::Ours { ours } else { self.idle_prefix()? })?;
        match units {
            Units::Ours | Units::Idle => self.put_secrets(&container, n)?,
            Units::Bare | Units::Empty => put_units(&container, n, units)?,
        }
        container.put("/etc/systemd/system/timing.service", TIMING)?;
        container.init("systemd.unit=timing.service");
        let status = container.boot()?;
        if !status.success() {
            return Err(format!("systemd-nspawn: {status}").into());
        }
        read(&container)
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
    fn put_secrets(&self, container: &Container, n: usize) -> Result<()> {
        let key = self.work.join("boot-key");
        let recipient = ssh_key(&self.sh, &key)?;
        let profile = host_profile(n, "/run/vaultix.d", &recipient);
        container.put("/etc/vaultix/profile.json", profile)?;
        container.put("/etc/ssh/ssh_host_ed25519_key", fs::read(&key)?)?;
        let ciphertext = encrypt(&self.sh, &recipient, "plaintext")?;
        (0..n).try_for_each(|i| container.put(&format!("/etc/vaultix/cache/{i}"), &ciphertext))
    }
}

/// Puts `n` units with the names of ours into `container`, which do next to nothing.
fn put_units(container: &Container, n: usize, units: Units) -> Result<()> {
    let when = if units == Units::Empty { "ExecStop" } else { "ExecStart" };
    let text = format!(
        "[Unit]\nDefaultDependencies=no\nBefore=vaultix.target\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\n{when}={PREFIX}/bin/vaultix-decrypt\n"
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

/// Reads what [`TIMING`] has recorded.
fn read(container: &Container) -> Result<Times> {
    let text = |name: &str| fs::read_to_string(container.out().join(name));
    let failed = text("failed")?;
    if !failed.trim().is_empty() {
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
    let items = text("items")?;
    let items = items.split_whitespace().map(|time| Ok(time.parse::<f64>()? / 1000.0));
    let target = text("target")?.trim().parse::<f64>()? / 1000.0;
    let first = items.collect::<Result<Vec<_>>>()?.into_iter().fold(target, f64::min);
    let cpu = text("cpu")?;
    let manager = cpu.split_whitespace().next().ok_or("no schedstat")?.parse::<f64>()? / 1e6;
    let all = cpu.lines().find_map(|line| line.strip_prefix("usage_usec ")).ok_or("no cpu.stat")?;
    Ok([
        target - at("Userspace")?,
        at("GeneratorsFinish")? - at("GeneratorsStart")?,
        at("UnitsLoadFinish")? - at("UnitsLoadStart")?,
        target - first,
        manager,
        all.parse::<f64>()? / 1000.0,
    ])
}

/// Prints a row for each column, compared with our units with a program that does nothing.
fn print(system: System, n: usize, units: Units, own: Times, idle: Times) -> Result<()> {
    for ((column, own), idle) in COLUMNS.into_iter().zip(own).zip(idle) {
        let what = format!("boot, {}, {}: {column}", system.name(), units.name());
        figure(&what, n, own, "ms", Units::Idle.name(), idle)?;
    }
    Ok(())
}
