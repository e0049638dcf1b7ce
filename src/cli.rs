//! argv → what the user wants.

use std::path::PathBuf;
use std::str::FromStr;

use argh::{ArgsInfo, EarlyExit, FromArgs};

/// keep secrets in git, encrypted for you, and re-encrypt them for each host
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    example = "Change a secret, then bring every host's copy up to date:\n\n  {command_name} edit secrets/wifi.age\n  {command_name} renc\n",
    note = "Without --profile, the profiles come from the flake around the working directory, if that belongs to you or to root. What it names has to be below the top of its repository, or in an input that flake.lock has.",
    error_code(0, "done"),
    error_code(1, "some items failed, each of them is named"),
    error_code(64, "the command line makes no sense"),
    error_code(65, "a ciphertext is damaged"),
    error_code(66, "a ciphertext does not exist"),
    error_code(67, "an owner or a group is unknown"),
    error_code(70, "it is a defect of vaultix itself"),
    error_code(73, "something cannot be written"),
    error_code(77, "no identity opens it"),
    error_code(78, "a profile, a setting or a recipient is wrong")
)]
pub struct Cli {
    /// read the profile of a host from this file; repeat for several hosts
    #[argh(option, short = 'p', long = "profile", arg_name = "file")]
    pub profiles: Vec<PathBuf>,

    /// take the flake in this directory, whosever it is; default the one around the working directory
    #[argh(option, short = 'f', arg_name = "dir")]
    pub flake: Option<PathBuf>,

    /// tell each step: what is read, run, opened and made
    #[argh(switch, short = 'v')]
    pub verbose: bool,

    /// print the version
    #[argh(switch)]
    pub version: bool,

    /// what to do
    #[argh(subcommand)]
    pub verb: Option<Verb>,
}

/// What to do.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub enum Verb {
    /// Secrets for hosts.
    Renc(Renc),
    /// A secret's text.
    Edit(Edit),
    /// A beginning.
    Init(Init),
    /// Secrets that a program can make.
    Generate(Generate),
    /// Everything, to other recipients.
    Rekey(Rekey),
    /// What units would do.
    Deploy(Deploy),
    /// Whether all is there.
    Check(Check),
    /// What is where.
    Status(Status),
    /// The same, to read.
    View(View),
    /// The same, for git.
    Textconv(Textconv),
    /// From an older scheme.
    Import(Import),
}

/// re-encrypt secrets for the hosts that need them
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "renc",
    example = "{command_name} --identity ~/.config/age/me.txt",
    note = "Does only what changed since the last time, and asks for nothing if nothing did.",
    error_code(0, "every host has every secret"),
    error_code(1, "some secrets failed, each of them is named")
)]
pub struct Renc {
    /// read the profile of a host from this file; repeat for several hosts
    #[argh(option, short = 'p', long = "profile", arg_name = "file")]
    pub profiles: Vec<PathBuf>,

    /// open secrets with the identities in this file; repeat for several files
    #[argh(option, short = 'i', long = "identity", arg_name = "file")]
    pub identities: Vec<PathBuf>,

    /// where copies for hosts are; default secrets/cache
    #[argh(option, arg_name = "dir")]
    pub cache: Option<PathBuf>,

    /// re-encrypt for this host only; repeat for several
    #[argh(option, long = "host", arg_name = "name")]
    pub hosts: Vec<String>,

    /// re-encrypt this secret only; repeat for several
    #[argh(option, long = "secret", arg_name = "id")]
    pub secrets: Vec<String>,

    /// show what would be done, and do nothing
    #[argh(switch)]
    pub dry_run: bool,

    /// say only what failed, and the count
    #[argh(switch, short = 'q')]
    pub quiet: bool,

    /// tell each step: what is read, run, opened and made
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// change a secret in your editor, or make a new one
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "edit",
    example = "{command_name} secrets/wifi.age\n{command_name} secrets/key.age --from key.pem\nopenssl rand -hex 32 | {command_name} secrets/token.age",
    note = "The editor is $VISUAL, $EDITOR or vi. It gets a file in memory, never one on a disk. A text may have up to 64 MiB. It starts only if all recipients are well-formed and their plugins are there. Where the secret changes meanwhile, it stays as it then is, and what was typed is put beside it, encrypted; where encrypting fails, the same for the recipients that need no plugin, or the editor opens again. A pipe or a file on standard input is taken for the new text; in a loop that reads from one, add </dev/tty. Without a file, on a terminal, all secrets are listed: arrow keys choose, letters filter, Enter edits, Esc leaves.",
    error_code(0, "the secret is saved, or was not changed"),
    error_code(77, "no identity opens the secret")
)]
pub struct Edit {
    /// the secret's file; made if it does not exist, picked from a list if it is left out
    #[argh(positional, arg_name = "file")]
    pub file: Option<PathBuf>,

