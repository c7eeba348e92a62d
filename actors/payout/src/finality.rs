//! Settled payouts are watched until no reorganisation can reach them. Their books are closed, so a payout that the
//! chain gives up is only said: an operator decides.
use std::rc::Rc;
use std::sync::Arc;

use chain::{BlockId, Network};
use store::Store;
use store::payouts::Intent;
use tracing::{error, info};
use units::Height;

use crate::error::PayoutError;
use crate::evidence;
use crate::metrics::PayoutMetrics;
use crate::parts::PayoutParts;
use crate::paying_daemon::{PayingDaemon, is_same_wallet};
use crate::resolve::{FINAL_BLOCKS, TxLocation};
use crate::tip::WalletTip;

/// A payout may have waited for its block before it was settled.
const WAITED_BLOCKS: u64 = 200;

/// Sends nothing and books nothing.
pub(crate) struct SettledPayouts {
    daemon: Rc<PayingDaemon>,
    store: Store,
    metrics: Arc<PayoutMetrics>,
    network: Network,
    settle_depth: u64,
    /// A block as deep as settled payouts are: when it is replaced they may be gone.
    anchor: Option<(Height, BlockId)>,
}

impl SettledPayouts {
    pub(crate) fn new(parts: &PayoutParts, daemon: &Rc<PayingDaemon>) -> SettledPayouts {
        SettledPayouts {
            daemon: Rc::clone(daemon),
            store: parts.store.clone(),
            metrics: Arc::clone(&parts.metrics),
            network: parts.network,
            settle_depth: parts.settle_depth,
            anchor: None,
        }
    }

    /// Looks at settled payouts again when blocks as deep as theirs were replaced, and at the start.
    pub(crate) async fn check(&mut self, tip: &WalletTip) -> Result<(), PayoutError> {
        let daemon = self.daemon.client();
        let below = |blocks: u64| Height::new(tip.height.get().saturating_sub(blocks));
        let stands = match self.anchor.take() {
            Some((height, hash)) => daemon.block_by_height(height).await?.is_some_and(|block| block.hash == hash),
            None => false,
        };
        let anchor = daemon.block_by_height(below(self.settle_depth)).await?;
        let displaced = &self.metrics.payouts_displaced;
        if !stands || displaced.get() > 0 {
            let gone = self.count_gone(below(FINAL_BLOCKS.saturating_add(WAITED_BLOCKS))).await?;
            if gone == 0 && displaced.get() > 0 {
                info!("all settled payouts are in blocks again");
            }
            displaced.set(gone);
        }
        self.anchor = anchor.map(|block| (block.height, block.hash));
        Ok(())
    }

    /// Of those that were sent since that height, how many no block holds.
    async fn count_gone(&self, since: Height) -> Result<u64, PayoutError> {
        let settled = self.store.intent_list_settled(since).await?;
        let Some(oldest) = settled.iter().map(|intent| intent.created_height).min() else { return Ok(0) };
        let look = evidence::look(&self.daemon, Some(oldest)).await?;
        let known = |intent: &&Intent| {
            let wallet = intent.wallet.as_ref();
            wallet.is_none_or(|wallet| is_same_wallet(wallet, &look.wallet, &self.network))
        };
        let mut gone = 0;
        for intent in settled.iter().filter(known) {
            let by_memo = match look.send_of(&intent.id) {
                Ok(seen) => seen,
                Err(trouble) => {
                    // It is in a block at least; what else is there concerns this payout alone.
                    error!(payout = intent.id, %trouble, "a settled payout was paid more than once");
                    continue;
                }
            };
            let seen = look.inputs(intent).1.or(by_memo);
            if !seen.is_some_and(|seen| matches!(seen.place, TxLocation::Block { .. })) {
                gone += 1;
                error!(
                    payout = intent.id,
                    txid = intent.txid.map(tracing::field::display),
                    "no block holds a settled payout any more"
                );
            }
        }
        Ok(gone)
    }
}
