//! argv → what the user wants.

/// Arguments of any bytes.
mod argument;
/// What `--help` prints.
mod help;
/// Words that are nearly the same.
mod near;
/// What is wrong with a command line.
mod usage;
/// What each word of a command line is.
mod words;

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use argh::{ArgsInfo, FromArgs};

pub use help::wrap;
pub use near::{did_you_mean, is_slip, near};
pub use words::{Role, roles};

/// keep secrets in git, encrypted to you, and re-encrypt them for each host
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    example = "Change a secret, then update the copies for all hosts:\n\n  {command_name} edit secrets/wifi.age\n  {command_name} renc\n",
    note = "Without --profile, the profiles come from the flake around the working directory, if you or root own it. The files that it names must be inside its repository, or in an input that is listed in flake.lock.",
    note = "What follows -- is for nix, of commands that take no files: vaultix renc -- --override-input secrets path:../secrets. For all commands, VAULTIX_NIX_ARGS has such arguments.",
    note = "A host that does not evaluate is named, and stops only itself: renc, check, status and generate do the others and end with 1. Only rekey refuses.",
    error_code(0, "done"),
    error_code(1, "some items failed; each of them is named"),
    error_code(64, "usage error"),
    error_code(65, "a ciphertext is damaged"),
    error_code(66, "a ciphertext does not exist"),
    error_code(67, "an owner or a group is unknown"),
    error_code(70, "a bug in vaultix"),
    error_code(73, "something cannot be written"),
    error_code(77, "no identity can decrypt it"),
    error_code(78, "a profile, a setting or a recipient is wrong")
)]
pub struct Cli {
    /// read a host's profile from this file; repeat for several hosts
    #[argh(option, short = 'p', long = "profile", arg_name = "file", from_str_fn(argument::path))]
    pub profiles: Vec<PathBuf>,

    /// use the flake in this directory, whoever owns it, also as ".?submodules=1"; by default, the one around the working directory
    #[argh(option, short = 'f', arg_name = "dir", from_str_fn(argument::path))]
    pub flake: Option<PathBuf>,

    /// print each step: what is read, run, decrypted and created
    #[argh(switch, short = 'v')]
    pub verbose: bool,

    /// print the version
    #[argh(switch, short = 'V')]
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
    /// All about one secret.
    Explain(Explain),
    /// The same, to read.
    View(View),
    /// One value of many.
    Get(Get),
    /// The same, changed.
    Set(Set),
    /// The same, removed.
    Unset(Unset),
    /// The same, for git.
    Textconv(Textconv),
    /// Who one is, to others.
    Recipient(Recipient),
    /// From an older scheme.
    Import(Import),
}

