//! Keepers: what is decided in memory goes into the database, and comes back from it.
//!
//! One actor for each table, all with the same loop ([`Keeper`]): bans, difficulty hints, penalties. Memory itself
//! lies elsewhere and is reached through [`messages::write_behind::WrittenBehind`].
//!
//! What they refuse to do: decide, and stand between a decision and its effect. While the database is away, everything
//! is in force all the same and is written when it is back.
#![warn(missing_docs)]

mod keeper;
mod table;
mod tables;

pub use keeper::Keeper;
pub use table::Table;
pub use tables::{BanTable, HintTable, PenaltyTable};

/// Stores bans of clients.
pub type BanKeeper = Keeper<BanTable>;
/// Stores measured difficulties.
pub type HintKeeper = Keeper<HintTable>;
/// Stores penalties of pairs.
pub type PenaltyKeeper = Keeper<PenaltyTable>;
