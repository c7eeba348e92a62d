//! What connections send: bytes to lines to requests.
//!
//! What it refuses to do: answer what is a request. Logins and submits have parts of their own.
use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use wire::{LineError, LineEvent, Lines, Request};

use crate::close_reason::CloseReason;
use crate::limits::{INVALID_LINES, Pace, Rate};
use crate::login::Logins;
use crate::proxy;
use crate::session::Session;
use crate::submit::SubmitPipeline;
use crate::tls::{HANDSHAKE_BYTE, TlsGate};

/// Said before a connection is closed because of what it sends.
const TOO_MUCH: &str = "protocol violation limit exceeded, closing";
const SCRATCH: usize = 64 * 1024;
/// Lines of one connection before the others have their turn. Their answers fit into what a session may leave unread.
const LINES_PER_TURN: usize = 32;

/// What a listening socket takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListenerKind {
    /// Plain text, and TLS from those who begin with it.
    Any,
    /// TLS only.
    Tls,
}

/// Reads one arbiter's connections.
pub(crate) struct RequestReader {
    logins: Logins,
    submits: Rc<SubmitPipeline>,
    tls: Option<Arc<TlsGate>>,
    /// What a connection may send.
    bytes: Rate,
}

/// How far one connection is read.
struct ReadState {
    door: ListenerKind,
    /// The beginning of a line.
    partial: Vec<u8>,
    begun: bool,
    /// When what is being looked at was read: the receive time of its lines.
    read_at: Instant,
    /// Whole lines wait for their turn.
    backlog: bool,
    invalid: Pace,
    bytes: Pace,
}

/// What a look at the socket brought.
enum Received {
    /// So many new bytes; 0 when lines of before are left.
    Bytes(usize),
    End,
    Nothing,
}

impl ReadState {
    fn new(door: ListenerKind, now: Instant) -> ReadState {
        let (partial, begun, backlog) = (Vec::new(), false, false);
        let (invalid, bytes) = (Pace::default(), Pace::default());
        ReadState { door, partial, begun, read_at: now, backlog, invalid, bytes }
    }
}

impl RequestReader {
    pub(crate) fn new(
        logins: Logins,
        submits: Rc<SubmitPipeline>,
        tls: Option<Arc<TlsGate>>,
        bytes: Rate,
    ) -> RequestReader {
        RequestReader { logins, submits, tls, bytes }
    }

    /// Serves a connection until it ends; says why it did.
    pub(crate) async fn run(&self, session: &Rc<Session>, door: ListenerKind) -> CloseReason {
        let state = &mut ReadState::new(door, Instant::now());
        while !session.is_over() {
            if state.backlog {
                self.read(session, state);
                tokio::task::yield_now().await;
                continue;
            }
            if session.ready().await {
                self.read(session, state);
            }
            if session.is_draining() && !state.backlog {
                self.read(session, state);
                while state.backlog {
                    self.read(session, state);
                }
                session.finish(CloseReason::Drained);
            }
        }
        session.close().await
    }

