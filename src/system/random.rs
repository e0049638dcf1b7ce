//! the kernel → random bytes, and fair choices.

use std::io;

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use zeroize::Zeroizing;

/// Returns `count` random bytes, wiped when dropped.
///
/// # Errors
///
/// The system's own; only a kernel without getrandom(2) has one.
pub fn bytes(count: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; count]);
    fill(&mut bytes)?;
    Ok(bytes)
}

/// The same, for a length that is known.
///
/// # Errors
///
/// As [`bytes`].
pub fn array<const N: usize>() -> io::Result<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    fill(&mut *bytes)?;
    Ok(bytes)
}

/// Returns one of `items`, each as likely as any other.
///
/// # Errors
///
/// As [`bytes`]; or there are none.
pub fn choose<T>(items: &[T]) -> io::Result<&T> {
    if items.is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    loop {
        let draw = u16::from_ne_bytes(*array()?);
        if let Some(item) = index(draw, items.len()).and_then(|index| items.get(index)) {
            return Ok(item);
        }
    }
}

/// Returns which of `count` equals a draw stands for; `None` for the last draws, which would favour the first
/// of them.
fn index(draw: u16, count: usize) -> Option<usize> {
    /// How many draws there are.
    const DRAWS: usize = 1 << 16;
    let draw = usize::from(draw);
    (draw < DRAWS - DRAWS % count).then_some(draw % count)
}

/// Fills `bytes`. The kernel may give less than it is asked for, and waits only right after boot.
fn fill(mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match getrandom(&mut *bytes, GetRandomFlags::empty()) {
            Ok(count) => bytes = bytes.get_mut(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_draws_stand_for_each() {
        for count in [1, 2, 3, 62, 1000, 2048, 65536] {
            let mut hits = vec![0; count];
            (0..=u16::MAX).filter_map(|draw| index(draw, count)).for_each(|one| hits[one] += 1);
            assert!(hits.iter().all(|hit| *hit == 65536 / count), "{count}");
        }
    }

    #[test]
    fn all_of_it_is_filled() {
        let bytes = bytes(100_000).unwrap();
        assert!(bytes.chunks(1000).all(|part| part.iter().any(|byte| *byte != 0)));
        assert_ne!(*array::<32>().unwrap(), *array::<32>().unwrap());
        assert!(choose::<u8>(&[]).is_err());
    }
}
