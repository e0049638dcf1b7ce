//! what a plaintext was made from → a few bytes next to it, for the next switch to compare.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use vaultix_generator::escape::hex;
use vaultix_generator::profile::{Placement, Secret, Settings, Template};
use vaultix_generator::unit::Kind;

use crate::path::FarFile;
use crate::plaintext::Plaintext;

/// What an item was made from, and where it was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// SHA-256 of what decides on the plaintext.
    pub inputs: [u8; 32],
    /// SHA-256 of the plaintext.
    pub digest: [u8; 32],
    /// Whether it is a secret or a template.
    pub kind: Kind,
    /// The item's id.
    pub id: String,
    /// Its file in the generation.
    pub name: String,
    /// Where consumers find it.
    pub path: PathBuf,
    /// Where a link at a custom path leads to.
    pub target: PathBuf,
    /// Whether a custom path is a link.
    pub symlink: bool,
    /// Whether it is needed before users exist.
    pub early: bool,
}

impl Record {
    /// Returns the record of an item with these inputs, and this digest of its plaintext.
    #[must_use]
    pub fn new(
        inputs: [u8; 32],
        digest: [u8; 32],
        kind: Kind,
        id: &str,
        place: &Placement,
        settings: &Settings,
    ) -> Self {
        Self {
            inputs,
            digest,
            kind,
            id: id.to_owned(),
            name: place.name.clone(),
            path: place.path.clone(),
            target: settings.link_of(place).join(&place.name),
            symlink: place.symlink,
            early: place.early,
        }
    }

    /// Returns whether a link that leads to `target` is what was put at the path.
    #[must_use]
    pub fn is_link_to(&self, target: &Path) -> bool {
        self.target == target
    }

    /// Returns whether a file with this content is what was put at the path.
    #[must_use]
    pub fn is_file_of(&self, content: &Plaintext) -> bool {
        !self.symlink && self.digest == content.digest()
    }

    /// Returns the text of the record: its fields, none of which can contain a NUL, each followed by one.
    #[must_use]
    pub fn to_text(&self) -> Plaintext {
        let shape = if self.symlink { "link" } else { "file" };
        let early = if self.early { "early" } else { "normal" };
        let path = self.path.as_os_str().as_encoded_bytes();
        let target = self.target.as_os_str().as_encoded_bytes();
        let (inputs, digest) = (hex(&self.inputs), hex(&self.digest));
        let fields = [
            inputs.as_bytes(),
            digest.as_bytes(),
            self.kind.name().as_bytes(),
            self.id.as_bytes(),
            self.name.as_bytes(),
            path,
            target,
            shape.as_bytes(),
            early.as_bytes(),
        ];
        Plaintext::new(fields.iter().flat_map(|field| [*field, b"\0"].concat()).collect())
    }

