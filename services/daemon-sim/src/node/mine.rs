//! How blocks come to be and to enter the chain: templates, submits, and blocks that the rest of the network found.
use std::sync::Arc;

use chain::tx::{Bytes, Transaction};
use chain::{Block as FullBlock, BlockHeader, BlockId, PowHash, Target};
use devnet_accounts::Keys;
use rand::Rng;

use super::rules::{self, FUTURE_SECS_MAX, Invalid};
use super::tree::{Added, Block, FINALITY_DEPTH};
use super::{NetworkView, Node};
use crate::coins::{self, Payment};
use crate::gossip::News;
use crate::persist::PersistError;

/// Why a block did not enter the chain.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlockError {
    /// Not above the tip, or beside it.
    #[error("block rejected as stale")]
    Stale,
    /// The reason is for the log only.
    #[error("block rejected")]
    Invalid(#[from] Invalid),
    /// The data directory failed.
    #[error("internal error")]
    Persist(#[from] PersistError),
}

/// A block of the simulated network that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MineError {
    /// History that deep is final.
    #[error("a reorganisation of {0} blocks is deeper than 100 or than the chain")]
    TooDeep(u64),
    /// Block times may not run ahead of the clock by more than two hours.
    #[error("the block would be more than two hours in the future: advance the clock first")]
    Future,
    /// There is no wallet to mine to.
    #[error("no wallet is loaded")]
    NoWallet,
    /// The address is not one of this network.
    #[error("`{0}` is not a valid address")]
    Address(String),
    /// The data directory failed.
    #[error("cannot store the block")]
    Persist(#[from] PersistError),
}

/// Who gets the coinbase of a block that is not submitted over the API.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MineTo {
    Foreign,
    Wallet,
    Keys(Keys),
}

/// How blocks of the network are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mined {
    pub(crate) to: MineTo,
    /// Seconds between block times; `None` fits them between the parent and the clock.
    pub(crate) spacing_secs: Option<i64>,
    /// Arrive by a sync run, which no event announces.
    pub(crate) is_silent: bool,
    /// Take the mempool along.
    pub(crate) with_mempool: bool,
    /// Take along what this node has ever broadcast, even if it has forgotten it.
    pub(crate) with_forgotten: bool,
}

impl Node {
    /// A block on the tip that pays `to`, without proof of work, at the present time of the clock.
    pub(crate) fn build_template(&mut self, to: Keys) -> FullBlock {
        let parent = self.tip();
        let transactions = self.mempool.select();
        self.assemble(&parent, to, transactions, self.clock.now_secs())
    }

    fn assemble(&mut self, parent: &Block, to: Keys, others: Vec<Transaction>, timestamp: i64) -> FullBlock {
        let height = parent.height() + 1;
        let reward = chain::block_reward(units::Height::new(height)).atoms();
        let mut transactions = vec![coins::make_coinbase(to, reward, &mut self.rng)];
        transactions.extend(others);
        let header = BlockHeader {
            version: 1,
            height,
            prev_hash: Bytes(parent.id.0),
            merkle_root: Bytes([0; 32]),
            timestamp,
            difficulty: self.tree.next_difficulty(parent, &self.rules()),
            nonce: 0,
        };
        let mut block = FullBlock { header, transactions };
        block.header.merkle_root = Bytes(block.merkle_root().0);
        block
    }

    /// The checks before proof of work.
    pub(crate) fn check_before_work(&self, header: &BlockHeader) -> Result<(), BlockError> {
        let tip = self.tree.tip();
        let is_beside_tip = header.height == tip.height() + 1 && header.prev_hash.0 != tip.id.0;
        if header.height <= tip.height() || is_beside_tip {
            return Err(BlockError::Stale);
        }
        Ok(rules::check_header(&self.tree, header, &self.rules(), self.clock.now_secs())?)
    }

