//! a directory that only the user may enter → a RAM disk in it, on macOS; removed when dropped.
//!
//! The steps are those of pass(1), in `src/platform/darwin.sh`. Its memory can be swapped; macOS
//! encrypts what it swaps.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::system::memory::Directory;
use crate::system::program;
use crate::system::undo::Undo;

/// The name of the mount point in that directory.
pub(super) const NAME: &str = "disk";

/// How large it is, in sectors of 512 bytes (256 MiB): the largest text and
/// the copies of an editor. Memory is only taken for what is written.
const SECTORS: u32 = 524_288;

/// How long a tool may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Most that a tool prints, in bytes (64 KiB).
const MAX_OUTPUT: u64 = 64 << 10;

/// The system's own tools, by path: another one of that name could keep the plaintext.
pub(super) struct Tools {
    pub hdiutil: &'static str,
    pub newfs_hfs: &'static str,
    pub mount: &'static str,
}

pub(super) const TOOLS: Tools =
    Tools { hdiutil: "/usr/bin/hdiutil", newfs_hfs: "/sbin/newfs_hfs", mount: "/sbin/mount" };

/// What is mounted somewhere, as statfs(2) says.
pub(super) struct Mounted {
    pub kind: String,
    pub device: String,
    pub point: PathBuf,
}

/// A RAM disk. The fields are dropped in this order.
pub(super) struct RamDisk {
    pub mount_point: PathBuf,
    device: String,
    /// Detaches it.
    _undo: Undo,
    /// The directory that it is in.
    _below: Box<Directory>,
}

impl RamDisk {
    /// Makes one in the directory `below`.
    ///
    /// # Errors
    ///
    /// Which step failed and why. Nothing is left.
    pub(super) fn make(below: Directory, tools: &'static Tools) -> Result<Self, String> {
        let mount_point = below.path.join(NAME);
        fs::create_dir(&mount_point)
            .map_err(|error| format!("{}: {error}", mount_point.display()))?;
        // A system image is not shown to the user in the Finder.
        let size = format!("ram://{SECTORS}");
        let said =
            run(tools.hdiutil, &["attach", "-drivekey", "system-image=yes", "-nomount", &size])?;
        let device = attached(&said)
            .ok_or_else(|| format!("{} has not said which disk it attached", tools.hdiutil))?
            .to_owned();
        let detached = device.clone();
        let undo = Undo::with(move || detach(tools, &detached));
        let disk = Self { mount_point, device, _undo: undo, _below: Box::new(below) };
        let user = rustix::process::geteuid().as_raw().to_string();
        let group = rustix::process::getegid().as_raw().to_string();
        run(tools.newfs_hfs, &["-M", "700", "-U", &user, "-G", &group, &disk.device])?;
        let options = "nobrowse,nodev,noexec,nosuid,noatime";
        let point = disk.mount_point.to_str().ok_or("the path of its directory is not UTF-8")?;
        run(tools.mount, &["-t", "hfs", "-o", options, &disk.device, point])?;
        // Spotlight leaves it alone: its index would be a copy.
        fs::write(disk.mount_point.join(".metadata_never_index"), "")
            .map_err(|error| format!("{}: {error}", disk.mount_point.display()))?;
        Ok(disk)
    }

    /// Makes sure that what is mounted at the mount point is this RAM disk.
    ///
    /// # Errors
    ///
    /// If it is not.
    pub(super) fn ensure_mounted(&self, found: &Mounted) -> Result<(), String> {
        let is_this = found.kind == "hfs" && found.device == self.device;
        let wrong = || format!("{} is not on the RAM disk", self.mount_point.display());
        if is_this && found.point == self.mount_point { Ok(()) } else { Err(wrong()) }
    }
}

/// Detaches `device`, with everything on it, even if somebody has a file there open. It runs as a step
/// of [`Undo`], where no other step can be added.
pub(super) fn detach(tools: &Tools, device: &str) {
    let mut command = Command::new(tools.hdiutil);
    command.args(["detach", device, "-force"]);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _ = quiet.status(); // What is there has been wiped, and the next run tries again.
}

