//! What the repository's own commands and its boot tests share.

pub mod packages;
pub mod workspace;
