//! Finds blocks of the pool that no candidate explains: a process that dies between the daemon's acceptance and the
//! record must lose nothing.
//!
//! Every main-chain block that was not looked at yet is compared, by its merkle root, with the logged templates. Only when
//! all that hosts had made durable by then is folded do "no such template" and "no such candidate" mean something: see
//! `barrier`.
use std::time::Duration;

use chain::BlockId;
use daemon::{BlockInfo, Daemon};
use messages::facts::{Clock, Tip};
use store::Store;
use tracing::{info, warn};
use units::{Height, HostId, PolicyId, Timestamp};

use crate::barrier::Barrier;
use crate::error::StepError;

/// The chain refuses reorganisations deeper than this: a block's outcome is final.
pub(crate) const FINAL_DEPTH: u64 = 100;
/// Where the height is stored up to which everything was looked at.
const SWEPT_KEY: &str = store::retention::SWEPT_HEIGHT;
/// Where the id of the block at that height is stored: another one means that the chain below has changed.
const SWEPT_HASH_KEY: &str = "swept_hash";
/// Blocks looked at in one pass.
const BLOCKS_PER_PASS: u64 = 64;

/// What the sweep needs.
pub(crate) struct Sweep {
    pub(crate) store: Store,
    pub(crate) host: HostId,
    pub(crate) policy: PolicyId,
    pub(crate) window: Duration,
    pub(crate) clock: Clock,
    pub(crate) barrier: Barrier,
}

impl Sweep {
    /// One pass towards the tip; whether it got there.
    pub(crate) async fn run_once(&mut self, daemon: &Daemon, tip: &Tip, epoch: i64) -> Result<bool, StepError> {
        let Some(swept) = self.start(daemon, tip).await? else { return Ok(true) };
        if swept >= tip.height.get() {
            return Ok(true);
        }
        let Some(folded) = self.barrier.reached(&self.store, daemon, tip.height, swept).await? else {
            return Ok(false);
        };
        let until = folded.min(swept.saturating_add(BLOCKS_PER_PASS));
        let mut last = None;
        for height in swept.saturating_add(1)..=until {
            let Some(block) = daemon.block_by_height(Height::new(height)).await? else { break };
            self.look(&block, epoch).await?;
            last = Some(block);
        }
        let Some(last) = last else { return Ok(false) };
        self.done(last.height, last.hash).await?;
        Ok(last.height >= tip.height)
    }

    /// The height up to which everything was looked at; `None` at the very first start.
    async fn start(&self, daemon: &Daemon, tip: &Tip) -> Result<Option<u64>, StepError> {
        let Some(swept) = self.store.meta_get(SWEPT_KEY).await? else {
            // What was mined before the pool existed is not its own.
            if let Some(hash) = tip.hash {
                self.done(tip.height, hash).await?;
            }
            return Ok(None);
        };
        let swept: u64 = swept.parse().unwrap_or(0);
        let known = self.store.meta_get(SWEPT_HASH_KEY).await?;
        let now = daemon.block_by_height(Height::new(swept)).await?.map(|block| block.hash.to_string());
        if now.is_some() && now == known {
            return Ok(Some(swept));
        }
        // Blocks below have changed places; no reorganisation goes deeper than this.
        Ok(Some(swept.min(tip.height.get()).saturating_sub(FINAL_DEPTH)))
    }

    async fn done(&self, height: Height, hash: BlockId) -> Result<(), StepError> {
        // Hash first: height and hash that do not belong together only make the next pass look again.
        self.store.meta_set(SWEPT_HASH_KEY, &hash.to_string()).await?;
        Ok(self.store.meta_set(SWEPT_KEY, &height.to_string()).await?)
    }

    /// Settles a block: it is not ours, or it is in the books.
    async fn look(&self, block: &BlockInfo, epoch: i64) -> Result<(), StepError> {
        let (hash, merkle_root) = (block.hash.to_string(), block.merkle_root.to_string());
        let known = self.store.block_find(&hash).await?.is_some();
        if known || self.store.template_find(&merkle_root).await?.is_none() {
            return Ok(());
        }
        let found_at = Timestamp::from_ms(block.timestamp.saturating_mul(1_000)).min((self.clock)());
        let nonce = block.nonce.get();
        let (host, policy, window) = (self.host, self.policy, self.window);
        let inserted = self
            .store
            .block_insert_unexplained(epoch, host, &hash, nonce, &merkle_root, found_at, policy, window)
            .await?;
        if inserted {
            warn!(height = %block.height, hash, "pool block without a recorded finder found on the chain");
        } else {
            info!(hash, "block already recorded");
        }
        Ok(())
    }
}
