//! One connection: what it read, what it was sent, what it is still owed.
use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::net::{IpAddr, Shutdown};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use messages::facts::{Line, Origin, SessionId};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use units::Difficulty;
use wire::{LineEvent, Lines, Request};

use crate::assignment::Assignments;
use crate::front::Front;
use crate::gate::{Place, RateWindow};
use crate::hints::Worker;
use crate::vardiff::Vardiff;

/// Bytes that a connection may leave unread before it is closed.
const OUT_MAX: usize = 64 * 1024;
/// How long it may leave them unread.
const OUT_PATIENCE: Duration = Duration::from_secs(30);
/// From accept to a successful login.
const LOGIN_DEADLINE: Duration = Duration::from_secs(30);
/// How long a closed connection may take to read its last answers: one that is closed over unread bytes loses them.
const LINGER: Duration = Duration::from_secs(1);
const SCRATCH: usize = 64 * 1024;

/// A connection. Everything in it belongs to one thread.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) origin: Origin,
    pub(crate) miner: RefCell<Option<Miner>>,
    pub(crate) rate: RefCell<RateWindow>,
    /// Submits whose answer is not written yet.
    pub(crate) under_way: Cell<u32>,
    stream: TcpStream,
    out: RefCell<Vec<u8>>,
    out_since: Cell<Option<Instant>>,
    wake: Notify,
    stage: Cell<Stage>,
    opened_at: Instant,
    read_at: Cell<Instant>,
    _place: Place,
}

/// Whom a session mines for.
pub(crate) struct Miner {
    pub(crate) line: Arc<Line>,
    pub(crate) assignments: Assignments,
    pub(crate) vardiff: Vardiff,
}

impl Miner {
    /// The worker that hints are kept for.
    pub(crate) fn worker(line: &Line) -> Worker {
        (Arc::clone(&line.address), Arc::clone(&line.worker))
    }

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
    /// Reads no more; ends when everything is answered and written.
    Finishing,
    /// Ends now.
    Gone,
}

impl Session {
    pub(crate) fn new(id: SessionId, stream: TcpStream, origin: Origin, place: Place, now: Instant) -> Session {
        Session {
            id,
            origin,
            miner: RefCell::new(None),
            rate: RefCell::new(RateWindow::new(now)),
            under_way: Cell::new(0),
            stream,
            out: RefCell::default(),
            out_since: Cell::new(None),
            wake: Notify::new(),
            stage: Cell::new(Stage::Open),
            opened_at: now,
            read_at: Cell::new(now),
            _place: place,
        }
    }

    /// Reads and writes until the connection ends.
    pub(crate) async fn run(self: Rc<Self>, front: Rc<Front>) {
        let mut partial = Vec::new();
        while !self.is_over() {
            let (reading, writing) = (self.stage.get() == Stage::Open, !self.out.borrow().is_empty());
            tokio::select! {
                ready = self.stream.readable(), if reading => {
                    if ready.is_err() {
                        self.stage.set(Stage::Gone);
                    } else {
                        self.read(&front, &mut partial);
                    }
                }
                ready = self.stream.writable(), if writing => {
                    if ready.is_err() {
                        self.stage.set(Stage::Gone);
                    } else {
                        self.write_out(&front);
                    }
                }
                () = self.wake.notified() => {}
            }
        }
        if self.stage.get() == Stage::Finishing && SockRef::from(&self.stream).shutdown(Shutdown::Write).is_ok() {
            let over = async { while self.stream.readable().await.is_ok() && self.discard() {} };
            // Whoever stays longer has read its answers or never will.
            let _left = timeout(LINGER, over).await;
        }
    }

