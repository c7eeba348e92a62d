//! Found blocks: [`BlockSubmitter`] brings them to the daemon, [`BlockLifecycle`] follows them to their credit.
//!
//! A candidate's record and its submit run side by side; neither waits for the other, and the share is credited
//! whatever the daemon says. A block is known by the id that is computed here, never by what an answer says.
//!
//! What they refuse to do: decide by a lost answer (the chain is asked), credit a block twice (the entry's reference
//! is the block's id), and price a block by rules that are younger than it.
#![warn(missing_docs)]

mod audit;
mod awaited;
mod barrier;
mod broadcaster;
mod error;
mod lifecycle;
mod metrics;
mod parts;
mod policy;
mod submitter;
mod sweep;

pub use audit::price;
pub use lifecycle::BlockLifecycle;
pub use metrics::BlocksMetrics;
pub use parts::{LifecycleParts, SubmitterParts};
pub use policy::{Policy, PolicyError};
pub use submitter::BlockSubmitter;
