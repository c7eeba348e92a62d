//! From the listening socket to a session, or to a polite refusal.
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use messages::closed::CloseReason;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::client::Peer;
use crate::connection_limiter::ConnectionLimiter;
use crate::limits::PROXY_DEADLINE;
use crate::proxy;
use crate::session::TLS_HANDSHAKE;
use crate::shard::StratumShard;
use crate::tls::TlsGate;

/// The real client comes back at once when it is only closed, and after 2 s when its login is refused.
const REFUSAL_PAUSE: Duration = Duration::from_secs(2);
/// Pause after an accept that failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a listening socket takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListenerKind {
    /// Plain text, and TLS from those who begin with it.
    Any,
    /// TLS only.
    Tls,
}

/// What the arbiters have in common about connections. No share touches it.
pub(crate) struct Shared {
    pub(crate) gate: Arc<ConnectionLimiter>,
    pub(crate) tls: Option<Arc<TlsGate>>,
    pub(crate) proxy_headers: Arc<Semaphore>,
}

impl StratumShard {
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
                    self.parts.counters.stratum_connections_total.add(1);
                    self.greet(stream, Peer::direct(peer.ip()), door);
                }
                Err(error) => {
                    warn!(%error, "stratum cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn greet(self: &Rc<Self>, stream: TcpStream, peer: Peer, door: ListenerKind) {
        if !self.parts.settings.proxy_from.iter().any(|net| net.contains(&peer.address)) {
            return self.admit(stream, peer, door);
        }
        let Ok(turn) = Arc::clone(&self.shared.proxy_headers).try_acquire_owned() else {
            return self.parts.counters.stratum_closed.add(CloseReason::ProxyHeader);
        };
        let front = Rc::clone(self);
        actix_rt::spawn(async move {
            let mut stream = stream;
            match timeout(PROXY_DEADLINE, proxy::read_header(&mut stream)).await {
                Ok(Ok(client)) => {
                    drop(turn);
                    front.admit(stream, client.map_or(peer, Peer::named), door);
                }
                outcome => {
                    debug!(peer = %peer.address, ?outcome, "no PROXY header from a trusted peer");
                    front.parts.counters.stratum_closed.add(CloseReason::ProxyHeader);
                }
            }
        });
    }

    fn admit(self: &Rc<Self>, stream: TcpStream, peer: Peer, door: ListenerKind) {
        if self.is_draining() {
            return self.parts.counters.stratum_closed.add(CloseReason::Drained);
        }
        let (gate, now) = (&self.shared.gate, Instant::now());
        match gate.enter(peer, now) {
            Ok(place) => {
                actix_rt::spawn(Rc::clone(self).serve(stream, place, door));
            }
            Err(why) => {
                self.parts.counters.stratum_connections_refused_total.add(1);
                self.parts.counters.stratum_closed.add(why.reason());
                if let Some(turn) = gate.refusal_turn(peer, now) {
                    actix_rt::spawn(async move {
                        refuse(stream, &why).await;
                        drop(turn);
                    });
                }
            }
        }
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
        if !matches!(line.first(), None | Some(&TLS_HANDSHAKE)) {
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
