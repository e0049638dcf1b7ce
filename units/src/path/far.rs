//! a file on a file system that may not answer → its bytes or its stat(2), by a child process.
//!
//! A thread that waits for a file system keeps its whole process from ending, see [`super::queue`]. A child can be left
//! behind. It reads the path from standard input, and writes its answer to standard output.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs;
use zeroize::Zeroizing;

use super::{codec, queue, walk};
use crate::bounded::{self, MAX_CIPHERTEXT};

/// Requests the stat(2) of a file.
const LOOK: &[u8] = b"look";
/// Requests the bytes of a file.
const READ: &[u8] = b"read";
/// The requested data follows.
const DONE: &[u8] = b"done";
/// An error number follows, see errno(3).
const ERRNO: &[u8] = b"errno";
/// The file is too large; the message follows.
const LARGE: &[u8] = b"large";
/// The file cannot be read; the message follows.
const WRONG: &[u8] = b"wrong";

/// A file to read.
pub(crate) struct FarFile {
    path: PathBuf,
    /// Whether the whole way to it is on local file systems.
    is_near: bool,
}

/// The stat(2) of a file.
pub(crate) struct Look {
    /// Its size.
    pub(crate) size: u64,
    /// What distinguishes its versions: device, inode, size and times.
    pub(crate) stamp: Vec<u8>,
}

impl FarFile {
    /// Determines how to read the file `path`, without accessing a file system that may not respond.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), is_near: walk::is_near(path) }
    }

    /// Returns whether the whole way to it is on local file systems.
    pub(crate) fn is_near(&self) -> bool {
        self.is_near
    }

    /// Returns its stat(2).
    pub(crate) fn look(&self) -> io::Result<Look> {
        if self.is_near {
            return look(&self.path);
        }
        match ask(&[LOOK, self.path.as_os_str().as_bytes()])?.as_slice() {
            [size, stamp] => {
                let size = size.as_slice().try_into().map_err(|_| silent())?;
                Ok(Look { size: u64::from_le_bytes(size), stamp: stamp.to_vec() })
            }
            _ => Err(silent()),
        }
    }

    /// Reads it, as [`bounded::read`] does.
    pub(crate) fn read(&self, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
        if self.is_near {
            return bounded::read(&self.path, limit);
        }
        let asked = [READ, self.path.as_os_str().as_bytes(), &limit.to_le_bytes()];
        ask(&asked)?.pop().ok_or_else(silent)
    }
}

/// Returns the stat(2) of `path`.
fn look(path: &Path) -> io::Result<Look> {
    let stat = fs::stat(path)?;
    let stamp = format!(
        "{}:{}:{}:{}.{}:{}",
        stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime
    );
    Ok(Look { size: u64::try_from(stat.st_size).unwrap_or(0), stamp: stamp.into_bytes() })
}

/// Runs a child, and returns the fields of its answer.
fn ask(fields: &[&[u8]]) -> io::Result<Vec<Zeroizing<Vec<u8>>>> {
    let mut child = queue::child(Path::new(queue::PROGRAM))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (mut stdin, mut stdout) = stdin.zip(stdout).ok_or_else(silent)?;
    codec::write(&mut stdin, &[])?; // No jobs, and so nothing that is ours at paths.
    codec::write(&mut stdin, fields)?;
    drop(stdin);
    let answer = codec::read(&mut stdout, MAX_CIPHERTEXT)?;
    // By now it waits for nobody; one that does is waited for by a thread that is left behind.
    child.wait()?;
    let mut answer = answer.ok_or_else(silent)?;
    if answer.is_empty() {
        return Err(silent());
    }
    let word = answer.remove(0);
    let text = |answer: &[Zeroizing<Vec<u8>>]| {
        answer.first().map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
    };
    Err(match word.as_slice() {
        DONE => return Ok(answer),
        ERRNO => io::Error::from_raw_os_error(text(&answer).parse().unwrap_or_default()),
        LARGE => io::Error::new(io::ErrorKind::FileTooLarge, text(&answer)),
        _ => io::Error::new(io::ErrorKind::InvalidInput, text(&answer)),
    })
}

/// Returns the error that a child did not answer.
fn silent() -> io::Error {
    io::Error::other("the process that was to read it ended")
}

/// Answers the request in `fields`, in a child; returns whether they are a request.
pub(super) fn answer(fields: &[Zeroizing<Vec<u8>>], to: &mut impl Write) -> io::Result<bool> {
    let fields: Vec<&[u8]> = fields.iter().map(|field| field.as_slice()).collect();
    let done = match *fields.as_slice() {
        [LOOK, path] => look(&queue::path_of(path))
            .map(|look| vec![look.size.to_le_bytes().to_vec().into(), look.stamp.into()]),
        [READ, path, limit] => {
            let limit = limit.try_into().map(u64::from_le_bytes).unwrap_or_default();
            bounded::read(&queue::path_of(path), limit).map(|bytes| vec![bytes])
        }
        _ => return Ok(false),
    };
    match done {
        Ok(done) => {
            let done = done.iter().map(|field: &Zeroizing<Vec<u8>>| field.as_slice());
            codec::write(to, &std::iter::once(DONE).chain(done).collect::<Vec<_>>())?;
        }
        Err(error) => {
            let (word, text) = match (error.raw_os_error(), error.kind()) {
                (Some(number), _) => (ERRNO, number.to_string()),
                (None, io::ErrorKind::FileTooLarge) => (LARGE, error.to_string()),
                (None, _) => (WRONG, error.to_string()),
            };
            codec::write(to, &[word, text.as_bytes()])?;
        }
    }
    to.flush()?;
    Ok(true)
}