    /// read the profile of a host from this file, for that list; repeat for several hosts
    #[argh(option, short = 'p', long = "profile", arg_name = "file")]
    pub profiles: Vec<PathBuf>,

    /// open secrets with the identities in this file; repeat for several files
    #[argh(option, short = 'i', long = "identity", arg_name = "file")]
    pub identities: Vec<PathBuf>,

    /// encrypt to this recipient, too; repeat for several
    #[argh(option, short = 'r', long = "recipient", arg_name = "recipient")]
    pub recipients: Vec<String>,

    /// take the new text from standard input, even if that is a terminal
    #[argh(switch)]
    pub stdin: bool,

    /// take the new text from this file
    #[argh(option, arg_name = "file")]
    pub from: Option<PathBuf>,

    /// tell each step: what is read, run, opened and made
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// make an identity, a first secret, and what a flake needs
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "init",
    example = "{command_name}\n{command_name} --passphrase\n{command_name} ~/infrastructure --identity ~/keys/me.txt",
    note = "Replaces nothing. Where there is no flake, it makes one; where there is, it prints what to put into it.",
    error_code(0, "all of it exists"),
    error_code(73, "something cannot be written")
)]
pub struct Init {
    /// where to begin; default the flake around the working directory, or that directory
    #[argh(positional, arg_name = "dir")]
    pub directory: Option<PathBuf>,

    /// the identity's file; default ~/.config/vaultix/identity.txt
    #[argh(option, short = 'i', arg_name = "file")]
    pub identity: Option<PathBuf>,

    /// lock a new identity with a passphrase, which is asked for
    #[argh(switch)]
    pub passphrase: bool,

    /// tell each step: what is read, run, opened and made
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// make the secrets that have a generator and do not exist yet
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "generate",
    example = "{command_name} --dry-run\n{command_name} --secret wireguard",
    note = "Replaces nothing. To have a secret made anew, remove its file, and the one of its public half.",
    error_code(0, "every secret that has a generator exists"),
    error_code(1, "some secrets failed, each of them is named")
)]
pub struct Generate {
    /// read the profile of a host from this file; repeat for several hosts
    #[argh(option, short = 'p', long = "profile", arg_name = "file")]
    pub profiles: Vec<PathBuf>,

    /// encrypt to the identities in this file, and open with them what secrets are made from; repeat for several files
    #[argh(option, short = 'i', long = "identity", arg_name = "file")]
    pub identities: Vec<PathBuf>,

    /// encrypt to this recipient, too; repeat for several
    #[argh(option, short = 'r', long = "recipient", arg_name = "recipient")]
    pub recipients: Vec<String>,

    /// make this secret only, and what it is made from; repeat for several
    #[argh(option, long = "secret", arg_name = "id")]
    pub secrets: Vec<String>,

    /// show what would be made, and make nothing
    #[argh(switch)]
    pub dry_run: bool,

    /// say only what failed, and the count
    #[argh(switch, short = 'q')]
    pub quiet: bool,

    /// tell each step: what is read, run, opened and made
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// encrypt every secret of the profiles anew, to the present identities and recipients
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "rekey",
    example = "{command_name} --old ~/old.txt --identity ~/new.txt\n{command_name} --old ~/old.txt --identity ~/new.txt secrets/unused.age",
    note = "Changes all secrets or none; none, too, where one of them changes meanwhile. Secrets in the same folders that no profile names stay as they are, and are named: do not delete the old identity before they are encrypted anew, too. Whoever could open an old version still can: git keeps it.",
    error_code(
        0,
        "every secret of the profiles, and every file that was given, is encrypted anew"
    ),
    error_code(77, "no identity opens one of them, and none was changed")
)]
pub struct Rekey {
    /// a secret that no profile names, to be encrypted anew, too; several may be given
    #[argh(positional, arg_name = "file")]
    pub files: Vec<PathBuf>,

    /// read the profile of a host from this file; repeat for several hosts
    #[argh(option, short = 'p', long = "profile", arg_name = "file")]
    pub profiles: Vec<PathBuf>,

    /// open secrets with the identities in this file, and encrypt to them; repeat for several files
    #[argh(option, short = 'i', long = "identity", arg_name = "file")]
    pub identities: Vec<PathBuf>,

    /// open secrets with the identities in this file, but do not encrypt to them; repeat for several files
    #[argh(option, long = "old", arg_name = "file")]
    pub old: Vec<PathBuf>,

