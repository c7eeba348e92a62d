//! The promises, checked from outside: what miners and the chain remember against what the pool has kept.
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use store::blocks::{Block, BlockState};
use store::payouts::IntentState;
use store::reads::PayoutRow;

use crate::config::Config;
use crate::log::logged_shares;
use crate::network::{Miner, Network};
use crate::pool::Pool;
use crate::stratum::Job;
use crate::wait::{wait_gone, wait_until};

/// Blocks that a crashed pool may need to catch up on, and then some.
const CATCH_UP: Duration = Duration::from_secs(60);
/// Blocks that the last payouts need.
const SETTLE: Duration = Duration::from_secs(120);

/// A share, as (merkle root, nonce).
type Key = (String, u64);

/// Checks one pool over all its processes.
#[derive(Default)]
pub struct Proof {
    /// Shares that were acknowledged to others than the network's miners.
    others: HashSet<Key>,
    fee_bps: u64,
}

impl Proof {
    /// Of a pool that keeps this fee for itself.
    #[must_use]
    pub fn with_fee(fee_bps: u64) -> Proof {
        Proof { fee_bps, ..Proof::default() }
    }

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

    /// Waits until there is a credited block and every block that the pool has on the chain at credit depth is one, and
    /// checks that each was credited once, with what the chain paid. Returns how many there are.
    ///
    /// # Panics
    /// When one is not, or something else was credited.
    pub fn blocks_are_credited_once(&self, network: &Network, config: &Config, depth: u64) -> usize {
        let books = config.books();
        let credited = || -> Vec<Block> {
            books.blocks().into_iter().filter(|block| block.state == BlockState::Credited).collect()
        };
        wait_until("a credited block", CATCH_UP, || !credited().is_empty());
        let pool = books.reward_address().expect("a pool with blocks knows whom they pay");
        let on_chain = || -> HashMap<u64, u64> {
            let income = network.income(&pool).into_iter().filter(|income| income.is_coinbase);
            income.map(|income| (income.height, income.amount)).collect()
        };
        let height = network.tip().height;
        let due: Vec<u64> = on_chain().into_keys().filter(|at| at + depth <= height).collect();
        wait_gone("blocks that are deep and not credited", CATCH_UP, || {
            let heights: HashSet<u64> = credited().iter().map(|block| block.height.get()).collect();
            due.iter().filter(|height| !heights.contains(height)).collect()
        });
        let credited = credited();
        // The chain may have grown meanwhile, but has lost nothing.
        let on_chain = on_chain();
        let mut heights = HashSet::new();
        for block in &credited {
            let height = block.height.get();
            assert!(heights.insert(height), "two blocks of height {height} are credited");
            assert_eq!(on_chain.get(&height), Some(&block.reward.atoms()), "reward of block {}", block.hash);
            assert_eq!((block.credits, block.reversals), (1, 0), "block {} is credited once", block.hash);
            let paid: u64 = books.credits(block).iter().map(|(_, amount)| amount).sum();
            let fee = block.reward.atoms() * self.fee_bps / 10_000;
            assert_eq!(paid, block.reward.atoms() - fee, "credits of block {}", block.hash);
        }
        credited.len()
    }

    /// No payout was paid twice, and nobody was paid without one. Holds at any moment, with or without a pool. Returns how
    /// many payouts are on the chain.
    ///
    /// # Panics
    /// When one was.
    pub fn payouts_are_sent_once(&self, network: &Network, config: &Config) -> usize {
        // What the chain has was asked for before.
        let mut paid: HashMap<String, HashSet<chain::TxId>> = HashMap::new();
        for miner in &network.miners {
            let mut memos = HashSet::new();
            for income in network.income(&miner.address).into_iter().filter(|income| !income.is_coinbase) {
                let memo = String::from_utf8(hex_decoded(&income.memo_hex)).expect("a memo is an intent's name");
                assert!(memos.insert(memo.clone()), "{} was paid twice by {memo}", miner.worker);
                paid.entry(memo).or_default().insert(income.txid);
            }
        }
        let payouts: HashMap<String, _> =
            config.books().payouts().into_iter().map(|payout| (payout.intent.clone(), payout)).collect();
        for (memo, transactions) in &paid {
            assert_eq!(transactions.len(), 1, "{memo} was sent in several transactions: {transactions:?}");
            let payout = payouts.get(memo).unwrap_or_else(|| panic!("{memo} was paid, but nobody had planned it"));
            assert_ne!(payout.state, IntentState::Released, "{memo} was paid and given back");
            let known = payout.txid.as_ref().filter(|_| payout.state == IntentState::Settled);
            assert!(known.is_none_or(|txid| transactions.contains(txid)), "{memo} is booked as {known:?}");
        }
        let mut alive = HashSet::new();
        for sent in network.sends().iter().filter(|sent| sent.in_mempool || sent.confirmed_height.is_some()) {
            for memo in sent.record.recipients.iter().map(|to| &to.memo_hex).collect::<HashSet<_>>() {
                assert!(alive.insert(memo.clone()), "two transactions for memo {memo} are alive");
            }
        }
        paid.len()
    }

    /// Starts the pool again in a way that plans no new payouts, waits until all books of payouts are closed, and
    /// compares them with the chain to the atom. Returns the pool and how many payouts were settled.
    ///
    /// # Panics
    /// When something does not fit.
    pub fn payouts_are_settled(&self, network: &Network, pool: Pool) -> (Pool, usize) {
        let config = pool.config.clone();
        assert_eq!(pool.terminate(), 0);
        // Nobody has so much: what is planned is still sent, and nothing else.
        let pool = Config::set(config.clone(), "payout.min_amount", "90000000").start_ready();
        let books = config.books();
        wait_gone("open payouts", SETTLE, || {
            let is_open = |payout: &PayoutRow| !matches!(payout.state, IntentState::Settled | IntentState::Released);
            books.payouts().into_iter().filter(is_open).collect()
        });
        self.payouts_are_sent_once(network, &config);
        let settled = books.payouts().iter().filter(|payout| payout.state == IntentState::Settled).count();
        let mut on_chain = HashSet::new();
        for miner in &network.miners {
            let income: Vec<_> =
                network.income(&miner.address).into_iter().filter(|income| !income.is_coinbase).collect();
            let (_, in_flight, paid) = books.balance(&miner.address);
            assert_eq!(income.iter().map(|income| income.amount).sum::<u64>(), paid, "income of {}", miner.worker);
            assert_eq!(in_flight, 0, "in flight of {}", miner.worker);
            on_chain.extend(income.into_iter().map(|income| income.txid));
        }
        assert_eq!(on_chain.len(), settled, "transactions on the chain and settled payouts");
        (pool, settled)
    }
}

fn hex_decoded(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