/// re-encrypt secrets for the hosts that need them
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "renc",
    example = "{command_name} --identity ~/.config/age/me.txt",
    note = "Does only what has changed since the last run, and asks for nothing if nothing has. Secrets that your identity cannot decrypt are passed over if all their hosts have copies.",
    error_code(0, "every host has every secret"),
    error_code(1, "some secrets or hosts failed; each of them is named")
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Renc {
    /// read a host's profile from this file; repeat for several hosts
    #[argh(option, short = 'p', long = "profile", arg_name = "file", from_str_fn(argument::path))]
    pub profiles: Vec<PathBuf>,

    /// decrypt secrets with the identities in this file; repeat for several files
    #[argh(option, short = 'i', long = "identity", arg_name = "file", from_str_fn(argument::path))]
    pub identities: Vec<PathBuf>,

    /// directory of the copies for hosts; default secrets/cache
    #[argh(option, arg_name = "dir", from_str_fn(argument::path))]
    pub cache: Option<PathBuf>,

    /// re-encrypt only for this host; repeat for several
    #[argh(option, long = "host", arg_name = "name", from_str_fn(argument::text))]
    pub hosts: Vec<String>,

    /// re-encrypt only this secret; repeat for several
    #[argh(option, long = "secret", arg_name = "id", from_str_fn(argument::text))]
    pub secrets: Vec<String>,

    /// print what would be done, but do nothing
    #[argh(switch)]
    pub dry_run: bool,

    /// fail at once, with 73, if another run is changing the copies, instead of waiting for it
    #[argh(switch)]
    pub no_wait: bool,

    /// print only failures and a summary
    #[argh(switch, short = 'q')]
    pub quiet: bool,

    /// print each step: what is read, run, decrypted and created
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// change a secret in your editor, or create a new one
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "edit",
    example = "{command_name} secrets/wifi.age\n{command_name} wifi\n{command_name} secrets/key.age --from key.pem\nopenssl rand -hex 32 | {command_name} secrets/token.age",
    note = "The editor is $VISUAL, $EDITOR or vi. It gets a file in memory, never one on disk, of up to 128 MiB, as much as a host takes. It starts only if all recipients are valid and their plugins are installed.",
    note = "If the secret changes while you edit it, that change stays, and your text is saved next to it, encrypted. If encryption fails, your text is saved in the same way, for the recipients that need no plugin, or the editor opens again.",
    note = "If standard input is a pipe or a file, the new text is read from it. In a loop that reads from one, add </dev/tty.",
    note = "Without a file, on a terminal, all secrets are listed: arrow keys move, letters filter, Enter edits, Esc quits.",
    note = "A file that is here comes first, then the file of a secret that a host declares, as it is called from the flake's root, then the secret of this id. A new file that no host declares, and that is not an *.age file below vaultix.defaultSecretDirectory, is created only with --new, or after a question.",
    note = "A file such as mail.yaml.age has to be what its name says: JSON, YAML, TOML, env or INI. If the new text is not, the line and the reason are shown, and the editor opens again, or the text is saved as it is; without a terminal, it is not saved. A file that was not that before may stay so.",
    note = "A file such as secrets:wifi.age is in the input secrets of the flake. It is changed in your checkout of that: git config --global vaultix.secrets.checkout DIR.",
    error_code(0, "the secret is saved, or was not changed"),
    error_code(77, "no identity can decrypt the secret")
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Edit {
    /// the secret's file, or its id; created if it does not exist, chosen from a list if it is left out
    #[argh(positional, arg_name = "file", from_str_fn(argument::path))]
    pub file: Option<PathBuf>,

    /// read a host's profile from this file, for that list and for ids; repeat for several hosts
    #[argh(option, short = 'p', long = "profile", arg_name = "file", from_str_fn(argument::path))]
    pub profiles: Vec<PathBuf>,

    /// decrypt secrets with the identities in this file; repeat for several files
    #[argh(option, short = 'i', long = "identity", arg_name = "file", from_str_fn(argument::path))]
    pub identities: Vec<PathBuf>,

    /// also encrypt to this recipient; repeat for several
    #[argh(
        option,
        short = 'r',
        long = "recipient",
        arg_name = "recipient",
        from_str_fn(argument::text)
    )]
    pub recipients: Vec<String>,

    /// also encrypt to the recipients in this file, a line for each; repeat for several files
    #[argh(
        option,
        short = 'R',
        long = "recipients-file",
        arg_name = "file",
        from_str_fn(argument::path)
    )]
    pub recipient_files: Vec<PathBuf>,

    /// read the new text from standard input, even if it is a terminal
    #[argh(switch)]
    pub stdin: bool,

    /// read the new text from this file
    #[argh(option, arg_name = "file", from_str_fn(argument::path))]
    pub from: Option<PathBuf>,

    /// save the text even if it is not what the file's name says, such as YAML
    #[argh(switch)]
    pub as_is: bool,

    /// create the file at this path even if no host declares it
    #[argh(switch)]
    pub new: bool,

    /// print each step: what is read, run, decrypted and created
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// create an identity, a first secret, and what a flake needs
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "init",
    example = "{command_name}\n{command_name} --passphrase\n{command_name} ~/infrastructure --identity ~/keys/me.txt",
    note = "Replaces nothing. If there is no flake, it creates one; if there is, it prints what to add to it, unless it is set up already. Where there are secrets, or a flake that is set up, it creates no example.",
    error_code(0, "all of it exists"),
    error_code(73, "something cannot be written")
)]
pub struct Init {
    /// where to create them; by default, the flake around the working directory, or else the working directory
    #[argh(positional, arg_name = "dir", from_str_fn(argument::path))]
    pub directory: Option<PathBuf>,

    /// the identity's file; default ~/.config/vaultix/identity.txt
    #[argh(option, short = 'i', arg_name = "file", from_str_fn(argument::path))]
    pub identity: Option<PathBuf>,

    /// ask for a passphrase, and protect a new identity with it
    #[argh(switch)]
    pub passphrase: bool,

