//! The pool as its users meet it: real processes, real sockets, real files.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]
mod crashes;
mod difficulty;
mod panics;
mod pressure;
mod refusals;
mod start;
mod telemetry;
