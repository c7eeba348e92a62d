//! Files that survive a kill at any moment: whole files replaced in one step, and an append-only log of lines.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A file of the data directory that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PersistError {
    /// The file system refused.
    #[error("cannot access {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The content is not what was written.
    #[error("{} is not a file of this program", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> PersistError {
    move |source| PersistError::Io { path: path.to_owned(), source }
}

/// Replaces a file in one step, readable by its owner only. `durable` also waits for the disk.
pub(crate) fn replace_file(path: &Path, content: &[u8], durable: bool) -> Result<(), PersistError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        if durable {
            file.sync_data()?;
        }
        fs::rename(&temporary, path)
    };
    write().map_err(io_error(path))
}

/// Replaces a file by the JSON form of `value`.
pub(crate) fn replace_json(path: &Path, value: &impl Serialize) -> Result<(), PersistError> {
    let content =
        serde_json::to_vec(value).map_err(|source| PersistError::Content { path: path.to_owned(), source })?;
    replace_file(path, &content, true)
}

/// Reads a JSON file; `None` when there is none.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, PersistError> {
    let content = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io_error(path))?,
    };
    let parsed = serde_json::from_slice(&content);
    parsed.map(Some).map_err(|source| PersistError::Content { path: path.to_owned(), source })
}

/// Removes a file; one that is not there is fine.
pub(crate) fn remove_file(path: &Path) -> Result<(), PersistError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path)(error)),
        _ => Ok(()),
    }
}

/// An append-only file with one JSON value per line. A torn last line is cut when it is opened.
#[derive(Debug)]
pub(crate) struct LineLog {
    file: File,
    path: PathBuf,
}

impl LineLog {
    /// Opens or makes the file and returns what is in it.
    pub(crate) fn open<T: DeserializeOwned>(path: &Path) -> Result<(LineLog, Vec<T>), PersistError> {
        let mut content = Vec::new();
        let mut open = || {
            let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
            file.read_to_end(&mut content)?;
            let whole = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            content.truncate(whole);
            file.set_len(u64::try_from(whole).unwrap_or(u64::MAX))?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let file = open().map_err(io_error(path))?;
        let values = content
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(serde_json::from_slice)
            .collect::<Result<Vec<T>, _>>()
            .map_err(|source| PersistError::Content { path: path.to_owned(), source })?;
        Ok((LineLog { file, path: path.to_owned() }, values))
    }

    /// Adds a line and waits for the disk.
    pub(crate) fn append(&mut self, value: &impl Serialize) -> Result<(), PersistError> {
        let mut line =
            serde_json::to_vec(value).map_err(|source| PersistError::Content { path: self.path.clone(), source })?;
        line.push(b'\n');
        self.file.write_all(&line).and_then(|()| self.file.sync_data()).map_err(io_error(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_tail_is_cut_and_the_log_goes_on_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let (mut log, old) = LineLog::open::<u32>(&path).unwrap();
        assert!(old.is_empty());
        log.append(&1).unwrap();
        log.file.write_all(b"2").unwrap(); // A kill in the middle of a line.
        let (mut log, old) = LineLog::open::<u32>(&path).unwrap();
        assert_eq!(old, [1]);
        log.append(&3).unwrap();
        assert_eq!(LineLog::open::<u32>(&path).unwrap().1, [1, 3]);
    }
}
