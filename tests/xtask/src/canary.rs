//! a text that is only in secrets → every other place where it is found.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How much of a file is searched at once, in bytes.
const PIECE: u64 = 1 << 20;

/// Returns the text that is in every plaintext of the tests of this checkout.
///
/// It is computed, so that no source and no program contains it, and it need not be in an argument.
#[must_use]
pub fn marker() -> String {
    let mut hasher = DefaultHasher::new();
    env!("CARGO_MANIFEST_DIR").hash(&mut hasher);
    // A letter first: to some formats, what begins with a digit is something else.
    format!("c{:015x}", hasher.finish() >> 4)
}

/// Returns a text that has never been in a file or process of this machine.
#[must_use]
pub fn fresh_marker() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("canary-{}-{}", process::id(), now.as_nanos())
}

/// Adds the marker to `plaintext`, after leading white space, which may be trimmed. An empty text
/// stays empty.
#[must_use]
pub fn marked(plaintext: &[u8]) -> Vec<u8> {
    if plaintext.is_empty() {
        return Vec::new();
    }
    let space = plaintext.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let (before, after) = plaintext.split_at(space);
    [before, marker().as_bytes(), after].concat()
}

/// Removes all markers that [`marked`] has added to `bytes`.
#[must_use]
pub fn plain(bytes: &[u8]) -> Vec<u8> {
    let marker = marker();
    let mut rest = bytes;
    let mut plain = Vec::with_capacity(bytes.len());
    while let Some(at) = position(rest, marker.as_bytes()) {
        let (before, after) = rest.split_at(at);
        plain.extend_from_slice(before);
        rest = after.get(marker.len()..).unwrap_or_default();
    }
    plain.extend_from_slice(rest);
    plain
}

/// The processes in which a text was seen: which part of which program, and where it ran.
pub type Seen = BTreeMap<String, String>;

/// Keeps looking at the arguments and the environment of all processes, including those in
/// containers.
pub struct Watch {
    /// Ends it.
    over: Arc<AtomicBool>,
    /// Returns how many processes it has looked at, and those that had a text.
    thread: JoinHandle<(usize, Seen)>,
}

impl Watch {
    /// Starts to look for `texts`, with a `pause` after each look at all processes.
    #[must_use]
    pub fn start(texts: &[&str], pause: Duration) -> Self {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        let over = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let (mut looks, mut seen) = (0, Seen::new());
            while !end.load(Ordering::Relaxed) {
                looks += processes(&texts, &mut seen);
                thread::sleep(pause);
            }
            (looks, seen)
        });
        Self { over, thread }
    }

    /// Ends it. Returns how many processes it has looked at, and what it has found.
    #[must_use]
    pub fn end(self) -> (usize, Seen) {
        self.over.store(true, Ordering::Relaxed);
        // It does not panic; if it did, the count of processes would be zero.
        self.thread.join().unwrap_or_default()
    }
}

/// Adds the processes that have one of `texts`, and returns how many processes there are.
fn processes(texts: &[String], seen: &mut Seen) -> usize {
    let mut count = 0;
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if !entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        count += 1;
        for part in ["cmdline", "environ"] {
            // The process may have ended.
            let bytes = fs::read(entry.path().join(part)).unwrap_or_default();
            if texts.iter().any(|text| holds(&bytes, text)) {
                let read = |name| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
                let folder = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
                let group = read("cgroup");
                let unit = group.lines().last().unwrap_or_default();
                let place = format!("in {}, {unit}", folder.display());
                seen.insert(format!("{part} of {}", read("comm").trim()), place);
            }
        }
    }
    count
}

/// Returns the files below `root` that contain one of `texts`, or have it in their name. Does not
/// follow links.
#[must_use]
pub fn files(root: &Path, texts: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(root, &mut |path, _| {
        found.extend(has(path, texts).then(|| path.to_owned()));
        true
    });
    found
}

