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
        // The same as values of one file.
        let (mut lines, mut values) = (Vec::new(), Vec::new());
        let all = desk.join("secrets/all.yaml.age");
        for i in 0..100 {
            lines.push(format!("value-{i}: plaintext {i}\n"));
            let file = all.display();
            values.push(format!(r#""value-{i}": {{ "file": "{file}", "key": "/value-{i}" }}"#));
        }
        fs::write(&all, encrypt(&self.sh, &recipient, &lines.concat())?)?;
        let mut keys = Vec::new();
        for host in 0..10 {
            keys.push(ssh_key(&self.sh, &desk.join(format!("host-{host}")))?);
        }
        let cache = desk.join("cache");
        let command = |name: &str, secrets: &[String]| -> Result<Command> {
            let mut command = Command::new(self.prefix.join("bin/vaultix"));
            for (host, key) in keys.iter().enumerate() {
                let profile = desk.join(format!("{name}-{host}.json"));
                let text = format!(
                    r#"{{ "version": 1, "settings": {{ "hostIdentifier": "host-{host}",
                    "hostPubkey": "{key}", "hostKeys": [] }}, "secrets": {{ {} }} }}"#,
                    secrets.join(",")
                );
                fs::write(&profile, text)?;
                command.arg("-p").arg(profile);
            }
            command.args(["renc", "-q", "--identity"]).arg(&identity);
            command.arg("--cache").arg(&cache);
            Ok(command)
        };
        let few = self.rounds.div_ceil(10);
        let measure = |mine: &mut Command| -> Result<Vec<f64>> {
            let mut fresh = Vec::new();
            for _ in 0..few {
                self.sh.remove_path(&cache)?;
                self.sh.create_dir(&cache)?;
                fresh.push(time(mine)?);
            }
            Ok(fresh)
        };
        let of_one_file = median(measure(&mut command("values", &values)?)?);
        let mut mine = command("files", &secrets)?;
        let fresh = measure(&mut mine)?;
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
        figure(
            "renc, values of one file, per pair",
            1000,
            of_one_file,
            "µs",
            "renc, fresh, per pair",
            fresh,
        )?;
        figure("renc, fresh, per pair", 1000, fresh, "µs", "rage -d | rage -r", 1000.0 * rage)?;
        let noop = self.interleave([&mut Command::new(&self.noop)], &|| Ok(()))?[0];
        figure("renc, nothing to do", 1000, median(idle), "ms", "static no-op", noop)
    }
}
