//! The listening sockets, shared by all arbiters, and the end of listening.
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use listenfd::ListenFd;
use runtime::{Arbiter, LoopProgress};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use settings::{Listen, StratumSettings};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::StratumParts;
use crate::accept::SharedLimits;
use crate::connection_limiter::ConnectionLimiter;
use crate::inbound::ListenerKind;
use crate::limits::{Limits, PROXY_HEADERS_AT_ONCE};
use crate::metrics::StratumMetrics;
use crate::ranges::ARBITERS_MAX;
use crate::shard::StratumShard;
use crate::tls::{self, TlsError, TlsGate};

/// A peer that does not acknowledge what it was sent for so long is gone.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(60);
/// A silent connection is asked by the kernel whether it is still there after so long, and then this often.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(20);
/// Answers that the kernel keeps for one connection (it takes this twice): far less than it would by itself, and far
/// more than a miner that reads ever needs.
const SEND_BUFFER: usize = 64 * 1024;
/// Descriptors for everything but miners.
const DESCRIPTORS_BESIDE: u64 = 512;
/// How often each thread of sessions shows that it turns.
const PULSE_EVERY: Duration = Duration::from_millis(500);

/// Why the front did not start.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A name or an address of the settings.
    #[error(transparent)]
    Address(#[from] boot::ListenError),
    /// A socket that listens cannot be set up.
    #[error("stratum.listen: {0}")]
    Socket(#[from] io::Error),
    /// The certificate cannot be used.
    #[error("stratum.tls_cert, stratum.tls_key: {0}")]
    Tls(#[from] TlsError),
}

/// The ports, taken and not served yet, and the certificate.
pub struct Listeners {
    /// At least one.
    plain: Vec<StdListener>,
    secure: Vec<StdListener>,
    tls: Option<Arc<TlsGate>>,
}

impl Listeners {
    /// Takes them. Until [`StratumParts::start_on`] the system keeps connections waiting.
    ///
    /// # Errors
    /// When an address cannot be bound, or the certificate cannot be used.
    pub fn bind(settings: &StratumSettings, metrics: &Arc<StratumMetrics>) -> Result<Listeners, ListenError> {
        let tls = match (&settings.tls_cert, &settings.tls_key) {
            (Some(cert), Some(key)) => Some(Arc::new(TlsGate::new(cert, key, metrics)?)),
            _ => None,
        };
        let mut inherited = Inherited::take();
        let plain = inherited.listeners("stratum.listen", &settings.listen);
        let secure = settings
            .tls_listen
            .as_ref()
            .map_or(Ok(Vec::new()), |wanted| inherited.listeners("stratum.tls_listen", wanted));
        // Before an error: a socket that nobody took may be the one that holds the port.
        inherited.warn_of_rest();
        Ok(Listeners { plain: plain?, secure: secure?, tls })
    }
}

/// A running front.
pub struct Stratum {
    /// At least one.
    addresses: Vec<SocketAddr>,
    tls_addresses: Vec<SocketAddr>,
    draining: watch::Sender<bool>,
    drained: mpsc::Receiver<()>,
    arbiters: Vec<Arbiter>,
    pulses: Vec<Arc<LoopProgress>>,
}

impl Stratum {
    pub(crate) fn start(parts: StratumParts, listeners: Listeners) -> Result<Stratum, ListenError> {
        let settings = &parts.settings;
        raise_descriptors(u64::from(settings.max_connections) + DESCRIPTORS_BESIDE);
        let Listeners { plain, secure, tls } = listeners;
        let locals = |all: &[StdListener]| all.iter().map(StdListener::local_addr).collect::<io::Result<Vec<_>>>();
        let (addresses, tls_addresses) = (locals(&plain)?, locals(&secure)?);
        let limiter = ConnectionLimiter::new(Limits::of(settings), Arc::clone(&parts.bans), Arc::clone(&parts.clock));
        let proxy_headers = Arc::new(Semaphore::new(PROXY_HEADERS_AT_ONCE));
        let shared = Arc::new(SharedLimits { limiter, proxy_headers });
        let (draining, drain) = watch::channel(false);
        let (done, drained) = mpsc::channel(usize::from(ARBITERS_MAX));
        let (mut arbiters, mut pulses) = (Vec::new(), Vec::new());
        for index in 0..parts.arbiters.clamp(1, ARBITERS_MAX) {
            let plain = plain.iter().map(|listener| (listener, ListenerKind::Any));
            let secure = secure.iter().map(|listener| (listener, ListenerKind::Tls));
            let doors = plain.chain(secure).map(|(listener, door)| Ok((listener.try_clone()?, door)));
            let doors = doors.collect::<io::Result<Vec<_>>>()?;
            let (parts, shared, drain, done) = (parts.clone(), Arc::clone(&shared), drain.clone(), done.clone());
            let (tls, watches_tls) = (tls.clone(), index == 0);
            let arbiter = Arbiter::new();
            let pulse = LoopProgress::new("stratum sessions");
            pulses.push(Arc::clone(&pulse));
            arbiter.spawn_fn(move || {
                runtime::spawn_detached(async move { pulse.beat(PULSE_EVERY).await });
                if watches_tls {
                    runtime::spawn_detached(tls::watch(tls.clone()));
                }
                runtime::spawn_detached(serve(StratumShard::new(&parts, shared, tls, index), doors, drain, done));
            });
            arbiters.push(arbiter);
        }
        info!(?addresses, tls = ?tls_addresses, arbiters = arbiters.len(), "stratum listens");
        Ok(Stratum { addresses, tls_addresses, draining, drained, arbiters, pulses })
    }

    /// Where it listens; tells the ports when 0 was asked for.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where it listens for TLS only.
    #[must_use]
    pub fn tls_addresses(&self) -> &[SocketAddr] {
        &self.tls_addresses
    }

    /// Whether its threads turn.
    #[must_use]
    pub fn pulses(&self) -> Vec<Arc<LoopProgress>> {
        self.pulses.clone()
    }

    /// Accepts no more, lets every session answer what has arrived, and closes them; not longer than `grace`.
    pub async fn drain(mut self, grace: Duration) {
        self.draining.send_replace(true);
        let all = async {
            for _ in 0..self.arbiters.len() {
                if self.drained.recv().await.is_none() {
                    return;
                }
            }
        };
        if timeout(grace, all).await.is_err() {
            warn!(?grace, "stratum sessions did not end in time, closed");
        }
        for arbiter in self.arbiters {
            arbiter.stop();
        }
    }
}

/// One arbiter's life.
async fn serve(
    front: Rc<StratumShard>,
    doors: Vec<(StdListener, ListenerKind)>,
    drain: watch::Receiver<bool>,
    done: mpsc::Sender<()>,
) {
    front.start();
    let mut accepting = JoinSet::new();
    for (listener, door) in doors {
        match TcpListener::from_std(listener) {
            Ok(listener) => {
                accepting.spawn_local(Rc::clone(&front).accept(listener, door, drain.clone()));
            }
            Err(error) => warn!(%error, "stratum cannot listen"),
        }
    }
    while let Some(ended) = accepting.join_next().await {
        if ended.is_err() {
            warn!("stratum stopped accepting connections on one thread");
        }
    }
    front.drain().await;
    if done.send(()).await.is_err() {
        warn!("stratum drain result dropped: no receiver");
    }
}

// === sockets ===

/// Listening sockets that the process was given by its starter (systemd socket activation). They outlive it, so no
/// connection is refused between two processes.
struct Inherited(Vec<StdListener>);

impl Inherited {
    fn take() -> Inherited {
        let mut given = ListenFd::from_env();
        let mut listeners = Vec::new();
        for index in 0..given.len() {
            match given.take_tcp_listener(index) {
                Ok(Some(listener)) => listeners.push(listener),
                Ok(None) => {}
                Err(error) => warn!(%error, "inherited descriptor is not a listening socket, ignored"),
            }
        }
        Inherited(listeners)
    }

    /// A socket for each address: the inherited one, or a new one.
    fn listeners(&mut self, key: &'static str, wanted: &Listen) -> Result<Vec<StdListener>, ListenError> {
        let listeners = boot::listeners(key, wanted, |address| self.take_of(address))?;
        listeners.iter().try_for_each(prepare)?;
        Ok(listeners)
    }

    fn take_of(&mut self, address: SocketAddr) -> Option<StdListener> {
        let fits = |listener: &StdListener| listener.local_addr().is_ok_and(|local| is_same(local, address));
        let place = self.0.iter().position(fits)?;
        info!(%address, "taking over the listening socket");
        Some(self.0.swap_remove(place))
    }

    fn warn_of_rest(&self) {
        for listener in &self.0 {
            let address = listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string());
            warn!(address, "inherited socket matches neither stratum.listen nor stratum.tls_listen, closed");
        }
    }
}

fn is_same(local: SocketAddr, wanted: SocketAddr) -> bool {
    local.port() == wanted.port() && local.ip().to_canonical() == wanted.ip().to_canonical()
}

/// What is set here every accepted socket inherits, without a call of its own.
fn prepare(listener: &StdListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let socket = SockRef::from(listener);
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY).with_retries(3))
}

