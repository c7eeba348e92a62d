//! The list of shares that the pool said it has accepted.
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::LoadError;
use crate::client::Job;

/// Bytes that are gathered before a write.
const GATHERED: usize = 1 << 20;

/// Lines in the form of `cpu_miner::AcceptedShare`.
pub(super) struct AcceptedList {
    path: PathBuf,
    file: File,
    gathered: Vec<u8>,
}

impl AcceptedList {
    pub(super) fn open(path: &Path) -> Result<AcceptedList, LoadError> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file = file.map_err(|source| LoadError::Accepted { path: path.to_owned(), source })?;
        Ok(AcceptedList { path: path.to_owned(), file, gathered: Vec::with_capacity(GATHERED + 256) })
    }

    pub(super) fn add(&mut self, job: &Job, nonce: u64) -> Result<(), LoadError> {
        self.gathered.extend_from_slice(job.listed.as_bytes());
        writeln!(self.gathered, "{nonce}}}").expect("a vector takes every byte");
        if self.gathered.len() < GATHERED { Ok(()) } else { self.flush() }
    }

    pub(super) fn flush(&mut self) -> Result<(), LoadError> {
        let written = self.file.write_all(&self.gathered);
        self.gathered.clear();
        written.map_err(|source| LoadError::Accepted { path: self.path.clone(), source })
    }
}
