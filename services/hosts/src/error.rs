//! Why a host did not start, or did not go on.

/// By what to do about it: each kind is an exit code.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Settings, files or ports are wrong: starting again without a change is useless.
    #[error("{0}")]
    Config(String),
    /// The database is not there, or not as this binary needs it.
    #[error("{0}")]
    Database(String),
    /// Something gave up that may work again: start the process again.
    #[error("{0}")]
    GaveUp(String),
}

impl HostError {
    pub(crate) fn config(error: impl ToString) -> HostError {
        HostError::Config(error.to_string())
    }

    pub(crate) fn database(error: impl ToString) -> HostError {
        HostError::Database(error.to_string())
    }

    /// How the process ends because of it.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            HostError::Config(_) => boot::CONFIG,
            HostError::Database(_) => boot::DATABASE,
            HostError::GaveUp(_) => boot::SUPERVISOR,
        }
    }
}
