//! Hosts: processes that run some of the pool's actors. A binary is a choice of [`Role`]s and little else.
//!
//! What every actor of a process shares is in [`HostContext`]; how actors reach each other, within the process, in
//! `Wiring`; each role starts its actors from the two. What several hosts have in common is in the database, so a host
//! that is not all of the pool needs one that others reach too.
//!
//! What it refuses to do: decide anything about shares or money, and start half of what it was asked for: whatever can
//! fail is done before the first actor starts. A role that is not in the process is named by a condition.
#![warn(missing_docs)]

mod args;
mod context;
mod daemons;
mod data_dir;
mod doubts;
mod error;
mod exports;
mod high_mark;
mod lease;
mod membership;
mod metrics;
mod policies;
mod pricing;
mod process;
mod readiness;
mod role;
mod roles;
mod run;
mod wiring;
mod writes;

pub use args::{HostArgs, misused};
pub use context::HostContext;
pub use data_dir::DataDirLock;
pub use error::HostError;
pub use process::{process, refuse, serve};
pub use role::Role;
pub use run::run;
