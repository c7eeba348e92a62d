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
use crate::shared::{Order, Shared, StartError};

/// How long a restart tries to get its port back.
const REBIND: Duration = Duration::from_secs(10);
const REBIND_EVERY: Duration = Duration::from_millis(10);

/// A simulated daemon in this process. Dropping it is a kill; [`SimulatedDaemon::stop`] is a shutdown.
pub struct SimulatedDaemon {
    shared: Arc<Shared>,
    listen: SocketAddr,
    control_listen: Option<SocketAddr>,
    thread: Option<JoinHandle<()>>,
}

struct Listening {
    api: SocketAddr,
    control: Option<SocketAddr>,
}

impl SimulatedDaemon {
    /// Starts one and returns when it answers. May be called from any thread, inside a runtime or not.
    ///
    /// # Errors
    /// When the data directory, the proof-of-work memory or a port cannot be had.
    pub fn start(params: Params) -> Result<SimulatedDaemon, StartError> {
        if let Some(address) = params.control_listen.filter(|address| !address.ip().is_loopback()) {
            return Err(StartError::ControlNotLoopback(address));
        }
        let (shared, orders) = Shared::open(params)?;
        let (ready, is_ready) = sync_mpsc::sync_channel(1);
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("devnet-daemon".to_owned())
            .spawn(move || actix_rt::System::new().block_on(run(for_thread, orders, ready)))
            .map_err(|_| StartError::Thread)?;
        let listening = is_ready.recv().map_err(|_| StartError::Thread)??;
        Ok(SimulatedDaemon { shared, listen: listening.api, control_listen: listening.control, thread: Some(thread) })
    }

    /// Base URL of the API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
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
    ready: sync_mpsc::SyncSender<Result<Listening, StartError>>,
) {
    let (mut api, listening) = match start(&shared) {
        Ok(started) => started,
        Err(error) => {
            tell(&ready, Err(error));
            return;
        }
    };
    let address = listening.api;
    tell(&ready, Ok(listening));
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
        api.stop(false).await;
        let Some((down, done)) = restart else { return };
        sleep(down).await;
        let outcome = restarted(&shared, address).await.map(|handle| api = handle);
        if let Err(error) = &outcome {
            tracing::error!(error = error as &dyn std::error::Error, "the daemon does not come back");
        }
        if let Some(Err(_)) = done.map(|done| done.send(outcome)) {
            tracing::debug!("nobody waits for the restart");
        }
    }
}

fn tell(ready: &sync_mpsc::SyncSender<Result<Listening, StartError>>, outcome: Result<Listening, StartError>) {
    if ready.send(outcome).is_err() {
        tracing::debug!("nobody waits for the start");
    }
}

fn start(shared: &Arc<Shared>) -> Result<(ServerHandle, Listening), StartError> {
    let (api, address) = serve_api(shared, shared.params.listen)?;
    let handle = api.handle();
    actix_rt::spawn(api);
    let control = match shared.params.control_listen {
        Some(wanted) => Some(control::serve(shared, wanted)?),
        None => None,
    };
    Ok((handle, Listening { api: address, control }))
}

async fn restarted(shared: &Arc<Shared>, address: SocketAddr) -> Result<ServerHandle, StartError> {
    shared.reopen()?;
    let give_up_at = Instant::now() + REBIND;
    loop {
        match serve_api(shared, address) {
            Ok((server, _)) => {
                let handle = server.handle();
                actix_rt::spawn(server);
                return Ok(handle);
            }
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

fn serve_api(shared: &Arc<Shared>, address: SocketAddr) -> Result<(Server, SocketAddr), StartError> {
    let (listener, bound) = listen(address)?;
    let instance =
        Instance { shared: Arc::clone(shared), epoch: shared.node().epoch, chain_lock: Arc::new(RwLock::new(())) };
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
    Ok((server, bound))
}
