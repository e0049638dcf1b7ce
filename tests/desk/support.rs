//! test name → a directory with keys, secrets and profiles, in which to run the product.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

use serde_json::{Value, json};
use xtask::canary::{files, holds, marked, marker, plain};

use crate::prefix::prefix;

/// A temporary workspace. Kept if its test fails. The test also fails if a plaintext is left in it.
pub struct Workspace {
    /// Its directory, where commands run.
    pub root: PathBuf,
    /// Files that contain plaintexts which the test has put there.
    kept: Mutex<Vec<PathBuf>>,
}

/// What a command did.
pub struct Done {
    /// Its exit status; 128 plus the number of a signal.
    pub exit: i32,
    /// Its standard output, without the marker.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Done {
    /// Reads the output of `command`. Fails if it contains a plaintext although the command must
    /// not print one.
    fn new(command: &Command, output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        assert!(!holds(&output.stderr, &marker()), "{command:?} has told a plaintext");
        let answered = may_answer(command) || !holds(&output.stdout, &marker());
        assert!(answered, "{command:?} has answered with a plaintext");
        let signal = output.status.signal().map_or(-1, |signal| 128 + signal);
        Self {
            exit: output.status.code().unwrap_or(signal),
            stdout: String::from_utf8(plain(&output.stdout)).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Checks the exit status, and prints everything if it is a different one.
    #[track_caller]
    pub fn exits(self, exit: i32) -> Self {
        assert_eq!(self.exit, exit, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Checks that standard error contains all of `texts`.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "not said: {text}\nstderr:\n{}", self.stderr);
        }
        self
    }
}

impl Workspace {
    /// Makes a workspace with the keys of `tests/keys` in `keys/`.
    pub fn new(name: &str) -> Self {
        // Not below this repository, because git would find it; and not in the directory that
        // another checkout uses.
        let checkout = env!("CARGO_MANIFEST_DIR").replace('/', "-");
        let all = format!("vaultix-desk-{}{checkout}", rustix::process::getuid().as_raw());
        let root = std::env::temp_dir().join(all).join(name);
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        let workspace = Self { root, kept: Mutex::new(Vec::new()) };
        let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys");
        symlink(keys, workspace.path("keys")).unwrap();
        workspace
    }

    /// Makes a workspace with three secrets that two hosts use, and their profiles.
    pub fn with_secrets(name: &str) -> Self {
        let workspace = Self::new(name);
        for secret in ["wifi", "mail", "tls"] {
            workspace.secret(&format!("secrets/{secret}.age"), format!("{secret} text"));
        }
        let all = [("wifi", "wifi"), ("mail", "mail"), ("tls", "tls")];
        workspace.profile("web1", "host-web1.pub", &all);
        workspace.profile("db1", "host-db1.pub", &all[..2]);
        workspace
    }

    /// Returns whether there is a nix. Where everything is to be tested, there has to be one.
    pub fn has_nix(&self) -> bool {
        let is_there = self.sh("command -v nix").exit == 0;
        if !is_there {
            assert_ne!(std::env::var("VAULTIX_TESTS").as_deref(), Ok("all"), "nix is missing");
            eprintln!("SKIPPED: there is no nix here");
        }
        is_there
    }

    /// Returns the path of `name` in this workspace.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes the file `name`, and creates the directories above it.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Expects a plaintext in the file `name` at the end.
    pub fn keeps(&self, name: &str) {
        self.kept.lock().unwrap().push(self.path(name));
    }

    /// Returns the bytes of the file `name`.
    #[track_caller]
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Returns the text of a key file.
    pub fn key(&self, name: &str) -> String {
        String::from_utf8(self.read(&format!("keys/{name}"))).unwrap()
    }

    /// Encrypts `text` as `name` to the user's native identity, with the real age client.
    pub fn secret(&self, name: &str, text: impl AsRef<[u8]>) {
        self.secret_with(name, text, &["-i", "keys/me.txt"]);
    }

    /// Encrypts `text` as `name` with the real age client; the options `to` contain the recipients.
    pub fn secret_with(&self, name: &str, text: impl AsRef<[u8]>, to: &[&str]) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        let mut age = self.command("age");
        age.args(["--encrypt", "--output", name]).args(to);
        feed(&mut age, text.as_ref()).exits(0);
    }

    /// Decrypts the file `name` with the real age client.
    #[track_caller]
    pub fn open(&self, name: &str, identity: &str) -> String {
        let mut age = self.command("age");
        age.args(["--decrypt", "--identity", &format!("keys/{identity}"), name]);
        run(&mut age).exits(0).stdout
    }