/// Runs a tool and returns what it prints.
fn run(tool: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(tool);
    command.args(arguments).stdin(Stdio::null());
    let output = program::output_within(PATIENCE, &mut command, None, MAX_OUTPUT)
        .map_err(|error| format!("{tool}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    Err(format!("{tool} failed: {}", last.unwrap_or(&output.status.to_string())))
}

/// output of `hdiutil attach` → the device, such as `/dev/disk4`: the first word, followed by blanks.
fn attached(said: &str) -> Option<&str> {
    said.split_whitespace().next().filter(|word| is_disk(word))
}

/// Returns whether `device` is a whole disk.
fn is_disk(device: &str) -> bool {
    let number = device.strip_prefix("/dev/disk");
    number.is_some_and(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns the device of the RAM disk that a killed run has left in its directory `below`, if what was
/// found in it is one. A directory where nothing is mounted is on the disk of `below`.
pub(super) fn left<'a>(found: &'a Mounted, below: &Path) -> Option<&'a str> {
    let is_there = found.kind == "hfs" && found.point == below.join(NAME);
    Some(found.device.as_str()).filter(|device| is_there && is_disk(device))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::system::memory::tests::directory;

    #[test]
    fn only_a_whole_disk_counts_as_attached() {
        assert_eq!(attached("/dev/disk4          \t         \t\n"), Some("/dev/disk4"));
        for said in ["", "\n", "hdiutil: failed", "/dev/disk", "/dev/disk4s1", "/dev/rdisk4"] {
            assert_eq!(attached(said), None, "{said}");
        }
    }

    #[test]
    fn only_a_disk_at_the_mount_point_is_taken_for_one_that_was_left() {
        let below = Path::new("/private/tmp/vaultix-1-2");
        let found = |kind: &str, device: &str, point: &str| {
            let (kind, device) = (kind.to_owned(), device.to_owned());
            left(&Mounted { kind, device, point: point.into() }, below).is_some()
        };
        assert!(found("hfs", "/dev/disk4", "/private/tmp/vaultix-1-2/disk"));
        assert!(!found("apfs", "/dev/disk3s5", "/System/Volumes/Data"), "nothing is mounted");
        assert!(!found("hfs", "/dev/disk4", "/Volumes/Backup"));
        assert!(!found("hfs", "/dev/disk4s2", "/private/tmp/vaultix-1-2/disk"));
        assert!(!found("smbfs", "//me@server/share", "/private/tmp/vaultix-1-2/disk"));
    }

    /// Makes programs that write down how they are called. The one called `broken` fails.
    fn tools(folder: &Path, broken: &str) -> &'static Tools {
        let tool = |name: &str, says: &str| {
            let path = folder.join(name);
            let log = folder.join("log");
            let end = if name == broken { "echo why >&2; exit 1" } else { says };
            let script = format!("#!/bin/sh\necho {name} \"$@\" >> {}\n{end}\n", log.display());
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
            &*path.to_str().unwrap().to_owned().leak()
        };
        Box::leak(Box::new(Tools {
            hdiutil: tool("hdiutil", "printf '/dev/disk9  \\t \\t\\n'"),
            newfs_hfs: tool("newfs_hfs", ""),
            mount: tool("mount", ""),
        }))
    }

    /// Makes a RAM disk, with one tool that fails; returns what was run, and whether it was made.
    fn steps(broken: &str) -> (Vec<String>, Result<(), String>) {
        let folder =
            std::env::temp_dir().join(format!("vaultix-tools-{}-{broken}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let below = directory(&format!("ram-{broken}"));
        let path = below.path.clone();
        let made = RamDisk::make(below, tools(&folder, broken)).map(|disk| {
            let mounted = |device: &str| Mounted {
                kind: "hfs".to_owned(),
                device: device.to_owned(),
                point: path.join(NAME),
            };
            assert!(disk.ensure_mounted(&mounted("/dev/disk9")).is_ok());
            assert!(disk.ensure_mounted(&mounted("/dev/disk8")).is_err());
            assert!(path.join("disk/.metadata_never_index").exists());
        });
        assert!(!path.exists(), "nothing is left");
        fs::remove_dir(path.parent().unwrap()).unwrap();
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        fs::remove_dir_all(folder).unwrap();
        let point = path.join(NAME).display().to_string();
        let words = |line: &str| line.replace(&point, "POINT");
        (log.lines().map(words).collect(), made)
    }

    #[test]
    fn it_is_detached_whatever_fails() {
        let ids = |id: &str| {
            let output = Command::new("id").arg(id).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let attach = "hdiutil attach -drivekey system-image=yes -nomount ram://524288".to_owned();
        let format = format!("newfs_hfs -M 700 -U {} -G {} /dev/disk9", ids("-u"), ids("-g"));
        let mount =
            "mount -t hfs -o nobrowse,nodev,noexec,nosuid,noatime /dev/disk9 POINT".to_owned();
        let detach = "hdiutil detach /dev/disk9 -force".to_owned();
        let (log, made) = steps("");
        assert_eq!(log, [&attach, &format, &mount, &detach].map(Clone::clone));
        made.unwrap();
        let (log, made) = steps("mount");
        assert_eq!(log, [&attach, &format, &mount, &detach].map(Clone::clone));
        assert!(made.unwrap_err().ends_with("mount failed: why"));
        let (log, made) = steps("newfs_hfs");
        assert_eq!(log, [&attach, &format, &detach].map(Clone::clone));
        assert!(made.is_err());
        let (log, made) = steps("hdiutil");
        assert_eq!(log, [attach]);
        assert!(made.is_err());
    }
}
