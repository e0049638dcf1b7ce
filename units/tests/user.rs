//! the helper with `--user` → files in the runtime directory of whoever runs it, or a refusal. Needs root, to be several users.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use age::secrecy::ExposeSecret;
use pretty_assertions::assert_eq;

/// Who runs it.
const USER: u32 = 12348;
/// Somebody else.
const OTHER: u32 = 12349;

/// A home with a profile, in memory; removed at the end.
struct Home {
    path: PathBuf,
    program: PathBuf,
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
        let _ = fs::remove_file(&self.program);
    }
}

impl Home {
    /// Makes one of [`USER`], with a secret; `None`, said aloud, without root.
    fn new(name: &str) -> Option<Self> {
        let path = Path::new("/dev/shm").join(format!("vaultix-test-home-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        if chown(&path, Some(0), Some(0)).is_err() {
            assert!(
                std::env::var_os("VAULTIX_TESTS").is_none_or(|which| which != "all"),
                "not root"
            );
            eprintln!("SKIPPED: being several users takes root");
            return None;
        }
        // Where its own bits count.
        let program =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("vaultix-decrypt-{name}"));
        // Not by this process: another thread that starts a program would hold the copy open for writing, which stops it
        // from being run.
        let mut copy = Command::new("cp");
        let copied = copy.arg(env!("CARGO_BIN_EXE_vaultix-decrypt")).arg(&program).status();
        assert!(copied.unwrap().success());
        let home = Self { path, program };
        home.make("run", USER, 0o700);
        home.make("home", USER, 0o755);
        let identity = age::x25519::Identity::generate();
        home.file("home/identity.txt", identity.to_string().expose_secret());
        let ciphertext = age::encrypt(&identity.to_public(), b"hunter2").unwrap();
        home.file("home/cipher", ciphertext);
        let (at, recipient) = (home.at("home"), identity.to_public());
        let at = at.display();
        home.file(
            "home/profile.json",
            format!(
                r#"{{"version":1,"settings":{{"hostIdentifier":"me@here","hostPubkey":"{recipient}",
                "hostKeys":[{{"path":"{at}/identity.txt","type":"age"}}],"systemctl":"/bin/true",
                "decryptedDir":"{at}/.local/state/vaultix"}},
                "secrets":{{"token":{{"cipher":"{at}/cipher"}},
                "other":{{"cipher":"{at}/cipher","path":"{at}/.config/app/token","mode":"0600"}}}}}}"#
            ),
        );
        Some(home)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    /// Makes a directory of `owner`.
    fn make(&self, path: &str, owner: u32, mode: u32) {
        let path = self.at(path);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        chown(&path, Some(owner), Some(owner)).unwrap();
    }

    /// Puts a file of [`USER`].
    fn file(&self, path: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.at(path), bytes).unwrap();
        chown(self.at(path), Some(USER), Some(USER)).unwrap();
    }

    /// Runs `verb` with `--user` as `user`, whose runtime directory is `runtime`; returns the exit status and what it says.
    fn run(&self, user: u32, runtime: Option<&Path>, verb: &str) -> (Option<i32>, String) {
        let mut command = Command::new(&self.program);
        command.env_clear().uid(user).gid(user).current_dir("/");
        command.env("HOME", self.at("home"));
        command.args([verb, "--user", "--profile"]).arg(self.at("home/profile.json"));
        if verb == "secret" {
            command.args(["--", "token"]);
        }
        if let Some(runtime) = runtime {
            command.env("XDG_RUNTIME_DIR", runtime);
        }
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    /// Returns whether nothing was placed, neither in `runtime` nor in the home.
    fn is_untouched(&self, runtime: &Path) -> bool {
        !runtime.join("vaultix.d/1").exists()
            && fs::symlink_metadata(self.at("home/.local/state/vaultix")).is_err()
            && fs::symlink_metadata(self.at("home/.config/app/token")).is_err()
    }
}

