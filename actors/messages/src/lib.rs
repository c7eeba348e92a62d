//! Every message between actors, one file per receiver, and the facts they publish.
//!
//! Messages are imperatives to one actor and travel through a bounded mailbox. Facts ([`facts`]) are
//! nouns and travel by `watch` or broadcast: nobody can be slowed down by whoever listens to them.
//! This crate decides nothing and starts nothing.
#![warn(missing_docs)]

pub mod blocks;
mod claim_permits;
pub mod conditions;
pub mod facts;
pub mod live;
pub mod payout;
pub mod retention;
pub mod share_ledger;
pub mod template;
pub mod validation;
pub mod write_behind;
