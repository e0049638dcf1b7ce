//! what an item is made from → a hash that is another one when, and only when, something of it is. Also owners.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pretty_assertions::{assert_eq, assert_ne};
use vaultix_generator::profile::{Placement, Profile, Secret, Side, Template};
use vaultix_generator::status::Status;
use vaultix_units::bounded::MAX_CIPHERTEXT;
use vaultix_units::host::{Host, MAX_TOTAL_CIPHERTEXTS, decrypt_all};
use vaultix_units::owner::{Accounts, Ownership};
use vaultix_units::record::{secret_inputs, template_inputs};

/// Makes a file for one test, and returns its path.
fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).unwrap();
    path
}

/// Returns a profile with these items.
fn profile(items: &str) -> Profile {
    let settings = r#"{"hostIdentifier":"h","hostPubkey":"age1h","hostKeys":[]}"#;
    let text = format!(r#"{{"version":1,"settings":{settings},{items}}}"#);
    Profile::parse(&text, Side::Host).unwrap()
}

/// Returns the secret with this ciphertext and these fields.
fn secret(cipher: &Path, fields: &str) -> Secret {
    let cipher = cipher.display();
    let mut profile = profile(&format!(r#""secrets":{{"x":{{"cipher":"{cipher}"{fields}}}}}"#));
    profile.secrets.remove("x").unwrap().unwrap()
}

/// Returns the template with these fields.
fn template(fields: &str) -> Template {
    let mut profile = profile(&format!(r#""templates":{{"x":{{{fields}}}}}"#));
    profile.templates.remove("x").unwrap().unwrap()
}

#[test]
fn inputs_of_a_secret_include_all_it_is_made_from() {
    let (one, other) = (file("inputs-one", "text"), file("inputs-other", "text"));
    let insert = |letter: &str, text: &str| {
        let hash = letter.repeat(64);
        format!(r#","insert":{{"{hash}":{{"order":0,"content":"{text}"}}}}"#)
    };
    let inputs = [
        secret_inputs(&secret(&one, "")),
        secret_inputs(&secret(&other, "")),
        secret_inputs(&secret(&one, r#","cleanPlaceholder":true"#)),
        secret_inputs(&secret(&one, &insert("a", "x"))),
        secret_inputs(&secret(&one, &insert("a", "y"))),
        secret_inputs(&secret(&one, &insert("b", "x"))),
        secret_inputs(&secret(Path::new("/nowhere"), "")),
    ];
    assert_eq!(inputs.iter().collect::<BTreeSet<_>>().len(), inputs.len());
    // Where it goes is not what it is.
    let elsewhere = r#","name":"n","owner":"web","mode":"0440","path":"/etc/x","symlink":false"#;
    assert_eq!(secret_inputs(&secret(&one, elsewhere)), inputs[0]);
}

#[test]
fn a_ciphertext_that_was_replaced_or_written_to_is_another() {
    let path = file("inputs-file", "text");
    let day = Duration::from_secs(86400);
    let date = |days: u32| {
        let time = SystemTime::UNIX_EPOCH + day * days;
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        secret_inputs(&secret(&path, ""))
    };
    let first = date(1);
    let (later, sooner) = (date(2), date(0));
    assert_ne!(first, later);
    assert_ne!(first, sooner, "an older date is also another one");
    fs::write(&path, "text that is longer").unwrap();
    let longer = date(1);
    assert_ne!(first, longer);
    fs::copy(&path, path.with_extension("new")).unwrap();
    fs::rename(path.with_extension("new"), &path).unwrap();
    assert_ne!(longer, date(1), "another file with the same text and date");
    assert_eq!(secret_inputs(&secret(&path, "")), secret_inputs(&secret(&path, "")));
}

#[test]
fn inputs_of_a_template_include_all_it_is_made_from() {
    let (one, other) = (Some([1; 32]), Some([2; 32]));
    let plain = template(r#""content":"c""#);
    let inputs = [
        template_inputs(&plain, []),
        template_inputs(&template(r#""content":"d""#), []),
        template_inputs(&template(r#""content":"c","trim":false"#), []),
        template_inputs(&plain, [("a", one)]),
        template_inputs(&plain, [("b", one)]),
        template_inputs(&plain, [("a", other)]),
        template_inputs(&plain, [("a", None)]),
    ];
    assert_eq!(inputs.iter().collect::<BTreeSet<_>>().len(), inputs.len());
}

#[test]
fn all_ciphertexts_together_have_a_limit() {
    // With the real sizes, a build that is not optimized takes longer on a busy machine than an item may.
    const SIZE: u64 = 1 << 20;
    assert_eq!((MAX_TOTAL_CIPHERTEXTS, MAX_CIPHERTEXT), (1 << 30, 176 << 20));
    let path = file("inputs-large", "");
    File::options().write(true).open(&path).unwrap().set_len(SIZE).unwrap();
    let secrets = vec![secret(&path, ""); 9];
    let host = Host::with_total(&profile(r#""secrets":{}"#).settings, 8 * SIZE);
    let all: Vec<&Secret> = secrets.iter().collect();
    let reasons: Vec<String> =
        decrypt_all(&host, &all).into_iter().filter_map(|made| Some(made.err()?.reason)).collect();
    let over = |reason: &&String| reason.contains("are larger than 8 MiB together");
    assert_eq!(reasons.iter().filter(over).count(), 1, "{reasons:#?}");
    assert_eq!(reasons.iter().filter(|it| it.contains("not an age file")).count(), 8);
    fs::remove_file(&path).unwrap();
}

/// Returns the placement of a secret with this owner and group.
fn placement(owner: &str, group: &str) -> Placement {
    let fields = format!(r#","mode":"0640","owner":"{owner}","group":"{group}""#);
    secret(Path::new("/c"), &fields).placement
}

#[test]
fn an_owner_is_a_number_or_in_the_list() {
    let resolve = |owner: &str, group: &str| {
        Accounts::default()
            .resolve(&placement(owner, group))
            .map_err(|failure| (failure.status as u8, failure.reason))
    };
    assert_eq!(resolve("root", "root"), Ok(Ownership { uid: 0, gid: 0, mode: 0o640 }));
    assert_eq!(resolve("7", "4294967294").map(|it| (it.uid, it.gid)), Ok((7, 4_294_967_294)));
    // From base-passwd; every Debian and every NixOS has these.
    let nobody = resolve("nobody", "root").unwrap();
    assert_eq!((nobody.uid, nobody.gid), (65534, 0));
    for (owner, group, words) in [
        ("nobody-of-this-name", "root", "there is no user \"nobody-of-this-name\" in /etc/passwd"),
        ("root", "none-of-this-name", "there is no group \"none-of-this-name\" in /etc/group"),
        // For chown(2), this number means to leave the owner as it is.
        ("4294967295", "root", "there is no user \"4294967295\""),
        ("4294967296", "root", "there is no user \"4294967296\""),
    ] {
        let (status, reason) = resolve(owner, group).unwrap_err();
        assert_eq!(status, Status::NoUser as u8);
        assert!(reason.starts_with(words), "{reason}");
    }
}
