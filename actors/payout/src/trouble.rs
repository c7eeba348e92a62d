//! Why nothing can be paid now. Said once per change, never fatal.
use std::path::PathBuf;

use daemon::{DaemonError, WalletState};
use store::StoreError;
use units::{Amount, Height};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The wallet must be opened by somebody who knows the password.
    #[error("daemon's wallet: {0}; no wallet password is set, so the pool cannot open it")]
    NoPassword(WalletState),
    /// Opening it was tried a moment ago.
    #[error("daemon's wallet: {0}; trying again in a moment")]
    WalletShut(WalletState),
    /// Its figures mean nothing yet.
    #[error("daemon's wallet has looked at block {synced} of {tip}; payouts wait for it")]
    Scanning { synced: Height, tip: Height },
    /// Its history is longer than is reasonable to read.
    #[error("daemon's wallet has too many sends since block {oldest} to look through")]
    TooManySends { oldest: Height },
    /// Another network, or a daemon of another kind.
    #[error("daemon's wallet address is none of this network ({why}): nothing is sent")]
    ForeignWallet { why: String },
    /// The daemon behind the URL is not the one that was asked.
    #[error("payout {id} is {ours}'s, but the daemon's wallet is {there}: it is neither followed nor sent")]
    OtherWallet { id: String, ours: String, there: String },
    /// The wallet was exchanged in the middle.
    #[error("daemon's wallet was {before} a moment ago and is {now}")]
    WalletChanged { before: String, now: String },
    /// It holds less than what is owed.
    #[error("daemon's wallet holds {held}, but the pool owes {owed}: nothing is sent")]
    Insolvent { held: Amount, owed: Amount },
    /// It holds enough, but not now.
    #[error("payouts wait for funds: {0}")]
    Short(crate::plan::Short),
    /// The pool bears the network fee and cannot.
    #[error("the pool's fee account holds {have}; the next payout's network fee is {fee}")]
    FeeAccount { have: Amount, fee: Amount },
    /// An operator's wish.
    #[error("payouts are off (payout.enabled)")]
    Off,
    /// Its chain is behind.
    #[error("the daemon is catching up with the chain; payouts wait for it")]
    Syncing,
    /// What it shows of payments may never become true.
    #[error("the daemon's chain, at height {height}, has less work than one seen before, at height {best}")]
    LessWork { height: Height, best: Height },
    /// An operator's wish.
    #[error("payouts are paused: {} exists", .0.display())]
    Paused(PathBuf),
    /// It may be there.
    #[error("payouts are paused: {} cannot be looked for: {why}", file.display())]
    PauseUnknown { file: PathBuf, why: String },
    /// A payout cannot be booked.
    #[error("payout {id}: {why}")]
    Books { id: String, why: String },
}

impl Trouble {
    /// It concerns this payout alone; the others go on.
    pub(crate) fn is_of_one_payout(&self) -> bool {
        match self {
            Trouble::Books { .. } | Trouble::OtherWallet { .. } => true,
            Trouble::Store(error) => matches!(error, StoreError::Conflict { .. } | StoreError::Damaged { .. }),
            _ => false,
        }
    }

    /// What is said once: figures that change with every block make no new trouble.
    pub(crate) fn topic(&self) -> String {
        match self {
            Trouble::Scanning { .. } => "scanning".to_owned(),
            Trouble::LessWork { .. } => "less work".to_owned(),
            Trouble::Insolvent { .. } => "insolvent".to_owned(),
            Trouble::Short(_) => "short".to_owned(),
            Trouble::FeeAccount { .. } => "fee account".to_owned(),
            other => other.to_string(),
        }
    }

    /// The daemon asks to be left alone for a moment, which is how it paces sends.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Trouble::Daemon(DaemonError::Busy { .. }))
    }

    /// Before the next block nothing changes that: money is lacking, or the daemon refuses the very question.
    pub(crate) fn is_for_this_tip(&self) -> bool {
        let is_refused = matches!(self, Trouble::Daemon(DaemonError::Refused { .. }));
        is_refused
            || matches!(
                self,
                Trouble::Insolvent { .. }
                    | Trouble::Short(_)
                    | Trouble::FeeAccount { .. }
                    | Trouble::OtherWallet { .. }
            )
    }
}
