//! generator and helper + peers → milliseconds, as whole processes outside any container.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use xshell::cmd;
use xtask::workspace::Result;

use super::peers::{RAGE, ZRAM_GENERATOR};
use super::{Bench, cpu, encrypt, figure, host_profile, peak, ssh_key, time};

/// Where the helper writes.
const RAMFS: &str = "/run/vaultix.private/ramfs";

impl Bench {
    /// Compares the generator with systemd's own for as many lines of fstab, each into empty
    /// folders.
    pub(super) fn generator(&self) -> Result<()> {
        let ours = self.prefix.join("lib/systemd/system-generators/vaultix-generator");
        let theirs = Path::new("/usr/lib/systemd/system-generators/systemd-fstab-generator");
        for n in [10, 100, 1000] {
            let profile = self.work.join(format!("profile-{n}.json"));
            fs::write(&profile, host_profile(n, "/run/vaultix.d", "ssh-ed25519 AAAA"))?;
            let fstab = self.work.join(format!("fstab-{n}"));
            let line = |i| format!("tmpfs /srv/mount{i} tmpfs defaults,nosuid 0 0\n");
            fs::write(&fstab, (0..n).map(line).collect::<String>())?;
            let zram = self.zram_config(n)?;
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
            let mut other = Command::new(self.peers.join(ZRAM_GENERATOR));
            other.env("ZRAM_GENERATOR_ROOT", &zram).args([&one, &two, &three]);
            let mut floor = Command::new(&self.noop);
            let [mine, peer, other, floor] =
                self.interleave([&mut mine, &mut peer, &mut other, &mut floor], &fresh)?;
            figure("generator", n, mine, "ms", "systemd-fstab-generator", peer)?;
            figure("generator", n, mine, "ms", "zram-generator", other)?;
            figure("generator", n, mine, "ms", "static no-op", floor)?;
        }
        Ok(())
    }

    /// Writes a configuration of `n` devices for the zram generator, and returns the root that
    /// contains it.
    fn zram_config(&self, n: usize) -> Result<PathBuf> {
        let root = self.work.join(format!("zram-{n}"));
        let device = |i| format!("[zram{i}]\n");
        let config = (0..n).map(device).collect::<String>();
        self.sh.write_file(root.join("etc/systemd/zram-generator.conf"), config)?;
        self.sh.write_file(root.join("proc/cmdline"), "\n")?;
        self.sh.write_file(root.join("proc/meminfo"), fs::read("/proc/meminfo")?)?;
        Ok(root)
    }

    /// Compares the helper, with one secret on a real ramfs, with a program that does nothing.
    ///
    /// Once with the file already in place, so that there is nothing to notify, and once without.
    pub(super) fn helper(&self) -> Result<()> {
        let host = self.host(1)?;
        let mut mine = Command::new(self.prefix.join("bin/vaultix-decrypt"));
        mine.arg("secret").arg("--profile").arg(&host.profile).args(["--", "secret-0"]);
        let mut floor = Command::new(&self.noop);
        let [same, noop] = self.interleave([&mut mine, &mut floor], &|| Ok(()))?;
        figure("helper, nothing new", 1, same, "ms", "static no-op", noop)?;
        let empty = || Ok(self.sh.remove_path(host.ramfs.join("1"))?);
        let [new, noop] = self.interleave([&mut mine, &mut floor], &empty)?;
        figure("helper, first secret", 1, new, "ms", "static no-op", noop)?;
        self.further()?;
        let [ours, none] = [peak(&self.sh, &mine)?, peak(&self.sh, &floor)?];
        figure("helper, peak memory", 1, ours, "KiB", "static no-op", none)
    }

    /// Measures the processor time of each additional secret in one process: a check of a thousand,
    /// less a check of two.
    fn further(&self) -> Result<()> {
        let check = |n| -> Result<f64> {
            let host = self.host(n)?;
            let mut command = Command::new(self.prefix.join("bin/vaultix-decrypt"));
            command.arg("check").arg("--profile").arg(&host.profile);
            cpu(&self.sh, &command)
        };
        let many: u16 = 1000;
        let each = (check(many.into())? - check(2)?) / f64::from(many - 2);
        let mut rage = Command::new(self.peers.join(RAGE));
        rage.args(["-d", "-i"]).arg(self.work.join("host-key")).arg(self.work.join("cache/0"));
        let rage = cpu(&self.sh, &rage)?;
        figure("helper, each further secret, cpu", many.into(), each, "ms", "rage -d", rage)
    }

    /// Measures a switch between two profiles: all secrets are new, one has changed, none has.
    pub(super) fn switch(&self) -> Result<()> {
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

    /// Makes a host with `n` secrets outside any container, on its own ramfs.
    fn host(&self, n: usize) -> Result<Host> {
        let (ramfs, view) = (PathBuf::from(RAMFS), self.work.join(format!("view-{n}")));
        self.sh.create_dir(&view)?;
        if !ramfs.exists() {
            // The machine's own /run is not affected: the mount namespace is ours.
            cmd!(self.sh, "mount -t tmpfs -o mode=0755 run /run").quiet().run()?;
            cmd!(self.sh, "mkdir -m 0700 /run/vaultix.private {ramfs}").quiet().run()?;
        }
        let options = "nosuid,nodev,noexec";
        cmd!(self.sh, "mount -t ramfs -o mode=0711,{options} ramfs {ramfs}").quiet().run()?;
        cmd!(self.sh, "mount --bind -o ro,{options} {ramfs} {view}").quiet().run()?;
        let recipient = ssh_key(&self.sh, &self.work.join("host-key"))?;
        let profile = self.work.join(format!("host-{n}.json"));
        // There is no systemd here to notify.
        let systemctl = format!(r#""systemctl": "{}", "hostKeys""#, self.noop.display());
        let text = host_profile(n, &view.display().to_string(), &recipient)
            .replace(r#""hostKeys""#, &systemctl)
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

/// A host outside any container.
struct Host {
    /// Its profile.
    profile: PathBuf,
    /// Its ramfs, where it can be written to.
    ramfs: PathBuf,
}
