//! a number of bytes → words for people, in whole units.

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Returns `bytes` in the largest unit of which it is a whole number.
///
/// ```
/// use vaultix_generator::size;
/// assert_eq!(size::shown(128 << 20), "128 MiB");
/// assert_eq!(size::shown(1536), "1536 bytes");
/// assert_eq!(size::shown(64 << 10), "64 KiB");
/// ```
#[must_use]
pub fn shown(bytes: u64) -> String {
    match bytes {
        0 => "0 bytes".to_owned(),
        _ if bytes.is_multiple_of(MIB) => format!("{} MiB", bytes / MIB),
        _ if bytes.is_multiple_of(KIB) => format!("{} KiB", bytes / KIB),
        _ => format!("{bytes} bytes"),
    }
}
