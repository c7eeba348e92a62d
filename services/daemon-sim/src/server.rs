//! A running simulated daemon: a thread with the HTTP API, the control endpoint, and restarts.
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc as sync_mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::rt::net::TcpStream;
use actix_web::web::Data;
use actix_web::{App, HttpServer, web};
use tokio::sync::{RwLock, mpsc};
use tokio::time::{Instant, sleep};

use crate::control::{self, Control};
use crate::http::{self, Instance, Socket};
use crate::params::Params;
use crate::peers::{self, Links};
use crate::shared::{Order, Shared, StartError};

/// How long a restart tries to get its port back.
const REBIND: Duration = Duration::from_secs(10);
const REBIND_EVERY: Duration = Duration::from_millis(10);

/// A simulated daemon in this process. Dropping it is a kill; [`SimulatedDaemon::stop`] is a shutdown.
pub struct SimulatedDaemon {
    shared: Arc<Shared>,
    listening: Listening,
    control_listen: Option<SocketAddr>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy)]
struct Listening {
    api: SocketAddr,
    peers: Option<SocketAddr>,
}

/// One start of the daemon.
struct Running {
    api: ServerHandle,
    peers: Option<ServerHandle>,
    links: Links,
}

/// Where the daemon listens, and the control endpoint.
type Started = (Listening, Option<SocketAddr>);

impl SimulatedDaemon {
    /// Starts one and returns when it answers. May be called from any thread, inside a runtime or not.
    ///
    /// # Errors
    /// When the data directory, the proof-of-work memory or a port cannot be had.
    pub fn start(params: Params) -> Result<SimulatedDaemon, StartError> {
        let inner = [params.control_listen, params.peer_listen];
        if let Some(address) = inner.into_iter().flatten().find(|address| !address.ip().is_loopback()) {
            return Err(StartError::NotLoopback(address));
        }
        let (shared, orders) = Shared::open(params)?;
        let (ready, is_ready) = sync_mpsc::sync_channel(1);
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("devnet-daemon".to_owned())
            .spawn(move || actix_rt::System::new().block_on(run(for_thread, orders, ready)))
            .map_err(|_| StartError::Thread)?;
        let (listening, control_listen) = is_ready.recv().map_err(|_| StartError::Thread)??;
        Ok(SimulatedDaemon { shared, listening, control_listen, thread: Some(thread) })
    }

    /// Base URL of the API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listening.api)
    }

    /// Base URL of the control endpoint, if it has one.
    #[must_use]
    pub fn control_url(&self) -> Option<String> {
        self.control_listen.map(|address| format!("http://{address}"))
    }

    /// The file with the token.
    #[must_use]
    pub fn cookie_path(&self) -> PathBuf {
        self.shared.node().cookie_path()
    }

    /// The present token.
    #[must_use]
    pub fn token(&self) -> String {
        self.shared.node().token.clone()
    }

    /// What can be done to it.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.shared))
    }

    /// Shuts it down as SIGTERM does: wallet saved, cookie removed.
    pub fn stop(mut self) {
        self.end(true);
    }

    fn end(&mut self, is_clean: bool) {
        let Some(thread) = self.thread.take() else { return };
        if self.shared.order(Order::Stop { is_clean }) && thread.join().is_err() {
            tracing::error!("the daemon's thread has panicked");
        }
    }
}

impl Drop for SimulatedDaemon {
    fn drop(&mut self) {
        self.end(false);
    }
}

