//! Shows and checks a secret's whole way, from an editor to a booted host.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use argh::FromArgs;
use xshell::{Shell, cmd};
use xtask::container::Container;
use xtask::packages;
use xtask::workspace::{self, Result};

use crate::install;

/// Show a secret's whole way from the desk to a host that boots, on this machine; as root
#[derive(FromArgs)]
#[argh(subcommand, name = "demo")]
pub(crate) struct Args {}

/// A temporary workspace.
struct Desk {
    /// Runs commands in its folder.
    sh: Shell,
    /// The command `vaultix`.
    vaultix: PathBuf,
}

/// The demo's secrets, and what goes into them.
const SECRETS: [(&str, &str); 3] =
    [("wifi", "hunter2\n"), ("database", "postgres://app:s3cret@db\n"), ("broken", "never seen\n")];

/// Runs the demo. Everything that it shows is also checked.
///
/// # Errors
///
/// Something is missing, a command failed, or what was shown is not what was expected.
pub(crate) fn run(_: &Args) -> Result<()> {
    let sh = workspace::shell()?;
    packages::ensure(&sh, packages::BOOT)?;
    if !packages::is_root(&sh)? {
        return Err("booting a container takes root".into());
    }
    eprintln!("xtask: building the product");
    let temp = sh.create_temp_dir()?;
    let prefix = workspace::target()?.join("stage");
    install::into(&prefix)?;
    sh.change_dir(temp.path());
    let desk = Desk { sh, vaultix: prefix.join("bin/vaultix") };

    let mut host = Container::new(Path::new("/"), "demo")?;
    host.install(&prefix)?;
    desk.make(&host)?;
    desk.deliver(&host, "/etc/vaultix")?;
    desk.damage(&host)?;
    desk.change(&host)?;
    services(&host)?;

    say("The host boots: a real systemd in a container, with the generator installed.")?;
    host.init("systemd.unit=demo.service");
    let status = host.boot()?;
    let said = fs::read_to_string(host.out().join("said")).unwrap_or_default();
    say(said.trim_start())?;
    if !status.success() {
        return Err(format!("systemd-nspawn: {status}").into());
    }
    check(&host)?;
    say("All of this was also checked. Nothing of it is left on this machine.")
}

impl Desk {
    /// Creates the keys, the secrets and the cache.
    fn make(&self, host: &Container) -> Result<()> {
        let sh = &self.sh;
        say("A desk, in a folder that is thrown away, with a key for its owner; \
             and a key for a host called web:")?;
        self.show("age-keygen -o identity.txt")?;
        let key = host.layer("/etc/ssh/ssh_host_ed25519_key");
        sh.create_dir(host.layer("/etc/ssh"))?;
        cmd!(sh, "ssh-keygen -q -t ed25519 -N '' -C root@web -f {key}").quiet().run()?;
        sh.copy_file(key.with_extension("pub"), "web.pub")?;
        self.show("cat web.pub")?;

        say("Three secrets. `vaultix edit` would start $EDITOR; here it reads what is piped in:")?;
        for (name, plaintext) in SECRETS {
            self.edit(name, plaintext)?;
        }
        self.show("head -c 60 secrets/wifi.age | tr -c '[:print:]' . ; echo")?;

        say("What the host is to have, as the NixOS module writes it:")?;
        self.profile("profile.json", &|name| format!(r#""file": "secrets/{name}.age""#))?;
        self.show("cat profile.json")?;

        say("Encrypt each of them to the host's own key, into a cache that is kept in git:")?;
        self.renc()?;
        self.show("find cache -type f")
    }

    /// Puts one plaintext into one secret.
    fn edit(&self, name: &str, plaintext: &str) -> Result<()> {
        let text = plaintext.trim_end();
        self.show(&format!(
            "echo '{text}' | vaultix edit secrets/{name}.age \
             --identity identity.txt --stdin"
        ))
    }

    /// Encrypts what is missing from the cache.
    fn renc(&self) -> Result<()> {
        self.show("vaultix -p profile.json renc --identity identity.txt --cache cache")
    }

    /// Writes a profile; `source` returns where each secret's ciphertext is.
    fn profile(&self, file: &str, source: &dyn Fn(&str) -> String) -> Result<()> {
        let key = self.sh.read_file("web.pub")?;
        let key: Vec<&str> = key.split_whitespace().take(2).collect();
        let extra = [
            r#", "restartUnits": ["radio.service"]"#,
            r#", "owner": "daemon", "group": "daemon", "mode": "0440""#,
            "",
        ];
        let secret = |((name, _), extra): (&(&str, &str), &str)| {
            format!("    \"{name}\": {{ {}{extra} }}", source(name))
        };
        let secrets: Vec<String> = SECRETS.iter().zip(extra).map(secret).collect();
        let text = format!(
            r#"{{
  "version": 1,
  "settings": {{
    "hostIdentifier": "web",
    "hostPubkey": "{}",
    "hostKeys": [ {{ "path": "/etc/ssh/ssh_host_ed25519_key", "type": "ed25519" }} ]
  }},
  "secrets": {{
{}
  }}
}}
"#,
            key.join(" "),
            secrets.join(",\n")
        );
        Ok(self.sh.write_file(file, text)?)
    }

