//! The front over real sockets, with a share ledger and a validation that the tests hold in their hands.
#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails it")]

mod accounts;
mod bans;
mod claims;
mod drain;
mod framing;
mod hostile;
mod in_doubt;
mod jobs;
mod ledger;
mod limits;
mod miner;
mod order;
mod pool;
mod protocol;
mod rejects;
mod session;
mod speed;
mod tls;
