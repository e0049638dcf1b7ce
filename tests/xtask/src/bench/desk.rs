//! `vaultix renc` + peers → milliseconds.

use std::fs;
use std::process::Command;

use xshell::cmd;
use xtask::workspace::Result;

use super::peers::RAGE;
use super::{Bench, encrypt, figure, median, ssh_key, time};

impl Bench {
    /// Measures `vaultix renc` for 100 secrets and 10 hosts, with everything to do and with
    /// nothing, and compares it with a pair of `age` processes for each copy.
    pub(super) fn renc(&self) -> Result<()> {
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
        let rage = self.peers.join(RAGE);
        let pair = |client: &str| {
            let secret = desk.join("secrets/0.age");
            let (identity, secret) = (identity.display(), secret.display());
            let pipe = format!(
                "{client} -d -i {identity} {secret} | {client} -r '{recipient}' >/dev/null"
            );
            let mut command = Command::new("sh");
            command.args(["-c", &pipe]);
            command
        };
        let (mut age, mut rage) = (pair("age"), pair(&rage.display().to_string()));
        let [age, rage] = self.interleave([&mut age, &mut rage], &|| Ok(()))?;
        let fresh = median(fresh);
        figure("renc, fresh, per pair", 1000, fresh, "µs", "age -d | age -r", 1000.0 * age)?;
        figure("renc, fresh, per pair", 1000, fresh, "µs", "rage -d | rage -r", 1000.0 * rage)?;
        let noop = self.interleave([&mut Command::new(&self.noop)], &|| Ok(()))?[0];
        figure("renc, nothing to do", 1000, median(idle), "ms", "static no-op", noop)
    }
}
