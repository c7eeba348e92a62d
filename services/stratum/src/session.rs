//! One connection: whom it mines for, what it was sent, what it is still owed, and how it ends.
//!
//! What it refuses to do: understand what it reads.
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use messages::facts::{Origin, SessionId, WorkerIdentity};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use units::Difficulty;

use crate::assignment::Assignments;
use crate::buffer_pool;
use crate::close_reason::CloseReason;
use crate::connection_limiter::ConnectionPermit;
use crate::limits::{HANDSHAKE_DEADLINE, LOGIN_DEADLINE, Pace, RateWindow};
use crate::transport::{Tls, Transport};
use crate::vardiff::Vardiff;

/// Bytes that a connection may leave unread before it is closed.
const OUT_MAX: usize = 64 * 1024;
/// How long it may leave them unread.
const OUT_PATIENCE: Duration = Duration::from_secs(30);
/// How long a closed connection may take to read its last answers: one that is closed over unread bytes loses them.
const LINGER: Duration = Duration::from_secs(1);

/// A connection. Everything in it belongs to one thread.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) origin: Origin,
    pub(crate) place: ConnectionPermit,
    pub(crate) miner: RefCell<Option<Miner>>,
    pub(crate) rate: RefCell<RateWindow>,
    pub(crate) logins: Cell<Pace>,
    /// It logged in, and is in the gauge of sessions.
    pub(crate) counted: Cell<bool>,
    /// Submits whose answer is not written yet.
    under_way: Cell<u32>,
    transport: Transport,
    out: RefCell<Vec<u8>>,
    out_since: Cell<Option<Instant>>,
    wake: Notify,
    stage: Cell<Stage>,
    /// The first reason to close it counts.
    reason: Cell<Option<CloseReason>>,
    opened_at: Instant,
    /// When its last line was read.
    line_at: Cell<Instant>,
    /// Answers of one turn leave together.
    corked: Cell<bool>,
}

/// Whom a session mines for.
pub(crate) struct Miner {
    pub(crate) line: Arc<WorkerIdentity>,
    pub(crate) assignments: Assignments,
    pub(crate) vardiff: Vardiff,
    /// A job could not be given when it should have been.
    pub(crate) is_owed_job: bool,
}

impl Miner {
    /// What the next job gets: never above the network's, or a miner would keep blocks to itself.
    pub(crate) fn next_difficulty(&self) -> Difficulty {
        let wanted = self.vardiff.difficulty();
        self.assignments.current().map_or(wanted, |job| wanted.min(job.template.network_difficulty))
    }

    /// Whether a new job would differ from the current one.
    pub(crate) fn differs(&self) -> bool {
        self.assignments.current().is_none_or(|job| self.next_difficulty() != job.difficulty)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Reads and writes.
    Open,
    /// Reads what has already arrived, then finishes.
    Draining,
    /// Reads no more; ends when everything is answered and written.
    Finishing,
    /// Ends now.
    Gone,
}

impl Session {
    pub(crate) fn new(id: SessionId, stream: TcpStream, origin: Origin, place: ConnectionPermit) -> Session {
        let now = Instant::now();
        Session {
            id,
            origin,
            place,
            miner: RefCell::new(None),
            rate: RefCell::new(RateWindow::new(now)),
            logins: Cell::default(),
            counted: Cell::new(false),
            under_way: Cell::new(0),
            transport: Transport::new(stream),
            out: RefCell::default(),
            out_since: Cell::new(None),
            wake: Notify::new(),
            stage: Cell::new(Stage::Open),
            reason: Cell::new(None),
            opened_at: now,
            line_at: Cell::new(now),
            corked: Cell::new(false),
        }
    }

    // === the socket ===

    /// Waits until the socket has or takes bytes, or somebody wants something else; writes what it takes. True when
    /// there is something to read.
    pub(crate) async fn ready(&self) -> bool {
        let (reading, writing) = (self.stage.get() == Stage::Open, self.has_unsent());
        tokio::select! {
            ready = self.transport.readable(), if reading => {
                if ready.is_err() {
                    self.end_now(CloseReason::Failed);
                }
                ready.is_ok()
            }
            ready = self.transport.writable(), if writing => {
                if ready.is_err() {
                    self.end_now(CloseReason::Failed);
                } else {
                    self.write_out();
                }
                false
            }
            () = self.wake.notified() => false,
        }
    }

    /// Reads what is there, without waiting.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.transport.try_read(buffer)
    }

    /// Goes on in TLS; `received` are its first bytes.
    pub(crate) fn begin_tls(&self, tls: Box<Tls>, received: &[u8]) -> io::Result<()> {
        self.transport.begin_tls(tls, received)
    }

    /// Says why the connection ended, once the other side has read its last answers or had time to.
    pub(crate) async fn close(&self) -> CloseReason {
        let reason = self.reason.get().unwrap_or(CloseReason::Failed);
        if self.stage.get() == Stage::Finishing && self.transport.shut().is_ok() {
            let over = async { while self.transport.readable().await.is_ok() && self.transport.discard() {} };
            // Whoever stays longer has read its answers or never will.
            let _left = timeout(LINGER, over).await;
        }
        reason
    }

