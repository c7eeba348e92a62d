//! Messages to `BlockSubmitter` and `BlockLifecycle`.
use std::sync::Arc;

use runtime::Message;
use units::{Nonce, Seq, Timestamp};

use crate::facts::{SessionId, Template, WorkerIdentity};

/// A share that solves a block, or is trusted to. It is submitted at once and recorded at the same time;
/// neither waits for the other.
#[derive(Debug, Clone)]
pub struct SubmitCandidate {
    /// Position of the share.
    pub share: Seq,
    /// Who found it.
    pub line: Arc<WorkerIdentity>,
    /// What it solves.
    pub template: Arc<Template>,
    /// The nonce that solves it.
    pub nonce: Nonce,
    /// When the share was received.
    pub received_at: Timestamp,
    /// The connection that is told.
    pub session: Option<SessionId>,
    /// The log already holds the candidate record (it comes back after a restart).
    pub logged: bool,
}

impl Message for SubmitCandidate {
    type Reply = ();
    const NAME: &'static str = "submit_candidate";
    /// Never refused because of anything else.
    const URGENT: bool = true;
}

/// One step of every open block: look at the chain, confirm, credit, reverse.
#[derive(Debug)]
pub struct LifecycleTick;

impl Message for LifecycleTick {
    type Reply = ();
    const NAME: &'static str = "lifecycle_tick";
    const URGENT: bool = true;
}
