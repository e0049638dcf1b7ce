//! `key` and `format` of a secret → the place of a value in a structured file.

use std::ffi::OsStr;
use std::path::Path;

use super::fields::{Fields, Invalid};

/// Where in a structured file a value is, and how the file is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// An RFC 6901 pointer to the value, not empty.
    pub pointer: String,
    /// One of [`Key::FORMATS`].
    pub format: String,
}

impl Key {
    /// The names of formats. Also in `nix/format.nix`; the desk reads them.
    pub const FORMATS: [&str; 5] = ["json", "yaml", "toml", "env", "ini"];

    /// Takes `key` and `format` from the fields of a secret in the file `file`, whose name is looked at if there is no
    /// `format`; `None` if there is no `key`.
    pub(super) fn take(fields: &mut Fields, file: &Path) -> Result<Option<Self>, Invalid> {
        let pointer: Option<String> = fields.optional("key")?;
        let format: Option<String> = fields.optional("format")?;
        if let Some(format) = &format {
            fields.check("format", ensure_format(format))?;
        }
        let Some(pointer) = pointer else { return Ok(None) };
        fields.check("key", ensure_pointer(&pointer))?;
        let format = format.or_else(|| format_of(file).map(str::to_owned)).ok_or_else(|| {
            let problem = format!("the name of \"{}\" has no format before .age", file.display());
            fields.invalid("key", problem).fix(format!("set format to {}", alternatives()))
        })?;
        Ok(Some(Self { pointer, format }))
    }
}

/// Lists the formats: `"json", "yaml"` and so on.
fn alternatives() -> String {
    Key::FORMATS.map(|name| format!("\"{name}\"")).join(", ")
}

fn ensure_format(name: &str) -> Result<(), Invalid> {
    if Key::FORMATS.contains(&name) {
        return Ok(());
    }
    Err(Invalid::here(format!("\"{name}\" is not one of {}", alternatives())))
}

/// Rule: RFC 6901, section 3.
fn ensure_pointer(pointer: &str) -> Result<(), Invalid> {
    let is_escape = |part: &str| part.starts_with(['0', '1']);
    if !pointer.starts_with('/') {
        return Err(Invalid::here(format!("\"{pointer}\" does not begin with a slash")));
    }
    if !pointer.split('~').skip(1).all(is_escape) {
        return Err(Invalid::here(format!("\"{pointer}\" has a ~ that is not written ~0")));
    }
    Ok(())
}

/// Returns the format that the name of `file` says: `yaml` for `mail.yaml.age` and `mail.yml.age`.
fn format_of(file: &Path) -> Option<&'static str> {
    let stem = file.extension().filter(|suffix| *suffix == "age").and(file.file_stem())?;
    let suffix = Path::new(stem).extension().and_then(OsStr::to_str)?;
    let name = if suffix == "yml" { "yaml" } else { suffix };
    Key::FORMATS.into_iter().find(|known| *known == name)
}