    /// Takes a block whose hash was computed: the checks after proof of work, then the chain, then the events.
    pub(crate) fn submit(&mut self, block: FullBlock, hash: &PowHash) -> Result<BlockId, BlockError> {
        if !Target::from_hashes(block.header.difficulty).is_met_by(hash) {
            return Err(Invalid::ProofOfWork.into());
        }
        rules::check_body(&self.tree, &block)?;
        let id = block.header.block_id();
        let reward = chain::block_reward(units::Height::new(block.header.height)).atoms();
        let height = block.header.height;
        let is_tip = self.adopt(block)?;
        if is_tip {
            self.announce_tip();
        }
        self.events.mined_block(&id, height, reward);
        Ok(id)
    }

    /// Adds a block that was judged, stores it, and makes mempool and wallet follow. True when it is the new tip.
    pub(crate) fn adopt(&mut self, block: FullBlock) -> Result<bool, PersistError> {
        let is_tip = self.adopt_unscanned(block)?;
        if let Some(wallet) = self.wallet.as_mut().filter(|_| is_tip && !self.is_wallet_scan_paused) {
            wallet.catch_up(&self.tree)?;
            wallet.settle_unconfirmed(&self.mempool);
        }
        Ok(is_tip)
    }

    /// The same for a block of a sync run: the wallet reads it with the next block that is announced.
    pub(crate) fn adopt_unscanned(&mut self, block: FullBlock) -> Result<bool, PersistError> {
        let id = block.header.block_id();
        let added = self.tree.add(block.header, block.transactions);
        if matches!(added, Added::Side | Added::Tip { .. })
            && let Some(block) = self.tree.get(&id)
        {
            self.log.append(&block.full())?;
        }
        let Added::Tip { disconnected, connected } = added else { return Ok(false) };
        let now_ms = self.clock.now_ms();
        self.mempool.prune(&self.tree, now_ms);
        for block in &disconnected {
            for tx in block.transactions.iter().skip(1) {
                // What the new branch has taken or forbidden does not come back.
                if self.tree.transaction_height(&tx.txid()).is_none()
                    && let Err(refusal) = self.mempool.add(&self.tree, tx.clone(), now_ms)
                {
                    tracing::debug!(%refusal, "a disconnected transaction does not return");
                }
            }
        }
        if let (Some(wallet), Some(first)) = (&mut self.wallet, connected.first()) {
            wallet.rewind(first.height() - 1);
        }
        Ok(true)
    }

    pub(crate) fn announce_tip(&mut self) {
        let tip = self.tip();
        self.events.new_block(&tip.id, tip.height(), tip.header.timestamp, tip.txids.len());
        self.peers.tell(News::Tip(tip.id));
    }

    /// Puts `count` blocks of the network on the tip.
    pub(crate) fn mine(&mut self, count: u64, how: &Mined) -> Result<Arc<Block>, MineError> {
        for _ in 0..count {
            let parent = self.tip();
            let mut others = if how.with_mempool { self.mempool.select() } else { Vec::new() };
            if how.with_forgotten {
                others.extend(self.forgotten(&others));
            }
            self.mine_on(&parent, others, how)?;
            if !how.is_silent {
                self.announce_tip();
            }
        }
        Ok(self.tip())
    }

    /// Replaces the last `depth` blocks by a branch with more work.
    pub(crate) fn reorganise(&mut self, depth: u64, how: &Mined) -> Result<Arc<Block>, MineError> {
        let tip = self.tip();
        let fork_height =
            tip.height().checked_sub(depth).filter(|_| depth <= FINALITY_DEPTH).ok_or(MineError::TooDeep(depth))?;
        let mut parent = self.tree.at(fork_height).map(Arc::clone).ok_or(MineError::TooDeep(depth))?;
        while self.tree.tip().id == tip.id {
            parent = self.mine_on(&parent, Vec::new(), how)?;
        }
        if !how.is_silent {
            self.announce_tip();
        }
        Ok(self.tip())
    }

