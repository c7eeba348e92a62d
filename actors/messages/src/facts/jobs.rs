//! What is mined: the daemon's block templates, and the one that is served now.
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use chain::{BlockId, HeaderBase, MerkleRoot, Target};
use serde_json::value::RawValue;
use units::{Amount, Difficulty, Height, Timestamp};

/// One block template of the daemon. Immutable and shared; only its retirement is noted.
#[derive(Debug)]
pub struct Template {
    /// Unique in this process.
    pub local_id: u64,
    /// The 92 bytes that miners hash.
    pub header_base: HeaderBase,
    /// `header_base`'s height.
    pub height: Height,
    /// The block it builds on.
    pub prev_hash: BlockId,
    /// What makes it unique: no two templates share it.
    pub merkle_root: MerkleRoot,
    /// A hash at or below it is a block.
    pub network_target: Target,
    /// The same as a difficulty.
    pub network_difficulty: Difficulty,
    /// What the block pays, by the emission rule of its height.
    pub reward: Amount,
    /// Whom the daemon says it pays.
    pub reward_address: String,
    /// The daemon's short-lived name for it, for the compact submit.
    pub daemon_id: Option<String>,
    /// Which daemon made it, as its place in the list of daemons; empty when that was in an earlier process.
    pub issuer: Option<usize>,
    /// The block as the daemon gave it, for the full submit.
    pub block: Box<RawValue>,
    /// The mempool it was made from, where the daemon says.
    pub mempool_generation: Option<u64>,
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// When a template of another identity replaced it; shares are taken for a grace time after that.
    pub retired_at: OnceLock<Instant>,
    /// See [`super::WorkerIdentity::defined_in`].
    pub defined_in: AtomicU64,
}

/// What a push of a new job depends on: renewing anything else would only throw hashes away.
pub type TemplateIdentity = (Height, Target, BlockId);

impl Template {
    /// Height, network target and previous block.
    #[must_use]
    pub fn identity(&self) -> TemplateIdentity {
        (self.height, self.network_target, self.prev_hash)
    }

    /// Its name in texts to miners: the first 8 bytes of the merkle root, printed as 16 hex digits.
    #[must_use]
    pub fn uid(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.merkle_root.as_bytes()[..8]);
        u64::from_be_bytes(first)
    }
}

/// What is mined now. Sessions push a job when `push` differs from the one they sent last.
#[derive(Debug)]
pub struct CurrentJob {
    /// Serves every assignment made from now on.
    pub template: Arc<Template>,
    /// Grows by one with every change of the template's identity, and otherwise only when work on the template before
    /// could soon not be submitted any more.
    pub push: u64,
    /// When this process first heard of the tip that the template builds on.
    pub known_at: Instant,
}

/// `None` until the first template.
pub type JobReceiver = tokio::sync::watch::Receiver<Option<Arc<CurrentJob>>>;