    /// make a post-quantum identity; hosts need identities of their own then, see docs/host-keys.md
    #[argh(switch)]
    pub pq: bool,

    /// print each step: what is read, run, decrypted and created
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// create the secrets that have a generator and do not exist yet
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "generate",
    example = "{command_name} --dry-run\n{command_name} --renew --secret wireguard\n{command_name} --renew --host web1",
    note = "Replaces nothing, unless --renew is given. Then also what is generated from a replaced secret is replaced, on all hosts; without --secret and --host, you are asked first. Hosts get the new values with renc.",
    note = "A secret with a key is added to its file, which is opened to see whether the value is there, unless a host has a copy of it.",
    error_code(0, "every secret that has a generator exists"),
    error_code(1, "some secrets failed; each of them is named")
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Generate {
    /// read a host's profile from this file; repeat for several hosts
    #[argh(option, short = 'p', long = "profile", arg_name = "file", from_str_fn(argument::path))]
    pub profiles: Vec<PathBuf>,

    /// encrypt to the identities in this file, and decrypt dependencies with them; repeat for several files
    #[argh(option, short = 'i', long = "identity", arg_name = "file", from_str_fn(argument::path))]
    pub identities: Vec<PathBuf>,

    /// also encrypt to this recipient; repeat for several
    #[argh(
        option,
        short = 'r',
        long = "recipient",
        arg_name = "recipient",
        from_str_fn(argument::text)
    )]
    pub recipients: Vec<String>,

    /// also encrypt to the recipients in this file, a line for each; repeat for several files
    #[argh(
        option,
        short = 'R',
        long = "recipients-file",
        arg_name = "file",
        from_str_fn(argument::path)
    )]
    pub recipient_files: Vec<PathBuf>,

    /// create only this secret and its dependencies; repeat for several
    #[argh(option, long = "secret", arg_name = "id", from_str_fn(argument::text))]
    pub secrets: Vec<String>,

    /// create only secrets of this host and their dependencies; repeat for several
    #[argh(option, long = "host", arg_name = "name", from_str_fn(argument::text))]
    pub hosts: Vec<String>,

    /// also replace secrets that exist, and those that are generated from them
    #[argh(switch)]
    pub renew: bool,

    /// print what would be created, but create nothing
    #[argh(switch)]
    pub dry_run: bool,

    /// print only failures and a summary
    #[argh(switch, short = 'q')]
    pub quiet: bool,

    /// print each step: what is read, run, decrypted and created
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// re-encrypt all secrets of the profiles to the current identities and recipients
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "rekey",
    example = "{command_name} --old ~/old.txt --identity ~/new.txt\n{command_name} --old ~/old.txt --identity ~/new.txt secrets/unused.age",
    note = "Changes all secrets or none; if one of them changes in the meantime, none. Secrets in the same directories that are in no profile stay as they are, and are listed: rekey them as well before you delete the old identity. Anyone who could decrypt an old version still can: git keeps it.",
    note = "Refuses to encrypt to the recipient of an identity given with --old again, if the flake or --recipient names it. At the end, says whether that identity can still decrypt a secret of the flake.",
    note = "Warns if somebody could decrypt a secret before and no longer can. Hosts, and identities given with --old, do not count.",
    note = "Secrets whose rule in vaultix.rules does not name your identity, and which it cannot decrypt, are passed over and listed, if all their hosts have copies. If their rule names it, somebody else has to rekey them first: the others are rekeyed, and the exit status is 77.",
    error_code(
        0,
        "every secret of the profiles, and every file that was given, is rekeyed, or is for others by its rule"
    ),
    error_code(
        77,
        "no identity can decrypt one of them, and none was changed, except where its rule names the identity"
    )
)]
pub struct Rekey {
    /// also rekey this secret, which is in no profile; several can be given
    #[argh(positional, arg_name = "file", from_str_fn(argument::path))]
    pub files: Vec<PathBuf>,

    /// read a host's profile from this file; repeat for several hosts
    #[argh(option, short = 'p', long = "profile", arg_name = "file", from_str_fn(argument::path))]
    pub profiles: Vec<PathBuf>,

    /// decrypt secrets with the identities in this file, and encrypt to them; repeat for several files
    #[argh(option, short = 'i', long = "identity", arg_name = "file", from_str_fn(argument::path))]
    pub identities: Vec<PathBuf>,

