//! The log's directory: its files, where it ends, and what may be cut.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use units::{Minute, PolicyId, Seq};

use crate::reader::Durable;
use crate::record::{FILE_HEAD, FileHead, Frame, Record, frame};

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
    /// The database has folded records that this log does not have, or lacks some that are no longer kept.
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
    /// Noted in files that are made.
    policy: Option<PolicyId>,
}

/// One file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// From its name; its header says the same.
    pub number: u64,
    /// Where it is.
    pub path: PathBuf,
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
        fs::create_dir_all(path).map_err(at(path))?;
        Ok(LogDirectory { path: path.to_owned(), policy: None })
    }

    /// From now on `policy` prices the blocks that are found: files that are made say so.
    #[must_use]
    pub fn under_policy(self, policy: PolicyId) -> LogDirectory {
        LogDirectory { policy: Some(policy), ..self }
    }

    /// The policy that was in force when file `number` was written, if it says one.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub(crate) fn policy_of(&self, number: u64) -> Result<Option<PolicyId>, LogError> {
        let path = self.path.join(format!("{number:020}.log"));
        let mut bytes = [0; FILE_HEAD];
        File::open(&path).and_then(|mut file| file.read_exact(&mut bytes)).map_err(at(&path))?;
        Ok(FileHead::policy(&bytes))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name under which the database knows this log: drawn once, kept in the directory, so that a log which
    /// is lost with its disk never continues the positions of the old one.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn host_name(&self, draw: impl FnOnce() -> String) -> Result<String, LogError> {
        if let Some(name) = self.stored_host_name()? {
            return Ok(name);
        }
        let path = self.path.join("host");
        let (name, fresh) = (draw(), self.path.join("host.new"));
        let write = || {
            let mut file = File::create(&fresh)?;
            file.write_all(name.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            sync_directory(&self.path)
        };
        write().map_err(at(&path))?;
        Ok(name)
    }

    /// The name, if one was drawn.
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
            file.write_all(&head.encode(self.policy))?;
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
            if let Some(head) = FileHead::decode(&bytes).filter(|head| head.number == file.number) {
                let scan = scan(file.number, &bytes);
                let seq = Seq(head.base.plus(scan.records).0.saturating_sub(1));
                return Ok(Some(Durable { file: file.number, offset: scan.end as u64, seq }));
            }
        }
        Ok(None)
    }

    /// Finds the end. A torn tail, which no acknowledgement can depend on, is copied aside and cut. What is whole but was
    /// never synced counts from now on, so it is synced first: the database must not know more than the disk.
    ///
    /// # Errors
    /// [`LogError::Damaged`] when a synced commit is unreadable: that is not ours to cut.
    pub fn recover(&self) -> Result<LogEnd, LogError> {
        let files = self.files()?;
        let mut end = LogEnd { next_file: 1, next_seq: Seq(1), minute: Minute(0), cut_bytes: 0 };
        let Some(newest) = files.last() else { return Ok(end) };
        end.next_file = newest.number + 1;
        // The newest may have died before its header was durable; then the one before it holds the end.
        for file in files.iter().rev().take(2) {
            let bytes = fs::read(&file.path).map_err(at(&file.path))?;
            let Some(head) = FileHead::decode(&bytes).filter(|head| head.number == file.number) else {
                if file != newest || later_commit(file.number, &bytes, 0) {
                    return Err(damaged(file, 0, "its header is unreadable"));
                }
                end.cut_bytes = cut(file, &bytes, 0)?;
                continue;
            };
            let scan = scan(file.number, &bytes);
            (end.next_seq, end.minute) = (head.base.plus(scan.records), scan.minute);
            if scan.end < bytes.len() {
                if later_commit(file.number, &bytes[scan.end..], scan.ordinal) {
                    return Err(damaged(file, scan.end, "a later commit is intact"));
                }
                end.cut_bytes = cut(file, &bytes, scan.end)?;
            }
            File::open(&file.path).and_then(|open| open.sync_all()).map_err(at(&file.path))?;
            return Ok(end);
        }
        if files.len() > 1 {
            return Err(damaged(newest, 0, "no file has a readable header"));
        }
        Ok(end)
    }
}

/// What a walk over a file's frames found.
struct Scan {
    records: u64,
    minute: Minute,
    ordinal: u64,
    end: usize,
}

