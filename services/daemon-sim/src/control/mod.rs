//! What tests and developers do to a simulated daemon: in this process by method, from outside by JSON over HTTP.
//!
//! None of it exists in the real daemon. The endpoint listens on loopback only and asks for no token.
mod endpoint;

use std::sync::Arc;
use std::time::Duration;

use chain::{Address, BlockId, Network, TxId};
use devnet_accounts::Keys;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

pub(crate) use endpoint::serve;

use crate::coins;
use crate::faults::Fault;
use crate::node::wallet::{SendRecord, SentTo, Wallet};
use crate::node::{MineError, MineTo, Mined, NetworkView};
use crate::shared::{Order, Shared, StartError};

/// Why the daemon cannot be made to do something.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The block cannot be made.
    #[error(transparent)]
    Mine(#[from] MineError),
    /// There is none.
    #[error("no wallet is loaded")]
    NoWallet,
    /// A foreign transaction was not taken.
    #[error("the mempool does not take it: {0}")]
    Mempool(String),
    /// The daemon has ended.
    #[error("the daemon does not run")]
    Ended,
    /// It did not come back.
    #[error("the daemon did not start again")]
    Restart(#[source] StartError),
}

/// How blocks of the network are made. The default: one block, to a stranger, with the mempool, announced.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MineOrder {
    /// Blocks on top of the tip.
    pub count: u64,
    /// `foreign`, `wallet`, or an address.
    pub to: String,
    /// Seconds between block times; without, they fit between the parent and the clock.
    pub spacing_secs: Option<i64>,
    /// Arrive by a sync run, which no event announces.
    pub silent: bool,
    /// Leave the mempool where it is.
    pub empty: bool,
    /// Include transactions that this daemon has broadcast and forgotten: the network has not.
    pub forgotten: bool,
}

impl Default for MineOrder {
    fn default() -> MineOrder {
        MineOrder {
            count: 1,
            to: "foreign".to_owned(),
            spacing_secs: None,
            silent: false,
            empty: false,
            forgotten: false,
        }
    }
}

/// A reorganisation to be made.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReorgOrder {
    /// Blocks that leave the main chain, at most 100.
    pub depth: u64,
    /// Arrives by a sync run, which no event announces.
    #[serde(default)]
    pub silent: bool,
}

/// Where the chain is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tip {
    /// Tip height.
    pub height: u64,
    /// Tip hash, whole.
    pub hash: BlockId,
    /// Cumulative difficulty.
    pub total_work: u64,
    /// Difficulty of the next block.
    pub next_difficulty: u64,
}

/// A send with what became of it on the main chain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sent {
    /// As the wallet recorded it.
    #[serde(flatten)]
    pub record: SendRecord,
    /// Height of its block; `None` while no block of the main chain has it.
    pub confirmed_height: Option<u64>,
    /// It waits in the mempool.
    pub in_mempool: bool,
}

/// One output that an address received on the main chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Income {
    /// Its transaction.
    pub txid: TxId,
    /// Height of its block.
    pub height: u64,
    /// Atoms.
    pub amount: u64,
    /// Hex of the memo.
    pub memo_hex: String,
    /// It is a block reward.
    pub is_coinbase: bool,
}

type Restarted = oneshot::Receiver<Result<(), StartError>>;

/// The means to disturb a daemon.
#[derive(Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

impl Control {
    pub(crate) fn new(shared: Arc<Shared>) -> Control {
        Control { shared }
    }

    /// Adds a fault.
    pub fn add_fault(&self, fault: Fault) {
        self.shared.faults().add(fault);
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.shared.faults().clear();
    }

