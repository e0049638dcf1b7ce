//! two profiles, a command and a fault → what there was before, after, and after one more run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use vaultix_generator::escape::hex;
use xtask::canary::{files, holds, marker};

use crate::prefix::prefix;
use crate::support::{encrypt, placeholder, secret_unit, ssh_key, template_unit};

/// A place with an old profile and a new one.
pub struct Place {
    /// The folder of it all.
    work: PathBuf,
}

/// What one file is: mode and owner, size, digest.
pub type File = (String, String, String);

/// Stands where systemctl stands, and notes what it is asked for. While the file `deaf` is there, it does as systemctl
/// does where it cannot reach systemd.
const SYSTEMCTL: &str = "#!/bin/sh
if [ -e \"${0%/*}/deaf\" ]; then
    echo 'Failed to connect to bus: Connection refused' >&2
    exit 1
fi
echo \"$*\" >>\"${0%/*}/run/told\"
";

/// Returns what is looked for in memory, by name: the marker of all plaintexts, a line of the file with the host's `key`,
/// the key's seed, a piece of a long plaintext; and what is there for sure.
fn memories(key: &str) -> [(&'static str, Vec<u8>); 5] {
    let lines: Vec<&str> = key.lines().filter(|line| !line.starts_with('-')).collect();
    let bytes = BASE64_STANDARD.decode(lines.concat()).unwrap();
    // Seed and public half stand behind their length, 64; see OpenSSH's PROTOCOL.key.
    let length = bytes.windows(4).rposition(|four| four == [0, 0, 0, 64]).unwrap();
    [
        ("marker", marker().into()),
        ("key", lines[1].into()),
        ("seed", bytes[length + 4..][..32].into()),
        ("long", "newnewnewnewnew".into()),
        ("profile", "/new.json".into()),
    ]
}

/// What was found at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// Jobs that were queued since the last time, in order: verb and unit.
    pub told: Vec<String>,
    /// All files and links, temporary ones too, with mode and owner; without numbers of generations.
    pub there: BTreeSet<String>,
    /// What readers see, by path.
    pub seen: BTreeMap<String, File>,
}

/// One run with one fault, or without.
#[derive(Debug)]
pub struct Run {
    /// Before, after, and after running it once more without any fault.
    pub before: Look,
    /// See above.
    pub after: Look,
    /// See above.
    pub again: Look,
    /// Exit status with the fault; 128 and the signal's number if it was killed.
    pub status: i32,
    /// Exit status of the run after that.
    pub second: i32,
    /// All that was said.
    pub said: String,
}

impl Place {
    /// Makes keys, ciphertexts and two profiles between which every kind of change lies.
    pub fn new(name: &str) -> Self {
        let work = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fault-{name}"));
        let _ = fs::remove_dir_all(&work); // It may not be there.
        for folder in ["ramfs", "run", "disk"] {
            fs::create_dir_all(work.join(folder)).unwrap();
        }
        fs::write(work.join("search"), format!("{}\n", marker())).unwrap();
        fs::write(work.join("systemctl"), SYSTEMCTL).unwrap();
        fs::set_permissions(work.join("systemctl"), Permissions::from_mode(0o755)).unwrap();
        let recipient = ssh_key(&work.join("host-key"), "ed25519");
        for (name, bytes) in memories(&fs::read_to_string(work.join("host-key")).unwrap()) {
            fs::write(work.join(name).with_extension("hex"), hex(&bytes)).unwrap();
        }
        let cipher = |name: &str, text: &str| {
            let path = work.join(name);
            fs::write(&path, encrypt(&recipient, text.as_bytes())).unwrap();
            path
        };
        // Long enough to be read and written in several pieces.
        let long = |word: &str| word.repeat(30_000);
        let (run, disk) = (work.join("run"), work.join("disk"));
        let mut profile = json!({
            "version": 1,
            "settings": { "hostIdentifier": "tester", "hostPubkey": recipient,
                "hostKeys": [{ "path": work.join("host-key"), "type": "ed25519" }],
                "decryptedMountPoint": work.join("ramfs"), "decryptedDir": run.join("vaultix"),
                "decryptedDirForUser": run.join("early"), "systemctl": work.join("systemctl") },
            "secrets": {
                "token": { "cipher": cipher("token-old", &long("old")), "mode": "0440",
                    "owner": "daemon", "group": "mail", "path": disk.join("app/token"),
                    "restartUnits": ["token.service"], "reloadUnits": ["reload.service"] },
                "keep": { "cipher": cipher("keep", "keep"), "owner": "games",
                    "restartUnits": ["keep.service"] },
                "gone": { "cipher": cipher("gone", "gone"), "path": disk.join("app/gone") },
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
        if name == "boot-early" {
            secrets["soon"] =
                json!({ "cipher": cipher("soon", "soon"), "path": disk.join("app/soon") });
            profile["beforeUserborn"] = json!(["early", "soon"]);
        }
        write("new.json", &profile);
        Self { work }
    }

    /// Runs `what` with `fault`.
    pub fn run(&self, what: &str, fault: &str) -> Run {
        let path = format!("{}:{}", prefix().join("bin").display(), std::env::var("PATH").unwrap());
        let output = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "bash",
                "-c",
                include_str!("../fault.sh"),
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
        assert!(!holds(said.as_bytes(), &marker()), "{what} {fault}: a plaintext was printed");
        let leak = said.lines().find(|line| line.starts_with("leak "));
        assert_eq!(leak, None, "{what} {fault}: a plaintext beside the ramfs");
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

    /// Returns what is left to do after a boot, which leaves items to their units: those of `run` that are neither in place nor
    /// is their unit started.
    pub fn forgotten(&self, run: &Run, clean: &Run) -> Vec<String> {
        let links = |look: &Look| -> BTreeSet<String> {
            let app = format!("{}/", self.work.join("disk/app").display());
            let below = look.there.iter().filter_map(|line| line.strip_prefix(&app));
            below.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
        };
        let files = |look: &Look| -> BTreeSet<String> {
            let name = |path: &String| path.rsplit('/').next().unwrap().to_owned();
            look.seen.keys().map(name).collect()
        };
        let missing = |all: BTreeSet<String>, there: BTreeSet<String>| -> Vec<String> {
            all.difference(&there).cloned().collect()
        };
        let mut missing = [
            missing(links(&clean.after), links(&run.after)),
            missing(files(&clean.after), files(&run.after)),
        ]
        .concat();
        missing.retain(|name| {
            let unit = match name.as_str() {
                "outer" => template_unit(name),
                // The name of another secret.
                "er" => secret_unit("moved"),
                _ => secret_unit(name),
            };
            !run.after.told.contains(&format!("start {unit}"))
        });
        missing
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
                    // /ramfs/7/name is /ramfs/*/name here, and a link that leads to 7 leads to *.
                    let plain = |word: &str| match word.strip_prefix(&ramfs) {
                        Some(rest) => {
                            format!("*{}", rest.trim_start_matches(|it: char| it.is_ascii_digit()))
                        }
                        None => word.to_owned(),
                    };
                    let is_number = |word: &str| word.bytes().all(|it| it.is_ascii_digit());
                    let mut rest: Vec<String> = rest.iter().map(|word| plain(word)).collect();
                    if let (&"l", Some(target)) = (kind, rest.last_mut())
                        && is_number(target)
                    {
                        "*".clone_into(target);
                    }
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
    pub fn calls(&self, what: &str) -> Vec<(String, usize)> {
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

    /// Removes the folder, in which no plaintext is; nothing is mounted in it outside of the namespaces that are gone.
    pub fn remove(self) {
        assert_eq!(files(&self.work, &[&marker()]), [self.work.join("search")]);
        fs::remove_dir_all(&self.work).unwrap();
    }
}
