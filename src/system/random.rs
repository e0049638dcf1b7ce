//! Random bytes from the kernel, and fair choices.

use std::io;

use rand::RngCore;
use rand::rngs::OsRng;
use rand::seq::SliceRandom;
use zeroize::Zeroizing;

/// Returns `count` random bytes, wiped when dropped.
///
/// # Errors
///
/// If the system has none, which does not happen on supported kernels.
pub fn bytes(count: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; count]);
    fill(&mut bytes)?;
    Ok(bytes)
}

/// Returns an array of random bytes, wiped when dropped.
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
    array::<1>()?; // `choose` has no way to report that there is no randomness.
    items.choose(&mut OsRng).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn fill(bytes: &mut [u8]) -> io::Result<()> {
    OsRng.try_fill_bytes(bytes).map_err(|error| io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn bytes_are_filled_to_the_last() {
        let bytes = bytes(100_000).unwrap();
        assert!(bytes.chunks(1000).all(|part| part.iter().any(|byte| *byte != 0)));
        assert_ne!(*array::<32>().unwrap(), *array::<32>().unwrap());
    }

    #[test]
    fn choices_leave_nothing_out() {
        let items: Vec<u8> = (0..62).collect();
        // The chance that one of them is never drawn is 62 in e^160.
        let drawn: BTreeSet<u8> = (0..10_000).map(|_| *choose(&items).unwrap()).collect();
        assert!(drawn.into_iter().eq(items));
        assert!(choose::<u8>(&[]).is_err());
    }
}
