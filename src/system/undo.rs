//! Clean-up steps that run when dropped, or when a signal ends the program at once.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

type Step = Box<dyn FnOnce() + Send>;

/// The next number, and the steps that have not run yet, in the order in which they were added.
static STEPS: Mutex<(u64, BTreeMap<u64, Step>)> = Mutex::new((0, BTreeMap::new()));

/// A step that runs when this is dropped.
pub struct Undo(u64);

impl Undo {
    /// Runs `step` when this is dropped, or when the program ends at once.
    pub fn with(step: impl FnOnce() + Send + 'static) -> Self {
        let mut steps = steps();
        let number = steps.0;
        steps.0 += 1;
        steps.1.insert(number, Box::new(step));
        Self(number)
    }

    /// Removes the step without running it: there is nothing left to undo.
    pub fn forget(self) {
        steps().1.remove(&self.0);
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        let mut steps = steps();
        // Runs while the lock is held, so that a program that ends at once waits for it.
        if let Some(step) = steps.1.remove(&self.0) {
            step();
        }
    }
}

/// Runs all steps, the last one first. The lock is held afterwards: a thread that adds or drops a
/// step waits forever.
pub fn all() -> impl Sized {
    let mut steps = steps();
    while let Some((_, step)) = steps.1.pop_last() {
        step();
    }
    steps
}

/// Locks the list. A step that panicked has left it consistent.
fn steps() -> MutexGuard<'static, (u64, BTreeMap<u64, Step>)> {
    STEPS.lock().unwrap_or_else(PoisonError::into_inner)
}
