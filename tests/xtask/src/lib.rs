//! What the repository's own commands and its tests share.

pub mod aloud;
pub mod canary;
pub mod container;
pub mod packages;
pub mod previous;
pub mod product;
pub mod rage;
pub mod system;
pub mod triple;
pub mod typage;
pub mod vectors;
pub mod workspace;
