//! commands that see plaintexts and fail in many ways → plaintexts are found only where they
//! belong.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use xtask::canary::{Watch, files, fresh_marker, holds, marked};

use crate::pty::Pty;
use crate::support::{Done, Workspace, feed, run};

/// The passphrase of the keys in `tests/keys` that have one: as secret as a plaintext.
const PASSPHRASE: &str = "correct horse";

/// A workspace in which every program is traced.
struct Watched {
    /// The workspace, with its own home and its own folder for temporary files.
    workspace: Workspace,
    /// The text that is in all of its secrets.
    marker: String,
    /// Traces of the programs by strace. In memory, because they contain what the programs wrote.
    traces: PathBuf,
    /// How many commands were run.
    count: usize,
}

impl Watched {
    /// Makes one without any secret yet.
    fn new(name: &str) -> Self {
        let workspace = Workspace::new(name);
        for folder in ["home/.cache", "tmp", "secrets"] {
            fs::create_dir_all(workspace.path(folder)).unwrap();
        }
        let traces = Path::new("/dev/shm").join(format!("vaultix-{name}-{}", std::process::id()));
        fs::create_dir_all(&traces).unwrap();
        Self { workspace, marker: fresh_marker(), traces, count: 0 }
    }

    /// Prepares `vaultix` with `line`: with all debug output on, core dumps allowed, and each
    /// program and each write traced.
    fn command(&mut self, line: &str) -> Command {
        self.count += 1;
        let trace = self.traces.join(self.count.to_string());
        let mut command = self.workspace.command("setsid");
        command.args(["--wait", "prlimit", "--core=unlimited", "strace", "-f", "-v", "-y", "-qq"]);
        command.args(["-s", "1000000", "-e", "trace=execve,write,pwrite64,writev,sendto,sendmsg"]);
        command.args(["-e", "signal=none", "-o"]).arg(trace).arg("vaultix");
        command.args(line.split_ascii_whitespace());
        command.env("HOME", self.workspace.path("home")).env("TMPDIR", self.workspace.path("tmp"));
        command.env("RUST_BACKTRACE", "full").env("RUST_LOG", "trace").env("AGEDEBUG", "plugin");
        command
    }

    /// Checks that a command printed no secret.
    #[track_caller]
    fn silent(&self, done: Done) -> Done {
        for said in [&done.stdout, &done.stderr] {
            assert!(!holds(said.as_bytes(), &self.marker), "it was printed:\n{said}");
            assert!(!said.contains(PASSPHRASE), "it was printed:\n{said}");
        }
        done
    }

    /// Runs `vaultix` with `line`.
    #[track_caller]
    fn run(&mut self, line: &str) -> Done {
        let done = run(&mut self.command(line));
        self.silent(done)
    }

    /// Runs `edit` with `editor`, a line of shell.
    #[track_caller]
    fn edit(&mut self, editor: &str) -> Done {
        let mut command = self.command("edit -v secrets/wifi.age -i keys/me.txt");
        let done = run(command.env("EDITOR", editor));
        self.silent(done)
    }

    /// Returns every line of a trace that wrote a secret anywhere except memory, a terminal or a
    /// pipe.
    fn leaks(&self) -> Vec<String> {
        let text = |path: PathBuf| fs::read_to_string(path).unwrap();
        let lines: Vec<String> = (1..=self.count)
            .map(|count| text(self.traces.join(count.to_string())))
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        assert!(lines.iter().any(|line| line.contains("execve(")), "nothing was traced");
        lines.into_iter().filter(|line| self.is_leak(line)).collect()
    }

    /// Returns whether a line of a trace is a leak.
    fn is_leak(&self, line: &str) -> bool {
        if !line.contains(&self.marker) && !line.contains(PASSPHRASE) {
            return false;
        }
        let file = line.split_once('<').map(|(_, file)| file).unwrap_or_default();
        let kept = ["/dev/shm/", "/run/user/", "pipe:[", "/dev/pts/", "/dev/tty"];
        line.contains("execve(") || !kept.iter().any(|place| file.starts_with(place))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.traces); // It contains plaintexts of a test.
        // What a killed program could not remove.
        for left in files(Path::new("/dev/shm"), &[&self.marker]) {
            let _ = fs::remove_dir_all(left.parent().unwrap());
        }
    }
}

