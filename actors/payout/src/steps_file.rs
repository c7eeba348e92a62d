//! A count of payout steps that lies in the data directory, beside the one in the database: where the daemon cannot list
//! its sends, nothing else tells that the books are older than the wallet.
//!
//! The file is written before the wallet is asked and after the database has counted, so it is never ahead of the books
//! that it belongs to. A data directory without the file (a new one, another host) knows nothing and takes the number of
//! the books over. A data directory that was put back together with its database is as old as that and notices nothing:
//! only a daemon that lists its sends can tell then.
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

use crate::error::PayoutError;

/// Where the count lies.
pub(crate) struct StepsFile(PathBuf);

fn read(file: &Path) -> Result<Option<u64>> {
    match std::fs::read_to_string(file) {
        Ok(text) => {
            let damaged = || Error::new(ErrorKind::InvalidData, "it holds no number");
            text.trim().parse().map(Some).map_err(|_| damaged())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write(file: &Path, steps: u64) -> Result<()> {
    runtime::replace_file(file, steps.to_string().as_bytes())
}

/// Disks may hang; the arbiter must not.
async fn on_disk<T: Send + 'static>(
    file: &Path,
    work: impl FnOnce(&Path) -> Result<T> + Send + 'static,
) -> std::result::Result<T, PayoutError> {
    let path: PathBuf = file.to_owned();
    let done = tokio::task::spawn_blocking(move || work(&path)).await;
    let failed = |error: Error| PayoutError::StepsFile { file: file.to_owned(), why: error.to_string() };
    done.unwrap_or_else(|error| Err(Error::other(error))).map_err(failed)
}

impl StepsFile {
    pub(crate) fn new(path: PathBuf) -> StepsFile {
        StepsFile(path)
    }

    /// The count; `None` when there is none yet.
    pub(crate) async fn read(&self) -> std::result::Result<Option<u64>, PayoutError> {
        on_disk(&self.0, read).await
    }

    /// Notes a step before the wallet is asked.
    pub(crate) async fn write(&self, steps: u64) -> std::result::Result<(), PayoutError> {
        on_disk(&self.0, move |file| write(file, steps)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_read_back_and_garbage_is_no_number() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("payout.steps");
        assert_eq!(read(&file).unwrap(), None);
        for steps in [0, 17, u64::MAX] {
            write(&file, steps).unwrap();
            assert_eq!(read(&file).unwrap(), Some(steps));
        }
        std::fs::write(&file, "").unwrap();
        assert!(read(&file).is_err());
        assert!(write(&dir.path().join("nowhere/payout.steps"), 1).is_err());
    }
}