    fn mine_on(&mut self, parent: &Block, others: Vec<Transaction>, how: &Mined) -> Result<Arc<Block>, MineError> {
        let to = match how.to {
            MineTo::Foreign => Keys::derive(self.rng.random(), "foreign miner"),
            MineTo::Wallet => *self.wallet.as_ref().ok_or(MineError::NoWallet)?.keys(),
            MineTo::Keys(keys) => keys,
        };
        let now = self.clock.now_secs();
        let target = i64::try_from(self.params.target_secs).unwrap_or(i64::MAX);
        let earliest = parent.header.timestamp + 1;
        let timestamp = match how.spacing_secs {
            Some(spacing) => parent.header.timestamp + spacing.max(1),
            None => parent.header.timestamp.saturating_add(target).min(now).max(earliest),
        };
        if timestamp > now + FUTURE_SECS_MAX {
            return Err(MineError::Future);
        }
        let mut block = self.assemble(parent, to, others, timestamp);
        // Nobody will ever check this one's work.
        block.header.nonce = self.rng.random::<u64>() >> 1;
        let id = block.header.block_id();
        self.adopt(block)?;
        Ok(Arc::clone(self.tree.get(&id).expect("the block was just added")))
    }

    /// Transactions that left this node and are in neither its mempool nor its chain.
    fn forgotten(&self, taken: &[Transaction]) -> Vec<Transaction> {
        let is_open = |tx: &&Transaction| {
            tx.inputs.iter().all(|input| self.tree.spent_by(&input.key_image.0).is_none())
                && !taken.iter().any(|other| {
                    other.inputs.iter().any(|theirs| tx.inputs.iter().any(|ours| ours.key_image == theirs.key_image))
                })
        };
        let mut open: Vec<Transaction> = Vec::new();
        for tx in self.broadcast.iter().filter(is_open) {
            let clashes = open
                .iter()
                .flat_map(|other| &other.inputs)
                .any(|theirs| tx.inputs.iter().any(|ours| ours.key_image == theirs.key_image));
            if !clashes {
                open.push(tx.clone());
            }
        }
        open
    }

    /// The blocks before the first start, as old as if they had been found on time.
    pub(super) fn premine(&mut self) -> Result<(), PersistError> {
        if self.tree.tip_height() > 0 {
            return Ok(());
        }
        let target = i64::try_from(self.params.target_secs).unwrap_or(i64::MAX);
        let count = i64::try_from(self.params.premined).unwrap_or(i64::MAX);
        let first = self.clock.now_secs().saturating_sub(target.saturating_mul(count));
        for at in 0..count {
            let parent = self.tip();
            let timestamp = (first + at * target).max(parent.header.timestamp + 1);
            let to = Keys::derive(self.rng.random(), "foreign miner");
            let mut block = self.assemble(&parent, to, Vec::new(), timestamp);
            block.header.nonce = self.rng.random::<u64>() >> 1;
            self.adopt(block)?;
        }
        Ok(())
    }

    /// Puts a stranger's transaction into the mempool.
    pub(crate) fn add_foreign_transaction(&mut self) -> Result<chain::TxId, super::mempool::MempoolRefusal> {
        let stranger = Keys::derive(self.rng.random(), "stranger");
        let spent = self.rng.random();
        let payment = |amount| Payment { to: stranger, amount, memo: Vec::new() };
        let fee = chain::send_fee(1, 2).atoms();
        let tx = coins::make_transaction(&[spent], &[payment(100_000_000), payment(1)], fee, &[], &mut self.rng);
        self.mempool.add(&self.tree, tx, self.clock.now_ms())
    }

    /// True while a sync run is far enough behind to refuse templates.
    pub(crate) fn is_far_behind(&self) -> bool {
        let NetworkView { syncing, sync_target, .. } = self.network_view();
        syncing && sync_target > self.tree.tip_height() + 2
    }
}
