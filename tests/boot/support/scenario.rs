//! profile + units + script → one boot.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use serde_json::{Map, Value, json};
use xtask::canary::marker;
use xtask::container::Container;
use xtask::system::System;

use super::boot::Boot;
use super::keys::{self, age_key, encrypt, pq_key, ssh_key};
use super::traces;
use crate::prefix::prefix;

/// A host before it boots: its profile, its ciphertexts, its units and the script to run on it.
pub struct Scenario {
    /// The system that will boot.
    container: Container,
    /// Public half of the host key, as in `hostPubkey`.
    recipient: String,
    /// `profile.json` as built so far; `Null` for a host that has none.
    profile: Value,
    /// Units to start beside the scenario's script.
    wanted: Vec<String>,
    /// Files outside of the ramfs that hold plaintexts, and should.
    kept: Vec<String>,
}

impl Scenario {
    /// Prepares a host with the product installed, an ed25519 host key at the usual place, and a profile without any
    /// secret.
    pub fn new(system: System, name: &str) -> Self {
        Self::with(system, name, |container| container.install(prefix()))
    }

    /// The same with the product of an older commit, which is built if need be. The script's `upgrade` puts the product
    /// under test into its place.
    pub fn previous(system: System, name: &str, commit: &str) -> Self {
        let previous = xtask::previous::prefix(commit).unwrap();
        Self::with(system, name, |container| container.install_previous(&previous, prefix()))
    }

    /// The same with what `install` installs.
    fn with(
        system: System,
        name: &str,
        install: impl FnOnce(&mut Container) -> xtask::workspace::Result<()>,
    ) -> Self {
        let root = system.root().unwrap();
        let mut container = Container::new(&root, &format!("{name}-{}", system.name()))
            .expect("boot tests run as root");
        install(&mut container).unwrap();
        let recipient = ssh_key(&container.layer("/etc/ssh/ssh_host_ed25519_key"), "ed25519");
        let profile = json!({
            "version": 1,
            "settings": { "hostIdentifier": "tester", "hostPubkey": recipient,
                "hostKeys": [{ "path": "/etc/ssh/ssh_host_ed25519_key", "type": "ed25519" }] },
            "secrets": {},
        });
        let (wanted, kept) = (Vec::new(), Vec::new());
        let host = Self { container, recipient, profile, wanted, kept };
        host.file("/canary/marker", format!("{}\n", marker()));
        host.file("/canary/plain.sed", format!("s/{}//g\n", marker()));
        host.program("/usr/local/bin/plain", PLAIN);
        host.container.search(&marker()).unwrap();
        host
    }

    /// Returns the public half of the host key.
    pub fn recipient(&self) -> &str {
        &self.recipient
    }

    /// Returns the public half of a key that is not one of the host's.
    pub fn stranger(&self) -> String {
        self.other_key("/fixtures/keys/stranger")
    }

    /// Puts a key at `path` and returns its public half.
    pub fn other_key(&self, path: &str) -> String {
        ssh_key(&self.container.layer(path), "ed25519")
    }

    /// Puts a key with a passphrase at `path`.
    pub fn locked_key(&self, path: &str) {
        self.other_key(path);
        keys::lock(&self.container.layer(path));
    }

    /// Makes a key of this kind at `path` the only host key; secrets added from now on are for it.
    pub fn key(&mut self, path: &str, kind: &str) {
        let place = self.container.layer(path);
        self.recipient = match kind {
            "age" => age_key(&place),
            "age-pq" => pq_key(&place),
            _ => ssh_key(&place, kind),
        };
        let kind = kind.strip_suffix("-pq").unwrap_or(kind);
        self.profile["settings"]["hostPubkey"] = self.recipient.clone().into();
        self.profile["settings"]["hostKeys"] = json!([{ "path": path, "type": kind }]);
    }