    /// Writes `HOST.json`, with secrets as pairs of an id and the name of a file in `secrets/`.
    pub fn profile(&self, host: &str, public: &str, secrets: &[(&str, &str)]) {
        self.profile_with(host, self.key(public).trim(), secrets, |_| {});
    }

    /// The same, with the recipient as text; `change` can change the profile before it is written.
    pub fn profile_with(
        &self,
        host: &str,
        recipient: &str,
        secrets: &[(&str, &str)],
        change: impl FnOnce(&mut Value),
    ) {
        let secrets: BTreeMap<_, _> = secrets
            .iter()
            .map(|(id, file)| (*id, json!({ "file": format!("secrets/{file}.age") })))
            .collect();
        let mut profile = json!({
            "version": 1,
            "settings": { "hostIdentifier": host, "hostPubkey": recipient, "hostKeys": [] },
            "secrets": secrets,
        });
        change(&mut profile);
        self.write(&format!("{host}.json"), profile.to_string());
    }

    /// Prepares to run `program` here, without the developer's own settings.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let path = format!("{}:{}", prefix().join("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(program);
        command.current_dir(&self.root).env("PATH", path).env("PINENTRY_PROGRAM", "");
        for name in ["VISUAL", "EDITOR", "NO_COLOR", "JOURNAL_STREAM", "TERM", "GPG_TTY", "DISPLAY"]
        {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs `vaultix` with the words of `line`, without a terminal.
    pub fn vaultix(&self, line: &str) -> Done {
        run(&mut self.vaultix_command(line))
    }

    /// Prepares to do that.
    pub fn vaultix_command(&self, line: &str) -> Command {
        let mut command = self.command("setsid");
        command.args(["--wait", "vaultix"]).args(line.split_ascii_whitespace());
        command
    }

    /// Runs `renc` with the native identity for both hosts.
    pub fn renc(&self) -> Done {
        self.vaultix("-p web1.json -p db1.json renc -i keys/me.txt")
    }

    /// Runs a line of shell.
    pub fn sh(&self, line: &str) -> Done {
        run(self.command("setsid").args(["--wait", "sh", "-c", line]))
    }

    /// Returns names and sizes of all files below `name`, sorted; none if it does not exist.
    pub fn tree(&self, name: &str) -> Vec<(String, u64)> {
        /// Collects the files below `path`.
        fn collect(path: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(path).into_iter().flatten().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    collect(&entry.path(), found);
                } else {
                    found.push(entry.path());
                }
            }
        }
        let root = self.path(name);
        let mut found = Vec::new();
        collect(&root, &mut found);
        found.sort();
        let describe = |path: PathBuf| {
            let size = path.symlink_metadata().unwrap().len();
            (path.strip_prefix(&root).unwrap().display().to_string(), size)
        };
        found.into_iter().map(describe).collect()
    }

    /// Returns the only file of `host` in the cache that `identity` decrypts to `text`.
    #[track_caller]
    pub fn cached(&self, host: &str, identity: &str, text: &str) -> String {
        let files = self.tree(&format!("secrets/cache/{host}"));
        let open = |name: &str| self.open(&format!("secrets/cache/{host}/{name}"), identity);
        let fitting: Vec<String> =
            files.into_iter().map(|(name, _)| name).filter(|name| open(name) == text).collect();
        assert_eq!(fitting.len(), 1, "files of {host} with {text:?}: {fitting:?}");
        fitting[0].clone()
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let mut kept = std::mem::take(&mut *self.kept.lock().unwrap());
            let mut found = files(&self.root, &[&marker()]);
            kept.sort();
            found.sort();
            assert_eq!(found, kept, "plaintexts in clear");
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

/// Runs `command` to its end.
pub fn run(command: &mut Command) -> Done {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Done::new(command, output)
}

/// Returns whether `command` may print plaintexts: all programs may, except `vaultix` with a verb
/// that shows none.
pub fn may_answer(command: &Command) -> bool {
    let has = |words: &[&str]| command.get_args().any(|arg| words.iter().any(|word| arg == *word));
    !has(&["vaultix"]) || has(&["view", "textconv", "get"])
}

/// Runs `command` to its end, with the plaintext `input`, to which the marker is added.
pub fn feed(command: &mut Command, input: &[u8]) -> Done {
    feed_as_is(command, &marked(input))
}

/// Runs `command` to its end, with `input`.
pub fn feed_as_is(command: &mut Command, input: &[u8]) -> Done {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A program that fails early does not read all of its input.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Done::new(command, output)
}
