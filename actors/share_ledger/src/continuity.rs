//! Whether a log and the database belong together, looked at before a process writes its first record.
//!
//! A copy of a data directory that is put back has an older log than the database has folded. Going on under the same
//! name it would use positions again, and what it acknowledges under them would never be booked. Where an older program
//! has done just that, positions overlap and records differ. So the newest stored share batch that the log still has is
//! compared with it, share by share. Two runs give no share the same position and the same content, so a log that agrees
//! with that batch is the one that was folded.
//!
//! What it refuses to do: compare everything (`meshpool audit` does), and decide.
use std::collections::HashMap;

use chain::{HeaderBase, MerkleRoot};
use store::Store;
use store::batch::{ShareBatch, StoredShare};
use tracing::warn;
use units::{HostId, Seq};

use crate::audit::LogAuditError;
use share_log::record::{Record, Share};
use share_log::{LogDirectory, LogError};
use share_log::{LogReader, Step};

/// What the comparison came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// The log goes on where the database is.
    Whole,
    /// The database has more: after `agrees` the log has nothing that is folded. What it has after that, if anything, is
    /// not in the database.
    Parted {
        /// The last position up to which both are the same.
        agrees: Seq,
    },
}

/// Compares a log whose last record has the position `end` with what the database has folded of `host`, up to `folded`.
///
/// # Errors
/// When a file cannot be read or the database gives no answer.
pub async fn continuity(
    directory: &LogDirectory,
    store: &Store,
    host: HostId,
    folded: Seq,
    end: Seq,
) -> Result<Continuity, LogAuditError> {
    // Damage that the start did not meet stops the fold, not the miners: then nothing is compared.
    let oldest = directory.oldest().unwrap_or_else(incomparable).map_or(end.plus(1), |oldest| oldest.seq);
    let newest = store.batch_newest(host, end.min(folded)).await?;
    // Without one there is nothing to compare: it was cleaned up, or the log has no file as old as that.
    let stored = newest.and_then(|row| ShareBatch::decode(&row.body).ok()).unwrap_or_default();
    let is_in_log = |share: &StoredShare| share.seq >= oldest && share.seq <= end;
    let differs = match stored.shares.iter().find(|share| is_in_log(share)) {
        Some(first) => compare(directory, &stored, first.seq, end).unwrap_or_else(incomparable).differs,
        None => false,
    };
    match (differs, folded > end) {
        (false, false) => Ok(Continuity::Whole),
        (false, true) => Ok(Continuity::Parted { agrees: end }),
        (true, _) => Ok(Continuity::Parted { agrees: last_agreed(directory, store, host, oldest, end).await? }),
    }
}

fn incomparable<T: Default>(error: LogError) -> T {
    warn!(%error, "share log could not be compared with the database");
    T::default()
}

/// The last share that is in the log as in the database, after that everything differs.
async fn last_agreed(
    directory: &LogDirectory,
    store: &Store,
    host: HostId,
    oldest: Seq,
    end: Seq,
) -> Result<Seq, LogAuditError> {
    let mut before = end;
    while let Some(row) = store.batch_newest(host, before).await? {
        if row.last_seq < oldest {
            break;
        }
        let stored = ShareBatch::decode(&row.body).unwrap_or_default();
        let first = stored.shares.iter().find(|share| share.seq >= oldest);
        if let Some(first) = first
            && let Some(agrees) = compare(directory, &stored, first.seq, end)?.last_agreed
        {
            return Ok(agrees);
        }
        before = Seq(row.first_seq.0.saturating_sub(1));
    }
    Ok(Seq(oldest.0.saturating_sub(1)))
}

#[derive(Default)]
struct Compared {
    differs: bool,
    last_agreed: Option<Seq>,
}

/// The log's shares from `first` on against those of a batch, up to the batch's end or to that of the log.
fn compare(directory: &LogDirectory, batch: &ShareBatch, first: Seq, end: Seq) -> Result<Compared, LogError> {
    let mut compared = Compared::default();
    let last = batch.shares.last().map_or(Seq::ZERO, |share| share.seq).min(end);
    let (Some(durable), Some(mut reader)) = (directory.readable()?, LogReader::open(directory, first)?) else {
        return Ok(compared);
    };
    let mut templates: HashMap<u32, MerkleRoot> = HashMap::new();
    let mut stored = batch.shares.iter().filter(|share| share.seq >= first && share.seq <= last).peekable();
    while reader.position() <= last {
        match reader.next(durable)? {
            Step::End => break,
            Step::NewFile => templates.clear(),
            Step::Record(None, Record::Template(template)) => {
                let root = HeaderBase::from_bytes(*template.header_base).merkle_root();
                templates.insert(template.local_id, root);
            }
            Step::Record(Some(seq), record) if seq >= first => {
                let known = stored.next_if(|share| share.seq == seq);
                match (record, known) {
                    (Record::Share(share), Some(known)) if is_same(&share, known, batch, &templates) => {
                        compared.last_agreed = Some(seq);
                    }
                    (_, Some(_)) => compared.differs = true,
                    // A record that the database refused is in no batch.
                    (_, None) => {}
                }
            }
            Step::Record(..) => {}
        }
    }
    compared.differs |= stored.next().is_some();
    Ok(compared)
}

fn is_same(share: &Share, stored: &StoredShare, batch: &ShareBatch, templates: &HashMap<u32, MerkleRoot>) -> bool {
    let place = usize::try_from(stored.template).unwrap_or(usize::MAX);
    let root = batch.templates.get(place).and_then(|root| root.parse().ok());
    root.is_some()
        && templates.get(&share.template) == root.as_ref()
        && (share.nonce, share.difficulty, share.received_at) == (stored.nonce, stored.difficulty, stored.received_at)
}

#[cfg(test)]
mod tests;