    /// Reads on for nothing; false when there is no more to come.
    fn discard(&self) -> bool {
        match self.stream.try_read(&mut [0; 4096]) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    fn is_over(&self) -> bool {
        match self.stage.get() {
            Stage::Open => false,
            Stage::Finishing => self.under_way.get() == 0 && self.out.borrow().is_empty(),
            Stage::Gone => true,
        }
    }

    /// Reads no more; ends once everything that was read is answered.
    pub(crate) fn finish(&self) {
        if self.stage.get() == Stage::Open {
            self.stage.set(Stage::Finishing);
        }
        self.wake.notify_one();
    }

    pub(crate) fn end_now(&self) {
        self.stage.set(Stage::Gone);
        self.wake.notify_one();
    }

    /// An answer was written: one less under way.
    pub(crate) fn answered(&self) {
        self.under_way.set(self.under_way.get() - 1);
        if self.stage.get() == Stage::Finishing {
            self.wake.notify_one();
        }
    }

    /// Reads what is there into a buffer of the thread, so that an idle session owns none.
    fn read(self: &Rc<Self>, front: &Rc<Front>, partial: &mut Vec<u8>) {
        thread_local!(static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]));
        BUFFER.with_borrow_mut(|buffer| {
            let kept = partial.len();
            buffer[..kept].copy_from_slice(partial);
            match self.stream.try_read(&mut buffer[kept..]) {
                Ok(0) => {
                    if let Some(event) = Lines::last(&buffer[..kept]) {
                        self.take(front, event, Instant::now());
                    }
                    self.finish();
                }
                Ok(read) => {
                    let read_at = Instant::now();
                    self.read_at.set(read_at);
                    let mut lines = Lines::new(&buffer[..kept + read]);
                    for event in lines.by_ref() {
                        if self.stage.get() != Stage::Open {
                            return;
                        }
                        self.take(front, event, read_at);
                    }
                    partial.clear();
                    partial.extend_from_slice(lines.rest());
                    partial.shrink_to_fit();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.stage.set(Stage::Gone),
            }
        });
    }

    fn take(self: &Rc<Self>, front: &Rc<Front>, event: LineEvent<'_>, read_at: Instant) {
        match event {
            LineEvent::Blank => {}
            LineEvent::Broken(error) => {
                self.write(front, |out| wire::write_error(out, 0, error));
                self.finish();
            }
            LineEvent::Line(line) => match Request::parse(&line) {
                Ok(Request::Submit { id, params }) => front.submit(self, id, params, read_at),
                Ok(Request::Login { id, params }) => front.login(self, id, params),
                Ok(Request::Unknown { id }) => {
                    self.write(front, |out| wire::write_error(out, id, wire::UNKNOWN_METHOD))
                }
                Err(bad) => self.write(front, |out| wire::write_error(out, 0, bad)),
            },
        }
    }

    /// Sends at once what the socket takes; the rest waits, within a bound.
    pub(crate) fn write(&self, front: &Front, line: impl FnOnce(&mut Vec<u8>)) {
        let mut out = self.out.borrow_mut();
        let before = out.len();
        line(&mut out);
        if before == 0 {
            drop(out);
            self.write_out(front);
        } else if out.len() > OUT_MAX {
            front.parts.counters.stratum_slow_readers_total.add(1);
            drop(out);
            self.end_now();
        }
    }

    /// Adds a line that [`Session::write_out`] will send together with others.
    pub(crate) fn queue(&self, line: impl FnOnce(&mut Vec<u8>)) {
        line(&mut self.out.borrow_mut());
    }

    pub(crate) fn write_out(&self, front: &Front) {
        let mut out = self.out.borrow_mut();
        if out.is_empty() {
            return;
        }
        match self.stream.try_write(&out) {
            Ok(sent) if sent == out.len() => {
                *out = Vec::new(); // No buffer for an idle session.
                self.out_since.set(None);
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
            Err(_) => self.stage.set(Stage::Gone),
        }
        if out.len() > OUT_MAX {
            front.parts.counters.stratum_slow_readers_total.add(1);
            self.stage.set(Stage::Gone);
        }
        if self.stage.get() != Stage::Open {
            self.wake.notify_one();
        }
    }

    /// Ends a connection that did not log in, said nothing, or did not read, for too long.
    pub(crate) fn look(&self, front: &Front, now: Instant) {
        let silent = now.saturating_duration_since(self.read_at.get()) > front.parts.settings.idle_timeout;
        let anonymous = self.miner.borrow().is_none()
            && now.saturating_duration_since(self.opened_at) > LOGIN_DEADLINE.min(front.parts.settings.idle_timeout);
        let deaf = self.out_since.get().is_some_and(|since| now.saturating_duration_since(since) > OUT_PATIENCE);
        if deaf {
            front.parts.counters.stratum_slow_readers_total.add(1);
        }
        if deaf || anonymous || silent {
            self.end_now();
        }
    }

    /// The address its limits are counted by.
    pub(crate) fn client_of(stream: &TcpStream) -> Option<IpAddr> {
        stream.peer_addr().ok().map(|peer| peer.ip().to_canonical())
    }
}
