//! items with a path of their own → links and files there, or a refusal. Needs root, to make directories of others.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use pretty_assertions::assert_eq;
use vaultix_generator::profile::{Profile, Secret, Side};
use vaultix_units::owner::Ownership;
use vaultix_units::path::put;
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

/// Puts a secret of [`OWNER`] at `path`; the reason when it is refused, without the path.
fn try_put(path: &Path, fields: &str, plaintext: &str) -> Result<(), String> {
    let profile = profile(path, fields);
    let secret: &Secret = profile.secrets.get("x").unwrap().as_ref().unwrap();
    let ownership = Ownership { uid: OWNER, gid: OWNER, mode: 0o440 };
    let plaintext = Plaintext::new(plaintext.as_bytes().to_vec());
    put(&secret.place, &plaintext, ownership, &profile.settings, None).map_err(|failure| {
        let parent = path.parent().unwrap().display().to_string();
        failure.reason.replace(&parent, "DIR")
    })
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
fn what_is_not_ours_stays() {
    let Some(directory) = directory("/dev/shm", "foreign") else { return };
    let path = directory.join("file");
    fs::write(&path, "precious").unwrap();
    assert_eq!(
        try_put(&path, "", "v1").unwrap_err(),
        "cannot write DIR/file: a file that is not ours stands there; move it away, or set another path"
    );
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    let path = directory.join("link");
    symlink("/etc/passwd", &path).unwrap();
    for fields in ["", r#","symlink":false"#] {
        assert!(try_put(&path, fields, "v1").unwrap_err().contains("stands there"));
    }
    assert_eq!(fs::read_link(&path).unwrap(), Path::new("/etc/passwd"));
    let path = directory.join("directory");
    fs::create_dir(&path).unwrap();
    for fields in ["", r#","symlink":false"#] {
        assert!(try_put(&path, fields, "v1").unwrap_err().contains("stands there"));
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
fn what_somebody_else_could_have_planted_is_refused() {
    let Some(directory) = directory("/dev/shm", "planted") else { return };
    let theirs = directory.join("theirs");
    fs::create_dir(&theirs).unwrap();
    chown(&theirs, Some(STRANGER), Some(STRANGER)).unwrap();
    let refusal = try_put(&theirs.join("secret"), "", "v1").unwrap_err();
    assert_eq!(
        refusal,
        "cannot write DIR/secret: unsafe path transition: DIR belongs to user 12345, who could lead the secret \
         elsewhere; it must belong to root or the secret's owner"
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
