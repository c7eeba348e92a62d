//! The pool as its users meet it: real processes, real sockets, real files.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what fails here fails the test, which says where it was"
)]
mod crashes;
mod panics;
mod pressure;
mod start;
