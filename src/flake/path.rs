//! path that a flake names → the same from the flake's root, or nothing where it is not inside it.
//!
//! Twin of `nix/flake-path.nix`: Nix has to look for copies and secrets where we write them.
//! `tests/vectors/flake-path.json` has cases that both must pass.

/// Longest path, in bytes (4095): Linux knows no longer one.
const MAX_PATH: usize = 4095;

/// Returns `path` without the `./` that it may begin with, `None` where it is not inside the flake, or not written in the
/// one way that there is. A slash at the end stays: it tells a directory from a file.
pub fn plain(path: &str) -> Option<&str> {
    let plain = path.strip_prefix("./").unwrap_or(path);
    let mut parts = without_slash(plain).split('/');
    // What is called `.git`, git tracks nowhere, and so Nix does not see it.
    let is_inside =
        parts.all(|part| !matches!(part, "" | "." | "..") && !part.eq_ignore_ascii_case(".git"));
    (is_inside && path.len() <= MAX_PATH).then_some(plain)
}

/// The same for a directory: without the slash.
pub fn directory(path: &str) -> Option<&str> {
    plain(path).map(without_slash)
}

fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[test]
    fn paths_of_a_flake_are_those_of_the_vectors() {
        #[derive(Deserialize)]
        struct Vector {
            path: String,
            plain: Option<String>,
            directory: Option<String>,
        }
        let text = include_str!("../../tests/vectors/flake-path.json");
        let vectors: Vec<Vector> = serde_json::from_str(text).unwrap();
        assert!(vectors.iter().any(|vector| vector.plain.is_none()));
        for Vector { path, plain: expected, directory: below } in vectors {
            assert_eq!(plain(&path), expected.as_deref(), "{path:?}");
            assert_eq!(directory(&path), below.as_deref(), "{path:?}");
        }
        assert!(plain(&"x".repeat(MAX_PATH)).is_some() && plain(&"x".repeat(4096)).is_none());
    }
}
