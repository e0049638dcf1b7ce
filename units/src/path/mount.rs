//! the id of a mount → whether its file system answers, and whose it is.

use std::io;
use std::path::Path;

use crate::bounded;

/// Where the kernel lists the mounts of this process, proc(5), `mountinfo`. Reading it asks no file system anything.
const TABLE: &str = "/proc/self/mountinfo";
/// Largest table that is read, in bytes: that of a host with some 100,000 mounts.
const MAX_TABLE: u64 = 16 << 20;

/// File systems that have nobody to wait for but the kernel and a disk.
const LOCAL: [&str; 20] = [
    "bcachefs", "btrfs", "devtmpfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs",
    "ntfs3", "overlay", "ramfs", "reiserfs", "rootfs", "squashfs", "tmpfs", "vfat", "xfs", "zfs",
];

/// What is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mount {
    /// A file system of this kernel alone.
    Local,
    /// Nothing yet: whoever enters it waits for what comes.
    Automount,
    /// One that may not answer: of a network, of a program, or unknown.
    Remote,
    /// One whose answers a user's program makes up as it likes, owners of files among them.
    OfUser(u32),
}

/// Tells what is mounted as `id`.
///
/// # Errors
///
/// The table cannot be read, or `id` is not in it any more.
pub(super) fn kind(id: u64) -> io::Result<Mount> {
    let table = bounded::read(Path::new(TABLE), MAX_TABLE)?;
    let unknown =
        || io::Error::new(io::ErrorKind::NotFound, "its file system was unmounted meanwhile");
    find(&table, id).ok_or_else(unknown)
}

/// Finds the mount `id` in the table.
///
/// Blanks in paths and names are escaped there, so that a hyphen between two blanks is the separator.
fn find(table: &[u8], id: u64) -> Option<Mount> {
    let table = String::from_utf8_lossy(table);
    let wanted = format!("{id} ");
    let line = table.lines().find(|line| line.starts_with(&wanted))?;
    let (_, line) = line.split_once(" - ")?;
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
            assert_eq!(find(TABLE, id), kind, "{id}");
        }
    }

    #[test]
    fn the_root_directory_is_mounted() {
        let stat = rustix::fs::statx(
            rustix::fs::CWD,
            "/",
            rustix::fs::AtFlags::empty(),
            rustix::fs::StatxFlags::MNT_ID,
        );
        assert!(super::kind(stat.expect("statx").stx_mnt_id).is_ok());
        assert!(super::kind(u64::MAX).is_err());
    }
}
