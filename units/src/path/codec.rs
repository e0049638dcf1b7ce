//! a list of byte strings ↔ bytes on a pipe between two processes of this program.

use std::io::{self, Read, Write};

use zeroize::Zeroizing;

/// Most fields of one record.
const MAX_FIELDS: usize = 16;

/// Writes `fields` as one record, each after its length, in a single write from wiped memory.
pub(super) fn write(to: &mut impl Write, fields: &[&[u8]]) -> io::Result<()> {
    let size = fields.iter().map(|field| field.len() + 8).sum::<usize>() + 8;
    let mut record = Zeroizing::new(Vec::with_capacity(size));
    record.extend_from_slice(&(fields.len() as u64).to_le_bytes());
    for field in fields {
        record.extend_from_slice(&(field.len() as u64).to_le_bytes());
        record.extend_from_slice(field);
    }
    to.write_all(&record)
}

/// Reads one record, whose fields may have `limit` bytes each; `None` at the end.
pub(super) fn read(
    from: &mut impl Read,
    limit: u64,
) -> io::Result<Option<Vec<Zeroizing<Vec<u8>>>>> {
    let mut count = [0; 8];
    match from.read(&mut count)? {
        0 => return Ok(None),
        got => from.read_exact(count.get_mut(got..).unwrap_or_default())?,
    }
    let count = usize::try_from(u64::from_le_bytes(count)).unwrap_or(usize::MAX);
    if count > MAX_FIELDS {
        return Err(io::ErrorKind::InvalidData.into());
    }
    (0..count).map(|_| field(from, limit)).collect::<io::Result<Vec<_>>>().map(Some)
}

/// Reads one field.
fn field(from: &mut impl Read, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut size = [0; 8];
    from.read_exact(&mut size)?;
    let size = u64::from_le_bytes(size);
    let length = usize::try_from(size).unwrap_or(usize::MAX);
    if size > limit {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut field = Zeroizing::new(vec![0; length]);
    from.read_exact(&mut field)?;
    Ok(field)
}

#[cfg(test)]
mod tests {
    use super::{MAX_FIELDS, read, write};

    #[test]
    fn fields_are_read_as_written() {
        let mut pipe = Vec::new();
        let records: [&[&[u8]]; 3] = [&[b"a", b"", b"\0\xff"], &[], &[b"b"]];
        for record in records {
            write(&mut pipe, record).expect("written");
        }
        let mut from = pipe.as_slice();
        for record in records {
            let fields = read(&mut from, 2).expect("whole").expect("one more");
            assert_eq!(fields.iter().map(|field| field.as_slice()).collect::<Vec<_>>(), record);
        }
        assert!(read(&mut from, 2).expect("whole").is_none());
    }

    #[test]
    fn truncated_or_oversized_fields_are_refused() {
        let mut pipe = Vec::new();
        write(&mut pipe, &[b"abc", b"d"]).expect("written");
        for end in 1..pipe.len() {
            assert!(read(&mut &pipe[..end], 3).is_err(), "{end}");
        }
        assert!(read(&mut pipe.as_slice(), 2).is_err(), "a field that is too long");
        pipe.clear();
        write(&mut pipe, &[&b""[..]; MAX_FIELDS + 1]).expect("written");
        assert!(read(&mut pipe.as_slice(), 2).is_err(), "too many fields");
    }
}
