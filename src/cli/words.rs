//! command line → what each of its words is.

use argh::{ArgsInfo, FlagInfo, FlagInfoKind};

use super::Cli;

/// What one word of a command line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An option, known or not.
    Option,
    /// The value of the option with this long name, dashes included.
    Value(&'static str),
    /// The verb.
    Verb,
    /// An argument of the verb, counted from zero.
    Argument(usize),
}

/// Returns what each of `args` is, the program's name left out. Those of an unknown verb are arguments as well.
#[must_use]
pub fn roles(args: &[&str]) -> Vec<Role> {
    let all = Cli::get_args_info();
    let (mut flags, mut has_verb, mut are_options_over) = (all.flags, false, false);
    let (mut taking, mut count) = (None, 0);
    let mut role = |arg: &str| {
        if let Some(option) = taking.take() {
            return Role::Value(option);
        }
        if !are_options_over && arg.starts_with('-') && arg.len() > 1 {
            are_options_over = arg == "--";
            taking = flags.iter().find(|flag| is_called(flag, arg)).and_then(|flag| {
                matches!(flag.kind, FlagInfoKind::Option { .. }).then_some(flag.long)
            });
            return Role::Option;
        }
        if !has_verb {
            has_verb = true;
            let verb = all.commands.iter().find(|verb| verb.name == arg);
            flags = verb.map_or(&[], |verb| verb.command.flags);
            return Role::Verb;
        }
        count += 1;
        Role::Argument(count - 1)
    };
    args.iter().map(|arg| role(arg)).collect()
}

fn is_called(flag: &FlagInfo, arg: &str) -> bool {
    flag.long == arg
        || flag.short.is_some_and(|short| arg.strip_prefix('-') == Some(&*short.to_string()))
}

/// Returns `args` with `-h` as `--help`: argh knows only that.
pub fn with_long_help(args: &[String]) -> Vec<String> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let long = |(arg, role): (&String, Role)| match role {
        Role::Option if arg == "-h" => "--help".to_owned(),
        _ => arg.clone(),
    };
    args.iter().zip(roles(&words)).map(long).collect()
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    #[test]
    fn each_word_has_a_role() {
        use Role::{Argument, Option, Value, Verb};
        for (line, expected) in [
            ("-h", vec![Option]),
            ("renc -h", vec![Verb, Option]),
            (
                "-p -h renc --host -h",
                vec![Option, Value("--profile"), Verb, Option, Value("--host")],
            ),
            (
                "get x.age -v a/b -- -h",
                vec![Verb, Argument(0), Option, Argument(1), Option, Argument(2)],
            ),
            ("frob --host x", vec![Verb, Option, Argument(0)]),
            ("view -", vec![Verb, Argument(0)]),
        ] {
            assert_eq!(roles(&line.split(' ').collect::<Vec<_>>()), expected, "{line}");
        }
    }

    #[test]
    fn only_an_option_asks_for_help() {
        let long = |line: &str| {
            let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
            with_long_help(&args).join(" ")
        };
        assert_eq!(long("-h"), "--help");
        assert_eq!(long("renc -h"), "renc --help");
        assert_eq!(long("renc --host -h"), "renc --host -h");
        assert_eq!(long("view -- -h"), "view -- -h");
    }
}
