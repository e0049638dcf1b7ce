//! jobs at custom paths → the result of each, after a few seconds at most.
//!
//! Paths of root on local file systems are handled by this process. All others are handled by children, one for
//! each owner and all at once: a network or FUSE file system may never respond, and an owner has several ways to make
//! root wait. A process that waits for such a response cannot be killed, not even by SIGKILL, until it comes;
//! if a thread waited, this process could not exit either (fs/fuse/dev.c, `request_wait_answer`). So a child that is
//! late is killed and left behind. It holds no lock, and it has no data of any other owner.
//!
//! A child is this same program, started as `vaultix-decrypt path-jobs`. It reads its jobs, including plaintexts, from
//! standard input, and nothing from its arguments or its environment; it writes the results to standard output.

use std::borrow::Cow;
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
use super::{Earlier, Job, Outcome, OwnDirectories, PathContent, Stamp, Task, codec, far};
use crate::bounded::MAX_CIPHERTEXT;
use crate::failure::Failure;
use crate::owner::Ownership;
use crate::plaintext::Plaintext;

/// The verb of a child.
pub const VERB: &str = "path-jobs";
/// How long all children together may take.
pub const LIMIT: Duration = Duration::from_secs(5);
/// This program, even if its file has been replaced.
pub(super) const PROGRAM: &str = "/proc/self/exe";
/// Longest reason in an answer, in bytes.
const MAX_REASON: usize = 4 << 10;
/// Longest field in a child's answer, in bytes.
const MAX_ANSWER: u64 = 64 << 10;

/// The result of a job.
pub type JobResult = Result<Outcome, Failure>;

/// The queue of a job: each is handled by one child.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Queue {
    /// Jobs of an owner.
    Owner(u32),
    /// Removals from this directory: the owner of what was put there is unknown.
    Directory(PathBuf),
}

/// Does `jobs`, and returns the results in the same order. Takes at most [`LIMIT`], not counting local file systems.
///
/// Jobs of one owner are done in order; there is no order between owners.
#[must_use]
pub fn run(jobs: Vec<Job>, ours: &OwnDirectories) -> Vec<JobResult> {
    run_as(Path::new(PROGRAM), jobs, ours)
}

/// As [`run`], with another program for the children.
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

/// What is remembered of a job that is sent to a child.
struct HandedOver {
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

    /// Returns its result if the child did not answer.
    fn unanswered(&self, reason: &str) -> JobResult {
        let failure = Failure::path(Status::CantCreat, "reach", &self.path, reason);
        match &self.removal {
            None => Err(failure),
            Some(content) if content.is_link() => Ok(Outcome::Abandoned(failure.reason)),
            Some(_) => Ok(Outcome::Remains(failure.reason)),
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

/// Runs a child for each of `queues`, until all have ended or the time is up; returns why each queue is incomplete, if it
/// is.
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

/// Ends `child`, which has nothing left to do if all `is_over`; returns why its queue is incomplete, if it is.
fn end(mut child: Child, is_over: bool) -> Incomplete {
    let ended = if is_over { child.wait().map(Some) } else { child.try_wait() };
    match ended {
        Ok(Some(status)) => {
            Incomplete::Ended(format!("the process that was to do it ended: {status}"))
        }
        Err(error) => Incomplete::Ended(error.to_string()),
        Ok(None) => {
            // Not waited for: while it waits for a file system, it cannot even be killed.
            let _ = child.kill();
            Incomplete::Late
        }
    }
}

/// Starts a child.
pub(super) fn child(program: &Path) -> io::Result<Child> {
    Command::new(program)
        .arg(VERB)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
}

/// Starts a child, and a thread that sends it `queue` and passes its answers to `answers`.
fn start(
    program: &Path,
    queue: Vec<(usize, Job)>,
    ours: OwnDirectories,
    answers: Sender<(usize, JobResult)>,
) -> io::Result<Child> {
    let mut child = child(program)?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    thread::Builder::new().spawn(move || {
        let Some((mut stdin, mut stdout)) = stdin.zip(stdout) else { return };
        let numbers: Vec<usize> = queue.iter().map(|(at, _)| *at).collect();
        // Jobs that it does not read stay unanswered.
        let _ = send_queue(&mut stdin, &queue, &ours);
        drop((stdin, queue)); // Wipes the plaintexts, however long the answer takes.
        for at in numbers {
            let Ok(Some(answer)) = codec::read(&mut stdout, MAX_ANSWER) else { return };
            // The receiver is closed once the time is up.
            let _ = answers.send((at, decode(&answer)));
        }
    })?;
    Ok(child)
}

fn send_queue(
    to: &mut impl Write,
    queue: &[(usize, Job)],
    ours: &OwnDirectories,
) -> io::Result<()> {
    let ours: Vec<&[u8]> = ours.0.iter().map(|path| path.as_os_str().as_bytes()).collect();
    codec::write(to, &ours)?;
    queue.iter().try_for_each(|(_, job)| job.write(to))
}

/// Explains why those jobs of `members`, a queue, that were not done were not done.
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
                "its file system did not answer within {limit} s; to find it: findmnt --list"
            )),
            (Incomplete::Late, Some(first)) => job.unanswered(&format!(
                "it was not tried within {limit} s, because {}, of the same owner, did not answer",
                first.display()
            )),
        };
        first = first.or(Some(&job.path));
        done.insert(at, answer);
    }
}

