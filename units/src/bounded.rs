//! path → its bytes, up to a limit.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use vaultix_generator::size;
use zeroize::Zeroizing;

/// Largest text of a secret or template, in bytes (128 MiB): what the desk takes, hosts take as well.
pub const MAX_PLAINTEXT: u64 = 128 << 20;

/// Largest ciphertext we read, in bytes (176 MiB): the largest text, encrypted, with the largest header, and in armor.
///
/// A ramfs has no size limit: without one here, a hostile cache file could use up all memory at boot. The same limit applies
/// to files that are read back: the owner of a plaintext can make its file as large as they like.
pub const MAX_CIPHERTEXT: u64 = 176 << 20;

/// Largest file with identities, in bytes (1 MiB).
pub const MAX_IDENTITY: u64 = 1 << 20;

/// Reads the regular file `path`, which may contain up to `limit` bytes. The bytes are wiped when dropped.
///
/// Never blocks on a FIFO or a device.
///
/// # Errors
///
/// The system's own; [`io::ErrorKind::InvalidInput`] when it is not a regular file, and
/// [`io::ErrorKind::FileTooLarge`], with the limit, when it contains more.
pub fn read(path: &Path, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    read_file(File::from(rustix::fs::open(path, flags, Mode::empty())?), limit)
}

/// Reads the rest of `file`, as [`read`] does.
///
/// # Errors
///
/// As those of [`read`].
pub fn read_file(file: File, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let too_large = || {
        let text = format!("it has more than {}", size::shown(limit));
        io::Error::new(io::ErrorKind::FileTooLarge, text)
    };
    let length = metadata.len();
    if length > limit {
        return Err(too_large());
    }
    // One byte over, so that the last read finds the end without growing the vector, which would leave copies behind.
    let capacity = usize::try_from(length).map_err(|_| too_large())?.saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}
