//! The pool's HTTP API and its page.
//!
//! Reads only: aggregates from the store, the live snapshot, actors' health. Amounts are integer atoms, times are
//! RFC 3339 texts, errors are problem documents (RFC 9457) and never carry internal texts. Pages of other origins may
//! read the public routes.
//!
//! What it refuses to do: scan shares for a request, tell full addresses of other miners, and change anything.
#![warn(missing_docs)]

mod answer;
mod counts;
mod health;
mod lists;
mod miner;
mod page;
mod routes;
mod stats;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::middleware::{Compress, DefaultHeaders, NormalizePath};
use actix_web::{App, HttpServer, web};
use live::Snapshot;
use messages::conditions::Conditions;
use messages::facts::{Clock, DaemonsReceiver, JobReceiver, LogPosition, Tip};
use runtime::ActorHandle;
use settings::{Listen, Settings};
use store::Store;
use tokio::sync::watch;
use units::Timestamp;

use crate::answer::ApiError;
pub use crate::counts::ProcessCounts;

/// How long requests under way may take to end when the process stops, in seconds.
const LAST_ANSWERS_SECS: u64 = 5;
/// Body of the only routes that take one.
const BODY_MAX_BYTES: usize = 64 * 1024;
/// Scripts, styles and pictures come from the pool itself.
const CONTENT_POLICY: &str = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// Prints all metrics.
pub type Printer = Arc<dyn Fn() -> String + Send + Sync>;
/// A fault drill: the actor to panic, or whether the disk stalls. Says whether it was done.
pub type FaultInjection = Arc<dyn Fn(InjectedFault) -> bool + Send + Sync>;

/// What a drill does.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum InjectedFault {
    /// Makes this actor panic.
    Panic(String),
    /// Blocks this actor's thread for ever.
    Hang(String),
    /// Stalls or releases the share log's disk.
    StallDisk(bool),
}

/// What the API reads.
#[derive(Clone)]
pub struct WebParts {
    /// The database.
    pub store: Store,
    /// What the operator has set.
    pub settings: Arc<Settings>,
    /// The live snapshot.
    pub live: watch::Receiver<Arc<Snapshot>>,
    /// Actors' figures.
    pub ports: Vec<Arc<dyn ActorHandle>>,
    /// What others of the process count and the API shows.
    pub counts: ProcessCounts,
    /// What is wrong now.
    pub conditions: Arc<Conditions>,
    /// The daemon's chain.
    pub tip: watch::Receiver<Tip>,
    /// The current job.
    pub jobs: JobReceiver,
    /// How each daemon is.
    pub daemons: DaemonsReceiver,
    /// The share log's ends.
    pub position: watch::Receiver<Option<LogPosition>>,
    /// For `/metrics`.
    pub metrics: Printer,
    /// Fault drills; only a development network has them.
    pub drill: Option<FaultInjection>,
    /// Keys for protected routes; without any they are closed.
    pub keys: Vec<secrecy::SecretString>,
    /// The wall clock.
    pub clock: Clock,
    /// When the process began.
    pub started_at: Timestamp,
    /// Depth at which a payout is settled.
    pub settle_depth: u64,
}

/// Takes the ports, without answering there yet.
///
/// # Errors
/// When an address cannot be resolved or bound.
pub fn bind(listen: &Listen) -> Result<Vec<TcpListener>, boot::ListenError> {
    boot::listeners("api.listen", listen, |_| None)
}

/// Binds and makes the server; the caller runs it.
///
/// # Errors
/// When an address cannot be bound.
pub fn serve(parts: WebParts) -> Result<(Server, Vec<SocketAddr>), boot::ListenError> {
    let listeners = bind(&parts.settings.api.listen)?;
    serve_on(parts, listeners)
}

/// Makes the server on ports that were taken by [`bind`]; the caller runs it.
///
/// # Errors
/// When the system does not take a listener.
pub fn serve_on(parts: WebParts, listeners: Vec<TcpListener>) -> Result<(Server, Vec<SocketAddr>), boot::ListenError> {
    let ui_dir = parts.settings.api.ui_dir.clone();
    let shared = web::Data::new(parts);
    let mut server = HttpServer::new(move || {
        let headers = DefaultHeaders::new()
            .add(("Content-Security-Policy", CONTENT_POLICY))
            .add(("X-Content-Type-Options", "nosniff"))
            .add(("X-Frame-Options", "DENY"))
            .add(("Referrer-Policy", "no-referrer"));
        let drills = shared.drill.is_some();
        let app = App::new()
            .app_data(shared.clone())
            .app_data(web::PayloadConfig::new(BODY_MAX_BYTES))
            .app_data(web::PathConfig::default().error_handler(|_, _| ApiError::NoRoute.into()))
            .wrap(Compress::default())
            .wrap(headers)
            // A slash at the end names the same thing.
            .wrap(NormalizePath::trim())
            .configure(|config| routes::configure(config, drills));
        let app = match &ui_dir {
            Some(dir) => app.service(actix_files::Files::new("/", dir).index_file("index.html")),
            None => app,
        };
        app.default_service(web::to(page::serve))
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(LAST_ANSWERS_SECS);
    for listener in listeners {
        let address = listener.local_addr().unwrap_or_else(|_| (std::net::Ipv4Addr::UNSPECIFIED, 0).into());
        let failed = |source| boot::ListenError::Bind { key: "api.listen", address, source };
        server = server.listen(listener).map_err(failed)?;
    }
    let addresses = server.addrs();
    Ok((server.run(), addresses))
}