    /// decrypt secrets with the identities in this file, but do not encrypt to them; repeat for several files
    #[argh(option, long = "old", arg_name = "file", from_str_fn(argument::path))]
    pub old: Vec<PathBuf>,

    /// also encrypt to this recipient; repeat for several
    #[argh(
        option,
        short = 'r',
        long = "recipient",
        arg_name = "recipient",
        from_str_fn(argument::text)
    )]
    pub recipients: Vec<String>,

    /// also encrypt to the recipients in this file, a line for each; repeat for several files
    #[argh(
        option,
        short = 'R',
        long = "recipients-file",
        arg_name = "file",
        from_str_fn(argument::path)
    )]
    pub recipient_files: Vec<PathBuf>,

    /// print each step: what is read, run, decrypted and created
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// put the secrets of this machine in place without systemd, for emergencies
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "deploy",
    example = "vaultix -p /etc/vaultix/profile.json deploy",
    note = "Reads what the host would read, and mounts the ramfs if it is not mounted.",
    error_code(0, "every secret is in place"),
    error_code(1, "some are not; each of them is named")
)]
pub struct Deploy {
    /// read this machine's profile from this file
    #[argh(option, short = 'p', long = "profile", arg_name = "file", from_str_fn(argument::path))]
    pub profiles: Vec<PathBuf>,

    /// only the secrets that are needed before users exist
    #[argh(switch)]
    pub early: bool,

    /// print each step: what is read, run, decrypted and created
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// check that every host has every secret, without any key
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "check",
    example = "{command_name} --json",
    note = "Finds copies that are missing, damaged, stale, foreign, or made for another key, and secrets that are damaged, not encrypted to everyone whom the flake names, or also encrypted to somebody else, as far as headers show it: ssh keys by name, others by number. Problems with one cause have a line for each secret or host; -v and --json have all of them. Lists secrets that rules keep from your identity, and secrets that hosts can decrypt themselves, and warns of rules that no secret has.",
    error_code(0, "every host has every secret"),
    error_code(
        1,
        "there are several problems, or a host does not evaluate; each of them is named"
    ),
    error_code(
        65,
        "a copy is damaged, or made for another key, or a secret is not encrypted to those whom the flake names"
    ),
    error_code(66, "a copy is missing")
)]
pub struct Check {
    /// read a host's profile from this file; repeat for several hosts
    #[argh(option, short = 'p', long = "profile", arg_name = "file", from_str_fn(argument::path))]
    pub profiles: Vec<PathBuf>,

    /// directory of the copies for hosts; default secrets/cache
    #[argh(option, arg_name = "dir", from_str_fn(argument::path))]
    pub cache: Option<PathBuf>,

    /// check only what this host has; repeat for several
    #[argh(option, long = "host", arg_name = "name", from_str_fn(argument::text))]
    pub hosts: Vec<String>,

    /// fail where a secret is older than its rotate allows, instead of a warning
    #[argh(switch)]
    pub strict: bool,

    /// print the problems as JSON
    #[argh(switch)]
    pub json: bool,

    /// print each step: what is read, run, decrypted and created
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// show every secret, who can decrypt it, and on which hosts it is ready
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "status",
    example = "{command_name}\n{command_name} --host web1\n{command_name} --json | jq -r '.[].file'",
    note = "Needs no key: it reads only the headers of files, and which rule of the flake is for them.",
    note = "With --host, secrets are in two groups: those that vaultix generate --renew makes again, and those to be changed by hand, as after a break-in. All other hosts that have the same file are named as well.",
    error_code(0, "the state of every secret is known")
)]
pub struct Status {
    /// read a host's profile from this file; repeat for several hosts
    #[argh(option, short = 'p', long = "profile", arg_name = "file", from_str_fn(argument::path))]
    pub profiles: Vec<PathBuf>,

    /// directory of the copies for hosts; default secrets/cache
    #[argh(option, arg_name = "dir", from_str_fn(argument::path))]
    pub cache: Option<PathBuf>,

    /// show only the secrets of this host; repeat for several
    #[argh(option, long = "host", arg_name = "name", from_str_fn(argument::text))]
    pub hosts: Vec<String>,

    /// show only this secret; repeat for several
    #[argh(option, long = "secret", arg_name = "id", from_str_fn(argument::text))]
    pub secrets: Vec<String>,

    /// print it as JSON
    #[argh(switch)]
    pub json: bool,

