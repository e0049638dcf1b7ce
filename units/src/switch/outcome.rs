//! the outcome of each item → counts and failures.

use std::fmt;

use super::plan::{State, Task};
use crate::failure::Failure;

/// What a switch did.
#[derive(Default)]
pub struct Outcome {
    /// The generation that is current now, if there is one.
    pub generation: Option<u32>,
    /// How many plaintexts were made.
    pub made: usize,
    /// How many were taken over.
    pub kept: usize,
    /// How many were removed.
    pub removed: usize,
    /// What was tried (`decrypt secret "wifi"`), and why it failed.
    pub failures: Vec<(String, Failure)>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = self.generation {
            write!(f, "generation {number}: ")?;
        }
        write!(f, "{} made, {} kept, {} removed", self.made, self.kept, self.removed)?;
        if self.failures.is_empty() {
            Ok(())
        } else {
            write!(f, ", {} failed", self.failures.len())
        }
    }
}

impl Outcome {
    /// Counts what was made and taken over.
    pub(super) fn count(&mut self, tasks: &[Task]) {
        for task in tasks {
            match task.state {
                State::Keep => self.kept += 1,
                State::Make | State::Made(..) => self.made += 1,
                State::Failed(_) => {}
            }
        }
    }

    /// Adds the failure of `what`, if it failed.
    pub(super) fn add(&mut self, what: impl Into<String>, result: Result<(), Failure>) {
        self.failures.extend(result.err().map(|failure| (what.into(), failure)));
    }
}
