//! Recomputes what the tables say from other tables. Only reads.
use serde::Serialize;
use units::{HostId, Seq};

use crate::fold::BatchRow;
use crate::{Result, Store};

/// Something that does not add up.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Difference {
    /// Which check.
    pub check: &'static str,
    /// About what (account, block, line, intent, batch).
    pub subject: String,
    /// What the table says.
    pub stored: String,
    /// What was computed.
    pub computed: String,
}

impl Store {
    /// Every entry sums to zero; every balance is the sum of its postings; kinds have the right signs.
    pub async fn audit_entries(&self) -> Result<Vec<Difference>> {
        unimplemented!()
    }

    /// Line totals, segments and share batches agree; a batch's digest is that of its body; running totals are
    /// the sums; verdicts are about stored shares; batches do not overlap.
    pub async fn audit_shares(&self) -> Result<Vec<Difference>> {
        unimplemented!()
    }

    /// Every credited block has exactly one live credit entry whose lines equal its stored weights; blocks in other
    /// states have none; recomputed window work (where the segments are still stored and the verdict position allows
    /// it) equals the stored weights' work.
    pub async fn audit_blocks(&self) -> Result<Vec<Difference>> {
        unimplemented!()
    }

    /// Every intent's entries match its recipients and state; in-flight balances are the open intents' gross.
    pub async fn audit_payouts(&self) -> Result<Vec<Difference>> {
        unimplemented!()
    }

    /// The stored batches of a host after `after`, without decoding, to compare with the log; at most `limit`.
    pub async fn batch_list(&self, host: HostId, after: Seq, limit: u32) -> Result<Vec<BatchRow>> {
        let _ = (host, after, limit);
        unimplemented!()
    }

    /// All hosts: row, name, folded position.
    pub async fn host_list(&self) -> Result<Vec<(HostId, String, Seq)>> {
        unimplemented!()
    }
}
