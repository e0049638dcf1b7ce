//! One file for each verb. No command imports another; what two of them need is further down.

pub mod check;
pub mod complete;
pub mod deploy;
pub mod edit;
pub mod explain;
pub mod generate;
pub mod import;
pub mod init;
pub mod recipient;
pub mod rekey;
pub mod renc;
pub mod status;
pub mod view;