#[test]
fn a_user_has_their_own_generations() {
    let Some(home) = Home::new("own") else { return };
    let run = home.at("run");
    // Without a session, what can be decrypted is known all the same.
    assert_eq!(home.run(USER, None, "check"), (Some(0), String::new()));
    assert_eq!(home.run(USER, Some(&run), "secret"), (Some(0), String::new()));
    let token = home.at("home/.local/state/vaultix/token");
    assert_eq!(fs::read_to_string(&token).unwrap(), "hunter2");
    let (status, said) = home.run(USER, Some(&run), "switch");
    assert_eq!(
        (status, &*said),
        (Some(0), "vaultix-decrypt: generation 2: 1 made, 1 kept, 0 removed\n")
    );
    let link = fs::read_link(home.at("home/.local/state/vaultix")).unwrap();
    assert_eq!(link, run.join("vaultix.d/current"));
    let target = fs::read_link(home.at("home/.config/app/token")).unwrap();
    assert_eq!(target, home.at("home/.local/state/vaultix/other"));
    for (path, mode) in [("token", 0o400), ("other", 0o600)] {
        let file = fs::metadata(home.at("home/.local/state/vaultix").join(path)).unwrap();
        assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (USER, USER, mode), "{path}");
    }
    let around = fs::metadata(run.join("vaultix.d")).unwrap();
    assert_eq!((around.uid(), around.mode() & 0o7777), (USER, 0o700));
    // Nothing has changed.
    assert_eq!(home.run(USER, Some(&run), "switch"), (Some(0), String::new()));
    // What has logged out has nothing, and a dead link of the last session is in nobody's way.
    fs::remove_dir_all(&run).unwrap();
    home.make("run", USER, 0o700);
    assert_eq!(home.run(USER, Some(&run), "secret"), (Some(0), String::new()));
    assert_eq!(fs::read_to_string(&token).unwrap(), "hunter2");
}

