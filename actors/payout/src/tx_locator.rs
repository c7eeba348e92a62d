//! Finds a transaction in blocks, for daemons whose wallet cannot list its sends.
use std::collections::HashMap;

use chain::TxId;
use daemon::{Daemon, DaemonError};
use units::Height;

/// Blocks that one step reads.
const BLOCKS_PER_STEP: u64 = 100;

/// How far each transaction was looked for. Lost with the actor; then it is looked for again.
#[derive(Debug, Default)]
pub(crate) struct TxLocator(HashMap<TxId, Progress>);

#[derive(Debug, Clone, Copy)]
enum Progress {
    /// Not in any block up to here.
    Read(Height),
    In(Height),
}

impl TxLocator {
    /// The block that holds `txid`, sent when the tip was `since`; `None` when no block read so far does. A block that
    /// was replaced is noticed.
    pub(crate) async fn find(
        &mut self,
        daemon: &Daemon,
        txid: TxId,
        since: Height,
        tip: Height,
    ) -> Result<Option<Height>, DaemonError> {
        if let Some(Progress::In(height)) = self.0.get(&txid).copied() {
            if holds(daemon, height, txid).await? {
                return Ok(Some(height));
            }
            self.0.remove(&txid);
        }
        let mut read = match self.0.get(&txid) {
            Some(Progress::Read(height)) => *height,
            _ => since,
        };
        for _ in 0..BLOCKS_PER_STEP {
            if read >= tip {
                break;
            }
            let height = read.next();
            if holds(daemon, height, txid).await? {
                self.0.insert(txid, Progress::In(height));
                return Ok(Some(height));
            }
            read = height;
        }
        // The newest blocks are read again next time: another chain may replace them.
        let again = Height::new(read.get().saturating_sub(crate::resolve::QUIET_BLOCKS)).max(since);
        self.0.insert(txid, Progress::Read(again));
        Ok(None)
    }

    /// Forgets what is not followed any more.
    pub(crate) fn keep(&mut self, txids: &[TxId]) {
        self.0.retain(|txid, _| txids.contains(txid));
    }
}

pub(crate) async fn holds(daemon: &Daemon, height: Height, txid: TxId) -> Result<bool, DaemonError> {
    let block = daemon.block_by_height(height).await?;
    Ok(block.is_some_and(|block| block.transactions.iter().any(|transaction| transaction.hash == txid)))
}