fn scan(number: u64, bytes: &[u8]) -> Scan {
    let mut scan = Scan { records: 0, minute: Minute(0), ordinal: 0, end: FILE_HEAD };
    while let Frame::Whole(record, taken) = frame(number, &bytes[scan.end..]) {
        match record {
            Record::Commit { ordinal } => scan.ordinal = ordinal,
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

/// Reads a file's header.
///
/// # Errors
/// [`LogError::Damaged`] when it has none.
pub(crate) fn read_head(file: &LogFile, from: &mut File) -> Result<FileHead, LogError> {
    let mut bytes = [0; FILE_HEAD];
    from.read_exact(&mut bytes).map_err(at(&file.path))?;
    FileHead::decode(&bytes)
        .filter(|head| head.number == file.number)
        .ok_or_else(|| damaged(file, 0, "its header is unreadable"))
}

pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> LogError + '_ {
    |source| LogError::Io { path: path.to_owned(), source }
}

pub(crate) fn damaged(file: &LogFile, offset: usize, why: &str) -> LogError {
    LogError::Damaged { path: file.path.clone(), offset: offset as u64, why: why.to_owned() }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::{Difficulty, Nonce, Timestamp};

    use crate::record::Share;

    fn share(nonce: u64, minute: u32) -> Record<'static> {
        Record::Share(Share {
            line: 1,
            template: 1,
            nonce: Nonce::new(nonce),
            difficulty: Difficulty::ONE,
            received_at: Timestamp::from_ms(0),
            minute: Minute(minute),
            flags: 0,
        })
    }

    /// A directory whose only file holds these commits of shares; returns where each commit begins and the end.
    fn written(commits: &[u64]) -> (tempfile::TempDir, LogDirectory, Vec<usize>) {
        let place = tempfile::tempdir().unwrap();
        let log = LogDirectory::open(place.path()).unwrap();
        let mut file = log.create(FileHead { number: 1, base: Seq(1) }).unwrap();
        let (mut bytes, mut marks) = (Vec::new(), vec![FILE_HEAD]);
        for (ordinal, shares) in (1..).zip(commits) {
            Record::Commit { ordinal }.encode(1, &mut bytes);
            (0..*shares).for_each(|nonce| share(nonce, 7).encode(1, &mut bytes));
            marks.push(FILE_HEAD + bytes.len());
        }
        file.write_all(&bytes).unwrap();
        (place, log, marks)
    }

    fn edit(log: &LogDirectory, change: impl FnOnce(&mut Vec<u8>)) {
        let path = &log.files().unwrap()[0].path;
        let mut bytes = fs::read(path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn an_empty_directory_starts_at_the_first_position() {
        let place = tempfile::tempdir().unwrap();
        let end = LogDirectory::open(place.path()).unwrap().recover().unwrap();
        assert_eq!((end.next_file, end.next_seq), (1, Seq(1)));
    }

    #[test]
    fn writing_goes_on_after_the_last_record() {
        let (_place, log, _) = written(&[3, 2]);
        let end = log.recover().unwrap();
        assert_eq!(end, LogEnd { next_file: 2, next_seq: Seq(6), minute: Minute(7), cut_bytes: 0 });
    }

    #[test]
    fn a_tail_torn_at_any_byte_is_cut_and_kept_aside() {
        let (_place, _, marks) = written(&[2, 2]);
        for length in marks[1] + 1..marks[2] {
            let (_place, log, marks) = written(&[2, 2]);
            edit(&log, |bytes| bytes.truncate(length));
            let end = log.recover().unwrap();
            assert!((3..=4).contains(&end.next_seq.0), "{length}: {end:?}");
            assert!(fs::metadata(&log.files().unwrap()[0].path).unwrap().len() >= marks[1] as u64);
            assert_eq!(log.recover().unwrap().cut_bytes, 0, "a second look finds nothing to cut");
        }
    }

    #[test]
    fn a_hole_in_the_last_commit_is_torn_even_if_frames_follow_it() {
        let (_place, log, marks) = written(&[2, 3]);
        edit(&log, |bytes| bytes[marks[1] + 20..marks[1] + 30].fill(0));
        let end = log.recover().unwrap();
        assert_eq!(end.next_seq, Seq(3));
        assert!(end.cut_bytes > 0);
    }

    #[test]
    fn damage_in_a_synced_commit_is_refused_and_nothing_is_cut() {
        let (_place, log, marks) = written(&[2, 3]);
        edit(&log, |bytes| bytes[marks[0] + 20] ^= 1);
        let before = fs::read(&log.files().unwrap()[0].path).unwrap();
        let error = log.recover().unwrap_err();
        assert!(error.to_string().contains("00000000000000000001.log is damaged at byte"), "{error}");
        assert_eq!(fs::read(&log.files().unwrap()[0].path).unwrap(), before);
    }

    #[test]
    fn a_file_that_died_before_its_header_leaves_the_end_where_it_was() {
        let (_place, log, _) = written(&[3]);
        fs::write(log.path().join("00000000000000000002.log"), [0; 5]).unwrap();
        let end = log.recover().unwrap();
        assert_eq!((end.next_file, end.next_seq), (3, Seq(4)));
    }

    #[test]
    fn the_host_name_is_drawn_once() {
        let place = tempfile::tempdir().unwrap();
        let log = LogDirectory::open(place.path()).unwrap();
        assert_eq!(log.host_name(|| "first".into()).unwrap(), "first");
        assert_eq!(log.host_name(|| "second".into()).unwrap(), "first");
    }
}