#[test]
fn no_plaintext_is_left_anywhere() {
    let mut watched = Watched::new("canary");
    let marker = watched.marker.clone();
    let watch = Watch::start(&[&marker, PASSPHRASE], Duration::ZERO);
    for secret in ["mail", "tls"] {
        watched.workspace.secret(&format!("secrets/{secret}.age"), format!("{secret} {marker}\n"));
    }
    let all = [("wifi", "wifi"), ("mail", "mail"), ("tls", "tls")];
    watched.workspace.profile("web1", "host-web1.pub", &all);
    watched.workspace.profile("db1", "host-db1.pub", &all[..2]);

    // Runs that succeed.
    let new = format!("password {marker}\n");
    let mut stdin = watched.command("edit -v secrets/wifi.age -i keys/me.txt --stdin");
    let done = feed(&mut stdin, new.as_bytes());
    watched.silent(done).exits(0);
    watched.edit("sed -i s/password/word/").exits(0);
    let mut typed = watched.command("edit -v secrets/wifi.age -i keys/me-passphrase.age");
    let mut pty = Pty::start(typed.env("EDITOR", "vim"));
    pty.expect("Passphrase for keys/me-passphrase.age");
    pty.send(&format!("{PASSPHRASE}\n"));
    pty.expect(&marker);
    pty.send("Onew line\u{1b}:wq\n");
    assert_eq!(pty.end().0, 0);
    let renc = "-p web1.json -p db1.json renc -v -i keys/me.txt";
    watched.run(renc).exits(0).says(&["5 re-encrypted"]);
    for line in ["check -v", "check --json", "status -v", "status --json"] {
        watched.run(&format!("-p web1.json -p db1.json {line}")).exits(0);
    }

    // Runs that fail: editors, identities, files.
    watched.edit("sh -c 'echo >>\"$0\"; exit 3'").exits(1);
    watched.edit("sh -c 'kill -9 $$'").exits(1);
    watched.edit("f() { kill -ABRT $PPID; sleep 0.1; }; f").exits(134);
    watched.run("view -v secrets/wifi.age -i keys/other.txt").exits(77);
    watched.run("textconv secrets/wifi.age -i keys/other.txt").exits(0);
    watched.workspace.sh("rm -r secrets/cache/db1; printf x >>secrets/mail.age");
    watched.run(renc).exits(65);
    watched.run("-p web1.json renc -v -i keys/other.txt").exits(77);
    watched.run("-p web1.json -p db1.json check -v").exits(1);
    let short = watched.workspace.read("secrets/tls.age");
    watched.workspace.write("secrets/tls.age", &short[..short.len() - 1]);
    watched.edit("true").exits(0);
    watched.run("edit -v secrets/tls.age -i keys/me.txt").exits(65);

    let (looks, seen) = watch.end();
    assert!(looks > 1000, "only {looks} looks at processes");
    assert!(seen.is_empty(), "{seen:?}");
    assert_eq!(watched.leaks(), [""; 0]);
    let found = files(&watched.workspace.root, &[&marker, PASSPHRASE]);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_leak_is_seen() {
    let mut watched = Watched::new("canary-leak");
    watched.workspace.secret("secrets/wifi.age", "text\n");
    let marker = watched.marker.clone();
    let watch = Watch::start(&[&marker], Duration::ZERO);

    let script = format!("echo {marker} >left; LEAK={marker} sleep 1");
    // Without -v, which prints the editor's command line, which here contains the text.
    let mut edit = watched.command("edit secrets/wifi.age -i keys/me.txt");
    run(edit.env("EDITOR", format!("sh -c '{script}'"))).exits(0);
    let (_, seen) = watch.end();
    for part in ["cmdline of sh", "environ of sleep"] {
        assert!(seen.contains_key(part), "{part} is not in {seen:?}");
    }
    let leaks = watched.leaks();
    for part in ["execve(\"/usr/bin/sleep\"", "/left>, "] {
        assert!(leaks.iter().any(|line| line.contains(part)), "{part} is not in {leaks:?}");
    }
    assert_eq!(files(&watched.workspace.root, &[&marker]), [watched.workspace.path("left")]);
}

/// Returns whether `act` fails.
fn fails(act: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(act)).is_err()
}

/// The control of the search that every desk test does: a plaintext is found wherever it is.
#[test]
fn a_workspace_with_a_leak_fails() {
    let text = String::from_utf8(marked(b"text")).unwrap();
    for (file, bytes) in [("left", &*text), ("below/tmp/.left", &text.repeat(100_000)), (&text, "")]
    {
        let workspace = Workspace::new("leak-file");
        workspace.write(file, bytes);
        let root = workspace.root.clone();
        assert!(fails(|| drop(workspace)), "{file}");
        fs::remove_dir_all(root).unwrap();
    }
    let workspace = Workspace::new("leak-kept");
    workspace.write("plain", &text);
    workspace.keeps("plain");
    drop(workspace);

    let workspace = Workspace::new("leak-said");
    workspace.secret("secrets/wifi.age", "text");
    // Replaces our program, and prints the secret for every verb.
    workspace.write("bin/vaultix", "#!/bin/sh\nage -d -i keys/me.txt secrets/wifi.age\n");
    workspace.sh("chmod 755 bin/vaultix").exits(0);
    let path = format!("{}:{}", workspace.path("bin").display(), std::env::var("PATH").unwrap());
    let command = |line: &str| {
        let mut command = workspace.vaultix_command(line);
        command.env("PATH", &path);
        command
    };
    assert_eq!(run(&mut command("view secrets/wifi.age")).exits(0).stdout, "text");
    assert_eq!(Pty::start(&mut command("view secrets/wifi.age")).end(), (0, "text".to_owned()));
    assert!(fails(|| drop(run(&mut command("check -v")))));
    assert!(fails(|| drop(Pty::start(&mut command("renc -v")).end())));
    assert!(fails(|| drop(workspace.sh("age -d -i keys/me.txt secrets/wifi.age >&2"))));
}
