//! Settled payouts are watched until no reorganisation can reach them. Their books are closed, so a payout that the
//! chain gives up is only said: an operator decides.
use store::payouts::Intent;
use tracing::{error, info};
use units::Height;

use crate::actor::{Payout, WalletTip};
use crate::error::PayoutError;
use crate::evidence;
use crate::funds::is_same_wallet;
use crate::resolve::{FINAL_BLOCKS, TxLocation};

/// A payout may have waited for its block before it was settled.
const WAITED_BLOCKS: u64 = 200;

impl Payout {
    /// Looks at settled payouts again when blocks as deep as theirs were replaced, and at the start.
    pub(crate) async fn check_settled(&mut self, tip: &WalletTip) -> Result<(), PayoutError> {
        let below = |blocks: u64| Height::new(tip.height.get().saturating_sub(blocks));
        let stands = match self.anchor.take() {
            Some((height, hash)) => self.daemon.block_by_height(height).await?.is_some_and(|block| block.hash == hash),
            None => false,
        };
        let anchor = self.daemon.block_by_height(below(self.parts.settle_depth)).await?;
        let displaced = &self.parts.counters.payouts_displaced;
        if !stands || displaced.get() > 0 {
            let since = below(FINAL_BLOCKS.saturating_add(WAITED_BLOCKS));
            let settled = self.parts.store.intent_list_settled(since).await?;
            let oldest = settled.iter().map(|intent| intent.created_height).min();
            let mut gone = 0;
            if oldest.is_some() {
                let look = evidence::look(&self.daemon, &self.wallet, oldest).await?;
                let known = |intent: &&Intent| {
                    let wallet = intent.wallet.as_ref();
                    wallet.is_none_or(|wallet| is_same_wallet(wallet, &look.wallet, &self.parts.network))
                };
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
                        error!(payout = intent.id, txid = intent.txid, "no block holds a settled payout any more");
                    }
                }
            }
            if gone == 0 && displaced.get() > 0 {
                info!("all settled payouts are in blocks again");
            }
            displaced.set(gone);
        }
        self.anchor = anchor.map(|block| (block.height, block.hash));
        Ok(())
    }
}
