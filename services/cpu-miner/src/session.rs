//! One connection to the pool, from connect to whatever ends it.
use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crate::protocol::{self, Incoming, Job, LOGIN_ID, Negotiated, StaleWatch};
use crate::work::{Bench, FoundNonce};
use crate::{AcceptedFile, AcceptedShare, Counters, MinerParams};

const CONNECT: Duration = Duration::from_secs(3);
/// Both socket timeouts, and so the rhythm of everything.
const TICK: Duration = Duration::from_millis(250);
const KEEPALIVE: Duration = Duration::from_secs(10);
const ACK: Duration = Duration::from_secs(30);
const LATE_ACK: Duration = Duration::from_secs(120);
const IN_FLIGHT_MAX: usize = 16;
const DEFERRED_MAX: usize = 4096;
const WRITES_PER_CYCLE: usize = 32;

/// Why a connection is over.
#[derive(Debug)]
pub(super) enum End {
    /// Nobody there, or it cannot be written to.
    Unreachable,
    /// The pool said no.
    Rejected(String),
    /// The pool closed it.
    Closed,
    /// Too many stale shares: log in again.
    Resync,
    /// The miner stops.
    Stopped,
}

impl End {
    /// How long the client waits before it comes back.
    pub(super) fn pause(&self) -> Duration {
        match self {
            End::Unreachable | End::Rejected(_) => Duration::from_secs(2),
            End::Closed | End::Resync | End::Stopped => Duration::ZERO,
        }
    }
}

/// What a miner keeps over connections.
pub(super) struct SessionState {
    pub(super) next_id: u64,
    /// The last difficulty seen in a job or answer.
    pub(super) difficulty: Option<u64>,
    /// The last good login took hints.
    pub(super) may_hint: bool,
    pub(super) accepted_file: Option<AcceptedFile>,
}

struct Pending {
    turn: u64,
    job: Arc<Job>,
    nonce: u64,
    sent_at: Instant,
}

pub(super) struct Session<'a> {
    params: &'a MinerParams,
    counters: &'a Counters,
    bench: &'a Bench,
    found: &'a Receiver<FoundNonce>,
    memory: &'a mut SessionState,
    stream: TcpStream,
    unread: Vec<u8>,
    negotiated: Option<Negotiated>,
    job: Option<(u64, Arc<Job>)>,
    deferred: VecDeque<FoundNonce>,
    pending: HashMap<u64, Pending>,
    stales: StaleWatch,
    last_write: Instant,
}

