//! an open file → what distinguishes it from any other file that was ever at its path.

use std::os::fd::AsFd;

use rustix::fs;
use rustix::io::Errno;

/// What distinguishes a file: nobody can set the time of its last change, and its number is only used again later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Identifies its file system, statfs(2), `f_fsid`; 0 or the device's number if it has no such number.
    file_system: u64,
    /// The device, which may have another number after a reboot.
    device: u64,
    /// The number of the file.
    inode: u64,
    /// When it was last changed, renamed or linked to: seconds and nanoseconds.
    changed: (i64, i64),
}

impl Stamp {
    /// Returns the stamp of `file`, which may be held without being opened.
    pub(super) fn of(file: impl AsFd) -> Result<Self, Errno> {
        let stat = fs::fstat(&file)?;
        let nanoseconds = i64::try_from(stat.st_ctime_nsec).unwrap_or_default();
        Ok(Self {
            file_system: fs::fstatvfs(&file)?.f_fsid,
            device: stat.st_dev,
            inode: stat.st_ino,
            changed: (stat.st_ctime, nanoseconds),
        })
    }

    /// Returns whether `other` is the stamp of the same file, unchanged.
    ///
    /// Of a file system that cannot be told from others, inode and time are enough: nobody can set that time.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let is_beside = match (self.identity(), other.identity()) {
            (Some(own), Some(other)) => own == other,
            _ => true,
        };
        is_beside && (self.inode, self.changed) == (other.inode, other.changed)
    }

    /// Returns whether `file` is on the same file system, as far as can be told: its device may have got another number.
    pub(super) fn is_on(&self, file: impl AsFd) -> bool {
        Self::of(file).is_ok_and(|other| match (self.identity(), other.identity()) {
            (Some(own), Some(other)) => own == other,
            _ => self.device == other.device,
        })
    }

    /// Returns what identifies the file system after a reboot. XFS and others have only the number of the device, and some
    /// nothing.
    fn identity(&self) -> Option<u64> {
        let is_lasting = self.file_system != 0 && self.file_system != self.device;
        is_lasting.then_some(self.file_system)
    }

    /// Returns it as numbers, separated by blanks.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { file_system, device, inode, changed: (seconds, nanoseconds) } = self;
        format!("{file_system} {device} {inode} {seconds} {nanoseconds}")
    }

    /// Reads what [`Self::to_text`] returns.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let [file_system, device, inode, seconds, nanoseconds] = words.try_into().ok()?;
        Some(Self {
            file_system: file_system.parse().ok()?,
            device: device.parse().ok()?,
            inode: inode.parse().ok()?,
            changed: (seconds.parse().ok()?, nanoseconds.parse().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Stamp;

    fn stamp(text: &str) -> Stamp {
        Stamp::parse(text).expect("five numbers")
    }

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        for text in ["1 2 3 4 5", "18446744073709551615 0 1 -1 999999999"] {
            assert_eq!(stamp(text).to_text(), text);
        }
        for wrong in ["", "1 2 3 4", "1 2 3 4 5 6", "1 2 3 4 x", "-1 2 3 4 5", "1  3 4 5"] {
            assert_eq!(Stamp::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn another_number_of_the_device_is_no_other_file() {
        let here = stamp("7 2049 12 100 5");
        for same in ["7 2049 12 100 5", "7 2065 12 100 5", "0 2049 12 100 5", "0 2065 12 100 5"] {
            assert!(here.is_same(&stamp(same)), "{same}");
        }
        for other in ["8 2049 12 100 5", "7 2049 13 100 5", "7 2049 12 101 5", "0 2065 12 101 5"] {
            assert!(!here.is_same(&stamp(other)), "{other}");
        }
        assert!(!here.is_same(&stamp("7 2049 12 100 6")));
        // XFS: the number of the device.
        assert!(stamp("2049 2049 12 100 5").is_same(&stamp("2065 2065 12 100 5")));
        assert!(!stamp("2049 2049 12 100 5").is_same(&stamp("2065 2065 13 100 5")));
    }
}
