//! profile + units + script → one boot, and what is known about it afterwards.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use xtask::container::{self, Container};
use xtask::packages;
use xtask::system::System;

use crate::prefix::prefix;

/// Runs `scenario` on `system`, or says why it cannot.
pub fn run_on(system: System, scenario: fn(System)) {
    run_if(ready().and_then(|()| system.root().map(drop)), || scenario(system));
}

/// Runs `test`, which needs root and what boots need, but no other system; or says why it cannot.
pub fn run_as_root(test: fn()) {
    run_if(ready(), test);
}

/// Runs `test` if it is `ready`.
///
/// A skip is never silent, and a failure where all tests are to run (`VAULTIX_TESTS=all`).
fn run_if(ready: xtask::workspace::Result<()>, test: impl FnOnce()) {
    let Err(why) = ready else {
        return test();
    };
    assert!(env::var_os("VAULTIX_TESTS").is_none_or(|which| which != "all"), "cannot run: {why}");
    eprintln!("SKIPPED: {why}");
}

/// Tells whether containers can boot here, or what is missing.
fn ready() -> xtask::workspace::Result<()> {
    if !packages::is_root(&xtask::workspace::shell()?)? {
        return Err("mounting and booting take root".into());
    }
    if let Some((program, package)) = packages::missing(packages::BOOT).first() {
        return Err(format!("{program} is missing: apt-get install {package}").into());
    }
    Ok(())
}

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
}

impl Scenario {
    /// Prepares a host with the product installed, an ed25519 host key at the usual place, and a profile without any
    /// secret.
    pub fn new(system: System, name: &str) -> Self {
        let root = system.root().unwrap();
        let mut container = Container::new(&root, &format!("{name}-{}", system.name()))
            .expect("boot tests run as root");
        container.install(prefix()).unwrap();
        let recipient = ssh_key(&container.layer("/etc/ssh/ssh_host_ed25519_key"), "ed25519");
        let profile = json!({
            "version": 1,
            "settings": { "hostIdentifier": "tester", "hostPubkey": recipient,
                "hostKeys": [{ "path": "/etc/ssh/ssh_host_ed25519_key", "type": "ed25519" }] },
            "secrets": {},
        });
        Self { container, recipient, profile, wanted: Vec::new() }
    }

    /// Returns the public half of the host key.
    pub fn recipient(&self) -> &str {
        &self.recipient
    }

    /// Returns the public half of a key that is not on this host.
    pub fn stranger(&self) -> String {
        ssh_key(&self.container.layer("/fixtures/keys/stranger"), "ed25519")
    }

    /// Makes a key of this kind at `path` the only host key; secrets added from now on are for it.
    pub fn key(&mut self, path: &str, kind: &str) {
        let place = self.container.layer(path);
        self.recipient = if kind == "age" { age_key(&place) } else { ssh_key(&place, kind) };
        self.profile["settings"]["hostPubkey"] = self.recipient.clone().into();
        self.profile["settings"]["hostKeys"] = json!([{ "path": path, "type": kind }]);
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
        self.file("/usr/local/sbin/userborn", include_str!("userborn.sh"));
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
        let read = |verb: &str| {
            format!("/bin/sh -c 'echo \"{verb} $$(cat \"{path}\" 2>&1)\" >>/out/{name}.log'")
        };
        let text = format!(
            "[Service]\nType=exec\nExecStartPre={}\nExecStart=/bin/sleep infinity\nExecReload={}\nExecStop={}\n",
            read("start"),
            read("reload"),
            read("stop")
        );
        self.unit(&format!("{name}.service"), &text);
    }