    /// Makes a post-quantum identity that is sealed at `path` the only host key, and leaves no other one on the host.
    pub fn sealed_key(&mut self, path: &str) {
        const PLAIN: &str = "/fixtures/keys/plain";
        self.key(PLAIN, "age-pq");
        let text = fs::read(self.container.layer(PLAIN)).unwrap();
        self.credential(path, "vaultix-host", &text);
        for name in [PLAIN, "/etc/ssh/ssh_host_ed25519_key"] {
            fs::remove_file(self.container.layer(name)).unwrap();
        }
        self.profile["settings"]["hostKeys"] = json!([{ "path": path, "type": "credential" }]);
    }

    /// Seals `text` as the credential `name` of this host, and puts it at `path`.
    pub fn credential(&self, path: &str, name: &str, text: &[u8]) {
        self.file(path, keys::seal(&self.container.layer("/"), name, text));
    }

    /// The same on another host.
    pub fn foreign_credential(&self, path: &str, name: &str, text: &[u8]) {
        self.file("/fixtures/elsewhere/etc/machine-id", "8e1c1ae19f9c4d2a93a1e0f2f3b1c55d\n");
        let elsewhere = self.container.layer("/fixtures/elsewhere");
        self.file(path, keys::seal(&elsewhere, name, text));
        fs::remove_dir_all(elsewhere).unwrap();
    }

    /// Returns the profile, to change what the other functions do not cover.
    pub fn profile(&mut self) -> &mut Value {
        &mut self.profile
    }

    /// Adds a secret with this plaintext, made for the host key.
    pub fn secret(&mut self, id: &str, plaintext: impl AsRef<[u8]>) {
        self.secret_with(id, plaintext, json!({}));
    }

    /// Adds a secret with this plaintext and further fields.
    pub fn secret_with(&mut self, id: &str, plaintext: impl AsRef<[u8]>, fields: Value) {
        let ciphertext = encrypt(&self.recipient, plaintext.as_ref());
        self.ciphertext(id, Some(&ciphertext), fields);
    }

    /// Adds a secret whose ciphertext is these bytes, or does not exist at all.
    pub fn ciphertext(&mut self, id: &str, ciphertext: Option<&[u8]>, fields: Value) {
        let count = self.profile["secrets"].as_object().unwrap().len();
        // An id need not be a good file name; a plain one names its file, for scripts to replace.
        let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let file = if plain { id.to_owned() } else { format!("{count}") };
        let place = format!("/etc/vaultix/cache/{file}");
        if let Some(ciphertext) = ciphertext {
            self.file(&place, ciphertext);
        }
        let mut secret = Map::new();
        secret.insert("cipher".into(), place.into());
        let Value::Object(fields) = fields else { panic!("fields of {id} are an object") };
        secret.extend(fields);
        self.profile["secrets"][id] = Value::Object(secret);
    }

    /// Puts a ciphertext of this plaintext into `/fixtures/NAME`, for the script to use.
    pub fn fixture(&self, name: &str, plaintext: impl AsRef<[u8]>) {
        let ciphertext = encrypt(&self.recipient, plaintext.as_ref());
        self.file(&format!("/fixtures/{name}"), ciphertext);
    }

    /// Puts a ciphertext of this plaintext at a path of its own, as the Nix store would, and returns
    /// that path.
    pub fn store(&self, name: &str, plaintext: impl AsRef<[u8]>) -> String {
        let path = format!("/store/{name}");
        self.encrypted(&path, plaintext);
        path
    }

    /// Puts a ciphertext of this plaintext at the absolute `path`.
    pub fn encrypted(&self, path: &str, plaintext: impl AsRef<[u8]>) {
        self.file(path, encrypt(&self.recipient, plaintext.as_ref()));
    }

    /// Makes an identity of age at `path`, and returns its recipient.
    pub fn identity(&self, path: &str) -> String {
        age_key(&self.container.layer(path))
    }

    /// Puts a ciphertext of this plaintext for `recipient` at the absolute `path`.
    pub fn encrypted_to(&self, recipient: &str, path: &str, plaintext: impl AsRef<[u8]>) {
        self.file(path, encrypt(recipient, plaintext.as_ref()));
    }