/// Returns how many files below `roots` were created or changed after `since`, and which of them
/// contain one of `texts`. Leaves out everything below `skipped`.
#[must_use]
pub fn changed(
    roots: &[PathBuf],
    skipped: &[PathBuf],
    since: SystemTime,
    texts: &[&str],
) -> (usize, Vec<PathBuf>) {
    let (mut count, mut found) = (0, Vec::new());
    for root in roots {
        walk(root, &mut |path, metadata| {
            if skipped.iter().any(|skipped| path == skipped) {
                return false;
            }
            // The ctime: unlike other times, a program cannot set it.
            if metadata.is_file() && change(metadata) >= since {
                count += 1;
                found.extend(has(path, texts).then(|| path.to_owned()));
            }
            true
        });
    }
    (count, found)
}

/// Returns when a file was last changed in any way.
fn change(metadata: &Metadata) -> SystemTime {
    use std::os::unix::fs::MetadataExt as _;
    let seconds = u64::try_from(metadata.ctime()).unwrap_or_default();
    let part = u32::try_from(metadata.ctime_nsec()).unwrap_or_default();
    UNIX_EPOCH + Duration::new(seconds, part)
}

/// Calls `visit` with everything at and below `root`, without following links. `visit` returns
/// whether to descend into a folder.
fn walk(root: &Path, visit: &mut dyn FnMut(&Path, &Metadata) -> bool) {
    let mut todo = vec![root.to_owned()];
    while let Some(path) = todo.pop() {
        let Ok(metadata) = path.symlink_metadata() else {
            continue; // It has been removed.
        };
        if visit(&path, &metadata) && metadata.is_dir() {
            let below = fs::read_dir(&path).into_iter().flatten().flatten();
            todo.extend(below.map(|entry| entry.path()));
        }
    }
}

/// Returns whether one of `texts` is in the name of `path`, or in its content if it is a file.
fn has(path: &Path, texts: &[&str]) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    if texts.iter().any(|text| holds(name, text)) {
        return true;
    }
    // Opening a pipe would wait for its other end.
    if !path.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
        return false;
    }
    let Ok(mut file) = File::open(path) else { return false };
    let longest = texts.iter().map(|text| text.len()).max().unwrap_or_default();
    let mut bytes = Vec::new();
    loop {
        let length = file.by_ref().take(PIECE).read_to_end(&mut bytes).unwrap_or_default();
        if texts.iter().any(|text| holds(&bytes, text)) {
            return true;
        }
        if length == 0 {
            return false;
        }
        // A text may be split over two pieces.
        let kept = bytes.len().saturating_sub(longest);
        bytes.drain(..kept);
    }
}

/// Returns whether `bytes` contain `text`.
#[must_use]
pub fn holds(bytes: &[u8], text: &str) -> bool {
    position(bytes, text.as_bytes()).is_some()
}

/// Returns where `text` is first found in `bytes`.
fn position(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|part| part == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_is_added_and_removed() {
        for text in ["", " ", "  text\n", "text"] {
            let marked = marked(text.as_bytes());
            assert_eq!(holds(&marked, &marker()), !text.is_empty(), "{text:?}");
            assert_eq!(plain(&marked), text.as_bytes());
            assert_eq!(
                plain(&[&marked[..], b"-", &marked].concat()),
                format!("{text}-{text}").as_bytes()
            );
        }
        assert!(marked(b" text").starts_with(b" "), "white space stays where it may be trimmed");
    }

    #[test]
    fn a_text_across_two_pieces_is_found() {
        let folder = std::env::temp_dir().join(fresh_marker());
        fs::create_dir_all(&folder).unwrap();
        let text = "found";
        for at in 0..8 {
            let before = usize::try_from(PIECE).unwrap() - at;
            fs::write(folder.join("file"), [&vec![b'f'; before][..], text.as_bytes()].concat())
                .unwrap();
            assert_eq!(files(&folder, &[text]), [folder.join("file")], "{at}");
            assert_eq!(files(&folder, &["other"]), [""; 0].map(PathBuf::from));
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
