//! From the listening socket to a session, or to a polite refusal.
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::close_reason::CloseReason;
use crate::metrics::StratumMetrics;
use ipnet::IpNet;
use messages::facts::SessionIds;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::StratumParts;
use crate::client::Peer;
use crate::connection_limiter::{ConnectionLimiter, ConnectionPermit};
use crate::inbound::{ListenerKind, RequestReader};
use crate::limits::PROXY_DEADLINE;
use crate::open_sessions::OpenSessions;
use crate::origin::OriginSalt;
use crate::proxy;
use crate::retargeter::Retargeter;
use crate::session::Session;
use crate::tls::HANDSHAKE_BYTE;

/// The real client comes back at once when it is only closed, and after 2 s when its login is refused.
const REFUSAL_PAUSE: Duration = Duration::from_secs(2);
/// Pause after an accept that failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the arbiters have in common about connections. No share touches it.
pub(crate) struct SharedLimits {
    pub(crate) limiter: Arc<ConnectionLimiter>,
    pub(crate) proxy_headers: Arc<Semaphore>,
}

/// Takes one arbiter's connections: who may come in, and what is noted when they are gone.
pub(crate) struct Acceptor {
    shared: Arc<SharedLimits>,
    /// Whose PROXY headers are believed.
    proxy_from: Vec<IpNet>,
    ids: Arc<SessionIds>,
    salt: OriginSalt,
    sessions: Rc<OpenSessions>,
    reader: RequestReader,
    /// Keeps what a session has measured.
    retargeter: Rc<Retargeter>,
    draining: Cell<bool>,
    metrics: Arc<StratumMetrics>,
}

impl Acceptor {
    pub(crate) fn new(
        parts: &StratumParts,
        shared: Arc<SharedLimits>,
        sessions: Rc<OpenSessions>,
        reader: RequestReader,
        retargeter: Rc<Retargeter>,
    ) -> Rc<Acceptor> {
        Rc::new(Acceptor {
            shared,
            proxy_from: parts.settings.proxy_from.clone(),
            ids: Arc::clone(&parts.sessions),
            salt: parts.salt.clone(),
            sessions,
            reader,
            retargeter,
            draining: Cell::new(false),
            metrics: Arc::clone(&parts.metrics),
        })
    }

    /// Takes connections until the drain. One that cannot be taken costs itself only.
    pub(crate) async fn accept(
        self: Rc<Self>,
        listener: TcpListener,
        door: ListenerKind,
        mut drain: watch::Receiver<bool>,
    ) {
        loop {
            let accepted = tokio::select! {
                // First: who comes from now on is left to the next process, where there is one.
                biased;
                // An error means that the front's owner is gone; both end listening.
                _ended = drain.wait_for(|draining| *draining) => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    self.metrics.stratum_connections_total.add(1);
                    self.greet(stream, Peer::direct(peer.ip()), door);
                }
                Err(error) => {
                    warn!(%error, "stratum cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Lets nobody in any more: whoever is still to send a PROXY header is closed after it.
    pub(crate) fn begin_drain(&self) {
        self.draining.set(true);
    }

    fn greet(self: &Rc<Self>, stream: TcpStream, peer: Peer, door: ListenerKind) {
        if !self.proxy_from.iter().any(|net| net.contains(&peer.address)) {
            return self.admit(stream, peer, door);
        }
        let Ok(turn) = Arc::clone(&self.shared.proxy_headers).try_acquire_owned() else {
            return self.metrics.stratum_closed_total.add(CloseReason::ProxyHeader);
        };
        let acceptor = Rc::clone(self);
        runtime::spawn_detached(async move {
            let mut stream = stream;
            match timeout(PROXY_DEADLINE, proxy::read_header(&mut stream)).await {
                Ok(Ok(client)) => {
                    drop(turn);
                    acceptor.admit(stream, client.map_or(peer, Peer::named), door);
                }
                outcome => {
                    debug!(peer = %peer.address, ?outcome, "no PROXY header from a trusted peer");
                    acceptor.metrics.stratum_closed_total.add(CloseReason::ProxyHeader);
                }
            }
        });
    }

    fn admit(self: &Rc<Self>, stream: TcpStream, peer: Peer, door: ListenerKind) {
        if self.draining.get() {
            return self.metrics.stratum_closed_total.add(CloseReason::Drained);
        }
        let (limiter, now) = (&self.shared.limiter, Instant::now());
        match limiter.enter(peer, now) {
            Ok(place) => {
                runtime::spawn_detached(Rc::clone(self).serve(stream, place, door));
            }
            Err(why) => {
                self.metrics.stratum_connections_refused_total.add(1);
                self.metrics.stratum_closed_total.add(why.reason());
                if let Some(turn) = limiter.refusal_turn(peer, now) {
                    runtime::spawn_detached(async move {
                        refuse(stream, &why).await;
                        drop(turn);
                    });
                }
            }
        }
    }

    /// Serves a connection until it ends.
    async fn serve(self: Rc<Self>, stream: TcpStream, place: ConnectionPermit, door: ListenerKind) {
        let (id, origin) = (self.ids.take(), self.salt.origin(place.peer.address));
        let session = Rc::new(Session::new(id, stream, origin, place));
        let slot = self.sessions.enter(&session);
        let reason = self.reader.run(&session, door).await;
        self.retargeter.note_measured(&session, Instant::now());
        match reason {
            CloseReason::LineTooLong
            | CloseReason::NotUtf8
            | CloseReason::InvalidLines
            | CloseReason::Bytes
            | CloseReason::LoginDeadline
            | CloseReason::TlsDeadline => self.shared.limiter.strike(session.place.peer, reason, Instant::now()),
            // A slow line, a bad certificate, a limit: honest miners have these too.
            _ => {}
        }
        self.sessions.leave(slot, &session, reason);
    }
}

/// Answers the first request of a connection that has no place, and closes it after a pause, or when the client does.
/// One that begins with TLS, or says nothing, gets no answer; whoever sends more than a line may be long waits all the
/// same.
async fn refuse(mut stream: TcpStream, why: &impl std::fmt::Display) {
    let whole = async {
        let (read, mut write) = stream.split();
        let mut read = BufReader::with_capacity(1024, read.take(wire::LINE_MAX as u64));
        let mut line = Vec::new();
        read.read_until(b'\n', &mut line).await?;
        if !matches!(line.first(), None | Some(&HANDSHAKE_BYTE)) {
            let mut answer = Vec::new();
            wire::write_error(&mut answer, id_of(&line), why);
            write.write_all(&answer).await?;
        }
        tokio::io::copy_buf(&mut read, &mut tokio::io::sink()).await?;
        if read.get_ref().limit() == 0 {
            std::future::pending::<()>().await;
        }
        Ok::<(), std::io::Error>(())
    };
    if let Ok(Err(error)) = timeout(REFUSAL_PAUSE, whole).await {
        debug!(%error, "a refused client did not wait for its answer");
    }
}

/// The id that a request wants its answer to have; 0 for everything else.
fn id_of(line: &[u8]) -> u64 {
    let request = std::str::from_utf8(line).ok().and_then(|line| wire::Request::parse(line.trim()).ok());
    match request {
        Some(wire::Request::Login { id, .. } | wire::Request::Submit { id, .. } | wire::Request::Unknown { id }) => id,
        None => 0,
    }
}
