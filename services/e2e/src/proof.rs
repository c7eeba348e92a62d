//! The promises, checked from outside: what miners and the chain remember against what the pool has kept.
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use store::blocks::BlockState;

use crate::log::logged_shares;
use crate::network::{Miner, Network};
use crate::pool::Config;
use crate::stratum::Job;
use crate::wait::wait_until;

/// Blocks that a crashed pool may need to catch up on, and then some.
const CATCH_UP: Duration = Duration::from_secs(60);

/// A share, as (merkle root, nonce).
type Key = (String, u64);

/// Checks one pool over all its processes.
#[derive(Default)]
pub struct Proof {
    /// Shares that were acknowledged to others than the network's miners.
    others: HashSet<Key>,
}

impl Proof {
    /// Notes a share that was acknowledged to a raw client.
    pub fn acknowledged(&mut self, job: &Job, nonce: u64) {
        self.others.insert((job.header_base.merkle_root().to_string(), nonce));
    }

    fn all_acknowledged(&self, network: &Network) -> HashSet<Key> {
        let noted = network.miners.iter().flat_map(Miner::accepted);
        let noted = noted.map(|share| (share.merkle_root.to_string(), share.nonce));
        noted.chain(self.others.iter().cloned()).collect()
    }

    /// Every acknowledged share is in the log or in the database, and none is there twice. Holds at any moment, with or
    /// without a pool. Returns how many there are.
    ///
    /// # Panics
    /// When one is missing.
    pub fn shares_are_kept(&self, network: &Network, config: &Config) -> usize {
        // In this order: shares move from the first to the last.
        let acknowledged = self.all_acknowledged(network);
        let mut logged: HashMap<Key, u32> = HashMap::new();
        for share in logged_shares(&config.log_dir()) {
            *logged.entry((share.merkle_root, share.nonce)).or_insert(0) += 1;
        }
        let booked = config.books().shares();
        for (place, shares) in [("log", &logged), ("database", &booked)] {
            let twice = shares.iter().find(|(_, count)| **count > 1);
            assert!(twice.is_none(), "the {place} has a share more than once: {twice:?}");
        }
        let lost = acknowledged.iter().find(|share| !logged.contains_key(*share) && !booked.contains_key(*share));
        assert!(lost.is_none(), "acknowledged and lost, of {}: {lost:?}", acknowledged.len());
        acknowledged.len()
    }

    /// Waits until every share acknowledged so far is in the database.
    ///
    /// # Panics
    /// When that does not happen.
    pub fn shares_are_booked(&self, network: &Network, config: &Config) {
        let acknowledged = self.all_acknowledged(network);
        wait_until("all acknowledged shares in the database", CATCH_UP, || {
            let booked = config.books().shares();
            acknowledged.iter().all(|share| booked.contains_key(share))
        });
        self.shares_are_kept(network, config);
    }

    /// Waits until every block that the pool has on the chain at credit depth is credited, and checks that each was
    /// credited once, with what the chain paid. Returns how many there are.
    ///
    /// # Panics
    /// When one is not, or something else was credited.
    pub fn blocks_are_credited_once(&self, network: &Network, config: &Config, depth: u64) -> usize {
        let books = config.books();
        let Some(pool) = books.reward_address() else { return 0 };
        let height = network.tip().height;
        let income = network.income(&pool);
        let on_chain: HashMap<u64, u64> =
            income.iter().filter(|income| income.is_coinbase).map(|income| (income.height, income.amount)).collect();
        let due: Vec<u64> = on_chain.keys().copied().filter(|at| at + depth <= height).collect();
        let credited =
            || -> Vec<_> { books.blocks().into_iter().filter(|block| block.state == BlockState::Credited).collect() };
        wait_until("all deep blocks credited", CATCH_UP, || {
            let heights: HashSet<u64> = credited().iter().map(|block| block.height.get()).collect();
            due.iter().all(|height| heights.contains(height))
        });
        // The chain may have grown since.
        let on_chain: HashMap<u64, u64> = network
            .income(&pool)
            .iter()
            .filter(|income| income.is_coinbase)
            .map(|income| (income.height, income.amount))
            .collect();
        let credited = credited();
        let mut heights = HashSet::new();
        for block in &credited {
            let height = block.height.get();
            assert!(heights.insert(height), "two blocks of height {height} are credited");
            assert_eq!(on_chain.get(&height), Some(&block.reward.atoms()), "reward of block {}", block.hash);
            assert_eq!((block.credits, block.reversals), (1, 0), "block {} is credited once", block.hash);
            let paid: u64 = books.credits(block).iter().map(|(_, amount)| amount).sum();
            assert_eq!(paid, block.reward.atoms(), "credits of block {}", block.hash);
        }
        credited.len()
    }
}