    /// Reads the text of a record; `None` when it has another format, as after an update of this program.
    #[must_use]
    pub fn parse(text: &Plaintext) -> Option<Self> {
        let text = str::from_utf8(text.expose().strip_suffix(b"\0")?).ok()?;
        let fields: Vec<&str> = text.split('\0').collect();
        let [inputs, digest, kind, id, name, path, target, shape, early] =
            fields.try_into().ok()?;
        Some(Self {
            inputs: from_hex(inputs)?,
            digest: from_hex(digest)?,
            kind: [Kind::Secret, Kind::Template].into_iter().find(|known| known.name() == kind)?,
            id: id.to_owned(),
            name: name.to_owned(),
            path: path.into(),
            target: target.into(),
            symlink: shape == "link",
            early: early == "early",
        })
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    (text.len() == 64 && text.is_ascii()).then_some(())?;
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Returns the inputs of a secret.
///
/// The ciphertext is represented by its path and by its stat(2): one that was replaced or written to has
/// another inode or time. A difference costs one decryption and nothing else.
#[must_use]
pub fn secret_inputs(secret: &Secret) -> [u8; 32] {
    stamped_inputs(secret, &stamp_of(&secret.ciphertext))
}

/// Returns the inputs of a secret whose ciphertext has this [`stamp_of`].
#[must_use]
pub(crate) fn stamped_inputs(secret: &Secret, stamp: &[u8]) -> [u8; 32] {
    // By name, so that a new field that affects the plaintext is not forgotten; a switch would keep the old plaintext.
    let Secret {
        ciphertext,
        insert,
        clean_placeholder,
        id: _,
        key: _,
        generator: _,
        rotate_days: _,
        intermediary: _,
        placement: _,
    } = secret;
    let mut inputs = Inputs::new();
    inputs.add(ciphertext.as_os_str().as_encoded_bytes());
    inputs.add(stamp);
    inputs.add(&[u8::from(*clean_placeholder)]);
    for (hash, text) in insert {
        inputs.add(hash.as_bytes());
        inputs.add(text.as_bytes());
    }
    inputs.finish()
}

/// Returns the inputs of a template, with the digest of each value by the hash of its placeholder; `None` for an unknown
/// plaintext.
#[must_use]
pub fn template_inputs<'a>(
    template: &Template,
    values: impl IntoIterator<Item = (&'a str, Option<[u8; 32]>)>,
) -> [u8; 32] {
    let Template { content, trim, id: _, placement: _ } = template; // As above.
    let mut inputs = Inputs::new();
    inputs.add(content.as_bytes());
    inputs.add(&[u8::from(*trim)]);
    for (hash, digest) in values {
        inputs.add(hash.as_bytes());
        inputs.add(digest.as_ref().map_or(&[], |digest| digest.as_slice()));
    }
    inputs.finish()
}

/// A hash over fields, each with its length before it, so that they cannot run into one another.
struct Inputs(Sha256);

/// What all inputs begin with. A change of it makes every file again at the first switch of a new release: with the
/// first release, owners could have files open for writing.
const FORMAT: &[u8] = b"vaultix-inputs-2";

impl Inputs {
    fn new() -> Self {
        let mut inputs = Self(Sha256::new());
        inputs.add(FORMAT);
        inputs
    }

    fn add(&mut self, field: &[u8]) {
        self.0.update((field.len() as u64).to_le_bytes());
        self.0.update(field);
    }

    fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// Returns what distinguishes versions of the file `path`: device, inode, size and times; empty when it does not exist.
pub(crate) fn stamp_of(path: &Path) -> Vec<u8> {
    FarFile::new(path).look().map(|look| look.stamp).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for (symlink, early) in [(true, false), (false, true)] {
            let record = Record {
                inputs: [0xa5; 32],
                digest: [0x5a; 32],
                kind: Kind::Template,
                id: "a b/\u{fc}\n".to_owned(),
                name: "n/m".to_owned(),
                path: "/etc/x y".into(),
                target: "/run/vaultix/n/m".into(),
                symlink,
                early,
            };
            assert_eq!(Record::parse(&record.to_text()), Some(record));
        }
    }

    #[test]
    fn a_record_recognizes_what_was_put_at_its_path() {
        let plaintext = |text: &str| Plaintext::new(text.into());
        let record = |symlink| Record {
            inputs: [0; 32],
            digest: plaintext("x").digest(),
            kind: Kind::Secret,
            id: "a".to_owned(),
            name: "a".to_owned(),
            path: "/etc/a".into(),
            target: "/run/vaultix/a".into(),
            symlink,
            early: false,
        };
        assert!(record(true).is_link_to(Path::new("/run/vaultix/a")));
        assert!(!record(true).is_link_to(Path::new("/etc/a")));
        assert!(record(false).is_file_of(&plaintext("x")));
        assert!(!record(false).is_file_of(&plaintext("y")));
        assert!(!record(true).is_file_of(&plaintext("x")), "a link was put there, and no file");
    }

    #[test]
    fn a_hash_has_64_digits() {
        let note = |digits: &str| {
            let text =
                format!("{}\0{digits}\0secret\0a\0a\0/a\0/a\0link\0normal\0", "5a".repeat(32));
            Record::parse(&Plaintext::new(text.into_bytes()))
        };
        assert!(note(&"a5".repeat(32)).is_some());
        for wrong in
            ["", "a5", &"a5".repeat(33), &"a5".repeat(31), &"\u{e9}".repeat(32), &"g5".repeat(32)]
        {
            assert_eq!(note(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn bytes_that_are_no_record_are_refused() {
        for text in [&b""[..], b"\0", b"a\0b\0", &[0xff; 80]] {
            assert_eq!(Record::parse(&Plaintext::new(text.to_vec())), None);
        }
    }
}
