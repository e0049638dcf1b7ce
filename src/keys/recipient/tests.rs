//! Recipients of hosts and of secrets, and what is encrypted to them.

use super::*;
use crate::error::Status;
use crate::report::{Report, Verbosity};
use crate::system::interrupt::Interrupt;

/// The public key of a throw-away key.
const SSH: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";

/// The public key of another.
const AGE: &str = "age1pdl2sdxshcxxus82xq28kf8netg772gpu5ca78tl2hz9vrqmd4qqq8tkz5";

const TAGGED: &str = "age1tag1qt8lw0ual6avlwmwatk888yqnmdamm7xfd0wak53ut6elz5c4swx2yqdj4e";

const CARD: &str = "age1card1qpzry9xgwa3fsc";

const OTHER: &str = "age1yubi1qqqqqqqqky6qv3";

const IDENTITY: &str = "AGE-PLUGIN-CARD-188EE7T";

/// A throw-away post-quantum identity.
const PQ: &str = "AGE-SECRET-KEY-PQ-1UXAS4YQA7AW698T0DJUFNF6HK82PWSMEK4U3EZVXGCCNPAXTZV8SUDR939";

/// Returns the recipient that only the plugin of [`IDENTITY`] knows.
fn identity() -> ParsedRecipient {
    ParsedRecipient::PluginIdentity(IDENTITY.parse().unwrap())
}

#[test]
fn comments_and_extra_space_do_not_count() {
    assert_eq!(canonical(&format!("  {} me@desk \n", SSH.replace(' ', "\t "))), SSH);
    assert_eq!(canonical("age1xyz my laptop"), "age1xyz");
}

#[test]
fn a_text_has_as_many_recipients_as_lines() {
    let text = format!("# the team\n\n{SSH} me@desk\r\n  {AGE}\n   # {CARD}\n{CARD}\n\n");
    let lines = lines(&text);
    assert_eq!(lines, [&format!("{SSH} me@desk"), AGE, CARD]);
    let texts: Vec<String> =
        lines.iter().map(|line| parse(line).unwrap_or_else(|_| panic!("{line}")).text()).collect();
    assert_eq!(texts, [SSH, AGE, CARD]);
    // As a control, what the first two words of all of it are: one recipient, and no error.
    assert_eq!(canonical(&format!("{SSH}\n{AGE}\n")), SSH);
}

#[test]
fn what_is_no_recipient_is_no_comment_either() {
    let refused = |text: &str| parse(text).err().unwrap_or_else(|| panic!("{text} is taken"));
    let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNh";
    for (text, reason) in [
        (format!("{SSH}\n{AGE}"), "there are several, where one is expected"),
        (format!("{SSH} {AGE}"), "follows another one; put each on its own line"),
        (format!("{AGE} {AGE}"), "follows another one; put each on its own line"),
        (format!("{SSH} {SSH}"), "a key of type ssh-ed25519 follows another one"),
        (format!("{AGE} {ecdsa}"), "a key of type ecdsa-sha2-nistp256 follows another one"),
        (
            format!("no-pty,command=\"a b\" {SSH} me"),
            "options of authorized_keys are in front of it",
        ),
        (
            "sk-ssh-ed25519@openssh.com AAAAGnNr me".to_owned(),
            "keys of type sk-ssh-ed25519@openssh.com",
        ),
        (" # nobody\n".to_owned(), "it contains no recipient"),
        (String::new(), "it contains no recipient"),
    ] {
        assert!(refused(&text).contains(reason), "{text}: {}", refused(&text));
    }
    for comment in ["my ssh-ed25519 key", "age1 of mine", "age1xyz", "# 2"] {
        assert!(parse(&format!("{SSH} {comment}")).is_ok(), "{comment}");
    }
    let block =
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----";
    assert_eq!(lines(block), [block]);
    assert!(refused(block).starts_with("it is a private key"));
    assert!(parse_for_host(&format!("{SSH}\n{SSH}\n")).is_err());
}

#[test]
fn a_key_with_a_tail_is_refused() {
    assert!(parse_for_host(SSH).is_ok());
    assert!(parse_for_host(&format!("{SSH} me")).is_ok());
    let reason = parse_for_host(&format!("{SSH}AAAA")).err().unwrap();
    assert_eq!(reason, "it is not a complete ssh-ed25519 public key");
}