    // === its end ===

    pub(crate) fn is_over(&self) -> bool {
        match self.stage.get() {
            Stage::Open | Stage::Draining => false,
            Stage::Finishing => self.under_way.get() == 0 && !self.has_unsent(),
            Stage::Gone => true,
        }
    }

    fn has_unsent(&self) -> bool {
        !self.out.borrow().is_empty() || self.transport.has_unsent()
    }

    pub(crate) fn is_reading(&self) -> bool {
        matches!(self.stage.get(), Stage::Open | Stage::Draining)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.stage.get() == Stage::Draining
    }

    /// The pool stops: what has arrived is answered, then the connection ends.
    pub(crate) fn drain(&self) {
        if self.stage.get() == Stage::Open {
            self.stage.set(Stage::Draining);
            self.wake.notify_one();
        }
    }

    /// Reads no more; ends once everything that was read is answered.
    pub(crate) fn finish(&self, reason: CloseReason) {
        if self.is_reading() {
            self.stage.set(Stage::Finishing);
            self.reason.set(self.reason.get().or(Some(reason)));
        }
        self.wake.notify_one();
    }

    pub(crate) fn end_now(&self, reason: CloseReason) {
        self.stage.set(Stage::Gone);
        self.reason.set(self.reason.get().or(Some(reason)));
        self.wake.notify_one();
    }

    /// A submit passed its checks: the connection does not end before its answer is written.
    pub(crate) fn will_answer(&self) {
        self.under_way.set(self.under_way.get() + 1);
    }

    /// An answer was written: one less under way.
    pub(crate) fn answered(&self) {
        self.under_way.set(self.under_way.get() - 1);
        if self.stage.get() == Stage::Finishing {
            self.wake.notify_one();
        }
    }

    // === what it is sent ===

    /// Notes that a line was read.
    pub(crate) fn heard(&self, at: Instant) {
        self.line_at.set(at);
    }

    /// Keeps answers until [`Session::uncork`], so that those of one turn leave together.
    pub(crate) fn cork(&self) {
        self.corked.set(true);
    }

    pub(crate) fn uncork(&self) {
        self.corked.set(false);
        self.write_out();
    }

    /// Sends at once what the socket takes; the rest waits, within a bound.
    pub(crate) fn write(&self, line: impl FnOnce(&mut Vec<u8>)) {
        let mut out = self.out.borrow_mut();
        let before = out.len();
        buffer_pool::equip(&mut out);
        line(&mut out);
        if before == 0 && !self.corked.get() {
            drop(out);
            self.write_out();
        } else if out.len() > OUT_MAX {
            drop(out);
            self.end_now(CloseReason::SlowReader);
        }
    }

    /// Adds a line that [`Session::write_out`] will send together with others.
    pub(crate) fn queue(&self, line: impl FnOnce(&mut Vec<u8>)) {
        let mut out = self.out.borrow_mut();
        buffer_pool::equip(&mut out);
        line(&mut out);
    }

    pub(crate) fn write_out(&self) {
        let mut out = self.out.borrow_mut();
        if out.is_empty() && !self.transport.has_unsent() {
            return;
        }
        match self.transport.try_write(&out) {
            Ok(sent) if sent == out.len() => {
                buffer_pool::strip(&mut out);
                let waits = self.transport.has_unsent().then(Instant::now);
                self.out_since.set(self.out_since.get().filter(|_| waits.is_some()).or(waits));
                if waits.is_some() {
                    self.wake.notify_one();
                }
            }
            Ok(sent) => {
                out.drain(..sent);
                self.out_since.set(Some(Instant::now()));
                self.wake.notify_one();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if self.out_since.get().is_none() {
                    self.out_since.set(Some(Instant::now()));
                }
                self.wake.notify_one();
            }
            Err(_) => self.end_now(CloseReason::Failed),
        }
        if out.len() > OUT_MAX {
            self.end_now(CloseReason::SlowReader);
        }
        if self.stage.get() != Stage::Open {
            self.wake.notify_one();
        }
    }

    /// Ends a connection that did not log in, said nothing, or did not read, for too long.
    pub(crate) fn look(&self, idle_timeout: Duration, now: Instant) {
        let for_longer = |since, limit| now.saturating_duration_since(since) > limit;
        let exempt = self.place.peer.is_exempt();
        // The operator's patience bounds ours.
        let over =
            |since: Option<Instant>, limit: Duration| since.is_some_and(|at| for_longer(at, limit.min(idle_timeout)));
        let waits_for_login = Some(self.opened_at).filter(|_| !exempt && self.miner.borrow().is_none());
        let shakes_hands = self.transport.handshaking_since().filter(|_| !exempt);
        if over(self.out_since.get(), OUT_PATIENCE) {
            self.end_now(CloseReason::SlowReader);
        } else if over(shakes_hands, HANDSHAKE_DEADLINE) {
            self.end_now(CloseReason::TlsDeadline);
        } else if over(waits_for_login, LOGIN_DEADLINE) {
            self.end_now(CloseReason::LoginDeadline);
        } else if for_longer(self.line_at.get(), idle_timeout) {
            self.end_now(CloseReason::Idle);
        }
    }
}
