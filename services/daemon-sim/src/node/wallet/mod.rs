//! The daemon's wallet: what it owns on the main chain, what it sent, and the file in which it survives.
//!
//! What it owns is read from the chain; the file keeps the rest: keys, password, sends, and which outputs were
//! spent by transactions that no block has taken yet.
mod file;
mod spend;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use chain::TxId;
use devnet_accounts::Keys;
use serde::{Deserialize, Serialize};

pub(crate) use file::{LoadRefusal, MINIMUM_PASSWORD_CHARS, WalletFile};
pub(crate) use spend::{InputChoice, Outpoint, Plan, SendRecipient, SpendRefusal, View};

use super::mempool::Mempool;
use super::tree::Tree;
use crate::coins;
use crate::persist::PersistError;

/// Blocks between two saves of the scan progress.
const SAVE_EVERY_BLOCKS: u64 = 50;

/// Depths at which outputs can be spent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maturity {
    pub(crate) coinbase: u64,
    pub(crate) other: u64,
}

impl Maturity {
    pub(crate) fn of(self, is_coinbase: bool) -> u64 {
        if is_coinbase { self.coinbase } else { self.other }
    }
}

/// An output of the wallet.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) outpoint: Outpoint,
    pub(crate) amount: u64,
    pub(crate) height: u64,
    pub(crate) is_coinbase: bool,
    pub(crate) memo: Vec<u8>,
    pub(crate) one_time_key: [u8; 32],
    pub(crate) commitment: [u8; 32],
    pub(crate) key_image: [u8; 32],
    pub(crate) spent: Option<Spent>,
}

/// Which transaction spends an output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    pub(crate) by: TxId,
    /// `None` while no block has it.
    pub(crate) height: Option<u64>,
}

impl Owned {
    pub(crate) fn confirmations(&self, tip_height: u64) -> u64 {
        tip_height.saturating_sub(self.height)
    }

    pub(crate) fn is_mature(&self, tip_height: u64, maturity: Maturity) -> bool {
        tip_height >= self.height && self.confirmations(tip_height) >= maturity.of(self.is_coinbase)
    }
}

/// One payment of a send, as the wallet remembers and shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentTo {
    /// As given in the request.
    pub address: String,
    /// Atoms.
    pub amount: u64,
    /// Hex of the memo bytes; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub memo_hex: String,
}

/// One send that this wallet made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SendRecord {
    /// Its transaction.
    pub txid: TxId,
    /// Unix seconds.
    pub timestamp: i64,
    /// Tip height when it was made.
    pub recorded_height: u64,
    /// Atoms burned.
    pub fee: u64,
    /// Atoms that the recipients got together.
    pub total_amount: u64,
    /// In the order of the request.
    pub recipients: Vec<SentTo>,
    pub(crate) inputs: Vec<Outpoint>,
    pub(crate) change: u64,
    /// Inputs are spent and change is awaited although no block has it.
    pub(crate) is_unconfirmed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Balance {
    pub(crate) spendable: u64,
    pub(crate) pending: u64,
    pub(crate) pending_unconfirmed: u64,
    pub(crate) outputs_total: usize,
    pub(crate) outputs_unspent: usize,
}

#[derive(Debug)]
pub(crate) struct Wallet {
    path: PathBuf,
    file: WalletFile,
    pub(crate) is_locked: bool,
    pub(crate) synced_height: u64,
    saved_height: u64,
    owned: Vec<Owned>,
    /// Inputs of sends that are being built.
    reserved: HashSet<Outpoint>,
}

impl Wallet {
    /// Makes a new wallet that begins at the tip.
    pub(crate) fn create(
        path: &Path,
        keys: Keys,
        password: &str,
        created_at_secs: i64,
        tree: &Tree,
    ) -> Result<Wallet, PersistError> {
        let synced_height = tree.tip_height();
        let file = WalletFile::new(keys, password, created_at_secs, synced_height);
        let mut wallet = Wallet {
            path: path.to_owned(),
            file,
            is_locked: false,
            synced_height,
            saved_height: synced_height,
            owned: Vec::new(),
            reserved: HashSet::new(),
        };
        wallet.save()?;
        Ok(wallet)
    }

    /// Opens a wallet as its file left it; one that had seen the tip begins a block before it.
    pub(crate) fn load(path: &Path, password: &str, tree: &Tree) -> Result<Wallet, LoadRefusal> {
        let file = WalletFile::read(path, password)?;
        let tip_height = tree.tip_height();
        let mut synced_height = file.synced_height.min(tip_height);
        if synced_height == tip_height {
            synced_height = synced_height.saturating_sub(1);
        }
        let mut wallet = Wallet {
            path: path.to_owned(),
            file,
            is_locked: false,
            synced_height: 0,
            saved_height: synced_height,
            owned: Vec::new(),
            reserved: HashSet::new(),
        };
        wallet.scan(tree, synced_height);
        for send in wallet.file.sends.iter().filter(|send| send.is_unconfirmed) {
            for owned in wallet.owned.iter_mut().filter(|owned| send.inputs.contains(&owned.outpoint)) {
                owned.spent.get_or_insert(Spent { by: send.txid, height: None });
            }
        }
        Ok(wallet)
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.file.keys
    }

