//! Searches for plaintexts while all tests run, and afterwards.
//!
//! Every plaintext of the tests contains a marker that is nowhere else. Each test searches its own
//! container or workspace when it ends. This file searches what outlives the tests, and what is
//! only visible while they run.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use xtask::canary::{Seen, Watch, changed, holds, marker};
use xtask::workspace::{self, Result};
use xtask::{aloud, system};

/// Time between two searches of all processes, each of which takes a few milliseconds.
const PAUSE: Duration = Duration::from_millis(50);

/// A running search.
pub(crate) struct Search {
    /// Searches processes.
    watch: Watch,
    /// When it began.
    since: SystemTime,
    /// Whether the log has a plaintext.
    is_logged: bool,
}

impl Search {
    pub(crate) fn start() -> Self {
        // The clock of a file system may be a little behind.
        let since = SystemTime::now() - Duration::from_secs(1);
        Self { watch: Watch::start(&[&marker()], PAUSE), since, is_logged: false }
    }

    /// Runs `command`, shows its output, and searches it, including panics of tests and of our
    /// programs.
    ///
    /// # Errors
    ///
    /// It failed, or could not be started.
    pub(crate) fn run(&mut self, mut command: Command) -> Result<()> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (answers, said) = (child.stdout.take(), child.stderr.take());
        let said = thread::spawn(|| show(said, &mut io::stderr()));
        self.is_logged |= show(answers, &mut io::stdout())?;
        self.is_logged |= said.join().map_err(|_| "what it said could not be shown")??;
        let status = child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("cargo test: {status}").into()) }
    }

    /// Searches everything that was created or changed since the start, and ends.
    ///
    /// # Errors
    ///
    /// A plaintext was found: names each place.
    pub(crate) fn end(self) -> Result<()> {
        let (looks, seen) = self.watch.end();
        let (count, files) = left(&places()?, self.since)?;
        let log = if self.is_logged { "the log\n" } else { "" };
        let report = report(&seen, &files) + log;
        aloud::say(&format!(
            "plaintexts in clear: looked at processes {looks} times, in {count} files and in the log"
        ));
        if report.is_empty() {
            return Ok(());
        }
        Err(format!("plaintexts were seen in clear:\n{}", report.trim_end()).into())
    }
}

/// Returns a line for each place where a plaintext was seen.
fn report(seen: &Seen, files: &[PathBuf]) -> String {
    let seen = seen.iter().map(|(what, place)| format!("{what} {place}\n"));
    seen.chain(files.iter().map(|path| format!("{}\n", path.display()))).collect()
}

/// Copies `log` to `shown` as it comes, and returns whether it contains a plaintext.
fn show(log: Option<impl Read>, shown: &mut impl Write) -> io::Result<bool> {
    let Some(mut log) = log else { return Ok(false) };
    let marker = marker();
    let (mut last, mut is_there) = (Vec::new(), false);
    let mut piece = [0; 4096];
    loop {
        let length = log.read(&mut piece)?;
        let read = piece.get(..length).unwrap_or_default();
        if read.is_empty() {
            return Ok(is_there);
        }
        shown.write_all(read)?;
        shown.flush()?;
        // The marker may come in two pieces.
        last.extend_from_slice(read);
        is_there |= holds(&last, &marker);
        last.drain(..last.len().saturating_sub(marker.len()));
    }
}

/// Returns how many files at `places` were created or changed after `since`, and which of them
/// contain a plaintext.
fn left(places: &[PathBuf], since: SystemTime) -> Result<(usize, Vec<PathBuf>)> {
    let target = workspace::target()?;
    let mut skipped = vec![target, workspace::root()?.join(".git")];
    // Its files were not written by the tests.
    skipped.extend(system::System::Trixie.root());
    Ok(changed(places, &skipped, since, &[&marker()]))
}

/// Returns the folders in which programs leave things behind: temporary files, core files, histories, logs.
fn places() -> Result<Vec<PathBuf>> {
    let mut places: Vec<PathBuf> =
        ["/var/tmp", "/dev/shm", "/run", "/var/log", "/var/crash", "/var/lib/systemd/coredump"]
            .map(PathBuf::from)
            .into();
    places.extend([env::temp_dir(), workspace::root()?, workspace::target()?.join("tmp")]);
    let home = PathBuf::from(env::var_os("HOME").unwrap_or_default());
    places.extend([".cache", ".config", ".local", ".vim", ".emacs.d"].map(|name| home.join(name)));
    // Only the files directly in the home directory: its folders may be large.
    let files = fs::read_dir(&home).into_iter().flatten().flatten().map(|entry| entry.path());
    places.extend(files.filter(|path| path.is_file()));
    // Where the machine puts core files, if that is a fixed directory.
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern")?;
    places.extend(
        Path::new(&pattern).parent().filter(|folder| folder.is_absolute()).map(Path::to_owned),
    );
    Ok(places)
}

#[cfg(test)]
mod tests {
    use xtask::canary::{fresh_marker, marked};

    use super::*;

    #[test]
    fn a_leftover_is_found() {
        let since = SystemTime::now() - Duration::from_secs(1);
        let folder = env::temp_dir().join(fresh_marker());
        fs::create_dir_all(folder.join("deep")).unwrap();
        let search = |since| left(std::slice::from_ref(&folder), since).unwrap();
        let leak = folder.join("deep/core");
        fs::write(folder.join("other"), "text").unwrap();
        assert_eq!(search(since), (1, vec![]));
        fs::write(&leak, marked(b"text")).unwrap();
        assert_eq!(search(since), (2, vec![leak.clone()]));
        // Even if the file's own time is older.
        let old = SystemTime::UNIX_EPOCH;
        fs::File::options().write(true).open(&leak).unwrap().set_modified(old).unwrap();
        assert_eq!(search(since).1, [&*leak]);
        let later = SystemTime::now() + Duration::from_secs(10);
        assert_eq!(search(later), (0, vec![]));
        assert!(report(&Seen::new(), &[leak]).ends_with("deep/core\n"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_logged_text_is_found_and_shown() {
        let text = marked(b"text");
        for before in [0, 4090, 5000] {
            for bytes in [text.clone(), b"text".to_vec()] {
                let (log, mut end) = io::pipe().unwrap();
                let all = [vec![b'.'; before], bytes.clone()].concat();
                let wanted = all.clone();
                let writer = std::thread::spawn(move || end.write_all(&all).unwrap());
                let mut shown = Vec::new();
                assert_eq!(show(Some(log), &mut shown).unwrap(), bytes == text);
                assert_eq!(shown, wanted);
                writer.join().unwrap();
            }
        }
    }
}
