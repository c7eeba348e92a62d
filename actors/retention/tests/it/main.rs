//! The cleaner against real databases: a whole history in virtual time, and deaths in the middle.
#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails it")]

#[path = "../../../../schema/store/tests/common/mod.rs"]
mod common;

mod crash;
mod harness;
mod history;
mod ticks;
