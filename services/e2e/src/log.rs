//! The share log as bytes on disk, read while the pool writes it or after it was killed.
use std::collections::HashMap;
use std::path::Path;

use chain::HeaderBase;
use share_log::record::{FileHead, Record};
use share_log::{Frame, frame};

/// A share record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LoggedShare {
    /// Merkle root of its template.
    pub merkle_root: String,
    /// Its nonce.
    pub nonce: u64,
    /// Whose it is.
    pub address: String,
}

/// All whole share records of a log. What follows the first broken frame of a file is a torn tail and does not count.
///
/// # Panics
/// When a share refers to what its file did not define before.
#[must_use]
pub fn logged_shares(log_dir: &Path) -> Vec<LoggedShare> {
    let (mut shares, mut again) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(log_dir).into_iter().flatten() {
        let path = entry.expect("a directory can be listed").path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        // A file that was pruned a moment ago is folded.
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let Some((head, mut at)) = FileHead::decode(&bytes) else { continue };
        let (mut lines, mut templates) = (HashMap::new(), HashMap::new());
        let mut comes_again = false;
        while let Frame::Whole(record, length) = frame(head.number, &bytes[at..]) {
            at += length;
            let comes_at = matches!(record, Record::At(_));
            match record {
                Record::Identity(line) => drop(lines.insert(line.local_id, line.address.to_owned())),
                Record::Template(template) => {
                    let header_base = HeaderBase::from_bytes(*template.header_base);
                    templates.insert(template.local_id, header_base.merkle_root().to_string());
                }
                Record::Share(share) => {
                    let merkle_root = templates[&share.template].clone();
                    let address = lines[&share.line].clone();
                    let share = LoggedShare { merkle_root, nonce: share.nonce.get(), address };
                    if comes_again { again.push(share) } else { shares.push(share) }
                }
                _ => {}
            }
            comes_again = comes_at;
        }
    }
    // What was set aside is the same share, wherever it was first.
    let is_there = |share: &LoggedShare, all: &[LoggedShare]| {
        all.iter().any(|one| one.nonce == share.nonce && one.merkle_root == share.merkle_root)
    };
    again.retain(|share| !is_there(share, &shares));
    shares.append(&mut again);
    shares
}
