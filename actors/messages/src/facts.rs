//! What actors publish: the current job, the tip, restrictions, notices to miners; and the shared,
//! immutable things that messages carry by reference.
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use chain::{BlockId, HeaderBase, MerkleRoot, Target};
use serde_json::value::RawValue;
use units::{Amount, Difficulty, Height, Timestamp};

/// Numbers that are unique in one process: lines and templates take theirs from here. 64 bits never come round.
#[derive(Debug, Default)]
pub struct LocalIds {
    next: AtomicU64,
}

impl LocalIds {
    /// The next number, from 1.
    pub fn take(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A connection, unique in this process and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub u64);

/// Where a share came from: an HMAC, under one stored salt per installation, of the client's IPv4
/// address or IPv6 /64. Says "the same place again" without saying which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(pub [u8; 16]);

/// Whom a share belongs to: address, worker and origin of one login. The share log defines it once per
/// segment file, before its first share there.
#[derive(Debug)]
pub struct WorkerIdentity {
    /// Unique in this process.
    pub local_id: u64,
    /// Payout address: the checksummed text, whichever form the miner gave.
    pub address: Arc<str>,
    /// Worker name, already normalised.
    pub worker: Arc<str>,
    /// Where the miner connects from.
    pub origin: Origin,
    /// Which file of the share log holds its definition, and its id there; 0 for none. The disk thread's alone.
    pub defined_in: AtomicU64,
}

/// Trust and blame belong to this pair and never reach beyond it.
pub type TrustKey = (Arc<str>, Origin);

impl WorkerIdentity {
    /// The pair that its shares earn trust or blame for.
    #[must_use]
    pub fn pair(&self) -> TrustKey {
        (Arc::clone(&self.address), self.origin)
    }
}

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
    /// See [`WorkerIdentity::defined_in`].
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

/// The followed daemon's chain as last seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tip {
    /// Whose chain it is, as a place in the list of daemons. Who combines a tip with other reads asks the same one.
    pub daemon: usize,
    /// Height of the best block.
    pub height: Height,
    /// Its id, where the daemon told all of it. Empty also while its chain has less work than one seen before: the pool
    /// may have nothing better to mine on, but no block's outcome and no payment follows from such a chain.
    pub hash: Option<BlockId>,
    /// Height of a chain with more work than this one that was seen before, also by an earlier process.
    pub behind: Option<Height>,
    /// Whether the daemon says that it is catching up.
    pub syncing: bool,
    /// Whether the daemon answered the last time it was asked.
    pub reachable: bool,
}

/// How a daemon is, as last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonHealth {
    /// Its URL without credentials, for labels and logs.
    pub place: String,
    /// Templates come from it.
    pub chosen: bool,
    /// What is known of it.
    pub state: DaemonState,
    /// Height of its best block.
    pub height: Height,
    /// Its event stream stands.
    pub events: bool,
    /// Its wallet was needed the last time, is not open, and the pool cannot open it.
    pub wallet_shut: bool,
}

/// What is known of a daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DaemonState {
    /// It was not asked yet.
    #[default]
    Unknown,
    /// It answers, and is on the best tip known.
    Good,
    /// It does not answer.
    Away,
    /// It says that it is catching up.
    Syncing,
    /// Another daemon has had a chain with more work for a while; or this one is followed and shows less work than was
    /// seen before.
    Behind,
    /// It gave no usable template the last time.
    NoTemplate,
    /// Its template would pay another address than the pool's.
    ForeignAddress,
}

impl DaemonState {
    /// What it says to operators: one word for labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            DaemonState::Unknown => "unknown",
            DaemonState::Good => "good",
            DaemonState::Away => "away",
            DaemonState::Syncing => "syncing",
            DaemonState::Behind => "behind",
            DaemonState::NoTemplate => "no_template",
            DaemonState::ForeignAddress => "foreign_address",
        }
    }
}

/// How each daemon of the list is, in its order.
pub type DaemonsReceiver = tokio::sync::watch::Receiver<Vec<DaemonHealth>>;

/// Which pairs are under suspicion.
#[derive(Debug, Default)]
pub struct Restrictions {
    /// Every share of these is verified before it is acknowledged.
    pub forced: HashSet<TrustKey>,
    /// Every share of these is refused until then.
    pub quarantined: HashMap<TrustKey, Quarantine>,
}

/// Why and until when a pair is refused.
#[derive(Debug, Clone)]
pub struct Quarantine {
    /// The canonical reason.
    pub reason: &'static str,
    /// Proven false shares that led to it.
    pub strikes: u32,
    /// When it ends.
    pub until: Timestamp,
}

/// Something that miners are told.
#[derive(Debug, Clone)]
pub enum Notice {
    /// The daemon accepted a block of the pool.
    BlockSolved {
        /// The connection that found it, when it is one of this process.
        finder: Option<SessionId>,
    },
}

/// The share log's two ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogPosition {
    /// Everything up to here is on disk.
    pub durable: u64,
    /// Everything up to here is in the database.
    pub folded: u64,
}

/// Makes session ids.
#[derive(Debug, Default)]
pub struct SessionIds(AtomicU64);

impl SessionIds {
    /// The next id, from 1.
    pub fn take(&self) -> SessionId {
        SessionId(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// The wall clock, given to an actor when it is built.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The fencing epoch under which money may be written; `None` while this host does not hold the lease.
pub type LeaseEpoch = tokio::sync::watch::Receiver<Option<i64>>;
