//! the helper itself, where there is no ramfs → an exit status, a line, and no file.

use std::fs;
use std::path::Path;
use std::process::Command;

use age::secrecy::ExposeSecret;
use pretty_assertions::assert_eq;

#[test]
fn only_a_ramfs_is_written_to() {
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
        let check = Command::new(env!("CARGO_BIN_EXE_vaultix-decrypt"))
            .args(["check", "--profile"])
            .arg(folder.join("profile.json"))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(check.stderr).unwrap(), "");
        assert_eq!(String::from_utf8(check.stdout).unwrap(), "1 secret can be decrypted\n");
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

#[test]
fn no_private_key_is_in_a_message() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vaultix-test-private");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let identity = age::x25519::Identity::generate();
    let ciphertext = age::encrypt(&identity.to_public(), b"hunter2").unwrap();
    fs::write(folder.join("cipher"), ciphertext).unwrap();
    let at = folder.display();
    // One key that is nowhere in a profile, to be the one that is missing.
    let fresh = age::x25519::Identity::generate().to_string();
    let fresh = fresh.expose_secret();
    let data = fresh.strip_prefix("AGE-SECRET-KEY-1").unwrap();
    let pem =
        format!("-----BEGIN OPENSSH PRIVATE KEY-----\\n{data}\\n-----END OPENSSH PRIVATE KEY-----");
    let seen = |text: &str| {
        (0..data.len() - 20).any(|at| text.to_uppercase().contains(&data[at..at + 20]))
    };
    let run = |profile: &str| {
        fs::write(folder.join("profile.json"), profile).unwrap();
        let mut said = String::new();
        for verb in
            [&["check"][..], &["switch"], &["switch", "--early"], &["secret", "--", "token"]]
        {
            let output = Command::new(env!("CARGO_BIN_EXE_vaultix-decrypt"))
                .args(&verb[..1])
                .arg("--profile")
                .arg(folder.join("profile.json"))
                .args(&verb[1..])
                .output()
                .unwrap();
            said += &String::from_utf8(output.stderr).unwrap();
        }
        said
    };
    let profile = |public: &str, path: &str, mode: &str| {
        format!(
            r#"{{"version":1,"settings":{{"hostIdentifier":"h","hostPubkey":"{public}",
            "hostKeys":[{{"path":"{path}","type":"age"}}],"decryptedMountPoint":"{at}/mount",
            "decryptedDir":"{at}/link","decryptedDirForUser":"{at}/early"}},
            "secrets":{{"token":{{"cipher":"{at}/cipher","mode":"{mode}"}}}}}}"#
        )
    };
    let public = identity.to_public().to_string();
    for key in [
        fresh.to_owned(),
        fresh.to_lowercase(),
        fresh.replace("SECRET", "SECRT"),
        data.to_owned(),
        pem,
    ] {
        for (public, path, mode) in [
            (&*key, "/key", "0400"),
            (&*format!("ssh-ed25519 {key}"), "/key", "0400"),
            (&*public, &*key, "0400"),
            (&*public, &*format!("/{key}"), "0400"),
            (&*public, "/key", &*key),
        ] {
            let said = run(&profile(public, path, mode));
            assert!(!seen(&said), "{said}");
            assert!(
                said.contains("[a private key, not shown]") || said.contains("not shown"),
                "{said}"
            );
        }
    }
    assert!(run(&profile(fresh, "/key", "0400")).contains("age-keygen -y"));
    // The same search finds a path that is none.
    assert!(seen(&run(&profile(&public, &format!("/{}b", &data[..24]), "0400"))));
    fs::remove_dir_all(&folder).unwrap();
}
