//! field `generator` of a secret, how `vaultix generate` makes it → a checked [`Generator`].

use std::fmt;

use serde_json::value::RawValue;

use super::fields::{Fields, Invalid, without_position};

/// Largest length of what is generated (65536), in the unit of its kind.
const MAX_LENGTH: usize = 1 << 16;

// Each kind's name in a profile; `nix/secret.nix` has the same list.
const ALNUM: &str = "alnum";
const BASE64: &str = "base64";
const HEX: &str = "hex";
const PASSPHRASE: &str = "passphrase";
const SSH_ED25519: &str = "ssh-ed25519";
const WIREGUARD: &str = "wireguard";
const AGE: &str = "age";
const HTPASSWD: &str = "htpasswd";
const COMMAND: &str = "command";

/// A secret that another one is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The `hostIdentifier` of the host that has it, if that is another one.
    pub host: Option<String>,
    /// Its id there.
    pub id: String,
}

/// Names the file in which a command finds it: the host, if it is another one, and the id.
impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.iter().try_for_each(|host| write!(f, "{host}/"))?;
        f.write_str(&self.id)
    }
}

/// How `vaultix generate` makes a secret whose file does not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Generator {
    /// This many letters and digits; default 32.
    Alnum(usize),
    /// This many random bytes, in base64; default 32.
    Base64(usize),
    /// This many random bytes, in lower-case hex; default 32.
    Hex(usize),
    /// This many words; default 8.
    Passphrase(usize),
    /// An OpenSSH private key.
    SshEd25519,
    /// A `WireGuard` private key.
    Wireguard,
    /// An age identity.
    Age,
    /// A line for web servers: a user's name, and the hash of another secret.
    Htpasswd {
        /// The user.
        user: String,
        /// The secret with the password.
        password: Dependency,
    },
    /// The output of a program.
    Command {
        /// The program and its arguments; never empty.
        argv: Vec<String>,
        /// The secrets that it can read.
        dependencies: Vec<Dependency>,
    },
}

impl Generator {
    /// The names of all kinds.
    pub const KINDS: [&str; 9] =
        [ALNUM, BASE64, HEX, PASSPHRASE, SSH_ED25519, WIREGUARD, AGE, HTPASSWD, COMMAND];

    /// Returns the secrets that must exist first, each once.
    #[must_use]
    pub fn dependencies(&self) -> &[Dependency] {
        match self {
            Self::Htpasswd { password, .. } => std::slice::from_ref(password),
            Self::Command { dependencies, .. } => dependencies,
            _ => &[],
        }
    }

    /// Returns its kind, as a profile says it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Alnum(_) => ALNUM,
            Self::Base64(_) => BASE64,
            Self::Hex(_) => HEX,
            Self::Passphrase(_) => PASSPHRASE,
            Self::SshEd25519 => SSH_ED25519,
            Self::Wireguard => WIREGUARD,
            Self::Age => AGE,
            Self::Htpasswd { .. } => HTPASSWD,
            Self::Command { .. } => COMMAND,
        }
    }

    /// Returns whether a public key is kept next to the secret.
    #[must_use]
    pub fn has_public_key(&self) -> bool {
        matches!(self, Self::SshEd25519 | Self::Wireguard | Self::Age)
    }

    /// Reads the object `text` at `location`.
    pub(super) fn parse(location: String, text: &RawValue) -> Result<Self, Invalid> {
        let mut fields = Fields::read(location, text)?;
        let Some(kind) = fields.optional::<String>("kind")? else {
            fields.ensure_known(&[&["command", "dependencies", "length", "user"]])?;
            return Err(fields.invalid("kind", "is missing"));
        };
        let generator = match kind.as_str() {
            ALNUM => Self::Alnum(length(&mut fields, 32)?),
            BASE64 => Self::Base64(length(&mut fields, 32)?),
            HEX => Self::Hex(length(&mut fields, 32)?),
            PASSPHRASE => Self::Passphrase(length(&mut fields, 8)?),
            SSH_ED25519 => Self::SshEd25519,
            WIREGUARD => Self::Wireguard,
            AGE => Self::Age,
            HTPASSWD => {
                Self::Htpasswd { user: user(&mut fields)?, password: password(&mut fields)? }
            }
            COMMAND => Self::Command {
                argv: command(&mut fields)?,
                dependencies: dependencies(&mut fields)?,
            },
            other => {
                let kinds = Self::KINDS.map(|kind| format!("\"{kind}\"")).join(", ");
                let problem = format!("\"{other}\" is not one of {kinds}");
                return Err(Invalid::new(fields.location_of("kind"), problem));
            }
        };
        // The field may be valid for other kinds.
        let problem = format!("a generator of kind \"{kind}\" has no such field");
        fields.finish().map_err(|invalid| Invalid::new(invalid.location, problem))?;
        Ok(generator)
    }
}

