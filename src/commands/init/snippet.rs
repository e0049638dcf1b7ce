//! path of an identity → what a flake needs, and what to do next.

use std::env;
use std::path::{Path, PathBuf};

use vaultix_generator::escape;

use super::Flake;
use crate::flake::literal;
use crate::report::Report;

/// A host to begin with; the template of this repository's flake.
pub const HOST: &str = include_str!("../../../nix/template/example.nix");

/// The flake around that host, also from the template.
const FLAKE: &str = include_str!("../../../nix/template/flake.nix");

/// The placeholder for the path of the identity.
const IDENTITY: &str = "\"/home/me/identity.txt\"";

/// The placeholder for its recipient, in a comment.
const RECIPIENT: &str = "# recipient = \"age1…\";";

/// Returns a flake with a host, for the identity in the file `identity`, whose `recipient` may be known.
pub fn flake(identity: &Path, recipient: Option<&str>) -> String {
    let flake = FLAKE.replace(IDENTITY, &nix_string(identity));
    match recipient {
        Some(recipient) => flake.replace(RECIPIENT, &setting(recipient)),
        None => flake,
    }
}

/// Returns what says in a flake which `recipient` the identity has.
fn setting(recipient: &str) -> String {
    format!("recipient = {};", literal::string(recipient))
}

/// Returns what a flake that is there needs.
pub fn text(identity: &Path, recipient: Option<&str>) -> String {
    let recipient = recipient.map_or_else(|| RECIPIENT.to_owned(), setting);
    format!(
        "# In flake.nix, next to the other inputs; OWNER is where you get Vaultix from:
inputs.vaultix.url = \"github:OWNER/vaultix\";
inputs.vaultix.inputs.nixpkgs.follows = \"nixpkgs\";

# as an output, next to nixosConfigurations; vaultix is an argument: outputs = {{ self, nixpkgs, vaultix, … }}:
vaultix = vaultix.configure {{
  localFlake = self;
  identity = {};
  {recipient} # of the identity, so that a new secret does not need it
}};

# and in the modules of each host: nixosSystem {{ modules = [ … ]; }}
vaultix.nixosModules.default
{{
  vaultix.settings.flake = self;
  vaultix.settings.hostPubkey = \"\"; # what ssh-keyscan -t ed25519 HOST prints after the host's name
  vaultix.secrets.example = {{ }};
}}
",
        nix_string(identity)
    )
}

/// Says what to do now: with the `identity`, if it is new, with the first `secret`, if there is one, and with the flake.
pub fn next_steps(
    report: &Report,
    identity: Option<&PathBuf>,
    secret: Option<&Path>,
    flake: Flake,
) {
    report.line("Next:");
    if let Some(identity) = identity {
        report.line(format_args!(
            "- keep a copy of {} elsewhere: nothing else can decrypt your secrets",
            identity.display()
        ));
    }
    if let Some(identity) = identity.filter(|_| secret.is_none()) {
        report.line(format_args!(
            "- send what this prints to somebody who can decrypt the secrets that are there: vaultix recipient --identity {}",
            escape::shell_path(identity)
        ));
    }
    let of_flake = match flake {
        Flake::Theirs => Some("- add to your flake what is printed here and not in it yet"),
        Flake::Ours => Some("- in flake.nix and example.nix, replace what their comments name"),
        Flake::SetUp => None,
    };
    if let Some(of_flake) = of_flake {
        report.line(of_flake);
        report.line("- nix flake lock");
    }
    if let Some(secret) = secret {
        report.line(format_args!("- vaultix edit {}", escape::shell_path(secret)));
    }
    report.line("- git config diff.vaultix.textconv 'vaultix textconv'");
    match secret {
        Some(_) => {
            report.line("- declare the secret in a host, then: vaultix renc && git add secrets");
        }
        None if flake == Flake::SetUp => {}
        None => report.line("- declare secrets in a host, then: vaultix renc && git add secrets"),
    }
}

/// Writes `path` as a string of Nix: from the home directory, so that it fits each who has one there.
fn nix_string(path: &Path) -> String {
    let home = env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let text = match home.and_then(|home| Some(whole.strip_prefix(home).ok()?.to_owned())) {
        Some(below) => Path::new("~").join(below),
        None => whole,
    };
    literal::string(&text.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_has_an_identity_to_replace() {
        assert_eq!(FLAKE.matches(IDENTITY).count(), 1);
        assert_eq!(FLAKE.matches(RECIPIENT).count(), 1);
        assert!(flake(Path::new("/a"), Some("age1x")).contains("\n        recipient = \"age1x\";"));
        let flake = flake(Path::new("/keys/a \"b\" ${c}.txt"), None);
        assert!(flake.contains(r#"identity = "/keys/a \"b\" \${c}.txt";"#), "{flake}");
    }
}
