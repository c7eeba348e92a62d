//! Mailboxes and restart policies of the actors.
use std::time::Duration;

use runtime::{Limits, OnExhausted, Policy, Restart};

/// Without it the host must not pretend to work.
pub(crate) const VITAL: Policy = Policy {
    restart: Restart::Permanent,
    max_restarts: 5,
    within: Duration::from_secs(60),
    backoff_min: Duration::from_millis(100),
    backoff_max: Duration::from_secs(10),
    on_exhausted: OnExhausted::StopHost,
    stall_after: Duration::from_secs(60),
};
/// Waits for the daemon and the database inside its handlers.
pub(crate) const MONEY: Policy = Policy { stall_after: Duration::from_secs(300), ..VITAL };
/// Figures may be missing for a while.
pub(crate) const COSMETIC: Policy =
    Policy { on_exhausted: OnExhausted::Degrade { cool_off: Duration::from_secs(60) }, ..VITAL };

/// Mailboxes of actors that only hear a clock and a few events.
pub(crate) const QUIET: Limits = Limits { messages: 8, urgent: 16 };
/// Candidates are few and must never be refused because of each other.
pub(crate) const CANDIDATES: Limits = Limits { messages: 8, urgent: 256 };
/// Verdicts and candidates beside a flood of shares.
pub(crate) const LEDGER_URGENT: usize = 64;
/// Acknowledged shares, results and clocks beside a flood of proofs that are asked for.
pub(crate) const VALIDATION_URGENT: usize = 256;