fn length(fields: &mut Fields, default: usize) -> Result<usize, Invalid> {
    let length = fields.optional("length")?.unwrap_or(default);
    let found = match length {
        1..=MAX_LENGTH => Ok(length),
        _ => Err(Invalid::here(format!("{length} is not between 1 and {MAX_LENGTH}"))),
    };
    fields.check("length", found)
}

/// Reads `user`, which is followed by a colon on a line.
fn user(fields: &mut Fields) -> Result<String, Invalid> {
    let user: String = fields.required("user")?;
    let found = if user.is_empty() || user.contains(':') || user.contains(char::is_control) {
        Err(Invalid::here("is empty, or contains a colon or a control character"))
    } else {
        Ok(user)
    };
    fields.check("user", found)
}

/// Reads the only dependency of a generator that hashes a password.
fn password(fields: &mut Fields) -> Result<Dependency, Invalid> {
    let mut ids = dependencies(fields)?.into_iter();
    let found = match (ids.next(), ids.next()) {
        (Some(id), None) => Ok(id),
        _ => Err(Invalid::here("is not the id of exactly one secret, the one with the password")),
    };
    fields.check("dependencies", found)
}

fn command(fields: &mut Fields) -> Result<Vec<String>, Invalid> {
    let argv: Vec<String> = fields.required("command")?;
    let found = match argv.first() {
        Some(program) if !program.is_empty() => Ok(argv),
        _ => Err(Invalid::here("names no program")),
    };
    fields.check("command", found)
}

/// Reads `dependencies`. Programs find each in a file with its name.
fn dependencies(fields: &mut Fields) -> Result<Vec<Dependency>, Invalid> {
    let location = fields.location_of("dependencies");
    let texts: Vec<&RawValue> = match fields.raw("dependencies") {
        Some(text) => serde_json::from_str(text.get())
            .map_err(|error| Invalid::new(&*location, without_position(&error)))?,
        None => Vec::new(),
    };
    let mut found: Vec<Dependency> = Vec::new();
    for text in texts {
        let dependency = dependency(&location, text)?;
        let name = dependency.to_string();
        let is_twice = found.iter().any(|other| other.to_string() == name);
        let outcome = if is_twice {
            Err(Invalid::here(format!("\"{name}\" is listed twice")))
        } else if dependency.host.as_ref().is_some_and(|host| host.contains('/')) {
            Err(Invalid::here(format!("\"{name}\" is of a host with a slash in its name")))
        } else {
            super::check::ensure_name(&name)
        };
        fields.check("dependencies", outcome)?;
        found.push(dependency);
    }
    Ok(found)
}

