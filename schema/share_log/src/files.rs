//! The log's directory: its files, where it ends, and what may be cut.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use units::{Minute, Seq};

use crate::frame::{Frame, frame};
use crate::record::{FILE_HEAD, FileHead, Record};

/// Why the log cannot be used. Nothing is changed when one of these is returned.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system refused.
    #[error("share log {path}: {source}")]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Bytes of an acknowledged commit are not what was written.
    #[error("share log {path} is damaged at byte {offset}: {why}; restore the file from a copy, nothing was cut")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// The database lacks records that are no longer kept: it was put back from an older copy.
    #[error(
        "share log {path} lacks records {from} to {to}, which the database does not have either; put the files back, \
         or give them up with `meshpool hosts accept-gap`"
    )]
    Gap {
        /// The directory.
        path: PathBuf,
        /// The first one that is missing.
        from: Seq,
        /// The last one.
        to: Seq,
    },
    /// The database has folded records that this log does not have.
    #[error("share log {path} and the database do not belong together: {why}")]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
}

/// A directory of log files, one host's.
#[derive(Debug, Clone)]
pub struct LogDirectory {
    path: PathBuf,
}

/// One file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// From its name; its header says the same.
    pub number: u64,
    /// Where it is.
    pub path: PathBuf,
}

/// Up to where the log may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Durable {
    /// The file being written; older ones are complete.
    pub file: u64,
    /// Its durable length.
    pub offset: u64,
    /// Position of the last durable record.
    pub seq: Seq,
}

/// Where writing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEnd {
    /// Number of the next file; files are never appended to by a later process.
    pub next_file: u64,
    /// Position of the next record.
    pub next_seq: Seq,
    /// The latest minute that a share was booked to.
    pub minute: Minute,
    /// Torn bytes that were cut (and kept beside the file).
    pub cut_bytes: u64,
}

impl LogDirectory {
    /// Opens or makes it.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn open(path: &Path) -> Result<LogDirectory, LogError> {
        let is_missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.exists();
        let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
        fs::create_dir_all(path).map_err(at(path))?;
        // The names of the directories that were made; its own also when an earlier process did not come that far.
        for made in [path].into_iter().chain(missing) {
            let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            sync_directory(parent).map_err(at(parent))?;
        }
        Ok(LogDirectory { path: path.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name under which the database knows this log, if one was drawn; it lies in the file `host`.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn stored_host_name(&self) -> Result<Option<String>, LogError> {
        let path = self.path.join("host");
        match fs::read_to_string(&path) {
            Ok(name) => Ok(Some(name.trim().to_owned()).filter(|name| !name.is_empty())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&path)(error)),
        }
    }

    /// Its files, oldest first.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn files(&self) -> Result<Vec<LogFile>, LogError> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(at(&self.path))? {
            let path = entry.map_err(at(&self.path))?.path();
            let number = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.strip_suffix(".log"))
                .and_then(|digits| digits.parse().ok());
            if let Some(number) = number {
                files.push(LogFile { number, path });
            }
        }
        files.sort_by_key(|file| file.number);
        Ok(files)
    }

    /// Makes the file that `head` names, durable with its header before the first record goes in. What an earlier try
    /// left of it is replaced.
    ///
    /// # Errors
    /// [`LogError::Io`]; also for a file that has records already.
    pub fn create(&self, head: FileHead) -> Result<File, LogError> {
        let (path, fresh) = (self.path.join(format!("{:020}.log", head.number)), self.path.join("log.new"));
        let make = || {
            if fs::metadata(&path).is_ok_and(|there| there.len() > FILE_HEAD as u64) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let mut file = File::create(&fresh)?;
            file.write_all(&head.encode())?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            sync_directory(&self.path)?;
            Ok(file)
        };
        make().map_err(at(&path))
    }

    /// Up to where somebody beside the writer can read: the last whole record. `None` without a readable file.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn readable(&self) -> Result<Option<Durable>, LogError> {
        // The newest may have no header yet.
        for file in self.files()?.iter().rev().take(2) {
            let bytes = fs::read(&file.path).map_err(at(&file.path))?;
            if let Some((head, length)) = head_of(file, &bytes) {
                let scan = scan(file.number, length, &bytes);
                let seq = Seq(head.base.plus(scan.records).0.saturating_sub(1));
                return Ok(Some(Durable { file: file.number, offset: scan.end as u64, seq }));
            }
        }
        Ok(None)
    }

    /// Finds the end. A torn tail, which no acknowledgement can depend on, is copied aside and cut. What is whole counts
    /// from now on, so it is made durable first: the database must not know more than the disk, and a later file must
    /// not begin behind records that the disk does not have.
    ///
    /// # Errors
    /// [`LogError::Damaged`] when a synced commit is unreadable: that is not ours to cut.
    pub fn recover(&self) -> Result<LogEnd, LogError> {
        let files = self.files()?;
        let mut end = LogEnd { next_file: 1, next_seq: Seq(1), minute: Minute(0), cut_bytes: 0 };
        let Some(newest) = files.last() else { return Ok(end) };
        end.next_file = newest.number + 1;
        sync_directory(&self.path).map_err(at(&self.path))?;
        let mut is_found = false;
        for file in files.iter().rev() {
            let bytes = fs::read(&file.path).map_err(at(&file.path))?;
            let Some((head, length)) = head_of(file, &bytes) else {
                if is_found {
                    break; // Only its minute is missing.
                }
                // The newest may have died before its header was durable; then the one before it holds the end.
                if file != newest || later_commit(file.number, &bytes, 0) {
                    return Err(damaged(file, 0, "its header is unreadable"));
                }
                end.cut_bytes = cut(file, &bytes, 0)?;
                continue;
            };
            let scan = scan(file.number, length, &bytes);
            if !is_found {
                is_found = true;
                end.next_seq = head.base.plus(scan.records);
                if scan.end < bytes.len() {
                    if later_commit(file.number, &bytes[scan.end..], scan.ordinal) {
                        return Err(damaged(file, scan.end, "a later commit is intact"));
                    }
                    end.cut_bytes = cut(file, &bytes, scan.end)?;
                }
                write_again(file, &bytes[..scan.end], scan.commit).map_err(at(&file.path))?;
            }
            // No later file has a share that was booked earlier; one of the first format may have none at all.
            end.minute = head.minute.max(scan.minute);
            if end.minute > Minute(0) {
                break;
            }
        }
        Ok(end)
    }
}

