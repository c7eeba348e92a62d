//! Reads records in order, across files, never past what is durable.
use std::fs::File;
use std::os::unix::fs::FileExt;

use units::Seq;

use crate::files::{Durable, LogDirectory, LogError, LogFile, at, damaged, read_head};
use crate::frame::{frame_length, whole_frame};
use crate::record::{FileHead, Record};

const CHUNK: usize = 1 << 20;

/// A place in the log.
pub struct LogReader {
    directory: LogDirectory,
    file: LogFile,
    head: FileHead,
    open: File,
    offset: u64,
    next: Seq,
    buffer: Vec<u8>,
    /// Where in `buffer` the next frame starts.
    at: usize,
}

/// What reading came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A record; with its position if it has one.
    Record(Option<Seq>, Record<'a>),
    /// A new file begins: what was defined is forgotten.
    NewFile,
    /// Nothing durable is left.
    End,
}

impl LogReader {
    /// At the start of the file that holds position `from`: its definitions come first. `None` when there is no file.
    ///
    /// # Errors
    /// [`LogError::Gap`] when that position is older than the log.
    pub fn open(directory: &LogDirectory, from: Seq) -> Result<Option<LogReader>, LogError> {
        let (mut place, mut oldest) = (None, None);
        for file in directory.files()? {
            let reader = LogReader::at_start(directory, file)?;
            oldest.get_or_insert(reader.next);
            if reader.next <= from {
                place = Some(reader);
            }
        }
        match (place, oldest) {
            (None, Some(oldest)) => {
                Err(LogError::Gap { path: directory.path().to_owned(), from, to: Seq(oldest.0.saturating_sub(1)) })
            }
            (place, _) => Ok(place),
        }
    }

    /// At the start of the oldest file.
    ///
    /// # Errors
    /// [`LogError`] when it cannot be read.
    pub fn open_oldest(directory: &LogDirectory) -> Result<Option<LogReader>, LogError> {
        directory.files()?.into_iter().next().map(|file| LogReader::at_start(directory, file)).transpose()
    }

    fn at_start(directory: &LogDirectory, file: LogFile) -> Result<LogReader, LogError> {
        let mut open = File::open(&file.path).map_err(at(&file.path))?;
        let (head, offset) = read_head(&file, &mut open)?;
        Ok(LogReader {
            directory: directory.clone(),
            file,
            head,
            open,
            offset,
            next: head.base,
            buffer: Vec::new(),
            at: 0,
        })
    }

    /// The next step, not past `durable`.
    ///
    /// # Errors
    /// [`LogError::Damaged`] for durable bytes that are no record, or a file that does not continue the one before it.
    pub fn next(&mut self, durable: Durable) -> Result<Step<'_>, LogError> {
        let taken = loop {
            match frame_length(self.file.number, &self.buffer[self.at..]) {
                Some(length) => break length,
                None if self.fill(durable)? => {}
                None if self.at < self.buffer.len() => return Err(self.unreadable(self.at)),
                None if self.file.number < durable.file => return self.next_file(),
                None => return Ok(Step::End),
            }
        };
        let start = self.at;
        let Some(record) = whole_frame(&self.buffer[start..start + taken]) else { return Err(self.unreadable(start)) };
        self.at += record.advance(taken);
        let seq = record.is_positioned().then_some(self.next);
        self.next = self.next.plus(u64::from(seq.is_some()));
        Ok(Step::Record(seq, record))
    }

    /// Bytes of the current file that lie before the next record.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset - (self.buffer.len() - self.at) as u64
    }

    /// Position of the next record.
    #[must_use]
    pub fn position(&self) -> Seq {
        self.next
    }

    /// The current file's number.
    #[must_use]
    pub fn file_number(&self) -> u64 {
        self.file.number
    }

    /// The current file's header.
    #[must_use]
    pub fn head(&self) -> FileHead {
        self.head
    }

    /// What was read up to here cannot be right.
    pub fn damage(&self, why: &str) -> LogError {
        damaged(&self.file, usize::try_from(self.offset()).unwrap_or(usize::MAX), why)
    }

    fn unreadable(&self, at: usize) -> LogError {
        let offset = usize::try_from(self.offset).unwrap_or(usize::MAX) - (self.buffer.len() - at);
        damaged(&self.file, offset, "a durable record is unreadable")
    }

    fn fill(&mut self, durable: Durable) -> Result<bool, LogError> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let limit = if self.file.number == durable.file { durable.offset } else { u64::MAX };
        let want = usize::try_from(limit.saturating_sub(self.offset)).unwrap_or(usize::MAX).min(CHUNK);
        let had = self.buffer.len();
        self.buffer.resize(had + want, 0);
        let got = self.open.read_at(&mut self.buffer[had..], self.offset).map_err(at(&self.file.path))?;
        self.buffer.truncate(had + got);
        self.offset += got as u64;
        Ok(got > 0)
    }

    fn next_file(&mut self) -> Result<Step<'static>, LogError> {
        let later = self.directory.files()?.into_iter().find(|file| file.number > self.file.number);
        let Some(file) = later else { return Ok(Step::End) };
        let mut open = File::open(&file.path).map_err(at(&file.path))?;
        let (head, offset) = read_head(&file, &mut open)?;
        if head.base != self.next {
            let why = format!(
                "it begins with record {}, the file before it ends with {}",
                head.base,
                self.next.0.saturating_sub(1)
            );
            return Err(damaged(&file, 0, &why));
        }
        (self.file, self.head, self.open, self.offset) = (file, head, open, offset);
        self.buffer.clear();
        self.at = 0;
        Ok(Step::NewFile)
    }
}
