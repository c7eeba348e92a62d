//! The listening socket, shared by all arbiters, and the end of listening.
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::Arbiter;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::StratumParts;
use crate::front::Front;
use crate::gate::Gate;
use crate::ranges::ARBITERS_MAX;

/// Connections that the kernel may hold for us while all threads are busy.
const BACKLOG: i32 = 4096;
/// Refused connections that are told so at once; beyond it they are closed without a word.
const REFUSALS_AT_ONCE: usize = 1024;
/// A client that is refused comes back at once when it is only closed, and after 2 s when its login is refused.
const REFUSAL_PAUSE: Duration = Duration::from_secs(2);
/// Pause after an accept that failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the front did not start.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken or not ours.
    #[error("stratum.listen: cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A running front.
pub struct Stratum {
    address: SocketAddr,
    draining: watch::Sender<bool>,
    drained: mpsc::Receiver<()>,
    arbiters: Vec<Arbiter>,
}

impl Stratum {
    pub(crate) fn start(parts: StratumParts) -> Result<Stratum, ListenError> {
        let address = parts.settings.listen;
        let bind = |source| ListenError::Bind { address, source };
        let listener = listener(address).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let gate = Gate::new(parts.settings.max_connections, parts.settings.max_connections_per_ip);
        let refusals = Arc::new(Semaphore::new(REFUSALS_AT_ONCE));
        let (draining, drain) = watch::channel(false);
        let (done, drained) = mpsc::channel(usize::from(ARBITERS_MAX));
        let mut arbiters = Vec::new();
        for index in 0..parts.arbiters.clamp(1, ARBITERS_MAX) {
            let listener = listener.try_clone().map_err(bind)?;
            let (parts, gate, refusals) = (parts.clone(), Arc::clone(&gate), Arc::clone(&refusals));
            let (drain, done) = (drain.clone(), done.clone());
            let arbiter = Arbiter::new();
            arbiter.spawn_fn(move || {
                actix_rt::spawn(async move {
                    let front = Front::new(parts, index);
                    front.start();
                    accept(&front, listener, &gate, &refusals, drain).await;
                    front.drain().await;
                    if done.send(()).await.is_err() {
                        warn!("nobody waits for the end of the stratum front");
                    }
                });
            });
            arbiters.push(arbiter);
        }
        info!(%address, arbiters = arbiters.len(), "stratum listens");
        Ok(Stratum { address, draining, drained, arbiters })
    }

    /// Where it listens; tells the port when 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more, lets every session answer what it has read, and closes them; not longer than `grace`.
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
            warn!(?grace, "stratum sessions did not end in time and are closed");
        }
        for arbiter in self.arbiters {
            arbiter.stop();
        }
    }
}

fn listener(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the process before it to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

async fn accept(
    front: &Rc<Front>,
    listener: StdListener,
    gate: &Arc<Gate>,
    refusals: &Arc<Semaphore>,
    mut drain: watch::Receiver<bool>,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return warn!(%error, "stratum cannot listen"),
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // An error means that the front's owner is gone; both end listening.
            _ended = drain.wait_for(|draining| *draining) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection ended before it began");
                    continue;
                }
                match gate.enter(peer.ip().to_canonical()) {
                    Ok(place) => {
                        actix_rt::spawn(Rc::clone(front).serve(stream, place));
                    }
                    Err(why) => {
                        front.parts.counters.stratum_connections_refused_total.add(1);
                        if let Ok(turn) = Arc::clone(refusals).try_acquire_owned() {
                            actix_rt::spawn(async move {
                                refuse(stream, why).await;
                                drop(turn);
                            });
                        }
                    }
                }
            }
            Err(error) => {
                warn!(%error, "stratum cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers the first request of a connection that has no place, and closes it after a pause.
async fn refuse(mut stream: TcpStream, why: &str) {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    let mut limited = BufReader::new(read.take(wire::LINE_MAX as u64));
    if !matches!(timeout(REFUSAL_PAUSE, limited.read_line(&mut line)).await, Ok(Ok(_))) {
        return;
    }
    let id = match wire::Request::parse(line.trim()) {
        Ok(wire::Request::Login { id, .. } | wire::Request::Submit { id, .. } | wire::Request::Unknown { id }) => id,
        Err(_) => 0,
    };
    let mut answer = Vec::new();
    wire::write_error(&mut answer, id, why);
    if write.write_all(&answer).await.is_ok() {
        sleep(REFUSAL_PAUSE).await;
    }
}
