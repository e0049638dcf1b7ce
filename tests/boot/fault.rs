//! the helper + one fault, at every system call in turn → the old file or the new one, whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use serde_json::{Value, json};

use crate::prefix::prefix;
use crate::support::{age_key, encrypt, placeholder};

/// What is injected at each system call: errors that it could really return, and the end of the process before it.
const FAULTS: [&str; 4] = ["error=EIO", "error=ENOSPC", "error=EACCES", "signal=KILL"];

/// A place with an old profile and a new one.
struct Place {
    /// The folder of it all.
    work: PathBuf,
}

/// What one file is: mode and owner, size, digest.
type File = (String, String, String);

/// Stands where systemctl stands, and notes what it is asked for. While the file `deaf` is there, it does as systemctl
/// does where it cannot reach systemd.
const SYSTEMCTL: &str = "#!/bin/sh
if [ -e \"${0%/*}/deaf\" ]; then
    echo 'Failed to connect to bus: Connection refused' >&2
    exit 1
fi
echo \"$*\" >>\"${0%/*}/run/told\"
";

/// What was found at one time.
#[derive(Clone, Debug, Default, PartialEq)]
struct Look {
    /// Jobs that were queued since the last time, in order: verb and unit.
    told: Vec<String>,
    /// All files and links, temporary ones too, with mode and owner; without numbers of generations.
    there: BTreeSet<String>,
    /// What readers see, by path.
    seen: BTreeMap<String, File>,
}

/// One run with one fault, or without.
#[derive(Debug)]
struct Run {
    /// Before, after, and after running it once more without any fault.
    before: Look,
    /// See above.
    after: Look,
    /// See above.
    again: Look,
    /// Exit status with the fault; 128 and the signal's number if it was killed.
    status: i32,
    /// Exit status of the run after that.
    second: i32,
    /// All that was said.
    said: String,
}

impl Place {
    /// Makes keys, ciphertexts and two profiles between which every kind of change lies.
    fn new(name: &str) -> Self {
        let work = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fault-{name}"));
        let _ = fs::remove_dir_all(&work); // It may not be there.
        for folder in ["ramfs", "run"] {
            fs::create_dir_all(work.join(folder)).unwrap();
        }
        fs::write(work.join("systemctl"), SYSTEMCTL).unwrap();
        fs::set_permissions(work.join("systemctl"), Permissions::from_mode(0o755)).unwrap();
        let recipient = age_key(&work.join("host-key"));
        let cipher = |name: &str, text: &str| {
            let path = work.join(name);
            fs::write(&path, encrypt(&recipient, text.as_bytes())).unwrap();
            path
        };
        // Long enough to be read and written in several pieces.
        let long = |word: &str| word.repeat(30_000);
        let run = work.join("run");
        let mut profile = json!({
            "version": 1,
            "settings": { "hostIdentifier": "tester", "hostPubkey": recipient,
                "hostKeys": [{ "path": work.join("host-key"), "type": "age" }],
                "decryptedMountPoint": work.join("ramfs"), "decryptedDir": run.join("vaultix"),
                "decryptedDirForUser": run.join("early"), "systemctl": work.join("systemctl") },
            "secrets": {
                "token": { "cipher": cipher("token-old", &long("old")), "mode": "0440",
                    "owner": "daemon", "group": "mail", "path": run.join("app/token"),
                    "restartUnits": ["token.service"], "reloadUnits": ["reload.service"] },
                "keep": { "cipher": cipher("keep", "keep"), "owner": "games",
                    "restartUnits": ["keep.service"] },
                "gone": { "cipher": cipher("gone", "gone"), "path": run.join("app/gone") },
                "moved": { "cipher": cipher("moved", "moved"), "restartUnits": ["keep.service"] },
                "early": { "cipher": cipher("early-old", "early-old"),
                    "restartUnits": ["early.service"] },
            },
            "placeholder": { "token": placeholder("token") },
            "templates": { "outer": { "content": format!("<{}>", placeholder("token")),
                "owner": "mail", "restartUnits": ["outer.service"] } },
            "beforeUserborn": ["early"],
        });
        let write = |name: &str, profile: &Value| {
            fs::write(work.join(name), serde_json::to_string(profile).unwrap()).unwrap();
        };
        write("old.json", &profile);
        let secrets = &mut profile["secrets"];
        secrets["token"]["cipher"] = json!(cipher("token-new", &long("new")));
        secrets["token"]["owner"] = "games".into();
        secrets["token"]["mode"] = "0400".into();
        secrets["moved"]["name"] = "deep/er".into();
        secrets["early"]["cipher"] = json!(cipher("early-new", "early-new"));
        secrets["added"] = json!({ "cipher": cipher("added", "added") });
        secrets.as_object_mut().unwrap().remove("gone");
        write("new.json", &profile);
        Self { work }
    }

    /// Runs `what` with `fault`.
    fn run(&self, what: &str, fault: &str) -> Run {
        let path = format!("{}:{}", prefix().join("bin").display(), std::env::var("PATH").unwrap());
        let output = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "bash",
                "-c",
                include_str!("fault.sh"),
                "fault.sh",
            ])
            .arg(&self.work)
            .args([what, fault])
            .env("PATH", path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = format!("{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{what} {fault}: {}\n{said}", output.status);
        let number = |word: &str| -> i32 {
            said.lines().find_map(|line| line.strip_prefix(word)).unwrap().parse().unwrap()
        };
        let look = |name: &str| {
            let lines = said.lines().skip_while(|line| *line != format!("look {name}")).skip(1);
            self.look(lines.take_while(|line| !line.starts_with("look ")))
        };
        Run {
            before: look("before"),
            after: look("after"),
            again: look("again"),
            status: number("status "),
            second: number("again "),
            said,
        }
    }

    /// Reads what `look` of fault.sh has printed.
    fn look<'a>(&self, lines: impl Iterator<Item = &'a str>) -> Look {
        let mut look = Look::default();
        let mut digests = BTreeMap::new();
        let ramfs = format!("{}/", self.work.join("ramfs").display());
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["told", "--no-block", "--no-ask-password", verb, "--", units @ ..] => {
                    look.told.extend(units.iter().map(|unit| format!("{verb} {unit}")));
                }
                ["there", path, kind, rest @ ..] => {
                    // /ramfs/7/name is /ramfs/*/name here, also where a link leads to it.
                    let plain = |word: &str| match word.strip_prefix(&ramfs) {
                        Some(rest) => {
                            format!("*{}", rest.trim_start_matches(|it: char| it.is_ascii_digit()))
                        }
                        None => word.to_owned(),
                    };
                    let rest: Vec<String> = rest.iter().map(|word| plain(word)).collect();
                    look.there.insert(format!("{} {kind} {}", plain(path), rest.join(" ")));
                }
                ["seen", path, mode, owner, size] => {
                    let file = (format!("{mode} {owner}"), (*size).to_owned(), String::new());
                    look.seen.insert((*path).to_owned(), file);
                }
                [digest, path] if digest.len() == 64 => {
                    digests.insert((*path).to_owned(), (*digest).to_owned());
                }
                _ => {}
            }
        }
        for (path, digest) in digests {
            look.seen.get_mut(&path).unwrap().2 = digest;
        }
        look
    }

    /// Returns every system call of `what` as strace counts them: name and how many of that name there were before.
    fn calls(&self, what: &str) -> Vec<(String, usize)> {
        let run = self.run(what, "trace");
        assert_eq!(run.status, 0, "{}", run.said);
        let trace = fs::read_to_string(self.work.join("trace")).unwrap();
        // Who runs another program is a child of the helper: no fault of ours to try.
        let children: BTreeSet<&str> = trace
            .lines()
            .skip(1)
            .filter(|line| line.contains(" execve("))
            .filter_map(|line| line.split_once(' '))
            .map(|(thread, _)| thread)
            .collect();
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut calls = BTreeSet::new();
        for line in trace.lines() {
            let Some((thread, rest)) = line.split_once(' ') else { continue };
            let Some((name, _)) = rest.trim_start().split_once('(') else { continue };
            if children.contains(thread)
                || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            {
                continue; // A signal, or the second half of a call.
            }
            let count = counts.entry((thread, name)).or_default();
            *count += 1;
            calls.insert((name.to_owned(), *count));
        }
        // Without the first there is no process, and what ends it cannot fail.
        calls.remove(&("execve".to_owned(), 1));
        calls.into_iter().filter(|(name, _)| name != "exit_group" && name != "exit").collect()
    }
}