    /// Adds a profile that the script can switch to by `name`.
    pub fn next(&self, name: &str, profile: &Value) {
        let text = serde_json::to_string_pretty(profile).unwrap();
        self.file(&format!("/next/{name}/profile.json"), text);
    }

    /// Makes this a NixOS, as far as switching is concerned: users are made by a unit that stands
    /// where userborn stands, and a target runs it and ours again.
    ///
    /// The unit makes the users that `/etc/users` lists (name and user id, one a line) and gives them the
    /// hashed password that is in `/run/vaultix-for-user/NAME`.
    pub fn nixos(&self) {
        self.file("/etc/systemd/system/sysinit-reactivation.target", "[Unit]\n");
        self.file("/etc/systemd/system/userborn.service", USERBORN);
        self.file("/usr/local/sbin/userborn", include_str!("../userborn.sh"));
        let below = "/etc/systemd/system";
        self.link(&format!("{below}/sysinit.target.wants/userborn.service"), "../userborn.service");
        self.link(&format!("{below}/systemd-sysusers.service"), "userborn.service");
        for unit in ["userborn", "vaultix-switch-early", "vaultix-switch"] {
            let from = format!("{below}/sysinit-reactivation.target.requires/{unit}.service");
            self.link(&from, &format!("../{unit}.service"));
        }
    }

    /// Puts a file at the absolute `path`, mode 0644.
    pub fn file(&self, path: &str, bytes: impl AsRef<[u8]>) {
        self.container.put(path, bytes).unwrap();
    }