    /// print each step: what is read, run, decrypted and created
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// show all that is known of one secret, but not its text
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "explain",
    example = "{command_name} wifi\n{command_name} secrets/wifi.age --json",
    note = "Shows its file, key, recipients, rule and generator, its last change in git, and for each host whether its copy is ready, where the plaintext goes, who can read it, which units are restarted or reloaded when it changes, and which templates contain it. Needs no key.",
    note = "If hosts have different files by this id, each of them is shown.",
    error_code(0, "it is shown"),
    error_code(64, "no host has such a secret")
)]
pub struct Explain {
    /// the secret's id, or its file
    #[argh(positional, arg_name = "secret", from_str_fn(argument::path))]
    pub secret: PathBuf,

    /// read a host's profile from this file; repeat for several hosts
    #[argh(option, short = 'p', long = "profile", arg_name = "file", from_str_fn(argument::path))]
    pub profiles: Vec<PathBuf>,

    /// directory of the copies for hosts; default secrets/cache
    #[argh(option, arg_name = "dir", from_str_fn(argument::path))]
    pub cache: Option<PathBuf>,

    /// print it as JSON
    #[argh(switch)]
    pub json: bool,

    /// print each step: what is read, run, decrypted and created
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// print a secret
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "view",
    example = "{command_name} secrets/wifi.age | wl-copy",
    note = "Of a file with many values, an id shows its value, and the file all of them. On a terminal, a text that does not fit is shown in $PAGER, or in less.",
    error_code(0, "the secret is printed"),
    error_code(77, "no identity can decrypt the secret")
)]
pub struct View {
    /// the secret's file, or its id
    #[argh(positional, arg_name = "file", from_str_fn(argument::path))]
    pub file: PathBuf,

    /// find the id in this profile; repeat for several hosts
    #[argh(option, short = 'p', long = "profile", arg_name = "file", from_str_fn(argument::path))]
    pub profiles: Vec<PathBuf>,

    /// decrypt secrets with the identities in this file; repeat for several files
    #[argh(option, short = 'i', long = "identity", arg_name = "file", from_str_fn(argument::path))]
    pub identities: Vec<PathBuf>,

    /// print each step: what is read, run, decrypted and created
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// print one value of a structured file, or the keys of all
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "get",
    example = "{command_name} secrets/mail.yaml.age\n{command_name} secrets/mail.yaml.age smtp/password | wl-copy",
    note = "A structured file has many values: mail.json.age, mail.yaml.age, mail.toml.age, mail.env.age or mail.ini.age. A text is printed byte for byte, a number, a boolean or null as the file writes it, a map or a list as compact JSON. On a terminal, a line break is added.",
    note = "A key is written as smtp/password; the keys of a list are numbers from 0. A text that begins with a slash is a JSON pointer (RFC 6901): /smtp/password.",
    note = "Without a key, the keys of all values are printed as JSON pointers, and none of the values.",
    error_code(0, "it is printed"),
    error_code(65, "the file cannot be read, or there is no such key"),
    error_code(77, "no identity can decrypt the file")
)]
pub struct Get {
    /// the structured file, or the id of a secret in it
    #[argh(positional, arg_name = "file", from_str_fn(argument::path))]
    pub file: PathBuf,

    /// the key of the value; without it, all keys are printed
    #[argh(positional, arg_name = "key", from_str_fn(argument::text))]
    pub key: Option<String>,

    /// decrypt secrets with the identities in this file; repeat for several files
    #[argh(option, short = 'i', long = "identity", arg_name = "file", from_str_fn(argument::path))]
    pub identities: Vec<PathBuf>,

    /// read the file as json, yaml, toml, env or ini, whatever its name is
    #[argh(option, arg_name = "format", from_str_fn(argument::text))]
    pub format: Option<String>,

