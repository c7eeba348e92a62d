//! Why a host ends before it is asked to.
use crate::Exit;

/// A host must end, because an actor that it cannot do without has spent its restart budget.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("actor {actor} spent its restart budget: {exit}")]
pub struct HostFailure {
    /// Which.
    pub actor: &'static str,
    /// How its last generation ended.
    pub exit: Exit,
}
