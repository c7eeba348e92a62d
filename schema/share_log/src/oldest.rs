//! Where a log begins, and what its files say of themselves.
use std::fs::File;

use units::{Minute, PolicyId, Seq};

use crate::files::{LogDirectory, LogError, at, read_head};
use crate::reader::LogReader;

/// The first record that a log still has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldestRecord {
    /// Its position.
    pub seq: Seq,
    /// No share before it was booked to a later minute; 0 when that is not known.
    pub minute: Minute,
}

impl LogDirectory {
    /// The first record that is still stored; `None` for a log without files.
    ///
    /// # Errors
    /// [`LogError`] when its file cannot be read.
    pub fn oldest(&self) -> Result<Option<OldestRecord>, LogError> {
        let reader = LogReader::open_oldest(self)?;
        Ok(reader.map(|reader| OldestRecord { seq: reader.position(), minute: reader.head().minute }))
    }

    /// The highest number of a policy under which a stored file was written; zero when none says one.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn last_policy(&self) -> Result<PolicyId, LogError> {
        let mut last = 0;
        for file in self.files()? {
            let mut open = File::open(&file.path).map_err(at(&file.path))?;
            // One that is damaged is somebody else's finding.
            let head = read_head(&file, &mut open).ok();
            last = last.max(head.and_then(|(head, _)| head.policy).map_or(0, |policy| policy.0));
        }
        Ok(PolicyId(last))
    }
}