    /// print each step: what is read, run, decrypted and created
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// change one value of a structured file, or add one
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "set",
    example = "{command_name} secrets/mail.yaml.age smtp/password\nopenssl rand -hex 32 | {command_name} secrets/mail.yaml.age smtp/token\n{command_name} secrets/mail.yaml.age dkim/0/private --from dkim.pem",
    note = "The file is created if it does not exist, and so are the maps above the value. All else in it stays byte for byte: comments, order, quotes. See vaultix get --help for files and keys.",
    note = "The value is asked for twice, without echo. If standard input is a pipe or a file, it is read from it. It is taken byte for byte, except for a line break after a single line, as echo writes it.",
    note = "It becomes a text, with quotes where it needs them. A number or a boolean stays one if the new value is one as well. A key that has other keys below it is not replaced: unset it first.",
    error_code(0, "the value is saved, or was the same"),
    error_code(65, "the file cannot be read, or the value cannot be written in it"),
    error_code(77, "no identity can decrypt the file")
)]
pub struct Set {
    /// the structured file, or the id of a secret in it; created if it does not exist
    #[argh(positional, arg_name = "file", from_str_fn(argument::path))]
    pub file: PathBuf,

    /// the key of the value
    #[argh(positional, arg_name = "key", from_str_fn(argument::text))]
    pub key: String,

    /// decrypt secrets with the identities in this file; repeat for several files
    #[argh(option, short = 'i', long = "identity", arg_name = "file", from_str_fn(argument::path))]
    pub identities: Vec<PathBuf>,

    /// also encrypt to this recipient; repeat for several
    #[argh(
        option,
        short = 'r',
        long = "recipient",
        arg_name = "recipient",
        from_str_fn(argument::text)
    )]
    pub recipients: Vec<String>,

    /// also encrypt to the recipients in this file, a line for each; repeat for several files
    #[argh(
        option,
        short = 'R',
        long = "recipients-file",
        arg_name = "file",
        from_str_fn(argument::path)
    )]
    pub recipient_files: Vec<PathBuf>,

    /// read the value from standard input, even if it is a terminal
    #[argh(switch)]
    pub stdin: bool,

    /// read the value from this file
    #[argh(option, arg_name = "file", from_str_fn(argument::path))]
    pub from: Option<PathBuf>,

    /// read the file as json, yaml, toml, env or ini, whatever its name is
    #[argh(option, arg_name = "format", from_str_fn(argument::text))]
    pub format: Option<String>,

    /// create the file at this path even if no host declares it
    #[argh(switch)]
    pub new: bool,

    /// print each step: what is read, run, decrypted and created
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// remove one value from a structured file
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "unset",
    example = "{command_name} secrets/mail.yaml.age smtp/token",
    note = "Removes the key and all below it. All else in the file stays byte for byte, also comments above the key. The keys after it in a list change. Anyone who could decrypt an old version still can: git keeps it.",
    error_code(0, "the value is removed"),
    error_code(65, "the file cannot be read, or there is no such key"),
    error_code(77, "no identity can decrypt the file")
)]
pub struct Unset {
    /// the structured file, or the id of a secret in it
    #[argh(positional, arg_name = "file", from_str_fn(argument::path))]
    pub file: PathBuf,

    /// the key of the value
    #[argh(positional, arg_name = "key", from_str_fn(argument::text))]
    pub key: String,

    /// decrypt secrets with the identities in this file; repeat for several files
    #[argh(option, short = 'i', long = "identity", arg_name = "file", from_str_fn(argument::path))]
    pub identities: Vec<PathBuf>,

    /// also encrypt to this recipient; repeat for several
    #[argh(
        option,
        short = 'r',
        long = "recipient",
        arg_name = "recipient",
        from_str_fn(argument::text)
    )]
    pub recipients: Vec<String>,

    /// also encrypt to the recipients in this file, a line for each; repeat for several files
    #[argh(
        option,
        short = 'R',
        long = "recipients-file",
        arg_name = "file",
        from_str_fn(argument::path)
    )]
    pub recipient_files: Vec<PathBuf>,

    /// read the file as json, yaml, toml, env or ini, whatever its name is
    #[argh(option, arg_name = "format", from_str_fn(argument::text))]
    pub format: Option<String>,

    /// print each step: what is read, run, decrypted and created
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
    note = "If a secret cannot be decrypted, a digest is printed instead. The same is done while diff.vaultix.cachetextconv is set, because git would keep the text in its objects, below refs/notes/textconv.",
    error_code(0, "something is printed for git to compare")
)]
pub struct Textconv {
    /// the secret's file
    #[argh(positional, arg_name = "file", from_str_fn(argument::path))]
    pub file: PathBuf,

    /// decrypt secrets with the identities in this file; repeat for several files
    #[argh(option, short = 'i', long = "identity", arg_name = "file", from_str_fn(argument::path))]
    pub identities: Vec<PathBuf>,
}

