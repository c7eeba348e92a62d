//! Messages to `ShareLedger`, the owner of the durable share log.
use std::sync::Arc;

use chain::MerkleRoot;
use runtime::Message;
use units::{Difficulty, Minute, Nonce, Seq, Timestamp};

use crate::facts::{Template, WorkerIdentity};

/// One share that passed every check but the proof of work, to be made durable.
#[derive(Debug, Clone)]
pub struct NewShare {
    /// Whom it belongs to.
    pub line: Arc<WorkerIdentity>,
    /// What it was mined on.
    pub template: Arc<Template>,
    /// The nonce that solves it.
    pub nonce: Nonce,
    /// What it is worth.
    pub difficulty: Difficulty,
    /// When its line was read from the socket.
    pub received_at: Timestamp,
    /// The pool recomputed its hash before this.
    pub verified: bool,
    /// Its claimed hash meets the network target.
    pub claims_block: bool,
}

/// All that one arbiter has read since its last append: one message, one answer, one fsync shared by all.
#[derive(Debug)]
pub struct AppendShares(pub Vec<NewShare>);

/// Where the records went. The n-th of the batch has position `first + n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Position of the first record.
    pub first: Seq,
    /// The segment minute that all of them were booked to.
    pub minute: Minute,
}

/// Why nothing was acknowledged. After `Full` nothing is in the log; after `Disk` only reading it can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendRefusal {
    /// The disk is full, or the budget for records that are not yet in the database is used up.
    #[error("share log is full")]
    Full,
    /// The disk failed; whether the records are there is not known.
    #[error("share log could not be written")]
    Disk,
}

/// Shares that are durable, given back with their positions: who passes them on needs no copies.
#[derive(Debug)]
pub struct AppendedShares {
    /// Position of the first, and the minute of all.
    pub at: Appended,
    /// As they were handed over.
    pub shares: Vec<NewShare>,
}

impl Message for AppendShares {
    type Reply = Result<AppendedShares, AppendRefusal>;
    const NAME: &'static str = "append_shares";
}

/// Which of these shares are in the log? Asked when the answer to [`AppendShares`] was lost or late. Answered after
/// everything that was sent before it, so that "not there" is final.
#[derive(Debug)]
pub struct FindShares {
    /// They can only be behind this position: one that was answered before they were sent.
    pub after: Seq,
    /// Merkle root of the template, and the nonce.
    pub shares: Vec<(MerkleRoot, Nonce)>,
}

/// A share as the log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggedShare {
    /// Its position, and the minute it was booked to.
    pub at: Appended,
    /// When its line was read from the socket.
    pub received_at: Timestamp,
    /// The pool recomputed its hash before it was written.
    pub verified: bool,
    /// Its claimed hash meets the network target.
    pub claims_block: bool,
}

impl Message for FindShares {
    /// In the order of the question. An error means that it has to be asked again.
    type Reply = Result<Vec<Option<LoggedShare>>, AppendRefusal>;
    const NAME: &'static str = "find_shares";
}

/// What became known about shares and blocks after they were logged.
#[derive(Debug, Clone)]
pub enum Event {
    /// The pool recomputed the hash of a logged share, or voids it.
    Verdict {
        /// Position of the share.
        share: Seq,
        /// The minute it was booked to.
        minute: Minute,
        /// Whom it belongs to.
        line: Arc<WorkerIdentity>,
        /// What it is worth.
        difficulty: Difficulty,
        /// What was found.
        verdict: Verdict,
    },
    /// A share that is believed or known to solve a block.
    Candidate {
        /// Position of the share; `Seq::ZERO` for a block that no logged share explains.
        share: Seq,
        /// Who found it.
        line: Arc<WorkerIdentity>,
        /// The template it solves.
        template: Arc<Template>,
        /// The nonce that solves it.
        nonce: Nonce,
        /// When the share was received.
        received_at: Timestamp,
    },
    /// Refused submits of one line, counted.
    Rejects {
        /// Whose.
        line: Arc<WorkerIdentity>,
        /// Canonical reason, at most 64 bytes.
        reason: &'static str,
        /// When.
        minute: Minute,
        /// How many.
        count: u32,
    },
}

/// What the pool thinks of a logged share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Recomputed, and it meets its target.
    Verified,
    /// Recomputed, and it does not.
    Rejected,
    /// ClaimsInFlight back with the rest of a cheater's uncredited work.
    Voided,
}

/// Verdicts, candidates and reject counts, in order.
#[derive(Debug)]
pub struct AppendEvents(pub Vec<Event>);

impl Message for AppendEvents {
    type Reply = Result<Appended, AppendRefusal>;
    const NAME: &'static str = "append_events";
    /// A flood of shares must not keep a block candidate out of the log.
    const URGENT: bool = true;
}

/// Writes a template's definition, so that a block on it can be recognised whatever happens later.
#[derive(Debug)]
pub struct DefineTemplate(pub Arc<Template>);

impl Message for DefineTemplate {
    type Reply = Result<(), AppendRefusal>;
    const NAME: &'static str = "define_template";
    const URGENT: bool = true;
}

/// Wakes the fold, which moves all that is durable into the database, in bounded steps. Answered at once.
#[derive(Debug)]
pub struct FoldNow;

impl Message for FoldNow {
    type Reply = ();
    const NAME: &'static str = "fold_now";
    const URGENT: bool = true;
}

/// Hands every open block claim of the log on again: whoever was looking at them has started afresh.
#[derive(Debug)]
pub struct ReopenClaims;

impl Message for ReopenClaims {
    type Reply = ();
    const NAME: &'static str = "reopen_claims";
    const URGENT: bool = true;
}
