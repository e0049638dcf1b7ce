//! a flake's inputs → which of them are on this machine, outside of the flake; and where inputs are in the store.
//!
//! Whoever commits to a repository can name any directory of the user's as an input: Nix copies it to the store, where
//! everybody reads it, and the flake can name its files.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use vaultix_generator::escape;

use crate::system::origin::STORE;

/// What `nix flake metadata --json` says.
#[derive(Deserialize)]
pub(super) struct Metadata {
    /// The copy of the flake in the store.
    pub(super) path: PathBuf,
    /// `flake.lock` as Nix has read it.
    pub(super) locks: Lock,
}

#[derive(Deserialize, Default)]
pub(super) struct Lock {
    /// Inputs, and inputs of those.
    #[serde(default)]
    nodes: BTreeMap<String, Node>,
    /// The node that stands for the flake itself.
    #[serde(default)]
    root: String,
}

/// One input.
#[derive(Deserialize)]
struct Node {
    /// Its inputs: the names of nodes, or the way to one.
    #[serde(default)]
    inputs: BTreeMap<String, Value>,
    /// The input that a relative path is about, as the way to it; none for the flake itself.
    #[serde(default)]
    parent: Vec<Value>,
    /// What is fetched.
    #[serde(default)]
    locked: Value,
    #[serde(default)]
    original: Value,
}

impl Lock {
    /// Returns the paths on this machine that inputs are taken from, as they are written.
    pub(super) fn local_paths(&self) -> impl Iterator<Item = PathBuf> {
        let paths = |node| {
            let Node { locked, original, parent, .. }: &Node = node;
            let paths = [locked, original].into_iter().filter_map(local_path);
            // What is relative to another input, Nix looks for in the store. Whoever commits also names the parent.
            paths.filter(|path| parent.is_empty() || path.is_absolute()).collect::<Vec<_>>()
        };
        self.nodes.values().flat_map(paths)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.nodes.get(&self.root).is_some_and(|root| root.inputs.contains_key(name))
    }

    /// Returns all inputs that are in the store, those of the flake itself before their own.
    pub(super) fn inputs(&self) -> Vec<LockedInput> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::from([self.root.as_str()]));
        let mut nodes = VecDeque::from([(String::new(), self.root.as_str())]);
        while let Some((above, node)) = nodes.pop_front() {
            for (name, node) in self.nodes.get(node).map(|node| &node.inputs).into_iter().flatten()
            {
                // What follows another input is found as that one.
                let Some(node) = node.as_str().filter(|node| seen.insert(node)) else { continue };
                let name = format!("{above}{name}");
                nodes.push_back((format!("{name}/"), node));
                found.extend(self.nodes.get(node).and_then(|node| LockedInput::new(name, node)));
            }
        }
        found
    }
}

/// An input as `flake.lock` has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LockedInput {
    /// Its name, as `nix flake update` takes it.
    pub(super) name: String,
    /// Where it is in the store.
    pub(super) store: PathBuf,
    /// Where it is taken from on this machine, as it is written.
    pub(super) local: Option<PathBuf>,
    /// Whether Nix takes files as they are there, committed or not.
    pub(super) is_directory: bool,
    /// What git clones.
    pub(super) url: Option<String>,
    /// The commit.
    pub(super) rev: Option<String>,
}

impl LockedInput {
    fn new(name: String, node: &Node) -> Option<Self> {
        let text = |name: &str| node.locked.get(name).and_then(Value::as_str);
        Some(Self {
            name,
            store: store_path(text("narHash")?)?,
            local: local_path(&node.locked).filter(|_| node.parent.is_empty()),
            is_directory: text("type") == Some("path"),
            url: url(&text),
            rev: text("rev").map(str::to_owned),
        })
    }
}

/// Returns what git clones to have the input that `text` tells the attributes of.
///
/// Source: the Nix manual, "nix flake", "Types".
fn url<'a>(text: &impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let host = |default| text("host").unwrap_or(default);
    let of = |host: &str| Some(format!("git@{host}:{}/{}.git", text("owner")?, text("repo")?));
    match text("type")? {
        "git" => text("url").map(|url| url.split('?').next().unwrap_or_default().to_owned()),
        "github" => of(host("github.com")),
        "gitlab" => of(host("gitlab.com")),
        "sourcehut" => {
            Some(format!("git@{}:{}/{}", host("git.sr.ht"), text("owner")?, text("repo")?))
        }
        _ => None,
    }
}

/// What `export-subst` of git replaces.
const SUBST: &str = "$Format:";

/// What a flake says of its inputs.
#[derive(Deserialize)]
pub(super) struct DeclaredInputs {
    pub(super) names: Vec<String>,
    /// They and their own inputs, as attributes.
    pub(super) references: Vec<Value>,
}