/// print the recipients of your identities, for others to name
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "recipient",
    example = "{command_name}\n{command_name} --identity ~/.ssh/id_ed25519",
    note = "Others add what it prints to vaultix.extraRecipients, vaultix.rules or --recipient. Named in vaultix.recipient, it makes new secrets need no identity. The passphrase of an identity file is asked for, but not that of an ssh key, and no device is used.",
    error_code(0, "the recipients are printed"),
    error_code(77, "an identity cannot be read, or stays locked")
)]
pub struct Recipient {
    /// print the recipients of the identities in this file; repeat for several files; by default, those of the flake
    #[argh(option, short = 'i', long = "identity", arg_name = "file", from_str_fn(argument::path))]
    pub identities: Vec<PathBuf>,

    /// print each step: what is read, run, decrypted and created
    #[argh(switch, short = 'v')]
    pub verbose: bool,
}

/// import the secrets of an older scheme
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "import",
    example = "{command_name} agenix . -i ~/.ssh/id_ed25519 --into vaultix\n{command_name} agenix-rekey secrets --into vaultix\n{command_name} sops secrets.yaml -i ~/.config/sops/age/keys.txt\n{command_name} pass >imported.nix",
    note = "Prints a module that declares the secrets, for a file next to flake.nix, and as comments the rules for the flake that keep who could read what. The old files stay.",
    note = "A secret whose file already exists is not replaced, but declared: after the next import, the module is complete again.",
    error_code(0, "everything is imported, or already there"),
    error_code(1, "some secrets are not; each of them is named"),
    error_code(77, "no identity can decrypt what is not imported")
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Import {
    /// agenix, agenix-rekey, sops, pass or gopass
    #[argh(positional, arg_name = "scheme")]
    pub scheme: Scheme,

    /// where its secrets are: the secrets.nix of agenix, a file or a directory; for pass and gopass, by default,
    /// their store
    #[argh(positional, arg_name = "source", from_str_fn(argument::path))]
    pub source: Option<PathBuf>,

    /// decrypt the old files with the identities in this file; repeat for several files
    #[argh(option, short = 'i', long = "identity", arg_name = "file", from_str_fn(argument::path))]
    pub identities: Vec<PathBuf>,

    /// also encrypt to this recipient; repeat for several
    #[argh(
        option,
        short = 'r',
        long = "recipient",
        arg_name = "recipient",
        from_str_fn(argument::text)
    )]
    pub recipients: Vec<String>,

    /// also encrypt to the recipients in this file, a line for each; repeat for several files
    #[argh(
        option,
        short = 'R',
        long = "recipients-file",
        arg_name = "file",
        from_str_fn(argument::path)
    )]
    pub recipient_files: Vec<PathBuf>,

    /// directory for the secrets; default secrets
    #[argh(option, arg_name = "dir", from_str_fn(argument::path))]
    pub into: Option<PathBuf>,

    /// keep each YAML or JSON file of sops as one file; its secrets are values in it, by key
    #[argh(switch)]
    pub keep: bool,

    /// print what would be created, but create nothing
    #[argh(switch)]
    pub dry_run: bool,

    /// print only failures and a summary
    #[argh(switch, short = 'q')]
    pub quiet: bool,

    /// print each step: what is read, run, decrypted and created
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

/// Why a command line runs nothing.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// It asks for this text.
    Help(String),
    /// It cannot be understood.
    Usage {
        /// What is wrong with it.
        reason: String,
        /// The command whose help says more.
        help: String,
    },
}

