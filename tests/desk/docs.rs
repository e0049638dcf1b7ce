//! `src/cli.rs` → `docs/man/vaultix.1` and `completions/`, which must be up to date.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality};
use pretty_assertions::assert_eq;
use vaultix::cli;
use vaultix::structured::Format;

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
        let short = flag.short.map(|short| format!("\\fB\\-{short}\\fR, ")).unwrap_or_default();
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
    page += &structured_files();
    page += &signals_and_editors();
    page += ".SH EXAMPLES\n";
    page += &examples("vaultix", all.examples);
    page += ".SH SEE ALSO\n.BR vaultix\\-profile (5),\n.BR vaultix\\-decrypt (8),\n\
             .BR vaultix\\-generator (8),\n.BR age (1)\n";
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
        let short = flag.short.map(|short| format!("-{short}"));
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

/// Returns the completion for bash.
fn bash() -> String {
    let (mut cases, mut files) = (String::new(), String::new());
    for (name, verb) in verbs() {
        writeln!(cases, "    {name}) words='{}' ;;", words(verb.flags)).unwrap();
        if !verb.positionals.is_empty() {
            let choices = choices(&verb);
            let words = if choices.is_empty() { choices } else { format!(" -W '{choices}'") };
            let kind = if is_of_directory(&verb) { "d" } else { "f" };
            writeln!(
                files,
                "    {name}) [[ $current == -* ]] || mapfile -t COMPREPLY < <(compgen -{kind}{words} -- \
                 \"$current\") ;;"
            )
            .unwrap();
        }
    }
    let names = verbs().iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
    format!(
        "# Made from src/cli.rs by the test in tests/desk/docs.rs.\n_vaultix() {{\n  local word verb='' words\n  \
         local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}\n  COMPREPLY=()\n  \
         case $before in\n    {taken}) mapfile -t COMPREPLY < <(compgen -f -- \"$current\"); return ;;\n    \
         {dirs}) mapfile -t COMPREPLY < <(compgen -d -- \"$current\"); return ;;\n    \
         {free}) return ;;\n    \
         {format}) mapfile -t COMPREPLY < <(compgen -W '{formats}' -- \"$current\"); return ;;\n  esac\n  \
         for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do\n    case $word in {verbs}) verb=$word; break ;; \
         esac\n  done\n  case $verb in\n{cases}    *) words='{names} {global}' ;;\n  esac\n  \
         mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n  case $verb in\n{files}  esac\n}}\n\
         complete -o filenames -F _vaultix vaultix\n",
        taken = taking("file"),
        dirs = taking("dir"),
        format = taking("format"),
        formats = formats(),
        free = ["name", "id", "recipient"].map(taking).join(" | "),
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
        "# Made from src/cli.rs by the test in tests/desk/docs.rs.\ncomplete -c vaultix -f\n"
            .to_owned();
    let line = |text: &mut String, condition: &str, flag: &FlagInfo<'static>| {
        let short = flag.short.map(|short| format!(" -s {short}")).unwrap_or_default();
        let takes = match value(flag) {
            Some("file") => " -r -F",
            Some("dir") => " -x -a '(__fish_complete_directories)'",
            Some("format") => &format!(" -x -a '{}'", formats()),
            Some(_) => " -x",
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
    }
    text
}

/// Returns the completion for zsh.
fn zsh() -> String {
    let one = |flag: &FlagInfo<'static>| {
        let described = flag.description.replace(['[', ']', ':'], " ");
        let takes = match value(flag) {
            Some("file") => ":file:_files",
            Some("dir") => ":directory:_files -/",
            Some("format") => &format!(":format:({})", formats()),
            Some(other) => &format!(":{other}: "),
            None => "",
        };
        let long = format!("--{}", long(flag));
        let names = flag.short.map_or(long.clone(), |short| format!("{{-{short},{long}}}"));
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
        let file = match verb.positionals {
            [] => "",
            [_] if is_of_directory(&verb) => " \\\n    '1:directory:_files -/'",
            [one] if matches!(one.optionality, Optionality::Repeating) => {
                " \\\n    '*:file:_files'"
            }
            [_] => " \\\n    '1:file:_files'",
            [file, _] if file.name == "file" => " \\\n    '1:file:_files' \\\n    '2:key: '",
            _ => &format!(" \\\n    '1:scheme:({choices})' \\\n    '2:file:_files'"),
        };
        writeln!(cases, "  {name}) _arguments \\\n{}{file} ;;", block(verb.flags)).unwrap();
    }
    format!(
        "#compdef vaultix\n# Made from src/cli.rs by the test in tests/desk/docs.rs.\nlocal context state line\n\
         local -a verbs\nverbs=(\n{names})\n_arguments -C \\\n{} \\\n    '1:command:->verb' '*::argument:->rest'\n\
         case $state in\nverb) _describe command verbs ;;\nrest) case $line[1] in\n{cases}  esac ;;\nesac\n",
        block(all.flags)
    )
}