    /// Puts the cache, and a profile that names its files, where the host expects them, as Nix
    /// would.
    fn deliver(&self, host: &Container, place: &str) -> Result<()> {
        let sh = &self.sh;
        let mut names = Vec::new();
        for (name, _) in SECRETS {
            names.push((name, self.cache_name(name)?));
        }
        for (_, cached) in &names {
            let file = format!("{place}/cache/web/{cached}");
            host.put(&file, sh.read_binary_file(format!("cache/web/{cached}"))?)?;
        }
        self.profile("host.json", &|name| {
            let cached = names.iter().find(|(other, _)| *other == name).map(|(_, cached)| cached);
            format!(r#""cipher": "/etc/vaultix/cache/web/{}""#, cached.map_or("", String::as_str))
        })?;
        host.put(&format!("{place}/profile.json"), sh.read_file("host.json")?)
    }

    /// Returns the name of a secret's copy in the cache, as Nix computes it.
    fn cache_name(&self, name: &str) -> Result<String> {
        let sh = &self.sh;
        let first = |text: String| text.split_whitespace().next().unwrap_or_default().to_owned();
        let source = first(cmd!(sh, "sha256sum secrets/{name}.age").quiet().read()?);
        let key = sh.read_file("web.pub")?;
        let key: Vec<&str> = key.split_whitespace().take(2).collect();
        let text = format!("vaultix-v1\n{source}\n{}\n", key.join(" "));
        Ok(first(cmd!(sh, "sha256sum").stdin(text).quiet().read()?))
    }

    /// Flips one bit of the third secret on its way to the host.
    fn damage(&self, host: &Container) -> Result<()> {
        let place = format!("/etc/vaultix/cache/web/{}", self.cache_name("broken")?);
        let mut bytes = fs::read(host.layer(&place))?;
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        say("On its way to the host, one bit of the third ciphertext is flipped.")?;
        host.put(&place, bytes)
    }

    /// Changes one secret, which arrives at the host later.
    fn change(&self, host: &Container) -> Result<()> {
        say("Later, somebody changes the first secret. Only its ciphertext is made again, \
             and the old one goes:")?;
        self.edit("wifi", "correct horse battery staple\n")?;
        self.renc()?;
        self.deliver(host, "/arriving")
    }

    /// Shows a command and its output.
    fn show(&self, command: &str) -> Result<()> {
        let bin = self.vaultix.parent().unwrap_or(Path::new("/")).display();
        let sh = &self.sh;
        let quoted = format!("export PATH={bin}:$PATH; set -eu -o pipefail; {{ {command}; }} 2>&1");
        print(&format!("\n  you@desk $ {command}\n"))?;
        let output = cmd!(sh, "bash -c {quoted}").quiet().ignore_status().output()?;
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            print(&format!("  {line}\n"))?;
        }
        if output.status.success() {
            Ok(())
        } else {
            Err(format!("{command}: {}", output.status).into())
        }
    }
}

/// Adds the host's services: one that uses a secret, one that has nothing to do with it, and the demo
/// itself.
fn services(host: &Container) -> Result<()> {
    for (name, text) in [
        (
            "radio.service",
            "[Service]\nType=exec\nSyslogIdentifier=radio\n\
             ExecStartPre=sh -c 'echo connecting with: $$(cat /run/vaultix/wifi)'\n\
             ExecStart=sleep infinity\n",
        ),
        ("other.service", "[Service]\nType=exec\nExecStart=sleep infinity\n"),
        (
            "demo.service",
            "[Unit]\nWants=dbus.socket radio.service other.service\n\
             After=dbus.socket radio.service other.service\n\
             [Service]\nExecStart=bash /demo\n",
        ),
    ] {
        host.put(&format!("/etc/systemd/system/{name}"), text)?;
    }
    host.put("/demo", include_str!("demo.sh"))
}

/// Compares what the host has recorded with what was expected.
fn check(host: &Container) -> Result<()> {
    for (fact, expected) in [
        ("failed", "vaultix-secret@broken.service"),
        ("status", "65"),
        ("wifi", "hunter2"),
        ("database", "440 daemon\npostgres://app:s3cret@db"),
        ("fstype", "ramfs"),
        ("broken", "ls: cannot access '/run/vaultix/broken': No such file or directory"),
        ("changed", "correct horse battery staple"),
        ("radio", "connecting with: hunter2\nconnecting with: correct horse battery staple"),
        ("other", "same"),
    ] {
        let found = fs::read_to_string(host.out().join(format!("fact.{fact}")));
        let found =
            found.map_err(|error| format!("the host did not get to \"{fact}\": {error}"))?;
        if found.trim_end() != expected {
            return Err(format!("{fact} should be {expected:?}, but is {found:?}").into());
        }
    }
    Ok(())
}

/// Prints a paragraph.
fn say(text: &str) -> Result<()> {
    print(&format!("\n\n{text}\n"))
}

/// Prints and flushes, so that the text keeps up with what happens.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