/// Lets the process open as many files as the system allows, or as it needs.
fn raise_descriptors(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), ..limit }) {
        warn!(%error, wanted, "open file limit cannot be raised");
    } else if allowed < wanted {
        warn!(allowed, wanted, "open file limit is below what stratum.max_connections needs");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(address: &str) -> StdListener {
        boot::listeners("stratum.listen", &address.parse().unwrap(), |_| None).unwrap().remove(0)
    }

    #[test]
    fn an_accepted_socket_sends_at_once_and_notices_a_peer_that_is_gone() {
        let listener = bound("127.0.0.1:0");
        prepare(&listener).unwrap();
        listener.set_nonblocking(false).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let socket = SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.send_buffer_size().unwrap(), 2 * SEND_BUFFER);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED_MAX));
    }

    #[test]
    fn an_inherited_socket_is_used_by_the_address_that_it_has() {
        let locals = |inherited: &mut Inherited, wanted: &str| -> Vec<SocketAddr> {
            let sockets = inherited.listeners("stratum.listen", &wanted.parse().unwrap()).unwrap();
            sockets.iter().map(|socket| socket.local_addr().unwrap()).collect()
        };
        let [one, two] = [0, 0].map(|_| bound("127.0.0.1:0"));
        let (first, second) = (one.local_addr().unwrap(), two.local_addr().unwrap());
        let mut inherited = Inherited(vec![one, two]);
        let found = locals(&mut inherited, &format!("127.0.0.1:0, {second}"));
        assert_eq!((found.len(), found[1], inherited.0.len()), (2, second, 1));
        assert_eq!(locals(&mut inherited, &first.to_string()), [first]);
    }
}