impl Cli {
    /// Reads the command line `args`, the program's name left out.
    ///
    /// # Errors
    ///
    /// When it asks for help, or cannot be understood.
    pub fn parse(args: &[OsString]) -> Result<Self, Stop> {
        let args: Vec<String> = args.iter().map(|arg| argument::encode(arg)).collect();
        let args = words::with_long_help(&split_values(&args));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut cli = Self::from_args(&["vaultix"], &args).map_err(|exit| match exit.status {
            Ok(()) => Stop::Help(exit.output),
            Err(()) => usage::explain(&args, &exit.output),
        })?;
        let Self { verb, profiles, verbose, .. } = &mut cli;
        let (more, is_verbose) = match verb {
            Some(Verb::Renc(renc)) => (Some(&mut renc.profiles), renc.verbose),
            Some(Verb::Edit(edit)) => (Some(&mut edit.profiles), edit.verbose),
            Some(Verb::Init(init)) => (None, init.verbose),
            Some(Verb::Generate(generate)) => (Some(&mut generate.profiles), generate.verbose),
            Some(Verb::Rekey(rekey)) => (Some(&mut rekey.profiles), rekey.verbose),
            Some(Verb::Deploy(deploy)) => (Some(&mut deploy.profiles), deploy.verbose),
            Some(Verb::Check(check)) => (Some(&mut check.profiles), check.verbose),
            Some(Verb::Status(status)) => (Some(&mut status.profiles), status.verbose),
            Some(Verb::Explain(explain)) => (Some(&mut explain.profiles), explain.verbose),
            Some(Verb::View(view)) => (Some(&mut view.profiles), view.verbose),
            Some(Verb::Get(get)) => (None, get.verbose),
            Some(Verb::Set(set)) => (None, set.verbose),
            Some(Verb::Unset(unset)) => (None, unset.verbose),
            Some(Verb::Recipient(recipient)) => (None, recipient.verbose),
            Some(Verb::Import(import)) => (None, import.verbose),
            Some(Verb::Textconv(_)) | None => (None, false),
        };
        profiles.extend(more.into_iter().flat_map(std::mem::take));
        *verbose |= is_verbose;
        Ok(cli)
    }
}

/// Splits the command line `args` into what is for us, and what behind `--` is for nix: of commands that take no files, which
/// could begin with a dash.
#[must_use]
pub fn split_nix(args: &[OsString]) -> (&[OsString], &[OsString]) {
    let Some(end) = args.iter().position(|arg| arg == "--") else { return (args, &[]) };
    let (ours, rest) = args.split_at(end);
    let commands = Cli::get_args_info().commands;
    let mut found = ours.iter().filter_map(|arg| commands.iter().find(|one| arg == one.name));
    match found.next() {
        Some(one) if one.command.positionals.is_empty() => (ours, rest.get(1..).unwrap_or(&[])),
        _ => (args, &[]),
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
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use argh::{FlagInfoKind, SubCommandInfo};

    use super::*;

    /// Reads `line`, words separated by spaces.
    fn parse(line: &str) -> Cli {
        Cli::parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>()).unwrap()
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

    #[test]
    fn what_follows_dashes_is_for_nix_where_no_files_are_taken() {
        let split = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let (ours, for_nix) = split_nix(&words);
            (ours.len(), for_nix.to_vec())
        };
        assert_eq!(
            split("renc --host a -- --impure --"),
            (3, vec!["--impure".into(), "--".into()])
        );
        assert_eq!(split("renc --"), (1, Vec::new()));
        assert_eq!(split("renc --host a"), (3, Vec::new()));
        assert_eq!(split("view -- --impure"), (3, Vec::new()));
    }

    #[test]
    fn every_path_may_be_of_any_bytes() {
        let odd = OsStr::from_bytes(b"a\xff");
        let mut paths = 0;
        for verb in Cli::get_args_info().commands {
            let SubCommandInfo { name, command } = verb;
            let rest = command.positionals.iter();
            let rest: Vec<OsString> = rest
                .map(|one| match one.name {
                    "scheme" => "pass".into(),
                    "key" => "smtp/password".into(),
                    _ => odd.to_owned(),
                })
                .collect();
            let files = rest.iter().filter(|arg| *arg == odd).count();
            for flag in command.flags.iter().chain(Cli::get_args_info().flags) {
                let FlagInfoKind::Option { arg_name } = flag.kind else { continue };
                let mut line = vec![flag.long.into(), odd.to_owned(), name.into()];
                if command.flags.contains(flag) {
                    line.rotate_left(2);
                }
                line.extend(rest.iter().cloned());
                let outcome = format!("{:?}", Cli::parse(&line));
                let is_path = matches!(arg_name, "file" | "dir");
                let found = outcome.matches("a\\xFF").count();
                assert_eq!(found, if is_path { files + 1 } else { 0 }, "{line:?}: {outcome}");
                assert_eq!(outcome.contains("is not UTF-8"), !is_path, "{line:?}: {outcome}");
                assert!(!outcome.contains("\\0"), "{line:?}: {outcome}");
                paths += usize::from(is_path);
            }
        }
        assert!(paths > 20, "{paths}");
    }
}
