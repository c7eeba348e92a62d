//! When everything that hosts had made durable at a moment is folded.
//!
//! The moment is when a tip of the main chain was first seen: whatever the pool has to do with that block and those below
//! it was logged before. The own log's ends are known. Another host only says, every few seconds, that it has folded
//! everything, with a time of its own clock, which nobody compares: the second time that this changes, a whole look at
//! its log lies behind the moment. A host that is closed or given up meanwhile has nothing left to say.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chain::BlockId;
use daemon::Daemon;
use messages::facts::LogPosition;
use store::Store;
use tokio::sync::watch;
use units::{Height, HostId, Timestamp};

use crate::error::StepError;

/// Times that a host must say it anew.
const CHANGES: u8 = 2;
/// A host that says nothing for so long is silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for all hosts' logs.
pub(crate) struct Barrier {
    own: HostId,
    position: watch::Receiver<Option<LogPosition>>,
    waiting: Option<Waiting>,
    /// The last block of which it is over.
    reached: Option<(u64, BlockId)>,
}

struct Waiting {
    height: u64,
    hash: BlockId,
    /// The own log's end at that moment.
    durable: u64,
    hosts: BTreeMap<HostId, HostProgress>,
    began: Instant,
}

struct HostProgress {
    name: String,
    caught_up_at: Timestamp,
    changes: u8,
}

impl Barrier {
    pub(crate) fn new(own: HostId, position: watch::Receiver<Option<LogPosition>>) -> Barrier {
        Barrier { own, position, waiting: None, reached: None }
    }

    /// The height up to which it is over, if that is beyond `swept`. Else it goes on, or begins with the block at `tip`.
    pub(crate) async fn reached(
        &mut self,
        store: &Store,
        daemon: &Daemon,
        tip: Height,
        swept: u64,
    ) -> Result<Option<u64>, StepError> {
        if let Some((height, hash)) = self.reached.filter(|(height, _)| *height > swept) {
            if stands(daemon, height, hash).await? {
                return Ok(Some(height));
            }
            self.reached = None;
        }
        // Before the log is open nobody knows how much of it is not folded.
        let Some(position) = *self.position.borrow() else { return Ok(None) };
        if self.waiting.is_none() {
            let Some(block) = daemon.block_by_height(tip).await? else { return Ok(None) };
            // The own log's end was read after the tip was seen, and other hosts' words are read now.
            self.waiting = Some(self.begin(store, block.height.get(), block.hash, position.durable).await?);
        }
        let Some(waiting) = &mut self.waiting else { return Ok(None) };
        if position.folded < waiting.durable || !waiting.hosts_are_done(store).await? {
            return Ok(None);
        }
        let (height, hash) = (waiting.height, waiting.hash);
        self.waiting = None;
        // Another block in its place may be younger than the moment.
        if height <= swept || !stands(daemon, height, hash).await? {
            return Ok(None);
        }
        self.reached = Some((height, hash));
        Ok(Some(height))
    }

    async fn begin(&self, store: &Store, height: u64, hash: BlockId, durable: u64) -> Result<Waiting, StepError> {
        let open = store.hosts_open().await?.into_iter().filter(|host| host.id != self.own);
        let said =
            open.map(|host| (host.id, HostProgress { name: host.name, caught_up_at: host.caught_up_at, changes: 0 }));
        Ok(Waiting { height, hash, durable, hosts: said.collect(), began: Instant::now() })
    }

    /// Hosts that have said nothing for long.
    pub(crate) fn silent(&self) -> Vec<String> {
        let waiting = self.waiting.as_ref().filter(|waiting| waiting.began.elapsed() >= PATIENCE);
        waiting.map(|waiting| waiting.hosts.values().map(|said| said.name.clone()).collect()).unwrap_or_default()
    }
}

impl Waiting {
    async fn hosts_are_done(&mut self, store: &Store) -> Result<bool, StepError> {
        if self.hosts.is_empty() {
            return Ok(true);
        }
        let open = store.hosts_open().await?;
        self.hosts.retain(|id, said| {
            let Some(host) = open.iter().find(|host| host.id == *id) else { return false };
            if host.caught_up_at != said.caught_up_at {
                said.caught_up_at = host.caught_up_at;
                said.changes += 1;
            }
            said.changes < CHANGES
        });
        Ok(self.hosts.is_empty())
    }
}

/// Whether the block is on the main chain.
async fn stands(daemon: &Daemon, height: u64, hash: BlockId) -> Result<bool, StepError> {
    Ok(daemon.block_by_height(Height::new(height)).await?.is_some_and(|block| block.hash == hash))
}
