//! jobs at paths of their own → what has become of each, after a few seconds at the most.
//!
//! What belongs to root on a file system of this kernel is done by this process. All else is left to children, one for
//! each owner and all at once: a file system of a network or of a program may never answer, and an owner has more than one
//! way to make root wait. A process that waits for such an answer cannot be ended, not even by SIGKILL, before it comes;
//! with a thread that does, this process could not end either (fs/fuse/dev.c, `request_wait_answer`). So a child that is
//! late is killed and left behind. It holds no lock, and it has nothing of any other owner.
//!
//! A child is this same program, started again as `vaultix-decrypt path-jobs`. Jobs go to its standard input, plaintexts
//! among them, and nothing to its arguments or its environment; what has become of them comes back from its standard
//! output.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use vaultix_generator::status::Status;
use zeroize::Zeroizing;

use super::walk::{Obstacle, Reach};
use super::{Job, Outcome, OwnDirectories, PathContent, Task, codec};
use crate::bounded::MAX_CIPHERTEXT;
use crate::failure::Failure;
use crate::owner::Ownership;
use crate::plaintext::Plaintext;

/// The verb of a child.
pub const VERB: &str = "path-jobs";
/// How long all children together may take.
pub const LIMIT: Duration = Duration::from_secs(5);
/// This program, whatever has become of its file.
const PROGRAM: &str = "/proc/self/exe";
/// Longest reason in it, in bytes.
const MAX_REASON: usize = 4 << 10;
/// Longest answer of a child, in bytes for each field.
const MAX_ANSWER: u64 = 64 << 10;

/// What has become of a job.
pub type JobResult = Result<Outcome, Failure>;

/// Whose queue a job is in.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Queue {
    /// That of an owner.
    Owner(u32),
    /// What is to go from this directory: whose it was, nobody knows.
    Directory(PathBuf),
}

/// Does `jobs`, and returns what has become of each, in their order. Takes [`LIMIT`] at the most, besides what the file
/// systems of this kernel take.
///
/// Of one owner the jobs are done in their order; no order is kept between owners.
#[must_use]
pub fn run(jobs: Vec<Job>, ours: &OwnDirectories) -> Vec<JobResult> {
    run_as(Path::new(PROGRAM), jobs, ours)
}

/// Does it, with another program for the children.
#[doc(hidden)]
#[must_use]
pub fn run_as(program: &Path, jobs: Vec<Job>, ours: &OwnDirectories) -> Vec<JobResult> {
    let asked: Vec<HandedOver> = jobs.iter().map(HandedOver::from_job).collect();
    let mut done: BTreeMap<usize, JobResult> = BTreeMap::new();
    let mut queues: BTreeMap<Queue, Vec<(usize, Job)>> = BTreeMap::new();
    for (at, job) in jobs.into_iter().enumerate() {
        match job.perform(ours, Reach::RootOnly) {
            Err(Obstacle::OutOfReach) => queues.entry(job.queue()).or_default().push((at, job)),
            result => drop(done.insert(at, result.map_err(Failure::from))),
        }
    }
    if !queues.is_empty() {
        let members: Vec<Vec<usize>> =
            queues.values().map(|queue| queue.iter().map(|(at, _)| *at).collect()).collect();
        let why = run_children(program, queues, ours, &mut done);
        for (members, why) in members.iter().zip(why) {
            explain(members, &asked, &why, &mut done);
        }
    }
    done.into_values().collect()
}

/// What is remembered of a job that is handed over.
struct HandedOver {
    /// Its path.
    path: PathBuf,
    /// What is to be removed; `None` where something is put.
    removal: Option<PathContent>,
}

impl HandedOver {
    /// Returns what is remembered of `job`.
    fn from_job(job: &Job) -> Self {
        let removal =
            if let Task::Remove(content) = &job.task { Some(content.clone()) } else { None };
        Self { path: job.path.clone(), removal }
    }

    /// Returns what becomes of it where what it is on did not answer.
    fn unanswered(&self, reason: &str) -> JobResult {
        let failure = Failure::path(Status::CantCreat, "reach", &self.path, reason);
        match self.removal {
            None => Err(failure),
            Some(PathContent::Link(_)) => Ok(Outcome::Abandoned(failure.reason)),
            Some(PathContent::File(_)) => Ok(Outcome::Remains(failure.reason)),
        }
    }
}

impl Job {
    /// Returns whose queue it is in.
    fn queue(&self) -> Queue {
        match &self.task {
            Task::Link { owner, .. } => Queue::Owner(*owner),
            Task::File { ownership, .. } => Queue::Owner(ownership.uid),
            Task::Remove(_) => {
                Queue::Directory(self.path.parent().unwrap_or(Path::new("/")).to_owned())
            }
        }
    }
}

/// Why a queue did not come to its end.
enum Incomplete {
    /// Its child did not answer in time.
    Late,
    /// Its child could not be started, or ended early.
    Ended(String),
}

