//! Why there is no newer job. Said once per change, never fatal.
use daemon::{DaemonError, WalletState};
use store::StoreError;

/// What keeps the actor from publishing a template.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The daemon does not answer, or says no.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The pinned address could not be read or stored.
    #[error("pinned reward address cannot be looked up")]
    Store(#[from] StoreError),
    /// The wallet must be opened by somebody who knows the password.
    #[error("daemon's wallet: {0}; no wallet password is set, so the pool cannot open it")]
    NoPassword(WalletState),
    /// Opening it was tried a moment ago.
    #[error("daemon's wallet: {0}; trying again in a moment")]
    WalletShut(WalletState),
    /// The daemon would pay somebody else.
    #[error("template refused: it pays {got}, but the pool's reward address is {pinned}")]
    ForeignAddress {
        /// Whom the template pays.
        got: String,
        /// Whom it must pay.
        pinned: String,
    },
    /// The template contradicts itself.
    #[error("template refused: {0}")]
    BadTemplate(String),
    /// The header's time is not above the parent's, and moving it is not possible.
    #[error("template held: its time is not above its parent's")]
    NotYet,
    /// The tip moved several times while templates were fetched.
    #[error("chain tip moved while a template was fetched")]
    Moving,
}

impl Trouble {
    /// An operator must look: it will not go away by itself.
    pub(crate) fn is_serious(&self) -> bool {
        matches!(self, Trouble::ForeignAddress { .. } | Trouble::BadTemplate(_) | Trouble::NoPassword(_))
    }
}