/// Checks one run against what there was before and what there is after a run without a fault.
fn check(run: &Run, clean: &Run, fault: &str) -> Result<(), String> {
    let (old, new) = (&clean.before, &clean.after);
    let fail = |why: String| Err(format!("{why}; exit status {}\n{}", run.status, run.said));
    if run.before != *old {
        return fail("it did not start from the same".into());
    }
    if let Err(why) = check_told(run, clean) {
        return fail(why);
    }
    if run.status == 124 {
        return fail("it hangs".into());
    }
    // Each file is the old one or the new one, with its owner and mode.
    let paths: BTreeSet<&String> =
        old.seen.keys().chain(new.seen.keys()).chain(run.after.seen.keys()).collect();
    for path in paths {
        let now = run.after.seen.get(path);
        if now != old.seen.get(path) && now != new.seen.get(path) {
            return fail(format!("{path} is neither the old one nor the new one: {now:?}"));
        }
    }
    if run.status == 0 && run.after.seen != new.seen {
        return fail("it says that all is well, and it is not".into());
    }
    if fault == "signal=KILL" {
        for link in ["/run/vaultix/", "/run/early/"] {
            let below = |look: &Look| -> BTreeMap<String, File> {
                let files = look.seen.iter().filter(|(path, _)| path.contains(link));
                files.map(|(path, file)| (path.clone(), file.clone())).collect()
            };
            if below(&run.after) != below(old) && below(&run.after) != below(new) {
                return fail(format!("{link} is half old and half new"));
            }
        }
    }
    // Nothing that lies about can be read by more people than may read the file that it was to become.
    for line in &run.after.there {
        let known = old.there.contains(line) || new.there.contains(line);
        let words: Vec<&str> = line.split(' ').collect();
        if !known && words[1] == "f" && !matches!(words[2], "0" | "400" | "600") {
            return fail(format!("this is left, and too many can read it: {line}"));
        }
    }
    if run.second != 0 || run.again.seen != clean.again.seen || run.again.there != clean.again.there
    {
        let (found, wanted) = (&run.again.there, &clean.again.there);
        let diff: Vec<_> = found.symmetric_difference(wanted).collect();
        return fail(format!("the next run, {}, does not mend it: {diff:?}", run.second));
    }
    Ok(())
}

