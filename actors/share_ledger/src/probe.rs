//! Whether the log can be written, also while nobody writes.
//!
//! A commit proves that the open file takes bytes. That the next file can be made, or that a disk which refused has room
//! again, would show with a share only: of a pool without traffic nobody would know. So the disk thread tries it.
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use messages::conditions::{ConditionKind, Conditions};

use crate::metrics::LedgerMetrics;
use crate::writer::{Failure, Writer};
use share_log::LogDirectory;

/// Time between two tries. One costs two syncs of the file system's own records.
pub(crate) const PROBE_EVERY: Duration = Duration::from_secs(3);
/// As much as a file system gives at once: less might fit where nothing is free.
const BYTES: usize = 4096;

/// What is known of the disk, told to everybody who looks.
pub(crate) struct DiskHealth {
    metrics: Arc<LedgerMetrics>,
    conditions: Arc<Conditions>,
    tried_at: Instant,
    /// The last commit that the disk did not take: how many bytes it wanted, and why not.
    refused: Option<(u64, String)>,
    /// Why no new file could be made the last time.
    unmade: Option<String>,
    /// A commit was refused since the disk was last well: on a full one small commits still fit now and then.
    has_refused: bool,
}

impl DiskHealth {
    pub(crate) fn new(metrics: Arc<LedgerMetrics>, conditions: Arc<Conditions>) -> DiskHealth {
        DiskHealth { metrics, conditions, tried_at: Instant::now(), refused: None, unmade: None, has_refused: false }
    }

    /// How long nothing needs to be tried.
    pub(crate) fn rest(&self) -> Duration {
        PROBE_EVERY.saturating_sub(self.tried_at.elapsed())
    }

    /// A commit of so many bytes was refused, and nothing of it kept.
    pub(crate) fn refused(&mut self, bytes: u64, why: &str) {
        self.refused = Some((bytes, why.to_owned()));
        self.tell();
    }

    /// A commit is durable.
    pub(crate) fn taken(&mut self) {
        self.metrics.log_disk_answers_total.add(1);
        if self.refused.take().is_some() {
            self.tell();
        }
    }

    /// Tries what the next commit, and the next file, will need.
    ///
    /// # Errors
    /// [`Failure::Unknown`] when bytes that were tried could not be cut again.
    pub(crate) fn probe(&mut self, directory: &LogDirectory, writer: &Writer) -> Result<(), Failure> {
        self.tried_at = Instant::now();
        self.unmade = probe(directory).err().map(|error| error.to_string());
        if let Some((bytes, _)) = self.refused {
            match writer.probe(bytes) {
                Ok(()) => self.refused = None,
                Err(Failure::NotWritten(why)) => self.refused = Some((bytes, why)),
                Err(unknown) => return Err(unknown),
            }
        }
        self.metrics.log_disk_answers_total.add(1);
        self.tell();
        Ok(())
    }

    fn tell(&mut self) {
        let refused = self.refused.as_ref().map(|(_, why)| why);
        self.has_refused = refused.is_some() || (self.has_refused && self.unmade.is_some());
        let state = match (refused, &self.unmade) {
            (Some(why), _) | (None, Some(why)) if self.has_refused => Some((
                "share log cannot be written: the disk is full or fails".to_owned(),
                format!("share log refused a write or a sync; nothing of it was kept, it is tried again: {why}"),
            )),
            (_, Some(why)) => Some((
                "share log cannot be written: its directory takes no new file".to_owned(),
                format!(
                    "no file can be made in the share log's directory (full, read-only, or without rights?): {why}"
                ),
            )),
            _ => None,
        };
        self.metrics.log_unwritable.set(u64::from(state.is_some()));
        self.conditions.put(ConditionKind::ShareLogUnwritable, state);
    }
}

/// Makes a file as large as any first write, makes it durable, and removes it.
fn probe(directory: &LogDirectory) -> io::Result<()> {
    let path = directory.path().join("probe");
    let gone = |outcome: io::Result<()>| match outcome {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    // One that an earlier process left would be no new file.
    gone(std::fs::remove_file(&path))?;
    let make = || {
        let mut file = File::create_new(&path)?;
        file.write_all(&[0; BYTES])?;
        file.sync_all()
    };
    let made = make();
    let removed = gone(std::fs::remove_file(&path));
    made.and(removed)
}
