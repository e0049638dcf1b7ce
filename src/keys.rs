//! text of keys → identities that decrypt, and recipients to encrypt to.

pub mod armor;
pub mod identity;
pub mod identity_files;
pub mod master;
mod pkcs8;
pub mod plugin;
pub mod pq;
pub mod recipient;
pub mod ssh_to_age;
pub mod unwrapped;
