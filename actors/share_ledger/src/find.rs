//! Looks shares up whose fate is not known. Runs on the disk thread, since only behind everything that it was given
//! before is "not there" final.
use std::collections::HashMap;

use messages::share_ledger::{Appended, FindShares, LoggedShare};
use units::Seq;

use crate::files::{LogDirectory, LogError};
use crate::reader::{Durable, LogReader, Step};
use crate::record::{CLAIMS_BLOCK, Record, VERIFIED};

/// What the log has of the shares in question. Local ids mean nothing before `began`, where this process began to
/// write.
///
/// # Errors
/// [`LogError`] when the log cannot be read.
pub(crate) fn find_shares(
    directory: &LogDirectory,
    durable: Durable,
    began: Seq,
    question: &FindShares,
) -> Result<Vec<Option<LoggedShare>>, LogError> {
    let mut found = vec![None; question.shares.len()];
    let places: HashMap<_, _> = question.shares.iter().copied().zip(0..).collect();
    let from = began.max(question.after.plus(1));
    let Some(mut reader) = LogReader::open(directory, from)? else { return Ok(found) };
    loop {
        match reader.next(durable)? {
            Step::End => return Ok(found),
            Step::Record(Some(seq), Record::Share(share)) if seq >= from => {
                if let Some(place) = places.get(&(share.template, share.nonce)) {
                    found[*place] = Some(LoggedShare {
                        at: Appended { first: seq, minute: share.minute },
                        received_at: share.received_at,
                        verified: share.flags & VERIFIED != 0,
                        claims_block: share.flags & CLAIMS_BLOCK != 0,
                    });
                }
            }
            Step::NewFile | Step::Record(..) => {}
        }
    }
}
