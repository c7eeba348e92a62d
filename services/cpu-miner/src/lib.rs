//! A CPU miner that behaves as the real client does: its timers, its limits, its stubbornness.
//!
//! It never sends a share twice, throws work away on every job, comes back at once when a connection is closed and
//! after two seconds when there is none, and never gives up. It can write down what the pool accepted.
#![warn(missing_docs)]

mod protocol;
mod session;
mod work;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use chain::MerkleRoot;
use pow::{Arena, Kernel, MemoryError, MemoryKib};
use serde::{Deserialize, Serialize};

use session::{End, SessionState};
use work::Bench;

const FOUND_MAX: usize = 4096;

/// How to make a miner.
#[derive(Clone, Debug)]
pub struct MinerParams {
    /// `host:port` of the pool, with or without `stratum+tcp://`.
    pub pool: String,
    /// Who is paid.
    pub address: String,
    /// Name of the rig.
    pub worker: String,
    /// Hashes per second at most; 0 for as many as the machine makes.
    pub hashrate_max: u32,
    /// Memory of one hash, in KiB.
    pub pow_memory_kib: u32,
    /// Where each accepted share is noted, one JSON object a line.
    pub accepted_file: Option<PathBuf>,
}

/// A share that the pool has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedShare {
    /// The assignment.
    pub job_id: String,
    /// Names the template whatever the daemon calls it.
    pub merkle_root: MerkleRoot,
    /// Height of the block that was tried for.
    pub height: u64,
    /// The nonce that was submitted.
    pub nonce: u64,
}

impl AcceptedShare {
    /// Reads what a miner has noted. A line that a kill has cut short is left out: its share does not count.
    ///
    /// # Errors
    /// When the file cannot be read, or a whole line is not one of ours.
    pub fn read_all(path: &Path) -> std::io::Result<Vec<AcceptedShare>> {
        let text = std::fs::read_to_string(path)?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).map_err(std::io::Error::from)).collect()
    }
}

/// Why a miner does not start.
#[derive(Debug, thiserror::Error)]
pub enum MinerError {
    /// No memory to hash in.
    #[error("this miner cannot hash")]
    Hasher(#[from] MemoryError),
    /// The list of accepted shares cannot be written.
    #[error("cannot open {}", path.display())]
    AcceptedFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The machine has no thread left.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// What a miner has done so far.
#[derive(Debug, Default)]
pub struct Counters {
    /// Hashes computed.
    pub hashes: AtomicU64,
    /// Connections that were made.
    pub connections: AtomicU64,
    /// Jobs received.
    pub jobs: AtomicU64,
    /// Shares sent.
    pub submitted: AtomicU64,
    /// Shares acknowledged, and noted if there is a file.
    pub accepted: AtomicU64,
    /// Shares refused.
    pub rejected: AtomicU64,
    /// Blocks that the pool said were this miner's.
    pub blocks_found: AtomicU64,
    is_over: AtomicBool,
}

struct AcceptedFile {
    file: File,
    path: PathBuf,
}

impl AcceptedFile {
    fn open(path: &Path) -> Result<AcceptedFile, MinerError> {
        let failed = |source| MinerError::AcceptedFile { path: path.to_owned(), source };
        // A line that an earlier kill has cut short would spoil the next one.
        if let Ok(old) = std::fs::read(path) {
            let whole = old.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let length = u64::try_from(whole).unwrap_or(u64::MAX);
            OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(length)).map_err(failed)?;
        }
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(failed)?;
        Ok(AcceptedFile { file, path: path.to_owned() })
    }

    fn append(&mut self, share: &AcceptedShare) {
        let line = serde_json::to_string(share).expect("a share is plain text and numbers") + "\n";
        if let Err(error) = self.file.write_all(line.as_bytes()).and_then(|()| self.file.flush()) {
            tracing::error!(path = %self.path.display(), %error, "an accepted share is not noted");
        }
    }
}

/// A miner at work. Dropping it stops it.
pub struct Miner {
    counters: Arc<Counters>,
    bench: Arc<Bench>,
    threads: Vec<JoinHandle<()>>,
}

impl Miner {
    /// Starts one; the pool need not be there yet.
    ///
    /// # Errors
    /// When memory, a file or a thread cannot be had.
    pub fn start(mut params: MinerParams) -> Result<Miner, MinerError> {
        if let Some(plain) = params.pool.strip_prefix("stratum+tcp://") {
            params.pool = plain.to_owned();
        }
        let memory_kib = params.pow_memory_kib;
        let memory = MemoryKib::new(memory_kib).ok_or(MemoryError::Size(memory_kib))?;
        let arena = Arena::new(memory).map_err(MemoryError::from)?;
        let accepted_file = params.accepted_file.as_deref().map(AcceptedFile::open).transpose()?;
        let (counters, bench) = (Arc::new(Counters::default()), Arc::new(Bench::default()));
        let (found, finds) = sync_channel(FOUND_MAX);
        let hash_every = Duration::from_secs(1).checked_div(params.hashrate_max).unwrap_or_default();

        let mut miner = Miner { counters, bench, threads: Vec::new() };
        let (bench, counters) = (Arc::clone(&miner.bench), Arc::clone(&miner.counters));
        miner.spawn("devnet-hash", move || {
            let count_hash = || {
                counters.hashes.fetch_add(1, Ordering::Relaxed);
            };
            work::run(&bench, Kernel::detect(), arena, hash_every, &found, count_hash);
        })?;
        let (bench, counters) = (Arc::clone(&miner.bench), Arc::clone(&miner.counters));
        let mut memory = SessionState { next_id: 2, difficulty: None, may_hint: false, accepted_file };
        miner.spawn("devnet-miner", move || {
            while !counters.is_over.load(Ordering::Acquire) {
                let end = session::run(&params, &counters, &bench, &finds, &mut memory);
                log_end(&params, &end);
                if !end.pause().is_zero() {
                    // Woken by the end of the miner.
                    std::thread::park_timeout(end.pause());
                }
            }
        })?;
        Ok(miner)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), MinerError> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(MinerError::Thread)?;
        self.threads.push(thread);
        Ok(())
    }

    /// What it has done so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Stops hashing and closes the connection.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Miner {
    fn drop(&mut self) {
        self.counters.is_over.store(true, Ordering::Release);
        self.bench.close();
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a thread of the miner has panicked");
            }
        }
    }
}

fn log_end(params: &MinerParams, end: &End) {
    let (pool, worker) = (&params.pool, &params.worker);
    match end {
        End::Unreachable => tracing::debug!(%pool, %worker, "pool is not reachable"),
        End::Rejected(reason) => tracing::warn!(%pool, %worker, reason, "pool rejects the login"),
        End::Closed => tracing::info!(%pool, %worker, "pool closed the connection"),
        End::Resync => tracing::info!(%pool, %worker, "too many stale shares: logging in again"),
        End::Stopped => {}
    }
}