    /// Gives it half an hour where all of a load was asked for.
    pub fn limit_by_scale(&mut self) {
        if env::var_os(container::LOAD).is_some() {
            self.container.limit(Duration::from_secs(1800));
        }
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
    /// off.
    ///
    /// The script has the functions of `prelude.sh`. Before it, `boot.units` is noted. When it ends, the job queue is left to settle and `final.units`
    /// and the tree below `/run/vaultix*` are noted.
    pub fn run(mut self, script: &str) -> Boot {
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
        self.file("/scenario", include_str!("scenario.sh"));
        self.file("/prelude", include_str!("prelude.sh"));
        self.file("/script", format!("{script}\ntouch /out/done\n"));
        self.container.init("systemd.unit=scenario.service");
        let ended = self.container.boot();
        let boot = Boot { container: self.container };
        let status = ended.unwrap();
        assert!(status.success(), "systemd-nspawn: {status}");
        assert!(boot.has("done"), "the script did not come to its end");
        boot
    }
}

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

/// A boot that is over. Prints all that is known about it when a test fails.
pub struct Boot {
    /// Still holds the results.
    container: Container,
}

/// What systemd said about one unit, by property name.
pub type Unit = BTreeMap<String, String>;

/// One line of the journal.
#[derive(Debug)]
pub struct Line {
    /// The unit that wrote it or that it is about; empty for PID 1's other lines.
    pub unit: String,
    /// syslog's: 3 is an error.
    pub priority: u8,
    /// The text.
    pub message: String,
}

impl Boot {
    /// Tells whether the script left a file of this name in `/out`.
    pub fn has(&self, name: &str) -> bool {
        self.container.out().join(name).exists()
    }

    /// Returns the folder that was `/out`.
    pub fn out(&self) -> PathBuf {
        self.container.out()
    }

    /// Returns what the script left in `/out/NAME`, without white space at its end.
    pub fn text(&self, name: &str) -> String {
        let path = self.container.out().join(name);
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("/out/{name}: {error}"));
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    }

    /// Returns the exit status of the command that was noted as `name`.
    pub fn status(&self, name: &str) -> i32 {
        self.text(&format!("{name}.status")).parse().unwrap()
    }

    /// Returns all units of a snapshot, by name.
    pub fn units(&self, snapshot: &str) -> BTreeMap<String, Unit> {
        let parse = |block: &str| -> Unit {
            block
                .lines()
                .filter_map(|line| line.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect()
        };
        let text = self.text(&format!("{snapshot}.units"));
        text.split("\n\n").map(parse).map(|unit| (unit["Id"].clone(), unit)).collect()
    }

    /// Returns one unit as it was at the end; fails if systemd did not know it.
    pub fn unit(&self, name: &str) -> Unit {
        self.unit_at("final", name)
    }

    /// Returns one unit of a snapshot; fails if systemd did not know it.
    pub fn unit_at(&self, snapshot: &str, name: &str) -> Unit {
        let mut units = self.units(snapshot);
        units.remove(name).unwrap_or_else(|| panic!("no unit {name} in {:?}", units.keys()))
    }

    /// Returns the names of the units that were failed in a snapshot.
    pub fn failed(&self, snapshot: &str) -> Vec<String> {
        let units = self.units(snapshot).into_iter();
        units.filter(|(_, unit)| unit["ActiveState"] == "failed").map(|(name, _)| name).collect()
    }

    /// Returns the whole journal in order, from the first message to the last before the power went off.
    pub fn journal(&self) -> Vec<Line> {
        let output = Command::new("journalctl")
            .args(["--quiet", "--no-pager", "--output=json", "--all", "--directory"])
            .arg(self.container.out().join("journal"))
            .output()
            .unwrap();
        assert!(output.status.success(), "journalctl: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(line).collect()
    }

    /// Returns the messages of one unit, its own and systemd's about it.
    pub fn journal_of(&self, unit: &str) -> Vec<Line> {
        self.journal().into_iter().filter(|line| line.unit == unit).collect()
    }

    /// Fails unless the unit's journal has a line of priority 3 (error) with all these `words` in it.
    pub fn assert_error(&self, unit: &str, words: &[&str]) {
        let lines = self.journal_of(unit);
        let fits = |line: &Line| {
            line.priority == 3 && words.iter().all(|word| line.message.contains(word))
        };
        assert!(lines.iter().any(fits), "{unit} has no error line with {words:?}: {lines:#?}");
    }

    /// Fails if systemd met an ordering cycle at any time, from its first line to poweroff.
    pub fn assert_no_cycle(&self) {
        let journal = self.journal();
        assert!(
            journal.iter().any(|line| line.message.contains("Shutting down")),
            "the journal goes on until the power is off"
        );
        let console = self.text("console");
        let lines = journal.iter().map(|line| line.message.as_str()).chain(console.lines());
        let cycles: Vec<_> = lines.filter(|line| line.to_lowercase().contains("cycle")).collect();
        assert!(cycles.is_empty(), "{cycles:#?}");
    }
}

impl Drop for Boot {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.describe());
        }
    }
}

