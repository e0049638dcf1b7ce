//! the user's repository → what its flake says, what git knows of it, and the workspace of both.

pub mod git;
pub mod nix;
pub mod profiles;
pub mod workspace;
