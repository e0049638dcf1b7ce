//! a step and a fault → the helper's exit status.

use std::fs;
use std::io::PipeWriter;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::memory::memories;
use super::story::Step;
use crate::prefix::prefix;

/// What a run meets.
#[derive(Clone, Copy, Debug)]
pub enum Fault<'a> {
    /// Nothing.
    None,
    /// systemd cannot be reached.
    Deaf,
    /// Its memory is searched when it would end, and it is killed.
    Memory,
    /// Its system calls go to the file `trace`.
    Trace,
    /// What strace injects, such as `openat:error=EIO:when=3`.
    Inject(&'a str),
}

/// How long the helper may take with a fault, in seconds.
const PATIENCE: i64 = 20;

/// Options of all straces. What the programs do that the helper runs is not ours.
const STRACE: [&str; 4] = ["-f", "-qq", "-b", "execve"];

/// The helper, in the mount namespace of the thread that runs it.
pub struct Helper<'a> {
    /// The place.
    pub work: &'a Path,
    /// Takes all that is said.
    pub said: PipeWriter,
}

impl Helper<'_> {
    /// Runs all `steps` up to the first that fails, and returns its exit status, or 0.
    pub fn all(&self, steps: &[Step]) -> i32 {
        let run = |step: &Step| status(self.command(&[], *step).status().unwrap());
        steps.iter().map(run).find(|status| *status != 0).unwrap_or(0)
    }

    /// Runs `step` with `fault`. Returns its exit status, 124 if it had to be killed; and what was found in its memory.
    pub fn under(&self, step: Step, fault: Fault) -> (i32, Vec<&'static str>) {
        let status = match fault {
            Fault::None => self.all(&[step]),
            Fault::Deaf => {
                let deaf = self.work.join("deaf");
                fs::write(&deaf, "").unwrap();
                let status = self.all(&[step]);
                fs::remove_file(deaf).unwrap();
                status
            }
            // Without what arguments point to: that could be plaintexts, and takes time, in which a boot looks for results.
            Fault::Trace => {
                let trace = self.work.join("trace");
                let options = ["-e", "raw=all", "-o", trace.to_str().unwrap()];
                status(self.command(&options, step).status().unwrap())
            }
            Fault::Memory => return (0, self.memory(step)),
            Fault::Inject(fault) => {
                let name = fault.split(':').next().unwrap();
                let (trace, inject) = (format!("trace={name}"), format!("inject={fault}"));
                let options = ["-o", "/dev/null", "-e", &trace, "-e", &inject];
                patient(self.command(&options, step).process_group(0).spawn().unwrap())
            }
        };
        (status, Vec::new())
    }

    /// Runs `step` until it would end, and returns what its memory holds that it should not remember; and, to see that all of it
    /// is searched, its arguments.
    fn memory(&self, step: Step) -> Vec<&'static str> {
        let delay = "inject=exit_group:delay_enter=20s";
        let options = ["-o", "/dev/null", "-e", "trace=exit_group", "-e", delay];
        let mut tracer = self.command(&options, step).spawn().unwrap();
        let number = if cfg!(target_arch = "x86_64") { "231" } else { "94" };
        let helper = loop {
            let ended = tracer.try_wait().unwrap();
            assert!(ended.is_none(), "it has ended in some other way: {ended:?}");
            let child = children(tracer.id()).into_iter().find(|child| {
                let call = fs::read_to_string(format!("/proc/{child}/syscall"));
                call.is_ok_and(|call| call.split(' ').next() == Some(number))
            });
            if let Some(child) = child {
                break child;
            }
            // Nothing tells when a process that another one traces stops.
            thread::sleep(Duration::from_millis(20));
        };
        let bytes = memory(helper);
        let found = memories(self.work)
            .into_iter()
            .filter(|(_, text)| bytes.windows(text.len()).any(|part| part == text));
        let found = found.map(|(name, _)| name).collect();
        let helper = Pid::from_raw(helper.try_into().unwrap()).unwrap();
        rustix::process::kill_process(helper, Signal::KILL).unwrap();
        tracer.kill().unwrap();
        tracer.wait().unwrap();
        found
    }

    /// Returns the command for `step`, under strace if there are `options` for it.
    fn command(&self, options: &[&str], step: Step) -> Command {
        let program = prefix().join("bin/vaultix-decrypt");
        let mut command = if options.is_empty() {
            Command::new(program)
        } else {
            let mut strace = Command::new("strace");
            strace.args(STRACE).args(options).arg(program);
            strace
        };
        command.args(step.arguments(self.work)).stdin(Stdio::null());
        command.stdout(self.said.try_clone().unwrap()).stderr(self.said.try_clone().unwrap());
        command
    }
}

/// Returns the exit status as a shell does: 128 and the signal's number for what was killed.
fn status(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
}

/// Waits for `child`, which leads a process group; kills all of it, and returns 124, if that takes too long.
fn patient(mut child: Child) -> i32 {
    let pid = Pid::from_child(&child);
    let over = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let limit = Timespec { tv_sec: PATIENCE, tv_nsec: 0 };
    let mut fds = [PollFd::new(&over, PollFlags::IN)];
    if retry_on_intr(|| poll(&mut fds, Some(&limit))).unwrap() > 0 {
        return status(child.wait().unwrap());
    }
    kill_process_group(pid, Signal::KILL).unwrap();
    child.wait().unwrap();
    124
}

/// Returns the children of a process.
fn children(parent: u32) -> Vec<u32> {
    let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        entry.unwrap().file_name().to_str().and_then(|name| name.parse::<u32>().ok())
    });
    let is_child = |child: &u32| {
        // It may have ended.
        let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
        status.lines().any(|line| line == format!("PPid:\t{parent}"))
    };
    numbers.filter(is_child).collect()
}

/// Returns all that the process could write to.
fn memory(pid: u32) -> Vec<u8> {
    let file = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut bytes = Vec::new();
    for line in fs::read_to_string(format!("/proc/{pid}/maps")).unwrap().lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|it| u64::from_str_radix(it, 16).unwrap());
        let mut part = vec![0; (to - from).try_into().unwrap()];
        file.read_exact_at(&mut part, from).unwrap();
        bytes.append(&mut part);
    }
    bytes
}
