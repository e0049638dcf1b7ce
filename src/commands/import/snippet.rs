//! ids of imported secrets → Nix to paste into a host's configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use vaultix_generator::escape;

use crate::commands::import::name;
use crate::commands::import::secret::{Declared, LegacySecret};
use crate::flake::literal::string;

/// Words that cannot stand for themselves as the name of an attribute.
const KEYWORDS: [&str; 10] =
    ["assert", "else", "if", "in", "inherit", "let", "or", "rec", "then", "with"];

/// What a declaration says, by the names of options.
pub type Fields = BTreeMap<String, String>;

/// A secret that is made, as a host declares it.
pub struct Declaration {
    /// Which declarations it stands with, in words.
    group: String,
    /// The secret's id.
    id: String,
    /// Its file, from the directory for new secrets, without the ending.
    stem: String,
    /// Which value of the file it is, if not the whole.
    key: Option<String>,
    /// What else is known of it.
    fields: Fields,
}

impl Declaration {
    /// Takes what is known of `secret`, which is `declared` like this.
    pub fn new(secret: &LegacySecret, declared: &Declared, fields: &Fields) -> Self {
        let Declared { id, group, key } = declared.clone();
        Self { group, id, stem: secret.stem.clone(), key, fields: fields.clone() }
    }
}

/// Returns a binding for each of `declarations`, one a line, in groups with a comment above each.
///
/// Their files are in `directory`, seen from the flake; where that is the one `is_default` for a host's secrets, an id can
/// be enough to find them.
pub fn snippet(declarations: &mut [Declaration], directory: &Path, is_default: bool) -> String {
    declarations.sort_by(|one, other| (&one.group, &one.id).cmp(&(&other.group, &other.id)));
    let ids: BTreeSet<&str> = declarations.iter().map(|one| one.id.as_str()).collect();
    let groups: Vec<&[Declaration]> =
        declarations.chunk_by(|one, other| one.group == other.group).collect();
    let mut text = String::new();
    if ids.len() < declarations.len() {
        text.push_str(REPEATED);
    }
    for group in &groups {
        if let Some(Declaration { group, .. }) = group.first().filter(|_| groups.len() > 1) {
            let space = if text.is_empty() { "" } else { "\n" };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{space}# {}", escape::line(group));
        }
        for declaration in *group {
            let mut fields = String::new();
            if !is_default || declaration.key.is_some() || declaration.id != declaration.stem {
                let file = path(&name::file(directory, &declaration.stem));
                let _ = write!(fields, " file = {file};");
            }
            if let Some(key) = &declaration.key {
                let _ = write!(fields, " key = {};", string(key));
            }
            if let Some(name) = free_name(&declaration.id, &ids) {
                let _ = write!(fields, " name = {};", string(&name));
            }
            for (field, value) in &declaration.fields {
                let _ = write!(fields, " {field} = {};", string(value));
            }
            let attribute = attribute(&declaration.id);
            let _ = writeln!(text, "vaultix.secrets.{attribute} = {{{fields} }};");
        }
    }
    text
}

/// What stands above groups that have ids in common.
const REPEATED: &str =
    "# Some ids are in several groups: paste each group into the configuration of its own hosts.\n";

/// Returns a name for the file of `id`, if it would be the directory of another of `ids`.
fn free_name(id: &str, ids: &BTreeSet<&str>) -> Option<String> {
    let is_directory = |name: &str| {
        let below = format!("{name}/");
        ids.range(below.as_str()..).next().is_some_and(|next| next.starts_with(&below))
    };
    if !is_directory(id) {
        return None;
    }
    let mut name = format!("{id}_");
    while ids.contains(name.as_str()) || is_directory(&name) {
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

    /// Returns the declaration of `id` in `group`, whose file is `stem`.
    fn declaration(group: &str, id: &str, stem: &str) -> Declaration {
        let [group, id, stem] = [group, id, stem].map(str::to_owned);
        Declaration { group, id, stem, key: None, fields: Fields::new() }
    }

    /// Returns the snippet of `ids`, in another directory than the default one if any.
    fn of(ids: &[&str], directory: Option<&str>) -> String {
        let mut all: Vec<Declaration> = ids.iter().map(|id| declaration("", id, id)).collect();
        let place = Path::new(directory.unwrap_or("secrets"));
        snippet(&mut all, place, directory.is_none())
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
        let mut all = [Declaration { fields, ..declaration("", "wifi", "wifi") }];
        let expected = "vaultix.secrets.wifi = { owner = \"\\${x}\"; };\n";
        assert_eq!(snippet(&mut all, Path::new("secrets"), true), expected);
    }

    #[test]
    fn a_file_that_is_not_called_as_the_id_is_said() {
        let mut all = [declaration("", "wifi", "home/wifi")];
        let expected = "vaultix.secrets.wifi = { file = ./secrets/home/wifi.age; };\n";
        assert_eq!(snippet(&mut all, Path::new("secrets"), true), expected);
    }

    #[test]
    fn groups_stand_below_comments() {
        let mut all = [("b\n}", "y", "y"), ("a", "x", "a/x"), ("b\n}", "x", "x")]
            .map(|(group, id, stem)| declaration(group, id, stem));
        let expected = "# a\nvaultix.secrets.x = { file = ./s/a/x.age; };\n\n# b\\n}\nvaultix.secrets.y = { };\n";
        assert_eq!(snippet(&mut all[..2], Path::new("s"), true), expected);
        let whole = snippet(&mut all, Path::new("s"), true);
        assert!(whole.starts_with(&format!("{REPEATED}\n# a\n")), "{whole}");
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