    /// encrypt to this recipient, too; repeat for several
    #[argh(option, short = 'r', long = "recipient", arg_name = "recipient")]
    pub recipients: Vec<String>,

    /// tell each step: what is read, run, opened and made
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// put the secrets of this machine in place without systemd, for emergencies
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "deploy",
    example = "vaultix -p /etc/vaultix/profile.json deploy",
    note = "Reads what the host itself would read, and mounts the ramfs if it is not there.",
    error_code(0, "every secret is in place"),
    error_code(1, "some are not, each of them is named")
)]
pub struct Deploy {
    /// read the profile of this machine from this file
    #[argh(option, short = 'p', long = "profile", arg_name = "file")]
    pub profiles: Vec<PathBuf>,

    /// only what is needed before users exist
    #[argh(switch)]
    pub early: bool,

    /// tell each step: what is read, run, opened and made
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// tell whether every host has every secret, without any key
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "check",
    example = "{command_name} --json",
    note = "Finds copies that are missing, damaged, stale, foreign, or made for another key, and secrets that are damaged, or not encrypted to everybody whom the flake names.",
    error_code(0, "every host has every secret"),
    error_code(1, "several things are wrong, each of them is named"),
    error_code(65, "a copy is damaged, or made for another key"),
    error_code(66, "a copy is missing")
)]
pub struct Check {
    /// read the profile of a host from this file; repeat for several hosts
    #[argh(option, short = 'p', long = "profile", arg_name = "file")]
    pub profiles: Vec<PathBuf>,

    /// where copies for hosts are; default secrets/cache
    #[argh(option, arg_name = "dir")]
    pub cache: Option<PathBuf>,

    /// print what is wrong as JSON
    #[argh(switch)]
    pub json: bool,

    /// tell each step: what is read, run, opened and made
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// show every secret, who opens it, and on which hosts it is ready
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "status",
    example = "{command_name}\n{command_name} --json | jq -r '.[].file'",
    note = "Needs no key: it tells what headers tell.",
    error_code(0, "all could be told")
)]
pub struct Status {
    /// read the profile of a host from this file; repeat for several hosts
    #[argh(option, short = 'p', long = "profile", arg_name = "file")]
    pub profiles: Vec<PathBuf>,

    /// where copies for hosts are; default secrets/cache
    #[argh(option, arg_name = "dir")]
    pub cache: Option<PathBuf>,

    /// print it as JSON
    #[argh(switch)]
    pub json: bool,

    /// tell each step: what is read, run, opened and made
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// print a secret
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "view",
    example = "{command_name} secrets/wifi.age | wl-copy",
    note = "On a terminal, a text that does not fit goes through $PAGER, or less.",
    error_code(0, "the secret is printed"),
    error_code(77, "no identity opens the secret")
)]
pub struct View {
    /// the secret's file
    #[argh(positional, arg_name = "file")]
    pub file: PathBuf,

    /// open secrets with the identities in this file; repeat for several files
    #[argh(option, short = 'i', long = "identity", arg_name = "file")]
    pub identities: Vec<PathBuf>,

    /// tell each step: what is read, run, opened and made
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// print a secret for git diff
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "textconv",
    example = "echo '*.age diff=vaultix' >>.gitattributes
git config diff.vaultix.textconv '{command_name}'",
    note = "Where a secret cannot be opened, git compares digests; so it does while diff.vaultix.cachetextconv is set, since git would keep the text in its objects, below refs/notes/textconv.",
    error_code(0, "something is printed for git to compare")
)]
pub struct Textconv {
    /// the secret's file
    #[argh(positional, arg_name = "file")]
    pub file: PathBuf,

    /// open secrets with the identities in this file; repeat for several files
    #[argh(option, short = 'i', long = "identity", arg_name = "file")]
    pub identities: Vec<PathBuf>,
}

/// bring over the secrets of an older scheme
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "import",
    example = "{command_name} agenix secrets/secrets.nix -i ~/.ssh/id_ed25519 --into vaultix\n{command_name} agenix-rekey secrets --into vaultix\n{command_name} sops secrets.yaml -i ~/.config/sops/age/keys.txt\n{command_name} pass >>secrets.nix",
    note = "Prints what to paste into the hosts' configuration. The old files stay, and so does every secret that is there already.",
    error_code(0, "everything is imported"),
    error_code(1, "some secrets are not, each of them is named"),
    error_code(77, "no identity opens what is not imported")
)]
pub struct Import {
    /// agenix, agenix-rekey, sops, pass or gopass
    #[argh(positional, arg_name = "scheme")]
    pub scheme: Scheme,

