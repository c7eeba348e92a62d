//! What actors publish: the current job, the tip, restrictions, notices to miners; and the shared,
//! immutable things that messages carry by reference. One file per subject.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use units::Timestamp;

mod daemons;
mod jobs;
mod workers;

pub use daemons::{DaemonHealth, DaemonState, DaemonsReceiver, Tip};
pub use jobs::{CurrentJob, JobReceiver, Template, TemplateIdentity};
pub use workers::{Origin, Quarantine, Restrictions, TrustKey, WorkerIdentity};

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