/// Runs as a child: reads a queue from standard input, and writes the result of each job to standard output.
///
/// # Errors
///
/// The queue is incomplete, or the parent process is gone.
pub fn serve(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let ours = codec::read(&mut from, MAX_ANSWER)?.unwrap_or_default();
    let ours = OwnDirectories(ours.iter().map(|path| path_of(path)).collect());
    let mut jobs = Vec::new();
    // All of it before anything that may block: the parent process must not block while it writes.
    while let Some(fields) = codec::read(&mut from, MAX_CIPHERTEXT)? {
        if !far::answer(&fields, &mut to)? {
            jobs.push(Job::read(&fields).ok_or(io::ErrorKind::InvalidData)?);
        }
    }
    for job in jobs {
        let done = job.perform(&ours, Reach::Everywhere).map_err(Failure::from);
        drop(job);
        let (word, text) = encode(&done);
        codec::write(&mut to, &[word, text.as_bytes()])?;
        to.flush()?;
    }
    Ok(())
}

/// Returns the word for the result of a job, and its reason or stamp.
fn encode(done: &JobResult) -> (&[u8], Cow<'_, str>) {
    match done {
        Ok(Outcome::Done) => (b"done", "".into()),
        Ok(Outcome::OnDisk(stamp)) => (b"disk", stamp.to_text().into()),
        Ok(Outcome::Absent) => (b"absent", "".into()),
        Ok(Outcome::NeedsPlaintext) => (b"plaintext", "".into()),
        Ok(Outcome::Abandoned(reason)) => (b"abandoned", short(reason).into()),
        Ok(Outcome::Remains(reason)) => (b"remains", short(reason).into()),
        Err(failure) => (b"failed", short(&failure.reason).into()),
    }
}

