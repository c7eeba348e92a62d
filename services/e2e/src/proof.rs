//! The promises, checked from outside: what miners and the chain remember against what the pool has kept.
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use store::blocks::BlockState;

use crate::log::logged_shares;
use crate::network::Network;
use crate::pool::Config;
use crate::wait::wait_until;

/// Blocks that a crashed pool may need to catch up on, and then some.
const CATCH_UP: Duration = Duration::from_secs(60);

/// Checks one pool over all its processes.
#[derive(Default)]
pub struct Proof {
    /// Merkle root of each template that the log ever named: old files are pruned.
    roots: HashMap<String, String>,
    /// Shares that were acknowledged to others than the network's miners, as (template, nonce).
    others: HashSet<(String, u64)>,
}

impl Proof {
    /// Notes a share that was acknowledged to a raw client.
    pub fn acknowledged(&mut self, template_id: &str, nonce: u64) {
        self.others.insert((template_id.to_owned(), nonce));
    }

    fn all_acknowledged(&self, network: &Network) -> HashSet<(String, u64)> {
        let noted = network.miners.iter().flat_map(|miner| miner.accepted());
        let key = |share: meshpool_devnet::miner::AcceptedShare| {
            (share.template_id.expect("the pool names the daemon's template"), share.nonce)
        };
        noted.map(key).chain(self.others.iter().cloned()).collect()
    }

    /// Every acknowledged share is in the log or in the database, and none is there twice. Holds at any moment, with or
    /// without a pool. Returns how many there are.
    ///
    /// # Panics
    /// When one is missing.
    pub fn shares_are_kept(&mut self, network: &Network, config: &Config) -> usize {
        // In this order: shares move from the first to the last.
        let acknowledged = self.all_acknowledged(network);
        let mut logged: HashMap<(String, u64), u32> = HashMap::new();
        for share in logged_shares(&config.log_dir()) {
            self.roots.insert(share.template_id, share.merkle_root.clone());
            *logged.entry((share.merkle_root, share.nonce)).or_insert(0) += 1;
        }
        let booked = config.books().shares();
        for (place, shares) in [("log", &logged), ("database", &booked)] {
            let twice = shares.iter().find(|(_, count)| **count > 1);
            assert!(twice.is_none(), "the {place} has a share more than once: {twice:?}");
        }
        for (template_id, nonce) in &acknowledged {
            let root = self.roots.get(template_id);
            let root = root.unwrap_or_else(|| panic!("acknowledged, but nothing of template {template_id} was logged"));
            let key = (root.clone(), *nonce);
            let is_kept = logged.contains_key(&key) || booked.contains_key(&key);
            assert!(is_kept, "nonce {nonce} of template {template_id} was acknowledged and is lost");
        }
        acknowledged.len()
    }

    /// Waits until every share acknowledged so far is in the database.
    ///
    /// # Panics
    /// When that does not happen.
    pub fn shares_are_booked(&mut self, network: &Network, config: &Config) {
        let acknowledged = self.all_acknowledged(network);
        self.shares_are_kept(network, config);
        wait_until("all acknowledged shares in the database", CATCH_UP, || {
            let booked = config.books().shares();
            acknowledged
                .iter()
                .all(|(template_id, nonce)| booked.contains_key(&(self.roots[template_id].clone(), *nonce)))
        });
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
