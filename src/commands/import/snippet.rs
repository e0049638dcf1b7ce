//! ids of imported secrets → Nix to paste into a host's configuration.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::commands::import::name;
use crate::flake::literal::string;

/// Words that cannot stand for themselves as the name of an attribute.
const KEYWORDS: [&str; 10] =
    ["assert", "else", "if", "in", "inherit", "let", "or", "rec", "then", "with"];

/// What a declaration says, by the names of options.
pub type Fields = BTreeMap<String, String>;

/// Returns a binding for each of `secrets`, ids with what else is known of them, one a line.
///
/// `directory` is where their files are, from the flake; `None` where an id alone is enough to find them.
pub fn snippet(secrets: &BTreeMap<String, Fields>, directory: Option<&Path>) -> String {
    let mut text = String::new();
    for (id, known) in secrets {
        let mut fields = String::new();
        if let Some(directory) = directory {
            let _ = write!(fields, " file = {};", path(&name::file(directory, id)));
        }
        if let Some(name) = free_name(id, secrets) {
            let _ = write!(fields, " name = {};", string(&name));
        }
        for (field, value) in known {
            let _ = write!(fields, " {field} = {};", string(value));
        }
        // Writing to a String cannot fail, here and above.
        let _ = writeln!(text, "vaultix.secrets.{} = {{{fields} }};", attribute(id));
    }
    text
}

/// Returns a name for the file of `id`, if it would be the directory of another one.
fn free_name(id: &str, secrets: &BTreeMap<String, Fields>) -> Option<String> {
    let is_directory = |name: &str| {
        let below = format!("{name}/");
        secrets.range(below.clone()..).next().is_some_and(|(next, _)| next.starts_with(&below))
    };
    if !is_directory(id) {
        return None;
    }
    let mut name = format!("{id}_");
    while secrets.contains_key(&name) || is_directory(&name) {
        name.push('_');
    }
    Some(name)
}

fn attribute(text: &str) -> String {
    let starts = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-'".contains(letter);
    if starts && text.chars().all(is_plain) && !KEYWORDS.contains(&text) {
        text.to_owned()
    } else {
        string(text)
    }
}

/// Returns `path` as a path that Nix resolves from the file that it is in.
fn path(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+".contains(letter);
    let start = if path.is_absolute() { "" } else { "./" };
    if text.chars().all(is_plain) {
        return format!("{start}{text}");
    }
    match text.strip_prefix('/') {
        Some(rest) => format!("/. + {}", string(rest)),
        None => format!("./. + {}", string(&format!("/{text}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ids: &[&str], directory: Option<&str>) -> String {
        let secrets = ids.iter().map(|id| ((*id).to_owned(), Fields::new())).collect();
        snippet(&secrets, directory.map(Path::new))
    }

    #[test]
    fn a_plain_id_is_a_plain_attribute() {
        assert_eq!(of(&["wifi"], None), "vaultix.secrets.wifi = { };\n");
        assert_eq!(of(&["a-b'c_1"], None), "vaultix.secrets.a-b'c_1 = { };\n");
    }

    #[test]
    fn an_odd_id_is_a_string() {
        for (id, expected) in [
            ("db/password", r#""db/password""#),
            ("in", r#""in""#),
            ("1", r#""1""#),
            (r#"a"b\${c}$d"#, r#""a\"b\\\${c}$d""#),
        ] {
            assert_eq!(of(&[id], None), format!("vaultix.secrets.{expected} = {{ }};\n"));
        }
    }

    #[test]
    fn a_directory_other_than_the_default_is_written() {
        assert_eq!(
            of(&["wifi"], Some("old")),
            "vaultix.secrets.wifi = { file = ./old/wifi.age; };\n"
        );
        assert_eq!(
            of(&["a b"], Some("old")),
            "vaultix.secrets.\"a b\" = { file = ./. + \"/old/a b.age\"; };\n"
        );
    }

    #[test]
    fn known_fields_are_written() {
        let fields = Fields::from([("owner".to_owned(), "${x}".to_owned())]);
        let secrets = BTreeMap::from([("wifi".to_owned(), fields)]);
        let expected = "vaultix.secrets.wifi = { owner = \"\\${x}\"; };\n";
        assert_eq!(snippet(&secrets, None), expected);
    }

    #[test]
    fn a_file_does_not_stand_in_the_way_of_a_directory() {
        assert_eq!(
            of(&["mail", "mail-2", "mail/work", "mail_"], None),
            "vaultix.secrets.mail = { name = \"mail__\"; };\nvaultix.secrets.mail-2 = { };\n\
             vaultix.secrets.\"mail/work\" = { };\nvaultix.secrets.mail_ = { };\n"
        );
    }
}
