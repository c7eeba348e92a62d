//! The template actor over scripted daemons, over the simulated one, and over a real database.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod best_chain;
mod daemons;
mod harness;
mod jobs;
mod live;
