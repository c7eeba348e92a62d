//! What is decided in memory, in force at once, and stored behind: its records, and the way between memory and the
//! keeper that stores them.
use std::sync::Arc;

use runtime::Message;
use units::{Difficulty, Timestamp};

use crate::facts::{Origin, TrustKey};

/// Workers that hints are kept for, in memory and in the database.
pub const HINTS_MAX: u32 = 100_000;
/// Hints worth loading at once: as many as memory takes without forgetting any other.
pub const HINTS_LOADED_MAX: u32 = HINTS_MAX / 2;

/// Records in memory that a keeper stores behind. None of these waits for the database.
pub trait WrittenBehind: Send + Sync {
    /// What is stored.
    type Record: Clone;

    /// Records that are not stored yet, at most `limit`. They count as stored until they are put back.
    fn take_unsaved(&self, limit: usize) -> Vec<Self::Record>;

    /// These were not stored after all. What is known better by now is stored in their place.
    fn put_back(&self, records: &[Self::Record]);

    /// Takes over what is stored. What is not stored yet, and what is known better, stays.
    fn load(&self, stored: Vec<Self::Record>, now: Timestamp);

    /// Records that ended before this are worth nothing at `now`.
    fn oldest(&self, now: Timestamp) -> Timestamp;
}

/// A client that may not connect for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BanRecord {
    /// IPv4 address or IPv6 /64, as text.
    pub client: String,
    /// What for.
    pub reason: Arc<str>,
    /// When it was imposed.
    pub begun: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// How many there were in a row, this one included.
    pub times: u32,
}

/// The difficulty that was measured for a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HintRecord {
    /// Payout address.
    pub address: Arc<str>,
    /// Worker name.
    pub worker: Arc<str>,
    /// Where it connected from.
    pub origin: Origin,
    /// The difficulty at which it meets the target.
    pub difficulty: Difficulty,
    /// Its last share.
    pub measured_at: Timestamp,
}

/// A pair that sent false shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PenaltyRecord {
    /// Who.
    pub pair: TrustKey,
    /// What for.
    pub reason: String,
    /// False shares that count together.
    pub strikes: u32,
    /// When the last of them was found.
    pub struck_at: Timestamp,
    /// Every share is proven before it is acknowledged until then.
    pub forced_until: Timestamp,
    /// Every share is refused until then.
    pub quarantined_until: Option<Timestamp>,
    /// Its uncredited work from before then is still to be voided.
    pub void_before: Option<Timestamp>,
    /// When all is forgiven.
    pub ends_at: Timestamp,
}

/// Store new bans; now and then take over stored ones.
#[derive(Debug)]
pub struct StoreBans;

impl Message for StoreBans {
    type Reply = ();
    const NAME: &'static str = "keep_bans";
    const URGENT: bool = true;
}

/// Store new hints; now and then take over stored ones.
#[derive(Debug)]
pub struct StoreHints;

impl Message for StoreHints {
    type Reply = ();
    const NAME: &'static str = "keep_hints";
    const URGENT: bool = true;
}

/// Store new strikes; now and then take over stored ones.
#[derive(Debug)]
pub struct StorePenalties;

impl Message for StorePenalties {
    type Reply = ();
    const NAME: &'static str = "keep_suspects";
    const URGENT: bool = true;
}
