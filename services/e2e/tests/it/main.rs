//! The pool as its users meet it: real processes, real sockets, real files.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]
mod accounts;
mod bans;
mod cheating;
mod crashes;
mod difficulty;
mod drain;
mod failover;
mod full_disk;
mod hosts;
mod log_and_books;
mod logs;
mod manager;
mod outage;
mod panics;
mod payouts;
mod postgres;
mod pressure;
mod recorded;
mod refusals;
mod restored;
mod roles;
mod set_aside;
mod start;
mod telemetry;
mod writes;