    /// where its secrets are: secrets.nix of agenix, a file or a directory; for pass and gopass, by default their
    /// store
    #[argh(positional, arg_name = "source")]
    pub source: Option<PathBuf>,

    /// open the old files with the identities in this file; repeat for several files
    #[argh(option, short = 'i', long = "identity", arg_name = "file")]
    pub identities: Vec<PathBuf>,

    /// encrypt to this recipient, too; repeat for several
    #[argh(option, short = 'r', long = "recipient", arg_name = "recipient")]
    pub recipients: Vec<String>,

    /// where the secrets go; default secrets
    #[argh(option, arg_name = "dir")]
    pub into: Option<PathBuf>,

    /// show what would be made, and make nothing
    #[argh(switch)]
    pub dry_run: bool,

    /// say only what failed, and the count
    #[argh(switch, short = 'q')]
    pub quiet: bool,

    /// tell each step: what is read, run, opened and made
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// An older scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Files that rules in Nix encrypt to hosts.
    Agenix,
    /// Files for a master identity, like ours.
    AgenixRekey,
    /// Files with many values each.
    Sops,
    /// A password store.
    Pass,
    /// The same, kept by another program.
    Gopass,
}

impl Scheme {
    /// Their names, as the user types them.
    pub const NAMES: [(&str, Self); 5] = [
        ("agenix", Self::Agenix),
        ("agenix-rekey", Self::AgenixRekey),
        ("sops", Self::Sops),
        ("pass", Self::Pass),
        ("gopass", Self::Gopass),
    ];
}

impl FromStr for Scheme {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::NAMES.into_iter().find(|(name, _)| *name == text);
        let reason = || format!("it is none of {}", Self::NAMES.map(|(name, _)| name).join(", "));
        named.map(|(_, scheme)| scheme).ok_or_else(reason)
    }
}

impl Cli {
    /// Reads the command line `args`, the program's name left out.
    ///
    /// # Errors
    ///
    /// Help, or what is wrong: text to print, and which of the two it is.
    pub fn parse(args: &[String]) -> Result<Self, EarlyExit> {
        let args = split_values(args);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut cli = Self::from_args(&["vaultix"], &args)?;
        let Self { verb, profiles, verbose, .. } = &mut cli;
        let (more, tells) = match verb {
            Some(Verb::Renc(renc)) => (Some(&mut renc.profiles), renc.verbose),
            Some(Verb::Edit(edit)) => (Some(&mut edit.profiles), edit.verbose),
            Some(Verb::Init(init)) => (None, init.verbose),
            Some(Verb::Generate(generate)) => (Some(&mut generate.profiles), generate.verbose),
            Some(Verb::Rekey(rekey)) => (Some(&mut rekey.profiles), rekey.verbose),
            Some(Verb::Deploy(deploy)) => (Some(&mut deploy.profiles), deploy.verbose),
            Some(Verb::Check(check)) => (Some(&mut check.profiles), check.verbose),
            Some(Verb::Status(status)) => (Some(&mut status.profiles), status.verbose),
            Some(Verb::View(view)) => (None, view.verbose),
            Some(Verb::Import(import)) => (None, import.verbose),
            Some(Verb::Textconv(_)) | None => (None, false),
        };
        profiles.extend(more.into_iter().flat_map(std::mem::take));
        *verbose |= tells;
        Ok(cli)
    }
}

/// Turns `--name=value` into two arguments, as `argh` wants them; not after `--`.
fn split_values(args: &[String]) -> Vec<String> {
    let options = args.iter().take_while(|arg| *arg != "--");
    let rest = args.iter().skip_while(|arg| *arg != "--");
    let split = options.flat_map(|arg| match arg.split_once('=') {
        Some((name, value)) if name.starts_with("--") && name.len() > 2 => {
            vec![name.to_owned(), value.to_owned()]
        }
        _ => vec![arg.clone()],
    });
    split.chain(rest.cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `line`, words separated by spaces.
    fn parse(line: &str) -> Cli {
        Cli::parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn global_options_stand_before_or_after_the_verb() {
        let cli = parse("-p a renc -p b --profile=c");
        assert_eq!(cli.profiles, ["a", "b", "c"].map(PathBuf::from));
        assert!(!cli.verbose);
        assert!(parse("-v view x").verbose && parse("view x --verbose").verbose);
    }

    #[test]
    fn a_value_may_be_joined_to_its_option() {
        let Some(Verb::Edit(edit)) = parse("edit --recipient=age1=x -- --from=y").verb else {
            panic!("another verb");
        };
        assert_eq!(edit.recipients, ["age1=x"]);
        assert_eq!(edit.file, Some(PathBuf::from("--from=y")));
    }
}
