//! The data directory: one process at a time.
use std::fs::{self, File, TryLockError};
use std::path::Path;

use crate::error::HostError;

/// Holds the directory until it is dropped.
pub struct DataDirLock {
    _lock: File,
}

impl DataDirLock {
    /// Makes the directory if need be and takes its lock.
    ///
    /// # Errors
    /// Another process has it, or the system gives no such directory; the text names it.
    pub fn take(dir: &Path) -> Result<DataDirLock, HostError> {
        let said = |error: std::io::Error| HostError::Config(format!("data.dir {}: {error}", dir.display()));
        fs::create_dir_all(dir).map_err(said)?;
        let lock = File::create(dir.join("lock")).map_err(said)?;
        match lock.try_lock() {
            Ok(()) => Ok(DataDirLock { _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(HostError::Config(format!("data.dir {} is in use by another process", dir.display())))
            }
            Err(TryLockError::Error(error)) => Err(said(error)),
        }
    }
}