    /// The faults that have not run out.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        self.shared.faults().list().to_vec()
    }

    fn order_restart(&self, down: Duration, is_clean: bool) -> Result<Restarted, ControlError> {
        let (done, outcome) = oneshot::channel();
        let is_taken = self.shared.order(Order::Restart { down, is_clean, done: Some(done) });
        if is_taken { Ok(outcome) } else { Err(ControlError::Ended) }
    }

    /// Restarts the daemon and returns when it answers again: as by SIGKILL, or cleanly. Blocks the calling thread.
    ///
    /// # Errors
    /// When it has ended or does not come back.
    pub fn restart(&self, down: Duration, is_clean: bool) -> Result<(), ControlError> {
        let mut outcome = self.order_restart(down, is_clean)?;
        // A blocking receive is refused inside of a runtime, where tests like to be.
        loop {
            match outcome.try_recv() {
                Ok(outcome) => return outcome.map_err(ControlError::Restart),
                Err(oneshot::error::TryRecvError::Closed) => return Err(ControlError::Ended),
                Err(oneshot::error::TryRecvError::Empty) => std::thread::park_timeout(Duration::from_millis(2)),
            }
        }
    }

    /// Where the chain is.
    #[must_use]
    pub fn tip(&self) -> Tip {
        let node = self.shared.node();
        let tip = node.tree.tip();
        let next_difficulty = node.tree.next_difficulty(tip, &node.rules());
        Tip { height: tip.height(), hash: tip.id, total_work: tip.work, next_difficulty }
    }

    /// Lets the network find blocks, without proof of work.
    ///
    /// # Errors
    /// When the address is none, no wallet is loaded, or block times would run too far ahead.
    pub fn mine(&self, order: &MineOrder) -> Result<Tip, ControlError> {
        let to = match order.to.as_str() {
            "foreign" => MineTo::Foreign,
            "wallet" => MineTo::Wallet,
            text => match Address::parse(text, &Network::Testnet) {
                Ok(address) => MineTo::Keys(Keys::from(&address)),
                Err(_) => return Err(MineError::Address(text.to_owned()).into()),
            },
        };
        let how = Mined {
            to,
            spacing_secs: order.spacing_secs,
            is_silent: order.silent,
            with_mempool: !order.empty,
            with_forgotten: order.forgotten,
        };
        self.shared.node().mine(order.count, &how)?;
        Ok(self.tip())
    }

    /// Replaces the newest blocks by a heavier branch of empty ones.
    ///
    /// # Errors
    /// When the depth is over 100 or the length of the chain.
    pub fn reorganise(&self, order: ReorgOrder) -> Result<Tip, ControlError> {
        let how = Mined {
            to: MineTo::Foreign,
            spacing_secs: None,
            is_silent: order.silent,
            with_mempool: false,
            with_forgotten: false,
        };
        self.shared.node().reorganise(order.depth, &how)?;
        Ok(self.tip())
    }

    /// Locks the wallet behind everybody's back.
    ///
    /// # Errors
    /// When none is loaded.
    pub fn lock_wallet(&self) -> Result<(), ControlError> {
        let mut node = self.shared.node();
        node.wallet.as_mut().ok_or(ControlError::NoWallet)?.is_locked = true;
        Ok(())
    }

    /// Holds the wallet's scan up, or lets it catch up.
    ///
    /// # Errors
    /// When the wallet cannot be saved.
    pub fn pause_wallet_scan(&self, is_paused: bool) -> Result<(), ControlError> {
        let mut node = self.shared.node();
        node.is_wallet_scan_paused = is_paused;
        node.scan_wallet().map_err(|error| MineError::Persist(error).into())
    }

    /// Stops or goes on writing to all event streams.
    pub fn stall_events(&self, is_stalled: bool) {
        self.shared.node().events.stall(is_stalled);
    }

    /// Closes all event streams.
    pub fn hang_up_events(&self) {
        self.shared.node().events.hang_up();
    }

    /// Sets what the daemon says about peers and sync.
    pub fn set_network(&self, network: NetworkView) {
        self.shared.node().network = network;
    }

    /// Cuts the daemon off from its peers, in both directions, or joins it to them again. What happened meanwhile it
    /// finds out when it looks at their chains.
    pub fn cut_off(&self, is_cut_off: bool) {
        self.shared.cut_off(is_cut_off);
    }

    /// Freezes the whole API (requests wait), or thaws it.
    pub fn pause(&self, is_paused: bool) {
        self.shared.pause(is_paused);
    }

    /// Puts strangers' transactions into the mempool.
    ///
    /// # Errors
    /// When it is full.
    pub fn add_transactions(&self, count: u64) -> Result<(), ControlError> {
        let mut node = self.shared.node();
        for _ in 0..count {
            node.add_foreign_transaction().map_err(|refusal| ControlError::Mempool(refusal.to_string()))?;
        }
        Ok(())
    }

    /// Forgets the mempool, as if all of it had expired.
    pub fn clear_mempool(&self) {
        self.shared.node().mempool.clear();
    }

    /// Sets the daemon's clock so far ahead of the machine's.
    pub fn set_clock_offset_ms(&self, offset_ms: i64) {
        self.shared.clock.set_offset_ms(offset_ms);
    }

    /// Stops the daemon's clock, which then moves by its offset alone, or lets it run again.
    pub fn stop_clock(&self, is_stopped: bool) {
        self.shared.clock.stop(is_stopped);
    }

    /// How far the daemon's clock is ahead of the machine's.
    #[must_use]
    pub fn clock_offset_ms(&self) -> i64 {
        self.shared.clock.offset_ms()
    }

    /// All sends of the loaded wallet, oldest first. Empty when none is loaded.
    #[must_use]
    pub fn sends(&self) -> Vec<Sent> {
        let node = self.shared.node();
        let sent = |record: &SendRecord| Sent {
            confirmed_height: node.tree.transaction_height(&record.txid),
            in_mempool: node.mempool.get(&record.txid).is_some(),
            record: record.clone(),
        };
        node.wallet.iter().flat_map(Wallet::sends).map(sent).collect()
    }

    /// Notes sends in the wallet's history that no block and no mempool has, oldest first, each to one recipient.
    /// `memo`: of the `n`th.
    ///
    /// # Errors
    /// When no wallet is loaded.
    pub fn invent_sends(&self, count: u64, memo: impl Fn(u64) -> String) -> Result<(), ControlError> {
        let mut node = self.shared.node();
        let (timestamp, recorded_height) = (node.clock.now_secs(), node.tree.tip_height());
        let wallet = node.wallet.as_mut().ok_or(ControlError::NoWallet)?;
        for n in 0..count {
            let mut txid = [0xff; 32];
            txid[..8].copy_from_slice(&n.to_be_bytes());
            let to = Keys::derive(n, "invented").address();
            wallet.record_send(SendRecord {
                txid: TxId(txid),
                timestamp,
                recorded_height,
                fee: 1,
                total_amount: 1,
                recipients: vec![SentTo { address: to, amount: 1, memo_hex: hex::encode(memo(n)) }],
                inputs: Vec::new(),
                change: 0,
                is_unconfirmed: false,
            });
        }
        Ok(())
    }

    /// The loaded wallet has lost its spend key, or has it again.
    pub fn set_view_only(&self, is_view_only: bool) {
        self.shared.node().is_view_only = is_view_only;
    }

    /// What an address has received on the main chain, oldest first. This is the truth about who was paid: it is read
    /// from the blocks, not from the wallet's records.
    ///
    /// # Errors
    /// When the text is not an address.
    pub fn income(&self, address: &str) -> Result<Vec<Income>, ControlError> {
        let parsed = Address::parse(address, &Network::Testnet);
        let keys = Keys::from(&parsed.map_err(|_| MineError::Address(address.to_owned()))?);
        let node = self.shared.node();
        let mut income = Vec::new();
        for block in node.tree.main() {
            for (at, (tx, txid)) in block.transactions.iter().zip(&block.txids).enumerate() {
                let received = (0..tx.outputs.len()).filter_map(|index| coins::receive(&keys, tx, index));
                income.extend(received.map(|received| Income {
                    txid: *txid,
                    height: block.height(),
                    amount: received.amount,
                    memo_hex: hex::encode(received.memo),
                    is_coinbase: at == 0,
                }));
            }
        }
        Ok(income)
    }
}
