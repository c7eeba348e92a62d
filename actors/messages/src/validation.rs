//! Messages to `Validation`, which recomputes hashes.
use std::sync::Arc;

use chain::PowHash;
use runtime::Message;
use units::{Difficulty, Minute, Nonce, Seq, Timestamp};

use crate::facts::{Line, SessionId, Template};

/// A share that is durable and was acknowledged.
#[derive(Debug, Clone)]
pub struct BookedShare {
    /// Its position in the log.
    pub seq: Seq,
    /// The minute it was booked to.
    pub minute: Minute,
    /// Whom it belongs to.
    pub line: Arc<Line>,
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
}

/// Acknowledged shares of one batch. Validation decides which to recompute; none of them is lost if it refuses
/// the message: the sender keeps them and offers them again.
#[derive(Debug)]
pub struct OfferShares(pub Vec<BookedShare>);

impl Message for OfferShares {
    type Reply = ();
    const NAME: &'static str = "offer_shares";
    const URGENT: bool = false;
}

/// A share that must be proven before it is acknowledged: of a restricted pair, or without a claimed hash.
#[derive(Debug, Clone)]
pub struct VerifyShare {
    /// Whom it belongs to.
    pub line: Arc<Line>,
    /// What it was mined on.
    pub template: Arc<Template>,
    /// The nonce that solves it.
    pub nonce: Nonce,
    /// What it must be worth.
    pub difficulty: Difficulty,
    /// The hash that the miner says it has.
    pub claimed_hash: Option<PowHash>,
}

/// A recomputed hash that meets the share target.
#[derive(Debug, Clone, Copy)]
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
}

impl Message for VerifyShare {
    type Reply = Result<Proven, ProofRefusal>;
    const NAME: &'static str = "verify_share";
}

/// The host's clock: paid-back audit debt, stuck lanes.
#[derive(Debug)]
pub struct ValidationTick;

impl Message for ValidationTick {
    type Reply = ();
    const NAME: &'static str = "validation_tick";
    const URGENT: bool = true;
}