    /// Reads what is there into a buffer of the thread, so that an idle session owns none.
    fn read(&self, session: &Rc<Session>, state: &mut ReadState) {
        thread_local!(static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]));
        BUFFER.with_borrow_mut(|buffer| {
            let kept = state.partial.len();
            buffer[..kept].copy_from_slice(&state.partial);
            session.cork();
            match receive(session, state, &mut buffer[kept..]) {
                Received::Nothing => {}
                Received::End => {
                    if let Some(event) = Lines::last(&buffer[..kept]) {
                        self.take(session, state, event);
                    }
                    session.finish(CloseReason::Client);
                }
                Received::Bytes(read) => {
                    let received = &buffer[..kept + read];
                    if self.check_bytes(session, state, received, read) {
                        let rest = self.take_lines(session, state, received);
                        state.partial.clear();
                        state.partial.extend_from_slice(rest);
                        state.partial.shrink_to_fit();
                    }
                }
            }
            session.uncork();
        });
    }

    /// Whether the bytes are to be looked at as lines.
    fn check_bytes(&self, session: &Session, state: &mut ReadState, received: &[u8], read: usize) -> bool {
        let has_begun = std::mem::replace(&mut state.begun, true);
        (has_begun || !self.begin(session, state, received)) && self.spend_bytes(session, state, read)
    }

    /// Takes one turn's lines; gives back the rest.
    fn take_lines<'a>(&self, session: &Rc<Session>, state: &mut ReadState, received: &'a [u8]) -> &'a [u8] {
        let mut lines = Lines::new(received);
        let mut taken = 0;
        while taken < LINES_PER_TURN {
            let Some(event) = lines.next() else { return lines.rest() };
            // A blank line costs less than to come back for it.
            taken += usize::from(!matches!(event, LineEvent::Blank));
            self.take(session, state, event);
            if !session.is_reading() {
                return &[];
            }
        }
        state.backlog = true;
        lines.rest()
    }

    /// Looks at the first bytes; true when they are no lines.
    fn begin(&self, session: &Session, state: &ReadState, received: &[u8]) -> bool {
        if received[0] == HANDSHAKE_BYTE {
            let begun = match self.tls.as_ref().map(|gate| gate.begin(state.read_at)) {
                Some(Ok(Some(tls))) => session.begin_tls(tls, received).is_ok(),
                Some(Ok(None)) => {
                    session.end_now(CloseReason::TlsBusy);
                    return true;
                }
                Some(Err(_)) | None => false,
            };
            if !begun {
                session.end_now(CloseReason::TlsFailed);
            }
            return true;
        }
        if state.door == ListenerKind::Tls {
            session.end_now(CloseReason::TlsFailed);
            return true;
        }
        if received.starts_with(proxy::V1_PREFIX) || received.starts_with(proxy::V2_PREFIX) {
            // Believed from nobody, or everybody could be anybody.
            session.write(|out| wire::write_error(out, 0, wire::BadLine));
            session.finish(CloseReason::ProxyUntrusted);
            return true;
        }
        false
    }

    fn spend_bytes(&self, session: &Session, state: &mut ReadState, read: usize) -> bool {
        let read = u32::try_from(read).unwrap_or(u32::MAX);
        if session.place.peer.is_exempt() || state.bytes.admit(read, state.read_at, self.bytes) {
            return true;
        }
        session.write(|out| wire::write_error(out, 0, TOO_MUCH));
        session.finish(CloseReason::Bytes);
        false
    }

    fn take(&self, session: &Rc<Session>, state: &mut ReadState, event: LineEvent<'_>) {
        let read_at = state.read_at;
        session.heard(read_at);
        let line = match event {
            LineEvent::Blank => return,
            LineEvent::Broken(error) => {
                session.write(|out| wire::write_error(out, 0, error));
                return session.finish(match error {
                    LineError::Overlong => CloseReason::LineTooLong,
                    LineError::NotUtf8 => CloseReason::NotUtf8,
                });
            }
            LineEvent::Line(line) => line,
        };
        match Request::parse(&line) {
            Ok(Request::Submit { id, params }) => {
                let invalid = params.is_err();
                self.submits.submit(session, id, params, read_at);
                if invalid {
                    spend_invalid_line(session, state);
                }
            }
            Ok(Request::Login { id, params }) => {
                let invalid = params.is_err();
                self.logins.login(session, id, params, read_at);
                if invalid {
                    spend_invalid_line(session, state);
                }
            }
            Ok(Request::Unknown { id }) => {
                session.write(|out| wire::write_error(out, id, wire::UNKNOWN_METHOD));
                spend_invalid_line(session, state);
            }
            Err(bad) => {
                session.write(|out| wire::write_error(out, 0, bad));
                spend_invalid_line(session, state);
            }
        }
    }
}

fn receive(session: &Session, state: &mut ReadState, buffer: &mut [u8]) -> Received {
    if std::mem::take(&mut state.backlog) {
        return Received::Bytes(0);
    }
    match session.try_read(buffer) {
        Ok(0) => return Received::End,
        Ok(read) => {
            state.read_at = Instant::now();
            return Received::Bytes(read);
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(error) if error.kind() == ErrorKind::InvalidData => session.end_now(CloseReason::TlsFailed),
        Err(_) => session.end_now(CloseReason::Failed),
    }
    Received::Nothing
}

fn spend_invalid_line(session: &Session, state: &mut ReadState) {
    if session.place.peer.is_exempt() || state.invalid.admit(1, state.read_at, INVALID_LINES) {
        return;
    }
    session.write(|out| wire::write_error(out, 0, TOO_MUCH));
    session.finish(CloseReason::InvalidLines);
}
