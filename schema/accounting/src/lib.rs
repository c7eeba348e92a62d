//! Money as pure functions: who gets what of a block, who bears a fee, and the double-entry postings for all of it.
//!
//! What this crate refuses to do: I/O, clocks, chance, floating point, and rounding that nobody owns. A share of a split
//! is a floor; all atoms that remain go to the first line by weight descending, then key ascending.
//!
//! Invariants, asserted: credits, fee and what nobody could be given sum to the reward to the atom; the postings of an
//! entry sum to zero; the same input in any order gives the same output and the same digest.
#![warn(missing_docs)]
#![deny(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::float_arithmetic)]

mod account;
mod allocate;
mod entry;
mod entry_kind;
mod error;
mod rules;
mod split;
mod window;

pub use account::{Account, AccountKind, UnknownAccount};
pub use allocate::{Allocation, AllocationLine, Basis, MinerWork, allocate};
pub use entry::{Booked, Entry, Paid, Posting};
pub use entry_kind::EntryKind;
pub use error::AccountingError;
pub use rules::{Rules, Scheme};
pub use split::{Net, gross_of_nets, pro_rata_fee};
pub use window::WindowTerms;
