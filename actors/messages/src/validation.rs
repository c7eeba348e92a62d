//! Messages to `Validation`, which recomputes hashes.
use std::sync::Arc;

pub use crate::claim_permits::{ClaimPermit, ClaimPermits};

use chain::PowHash;
use runtime::Message;
use units::{Difficulty, Minute, Nonce, Seq, Timestamp};

use crate::facts::{SessionId, Template, WorkerIdentity};
use crate::share_ledger::Event;

/// A share that is durable and was acknowledged; or a block claim that the log did not take, which is looked at all
/// the same.
#[derive(Debug, Clone)]
pub struct BookedShare {
    /// Its position in the log; `Seq::ZERO` for a block claim without one.
    pub seq: Seq,
    /// The minute it was booked to.
    pub minute: Minute,
    /// Whom it belongs to.
    pub line: Arc<WorkerIdentity>,
    /// What it was mined on.
    pub template: Arc<Template>,
    /// The nonce that solves it.
    pub nonce: Nonce,
    /// What it is worth.
    pub difficulty: Difficulty,
    /// The hash that the miner says it has. `None` for one that comes back from the log after a restart.
    pub claimed_hash: Option<PowHash>,
    /// When its line was read.
    pub received_at: Timestamp,
    /// The claimed (or, when `verified`, the real) hash meets the network target.
    pub claims_block: bool,
    /// The pool recomputed its hash before the acknowledgement.
    pub verified: bool,
    /// The connection it came from; `None` after a restart.
    pub session: Option<SessionId>,
    /// The place among unjudged block claims that was taken for it; `None` after a restart.
    pub place: Option<Arc<ClaimPermit>>,
}

/// Acknowledged shares of one batch. Validation decides which to recompute; none of them is lost if it refuses
/// the message: the sender keeps them and offers them again.
#[derive(Debug)]
pub struct OfferShares(pub Vec<BookedShare>);

impl Message for OfferShares {
    type Reply = ();
    const NAME: &'static str = "offer_shares";
    /// A flood of proofs that are asked for must not keep block claims out.
    const URGENT: bool = true;
}

/// Shares from the books that are recomputed when a lane has nothing else to do. Whoever chose them chooses again what
/// was not taken or got no verdict.
#[derive(Debug)]
pub struct OfferRechecks(pub Vec<BookedShare>);

impl Message for OfferRechecks {
    type Reply = ();
    const NAME: &'static str = "offer_rechecks";
    const URGENT: bool = true;
}

/// Look for payees of waiting blocks whose work is too little verified.
#[derive(Debug)]
pub struct ChooseRechecks;

impl Message for ChooseRechecks {
    type Reply = ();
    const NAME: &'static str = "choose_rechecks";
    const URGENT: bool = true;
}

/// Verdicts that follow from others: a cheater's work is voided. Whoever found them looks again whether they arrived.
#[derive(Debug)]
pub struct LogVerdicts(pub Vec<Event>);

impl Message for LogVerdicts {
    type Reply = ();
    const NAME: &'static str = "log_verdicts";
    const URGENT: bool = true;
}

/// Look for work that is to be voided.
#[derive(Debug)]
pub struct VoidWork;

impl Message for VoidWork {
    type Reply = ();
    const NAME: &'static str = "void_work";
    const URGENT: bool = true;
}

/// A share that must be proven before it is acknowledged: of a restricted pair, or without a claimed hash.
#[derive(Debug, Clone)]
pub struct VerifyShare {
    /// Whom it belongs to.
    pub line: Arc<WorkerIdentity>,
    /// What it was mined on.
    pub template: Arc<Template>,
    /// The nonce that solves it.
    pub nonce: Nonce,
    /// What it must be worth.
    pub difficulty: Difficulty,
    /// The hash that the miner says it has.
    pub claimed_hash: Option<PowHash>,
    /// When its line was read.
    pub received_at: Timestamp,
}

impl VerifyShare {
    /// The claimed hash meets the network target.
    #[must_use]
    pub fn claims_block(&self) -> bool {
        self.claimed_hash.is_some_and(|hash| self.template.network_target.is_met_by(&hash))
    }
}

/// A recomputed hash that meets the share target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven {
    /// The hash.
    pub hash: PowHash,
}

/// Why a share is not what it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofRefusal {
    /// The hash is not the claimed one.
    #[error("invalid share proof")]
    InvalidProof,
    /// The hash misses the share target, and nothing was claimed.
    #[error("low difficulty share")]
    LowDifficulty,
    /// No lane could compute it.
    #[error("hash computation failed")]
    HashFailed,
    /// Too many shares of this pair or this client wait for their proof already, or the pair is refused by now.
    /// Nothing was computed.
    #[error("server busy, retry")]
    Busy,
}

impl Message for VerifyShare {
    type Reply = Result<Proven, ProofRefusal>;
    const NAME: &'static str = "verify_share";
}

/// The host's clock: ended restrictions, stuck lanes.
#[derive(Debug)]
pub struct ValidationTick;

impl Message for ValidationTick {
    type Reply = ();
    const NAME: &'static str = "validation_tick";
    const URGENT: bool = true;
}
