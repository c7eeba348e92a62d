//! The template actor over scripted daemons, over the simulated one, and over a real database.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod daemons;
mod jobs;
mod live;
mod memory;
mod stage;