/// Has each of `queues` done by a child, until all have ended or the time is up; returns why each did not come to its end,
/// if it did not.
fn run_children(
    program: &Path,
    queues: BTreeMap<Queue, Vec<(usize, Job)>>,
    ours: &OwnDirectories,
    done: &mut BTreeMap<usize, JobResult>,
) -> Vec<Incomplete> {
    let until = Instant::now() + LIMIT;
    let (sender, answers) = mpsc::channel();
    let mut children = Vec::new();
    for queue in queues.into_values() {
        let child = start(program, queue, ours.clone(), sender.clone());
        children
            .push(child.map_err(|error| format!("cannot start {}: {error}", program.display())));
    }
    drop(sender);
    let mut is_over = false;
    loop {
        match answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok((at, answer)) => drop(done.insert(at, answer)),
            Err(mpsc::RecvTimeoutError::Disconnected) => break is_over = true,
            Err(mpsc::RecvTimeoutError::Timeout) => break,
        }
    }
    let why = |child| match child {
        Err(error) => Incomplete::Ended(error),
        Ok(child) => end(child, is_over),
    };
    children.into_iter().map(why).collect()
}

/// Ends `child`, which has nothing to do any more if all `is_over`; returns why it has not done what is not done.
fn end(mut child: Child, is_over: bool) -> Incomplete {
    let ended = if is_over { child.wait().map(Some) } else { child.try_wait() };
    match ended {
        Ok(Some(status)) => {
            Incomplete::Ended(format!("the process that was to do it ended: {status}"))
        }
        Err(error) => Incomplete::Ended(error.to_string()),
        Ok(None) => {
            // Not waited for: while it waits for an answer itself, it does not even hear of this.
            let _ = child.kill();
            Incomplete::Late
        }
    }
}

/// Starts a child, and a thread that hands it `queue` and what it answers to `answers`.
fn start(
    program: &Path,
    queue: Vec<(usize, Job)>,
    ours: OwnDirectories,
    answers: Sender<(usize, JobResult)>,
) -> io::Result<Child> {
    let mut child = Command::new(program)
        .arg(VERB)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    thread::Builder::new().spawn(move || {
        let Some((mut stdin, mut stdout)) = stdin.zip(stdout) else { return };
        let numbers: Vec<usize> = queue.iter().map(|(at, _)| *at).collect();
        // What it does not take is not answered.
        let _ = send_queue(&mut stdin, &queue, &ours);
        drop((stdin, queue)); // Wipes the plaintexts, however long the answer takes.
        for at in numbers {
            let Ok(Some(answer)) = codec::read(&mut stdout, MAX_ANSWER) else { return };
            // Nobody hears it who has stopped waiting.
            let _ = answers.send((at, decode(&answer)));
        }
    })?;
    Ok(child)
}

/// Writes a whole queue.
fn send_queue(
    to: &mut impl Write,
    queue: &[(usize, Job)],
    ours: &OwnDirectories,
) -> io::Result<()> {
    let ours: Vec<&[u8]> = ours.0.iter().map(|path| path.as_os_str().as_bytes()).collect();
    codec::write(to, &ours)?;
    queue.iter().try_for_each(|(_, job)| job.write(to))
}

/// Says why the jobs `members` of one queue were not done, those that were not.
fn explain(
    members: &[usize],
    asked: &[HandedOver],
    why: &Incomplete,
    done: &mut BTreeMap<usize, JobResult>,
) {
    let mut first: Option<&Path> = None;
    let limit = LIMIT.as_secs();
    for &at in members {
        let (false, Some(job)) = (done.contains_key(&at), asked.get(at)) else { continue };
        let answer = match (why, first) {
            (Incomplete::Ended(reason), _) => job.unanswered(reason),
            (Incomplete::Late, None) => job.unanswered(&format!(
                "its file system did not answer within {limit} s; see which one that is: findmnt --list"
            )),
            (Incomplete::Late, Some(first)) => job.unanswered(&format!(
                "it was not tried within {limit} s, since {}, of the same owner, did not answer",
                first.display()
            )),
        };
        first = first.or(Some(&job.path));
        done.insert(at, answer);
    }
}

/// Does what a child does: reads a queue from standard input, and writes what becomes of each job to standard output.
///
/// # Errors
///
/// The queue is not whole, or nobody wants to know.
pub fn serve(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let ours = codec::read(&mut from, MAX_ANSWER)?.unwrap_or_default();
    let ours = OwnDirectories(ours.iter().map(|path| path_of(path)).collect());
    let mut jobs = Vec::new();
    // All of it before anything that one might wait for: who hands it over does not wait.
    while let Some(fields) = codec::read(&mut from, MAX_CIPHERTEXT)? {
        jobs.push(Job::read(&fields).ok_or(io::ErrorKind::InvalidData)?);
    }
    for job in jobs {
        let done = job.perform(&ours, Reach::Everywhere).map_err(Failure::from);
        drop(job);
        let (word, reason) = encode(&done);
        codec::write(&mut to, &[word, reason])?;
        to.flush()?;
    }
    Ok(())
}