async fn run(
    shared: Arc<Shared>,
    mut orders: mpsc::Receiver<Order>,
    ready: sync_mpsc::SyncSender<Result<Started, StartError>>,
) {
    let (mut running, listening) = match start(&shared) {
        Ok((running, started)) => {
            tell(&ready, Ok(started));
            (running, started.0)
        }
        Err(error) => {
            tell(&ready, Err(error));
            return;
        }
    };
    while let Some(order) = orders.recv().await {
        let (is_clean, restart) = match order {
            Order::Stop { is_clean } => (is_clean, None),
            Order::Restart { down, is_clean, done } => (is_clean, Some((down, done))),
        };
        if is_clean && let Err(error) = shared.node().close() {
            tracing::error!(error = &error as &dyn std::error::Error, "the daemon did not end cleanly");
        }
        shared.kill();
        shared.node().events.hang_up();
        running.stop().await;
        let Some((down, done)) = restart else { return };
        sleep(down).await;
        let outcome = restarted(&shared, listening).await.map(|again| running = again);
        if let Err(error) = &outcome {
            tracing::error!(error = error as &dyn std::error::Error, "the daemon does not come back");
        }
        if let Some(Err(_)) = done.map(|done| done.send(outcome)) {
            tracing::debug!("nobody waits for the restart");
        }
    }
}

fn tell(ready: &sync_mpsc::SyncSender<Result<Started, StartError>>, outcome: Result<Started, StartError>) {
    if ready.send(outcome).is_err() {
        tracing::debug!("nobody waits for the start");
    }
}

impl Running {
    async fn stop(&self) {
        self.links.stop();
        self.api.stop(false).await;
        if let Some(peers) = &self.peers {
            peers.stop(false).await;
        }
    }
}

fn start(shared: &Arc<Shared>) -> Result<(Running, Started), StartError> {
    let wanted = Listening { api: shared.params.listen, peers: shared.params.peer_listen };
    let (running, listening) = serve(shared, wanted)?;
    let control = match shared.params.control_listen {
        Some(wanted) => Some(control::serve(shared, wanted)?),
        None => None,
    };
    Ok((running, (listening, control)))
}

async fn restarted(shared: &Arc<Shared>, listening: Listening) -> Result<Running, StartError> {
    shared.reopen()?;
    let give_up_at = Instant::now() + REBIND;
    loop {
        match serve(shared, listening) {
            Ok((running, _)) => return Ok(running),
            // The old listener may take a moment to go.
            Err(StartError::Listen { source, .. })
                if source.kind() == io::ErrorKind::AddrInUse && Instant::now() < give_up_at =>
            {
                sleep(REBIND_EVERY).await;
            }
            Err(error) => return Err(error),
        }
    }
}

pub(crate) fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    bind().map_err(|source| StartError::Listen { address, source })
}

/// Takes all ports first, so that a start that fails has begun nothing.
fn serve(shared: &Arc<Shared>, wanted: Listening) -> Result<(Running, Listening), StartError> {
    let instance =
        Instance { shared: Arc::clone(shared), epoch: shared.node().epoch, chain_lock: Arc::new(RwLock::new(())) };
    let (api_listener, api) = listen(wanted.api)?;
    let for_peers = wanted.peers.map(listen).transpose()?;
    let listening = Listening { api, peers: for_peers.as_ref().map(|(_, address)| *address) };
    let spawn = |server: Server| {
        let handle = server.handle();
        actix_rt::spawn(server);
        handle
    };
    let api = spawn(serve_api(&instance, api_listener, api)?);
    let peers = for_peers.map(|(listener, address)| peers::serve(&instance, listener, address)).transpose()?.map(spawn);
    Ok((Running { api, peers, links: Links::start(&instance) }, listening))
}

fn serve_api(instance: &Instance, listener: TcpListener, address: SocketAddr) -> Result<Server, StartError> {
    let instance = instance.clone();
    let app = move || App::new().app_data(Data::new(instance.clone())).default_service(web::to(http::serve));
    let server = HttpServer::new(app)
        .on_connect(|connection, extensions| {
            match connection.downcast_ref::<TcpStream>().map(Socket::of) {
                Some(Ok(socket)) => {
                    extensions.insert(Arc::new(socket));
                }
                Some(Err(error)) => tracing::warn!(%error, "this connection cannot be cut"),
                None => {}
            };
        })
        .workers(1)
        .disable_signals()
        .keep_alive(Duration::from_secs(60))
        .shutdown_timeout(5)
        .listen(listener)
        .map_err(|source| StartError::Listen { address, source })?
        .run();
    Ok(server)
}
