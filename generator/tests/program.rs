//! the program + broken profiles → an exit status, and files only in its directory.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pretty_assertions::assert_eq;

const GENERATOR: &str = env!("CARGO_BIN_EXE_vaultix-generator");

/// Makes a folder for one test, with empty directories `normal`, `early` and `late`.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("program-{name}"));
    let _ = fs::remove_dir_all(&folder);
    for directory in ["normal", "early", "late"] {
        fs::create_dir_all(folder.join(directory)).unwrap();
    }
    folder
}

/// Writes `profile` and runs the program as systemd does, under `tracer` if that is not empty.
fn generate(folder: &Path, profile: &[u8], tracer: &[&str]) -> Output {
    fs::write(folder.join("profile.json"), profile).unwrap();
    let words: Vec<&str> = tracer.iter().copied().chain([GENERATOR]).collect();
    Command::new(words[0])
        .args(&words[1..])
        .args(["--profile", "profile.json", "normal", "early", "late"])
        .current_dir(folder)
        .env("SYSTEMD_SCOPE", "system")
        .output()
        .expect("it is there: apt-get install strace")
}

/// Returns what is in a directory, sorted, and empties it.
fn take(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    fs::remove_dir_all(directory).unwrap();
    fs::create_dir(directory).unwrap();
    names
}

/// A profile with an item of every kind.
const WHOLE: &str = include_str!("../../tests/generator/09-all/profile.json");

/// Pseudo-random numbers that are the same each time: Knuth's linear congruential generator, MMIX.
struct Noise(u64);

