//! Why there is no newer job. Said once per change, never fatal.
use daemon::{DaemonError, WalletError, WalletState};
use messages::facts::DaemonState;
use store::StoreError;
use units::Height;

/// What keeps the actor from publishing a template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
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
    /// The daemon's chain has less work than the best one seen.
    #[error(
        "the daemon's chain, at height {height}, has less work than the best one seen, at height {best}; its templates wait"
    )]
    LessWork {
        /// Where it is.
        height: Height,
        /// Where the best one was.
        best: Height,
    },
    /// The first daemon must name the reward address, and cannot.
    #[error("no reward address is known yet, and the first daemon's wallet does not tell one")]
    NotPinned(#[source] Box<TemplateError>),
    /// The tip moved several times while templates were fetched.
    #[error("chain tip moved while a template was fetched")]
    Moving,
}

impl From<WalletError> for TemplateError {
    fn from(error: WalletError) -> TemplateError {
        match error {
            WalletError::Daemon(error) => error.into(),
            WalletError::NoPassword(state) => TemplateError::NoPassword(state),
            WalletError::Shut(state) => TemplateError::WalletShut(state),
        }
    }
}

impl TemplateError {
    /// An operator must look: it will not go away by itself.
    pub(crate) fn is_serious(&self) -> bool {
        match self {
            TemplateError::ForeignAddress { .. } | TemplateError::BadTemplate(_) | TemplateError::NoPassword(_) => true,
            TemplateError::NotPinned(why) => why.is_serious(),
            _ => false,
        }
    }

    /// What it says about the daemon, if another one may do better.
    pub(crate) fn blames_daemon(&self) -> Option<DaemonState> {
        match self {
            TemplateError::ForeignAddress { .. } => Some(DaemonState::ForeignAddress),
            // Its leases are used up for this tip; its chain is as good as ever, and so is the present job.
            TemplateError::Daemon(DaemonError::Busy { retry_after: Some(_), .. }) => None,
            TemplateError::Daemon(_)
            | TemplateError::NoPassword(_)
            | TemplateError::WalletShut(_)
            | TemplateError::BadTemplate(_) => Some(DaemonState::NoTemplate),
            TemplateError::Store(_)
            | TemplateError::NotYet
            | TemplateError::LessWork { .. }
            | TemplateError::NotPinned(_)
            | TemplateError::Moving => None,
        }
    }
}
