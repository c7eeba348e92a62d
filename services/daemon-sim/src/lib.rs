//! A simulated daemon: what a pool sees of Blocknet, without a network and without real money.
//!
//! It behaves as the real one does on an isolated test network, with its order of checks, its texts and its unpleasant
//! habits, and adds parameters that make time short and a control endpoint that makes things go wrong. It never flatters
//! a pool: what the real daemon forgets, delays or refuses, this one does too. Only money is not real: outputs have the
//! right sizes but no secrets.
//!
//! Several daemons can share a chain: each is told where its peers are, and what a pool sees of their gossip, their
//! sync runs and their reorganisations is what the real ones show.
//!
//! What it refuses to be: a node. It has no peers but its own kind, and nobody else's blocks but those that its owner
//! orders.
#![warn(missing_docs)]

mod clock;
mod coins;
mod control;
mod events;
mod faults;
mod gossip;
mod hasher;
mod http;
mod node;
mod params;
mod peers;
mod persist;
mod server;
mod shared;

pub use control::{Control, ControlError, Income, MineOrder, ReorgOrder, Sent, Tip};
pub use faults::{Action, Fault, Phase};
pub use node::wallet::{SendRecord, SentTo};
pub use node::{MineError, NetworkView};
pub use params::{Params, Routes};
pub use persist::PersistError;
pub use server::SimulatedDaemon;
pub use shared::StartError;
