//! Why a block cannot be moved on now.
use daemon::DaemonError;
use store::StoreError;

/// Why a step must be tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Policy(#[from] crate::policy::PolicyError),
    #[error("block {hash}: {why}")]
    Books { hash: String, why: String },
}

impl StepError {
    /// It concerns this block alone; the others go on.
    pub(crate) fn is_of_one_block(&self) -> bool {
        match self {
            StepError::Policy(_) | StepError::Books { .. } => true,
            StepError::Store(error) => matches!(error, StoreError::Damaged { .. } | StoreError::Conflict { .. }),
            StepError::Daemon(_) => false,
        }
    }
}
