//! argv → the verb of the helper.

use std::ffi::OsString;
use std::path::PathBuf;

use vaultix_generator::profile::{DEFAULT_PATH, Manager};
use vaultix_generator::unit::Kind;

use crate::creds::Key;
use crate::path::queue::VERB;
use crate::switch::Phase;
use crate::user::default_profile;

/// Printed for a wrong command line.
pub const USAGE: &str = "\
usage: vaultix-decrypt secret [--profile FILE] -- ID
       vaultix-decrypt template [--profile FILE] -- ID
       vaultix-decrypt boot [--early] [--profile FILE]
       vaultix-decrypt switch [--early] [--dry-run] [--profile FILE]
       vaultix-decrypt check [--profile FILE]
       vaultix-decrypt enroll [--x25519] [--path FILE] [--root DIR]
       vaultix-decrypt enroll --seal [--seal-with KEY] [--pcrs LIST] [--x25519] [--path FILE]
       vaultix-decrypt retry [--profile FILE]
With --user: your own secrets (secret, template, switch, check, enroll, retry).
The units run it; by hand: systemctl restart vaultix-secret@ID. See vaultix-decrypt(8).";

/// What the helper should do.
#[derive(Debug, PartialEq, Eq)]
pub enum Verb {
    /// Place one item.
    Item(Kind, String),
    /// Place all items of a phase at boot.
    Boot {
        /// Whose turn it is.
        phase: Phase,
    },
    /// Put items at paths of their own: on local file systems, or below a late mount.
    Paths {
        /// The late mount.
        mount: Option<PathBuf>,
    },
    /// Start the units of all items once the boot is over.
    Rest,
    /// Switch to the profile.
    Switch {
        /// Early items, or all others.
        phase: Phase,
    },
    /// Show what a switch would do, and write nothing.
    Preview {
        /// The last phase that is shown.
        phase: Phase,
    },
    /// Check that every item can be decrypted, and write nothing.
    Check,
    /// Make an identity for this host.
    Enroll(Enroll),
    /// Copy the identity that systemd has unsealed from this file.
    Unseal(PathBuf),
    /// Try again what failed for want of a host key.
    Retry,
    /// Fail, for this reason: the generator cannot say it itself.
    Fail(String),
    /// Make the path a link to `decryptedDir`, or remove it.
    Link {
        /// The path.
        path: PathBuf,
        /// Whether it is removed.
        remove: bool,
    },
    /// Pass a notice on to the manager of the user who runs this.
    Notify,
    /// Hide the ramfs of an earlier release.
    Convert,
    /// Do the jobs on standard input, see [`crate::path::queue`]. Used only by this program itself.
    PathJobs,
    /// Print the usage.
    Help,
    /// Print the version.
    Version,
}

impl Verb {
    /// Returns whether a user can do it for themselves.
    fn is_of_users(&self) -> bool {
        match self {
            Self::Item(..) | Self::Check | Self::Retry => true,
            Self::Switch { phase } | Self::Preview { phase } => *phase == Phase::Normal,
            Self::Enroll(options) => {
                options.root.is_none() && options.seal.is_none() && !options.is_unit
            }
            _ => false,
        }
    }
}

/// Options of [`Verb::Enroll`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Enroll {
    /// Whether to make an X25519 identity, and not a post-quantum one.
    pub is_small: bool,
    /// What seals it, if it is to be sealed.
    pub seal: Option<Key>,
    /// The registers of the TPM that it is bound to as well.
    pub pcrs: Option<String>,
    /// Where, if it is said.
    pub path: Option<PathBuf>,
    /// The root directory of the host, if it is not this one's.
    pub root: Option<PathBuf>,
    /// Whether the unit runs it, which waits for the configuration: it names the place, and the unit fails.
    pub is_unit: bool,
}

/// A command line.
#[derive(Debug, PartialEq, Eq)]
pub struct Invocation {
    /// What to do.
    pub verb: Verb,
    /// The profile's path.
    pub profile: PathBuf,
    /// Whether it is about the host, or the user who runs this program.
    pub manager: Manager,
}

