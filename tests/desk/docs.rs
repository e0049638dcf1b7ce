//! `src/cli.rs` → `docs/man/vaultix.1` and `completions/`, which must be up to date.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality};
use pretty_assertions::assert_eq;
use vaultix::cli;
use vaultix::structured::Format;

use crate::support::Workspace;

/// Checks the file `path`, or writes it with `BLESS=1`.
fn check(path: &str, now: &str) {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(whole.parent().unwrap()).unwrap();
        fs::write(&whole, now).unwrap();
    }
    let text = fs::read_to_string(whole).unwrap_or_default();
    assert_eq!(text, now, "{path}; BLESS=1 cargo test rewrites it");
}

type Verb = (&'static str, CommandInfoWithArgs);

/// Returns all verbs.
fn verbs() -> Vec<Verb> {
    let verbs = cli::Cli::get_args_info().commands;
    verbs.into_iter().map(|verb| (verb.name, verb.command)).collect()
}

/// Returns the name of an option's value; `None` for an option without one.
fn value(flag: &FlagInfo<'static>) -> Option<&'static str> {
    match flag.kind {
        FlagInfoKind::Option { arg_name } => Some(arg_name),
        FlagInfoKind::Switch => None,
    }
}

/// Returns the short name of an option. That of `--help` is ours and not argh's.
fn short(flag: &FlagInfo<'static>) -> Option<char> {
    flag.short.or_else(|| (flag.long == "--help").then_some('h'))
}

/// Returns the long name of an option, without dashes.
fn long(flag: &FlagInfo<'static>) -> &'static str {
    flag.long.trim_start_matches('-')
}

#[test]
fn the_manual_page_is_up_to_date() {
    check("docs/man/vaultix.1", &manual());
}

/// Writes `text` for roff.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// Writes options for roff.
fn options(flags: &[FlagInfo<'static>]) -> String {
    let mut text = String::new();
    for flag in flags {
        let short = short(flag).map(|short| format!("\\fB\\-{short}\\fR, ")).unwrap_or_default();
        let value = value(flag).map(|value| format!(" \\fI{}\\fR", value.to_uppercase()));
        let long = roff(long(flag));
        let value = value.unwrap_or_default();
        writeln!(text, ".TP\n{short}\\fB\\-\\-{long}\\fR{value}\n{}.", sentence(flag.description))
            .unwrap();
    }
    text
}

/// Writes a description as the beginning of a sentence, for roff.
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    let first: String = rest.next().unwrap().to_uppercase().collect();
    roff(&(first + rest.as_str()))
}

/// Writes examples for roff.
fn examples(name: &str, examples: &[&str]) -> String {
    let lines = examples.iter().flat_map(|text| text.lines());
    let lines: String =
        lines.map(|line| roff(&line.replace("{command_name}", name)) + "\n").collect();
    format!(".PP\n.RS\n.nf\n{lines}.fi\n.RE\n")
}

/// Returns the manual page.
fn manual() -> String {
    let all = cli::Cli::get_args_info();
    let mut page = format!(
        ".\\\" Made from src/cli.rs by the test in tests/desk/docs.rs.\n.TH VAULTIX 1 \"\" \"Vaultix {}\" \
         \"Vaultix at the desk\"\n.SH NAME\nvaultix \\- {}\n.SH SYNOPSIS\n\\fBvaultix\\fR [\\fIOPTION\\fR...] \
         \\fICOMMAND\\fR [\\fIARGUMENT\\fR...]\n.SH DESCRIPTION\n{}\n.PP\nSecrets are age files in a git \
         repository. Each host has a copy of each of its secrets, encrypted to its own key.\n{}.\n",
        env!("CARGO_PKG_VERSION"),
        roff(all.description),
        all.notes.iter().map(|note| roff(note)).collect::<Vec<_>>().join("\n"),
        sentence("the copies are in the cache, a directory of that repository"),
    );
    page += ".SH OPTIONS\n";
    page += &options(all.flags);
    page += ".SH COMMANDS\n";
    for (name, verb) in verbs() {
        let mut file = String::new();
        for one in verb.positionals {
            let name = one.name.to_uppercase();
            match one.optionality {
                Optionality::Required => write!(file, " \\fI{name}\\fR").unwrap(),
                Optionality::Repeating => write!(file, " [\\fI{name}\\fR...]").unwrap(),
                _ => write!(file, " [\\fI{name}\\fR]").unwrap(),
            }
        }
        writeln!(page, ".SS {name}{file}\n{}.", sentence(verb.description)).unwrap();
        verb.notes.iter().for_each(|note| writeln!(page, "{}", roff(note)).unwrap());
        page += &options(verb.flags);
        page += &examples(&format!("vaultix {name}"), verb.examples);
    }
    page += ".SH EXIT STATUS\n";
    for code in all.error_codes {
        writeln!(page, ".TP\n{}\n{}.", code.code, sentence(code.description)).unwrap();
    }
    page +=
        ".PP\nIf there are several failures with one cause, the status is the one of that cause.\n";
    page += ".SH ENVIRONMENT\n";
    for (name, text) in [
        ("VISUAL\\fR, \\fBEDITOR", "The editor, as a shell command. If neither is set, it is vi."),
        (
            "PINENTRY_PROGRAM",
            "The program that asks for passphrases and PINs. If it is not set, pinentry from PATH is used. \
             If it is set but empty, or there is no pinentry, Vaultix asks on the terminal.",
        ),
        (
            "XDG_RUNTIME_DIR",
            "The directory for plaintexts of the editor and of commands, if it is a tmpfs that belongs to the user \
             and that nobody else can write to. Otherwise \\fI/run/user/UID\\fR, \\fI/dev/shm\\fR or \
             \\fI/run\\fR is used. The directory of another user, as \\fBsu\\fR and \\fBsudo \\-E\\fR \
             leave it in the environment, is not used. On macOS, plaintexts are on a RAM disk instead, made below \
             TMPDIR and removed afterwards; it can be swapped, which macOS encrypts.",
        ),
        (
            "TMPDIR",
            "Where Nix gets a temporary store while it reads flake.lock, which contains no plaintext; else \\fI/var/tmp\\fR or \
             \\fI/tmp\\fR, if others can change what is in TMPDIR.",
        ),
        ("VAULTIX_FLAKE", "The directory of the flake, if \\fB\\-\\-flake\\fR is not given."),
        (
            "VAULTIX_NIX_ARGS",
            "Arguments for nix, separated by white space, when it evaluates the flake: \\fB\\-\\-impure\\fR.",
        ),
        (
            "VAULTIX_CHECKOUTS",
            "Checkouts of the flake's inputs, where \\fBedit\\fR, \\fBrekey\\fR and \\fBgenerate\\fR change their \
             secrets: \\fINAME\\fR=\\fIDIRECTORY\\fR, separated by colons. For inputs that are not in it, \
             vaultix.\\fINAME\\fR.checkout in your own git configuration.",
        ),
        (
            "VAULTIX_DEPENDENCIES",
            "Set for commands that generate a secret: a directory in memory that contains the plaintext of each \
             dependency, in a file named after its id.",
        ),
        ("NO_COLOR", "Turns colours off."),
    ] {
        writeln!(page, ".TP\n\\fB{name}\\fR\n{text}").unwrap();
    }
    page += ".SH FILES\n.TP\n\\fB$XDG_CACHE_HOME/vaultix/names\\fR, else \\fB\\(ti/.cache/vaultix/names\\fR\n";
    page += "Names of hosts, secrets, files and keys, a file for each flake, from which shells complete: \\fBrenc\\fR writes \
             them, and nothing is evaluated for it. There is no value among them.\n";
    page += &settings();
    page += &json();
    page += &procedures();
    page += &structured_files();
    page += &signals_and_editors();
    page += ".SH EXAMPLES\n";
    page += &examples("vaultix", all.examples);
    page += ".SH SEE ALSO\n.BR vaultix\\-profile (5),\n.BR vaultix\\-decrypt (8),\n\
             .BR vaultix\\-generator (8),\n.BR age (1)\n";
    page
}

/// Writes `entries` as a list for roff, each a term and what it means.
fn list(entries: &[(&str, &str)]) -> String {
    let entry =
        |(term, text): &(&str, &str)| format!(".TP\n\\fB{}\\fR\n{}\n", roff(term), roff(text));
    entries.iter().map(entry).collect::<Vec<_>>().concat()
}

/// Returns the text about what a flake and git's configuration say.
fn settings() -> String {
    let mut page = ".SH SETTINGS\nThe output \\fBvaultix\\fR of a flake is made by \\fBvaultix.configure\\fR, from these:\n".to_owned();
    page += &list(&[
        ("localFlake", "The flake itself: self."),
        ("nodes", "The hosts, attributes with a .config; by default self.nixosConfigurations."),
        (
            "identity",
            "The file with the master identity, as a text, so that it stays out of the Nix store; or a list of files, of \
             which those that are on this machine are used.",
        ),
        (
            "recipient",
            "The recipients of identity, as vaultix recipient prints them: with it, a new secret needs no identity.",
        ),
        (
            "extraRecipients",
            "To whom all secrets are encrypted besides, as texts or files of the flake.",
        ),
        (
            "rules",
            "To whom some files are encrypted instead: a list of { path, recipients }. The longest path counts.",
        ),
        (
            "defaultSecretDirectory",
            "Where secrets without a file of their own are; by default ./secrets.",
        ),
        ("cache", "Where the copies for hosts are; by default ./secrets/cache."),
        (
            "extraPackages, pinentryPackage",
            "What nix run finds in PATH, and what asks for passphrases there.",
        ),
    ]);
    page += ".PP\nOptions of hosts, \\fBvaultix.settings\\fR, \\fBvaultix.secrets\\fR and \\fBvaultix.templates\\fR, are in \
             docs/options.md. In your own configuration of git:\n";
    page += &list(&[
        (
            "vaultix.allowInput",
            "A file that flake.lock may name as the source of an input; repeat for several.",
        ),
        (
            "vaultix.NAME.checkout",
            "The checkout of the flake's input NAME, where its secrets are changed.",
        ),
        (
            "diff.vaultix.textconv",
            "vaultix textconv: git diff shows secrets as text to whom they are for.",
        ),
    ]);
    page
}

/// What `check --json` answers.
const CHECK: [(&str, &str); 3] = [
    ("ok", "Whether there are no findings."),
    ("upToDate", "How many copies are as they should be."),
    ("findings", "What is wrong, sorted, each an object with the following."),
];

/// What each finding of it is.
const FINDING: [(&str, &str); 8] = [
    (
        "kind",
        "fault: something cannot be read or used. foreign: a file does not belong into the cache. missing: a copy is not \
         there. secret: a secret is damaged, or not encrypted to whom it should be. stale: no host needs a copy. unfit: a \
         host cannot decrypt a copy.",
    ),
    ("host", "The host, or null."),
    ("secret", "The id of the secret, or null."),
    ("key", "The pointer (RFC 6901) to the value, if the file has many."),
    ("file", "The file, or null."),
    ("source", "The name of the file, such as secrets:wifi.age, if it is in an input."),
    ("problem", "What is wrong, for people: its words may change."),
    ("fix", "What to do about it, or null."),
];

/// What `status --json` answers, for each secret.
const ROW: [(&str, &str); 9] = [
    ("file", "The file of the secret."),
    ("key", "The pointer to the value, if the file has many."),
    ("source", "The name of the file, if it is in an input."),
    ("exists", "Whether there is such a file."),
    ("recipients", "What decrypts it, as its header says."),
    ("rule", "The path of the rule for its recipients, if there is one."),
    ("generator", "The kind of its generator, if it has one."),
    (
        "rotation",
        "If it has a rotate: age, days since its file changed, and allowed, days that it may have.",
    ),
    (
        "hosts",
        "The hosts that use it, each with secret, its id there, cached, whether there is a copy for the host, and post_quantum, whether no quantum computer can decrypt the file or the copy.",
    ),
];

/// Returns the text about answers in JSON.
fn json() -> String {
    let mut page = ".SH JSON\n\\fBcheck \\-\\-json\\fR prints an object:\n".to_owned();
    page += &list(&CHECK);
    page += ".PP\nA finding:\n";
    page += &list(&FINDING);
    page += ".PP\n\\fBstatus \\-\\-json\\fR prints a list, with an object for each secret, or value of a file:\n";
    page += &list(&ROW);
    page += ".PP\n\\fBexplain \\-\\-json\\fR prints a list, with an object for each file, or value, that hosts have by an id; \
             its fields, and those above with their types, are listed in docs/json.md.\n";
    page += ".PP\nMore fields may follow; these stay. Messages, and what could not be read, are on standard error.\n";
    page
}

/// Fields of answers in JSON are those of the manual page.
#[test]
fn every_field_of_an_answer_is_described() {
    let workspace = Workspace::with_secrets("docs-json");
    let ask = |verb: &str| -> serde_json::Value {
        let done = workspace.vaultix(&format!("-p web1.json -p db1.json {verb} --json"));
        serde_json::from_str(&done.stdout).unwrap()
    };
    let ensure = |object: &serde_json::Value, known: &[(&str, &str)]| {
        let fields: Vec<&String> = object.as_object().unwrap().keys().collect();
        assert!(!fields.is_empty());
        for field in fields {
            assert!(known.iter().any(|(name, _)| name == field), "{field} is not described");
        }
    };
    let answer = ask("check");
    ensure(&answer, &CHECK);
    let findings = answer["findings"].as_array().unwrap();
    assert!(!findings.is_empty(), "there are no copies yet");
    for finding in findings {
        ensure(finding, &FINDING);
    }
    let rows = ask("status");
    assert!(!rows.as_array().unwrap().is_empty());
    for row in rows.as_array().unwrap() {
        ensure(row, &ROW);
        for (_, host) in row["hosts"].as_object().unwrap() {
            ensure(host, &[("secret", ""), ("cached", ""), ("post_quantum", "")]);
        }
    }
}

/// Returns the text about what to do when.
fn procedures() -> String {
    let mut page = ".SH PROCEDURES\n".to_owned();
    for (name, steps) in [
        (
            "A new secret",
            &[
                "Declare it in a host: vaultix.secrets.wifi = { };",
                "vaultix edit secrets/wifi.age",
                "vaultix renc && git add secrets",
            ][..],
        ),
        (
            "A new host",
            &[
                "ssh-keyscan -t ed25519 HOST # what follows the name is its vaultix.settings.hostPubkey",
                "vaultix renc && git add secrets # until it has a key, a host is named and left out",
            ],
        ),
        (
            "Somebody joins",
            &[
                "vaultix recipient # on their machine; vaultix init makes an identity",
                "Add what it prints to extraRecipients, or to the rules for what they may read.",
                "vaultix rekey # by somebody who can read it all",
            ],
        ),
        (
            "Somebody leaves",
            &[
                "Remove their recipient from extraRecipients and rules.",
                "vaultix rekey && vaultix check # check names files that they can still decrypt",
                "Change the values themselves: git keeps what they could read.",
            ],
        ),
        (
            "Another master identity",
            &[
                "age-keygen -o NEW",
                "vaultix rekey --old OLD --identity NEW",
                "Set identity, and recipient if it is set, to the new one; vaultix check",
                "Keep OLD as long as other branches have files for it.",
            ],
        ),
        (
            "A host is compromised, or its key",
            &[
                "vaultix status # what it could read",
                "Change each of these: vaultix edit FILE; or rm FILE && vaultix generate, where it has a generator",
                "Make a new key on the host, and set vaultix.settings.hostPubkey to it.",
                "vaultix renc && git add secrets",
            ],
        ),
        (
            "Two branches have changed one secret",
            &[
                "git checkout --theirs FILE # or --ours: git cannot merge ciphertexts",
                "vaultix edit FILE # what the other side had changed",
                "vaultix renc && git add FILE secrets",
            ],
        ),
        ("In CI", &["vaultix check # needs no key; its status is not 0 if a host lacks something"]),
        (
            "A host that cannot be switched",
            &[
                "nix eval --json .#nixosConfigurations.HOST.config.vaultix-debug >profile.json",
                "vaultix -p profile.json deploy # on the host, as root",
            ],
        ),
    ] {
        writeln!(page, ".TP\n\\fB{name}\\fR").unwrap();
        for (number, step) in (1..).zip(steps) {
            writeln!(page, "{number}. {}\n.br", roff(step)).unwrap();
        }
    }
    page
}

/// Returns the text about files with many values.
fn structured_files() -> String {
    let mut page = ".SH STRUCTURED FILES\nA file whose name ends with one of these, and \\fB.age\\fR, can have many values. Each host \
                    gets only the values that its configuration names, each as a secret of its own.\n"
        .to_owned();
    for (name, text) in [
        (".json", "RFC 8259. A key that is there twice is an error."),
        (
            ".yaml\\fR, \\fB.yml",
            "One document of YAML 1.2. Aliases and merged maps (<<) are resolved; tags are refused, and so are keys that are \
             not scalars. Without quotes, null, true, false and numbers are those of the core schema: no is a text.",
        ),
        (".toml", "TOML 1.1."),
        (
            ".env",
            "Variables as systemd reads them from an EnvironmentFile=, see systemd.exec(5). In double quotes, a backslash \
             takes the meaning from \\(dq, \\e, \\(ga and $; in single quotes, nothing has one; both may have several lines. \
             Without quotes, a value ends with the line, also after a #. Lines without = count for nothing. If a variable is \
             there several times, the last counts. \\fBexport\\fR may be before a name.",
        ),
        (
            ".ini",
            "The first key is the section, the second the name; a name before the first section is alone. Names and values \
             are separated by = or :, and lines that begin with ; or # are comments; at the end of a line, there are none. A \
             line that is indented more than its name continues a value. Quotes around a whole value (\\(dq, \\(aq or \\(ga) are \
             not part of it, and three double quotes begin a value with several lines. There are no escapes.",
        ),
    ] {
        writeln!(page, ".TP\n\\fB{name}\\fR\n{text}").unwrap();
    }
    page += ".PP\nFiles are UTF\\-8, at most 64 levels deep, and have at most a million values, with all that aliases stand for.\n";
    page
}

/// Returns the text about signals and about each editor.
fn signals_and_editors() -> String {
    let mut page = ".SH SIGNALS\nSIGINT, SIGTERM, SIGHUP and SIGQUIT end a run in an orderly way. A second signal ends it at \
                    once: plaintexts for other programs are still wiped, and the terminal is restored. While an editor or \
                    a pager runs, it handles Ctrl\\-C itself. Anything that a killed run left in memory is wiped by the next \
                    run of any command.\n.SH EDITORS\nA file in memory does not help if the editor keeps copies \
                    elsewhere: backups, undo and swap files, or histories of cut text and searches. Vaultix starts the \
                    editors that it knows with options that turn these off. The editor can be any word of \\fBVISUAL\\fR or \
                    \\fBEDITOR\\fR, as in \\fBenv X=1 vim\\fR. For any other editor, and for those that were not tried, Vaultix \
                    prints a warning, because it does not know what that editor keeps. A script that starts an editor counts as another editor. Nothing \
                    can turn off from outside what the plugins of an editor or a clipboard keep. \\(dqTried\\(dq means: in the \
                    places where its settings keep copies, a secret was changed and saved, and no file contained any of \
                    it; the same editor, run by a script without these options, left copies.\n"
        .to_owned();
    for (name, text) in [
        (
            "vim, nvim, gvim",
            "No swap, backup, undo, viminfo and shada files. Tried: Vim 9.0, Neovim 0.7.",
        ),
        (
            "emacs",
            "No backups, auto\\-save and lock files; savehist, recentf, save\\-place, desktop and undo\\-tree are off. \
             Tried: 28.2. Not \\fBemacsclient\\fR: it sends the text to a server, whose settings decide what is kept.",
        ),
        ("nano", "\\-\\-restricted: no backups and no histories. Tried: 7.2."),
        ("micro", "No backups, undo files, histories and cursor positions. Tried: 2.0.11."),
        (
            "joe, jmacs, jstar, jpico",
            "No backups, no DEADJOE, no \\(ti/.joe_state. Tried: joe 4.6.",
        ),
        ("mg", "\\-n: no backups. Tried: 20221112; by hand with backups in \\(ti/.mg.d."),
        (
            "kak, jed, busybox vi, vile, zile",
            "Need no options: they keep everything next to the file. Tried with their own settings: Kakoune 2022.10.31, jed \
             0.99.20, BusyBox 1.35; by hand, vile 9.8y and zile 2.6.2.",
        ),
        ("hx", "Needs no options, according to its manual. Not tried, so there is a warning."),
        (
            "code, codium",
            "\\-\\-wait \\-\\-new\\-window \\-\\-disable\\-extensions, with a \\-\\-user\\-data\\-dir in memory: \
             local history and unsaved text go there, according to the manual. Not tried, so there is a \
             warning.",
        ),
        (
            "others",
            "Vaultix prints a warning. Look for their backups, undo files, histories, and recovery files.",
        ),
    ] {
        writeln!(page, ".TP\n\\fB{name}\\fR\n{text}").unwrap();
    }
    page
}

#[test]
fn completions_are_up_to_date() {
    check("completions/vaultix.bash", &bash());
    check("completions/vaultix.fish", &fish());
    check("completions/vaultix.zsh", &zsh());
}

/// Returns the names of options.
fn words(flags: &[FlagInfo<'static>]) -> String {
    let words = flags.iter().flat_map(|flag| {
        let short = short(flag).map(|short| format!("-{short}"));
        short.into_iter().chain([format!("--{}", long(flag))])
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Returns the words that the first argument of `verb` may be; empty if it is a file.
fn choices(verb: &CommandInfoWithArgs) -> String {
    let names = cli::Scheme::NAMES.map(|(name, _)| name).join(" ");
    let first = verb.positionals.first().map(|one| one.name);
    if first == Some("scheme") { names } else { String::new() }
}

/// Returns whether the argument of `verb` is a directory.
fn is_of_directory(verb: &CommandInfoWithArgs) -> bool {
    verb.positionals.first().is_some_and(|one| one.name == "dir")
}

/// Returns the names of all formats of structured files.
fn formats() -> String {
    Format::NAMES.map(|(name, _)| name).join(" ")
}

/// Returns options whose value is `kind`, as a pattern for `case`.
fn taking(kind: &str) -> String {
    let verbs = verbs();
    let flags = verbs.iter().flat_map(|(_, verb)| verb.flags);
    let flags =
        flags.chain(cli::Cli::get_args_info().flags).filter(|flag| value(flag) == Some(kind));
    let mut words: Vec<String> = flags
        .flat_map(|flag| {
            let short = flag.short.map(|short| format!("-{short}"));
            short.into_iter().chain([format!("--{}", long(flag))])
        })
        .collect();
    words.sort();
    words.dedup();
    words.join(" | ")
}

/// Returns which names that `renc` has seen the value of an option may be.
fn seen(value: &str) -> Option<&'static str> {
    [("name", "hosts"), ("id", "secrets")]
        .into_iter()
        .find_map(|(of, kind)| (of == value).then_some(kind))
}

/// Returns which of them an argument called `name` of the verb `verb` may be, besides files that are there.
fn seen_as_argument(verb: &str, name: &str) -> Option<&'static str> {
    match (verb, name) {
        ("edit" | "view", "file") | ("explain", "secret") => Some("files secrets"),
        ("rekey" | "get" | "set" | "unset", "file") => Some("files"),
        (_, "key") => Some("keys"),
        _ => None,
    }
}

/// What bash runs for names. What somebody has called a secret is never a part of a command or a pattern.
const BASH_NAMES: &str = r#"
# _vaultix_names KIND...: adds the names that begin with what is typed. Bash ends a word at : and =, vaultix does not.
_vaultix_names() {
  local name typed=${COMP_LINE:0:COMP_POINT} cut
  typed=${typed##*[[:space:]]}
  [[ $typed == --*=* ]] && typed=${typed#*=}
  cut=$((${#typed} - ${#current}))
  # Only names of files are quoted by bash itself.
  [[ $1 == files ]] || compopt +o filenames 2>/dev/null
  while IFS= read -r name; do
    [[ $name == "$typed"* ]] || continue
    name=${name:cut}
    [[ $1 == files ]] || printf -v name %q "$name"
    COMPREPLY+=("$name")
  done < <(vaultix __complete "$@" -- "${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null)
}
# _vaultix_place: sets place to the number of the verb's argument at the cursor, from 0.
_vaultix_place() {
  local word before=''
  place=-1
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == = ]] && continue
    case $before in
      TAKEN | *:) ;;
      *) case $word in -* | :*) ;; *) ((place += 1)) ;; esac ;;
    esac
    before=$word
  done
  [[ ${COMP_WORDS[COMP_CWORD]} == :* || $before == *: ]] && ((place -= 1))
}
"#;

/// Returns the completion for bash.
fn bash() -> String {
    let (mut cases, mut files) = (String::new(), String::new());
    for (name, verb) in verbs() {
        writeln!(cases, "    {name}) words='{}' ;;", words(verb.flags)).unwrap();
        for (place, one) in verb.positionals.iter().enumerate() {
            let place = match one.optionality {
                Optionality::Repeating => "*".to_owned(),
                _ => place.to_string(),
            };
            let choices = if place == "0" { choices(&verb) } else { String::new() };
            let seen = seen_as_argument(name, one.name);
            let mut parts = Vec::new();
            if one.name != "key" {
                let words = if choices.is_empty() { choices } else { format!(" -W '{choices}'") };
                let kind = if is_of_directory(&verb) { "d" } else { "f" };
                parts.push(format!(
                    "mapfile -t COMPREPLY < <(compgen -{kind}{words} -- \"$current\")"
                ));
            }
            parts.extend(seen.map(|kinds| format!("_vaultix_names {kinds}")));
            writeln!(files, "    {name}.{place}) {} ;;", parts.join("; ")).unwrap();
        }
    }
    let names = verbs().iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
    let taken = ["file", "dir", "name", "id", "recipient", "format"].map(taking).join(" | ");
    format!(
        "# Made from src/cli.rs by the test in tests/desk/docs.rs.{helpers}_vaultix() {{\n  local word verb='' words place\n  \
         local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}\n  COMPREPLY=()\n  \
         [[ $before == = && $COMP_CWORD -gt 2 ]] && before=${{COMP_WORDS[COMP_CWORD-2]}}\n  \
         [[ $current == = ]] && current=''\n  \
         [[ $current == : ]] && current=''\n  \
         case $before in\n    {file}) mapfile -t COMPREPLY < <(compgen -f -- \"$current\"); return ;;\n    \
         {dirs}) mapfile -t COMPREPLY < <(compgen -d -- \"$current\"); return ;;\n    \
         {hosts}) _vaultix_names hosts; return ;;\n    \
         {ids}) _vaultix_names secrets; return ;;\n    \
         {free}) return ;;\n    \
         {format}) mapfile -t COMPREPLY < <(compgen -W '{formats}' -- \"$current\"); return ;;\n  esac\n  \
         for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do\n    case $word in {verbs}) verb=$word; break ;; \
         esac\n  done\n  case $verb in\n{cases}    *) words='{names} {global}' ;;\n  esac\n  \
         mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n  [[ $current == -* ]] && return\n  \
         _vaultix_place\n  case $verb.$place in\n{files}  esac\n}}\n\
         complete -o filenames -F _vaultix vaultix\n",
        helpers = BASH_NAMES.replace("TAKEN", &taken),
        file = taking("file"),
        dirs = taking("dir"),
        hosts = taking("name"),
        ids = taking("id"),
        free = taking("recipient"),
        format = taking("format"),
        formats = formats(),
        verbs = names.replace(' ', " | "),
        global = words(cli::Cli::get_args_info().flags),
    )
}

/// Writes `text` between single quotes, for fish and zsh.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Returns the completion for fish.
fn fish() -> String {
    let all = cli::Cli::get_args_info();
    let mut text =
        "# Made from src/cli.rs by the test in tests/desk/docs.rs.\nfunction __vaultix_names\n    \
         set -l words (commandline -opc)\n    vaultix __complete $argv -- $words[2..-1] 2>/dev/null\nend\n\
         complete -c vaultix -f\n"
            .to_owned();
    let line = |text: &mut String, condition: &str, flag: &FlagInfo<'static>| {
        let short = short(flag).map(|short| format!(" -s {short}")).unwrap_or_default();
        let takes = match value(flag) {
            Some("file") => " -r -F",
            Some("dir") => " -x -a '(__fish_complete_directories)'",
            Some("format") => &format!(" -x -a '{}'", formats()),
            Some(other) => match seen(other) {
                Some(kind) => &format!(" -x -a '(__vaultix_names {kind})'"),
                None => " -x",
            },
            None => "",
        };
        let (long, described) = (long(flag), quoted(flag.description));
        writeln!(text, "complete -c vaultix -n {condition}{short} -l {long}{takes} -d {described}")
            .unwrap();
    };
    all.flags.iter().for_each(|flag| line(&mut text, "__fish_use_subcommand", flag));
    for (name, verb) in verbs() {
        let described = quoted(verb.description);
        writeln!(text, "complete -c vaultix -n __fish_use_subcommand -a {name} -d {described}")
            .unwrap();
        let condition = format!("'__fish_seen_subcommand_from {name}'");
        verb.flags.iter().for_each(|flag| line(&mut text, &condition, flag));
        if is_of_directory(&verb) {
            let directories = "-a '(__fish_complete_directories)'";
            writeln!(text, "complete -c vaultix -n {condition} {directories}").unwrap();
        } else if !verb.positionals.is_empty() {
            writeln!(text, "complete -c vaultix -n {condition} -F").unwrap();
        }
        let choices = choices(&verb);
        if !choices.is_empty() {
            writeln!(text, "complete -c vaultix -n {condition} -a '{choices}'").unwrap();
        }
        for kinds in verb.positionals.iter().filter_map(|one| seen_as_argument(name, one.name)) {
            writeln!(text, "complete -c vaultix -n {condition} -a '(__vaultix_names {kinds})'")
                .unwrap();
        }
    }
    text
}

/// Writes a description between brackets, for zsh.
fn escaped(text: &str) -> String {
    ['\\', '[', ']', ':']
        .into_iter()
        .fold(text.to_owned(), |text, special| text.replace(special, &format!("\\{special}")))
}

/// What zsh runs for names.
const ZSH_NAMES: &str = r#"(( $+functions[_vaultix_names] )) || _vaultix_names() {
  local -a names expl
  names=("${(@f)$(vaultix __complete "$@" -- $vaultix_words 2>/dev/null)}")
  names=(${names:#})
  _wanted names expl name compadd -a - names
}
(( $+functions[_vaultix_files] )) || _vaultix_files() {
  _alternative 'files:file:_files' "names:name: _vaultix_names $*"
}
"#;

/// Returns the completion for zsh.
fn zsh() -> String {
    let one = |flag: &FlagInfo<'static>| {
        let described = escaped(flag.description);
        let takes = match value(flag) {
            Some("file") => ":file:_files",
            Some("dir") => ":directory:_files -/",
            Some("format") => &format!(":format:({})", formats()),
            Some(other) => match seen(other) {
                Some(kind) => &format!(":{other}: _vaultix_names {kind}"),
                None => &format!(":{other}: "),
            },
            None => "",
        };
        let long = format!("--{}{}", long(flag), if value(flag).is_some() { "=" } else { "" });
        let names = short(flag).map_or(long.clone(), |short| format!("{{-{short},{long}}}"));
        format!("    '*'{names}{}", quoted(&format!("[{described}]{takes}")))
    };
    let block =
        |flags: &[FlagInfo<'static>]| flags.iter().map(one).collect::<Vec<_>>().join(" \\\n");
    let all = cli::Cli::get_args_info();
    let mut names = String::new();
    let mut cases = String::new();
    for (name, verb) in verbs() {
        writeln!(names, "    {}", quoted(&format!("{name}:{}", verb.description))).unwrap();
        let choices = choices(&verb);
        let mut file = String::new();
        for (place, one) in verb.positionals.iter().enumerate() {
            let place = match one.optionality {
                Optionality::Repeating => "*".to_owned(),
                _ => (place + 1).to_string(),
            };
            let what = match (one.name, seen_as_argument(name, one.name)) {
                ("scheme", _) => format!("scheme:({choices})"),
                ("dir", _) => "directory:_files -/".to_owned(),
                ("key", Some(kinds)) => format!("key: _vaultix_names {kinds}"),
                (_, Some(kinds)) => format!("file: _vaultix_files {kinds}"),
                (_, None) => "file:_files".to_owned(),
            };
            write!(file, " \\\n    '{place}:{what}'").unwrap();
        }
        writeln!(cases, "  {name}) _arguments \\\n{}{file} ;;", block(verb.flags)).unwrap();
    }
    format!(
        "#compdef vaultix\n# Made from src/cli.rs by the test in tests/desk/docs.rs.\n{ZSH_NAMES}\
         local context state line\nlocal -a verbs vaultix_words\nvaultix_words=(${{(Q)words[2,CURRENT-1]}})\n\
         verbs=(\n{names})\n_arguments -C \\\n{} \\\n    '1:command:->verb' '*::argument:->rest'\n\
         case $state in\nverb) _describe command verbs ;;\nrest) case $line[1] in\n{cases}  esac ;;\nesac\n",
        block(all.flags)
    )
}