    /// Puts a program at the absolute `path`, mode 0755.
    pub fn program(&self, path: &str, text: &str) {
        self.file(path, text);
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.container.layer(path), mode).unwrap();
    }

    /// Takes over the `program` of this machine, setuid as it may be, with its library of FUSE: the root directory of another
    /// system has none.
    pub fn takes(&self, program: &str) {
        let found = Command::new("which").arg(program).output().unwrap();
        let place = String::from_utf8(found.stdout).unwrap().trim().to_owned();
        let needs = Command::new("ldd").arg(&place).output().unwrap();
        let needs = String::from_utf8(needs.stdout).unwrap();
        let libraries =
            needs.split_whitespace().filter(|it| it.starts_with("/lib") && it.contains("libfuse"));
        for path in libraries.chain([place.as_str()]) {
            let (folder, name) = path.rsplit_once('/').unwrap();
            // `/lib` is a link, and stays one.
            let folder = fs::canonicalize(folder).unwrap();
            let inside = format!("{}/{name}", folder.display());
            self.file(&inside, fs::read(path).unwrap());
            let mode = fs::metadata(path).unwrap().permissions();
            fs::set_permissions(self.container.layer(&inside), mode).unwrap();
        }
    }

    /// Puts a symbolic link to `target` at the absolute `path`.
    pub fn link(&self, path: &str, target: &str) {
        self.container.link(path, target).unwrap();
    }

    /// Adds a unit that is started at boot, beside the script and before it.
    pub fn unit(&mut self, name: &str, text: &str) {
        self.file(&format!("/etc/systemd/system/{name}"), text);
        self.wanted.push(name.to_owned());
    }

    /// Adds a service without any ordering of its own that notes in `/out/NAME.log` what it reads from `path` when it
    /// starts, reloads and stops, and runs until it is stopped.
    pub fn consumer(&mut self, name: &str, path: &str) {
        self.consumer_of(name, path, "/bin/sh");
    }

    /// The same with another `shell`.
    pub fn consumer_of(&mut self, name: &str, path: &str, shell: &str) {
        let read = |verb: &str| {
            format!("{shell} -c 'echo \"{verb} $$(cat \"{path}\" 2>&1)\" >>/out/{name}.log'")
        };
        let text = format!(
            "[Service]\nType=exec\nExecStartPre={}\nExecStart=/bin/sleep infinity\nExecReload={}\nExecStop={}\n",
            read("start"),
            read("reload"),
            read("stop")
        );
        self.unit(&format!("{name}.service"), &text);
    }

    /// Adds `home.target`, for `systemctl isolate`, which D-Bus survives: the script waits for jobs by way of it.
    pub fn isolates(&mut self) {
        for unit in ["dbus.socket", "dbus.service"] {
            let place = format!("/etc/systemd/system/{unit}.d/stay.conf");
            self.file(&place, "[Unit]\nIgnoreOnIsolate=yes\n");
        }
        self.file(
            "/etc/systemd/system/home.target",
            "[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n",
        );
    }

    /// Lets the boot take this long, where the usual minute may not do.
    pub fn limit(&mut self, limit: Duration) {
        self.container.limit(limit);
    }

    /// Expects plaintexts in these files outside of the ramfs.
    pub fn keeps(&mut self, paths: &[&str]) {
        self.kept.extend(paths.iter().map(|&path| path.to_owned()));
    }

    /// Gives systemd-nspawn one more argument.
    pub fn nspawn(&mut self, argument: &str) {
        self.container.nspawn(argument);
    }

    /// Gives PID 1 one more argument: a container's kernel command line.
    pub fn kernel(&mut self, argument: &str) {
        self.container.init(argument);
    }

    /// Boots, runs `script` as a service without any ordering of its own once the wanted units have started, powers
    /// off. Fails if a plaintext was seen in clear where none should be.
    ///
    /// The script has the functions of `prelude.sh`. Before it, `boot.units` is noted. When it ends, the job queue is left
    /// to settle and `final.units` and the tree below `/run/vaultix*` are noted.
    pub fn run(self, script: &str) -> Boot {
        let (boot, traces) = self.run_and_search(script);
        assert!(traces.is_empty(), "plaintexts in clear: {traces:#?}");
        boot
    }

    /// The same, and returns where a plaintext was seen in clear.
    pub fn run_and_search(mut self, script: &str) -> (Boot, Vec<String>) {
        if self.profile != Value::Null {
            let text = match &self.profile {
                Value::String(text) => text.clone(),
                profile => serde_json::to_string_pretty(profile).unwrap(),
            };
            self.file("/etc/vaultix/profile.json", text);
        }
        let wanted = self.wanted.join(" ");
        self.file(
            "/etc/systemd/system/scenario.service",
            format!(
                "[Unit]\nWants=dbus.socket {wanted}\nAfter=dbus.socket {wanted}\nIgnoreOnIsolate=yes\n\
                 [Service]\nExecStart=/bin/bash /scenario\n"
            ),
        );
        self.file("/scenario", include_str!("../scenario.sh"));
        self.file("/prelude", include_str!("../prelude.sh"));
        self.file("/script", format!("{script}\ntouch /out/done\n"));
        self.container.init("systemd.unit=scenario.service");
        let ended = self.container.boot();
        let boot = Boot::new(self.container);
        let status = ended.unwrap();
        assert!(status.success(), "systemd-nspawn: {status}");
        assert!(boot.has("done"), "the script did not come to its end");
        let traces = traces::of(&boot, &self.kept);
        (boot, traces)
    }
}

/// Prints files, or its input, without the marker. It has no other arguments, which are looked at.
const PLAIN: &str = "#!/bin/bash
set -o pipefail
cat -- \"$@\" | LC_ALL=C sed -f /canary/plain.sed
";

/// The unit of nixpkgs' userborn module, with its ordering, around a script of ours.
const USERBORN: &str = "\
[Unit]
Description=Manage users
DefaultDependencies=no
Conflicts=shutdown.target
After=systemd-remount-fs.service systemd-tmpfiles-setup-dev-early.service
Before=systemd-tmpfiles-setup-dev.service sysinit.target shutdown.target
Before=sysinit-reactivation.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /usr/local/sbin/userborn
";
