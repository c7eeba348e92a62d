//! Why a message was not taken, or not answered.
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// Why a message was not accepted. It comes back untouched.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused<M> {
    /// No place is left, or the actor is between two generations. Worth another try soon.
    #[error("actor is busy")]
    Busy(M),
    /// The actor is not there, and nothing says that it soon will be.
    #[error("actor is down")]
    Down(M),
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Not accepted: see [`Refused::Busy`].
    #[error("actor is busy")]
    Busy,
    /// Not accepted: see [`Refused::Down`].
    #[error("actor is down")]
    Down,
    /// Accepted, but dropped without an answer. What it did is unknown.
    #[error("actor ended before it answered")]
    Lost,
    /// Accepted, but not answered in time. What it did or will do is unknown.
    #[error("no answer before the deadline")]
    Late,
}

// === impl AskError ===

impl<M> From<Refused<M>> for AskError {
    fn from(refused: Refused<M>) -> Self {
        match refused {
            Refused::Busy(_) => AskError::Busy,
            Refused::Down(_) => AskError::Down,
        }
    }
}

pub(crate) async fn answered<T>(rx: oneshot::Receiver<T>, patience: Duration) -> Result<T, AskError> {
    match timeout(patience, rx).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(AskError::Lost),
        Err(_) => Err(AskError::Late),
    }
}