/// Returns the path on this machine that `reference` is about, an input as attributes. What is relative is so to the flake:
/// links on the way lead out of it, and Nix follows them.
pub(super) fn local_path(reference: &Value) -> Option<PathBuf> {
    let text = |name: &str| reference.get(name).and_then(Value::as_str).unwrap_or_default();
    // What git puts in place of this, when an archive is made for Nix, is not known here; see gitattributes(5).
    let unknown =
        [text("path"), text("url"), text("type")].into_iter().find(|it| it.contains(SUBST));
    if let Some(unknown) = unknown {
        return Some(unknown.into());
    }
    match (text("type"), text("url")) {
        ("path", _) => Some(text("path").into()),
        // Of an entry of a registry, this is the name; of all else without a scheme, a path.
        ("" | "indirect", url) => path_from_url(url),
        (_, url) if !url.is_empty() && !url.contains(':') => Some(decoded(url).into()),
        (_, url) => path_from_url(url),
    }
}

/// Returns `path`, which is relative to the flake at `root`, as a whole; one that only git knows stays as it is.
pub(super) fn resolve(root: &Path, path: PathBuf) -> PathBuf {
    let is_unknown = path.to_string_lossy().contains(SUBST);
    if is_unknown { path } else { root.join(path) }
}

/// Returns the path on this machine that `url` is about: `path:/x`, `git+file:///x?rev=y`, `/x`.
fn path_from_url(url: &str) -> Option<PathBuf> {
    let (scheme, rest) = match url.split_once(':') {
        Some((scheme, rest)) if !scheme.contains('/') => (scheme, rest),
        // The name of an entry of a registry, unless it is a path for sure.
        _ if is_entry(url) => return None,
        _ => ("path", url),
    };
    let is_local = scheme
        .split('+')
        .any(|part| part.eq_ignore_ascii_case("file") || part.eq_ignore_ascii_case("path"));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    // Between two slashes and the third one there may be the name of a host, which is this one.
    let path = match rest.strip_prefix("//") {
        // Without the third one, some take what is there for a path.
        Some(rest) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or(rest),
        None => rest,
    };
    is_local.then(|| decoded(path).into())
}

/// Returns whether `url` is the name of an entry of a registry, with a branch or a commit after it: `nixpkgs/nixos-unstable`.
///
/// Source: the Nix manual, "nix flake", "URL-like syntax".
fn is_entry(url: &str) -> bool {
    let (name, rest) = url.split_once('/').unwrap_or((url, ""));
    let plain = |text: &str, more: &str| {
        text.chars().all(|it| it.is_ascii_alphanumeric() || more.contains(it))
    };
    let is_commit = |text: &str| text.len() == 40 && text.chars().all(|it| it.is_ascii_hexdigit());
    let is_rest = match rest.split_once('/') {
        None => plain(rest, "@._-"),
        Some((branch, commit)) => plain(branch, "@._-") && is_commit(commit),
    };
    (url.is_empty() || name.starts_with(|first: char| first.is_ascii_alphabetic()))
        && plain(name, "_-")
        && is_rest
}

