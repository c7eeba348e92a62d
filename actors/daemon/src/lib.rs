//! Typed client of the Blocknet daemon's HTTP interface.
//!
//! It says what was asked, what came back, and how sure that is: [`DaemonError`] keeps "definitely not done"
//! apart from "nobody knows". A [`Daemon`] lives on the arbiter of the actor that uses it and is not `Send`.
//!
//! What it refuses to do: decide what to do next (no retries but one after a changed cookie), follow redirects,
//! hold a request longer than its limit, read a body beyond its limit, and let a token or password into a text.
#![warn(missing_docs)]

mod answers;
mod auth;
mod chain_routes;
mod error;
mod events;
#[cfg(feature = "fake")]
pub mod fake;
mod http;
mod mining;
mod probe;
mod wallet;
mod wallet_opener;

pub use answers::{
    Accepted, Balance, BlockInfo, BlockTransaction, ChainState, DryRun, LoadedWallet, Output, OutputState,
    SendRecipient, SendStatus, Sends, Sent, Status, TemplateAnswer, WalletAddress, WalletBalance, WalletOutputs,
    WalletSend,
};
pub use auth::WalletPassword;
pub use error::{Conflict, DaemonError, Result, WalletState};
pub use events::Event;
pub use http::Daemon;
pub use probe::Capabilities;
pub use wallet_opener::{WalletError, WalletOpener};
