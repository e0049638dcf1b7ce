//! a text that stands in secrets alone → every place where it is found in clear.
//!
//! Both test binaries include this file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

/// Returns a text that no file and no process of this machine has had before.
pub fn marker() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("canary-{}-{}", std::process::id(), now.as_nanos())
}

/// Looks at the arguments and the environment of all processes, containers' included, over and over.
pub struct Watch {
    /// Ends it.
    over: Arc<AtomicBool>,
    /// Returns how often it has looked, and the processes that had a text.
    thread: JoinHandle<(usize, BTreeSet<String>)>,
}

impl Watch {
    /// Starts to look for `texts`.
    pub fn start(texts: &[&str]) -> Self {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        let over = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let (mut looks, mut found) = (0, BTreeSet::new());
            while !end.load(Ordering::Relaxed) {
                processes(&texts, &mut found);
                looks += 1;
            }
            (looks, found)
        });
        Self { over, thread }
    }

    /// Ends it and returns how often it has looked, and what it has found.
    pub fn end(self) -> (usize, BTreeSet<String>) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Adds the processes that have one of `texts` now.
fn processes(texts: &[String], found: &mut BTreeSet<String>) {
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        // A name that is no number has none of these files; a process may be gone by now.
        for part in ["cmdline", "environ"] {
            let bytes = fs::read(entry.path().join(part)).unwrap_or_default();
            if texts.iter().any(|text| holds(&bytes, text)) {
                let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                found.insert(format!("{part} of {}", name.trim()));
            }
        }
    }
}

/// Returns the files below `root` that hold one of `texts`, links not followed.
pub fn files(root: &Path, texts: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(path) = todo.pop() {
        let Ok(metadata) = path.symlink_metadata() else {
            continue; // Gone by now.
        };
        if metadata.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().flatten().map(|entry| entry.path()));
        } else if metadata.is_file() {
            let bytes = fs::read(&path).unwrap_or_default();
            found.extend(texts.iter().any(|text| holds(&bytes, text)).then_some(path));
        }
    }
    found
}

/// Returns whether `text` stands in `bytes`.
pub fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}
