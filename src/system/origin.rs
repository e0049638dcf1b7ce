//! path in the Nix store → the input of the flake that it comes from, and its name for people: `secrets:wifi.age`.
//!
//! The hash in a store path says nothing to anybody, and changes with every update.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{PoisonError, RwLock};

/// Where Nix keeps what it evaluates.
pub const STORE: &str = "/nix/store";

/// Separates the name of an input from the path of a file in it.
const SEPARATOR: u8 = b':';

/// An input of the flake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its name, as `nix flake update` takes it: `secrets`, or `common/secrets` for one of another input.
    pub name: String,
    /// Where it is in the store.
    pub store: PathBuf,
    /// A command that tells us of a checkout of it.
    pub map: String,
}

impl Input {
    /// Says why nothing in it can be changed.
    pub fn unmapped(&self) -> String {
        format!("you have named no checkout of the input {}", self.name)
    }
}

/// The inputs of the flake of this run.
static INPUTS: RwLock<Vec<Input>> = RwLock::new(Vec::new());

/// Takes `inputs` for those of the flake.
pub fn add_inputs(inputs: impl IntoIterator<Item = Input>) {
    INPUTS.write().unwrap_or_else(PoisonError::into_inner).extend(inputs);
}

/// Returns the input that `path` is in, and how to go on from there.
pub fn find(path: &Path) -> Option<(Input, PathBuf)> {
    if !path.starts_with(STORE) {
        return None;
    }
    let inputs = INPUTS.read().unwrap_or_else(PoisonError::into_inner);
    let found = |input: &Input| {
        let below = path.strip_prefix(&input.store).ok()?;
        Some((input.clone(), below.to_owned()))
    };
    inputs.iter().find_map(found)
}

/// Returns the name of `path` for people: that of its input and the path in it, or else the path itself.
pub fn shown(path: &Path) -> String {
    in_input(path).unwrap_or_else(|| path.display().to_string())
}

/// Returns the name of `path` for people, if it is in an input.
pub fn in_input(path: &Path) -> Option<String> {
    find(path).map(|(input, below)| format!("{}:{}", input.name, below.display()))
}

/// Returns whether `text` may be the name of a file in an input, which it is if there is such an input.
pub fn may_be_name(text: &Path) -> bool {
    split(text).is_some()
}

/// Returns the path of the file that is called `text`, if that is a name of one in an input.
pub fn parse(text: &Path) -> Option<PathBuf> {
    let (name, below) = split(text)?;
    let inputs = INPUTS.read().unwrap_or_else(PoisonError::into_inner);
    inputs.iter().find(|input| input.name == name).map(|input| input.store.join(below))
}

/// Returns the two parts of a name, if it is one: the path in the input does not lead out of it.
fn split(text: &Path) -> Option<(&str, &Path)> {
    let bytes = text.as_os_str().as_bytes();
    let at = bytes.iter().position(|byte| *byte == SEPARATOR)?;
    let name = str::from_utf8(bytes.get(..at)?).ok()?;
    let below = Path::new(OsStr::from_bytes(bytes.get(at + 1..)?));
    let mut parts = below.components().peekable();
    let is_below = parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)));
    (is_below && !name.is_empty() && !name.starts_with(['.', '/'])).then_some((name, below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_an_input_is_called_by_both_names() {
        let store = Path::new("/nix/store/00000000000000000000000000000000-source");
        let name = "origin-test/secrets".to_owned();
        add_inputs([Input { name, store: store.to_owned(), map: String::new() }]);
        let path = store.join("home/wifi.age");
        assert_eq!(shown(&path), "origin-test/secrets:home/wifi.age");
        assert_eq!(parse(Path::new("origin-test/secrets:home/wifi.age")), Some(path));
        assert_eq!(parse(Path::new("other:home/wifi.age")), None);
        let beside = "/nix/store/00000000000000000000000000000000-source2/wifi.age";
        assert_eq!(shown(Path::new(beside)), beside);
        assert_eq!(shown(Path::new("secrets/wifi.age")), "secrets/wifi.age");
    }

    #[test]
    fn a_name_leads_out_of_no_input() {
        for text in
            ["a:../b", "a:b/../../c", "a:/etc/passwd", "a:", ":b", "./a:b", "../a:b", "/a:b", "a"]
        {
            assert!(!may_be_name(Path::new(text)), "{text}");
        }
        assert!(may_be_name(Path::new("a:b/c:d.age")));
    }
}
