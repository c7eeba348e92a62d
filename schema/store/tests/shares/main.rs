//! The plumbing and the shares' half of the store, on both databases.
#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails it")]

#[path = "../common/mod.rs"]
mod common;

mod bans;
mod best_chain;
mod blocks;
mod fold;
mod guards;
mod hints;
mod hosts;
mod meta;
mod open;
mod penalties;
mod rechecks;
mod refused;
mod retention;
mod statements;
mod tls;
mod window;
