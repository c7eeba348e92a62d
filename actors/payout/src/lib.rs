//! The only actor that asks the wallet to send.
//!
//! A payout is an intent with recipients, exact request bytes, an idempotency key and chosen inputs, all stored before
//! the wallet is asked. Every doubt about a request is resolved by asking: the daemon's record of the key, the wallet's
//! sends by memo, the state of the inputs. Which answer leads to what is one pure table (`resolve`); who is paid from
//! which outputs is pure as well (`plan`).
//!
//! Books may be older than the wallet: a copy that was put back, a standby that lagged. Before anything is sent under a new
//! lease, and in every run, the wallet's sends are compared with the books (`history`); what an operator adopts of them is
//! booked (`adopt`); where a daemon cannot list sends, a count in the data directory tells (`steps`).
//!
//! What it refuses to do: act without the money lease, decide anything by a timer, ask under a new key while an
//! earlier request may still pay from other inputs, pay an address that does not parse, and send when the wallet
//! cannot cover what the pool owes or has sent what the books do not know.
#![warn(missing_docs)]

mod actor;
mod adopt;
mod body;
mod error;
mod evidence;
mod finality;
mod follow;
mod funds;
mod gate;
mod history;
mod hold_reason;
mod hold_reporter;
mod intent;
mod intent_books;
mod metrics;
mod operator;
mod parts;
mod paying_daemon;
mod plan;
mod reconcile;
mod resolve;
mod run_once;
mod standing;
mod step;
mod steps;
mod steps_file;
mod sweep;
mod tip;
mod tx_locator;

pub use actor::Payout;
pub use metrics::PayoutMetrics;
pub use parts::{PayoutParts, RandomId};
