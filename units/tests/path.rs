//! items with a path of their own → links and files there, or a refusal. Needs root, to make directories of others.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use pretty_assertions::assert_eq;
use sha2::Digest as _;
use vaultix_generator::profile::{Profile, Secret, Side};
use vaultix_units::owner::Ownership;
use vaultix_units::path::{Earlier, Job, Outcome, OwnDirectories, PathContent, Stamp, Task, queue};
use vaultix_units::plaintext::Plaintext;

/// A user who is neither root nor the owner of the secret.
const STRANGER: u32 = 12345;
/// The owner of the secret.
const OWNER: u32 = 12346;

/// A directory for one test, removed with it.
struct Scratch(PathBuf);

impl std::ops::Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes an empty directory in memory or on disk for one test; `None`, said aloud, without root.
fn directory(parent: &str, name: &str) -> Option<Scratch> {
    let directory = Scratch(Path::new(parent).join(format!("vaultix-test-{name}")));
    let _ = fs::remove_dir_all(&*directory);
    fs::create_dir_all(&*directory).unwrap();
    if chown(&*directory, Some(0), Some(0)).is_ok() {
        return Some(directory);
    }
    assert!(std::env::var_os("VAULTIX_TESTS").is_none_or(|which| which != "all"), "not root");
    eprintln!("SKIPPED: making directories of other users takes root");
    None
}

/// Returns the text of a profile with a secret at `path`, with more fields.
fn profile(path: &Path, fields: &str) -> Profile {
    let path = path.display();
    let text = format!(
        r#"{{"version":1,"settings":{{"hostIdentifier":"h","hostPubkey":"k","hostKeys":[]}},
        "secrets":{{"x":{{"cipher":"/c","path":"{path}"{fields}}}}}}}"#
    );
    Profile::parse(&text, Side::Host).unwrap()
}

/// Returns the job to put a secret of [`OWNER`] at `path`, and what is ours.
fn job(path: &Path, fields: &str, plaintext: &str) -> (Job, OwnDirectories) {
    let profile = profile(path, fields);
    let secret: &Secret = profile.secrets.get("x").unwrap().as_ref().unwrap();
    let ownership = Ownership { uid: OWNER, gid: OWNER, mode: 0o440 };
    let plaintext = Plaintext::new(plaintext.as_bytes().to_vec());
    let (place, digest) = (&secret.placement, plaintext.digest());
    let job = Job::put(place, &profile.settings, ownership, digest, Some(plaintext), None);
    (job.unwrap(), OwnDirectories::new(&profile.settings))
}

/// Does one job, with the real helper for what this process is not to do.
fn perform(job: Job, ours: &OwnDirectories) -> queue::JobResult {
    let program = Path::new(env!("CARGO_BIN_EXE_vaultix-decrypt"));
    let mut done = queue::run_as(program, vec![job], ours);
    assert_eq!(done.len(), 1);
    done.pop().unwrap()
}

/// Puts a secret of [`OWNER`] at `path`; the reason when it is refused, without the path.
fn try_put(path: &Path, fields: &str, plaintext: &str) -> Result<(), String> {
    let (job, ours) = job(path, fields, plaintext);
    match perform(job, &ours) {
        Ok(outcome) => {
            assert!(matches!(outcome, Outcome::Done | Outcome::OnDisk(_)), "{outcome:?}");
            Ok(())
        }
        Err(failure) => {
            let parent = path.parent().unwrap().display().to_string();
            Err(failure.reason.replace(&parent, "DIR"))
        }
    }
}

/// Takes away what was put at `path`.
fn take_away(path: &Path, content: PathContent) -> queue::JobResult {
    let ours = job(Path::new("/x"), "", "").1;
    perform(Job { path: path.to_owned(), task: Task::Remove(content) }, &ours)
}

