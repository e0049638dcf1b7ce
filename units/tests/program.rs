//! the helper itself, where there is no ramfs → an exit status, a line, and no file.

use std::fs;
use std::path::Path;
use std::process::Command;

use age::secrecy::ExposeSecret;
use pretty_assertions::assert_eq;

#[test]
fn what_is_no_ramfs_is_not_written_to() {
    // A tmpfs may be swapped out, a disk keeps what it has.
    for (name, parent) in [("tmpfs", "/dev/shm"), ("disk", env!("CARGO_TARGET_TMPDIR"))] {
        let folder = Path::new(parent).join(format!("vaultix-test-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("mount")).unwrap();
        let identity = age::x25519::Identity::generate();
        fs::write(folder.join("key"), identity.to_string().expose_secret()).unwrap();
        let ciphertext = age::encrypt(&identity.to_public(), b"hunter2").unwrap();
        fs::write(folder.join("cipher"), ciphertext).unwrap();
        let (at, recipient) = (folder.display(), identity.to_public());
        let profile = format!(
            r#"{{"version":1,"settings":{{"hostIdentifier":"h","hostPubkey":"{recipient}",
            "hostKeys":[{{"path":"{at}/key","type":"age"}}],"decryptedMountPoint":"{at}/mount",
            "decryptedDir":"{at}/link","decryptedDirForUser":"{at}/early"}},
            "secrets":{{"token":{{"cipher":"{at}/cipher"}}}}}}"#
        );
        fs::write(folder.join("profile.json"), profile).unwrap();
        for (verb, what) in
            [(&["secret", "--", "token"][..], "decrypt secret \"token\""), (&["switch"], "switch")]
        {
            let output = Command::new(env!("CARGO_BIN_EXE_vaultix-decrypt"))
                .args(&verb[..1])
                .arg("--profile")
                .arg(folder.join("profile.json"))
                .args(&verb[1..])
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(73), "{name}: {verb:?}");
            let said = String::from_utf8(output.stderr).unwrap();
            let start = format!("vaultix-decrypt: cannot {what}: {at}/mount is not a ramfs");
            assert!(said.starts_with(&start), "{name}: {said}");
        }
        assert_eq!(fs::read_dir(folder.join("mount")).unwrap().count(), 0, "{name}");
        assert!(fs::symlink_metadata(folder.join("link")).is_err(), "{name}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
