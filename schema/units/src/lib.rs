//! The pool's quantities, each a type of its own.
//!
//! What this crate refuses to do: implicit conversion, wrapping or saturating arithmetic on money,
//! and floating point. Every value that is stored fits a signed 64-bit database column.
//!
//! Invariants: an [`Amount`] is at most `i64::MAX` atoms, a [`Difficulty`] is at least 1, a
//! [`BasisPoints`] at most 10,000. Constructors check them, nothing else can make one.
#![warn(missing_docs)]
#![deny(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::float_arithmetic)]

mod amount;
mod count;
mod ids;
mod time;

pub use amount::{Amount, AmountError};
pub use count::{BasisPoints, Difficulty, Height, Nonce, OutOfRange, Work};
pub use ids::{AccountId, BlockRowId, HostId, LineId, MinerId, PolicyId, Seq, TemplateRowId};
pub use time::{Minute, Timestamp};