#[test]
fn an_unusable_recipient_is_named() {
    let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHFliOyIZs1gxGF3fmDxFykQhE88wy6AKDGFBfn0R6ZuvRmENABZQa9+pj9hMki+LX0qDJbmHTiWDbYv/cmFt/Q=";
    for (text, reason) in [
        ("ssh-ed25519 AAAA", "it is not a complete ssh-ed25519 public key"),
        ("age1xyz", "\"age1xyz\" is not an age recipient"),
        (CARD, "\"age1card1qpzry9xgwa3fsc\" needs a plugin, and there are none at boot"),
        ("wifi", "\"wifi\" is neither an ssh public key nor an age recipient"),
        (ecdsa, "age cannot encrypt to keys of type ecdsa-sha2-nistp256"),
    ] {
        let found = parse_for_host(text).err().unwrap();
        assert!(found.starts_with(reason), "{found}");
    }
}

#[test]
fn a_recipient_is_told_by_its_text_and_by_its_plugin() {
    for (text, plugin) in [(SSH, None), (AGE, None), (TAGGED, None), (CARD, Some("card"))] {
        let parsed = parse(text).unwrap_or_else(|reason| panic!("{reason}"));
        assert_eq!((parsed.text(), parsed.shown()), (text.to_owned(), text.to_owned()));
        assert_eq!(parsed.plugin(), plugin, "{text}");
    }
}

#[test]
fn a_plugins_identity_is_not_shown() {
    let parsed = identity();
    assert_eq!(parsed.text(), IDENTITY);
    assert_eq!(parsed.shown(), "the answer of the plugin card");
    assert_eq!(parsed.plugin(), Some("card"));
}

#[test]
fn a_plugin_runs_once_for_all_its_recipients() {
    let interrupt = Interrupt::new().unwrap();
    let report = Report::new(Verbosity::Quiet);
    let prompt = Prompt::new(&interrupt, &report);
    let read = |text| parse(text).unwrap_or_else(|reason| panic!("{reason}"));
    let parsed = vec![read(CARD), read(SSH), identity(), read(AGE), read(CARD), read(OTHER)];
    assert_eq!(group_by_plugin(parsed, &prompt).len(), 4);
    assert_eq!(group_by_plugin(vec![identity(), read(CARD)], &prompt).len(), 1);
}

#[test]
fn a_ciphertext_opens_to_its_plaintext() {
    let identity = age::x25519::Identity::generate();
    let ours = identity.to_public();
    let plaintext = Plaintext::new(b"hunter2".to_vec());
    let ciphertext = encrypt(&plaintext, std::iter::once(&ours as _)).unwrap();
    let opened = vaultix_units::decrypt::decrypt(&ciphertext, std::iter::once(&identity as _));
    assert_eq!(opened.unwrap().expose(), b"hunter2");
}

#[test]
fn post_quantum_recipients_want_to_be_among_themselves() {
    let key: pq::Identity = PQ.parse().unwrap();
    let text = key.to_public().to_string();
    let of = |texts: [&str; 2]| {
        let shared = |text| match parse(text) {
            Ok(ParsedRecipient::BuiltIn(recipient, _)) => recipient,
            _ => panic!("{text} is not ours"),
        };
        let recipients = texts.map(shared);
        encrypt(&Plaintext::new(Vec::new()), recipients.iter().map(|one| &**one as _))
    };
    assert!(of([&text, &text]).is_ok());
    let error = of([&text, SSH]).unwrap_err();
    let explain = |error| format!("{:#}", because(Error::new(Status::Config, "cannot"), &error));
    assert!(explain(error).starts_with("cannot: post-quantum recipients and others cannot share"));
    let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
    assert_eq!(explain(EncryptError::Io(full())), format!("cannot: {}", full()));
    // What a plugin needs is still said as what to do.
    let missing = Error::new(Status::NoPerm, "no plugin").fix("install it");
    let error = EncryptError::Io(std::io::Error::other(missing));
    assert_eq!(explain(error), "cannot: no plugin; to fix: install it");
}
