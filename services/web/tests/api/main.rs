//! The API over real sockets, on both databases.
#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails it")]

#[path = "../../../../schema/store/tests/common/mod.rs"]
mod common;

mod lists;
mod miners;
mod refusals;
mod site;
mod state;