/// Reads the command line, without the program's name.
///
/// Returns `None` when it is wrong.
#[must_use]
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Option<Invocation> {
    let mut args = args.into_iter();
    let verb = args.next()?;
    let mut profile = None;
    let mut manager = Manager::System;
    let mut phase = Phase::Normal;
    let mut is_dry = false;
    let mut mount = None;
    let mut id = None;
    let mut enroll = Enroll::default();
    while let Some(arg) = args.next() {
        match arg.to_str()? {
            "--profile" => profile = Some(args.next()?.into()),
            "--user" => manager = Manager::User,
            "--early" if verb == "switch" || verb == "boot" => phase = Phase::Early,
            "--dry-run" if verb == "switch" => is_dry = true,
            "--mount" if verb == "paths" => mount = Some(args.next()?.into()),
            "--x25519" if verb == "enroll" => enroll.is_small = true,
            "--seal" if verb == "enroll" => enroll.seal = enroll.seal.or(Some(Key::Auto)),
            "--seal-with" if verb == "enroll" => {
                enroll.seal = Some(Key::named(args.next()?.to_str()?)?);
            }
            "--pcrs" if verb == "enroll" => enroll.pcrs = Some(args.next()?.into_string().ok()?),
            "--path" if verb == "enroll" => enroll.path = Some(args.next()?.into()),
            "--root" if verb == "enroll" => enroll.root = Some(args.next()?.into()),
            "--unit" if verb == "enroll" => enroll.is_unit = true,
            // The next argument is the id, or the reason, even if it looks like an option.
            "--" => {
                id = Some(args.next()?.into_string().ok()?);
                if args.next().is_some() {
                    return None;
                }
            }
            _ => return None,
        }
    }
    let verb = match (verb.to_str()?, id) {
        ("secret", Some(id)) => Verb::Item(Kind::Secret, id),
        ("template", Some(id)) => Verb::Item(Kind::Template, id),
        ("boot", None) => Verb::Boot { phase },
        ("paths", None) => Verb::Paths { mount },
        ("rest", None) => Verb::Rest,
        ("switch", None) if is_dry => Verb::Preview { phase },
        ("switch", None) => Verb::Switch { phase },
        ("check", None) => Verb::Check,
        // systemd-creds ignores them where no TPM takes part.
        ("enroll", None) if enroll.pcrs.is_some() && !enroll.seal.is_some_and(Key::has_tpm) => {
            return None;
        }
        ("enroll", None) => Verb::Enroll(enroll),
        ("unseal", Some(path)) => Verb::Unseal(path.into()),
        ("retry", None) => Verb::Retry,
        ("fail", Some(reason)) => Verb::Fail(reason),
        ("link", Some(path)) => Verb::Link { path: path.into(), remove: false },
        ("unlink", Some(path)) => Verb::Link { path: path.into(), remove: true },
        ("notify", None) => Verb::Notify,
        ("convert", None) => Verb::Convert,
        (VERB, None) => Verb::PathJobs,
        ("help" | "--help" | "-h", None) => Verb::Help,
        ("version" | "--version" | "-V", None) => Verb::Version,
        _ => return None,
    };
    let default = || match manager {
        Manager::System => DEFAULT_PATH.into(),
        Manager::User => default_profile(),
    };
    (manager == Manager::System || verb.is_of_users()).then(|| Invocation {
        verb,
        profile: profile.unwrap_or_else(default),
        manager,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    fn parsed(words: &[&str]) -> Option<(Verb, PathBuf)> {
        let parsed = whole(words)?;
        assert_eq!(parsed.manager, Manager::System, "{words:?}");
        Some((parsed.verb, parsed.profile))
    }

    fn whole(words: &[&str]) -> Option<Invocation> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn a_user_can_do_some_of_it() {
        for words in [
            &["switch"][..],
            &["switch", "--dry-run"],
            &["check"],
            &["retry"],
            &["enroll", "--path", "/p"],
            &["secret", "--", "--user"],
            &["template", "--", "a"],
        ] {
            let (verb, rest) = words.split_first().unwrap();
            let of_user = [&[*verb, "--user", "--profile", "/p"], rest].concat();
            let (of_user, of_host) = (whole(&of_user).unwrap(), whole(words).unwrap());
            assert_eq!((of_user.verb, of_user.profile), (of_host.verb, "/p".into()), "{words:?}");
            assert_eq!((of_user.manager, of_host.manager), (Manager::User, Manager::System));
        }
        for words in [
            &["boot"][..],
            &["paths"],
            &["rest"],
            &["switch", "--early"],
            &["switch", "--early", "--dry-run"],
            &["enroll", "--root", "/mnt"],
            &["enroll", "--unit"],
            &["enroll", "--seal"],
            &["link", "--", "/a"],
            &["notify"],
            &["convert"],
            &["path-jobs"],
            &["--version"],
        ] {
            let (verb, rest) = words.split_first().unwrap();
            assert!(whole(words).is_some(), "{words:?}");
            assert_eq!(whole(&[&[*verb, "--user"], rest].concat()), None, "{words:?}");
        }
    }

    #[test]
    fn an_id_may_look_like_anything() {
        for id in ["a", "--help", "-", "--", "a b"] {
            let expected = Verb::Item(Kind::Secret, id.to_owned());
            assert_eq!(parsed(&["secret", "--", id]), Some((expected, DEFAULT_PATH.into())));
        }
    }

    #[test]
    fn another_profile_can_be_named() {
        let expected = (Verb::Switch { phase: Phase::Early }, PathBuf::from("/p"));
        assert_eq!(parsed(&["switch", "--profile", "/p", "--early"]), Some(expected));
        assert_eq!(parsed(&["check", "--profile", "/p"]), Some((Verb::Check, "/p".into())));
    }

    #[test]
    fn every_verb_has_all_of_its_names() {
        let id = || "a".to_owned();
        for (words, verb) in [
            (&["secret", "--", "a"][..], Verb::Item(Kind::Secret, id())),
            (&["template", "--", "a"], Verb::Item(Kind::Template, id())),
            (&["switch"], Verb::Switch { phase: Phase::Normal }),
            (&["switch", "--dry-run"], Verb::Preview { phase: Phase::Normal }),
            (&["switch", "--early", "--dry-run"], Verb::Preview { phase: Phase::Early }),
            (&["boot"], Verb::Boot { phase: Phase::Normal }),
            (&["boot", "--early"], Verb::Boot { phase: Phase::Early }),
            (&["paths"], Verb::Paths { mount: None }),
            (&["paths", "--mount", "/home"], Verb::Paths { mount: Some("/home".into()) }),
            (&["rest"], Verb::Rest),
            (&["check"], Verb::Check),
            (&["retry"], Verb::Retry),
            (&["enroll"], Verb::Enroll(Enroll::default())),
            (
                &["enroll", "--x25519", "--path", "/p", "--root", "/mnt"],
                Verb::Enroll(Enroll {
                    is_small: true,
                    path: Some("/p".into()),
                    root: Some("/mnt".into()),
                    ..Enroll::default()
                }),
            ),
            (
                &["enroll", "--seal"],
                Verb::Enroll(Enroll { seal: Some(Key::Auto), ..Enroll::default() }),
            ),
            (
                &["enroll", "--seal-with", "host+tpm2", "--pcrs", "7+11", "--seal"],
                Verb::Enroll(Enroll {
                    seal: Some(Key::Both),
                    pcrs: Some("7+11".to_owned()),
                    ..Enroll::default()
                }),
            ),
            (&["unseal", "--", "/a"], Verb::Unseal("/a".into())),
            (&["fail", "--", "-b"], Verb::Fail("-b".to_owned())),
            (&["link", "--", "/a"], Verb::Link { path: "/a".into(), remove: false }),
            (&["unlink", "--", "/a"], Verb::Link { path: "/a".into(), remove: true }),
            (&["notify"], Verb::Notify),
            (&["convert"], Verb::Convert),
            (&["path-jobs"], Verb::PathJobs),
            (&["help"], Verb::Help),
            (&["--help"], Verb::Help),
            (&["-h"], Verb::Help),
            (&["version"], Verb::Version),
            (&["--version"], Verb::Version),
            (&["-V"], Verb::Version),
        ] {
            assert_eq!(parsed(words), Some((verb, DEFAULT_PATH.into())), "{words:?}");
        }
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for words in [
            &[][..],
            &["secret"],
            &["secret", "a"],
            &["secret", "--"],
            &["secret", "--", "a", "b"],
            &["secret", "--early", "--", "a"],
            &["switch", "--", "a"],
            &["check", "--early"],
            &["check", "--dry-run"],
            &["boot", "--mount", "/home"],
            &["paths", "--early"],
            &["paths", "--mount"],
            &["check", "--profile"],
            &["retry", "--", "a"],
            &["enroll", "--seal-with", "null"],
            &["enroll", "--pcrs", "7"],
            &["enroll", "--seal", "--pcrs", "7"],
            &["enroll", "--seal-with", "host", "--pcrs", "7"],
            &["unseal"],
            &["fail"],
            &["fail", "a"],
            &["decrypt"],
        ] {
            assert_eq!(parsed(words), None, "{words:?}");
        }
    }
}
