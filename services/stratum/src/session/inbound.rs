//! What a connection sends: bytes to lines to requests.
use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Instant;

use messages::closed::CloseReason;
use wire::{LineError, LineEvent, Lines, Request};

use super::Session;
use crate::accept::ListenerKind;
use crate::limits::INVALID_LINES;
use crate::proxy;
use crate::shard::StratumShard;

/// Said before a connection is closed because of what it sends.
const TOO_MUCH: &str = "protocol violation limit exceeded, closing";
/// The first byte of TLS. No request begins with it.
pub(crate) const TLS_HANDSHAKE: u8 = 0x16;
const SCRATCH: usize = 64 * 1024;
/// Lines of one connection before the others have their turn. Their answers fit into [`OUT_MAX`].
const LINES_PER_TURN: usize = 32;

/// What a look at the socket brought.
enum Received {
    /// So many new bytes; 0 when lines of before are left.
    Bytes(usize),
    End,
    Nothing,
}

impl Session {
    /// Reads what is there into a buffer of the thread, so that an idle session owns none.
    pub(super) fn read(self: &Rc<Self>, front: &Rc<StratumShard>, partial: &mut Vec<u8>) {
        thread_local!(static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]));
        BUFFER.with_borrow_mut(|buffer| {
            let kept = partial.len();
            buffer[..kept].copy_from_slice(partial);
            self.corked.set(true);
            match self.receive(&mut buffer[kept..]) {
                Received::Nothing => {}
                Received::End => {
                    if let Some(event) = Lines::last(&buffer[..kept]) {
                        self.take(front, event);
                    }
                    self.finish(CloseReason::Client);
                }
                Received::Bytes(read) => {
                    let received = &buffer[..kept + read];
                    if self.check_bytes(front, received, read) {
                        let rest = self.take_lines(front, received);
                        partial.clear();
                        partial.extend_from_slice(rest);
                        partial.shrink_to_fit();
                    }
                }
            }
            self.corked.set(false);
            self.write_out();
        });
    }

    fn receive(&self, buffer: &mut [u8]) -> Received {
        if self.backlog.replace(false) {
            return Received::Bytes(0);
        }
        match self.transport.try_read(buffer) {
            Ok(0) => return Received::End,
            Ok(read) => {
                self.read_at.set(Instant::now());
                return Received::Bytes(read);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::InvalidData => self.end_now(CloseReason::TlsFailed),
            Err(_) => self.end_now(CloseReason::Failed),
        }
        Received::Nothing
    }

    /// Whether the bytes are to be looked at as lines.
    fn check_bytes(&self, front: &StratumShard, received: &[u8], read: usize) -> bool {
        (self.begun.replace(true) || !self.begin(front, received)) && self.spend_bytes(front, read)
    }

    /// Takes one turn's lines; gives back the rest.
    fn take_lines<'a>(self: &Rc<Self>, front: &Rc<StratumShard>, received: &'a [u8]) -> &'a [u8] {
        let mut lines = Lines::new(received);
        let mut taken = 0;
        while taken < LINES_PER_TURN {
            let Some(event) = lines.next() else { return lines.rest() };
            // A blank line costs less than to come back for it.
            taken += usize::from(!matches!(event, LineEvent::Blank));
            self.take(front, event);
            if !self.is_reading() {
                return &[];
            }
        }
        self.backlog.set(true);
        lines.rest()
    }

    /// Looks at the first bytes; true when they are no lines.
    fn begin(&self, front: &StratumShard, received: &[u8]) -> bool {
        if received[0] == TLS_HANDSHAKE {
            let begun = match front.shared.tls.as_ref().map(|gate| gate.begin(self.read_at.get())) {
                Some(Ok(Some(tls))) => self.transport.begin_tls(tls, received).is_ok(),
                Some(Ok(None)) => {
                    self.end_now(CloseReason::TlsBusy);
                    return true;
                }
                Some(Err(_)) | None => false,
            };
            if !begun {
                self.end_now(CloseReason::TlsFailed);
            }
            return true;
        }
        if self.door == ListenerKind::Tls {
            self.end_now(CloseReason::TlsFailed);
            return true;
        }
        if received.starts_with(proxy::V1_PREFIX) || received.starts_with(proxy::V2_PREFIX) {
            // Believed from nobody, or everybody could be anybody.
            self.write(|out| wire::write_error(out, 0, wire::BadLine));
            self.finish(CloseReason::ProxyUntrusted);
            return true;
        }
        false
    }

    fn spend_bytes(&self, front: &StratumShard, read: usize) -> bool {
        let (mut bytes, now) = (self.bytes.get(), self.read_at.get());
        let read = u32::try_from(read).unwrap_or(u32::MAX);
        if self.place.peer.is_exempt() || bytes.admit(read, now, front.shared.gate.limits.bytes) {
            self.bytes.set(bytes);
            return true;
        }
        self.write(|out| wire::write_error(out, 0, TOO_MUCH));
        self.finish(CloseReason::Bytes);
        false
    }

    fn take(self: &Rc<Self>, front: &Rc<StratumShard>, event: LineEvent<'_>) {
        let read_at = self.read_at.get();
        self.line_at.set(read_at);
        let line = match event {
            LineEvent::Blank => return,
            LineEvent::Broken(error) => {
                self.write(|out| wire::write_error(out, 0, error));
                return self.finish(match error {
                    LineError::Overlong => CloseReason::LineTooLong,
                    LineError::NotUtf8 => CloseReason::NotUtf8,
                });
            }
            LineEvent::Line(line) => line,
        };
        match Request::parse(&line) {
            Ok(Request::Submit { id, params }) => {
                let invalid = params.is_err();
                front.submit(self, id, params, read_at);
                if invalid {
                    self.spend_invalid_line(read_at);
                }
            }
            Ok(Request::Login { id, params }) => {
                let invalid = params.is_err();
                front.login(self, id, params, read_at);
                if invalid {
                    self.spend_invalid_line(read_at);
                }
            }
            Ok(Request::Unknown { id }) => {
                self.write(|out| wire::write_error(out, id, wire::UNKNOWN_METHOD));
                self.spend_invalid_line(read_at);
            }
            Err(bad) => {
                self.write(|out| wire::write_error(out, 0, bad));
                self.spend_invalid_line(read_at);
            }
        }
    }

    fn spend_invalid_line(&self, now: Instant) {
        let mut invalid = self.invalid.get();
        if self.place.peer.is_exempt() || invalid.admit(1, now, INVALID_LINES) {
            return self.invalid.set(invalid);
        }
        self.write(|out| wire::write_error(out, 0, TOO_MUCH));
        self.finish(CloseReason::InvalidLines);
    }
}