fn head_of(file: &LogFile, bytes: &[u8]) -> Option<(FileHead, usize)> {
    FileHead::decode(bytes).filter(|(head, _)| head.number == file.number)
}

/// Makes durable what was read of the last commit, which is all that may not be. A sync alone would not do: after one
/// that failed, the system counts the bytes that it has in memory as written, on disk or not.
fn write_again(file: &LogFile, bytes: &[u8], from: usize) -> io::Result<()> {
    let open = OpenOptions::new().write(true).open(&file.path)?;
    open.write_all_at(&bytes[from..], from as u64)?;
    open.sync_all()
}

/// What a walk over a file's frames found.
struct Scan {
    records: u64,
    minute: Minute,
    ordinal: u64,
    /// Where the last commit begins.
    commit: usize,
    end: usize,
}

fn scan(number: u64, head: usize, bytes: &[u8]) -> Scan {
    let mut scan = Scan { records: 0, minute: Minute(0), ordinal: 0, commit: head, end: head };
    while let Frame::Whole(record, taken) = frame(number, &bytes[scan.end..]) {
        match record {
            Record::Commit { ordinal } => (scan.ordinal, scan.commit) = (ordinal, scan.end),
            Record::Share(share) => scan.minute = scan.minute.max(share.minute),
            _ => {}
        }
        scan.records += u64::from(record.is_positioned());
        scan.end += taken;
    }
    scan
}

/// Whether a commit after number `ordinal` starts anywhere in `bytes`: a process writes its mark only after the
/// commit before it was synced.
fn later_commit(number: u64, bytes: &[u8], ordinal: u64) -> bool {
    (0..bytes.len()).any(|at| {
        matches!(frame(number, &bytes[at..]), Frame::Whole(Record::Commit { ordinal: later }, _) if later > ordinal)
    })
}

/// Moves everything from `from` on into a file beside it.
fn cut(file: &LogFile, bytes: &[u8], from: usize) -> Result<u64, LogError> {
    let aside = file.path.with_extension(format!("cut-{from}"));
    let work = || {
        let mut copy = File::create(&aside)?;
        copy.write_all(&bytes[from..])?;
        copy.sync_all()?;
        if from == 0 {
            fs::remove_file(&file.path)?;
        } else {
            let open = OpenOptions::new().write(true).open(&file.path)?;
            open.set_len(from as u64)?;
            open.sync_all()?;
        }
        sync_directory(file.path.parent().unwrap_or(Path::new(".")))
    };
    work().map_err(at(&file.path))?;
    Ok((bytes.len() - from) as u64)
}

/// Reads a file's header, and how long it is.
///
/// # Errors
/// [`LogError::Damaged`] when it has none.
pub fn read_head(file: &LogFile, from: &mut File) -> Result<(FileHead, u64), LogError> {
    let mut bytes = Vec::with_capacity(FILE_HEAD);
    from.take(FILE_HEAD as u64).read_to_end(&mut bytes).map_err(at(&file.path))?;
    let head = head_of(file, &bytes).ok_or_else(|| damaged(file, 0, "its header is unreadable"))?;
    Ok((head.0, head.1 as u64))
}

/// An error of the operating system as one of the log.
pub fn at(path: &Path) -> impl FnOnce(io::Error) -> LogError + '_ {
    |source| LogError::Io { path: path.to_owned(), source }
}

pub(crate) fn damaged(file: &LogFile, offset: usize, why: &str) -> LogError {
    LogError::Damaged { path: file.path.clone(), offset: offset as u64, why: why.to_owned() }
}

/// Makes the names in a directory durable.
///
/// # Errors
/// What the operating system says.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests;
