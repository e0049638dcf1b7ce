//! two profiles, a command and a fault → what there was before, after, and after one more run.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::CString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, symlink};
use std::panic;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_remount,
};
use rustix::thread::UnshareFlags;
use serde_json::{Value, json};
use xtask::canary::{files, holds, marker};
use xtask::{triple, workspace};

use super::helper::{Fault, Helper};
use super::look::{FOLDER, Look, RECORD};
use super::story::story;
use crate::support::{encrypt, placeholder, pq_key, secret_unit, ssh_key, template_unit};

/// A place with an old profile and a new one.
pub struct Place {
    /// The folder of it all.
    work: PathBuf,
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
    /// What was found in the helper's memory, if that was searched.
    pub remembered: Vec<&'static str>,
    /// All that was said.
    said: String,
}

impl Run {
    /// Returns the looks, by name.
    pub fn looks(&self) -> [(&'static str, &Look); 3] {
        [("before", &self.before), ("after", &self.after), ("again", &self.again)]
    }

    /// Returns all that was found and said.
    pub fn describe(&self) -> String {
        let looks = self.looks().map(|(name, look)| format!("look {name}\n{}", look.describe()));
        let (status, second) = (self.status, self.second);
        format!("{}status {status}, then {second}\n{}", looks.concat(), self.said)
    }
}

impl Place {
    /// Makes keys, ciphertexts and two profiles between which every kind of change lies.
    pub fn new(name: &str) -> Self {
        let work = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fault-{name}"));
        let _ = fs::remove_dir_all(&work); // It may not be there.
        for folder in ["ramfs", "run", "disk"] {
            fs::create_dir_all(work.join(folder)).unwrap();
        }
        // Shows at the end that the search for plaintexts finds one.
        fs::write(work.join("search"), format!("{}\n", marker())).unwrap();
        fs::hard_link(systemctl(), work.join("systemctl")).unwrap();
        let key = work.join("host-key");
        let is_quantum = name.ends_with("-pq");
        let recipient = if is_quantum { pq_key(&key) } else { ssh_key(&key, "ed25519") };
        let kind = if is_quantum { "age" } else { "ed25519" };
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
                "hostKeys": [{ "path": key, "type": kind }],
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
    ///
    /// The mounts of the thread that does it are seen by nobody else, and are gone when all processes of the run are.
    pub fn run(&self, what: &str, fault: Fault) -> Run {
        let run = thread::scope(|scope| scope.spawn(|| self.run_here(what, fault)).join());
        let run = run.unwrap_or_else(|why| panic::resume_unwind(why));
        let said = run.describe();
        assert!(!holds(said.as_bytes(), &marker()), "{what} {fault:?}: a plaintext was printed");
        let leaks: Vec<_> = run.looks().iter().flat_map(|(_, look)| &look.leaks).collect();
        assert!(leaks.is_empty(), "{what} {fault:?}: a plaintext beside the ramfs: {leaks:?}");
        run
    }

    /// The same in a thread that nothing else has run in.
    fn run_here(&self, what: &str, fault: Fault) -> Run {
        self.mount();
        let story = story(what);
        let (mut reader, writer) = io::pipe().unwrap();
        let said = thread::spawn(move || {
            let mut said = Vec::new();
            reader.read_to_end(&mut said).unwrap();
            String::from_utf8_lossy(&said).into_owned()
        });
        let helper = Helper { work: &self.work, said: writer };
        let first = helper.all(&story.before);
        self.leave();
        let before = Look::at(&self.work);
        let (status, remembered) = helper.under(story.under, fault);
        let after = Look::at(&self.work);
        let second = helper.all(&story.again);
        let again = Look::at(&self.work);
        // Once all processes that could say something have ended, the pipe does.
        drop(helper);
        let said = said.join().unwrap();
        assert_eq!(first, 0, "{what} {fault:?}, before the fault: {said}");
        Run { before, after, again, status, second, remembered, said }
    }

    /// Mounts a ramfs as the units would, in a mount namespace of this thread.
    fn mount(&self) {
        let (hidden, run) = (Path::new("/run/vaultix.private"), self.work.join("run"));
        let at = self.work.join("ramfs");
        let safe = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        unshare_mounts().unwrap();
        let propagation = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", propagation).unwrap();
        mount("run", "/run", "tmpfs", MountFlags::empty(), c"mode=0755").unwrap();
        DirBuilder::new().mode(0o700).create(hidden).unwrap();
        let hidden = hidden.join("ramfs");
        fs::create_dir(&hidden).unwrap();
        mount("ramfs", &hidden, "ramfs", safe, c"mode=0711").unwrap();
        mount_bind(&hidden, &at).unwrap();
        mount_remount(&at, MountFlags::BIND | MountFlags::RDONLY | safe, "").unwrap();
        mount("vaultix-run", &run, "tmpfs", MountFlags::empty(), c"mode=0755").unwrap();
        fs::write(run.join("told"), "").unwrap(); // By the stand-in for systemctl.
        // What is on an overlay counts as being on a disk. The record of it is in /var/lib.
        let [lower, upper, changes] =
            ["lower", "upper", "work"].map(|name| Path::new("/run/disk").join(name));
        for directory in [&lower, &upper, &changes] {
            fs::create_dir_all(directory).unwrap();
        }
        let [lower, upper, changes] = [lower, upper, changes].map(|it| it.display().to_string());
        let options = format!("lowerdir={lower},upperdir={upper},workdir={changes}");
        let options = CString::new(options).unwrap();
        mount("disk", self.work.join("disk"), "overlay", MountFlags::empty(), options.as_c_str())
            .unwrap();
        mount("lib", "/var/lib", "tmpfs", MountFlags::empty(), c"mode=0755").unwrap();
    }

    /// Puts a link where no item has a path any more, as an earlier boot would leave it, and writes it down.
    fn leave(&self) {
        let (path, target) = (self.work.join("disk/app/left"), self.work.join("run/other/left"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(&target, &path).unwrap();
        if !Path::new(FOLDER).exists() {
            DirBuilder::new().mode(0o700).create(FOLDER).unwrap();
        }
        let mut record =
            OpenOptions::new().append(true).create(true).mode(0o600).open(RECORD).unwrap();
        if record.metadata().unwrap().len() == 0 {
            record.write_all(b"vaultix-placed-1\0").unwrap();
        }
        let is = fs::symlink_metadata(&path).unwrap();
        let stamp = format!("0 {} {} {} {}", is.dev(), is.ino(), is.ctime(), is.ctime_nsec());
        let (path, target) = (path.display(), target.display());
        write!(record, "secret\0left\0{path}\0link\0{target}\0{stamp}\0").unwrap();
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

    /// Returns every system call of `what` as strace counts them: name and how many of that name there were before.
    pub fn calls(&self, what: &str) -> BTreeSet<(String, usize)> {
        let run = self.run(what, Fault::Trace);
        assert_eq!(run.status, 0, "{}", run.describe());
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
        calls.retain(|(name, _)| name != "exit_group" && name != "exit");
        calls
    }

    /// Removes the folder, in which no plaintext is; nothing is mounted in it outside of the namespaces that are gone.
    pub fn remove(self) {
        assert_eq!(files(&self.work, &[&marker()]), [self.work.join("search")]);
        fs::remove_dir_all(&self.work).unwrap();
    }
}

/// Returns the program that stands where systemctl stands. The first call builds it, for the same system as the helper.
fn systemctl() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/boot/fault/systemctl.rs");
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fault-systemctl");
        let triple = triple::boot_side(&workspace::shell().unwrap()).unwrap();
        let status = Command::new(env::var_os("RUSTC").unwrap_or("rustc".into()))
            .args(["--edition=2024", "-O", "-Ctarget-feature=+crt-static", "--target", &triple])
            .arg(source)
            .arg("-o")
            .arg(&built)
            .status()
            .unwrap();
        assert!(status.success(), "rustc: {status}");
        built
    })
}

/// Gives the calling thread a mount namespace of its own.
#[expect(
    deprecated,
    reason = "unsafe is only what is not asked for here: a table of descriptors of its own"
)]
fn unshare_mounts() -> rustix::io::Result<()> {
    rustix::thread::unshare(UnshareFlags::NEWNS)
}
