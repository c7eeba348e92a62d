//! The database: tables, rows, queries, twin migrations. The only crate that knows SQL.
//!
//! One query body serves SQLite and PostgreSQL. Every query runs on the store's own multi-thread
//! runtime, so callers may time out, be cancelled or sit on an actor's thread without harm: a started
//! transaction always runs to its end.
//!
//! What it refuses to do: decide. Rules about shares, blocks and money live with the actors; the
//! database only guards what must never be false (unique references, non-negative balances,
//! append-only entries, the fencing epoch).
mod bind;
mod column;
mod connect;
mod db;
mod error;
mod joined;
mod migrate;
mod open;
mod parts;
mod schema;
mod sql;
mod sqlstate;

pub mod audit;
pub mod bans;
pub mod batch;
pub mod best_chain;
pub mod blocks;
pub mod fold;
pub mod hints;
pub mod hosts;
pub mod ledger;
pub mod meta;
pub mod payouts;
pub mod penalties;
pub mod reads;
pub mod rechecks;
pub mod retention;
pub mod set_aside;

pub use db::Store;
pub use error::{OpenError, StoreError};
pub use migrate::Joining;
pub use parts::{Parts, put_in_parts};
#[doc(hidden)]
pub use sql::for_database;

/// What every query returns.
pub type Result<T> = std::result::Result<T, StoreError>;
