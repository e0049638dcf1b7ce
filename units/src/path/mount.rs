//! the id of a mount → whether its file system always responds, and who controls it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

/// Where the kernel lists the mounts of this process, proc(5), `mountinfo`. Reading it does not access any of them.
const TABLE: &str = "/proc/self/mountinfo";
/// Most of the table that is read, in bytes (1 GiB). A user may mount a thousand file systems, fusermount3(1), with about
/// 40 kB per line: the longest path and source, each byte escaped. Only one line is kept.
const MAX_TABLE: u64 = 1 << 30;
/// Longest line of it, in bytes (1 MiB).
const MAX_LINE: u64 = 1 << 20;
/// Most mounts that are remembered.
const MAX_SEEN: usize = 256;

/// File systems that depend only on the kernel and a disk.
const LOCAL: [&str; 20] = [
    "bcachefs", "btrfs", "devtmpfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs",
    "ntfs3", "overlay", "ramfs", "reiserfs", "rootfs", "squashfs", "tmpfs", "vfat", "xfs", "zfs",
];

/// What is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mount {
    /// A file system of this kernel alone.
    Local,
    /// Nothing yet: whoever enters it waits for the mount.
    Automount,
    /// One that may not respond: on a network, of a program, or unknown.
    Remote,
    /// One whose contents a user's program controls, including the owners of files.
    OfUser(u32),
}

/// Mounts that were looked up, each with a descriptor on it: while that is open, the number is not reused.
static SEEN: Mutex<Vec<(u64, Mount, OwnedFd)>> = Mutex::new(Vec::new());

/// Returns what is mounted as `id`, which `held` is on. The table is read once for each mount, however many paths lead there: a
/// user can make it long.
///
/// # Errors
///
/// The table cannot be read, or `id` is not in it any more.
pub(super) fn kind(id: u64, held: &OwnedFd) -> io::Result<Mount> {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, mount, _)) = seen.iter().find(|(seen, ..)| *seen == id) {
        return Ok(*mount);
    }
    let table = BufReader::with_capacity(64 << 10, File::open(TABLE)?.take(MAX_TABLE));
    let unknown =
        || io::Error::new(io::ErrorKind::NotFound, "its file system was unmounted in the meantime");
    let mount = find(table, id)?.ok_or_else(unknown)?;
    if seen.len() < MAX_SEEN {
        seen.push((id, mount, held.try_clone()?));
    }
    Ok(mount)
}

/// Finds the mount `id` in the table.
fn find(mut table: impl BufRead, id: u64) -> io::Result<Option<Mount>> {
    let wanted = format!("{id} ");
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut table).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.starts_with(wanted.as_bytes()) {
            return Ok(read(&String::from_utf8_lossy(&line)));
        }
    }
}

/// Reads one line of the table.
///
/// Blanks in paths and names are escaped there, so that a hyphen between two blanks is the separator.
fn read(line: &str) -> Option<Mount> {
    let (_, line) = line.trim_end().split_once(" - ")?;
    let mut fields = line.split(' ');
    let kind = fields.next()?;
    let is_fuse = matches!(kind.split('.').next(), Some("fuse" | "fuseblk"));
    let options = fields.nth(1).unwrap_or_default();
    let user = options.split(',').find_map(|option| option.strip_prefix("user_id="));
    Some(match user.map(str::parse) {
        Some(Ok(0)) | None if is_fuse => Mount::Remote,
        Some(Ok(user)) if is_fuse => Mount::OfUser(user),
        _ if kind == "autofs" => Mount::Automount,
        _ if LOCAL.contains(&kind) => Mount::Local,
        _ => Mount::Remote,
    })
}

#[cfg(test)]
mod tests {
    use super::{Mount, find};

    /// Lines as the kernel writes them.
    const TABLE: &[u8] = b"\
22 27 0:21 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,user_id=7
23 22 0:22 / /home/a\\040-\\040b rw master:1 shared:2 - fuse.sshfs a\\040-\\040ext4 rw,user_id=1000,group_id=100
24 22 0:23 / /pool rw - fuse.mergerfs  rw,user_id=0,group_id=0,allow_other
25 22 0:24 / /net rw - autofs systemd-1 rw,fd=41
26 22 0:25 / /nfs rw - nfs4 server:/ rw,addr=10.0.0.1
27 22 0:26 / /sys/fs/fuse/connections rw - fusectl fusectl rw
28 22 0:27 / /disk rw - fuseblk /dev/sdb rw,user_id=12,group_id=0
222 22 0:28 / /run rw - tmpfs tmpfs rw,size=10
";

    #[test]
    fn a_mount_is_what_the_kernel_says() {
        for (id, kind) in [
            (22, Some(Mount::Local)),
            (23, Some(Mount::OfUser(1000))),
            (24, Some(Mount::Remote)),
            (25, Some(Mount::Automount)),
            (26, Some(Mount::Remote)),
            (27, Some(Mount::Remote)),
            (28, Some(Mount::OfUser(12))),
            (222, Some(Mount::Local)),
            (2, None),
            (29, None),
        ] {
            assert_eq!(find(TABLE, id).expect("readable"), kind, "{id}");
        }
    }

    #[test]
    fn a_table_that_a_user_has_made_long_is_read_to_its_end() {
        let (path, source) = ("\\040".repeat(4000), "\\012".repeat(4000));
        let mut table = String::new();
        for id in 1000..2000 {
            let path = format!("{id} 22 0:{id} / /home/a/{path} rw");
            let line = [&path, " - fuse.x ", &source, " rw,user_id=1000,group_id=100\n"];
            table.extend(line);
        }
        table += "7 22 0:28 / /run rw - tmpfs tmpfs rw\n";
        assert!(table.len() > 30 << 20, "more than all of a table was once");
        assert_eq!(find(table.as_bytes(), 7).expect("readable"), Some(Mount::Local));
        // Each byte is taken once.
        let mut rest = table.as_bytes();
        assert_eq!(find(&mut rest, 8).expect("readable"), None);
        assert!(rest.is_empty());
        assert_eq!(find(table.as_bytes(), 1999).expect("readable"), Some(Mount::OfUser(1000)));
    }

    #[test]
    fn the_root_directory_is_mounted() {
        let root = std::fs::File::open("/").expect("there is one").into();
        let stat = rustix::fs::statx(
            &root,
            "",
            rustix::fs::AtFlags::EMPTY_PATH,
            rustix::fs::StatxFlags::MNT_ID,
        );
        let id = stat.expect("statx").stx_mnt_id;
        let mount = super::kind(id, &root).expect("it is in the table");
        assert_eq!(super::kind(id, &root).expect("it is remembered"), mount);
        assert!(super::kind(u64::MAX, &root).is_err());
    }
}
