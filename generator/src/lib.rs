//! the generator as a library: profile → units, and what the other sides need of it.

pub mod escape;
pub mod placeholder;
pub mod profile;
