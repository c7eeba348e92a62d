//! All blocks that the daemon knows, and which of them are the main chain.
//!
//! Most cumulative difficulty wins, a tie keeps what was first, and history deeper than 100 blocks never changes.
//! What this module refuses to do: judge a block. It was judged before it came here.
use std::collections::HashMap;
use std::sync::Arc;

use chain::tx::Transaction;
use chain::{Ancestor, Block as FullBlock, BlockHeader, BlockId, DifficultyRules, TxId, block_reward};
use units::Height;

/// Depth below which no reorganisation reaches.
pub(crate) const FINALITY_DEPTH: u64 = 100;
/// Blocks over which the difficulty is averaged.
const DIFFICULTY_WINDOW: usize = 60;

/// A block with what is computed once from it.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) id: BlockId,
    pub(crate) header: BlockHeader,
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) txids: Vec<TxId>,
    /// Sum of difficulties from genesis to here.
    pub(crate) work: u64,
}

impl Block {
    pub(crate) fn height(&self) -> u64 {
        self.header.height
    }

    pub(crate) fn parent(&self) -> BlockId {
        BlockId(self.header.prev_hash.0)
    }

    /// The block itself, without what was computed from it.
    pub(crate) fn full(&self) -> FullBlock {
        FullBlock { header: self.header.clone(), transactions: self.transactions.clone() }
    }

    /// Atoms by the emission rule, which is what the daemon reports whatever the coinbase holds.
    pub(crate) fn reward(&self) -> u64 {
        block_reward(Height::new(self.height())).atoms()
    }
}

/// What adding a block changed.
#[derive(Debug)]
pub(crate) enum Added {
    /// It was there already.
    Known,
    /// It is on a branch with no more work than the main chain.
    Side,
    /// It is the new tip. Old blocks from the tip down, new ones from the fork up.
    Tip { disconnected: Vec<Arc<Block>>, connected: Vec<Arc<Block>> },
    /// Its branch has more work but leaves the main chain too deep.
    TooDeep,
}

#[derive(Debug)]
pub(crate) struct Tree {
    blocks: HashMap<BlockId, Arc<Block>>,
    main: Vec<Arc<Block>>,
    /// Height of each transaction of the main chain.
    transactions: HashMap<TxId, u64>,
    /// What the main chain has spent.
    key_images: HashMap<[u8; 32], TxId>,
}

impl Tree {
    /// A chain of its genesis alone.
    pub(crate) fn new(genesis: BlockHeader) -> Tree {
        let id = genesis.block_id();
        let work = genesis.difficulty;
        let genesis = Arc::new(Block { id, header: genesis, transactions: Vec::new(), txids: Vec::new(), work });
        Tree {
            blocks: HashMap::from([(id, Arc::clone(&genesis))]),
            main: vec![genesis],
            transactions: HashMap::new(),
            key_images: HashMap::new(),
        }
    }

    pub(crate) fn tip(&self) -> &Arc<Block> {
        self.main.last().expect("a chain has at least its genesis")
    }

    pub(crate) fn tip_height(&self) -> u64 {
        self.tip().height()
    }

    pub(crate) fn at(&self, height: u64) -> Option<&Arc<Block>> {
        self.main.get(usize::try_from(height).ok()?)
    }

    pub(crate) fn get(&self, id: &BlockId) -> Option<&Arc<Block>> {
        self.blocks.get(id)
    }

    pub(crate) fn main(&self) -> &[Arc<Block>] {
        &self.main
    }

    /// Height of a transaction on the main chain.
    pub(crate) fn transaction_height(&self, txid: &TxId) -> Option<u64> {
        self.transactions.get(txid).copied()
    }

    /// A transaction of the main chain, and its height.
    pub(crate) fn transaction(&self, txid: &TxId) -> Option<(u64, &Transaction)> {
        let height = self.transaction_height(txid)?;
        let block = self.at(height)?;
        let at = block.txids.iter().position(|candidate| candidate == txid)?;
        Some((height, &block.transactions[at]))
    }

    /// The transaction of the main chain that carries this key image.
    pub(crate) fn spent_by(&self, key_image: &[u8; 32]) -> Option<&TxId> {
        self.key_images.get(key_image)
    }

    /// Outputs on the main chain.
    pub(crate) fn output_count(&self) -> usize {
        self.main.iter().flat_map(|block| &block.transactions).map(|tx| tx.outputs.len()).sum()
    }

    /// The difficulty that a child of `parent` must have.
    pub(crate) fn next_difficulty(&self, parent: &Block, rules: &DifficultyRules) -> u64 {
        let mut ancestors = Vec::with_capacity(DIFFICULTY_WINDOW + 1);
        let mut block = Some(parent);
        while let Some(current) = block.filter(|_| ancestors.len() <= DIFFICULTY_WINDOW) {
            ancestors.push(Ancestor { timestamp: current.header.timestamp, difficulty: current.header.difficulty });
            block = self.blocks.get(&current.parent()).map(Arc::as_ref);
        }
        ancestors.reverse();
        chain::next_difficulty(rules, &ancestors)
    }

    /// Adds a block whose parent is known and makes it the tip when its branch has more work.
    pub(crate) fn add(&mut self, header: BlockHeader, transactions: Vec<Transaction>) -> Added {
        let id = header.block_id();
        if self.blocks.contains_key(&id) {
            return Added::Known;
        }
        let parent = self.blocks.get(&BlockId(header.prev_hash.0)).expect("a judged block has a known parent");
        let work = parent.work.saturating_add(header.difficulty);
        let txids = transactions.iter().map(Transaction::txid).collect();
        let block = Arc::new(Block { id, header, transactions, txids, work });
        if work > self.tip().work && self.fork_height(&block) + FINALITY_DEPTH < self.tip_height() {
            return Added::TooDeep;
        }
        self.blocks.insert(id, Arc::clone(&block));
        if work <= self.tip().work {
            return Added::Side;
        }
        self.reorganise(block)
    }

    /// Height of the last main-chain ancestor.
    fn fork_height(&self, block: &Block) -> u64 {
        let mut ancestor = block.parent();
        loop {
            let block = self.blocks.get(&ancestor).expect("every stored block has a stored parent");
            if self.at(block.height()).is_some_and(|main| main.id == block.id) {
                return block.height();
            }
            ancestor = block.parent();
        }
    }

    fn reorganise(&mut self, tip: Arc<Block>) -> Added {
        let fork_height = self.fork_height(&tip);
        let keep = usize::try_from(fork_height + 1).unwrap_or(usize::MAX);
        let mut disconnected = self.main.split_off(keep.min(self.main.len()));
        disconnected.reverse();
        for block in &disconnected {
            for (tx, txid) in block.transactions.iter().zip(&block.txids) {
                self.transactions.remove(txid);
                for input in &tx.inputs {
                    self.key_images.remove(&input.key_image.0);
                }
            }
        }
        let mut connected = vec![tip];
        while let Some(first) = connected.last().filter(|block| block.height() > fork_height + 1) {
            let parent = self.blocks.get(&first.parent()).expect("every stored block has a stored parent");
            connected.push(Arc::clone(parent));
        }
        connected.reverse();
        for block in &connected {
            for (tx, txid) in block.transactions.iter().zip(&block.txids) {
                self.transactions.insert(*txid, block.height());
                for input in &tx.inputs {
                    self.key_images.insert(input.key_image.0, *txid);
                }
            }
            self.main.push(Arc::clone(block));
        }
        Added::Tip { disconnected, connected }
    }
}
