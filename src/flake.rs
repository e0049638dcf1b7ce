//! the user's repository → settings and profiles of its flake, what git tracks, and the workspace of commands.

pub mod cache;
pub mod exposure;
pub mod git;
pub mod literal;
pub mod lookup;
pub mod nix;
pub mod path;
pub mod profiles;
pub mod repository;
pub mod rotation;
pub mod rules;
pub mod workspace;