impl Boot {
    /// Returns everything that helps to find out why a test failed.
    fn describe(&self) -> String {
        let mut text = String::new();
        let mut add =
            |title: &str, body: &str| write!(text, "---- {title}\n{}\n", body.trim_end()).unwrap();
        let out = self.container.out();
        let mut names: Vec<PathBuf> =
            fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        for path in names
            .iter()
            .filter(|path| path.is_file() && path.extension().is_none_or(|it| it != "units"))
        {
            let body = fs::read(path).unwrap();
            let body = String::from_utf8_lossy(&body);
            add(&format!("/out/{}", path.file_name().unwrap().display()), &cut(&body));
        }
        if let Ok(units) = fs::read_to_string(out.join("final.units")) {
            let ours = units
                .split("\n\n")
                .filter(|unit| unit.contains("Id=vaultix") || unit.contains("=failed"));
            add("units", &ours.collect::<Vec<_>>().join("\n\n"));
        }
        for line in
            self.journal().iter().filter(|line| line.unit.contains("vaultix") || line.priority < 5)
        {
            writeln!(text, "<{}> {}: {}", line.priority, line.unit, line.message).unwrap();
        }
        text
    }
}

/// Returns the head of a long text.
fn cut(text: &str) -> String {
    text.lines().take(200).collect::<Vec<_>>().join("\n")
}

/// Reads one line of `journalctl --output=json`.
fn line(json: &str) -> Line {
    let fields: Value = serde_json::from_str(json).unwrap();
    let text = |name: &str| match &fields[name] {
        Value::String(text) => text.clone(),
        // A message that is not UTF-8 or has control characters comes as an array of bytes.
        Value::Array(bytes) => {
            let bytes: Vec<u8> =
                bytes.iter().map(|byte| byte.as_u64().unwrap().try_into().unwrap()).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        _ => String::new(),
    };
    // PID 1 says in UNIT which one a line is about.
    let unit = if fields["UNIT"].is_string() { text("UNIT") } else { text("_SYSTEMD_UNIT") };
    Line { unit, priority: text("PRIORITY").parse().unwrap_or(6), message: text("MESSAGE") }
}

/// Makes an OpenSSH key pair at `path` and `path.pub` and returns the public half without its comment.
pub fn ssh_key(path: &Path, kind: &str) -> String {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let status = Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-C", "", "-t", kind, "-f"])
        .arg(path)
        .status()
        .expect("ssh-keygen is there: apt-get install openssh-client");
    assert!(status.success(), "ssh-keygen: {status}");
    fs::read_to_string(path.with_extension("pub")).unwrap().trim().to_owned()
}

/// Makes an age identity at `path` and returns its recipient.
pub fn age_key(path: &Path) -> String {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let output = Command::new("age-keygen")
        .arg("-o")
        .arg(path)
        .output()
        .expect("age-keygen is there: apt-get install age");
    assert!(output.status.success(), "age-keygen: {}", output.status);
    let said = String::from_utf8(output.stderr).unwrap();
    said.trim().strip_prefix("Public key: ").unwrap().to_owned()
}

/// Encrypts with the real age.
pub fn encrypt(recipient: &str, plaintext: &[u8]) -> Vec<u8> {
    let mut age = Command::new("age")
        .args(["-r", recipient])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("age is there: apt-get install age");
    let mut stdin = age.stdin.take().unwrap();
    let plaintext = plaintext.to_owned();
    let writer = thread::spawn(move || stdin.write_all(&plaintext).unwrap());
    let output = age.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "age: {}", output.status);
    output.stdout
}

/// Returns the unit of a secret, named by the real systemd-escape.
pub fn secret_unit(id: &str) -> String {
    item_unit("vaultix-secret@.service", id)
}

/// Returns the instance of a template unit for `id`.
fn item_unit(template: &str, id: &str) -> String {
    let output =
        Command::new("systemd-escape").args(["--template", template, "--", id]).output().unwrap();
    assert!(
        output.status.success(),
        "systemd-escape {id}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Returns the placeholder of a secret.
pub fn placeholder(id: &str) -> String {
    format!("{{{{ {:x} }}}}", Sha256::digest(id))
}

/// Returns the unit of a template, named by the real systemd-escape.
pub fn template_unit(id: &str) -> String {
    item_unit("vaultix-template@.service", id)
}
