//! The pool's books, read from its database beside it.
use std::collections::HashMap;

use store::batch::ShareBatch;
use store::blocks::{Block, BlockWeight, WindowWork};
use store::reads::{BlockPage, PayoutRow};
use store::{Store, StoreError};
use tokio::runtime::Runtime;
use units::{Minute, Seq, Timestamp};

/// More rows than any test makes.
const ROWS_MAX: u32 = 100_000;

/// A database that a pool writes.
pub struct Books {
    store: Store,
    runtime: Runtime,
}

impl Books {
    /// Opens it.
    ///
    /// # Panics
    /// When it is not there or not migrated.
    #[must_use]
    pub fn open(url: &str) -> Books {
        let store = Store::open(url, 2).unwrap_or_else(|error| panic!("{error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Books { store, runtime: runtime.expect("a runtime can be made") }
    }

    fn ask<T>(&self, question: impl AsyncFnOnce(&Store) -> Result<T, StoreError>) -> T {
        self.runtime.block_on(question(&self.store)).unwrap_or_else(|error| panic!("the books do not answer: {error}"))
    }

    /// How often each (merkle root, nonce) was booked as a share.
    ///
    /// # Panics
    /// When a batch cannot be read.
    #[must_use]
    pub fn shares(&self) -> HashMap<(String, u64), u32> {
        let rows = self.ask(async |store| {
            let mut rows = Vec::new();
            for (host, _, _) in store.host_list().await? {
                rows.extend(store.batch_list(host, Seq::ZERO, ROWS_MAX).await?);
            }
            Ok(rows)
        });
        let mut shares = HashMap::new();
        for row in rows {
            let batch = ShareBatch::decode(&row.body).expect("a stored batch can be read");
            for share in batch.shares {
                let root = &batch.templates[usize::try_from(share.template).expect("it is an index")];
                *shares.entry((root.clone(), share.nonce.get())).or_insert(0) += 1;
            }
        }
        shares
    }

    /// Work of each payee in a block's window, as the verdicts have it now.
    #[must_use]
    pub fn window_work(&self, block: &Block) -> Vec<WindowWork> {
        self.ask(async |store| store.block_window_work(block.id).await).0
    }

    /// What a block was split by.
    #[must_use]
    pub fn weights(&self, block: &Block) -> Vec<BlockWeight> {
        self.ask(async |store| store.block_weights_list(block.id).await)
    }

    /// Accepted shares of an address on all hosts that nobody has judged, wherever it mined from.
    #[must_use]
    pub fn unchecked(&self, address: &str, origins: &[[u8; 16]]) -> usize {
        self.ask(async |store| {
            let mut unchecked = 0;
            for (host, _, _) in store.host_list().await? {
                for origin in origins {
                    let pair = (address, *origin);
                    for segment in store.pair_segments(host, pair, Minute(0), Seq::ZERO, ROWS_MAX.into()).await? {
                        unchecked += store.unchecked_shares(host, &segment).await?.len();
                    }
                }
            }
            Ok(unchecked)
        })
    }

    /// Origins that sent false shares.
    #[must_use]
    pub fn penalized_origins(&self, address: &str) -> Vec<[u8; 16]> {
        let penalties = self.ask(async |store| store.penalties_list(Timestamp::from_ms(0)).await);
        penalties.into_iter().filter(|row| row.address == address).map(|row| row.origin).collect()
    }

    /// Every client that was banned, and what for.
    #[must_use]
    pub fn bans(&self) -> Vec<(String, String)> {
        let bans = self.ask(async |store| store.bans_list(Timestamp::from_ms(0)).await);
        bans.into_iter().map(|ban| (ban.client, ban.reason)).collect()
    }

    /// Shares of an address that the pool recomputed and found true.
    ///
    /// # Panics
    /// When the books do not answer.
    #[must_use]
    pub fn verified(&self, address: &str) -> u64 {
        let pairs = self.ask(async |store| store.proven_pairs(Minute(0), i64::from(ROWS_MAX)).await);
        pairs.iter().filter(|pair| pair.address == address).map(|pair| pair.verified).sum()
    }

    /// Every block of the pool.
    #[must_use]
    pub fn blocks(&self) -> Vec<Block> {
        self.ask(async |store| {
            let page = BlockPage { limit: u64::from(ROWS_MAX), ..BlockPage::default() };
            Ok(store.block_list(page).await?.0)
        })
    }

    /// What a credited block gave to its miners, the pool's fee taken off.
    #[must_use]
    pub fn credits(&self, block: &Block) -> Vec<(String, u64)> {
        let credits = self.ask(async |store| store.block_credits(block.id).await);
        credits.into_iter().map(|(account, amount)| (account, amount.atoms())).collect()
    }

    /// Every payout.
    #[must_use]
    pub fn payouts(&self) -> Vec<PayoutRow> {
        self.ask(async |store| Ok(store.payout_list(0, u64::from(ROWS_MAX)).await?.0))
    }

    /// Where the pool has its blocks paid to.
    #[must_use]
    pub fn reward_address(&self) -> Option<String> {
        self.ask(async |store| store.meta_get("reward_address").await)
    }

    /// Payable, in flight and paid of a miner, in atoms.
    #[must_use]
    pub fn balance(&self, address: &str) -> (u64, u64, u64) {
        let balance = self.ask(async |store| store.balance_of(address).await);
        (balance.payable.atoms(), balance.inflight.atoms(), balance.paid.atoms())
    }
}
