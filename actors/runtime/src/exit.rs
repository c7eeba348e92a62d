//! How a generation ends.
use std::any::Any;

use actix_rt::task::JoinError;

use crate::Fault;

/// How one generation of an actor ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Exit {
    /// Quietly, because it was asked to.
    #[error("stopped")]
    Stopped,
    /// `open` or a handler returned this fault.
    #[error("fault: {0}")]
    Faulted(String),
    /// With these last words.
    #[error("panic: {0}")]
    Panicked(String),
    /// Aborted, because what it had in hand did not end.
    #[error("stalled")]
    Killed,
}

impl Exit {
    pub(crate) fn from_join(joined: Result<(), JoinError>, fault: Option<Fault>) -> Exit {
        match joined {
            Ok(()) => fault.map_or(Exit::Stopped, |fault| Exit::Faulted(fault.to_string())),
            Err(err) if err.is_panic() => Exit::Panicked(panic_text(&*err.into_panic())),
            Err(_) => Exit::Killed,
        }
    }
}

pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic without text".to_owned())
}
