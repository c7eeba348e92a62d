//! Looks shares up whose outcome is not known. Runs on the disk thread, since only behind everything that it was given
//! before is "not there" final.
use std::collections::HashMap;

use chain::HeaderBase;
use messages::share_ledger::{Appended, FindShares, LoggedShare};
use units::Seq;

use share_log::record::{CLAIMS_BLOCK, Record, VERIFIED};
use share_log::{Durable, LogDirectory, LogError};
use share_log::{LogReader, Step};

/// What the log has of the shares in question. Nothing of what is asked for lies before `began`, where this process
/// began to write.
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
    let mut templates = HashMap::new();
    loop {
        match reader.next(durable)? {
            Step::End => return Ok(found),
            Step::NewFile => templates.clear(),
            Step::Record(_, Record::Template(template)) => {
                let root = HeaderBase::from_bytes(*template.header_base).merkle_root();
                templates.insert(template.local_id, root);
            }
            Step::Record(Some(seq), Record::Share(share)) if seq >= from => {
                let key = templates.get(&share.template).map(|root| (*root, share.nonce));
                if let Some(place) = key.and_then(|key| places.get(&key)) {
                    found[*place] = Some(LoggedShare {
                        at: Appended { first: seq, minute: share.minute },
                        received_at: share.received_at,
                        verified: share.flags & VERIFIED != 0,
                        claims_block: share.flags & CLAIMS_BLOCK != 0,
                    });
                }
            }
            Step::Record(..) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::testing::{TestLog, line, share, template};

    const ROOM: u64 = 1 << 30;

    /// Positions of what was found.
    fn places(found: &[Option<LoggedShare>]) -> Vec<Option<u64>> {
        found.iter().map(|share| share.map(|share| share.at.first.0)).collect()
    }

    #[test]
    fn a_share_is_found_as_it_was_logged_and_another_is_not() {
        let log = TestLog::start(ROOM, ROOM);
        let (line, template, other) = (line("log"), template(1), template(2));
        let mut claim = share(&line, &template, 2);
        (claim.claims_block, claim.verified) = (true, true);
        log.append(vec![share(&line, &template, 1)]).unwrap();
        log.clock.fetch_add(60_000, Ordering::Relaxed);
        let at = log.append(vec![claim.clone()]).unwrap();
        let asked = [&share(&line, &other, 2), &claim, &share(&line, &template, 3)];
        let found = log.find(0, &asked).unwrap();
        let received_at = claim.received_at;
        assert_eq!(found, [None, Some(LoggedShare { at, received_at, verified: true, claims_block: true }), None]);
    }

    #[test]
    fn a_share_is_found_in_whatever_file_it_is() {
        let log = TestLog::start(1, ROOM); // Every commit has a file of its own.
        let line = line("log");
        let shares: Vec<_> = (1..=5).map(|nonce| share(&line, &template(nonce % 2), nonce)).collect();
        for share in &shares {
            log.append(vec![share.clone()]).unwrap();
        }
        assert_eq!(log.files().len(), 5);
        let asked: Vec<_> = shares.iter().rev().collect();
        assert_eq!(places(&log.find(0, &asked).unwrap()), [Some(5), Some(4), Some(3), Some(2), Some(1)]);
        // Not before the position that it can only be behind.
        assert_eq!(places(&log.find(3, &asked).unwrap()), [Some(5), Some(4), None, None, None]);
    }

    #[test]
    fn what_an_earlier_process_logged_is_not_looked_at() {
        let log = TestLog::start(ROOM, ROOM);
        let (rig_line, first) = (line("log"), template(1));
        log.append(vec![share(&rig_line, &first, 1)]).unwrap();
        let log = log.restart().unwrap();
        assert_eq!(log.end.next_seq, Seq(2));
        let (line, template) = (line("log"), template(2));
        log.append(vec![share(&line, &template, 1)]).unwrap();
        let asked = [&share(&rig_line, &first, 1), &share(&line, &template, 1)];
        assert_eq!(places(&log.find(0, &asked).unwrap()), [None, Some(2)]);
    }

    #[test]
    fn what_is_not_durable_is_not_found_and_a_torn_tail_is_not_read() {
        let mut log = TestLog::start(ROOM, ROOM);
        let (line, template) = (line("log"), template(1));
        log.append(vec![share(&line, &template, 1)]).unwrap();
        let durable = log.progress.durable();
        log.append(vec![share(&line, &template, 2)]).unwrap();
        log.stop();
        let log = log.log();
        let path = &log.files().unwrap()[0].path;
        let length = std::fs::metadata(path).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length - 1).unwrap();
        let root = template.merkle_root;
        let shares = [1, 2].map(|nonce| (root, units::Nonce::new(nonce))).to_vec();
        let found = find_shares(&log, durable, Seq(1), &FindShares { after: Seq::ZERO, shares });
        assert_eq!(places(&found.unwrap()), [Some(1), None]);
    }
}