/// Returns `url` with what is in it as `%2f`.
fn decoded(url: &str) -> String {
    let mut bytes = Vec::with_capacity(url.len());
    let mut rest = url.as_bytes();
    while let [first, others @ ..] = rest {
        let digits = others.get(..2).filter(|_| *first == b'%');
        let digits = digits.and_then(|digits| str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { others.get(2..).unwrap_or_default() } else { others };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Letters of Nix's base 32.
const ALPHABET: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";

/// Bytes of the hash in a store path.
const LENGTH: usize = 20;

/// Returns where the store has a source tree with this hash of its NAR, `sha256-` and base 64.
///
/// Source: the Nix manual, "Complete Store Path Calculation"; what is fetched is called `source`.
fn store_path(nar_hash: &str) -> Option<PathBuf> {
    let hash = BASE64_STANDARD.decode(nar_hash.strip_prefix("sha256-")?).ok()?;
    let text = format!("source:sha256:{}:{STORE}:source", escape::hex(&hash));
    let mut short = [0_u8; LENGTH];
    for (byte, place) in Sha256::digest(text).iter().zip((0..LENGTH).cycle()) {
        *short.get_mut(place)? ^= byte;
    }
    // From the last five bits to the first.
    let digit = |n: usize| {
        let (at, shift) = (n * 5 / 8, n * 5 % 8);
        let pair = u16::from(*short.get(at)?)
            | u16::from(short.get(at + 1).copied().unwrap_or_default()) << 8;
        ALPHABET.get(usize::from(pair >> shift & 31)).map(|letter| char::from(*letter))
    };
    let name: String = (0..LENGTH * 8 / 5).rev().map(digit).collect::<Option<_>>()?;
    Some(Path::new(STORE).join(name + "-source"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_where_nix_puts_it() {
        // nix flake lock && nix eval --raw --impure --expr '(builtins.getFlake (toString ./.)).inputs.x.outPath'
        assert_eq!(
            store_path("sha256-j8kb4pmwWFy57Ycqg2FqxCzaRXc+v+nzCQvy4ZORdeE=").unwrap(),
            Path::new("/nix/store/p6wsij8cppd8x8a5d4vif9j4kx98lfnl-source")
        );
        assert_eq!(store_path("sha256-"), store_path("sha256-"));
        assert_eq!(store_path("sha1-abc"), None);
    }

    #[test]
    fn an_input_on_this_machine_is_told_by_its_reference() {
        for (url, path) in [
            ("path:/home/me/x", Some("/home/me/x")),
            ("path:///home/me/x?narHash=y", Some("/home/me/x")),
            ("git+file:///home/me/x?rev=y#z", Some("/home/me/x")),
            ("file:///x.tar.gz", Some("/x.tar.gz")),
            ("tarball+file://localhost/x", Some("/x")),
            ("FILE:/x", Some("/x")),
            ("/home/me/x", Some("/home/me/x")),
            ("/home/a:b", Some("/home/a:b")),
            ("path:./x", Some("./x")),
            ("path:%2Fhome/x", Some("/home/x")),
            ("git+file:../repo", Some("../repo")),
            ("hg+file:../repo?rev=x", Some("../repo")),
            ("./x", Some("./x")),
            ("path:./ok%3Fx?rev=y", Some("./ok?x")),
            ("git+file://repo", Some("repo")),
            ("link/sub/x.y", Some("link/sub/x.y")),
            ("a link/sub", Some("a link/sub")),
            ("nixpkgs/nixos-unstable", None),
            ("nixpkgs/master/0123456789abcdef0123456789abcdef01234567", None),
            ("github:NixOS/nixpkgs", None),
            ("nixpkgs", None),
            ("https://example.org/file:/x", None),
            ("git+ssh://git@example.org/x", None),
            ("", None),
        ] {
            assert_eq!(path_from_url(url).as_deref(), path.map(Path::new), "{url}");
        }
        let path =
            |kind: &str, path: &str| local_path(&serde_json::json!({"type": kind, "path": path}));
        assert_eq!(path("path", "/x"), Some("/x".into()));
        assert_eq!(path("path", "../x"), Some("../x".into()));
        assert_eq!(path("path", "$Format:%x2fx$"), Some("$Format:%x2fx$".into()));
        let url =
            |kind: &str, url: &str| local_path(&serde_json::json!({"type": kind, "url": url}));
        assert_eq!(url("git", "link"), Some("link".into()));
        assert_eq!(url("git", "https://example.org/x"), None);
        assert_eq!(url("indirect", "nixpkgs"), None);
    }

    #[test]
    fn inputs_have_the_names_that_nix_updates_them_by() {
        let lock = r#"{"root": "r", "nodes": {
            "r": {"inputs": {"secrets": "secrets_2", "common": "common", "alias": ["common"]}},
            "common": {"inputs": {"deep": "secrets"}, "locked": {"type": "github", "owner": "me", "repo": "c",
              "narHash": "sha256-j8kb4pmwWFy57Ycqg2FqxCzaRXc+v+nzCQvy4ZORdeE=", "rev": "1"}},
            "secrets": {"locked": {"type": "path", "path": "/x", "narHash": "sha256-"}},
            "secrets_2": {"inputs": {"back": "common"}, "locked": {"type": "git", "url": "ssh://git@x.org/s?ref=a",
              "narHash": "sha256-"}},
            "none": {"locked": {"narHash": "sha256-"}}}}"#;
        let inputs = serde_json::from_str::<Lock>(lock).unwrap().inputs();
        let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
        assert_eq!(names, ["common", "secrets", "common/deep"]);
        let urls: Vec<Option<&str>> = inputs.iter().map(|input| input.url.as_deref()).collect();
        assert_eq!(urls, [Some("git@github.com:me/c.git"), Some("ssh://git@x.org/s"), None]);
        assert_eq!(inputs[2].local.as_deref(), Some(Path::new("/x")));
        assert!(inputs[2].is_directory && !inputs[1].is_directory);
    }

    #[test]
    fn no_parent_hides_a_whole_path() {
        let lock = |path: &str| -> Vec<PathBuf> {
            let text = format!(
                r#"{{"root":"root","nodes":{{"y":{{"parent":["x"],"locked":{{"type":"path","path":"{path}"}}}}}}}}"#
            );
            serde_json::from_str::<Lock>(&text).unwrap().local_paths().collect()
        };
        assert_eq!(lock("/home/me/private"), [Path::new("/home/me/private")]);
        assert!(lock("./sub").is_empty());
    }
}