impl Noise {
    /// Returns the next one below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// Returns `text` with up to eight errors: bytes changed, removed or doubled, or the text cut off.
fn damaged(text: &[u8], noise: &mut Noise) -> Vec<u8> {
    let mut bytes = text.to_vec();
    for _ in 0..=noise.below(8) {
        let at = noise.below(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
        match noise.below(8) {
            _ if bytes.is_empty() => {}
            0 => bytes[at] = u8::try_from(noise.below(256)).unwrap(),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..(at + noise.below(64)).min(bytes.len()))),
            3 => {
                let piece = bytes[at..(at + noise.below(64)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => bytes[at] = b"{}[]\",:\\0\n/.u"[noise.below(13)],
        }
    }
    bytes
}

#[test]
fn no_profile_crashes_the_generator() {
    let folder = folder("garbage");
    let mut noise = Noise(1);
    let deep = "[".repeat(200_000);
    let long =
        format!(r#"{{"version":1,"settings":{{"hostIdentifier":"{}"}}}}"#, "x".repeat(1 << 20));
    let mut profiles =
        vec![deep.into_bytes(), long.into_bytes(), vec![0xff; 4096], b"{\"a\":".repeat(50_000)];
    profiles.extend((0..200).map(|_| damaged(WHOLE.as_bytes(), &mut noise)));
    let (mut whole, mut refused) = (0, 0);
    for profile in profiles {
        let output = generate(&folder, &profile, &[]);
        let shown = String::from_utf8_lossy(&profile[..profile.len().min(500)]).into_owned();
        assert_eq!(output.status.signal(), None, "{shown}");
        let names = take(&folder.join("normal"));
        match output.status.code() {
            Some(0) => {
                whole += 1;
                assert!(names.iter().any(|name| name == "vaultix.target"), "{names:?}: {shown}");
            }
            Some(78) => {
                refused += 1;
                assert_eq!(names, ["sysinit.target.wants", "vaultix-profile.service"], "{shown}");
            }
            code => assert_eq!(code, Some(0), "{shown}"),
        }
    }
    assert!(whole > 10 && refused > 10, "both happen: {whole} times and {refused} times");
}

#[test]
fn the_generator_writes_only_to_its_directory() {
    let folder = folder("writes");
    let trace = folder.join("trace");
    let tracer = ["strace", "-f", "-qq", "-e", "trace=%file", "-o", trace.to_str().unwrap()];
    let output = generate(&folder, WHOLE.as_bytes(), &tracer);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let trace = fs::read_to_string(&trace).unwrap();
    let mut writes = 0;
    for line in trace.lines() {
        let reads = line.contains("O_RDONLY")
            || ["execve", "access", "stat", "readlink", "getcwd"]
                .iter()
                .any(|call| line.contains(call));
        assert!(!line.contains("ssh_host_") && !line.contains("/nix/store"), "{line}");
        if !reads {
            assert!(line.contains("\"normal/"), "{line}");
            writes += 1;
        }
    }
    assert!(writes > 10, "{trace}");
    assert!(!take(&folder.join("normal")).is_empty());
    for other in ["early", "late"] {
        assert_eq!(take(&folder.join(other)), [""; 0], "{other}");
    }
}

#[test]
fn an_unwritable_directory_is_reported() {
    let folder = folder("nowhere");
    fs::remove_dir(folder.join("normal")).unwrap();
    let output = generate(&folder, WHOLE.as_bytes(), &[]);
    assert_eq!(output.status.code(), Some(73));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot write normal/vaultix.target: No such file"), "{said}");
}

#[test]
fn the_generator_does_nothing_in_the_initrd() {
    let folder = folder("initrd");
    fs::write(folder.join("profile.json"), WHOLE).unwrap();
    let status = Command::new(GENERATOR)
        .args(["--profile", "profile.json", "normal"])
        .current_dir(&folder)
        .env("SYSTEMD_IN_INITRD", "1")
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(take(&folder.join("normal")), [""; 0]);
}

#[test]
fn no_private_key_gets_into_a_unit_or_a_message() {
    /// A throw-away identity, from the age crate's documentation.
    const KEY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
    let folder = folder("private");
    let has = |text: &str, piece: &str| text.to_uppercase().contains(piece);
    let mut said = 0;
    for key in
        [KEY.to_owned(), KEY.to_lowercase(), KEY.replace("SECRET", "SECRT"), format!(" '{KEY}'\\n")]
    {
        for (place, quoted) in [
            ("\"ssh-ed25519 AAAA\"", true),
            ("\"/etc/key\"", true),
            ("\"ed25519\"", true),
            ("1", true),
            ("\"/run/x\"", true),
            ("\"0400\"", true),
            ("[\"a.service\"]", true),
            ("\"version\"", true),
            ("{\"version\"", false),
        ] {
            let whole = r#"{"version":1,"settings":{"hostIdentifier":"h","hostPubkey":"ssh-ed25519 AAAA",
                "hostKeys":[{"path":"/etc/key","type":"ed25519"}],"decryptedDir":"/run/x"},
                "secrets":{"token":{"cipher":"/c","mode":"0400","restartUnits":["a.service"]}}}"#;
            assert!(whole.contains(place), "{place}");
            let key = if quoted { format!("\"{key}\"") } else { key.clone() };
            let output = generate(&folder, whole.replacen(place, &key, 1).as_bytes(), &[]);
            let mut text = String::from_utf8(output.stderr).unwrap();
            for entry in fs::read_dir(folder.join("normal")).unwrap() {
                text += &fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
            }
            take(&folder.join("normal"));
            let data = &KEY[16..];
            let seen = (0..data.len() - 20).find(|at| has(&text, &data[*at..at + 20]));
            assert_eq!(seen, None, "{place}: {text}");
            said += usize::from(text.contains("[a private key, not shown]"));
        }
    }
    assert!(said >= 8, "{said}");
    // The control: the same search finds a value that is not a key.
    let nonsense = r#"{"version":1,"settings":{"hostKeys":"","hostPubkey":"x","hostIdentifier":"a/bcdefghijklmnopqrst"}}"#;
    let output = generate(&folder, nonsense.as_bytes(), &[]);
    assert!(has(&String::from_utf8(output.stderr).unwrap(), "A/BCDEFGHIJKLMNOPQRST"));
}
