//! jobs on file systems that do not answer, or lie → nobody else waits for them or is led astray. Needs root, to mount.
//!
//! The file systems are the kernel's FUSE, with a daemon of a few lines here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use vaultix_units::owner::Ownership;
use vaultix_units::path::{Job, Outcome, OwnDirectories, PathContent, Task, queue};
use vaultix_units::plaintext::Plaintext;

/// The owner of what is on a file system that does not answer.
const OWNER: u32 = 12346;
const OTHER: u32 = 12347;

/// A folder with a file system in it, unmounted and removed at the end.
struct Folder {
    path: PathBuf,
    /// How many requests the daemon has read, after the first.
    asked: Arc<AtomicUsize>,
}

impl Folder {
    /// Mounts a FUSE in `NAME/fuse`, as the user `user` would; `None`, said aloud, without root. With `target`, it answers:
    /// all in it is root's, and each name a link that leads there. Without, it reads requests and keeps them.
    fn new(name: &str, user: u32, target: Option<&Path>) -> Option<Self> {
        let path = Path::new("/dev/shm").join(format!("vaultix-test-{name}"));
        let point = path.join("fuse");
        let _ = unmount(&point, UnmountFlags::DETACH);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&point).unwrap();
        let mounted =
            OpenOptions::new().read(true).write(true).open("/dev/fuse").and_then(|device| {
                let descriptor = device.as_raw_fd();
                let options = format!(
                    "fd={descriptor},rootmode=40000,user_id={user},group_id={user},allow_other"
                );
                let options = CString::new(options).unwrap();
                let flags = MountFlags::NODEV | MountFlags::NOSUID;
                mount("silent", &point, "fuse", flags, options.as_c_str())?;
                Ok(device)
            });
        let Ok(device) = mounted else {
            assert!(
                std::env::var_os("VAULTIX_TESTS").is_none_or(|which| which != "all"),
                "no FUSE"
            );
            eprintln!("SKIPPED: mounting takes root and /dev/fuse");
            return None;
        };
        let asked = Arc::new(AtomicUsize::new(0));
        let (count, target) = (Arc::clone(&asked), target.map(Path::to_owned));
        thread::spawn(move || serve(device, &count, target.as_deref()));
        Some(Self { path, asked })
    }

    /// Returns the path of `name` in the file system.
    fn inside(&self, name: &str) -> PathBuf {
        self.path.join("fuse").join(name)
    }

    /// Makes a directory beside it.
    fn directory(&self, name: &str, owner: u32) -> PathBuf {
        let path = self.path.join(name);
        fs::create_dir(&path).unwrap();
        chown(&path, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The daemon's device reads an error then, and with its end all who wait are let go.
        let _ = unmount(self.path.join("fuse"), UnmountFlags::FORCE | UnmountFlags::DETACH);
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Reads requests until the file system is gone.
fn serve(mut device: File, asked: &AtomicUsize, target: Option<&Path>) {
    let mut request = vec![0; 1 << 17];
    while let Ok(count) = device.read(&mut request) {
        let number = |at: usize| u64::from_le_bytes(request[at..at + 8].try_into().unwrap());
        let (kind, unique, node) = (number(0) >> 32, &request[8..16], number(16));
        if kind != 26 {
            asked.fetch_add(1, Ordering::Relaxed);
        }
        let attributes = || {
            let link = node != 1 || kind == 1;
            let mode: u32 = if link { 0o120_777 } else { 0o040_755 };
            let mut attributes = vec![0; 88];
            attributes[0] = if link { 2 } else { 1 };
            attributes[60..64].copy_from_slice(&mode.to_le_bytes());
            attributes[64] = 1;
            attributes
        };
        let mut error = 0;
        let body = match (kind, target) {
            // FUSE_INIT, of version 7.31.
            (26, _) => [&7_u32.to_le_bytes()[..], &31_u32.to_le_bytes(), &[0; 56]].concat(),
            // FUSE_LOOKUP, FUSE_GETATTR, FUSE_READLINK.
            (1, Some(_)) => [&2_u64.to_le_bytes()[..], &[0; 32], &attributes()].concat(),
            (3, Some(_)) => [vec![0; 16], attributes()].concat(),
            (5, Some(target)) => target.as_os_str().as_encoded_bytes().to_vec(),
            // FUSE_FORGET is not answered.
            (2, _) | (_, None) => continue,
            _ => {
                error = -38_i32; // ENOSYS
                Vec::new()
            }
        };
        let length = u32::try_from(body.len() + 16).unwrap().to_le_bytes();
        let answer = [&length[..], &error.to_le_bytes(), unique, &body].concat();
        assert!(count >= 40 && device.write(&answer).is_ok());
    }
}

/// Does `jobs`, with the real helper for what this process is not to do.
fn run(jobs: Vec<Job>) -> Vec<queue::JobResult> {
    let ours = r#"{"version":1,"settings":{"hostIdentifier":"h","hostPubkey":"k","hostKeys":[]}}"#;
    let profile =
        vaultix_generator::profile::Profile::parse(ours, vaultix_generator::profile::Side::Host);
    let program = Path::new(env!("CARGO_BIN_EXE_vaultix-decrypt"));
    queue::run_as(program, jobs, &OwnDirectories::new(&profile.unwrap().settings))
}

/// Returns the job to make a link for an item of `owner`.
fn link(path: PathBuf, owner: u32) -> Job {
    let target = PathBuf::from("/run/vaultix/x");
    Job { path, task: Task::Link { owner, target, before: Vec::new() } }
}

/// Returns the reason of a failure.
fn reason(done: &queue::JobResult) -> &str {
    &done.as_ref().unwrap_err().reason
}

#[test]
fn a_silent_file_system_delays_only_its_owner() {
    // As root would mount it: what a user has mounted is not asked anything.
    let Some(folder) = Folder::new("silent", 0, None) else { return };
    let (home, other) = (folder.directory("home", OWNER), folder.directory("other", OTHER));
    let roots = folder.directory("roots", 0);
    let plaintext = Plaintext::new(b"v1".to_vec());
    let file = Task::File {
        ownership: Ownership { uid: OTHER, gid: OTHER, mode: 0o400 },
        allow_disk: false,
        digest: plaintext.digest(),
        plaintext: Some(plaintext),
        before: Vec::new(),
    };
    let mut jobs: Vec<Job> =
        (0..10).map(|number| link(folder.inside(&format!("{number}")), OWNER)).collect();
    jobs.push(link(home.join("x"), OWNER));
    jobs.push(link(other.join("x"), OTHER));
    jobs.push(link(roots.join("x"), OWNER));
    jobs.push(Job { path: other.join("file"), task: file });
    let gone = |content| Job { path: folder.inside("gone"), task: Task::Remove(content) };
    jobs.push(gone(PathContent::Link("/run/vaultix/x".into())));
    jobs.push(gone(PathContent::File([0; 32])));
    let done = run(jobs);
    assert_eq!(done.len(), 16);
    let path = folder.inside("0").display().to_string();
    assert!(
        reason(&done[0]).starts_with(&format!(
            "cannot reach {path}: its file system did not answer within 5 s"
        ))
    );
    for late in &done[1..=10] {
        let why = format!(
            "it was not tried within 5 s, because {path}, of the same owner, did not answer"
        );
        assert!(reason(late).ends_with(&why), "{}", reason(late));
    }
    for in_time in &done[11..=13] {
        assert_eq!(*in_time.as_ref().unwrap(), Outcome::Done);
    }
    assert_eq!(fs::read(other.join("file")).unwrap(), b"v1");
    for placed in [other, roots] {
        assert_eq!(fs::read_link(placed.join("x")).unwrap(), Path::new("/run/vaultix/x"));
    }
    assert!(
        matches!(done[14].as_ref().unwrap(), Outcome::Abandoned(_)),
        "no secret is left of a link"
    );
    assert!(matches!(done[15].as_ref().unwrap(), Outcome::Remains(_)));
    assert!(folder.asked.load(Ordering::Relaxed) > 0, "it has read what it does not answer");
}

#[test]
fn a_mount_of_a_user_is_not_queried() {
    for user in [OWNER, OTHER] {
        let Some(folder) = Folder::new(&format!("users-{user}"), user, None) else { return };
        let done =
            run(vec![link(folder.inside("x"), OWNER), link(folder.path.join("fuse"), OWNER)]);
        for done in done {
            let expected = format!("is on a file system that user {user} has mounted (FUSE)");
            assert!(reason(&done).contains("unsafe path transition"), "{}", reason(&done));
            assert!(reason(&done).contains(&expected), "{}", reason(&done));
        }
        assert_eq!(folder.asked.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn a_mount_of_a_user_can_claim_to_be_roots() {
    let roots = Path::new("/dev/shm/vaultix-test-lied");
    fs::create_dir_all(roots).unwrap();
    let Some(folder) = Folder::new("liar", OWNER, Some(roots)) else { return };
    let path = folder.inside("d/env.sh");
    let done = run(vec![link(path.clone(), OWNER)]);
    assert!(reason(&done[0]).contains("unsafe path transition"), "{}", reason(&done[0]));
    assert_eq!(fs::read_dir(roots).unwrap().count(), 0);
    // Control: for all that stat(2) can tell, root has made this link.
    let metadata = fs::symlink_metadata(path.parent().unwrap()).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&metadata), 0);
    symlink("/planted", &path).unwrap();
    assert!(fs::symlink_metadata(roots.join("env.sh")).is_ok());
    fs::remove_dir_all(roots).unwrap();
}

#[test]
fn a_child_that_cannot_be_is_said_to_be_missing() {
    let Some(folder) = Folder::new("childless", 0, None) else { return };
    let home = folder.directory("home", OWNER);
    for (program, words) in
        [("/nonexistent", "cannot start /nonexistent"), ("/bin/false", "exit status: 1")]
    {
        let ours =
            r#"{"version":1,"settings":{"hostIdentifier":"h","hostPubkey":"k","hostKeys":[]}}"#;
        let profile = vaultix_generator::profile::Profile::parse(
            ours,
            vaultix_generator::profile::Side::Host,
        );
        let ours = OwnDirectories::new(&profile.unwrap().settings);
        let done = queue::run_as(Path::new(program), vec![link(home.join("x"), OWNER)], &ours);
        assert!(reason(&done[0]).contains(words), "{}", reason(&done[0]));
    }
}
