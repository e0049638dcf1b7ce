//! command line + argh's complaint → what is wrong, in our words.

use argh::{ArgsInfo, FlagInfoKind};

use super::{Cli, Stop, argument, did_you_mean, near};

/// Returns what is wrong with `args`, from argh's `complaint` about them.
pub fn explain(args: &[&str], complaint: &str) -> Stop {
    let verb = verb(args);
    let reason = reason(args, verb, complaint.trim_end());
    let help = verb.map_or("vaultix --help".to_owned(), |verb| format!("vaultix {verb} --help"));
    Stop::Usage { reason: argument::decode(&reason).to_string_lossy().into_owned(), help }
}

/// Returns the verb of `args`, if they have one.
fn verb(args: &[&str]) -> Option<&'static str> {
    let all = Cli::get_args_info();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if !arg.starts_with('-') {
            return all.commands.iter().map(|verb| verb.name).find(|name| name == arg);
        }
        let is_short = |short| *arg == format!("-{short}");
        let flag =
            all.flags.iter().find(|flag| flag.long == *arg || flag.short.is_some_and(is_short));
        match flag?.kind {
            FlagInfoKind::Option { .. } => drop(args.next()),
            FlagInfoKind::Switch => {}
        }
    }
    None
}

/// Returns `complaint` in our words, or unchanged if we do not know it, as after an update of argh.
fn reason(args: &[&str], verb: Option<&str>, complaint: &str) -> String {
    let of = verb.map_or(String::new(), |verb| format!(" of {verb}"));
    let for_verb = verb.map_or(String::new(), |verb| format!(" for {verb}"));
    let between = |before: &str, after: &str| complaint.strip_prefix(before)?.strip_suffix(after);
    if let Some(arg) = between("Unrecognized argument: ", "") {
        let is_option = arg.starts_with('-')
            && args.iter().take_while(|other| **other != "--").any(|other| *other == arg);
        let kind = match verb {
            _ if is_option => "unknown option",
            Some(_) => "unexpected argument",
            None => "unknown command",
        };
        let known = if is_option { options(verb) } else { verbs(verb) };
        let hint = did_you_mean(&near(arg, known)).map(|hint| format!(", {hint}"));
        format!("{kind} \"{arg}\"{for_verb}{}", hint.unwrap_or_default())
    } else if let Some(option) = between("No value provided for option '", "'.") {
        format!("{option}{of} needs a value")
    } else if let Some((option, value, why)) = bad_value(complaint, "Error parsing option '") {
        if why == "duplicate values provided" {
            format!("{option}{of} is given more than once")
        } else {
            format!("bad value \"{value}\" for {option}{of}: {why}")
        }
    } else if let Some((name, value, why)) =
        bad_value(complaint, "Error parsing positional argument '")
    {
        format!("bad {} \"{value}\"{for_verb}: {why}", name.to_uppercase())
    } else if let Some(names) = between("Required positional arguments not provided:", "") {
        let names: Vec<&str> = names.split_whitespace().collect();
        format!("missing {}{for_verb}", names.join(" and ").to_uppercase())
    } else if complaint.starts_with("Trailing arguments") {
        format!("unexpected argument after help{for_verb}")
    } else {
        complaint.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Returns the options that may stand where an unknown one is.
fn options(verb: Option<&str>) -> Vec<&'static str> {
    let all = Cli::get_args_info();
    let of_verb = all.commands.into_iter().find(|command| Some(command.name) == verb);
    let flags = of_verb.map_or(all.flags, |command| command.command.flags);
    flags.iter().map(|flag| flag.long).chain(["--help"]).collect()
}

/// Returns the verbs, if there is none yet.
fn verbs(verb: Option<&str>) -> Vec<&'static str> {
    let all = Cli::get_args_info().commands;
    all.iter().filter(|_| verb.is_none()).map(|command| command.name).collect()
}

/// Splits argh's complaint about a value into the option or argument, the value, and why it is
/// refused.
fn bad_value<'a>(complaint: &'a str, before: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let (name, rest) = complaint.strip_prefix(before)?.split_once("' with value '")?;
    let (value, why) = rest.rsplit_once("': ")?;
    Some((name, value, why.trim_end()))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    /// Returns what is wrong with `line`, words separated by spaces.
    fn wrong(line: &str) -> (String, String) {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        match Cli::parse(&args) {
            Err(Stop::Usage { reason, help }) => (reason, help),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn usage_errors_follow_our_grammar() {
        for (line, reason, help) in [
            ("edt", "unknown command \"edt\", did you mean edit?", "vaultix"),
            ("sett", "unknown command \"sett\", did you mean set?", "vaultix"),
            (
                "renc --hots web1",
                "unknown option \"--hots\" for renc, did you mean --host?",
                "vaultix renc",
            ),
            ("--falke . renc", "unknown option \"--falke\", did you mean --flake?", "vaultix"),
            ("view secrets/a edit", "unexpected argument \"edit\" for view", "vaultix view"),
            ("frob", "unknown command \"frob\"", "vaultix"),
            ("--frob renc", "unknown option \"--frob\"", "vaultix"),
            ("renc --frob", "unknown option \"--frob\" for renc", "vaultix renc"),
            ("-f edit renc --frob=x", "unknown option \"--frob\" for renc", "vaultix renc"),
            ("-p", "-p needs a value", "vaultix"),
            ("renc --cache", "--cache of renc needs a value", "vaultix renc"),
            ("renc --cache a --cache b", "--cache of renc is given more than once", "vaultix renc"),
            ("view", "missing FILE for view", "vaultix view"),
            ("view a b", "unexpected argument \"b\" for view", "vaultix view"),
            ("view a -- -b", "unexpected argument \"-b\" for view", "vaultix view"),
            (
                "import it's: old",
                "bad SCHEME \"it's:\" for import: it is none of agenix, agenix-rekey, sops, pass, gopass",
                "vaultix import",
            ),
            ("help -v", "unexpected argument after help", "vaultix"),
        ] {
            assert_eq!(wrong(line), (reason.to_owned(), format!("{help} --help")), "{line}");
        }
    }
}
