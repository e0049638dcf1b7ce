//! What hosts should have, and the copies of secrets that the repository has for them.

mod copy;
pub mod damage;
pub mod desired;
pub mod plan;
pub mod store;
pub mod uses;