/// Shortens `reason` to what is read: it contains paths, which an owner can make as long as they like.
fn short(reason: &str) -> &str {
    let end = (0..=reason.len().min(MAX_REASON)).rev().find(|at| reason.is_char_boundary(*at));
    reason.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// Reads the result of a job.
fn decode(answer: &[Zeroizing<Vec<u8>>]) -> JobResult {
    let mut fields = answer.iter().map(|field| field.as_slice());
    let word = fields.next().unwrap_or_default();
    let reason = String::from_utf8_lossy(fields.next().unwrap_or_default()).into_owned();
    match word {
        b"done" => Ok(Outcome::Done),
        b"disk" => Ok(Stamp::parse(&reason).map_or(Outcome::Done, Outcome::OnDisk)),
        b"absent" => Ok(Outcome::Absent),
        b"plaintext" => Ok(Outcome::NeedsPlaintext),
        b"abandoned" => Ok(Outcome::Abandoned(reason)),
        b"remains" => Ok(Outcome::Remains(reason)),
        _ => Err(Failure::new(Status::CantCreat, reason)),
    }
}

impl PathContent {
    /// Returns the word for what kind of thing it is, and its bytes.
    fn fields(&self) -> (&'static [u8], Vec<u8>) {
        match self {
            Self::Link(target) => (b"link", target.as_os_str().as_bytes().to_vec()),
            Self::File(digest) => (b"file", digest.to_vec()),
            Self::Earlier(Earlier { target, stamp }) => {
                let mut bytes = stamp.to_text().into_bytes();
                if let Some(target) = target {
                    bytes.push(0);
                    bytes.extend_from_slice(target.as_os_str().as_bytes());
                }
                (b"earlier", bytes)
            }
        }
    }

    /// Reads it from these fields.
    fn read(word: &[u8], bytes: &[u8]) -> Option<Self> {
        match word {
            b"link" => Some(Self::Link(path_of(bytes))),
            b"file" => Some(Self::File(bytes.try_into().ok()?)),
            b"earlier" => {
                let mut fields = bytes.splitn(2, |byte| *byte == 0);
                let stamp = Stamp::parse(str::from_utf8(fields.next()?).ok()?)?;
                Some(Self::Earlier(Earlier { target: fields.next().map(path_of), stamp }))
            }
            _ => None,
        }
    }

    /// Reads all of them from pairs of fields.
    fn read_all(fields: &[&[u8]]) -> Option<Vec<Self>> {
        let read = |pair: &[&[u8]]| match *pair {
            [word, bytes] => Self::read(word, bytes),
            _ => None,
        };
        fields.chunks(2).map(read).collect()
    }
}

/// Writes a job with these `fields`, and what was there `before` it.
fn write_with(to: &mut impl Write, fields: &[&[u8]], before: &[PathContent]) -> io::Result<()> {
    let before: Vec<_> = before.iter().map(PathContent::fields).collect();
    let mut all = fields.to_vec();
    all.extend(before.iter().flat_map(|(word, bytes)| [*word, bytes.as_slice()]));
    codec::write(to, &all)
}

impl Job {
    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let path = self.path.as_os_str().as_bytes();
        match &self.task {
            Task::Link { owner, target, before } => {
                let (owner, target) = (owner.to_le_bytes(), target.as_os_str().as_bytes());
                write_with(to, &[b"link", path, &owner, target], before)
            }
            Task::File { ownership, allow_disk, digest, plaintext, before } => {
                let Ownership { uid, gid, mode } = ownership;
                let numbers = [uid, gid, mode].map(|number| number.to_le_bytes());
                let [uid, gid, mode] = &numbers;
                let disk: &[u8] = if *allow_disk { b"disk" } else { b"memory" };
                let known: &[u8] = if plaintext.is_some() { b"known" } else { b"" };
                let plaintext = plaintext.as_ref().map_or(&b""[..], Plaintext::expose);
                let fields: [&[u8]; 9] =
                    [b"file", path, uid, gid, mode, disk, digest, known, plaintext];
                write_with(to, &fields, before)
            }
            Task::Remove(content) => {
                write_with(to, &[b"remove", path], std::slice::from_ref(content))
            }
        }
    }

    /// Reads it from these fields, `None` if they are not a job.
    fn read(fields: &[Zeroizing<Vec<u8>>]) -> Option<Self> {
        let fields: Vec<&[u8]> = fields.iter().map(|field| field.as_slice()).collect();
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u32::from_le_bytes);
        let (path, task) = match *fields.as_slice() {
            [b"link", path, owner, target, ref before @ ..] => {
                let (owner, before) = (number(owner)?, PathContent::read_all(before)?);
                (path, Task::Link { owner, target: path_of(target), before })
            }
            [b"file", path, uid, gid, mode, disk, digest, known, plaintext, ref before @ ..] => {
                let ownership =
                    Ownership { uid: number(uid)?, gid: number(gid)?, mode: number(mode)? };
                let plaintext = (known == b"known").then(|| Plaintext::new(plaintext.to_vec()));
                let (allow_disk, digest) = (disk == b"disk", digest.try_into().ok()?);
                let before = PathContent::read_all(before)?;
                (path, Task::File { ownership, allow_disk, digest, plaintext, before })
            }
            [b"remove", path, word, bytes] => (path, Task::Remove(PathContent::read(word, bytes)?)),
            _ => return None,
        };
        Some(Self { path: path_of(path), task })
    }
}

/// Returns these bytes as a path.
pub(super) fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}
