//! `vaultix renc` + one fault, at every system call in turn → complete copies under the right
//! names, and a second run that completes the cache.
//!
//! The same for a host is in `tests/boot/fault.rs`. System calls before the first line of `main`,
//! by the loader and the runtime, are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use crate::support::{Done, Workspace, run};

/// Errors that system calls can return in practice. Each call that is not in [`NEVER_FAIL`] gets the next
/// one; `VAULTIX_FAULT=all` tries all of them at each call, and a kill, which takes four times as long.
const ERRORS: [&str; 3] = ["error=EIO", "error=ENOSPC", "error=EACCES"];

/// Kills the process before the call; tried at every call that is not in [`LOOKS`].
const KILL: &str = "signal=KILL";

/// System calls that change nothing which is still there when the process is gone. A kill before one of
/// them leaves what a kill before the next other call does.
const LOOKS: &str = "brk fcntl fstat getcwd getdents64 getegid geteuid getgid getpid getrandom gettid getuid \
    lseek lstat madvise mmap mprotect mremap munmap newfstatat poll pread64 prlimit64 read \
    readlink readlinkat rt_sigaction rt_sigprocmask sched_getaffinity sigaltstack stat statfs \
    fstatfs statx";

/// Calls of the C library for its own threads and signals, with arguments that the kernel never refuses.
const NEVER_FAIL: &str = "getegid geteuid getgid getpid gettid getuid madvise munmap rseq rt_sigaction \
    rt_sigprocmask sched_getaffinity set_robust_list sigaltstack";

/// How long a run may take, in seconds.
const PATIENCE: &str = "20";

/// The line of the trace with the first system call of `main`, which turns core dumps off.
const MAIN: &str = "prlimit64(0, RLIMIT_CORE";

/// The command line of all runs.
const RENC: &str = "-p web1.json renc -i keys/me.txt";

/// Directories, one for each thread, in which each run starts from the same state.
struct Place {
    /// Contains the directories and the keys.
    workspace: Workspace,
    /// Names of the copies that the host has at the start, and their texts.
    old: BTreeMap<String, String>,
    /// Names of the copies that it should have at the end, and their texts.
    new: BTreeMap<String, String>,
    /// What age has said of copies: a run leaves most of them as they were.
    decrypted: Mutex<BTreeMap<Vec<u8>, Option<String>>>,
}

/// What is in a cache.
#[derive(Default)]
struct Look {
    /// Copies by name, with their texts as age decrypts them; `None` if it cannot.
    copies: BTreeMap<String, Option<String>>,
    /// Other files.
    others: BTreeSet<String>,
    /// Copies that git tracks.
    tracked: BTreeSet<String>,
}

impl Place {
    /// Makes a repository with two secrets that have changed since the last run, and with a
    /// leftover of a killed run.
    fn new(name: &str) -> Self {
        let workspace = Workspace::new(name);
        workspace.write("start/.gitignore", "keys\n");
        std::os::unix::fs::symlink(workspace.path("keys"), workspace.path("start/keys")).unwrap();
        workspace.profile("start/web1", "host-web1.pub", &[("wifi", "wifi"), ("mail", "mail")]);
        let profile = String::from_utf8(workspace.read("start/web1.json")).unwrap();
        workspace.write("start/web1.json", profile.replace("start/web1", "web1"));
        workspace.sh("git init -q --template= start").exits(0);
        let renc = |texts: [&str; 2]| {
            workspace.secret("start/secrets/wifi.age", texts[0]);
            workspace.secret("start/secrets/mail.age", texts[1]);
            run(workspace.vaultix_command(RENC).current_dir(workspace.path("start"))).exits(0);
            let look = look(&workspace, &workspace.path("start"), &Mutex::default());
            assert!(look.copies.values().all(Option::is_some));
            look.copies.into_iter().map(|(name, text)| (name, text.unwrap())).collect()
        };
        let old = renc(["old wifi", "old mail"]);
        workspace.sh("cp -a start/secrets/cache old").exits(0);
        // Large enough to be written in several pieces.
        let new = renc(["new wifi", &"new mail".repeat(40_000)]);
        workspace
            .sh("rm -r start/secrets/cache && mv old start/secrets/cache && git -C start add .")
            .exits(0);
        workspace
            .write(&format!("start/secrets/cache/web1/.new-{}", "d".repeat(64)), "age-encryption");
        Self { workspace, old, new, decrypted: Mutex::default() }
    }