#[test]
fn nobody_is_taken_for_somebody_else() {
    let Some(home) = Home::new("other") else { return };
    let run = home.at("run");
    let refused = |(status, said): (Option<i32>, String), expected: i32, why: &str| {
        assert_eq!(status, Some(expected), "{said}");
        assert!(said.contains(why), "{said}");
        assert!(home.is_untouched(&run), "{why}");
    };
    for verb in ["secret", "switch", "check", "retry", "enroll"] {
        refused(home.run(0, Some(&run), verb), 64, "root has the secrets of the host");
    }
    // The program with the rights of the user whose directory it is, of root, and of a group.
    for (owner, mode) in [(USER, 0o4755), (0, 0o4755), (USER, 0o2755)] {
        chown(&home.program, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(&home.program, PermissionsExt::from_mode(mode)).unwrap();
        refused(home.run(OTHER, Some(&run), "switch"), 64, "setuid");
    }
    fs::set_permissions(&home.program, PermissionsExt::from_mode(0o755)).unwrap();
    // Somebody else's directory, even one that this user could write to.
    let others = [("others", OTHER, 0o700), ("open", OTHER, 0o777), ("sticky", 0, 0o1777)];
    for (name, owner, mode) in others {
        home.make(name, owner, mode);
        let place = home.at(name);
        let (status, said) = home.run(USER, Some(&place), "switch");
        assert_eq!(status, Some(73), "{said}");
        assert!(!place.join("vaultix.d").exists(), "{name}");
        refused((status, said), 73, "");
    }
    // A link in it, planted by somebody who could write there once, leads nowhere else.
    home.make("victim", USER, 0o700);
    symlink(home.at("victim"), run.join("vaultix.d")).unwrap();
    lchown(run.join("vaultix.d"), Some(USER), Some(USER)).unwrap();
    refused(home.run(USER, Some(&run), "switch"), 73, "vaultix.d");
    assert_eq!(fs::read_dir(home.at("victim")).unwrap().count(), 0);
    fs::remove_file(run.join("vaultix.d")).unwrap();
    // A directory there of somebody else.
    home.make("run/vaultix.d", OTHER, 0o777);
    refused(home.run(USER, Some(&run), "switch"), 73, "belongs to somebody else");
    fs::remove_dir(run.join("vaultix.d")).unwrap();
    // The control: nothing else is in the way.
    assert_eq!(home.run(USER, Some(&run), "switch").0, Some(0));
    assert!(!home.is_untouched(&run));
}

#[test]
fn a_runtime_directory_that_is_not_private_and_in_memory_is_refused() {
    let Some(home) = Home::new("runtime") else { return };
    let run = home.at("run");
    let refused = |runtime: Option<&Path>, why: &str| {
        for verb in ["secret", "switch"] {
            let (status, said) = home.run(USER, runtime, verb);
            assert_eq!(status, Some(73), "{why}: {said}");
            assert!(said.contains(why), "{why}: {said}");
            assert!(home.is_untouched(runtime.unwrap_or(&run)), "{why}");
        }
    };
    refused(None, "XDG_RUNTIME_DIR is not the absolute path");
    refused(Some(Path::new("")), "XDG_RUNTIME_DIR is not the absolute path");
    refused(Some(Path::new("run")), "XDG_RUNTIME_DIR is not the absolute path");
    refused(Some(&home.at("nowhere")), "No such file");
    for mode in [0o750, 0o755, 0o701, 0o1700, 0o500] {
        fs::set_permissions(&run, PermissionsExt::from_mode(mode)).unwrap();
        refused(Some(&run), "and not 0700");
    }
    fs::set_permissions(&run, PermissionsExt::from_mode(0o700)).unwrap();
    // On a disk.
    let disk = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vaultix-test-home-disk");
    fs::create_dir_all(&disk).unwrap();
    fs::set_permissions(&disk, PermissionsExt::from_mode(0o700)).unwrap();
    chown(&disk, Some(USER), Some(USER)).unwrap();
    refused(Some(&disk), "is not a tmpfs");
    fs::remove_dir_all(&disk).unwrap();
    assert_eq!(home.run(USER, Some(&run), "switch").0, Some(0));
}

#[test]
fn an_identity_of_ones_own() {
    let Some(home) = Home::new("enroll") else { return };
    // On a disk, where it outlives a reboot.
    let disk = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vaultix-test-home-enroll");
    let _ = fs::remove_dir_all(&disk);
    fs::create_dir_all(&disk).unwrap();
    chown(&disk, Some(USER), Some(USER)).unwrap();
    let enroll = |args: &[&str]| {
        let mut command = Command::new(&home.program);
        command.env_clear().env("HOME", &disk).uid(USER).gid(USER).current_dir("/");
        command.args(["enroll", "--x25519"]).args(args).output().unwrap()
    };
    let refused = enroll(&[]);
    assert_eq!(refused.status.code(), Some(77), "without --user, it is the host's");
    let (mut said, mut recipient) = (String::new(), String::new());
    for what in ["created", "was there already"] {
        let made = enroll(&["--user"]);
        said = String::from_utf8(made.stderr).unwrap();
        assert_eq!(made.status.code(), Some(0), "{said}");
        assert!(said.contains(what), "{said}");
        recipient = String::from_utf8(made.stdout).unwrap();
    }
    let path = disk.join(".config/vaultix/home.age");
    let file = fs::metadata(&path).unwrap();
    assert_eq!((file.uid(), file.mode() & 0o7777), (USER, 0o400));
    let lines: Vec<&str> = said.lines().skip(1).map(str::trim).collect();
    let expected = [
        format!("vaultix.settings.recipient = \"{}\";", recipient.trim()),
        format!("vaultix.settings.identities = [ \"{}\" ];", path.display()),
    ];
    assert_eq!(lines, expected);
    fs::remove_dir_all(&disk).unwrap();
}

#[test]
fn a_passphrase_is_named() {
    let Some(home) = Home::new("passphrase") else { return };
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/keys");
    for name in ["me-passphrase.age", "me-passphrase-armored.age"] {
        home.file("home/identity.txt", fs::read(Path::new(keys).join(name)).unwrap());
        let (status, said) = home.run(USER, None, "check");
        assert_eq!(status, Some(1), "{said}");
        let why = "protected by a passphrase, which nobody is there to enter; make an identity without one: \
                   vaultix-decrypt enroll --user";
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_profile_that_somebody_else_could_change_is_refused() {
    let Some(home) = Home::new("profile") else { return };
    // What a profile can do: have a program run.
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vaultix-test-home-tools");
    fs::create_dir_all(&tools).unwrap();
    let (tool, marker) = (tools.join("systemctl"), home.at("run/marker"));
    fs::write(&tool, format!("#!/bin/sh\n: >'{}'\n", marker.display())).unwrap();
    fs::set_permissions(&tool, PermissionsExt::from_mode(0o755)).unwrap();
    let text = fs::read_to_string(home.at("home/profile.json")).unwrap();
    let text = text.replace("/bin/true", tool.to_str().unwrap());
    let has_run = |user: u32, above: &Path| {
        let mut command = Command::new(&home.program);
        command.env_clear().uid(user).gid(user).current_dir("/");
        command.env("HOME", above).env("XDG_RUNTIME_DIR", home.at("run"));
        let output = command.args(["retry", "--user"]).output().unwrap();
        let ran = fs::remove_file(&marker).is_ok();
        assert_eq!(output.status.code(), Some(if ran { 0 } else { 78 }));
        (ran, String::from_utf8(output.stderr).unwrap())
    };
    // As in a Nix store: everybody can put a file of root's there.
    home.make("store", 0, 0o1777);
    let stored = home.at("store/profile.json");
    fs::write(&stored, &text).unwrap();
    let make = |name: &str, owner: u32, link: bool| {
        for part in ["", "/.config", "/.config/vaultix"] {
            home.make(&format!("{name}{part}"), owner, 0o755);
        }
        let path = home.at(name).join(".config/vaultix/profile.json");
        if link {
            symlink(&stored, &path).unwrap();
            lchown(&path, Some(owner), Some(owner)).unwrap();
        } else {
            fs::write(&path, &text).unwrap();
            chown(&path, Some(owner), Some(owner)).unwrap();
        }
        path
    };
    let own = make("mine", USER, true);
    let refused = |above: &str, why: &str| {
        let (ran, said) = has_run(USER, &home.at(above));
        assert!(!ran && said.contains(why), "{above}: {said}");
    };
    // The controls: a link of one's own, a file of one's own, and of the other user for themselves.
    assert!(has_run(USER, &home.at("mine")).0);
    make("plain", USER, false);
    assert!(has_run(USER, &home.at("plain")).0);
    // HOME is what `su` has left.
    for link in [true, false] {
        let name = if link { "linked" } else { "written" };
        make(name, OTHER, link);
        assert!(fs::read_to_string(home.at(name).join(".config/vaultix/profile.json")).is_ok());
        refused(name, "belongs to user 12349, who could have you run anything");
    }
    // A link of somebody else's, planted where everybody can write; a file there; a directory that is open to all.
    home.make("sticky", USER, 0o1777);
    home.make("sticky/.config", OTHER, 0o755);
    refused("sticky", "belongs to user 12349");
    fs::remove_file(&own).unwrap();
    let planted = home.at("store/planted.json");
    fs::write(&planted, &text).unwrap();
    chown(&planted, Some(OTHER), Some(OTHER)).unwrap();
    symlink(&planted, &own).unwrap();
    refused("mine", "belongs to user 12349");
    chown(&planted, Some(0), Some(USER)).unwrap();
    assert!(has_run(USER, &home.at("mine")).0);
    fs::set_permissions(&planted, PermissionsExt::from_mode(0o664)).unwrap();
    refused("mine", "others can write to");
    fs::set_permissions(&planted, PermissionsExt::from_mode(0o644)).unwrap();
    home.make("mine/.config", USER, 0o775);
    refused("mine", "chmod go-w");
    home.make("mine/.config", USER, 0o755);
    // Something that is no file, which is not waited for.
    fs::remove_file(&own).unwrap();
    assert!(Command::new("mkfifo").arg(&own).status().unwrap().success());
    lchown(&own, Some(USER), Some(USER)).unwrap();
    refused("mine", "it is not a regular file");
    fs::remove_file(&own).unwrap();
    symlink(&own, &own).unwrap();
    refused("mine", "");
    fs::remove_file(&own).unwrap();
    symlink("/nowhere/at/all", &own).unwrap();
    refused("mine", "it is a link to a file that does not exist");
    fs::remove_dir_all(&tools).unwrap();
}

#[test]
fn an_identity_is_made_in_no_home_of_somebody_else() {
    let Some(home) = Home::new("enroll-other") else { return };
    let disk = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vaultix-test-home-enroll-other");
    let _ = fs::remove_dir_all(&disk);
    fs::create_dir_all(disk.join(".config/vaultix")).unwrap();
    let enroll = |user: u32| {
        let mut command = Command::new(&home.program);
        command.env_clear().uid(user).gid(user).current_dir("/").env("HOME", &disk);
        command.args(["enroll", "--user"]).output().unwrap()
    };
    for (path, mode) in [("", 0o755), (".config", 0o755), (".config/vaultix", 0o777)] {
        let path = disk.join(path);
        chown(&path, Some(OTHER), Some(OTHER)).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let said = String::from_utf8(enroll(USER).stderr).unwrap();
    assert!(said.contains("others than you can exchange a directory above it"), "{said}");
    assert_eq!(fs::read_dir(disk.join(".config/vaultix")).unwrap().count(), 0);
    fs::set_permissions(disk.join(".config/vaultix"), PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(enroll(OTHER).status.code(), Some(0));
    fs::remove_dir_all(&disk).unwrap();
}

#[test]
fn a_user_has_no_sealed_key() {
    let Some(home) = Home::new("sealed") else { return };
    let text = fs::read_to_string(home.at("home/profile.json")).unwrap();
    home.file("home/profile.json", text.replace("\"type\":\"age\"", "\"type\":\"credential\""));
    let (status, said) = home.run(USER, None, "check");
    assert_eq!(status, Some(78), "{said}");
    assert!(said.contains("a user cannot have a key that is sealed to the machine"), "{said}");
}

#[test]
fn messages_name_what_a_user_has() {
    let Some(home) = Home::new("words") else { return };
    let text = fs::read_to_string(home.at("home/profile.json")).unwrap();
    let key = fs::read_to_string(home.at("home/identity.txt")).unwrap();
    let recipient = key.trim().parse::<age::x25519::Identity>().unwrap().to_public().to_string();
    let another = age::x25519::Identity::generate();
    let says = |text: &str, why: &str| {
        home.file("home/profile.json", text);
        let (status, said) = home.run(USER, None, "check");
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains(why), "{why}: {said}");
        // No option of a host, and no host at all.
        assert!(!said.contains("host") && !said.contains(" systemctl "), "{said}");
    };
    says(
        &text.replace(&recipient, ""),
        "settings.recipient is empty; set it to what this prints, and run vaultix renc: vaultix-decrypt enroll --user",
    );
    says(&text.replace(&recipient, key.trim()), "settings.recipient is or contains a private key");
    says(
        &text.replace(&recipient, "ssh-ed25519 AAAA"),
        "has the type of settings.recipient, \"ssh-ed25519\"; add the identity that belongs to it",
    );
    let id = "0".repeat(64);
    let template =
        format!("\"templates\":{{\"t\":{{\"content\":\"{{{{ {id} }}}}\"}}}},\"secrets\"");
    says(&text.replace("\"secrets\"", &template), "belongs to no secret of this home");
    home.file("home/cipher", age::encrypt(&another.to_public(), b"hunter2").unwrap());
    says(&text, "contains the key in settings.recipient; remove that file from the cache");
    home.file("home/identity.txt", another.to_string().expose_secret());
    home.file(
        "home/cipher",
        age::encrypt(&age::x25519::Identity::generate().to_public(), b"hunter2").unwrap(),
    );
    says(&text, "set recipient to that of one of settings.identities and run: vaultix renc");
    fs::remove_file(home.at("home/identity.txt")).unwrap();
    says(&text, "no identity can be read: ");
    home.file("home/identity.txt", another.to_string().expose_secret());
    fs::remove_file(home.at("home/cipher")).unwrap();
    says(&text, "does not exist; make it: vaultix renc");
}