/// Reads one of them: an id, or a host and an id there.
fn dependency(location: &str, text: &RawValue) -> Result<Dependency, Invalid> {
    if let Ok(id) = serde_json::from_str(text.get()) {
        return Ok(Dependency { host: None, id });
    }
    let mut fields = Fields::read(location, text)?;
    let (host, id) = (fields.required("host")?, fields.required("secret")?);
    fields.finish()?;
    Ok(Dependency { host: Some(host), id })
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;
    use crate::profile::{Profile, Side};

    /// Returns what `generator` of the secret `x` says to `side`.
    fn read(generator: &str, side: Side) -> Result<Option<Generator>, String> {
        let text = format!(
            r#"{{"version":1,"settings":{{"hostIdentifier":"web","hostPubkey":"k","hostKeys":[]}},
            "secrets":{{"x":{{"file":"x.age","cipher":"/c","generator":{generator}}}}}}}"#
        );
        let mut profile = Profile::parse(&text, side).unwrap();
        let secret = profile.secrets.remove("x").unwrap();
        secret.map(|secret| secret.generator).map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn every_kind_is_read_with_its_defaults() {
        let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let of = |host: Option<&str>, id: &str| Dependency {
            host: host.map(str::to_owned),
            id: id.to_owned(),
        };
        for (generator, expected) in [
            (r#"{"kind":"alnum"}"#, Generator::Alnum(32)),
            (r#"{"kind":"base64"}"#, Generator::Base64(32)),
            (r#"{"kind":"hex","length":65536}"#, Generator::Hex(65536)),
            (r#"{"kind":"passphrase"}"#, Generator::Passphrase(8)),
            (r#"{"kind":"ssh-ed25519"}"#, Generator::SshEd25519),
            (r#"{"kind":"wireguard"}"#, Generator::Wireguard),
            (r#"{"kind":"age"}"#, Generator::Age),
            (
                r#"{"kind":"htpasswd","user":"me","dependencies":["pw"]}"#,
                Generator::Htpasswd { user: "me".to_owned(), password: of(None, "pw") },
            ),
            (
                r#"{"kind":"command","command":["mk","-x"],"dependencies":["a/b",{"host":"db","secret":"a/b"}]}"#,
                Generator::Command {
                    argv: words(&["mk", "-x"]),
                    dependencies: vec![of(None, "a/b"), of(Some("db"), "a/b")],
                },
            ),
        ] {
            let kind = format!(r#"{{"kind":"{}""#, expected.kind());
            assert!(generator.starts_with(&kind), "{kind} of {generator}");
            assert_eq!(read(generator, Side::Workspace), Ok(Some(expected)), "{generator}");
        }
    }

    #[test]
    fn dependencies_and_public_keys_follow_from_the_kind() {
        for (generator, dependencies, has_public_key) in [
            (r#"{"kind":"alnum"}"#, &[][..], false),
            (r#"{"kind":"wireguard"}"#, &[], true),
            (r#"{"kind":"htpasswd","user":"me","dependencies":["pw"]}"#, &["pw"], false),
            (
                r#"{"kind":"command","command":["mk"],"dependencies":["a/b",{"secret":"c","host":"db"}]}"#,
                &["a/b", "db/c"],
                false,
            ),
        ] {
            let found = read(generator, Side::Workspace).unwrap().unwrap();
            let names: Vec<String> = found.dependencies().iter().map(ToString::to_string).collect();
            assert_eq!(names, dependencies, "{generator}");
            assert_eq!(found.has_public_key(), has_public_key, "{generator}");
        }
    }

    #[test]
    fn errors_in_a_generator_are_named() {
        for (generator, reason) in [
            (r#""alnum""#, ": invalid type: string, expected an object"),
            ("{}", ".kind: is missing"),
            (r#"{"knid":"alnum"}"#, ".knid: unknown field"),
            (
                r#"{"kind":"alnun"}"#,
                ".kind: \"alnun\" is not one of \"alnum\", \"base64\", \"hex\", \"passphrase\", \"ssh-ed25519\", \
                 \"wireguard\", \"age\", \"htpasswd\", \"command\"",
            ),
            (
                r#"{"kind":"alnum","lenght":9}"#,
                ".lenght: a generator of kind \"alnum\" has no such field",
            ),
            (
                r#"{"kind":"age","length":9}"#,
                ".length: a generator of kind \"age\" has no such field",
            ),
            (r#"{"kind":"hex","length":0}"#, ".length: 0 is not between 1 and 65536"),
            (
                r#"{"kind":"hex","length":-1}"#,
                ".length: invalid value: integer `-1`, expected usize",
            ),
            (r#"{"kind":"htpasswd","dependencies":["a"]}"#, ".user: is missing"),
            (
                r#"{"kind":"htpasswd","user":"a:b","dependencies":["a"]}"#,
                ".user: is empty, or contains a colon or a control character",
            ),
            (
                r#"{"kind":"htpasswd","user":"me","dependencies":["a","b"]}"#,
                ".dependencies: is not the id of exactly one secret, the one with the password",
            ),
            (r#"{"kind":"command"}"#, ".command: is missing"),
            (r#"{"kind":"command","command":[]}"#, ".command: names no program"),
            (r#"{"kind":"command","command":["","x"]}"#, ".command: names no program"),
            (
                r#"{"kind":"command","command":["x"],"dependencies":["../a"]}"#,
                ".dependencies: \"../a\" has a component \".\" or \"..\"",
            ),
            (
                r#"{"kind":"command","command":["x"],"dependencies":["a","a"]}"#,
                ".dependencies: \"a\" is listed twice",
            ),
            (
                r#"{"kind":"command","command":["x"],"dependencies":["a/b",{"host":"a","secret":"b"}]}"#,
                ".dependencies: \"a/b\" is listed twice",
            ),
            (
                r#"{"kind":"command","command":["x"],"dependencies":[{"host":"a/b","secret":"c"}]}"#,
                ".dependencies: \"a/b/c\" is of a host with a slash in its name",
            ),
            (
                r#"{"kind":"command","command":["x"],"dependencies":[{"host":"..","secret":"c"}]}"#,
                ".dependencies: \"../c\" has a component \".\" or \"..\"",
            ),
            (
                r#"{"kind":"command","command":["x"],"dependencies":[{"host":"a"}]}"#,
                ".dependencies.secret: is missing",
            ),
            (
                r#"{"kind":"command","command":["x"],"dependencies":[{"host":"a","secret":"b","id":"c"}]}"#,
                ".dependencies.id: unknown field",
            ),
            (
                r#"{"kind":"command","command":["x"],"dependencies":[1]}"#,
                ".dependencies: invalid type: integer `1`, expected an object",
            ),
        ] {
            let expected = Err(format!("secrets.x.generator{reason}"));
            assert_eq!(read(generator, Side::Workspace), expected, "{generator}");
        }
    }

    #[test]
    fn a_host_does_not_look_at_it() {
        assert_eq!(read(r#"{"kind":"of tomorrow"}"#, Side::Host), Ok(None));
    }
}