    /// Reads the cache of the repository `at`.
    fn look(&self, at: &Path) -> Look {
        look(&self.workspace, at, &self.decrypted)
    }

    /// Returns a fresh copy of the start for the thread `number`.
    fn fresh(&self, number: usize) -> PathBuf {
        let path = self.workspace.path(&format!("run{number}"));
        let _ = fs::remove_dir_all(&path); // It may not be there.
        run(self.workspace.command("cp").arg("-a").arg(self.workspace.path("start")).arg(&path))
            .exits(0);
        path
    }

    /// Returns every system call of a run as strace counts them for each thread: its name, and its
    /// number among those of that name.
    fn calls(&self) -> BTreeSet<(String, usize)> {
        let at = self.fresh(0);
        let trace = self.workspace.path("trace");
        traced(&self.workspace, &at, &["-o", trace.to_str().unwrap()]).exits(0);
        let trace = fs::read_to_string(trace).unwrap();
        // Leaves out child processes, which only start git: their system calls are not our steps.
        let lines = || trace.lines().filter_map(|line| line.split_once(' '));
        let main = lines().position(|(_, rest)| rest.trim_start().starts_with(MAIN)).unwrap();
        let children: BTreeSet<&str> = lines()
            .skip(main)
            .filter(|(_, rest)| rest.trim_start().starts_with("execve("))
            .map(|(thread, _)| thread)
            .collect();
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut calls = BTreeSet::new();
        for (i, (thread, rest)) in lines().enumerate() {
            let Some((name, _)) = rest.trim_start().split_once('(') else { continue };
            if children.contains(thread)
                || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            {
                continue; // A signal, or the end of a call that was interrupted by another line.
            }
            let count = counts.entry((thread, name)).or_default();
            *count += 1;
            if i >= main && is_step(name) {
                calls.insert((name.to_owned(), *count));
            }
        }
        calls
    }

    /// Runs with one fault, and again without; returns what is wrong.
    fn attempt(&self, fault: &str, number: usize) -> Result<i32, String> {
        let at = self.fresh(number);
        // Without `trace`, strace reads the arguments of all calls.
        let (name, _) = fault.split_once(':').unwrap();
        let (trace, inject) = (format!("trace={name}"), format!("inject={fault}"));
        let options = ["-o", "/dev/null", "-e", &trace, "-e", &inject];
        let done = traced(&self.workspace, &at, &options);
        let fail = |why: &str| Err(format!("{fault}: {why}; exit {}\n{}", done.exit, done.stderr));
        if done.exit == 124 {
            return fail("it hangs");
        }
        let found = self.look(&at);
        for (name, text) in &found.copies {
            let wanted = self.old.get(name).or(self.new.get(name));
            if wanted.is_none() || wanted != text.as_ref() {
                return fail(&format!("{name} is not what its name says"));
            }
        }
        for word in ["wifi", "mail"] {
            if !found.copies.values().flatten().any(|text| text.contains(word)) {
                return fail(&format!("there is neither the old {word} nor the new one"));
            }
        }
        if let Some(other) = found.others.iter().find(|name| !name.starts_with(".new-")) {
            return fail(&format!("{other} is in the cache"));
        }
        if done.exit == 0 && !self.is_complete(&found) {
            return fail("it says that all is well, and it is not");
        }
        let second = run(self.workspace.vaultix_command(RENC).current_dir(&at));
        if second.exit != 0 || !self.is_complete(&self.look(&at)) {
            return fail(&format!(
                "the next run, {}, does not repair it: {}",
                second.exit, second.stderr
            ));
        }
        Ok(done.exit)
    }

    /// Returns whether exactly the copies are there that should be at the end.
    fn is_complete(&self, look: &Look) -> bool {
        let copies: BTreeSet<&String> = look.copies.keys().collect();
        copies == self.new.keys().collect()
            && look.others.is_empty()
            && self.new.keys().all(|name| look.tracked.contains(name))
    }
}

