//! what an older scheme calls a secret → an id that Vaultix takes, and the file of that id.

use std::path::{Path, PathBuf};

use vaultix_generator::profile::RESERVED_NAME;

/// Returns `text` as an id: components between slashes, each of which can be the name of a file.
///
/// What most people write stays as it is. Control characters become `_`, and so do the dots of `.` and `..`;
/// empty components are left out.
pub fn id(text: &str) -> String {
    let mut components: Vec<String> =
        text.split('/').filter(|part| !part.is_empty()).map(component).collect();
    match components.first_mut() {
        None => components.push("_".to_owned()),
        Some(first) if first == RESERVED_NAME => first.push('_'),
        Some(_) => {}
    }
    components.join("/")
}

fn component(part: &str) -> String {
    if matches!(part, "." | "..") {
        return "_".repeat(part.len());
    }
    part.chars().map(|character| if character.is_control() { '_' } else { character }).collect()
}

pub fn file(directory: &Path, id: &str) -> PathBuf {
    directory.join(format!("{id}.age"))
}

/// Returns the id of a file by its `path`, without the `ending` that says only how it is encrypted.
pub fn id_from_path(path: &Path, ending: &str) -> String {
    let text = path.to_string_lossy();
    id(text.strip_suffix(ending).filter(|stem| !stem.is_empty()).unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_id_stays() {
        for text in ["wifi", "db/password", "mail me@example.org", "${a}\"b", ".env", "é"] {
            assert_eq!(id(text), text);
        }
    }

    #[test]
    fn an_invalid_id_is_mapped() {
        for (text, expected) in [
            ("", "_"),
            ("/", "_"),
            ("/a//b/", "a/b"),
            ("../.", "__/_"),
            ("a\nb\0", "a_b_"),
            (".vaultix/x", ".vaultix_/x"),
            ("x/.vaultix", "x/.vaultix"),
        ] {
            assert_eq!(id(text), expected, "{text:?}");
        }
    }

    #[test]
    fn every_id_is_one_that_a_profile_may_have() {
        use vaultix_generator::profile::{Profile, Side};
        for text in ["", "..", "a//../b", ".vaultix", "-", "%i@x", "a b\\\"${c}'", "é/\u{1}", "\n"]
        {
            let secrets = serde_json::json!({ id(text): { "file": "x.age" } });
            let settings = serde_json::json!({
                "hostIdentifier": "web1", "hostPubkey": "ssh-ed25519 AAAA", "hostKeys": [],
            });
            let profile =
                serde_json::json!({ "version": 1, "settings": settings, "secrets": secrets });
            let profile = Profile::parse(&profile.to_string(), Side::Workspace).unwrap();
            assert!(profile.secrets.values().all(Result::is_ok), "{text:?}");
        }
    }

    #[test]
    fn a_file_is_named_by_the_whole_id() {
        assert_eq!(file(Path::new("secrets"), "web/tls.key"), Path::new("secrets/web/tls.key.age"));
    }

    #[test]
    fn the_ending_is_left_out_once() {
        assert_eq!(id_from_path(Path::new("web/tls.age.age"), ".age"), "web/tls.age");
        assert_eq!(id_from_path(Path::new(".age"), ".age"), ".age");
    }
}
