//! Whom shares belong to, and which of them are under suspicion.
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use units::Timestamp;

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
