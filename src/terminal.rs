//! questions, lists and texts ↔ what the user answers, chooses and types.

pub mod editor;
pub mod menu;
pub mod pager;
pub mod prompt;
