//! What of the log is set aside, or was and is in the log again.
use std::collections::HashMap;

use chain::{HeaderBase, MerkleRoot};
use store::{Store, StoreError};
use units::{HostId, Minute, Nonce, Seq};

use crate::aside::{frames, positions};
use share_log::record::Record;

/// Rows that are fetched at once.
const ROWS_PER_PAGE: u32 = 16;

/// By the positions at which the records were first. As many as the fold sets aside at most.
#[derive(Default)]
pub(super) struct SetAside {
    records: HashMap<Seq, Option<(Seq, Minute)>>,
    /// Where the rows' first records are in the log again.
    rows: HashMap<i64, Option<Seq>>,
    /// Records that are to be passed over.
    foreign: u32,
}

impl SetAside {
    pub(super) async fn load(store: &Store, host: HostId) -> Result<SetAside, StoreError> {
        let (mut all, mut after) = (SetAside::default(), 0);
        loop {
            let rows = store.set_aside_rows(host, after, ROWS_PER_PAGE).await?;
            let Some(last) = rows.last() else { return Ok(all) };
            after = last.id;
            for row in &rows {
                all.rows.insert(row.id, row.retried.map(|(first, _)| first));
                for (place, was) in positions(&row.body).enumerate() {
                    let now = row.retried.map(|(first, minute)| (first.plus(place as u64), minute));
                    all.records.insert(was, now);
                }
            }
        }
    }

    /// Whether the tables need not have this record: it is set aside, or was and comes later.
    pub(super) fn passes(&mut self, seq: Option<Seq>, record: &Record<'_>) -> bool {
        match (seq, record) {
            (None, Record::Retried(retried)) => {
                let is_known = self.rows.get(&retried.row) == Some(&Some(retried.first));
                self.foreign = if is_known { 0 } else { retried.count };
                false
            }
            (None, _) => false,
            (Some(_), _) if self.foreign > 0 => {
                self.foreign -= 1;
                true
            }
            (Some(seq), _) => self.records.contains_key(&seq),
        }
    }

    /// Where a share is now, and the minute that it is booked to.
    pub(super) fn place(&self, share: Seq, minute: Minute) -> (Seq, Minute) {
        let mut place = (share, minute);
        while let Some(Some(moved)) = self.records.get(&place.0)
            && moved.0 > place.0
        {
            place = *moved;
        }
        place
    }
}

/// All shares that are set aside now, of all hosts.
///
/// # Errors
/// When the database gives no answer.
pub async fn set_aside_shares(store: &Store) -> Result<Vec<(MerkleRoot, Nonce)>, StoreError> {
    let mut shares = Vec::new();
    for (host, ..) in store.host_list().await? {
        let mut after = 0;
        loop {
            let rows = store.set_aside_rows(host, after, ROWS_PER_PAGE).await?;
            let Some(last) = rows.last() else { break };
            after = last.id;
            for row in rows.iter().filter(|row| row.retried.is_none()) {
                shares_in(&row.body, &mut shares);
            }
        }
    }
    Ok(shares)
}

fn shares_in(body: &[u8], shares: &mut Vec<(MerkleRoot, Nonce)>) {
    let mut roots = HashMap::new();
    for record in frames(body) {
        match record {
            Record::Template(template) => {
                let root = HeaderBase::from_bytes(*template.header_base).merkle_root();
                roots.insert(template.local_id, root);
            }
            Record::Share(share) => shares.extend(roots.get(&share.template).map(|root| (*root, share.nonce))),
            _ => {}
        }
    }
}