/// Checks that whoever has to know of a change is told, at once or by the next run, and nobody else.
fn check_told(run: &Run, clean: &Run) -> Result<(), String> {
    let all = |run: &Run| -> BTreeSet<String> {
        run.after.told.iter().chain(&run.again.told).cloned().collect()
    };
    let told = all(run);
    if let Some(missing) = all(clean).difference(&told).next() {
        return Err(format!("nobody says: {missing}"));
    }
    if told.iter().any(|job| job.ends_with(" keep.service")) {
        return Err("what reads nothing that has changed is told".into());
    }
    // Who is told twice has been told by a run that failed later on. What could not be looked at is made again, and of
    // that the target hears alone.
    let consumers = |told: &[String]| -> Vec<String> {
        told.iter().filter(|job| !job.ends_with(" vaultix.target")).cloned().collect()
    };
    if run.status == 0
        && (run.after.told != clean.after.told
            || consumers(&run.again.told) != consumers(&clean.again.told))
    {
        let (first, second) = (&run.after.told, &run.again.told);
        return Err(format!("all is well, but it told {first:?}, then {second:?}"));
    }
    Ok(())
}

/// Tries each of `faults` at every system call of `what`, and says how many that were.
fn every_call(what: &str, faults: &[&'static str]) {
    let place = Place::new(what);
    let clean = place.run(what, "");
    assert_eq!((clean.status, clean.second), (0, 0), "{}", clean.said);
    assert_ne!(clean.before.seen, clean.after.seen, "something changes: {}", clean.said);
    let calls = place.calls(what);
    // A close that fails has still closed; strace would skip it, and a pipe would never end.
    let is_real = |name: &str, fault: &str| name != "close" || fault == "signal=KILL";
    let faults = |(name, count): &(String, usize)| {
        let faults = faults.iter().copied().filter(|fault| is_real(name, fault));
        let injected = |fault| (fault, format!("{name}:{fault}:when={count}"));
        faults.map(injected).collect::<Vec<_>>()
    };
    let mut todo: Vec<(&str, String)> = calls.iter().flat_map(faults).collect();
    // One of them alone, to look into it.
    let only = std::env::var("VAULTIX_FAULT").ok();
    todo.retain(|(_, fault)| only.as_ref().is_none_or(|only| only == fault));
    let (count, todo) = (todo.len(), Mutex::new(todo));
    let (failures, missed) = (Mutex::new(Vec::new()), Mutex::new(0));
    let work = || {
        loop {
            let Some((fault, injected)) = todo.lock().unwrap().pop() else { return };
            let run = place.run(what, &injected);
            if fault == "signal=KILL" && run.status != 137 {
                *missed.lock().unwrap() += 1;
            }
            if let Err(why) = check(&run, &clean, fault) {
                failures.lock().unwrap().push(format!("{injected}: {why}"));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let missed = missed.into_inner().unwrap();
    // Not eprintln, which is only shown of a test that failed.
    let mut stderr = std::io::stderr();
    let line =
        format!("{what}: {count} faults at {} system calls, {missed} never met", calls.len());
    writeln!(stderr, "{line}").unwrap();
    // Two threads do not call for memory in the same way each time; nearly all else is met.
    assert!(missed * 20 <= calls.len(), "{missed} of {} kills did not kill", calls.len());
    let failures = failures.into_inner().unwrap();
    remove(&place.work);
    assert!(
        failures.is_empty(),
        "{} of {count}:\n{}\n{}",
        failures.len(),
        failures[0],
        failures.iter().map(|text| text.lines().next().unwrap()).collect::<Vec<_>>().join("\n")
    );
}

/// Removes the folder; nothing is mounted in it outside of the namespaces that are gone.
fn remove(work: &Path) {
    fs::remove_dir_all(work).unwrap();
}

/// The first secret of a boot, where there is nothing yet.
pub fn first_secret() {
    every_call("first", &FAULTS);
}

/// A secret that is decrypted again, with another plaintext, owner and mode.
pub fn changed_secret() {
    every_call("secret", &FAULTS);
}

/// The first phase of a switch.
pub fn early_switch() {
    every_call("early", &FAULTS);
}

/// The second phase of a switch.
pub fn whole_switch() {
    every_call("switch", &FAULTS);
}

/// Both phases of a first switch, where there is nothing yet, killed. The other faults take the same ways as above.
pub fn first_activation() {
    every_call("first-early", &["signal=KILL"]);
    every_call("first-switch", &["signal=KILL"]);
}

/// Where systemd cannot be reached, that is an error, and the next run tells it.
pub fn systemd_cannot_be_reached() {
    let place = Place::new("deaf");
    for what in ["secret", "early", "switch"] {
        let (clean, run) = (place.run(what, ""), place.run(what, "deaf"));
        assert_ne!(run.status, 0, "{what}: {}", run.said);
        assert_eq!(run.after.seen, clean.after.seen, "{what}: all is in place nevertheless");
        assert_eq!(run.second, 0, "{what}: {}", run.said);
        check_told(&run, &clean).unwrap_or_else(|why| panic!("{what}: {why}\n{}", run.said));
        for job in &clean.after.told {
            assert!(run.again.told.contains(job), "{what}: {job}\n{}", run.said);
        }
    }
    remove(&place.work);
}
