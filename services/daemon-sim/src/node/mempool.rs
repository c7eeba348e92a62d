//! Transactions that wait for a block. In memory only, as in the real daemon.
use chain::TxId;
use chain::tx::Transaction;

use super::tree::Tree;

const ENTRIES_MAX: usize = 5000;
const AGE_MS_MAX: i64 = 24 * 3600 * 1000;
const TEMPLATE_TRANSACTIONS_MAX: usize = 1000;
const TEMPLATE_BYTES_MAX: usize = 1_047_576;

/// Why a transaction is not taken. The texts are the daemon's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MempoolRefusal {
    #[error("mempool rejected: key image already spent on chain")]
    SpentOnChain,
    #[error("mempool rejected: key image already in mempool")]
    SpentInMempool,
    #[error("mempool rejected: fee rate too low")]
    FeeRate,
    #[error("mempool rejected: mempool full")]
    Full,
}

impl MempoolRefusal {
    /// True when the transaction spends what is spent already.
    pub(crate) fn is_double_spend(self) -> bool {
        matches!(self, MempoolRefusal::SpentOnChain | MempoolRefusal::SpentInMempool)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) txid: TxId,
    pub(crate) tx: Transaction,
    pub(crate) bytes: usize,
    arrived_ms: i64,
}

impl Entry {
    fn fee_rate(&self) -> u64 {
        self.tx.fee / u64::try_from(self.bytes).unwrap_or(u64::MAX).max(1)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Mempool {
    entries: Vec<Entry>,
    /// Rises by one per transaction added or removed; starts at 0 in each process.
    generation: u64,
}

impl Mempool {
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.bytes).sum()
    }

    pub(crate) fn get(&self, txid: &TxId) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.txid == *txid)
    }

    pub(crate) fn spends(&self, key_image: &[u8; 32]) -> bool {
        self.entries.iter().flat_map(|entry| &entry.tx.inputs).any(|input| input.key_image.0 == *key_image)
    }

    pub(crate) fn add(&mut self, tree: &Tree, tx: Transaction, now_ms: i64) -> Result<TxId, MempoolRefusal> {
        let (txid, bytes) = (tx.txid(), tx.to_bytes().len());
        if tx.inputs.iter().any(|input| tree.spent_by(&input.key_image.0).is_some()) {
            return Err(MempoolRefusal::SpentOnChain);
        }
        if tx.inputs.iter().any(|input| self.spends(&input.key_image.0)) {
            return Err(MempoolRefusal::SpentInMempool);
        }
        if self.entries.len() >= ENTRIES_MAX {
            return Err(MempoolRefusal::Full);
        }
        let entry = Entry { txid, tx, bytes, arrived_ms: now_ms };
        if entry.fee_rate() == 0 {
            return Err(MempoolRefusal::FeeRate);
        }
        self.entries.push(entry);
        self.generation += 1;
        Ok(txid)
    }

    /// Drops what the main chain has taken or made impossible, and what is too old.
    pub(crate) fn prune(&mut self, tree: &Tree, now_ms: i64) {
        let before = self.entries.len();
        self.entries.retain(|entry| {
            let is_spent = entry.tx.inputs.iter().any(|input| tree.spent_by(&input.key_image.0).is_some());
            !is_spent && now_ms.saturating_sub(entry.arrived_ms) < AGE_MS_MAX
        });
        let removed = before.saturating_sub(self.entries.len());
        self.generation += u64::try_from(removed).unwrap_or(0);
    }

    /// Forgets everything, as if all entries had expired.
    pub(crate) fn clear(&mut self) {
        self.generation += u64::try_from(self.entries.len()).unwrap_or(0);
        self.entries.clear();
    }

    /// What a block would hold: by fee rate, highest first, as much as fits.
    pub(crate) fn select(&self) -> Vec<Transaction> {
        let mut order: Vec<&Entry> = self.entries.iter().collect();
        order.sort_by_key(|entry| std::cmp::Reverse(entry.fee_rate()));
        let mut room = TEMPLATE_BYTES_MAX;
        let mut selected = Vec::new();
        for entry in order {
            if selected.len() >= TEMPLATE_TRANSACTIONS_MAX {
                break;
            }
            // One that does not fit is skipped, the next may.
            if let Some(left) = room.checked_sub(entry.bytes) {
                room = left;
                selected.push(entry.tx.clone());
            }
        }
        selected
    }
}
