//! What the tests against real processes share: pools and simulated networks as child processes, a raw Stratum client,
//! and the books to compare with what miners and wallets remember.
//!
//! Every helper panics with a text that says what was waited for: it fails the test that called it. What it refuses to
//! do: reach into a process. It sees what an operator, a miner or a wallet sees, and the files that are left.
#![warn(missing_docs)]

mod audit;
mod binaries;
mod books;
mod collector;
mod config;
mod copies;
mod database;
mod http;
mod log;
mod manager;
mod network;
mod pool;
mod process;
mod proof;
mod stratum;
mod unread;
mod wait;

pub use audit::{Audit, audit};
pub use binaries::{program, repository, target_dir};
pub use books::Books;
pub use collector::{CollectedItem, Collector, SeenSpan};
pub use config::Config;
pub use copies::{Copy, Kind};
pub use database::{Cluster, Held, Scratch, sql};
pub use http::{Answer, get, request};
pub use log::{LoggedShare, logged_shares};
pub use manager::Manager;
pub use network::{Fleet, Network};
pub use pool::Pool;
pub use process::Process;
pub use proof::Proof;
pub use stratum::{Client, Flood, Job, Solver, address_of};
pub use unread::UnreadPipe;
pub use wait::{free_port, wait_for, wait_gone, wait_until};
