//! what hosts need + copies → those that their hosts cannot decrypt, as far as that shows without a key.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;

use crate::cache::copy;
use crate::cache::desired::Desired;
use crate::cache::plan::{Entry, Listing, Wanted};
use crate::cache::store;
use crate::error::Result;

/// Copies that are as good as none, each with the reason, as a clause.
pub type Damaged = BTreeMap<Entry, String>;

/// Looks into the copies that `desired` needs and that `listing` has. Takes those that are damaged out of `listing`.
///
/// # Errors
///
/// As [`store::list`].
pub fn take(root: &Path, desired: &Desired, listing: &mut Listing) -> Result<Damaged> {
    let present: Vec<(&Entry, &Wanted, u64)> = desired
        .wanted
        .iter()
        .filter_map(|(entry, wanted)| {
            let size = *listing.get(&entry.host)?.get(&entry.name)?;
            (size > 0).then_some((entry, wanted, size))
        })
        .collect();
    let directories = store::directories(root, present.iter().map(|one| one.0.host.as_str()))?;
    let look = |(entry, wanted, size): (&Entry, &Wanted, u64)| {
        let recipient = desired.stanzas.get(&entry.host)?;
        // A value is as long as it is.
        let payload = wanted.key.is_none().then(|| desired.payloads.get(&wanted.source)).flatten();
        let head = store::head(directories.get(&entry.host)?, &entry.name, size);
        let reason = match head {
            Ok(head) => copy::problem(&head, size, recipient, payload.copied())?,
            Err(error) => format!("it cannot be read: {error}"),
        };
        Some((entry.clone(), reason))
    };
    let damaged: Damaged = present.into_par_iter().filter_map(look).collect();
    for entry in damaged.keys() {
        listing.get_mut(&entry.host).and_then(|files| files.remove(&entry.name));
    }
    Ok(damaged)
}