/// Reads the cache of the repository `at`. What has been `decrypted` before is not decrypted again.
fn look(
    workspace: &Workspace,
    at: &Path,
    decrypted: &Mutex<BTreeMap<Vec<u8>, Option<String>>>,
) -> Look {
    let mut look = Look::default();
    for path in
        fs::read_dir(at.join("secrets/cache/web1")).unwrap().map(|entry| entry.unwrap().path())
    {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.len() != 64 {
            look.others.insert(name);
            continue;
        }
        let copy = fs::read(&path).unwrap();
        let known = decrypted.lock().unwrap().get(&copy).cloned();
        let text = known.unwrap_or_else(|| {
            let mut age = workspace.command("age");
            let done = run(age.args(["--decrypt", "--identity", "keys/host-web1"]).arg(&path));
            let text = (done.exit == 0).then_some(done.stdout);
            decrypted.lock().unwrap().insert(copy, text.clone());
            text
        });
        look.copies.insert(name, text);
    }
    // git's index contains names as they are.
    let index =
        String::from_utf8_lossy(&fs::read(at.join(".git/index")).unwrap_or_default()).into_owned();
    look.tracked = look.copies.keys().filter(|name| index.contains(*name)).cloned().collect();
    look
}

/// Runs `renc` in `at` under strace with `options`, and detaches from git once it starts.
fn traced(workspace: &Workspace, at: &Path, options: &[&str]) -> Done {
    let mut command: Command = workspace.command("timeout");
    command.args(["--foreground", PATIENCE, "strace", "--detach-on=execve", "-f", "-qq"]);
    // One worker thread: with two, the order would be random.
    command.args(options).arg("vaultix").args(RENC.split(' ')).env("RAYON_NUM_THREADS", "1");
    run(command.current_dir(at))
}

/// Returns whether to try the system call `name`: not those that only wait, whose number differs
/// from run to run.
fn is_step(name: &str) -> bool {
    !matches!(name, "futex" | "sched_yield" | "exit" | "exit_group")
}

/// Returns whether `name` is one of the words of `list`.
fn is_in(list: &str, name: &str) -> bool {
    list.split(' ').any(|one| one == name)
}

#[test]
fn a_fault_at_any_system_call_leaves_complete_copies() {
    let place = Place::new("fault");
    let calls = place.calls();
    // A single fault, to debug it.
    let only = std::env::var("VAULTIX_FAULT").ok();
    let all = only.as_ref().is_some_and(|only| only == "all");
    let faults = |(i, (name, count)): (usize, &(String, usize))| {
        // A close that fails has still closed the file; but with an injected error, strace skips
        // the call, and a pipe would never end.
        let cannot_fail = !all && is_in(NEVER_FAIL, name);
        let errors = if name == "close" || cannot_fail { &[][..] } else { &ERRORS[..] };
        let chosen = errors.iter().cycle().skip(i).take(if all { errors.len() } else { 1 });
        let kill = (all || !is_in(LOOKS, name)).then_some(&KILL);
        let chosen = chosen.chain(kill);
        chosen.map(|fault| format!("{name}:{fault}:when={count}")).collect::<Vec<_>>()
    };
    let mut todo: Vec<String> = calls.iter().enumerate().flat_map(faults).collect();
    todo.retain(|fault| all || only.as_ref().is_none_or(|only| only == fault));
    let (count, todo) = (todo.len(), Mutex::new(todo));
    let (failures, missed) = (Mutex::new(Vec::new()), Mutex::new(0));
    let work = |number| {
        loop {
            let Some(fault) = todo.lock().unwrap().pop() else { return };
            match place.attempt(&fault, number) {
                Ok(exit) if exit != 137 && fault.contains(KILL) => *missed.lock().unwrap() += 1,
                Ok(_) => {}
                Err(why) => failures.lock().unwrap().push(why),
            }
        }
    };
    thread::scope(|scope| {
        for number in 0..thread::available_parallelism().map_or(1, usize::from) {
            let work = &work;
            scope.spawn(move || work(number));
        }
    });
    let missed = missed.into_inner().unwrap();
    // Not eprintln, which is only shown if the test fails.
    let line = format!("renc: {count} faults at {} system calls, {missed} never met", calls.len());
    writeln!(std::io::stderr(), "{line}").unwrap();
    // Two threads do not always allocate memory in the same way, so a few calls may not happen
    // again.
    assert!(missed * 20 <= calls.len(), "{missed} of {} kills did not kill", calls.len());
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures.join("\n"));
}
