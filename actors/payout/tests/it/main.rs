//! The payout actor against the simulated daemon: what it does to a wallet, to the chain and to the books.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod basic;
mod counted;
mod crash;
mod database;
mod gates;
mod harness;
mod lost;
mod older;
mod pay;
mod standby;
mod told;
