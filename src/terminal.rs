//! Questions, lists, editors and pagers on the user's terminal.

pub mod editor;
pub mod menu;
pub mod pager;
pub mod prompt;
