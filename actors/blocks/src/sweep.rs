//! Finds blocks of the pool that no candidate explains: a process that dies between the daemon's acceptance and the
//! record must lose nothing.
//!
//! Every main-chain block that was not looked at yet is compared, by its merkle root, with the logged templates.
use std::collections::HashMap;

use chain::BlockId;
use daemon::{BlockInfo, Daemon};
use messages::facts::{Clock, LogPosition, Tip};
use store::Store;
use tokio::sync::watch;
use tracing::{info, warn};
use units::{Height, HostId, PolicyId, Timestamp};

use crate::lifecycle::StepError;

/// Where the height is stored up to which everything was looked at.
const SWEPT_KEY: &str = "swept_height";
/// Blocks looked at in one pass.
const BLOCKS_PER_PASS: u64 = 64;

/// What the sweep needs.
#[derive(Clone)]
pub(crate) struct Sweep {
    pub(crate) store: Store,
    pub(crate) host: HostId,
    pub(crate) policy: PolicyId,
    pub(crate) window: std::time::Duration,
    pub(crate) position: watch::Receiver<LogPosition>,
    pub(crate) clock: Clock,
    /// Log positions that must be folded before a match without a row counts as unexplained.
    pub(crate) waiting: HashMap<BlockId, u64>,
}

impl Sweep {
    /// One pass up to the tip.
    pub(crate) async fn pass(&mut self, daemon: &Daemon, tip: &Tip, epoch: i64) -> Result<(), StepError> {
        let Some(swept) = self.store.meta_get(SWEPT_KEY).await? else {
            // The first start: what was mined before the pool existed is not its own.
            return Ok(self.store.meta_set(SWEPT_KEY, &tip.height.to_string()).await?);
        };
        let swept: u64 = swept.parse().unwrap_or(tip.height.get());
        let until = tip.height.get().min(swept.saturating_add(BLOCKS_PER_PASS));
        let mut done = swept;
        for height in swept + 1..=until {
            let Some(block) = daemon.block_by_height(Height::new(height)).await? else { break };
            if !self.look(&block, epoch).await? {
                break;
            }
            done = height;
        }
        if done > swept {
            self.store.meta_set(SWEPT_KEY, &done.to_string()).await?;
        }
        Ok(())
    }

    /// Whether the block is settled: not ours, or in the books.
    async fn look(&mut self, block: &BlockInfo, epoch: i64) -> Result<bool, StepError> {
        let (hash, merkle_root) = (block.hash.to_string(), block.merkle_root.to_string());
        if self.store.template_find(&merkle_root).await?.is_none() || self.store.block_find(&hash).await?.is_some() {
            self.waiting.remove(&block.hash);
            return Ok(true);
        }
        let position = *self.position.borrow();
        let needed = *self.waiting.entry(block.hash).or_insert(position.durable);
        if position.folded < needed {
            return Ok(false); // Its candidate may be on the way.
        }
        let found_at = Timestamp::from_ms(block.timestamp.saturating_mul(1000)).min((self.clock)());
        let inserted = self
            .store
            .block_insert_unexplained(
                epoch,
                self.host,
                &hash,
                block.nonce.get(),
                &merkle_root,
                found_at,
                self.policy,
                self.window,
            )
            .await?;
        if inserted {
            warn!(height = %block.height, hash, "a block of the pool without a recorded finder was found on the chain");
        } else {
            info!(hash, "block was recorded meanwhile");
        }
        self.waiting.remove(&block.hash);
        Ok(true)
    }
}