/// Makes a directory with this owner and mode.
fn make(path: &Path, owner: u32, mode: u32) {
    fs::create_dir(path).unwrap();
    chown(path, Some(owner), Some(owner)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Makes a link with this owner.
fn link(target: impl AsRef<Path>, path: &Path, owner: u32) {
    symlink(target, path).unwrap();
    lchown(path, Some(owner), Some(owner)).unwrap();
}

#[test]
fn a_link_is_made_with_its_directories() {
    let Some(directory) = directory("/dev/shm", "link") else { return };
    let path = directory.join("a/b/secret");
    assert_eq!(try_put(&path, "", "v1"), Ok(()));
    assert_eq!(fs::read_link(&path).unwrap(), Path::new("/run/vaultix/x"));
    assert_eq!(fs::metadata(directory.join("a/b")).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(try_put(&path, "", "v1"), Ok(()), "a second time");
    fs::remove_file(&path).unwrap();
    symlink("/run/vaultix/old-name", &path).unwrap();
    assert_eq!(try_put(&path, "", "v1"), Ok(()), "an old one of ours");
    assert_eq!(fs::read_link(&path).unwrap(), Path::new("/run/vaultix/x"));
}

#[test]
fn foreign_files_and_links_stay() {
    let Some(directory) = directory("/dev/shm", "foreign") else { return };
    let path = directory.join("file");
    fs::write(&path, "precious").unwrap();
    assert_eq!(
        try_put(&path, "", "v1").unwrap_err(),
        "cannot write DIR/file: a file that Vaultix did not put there is in the way; move it away, or set another path"
    );
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    let path = directory.join("link");
    symlink("/etc/passwd", &path).unwrap();
    for fields in ["", r#","symlink":false"#] {
        assert!(try_put(&path, fields, "v1").unwrap_err().contains("is in the way"));
    }
    assert_eq!(fs::read_link(&path).unwrap(), Path::new("/etc/passwd"));
    let path = directory.join("directory");
    fs::create_dir(&path).unwrap();
    for fields in ["", r#","symlink":false"#] {
        assert!(try_put(&path, fields, "v1").unwrap_err().contains("is in the way"));
    }
}

#[test]
fn the_plaintext_itself_has_its_owner_and_mode() {
    let Some(directory) = directory("/dev/shm", "file") else { return };
    let path = directory.join("a/secret");
    for plaintext in ["v1", "v2", "v2"] {
        assert_eq!(try_put(&path, r#","symlink":false"#, plaintext), Ok(()));
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), plaintext);
        assert_eq!(metadata.permissions().mode(), 0o100_440);
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&metadata), OWNER);
    }
    assert_eq!(fs::read_dir(directory.join("a")).unwrap().count(), 1, "nothing beside it");
}

#[test]
fn a_disk_is_refused_unless_it_is_allowed() {
    let Some(directory) = directory(env!("CARGO_TARGET_TMPDIR"), "disk") else { return };
    let path = directory.join("secret");
    let refusal = try_put(&path, r#","symlink":false"#, "v1").unwrap_err();
    assert!(refusal.contains("the plaintext would be on a disk"), "{refusal}");
    assert!(!path.exists());
    assert_eq!(try_put(&path, r#","symlink":false,"allowDisk":true"#, "v1"), Ok(()));
    assert_eq!(fs::read_to_string(&path).unwrap(), "v1");
}

#[test]
fn paths_planted_by_others_are_refused() {
    let Some(directory) = directory("/dev/shm", "planted") else { return };
    let theirs = directory.join("theirs");
    fs::create_dir(&theirs).unwrap();
    chown(&theirs, Some(STRANGER), Some(STRANGER)).unwrap();
    let refusal = try_put(&theirs.join("secret"), "", "v1").unwrap_err();
    assert_eq!(
        refusal,
        "cannot write DIR/secret: unsafe path transition: DIR belongs to user 12345, who could redirect the \
         secret; it must belong to root or the secret's owner"
    );
    assert!(try_put(&theirs.join("deeper/secret"), "", "v1").is_err());
    assert_eq!(fs::read_dir(&theirs).unwrap().count(), 0, "nothing was made there");

    let link = directory.join("link");
    fs::create_dir(directory.join("roots")).unwrap();
    symlink(directory.join("roots"), &link).unwrap();
    lchown(&link, Some(STRANGER), Some(STRANGER)).unwrap();
    assert!(
        try_put(&link.join("secret"), "", "v1").unwrap_err().contains("unsafe path transition")
    );
    lchown(&link, Some(0), Some(0)).unwrap();
    assert_eq!(try_put(&link.join("secret"), "", "v1"), Ok(()), "a link of root");
}

#[test]
fn a_link_of_the_owner_leads_only_to_what_is_the_owners() {
    let Some(directory) = directory("/dev/shm", "confined") else { return };
    let home = directory.join("home");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(OWNER), Some(OWNER)).unwrap();
    assert_eq!(try_put(&home.join("made/secret"), "", "v1"), Ok(()));
    assert_eq!(try_put(&home.join("made/secret"), "", "v1"), Ok(()), "in a directory made by us");
    fs::create_dir(directory.join("roots")).unwrap();
    for (name, target) in [("away", "../roots"), ("up", ".."), ("root", "/")] {
        let link = home.join(name);
        symlink(target, &link).unwrap();
        lchown(&link, Some(OWNER), Some(OWNER)).unwrap();
        let refusal = try_put(&link.join("secret"), "", "v1").unwrap_err();
        assert!(refusal.contains("unsafe path transition"), "{name}: {refusal}");
    }
    let own = home.join("own");
    fs::create_dir(&own).unwrap();
    chown(&own, Some(OWNER), Some(OWNER)).unwrap();
    let link = home.join("link");
    symlink("own", &link).unwrap();
    lchown(&link, Some(OWNER), Some(OWNER)).unwrap();
    assert_eq!(try_put(&link.join("secret"), "", "v1"), Ok(()));
}

#[test]
fn directories_writable_by_others_are_refused_unless_sticky() {
    let Some(directory) = directory("/dev/shm", "shared") else { return };
    for (name, owner, mode, is_safe) in [
        ("group", 0, 0o775, false),
        ("all", 0, 0o757, false),
        ("owners", OWNER, 0o775, false),
        ("sticky", 0, 0o1777, true),
        ("own", OWNER, 0o1777, true),
        ("closed", OWNER, 0o700, true),
    ] {
        make(&directory.join(name), owner, mode);
        for path in [directory.join(name).join("secret"), directory.join(name).join("deep/secret")]
        {
            let put = try_put(&path, "", "v1");
            assert_eq!(put.is_ok(), is_safe, "{name}: {put:?}");
            if let Err(refusal) = put {
                assert!(refusal.contains("unsafe path transition"), "{refusal}");
                assert!(refusal.contains("chmod go-w"), "{refusal}");
            }
        }
    }
}

#[test]
fn in_a_directory_of_all_only_roots_and_the_owners_counts() {
    let Some(directory) = directory("/dev/shm", "sticky") else { return };
    let tmp = directory.join("tmp");
    make(&tmp, 0, 0o1777);
    // A link that leads where ours does: the stranger would exchange it later.
    link("/run/vaultix/x", &tmp.join("secret"), STRANGER);
    let refusal = try_put(&tmp.join("secret"), "", "v1").unwrap_err();
    assert!(refusal.contains("a file of user 12345 is in the way"), "{refusal}");
    fs::write(tmp.join("file"), "v1").unwrap();
    chown(tmp.join("file"), Some(STRANGER), Some(STRANGER)).unwrap();
    let refusal = try_put(&tmp.join("file"), r#","symlink":false"#, "v1").unwrap_err();
    assert!(refusal.contains("a file of user 12345 is in the way"), "{refusal}");
    make(&tmp.join("theirs"), STRANGER, 0o755);
    assert!(try_put(&tmp.join("theirs/secret"), "", "v1").is_err());
    // A hard link to a link of root's, which anybody can make where protected_hardlinks is off.
    make(&directory.join("roots"), 0, 0o755);
    symlink("../roots", directory.join("honest")).unwrap();
    fs::hard_link(directory.join("honest"), tmp.join("planted")).unwrap();
    let refusal = try_put(&tmp.join("planted/secret"), "", "v1").unwrap_err();
    assert!(refusal.contains("unsafe path transition"), "{refusal}");
    assert_eq!(fs::read_dir(directory.join("roots")).unwrap().count(), 0);
    link("/run/vaultix/x", &tmp.join("ours"), 0);
    assert_eq!(try_put(&tmp.join("ours"), "", "v1"), Ok(()));
}

#[test]
fn a_link_of_roots_in_a_directory_of_the_owner_counts_as_theirs() {
    let Some(directory) = directory("/dev/shm", "renamed") else { return };
    let (home, roots) = (directory.join("home"), directory.join("roots"));
    make(&home, OWNER, 0o755);
    make(&roots, 0, 0o755);
    // Root has made it, for something else, and the owner has renamed it.
    symlink("../roots", home.join("x")).unwrap();
    let refusal = try_put(&home.join("x/env.sh"), "", "v1").unwrap_err();
    assert!(refusal.contains("unsafe path transition"), "{refusal}");
    // A way that leads up from there leads where the owner has moved it.
    symlink("home/../roots", directory.join("up")).unwrap();
    let refusal = try_put(&directory.join("up/env.sh"), "", "v1").unwrap_err();
    assert!(refusal.contains("unsafe path transition"), "{refusal}");
    assert_eq!(fs::read_dir(&roots).unwrap().count(), 0);
}

#[test]
fn parents_and_links_belong_to_the_owner_where_the_directory_does() {
    let Some(scratch) = directory("/tmp", "owned") else { return };
    for (name, owner) in [("home", OWNER), ("home/roots", 0), ("roots", 0)] {
        make(&scratch.join(name), owner, 0o755);
    }
    for (parent, owner) in [("home", OWNER), ("home/roots", 0), ("roots", 0)] {
        let path = scratch.join(parent).join(".config/gh/token");
        assert_eq!(try_put(&path, &format!(r#","owner":"{OWNER}""#), "x"), Ok(()));
        for (above, what) in path.ancestors().zip(["link", "parent", "parent of it"]) {
            let metadata = fs::symlink_metadata(above).unwrap();
            assert_eq!(metadata.uid(), owner, "{}: {what}", above.display());
        }
        let again = try_put(&path, &format!(r#","owner":"{OWNER}""#), "x");
        assert_eq!(again, Ok(()), "the owner's link is what was put there");
    }
}

#[test]
fn directories_made_below_one_of_the_owner_are_the_owners() {
    let Some(directory) = directory("/dev/shm", "made") else { return };
    let home = directory.join("home");
    make(&home, OWNER, 0o700);
    chown(&home, None, Some(77)).unwrap();
    assert_eq!(try_put(&home.join("a/b/secret"), "", "v1"), Ok(()));
    for made in ["a", "a/b"] {
        let made = fs::metadata(home.join(made)).unwrap();
        assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777), (OWNER, 77, 0o755));
    }
    assert_eq!(fs::read_dir(&home).unwrap().count(), 1, "nothing is left beside it");
    // What a killed run has left is made good.
    make(&home.join(".vaultix-new"), 0, 0o700);
    make(&home.join(".vaultix-new/.vaultix-new"), 0, 0o755);
    assert_eq!(try_put(&home.join("c/secret"), "", "v1"), Ok(()));
    assert_eq!(fs::metadata(home.join("c")).unwrap().uid(), OWNER);
    // Another directory of root's, which the owner has renamed, is not given away.
    let stage = home.join(".vaultix-new");
    make(&stage, 0, 0o700);
    make(&stage.join(".vaultix-new"), 0, 0o755);
    fs::write(stage.join(".vaultix-new/precious"), "").unwrap();
    assert!(try_put(&home.join("d/secret"), "", "v1").is_err());
    assert_eq!(fs::metadata(stage.join(".vaultix-new")).unwrap().uid(), 0);
    fs::remove_dir_all(&stage).unwrap();
    make(&stage, 0, 0o755);
    assert!(try_put(&home.join("d/secret"), "", "v1").is_err(), "one that is not the stage");
    assert_eq!(fs::metadata(&stage).unwrap().uid(), 0);
}

/// The walk as it was: two looks at each name. Puts a link at the end of the way.
fn walk_that_looks_twice(path: &Path) -> Option<()> {
    use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, readlinkat, statat, symlinkat};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let root = || rustix::fs::open("/", flags, Mode::empty()).ok();
    let names = |path: &Path| -> Vec<_> {
        let parts = path.components().skip_while(|part| *part == std::path::Component::RootDir);
        let mut names: Vec<_> = parts.map(|part| part.as_os_str().to_owned()).collect();
        names.reverse();
        names
    };
    let (mut here, mut is_confined) = (root()?, false);
    let mut rest = names(path.parent()?);
    while let Some(name) = rest.pop() {
        let stat = statat(&here, &name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        if stat.st_uid != OWNER && (stat.st_uid != 0 || is_confined) {
            return None;
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            is_confined |= stat.st_uid != 0;
            let target = readlinkat(&here, &name, Vec::new()).ok()?.into_string().ok()?;
            if target.starts_with('/') {
                here = root()?;
            }
            rest.extend(names(Path::new(&target)));
        } else {
            here = openat(&here, &name, flags, Mode::empty()).ok()?;
        }
    }
    symlinkat("/planted", &here, path.file_name()?).ok()
}

/// Runs `attempt` while the owner of a directory exchanges a link of root's in it with one of their own, until something
/// has come into a directory of root's, or for `attempts`; returns whether something has come.
fn does_the_exchange_work(directory: &Path, attempts: usize, attempt: impl Fn(&Path)) -> bool {
    let (home, roots) = (directory.join("home"), directory.join("roots"));
    make(&home, OWNER, 0o755);
    make(&home.join("own"), OWNER, 0o755);
    make(&roots, 0, 0o755);
    link("own", &home.join("x"), 0);
    link(&roots, &home.join("mine"), OWNER);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let at = fs::File::open(&home).unwrap();
            while !is_over.load(Ordering::Relaxed) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(&at, "x", &at, "mine", flags).unwrap();
            }
        });
        let mut works = false;
        for _ in 0..attempts {
            attempt(&home.join("x/env.sh"));
            works = fs::read_dir(&roots).unwrap().count() > 0;
            if works {
                break;
            }
            let _ = fs::remove_file(home.join("own/env.sh"));
        }
        is_over.store(true, Ordering::Relaxed);
        works
    })
}

#[test]
fn an_owner_who_exchanges_links_leads_nothing_elsewhere() {
    let Some(directory) = directory("/dev/shm", "exchange") else { return };
    let put = |path: &Path| drop(try_put(path, "", "v1"));
    assert!(!does_the_exchange_work(&directory, 1000, put));
}

#[test]
fn control_the_exchange_works_on_who_looks_twice() {
    let Some(directory) = directory("/dev/shm", "exchange-control") else { return };
    let walk = |path: &Path| {
        let _ = walk_that_looks_twice(path); // Where it fails, it is tried again.
    };
    assert!(does_the_exchange_work(&directory, 1_000_000, walk));
}

#[test]
fn a_former_owner_makes_nothing_fail() {
    let Some(directory) = directory("/dev/shm", "former") else { return };
    let link_of_ours = || PathContent::Link("/run/vaultix/x".into());
    let digest = Plaintext::new(b"v1".to_vec()).digest();
    let home = directory.join("home");
    make(&home, OWNER, 0o755);
    // Loops, ways through others' directories, a file for a directory, a name that is too long, nothing at all.
    link("loop", &home.join("loop"), OWNER);
    link("/", &home.join("away"), OWNER);
    make(&home.join("open"), OWNER, 0o777);
    make(&home.join("strangers"), STRANGER, 0o755);
    fs::write(home.join("file"), "").unwrap();
    make(&home.join("directory"), OWNER, 0o755);
    let long = "x".repeat(300);
    for (name, is_settled) in [
        ("loop/x", false),
        ("away/x", false),
        ("open/x", false),
        ("strangers/x", false),
        ("file/x", true),
        ("directory", true),
        (&*long, true),
        ("none/x", true),
    ] {
        let link = take_away(&home.join(name), link_of_ours()).unwrap();
        assert!(matches!(link, Outcome::Done | Outcome::Abandoned(_)), "{name}: {link:?}");
        let file = take_away(&home.join(name), PathContent::File(digest)).unwrap();
        assert_eq!(!matches!(file, Outcome::Remains(_)), is_settled, "{name}: {file:?}");
    }
    assert!(home.join("directory").is_dir());
    // What is ours still goes.
    link("/run/vaultix/x", &home.join("link"), 0);
    assert_eq!(take_away(&home.join("link"), link_of_ours()).unwrap(), Outcome::Done);
    assert!(fs::symlink_metadata(home.join("link")).is_err());
    fs::write(home.join("ours"), "v1").unwrap();
    assert_eq!(take_away(&home.join("ours"), PathContent::File(digest)).unwrap(), Outcome::Done);
    assert!(!home.join("ours").exists());
    fs::write(home.join("changed"), "v2").unwrap();
    let changed = take_away(&home.join("changed"), PathContent::File(digest)).unwrap();
    assert!(matches!(changed, Outcome::Abandoned(_)), "{changed:?}");
    assert!(home.join("changed").exists());
}

#[test]
fn a_plaintext_is_asked_for_where_it_is_needed_alone() {
    let Some(directory) = directory("/dev/shm", "needed") else { return };
    let path = directory.join("secret");
    let without = || {
        let (mut job, ours) = job(&path, r#","symlink":false"#, "v1");
        let Task::File { plaintext, .. } = &mut job.task else { unreachable!() };
        *plaintext = None;
        perform(job, &ours).unwrap()
    };
    assert_eq!(without(), Outcome::NeedsPlaintext, "nothing is there");
    assert_eq!(fs::read_dir(&*directory).unwrap().count(), 0);
    assert_eq!(try_put(&path, r#","symlink":false"#, "v1"), Ok(()));
    assert_eq!(without(), Outcome::Done, "it is there");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    assert_eq!(without(), Outcome::NeedsPlaintext, "with another mode");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
    fs::write(&path, "v2").unwrap();
    assert_eq!(without(), Outcome::NeedsPlaintext, "with another content");
    // As large as the owner likes.
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(without(), Outcome::NeedsPlaintext, "very large");
    assert_eq!(try_put(&path, r#","symlink":false"#, "v1"), Ok(()));
    assert_eq!(fs::read_to_string(&path).unwrap(), "v1");
}

/// A program that opens the file of its argument, takes a lease on it, says so, and holds it until its standard input ends.
const LEASE: &str = "use Fcntl; $| = 1; $SIG{IO} = 'IGNORE'; open(my $file, '<', $ARGV[0]) or die;\n\
    fcntl($file, 1024, F_WRLCK) or die 'no lease'; print qq(held\n); <STDIN>;";

#[test]
fn a_lease_on_what_is_there_holds_nobody_up() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};
    let Some(directory) = directory("/dev/shm", "lease") else { return };
    let path = directory.join("secret");
    for is_taken_away in [false, true] {
        assert_eq!(try_put(&path, r#","symlink":false"#, "v1"), Ok(()));
        let mut holder = Command::new("perl")
            .args(["-e", LEASE])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "held\n");
        let inode = || fs::symlink_metadata(&path).unwrap().ino();
        let before = inode();
        if is_taken_away {
            let digest = Plaintext::new(b"v1".to_vec()).digest();
            let left = take_away(&path, PathContent::File(digest)).unwrap();
            assert!(matches!(left, Outcome::Remains(_)), "{left:?}");
            assert_eq!(inode(), before);
        } else {
            assert_eq!(try_put(&path, r#","symlink":false"#, "v1"), Ok(()));
            assert_ne!(inode(), before, "it was written again");
        }
        drop(holder.stdin.take());
        holder.wait().unwrap();
    }
}

#[test]
fn leftovers_of_a_killed_program_go_with_the_file() {
    let Some(directory) = directory("/dev/shm", "unfinished") else { return };
    let place = directory.join("place");
    make(&place, OWNER, 0o755);
    let path = place.join("token");
    assert_eq!(try_put(&path, r#","symlink":false"#, "text"), Ok(()));
    // The name that it had before: the one name that a directory in its place keeps.
    let digest = vaultix_generator::escape::hex(&sha2::Sha256::digest(b"token"));
    let beside = place.join(format!(".vaultix-{}", digest.get(..16).unwrap()));
    let digest = Plaintext::new(b"text".to_vec()).digest();
    for is_there in [true, false] {
        if !is_there {
            assert!(!path.exists());
        }
        fs::write(&beside, "text").unwrap();
        chown(&beside, Some(OWNER), Some(OWNER)).unwrap();
        assert_eq!(take_away(&path, PathContent::File(digest)).unwrap(), Outcome::Done);
        assert!(!path.exists() && !beside.exists(), "{is_there}");
    }
}

#[test]
fn a_way_of_very_long_names_is_no_failure_of_a_switch() {
    let Some(directory) = directory("/dev/shm", "long") else { return };
    let home = directory.join("home");
    make(&home, OWNER, 0o755);
    // Relative links of 10 levels each, since no path may have more than 4 KiB; the last directory is everybody's.
    let name = "n".repeat(255);
    let mut levels = vec![home.clone()];
    let mut here = rustix::fs::open(&home, rustix::fs::OFlags::DIRECTORY, 0.into()).unwrap();
    for level in 0..150_u32 {
        rustix::fs::mkdirat(&here, &*name, 0o755.into()).unwrap();
        let next =
            rustix::fs::openat(&here, &*name, rustix::fs::OFlags::DIRECTORY, 0.into()).unwrap();
        rustix::fs::fchown(&next, Some(rustix::fs::Uid::from_raw(OWNER)), None).unwrap();
        if level % 10 == 0 {
            let target = [&*name; 10].join("/") + "/next";
            rustix::fs::symlinkat(&target, &here, "next").unwrap();
            let owner = rustix::fs::Uid::from_raw(OWNER);
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(&here, "next", Some(owner), None, flags).unwrap();
        }
        here = next;
    }
    rustix::fs::mkdirat(&here, "next", 0o755.into()).unwrap();
    let last = rustix::fs::openat(&here, "next", rustix::fs::OFlags::DIRECTORY, 0.into()).unwrap();
    rustix::fs::fchown(&last, Some(rustix::fs::Uid::from_raw(OWNER)), None).unwrap();
    rustix::fs::fchmod(&last, 0o777.into()).unwrap();
    levels.push(home.join("next/token"));
    let done = take_away(levels.last().unwrap(), PathContent::Link("/run/vaultix/x".into()));
    let Ok(Outcome::Abandoned(reason)) = done else { panic!("{:?}", done.map_err(|it| it.reason)) };
    assert!(reason.len() <= 5000, "{} bytes", reason.len());
    assert!(reason.contains(&name), "it was on the way: {reason}");
}

#[test]
fn items_of_one_owner_do_not_get_into_each_others_way() {
    let Some(directory) = directory("/dev/shm", "crowd") else { return };
    for round in 0..20 {
        let home = directory.join(format!("home-{round}"));
        make(&home, OWNER, 0o755);
        thread::scope(|scope| {
            let started: Vec<_> = (0..4)
                .map(|item| {
                    let path = home.join(format!(".a/b/c/d/{item}"));
                    scope.spawn(move || try_put(&path, "", "text"))
                })
                .collect();
            for one in started {
                assert_eq!(one.join().unwrap(), Ok(()));
            }
        });
        assert_eq!(fs::read_dir(home.join(".a/b/c/d")).unwrap().count(), 4);
        assert_eq!(fs::read_dir(&home).unwrap().count(), 1, "nothing else is left");
    }
}

/// Returns an access list, acl(5), that lets [`STRANGER`] read and write, in the form of xattr(7).
fn list() -> Vec<u8> {
    let nobody = u32::MAX;
    // The owner, a user, the group, the mask, all others; see linux/posix_acl.h.
    let entries: [(u16, u16, u32); 5] =
        [(1, 7, nobody), (2, 7, STRANGER), (4, 5, nobody), (0x10, 7, nobody), (0x20, 5, nobody)];
    let entry = |(tag, rights, id): (u16, u16, u32)| {
        [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    [2_u32.to_le_bytes().to_vec(), entries.into_iter().flat_map(entry).collect()].concat()
}

/// Returns whether [`STRANGER`] can read the file `path`.
fn can_read(path: &Path) -> bool {
    let mut cat = Command::new("cat");
    cat.arg(path).uid(STRANGER).gid(STRANGER).stderr(Stdio::null()).stdout(Stdio::null());
    cat.status().unwrap().success()
}

#[test]
fn a_list_that_a_directory_hands_down_opens_nothing() {
    for (parent, fields) in [
        ("/dev/shm", r#","symlink":false"#),
        (env!("CARGO_TARGET_TMPDIR"), r#","symlink":false,"allowDisk":true"#),
    ] {
        let Some(directory) = directory(parent, "list") else { return };
        let set = |path: &Path, name: &str| {
            let set = rustix::fs::setxattr(path, name, &list(), rustix::fs::XattrFlags::empty());
            set.unwrap_or_else(|error| panic!("{parent} has no access lists: {error}"));
        };
        set(&directory, "system.posix_acl_default");
        let file = directory.join("below/file");
        try_put(&file, fields, "v1").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o440);
        assert!(!can_read(&file), "it is only for its owner and group");
        // As an earlier release has left it.
        set(&file, "system.posix_acl_access");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o440)).unwrap();
        assert!(can_read(&file), "the control: for all that its mode says, it is not");
        try_put(&file, fields, "v1").unwrap();
        assert!(!can_read(&file), "what has one is made again");
        // The control: owner and mode alone leave the list as it is.
        let other = directory.join("below/other");
        fs::write(&other, "v1").unwrap();
        chown(&other, Some(OWNER), Some(OWNER)).unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o440)).unwrap();
        assert!(can_read(&other));
    }
}

#[test]
fn an_access_list_that_allows_writing_is_refused_and_an_inherited_group_is_not_kept() {
    let Some(directory) = directory("/dev/shm", "list-on-the-way") else { return };
    let listed = directory.join("listed");
    make(&listed, 0, 0o755);
    let name = "system.posix_acl_access";
    rustix::fs::setxattr(&listed, name, &list(), rustix::fs::XattrFlags::empty()).unwrap();
    let mut touch = Command::new("touch");
    let touched = touch.arg(listed.join("planted")).uid(STRANGER).gid(STRANGER).status().unwrap();
    assert!(touched.success(), "the control: the list is in force");
    let refusal = try_put(&listed.join("x"), "", "v1").unwrap_err();
    assert!(refusal.contains("DIR is writable by its group"), "{refusal}");

    let handed = directory.join("handed");
    make(&handed, 0, 0o755);
    chown(&handed, Some(0), Some(STRANGER)).unwrap();
    fs::set_permissions(&handed, fs::Permissions::from_mode(0o2755)).unwrap();
    fs::write(handed.join("control"), "").unwrap();
    assert_eq!(fs::metadata(handed.join("control")).unwrap().gid(), STRANGER);
    try_put(&handed.join("x"), r#","symlink":false"#, "v1").unwrap();
    let metadata = fs::metadata(handed.join("x")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode()), (OWNER, OWNER, 0o100_440));
}

/// Does this at `path`.
fn act(path: &Path, task: Task) -> Result<Outcome, String> {
    let ours = job(Path::new("/x"), "", "").1;
    perform(Job { path: path.to_owned(), task }, &ours).map_err(|failure| failure.reason)
}

/// Puts a link of ours at `path`, if what is there is one of `before`.
fn relink(path: &Path, target: &str, before: Vec<PathContent>) -> Result<Outcome, String> {
    act(path, Task::Link { owner: OWNER, target: target.into(), before })
}

/// Puts a link or a file at `path` as an earlier boot did; returns what the record of it says.
fn put_earlier(path: &Path, target: Option<&str>) -> Earlier {
    let outcome = if let Some(target) = target {
        relink(path, target, Vec::new())
    } else {
        let plaintext = Plaintext::new(b"earlier".to_vec());
        let ownership = Ownership { uid: OWNER, gid: OWNER, mode: 0o400 };
        let (digest, before) = (plaintext.digest(), Vec::new());
        let plaintext = Some(plaintext);
        act(path, Task::File { ownership, allow_disk: true, digest, plaintext, before })
    };
    let Ok(Outcome::OnDisk(stamp)) = outcome else { panic!("{outcome:?}") };
    Earlier { target: target.map(PathBuf::from), stamp }
}

/// Where the links of an earlier boot lead: nowhere that counts as ours by itself.
const OLD: &str = "/elsewhere/x";

/// What a user, or a record that is not of this disk, can do to what an earlier boot has put at a path: a name, and what is
/// done, which may also be to the record.
type Attack = (&'static str, fn(&Path, &mut Earlier));

/// All of them. The file or link looks the same after each.
const ATTACKS: [Attack; 6] = [
    ("another one in its place", |path, _| {
        let was = fs::symlink_metadata(path).unwrap();
        let other = path.with_extension("other");
        match fs::read_link(path) {
            Ok(target) => symlink(target, &other).unwrap(),
            Err(_) => drop(fs::copy(path, &other).unwrap()),
        }
        lchown(&other, Some(was.uid()), Some(was.gid())).unwrap();
        fs::rename(other, path).unwrap();
    }),
    ("moved away and back", |path, _| {
        fs::rename(path, path.with_extension("away")).unwrap();
        fs::rename(path.with_extension("away"), path).unwrap();
    }),
    ("another name for it", |path, _| {
        fs::hard_link(path, path.with_extension("name")).unwrap();
    }),
    ("given to another user", |path, _| {
        let was = fs::symlink_metadata(path).unwrap().uid();
        lchown(path, Some(STRANGER), None).unwrap();
        lchown(path, Some(was), None).unwrap();
    }),
    ("another number in the record", |_, earlier| change(earlier, 2)),
    ("another time in the record", |_, earlier| change(earlier, 4)),
];

/// Changes a number in the record.
fn change(earlier: &mut Earlier, at: usize) {
    let text = earlier.stamp.to_text();
    let mut words: Vec<u64> = text.split(' ').map(|word| word.parse().unwrap()).collect();
    words[at] += 1;
    let text: Vec<String> = words.iter().map(u64::to_string).collect();
    earlier.stamp = Stamp::parse(&text.join(" ")).unwrap();
}

#[test]
fn what_an_earlier_boot_put_there_is_known_by_its_stamp() {
    let Some(disk) = directory(env!("CARGO_TARGET_TMPDIR"), "earlier") else { return };
    // In a directory of the owner's, by a child.
    make(&disk.join("roots"), 0, 0o755);
    make(&disk.join("home"), OWNER, 0o755);
    for folder in ["roots", "home"] {
        let path = disk.join(folder).join("x");
        for target in [Some(OLD), None] {
            let earlier = put_earlier(&path, target);
            let known = vec![PathContent::Earlier(earlier)];
            let refused = relink(&path, "/run/vaultix/x", Vec::new()).unwrap_err();
            assert!(refused.contains("that Vaultix did not put there is in the way"), "{refused}");
            let Ok(Outcome::OnDisk(_)) = relink(&path, "/run/vaultix/x", known) else {
                panic!("{folder} {target:?}: it is ours");
            };
            assert_eq!(fs::read_link(&path).unwrap(), Path::new("/run/vaultix/x"));
            fs::remove_file(&path).unwrap();
            let earlier = put_earlier(&path, target);
            assert_eq!(take_away(&path, PathContent::Earlier(earlier)).unwrap(), Outcome::Done);
            assert!(fs::symlink_metadata(&path).is_err(), "{folder} {target:?}: it is removed");
        }
    }
}

#[test]
fn what_only_looks_as_an_earlier_boot_put_it_there_stays() {
    let Some(disk) = directory(env!("CARGO_TARGET_TMPDIR"), "forged") else { return };
    for (at, (name, attack)) in ATTACKS.iter().enumerate() {
        for target in [Some(OLD), None] {
            let path = disk.join(format!("{at}-{}", target.is_some()));
            let mut earlier = put_earlier(&path, target);
            attack(&path, &mut earlier);
            let there = fs::symlink_metadata(&path).unwrap().ino();
            let known = vec![PathContent::Earlier(earlier.clone())];
            let refused = relink(&path, "/run/vaultix/x", known).unwrap_err();
            assert!(refused.contains(&path.display().to_string()), "{name}: {refused}");
            assert!(refused.contains("that Vaultix did not put there is in the way"), "{refused}");
            let left = take_away(&path, PathContent::Earlier(earlier)).unwrap();
            let Outcome::Abandoned(reason) = left else { panic!("{name}: {left:?}") };
            assert!(reason.contains(&path.display().to_string()), "{name}: {reason}");
            assert_eq!(fs::symlink_metadata(&path).unwrap().ino(), there, "{name}");
        }
    }
}

#[test]
fn control_what_looks_the_same_is_taken_for_ours_without_a_stamp() {
    let Some(disk) = directory(env!("CARGO_TARGET_TMPDIR"), "forged-control") else { return };
    for (at, (name, attack)) in ATTACKS.iter().enumerate() {
        for target in [Some(OLD), None] {
            let path = disk.join(format!("{at}-{}", target.is_some()));
            let mut earlier = put_earlier(&path, target);
            attack(&path, &mut earlier);
            // A record that has only what can be seen.
            let digest = Plaintext::new(b"earlier".to_vec()).digest();
            let seen = target.map_or(PathContent::File(digest), |it| PathContent::Link(it.into()));
            assert_eq!(take_away(&path, seen).unwrap(), Outcome::Done, "{name}");
            assert!(fs::symlink_metadata(&path).is_err(), "{name} {target:?}");
        }
    }
}

#[test]
fn what_is_not_mounted_is_not_gone() {
    let Some(disk) = directory(env!("CARGO_TARGET_TMPDIR"), "absent") else { return };
    let Some(memory) = directory("/dev/shm", "absent") else { return };
    let earlier = put_earlier(&disk.join("x"), None);
    let earlier = || PathContent::Earlier(earlier.clone());
    assert_eq!(take_away(&disk.join("y"), earlier()).unwrap(), Outcome::Done);
    assert_eq!(take_away(&memory.join("x"), earlier()).unwrap(), Outcome::Absent);
    assert_eq!(take_away(&disk.join("none/x"), earlier()).unwrap(), Outcome::Absent);
    assert!(disk.join("x").exists());
}

#[test]
fn only_a_dead_link_of_roots_into_run_is_replaced() {
    let Some(disk) = directory(env!("CARGO_TARGET_TMPDIR"), "dead") else { return };
    let run = Scratch(PathBuf::from("/run/vaultix-test-dead"));
    let _ = fs::remove_dir_all(&*run);
    fs::create_dir(&*run).unwrap();
    fs::write(run.join("file"), "").unwrap();
    symlink("nowhere", run.join("dead")).unwrap();
    symlink("/etc/passwd", run.join("alive")).unwrap();
    make(&disk.join("home"), OWNER, 0o755);
    for (owner, target, is_replaced) in [
        (0, "/run/agenix-of-another-time/x", true),
        (0, "/run/vaultix-test-dead/none", true),
        (0, "/run/vaultix-test-dead/dead", true),
        (0, "/run/vaultix-test-dead/file/x", true),
        (OWNER, "/run/agenix-of-another-time/x", false),
        (0, "/run/vaultix-test-dead/file", false),
        (0, "/run/vaultix-test-dead/alive", false),
        (0, "/run/vaultix-test-dead", false),
        (0, "/run/../none", false),
        (0, "/run/agenix/../../etc/none", false),
        (0, "/runs/none", false),
        (0, "run/none", false),
        (0, "/none", false),
    ] {
        for folder in ["", "home"] {
            let path = disk.join(folder).join("x");
            link(target, &path, owner);
            let made = relink(&path, "/run/vaultix/x", Vec::new());
            assert_eq!(made.is_ok(), is_replaced, "{owner} {target}: {made:?}");
            let expected = if is_replaced { "/run/vaultix/x" } else { target };
            assert_eq!(fs::read_link(&path).unwrap(), Path::new(expected));
            fs::remove_file(&path).unwrap();
        }
    }
}
