//! Profiles, and what is known about the needs of their hosts.

use pretty_assertions::assert_eq;
use vaultix_generator::profile::Side;

use super::*;

/// The public key of a throw-away key.
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";

/// Two valid secrets.
const GOOD: &str = r#""mail":{"file":"mail.age"},"wifi":{"file":"wifi.age"}"#;

/// A secret with a generator, and one without.
const MADE: &str = r#""mail":{"file":"mail.age"},
    "wifi":{"file":"wifi.age","generator":{"kind":"wireguard"}}"#;

/// Returns the profile of `host`, which has the public key `key`, with `secrets`.
fn profile(host: &str, key: &str, secrets: &str) -> Profile {
    let settings = format!(r#"{{"hostIdentifier":"{host}","hostPubkey":"{key}","hostKeys":[]}}"#);
    let text = format!(r#"{{"version":1,"settings":{settings},"secrets":{{{secrets}}}}}"#);
    Profile::parse(&text, Side::Workspace).unwrap()
}

/// Works out what the hosts of `profiles` need of `asked`, or of all, if only the files `read` can
/// be read.
fn desired(profiles: &[Profile], asked: &[&str], read: &[&str]) -> (Desired, Vec<String>) {
    let asked: Vec<String> = asked.iter().map(|&id| id.to_owned()).collect();
    let digests = read.iter().map(|&file| (file.into(), "0".repeat(64))).collect();
    let mut desired = Desired { digests, ..Desired::default() };
    let mut failures = Failures::default();
    for profile in profiles {
        desired.add(profile, &asked, &mut failures);
    }
    let errors = failures.errors.iter().map(|error| format!("{error:#}")).collect();
    (desired, errors)
}

fn ids(desired: &Desired) -> Vec<&str> {
    let mut ids: Vec<&str> = desired.wanted.values().map(|wanted| wanted.secret.as_str()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_host_is_complete_if_everything_it_needs_is_known() {
    let web = [profile("web", KEY, r#""wifi":{"file":"wifi.age"}"#)];
    let (all, errors) = desired(&web, &[], &["wifi.age"]);
    assert_eq!((all.complete, errors.len()), (BTreeSet::from(["web".to_owned()]), 0));
    let name = store::name(&"0".repeat(64), KEY, None);
    let wanted = Wanted { source: "wifi.age".into(), key: None, secret: "wifi".to_owned() };
    assert_eq!(all.wanted, BTreeMap::from([(Entry { host: "web".to_owned(), name }, wanted)]));
    let (unread, _) = desired(&web, &[], &[]);
    assert_eq!((ids(&unread).len(), unread.complete.len()), (0, 0));
    let some = [profile("web", KEY, GOOD)];
    let (some, _) = desired(&some, &["wifi"], &["wifi.age", "mail.age"]);
    assert_eq!((ids(&some), some.complete.len()), (vec!["wifi"], 0));
}

#[test]
fn a_failure_of_one_host_or_secret_does_not_stop_others() {
    let bad = format!(r#"{GOOD},"vpn":{{"file":"vpn.age","mode":"9"}}"#);
    let hosts = [profile("web", KEY, &bad), profile("db", "ssh-ed25519 AAAA", GOOD)];
    let (some, errors) = desired(&hosts, &[], &["wifi.age"]);
    assert_eq!((ids(&some), some.complete.len()), (vec!["wifi"], 0));
    assert!(some.hosts["web"].is_some() && some.hosts["db"].is_none());
    assert!(errors[0].starts_with("cannot use secret \"vpn\" for host web: "), "{errors:?}");
    assert!(errors[1].starts_with("cannot use the hostPubkey of host db: "), "{errors:?}");
    assert_eq!(errors.len(), 2);
    assert_eq!(desired(&hosts, &["wifi"], &[]).1.len(), 1, "vpn was not asked for");
}

#[test]
fn a_host_with_two_profiles_is_complete_if_both_are() {
    let good = || profile("web", KEY, r#""wifi":{"file":"wifi.age"}"#);
    let other = || profile("web", KEY, r#""mail":{"file":"mail.age"}"#);
    for (profiles, read, complete) in [
        ([good(), other()], &["wifi.age", "mail.age"][..], 1),
        ([good(), other()], &["wifi.age"], 0),
        ([other(), good()], &["wifi.age"], 0),
    ] {
        assert_eq!(desired(&profiles, &[], read).0.complete.len(), complete, "{read:?}");
    }
}

#[test]
fn the_error_of_a_missing_file_says_how_to_create_it() {
    let web = [profile("web", KEY, MADE)];
    let fixed = |exit, file: &str| {
        let error = with_fix(Error::new(exit, "x"), &web, Path::new(file));
        error.to_string().split_once("to fix:  ").map(|(_, fix)| fix.to_owned())
    };
    assert_eq!(fixed(Status::NoInput, "wifi.age").as_deref(), Some("vaultix generate"));
    assert_eq!(fixed(Status::NoInput, "mail.age").as_deref(), Some("vaultix edit mail.age"));
    assert_eq!(fixed(Status::NoPerm, "wifi.age"), None);
}

#[test]
fn users_of_a_file_are_all_named() {
    let secrets = r#""a":{"file":"x.age"},"b":{"file":"y.age"}"#;
    let hosts = [profile("web", KEY, secrets), profile("db", KEY, r#""c":{"file":"x.age"}"#)];
    let named = |file: &str| users(&hosts, Path::new(file));
    assert_eq!(named("x.age"), "secrets \"a\", \"c\" for hosts db, web");
    assert_eq!(named("y.age"), "secret \"b\" for host web");
}

#[test]
fn a_failure_names_its_host() {
    let target = |host: &str| {
        let entry = Entry { host: host.to_owned(), name: "0".repeat(64) };
        Target { entry, key: None, secret: "wifi".to_owned() }
    };
    let mut failures = Failures::default();
    failures.add_one(Error::new(Status::DataErr, "cannot decrypt wifi.age"), &target("web"));
    assert_eq!(
        format!("{:#}", failures.errors[0]),
        "cannot re-encrypt secret \"wifi\" for host web: cannot decrypt wifi.age"
    );
    failures.add(Error::new(Status::DataErr, "x"), &[target("db"), target("old")]);
    assert_eq!(failures.hosts, ["db", "old", "web"].map(str::to_owned).into());
    assert_eq!(failures.errors.len(), 2);
}