    pub(crate) fn file(&self) -> &WalletFile {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn sends(&self) -> &[SendRecord] {
        &self.file.sends
    }

    /// Everything owned, by height, transaction and index.
    pub(crate) fn owned(&self) -> &[Owned] {
        &self.owned
    }

    pub(crate) fn has_password(&self, password: &str) -> bool {
        self.file.has_password(password)
    }

    pub(crate) fn save(&mut self) -> Result<(), PersistError> {
        self.file.synced_height = self.synced_height;
        self.saved_height = self.synced_height;
        self.file.write(&self.path)
    }

    /// Forgets what it saw above `height`, because the chain changed there.
    pub(crate) fn rewind(&mut self, height: u64) {
        self.owned.retain(|owned| owned.height <= height);
        for spent in self.owned.iter_mut().filter_map(|owned| owned.spent.as_mut()) {
            spent.height = spent.height.filter(|spent_height| *spent_height <= height);
        }
        self.synced_height = self.synced_height.min(height);
    }

    /// Reads the blocks that it has not seen.
    pub(crate) fn catch_up(&mut self, tree: &Tree) -> Result<(), PersistError> {
        self.scan(tree, tree.tip_height());
        if self.synced_height.saturating_sub(self.saved_height) >= SAVE_EVERY_BLOCKS {
            self.save()?;
        }
        Ok(())
    }

    /// After a new block: puts back inputs whose transaction neither a block nor the mempool holds, and forgets its
    /// change.
    pub(crate) fn settle_unconfirmed(&mut self, mempool: &Mempool) {
        for owned in &mut self.owned {
            if owned.spent.is_some_and(|spent| spent.height.is_none() && mempool.get(&spent.by).is_none()) {
                owned.spent = None;
            }
        }
        for send in &mut self.file.sends {
            send.is_unconfirmed = mempool.get(&send.txid).is_some();
        }
    }

    fn scan(&mut self, tree: &Tree, to_height: u64) {
        let from = usize::try_from(self.synced_height + 1).unwrap_or(usize::MAX);
        for block in tree.main().iter().skip(from).take_while(|block| block.height() <= to_height) {
            let first_new = self.owned.len();
            for (at, (tx, txid)) in block.transactions.iter().zip(&block.txids).enumerate() {
                for (index, output) in tx.outputs.iter().enumerate() {
                    let Some(received) = coins::receive(&self.file.keys, tx, index) else { continue };
                    self.owned.push(Owned {
                        outpoint: Outpoint { txid: *txid, output_index: u32::try_from(index).unwrap_or(u32::MAX) },
                        amount: received.amount,
                        height: block.height(),
                        is_coinbase: at == 0,
                        memo: received.memo,
                        one_time_key: output.public_key.0,
                        commitment: output.commitment.0,
                        key_image: coins::key_image(&output.public_key.0),
                        spent: None,
                    });
                }
            }
            self.owned[first_new..].sort_by_key(|owned| owned.outpoint);
        }
        self.synced_height = self.synced_height.max(to_height);
        for owned in &mut self.owned {
            let Some(txid) = tree.spent_by(&owned.key_image) else { continue };
            let height = tree.transaction_height(txid).filter(|height| *height <= to_height);
            if height.is_some() {
                owned.spent = Some(Spent { by: *txid, height });
            }
        }
    }

    pub(crate) fn balance(&self, tip_height: u64, maturity: Maturity) -> Balance {
        let mut balance = Balance { outputs_total: self.owned.len(), ..Balance::default() };
        for send in self.file.sends.iter().filter(|send| send.is_unconfirmed) {
            balance.pending_unconfirmed += send.change;
        }
        for owned in self.owned.iter().filter(|owned| owned.spent.is_none()) {
            balance.outputs_unspent += 1;
            if owned.is_mature(tip_height, maturity) {
                balance.spendable += owned.amount;
            } else {
                balance.pending += owned.amount;
            }
        }
        balance
    }

    /// Keeps the inputs of a plan away from other sends until [`Wallet::release`].
    pub(crate) fn reserve(&mut self, plan: &Plan) {
        self.reserved.extend(plan.inputs.iter().map(|input| input.outpoint));
    }

    pub(crate) fn release(&mut self, plan: &Plan) {
        for input in &plan.inputs {
            self.reserved.remove(&input.outpoint);
        }
    }

    /// Notes a send that is on its way: inputs are spent at once, change waits for a block.
    pub(crate) fn record_send(&mut self, record: SendRecord) {
        for owned in self.owned.iter_mut().filter(|owned| record.inputs.contains(&owned.outpoint)) {
            owned.spent = Some(Spent { by: record.txid, height: None });
        }
        self.file.sends.push(record);
    }
}
