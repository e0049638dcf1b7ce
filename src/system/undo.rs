//! Steps that undo what must not be left behind: run when dropped, or where a second signal ends the program at once.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A function that undoes something.
type Step = Box<dyn FnOnce() + Send>;

/// All that is not undone yet, in the order in which it was done.
static STEPS: Mutex<(u64, BTreeMap<u64, Step>)> = Mutex::new((0, BTreeMap::new()));

/// Something that is undone when this is dropped.
pub struct Undo(u64);

impl Undo {
    /// Has `step` run when this is dropped, or when the program ends at once.
    pub fn with(step: impl FnOnce() + Send + 'static) -> Self {
        let mut steps = steps();
        let number = steps.0;
        steps.0 += 1;
        steps.1.insert(number, Box::new(step));
        Self(number)
    }

    /// Lets it be: there is nothing to undo any more.
    pub fn forget(self) {
        steps().1.remove(&self.0);
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        let mut steps = steps();
        // While the lock is held, so that a program that ends at once waits for it.
        if let Some(step) = steps.1.remove(&self.0) {
            step();
        }
    }
}

/// Undoes all, the last first. Nothing is done after that: whoever tries waits forever.
pub fn all() -> impl Sized {
    let mut steps = steps();
    while let Some((_, step)) = steps.1.pop_last() {
        step();
    }
    steps
}

/// Locks the list. A step that failed has left nothing half done in it.
fn steps() -> MutexGuard<'static, (u64, BTreeMap<u64, Step>)> {
    STEPS.lock().unwrap_or_else(PoisonError::into_inner)
}