/// Returns the word for what has become of a job, and the reason that goes with it.
fn encode(done: &JobResult) -> (&[u8], &[u8]) {
    match done {
        Ok(Outcome::Done) => (b"done", b""),
        Ok(Outcome::NeedsPlaintext) => (b"plaintext", b""),
        Ok(Outcome::Abandoned(reason)) => (b"abandoned", short(reason)),
        Ok(Outcome::Remains(reason)) => (b"remains", short(reason)),
        Err(failure) => (b"failed", short(&failure.reason)),
    }
}

/// Returns as much of `reason` as is read: it names paths, which an owner can make as long as they like.
fn short(reason: &str) -> &[u8] {
    let end = (0..=reason.len().min(MAX_REASON)).rev().find(|at| reason.is_char_boundary(*at));
    reason.as_bytes().get(..end.unwrap_or(0)).unwrap_or_default()
}

/// Reads it again.
fn decode(answer: &[Zeroizing<Vec<u8>>]) -> JobResult {
    let mut fields = answer.iter().map(|field| field.as_slice());
    let word = fields.next().unwrap_or_default();
    let reason = String::from_utf8_lossy(fields.next().unwrap_or_default()).into_owned();
    match word {
        b"done" => Ok(Outcome::Done),
        b"plaintext" => Ok(Outcome::NeedsPlaintext),
        b"abandoned" => Ok(Outcome::Abandoned(reason)),
        b"remains" => Ok(Outcome::Remains(reason)),
        _ => Err(Failure::new(Status::CantCreat, reason)),
    }
}

impl PathContent {
    /// Returns the word for what kind of thing it is, and its bytes.
    fn fields(content: Option<&Self>) -> (&[u8], &[u8]) {
        match content {
            None => (b"", b""),
            Some(Self::Link(target)) => (b"link", target.as_os_str().as_bytes()),
            Some(Self::File(digest)) => (b"file", digest),
        }
    }

    /// Reads them again.
    fn read(word: &[u8], bytes: &[u8]) -> Option<Self> {
        match word {
            b"link" => Some(Self::Link(path_of(bytes))),
            b"file" => Some(Self::File(bytes.try_into().ok()?)),
            _ => None,
        }
    }
}

impl Job {
    /// Writes it.
    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let path = self.path.as_os_str().as_bytes();
        match &self.task {
            Task::Link { owner, target, before } => {
                let (word, bytes) = PathContent::fields(before.as_ref());
                let (owner, target) = (owner.to_le_bytes(), target.as_os_str().as_bytes());
                codec::write(to, &[b"link", path, &owner, target, word, bytes])
            }
            Task::File { ownership, allow_disk, digest, plaintext, before } => {
                let (word, bytes) = PathContent::fields(before.as_ref());
                let Ownership { uid, gid, mode } = ownership;
                let numbers = [uid, gid, mode].map(|number| number.to_le_bytes());
                let [uid, gid, mode] = &numbers;
                let disk: &[u8] = if *allow_disk { b"disk" } else { b"memory" };
                let known: &[u8] = if plaintext.is_some() { b"known" } else { b"" };
                let plaintext = plaintext.as_ref().map_or(&b""[..], Plaintext::expose);
                codec::write(
                    to,
                    &[b"file", path, uid, gid, mode, disk, digest, word, bytes, known, plaintext],
                )
            }
            Task::Remove(content) => {
                let (word, bytes) = PathContent::fields(Some(content));
                codec::write(to, &[b"remove", path, word, bytes])
            }
        }
    }

    /// Reads it again, `None` if it is none.
    fn read(fields: &[Zeroizing<Vec<u8>>]) -> Option<Self> {
        let fields: Vec<&[u8]> = fields.iter().map(|field| field.as_slice()).collect();
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u32::from_le_bytes);
        let (path, task) = match *fields.as_slice() {
            [b"link", path, owner, target, word, bytes] => {
                let (owner, before) = (number(owner)?, PathContent::read(word, bytes));
                (path, Task::Link { owner, target: path_of(target), before })
            }
            [b"file", path, uid, gid, mode, disk, digest, word, bytes, known, plaintext] => {
                let ownership =
                    Ownership { uid: number(uid)?, gid: number(gid)?, mode: number(mode)? };
                let plaintext = (known == b"known").then(|| Plaintext::new(plaintext.to_vec()));
                let (allow_disk, digest) = (disk == b"disk", digest.try_into().ok()?);
                let before = PathContent::read(word, bytes);
                (path, Task::File { ownership, allow_disk, digest, plaintext, before })
            }
            [b"remove", path, word, bytes] => (path, Task::Remove(PathContent::read(word, bytes)?)),
            _ => return None,
        };
        Some(Self { path: path_of(path), task })
    }
}

/// Returns these bytes as a path.
fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}
