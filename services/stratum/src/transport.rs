//! The bytes of one connection: plain, or TLS from its first byte on. Neither side of it ever waits.
use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Instant;

use rustls::ServerConnection;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use crate::metrics::StratumMetrics;

/// Room that one step of TLS may need for what it has decrypted: a record, and what came with it.
const TLS_ROOM: usize = 32 * 1024;

/// A connection's socket, and the TLS on it if there is any.
pub(crate) struct Transport {
    tcp: TcpStream,
    tls: RefCell<Option<Box<Tls>>>,
}

/// One connection's TLS.
pub(crate) struct Tls {
    pub(crate) conn: ServerConnection,
    /// Held until the handshake is done.
    pub(crate) handshake: Option<OwnedSemaphorePermit>,
    pub(crate) begun: Instant,
    pub(crate) metrics: Arc<StratumMetrics>,
}

/// The socket, as rustls wants it.
struct Wire<'a>(&'a TcpStream);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport {
    pub(crate) fn new(tcp: TcpStream) -> Transport {
        Transport { tcp, tls: RefCell::new(None) }
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.tcp.readable().await
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.tcp.writable().await
    }

    /// Reads what is there: 0 at the end, [`ErrorKind::WouldBlock`] when nothing is. Everything that was decrypted
    /// is given out as long as `buffer` has [`TLS_ROOM`].
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut *self.tls.borrow_mut() {
            None => self.read_plain(buffer),
            Some(tls) => tls.read(&self.tcp, buffer),
        }
    }

    /// What does not fill the buffer was all there is: saying so at once saves the look that would find nothing.
    fn read_plain(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = None;
        let outcome = self.tcp.try_io(Interest::READABLE, || {
            let got = (&*SockRef::from(&self.tcp)).read(buffer)?;
            read = Some(got);
            if 0 < got && got < buffer.len() { Err(ErrorKind::WouldBlock.into()) } else { Ok(got) }
        });
        read.map_or(outcome, Ok)
    }

    /// Sends what the socket takes. With TLS, what was taken may still wait, see [`Transport::has_unsent`].
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.tls.borrow_mut() {
            None => self.tcp.try_write(bytes),
            Some(tls) => tls.write(&self.tcp, bytes),
        }
    }

    /// Whether bytes of TLS wait for the socket.
    pub(crate) fn has_unsent(&self) -> bool {
        self.tls.borrow().as_ref().is_some_and(|tls| tls.conn.wants_write())
    }

    /// When the handshake began that is not done yet.
    pub(crate) fn handshaking_since(&self) -> Option<Instant> {
        self.tls.borrow().as_ref().filter(|tls| tls.conn.is_handshaking()).map(|tls| tls.begun)
    }

    /// Goes on in TLS; `received` are its first bytes, which were read as if they were plain.
    pub(crate) fn begin_tls(&self, mut tls: Box<Tls>, mut received: &[u8]) -> io::Result<()> {
        // It takes nothing where it ignores the rest. (And an empty rest would be the end to it.)
        while !received.is_empty() && tls.conn.read_tls(&mut received)? > 0 {
            tls.process(&self.tcp)?;
        }
        tls.flush(&self.tcp)?;
        *self.tls.borrow_mut() = Some(tls);
        Ok(())
    }

    /// Says that nothing more will be sent.
    pub(crate) fn shut(&self) -> io::Result<()> {
        if let Some(tls) = &mut *self.tls.borrow_mut() {
            tls.conn.send_close_notify();
            tls.flush(&self.tcp)?;
        }
        SockRef::from(&self.tcp).shutdown(Shutdown::Write)
    }

    /// Reads and throws away what is there, below TLS; `false` at the end.
    pub(crate) fn discard(&self) -> bool {
        let mut buffer = [0; 4096];
        match self.tcp.try_read(&mut buffer) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

impl Tls {
    fn read(&mut self, tcp: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        let outcome = loop {
            match self.conn.reader().read(&mut buffer[filled..]) {
                Ok(0) => break Ok(0),
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The end without a goodbye: here it is as good as any other end.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break Ok(0),
                Err(error) => break Err(error),
            }
            if buffer.len() - filled < TLS_ROOM {
                break Ok(filled);
            }
            match self.conn.read_tls(&mut Wire(tcp)) {
                Ok(_) => self.process(tcp)?,
                Err(error) => break Err(error),
            }
        };
        self.flush(tcp)?;
        // What was read counts first; the end or the failure shows itself the next time.
        if filled > 0 { Ok(filled) } else { outcome }
    }

    fn process(&mut self, tcp: &TcpStream) -> io::Result<()> {
        if let Err(error) = self.conn.process_new_packets() {
            self.flush(tcp)?; // The alert that says so.
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        if !self.conn.is_handshaking() && self.handshake.take().is_some() {
            self.metrics.stratum_tls_handshakes_total.add(1);
        }
        Ok(())
    }

    fn write(&mut self, tcp: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        self.flush(tcp)?;
        if self.conn.wants_write() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let taken = self.conn.writer().write(bytes)?;
        self.flush(tcp)?;
        Ok(taken)
    }

    /// Sends what the socket takes.
    fn flush(&mut self, tcp: &TcpStream) -> io::Result<()> {
        while self.conn.wants_write() {
            match self.conn.write_tls(&mut Wire(tcp)) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
