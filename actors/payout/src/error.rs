//! Why nothing can be paid now. Said once per change, never fatal.
use std::path::PathBuf;

use daemon::{DaemonError, WalletError, WalletState};
use store::StoreError;
use units::{Amount, Height};

use crate::hold_reason::{HoldKind, HoldReason};

#[derive(Debug, thiserror::Error)]
pub(crate) enum PayoutError {
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
    /// It has no spend key.
    #[error("daemon's wallet is view-only and cannot send: load the one with the spend key")]
    ViewOnly,
    /// Before all of it is known nothing is sent.
    #[error("the wallet's sends are being read to know whether the books have all of them: {read} of {total}")]
    Reading { read: u64, total: u64 },
    /// Somebody paid what these books know nothing of.
    #[error(
        "the wallet has {open} sends with a payout's memo that the books do not know, {undecided} of them undecided{}: \
         nothing is sent; `meshpool payouts` lists them, `meshpool payouts adopt` takes them into the books",
        waits_for.as_ref().map(|why| format!("; adopted ones wait: {why}")).unwrap_or_default()
    )]
    UnknownSends { open: u64, undecided: u64, waits_for: Option<String> },
    /// The data directory remembers more than the books, and this daemon cannot be asked.
    #[error(
        "the data directory has counted {counted} payout steps, the books have {known}: they are older than the wallet, \
         and this daemon cannot list its sends; nothing is sent; `meshpool payouts accept-books` says what to do"
    )]
    OlderBooks { counted: u64, known: u64 },
    /// Then nothing would show that the books are older.
    #[error("payout steps cannot be counted in {}: {why}; nothing is sent", file.display())]
    StepsFile { file: PathBuf, why: String },
}

impl From<WalletError> for PayoutError {
    fn from(error: WalletError) -> PayoutError {
        match error {
            WalletError::Daemon(error) => error.into(),
            WalletError::NoPassword(state) => PayoutError::NoPassword(state),
            WalletError::Shut(state) => PayoutError::WalletShut(state),
        }
    }
}

impl PayoutError {
    /// It concerns this payout alone; the others go on.
    pub(crate) fn is_of_one_payout(&self) -> bool {
        match self {
            PayoutError::Books { .. } | PayoutError::OtherWallet { .. } => true,
            PayoutError::Store(error) => matches!(error, StoreError::Conflict { .. } | StoreError::Damaged { .. }),
            _ => false,
        }
    }

    /// How it is told.
    pub(crate) fn reason(&self) -> HoldReason {
        HoldReason { kind: self.kind(), detail: self.to_string() }
    }

    pub(crate) fn kind(&self) -> HoldKind {
        match self {
            PayoutError::Off => HoldKind::Off,
            PayoutError::Paused(_) => HoldKind::Paused,
            PayoutError::PauseUnknown { .. } => HoldKind::PauseFile,
            PayoutError::UnknownSends { .. } => HoldKind::UnknownSends,
            PayoutError::OlderBooks { .. } => HoldKind::OlderBooks,
            PayoutError::StepsFile { .. } => HoldKind::StepsFile,
            PayoutError::Reading { .. } => HoldKind::Reading,
            PayoutError::NoPassword(_) | PayoutError::WalletShut(_) => HoldKind::WalletShut,
            PayoutError::ViewOnly | PayoutError::Daemon(DaemonError::Wallet(WalletState::ViewOnly)) => {
                HoldKind::ViewOnly
            }
            PayoutError::Daemon(DaemonError::Wallet(_)) => HoldKind::WalletShut,
            PayoutError::Scanning { .. } => HoldKind::Scanning,
            PayoutError::Syncing => HoldKind::Syncing,
            PayoutError::LessWork { .. } => HoldKind::LessWork,
            PayoutError::Insolvent { .. } => HoldKind::Insolvent,
            PayoutError::Short(_) => HoldKind::Short,
            PayoutError::FeeAccount { .. } => HoldKind::FeeAccount,
            PayoutError::ForeignWallet { .. } => HoldKind::ForeignWallet,
            PayoutError::OtherWallet { .. } => HoldKind::OtherWallet,
            PayoutError::WalletChanged { .. } => HoldKind::WalletChanged,
            PayoutError::TooManySends { .. } => HoldKind::TooManySends,
            PayoutError::Daemon(DaemonError::Refused { .. }) => HoldKind::Refused,
            PayoutError::Daemon(_) => HoldKind::Daemon,
            PayoutError::Store(StoreError::Conflict { .. } | StoreError::Damaged { .. })
            | PayoutError::Books { .. } => HoldKind::Books,
            PayoutError::Store(_) => HoldKind::Database,
        }
    }

    /// The wallet is not open, and the pool cannot open it.
    pub(crate) fn is_shut(&self) -> bool {
        let is_view_only = matches!(self, PayoutError::Daemon(DaemonError::Wallet(WalletState::ViewOnly)));
        let is_wallet = matches!(self, PayoutError::Daemon(DaemonError::Wallet(_)));
        matches!(self, PayoutError::NoPassword(_) | PayoutError::WalletShut(_)) || (is_wallet && !is_view_only)
    }

    /// The wallet as such cannot send, whatever is due.
    pub(crate) fn is_of_the_wallet(&self) -> bool {
        matches!(
            self,
            PayoutError::NoPassword(_)
                | PayoutError::WalletShut(_)
                | PayoutError::ViewOnly
                | PayoutError::ForeignWallet { .. }
                | PayoutError::Daemon(DaemonError::Wallet(_))
        )
    }

    /// The wallet's history and the books are not known to fit.
    pub(crate) fn is_of_the_books(&self) -> bool {
        matches!(
            self,
            PayoutError::UnknownSends { .. }
                | PayoutError::OlderBooks { .. }
                | PayoutError::Reading { .. }
                | PayoutError::StepsFile { .. }
        )
    }

    /// The daemon asks to be left alone for a moment, which is how it paces sends.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, PayoutError::Daemon(DaemonError::Busy { .. }))
    }

    /// Before the next block nothing changes that: money is lacking, or the daemon refuses the very question.
    pub(crate) fn is_for_this_tip(&self) -> bool {
        let is_refused = matches!(self, PayoutError::Daemon(DaemonError::Refused { .. }));
        is_refused
            || matches!(
                self,
                PayoutError::Insolvent { .. }
                    | PayoutError::Short(_)
                    | PayoutError::FeeAccount { .. }
                    | PayoutError::OtherWallet { .. }
            )
    }
}