fn connect(pool: &str) -> Option<TcpStream> {
    let mut addresses: Vec<_> = pool.to_socket_addrs().ok()?.collect();
    addresses.sort_by_key(std::net::SocketAddr::is_ipv6);
    let stream = addresses.iter().find_map(|address| TcpStream::connect_timeout(address, CONNECT).ok())?;
    stream.set_read_timeout(Some(TICK)).ok()?;
    stream.set_write_timeout(Some(TICK)).ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

/// Connects, mines, and returns why it ended. What was under way is lost, as in the real client.
pub(super) fn run(
    params: &MinerParams,
    counters: &Counters,
    bench: &Bench,
    found: &Receiver<FoundNonce>,
    memory: &mut SessionState,
) -> End {
    let Some(stream) = connect(&params.pool) else { return End::Unreachable };
    counters.connections.fetch_add(1, Ordering::Relaxed);
    let mut session = Session {
        params,
        counters,
        bench,
        found,
        memory,
        stream,
        unread: Vec::new(),
        negotiated: None,
        job: None,
        deferred: VecDeque::new(),
        pending: HashMap::new(),
        stales: StaleWatch::default(),
        last_write: Instant::now(),
    };
    let Err(end) = session.mine();
    bench.give(None);
    end
}

impl Session<'_> {
    fn mine(&mut self) -> Result<std::convert::Infallible, End> {
        let hint = self.memory.difficulty.filter(|_| self.memory.may_hint);
        self.write(&protocol::login(&self.params.address, &self.params.worker, hint))?;
        loop {
            if self.counters.is_over.load(Ordering::Acquire) {
                return Err(End::Stopped);
            }
            self.keep_alive()?;
            self.write_submits()?;
            if let Some(line) = self.read_line()? {
                self.take(&line)?;
            }
        }
    }

    fn write(&mut self, text: &str) -> Result<(), End> {
        self.stream.write_all(text.as_bytes()).map_err(|_| End::Unreachable)?;
        self.last_write = Instant::now();
        Ok(())
    }

    fn is_in_flight(pending: &Pending) -> bool {
        pending.sent_at.elapsed() < ACK
    }

    fn keep_alive(&mut self) -> Result<(), End> {
        let is_waiting = self.pending.values().any(Self::is_in_flight);
        if self.negotiated.is_some() && !is_waiting && self.last_write.elapsed() >= KEEPALIVE {
            self.write("\n")?;
        }
        Ok(())
    }

    fn write_submits(&mut self) -> Result<(), End> {
        let turn = self.job.as_ref().map(|(turn, _)| *turn);
        for found in self.found.try_iter() {
            // Late results of an earlier assignment, and more than the queue holds, are dropped.
            if Some(found.turn) == turn && self.deferred.len() < DEFERRED_MAX {
                self.deferred.push_back(found);
            }
        }
        self.pending.retain(|_, pending| pending.sent_at.elapsed() < LATE_ACK);
        let (Some(negotiated), Some((turn, job))) = (self.negotiated, self.job.clone()) else { return Ok(()) };
        for _ in 0..WRITES_PER_CYCLE {
            let is_ours = |pending: &&Pending| pending.turn == turn && Self::is_in_flight(pending);
            if self.pending.values().filter(is_ours).count() >= IN_FLIGHT_MAX {
                return Ok(());
            }
            let Some(found) = self.deferred.pop_front() else { return Ok(()) };
            let id = self.memory.next_id;
            self.memory.next_id += 1;
            let claimed_hash = negotiated.sends_claimed_hash.then_some(&found.hash);
            self.write(&protocol::submit(id, &job.job_id, found.nonce, claimed_hash))?;
            self.counters.submitted.fetch_add(1, Ordering::Relaxed);
            let pending = Pending { turn, job: Arc::clone(&job), nonce: found.nonce, sent_at: Instant::now() };
            self.pending.insert(id, pending);
        }
        Ok(())
    }

    /// One line, or `None` after a tick without one. A line that takes longer than a tick to arrive is lost, as in
    /// the real client.
    fn read_line(&mut self) -> Result<Option<Vec<u8>>, End> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let rest = self.unread.split_off(end + 1);
                return Ok(Some(std::mem::replace(&mut self.unread, rest)));
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(End::Closed),
                Ok(length) => self.unread.extend_from_slice(&chunk[..length]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    self.unread.clear();
                    return Ok(None);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(End::Closed),
            }
        }
    }

    fn take(&mut self, line: &[u8]) -> Result<(), End> {
        let Ok(message) = serde_json::from_slice::<Incoming>(line) else { return Ok(()) };
        match (message.id, message.method.as_deref()) {
            (Some(LOGIN_ID), _) => self.take_login(&message),
            (Some(id), _) => self.take_answer(id, &message),
            (None, Some("job")) => {
                self.take_job(message);
                Ok(())
            }
            (None, Some("notification")) => {
                if message.params["kind"] == "miner_block_found" {
                    self.counters.blocks_found.fetch_add(1, Ordering::Relaxed);
                }
                tracing::info!(worker = self.params.worker, notification = %message.params, "pool says");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn take_login(&mut self, message: &Incoming) -> Result<(), End> {
        match protocol::judge_login(message) {
            Ok(negotiated) => {
                self.memory.may_hint = negotiated.takes_difficulty_hint;
                self.negotiated = Some(negotiated);
                Ok(())
            }
            Err(reason) => {
                self.memory.may_hint = false;
                Err(End::Rejected(reason))
            }
        }
    }

    fn take_job(&mut self, message: Incoming) {
        let Some(job) = Job::read(message.params) else { return };
        self.counters.jobs.fetch_add(1, Ordering::Relaxed);
        self.memory.difficulty = job.difficulty.or(self.memory.difficulty);
        self.deferred.clear();
        self.stales.reset();
        let job = Arc::new(job);
        let turn = self.bench.give(Some(Arc::clone(&job)));
        self.job = Some((turn, job));
    }

    fn take_answer(&mut self, id: u64, message: &Incoming) -> Result<(), End> {
        let Some(pending) = self.pending.remove(&id) else { return Ok(()) };
        if let Some(difficulty) = message.result["difficulty"].as_u64() {
            self.memory.difficulty = Some(difficulty);
        }
        match protocol::judge_submit(message) {
            Ok(()) => {
                self.stales.reset();
                let share = AcceptedShare {
                    job_id: pending.job.job_id.clone(),
                    merkle_root: pending.job.header_base.merkle_root(),
                    height: pending.job.height,
                    nonce: pending.nonce,
                };
                // Written before it is counted: whatever counts as accepted can be looked for later.
                if let Some(file) = &mut self.memory.accepted_file {
                    file.append(&share);
                }
                self.counters.accepted.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(reason) => {
                self.counters.rejected.fetch_add(1, Ordering::Relaxed);
                tracing::info!(worker = self.params.worker, reason, "share rejected");
                let is_current = self.job.as_ref().is_some_and(|(turn, _)| *turn == pending.turn);
                let must_resync = is_current && self.stales.refused(&reason, Instant::now());
                if must_resync { Err(End::Resync) } else { Ok(()) }
            }
        }
    }
}
